"""The tailnet's sources against the simulated tailnet: every fault is said, and ends when its cause ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from axiom_tui.clients.tailscale import LocalApi, PingAnswer, TailnetStatus, find_local_api
from axiom_tui.clients.tailscale_control import ApiToken, ControlApi
from axiom_tui.fleet import source as source_module
from axiom_tui.fleet.source import Source
from axiom_tui.fleet.tailnet import ControlSource, TailnetSource, TailnetView
from axiom_tui.fleet.tailnet_pings import AT_ONCE, Pings
from axiom_tui.model.fleet import Observation, SourceState, SourceStatus, TailnetSelf
from axiom_tui.model.problem import ProblemKind
from axiom_tui.model.rules import Rules
from axiom_tui.model.secret import Secret
from axiom_tui.model.tailnet import PathKind, TailnetDevice
from axiom_tui.simulator.tailnet import Route
from tests.clients.simulated_tailnet import SimulatedTailnet, simulated_tailnet
from tests.clients.wire_server import http_json, serving


class Sink:
    """Keeps what the sources publish, and lets a test wait for it."""

    def __init__(self) -> None:
        self.seen = Observation()
        self.statuses: dict[str, SourceStatus] = {}
        self.history: list[SourceStatus] = []
        self.changes = 0
        self._changed = threading.Condition()

    def change(self, edit: Callable[[Observation], Observation]) -> None:
        with self._changed:
            self.seen = edit(self.seen)
            self.changes += 1
            self._changed.notify_all()

    def report(self, status: SourceStatus) -> None:
        with self._changed:
            self.statuses[status.name] = status
            self.history.append(status)
            self._changed.notify_all()

    def wait(self, what: str, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, 20), f"waited in vain: {what}; {self.statuses}"

    def wait_for_state(self, source: Source, state: SourceState, words: str = "") -> SourceStatus:
        def is_there() -> bool:
            status = self.statuses.get(source.name)
            said = status.problem.sentence if status and status.problem else ""
            return status is not None and status.state is state and words in said

        self.wait(f"{source.name} {state} {words}", is_there)
        return self.statuses[source.name]

    def device(self, name: str) -> TailnetDevice:
        return next(item for item in self.seen.devices if item.name == name)

    def has(self, name: str, condition: Callable[[TailnetDevice], bool]) -> bool:
        return any(item.name == name and condition(item) for item in self.seen.devices)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once; the waiting itself is tested with the source."""
    monkeypatch.setattr(source_module, "FIRST_DELAY", 0.02)
    monkeypatch.setattr(source_module, "LONGEST_DELAY", 0.1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SimulatedTailnet]:
    with simulated_tailnet(tmp_path) as tailnet:
        yield tailnet


@contextmanager
def running(source: Source) -> Iterator[None]:
    source.start()
    try:
        yield
    finally:
        source.stop()
        assert source.join(10)


def tailnet_source(world: SimulatedTailnet, sink: Sink, view: TailnetView | None = None) -> TailnetSource:
    return TailnetSource(
        sink,
        view or TailnetView(sink),
        matters=Rules().is_meant_as_node,
        find=lambda: find_local_api(str(world.socket), timeout=0.5),
        every=0.03,
        ping_every=0.2,
        between_tries=0.01,
        pace=0.001,
    )


def control_source(world: SimulatedTailnet, sink: Sink, view: TailnetView | None = None) -> ControlSource:
    api = ControlApi(world.control_url, ApiToken(lambda: Secret(world.token)), timeout=0.5)
    return ControlSource(sink, view or TailnetView(sink), api, every=0.05)


def end_of_pings() -> None:
    """Ping threads are left to their own deadline; a test waits, so that no socket outlives it."""
    until = time.monotonic() + 10
    for thread in threading.enumerate():
        if thread.name.startswith("tailnet-ping"):
            thread.join(until - time.monotonic())
            assert not thread.is_alive()


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    yield
    end_of_pings()


# The daemon of this machine


def test_devices_and_own_state_are_published(world: SimulatedTailnet) -> None:
    sink = Sink()
    source = tailnet_source(world, sink)
    with running(source):
        sink.wait_for_state(source, SourceState.LIVE)
        assert sink.seen.tailnet == TailnetSelf("Running", world.tailnet.name, world.tailnet.suffix)
        assert sink.device("m-o-1").ipv4 == world.tailnet.get("m-o-1").ipv4
        assert sink.seen.devices[0].path is PathKind.SELF


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("ts-stopped", ProblemKind.STOPPED, "switched off"),
        ("ts-needs-login", ProblemKind.STOPPED, "logged out"),
        ("ts-needs-approval", ProblemKind.STOPPED, "waits for approval"),
        ("ts-hang", ProblemKind.TIMED_OUT, "did not answer within 0.5 s"),
        ("ts-garbage", ProblemKind.GARBLED, "cannot be read"),
    ],
)
def test_a_fault_keeps_the_last_good_data_and_ends(
    world: SimulatedTailnet, fault: str, kind: ProblemKind, words: str
) -> None:
    sink = Sink()
    source = tailnet_source(world, sink)
    with running(source):
        sink.wait_for_state(source, SourceState.LIVE)
        names = {device.name for device in sink.seen.devices}

        world.faults.set(fault)
        status = sink.wait_for_state(source, SourceState.STALE, words)
        assert status.problem is not None
        assert status.problem.kind is kind
        assert status.problem.remedy
        assert status.last_good is not None
        assert status.retry_at is not None
        assert {device.name for device in sink.seen.devices} == names

        world.faults.clear()
        assert sink.wait_for_state(source, SourceState.LIVE).problem is None


@pytest.mark.parametrize(
    "fault", ["ts-stopped", "ts-needs-login", "ts-needs-approval", "ts-hang", "ts-garbage"]
)
def test_a_fault_from_the_start_is_a_failure_without_data(world: SimulatedTailnet, fault: str) -> None:
    world.faults.set(fault)
    sink = Sink()
    source = tailnet_source(world, sink)
    with running(source):
        sink.wait_for_state(source, SourceState.FAILED)
        # A tailnet that was never seen must not accuse nodes of having no device in it.
        assert sink.seen.tailnet is None
        assert sink.seen.devices == ()
        world.faults.clear()
        sink.wait_for_state(source, SourceState.LIVE)
        assert sink.seen.devices


def test_logged_out_shows_where_to_log_in(world: SimulatedTailnet) -> None:
    world.faults.set("ts-needs-login")
    sink = Sink()
    source = tailnet_source(world, sink)
    with running(source):
        problem = sink.wait_for_state(source, SourceState.FAILED).problem
    assert problem is not None
    assert "https://login.tailscale.com/a/" in problem.remedy


def test_absent_is_no_fault_and_is_noticed_when_it_comes(world: SimulatedTailnet) -> None:
    world.faults.set("ts-absent")
    until = time.monotonic() + 10
    while world.socket.exists():
        assert time.monotonic() < until
        time.sleep(0.005)
    sink = Sink()
    source = tailnet_source(world, sink)
    with running(source):
        status = sink.wait_for_state(source, SourceState.OFF)
        assert status.problem is not None
        assert status.problem.kind is ProblemKind.ABSENT
        assert str(world.socket) in status.problem.sentence
        world.faults.clear()
        sink.wait_for_state(source, SourceState.LIVE)

        world.faults.set("ts-absent")
        sink.wait_for_state(source, SourceState.OFF)
        assert sink.seen.tailnet is None
        assert sink.seen.devices == ()
        offs = [item for item in sink.history if item.state is SourceState.OFF]
        assert len(offs) == 2  # said once each time, with the moment when it began


def test_nothing_is_published_while_nothing_changes(world: SimulatedTailnet) -> None:
    sink = Sink()
    asked: list[float] = []

    class Counted(LocalApi):
        def status(self) -> TailnetStatus:
            asked.append(time.monotonic())
            return super().status()

    source = TailnetSource(
        sink, TailnetView(sink), matters=lambda _: False, find=lambda: Counted(world.socket), every=0.01
    )
    with running(source):
        sink.wait_for_state(source, SourceState.LIVE)
        until = time.monotonic() + 10
        while len(asked) < 5:
            assert time.monotonic() < until
            time.sleep(0.005)
        assert sink.changes == 1
        world.tailnet.set_online("wall-a-1", False)
        sink.wait("wall-a-1 goes offline", lambda: sink.has("wall-a-1", lambda d: d.path is PathKind.OFFLINE))
        assert sink.changes == 2


def test_refresh_looks_at_once(world: SimulatedTailnet) -> None:
    sink = Sink()
    source = TailnetSource(
        sink,
        TailnetView(sink),
        matters=lambda _: False,
        find=lambda: LocalApi(world.socket),
        every=3600,
    )
    with running(source):
        sink.wait_for_state(source, SourceState.LIVE)
        world.tailnet.set_online("wall-a-1", False)
        source.refresh()
        sink.wait("wall-a-1 goes offline", lambda: sink.has("wall-a-1", lambda d: d.path is PathKind.OFFLINE))


def test_stop_returns_at_once_while_the_daemon_hangs(world: SimulatedTailnet) -> None:
    world.faults.set("ts-hang")
    sink = Sink()
    source = TailnetSource(
        sink, TailnetView(sink), matters=lambda _: True, find=lambda: LocalApi(world.socket, timeout=1)
    )
    source.start()
    started = time.monotonic()
    source.stop()
    assert time.monotonic() - started < 0.5  # half of what the hanging call would take
    assert source.join(10)
    assert sink.seen.devices == ()


# Pings


def test_a_ping_settles_the_path_of_an_idle_peer(world: SimulatedTailnet) -> None:
    sink = Sink()
    source = tailnet_source(world, sink)
    with running(source):
        sink.wait("wall-a-1 is pinged", lambda: sink.has("wall-a-1", lambda d: d.latency.last is not None))
        sink.wait("wall-a-1 is direct", lambda: sink.has("wall-a-1", lambda d: d.path is PathKind.DIRECT))
        seen = sink.device("wall-a-1")
        assert seen.endpoint == world.tailnet.get("wall-a-1").endpoint
        assert seen.latency.at is not None

        sink.wait("three pings", lambda: sink.has("wall-a-1", lambda d: len(d.latency.samples) > 2))
        # Only what matters is pinged, and never what is offline or this machine itself.
        for device in sink.seen.devices:
            if "tag:acl-axiom" not in device.tags or not device.online:
                assert device.latency.samples == ()


@pytest.mark.parametrize(
    ("route", "path"), [(Route.DERP, PathKind.DERP), (Route.PEER_RELAY, PathKind.PEER_RELAY)]
)
def test_a_relay_is_named(world: SimulatedTailnet, route: Route, path: PathKind) -> None:
    relay = "192.0.2.1:7777:vni:5" if route is Route.PEER_RELAY else ""
    device = world.tailnet.change("wall-a-1", route=route, peer_relay=relay)
    sink = Sink()
    source = tailnet_source(world, sink)
    with running(source):
        sink.wait("the path is known", lambda: sink.has("wall-a-1", lambda d: d.path is path))
        assert sink.device("wall-a-1").relay == relay or device.relay


def test_a_lost_ping_is_a_gap_and_no_failure(world: SimulatedTailnet) -> None:
    world.faults.set("ts-ping-timeout")
    sink = Sink()
    source = tailnet_source(world, sink)
    with running(source):
        sink.wait("a lost ping", lambda: sink.has("wall-a-1", lambda d: d.latency.samples == (None,)))
        assert sink.device("wall-a-1").path is PathKind.UNKNOWN
        assert sink.statuses["tailnet"].state is SourceState.LIVE
        world.faults.clear()
        sink.wait("an answer", lambda: sink.has("wall-a-1", lambda d: d.latency.last is not None))
        assert sink.device("wall-a-1").latency.samples[0] is None


def test_the_last_twenty_samples_are_kept() -> None:
    sink = Sink()
    view = TailnetView(sink)
    view.see_status(TailnetStatus(TailnetSelf("Running"), (idle_device(),)))
    for number in range(25):
        view.see_ping("n1", PingAnswer(float(number)))
    assert sink.device("wall-a-1").latency.samples == tuple(float(number) for number in range(5, 25))


def test_a_burst_of_answers_is_published_together_and_to_its_end() -> None:
    sink = Sink()
    view = TailnetView(sink)
    view.see_status(TailnetStatus(TailnetSelf("Running"), (idle_device(),)))
    before = sink.changes
    for number in range(10):
        view.see_ping("n1", PingAnswer(float(number)), more=True)
    assert sink.changes == before  # the status was published less than a second ago
    view.see_ping("n1", PingAnswer(10.0))
    assert sink.changes == before + 1
    assert len(sink.device("wall-a-1").latency.samples) == 11


def test_pings_start_one_after_the_other() -> None:
    """A pace that is never reached: the second device waits for its turn, the first is not pinged twice."""
    line = Line()
    line.let_go()
    pings = Pings(line.answer, every=0, pace=3600)
    pings.watch(line.ping, {"n1": "100.64.0.1", "n2": "100.64.0.2"})
    try:
        line.wait(lambda: len(line.answered) == 1)
        pings.refresh()
        assert len(line.pinged) == 1
    finally:
        pings.stop()
    end_of_pings()
    assert len(line.pinged) == 1


def idle_device() -> TailnetDevice:
    return TailnetDevice(id="n1", name="wall-a-1", online=True, path=PathKind.IDLE)


def test_a_pings_path_is_believed_for_a_while_and_only_of_an_idle_peer() -> None:
    direct = PingAnswer(8.0, PathKind.DIRECT, endpoint="198.51.100.7:41641")
    sink = Sink()
    view = TailnetView(sink)
    view.see_status(TailnetStatus(TailnetSelf("Running"), (idle_device(),)))
    view.see_ping("n1", direct)
    assert (sink.device("wall-a-1").path, sink.device("wall-a-1").endpoint) == (direct.path, direct.endpoint)

    offline = TailnetDevice(id="n1", name="wall-a-1", online=False, path=PathKind.OFFLINE)
    view.see_status(TailnetStatus(TailnetSelf("Running"), (offline,)))
    assert sink.device("wall-a-1").path is PathKind.OFFLINE
    assert sink.device("wall-a-1").endpoint == ""

    forgetful = TailnetView(sink)
    forgetful.believe_pings_for(timedelta(0))
    forgetful.see_status(TailnetStatus(TailnetSelf("Running"), (idle_device(),)))
    forgetful.see_ping("n1", direct)
    assert sink.device("wall-a-1").path is PathKind.IDLE


class Line:
    """A stand-in for the network: pings are held until the test lets them go."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.held = True
        self.now = self.most = 0
        self.pinged: list[str] = []
        self.answered: list[str] = []
        self.more: list[bool] = []

    def ping(self, ip: str) -> PingAnswer:
        with self.changed:
            self.now += 1
            self.most = max(self.most, self.now)
            self.pinged.append(ip)
            self.changed.notify_all()
            self.changed.wait_for(lambda: not self.held, 20)
            self.now -= 1
            return PingAnswer(1.0, PathKind.DIRECT, endpoint="198.51.100.7:1")

    def answer(self, device: str, _: PingAnswer, more: bool) -> None:
        with self.changed:
            self.more.append(more)
            self.answered.append(device)
            self.changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, 20)

    def let_go(self) -> None:
        with self.changed:
            self.held = False
            self.changed.notify_all()


def test_a_bounded_number_of_pings_at_once() -> None:
    line = Line()
    pings = Pings(line.answer, every=3600, pace=0)
    pings.watch(line.ping, {f"n{number}": f"100.64.0.{number}" for number in range(10)})
    try:
        line.wait(lambda: line.now == AT_ONCE)
        line.let_go()
        line.wait(lambda: len(line.answered) == 10)
        assert line.most == AT_ONCE
        assert sorted(line.answered) == sorted(f"n{number}" for number in range(10))
        assert line.more[0]

        pings.refresh()
        line.wait(lambda: len(line.answered) == 20)
    finally:
        line.let_go()
        pings.stop()


def test_pings_do_not_wait_for_each_other_or_hold_up_the_end() -> None:
    line = Line()
    pings = Pings(line.answer, every=3600, pace=0)
    pings.watch(line.ping, {"n1": "100.64.0.1"})
    try:
        line.wait(lambda: line.now == 1)
        pings.watch(line.ping, {"n1": "100.64.0.1", "n2": "100.64.0.2"})
        line.wait(lambda: line.now == 2)
        pings.stop()  # returns although two are under way
        assert line.answered == []
    finally:
        line.let_go()
    end_of_pings()
    assert line.answered == []


def test_a_relayed_answer_is_asked_again_before_it_is_believed() -> None:
    answers = [
        PingAnswer(60.0, PathKind.DERP, relay="fra"),
        PingAnswer(60.0, PathKind.DERP, relay="fra"),
        PingAnswer(8.0, PathKind.DIRECT, endpoint="198.51.100.7:1"),
    ]
    got: list[PingAnswer] = []
    there = threading.Event()

    def keep(_: str, answer: PingAnswer, more: bool) -> None:
        got.append(answer)
        there.set()

    pings = Pings(keep, every=3600, between_tries=0)
    pings.watch(lambda _: answers.pop(0), {"n1": "100.64.0.1"})
    try:
        assert there.wait(20)
    finally:
        pings.stop()
    assert [answer.path for answer in got] == [PathKind.DIRECT]


# The control API


def test_control_completes_what_this_machine_sees(world: SimulatedTailnet) -> None:
    sink = Sink()
    view = TailnetView(sink)
    local, control = tailnet_source(world, sink, view), control_source(world, sink, view)
    hidden = world.tailnet.change("wall-a-2", visible=False)
    with running(local), running(control):
        sink.wait_for_state(local, SourceState.LIVE)
        sink.wait_for_state(control, SourceState.LIVE)
        sink.wait("a path from here", lambda: sink.has("wall-a-1", lambda d: d.path is PathKind.DIRECT))
        assert sink.device("wall-a-1").client_version == world.tailnet.get("wall-a-1").client_version
        assert sink.device("wall-a-1").visible_here
        seen = sink.device("wall-a-2")
        assert (seen.id, seen.visible_here, seen.online) == (hidden.id, False, True)

        world.tailnet.change("wall-a-1", authorized=False)
        sink.wait("approval", lambda: sink.has("wall-a-1", lambda d: d.authorized is False))


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("control-unauthorized", ProblemKind.UNAUTHENTICATED),
        ("control-throttle", ProblemKind.THROTTLED),
        ("control-broken", ProblemKind.BROKEN),
        ("control-garbage", ProblemKind.GARBLED),
    ],
)
def test_a_fault_of_control_leaves_the_rest_alone_and_ends(
    world: SimulatedTailnet, fault: str, kind: ProblemKind
) -> None:
    sink = Sink()
    view = TailnetView(sink)
    local, control = tailnet_source(world, sink, view), control_source(world, sink, view)
    with running(local), running(control):
        sink.wait_for_state(control, SourceState.LIVE)
        sink.wait_for_state(local, SourceState.LIVE)
        world.faults.set(fault)
        status = sink.wait_for_state(control, SourceState.STALE)
        assert status.problem is not None
        assert status.problem.kind is kind
        assert world.token not in str(status)
        assert sink.statuses["tailnet"].state is SourceState.LIVE
        assert sink.device("wall-a-1").client_version  # what it said last stays
        world.faults.clear()
        sink.wait_for_state(control, SourceState.LIVE)


def test_control_waits_as_long_as_it_is_asked_to(world: SimulatedTailnet) -> None:
    world.faults.set("control-throttle", retry_after=40)
    sink = Sink()
    source = control_source(world, sink)
    with running(source):
        status = sink.wait_for_state(source, SourceState.FAILED)
        assert status.retry_at is not None
        assert status.retry_at - status.since >= timedelta(seconds=39)


def test_without_credentials_control_is_off_and_says_how_to_switch_it_on() -> None:
    sink = Sink()
    source = ControlSource(sink, TailnetView(sink), None)
    with running(source):
        problem = sink.wait_for_state(source, SourceState.OFF).problem
        assert problem is not None
        assert "tailscale.control.token_file" in problem.remedy


def test_without_tailscale_here_control_still_knows_the_devices(world: SimulatedTailnet) -> None:
    sink = Sink()
    view = TailnetView(sink)
    control = control_source(world, sink, view)
    view.no_daemon()
    with running(control):
        sink.wait("devices", lambda: bool(sink.seen.devices))
        assert not any(device.visible_here for device in sink.seen.devices)
        assert sink.seen.tailnet is None


def test_a_daemon_that_restarts_is_found_again(tmp_path: Path) -> None:
    """tailscaled takes its socket away when it stops: nothing listens, then a new one does."""
    path = tmp_path / "tailscaled.sock"
    status = {"BackendState": "Running", "Self": {"ID": "n0", "HostName": "laptop"}}
    sink = Sink()
    source = TailnetSource(
        sink, TailnetView(sink), matters=lambda _: True, find=lambda: LocalApi(path), every=0.02
    )
    with running(source):
        with serving(lambda _: http_json(status), path):
            sink.wait_for_state(source, SourceState.LIVE)
        refused = sink.wait_for_state(source, SourceState.STALE)
        assert refused.problem is not None
        assert refused.problem.kind in (ProblemKind.REFUSED, ProblemKind.UNREACHABLE)
        path.unlink()
        sink.wait_for_state(source, SourceState.OFF)
        with serving(lambda _: http_json(status), path):
            sink.wait_for_state(source, SourceState.LIVE)
