"""1 Nodes: every node of the fleet with what each plane knows of it, and what is wrong with it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Static

from axiom_tui.model import cells
from axiom_tui.model.details import Asked, details
from axiom_tui.model.filtering import Filter
from axiom_tui.model.fleet import Fleet, Row, SourceState
from screens.filter_line import FilterLine
from screens.frame import FleetScreen, column, now, styled
from screens.node_details import NodeDetails, NodeDetailsScreen
from screens.widgets.cells import plain
from screens.widgets.columns import Column
from screens.widgets.fleet_table import FleetTable

if TYPE_CHECKING:
    from axiom_tui.app import AxiomApp

#: From this width on, details stand beside the table.
PANE_WIDTH = 120


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


def _tailnet_order(row: Row) -> tuple[int, float]:
    """Reachable ones by latency first, then idle, then gone."""
    device = row.device
    if device is None:
        return (9, 0.0)
    last = device.latency.last
    gone = device.path.value in ("offline", "expired", "unknown")
    return (5 if gone else 1 if last is None else 0, last or 0.0)


def _verdict_order(row: Row) -> tuple[int, str]:
    worst = max((int(finding.severity) for finding in row.findings), default=-1)
    return (-worst, row.verdict)


#: In the order of screens.md; a lower priority goes first when there is too little room.
COLUMNS: tuple[Column[Row], ...] = (
    column("name", "NODE", 10, lambda row, _: cells.name(row), max_width=24, required=True,
           sort_key=lambda row: row.name, sort_letter="N"),
    column("role", "ROLE", 6, lambda row, _: cells.role(row), priority=22,
           sort_key=lambda row: row.role, sort_letter="R"),
    column("arch", "ARCH", 5, lambda row, _: cells.architecture(row), max_width=8, priority=90,
           sort_key=lambda row: row.architecture, sort_letter="A"),
    column("status", "STATUS", 10, lambda row, _: cells.status(row), max_width=14, required=True,
           sort_key=lambda row: cells.status(row).text, sort_letter="S"),
    column("tailnet", "TAILNET", 16, cells.tailnet, max_width=20, priority=95, ages=True,
           sort_key=_tailnet_order, sort_letter="T"),
    column("history", "PINGS", 8, lambda row, _: cells.latency_history(row), wide_only=True, priority=1),
    column("pool", "POOL", 10, lambda row, _: cells.pool(row), max_width=14, priority=80,
           sort_key=lambda row: row.pool_found, sort_letter="P"),
    column("external", "EXTERNAL IP", 15, lambda row, _: cells.external_ip(row), max_width=39, priority=30,
           sort_key=lambda row: cells.external_ip(row).text, sort_letter="E"),
    column("tailnet-ip", "TAILNET IP", 15, lambda row, _: cells.tailnet_ip(row), wide_only=True, priority=2,
           sort_key=lambda row: cells.tailnet_ip(row).text, sort_letter="I"),
    column("place", "PLACE", 10, lambda row, _: cells.place(row), max_width=14, priority=50,
           sort_key=lambda row: row.place, sort_letter="L"),
    column("k3s", "K3S", 12, lambda row, _: cells.k3s(row), max_width=16, priority=45,
           sort_key=lambda row: cells.k3s(row).text, sort_letter="K"),
    column("cpu", "CPU", 4, lambda row, _: cells.cpu(row), align="right", priority=25,
           sort_key=cells.cpu_share, sort_letter="C", descending_first=True),
    column("memory", "MEM", 4, lambda row, _: cells.memory(row), align="right", priority=25,
           sort_key=cells.memory_share, sort_letter="M", descending_first=True),
    column("age", "AGE", 4, cells.node_age, max_width=5, align="right", priority=20, ages=True,
           sort_key=lambda row: _seconds(row.node.created if row.node else None), sort_letter="O"),
    column("key", "KEY", 7, cells.key_expiry, wide_only=True, priority=3, ages=True,
           sort_key=lambda row: _seconds(row.device.key_expiry if row.device else None), sort_letter="Y"),
    column("taints", "TAINTS", 8, lambda row, _: cells.taints(row), max_width=40, wide_only=True),
    column("os", "OS", 12, lambda row, _: cells.os_image(row), max_width=24, wide_only=True),
    column("verdict", "VERDICT", 20, lambda row, _: cells.verdict(row), grow=True, required=True, comfort=40,
           sort_key=_verdict_order, sort_letter="V"),
)  # fmt: skip


class NodesScreen(FleetScreen):
    """The fleet table with its filter, and the details of the selected row."""

    MODE = "nodes"
    HELP = (
        "One row joins what Kubernetes and the tailnet know of a node. A state is a glyph and a word: "
        "● good, ▲ look at it, ✗ bad, ○ idle (healthy, nothing was sent lately). A ! behind the pool says "
        "that it is not the one wanted. Devices that are tagged as nodes but are not in the cluster stand "
        "at the end. Sorting by the same column again turns the order round; once more ends it."
    )

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "app.wizard('join')", "join"),
        Binding("l", "app.wizard('labels')", "labels"),
        Binding("enter", "details", "details", show=True),
        Binding("slash", "filter", "filter", key_display="/", priority=True),
        Binding("z", "faults", "faults only"),
        Binding("w", "wide", "wide"),
        Binding("t", "columns", "columns"),
        Binding("y", "yaml", "YAML"),
        Binding("c", "copy", "copy name"),
        Binding("s", "ssh", "ssh"),
        Binding("escape", "back", "back", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._faults_only = False
        self._asked = Asked()
        self._details_of = ""  # key of the row whose details are open
        self._verdict = ""
        self._moved = False  # the cursor stays at the top while rows still come in, until the admin moves it
        self._texts: dict[str, tuple[Row, str]] = {}  # what the filter searches, by key

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="nodes-body"):
            yield FleetTable(COLUMNS, row_key=lambda row: row.key, id="body")
            yield NodeDetails()
        yield Static(id="verdict-line")
        yield FilterLine()

    def on_mount(self) -> None:
        self.query_one(NodeDetails).display = False
        super().on_mount()

    @property
    def table(self) -> FleetTable[Row]:
        return self.query_one("#body", FleetTable)

    @property
    def selected(self) -> Row | None:
        key = self.table.cursor_key
        return self.fleet.row(key) if key is not None else None

    def select(self, key: str) -> None:
        """Put the cursor on this row, if it is shown."""
        self._moved = True
        self.table.move_cursor(key)

    @property
    def marked(self) -> frozenset[str]:
        return self.table.marked

    def chosen_rows(self) -> tuple[Row, ...]:
        """The marked rows, else the selected one."""
        marked = self.table.marked
        if marked:
            return tuple(row for row in self.fleet.rows if row.key in marked)
        return (self.selected,) if self.selected else ()

    def show_fleet(self, fleet: Fleet) -> None:
        wanted = self.query_one(FilterLine).filter
        rows = self._filtered(fleet.rows, wanted)
        self.table.empty_text = self._empty_text(fleet, bool(rows))
        self.table.set_rows(rows, now())
        if not self._moved:
            self.table.action_cursor_top()
        marked = len(self.table.marked)
        self.query_one(FilterLine).show(len(fleet.rows) - len(rows), marked, self._faults_only)
        self._show_details()
        self._show_verdict()

    def _show_verdict(self) -> None:
        """On a narrow terminal the verdict is cut in its column: the selected one stands whole below."""
        row = self.selected
        text = row.verdict if row is not None and self.size.width < PANE_WIDTH else ""
        line = self.query_one("#verdict-line", Static)
        line.display = bool(text)
        if row is not None and text != self._verdict:
            line.update(styled(cells.verdict(row)))
        self._verdict = text

    def tick(self) -> None:
        super().tick()
        self.table.tick(now())

    def on_resize(self) -> None:
        self._show_verdict()

    def on_key(self) -> None:
        self._moved = True

    def on_mouse_down(self) -> None:
        self._moved = True

    def on_filter_line_changed(self) -> None:
        self.refresh_fleet()

    def on_filter_line_closed(self) -> None:
        self.table.focus()

    def on_fleet_table_highlighted(self) -> None:
        self._show_verdict()
        if self.query_one(NodeDetails).display:
            self.action_details()

    def on_fleet_table_selected(self) -> None:
        self.action_details()

    def on_fleet_table_marks_changed(self) -> None:
        self.query_one(FilterLine).show_marks(len(self.table.marked))

    # -- keys ---------------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        self.query_one(FilterLine).edit()

    def action_faults(self) -> None:
        self._faults_only = not self._faults_only
        self.refresh_fleet()

    def action_wide(self) -> None:
        self.table.wide = not self.table.wide

    def action_back(self) -> None:
        """Close the details, else drop the marks, else the filter; never leave the program."""
        if self.query_one(NodeDetails).display:
            self._close_details()
        elif self.table.marked:
            self.table.clear_marks()
        elif self._faults_only:
            self.action_faults()
        else:
            self.query_one(FilterLine).clear()

    @work
    async def action_columns(self) -> None:
        from screens.dialogs import ColumnsScreen

        shown = set(self.table.visible_columns)
        choices = [(column.key, column.title, column.key in shown) for column in COLUMNS]
        chosen = await self.app.push_screen_wait(ColumnsScreen(choices))
        if chosen is not None:
            self.table.show_columns(chosen)

    def action_copy(self) -> None:
        names = [row.node.name if row.node else row.name for row in self.chosen_rows()]
        if names:
            self.app.copy_to_clipboard("\n".join(names))
            self.notify(f"Copied {', '.join(names) if len(names) < 4 else f'{len(names)} names'}.")

    def action_ssh(self) -> None:
        """Hand the terminal to the system's own ssh; the sources go on meanwhile."""
        row, settings = self.selected, self._app.settings
        if row is None or row.device is None:
            self.notify("Only a device of the tailnet can be reached by SSH.", severity="warning")
            return
        program = shutil.which("ssh")
        if program is None:
            self.notify(
                "There is no ssh program on this machine; install OpenSSH's client.", severity="error"
            )
            return
        from axiom_tui.clients.configured import ssh_arguments

        arguments = ssh_arguments(settings, row.device.dns_name or row.device.ipv4)
        try:
            with self.app.suspend():
                if subprocess.run([program, *arguments], check=False).returncode == 255:
                    # What ssh said of it would be gone with the next frame.
                    input(f"ssh to {arguments[-1]} failed. Enter leads back to axiom-tui. ")
        except SuspendNotSupported:
            typed = shlex.join(["ssh", *arguments])
            self.notify(f"This terminal can't be handed over. Type: {typed}", severity="warning")

    def action_yaml(self) -> None:
        from screens.dialogs import TextScreen

        row = self.selected
        if row is None or row.node is None:
            self.notify("A device that is no node has no YAML.", severity="warning")
            return
        key = row.key
        self._app.in_background(
            lambda session: session.node_yaml(key),
            lambda text: self.app.push_screen(TextScreen(f"{key} as YAML", text)),
        )

    # -- details ------------------------------------------------------------------------------------------

    def action_details(self) -> None:
        row = self.selected
        if row is None:
            return
        if row.key != self._details_of:
            zone = self._app.settings.dns.zone
            self._details_of, self._asked = row.key, Asked(dns_name=f"{row.name.lower()}.{zone}")
            # Events and DNS are asked only while somebody looks.
            asked, key = self._asked, row.key
            self._app.in_background(
                lambda session: session.asked(row, asked), lambda answer: self._answered(key, answer)
            )
        if self.size.width >= PANE_WIDTH:
            self.query_one(NodeDetails).display = True
        elif not isinstance(self.app.screen, NodeDetailsScreen):
            self.app.push_screen(NodeDetailsScreen(), lambda _: self._close_details())
        self.call_after_refresh(self._show_details)

    def _close_details(self) -> None:
        self.query_one(NodeDetails).display = False
        self._details_of = ""
        self.table.focus()

    def _show_details(self) -> None:
        row = self.fleet.row(self._details_of) if self._details_of else None
        if row is None:
            return
        sections = details(row, self.fleet.seen, self._asked, now())
        if isinstance(self.app.screen, NodeDetailsScreen):
            self.app.screen.show(row.name, sections)
        elif self.query_one(NodeDetails).display:
            self.query_one(NodeDetails).show(row.name, sections)

    def _answered(self, key: str, asked: Asked) -> None:
        if key == self._details_of:
            self._asked = asked
            self._show_details()

    # -- rows ---------------------------------------------------------------------------------------------

    @property
    def _app(self) -> AxiomApp:
        return self.app  # type: ignore[return-value]

    def _filtered(self, rows: Sequence[Row], wanted: Filter) -> Sequence[Row]:
        if self._faults_only:
            rows = [row for row in rows if row.findings]
        if not wanted.text:
            return rows
        return [row for row in rows if wanted.keeps(self._text(row), row.node.labels if row.node else {})]

    def _text(self, row: Row) -> str:
        """All visible text of a row; made once, since a filter is asked at every change."""
        known = self._texts.get(row.key)
        if known is None or known[0] is not row:
            moment = now()
            text = " ".join(plain(column.cell(row, moment)) for column in COLUMNS)
            self._texts[row.key] = known = (row, f"{text} {row.key}".lower())
        return known[1]

    def _empty_text(self, fleet: Fleet, has_rows: bool) -> str:
        source = fleet.source("nodes")
        if has_rows:
            return ""
        if fleet.rows:
            return "No row passes the filter; esc clears it."
        if source is None or source.state is SourceState.LOADING:
            where = f" of {fleet.cluster.name} at {fleet.cluster.server}" if fleet.cluster.server else ""
            return f"Reading the nodes{where} …"
        if source.problem is not None:
            return "The nodes are not known, for the reason above. ctrl+r looks again."
        return "The cluster has no nodes yet. Join the first with n."
