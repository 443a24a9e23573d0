"""The node object of a host that joins: whether it is there and is this host, and how it goes again."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence

from axiom_tui.clients.kubernetes_wire import NODES, PODS
from axiom_tui.model.node import Node, Pod
from axiom_tui.model.problem import AxiomError, ProblemKind, fail
from axiom_tui.plans.access import ClusterClient
from axiom_tui.plans.join_choice import JoinSpec
from axiom_tui.plans.step import Right, Run

#: What taking it away needs to be allowed.
REMOVAL_RIGHTS = (Right("delete", "nodes"), Right("create", "pods", subresource="eviction"))
#: How long pods have to move away when a join is taken back, in seconds.
DRAIN_WITHIN = 120.0


class JoiningNode:
    """Looks at the cluster afresh at each call. ``kubectl`` is how a person calls it for this cluster."""

    def __init__(self, client: ClusterClient, spec: JoinSpec, context: str) -> None:
        self.client = client
        self.kubectl = f"kubectl --context {shlex.quote(context)}" if context else "kubectl"
        self._spec = spec

    def found(self) -> Node | None:
        """The node of this name; None if there is none."""
        try:
            return self.client.get(NODES, self._spec.node)
        except AxiomError as error:
            if error.problem.kind is ProblemKind.MISSING:
                return None
            raise

    def own(self) -> Node | None:
        """The node, if it is there and is this host. Raises CONFLICT if another host has the name."""
        node = self.found()
        if node is not None and not is_of(self._spec, node):
            raise fail(
                ProblemKind.CONFLICT,
                another(self._spec, node),
                "Take another name and make the plan again.",
            )
        return node

    def pods(self) -> Sequence[Pod]:
        """All pods on the node."""
        selector = f"spec.nodeName={self._spec.node}"
        return self.client.list(PODS, field_selector=selector).items

    def remove(self, run: Run, node: Node, *, reached: bool = True) -> None:
        """Move its pods away, then delete it; K3s removes its password, and a server's etcd member.

        ``reached`` False: the host gives no answer over SSH. Its kubelet may live all the same, so a Ready
        node is emptied; but pods that do not move hold nothing up, since nobody may be there to end them.
        """
        self.client.cordon_node(node.name)
        if node.is_ready:
            self._drain(run, reached=reached)
        else:
            run.output(f"{node.name} is not Ready: its pods are left to the cluster.")
        try:
            self.client.delete_node(node.name)
        except AxiomError as error:
            if error.problem.kind is not ProblemKind.MISSING:
                raise
        run.wait_for(f"the node {node.name} to be gone", lambda: self.found() is None, 60.0)

    def removal(self) -> tuple[str, ...]:
        """What `remove` does, as a person would type it."""
        drain = "--ignore-daemonsets --delete-emptydir-data --timeout=120s"
        return (
            f"{self.kubectl} drain {self._spec.node} {drain}",
            f"{self.kubectl} delete node {self._spec.node}",
        )

    def _drain(self, run: Run, *, reached: bool) -> None:
        asked: set[str] = set()
        ends = time.monotonic() + DRAIN_WITHIN

        def is_empty() -> bool:
            left = [pod for pod in self.pods() if pod.owner_kind != "DaemonSet" and not _is_over(pod)]
            for pod in left:
                if pod.uid in asked or pod.deleting:
                    continue
                try:
                    self.client.evict_pod(pod.namespace, pod.name)
                except AxiomError as error:
                    if error.problem.kind is ProblemKind.THROTTLED:
                        run.output(f"{pod.namespace}/{pod.name}: {error.problem.sentence}")
                        continue
                    if error.problem.kind is not ProblemKind.MISSING:
                        raise
                asked.add(pod.uid)
                run.output(f"evicted {pod.namespace}/{pod.name}")
            if left and not reached and time.monotonic() >= ends:
                names = ", ".join(f"{pod.namespace}/{pod.name}" for pod in left)
                run.output(
                    f"{self._spec.node} is not reached, and after {DRAIN_WITHIN:.0f} s these pods have not "
                    f"moved away: {names}. They are left to the cluster."
                )
                return True
            return not left

        run.wait_for(
            f"the pods of {self._spec.node} to move away",
            is_empty,
            DRAIN_WITHIN,
            remedy="See which disruption budget or volume holds them, then undo again.",
        )


def is_of(spec: JoinSpec, node: Node, uid: str = "") -> bool:
    """Whether a node of the host's name is this host: names are given again, tailnet addresses are not.

    With ``uid`` also whether it is the very node that has this one: a host may have joined again.
    """
    return spec.tailnet_ip in node.internal_ips and uid in ("", node.uid)


def another(spec: JoinSpec, node: Node) -> str:
    """What is said of a node that only has the host's name, or its address too."""
    if is_of(spec, node):
        return f"{spec.name} was registered again since it joined."
    where = ", ".join(node.internal_ips) or "no address"
    return f"{spec.name} is the name of another node by now ({where}, and not {spec.tailnet_ip})."


def left_alone(spec: JoinSpec, node: Node) -> str:
    """What the undo of a join says of it."""
    return f"{another(spec, node)} It is left alone: this join did not make it."


def _is_over(pod: Pod) -> bool:
    return pod.phase in ("Succeeded", "Failed") or pod.owner_kind == "Node"
