"""5 Findings: everything that is wrong in the fleet, worst first, each with its remedy."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from axiom_tui.model.cells import Cell, Style
from axiom_tui.model.finding import Finding, Severity, Wizard
from axiom_tui.model.fleet import Fleet, SourceState
from axiom_tui.model.times import age
from screens.filter_line import FilterLine
from screens.frame import FleetScreen, column, now
from screens.widgets.cells import visible_lines
from screens.widgets.columns import Column
from screens.widgets.fleet_table import FleetTable

if TYPE_CHECKING:
    from axiom_tui.app import AxiomApp

_SEVERITIES = {
    Severity.CRITICAL: Cell("✗ critical", Style.ERROR),
    Severity.ERROR: Cell("✗ error", Style.ERROR),
    Severity.WARNING: Cell("▲ warning", Style.WARN),
    Severity.INFO: Cell("· info", Style.DIM),
}


def _since(finding: Finding, moment: datetime) -> Cell:
    return Cell(age(finding.since, moment) or "-", Style.PLAIN if finding.since else Style.DIM)


COLUMNS: tuple[Column[Finding], ...] = (
    column("severity", "SEVERITY", 10, lambda finding, _: _SEVERITIES[finding.severity], required=True,
           sort_key=lambda finding: -finding.severity, sort_letter="S"),
    column("subject", "SUBJECT", 10, lambda finding, _: Cell(finding.shown), max_width=26, required=True,
           sort_key=lambda finding: finding.shown, sort_letter="N"),
    column("since", "SINCE", 5, _since, align="right", ages=True, priority=10,
           sort_key=lambda finding: finding.since.timestamp() if finding.since else None, sort_letter="O"),
    column("wizard", "MENDED BY", 9, lambda finding, _: Cell(finding.wizard.value or "-"), priority=5,
           sort_key=lambda finding: finding.wizard.value, sort_letter="W"),
    column("sentence", "FINDING", 30, lambda finding, _: Cell(finding.sentence), grow=True, required=True,
           comfort=48,
           sort_key=lambda finding: finding.sentence, sort_letter="F"),
)  # fmt: skip


class FindingsScreen(FleetScreen):
    """The table of findings, and the remedy of the selected one beneath it."""

    MODE = "findings"
    HELP = (
        "Every finding of the fleet, worst first. The remedy of the selected one stands below the table. "
        "enter opens the wizard that mends it, filled in; where there is none, it goes to the node."
    )

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "mend", "mend"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("c", "copy", "copy"),
        Binding("escape", "back", "back", show=False),
    ]

    def compose_body(self) -> ComposeResult:
        yield FleetTable(COLUMNS, row_key=lambda finding: finding.id, id="body")
        yield Static(id="remedy")
        yield FilterLine()

    @property
    def table(self) -> FleetTable[Finding]:
        return self.query_one("#body", FleetTable)

    @property
    def selected(self) -> Finding | None:
        key = self.table.cursor_key
        return next((finding for finding in self.fleet.findings if finding.id == key), None)

    def show_fleet(self, fleet: Fleet) -> None:
        wanted = self.query_one(FilterLine).filter
        shown = [
            finding
            for finding in fleet.findings
            if wanted.keeps(
                f"{finding.severity.word} {finding.shown} {finding.subject} {finding.sentence}".lower(), {}
            )
        ]
        self.table.empty_text = self._empty_text(fleet)
        self.table.set_rows(shown, now())
        self.query_one(FilterLine).show(len(fleet.findings) - len(shown), len(self.table.marked), False)
        self._show_remedy()

    def tick(self) -> None:
        super().tick()
        self.table.tick(now())

    def on_fleet_table_highlighted(self) -> None:
        self._show_remedy()

    def on_fleet_table_selected(self) -> None:
        self.action_mend()

    def on_filter_line_changed(self) -> None:
        self.refresh_fleet()

    def on_filter_line_closed(self) -> None:
        self.table.focus()

    def action_filter(self) -> None:
        self.query_one(FilterLine).edit()

    def action_back(self) -> None:
        if self.table.marked:
            self.table.clear_marks()
        else:
            self.query_one(FilterLine).clear()

    def action_mend(self) -> None:
        """Open the wizard for the selected finding; without one, show its node."""
        finding = self.selected
        if finding is None:
            return
        app: AxiomApp = self.app  # type: ignore[assignment]
        if finding.wizard is Wizard.NONE:
            app.show_node(finding.subject)
        else:
            app.open_wizard(finding.wizard, (finding.subject,))

    def action_copy(self) -> None:
        finding = self.selected
        if finding is not None:
            self.app.copy_to_clipboard(f"{finding.sentence} {finding.remedy}")
            self.notify("Copied the finding and its remedy.")

    def _show_remedy(self) -> None:
        finding = self.selected
        text = Content("")
        if finding is not None:
            text = Content.assemble(
                (visible_lines(finding.sentence), "bold"), f"\n{visible_lines(finding.remedy)}"
            )
        self.query_one("#remedy", Static).update(text)

    def _empty_text(self, fleet: Fleet) -> str:
        if fleet.findings:
            return "No finding passes the filter; esc clears it."
        source = fleet.source("nodes")
        if source is None or source.state in (SourceState.LOADING, SourceState.FAILED):
            return "Nothing can be said before the nodes are known."
        return "✓ Nothing is wrong that this program knows to look for."
