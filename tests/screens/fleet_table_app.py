"""A small app around a FleetTable, for its tests."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.message import Message
from textual.pilot import Pilot
from textual.widgets import Button

from screens.widgets.fleet_table import Column, FleetTable, Span
from tests.screens.terminal import RecordingDriver, Terminal

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Machine:
    name: str
    ready: bool = True
    load: int | None = 0
    note: str = ""
    born: datetime = NOW


def machines(count: int) -> list[Machine]:
    return [
        Machine(f"WALL-A-{number}", number % 5 != 0, number * 37 % 100, f"note {number}")
        for number in range(1, count + 1)
    ]


def _age(machine: Machine, now: datetime) -> str:
    return f"{int((now - machine.born) / timedelta(minutes=1))}m"


COLUMNS: tuple[Column[Machine], ...] = (
    Column("name", "NODE", 9, cell=lambda machine, now: machine.name, max_width=20, required=True,
           sort_key=lambda machine: machine.name, sort_letter="N"),
    Column("status", "STATUS", 10, required=True,
           cell=lambda machine, now: Span("● Ready", "ok") if machine.ready else Span("✗ NotReady", "error"),
           sort_key=lambda machine: machine.ready, sort_letter="S"),
    Column("arch", "ARCH", 5, cell=lambda machine, now: "arm64", priority=1),
    Column("kernel", "KERNEL", 30, cell=lambda machine, now: "6.8.0-45-generic", wide_only=True),
    Column("load", "CPU", 4, align="right", priority=2,
           cell=lambda machine, now: "-" if machine.load is None else f"{machine.load}%",
           sort_key=lambda machine: machine.load, sort_letter="C", descending_first=True),
    Column("age", "AGE", 5, cell=_age, align="right", ages=True, priority=3),
    Column("note", "NOTE", 10, cell=lambda machine, now: Span(machine.note, "warn"), required=True,
           grow=True),
)  # fmt: skip


class CountedTable(FleetTable[Machine]):
    """Keeps what it was asked to repaint."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.repaints: list[Region | None] = []  # None: the whole widget
        super().__init__(*arguments, **options)

    def refresh(self, *regions: Region, **options: Any) -> CountedTable:
        self.repaints += regions or (None,)
        return super().refresh(*regions, **options)


class TableApp(App[None]):
    """The table, and something else to focus. Keeps the table's messages."""

    ENABLE_COMMAND_PALETTE = False
    CSS = "Button { height: 1; border: none; min-width: 4; }"

    def __init__(self, rows: Sequence[Machine] | None = None, columns: Any = COLUMNS) -> None:
        super().__init__(driver_class=RecordingDriver)
        self.rows = rows
        self.table: CountedTable = CountedTable(columns, lambda machine: machine.name)
        self.heard: list[Message] = []

    def shown(self, width: int = 80, height: int = 24) -> AbstractAsyncContextManager[Pilot[None]]:
        """Run on a terminal of this size; what is written to it is kept."""
        return self.run_test(headless=False, size=(width, height))

    def compose(self) -> ComposeResult:
        yield self.table
        yield Button("x")

    def on_ready(self) -> None:
        self.table.focus()
        if self.rows is not None:
            self.table.set_rows(self.rows, NOW)

    def on_fleet_table_highlighted(self, message: FleetTable.Highlighted) -> None:
        self.heard.append(message)

    def on_fleet_table_selected(self, message: FleetTable.Selected) -> None:
        self.heard.append(message)

    def on_fleet_table_marks_changed(self, message: FleetTable.MarksChanged) -> None:
        self.heard.append(message)

    def on_fleet_table_sorted(self, message: FleetTable.Sorted) -> None:
        self.heard.append(message)

    def said(self, kind: type[Message]) -> list[Any]:
        return [message for message in self.heard if type(message) is kind]

    @property
    def lines(self) -> list[str]:
        """What the screen should show, by Textual's own full rendering."""
        return [strip.text.rstrip() for strip in self.screen._compositor.render_strips()]

    @property
    def written(self) -> str:
        assert isinstance(self._driver, RecordingDriver)
        return "".join(self._driver.__dict__.get("written", []))

    def terminal(self) -> Terminal:
        """What a terminal shows after all that was written to it."""
        terminal = Terminal(*self.size)
        terminal.feed(self.written)
        return terminal

    def painted_anew(self) -> Terminal:
        """What a terminal would show if all were written again."""
        terminal = Terminal(*self.size)
        update = self.screen._compositor.render_full_update()
        terminal.feed(update.render_segments(self.console))
        return terminal
