"""The step after labels: lets servicelb catch up with them, and proves that it did.

K3s leaves some DaemonSets with a stale selector when node labels change (facts: k3s-and-backups.md, 2.4).
The remedy is to touch the Service: an annotation makes K3s sync it. What should be is not remembered but
computed from the cluster as it is, so that the same step settles a plan, its resume, and its undo.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from axiom_tui.clients.kubernetes_wire import DAEMON_SETS, NODES, PODS, SERVICES, Listing, Resource
from axiom_tui.model.fleet import Observation
from axiom_tui.model.node import Node, Pod, Service
from axiom_tui.model.problem import AxiomError, ProblemKind, fail
from axiom_tui.model.servicelb import (
    HAS_SELECTOR_LABEL,
    SERVICE_NAME_LABEL,
    SERVICE_NAMESPACE_LABEL,
    Balancer,
    Served,
    balancers,
    serve,
    stale,
)
from axiom_tui.plans.step import Json, Right, Run, Step

T = TypeVar("T")

#: What a touch writes. Its value is the time, so that it is another one each time.
TOUCHED_ANNOTATION = "axiom-tui.technat.ch/touched"
#: K3s needs seconds; a node that has to pull the image of svclb first needs a minute.
SETTLED_WITHIN = 120.0
#: K3s takes a moment to notice labels by itself. A touch that comes before that may be lost, hence again.
NOTICED_WITHIN = 1.0
TOUCHED_AGAIN_AFTER = 30.0
REMEDY = (
    "The labels are set, and stay so. Look at the events of the Services and at "
    f"`kubectl get daemonset -A -l {HAS_SELECTOR_LABEL}`; restarting k3s on a server syncs all of them. "
    "Then resume this plan from the journal."
)


class ServiceClient(Protocol):
    """What this step reads and touches; `clients.kubernetes` has it."""

    def list(self, resource: Resource[T], namespace: str = "", label_selector: str = "") -> Listing[T]: ...

    def patch_service_labels(
        self,
        namespace: str,
        name: str,
        labels: Mapping[str, str | None],
        *,
        annotations: Mapping[str, str | None] | None = None,
        resource_version: str,
    ) -> Service:
        """Set these labels and annotations and no others."""
        ...


def observe(client: ServiceClient) -> Observation:
    """All that the effect on the Services depends on, read afresh."""
    return Observation(
        nodes=client.list(NODES).items,
        services=client.list(SERVICES).items,
        daemon_sets=client.list(DAEMON_SETS, label_selector=HAS_SELECTOR_LABEL).items,
        pods=client.list(PODS).items,
    )


@dataclass(frozen=True, slots=True)
class Look:
    """The cluster's load balancing at one moment."""

    nodes: tuple[Node, ...]
    pods: tuple[Pod, ...]
    balancers: tuple[Balancer, ...]

    @classmethod
    def at(cls, client: ServiceClient) -> Look:
        seen = observe(client)
        return cls(seen.nodes, seen.pods, balancers(seen.services, seen.daemon_sets, seen.nodes))

    @property
    def stale(self) -> tuple[Balancer, ...]:
        return stale(self.balancers, self.nodes)

    def unsettled(self) -> tuple[str, ...]:
        """What is not (yet) as servicelb's rule says, one sentence each."""
        old = {item.service.full_name for item in self.stale}
        said = [f"{name}: K3s has not synced its selector" for name in sorted(old)]
        running = _running(self.pods)
        for served in serve(self.nodes, self.balancers, self.pods):
            name = served.service.full_name
            if name not in old:
                said += _differences(served, running.get(name, frozenset()), self.nodes)
        return tuple(said)


class SettleServiceLb(Step):
    """Touches the Services that K3s left stale, and waits until pods and addresses are as they should be."""

    key = "servicelb"
    title = "Let K3s' load balancer follow the labels, and prove that it did"
    interruptible = True
    settles = True
    rights = (
        Right("list", "nodes"),
        Right("list", "services"),
        Right("list", "pods"),
        Right("list", "daemonsets", "apps"),
        Right("patch", "services"),
    )

    def __init__(
        self,
        client: ServiceClient,
        context: str = "",
        expected: Sequence[str] = (),
        within: float = SETTLED_WITHIN,
    ) -> None:
        """``expected``: the Services (namespace/name) that are foreseen to need a touch. ``within`` in s."""
        self._client = client
        self._within = within
        self.deadline = within + 30.0
        self.commands = tuple(touch_line(context, name) for name in expected)

    def is_done(self, run: Run) -> bool:
        return not Look.at(self._client).unsettled()

    def run(self, run: Run) -> None:
        run.remember({})
        due: dict[str, float] = {}  # when a stale Service is touched (again), by time.monotonic
        said: tuple[str, ...] = ()

        def is_settled() -> bool:
            nonlocal said
            look = Look.at(self._client)
            for item in look.stale:
                name, now = item.service.full_name, time.monotonic()
                if now < due.setdefault(name, now + NOTICED_WITHIN):
                    continue
                due[name] = now + TOUCHED_AGAIN_AFTER
                run.output(f"touching {name}: its selector is {_words(item.selector)}")
                stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                self._client.patch_service_labels(
                    item.service.namespace,
                    item.service.name,
                    {},
                    annotations={TOUCHED_ANNOTATION: stamp},
                    resource_version="",
                )
            unsettled = look.unsettled()
            if unsettled != said:
                said = unsettled
                for line in unsettled:
                    run.output(line)
            return not unsettled

        try:
            run.wait_for("servicelb to follow the labels", is_settled, self._within, remedy=REMEDY)
        except AxiomError as error:
            if error.problem.kind is not ProblemKind.TIMED_OUT or not said:
                raise
            sentence = f"{error.problem.sentence} Still so: {'; '.join(said)}."
            raise fail(ProblemKind.TIMED_OUT, sentence, error.problem.remedy) from error

    def is_undone(self, run: Run) -> bool:
        return self.is_done(run)

    def undo(self, run: Run) -> None:
        self.run(run)

    def undo_commands(self, earlier: Mapping[str, Json]) -> tuple[str, ...]:
        return self.commands


def touch_line(context: str, service: str) -> str:
    """The line that a person would type to make K3s sync a Service."""
    namespace, _, name = service.partition("/")
    where = f"kubectl --context {shlex.quote(context)}" if context else "kubectl"
    stamp = '"$(date -u +%FT%TZ)"'
    return f"{where} annotate service -n {namespace} {name} {TOUCHED_ANNOTATION}={stamp} --overwrite"


def _running(pods: Sequence[Pod]) -> dict[str, frozenset[str]]:
    """Nodes that really host a scheduled svclb pod, by Service."""
    found: dict[str, set[str]] = {}
    for pod in pods:
        name = pod.labels.get(SERVICE_NAME_LABEL)
        if name and pod.node and not pod.deleting and pod.phase != "Pending":
            found.setdefault(f"{pod.labels.get(SERVICE_NAMESPACE_LABEL, '')}/{name}", set()).add(pod.node)
    return {name: frozenset(nodes) for name, nodes in found.items()}


def _differences(served: Served, running: frozenset[str], nodes: Sequence[Node]) -> list[str]:
    name, said = served.service.full_name, []
    ready = {node.name for node in nodes if node.is_ready}
    # On a node that is not Ready no pod can start: it is not waited for.
    missing = sorted((set(served.nodes) - running) & ready)
    extra = sorted(running - set(served.nodes))
    if missing:
        said.append(f"{name}: no pod on {', '.join(missing)} yet")
    if extra:
        said.append(f"{name}: still a pod on {', '.join(extra)}")
    if set(served.service.ingress_ips) != set(served.addresses):
        found = ", ".join(served.service.ingress_ips) or "nothing"
        said.append(f"{name}: publishes {found}, not yet {', '.join(served.addresses) or 'nothing'}")
    return said


def _words(selector: Mapping[str, str]) -> str:
    return ",".join(f"{key.rpartition('/')[2]}={value}" for key, value in selector.items()) or "empty"
