"""Tailscale on this machine: finding it, and every way in which it can fail to answer."""

from __future__ import annotations

import base64
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from axiom_tui.clients.tailscale import CommandLine, LocalApi, LoopbackPort, find_local_api
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind
from axiom_tui.model.secret import Secret
from axiom_tui.model.tailnet import PathKind
from tests.clients.wire_server import Script, WireServer, http, http_json, serving

RUNNING = {
    "BackendState": "Running",
    "Self": {"ID": "n0", "HostName": "laptop", "Online": True},
    "Peer": None,
}


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "tailscaled.sock"


@pytest.fixture
def daemon(socket_path: Path) -> Iterator[WireServer]:
    with serving(lambda _: http_json(RUNNING), socket_path) as server:
        yield server


def problem_of(call: Callable[[], object]) -> Problem:
    with pytest.raises(AxiomError) as caught:
        call()
    problem = caught.value.problem
    assert problem.sentence.endswith(".")
    assert problem.remedy.endswith(".")
    return problem


# The unix socket


def test_the_daemon_accepts_our_requests(daemon: WireServer, socket_path: Path) -> None:
    status = LocalApi(socket_path).status()
    assert status.self_state.backend_state == "Running"
    lines = daemon.requests[0].split(b"\r\n")
    assert lines[0] == b"GET /localapi/v0/status HTTP/1.1"
    assert b"Host: local-tailscaled.sock" in lines  # every other host is refused with 403
    assert not any(line.lower().startswith((b"origin:", b"referer:")) for line in lines)


def test_a_ping_is_a_disco_ping(daemon: WireServer, socket_path: Path) -> None:
    daemon.script = lambda _: http_json({"LatencySeconds": 0.0221, "Endpoint": "198.51.100.7:41641"})
    answer = LocalApi(socket_path).ping("fd7a:115c:a1e0::3")
    assert answer.milliseconds == pytest.approx(22.1)
    assert answer.path is PathKind.DIRECT
    assert answer.endpoint == "198.51.100.7:41641"
    expected = b"POST /localapi/v0/ping?ip=fd7a%3A115c%3Aa1e0%3A%3A3&type=disco HTTP/1.1"
    assert daemon.requests[0].split(b"\r\n")[0] == expected


def test_a_lost_ping_is_no_error(daemon: WireServer, socket_path: Path) -> None:
    daemon.script = lambda _: None
    answer = LocalApi(socket_path, timeout=0.1).ping("100.64.0.3")
    assert answer.milliseconds is None
    assert "0.1 s" in answer.error

    daemon.script = lambda _: http_json({"error": "no such peer"}, "500 Internal Server Error")
    assert LocalApi(socket_path).ping("100.64.0.3").milliseconds is None


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        (lambda _: None, ProblemKind.TIMED_OUT, "within 0.3 s"),
        (lambda _: http("access denied", "403 Forbidden"), ProblemKind.FORBIDDEN, "access denied"),
        (lambda _: http("404 page not found", "404 Not Found"), ProblemKind.MISSING, "page not found"),
        (lambda _: http("<html>oops", "500 Internal Server Error"), ProblemKind.BROKEN, "HTTP 500."),
        (lambda _: http("no", "400 Bad Request"), ProblemKind.INVALID, "HTTP 400: no"),
        (lambda _: http("{not json"), ProblemKind.GARBLED, "cannot be read"),
        (lambda _: b"SSH-2.0-OpenSSH_9.6\r\n\r\n", ProblemKind.GARBLED, "does not speak HTTP"),
        (lambda _: b"", ProblemKind.UNREACHABLE, "connection"),
        (lambda _: http("x" * 100)[:-50], ProblemKind.UNREACHABLE, "connection"),
    ],
)
def test_what_the_socket_answers_instead(
    daemon: WireServer, socket_path: Path, script: Script, kind: ProblemKind, words: str
) -> None:
    daemon.script = script
    api = LocalApi(socket_path, timeout=0.3)
    problem = problem_of(api.status)
    assert problem.kind is kind
    assert words in problem.sentence
    assert str(socket_path) in problem.sentence

    daemon.script = lambda _: http_json(RUNNING)
    assert api.status().problem is None


def test_a_body_that_trickles_in_ends_at_the_deadline(socket_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(socket_path))
    listener.listen()
    ended = threading.Event()

    def serve() -> None:
        request = b""
        while not request:  # the first connection only tries the door
            connection, _ = listener.accept()
            request = connection.recv(65536)
            if not request:
                connection.close()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not ended.wait(0.05):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert problem_of(LocalApi(socket_path, timeout=0.4).status).kind is ProblemKind.TIMED_OUT
    finally:
        ended.set()
        thread.join(10)
        listener.close()


def test_a_socket_that_nobody_serves(socket_path: Path) -> None:
    left_over = socket.socket(socket.AF_UNIX)
    left_over.bind(str(socket_path))
    left_over.close()
    problem = problem_of(LocalApi(socket_path).status)
    assert problem.kind is ProblemKind.REFUSED
    assert "tailscaled does not run" in problem.sentence


def test_a_socket_that_is_gone(socket_path: Path) -> None:
    assert problem_of(LocalApi(socket_path).status).kind is ProblemKind.ABSENT


def test_a_socket_that_is_not_for_us(socket_path: Path) -> None:
    """In a child of another user: root may open everything."""
    if os.geteuid() != 0:
        socket_path.parent.chmod(0o500)
        with serving(lambda _: http_json(RUNNING), socket_path):
            socket_path.chmod(0)
            assert problem_of(LocalApi(socket_path).status).kind is ProblemKind.FORBIDDEN
        return
    # httpx is imported before the change of user, who may not read this installation.
    problem_of(LocalApi(socket_path).status)
    with serving(lambda _: http_json(RUNNING), socket_path):
        socket_path.chmod(0o600)
        for directory in (socket_path.parent, *socket_path.parent.parents[:2]):
            directory.chmod(0o755)
        os.seteuid(65534)
        try:
            problem = problem_of(LocalApi(socket_path).status)
        finally:
            os.seteuid(0)
    assert problem.kind is ProblemKind.FORBIDDEN
    assert str(socket_path) in problem.sentence


def test_a_path_that_is_too_long_for_a_socket(tmp_path: Path) -> None:
    problem = problem_of(LocalApi(tmp_path / ("x" * 120)).status)
    assert problem.kind in (ProblemKind.UNREACHABLE, ProblemKind.MISCONFIGURED)


# Where it is found


def test_a_configured_socket_is_the_only_one(daemon: WireServer, socket_path: Path) -> None:
    found = find_local_api(str(socket_path))
    assert found.status().problem is None
    problem = problem_of(lambda: find_local_api(str(socket_path) + "x"))
    assert problem.kind is ProblemKind.ABSENT
    assert str(socket_path) + "x" in problem.sentence


@pytest.mark.parametrize(
    ("platform", "place"),
    [
        ("linux", "var/run/tailscale/tailscaled.sock"),
        ("linux", "var/packages/Tailscale/var/tailscaled.sock"),
        ("linux", "var/packages/Tailscale/etc/tailscaled.sock"),
        ("linux", "tmp/tailscale/tailscaled.sock"),
        ("linux", "perm/tailscaled/tailscaled.sock"),
        ("darwin", "var/run/tailscaled.socket"),
    ],
)
def test_every_known_place_is_looked_at(platform: str, place: str) -> None:
    # Not below pytest's own directory: with it the longest place is too long for a unix socket.
    with tempfile.TemporaryDirectory() as root:
        path = Path(root) / place
        path.parent.mkdir(parents=True)
        with serving(lambda _: http_json(RUNNING), path):
            assert find_local_api(root=Path(root), platform=platform).status().problem is None


def test_the_macos_standalone_app(tmp_path: Path, no_tailscale: None) -> None:
    directory = tmp_path / "Library/Tailscale"
    directory.mkdir(parents=True)
    with serving(lambda _: http_json(RUNNING)) as app:
        (directory / "ipnport").symlink_to(str(app.port))
        (directory / f"sameuserproof-{app.port}").write_text("5f3c9a\n")
        found = find_local_api(root=tmp_path, platform="darwin")
        assert found.status().problem is None
        assert "5f3c9a" not in repr(found)
        wanted = b"Authorization: Basic " + base64.b64encode(b":5f3c9a")
        assert wanted in app.requests[-1].split(b"\r\n")
        assert f"Host: 127.0.0.1:{app.port}".encode() in app.requests[-1].split(b"\r\n")

    # The app has ended and left its files: they are not believed.
    assert problem_of(lambda: find_local_api(root=tmp_path, platform="darwin")).kind is ProblemKind.ABSENT


def test_the_macos_app_that_does_not_know_our_token() -> None:
    with serving(lambda _: http("", "401 Unauthorized")) as app:
        api = LocalApi(LoopbackPort(app.port, Secret("5f3c9a")))
        problem = problem_of(api.status)
    assert problem.kind is ProblemKind.FORBIDDEN
    assert "5f3c9a" not in str(problem)


def test_no_tailscale_at_all(tmp_path: Path, no_tailscale: None) -> None:
    problem = problem_of(lambda: find_local_api(root=tmp_path, platform="linux"))
    assert problem.kind is ProblemKind.ABSENT
    assert "not on this machine" in problem.sentence


# The program


@pytest.fixture
def no_tailscale(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Puts a `tailscale` on the PATH that is a shell script."""

    def install(script: str) -> Path:
        directory = tmp_path / "bin"
        directory.mkdir(exist_ok=True)
        path = directory / "tailscale"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
        return path

    return install


def test_the_program_is_the_last_resort(program: Callable[[str], Path], tmp_path: Path) -> None:
    program(f"""[ "$*" = "status --json" ] || exit 9
if read -r line; then exit 8; fi
echo 'Warning: client version differs' >&2
echo '{json.dumps(RUNNING)}'""")
    found = find_local_api(root=tmp_path, platform="linux")
    assert isinstance(found, CommandLine)
    status = found.status()
    assert status.problem is None
    assert [device.id for device in status.devices] == ["n0"]


def test_the_program_gets_nothing_of_our_input(program: Callable[[str], Path]) -> None:
    """Our input is the admin's terminal: a program that asked a question there would take our keys."""
    program('if read -r line; then exit 8; fi\necho \'{"BackendState": "Running"}\'')
    reader, writer = os.pipe()
    ours = os.dup(0)
    try:
        os.write(writer, b"yes\n")
        os.dup2(reader, 0)
        assert CommandLine().status().problem is None
    finally:
        os.dup2(ours, 0)
        for descriptor in (reader, writer, ours):
            os.close(descriptor)


def test_a_program_that_hangs_is_ended_with_its_children(
    program: Callable[[str], Path], tmp_path: Path
) -> None:
    children = tmp_path / "child"
    program(f"sleep 600 & echo $! > {children}; wait")
    problem = problem_of(CommandLine(timeout=0.5).status)
    assert problem.kind is ProblemKind.TIMED_OUT
    child = int(children.read_text())
    until = time.monotonic() + 10
    while _runs(child):
        assert time.monotonic() < until, "the child of the program still runs"
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        ("echo 'not json'", ProblemKind.GARBLED, "cannot be read"),
        ("echo '[1, 2]'", ProblemKind.GARBLED, "cannot be read"),
        ("true", ProblemKind.GARBLED, "cannot be read"),
        (
            'echo "failed to connect to local tailscaled; it doesn\'t appear to be running" >&2; exit 1',
            ProblemKind.REFUSED,
            "does not run",
        ),
        ("echo 'Access denied: status access denied' >&2; exit 1", ProblemKind.FORBIDDEN, "may not read"),
        ("echo 'no idea' >&2; exit 3", ProblemKind.BROKEN, "exit code 3: no idea"),
    ],
)
def test_a_program_that_fails(
    program: Callable[[str], Path], script: str, kind: ProblemKind, words: str
) -> None:
    program(script)
    problem = problem_of(CommandLine().status)
    assert problem.kind is kind
    assert words in problem.sentence


def test_a_program_that_is_gone(tmp_path: Path) -> None:
    assert problem_of(CommandLine(tmp_path / "tailscale").status).kind is ProblemKind.ABSENT


def test_a_program_that_reports_a_stopped_tailscale(program: Callable[[str], Path]) -> None:
    program("""echo '{"BackendState": "Stopped", "Peer": null}'""")
    problem = CommandLine().status().problem
    assert problem is not None
    assert problem.kind is ProblemKind.STOPPED


@pytest.mark.parametrize(
    ("line", "milliseconds", "path", "endpoint", "relay"),
    [
        ("via 198.51.100.7:41641 in 22ms", 22, PathKind.DIRECT, "198.51.100.7:41641", ""),
        ("via [2001:db8::7]:41641 in 1.2s", 1200, PathKind.DIRECT, "[2001:db8::7]:41641", ""),
        ("via DERP(fra) in 950µs", 0.95, PathKind.DERP, "", "fra"),
        ("via peer-relay(192.0.2.1:7777:vni:5) in 8ms", 8, PathKind.PEER_RELAY, "", "192.0.2.1:7777:vni:5"),
        ("via disco in 8ms", 8, PathKind.UNKNOWN, "", ""),
    ],
)
def test_the_program_pings(
    program: Callable[[str], Path], line: str, milliseconds: float, path: PathKind, endpoint: str, relay: str
) -> None:
    # Through a relay it complains and exits with 1 although the ping was answered.
    program(f"""echo 'pong from wall-a-3 (100.64.0.3) {line}'
echo 'direct connection not established' >&2; exit 1""")
    answer = CommandLine().ping("100.64.0.3")
    assert answer.milliseconds == pytest.approx(milliseconds)
    assert (answer.path, answer.endpoint, answer.relay) == (path, endpoint, relay)


def test_the_program_pings_in_vain(program: Callable[[str], Path]) -> None:
    program("""echo 'ping "100.64.0.3" timed out'; echo 'no reply' >&2; exit 1""")
    answer = CommandLine().ping("100.64.0.3")
    assert answer.milliseconds is None
    assert "timed out" in answer.error
    program("echo 'failed to connect to local tailscaled' >&2; exit 1")
    assert problem_of(lambda: CommandLine().ping("100.64.0.3")).kind is ProblemKind.REFUSED
