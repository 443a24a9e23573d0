"""The faults: what each does on the wire, where, how often, and that all is well afterwards."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import pytest

from axiom_tui.simulator.access import VIEWER
from axiom_tui.simulator.faults import KINDS, Fault, Faults, parse_fault
from axiom_tui.simulator.kubernetes_api import KubernetesServer
from axiom_tui.simulator.store import ObjectStore
from tests.simulator.api_wire import DEADLINE, Json, Wire, lines, wire

NODES = "/api/v1/nodes"


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def server(faults: Faults) -> Iterator[KubernetesServer]:
    store = ObjectStore()
    for number in range(3):
        store.create("nodes", {"metadata": {"name": f"n{number}"}, "spec": {}})
    server = KubernetesServer(store, faults)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def api(server: KubernetesServer) -> Iterator[Wire]:
    with wire(server) as client:
        yield client


def _wait_until(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        pause.wait(0.01)


def _open_watch(server: KubernetesServer, client: Wire) -> http.client.HTTPResponse:
    return client.send("GET", f"{NODES}?watch=true&resourceVersion={server.store.version}")


# Options


def test_fault_arguments_are_read() -> None:
    assert parse_fault("throttle:retry-after=2") == Fault("throttle", retry_after=2)
    assert parse_fault("broken:path=/api/v1/nodes,times=3,form=text") == Fault(
        "broken", path="/api/v1/nodes", times=3, form="text"
    )
    assert parse_fault("skew:seconds=-90") == Fault("skew", seconds=-90.0)
    assert {parse_fault(kind).kind for kind in KINDS} == set(KINDS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("melt", "There is no fault 'melt'; known are "),
        ("slow:delay=long", "Option delay of fault 'slow' must be a number, not 'long'."),
        ("slow:times=1.5", "Option times of fault 'slow' must be a whole number, not '1.5'."),
        ("slow:speed=3", "Fault 'slow' has no option speed; known are path, times, "),
        ("slow:delay", "Fault option 'delay' of 'slow' has no value; write option=value."),
        ("broken:form=loud", "Option form of fault 'broken' must be one of "),
    ],
)
def test_a_bad_fault_argument_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"\.$") as caught:
        parse_fault(text)
    assert str(caught.value).startswith(said)


def test_faults_end_by_number_by_time_and_by_hand(faults: Faults) -> None:
    faults.set("broken", times=2)
    assert [bool(faults.take("broken")) for _ in range(3)] == [True, True, False]
    faults.set("broken", path="/api")
    assert faults.take("broken", "/apis/x") is not None
    assert faults.take("broken", "/version") is None
    faults.set("hang", seconds=0.01)
    _wait_until("the hang to end by itself", lambda: faults.find("hang") is None)
    faults.set("garbage")
    assert [one.kind for one in faults.active] == ["broken", "garbage"]
    faults.clear("garbage")
    faults.clear()
    assert faults.active == ()


# One answer


@pytest.mark.parametrize(
    ("kind", "options", "status", "reason"),
    [
        ("unauthorized", {}, 401, "Unauthorized"),
        ("forbidden", {}, 403, "Forbidden"),
        ("throttle", {"retry_after": 7}, 429, "TooManyRequests"),
        ("broken", {}, 500, "InternalError"),
    ],
)
def test_refusals(
    faults: Faults, api: Wire, kind: str, options: dict[str, int], status: int, reason: str
) -> None:
    faults.set(kind, times=1, **options)
    refused = api("GET", NODES)
    assert (refused.status, refused.body["reason"], refused.body["code"]) == (status, reason, status)
    if kind == "throttle":
        assert refused.headers["Retry-After"] == "7"
        assert refused.body["details"] == {"retryAfterSeconds": 7}
    assert api("GET", NODES).status == 200


def test_forbidden_names_the_user_and_the_right(server: KubernetesServer, faults: Faults) -> None:
    faults.set("forbidden")
    with wire(server, VIEWER.token) as client:
        assert client("GET", NODES).body["message"] == (
            'nodes is forbidden: User "axiom-viewer" cannot list resource "nodes" in API group "" '
            "at the cluster scope"
        )


def test_plain_text_of_a_proxy(faults: Faults, api: Wire) -> None:
    faults.set("broken", form="text")
    refused = api("GET", NODES)
    assert (refused.status, refused.raw) == (503, b"no healthy upstream")
    assert refused.headers["Content-Type"].startswith("text/plain")


def test_garbage_does_not_parse(faults: Faults, api: Wire) -> None:
    faults.set("garbage", path=NODES)
    answer = api("GET", NODES)
    assert answer.status == 200
    with pytest.raises(json.JSONDecodeError):
        _ = answer.body
    assert api("GET", "/version").status == 200


def test_slow_delays_until_it_is_cleared(faults: Faults, api: Wire) -> None:
    faults.set("slow", delay=0.05)
    begin = time.monotonic()
    assert api("GET", NODES).status == 200
    assert time.monotonic() - begin >= 0.05
    faults.set("slow", delay=3600)
    answered: list[int] = []
    asking = threading.Thread(target=lambda: answered.append(api("GET", NODES).status))
    asking.start()
    assert answered == []
    faults.clear()
    asking.join(DEADLINE)
    assert answered == [200]


def test_a_body_is_cut_in_the_middle(faults: Faults, api: Wire) -> None:
    faults.set("cut", times=1)
    response = api.send("GET", NODES)
    assert response.status == 200
    with pytest.raises((http.client.IncompleteRead, OSError)):
        response.read()
    api.close()
    assert api("GET", NODES).status == 200


# Connections


def test_hang_accepts_and_never_answers(server: KubernetesServer, faults: Faults) -> None:
    faults.set("hang", path=NODES)
    with wire(server) as client:
        client.connection.timeout = 0.2
        with pytest.raises(TimeoutError):
            client("GET", NODES)
    with wire(server) as client:
        assert client("GET", "/version").status == 200
        faults.clear()
        assert client("GET", NODES).status == 200


def test_a_server_that_hangs_stops_at_once(faults: Faults) -> None:
    server = KubernetesServer(ObjectStore(), faults)
    server.start()
    faults.set("hang")
    ended = threading.Event()

    def ask() -> None:
        with wire(server) as client:
            try:
                client("GET", NODES)
            except (OSError, http.client.HTTPException):
                ended.set()

    asking = threading.Thread(target=ask)
    asking.start()
    _wait_until("the question", lambda: bool(server._server._connections))
    server.stop()
    asking.join(DEADLINE)
    assert ended.is_set()


def test_refuse_closes_the_port_and_opens_the_same_one_again(
    server: KubernetesServer, faults: Faults, api: Wire
) -> None:
    assert api("GET", "/version").status == 200
    port = urlsplit(server.url).port
    assert port
    faults.set("refuse")
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), DEADLINE):
        pass
    with pytest.raises((OSError, http.client.HTTPException)):  # the open connection is gone as well
        api("GET", "/version")
    faults.clear("refuse")
    api.close()
    assert api("GET", "/version").status == 200
    assert urlsplit(server.url).port == port


def test_refuse_ends_after_its_seconds(server: KubernetesServer, faults: Faults) -> None:
    faults.set("refuse", seconds=0.05)
    port = urlsplit(server.url).port

    def listens() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), DEADLINE):
                return True
        except ConnectionRefusedError:
            return False

    _wait_until("the port to open again", listens)


# Open streams


def test_an_open_stream_is_cut_in_the_middle_of_a_line(
    server: KubernetesServer, faults: Faults, api: Wire
) -> None:
    response = _open_watch(server, api)
    faults.set("cut", times=1)
    received = b""
    ended = False
    while not ended:
        try:
            piece = response.read1(1)
        except (http.client.HTTPException, OSError):
            break
        received += piece
        ended = not piece
    assert not ended, "the stream ended in good order"
    assert b"\n" not in received


def test_an_open_stream_expires(server: KubernetesServer, faults: Faults, api: Wire) -> None:
    response = _open_watch(server, api)
    faults.set("expire", times=1)
    found = list(lines(response))
    assert [(one["type"], one["object"]["code"]) for one in found] == [("ERROR", 410)]
    found = list(lines(api.send("GET", f"{NODES}?watch=true&timeoutSeconds=1&resourceVersion=1")))
    assert [one["type"] for one in found] == ["ADDED"] * 2  # all that came after version 1


def test_new_watches_and_pages_expire(server: KubernetesServer, faults: Faults, api: Wire) -> None:
    token = api("GET", f"{NODES}?limit=1").body["metadata"]["continue"]
    faults.set("expire")
    found = list(lines(_open_watch(server, api)))
    assert [one["object"]["reason"] for one in found] == ["Expired"]
    assert api("GET", f"{NODES}?limit=1&continue={token}").status == 410
    faults.set("expire", form="http")
    version = server.store.version
    assert api("GET", f"{NODES}?watch=true&resourceVersion={version}").status == 410
    assert api("GET", NODES).status == 200


def test_an_open_stream_hangs_and_goes_on(server: KubernetesServer, faults: Faults, api: Wire) -> None:
    response = _open_watch(server, api)
    faults.set("hang", path=NODES)
    server.store.delete("nodes", "n0")
    arrived: list[Json] = []
    reading = threading.Thread(target=lambda: arrived.append(next(lines(response))))
    reading.start()
    with wire(server) as other:
        assert other("GET", "/version").status == 200
    assert arrived == []
    faults.clear()
    reading.join(DEADLINE)
    assert [one["type"] for one in arrived] == ["DELETED"]


# The clock


def _date(reply_headers: dict[str, str]) -> datetime:
    return parsedate_to_datetime(reply_headers["Date"])


def test_skew_moves_the_date_and_the_heartbeats_of_nodes(
    server: KubernetesServer, faults: Faults, api: Wire
) -> None:
    spec = {"holderIdentity": "n0", "renewTime": "2026-11-22T09:00:00.000001Z"}
    server.store.create(
        "leases.coordination.k8s.io", {"metadata": {"name": "n0"}, "spec": spec}, "kube-node-lease"
    )
    server.store.create(
        "leases.coordination.k8s.io", {"metadata": {"name": "lock"}, "spec": spec}, "kube-system"
    )
    assert abs(_date(api("GET", "/version").headers) - datetime.now(UTC)) < timedelta(minutes=1)
    faults.set("skew", seconds=3600)
    shifted = _date(api("GET", "/version").headers) - datetime.now(UTC)
    assert timedelta(minutes=59) < shifted < timedelta(minutes=61)
    listed = api("GET", "/apis/coordination.k8s.io/v1/leases").body["items"]
    times = {one["metadata"]["name"]: one["spec"]["renewTime"] for one in listed}
    # A lock was written by a client with its own clock; the server does not touch that.
    assert times == {"n0": "2026-11-22T10:00:00.000001Z", "lock": "2026-11-22T09:00:00.000001Z"}
