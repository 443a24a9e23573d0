"""The Kubernetes API as the fleet needs it: list, watch, a few reads, and the writes that plans make.

Every failure is an `AxiomError`. A client may be used by several threads; `interrupt` ends what blocks in any
of them. Nothing here costs the SDK's import before `connect`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from axiom_tui.clients import kubernetes_errors as errors
from axiom_tui.clients import kubernetes_wire as wire
from axiom_tui.clients.kubeconfig import ContextInfo, KubernetesOptions, access, cluster_of, contexts
from axiom_tui.clients.kubernetes_errors import Asked
from axiom_tui.clients.kubernetes_wire import (
    DAEMON_SETS,
    EVENTS,
    GATEWAYS,
    INGRESSES,
    LEASES,
    NODE_METRICS,
    NODES,
    PODS,
    PRIORITY_CLASSES,
    SECRETS,
    SERVICES,
    EventType,
    Listing,
    Resource,
    WatchEvent,
)
from axiom_tui.model.fleet import Cluster
from axiom_tui.model.lease import Lease
from axiom_tui.model.node import Event, Node, Service
from axiom_tui.model.problem import AxiomError, ProblemKind

if TYPE_CHECKING:
    from axiom_tui.clients.kubernetes_transport import Call, Response, Transport

__all__ = [
    "DAEMON_SETS",
    "EVENTS",
    "GATEWAYS",
    "INGRESSES",
    "LEASES",
    "NODES",
    "NODE_METRICS",
    "PODS",
    "PRIORITY_CLASSES",
    "SECRETS",
    "SERVICES",
    "ContextInfo",
    "EventType",
    "KubernetesClient",
    "KubernetesOptions",
    "Listing",
    "Resource",
    "Watch",
    "WatchEvent",
    "cluster_of",
    "connect",
    "contexts",
]

T = TypeVar("T")

FIELD_MANAGER = "axiom-tui"
PAGE = 500  # objects a request, as kubectl asks
WATCH_SECONDS = 300  # after which the server ends a watch, which is then opened anew
SERVER_GROUPS = "the list of API groups"


def connect(options: KubernetesOptions) -> KubernetesClient:
    """Make a client for the chosen context: reads the kubeconfig. Raises AxiomError.

    A credential plugin is run, and the server asked, with the first request only.
    """
    allowed = access(options)
    from axiom_tui.clients.kubernetes_transport import Transport

    return KubernetesClient(Transport(allowed, options), options, allowed.cluster)


class KubernetesClient:
    """One cluster, seen with one user's rights. Made by `connect`."""

    def __init__(self, transport: Transport, options: KubernetesOptions, cluster: Cluster) -> None:
        self.cluster = cluster
        self._transport = transport
        self._options = options
        self._lock = threading.Lock()
        self._calls: set[Call] = set()
        self._is_closed = False

    @property
    def authority(self) -> str:
        """PEM of the CA that the kubeconfig trusts, "" for the system's own CAs. Raises AxiomError."""
        return access(self._options).authority or ""

    def share(self) -> KubernetesClient:
        """A client over the same connections whose calls are interrupted separately."""
        return KubernetesClient(self._transport, self._options, self.cluster)

    def shares_with(self, other: KubernetesClient) -> bool:
        """Whether both use the same connections."""
        return self._transport is other._transport

    def interrupt(self) -> None:
        """End all calls that are under way, from another thread; they raise CANCELLED."""
        with self._lock:
            calls = tuple(self._calls)
        for call in calls:
            call.end()

    def close(self) -> None:
        """Interrupt, and refuse all further calls."""
        with self._lock:
            self._is_closed = True
        self.interrupt()

    def disconnect(self) -> None:
        """Close the connections that this client shares with others."""
        self.close()
        self._transport.close()

    # -- reading ---------------------------------------------------------------------------------------

    def list(
        self,
        resource: Resource[T],
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> Listing[T]:
        """All objects, in chunks of 500. If the chunks expire (410) it starts again, then asks for all at
        once."""
        asked = Asked("list", resource.plural, resource.group)
        query = _selectors(label_selector, field_selector)
        for limit in (PAGE, PAGE, 0):
            try:
                return self._list(asked, resource, resource.path(namespace), query, limit)
            except AxiomError as error:
                if error.problem.kind is not ProblemKind.EXPIRED or limit == 0:
                    raise
        raise AssertionError("unreachable")

    def watch(
        self,
        resource: Resource[T],
        resource_version: str,
        namespace: str = "",
        label_selector: str = "",
    ) -> Watch[T]:
        """Open a watch; when this returns, the server has accepted it. Close it, or use it in a ``with``."""
        asked = Asked("watch", resource.plural, resource.group)
        query = {
            **_selectors(label_selector, ""),
            "watch": "true",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        call = self._begin(asked)
        try:
            response = self._transport.open(call, "GET", resource.path(namespace), query)
            try:
                if not response.ok:
                    raise AxiomError(response.problem())
            except BaseException:
                response.close()
                raise
        except BaseException:
            self._end(call)
            raise
        call.set_read_timeout(self._options.watch_silence)
        return Watch(self, call, response, resource)

    def get(self, resource: Resource[T], name: str, namespace: str = "") -> T:
        """One object; MISSING if it is not there."""
        asked = Asked("get", f"{resource.kind} {name!r}", resource.group)
        body = self._ask(asked, "GET", resource.path(namespace, name))
        return self._read_one(asked, resource, body)

    def version(self) -> str:
        """``gitVersion`` of the API server, e.g. ``v1.33.4+k3s1``."""
        asked = Asked("get", "its version")
        return self._decode(asked, wire.VersionInfo, self._ask(asked, "GET", "/version")).git_version

    def groups(self) -> frozenset[str]:
        """Names of all API groups that the server knows, installed add-ons among them."""
        asked = Asked("get", SERVER_GROUPS)
        answer = self._decode(asked, wire.GroupList, self._ask(asked, "GET", "/apis"))
        return frozenset(group.name for group in answer.groups or ())

    def server_time(self) -> datetime:
        """The API server's clock (HTTP Date header, to the second)."""
        asked = Asked("get", "its clock")
        with self._call(asked) as call, self._transport.open(call, "GET", "/version", {}) as response:
            if not response.ok:
                raise AxiomError(response.problem())
            response.read()
            date = response.date
        try:
            moment = parsedate_to_datetime(date)
        except ValueError as error:
            raise AxiomError(errors.garbled(asked, self._transport.peer, "it has no Date header")) from error
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def node_yaml(self, name: str) -> str:
        """The whole node as YAML, without the book-keeping of field managers."""
        import yaml

        asked = Asked("get", f"Node {name!r}")
        node = self._decode(asked, dict[str, Any], self._ask(asked, "GET", NODES.path(name=name)))
        metadata = node.get("metadata")
        if isinstance(metadata, dict):
            metadata.pop("managedFields", None)
        return yaml.safe_dump(node, sort_keys=False, allow_unicode=True, width=10_000)

    def events_of(self, kind: str, name: str, namespace: str = "") -> tuple[Event, ...]:
        """Events about one object, newest first."""
        selector = f"involvedObject.kind={kind},involvedObject.name={name}"
        found = self.list(EVENTS, namespace, field_selector=selector).items
        oldest = datetime.min.replace(tzinfo=UTC)
        return tuple(sorted(found, key=lambda event: event.at or oldest, reverse=True))

    def can_i(
        self,
        verb: str,
        resource: str,
        *,
        group: str = "",
        namespace: str = "",
        name: str = "",
        subresource: str = "",
    ) -> tuple[bool, str]:
        """Whether this user has the right, and the reason that the server gives ("" for most)."""
        asked = Asked("check", f"the right to {verb} {resource}")
        attributes = {
            "verb": verb,
            "group": group,
            "resource": resource,
            "subresource": subresource,
            "namespace": namespace,
            "name": name,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = self._decode(asked, wire.AccessReview, self._ask(asked, "POST", path, body=review))
        status = answer.status
        return status.allowed, errors.clean(status.reason or status.evaluation_error)

    # -- writing, for plans only -----------------------------------------------------------------------

    def patch_node_labels(
        self,
        name: str,
        labels: Mapping[str, str | None],
        *,
        resource_version: str,
        field_manager: str = FIELD_MANAGER,
        dry_run: bool = False,
    ) -> Node:
        """Set these labels and remove those whose value is None; CONFLICT if the node is no longer at
        ``resource_version`` ("" forgoes that check)."""
        metadata = {"labels": dict(labels), **_at(resource_version)}
        return self._patch(NODES, name, "", metadata, field_manager, dry_run)

    def patch_service_labels(
        self,
        namespace: str,
        name: str,
        labels: Mapping[str, str | None],
        *,
        annotations: Mapping[str, str | None] | None = None,
        resource_version: str,
        field_manager: str = FIELD_MANAGER,
        dry_run: bool = False,
    ) -> Service:
        """As `patch_node_labels`; ``annotations`` go with it, since servicelb notices no label alone."""
        metadata: dict[str, Any] = {"labels": dict(labels), **_at(resource_version)}
        if annotations:
            metadata["annotations"] = dict(annotations)
        return self._patch(SERVICES, name, namespace, metadata, field_manager, dry_run)

    def cordon_node(self, name: str) -> None:
        """Mark the node unschedulable; MISSING if it is not there."""
        asked = Asked("patch", f"Node {name!r}")
        query = {"fieldManager": FIELD_MANAGER}
        body = {"spec": {"unschedulable": True}}
        content_type = "application/merge-patch+json"
        self._ask(asked, "PATCH", NODES.path(name=name), query, body=body, content_type=content_type)

    def evict_pod(self, namespace: str, name: str) -> None:
        """Ask for the pod's end; THROTTLED while a disruption budget forbids it, MISSING if it is gone."""
        asked = Asked("evict", f"Pod {name!r}")
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
        }
        self._ask(asked, "POST", f"{PODS.path(namespace, name)}/eviction", body=body)

    def delete_node(self, name: str) -> None:
        """Delete the node object; MISSING if it is not there."""
        self._ask(Asked("delete", f"Node {name!r}"), "DELETE", NODES.path(name=name))

    def get_lease(self, namespace: str, name: str) -> Lease | None:
        """The Lease, or None if there is none, which is its normal state."""
        try:
            return self.get(LEASES, name, namespace)
        except AxiomError as error:
            if error.problem.kind is ProblemKind.MISSING:
                return None
            raise

    def create_lease(self, lease: Lease, *, field_manager: str = FIELD_MANAGER) -> Lease:
        """Create it; CONFLICT if it exists."""
        asked = Asked("create", f"Lease {lease.name!r}", LEASES.group)
        query = {"fieldManager": field_manager}
        body = self._ask(asked, "POST", LEASES.path(lease.namespace), query, body=wire.from_lease(lease))
        return self._read_one(asked, LEASES, body)

    def replace_lease(self, lease: Lease, *, field_manager: str = FIELD_MANAGER) -> Lease:
        """Replace it; CONFLICT if it is no longer at ``lease.resource_version``."""
        asked = Asked("renew", f"Lease {lease.name!r}", LEASES.group)
        path, query = LEASES.path(lease.namespace, lease.name), {"fieldManager": field_manager}
        body = self._ask(asked, "PUT", path, query, body=wire.from_lease(lease))
        return self._read_one(asked, LEASES, body)

    def delete_lease(self, namespace: str, name: str, *, resource_version: str = "") -> None:
        """Delete it; MISSING if it is not there, CONFLICT if it is no longer at ``resource_version``."""
        asked = Asked("delete", f"Lease {name!r}", LEASES.group)
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"resourceVersion": resource_version},
        }
        body = options if resource_version else None
        self._ask(asked, "DELETE", LEASES.path(namespace, name), body=body)

    # -- the way there ---------------------------------------------------------------------------------

    def _list(
        self, asked: Asked, resource: Resource[T], path: str, query: Mapping[str, str], limit: int
    ) -> Listing[T]:
        items: list[T] = []
        page = dict(query, limit=str(limit)) if limit else dict(query)
        while True:
            body = self._ask(asked, "GET", path, page)
            try:
                found, metadata = resource.read_list(body)
            except msgspec.DecodeError as error:
                raise AxiomError(errors.garbled(asked, self._transport.peer, str(error))) from error
            items.extend(found)
            if not metadata.continue_:
                return Listing(tuple(items), metadata.resource_version)
            page["continue"] = metadata.continue_

    def _patch(
        self,
        resource: Resource[T],
        name: str,
        namespace: str,
        metadata: dict[str, Any],
        field_manager: str,
        dry_run: bool,
    ) -> T:
        asked = Asked("patch", f"{resource.kind} {name!r}", resource.group)
        query = {"fieldManager": field_manager}
        if dry_run:
            query["dryRun"] = "All"
        body = self._ask(
            asked,
            "PATCH",
            resource.path(namespace, name),
            query,
            body={"metadata": metadata},
            content_type="application/merge-patch+json",
        )
        return self._read_one(asked, resource, body)

    def _ask(
        self,
        asked: Asked,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        encoded = None if body is None else msgspec.json.encode(body)
        with (
            self._call(asked) as call,
            self._transport.open(
                call, method, path, query or {}, body=encoded, content_type=content_type
            ) as response,
        ):
            if not response.ok:
                raise AxiomError(response.problem())
            return response.read()

    def _decode(self, asked: Asked, kind: type[T], body: bytes) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.DecodeError as error:
            raise AxiomError(errors.garbled(asked, self._transport.peer, str(error))) from error

    def _read_one(self, asked: Asked, resource: Resource[T], body: bytes) -> T:
        try:
            return resource.read_one(body)[0]
        except msgspec.DecodeError as error:
            raise AxiomError(errors.garbled(asked, self._transport.peer, str(error))) from error

    @contextlib.contextmanager
    def _call(self, asked: Asked) -> Iterator[Call]:
        call = self._begin(asked)
        try:
            yield call
        finally:
            self._end(call)

    def _begin(self, asked: Asked) -> Call:
        from axiom_tui.clients.kubernetes_transport import Call

        call = Call(asked)
        with self._lock:
            if self._is_closed:
                raise errors.cancelled(asked)
            self._calls.add(call)
        return call

    def _end(self, call: Call) -> None:
        with self._lock:
            self._calls.discard(call)


class Watch(Generic[T]):
    """An open watch: iterate for its events.

    The iteration ends when the server ends the watch in good order or has been silent for
    ``watch_silence``: open the next one from the last ``resource_version``. It raises AxiomError:
    EXPIRED (list again), UNREACHABLE (cut, also in the middle of a line), GARBLED, CANCELLED, or what the
    server reports.
    """

    def __init__(
        self, client: KubernetesClient, call: Call, response: Response, resource: Resource[T]
    ) -> None:
        self._client = client
        self._call = call
        self._response = response
        self._resource = resource

    def __iter__(self) -> Iterator[WatchEvent[T]]:
        for line in self._lines():
            yield self._event(line)

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self._response.close()
        self._client._end(self._call)

    def __enter__(self) -> Watch[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lines(self) -> Iterator[bytes]:
        rest: list[bytes] = []  # of a line that is not complete
        try:
            for chunk in self._response.chunks():
                *lines, beginning = chunk.split(b"\n")
                for line in lines:
                    rest.append(line)
                    if whole := b"".join(rest).strip():
                        yield whole
                    rest.clear()
                rest.append(beginning)
        except AxiomError as error:
            # Silence is no fault: the next watch tells whether the server still answers.
            if error.problem.kind is ProblemKind.TIMED_OUT:
                return
            raise
        # A stream that was cut has raised; this is a whole answer whose last line has no end.
        if tail := b"".join(rest).strip():
            yield tail

    def _event(self, line: bytes) -> WatchEvent[T]:
        asked, peer = self._call.asked, self._client._transport.peer
        try:
            event = _EVENT.decode(line)
            if event.type == "ERROR":
                status = _STATUS.decode(event.object)
                raise AxiomError(errors.of_watch_error(status, asked, peer))
            kind = EventType(event.type)
            if kind is EventType.BOOKMARK:
                mark = _BOOKMARK.decode(event.object)
                return WatchEvent(kind, None, mark.metadata.resource_version)
            item, metadata = self._resource.read_one(event.object)
            return WatchEvent(kind, item, metadata.resource_version)
        except (msgspec.DecodeError, ValueError) as error:
            raise AxiomError(errors.garbled(asked, peer, str(error))) from error


_EVENT = msgspec.json.Decoder(wire.WireEvent)
_STATUS = msgspec.json.Decoder(wire.Status)
_BOOKMARK = msgspec.json.Decoder(wire.Bookmark)


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    both = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {key: value for key, value in both.items() if value}


def _at(resource_version: str) -> dict[str, str]:
    return {"resourceVersion": resource_version} if resource_version else {}
