"""SSH to the embedded hosts with clients of others: OpenSSH's own program, and paramiko."""

from __future__ import annotations

import base64
import io
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import paramiko
import pytest
from paramiko.auth_handler import AuthHandler

from axiom_tui import config
from axiom_tui.simulator.axiom import EmbeddedAxiom
from axiom_tui.simulator.command import child_command
from axiom_tui.simulator.hosts.host import PASSWORD, USER, Host
from axiom_tui.simulator.tailnet import ssh_host_key
from tests.simulator.host_runs import run_on

NEWCOMER, ARM, PLAIN = "ubuntu-4gb-nbg1-2", "ubuntu-8gb-hel1-1", "no-tailscale"
SECONDS = 20.0

needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="there is no OpenSSH client here")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAxiom]:
    with EmbeddedAxiom(tmp_path_factory.mktemp("axiom"), alive=False) as axiom:
        yield axiom


@pytest.fixture
def axiom(world: EmbeddedAxiom) -> Iterator[EmbeddedAxiom]:
    yield world
    world.faults.clear()
    for host in world.hosts:
        host.heal()
        host.approved.clear()
        host.approve_after = None


def eventually(probe: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not probe():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def ssh(
    axiom: EmbeddedAxiom, name: str, command: str, *options: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """OpenSSH's client, with nothing but the file that the simulator has written."""
    words = ["ssh", "-F", str(axiom.hosts.ssh_config), "-o", "BatchMode=yes", *options, name, command]
    return subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=60, check=False)


class Connected:
    """paramiko's client, with each banner at once."""

    def __init__(self, port: int) -> None:
        self.banners: list[str] = []
        banners = self.banners

        class Listening(AuthHandler):
            def _parse_userauth_banner(self, message: Any) -> None:
                banners.append(message.get_text())

        self.transport = paramiko.Transport(socket.create_connection(("127.0.0.1", port), SECONDS))
        try:
            self.transport.start_client(timeout=SECONDS)
        except BaseException:
            self.close()
            raise
        self._handler = Listening

    def log_in(self, user: str = USER, password: str | None = None, key: paramiko.PKey | None = None) -> bool:
        done = threading.Event()
        handler = self._handler(self.transport)
        self.transport.auth_handler = handler
        if password is not None:
            handler.auth_password(user, password, done)
        elif key is not None:
            handler.auth_publickey(user, key, done)
        else:
            handler.auth_none(user, done)
        while not done.wait(0.05):
            if not self.transport.is_active():
                return False
        return self.transport.is_authenticated()

    def run(self, command: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
        channel = self.transport.open_session(timeout=SECONDS)
        channel.settimeout(SECONDS)
        channel.exec_command(command)
        channel.sendall(stdin)
        channel.shutdown_write()
        output, errors = channel.makefile("rb").read(), channel.makefile_stderr("rb").read()
        status = channel.recv_exit_status()
        channel.close()
        return status, output, errors

    def close(self) -> None:
        self.transport.packetizer.complete_handshake()
        self.transport.close()
        self.transport.join(SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ending: object) -> None:
        self.close()


class Client(Connected):
    """Connected to a host of the world."""

    def __init__(self, axiom: EmbeddedAxiom, name: str) -> None:
        super().__init__(axiom.hosts.port(name))


# --- finding the hosts ----------------------------------------------------------------------------------


def test_the_settings_lead_to_the_hosts(axiom: EmbeddedAxiom) -> None:
    settings = config.load(axiom.settings).settings
    assert settings.ssh.config_file == axiom.hosts.ssh_config
    assert settings.ssh.known_hosts == axiom.hosts.known_hosts
    assert len(settings.join.install_sha256) == 64
    known = paramiko.SSHConfig.from_path(str(settings.ssh.config_file))
    device = axiom.world.tailnet.get(NEWCOMER)
    for name in (NEWCOMER, f"{NEWCOMER}.crocodile-bee.ts.net", *device.addresses):
        found = known.lookup(name)
        assert (found["hostname"], found["user"]) == ("127.0.0.1", USER)
        assert int(found["port"]) == axiom.hosts.port(NEWCOMER)
    assert {known.lookup(machine.tailnet_ip)["hostname"] for machine in axiom.world.machines()} == {
        "127.0.0.1"
    }
    assert axiom.hosts.ssh_config.stat().st_mode & 0o777 == 0o600


def test_a_big_world_has_hosts_for_its_servers_and_newcomers_alone(tmp_path: Path) -> None:
    axiom = EmbeddedAxiom(tmp_path / "axiom", nodes=500, alive=False)
    names = {host.computer.name for host in axiom.hosts}
    assert {"m-o-1", "m-o-3", NEWCOMER, PLAIN} <= names
    assert not any(name.startswith("wall-a") for name in names)
    axiom.stop()


def test_a_new_name_is_found_in_the_file(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[ARM]
    run_on(host, "hostnamectl set-hostname WALL-A-77", user="root")
    assert axiom.world.tailnet.get("wall-a-77").host_name == "WALL-A-77"
    eventually(lambda: "wall-a-77.crocodile-bee.ts.net" in axiom.hosts.ssh_config.read_text(), "the new name")
    run_on(host, f"hostnamectl set-hostname {ARM}", user="root")
    eventually(lambda: "wall-a-77" not in axiom.hosts.ssh_config.read_text(), "the old name")
    taken = "hostnamectl set-hostname pixel"
    run_on(host, taken, user="root")
    assert host.device is not None
    assert host.device.name == "pixel-1"
    run_on(host, f"hostnamectl set-hostname {ARM}", user="root")


# --- OpenSSH --------------------------------------------------------------------------------------------


@needs_ssh
def test_openssh_logs_in_to_tailscale_without_a_key_and_checks_the_host(axiom: EmbeddedAxiom) -> None:
    done = ssh(axiom, NEWCOMER, "id -un; echo oops >&2; exit 3", "-o", "StrictHostKeyChecking=yes")
    assert (done.returncode, done.stdout, done.stderr) == (3, f"{USER}\n", "oops\n")
    by_address = axiom.world.tailnet.get(NEWCOMER).ipv4
    assert ssh(axiom, by_address, "uname -m").stdout == "x86_64\n"
    assert ssh(axiom, ARM, "uname -m").stdout == "aarch64\n"
    assert ssh(axiom, "m-o-1", "hostname").stdout == "M-O-1\n"


@needs_ssh
def test_openssh_feeds_a_command_to_its_end(axiom: EmbeddedAxiom) -> None:
    text = "".join(f"line {number}\n" for number in range(30_000))
    done = ssh(axiom, NEWCOMER, "cat; echo end", stdin=text)
    assert done.stdout == text + "end\n"
    assert ssh(axiom, NEWCOMER, "head -n 1", stdin=text).stdout == "line 0\n"


@needs_ssh
def test_openssh_refuses_a_changed_host_key(axiom: EmbeddedAxiom) -> None:
    axiom.hosts[NEWCOMER].fault("host-key-changed")
    done = ssh(axiom, NEWCOMER, "true")
    assert done.returncode == 255
    assert "HOST IDENTIFICATION HAS CHANGED" in done.stderr


@needs_ssh
def test_openssh_shows_the_banner_of_check_mode_and_waits(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    host.fault("host-check-mode")
    host.approve_after = 0.2
    done = ssh(axiom, NEWCOMER, "echo in")
    assert done.stdout == "in\n"
    assert "https://login.tailscale.com/a/" in done.stderr
    assert "Authentication checked with Tailscale SSH" in done.stderr
    assert ssh(axiom, NEWCOMER, "echo again").stderr == ""  # approved for a while


@needs_ssh
def test_openssh_with_a_key_of_its_own(axiom: EmbeddedAxiom, tmp_path: Path) -> None:
    host = axiom.hosts[PLAIN]
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    host.furnish()
    with_key = ("-i", str(key), "-o", "StrictHostKeyChecking=accept-new")
    assert ssh(axiom, PLAIN, "true", *with_key).returncode == 255
    line = key.with_suffix(".pub").read_text()
    run_on(host, "umask 077; mkdir -p .ssh; cat >.ssh/authorized_keys", line.encode())
    assert ssh(axiom, PLAIN, "id -un", *with_key).stdout == f"{USER}\n"
    run_on(host, "rm .ssh/authorized_keys")


# --- the ways in ----------------------------------------------------------------------------------------


def test_identification_and_host_key_are_the_device_s_own(axiom: EmbeddedAxiom) -> None:
    with Client(axiom, NEWCOMER) as client:
        assert client.transport.remote_version == "SSH-2.0-Tailscale"
        key = client.transport.get_remote_server_key()
        published = ssh_host_key(axiom.world.tailnet.get(NEWCOMER).host_key_seed)
        assert f"{key.get_name()} {key.get_base64()}" == published
    with Client(axiom, PLAIN) as client:
        assert client.transport.remote_version.startswith("SSH-2.0-OpenSSH")


def test_check_mode_blocks_until_somebody_approves(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    host.fault("host-check-mode")
    result: list[bool] = []
    with Client(axiom, NEWCOMER) as client:
        login = threading.Thread(target=lambda: result.append(client.log_in()))
        login.start()
        eventually(lambda: client.banners, "the first banner")
        assert not result
        assert "To authenticate, visit: https://login.tailscale.com/a/" in client.banners[0]
        host.approve()
        login.join(SECONDS)
        assert result == [True]
        assert len(client.banners) == 2
        assert client.run("echo in")[1] == b"in\n"


def test_a_login_that_waits_ends_with_its_client(axiom: EmbeddedAxiom) -> None:
    axiom.hosts[NEWCOMER].fault("host-check-mode")
    client = Client(axiom, NEWCOMER)
    threads = [item for item in threading.enumerate() if item.name == f"ssh-{NEWCOMER}"]
    login = threading.Thread(target=client.log_in)
    login.start()
    eventually(lambda: client.banners, "the banner")
    client.close()
    login.join(SECONDS)
    eventually(lambda: not any(thread.is_alive() for thread in threads), "the server's thread to end")


def test_check_mode_of_the_whole_world_approves_itself(axiom: EmbeddedAxiom) -> None:
    axiom.faults.set("host-check-mode", delay=0.1, path="ubuntu")
    with Client(axiom, NEWCOMER) as client:
        assert client.log_in()
        assert len(client.banners) == 2
    with Client(axiom, "m-o-1") as client:
        assert client.log_in()
        assert client.banners == []


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("root", 'tailscale: tailnet policy does not permit you to SSH as user "root"'),
        ("nobody", 'tailscale: failed to look up local user "nobody"'),
    ],
)
def test_refusals_say_why_by_banner_and_close(axiom: EmbeddedAxiom, user: str, reason: str) -> None:
    with Client(axiom, NEWCOMER) as client:
        assert not client.log_in(user)
        assert client.banners == [f"{reason}\n"]
        eventually(lambda: not client.transport.is_active(), "the end of the connection")


def test_the_policy_can_refuse_everybody(axiom: EmbeddedAxiom) -> None:
    axiom.hosts[NEWCOMER].fault("host-policy")
    with Client(axiom, NEWCOMER) as client:
        assert not client.log_in()
        assert "does not permit" in client.banners[0]


def test_tailscale_takes_any_password_and_sshd_only_the_right_one(axiom: EmbeddedAxiom) -> None:
    with Client(axiom, NEWCOMER) as client:
        assert client.log_in(password="anything")
    with Client(axiom, PLAIN) as client:
        assert not client.log_in(password="wrong")
        assert client.log_in(password=PASSWORD)
        assert client.run("id -un")[1] == f"{USER}\n".encode()
    with Client(axiom, PLAIN) as client:
        assert not client.log_in()
        assert client.transport.is_active()  # it may try something else


def test_a_second_service_request_ends_a_connection_to_tailscale(axiom: EmbeddedAxiom) -> None:
    with Client(axiom, PLAIN) as client:
        client.log_in(password="wrong")
        assert client.log_in(password=PASSWORD)  # each attempt of this client begins with one
    axiom.hosts[NEWCOMER].fault("host-check-mode")
    with Client(axiom, NEWCOMER) as client:
        message = paramiko.Message()
        message.add_byte(paramiko.common.cMSG_SERVICE_REQUEST)
        message.add_string("ssh-userauth")
        for _ in range(2):
            client.transport._send_message(message)  # type: ignore[attr-defined]
        eventually(lambda: not client.transport.is_active(), "the end of the connection")


def test_an_unapproved_device_is_reached_once_it_is_approved(axiom: EmbeddedAxiom) -> None:
    name = "pi5-keller"
    with socket.create_connection(("127.0.0.1", axiom.hosts.port(name)), SECONDS) as connection:
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    axiom.world.tailnet.change(name, authorized=True)
    with Client(axiom, name) as client:
        assert client.log_in(password=PASSWORD)
        assert b"bookworm" in client.run("cat /etc/os-release")[1]
    axiom.world.tailnet.change(name, authorized=False)


# --- channels -------------------------------------------------------------------------------------------


def test_several_channels_at_once(axiom: EmbeddedAxiom) -> None:
    with Client(axiom, NEWCOMER) as client:
        assert client.log_in()
        waiting = client.transport.open_session(timeout=SECONDS)
        waiting.exec_command("read x; echo got $x")
        assert client.run("echo other")[1] == b"other\n"
        waiting.sendall(b"it\n")
        assert waiting.makefile("rb").read() == b"got it\n"
        assert waiting.recv_exit_status() == 0
        waiting.close()


def test_streams_are_apart_and_a_terminal_joins_them(axiom: EmbeddedAxiom) -> None:
    with Client(axiom, NEWCOMER) as client:
        assert client.log_in()
        assert client.run("echo out; echo err >&2") == (0, b"out\n", b"err\n")
        channel = client.transport.open_session(timeout=SECONDS)
        channel.get_pty()
        channel.exec_command("echo out; echo err >&2")
        assert channel.makefile("rb").read() == b"out\r\nerr\r\n"
        channel.close()


def test_a_closed_channel_ends_what_reads_from_it(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    with Client(axiom, NEWCOMER) as client:
        assert client.log_in()
        channel = client.transport.open_session(timeout=SECONDS)
        channel.exec_command("cat >/dev/null; echo ended >/tmp/channel-ended")
        channel.close()
        eventually(lambda: host.files.find("/tmp/channel-ended") is not None, "the end of the input")


def test_the_end_of_a_connection_to_tailscale_ends_its_commands(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    client = Client(axiom, NEWCOMER)
    assert client.log_in()
    channel = client.transport.open_session(timeout=SECONDS)
    channel.exec_command("sleep 3600")
    eventually(lambda: _is_running(host, "sleep 3600"), "the command to run")
    client.close()
    eventually(lambda: not _is_running(host, "sleep 3600"), "the command to end")


def _is_running(host: Host, command: str) -> bool:
    with host.kernel.changed:
        return any(" ".join(process.arguments) == command for process in host.kernel.processes.values())


def test_large_output_waits_for_its_reader(axiom: EmbeddedAxiom) -> None:
    with Client(axiom, NEWCOMER) as client:
        assert client.log_in()
        status, output, _ = client.run("i=0; while [ $i -lt 600 ]; do printf '%08192d' $i; i=$((i+1)); done")
        assert (status, len(output)) == (0, 600 * 8192)


# --- faults ---------------------------------------------------------------------------------------------


def test_a_connection_is_dropped_in_the_middle(axiom: EmbeddedAxiom) -> None:
    axiom.hosts[NEWCOMER].fault("host-drop", delay=1, times=1)
    with Client(axiom, NEWCOMER) as client:
        assert client.log_in()
        channel = client.transport.open_session(timeout=SECONDS)
        channel.exec_command("echo begun; sleep 3600; echo done")
        assert channel.makefile("rb").read() == b"begun\n"
        assert channel.recv_exit_status() == -1
        assert not client.transport.is_active()
    with Client(axiom, NEWCOMER) as client:
        assert client.log_in()
        assert client.run("echo fine")[1] == b"fine\n"


def test_a_slow_host_is_slow(axiom: EmbeddedAxiom) -> None:
    axiom.hosts[NEWCOMER].fault("host-slow", delay=0.3)
    with Client(axiom, NEWCOMER) as client:
        assert client.log_in()
        began = time.monotonic()
        assert client.run("echo slow")[1] == b"slow\n"
        assert time.monotonic() - began >= 0.3


def test_a_refusing_host_closes_at_once(axiom: EmbeddedAxiom) -> None:
    axiom.hosts[NEWCOMER].fault("host-refuse")
    with pytest.raises((paramiko.SSHException, OSError, EOFError)):
        Client(axiom, NEWCOMER)


def test_stopping_ends_everything_that_is_open(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    axiom = EmbeddedAxiom(tmp_path / "axiom", alive=False)
    axiom.start()
    axiom.hosts[ARM].fault("host-check-mode")
    waiting, working = Client(axiom, ARM), Client(axiom, NEWCOMER)
    login = threading.Thread(target=waiting.log_in)
    login.start()
    assert working.log_in()
    channel = working.transport.open_session(timeout=SECONDS)
    channel.exec_command("sleep 3600 | cat & sleep 3600; read x")
    eventually(lambda: _is_running(axiom.hosts[NEWCOMER], "sleep 3600"), "the command to run")
    axiom.stop()
    eventually(lambda: not working.transport.is_active(), "the end of the connection")
    login.join(SECONDS)
    waiting.close()
    working.close()
    assert not [
        item for item in threading.enumerate() if item not in before and item.name.startswith(("host", "ssh"))
    ]


# --- sudo -----------------------------------------------------------------------------------------------


def test_sudo_with_a_password(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    right = f"{PASSWORD}\n".encode()
    assert run_on(host, "sudo -n true") == (1, "", "sudo: a password is required\n")
    assert run_on(host, "sudo -k -S -p 'now: ' id -un", right) == (0, "root\n", "now: ")
    assert run_on(host, "sudo -k -S -p '' -- sh -s", right + b"id -un\npwd\n")[1] == f"root\n/home/{USER}\n"
    status, _, said = run_on(host, "sudo -S -p '' -v", b"wrong\nworse\nworst\n")
    assert status == 1
    assert said == "Sorry, try again.\nSorry, try again.\nsudo: 3 incorrect password attempts\n"
    assert "no password was provided" in run_on(host, "sudo -S -p '' true")[2]
    assert "a terminal is required" in run_on(host, "sudo true")[2]


def test_sudo_remembers_within_one_shell_and_no_further(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    right = f"{PASSWORD}\n".encode()
    assert run_on(host, "sudo -S -p '' -v && sudo -n id -un", right)[1] == "root\n"
    assert run_on(host, "sudo -n id -un")[0] == 1
    assert run_on(host, "sudo -S -p '' -v; sudo -k; sudo -n true", right)[0] == 1
    # With -k a password is always read, and what follows it is the command's.
    assert run_on(host, "sudo -S -p '' -v; sudo -k -S -p '' cat", right + right + b"rest")[1] == "rest"


def test_a_password_that_nobody_asked_for_reaches_the_command(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[ARM]  # NOPASSWD
    assert run_on(host, "sudo -S -p '' cat", b"secret\n")[1] == "secret\n"
    assert run_on(host, "sudo -n id -u")[1] == "0\n"


def test_sudo_refuses_who_is_not_in_sudoers(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts["no-sudo"]
    status, _, said = run_on(host, "sudo -S -p '' true", f"{PASSWORD}\n".encode())
    assert (status, said) == (1, f"{USER} is not in the sudoers file.  This incident will be reported.\n")


def test_sudo_can_be_told_to_take_no_password(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    host.fault("host-sudo-password")
    assert run_on(host, "sudo -S -p '' -v", f"{PASSWORD}\n".encode())[0] == 1


def test_what_everyone_can_see_is_kept(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    run_on(host, "echo seen-by-all >/dev/null; sudo -k -S -p '' env HIDDEN=in-the-environment true", b"x")
    run_on(host, "read x; echo $x >/dev/null; sudo -k -S -p '' -v", f"unseen\n{PASSWORD}\n".encode())
    run_on(host, "logger said-to-the-log")
    traces = host.traces()
    for seen in ("seen-by-all", "in-the-environment", "said-to-the-log"):
        assert seen in traces
    assert "unseen" not in traces
    assert PASSWORD not in traces


def test_keys_are_read_as_openssh_writes_them(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[PLAIN]
    host.furnish()
    key = paramiko.ECDSAKey.generate()
    line = f"{key.get_name()} {base64.b64encode(key.asbytes()).decode()} me@laptop\n"
    run_on(host, "mkdir -p .ssh; cat >.ssh/authorized_keys", line.encode())
    with Client(axiom, PLAIN) as client:
        assert not client.log_in(key=paramiko.ECDSAKey.generate())
    with Client(axiom, PLAIN) as client:
        assert client.log_in(key=key)
    assert io.StringIO(line).readline().endswith("laptop\n")
    run_on(host, "rm .ssh/authorized_keys")


def test_the_child_process_can_be_told_to_approve(tmp_path: Path) -> None:
    child = subprocess.Popen(
        child_command(tmp_path / "axiom", still=True, faults=["host-check-mode:delay=3600"]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child, child.stdin as orders, child.stdout as replies:
        found = json.loads(replies.readline())
        for order, answer in {f"approve {NEWCOMER}": {"ok": True}, "approve nobody": None}.items():
            orders.write(f"{order}\n")
            orders.flush()
            said = json.loads(replies.readline())
            assert said == answer or "no host" in said["error"]
        known = paramiko.SSHConfig.from_path(found["ssh_config"]).lookup(NEWCOMER)
        with Connected(int(known["port"])) as client:
            assert client.log_in()
