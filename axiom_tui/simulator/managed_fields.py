"""Who owns which field: managedFields of updates and server-side apply, after structured-merge-diff."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from axiom_tui.simulator.resources import Resource
from axiom_tui.simulator.statuses import Json

Path = tuple[str, ...]
FieldSet = set[Path]

# Lists whose items have an identity: field name -> the keys of that identity, as the published schema says
# (x-kubernetes-list-map-keys). All other lists are atomic: they are owned and replaced as one value.
_LIST_KEYS: dict[str, tuple[str, ...]] = {
    "conditions": ("type",),
    "addresses": ("type",),
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "secrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "ownerReferences": ("uid",),
}
_SET_LISTS = frozenset({"finalizers", "podCIDRs"})
_ATOMIC = frozenset(
    {"selector", "nodeSelector", "fieldRef", "resourceFieldRef", "configMapKeyRef"} | {"subsets"}
)
_UNOWNED = frozenset(
    {
        ("f:kind",),
        ("f:apiVersion",),
        ("f:metadata",),
        *(
            ("f:metadata", f"f:{name}")
            for name in (
                "name",
                "namespace",
                "generateName",
                "uid",
                "resourceVersion",
                "generation",
                "creationTimestamp",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
                "selfLink",
                "managedFields",
            )
        ),
    }
)


def list_keys(resource: Resource, name: str, items: list[Any]) -> tuple[str, ...]:
    """The keys that identify the items of a list field; empty when the list is atomic."""
    if resource.custom or not items or not all(isinstance(item, dict) for item in items):
        return ()
    if name == "ports":
        first = "containerPort" if "containerPort" in items[0] else "port"
        return (first, "protocol")
    return _LIST_KEYS.get(name, ())


def is_atomic(name: str) -> bool:
    """Whether a map field is owned and replaced as one value."""
    return name in _ATOMIC


def is_set(resource: Resource, name: str) -> bool:
    """Whether a list field is a set of values, each owned by itself."""
    return name in _SET_LISTS and not resource.custom


def item_key(item: Json, keys: tuple[str, ...]) -> str:
    """``k:{"port":80,"protocol":"TCP"}``; a missing protocol is TCP, as the schema's default says."""
    values = {key: item.get(key, "TCP" if key == "protocol" else None) for key in sorted(keys)}
    return "k:" + msgspec.json.encode(values).decode()


def created(resource: Resource, obj: Json, manager: str, operation: str, time: str) -> list[Json]:
    """managedFields of a new object, all owned by its creator."""
    if operation == "Apply":
        owned = applied_set(resource, obj)
    else:
        owned = _changed(resource, {"metadata": {}, **resource.zero}, obj)
    return _entries({(manager, operation, ""): (owned, time)}, resource)


def updated(
    resource: Resource, live: Json, edited: Json, manager: str, time: str, *, subresource: str = ""
) -> Json:
    """``edited`` with managedFields after an update: what changed now belongs to ``manager`` alone."""
    changed = _changed(resource, live, edited)
    removed = _changed(resource, edited, live)
    owners = read(live["metadata"].get("managedFields", []))
    mine = (manager, "Update", subresource)
    for who, (owned, when) in list(owners.items()):
        if who != mine:
            owners[who] = (owned - changed - (removed - changed), when)
    before = owners.get(mine, (set(), time))
    now = (before[0] | changed) - (removed - changed)
    owners[mine] = (now, before[1] if now == before[0] else time)
    edited["metadata"]["managedFields"] = _entries(owners, resource)
    if not edited["metadata"]["managedFields"]:
        del edited["metadata"]["managedFields"]
    return edited


def applied_set(resource: Resource, config: Json) -> FieldSet:
    """All fields that an applied configuration speaks of."""
    return {path for path in _leaves(resource, config, (), "") if path not in _UNOWNED}


Owner = tuple[str, str, str]  # manager, operation, subresource


def read(entries: list[Json]) -> dict[Owner, tuple[FieldSet, str]]:
    """managedFields as sets of paths with the time of each entry."""
    owners: dict[Owner, tuple[FieldSet, str]] = {}
    for entry in entries:
        who = (entry.get("manager", ""), entry.get("operation", ""), entry.get("subresource", ""))
        owners[who] = (set(_paths(entry.get("fieldsV1", {}), ())), entry.get("time", ""))
    return owners


def write(owners: dict[Owner, tuple[FieldSet, str]], resource: Resource) -> list[Json]:
    """The entries for these owners; one that owns nothing has none."""
    return _entries(owners, resource)


def same_but_times(one: Json, other: Json) -> bool:
    """Whether two objects differ in nothing but the times of their managedFields."""
    return _without_times(one) == _without_times(other)


def _without_times(obj: Json) -> Json:
    metadata = dict(obj["metadata"])
    entries = metadata.pop("managedFields", None) or []
    metadata["managedFields"] = [{**entry, "time": ""} for entry in entries]
    return {**obj, "metadata": metadata}


def _entries(owners: dict[Owner, tuple[FieldSet, str]], resource: Resource) -> list[Json]:
    rows = [(who, owned, time) for who, (owned, time) in owners.items() if owned]
    rows.sort(key=lambda row: (row[0][1], row[2], row[0][0], row[0][2]))
    entries: list[Json] = []
    for (manager, operation, subresource), owned, time in rows:
        entry: Json = {
            "manager": manager,
            "operation": operation,
            "apiVersion": resource.api_version,
            "time": time,
            "fieldsType": "FieldsV1",
            "fieldsV1": _tree(owned),
        }
        if subresource:
            entry["subresource"] = subresource
        entries.append(entry)
    return entries


def _paths(tree: Json, at: Path) -> Iterator[Path]:
    """The paths of a fieldsV1 tree: its leaves, and each place marked with a dot."""
    for name, below in tree.items():
        if name == ".":
            yield at
        elif below:
            yield from _paths(below, (*at, name))
        else:
            yield (*at, name)


def _tree(owned: FieldSet) -> Json:
    tree: Json = {}
    for path in sorted(owned):
        place = tree
        for depth, name in enumerate(path):
            if name not in place:
                place[name] = {}
            elif path[: depth + 1] in owned and depth + 1 < len(path):
                place[name].setdefault(".", {})
            place = place[name]
    return tree


def _leaves(resource: Resource, value: Any, at: Path, name: str) -> Iterator[Path]:
    """Every owned path of an applied value: leaves, empty containers, and each item of a keyed list."""
    if isinstance(value, dict) and value and name not in _ATOMIC:
        for key, below in value.items():
            yield from _leaves(resource, below, (*at, f"f:{key}"), key)
        return
    if isinstance(value, list) and value:
        if is_set(resource, name):
            for item in value:
                yield (*at, "v:" + msgspec.json.encode(item).decode())
            return
        keys = list_keys(resource, name, value)
        if keys:
            for item in value:
                place = (*at, item_key(item, keys))
                yield place
                if name != "ownerReferences":
                    for key, below in item.items():
                        yield from _leaves(resource, below, (*place, f"f:{key}"), key)
            return
    if at:
        yield at


def _changed(resource: Resource, old: Any, new: Any) -> FieldSet:
    return {path for path in _differences(resource, old, new, (), "") if path not in _UNOWNED}


def _differences(resource: Resource, old: Any, new: Any, at: Path, name: str) -> Iterator[Path]:
    """Paths that are in ``new`` and not, or otherwise, in ``old``."""
    if old == new and not (old is None and at):
        return
    if new is None:
        return
    if isinstance(new, dict) and name not in _ATOMIC:
        if not isinstance(old, dict):
            yield at  # a map that was not there is owned itself, beside its fields
            old = {}
        for key, below in new.items():
            yield from _differences(resource, old.get(key), below, (*at, f"f:{key}"), key)
        return
    if isinstance(new, list) and new:
        keys = list_keys(resource, name, new)
        if keys or is_set(resource, name):
            if old is None and not _is_null_in_zero(resource, at):
                yield at
            yield from _items(resource, old or [], new, at, name, keys)
            return
    yield at


def _is_null_in_zero(resource: Resource, at: Path) -> bool:
    """Whether an empty object writes this list as null (``containers``): then it is never new."""
    place: Any = resource.zero
    for part in at:
        if not isinstance(place, dict) or part[2:] not in place:
            return False
        place = place[part[2:]]
    return place is None


def _items(
    resource: Resource, old: list[Any], new: list[Any], at: Path, name: str, keys: tuple[str, ...]
) -> Iterator[Path]:
    if not keys:
        for item in new:
            if item not in old:
                yield (*at, "v:" + msgspec.json.encode(item).decode())
        return
    before = {item_key(item, keys): item for item in old}
    for item in new:
        place = item_key(item, keys)
        if place not in before:
            yield (*at, place)
        if name != "ownerReferences":
            earlier = before.get(place, {})
            for key, below in item.items():
                yield from _differences(resource, earlier.get(key), below, (*at, place, f"f:{key}"), key)
