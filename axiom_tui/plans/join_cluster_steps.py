"""The steps of a join that look at the cluster: name, node, addresses, Cilium, labels, and the proof."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from axiom_tui.clients.kubernetes_wire import NODES
from axiom_tui.model.fleet import Cluster, Observation, Row
from axiom_tui.model.join import join
from axiom_tui.model.labels import label_arguments
from axiom_tui.model.naming import NamingScheme
from axiom_tui.model.node import Node, Pod, is_tailnet_ip
from axiom_tui.model.pools import found_labels, found_pool, labels_for
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind, fail
from axiom_tui.model.rules import Rules
from axiom_tui.model.tailnet import TailnetDevice
from axiom_tui.plans.join_choice import JoinSpec
from axiom_tui.plans.joining_node import JoiningNode, another, is_of
from axiom_tui.plans.label_nodes import LabelStep, Premise
from axiom_tui.plans.step import Json, Run, Step

CILIUM_LABEL = "k8s-app"
CILIUM = "cilium"


class NodeStep(Step):
    """A step that looks at the joining node."""

    interruptible = True
    reversible = False
    only_looks = True

    def __init__(self, node: JoiningNode, spec: JoinSpec) -> None:
        self._node = node
        self._spec = spec

    def interrupt(self) -> None:
        self._node.client.interrupt()

    def _own(self) -> Node:
        """The node; raises MISSING if it is gone."""
        node = self._node.own()
        if node is None:
            raise fail(
                ProblemKind.MISSING,
                f"The node {self._spec.node} is not in the cluster (any more).",
                f"Look at `journalctl -u {self._spec.unit}` on the host; then resume this plan.",
            )
        return node


class NameIsFree(NodeStep):
    """Looks again that nobody took the name since the plan was made."""

    key = "name"

    def __init__(self, node: JoiningNode, spec: JoinSpec) -> None:
        super().__init__(node, spec)
        self.title = f"Make sure that the name {spec.name} is free"
        self.commands = (f"{node.kubectl} get node {spec.node}",)

    def is_done(self, run: Run) -> bool:
        self._node.own()
        return True

    def run(self, run: Run) -> None:
        return


class NodeAppears(NodeStep):
    """Waits for the node object, and remembers its ``uid``."""

    key = "node"

    def __init__(self, node: JoiningNode, spec: JoinSpec) -> None:
        super().__init__(node, spec)
        self.deadline = spec.ready_timeout + 30.0
        self.title = f"Wait until the node {spec.node} appears in the cluster"
        self.commands = (f"{node.kubectl} get node {spec.node} --watch",)

    def is_done(self, run: Run) -> bool:
        node = self._node.own()
        if node is None:
            return False
        run.remember({"uid": node.uid})  # so that undo knows it from one that comes after it
        return True

    def run(self, run: Run) -> None:
        run.wait_for(
            f"the node {self._spec.node} to appear",
            lambda: self.is_done(run),
            self._spec.ready_timeout,
            remedy=f"`journalctl -u {self._spec.unit}` on the host says why it does not; then resume.",
        )


class NodeIsReady(NodeStep):
    """Waits until the node is Ready, and says why it is not."""

    key = "ready"

    def __init__(self, node: JoiningNode, spec: JoinSpec) -> None:
        super().__init__(node, spec)
        self.deadline = spec.ready_timeout + 30.0
        self.title = f"Wait until {spec.node} is Ready"
        self.commands = (f"{node.kubectl} wait --for=condition=Ready node/{spec.node}",)

    def is_done(self, run: Run) -> bool:
        return self._own().is_ready

    def run(self, run: Run) -> None:
        run.remember({})
        reason = ""

        def is_ready() -> bool:
            nonlocal reason
            node = self._own()
            found = why_not_ready(node)
            if found != reason:
                reason = found
                run.output(f"{node.name}: {found or 'Ready'}")
            return not found

        try:
            run.wait_for(f"{self._spec.node} to become Ready", is_ready, self._spec.ready_timeout, 2.0)
        except AxiomError as error:
            if error.problem.kind is not ProblemKind.TIMED_OUT:
                raise
            raise fail(
                ProblemKind.TIMED_OUT,
                f"{error.problem.sentence} The kubelet says: {reason or 'nothing'}.",
                f"`kubectl describe node {self._spec.node}`; on the host `journalctl -u {self._spec.unit}`; "
                "then resume.",
            ) from error


def why_not_ready(node: Node) -> str:
    """The reason in the words of the kubelet, "" if the node is Ready."""
    ready = node.condition("Ready")
    if ready is not None and ready.status == "True":
        return ""
    return f"{ready.reason}: {ready.message}".strip(": ") if ready else "no condition yet"


class AddressesAreRight(NodeStep):
    """Proves that K3s took the addresses that were meant: left alone, it picks wrong ones."""

    key = "addresses"

    def __init__(self, node: JoiningNode, spec: JoinSpec) -> None:
        super().__init__(node, spec)
        external = f" and its ExternalIP {spec.public_ip}" if spec.public_ip else ""
        self.title = f"Prove that its node-ip is {spec.tailnet_ip}{external}"
        self.commands = (f"{node.kubectl} get node {spec.node} -o wide",)

    def is_done(self, run: Run) -> bool:
        return not self._faults()

    def run(self, run: Run) -> None:
        faults = self._faults()
        if faults:
            raise fail(
                ProblemKind.BROKEN,
                f"{self._spec.name} has joined with wrong addresses: {'; '.join(faults)}.",
                "Look for other files in /etc/rancher/k3s on the host that set node-ip; correct them, "
                f"restart {self._spec.unit}, then resume this plan from the journal.",
            )

    def _faults(self) -> list[str]:
        node, spec = self._own(), self._spec
        faults = []
        if node.internal_ips[:1] != (spec.tailnet_ip,) or not is_tailnet_ip(spec.tailnet_ip):
            found = ", ".join(node.internal_ips) or "missing"
            faults.append(f"its InternalIP is {found}, not {spec.tailnet_ip}")
        if spec.public_ip and spec.public_ip not in node.external_ips:
            found = ", ".join(node.external_ips) or "missing"
            faults.append(f"its ExternalIP is {found}, not {spec.public_ip}")
        if not spec.public_ip and node.external_ips:
            faults.append(f"it has the ExternalIP {', '.join(node.external_ips)}, and should have none")
        return faults


class CiliumIsReady(NodeStep):
    """Waits for the Cilium agent on the node: without it no pod there has a network."""

    key = "cilium"

    def __init__(self, node: JoiningNode, spec: JoinSpec) -> None:
        super().__init__(node, spec)
        self.deadline = spec.ready_timeout + 30.0
        self.title = f"Wait until Cilium runs on {spec.node}"
        selector = f"--field-selector spec.nodeName={spec.node}"
        self.commands = (f"{node.kubectl} get pods -A -l {CILIUM_LABEL}={CILIUM} {selector}",)

    def is_done(self, run: Run) -> bool:
        return any(pod.ready for pod in self._agents())

    def run(self, run: Run) -> None:
        run.remember({})
        run.wait_for(
            f"the Cilium agent on {self._spec.node}",
            lambda: self.is_done(run),
            self._spec.ready_timeout,
            2.0,
            remedy=f"`kubectl describe pod -A -l {CILIUM_LABEL}={CILIUM}` says why; then resume.",
        )

    def _agents(self) -> list[Pod]:
        return [pod for pod in self._node.pods() if is_cilium_agent(pod)]


def is_cilium_agent(pod: Pod) -> bool:
    """One pod of Cilium's DaemonSet, whatever chart or namespace it came by."""
    named = pod.owner_kind == "DaemonSet" and pod.owner_name == CILIUM
    return named or pod.labels.get(CILIUM_LABEL) == CILIUM


class LabelTheNode(NodeStep):
    """Puts the node into its pool; normally its own configuration did so when it registered."""

    key = "labels"
    interruptible = False
    reversible = True
    only_looks = False

    def __init__(self, node: JoiningNode, spec: JoinSpec, cluster: Cluster, naming: NamingScheme) -> None:
        super().__init__(node, spec)
        self._cluster = cluster
        self._naming = naming
        self._wanted = labels_for(spec.pool)
        pool = f"in the pool {spec.pool}" if spec.pool else "in no pool"
        self.title = f"Make sure that {spec.name} is {pool}"
        labels = label_arguments(self._wanted)
        self.commands = (f"{node.kubectl} label node {spec.node} {labels} --overwrite",)

    def is_done(self, run: Run) -> bool:
        return found_labels(self._own()) == self._wanted

    def run(self, run: Run) -> None:
        self._step(self._own()).run(run)

    def is_undone(self, run: Run) -> bool:
        node = self._node.found()
        if node is None:
            return True
        if not is_of(self._spec, node):
            run.output(f"{another(self._spec, node)} Its labels are left alone.")
            return True
        return self._step(node).is_undone(run)

    def undo(self, run: Run) -> None:
        self._step(self._own()).undo(run)

    def objection_to_undo(self, node: Node, before: Mapping[str, Json]) -> Problem | None:
        """As that of a `LabelStep`; None for another host's node, which is left alone."""
        return self._step(node).objection_to_undo(node, before) if is_of(self._spec, node) else None

    def _step(self, node: Node) -> LabelStep:
        premise = Premise.of(node)
        return LabelStep(self._node.client, self._cluster, self._naming, node.name, premise, self._spec.pool)


class AllInOrder(NodeStep):
    """The final proof: what the fleet says of the new node."""

    key = "proof"

    def __init__(
        self,
        node: JoiningNode,
        spec: JoinSpec,
        rules: Rules,
        version: str,
        devices: Callable[[], tuple[TailnetDevice, ...]] | None,
    ) -> None:
        super().__init__(node, spec)
        self._rules = rules
        self._version = version
        self._devices = devices
        self._told = threading.Event()
        self.title = f"Prove that {spec.name} is all in order"
        self.commands = (f"axiom-tui nodes --selector kubernetes.io/hostname={spec.node}",)

    def is_done(self, run: Run) -> bool:
        """Never done before it was said: the account is its purpose."""
        return self._told.is_set()

    def run(self, run: Run) -> None:
        row = self._row(run)
        node = row.node
        assert node is not None
        for line in proof_of(node):
            run.output(line)
        self._told.set()
        run.output(f"{row.name}: {row.verdict or 'all in order'}")
        for finding in row.findings:
            run.output(f"{finding.severity.word}: {finding.sentence}")
        if not node.is_ready:
            self._told.clear()
            raise fail(
                ProblemKind.BROKEN,
                f"{row.name} has joined, but {row.verdict}.",
                "See to it, then resume this plan from the journal.",
            )

    def _row(self, run: Run) -> Row:
        nodes = self._node.client.list(NODES).items
        devices: tuple[TailnetDevice, ...] = ()
        if self._devices is not None:
            try:
                devices = self._devices()
            except AxiomError as error:
                run.output(f"Without the tailnet: {error.problem.sentence}")
        seen = Observation(nodes=nodes, devices=devices, version=self._version)
        rows = join(seen, self._rules, datetime.now().astimezone(), self._version).rows
        self._own()
        return next(row for row in rows if row.key == self._spec.node)


def proof_of(node: Node) -> tuple[str, ...]:
    """What stands in the cluster of this node, one line each."""
    return (
        f"architecture: {node.architecture}; {node.os_image}; kernel {node.kernel_version}",
        f"K3s: {node.kubelet_version}; {node.container_runtime}",
        f"node-ip: {', '.join(node.internal_ips) or 'none'}",
        f"external: {', '.join(node.external_ips) or 'none'}",
        f"pool: {found_pool(node) or 'none'}",
    )
