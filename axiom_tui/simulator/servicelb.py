"""K3s' ServiceLB and what it needs of Kubernetes, running: one thread that acts when something changes.

Each change leads to work for one of four: servicelb itself (`servicelb_controller`), and the DaemonSet
controller, the scheduler and the kubelets (`daemon_pods`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from http import HTTPStatus

from axiom_tui.simulator import svclb_objects
from axiom_tui.simulator.cluster_picture import WATCHED, ClusterPicture
from axiom_tui.simulator.cluster_views import NodeView, PodView
from axiom_tui.simulator.daemon_pods import DaemonPods
from axiom_tui.simulator.servicelb_controller import ServiceController
from axiom_tui.simulator.statuses import ApiError, Json
from axiom_tui.simulator.store import ObjectStore
from axiom_tui.simulator.svclb_objects import ENABLE_LABEL

NAMESPACE = "servicelb"


class Work(StrEnum):
    """What there is to do, each for the object that is named beside it."""

    SYNC = "sync"  # servicelb: the DaemonSet of a Service
    HEED = "heed"  # servicelb: a node that carries the label has changed
    PUBLISH = "publish"  # servicelb: the status of a Service
    STAFF = "staff"  # DaemonSet controller: the pods of a DaemonSet
    STAFF_NODE = "staff-node"  # DaemonSet controller: all pods of a node
    COUNT = "count"  # DaemonSet controller: the status of a DaemonSet
    PLACE = "place"  # scheduler: the pods that wait for a node
    RUN = "run"  # kubelet: the pods of a node


class ServiceLb:
    """The controller in a thread of its own, from `start` to `stop`.

    ``delay`` is the time between cause and effect in seconds, at each step of a chain. With ``grown``, what
    it finds when it starts is given DaemonSets, pods and addresses as if it had been so for months.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        namespace: str = NAMESPACE,
        delay: float = 0.0,
        grown: bool = False,
    ) -> None:
        self.store = store
        self.delay = delay
        self._namespace = namespace
        self._grown = grown
        self._cluster = ClusterPicture(store, namespace, self)
        self._daemon_pods = DaemonPods(self._cluster)
        self._services = ServiceController(self._cluster, lambda key: self._add(Work.PUBLISH, key))
        self._work: dict[Work, Callable[[str], None]] = {
            Work.SYNC: self._services.sync,
            Work.HEED: self._services.heed,
            Work.PUBLISH: self._services.publish,
            Work.STAFF: self._daemon_pods.reconcile,
            Work.STAFF_NODE: self._daemon_pods.reconcile_node,
            Work.COUNT: self._daemon_pods.count,
            Work.PLACE: self._daemon_pods.place,
            Work.RUN: self._daemon_pods.run,
        }
        self._changed = threading.Condition()
        self._news: deque[tuple[str, str, Json]] = deque()
        self._heard = 0  # the store's version up to which everything has been heard
        self._due: dict[tuple[Work, str], float] = {}  # in order, since all wait equally long
        self._busy = False
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._unsubscribe: Callable[[], None] | None = None

    def start(self) -> None:
        """Do what K3s does when it starts: sync every Service. Returns when that is done."""
        self._make_home()
        self._unsubscribe = self.store.subscribe(self._hear)
        self._heard = self.store.version
        self._cluster.load()
        if self._grown:
            self._services.grow(self._daemon_pods)
        self._cluster.tell_all()
        while self._due:
            self._do_first()
        self._busy = True
        self._thread = threading.Thread(target=self._run, name="servicelb", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End at once, whatever there is to do."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(5)

    def settle(self, timeout: float = 10.0) -> None:
        """Return when everything that follows from the store's present state is done.

        Raises TimeoutError if that takes longer than ``timeout`` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(self._is_settled, timeout):
                left = ", ".join(f"{work} {name}" for work, name in list(self._due)) or "what is under way"
                raise TimeoutError(f"servicelb has not settled within {timeout} s: {left}")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile nothing is begun: what the caller's thread changes is then met all at once."""
        with self._changed:
            yield

    def _is_settled(self) -> bool:
        if self._thread is None or not self._thread.is_alive():
            raise RuntimeError("servicelb does not run")
        # What is loaded into the store without events is not heard of: it moves `compacted` on.
        heard = max(self._heard, self.store.compacted)
        return not self._busy and not self._news and not self._due and heard >= self.store.version

    def _hear(self, kind: str, plural: str, item: Json) -> None:
        """Called by the store in a writer's thread: only take note."""
        version = int(item["metadata"].get("resourceVersion") or 0)
        with self._changed:
            self._heard = max(self._heard, version)
            if plural in WATCHED:
                self._news.append((kind, plural, item))
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._stopping or self._news or self._is_due()):
                    self._busy = False
                    self._changed.notify_all()
                    self._changed.wait(self._time_left())
                if self._stopping:
                    return
                self._busy = True
                news = list(self._news)
                self._news.clear()
            for event in news:
                self._cluster.hear(*event)
            if self._is_due():
                self._do_first()

    def _time_left(self) -> float | None:
        """Seconds until the first work is due; None if there is none."""
        due = next(iter(self._due.values()), None)
        return None if due is None else due - time.monotonic()

    def _is_due(self) -> bool:
        left = self._time_left()
        return left is not None and left <= 0

    def _do_first(self) -> None:
        work, name = next(iter(self._due))
        del self._due[work, name]
        self._work[work](name)

    def _add(self, work: Work, name: str) -> None:
        if (work, name) not in self._due:
            self._due[work, name] = time.monotonic() + self.delay

    # What follows from a change (cluster_picture.Follower)

    def node_changed(self, name: str, before: NodeView | None, after: NodeView | None) -> None:
        if after is not None and ENABLE_LABEL in after.labels:
            self._add(Work.HEED, name)
        if before == after:
            return
        self._add(Work.STAFF_NODE, name)
        self._add(Work.PLACE, name)
        self._add(Work.RUN, name)
        for daemon in self._cluster.daemons:
            self._add(Work.COUNT, daemon)

    def pod_changed(self, before: PodView | None, after: PodView | None) -> None:
        for pod in (before, after):
            if pod is None:
                continue
            if pod.daemon:
                self._add(Work.PUBLISH, pod.service)
                self._add(Work.COUNT, pod.daemon)
            else:
                self._services.endpoint_changed(pod)
            if before != after and (pod.daemon or pod.host_ports):
                self._add(Work.PLACE, pod.place)
        if after is None and before is not None and before.daemon:
            self._add(Work.STAFF_NODE, before.place)
        if before != after and after is not None and after.daemon and after.node:
            self._add(Work.RUN, after.node)

    def service_changed(self, key: str, before: Json | None, after: Json | None) -> None:
        if self._services.needs_sync(key):
            self._add(Work.SYNC, key)

    def daemon_changed(self, name: str, before: Json | None, after: Json | None) -> None:
        if before is None or after is None or before["spec"] != after["spec"]:
            self._add(Work.STAFF, name)
            self._add(Work.COUNT, name)

    def priority_changed(self) -> None:
        for name in self._cluster.daemons:
            self._add(Work.STAFF, name)

    def _make_home(self) -> None:
        """K3s makes the namespace and the ServiceAccount of the pods."""
        metadata = {"name": self._namespace, "labels": {"kubernetes.io/metadata.name": self._namespace}}
        account = {"name": svclb_objects.ACCOUNT, "namespace": self._namespace}
        wanted: list[tuple[str, Json]] = [
            ("namespaces", {"metadata": metadata, "status": {"phase": "Active"}}),
            ("serviceaccounts", {"metadata": account}),
        ]
        for plural, item in wanted:
            try:
                self.store.create(plural, item)
            except ApiError as error:
                if error.code != HTTPStatus.CONFLICT:
                    raise
