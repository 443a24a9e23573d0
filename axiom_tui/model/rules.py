"""The rules of this fleet: what the admin may set, as the pure functions need it.

Every default is from the operator's own concept (facts: operator.md). `config.Settings` holds one of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from axiom_tui.model.naming import NamingScheme, Role
from axiom_tui.model.node import Node
from axiom_tui.model.pools import PoolPolicy
from axiom_tui.model.tailnet import TailnetDevice


@dataclass(frozen=True, slots=True)
class Tags:
    """Tailnet tags: which devices are meant as nodes, and what their tags say of role and place."""

    node: tuple[str, ...] = ("tag:acl-axiom",)
    server: str = "tag:info-control-plane"
    agent: str = "tag:info-compute-plane"
    places: Mapping[str, str] = field(
        default_factory=lambda: {
            "tag:info-hetzner": "hetzner",
            "tag:info-infomaniak": "infomaniak",
            "tag:info-home": "home",
        }
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """When something becomes a finding."""

    key_expiry_warning: timedelta = timedelta(days=14)
    kubelet_minors_behind: int = 2
    expected_version: str = ""  # "" = the API server's own version is the measure


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules in force. ``places`` maps folded node names to places for devices without a place tag."""

    naming: NamingScheme = field(default_factory=NamingScheme)
    pools: PoolPolicy = field(default_factory=PoolPolicy)
    tags: Tags = field(default_factory=Tags)
    limits: Limits = field(default_factory=Limits)
    places: Mapping[str, str] = field(default_factory=dict)

    def is_meant_as_node(self, device: TailnetDevice) -> bool:
        return any(tag in self.tags.node for tag in device.tags)

    def role_of(self, node: Node | None, device: TailnetDevice | None) -> Role | None:
        """What it is in the cluster; for a device that is no node yet, what its tags or name say."""
        if node is not None:
            return Role.SERVER if node.is_server else Role.AGENT
        if device is None:
            return None
        if self.tags.server in device.tags:
            return Role.SERVER
        if self.tags.agent in device.tags:
            return Role.AGENT
        return self.naming.role(device.name)

    def place_of(self, name: str, device: TailnetDevice | None) -> str:
        """Where it stands: by the device's tag, else by the setting; "" if nobody says."""
        for tag in device.tags if device else ():
            if tag in self.tags.places:
                return self.tags.places[tag]
        return self.places.get(name, "")
