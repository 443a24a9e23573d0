"""How the details of a node are set: labels in a column, texts beside them, nothing cut."""

from __future__ import annotations

from rich.cells import cell_len

from axiom_tui.model.cells import Cell
from axiom_tui.model.details import Line, Section
from screens.node_details import render_details

LONG = "a label that is longer than any column of labels should be"


def lines(*labels: str, width: int = 60) -> list[str]:
    section = Section("Kubernetes", tuple(Line(label, Cell(f"text of {label}")) for label in labels))
    return [line.rstrip() for line in render_details("M-O-1", (section,), width).plain.splitlines()][3:]


def test_a_long_label_keeps_the_column() -> None:
    assert lines("Ready", "NetworkUnavailable") == [
        "Ready              text of Ready",
        "NetworkUnavailable text of NetworkUnavailable",
    ]


def test_a_label_that_no_column_holds_stands_above_its_text() -> None:
    first, second, third = lines("Ready", LONG, width=100)
    assert first == "Ready          text of Ready"
    assert second == LONG
    assert third == f"{' ' * 15}text of {LONG}"
    assert all(cell_len(line) <= 100 for line in (first, second, third))
