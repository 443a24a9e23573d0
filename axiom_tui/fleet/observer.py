"""The observer: runs the sources of one cluster, joins what they see, and publishes it as one `Fleet`.

Sources hand in edits and reports at any rate; at most one fleet every ``interval`` seconds comes out, and
none when nothing changed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from axiom_tui.fleet.source import Sink, Source
from axiom_tui.model.fleet import Cluster, Fleet, Observation, SourceState, SourceStatus
from axiom_tui.model.join import Joined, join
from axiom_tui.model.problem import Problem
from axiom_tui.model.rules import Rules

log = logging.getLogger(__name__)

#: Name under which the observer reports a defect of its own.
FLEET = "fleet"
#: Seconds; a finding may be due in centuries, which no wait takes.
LONGEST_WAIT = 3600.0


class Observer:
    """Observes one cluster from `start` to `stop`; for another cluster make another one.

    ``sources`` builds them around the sink. ``on_fleet`` is called in the observer's own thread and must not
    block; after `stop` it is not called any more.
    """

    def __init__(
        self,
        sources: Callable[[Sink], Sequence[Source]],
        cluster: Cluster,
        rules: Rules,
        on_fleet: Callable[[Fleet], None],
        interval: float = 0.25,
    ) -> None:
        self._cluster = cluster
        self._rules = rules
        self._on_fleet = on_fleet
        self._interval = interval
        self._lock = threading.Lock()
        self._edits: list[Callable[[Observation], Observation]] = []
        self._statuses: dict[str, SourceStatus] = {}
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._publishing = threading.RLock()
        self._seen = Observation()
        self._joined = Joined()
        self._sources = tuple(sources(self))
        for source in self._sources:
            self._statuses.setdefault(source.name, SourceStatus(source.name, SourceState.LOADING, _now()))
        self._fleet = Fleet(cluster, _now(), Observation(), tuple(self._statuses.values()), (), ())
        self._thread = threading.Thread(target=self._run, name=f"observer-{cluster.context}", daemon=True)

    @property
    def fleet(self) -> Fleet:
        """The latest fleet; before `start` an empty one that is loading."""
        return self._fleet

    def start(self) -> None:
        self._thread.start()
        for source in self._sources:
            source.start()

    def stop(self) -> None:
        """End all sources; returns at once. Nothing is published any more."""
        self._stopping.set()
        self._news.set()
        for source in self._sources:
            source.stop()
        # Let a fleet that is just being handed over pass; a receiver that hangs does not hold us up.
        if self._publishing.acquire(timeout=0.1):
            self._publishing.release()

    def join(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for all threads to end; True if they did."""
        until = time.monotonic() + timeout
        if self._thread.ident is not None:
            self._thread.join(timeout)
        ended = [source.join(max(0.0, until - time.monotonic())) for source in self._sources]
        return all(ended) and not self._thread.is_alive()

    def refresh(self) -> None:
        """All sources look again now."""
        for source in self._sources:
            source.refresh()

    # -- Sink ------------------------------------------------------------------------------------------

    def change(self, edit: Callable[[Observation], Observation]) -> None:
        with self._lock:
            self._edits.append(edit)
        self._news.set()

    def report(self, status: SourceStatus) -> None:
        with self._lock:
            self._statuses[status.name] = status
        self._news.set()

    # -- the observer's own thread ---------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._news.wait(self._until_recheck())
            self._news.clear()
            try:
                fleet = self._next()
                if fleet is not None:
                    self._publish(fleet)
                self._withdraw_defect()
            except Exception as error:
                # A defect of ours must not end the picture in silence.
                log.exception("the fleet could not be joined")
                self._report_defect(error)
            self._stopping.wait(self._interval)

    def _until_recheck(self) -> float | None:
        """Seconds until time alone changes a finding, at most `LONGEST_WAIT`; None if it never does."""
        due = self._joined.recheck_at
        return None if due is None else min(LONGEST_WAIT, max(0.0, (due - _now()).total_seconds()))

    def _next(self) -> Fleet | None:
        """The fleet as of now, or None if it is the same as the last one."""
        with self._lock:
            edits, self._edits = self._edits, []
            statuses = tuple(self._statuses.values())
        for edit in edits:
            self._seen = edit(self._seen)
        last, seen, now = self._fleet, self._seen, _now()
        cluster = replace(self._cluster, version=seen.version)
        due = self._joined.recheck_at
        changed = seen != last.seen
        if changed or (due is not None and due <= now):
            joined = join(seen, self._rules, now, cluster.version, self._joined)
            changed = changed or joined.rows != last.rows or joined.findings != last.findings
            self._joined = joined
        if not changed and statuses == last.sources:
            return None
        return Fleet(cluster, now, seen, statuses, self._joined.rows, self._joined.findings)

    def _publish(self, fleet: Fleet) -> None:
        with self._publishing:
            if self._stopping.is_set():
                return
            self._fleet = fleet
            self._on_fleet(fleet)

    def _report_defect(self, error: Exception) -> None:
        text = f"axiom-tui itself failed while joining what it sees: {type(error).__name__}."
        problem = Problem.defect(text)
        if FLEET not in self._statuses:
            self.report(SourceStatus(FLEET, SourceState.STALE, _now(), self._fleet.taken_at, problem))

    def _withdraw_defect(self) -> None:
        with self._lock:
            if self._statuses.pop(FLEET, None) is not None:
                self._news.set()


def _now() -> datetime:
    """Now, in the admin's own zone."""
    return datetime.now().astimezone()
