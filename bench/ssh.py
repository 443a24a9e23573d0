"""A fresh SSH connection and the facts of the host in one round trip, beside ``ssh host true``."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from axiom_tui.clients.ssh import SshOptions, SshTarget, connect
from axiom_tui.plans.host_facts import Asked, facts_script
from bench.figure import Chapter, Figure, middle

RUNS = 9
LIMIT = 1.5
DEADLINE = 60.0  # s
TITLE = "Facts of a host over SSH"

_SSHD = """Port {port}
ListenAddress 127.0.0.1
HostKey {directory}/host_key
PidFile none
StrictModes no
AuthorizedKeysFile {directory}/user_key.pub
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 100
LogLevel ERROR
"""


def measure(*, quick: bool = False) -> Chapter:
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not (sshd and shutil.which("ssh") and shutil.which("ssh-keygen")):
        return Chapter(TITLE, "Not measured: OpenSSH's sshd, ssh and ssh-keygen are not all here.", ())
    runs = 3 if quick else RUNS
    with tempfile.TemporaryDirectory(prefix="axiom-bench-") as name, _serving(Path(name), sshd) as port:
        directory = Path(name)
        # Whatever the script asks over the network is refused at once: only the host itself is measured.
        closed = _free_port()
        asked = Asked(api_host="127.0.0.1", api_port=closed, install_url=f"https://127.0.0.1:{closed}")
        script = facts_script(asked)
        target = SshTarget(host="127.0.0.1", user=getpass.getuser(), port=port)
        options = SshOptions(
            config_file=directory / "no-config",
            known_hosts=directory / "known_hosts",
            system_known_hosts=None,
            key_files=(directory / "user_key",),
        )

        def ours(work: str) -> None:
            with connect(target, options) as connection:
                if not connection.run_script(work, deadline=DEADLINE).ok:
                    raise RuntimeError("the script failed")

        def theirs(command: str, stdin: bytes = b"") -> None:
            subprocess.run(_ssh(directory, port, command), input=stdin, check=True, capture_output=True)

        ways: dict[str, Callable[[], None]] = {
            "facts": lambda: ours(script),
            "true": lambda: ours("true"),
            "ssh true": lambda: theirs("true"),
            "ssh facts": lambda: theirs("exec sh -s", script.encode()),
            "no ssh": lambda: _run_here(script),
        }
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for run in range(-1, runs):
            for way, act in ways.items():
                began = time.monotonic()
                act()
                if run >= 0:
                    taken[way].append((time.monotonic() - began) * 1000)
    ms = {way: middle(values) for way, values in taken.items()}
    return Chapter(
        TITLE,
        "An own sshd on loopback, Ed25519 keys, a fresh connection each time; ours within a running process,"
        f" as in the program (paramiko is imported before); medians of {runs} alternating runs.",
        (
            Figure(
                "connect, facts of the host",
                "ms",
                ms["facts"],
                "ssh host true",
                ms["ssh true"],
                limit=LIMIT,
                limits_ratio=True,
                note=f"The script alone, without any SSH, takes {ms['no ssh']:.0f} ms on this machine.",
            ),
            Figure("connect, `true`", "ms", ms["true"], "ssh host true", ms["ssh true"]),
            Figure("connect, facts of the host", "ms", ms["facts"], "ssh host < script", ms["ssh facts"]),
        ),
    )


def _run_here(script: str) -> None:
    subprocess.run(["sh", "-s"], input=script.encode(), check=True, capture_output=True)


def _ssh(directory: Path, port: int, command: str) -> list[str]:
    settings = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "UserKnownHostsFile": str(directory / "known_hosts"),
        "GlobalKnownHostsFile": "/dev/null",
        "ControlPath": "none",
    }
    given = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    return [
        "ssh", "-F", "none", *given, "-i", str(directory / "user_key"), "-p", str(port), "127.0.0.1", command,
    ]  # fmt: skip


@contextmanager
def _serving(directory: Path, sshd: str) -> Iterator[int]:
    port = _free_port()
    for name in ("host_key", "user_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    kind, key, *_ = (directory / "host_key.pub").read_text().split()
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    (directory / "sshd_config").write_text(_SSHD.format(port=port, directory=directory))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd insists on it
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sshd, "-D", "-e", "-f", str(directory / "sshd_config")], stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        _wait_until_listening(port, directory / "log")
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait_until_listening(port: int, log: Path) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"sshd did not start: {log.read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
