"""What servicelb, the DaemonSet controller, the scheduler and the kubelets look at, read from API objects."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from axiom_tui.simulator.statuses import Json

SERVICE_NAME_LABEL = "svccontroller.k3s.cattle.io/svcname"
SERVICE_NAMESPACE_LABEL = "svccontroller.k3s.cattle.io/svcnamespace"
REVISION_LABEL = "controller-revision-hash"
#: The field by which a DaemonSet ties each of its pods to one node, before the scheduler has seen it.
NODE_FIELD = "metadata.name"

HostPort = tuple[str, int]  # protocol, port


class _Part(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """Base of the parts of objects that are read: unknown fields are skipped."""


class Taint(_Part, frozen=True):
    key: str
    effect: str
    value: str | None = None


class Toleration(_Part, frozen=True):
    """Without a key it speaks of all taints, without an effect of all effects; the operator is Equal."""

    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None

    def tolerates(self, taint: Taint) -> bool:
        if (self.effect and self.effect != taint.effect) or (self.key and self.key != taint.key):
            return False
        if self.operator == "Exists":
            return True
        return bool(self.key) and (self.value or "") == (taint.value or "")


class _Metadata(_Part, frozen=True):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}


class _Condition(_Part, frozen=True):
    type: str
    status: str
    reason: str | None = None


class _Address(_Part, frozen=True):
    type: str
    address: str


class _NodeSpec(_Part, frozen=True):
    taints: tuple[Taint, ...] | None = None
    pod_cidr: str | None = msgspec.field(name="podCIDR", default=None)


class _NodeStatus(_Part, frozen=True):
    conditions: tuple[_Condition, ...] | None = None
    addresses: tuple[_Address, ...] | None = None


class _NodeParts(_Part, frozen=True):
    metadata: _Metadata
    spec: _NodeSpec = _NodeSpec()
    status: _NodeStatus = _NodeStatus()


class _Port(_Part, frozen=True):
    host_port: int | None = None
    protocol: str | None = None


class _Container(_Part, frozen=True):
    ports: tuple[_Port, ...] | None = None


class _PodSpec(_Part, frozen=True):
    node_name: str | None = None
    containers: tuple[_Container, ...] | None = None
    tolerations: tuple[Toleration, ...] | None = None
    affinity: dict[str, Any] | None = None


class _PodStatus(_Part, frozen=True):
    conditions: tuple[_Condition, ...] | None = None
    phase: str | None = None
    pod_ip: str | None = msgspec.field(name="podIP", default=None)


class _PodParts(_Part, frozen=True):
    metadata: _Metadata
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Base: two views that are equal need nothing done. ``key`` is the name, or namespace/name."""

    key: str


class NodeView(View, frozen=True, kw_only=True):
    labels: dict[str, str]
    created: str
    taints: tuple[Taint, ...]
    ready: bool
    internal: tuple[str, ...]
    external: tuple[str, ...]
    pod_range: str


class PodView(View, frozen=True, kw_only=True):
    """``node`` is where it runs, "" while it is Pending; ``wanted`` where its affinity ties it to."""

    uid: str
    namespace: str
    labels: dict[str, str]
    daemon: str  # the svclb DaemonSet that it belongs to, "" for any other pod
    service: str  # namespace/name of the Service that it is for
    created: str
    revision: str  # of the DaemonSet's template
    node: str
    wanted: str
    host_ports: frozenset[HostPort]
    tolerations: tuple[Toleration, ...]
    running: bool
    ready: bool
    unschedulable: bool  # the scheduler has said so
    pod_ip: str

    @property
    def place(self) -> str:
        return self.node or self.wanted


_node_parts = msgspec.json.Decoder(_NodeParts).decode
_pod_parts = msgspec.json.Decoder(_PodParts).decode


def read_node(raw: bytes | Json) -> NodeView:
    """A node, from its encoded form or from the decoded one."""
    parts = _node_parts(raw) if isinstance(raw, bytes) else msgspec.convert(raw, _NodeParts)
    addresses = parts.status.addresses or ()
    return NodeView(
        key=parts.metadata.name,
        labels=parts.metadata.labels,
        created=parts.metadata.creation_timestamp or "",
        taints=parts.spec.taints or (),
        ready=_is_true("Ready", parts.status.conditions),
        internal=tuple(item.address for item in addresses if item.type == "InternalIP"),
        external=tuple(item.address for item in addresses if item.type == "ExternalIP"),
        pod_range=parts.spec.pod_cidr or "",
    )


def read_pod(raw: bytes | Json) -> PodView:
    """A pod, from its encoded form or from the decoded one."""
    parts = _pod_parts(raw) if isinstance(raw, bytes) else msgspec.convert(raw, _PodParts)
    metadata, spec, status = parts.metadata, parts.spec, parts.status
    labels = metadata.labels
    name = labels.get(SERVICE_NAME_LABEL, "")
    ports = (port for container in spec.containers or () for port in container.ports or ())
    return PodView(
        key=f"{metadata.namespace}/{metadata.name}",
        uid=metadata.uid,
        namespace=metadata.namespace,
        labels=labels,
        daemon=labels.get("app", "") if name else "",
        service=f"{labels.get(SERVICE_NAMESPACE_LABEL, '')}/{name}" if name else "",
        created=metadata.creation_timestamp or "",
        revision=labels.get(REVISION_LABEL, ""),
        node=spec.node_name or "",
        wanted=_wanted_node(spec.affinity),
        host_ports=frozenset((port.protocol or "TCP", port.host_port) for port in ports if port.host_port),
        tolerations=spec.tolerations or () if name else (),
        running=status.phase == "Running",
        ready=_is_true("Ready", status.conditions) and metadata.deletion_timestamp is None,
        unschedulable=any(item.reason == "Unschedulable" for item in status.conditions or ()),
        pod_ip=status.pod_ip or "",
    )


def is_tolerated(
    taints: Iterable[Taint], tolerations: Iterable[Toleration], effects: tuple[str, ...]
) -> bool:
    """Whether none of the taints with one of these effects is left untolerated."""
    known = tuple(tolerations)
    return all(any(item.tolerates(taint) for item in known) for taint in taints if taint.effect in effects)


def _is_true(kind: str, conditions: tuple[_Condition, ...] | None) -> bool:
    return any(item.type == kind and item.status == "True" for item in conditions or ())


def _wanted_node(affinity: Json | None) -> str:
    required = ((affinity or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    for term in (required or {}).get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field.get("key") == NODE_FIELD and field.get("values"):
                return str(field["values"][0])
    return ""


class PodIndex:
    """The pods that hold or want host ports, by node and by DaemonSet, in the order of their coming."""

    def __init__(self) -> None:
        self._pods: dict[str, PodView] = {}
        self._arrivals: dict[str, int] = {}
        self._count = itertools.count()
        self._by_place: dict[str, set[str]] = defaultdict(set)
        self._by_daemon: dict[str, set[str]] = defaultdict(set)

    def get(self, key: str) -> PodView | None:
        return self._pods.get(key)

    def put(self, pod: PodView) -> None:
        before = self._pods.get(pod.key)
        if before is not None and before.uid != pod.uid:
            self.drop(pod.key)
        elif before is not None and before.place != pod.place:
            self._by_place[before.place].discard(pod.key)
        self._pods[pod.key] = pod
        self._arrivals.setdefault(pod.key, next(self._count))
        self._by_place[pod.place].add(pod.key)
        if pod.daemon:
            self._by_daemon[pod.daemon].add(pod.key)

    def drop(self, key: str) -> None:
        pod = self._pods.pop(key, None)
        if pod is not None:
            del self._arrivals[key]
            self._by_place[pod.place].discard(key)
            self._by_daemon[pod.daemon].discard(key)

    def on_node(self, name: str) -> list[PodView]:
        """Bound to the node or tied to it; those that came first come first."""
        return self._in_order(self._by_place.get(name, ()))

    def of_daemon(self, name: str) -> list[PodView]:
        return self._in_order(self._by_daemon.get(name, ()))

    def _in_order(self, keys: Iterable[str]) -> list[PodView]:
        return [self._pods[key] for key in sorted(keys, key=self._arrivals.__getitem__)]


def key_of(item: Mapping[str, Any]) -> str:
    """``namespace/name``, or the name alone for what has no namespace."""
    metadata = item["metadata"]
    namespace = metadata.get("namespace", "")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])
