"""Merging the local view and the control API's: pure rules."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from axiom_tui.model.tailnet import Latency, PathKind, TailnetDevice
from axiom_tui.model.tailnet_merge import merge

words = st.sampled_from(["", "a", "b"])
lists = st.lists(st.sampled_from(["a", "b", "c"]), max_size=2, unique=True).map(tuple)
flags = st.none() | st.booleans()
times = st.none() | st.sampled_from([datetime(2026, 11, 22, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)])
ids = st.sampled_from("12345")

local_devices = st.builds(
    TailnetDevice,
    id=ids,
    name=words,
    dns_name=words,
    host_name=words,
    os=words,
    addresses=lists,
    tags=lists,
    online=flags,
    path=st.sampled_from(PathKind),
    endpoint=words,
    relay=words,
    last_seen=times,
    key_expiry=times,
    key_expiry_disabled=flags,
    expired=st.booleans(),
    client_version=words,
    ssh_host_keys=lists,
    latency=st.builds(Latency, st.lists(st.none() | st.floats(1, 99), max_size=3).map(tuple), times),
)
control_devices = st.builds(
    TailnetDevice,
    id=ids,
    name=words,
    dns_name=words,
    host_name=words,
    os=words,
    addresses=lists,
    tags=lists,
    online=flags,
    path=st.sampled_from([PathKind.UNKNOWN, PathKind.OFFLINE]),
    last_seen=times,
    key_expiry=times,
    key_expiry_disabled=flags,
    authorized=flags,
    client_version=words,
    update_available=flags,
    advertises_endpoints=lists,
    visible_here=st.just(False),
)


def unique(devices: st.SearchStrategy[TailnetDevice]) -> st.SearchStrategy[tuple[TailnetDevice, ...]]:
    return st.lists(devices, max_size=5, unique_by=lambda device: device.id).map(tuple)


locals_, controls = unique(local_devices), unique(control_devices)


@given(locals_, controls)
def test_no_device_is_lost_or_made_up_or_doubled(
    local: tuple[TailnetDevice, ...], control: tuple[TailnetDevice, ...]
) -> None:
    merged = [device.id for device in merge(local, control)]
    assert len(merged) == len(set(merged))
    assert set(merged) == {device.id for device in (*local, *control)}


@given(locals_, controls)
def test_merging_again_changes_nothing(
    local: tuple[TailnetDevice, ...], control: tuple[TailnetDevice, ...]
) -> None:
    once = merge(local, control)
    assert merge(once, control) == once


@given(locals_, controls)
def test_each_view_wins_where_it_knows_better(
    local: tuple[TailnetDevice, ...], control: tuple[TailnetDevice, ...]
) -> None:
    merged = {device.id: device for device in merge(local, control)}
    here = {device.id: device for device in local}
    there = {device.id: device for device in control}
    for key, device in merged.items():
        assert device.visible_here == (key in here)
        if key not in here:
            assert device == there[key]
            continue
        mine = here[key]
        for name in ("path", "endpoint", "relay", "latency", "ssh_host_keys", "expired"):
            assert getattr(device, name) == getattr(mine, name)
        if key not in there:
            assert device == mine
            continue
        theirs = there[key]
        assert device.tags == theirs.tags
        for name in ("authorized", "update_available", "key_expiry_disabled"):
            if getattr(theirs, name) is not None:
                assert getattr(device, name) == getattr(theirs, name)


@given(locals_, controls)
def test_nothing_that_one_view_knows_is_forgotten(
    local: tuple[TailnetDevice, ...], control: tuple[TailnetDevice, ...]
) -> None:
    merged = {device.id: device for device in merge(local, control)}
    for device in (*local, *control):
        for name in ("name", "dns_name", "host_name", "os", "addresses", "client_version"):
            if getattr(device, name):
                assert getattr(merged[device.id], name)
        for name in ("online", "authorized", "key_expiry_disabled", "update_available"):
            if getattr(device, name) is not None and name != "key_expiry_disabled":
                assert getattr(merged[device.id], name) is not None


@given(locals_)
def test_without_the_control_api_the_local_view_is_all(local: tuple[TailnetDevice, ...]) -> None:
    assert merge(local, ()) == local
    assert merge((), local) == local


def test_expiry_and_its_switch_come_from_one_view() -> None:
    soon = datetime(2026, 12, 1, tzinfo=UTC)
    local = TailnetDevice(id="1", name="m-o-1", key_expiry=None, key_expiry_disabled=True)
    control = replace(local, key_expiry=soon, key_expiry_disabled=False, visible_here=False)
    (device,) = merge([local], [control])
    assert (device.key_expiry, device.key_expiry_disabled) == (soon, False)

    silent = replace(local, key_expiry=None, key_expiry_disabled=None, visible_here=False)
    (device,) = merge([replace(local, key_expiry=soon, key_expiry_disabled=False)], [silent])
    assert (device.key_expiry, device.key_expiry_disabled) == (soon, False)


def test_a_peer_that_is_online_here_has_no_old_last_seen() -> None:
    local = TailnetDevice(id="1", name="m-o-1", online=True)
    control = replace(local, online=False, last_seen=datetime(2026, 11, 1, tzinfo=UTC), visible_here=False)
    assert merge([local], [control])[0].last_seen is None
