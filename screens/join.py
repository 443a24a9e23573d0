"""The join wizard's choices: which host, as what, under which name, and with which public address."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Input, Label, OptionList, Select, Static
from textual.widgets.option_list import Option

from axiom_tui.model.checks import Check, standing_fails
from axiom_tui.model.fleet import Fleet, Row
from axiom_tui.model.naming import NamingScheme, Role, fold, host_name_fault
from axiom_tui.model.node import is_public_ip
from axiom_tui.model.problem import Problem, ProblemKind
from axiom_tui.model.version import Version
from axiom_tui.plans.join_choice import JoinChoice
from screens.choose_page import ChoosePage
from screens.widgets.cells import visible_text
from screens.wizard import WizardScreen

if TYPE_CHECKING:
    from axiom_tui.app import AxiomApp
    from axiom_tui.fleet.session import Session
    from axiom_tui.plans.proposal import Means, Proposal

OTHER = "other"
FOUND, NO_ADDRESS = "found", "none"
FIRST = "first"


class JoinChoices(ChoosePage):
    """Devices that are tagged as nodes and in no cluster come first; any other host by name or address."""

    def __init__(self, fleet: Fleet, naming: NamingScheme, chosen: Sequence[str]) -> None:
        super().__init__()
        self._rows = [row for row in fleet.rows if row.node is None and row.device is not None]
        self._naming = naming
        self._names = [row.node.name for row in fleet.rows if row.node is not None]
        # A dead or unapproved device is listed last: most often the reachable one is meant.
        self._rows.sort(key=lambda row: (row.key not in chosen, not _is_reachable(row), row.name))
        self._has_named = False  # whether the admin typed a name of their own
        self._version = fleet.cluster.version
        # Where no cluster is known there is only one to be founded, and maybe a reason why it is so.
        nodes = fleet.source("nodes")
        self._founds = not fleet.seen.nodes
        self._why = nodes.problem if nodes is not None else None
        self._means: Means | None = None  # with which the host was looked at last

    def compose(self) -> ComposeResult:
        yield OptionList(
            *(Option(Content(_line(row)), id=row.key) for row in self._rows),
            Option("another host, by name or address …", id=OTHER),
            id="join-host",
            compact=True,
        )
        yield Input(placeholder="name or address of the host", id="join-other", compact=True)
        yield Label("as")
        joining = [
            ("agent (runs workloads)", Role.AGENT.value),
            ("server (carries API and etcd)", Role.SERVER.value),
        ]
        yield Select(
            [*(() if self._founds else joining), ("first server of a new cluster", FIRST)],
            value=FIRST if self._founds else Role.AGENT.value,
            allow_blank=False,
            id="join-role",
            compact=True,
        )
        yield Label("with K3s", id="join-version-label")
        yield Input(self._version, placeholder="v1.33.4+k3s1", id="join-version", compact=True)
        yield Label("named")
        role = Role.SERVER if self._founds else Role.AGENT
        yield Input(self._proposed(role), id="join-name", compact=True)
        yield Label("public address")
        yield Select(
            [("the one that is found", FOUND), ("none", NO_ADDRESS), ("this one …", OTHER)],
            value=FOUND,
            allow_blank=False,
            id="join-public",
            compact=True,
        )
        yield Input(placeholder="IPv4 or IPv6", id="join-address", compact=True)
        yield Static(id="join-note")

    def on_mount(self) -> None:
        self.query_one("#join-other").display = not self._rows
        self.query_one("#join-address").display = False
        self._show_version()
        hosts = self.query_one("#join-host", OptionList)
        hosts.highlighted = 0
        self._note()

    def begin(self) -> None:
        self.query_one("#join-host" if self._rows else "#join-other").focus()

    def end(self) -> None:
        if self._means is not None:
            self._means.hosts.interrupt()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        self.query_one("#join-other").display = event.option.id == OTHER
        self._propose_name()
        self._note()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option.id == OTHER:
            self.query_one("#join-other").focus()
        else:
            self.screen.focus_next()

    def on_select_changed(self, event: Select.Changed) -> None:
        if event.select.id == "join-public":
            self.query_one("#join-address").display = event.value == OTHER
        else:
            self._show_version()
            self._propose_name()
        self._note()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.screen.focus_next()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if event.input.id == "join-name":
            self._has_named = event.value not in ("", self._proposed(self._role))
        self._note()

    def fault(self) -> str:
        choice = self._choice(())
        if not choice.host:
            return "Choose a device, or type the name or address of a host."
        if (wrong := host_name_fault(choice.name)) is not None:
            return f"The name {choice.name!r} can't be used: {wrong}."
        if self._value("#join-public") == OTHER and not is_public_ip(choice.public_address or ""):
            return f"{choice.public_address or 'Nothing'} is no public address."
        version = Version.parse(choice.version)
        if choice.first_server and (version is None or not version.build):
            return f"{choice.version or 'Nothing'} is no version of K3s; v1.33.4+k3s1 would be one."
        return ""

    def prepare(
        self, overridden: Sequence[str]
    ) -> Callable[[Session], tuple[tuple[Check, ...], Proposal | None]]:
        choice = self._choice(tuple(overridden))
        app: AxiomApp = self.app  # type: ignore[assignment]
        interaction = app.interaction

        def look(session: Session) -> tuple[tuple[Check, ...], Proposal | None]:
            from axiom_tui.plans.join_proposal import checks, facts_of, propose_join
            from axiom_tui.plans.proposal import Means

            if self._means is not None:
                self._means.close()
            # Its logins are kept for the plan that comes of it, until the wizard is left.
            if choice.first_server:
                why = self._why or Problem(ProblemKind.MISSING, "The new cluster has no API yet.")
                means = Means.without_cluster(why, session.settings, interaction)
            else:
                means = Means(session.client(), session.settings, interaction)
            self._means = means
            facts = facts_of(means, choice)
            found = checks(means, choice, facts)
            if standing_fails(found, choice.overridden):
                return found, None
            return found, propose_join(means, choice, facts)

        return look

    def _choice(self, overridden: tuple[str, ...]) -> JoinChoice:
        row = self._row
        host = self._text("#join-other")
        if row is not None and row.device is not None:
            host = row.device.dns_name or row.device.ipv4
        role = self._value("#join-role")
        public = {FOUND: None, NO_ADDRESS: ""}.get(self._value("#join-public"), self._text("#join-address"))
        return JoinChoice(
            host=host,
            name=self._text("#join-name"),
            role=Role.AGENT if role == Role.AGENT.value else Role.SERVER,
            device_id=row.device.id if row is not None and row.device is not None else "",
            public_address=public,
            first_server=role == FIRST,
            version=self._text("#join-version") if role == FIRST else "",
            overridden=overridden,
        )

    @property
    def _row(self) -> Row | None:
        hosts = self.query_one("#join-host", OptionList)
        index = hosts.highlighted
        return self._rows[index] if index is not None and index < len(self._rows) else None

    @property
    def _role(self) -> Role:
        return Role.AGENT if self._value("#join-role") == Role.AGENT.value else Role.SERVER

    def _value(self, which: str) -> str:
        return str(self.query_one(which, Select).value)

    def _text(self, which: str) -> str:
        return self.query_one(which, Input).value.strip()

    def _proposed(self, role: Role) -> str:
        """The name that the device has already, if it fits the scheme and is free; else the next free one."""
        row = self._row if self.is_mounted else (self._rows[0] if self._rows else None)
        own = fold(row.device.host_name or row.device.name) if row is not None and row.device else ""
        if self._naming.role(own) is role and own not in self._names:
            return self._naming.display(own)
        return self._naming.next_free(role, self._names)

    def _show_version(self) -> None:
        """Only a new cluster may choose its version; who joins one takes the cluster's."""
        is_first = self._value("#join-role") == FIRST
        self.query_one("#join-version-label").display = is_first
        self.query_one("#join-version").display = is_first

    def _propose_name(self) -> None:
        if not self._has_named:
            self.query_one("#join-name", Input).value = self._proposed(self._role)

    def _note(self) -> None:
        name = fold(self._text("#join-name"))
        notes = []
        if name in self._names:
            notes.append(
                f"There is a node {self._naming.display(name)} already: delete it first, and K3s' secret "
                f"{name}.node-password.k3s goes with it."
            )
        elif self._naming.role(name) is None:
            notes.append(
                f"Outside of the scheme {self._naming.server_prefix}<n>, {self._naming.agent_prefix}<n>."
            )
        elif self._naming.role(name) is not self._role:
            notes.append(f"The name says {self._naming.role(name)}, the role is {self._role}.")
        self.query_one("#join-note", Static).update(Content.styled(" ".join(notes), "$text-warning"))


def join_wizard(fleet: Fleet, naming: NamingScheme, subjects: Sequence[str]) -> WizardScreen:
    """The wizard, with the chosen device first."""
    return WizardScreen(
        "Join a node" if fleet.seen.nodes else "Found a cluster", JoinChoices(fleet, naming, subjects)
    )


def _is_reachable(row: Row) -> bool:
    return row.device is not None and row.device.online is not False and row.device.visible_here


def _line(row: Row) -> str:
    device = row.device
    if device is None:
        return row.name
    what = [row.place or "place unknown", device.ipv4]
    if device.authorized is False:
        what.append("waits for approval")
    if not device.visible_here:
        what.append("not seen from here")
    if device.has_ssh:
        what.append("Tailscale SSH")
    return visible_text(f"{device.name or device.host_name}  ({', '.join(part for part in what if part)})")
