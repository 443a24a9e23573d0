"""What Kubernetes knows: nodes, pods, Services, PriorityClasses, and how they are used.

Values are flat and hold only what is shown or decided upon. They are msgspec Structs, since a fleet may
have thousands of them and they are made from the wire on every change; ``gc=False``, since they can be in
no cycle, and the garbage collector would stop the screen for as long as it looks through them all.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime
from functools import lru_cache

import msgspec

#: Address range of every tailnet (CGNAT, RFC 6598; Tailscale gives out nothing else for IPv4).
TAILNET_V4 = ipaddress.ip_network("100.64.0.0/10")
#: Tailscale's ULA range.
TAILNET_V6 = ipaddress.ip_network("fd7a:115c:a1e0::/48")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#: An address of `TAILNET_V4` as it is written.
_TAILNET_V4 = re.compile(rf"100\.(?:6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.{_OCTET}\.{_OCTET}")

CONTROL_PLANE_LABEL = "node-role.kubernetes.io/control-plane"
ETCD_LABEL = "node-role.kubernetes.io/etcd"
NODE_ARGS_ANNOTATION = "k3s.io/node-args"


class Condition(msgspec.Struct, frozen=True, gc=False):
    """A node condition; ``status`` is ``True``, ``False`` or ``Unknown``, ``since`` its last transition."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    since: datetime | None = None


class Taint(msgspec.Struct, frozen=True, gc=False):
    key: str
    effect: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


class Toleration(msgspec.Struct, frozen=True, kw_only=True):
    """Without a key it is about all taints, without an effect about all effects (Kubernetes' rule)."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def tolerates(self, taint: Taint) -> bool:
        if self.effect not in ("", taint.effect):
            return False
        if self.operator == "Exists":
            return self.key in ("", taint.key)
        return self.key == taint.key and self.value == taint.value


class Node(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Kubernetes node. ``cpu`` is in cores, ``memory`` in bytes, both allocatable."""

    name: str
    uid: str = ""
    resource_version: str = ""
    created: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    conditions: tuple[Condition, ...] = ()
    taints: tuple[Taint, ...] = ()
    internal_ips: tuple[str, ...] = ()
    external_ips: tuple[str, ...] = ()
    unschedulable: bool = False
    deleting: bool = False
    architecture: str = ""
    kubelet_version: str = ""
    os_image: str = ""
    kernel_version: str = ""
    container_runtime: str = ""
    cpu: float = 0.0
    memory: int = 0

    def condition(self, kind: str) -> Condition | None:
        for item in self.conditions:
            if item.type == kind:
                return item
        return None

    @property
    def is_ready(self) -> bool:
        ready = self.condition("Ready")
        return ready is not None and ready.status == "True"

    @property
    def is_server(self) -> bool:
        """K3s labels its servers with the control-plane role (and etcd members with etcd)."""
        return CONTROL_PLANE_LABEL in self.labels or ETCD_LABEL in self.labels


class Pod(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A pod, with only what the fleet shows: where it runs, how it is, and how important it is.

    ``wanted_node`` is set for a DaemonSet's pod that no node has taken yet: the one that it waits for.
    """

    namespace: str
    name: str
    uid: str = ""
    created: datetime | None = None
    node: str = ""
    wanted_node: str = ""
    phase: str = ""
    ready: bool = False
    host_ip: str = ""
    pod_ip: str = ""
    priority_class: str = ""
    priority: int | None = None
    labels: dict[str, str] = {}
    owner_kind: str = ""
    owner_name: str = ""
    deleting: bool = False


class ServicePort(msgspec.Struct, frozen=True, gc=False):
    port: int
    protocol: str = "TCP"
    name: str = ""
    node_port: int = 0


class Service(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Service; ``ingress_ips`` is what its status publishes, ``tolerations`` what servicelb's pods for it
    are to tolerate by its annotation."""

    namespace: str
    name: str
    uid: str = ""
    resource_version: str = ""
    created: datetime | None = None
    type: str = "ClusterIP"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    ports: tuple[ServicePort, ...] = ()
    selector: dict[str, str] = {}
    ingress_ips: tuple[str, ...] = ()
    load_balancer_class: str = ""
    external_traffic_policy: str = "Cluster"
    ip_families: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()
    tolerations: tuple[Toleration, ...] = ()

    @property
    def full_name(self) -> str:
        return f"{self.namespace}/{self.name}"


class Route(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Names that lead to addresses: an Ingress, or a Gateway of the Gateway API."""

    kind: str
    namespace: str
    name: str
    hosts: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()


class DaemonSet(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A DaemonSet with what tells servicelb's work: its node selector and its labels."""

    namespace: str
    name: str
    labels: dict[str, str] = {}
    node_selector: dict[str, str] = {}
    desired: int = 0
    ready: int = 0


class PriorityClass(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    name: str
    value: int
    global_default: bool = False
    preemption_policy: str = "PreemptLowerPriority"
    description: str = ""
    created: datetime | None = None


class NodeUsage(msgspec.Struct, frozen=True, gc=False):
    """What metrics-server measured: ``cpu`` in cores, ``memory`` in bytes."""

    cpu: float
    memory: int
    at: datetime | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Kubernetes event about one object, newest time first known."""

    kind: str
    name: str
    namespace: str = ""
    type: str = "Normal"
    reason: str = ""
    message: str = ""
    count: int = 1
    at: datetime | None = None


def is_tailnet_ip(text: str) -> bool:
    """Whether the address lies in a tailnet's ranges; False for text that is no address."""
    return _kind(text) == "tailnet"


def is_public_ip(text: str) -> bool:
    """Whether the address can be reached from the internet: global, and not of the tailnet."""
    return _kind(text) == "public"


@lru_cache(maxsize=32768)  # asked for every node at every join
def _kind(text: str) -> str:
    if _TAILNET_V4.fullmatch(text):
        return "tailnet"  # most are, and `ipaddress` takes its time
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "none"
    if address in (TAILNET_V4 if address.version == 4 else TAILNET_V6):
        return "tailnet"
    return "public" if address.is_global else "private"
