"""How columns share the width."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from screens.widgets.columns import GUTTER, Column, Layout, lay_out


def column(key: str, width: int = 5, **options: Any) -> Column[Any]:
    return Column(key, key.upper(), width, cell=lambda row, now: "", **options)


@st.composite
def column_lists(draw: st.DrawFn) -> list[Column[Any]]:
    return [
        column(
            f"c{number}",
            draw(st.integers(1, 20)),
            priority=draw(st.integers(0, 4)),
            grow=draw(st.booleans()),
            required=draw(st.integers(0, 3)) == 0,
            wide_only=draw(st.integers(0, 3)) == 0,
            max_width=draw(st.sampled_from([0, 0, 12, 30])),
        )
        for number in range(draw(st.integers(0, 9)))
    ]


wants = st.dictionaries(st.sampled_from([f"c{number}" for number in range(9)]), st.integers(0, 60))


@given(column_lists(), st.integers(0, 150), st.booleans(), wants)
def test_columns_stand_side_by_side_and_none_is_narrower_than_it_asks(
    columns: list[Column[Any]], width: int, wide: bool, seen: dict[str, int]
) -> None:
    layout = lay_out(columns, width, wide=wide, wants=seen)
    x = GUTTER
    for place in layout.places:
        assert place.x == x
        assert place.width >= place.column.width
        x += place.width + layout.gap
    assert layout.width == (x - layout.gap if layout.places else GUTTER)
    shown = [each.key for each in columns if each.key in layout.keys]
    assert list(layout.keys) == shown, "in the order given"


@given(column_lists(), st.integers(0, 150), wants)
def test_required_columns_always_show_and_the_width_is_used_up(
    columns: list[Column[Any]], width: int, seen: dict[str, int]
) -> None:
    layout = lay_out(columns, width, wants=seen)
    assert {each.key for each in columns if each.required} <= set(layout.keys)
    if any(not place.column.required for place in layout.places):
        assert layout.width <= width
    if layout.places and layout.width <= width:
        assert layout.width == width


@given(column_lists(), st.integers(0, 150))
def test_a_column_is_dropped_only_for_lack_of_room_and_lowest_priority_first(
    columns: list[Column[Any]], width: int
) -> None:
    layout = lay_out(columns, width)
    wanted = [each for each in columns if each.required or not each.wide_only]
    assert {*layout.keys, *layout.dropped} == {each.key for each in wanted}
    by_key = {each.key: each for each in columns}
    kept = [by_key[key].priority for key in layout.keys if not by_key[key].required]
    if layout.dropped:
        assert GUTTER + sum(each.width for each in wanted) + len(wanted) - 1 > width
        assert max(by_key[key].priority for key in layout.dropped) <= min(kept, default=99)


@given(column_lists(), st.integers(0, 150))
def test_wide_shows_all_and_drops_none(columns: list[Column[Any]], width: int) -> None:
    layout = lay_out(columns, width, wide=True)
    assert list(layout.keys) == [each.key for each in columns]
    assert layout.dropped == ()


def keys(layout: Layout[Any]) -> str:
    return " ".join(layout.keys)


FLEET = (
    column("name", 8, required=True, max_width=20),
    column("role", 6, priority=1),
    column("pool", 10, priority=2),
    column("place", 6, priority=1),
    column("kernel", 12, wide_only=True),
    column("verdict", 10, required=True, grow=True),
)


def test_air_goes_first_then_the_rightmost_of_the_lowest_priority() -> None:
    needed = GUTTER + 8 + 6 + 10 + 6 + 10
    assert (lay_out(FLEET, needed + 8).gap, keys(lay_out(FLEET, needed + 8))) == (
        2,
        "name role pool place verdict",
    )
    assert (lay_out(FLEET, needed + 7).gap, keys(lay_out(FLEET, needed + 4))) == (
        1,
        "name role pool place verdict",
    )
    assert keys(lay_out(FLEET, needed + 3)) == "name role pool verdict"
    assert keys(lay_out(FLEET, needed - 4)) == "name pool verdict"
    assert keys(lay_out(FLEET, 3)) == "name verdict"
    assert lay_out(FLEET, 3).dropped == ("place", "role", "pool")


def test_the_sorted_column_is_dropped_last() -> None:
    assert keys(lay_out(FLEET, 36, pinned="place")) == "name place verdict"


def test_chosen_columns_show_with_the_required_ones() -> None:
    assert keys(lay_out(FLEET, 200, chosen={"kernel"})) == "name kernel verdict"
    assert keys(lay_out(FLEET, 200, chosen=())) == "name verdict"


def test_a_column_takes_what_its_texts_need_before_others_grow() -> None:
    widths = {place.column.key: place.width for place in lay_out(FLEET, 100, wants={"name": 33}).places}
    assert widths["name"] == 20
    assert widths["verdict"] == 100 - GUTTER - 20 - 6 - 10 - 6 - 4 * 2
    tight = {place.column.key: place.width for place in lay_out(FLEET, 53, wants={"name": 12}).places}
    assert (tight["name"], tight["verdict"]) == (11, 10), "as far as there is room"


def test_without_a_growing_column_the_last_one_fills() -> None:
    layout = lay_out((column("a"), column("b")), 40)
    assert [place.width for place in layout.places] == [5, 40 - GUTTER - 5 - 2]


def test_the_column_under_a_cell() -> None:
    layout = lay_out((column("a"), column("b")), 40)
    assert layout.at(0) is None
    assert [getattr(layout.at(x), "column", FLEET[0]).key for x in (2, 6, 8, 9, 39)] == list("aaabb")
    assert layout.at(40) is None
