"""The supervisor of a command, run by the shells that hosts have; no SSH is needed for it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.clients.ssh_command import _Output, supervised

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]


class Host:
    """Starts commands as an SSH server does: the login shell gets the line, input and output are pipes."""

    def __init__(self, directory: Path, shell: str) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        programs = directory / "programs"
        programs.mkdir()
        # Also the shells that the supervisor itself starts are of this kind.
        (programs / "sh").symlink_to(shutil.which(shell) or shell)
        self._environment = {"PATH": f"{programs}:{os.environ['PATH']}"}

    def start(
        self, command: str, payload: bytes = b"", *, own_session: bool = True
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["/bin/sh", "-c", supervised(command, payload).line],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment,
            start_new_session=own_session,
        )
        self._processes.append(process)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # a command need not read its input
            process.stdin.write(payload)
            process.stdin.flush()
        return process

    def run(self, command: str, payload: bytes = b"") -> tuple[int, bytes, bytes]:
        """Run to the end, with the input still open, as the client does."""
        process = self.start(command, payload)
        assert process.stdout is not None
        assert process.stderr is not None
        out, err = process.stdout.read(), process.stderr.read()
        return process.wait(30), out, err

    def close(self) -> None:
        for process in self._processes:
            for stream in (process.stdin, process.stdout, process.stderr):
                assert stream is not None
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
            process.wait(30)


@pytest.fixture(params=SHELLS)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    started = Host(tmp_path, request.param)
    yield started
    started.close()


def wait_until(probe: Callable[[], object], what: str) -> None:
    ends = time.monotonic() + 30
    while not probe():
        assert time.monotonic() < ends, f"waited in vain for {what}"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def numbers(file: Path, count: int) -> list[int]:
    """Wait until a command wrote so many process numbers, and give them."""
    wait_until(lambda: file.exists() and len(file.read_text().split()) == count, "the command's start")
    return [int(pid) for pid in file.read_text().split()]


def hang_up(process: subprocess.Popen[bytes]) -> None:
    """What an SSH server does when the channel or the connection ends."""
    assert process.stdin is not None
    process.stdin.close()


def test_status_input_and_both_streams(host: Host) -> None:
    status, out, err = host.run("cat; echo wrong >&2; exit 7", b"one\ntwo")
    ready, _, own = out.partition(b"\n")
    assert status == 7
    assert ready.startswith(b"axiom-tui-ready-")
    assert own == b"one\ntwo"
    assert err == ready + b"\nwrong\n"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("true", 0),
        ("exit 255", 255),
        ("kill -KILL $$", 137),
        ("kill -TERM $$", 143),
        ("no-such-command", 127),
    ],
)
def test_statuses(host: Host, command: str, expected: int) -> None:
    assert host.run(command)[0] == expected


def test_the_supervisor_says_nothing_of_its_own(host: Host) -> None:
    # A shell may remark on what it sees killed, if it sees it in time: so not once, but often.
    for payload in (b"", b"x" * 1000, b"x" * 200_000):
        for _ in range(10):
            status, out, err = host.run("exit 3", payload)
            assert (status, err, err.count(b"\n")) == (3, out, 1)


def test_large_input_arrives_whole(host: Host) -> None:
    payload = os.urandom(300_000)
    status, out, _ = host.run("sha256sum", payload)
    assert status == 0
    assert hashlib.sha256(payload).hexdigest().encode() in out


@pytest.mark.parametrize("payload", [b"", b"some input"], ids=["no input", "input"])
def test_the_end_of_the_channel_ends_all_that_the_command_started(
    host: Host, payload: bytes, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    process = host.start(f"sleep 1001 & echo $! >>{pids}; echo $$ >>{pids}; sleep 1002", payload)
    started = numbers(pids, 2)
    assert all(alive(pid) for pid in started)
    hang_up(process)
    wait_until(lambda: not any(alive(pid) for pid in started), "the end of the command")


def test_a_command_that_does_not_want_to_end_is_killed(tmp_path: Path) -> None:
    host = Host(tmp_path, "sh")
    process = host.start(f"trap '' TERM; echo $$ >{tmp_path}/pid; while :; do sleep 1; done")
    (pid,) = numbers(tmp_path / "pid", 1)
    hang_up(process)
    wait_until(lambda: not alive(pid), "the end of the command")
    host.close()


def test_a_normal_end_leaves_what_was_sent_to_the_background(host: Host, tmp_path: Path) -> None:
    status, _, _ = host.run(f"sleep 1003 >/dev/null 2>&1 & echo $! >{tmp_path}/pid")
    (pid,) = numbers(tmp_path / "pid", 1)
    try:
        assert status == 0
        assert alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_only_the_commands_own_session_is_ended(host: Host, tmp_path: Path) -> None:
    # A server may start commands in its own process group, as this one does; the group must survive, and
    # this test with it.
    process = host.start(f"echo $$ >{tmp_path}/pid; sleep 1005", own_session=False)
    (pid,) = numbers(tmp_path / "pid", 1)
    assert os.getpgid(process.pid) == os.getpgid(0)
    hang_up(process)
    wait_until(lambda: not alive(pid), "the end of the command")


@given(command=st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40))
def test_any_text_stays_one_argument(command: str) -> None:
    words = shlex.split(supervised(command, b"").line)
    assert words[:3] == ["exec", "sh", "-c"]
    assert words[4] == "axiom-tui"
    assert words[6:] == ["0", command]


@given(
    preamble=st.binary(max_size=30).filter(
        lambda data: b"READY\n" not in data and not data.endswith(b"READY")
    ),
    body=st.binary(max_size=200),
    cuts=st.lists(st.integers(1, 7), max_size=60),
)
def test_output_is_the_same_however_it_is_cut(preamble: bytes, body: bytes, cuts: list[int]) -> None:
    sent, pieces = preamble + b"READY\n" + body, []
    for cut in cuts:
        pieces.append(sent[:cut])
        sent = sent[cut:]
    output = _Output(b"READY")
    lines = []
    for piece in [*pieces, sent]:
        own = output.take(piece)
        if own:
            lines += output.lines(own)
    lines += output.lines(b"")
    assert b"".join(output.chunks) == body
    expected = [line.rstrip(b"\r").decode(errors="replace") for line in body.split(b"\n")]
    assert lines == (expected[:-1] if body.endswith(b"\n") or not body else expected)
