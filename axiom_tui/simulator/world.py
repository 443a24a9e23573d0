"""The simulated world: one fleet, its tailnet and its cluster, behind all simulated services.

The tailnet's truth is in `World.tailnet`, the cluster's in `World.store`, and what ties the two together
(a machine that falls silent, a host that joins) is done here, so that every service tells the same story.
"""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from axiom_tui.simulator import cast, inventory, manifests, nodes, workloads
from axiom_tui.simulator.cast import Machine
from axiom_tui.simulator.manifests import Manifest
from axiom_tui.simulator.statuses import ApiError
from axiom_tui.simulator.store import ObjectStore
from axiom_tui.simulator.tailnet import Tailnet

NODES = "nodes"
PODS = "pods"
EVENTS = "events"
LEASES = "leases.coordination.k8s.io"
NODE_METRICS = "nodes.metrics.k8s.io"
LEASE_NAMESPACE = "kube-node-lease"
CONTROLLER = "node-controller"
#: Where the resourceVersions of a world begin: an API server that has been up for months.
FIRST_VERSION = 7_310_000

#: How long the node controller waits for a silent kubelet before it calls the node NotReady.
GRACE = timedelta(seconds=40)


BATCH = 250


def utc_now() -> datetime:
    return datetime.now(UTC)


class World:
    """Machines, tailnet and cluster. Thread-safe.

    ``nodes`` is the number of nodes (None: the default fleet of 11), ``seed`` decides everything random,
    ``now`` is the world's clock.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        nodes: int | None = None,
        seed: int = 1,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.store = store
        self.now = now
        self.seed = seed
        self.random = random.Random(seed)
        self.started = now()
        machines = cast.default_machines() if nodes is None else cast.many_machines(nodes)
        self.tailnet = Tailnet(
            cast.TAILNET, cast.SUFFIX, cast.fleet_devices(machines, self.started), cast.SELF_NUMBER, seed
        )
        self._lock = threading.RLock()
        self._machines: dict[str, Machine] = {}
        self._create_cluster(machines)
        store.subscribe(self._heard)

    @property
    def cluster(self) -> str:
        return cast.CLUSTER

    def machines(self) -> tuple[Machine, ...]:
        """All machines that are nodes, in the order in which they joined."""
        with self._lock:
            return tuple(self._machines.values())

    def machine(self, node_name: str) -> Machine:
        """KeyError if there is no such node."""
        with self._lock:
            return self._machines[node_name]

    def is_ready(self, node_name: str) -> bool:
        node = self.store.get(NODES, node_name)
        conditions = node["status"]["conditions"] if node else []
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    def add_node(
        self, machine: Machine, *, ready: bool = True, change: Callable[[Manifest], None] | None = None
    ) -> None:
        """The machine registers with the cluster, and the DaemonSets' pods come up on it.

        ``change`` edits the Node before anybody sees it.
        """
        name, moment, node_uid = machine.node_name, self.now(), ""
        with self._lock:
            self._machines[name] = machine
        for plural, manifest in self._node_objects(machine, moment).items():
            if plural == NODES and not ready:
                nodes.not_ready_yet(manifest, moment)
            if plural == NODES and change is not None:
                change(manifest)
            if plural == LEASES:
                manifest["metadata"]["ownerReferences"][0]["uid"] = node_uid
            created = self.store.create(plural, manifest)
            if plural == NODES:
                node_uid = created["metadata"]["uid"]
        for pod in workloads.daemon_pods([machine], moment):
            if not ready:
                workloads.set_ready(pod, False, moment)
            self.store.create(PODS, pod)
        self.event(name, "Starting", "Starting kubelet.", "kubelet", moment)
        text = f"Node {name} event: Registered Node {name} in Controller"
        self.event(name, "RegisteredNode", text, CONTROLLER, moment)

    def remove_node(self, node_name: str) -> None:
        """The node is gone, with everything that was on it; its device stays in the tailnet."""
        self._delete(NODES, node_name)  # the rest follows, as after `kubectl delete node`
        self._bury(node_name)

    def _heard(self, kind: str, plural: str, item: Manifest) -> None:
        """A node that anybody deletes takes its Lease, its metrics and its pods with it.

        K3s holds each Node by finalizers and lets it go once it has tidied up after it.
        """
        if plural != NODES:
            return
        name = item["metadata"]["name"]
        if kind == "DELETED":
            self._bury(name)
        elif item["metadata"].get("deletionTimestamp") and item["metadata"].get("finalizers"):
            self._mutate(NODES, name, nodes.let_go)

    def _bury(self, node_name: str) -> None:
        with self._lock:
            self._machines.pop(node_name, None)
        self._delete(NODE_METRICS, node_name)
        self._delete(LEASES, node_name, LEASE_NAMESPACE)
        for namespace, name in self.pods_on(node_name):
            self._delete(PODS, name, namespace)

    def _delete(self, plural: str, name: str, namespace: str = "") -> None:
        """Delete what may be gone already: clients delete too."""
        with _absence_is_fine():
            self.store.delete(plural, name, namespace)

    def _mutate(
        self, plural: str, name: str, change: Callable[[Manifest], None], namespace: str = "", **by: str
    ) -> None:
        """Change what may be gone already: clients delete too."""
        with _absence_is_fine():
            self.store.mutate(plural, name, change, namespace, **by)

    def silence(self, node_name: str, since: datetime | None = None) -> None:
        """The node's kubelet is no longer heard: NotReady, its pods not ready, an Event."""
        moment = since or self.now()
        self._mutate(NODES, node_name, lambda node: nodes.silence(node, moment))
        self._set_pods_ready(node_name, False, moment)
        self._delete(NODE_METRICS, node_name)
        self.event(node_name, "NodeNotReady", _status_now(node_name, "NodeNotReady"), CONTROLLER, moment)

    def revive(self, node_name: str) -> None:
        """The node's kubelet is heard again: Ready, its pods too."""
        moment, machine = self.now(), self._machines.get(node_name)
        if machine is None:
            return  # deleted meanwhile
        self._mutate(NODES, node_name, lambda node: nodes.revive(node, moment, machine))
        self._set_pods_ready(node_name, True, moment)
        self.renew(node_name)
        self.measure(node_name)
        self.event(node_name, "NodeReady", _status_now(node_name, "NodeReady"), "kubelet", moment)

    def beat(self, node_name: str) -> None:
        """The kubelet posts its status."""
        moment = self.now()
        self._mutate(NODES, node_name, lambda node: nodes.beat(node, moment))

    def flip_memory_pressure(self, node_name: str) -> None:
        """MemoryPressure comes or goes: a change that every client of the fleet shows."""
        moment = self.now()
        self._mutate(NODES, node_name, lambda node: nodes.flip_memory_pressure(node, moment))

    def renew(self, node_name: str) -> None:
        """The kubelet renews its Lease."""
        moment = manifests.micro_stamp(self.now())

        def change(lease: Manifest) -> None:
            lease["spec"]["renewTime"] = moment

        self._mutate(LEASES, node_name, change, LEASE_NAMESPACE)

    def measure(self, node_name: str) -> None:
        """metrics-server scrapes the node: its use moves a little."""
        machine, moment = self._machines.get(node_name), self.now()
        if machine is None:
            return  # deleted meanwhile
        cpu, memory = self._usage(machine)
        fresh = nodes.node_metrics(machine, cpu, memory, moment)
        if self.store.get(NODE_METRICS, node_name) is None:
            self.store.create(NODE_METRICS, fresh)
            return

        def change(metrics: Manifest) -> None:
            metrics.update(timestamp=fresh["timestamp"], usage=fresh["usage"])

        self._mutate(NODE_METRICS, node_name, change)

    def event(self, node_name: str, reason: str, message: str, reporter: str, at: datetime) -> None:
        """An Event about a node; one that happened before counts on."""
        manifest = nodes.node_event(node_name, reason, message, reporter, at)
        name = manifest["metadata"]["name"]
        node = self.store.get(NODES, node_name)
        if node is not None:
            manifest["involvedObject"]["uid"] = node["metadata"]["uid"]

        def again(event: Manifest) -> None:
            event["count"] += 1
            event["lastTimestamp"] = manifest["lastTimestamp"]

        if self.store.get(EVENTS, name, "default") is None:
            self.store.create(EVENTS, manifest, "default", manager=reporter)
        else:
            self._mutate(EVENTS, name, again, "default", manager=reporter)

    def pods_on(self, node_name: str) -> list[tuple[str, str]]:
        """Namespace and name of each pod of the node."""
        pods, _ = self.store.snapshot(PODS)
        return [(pod.namespace, pod.name) for pod in pods if pod.fields["spec.nodeName"] == node_name]

    def _set_pods_ready(self, node_name: str, ready: bool, moment: datetime) -> None:
        for namespace, name in self.pods_on(node_name):
            self._mutate(PODS, name, lambda pod: workloads.set_ready(pod, ready, moment), namespace)

    def _usage(self, machine: Machine) -> tuple[float, float]:
        """CPU and memory as shares: a level of its own per machine, and some noise."""
        level = random.Random(f"{self.seed} {machine.name}")
        cpu = level.uniform(0.03, 0.35) + self.random.uniform(-0.02, 0.06)
        memory = level.uniform(0.2, 0.7) + self.random.uniform(-0.01, 0.01)
        return max(0.01, cpu), memory

    def _create_cluster(self, machines: list[Machine]) -> None:
        """Load everything as if it had grown there over months; machines in batches, to save memory."""
        moment = self.started
        founded = moment - max((machine.age for machine in machines), default=timedelta(days=1))
        objects = workloads.place([item for item in machines if item.not_ready_for is None], moment)
        objects["namespaces"] = [workloads.namespace(name, founded) for name in inventory.NAMESPACES]
        objects["priorityclasses.scheduling.k8s.io"] = workloads.priority_classes(founded)
        self._machines = {machine.node_name: machine for machine in machines}
        objects[EVENTS] = [
            nodes.node_event(name, *event, moment - ago, "Warning")
            for name, ago, event in inventory.PAST_EVENTS
            if name in self._machines
        ]
        version = self._load(objects, FIRST_VERSION)
        for start in range(0, len(machines), BATCH):
            objects = defaultdict(list)
            for machine in machines[start : start + BATCH]:
                for plural, manifest in self._grown_objects(machine, moment):
                    objects[plural].append(manifest)
            version = self._load(objects, version)

    def _load(self, objects: Mapping[str, list[Manifest]], version: int) -> int:
        """Put the objects into the store, versioned from ``version`` on; the last version."""
        for plural, of_kind in objects.items():
            for manifest in of_kind:
                version += 1
                manifest["metadata"]["resourceVersion"] = str(version)
            self.store.load(plural, of_kind, version)
        return version

    def _grown_objects(self, machine: Machine, moment: datetime) -> Iterator[tuple[str, Manifest]]:
        """All that belongs to one machine, as it is when the world begins."""
        since = moment - (machine.not_ready_for or timedelta()) + GRACE
        for plural, manifest in self._node_objects(machine, moment).items():
            if plural == NODES and machine.not_ready_for is not None:
                nodes.silence(manifest, since)
            yield plural, manifest
        for pod in workloads.daemon_pods([machine], moment):
            if machine.not_ready_for is not None:
                workloads.set_ready(pod, False, since)
            yield PODS, pod
        if machine.not_ready_for is not None:
            name = machine.node_name
            text = _status_now(name, "NodeNotReady")
            yield EVENTS, nodes.node_event(name, "NodeNotReady", text, CONTROLLER, since)

    def _node_objects(self, machine: Machine, moment: datetime) -> dict[str, Manifest]:
        """The node, its Lease and (if it is heard) its metrics, by the store's plural."""
        objects = {
            NODES: nodes.node(machine, moment),
            LEASES: nodes.lease(
                machine.node_name, moment - (machine.not_ready_for or timedelta()), moment - machine.age
            ),
        }
        if machine.not_ready_for is None:
            objects[NODE_METRICS] = nodes.node_metrics(machine, *self._usage(machine), moment)
        return objects


def _status_now(node_name: str, state: str) -> str:
    return f"Node {node_name} status is now: {state}"


@contextmanager
def _absence_is_fine() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        if error.code != HTTPStatus.NOT_FOUND:
            raise
