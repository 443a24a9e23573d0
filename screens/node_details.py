"""The details of one node: a pane beside the table where there is room, else a screen of its own."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from axiom_tui.model.cells import Cell
from axiom_tui.model.details import Section
from screens.frame import styled
from screens.widgets.cells import visible_text

#: The column of labels is as wide as the longest, within these; a longer one has a line of its own.
LABEL_WIDTHS = (14, 20)


def render_details(name: str, sections: Sequence[Section], width: int) -> Content:
    """All sections as one text of ``width`` cells, labels in a column of their own."""
    parts = [Content.styled(visible_text(name), "bold")]
    shortest, longest = LABEL_WIDTHS
    lengths = [len(visible_text(line.label)) for section in sections for line in section.lines]
    column = max([shortest, *(length for length in lengths if length <= longest)])
    for section in sections:
        parts.append(Content.assemble("\n", (section.title, "bold $text-accent")))
        for line in section.lines:
            label = visible_text(line.label)
            if len(label) > column:
                parts.append(Content.styled(label, "$text-muted"))
                label = ""
            wrapped = textwrap.wrap(visible_text(line.cell.text), max(20, width - column - 1)) or [""]
            first, *rest = (styled(Cell(text, line.cell.style)) for text in wrapped)
            parts.append(Content.assemble((label.ljust(column), "$text-muted"), " ", first))
            parts += [Content.assemble(" " * (column + 1), text) for text in rest]
    return Content("\n").join(parts)


class NodeDetails(VerticalScroll):
    """Renders sections; scrolls; shows nothing until it is given a node."""

    DEFAULT_CLASSES = "details"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "Down", show=False),
        Binding("k", "scroll_up", "Up", show=False),
        Binding("g", "scroll_home", "Top", show=False),
        Binding("G", "scroll_end", "End", show=False),
    ]

    def compose(self) -> ComposeResult:
        yield Static(id="details-text")

    def show(self, name: str, sections: Sequence[Section]) -> None:
        content = render_details(name, sections, self.scrollable_content_region.width)
        text = self.query_one("#details-text", Static)
        if text.content != content:
            text.update(content)


class NodeDetailsScreen(Screen[None]):
    """The details on a narrow terminal."""

    title_text = "node details"
    HELP = "All that each plane knows of one node, the most urgent first. It stays live while it is open."

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "back", key_display="esc"),
        Binding("n", "wizard('join')", "join"),
        Binding("l", "wizard('labels')", "labels"),
    ]

    def compose(self) -> ComposeResult:
        yield NodeDetails()
        yield Static(
            "[b]esc[/b] back   [b]j k[/b] scroll   [b]n[/b] join   [b]l[/b] labels", classes="dialog-keys"
        )

    def on_mount(self) -> None:
        self.query_one(NodeDetails).focus()

    def show(self, name: str, sections: Sequence[Section]) -> None:
        if self.is_mounted:
            self.query_one(NodeDetails).show(name, sections)

    def action_close(self) -> None:
        self.dismiss()

    def action_wizard(self, name: str) -> None:
        """A wizard for this node, which is the selected one of the screen beneath."""
        self.dismiss()
        self.app.call_after_refresh(self.app.run_action, f"app.wizard('{name}')")
