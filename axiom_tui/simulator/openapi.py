"""Just enough OpenAPI for kubectl: which writes there are and which parameters they take, no schemas.

kubectl then validates nothing by itself and leaves it to the server, and it knows that the server can do
dry runs and field validation.
"""

from __future__ import annotations

from collections.abc import Iterable

from axiom_tui.simulator.resources import REVIEWS, Resource
from axiom_tui.simulator.statuses import Json

V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation", "force")
_INFO = {"title": "Kubernetes", "version": "unversioned"}
_KIND_EXTENSION = "x-kubernetes-group-version-kind"


def version_2(registered: Iterable[Resource]) -> Json:
    """The body of ``/openapi/v2`` as JSON."""
    paths = {
        _path(one): {
            "patch": {
                "parameters": [{"name": name, "in": "query", "type": "string"} for name in _PARAMETERS],
                "responses": {"200": {"description": "OK"}},
                _KIND_EXTENSION: _kind(one),
            }
        }
        for one in _patchable(registered)
    }
    return {"swagger": "2.0", "info": _INFO, "paths": paths, "definitions": {}}


def version_2_protobuf(registered: Iterable[Resource]) -> bytes:
    """The same as kubectl reads it: the message ``openapi.v2.Document`` of gnostic's OpenAPIv2.proto."""
    info = _text(1, _INFO["title"]) + _text(2, _INFO["version"])
    # Each nested number below is a field of: NonBodyParameter, Parameter, ParametersItem, Operation.
    parameters = b"".join(
        _bytes(8, _bytes(1, _bytes(2, _bytes(3, _text(2, "query") + _text(4, name))))) for name in _PARAMETERS
    )
    paths = b""
    for one in _patchable(registered):
        kind = "".join(f"{key}: '{value}'\n" for key, value in _kind(one).items())
        extension = _bytes(13, _text(1, _KIND_EXTENSION) + _bytes(2, _text(2, kind)))
        item = _bytes(8, parameters + extension)
        paths += _bytes(2, _text(1, _path(one)) + _bytes(2, item))
    return _text(1, "2.0") + _bytes(2, info) + _bytes(8, paths)


def version_3_index(registered: Iterable[Resource]) -> Json:
    """The body of ``/openapi/v3``: where the documents of the groups are."""
    roots = dict.fromkeys(_root(one) for one in [*registered, *REVIEWS])
    return {"paths": {root: {"serverRelativeURL": f"/openapi/v3/{root}?hash=0"} for root in roots}}


def version_3(registered: Iterable[Resource], root: str) -> Json | None:
    """One group's document (``api/v1``, ``apis/apps/v1``), or None when there is no such group."""
    known = list(registered)
    if root not in {_root(one) for one in [*known, *REVIEWS]}:
        return None
    paths = {
        _path(one): {
            "patch": {
                "parameters": [
                    {"name": name, "in": "query", "schema": {"type": "string"}} for name in _PARAMETERS
                ],
                "responses": {"200": {"description": "OK"}},
                "x-kubernetes-action": "patch",
                _KIND_EXTENSION: _kind(one),
            }
        }
        for one in _patchable(known)
        if _root(one) == root
    }
    return {"openapi": "3.0.0", "info": _INFO, "paths": paths, "components": {"schemas": {}}}


def _patchable(registered: Iterable[Resource]) -> list[Resource]:
    return [one for one in registered if "patch" in one.verbs]


def _root(resource: Resource) -> str:
    return f"apis/{resource.group}/{resource.version}" if resource.group else f"api/{resource.version}"


def _path(resource: Resource) -> str:
    place = "/namespaces/{namespace}" if resource.namespaced else ""
    return f"/{_root(resource)}{place}/{resource.plural}/{{name}}"


def _kind(resource: Resource) -> dict[str, str]:
    return {"group": resource.group, "kind": resource.kind, "version": resource.version}


def _text(number: int, text: str) -> bytes:
    return _bytes(number, text.encode())


def _bytes(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return bytes((number << 3 | 2,)) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    octets = bytearray()
    while value > 127:
        octets.append(value & 127 | 128)
        value >>= 7
    return bytes((*octets, value))
