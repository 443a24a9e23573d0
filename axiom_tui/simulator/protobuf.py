"""Request bodies in the API's protobuf encoding, as far as kubectl sends them: reviews, small creations.

Field numbers are those of the published ``generated.proto`` files of k8s.io/api and k8s.io/apimachinery.
Answers are always JSON, which every client accepts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from axiom_tui.simulator import statuses
from axiom_tui.simulator.statuses import Json

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"


@dataclass(frozen=True)
class _Field:
    """How to read one field: ``kind`` is text, number, flag, time, map, or message (then ``fields``)."""

    name: str
    kind: str = "text"
    fields: _Message | None = None
    repeated: bool = False


_Message = dict[int, _Field]

_METADATA: _Message = {
    1: _Field("name"),
    2: _Field("generateName"),
    3: _Field("namespace"),
    5: _Field("uid"),
    6: _Field("resourceVersion"),
    11: _Field("labels", "map"),
    12: _Field("annotations", "map"),
    14: _Field("finalizers", repeated=True),
}
_OBJECT_METADATA = _Field("metadata", "message", _METADATA)
_DELETE_OPTIONS: _Message = {
    1: _Field("gracePeriodSeconds", "number"),
    2: _Field("preconditions", "message", {1: _Field("uid"), 2: _Field("resourceVersion")}),
    4: _Field("propagationPolicy"),
    5: _Field("dryRun", repeated=True),
}
_RESOURCE_ATTRIBUTES: _Message = {
    1: _Field("namespace"),
    2: _Field("verb"),
    3: _Field("group"),
    4: _Field("version"),
    5: _Field("resource"),
    6: _Field("subresource"),
    7: _Field("name"),
}
_ACCESS_SPEC: _Message = {
    1: _Field("resourceAttributes", "message", _RESOURCE_ATTRIBUTES),
    2: _Field("nonResourceAttributes", "message", {1: _Field("path"), 2: _Field("verb")}),
}
_LEASE_SPEC: _Message = {
    1: _Field("holderIdentity"),
    2: _Field("leaseDurationSeconds", "number"),
    3: _Field("acquireTime", "time"),
    4: _Field("renewTime", "time"),
    5: _Field("leaseTransitions", "number"),
}
_MESSAGES: dict[str, _Message] = {
    "DeleteOptions": _DELETE_OPTIONS,
    "Eviction": {1: _OBJECT_METADATA, 2: _Field("deleteOptions", "message", _DELETE_OPTIONS)},
    "Lease": {1: _OBJECT_METADATA, 2: _Field("spec", "message", _LEASE_SPEC)},
    "Namespace": {1: _OBJECT_METADATA},
    "PriorityClass": {
        1: _OBJECT_METADATA,
        2: _Field("value", "number"),
        3: _Field("globalDefault", "flag"),
        4: _Field("description"),
        5: _Field("preemptionPolicy"),
    },
    "SelfSubjectAccessReview": {1: _OBJECT_METADATA, 2: _Field("spec", "message", _ACCESS_SPEC)},
    "SelfSubjectReview": {1: _OBJECT_METADATA},
    "SelfSubjectRulesReview": {
        1: _OBJECT_METADATA,
        2: _Field("spec", "message", {1: _Field("namespace")}),
    },
}


def decode(body: bytes) -> Json:
    """The object in a protobuf body; raises 415 for kinds that we read as JSON only, 400 for garbage."""
    if not body.startswith(_MAGIC):
        raise statuses.bad_request("provided data does not appear to be a protobuf message, expected prefix")
    try:
        envelope = dict(_fields(body[len(_MAGIC) :]))
        about = dict(_fields(_octets(envelope.get(1, b""))))
        kind, version = _octets(about.get(2, b"")).decode(), _octets(about.get(1, b"")).decode()
        if kind not in _MESSAGES:
            raise statuses.unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types include: "
                "application/json"
            )
        content = _read(_octets(envelope.get(2, b"")), _MESSAGES[kind])
    except (IndexError, ValueError, TypeError, OverflowError, OSError) as error:
        raise statuses.bad_request(f"unable to decode the protobuf body: {error}") from error
    return {"kind": kind, "apiVersion": version, **content}


def _read(content: bytes, message: _Message) -> Json:
    found: Json = {}
    for number, value in _fields(content):
        field = message.get(number)
        if field is None:
            continue
        if field.kind == "map":
            entry = dict(_fields(_octets(value)))
            key = _octets(entry.get(1, b"")).decode()
            found.setdefault(field.name, {})[key] = _octets(entry.get(2, b"")).decode()
        elif field.repeated:
            found.setdefault(field.name, []).append(_octets(value).decode())
        else:
            found[field.name] = _value(field, value)
    return found


def _value(field: _Field, value: int | bytes) -> object:
    match field.kind:
        case "number":
            return value
        case "flag":
            return bool(value)
        case "message":
            return _read(_octets(value), field.fields or {})
        case "time":
            parts = dict(_fields(_octets(value)))
            seconds, nanoseconds = _number(parts.get(1, 0)), _number(parts.get(2, 0))
            moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)
            return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case _:
            return _octets(value).decode()


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and raw value of each field: an int for varints, the bytes for everything else."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        match key & 7:
            case 0:
                value, at = _varint(content, at)
                yield key >> 3, value
            case 2:
                length, at = _varint(content, at)
                if at + length > len(content):
                    raise IndexError("a field ends behind the message")
                yield key >> 3, content[at : at + length]
                at += length
            case 1 | 5 as kind:
                width = 8 if kind == 1 else 4
                yield key >> 3, content[at : at + width]
                at += width
            case _:
                raise IndexError("unknown wire type")


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value - (1 << 64) if value >> 63 else value, at


def _octets(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise TypeError("a number where bytes belong")
    return value


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise TypeError("bytes where a number belongs")
    return value
