"""Connections that fail, and answers that no Kubernetes API gives: each ends in its own sentence."""

from __future__ import annotations

import functools
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from axiom_tui.clients import dns, kubernetes_transport
from axiom_tui.clients.kubernetes import NODE_METRICS, NODES, PODS, KubernetesClient, connect
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind
from axiom_tui.simulator.pki import Authority
from tests.clients.kubernetes_access import by_certificate, kubeconfig, options, tls_server
from tests.clients.wire_server import Script, WireServer, http, http_json, serving

EMPTY: dict[str, Any] = {"kind": "NodeList", "metadata": {"resourceVersion": "7"}, "items": []}


@pytest.fixture
def authority() -> Authority:
    return Authority()


@contextmanager
def client_of(
    directory: Path,
    server: str,
    authority: Authority | None,
    user: dict[str, Any] | None = None,
    **changes: Any,
) -> Iterator[KubernetesClient]:
    cluster = {key: changes.pop(key) for key in ("tls_server_name", "proxy_url") if key in changes}
    config = kubeconfig(server, authority, {"token": "hunter2"} if user is None else user, **cluster)
    client = connect(options(directory / "config", config, **changes))
    try:
        yield client
    finally:
        client.disconnect()


@contextmanager
def scripted(
    directory: Path, authority: Authority, script: Script, **changes: Any
) -> Iterator[tuple[KubernetesClient, WireServer]]:
    """A client, and the server that answers it by the script."""
    with (
        serving(script, tls=tls_server(directory, authority.serving())) as server,
        client_of(directory, f"https://127.0.0.1:{server.port}", authority, **changes) as client,
    ):
        yield client, server


def status(code: int, reason: str, message: str, **details: Any) -> dict[str, Any]:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason}
    return {**body, "code": code, "details": details}


def problem(call: Callable[[], object]) -> Problem:
    with pytest.raises(AxiomError) as caught:
        call()
    found = caught.value.problem
    assert "hunter2" not in str(found)
    assert "://" not in found.sentence
    assert found.sentence.endswith(".")
    return found


def answered(directory: Path, authority: Authority, answer: bytes) -> Problem:
    """The problem of listing nodes when the server answers with these bytes."""
    with scripted(directory, authority, lambda _: answer) as (client, _):
        return problem(lambda: client.list(NODES))


# -- connecting ----------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_nothing_listens(tmp_path: Path, authority: Authority) -> None:
    port = free_port()
    with client_of(tmp_path, f"https://127.0.0.1:{port}", authority) as client:
        found = problem(client.version)
    assert found.kind is ProblemKind.REFUSED
    assert found.sentence == f"Nothing listens at 127.0.0.1:{port}."
    assert "systemctl status k3s" in found.remedy


def look_up(monkeypatch: pytest.MonkeyPatch, lookup: Callable[..., list[Any]]) -> None:
    """Let this machine's resolver answer so: the real one depends on where the tests run."""
    monkeypatch.setattr(kubernetes_transport, "resolve", functools.partial(dns.resolve, lookup=lookup))


@pytest.mark.parametrize(
    ("code", "kind", "words", "remedy"),
    [
        (
            socket.EAI_NONAME,
            ProblemKind.UNRESOLVED,
            "The name m-o-1.nowhere.invalid of the API server does not resolve.",
            "MagicDNS",
        ),
        (
            socket.EAI_AGAIN,
            ProblemKind.UNREACHABLE,
            "No name server gave an answer for m-o-1.nowhere.invalid.",
            "DNS servers of this machine",
        ),
    ],
)
def test_the_name_does_not_resolve(
    tmp_path: Path,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    kind: ProblemKind,
    words: str,
    remedy: str,
) -> None:
    def lookup(*_: object) -> list[Any]:
        raise socket.gaierror(code, "as the resolver says it")

    look_up(monkeypatch, lookup)
    with client_of(tmp_path, "https://m-o-1.nowhere.invalid:6443", authority) as client:
        found = problem(client.version)
    assert (found.kind, found.sentence) == (kind, words)
    assert remedy in found.remedy


def test_a_resolver_that_hangs_costs_one_deadline(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()

    def lookup(*_: object) -> list[Any]:
        gate.wait(20)
        return []

    look_up(monkeypatch, lookup)
    with client_of(tmp_path, "https://m-o-1.example:6443", authority, connect_timeout=0.2) as client:
        found = problem(client.version)
    gate.set()
    assert found.kind is ProblemKind.TIMED_OUT
    assert "The name m-o-1.example was not resolved within 0.2 s." in found.sentence


def addresses(*found: str) -> Callable[..., list[Any]]:
    return lambda *_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in found]


def test_of_several_servers_behind_one_name_a_dead_one_is_passed_over(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up(monkeypatch, addresses("127.0.0.2", "127.0.0.1"))
    tls = tls_server(tmp_path, authority.serving(("api.axiom.example",)))
    with (
        serving(lambda _: http_json({"gitVersion": "v1"}), tls=tls) as server,
        client_of(tmp_path, f"https://api.axiom.example:{server.port}", authority) as client,
    ):
        assert client.version() == "v1"


def test_if_all_servers_behind_one_name_are_dead_it_is_refused(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up(monkeypatch, addresses("127.0.0.2", "127.0.0.3"))
    with client_of(tmp_path, f"https://api.axiom.example:{free_port()}", authority) as client:
        found = problem(client.version)
    assert found.kind is ProblemKind.REFUSED
    assert "Nothing listens at api.axiom.example:" in found.sentence


def test_nobody_accepts_the_connection(tmp_path: Path, authority: Authority) -> None:
    """A full queue of a listener drops further connections, as a host that is off does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        with client_of(tmp_path, f"https://127.0.0.1:{port}", authority, connect_timeout=0.3) as client:
            found = problem(client.version)
        for filler in fillers:
            filler.close()
    assert found.kind is ProblemKind.TIMED_OUT
    assert "did not accept a connection within 0.3 s" in found.sentence


def test_a_handshake_that_is_never_answered(tmp_path: Path, authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with client_of(tmp_path, server, authority, connect_timeout=0.3) as client:
            found = problem(client.version)
    assert found.kind is ProblemKind.TIMED_OUT
    assert "did not accept a connection within 0.3 s" in found.sentence


def test_a_hung_server_costs_one_deadline(tmp_path: Path, authority: Authority) -> None:
    with scripted(tmp_path, authority, lambda _: None, read_timeout=0.3) as (client, server):
        found = problem(client.version)
        assert len(server.requests) == 1
    assert found.kind is ProblemKind.TIMED_OUT
    assert "did not answer within 0.3 s" in found.sentence
    assert "hangs" in found.remedy


# -- TLS -----------------------------------------------------------------------------------------------


def untrusted(directory: Path, authority: Authority, serving_as: Any, **changes: Any) -> Problem:
    with (
        serving(lambda _: http_json(EMPTY), tls=tls_server(directory, serving_as)) as server,
        client_of(directory, f"https://127.0.0.1:{server.port}", authority, **changes) as client,
    ):
        found = problem(client.version)
        assert server.requests == []  # nothing was sent to whom we do not trust
    assert found.kind is ProblemKind.UNTRUSTED
    return found


def test_a_certificate_of_another_authority(tmp_path: Path, authority: Authority) -> None:
    found = untrusted(tmp_path, authority, Authority("somebody-else").serving())
    assert "(issued by 'somebody-else') was not signed by the CA" in found.sentence


def test_an_expired_certificate(tmp_path: Path, authority: Authority) -> None:
    until = datetime.now(UTC) - timedelta(days=2)
    found = untrusted(tmp_path, authority, authority.serving(until=until))
    assert f"expired on {until:%Y-%m-%d %H:%M} UTC" in found.sentence


def test_a_certificate_for_another_name(tmp_path: Path, authority: Authority) -> None:
    found = untrusted(tmp_path, authority, authority.serving(("m-o-1", "10.43.0.1")))
    assert "is not for the name 127.0.0.1; it is for m-o-1, 10.43.0.1." in found.sentence
    assert "--tls-san=127.0.0.1" in found.remedy


def test_tls_server_name_is_what_the_certificate_must_be_for(tmp_path: Path, authority: Authority) -> None:
    with (
        serving(
            lambda _: http_json({"gitVersion": "v1.33.4+k3s1"}),
            tls=tls_server(tmp_path, authority.serving(("m-o-1",))),
        ) as server,
        client_of(tmp_path, f"https://127.0.0.1:{server.port}", authority, tls_server_name="m-o-1") as client,
    ):
        assert client.version() == "v1.33.4+k3s1"


def test_no_tls_at_that_port(tmp_path: Path, authority: Authority) -> None:
    """Go's servers answer a TLS greeting at a plain port with this, and close."""

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1024)
            connection.sendall(http("Client sent an HTTP request", "400 Bad Request"))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        server = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with client_of(tmp_path, server, authority) as client:
            found = problem(client.version)
        thread.join(10)
    assert found.kind is ProblemKind.UNTRUSTED
    assert "does not speak TLS" in found.sentence


def test_a_client_key_that_does_not_belong_to_its_certificate(tmp_path: Path, authority: Authority) -> None:
    user = {
        "client-certificate-data": by_certificate(authority.client("ada"))["client-certificate-data"],
        "client-key-data": by_certificate(authority.client("ada"))["client-key-data"],
    }
    with client_of(tmp_path, "https://127.0.0.1:1", authority, user) as client:
        found = problem(client.version)
    assert found.kind is ProblemKind.MISCONFIGURED
    assert "certificate and key of user 'ada'" in found.sentence
    assert "do not belong together" in found.sentence


def test_an_authority_that_is_no_certificate(tmp_path: Path) -> None:
    class Nonsense:
        certificate = b"nonsense"

    with client_of(tmp_path, "https://127.0.0.1:1", Nonsense()) as client:  # type: ignore[arg-type]
        assert "is no certificate" in problem(client.version).sentence


# -- answers -------------------------------------------------------------------------------------------


def test_401_says_whose_credentials(tmp_path: Path, authority: Authority) -> None:
    body = status(401, "Unauthorized", "Unauthorized")
    found = answered(tmp_path, authority, http_json(body, "401 Unauthorized"))
    assert found.kind is ProblemKind.UNAUTHENTICATED
    assert "does not accept the credentials of user 'ada' (401)" in found.sentence


def test_401_with_an_expired_client_certificate_says_so(tmp_path: Path, authority: Authority) -> None:
    until = datetime.now(UTC) - timedelta(days=3)
    answer = http_json(status(401, "Unauthorized", "Unauthorized"), "401 Unauthorized")
    user = by_certificate(authority.client("ada", until=until))
    with scripted(tmp_path, authority, lambda _: answer, user=user) as (client, _):
        found = problem(lambda: client.list(NODES))
    assert found.kind is ProblemKind.UNAUTHENTICATED
    assert f"expired on {until:%Y-%m-%d %H:%M} UTC (401" in found.sentence
    assert "k3s.yaml" in found.remedy


@pytest.mark.parametrize(
    ("message", "words", "remedy"),
    [
        (
            'nodes is forbidden: User "grace" cannot list resource "nodes" in API group ""'
            " at the cluster scope",
            "User 'grace' may not list nodes in the whole cluster (403).",
            "a ClusterRole with 'list' on 'nodes'",
        ),
        (
            'leases.coordination.k8s.io is forbidden: User "grace" cannot create resource "leases"'
            ' in API group "coordination.k8s.io" in the namespace "kube-system"',
            "User 'grace' may not create leases.coordination.k8s.io in namespace kube-system (403).",
            "a Role with 'create'",
        ),
        (
            'pods "p" is forbidden: no PriorityClass with name nope was found',
            'forbids to list nodes: pods "p" is forbidden: no PriorityClass with name nope was found (403).',
            "admission",
        ),
    ],
)
def test_403_says_which_right_is_missing(
    tmp_path: Path, authority: Authority, message: str, words: str, remedy: str
) -> None:
    found = answered(tmp_path, authority, http_json(status(403, "Forbidden", message), "403 Forbidden"))
    assert found.kind is ProblemKind.FORBIDDEN
    assert words in found.sentence
    assert remedy in found.remedy


def test_404_of_a_missing_group_is_plain_text(tmp_path: Path, authority: Authority) -> None:
    answer = http("404 page not found\n", "404 Not Found", Content_Type="text/plain; charset=utf-8")
    with scripted(tmp_path, authority, lambda _: answer) as (client, _):
        found = problem(lambda: client.list(NODE_METRICS))
    assert found.kind is ProblemKind.MISSING
    assert found.sentence == "The API server has no metrics.k8s.io (it is not installed)."


def test_404_of_a_missing_object(tmp_path: Path, authority: Authority) -> None:
    answer = http_json(status(404, "NotFound", 'nodes "wall-a-99" not found'), "404 Not Found")
    with scripted(tmp_path, authority, lambda _: answer) as (client, _):
        found = problem(lambda: client.get(NODES, "wall-a-99"))
    assert found.kind is ProblemKind.MISSING
    assert "Could not get Node 'wall-a-99': nodes \"wall-a-99\" not found." in found.sentence


def test_429_with_seconds_and_with_a_date(tmp_path: Path, authority: Authority) -> None:
    body = status(429, "TooManyRequests", "too many requests, please try again later")
    found = answered(tmp_path, authority, http_json(body, "429 Too Many Requests", Retry_After="3"))
    assert found.kind is ProblemKind.THROTTLED
    assert found.retry_after == 3
    assert "refuses to list nodes for 3 s" in found.sentence
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    dated = answered(tmp_path, authority, http_json(body, "429 Too Many Requests", Retry_After=later))
    assert dated.retry_after is not None
    assert 60 < dated.retry_after <= 90


def test_429_of_a_disruption_budget_says_which(tmp_path: Path, authority: Authority) -> None:
    causes = [{"reason": "DisruptionBudget", "message": "The disruption budget site needs 2 healthy pods"}]
    body = status(429, "TooManyRequests", "Cannot evict pod.", causes=causes)
    found = answered(tmp_path, authority, http_json(body, "429 Too Many Requests"))
    assert "for a while: The disruption budget site needs 2 healthy pods (429)" in found.sentence
    assert found.retry_after is None


def test_5xx_with_a_status_and_from_a_proxy(tmp_path: Path, authority: Authority) -> None:
    body = status(500, "InternalError", "etcdserver: request timed out")
    found = answered(tmp_path, authority, http_json(body, "500 Internal Server Error"))
    assert found.kind is ProblemKind.BROKEN
    assert "failed to list nodes: etcdserver: request timed out (500)" in found.sentence
    plain = answered(tmp_path, authority, http("no healthy upstream", "503 Service Unavailable"))
    assert "no healthy upstream (503)" in plain.sentence
    page = answered(tmp_path, authority, http("<html><h1>Bad gateway</h1>", "502 Bad Gateway"))
    assert "Bad Gateway (502)" in page.sentence


@pytest.mark.parametrize("code", [400, 415, 422])
def test_what_the_server_calls_invalid(tmp_path: Path, authority: Authority, code: int) -> None:
    found = answered(tmp_path, authority, http_json(status(code, "Invalid", "bad label"), f"{code} Bad"))
    assert found.kind is ProblemKind.INVALID
    assert f"refuses to list nodes: bad label ({code})" in found.sentence


def test_409_and_410(tmp_path: Path, authority: Authority) -> None:
    conflict = status(409, "Conflict", "the object has been modified")
    assert answered(tmp_path, authority, http_json(conflict, "409 Conflict")).kind is ProblemKind.CONFLICT
    gone = status(410, "Expired", "too old resource version: 1 (338)")
    assert answered(tmp_path, authority, http_json(gone, "410 Gone")).kind is ProblemKind.EXPIRED


def test_a_redirect_is_not_followed(tmp_path: Path, authority: Authority) -> None:
    found = answered(tmp_path, authority, http("", "302 Found", Location="https://login.example/"))
    assert found.kind is ProblemKind.GARBLED
    assert "answered 302 Found when asked to list nodes: no Kubernetes API does that" in found.sentence


@pytest.mark.parametrize(
    "body", ["{", "", "<html>", "[]", '{"items": 3}', '{"items":[{"metadata":{"name":7}}]}', '"\ud800"']
)
def test_json_that_cannot_be_read(tmp_path: Path, authority: Authority, body: str) -> None:
    found = answered(
        tmp_path, authority, http(body.encode("utf-8", "surrogatepass"), Content_Type="application/json")
    )
    assert found.kind is ProblemKind.GARBLED
    assert "when asked to list nodes cannot be read" in found.sentence


def test_a_quantity_that_is_none(tmp_path: Path, authority: Authority) -> None:
    node = {"metadata": {"name": "m-o-1"}, "status": {"allocatable": {"cpu": "many"}}}
    found = answered(tmp_path, authority, http_json({**EMPTY, "items": [node]}))
    assert found.kind is ProblemKind.GARBLED
    assert "'many' is no Kubernetes quantity" in found.sentence


def test_a_body_that_is_cut(tmp_path: Path, authority: Authority) -> None:
    whole = http_json({**EMPTY, "items": [{"metadata": {"name": "m-o-1"}}]})
    found = answered(tmp_path, authority, whole[:-10])
    assert found.kind is ProblemKind.UNREACHABLE
    assert "was cut while it answered (list nodes)" in found.sentence


def test_something_that_is_no_http(tmp_path: Path, authority: Authority) -> None:
    found = answered(tmp_path, authority, b"SSH-2.0-OpenSSH_9.6\r\n")
    assert found.kind is ProblemKind.GARBLED
    assert "does not speak HTTP" in found.sentence


def test_broken_compression(tmp_path: Path, authority: Authority) -> None:
    good = gzip.compress(json.dumps(EMPTY).encode())
    answer = http(b"x" + good[1:], Content_Encoding="gzip", Content_Type="application/json")
    assert answered(tmp_path, authority, answer).kind is ProblemKind.GARBLED


# -- the requests themselves ---------------------------------------------------------------------------


def test_requests_carry_the_token_and_ask_for_chunks(tmp_path: Path, authority: Authority) -> None:
    with scripted(tmp_path, authority, lambda _: http_json(EMPTY)) as (client, server):
        client.list(PODS, "web", label_selector="app=site")
        head = server.requests[0].decode()
    assert head.startswith("GET /api/v1/namespaces/web/pods?labelSelector=app%3Dsite&limit=500 HTTP/1.1")
    assert "Authorization: Bearer hunter2" in head
    assert "User-Agent: axiom-tui" in head


def test_chunks_that_expire_are_asked_for_again_and_then_not_at_all(
    tmp_path: Path, authority: Authority
) -> None:
    first = {"metadata": {"resourceVersion": "5", "continue": "c"}, "items": [{"metadata": {"name": "a"}}]}
    whole = {"metadata": {"resourceVersion": "9"}, "items": [{"metadata": {"name": name}} for name in "ab"]}
    gone = http_json(status(410, "Expired", "The provided continue parameter is too old"), "410 Gone")

    def script(request: bytes) -> bytes:
        line = request.split(b"\r\n")[0]
        if b"continue=" in line:
            return gone
        return http_json(first if b"limit=" in line else whole)

    with scripted(tmp_path, authority, script) as (client, server):
        listing = client.list(NODES)
        paths = [request.split()[1].decode() for request in server.requests]
    assert [node.name for node in listing.items] == ["a", "b"]
    assert listing.resource_version == "9"
    assert [("limit" in path, "continue" in path) for path in paths] == [
        (True, False),
        (True, True),
        (True, False),
        (True, True),
        (False, False),
    ]


def test_a_connection_that_ends_just_as_it_is_used_again(tmp_path: Path, authority: Authority) -> None:
    """Keep-alive has this race: a read is repeated over a new connection, and nobody notices."""
    tls = tls_server(tmp_path, authority.serving())
    served: list[int] = []

    def serve(listener: socket.socket) -> None:
        for number in range(2):
            plain, _ = listener.accept()
            with tls.wrap_socket(plain, server_side=True) as connection:
                connection.recv(65536)
                connection.sendall(http_json({"gitVersion": f"v{number}"}))
                connection.recv(65536)  # the next request, or the client's end: closed without an answer
                served.append(number)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        with client_of(tmp_path, f"https://127.0.0.1:{listener.getsockname()[1]}", authority) as client:
            assert [client.version(), client.version()] == ["v0", "v1"]
        thread.join(20)
    assert served == [0, 1]


def test_a_plugins_token_is_renewed_when_it_is_refused(tmp_path: Path, authority: Authority) -> None:
    count = tmp_path / "count"
    command = tmp_path / "login"
    credential = (
        '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t%s"}}'
    )
    command.write_text(f"#!/bin/sh\necho x >> {count}\nprintf '{credential}' $(wc -l < {count})\n")
    command.chmod(0o755)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(command)}}

    def script(request: bytes) -> bytes:
        if b"Bearer t2" in request:
            return http_json({"gitVersion": "v1.33.4"})
        return http_json(status(401, "Unauthorized", "Unauthorized"), "401 Unauthorized")

    with scripted(tmp_path, authority, script, user=user) as (client, _):
        assert client.version() == "v1.33.4"
    assert count.read_text() == "x\nx\n"


def test_no_key_is_left_on_the_disk(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    user = by_certificate(authority.client("ada"))
    with scripted(tmp_path, authority, lambda _: http_json({"gitVersion": "v1"}), user=user) as (client, _):
        assert client.version() == "v1"
        assert list(scratch.iterdir()) == []


def test_the_kubeconfigs_proxy_is_used(tmp_path: Path, authority: Authority) -> None:
    with (
        serving(lambda _: http("", "403 Forbidden")) as proxy,
        client_of(
            tmp_path,
            "https://m-o-1.example:6443",
            authority,
            proxy_url=f"http://ada:hunter2@127.0.0.1:{proxy.port}",
        ) as client,
    ):
        found = problem(client.version)
        assert proxy.requests[0].startswith(b"CONNECT m-o-1.example:6443")
        assert b"roxy-" in proxy.requests[0]
    assert found.kind is ProblemKind.UNREACHABLE
    assert "The proxy 127.0.0.1 does not lead to m-o-1.example:6443" in found.sentence


def test_the_environments_proxy_is_used_but_not_for_this_machine(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    with client_of(tmp_path, "https://m-o-1.example:6443", authority) as client:
        assert "The proxy 127.0.0.1" in problem(client.version).sentence
    with scripted(tmp_path, authority, lambda _: http_json({"gitVersion": "v1"})) as (client, _):
        assert client.version() == "v1"


# -- interrupting --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["interrupt", "close"])
def test_a_blocked_call_ends_when_interrupted(tmp_path: Path, authority: Authority, way: str) -> None:
    with scripted(tmp_path, authority, lambda _: None, read_timeout=600.0) as (client, server):
        kinds: list[ProblemKind] = []
        thread = threading.Thread(target=lambda: kinds.append(problem(client.version).kind))
        thread.start()
        wait_for(lambda: bool(server.requests))
        getattr(client, way)()
        thread.join(10)
        assert kinds == [ProblemKind.CANCELLED]
        if way == "close":
            assert problem(client.version).kind is ProblemKind.CANCELLED
            assert len(server.requests) == 1


def test_interrupting_one_client_leaves_the_others_alone(tmp_path: Path, authority: Authority) -> None:
    gate = threading.Event()

    def script(_: bytes) -> bytes:
        gate.wait(20)
        return http_json({"gitVersion": "v1"})

    with scripted(tmp_path, authority, script, read_timeout=600.0) as (client, server):
        other, answers = client.share(), []
        thread = threading.Thread(target=lambda: answers.append(other.version()))
        thread.start()
        wait_for(lambda: bool(server.requests))
        client.interrupt()
        gate.set()
        thread.join(20)
        assert answers == ["v1"]


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


def test_the_servers_clock(tmp_path: Path, authority: Authority) -> None:
    date = "Sun, 22 Nov 2026 11:00:00 GMT"
    with scripted(tmp_path, authority, lambda _: http_json({"gitVersion": "v1"}, Date=date)) as (client, _):
        assert client.server_time() == datetime(2026, 11, 22, 11, 0, tzinfo=UTC)
    with scripted(tmp_path, authority, lambda _: http_json({"gitVersion": "v1"})) as (client, _):
        assert problem(client.server_time).kind is ProblemKind.GARBLED
