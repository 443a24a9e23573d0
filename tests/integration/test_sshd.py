"""SSH against Debian's sshd, a real shell and a real sudo."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from axiom_tui.clients.ssh import Interaction, SshConnection, SshOptions, SshTarget, Stream, connect
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind
from axiom_tui.model.secret import Secret
from tests.integration import sshd
from tests.integration.sshd import PASSWORD, Sshd

# One worker for all that watches process lists: what another one runs there is none of its business.
pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("sshd")]

TOKEN = "K10deadbeefcafe::server:not-on-a-process-list"
MARK = "axiom-tui-test-mark"


class Passwords(Interaction):
    """Answers with what it was given, and keeps what was asked."""

    def __init__(self, *passwords: str) -> None:
        self.passwords = list(passwords)
        self.asked: list[tuple[str, bool]] = []

    def password(self, user: str, host: str, again: bool) -> Secret | None:
        self.asked.append(("password", again))
        return Secret(self.passwords.pop(0)) if self.passwords else None

    def sudo_password(self, user: str, host: str, again: bool) -> Secret | None:
        self.asked.append(("sudo", again))
        return Secret(self.passwords.pop(0)) if self.passwords else None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    sshd.require()
    with sshd.running(tmp_path_factory.mktemp("sshd") / "data") as running:
        yield running


@pytest.fixture
def options(server: Sshd, tmp_path: Path) -> SshOptions:
    return options_for(server, tmp_path)


def options_for(server: Sshd, directory: Path) -> SshOptions:
    return SshOptions(
        config_file=directory / "config",
        known_hosts=server.known_hosts(),
        system_known_hosts=None,
        key_files=(server.user_key,),
    )


def target(server: Sshd, user: str = "alice") -> SshTarget:
    return SshTarget(host="127.0.0.1", port=server.port, user=user)


@pytest.fixture
def connection(server: Sshd, options: SshOptions) -> Iterator[SshConnection]:
    with connect(target(server), options, Passwords(PASSWORD)) as connected:
        yield connected


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as executor:
        yield executor


def problem_of(call: Callable[[], object]) -> Problem:
    with pytest.raises(AxiomError) as caught:
        call()
    return caught.value.problem


def problem_from(future: Future[Any]) -> Problem:
    error = future.exception(60)
    assert isinstance(error, AxiomError)
    return error.problem


def wait_until(probe: Callable[[], object], what: str) -> None:
    ends = time.monotonic() + 30
    while not probe():
        assert time.monotonic() < ends, f"waited in vain for {what}"
        time.sleep(0.01)


def command_lines() -> dict[int, str]:
    """Of all processes, by number."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (process / "cmdline").read_bytes()
            found[int(process.name)] = line.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def runs(*commands: str) -> bool:
    """Whether all of them run, each with exactly this command line."""
    lines = command_lines().values()
    return all(command in lines for command in commands)


def none_runs(*commands: str) -> bool:
    lines = command_lines().values()
    return not any(command in lines for command in commands)


# --- ways in ---------------------------------------------------------------------------------------------


def test_a_key_file(connection: SshConnection) -> None:
    done = connection.run("id -un; echo $0", deadline=30)
    assert done.ok
    assert done.text.splitlines()[0] == "alice"


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """A running ssh-agent; call it with a key file to add that key."""
    sshd.require()
    path = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL) as process:
        wait_until(path.exists, "the agent")
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))

        def add(file: Path) -> None:
            subprocess.run(["ssh-add", "-q", str(file)], check=True, timeout=30, stderr=subprocess.DEVNULL)

        yield add
        process.terminate()


def test_the_agent(server: Sshd, options: SshOptions, agent: Callable[[Path], None], tmp_path: Path) -> None:
    agent(server.user_key)
    only_agent = replace(options, key_files=(tmp_path / "none",))
    with connect(target(server), only_agent) as connected:
        assert connected.run("true", deadline=30).ok


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_other_types_of_keys(server: Sshd, options: SshOptions, tmp_path: Path, kind: str) -> None:
    file = sshd.keygen(tmp_path / "id", kind=kind)
    keys = server.root / "run" / "authorized_keys"
    with keys.open("a") as authorized:
        authorized.write(file.with_suffix(".pub").read_text())
    with connect(target(server), replace(options, key_files=(file,))) as connected:
        assert connected.run("true", deadline=30).ok


def test_more_keys_than_the_host_has_patience_for(tmp_path: Path, agent: Callable[[Path], None]) -> None:
    with sshd.running(tmp_path / "data", more="MaxAuthTries 2") as strict:
        for number in range(5):
            agent(sshd.keygen(tmp_path / f"id{number}"))
        agent(strict.user_key)
        with connect(target(strict), replace(options_for(strict, tmp_path), key_files=())) as connected:
            assert connected.run("true", deadline=30).ok
        assert strict.log().count("Too many authentication failures") >= 2


def test_identities_only_keeps_the_agents_other_keys_back(
    server: Sshd, options: SshOptions, agent: Callable[[Path], None], tmp_path: Path
) -> None:
    other = sshd.keygen(tmp_path / "other")
    agent(other)
    agent(server.user_key)
    options.config_file.write_text("IdentitiesOnly yes\n")
    with connect(target(server), options) as connected:
        assert connected.run("true", deadline=30).ok
    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", str(other)], capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()[1]
    assert fingerprint not in server.log()


def test_a_password(server: Sshd, options: SshOptions, tmp_path: Path) -> None:
    without_keys = replace(options, key_files=(tmp_path / "none",))
    answers = Passwords("wrong", PASSWORD)
    with connect(target(server), without_keys, answers) as connected:
        assert connected.run("true", deadline=30).ok
    assert answers.asked == [("password", False), ("password", True)]


def test_a_password_through_pam(tmp_path: Path) -> None:
    sshd.require()
    more = "UsePAM yes\nPasswordAuthentication no\nKbdInteractiveAuthentication yes"
    with sshd.running(tmp_path / "data", more=more) as pam:
        without_keys = replace(options_for(pam, tmp_path), key_files=(tmp_path / "none",))
        with connect(target(pam), without_keys, Passwords(PASSWORD)) as connected:
            assert connected.run("id -un", deadline=30).text == "alice"


def test_no_way_in_says_what_was_tried(server: Sshd, options: SshOptions, tmp_path: Path) -> None:
    other = sshd.keygen(tmp_path / "other")
    wrong = replace(options, key_files=(other,))
    problem = problem_of(lambda: connect(target(server), wrong, Passwords("wrong")))
    assert problem.kind is ProblemKind.UNAUTHENTICATED
    assert str(other) in problem.sentence
    assert "password" in problem.sentence
    assert "wrong" not in problem.sentence


def test_an_account_that_lets_nobody_in(server: Sshd, options: SshOptions) -> None:
    with connect(target(server, "frank"), options) as connected:
        problem = problem_of(lambda: connected.run("true", deadline=30))
    assert problem.kind is ProblemKind.BROKEN
    assert "This account is currently not available" in problem.sentence


# --- host keys, jump hosts -------------------------------------------------------------------------------


def test_names_hashed_by_ssh_keygen(server: Sshd, options: SshOptions) -> None:
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(options.known_hosts)], check=True, timeout=30)
    assert "127.0.0.1" not in options.known_hosts.read_text()
    connect(target(server), options).close()


def test_a_changed_host_key(server: Sshd, options: SshOptions, tmp_path: Path) -> None:
    old = sshd.keygen(tmp_path / "old").with_suffix(".pub").read_text()
    options.known_hosts.write_text(f"[127.0.0.1]:{server.port} {old}")
    problem = problem_of(lambda: connect(target(server), options))
    assert problem.kind is ProblemKind.UNTRUSTED
    for public in (old, server.host_key):
        file = tmp_path / "key.pub"
        file.write_text(public)
        line = subprocess.run(["ssh-keygen", "-lf", str(file)], capture_output=True, text=True, check=True)
        assert line.stdout.split()[1] in problem.sentence
    # The remedy is a command that works.
    command = re.search(r"`(ssh-keygen -R [^`]+)`", problem.remedy)
    assert command is not None
    subprocess.run(["sh", "-c", command[1]], check=True, timeout=30, capture_output=True)
    assert options.known_hosts.read_text() == ""


@pytest.mark.parametrize("hashed", ["yes", "no"])
def test_a_key_that_was_confirmed_is_known_to_the_systems_client(
    server: Sshd, options: SshOptions, hashed: str
) -> None:
    class Confirms(Interaction):
        def confirm_host_key(self, unknown: object) -> bool:
            return True

    options.known_hosts.unlink()
    options.config_file.write_text(f"HashKnownHosts {hashed}\n")
    connect(target(server), options, Confirms()).close()
    command = ["ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    command += ["-o", f"UserKnownHostsFile={options.known_hosts}", "-i", str(server.user_key)]
    command += ["-p", str(server.port), "alice@127.0.0.1", "true"]
    subprocess.run(command, check=True, timeout=60, capture_output=True)


def write_jump(options: SshOptions, server: Sshd, jump: Sshd) -> None:
    options.config_file.write_text(
        f"Host jump\n HostName 127.0.0.1\n Port {jump.port}\n User bob\n"
        f"Host inner\n HostName 127.0.0.1\n Port {server.port}\n User alice\n ProxyJump jump\n"
    )


def test_a_jump_host(server: Sshd, options: SshOptions) -> None:
    before = server.log().count("Accepted publickey for bob")
    write_jump(options, server, server)
    with connect(SshTarget(host="inner"), options) as connected:
        assert connected.run("id -un", deadline=30).text == "alice"
        assert len(connected.run("head -c 3000000 /dev/zero", deadline=60).stdout) == 3_000_000
    assert server.log().count("Accepted publickey for bob") == before + 1


def test_a_jump_host_that_may_not_forward(server: Sshd, options: SshOptions, tmp_path: Path) -> None:
    with sshd.running(tmp_path / "jump", more="AllowTcpForwarding no") as jump:
        write_jump(options, server, jump)
        hosts = options.known_hosts.read_text() + jump.known_hosts().read_text()
        options.known_hosts.write_text(hosts)
        both = replace(options, key_files=(server.user_key, jump.user_key))
        problem = problem_of(lambda: connect(SshTarget(host="inner"), both))
    assert problem.kind is ProblemKind.FORBIDDEN
    assert "jump host" in problem.sentence
    assert "prohibited" in problem.sentence


def test_a_jump_host_whose_target_is_down(server: Sshd, options: SshOptions) -> None:
    write_jump(options, server, server)
    text = options.config_file.read_text().replace(f"Port {server.port}\n User alice", "Port 1\n User alice")
    options.config_file.write_text(text)
    problem = problem_of(lambda: connect(SshTarget(host="inner"), options))
    assert problem.kind is ProblemKind.UNREACHABLE
    assert "did not connect to inner (127.0.0.1:1)" in problem.sentence


_PROXY = """
import os, socket, sys, threading
remote = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def back():
    while data := remote.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536):
    remote.sendall(data)
"""


def test_a_proxy_command(server: Sshd, options: SshOptions, tmp_path: Path) -> None:
    (tmp_path / "proxy.py").write_text(_PROXY)
    options.config_file.write_text(f"ProxyCommand {sys.executable} {tmp_path}/proxy.py %h %p {MARK}\n")
    with connect(target(server), options) as connected:
        assert any(MARK in line for line in command_lines().values())
        assert connected.run("id -un", deadline=30).text == "alice"
    # Logging out waits for it, so nothing of it is left.
    assert not any(MARK in line for line in command_lines().values())


def test_a_proxy_command_that_fails_says_why(server: Sshd, options: SshOptions) -> None:
    options.config_file.write_text("ProxyCommand sh -c 'echo the gate is shut >&2; exit 1'\n")
    problem = problem_of(lambda: connect(target(server), options))
    assert problem.kind is ProblemKind.UNREACHABLE
    assert "the gate is shut" in problem.sentence


# --- commands --------------------------------------------------------------------------------------------


def test_both_streams_status_and_input(connection: SshConnection) -> None:
    lines: list[tuple[Stream, str]] = []
    done = connection.run(
        "cat; echo 'not\tgood' >&2; printf 'no end'; exit 9",
        stdin="Grüße\n".encode(),
        deadline=30,
        on_output=lambda stream, line: lines.append((stream, line)),
    )
    assert (done.status, done.stdout, done.stderr) == (9, "Grüße\nno end".encode(), b"not\tgood\n")
    assert [line for stream, line in lines if stream is Stream.STDOUT] == ["Grüße", "no end"]
    assert [line for stream, line in lines if stream is Stream.STDERR] == ["not\tgood"]


def test_output_is_told_while_the_command_runs(connection: SshConnection) -> None:
    told: list[str] = []

    def answer(stream: Stream, line: str) -> None:
        told.append(line)
        if line == "waiting":
            connection.run("touch go", deadline=30)  # on the same connection, at the same time

    command = "echo waiting; while [ ! -e go ]; do sleep 0.05; done; rm go; echo went"
    assert connection.run(command, deadline=30, on_output=answer).ok
    assert told == ["waiting", "went"]


def test_a_mistake_of_the_listener_is_not_swallowed(connection: SshConnection) -> None:
    def fails(stream: Stream, line: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        connection.run(f"echo x; exec sleep 1006 {MARK}", deadline=30, on_output=fails)
    assert connection.run("true", deadline=30).ok


def test_a_hundred_megabytes_on_each_stream(connection: SshConnection) -> None:
    command = "head -c 100000000 /dev/zero & head -c 100000000 /dev/zero >&2; wait"
    done = connection.run(command, deadline=120)
    assert (done.status, len(done.stdout), len(done.stderr)) == (0, 100_000_000, 100_000_000)


def test_a_large_input(connection: SshConnection) -> None:
    payload = os.urandom(20_000_000)
    done = connection.run("sha256sum", stdin=payload, deadline=120)
    assert done.text.split()[0] == hashlib.sha256(payload).hexdigest()


def test_an_input_that_nobody_reads_does_not_stall(connection: SshConnection) -> None:
    assert connection.run("exit 4", stdin=bytes(20_000_000), deadline=60).status == 4
    assert connection.run("true", deadline=30).ok
    problem = problem_of(lambda: connection.run("sleep 1007", stdin=bytes(20_000_000), deadline=1))
    assert problem.kind is ProblemKind.TIMED_OUT


def test_noise_of_the_login_shell_is_not_output(server: Sshd, connection: SshConnection) -> None:
    profile = server.root / "home" / "alice" / ".bashrc"
    profile.write_text("echo welcome; echo careful >&2\n")
    try:
        done = connection.run("echo real", deadline=30)
    finally:
        profile.unlink()
    assert (done.stdout, done.stderr) == (b"real\n", b"")


def test_a_script_in_one_round_trip(connection: SshConnection) -> None:
    script = 'set -eu\nfor number in 1 2 3; do\n  echo "n=$number"\ndone\nexit 5\n'
    done = connection.run_script(script, deadline=30)
    assert (done.status, done.text) == (5, "n=1\nn=2\nn=3")


def sleepers(number: int) -> tuple[str, str, str]:
    """A command that sleeps in the background, and in the foreground two shells deep; and both sleepers."""
    back, front = f"sleep {number}", f"sleep {number + 1}"
    return f"{back} & sh -c '{front}; true'; true", back, front


def test_a_deadline_ends_the_command_on_the_host(connection: SshConnection) -> None:
    command, back, front = sleepers(11010)
    problem = problem_of(lambda: connection.run(command, deadline=1, title="wait long"))
    assert problem.kind is ProblemKind.TIMED_OUT
    assert "`wait long`" in problem.sentence
    assert "1 s" in problem.sentence
    wait_until(lambda: none_runs(back, front), "the end of the command")
    assert connection.run("true", deadline=30).ok


@pytest.mark.parametrize("root", [False, True], ids=["as user", "as root"])
def test_cancelling_one_command_ends_it_on_the_host(
    connection: SshConnection, pool: ThreadPoolExecutor, root: bool
) -> None:
    command, back, front = sleepers(11020)
    cancelled = threading.Event()
    future = pool.submit(
        connection.sudo if root else connection.run, command, deadline=600, cancelled=cancelled
    )
    wait_until(lambda: runs(back, front), "the command's start")
    cancelled.set()
    assert problem_from(future).kind is ProblemKind.CANCELLED
    wait_until(lambda: none_runs(back, front), "the end of the command")
    assert connection.run("true", deadline=30).ok


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_ending_the_connection_ends_its_commands_on_the_host(
    server: Sshd, options: SshOptions, pool: ThreadPoolExecutor, how: str
) -> None:
    command, back, front = sleepers(11030)
    with connect(target(server), options) as connected:
        future = pool.submit(connected.run, command, deadline=600)
        wait_until(lambda: runs(back, front), "the command's start")
        getattr(connected, how)()
        expected = ProblemKind.CANCELLED if how == "cancel" else ProblemKind.UNREACHABLE
        assert problem_from(future).kind is expected
        wait_until(lambda: none_runs(back, front), "the end of the command")


def test_a_command_that_ignores_the_end_is_killed(
    connection: SshConnection, pool: ThreadPoolExecutor
) -> None:
    cancelled = threading.Event()
    command = "trap '' TERM HUP PIPE; sleep 11040; true"
    future = pool.submit(connection.run, command, deadline=600, cancelled=cancelled)
    wait_until(lambda: runs("sleep 11040"), "the command's start")
    cancelled.set()
    assert problem_from(future).kind is ProblemKind.CANCELLED
    wait_until(lambda: none_runs("sleep 11040"), "the end of the command")


def test_a_connection_that_the_host_drops(
    server: Sshd, options: SshOptions, pool: ThreadPoolExecutor
) -> None:
    command, back, front = sleepers(11050)
    before = set(sshd.children(server.pid))
    with connect(target(server), options) as connected:
        (session,) = set(sshd.children(server.pid)) - before
        future = pool.submit(connected.run, command, deadline=600, title="wait for the end")
        wait_until(lambda: runs(back, front), "the command's start")
        lines = command_lines()
        family = [session, *sshd.descendants(session)]
        for process in family:
            if lines[process].startswith("sshd: "):
                os.kill(process, signal.SIGKILL)
        problem = problem_from(future)
        assert problem.kind is ProblemKind.UNREACHABLE
        assert "`wait for the end`" in problem.sentence
        wait_until(lambda: none_runs(back, front), "the end of the command")


def test_a_host_that_stands_still_is_noticed(
    server: Sshd, options: SshOptions, pool: ThreadPoolExecutor
) -> None:
    before = set(sshd.children(server.pid))
    with connect(target(server), replace(options, keepalive=0.3)) as connected:
        (session,) = set(sshd.children(server.pid)) - before
        began = threading.Event()  # from then on sshd starts no more processes for this session
        future = pool.submit(
            connected.run,
            "echo begun; exec sleep 11060",
            deadline=600,
            on_output=lambda stream, line: began.set(),
        )
        assert began.wait(60)
        processes = [session, *sshd.descendants(session)]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            problem = problem_from(future)
        finally:
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)
    assert problem.kind is ProblemKind.UNREACHABLE
    assert "did not answer for" in problem.sentence


# --- sudo ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["alice", "bob", "erin", "root"])
def test_the_input_of_a_command_as_root_is_its_input_alone(
    server: Sshd, options: SshOptions, user: str
) -> None:
    payload = b"first line\nsecond line\n" + os.urandom(100_000) + b"\nno end"
    answers = Passwords(PASSWORD)
    with connect(target(server, user), options, answers) as connected:
        for _ in range(3):
            done = connected.sudo("id -u; cat; echo said >&2; exit 6", stdin=payload, deadline=60)
            assert (done.status, done.stdout, done.stderr) == (6, b"0\n" + payload, b"said\n")
    assert answers.asked == ([("sudo", False)] if user in ("alice", "erin") else [])


def test_remembered_credentials_do_not_send_the_password_to_the_command(
    server: Sshd, options: SshOptions
) -> None:
    with connect(target(server), options, Passwords(PASSWORD)) as connected:
        remembered = connected.run(
            "sudo -S -p '' -v && sudo -n id -u", stdin=f"{PASSWORD}\n".encode(), deadline=30
        )
        assert remembered.text == "0"  # sudo would now ask nobody
        done = connected.sudo("cat", stdin=b"payload", deadline=30)
        assert done.stdout == b"payload"
        assert connected.sudo("cat", deadline=30).stdout == b""


def test_a_wrong_password_is_asked_again_and_said(server: Sshd, options: SshOptions) -> None:
    answers = Passwords("wrong one", "wrong two", PASSWORD)
    with connect(target(server), options, answers) as connected:
        assert connected.sudo("id -u", deadline=60).text == "0"
    assert answers.asked == [("sudo", False), ("sudo", True), ("sudo", True)]
    with connect(target(server), options, Passwords("wrong one")) as connected:
        problem = problem_of(lambda: connected.sudo("id -u", stdin=b"payload", deadline=60))
    assert problem.kind is ProblemKind.UNAUTHENTICATED
    assert "it is wrong" in problem.sentence
    assert "wrong one" not in str(problem)


def test_a_password_that_changes_meanwhile(server: Sshd, options: SshOptions) -> None:
    shadow = server.data / "shadow"
    before = shadow.read_text()
    with connect(target(server), options, Passwords(PASSWORD, "x")) as connected:
        connected.check_sudo()
        with shadow.open("r+") as file:  # the same file: it is mounted
            file.write(re.sub(r"(?m)^alice:[^:]*", "alice:!", before))
            file.truncate()
        try:
            problem = problem_of(lambda: connected.sudo("cat >/srv/eaten", stdin=b"payload\n", deadline=60))
        finally:
            with shadow.open("r+") as file:
                file.write(before)
                file.truncate()
    assert problem.kind is ProblemKind.UNAUTHENTICATED
    assert not (server.root / "srv" / "eaten").exists()


def test_a_sudo_that_asks_no_longer_gets_no_password(server: Sshd, options: SshOptions) -> None:
    rules = server.data / "sudoers.d" / "alice"
    with connect(target(server), options, Passwords(PASSWORD)) as connected:
        connected.check_sudo()
        rules.write_text("alice ALL=(ALL:ALL) NOPASSWD: ALL\n")
        rules.chmod(0o440)
        try:
            done = connected.sudo("cat", stdin=b"payload\n", deadline=60)
        finally:
            rules.unlink()
    assert done.stdout == b"payload\n"


def test_nobody_gives_the_password(server: Sshd, options: SshOptions) -> None:
    with connect(target(server), options) as connected:
        problem = problem_of(connected.check_sudo)
    assert problem.kind is ProblemKind.UNAUTHENTICATED
    assert "none was given" in problem.sentence


def test_not_in_sudoers(server: Sshd, options: SshOptions) -> None:
    with connect(target(server, "carol"), options, Passwords(PASSWORD)) as connected:
        problem = problem_of(lambda: connected.sudo("id -u", deadline=60))
    assert problem.kind is ProblemKind.FORBIDDEN
    assert "not in sudoers" in problem.sentence
    assert "usermod -aG sudo carol" in problem.remedy


def test_requiretty(server: Sshd, options: SshOptions) -> None:
    with connect(target(server, "dave"), options, Passwords(PASSWORD)) as connected:
        problem = problem_of(lambda: connected.sudo("id -u", deadline=60))
    assert problem.kind is ProblemKind.FORBIDDEN
    assert "requiretty" in problem.sentence


def test_no_sudo(tmp_path: Path) -> None:
    sshd.require()
    with sshd.running(tmp_path / "data", more="SetEnv PATH=/srv/programs") as bare:
        programs = bare.root / "srv" / "programs"
        programs.mkdir()
        for name in ("sh", "setsid", "head", "id"):
            (programs / name).symlink_to(f"/usr/bin/{name}")
        with connect(target(bare), options_for(bare, tmp_path), Passwords(PASSWORD)) as connected:
            problem = problem_of(lambda: connected.sudo("id -u", deadline=60))
    assert problem.kind is ProblemKind.ABSENT
    assert "no sudo" in problem.sentence


# --- files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "owner", "numbers"),
    [(0o600, "root:root", (0, 0)), (0o644, "alice:alice", (61001, 61001)), (0o4750, "root:bob", (0, 61002))],
)
def test_files_get_their_content_mode_and_owner(
    server: Sshd, connection: SshConnection, mode: int, owner: str, numbers: tuple[int, int]
) -> None:
    content = os.urandom(50_000) + b"\n\0no end"
    folder = f"/srv/etc {mode:o}/it's"
    connection.write_file(f"{folder}/config.yaml", content, mode=mode, owner=owner, directory_mode=0o700)
    file = server.root / folder.removeprefix("/") / "config.yaml"
    found = file.stat()
    assert file.read_bytes() == content
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (mode, *numbers)
    for parent in (file.parent, file.parent.parent):
        assert (parent.stat().st_mode & 0o7777, parent.stat().st_uid) == (0o700, 0)
    assert os.listdir(file.parent) == ["config.yaml"]
    assert connection.read_file(f"{folder}/config.yaml") == content
    seen = connection.stat_file(f"{folder}/config.yaml")
    assert seen is not None
    assert (seen.mode, seen.owner, seen.size) == (mode, owner, len(content))
    assert seen.sha256 == hashlib.sha256(content).hexdigest()


def test_a_file_is_replaced_whole_also_where_a_link_stood(server: Sshd, connection: SshConnection) -> None:
    folder = server.root / "srv" / "links"
    folder.mkdir()
    (folder / "real").write_text("keep")
    (folder / "link").symlink_to("real")
    connection.write_file("/srv/links/link", b"new", mode=0o600)
    assert (folder / "real").read_text() == "keep"
    assert not (folder / "link").is_symlink()
    assert (folder / "link").read_text() == "new"
    connection.write_file("/srv/links/link", b"", mode=0o640)
    assert (folder / "link").read_bytes() == b""
    assert folder.stat().st_mode & 0o777 == 0o755  # what was there is left as it was


def test_an_upload_that_is_cut_leaves_the_old_file(
    server: Sshd, options: SshOptions, pool: ThreadPoolExecutor
) -> None:
    folder = server.root / "srv" / "cut"
    with connect(target(server, "bob"), options) as connected:
        connected.write_file("/srv/cut/file", b"old", mode=0o600)
        content = bytes(400_000_000)
        future = pool.submit(connected.write_file, "/srv/cut/file", content, mode=0o600, deadline=600)
        wait_until(lambda: any(part.stat().st_size for part in folder.glob(".axiom-tui.*")), "the upload")
        (part,) = folder.glob(".axiom-tui.*")
        assert part.stat().st_mode & 0o777 == 0o600
        assert part.stat().st_uid == 0
        connected.cancel()
        assert problem_from(future).kind is ProblemKind.CANCELLED
    wait_until(lambda: os.listdir(folder) == ["file"], "the half file to be removed")
    assert (folder / "file").read_bytes() == b"old"


def test_files_as_the_user(server: Sshd, connection: SshConnection) -> None:
    connection.write_file("/home/alice/a/b", b"mine", mode=0o640, owner="", sudo=False)
    file = server.root / "home/alice/a/b"
    assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (61001, 0o640)
    problem = problem_of(
        lambda: connection.write_file("/srv/not-mine", b"x", mode=0o600, owner="", sudo=False)
    )
    assert problem.kind is ProblemKind.FORBIDDEN
    assert "/srv/not-mine" in problem.sentence


def test_what_is_not_a_file(server: Sshd, connection: SshConnection) -> None:
    assert connection.stat_file("/srv/none") is None
    directory = connection.stat_file("/srv")
    assert directory is not None
    assert directory.is_directory
    assert problem_of(lambda: connection.read_file("/srv/none")).kind is ProblemKind.MISSING
    assert problem_of(lambda: connection.read_file("/srv")).kind is ProblemKind.CONFLICT
    assert problem_of(lambda: connection.write_file("/srv", b"", mode=0o600)).kind is ProblemKind.CONFLICT
    for path in ("srv/x", "/srv/"):
        problem = problem_of(lambda path=path: connection.write_file(path, b"", mode=0o600))  # type: ignore[misc]
        assert problem.kind is ProblemKind.MISCONFIGURED


def test_a_full_disk(server: Sshd, connection: SshConnection) -> None:
    connection.sudo("mkdir -p /srv/small && mount -t tmpfs -o size=64k tmpfs /srv/small", deadline=30)
    connection.write_file("/srv/small/file", b"old", mode=0o600)
    problem = problem_of(lambda: connection.write_file("/srv/small/file", bytes(200_000), mode=0o600))
    assert problem.kind is ProblemKind.BROKEN
    assert "No space left" in problem.sentence
    assert connection.sudo("ls -A /srv/small", deadline=30).text == "file"
    assert connection.read_file("/srv/small/file") == b"old"


# --- secrets ---------------------------------------------------------------------------------------------


class Watcher:
    """Looks at the command line and the environment of every process, again and again."""

    def __init__(self, *secrets: str) -> None:
        self._secrets = [secret.encode() for secret in secrets]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.found: list[str] = []
        self.seen: set[bytes] = set()
        self.rounds = 0

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def _watch(self) -> None:
        while not self._over.is_set():
            for process in os.listdir("/proc"):
                if process.isdigit():
                    self._look(process)
            self.rounds += 1

    def _look(self, process: str) -> None:
        for name in ("cmdline", "environ"):
            try:
                with open(f"/proc/{process}/{name}", "rb", buffering=0) as file:
                    text = file.read(1_000_000)
            except OSError:
                continue
            if name == "cmdline":
                self.seen.add(text)
            self.found += [name for secret in self._secrets if secret in text]

    def saw(self, text: str) -> bool:
        return any(text.encode() in line.replace(b"\0", b" ") for line in self.seen.copy())


def test_the_watcher_sees_secrets(server: Sshd, connection: SshConnection) -> None:
    with Watcher("spoken-aloud") as watcher:
        connection.run("sleep 0.5 # spoken-aloud", deadline=30)
    assert "cmdline" in watcher.found
    with Watcher("spoken-aloud") as watcher:
        connection.run("name=spoken-al; export whole=${name}oud; sleep 0.5", deadline=30)
    assert "environ" in watcher.found


@pytest.mark.parametrize("user", ["alice", "bob"])
def test_no_secret_is_ever_on_a_process_list_in_a_log_or_in_a_history(
    server: Sshd, options: SshOptions, user: str
) -> None:
    token = f"{TOKEN}{uuid.uuid4().hex}"  # nobody else on this machine has it
    digest = hashlib.sha256(token.encode()).hexdigest()
    own_environment = Path("/proc/self/environ").read_bytes()
    assert PASSWORD.encode() not in own_environment
    with Watcher(PASSWORD, token, digest) as watcher:
        without_keys = replace(options, key_files=(Path("/nowhere"),))
        with connect(target(server, user), without_keys, Passwords(PASSWORD, PASSWORD)) as connected:
            connected.check_sudo()
            for number in range(5):
                path = f"/srv/secrets-{user}/token{number}"
                connected.write_file(path, Secret(token), mode=0o600, directory_mode=0o700)
                assert connected.read_file(path) == token.encode()
            done = connected.sudo(f"cat; sleep 0.5 # {MARK}", stdin=Secret(token), deadline=30)
            assert done.text == token
            connected.run_script(f"# {token}\nsleep 0.5 # {MARK}\n", deadline=30)
    assert watcher.saw(MARK)
    assert watcher.saw("write-file /srv/secrets") or watcher.rounds < 3
    assert watcher.found == []
    assert PASSWORD not in server.log()
    assert token not in server.log()
    patterns = "\n".join((PASSWORD, token, digest))  # by its input: grep's own arguments are watched as well
    for folder in ("home", "var/log", "run", "var/lib/sudo"):
        command = ["grep", "-rlF", "-f", "-", str(server.root / folder)]
        searched = subprocess.run(
            command, input=patterns, capture_output=True, text=True, timeout=60, check=False
        )
        assert searched.stdout == ""
