"""What a plan needs in order to be made: the cluster, the rules, and the clients that are at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from axiom_tui.clients.kubernetes_wire import Listing, Resource
from axiom_tui.model.fleet import Cluster
from axiom_tui.model.node import Node
from axiom_tui.model.rules import Rules
from axiom_tui.model.secret import Secret
from axiom_tui.model.tailnet import TailnetDevice
from axiom_tui.plans.hosts import Hosts
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

    def list(
        self, resource: Resource[T], namespace: str = "", label_selector: str = "", field_selector: str = ""
    ) -> Listing[T]: ...

    def cordon_node(self, name: str) -> None:
        """No new pods on it. Raises MISSING."""
        ...

    def evict_pod(self, namespace: str, name: str) -> None:
        """Have the pod end, unless a disruption budget forbids it (THROTTLED). Raises MISSING."""
        ...

    def delete_node(self, name: str) -> None:
        """Delete the node object. Raises MISSING."""
        ...

    def interrupt(self) -> None:
        """End calls that are under way, from another thread."""
        ...


class DeviceControl(Protocol):
    """What plans do to devices of the tailnet; `clients.tailscale_control` has it."""

    def devices(self) -> tuple[TailnetDevice, ...]: ...

    def authorize(self, device_id: str) -> None: ...

    def set_key_expiry_disabled(self, device_id: str, disabled: bool) -> None: ...

    def set_tags(self, device_id: str, tags: Sequence[str]) -> None: ...


class Records(Protocol):
    """What plans do to DNS records of the fleet's zone; `clients.infomaniak` has it."""

    def addresses(self, name: str) -> tuple[str, ...]:
        """The A records of a full name, as the zone has them now."""
        ...

    def add(self, name: str, address: str, ttl: int) -> None: ...

    def remove(self, name: str, address: str) -> None: ...


@dataclass(frozen=True)
class Access:
    """``kubernetes`` None: there is no API to talk to, by intent. ``hosts``, ``control`` and ``records`` are
    None where nothing is configured; ``devices`` gives those of the tailnet, ``resolve`` the addresses of a
    name as this machine sees them, ``secret`` a secret by its reference."""

    cluster: Cluster
    rules: Rules = field(default_factory=Rules)
    kubernetes: ClusterClient | None = None
    hosts: Hosts | None = None
    control: DeviceControl | None = None
    devices: Callable[[], tuple[TailnetDevice, ...]] | None = None
    records: Records | None = None
    resolve: Callable[[str], tuple[str, ...]] | None = None
    secret: Callable[[str], Secret] | None = None
