"""The filter of a table: an input while it is edited, and always the words that say what it hides."""

from __future__ import annotations

from typing import ClassVar

from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Label

from axiom_tui.model.filtering import Filter, parse_filter
from axiom_tui.model.problem import AxiomError


class FilterLine(Horizontal):
    """Hidden while nothing is filtered, marked or edited."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "clear filter", show=False),
    ]

    class Changed(Message):
        """The filter is another one."""

    class Closed(Message):
        """The focus goes back to the table."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = Filter()
        self._hidden, self._marked, self._faults_only = 0, 0, False
        self._said = ""

    def compose(self) -> ComposeResult:
        yield Label("/", id="filter-sign")
        yield Input(compact=True, select_on_focus=False, placeholder="words   !words   -l key=value")
        yield Label("", id="filter-state")

    def on_mount(self) -> None:
        self.display = False
        self._show_input(False)

    def edit(self) -> None:
        line = self.query_one(Input)
        if self.screen.focused is line:
            raise SkipAction  # then the key is a letter of the filter
        self.display = True
        self._show_input(True)
        line.value = self.filter.text
        # At once: what is typed right behind the key that opened it belongs to it.
        self.screen.set_focus(line)

    def clear(self) -> None:
        self._take(Filter())

    def show(self, hidden: int, marked: int, faults_only: bool) -> None:
        """Say what is hidden; the filter in force and its effect are always visible."""
        self._hidden, self._marked, self._faults_only = hidden, marked, faults_only
        self._say()

    def show_marks(self, marked: int) -> None:
        self._marked = marked
        self._say()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        try:
            self._take(parse_filter(event.value))
        except AxiomError:
            return  # half a selector while it is typed; what is wrong is said when it is entered

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        try:
            self._take(parse_filter(event.value))
        except AxiomError as error:
            self.notify(str(error.problem), severity="error")
            return
        self._close()

    def action_cancel(self) -> None:
        self._take(Filter())
        self._close()

    def _take(self, wanted: Filter) -> None:
        if wanted != self.filter:
            self.filter = wanted
            self.post_message(self.Changed())

    def _close(self) -> None:
        self._show_input(False)
        self._say()
        self.post_message(self.Closed())

    def _show_input(self, editing: bool) -> None:
        self.query_one(Input).display = editing
        self.query_one("#filter-sign").display = editing

    def _say(self) -> None:
        parts = []
        if self._marked:
            parts.append(f"{self._marked} marked")
        if self.filter.text and not self.query_one(Input).display:
            parts.append(f"filter /{self.filter.text}")
        if self._faults_only:
            parts.append("faults only")
        if self._hidden:
            parts.append(f"{self._hidden:,} hidden, esc shows all")
        said = "  " + " · ".join(parts)
        if said != self._said:  # an update lays the whole screen out anew, and this is asked at every change
            self._said = said
            self.query_one("#filter-state", Label).update(Content(said))
        self.display = bool(parts) or self.query_one(Input).display
