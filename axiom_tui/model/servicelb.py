"""What K3s' servicelb does: which nodes serve a Service, and which addresses it publishes.

A pure model of ``pkg/cloudprovider/servicelb.go`` (facts: k3s-and-backups.md, section 2), gaps included:

* Any ``enablelb`` label on any node, whatever its value, switches the allow-list on for the cluster.
* A DaemonSet gets its node selector when its Service is synced. When the first label appears, existing
  DaemonSets get ``enablelb=true`` alone: the pool is lost until the Service is synced again.
* When the last label goes, existing DaemonSets keep their selector, so that no node matches any more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from msgspec.structs import replace as replace_struct

from axiom_tui.model.node import DaemonSet, Node, Pod, Service, Taint
from axiom_tui.model.pools import ENABLE_LABEL, LABEL_PREFIX, POOL_LABEL

SERVICE_NAME_LABEL = f"{LABEL_PREFIX}/svcname"
SERVICE_NAMESPACE_LABEL = f"{LABEL_PREFIX}/svcnamespace"
HAS_SELECTOR_LABEL = f"{LABEL_PREFIX}/nodeselector"
TOLERATIONS_ANNOTATION = f"{LABEL_PREFIX}/tolerations"

#: Tolerated by every svclb pod: what servicelb writes, and what every DaemonSet is given by Kubernetes.
_TOLERATED = frozenset(
    {
        ("node-role.kubernetes.io/control-plane", "NoSchedule"),
        ("node-role.kubernetes.io/master", "NoSchedule"),
        ("node.kubernetes.io/not-ready", "NoExecute"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/memory-pressure", "NoSchedule"),
        ("node.kubernetes.io/pid-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    }
)
_TOLERATED_KEYS = frozenset({"CriticalAddonsOnly"})  # whatever the effect

_EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Balancer:
    """servicelb's DaemonSet of one Service: ``selector`` is what it really selects by."""

    service: Service
    selector: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_selecting(self) -> bool:
        return bool(self.selector)


@dataclass(frozen=True, slots=True)
class Served:
    """One Service at one moment: the nodes that serve it, and the addresses that are published.

    ``clashing`` are nodes that it selects but where another Service holds one of its ports.
    """

    service: Service
    nodes: tuple[str, ...]
    addresses: tuple[str, ...]
    clashing: tuple[str, ...] = ()

    @property
    def pool(self) -> str:
        return self.service.labels.get(POOL_LABEL, "")


def is_balanced(service: Service) -> bool:
    """Whether servicelb cares for it: type LoadBalancer, and no other load balancer's class."""
    return service.type == "LoadBalancer" and not service.load_balancer_class


def is_allow_list_on(nodes: Iterable[Node]) -> bool:
    return any(ENABLE_LABEL in node.labels for node in nodes)


def selector_when_synced(service: Service, nodes: Sequence[Node]) -> dict[str, str]:
    """The node selector that servicelb writes when it syncs the Service."""
    if not is_allow_list_on(nodes):
        return {}
    selector = {ENABLE_LABEL: "true"}
    if service.labels.get(POOL_LABEL):
        selector[POOL_LABEL] = service.labels[POOL_LABEL]
    return selector


def balancers(
    services: Iterable[Service], daemon_sets: Iterable[DaemonSet], nodes: Sequence[Node]
) -> tuple[Balancer, ...]:
    """Today's balancers, oldest Service first: as their DaemonSets are, else as K3s would make them."""
    found = {
        (item.labels.get(SERVICE_NAMESPACE_LABEL), item.labels.get(SERVICE_NAME_LABEL)): item
        for item in daemon_sets
    }
    made = []
    for service in services:
        if not is_balanced(service):
            continue
        daemon_set = found.get((service.namespace, service.name))
        selector = daemon_set.node_selector if daemon_set else selector_when_synced(service, nodes)
        made.append(Balancer(service, dict(selector)))
    return tuple(sorted(made, key=_seniority))


def relabelled(nodes: Iterable[Node], changes: Mapping[str, Mapping[str, str | None]]) -> tuple[Node, ...]:
    """The nodes with their labels changed; ``changes`` by node name, None removes a label."""
    result = []
    for node in nodes:
        wanted = changes.get(node.name)
        if wanted is not None:
            labels = {**node.labels, **{key: value for key, value in wanted.items() if value is not None}}
            labels = {key: value for key, value in labels.items() if wanted.get(key, value) is not None}
            node = replace_struct(node, labels=labels)
        result.append(node)
    return tuple(result)


def after_labels(
    today: Sequence[Balancer], before: Sequence[Node], after: Sequence[Node]
) -> tuple[Balancer, ...]:
    """The balancers once the node labels have changed, before any Service is synced again."""
    old = {node.name: node.labels for node in before}
    # servicelb looks only when a node that carries the label changes.
    is_noticed = any(ENABLE_LABEL in node.labels and node.labels != old.get(node.name) for node in after)
    if not is_noticed:
        return tuple(today)
    return tuple(
        item if item.is_selecting else Balancer(item.service, {ENABLE_LABEL: "true"}) for item in today
    )


def after_sync(today: Sequence[Balancer], nodes: Sequence[Node]) -> tuple[Balancer, ...]:
    """The balancers once every Service has been synced (touched, or K3s restarted)."""
    return tuple(Balancer(item.service, selector_when_synced(item.service, nodes)) for item in today)


def stale(today: Sequence[Balancer], nodes: Sequence[Node]) -> tuple[Balancer, ...]:
    """The balancers whose selector is not the one that a sync would write: their Services want a touch."""
    return tuple(item for item in today if item.selector != selector_when_synced(item.service, nodes))


def serve(
    nodes: Sequence[Node],
    today: Sequence[Balancer],
    pods: Sequence[Pod] = (),
    previous: Sequence[Served] = (),
) -> tuple[Served, ...]:
    """What each balancer serves. ``pods`` are needed only for ``externalTrafficPolicy: Local``.

    Two Services with one port on one node: who has it keeps it (``previous``), then who waits for it,
    then the older Service.
    """
    had = {item.service.full_name: frozenset(item.nodes) for item in previous}
    waited = {item.service.full_name: frozenset(item.clashing) for item in previous}
    hosted: dict[str, list[Node]] = {item.service.full_name: [] for item in today}
    clashing: dict[str, list[str]] = {item.service.full_name: [] for item in today}
    for node in nodes:
        wanting = [item for item in today if _selects(item, node)]

        def order(item: Balancer, node: Node = node) -> tuple[bool, bool, datetime, str]:
            name = item.service.full_name
            return (
                node.name not in had.get(name, ()),
                node.name not in waited.get(name, ()),
                *_seniority(item),
            )

        taken: set[tuple[int, str]] = set()
        for item in sorted(wanting, key=order):
            ports = {(port.port, port.protocol) for port in item.service.ports}
            if ports & taken:
                clashing[item.service.full_name].append(node.name)
            else:
                taken |= ports
                hosted[item.service.full_name].append(node)
    return tuple(
        _served(item.service, hosted[item.service.full_name], clashing[item.service.full_name], pods)
        for item in today
    )


def _served(service: Service, hosts: Sequence[Node], clashing: Sequence[str], pods: Sequence[Pod]) -> Served:
    ready = [node for node in hosts if node.is_ready]
    publishing = ready
    if service.external_traffic_policy == "Local":
        with_endpoint = {pod.node for pod in pods if pod.ready and _is_endpoint(pod, service)}
        publishing = [node for node in ready if node.name in with_endpoint]
    external = {ip for node in publishing for ip in node.external_ips}
    internal = {ip for node in publishing for ip in node.internal_ips}
    return Served(
        service,
        tuple(node.name for node in hosts),
        _by_family(external or internal, service.ip_families),
        tuple(clashing),
    )


def _by_family(addresses: Iterable[str], families: Sequence[str]) -> tuple[str, ...]:
    """Only the Service's families, in their order, sorted within each."""
    ordered = sorted(addresses)
    by_family = {
        "IPv4": [item for item in ordered if ":" not in item],
        "IPv6": [item for item in ordered if ":" in item],
    }
    return tuple(item for family in families or ("IPv4",) for item in by_family.get(family, ()))


def _selects(item: Balancer, node: Node) -> bool:
    if any(node.labels.get(key) != value for key, value in item.selector.items()):
        return False
    tolerations = _extra_tolerations(item.service)
    return all(_is_tolerated(taint, tolerations) for taint in node.taints)


def _is_tolerated(taint: Taint, tolerations: Sequence[Mapping[str, object]]) -> bool:
    if taint.effect == "PreferNoSchedule":
        return True
    if (taint.key, taint.effect) in _TOLERATED or taint.key in _TOLERATED_KEYS:
        return True
    return any(_tolerates(toleration, taint) for toleration in tolerations)


def _tolerates(toleration: Mapping[str, object], taint: Taint) -> bool:
    """Kubernetes' rule: an empty key with Exists tolerates all, an empty effect all effects."""
    if toleration.get("effect") not in (None, "", taint.effect):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint.key)
    return toleration.get("key") == taint.key and toleration.get("value", "") == taint.value


def _extra_tolerations(service: Service) -> tuple[Mapping[str, object], ...]:
    """The Service's own tolerations, where they are written as JSON (K3s takes YAML as well)."""
    text = service.annotations.get(TOLERATIONS_ANNOTATION, "")
    try:
        items = json.loads(text) if text else []
    except ValueError:
        return ()
    return tuple(item for item in items if isinstance(item, dict)) if isinstance(items, list) else ()


def _is_endpoint(pod: Pod, service: Service) -> bool:
    return (
        pod.namespace == service.namespace
        and bool(service.selector)
        and all(pod.labels.get(key) == value for key, value in service.selector.items())
    )


def _seniority(item: Balancer) -> tuple[datetime, str]:
    return (item.service.created or _EARLIEST, item.service.full_name)
