"""The sources of the tailnet: the daemon on this machine, and Tailscale's control API.

Both see the same devices from two sides, so they share one `TailnetView` that publishes the merged picture.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from axiom_tui.clients.tailscale import LocalTailscale, PingAnswer, TailnetStatus, find_local_api
from axiom_tui.clients.tailscale_control import HOW_TO_CONFIGURE, NOT_CONFIGURED, ControlApi
from axiom_tui.fleet.source import Sink, Source, now
from axiom_tui.fleet.tailnet_pings import AT_ONCE, BETWEEN_TRIES, EVERY, PACE, Pings
from axiom_tui.model.fleet import Observation, SourceState, TailnetSelf
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind
from axiom_tui.model.tailnet import Latency, PathKind, TailnetDevice
from axiom_tui.model.tailnet_merge import complete

SAMPLES = 20  # latencies kept per device
STATUS_EVERY = 5.0  # seconds
PINGS_PUBLISHED_EVERY = 1.0  # seconds, while more answers are to come
BELIEVED_FOR = timedelta(seconds=2.5 * EVERY)  # at least
CONTROL_EVERY = 60.0  # seconds; Tailscale publishes no limit for this API


@dataclass(frozen=True, slots=True)
class _Pinged:
    """The last ping's answer, and the history. ``at`` is when the answer came."""

    answer: PingAnswer
    latency: Latency
    at: datetime


class _Merged(NamedTuple):
    """A device as it is shown, and all that it was made of: while that is the same, so is the device."""

    local: TailnetDevice | None
    control: TailnetDevice | None
    pinged: _Pinged | None
    is_believed: bool
    device: TailnetDevice


class TailnetView:
    """What both sources know of the tailnet. Thread-safe; publishes only what changed, in the right order."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._believed_for = BELIEVED_FOR
        self._lock = threading.Lock()
        self._self_state: TailnetSelf | None = None
        self._local: tuple[TailnetDevice, ...] = ()
        self._control: dict[str, TailnetDevice] = {}
        self._pinged: dict[str, _Pinged] = {}
        self._merged: dict[str, _Merged] = {}
        self._published: tuple[TailnetSelf | None, tuple[TailnetDevice, ...]] = (None, ())
        self._published_at = float("-inf")  # on the monotonic clock

    def believe_pings_for(self, length: timedelta) -> None:
        """How long a ping tells the path of an idle peer: longer than the next one takes to come."""
        with self._lock:
            self._believed_for = length

    def see_status(self, status: TailnetStatus) -> None:
        """The daemon answered. Stopped or logged out it sees nobody: then the last good devices stay."""
        with self._lock:
            if status.problem is None:
                self._self_state = status.self_state
                self._local = _kept(status.devices, {device.id: device for device in self._local})
                ids = {device.id for device in status.devices}
                self._pinged = {key: value for key, value in self._pinged.items() if key in ids}
            elif self._self_state is not None:
                self._self_state = status.self_state
            self._publish()

    def see_ping(self, device_id: str, answer: PingAnswer, more: bool = False) -> None:
        """A ping was answered or lost. While ``more`` are to come they are published together."""
        with self._lock:
            before = self._pinged.get(device_id)
            samples = before.latency.samples if before else ()
            at = now()
            latency = Latency((*samples, answer.milliseconds)[-SAMPLES:], at)
            self._pinged[device_id] = _Pinged(answer, latency, at)
            if not more or time.monotonic() - self._published_at > PINGS_PUBLISHED_EVERY:
                self._publish()

    def see_control(self, devices: tuple[TailnetDevice, ...]) -> None:
        with self._lock:
            self._control = {device.id: device for device in _kept(devices, self._control)}
            self._publish()

    def no_daemon(self) -> None:
        """There is no Tailscale on this machine (any more): nothing is seen from here."""
        with self._lock:
            self._self_state, self._local, self._pinged = None, (), {}
            self._publish()

    def _publish(self) -> None:
        moment, local = now(), {device.id: device for device in self._local}
        only_control = [key for key in self._control if key not in local]
        # A device that looks as before stays the same object, so that the join sees at a glance what changed.
        self._merged = {
            key: self._merge(key, local.get(key), self._control.get(key), moment)
            for key in (*local, *only_control)
        }
        seen = (self._self_state, tuple([merged.device for merged in self._merged.values()]))
        if seen == self._published:
            return
        self._published, self._published_at = seen, time.monotonic()
        tailnet, devices = seen

        def edit(observation: Observation) -> Observation:
            return dataclasses.replace(observation, tailnet=tailnet, devices=devices)

        self._sink.change(edit)

    def _merge(
        self, key: str, local: TailnetDevice | None, control: TailnetDevice | None, moment: datetime
    ) -> _Merged:
        """The device as both see it; the last one if it was made of the same."""
        pinged, last = self._pinged.get(key), self._merged.get(key)
        is_believed = pinged is not None and moment - pinged.at <= self._believed_for
        if (
            last is not None
            and (last.local is local and last.control is control)
            and (last.pinged is pinged and last.is_believed is is_believed)
        ):
            return last
        if local is not None:
            device = complete(_with_ping(local, pinged, is_believed), control)
        else:
            assert control is not None
            device = control
        same = last is not None and last.device == device
        return _Merged(local, control, pinged, is_believed, last.device if last and same else device)


def _kept(devices: Iterable[TailnetDevice], before: Mapping[str, TailnetDevice]) -> tuple[TailnetDevice, ...]:
    """The devices; those that are equal to the one of before are that one."""
    pairs = [(before.get(device.id), device) for device in devices]
    return tuple([old if old is not None and old == device else device for old, device in pairs])


def _with_ping(device: TailnetDevice, pinged: _Pinged | None, is_believed: bool) -> TailnetDevice:
    """The device with its latencies; of an idle one the ping also knows the path, while it is believed."""
    if pinged is None:
        return device
    device = replace(device, latency=pinged.latency)
    if device.path is not PathKind.IDLE or not is_believed:
        return device
    answer = pinged.answer
    if answer.milliseconds is not None and answer.path is PathKind.UNKNOWN:
        return device
    # A lost ping leaves UNKNOWN: idle would say that all is well.
    return replace(device, path=answer.path, endpoint=answer.endpoint, relay=answer.relay)


class TailnetSource(Source):
    """This machine's daemon: its status, and pings of the devices that matter.

    ``matters`` says which devices are pinged (those meant as nodes). OFF while Tailscale is not on this
    machine; stopped, logged out and the like are failures, with the last good devices kept.
    """

    def __init__(
        self,
        sink: Sink,
        view: TailnetView,
        *,
        matters: Callable[[TailnetDevice], bool],
        find: Callable[[], LocalTailscale] = find_local_api,
        every: float = STATUS_EVERY,
        ping_every: float = EVERY,
        between_tries: float = BETWEEN_TRIES,
        pace: float = PACE,
        at_once: int = AT_ONCE,
    ) -> None:
        super().__init__("tailnet", sink)
        self._view = view
        view.believe_pings_for(max(BELIEVED_FOR, timedelta(seconds=2.5 * ping_every)))
        self._matters = matters
        self._find = find
        self._every = every
        self._pings = Pings(
            view.see_ping, every=ping_every, between_tries=between_tries, pace=pace, at_once=at_once
        )

    def observe(self) -> None:
        try:
            self._look()
        except AxiomError as error:
            if error.problem.kind is not ProblemKind.ABSENT:
                raise
            self._absent(error.problem)

    def _look(self) -> None:
        """Read the status again and again until it fails."""
        try:
            local = self._find()
            while not self.stopping.is_set():
                status = local.status()
                if self.stopping.is_set():
                    return
                self._view.see_status(status)
                if status.problem is not None:
                    raise AxiomError(status.problem)
                self.live()
                self._pings.watch(local.ping, self._targets(status))
                self.pause(self._every)
        finally:
            self._pings.watch(None, {})

    def refresh(self) -> None:
        self._pings.refresh()
        super().refresh()

    def interrupt(self) -> None:
        self._pings.stop()

    def _targets(self, status: TailnetStatus) -> dict[str, str]:
        """Whom to ping: online devices that matter. To an offline one a ping would only time out."""
        return {
            device.id: device.ipv4 or device.addresses[0]
            for device in status.devices
            if device.online and device.addresses and not device.expired
            if device.path is not PathKind.SELF and self._matters(device)
        }

    def _absent(self, problem: Problem) -> None:
        """Not installed is no fault; it may be installed while we run, so look again now and then."""
        self._view.no_daemon()
        if self._status.state is not SourceState.OFF or self._status.problem != problem:
            self.off(problem)
        self.pause(self._every)


class ControlSource(Source):
    """Tailscale's control API, asked every minute; OFF if there are no credentials for it (``api`` None)."""

    def __init__(
        self, sink: Sink, view: TailnetView, api: ControlApi | None, *, every: float = CONTROL_EVERY
    ) -> None:
        super().__init__("tailnet-control", sink)
        self._view = view
        self._api = api
        self._every = every

    def observe(self) -> None:
        if self._api is None:
            self.off(Problem(ProblemKind.ABSENT, NOT_CONFIGURED, HOW_TO_CONFIGURE))
            self.stopping.wait()
            return
        while not self.stopping.is_set():
            devices = self._api.devices()
            if self.stopping.is_set():
                return
            self._view.see_control(devices)
            self.live()
            self.pause(self._every)
