"""Small dialogs that more than one screen opens: a text to read, and a list to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static, TextArea
from textual.widgets.option_list import Option

from screens.widgets.cells import visible_lines
from screens.widgets.mark_list import MarkList


class TextScreen(ModalScreen[None]):
    """A text to read, select and copy; ``esc`` closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "back", key_display="esc"),
        Binding("c", "copy", "copy all"),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = visible_lines(title), visible_lines(text)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide"):
            yield Static(Content(self._title), classes="dialog-title")
            yield TextArea(self._text, read_only=True, show_line_numbers=False, soft_wrap=True)
            yield Static("[b]c[/b] copy all   [b]esc[/b] back", classes="dialog-keys")

    def action_close(self) -> None:
        self.dismiss()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._text)
        self.notify("Copied by the terminal (OSC 52).")


class ChoiceScreen(ModalScreen[str]):
    """A list of ``(value, label)`` to choose one from; ``esc`` gives ""."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "back"),
        Binding("j", "move(1)", show=False),
        Binding("k", "move(-1)", show=False),
    ]

    def __init__(self, title: str, choices: Sequence[tuple[str, str]], current: str = "") -> None:
        super().__init__()
        self._title, self._choices, self._current = title, choices, current

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self._title), classes="dialog-title")
            yield OptionList(
                *(Option(Content(visible_lines(label)), id=value) for value, label in self._choices)
            )
            yield Static("[b]enter[/b] choose   [b]esc[/b] back", classes="dialog-keys")

    def on_mount(self) -> None:
        options = self.query_one(OptionList)
        values = [value for value, _ in self._choices]
        options.highlighted = values.index(self._current) if self._current in values else 0
        options.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id or "")

    def action_move(self, step: int) -> None:
        options = self.query_one(OptionList)
        (options.action_cursor_down if step > 0 else options.action_cursor_up)()

    def action_close(self) -> None:
        self.dismiss("")


class ColumnsScreen(ModalScreen[tuple[str, ...] | None]):
    """Which columns to show: ``space`` switches one, ``enter`` takes them, ``esc`` leaves all as it was."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "back"),
        Binding("enter", "take", "take", priority=True),
    ]

    def __init__(self, columns: Sequence[tuple[str, str, bool]]) -> None:
        """``columns``: key, title, and whether it is chosen now."""
        super().__init__()
        self._columns = columns

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static("Columns", classes="dialog-title")
            yield MarkList(self._columns)
            yield Static("[b]space[/b] switch   [b]enter[/b] take   [b]esc[/b] back", classes="dialog-keys")

    def action_take(self) -> None:
        self.dismiss(self.query_one(MarkList).marked)

    def action_close(self) -> None:
        self.dismiss(None)
