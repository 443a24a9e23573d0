"""The order of rows, and where the cursor goes when they change."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screens.widgets.ordered_rows import OrderedRows, neighbour, scroll_after_change


@dataclass(frozen=True)
class Machine:
    name: str
    load: int | None = 0


names = st.sampled_from([f"wall-a-{number}" for number in range(14)])
machines = st.lists(
    st.builds(Machine, names, st.one_of(st.none(), st.integers(0, 3))),
    unique_by=lambda machine: machine.name,
    max_size=12,
)


def ordered() -> OrderedRows[Machine]:
    return OrderedRows(lambda machine: machine.name)


@given(st.lists(machines, min_size=1, max_size=6), st.booleans(), st.booleans())
def test_any_sequence_of_pictures_ends_in_the_same_order_as_the_last_alone(
    pictures: list[list[Machine]], by_load: bool, reverse: bool
) -> None:
    kept = ordered()
    if by_load:
        kept.sort(lambda machine: machine.load, reverse=reverse)
    else:
        kept.sort(lambda machine: machine.name, reverse=reverse)
    for picture in pictures:
        kept.replace(picture)
    fresh = ordered()
    fresh.replace(pictures[-1])
    fresh.sort((lambda machine: machine.load) if by_load else (lambda machine: machine.name), reverse=reverse)
    assert kept.keys() == fresh.keys()
    assert sorted(kept.keys()) == sorted(machine.name for machine in pictures[-1])
    for place, (key, row) in enumerate(kept.items(0, len(kept))):
        assert (kept.position(key), kept.get(key), row.name) == (place, row, key)


@given(machines, st.booleans())
def test_sorting_is_stable_and_rows_without_a_value_come_last(rows: list[Machine], reverse: bool) -> None:
    table = ordered()
    table.replace(rows)
    table.sort(lambda machine: machine.load, reverse=reverse)
    with_load = [machine for machine in rows if machine.load is not None]
    expected = sorted(with_load, key=lambda machine: machine.load or 0, reverse=reverse)
    without = [machine for machine in rows if machine.load is None]
    assert table.keys() == [machine.name for machine in [*expected, *without]]


def test_texts_sort_naturally_and_no_sort_is_the_order_given() -> None:
    table = ordered()
    table.replace([Machine("wall-a-10"), Machine("WALL-A-9"), Machine("m-o-1")])
    table.sort(lambda machine: machine.name)
    assert table.keys() == ["m-o-1", "WALL-A-9", "wall-a-10"]
    table.sort(None)
    assert table.keys() == ["wall-a-10", "WALL-A-9", "m-o-1"]


@given(st.lists(machines, min_size=1, max_size=8), names)
def test_the_selected_key_stays_selected_as_long_as_it_is_there(
    pictures: list[list[Machine]], wanted: str
) -> None:
    table, selected = ordered(), wanted
    for picture in pictures:
        had = selected in table
        keys_before, position = table.keys(), table.position(selected)
        _, after = table.replace(picture, selected)
        present = {machine.name for machine in picture}
        if not had or selected in present:
            assert after == selected
        else:
            assert position is not None
            assert after == neighbour(keys_before, position, present)
            assert (after is None) == (not present & set(keys_before))
        if after is None:
            break
        selected = after


def test_the_neighbour_is_the_next_below_then_the_next_above() -> None:
    keys = ["a", "b", "c", "d"]
    assert neighbour(keys, 1, {"a", "c", "d"}) == "c"
    assert neighbour(keys, 1, {"a", "d"}) == "d"
    assert neighbour(keys, 2, {"a", "b"}) == "b"
    assert neighbour(keys, 0, set()) is None


def test_rows_that_only_change_values_do_not_move() -> None:
    rows = [Machine("a", 1), Machine("b", 2)]
    table = ordered()
    assert table.replace(rows) == (True, None)
    assert table.replace([rows[0], replace(rows[1], load=0)], "b") == (False, "b")
    table.sort(lambda machine: machine.load)
    assert table.keys() == ["b", "a"]
    assert table.replace([rows[0], Machine("b", 0)], "a") == (False, "a"), "equal value, other object"
    assert table.replace([Machine("a", -1), Machine("b", 0)], "a") == (True, "a")
    assert table.keys() == ["a", "b"]


def test_a_key_given_twice_is_refused_by_name_and_nothing_changes() -> None:
    table = ordered()
    table.replace([Machine("a")])
    with pytest.raises(ValueError, match="two rows have the key 'b'"):
        table.replace([Machine("b"), Machine("c"), Machine("b")])
    assert table.keys() == ["a"]


@given(st.integers(0, 50), st.integers(0, 99), st.integers(0, 99), st.integers(1, 30))
def test_a_cursor_that_was_seen_stays_seen(top: int, before: int, after: int, page: int) -> None:
    new = scroll_after_change(top, before, after, page)
    assert new >= 0
    if top <= before < top + page:
        assert new <= after < new + page
        if top and new and after >= before - top:
            assert after - new == before - top, "on the same line of the screen"
        if not top and after < page:
            assert new == 0, "a view at the top stays there"
    else:
        assert new == top
