"""What both views of the tailnet publish, one change after the other, is what merging all anew would give."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from axiom_tui.clients.tailscale import PingAnswer, TailnetStatus
from axiom_tui.fleet import tailnet
from axiom_tui.fleet.tailnet import BELIEVED_FOR, TailnetView
from axiom_tui.model.fleet import Observation, SourceStatus, TailnetSelf
from axiom_tui.model.tailnet import Latency, PathKind, TailnetDevice
from axiom_tui.model.tailnet_merge import merge
from tests.model.test_tailnet_merge import controls, ids, locals_

answers = st.builds(
    PingAnswer,
    st.none() | st.just(12.0),
    st.sampled_from([PathKind.DIRECT, PathKind.DERP, PathKind.UNKNOWN]),
    st.sampled_from(["", "203.0.113.7:41641"]),
)
#: What the daemon says, what the control API says, a ping's answer, or time that passes (seconds).
events = (
    st.builds(TailnetStatus, st.just(TailnetSelf("Running")), locals_)
    | controls
    | st.tuples(ids, answers)
    | st.sampled_from((1, 40, 80))
)


class Sink:
    def __init__(self) -> None:
        self.seen = Observation()
        self.changes = 0

    def change(self, edit: Callable[[Observation], Observation]) -> None:
        self.seen = edit(self.seen)
        self.changes += 1

    def report(self, status: SourceStatus) -> None:
        raise AssertionError(status)


def pinged(device: TailnetDevice, answer: PingAnswer, at: datetime, now: datetime) -> TailnetDevice:
    device = replace(device, latency=Latency((*device.latency.samples, answer.milliseconds), at))
    knows = answer.milliseconds is None or answer.path is not PathKind.UNKNOWN
    if device.path is not PathKind.IDLE or now - at > BELIEVED_FOR or not knows:
        return device
    return replace(device, path=answer.path, endpoint=answer.endpoint, relay=answer.relay)


@given(st.lists(events, max_size=12))
def test_each_change_gives_what_merging_all_anew_gives(
    happens: list[TailnetStatus | tuple[TailnetDevice, ...] | tuple[str, PingAnswer] | int],
) -> None:
    sink = Sink()
    view = TailnetView(sink)
    now = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
    local: tuple[TailnetDevice, ...] = ()
    control: tuple[TailnetDevice, ...] = ()
    last: dict[str, tuple[PingAnswer, datetime, tuple[float | None, ...]]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tailnet, "now", lambda: now)
        for event in happens:
            match event:
                case int():
                    now += timedelta(seconds=event)
                    continue
                case TailnetStatus():
                    local = event.devices
                    last = {key: value for key, value in last.items() if key in {item.id for item in local}}
                    view.see_status(event)
                case (str() as key, PingAnswer() as answer):
                    samples = last[key][2] if key in last else ()
                    last[key] = answer, now, (*samples, answer.milliseconds)
                    view.see_ping(key, answer)
                case _:
                    control = event
                    view.see_control(control)
            here = []
            for device in local:
                if device.id in last:
                    answer, at, samples = last[device.id]
                    device = replace(device, latency=Latency(samples[:-1]))
                    device = pinged(device, answer, at, now)
                here.append(device)
            assert sink.seen.devices == merge(here, control)


@given(locals_, controls)
def test_a_device_of_which_nothing_new_is_said_stays_the_same_object(
    local: tuple[TailnetDevice, ...], control: tuple[TailnetDevice, ...]
) -> None:
    sink = Sink()
    view = TailnetView(sink)
    view.see_status(TailnetStatus(TailnetSelf("Running"), local))
    view.see_control(control)
    before, changes = sink.seen.devices, sink.changes
    view.see_status(TailnetStatus(TailnetSelf("Running"), tuple(map(replace, local))))
    view.see_control(tuple(map(replace, control)))
    assert sink.changes == changes
    view.see_status(TailnetStatus(TailnetSelf("Starting"), tuple(map(replace, local))))
    assert all(one is two for one, two in zip(before, sink.seen.devices, strict=True))


def test_a_ping_is_believed_for_a_while_only() -> None:
    sink = Sink()
    view = TailnetView(sink)
    now = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
    idle = TailnetDevice(id="1", name="wall-a-1", online=True, path=PathKind.IDLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tailnet, "now", lambda: now)
        view.see_status(TailnetStatus(TailnetSelf("Running"), (idle,)))
        view.see_ping("1", PingAnswer(12.0, PathKind.DIRECT, endpoint="203.0.113.7:41641"))
        paths = [sink.seen.devices[0].path]
        now += BELIEVED_FOR + timedelta(seconds=1)
        view.see_control(())
        paths.append(sink.seen.devices[0].path)
        assert paths == [PathKind.DIRECT, PathKind.IDLE]
        assert sink.seen.devices[0].latency.last == 12.0
