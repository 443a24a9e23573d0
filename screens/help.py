"""Help for exactly the screen beneath: its keys as they work now, and how to read it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
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


#: Keys are set in as many columns as have room.
COLUMN_WIDTH = 32

#: Movements of every table and text: one line says them all.
MOVES = (
    "cursor_up", "cursor_down", "cursor_top", "cursor_bottom", "page_up", "page_down", "half_page_up",
    "half_page_down", "sideways", "scroll_up", "scroll_down", "scroll_left", "scroll_right", "scroll_home",
    "scroll_end", "scroll_page", "first", "last",
)  # fmt: skip


def in_words(action: str, keys: str, what: str) -> tuple[str, str, str]:
    """The group that an action belongs to, its keys, and what it does there; groups share a line."""
    name = action.rpartition(".")[2].partition("(")[0]
    if name in MOVES:
        return "moves", keys, "move by lines and pages"
    if what == "quit":
        return "quit", keys, what
    if name == "sort_next":
        return "sorts", "shift+letter", f"{keys} {what.removeprefix('Sort by ')}"
    if name == "show_screen":
        return "screens", keys, what
    return action, keys, what


def grouped(keys: Iterable[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Keys (action, key, what it does) as lines of help: those that belong together in one."""
    groups: dict[str, tuple[list[str], list[str]]] = {}
    for action, key, what in keys:
        group, shown, meaning = in_words(action, key, what)
        names, meanings = groups.setdefault(group, ([], []))
        names.append(shown)
        meanings.append(meaning)
    lines = []
    for group, (names, meanings) in groups.items():
        said = ", ".join(dict.fromkeys(meanings)) if group in ("sorts", "screens") else meanings[0]
        lines.append((" ".join(dict.fromkeys(names)), f"sort by {said}" if group == "sorts" else said))
    return lines


def key_lines(keys: Sequence[tuple[str, str]], width: int) -> list[Content]:
    """Short ones side by side in columns, read downwards; long ones beneath, over the whole width."""
    count = max(1, width // COLUMN_WIDTH)
    room = width // count
    keys_width = 9
    is_short = [len(key) <= keys_width and keys_width + 2 + len(what) < room for key, what in keys]
    short = [item for item, fits in zip(keys, is_short, strict=True) if fits]
    height = -(-len(short) // count)
    lines = []
    for row in range(height):
        line = Content("")
        for key, what in short[row::height]:
            line = Content.assemble(
                line, (key.rjust(keys_width), "bold $text-accent"), f"  {what}".ljust(room - keys_width)
            )
        lines.append(line.rstrip())
    for key, what in (item for item, fits in zip(keys, is_short, strict=True) if not fits):
        beginning = key.rjust(keys_width)
        first, *rest = textwrap.wrap(f"{beginning}  {what}", width, subsequent_indent=" " * (keys_width + 2))
        lines.append(Content(first).stylize("bold $text-accent", 0, len(beginning)))
        lines += map(Content, rest)
    return lines


class HelpScreen(ModalScreen[None]):
    """Keys (key, what it does) and a text that says how to read the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark", "close", "back")]

    def __init__(self, title: str, keys: Sequence[tuple[str, str]], text: str) -> None:
        super().__init__()
        self._title, self._keys, self._text = title, keys, text

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide"):
            yield Static(Content(f"Help: {self._title}"), classes="dialog-title")
            with VerticalScroll():
                yield Static(id="help-keys", classes="help-text")
                yield Static(Content(self._text))
            yield Static("[b]esc[/b] back", classes="dialog-keys")

    def on_resize(self) -> None:
        # The dialog takes nine tenths; its frame, the padding and the scrollbar take the rest of it.
        width = self.size.width * 9 // 10 - 6
        self.query_one("#help-keys", Static).update(Content("\n").join(key_lines(self._keys, width)))

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def action_close(self) -> None:
        self.dismiss()
