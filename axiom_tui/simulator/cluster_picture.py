"""What the simulated controllers know of the cluster, and the one way in which they change it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Protocol, TypeVar

from axiom_tui.simulator import svclb_objects
from axiom_tui.simulator.cluster_views import (
    SERVICE_NAME_LABEL,
    NodeView,
    PodIndex,
    PodView,
    key_of,
    read_node,
    read_pod,
)
from axiom_tui.simulator.statuses import ApiError, Json
from axiom_tui.simulator.store import ObjectStore, timestamp

NODES = "nodes"
PODS = "pods"
SERVICES = "services"
DAEMON_SETS = "daemonsets.apps"
PRIORITY_CLASSES = "priorityclasses.scheduling.k8s.io"
EVENTS = "events"
T = TypeVar("T")

WATCHED = frozenset({NODES, PODS, SERVICES, DAEMON_SETS, PRIORITY_CLASSES})
BUILT_IN_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


class Follower(Protocol):
    """Told of each change, with the object before and after it; None for none."""

    def node_changed(self, name: str, before: NodeView | None, after: NodeView | None) -> None: ...

    def pod_changed(self, before: PodView | None, after: PodView | None) -> None: ...

    def service_changed(self, key: str, before: Json | None, after: Json | None) -> None: ...

    def daemon_changed(self, name: str, before: Json | None, after: Json | None) -> None: ...

    def priority_changed(self) -> None: ...


class ClusterPicture:
    """Nodes, pods, Services and svclb DaemonSets as last heard of or written. For one thread.

    What is written here is known at once; when the store then tells of it, it is no news any more. Objects
    that somebody else has deleted meanwhile are no error, as the news of it is on its way.
    """

    def __init__(self, store: ObjectStore, namespace: str, follower: Follower) -> None:
        self.store = store
        self.namespace = namespace
        self.nodes: dict[str, NodeView] = {}
        self.pods = PodIndex()
        self.services: dict[str, Json] = {}
        self.daemons: dict[str, Json] = {}  # by name, all of them in the namespace
        self.priorities: dict[str, int] = {}
        self._follower = follower
        self._versions: dict[tuple[str, str], int] = {}

    def load(self) -> None:
        """Take in everything that is there; `tell_all` then tells of it, as informers do when they begin."""
        for stored in self.store.snapshot(NODES)[0]:
            self.nodes[stored.key] = read_node(stored.body)
            self._versions[NODES, stored.key] = stored.version
        seen = []
        for stored in self.store.snapshot(PODS)[0]:
            pod = read_pod(stored.body)
            if pod.daemon or pod.host_ports:
                seen.append(pod)
                self._versions[PODS, stored.key] = stored.version
        for pod in sorted(seen, key=lambda pod: pod.created):
            self.pods.put(pod)
        for plural in (SERVICES, DAEMON_SETS, PRIORITY_CLASSES):
            for item in self.store.list(plural):
                if self._is_news(plural, item):
                    self._keep(plural, item, gone=False)

    def tell_all(self) -> None:
        """Services first, so that no stale DaemonSet is acted upon before its Service is synced."""
        for service in self.by_age(self.services.values()):
            self._follower.service_changed(key_of(service), None, service)
        for name, daemon in self.daemons.items():
            self._follower.daemon_changed(name, None, daemon)
        for name, node in self.nodes.items():
            self._follower.node_changed(name, None, node)

    @staticmethod
    def by_age(items: Iterable[Json]) -> list[Json]:
        """Those that were created first come first."""
        return sorted(items, key=lambda item: (item["metadata"].get("creationTimestamp", ""), key_of(item)))

    def daemons_by_age(self) -> list[Json]:
        """The DaemonSets in the order in which their Services were created."""
        ages = {key: item["metadata"].get("creationTimestamp", "") for key, item in self.services.items()}
        return sorted(
            self.daemons.values(),
            key=lambda item: (ages.get(svclb_objects.service_of(item), ""), svclb_objects.service_of(item)),
        )

    def hear(self, kind: str, plural: str, item: Json) -> None:
        """An event of the store, or the outcome of an own change."""
        if not self._is_news(plural, item):
            return
        gone, key = kind == "DELETED", key_of(item)
        if plural == PODS:
            self._pod_heard(key, read_pod(item), gone)
        elif plural == NODES:
            before, after = self.nodes.get(key), None if gone else read_node(item)
            _put(self.nodes, key, after)
            self._follower.node_changed(key, before, after)
        elif plural == SERVICES:
            known = self.services.get(key)
            self._keep(plural, item, gone)
            self._follower.service_changed(key, known, None if gone else item)
        elif plural == DAEMON_SETS and self._is_svclb(item):
            name = item["metadata"]["name"]
            known = self.daemons.get(name)
            self._keep(plural, item, gone)
            self._follower.daemon_changed(name, known, None if gone else item)
        elif plural == PRIORITY_CLASSES:
            self._keep(plural, item, gone)
            self._follower.priority_changed()

    def adopt(self, plural: str, item: Json) -> None:
        """Put a finished object into store and picture, as if it had always been there: nobody is told."""
        version = self.store.version + 1
        item["metadata"]["resourceVersion"] = str(version)
        self._is_news(plural, item)
        if plural == PODS:
            self.pods.put(read_pod(item))
        else:
            self._keep(plural, item, gone=False)
        self.store.load(plural, [item], version)

    def create(self, plural: str, item: Json, *, manager: str = "k3s") -> None:
        created = self.store.create(plural, item, manager=manager)
        self.hear("ADDED", plural, created)

    def mutate(self, plural: str, key: str, change: Callable[[Json], None], *, subresource: str = "") -> None:
        namespace, _, name = key.rpartition("/")
        try:
            changed = self.store.mutate(plural, name, change, namespace, subresource=subresource)
        except ApiError as error:
            _raise_unless_gone(error)
        else:
            self.hear("MODIFIED", plural, changed)

    def delete(self, plural: str, key: str) -> None:
        namespace, _, name = key.rpartition("/")
        try:
            last = self.store.delete(plural, name, namespace)
        except ApiError as error:
            _raise_unless_gone(error)
        else:
            self.hear("DELETED", plural, last)

    def event(self, about: Json, kind: str, reason: str, message: str, reporter: str) -> None:
        """Record an Event; one that happened before counts on."""
        event = svclb_objects.event(about, kind, reason, message, self.now(), reporter)
        namespace, name = event["metadata"]["namespace"], event["metadata"]["name"]

        def again(found: Json) -> None:
            found["count"] += 1
            found["lastTimestamp"] = event["lastTimestamp"]

        if self.store.get(EVENTS, name, namespace) is None:
            self.store.create(EVENTS, event, manager=reporter)
        else:
            self.store.mutate(EVENTS, name, again, namespace, manager=reporter)

    def now(self) -> str:
        return timestamp(self.store.clock())

    def priority(self, class_name: str) -> int | None:
        """The value of a PriorityClass; None if there is none of that name."""
        return self.priorities.get(class_name, BUILT_IN_PRIORITIES.get(class_name))

    def daemons_of(self, service_key: str) -> list[Json]:
        """The svclb DaemonSets that belong to a Service, also of one that had its name before."""
        return [item for item in self.daemons.values() if svclb_objects.service_of(item) == service_key]

    def _is_news(self, plural: str, item: Json) -> bool:
        key, version = key_of(item), int(item["metadata"]["resourceVersion"])
        if version <= self._versions.get((plural, key), 0):
            return False
        self._versions[plural, key] = version
        return True

    def _pod_heard(self, key: str, seen: PodView, gone: bool) -> None:
        before = self.pods.get(key)
        if gone:
            self.pods.drop(key)
            # One that nobody kept may still have been an endpoint of a Service.
            self._follower.pod_changed(before or seen, None)
            return
        if seen.daemon or seen.host_ports:
            self.pods.put(seen)
        self._follower.pod_changed(before, seen)

    def _keep(self, plural: str, item: Json, gone: bool) -> None:
        if plural == SERVICES:
            _put(self.services, key_of(item), None if gone else item)
        elif plural == PRIORITY_CLASSES:
            _put(self.priorities, key_of(item), None if gone else int(item["value"]))
        elif self._is_svclb(item):
            _put(self.daemons, item["metadata"]["name"], None if gone else item)

    def _is_svclb(self, daemon: Json) -> bool:
        metadata = daemon["metadata"]
        return metadata["namespace"] == self.namespace and SERVICE_NAME_LABEL in (
            metadata.get("labels") or {}
        )


def _put(known: dict[str, T], key: str, item: T | None) -> None:
    if item is None:
        known.pop(key, None)
    else:
        known[key] = item


def _raise_unless_gone(error: ApiError) -> None:
    if error.code != HTTPStatus.NOT_FOUND:
        raise error
