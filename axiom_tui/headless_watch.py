"""`--watch`: the fleet once, then only what changes, until ctrl-c."""

from __future__ import annotations

import queue
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from axiom_tui import headless_documents as documents
from axiom_tui import headless_table as tables
from axiom_tui.config import Settings
from axiom_tui.headless import Choice, HeadlessOptions, Kind, Output, is_worth_saying, say
from axiom_tui.model.cells import Cell, Style
from axiom_tui.model.finding import Finding
from axiom_tui.model.fleet import Fleet, Row, SourceState

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one row or finding; of a deleted one it holds the last state."""

    type: str
    item: Row | Finding


def watch(settings: Settings, options: HeadlessOptions, chosen: Choice) -> int:
    """Print changes for as long as somebody reads; ends by ctrl-c (KeyboardInterrupt) or a closed pipe."""
    from axiom_tui.fleet.session import Session

    session = Session.of(settings, settings.kubernetes.context)
    fleets: queue.SimpleQueue[Fleet] = queue.SimpleQueue()
    session.start(fleets.put)
    try:
        printer = Printer(options, chosen)
        while True:
            printer.take(fleets.get())
    finally:
        session.stop()


class Printer:
    """Turns a row of fleets into printed changes."""

    def __init__(self, options: HeadlessOptions, chosen: Choice) -> None:
        self._options = options
        self._chosen = chosen
        self._shown: dict[str, tuple[object, Row | Finding]] = {}
        self._table: tables.Table | None = None
        self._said: dict[str, str] = {}

    def take(self, fleet: Fleet) -> None:
        """Print what is new in this fleet; nothing before the nodes were read, since emptiness is no news."""
        self._complain(fleet)
        nodes = fleet.source("nodes")
        if nodes is None or nodes.last_good is None:
            return
        changes = tuple(self._changes(fleet))
        if self._options.output is Output.TABLE and self._table is None:
            self._table = self._header(fleet, changes)
        for change in changes:
            sys.stdout.buffer.write(self._line(change, fleet.taken_at))
        sys.stdout.flush()

    def _changes(self, fleet: Fleet) -> Iterator[Change]:
        now = fleet.taken_at
        current: dict[str, tuple[object, Row | Finding]]
        if self._options.kind is Kind.NODES:
            current = {row.key: (tables.node_news(row, now), row) for row in self._chosen.rows(fleet)}
        else:
            current = {finding.id: (finding.sentence, finding) for finding in fleet.findings}
        before, self._shown = self._shown, current
        for key, (news, item) in current.items():
            if key not in before:
                yield Change(ADDED, item)
            elif before[key][0] != news:
                yield Change(MODIFIED, item)
        for key, (_, item) in before.items():
            if key not in current:
                yield Change(DELETED, item)

    def _header(self, fleet: Fleet, changes: tuple[Change, ...]) -> tables.Table:
        titles = [column.title for column in tables.NODE_COLUMNS]
        if self._options.kind is Kind.FINDINGS:
            titles = list(tables.FINDING_TITLES)
        lines = [self._cells(change, fleet.taken_at) for change in changes]
        table = tables.Table(titles, lines, color=self._options.color and sys.stdout.isatty())
        sys.stdout.write(table.line([Cell(title) for title in titles]))
        sys.stdout.flush()
        return table

    def _cells(self, change: Change, now: datetime) -> tuple[Cell, ...]:
        if isinstance(change.item, Row):
            line = tables.node_cells(change.item, now)
            gone = Cell("gone", Style.ERROR)
            return (*line[:-1], gone) if change.type == DELETED else line
        line = tables.finding_cells(change.item, now)
        return (Cell("✓ over", Style.OK), *line[1:]) if change.type == DELETED else line

    def _line(self, change: Change, now: datetime) -> bytes:
        if self._table is not None:
            return self._table.line(self._cells(change, now)).encode(errors="replace")
        document = (
            documents.node_event(change.type, now, change.item)
            if isinstance(change.item, Row)
            else documents.finding_event(change.type, now, change.item)
        )
        if self._options.output is Output.JSON:
            return documents.to_json(document, indent=False) + b"\n"
        return b"---\n" + documents.to_yaml(document)

    def _complain(self, fleet: Fleet) -> None:
        """Each trouble once, and its end."""
        for source in fleet.sources:
            sentence = str(source.problem) if source.problem and is_worth_saying(source) else ""
            if sentence and self._said.get(source.name) != sentence:
                say(f"{source.name}: {sentence}")
                self._said[source.name] = sentence
            elif source.state is SourceState.LIVE and self._said.pop(source.name, ""):
                say(f"{source.name}: live again.")
