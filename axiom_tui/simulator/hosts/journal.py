"""The journal of a simulated host: what its services log, as journalctl finds it."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from axiom_tui.simulator.hosts.kernel import OpenFile, Process


@dataclass(frozen=True, slots=True)
class Record:
    """One line. ``number`` counts from 1; ``priority`` as syslog has it (3 error, 6 info)."""

    number: int
    at: datetime
    unit: str
    identifier: str
    pid: int
    message: str
    priority: int = 6

    @property
    def cursor(self) -> str:
        """systemd's opaque cursor; only this journal reads its number back."""
        moment = int(self.at.timestamp() * 1_000_000)
        times = f"m={moment:x};t={moment:x}"
        return f"s={_boot('file')};i={self.number:x};b={_boot('boot')};{times};x={self.number:x}"


def number_of(cursor: str) -> int:
    """The record that a cursor stands for; ValueError if it is no cursor."""
    fields = dict(part.partition("=")[::2] for part in cursor.split(";"))
    return int(fields.get("i", ""), 16)


def _boot(what: str) -> str:
    return hashlib.sha256(what.encode()).hexdigest()[:32]


class Journal:
    """All records of a host. Thread-safe; ``changed`` is told of each new one."""

    def __init__(self, clock: Callable[[], datetime], changed: threading.Condition) -> None:
        self._clock, self._changed = clock, changed
        self._records: deque[Record] = deque(maxlen=5000)
        self._count = 0

    def write(
        self,
        unit: str,
        message: str,
        *,
        identifier: str = "",
        pid: int = 1,
        priority: int = 6,
        at: datetime | None = None,
    ) -> None:
        with self._changed:
            self._count += 1
            name = identifier or unit.removesuffix(".service")
            moment = (at or self._clock()).astimezone(UTC)
            self._records.append(Record(self._count, moment, unit, name, pid, message, priority))
            self._changed.notify_all()

    def records(self, units: Iterable[str] = (), *, after: int = 0) -> list[Record]:
        """The records of some units (none named: of all), in order, those after a number."""
        wanted = set(units)
        with self._changed:
            return [
                record
                for record in self._records
                if record.number > after and (not wanted or record.unit in wanted)
            ]

    @property
    def last_number(self) -> int:
        return self._count


class JournalStream(OpenFile):
    """The output of a service: each line becomes a record."""

    def __init__(self, journal: Journal, unit: str) -> None:
        super().__init__()
        self._journal, self._unit, self._rest = journal, unit, b""

    def write(self, process: Process, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace")
            priority = 3 if "level=error" in text or "level=fatal" in text else 6
            name = (process.arguments[0] if process.arguments else self._unit).rpartition("/")[2]
            self._journal.write(self._unit, text, identifier=name, pid=process.pid, priority=priority)
