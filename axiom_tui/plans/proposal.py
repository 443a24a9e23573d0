"""A proposal: a plan with all that is needed to run it, resume it or take it back.

The one place where plans meet their means: journal, lock, rights, read-only mode. Screens and headless
commands alike run plans through it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from axiom_tui.clients.kubernetes import DAEMON_SETS, NODES, PODS, SERVICES, KubernetesClient
from axiom_tui.config import Settings, state_directory
from axiom_tui.model.exposure import effect_of
from axiom_tui.model.fleet import Observation
from axiom_tui.model.naming import fold
from axiom_tui.model.pools import labels_for
from axiom_tui.model.servicelb import HAS_SELECTOR_LABEL
from axiom_tui.plans import registry
from axiom_tui.plans.access import Access
from axiom_tui.plans.entry import UNDO
from axiom_tui.plans.events import Event, Result
from axiom_tui.plans.identity import Identity, whoami
from axiom_tui.plans.journal import Journal
from axiom_tui.plans.label_nodes import label_plan, pools_by_policy
from axiom_tui.plans.lock import LeaseLock
from axiom_tui.plans.runner import Runner
from axiom_tui.plans.servicelb import SettleServiceLb
from axiom_tui.plans.step import CancelToken, Plan


@dataclass(frozen=True)
class Means:
    """With what plans are run on one cluster."""

    client: KubernetesClient
    settings: Settings

    @property
    def access(self) -> Access:
        return Access(self.client.cluster, self.settings.rules, self.client)

    @property
    def journal(self) -> Journal:
        return Journal(state_directory())

    def lock(self, identity: Identity | None = None) -> LeaseLock:
        # Connections are shared, interruptions are not: ending a step's call must not end a renewal.
        return LeaseLock(self.client.share(), identity or whoami())

    @property
    def read_only(self) -> bool:
        return self.settings.read_only or self.client.cluster.read_only


@dataclass(frozen=True)
class Proposal:
    """``recompute`` makes the plan again from fresh data; ``resume_id`` is the plan to go on with."""

    plan: Plan
    means: Means
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
        runner = Runner(
            self.plan,
            means.journal,
            means.lock(identity),
            on_event,
            means.read_only,
            can_i=means.client.can_i,
            recompute=self.recompute,
            cancel=cancel,
            identity=identity,
            typed=typed,
            wait_for_lock=wait_for_lock,
        )
        return runner.resume(self.resume_id) if self.resume_id else runner.run()

    def undo(self, plan_id: str) -> Proposal:
        """The proposal that takes this plan back, as the journal remembers it. Raises AxiomError."""
        return undo(self.means, plan_id)


def undo(means: Means, plan_id: str) -> Proposal:
    """Take back a plan of the journal. Raises AxiomError if it cannot be."""
    journal = means.journal
    return Proposal(registry.rebuild_undo(journal.load(plan_id), journal, means.access), means)


def resume(means: Means, plan_id: str) -> Proposal:
    """Go on with a plan of the journal that was cut short. Raises AxiomError if it cannot be."""
    journal = means.journal
    plan = registry.rebuild(journal.load(plan_id), journal, means.access)
    return Proposal(plan, means, resume_id=plan_id)


def propose_labels(means: Means, names: Sequence[str] | None = None, pool: str | None = None) -> Proposal:
    """Put nodes into a pool: ``names`` None is every node, ``pool`` None the one that the policy says for
    each, "" none at all.

    Looks at the cluster afresh, each time it is computed. Raises AxiomError.
    """

    def compute() -> Plan:
        client, rules = means.client, means.settings.rules
        seen = Observation(
            nodes=client.list(NODES).items,
            services=client.list(SERVICES).items,
            daemon_sets=client.list(DAEMON_SETS, label_selector=HAS_SELECTOR_LABEL).items,
            pods=client.list(PODS).items,
        )
        by_policy = pools_by_policy(seen.nodes, rules)
        chosen = list(by_policy) if names is None else [fold(name) for name in names]
        wanted = {name: by_policy.get(name, "") if pool is None else pool for name in chosen}
        changes = {name: labels_for(pool) for name, pool in wanted.items()}
        effect = effect_of(seen, changes, rules.pools)
        settle = SettleServiceLb(client, client.cluster.context, effect.touched)
        return label_plan(
            client,
            client.cluster,
            seen.nodes,
            wanted,
            naming=rules.naming,
            effect=effect.lines(),
            final=(settle,),
        )

    return Proposal(compute(), means, compute)
