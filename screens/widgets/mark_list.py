"""A list of things to mark: ``[x]`` or ``[ ]`` before each, so that no colour is needed to see which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from screens.widgets.cells import visible_text


class MarkList(OptionList):
    """``items``: value, label, marked. ``space`` or a click marks; ``marked`` is in list order.

    ``enter`` marks nothing: it says that the marks are as they should be (`Taken`). The cursor stops at both
    ends, as in every table.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "take", "go on"),
        Binding("space", "mark", "mark"),
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
        Binding("g", "first", "First", show=False),
        Binding("G", "last", "Last", show=False),
        Binding("a", "mark_all", "all"),
    ]

    class Taken(Message):
        """The marks are as they should be: go on."""

    def __init__(self, items: Sequence[tuple[str, str, bool]], *, id: str | None = None) -> None:
        self._labels = {value: visible_text(label) for value, label, _ in items}
        self._marked = {value for value, _, marked in items if marked}
        super().__init__(
            *(Option(self._prompt(value), id=value) for value in self._labels), id=id, compact=True
        )

    @property
    def marked(self) -> tuple[str, ...]:
        return tuple(value for value in self._labels if value in self._marked)

    def action_take(self) -> None:
        self.post_message(self.Taken())

    def action_mark(self) -> None:
        if self.highlighted is not None:
            self._switch(self.get_option_at_index(self.highlighted).id or "")

    def action_cursor_down(self) -> None:
        if self.highlighted is None or self.highlighted < self.option_count - 1:
            super().action_cursor_down()

    def action_cursor_up(self) -> None:
        if self.highlighted != 0:
            super().action_cursor_up()

    def action_mark_all(self) -> None:
        """Mark all; when all are marked, none."""
        self.switch_all(self._labels)

    def switch_all(self, values: Iterable[str]) -> None:
        """Mark all of these; when all of them are marked, none of them. The other marks stay."""
        these = set(values)
        self.mark(self._marked - these if these <= self._marked else self._marked | these)

    def mark(self, values: Iterable[str]) -> None:
        """Mark these and no others."""
        self._marked = set(values)
        for value in self._labels:
            self.replace_option_prompt(value, self._prompt(value))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click: ``enter`` has another meaning here."""
        event.stop()
        self._switch(event.option.id or "")

    def _switch(self, value: str) -> None:
        self._marked ^= {value}
        self.replace_option_prompt(value, self._prompt(value))

    def _prompt(self, value: str) -> Content:
        return Content(f"[{'x' if value in self._marked else ' '}] {self._labels[value]}")
