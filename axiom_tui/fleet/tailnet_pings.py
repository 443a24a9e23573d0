"""Disco pings of the devices that matter, a few at once, beside the status and never in its way.

A ping tells what the status cannot: over which path an idle peer would be reached, and how fast. Its first
answers usually come through a relay while a direct path is still being looked for, so a relayed answer is
asked again before it is believed (Tailscale: ``cmd/tailscale/cli/ping.go``).
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable, Mapping

from axiom_tui.clients.tailscale import PingAnswer
from axiom_tui.model.problem import AxiomError
from axiom_tui.model.tailnet import PathKind

log = logging.getLogger(__name__)

AT_ONCE = 4
EVERY = 30.0  # seconds between two pings of one device
TRIES = 3  # answers through a relay before the relay is believed
BETWEEN_TRIES = 1.0  # seconds, as Tailscale's own ping
BUDGET = 5.0  # seconds for all tries with one device
PACE = 0.1  # seconds between the starts of two pings: thousands of devices must not cost a core


class Pings:
    """Pings each target every `EVERY` seconds in ``at_once`` daemon threads.

    A fleet too big for `PACE` is pinged less often, each device in its turn. ``on_answer(device_id, answer,
    more)`` is called in such a thread: an answer without milliseconds is a ping that was lost, and ``more``
    says that other answers will follow soon. That Tailscale cannot be asked at all is the status' news.
    """

    def __init__(
        self,
        on_answer: Callable[[str, PingAnswer, bool], None],
        *,
        every: float = EVERY,
        between_tries: float = BETWEEN_TRIES,
        pace: float = PACE,
        at_once: int = AT_ONCE,
    ) -> None:
        self._on_answer = on_answer
        self._every = every
        self._at_once = at_once
        self._between_tries = between_tries
        self._pace = pace
        self._not_before = 0.0  # the next ping's start, on the monotonic clock
        self._changed = threading.Condition()
        self._ping: Callable[[str], PingAnswer] | None = None
        self._targets: Mapping[str, str] = {}
        self._due: dict[str, float] = {}  # device id -> moment of its next ping, on the monotonic clock
        self._waiting: list[tuple[float, str]] = []  # a heap of those that are not under way, by their moment
        self._under_way: set[str] = set()
        self._stopped = threading.Event()
        self._started = False

    def watch(self, ping: Callable[[str], PingAnswer] | None, targets: Mapping[str, str]) -> None:
        """From now on ping these (device id -> IP); a new one at once. None pings nobody."""
        with self._changed:
            self._ping = ping
            self._targets = targets if ping is not None else {}
            now = time.monotonic()
            self._due = {device: self._due.get(device, now) for device in self._targets}
            self._queue_up()
            if self._targets and not self._started and not self._stopped.is_set():
                self._started = True
                for number in range(self._at_once):
                    threading.Thread(target=self._run, name=f"tailnet-ping-{number}", daemon=True).start()
            self._changed.notify_all()

    def refresh(self) -> None:
        """Ping every target now."""
        with self._changed:
            self._due = dict.fromkeys(self._due, time.monotonic())
            self._queue_up()
            self._changed.notify_all()

    def stop(self) -> None:
        """No more pings; returns at once, a ping under way ends by its own deadline."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            device, ip, ping = taken
            try:
                answer = self._settle(ping, ip)
                if not self._stopped.is_set():
                    self._on_answer(device, answer, self._more_after(device))
            except AxiomError as error:
                log.info("ping of %s: %s", ip, error.problem.sentence)
            except Exception:
                # A defect of ours must not take the thread, and with it a quarter of all pings.
                log.exception("ping of %s: defect", ip)
            finally:
                with self._changed:
                    self._under_way.discard(device)
                    if device in self._due:
                        heapq.heappush(self._waiting, (self._due[device], device))
                    self._changed.notify_all()

    def _take(self) -> tuple[str, str, Callable[[str], PingAnswer]] | None:
        """Wait for the next target that is due; None when stopped."""
        with self._changed:
            while not self._stopped.is_set():
                due, device = self._waiting[0] if self._waiting else (0.0, "")
                now = time.monotonic()
                left = max(due, self._not_before) - now
                if device and left <= 0 and self._ping is not None:
                    heapq.heappop(self._waiting)
                    self._under_way.add(device)
                    self._not_before = now + self._pace
                    self._due[device] = now + self._every
                    return device, self._targets[device], self._ping
                self._changed.wait(left if device else None)
            return None

    def _more_after(self, device: str) -> bool:
        """Whether other pings are under way or due, so that their answers follow soon."""
        with self._changed:
            is_due = bool(self._waiting) and self._waiting[0][0] <= time.monotonic()
            return is_due or len(self._under_way - {device}) > 0

    def _queue_up(self) -> None:
        self._waiting = [(due, device) for device, due in self._due.items() if device not in self._under_way]
        heapq.heapify(self._waiting)

    def _settle(self, ping: Callable[[str], PingAnswer], ip: str) -> PingAnswer:
        """Ping until the path is direct, lost, or relayed for good."""
        until = time.monotonic() + BUDGET
        answer = ping(ip)
        for _ in range(TRIES - 1):
            relayed = answer.path in (PathKind.DERP, PathKind.PEER_RELAY)
            if not relayed or time.monotonic() + self._between_tries > until:
                break
            if self._stopped.wait(self._between_tries):
                break
            again = ping(ip)
            if again.milliseconds is None:
                break
            answer = again
        return answer
