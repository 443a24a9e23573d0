"""What a request asks for: the path and the query of the Kubernetes API, taken apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from axiom_tui.simulator import statuses
from axiom_tui.simulator.access import Question

_NAMESPACE_PARTS = ("status", "finalize")


@dataclass(frozen=True)
class Target:
    """The resource that a path names; ``resource`` is empty for other paths (``/version``)."""

    path: str
    group: str = ""
    version: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""


@dataclass(frozen=True)
class Query:
    """The query parameters. A boolean is true as Go's strconv says (``true``, ``True``, ``1``, ``t``)."""

    values: dict[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        return self.values.get(name, "")

    def flag(self, name: str) -> bool:
        return self.values.get(name, "") in ("1", "t", "T", "TRUE", "true", "True")

    def number(self, name: str) -> int:
        text = self.values.get(name, "")
        if not text:
            return 0
        if not text.isdigit():
            raise statuses.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        return int(text)


def parse(target: str) -> tuple[Target, Query]:
    """Take the request's target apart."""
    url = urlsplit(target)
    query = Query(dict(parse_qsl(url.query, keep_blank_values=True)))
    path = url.path if url.path == "/" else url.path.rstrip("/")
    parts = [unquote(part) for part in path.split("/")[1:]]
    if parts[0] == "api" and len(parts) > 2:
        return _resource(path, "", parts[1], parts[2:]), query
    if parts[0] == "apis" and len(parts) > 3:
        return _resource(path, parts[1], parts[2], parts[3:]), query
    return Target(path), query


def _resource(path: str, group: str, version: str, parts: list[str]) -> Target:
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2 and parts[2] not in _NAMESPACE_PARTS:
        namespace, parts = parts[1], parts[2:]
    elif parts[0] == "namespaces" and len(parts) > 1 and not group:
        namespace = parts[1]  # a namespace's own rights are asked for in that namespace
    resource, name, *rest = [*parts, ""] if len(parts) == 1 else parts
    return Target(path, group, version, resource, namespace, name, "/".join(rest))


def question(method: str, target: Target, query: Query) -> Question:
    """What the authorizer is asked."""
    if not target.resource:
        return Question("get" if method == "GET" else method.lower(), path=target.path)
    verbs = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
    verb = verbs.get(method, "get")
    if method in ("GET", "HEAD") and not target.name:
        verb = "watch" if query.flag("watch") else "list"
    elif method == "DELETE" and not target.name:
        verb = "deletecollection"
    return Question(verb, target.group, target.resource, target.subresource, target.namespace, target.name)
