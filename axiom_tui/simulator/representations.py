"""The forms in which objects go out: JSON as stored, Table, PartialObjectMetadata; single or as lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import msgspec

from axiom_tui.simulator import events, statuses, tables
from axiom_tui.simulator.resources import Resource
from axiom_tui.simulator.statuses import Json
from axiom_tui.simulator.stored import Stored

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_META_VERSION = "meta.k8s.io/v1"


class Form(Enum):
    OBJECT = "object"
    TABLE = "Table"
    PARTIAL = "PartialObjectMetadata"


class _MetadataOnly(msgspec.Struct):
    metadata: msgspec.Raw


_decode_metadata = msgspec.json.Decoder(_MetadataOnly).decode


def negotiate(accept: str) -> Form:
    """The form that a client's Accept header asks for first; raises 406 when we have none of them."""
    for media in (accept or "*/*").split(","):
        kind, *parameters = [part.strip() for part in media.split(";")]
        options = dict(part.split("=", 1) for part in parameters if "=" in part)
        if kind in ("*/*", "application/*", "application/json"):
            match options.get("as"):
                case None:
                    return Form.OBJECT
                case "Table":
                    return Form.TABLE
                case "PartialObjectMetadata" | "PartialObjectMetadataList":
                    return Form.PARTIAL
    raise statuses.not_acceptable()


class Representation:
    """Writes objects of one resource in one form. ``shift`` moves the heartbeats of nodes (clock skew)."""

    def __init__(
        self,
        resource: Resource,
        form: Form,
        now: datetime,
        *,
        include: str = "Metadata",
        shift: timedelta = timedelta(),
    ) -> None:
        self._resource = resource
        self._form = form
        self._now = now
        self._include = include
        self._shift = shift if resource.plural == "leases" else timedelta()
        self._printer = tables.printer(resource)
        kind, version = _encode(resource.kind), _encode(resource.api_version)
        self._head = (
            b'{"apiVersion":%b,"kind":%b,' % (version, kind)
            if resource.custom
            else b'{"kind":%b,"apiVersion":%b,' % (kind, version)
        )

    def one(self, stored: Stored) -> bytes:
        """A single object, as a GET or a watch event carries it."""
        match self._form:
            case Form.OBJECT:
                return self._whole(stored)
            case Form.PARTIAL:
                return self._partial(stored)
            case Form.TABLE:
                return b"".join(self._table([stored], {"resourceVersion": str(stored.version)}))

    def event(self, kind: str, stored: Stored, *, first: bool = False) -> bytes:
        """One line of a watch. Of Tables only the first names the columns."""
        if self._form is Form.TABLE:
            metadata = {"resourceVersion": str(stored.version)}
            body = b"".join(self._table([stored], metadata, columns=first))
        else:
            body = self.one(stored)
        return b'{"type":"%b","object":%b}\n' % (kind.encode(), body)

    def bookmark(self, version: int, *, initial_end: bool = False) -> bytes:
        """The line of a watch that only tells how far it is."""
        metadata: Json = {"resourceVersion": str(version)}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        body = _encode({"metadata": metadata, **self._resource.zero})
        return self.event("BOOKMARK", Stored("", "", version, {}, {}, body))

    def listing(self, found: Sequence[Stored], metadata: Json) -> list[bytes]:
        """A whole list, as pieces to be joined: the stored bytes are never copied here."""
        if self._form is Form.TABLE:
            return self._table(found, metadata)
        if self._form is Form.PARTIAL:
            head = {"kind": "PartialObjectMetadataList", "apiVersion": _META_VERSION, "metadata": metadata}
            return _joined(head, map(self._partial, found))
        if self._resource.custom:
            metadata = {"continue": "", **metadata}
        head = {
            "kind": f"{self._resource.kind}List",
            "apiVersion": self._resource.api_version,
            "metadata": metadata,
        }
        item = self._whole if self._resource.custom or self._resource.bare else self._bare
        return _joined(head, map(item, found))

    def _bare(self, stored: Stored) -> bytes:
        """The object without kind and apiVersion, as list items of built-in kinds are."""
        if self._resource.converted_from:
            return _encode(events.to_new(_decode(stored.body)))
        if self._shift and stored.namespace == "kube-node-lease":
            return _encode(_shifted(_decode(stored.body), self._shift))
        return stored.body

    def _whole(self, stored: Stored) -> bytes:
        return self._head + self._bare(stored)[1:]

    def _partial(self, stored: Stored) -> bytes:
        metadata = bytes(_decode_metadata(stored.body).metadata)
        return b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":%b}' % metadata

    def _table(self, found: Iterable[Stored], metadata: Json, *, columns: bool = True) -> list[bytes]:
        head = {
            "kind": "Table",
            "apiVersion": _META_VERSION,
            "metadata": metadata,
            "columnDefinitions": self._printer.definitions if columns else None,
        }
        return _joined(head, map(self._row, found), name="rows")

    def _row(self, stored: Stored) -> bytes:
        printable = _decode(stored.body)
        printable["metadata"].setdefault("name", "")
        cells = _encode(self._printer.cells(printable, self._now))
        if self._include == "None":
            return b'{"cells":%b}' % cells
        about = self._whole(stored) if self._include == "Object" else self._partial(stored)
        return b'{"cells":%b,"object":%b}' % (cells, about)


def _joined(head: Json, items: Iterable[bytes], name: str = "items") -> list[bytes]:
    pieces = [_encode(head)[:-1], b',"%b":[' % name.encode()]
    for at, item in enumerate(items):
        if at:
            pieces.append(b",")
        pieces.append(item)
    pieces.append(b"]}")
    return pieces


def _shifted(lease: Json, shift: timedelta) -> Json:
    spec = lease.get("spec") or {}
    for name in ("acquireTime", "renewTime"):
        if spec.get(name):
            moment = datetime.fromisoformat(spec[name].replace("Z", "+00:00")) + shift
            spec[name] = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return lease
