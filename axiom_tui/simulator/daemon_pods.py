"""The DaemonSet controller, the scheduler and the kubelets, as far as the svclb DaemonSets need them.

Their rules: one pod for each node that the DaemonSet's selector matches and whose taints it tolerates; a
pod that runs is not driven off by a NoSchedule taint; a host port serves one pod of a node, and those that
want it meanwhile stay Pending, those that came first first. Not simulated: preemption by priority, and
pods that outlive their deletion because their node is silent.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from axiom_tui.simulator import svclb_objects, workloads
from axiom_tui.simulator.cluster_picture import DAEMON_SETS, PODS, ClusterPicture
from axiom_tui.simulator.cluster_views import (
    HostPort,
    NodeView,
    PodView,
    Taint,
    Toleration,
    is_tolerated,
)
from axiom_tui.simulator.statuses import Json

_KEEPS_OUT = ("NoSchedule", "NoExecute")
_DRIVES_OFF = ("NoExecute",)


@dataclass(frozen=True)
class Template:
    """What of a DaemonSet decides about its pods."""

    daemon: Json
    selector: Mapping[str, str]
    tolerations: tuple[Toleration, ...]
    host_ports: frozenset[HostPort]
    revision: str

    @property
    def name(self) -> str:
        return str(self.daemon["metadata"]["name"])

    @classmethod
    def of(cls, daemon: Json) -> Template:
        spec = daemon["spec"]["template"]["spec"]
        tolerations = svclb_objects.pod_tolerations(daemon)
        ports = [port for container in spec["containers"] for port in container.get("ports") or ()]
        return cls(
            daemon,
            spec.get("nodeSelector") or {},
            tuple(msgspec.convert(tolerations, list[Toleration])),
            frozenset(
                (port.get("protocol", "TCP"), port["hostPort"]) for port in ports if "hostPort" in port
            ),
            svclb_objects.revision_of(daemon),
        )

    def selects(self, node: NodeView) -> bool:
        return all(node.labels.get(key) == value for key, value in self.selector.items())

    def should_run_on(self, node: NodeView) -> bool:
        return self.selects(node) and is_tolerated(node.taints, self.tolerations, _KEEPS_OUT)

    def may_stay_on(self, node: NodeView) -> bool:
        return self.selects(node) and is_tolerated(node.taints, self.tolerations, _DRIVES_OFF)


class DaemonPods:
    """The three of them at work on a `ClusterPicture`."""

    def __init__(self, cluster: ClusterPicture) -> None:
        self._cluster = cluster
        self._serials = itertools.count()
        self._templates: dict[str, Template] = {}

    # The DaemonSet controller

    def reconcile(self, daemon_name: str) -> None:
        """Give one DaemonSet its pods on every node, or take them away."""
        cluster = self._cluster
        daemon = cluster.daemons.get(daemon_name)
        template = self._template(daemon) if daemon else None
        pods = {pod.place: pod for pod in cluster.pods.of_daemon(daemon_name)}
        for place, pod in pods.items():
            if template is None or place not in cluster.nodes:
                cluster.delete(PODS, pod.key)
        if template is not None:
            for node in list(cluster.nodes.values()):
                self._reconcile(template, node, pods.get(node.key))

    def reconcile_node(self, node_name: str) -> None:
        """The same for every DaemonSet on one node."""
        cluster = self._cluster
        node = cluster.nodes.get(node_name)
        pods = [pod for pod in cluster.pods.on_node(node_name) if pod.daemon]
        if node is None:
            for pod in pods:
                cluster.delete(PODS, pod.key)
            return
        for daemon in cluster.daemons_by_age():
            template = self._template(daemon)
            mine = next((pod for pod in pods if pod.daemon == template.name), None)
            self._reconcile(template, node, mine)

    def _template(self, daemon: Json) -> Template:
        """Made once for each state of a DaemonSet."""
        name = daemon["metadata"]["name"]
        known = self._templates.get(name)
        if known is None or known.daemon is not daemon:
            known = self._templates[name] = Template.of(daemon)
        return known

    def _reconcile(self, template: Template, node: NodeView, pod: PodView | None) -> None:
        should_run = template.should_run_on(node)
        if pod is None:
            if should_run:
                self._create(template, node)
        elif not template.may_stay_on(node):
            self._cluster.delete(PODS, pod.key)
        elif pod.revision != template.revision:
            self._cluster.delete(PODS, pod.key)
            if should_run:
                self._create(template, node, heir=bool(pod.node))

    def _create(self, template: Template, node: NodeView, *, heir: bool = False) -> None:
        """A new pod, Pending; the ``heir`` of a pod that ran there takes over at once, with its ports."""
        daemon = template.daemon
        pod = self._new_pod(template, node, self._cluster.now())
        if pod is None:
            name = daemon["spec"]["template"]["spec"]["priorityClassName"]
            text = f'Error creating: pods "{template.name}-" is forbidden: no PriorityClass with name '
            self._cluster.event(
                daemon, "Warning", "FailedCreate", f"{text}{name} was found", "daemonset-controller"
            )
            return
        if heir and not self._taken(node.key) & template.host_ports:
            svclb_objects.bind(pod, node.key, self._cluster.now())
        self._cluster.create(PODS, pod)

    def _new_pod(self, template: Template, node: NodeView, created: str) -> Json | None:
        """A pod of the DaemonSet for a node, with a name that no other has. None: its class is missing."""
        daemon = template.daemon
        priority = self._cluster.priority(daemon["spec"]["template"]["spec"]["priorityClassName"])
        if priority is None:
            return None
        while True:
            pod = svclb_objects.daemon_pod(
                daemon, node, template.revision, next(self._serials), priority, created
            )
            if self._cluster.pods.get(f"{self._cluster.namespace}/{pod['metadata']['name']}") is None:
                return pod

    def grow(self, daemon: Json) -> None:
        """The pods that a DaemonSet has had for long; those on a silent node were there before that."""
        template, cluster = self._template(daemon), self._cluster
        founded = daemon["metadata"]["creationTimestamp"]
        for node in cluster.nodes.values():
            if not template.should_run_on(_before_silence(node)):
                continue
            since = max(founded, node.created)
            pod = self._new_pod(template, node, since)
            if pod is None:
                continue
            if not self._taken(node.key) & template.host_ports:
                svclb_objects.bind(pod, node.key, since)
                svclb_objects.run(pod, node, since)
                if not node.ready:
                    workloads.set_ready(pod, False, cluster.store.clock())
            cluster.adopt(PODS, pod)

    def count(self, daemon_name: str) -> None:
        """Write the DaemonSet's status."""
        daemon = self._cluster.daemons.get(daemon_name)
        if daemon is None:
            return
        status = self.status(daemon)
        if status != daemon.get("status"):
            key = f"{self._cluster.namespace}/{daemon_name}"
            self._cluster.mutate(
                DAEMON_SETS, key, lambda item: item.update(status=status), subresource="status"
            )

    def status(self, daemon: Json) -> Json:
        template = self._template(daemon)
        pods = {pod.place: pod for pod in self._cluster.pods.of_daemon(template.name)}
        wanted = {name for name, node in self._cluster.nodes.items() if template.should_run_on(node)}
        ready = sum(pods[name].ready for name in wanted & pods.keys())
        found: Json = {
            "currentNumberScheduled": len(wanted & pods.keys()),
            "numberMisscheduled": len(pods.keys() - wanted),
            "desiredNumberScheduled": len(wanted),
            "numberReady": ready,
            "observedGeneration": daemon["metadata"]["generation"],
        }
        rest = {
            "updatedNumberScheduled": sum(
                pods[name].revision == template.revision for name in wanted & pods.keys()
            ),
            "numberAvailable": ready,
            "numberUnavailable": len(wanted) - ready,
        }
        return found | {key: number for key, number in rest.items() if number}

    # The scheduler

    def place(self, node_name: str) -> None:
        """Bind the pods that wait for this node, or say why they have to wait on."""
        cluster = self._cluster
        node = cluster.nodes.get(node_name)
        if node is None:
            return
        taken = self._taken(node_name)
        for pod in cluster.pods.on_node(node_name):
            if pod.node or not pod.daemon:
                continue
            if taken & pod.host_ports:
                self._refuse(pod, "didn't have free ports for the requested pod ports")
            elif not is_tolerated(node.taints, pod.tolerations, _KEEPS_OUT):
                self._refuse(pod, "had untolerated taint(s)")
            else:
                taken |= pod.host_ports
                now = cluster.now()
                cluster.mutate(PODS, pod.key, _binding(node_name, now))

    def _refuse(self, pod: PodView, why: str) -> None:
        if not pod.unschedulable:
            message = f"0/{len(self._cluster.nodes)} nodes are available: 1 node(s) {why}."
            now = self._cluster.now()
            self._cluster.mutate(
                PODS, pod.key, lambda item: svclb_objects.refuse(item, message, now), subresource="status"
            )

    def _taken(self, node_name: str) -> frozenset[HostPort]:
        bound = (pod for pod in self._cluster.pods.on_node(node_name) if pod.node)
        return frozenset(port for pod in bound for port in pod.host_ports)

    # The kubelets

    def run(self, node_name: str) -> None:
        """What the node's kubelet makes of its pods, or the node controller if the kubelet is silent."""
        node = self._cluster.nodes.get(node_name)
        if node is None:
            return
        for pod in self._cluster.pods.on_node(node_name):
            if pod.daemon and pod.node and (pod.ready != node.ready or (node.ready and not pod.pod_ip)):
                self._cluster.mutate(PODS, pod.key, self._outcome(node, pod), subresource="status")

    def _outcome(self, node: NodeView, pod: PodView) -> Callable[[Json], None]:
        if node.ready and not (pod.running and pod.pod_ip):
            now = self._cluster.now()
            return lambda item: svclb_objects.run(item, node, now)
        moment = self._cluster.store.clock()
        return lambda item: workloads.set_ready(item, node.ready, moment)


def _binding(node_name: str, now: str) -> Callable[[Json], None]:
    return lambda item: svclb_objects.bind(item, node_name, now)


def _before_silence(node: NodeView) -> NodeView:
    """The node as it was before it fell silent."""
    silent = ("node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready")
    kept: tuple[Taint, ...] = tuple(taint for taint in node.taints if taint.key not in silent)
    return msgspec.structs.replace(node, taints=kept)
