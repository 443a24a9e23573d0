"""The rows of a table in the order shown: what changed, where a key is, who is next to it. No Textual."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from itertools import compress, count
from operator import is_not
from typing import Any, Generic, TypeVar

from axiom_tui.model.naming import natural_key

R = TypeVar("R")


class OrderedRows(Generic[R]):
    """Immutable rows with unique keys, in the order given or sorted by a value of each row."""

    def __init__(self, row_key: Callable[[R], str]) -> None:
        self._row_key = row_key
        self._rows: tuple[R, ...] = ()
        self._keys: list[str] = []
        self._index: dict[str, int] = {}  # key -> place in the order given
        self._order: Sequence[int] = ()  # place shown -> place in the order given
        self._sort_key: Callable[[R], Any] | None = None
        self._reverse = False
        self._values: list[Any] = []  # sort values, in the order given

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: object) -> bool:
        return key in self._index

    def get(self, key: str) -> R | None:
        index = self._index.get(key)
        return None if index is None else self._rows[index]

    def keys(self, start: int = 0, stop: int | None = None) -> list[str]:
        """Keys in the order shown."""
        return [self._keys[index] for index in self._order[start:stop]]

    def items(self, start: int, stop: int) -> Iterator[tuple[str, R]]:
        """Keys and rows in the order shown."""
        return ((self._keys[index], self._rows[index]) for index in self._order[start:stop])

    def key_at(self, position: int) -> str:
        return self._keys[self._order[position]]

    def position(self, key: str | None) -> int | None:
        """Where the key stands in the order shown."""
        index = self._index.get(key) if key is not None else None
        if index is None:
            return None
        return self._order.index(index)

    def replace(self, rows: Sequence[R], selected: str | None = None) -> tuple[bool, str | None]:
        """Take new rows. Gives whether keys or their order may have changed, and the key that is selected
        now: the same one, or a neighbour of it when it is gone.

        Costs little when most rows are the same objects as before, as they are between two pictures of
        a fleet. Raises ValueError for a key given twice.
        """
        new, old = tuple(rows), self._rows
        if len(new) == len(old):
            changed = list(compress(count(), map(is_not, new, old)))
            if all(self._row_key(new[index]) == self._keys[index] for index in changed):
                self._rows = new
                return self._update_values(changed), selected
        keys = [self._row_key(row) for row in new]
        index = dict(zip(keys, count(), strict=False))
        if len(index) != len(keys):
            twice = next(key for place, key in enumerate(keys) if index[key] != place)
            raise ValueError(f"two rows have the key {twice!r}")
        if selected not in index and (position := self.position(selected)) is not None:
            selected = neighbour(self.keys(), position, index)
        self._rows, self._keys, self._index = new, keys, index
        self._sort_all()
        return True, selected

    def sort(self, sort_key: Callable[[R], Any] | None, *, reverse: bool = False) -> None:
        """Sort by a value of each row; None is the order given. Rows without a value (None) come last."""
        self._sort_key, self._reverse = sort_key, reverse
        self._sort_all()

    def _update_values(self, changed: Sequence[int]) -> bool:
        if self._sort_key is None:
            return False
        moved = False
        for index in changed:
            value = self._value(self._rows[index])
            if value != self._values[index]:
                self._values[index] = value
                moved = True
        if moved:
            self._arrange()
        return moved

    def _sort_all(self) -> None:
        if self._sort_key is None:
            self._values, self._order = [], range(len(self._rows))
            return
        self._values = [self._value(row) for row in self._rows]
        self._arrange()

    def _value(self, row: R) -> Any:
        assert self._sort_key is not None
        value = self._sort_key(row)
        return natural_key(value) if type(value) is str else value

    def _arrange(self) -> None:
        values = self._values
        present = [index for index, value in enumerate(values) if value is not None]
        missing = [index for index, value in enumerate(values) if value is None]
        present.sort(key=values.__getitem__, reverse=self._reverse)
        self._order = present + missing


def neighbour(keys: Sequence[str], position: int, present: Container[str]) -> str | None:
    """Who takes the cursor when the row at ``position`` of ``keys`` is gone: the next one below that is
    still there, else the next one above."""
    below = (key for key in keys[position:] if key in present)
    above = (key for key in reversed(keys[:position]) if key in present)
    return next(below, None) or next(above, None)


def scroll_after_change(top: int, before: int | None, after: int | None, page: int) -> int:
    """The first line to show after rows moved, so that a cursor that was seen stays seen.

    ``before`` and ``after`` are the cursor's places. A view that stands at the top stays there as long as
    the cursor is on it, so that what is sorted to the top is seen; elsewhere the cursor keeps its line.
    A cursor that was scrolled out of view is left there: nothing moves under the reader's eyes.
    """
    if before is None or after is None or not top <= before < top + page:
        return top
    wanted = top if top == 0 else after - (before - top)
    return max(0, min(max(wanted, after - page + 1), after))
