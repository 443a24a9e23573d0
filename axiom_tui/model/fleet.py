"""The fleet: one immutable picture of everything observed, and how live each part of it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import msgspec

from axiom_tui.model.finding import Finding
from axiom_tui.model.naming import Role
from axiom_tui.model.node import DaemonSet, Node, NodeUsage, Pod, PriorityClass, Route, Service
from axiom_tui.model.problem import Problem
from axiom_tui.model.tailnet import TailnetDevice


class SourceState(StrEnum):
    """LOADING: nothing yet. LIVE: current. STALE: had data, now failing. FAILED: never had data.
    OFF: not installed or not configured, which is no fault."""

    LOADING = "loading"
    LIVE = "live"
    STALE = "stale"
    FAILED = "failed"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How one source is. ``since`` is when this state began, ``last_good`` when data last was current."""

    name: str
    state: SourceState
    since: datetime
    last_good: datetime | None = None
    problem: Problem | None = None
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which cluster this is; made from the same object that the client uses, never typed in twice."""

    name: str
    context: str
    server: str  # URL of the API
    version: str = ""  # gitVersion of the API server, "" until it answered
    simulation: bool = False
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class TailnetSelf:
    """This workstation's own state in the tailnet."""

    backend_state: str  # Running, Stopped, NeedsLogin, NeedsMachineAuth, ...
    tailnet: str = ""
    suffix: str = ""
    health: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """What the sources have seen, before it is joined. Keys: ``usage`` by node name."""

    nodes: tuple[Node, ...] = ()
    pods: tuple[Pod, ...] = ()
    services: tuple[Service, ...] = ()
    daemon_sets: tuple[DaemonSet, ...] = ()
    ingresses: tuple[Route, ...] = ()
    gateways: tuple[Route, ...] = ()
    priority_classes: tuple[PriorityClass, ...] = ()
    usage: Mapping[str, NodeUsage] = field(default_factory=dict)
    devices: tuple[TailnetDevice, ...] = ()
    tailnet: TailnetSelf | None = None
    installed_groups: frozenset[str] = frozenset()  # API groups beyond the core that answered
    version: str = ""  # gitVersion of the API server, "" until it answered


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of the fleet: a node joined with its tailnet device.

    ``key`` is the node's name, or ``device:<id>`` for a device that is no node. ``recheck_at`` is when
    time alone would change the findings.
    """

    key: str
    name: str
    node: Node | None
    device: TailnetDevice | None
    usage: NodeUsage | None
    role: Role | None
    place: str
    pool_found: str
    pool_wanted: str
    minors_behind: int | None
    findings: tuple[Finding, ...]
    verdict: str
    recheck_at: datetime | None = None
    cluster_known: bool = True  # False: the nodes could not be read yet, so nobody knows whether it is one

    @property
    def architecture(self) -> str:
        return self.node.architecture if self.node else ""

    @property
    def pool_is_right(self) -> bool:
        return self.node is None or not any(finding.rule.startswith("pool-") for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything that a screen shows, at one moment."""

    cluster: Cluster
    taken_at: datetime
    seen: Observation
    sources: tuple[SourceStatus, ...]
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]

    @property
    def is_loading(self) -> bool:
        """Whether something is still being read for the first time."""
        return any(source.state is SourceState.LOADING for source in self.sources)

    def source(self, name: str) -> SourceStatus | None:
        return next((source for source in self.sources if source.name == name), None)

    def row(self, key: str) -> Row | None:
        return next((row for row in self.rows if row.key == key), None)
