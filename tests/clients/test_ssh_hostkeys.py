"""known_hosts: who is known, by which name, and that storing a key changes nothing else."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.clients.ssh_hostkeys import (
    HostKey,
    HostKeyCheck,
    hash_name,
    known_keys,
    lookup_name,
    parse_key,
    store,
)
from axiom_tui.clients.ssh_values import Interaction, UnknownHostKey
from axiom_tui.model.problem import AxiomError, ProblemKind

HOSTS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{2,5})?", fullmatch=True)
PORTS = st.one_of(st.just(22), st.integers(1, 65535))


def key(seed: bytes = b"1", kind: str = "ssh-ed25519") -> HostKey:
    name = kind.encode()
    return HostKey(kind, len(name).to_bytes(4, "big") + name + (32).to_bytes(4, "big") + seed.ljust(32, b"."))


class Refuses(Interaction):
    """Refuses to confirm, and fails if it should not have been asked."""

    def confirm_host_key(self, unknown: UnknownHostKey) -> bool:
        raise AssertionError(f"asked about {unknown}")


def check(file: Path, name: str = "wall-a-1", vouched: tuple[HostKey, ...] = ()) -> HostKeyCheck:
    return HostKeyCheck(
        host="wall-a-1",
        port=22,
        name=name,
        known=known_keys([file], name),
        vouched=vouched,
        store_in=file,
        hash_names=False,
    )


def refusal(checked: HostKeyCheck, shown: HostKey) -> str:
    with pytest.raises(AxiomError) as caught:
        checked.verify(shown, Refuses())
    assert caught.value.problem.kind is ProblemKind.UNTRUSTED
    return str(caught.value.problem)


@given(host=HOSTS, other=HOSTS, port=PORTS, hashed=st.booleans(), before=st.binary(max_size=200))
def test_what_is_stored_is_known_and_the_rest_stays(
    tmp_path_factory: pytest.TempPathFactory, host: str, other: str, port: int, hashed: bool, before: bytes
) -> None:
    file = tmp_path_factory.mktemp("ssh") / "known_hosts"
    file.write_bytes(before)
    name = lookup_name(host, port)
    store(file, name, key(), hashed=hashed)
    after = file.read_bytes()
    assert after.startswith(before)
    assert after[len(before) :].strip(b"\n").count(b"\n") == 0
    assert key() in [known.key for known in known_keys([file], name)]
    if other != host:
        assert not known_keys([file], lookup_name(other, port))
    assert not known_keys([file], lookup_name(host, port % 65535 + 1))
    assert (after[len(before) :].strip(b"\n").startswith(f"{name} ".encode())) != hashed


def test_a_new_file_is_private(tmp_path: Path) -> None:
    file = tmp_path / ".ssh" / "known_hosts"
    before = os.umask(0)
    try:
        store(file, "wall-a-1", key())
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AxiomError) as caught:
        store(tmp_path / "file" / "known_hosts", "wall-a-1", key())
    assert caught.value.problem.kind is ProblemKind.MISCONFIGURED


def test_not_being_able_to_read_is_not_the_same_as_not_knowing(tmp_path: Path) -> None:
    with pytest.raises(AxiomError) as caught:
        known_keys([tmp_path], "wall-a-1")  # a directory
    assert caught.value.problem.kind is ProblemKind.MISCONFIGURED


@pytest.mark.parametrize(
    ("names", "known"),
    [
        ("wall-a-1", True),
        ("WALL-A-1", True),
        ("m-o-1,wall-a-1", True),
        ("wall-a-*", True),
        ("wall-a-?", True),
        ("wall-a-*,!wall-a-1", False),
        ("!wall-a-1,wall-a-*", False),
        ("wall-a-11", False),
        ("[wall-a-1]:2222", False),
        ("[wall-a-1]*", False),
        ("[w]all-a-1", False),
        ("*", True),
        ("|1|bad|bad", False),
        ("|1|####|####", False),
    ],
)
def test_names(tmp_path: Path, names: str, known: bool) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"{names} {key()} comment\n")
    assert bool(known_keys([file], "wall-a-1")) is known


def test_lines_that_are_none_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    encoded = base64.b64encode(key().blob).decode()
    lines = [
        "# wall-a-1 ssh-ed25519 AAAA",
        "",
        "wall-a-1",
        "wall-a-1 ssh-ed25519",
        "wall-a-1 ssh-ed25519 !!!",
        f"wall-a-1 ssh-rsa {encoded}",  # says another type than the key itself
        f"@cert-authority wall-a-1 {key()}",
        f"@unheard-of wall-a-1 {key()}",
        f"wall-a-1\tssh-ed25519\t{encoded}",
    ]
    file.write_bytes("\r\n".join(lines).encode() + b"\r\n\xff\xfe wall-a-1\n")
    (known,) = known_keys([file, tmp_path / "missing"], "wall-a-1")
    assert (known.key, known.line) == (key(), 9)


def test_a_known_key_needs_no_question(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    store(file, "wall-a-1", key(b"old", "ssh-rsa"))
    store(file, hash_name("wall-a-1"), key())
    check(file).verify(key(), Refuses())
    assert check(file).known_types == ("ssh-rsa", "ssh-ed25519")


def test_a_changed_key_is_never_asked_about(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    store(file, "wall-a-1", key(b"old"))
    said = refusal(check(file), key(b"new"))
    assert key(b"old").fingerprint in said
    assert key(b"new").fingerprint in said
    assert f"{file} line 1" in said
    # Another type than the known one: an attacker would show it to get the question asked.
    assert key(b"old").fingerprint in refusal(check(file), key(b"new", "ssh-rsa"))


def test_a_revoked_key_is_refused_even_when_vouched_for(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"wall-a-1 {key()}\n@revoked * {key()}\n")
    assert "revoked" in refusal(check(file), key())
    assert "revoked" in refusal(check(file, vouched=(key(),)), key())


def test_the_tailnet_comes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    store(file, "wall-a-1", key(b"old"))
    check(file, vouched=(key(b"new"),)).verify(key(b"new"), Refuses())
    assert "vouches" in refusal(check(file, vouched=(key(b"new"),)), key(b"old"))


@given(st.text(max_size=60))
def test_no_text_is_taken_for_a_key_by_mistake(text: str) -> None:
    parsed = parse_key(text)
    assert parsed is None or str(parsed).split() == text.split()[:2]


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_the_same_as_ssh_keygen(tmp_path: Path, kind: str) -> None:
    def keygen(*arguments: str) -> str:
        done = subprocess.run(
            ["ssh-keygen", *arguments], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    keygen("-q", "-t", kind, "-N", "", "-f", str(tmp_path / "id"))
    own = parse_key((tmp_path / "id.pub").read_text())
    assert own is not None
    assert own.fingerprint == keygen("-lf", str(tmp_path / "id.pub")).split()[1]
    assert own.console_command == f"ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub"
    file = tmp_path / "known_hosts"
    store(file, "[wall-a-1]:2222", own, hashed=True)
    assert "found" in keygen("-F", "[wall-a-1]:2222", "-f", str(file))
    file.write_text(f"wall-a-2 {own}\n")
    keygen("-q", "-H", "-f", str(file))
    assert known_keys([file], "wall-a-2")[0].key == own
