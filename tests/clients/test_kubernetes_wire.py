"""Decoding against recordings of a real API server, and quantities by properties."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.clients import kubernetes_wire as wire
from axiom_tui.model.lease import Lease
from axiom_tui.model.node import NodeUsage

RECORDINGS = Path(__file__).parents[1] / "data" / "kubernetes-api.jsonl"


def recorded(name: str) -> dict[str, Any]:
    for line in RECORDINGS.read_text(encoding="utf-8").splitlines():
        exchange: dict[str, Any] = json.loads(line)
        if exchange["name"] == name:
            response: dict[str, Any] = exchange["response"]
            return response
    raise AssertionError(f"there is no recording {name!r}")


def body(name: str) -> bytes:
    return json.dumps(recorded(name)["body"]).encode()


def test_nodes_of_a_real_server() -> None:
    nodes, metadata = wire.NODES.read_list(body("list nodes"))
    by_name = {node.name: node for node in nodes}
    first = by_name["m-o-1"]
    assert metadata.resource_version == "307"
    assert first.is_ready
    assert first.is_server
    assert first.architecture == "amd64"
    assert first.kubelet_version == "v1.33.4+k3s1"
    assert first.internal_ips == ("100.64.0.1",)
    assert first.external_ips == ("203.0.113.10",)
    assert first.cpu == 4.0
    assert first.memory == 8131384 * 1024
    assert first.created == datetime(2026, 11, 22, 8, 53, 51, tzinfo=UTC)
    assert first.annotations["k3s.io/node-args"].startswith('["server", "--cluster-init"')
    assert by_name["wall-a-1"].labels["kubernetes.io/arch"] == "arm64"
    assert not by_name["wall-a-1"].is_server


def test_pages_of_a_real_server() -> None:
    nodes, metadata = wire.NODES.read_list(body("list nodes page 1"))
    assert len(nodes) == 2
    assert metadata.continue_


def test_services_pods_and_classes_of_a_real_server() -> None:
    services, _ = wire.SERVICES.read_list(body("list services"))
    assert {service.full_name for service in services} >= {"default/kubernetes"}
    pods, _ = wire.PODS.read_list(body("list pods of web"))
    assert pods[0].owner_kind == "ReplicaSet"
    assert pods[0].priority_class == "core"
    assert pods[0].priority == 1_000_000_000
    classes, _ = wire.PRIORITY_CLASSES.read_list(body("list priority classes"))
    assert {item.name: item.value for item in classes}["system-node-critical"] == 2_000_001_000


def test_events_and_leases_of_a_real_server() -> None:
    events, _ = wire.EVENTS.read_list(body("events of core/v1"))
    assert events[0].reason == "KubeAPIReadyz"
    assert events[0].at == datetime(2026, 11, 22, 8, 53, 48, tzinfo=UTC)
    lease, _ = wire.LEASES.read_one(body("create lease"))
    assert lease.holder == "a@ws1"
    assert lease.duration == 30
    assert lease.acquired == datetime(2026, 11, 22, 9, 0, 0, 1, tzinfo=UTC)


def test_every_event_of_the_recorded_watches_is_read() -> None:
    seen = []
    for event in recorded("watch nodes: modified, deleted")["events"]:
        line = msgspec.json.decode(json.dumps(event), type=wire.WireEvent)
        node, metadata = wire.NODES.read_one(line.object)
        seen.append((line.type, node.name))
        assert metadata.resource_version == event["object"]["metadata"]["resourceVersion"]
    assert seen == [("MODIFIED", "wall-a-1"), ("DELETED", "wall-a-3"), ("BOOKMARK", "")]


def test_an_empty_list_of_go_is_null() -> None:
    assert wire.NODES.read_list(b'{"metadata":{"resourceVersion":"1"},"items":null}')[0] == []


def test_the_controller_is_the_owner_even_if_it_does_not_come_first() -> None:
    owners = [{"kind": "Backup", "name": "b"}, {"kind": "DaemonSet", "name": "d", "controller": True}]
    pod, _ = wire.PODS.read_one(
        json.dumps({"metadata": {"name": "p", "namespace": "n", "ownerReferences": owners}}).encode()
    )
    assert (pod.owner_kind, pod.owner_name) == ("DaemonSet", "d")


def test_usage() -> None:
    item = {
        "metadata": {"name": "m-o-1"},
        "timestamp": "2026-11-22T09:00:00Z",
        "usage": {"cpu": "250000000n", "memory": "2Gi"},
    }
    assert wire.NODE_METRICS.read_one(json.dumps(item).encode())[0] == (
        "m-o-1",
        NodeUsage(0.25, 2 << 30, datetime(2026, 11, 22, 9, 0, tzinfo=UTC)),
    )


@given(st.integers(-(10**12), 10**12))
def test_whole_numbers_are_their_own_quantity(number: int) -> None:
    assert wire.quantity(str(number)) == number
    assert wire.quantity(f"{number}m") == pytest.approx(number / 1000)
    assert wire.quantity(f"{number}Ki") == number * 1024
    assert wire.quantity(f"{number}e3") == pytest.approx(number * 1000)


@given(st.text(max_size=12))
def test_other_text_is_a_number_or_refused(text: str) -> None:
    try:
        wire.quantity(text)
    except msgspec.ValidationError:
        return
    assert text.strip("+-.0123456789eEnumkMGTPi") == ""


@pytest.mark.parametrize("text", ["", "m", "1.2.3", "1kk", "1 Gi", "١", "0x10", "1e", "NaN", "inf"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        wire.quantity(text)


leases = st.builds(
    Lease,
    namespace=st.just("kube-system"),
    name=st.just("axiom-tui"),
    holder=st.text(max_size=20),
    duration=st.integers(0, 3600),
    acquired=st.none() | st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),
    renewed=st.none() | st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),
    transitions=st.integers(0, 1000),
    annotations=st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=5), max_size=3),
    resource_version=st.sampled_from(["", "318"]),
)


@given(leases)
def test_a_lease_survives_the_wire(lease: Lease) -> None:
    assert wire.LEASES.read_one(json.dumps(wire.from_lease(lease)).encode())[0] == lease


def test_a_micro_time_has_six_digits_and_is_utc() -> None:
    moment = datetime(2026, 11, 22, 10, 0, tzinfo=UTC).astimezone() + timedelta(0)
    assert wire.micro_time(moment) == "2026-11-22T10:00:00.000000Z"


def test_paths() -> None:
    assert wire.NODES.path() == "/api/v1/nodes"
    assert wire.NODES.path(name="a/b") == "/api/v1/nodes/a%2Fb"
    assert wire.LEASES.path("kube-system", "x") == (
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x"
    )
    assert wire.LEASES.full_name == "leases.coordination.k8s.io"
