"""Each rule finds what it is for, in words, and only that."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from axiom_tui.model.finding import Finding, Severity, Wizard
from axiom_tui.model.fleet import Observation, TailnetSelf
from axiom_tui.model.join import join
from axiom_tui.model.node import Condition, Node, Service
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL
from axiom_tui.model.rules import Limits, Rules
from axiom_tui.model.tailnet import PathKind, TailnetDevice
from tests.model.strategies import NOW

READY = Condition("Ready", "True", "KubeletReady", "", NOW - timedelta(days=3))
SERVER_LABELS = {"node-role.kubernetes.io/control-plane": "true", "node-role.kubernetes.io/etcd": "true"}
AGENT_LABELS = {ENABLE_LABEL: "true", POOL_LABEL: "internal"}
TAGS = ("tag:acl-axiom", "tag:info-infomaniak")


def server(name: str = "m-o-1", ip: str = "100.64.0.1", **changes: Any) -> Node:
    return replace(agent(name, ip, labels=SERVER_LABELS), **changes)


def agent(name: str = "wall-a-1", ip: str = "100.64.0.11", **changes: Any) -> Node:
    node = Node(
        name=name,
        created=NOW - timedelta(days=90),
        labels=AGENT_LABELS,
        conditions=(READY,),
        internal_ips=(ip,),
        architecture="amd64",
        kubelet_version="v1.33.4+k3s1",
    )
    return replace(node, **changes)


def device_of(node: Node, **changes: Any) -> TailnetDevice:
    device = TailnetDevice(
        id=f"id-{node.name}",
        name=node.name,
        host_name=node.name.upper(),
        addresses=node.internal_ips,
        tags=TAGS,
        online=True,
        path=PathKind.DIRECT,
        key_expiry_disabled=True,
        authorized=True,
    )
    return replace(device, **changes)


def findings(
    *nodes: Node,
    devices: tuple[TailnetDevice, ...] | None = None,
    services: tuple[Service, ...] = (),
    rules: Rules | None = None,
) -> tuple[Finding, ...]:
    seen = Observation(
        nodes=nodes,
        devices=tuple(device_of(node) for node in nodes) if devices is None else devices,
        services=services,
        tailnet=TailnetSelf("Running"),
    )
    return join(seen, rules or Rules(), NOW, "v1.33.4+k3s1").findings


def only(found: tuple[Finding, ...], rule: str) -> Finding:
    assert [finding.rule for finding in found] == [rule]
    return found[0]


def test_a_healthy_fleet_has_no_findings() -> None:
    public = agent("wall-a-2", "100.64.0.12", external_ips=("116.203.10.1",))
    public = replace(public, labels={ENABLE_LABEL: "true", POOL_LABEL: "external"})
    servers = [server(f"m-o-{number}", f"100.64.0.{number}") for number in (1, 2, 3)]
    assert findings(*servers, agent(), public) == ()


def not_ready(status: str = "Unknown", message: str = "Kubelet stopped posting node status.") -> Condition:
    return Condition("Ready", status, "NodeStatusUnknown", message, NOW - timedelta(minutes=28))


@pytest.mark.parametrize(
    ("condition", "changes", "words"),
    [
        (not_ready(), {"path": PathKind.OFFLINE, "online": False}, "tailscaled is offline"),
        (not_ready(), {"path": PathKind.EXPIRED, "expired": True}, "its Tailscale key has expired"),
        (not_ready(), {"path": PathKind.IDLE}, "stopped reporting, though the tailnet reaches it"),
        (not_ready("False", "container runtime is down"), {}, "container runtime is down"),
    ],
)
def test_not_ready_says_why(condition: Condition, changes: dict[str, Any], words: str) -> None:
    node = agent(conditions=(condition,))
    found = next(
        finding
        for finding in findings(node, devices=(device_of(node, **changes),))
        if finding.rule == "not-ready"
    )
    assert found.sentence == f"WALL-A-1 is NotReady since 14:02: {found.short.partition(': ')[2]}."
    assert words in found.sentence
    assert found.severity is Severity.ERROR


def test_a_server_that_is_not_ready_is_critical() -> None:
    node = server(conditions=(not_ready(),))
    assert findings(node)[0].severity is Severity.CRITICAL


def test_since_of_another_day_has_its_date() -> None:
    node = agent(conditions=(Condition("Ready", "False", "", "broken", NOW - timedelta(days=2)),))
    assert "since 20 Nov 14:30" in findings(node)[0].sentence


@pytest.mark.parametrize(
    ("changes", "rule", "words"),
    [
        ({"path": PathKind.OFFLINE, "last_seen": NOW - timedelta(hours=3)}, "tailnet-offline", "since 11:30"),
        ({"path": PathKind.DERP, "relay": "fra"}, "server-relayed", "DERP fra"),
        ({"path": PathKind.PEER_RELAY, "relay": "100.64.0.9:7777"}, "server-relayed", "peer relay"),
        (
            {"key_expiry": NOW + timedelta(days=5, hours=1), "key_expiry_disabled": False},
            "key-expiring",
            "in 5 days",
        ),
        (
            {"key_expiry": NOW - timedelta(hours=1), "key_expiry_disabled": False},
            "key-expired",
            "has expired",
        ),
        ({"expired": True}, "key-expired", "has expired"),
        (
            {"key_expiry": NOW + timedelta(days=100), "key_expiry_disabled": False},
            "key-expiry-enabled",
            "not disabled",
        ),
        ({"authorized": False}, "unapproved", "waits for approval"),
    ],
)
def test_tailnet_of_a_server(changes: dict[str, Any], rule: str, words: str) -> None:
    node = server()
    found = only(findings(node, devices=(device_of(node, **changes),)), rule)
    assert words in found.sentence


def test_relay_and_a_far_expiry_are_no_findings_of_an_agent() -> None:
    node = agent()
    far = NOW + timedelta(days=100)
    device = device_of(node, path=PathKind.DERP, relay="fra", key_expiry=far, key_expiry_disabled=None)
    assert findings(node, devices=(device,)) == ()


@pytest.mark.parametrize(
    ("changes", "rule", "words"),
    [
        ({"labels": {}}, "pool-missing", "no load-balancer labels"),
        ({"external_ips": ("116.203.10.3",)}, "pool-wrong", "public IP, should be external"),
        (
            {"labels": {ENABLE_LABEL: "true", POOL_LABEL: "external"}},
            "pool-external-private",
            "external without a public address",
        ),
        ({"labels": {POOL_LABEL: "internal"}}, "pool-not-enabled", "not enabled"),
        (
            {"labels": {ENABLE_LABEL: "false", POOL_LABEL: "internal"}},
            "pool-not-enabled",
            "not enabled",
        ),
        ({"labels": {ENABLE_LABEL: "true", POOL_LABEL: "odd"}}, "pool-wrong", "pool odd, should be internal"),
        ({"labels": {ENABLE_LABEL: "true"}}, "pool-wrong", "pool missing, should be internal"),
        ({"internal_ips": ("10.0.0.3",)}, "node-ip-outside", "10.0.0.3"),
        ({"internal_ips": ()}, "node-ip-outside", "is not published"),
        ({"kubelet_version": "v1.31.9+k3s1"}, "kubelet-behind", "2 minors behind"),
        ({"kubelet_version": "v1.34.0+k3s1"}, "kubelet-newer", "newer than the API server"),
        ({"unschedulable": True}, "cordoned", "cordoned"),
        (
            {"conditions": (READY, Condition("DiskPressure", "True"))},
            "pressure-diskpressure",
            "disk space is short",
        ),
        ({"name": "strange"}, "name-outside", "not named like"),
        ({"name": "m-o-9"}, "name-role", "named like a server"),
    ],
)
def test_an_agent(changes: dict[str, Any], rule: str, words: str) -> None:
    good = agent("wall-a-2", "100.64.0.12")
    node = agent(**changes)
    found = [finding for finding in findings(good, node) if finding.subject == node.name]
    assert [finding.rule for finding in found] == [rule]
    assert words in found[0].sentence
    assert (found[0].wizard is Wizard.LABELS) == rule.startswith("pool-")


def test_a_server_with_labels_should_have_none() -> None:
    node = server(labels={**SERVER_LABELS, **AGENT_LABELS})
    assert "pool-unwanted" in {finding.rule for finding in findings(node)}


def test_a_learner_does_not_vote() -> None:
    node = server(conditions=(READY, Condition("EtcdIsVoter", "False", "MemberIsLearner")))
    assert "MemberIsLearner" in only(findings(node), "etcd-not-voter").sentence


def test_a_node_without_a_device() -> None:
    assert only(findings(agent(), devices=()), "no-device").subject == "wall-a-1"


def test_a_device_that_is_no_node() -> None:
    node = agent()
    new = TailnetDevice(id="n9", name="wall-a-9", tags=TAGS, path=PathKind.IDLE)
    phone = TailnetDevice(id="n10", name="phone", path=PathKind.IDLE)
    found = only(findings(node, devices=(device_of(node), new, phone)), "not-in-cluster")
    assert found.wizard is Wizard.JOIN
    assert found.subject == "device:n9"


def test_two_devices_with_one_host_name() -> None:
    node = agent()
    twin = replace(device_of(node), id="n2", name="wall-a-1-1", addresses=("100.64.0.99",))
    rules = {finding.rule: finding for finding in findings(node, devices=(device_of(node), twin))}
    assert "wall-a-1-1" in rules["duplicate-name"].sentence


def test_an_expected_version() -> None:
    rules = Rules(limits=Limits(expected_version="v1.33.5+k3s1"))
    assert only(findings(agent(), rules=rules), "version-unexpected").severity is Severity.INFO


@pytest.mark.parametrize(("count", "is_even"), [(1, False), (2, True), (3, False), (4, True)])
def test_an_even_number_of_servers(count: int, is_even: bool) -> None:
    servers = [server(f"m-o-{number}", f"100.64.0.{number}") for number in range(1, count + 1)]
    assert ("servers-even" in {finding.rule for finding in findings(*servers)}) is is_even


def test_servers_in_different_places() -> None:
    one, two, three = (server(f"m-o-{number}", f"100.64.0.{number}") for number in (1, 2, 3))
    devices = (device_of(one), device_of(two), device_of(three, tags=("tag:acl-axiom", "tag:info-hetzner")))
    assert "hetzner, infomaniak" in only(findings(one, two, three, devices=devices), "servers-apart").sentence


def test_an_empty_pool_that_a_service_waits_for() -> None:
    service = Service(
        namespace="minecraft", name="flasche", type="LoadBalancer", labels={POOL_LABEL: "external"}
    )
    found = only(findings(agent(), services=(service,)), "pool-empty")
    assert (found.severity, found.subject) == (Severity.ERROR, "pool/external")
    assert "nothing serves minecraft/flasche" in found.sentence


def test_without_any_label_pools_are_not_looked_at() -> None:
    service = Service(namespace="a", name="b", type="LoadBalancer", labels={POOL_LABEL: "external"})
    rules = {finding.rule for finding in findings(agent(labels={}), services=(service,))}
    assert "pool-empty" not in rules
