"""5 Findings: everything that is wrong in the fleet, worst first, each with its remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from axiom_tui.model.cells import Cell, Style
from axiom_tui.model.finding import Finding, Wizard
from axiom_tui.model.fleet import Fleet, SourceState
from axiom_tui.model.state_words import SEVERITIES
from axiom_tui.model.times import age
from screens.frame import column
from screens.table_screen import TableScreen
from screens.widgets.cells import visible_lines
from screens.widgets.columns import Column


def _since(finding: Finding, moment: datetime) -> Cell:
    return Cell(age(finding.since, moment) or "-", Style.PLAIN if finding.since else Style.DIM)


def beside_subject(finding: Finding) -> str:
    """The sentence as it reads beside its subject, which stands in the column before: without naming it."""
    name = re.escape(finding.shown)
    text = re.sub(rf"^{name}:? ", "", finding.sentence)
    text = re.sub(rf"\bto {name}(?![\w-])", "to it", text)
    return re.sub(rf"( of| on)? {name}(?![\w-])", "", text)


COLUMNS: tuple[Column[Finding], ...] = (
    column("severity", "SEVERITY", 10, lambda finding, _: SEVERITIES[finding.severity], required=True,
           sort_key=lambda finding: -finding.severity, sort_letter="S"),
    column("subject", "SUBJECT", 10, lambda finding, _: Cell(finding.shown), max_width=26, required=True,
           sort_key=lambda finding: finding.shown, sort_letter="N"),
    column("since", "SINCE", 5, _since, align="right", ages=True, priority=10,
           sort_key=lambda finding: finding.since.timestamp() if finding.since else None, sort_letter="O"),
    column("wizard", "MENDED BY", 9, lambda finding, _: Cell(finding.wizard.value or "-"), priority=5,
           sort_key=lambda finding: finding.wizard.value, sort_letter="W"),
    column("sentence", "FINDING", 30, lambda finding, _: Cell(beside_subject(finding)), grow=True,
           required=True, comfort=48,
           sort_key=lambda finding: finding.sentence, sort_letter="F"),
)  # fmt: skip


#: Where enter leads, by what the finding is about.
ROADS = (("mend", "mend"), ("node", "go to node"))


#: The keys of the wizards.
MENDERS = (("n", Wizard.JOIN, "join"), ("l", Wizard.LABELS, "labels"))


class FindingsScreen(TableScreen[Finding]):
    """The table of findings, and the remedy of the selected one beneath it."""

    MODE = "findings"
    HELP = (
        "Every finding of the fleet, worst first. The remedy of the selected one stands below the table. "
        "enter opens the wizard that mends it, filled in; where there is none, it goes to the node. "
        "n and l are the wizards' keys, where the remedy names them."
    )
    COLUMNS = COLUMNS

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding("enter", f"open('{road}')", what) for road, what in ROADS),
        # The keys that remedies name; they are those of the Nodes screen.
        *(Binding(key, f"mend('{wizard}')", what) for key, wizard, what in MENDERS),
    ]

    def key_of(self, row: Finding) -> str:
        return row.id

    def searched(self, row: Finding) -> tuple[str, Mapping[str, str]]:
        return f"{row.severity.word} {row.shown} {row.subject} {row.sentence}".lower(), {}

    def beneath(self, row: Finding) -> Content:
        return Content.assemble((visible_lines(row.sentence), "bold"), f"\n{visible_lines(row.remedy)}")

    def copied(self, row: Finding) -> tuple[str, str]:
        return f"{row.sentence} {row.remedy}", "Copied the finding and its remedy."

    def show_fleet(self, fleet: Fleet) -> None:
        source = fleet.source("nodes")
        unknown = source is None or source.state in (SourceState.LOADING, SourceState.FAILED)
        self.show_rows(
            fleet.findings,
            "Nothing can be said before the nodes are known."
            if unknown
            else "✓ Nothing is wrong that this program knows to look for.",
            "No finding passes the filter; esc clears it.",
        )

    def action_open(self, road: str = "") -> None:
        """Take the road that leads on from the selected finding; ``road`` only tells the bindings apart."""
        finding = self.selected
        match self._road():
            case "mend" if finding is not None:
                self.program.open_wizard(finding.wizard, (finding.subject,))
            case "node" if finding is not None:
                self.program.show_node(finding.subject)

    def action_mend(self, wizard: str) -> None:
        """As enter on a finding that this wizard mends."""
        self.action_open()

    def _road(self) -> str:
        """Where enter leads from the selected finding, "" for nowhere: its remedy is all there is."""
        finding = self.selected
        if finding is None:
            return ""
        if finding.wizard is not Wizard.NONE:
            return "mend"
        return "node" if self.fleet.row(finding.subject) is not None else ""

    def on_fleet_table_highlighted(self) -> None:
        super().on_fleet_table_highlighted()
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "mend":
            return self.selected is not None and parameters == (self.selected.wizard.value,)
        return action != "open" or not parameters or parameters == (self._road(),)
