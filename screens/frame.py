"""The frame of every main screen: header, tabs, what is not live, the content, and the keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from rich.cells import cell_len
from textual.actions import parse
from textual.app import ComposeResult
from textual.binding import ActiveBinding
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Static

from axiom_tui.model import headline
from axiom_tui.model.cells import Cell
from axiom_tui.model.fleet import Fleet
from screens.widgets.cells import Span, visible_lines, visible_text
from screens.widgets.columns import Column
from screens.widgets.fleet_table import FleetTable

if TYPE_CHECKING:
    from axiom_tui.app import AxiomApp

R = TypeVar("R")

#: The main screens: key, mode, title.
TABS = (
    ("1", "nodes", "Nodes"),
    ("2", "exposure", "Exposure"),
    ("5", "findings", "Findings"),
    ("6", "journal", "Journal"),
)


def wall_clock() -> datetime:
    """What the clock of this workstation says, in the admin's own zone."""
    return datetime.now().astimezone()


def now() -> datetime:
    """The moment as the admin's clock shows it."""
    return wall_clock()


def styled(cell: Cell) -> Content:
    """A cell as content: never read as markup, and nothing in it can steer the terminal."""
    return Content.styled(
        visible_lines(cell.text), f"$text-{_COLOURS[cell.style]}" if cell.style in _COLOURS else ""
    )


def column(
    key: str, title: str, width: int, cell: Callable[[R, datetime], Cell], **options: Any
) -> Column[R]:
    """A table column whose cells are the model's; ``options`` as `Column` takes them."""

    def spans(row: R, moment: datetime) -> Span:
        text, style = cell(row, moment)
        return Span(text, style.value)

    return Column(key, title, width, cell=spans, **options)


_COLOURS = {"ok": "success", "warn": "warning", "error": "error", "accent": "accent", "dim": "muted"}


#: So much of the screen is given to what is not live.
MOST_TROUBLE_LINES = 5

#: What the framework calls its keys, in our words.
OUR_WORDS = {
    "Press button": "press it",
    "Show menu": "open the list",
    "Dismiss menu": "close the list",
    "Select": "take it",
}

#: Actions whose keys stand in every key bar, however narrow.
ALWAYS_SHOWN = ("app.help", "help", "app.command_line", "command_line")


def keys_of(screen: Screen[Any]) -> list[ActiveBinding]:
    """The keys that work now. Where the focused table takes one, it is the screen that says what it does."""
    found = []
    for key, active in screen.active_bindings.items():
        if not active.enabled:
            continue
        if isinstance(active.node, FleetTable):
            shown = [item for item in screen._bindings.key_to_bindings.get(key, ()) if item.show]
            own = next((item for item in shown if _is_offered(screen, item.action)), None)
            if shown and own is None:
                continue  # there is nothing that it would do now
            active = active._replace(binding=own or active.binding)
        said = OUR_WORDS.get(active.binding.description)
        found.append(active._replace(binding=replace(active.binding, description=said)) if said else active)
    return found


def _is_offered(screen: Screen[Any], action: str) -> bool:
    """Whether the screen has a meaning for the action now."""
    _, name, parameters = parse(action)
    return bool(screen.check_action(name, parameters))


class FrameHeader(Widget):
    """One line: the cluster, its size, how live each plane is, and how much is wrong."""

    def __init__(self) -> None:
        super().__init__()
        self._shown = Content("")

    def show(self, fleet: Fleet) -> None:
        """Render anew, and repaint only if something changed."""
        content = self._content(fleet)
        if content != self._shown:
            self._shown = content
            self.refresh()

    def render(self) -> Content:
        return self._shown

    def _content(self, fleet: Fleet) -> Content:
        moment = now()
        cluster = fleet.cluster
        where = visible_text(cluster.name) or "connecting …"
        planes = [styled(cell) for cell in headline.planes(fleet, moment)]
        findings = styled(headline.findings(fleet))
        context = (
            f"(context {visible_text(cluster.context)})" if cluster.context not in ("", cluster.name) else ""
        )
        size = Content(headline.size(fleet))
        # From the fullest to the barest; the first that fits is shown. Cluster and findings always stay.
        variants: tuple[Sequence[Content], ...] = (
            [Content(context), size, *planes, findings],
            [size, *planes, findings],
            [*planes, findings],
            [findings],
        )
        title = Content.assemble((" AXIOM ", "bold"), " ", (where, "bold $text-accent"))
        room = self.size.width or 80
        for parts in variants:
            line = Content("   ").join([title, *(part for part in parts if part.plain)])
            if cell_len(line.plain) <= room:
                return line
        return line

    def on_resize(self) -> None:
        if isinstance(self.screen, FleetScreen):
            self.show(self.screen.fleet)


class TabLine(Widget):
    """The names of the main screens with their keys; the one shown stands out by more than colour."""

    def __init__(self, current: str) -> None:
        super().__init__()
        self._current = current

    def render(self) -> Content:
        app: AxiomApp = self.app  # type: ignore[assignment]
        count = app.cut_short
        whole = self._line(f" ▲ {count} cut short" if count else "")
        return whole if cell_len(whole.plain) <= (self.size.width or 80) else self._line(f" ▲{count}")

    def _line(self, mark: str) -> Content:
        """All tabs; ``mark`` stands behind the journal's title, and is no more than it needs."""
        parts = []
        for key, mode, title in TABS:
            is_current = mode == self._current
            style = f"{'bold reverse' if is_current else ''} @click=app.show_screen('{mode}')".strip()
            marked = Content.styled(mark, "bold $text-warning") if mode == "journal" else Content("")
            text = Content.assemble(f"{key} {title}", marked)
            parts.append(
                Content.assemble(*(("[", text, "]") if is_current else (" ", text, " "))).stylize(style)
            )
        return Content(" ").join(parts)


class TroubleLine(Static):
    """Why something is not live; hidden while all is well."""

    def show(self, lines: Sequence[str]) -> None:
        width = max(20, (self.screen.size.width or 80) - 2)
        fitting: list[str] = []
        room = MOST_TROUBLE_LINES
        for line in lines:
            room -= -(-cell_len(line) // width)  # rounded up: what it takes when it is wrapped
            if fitting and room < (1 if len(fitting) + 1 < len(lines) else 0):
                break
            fitting.append(line)
        rest = len(lines) - len(fitting)
        if rest:
            fitting.append(f"… and {rest} more: m shows them all")
        text = "\n".join(fitting)
        if text != self._text:
            self._text = text
            self.update(Content(visible_lines(text)))
            self.display = bool(text)

    _text = ""


class KeyBar(Widget):
    """The keys that work here, and the marks that can't be overlooked."""

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.refresh())
        self.app.screen_change_signal.subscribe(self, lambda _: self.refresh())

    def render(self) -> Content:
        app: AxiomApp = self.app  # type: ignore[assignment]
        marks = Content(" ").join(
            Content.styled(f" {mark} ", "bold reverse $text-warning") for mark in app.marks()
        )
        room = (self.size.width or 80) - cell_len(marks.plain) - 1
        # Under a dialog no key works but the dialog's own.
        is_covered = isinstance(app.screen, ModalScreen) and app.screen is not self.screen
        keys_here = [] if is_covered else keys_of(self.screen)
        shown = [active for active in keys_here if active.binding.show]
        # The way to all other keys is always there; of the rest as many as there is room for.
        always = Content("").join(
            self._item(active) for active in shown if active.binding.action in ALWAYS_SHOWN
        )
        keys = Content("")
        for active in shown:
            if active.binding.action in ALWAYS_SHOWN:
                continue
            item = self._item(active)
            if cell_len((keys + item + always).plain.rstrip()) > room:
                break
            keys += item
        keys = (keys + always).rstrip()
        gap = " " * max(1, room + 1 - cell_len(keys.plain))
        return keys + gap + marks

    def _item(self, active: ActiveBinding) -> Content:
        binding = active.binding
        item = Content.assemble(
            (self.app.get_key_display(binding), "bold $text-accent"), f" {binding.description}  "
        )
        return item.stylize(f"@click=screen.run_binding('{binding.action}')")


class FleetScreen(Screen[None]):
    """A main screen: it renders the app's fleet and keeps no second copy of it."""

    MODE: ClassVar[str] = ""
    AUTO_FOCUS = "#body"

    def compose(self) -> ComposeResult:
        yield FrameHeader()
        yield TabLine(self.MODE)
        yield TroubleLine()
        yield from self.compose_body()
        yield KeyBar()

    def compose_body(self) -> ComposeResult:
        """The content; the widget that takes the focus has the id ``body``."""
        raise NotImplementedError

    def show_fleet(self, fleet: Fleet) -> None:
        """Bring the content up to date."""
        raise NotImplementedError

    @property
    def fleet(self) -> Fleet:
        app: AxiomApp = self.app  # type: ignore[assignment]
        return app.fleet

    @property
    def is_whole(self) -> bool:
        """Composed, and not being taken apart: while the program ends, screens lose their widgets one by one,
        and timers and messages still come."""
        return self.is_mounted and self.app.is_running

    def on_mount(self) -> None:
        self.query_one(TroubleLine).display = False
        self.refresh_fleet()

    def on_screen_resume(self) -> None:
        self.refresh_fleet()
        for bar in (*self.query(KeyBar), *self.query(TabLine)):  # the marks may be others since it was seen
            bar.refresh()

    def refresh_fleet(self) -> None:
        """The fleet changed, or time passed."""
        if not self.is_whole:
            return
        fleet = self.fleet
        self.query_one(FrameHeader).show(fleet)
        self.query_one(TroubleLine).show(headline.troubles(fleet, now()))
        self.show_fleet(fleet)

    def tick(self) -> None:
        """Time passed: ages move, though nothing else changed."""
        self.query_one(FrameHeader).show(self.fleet)
        self.query_one(TroubleLine).show(headline.troubles(self.fleet, now()))

    async def action_run_binding(self, action: str) -> None:
        """A key in the key bar was clicked."""
        await self.run_action(action)
