"""The observer: coalescing, joining, rejoining in time, and silence after its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from axiom_tui.clients.kubernetes import cluster_of
from axiom_tui.fleet import observer as observer_module
from axiom_tui.fleet.kubernetes import kubernetes_sources
from axiom_tui.fleet.observer import Observer
from axiom_tui.fleet.source import Sink, Source
from axiom_tui.model.fleet import Cluster, Fleet, Observation, SourceState
from axiom_tui.model.join import join
from axiom_tui.model.node import Node
from axiom_tui.model.problem import ProblemKind, fail
from axiom_tui.model.rules import Rules
from axiom_tui.model.tailnet import TailnetDevice
from tests.clients.simulated_cluster import NAMES, simulated_cluster

CLUSTER = Cluster("axiom", "axiom", "https://m-o-1:6443")
INTERVAL = 0.02


class Hand(Source):
    """A source that does what the test tells it, in its own thread."""

    def __init__(self, name: str, sink: Sink) -> None:
        super().__init__(name, sink)
        self.refreshed = 0
        self._deeds: list[Callable[[], None]] = []
        self._told = threading.Condition()

    def observe(self) -> None:
        with self._told:
            self._told.wait_for(lambda: self._deeds or self.stopping.is_set())
            deed = self._deeds.pop(0) if self._deeds else None
        if deed is not None:
            deed()

    def do(self, deed: Callable[[], None]) -> None:
        with self._told:
            self._deeds.append(deed)
            self._told.notify_all()

    def interrupt(self) -> None:
        with self._told:
            self._told.notify_all()

    def refresh(self) -> None:
        super().refresh()
        self.refreshed += 1

    def see(self, *names: str) -> None:
        nodes = tuple(Node(name=name) for name in names)

        def deed() -> None:
            self.sink.change(lambda seen: replace(seen, nodes=nodes))
            self.live()

        self.do(deed)


class Audience:
    """Keeps all fleets, and waits for one."""

    def __init__(self) -> None:
        self.fleets: list[Fleet] = []
        self.moments: list[float] = []
        self._came = threading.Condition()

    def __call__(self, fleet: Fleet) -> None:
        with self._came:
            self.fleets.append(fleet)
            self.moments.append(time.monotonic())
            self._came.notify_all()

    def wait(self, what: str, condition: Callable[[Fleet], bool]) -> Fleet:
        with self._came:
            came = self._came.wait_for(lambda: bool(self.fleets) and condition(self.fleets[-1]), 20)
            assert came, f"waited in vain: {what}"
            return self.fleets[-1]


class Stage:
    def __init__(self, *names: str, interval: float = INTERVAL) -> None:
        self.audience = Audience()
        self.hands: dict[str, Hand] = {}

        def build(sink: Sink) -> Sequence[Source]:
            self.hands = {name: Hand(name, sink) for name in names}
            return tuple(self.hands.values())

        self.observer = Observer(build, CLUSTER, Rules(), self.audience, interval)

    def __enter__(self) -> Stage:
        self.observer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.observer.stop()
        assert self.observer.join(20)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage("nodes", "pods") as stage:
        yield stage


def test_before_the_start_there_is_an_empty_fleet_that_is_loading() -> None:
    fleet = Stage("nodes", "pods").observer.fleet
    assert fleet.cluster == CLUSTER
    assert [(item.name, item.state) for item in fleet.sources] == [
        ("nodes", SourceState.LOADING),
        ("pods", SourceState.LOADING),
    ]
    assert fleet.rows == ()


def test_what_is_seen_is_joined_and_published(stage: Stage) -> None:
    stage.hands["nodes"].see("m-o-1", "wall-a-1")
    fleet = stage.audience.wait("rows", lambda fleet: len(fleet.rows) == 2)
    assert {row.name for row in fleet.rows} == {"M-O-1", "WALL-A-1"}
    live = stage.audience.wait("live", lambda fleet: fleet.sources[0].state is SourceState.LIVE)
    assert live.source("pods") is not None
    assert stage.observer.fleet is stage.audience.fleets[-1]


def test_the_version_fills_the_cluster_in(stage: Stage) -> None:
    hand = stage.hands["nodes"]
    hand.do(lambda: hand.sink.change(lambda seen: replace(seen, version="v1.33.4+k3s1")))
    fleet = stage.audience.wait("version", lambda fleet: fleet.cluster.version == "v1.33.4+k3s1")
    assert fleet.cluster.name == "axiom"


def test_a_flood_of_edits_becomes_few_fleets_and_the_last_one_counts() -> None:
    with Stage("nodes", interval=0.1) as stage:
        for number in range(300):
            stage.hands["nodes"].see(f"wall-a-{number}")
        stage.audience.wait("the last", lambda fleet: [r.key for r in fleet.rows] == ["wall-a-299"])
    gaps = [
        after - before
        for before, after in zip(stage.audience.moments, stage.audience.moments[1:], strict=False)
    ]
    assert all(gap > 0.09 for gap in gaps), gaps


def test_nothing_is_published_when_nothing_changed(stage: Stage) -> None:
    for hand in stage.hands.values():
        hand.see("m-o-1", "m-o-2")
    quiet = stage.audience.wait(
        "all live",
        lambda fleet: len(fleet.rows) == 2 and {s.state for s in fleet.sources} == {SourceState.LIVE},
    )
    sink = stage.hands["nodes"].sink
    for _ in range(3):
        taken = threading.Event()

        def same(seen: Observation, taken: threading.Event = taken) -> Observation:
            taken.set()
            return replace(seen, nodes=tuple(Node(name=item.name) for item in seen.nodes))

        sink.change(same)
        assert taken.wait(20)
    sink.change(lambda seen: replace(seen, nodes=()))
    stage.audience.wait("news at last", lambda fleet: not fleet.rows)
    assert stage.audience.fleets.index(quiet) == len(stage.audience.fleets) - 2


def test_a_failing_source_keeps_the_data_and_says_so(stage: Stage) -> None:
    hand = stage.hands["nodes"]
    hand.see("m-o-1")
    stage.audience.wait("live", lambda fleet: fleet.sources[0].state is SourceState.LIVE)

    def broken() -> None:
        raise fail(ProblemKind.REFUSED, "Nothing listens at m-o-1:6443.", "Start it.")

    hand.do(broken)
    fleet = stage.audience.wait("stale", lambda fleet: fleet.sources[0].state is SourceState.STALE)
    assert [row.key for row in fleet.rows] == ["m-o-1"]
    status = fleet.source("nodes")
    assert status is not None
    assert status.problem is not None
    assert status.problem.sentence == "Nothing listens at m-o-1:6443."
    assert status.last_good is not None


def test_time_alone_brings_a_new_fleet(stage: Stage) -> None:
    """A key that expires in a moment is a finding then, though nobody reports anything."""
    hand = stage.hands["nodes"]
    expiry = datetime.now(UTC) + timedelta(seconds=1)
    device = TailnetDevice(
        id="n1",
        name="m-o-1",
        online=True,
        addresses=("100.64.0.1",),
        tags=("tag:acl-axiom",),
        key_expiry=expiry,
        key_expiry_disabled=False,
    )
    node = Node(name="m-o-1", internal_ips=("100.64.0.1",))
    hand.do(lambda: hand.sink.change(lambda seen: replace(seen, nodes=(node,), devices=(device,))))
    before = stage.audience.wait("row", lambda fleet: len(fleet.rows) == 1)
    findings = {finding.id for finding in before.findings}
    assert before.taken_at < expiry
    after = stage.audience.wait(
        "another finding", lambda fleet: {finding.id for finding in fleet.findings} != findings
    )
    assert after.taken_at >= expiry
    assert after.seen == before.seen


def test_after_stop_nothing_is_published_any_more() -> None:
    """Not even the fleet that was being made when it came."""
    stage = Stage("nodes")
    is_made, may_go_on = threading.Event(), threading.Event()

    def slow(seen: Observation) -> Observation:
        is_made.set()
        may_go_on.wait(20)
        return replace(seen, nodes=())

    with stage:
        stage.hands["nodes"].see("m-o-1")
        stage.audience.wait("row", lambda fleet: len(fleet.rows) == 1)
        stage.hands["nodes"].sink.change(slow)
        assert is_made.wait(20)
        stage.observer.stop()
        count = len(stage.audience.fleets)
        may_go_on.set()
        assert stage.observer.join(20)
    assert len(stage.audience.fleets) == count


def test_stop_may_come_from_the_audience_itself() -> None:
    """A headless command is satisfied with the first complete fleet."""
    ended = threading.Event()
    observers: list[Observer] = []

    def on_fleet(fleet: Fleet) -> None:
        if fleet.rows:
            observers[0].stop()
            ended.set()

    hands: list[Hand] = []

    def build(sink: Sink) -> Sequence[Source]:
        hands.append(Hand("nodes", sink))
        return tuple(hands)

    observers.append(Observer(build, CLUSTER, Rules(), on_fleet, INTERVAL))
    observers[0].start()
    hands[0].see("m-o-1")
    assert ended.wait(20)
    assert observers[0].join(20)


def test_refresh_reaches_every_source(stage: Stage) -> None:
    stage.observer.refresh()
    assert [hand.refreshed for hand in stage.hands.values()] == [1, 1]


def test_a_defect_in_joining_is_said_and_does_not_end_the_picture(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    stage.hands["nodes"].see("m-o-1")
    stage.audience.wait("row", lambda fleet: len(fleet.rows) == 1)
    monkeypatch.setattr(observer_module, "join", broken)
    stage.hands["nodes"].see("m-o-1", "m-o-2")
    wait_until(lambda: observer_module.FLEET in stage.observer._statuses)
    monkeypatch.setattr(observer_module, "join", join)
    stage.hands["nodes"].see("m-o-1", "m-o-2", "m-o-3")
    fleet = stage.audience.wait("recovery", lambda fleet: len(fleet.rows) == 3)
    fleet = stage.audience.wait("all said", lambda fleet: fleet.source(observer_module.FLEET) is None)
    assert len(fleet.rows) == 3


def wait_until(condition: Callable[[], bool]) -> None:
    gate, until = threading.Event(), time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        gate.wait(0.005)


def test_two_clusters_do_not_mix(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with simulated_cluster(tmp_path / "one") as one, simulated_cluster(tmp_path / "two") as two:
        two.store.delete("nodes", "m-o-1")
        audiences, observers = [], []
        for cluster in (one, two):
            options = cluster.options()
            audience = Audience()

            def build(sink: Sink, options=options) -> Sequence[Source]:  # type: ignore[no-untyped-def]
                return kubernetes_sources(sink, options, cluster_of(options))

            audiences.append(audience)
            observers.append(Observer(build, cluster_of(options), Rules(), audience, INTERVAL))
        for observer in observers:
            observer.start()
        for audience, expected in zip(audiences, (len(NAMES), len(NAMES) - 1), strict=True):
            audience.wait("its own nodes", lambda fleet, n=expected: len(fleet.rows) == n)  # type: ignore[misc]
        for observer in observers:
            observer.stop()
            assert observer.join(20)
        for cluster, audience in zip((one, two), audiences, strict=True):
            assert {fleet.cluster.server for fleet in audience.fleets} == {cluster.server.url}


@pytest.mark.parametrize("year", [2400, 9999])
def test_a_key_that_ends_in_centuries_does_not_end_the_observer(year: int) -> None:
    """Nothing waits that long: the wait would raise, and the picture stand still in silence."""
    device = TailnetDevice(
        id="n1", name="m-o-1", tags=("tag:acl-axiom",), key_expiry=datetime(year, 12, 31, 23, 59, tzinfo=UTC)
    )
    with Stage("nodes", "tailnet") as stage:
        stage.hands["tailnet"].do(
            lambda: stage.hands["tailnet"].sink.change(lambda seen: replace(seen, devices=(device,)))
        )
        stage.audience.wait("the device", lambda fleet: len(fleet.rows) == 1)
        stage.hands["nodes"].see("m-o-1")
        fleet = stage.audience.wait(
            "the node after it", lambda fleet: any(row.node is not None for row in fleet.rows)
        )
        assert fleet.source("fleet") is None
