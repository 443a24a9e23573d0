"""The DNS client against a small zone over real HTTP, and against everything that goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from axiom_tui.clients.infomaniak import Infomaniak
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind
from axiom_tui.model.secret import Secret
from tests.clients.wire_server import WireServer, http, http_json, serving

TOKEN = "infomaniak-token-of-this-test"
ZONE = "axiom.technat.ch"


@dataclass
class Zone:
    """One zone as the API keeps it."""

    records: list[dict[str, Any]] = field(default_factory=list)
    names: tuple[str, ...] = (ZONE,)
    last: int = 100

    def answer(self, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
        assert f"Authorization: Bearer {TOKEN}".lower() in head.decode().lower()
        parts = path.removeprefix("/2/zones/").split("/")
        if parts[1:] == ["exists"]:
            return http_json({"result": "success", "data": parts[0] in self.names})
        assert parts[0] in self.names
        match method, parts[2:]:
            case "GET", []:
                return http_json({"result": "success", "data": self.records})
            case "POST", []:
                self.last += 1
                self.records.append({"id": self.last, **json.loads(body)})
                return http_json({"result": "success", "data": self.records[-1]}, "201 Created")
            case "DELETE", [number]:
                self.records = [item for item in self.records if str(item["id"]) != number]
                return http_json({"result": "success", "data": True})
        raise AssertionError(path)


def client(server: WireServer) -> Infomaniak:
    return Infomaniak(lambda: Secret(TOKEN), server.url, timeout=5.0)


@pytest.fixture
def zone() -> Zone:
    return Zone(
        [
            {"id": 1, "source": "api", "type": "A", "target": "100.64.0.1", "ttl": 300},
            {"id": 2, "source": "api", "type": "A", "target": "100.64.0.2", "ttl": 300},
            {"id": 3, "source": "api", "type": "AAAA", "target": "fd7a::1", "ttl": 300},
            {"id": 4, "source": ".", "type": "A", "target": "100.64.0.9", "ttl": 300, "dyndns_id": None},
        ]
    )


@pytest.fixture
def server(zone: Zone) -> Iterator[WireServer]:
    with serving(zone.answer) as running:
        yield running


def test_the_a_records_of_a_name_and_of_no_other(server: WireServer) -> None:
    records = client(server)
    assert records.addresses("api.axiom.technat.ch") == ("100.64.0.1", "100.64.0.2")
    assert records.addresses("API.axiom.technat.ch.") == ("100.64.0.1", "100.64.0.2")
    assert records.addresses("axiom.technat.ch") == ("100.64.0.9",)
    assert records.addresses("wall-a-9.axiom.technat.ch") == ()


def test_a_record_is_added_beside_the_others_and_removed_alone(server: WireServer, zone: Zone) -> None:
    records = client(server)
    records.add("api.axiom.technat.ch", "100.64.0.3", 30)
    assert zone.records[-1] == {"id": 101, "source": "api", "type": "A", "target": "100.64.0.3", "ttl": 60}
    records.remove("api.axiom.technat.ch", "100.64.0.1")
    assert records.addresses("api.axiom.technat.ch") == ("100.64.0.2", "100.64.0.3")
    assert len(zone.records) == 4
    records.remove("api.axiom.technat.ch", "100.64.0.1")  # none is fine


def test_the_zone_is_the_longest_parent_that_is_one(zone: Zone) -> None:
    zone.names = ("technat.ch",)
    zone.records = [{"id": 1, "source": "api.axiom", "type": "A", "target": "100.64.0.1", "ttl": 60}]
    with serving(zone.answer) as server:
        records = client(server)
        assert records.addresses("api.axiom.technat.ch") == ("100.64.0.1",)
        asked = len(server.requests)
        records.addresses("api.axiom.technat.ch")
        assert len(server.requests) == asked + 1  # the zone is remembered


def problem_of(script: Callable[[bytes], bytes | None]) -> Problem:
    with serving(script) as server, pytest.raises(AxiomError) as caught:
        Infomaniak(lambda: Secret(TOKEN), server.url, timeout=0.5).addresses("api.axiom.technat.ch")
    return caught.value.problem


def refusal(code: str, status: str) -> Callable[[bytes], bytes]:
    error = {"code": code, "description": f"no: {TOKEN}"}
    return lambda request: http_json({"result": "error", "error": error}, status)


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (refusal("not_authorized", "401 Unauthorized"), ProblemKind.UNAUTHENTICATED),
        (refusal("not_authorized", "200 OK"), ProblemKind.UNAUTHENTICATED),
        (refusal("forbidden", "403 Forbidden"), ProblemKind.FORBIDDEN),
        (refusal("too_many", "429 Too Many Requests"), ProblemKind.THROTTLED),
        (refusal("validation_failed", "422 Unprocessable"), ProblemKind.INVALID),
        (refusal("server", "500 Oops"), ProblemKind.BROKEN),
        (lambda request: http("<html>bad gateway</html>", "502 Bad Gateway"), ProblemKind.BROKEN),
        (lambda request: http("{not json"), ProblemKind.GARBLED),
        (lambda request: http_json({"result": "success", "data": False}), ProblemKind.MISSING),
        (refusal("object_not_found", "404 Not Found"), ProblemKind.MISSING),
        (lambda request: None, ProblemKind.TIMED_OUT),
    ],
)
def test_what_goes_wrong_has_a_sentence_without_the_token(
    script: Callable[[bytes], bytes | None], kind: ProblemKind
) -> None:
    problem = problem_of(script)
    assert problem.kind is kind, problem
    assert TOKEN not in str(problem)
    assert problem.remedy


def test_records_that_are_none_are_garbled() -> None:
    def script(request: bytes) -> bytes:
        data: object = True if b"/exists" in request else {"records": 1}
        return http_json({"result": "success", "data": data})

    assert problem_of(script).kind is ProblemKind.GARBLED


def test_a_token_travels_over_tls_only() -> None:
    with pytest.raises(AxiomError) as caught:
        Infomaniak(lambda: Secret(TOKEN), "http://api.example.com").addresses("api.axiom.technat.ch")
    assert caught.value.problem.kind is ProblemKind.MISCONFIGURED
