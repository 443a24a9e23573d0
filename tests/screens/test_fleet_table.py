"""The table as the admin meets it: keys, mouse, marks, sort, widths, and what is sent to the terminal."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from textual.pilot import Pilot
from textual.widgets import Button

from screens.widgets.fleet_table import Column, FleetTable, Span
from tests.screens.fleet_table_app import COLUMNS, NOW, Machine, TableApp, machines
from tests.screens.terminal import Terminal

WALLS = [f"WALL-A-{number}" for number in range(1, 5001)]


def names_shown(app: TableApp) -> list[str]:
    """Names on the screen from top to bottom, without the header."""
    return [match[0] for line in app.lines[1:] if (match := re.search(r"WALL-A-\d+", line))]


def signs(app: TableApp) -> dict[str, str]:
    """The gutter of each row that has something in it."""
    return {match[2]: match[1] for line in app.lines if (match := re.match(r"([›✓ ]{2})(WALL-A-\d+)", line))}


# Showing rows


async def test_before_the_first_rows_it_is_loading_and_without_rows_it_says_so() -> None:
    app = TableApp()
    async with app.shown() as pilot:
        await pilot.pause()
        assert any(line.strip() == "Loading …" for line in app.lines)
        app.table.set_rows(machines(2), NOW)
        await pilot.pause()
        assert not any("Loading" in line for line in app.lines)
        assert names_shown(app) == WALLS[:2]
        app.table.empty_text = "No node matches /wall-x/."
        app.table.set_rows([], NOW)
        await pilot.pause()
        message = next(line for line in app.lines if "No node" in line)
        assert abs(len(message) - len(message.lstrip()) - (80 - 25) // 2) <= 1, "in the middle"
        assert app.table.cursor_key is None
        app.table.clear()
        await pilot.pause()
        assert any("Loading" in line for line in app.lines)
        assert [message.key for message in app.said(FleetTable.Highlighted)] == ["WALL-A-1", None]


async def test_no_rows_at_first_is_not_loading_any_more() -> None:
    app = TableApp()
    async with app.shown() as pilot:
        await pilot.pause()
        app.table.set_rows([], NOW)
        await pilot.pause()
        assert [line.strip() for line in app.terminal().text if line.strip()][1:] == ["Nothing here.", "x"]


async def test_rows_may_be_set_before_the_table_is_on_the_screen() -> None:
    app = TableApp()
    app.table.set_rows(machines(3), NOW)
    async with app.shown() as pilot:
        await pilot.pause()
        assert names_shown(app) == WALLS[:3]
        assert app.table.cursor_key == "WALL-A-1"


async def test_text_from_outside_is_shown_as_it_is() -> None:
    row = Machine("WALL-A-1", note="[bold]a[/] \x1b[31m\n日本")
    app = TableApp([row])
    async with app.shown(90, 24) as pilot:
        await pilot.pause()
        assert "[bold]a[/] ␛[31m 日本" in app.lines[1]
        assert "\x1b[31m" not in app.written


async def test_what_is_too_long_ends_in_an_ellipsis_before_the_next_column() -> None:
    app = TableApp([Machine("WALL-A-日本語日本語日本語"), Machine("WALL-A-2")])
    async with app.shown() as pilot:
        await pilot.pause()
        assert "WALL-A-日本語日本語…  ● Ready" in app.lines[1], "widened up to its max_width"
        assert app.lines[2].index("● Ready") == 2 + 20 + 2


async def test_a_duplicate_key_is_refused() -> None:
    app = TableApp(machines(1))
    async with app.shown():
        with pytest.raises(ValueError, match="WALL-A-7"):
            app.table.set_rows([Machine("WALL-A-7"), Machine("WALL-A-7")])
        assert app.table.keys == ["WALL-A-1"]


# Moving


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ("down", "WALL-A-2"),
        ("j j k", "WALL-A-2"),
        ("up", "WALL-A-1"),
        ("G", "WALL-A-200"),
        ("end up", "WALL-A-199"),
        ("G g", "WALL-A-1"),
        ("G home", "WALL-A-1"),
        ("pagedown", "WALL-A-22"),
        ("ctrl+f ctrl+f", "WALL-A-43"),
        ("ctrl+f ctrl+b", "WALL-A-1"),
        ("G pageup", "WALL-A-179"),
        ("ctrl+d", "WALL-A-12"),
        ("G ctrl+u", "WALL-A-189"),
        ("ctrl+d ctrl+u", "WALL-A-1"),
    ],
)
async def test_keys_move_the_cursor_and_it_stays_in_view(keys: str, name: str) -> None:
    app = TableApp(machines(200))
    async with app.shown() as pilot:
        await pilot.press(*keys.split())
        await pilot.pause()
        assert app.table.cursor_key == name
        assert app.table.cursor_row == app.table.row(name)
        assert signs(app)[name] == "› "
        assert app.said(FleetTable.Highlighted)[-1].key == name
        assert app.terminal().text == app.lines


async def test_enter_selects() -> None:
    app = TableApp(machines(3))
    async with app.shown() as pilot:
        await pilot.press("j", "enter")
        assert [message.key for message in app.said(FleetTable.Selected)] == ["WALL-A-2"]


async def test_keys_do_nothing_without_rows() -> None:
    app = TableApp([])
    async with app.shown() as pilot:
        await pilot.press("j", "k", "G", "g", "space", "ctrl+@", "enter", "pagedown", "C", "left")
        assert app.table.cursor_key is None
        assert app.said(FleetTable.Selected) == app.said(FleetTable.MarksChanged) == []


async def test_a_program_may_move_the_cursor() -> None:
    app = TableApp(machines(100))
    async with app.shown() as pilot:
        assert app.table.move_cursor("WALL-A-90")
        assert not app.table.move_cursor("WALL-A-900")
        await pilot.pause()
        assert signs(app)["WALL-A-90"] == "› "


# The mouse


async def test_a_click_moves_a_double_click_selects_and_the_gutter_marks() -> None:
    app = TableApp(machines(100))
    async with app.shown() as pilot:
        await pilot.click(FleetTable, offset=(20, 5))
        assert app.table.cursor_key == "WALL-A-5"
        assert app.said(FleetTable.Selected) == []
        await pilot.click(FleetTable, offset=(20, 7), times=2)
        assert [message.key for message in app.said(FleetTable.Selected)] == ["WALL-A-7"]
        await pilot.click(FleetTable, offset=(1, 3))
        assert app.table.marked == {"WALL-A-3"}
        await pilot.click(FleetTable, offset=(30, 9), control=True)
        assert app.table.marked == {"WALL-A-3", "WALL-A-9"}
        await pilot.pause()
        assert signs(app)["WALL-A-9"] == "›✓"


async def test_a_click_below_the_rows_does_nothing() -> None:
    app = TableApp(machines(3))
    async with app.shown() as pilot:
        await pilot.click(FleetTable, offset=(20, 12), times=2)
        assert app.table.cursor_key == "WALL-A-1"
        assert app.said(FleetTable.Selected) == []


async def test_a_click_on_a_title_sorts() -> None:
    app = TableApp(machines(100))
    async with app.shown() as pilot:
        await pilot.click(FleetTable, offset=(app.lines[0].index("STATUS") + 2, 0))
        assert app.table.sorted_by == ("status", False)
        await pilot.click(FleetTable, offset=(app.lines[0].index("ARCH"), 0))
        assert app.table.sorted_by == ("status", False), "ARCH has nothing to sort by"


async def test_the_wheel_scrolls_and_leaves_the_cursor_and_the_header() -> None:
    app = TableApp(machines(100))
    async with app.shown() as pilot:
        for _ in range(4):
            await pilot._post_mouse_events([_scroll_down()], FleetTable, offset=(10, 10))
        await pilot.pause()
        assert app.table.cursor_key == "WALL-A-1"
        assert "WALL-A-1" not in names_shown(app)
        assert "NODE" in app.lines[0]
        assert app.terminal().text == app.lines
        app.table.set_rows([replace(row, load=1) for row in machines(100)], NOW)
        await pilot.pause()
        assert "WALL-A-1" not in names_shown(app), "news does not pull the view back to the cursor"
        await pilot.press("j")
        await pilot.pause()
        assert names_shown(app)[0] == "WALL-A-2"


def _scroll_down() -> Any:
    from textual.events import MouseScrollDown

    return MouseScrollDown


# Marks


async def test_space_marks_and_moves_down_and_again_takes_it_back() -> None:
    app = TableApp(machines(5))
    async with app.shown() as pilot:
        await pilot.press("space", "space", "j", "space")
        assert app.table.marked == {"WALL-A-1", "WALL-A-2", "WALL-A-4"}
        await pilot.pause()
        assert signs(app) == {
            "WALL-A-1": " ✓", "WALL-A-2": " ✓", "WALL-A-3": "  ", "WALL-A-4": " ✓", "WALL-A-5": "› ",
        }  # fmt: skip
        await pilot.press("g", "space")
        assert app.table.marked == {"WALL-A-2", "WALL-A-4"}
        assert [message.marked for message in app.said(FleetTable.MarksChanged)][-1] == app.table.marked


@pytest.mark.parametrize("key", ["ctrl+@", "ctrl+space"])
@pytest.mark.parametrize(("start", "end"), [("j j space", "j j"), ("G k space", "k k k k")])
async def test_a_range_reaches_from_the_last_mark_to_the_cursor(key: str, start: str, end: str) -> None:
    app = TableApp(machines(8))
    async with app.shown() as pilot:
        await pilot.press(*start.split())
        last = next(iter(app.table.marked))
        await pilot.press(*end.split(), key)
        low, high = sorted((WALLS.index(last), WALLS.index(str(app.table.cursor_key))))
        assert app.table.marked == set(WALLS[low : high + 1])
        assert len(app.table.marked) >= 3


async def test_a_range_follows_the_order_on_the_screen() -> None:
    app = TableApp([Machine("WALL-A-1", load=1), Machine("WALL-A-2", load=9), Machine("WALL-A-3", load=2)])
    async with app.shown() as pilot:
        await pilot.press("C", "g", "space", "ctrl+@")
        assert app.table.keys == ["WALL-A-2", "WALL-A-3", "WALL-A-1"]
        assert app.table.marked == {"WALL-A-2", "WALL-A-3"}


async def test_a_range_without_a_mark_marks_the_row_and_marks_are_cleared() -> None:
    app = TableApp(machines(5))
    async with app.shown() as pilot:
        await pilot.press("j", "ctrl+@")
        assert app.table.marked == {"WALL-A-2"}
        await pilot.press("ctrl+backslash", "j", "j", "ctrl+@")
        assert app.table.marked == {"WALL-A-4"}, "the range starts anew after clearing"
        app.table.mark({"WALL-A-1", "WALL-A-5"})
        assert app.table.marked == {"WALL-A-1", "WALL-A-5"}


async def test_marks_belong_to_keys_and_come_back_with_their_rows() -> None:
    rows = machines(5)
    app = TableApp(rows)
    async with app.shown() as pilot:
        await pilot.press("j", "space")
        app.table.set_rows([row for row in reversed(rows) if row.name != "WALL-A-2"], NOW)
        assert app.table.marked == frozenset(), "nobody acts on a row that is not there"
        app.table.set_rows(list(reversed(rows)), NOW)
        await pilot.pause()
        assert app.table.marked == {"WALL-A-2"}
        assert signs(app)["WALL-A-2"] == " ✓"
        assert [sorted(message.marked) for message in app.said(FleetTable.MarksChanged)] == [
            ["WALL-A-2"],
            [],
            ["WALL-A-2"],
        ]


# Sorting


async def test_shift_letter_sorts_again_turns_it_round_and_once_more_is_the_order_given() -> None:
    rows = [Machine("WALL-A-2", load=5), Machine("WALL-A-10", load=None), Machine("WALL-A-1", load=7)]
    app = TableApp(rows)
    async with app.shown() as pilot:
        await pilot.press("N")
        await pilot.pause()
        assert names_shown(app) == ["WALL-A-1", "WALL-A-2", "WALL-A-10"]
        assert "NODE▲" in app.lines[0]
        await pilot.press("N")
        await pilot.pause()
        assert names_shown(app) == ["WALL-A-10", "WALL-A-2", "WALL-A-1"]
        assert "NODE▼" in app.lines[0]
        await pilot.press("N")
        await pilot.pause()
        assert names_shown(app) == ["WALL-A-2", "WALL-A-10", "WALL-A-1"]
        assert "▲" not in app.lines[0]
        assert "▼" not in app.lines[0]
        await pilot.press("C")
        await pilot.pause()
        assert names_shown(app) == ["WALL-A-1", "WALL-A-2", "WALL-A-10"], "the highest load first"
        assert "CPU▼" in app.lines[0]
        await pilot.press("C")
        await pilot.pause()
        assert names_shown(app) == ["WALL-A-2", "WALL-A-1", "WALL-A-10"], "no value comes last either way"
        assert [(message.column, message.reverse) for message in app.said(FleetTable.Sorted)] == [
            ("name", False),
            ("name", True),
            ("", False),
            ("load", True),
            ("load", False),
        ]


async def test_the_arrow_moves_no_title() -> None:
    app = TableApp(machines(3))
    async with app.shown() as pilot:
        titles = [column.title for column in COLUMNS if column.title in app.lines[0]]
        before = [app.lines[0].index(title) for title in titles]
        for key in "NSC":
            await pilot.press(key)
            await pilot.pause()
            assert [app.lines[0].index(title) for title in titles] == before


async def test_keys_typed_fast_take_effect_in_the_order_typed() -> None:
    app = TableApp([Machine("WALL-A-1", load=1), Machine("WALL-A-2", load=2), Machine("WALL-A-3", load=3)])
    async with app.shown() as pilot:
        from textual.events import Key

        for key in ("j", "C", "j"):  # not pilot.press, which waits for each
            app.post_message(Key(key, key))
        await pilot.pause()
        await pilot.pause()
        assert app.table.keys == ["WALL-A-3", "WALL-A-2", "WALL-A-1"]
        assert app.table.cursor_key == "WALL-A-1"


async def test_a_row_moves_when_the_value_it_is_sorted_by_changes() -> None:
    rows = machines(3)
    app = TableApp(rows)
    async with app.shown() as pilot:
        await pilot.press("C")
        assert app.table.keys == ["WALL-A-2", "WALL-A-1", "WALL-A-3"]
        app.table.set_rows([rows[0], rows[1], replace(rows[2], load=99)], NOW)
        await pilot.pause()
        assert names_shown(app) == ["WALL-A-3", "WALL-A-2", "WALL-A-1"]
        assert app.table.cursor_key == "WALL-A-1"
        assert signs(app)["WALL-A-1"] == "› "
        assert app.terminal().text == app.lines


async def test_sort_letters_are_listed_for_the_help() -> None:
    app = TableApp(machines(3))
    async with app.shown():
        active = {key: found.binding.description for key, found in app.screen.active_bindings.items()}
        assert active["S"] == "Sort by STATUS"
        assert "A" not in active


def test_mistaken_columns_are_refused() -> None:
    def table(*letters: str) -> None:
        columns: list[Column[Any]] = [
            Column(f"c{number}", "C", 3, cell=lambda row, now: "", sort_letter=letter)
            for number, letter in enumerate(letters)
        ]
        FleetTable[Any](columns, str)

    table("A", "B", "")
    for letters in (("A", "A"), ("G",), ("a",), ("AB",), ("É",)):
        with pytest.raises(ValueError, match="letter"):
            table(*letters)
    with pytest.raises(ValueError, match="key"):
        FleetTable[Any]([COLUMNS[0], COLUMNS[0]], str)
    with pytest.raises(KeyError, match="arch"):
        FleetTable[Any](COLUMNS, str).sort_by("arch")


# The cursor through changes


async def test_the_neighbour_takes_the_cursor_of_a_row_that_is_gone() -> None:
    rows = machines(4)
    app = TableApp(rows)
    async with app.shown() as pilot:
        await pilot.press("j")
        app.table.set_rows([rows[0], rows[2], rows[3]], NOW)
        assert app.table.cursor_key == "WALL-A-3"
        app.table.set_rows([rows[0]], NOW)
        assert app.table.cursor_key == "WALL-A-1"
        await pilot.pause()
        assert [message.key for message in app.said(FleetTable.Highlighted)] == [
            "WALL-A-1",
            "WALL-A-2",
            "WALL-A-3",
            "WALL-A-1",
        ]


async def test_the_cursor_keeps_its_line_on_the_screen_when_rows_come_above() -> None:
    rows = machines(200)
    app = TableApp(rows[50:])
    async with app.shown() as pilot:
        await pilot.press(*["pagedown"] * 3)
        await pilot.pause()
        line = names_shown(app).index(str(app.table.cursor_key))
        app.table.set_rows(rows, NOW)
        await pilot.pause()
        assert names_shown(app).index(str(app.table.cursor_key)) == line
        assert app.terminal().text == app.lines


async def test_a_view_at_the_top_shows_what_comes_to_the_top() -> None:
    rows = machines(200)
    app = TableApp(rows[2:])
    async with app.shown() as pilot:
        app.table.set_rows(rows, NOW)
        await pilot.pause()
        assert names_shown(app)[0] == "WALL-A-1"
        assert app.table.cursor_key == "WALL-A-3"


async def test_far_fewer_rows_leave_no_empty_view() -> None:
    rows = machines(200)
    app = TableApp(rows)
    async with app.shown() as pilot:
        await pilot.press("G")
        app.table.set_rows(rows[:30], NOW)
        await pilot.pause()
        assert names_shown(app)[-1] == "WALL-A-30"
        assert len(names_shown(app)) == 22
        assert app.terminal().text == app.lines


# Widths


async def test_columns_drop_when_narrow_and_come_back_and_the_cursor_stays_in_view() -> None:
    app = TableApp(machines(100))
    async with app.shown(80, 40) as pilot:
        await pilot.press(*["j"] * 30)
        assert app.table.visible_columns == ("name", "status", "arch", "load", "age", "note")
        await pilot.resize_terminal(43, 10)
        await pilot.pause()
        assert list(app.table.visible_columns) == ["name", "status", "age", "note"]
        assert app.table.dropped_columns == ("arch", "load")
        assert signs(app)["WALL-A-31"] == "› "
        assert all(len(line) <= 43 for line in app.lines)
        await pilot.resize_terminal(30, 10)
        await pilot.pause()
        assert list(app.table.visible_columns) == ["name", "status", "note"], "the required ones stay"
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert app.table.visible_columns == ("name", "status", "arch", "load", "age", "note")
        assert app.terminal().text == app.lines


async def test_wide_shows_all_columns_and_scrolls_sideways_beside_the_first() -> None:
    app = TableApp(machines(100))
    async with app.shown(60, 24) as pilot:
        app.table.wide = True
        await pilot.pause()
        assert app.table.visible_columns == tuple(column.key for column in COLUMNS)
        assert "NOTE" not in app.lines[0]
        for _ in COLUMNS:
            await pilot.press("right")
        await pilot.pause()
        assert "NOTE" in app.lines[0]
        assert "note 3" in app.lines[3]
        assert app.lines[3].startswith("  WALL-A-3"), "the first column stays"
        assert app.terminal().text == app.lines
        await pilot.click(FleetTable, offset=(app.lines[0].index("CPU"), 0))
        assert app.table.sorted_by == ("load", True)
        for _ in COLUMNS:
            await pilot.press("left")
        app.table.wide = False
        await pilot.pause()
        await pilot.pause()
        assert "KERNEL" not in app.lines[0]
        assert app.terminal().text == app.lines


async def test_the_cursor_is_not_hidden_by_the_sideways_scrollbar() -> None:
    app = TableApp(machines(100))
    async with app.shown(60, 24) as pilot:
        await pilot.press(*["j"] * 21)
        app.table.wide = True
        await pilot.pause()
        await pilot.pause()
        assert signs(app)[str(app.table.cursor_key)] == "› "


async def test_left_and_right_are_free_when_all_fits() -> None:
    app = TableApp(machines(3))
    heard = []
    app.bind("left", "heard")
    app.action_heard = lambda: heard.append("left")  # type: ignore[attr-defined]
    async with app.shown() as pilot:
        await pilot.press("left")
        assert heard == ["left"]


async def test_columns_are_chosen() -> None:
    app = TableApp(machines(3))
    async with app.shown() as pilot:
        app.table.show_columns({"kernel"})
        await pilot.pause()
        assert app.table.visible_columns == ("name", "status", "kernel", "note")
        assert app.lines[0].split() == ["NODE", "STATUS", "KERNEL", "NOTE"]
        app.table.show_columns(None)
        await pilot.pause()
        assert app.terminal().text == app.lines
        assert "ARCH" in app.lines[0]


async def test_the_column_sorted_by_is_shown_before_others() -> None:
    app = TableApp(machines(3))
    async with app.shown(43, 24) as pilot:
        assert "load" in app.table.dropped_columns
        await pilot.press("C")
        await pilot.pause()
        assert "CPU▼" in app.lines[0]


# Only what changed is drawn


async def test_one_changed_cell_repaints_that_cell_and_sends_few_bytes() -> None:
    rows = machines(5000)
    app = TableApp(rows)
    async with app.shown(120, 40) as pilot:
        await pilot.pause()
        app.table.repaints.clear()
        before = len(app.written)
        rows[9] = replace(rows[9], load=98)
        app.table.set_rows(rows, NOW)
        await pilot.pause()
        (region,) = app.table.repaints
        assert region is not None
        assert (region.y, region.height, region.width) == (10, 1, 4)
        sent = app.written[before:]
        assert "98%" in sent
        assert len(sent.encode()) < 500
        assert app.terminal().text == app.lines


async def test_what_is_not_in_view_or_looks_the_same_is_not_drawn() -> None:
    rows = machines(5000)
    app = TableApp(rows)
    async with app.shown(120, 40) as pilot:
        await pilot.pause()
        app.table.repaints.clear()
        rows[4000] = replace(rows[4000], load=98)
        rows[5] = replace(rows[5], born=NOW - timedelta(seconds=30))
        app.table.set_rows(rows, NOW)
        app.table.set_rows([replace(row) for row in rows], NOW)
        await pilot.pause()
        assert app.table.repaints == []


async def test_cells_are_rendered_for_visible_rows_only() -> None:
    calls: list[str] = []

    def cell(machine: Machine, now: Any) -> str:
        calls.append(machine.name)
        return machine.name

    columns: list[Column[Machine]] = [
        Column("name", "NODE", 9, cell=cell, sort_key=lambda machine: machine.load, sort_letter="L")
    ]
    app = TableApp(machines(5000), columns)
    async with app.shown(120, 40) as pilot:
        await pilot.pause()
        assert len(set(calls)) <= 40
        calls.clear()
        await pilot.press("j")
        assert calls == [], "moving the cursor renders no cell"
        await pilot.press("L", "G")
        await pilot.pause()
        assert 0 < len(set(calls)) <= 120


async def test_ages_grow_by_tick_and_only_they_are_drawn() -> None:
    rows = [replace(row, born=NOW - timedelta(minutes=place)) for place, row in enumerate(machines(3))]
    app = TableApp(rows)
    async with app.shown() as pilot:
        await pilot.pause()
        app.table.repaints.clear()
        app.table.tick(NOW + timedelta(seconds=30))
        await pilot.pause()
        assert app.table.repaints == []
        app.table.tick(NOW + timedelta(minutes=1))
        await pilot.pause()
        assert {(region.y, region.width) for region in app.table.repaints if region} == {
            (1, 5),
            (2, 5),
            (3, 5),
        }
        assert [line.split()[-3] for line in app.terminal().text[1:4]] == ["1m", "2m", "3m"]


Step = Callable[[TableApp, Pilot[None]], Any]


def _set(rows: list[Machine]) -> Step:
    async def step(app: TableApp, pilot: Pilot[None]) -> None:
        kept = app.table.cursor_key
        app.table.set_rows(rows, NOW)
        if kept in {row.name for row in rows}:
            assert app.table.cursor_key == kept
        assert (app.table.cursor_key is None) == (not rows)

    return step


def _press(key: str) -> Step:
    async def step(app: TableApp, pilot: Pilot[None]) -> None:
        await pilot.press(key)

    return step


def _resize(size: tuple[int, int]) -> Step:
    async def step(app: TableApp, pilot: Pilot[None]) -> None:
        await pilot.resize_terminal(*size)

    return step


def _set_wide(wide: bool) -> Step:
    async def step(app: TableApp, pilot: Pilot[None]) -> None:
        app.table.wide = wide

    return step


def _focus(table: bool) -> Step:
    async def step(app: TableApp, pilot: Pilot[None]) -> None:
        app.set_focus(app.table if table else app.query_one(Button))

    return step


pictures = st.lists(
    st.builds(
        Machine,
        st.sampled_from(WALLS[:40]),
        st.booleans(),
        st.one_of(st.none(), st.integers(0, 9)),
        st.sampled_from(["", "short", "a longer note about it", "日本語"]),
    ),
    unique_by=lambda machine: machine.name,
    max_size=35,
)
keys = ["j", "k", "G", "g", "pagedown", "ctrl+u", "space", "ctrl+@", "C", "N", "S", "right", "left"]
sizes = [(80, 24), (40, 12), (120, 30), (25, 5)]
steps = st.one_of(
    pictures.map(_set),
    st.sampled_from(keys).map(_press),
    st.sampled_from(sizes).map(_resize),
    st.booleans().map(_set_wide),
    st.booleans().map(_focus),
)


# Each example is an app of its own: shrinking one would take many minutes.
@settings(
    max_examples=40,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(steps, min_size=1, max_size=12))
async def test_whatever_happens_the_terminal_shows_what_a_full_repaint_would(run: list[Step]) -> None:
    app = TableApp(machines(12))
    async with app.shown() as pilot:
        for step in run:
            await step(app, pilot)
        await pilot.pause()
        await pilot.pause()
        terminal = app.terminal()
        fresh = app.painted_anew()
        assert terminal.text == fresh.text
        assert terminal.looks == fresh.looks


# Looks


async def test_the_cursor_is_seen_by_colour_and_dimmed_without_focus() -> None:
    app = TableApp(machines(3))
    async with app.shown() as pilot:
        await pilot.pause()
        focused = _styles(app.painted_anew(), 1)
        assert focused != _styles(app.painted_anew(), 2)
        app.set_focus(app.query_one(Button))
        await pilot.pause()
        assert _styles(app.terminal(), 1) not in (focused, _styles(app.terminal(), 2))
        app.set_focus(app.table)
        await pilot.pause()
        assert _styles(app.terminal(), 1) == focused


def _styles(terminal: Terminal, y: int) -> set[str]:
    """Styles of the cells of the first column."""
    return {style for _, style in terminal.cells[y][2:10]}


@pytest.mark.parametrize("theme", ["textual-dark", "ansi-dark"])
async def test_without_colour_the_cursor_is_reversed(theme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = TableApp(machines(3))
    app.theme = theme
    async with app.shown() as pilot:
        await pilot.pause()
        reversed_lines = [
            y for y in range(4) if all("7" in style.split(";") for style in _styles(app.terminal(), y))
        ]
        assert reversed_lines == [1]
        assert signs(app)["WALL-A-1"] == "› "


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "ansi-dark", "ansi-light"])
async def test_states_have_colours_of_their_own_in_every_theme(theme: str) -> None:
    names = ("ok", "warn", "error", "accent")
    columns: list[Column[Machine]] = [
        Column("name", "NODE", 9, cell=lambda machine, now: machine.name),
        *(Column(name, name, 8, cell=lambda m, now, name=name: Span("state", name)) for name in names),  # type: ignore[misc]
    ]
    app = TableApp(machines(3), columns)
    app.theme = theme
    async with app.shown() as pilot:
        await pilot.pause()
        line = app.terminal().cells[2]
        starts = [
            index for index in range(80) if "".join(cell[0] for cell in line[index : index + 5]) == "state"
        ]
        looks = {line[start][1] for start in starts} | {line[2][1]}
        assert len(starts) == 4
        assert len(looks) >= 4, "ansi-dark has one green for ok and accent"
        app.table.set_rows(machines(4), NOW)
        app.theme = "textual-light" if theme != "textual-light" else "textual-dark"
        await pilot.pause()
        assert app.terminal().looks == app.painted_anew().looks, "a change of theme leaves nothing behind"
