"""The sources of one cluster: each kind is listed once and watched, what cannot be watched is polled.

All sources share one connection setup; the first that needs it makes it, in its own thread, where the
transport's import belongs. A source that fails keeps its last good data and does not touch the others.
"""

from __future__ import annotations

import random
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Generic, TypeVar

from axiom_tui.clients.kubernetes import (
    DAEMON_SETS,
    GATEWAYS,
    INGRESSES,
    NODE_METRICS,
    NODES,
    PODS,
    PRIORITY_CLASSES,
    SERVICES,
    EventType,
    KubernetesClient,
    KubernetesOptions,
    Resource,
    WatchEvent,
    connect,
)
from axiom_tui.fleet.source import Sink, Source, backoff
from axiom_tui.model.fleet import Cluster, Observation
from axiom_tui.model.node import DaemonSet, Node, Pod, PriorityClass, Route, Service
from axiom_tui.model.problem import AxiomError, ProblemKind, fail

T = TypeVar("T")

METRICS_INTERVAL = 15.0  # seconds; metrics-server itself measures that often
ABSENT_INTERVAL = 180.0  # seconds until a group that is not installed is asked for again
API_INTERVAL = 60.0  # seconds; a K3s upgrade or a new add-on shows within a minute
RELIST_JITTER = 1.0  # seconds; so that not every client lists at once after a compaction
STEADY = 10.0  # seconds after which a watch counts as healthy, and the next fault as a new one

#: servicelb marks its DaemonSets with it, "true" or "false" (facts: k3s-and-backups.md 2.1).
SERVICELB_SELECTOR = "svccontroller.k3s.cattle.io/nodeselector"

#: After these the kubeconfig is read anew: the admin may have mended it meanwhile.
_RECONNECT = frozenset(
    {
        ProblemKind.UNAUTHENTICATED,
        ProblemKind.UNTRUSTED,
        ProblemKind.MISCONFIGURED,
        ProblemKind.ABSENT,
        ProblemKind.UNRESOLVED,
    }
)


def kubernetes_sources(
    sink: Sink, options: KubernetesOptions, cluster: Cluster, *, metrics_every: float = METRICS_INTERVAL
) -> tuple[Source, ...]:
    """All sources of the cluster that ``options`` lead to; ``cluster`` is `cluster_of` the same options.

    ``metrics_every`` is in seconds. The nodes come first: so they do among the troubles that are told.
    """
    connection = Connection(options, cluster)
    return (
        WatchedSource("nodes", sink, connection, NODES, _nodes),
        WatchedSource("pods", sink, connection, PODS, _pods),
        WatchedSource("services", sink, connection, SERVICES, _services),
        WatchedSource("daemonsets", sink, connection, DAEMON_SETS, _daemon_sets, SERVICELB_SELECTOR),
        WatchedSource("priorityclasses", sink, connection, PRIORITY_CLASSES, _priority_classes),
        OptionalSource("ingresses", sink, connection, INGRESSES, _ingresses),
        OptionalSource("gateways", sink, connection, GATEWAYS, _gateways),
        ApiSource("api", sink, connection),
        MetricsSource("metrics", sink, connection, metrics_every),
    )


class Connection:
    """The one connection setup of a cluster, shared by its sources; it never leads to another cluster."""

    def __init__(self, options: KubernetesOptions, cluster: Cluster) -> None:
        # The context by name: "the current one" may be another one by the time of a reconnect.
        self._options = replace(options, context=cluster.context)
        self._cluster = cluster
        self._lock = threading.Lock()
        self._client: KubernetesClient | None = None
        self._failure: tuple[float, AxiomError] | None = None
        self._users: set[Source] = set()

    def client(self) -> KubernetesClient:
        """A client of one's own over the shared connections. Raises AxiomError."""
        asked_at = time.monotonic()
        with self._lock:
            if self._client is None:
                # Who waited while another source failed shares its failure.
                if self._failure is not None and self._failure[0] > asked_at:
                    raise AxiomError(self._failure[1].problem)
                try:
                    self._client = self._connect()
                except AxiomError as error:
                    self._failure = (time.monotonic(), error)
                    raise
            return self._client.share()

    def forget(self, client: KubernetesClient) -> None:
        """Connect anew next time, unless another source has done so already."""
        with self._lock:
            if self._client is not None and self._client.shares_with(client):
                self._client = None

    def join(self, source: Source) -> None:
        self._users.add(source)

    def leave(self, source: Source) -> None:
        """The last one to leave closes the connections."""
        self._users.discard(source)
        if not self._users and (client := self._client) is not None:
            client.disconnect()

    def _connect(self) -> KubernetesClient:
        client = connect(self._options)
        found, wanted = client.cluster, self._cluster
        if (found.name, found.server) != (wanted.name, wanted.server):
            raise fail(
                ProblemKind.MISCONFIGURED,
                f"Context {wanted.context!r} now leads to {found.name} at {found.server},"
                f" no longer to {wanted.name} at {wanted.server}.",
                "Choose the context anew (:ctx), so that no two clusters are mixed.",
            )
        return client


class KubernetesSource(Source):
    """What all sources of a cluster have in common: the shared connection, and being interruptible."""

    def __init__(self, name: str, sink: Sink, connection: Connection) -> None:
        super().__init__(name, sink)
        self._connection = connection
        self._own: KubernetesClient | None = None
        connection.join(self)

    @abstractmethod
    def look(self, client: KubernetesClient) -> None:
        """One round of observing; it is called again when it returns."""

    def observe(self) -> None:
        try:
            self.look(self._connected())
        except AxiomError as error:
            kind = error.problem.kind
            if kind is ProblemKind.CANCELLED and not self.stopping.is_set():
                return  # `refresh` ended the call: look again
            if kind in _RECONNECT and self._own is not None:
                self._connection.forget(self._own)
                self._own = None
            raise

    def refresh(self) -> None:
        super().refresh()
        if (client := self._own) is not None:
            client.interrupt()

    def interrupt(self) -> None:
        if (client := self._own) is not None:
            client.close()
        self._connection.leave(self)

    def _connected(self) -> KubernetesClient:
        if self._own is None:
            self._own = self._connection.client()
        if self.stopping.is_set():  # `stop` may have come before there was a client to close
            self._own.close()
        return self._own


class WatchedSource(KubernetesSource, Generic[T]):
    """A kind of object: listed once, then watched; listed again only when the position is lost."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        connection: Connection,
        resource: Resource[T],
        put: Callable[[Observation, tuple[T, ...]], Observation],
        label_selector: str = "",
    ) -> None:
        super().__init__(name, sink, connection)
        self._resource = resource
        self._put = put
        self._label_selector = label_selector
        self._lock = threading.Lock()
        self._items: dict[Hashable, T] = {}
        self._is_announced = False
        self._version = ""  # where the watch goes on; "" = list first
        self._list_again = threading.Event()
        self._has_relisted = False

    def refresh(self) -> None:
        self._list_again.set()
        super().refresh()

    def live(self) -> None:
        # One answer is no recovery yet: how long to back off is forgotten only when a watch lasts.
        attempt = self._attempt
        super().live()
        self._attempt = attempt

    def look(self, client: KubernetesClient) -> None:
        if self._list_again.is_set():
            self._list_again.clear()
            self._version = ""
        if not self._version:
            self._list(client)
        opened = time.monotonic()
        try:
            with client.watch(self._resource, self._version, label_selector=self._label_selector) as watch:
                self.live()
                for event in watch:
                    self._apply(event)
                    if self._list_again.is_set():
                        return
        except AxiomError as error:
            if time.monotonic() - opened > STEADY:
                self._steady()
            self._lost(error)
        else:
            self._steady()
            if time.monotonic() - opened < STEADY:
                # A server on its way down, or a proxy, ends watches at once: never ask it without a pause.
                self.pause(backoff(1))

    def _list(self, client: KubernetesClient) -> None:
        listing = client.list(self._resource, label_selector=self._label_selector)
        items = {self._resource.key(item): item for item in listing.items}
        with self._lock:
            self._items = items
        self._version = listing.resource_version
        self._announce()
        self.live()

    def _apply(self, event: WatchEvent[T]) -> None:
        self._version = event.resource_version or self._version
        item = event.object
        if item is not None:
            key = self._resource.key(item)
            with self._lock:
                before = self._items.get(key)
                if event.type is EventType.DELETED:
                    self._items.pop(key, None)
                    changed = before is not None
                else:
                    self._items[key] = item
                    changed = before != item
            if changed:
                self._announce()
        self.live()

    def _lost(self, error: AxiomError) -> None:
        """The watch failed: know from where to go on, and raise unless that is all there is to do."""
        match error.problem.kind:
            case ProblemKind.EXPIRED:
                self._version = ""
                if not self._has_relisted:
                    # Normal after a compaction or a long sleep of this machine; twice in a row is not.
                    self._has_relisted = True
                    self.pause(random.uniform(0.0, RELIST_JITTER))
                    return
            case ProblemKind.GARBLED | ProblemKind.FORBIDDEN:
                # What was garbled is lost; who may list but not watch is served by listing.
                self._version = ""
            case _:
                pass
        raise error

    def _steady(self) -> None:
        self._attempt = 0
        self._has_relisted = False

    def _announce(self) -> None:
        """Tell the sink that there is something new, once until it comes to take it.

        Whatever changes until then goes with it, so that a burst of events costs one tuple.
        """
        with self._lock:
            if self._is_announced:
                return
            self._is_announced = True
        self.sink.change(self._hand_over)

    def _hand_over(self, seen: Observation) -> Observation:
        with self._lock:
            self._is_announced = False
            items = tuple(self._items.values())
        return self._put(seen, items)


class OptionalSource(WatchedSource[T]):
    """A kind that need not be there: off while its group is not installed, or while we may not read it."""

    def look(self, client: KubernetesClient) -> None:
        try:
            super().look(client)
        except AxiomError as error:
            if error.problem.kind not in (ProblemKind.MISSING, ProblemKind.FORBIDDEN):
                raise
            self.off(error.problem)
            self.pause(ABSENT_INTERVAL)


class MetricsSource(KubernetesSource):
    """What nodes use, polled from metrics-server; off while that is not installed, or not for us to read."""

    def __init__(self, name: str, sink: Sink, connection: Connection, every: float) -> None:
        super().__init__(name, sink, connection)
        self._every = every

    def look(self, client: KubernetesClient) -> None:
        try:
            usage = dict(client.list(NODE_METRICS).items)
        except AxiomError as error:
            if error.problem.kind not in (ProblemKind.MISSING, ProblemKind.FORBIDDEN):
                raise
            self.sink.change(lambda seen: replace(seen, usage={}))
            self.off(error.problem)
            self.pause(ABSENT_INTERVAL)
            return
        self.sink.change(lambda seen: replace(seen, usage=usage))
        self.live()
        self.pause(self._every)


class ApiSource(KubernetesSource):
    """The API server itself: its version, and which groups are installed."""

    def look(self, client: KubernetesClient) -> None:
        version, groups = client.version(), client.groups()
        self.sink.change(lambda seen: replace(seen, version=version, installed_groups=groups))
        self.live()
        self.pause(API_INTERVAL)


def _nodes(seen: Observation, items: tuple[Node, ...]) -> Observation:
    return replace(seen, nodes=items)


def _pods(seen: Observation, items: tuple[Pod, ...]) -> Observation:
    return replace(seen, pods=items)


def _services(seen: Observation, items: tuple[Service, ...]) -> Observation:
    return replace(seen, services=items)


def _daemon_sets(seen: Observation, items: tuple[DaemonSet, ...]) -> Observation:
    return replace(seen, daemon_sets=items)


def _ingresses(seen: Observation, items: tuple[Route, ...]) -> Observation:
    return replace(seen, ingresses=items)


def _gateways(seen: Observation, items: tuple[Route, ...]) -> Observation:
    return replace(seen, gateways=items)


def _priority_classes(seen: Observation, items: tuple[PriorityClass, ...]) -> Observation:
    return replace(seen, priority_classes=items)
