"""What K3s' servicelb does: which nodes serve a Service, and which addresses it publishes.

A pure model of ``pkg/cloudprovider/servicelb.go`` (facts: k3s-and-backups.md, section 2), gaps included:

* Any ``enablelb`` label on any node, whatever its value, switches the allow-list on for the cluster.
* A DaemonSet gets its node selector when its Service is synced. When the first label appears, existing
  DaemonSets get ``enablelb=true`` alone: the pool is lost until the Service is synced again.
* When the last label goes, existing DaemonSets keep their selector, so that no node matches any more.

And of what Kubernetes does with the pods: one that runs keeps its host ports and is not driven off by a
NoSchedule taint; those that wait for a port come in the order in which they began to wait. A DaemonSet whose
selector changes makes all its pods anew, in the places that they have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from msgspec.structs import replace as replace_struct

from axiom_tui.model.node import DaemonSet, Node, Pod, Service, Taint, Toleration
from axiom_tui.model.pools import ENABLE_LABEL, LABEL_PREFIX, POOL_LABEL

SERVICE_NAME_LABEL = f"{LABEL_PREFIX}/svcname"
SERVICE_NAMESPACE_LABEL = f"{LABEL_PREFIX}/svcnamespace"
HAS_SELECTOR_LABEL = f"{LABEL_PREFIX}/nodeselector"

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
    """servicelb's DaemonSet of one Service: ``selector`` is what it really selects by.

    ``renewed`` means that the selector has just changed: its pods are being made anew.
    """

    service: Service
    selector: Mapping[str, str] = field(default_factory=dict)
    renewed: bool = False

    @property
    def is_selecting(self) -> bool:
        return bool(self.selector)


@dataclass(frozen=True, slots=True)
class Served:
    """One Service at one moment: the nodes that have a pod for it, and the addresses that are published.

    ``nodes`` may be not Ready: their pods then serve nobody, and their addresses are not published.
    ``clashing`` are nodes that it selects but where another Service holds one of its ports.
    """

    service: Service
    nodes: tuple[str, ...]
    addresses: tuple[str, ...]
    clashing: tuple[str, ...] = ()

    @property
    def pool(self) -> str:
        return self.service.labels.get(POOL_LABEL, "")


@dataclass(frozen=True, slots=True)
class Line:
    """The Services at one node: those that have a pod there, and those that wait for it, the first first."""

    hosted: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


Lines = Mapping[str, Line]  # by node


def lines_of(pods: Iterable[Pod]) -> dict[str, Line]:
    """Who has a svclb pod on which node, and who waits for one there."""
    hosted: dict[str, list[str]] = {}
    waiting: dict[str, list[tuple[datetime, str]]] = {}
    for pod in pods:
        if SERVICE_NAME_LABEL not in pod.labels:
            continue
        service = f"{pod.labels.get(SERVICE_NAMESPACE_LABEL, '')}/{pod.labels[SERVICE_NAME_LABEL]}"
        if pod.node and not pod.deleting:
            hosted.setdefault(pod.node, []).append(service)
        elif pod.wanted_node and not pod.deleting:
            waiting.setdefault(pod.wanted_node, []).append((pod.created or _EARLIEST, service))
    return {
        node: Line(
            tuple(hosted.get(node, ())), tuple(service for _, service in sorted(waiting.get(node, ())))
        )
        for node in {*hosted, *waiting}
    }


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
        item if item.is_selecting else replace(item, selector={ENABLE_LABEL: "true"}, renewed=True)
        for item in today
    )


def label(
    nodes: Sequence[Node],
    today: Sequence[Balancer],
    lines: Lines,
    changes: Mapping[str, Mapping[str, str | None]],
) -> tuple[tuple[Node, ...], tuple[Balancer, ...], Lines]:
    """Nodes, balancers and lines once the changes are made, one node after the other as they are given.

    The order counts at the first label in the cluster alone: all nodes that have none yet are left then.
    """
    known = {node.name: node for node in nodes}
    for count, (name, wanted) in enumerate(changes.items(), start=1):
        changed = relabelled([known[name]] if name in known else [], {name: wanted})
        if any(ENABLE_LABEL in node.labels and node.labels != known[name].labels for node in changed):
            first = dict(list(changes.items())[:count])
            noticed = relabelled(nodes, first)
            rewritten = after_labels(today, nodes, noticed)
            if any(item.renewed for item in rewritten):
                lines = stand(noticed, rewritten, lines)
                today = tuple(replace(item, renewed=False) for item in rewritten)
            break
    after = relabelled(nodes, changes)
    return after, tuple(today), stand(after, today, lines)


def after_sync(today: Sequence[Balancer], nodes: Sequence[Node]) -> tuple[Balancer, ...]:
    """The balancers once every Service has been synced (touched, or K3s restarted)."""
    synced = []
    for item in today:
        selector = selector_when_synced(item.service, nodes)
        synced.append(Balancer(item.service, selector, renewed=selector != item.selector))
    return tuple(synced)


def stale(today: Sequence[Balancer], nodes: Sequence[Node]) -> tuple[Balancer, ...]:
    """The balancers whose selector is not the one that a sync would write: their Services want a touch."""
    return tuple(item for item in today if item.selector != selector_when_synced(item.service, nodes))


def stand(nodes: Sequence[Node], today: Sequence[Balancer], lines: Lines) -> dict[str, Line]:
    """Who has a pod and who waits at each node, once Kubernetes has done its work on ``lines``.

    Who has a pod keeps it, with its ports; then those that wait; then those that come now, the oldest
    Service first (the order of ``today``).
    """
    result = {}
    by_name = {item.service.full_name: item for item in today}
    for node in nodes:
        line = lines.get(node.name, Line())
        selecting = {name: _admits(item, node) for name, item in by_name.items() if _selects(item, node)}

        def stays(name: str, node: Node = node, selecting: Mapping[str, bool] = selecting) -> bool:
            # A NoSchedule taint bars new pods alone, but of those that are made anew every one is new.
            return name in selecting and (
                selecting[name] or (not by_name[name].renewed and _suffers(by_name[name], node))
            )

        hosted = [name for name in line.hosted if stays(name)]
        taken = {port for name in hosted for port in _host_ports(by_name[name])}
        kept = [name for name in line.waiting if stays(name) and not by_name[name].renewed]
        fresh = [name for name, admits in selecting.items() if admits and name not in (*hosted, *kept)]
        waiting = []
        for name in (*kept, *fresh):
            ports = _host_ports(by_name[name])
            if selecting[name] and not ports & taken:
                hosted.append(name)
                taken |= ports
            else:
                waiting.append(name)
        result[node.name] = Line(tuple(hosted), tuple(waiting))
    return result


def serve(
    nodes: Sequence[Node],
    today: Sequence[Balancer],
    pods: Sequence[Pod] = (),
    lines: Lines | None = None,
) -> tuple[Served, ...]:
    """What each balancer serves. ``lines`` are those of ``pods`` unless they are given.

    ``pods`` besides tell which nodes have endpoints, for ``externalTrafficPolicy: Local``.
    """
    settled = stand(nodes, today, lines_of(pods) if lines is None else lines)
    ports = {item.service.full_name: _host_ports(item) for item in today}
    hosted: dict[str, list[Node]] = {name: [] for name in ports}
    clashing: dict[str, list[str]] = {name: [] for name in ports}
    for node in nodes:
        line = settled[node.name]
        taken = {port for name in line.hosted for port in ports[name]}
        for name in line.hosted:
            hosted[name].append(node)
        for name in line.waiting:
            if ports[name] & taken:  # else it waits because of a taint
                clashing[name].append(node.name)
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
    return all(node.labels.get(key) == value for key, value in item.selector.items())


def _admits(item: Balancer, node: Node) -> bool:
    """Whether a new pod may come to the node, as far as its taints go."""
    return all(_is_tolerated(taint, item.service.tolerations) for taint in node.taints)


def _suffers(item: Balancer, node: Node) -> bool:
    """Whether a pod that is there already may stay: only NoExecute drives it off."""
    taints = (taint for taint in node.taints if taint.effect == "NoExecute")
    return all(_is_tolerated(taint, item.service.tolerations) for taint in taints)


def _is_tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    if taint.effect == "PreferNoSchedule":
        return True
    if (taint.key, taint.effect) in _TOLERATED or taint.key in _TOLERATED_KEYS:
        return True
    return any(toleration.tolerates(taint) for toleration in tolerations)


def _host_ports(item: Balancer) -> frozenset[tuple[int, str]]:
    return frozenset((port.port, port.protocol) for port in item.service.ports)


def _is_endpoint(pod: Pod, service: Service) -> bool:
    return (
        pod.namespace == service.namespace
        and bool(service.selector)
        and all(pod.labels.get(key) == value for key, value in service.selector.items())
    )


def _seniority(item: Balancer) -> tuple[datetime, str]:
    return (item.service.created or _EARLIEST, item.service.full_name)
