"""The label wizard's choices: which nodes, and into which pool."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Select, Static

from axiom_tui.model.checks import Check
from axiom_tui.model.fleet import Fleet, Row
from axiom_tui.model.labels import label_value_fault
from axiom_tui.model.naming import Role
from axiom_tui.model.rules import Rules
from screens.choose_page import ChoosePage
from screens.widgets.mark_list import MarkList
from screens.wizard import WizardScreen

if TYPE_CHECKING:
    from axiom_tui.app import AxiomApp
    from axiom_tui.fleet.session import Session
    from axiom_tui.plans.proposal import Proposal

POLICY, NONE, OTHER = "policy", "none", "other"
PERSIST = "persist"
#: So many lines of the list of pools are seen at once.
MOST_POOLS = 8
PERSIST_WORDS = (
    "also write them into K3s' configuration on the nodes (SSH), so that they survive a new registration"
)


class NodeList(MarkList):
    """The nodes to label; its keys mark the groups that one means most often."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "mark_workers", "workers", tooltip="mark all workers, or none"),
        Binding("f", "mark_wrong", "wrong", tooltip="mark all that are wrong, and no others"),
    ]

    def __init__(self, rows: Sequence[Row], chosen: Collection[str]) -> None:
        width = max((len(row.name) for row in rows), default=0)
        self._workers = [row.key for row in rows if row.role is not Role.SERVER]
        self._wrong = [row.key for row in rows if not row.pool_is_right]
        super().__init__(
            [
                (row.key, _line(row, width), row.key in chosen)
                for row in sorted(rows, key=lambda row: row.key not in chosen)
            ],
            id="label-nodes",
        )

    def action_mark_workers(self) -> None:
        """Mark all workers, or none of them: servers need no labels, and keep their marks."""
        self.switch_all(self._workers)

    def action_mark_wrong(self) -> None:
        """Mark what is not as wanted, as at the start."""
        self.mark(self._wrong)


class LabelChoices(ChoosePage):
    """The nodes as a list with marks; ``chosen`` are marked at the start, else all that are not as wanted."""

    def __init__(self, fleet: Fleet, rules: Rules, chosen: Iterable[str]) -> None:
        super().__init__()
        self._rows = [row for row in fleet.rows if row.node is not None]
        self._rules = rules
        wanted = {row.key for row in self._rows} & set(chosen)
        self._chosen = wanted or {row.key for row in self._rows if not row.pool_is_right}

    def compose(self) -> ComposeResult:
        pools = self._rules.pools
        yield Static(
            Content.assemble(
                "Policy in force: ", (pools.policy.value, "bold"), ": ", policy_words(self._rules), "."
            ),
            classes="help-text",
        )
        yield NodeList(self._rows, self._chosen)
        yield Select(
            [
                ("the pool that the policy says", POLICY),
                *((f"the pool {pool}", f"pool:{pool}") for pool in pools.pools),
                ("no pool: remove the labels", NONE),
                ("another pool …", OTHER),
            ],
            value=POLICY,
            allow_blank=False,
            id="label-pool",
            compact=True,
        )
        yield Input(placeholder="name of the pool", id="label-other", compact=True)
        yield MarkList([(PERSIST, PERSIST_WORDS, False)], id="label-persist")

    def on_mount(self) -> None:
        self.query_one("#label-other").display = False
        # The list of pools opens upwards: below are the buttons and the keys.
        count = len(self._rules.pools.pools) + 3
        pools = self.query_one("#label-pool > SelectOverlay")
        pools.styles.max_height = min(count, MOST_POOLS)
        pools.styles.offset = (0, -min(count, MOST_POOLS) - 1)

    def begin(self) -> None:
        self.query_one("#label-nodes").focus()

    def on_mark_list_taken(self) -> None:
        """All that was not chosen has a default, so enter goes on to Check; one can come back from there."""
        self.screen.call_next(self.screen.run_action, "next")

    def on_select_changed(self, event: Select.Changed) -> None:
        other = self.query_one("#label-other", Input)
        other.display = event.value == OTHER
        if other.display:
            other.focus()

    def fault(self) -> str:
        if not self._marked("#label-nodes"):
            return "Mark at least one node: space marks one, a all workers, f all that are wrong."
        if self._pool == OTHER:
            name = self.query_one("#label-other", Input).value.strip()
            if not name:
                return "Type the name of the pool."
            if (wrong := label_value_fault(name)) is not None:
                return f"Kubernetes would refuse the pool {name!r}: {wrong}."
        return ""

    def prepare(
        self, overridden: Sequence[str]
    ) -> Callable[[Session], tuple[tuple[Check, ...], Proposal | None]]:
        names, choice = self._marked("#label-nodes"), self._pool
        persist = bool(self._marked("#label-persist"))
        other = self.query_one("#label-other", Input).value.strip()
        pool = {POLICY: None, NONE: "", OTHER: other}.get(choice, choice.removeprefix("pool:"))

        app: AxiomApp = self.app  # type: ignore[assignment]
        interaction = app.interaction

        def look(session: Session) -> tuple[tuple[Check, ...], Proposal | None]:
            from axiom_tui.plans.label_checks import label_checks
            from axiom_tui.plans.proposal import Means, propose_labels

            means = Means(session.client(), session.settings, interaction)
            proposal = propose_labels(means, names, pool, persist=persist)
            return label_checks(means, proposal), proposal

        return look

    def _marked(self, which: str) -> tuple[str, ...]:
        return self.query_one(which, MarkList).marked

    @property
    def _pool(self) -> str:
        return str(self.query_one("#label-pool", Select).value)


def label_wizard(fleet: Fleet, rules: Rules, subjects: Sequence[str]) -> WizardScreen:
    """The wizard, filled in with nodes; a finding about a pool or the cluster means all that are wrong."""
    return WizardScreen("Load-balancer labels", LabelChoices(fleet, rules, subjects))


def policy_words(rules: Rules) -> str:
    """The policy as a sentence without its full stop."""
    pools = rules.pools
    if pools.policy.value == "all-internal":
        words = f"every worker is {pools.internal}, servers have no labels"
    else:
        words = (
            f"a worker with a public address is {pools.external}, every other worker {pools.internal}, "
            "servers have no labels"
        )
    return f"{words}; {len(pools.overrides)} overrides" if pools.overrides else words


def _line(row: Row, width: int) -> str:
    found, wanted = row.pool_found or "none", row.pool_wanted or "none"
    state = "as wanted" if row.pool_is_right else f"should be {wanted}"
    public = ", ".join(row.node.external_ips) if row.node else ""
    return f"{row.name.ljust(width)}  {found:<9}  {state:<20}  {public}".rstrip()
