"""The Kubernetes API's JSON as Structs of just the fields needed, and their translation into model values.

Decoding only these fields with msgspec is 60 times faster than the official client's typed models on
5,000 nodes (facts: speed.md); the field names are those of the Kubernetes API reference, v1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from sys import intern
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec
import yaml

from axiom_tui.model.lease import Lease
from axiom_tui.model.node import (
    Condition,
    DaemonSet,
    Event,
    Node,
    NodeUsage,
    Pod,
    PriorityClass,
    Route,
    Service,
    ServicePort,
    Taint,
    Toleration,
)

T = TypeVar("T")
W = TypeVar("W")


class Wire(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """Base of all Structs of the wire: unknown fields are skipped, missing ones have defaults."""


class OwnerReference(Wire, frozen=True):
    kind: str = ""
    name: str = ""
    controller: bool | None = None


class Metadata(Wire, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: tuple[OwnerReference, ...] | None = None


class ListMetadata(Wire, frozen=True):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class WireList(msgspec.Struct, Generic[W], frozen=True):
    """A ``...List``; Go writes an empty list as ``null``."""

    metadata: ListMetadata = ListMetadata()
    items: list[W] | None = None


class WireEvent(Wire, frozen=True):
    """One line of a watch; the object is decoded once its type is known."""

    type: str
    object: msgspec.Raw


class Bookmark(Wire, frozen=True):
    metadata: Metadata = Metadata()


class StatusCause(Wire, frozen=True):
    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(Wire, frozen=True):
    name: str = ""
    group: str = ""
    kind: str = ""
    causes: tuple[StatusCause, ...] | None = None
    retry_after_seconds: float | None = None


class Status(Wire, frozen=True):
    """What the API answers instead of an object (``kind: Status``)."""

    kind: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None


# -- nodes ---------------------------------------------------------------------------------------------


class WireCondition(Wire, frozen=True):
    type: str
    status: str
    reason: str | None = None
    message: str | None = None
    last_transition_time: datetime | None = None


class WireTaint(Wire, frozen=True):
    key: str
    effect: str
    value: str = ""


class NodeSpec(Wire, frozen=True):
    taints: tuple[WireTaint, ...] | None = None
    unschedulable: bool = False


class NodeAddress(Wire, frozen=True):
    type: str
    address: str


class NodeInfo(Wire, frozen=True):
    architecture: str = ""
    kubelet_version: str = ""
    os_image: str = ""
    kernel_version: str = ""
    container_runtime_version: str = ""


class NodeStatus(Wire, frozen=True):
    conditions: tuple[WireCondition, ...] | None = None
    addresses: tuple[NodeAddress, ...] | None = None
    allocatable: dict[str, str] | None = None
    node_info: NodeInfo = NodeInfo()


class WireNode(Wire, frozen=True):
    metadata: Metadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


def to_node(wire: WireNode) -> Node:
    metadata, spec, status = wire.metadata, wire.spec, wire.status
    info, allocatable = status.node_info, status.allocatable or {}
    addresses = status.addresses or ()
    return Node(
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        created=metadata.creation_timestamp,
        labels=metadata.labels or {},
        annotations=metadata.annotations or {},
        conditions=tuple(
            # The same few words in every node of thousands: one copy of each is enough.
            Condition(
                intern(item.type),
                intern(item.status),
                intern(item.reason or ""),
                intern(item.message or ""),
                item.last_transition_time,
            )
            for item in status.conditions or ()
        ),
        taints=tuple(Taint(item.key, item.effect, item.value) for item in spec.taints or ()),
        internal_ips=tuple(item.address for item in addresses if item.type == "InternalIP"),
        external_ips=tuple(item.address for item in addresses if item.type == "ExternalIP"),
        unschedulable=spec.unschedulable,
        deleting=metadata.deletion_timestamp is not None,
        architecture=intern(info.architecture),
        kubelet_version=intern(info.kubelet_version),
        os_image=intern(info.os_image),
        kernel_version=intern(info.kernel_version),
        container_runtime=intern(info.container_runtime_version),
        cpu=quantity(allocatable.get("cpu", "0")),
        memory=int(quantity(allocatable.get("memory", "0"))),
    )


# -- pods ----------------------------------------------------------------------------------------------


class PodCondition(Wire, frozen=True):
    type: str
    status: str


class NodeField(Wire, frozen=True):
    """What a DaemonSet ties its pod to a node by: ``metadata.name`` and the one name."""

    key: str
    values: tuple[str, ...] | None = None


class NodeTerm(Wire, frozen=True):
    match_fields: tuple[NodeField, ...] | None = None


class NodeTerms(Wire, frozen=True):
    node_selector_terms: tuple[NodeTerm, ...] | None = None


class NodeAffinity(Wire, frozen=True):
    required: NodeTerms | None = msgspec.field(
        name="requiredDuringSchedulingIgnoredDuringExecution", default=None
    )


class Affinity(Wire, frozen=True):
    node_affinity: NodeAffinity | None = None


class PodSpec(Wire, frozen=True):
    node_name: str = ""
    priority_class_name: str = ""
    priority: int | None = None
    affinity: msgspec.Raw = msgspec.Raw()  # read only where it is needed


class PodStatus(Wire, frozen=True):
    phase: str = ""
    conditions: tuple[PodCondition, ...] | None = None
    host_ip: str = msgspec.field(name="hostIP", default="")
    pod_ip: str = msgspec.field(name="podIP", default="")


class WirePod(Wire, frozen=True):
    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


def to_pod(wire: WirePod) -> Pod:
    metadata, spec, status = wire.metadata, wire.spec, wire.status
    owners = metadata.owner_references or ()
    # The controller is the owner that counts; it need not come first.
    owner = next((item for item in owners if item.controller), owners[0] if owners else None)
    return Pod(
        namespace=intern(metadata.namespace),
        name=metadata.name,
        uid=metadata.uid,
        created=metadata.creation_timestamp,
        node=intern(spec.node_name),
        wanted_node="" if spec.node_name else wanted_node(spec.affinity),
        phase=intern(status.phase),
        ready=any(item.type == "Ready" and item.status == "True" for item in status.conditions or ()),
        host_ip=intern(status.host_ip),
        pod_ip=status.pod_ip,
        priority_class=intern(spec.priority_class_name),
        priority=spec.priority,
        labels=metadata.labels or {},
        owner_kind=intern(owner.kind) if owner else "",
        owner_name=intern(owner.name) if owner else "",
        deleting=metadata.deletion_timestamp is not None,
    )


_affinity: msgspec.json.Decoder[Affinity | None] = msgspec.json.Decoder(Affinity | None)


def wanted_node(affinity: msgspec.Raw) -> str:
    """The one node that a pod is tied to, as a DaemonSet's pod is; "" for none."""
    found = _affinity.decode(affinity) if bytes(affinity) else None
    terms = found.node_affinity.required if found and found.node_affinity else None
    for term in (terms.node_selector_terms if terms else None) or ():
        for item in term.match_fields or ():
            if item.key == "metadata.name" and item.values:
                return item.values[0]
    return ""


# -- Services, DaemonSets, PriorityClasses -------------------------------------------------------------

#: Tolerations for the pods of K3s' servicelb, a YAML or JSON list (facts: k3s-and-backups.md, 2.1).
TOLERATIONS_ANNOTATION = "svccontroller.k3s.cattle.io/tolerations"


class WireToleration(Wire, frozen=True):
    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None


def to_tolerations(text: str) -> tuple[Toleration, ...]:
    """What the annotation says; nothing if it cannot be read: servicelb then leaves its pods as they are."""
    try:
        found = msgspec.convert(yaml.safe_load(text) or [], list[WireToleration])
    except (yaml.YAMLError, msgspec.ValidationError):
        return ()
    return tuple(
        Toleration(
            key=item.key or "",
            operator=item.operator or "Equal",
            value=item.value or "",
            effect=item.effect or "",
        )
        for item in found
    )


class WireServicePort(Wire, frozen=True):
    port: int
    protocol: str = "TCP"
    name: str = ""
    node_port: int = 0


class ServiceSpec(Wire, frozen=True):
    type: str = "ClusterIP"
    ports: tuple[WireServicePort, ...] | None = None
    selector: dict[str, str] | None = None
    load_balancer_class: str | None = None
    external_traffic_policy: str = "Cluster"
    ip_families: tuple[str, ...] | None = None
    load_balancer_source_ranges: tuple[str, ...] | None = None


class Ingress(Wire, frozen=True):
    ip: str = ""
    hostname: str = ""


class LoadBalancerStatus(Wire, frozen=True):
    ingress: tuple[Ingress, ...] | None = None


class ServiceStatus(Wire, frozen=True):
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class WireService(Wire, frozen=True):
    metadata: Metadata
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


def to_service(wire: WireService) -> Service:
    metadata, spec = wire.metadata, wire.spec
    return Service(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        created=metadata.creation_timestamp,
        type=spec.type,
        labels=metadata.labels or {},
        annotations=metadata.annotations or {},
        ports=tuple(
            ServicePort(item.port, item.protocol, item.name, item.node_port) for item in spec.ports or ()
        ),
        selector=spec.selector or {},
        ingress_ips=tuple(item.ip for item in wire.status.load_balancer.ingress or () if item.ip),
        load_balancer_class=spec.load_balancer_class or "",
        external_traffic_policy=spec.external_traffic_policy,
        ip_families=spec.ip_families or (),
        source_ranges=spec.load_balancer_source_ranges or (),
        tolerations=to_tolerations((metadata.annotations or {}).get(TOLERATIONS_ANNOTATION, "")),
    )


class IngressRule(Wire, frozen=True):
    host: str = ""


class IngressSpec(Wire, frozen=True):
    rules: tuple[IngressRule, ...] | None = None


class WireIngress(Wire, frozen=True):
    metadata: Metadata
    spec: IngressSpec = IngressSpec()
    status: ServiceStatus = ServiceStatus()


def to_ingress(wire: WireIngress) -> Route:
    return Route(
        kind="Ingress",
        namespace=wire.metadata.namespace,
        name=wire.metadata.name,
        hosts=tuple(dict.fromkeys(rule.host for rule in wire.spec.rules or () if rule.host)),
        ips=tuple(item.ip for item in wire.status.load_balancer.ingress or () if item.ip),
    )


class GatewayListener(Wire, frozen=True):
    hostname: str | None = None


class GatewaySpec(Wire, frozen=True):
    listeners: tuple[GatewayListener, ...] | None = None


class GatewayAddress(Wire, frozen=True):
    value: str = ""


class GatewayStatus(Wire, frozen=True):
    addresses: tuple[GatewayAddress, ...] | None = None


class WireGateway(Wire, frozen=True):
    metadata: Metadata
    spec: GatewaySpec = GatewaySpec()
    status: GatewayStatus = GatewayStatus()


def to_gateway(wire: WireGateway) -> Route:
    return Route(
        kind="Gateway",
        namespace=wire.metadata.namespace,
        name=wire.metadata.name,
        hosts=tuple(dict.fromkeys(item.hostname for item in wire.spec.listeners or () if item.hostname)),
        ips=tuple(item.value for item in wire.status.addresses or () if item.value),
    )


class PodTemplateSpec(Wire, frozen=True):
    node_selector: dict[str, str] | None = None


class PodTemplate(Wire, frozen=True):
    spec: PodTemplateSpec = PodTemplateSpec()


class DaemonSetSpec(Wire, frozen=True):
    template: PodTemplate = PodTemplate()


class DaemonSetStatus(Wire, frozen=True):
    desired_number_scheduled: int = 0
    number_ready: int = 0


class WireDaemonSet(Wire, frozen=True):
    metadata: Metadata
    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()


def to_daemon_set(wire: WireDaemonSet) -> DaemonSet:
    return DaemonSet(
        namespace=wire.metadata.namespace,
        name=wire.metadata.name,
        labels=wire.metadata.labels or {},
        node_selector=wire.spec.template.spec.node_selector or {},
        desired=wire.status.desired_number_scheduled,
        ready=wire.status.number_ready,
    )


class WirePriorityClass(Wire, frozen=True):
    metadata: Metadata
    value: int
    global_default: bool = False
    preemption_policy: str | None = None
    description: str = ""


def to_priority_class(wire: WirePriorityClass) -> PriorityClass:
    return PriorityClass(
        name=wire.metadata.name,
        value=wire.value,
        global_default=wire.global_default,
        preemption_policy=wire.preemption_policy or "PreemptLowerPriority",
        description=wire.description,
        created=wire.metadata.creation_timestamp,
    )


# -- metrics, events, leases, reviews ------------------------------------------------------------------


class WireNodeMetrics(Wire, frozen=True):
    """``metrics.k8s.io/v1beta1`` NodeMetrics."""

    metadata: Metadata
    timestamp: datetime | None = None
    usage: dict[str, str] | None = None


def to_usage(wire: WireNodeMetrics) -> NodeUsage:
    usage = wire.usage or {}
    return NodeUsage(
        cpu=quantity(usage.get("cpu", "0")),
        memory=int(quantity(usage.get("memory", "0"))),
        at=wire.timestamp,
    )


class EventSeries(Wire, frozen=True):
    count: int = 0
    last_observed_time: datetime | None = None


class InvolvedObject(Wire, frozen=True):
    kind: str = ""
    name: str = ""
    namespace: str = ""


class WireObjectEvent(Wire, frozen=True):
    """A core/v1 Event; any of its times may be null, and ``series`` takes the place of ``count``."""

    metadata: Metadata
    involved_object: InvolvedObject = InvolvedObject()
    type: str = "Normal"
    reason: str = ""
    message: str = ""
    count: int | None = None
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    event_time: datetime | None = None
    series: EventSeries | None = None


def to_event(wire: WireObjectEvent) -> Event:
    series, about = wire.series, wire.involved_object
    return Event(
        kind=about.kind,
        name=about.name,
        namespace=about.namespace,
        type=wire.type,
        reason=wire.reason,
        message=wire.message,
        count=(series.count if series else wire.count) or 1,
        at=(series.last_observed_time if series else None)
        or wire.last_timestamp
        or wire.event_time
        or wire.metadata.creation_timestamp,
    )


class LeaseSpec(Wire, frozen=True):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: datetime | None = None
    renew_time: datetime | None = None
    lease_transitions: int | None = None


class WireLease(Wire, frozen=True):
    metadata: Metadata
    spec: LeaseSpec = LeaseSpec()


def to_lease(wire: WireLease) -> Lease:
    spec = wire.spec
    return Lease(
        namespace=wire.metadata.namespace,
        name=wire.metadata.name,
        holder=spec.holder_identity or "",
        duration=spec.lease_duration_seconds or 0,
        acquired=spec.acquire_time,
        renewed=spec.renew_time,
        transitions=spec.lease_transitions or 0,
        annotations=wire.metadata.annotations or {},
        resource_version=wire.metadata.resource_version,
    )


def from_lease(lease: Lease) -> dict[str, Any]:
    """The body of a create or replace; empty fields are left out, since Kubernetes refuses some of them."""
    spec: dict[str, Any] = {
        "holderIdentity": lease.holder or None,
        "leaseDurationSeconds": lease.duration or None,
        "acquireTime": micro_time(lease.acquired),
        "renewTime": micro_time(lease.renewed),
        "leaseTransitions": lease.transitions,
    }
    metadata: dict[str, Any] = {
        "name": lease.name,
        "namespace": lease.namespace,
        "annotations": dict(lease.annotations) or None,
        "resourceVersion": lease.resource_version or None,
    }
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {key: value for key, value in metadata.items() if value is not None},
        "spec": {key: value for key, value in spec.items() if value is not None},
    }


def micro_time(moment: datetime | None) -> str | None:
    """A ``MicroTime``: always with six digits after the point, always UTC."""
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


class ReviewStatus(Wire, frozen=True):
    allowed: bool = False
    reason: str = ""
    evaluation_error: str = ""


class AccessReview(Wire, frozen=True):
    """The answer to a SelfSubjectAccessReview."""

    status: ReviewStatus = ReviewStatus()


class VersionInfo(Wire, frozen=True):
    git_version: str


class GroupName(Wire, frozen=True):
    name: str


class GroupList(Wire, frozen=True):
    groups: tuple[GroupName, ...] | None = None


# -- quantities ----------------------------------------------------------------------------------------

_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i)?)")
_FACTORS = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip


def quantity(text: str) -> float:
    """A Kubernetes quantity (``1900m``, ``16Gi``, ``1e3``) as a number.

    Raises `msgspec.ValidationError` for text that is none, as every other unreadable field does.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise msgspec.ValidationError(f"{text!r} is no Kubernetes quantity")
    number, exponent, suffix = match.groups()
    if exponent is not None:
        return float(f"{number}e{exponent}")
    return float(number) * _FACTORS[suffix] if suffix else float(number)


# -- resources -----------------------------------------------------------------------------------------


class EventType(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[T]):
    """One change; ``object`` is None for a bookmark, which only moves ``resource_version`` on."""

    type: EventType
    object: T | None
    resource_version: str


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """All objects of a kind at ``resource_version``, from which a watch goes on."""

    items: tuple[T, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """A kind of object: where it lives in the API, and how it is read.

    ``key`` tells objects apart; ``read_*`` raise `msgspec.DecodeError` (or its child ValidationError).
    """

    plural: str
    group: str
    version: str
    kind: str
    read_list: Callable[[bytes], tuple[list[T], ListMetadata]]
    read_one: Callable[[bytes | msgspec.Raw], tuple[T, Metadata]]
    key: Callable[[T], Hashable]

    @property
    def full_name(self) -> str:
        """``nodes``, ``leases.coordination.k8s.io``: as kubectl and RBAC's messages write it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_root(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "") -> str:
        """URL path of the collection, or of one object."""
        middle = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        end = f"/{quote(name, safe='')}" if name else ""
        return f"{self.api_root}{middle}/{self.plural}{end}"


def _resource(
    path: str, kind: str, wire: type[W], translate: Callable[[W], T], key: Callable[[T], Hashable]
) -> Resource[T]:
    *group, version, plural = path.split("/")
    lists = msgspec.json.Decoder(WireList[wire])  # type: ignore[valid-type]
    objects = msgspec.json.Decoder(wire)

    def read_list(body: bytes) -> tuple[list[T], ListMetadata]:
        page = lists.decode(body)
        return [translate(item) for item in page.items or ()], page.metadata

    def read_one(body: bytes | msgspec.Raw) -> tuple[T, Metadata]:
        item = objects.decode(body)
        return translate(item), item.metadata  # type: ignore[attr-defined]

    return Resource(plural, group[0] if group else "", version, kind, read_list, read_one, key)


NODES: Resource[Node] = _resource("v1/nodes", "Node", WireNode, to_node, lambda node: node.name)
PODS: Resource[Pod] = _resource("v1/pods", "Pod", WirePod, to_pod, lambda pod: (pod.namespace, pod.name))
SERVICES: Resource[Service] = _resource(
    "v1/services", "Service", WireService, to_service, lambda service: (service.namespace, service.name)
)
DAEMON_SETS: Resource[DaemonSet] = _resource(
    "apps/v1/daemonsets", "DaemonSet", WireDaemonSet, to_daemon_set, lambda item: (item.namespace, item.name)
)
INGRESSES: Resource[Route] = _resource(
    "networking.k8s.io/v1/ingresses",
    "Ingress",
    WireIngress,
    to_ingress,
    lambda item: (item.namespace, item.name),
)
GATEWAYS: Resource[Route] = _resource(
    "gateway.networking.k8s.io/v1/gateways",
    "Gateway",
    WireGateway,
    to_gateway,
    lambda item: (item.namespace, item.name),
)
PRIORITY_CLASSES: Resource[PriorityClass] = _resource(
    "scheduling.k8s.io/v1/priorityclasses",
    "PriorityClass",
    WirePriorityClass,
    to_priority_class,
    lambda item: item.name,
)
LEASES: Resource[Lease] = _resource(
    "coordination.k8s.io/v1/leases", "Lease", WireLease, to_lease, lambda item: (item.namespace, item.name)
)
#: Only their names: what a Secret holds is never decoded.
SECRETS: Resource[tuple[str, str]] = _resource(
    "v1/secrets",
    "Secret",
    Bookmark,
    lambda wire: (wire.metadata.namespace, wire.metadata.name),
    lambda pair: pair,
)
EVENTS: Resource[Event] = _resource("v1/events", "Event", WireObjectEvent, to_event, lambda item: item)
#: A pair of node name and usage, since usage itself does not know its node.
NODE_METRICS: Resource[tuple[str, NodeUsage]] = _resource(
    "metrics.k8s.io/v1beta1/nodes",
    "NodeMetrics",
    WireNodeMetrics,
    lambda wire: (wire.metadata.name, to_usage(wire)),
    lambda pair: pair[0],
)
