"""The preview of a label plan is what the simulated servicelb then does: two independent readings of K3s.

The preview is `model.exposure.effect_of`; the outcome comes from `simulator.servicelb`. Neither knows the
other. Random clusters, some of them with a past that left stale selectors, are observed through the ordinary
decoding of the wire; then the labels are set node by node, a node may leave, the Services that the preview
names are touched, and every Service must be served by the nodes, and published at the addresses, that were
foreseen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from axiom_tui.clients.kubernetes_wire import DAEMON_SETS, NODES, PODS, SERVICES, Listing, Resource
from axiom_tui.model.exposure import effect_of
from axiom_tui.model.fleet import Observation
from axiom_tui.model.node import Service
from axiom_tui.model.pools import PoolPolicy
from axiom_tui.plans.servicelb import Look
from axiom_tui.simulator.selectors import parse_labels
from tests.simulator.balanced_cluster import (
    CONTROL_PLANE,
    ENABLE,
    POOL,
    PREFIX,
    BalancedCluster,
    taint,
)

EXAMPLES = 500

T = TypeVar("T")

Labels = Mapping[str, str | None]

POOLS = st.sampled_from([None, None, "internal", "external"])
ENABLES = st.sampled_from([None, None, "true", "true", "false"])
PORTS = st.lists(st.sampled_from([80, 443, -443, 8080]), min_size=1, max_size=2, unique=True)
FAMILIES = st.sampled_from([["IPv4"], ["IPv4"], ["IPv4"], ["IPv6"], ["IPv4", "IPv6"], ["IPv6", "IPv4"]])
EXTERNAL = st.sampled_from([[], [], ["v4"], ["v6"], ["v4", "v6"]])
TAINTS = st.sampled_from(
    [
        *([()] * 6),
        (taint(CONTROL_PLANE),),
        (taint("node.kubernetes.io/unschedulable"),),
        (taint("example.org/gpu"),),
        (taint("example.org/gpu", "PreferNoSchedule"),),
        (taint("example.org/gpu", "NoExecute", "big"),),
    ]
)
TOLERATIONS = st.sampled_from(
    [
        *([""] * 4),
        '[{"key": "example.org/gpu", "operator": "Exists", "effect": "NoSchedule"}]',
        "- key: example.org/gpu\n  value: big\n",
    ]
)


@dataclass(frozen=True)
class NodeMade:
    enable: str | None
    pool: str | None
    server: bool
    ready: bool
    taints: tuple[Mapping[str, str], ...]
    internal: Sequence[str]
    external: Sequence[str]


@dataclass(frozen=True)
class ServiceMade:
    ports: Sequence[int]
    pool: str | None
    families: Sequence[str]
    local: bool
    tolerations: str
    foreign: bool  # another load balancer's
    endpoints: frozenset[int]  # the nodes where a pod of it runs
    sick: frozenset[int]  # those of them that are not ready
    late: bool  # created when the others had their pods


@dataclass(frozen=True)
class Event:
    """Something that happened before the plan; ``subject`` counts nodes or Services."""

    kind: str
    subject: int
    enable: str | None = None
    pool: str | None = None
    flag: bool = False


nodes_made = st.builds(
    NodeMade,
    enable=ENABLES,
    pool=POOLS,
    server=st.booleans(),
    ready=st.sampled_from([True, True, True, False]),
    taints=TAINTS,
    internal=st.sampled_from([["v4"], ["v4"], ["v4", "v6"]]),
    external=EXTERNAL,
)
places = st.frozensets(st.integers(0, 4), max_size=3)
services_made = st.builds(
    ServiceMade,
    ports=PORTS,
    pool=POOLS,
    families=FAMILIES,
    local=st.sampled_from([False, False, True]),
    tolerations=TOLERATIONS,
    foreign=st.sampled_from([False] * 9 + [True]),
    endpoints=places,
    sick=places,
    late=st.booleans(),
)
events = st.builds(
    Event,
    kind=st.sampled_from(["label", "label", "pool of a service", "touch", "ready", "taint", "remove"]),
    subject=st.integers(0, 4),
    enable=ENABLES,
    pool=POOLS,
    flag=st.booleans(),
)
#: Labels of a planned change: a key that is absent stays as it is, None removes.
wanted_labels = st.one_of(
    st.sampled_from([{ENABLE: "true", POOL: "internal"}, {ENABLE: "true", POOL: "external"}]),
    st.just({ENABLE: None, POOL: None}),
    st.fixed_dictionaries({}, optional={ENABLE: ENABLES, POOL: POOLS}),
)


@st.composite
def node_lists(draw: st.DrawFn) -> list[NodeMade]:
    """Half of them without any allow-list, since the gaps are at its beginning and at its end."""
    made = draw(st.lists(nodes_made, min_size=1, max_size=5))
    if draw(st.booleans()):
        made = [
            NodeMade(None, one.pool, one.server, one.ready, one.taints, one.internal, one.external)
            for one in made
        ]
    return made


def build(cluster: BalancedCluster, nodes: Sequence[NodeMade], services: Sequence[ServiceMade]) -> None:
    for index, one in enumerate(nodes):
        ranges = {"v4": f"100.64.0.{20 - index}", "v6": f"fd7a:115c:a1e0::{20 - index}"}
        public = {"v4": f"203.0.113.{9 + index}", "v6": f"2a01:4f8::{9 + index}"}
        cluster.node(
            f"n{index}",
            enable=one.enable,
            pool=one.pool,
            internal=[ranges[kind] for kind in one.internal],
            external=[public[kind] for kind in one.external],
            taints=one.taints,
            server=one.server,
        )
    for late in (False, True):
        for index, made in enumerate(services):
            if made.late != late:
                continue
            for place in sorted(made.endpoints):
                if place < len(nodes):
                    ready = place not in made.sick
                    cluster.pod(f"s{index}-{place}", f"n{place}", app=f"s{index}", ready=ready)
            annotations = {f"{PREFIX}tolerations": made.tolerations} if made.tolerations else {}
            spec: dict[str, Any] = {"loadBalancerClass": "example.org/other"} if made.foreign else {}
            cluster.service(
                f"s{index}",
                *made.ports,
                pool=made.pool,
                age=len(services) - index,  # the first is the oldest, whenever it came
                annotations=annotations,
                ipFamilies=list(made.families),
                externalTrafficPolicy="Local" if made.local else "Cluster",
                **spec,
            )
        cluster.settle()
    for index, one in enumerate(nodes):
        if not one.ready:
            cluster.set_ready(f"n{index}", False)
    cluster.settle()


def live_through(cluster: BalancedCluster, past: Sequence[Event], nodes: int, services: int) -> None:
    for count, event in enumerate(past):
        node, service = f"n{event.subject % nodes}", f"s{event.subject % services}"
        gone = cluster.store.get("services", service, "default") is None
        match event.kind:
            case "label":
                cluster.label(node, enable=event.enable, pool=event.pool)
            case "ready":
                cluster.set_ready(node, event.flag)
            case "taint":
                cluster.set_taints(node, *([taint("example.org/gpu")] if event.flag else []))
            case "touch" if not gone:
                cluster.touch(service, str(count))
            case "pool of a service" if not gone:
                cluster.set_pool(service, event.pool or "")
            case "remove" if services > 1 and not gone:
                cluster.store.delete("services", service, "default")
        cluster.settle()


class Reader:
    """Reads the store as the client reads the API: what lies between is tested elsewhere."""

    def __init__(self, cluster: BalancedCluster) -> None:
        self._cluster = cluster

    def list(self, resource: Resource[T], namespace: str = "", label_selector: str = "") -> Listing[T]:
        matches = parse_labels(label_selector)
        items = [
            item
            for item in self._cluster.store.list(resource.full_name)
            if matches(item["metadata"].get("labels", {}))
        ]
        found, _ = resource.read_list(json.dumps({"metadata": {}, "items": items}).encode())
        return Listing(tuple(found), "")

    def patch_service_labels(
        self,
        namespace: str,
        name: str,
        labels: Labels,
        *,
        annotations: Labels | None = None,
        resource_version: str,
    ) -> Service:
        raise AssertionError("looking changes nothing")

    def observe(self) -> Observation:
        return Observation(
            nodes=self.list(NODES).items,
            pods=self.list(PODS).items,
            services=self.list(SERVICES).items,
            daemon_sets=self.list(DAEMON_SETS).items,
        )


Served = tuple[frozenset[str], frozenset[str], tuple[str, ...]]  # nodes, clashing, addresses


def outcome(cluster: BalancedCluster) -> dict[str, Served]:
    return {
        f"default/{name}": (
            frozenset(cluster.hosts(name)),
            frozenset(cluster.crowded_out(name)),
            tuple(cluster.addresses(name)),
        )
        for name in (
            item["metadata"]["name"]
            for item in cluster.store.list("services")
            if "loadBalancerClass" not in item["spec"]
        )
    }


def apply(cluster: BalancedCluster, node: str, changes: Labels) -> None:
    keys = {ENABLE: "enable", POOL: "pool"}
    cluster.label(node, **{keys[key]: value for key, value in changes.items()})


def remove(cluster: BalancedCluster, node: str) -> None:
    """The node leaves; what is no DaemonSet's on it goes with it, as by a drain."""
    cluster.store.delete("nodes", node)
    for pod in cluster.store.list("pods"):
        if pod["spec"].get("nodeName") == node and not pod["metadata"].get("ownerReferences"):
            cluster.store.delete("pods", pod["metadata"]["name"], pod["metadata"]["namespace"])


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    nodes=node_lists(),
    services=st.lists(services_made, min_size=1, max_size=4),
    past=st.lists(events, max_size=4),
    planned=st.dictionaries(st.integers(0, 4), wanted_labels, max_size=5),
    leaving=st.sampled_from([None, None, None, 0, 1, 2, 3, 4]),
)
def test_the_preview_is_the_outcome(
    nodes: list[NodeMade],
    services: list[ServiceMade],
    past: list[Event],
    planned: dict[int, Labels],
    leaving: int | None,
) -> None:
    changes = {f"n{index}": labels for index, labels in sorted(planned.items()) if index < len(nodes)}
    gone = (f"n{leaving}",) if leaving is not None and leaving < len(nodes) else ()
    with BalancedCluster().running() as cluster:
        reader = Reader(cluster)
        build(cluster, nodes, services)
        live_through(cluster, past, len(nodes), len(services))
        effect = effect_of(reader.observe(), changes, PoolPolicy(), gone)
        before, after = (
            {
                served.service.full_name: (
                    frozenset(served.nodes),
                    frozenset(served.clashing),
                    served.addresses,
                )
                for served in side
            }
            for side in (
                [each.before for each in effect.services],
                [each.after for each in effect.services],
            )
        )
        assert before == outcome(cluster)
        for node, labels in changes.items():
            apply(cluster, node, labels)
            cluster.settle()
        for node in gone:
            remove(cluster, node)
            cluster.settle()
        note(f"before {before}, labelled {outcome(cluster)}, to be touched {effect.touched}")
        # What the plan's last step finds to be touched is what the preview says.
        assert tuple(item.service.full_name for item in Look.at(reader).stale) == effect.touched
        with cluster.lb.held():
            for name in effect.touched:
                cluster.touch(name.partition("/")[2], "by the plan")
        cluster.settle()
        assert after == outcome(cluster)
        assert Look.at(reader).unsettled() == ()
