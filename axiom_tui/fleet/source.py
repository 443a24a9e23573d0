"""A source: an own daemon thread that observes one outside system and says how live its data is.

It publishes immutable values into a `Sink`, backs off with jitter when the system fails, keeps the last
good data, and comes back by itself. It is never a Textual worker: quitting must not wait for it.
"""

from __future__ import annotations

import logging
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from axiom_tui.model.fleet import Observation, SourceState, SourceStatus
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind

log = logging.getLogger(__name__)

FIRST_DELAY = 1.0  # seconds before the first retry
LONGEST_DELAY = 60.0  # seconds; a cluster that comes back is seen within a minute


class Sink(Protocol):
    """Where sources put what they see. Both calls are thread-safe and never block for long."""

    def change(self, edit: Callable[[Observation], Observation]) -> None:
        """Replace parts of the observation: ``sink.change(lambda seen: replace(seen, nodes=nodes))``."""

    def report(self, status: SourceStatus) -> None:
        """Say how the source is."""


def backoff(attempt: int, retry_after: float | None = None) -> float:
    """Seconds to wait before retry number ``attempt`` (from 1): doubling, with full jitter on the upper half.

    What the other side asked for (Retry-After) is a lower bound.
    """
    ceiling = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(attempt - 1, 10))
    return max(random.uniform(ceiling / 2, ceiling), retry_after or 0.0)


class Source(ABC):
    """One outside system, observed in one thread.

    Subclasses write `observe`, which runs until something fails (raising `AxiomError`) or `stopping` is
    set, calls `live()` whenever its data is current, and waits only through `pause()`.
    `interrupt()` must end a blocked call from another thread.
    """

    def __init__(self, name: str, sink: Sink) -> None:
        self.name = name
        self.sink = sink
        self.stopping = threading.Event()
        self._wake = threading.Event()
        self._attempt = 0
        self._last_good: datetime | None = None
        self._status = SourceStatus(name, SourceState.LOADING, now())
        self._thread = threading.Thread(target=self._run, name=f"source-{name}", daemon=True)

    @abstractmethod
    def observe(self) -> None:
        """Observe until it fails or `stopping` is set."""

    def interrupt(self) -> None:
        """End a call that blocks in `observe`, from another thread. Default: nothing to end."""
        return

    def start(self) -> None:
        self.sink.report(self._status)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; returns at once."""
        self.stopping.set()
        self._wake.set()
        self.interrupt()

    def join(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the thread's end; True if it ended."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def refresh(self) -> None:
        """Look again now instead of waiting."""
        self._wake.set()

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than until `refresh` or `stop`."""
        self._wake.wait(seconds)
        self._wake.clear()

    def live(self) -> None:
        """The data is current as of now."""
        self._attempt = 0
        self._last_good = now()
        if self._status.state is not SourceState.LIVE:
            log.info("%s: live", self.name)
            self._set(SourceStatus(self.name, SourceState.LIVE, self._last_good, self._last_good))

    def off(self, problem: Problem) -> None:
        """The system is not there, which is no fault (not installed, not configured)."""
        self._set(SourceStatus(self.name, SourceState.OFF, now(), self._last_good, problem))

    def _run(self) -> None:
        while not self.stopping.is_set():
            try:
                self.observe()
            except AxiomError as error:
                if self.stopping.is_set():
                    return
                self._failed(error.problem)
            except Exception as error:
                # A defect of ours must not end the thread in silence: it is shown and logged like a failure.
                if self.stopping.is_set():
                    return
                log.exception("%s: defect", self.name)
                text = f"axiom-tui itself failed while reading {self.name}: {type(error).__name__}."
                self._failed(Problem(ProblemKind.GARBLED, text, "The log file has the details."))

    def _failed(self, problem: Problem) -> None:
        self._attempt += 1
        delay = backoff(self._attempt, problem.retry_after)
        state = SourceState.FAILED if self._last_good is None else SourceState.STALE
        same = self._status.state is state
        since = self._status.since if same else now()
        log.warning("%s: %s (again in %.1f s)", self.name, problem.sentence, delay)
        retry_at = now() + timedelta(seconds=delay)
        self._set(SourceStatus(self.name, state, since, self._last_good, problem, retry_at))
        self.pause(delay)

    def _set(self, status: SourceStatus) -> None:
        self._status = status
        self.sink.report(status)


def now() -> datetime:
    return datetime.now(UTC)
