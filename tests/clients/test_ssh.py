"""Logging in to hosts that are odd, slow, strict, or wait for a person."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
from paramiko.common import (
    AUTH_FAILED,
    AUTH_PARTIALLY_SUCCESSFUL,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
)

from axiom_tui.clients.ssh import (
    Interaction,
    LoginBanner,
    SshConnection,
    SshOptions,
    SshTarget,
    UnknownHostKey,
    connect,
)
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind
from axiom_tui.model.secret import Secret
from tests.clients.ssh_servers import HOST, Relay, Script, Scripted, listening, scripted

URL = "https://login.tailscale.com/a/1234abcd"
CHECK = f"# Tailscale SSH requires an additional check.\r\n# To authenticate, visit: {URL}\r\n"
PASSWORD = "only for the right question"


class Answers(Interaction):
    """Gives what the test says, and keeps what was asked."""

    def __init__(self, *passwords: str, passphrases: tuple[str, ...] = (), confirm: bool = True) -> None:
        self.passwords = list(passwords)
        self.passphrases = list(passphrases)
        self.confirm = confirm
        self.asked: list[tuple[str, bool]] = []
        self.unknown: list[UnknownHostKey] = []
        self.banners: list[LoginBanner] = []
        self.said = threading.Event()

    def login_banner(self, banner: LoginBanner) -> None:
        self.banners.append(banner)
        self.said.set()

    def confirm_host_key(self, unknown: UnknownHostKey) -> bool:
        self.unknown.append(unknown)
        return self.confirm

    def password(self, user: str, host: str, again: bool) -> Secret | None:
        self.asked.append((f"password of {user} on {host}", again))
        return Secret(self.passwords.pop(0)) if self.passwords else None

    def passphrase(self, key_file: Path, again: bool) -> Secret | None:
        self.asked.append((f"passphrase of {key_file.name}", again))
        return Secret(self.passphrases.pop(0)) if self.passphrases else None


@pytest.fixture(scope="module")
def host_key() -> paramiko.PKey:
    return paramiko.ECDSAKey.generate()


@pytest.fixture
def options(tmp_path: Path) -> SshOptions:
    return SshOptions(
        config_file=tmp_path / "config",
        known_hosts=tmp_path / "known_hosts",
        system_known_hosts=None,
        connect_timeout=5,
        banner_timeout=10,
        auth_timeout=20,
        login_timeout=20,
        channel_timeout=10,
    )


def target(port: int, key: paramiko.PKey | None = None) -> SshTarget:
    """The host; with a key: one that the tailnet vouches for."""
    keys = (f"{key.get_name()} {key.get_base64()}",) if key is not None else ()
    return SshTarget(host=HOST, port=port, user="technat", host_keys=keys)


def problem_of(call: Callable[[], SshConnection]) -> Problem:
    with pytest.raises(AxiomError) as caught:
        call().close()
    return caught.value.problem


def wait_until(probe: Callable[[], object], what: str) -> None:
    ends = time.monotonic() + 20
    while not probe():
        assert time.monotonic() < ends, f"waited in vain for {what}"
        time.sleep(0.005)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def test_importing_the_client_does_not_import_paramiko() -> None:
    code = "import sys, axiom_tui.clients.ssh; print([name for name in sys.modules if 'paramiko' in name])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


# --- hosts that are none ---------------------------------------------------------------------------------


def test_a_port_where_nothing_listens(options: SshOptions) -> None:
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        port = unused.getsockname()[1]
        problem = problem_of(lambda: connect(target(port), options))
    assert problem.kind is ProblemKind.REFUSED
    assert str(port) in problem.sentence


def test_a_host_that_swallows_connections(options: SshOptions) -> None:
    # A full backlog drops further connections, as a firewall does.
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind((HOST, 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        port = full.getsockname()[1]
        problem = problem_of(lambda: connect(target(port), replace(options, connect_timeout=0.5)))
    assert problem.kind is ProblemKind.TIMED_OUT
    assert "did not answer on port" in problem.sentence


def test_a_name_that_does_not_resolve(options: SshOptions) -> None:
    problem = problem_of(lambda: connect(SshTarget(host="no-such-host.invalid", user="x"), options))
    assert problem.kind is ProblemKind.UNRESOLVED
    assert "no-such-host.invalid" in problem.sentence


def test_a_silent_host(options: SshOptions) -> None:
    with listening(lambda connection: None) as port:
        problem = problem_of(lambda: connect(target(port), replace(options, banner_timeout=0.5)))
    assert problem.kind is ProblemKind.TIMED_OUT
    assert "no SSH answer" in problem.sentence


def test_a_web_server(options: SshOptions) -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad \x1b[31mRequest\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)

    with listening(serve) as port:
        problem = problem_of(lambda: connect(target(port), options))
    assert problem.kind is ProblemKind.GARBLED
    assert "does not speak SSH" in problem.sentence
    assert "HTTP/1.1 400 Bad" in problem.sentence
    assert "\x1b" not in problem.sentence


@pytest.mark.parametrize(
    "noise",
    [
        bytes(range(256)) * 40,
        b"x" * 200_000,
        b"SSH-2.0-x\r\n" + bytes(range(16)) * 40,
        b"SSH-1.5-old\r\n",
    ],
    ids=["bytes", "no line end", "after the greeting", "protocol 1"],
)
def test_garbage(options: SshOptions, noise: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        try:
            connection.sendall(noise)
            connection.recv(1)
        except OSError:
            return

    with listening(serve) as port:
        problem = problem_of(lambda: connect(target(port), options))
    assert problem.kind in (ProblemKind.GARBLED, ProblemKind.INVALID)


def test_an_endless_packet(options: SshOptions) -> None:
    # Its length says 4 GB: nothing is left but to stop waiting.
    with listening(
        lambda connection: connection.sendall(b"SSH-2.0-x\r\n\xff\xff\xff\xfc" + b"x" * 1000)
    ) as port:
        problem = problem_of(lambda: connect(target(port), replace(options, auth_timeout=0.5)))
    assert problem.kind is ProblemKind.TIMED_OUT


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-Tailscale\r\n"], ids=["at once", "after the greeting"])
def test_a_host_that_closes(options: SshOptions, greeting: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(greeting)
        connection.shutdown(socket.SHUT_RDWR)

    with listening(serve) as port:
        problem = problem_of(lambda: connect(target(port), options))
    assert problem.kind is ProblemKind.UNREACHABLE
    assert "closed the connection before the login" in problem.sentence


def test_a_handshake_that_stops_leaves_no_timer_behind(options: SshOptions, pool: ThreadPoolExecutor) -> None:
    # paramiko's timer is no daemon: left alone it holds the whole process until it fires.
    def timers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"SSH-2.0-stuck\r\n")

    cancelled = threading.Event()
    with listening(serve) as port:
        slow = replace(options, auth_timeout=600)
        future = pool.submit(problem_of, lambda: connect(target(port), slow, cancelled=cancelled))
        wait_until(timers, "the handshake's begin")
        cancelled.set()
        assert future.result(20).kind is ProblemKind.CANCELLED
    wait_until(lambda: not timers(), "the end of paramiko's timer")


def test_a_handshake_that_stops_is_said(options: SshOptions) -> None:
    with listening(lambda connection: connection.sendall(b"SSH-2.0-stuck\r\n")) as port:
        problem = problem_of(lambda: connect(target(port), replace(options, auth_timeout=0.4)))
    assert problem.kind is ProblemKind.TIMED_OUT


def test_a_connect_can_be_cancelled_while_the_host_is_silent(
    options: SshOptions, pool: ThreadPoolExecutor
) -> None:
    cancelled, taken = threading.Event(), threading.Event()
    with listening(lambda connection: taken.set()) as port:
        future = pool.submit(
            problem_of,
            lambda: connect(target(port), replace(options, banner_timeout=60), cancelled=cancelled),
        )
        assert taken.wait(20)
        cancelled.set()
        assert future.result(20).kind is ProblemKind.CANCELLED


# --- Tailscale SSH ---------------------------------------------------------------------------------------


def test_check_mode_shows_the_url_while_the_login_waits(
    options: SshOptions, host_key: paramiko.PKey, pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    approved = threading.Event()

    def none(host: Scripted) -> int:
        host.banner(CHECK)
        assert approved.wait(20)
        host.banner(
            "# Authentication checked with Tailscale SSH.\r\n# Time since last authentication: 1s\r\n"
        )
        return AUTH_SUCCESSFUL

    script = Script(identification="SSH-2.0-Tailscale", none=none)
    answers = Answers()
    caplog.set_level(logging.DEBUG)
    with scripted(script, host_key) as port:
        future = pool.submit(connect, target(port, host_key), options, answers)
        assert answers.said.wait(20)
        assert not future.done()
        banner = answers.banners[0]
        assert banner.url == URL
        assert 0 < banner.time_left().total_seconds() <= options.login_timeout
        approved.set()
        future.result(20).close()
    assert [banner.url for banner in answers.banners] == [URL, ""]
    assert script.attempts == ["none"]
    assert URL not in caplog.text
    assert not answers.unknown  # the tailnet vouches for the key: no question


def test_a_tailscale_host_is_known_by_its_greeting(options: SshOptions, host_key: paramiko.PKey) -> None:
    script = Script(identification="SSH-2.0-Tailscale", none=lambda host: AUTH_FAILED)
    with scripted(script, host_key) as port:
        problem = problem_of(lambda: connect(target(port), options, Answers(PASSWORD)))
    assert problem.kind is ProblemKind.FORBIDDEN
    assert script.attempts == ["none"]  # no password goes to a host whose answer is its policy's


def test_a_refusal_by_the_policy_says_why(options: SshOptions, host_key: paramiko.PKey) -> None:
    reason = 'tailscale: tailnet policy does not permit you to SSH as user "technat"'

    def none(host: Scripted) -> int:
        host.banner(reason + "\r\n")
        host.transport.close()
        return AUTH_FAILED

    with scripted(Script(identification="SSH-2.0-Tailscale", none=none), host_key) as port:
        problem = problem_of(lambda: connect(target(port, host_key), options))
    assert problem.kind is ProblemKind.FORBIDDEN
    assert reason in problem.sentence
    assert "policy" in problem.remedy


def _waits_for_a_person(released: threading.Event) -> Callable[[Scripted], int]:
    def none(host: Scripted) -> int:
        host.banner(CHECK)
        released.wait(20)
        return AUTH_FAILED

    return none


def test_a_login_that_waits_for_a_person_can_be_cancelled(
    options: SshOptions, host_key: paramiko.PKey, pool: ThreadPoolExecutor
) -> None:
    released, cancelled, answers = threading.Event(), threading.Event(), Answers()
    with scripted(Script(none=_waits_for_a_person(released)), host_key) as port:
        future = pool.submit(
            problem_of, lambda: connect(target(port, host_key), options, answers, cancelled=cancelled)
        )
        assert answers.said.wait(20)
        cancelled.set()
        assert future.result(20).kind is ProblemKind.CANCELLED
        released.set()


def test_nobody_logs_in_in_time(options: SshOptions, host_key: paramiko.PKey) -> None:
    released = threading.Event()
    with scripted(Script(none=_waits_for_a_person(released)), host_key) as port:
        problem = problem_of(lambda: connect(target(port, host_key), replace(options, login_timeout=0.5)))
        released.set()
    assert problem.kind is ProblemKind.UNCONFIRMED
    assert "Nobody logged in" in problem.sentence
    assert URL not in str(problem)


def test_a_key_that_the_tailnet_does_not_vouch_for(options: SshOptions, host_key: paramiko.PKey) -> None:
    other = paramiko.ECDSAKey.generate()
    script = Script(none=lambda host: AUTH_SUCCESSFUL)
    with scripted(script, host_key) as port:
        # What known_hosts says does not count against the tailnet.
        options.known_hosts.write_text(f"[{HOST}]:{port} {host_key.get_name()} {host_key.get_base64()}\n")
        problem = problem_of(lambda: connect(target(port, other), options, Answers()))
    assert problem.kind is ProblemKind.UNTRUSTED
    assert str(host_key.fingerprint) in problem.sentence
    assert str(other.fingerprint) in problem.sentence
    assert script.attempts == []


def test_unreadable_keys_of_the_tailnet_vouch_for_nothing(
    options: SshOptions, host_key: paramiko.PKey
) -> None:
    script = Script(none=lambda host: AUTH_SUCCESSFUL)
    with scripted(script, host_key) as port:
        odd = SshTarget(host=HOST, port=port, user="x", host_keys=("ssh-ed25519 !!!",))
        problem = problem_of(lambda: connect(odd, options, Answers()))
    assert problem.kind is ProblemKind.UNTRUSTED
    assert script.attempts == []


# --- host keys -------------------------------------------------------------------------------------------


def test_an_unknown_key_is_shown_then_stored_then_known(options: SshOptions, host_key: paramiko.PKey) -> None:
    script = Script(none=lambda host: AUTH_SUCCESSFUL)
    first, second = Answers(), Answers()
    with scripted(script, host_key) as port:
        connect(target(port), options, first).close()
        connect(target(port), options, second).close()
    (unknown,) = first.unknown
    assert unknown.fingerprint == str(host_key.fingerprint)
    assert unknown.command == "ssh-keygen -lf /etc/ssh/ssh_host_ecdsa_key.pub"
    assert not second.unknown
    assert options.known_hosts.stat().st_mode & 0o777 == 0o600


def test_an_unknown_key_that_is_not_confirmed_gets_nothing(
    options: SshOptions, host_key: paramiko.PKey
) -> None:
    script = Script(none=lambda host: AUTH_SUCCESSFUL)
    with scripted(script, host_key) as port:
        refused = problem_of(lambda: connect(target(port), options, Answers(PASSWORD, confirm=False)))
        unasked = problem_of(lambda: connect(target(port), options))
    assert refused == unasked
    assert refused.kind is ProblemKind.UNCONFIRMED
    assert str(host_key.fingerprint) in refused.sentence
    assert script.attempts == []
    assert not options.known_hosts.exists()


def test_a_changed_key_is_refused_with_both_fingerprints(
    options: SshOptions, host_key: paramiko.PKey
) -> None:
    old = paramiko.ECDSAKey.generate()
    script = Script(none=lambda host: AUTH_SUCCESSFUL)
    answers = Answers()
    with scripted(script, host_key) as port:
        before = f"# mine\n[{HOST}]:{port} {old.get_name()} {old.get_base64()}\n"
        options.known_hosts.write_text(before)
        problem = problem_of(lambda: connect(target(port), options, answers))
    assert problem.kind is ProblemKind.UNTRUSTED
    assert str(host_key.fingerprint) in problem.sentence
    assert str(old.fingerprint) in problem.sentence
    assert f'ssh-keygen -R "[{HOST}]:{port}"' in problem.remedy
    assert not answers.unknown
    assert script.attempts == []
    assert options.known_hosts.read_text() == before


def test_a_key_of_another_type_is_a_change_too(options: SshOptions, host_key: paramiko.PKey) -> None:
    old = paramiko.RSAKey.generate(2048)
    answers = Answers()
    with scripted(Script(none=lambda host: AUTH_SUCCESSFUL), host_key) as port:
        options.known_hosts.write_text(f"[{HOST}]:{port} {old.get_name()} {old.get_base64()}\n")
        problem = problem_of(lambda: connect(target(port), options, answers))
    assert problem.kind is ProblemKind.UNTRUSTED
    assert not answers.unknown


# --- keys and passwords ----------------------------------------------------------------------------------


@pytest.fixture
def known(options: SshOptions, host_key: paramiko.PKey) -> SshOptions:
    """Options with which the scripted host's key is known, at any port."""
    options.config_file.write_text("HostKeyAlias scripted\n")
    options.known_hosts.write_text(f"scripted {host_key.get_name()} {host_key.get_base64()}\n")
    return options


def test_a_password_is_asked_again_and_never_sent_twice(known: SshOptions, host_key: paramiko.PKey) -> None:
    script = Script()
    answers = Answers("wrong", PASSWORD, PASSWORD)
    with scripted(script, host_key) as port:
        problem = problem_of(lambda: connect(target(port), known, answers))
    assert problem.kind is ProblemKind.UNAUTHENTICATED
    assert script.passwords == ["wrong", PASSWORD]
    assert [again for _, again in answers.asked] == [False, True, True]
    assert "Tried: password" in problem.sentence
    assert "publickey, password" in problem.sentence
    assert PASSWORD not in str(problem)


def test_the_right_password_at_the_second_try(known: SshOptions, host_key: paramiko.PKey) -> None:
    def check(secret: str) -> int:
        return AUTH_SUCCESSFUL if secret == PASSWORD else AUTH_FAILED

    with (
        scripted(Script(password=check), host_key) as port,
        connect(target(port), known, Answers("wrong", PASSWORD)) as connection,
    ):
        assert connection.is_open
        assert connection.user == "technat"


def test_a_password_by_keyboard_interactive(known: SshOptions, host_key: paramiko.PKey) -> None:
    script = Script(
        methods="keyboard-interactive",
        questions=(("Password: ", False),),
        password=lambda secret: AUTH_SUCCESSFUL if secret == PASSWORD else AUTH_FAILED,
    )
    with scripted(script, host_key) as port:
        connect(target(port), known, Answers(PASSWORD)).close()
    assert script.answers == [PASSWORD]


@pytest.mark.parametrize(
    "questions", [(("Say it aloud: ", True),), (("Password: ", False), ("One-time code: ", False))]
)
def test_other_questions_than_the_password_get_no_secret(
    known: SshOptions, host_key: paramiko.PKey, questions: tuple[tuple[str, bool], ...]
) -> None:
    script = Script(methods="keyboard-interactive", questions=questions)
    with scripted(script, host_key) as port:
        problem = problem_of(lambda: connect(target(port), known, Answers(PASSWORD)))
    assert problem.kind is ProblemKind.UNAUTHENTICATED
    assert script.answers
    assert PASSWORD not in script.answers


def test_a_key_and_then_a_password(known: SshOptions, host_key: paramiko.PKey, tmp_path: Path) -> None:
    key = paramiko.ECDSAKey.generate()
    key.write_private_key_file(str(tmp_path / "id"))
    script = Script(
        key=lambda fingerprint: AUTH_PARTIALLY_SUCCESSFUL,
        password=lambda secret: AUTH_SUCCESSFUL,
    )
    with scripted(script, host_key) as port:
        connect(target(port), replace(known, key_files=(tmp_path / "id",)), Answers(PASSWORD)).close()
    assert "password" in script.attempts
    assert script.connections == 1  # with one service request only, or the strict host had hung up


def test_an_encrypted_key_asks_for_its_passphrase(
    known: SshOptions, host_key: paramiko.PKey, tmp_path: Path
) -> None:
    key = paramiko.ECDSAKey.generate()
    key.write_private_key_file(str(tmp_path / "id"), password="open sesame")
    options = replace(known, key_files=(tmp_path / "id",))

    def check(fingerprint: str) -> int:
        return AUTH_SUCCESSFUL if fingerprint == str(key.fingerprint) else AUTH_FAILED

    answers = Answers(passphrases=("wrong", "open sesame"))
    with scripted(Script(key=check), host_key) as port:
        connect(target(port), options, answers).close()
        problem = problem_of(lambda: connect(target(port), options, Answers(passphrases=("a", "b", "c"))))
    assert answers.asked == [("passphrase of id", False), ("passphrase of id", True)]
    assert "the passphrase is wrong" in problem.sentence


def test_no_passphrase_is_asked_for_a_key_that_the_host_does_not_want(
    known: SshOptions, host_key: paramiko.PKey, tmp_path: Path
) -> None:
    key = paramiko.ECDSAKey.generate()
    key.write_private_key_file(str(tmp_path / "id"), password="open sesame")
    (tmp_path / "id.pub").write_text(f"{key.get_name()} {key.get_base64()} me\n")
    options = replace(known, key_files=(tmp_path / "id",))
    answers = Answers(passphrases=("open sesame",))
    with scripted(Script(), host_key) as port:
        problem = problem_of(lambda: connect(target(port), options, answers))
    assert not [question for question, _ in answers.asked if "passphrase" in question]
    assert str(tmp_path / "id") in problem.sentence
    with scripted(Script(key=lambda fingerprint: AUTH_SUCCESSFUL), host_key) as port:
        connect(target(port), options, answers).close()


def test_a_broken_key_file_is_named(known: SshOptions, host_key: paramiko.PKey, tmp_path: Path) -> None:
    (tmp_path / "id").write_text("not a key")
    with scripted(Script(), host_key) as port:
        problem = problem_of(lambda: connect(target(port), replace(known, key_files=(tmp_path / "id",))))
    assert f"{tmp_path / 'id'}: it is no private key" in problem.sentence


def test_a_host_that_wants_what_we_do_not_speak(known: SshOptions, host_key: paramiko.PKey) -> None:
    with scripted(Script(methods="gssapi-with-mic,hostbased"), host_key) as port:
        problem = problem_of(lambda: connect(target(port), known, Answers(PASSWORD)))
    assert problem.kind is ProblemKind.UNAUTHENTICATED
    assert "gssapi-with-mic, hostbased" in problem.sentence


# --- after the login -------------------------------------------------------------------------------------


def test_a_host_that_hangs_up_after_the_login(known: SshOptions, host_key: paramiko.PKey) -> None:
    script = Script(none=lambda host: AUTH_SUCCESSFUL, hang_up_after_login=True)
    with (
        scripted(script, host_key) as port,
        connect(target(port), known) as connection,
        pytest.raises(AxiomError) as caught,
    ):
        connection.run("true", deadline=20)
    assert caught.value.problem.kind is ProblemKind.UNREACHABLE
    assert "during `true`" in caught.value.problem.sentence


def test_a_session_that_is_refused(known: SshOptions, host_key: paramiko.PKey) -> None:
    script = Script(
        none=lambda host: AUTH_SUCCESSFUL,
        open_channel=OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    )
    with (
        scripted(script, host_key) as port,
        connect(target(port), known) as connection,
        pytest.raises(AxiomError) as caught,
    ):
        connection.run("true", deadline=20)
    assert caught.value.problem.kind is ProblemKind.FORBIDDEN
    assert "prohibited" in caught.value.problem.sentence


def test_a_command_that_is_refused(known: SshOptions, host_key: paramiko.PKey) -> None:
    script = Script(none=lambda host: AUTH_SUCCESSFUL, execute=False)
    with (
        scripted(script, host_key) as port,
        connect(target(port), known) as connection,
        pytest.raises(AxiomError) as caught,
    ):
        connection.run("true", deadline=20)
    assert caught.value.problem.kind is ProblemKind.FORBIDDEN


def test_a_command_that_never_answers_has_a_deadline_and_can_be_cancelled(
    known: SshOptions, host_key: paramiko.PKey, pool: ThreadPoolExecutor
) -> None:
    script = Script(none=lambda host: AUTH_SUCCESSFUL, execute=True)
    with scripted(script, host_key) as port, connect(target(port), known) as connection:
        with pytest.raises(AxiomError) as caught:
            connection.run("sleep 100", deadline=0.3, title="wait for nothing")
        assert caught.value.problem.kind is ProblemKind.TIMED_OUT
        assert "`wait for nothing`" in caught.value.problem.sentence
        assert "0.3 s" in caught.value.problem.sentence
        cancelled = threading.Event()
        one = pool.submit(connection.run, "sleep 100", deadline=60, cancelled=cancelled)
        two = pool.submit(connection.run, "sleep 100", deadline=60)
        cancelled.set()
        first = one.exception(20)
        assert not two.done()  # the other command goes on
        connection.cancel()
        second = two.exception(20)
        for error in (first, second):
            assert isinstance(error, AxiomError)
            assert error.problem.kind is ProblemKind.CANCELLED


def test_a_host_that_falls_silent_is_noticed(
    known: SshOptions, host_key: paramiko.PKey, pool: ThreadPoolExecutor
) -> None:
    script = Script(none=lambda host: AUTH_SUCCESSFUL, execute=True)
    with scripted(script, host_key) as port:
        relay = Relay(port)
        with (
            listening(relay.serve) as relayed,
            connect(target(relayed), replace(known, keepalive=0.2)) as connection,
        ):
            future = pool.submit(connection.run, "tail -f /dev/null", deadline=600)
            relay.freeze()
            error = future.exception(20)
    assert isinstance(error, AxiomError)
    assert error.problem.kind is ProblemKind.UNREACHABLE
    assert "tail -f /dev/null" in error.problem.sentence
    assert "did not answer for" in error.problem.sentence


def test_a_quiet_host_that_answers_is_not_given_up(
    known: SshOptions, host_key: paramiko.PKey, pool: ThreadPoolExecutor
) -> None:
    script = Script(none=lambda host: AUTH_SUCCESSFUL, execute=True)
    options = replace(known, keepalive=0.05)
    with scripted(script, host_key) as port, connect(target(port), options) as connection:
        with pytest.raises(AxiomError) as caught:
            connection.run("sleep 100", deadline=20 * options.silence_limit)
        assert caught.value.problem.kind is ProblemKind.TIMED_OUT
        assert connection.is_open
