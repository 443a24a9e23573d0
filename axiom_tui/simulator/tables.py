"""Server-side printing: the columns and cells of ``as=Table``, as the real API server prints them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from axiom_tui.simulator.resources import Resource
from axiom_tui.simulator.statuses import Json

_NAME = (
    "Name must be unique within a namespace. Is required when creating resources, although some "
    "resources may allow a client to request the generation of an appropriate name automatically. Name "
    "is primarily intended for creation idempotence and configuration definition. Cannot be updated. "
    "More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
_AGE = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is "
    "not guaranteed to be set in happens-before order across separate operations. Clients may not set "
    "this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. "
    "Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
_ADDRESSES = (
    "List of addresses reachable to the node. Queried from cloud provider, if available. More info: "
    "https://kubernetes.io/docs/reference/node/node-status/#addresses Note: This field is declared as "
    "mergeable, but the merge key is not sufficiently unique, which can cause data corruption when it "
    "is merged. Callers should instead use a full-replacement patch. See https://pr.k8s.io/79391 for "
    "an example. Consumers should assume that addresses can change during the lifetime of a Node. "
    "However, there are some exceptions where this may not be possible, such as Pods that inherit a "
    "Node's address in its own status or consumers of the downward API (status.hostIP)."
)


@dataclass(frozen=True)
class Column:
    """One column; ``wide`` ones are shown by ``-o wide`` only. Without a title the description is short."""

    name: str
    description: str = ""
    type: str = "string"
    format: str = ""
    wide: bool = False

    @property
    def definition(self) -> Json:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description or self.name,
            "priority": 1 if self.wide else 0,
        }


Cells = Callable[[Json, datetime], list[Any]]


@dataclass(frozen=True)
class Printer:
    columns: tuple[Column, ...]
    cells: Cells

    @property
    def definitions(self) -> list[Json]:
        return [column.definition for column in self.columns]


def printer(resource: Resource) -> Printer:
    """How to print objects of this resource; kinds without an own printer show name and creation."""
    return _PRINTERS.get(resource.converted_from or resource.key, _DEFAULT)


def human_duration(seconds: float) -> str:
    """``6s``, ``5m30s``, ``3h``, ``2d4h``, ``1y20d``: apimachinery's duration.HumanDuration."""
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    whole = int(seconds)
    minutes, hours = whole // 60, whole // 3600
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 24 * 8:
        return _two(hours // 24, "d", hours % 24, "h")
    if hours < 24 * 365 * 2:
        return f"{hours // 24}d"
    if hours < 24 * 365 * 8:
        return _two(hours // 24 // 365, "y", hours // 24 % 365, "d")
    return f"{hours // 24 // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}" + (f"{small}{small_unit}" if small else "")


def age(stamp: str | None, now: datetime) -> str:
    """The age of a timestamp of the API; ``<unknown>`` for none."""
    if not stamp:
        return "<unknown>"
    moment = datetime.fromisoformat(stamp.replace("Z", "+00:00")).astimezone(UTC)
    return human_duration((now - moment).total_seconds())


def _created(obj: Json, now: datetime) -> str:
    return age(obj["metadata"].get("creationTimestamp"), now)


def _node(node: Json, now: datetime) -> list[Any]:
    status, spec = node.get("status") or {}, node.get("spec") or {}
    ready = next((one for one in status.get("conditions") or [] if one.get("type") == "Ready"), None)
    states = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if spec.get("unschedulable"):
        states.append("SchedulingDisabled")
    info = status.get("nodeInfo") or {}
    kernel = info.get("kernelVersion") or "<unknown>"
    if info.get("architecture"):
        kernel += f" ({info['architecture']})"
    return [
        node["metadata"]["name"],
        ",".join(states),
        ",".join(_roles(node)) or "<none>",
        _created(node, now),
        info.get("kubeletVersion", ""),
        _address(status, "InternalIP"),
        _address(status, "ExternalIP"),
        info.get("osImage") or "<unknown>",
        kernel,
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def _roles(node: Json) -> list[str]:
    roles: set[str] = set()
    for key, value in (node["metadata"].get("labels") or {}).items():
        if key.startswith("node-role.kubernetes.io/"):
            roles.add(key.partition("/")[2])
        elif key == "kubernetes.io/role" and value:
            roles.add(value)
    return sorted(filter(None, roles))


def _address(status: Json, kind: str) -> str:
    found = (one["address"] for one in status.get("addresses") or [] if one.get("type") == kind)
    return next(found, "<none>")


def _pod(pod: Json, now: datetime) -> list[Any]:
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    containers = status.get("containerStatuses") or []
    restarts = sum(one.get("restartCount", 0) for one in containers)
    ready = sum(1 for one in containers if one.get("ready"))
    return [
        pod["metadata"]["name"],
        f"{ready}/{len(spec.get('containers') or [])}",
        _pod_reason(pod, containers),
        _restarts(restarts, containers, now),
        _created(pod, now),
        status.get("podIP") or "<none>",
        spec.get("nodeName") or "<none>",
        status.get("nominatedNodeName") or "<none>",
        _gates(spec, status),
    ]


def _pod_reason(pod: Json, containers: list[Json]) -> str:
    status = pod.get("status") or {}
    reason = str(status.get("reason") or status.get("phase") or "")
    for one in reversed(containers):
        state = one.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        if waiting.get("reason"):
            reason = waiting["reason"]
        elif ended:
            signal = f"Signal:{ended['signal']}" if ended.get("signal") else ""
            reason = ended.get("reason") or signal or f"ExitCode:{ended.get('exitCode', 0)}"
    if pod["metadata"].get("deletionTimestamp"):
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return reason


def _restarts(count: int, containers: list[Json], now: datetime) -> str:
    ends = [((one.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for one in containers]
    last = max((end for end in ends if end), default=None)
    return f"{count} ({age(last, now)} ago)" if count and last else str(count)


def _gates(spec: Json, status: Json) -> str:
    gates = [one["conditionType"] for one in spec.get("readinessGates") or []]
    if not gates:
        return "<none>"
    true = {one["type"] for one in status.get("conditions") or [] if one.get("status") == "True"}
    return f"{sum(1 for gate in gates if gate in true)}/{len(gates)}"


def _service(service: Json, now: datetime) -> list[Any]:
    spec = service.get("spec") or {}
    return [
        service["metadata"]["name"],
        spec.get("type", ""),
        spec.get("clusterIP") or "<none>",
        _external_address(service),
        ",".join(_port(port) for port in spec.get("ports") or []) or "<none>",
        _created(service, now),
        _labels(spec.get("selector")),
    ]


def _external_address(service: Json) -> str:
    spec = service.get("spec") or {}
    fixed = ",".join(spec.get("externalIPs") or [])
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", ""))
    if spec.get("type") != "LoadBalancer":
        return fixed or "<none>"
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    given = ",".join(one.get("ip") or one.get("hostname", "") for one in ingress)
    return ",".join(filter(None, (given, fixed))) or "<pending>"


def _port(port: Json) -> str:
    outside = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{outside}/{port.get('protocol', 'TCP')}"


def _labels(labels: Json | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"


def _selector(selector: Json | None) -> str:
    parts = [_labels(selector["matchLabels"])] if selector and selector.get("matchLabels") else []
    for one in (selector or {}).get("matchExpressions") or []:
        values = f" ({','.join(sorted(one.get('values') or []))})" if one.get("values") else ""
        sign = {"In": " in", "NotIn": " notin"}.get(one["operator"], "")
        negation = "!" if one["operator"] == "DoesNotExist" else ""
        parts.append(f"{negation}{one['key']}{sign}{values}")
    return ",".join(parts) or "<none>"


def _containers(obj: Json) -> list[str]:
    containers = (((obj.get("spec") or {}).get("template") or {}).get("spec") or {}).get("containers") or []
    names = ",".join(one.get("name", "") for one in containers)
    return [names, ",".join(one.get("image", "") for one in containers)]


def _priority_class(one: Json, now: datetime) -> list[Any]:
    return [
        one["metadata"]["name"],
        one.get("value", 0),
        bool(one.get("globalDefault")),
        _created(one, now),
        one.get("preemptionPolicy", "PreemptLowerPriority"),
    ]


def _lease(lease: Json, now: datetime) -> list[Any]:
    holder = (lease.get("spec") or {}).get("holderIdentity", "")
    return [lease["metadata"]["name"], holder, _created(lease, now)]


def _daemon_set(one: Json, now: datetime) -> list[Any]:
    status, spec = one.get("status") or {}, one.get("spec") or {}
    counts = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady")
    more = ("updatedNumberScheduled", "numberAvailable")
    pod_spec = (spec.get("template") or {}).get("spec") or {}
    return [
        one["metadata"]["name"],
        *(status.get(name, 0) for name in counts + more),
        _labels(pod_spec.get("nodeSelector")),
        _created(one, now),
        *_containers(one),
        _selector(spec.get("selector")),
    ]


def _deployment(one: Json, now: datetime) -> list[Any]:
    status, spec = one.get("status") or {}, one.get("spec") or {}
    return [
        one["metadata"]["name"],
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        _created(one, now),
        *_containers(one),
        _selector(spec.get("selector")),
    ]


def _stateful_set(one: Json, now: datetime) -> list[Any]:
    status, spec = one.get("status") or {}, one.get("spec") or {}
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}"
    return [one["metadata"]["name"], ready, _created(one, now), *_containers(one)]


def _namespace(one: Json, now: datetime) -> list[Any]:
    return [one["metadata"]["name"], (one.get("status") or {}).get("phase", ""), _created(one, now)]


def _event(event: Json, now: datetime) -> list[Any]:
    about = event.get("involvedObject") or {}
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent", "")
    first = event.get("firstTimestamp") or event.get("eventTime")
    series = event.get("series") or {}
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or first
    return [
        age(last, now),
        event.get("type", ""),
        event.get("reason", ""),
        f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""),
        ", ".join(filter(None, (component, source.get("host", "")))),
        str(event.get("message", "")).strip(),
        age(first, now),
        series.get("count") or event.get("count") or 1,
        event["metadata"]["name"],
    ]


def _budget(one: Json, now: datetime) -> list[Any]:
    spec, status = one.get("spec") or {}, one.get("status") or {}
    return [
        one["metadata"]["name"],
        str(spec.get("minAvailable", "N/A")),
        str(spec.get("maxUnavailable", "N/A")),
        status.get("disruptionsAllowed", 0),
        _created(one, now),
    ]


def _snapshot(one: Json, _now: datetime) -> list[Any]:
    spec, status = one.get("spec") or {}, one.get("status") or {}
    return [
        one["metadata"]["name"],
        spec.get("snapshotName"),
        spec.get("nodeName"),
        spec.get("location"),
        status.get("size"),
        status.get("creationTime"),
    ]


def _named(one: Json, _now: datetime) -> list[Any]:
    return [one["metadata"]["name"], one["metadata"].get("creationTimestamp")]


def _columns(*described: str | Column) -> tuple[Column, ...]:
    """Columns from names; ``Name`` and ``Age`` are the well-known ones, ``+X`` is wide, ``#X`` a number."""
    columns: list[Column] = []
    for one in described:
        if isinstance(one, Column):
            columns.append(one)
        elif one == "Name":
            columns.append(Column("Name", _NAME, format="name"))
        elif one == "Age":
            columns.append(Column("Age", _AGE))
        else:
            kind = "integer" if "#" in one else "string"
            columns.append(Column(one.lstrip("+#"), type=kind, wide="+" in one))
    return tuple(columns)


def _wide(names: Iterable[str]) -> list[str]:
    return [f"+{name}" for name in names]


_DEFAULT = Printer(
    _columns("Name", Column("Created At", _AGE, type="date")),
    _named,
)

_PRINTERS: dict[str, Printer] = {
    "nodes": Printer(
        _columns(
            "Name",
            Column("Status", "The status of the node"),
            Column("Roles", "The roles of the node"),
            "Age",
            Column("Version", "Kubelet Version reported by the node."),
            Column("Internal-IP", _ADDRESSES, wide=True),
            Column("External-IP", _ADDRESSES, wide=True),
            Column(
                "OS-Image",
                "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy)).",
                wide=True,
            ),
            Column(
                "Kernel-Version",
                "Kernel Version reported by the node from 'uname -r' (e.g. 3.16.0-0.bpo.4-amd64).",
                wide=True,
            ),
            Column(
                "Container-Runtime",
                "ContainerRuntime Version reported by the node through runtime remote API "
                "(e.g. containerd://1.4.2).",
                wide=True,
            ),
        ),
        _node,
    ),
    "pods": Printer(
        _columns(
            "Name",
            "Ready",
            "Status",
            "Restarts",
            "Age",
            *_wide(("IP", "Node", "Nominated Node", "Readiness Gates")),
        ),
        _pod,
    ),
    "services": Printer(
        _columns("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "+Selector"), _service
    ),
    "priorityclasses.scheduling.k8s.io": Printer(
        _columns("Name", "#Value", Column("Global-Default", type="boolean"), "Age", "PreemptionPolicy"),
        _priority_class,
    ),
    "leases.coordination.k8s.io": Printer(_columns("Name", "Holder", "Age"), _lease),
    "daemonsets.apps": Printer(
        _columns(
            "Name",
            "#Desired",
            "#Current",
            "#Ready",
            "#Up-to-date",
            "#Available",
            "Node Selector",
            "Age",
            *_wide(("Containers", "Images", "Selector")),
        ),
        _daemon_set,
    ),
    "deployments.apps": Printer(
        _columns(
            "Name",
            "Ready",
            "Up-to-date",
            "Available",
            "Age",
            *_wide(("Containers", "Images", "Selector")),
        ),
        _deployment,
    ),
    "statefulsets.apps": Printer(
        _columns("Name", "Ready", "Age", *_wide(("Containers", "Images"))), _stateful_set
    ),
    "namespaces": Printer(_columns("Name", "Status", "Age"), _namespace),
    "events": Printer(
        _columns(
            "Last Seen",
            "Type",
            "Reason",
            "Object",
            *_wide(("Subobject", "Source")),
            "Message",
            *_wide(("First Seen", "#Count")),
            Column("Name", _NAME, format="name", wide=True),
        ),
        _event,
    ),
    "poddisruptionbudgets.policy": Printer(
        _columns("Name", "Min Available", "Max Unavailable", "#Allowed Disruptions", "Age"), _budget
    ),
    "etcdsnapshotfiles.k3s.cattle.io": Printer(
        _columns(
            "Name",
            "SnapshotName",
            "Node",
            "Location",
            "Size",
            Column("CreationTime", type="date"),
        ),
        _snapshot,
    ),
}
