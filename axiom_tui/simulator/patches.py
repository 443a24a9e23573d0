"""Merge, strategic merge and JSON patches, as the API server applies them."""

from __future__ import annotations

from typing import Any

import msgspec

from axiom_tui.simulator import statuses
from axiom_tui.simulator.resources import Resource
from axiom_tui.simulator.statuses import Json

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

# patchStrategy=merge of the published types: list field -> patchMergeKey. A node's taints and a pod's
# tolerations have none, they are replaced as a whole.
_MERGE_KEYS = {
    "conditions": "type",
    "addresses": "type",
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
    "secrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "ownerReferences": "uid",
}
_MERGED_VALUES = frozenset({"finalizers", "podCIDRs"})


def apply_patch(resource: Resource, live: Json, content_type: str, body: bytes) -> Json:
    """The object that a (not server-side apply) patch makes of ``live``, which is changed in place."""
    if content_type == JSON_PATCH:
        return json_patch(live, _decode_operations(body))
    if content_type == STRATEGIC_PATCH and resource.custom:
        raise statuses.unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: "
            f"{JSON_PATCH}, {MERGE_PATCH}, {APPLY_PATCH}"
        )
    patch = decode_object(body, "error decoding patch: ")
    if content_type == STRATEGIC_PATCH:
        return strategic_merge(live, patch)
    merged: Json = merge(live, patch)
    return merged


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386: null deletes, lists are replaced."""
    if not isinstance(patch, dict):
        return patch
    merged = target if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def strategic_merge(target: Json, patch: Json) -> Json:
    """As a merge, but lists with a merge key are merged item by item; knows the ``$patch`` directives."""
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: value for key, value in patch.items() if not key.startswith("$")}
    if directive == "delete":
        return {}
    retained = patch.get("$retainKeys")
    if isinstance(retained, list):
        target = {key: value for key, value in target.items() if key in retained}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            target[name] = [item for item in target.get(name) or [] if item not in value]
        elif key.startswith("$"):
            continue  # $setElementOrder only says how a list is sorted; ours keeps the order it has
        elif value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            below = target.get(key)
            target[key] = strategic_merge(below if isinstance(below, dict) else {}, value)
        elif isinstance(value, list):
            target[key] = _merge_list(key, target.get(key) or [], value)
        else:
            target[key] = value
    return target


def merge_key(name: str, items: list[Any]) -> str:
    """The patch merge key of a list field; empty when the list is replaced."""
    if name == "ports" and items and isinstance(items[0], dict):
        return "containerPort" if "containerPort" in items[0] else "port"
    return _MERGE_KEYS.get(name, "")


def _merge_list(name: str, live: list[Any], patch: list[Any]) -> list[Any]:
    if name in _MERGED_VALUES:
        return [*live, *(item for item in patch if item not in live)]
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    key = merge_key(name, patch)
    if not key:
        return patch
    merged = list(live)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            message = f"map: {item} does not contain declared merge key: {key}"
            raise statuses.ApiError(500, "InternalError", message, {})
        place = next((at for at, one in enumerate(merged) if one.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            if place is not None:
                del merged[place]
        elif place is None:
            merged.append({part: value for part, value in item.items() if part != "$patch"})
        else:
            merged[place] = strategic_merge(merged[place], item)
    return merged


def json_patch(target: Json, operations: list[Json]) -> Json:
    """RFC 6902. Whatever fails, a ``test`` or a missing path, is the same 422 without a reason."""
    document: Any = {"root": target}
    for operation in operations:
        try:
            _operate(document, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise statuses.rejected() from error
    root = document["root"]
    if not isinstance(root, dict):
        raise statuses.rejected()
    return root


def _operate(document: Any, operation: Json) -> None:
    path = _pointer(operation["path"])
    match operation["op"]:
        case "add":
            _add(document, path, operation["value"])
        case "remove":
            _remove(document, path)
        case "replace":
            _remove(document, path)
            _add(document, path, operation["value"])
        case "move":
            _add(document, path, _remove(document, _pointer(operation["from"])))
        case "copy":
            value = _read(document, _pointer(operation["from"]))
            _add(document, path, msgspec.json.decode(msgspec.json.encode(value)))
        case "test":
            if _read(document, path) != operation.get("value"):
                raise ValueError("test failed")
        case other:
            raise ValueError(other)


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise ValueError(text)
    parts = text.split("/")[1:]
    return ["root", *(part.replace("~1", "/").replace("~0", "~") for part in parts)]


def _read(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def _add(document: Any, path: list[str], value: Any) -> None:
    parent = _read(document, path[:-1])
    if isinstance(parent, list):
        at = len(parent) if path[-1] == "-" else int(path[-1])
        if not 0 <= at <= len(parent):
            raise IndexError(at)
        parent.insert(at, value)
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise TypeError(path)


def _remove(document: Any, path: list[str]) -> Any:
    parent = _read(document, path[:-1])
    return parent.pop(int(path[-1])) if isinstance(parent, list) else parent.pop(path[-1])


def decode_object(body: bytes, prefix: str) -> Json:
    """A JSON object, or the 400 that says in Go's words what came instead."""
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise statuses.bad_request(f"{prefix}{syntax_error(body)}") from error
    if not isinstance(value, dict):
        raise statuses.bad_request(
            f"{prefix}json: cannot unmarshal {go_kind(value)} into Go value of type map[string]interface {{}}"
        )
    return value


def _decode_operations(body: bytes) -> list[Json]:
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise statuses.bad_request(f"error decoding patch: {syntax_error(body)}") from error
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise statuses.bad_request(
            f"error decoding patch: json: cannot unmarshal {go_kind(value)} "
            "into Go value of type jsonpatch.Patch"
        )
    return value


def syntax_error(body: bytes) -> str:
    """What Go's encoding/json says of text that is no JSON, as far as its first byte tells."""
    text = body.strip()
    if not text or text[:1] in b'{["tfn-0123456789':
        return "unexpected end of JSON input"
    letter = chr(text[0])
    if not letter.isprintable() or text[0] > 126:
        letter = f"\\u{text[0]:04x}" if text[0] > 126 else f"\\x{text[0]:02x}"
    return f"invalid character '{letter}' looking for beginning of value"


def go_kind(value: Any) -> str:
    """The name of a JSON type in Go's messages."""
    kinds = {list: "array", str: "string", bool: "bool", dict: "object", type(None): "null"}
    return kinds.get(type(value), "number")
