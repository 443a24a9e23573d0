"""A client for tests that speaks to the simulated API server with the standard library alone."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from axiom_tui.simulator.access import ADMIN
from axiom_tui.simulator.kubernetes_api import KubernetesServer

Json = dict[str, Any]
DEADLINE = 20.0
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    raw: bytes
    events: list[Json] = field(default_factory=list)

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


class Wire:
    """One keep-alive connection as one identity; ``token`` empty sends none."""

    def __init__(self, server: KubernetesServer, token: str = ADMIN.token) -> None:
        trust = ssl.create_default_context(cadata=server.authority.certificate.decode())
        url = urlsplit(server.url)
        assert url.hostname
        self.connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=DEADLINE, context=trust)
        self._token = token

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        kind: str = "application/json",
        accept: str = "application/json",
    ) -> http.client.HTTPResponse:
        headers = {"Accept": accept}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        content = None
        if body is not None:
            headers["Content-Type"] = kind
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.request(method, path, content, headers)
        return self.connection.getresponse()

    def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        kind: str = "application/json",
        accept: str = "application/json",
    ) -> Reply:
        response = self.send(method, path, body, kind=kind, accept=accept)
        return Reply(response.status, dict(response.getheaders()), response.read())

    def close(self) -> None:
        self.connection.close()


@contextmanager
def wire(server: KubernetesServer, token: str = ADMIN.token) -> Iterator[Wire]:
    client = Wire(server, token)
    try:
        yield client
    finally:
        client.close()


def lines(response: http.client.HTTPResponse) -> Iterator[Json]:
    """The events of a watch, as they come."""
    while line := response.readline():
        yield json.loads(line)
