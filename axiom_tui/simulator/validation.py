"""What the API server refuses to store: bad names and labels, broken rules of a kind, immutable fields."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from axiom_tui.simulator import statuses
from axiom_tui.simulator.names import (
    dns_1035_problems,
    dns_label_problems,
    label_key_problems,
    label_value_problems,
    subdomain_problems,
)
from axiom_tui.simulator.patches import go_kind
from axiom_tui.simulator.resources import Resource
from axiom_tui.simulator.statuses import Json, cause

HIGHEST_USER_PRIORITY = 1_000_000_000
SYSTEM_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}

_IMMUTABLE = "field is immutable"
_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
_POD_MUTABLE = ("containers", "initContainers", "activeDeadlineSeconds", "tolerations")
_POD_RULE = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
    "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
    "previously negative)"
)


def check_types(resource: Resource, obj: Json) -> None:
    """Raise a `TypeMismatch` where a value cannot be read into the Go type of its field."""
    metadata = obj.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise TypeMismatch(go_kind(metadata), f"{resource.kind}.metadata", "v1.ObjectMeta")
    for name in ("labels", "annotations"):
        values = (metadata or {}).get(name)
        if values is not None and not isinstance(values, dict):
            raise TypeMismatch(go_kind(values), f"ObjectMeta.metadata.{name}", "map[string]string")
        for value in (values or {}).values():
            if not isinstance(value, str):
                raise TypeMismatch(go_kind(value), f"ObjectMeta.metadata.{name}", "string")
    if resource.plural == "leases":
        _check_lease_times(obj.get("spec") or {})


class TypeMismatch(Exception):
    """A value of the wrong type; the caller says it as a 400 (whole objects) or a 422 (patches)."""

    def __init__(self, found: str, field: str, wanted: str) -> None:
        super().__init__(f"json: cannot unmarshal {found} into Go struct field {field} of type {wanted}")


class BadTime(TypeMismatch):
    """A Lease time without its microseconds."""

    def __init__(self, text: str) -> None:
        rest = text[19:]
        Exception.__init__(
            self,
            f'parsing time "{text}" as "2006-01-02T15:04:05.000000Z07:00": '
            f'cannot parse "{rest or text}" as ".000000"',
        )


def _check_lease_times(spec: Json) -> None:
    for name in ("acquireTime", "renewTime"):
        value = spec.get(name)
        if value is not None and not _MICRO_TIME.fullmatch(str(value)):
            raise BadTime(str(value))
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and not isinstance(seconds, int):
        raise TypeMismatch(go_kind(seconds), "LeaseSpec.spec.leaseDurationSeconds", "int32")


def validate_new(resource: Resource, obj: Json) -> None:
    """Raise the 422 that names everything wrong with an object that is to be created."""
    causes = _names(resource, obj["metadata"]) + _labels(obj["metadata"]) + _rules(resource, obj, None)
    _raise(resource, obj["metadata"].get("name", ""), causes)


def validate_update(resource: Resource, live: Json, edited: Json) -> None:
    """Raise the 422 that names everything wrong with a change, immutable fields among it."""
    causes = _labels(edited["metadata"]) * resource.repeated_label_causes
    causes += _rules(resource, edited, live)
    _raise(resource, live["metadata"]["name"], causes)


def _raise(resource: Resource, name: str, causes: list[Json]) -> None:
    if causes:
        raise statuses.invalid(resource.kind, resource.group, name, causes)


def _names(resource: Resource, metadata: Json) -> list[Json]:
    name = metadata.get("name", "")
    if not name:
        return [
            cause(
                "FieldValueRequired",
                "Required value: name or generateName is required",
                "metadata.name",
            )
        ]
    checks = {"namespaces": dns_label_problems, "services": dns_1035_problems}
    problems = checks.get(resource.key, subdomain_problems)(name)
    return [_bad(name, problem, "metadata.name") for problem in problems]


def _labels(metadata: Json) -> list[Json]:
    causes: list[Json] = []
    for key, value in (metadata.get("labels") or {}).items():
        causes += [_bad(key, problem, "metadata.labels") for problem in label_key_problems(key)]
        causes += [_bad(value, problem, "metadata.labels") for problem in label_value_problems(value)]
    for key in metadata.get("annotations") or {}:
        problems = label_key_problems(key.lower())
        causes += [_bad(key, problem, "metadata.annotations") for problem in problems]
    return causes


def _rules(resource: Resource, obj: Json, live: Json | None) -> list[Json]:
    rules = {
        "priorityclasses.scheduling.k8s.io": _priority_class,
        "leases.coordination.k8s.io": _lease,
        "nodes": _node,
        "pods": _pod,
        "services": _service,
        "daemonsets.apps": _workload,
        "deployments.apps": _workload,
        "statefulsets.apps": _workload,
        "replicasets.apps": _workload,
    }
    rule = rules.get(resource.key)
    return rule(obj, live) if rule else []


def _priority_class(obj: Json, live: Json | None) -> list[Json]:
    value, name = obj.get("value", 0), obj["metadata"]["name"]
    if live is not None:
        causes: list[Json] = []
        if value != live.get("value", 0):
            causes.append(_no("may not be changed in an update.", "value"))
        if obj.get("preemptionPolicy") != live.get("preemptionPolicy"):
            causes.append(_bad(obj.get("preemptionPolicy"), _IMMUTABLE, "preemptionPolicy"))
        return causes
    if name.startswith("system-"):
        why = "priority class names with 'system-' prefix are reserved for system use only. error: "
        if name not in SYSTEM_PRIORITIES:
            return [_no(f"{why}{name} is not a known system priority class", "metadata.name")]
        if value != SYSTEM_PRIORITIES[name]:
            wanted = SYSTEM_PRIORITIES[name]
            return [_no(f"{why}value of {name} PriorityClass must be {wanted}", "metadata.name")]
    elif value > HIGHEST_USER_PRIORITY:
        limit = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        return [_no(limit, "value")]
    if obj.get("preemptionPolicy") not in ("PreemptLowerPriority", "Never"):
        return [
            _unsupported(obj.get("preemptionPolicy"), ("PreemptLowerPriority", "Never"), "preemptionPolicy")
        ]
    return []


def _lease(obj: Json, _live: Json | None) -> list[Json]:
    spec = obj.get("spec") or {}
    causes: list[Json] = []
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        causes.append(_bad(seconds, "must be greater than 0", "spec.leaseDurationSeconds"))
    if spec.get("leaseTransitions", 0) < 0:
        wrong = "must be greater than or equal to 0"
        causes.append(_bad(spec["leaseTransitions"], wrong, "spec.leaseTransitions"))
    return causes


def _node(obj: Json, live: Json | None) -> list[Json]:
    causes: list[Json] = []
    if live is not None:
        was = live.get("spec") or {}
        for name in ("providerID", "podCIDR"):
            if was.get(name) and (obj.get("spec") or {}).get(name) != was[name]:
                causes.append(_no("node updates may only change labels, taints, or capacity", f"spec.{name}"))
    effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
    for at, taint in enumerate((obj.get("spec") or {}).get("taints") or []):
        place = f"spec.taints[{at}]"
        key = taint.get("key", "")
        causes += [_bad(key, problem, f"{place}.key") for problem in label_key_problems(key)]
        if taint.get("effect") not in effects:
            causes.append(_unsupported(taint.get("effect", ""), effects, f"{place}.effect"))
    return causes


def _pod(obj: Json, live: Json | None) -> list[Json]:
    spec = obj.get("spec") or {}
    if live is None:
        if not spec.get("containers"):
            return [cause("FieldValueRequired", "Required value", "spec.containers")]
        return []
    was = live.get("spec") or {}
    if _fixed(spec) == _fixed(was):
        return []
    return [_no(_POD_RULE, "spec")]


def _fixed(spec: Json) -> Json:
    """The part of a pod's spec that no update may change."""
    fixed = {key: value for key, value in spec.items() if key not in _POD_MUTABLE}
    for kind in ("containers", "initContainers"):
        containers = [{**container, "image": ""} for container in spec.get(kind) or []]
        if containers:
            fixed[kind] = containers
    return fixed


def _service(obj: Json, live: Json | None) -> list[Json]:
    spec = obj.get("spec") or {}
    causes: list[Json] = []
    if live is not None:
        was, now = (live.get("spec") or {}).get("clusterIP"), spec.get("clusterIP")
        if was and was != "None" and now and now != was:
            causes.append(_bad([now], "may not change once set", "spec.clusterIPs[0]"))
    if not spec.get("ports") and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        causes.append(cause("FieldValueRequired", "Required value", "spec.ports"))
    return causes


def _workload(obj: Json, live: Json | None) -> list[Json]:
    selector = (obj.get("spec") or {}).get("selector")
    if live is not None:
        was = (live.get("spec") or {}).get("selector")
        return [] if selector == was else [_bad(selector, _IMMUTABLE, "spec.selector")]
    if not selector:
        return [cause("FieldValueRequired", "Required value", "spec.selector")]
    return []


def _no(why: str, field: str) -> Json:
    return cause("FieldValueForbidden", f"Forbidden: {why}", field)


def _bad(value: Any, why: str, field: str) -> Json:
    said = msgspec.json.encode(value).decode()
    return cause("FieldValueInvalid", f"Invalid value: {said}: {why}", field)


def _unsupported(value: Any, known: tuple[str, ...], field: str) -> Json:
    values = ", ".join(f'"{one}"' for one in sorted(known))
    said = f"Unsupported value: {msgspec.json.encode(value).decode()}: supported values: {values}"
    return cause("FieldValueNotSupported", said, field)
