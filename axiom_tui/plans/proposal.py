"""A proposal: a plan with all that is needed to run it, resume it or take it back.

The one place where plans meet their means: journal, lock, rights, read-only mode. Screens and headless
commands alike run plans through it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NoReturn, cast

from axiom_tui.clients import ssh
from axiom_tui.clients.configured import control_api, dns_records, ssh_options, ssh_port
from axiom_tui.clients.dns import resolve
from axiom_tui.clients.kubernetes import KubernetesClient
from axiom_tui.clients.secret_sources import read_secret
from axiom_tui.clients.ssh_values import Interaction, SshTarget
from axiom_tui.clients.tailscale import find_local_api
from axiom_tui.clients.tailscale_control import ControlApi
from axiom_tui.config import Settings, state_directory
from axiom_tui.model.exposure import effect_of
from axiom_tui.model.fleet import Cluster
from axiom_tui.model.naming import fold, natural_key
from axiom_tui.model.pools import doubts, labels_for
from axiom_tui.model.problem import AxiomError, Problem
from axiom_tui.model.tailnet import TailnetDevice
from axiom_tui.model.tailnet_merge import merge
from axiom_tui.plans import registry
from axiom_tui.plans.access import Access
from axiom_tui.plans.effect_again import with_effect
from axiom_tui.plans.entry import UNDO, Entry
from axiom_tui.plans.events import Event, Result
from axiom_tui.plans.file_lock import FileLock
from axiom_tui.plans.hosts import Hosts, Listening
from axiom_tui.plans.identity import Identity, whoami
from axiom_tui.plans.join_node import FIRST_SERVER_KIND
from axiom_tui.plans.journal import Journal
from axiom_tui.plans.label_nodes import KIND as LABELS
from axiom_tui.plans.label_nodes import label_plan, pools_by_policy
from axiom_tui.plans.label_persist import Login, Persistence
from axiom_tui.plans.lock import LeaseLock, Lock
from axiom_tui.plans.runner import CanI, Runner
from axiom_tui.plans.servicelb import SettleServiceLb, observe
from axiom_tui.plans.step import CancelToken, Plan
from axiom_tui.plans.undo import OF


class Reach:
    """What all means have: logins to hosts, and the tailnet. Logins are made when they are needed and kept
    until `close`, or until a run has ended; one that is needed later is made again."""

    settings: Settings
    interaction: Interaction
    logins: Hosts | None = None

    @cached_property
    def hosts(self) -> Hosts:
        if self.logins is not None:
            return self.logins
        listening = Listening(self.interaction)

        def connect(host: str, user: str, cancelled: threading.Event) -> ssh.SshConnection:
            device = self._device_at(host)
            target = SshTarget(
                host=host,
                user=user or self.settings.ssh.user,
                port=ssh_port(self.settings),
                host_keys=device.ssh_host_keys if device else (),
                called=device.name if device else "",
            )
            return ssh.connect(target, ssh_options(self.settings), listening, cancelled=cancelled)

        return Hosts(connect, lambda: listening.given)

    @cached_property
    def control(self) -> ControlApi | None:
        """Tailscale's control API; None where it is not configured."""
        return control_api(self.settings)

    def devices(self) -> tuple[TailnetDevice, ...]:
        """The devices of the tailnet now, by the local API and, where it is configured, the control API.

        Raises AxiomError if neither can be asked.
        """
        asked = self.settings.tailscale
        seen: tuple[TailnetDevice, ...] = ()
        known: tuple[TailnetDevice, ...] = ()
        problem: AxiomError | None = None
        try:
            seen = find_local_api(asked.socket, timeout=asked.timeout.total_seconds()).status().devices
        except AxiomError as error:
            problem = error
        try:
            known = self.control.devices() if self.control is not None else ()
        except AxiomError as error:
            problem = problem or error
        if problem is not None and not (seen or known):
            raise problem
        return merge(seen, known)

    def close(self) -> None:
        """Log out of all hosts."""
        if "hosts" in self.__dict__:
            self.hosts.close()

    @property
    def journal(self) -> Journal:
        return Journal(state_directory())

    def _device_at(self, host: str) -> TailnetDevice | None:
        """The device of the tailnet that has this address. Its name and host keys can be trusted."""
        try:
            devices = self.devices()
        except AxiomError:
            return None  # then the host's key is a matter of known_hosts, or of the admin
        return next((item for item in devices if host in item.addresses), None)


class _NoCluster:
    """Stands for the API where there is no way to one: whoever asks it anything is told why."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    def __getattr__(self, name: str) -> NoReturn:
        raise AxiomError(self._problem)


@dataclass(frozen=True)
class Means(Reach):
    """With what plans are run on one cluster. ``interaction`` answers what logins to hosts ask."""

    client: KubernetesClient
    settings: Settings
    interaction: Interaction = field(default_factory=Interaction)

    @classmethod
    def without_cluster(cls, problem: Problem, settings: Settings, interaction: Interaction) -> Means:
        """For the first server of a new cluster, which is planned, resumed and taken back without any API.
        ``problem`` is why there is none; all other plans raise it."""
        return cls(cast(KubernetesClient, _NoCluster(problem)), settings, interaction)

    @classmethod
    def reaching(
        cls, client: Callable[[], KubernetesClient], settings: Settings, interaction: Interaction
    ) -> Means:
        """For a plan of the journal, whichever it is: with the cluster, where there is a way to it."""
        try:
            return cls(client(), settings, interaction)
        except AxiomError as error:
            return cls.without_cluster(error.problem, settings, interaction)

    @property
    def access(self) -> Access:
        return Access(
            self.client.cluster,
            self.settings.rules,
            self.client,
            hosts=self.hosts,
            control=self.control,
            devices=self.devices,
            records=dns_records(self.settings),
            resolve=addresses_of,
            secret=read_secret,
        )

    @property
    def can_i(self) -> CanI | None:
        return self.client.can_i

    def lock(self, identity: Identity | None = None) -> Lock:
        # Connections are shared, interruptions are not: ending a step's call must not end a renewal.
        return LeaseLock(self.client.share(), identity or whoami())

    @property
    def read_only(self) -> bool:
        return self.settings.read_only or self.client.cluster.read_only


@dataclass(frozen=True)
class FoundingMeans(Reach):
    """With what the first server of a new cluster is made: there is no API yet, so the lock is a file.

    ``logins`` are those that were made for its facts, so that nobody has to log in twice.
    """

    settings: Settings
    cluster: Cluster
    interaction: Interaction = field(default_factory=Interaction)
    logins: Hosts | None = None

    @property
    def access(self) -> Access:
        return Access(
            self.cluster,
            self.settings.rules,
            hosts=self.hosts,
            control=self.control,
            devices=self.devices,
            records=dns_records(self.settings),
            resolve=addresses_of,
            secret=read_secret,
        )

    @property
    def can_i(self) -> CanI | None:
        return None

    def lock(self, identity: Identity | None = None) -> Lock:
        return FileLock(state_directory() / "first-server.lock", identity or whoami())

    @property
    def read_only(self) -> bool:
        return self.settings.read_only


@dataclass(frozen=True)
class Proposal:
    """``recompute`` makes the plan again from fresh data; ``resume_id`` is the plan to go on with."""

    plan: Plan
    means: Means | FoundingMeans
    recompute: Callable[[], Plan] | None = None
    resume_id: str = ""

    @property
    def is_undo(self) -> bool:
        return self.plan.kind == UNDO

    def with_plan(self, plan: Plan) -> Proposal:
        return replace(self, plan=plan)

    def run(
        self,
        on_event: Callable[[Event], None],
        cancel: CancelToken | None = None,
        typed: str = "",
        wait_for_lock: float = 0.0,
    ) -> Result:
        """Run or resume it in the caller's thread; never raises for what the world does."""
        means = self.means
        # One identity for both: by the session that lock and journal name, a resume knows whose lock it is.
        identity = whoami()
        cancel = cancel or CancelToken()
        runner = Runner(
            self.plan,
            means.journal,
            means.lock(identity),
            on_event,
            means.read_only,
            can_i=means.can_i,
            recompute=self._recompute(cancel),
            cancel=cancel,
            identity=identity,
            typed=typed,
            wait_for_lock=wait_for_lock,
        )
        try:
            return runner.resume(self.resume_id) if self.resume_id else runner.run()
        finally:
            means.close()

    def _recompute(self, cancel: CancelToken) -> Callable[[], Plan] | None:
        """A cancel ends what blocks on hosts."""
        compute = self.recompute
        if compute is None:
            return None

        def interruptible() -> Plan:
            with cancel.interrupting(self.means.hosts.interrupt):
                return compute()

        return interruptible

    def undo(self, plan_id: str) -> Proposal:
        """The proposal that takes this plan back, as the journal remembers it. Raises AxiomError."""
        return undo(self.means, plan_id)


def addresses_of(name: str) -> tuple[str, ...]:
    """What a name resolves to on this machine. Raises AxiomError."""
    found = resolve(name)
    return (*found.ipv4, *found.ipv6)


def undo(means: Means | FoundingMeans, plan_id: str) -> Proposal:
    """Take back a plan of the journal. Raises AxiomError if it cannot be."""
    journal = means.journal
    means = _fitting(means, journal.load(plan_id))

    def compute() -> Plan:
        entry = journal.load(plan_id)
        return with_effect(registry.rebuild_undo(entry, journal, means.access), entry, means.access)

    return Proposal(compute(), means, compute)


def resume(means: Means | FoundingMeans, plan_id: str) -> Proposal:
    """Go on with a plan of the journal that was cut short. Raises AxiomError if it cannot be."""
    journal = means.journal
    entry = journal.load(plan_id)
    means = _fitting(means, entry)
    plan = registry.rebuild(entry, journal, means.access)
    if entry.kind in (UNDO, LABELS):
        original = journal.load(str(entry.choices[OF])) if entry.kind == UNDO else entry
        plan = with_effect(plan, original, means.access)
    return Proposal(plan, means, resume_id=plan_id)


def _fitting(means: Means | FoundingMeans, entry: Entry) -> Means | FoundingMeans:
    """The first server's plan is of a cluster that no context leads to yet."""
    original = entry
    if entry.kind == UNDO:
        original = means.journal.load(str(entry.choices.get(OF, "")))
    if original.kind != FIRST_SERVER_KIND:
        return means
    cluster = Cluster(original.cluster, original.context, original.server)
    return FoundingMeans(means.settings, cluster, means.interaction)


def propose_labels(
    means: Means, names: Sequence[str] | None = None, pool: str | None = None, *, persist: bool = False
) -> Proposal:
    """Put nodes into a pool: ``names`` None is every node, ``pool`` None the one that the policy says for
    each, "" none at all. ``persist``: write the labels into K3s' configuration on the nodes too.

    Looks at the cluster afresh, each time it is computed. Raises AxiomError.
    """

    def compute() -> Plan:
        client, rules = means.client, means.settings.rules
        seen = observe(client)
        by_policy = pools_by_policy(seen.nodes, rules)
        chosen = list(by_policy) if names is None else [fold(name) for name in names]
        wanted = {name: by_policy.get(name, "") if pool is None else pool for name in chosen}
        changes = {name: labels_for(pool) for name, pool in wanted.items()}
        effect = effect_of(seen, changes, rules.pools)
        settle = SettleServiceLb(client, client.cluster.context, effect.touched)
        against: tuple[str, ...] = ()
        if pool is not None:
            shown = rules.naming.display
            asked_for = {item.after.pool for item in effect.services}
            against = doubts(
                {shown(name): pool for name in sorted(wanted, key=natural_key)},
                {shown(name): found for name, found in by_policy.items()},
                asked_for,
                rules.pools,
            )
        return label_plan(
            client,
            client.cluster,
            seen.nodes,
            wanted,
            naming=rules.naming,
            effect=effect.lines(),
            doubts=against,
            final=(settle,),
            is_behind=bool(effect.touched),
            persist=_persistence(means) if persist else None,
        )

    return Proposal(compute(), means, compute)


def _persistence(means: Means) -> Persistence:
    try:
        devices = means.devices()
    except AxiomError:
        devices = ()  # then a node's own address must do
    ssh = means.settings.ssh
    login = Login(ssh.user, ssh.login_timeout.total_seconds(), ssh.command_timeout.total_seconds())
    return Persistence(means.hosts, devices, login)
