"""Tables for terminals and pipes: columns of words, colour only where somebody sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from axiom_tui.model import cells
from axiom_tui.model.cells import Cell, Style
from axiom_tui.model.finding import Finding
from axiom_tui.model.fleet import Row
from axiom_tui.model.state_words import SEVERITIES
from axiom_tui.model.tailnet import PathKind
from axiom_tui.model.times import clock

GAP = "   "  # as kubectl separates its columns

_COLOURS = {
    Style.OK: "\x1b[32m",
    Style.WARN: "\x1b[33m",
    Style.ERROR: "\x1b[31m",
    Style.DIM: "\x1b[2m",
    Style.ACCENT: "\x1b[36m",
}
_RESET = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Column:
    """``changing`` is what moves by itself all the time, so that ``--watch`` does not take it for news."""

    title: str
    cell: Callable[[Row, datetime], Cell]
    changing: bool = False


NODE_COLUMNS = (
    Column("NODE", lambda row, now: cells.name(row)),
    Column("ROLE", lambda row, now: cells.role(row)),
    Column("ARCH", lambda row, now: cells.architecture(row)),
    Column("STATUS", lambda row, now: cells.status(row)),
    Column("TAILNET", cells.tailnet, changing=True),
    Column("POOL", lambda row, now: cells.pool(row)),
    Column("EXTERNAL-IP", lambda row, now: cells.external_ip(row)),
    Column("PLACE", lambda row, now: cells.place(row)),
    Column("K3S", lambda row, now: cells.k3s(row)),
    Column("AGE", cells.node_age, changing=True),
    Column("VERDICT", lambda row, now: cells.verdict(row)),
)
_NODE_CELLS = tuple(column.cell for column in NODE_COLUMNS)
#: A direct path falls idle when nothing is sent, and comes back with the next ping.
_HEALTHY = frozenset({PathKind.DIRECT, PathKind.IDLE, PathKind.SELF})
FINDING_TITLES = ("SEVERITY", "SUBJECT", "SINCE", "FINDING", "REMEDY")


def node_cells(row: Row, now: datetime) -> tuple[Cell, ...]:
    return tuple([cell(row, now) for cell in _NODE_CELLS])


def node_news(row: Row, now: datetime) -> tuple[object, ...]:
    """What makes a line worth printing again: all but ages, latencies, and healthy paths that come and go."""
    steady = tuple(column.cell(row, now).text for column in NODE_COLUMNS if not column.changing)
    device = row.device
    if device is None or device.path in _HEALTHY:
        return (*steady, device is not None)
    return (*steady, device.path, device.relay)


def finding_cells(finding: Finding, now: datetime) -> tuple[Cell, ...]:
    since = Cell(clock(finding.since, now)) if finding.since else cells.NOTHING
    texts = (Cell(finding.shown), since, Cell(finding.sentence), Cell(finding.remedy))
    return (SEVERITIES[finding.severity], *texts)


class Table:
    """Lines of one table; the widths are those of the lines it was made with, and may be outgrown."""

    def __init__(self, titles: Sequence[str], lines: Sequence[Sequence[Cell]], *, color: bool) -> None:
        columns = zip(titles, *([cell.text for cell in line] for line in lines), strict=True)
        self._widths = [max(map(len, column)) for column in columns]
        self._pattern = GAP.join(f"%-{width}s" for width in self._widths)
        self._titles, self._lines, self._color = titles, lines, color

    def render(self) -> str:
        return "".join(
            [self.line([Cell(title) for title in self._titles]), *(self.line(line) for line in self._lines)]
        )

    def line(self, line: Iterable[Cell]) -> str:
        """One line with its end; text from outside cannot steer the terminal."""
        if not self._color:
            return printable(self._pattern % tuple([cell.text for cell in line])).rstrip() + "\n"
        parts = [
            self._painted(printable(cell.text).ljust(width), cell.style)
            for cell, width in zip(line, self._widths, strict=True)
        ]
        return GAP.join(parts).rstrip() + "\n"

    def _painted(self, text: str, style: Style) -> str:
        if not self._color or style not in _COLOURS or not text.strip():
            return text
        word = text.rstrip()
        return f"{_COLOURS[style]}{word}{_RESET}{text[len(word) :]}"


def printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "?" for char in text)
