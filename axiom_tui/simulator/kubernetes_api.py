"""The Kubernetes API of the embedded Axiom: HTTPS on loopback, in front of an `ObjectStore`."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

from axiom_tui.simulator import discovery, openapi, statuses
from axiom_tui.simulator.access import BAD_TOKEN, Access, Identity, review
from axiom_tui.simulator.faults import Fault, Faults
from axiom_tui.simulator.https_server import Answer, Cut, HttpsServer, Request
from axiom_tui.simulator.pki import Authority, KeyPair
from axiom_tui.simulator.reads import Reader
from axiom_tui.simulator.requests import Query, Target, parse, question
from axiom_tui.simulator.resources import REVIEWS, Resource
from axiom_tui.simulator.statuses import ApiError, Json, PlainTextError
from axiom_tui.simulator.store import ObjectStore
from axiom_tui.simulator.validation import SYSTEM_PRIORITIES
from axiom_tui.simulator.writes import Writer, decode_body

_HEALTH = ("/healthz", "/livez", "/readyz")
_TEXT = "text/plain; charset=utf-8"
_SYSTEM_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_SYSTEM_CLASS_TEXTS = {
    "system-node-critical": "must not be moved from their current node.",
    "system-cluster-critical": "must run in the cluster, but can be moved to another node if necessary.",
}


class KubernetesServer:
    """An API server on 127.0.0.1. ``port`` 0 takes a free one; `url` names it after `start`.

    ``bootstrap`` creates at `start` what a real server creates by itself: the system namespaces and
    priority classes. ``bookmark_interval`` is in seconds. ``serving`` is the server's certificate, for tests
    with a wrong one; by default the authority signs one for 127.0.0.1 and localhost.
    """

    def __init__(
        self,
        store: ObjectStore,
        faults: Faults | None = None,
        *,
        authority: Authority | None = None,
        serving: KeyPair | None = None,
        access: Access | None = None,
        port: int = 0,
        version: str = "v1.33.4+k3s1",
        bookmark_interval: float = 60.0,
        bootstrap: bool = True,
    ) -> None:
        self.store = store
        self.faults = faults or Faults()
        self.authority = authority or Authority()
        self.access = access or Access()
        self._version = version
        self._bootstrap = bootstrap
        self._server = HttpsServer(
            self._answer,
            self.faults,
            self.authority,
            serving or self.authority.serving(),
            port=port,
            wake=store.wake,
        )
        self._reader = Reader(store, self.faults, bookmark_interval)
        self._writer = Writer(store)

    @property
    def url(self) -> str:
        """``https://127.0.0.1:<port>``"""
        return f"https://127.0.0.1:{self._server.port}"

    def start(self) -> None:
        """Serve; returns when clients can connect."""
        if self._bootstrap:
            _bootstrap(self.store)
        self._server.start()

    def stop(self) -> None:
        """End every open watch and connection at once. Stopping twice, or before `start`, is no error."""
        self._server.stop()

    def write_kubeconfig(
        self, path: Path, *, context: str = "axiom", user: str = "admin", credential: str = ""
    ) -> Path:
        """Write a kubeconfig (mode 0600) for one of the identities: admin, viewer, noperm, badtoken.

        ``credential`` is ``certificate`` or ``token``; by default admin has a certificate and the others
        tokens, so that both ways are used.
        """
        certificate = self.authority.certificate
        cluster = {"server": self.url, "certificate-authority-data": _base64(certificate)}
        name = f"{context}-{user}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "preferences": {},
            "clusters": [{"name": context, "cluster": cluster}],
            "users": [{"name": name, "user": self._credentials(user, credential)}],
            "contexts": [{"name": context, "context": {"cluster": context, "user": name}}],
            "current-context": context,
        }
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yaml.safe_dump(config, file, sort_keys=False)
        return path

    def _credentials(self, user: str, credential: str) -> dict[str, str]:
        if user == "badtoken":
            return {"token": BAD_TOKEN}
        identity = self.access.identity(user)
        if (credential or ("certificate" if user == "admin" else "token")) == "token":
            return {"token": identity.token}
        pair = self.authority.client(identity.user, identity.groups)
        return {
            "client-certificate-data": _base64(pair.certificate),
            "client-key-data": _base64(pair.key),
        }

    # From a request to its answer

    def _answer(self, request: Request) -> Answer:
        try:
            broken = self._broken_on_purpose(request)
            if broken:
                return broken
            answer = self._dispatch(request)
        except ApiError as error:
            answer = _json(error.code, error.body, error.headers)
        except PlainTextError as error:
            answer = Answer(error.code, [error.text.encode()], _TEXT, error.headers)
        if not answer.endless and self.faults.take("cut", request.target):
            return Answer(answer.code, _cut_short(answer), answer.content_type, answer.headers)
        return answer

    def _broken_on_purpose(self, request: Request) -> Answer | None:
        """What the faults in force answer instead of us; raises their refusals."""
        where = request.target
        if slow := self.faults.take("slow", where):
            self._server.pause(slow.delay, request.alive, lambda: self._is_over(slow))
        if self.faults.take("unauthorized", where):
            raise statuses.unauthorized()
        if self.faults.take("forbidden", where):
            who = self._who(request)
            target, query = parse(where)
            raise self.access.refusal(who, question(request.method, target, query))
        if throttle := self.faults.take("throttle", where):
            seconds = {"Retry-After": str(throttle.retry_after)}
            if throttle.form == "text":
                raise PlainTextError(429, "Too many requests, please try again later.\n", seconds)
            message = "the server has received too many requests and has asked us to try again later"
            raise statuses.too_many_requests(message, retry_after=throttle.retry_after)
        if broken := self.faults.take("broken", where):
            if broken.form == "text":
                raise PlainTextError(503, "no healthy upstream")
            raise statuses.internal_error("failing on purpose")
        if self.faults.take("garbage", where):
            return Answer(
                200, [b'{"kind":"NodeList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"it']
            )
        return None

    def _is_over(self, fault: Fault) -> bool:
        """Whether a fault was cleared; one that was counted out still works for whom it hit."""
        return not fault.times and self.faults.find(fault.kind) is None

    def _who(self, request: Request) -> Identity:
        authorization = request.headers.get("authorization", "")
        return self.access.authenticate(authorization, request.user, request.groups)

    def _dispatch(self, request: Request) -> Answer:
        who = self._who(request)
        target, query = parse(request.target)
        self.access.check(who, question(request.method, target, query))
        if not target.resource:
            return self._other_path(request, target)
        resource = self._resource(target)
        if not resource.stored:
            return self._review(who, request, resource, query)
        if request.method in ("GET", "HEAD"):
            return self._read(request, resource, target, query)
        return self._write(request, resource, target, query)

    def _resource(self, target: Target) -> Resource:
        known = [*self.store.resources, *REVIEWS]
        of_group = [one for one in known if (one.group, one.version) == (target.group, target.version)]
        if not of_group:
            raise PlainTextError(404, "404 page not found\n")
        for one in of_group:
            if one.plural == target.resource:
                parts = {part.name for part in one.subresources}
                if not target.subresource or target.subresource in parts:
                    return one
        raise statuses.no_such_resource()

    def _read(self, request: Request, resource: Resource, target: Target, query: Query) -> Answer:
        if target.name:
            if target.subresource not in ("", "status") or "get" not in resource.verbs:
                raise statuses.method_not_allowed()
            return self._reader.get(request, resource, target, query)
        if query.flag("watch"):
            if "watch" not in resource.verbs:
                raise statuses.method_not_allowed()
            return self._reader.watch(request, resource, target, query)
        return self._reader.list(request, resource, target, query)

    def _write(self, request: Request, resource: Resource, target: Target, query: Query) -> Answer:
        method, manager = request.method, _manager(request, query)
        _check_method(resource, target, question(method, target, query).verb)
        kind = _content_type(request)
        if method == "PATCH":
            code, body = self._writer.patch(resource, target, query, request.body, kind, manager)
            return _json(code, body)
        body = decode_body(request.body, kind)
        if target.subresource == "eviction":
            return _json(*self._writer.evict(target, query, body))
        if method == "POST":
            return _json(*self._writer.create(resource, target, query, body, manager))
        if method == "PUT":
            return _json(*self._writer.replace(resource, target, query, body, manager))
        if target.name:
            return _json(*self._writer.delete(resource, target, query, body))
        return _json(*self._writer.delete_collection(resource, target, query))

    def _review(self, who: Identity, request: Request, resource: Resource, query: Query) -> Answer:
        if request.method != "POST":
            raise statuses.method_not_allowed()
        body = decode_body(request.body, _content_type(request))
        manager = _manager(request, query)
        return _json(201, review(self.access, who, resource, body, manager, self.store.clock()))

    def _other_path(self, request: Request, target: Target) -> Answer:
        """Everything that is no resource: version, health, discovery, OpenAPI."""
        registered = self.store.resources
        path, accept = target.path, request.headers.get("accept", "")
        if request.method not in ("GET", "HEAD"):
            raise statuses.method_not_allowed()
        if path in _HEALTH:
            return Answer(200, [b"ok"], _TEXT)
        if path == "/openapi/v2" and "protobuf" in accept:
            return Answer(200, [openapi.version_2_protobuf(registered)], openapi.V2_PROTOBUF)
        if path in ("/api", "/apis") and "as=APIGroupDiscoveryList" in accept and "v=v2;" in f"{accept};":
            body: Json | None = discovery.aggregated(registered, core=path == "/api")
            return Answer(200, [msgspec.json.encode(body)], discovery.AGGREGATED)
        match path.split("/")[1:]:
            case ["version"]:
                body = discovery.version_info(self._version)
            case ["api"]:
                body = discovery.api_versions(self.url.partition("//")[2])
            case ["apis"]:
                body = discovery.group_list(registered)
            case ["api", version]:
                body = discovery.resource_list(registered, "", version)
            case ["apis", group]:
                body = discovery.group(registered, group)
            case ["apis", group, version]:
                body = discovery.resource_list(registered, group, version)
            case ["openapi", "v2"]:
                body = openapi.version_2(registered)
            case ["openapi", "v3"]:
                body = openapi.version_3_index(registered)
            case ["openapi", "v3", *rest] if len(rest) > 1:
                body = openapi.version_3(registered, "/".join(rest))
            case _:
                body = None
        if body is None:
            raise PlainTextError(404, "404 page not found\n")
        return _json(200, body)


def _check_method(resource: Resource, target: Target, verb: str) -> None:
    """Raise the 405 of a verb that this place does not know."""
    known: tuple[str, ...] = resource.verbs
    if target.subresource:
        served = target.subresource in ("status", "eviction")
        known = next(part.verbs for part in resource.subresources if part.name == target.subresource)
        known = known if served else ()
    of_collection = verb in ("create", "deletecollection") and not target.subresource
    nowhere = resource.namespaced and not target.namespace
    if verb not in known or nowhere or of_collection == bool(target.name):
        raise statuses.method_not_allowed()


def _manager(request: Request, query: Query) -> str:
    """The field manager: as named, or else the client program's name before the first slash."""
    agent = request.headers.get("user-agent", "").partition("/")[0]
    return query.text("fieldManager") or agent or "unknown"


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip()


def _json(code: int, body: Any, headers: dict[str, str] | None = None) -> Answer:
    return Answer(code, [msgspec.json.encode(body)], headers=headers or {})


def _cut_short(answer: Answer) -> Iterator[bytes]:
    whole = b"".join(answer.chunks)
    half = len(whole) // 2
    yield whole[: half // 2]
    raise Cut(whole[half // 2 : half] or b"{")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bootstrap(store: ObjectStore) -> None:
    known = {resource.key for resource in store.resources}
    for name in _SYSTEM_NAMESPACES:
        if "namespaces" in known and store.get("namespaces", name) is None:
            labels = {"kubernetes.io/metadata.name": name}
            namespace: Json = {
                "metadata": {"name": name, "labels": labels},
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            }
            store.create("namespaces", namespace, manager="kube-apiserver")
    plural = "priorityclasses.scheduling.k8s.io"
    for name, value in SYSTEM_PRIORITIES.items():
        if plural in known and store.get(plural, name) is None:
            priority_class: Json = {
                "metadata": {"name": name},
                "value": value,
                "description": f"Used for system critical pods that {_SYSTEM_CLASS_TEXTS[name]}",
                "preemptionPolicy": "PreemptLowerPriority",
            }
            store.create(plural, priority_class, manager="kube-apiserver")
