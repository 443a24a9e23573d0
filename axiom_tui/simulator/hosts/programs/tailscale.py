"""The tailscale command line of a host (facts: services.md 1.5, 1.6, 4)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from axiom_tui.model.naming import fold
from axiom_tui.simulator.hosts.program import Failure, Run, program
from axiom_tui.simulator.tailnet import Device, Origin, Route, ssh_host_key

VERSION = "1.102.3"
_ZERO_TIME = "0001-01-01T00:00:00Z"


@program("tailscale")
def tailscale(run: Run) -> int:
    words = list(run.arguments)
    command = words.pop(0) if words else ""
    if command in ("version", "--version"):
        run.line(f"{VERSION}\n  tailscale commit: 6f1c3d5a2\n  go version: go1.26.1")
        return 0
    if run.host.systemd.find("tailscaled") is None or not _runs(run):
        remedy = "(sudo systemctl start tailscaled ?)"
        run.say(f"failed to connect to local tailscaled; it doesn't appear to be running {remedy}")
        return 1
    commands = {
        "status": _status,
        "ip": _ip,
        "ping": _ping,
        "set": _set,
        "up": _set,
        "debug": _debug,
        "whois": _whois,
    }
    if command not in commands:
        run.say(f"tailscale: unknown subcommand: {command}")
        return 2
    return commands[command](run, words)


def _runs(run: Run) -> bool:
    unit = run.host.systemd.find("tailscaled")
    return unit is not None and unit.active == "active"


def _state(run: Run) -> str:
    device = run.host.device
    if device is None or device.is_expired(run.host.world.now()):
        return "NeedsLogin"
    return "Running" if device.authorized else "NeedsMachineAuth"


def _status(run: Run, words: list[str]) -> int:
    device, tailnet, state = run.host.device, run.host.world.tailnet, _state(run)
    running = state == "Running"
    if "--json" not in words:
        if not running or device is None:
            run.line(
                "Logged out." if state == "NeedsLogin" else "Machine is not yet approved by tailnet admin."
            )
            return 1
        for peer in [device, *(peer for peer in tailnet.devices() if peer.number != device.number)]:
            run.line(f"{peer.ipv4:<15} {peer.name:<20} {peer.user or 'tagged-devices':<14} {peer.os:<7} -")
        return 0
    own = (
        _peer(run, device)
        if device is not None
        else {"ID": "", "HostName": run.host.name, "TailscaleIPs": None}
    )
    if device is not None:
        own |= {"Online": running and device.online, "CapMap": {"https://tailscale.com/cap/ssh": None}}
    peers = None
    if "--peers=false" not in words and running and device is not None:
        peers = {peer.node_key: _peer(run, peer) for peer in tailnet.devices() if _is_peer(peer, device)}
    health = {
        "NeedsLogin": ["You are logged out. The last login error was: key expired"],
        "NeedsMachineAuth": ["This machine is not yet approved by your tailnet admin."],
    }
    known = {"Name": tailnet.name, "MagicDNSSuffix": tailnet.suffix, "MagicDNSEnabled": True}
    run.line(
        json.dumps(
            {
                "Version": f"{VERSION}-t6f1c3d5a2-gd4e8a9b71",
                "TUN": True,
                "BackendState": state,
                "HaveNodeKey": device is not None,
                "AuthURL": "",
                "TailscaleIPs": list(device.addresses) if device and running else None,
                "Self": own,
                "Health": health.get(state, []),
                "MagicDNSSuffix": tailnet.suffix if running else "",
                "CurrentTailnet": known if running else None,
                "CertDomains": None,
                "Peer": peers,
                "User": None,
                "ClientVersion": {"RunningLatest": True},
            },
            indent=2,
        )
    )
    return 0


def _is_peer(peer: Device, own: Device) -> bool:
    return peer.number != own.number and peer.authorized and peer.origin is Origin.OWN


def _peer(run: Run, device: Device) -> dict[str, Any]:
    """``ipnstate.PeerStatus``; empty fields that are marked ``omitempty`` there are left out."""
    suffix = device.suffix or run.host.world.tailnet.suffix
    peer: dict[str, Any] = {
        "ID": device.id,
        "PublicKey": device.node_key,
        "HostName": device.host_name,
        "DNSName": f"{device.name}.{suffix}.",
        "OS": device.os,
        "TailscaleIPs": list(device.addresses),
        "CurAddr": device.endpoint if device.route is Route.DIRECT and device.online else "",
        "Relay": device.relay,
        "PeerRelay": device.peer_relay,
        "Created": _time(device.created),
        "LastSeen": _ZERO_TIME if device.online else _time(device.last_seen),
        "Online": device.online,
        "Active": device.online,
    }
    if device.tags:
        peer["Tags"] = list(device.tags)
    if device.has_ssh:
        peer["sshHostKeys"] = [ssh_host_key(device.host_key_seed)]
    if not device.key_expiry_disabled:
        peer["KeyExpiry"] = _time(device.key_expiry)
    return peer


def _time(moment: datetime | None) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else _ZERO_TIME


def _ip(run: Run, words: list[str]) -> int:
    names = [word for word in words if not word.startswith("-")]
    device = run.host.world.tailnet.find(names[0]) if names else run.host.device
    if device is None or _state(run) != "Running":
        run.say(f"no current Tailscale IPs; state: {_state(run)}")
        return 1
    asserted = next((word.partition("=")[2] for word in words if word.startswith("--assert=")), "")
    if asserted:
        if asserted not in device.addresses:
            run.say(f"assertion failed: IP {asserted!r} not found among {device.addresses}")
            return 1
        return 0
    chosen = [device.ipv4] if "-4" in words else [device.ipv6] if "-6" in words else list(device.addresses)
    for address in chosen[:1] if "-1" in words else chosen:
        if address:
            run.line(address)
    return 0


def _ping(run: Run, words: list[str]) -> int:
    names = [word for word in words if not word.startswith("-") and not word.rstrip("ms").isdigit()]
    if not names:
        raise Failure("usage: ping <hostname-or-IP>")
    device = run.host.world.tailnet.find(names[0].partition(".")[0] if ".ts.net" in names[0] else names[0])
    if device is None:
        run.say(f"no matching peer: {names[0]}")
        return 1
    own = run.host.device
    if not device.online or own is None or not run.host.is_in_tailnet:
        run.process.wait_for(lambda: False, run.host.paced(5))
        run.line(f'ping "{device.ipv4}" timed out')
        run.say("no reply")
        return 1
    latency = abs(device.latency + own.latency) / 2
    relayed = Route.DERP in (device.route, own.route)
    if relayed:
        run.line(f"pong from {device.name} ({device.ipv4}) via DERP({device.relay}) in {latency * 1.6:.0f}ms")
        run.say("direct connection not established")
        return 1
    run.line(f"pong from {device.name} ({device.ipv4}) via {device.endpoint} in {latency:.0f}ms")
    return 0


def _set(run: Run, words: list[str]) -> int:
    if not run.user.is_root:
        run.say("Access denied: prefs write access denied\n\nUse 'sudo tailscale set'.")
        return 1
    device = run.host.device
    for word in words:
        name, _, value = word.lstrip("-").partition("=")
        if device is None:
            break
        if name == "hostname":
            run.host.world.tailnet.change(
                device.id, host_name=value, name=run.host.hosts.free_name(fold(value), device)
            )
        elif name == "ssh":
            run.host.world.tailnet.change(device.id, has_ssh=value != "false")
        elif name not in (
            "accept-dns",
            "advertise-routes",
            "accept-routes",
            "auto-update",
            "operator",
            "accept-risk",
        ):
            run.say(f"flag provided but not defined: -{name}")
            return 2
    return 0


def _debug(run: Run, words: list[str]) -> int:
    device = run.host.device
    if words[:1] != ["prefs"]:
        return 1
    prefs: dict[str, object] = {
        "RunSSH": bool(device and device.has_ssh),
        "WantRunning": True,
        "CorpDNS": True,
        "RouteAll": False,
    }
    prefs |= {"Hostname": "", "AdvertiseRoutes": None, "OperatorUser": ""}
    run.line(json.dumps(prefs, indent=8))
    return 0


def _whois(run: Run, words: list[str]) -> int:
    device = run.host.world.tailnet.find(words[-1]) if words else None
    if device is None:
        run.say("peer not found")
        return 1
    run.line(
        json.dumps(
            {"Node": {"Name": f"{device.name}.{run.host.world.tailnet.suffix}.", "Tags": list(device.tags)}}
        )
    )
    return 0
