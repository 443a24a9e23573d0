"""What a plan needs in order to be made: the cluster, the rules, and the clients that are at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from axiom_tui.clients.kubernetes_wire import Resource
from axiom_tui.model.fleet import Cluster
from axiom_tui.model.node import Node
from axiom_tui.model.rules import Rules
from axiom_tui.plans.servicelb import ServiceClient

T = TypeVar("T")


class NodeClient(Protocol):
    """What plans do to nodes; `clients.kubernetes` has it."""

    def get(self, resource: Resource[T], name: str, namespace: str = "") -> T:
        """A fresh read of one object. Raises MISSING for none."""
        ...

    def patch_node_labels(
        self,
        name: str,
        labels: Mapping[str, str | None],
        *,
        resource_version: str,
        field_manager: str = "axiom-tui",
        dry_run: bool = False,
    ) -> Node:
        """Set these labels and no others; None removes one. Raises CONFLICT if the node is not as it was at
        ``resource_version``, MISSING, FORBIDDEN, INVALID."""
        ...


class ClusterClient(NodeClient, ServiceClient, Protocol):
    """All that today's plans do to a cluster."""


@dataclass(frozen=True)
class Access:
    """``kubernetes`` None: there is no API to talk to, by intent."""

    cluster: Cluster
    rules: Rules = field(default_factory=Rules)
    kubernetes: ClusterClient | None = None
