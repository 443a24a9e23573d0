"""The simulated tailnet: its devices, as the control plane knows them, and the paths from the admin's laptop.

Facts: services.md 1.5 and 2.3 (Tailscale's ``ipnstate.Status``, ``PingResult`` and the control API's device).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from axiom_tui.model.naming import fold

#: A device counts as active for about this long after something was sent to it (Tailscale: magicsock).
ACTIVE_FOR = timedelta(minutes=2)
#: DERP regions of the simulated world: code, id, name.
DERP_REGIONS = {"fra": (4, "Frankfurt"), "nue": (21, "Nuremberg"), "par": (18, "Paris")}


class Route(StrEnum):
    """The best path that can be found to a device once somebody tries."""

    DIRECT = "direct"
    PEER_RELAY = "peer relay"
    DERP = "derp"


class Origin(StrEnum):
    """Where a device comes from. ``OWN`` devices alone are the tailnet's to change."""

    OWN = "own"
    SHARED_IN = "shared in"  # another tailnet's device, shared with us
    SHAREE = "sharee"  # somebody to whom one of our devices is shared
    MULLVAD = "mullvad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device of the tailnet; ``number`` is unique and names its keys and ids.

    ``user`` is "" for a tagged device. ``latency`` is the direct round trip in milliseconds.
    ``key_expiry`` is kept while expiry is disabled, as the control plane does. ``visible`` is False for a
    device that the policy hides from the admin's laptop.
    """

    number: int
    name: str  # MagicDNS name, first label
    host_name: str
    os: str = "linux"
    user: str = ""
    tags: tuple[str, ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    origin: Origin = Origin.OWN
    created: datetime
    client_version: str = "1.102.3"
    update_available: bool = False
    distro: tuple[str, str, str] = ("ubuntu", "22.04", "jammy")
    authorized: bool = True
    visible: bool = True
    online: bool = True
    last_seen: datetime | None = None
    key_expiry: datetime
    key_expiry_disabled: bool = True
    has_ssh: bool = False
    route: Route = Route.DIRECT
    relay: str = "fra"
    peer_relay: str = ""
    endpoint: str = ""
    latency: float = 20.0
    sent_at: datetime | None = None  # when this workstation last sent something to it
    pings: int = 0  # since the path went cold
    rx_bytes: int = 0
    tx_bytes: int = 0
    suffix: str = ""  # set for devices of other tailnets

    @property
    def id(self) -> str:
        """The stable id (``n292kg92CNTRL``), the join key of the two APIs."""
        return stable_id(self.number)

    @property
    def node_id(self) -> int:
        """The control API's numeric id, as old as the API itself."""
        return int.from_bytes(hashlib.sha256(b"node %d" % self.number).digest()[:7], "big") >> 3

    @property
    def node_key(self) -> str:
        return f"nodekey:{hashlib.sha256(b'nodekey %d' % self.number).hexdigest()}"

    @property
    def machine_key(self) -> str:
        return f"mkey:{hashlib.sha256(b'machine %d' % self.number).hexdigest()}"

    @property
    def host_key_seed(self) -> bytes:
        """The 32 bytes from which the device's Ed25519 SSH host key is made."""
        return hashlib.sha256(b"ssh host key %d" % self.number).digest()

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(item for item in (self.ipv4, self.ipv6) if item)

    def is_expired(self, now: datetime) -> bool:
        return not self.key_expiry_disabled and self.key_expiry <= now

    def is_active(self, now: datetime) -> bool:
        return self.sent_at is not None and now - self.sent_at < ACTIVE_FOR

    def has_direct_path(self, now: datetime) -> bool:
        """Whether a direct path is in use now: the first packets always go through DERP."""
        return self.is_active(now) and self.online and self.route is Route.DIRECT and self.pings > 1


@dataclass(frozen=True, slots=True)
class Ping:
    """The outcome of one disco ping. ``error`` as the daemon words it; ``seconds`` the round trip.

    ``lost`` means that no answer ever comes: the daemon waits for as long as its client does.
    """

    device: Device | None = None
    error: str = ""
    seconds: float = 0.0
    endpoint: str = ""
    peer_relay: str = ""
    derp: str = ""
    is_local: bool = False
    lost: bool = False


@dataclass(slots=True)
class Credentials:
    """What the control API accepts; made per world, worth nothing elsewhere."""

    token: str
    oauth_client: str
    oauth_secret: str
    issued: set[str] = field(default_factory=set)  # access tokens given to the OAuth client


class Tailnet:
    """All devices and the paths to them. Thread-safe; devices are immutable and replaced as a whole."""

    def __init__(
        self, name: str, suffix: str, devices: Iterable[Device], self_number: int, seed: int = 1
    ) -> None:
        self.name = name
        self.suffix = suffix
        self.credentials = Credentials(
            token=f"tskey-api-k{_digest('api', seed)[:10]}-{_digest('token', seed)[:24]}",
            oauth_client=f"k{_digest('oauth', seed)[:10]}",
            oauth_secret=f"tskey-client-k{_digest('oauth', seed)[:10]}-{_digest('secret', seed)[:24]}",
        )
        self._changed = threading.Condition()
        self._revision = 0
        self._devices = {device.id: device for device in devices}
        self._self_id = stable_id(self_number)
        self._by_address = {ip: item.id for item in self._devices.values() for ip in item.addresses}

    @property
    def this_device(self) -> Device | None:
        """The admin's own laptop; None once somebody deleted it from the tailnet."""
        return self._devices.get(self._self_id)

    @property
    def revision(self) -> int:
        """Grows with every change that a client of ``watch-ipn-bus`` would hear of."""
        return self._revision

    def devices(self) -> tuple[Device, ...]:
        with self._changed:
            return tuple(self._devices.values())

    def find(self, key: str) -> Device | None:
        """A device by stable id, numeric id, node key, tailnet address, or (folded) name."""
        with self._changed:
            found = self._devices.get(key) or self._devices.get(self._by_address.get(key, ""))
            if found is not None:
                return found
            folded = fold(key)
            return next(
                (
                    item
                    for item in self._devices.values()
                    if item.name == folded or key in (str(item.node_id), item.node_key)
                ),
                None,
            )

    def get(self, key: str) -> Device:
        """Like `find`, for a device that must be there."""
        device = self.find(key)
        if device is None:
            raise KeyError(f"the tailnet has no device {key}")
        return device

    def change(self, key: str, **changes: Any) -> Device:
        """Replace fields of one device; returns the new device. KeyError if there is none."""
        return self.update(key, lambda device: replace(device, **changes))

    def update(self, key: str, change: Callable[[Device], Device]) -> Device:
        with self._changed:
            old = self.get(key)
            new = change(old)
            self._devices[old.id] = new
            if old.addresses != new.addresses:
                self._index(old, new)
            self._announce()
            return new

    def add(self, device: Device) -> Device:
        with self._changed:
            self._devices[device.id] = device
            self._index(None, device)
            self._announce()
            return device

    def remove(self, key: str) -> bool:
        with self._changed:
            device = self.find(key)
            if device is None:
                return False
            del self._devices[device.id]
            self._index(device, None)
            self._announce()
            return True

    def set_online(self, key: str, online: bool, now: datetime | None = None) -> Device:
        """Connect a device to the control plane or cut it off; a cut takes its paths with it."""
        moment = now or datetime.now(UTC)
        if online:
            return self.change(key, online=True, last_seen=None)
        return self.change(key, online=False, last_seen=moment, pings=0, sent_at=None)

    def ping(self, address: str, now: datetime, jitter: float = 1.0) -> Ping:
        """One disco ping from the laptop. ``jitter`` multiplies the device's latency."""
        with self._changed:
            device = self._devices.get(self._by_address.get(address, ""))
            if device is None or not device.visible or not device.authorized or device.is_expired(now):
                return Ping(error="no matching peer")
            if device.id == self._self_id:
                return Ping(device, error=f"{address} is local Tailscale IP", is_local=True)
            if not device.online:
                self._devices[device.id] = replace(device, sent_at=now)
                return Ping(device, lost=True)
            pings = device.pings + 1 if device.is_active(now) else 1
            device = replace(device, sent_at=now, pings=pings, tx_bytes=device.tx_bytes + 148)
            self._devices[device.id] = device
            seconds = device.latency * jitter / 1000
            if device.has_direct_path(now):
                return Ping(device, seconds=seconds, endpoint=device.endpoint)
            if device.route is Route.PEER_RELAY and pings > 1:
                return Ping(device, seconds=seconds * 1.3, peer_relay=device.peer_relay)
            return Ping(device, seconds=seconds * 1.6 + 0.012, derp=device.relay)

    def wait_for_change(self, revision: int, timeout: float) -> int:
        """Wait until the revision differs from ``revision``, at most ``timeout`` seconds; the new one."""
        with self._changed:
            self._changed.wait_for(lambda: self._revision != revision, timeout)
            return self._revision

    def _announce(self) -> None:
        self._revision += 1
        self._changed.notify_all()

    def _index(self, old: Device | None, new: Device | None) -> None:
        for ip in old.addresses if old else ():
            self._by_address.pop(ip, None)
        for ip in new.addresses if new else ():
            self._by_address[ip] = new.id if new else ""


@functools.lru_cache(maxsize=16384)
def stable_id(number: int) -> str:
    return f"n{_digest('stable', number)[:9]}CNTRL"


@functools.lru_cache(maxsize=16384)
def ssh_host_key(seed: bytes) -> str:
    """The public half of an Ed25519 SSH host key, as one line of authorized_keys."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    kind = b"ssh-ed25519"
    blob = len(kind).to_bytes(4, "big") + kind + len(public).to_bytes(4, "big") + public
    return f"{kind.decode()} {base64.b64encode(blob).decode()}"


def _digest(*parts: object) -> str:
    """Letters and digits that look like Tailscale's ids."""
    raw = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return base64.b32encode(raw).decode().lower().rstrip("=")
