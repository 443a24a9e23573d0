"""The command line: ``:`` and a word, with completion and history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widgets import Input, Label


class CommandLine(ModalScreen[str | None]):
    """One line at the bottom of the screen; gives back what was typed, without the colon."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "back"),
        Binding("up", "history(-1)", show=False, priority=True),
        Binding("down", "history(1)", show=False, priority=True),
        Binding("tab", "complete", show=False, priority=True),
    ]

    def __init__(self, commands: Sequence[str], history: Sequence[str]) -> None:
        super().__init__()
        self._commands, self._history = commands, history
        self._position = len(history)

    def compose(self) -> ComposeResult:
        with Horizontal(classes="bottom-line"):
            yield Label(":")
            yield Input(
                suggester=SuggestFromList(self._commands, case_sensitive=False),
                placeholder="a command, tab completes, esc leaves",
                compact=True,
                select_on_focus=False,
            )

    def take_keys(self) -> None:
        """Have the line take the next key; `focus` would do so some messages later."""
        self.set_focus(self.query_one(Input))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)

    def action_complete(self) -> None:
        """Take the suggestion; else the first command that begins with what is there."""
        line = self.query_one(Input)
        typed = line.value.lower()
        match = next((name for name in self._commands if name.startswith(typed)), None)
        if match is not None:
            line.value = match
            line.cursor_position = len(match)

    def action_history(self, step: int) -> None:
        self._position = min(max(self._position + step, 0), len(self._history))
        line = self.query_one(Input)
        line.value = self._history[self._position] if self._position < len(self._history) else ""
        line.cursor_position = len(line.value)

    def action_close(self) -> None:
        self.dismiss(None)
