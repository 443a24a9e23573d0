"""The simulated ServiceLB does what K3s does: selectors, pods, addresses, and the gaps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axiom_tui.simulator.axiom import EmbeddedAxiom
from axiom_tui.simulator.kubernetes_api import KubernetesServer
from axiom_tui.simulator.servicelb import NAMESPACE, ServiceLb
from axiom_tui.simulator.store import ObjectStore
from tests.simulator.balanced_cluster import (
    CONTROL_PLANE,
    ENABLE,
    HAS_SELECTOR,
    POOL,
    PREFIX,
    SELECTED,
    BalancedCluster,
    taint,
)
from tests.simulator.test_axiom import kubernetes

Json = dict[str, Any]


@pytest.fixture
def cluster() -> Iterator[BalancedCluster]:
    with BalancedCluster().running() as running:
        yield running


# The DaemonSet (2.1)


def test_a_service_gets_a_daemon_set_named_labelled_and_made_as_k3s_does(cluster: BalancedCluster) -> None:
    cluster.node("a")
    name = "a-service-with-a-name-that-is-longer-than-fits-into-it"
    cluster.service(name, 443, -53, loadBalancerSourceRanges=["100.64.0.0/10"])
    cluster.settle()
    service, daemon = cluster.store.get("services", name, "default"), cluster.daemon_set(name)
    assert service is not None
    assert daemon["metadata"]["name"] == f"svclb-{name[:48]}-{service['metadata']['uid'][:8]}"
    link = {f"{PREFIX}svcname": name, f"{PREFIX}svcnamespace": "default"}
    assert daemon["metadata"]["labels"] == {HAS_SELECTOR: "false", **link}
    assert "ownerReferences" not in daemon["metadata"]  # an owner lives in the same namespace
    template = daemon["spec"]["template"]
    assert template["metadata"]["labels"] == {"app": daemon["metadata"]["name"], **link}
    assert template["spec"]["serviceAccountName"] == "svclb"
    assert template["spec"]["priorityClassName"] == "system-node-critical"
    ports = [(item["name"], item["ports"][0]) for item in template["spec"]["containers"]]
    assert [(name, port["hostPort"], port["protocol"]) for name, port in ports] == [
        ("lb-tcp-443", 443, "TCP"),
        ("lb-udp-53", 53, "UDP"),
    ]
    variables = {item["name"]: item.get("value") for item in template["spec"]["containers"][0]["env"]}
    assert variables["SRC_RANGES"] == "100.64.0.0/10"
    (pod,) = cluster.pods(name)
    assert pod["metadata"]["labels"].items() >= template["metadata"]["labels"].items()
    assert pod["metadata"]["ownerReferences"][0]["uid"] == daemon["metadata"]["uid"]
    assert pod["spec"]["priority"] == 2_000_001_000
    assert cluster.daemon_set(name)["status"] == {
        "currentNumberScheduled": 1,
        "desiredNumberScheduled": 1,
        "numberAvailable": 1,
        "numberMisscheduled": 0,
        "numberReady": 1,
        "observedGeneration": 1,
        "updatedNumberScheduled": 1,
    }
    assert cluster.store.get("serviceaccounts", "svclb", NAMESPACE) is not None
    assert cluster.store.get("namespaces", NAMESPACE) is not None


def test_services_of_other_types_and_classes_are_left_alone(cluster: BalancedCluster) -> None:
    cluster.node("a")
    cluster.service("inside", type="ClusterIP")
    cluster.service("foreign", loadBalancerClass="example.org/other")
    cluster.settle()
    assert cluster.store.list("daemonsets.apps") == []
    cluster.spec("inside", type="LoadBalancer")
    cluster.settle()
    assert cluster.addresses("inside") == ["100.64.0.1"]
    cluster.spec("inside", type="ClusterIP")
    cluster.settle()
    assert cluster.store.list("daemonsets.apps") == []
    assert cluster.pods("inside") == []
    assert cluster.addresses("inside") == []


@pytest.mark.parametrize("removal", ["by the API", "by force"])
def test_a_deleted_service_takes_everything_with_it(cluster: BalancedCluster, removal: str) -> None:
    cluster.node("a")
    cluster.service("web")
    cluster.settle()
    assert cluster.hosts("web") == {"a"}
    if removal == "by force":
        cluster.store.delete("services", "web", "default")
    else:  # what the API server does to an object with finalizers

        def going(item: Json) -> None:
            item["metadata"]["deletionTimestamp"] = "2026-11-22T12:00:00Z"

        cluster.store.mutate("services", "web", going, "default")
    cluster.settle()
    assert cluster.store.get("services", "web", "default") is None
    assert cluster.store.list("daemonsets.apps") == []
    assert cluster.store.list("pods") == []
    assert (("Normal", "DeletedDaemonSet") in cluster.events("web")) == (removal == "by the API")


def test_a_service_made_anew_under_its_old_name_gets_another_daemon_set(cluster: BalancedCluster) -> None:
    cluster.node("a")
    cluster.service("web")
    cluster.settle()
    first = cluster.daemon_set("web")
    cluster.store.delete("services", "web", "default")
    cluster.service("web")
    cluster.settle()
    second = cluster.daemon_set("web")
    assert second["metadata"]["name"] != first["metadata"]["name"]
    assert [pod["metadata"]["labels"]["app"] for pod in cluster.pods("web")] == [second["metadata"]["name"]]
    assert cluster.addresses("web") == ["100.64.0.1"]


# The selector table (2.2)


@pytest.mark.parametrize(
    ("pool", "selector", "hosts"),
    [
        (None, SELECTED, {"both", "other"}),
        ("internal", {**SELECTED, POOL: "internal"}, {"both"}),
        ("", SELECTED, {"both", "other"}),
    ],
)
def test_with_an_allow_list_enabled_nodes_of_the_pool_serve(
    cluster: BalancedCluster, pool: str | None, selector: dict[str, str], hosts: set[str]
) -> None:
    cluster.node("server", server=True)
    cluster.node("both", enable="true", pool="internal")
    cluster.node("other", enable="true", pool="external")
    cluster.node("pool-alone", pool="internal")
    cluster.node("refused", enable="false", pool="internal")
    cluster.service("web", pool=pool)
    cluster.settle()
    assert cluster.selector("web") == selector
    assert cluster.daemon_set("web")["metadata"]["labels"][HAS_SELECTOR] == "true"
    assert cluster.hosts("web") == hosts


@pytest.mark.parametrize("pool", [None, "internal", "nowhere"])
def test_without_an_allow_list_every_node_serves_whatever_the_pool(
    cluster: BalancedCluster, pool: str | None
) -> None:
    cluster.node("server", server=True, taints=[taint(CONTROL_PLANE, value="true")])
    cluster.node("plain")
    cluster.node("pool-alone", pool="internal")
    cluster.service("web", pool=pool)
    cluster.settle()
    assert cluster.selector("web") == {}
    assert cluster.daemon_set("web")["metadata"]["labels"][HAS_SELECTOR] == "false"
    assert cluster.hosts("web") == {"server", "plain", "pool-alone"}


@pytest.mark.parametrize("pool", [None, "internal"])
def test_a_single_false_is_an_allow_list_of_nobody(cluster: BalancedCluster, pool: str | None) -> None:
    cluster.node("a", enable="false", pool="internal")
    cluster.node("b")
    cluster.service("web", pool=pool)
    cluster.settle()
    assert cluster.hosts("web") == set()
    assert cluster.addresses("web") == []


# Published addresses (2.3)


def test_one_external_address_hides_all_internal_ones(cluster: BalancedCluster) -> None:
    cluster.node("home", internal=["100.64.0.9"])
    cluster.node("away", internal=["100.64.0.1"])
    cluster.service("web")
    cluster.settle()
    assert cluster.addresses("web") == ["100.64.0.1", "100.64.0.9"]
    cluster.node("public", internal=["100.64.0.5"], external=["203.0.113.5"])
    cluster.settle()
    assert cluster.addresses("web") == ["203.0.113.5"]


@pytest.mark.parametrize(
    ("families", "addresses"),
    [
        (["IPv4"], ["203.0.113.10", "203.0.113.9"]),
        (["IPv6"], ["2a01::1", "2a01::2"]),
        (["IPv4", "IPv6"], ["203.0.113.10", "203.0.113.9", "2a01::1", "2a01::2"]),
        (["IPv6", "IPv4"], ["2a01::1", "2a01::2", "203.0.113.10", "203.0.113.9"]),
    ],
)
def test_addresses_are_of_the_services_families_in_their_order(
    cluster: BalancedCluster, families: list[str], addresses: list[str]
) -> None:
    cluster.node("a", external=["2a01::2", "203.0.113.9"])
    cluster.node("b", external=["203.0.113.10", "2a01::1"])
    cluster.service("web", ipFamilies=families)
    cluster.settle()
    assert cluster.addresses("web") == addresses


def test_an_external_address_of_another_family_hides_internal_ones_too(cluster: BalancedCluster) -> None:
    cluster.node("a", external=["2a01::2"])
    cluster.service("web")
    cluster.settle()
    assert cluster.hosts("web") == {"a"}
    assert cluster.addresses("web") == []


def test_local_policy_publishes_only_nodes_with_a_ready_endpoint(cluster: BalancedCluster) -> None:
    for name in ("a", "b", "c"):
        cluster.node(name, internal=[f"100.64.0.{ord(name) - 96}"])
    cluster.service("web", externalTrafficPolicy="Local")
    cluster.settle()
    assert cluster.addresses("web") == []
    cluster.pod("web-1", "b", app="web")
    cluster.pod("web-2", "c", app="web", ready=False)
    cluster.pod("other", "a", app="other")
    cluster.settle()
    assert cluster.hosts("web") == {"a", "b", "c"}
    assert cluster.addresses("web") == ["100.64.0.2"]

    def ready(item: Json) -> None:
        item["status"]["conditions"][0]["status"] = "True"

    cluster.store.mutate("pods", "web-2", ready, "default")
    cluster.store.delete("pods", "web-1", "default")
    cluster.settle()
    assert cluster.addresses("web") == ["100.64.0.3"]
    cluster.spec("web", externalTrafficPolicy="Cluster")
    cluster.settle()
    assert cluster.addresses("web") == ["100.64.0.1", "100.64.0.2", "100.64.0.3"]


@pytest.mark.parametrize("taints", [True, False])
def test_a_silent_nodes_address_vanishes_and_comes_back(cluster: BalancedCluster, taints: bool) -> None:
    cluster.node("a", internal=["100.64.0.1"])
    cluster.node("b", internal=["100.64.0.2"])
    cluster.service("web")
    cluster.settle()
    before = {pod["metadata"]["uid"] for pod in cluster.pods("web")}
    cluster.set_ready("b", False, taints=taints)
    cluster.settle()
    assert cluster.addresses("web") == ["100.64.0.1"]
    assert cluster.hosts("web") == {"a", "b"}
    assert cluster.daemon_set("web")["status"]["numberReady"] == 1
    cluster.set_ready("b", True)
    cluster.settle()
    assert cluster.addresses("web") == ["100.64.0.1", "100.64.0.2"]
    assert {pod["metadata"]["uid"] for pod in cluster.pods("web")} == before


def test_a_node_that_is_silent_from_the_start_gets_its_pod_later(cluster: BalancedCluster) -> None:
    cluster.node("a", ready=False)  # no CNI yet
    cluster.service("web")
    cluster.settle()
    (pod,) = cluster.pods("web")
    assert (pod["spec"]["nodeName"], pod["status"]["phase"]) == ("a", "Pending")
    assert cluster.addresses("web") == []
    cluster.set_ready("a", True)
    cluster.settle()
    assert cluster.pods("web")[0]["status"]["phase"] == "Running"
    assert cluster.addresses("web") == ["100.64.0.1"]


def test_the_service_tells_by_events_what_happened(cluster: BalancedCluster) -> None:
    cluster.node("a", enable="true")
    cluster.service("web")
    cluster.settle()
    assert sorted(cluster.events("web")) == [
        ("Normal", "AppliedDaemonSet"),
        ("Normal", "UpdatedLoadBalancer"),
    ]
    cluster.label("a", enable="false")
    cluster.settle()
    assert ("Warning", "UnAvailableLoadBalancer") in cluster.events("web")


# The gaps (2.4)


def test_the_first_label_takes_the_pool_from_services_until_they_are_synced(cluster: BalancedCluster) -> None:
    cluster.node("a", pool="internal")
    cluster.node("b", pool="external")
    cluster.service("web", pool="internal")
    cluster.settle()
    assert cluster.hosts("web") == {"a", "b"}
    cluster.label("b", enable="true")
    cluster.settle()
    assert cluster.selector("web") == SELECTED
    assert cluster.daemon_set("web")["metadata"]["labels"][HAS_SELECTOR] == "true"
    assert cluster.hosts("web") == {"b"}
    cluster.label("a", enable="true")
    cluster.settle()
    assert cluster.hosts("web") == {"a", "b"}
    cluster.touch("web")
    cluster.settle()
    assert cluster.selector("web") == {**SELECTED, POOL: "internal"}
    assert cluster.hosts("web") == {"a"}


def test_restarting_k3s_syncs_every_service(cluster: BalancedCluster) -> None:
    cluster.node("a")
    cluster.service("web", pool="internal")
    cluster.settle()
    cluster.label("a", enable="true", pool="internal")
    cluster.settle()
    assert cluster.selector("web") == SELECTED
    cluster.restart()
    try:
        assert cluster.selector("web") == {**SELECTED, POOL: "internal"}
        assert cluster.hosts("web") == {"a"}
    finally:
        cluster.lb.stop()


@pytest.mark.parametrize("how", ["label removed", "node deleted"])
def test_the_last_label_leaves_selectors_behind(cluster: BalancedCluster, how: str) -> None:
    cluster.node("a", enable="true")
    cluster.node("b")
    cluster.service("web")
    cluster.settle()
    assert cluster.hosts("web") == {"a"}
    if how == "label removed":
        cluster.label("a", enable=None)
    else:
        cluster.store.delete("nodes", "a")
    cluster.settle()
    assert cluster.selector("web") == SELECTED
    assert cluster.hosts("web") == set()
    assert cluster.addresses("web") == []
    cluster.touch("web")
    cluster.settle()
    assert cluster.selector("web") == {}
    assert cluster.hosts("web") == ({"a", "b"} if how == "label removed" else {"b"})


def test_a_new_pool_label_of_a_service_waits_for_another_change(cluster: BalancedCluster) -> None:
    cluster.node("a", enable="true", pool="internal")
    cluster.node("b", enable="true", pool="external")
    cluster.service("web", pool="internal")
    cluster.settle()
    cluster.set_pool("web", "external")
    cluster.settle()
    assert cluster.hosts("web") == {"a"}
    cluster.touch("web")
    cluster.settle()
    assert cluster.hosts("web") == {"b"}


@pytest.mark.parametrize(
    "change",
    [
        lambda cluster: cluster.touch("web"),
        lambda cluster: cluster.spec("web", ports=[{"name": "x", "port": 8080, "protocol": "TCP"}]),
        lambda cluster: cluster.spec("web", externalTrafficPolicy="Local"),
        lambda cluster: cluster.spec("web", loadBalancerSourceRanges=["10.0.0.0/8"]),
        lambda cluster: cluster.spec("web", sessionAffinity="ClientIP"),
        lambda cluster: cluster.spec("web", externalIPs=["203.0.113.77"]),
        lambda cluster: cluster.spec("web", ipFamilies=["IPv4", "IPv6"]),
    ],
)
def test_what_makes_k3s_sync_a_service(
    cluster: BalancedCluster, change: Callable[[BalancedCluster], None]
) -> None:
    cluster.node("a", enable="true", pool="internal")
    cluster.service("web")
    cluster.settle()
    cluster.set_pool("web", "internal")
    cluster.spec("web", selector={"app": "another"})
    cluster.settle()
    assert cluster.selector("web") == SELECTED
    change(cluster)
    cluster.settle()
    assert cluster.selector("web") == {**SELECTED, POOL: "internal"}


def test_any_change_of_a_labelled_node_puts_a_selector_right_that_somebody_reset(
    cluster: BalancedCluster,
) -> None:
    cluster.node("a", enable="true", pool="internal")
    cluster.node("b")
    cluster.service("web", pool="internal")
    cluster.settle()

    def reset(daemon: Json) -> None:
        daemon["metadata"]["labels"][HAS_SELECTOR] = "false"
        del daemon["spec"]["template"]["spec"]["nodeSelector"]

    cluster.store.mutate("daemonsets.apps", cluster.daemon_set("web")["metadata"]["name"], reset, "servicelb")
    cluster.settle()
    assert cluster.hosts("web") == {"a", "b"}
    beat = {"type": "DiskPressure", "status": "False"}
    cluster.store.mutate("nodes", "b", lambda item: item["status"]["conditions"].append(beat))
    cluster.settle()
    assert cluster.selector("web") == {}
    cluster.store.mutate("nodes", "a", lambda item: item["status"]["conditions"].append(beat))
    cluster.settle()
    assert cluster.selector("web") == SELECTED


def test_a_new_address_of_a_node_waits_for_one_of_its_pods(cluster: BalancedCluster) -> None:
    cluster.node("a", internal=["100.64.0.1"])
    cluster.service("web")
    cluster.settle()

    def move(item: Json) -> None:
        item["status"]["addresses"][0]["address"] = "100.64.0.99"

    cluster.store.mutate("nodes", "a", move)
    cluster.settle()
    assert cluster.addresses("web") == ["100.64.0.1"]
    cluster.store.delete("pods", cluster.pods("web")[0]["metadata"]["name"], NAMESPACE)
    cluster.settle()
    assert cluster.hosts("web") == {"a"}
    assert cluster.addresses("web") == ["100.64.0.99"]


# Pods: taints, host ports


def test_taints_keep_pods_out_but_do_not_drive_them_off(cluster: BalancedCluster) -> None:
    cluster.node("tainted", taints=[taint("example.org/gpu")])
    cluster.node("soft", taints=[taint("example.org/gpu", "PreferNoSchedule")])
    cluster.node("critical", taints=[taint("CriticalAddonsOnly", "NoExecute", "true")])
    cluster.node("cordoned", taints=[taint("node.kubernetes.io/unschedulable")])
    cluster.service("web")
    cluster.settle()
    assert cluster.hosts("web") == {"soft", "critical", "cordoned"}
    cluster.set_taints("soft", taint("example.org/gpu"))
    cluster.settle()
    assert cluster.hosts("web") == {"soft", "critical", "cordoned"}
    assert cluster.daemon_set("web")["status"]["numberMisscheduled"] == 1
    cluster.set_taints("soft", taint("example.org/gpu", "NoExecute"))
    cluster.set_taints("tainted")
    cluster.settle()
    assert cluster.hosts("web") == {"tainted", "critical", "cordoned"}


@pytest.mark.parametrize(
    "text",
    [
        '[{"key": "example.org/gpu", "operator": "Exists"}]',
        "- key: example.org/gpu\n  value: 'yes'\n  effect: NoSchedule\n",
        '[{"operator": "Exists"}]',
    ],
)
def test_the_annotation_adds_tolerations(cluster: BalancedCluster, text: str) -> None:
    cluster.node("tainted", taints=[taint("example.org/gpu", value="yes")])
    cluster.node("other", taints=[taint("example.org/disk", "NoExecute")])
    cluster.service("web", annotations={f"{PREFIX}tolerations": text})
    cluster.settle()
    assert "tainted" in cluster.hosts("web")
    assert ("other" in cluster.hosts("web")) == ("key" not in text)
    found = cluster.daemon_set("web")["spec"]["template"]["spec"]["tolerations"]
    assert [item.get("key") for item in found[:2]] == [CONTROL_PLANE, "CriticalAddonsOnly"]
    assert len(found) == 3


@pytest.mark.parametrize("text", ["{", "key: a", "[a]", '[{"colour": "red"}]', "- key: 5\n"])
def test_tolerations_that_cannot_be_read_leave_all_as_it_was(cluster: BalancedCluster, text: str) -> None:
    cluster.node("a")
    cluster.service("web", 80)
    cluster.settle()

    def spoil(item: Json) -> None:
        item["metadata"]["annotations"] = {f"{PREFIX}tolerations": text}
        item["spec"]["ports"][0]["port"] = 81

    cluster.store.mutate("services", "web", spoil, "default")
    cluster.settle()
    assert ("Warning", "SyncLoadBalancerFailed") in cluster.events("web")
    container = cluster.daemon_set("web")["spec"]["template"]["spec"]["containers"][0]
    assert container["name"] == "lb-tcp-80"
    assert cluster.hosts("web") == {"a"}


def test_the_priority_class_is_the_annotations(cluster: BalancedCluster) -> None:
    cluster.node("a")
    cluster.service("web", annotations={f"{PREFIX}priorityclassname": "edge"})
    cluster.settle()
    assert cluster.pods("web") == []  # no such class: the pods are not admitted
    daemon = cluster.daemon_set("web")
    assert cluster.events(daemon["metadata"]["name"]) == [("Warning", "FailedCreate")]
    cluster.store.create("priorityclasses.scheduling.k8s.io", {"metadata": {"name": "edge"}, "value": 4711})
    cluster.settle()
    (pod,) = cluster.pods("web")
    assert (pod["spec"]["priorityClassName"], pod["spec"]["priority"]) == ("edge", 4711)


def test_the_first_of_two_services_holds_a_port_and_the_other_waits(cluster: BalancedCluster) -> None:
    cluster.node("a")
    cluster.service("first", 443)
    cluster.settle()
    cluster.service("second", 443, 80, age=100)  # older, but it came second
    cluster.service("third", -443)  # UDP: another port
    cluster.settle()
    assert cluster.hosts("first") == {"a"}
    assert (cluster.hosts("second"), cluster.waiting("second")) == (set(), {"a"})
    assert cluster.hosts("third") == {"a"}
    assert cluster.addresses("second") == []
    (pod,) = cluster.pods("second")
    assert pod["status"]["conditions"][0]["reason"] == "Unschedulable"
    assert "free ports" in pod["status"]["conditions"][0]["message"]
    cluster.store.delete("services", "first", "default")
    cluster.settle()
    assert cluster.hosts("second") == {"a"}
    assert cluster.addresses("second") == ["100.64.0.1"]


def test_of_those_that_wait_the_one_that_waits_longest_is_next(cluster: BalancedCluster) -> None:
    cluster.node("a")
    for name in ("first", "second", "third"):
        cluster.service(name, 443)
        cluster.settle()
    cluster.store.delete("services", "first", "default")
    cluster.settle()
    assert (cluster.hosts("second"), cluster.hosts("third")) == ({"a"}, set())


def test_of_new_ones_the_older_service_is_first(cluster: BalancedCluster) -> None:
    cluster.service("young", 443, age=1)
    cluster.service("old", 443, age=10)
    cluster.settle()
    cluster.node("a")
    cluster.settle()
    assert (cluster.hosts("old"), cluster.hosts("young")) == ({"a"}, set())


def test_who_runs_keeps_its_port_when_its_pods_are_made_anew(cluster: BalancedCluster) -> None:
    cluster.node("a", enable="true")
    cluster.service("first", 443)
    cluster.settle()
    cluster.service("second", 443)
    cluster.settle()
    before = cluster.pods("first")[0]["metadata"]["uid"]
    cluster.spec("first", loadBalancerSourceRanges=["10.0.0.0/8"])
    cluster.settle()
    assert cluster.pods("first")[0]["metadata"]["uid"] != before
    assert cluster.hosts("first") == {"a"}
    cluster.spec("first", ports=[{"name": "x", "port": 444, "protocol": "TCP"}])
    cluster.settle()
    assert cluster.hosts("first") == {"a"}
    assert cluster.hosts("second") == {"a"}


def test_any_pods_host_port_counts(cluster: BalancedCluster) -> None:
    cluster.node("a")
    cluster.pod("ingress", "a", app="ingress", host_port=80)
    cluster.service("web", 80)
    cluster.settle()
    assert cluster.waiting("web") == {"a"}
    cluster.store.delete("pods", "ingress", "default")
    cluster.settle()
    assert cluster.hosts("web") == {"a"}


def test_pods_and_daemon_sets_that_somebody_deletes(cluster: BalancedCluster) -> None:
    cluster.node("a")
    cluster.service("web")
    cluster.settle()
    (pod,) = cluster.pods("web")
    cluster.store.delete("pods", pod["metadata"]["name"], NAMESPACE)
    cluster.settle()
    assert cluster.pods("web")[0]["metadata"]["name"] != pod["metadata"]["name"]
    assert cluster.addresses("web") == ["100.64.0.1"]
    cluster.store.delete("daemonsets.apps", cluster.daemon_set("web")["metadata"]["name"], NAMESPACE)
    cluster.settle()
    assert (cluster.pods("web"), cluster.addresses("web")) == ([], [])
    cluster.touch("web")
    cluster.settle()
    assert cluster.hosts("web") == {"a"}


def test_a_node_that_goes_takes_its_pods_with_it_and_one_that_comes_gets_some(
    cluster: BalancedCluster,
) -> None:
    cluster.node("a", internal=["100.64.0.1"])
    cluster.node("b", internal=["100.64.0.2"])
    cluster.service("web", 80)
    cluster.service("late", 80)
    cluster.settle()
    cluster.store.delete("nodes", "a")
    cluster.node("c", internal=["100.64.0.3"])
    cluster.settle()
    assert (cluster.hosts("web"), cluster.waiting("late")) == ({"b", "c"}, {"b", "c"})
    assert cluster.addresses("web") == ["100.64.0.2", "100.64.0.3"]


def test_nothing_is_written_when_nothing_follows(cluster: BalancedCluster) -> None:
    cluster.node("a", enable="true")
    cluster.service("web", 80)
    cluster.service("late", 80)
    cluster.settle()
    for name in ("a", "a"):
        cluster.set_ready(name, True)
    cluster.label("a", enable="true")
    before = cluster.store.version
    cluster.set_taints("a")
    cluster.settle()
    assert cluster.store.version <= before + 1


# The whole


@settings(max_examples=30)
@given(st.data())
def test_whatever_happens_the_rules_hold_once_it_is_settled(data: st.DataObject) -> None:
    names, services = ["a", "b", "c"], ["s", "t", "u"]
    pools = st.sampled_from([None, "x", "y"])
    with BalancedCluster().running() as cluster:
        for name in names:
            cluster.node(name)
        for name in services:
            ports = data.draw(st.lists(st.sampled_from([80, 443]), min_size=1, max_size=2, unique=True))
            cluster.service(name, *ports, pool=data.draw(pools))
        for _ in range(data.draw(st.integers(0, 8))):
            match data.draw(st.sampled_from(["label", "ready", "touch", "delete pod"])):
                case "label":
                    enable = data.draw(st.sampled_from([None, "true", "false"]))
                    cluster.label(data.draw(st.sampled_from(names)), enable=enable, pool=data.draw(pools))
                case "ready":
                    cluster.set_ready(data.draw(st.sampled_from(names)), data.draw(st.booleans()))
                case "touch":
                    cluster.touch(data.draw(st.sampled_from(services)), str(data.draw(st.integers(0, 9))))
                case _:
                    cluster.settle()
                    for pod in cluster.pods(data.draw(st.sampled_from(services)))[:1]:
                        cluster.store.delete("pods", pod["metadata"]["name"], NAMESPACE)
        for name in names:
            cluster.set_ready(name, True)
        for name in services:
            cluster.touch(name, "last")
        cluster.settle()
        _check_rules(cluster, names, services)


def _check_rules(cluster: BalancedCluster, names: list[str], services: list[str]) -> None:
    found = {name: cluster.store.get("nodes", name) for name in names}
    labels = {name: item["metadata"]["labels"] for name, item in found.items() if item}
    allow_list = any(ENABLE in own for own in labels.values())
    taken: set[tuple[str, int]] = set()
    for service in services:
        item = cluster.store.get("services", service, "default")
        assert item is not None
        wanted = SELECTED if allow_list else {}
        pool = item["metadata"].get("labels", {}).get(POOL)
        if allow_list and pool:
            wanted = {**wanted, POOL: pool}
        assert cluster.selector(service) == wanted
        selected = {name for name, own in labels.items() if own.items() >= wanted.items()}
        hosts, waiting = cluster.hosts(service), cluster.waiting(service)
        assert hosts | waiting == selected
        assert not hosts & waiting
        assert len(cluster.pods(service)) == len(selected)
        for port in item["spec"]["ports"]:
            for host in hosts:
                assert (host, port["port"]) not in taken
                taken.add((host, port["port"]))
        assert len(cluster.addresses(service)) == len(hosts)
    for service in services:
        item = cluster.store.get("services", service, "default")
        assert item is not None
        for node in cluster.waiting(service):
            assert any((node, port["port"]) in taken for port in item["spec"]["ports"])


# The controller as a part of the simulator


def test_labels_set_over_http_move_the_pods(tmp_path: Path) -> None:
    cluster = BalancedCluster()
    cluster.node("a")
    cluster.node("b")
    cluster.service("web")
    server = KubernetesServer(cluster.store)
    server.start()
    try:
        with cluster.running(), kubernetes(server.write_kubeconfig(tmp_path / "kubeconfig"), tmp_path) as api:
            path = "/api/v1/namespaces/default/services/web"
            assert _ips(api, path) == ["100.64.0.1", "100.64.0.2"]
            patch = {"metadata": {"labels": {ENABLE: "true"}}}
            answer = api.patch(
                "/api/v1/nodes/b", json=patch, headers={"Content-Type": "application/merge-patch+json"}
            )
            assert answer.status_code == 200
            cluster.settle()
            assert _ips(api, path) == ["100.64.0.2"]
            assert api.delete(path).status_code == 200
            cluster.settle()
            assert api.get(path).status_code == 404
            assert api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets").json()["items"] == []
    finally:
        server.stop()


def _ips(api: httpx.Client, path: str) -> list[str]:
    return [item["ip"] for item in api.get(path).json()["status"]["loadBalancer"].get("ingress", [])]


def test_the_embedded_axiom_is_balanced_from_the_start(tmp_path: Path) -> None:
    with EmbeddedAxiom(tmp_path, alive=False) as axiom:
        services = {
            item["metadata"]["name"]: [one["ip"] for one in item["status"]["loadBalancer"]["ingress"]]
            for item in axiom.store.list("services")
            if item["spec"]["type"] == "LoadBalancer"
        }
        assert services == {
            "cilium-ingress": ["116.203.10.3"],  # fault: internal, but one of its nodes is public
            "flasche": ["116.203.10.1", "116.203.10.8"],
            "gitea-ssh": ["116.203.10.1", "116.203.10.3", "116.203.10.8"],
        }
        daemons = axiom.store.list("daemonsets.apps", NAMESPACE)
        assert len(daemons) == 3
        silent = [pod for pod in axiom.store.list("pods", NAMESPACE) if not _is_ready(pod)]
        assert {pod["spec"]["nodeName"] for pod in silent} == {"wall-a-7"}
        before = axiom.store.version
        axiom.servicelb.settle()
        assert axiom.store.version == before
        assert not [
            item for item in axiom.store.list("events") if item["involvedObject"]["kind"] == "Service"
        ]
        axiom.world.silence("wall-a-3")
        axiom.servicelb.settle()
        ingress = axiom.store.get("services", "cilium-ingress", "kube-system")
        assert ingress is not None
        assert len(ingress["status"]["loadBalancer"]["ingress"]) == 3
        axiom.world.revive("wall-a-3")
        axiom.world.remove_node("wall-a-1")
        axiom.servicelb.settle()
        flasche = axiom.store.get("services", "flasche", "minecraft")
        assert flasche is not None
        assert [one["ip"] for one in flasche["status"]["loadBalancer"]["ingress"]] == ["116.203.10.8"]


def _is_ready(pod: Json) -> bool:
    return any(item["type"] == "Ready" and item["status"] == "True" for item in pod["status"]["conditions"])


def test_what_has_grown_is_what_a_sync_would_make(tmp_path: Path) -> None:
    axiom = EmbeddedAxiom(tmp_path, alive=False)
    with axiom:
        before = {
            "pods": {pod["metadata"]["name"] for pod in axiom.store.list("pods", NAMESPACE)},
            "specs": [item["spec"] for item in axiom.store.list("daemonsets.apps", NAMESPACE)],
            "status": [item["status"] for item in axiom.store.list("services")],
        }
    again = ServiceLb(axiom.store)
    again.start()
    try:
        assert before == {
            "pods": {pod["metadata"]["name"] for pod in axiom.store.list("pods", NAMESPACE)},
            "specs": [item["spec"] for item in axiom.store.list("daemonsets.apps", NAMESPACE)],
            "status": [item["status"] for item in axiom.store.list("services")],
        }
    finally:
        again.stop()


def test_with_a_delay_the_effect_comes_later_step_by_step() -> None:
    store = ObjectStore()
    cluster = BalancedCluster(store)
    cluster.lb = ServiceLb(store, delay=0.02)
    seen: list[str] = []
    with cluster.running():
        store.subscribe(lambda kind, plural, item: seen.append(f"{kind} {plural}"))
        cluster.node("a")
        cluster.service("web")
        assert cluster.pods("web") == []
        cluster.settle()
    # The pod is made, bound and started in three steps, and only then is its address published.
    assert cluster.addresses("web") == ["100.64.0.1"]
    assert seen.index("ADDED daemonsets.apps") < seen.index("ADDED pods")
    assert seen.count("MODIFIED pods") == 2


def test_settle_says_what_it_waits_for() -> None:
    cluster = BalancedCluster()
    cluster.lb = ServiceLb(cluster.store, delay=60)
    with cluster.running():
        cluster.service("web")
        with pytest.raises(TimeoutError, match="sync default/web"):
            cluster.lb.settle(0.05)
    with pytest.raises(RuntimeError, match="does not run"):
        cluster.lb.settle()


def test_stopping_ends_the_thread_whenever_it_comes() -> None:
    never = ServiceLb(ObjectStore())
    never.stop()
    running = ServiceLb(ObjectStore())
    running.start()
    running.stop()
    running.stop()
    assert "servicelb" not in {thread.name for thread in threading.enumerate()}
