"""What a plan needs in order to be made: the cluster, the rules, and the clients that are at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from axiom_tui.model.fleet import Cluster
from axiom_tui.model.node import Node
from axiom_tui.model.rules import Rules


class NodeClient(Protocol):
    """What plans do to nodes; `clients.kubernetes` has it."""

    def get_node(self, name: str) -> Node:
        """A fresh read. Raises MISSING for none."""
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


@dataclass(frozen=True)
class Access:
    """``kubernetes`` None: there is no API to talk to, by intent."""

    cluster: Cluster
    rules: Rules = field(default_factory=Rules)
    kubernetes: NodeClient | None = None
