"""Tailscale's control API (v2): all devices of the tailnet, and the few changes that a join needs.

Facts: the OpenAPI file of Tailscale's Go client, and services.md 2. The devices are read with every field;
the changing calls are for plans alone.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from axiom_tui.clients.http import Answer, excerpt, is_loopback, send
from axiom_tui.clients.tailscale_wire import first_label, moment
from axiom_tui.model.naming import natural_key
from axiom_tui.model.problem import AxiomError, ProblemKind, fail
from axiom_tui.model.secret import Masker, Secret
from axiom_tui.model.tailnet import PathKind, TailnetDevice

log = logging.getLogger(__name__)

CONTROL_URL = "https://api.tailscale.com"
KEYS_PAGE = "https://login.tailscale.com/admin/settings/keys"
OAUTH_PAGE = "https://login.tailscale.com/admin/settings/oauth"
#: An access token lives an hour; it is renewed this long before its end.
RENEW_BEFORE = 300.0  # seconds
READ_SCOPE, WRITE_SCOPE = "devices:core:read", "devices:core"


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A personal token (``tskey-api-...``), asked for at each request, so that a new one is taken up."""

    secret: Callable[[], Secret]


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """An OAuth client; its secret (``tskey-client-...``) buys access tokens of an hour."""

    client_id: str
    secret: Callable[[], Secret]


Credentials = ApiToken | OAuthClient


def secret_from_file(path: Path) -> Callable[[], Secret]:
    """Reads the secret anew at each call; what is missing, unreadable or empty is an `AxiomError`."""

    def read() -> Secret:
        where = path.expanduser()
        try:
            text = where.read_text(encoding="utf-8").strip()
            open_to_others = where.stat().st_mode & 0o077
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise fail(
                ProblemKind.MISCONFIGURED,
                f"The secret for Tailscale's control API cannot be read from {where}: {reason}.",
                "Correct the path in the settings, or the permissions of the file.",
            ) from error
        if not text:
            raise fail(
                ProblemKind.MISCONFIGURED,
                f"The file {where} for Tailscale's control API is empty.",
                f"Put the token into it ({KEYS_PAGE}).",
            )
        if open_to_others:
            log.warning("%s is open to other users of this machine; `chmod 600` it", where)
        return Secret(text)

    return read


class _Connectivity(msgspec.Struct):
    endpoints: list[str] | None = None


class _Device(msgspec.Struct, rename="camel"):
    node_id: str | None = None
    id: str | None = None
    name: str | None = None
    hostname: str | None = None
    os: str | None = None
    addresses: list[str] | None = None
    tags: list[str] | None = None
    authorized: bool | None = None
    client_version: str | None = None
    update_available: bool | None = None
    connected_to_control: bool | None = None
    last_seen: str | None = None
    expires: str | None = None
    key_expiry_disabled: bool | None = None
    client_connectivity: _Connectivity | None = None


class _Devices(msgspec.Struct):
    devices: list[_Device] | None = None


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float | None = None


class _Message(msgspec.Struct):
    message: str | None = None


class ControlApi:
    """The control API of one tailnet; "-" is the one that the credentials belong to. Thread-safe.

    ``timeout`` in seconds holds for each request. All failures are `AxiomError`s: UNAUTHENTICATED,
    FORBIDDEN, MISSING, THROTTLED (with ``retry_after``), BROKEN, GARBLED and those of the way.
    """

    def __init__(
        self,
        base_url: str = CONTROL_URL,
        credentials: Credentials | None = None,
        tailnet: str = "-",
        timeout: float = 15.0,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.credentials = credentials
        self.tailnet = tailnet
        self.timeout = timeout
        self._lock = threading.Lock()
        self._access: Secret | None = None
        self._renew_at = 0.0  # on the monotonic clock
        self._mask = Masker()

    def __repr__(self) -> str:
        return f"ControlApi({self.base_url}, tailnet={self.tailnet})"

    def devices(self) -> tuple[TailnetDevice, ...]:
        """All devices of the tailnet, by name; none is `visible_here`, which is the local API's to say."""
        answer = self._ask("GET", f"tailnet/{quote(self.tailnet, safe='-')}/devices?fields=all", READ_SCOPE)
        return decode_devices(answer.body, self._what)

    def authorize(self, device_id: str) -> None:
        """Approve the device. ``device_id`` is its stable id (``nodeId``)."""
        self._change(device_id, "authorized", {"authorized": True})

    def set_key_expiry_disabled(self, device_id: str, disabled: bool) -> None:
        self._change(device_id, "key", {"keyExpiryDisabled": disabled})

    def set_tags(self, device_id: str, tags: Sequence[str]) -> None:
        """Replace the device's tags by these."""
        self._change(device_id, "tags", {"tags": list(tags)})

    def delete(self, device_id: str) -> None:
        """Take the device out of the tailnet."""
        self._ask("DELETE", f"device/{quote(device_id, safe='')}", WRITE_SCOPE)

    def _change(self, device_id: str, what: str, body: object) -> None:
        self._ask(
            "POST", f"device/{quote(device_id, safe='')}/{what}", WRITE_SCOPE, json.dumps(body).encode()
        )

    @property
    def _what(self) -> str:
        return f"Tailscale's control API ({urlsplit(self.base_url).hostname or self.base_url})"

    def _ask(self, method: str, path: str, scope: str, body: bytes | None = None) -> Answer:
        """Send with the credentials; an access token that was revoked early is renewed once."""
        answer = self._send(method, path, self._bearer(), body)
        if answer.status == 401 and isinstance(self.credentials, OAuthClient):
            with self._lock:
                self._access = None
            answer = self._send(method, path, self._bearer(), body)
        if answer.status != 200:
            raise self._failure(answer, scope, path)
        return answer

    def _send(self, method: str, path: str, bearer: Secret, body: bytes | None) -> Answer:
        headers = {"Authorization": f"Bearer {bearer.reveal()}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return send(
            method,
            f"{self._checked_url()}/api/v2/{path}",
            what=self._what,
            deadline=self.timeout,
            headers=headers,
            body=body,
        )

    def _checked_url(self) -> str:
        """The base URL, if a secret may travel there."""
        url = urlsplit(self.base_url)
        if url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname or "")):
            return self.base_url
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"The address {self._mask(self.base_url)} of Tailscale's control API is not https.",
            "A token is sent over TLS only: correct `tailscale.control.url` in the settings.",
        )

    def _bearer(self) -> Secret:
        credentials = self.credentials
        if credentials is None:
            raise fail(ProblemKind.MISCONFIGURED, NOT_CONFIGURED, HOW_TO_CONFIGURE)
        if isinstance(credentials, OAuthClient):
            return self._access_token(credentials)
        secret = credentials.secret()
        self._mask.add(secret)
        for prefix, kind in (
            ("tskey-client-", "the secret of an OAuth client"),
            ("tskey-auth-", "an auth key"),
        ):
            if secret.reveal().startswith(prefix):
                raise fail(
                    ProblemKind.MISCONFIGURED,
                    f"What is configured as token of Tailscale's control API is {kind}.",
                    f"Make an API access token at {KEYS_PAGE}, or configure the OAuth client as such.",
                )
        return secret

    def _access_token(self, client: OAuthClient) -> Secret:
        """The access token in force, renewed when it is about to end. One thread asks, others wait for it."""
        with self._lock:
            if self._access is not None and time.monotonic() < self._renew_at:
                return self._access
            secret = client.secret()
            self._mask.add(secret)
            form = {
                "grant_type": "client_credentials",
                "client_id": client.client_id,
                "client_secret": secret.reveal(),
            }
            asked_at = time.monotonic()
            answer = send(
                "POST",
                f"{self._checked_url()}/api/v2/oauth/token",
                what=self._what,
                deadline=self.timeout,
                headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
                body=urlencode(form).encode(),
            )
            if answer.status in (400, 401, 403):
                raise fail(
                    ProblemKind.UNAUTHENTICATED,
                    f"{self._what} refuses the OAuth client{self._said(answer)}.",
                    f"Check its id and secret at {OAUTH_PAGE}; it needs the scope {READ_SCOPE}.",
                )
            if answer.status != 200:
                raise self._failure(answer, READ_SCOPE, "oauth/token")
            try:
                token = msgspec.json.decode(answer.body, type=_Token)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise self._garbled("the answer to the OAuth client", error) from error
            life = 3600.0 if token.expires_in is None else token.expires_in
            # Of a short-lived token at least half the life is used.
            self._renew_at = asked_at + max(life - RENEW_BEFORE, life / 2)
            self._access = Secret(token.access_token)
            self._mask.add(self._access)
            return self._access

    def _failure(self, answer: Answer, scope: str, path: str) -> AxiomError:
        """What each status means: which credential, which scope, which device."""
        what, said, status = self._what, self._said(answer), answer.status
        if status == 401:
            return fail(
                ProblemKind.UNAUTHENTICATED,
                f"{what} does not accept the token{said}.",
                f"It may have expired or been revoked: put a new one into its file ({KEYS_PAGE}).",
            )
        if status == 403:
            return fail(
                ProblemKind.FORBIDDEN,
                f"The credentials lack the right {scope} for {what}{said}.",
                f"Give the OAuth client the scope {scope} ({OAUTH_PAGE}), or use a token of an admin.",
            )
        if status == 404:
            if path.startswith("device/"):
                return fail(
                    ProblemKind.MISSING,
                    f"The tailnet has no device {excerpt(path.split('/')[1])}{said}.",
                    "It may have been removed meanwhile; look again.",
                )
            return fail(
                ProblemKind.MISSING,
                f"{what} knows no tailnet {self.tailnet!r} for these credentials{said}.",
                'Set `tailscale.tailnet` to "-", which is the tailnet of the credentials.',
            )
        if status == 429:
            return fail(
                ProblemKind.THROTTLED,
                f"{what} asks to be asked less often{said}.",
                "axiom-tui waits and asks again by itself.",
                retry_after=answer.retry_after,
            )
        if status == 501 and path.startswith("device/"):
            return fail(
                ProblemKind.INVALID,
                f"The device belongs to another tailnet and is only shared with this one{said}.",
                "Its owner alone can change it.",
            )
        if status >= 500:
            return fail(
                ProblemKind.BROKEN,
                f"{what} {'took too long' if status == 504 else 'is out of order'} (HTTP {status}){said}.",
                "Wait: axiom-tui asks again by itself. See also https://status.tailscale.com.",
                retry_after=answer.retry_after,
            )
        if 300 <= status < 400:
            return fail(
                ProblemKind.GARBLED,
                f"{what} sends us elsewhere (HTTP {status}), which it never does.",
                "Check `tailscale.control.url`, and whether this network wants a login in the browser first.",
            )
        return fail(
            ProblemKind.CONFLICT if status == 409 else ProblemKind.INVALID,
            f"{what} refuses the request (HTTP {status}){said}.",
            "Look at the device in the Tailscale admin console.",
        )

    def _said(self, answer: Answer) -> str:
        """The message in the answer as the end of a sentence, secrets masked; "" if there is none."""
        try:
            text = msgspec.json.decode(answer.body, type=_Message).message or ""
        except (msgspec.DecodeError, UnicodeDecodeError):
            text = excerpt(answer.body)
        text = excerpt(self._mask(text))
        return f": {text}" if text else ""

    def _garbled(self, which: str, error: Exception) -> AxiomError:
        return fail(
            ProblemKind.GARBLED,
            f"{which[0].upper()}{which[1:]} of {self._what} cannot be read: {error}.",
            "Check `tailscale.control.url`, and whether a proxy in between answers instead.",
        )


NOT_CONFIGURED = "Tailscale's control API is not asked: no credentials are configured."
HOW_TO_CONFIGURE = (
    "To see key expiry, approval and devices that this machine cannot see, set "
    "`tailscale.control.token_file` or `tailscale.control.oauth` in the settings."
)


def decode_devices(raw: bytes, what: str) -> tuple[TailnetDevice, ...]:
    """Decode the list of devices, by name; GARBLED if it is none."""
    try:
        listed = msgspec.json.decode(raw, type=_Devices).devices
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise fail(
            ProblemKind.GARBLED,
            f"The answer of {what} cannot be read: {error}.",
            "Check `tailscale.control.url`, and whether a proxy in between answers instead.",
        ) from error
    if listed is None:
        raise fail(
            ProblemKind.GARBLED,
            f"The answer of {what} is no list of devices.",
            "Check `tailscale.control.url`, and whether a proxy in between answers instead.",
        )
    devices = [_device(device) for device in listed if device.node_id or device.id]
    devices.sort(key=lambda device: (natural_key(device.folded_name), device.id))
    return tuple(devices)


def _device(device: _Device) -> TailnetDevice:
    dns_name = (device.name or "").rstrip(".")
    online = device.connected_to_control
    connectivity = device.client_connectivity or _Connectivity()
    return TailnetDevice(
        id=device.node_id or device.id or "",
        name=first_label(dns_name) or device.hostname or "",
        dns_name=dns_name,
        host_name=device.hostname or "",
        os=device.os or "",
        addresses=tuple(device.addresses or ()),
        tags=tuple(device.tags or ()),
        online=online,
        # Cut off from control it is offline for everybody; connected, its path from here is not known.
        path=PathKind.OFFLINE if online is False else PathKind.UNKNOWN,
        last_seen=None if online else moment(device.last_seen),
        key_expiry=moment(device.expires),
        key_expiry_disabled=device.key_expiry_disabled,
        authorized=device.authorized,
        client_version=(device.client_version or "").split("-", 1)[0],
        update_available=device.update_available,
        advertises_endpoints=tuple(connectivity.endpoints or ()),
        visible_here=False,
    )
