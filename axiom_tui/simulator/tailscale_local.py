"""The simulated local API of tailscaled: HTTP on a unix socket, as the admin's laptop has it.

Facts: services.md 1.2 to 1.5 (Tailscale's ``localapi`` and ``ipnstate``, v1.102).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from axiom_tui.simulator.faults import Faults
from axiom_tui.simulator.tailnet import DERP_REGIONS, Device, Origin, Ping, Tailnet, ssh_host_key
from axiom_tui.simulator.wire import Answer, Request, WireServer, json_answer, text_answer
from axiom_tui.simulator.world import World

HOST = "local-tailscaled.sock"
VERSION = "1.102.3-t6f1c3d5a2-gd4e8a9b71"
CAPABILITY_VERSION = "131"
ZERO_TIME = "0001-01-01T00:00:00Z"
PING_TYPES = ("disco", "TSMP", "ICMP", "peerapi")
#: Bits of ``mask`` in ``watch-ipn-bus``.
INITIAL_STATE, INITIAL_NETMAP = 2, 8

#: Backend states that a fault brings about, with what ``tailscale status`` would complain of.
_STATES = {
    "ts-stopped": ("Stopped", "Tailscale is stopped."),
    "ts-needs-login": ("NeedsLogin", "You are logged out."),
    "ts-needs-approval": ("NeedsMachineAuth", "This machine is not yet approved by your tailnet admin."),
}


class LocalServer(WireServer):
    """tailscaled's local API for the world's own device. Thread-safe."""

    def __init__(self, world: World, faults: Faults) -> None:
        super().__init__("tailscaled")
        self._world = world
        self._faults = faults
        self._random = random.Random(world.seed)
        self._path: Path | None = None
        self._is_there = True
        self._forget_faults: Callable[[], None] = lambda: None

    def start(self, path: Path) -> None:
        """Listen on the socket ``path`` (under 100 characters)."""
        self._path = path
        self.start_unix(path)
        self._forget_faults = self._faults.on_change(self.wake)

    def stop(self) -> None:
        self._forget_faults()
        super().stop()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._hidden_path.unlink(missing_ok=True)

    def look_around(self) -> None:
        """While Tailscale is absent there is no socket at all: hide its name, show it again later."""
        wanted = self._faults.find("ts-absent") is None
        if wanted == self._is_there or self._path is None:
            return
        self._is_there = wanted
        if wanted:
            self._hidden_path.rename(self._path)
        else:
            self._path.rename(self._hidden_path)
            self.hang_up()

    @property
    def _hidden_path(self) -> Path:
        assert self._path is not None
        return self._path.with_name(f".{self._path.name}")

    @property
    def _tailnet(self) -> Tailnet:
        return self._world.tailnet

    def answer(self, request: Request) -> Answer:
        if self._faults.take("ts-hang", request.path):
            request.alive.hold_forever()
        answer = self._routed(request)
        if self._faults.take("ts-garbage", request.path):
            answer = Answer(200, answer.body[: len(answer.body) // 2] or b'{"Peer":')
        headers = {**answer.headers, "Tailscale-Version": VERSION, "Tailscale-Cap": CAPABILITY_VERSION}
        return Answer(answer.status, answer.body, answer.content_type, headers, answer.stream)

    def _routed(self, request: Request) -> Answer:
        if request.headers.get("host", "") not in ("", HOST):
            return text_answer("invalid localapi request", 403)
        if "origin" in request.headers or "referer" in request.headers:
            return text_answer("invalid localapi request", 403)
        if not request.path.startswith("/localapi/v0/"):
            return text_answer("404 not found", 404)
        match request.path.removeprefix("/localapi/v0/"), request.method:
            case "status", "GET":
                return json_answer(self.status(request.parameter("peers", "true") != "false"))
            case "ping", "POST":
                return self._ping(request)
            case "ping" | "status", _:
                return text_answer("want POST" if "ping" in request.path else "want GET", 405)
            case "whois", "GET":
                return self._whois(request)
            case "prefs", "GET":
                return json_answer(self._preferences())
            case "prefs", _:
                return text_answer("prefs write access denied", 403)
            case "derpmap", "GET":
                return json_answer(_derp_map())
            case "watch-ipn-bus", "GET":
                return Answer(stream=self._bus(request))
        return text_answer("404 not found", 404)

    def status(self, peers: bool = True) -> dict[str, Any]:
        """``ipnstate.Status`` as the daemon writes it."""
        state, complaint = self._state()
        own = self._tailnet.this_device
        running = state == "Running" and own is not None
        now = self._world.now()
        result: dict[str, Any] = {
            "Version": VERSION,
            "TUN": True,
            "BackendState": state,
        }
        if state != "NeedsLogin":
            result["HaveNodeKey"] = True
        tailnet = {
            "Name": self._tailnet.name,
            "MagicDNSSuffix": self._tailnet.suffix,
            "MagicDNSEnabled": True,
        }
        result |= {
            "AuthURL": "https://login.tailscale.com/a/1f0c7a94d2e6b8" if state == "NeedsLogin" else "",
            "TailscaleIPs": list(own.addresses) if running and own else None,
            "Self": self._self(own if state != "NeedsLogin" else None, running, now),
            "Health": [complaint] if complaint else [],
            "MagicDNSSuffix": self._tailnet.suffix if running else "",
            "CurrentTailnet": tailnet if state not in ("NeedsLogin", "NoState") else None,
            "CertDomains": [self._dns_name(own).rstrip(".")] if running and own else None,
            "Peer": None,
            "User": None,
            "ClientVersion": {"RunningLatest": True} if running else None,
        }
        if not running:
            return result
        visible = [device for device in self._tailnet.devices() if device.visible and device.authorized]
        if peers:
            result["Peer"] = {
                device.node_key: self._peer(device, now) for device in visible if device is not own
            }
        result["User"] = {str(_user_id(name)): _profile(name) for name in sorted({d.user for d in visible})}
        return result

    def _state(self) -> tuple[str, str]:
        for kind, state in _STATES.items():
            if self._faults.find(kind):
                return state
        if self._tailnet.this_device is None:
            return _STATES["ts-needs-login"]
        return "Running", ""

    def _self(self, own: Device | None, running: bool, now: datetime) -> dict[str, Any]:
        if own is None:
            return {
                "ID": "",
                "NodeID": 0,
                "PublicKey": f"nodekey:{'0' * 64}",
                "HostName": "x1",
                "DNSName": "",
                "OS": "linux",
                "UserID": 0,
                "TailscaleIPs": None,
                "Online": False,
                "InNetworkMap": False,
                "Created": ZERO_TIME,
                "LastSeen": ZERO_TIME,
            }
        return self._peer(own, now) | {
            "Addrs": [own.endpoint, "192.168.1.31:41641"] if running else None,
            "Online": running,
            "CapMap": {"https://tailscale.com/cap/ssh": None, "https://tailscale.com/cap/is-admin": None},
            "Capabilities": ["https://tailscale.com/cap/ssh", "https://tailscale.com/cap/is-admin"],
            "PeerAPIURL": [f"http://{own.ipv4}:34271"],
            "RxBytes": 0,
            "TxBytes": 0,
        }

    def _peer(self, device: Device, now: datetime) -> dict[str, Any]:
        """``ipnstate.PeerStatus``; what is marked ``omitempty`` there is left out here when empty."""
        active = device.is_active(now)
        direct = device.has_direct_path(now)
        allowed = [f"{ip}/{32 if '.' in ip else 128}" for ip in device.addresses]
        peer: dict[str, Any] = {
            "ID": device.id,
            "NodeID": device.node_id,
            "PublicKey": device.node_key,
            "HostName": device.host_name,
            "DNSName": self._dns_name(device),
            "OS": device.os,
            "UserID": _user_id(device.user),
            "TailscaleIPs": list(device.addresses),
            "AllowedIPs": allowed,
            "Addrs": None,
            "CurAddr": device.endpoint if direct else "",
            "Relay": device.relay,
            "PeerRelay": device.peer_relay if active and device.pings > 1 else "",
            "RxBytes": device.rx_bytes,
            "TxBytes": device.tx_bytes,
            "Created": _time(device.created),
            "LastWrite": _time(device.sent_at),
            "LastSeen": ZERO_TIME if device.online else _time(device.last_seen),
            "LastHandshake": _time(device.sent_at if active and device.online else None),
            "Online": device.online and not device.is_expired(now),
            "ExitNode": False,
            "ExitNodeOption": device.origin is Origin.MULLVAD,
            "Active": active,
            "PeerAPIURL": [f"http://{device.ipv4}:{30000 + device.number % 20000}"],
            "TaildropTarget": 0,
            "NoFileSharingReason": "",
            "InNetworkMap": True,
            "InMagicSock": True,
            "InEngine": active,
        }
        if device.tags:
            peer["Tags"] = list(device.tags)
        if device.has_ssh:
            peer["sshHostKeys"] = [ssh_host_key(device.host_key_seed)]
        if device.origin is Origin.SHAREE:
            peer["ShareeNode"] = True
        if device.origin is Origin.MULLVAD:
            peer["AllowedIPs"] = [*allowed, "0.0.0.0/0", "::/0"]
            peer["Location"] = {
                "Country": "Switzerland",
                "CountryCode": "CH",
                "City": "Zurich",
                "CityCode": "ZRH",
                "Latitude": 47.366667,
                "Longitude": 8.55,
                "Priority": 100,
            }
        if not device.key_expiry_disabled:
            peer["KeyExpiry"] = _time(device.key_expiry)
        if device.is_expired(now):
            peer["Expired"] = True
        return peer

    def _dns_name(self, device: Device | None) -> str:
        return f"{device.name}.{device.suffix or self._tailnet.suffix}." if device else ""

    def _ping(self, request: Request) -> Answer:
        address, kind = request.parameter("ip"), request.parameter("type")
        if not address:
            return text_answer("missing 'ip' parameter", 400)
        if not kind:
            return text_answer("missing 'type' parameter", 400)
        if kind not in PING_TYPES:
            return json_answer({"error": f"unknown ping type {kind!r}"}, 500)
        if ":" not in address and not all(part.isdigit() for part in address.split(".")):
            return text_answer("invalid IP", 400)
        if self._faults.take("ts-ping-timeout", request.path):
            request.alive.hold_forever()
        if self._state()[0] != "Running":
            return json_answer(_ping_result(address, Ping(error="no matching peer"), kind))
        ping = self._tailnet.ping(address, self._world.now(), self._random.uniform(0.94, 1.12))
        if ping.lost:
            request.alive.hold_forever()  # the daemon has no deadline of its own
        # The answer takes as long as it says, so that clients can be seen to wait.
        request.alive.hold(ping.seconds)
        return json_answer(_ping_result(address, ping, kind, self._tailnet.suffix))

    def _whois(self, request: Request) -> Answer:
        asked = request.parameter("addr")
        if not asked:
            return text_answer("missing 'addr' parameter", 400)
        address = asked
        if not asked.startswith("nodekey:"):
            address = asked.rpartition("]")[0].lstrip("[") or (
                asked.rsplit(":", 1)[0] if asked.count(":") == 1 else asked
            )
        device = self._tailnet.find(address)
        if device is None or not device.visible or not device.authorized or address == device.name:
            return text_answer("no match for IP:port", 404)
        node: dict[str, Any] = {
            "ID": device.node_id,
            "StableID": device.id,
            "Name": self._dns_name(device),
            "User": _user_id(device.user),
            "Key": device.node_key,
            "Machine": device.machine_key,
            "Addresses": [f"{ip}/{32 if '.' in ip else 128}" for ip in device.addresses],
            "Hostinfo": {"OS": device.os, "Hostname": device.host_name},
            "Created": _time(device.created),
            "Online": device.online,
            "ComputedName": device.name,
            "ComputedNameWithHost": device.name,
        }
        if device.tags:
            node["Tags"] = list(device.tags)
        return json_answer({"Node": node, "UserProfile": _profile(device.user), "CapMap": {}})

    def _preferences(self) -> dict[str, Any]:
        own = self._tailnet.this_device
        return {
            "ControlURL": "https://controlplane.tailscale.com",
            "RouteAll": False,
            "ExitNodeID": "",
            "CorpDNS": True,
            "RunSSH": False,
            "WantRunning": self._state()[0] == "Running",
            "LoggedOut": self._state()[0] == "NeedsLogin",
            "ShieldsUp": False,
            "AdvertiseTags": None,
            "Hostname": own.host_name if own else "",
            "OperatorUser": "",
        }

    def _bus(self, request: Request) -> Iterator[bytes]:
        """``ipn.Notify`` lines: the state at once if asked for, then a line whenever the netmap changes."""
        mask = request.parameter("mask", "0")
        bits = int(mask) if mask.isdigit() else 0
        yield _line({"Version": VERSION, **({"State": self._state_number()} if bits & INITIAL_STATE else {})})
        if bits & INITIAL_NETMAP:
            yield _line({"Version": VERSION, "NetMap": self._net_map()})
        revision, state = self._tailnet.revision, self._state_number()
        while True:
            request.alive.hold(0)
            newer = self._tailnet.wait_for_change(revision, 0.5)
            if self._state_number() != state:
                state = self._state_number()
                yield _line({"Version": VERSION, "State": state})
            if newer != revision:
                revision = newer
                yield _line({"Version": VERSION, "NetMap": self._net_map()})

    def _state_number(self) -> int:
        """``ipn.State``."""
        return {"NeedsLogin": 2, "NeedsMachineAuth": 3, "Stopped": 4, "Running": 6}[self._state()[0]]

    def _net_map(self) -> dict[str, Any]:
        own = self._tailnet.this_device
        return {
            "Domain": self._tailnet.name,
            "Name": self._dns_name(own),
            "PeerCount": len(self._tailnet.devices()),
        }


def _ping_result(address: str, ping: Ping, kind: str, suffix: str = "") -> dict[str, Any]:
    """``ipnstate.PingResult``; only disco pings know the path."""
    device = ping.device
    path = kind == "disco"
    result: dict[str, Any] = {
        "IP": address,
        "NodeIP": device.ipv4 if device else "",
        "NodeName": f"{device.name}.{device.suffix or suffix}" if device else "",
        "Err": ping.error,
        "LatencySeconds": ping.seconds,
        "Endpoint": ping.endpoint if path else "",
        "PeerRelay": ping.peer_relay if path else "",
        "DERPRegionID": DERP_REGIONS[ping.derp][0] if path and ping.derp else 0,
        "DERPRegionCode": ping.derp if path else "",
    }
    if ping.is_local:
        result["IsLocalIP"] = True
    return result


def _derp_map() -> dict[str, Any]:
    return {
        "Regions": {
            str(number): {
                "RegionID": number,
                "RegionCode": code,
                "RegionName": name,
                "Nodes": [
                    {"Name": f"{number}a", "RegionID": number, "HostName": f"derp{number}.tailscale.com"}
                ],
            }
            for code, (number, name) in DERP_REGIONS.items()
        }
    }


def _user_id(name: str) -> int:
    """Tagged devices share one synthetic user."""
    return 0x6B_0000_0000 + sum(byte << (index % 4 * 8) for index, byte in enumerate(name.encode()))


def _profile(name: str) -> dict[str, Any]:
    return {
        "ID": _user_id(name),
        "LoginName": name or "tagged-devices",
        "DisplayName": name.split("@")[0] or "Tagged Devices",
        "ProfilePicURL": "",
    }


def _line(notify: dict[str, Any]) -> bytes:
    return msgspec.json.encode(notify) + b"\n"


def _time(moment: datetime | None) -> str:
    """RFC 3339 as Go writes it; the zero time where there is none."""
    if moment is None:
        return ZERO_TIME
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
