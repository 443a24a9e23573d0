"""Random fleets for property-based tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from axiom_tui.model.fleet import Observation, TailnetSelf
from axiom_tui.model.node import Condition, Node, Service, ServicePort
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL
from axiom_tui.model.tailnet import Latency, PathKind, TailnetDevice

NOW = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)

moments = st.integers(-400 * 24, 400 * 24).map(lambda hours: NOW + timedelta(hours=hours))
past = st.integers(0, 400 * 24).map(lambda hours: NOW - timedelta(hours=hours))
tailnet_ips = st.integers(1, 40).map(lambda last: f"100.64.0.{last}")
names = st.builds(
    lambda prefix, number: f"{prefix}{number}", st.sampled_from(["m-o-", "wall-a-"]), st.integers(1, 12)
) | st.sampled_from(["strange", "wall-a-x", "m-o-01"])
any_ips = tailnet_ips | st.sampled_from(["10.0.0.5", "192.168.1.4", "2001:db8::1", "nonsense"])
external_ips = st.sampled_from(["116.203.10.1", "10.0.0.5", "100.64.0.9", "2a01:4f8::1", "203.0.113.7"])
versions = st.sampled_from(["v1.33.4+k3s1", "v1.31.9+k3s1", "v1.34.0+k3s1", "v1.29.0", "", "garbage"])


@st.composite
def labels(draw: st.DrawFn) -> dict[str, str]:
    found: dict[str, str] = {}
    if draw(st.booleans()):
        found["node-role.kubernetes.io/control-plane"] = "true"
    enable = draw(st.sampled_from([None, None, "true", "false", ""]))
    pool = draw(st.sampled_from([None, "internal", "external", "other"]))
    if enable is not None:
        found[ENABLE_LABEL] = enable
    if pool is not None:
        found[POOL_LABEL] = pool
    return found


@st.composite
def conditions(draw: st.DrawFn) -> tuple[Condition, ...]:
    kinds = draw(st.lists(st.sampled_from(["Ready", "DiskPressure", "EtcdIsVoter"]), unique=True))
    return tuple(
        Condition(kind, draw(st.sampled_from(["True", "False", "Unknown"])), "Why", "text", draw(past))
        for kind in kinds
    )


nodes = st.builds(
    Node,
    name=names,
    created=past,
    labels=labels(),
    conditions=conditions(),
    internal_ips=st.lists(any_ips, max_size=2).map(tuple),
    external_ips=st.lists(external_ips, max_size=2).map(tuple),
    unschedulable=st.booleans(),
    architecture=st.sampled_from(["amd64", "arm64"]),
    kubelet_version=versions,
)

devices = st.builds(
    TailnetDevice,
    id=st.integers(0, 10**9).map(lambda number: f"n{number}"),
    name=names | st.just("laptop"),
    host_name=names.map(str.upper) | st.just(""),
    addresses=st.lists(tailnet_ips, max_size=2).map(tuple),
    tags=st.lists(
        st.sampled_from(["tag:acl-axiom", "tag:info-hetzner", "tag:info-home", "tag:info-control-plane"]),
        unique=True,
    ).map(tuple),
    online=st.none() | st.booleans(),
    path=st.sampled_from(PathKind),
    relay=st.sampled_from(["", "fra"]),
    last_seen=st.none() | past,
    key_expiry=st.none() | moments,
    key_expiry_disabled=st.none() | st.booleans(),
    expired=st.booleans(),
    authorized=st.none() | st.booleans(),
    visible_here=st.booleans(),
    latency=st.lists(st.none() | st.floats(0.1, 900), max_size=5).map(lambda items: Latency(tuple(items))),
)

services = st.builds(
    Service,
    namespace=st.sampled_from(["web", "minecraft"]),
    name=st.sampled_from(["site", "flasche", "dns"]),
    type=st.sampled_from(["LoadBalancer", "ClusterIP"]),
    labels=st.sampled_from(["", "internal", "external", "odd"]).map(
        lambda pool: {POOL_LABEL: pool} if pool else {}
    ),
    ports=st.just((ServicePort(443),)),
)

observations = st.builds(
    Observation,
    nodes=st.lists(nodes, max_size=8, unique_by=lambda node: node.name).map(tuple),
    devices=st.lists(devices, max_size=8, unique_by=lambda device: device.id).map(tuple),
    services=st.lists(services, max_size=4).map(tuple),
    tailnet=st.none() | st.just(TailnetSelf("Running", "axiom.example")),
)
