"""A session: one cluster being observed, and the short questions that a screen may ask about it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from axiom_tui.clients.configured import control_api
from axiom_tui.clients.dns import resolve
from axiom_tui.clients.kubeconfig import ContextInfo, KubernetesOptions, cluster_of
from axiom_tui.clients.kubeconfig import contexts as contexts_of
from axiom_tui.clients.kubernetes import KubernetesClient, connect
from axiom_tui.clients.tailscale import find_local_api
from axiom_tui.config import Settings
from axiom_tui.fleet.kubernetes import kubernetes_sources
from axiom_tui.fleet.observer import Observer
from axiom_tui.fleet.oneshot import kubernetes_options
from axiom_tui.fleet.source import Sink, Source
from axiom_tui.fleet.tailnet import ControlSource, TailnetSource, TailnetView
from axiom_tui.model.details import Asked
from axiom_tui.model.fleet import Cluster, Fleet, Row
from axiom_tui.model.masking import mask
from axiom_tui.model.problem import AxiomError, Problem

log = logging.getLogger(__name__)


def contexts(settings: Settings) -> tuple[ContextInfo, ...]:
    """The contexts that the admin can go to. Raises AxiomError if the kubeconfig cannot be read."""
    return contexts_of(kubernetes_options(settings))


class Session:
    """From `start` to `stop`; another cluster is another session, so that no two are ever mixed."""

    def __init__(self, settings: Settings, options: KubernetesOptions, cluster: Cluster) -> None:
        self.settings = settings
        self.cluster = cluster
        self._options = options
        self._observer: Observer | None = None
        self._client: KubernetesClient | None = None
        self._no_way: Problem | None = None
        self._lock = threading.Lock()

    @classmethod
    def of(cls, settings: Settings, context: str, *, simulation: bool = False) -> Session:
        """The session of one context ("" for the kubeconfig's current one). Raises AxiomError."""
        chosen = replace(settings, kubernetes=replace(settings.kubernetes, context=context))
        found = cluster_of(kubernetes_options(chosen))
        in_force = chosen.for_context(found.context)
        in_force = replace(
            in_force,
            kubernetes=replace(in_force.kubernetes, context=found.context),
            contexts=settings.contexts,
        )
        options = replace(kubernetes_options(in_force), simulation=simulation)
        return cls(in_force, options, cluster_of(options))

    @classmethod
    def without_cluster(cls, settings: Settings, context: str, problem: Problem) -> Session:
        """The session of a context that could not be opened, with what is in force for it. It observes
        nothing, and who asks it for a client is told the problem."""
        chosen = settings.for_context(context)
        chosen = replace(
            chosen, kubernetes=replace(chosen.kubernetes, context=context), contexts=settings.contexts
        )
        session = cls(chosen, kubernetes_options(chosen), Cluster("", context, ""))
        session._no_way = problem
        return session

    def start(self, on_fleet: Callable[[Fleet], None]) -> None:
        """Begin to observe; ``on_fleet`` is called from the observer's thread."""
        interval = self.settings.refresh.screen.total_seconds()
        self._observer = Observer(self._sources, self.cluster, self.settings.rules, on_fleet, interval)
        self._observer.start()

    def stop(self) -> None:
        """End it; returns at once, whatever hangs."""
        if self._observer is not None:
            self._observer.stop()
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def refresh(self) -> None:
        """Look again now."""
        if self._observer is not None:
            self._observer.refresh()

    def client(self) -> KubernetesClient:
        """A client for short questions and for plans, apart from the sources' own. Raises AxiomError."""
        if self._no_way is not None:
            raise AxiomError(self._no_way)
        with self._lock:
            if self._client is None:
                self._client = connect(self._options)
            return self._client

    def node_yaml(self, name: str) -> str:
        """The node as YAML to be shown: what looks like a secret is masked, wherever somebody wrote it."""
        return mask(self.client().node_yaml(name))

    def asked(self, row: Row, before: Asked) -> Asked:
        """What is asked only while details are open: events of the node, and what its name resolves to."""
        answer = before
        if row.node is not None:
            try:
                answer = replace(answer, events=self.client().events_of("Node", row.key))
            except AxiomError as error:
                answer = replace(answer, events_problem=str(error.problem))
        if answer.dns_name:
            try:
                found = resolve(answer.dns_name)
                answer = replace(answer, dns=(*found.ipv4, *found.ipv6))
            except AxiomError as error:
                answer = replace(answer, dns_problem=error.problem.sentence)
        return answer

    def _sources(self, sink: Sink) -> Sequence[Source]:
        settings = self.settings
        view = TailnetView(sink)
        tailscale, refresh = settings.tailscale, settings.refresh
        return (
            *kubernetes_sources(
                sink, self._options, self.cluster, metrics_every=refresh.metrics.total_seconds()
            ),
            TailnetSource(
                sink,
                view,
                matters=settings.rules.is_meant_as_node,
                find=lambda: find_local_api(tailscale.socket, timeout=tailscale.timeout.total_seconds()),
                every=refresh.tailnet.total_seconds(),
                ping_every=refresh.ping.total_seconds(),
                at_once=refresh.pings_at_once,
            ),
            ControlSource(sink, view, control_api(settings), every=refresh.tailnet_control.total_seconds()),
        )
