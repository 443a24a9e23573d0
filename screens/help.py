"""Help for exactly the screen beneath: its keys as they work now, and how to read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

FILTER_HELP = (
    "Filter: /words keeps rows with every word, /!words drops those with all of them as whole words (/!ready "
    "leaves NotReady); /-l key=value,key!=x,!key selects by label as kubectl does. esc clears it."
)


class HelpScreen(ModalScreen[None]):
    """Keys (key, what it does) and a text that says how to read the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark", "close", "back")]

    def __init__(self, title: str, keys: Sequence[tuple[str, str]], text: str) -> None:
        super().__init__()
        self._title, self._keys, self._text = title, keys, text

    def compose(self) -> ComposeResult:
        width = max((len(key) for key, _ in self._keys), default=0)
        lines = [
            Content.assemble((key.rjust(width), "bold $text-accent"), f"  {what}") for key, what in self._keys
        ]
        with Vertical(classes="dialog wide"):
            yield Static(Content(f"Help: {self._title}"), classes="dialog-title")
            with VerticalScroll():
                yield Static(Content("\n").join(lines), classes="help-text")
                yield Static(Content(self._text))
            yield Static("[b]esc[/b] back", classes="dialog-keys")

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def action_close(self) -> None:
        self.dismiss()
