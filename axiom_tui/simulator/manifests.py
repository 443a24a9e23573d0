"""Parts of Kubernetes objects that every builder of the simulated world uses.

Every builder gives a new object as a plain dict. Shapes: Kubernetes 1.33.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

Manifest = dict[str, Any]

_UIDS = uuid.UUID("5a9d2a52-6a0e-4f6e-9a3a-1c3c0b1d7c11")


def uid(*parts: str) -> str:
    """The same uid for the same object in every run."""
    return str(uuid.uuid5(_UIDS, "/".join(parts)))


def stamp(moment: datetime) -> str:
    """A metav1.Time: RFC 3339 in whole seconds, UTC."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_stamp(moment: datetime) -> str:
    """A metav1.MicroTime."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def metadata(name: str, created: datetime, *kind: str, namespace: str = "", **rest: Any) -> Manifest:
    result: Manifest = {"name": name}
    if namespace:
        result["namespace"] = namespace
    result["uid"] = uid(*kind, namespace, name)
    result["creationTimestamp"] = stamp(created)
    result.update(rest)
    return result


def condition(kind: str, status: str, reason: str, message: str, since: str, beat: str) -> Manifest:
    return {
        "type": kind,
        "status": status,
        "lastHeartbeatTime": beat,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    }


def namespace(name: str, created: datetime, labels: Mapping[str, str] | None = None) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": metadata(
            name, created, "namespace", labels={"kubernetes.io/metadata.name": name, **(labels or {})}
        ),
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def priority_class(name: str, value: int, created: datetime, description: str) -> Manifest:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": metadata(name, created, "priorityclass", generation=1),
        "value": value,
        "description": description,
        "preemptionPolicy": "PreemptLowerPriority",
    }
