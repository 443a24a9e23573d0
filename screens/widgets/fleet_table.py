"""A table of live rows on Textual's line API: only cells that look different are sent to the terminal.

The cursor and the marks belong to the rows' keys. Rows are immutable values; ``set_rows`` is called with
each new picture of the fleet, and costs by what changed on screen, not by how many rows there are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar, get_args

from rich.style import Style
from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import var
from textual.scroll_view import ScrollView
from textual.strip import Strip

from screens.widgets.cells import CellValue, Span, StyleName
from screens.widgets.columns import GUTTER, Column, Layout, lay_out
from screens.widgets.ordered_rows import OrderedRows, scroll_after_change
from screens.widgets.table_lines import Palette, header_strip, message_lines, scrolled
from screens.widgets.table_view import TableView, differences

__all__ = ["CellValue", "Column", "FleetTable", "Span"]

R = TypeVar("R")

HEADER_HEIGHT = 1
#: Letters that already mean something with shift.
_TAKEN_LETTERS = frozenset("G")


class FleetTable(ScrollView, Generic[R], can_focus=True):
    """A table of rows of type R, each with a unique key.

    ``FleetTable(columns, row_key)``; then ``set_rows`` whenever there is news, and ``tick`` so that ages
    grow. Before the first ``set_rows`` it shows ``loading_text``, without rows ``empty_text``.
    """

    ALLOW_SELECT = False

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "Details", show=False),
        Binding("up,k", "cursor_up", "Up", show=False),
        Binding("down,j", "cursor_down", "Down", show=False),
        Binding("home,g", "cursor_top", "First row", show=False),
        Binding("end,G", "cursor_bottom", "Last row", show=False),
        Binding("pageup,ctrl+b", "page_up", "Page up", show=False),
        Binding("pagedown,ctrl+f", "page_down", "Page down", show=False),
        Binding("ctrl+u", "half_page_up", "Half a page up", show=False),
        Binding("ctrl+d", "half_page_down", "Half a page down", show=False),
        Binding("left", "sideways(-1)", "Scroll left", show=False),
        Binding("right", "sideways(1)", "Scroll right", show=False),
        Binding("space", "toggle_mark", "mark", show=False),
        # Terminals send ctrl+space as NUL, which is ctrl+@.
        Binding("ctrl+@,ctrl+space", "mark_range", "mark up to here", show=False, key_display="^space"),
        Binding("ctrl+backslash", "clear_marks", "clear marks", show=False),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "fleet-table--header",
        "fleet-table--header-sorted",
        "fleet-table--cursor",
        "fleet-table--marked",
        "fleet-table--message",
        "fleet-table--cell-ok",
        "fleet-table--cell-warn",
        "fleet-table--cell-error",
        "fleet-table--cell-dim",
        "fleet-table--cell-accent",
    }

    DEFAULT_CSS = """
    FleetTable {
        width: 1fr;
        height: 1fr;
        background: $background;
        color: $foreground;
        overflow-x: auto;
        overflow-y: auto;
        scrollbar-gutter: stable;
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 1;

        & > .fleet-table--header { color: $text-muted; text-style: bold; }
        & > .fleet-table--header-sorted { color: $foreground; text-style: bold; }
        & > .fleet-table--message { color: $text-muted; }
        & > .fleet-table--cell-ok { color: $text-success; }
        & > .fleet-table--cell-warn { color: $text-warning; }
        & > .fleet-table--cell-error { color: $text-error; text-style: bold; }
        & > .fleet-table--cell-dim { color: $text-muted; }
        & > .fleet-table--cell-accent { color: $text-primary; }
        & > .fleet-table--marked { background: $primary 15%; text-style: bold; }
        & > .fleet-table--cursor {
            background: $block-cursor-blurred-background;
            color: $block-cursor-blurred-foreground;
            text-style: $block-cursor-blurred-text-style;
        }
        &:ansi > .fleet-table--cursor { text-style: bold; }
        &:focus > .fleet-table--header { color: $foreground; }
        &:focus > .fleet-table--header-sorted { color: $text-primary; }
        &:focus > .fleet-table--cursor {
            background: $block-cursor-background;
            color: $block-cursor-foreground;
            text-style: $block-cursor-text-style;
        }
        &:nocolor:focus > .fleet-table--cursor { text-style: reverse; }
        &:ansi > .fleet-table--marked { background: ansi_default; text-style: bold; }
        &:ansi > .fleet-table--cell-dim { color: ansi_default; text-style: dim; }
    }
    """

    wide: var[bool] = var(False, init=False)
    empty_text: var[str] = var("Nothing here.", init=False)
    loading_text: var[str] = var("Loading …", init=False)

    class TableMessage(Message):
        """A message of a table; ``control`` makes ``@on(..., "#id")`` work."""

        def __init__(self, table: FleetTable[Any]) -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> FleetTable[Any]:
            return self.table

    class Highlighted(TableMessage):
        """The cursor is on another key; None when there are no rows."""

        def __init__(self, table: FleetTable[Any], key: str | None) -> None:
            super().__init__(table)
            self.key = key

    class Selected(TableMessage):
        """A row was chosen with enter or a double click."""

        def __init__(self, table: FleetTable[Any], key: str) -> None:
            super().__init__(table)
            self.key = key

    class MarksChanged(TableMessage):
        """Other rows are marked than before."""

        def __init__(self, table: FleetTable[Any], marked: frozenset[str]) -> None:
            super().__init__(table)
            self.marked = marked

    class Sorted(TableMessage):
        """The admin sorted by a column; ``column`` is "" for the order given."""

        def __init__(self, table: FleetTable[Any], column: str, reverse: bool) -> None:
            super().__init__(table)
            self.column = column
            self.reverse = reverse

    def __init__(
        self,
        columns: Sequence[Column[R]],
        row_key: Callable[[R], str],
        *,
        empty_text: str | None = None,
        loading_text: str | None = None,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self._columns = _checked(columns)
        self._ordered: OrderedRows[R] = OrderedRows(row_key)
        self._loaded = False
        self._now = datetime.now(UTC)
        self._cursor_key: str | None = None
        self._marks: set[str] = set()
        self._marked: frozenset[str] = frozenset()
        self._range_start: str | None = None
        self._sort: tuple[str, bool] = ("", False)
        self._chosen: frozenset[str] | None = None
        self._columns_layout: Layout[R] | None = None
        self._layout_width = -1
        self._palette_cache: Palette | None = None
        self._view: TableView[R] = TableView()
        self._cursor_seen = False
        for column in self._columns:
            if column.sort_letter:
                # Bindings, not on_key: keys typed fast take effect in the order typed, and help lists them.
                self._bindings.bind(
                    column.sort_letter,
                    f"sort_next('{column.sort_letter}')",
                    f"Sort by {column.title}",
                    show=False,
                )
        if empty_text is not None:
            self.set_reactive(FleetTable.empty_text, empty_text)
        if loading_text is not None:
            self.set_reactive(FleetTable.loading_text, loading_text)

    # What it shows

    @property
    def row_count(self) -> int:
        return len(self._ordered)

    @property
    def keys(self) -> list[str]:
        """Keys in the order shown."""
        return self._ordered.keys()

    @property
    def cursor_key(self) -> str | None:
        return self._cursor_key

    @property
    def cursor_row(self) -> R | None:
        return self._ordered.get(self._cursor_key) if self._cursor_key is not None else None

    @property
    def marked(self) -> frozenset[str]:
        """Keys of the marked rows that are in the table. A mark outlives its row: a row that a filter
        hides comes back marked."""
        return self._marked

    @property
    def sorted_by(self) -> tuple[str, bool]:
        """The sorted column's key ("" for the order given), and whether it is reversed."""
        return self._sort

    @property
    def columns(self) -> tuple[Column[R], ...]:
        return self._columns

    @property
    def chosen_columns(self) -> frozenset[str] | None:
        return self._chosen

    @property
    def visible_columns(self) -> tuple[str, ...]:
        return self._current_layout.keys

    @property
    def dropped_columns(self) -> tuple[str, ...]:
        """Columns that were wanted and have no room."""
        return self._current_layout.dropped

    def row(self, key: str) -> R | None:
        return self._ordered.get(key)

    # What changes it

    def set_rows(self, rows: Sequence[R], now: datetime | None = None) -> None:
        """Show these rows, as of ``now``. Raises ValueError when two rows have one key."""
        if now is not None:
            self._now = now
        before = self._ordered.position(self._cursor_key)
        moved, selected = self._ordered.replace(rows, self._cursor_key)
        if not self._loaded:
            self._loaded = True
            self.refresh()  # it may be another message, with no more rows than before
        if moved:
            self._rows_moved(before, selected)
        else:
            self._sync()

    def tick(self, now: datetime) -> None:
        """Let ages grow: only the texts that change are redrawn."""
        self._now = now
        self._sync()

    def clear(self) -> None:
        """Forget rows, cursor, marks and widths, as for another cluster; shows ``loading_text`` again."""
        self._marks.clear()
        self._range_start = None
        self._view.wants.clear()
        self._columns_layout = None
        self.set_rows(())
        self._loaded = False
        self.refresh()

    def move_cursor(self, key: str) -> bool:
        """Put the cursor on a row and bring it into view; False when there is no such row."""
        position = self._ordered.position(key)
        if position is None:
            return False
        self._move_to(position)
        return True

    def mark(self, keys: Collection[str]) -> None:
        """Mark exactly these rows."""
        self._marks = set(keys)
        self._marks_changed()

    def clear_marks(self) -> None:
        self._range_start = None
        self.mark(())

    def sort_by(self, column: str, *, reverse: bool = False) -> None:
        """Sort by a column; "" is the order given. Raises KeyError for a column that can't be sorted by."""
        sort_key = None
        if column:
            sort_key = next((each.sort_key for each in self._columns if each.key == column), None)
            if sort_key is None:
                raise KeyError(f"no column {column!r} to sort by")
        before = self._ordered.position(self._cursor_key)
        self._sort = (column, reverse)
        self._ordered.sort(sort_key, reverse=reverse)
        self._relayout()
        self._rows_moved(before, self._cursor_key)

    def show_columns(self, keys: Collection[str] | None) -> None:
        """Show these columns (and the required ones); None goes back to the standard ones."""
        self._chosen = None if keys is None else frozenset(keys)
        self._relayout()

    def _rows_moved(self, before: int | None, selected: str | None) -> None:
        """Rows came, went or changed places; ``before`` is where the cursor stood."""
        count = len(self._ordered)
        if selected is None and count:
            selected = self._ordered.key_at(0)
        after = self._ordered.position(selected)
        top = scroll_after_change(self.scroll_offset.y, before, after, self._page)
        self._fit_virtual_size()
        self._scroll_rows(min(top, max(0, count - self._page)))
        self._marks_changed()
        self._set_cursor(selected)
        self._sync()

    def _set_cursor(self, key: str | None) -> None:
        if key != self._cursor_key:
            self._cursor_key = key
            self.post_message(self.Highlighted(self, key))

    def _move_to(self, position: int) -> None:
        """Put the cursor on a line, as near as there is one, and bring it into view."""
        if not len(self._ordered):
            return
        position = max(0, min(position, len(self._ordered) - 1))
        self._set_cursor(self._ordered.key_at(position))
        self._bring_into_view(position)
        self._sync()

    def _bring_into_view(self, position: int) -> None:
        self._scroll_rows(min(max(self.scroll_offset.y, position - self._page + 1), position))

    def _scroll_rows(self, top: int) -> None:
        if top != self.scroll_offset.y:
            self.scroll_to(y=top, animate=False, force=True)

    def _marks_changed(self) -> None:
        marked = frozenset(key for key in self._marks if key in self._ordered)
        if marked != self._marked:
            self._marked = marked
            self.post_message(self.MarksChanged(self, marked))
            self._sync()

    def _toggle_mark(self, key: str) -> None:
        self._marks ^= {key}
        self._range_start = key
        self._marks_changed()

    # What is on the screen

    @property
    def _room(self) -> Size:
        """What the scrollbars leave of the widget; ``size`` includes them."""
        width, height = self.container_size
        return Size(width - self.scrollbar_size_vertical, height - self.scrollbar_size_horizontal)

    @property
    def _page(self) -> int:
        """Rows that fit below the header."""
        return max(0, self._room.height - HEADER_HEIGHT)

    @property
    def _current_layout(self) -> Layout[R]:
        if self._columns_layout is None or self._layout_width != self._room.width:
            self._layout_width = self._room.width
            self._columns_layout = lay_out(
                self._columns,
                self._layout_width,
                wide=self.wide,
                chosen=self._chosen,
                pinned=self._sort[0],
                wants=self._view.wants,
            )
        return self._columns_layout

    @property
    def _frozen(self) -> int:
        """Cells at the left that stay when scrolled sideways: the first column, if it leaves room."""
        places = self._current_layout.places
        return places[1].x if len(places) > 1 and places[1].x * 2 <= self._room.width else 0

    def _relayout(self) -> None:
        """Columns may be others, or elsewhere: draw everything anew."""
        self._columns_layout = None
        self._fit_virtual_size()
        self.refresh()
        self._sync()

    def _fit_virtual_size(self) -> None:
        self.virtual_size = Size(self._current_layout.width, HEADER_HEIGHT + len(self._ordered))

    def _sync(self) -> None:
        """Compare what should be seen with what is, and repaint the cells that look different."""
        if not self.is_mounted or not self._page:
            return
        old = self._view.shown
        self._compose_view()
        new = self._view.shown
        self._cursor_seen = any(shown.cursor for shown in new)
        for y, x1, x2 in differences(old, new, self._current_layout, self._room.width):
            self.refresh(Region(x1, y + HEADER_HEIGHT, x2 - x1, 1))

    def _compose_view(self) -> None:
        """Render the rows in view; widens columns for texts that need it."""
        top = self.scroll_offset.y
        while not self._view.compose(
            self._ordered.items(top, top + self._page),
            self._current_layout,
            self._now,
            self._cursor_key,
            self._marked,
        ):
            self._columns_layout = None
            self._fit_virtual_size()
            self.refresh()

    # Drawing

    def render_lines(self, crop: Region) -> list[Strip]:
        # After a resize the screen is painted before the resize event comes.
        due = max(0, min(self._page, len(self._ordered) - self.scroll_offset.y))
        if self._layout_width != self._room.width or len(self._view.shown) != due:
            self._compose_view()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """One line of the widget, ``y`` cells from its top; also asked for lines under the scrollbar."""
        layout, palette, width = self._current_layout, self._palette, self._room.width
        row = y - HEADER_HEIGHT
        if row < 0:
            strip = header_strip(layout, palette, sorted_key=self._sort[0], reverse=self._sort[1])
        elif row < len(self._view.shown):
            strip = self._view.shown[row].strip(palette)
        elif row < self._page and not len(self._ordered):
            message = self.empty_text if self._loaded else self.loading_text
            return message_lines(message, width, self._page, palette)[row]
        else:
            return Strip.blank(width, palette.cells[""])
        if layout.width > width:
            return scrolled(strip, self.scroll_offset.x, width, self._frozen)
        return strip.extend_cell_length(width, palette.cells[""])

    @property
    def _palette(self) -> Palette:
        if self._palette_cache is None:
            base = self.rich_style
            names: tuple[StyleName, ...] = get_args(StyleName)
            cells = {name: self._component(f"cell-{name}") if name else base for name in names}
            marked = self._component("marked")
            # Only the ink of a cell's style: the paper is the mark's.
            inks = {name: style.without_color + Style(color=style.color) for name, style in cells.items()}
            self._palette_cache = Palette(
                cells=cells,
                marked={name: marked + inks[name] if name else marked for name in names},
                cursor=self._component("cursor"),
                header=self._component("header"),
                header_sorted=self._component("header-sorted"),
                message=self._component("message"),
            )
        return self._palette_cache

    def _component(self, name: str) -> Style:
        return self.get_component_rich_style(f"fleet-table--{name}")

    def notify_style_update(self) -> None:
        """The stylesheet, the theme or the focus changed the styles: strips drawn before are void."""
        super().notify_style_update()
        self._palette_cache = None
        self._view.forget_strips()

    # Events

    def watch_wide(self) -> None:
        self._relayout()

    def watch_empty_text(self) -> None:
        self.refresh()

    def watch_loading_text(self) -> None:
        self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        # Instead of ScrollView's: lines that look the same after scrolling are not sent again.
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.position = new_value
        if round(old_value) != round(new_value):
            self._sync()

    def watch_show_horizontal_scrollbar(self) -> None:
        self._keep_cursor_in_view()

    def on_resize(self) -> None:
        seen = self._cursor_seen
        self._relayout()
        self._cursor_seen = seen
        self._keep_cursor_in_view()

    def _keep_cursor_in_view(self) -> None:
        """The room has changed: a cursor that was seen is brought back into view."""
        position = self._ordered.position(self._cursor_key)
        if self._cursor_seen and position is not None:
            self._bring_into_view(position)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        event.stop()
        layout = self._current_layout
        x = offset.x if offset.x < self._frozen else offset.x + self.scroll_offset.x
        if offset.y < HEADER_HEIGHT:
            place = layout.at(x)
            if place is not None and place.column.sort_key is not None:
                self._sort_next(place.column)
            return
        position = offset.y - HEADER_HEIGHT + self.scroll_offset.y
        if position >= len(self._ordered):
            return
        self._move_to(position)
        key = self._ordered.key_at(position)
        if event.ctrl or x < GUTTER:
            self._toggle_mark(key)
        elif event.chain == 2:
            self.post_message(self.Selected(self, key))

    def _sort_next(self, column: Column[R]) -> None:
        """Sort by the column; again turns it round, once more goes back to the order given."""
        first = column.descending_first
        if self._sort == (column.key, first):
            self.sort_by(column.key, reverse=not first)
        elif self._sort == (column.key, not first):
            self.sort_by("")
        else:
            self.sort_by(column.key, reverse=first)
        self.post_message(self.Sorted(self, *self._sort))

    # Actions

    def _step(self, lines: int) -> None:
        position = self._ordered.position(self._cursor_key)
        if position is not None:
            self._move_to(position + lines)

    def action_cursor_up(self) -> None:
        self._step(-1)

    def action_cursor_down(self) -> None:
        self._step(1)

    def action_cursor_top(self) -> None:
        self._move_to(0)

    def action_cursor_bottom(self) -> None:
        self._move_to(len(self._ordered) - 1)

    def action_page_up(self) -> None:
        self._step(-max(1, self._page - 1))

    def action_page_down(self) -> None:
        self._step(max(1, self._page - 1))

    def action_half_page_up(self) -> None:
        self._step(-max(1, self._page // 2))

    def action_half_page_down(self) -> None:
        self._step(max(1, self._page // 2))

    def action_sideways(self, direction: int) -> None:
        """Scroll by a column: to the right for 1, to the left for -1."""
        if self._current_layout.width <= self._room.width:
            raise SkipAction  # nothing to scroll: the key may mean something elsewhere
        x, frozen = self.scroll_offset.x, self._frozen
        stops = [place.x - max(frozen, GUTTER) for place in self._current_layout.places]
        if direction > 0:
            x = min((stop for stop in stops if stop > x), default=x)
        else:
            x = max((stop for stop in stops if stop < x), default=0)
        self.scroll_to(x=x, animate=False, force=True)

    def action_sort_next(self, letter: str) -> None:
        """Sort by the column with this letter; again turns it round, once more is the order given."""
        self._sort_next(next(column for column in self._columns if column.sort_letter == letter))

    def action_select(self) -> None:
        if self._cursor_key is not None:
            self.post_message(self.Selected(self, self._cursor_key))

    def action_toggle_mark(self) -> None:
        if self._cursor_key is not None:
            self._toggle_mark(self._cursor_key)
            self._step(1)

    def action_mark_range(self) -> None:
        """Mark from the last mark to the cursor, both included."""
        here = self._ordered.position(self._cursor_key)
        if here is None:
            return
        start = self._ordered.position(self._range_start)
        start = here if start is None else start
        self._marks.update(self._ordered.keys(min(start, here), max(start, here) + 1))
        self._range_start = self._cursor_key
        self._marks_changed()

    def action_clear_marks(self) -> None:
        self.clear_marks()


def _checked(columns: Sequence[Column[R]]) -> tuple[Column[R], ...]:
    """The columns, if keys and letters are unique and no letter means something else."""
    keys = [column.key for column in columns]
    letters = [column.sort_letter for column in columns if column.sort_letter]
    if len(set(keys)) != len(keys):
        raise ValueError(f"columns with one key: {keys}")
    if len(set(letters)) != len(letters):
        raise ValueError(f"columns with one sort letter: {letters}")
    for letter in letters:
        if letter in _TAKEN_LETTERS or len(letter) != 1 or not "A" <= letter <= "Z":
            raise ValueError(f"{letter!r} can't be a sort letter: a capital letter other than G is needed")
    return tuple(columns)
