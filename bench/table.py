"""The fleet table beside Textual's DataTable: CPU and bytes to the terminal per step, on a real pty.

``python -m bench.table`` runs each table in a process of its own on a pseudo-terminal of 120x40, with the
same rows and ten columns, and prints both and their ratio. CPU is that of the whole process (all threads)
from the call until nothing more is written, less what waiting alone costs; medians of the runs.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import median

from rich.text import Text
from textual.app import App, ComposeResult
from textual.drivers.linux_driver import LinuxDriver
from textual.widget import Widget
from textual.widgets import DataTable

from screens.widgets.cells import StyleName
from screens.widgets.fleet_table import Column, FleetTable, Span

NOW = datetime(2026, 11, 22, tzinfo=UTC)
WIDTH, HEIGHT = 120, 40
DEADLINE = 240.0  # s, for one process
QUIET = 0.04  # s without a byte: the screen is settled

STEPS = (
    "fill 1,000 rows",
    "fill 5,000 rows",
    "one changed cell",
    "one changed cell, last column",
    "500 changed cells",
    "50 rows out, 50 in",
    "cursor down",
    "page down",
    "cursor down, scrolling",
    "sort",
)


@dataclass(frozen=True)
class Machine:
    """A row of ten columns."""

    name: str
    ready: bool
    milliseconds: int
    pool: str
    cpu: int
    verdict: str


def machines(count: int) -> tuple[Machine, ...]:
    return tuple(
        Machine(
            f"WALL-A-{number}",
            number % 7 != 0,
            number % 89,
            "internal !" if number % 11 == 0 else "external",
            number * 37 % 100,
            "NotReady since 14:02" if number % 7 == 0 else "",
        )
        for number in range(1, count + 1)
    )


def cells(machine: Machine) -> tuple[tuple[str, StyleName], ...]:
    """Text and style name of each cell."""
    return (
        (machine.name, ""),
        ("agent", ""),
        ("arm64", ""),
        ("● Ready", "ok") if machine.ready else ("✗ NotReady", "error"),
        (f"● direct {machine.milliseconds} ms", "ok"),
        (machine.pool, "warn" if "!" in machine.pool else ""),
        ("195.15.252.166", ""),
        ("v1.33.4+k3s1", ""),
        (f"{machine.cpu}%", ""),
        (machine.verdict, "warn"),
    )


TITLES = (
    ("NODE", 12),
    ("ROLE", 6),
    ("ARCH", 5),
    ("STATUS", 10),
    ("TAILNET", 15),
    ("POOL", 10),
    ("EXTERNAL IP", 14),
    ("K3S", 12),
    ("CPU", 4),
    ("VERDICT", 12),
)
TAILNET, VERDICT = 4, 9


class Table(ABC):
    """What is measured, the same for both widgets."""

    widget: Widget
    rows: tuple[Machine, ...] = ()

    def prepare(self) -> None:  # noqa: B027 - most need nothing
        """Called once when the widget is on the screen."""

    @abstractmethod
    def fill(self, rows: tuple[Machine, ...]) -> None: ...

    @abstractmethod
    def change(self, changed: Sequence[tuple[int, Machine]]) -> None:
        """Give rows new values, by their number."""

    @abstractmethod
    def sort(self, reverse: bool) -> None: ...

    @abstractmethod
    def exchange(self, count: int, run: int) -> None:
        """Take out the first rows and append as many others."""

    @abstractmethod
    def go_to(self, position: int) -> None:
        """Put the cursor on a line."""


def _cell(place: int) -> Callable[[Machine, datetime], Span]:
    return lambda machine, now: Span(*cells(machine)[place])


class Ours(Table):
    def __init__(self) -> None:
        columns = [
            Column(
                title,
                title,
                width,
                cell=_cell(place),
                sort_key=lambda machine: machine.cpu,
            )
            for place, (title, width) in enumerate(TITLES)
        ]
        self.table = FleetTable[Machine](columns, lambda machine: machine.name)
        self.widget = self.table

    def fill(self, rows: tuple[Machine, ...]) -> None:
        self.rows = rows
        self.table.set_rows(rows, NOW)

    def change(self, changed: Sequence[tuple[int, Machine]]) -> None:
        rows = list(self.rows)
        for number, machine in changed:
            rows[number] = machine
        self.fill(tuple(rows))

    def sort(self, reverse: bool) -> None:
        self.table.sort_by("CPU", reverse=reverse)

    def exchange(self, count: int, run: int) -> None:
        fresh = (replace(row, name=f"{row.name}-{run}") for row in self.rows[:count])
        self.fill((*self.rows[count:], *fresh))

    def go_to(self, position: int) -> None:
        self.table.move_cursor(self.table.keys[position])


class Stock(Table):
    STYLES = {"": "", "ok": "green", "warn": "yellow", "error": "bold red"}

    def __init__(self) -> None:
        self.table: DataTable[Text] = DataTable(cursor_type="row")
        self.widget = self.table

    def prepare(self) -> None:
        for title, width in TITLES:
            self.table.add_column(title, width=width, key=title)

    def _texts(self, machine: Machine) -> list[Text]:
        return [Text(text, self.STYLES[style]) for text, style in cells(machine)]

    def fill(self, rows: tuple[Machine, ...]) -> None:
        self.rows = rows
        self.table.clear()
        for row in rows:
            self.table.add_row(*self._texts(row), key=row.name)

    def change(self, changed: Sequence[tuple[int, Machine]]) -> None:
        rows = list(self.rows)
        for number, machine in changed:
            before, after = cells(rows[number]), cells(machine)
            for (title, _), old, new in zip(TITLES, before, after, strict=True):
                if old != new:
                    self.table.update_cell(machine.name, title, Text(new[0], self.STYLES[new[1]]))
            rows[number] = machine
        self.rows = tuple(rows)

    def sort(self, reverse: bool) -> None:
        self.table.sort("CPU", key=lambda text: int(text.plain[:-1]), reverse=reverse)

    def exchange(self, count: int, run: int) -> None:
        for row in self.rows[:count]:
            self.table.remove_row(row.name)
        fresh = tuple(replace(row, name=f"{row.name}-{run}") for row in self.rows[:count])
        for row in fresh:
            self.table.add_row(*self._texts(row), key=row.name)
        self.rows = (*self.rows[count:], *fresh)

    def go_to(self, position: int) -> None:
        self.table.move_cursor(row=position)


class CountingDriver(LinuxDriver):
    """The ordinary driver, counting what it is given to write."""

    written = 0

    def write(self, data: str) -> None:
        CountingDriver.written += len(data.encode())
        super().write(data)


class Bench(App[None]):
    """One table on a screen of its own, driven from within."""

    ENABLE_COMMAND_PALETTE = False

    def __init__(self, table: Table) -> None:
        super().__init__(driver_class=CountingDriver)
        self.table = table
        self.figures: dict[str, tuple[float, float]] = {}
        self.waiting = 0.0  # CPU seconds that settling costs when there is nothing to do

    def compose(self) -> ComposeResult:
        yield self.table.widget

    def on_ready(self) -> None:
        self.table.widget.focus()
        self.run_worker(self.measure())

    async def settle(self) -> None:
        written, quiet_since = CountingDriver.written, time.monotonic()
        while time.monotonic() - quiet_since < QUIET:
            await asyncio.sleep(QUIET / 4)
            if CountingDriver.written != written:
                written, quiet_since = CountingDriver.written, time.monotonic()

    async def step(self, name: str, runs: int, act: Callable[[int], None]) -> None:
        cpu, sent = [], []
        for run in range(runs):
            await self.settle()
            written, used = CountingDriver.written, time.process_time()
            act(run)
            await self.settle()
            cpu.append(time.process_time() - used - self.waiting)
            sent.append(CountingDriver.written - written)
        self.figures[name] = (median(cpu) * 1000, median(sent))

    async def measure(self) -> None:
        table, rows = self.table, machines(5000)
        table.prepare()
        await self.step("", 20, lambda run: None)
        self.waiting = self.figures.pop("")[0] / 1000
        await self._fill(STEPS[0], rows[:1000])
        await self._fill(STEPS[1], rows)

        def change(number: int, run: int, **values: object) -> tuple[int, Machine]:
            return number, replace(table.rows[number], **values)  # type: ignore[arg-type]

        one, last, many, exchange, down, page, scrolling, sort = STEPS[2:]
        await self.step(one, 20, lambda run: table.change([change(12, run, milliseconds=20 + run)]))
        await self.step(last, 20, lambda run: table.change([change(13, run, verdict=f"relay {run} ms")]))
        await self.step(
            many,
            9,
            lambda run: table.change([change(n, run, milliseconds=100 + run) for n in range(0, 5000, 10)]),
        )
        await self.step(exchange, 5, lambda run: table.exchange(50, run))
        table.fill(rows)
        table.go_to(0)
        await self.step(down, 20, lambda run: self.press("action_cursor_down"))
        await self.step(page, 9, lambda run: self.press("action_page_down"))
        table.go_to(2000)
        await self.step(scrolling, 9, lambda run: self.press("action_cursor_down"))
        table.go_to(0)
        await self.step(sort, 6, lambda run: table.sort(reverse=bool(run % 2)))
        self.exit()

    async def _fill(self, name: str, rows: tuple[Machine, ...]) -> None:
        """Each run fills an empty table."""
        cpu, sent = [], []
        for _ in range(3):
            self.table.fill(())
            await self.step(name, 1, lambda run: self.table.fill(rows))
            cpu.append(self.figures[name][0])
            sent.append(self.figures[name][1])
        self.figures[name] = (median(cpu), median(sent))

    def press(self, action: str) -> None:
        getattr(self.table.widget, action)()


@dataclass(frozen=True)
class Figure:
    """One step: CPU in ms and bytes to the terminal, ours and DataTable's."""

    step: str
    cpu: float
    sent: int
    stock_cpu: float
    stock_sent: int


def measure() -> tuple[Figure, ...]:
    """Both tables, one after the other; takes about a minute. Raises RuntimeError when one fails."""
    ours, stock = _in_terminal("ours"), _in_terminal("stock")
    return tuple(
        Figure(step, ours[step][0], int(ours[step][1]), stock[step][0], int(stock[step][1])) for step in STEPS
    )


def _in_terminal(which: str) -> dict[str, tuple[float, float]]:
    """Run one table in a process whose terminal is a pty; its figures come back over a pipe."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    answer, results = os.pipe()
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        environment.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.table", "--measure", which, "--results", str(results)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        pass_fds=[results],
        env=environment,
        start_new_session=True,
    )
    os.close(slave)
    os.close(results)
    screen: list[bytes] = []
    drain = threading.Thread(target=_drain, args=(master, screen))
    drain.start()
    try:
        code = process.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    drain.join()
    os.close(master)
    with os.fdopen(answer) as pipe:
        text = pipe.read()
    if code or not text:
        said = b"".join(screen)[-2000:].decode(errors="replace")
        raise RuntimeError(f"measuring {which} ended with {code}: {said}")
    return {step: (cpu, sent) for step, (cpu, sent) in json.loads(text).items()}


def _drain(master: int, screen: list[bytes]) -> None:
    """Be the terminal: read all that is written, until the other side closes."""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # EIO: the last process with this terminal is gone
            return
        if not data:
            return
        screen.append(data)
        del screen[:-64]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", choices=("ours", "stock"), help=argparse.SUPPRESS)
    parser.add_argument("--results", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.measure:
        app = Bench(Ours() if chosen.measure == "ours" else Stock())
        app.run()
        with os.fdopen(chosen.results, "w") as pipe:
            json.dump(app.figures, pipe)
        return app.return_code or 0
    print(f"{'5,000 rows, 10 columns, 120x40':32}{'FleetTable':>22}{'DataTable':>22}{'ratio':>14}")
    for figure in measure():
        cpu_ratio = figure.cpu / figure.stock_cpu
        sent_ratio = figure.sent / max(1, figure.stock_sent)
        print(
            f"{figure.step:32}{figure.cpu:9.1f} ms {figure.sent:7} B{figure.stock_cpu:10.1f} ms"
            f" {figure.stock_sent:6} B{cpu_ratio:8.3f}{sent_ratio:7.3f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
