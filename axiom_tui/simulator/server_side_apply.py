"""Server-side apply: merge an applied configuration by field ownership, with its conflicts."""

from __future__ import annotations

from typing import Any

import msgspec

from axiom_tui.simulator import managed_fields, statuses
from axiom_tui.simulator.managed_fields import FieldSet, Owner, Path
from axiom_tui.simulator.resources import Resource
from axiom_tui.simulator.statuses import Json

_MISSING = object()


def apply(
    resource: Resource,
    live: Json,
    config: Json,
    manager: str,
    time: str,
    *,
    force: bool = False,
    subresource: str = "",
) -> Json:
    """The object after ``manager`` applied ``config`` to ``live`` (changed in place); raises the 409.

    Fields that the manager applied before and no longer names go, unless somebody else owns them too.
    """
    owners = managed_fields.read(live["metadata"].get("managedFields", []))
    mine: Owner = (manager, "Apply", subresource)
    applied = managed_fields.applied_set(resource, config)
    others = {who: entry for who, entry in owners.items() if who != mine}
    changed = {path for path in applied if _differs(resource, live, config, path)}

    conflicts = [
        (who, path) for who, (owned, _) in sorted(others.items()) for path in sorted(owned & changed)
    ]
    if conflicts and not force:
        raise _conflict(conflicts, others, resource)

    owned_by_others: FieldSet = set().union(*(owned for owned, _ in others.values()))
    before, applied_at = owners.get(mine, (set(), time))
    for path in sorted(before - applied, key=len, reverse=True):
        if not any(other[: len(path)] == path for other in owned_by_others):
            _remove(live, path)
    merged: Json = _merge(resource, live, config, "")

    for who, (owned, when) in others.items():
        owners[who] = (owned - changed, when)
    owners[mine] = (applied, applied_at if applied == before else time)
    merged["metadata"]["managedFields"] = managed_fields.write(owners, resource)
    return merged


def _differs(resource: Resource, live: Json, config: Json, path: Path) -> bool:
    wanted = _value(config, path)
    if wanted == {} or (path and path[-1].startswith("k:")):
        return False  # an empty map, or the bare existence of an item, changes nothing by itself
    return bool(_value(live, path) != wanted)


def _value(place: Any, path: Path) -> Any:
    for part in path:
        kind, name = part[:2], part[2:]
        if kind == "f:":
            if not isinstance(place, dict) or name not in place:
                return _MISSING
            place = place[name]
        else:
            at = _item(place, part)
            if at is None:
                return _MISSING
            place = place[at]
    return place


def _item(items: Any, part: str) -> int | None:
    """Where in a list the item of ``k:{...}`` or ``v:...`` is."""
    if not isinstance(items, list):
        return None
    wanted = msgspec.json.decode(part[2:])
    for at, item in enumerate(items):
        if part.startswith("v:"):
            if item == wanted:
                return at
        elif isinstance(item, dict) and managed_fields.item_key(item, tuple(wanted)) == part:
            return at
    return None


def _remove(live: Json, path: Path) -> None:
    parent = _value(live, path[:-1])
    if isinstance(parent, dict):
        parent.pop(path[-1][2:], None)
    elif isinstance(parent, list):
        at = _item(parent, path[-1])
        if at is not None:
            del parent[at]


def _merge(resource: Resource, live: Any, config: Any, name: str) -> Any:
    if isinstance(config, dict) and isinstance(live, dict) and not managed_fields.is_atomic(name):
        for key, value in config.items():
            live[key] = _merge(resource, live[key], value, key) if key in live else value
        return live
    if isinstance(config, list) and isinstance(live, list):
        keys = managed_fields.list_keys(resource, name, config)
        if keys:
            for item in config:
                at = _item(live, managed_fields.item_key(item, keys))
                if at is None:
                    live.append(item)
                else:
                    live[at] = _merge(resource, live[at], item, "")
            return live
        if managed_fields.is_set(resource, name):
            return [*live, *(item for item in config if item not in live)]
    return config


def _conflict(
    conflicts: list[tuple[Owner, Path]],
    others: dict[Owner, tuple[FieldSet, str]],
    resource: Resource,
) -> statuses.ApiError:
    said = [(_who(who, others[who][1], resource), _path(path)) for who, path in conflicts]
    causes = [statuses.cause("FieldManagerConflict", f"conflict with {who}", path) for who, path in said]
    if len(said) == 1:
        summary = f"Apply failed with 1 conflict: conflict with {said[0][0]}: {said[0][1]}"
    else:
        lines: list[str] = []
        for who in sorted({who for who, _ in said}):
            lines.append(f"conflicts with {who}:")
            lines += [f"- {path}" for owner, path in said if owner == who]
        summary = f"Apply failed with {len(said)} conflicts: " + "\n".join(lines)
    return statuses.ApiError(409, "Conflict", summary, {"causes": causes})


def _who(owner: Owner, time: str, resource: Resource) -> str:
    manager, operation, subresource = owner
    said = f'"{manager}"' + (f' with subresource "{subresource}"' if subresource else "")
    return f"{said} using {resource.api_version} at {time}" if operation == "Update" else said


def _path(path: Path) -> str:
    """``.status.conditions[type="Ready"].status``, as structured-merge-diff prints a path."""
    said = ""
    for part in path:
        if part.startswith("f:"):
            said += f".{part[2:]}"
        elif part.startswith("k:"):
            keys = msgspec.json.decode(part[2:])
            said += (
                "["
                + ",".join(f"{key}={msgspec.json.encode(value).decode()}" for key, value in keys.items())
                + "]"
            )
        else:
            said += f"[={part[2:]}]"
    return said
