"""A main screen that is one table with a filter, and beneath it what there is to say of the selected row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from screens.filter_line import FilterLine
from screens.frame import FleetScreen, now
from screens.widgets.columns import Column
from screens.widgets.fleet_table import FleetTable

if TYPE_CHECKING:
    from axiom_tui.app import AxiomApp

R = TypeVar("R")


class TableScreen(FleetScreen, Generic[R]):
    """Subclasses give the columns, the key of a row, what the filter searches, and the text beneath."""

    COLUMNS: ClassVar[tuple[Column[Any], ...]]

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter", key_display="/", priority=True),
        Binding("c", "copy", "copy"),
        Binding("escape", "back", "back", show=False),
    ]

    def key_of(self, row: R) -> str:
        """What names a row, whatever else of it changes."""
        raise NotImplementedError

    def searched(self, row: R) -> tuple[str, Mapping[str, str]]:
        """Lower-case text that the filter's words are looked for in, and the labels that it selects by."""
        raise NotImplementedError

    def beneath(self, row: R) -> Content:
        """What stands below the table for the selected row."""
        raise NotImplementedError

    def copied(self, row: R) -> tuple[str, str]:
        """What ``c`` copies, and the sentence that says so."""
        raise NotImplementedError

    def action_open(self) -> None:
        """``enter``, or a double click, on a row."""
        raise NotImplementedError

    def compose_body(self) -> ComposeResult:
        key_of: Callable[[Any], str] = self.key_of
        yield FleetTable(self.COLUMNS, row_key=key_of, id="body")
        yield Static(id="remedy")
        yield FilterLine()

    @property
    def table(self) -> FleetTable[R]:
        return self.query_one("#body", FleetTable)

    @property
    def selected(self) -> R | None:
        return self.table.cursor_row

    @property
    def program(self) -> AxiomApp:
        return self.app  # type: ignore[return-value]

    def show_rows(self, rows: Sequence[R], empty_text: str, filtered_text: str) -> None:
        """Show the rows that pass the filter; the texts are for no rows at all, and for none that pass."""
        line = self.query_one(FilterLine)
        shown = [row for row in rows if line.filter.keeps(*self.searched(row))]
        self.table.empty_text = filtered_text if rows else empty_text
        self.table.set_rows(shown, now())
        line.show(len(rows) - len(shown), len(self.table.marked), False)
        self._show_beneath()

    def tick(self) -> None:
        super().tick()
        self.table.tick(now())

    def on_fleet_table_highlighted(self) -> None:
        self._show_beneath()

    def on_fleet_table_selected(self) -> None:
        self.action_open()

    def on_filter_line_changed(self) -> None:
        self.refresh_fleet()

    def on_filter_line_closed(self) -> None:
        self.table.focus()

    def action_filter(self) -> None:
        self.query_one(FilterLine).edit()

    def action_back(self) -> None:
        """Drop the marks, else the filter; never leave the program."""
        if self.table.marked:
            self.table.clear_marks()
        else:
            self.query_one(FilterLine).clear()

    def action_copy(self) -> None:
        row = self.selected
        if row is not None:
            text, said = self.copied(row)
            self.app.copy_to_clipboard(text)
            self.notify(said)

    def _show_beneath(self) -> None:
        """Asked at every news: what reads the same is not sent to the terminal again."""
        row = self.selected
        text = Content("") if row is None else self.beneath(row)
        line = self.query_one("#remedy", Static)
        if line.content != text:
            line.update(text)
