"""Columns of a table, and how they share the width: who is shown, where, and how wide. No Textual."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from screens.widgets.cells import Align, CellValue

R = TypeVar("R")

#: Cells left of the first column: one for the cursor's sign, one for the mark's.
GUTTER = 2
#: Columns below this priority give way to the comfort of others.
NICE_TO_HAVE = 60
#: Blanks between columns; the air is given up before a column is.
GAPS = (2, 1)


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """One column of a table of rows of type R.

    ``width`` is in terminal cells; with ``max_width`` the column widens up to that when the texts seen
    need it. ``cell(row, now)`` gives the text; with ``ages`` the text depends on ``now``. ``sort_key(row)``
    gives a value comparable among rows: a ``str`` is compared naturally (2 before 10), None comes last.
    ``sort_letter`` sorts with shift. When the width is too small, columns drop, lowest ``priority`` first
    (the rightmost of equals), but never a ``required`` one. ``grow`` takes the width that is left;
    without any, the last column does. ``wide_only`` columns show in wide mode or when chosen.
    A column with ``comfort`` should be that wide before columns that are only nice to have (priority below
    `NICE_TO_HAVE`) take any room.
    """

    key: str
    title: str
    width: int
    _: KW_ONLY
    cell: Callable[[R, datetime], CellValue]
    sort_key: Callable[[R], Any] | None = None
    sort_letter: str = ""
    descending_first: bool = False
    max_width: int = 0
    priority: int = 0
    align: Align = "left"
    grow: bool = False
    required: bool = False
    wide_only: bool = False
    ages: bool = False
    comfort: int = 0


@dataclass(frozen=True, slots=True)
class Place(Generic[R]):
    """Where a column stands: ``x`` cells from the left of the table, ``width`` cells wide."""

    column: Column[R]
    x: int
    width: int


@dataclass(frozen=True, slots=True)
class Layout(Generic[R]):
    """The columns shown, from left to right. ``width`` is that of the whole line, gutter included;
    it is more than asked for when nothing (more) may be dropped. ``dropped`` had no room."""

    places: tuple[Place[R], ...]
    width: int
    gap: int
    dropped: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(place.column.key for place in self.places)

    def at(self, x: int) -> Place[R] | None:
        """The column at ``x`` cells from the left; the gap belongs to the column before it."""
        return next((place for place in reversed(self.places) if place.x <= x < self.width), None)


def lay_out(
    columns: Sequence[Column[R]],
    width: int,
    *,
    wide: bool = False,
    chosen: Collection[str] | None = None,
    pinned: str = "",
    wants: Mapping[str, int] | None = None,
) -> Layout[R]:
    """Share ``width`` cells among the columns.

    ``chosen`` are the keys to show (None: all but the wide-only ones); required columns show in any case.
    ``wide`` shows wide-only columns and drops none. ``pinned`` (the sorted column) is dropped last.
    ``wants`` are the widths that the texts seen need, for columns with a ``max_width``.
    """
    shown = [column for column in columns if _is_wanted(column, wide, chosen)]
    gap = GAPS[0]
    dropped: list[str] = []
    if not wide:
        if _width(shown, gap) > width:
            gap = GAPS[-1]
        while _needed(shown, gap, pinned, chosen) > width:
            victim = _next_to_drop(shown, pinned)
            if victim is None:
                break
            shown.remove(victim)
            dropped.append(victim.key)
    widths = _share(shown, width - _width(shown, gap), wants or {}, unlimited=wide)
    places: list[Place[R]] = []
    x = GUTTER
    for column, cells in zip(shown, widths, strict=True):
        places.append(Place(column, x, cells))
        x += cells + gap
    return Layout(tuple(places), x - gap if places else GUTTER, gap, tuple(dropped))


def _is_wanted(column: Column[R], wide: bool, chosen: Collection[str] | None) -> bool:
    if column.required:
        return True
    if chosen is not None:
        return column.key in chosen or (wide and column.wide_only)
    return wide or not column.wide_only


def _width(columns: Sequence[Column[R]], gap: int) -> int:
    return GUTTER + sum(column.width for column in columns) + gap * max(0, len(columns) - 1)


def _needed(columns: Sequence[Column[R]], gap: int, pinned: str, chosen: Collection[str] | None) -> int:
    """The width that the columns need; with comfort, as long as there are others that can give way to it."""
    width = _width(columns, gap)
    if chosen is None and any(
        not column.required and column.priority < NICE_TO_HAVE and column.key != pinned for column in columns
    ):
        width += sum(max(0, column.comfort - column.width) for column in columns)
    return width


def _next_to_drop(columns: Sequence[Column[R]], pinned: str) -> Column[R] | None:
    candidates = [
        (column.key == pinned, column.priority, -position, column)
        for position, column in enumerate(columns)
        if not column.required
    ]
    return min(candidates, key=lambda candidate: candidate[:3])[3] if candidates else None


def _share(
    columns: Sequence[Column[R]], spare: int, wants: Mapping[str, int], *, unlimited: bool
) -> list[int]:
    """The width of each column: what it needs first (as far as there is room, if that is limited), then
    the rest to those that grow. What is only nice to have leaves the others their comfort."""
    widths = [column.width for column in columns]
    comfort = sum(max(0, column.comfort - column.width) for column in columns)
    for position, column in enumerate(columns):
        wanted = min(column.max_width, wants.get(column.key, 0))
        more = max(0, wanted - column.width)
        if not unlimited:
            is_nice = not column.required and column.priority < NICE_TO_HAVE
            more = min(more, max(0, spare - comfort if is_nice else spare))
        widths[position] += more
        spare -= more
    growing = [position for position, column in enumerate(columns) if column.grow]
    if not growing and columns:
        growing = [len(columns) - 1]
    for taken, position in enumerate(growing):
        share = max(0, spare) // (len(growing) - taken)
        widths[position] += share
        spare -= share
    return widths
