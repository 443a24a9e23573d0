"""What the tailnet knows: devices, and the path over which this workstation reaches each."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from axiom_tui.model.naming import fold


class PathKind(StrEnum):
    """How this workstation reaches a device (Tailscale: magicsock's endpoint and ``tailscale status``).

    IDLE is healthy: nothing was sent to the device lately, so no path is known.
    """

    SELF = "self"
    DIRECT = "direct"
    PEER_RELAY = "peer relay"
    DERP = "relay"
    IDLE = "idle"
    OFFLINE = "offline"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class Latency(msgspec.Struct, frozen=True, gc=False):
    """Disco ping times of one device in milliseconds, oldest first; None is a ping that got no answer."""

    samples: tuple[float | None, ...] = ()
    at: datetime | None = None

    @property
    def last(self) -> float | None:
        return self.samples[-1] if self.samples else None


class TailnetDevice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A device of the tailnet, as the local API sees it, completed by the control API where it is asked.

    ``None`` means "not known from here", never "no".
    """

    id: str  # stable id; equals ``nodeId`` of the control API
    name: str  # MagicDNS name, first label
    dns_name: str = ""
    host_name: str = ""
    os: str = ""
    addresses: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    online: bool | None = None
    path: PathKind = PathKind.UNKNOWN
    endpoint: str = ""  # "ip:port" when direct
    relay: str = ""  # DERP region code, or the peer relay's address
    last_seen: datetime | None = None
    key_expiry: datetime | None = None
    key_expiry_disabled: bool | None = None
    expired: bool = False
    authorized: bool | None = None
    client_version: str = ""
    update_available: bool | None = None
    ssh_host_keys: tuple[str, ...] = ()
    advertises_endpoints: tuple[str, ...] = ()
    visible_here: bool = True  # False: only the control API knows it
    latency: Latency = Latency()

    @property
    def ipv4(self) -> str:
        return next((item for item in self.addresses if "." in item), "")

    @property
    def folded_name(self) -> str:
        return fold(self.name or self.host_name)

    @property
    def has_ssh(self) -> bool:
        """Only devices that run Tailscale SSH publish host keys."""
        return bool(self.ssh_host_keys)
