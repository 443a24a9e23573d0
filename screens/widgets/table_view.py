"""The rows in view as they look: which cells were drawn, and which look different now. No widget."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any, Generic, TypeVar

from textual.strip import Strip

from screens.widgets.cells import FittedCell, fit, natural_width
from screens.widgets.columns import Column, Layout
from screens.widgets.table_lines import Palette, row_strip

R = TypeVar("R")


class Line:
    """One row as it was last drawn: its fitted cells, and the strips made of them."""

    __slots__ = ("cells", "layout", "now", "row", "strips")

    def __init__(self, row: Any, now: datetime, layout: Layout[Any], cells: tuple[FittedCell, ...]) -> None:
        self.row = row
        self.now = now
        self.layout = layout
        self.cells = cells
        self.strips: dict[tuple[bool, bool], Strip] = {}


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands on one line of the screen. Lines are compared as objects: a line that looks different
    is another object."""

    line: Line
    cursor: bool
    marked: bool

    def strip(self, palette: Palette) -> Strip:
        """The line as wide as its layout, drawn once for each look."""
        look = (self.cursor, self.marked)
        strip = self.line.strips.get(look)
        if strip is None:
            strip = row_strip(
                self.line.layout, self.line.cells, palette, cursor=self.cursor, marked=self.marked
            )
            self.line.strips[look] = strip
        return strip


class TableView(Generic[R]):
    """The lines in view, kept from one picture to the next so that only news is rendered."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self.wants: dict[str, int] = {}  # widths that the texts seen need, by column
        self._lines: dict[str, Line] = {}

    def compose(
        self,
        rows: Iterable[tuple[str, R]],
        layout: Layout[R],
        now: datetime,
        cursor: str | None,
        marked: Container[str],
    ) -> bool:
        """Render these rows (keys and values) into ``shown``. False when a text seen needs a wider column
        than ``layout`` has and may have it: ``wants`` has grown, and the layout should be made anew."""
        before = dict(self.wants)
        lines: dict[str, Line] = {}
        shown = []
        for key, row in rows:
            lines[key] = line = self._line(self._lines.get(key), row, layout, now)
            shown.append(Shown(line, key == cursor, key in marked))
        self._lines = lines
        self.shown = shown
        return self.wants == before

    def forget_strips(self) -> None:
        """The styles have changed."""
        for line in self._lines.values():
            line.strips.clear()

    def _line(self, line: Line | None, row: R, layout: Layout[R], now: datetime) -> Line:
        """The row's cells; the same object as before when it looks the same."""
        if line is None or line.layout is not layout:
            cells = tuple(self._cell(row, place.column, place.width, now) for place in layout.places)
            return Line(row, now, layout, cells)
        if line.row is row and line.now == now:
            return line
        only_ages = line.row is row
        cells = tuple(
            cell if only_ages and not place.column.ages else self._cell(row, place.column, place.width, now)
            for place, cell in zip(layout.places, line.cells, strict=True)
        )
        if cells != line.cells:
            return Line(row, now, layout, cells)
        line.row, line.now = row, now
        return line

    def _cell(self, row: R, column: Column[R], width: int, now: datetime) -> FittedCell:
        value = column.cell(row, now)
        if column.max_width:
            needed = min(column.max_width, natural_width(value))
            if needed > self.wants.get(column.key, column.width):
                self.wants[column.key] = needed
        return fit(value, width, column.align)


def differences(
    old: list[Shown], new: list[Shown], layout: Layout[Any], width: int
) -> Iterator[tuple[int, int, int]]:
    """Where two views differ: line, first cell, cell after the last.

    One stretch a line, since Textual's compositor sends a line from its start to the end of each stretch
    (``ChopsUpdate.render_segments``). A layout wider than ``width`` is scrolled sideways: whole lines.
    """
    for y, (before, after) in enumerate(zip_longest(old, new)):
        if before == after:
            continue
        stretch = (0, width)
        if before and after and layout.width <= width and _same_look(before, after):
            places = [
                place
                for place, a, b in zip(layout.places, before.line.cells, after.line.cells, strict=True)
                if a != b
            ]
            stretch = (places[0].x, places[-1].x + places[-1].width) if places else (0, 0)
        if stretch[1] > stretch[0]:
            yield y, *stretch


def _same_look(before: Shown, after: Shown) -> bool:
    return (
        before.cursor == after.cursor
        and before.marked == after.marked
        and before.line.layout is after.line.layout
    )
