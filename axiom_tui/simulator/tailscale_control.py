"""The simulated control API of Tailscale (v2): HTTP on loopback, for what only the control plane knows.

Facts: services.md section 2 (OpenAPI file of Tailscale's own Go client).
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from axiom_tui.simulator.faults import Faults
from axiom_tui.simulator.tailnet import Credentials, Device, Origin, Tailnet
from axiom_tui.simulator.wire import Answer, Request, WireServer, json_answer
from axiom_tui.simulator.world import World

PREFIX = "/api/v2"
TOKEN_LIFE = 3600  # seconds
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_TAG = re.compile(r"tag:[a-zA-Z][-a-zA-Z0-9]*")
ZERO_TIME = "0001-01-01T00:00:00Z"


class ControlServer(WireServer):
    """``https://api.tailscale.com`` for the world's tailnet. Thread-safe.

    Accepts the world's API token (Bearer, or Basic with the token as user name) and its OAuth client.
    """

    def __init__(self, world: World, faults: Faults) -> None:
        super().__init__("tailscale-control")
        self._world = world
        self._faults = faults

    def start(self) -> str:
        """Listen; the base URL, to which clients add ``/api/v2``."""
        return self.start_tcp()

    @property
    def _tailnet(self) -> Tailnet:
        return self._world.tailnet

    def answer(self, request: Request) -> Answer:
        faults, path = self._faults, request.path
        if faults.take("control-unauthorized", path):
            return _error(401, "API token invalid")
        if throttle := faults.take("control-throttle", path):
            headers = {"Retry-After": str(throttle.retry_after)}
            return Answer(429, _message("rate limit exceeded"), headers=headers)
        if broken := faults.take("control-broken", path):
            if broken.form == "text":
                return Answer(502, b"<html><body>502 Bad Gateway</body></html>", "text/html")
            return _error(500, "internal server error")
        answer = self._routed(request)
        if faults.take("control-garbage", path):
            return Answer(200, answer.body[: len(answer.body) // 2])
        return answer

    def _routed(self, request: Request) -> Answer:
        if not request.path.startswith(f"{PREFIX}/"):
            return _error(404, "not found")
        parts = [unquote(part) for part in request.path.removeprefix(f"{PREFIX}/").strip("/").split("/")]
        if parts == ["oauth", "token"]:
            return self._give_token(request)
        if not _may_enter(request.headers.get("authorization", ""), self._tailnet.credentials):
            return _error(401, "API token invalid")
        match parts, request.method:
            case ["tailnet", name, "devices"], "GET":
                if name not in ("-", self._tailnet.name):
                    return _error(404, "tailnet not found")
                return self._list(request)
            case ["device", key], "GET":
                device = self._find(key)
                return json_answer(self._device(device, _wants_all(request))) if device else _MISSING
            case ["device", key], "DELETE":
                return self._delete(key)
            case ["device", key, action], "POST":
                return self._act(key, action, request.body)
            case ["tailnet", _, "devices"] | ["device", *_], _:
                return _error(405, "method not allowed")
        return _error(404, "not found")

    def _give_token(self, request: Request) -> Answer:
        """The OAuth client's grant: ``client_credentials``, in the form or by Basic authentication."""
        if request.method != "POST":
            return _error(405, "method not allowed")
        form = {name: values[0] for name, values in parse_qs(request.body.decode(errors="replace")).items()}
        basic = _basic(request.headers.get("authorization", ""))
        client, secret = form.get("client_id", basic[0]), form.get("client_secret", basic[1])
        known = self._tailnet.credentials
        if form.get("grant_type", "client_credentials") != "client_credentials":
            return _error(400, "unsupported grant_type")
        if secret != known.oauth_secret or client not in ("", known.oauth_client):
            return _error(401, "API token invalid")
        serial = len(known.issued) + 1
        token = f"tskey-access-{hashlib.sha256(f'{secret} {serial}'.encode()).hexdigest()[:32]}"
        known.issued.add(token)
        return json_answer(
            {
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": TOKEN_LIFE,
                "scope": form.get("scope", "devices:core"),
            }
        )

    def _list(self, request: Request) -> Answer:
        devices = [device for device in self._tailnet.devices() if _is_listed(device)]
        for tag in request.query.get("tags", []):
            devices = [device for device in devices if tag in device.tags]
        if host := request.parameter("hostname"):
            devices = [device for device in devices if device.host_name == host]
        if request.parameter("isEphemeral") == "true":
            devices = []
        everything = _wants_all(request)
        return json_answer({"devices": [self._device(device, everything) for device in devices]})

    def _delete(self, key: str) -> Answer:
        device = self._find(key)
        if device is None:
            return _MISSING
        if device.origin is not Origin.OWN:
            return _error(501, "cannot delete a device that is shared in from another tailnet")
        self._tailnet.remove(device.id)
        return json_answer(None)

    def _act(self, key: str, action: str, body: bytes) -> Answer:
        device = self._find(key)
        if device is None:
            return _MISSING
        try:
            wanted = msgspec.json.decode(body or b"{}", type=dict[str, Any])
        except (msgspec.DecodeError, msgspec.ValidationError):
            return _error(400, "invalid JSON in the request body")
        changed = self._changed(device, action, wanted)
        if isinstance(changed, Answer):
            return changed
        self._tailnet.update(device.id, lambda _: changed)
        return json_answer(None)

    def _changed(self, device: Device, action: str, wanted: dict[str, Any]) -> Device | Answer:
        """The device as the request wants it, or why that cannot be."""
        if device.origin is not Origin.OWN:
            return _error(403, "not allowed on a device of another tailnet")
        match action, wanted:
            case "authorized", {"authorized": bool(authorized)}:
                return replace(device, authorized=authorized)
            case "key", {"keyExpiryDisabled": bool(disabled)}:
                return replace(device, key_expiry_disabled=disabled)
            case "tags", {"tags": list(tags)}:
                wrong = [tag for tag in tags if not (isinstance(tag, str) and _TAG.fullmatch(tag))]
                if wrong:
                    return _error(400, f"invalid tag {wrong[0]!r}")
                return replace(device, tags=tuple(dict.fromkeys(tags)), user="" if tags else device.user)
            case "name", {"name": str(name)}:
                label = name.split(".")[0].lower()
                if not _NAME.fullmatch(label):
                    return _error(400, f"invalid name {name!r}")
                taken = self._tailnet.find(label)
                if taken is not None and taken.id != device.id:
                    return _error(400, f"name {label!r} is already in use")
                return replace(device, name=label)
            case "expire", _:
                now = self._world.now()
                return replace(device, key_expiry=now, key_expiry_disabled=False, online=False, last_seen=now)
            case "authorized" | "key" | "tags" | "name", _:
                return _error(400, f"the request body lacks what {action!r} needs")
        return _error(404, "not found")

    def _find(self, key: str) -> Device | None:
        device = self._tailnet.find(key)
        if device is None or not _is_listed(device) or key not in (device.id, str(device.node_id)):
            return None
        return device

    def _device(self, device: Device, everything: bool) -> dict[str, Any]:
        external = device.origin is Origin.SHARED_IN
        # A device that waits for approval is connected: it polls for its approval.
        connected = device.online and not device.is_expired(self._world.now())
        result: dict[str, Any] = {
            "addresses": list(device.addresses),
            "id": str(device.node_id),
            "nodeId": device.id,
            "user": device.user or "tagged-devices",
            "name": f"{device.name}.{device.suffix or self._tailnet.suffix}",
            "hostname": device.host_name,
            "clientVersion": "" if external else f"{device.client_version}-t6f1c3d5a2",
            "updateAvailable": device.update_available,
            "os": device.os,
            "created": "" if external else _time(device.created),
            "connectedToControl": connected,
            "keyExpiryDisabled": device.key_expiry_disabled,
            "expires": _time(device.key_expiry),
            "authorized": device.authorized,
            "isExternal": external,
            "isEphemeral": False,
            "machineKey": "" if external else device.machine_key,
            "nodeKey": device.node_key,
            "blocksIncomingConnections": device.os == "android",
            "tailnetLockError": "",
            "tailnetLockKey": "",
        }
        if not connected and device.last_seen is not None:
            result["lastSeen"] = _time(device.last_seen)
        if device.tags:
            result["tags"] = list(device.tags)
        if everything:
            result |= {
                "enabledRoutes": [],
                "advertisedRoutes": [],
                "sshEnabled": device.has_ssh,
                "clientConnectivity": _connectivity(device),
            }
            if device.distro[0]:
                name, version, code = device.distro
                result["distro"] = {"name": name, "version": version, "codeName": code}
        return result


def _connectivity(device: Device) -> dict[str, Any]:
    city = {"fra": "Frankfurt", "nue": "Nuremberg", "par": "Paris"}[device.relay]
    return {
        "endpoints": [device.endpoint] if device.endpoint else [],
        "derp": city,
        "mappingVariesByDestIP": False,
        "latency": {city: {"latencyMs": round(device.latency * 0.8 + 4, 3), "preferred": True}},
        "clientSupports": {
            "hairPinning": None,
            "ipv6": False,
            "pcp": False,
            "pmp": False,
            "udp": device.route.value != "derp",
            "upnp": False,
        },
    }


def _is_listed(device: Device) -> bool:
    """Sharees and Mullvad's servers are no devices of the tailnet."""
    return device.origin in (Origin.OWN, Origin.SHARED_IN)


def _wants_all(request: Request) -> bool:
    return request.parameter("fields", "default") == "all"


def _may_enter(authorization: str, known: Credentials) -> bool:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value == known.token or value in known.issued
    return _basic(authorization)[0] == known.token


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (ValueError, UnicodeDecodeError):
        return "", ""
    return user, password


def _message(text: str) -> bytes:
    return msgspec.json.encode({"message": text})


def _error(status: int, text: str) -> Answer:
    return Answer(status, _message(text))


_MISSING = _error(404, "no such device")


def _time(moment: datetime | None) -> str:
    """RFC 3339 in whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ZERO_TIME
