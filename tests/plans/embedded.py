"""Joins against the embedded Axiom: real clients, real SSH, a world that answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from axiom_tui.clients.kubernetes import KubernetesOptions, connect
from axiom_tui.clients.ssh import Interaction
from axiom_tui.clients.ssh_values import UnknownHostKey
from axiom_tui.config import Settings, load
from axiom_tui.model.checks import Check, CheckState
from axiom_tui.model.host import HostFacts
from axiom_tui.model.secret import Secret
from axiom_tui.plans.events import Event, Output, PlanChanged, PlanStarted, Result
from axiom_tui.plans.join_choice import JoinChoice
from axiom_tui.plans.join_proposal import checks, facts_of, propose_join
from axiom_tui.plans.proposal import Means, Proposal
from axiom_tui.simulator.axiom import EmbeddedAxiom
from axiom_tui.simulator.hosts.host import Host

#: Of technat, on every host: a text that stands nowhere else.
PASSWORD = "seven otters knit"
NEWCOMER = "ubuntu-4gb-nbg1-2"
NEWCOMER_ARM = "ubuntu-8gb-hel1-1"


class Answers(Interaction):
    """Knows the password of technat, and trusts the hosts of this world."""

    def __init__(self, password: str = PASSWORD) -> None:
        self.password_given = password
        self.asked: list[str] = []

    def sudo_password(self, user: str, host: str, again: bool) -> Secret | None:
        self.asked.append(f"sudo {host}")
        return None if again else Secret(self.password_given)

    def password(self, user: str, host: str, again: bool) -> Secret | None:
        return None if again else Secret(self.password_given)

    def confirm_host_key(self, unknown: UnknownHostKey) -> bool:
        self.asked.append(f"key {unknown.host}")
        return True


@dataclass
class Embedded:
    """A world in which nothing happens by itself, and the means of plans in it."""

    directory: Path
    interaction: Interaction = field(default_factory=Answers)
    stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.axiom = EmbeddedAxiom(self.directory / "axiom", alive=False)
        self.stack.enter_context(self.axiom)
        for host in self.axiom.hosts:
            host.password = PASSWORD
        self.settings = self.tuned(load(self.axiom.settings).settings)
        self.means = self.new_means()
        self.said: list[str] = []

    @staticmethod
    def tuned(settings: Settings) -> Settings:
        """Waits that fit to a world without delays."""
        join = replace(
            settings.join, install_timeout=timedelta(seconds=30), ready_timeout=timedelta(seconds=15)
        )
        return replace(settings, join=join)

    def new_means(self, settings: Settings | None = None, user: str = "") -> Means:
        chosen = settings or self.settings
        kubeconfig, context = chosen.kubernetes.kubeconfig, chosen.kubernetes.context
        if user:
            context = ""
            kubeconfig = (
                self.axiom.kubernetes.write_kubeconfig(self.directory / f"kubeconfig-{user}", user=user),
            )
        client = connect(KubernetesOptions(kubeconfig, context))
        self.stack.callback(client.disconnect)
        means = Means(client, chosen, self.interaction)
        self.stack.callback(means.close)
        return means

    @property
    def answers(self) -> Answers:
        assert isinstance(self.interaction, Answers)
        return self.interaction

    def host(self, name: str = NEWCOMER) -> Host:
        return self.axiom.hosts[name]

    def choice(self, name: str = "WALL-A-10", host: str = NEWCOMER, **rest: Any) -> JoinChoice:
        """As the wizard chooses a device of the tailnet."""
        device = next(item for item in self.means.devices() if item.name == host)
        return JoinChoice(host=device.dns_name, device_id=device.id, name=name, **rest)

    def facts(self, choice: JoinChoice) -> HostFacts:
        return facts_of(self.means, choice)

    def judged(self, choice: JoinChoice, facts: HostFacts | None = None) -> dict[str, Check]:
        found = checks(self.means, choice, facts or self.facts(choice))
        return {check.rule: check for check in found}

    def propose(self, choice: JoinChoice | None = None) -> Proposal:
        chosen = choice or self.choice()
        return propose_join(self.means, chosen, self.facts(chosen))

    def run(self, proposal: Proposal, typed: str = "", at_start: Callable[[], None] = lambda: None) -> Result:
        """``at_start`` is called when the plan was found to be still right, before its first step."""

        def tell(event: Event) -> None:
            if isinstance(event, PlanStarted):
                at_start()
            if isinstance(event, PlanChanged):
                self.said += [event.why, *event.difference]
            if isinstance(event, Output):
                self.said.append(event.line)

        return proposal.run(tell, typed=typed or proposal.plan.typed_word)

    def node(self, name: str) -> dict[str, Any] | None:
        return self.axiom.store.get("nodes", name)


def fails(found: dict[str, Check]) -> set[str]:
    return {rule for rule, check in found.items() if check.state is CheckState.FAIL}


@contextmanager
def embedded(directory: Path, interaction: Callable[[], Interaction] = Answers) -> Iterator[Embedded]:
    world = Embedded(directory, interaction())
    with world.stack:
        yield world
