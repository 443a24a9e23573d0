"""Lines of a table as strips: the header, the rows, the message of an empty table. Pure given a palette."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from screens.widgets.cells import FittedCell, StyleName, fit
from screens.widgets.columns import GUTTER, Layout, Place

CURSOR_SIGN = "›"
MARK_SIGN = "✓"
ASCENDING = "▲"
DESCENDING = "▼"


@dataclass(frozen=True, slots=True)
class Palette:
    """The styles of a table, resolved from its component classes. ``cells`` and ``marked`` have every
    style name."""

    cells: Mapping[StyleName, Style]
    marked: Mapping[StyleName, Style]
    cursor: Style
    header: Style
    header_sorted: Style
    message: Style


def row_strip(
    layout: Layout[Any], cells: Sequence[FittedCell], palette: Palette, *, cursor: bool, marked: bool
) -> Strip:
    """One row, as wide as the layout.

    The cursor and the mark have a sign in the gutter, so that they are seen without colour. Under the
    cursor the state's colour gives way to the cursor's, which is made to be read.
    """
    styles = palette.marked if marked else palette.cells
    base = palette.cursor if cursor else styles[""]
    drawing = _Drawing()
    drawing.add((CURSOR_SIGN if cursor else " ") + (MARK_SIGN if marked else " "), base)
    gap = " " * layout.gap
    last = len(cells) - 1
    for position, cell in enumerate(cells):
        for text, name in cell:
            drawing.add(text, base if cursor else styles[name])
        if position < last:
            drawing.blank(gap)
    return drawing.strip(layout.width)


def header_strip(
    layout: Layout[Any], palette: Palette, *, sorted_key: str = "", reverse: bool = False
) -> Strip:
    """The titles, as wide as the layout; the sorted column's title carries an arrow."""
    drawing = _Drawing()
    drawing.add(" " * GUTTER, palette.header)
    last = len(layout.places) - 1
    for position, place in enumerate(layout.places):
        gap = 0 if position == last else layout.gap
        if place.column.key == sorted_key:
            title = _title(place, DESCENDING if reverse else ASCENDING, gap)
            drawing.add(title, palette.header_sorted)
        else:
            drawing.add(_title(place, "", gap), palette.header)
    return drawing.strip(layout.width)


def _title(place: Place[Any], arrow: str, gap: int) -> str:
    """The title with its arrow, padded over the gap. The arrow may stand in the gap, so that no title
    moves or is cut for it."""
    title = place.column.title
    width = place.width - (0 if gap or not arrow else 1)
    if place.column.align == "right" or cell_len(title) > width:
        title = _text(fit(title, width, place.column.align))
    return _text(fit(title + arrow, place.width + gap))


def _text(cell: FittedCell) -> str:
    return "".join(span.text for span in cell)


def message_lines(message: str, width: int, height: int, palette: Palette) -> list[Strip]:
    """A message in the middle of ``width`` x ``height`` cells, cut where it does not fit."""
    blank = Strip.blank(width, palette.message)
    lines = [
        part for line in message.splitlines() for part in textwrap.wrap(line, max(1, width - 2)) or [""]
    ][:height]
    above = (height - len(lines)) // 2
    strips = [blank] * above
    for line in lines:
        text = _text(fit(line, min(width, max(1, cell_len(line)))))
        left = " " * ((width - cell_len(text)) // 2)
        strips.append(Strip([Segment(_text(fit(left + text, width)), palette.message)], width))
    return strips + [blank] * (height - len(strips))


def scrolled(strip: Strip, x: int, width: int, frozen: int) -> Strip:
    """The part of a line that is seen when scrolled ``x`` cells to the right, its first ``frozen`` cells
    staying where they are."""
    if not frozen:
        return strip.crop(x, x + width)
    return Strip.join([strip.crop(0, frozen), strip.crop(frozen + x, x + width)])


class _Drawing:
    """Collects pieces of text; neighbours in one style become one segment."""

    __slots__ = ("_style", "_text", "segments")

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self._text: list[str] = []
        self._style: Style | None = None

    def add(self, text: str, style: Style) -> None:
        if style is not self._style:
            self._flush()
            self._style = style
        self._text.append(text)

    def blank(self, blanks: str) -> None:
        """Blanks look the same in any style of the line: they take the one before."""
        self._text.append(blanks)

    def strip(self, width: int) -> Strip:
        self._flush()
        return Strip(self.segments, width)

    def _flush(self) -> None:
        text = "".join(self._text)
        if text:
            self.segments.append(Segment(text, self._style))
        self._text = []
