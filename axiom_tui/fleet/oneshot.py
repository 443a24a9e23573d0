"""One look at the fleet: every system is asked once, all at the same time, each with a deadline.

Clients are imported one after the other, each just before its question is put: while a system thinks about
its answer, the client of the next one is imported.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from axiom_tui.clients.kubeconfig import KubernetesOptions, cluster_of
from axiom_tui.config import Settings
from axiom_tui.model.fleet import Cluster, Fleet, Observation, SourceState, SourceStatus
from axiom_tui.model.node import Node, Service
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind, fail

if TYPE_CHECKING:
    from axiom_tui.clients.kubernetes import KubernetesClient
    from axiom_tui.clients.tailscale import LocalTailscale, TailnetStatus
    from axiom_tui.clients.tailscale_control import ControlApi
    from axiom_tui.model.tailnet import TailnetDevice

#: The whole look, in seconds. Each single request has its own, shorter deadline; this ends a server that
#: answers without end, a little at a time.
LONGEST_LOOK = 60.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Cluster:
    """What the Kubernetes API said; ``beside`` is how it went with what is not the nodes."""

    cluster: Cluster
    nodes: tuple[Node, ...]
    services: tuple[Service, ...]
    beside: tuple[SourceStatus, ...]


def look(settings: Settings, *, services: bool = True, longest: float = LONGEST_LOOK) -> Fleet:
    """Look once at nodes, tailnet and (for findings of the whole fleet) Services.

    Raises AxiomError when the nodes cannot be read. What else cannot be read is said in the fleet's sources,
    and missing in its rows.
    """
    ends = time.monotonic() + longest
    settings = in_force(settings)
    # First what needs the least of us: the daemon of this machine, then the one answer from the internet.
    from axiom_tui.clients.tailscale import find_local_api

    tailnet = _Question("tailnet", lambda: _ask_tailnet(settings, find_local_api))
    from axiom_tui.clients.configured import control_api

    control = _Question("tailnet-control", lambda: _ask_control(settings, control_api))
    from axiom_tui.clients.kubernetes import connect

    cluster = _Question("nodes", lambda: _ask_cluster(settings, connect, services=services))
    from axiom_tui.model.join import join
    from axiom_tui.model.tailnet_merge import merge

    questions = (cluster, tailnet, control)
    for question in questions:
        question.wait(ends - time.monotonic(), longest)
    if cluster.problem is not None:
        raise AxiomError(cluster.problem)
    found = cluster.value
    seen = Observation(
        nodes=found.nodes,
        services=found.services,
        devices=merge(tailnet.answer.devices if tailnet.answer else (), control.answer or ()),
        tailnet=tailnet.answer.self_state if tailnet.answer else None,
        version=found.cluster.version,
    )
    moment = datetime.now().astimezone()
    statuses = (cluster.status(), *found.beside, tailnet.status(), control.status())
    joined = join(seen, settings.rules, moment, found.cluster.version)
    return Fleet(found.cluster, moment, seen, statuses, joined.rows, joined.findings)


class _Question(Generic[T]):
    """One call in a daemon thread of its own, so that a deadline holds whatever the call does."""

    def __init__(self, name: str, ask: Callable[[], T]) -> None:
        self.name = name
        self.answer: T | None = None
        self.problem: Problem | None = None
        self._defect: BaseException | None = None
        self._at = datetime.now().astimezone()
        self._thread = threading.Thread(target=self._run, args=(ask,), name=f"look-{name}", daemon=True)
        self._thread.start()

    @property
    def value(self) -> T:
        """The answer of a question that has no problem."""
        if self.answer is None:
            raise AssertionError(f"{self.name} has neither an answer nor a problem")
        return self.answer

    def wait(self, seconds: float, longest: float) -> None:
        """Wait for the answer; what a defect of ours raised in the thread is raised here."""
        self._thread.join(max(0.0, seconds))
        if self._defect is not None:
            raise self._defect
        if self.answer is None and self.problem is None:
            self.problem = Problem(
                ProblemKind.TIMED_OUT,
                f"Reading {self.name} was not done after {longest:.0f} s.",
                "Try again; if it stays, look at the network and at the server's load.",
            )

    def status(self) -> SourceStatus:
        return _status(self.name, self._at, self.problem)

    def _run(self, ask: Callable[[], T]) -> None:
        try:
            answer = ask()
        except AxiomError as error:
            self.problem = error.problem
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._defect = error
        else:
            self._at = datetime.now().astimezone()
            self.answer = answer


def _status(name: str, at: datetime, problem: Problem | None) -> SourceStatus:
    if problem is None:
        return SourceStatus(name, SourceState.LIVE, at, at)
    # Not installed or not configured is no fault.
    state = SourceState.OFF if problem.kind is ProblemKind.ABSENT else SourceState.FAILED
    return SourceStatus(name, state, at, problem=problem)


def in_force(settings: Settings) -> Settings:
    """The settings of the context that they lead to. Raises AxiomError if there is no such context."""
    if not settings.contexts:
        return settings
    context = cluster_of(kubernetes_options(settings)).context
    own = settings.for_context(context)
    return replace(own, kubernetes=replace(own.kubernetes, context=context))


def kubernetes_options(settings: Settings) -> KubernetesOptions:
    """How to reach the cluster, as the client takes it."""
    asked = settings.kubernetes
    return KubernetesOptions(
        kubeconfig=asked.kubeconfig,
        context=asked.context,
        connect_timeout=asked.connect_timeout.total_seconds(),
        read_timeout=asked.read_timeout.total_seconds(),
        read_only=settings.read_only,
    )


def _ask_cluster(
    settings: Settings, connect: Callable[[KubernetesOptions], KubernetesClient], *, services: bool
) -> _Cluster:
    from axiom_tui.clients.kubernetes import NODES, SERVICES

    client = connect(kubernetes_options(settings))
    try:
        beside: list[_Question[Any]] = [version := _Question("api", client.version)]
        if services:
            beside.append(listed := _Question("services", lambda: client.list(SERVICES).items))
        nodes = client.list(NODES).items
        longest = settings.kubernetes.connect_timeout + settings.kubernetes.read_timeout
        for question in beside:
            question.wait(longest.total_seconds(), longest.total_seconds())
        return _Cluster(
            replace(client.cluster, version=version.answer or ""),
            nodes,
            (listed.answer or ()) if services else (),
            tuple(question.status() for question in beside),
        )
    finally:
        client.disconnect()


def _ask_tailnet(settings: Settings, find: Callable[..., LocalTailscale]) -> TailnetStatus:
    asked = settings.tailscale
    timeout = asked.timeout.total_seconds()
    status = find(asked.socket, timeout=timeout).status()
    if status.problem is not None:
        raise AxiomError(status.problem)
    return status


def _ask_control(
    settings: Settings, configured: Callable[[Settings], ControlApi | None]
) -> tuple[TailnetDevice, ...]:
    api = configured(settings)
    if api is None:
        raise fail(ProblemKind.ABSENT, "Tailscale's control API is not configured.")
    return api.devices()
