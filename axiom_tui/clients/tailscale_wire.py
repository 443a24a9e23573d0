"""What Tailscale's daemon says, decoded: the status, the paths to the peers, and the answer to a ping.

Pure, and shared by the local API and the command line, which print the same JSON. Upstream declares neither
format stable, so every field may be missing, null or new. Facts: Tailscale's ``ipnstate.Status``,
``ipnstate.PingResult`` and magicsock's ``populatePeerStatus``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from msgspec import field

from axiom_tui.model.fleet import TailnetSelf
from axiom_tui.model.naming import natural_key
from axiom_tui.model.problem import Problem, ProblemKind, fail
from axiom_tui.model.tailnet import PathKind, TailnetDevice

#: Exit nodes rented from Mullvad appear as peers; they are nobody's device.
MULLVAD = "mullvad.ts.net"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TailnetStatus:
    """The daemon's answer. While ``problem`` is set (stopped, logged out, ...) it sees no tailnet, and the
    devices are what it remembers or nothing."""

    self_state: TailnetSelf
    devices: tuple[TailnetDevice, ...]  # this workstation first, then by name
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class PingAnswer:
    """One disco ping. ``milliseconds`` None: no answer, and ``error`` may say why.

    ``path`` is DIRECT (with ``endpoint``), PEER_RELAY or DERP (with ``relay``), or UNKNOWN.
    """

    milliseconds: float | None
    path: PathKind = PathKind.UNKNOWN
    endpoint: str = ""
    relay: str = ""
    error: str = ""


class _Tailnet(msgspec.Struct):
    name: str | None = field(default=None, name="Name")
    suffix: str | None = field(default=None, name="MagicDNSSuffix")


class _Peer(msgspec.Struct):
    id: str | None = field(default=None, name="ID")
    public_key: str | None = field(default=None, name="PublicKey")
    host_name: str | None = field(default=None, name="HostName")
    dns_name: str | None = field(default=None, name="DNSName")
    os: str | None = field(default=None, name="OS")
    addresses: list[str] | None = field(default=None, name="TailscaleIPs")
    tags: list[str] | None = field(default=None, name="Tags")
    current_address: str | None = field(default=None, name="CurAddr")
    relay: str | None = field(default=None, name="Relay")
    peer_relay: str | None = field(default=None, name="PeerRelay")
    last_seen: str | None = field(default=None, name="LastSeen")
    online: bool | None = field(default=None, name="Online")
    active: bool | None = field(default=None, name="Active")
    ssh_host_keys: list[str] | None = field(default=None, name="sshHostKeys")
    sharee: bool | None = field(default=None, name="ShareeNode")
    expired: bool | None = field(default=None, name="Expired")
    key_expiry: str | None = field(default=None, name="KeyExpiry")


class _Status(msgspec.Struct):
    version: str | None = field(default=None, name="Version")
    state: str | None = field(default=None, name="BackendState")
    auth_url: str | None = field(default=None, name="AuthURL")
    health: list[str] | None = field(default=None, name="Health")
    suffix: str | None = field(default=None, name="MagicDNSSuffix")
    tailnet: _Tailnet | None = field(default=None, name="CurrentTailnet")
    own: _Peer | None = field(default=None, name="Self")
    peers: dict[str, _Peer | None] | None = field(default=None, name="Peer")


class _Ping(msgspec.Struct):
    error: str | None = field(default=None, name="Err")
    seconds: float | None = field(default=None, name="LatencySeconds")
    endpoint: str | None = field(default=None, name="Endpoint")
    peer_relay: str | None = field(default=None, name="PeerRelay")
    region: str | None = field(default=None, name="DERPRegionCode")
    region_id: int | None = field(default=None, name="DERPRegionID")
    local: bool | None = field(default=None, name="IsLocalIP")


def decode_status(raw: bytes, what: str) -> TailnetStatus:
    """Decode ``ipnstate.Status``; GARBLED if it is none. ``what`` is whose answer it is."""
    status = _decode(raw, _Status, what)
    if not status.state:
        raise fail(
            ProblemKind.GARBLED,
            f"The answer of {what} is no status of Tailscale.",
            "Check that it is Tailscale.",
        )
    tailnet = status.tailnet or _Tailnet()
    self_state = TailnetSelf(
        backend_state=status.state,
        tailnet=tailnet.name or "",
        suffix=(tailnet.suffix or status.suffix or "").rstrip("."),
        health=tuple(status.health or ()),
    )
    peers = [
        _device(peer, key)
        for key, peer in (status.peers or {}).items()
        if peer is not None and not _is_hidden(peer)
    ]
    peers.sort(key=lambda device: (natural_key(device.folded_name), device.id))
    own = [] if status.own is None else [_self(status.own, status.version or "")]
    # Logged out, the daemon describes itself without id and address: that is no device.
    own = [device for device in own if device.id]
    return TailnetStatus(self_state, (*own, *peers), state_problem(status.state, status.auth_url or ""))


def decode_ping(raw: bytes, what: str) -> PingAnswer:
    """Decode ``ipnstate.PingResult``. A 200 with ``Err`` is a failed ping; GARBLED if it is none at all."""
    ping = _decode(raw, _Ping, what)
    if ping.error or ping.seconds is None or ping.local:
        return PingAnswer(None, error=ping.error or "")
    milliseconds = ping.seconds * 1000
    if ping.peer_relay:
        return PingAnswer(milliseconds, PathKind.PEER_RELAY, relay=ping.peer_relay)
    if ping.endpoint:
        return PingAnswer(milliseconds, PathKind.DIRECT, endpoint=ping.endpoint)
    if ping.region or ping.region_id:
        return PingAnswer(milliseconds, PathKind.DERP, relay=ping.region or str(ping.region_id))
    return PingAnswer(milliseconds)


def state_problem(state: str, auth_url: str = "") -> Problem | None:
    """What each ``BackendState`` but Running means for the admin, and what to do; None for Running."""
    if state == "Running":
        return None
    if state == "Stopped":
        return Problem(
            ProblemKind.STOPPED,
            "Tailscale is switched off on this machine.",
            "Switch it on: `sudo tailscale up`.",
        )
    if state == "NeedsLogin":
        way = f"Open {auth_url} to log in" if auth_url else "Log in: `sudo tailscale up`"
        return Problem(
            ProblemKind.STOPPED,
            "This machine is logged out of the tailnet, or its key has expired.",
            f"{way}.",
        )
    if state == "NeedsMachineAuth":
        return Problem(
            ProblemKind.STOPPED,
            "This machine waits for approval in the tailnet.",
            "Approve it in the Tailscale admin console (Machines), or ask an admin of the tailnet.",
        )
    if state in ("Starting", "NoState"):
        return Problem(
            ProblemKind.STOPPED,
            "Tailscale is starting on this machine and has no connection to the tailnet yet.",
            "Wait a moment; if it stays so, look at `tailscale status` and the network of this machine.",
        )
    if state == "InUseOtherUser":
        return Problem(
            ProblemKind.STOPPED,
            "Tailscale is in use by another user of this machine.",
            "Ask that user to disconnect, or switch the account there.",
        )
    return Problem(
        ProblemKind.STOPPED,
        f"Tailscale on this machine is in the state {state!r}, which axiom-tui does not know.",
        "Look at `tailscale status`.",
    )


def moment(text: str | None) -> datetime | None:
    """A time of Tailscale's in UTC; None for an unset one (year 1 or ""), and for what is no time."""
    if not text:
        return None
    try:
        when = msgspec.convert(text, datetime)
        if when.year <= 1:
            return None
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        return None


def first_label(dns_name: str) -> str:
    return dns_name.split(".", 1)[0]


def _decode(raw: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise fail(
            ProblemKind.GARBLED,
            f"The answer of {what} cannot be read: {error}.",
            "Check that it is Tailscale; if it is newer than axiom-tui, look for an update of axiom-tui.",
        ) from error


def _device(peer: _Peer, key: str = "") -> TailnetDevice:
    path = _path(peer)
    dns_name = (peer.dns_name or "").rstrip(".")
    expiry = moment(peer.key_expiry)
    return TailnetDevice(
        id=peer.id or peer.public_key or key,
        name=first_label(dns_name) or peer.host_name or "",
        dns_name=dns_name,
        host_name=peer.host_name or "",
        os=peer.os or "",
        addresses=tuple(peer.addresses or ()),
        tags=tuple(peer.tags or ()),
        online=peer.online,
        path=path,
        endpoint=(peer.current_address or "") if path is PathKind.DIRECT else "",
        relay=_relay(peer, path),
        last_seen=None if peer.online else moment(peer.last_seen),
        key_expiry=expiry,
        # The daemon leaves the time out when expiry is disabled; of an expired key it may be unknown.
        key_expiry_disabled=False if expiry is not None else None if peer.expired else True,
        expired=bool(peer.expired),
        ssh_host_keys=tuple(peer.ssh_host_keys or ()),
    )


def _self(peer: _Peer, version: str) -> TailnetDevice:
    device = _device(peer)
    return msgspec.structs.replace(
        device, path=PathKind.SELF, endpoint="", relay="", client_version=version.split("-", 1)[0]
    )


def _path(peer: _Peer) -> PathKind:
    """The path over which this workstation reaches the peer.

    ``Relay`` is the peer's home region and always set, so it tells of a relayed path only while the peer is
    active. ``CurAddr`` and ``PeerRelay`` are set only while magicsock trusts that path.
    """
    if peer.expired:
        return PathKind.EXPIRED
    if peer.online is None:
        return PathKind.UNKNOWN
    if not peer.online:
        return PathKind.OFFLINE
    if peer.current_address:
        return PathKind.DIRECT
    if peer.peer_relay:
        return PathKind.PEER_RELAY
    if not peer.active:
        return PathKind.IDLE
    return PathKind.DERP if peer.relay else PathKind.UNKNOWN


def _relay(peer: _Peer, path: PathKind) -> str:
    if path is PathKind.PEER_RELAY:
        return peer.peer_relay or ""
    return (peer.relay or "") if path is PathKind.DERP else ""


def _is_hidden(peer: _Peer) -> bool:
    """Nodes of people to whom one of ours is shared, and rented exit nodes: neither is ours to look after."""
    dns_name = (peer.dns_name or "").rstrip(".").lower()
    return bool(peer.sharee) or dns_name == MULLVAD or dns_name.endswith(f".{MULLVAD}")
