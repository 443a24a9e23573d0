"""How objects are kept: encoded once, with what selectors need beside; and the changes of the history."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from axiom_tui.simulator.resources import Resource
from axiom_tui.simulator.statuses import Json

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_METADATA_ORDER = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)


@dataclass(frozen=True, slots=True)
class Stored:
    """One object as it is kept: the encoded bytes (without kind and apiVersion) and what selectors need."""

    name: str
    namespace: str
    version: int
    labels: Mapping[str, str]
    fields: Mapping[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Change:
    """One step of the history. ``stored`` is the object after it (for DELETED: its last state with the
    version of the deletion), ``previous`` the one before (none for ADDED)."""

    version: int
    type: str
    plural: str
    stored: Stored
    previous: Stored | None


class Table:
    """All objects of one resource, their keys in the order of etcd."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.objects: dict[str, Stored] = {}
        self.keys: list[str] = []

    def put(self, stored: Stored) -> None:
        key = stored.key
        if key not in self.objects:
            bisect.insort(self.keys, key)
        self.objects[key] = stored

    def drop(self, key: str) -> None:
        del self.objects[key]
        del self.keys[bisect.bisect_left(self.keys, key)]


def decode(resource: Resource, stored: Stored) -> Json:
    """A fresh object, with kind and apiVersion."""
    return {"kind": resource.kind, "apiVersion": resource.api_version, **_decode(stored.body)}


def encode(resource: Resource, obj: Json, version: int) -> Stored:
    """The object as it is kept."""
    metadata = obj["metadata"]
    selectable = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
    for name, path in resource.selectable.items():
        selectable[name] = _field(obj, path)
    rest = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
    return Stored(
        metadata["name"],
        metadata.get("namespace", "") if resource.namespaced else "",
        version,
        metadata.get("labels") or {},
        selectable,
        _encode(rest),
    )


def ordered(resource: Resource, obj: Json) -> Json:
    """The object with kind, apiVersion and metadata first, as the server writes it; empty metadata goes."""
    metadata = obj["metadata"]
    for key in [key for key, value in metadata.items() if value in (None, "", {}, [])]:
        del metadata[key]
    first = {key: metadata[key] for key in _METADATA_ORDER if key in metadata}
    return {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": {**first, **metadata},
        **{key: value for key, value in obj.items() if key not in ("kind", "apiVersion", "metadata")},
    }


def with_generation(resource: Resource, live: Json, edited: Json, *, subresource: str = "") -> Json:
    """``edited`` with its generation: one more when the spec changed."""
    if resource.has_generation and subresource != "status":
        changed = live.get("spec") != edited.get("spec")
        edited["metadata"]["generation"] = live["metadata"].get("generation", 1) + changed
    return edited


def with_version(stored: Stored, version: int) -> Stored:
    """The same object under another version: what a watcher sees of one that leaves its selection."""
    body = _decode(stored.body)
    body["metadata"]["resourceVersion"] = str(version)
    return replace(stored, version=version, body=_encode(body))


def _field(obj: Json, path: str) -> str:
    value: Any = obj
    for part in path.split("."):
        if not isinstance(value, dict):
            return ""
        value = value.get(part)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
