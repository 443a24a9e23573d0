"""Infomaniak's DNS API (v2), as far as plans need it: the A records of one name in a zone.

Facts: services.md, 6.1 (lego, the Terraform provider and a webhook of external-dns make the same calls).
There is no upsert: records are listed, and added or deleted one by one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote, urlsplit

import msgspec

from axiom_tui.clients.http import Answer, excerpt, is_loopback, send
from axiom_tui.model.problem import AxiomError, ProblemKind, fail
from axiom_tui.model.secret import Masker, Secret

URL = "https://api.infomaniak.com"
TOKENS_PAGE = "https://manager.infomaniak.com/v3/ng/accounts/token/list"
APEX = "."  # how a record of the zone's own name calls its source
LEAST_TTL = 60  # seconds


class _Record(msgspec.Struct):
    id: int
    source: str = ""
    type: str = ""
    target: str = ""
    ttl: int = 0


class _Error(msgspec.Struct):
    code: str = ""
    description: str = ""


class _Envelope(msgspec.Struct):
    """Every answer; ``result`` counts, not the HTTP status alone."""

    result: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    error: _Error | None = None


class Infomaniak:
    """The DNS zones of one account. ``token`` is asked for at each call; ``timeout`` in seconds, for each.

    All failures are `AxiomError`s: UNAUTHENTICATED, FORBIDDEN, MISSING (no such zone), INVALID, THROTTLED,
    BROKEN, GARBLED and those of the way.
    """

    def __init__(self, token: Callable[[], Secret], base_url: str = URL, timeout: float = 15.0) -> None:
        self._token = token
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._mask = Masker()
        self._zones: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Infomaniak({self._base_url})"

    def addresses(self, name: str) -> tuple[str, ...]:
        """The A records of a full name, as the zone has them now."""
        return tuple(record.target for record in self._records(name))

    def add(self, name: str, address: str, ttl: int) -> None:
        """Add an A record beside those that the name has; a ``ttl`` below 60 s is raised to it."""
        zone = self._zone(name)
        record = {"source": _source(name, zone), "type": "A", "target": address, "ttl": max(LEAST_TTL, ttl)}
        self._ask("POST", f"zones/{quote(zone, safe='')}/records", record)

    def remove(self, name: str, address: str) -> None:
        """Delete the A records of a name that lead to this address; none is fine."""
        zone = quote(self._zone(name), safe="")
        for record in self._records(name):
            if record.target == address:
                self._ask("DELETE", f"zones/{zone}/records/{record.id}")

    def _records(self, name: str) -> list[_Record]:
        zone = self._zone(name)
        data = self._ask("GET", f"zones/{quote(zone, safe='')}/records")
        try:
            found = msgspec.json.decode(data, type=list[_Record] | None) or []
        except msgspec.DecodeError as error:
            raise self._garbled(error) from error
        source = _source(name, zone)
        return [item for item in found if item.type == "A" and item.source.rstrip(".") == source.rstrip(".")]

    def _zone(self, name: str) -> str:
        """The zone that the name lies in: the longest of its parents that is one."""
        labels = name.rstrip(".").lower().split(".")
        known = self._zones.get(".".join(labels))
        if known is not None:
            return known
        for start in range(len(labels) - 1):
            zone = ".".join(labels[start:])
            if (
                self._ask("GET", f"zones/{quote(zone, safe='')}/exists", missing_is_fine=True).strip()
                == b"true"
            ):
                self._zones[".".join(labels)] = zone
                return zone
        raise fail(
            ProblemKind.MISSING,
            f"{self._what} has no zone for {name} that this token may see.",
            "Check the zone in the settings (dns.zone), and whose account the token belongs to.",
        )

    @property
    def _what(self) -> str:
        return f"Infomaniak's API ({urlsplit(self._base_url).hostname or self._base_url})"

    def _ask(self, method: str, path: str, body: object = None, *, missing_is_fine: bool = False) -> bytes:
        """The data of the answer, as JSON."""
        url = urlsplit(self._base_url)
        if url.scheme != "https" and not is_loopback(url.hostname or ""):
            raise fail(
                ProblemKind.MISCONFIGURED,
                f"The address {self._base_url} of Infomaniak's API is not https.",
                "A token is sent over TLS only: correct `dns.url` in the settings.",
            )
        token = self._token()
        self._mask.add(token)
        headers = {"Authorization": f"Bearer {token.reveal()}", "Accept": "application/json"}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        answer = send(
            method,
            f"{self._base_url}/2/{path}",
            what=self._what,
            deadline=self._timeout,
            headers=headers,
            body=content,
        )
        envelope = self._envelope(answer)
        if answer.status == 404 and missing_is_fine:
            return b"false"
        if envelope is not None and envelope.result == "success" and 200 <= answer.status < 300:
            return bytes(envelope.data)
        raise self._failure(answer, envelope)

    def _envelope(self, answer: Answer) -> _Envelope | None:
        try:
            return msgspec.json.decode(answer.body, type=_Envelope)
        except msgspec.DecodeError as error:
            if 200 <= answer.status < 300:
                raise self._garbled(error) from error
            return None

    def _failure(self, answer: Answer, envelope: _Envelope | None) -> AxiomError:
        error = envelope.error if envelope is not None and envelope.error is not None else _Error()
        text = excerpt(self._mask(error.description or error.code))
        said, status, what = f": {text}" if text else "", answer.status, self._what
        if status == 401 or error.code == "not_authorized":
            return fail(
                ProblemKind.UNAUTHENTICATED,
                f"{what} does not accept the token{said}.",
                f"A token that nobody used for a year is disabled: make a new one ({TOKENS_PAGE}).",
            )
        if status == 403:
            return fail(
                ProblemKind.FORBIDDEN,
                f"The token may not do this at {what}{said}.",
                f"It needs the rights dns:read and dns:write ({TOKENS_PAGE}).",
            )
        if status == 429:
            return fail(
                ProblemKind.THROTTLED,
                f"{what} asks to be asked less often (60 requests a minute){said}.",
                "Wait a minute, then resume.",
                retry_after=answer.retry_after,
            )
        if status == 404 or error.code == "object_not_found":
            return fail(ProblemKind.MISSING, f"{what} does not have it{said}.", "Check dns.zone.")
        if status >= 500:
            return fail(
                ProblemKind.BROKEN, f"{what} is out of order (HTTP {status}){said}.", "Try again later."
            )
        return fail(
            ProblemKind.INVALID,
            f"{what} refuses the request (HTTP {status}){said}.",
            "Look at the zone in Infomaniak's manager.",
        )

    def _garbled(self, error: Exception) -> AxiomError:
        return fail(
            ProblemKind.GARBLED,
            f"The answer of {self._what} cannot be read: {error}.",
            "Check `dns.url`, and whether a proxy in between answers instead.",
        )


def _source(name: str, zone: str) -> str:
    """The name within its zone."""
    labels = name.rstrip(".").lower()
    return APEX if labels == zone else labels.removesuffix(f".{zone}")
