"""A real sshd with real users and a real sudo, in namespaces of its own: the machine is not changed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "correct horse 7 battery"
#: alice: sudo with a password, remembered for all sessions. bob: without. carol: none. dave: requiretty.
#: erin: as alice, her sudo runs commands in a terminal of its own. frank: a login shell that lets nobody in.
_NAMES = ("alice", "bob", "carol", "dave", "erin", "frank")
SSHD = "/usr/sbin/sshd"

#: Runs in the mount namespace: what is written below these folders is gone with the namespace.
_SETUP = """set -eu
mount --make-rprivate /
for folder in /home /run /var/log /var/lib/sudo /srv; do
  mkdir -p "$folder"
  mount -t tmpfs -o mode=0755 tmpfs "$folder"
done
mkdir -p /run/sshd /run/sudo
install -m 0644 "$DATA/authorized_keys" /run/authorized_keys
for file in passwd group shadow sudoers; do mount --bind "$DATA/$file" "/etc/$file"; done
mount --bind "$DATA/sudoers.d" /etc/sudoers.d
for name in alice bob carol dave erin frank; do
  mkdir -m 0700 "/home/$name"
  chown "$name:$name" "/home/$name"
done
exec /usr/sbin/sshd -D -e -f "$DATA/sshd_config"
"""

_SUDOERS = """Defaults env_reset
Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
Defaults:dave requiretty
Defaults !fqdn
Defaults:alice timestamp_type=global
Defaults:erin use_pty, log_input, log_output
root ALL=(ALL:ALL) ALL
alice ALL=(ALL:ALL) ALL
erin ALL=(ALL:ALL) ALL
dave ALL=(ALL:ALL) NOPASSWD: ALL
# As on cloud images: a general rule with a password, and a later one without.
bob ALL=(ALL:ALL) ALL
bob ALL=(ALL:ALL) NOPASSWD: ALL
@includedir /etc/sudoers.d
"""

_CONFIG = """Port {port}
ListenAddress 127.0.0.1
HostKey {data}/host_key
PidFile none
StrictModes no
AuthorizedKeysFile /run/authorized_keys
PermitRootLogin prohibit-password
PrintMotd no
PrintLastLog no
UseDNS no
LogLevel VERBOSE
MaxStartups 100
{more}
PasswordAuthentication yes
KbdInteractiveAuthentication no
UsePAM no
"""


def missing() -> str:
    """Why a real sshd cannot run here; "" if it can."""
    if os.geteuid() != 0:
        return "a real sshd with users of its own needs root"
    for program in (SSHD, "/usr/bin/sudo", "/usr/bin/ssh-keygen", "/usr/bin/ssh-agent", "/usr/bin/unshare"):
        if not Path(program).exists():
            return f"{program} is not installed"
    probe = subprocess.run(
        ["unshare", "-m", "-p", "-f", "--mount-proc", "mount", "-t", "tmpfs", "tmpfs", "/srv"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return f"no namespaces here: {probe.stderr.strip()}" if probe.returncode else ""


def require() -> None:
    """Skip the test where there is no sshd, unless the environment says that there must be one."""
    reason = missing()
    if reason and os.environ.get("AXIOM_REQUIRE_INTEGRATION"):
        pytest.fail(f"AXIOM_REQUIRE_INTEGRATION is set, and {reason}")
    if reason:
        pytest.skip(reason)


class Sshd:
    """One running sshd. ``root`` is its file system, as this process sees it."""

    def __init__(self, data: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.data = data
        self.port = port
        self.process = process
        self.user_key = data / "user_key"

    @property
    def host_key(self) -> str:
        return (self.data / "host_key.pub").read_text().strip()

    @property
    def pid(self) -> int:
        """The sshd that listens: the child of unshare."""
        return children(self.process.pid)[0]

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self.pid}/root")

    def log(self) -> str:
        return (self.data / "log").read_text(errors="replace")

    def known_hosts(self, name: str = "known_hosts") -> Path:
        """A known_hosts file that knows this server."""
        file = self.data / name
        file.write_text(f"[127.0.0.1]:{self.port} {self.host_key}\n")
        return file


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descendants(pid: int) -> list[int]:
    found = []
    for child in children(pid):
        found.append(child)
        try:
            found += descendants(child)
        except OSError:
            continue
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def keygen(file: Path, *, passphrase: str = "", kind: str = "ed25519") -> Path:
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(file)]
    subprocess.run(command, check=True, timeout=30)
    return file


@contextmanager
def running(data: Path, *, more: str = "") -> Iterator[Sshd]:
    """Start an sshd; ``more`` is put into its settings, before what else they hold."""
    data.mkdir(exist_ok=True)
    port = free_port()
    _write_accounts(data)
    (data / "sudoers").write_text(_SUDOERS)
    (data / "sudoers").chmod(0o440)
    (data / "sudoers.d").mkdir()
    (data / "sshd_config").write_text(_CONFIG.format(port=port, data=data, more=more))
    keygen(data / "host_key")
    public = keygen(data / "user_key").with_suffix(".pub").read_text()
    (data / "authorized_keys").write_text(public)
    (data / "setup").write_text(_SETUP)
    command = ["unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc", "sh", str(data / "setup")]
    with (data / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={"DATA": str(data), "PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_until_listening(port, process, data)
        yield Sshd(data, port, process)
    finally:
        process.kill()
        process.wait(20)


def _write_accounts(data: Path) -> None:
    crypted = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"],
        input=PASSWORD,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout.strip()
    passwd, group = Path("/etc/passwd").read_text(), Path("/etc/group").read_text()
    shadow = Path("/etc/shadow").read_text()
    for number, name in enumerate(_NAMES, 61001):
        shell = "/usr/sbin/nologin" if name == "frank" else "/bin/bash"
        passwd += f"{name}:x:{number}:{number}::/home/{name}:{shell}\n"
        group += f"{name}:x:{number}:\n"
        shadow += f"{name}:{crypted}:19000:0:99999:7:::\n"
    (data / "passwd").write_text(passwd)
    (data / "group").write_text(group)
    (data / "shadow").write_text(shadow)
    (data / "shadow").chmod(0o600)
    assert shutil.which("openssl")


def _wait_until_listening(port: int, process: subprocess.Popen[bytes], data: Path) -> None:
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        if process.poll() is not None:
            break
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
                probe.recv(20)
                return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"sshd did not start: {(data / 'log').read_text(errors='replace')}")
