"""The cells of server-side printing, kind by kind: what ``kubectl get`` shows of an object."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from axiom_tui.simulator.statuses import Json


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


def node(node: Json, now: datetime) -> list[Any]:
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


def pod(pod: Json, now: datetime) -> list[Any]:
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


def service(service: Json, now: datetime) -> list[Any]:
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


def priority_class(one: Json, now: datetime) -> list[Any]:
    return [
        one["metadata"]["name"],
        one.get("value", 0),
        bool(one.get("globalDefault")),
        _created(one, now),
        one.get("preemptionPolicy", "PreemptLowerPriority"),
    ]


def lease(lease: Json, now: datetime) -> list[Any]:
    holder = (lease.get("spec") or {}).get("holderIdentity", "")
    return [lease["metadata"]["name"], holder, _created(lease, now)]


def daemon_set(one: Json, now: datetime) -> list[Any]:
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


def deployment(one: Json, now: datetime) -> list[Any]:
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


def stateful_set(one: Json, now: datetime) -> list[Any]:
    status, spec = one.get("status") or {}, one.get("spec") or {}
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}"
    return [one["metadata"]["name"], ready, _created(one, now), *_containers(one)]


def namespace(one: Json, now: datetime) -> list[Any]:
    return [one["metadata"]["name"], (one.get("status") or {}).get("phase", ""), _created(one, now)]


def event(event: Json, now: datetime) -> list[Any]:
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


def budget(one: Json, now: datetime) -> list[Any]:
    spec, status = one.get("spec") or {}, one.get("status") or {}
    return [
        one["metadata"]["name"],
        str(spec.get("minAvailable", "N/A")),
        str(spec.get("maxUnavailable", "N/A")),
        status.get("disruptionsAllowed", 0),
        _created(one, now),
    ]


def snapshot(one: Json, _now: datetime) -> list[Any]:
    spec, status = one.get("spec") or {}, one.get("status") or {}
    return [
        one["metadata"]["name"],
        spec.get("snapshotName"),
        spec.get("nodeName"),
        spec.get("location"),
        status.get("size"),
        status.get("creationTime"),
    ]


def named(one: Json, _now: datetime) -> list[Any]:
    return [one["metadata"]["name"], one["metadata"].get("creationTimestamp")]
