"""`axiom-tui plan join` and `apply join` on an embedded Axiom: without a terminal, and at one."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from axiom_tui import cli
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL
from axiom_tui.simulator.axiom import EmbeddedAxiom
from axiom_tui.simulator.hosts.host import Sudo

DEADLINE = 60.0
PASSWORD = "seven otters knit"
NEWCOMER, NEWCOMER_ARM = "ubuntu-4gb-nbg1-2", "ubuntu-8gb-hel1-1"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def axiom(tmp_path: Path) -> Iterator[EmbeddedAxiom]:
    with EmbeddedAxiom(tmp_path / "axiom", alive=False) as world:
        for host in world.hosts:
            host.password = PASSWORD
        yield world


@pytest.fixture
def run(
    axiom: EmbeddedAxiom, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """Run a command line on the world as from a pipe: exit code, stdout, stderr."""

    def run_it(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["--config", str(axiom.settings), *arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        yield run_it


class Terminal:
    """A command at a terminal of its own: what it prints is waited for, and answered."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process, self._master = process, master
        self.seen = ""
        self._read = 0

    def waits_for(self, words: str) -> None:
        """Read on until these words came, after those of the last call."""
        ends = time.monotonic() + DEADLINE
        while words not in self.seen[self._read :]:
            assert time.monotonic() < ends, f"{words!r} never came; seen:\n{self.seen}"
            assert self._takes(), f"it ended before {words!r} came; seen:\n{self.seen}"
        self._read = self.seen.index(words, self._read) + len(words)

    def answers(self, text: str) -> None:
        os.write(self._master, f"{text}\n".encode())

    def ends(self) -> int:
        """Read all to the end; the exit code."""
        while self._takes():
            pass
        return self.process.wait(DEADLINE)

    def _takes(self) -> bool:
        """Read what is there; False at the end."""
        ready, _, _ = select.select([self._master], [], [], DEADLINE)
        assert ready, f"nothing more came; seen:\n{self.seen}"
        try:
            data = os.read(self._master, 65_536)
        except OSError:
            return False  # Linux' word for the end of a terminal
        self.seen += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)


@contextmanager
def at_terminal(axiom: EmbeddedAxiom, *arguments: str) -> Iterator[Terminal]:
    """Run a command line on the world, with a terminal for everything, which controls it."""
    command = [sys.executable, "-m", "axiom_tui", "--config", str(axiom.settings), *arguments]
    master, slave = pty.openpty()
    # The terminal has to control the session: getpass asks at /dev/tty.
    take = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    script = f"{take}os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", script, *command],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        cwd=Path(__file__).parents[1],
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(master)


def without_passwords(axiom: EmbeddedAxiom) -> None:
    """sudo asks for no password anywhere."""
    for host in axiom.hosts:
        host.sudo = Sudo.NOPASSWD


def labels(axiom: EmbeddedAxiom, name: str) -> tuple[str | None, str | None] | None:
    node = axiom.store.get("nodes", name)
    if node is None:
        return None
    return node["metadata"]["labels"].get(ENABLE_LABEL), node["metadata"]["labels"].get(POOL_LABEL)


# -- plan --------------------------------------------------------------------------------------------------


def test_a_plan_is_shown_and_nothing_is_done(run: Run, axiom: EmbeddedAxiom) -> None:
    without_passwords(axiom)
    code, out, said = run("plan", "join", NEWCOMER_ARM, "--name", "WALL-A-10")
    assert (code, said) == (0, "")
    assert "WALL-A-10" in out
    assert "hostnamectl set-hostname WALL-A-10" in out
    assert "k3s token create --ttl 900s" in out
    assert "all of it can be undone" in out
    host = axiom.hosts[NEWCOMER_ARM]
    assert host.name == NEWCOMER_ARM
    assert host.files.find("/etc/rancher") is None
    assert labels(axiom, "wall-a-10") is None
    assert run("journal")[1] == ""


def test_a_plan_as_json(run: Run, axiom: EmbeddedAxiom) -> None:
    without_passwords(axiom)
    code, out, _ = run("plan", "join", NEWCOMER_ARM, "--name", "WALL-A-10", "--pool", "games", "-o", "json")
    plan = json.loads(out)
    assert code == 0
    assert (plan["apiVersion"], plan["kind"], plan["plan"]) == ("axiom-tui/v1", "Plan", "join-node")
    assert "token" in [step["key"] for step in plan["steps"]]
    assert any("lbpool=games" in command for step in plan["steps"] for command in step["commands"])
    assert plan["typedWord"] == ""


def test_a_server_wants_its_name_typed(run: Run, axiom: EmbeddedAxiom) -> None:
    without_passwords(axiom)
    code, out, _ = run("plan", "join", NEWCOMER_ARM, "--name", "M-O-4", "--role", "server", "-o", "json")
    assert code == 0
    assert json.loads(out)["typedWord"] == "M-O-4"
    code, _, said = run("apply", "join", NEWCOMER_ARM, "--name", "M-O-4", "--role", "server", "--yes")
    assert code == 2
    assert "--confirm M-O-4" in said
    assert labels(axiom, "m-o-4") is None


# -- without a terminal ------------------------------------------------------------------------------------


def test_apply_and_undo_without_a_terminal(run: Run, axiom: EmbeddedAxiom) -> None:
    without_passwords(axiom)
    code, out, _ = run("apply", "join", NEWCOMER, "--name", "WALL-A-10", "--yes")
    assert code == 0, out
    assert "Changed: Start k3s-agent" in out
    assert "Changed: Prove that WALL-A-10 is all in order" in out
    assert "Left to do: Set the DNS record wall-a-10.axiom.technat.ch" in out
    assert labels(axiom, "wall-a-10") == ("true", "external")
    (entry,) = json.loads(run("journal", "-o", "json")[1])["items"]
    assert (entry["plan"], entry["state"]) == ("join-node", "done")
    # What is left by hand does not look like a step that failed.
    own = len(entry["steps"]) - 1
    listed = run("journal")[1]
    assert f"  {own}/{own}  axiom-demo  join WALL-A-10 as agent  (1 left to you)" in listed
    # Once more is no harm, and nothing to do.
    tokens = len(axiom.hosts.secrets.tokens())
    code, out, said = run("apply", "join", NEWCOMER, "--name", "WALL-A-10", "--yes")
    assert code == 0, said
    assert len(axiom.hosts.secrets.tokens()) == tokens
    code, _, said = run("undo", entry["id"], "--yes")
    assert code == 2
    assert "--confirm WALL-A-10" in said
    code, out, _ = run("undo", entry["id"], "--confirm", "WALL-A-10")
    assert code == 0, out
    assert labels(axiom, "wall-a-10") is None
    assert axiom.hosts[NEWCOMER].files.find("/usr/local/bin/k3s") is None
    assert axiom.hosts[NEWCOMER].name == NEWCOMER


def test_without_consent_nothing_is_done(run: Run, axiom: EmbeddedAxiom) -> None:
    without_passwords(axiom)
    code, _, said = run("apply", "join", NEWCOMER, "--name", "WALL-A-10")
    assert code == 2
    assert "There is no terminal to ask on. Give --yes to apply without asking." in said
    assert labels(axiom, "wall-a-10") is None


def test_a_password_cannot_be_asked_without_a_terminal(run: Run, axiom: EmbeddedAxiom) -> None:
    code, _, said = run("apply", "join", NEWCOMER, "--name", "WALL-A-10", "--yes")
    assert code == 2
    assert "asks for the password of technat, and none was given" in said
    assert "name its source in the settings (ssh.sudo_password)" in said
    assert "WALL-A-10 can't join: sudo failed." in said
    assert "--override" not in said
    assert labels(axiom, "wall-a-10") is None


def test_a_password_comes_from_where_the_settings_say(
    run: Run, axiom: EmbeddedAxiom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "sudo-password"
    secret.write_text(f"{PASSWORD}\n")
    secret.chmod(0o600)
    text = axiom.settings.read_text()
    assert text.count("ssh:\n") == 1
    axiom.settings.write_text(text.replace("ssh:\n", f"ssh:\n  sudo_password: file:{secret}\n"))
    code, out, said = run("apply", "join", NEWCOMER, "--name", "WALL-A-10", "--yes")
    assert code == 0, said
    assert labels(axiom, "wall-a-10") is not None
    assert PASSWORD not in out + said
    state = Path(os.environ["AXIOM_TUI_STATE"])
    kept = [file.read_text() for file in state.rglob("*") if file.is_file()]
    assert kept
    assert not any(PASSWORD in text for text in kept)
    secret.write_text("another one")
    code, _, said = run("plan", "join", NEWCOMER, "--name", "WALL-A-10")
    assert code == 2
    assert "refused the password of technat: it is wrong" in said
    assert "ssh.sudo_password" in said


def test_a_servers_password_cannot_be_asked_without_a_terminal(run: Run, axiom: EmbeddedAxiom) -> None:
    code, out, said = run("plan", "join", NEWCOMER_ARM, "--name", "WALL-A-10")  # whose sudo wants none
    assert (code, out) == (2, "")
    assert "fail: No server gives a join token: M-O-1 can't (sudo on " in said
    assert "WALL-A-10 can't join: join-token failed." in said
    code, out, said = run("plan", "join", NEWCOMER_ARM, "--name", "WALL-A-10", "--override", "join-token")
    assert code == 0, said
    assert "overridden: join-token: No server gives a join token" in out


def test_an_unknown_host_key_is_not_accepted_without_a_terminal(run: Run, axiom: EmbeddedAxiom) -> None:
    code, _, said = run("plan", "join", "no-tailscale", "--name", "WALL-A-10")
    assert code == 2
    assert "host key" in said
    assert "SHA256:" in said
    assert axiom.hosts.known_hosts.read_text() == ""


def test_fails_are_said_with_the_way_to_override_them(run: Run, axiom: EmbeddedAxiom) -> None:
    without_passwords(axiom)
    host = axiom.hosts[NEWCOMER]
    host.furnish()
    host.files.free = 2 << 30
    code, out, said = run("plan", "join", NEWCOMER, "--name", "WALL-A-10")
    assert (code, out) == (2, "")
    assert "fail: Only 2.0 GiB are free on /" in said
    assert "WALL-A-10 can't join: disk failed." in said
    assert "Or override by name: --override disk." in said
    code, out, said = run("plan", "join", NEWCOMER, "--name", "WALL-A-10", "--override", "disk")
    assert code == 0, said
    assert "overridden: disk: Only 2.0 GiB" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no-such-host.invalid", "--name", "WALL-A-10"), "no-such-host.invalid"),
        ((NEWCOMER_ARM, "--name", "wall_a_10"), "'wall_a_10' cannot be a node's name"),
        ((NEWCOMER_ARM, "--name", "WALL-A-3"), "WALL-A-3 is already a node of this cluster"),
        ((NEWCOMER_ARM, "--name", "w" * 64), "64 characters are too many"),
        (
            (NEWCOMER_ARM, "--name", "WALL-A-10", "--override", "no-such-rule"),
            "There is no rule 'no-such-rule'",
        ),
        ((NEWCOMER_ARM, "--name", "WALL-A-10", "--public-address", "192.168.1.7"), "public-address failed"),
        ((NEWCOMER_ARM, "--name", "WALL-A-10", "--pool", "in ternal"), "would refuse the pool 'in ternal'"),
        ((NEWCOMER_ARM, "--name", "M-O-1", "--role", "first-server"), "Give it: --k3s-version v1.33.4+k3s1"),
    ],
)
def test_bad_choices_have_a_sentence(
    run: Run, axiom: EmbeddedAxiom, arguments: tuple[str, ...], words: str
) -> None:
    without_passwords(axiom)
    code, out, said = run("plan", "join", *arguments)
    assert (code, out) == (2, "")
    assert words in said
    assert "Traceback" not in said


def test_a_join_that_fails_is_said_and_can_be_resumed(run: Run, axiom: EmbeddedAxiom) -> None:
    without_passwords(axiom)
    axiom.hosts[NEWCOMER].fault("host-token-rejected")
    path = axiom.settings
    path.write_text(path.read_text().replace("join:\n", "join:\n  ready_timeout: 5s\n"))
    code, out, said = run("apply", "join", NEWCOMER, "--name", "WALL-A-10", "--yes")
    assert code == 1
    assert "token" in said
    assert "Left to do: Wait until k3s-agent is up" in out
    assert labels(axiom, "wall-a-10") is None
    axiom.hosts[NEWCOMER].heal()
    code, out, said = run("resume", "--yes")
    assert code == 0, said
    assert labels(axiom, "wall-a-10") == ("true", "external")


# -- at a terminal -----------------------------------------------------------------------------------------


def test_passwords_are_asked_for_and_never_shown(axiom: EmbeddedAxiom) -> None:
    with at_terminal(axiom, "apply", "join", NEWCOMER, "--name", "WALL-A-10") as terminal:
        terminal.waits_for("Password that sudo asks technat for on 100.")
        terminal.answers("eight lobsters sing")
        terminal.waits_for("(the one before was refused)")
        terminal.answers(PASSWORD)
        terminal.waits_for("Password that sudo asks technat for on 100.")  # of the server
        terminal.answers(PASSWORD)
        terminal.waits_for("Apply this plan? Type yes:")
        assert labels(axiom, "wall-a-10") is None
        terminal.answers("yes")
        assert terminal.ends() == 0, terminal.seen
        seen = terminal.seen
    assert labels(axiom, "wall-a-10") == ("true", "external")
    secrets = [PASSWORD, "eight lobsters", *(token.secret for token in axiom.hosts.secrets.tokens())]
    assert not [secret for secret in secrets if secret in seen]


def test_no_is_no(axiom: EmbeddedAxiom) -> None:
    without_passwords(axiom)
    with at_terminal(axiom, "apply", "join", NEWCOMER, "--name", "WALL-A-10") as terminal:
        terminal.waits_for("Apply this plan? Type yes:")
        terminal.answers("no")
        assert terminal.ends() == 2
        assert "Not applied: nothing was changed." in terminal.seen
    assert labels(axiom, "wall-a-10") is None


def test_a_host_key_is_compared_by_a_person(axiom: EmbeddedAxiom) -> None:
    with at_terminal(axiom, "plan", "join", "no-tailscale", "--name", "WALL-A-10") as terminal:
        terminal.waits_for("Nobody vouches for the host key of")
        terminal.waits_for("SHA256:")
        terminal.waits_for("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
        terminal.waits_for("Is it the same? Type yes:")
        terminal.answers("yes")
        terminal.waits_for("Password of technat on no-tailscale")
        terminal.answers(PASSWORD)
        terminal.waits_for("Password that sudo asks technat for on no-tailscale")
        terminal.answers(PASSWORD)
        assert terminal.ends() == 2
        assert "Tailscale is not installed" in terminal.seen
    assert axiom.hosts.known_hosts.read_text().startswith("no-tailscale ssh-ed25519 ")


def test_the_login_page_of_check_mode_is_printed(axiom: EmbeddedAxiom) -> None:
    without_passwords(axiom)
    host = axiom.hosts[NEWCOMER_ARM]
    host.fault("host-check-mode")
    with at_terminal(axiom, "plan", "join", NEWCOMER_ARM, "--name", "WALL-A-10") as terminal:
        terminal.waits_for("https://login.tailscale.com/a/")
        host.approve()
        assert terminal.ends() == 0, terminal.seen
        assert "all of it can be undone" in terminal.seen


def test_ctrl_c_at_a_prompt_changes_nothing(axiom: EmbeddedAxiom) -> None:
    with at_terminal(axiom, "apply", "join", NEWCOMER, "--name", "WALL-A-10", "--yes") as terminal:
        terminal.waits_for("Password that sudo asks technat for on 100.")
        os.killpg(terminal.process.pid, signal.SIGINT)
        assert terminal.ends() == 130, terminal.seen
        assert "Traceback" not in terminal.seen
    assert labels(axiom, "wall-a-10") is None
