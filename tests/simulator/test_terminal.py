"""A terminal on a host of the embedded Axiom, as somebody types on it with the system's own ssh."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.clients.configured import ssh_arguments
from axiom_tui.config import Settings, load
from axiom_tui.simulator.axiom import EmbeddedAxiom
from axiom_tui.simulator.hosts.terminal import LineDiscipline, shown

DEADLINE = 30.0  # seconds
LETTERS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=8)


def discipline() -> tuple[LineDiscipline, list[bytes], list[str]]:
    echoed: list[bytes] = []
    interrupted: list[str] = []
    return LineDiscipline(echoed.append, lambda: interrupted.append("now")), echoed, interrupted


@given(st.lists(LETTERS), st.integers(1, 5))
def test_lines_are_given_whole_however_they_come(lines: list[str], size: int) -> None:
    typed = "".join(f"{line}\r" for line in lines).encode()
    typing, echoed, _ = discipline()
    pieces = [typed[place : place + size] for place in range(0, len(typed), size)]
    assert b"".join(map(typing.take, pieces)) == typed.replace(b"\r", b"\n")
    assert b"".join(echoed) == shown(typed.replace(b"\r", b"\n"))


@given(LETTERS, LETTERS)
def test_what_is_rubbed_out_is_not_given(kept: str, rubbed: str) -> None:
    typing, _, _ = discipline()
    assert typing.take(f"{kept}{rubbed}".encode() + b"\x7f" * len(rubbed) + b"\r") == f"{kept}\n".encode()
    assert typing.take(f"{kept}{rubbed}\x15{kept}\r".encode()) == f"{kept}\n".encode()


def test_keys_of_the_terminal() -> None:
    typing, echoed, interrupted = discipline()
    assert typing.take(b"half\x03") == b""
    assert (interrupted, echoed[-1]) == (["now"], b"^C\r\n")
    assert typing.take(b"\x1b[Aup\x1b[D\r") == b"up\n"
    assert typing.take(b"part\x04") == b"part"
    assert not typing.ended
    typing.take(b"\x04")
    assert typing.ended


def test_only_what_differs_is_said_to_ssh() -> None:
    settings = Settings()
    assert ssh_arguments(settings, "h") == ("--", "technat@h")
    known = replace(settings, ssh=replace(settings.ssh, known_hosts=Path("/k"), key_files=(Path("/i"),)))
    assert ssh_arguments(known, "h")[:-2] == ("-o", "UserKnownHostsFile=/k", "-i", "/i")
    own = replace(known, ssh=replace(known.ssh, config_file=Path("/c"), port=2222))
    assert ssh_arguments(own, "h")[:-2] == ("-F", "/c", "-i", "/i", "-p", "2222")


@pytest.fixture
def typed_on(tmp_path: Path) -> Iterator[int]:
    """The master side of a terminal on which the system's own ssh is logged in to M-O-1."""
    ssh = shutil.which("ssh")
    if ssh is None:
        pytest.skip("there is no ssh program on this machine")
    with EmbeddedAxiom(tmp_path / "axiom", alive=False) as axiom:
        arguments = ssh_arguments(load(axiom.settings).settings, "m-o-1")
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [ssh, *arguments], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        try:
            yield master
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
            process.wait()
            os.close(master)


def until(master: int, words: str, again: bytes = b"") -> str:
    """Read until this is seen; ``again`` is typed each time that nothing comes for a while."""
    ends, seen = time.monotonic() + DEADLINE, ""
    while words not in seen:
        assert time.monotonic() < ends, f"waited in vain for {words!r}: {seen!r}"
        if select.select([master], [], [], 0.3)[0]:
            seen += os.read(master, 65_536).decode()
        elif again:
            os.write(master, again)
    return seen


@pytest.mark.integration
def test_somebody_works_on_a_host(typed_on: int) -> None:
    until(typed_on, "technat@M-O-1:~$ ")
    os.write(typed_on, b"echo 1$((1 + 1))3\r")
    assert "123\r\n" in until(typed_on, "123\r\ntechnat@M-O-1:~$ ")
    os.write(typed_on, b"sleep 3600\r")
    until(typed_on, "sleep 3600\r\n")
    # One that comes before the command has begun ends nothing, as on any terminal.
    until(typed_on, "^C\r\ntechnat@M-O-1:~$ ", again=b"\x03")
    os.write(typed_on, b"exit\r")
