"""One simulated host: what it is, what is on it, who may log in, and what is wrong with it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from axiom_tui.model.naming import fold
from axiom_tui.simulator.cast import Machine
from axiom_tui.simulator.faults import Fault, Faults
from axiom_tui.simulator.hosts.files import ROOT, FileSystem, Kind, User
from axiom_tui.simulator.hosts.journal import Journal
from axiom_tui.simulator.hosts.kernel import Kernel, OpenFile, Process
from axiom_tui.simulator.hosts.network import Network
from axiom_tui.simulator.hosts.program import MARK, PROGRAMS, Failure, Run
from axiom_tui.simulator.hosts.shell import Shell
from axiom_tui.simulator.hosts.systemd import Systemd
from axiom_tui.simulator.tailnet import Device, stable_id
from axiom_tui.simulator.world import World

if TYPE_CHECKING:
    from axiom_tui.simulator.hosts.hosts import Hosts

USER = "technat"
#: The password of technat on every simulated host, for sudo and for a login by password.
PASSWORD = "crocodile"
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Access(StrEnum):
    """How one logs in."""

    TAILSCALE = "tailscale"  # auth "none", the tailnet's policy decides
    SSHD = "sshd"  # public keys of ~/.ssh/authorized_keys, and the password


class Sudo(StrEnum):
    """What sudo wants of technat."""

    PASSWORD = "password"
    NOPASSWD = "nopasswd"
    ABSENT = "absent"  # not in sudoers


@dataclass(frozen=True, slots=True)
class System:
    """A distribution: the fields of /etc/os-release, and its kernel."""

    id: str
    version: str
    codename: str
    pretty: str
    kernel: str


UBUNTU = System("ubuntu", "22.04", "jammy", "Ubuntu 22.04.5 LTS", "5.15.0-161-generic")
DEBIAN_10 = System("debian", "10", "buster", "Debian GNU/Linux 10 (buster)", "4.19.0-27-amd64")
DEBIAN_12 = System("debian", "12", "bookworm", "Debian GNU/Linux 12 (bookworm)", "6.1.0-40-arm64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Computer:
    """What a host is made of. ``number`` is that of its tailnet device, or one that no device has.

    ``machine`` is set for one that is a node when the world begins. ``free_mib`` is the room on its disk.
    ``floating_ip`` is a public address that its provider translates to it, and that is on no interface.
    """

    name: str
    number: int
    architecture: str = "amd64"
    system: System = UBUNTU
    place: str = "hetzner"
    public_ip: str = ""
    floating_ip: str = ""
    lan_ip: str = "192.168.178.44"
    cores: int = 2
    memory_mib: int = 3821
    disk_gib: int = 38
    free_mib: int = 33_410
    in_tailnet: bool = True
    access: Access = Access.TAILSCALE
    sudo: Sudo = Sudo.PASSWORD
    machine: Machine | None = None


class Host:
    """A running host. What is in force can be changed at any time: ``sudo``, ``password``, ``clock_offset``,
    ``listens_on`` (ports that something else has taken), and its own faults by `fault` and `heal`."""

    def __init__(self, computer: Computer, hosts: Hosts) -> None:
        self.computer = computer
        self.hosts = hosts
        self.name = computer.machine.name if computer.machine else computer.name
        self.sudo = computer.sudo
        self.password = PASSWORD
        self.clock_offset = timedelta()
        self.listens_on: set[int] = set()
        self.faults = Faults()
        self.approved = threading.Event()
        #: Seconds after which somebody logs in at the URL of check mode; None: only `approve` does.
        self.approve_after: float | None = None
        self.files = FileSystem(computer.disk_gib << 30, lambda: self.clock().timestamp())
        self.kernel = Kernel(self.files)
        self.journal = Journal(self.clock, self.kernel.changed)
        self.systemd = Systemd(self)
        self.network = Network(self)
        self.users = {
            "root": ROOT,
            USER: User(
                USER, 1000, (USER, *(() if computer.sudo is Sudo.ABSENT else ("sudo",))), f"/home/{USER}"
            ),
        }
        self.sudo_tickets: set[tuple[str, int]] = set()
        self.node_name = computer.machine.node_name if computer.machine else ""
        #: The node of a cluster that this host founded, which is none of the world's.
        self.founded = ""
        self.free_inodes = computer.disk_gib * 65_536 - 81_240
        self.swap_kib = 0
        self.firewall_on = False
        self.known_modules = {"br_netfilter", "overlay", "nf_conntrack", "iptable_nat", "wireguard", "vxlan"}
        self.known_modules |= {"ip_tables", "ip6_tables", "xt_socket", "xt_mark", "ip_set", "tun"}
        self.modules = {"tun", "ip_tables", "nf_conntrack"}
        self._furnished = False
        self._lock = threading.Lock()

    # what it is in the world

    @property
    def world(self) -> World:
        return self.hosts.world

    @property
    def world_faults(self) -> Faults:
        return self.hosts.faults

    @property
    def device(self) -> Device | None:
        """Its tailnet device, if it has one (still)."""
        if not self.computer.in_tailnet:
            return None
        return self.world.tailnet.find(stable_id(self.computer.number))

    @property
    def is_in_tailnet(self) -> bool:
        """Whether its tailnet address works now."""
        device = self.device
        return (
            device is not None
            and device.online
            and device.authorized
            and not device.is_expired(self.world.now())
        )

    def addresses(self) -> tuple[str, ...]:
        device = self.device
        own = (self.computer.lan_ip, self.computer.public_ip, *(device.addresses if device else ()))
        return tuple(address for address in own if address)

    def outside_address(self) -> str:
        """The address that others on the internet see."""
        return (self.computer.floating_ip or self.computer.public_ip) or (
            "178.197.200.14" if self.computer.place == "home" else "195.15.240.7"
        )

    def listening(self) -> set[int]:
        """The TCP ports that are taken."""
        ports = {22} if self.computer.access is Access.SSHD else set()
        for unit in ("k3s.service", "k3s-agent.service"):
            found = self.systemd.units.get(unit)
            if found is not None and found.active == "active":
                ports |= {6444, 10248, 10249, 10250, 10256}
                ports |= {6443, 2379, 2380, 2381, 2382, 10257, 10259} if unit == "k3s.service" else set()
        return ports | self.listens_on | ({10250, 6444} if self.find_fault("host-port-taken") else set())

    def clock(self) -> datetime:
        """The time that this host believes it is."""
        shift = self.find_fault("host-clock-skew")
        return datetime.now(UTC) + self.clock_offset + timedelta(seconds=shift.seconds if shift else 0)

    def paced(self, seconds: float) -> float:
        """How long it takes here what takes ``seconds`` in reality; never no time at all."""
        return max(0.02, seconds * self.hosts.pace)

    def rename(self, name: str) -> None:
        """Set the host name; tailscaled tells the control plane, and MagicDNS follows."""
        self.name = name
        self.files.write("/etc/hostname", f"{name}\n")
        device = self.device
        if device is not None:
            magic = self.hosts.free_name(fold(name), device)
            self.world.tailnet.change(device.id, host_name=name, name=magic)

    # what is wrong with it

    def fault(self, kind: str, **options: str | int | float) -> None:
        """Break something on this host alone (kinds: `faults.HOST_KINDS`)."""
        self.faults.set(kind, **options)

    def heal(self, kind: str | None = None) -> None:
        """End one fault of this host, or all."""
        self.faults.clear(kind)

    def find_fault(self, kind: str) -> Fault | None:
        """This host's fault of a kind, or the whole world's (whose ``path`` names the host)."""
        return self.faults.find(kind) or self.hosts.faults.find(kind, self.computer.name)

    def take_fault(self, kind: str) -> Fault | None:
        """As `find_fault`, counted."""
        return self.faults.take(kind) or self.hosts.faults.take(kind, self.computer.name)

    def approve(self) -> None:
        """Log in at the URL of check mode: logins that wait, and later ones, go on."""
        self.approved.set()

    # programs

    def furnish(self) -> None:
        """Put everything on the disk that is there from the beginning. Done when it is first needed."""
        from axiom_tui.simulator.hosts.furniture import furnish

        with self._lock:
            if not self._furnished:
                self._furnished = True
                furnish(self)
                self.files.free = self.computer.free_mib << 20

    def home_of(self, name: str) -> str:
        user = self.users.get(name)
        return user.home if user else ""

    def find_program(self, name: str, process: Process, search_path: str) -> str | None:
        """The path of a program, as a shell finds it; None if there is none."""
        if "/" in name:
            entry = self.files.find(process.path(name), process.user)
            return name if entry is not None else None
        unfit = None
        for directory in (search_path or SEARCH_PATH).split(":"):
            path = f"{process.path(directory) if directory else process.directory}/{name}"
            entry = self.files.find(path, process.user)
            if entry is not None and entry.kind is not Kind.DIRECTORY:
                if entry.allows(process.user, 1):
                    return path
                unfit = unfit or path
        return unfit

    def is_executable(self, path: str, process: Process) -> bool:
        entry = self.files.find(process.path(path), process.user)
        return entry is not None and entry.kind is Kind.FILE and entry.allows(process.user, 1)

    def execute(self, process: Process, words: Sequence[str], path: str) -> int:
        """Run a program in the place of what the process was; its exit status."""
        process.trapped.clear()
        process.arguments = tuple(words)
        self.kernel.remember(process)
        content = self.files.read(process.path(path))
        if content.startswith(MARK):
            name, *binary = content[len(MARK) :].decode().split()
            run = Run(self, process, words[0].rpartition("/")[2], tuple(words[1:]), tuple(binary))
            return _run_program(name, run)
        if content.startswith(b"#!") and b"sh" not in content.split(b"\n")[0]:
            process.write(2, f"{words[0]}: cannot execute: required file not found\n".encode())
            return 126
        if not process.user.is_root and not self.files.entry(process.path(path)).allows(process.user, 4):
            process.write(2, f"sh: 0: cannot open {path}: Permission denied\n".encode())
            return 2
        shell = Shell(self, process, words[0], words[1:])
        return shell.run_text(content.decode(errors="surrogateescape"))

    def login(self, user: User, command: str, files: dict[int, OpenFile], origin: str = "") -> Process:
        """Start a command as the SSH server does for a user who has logged in."""
        self.furnish()
        environment = {
            "HOME": user.home,
            "LOGNAME": user.name,
            "PATH": SEARCH_PATH,
            "SHELL": "/bin/sh",
            "USER": user.name,
            "LANG": "C.UTF-8",
            "SSH_CLIENT": origin,
            "SSH_CONNECTION": origin,
        }
        words = ("sh", "-c", command)

        def main(process: Process) -> int:
            process.directory = user.home
            return self.execute(process, words, "/usr/bin/sh")

        if self.computer.access is Access.TAILSCALE:
            # tailscaled logs what it is told to run, arguments and all (services.md, 0.6).
            text = f"ssh-session: starting non-pty command: tailscaled be-child ssh --cmd={command}"
            self.journal.write("tailscaled.service", text)
        return self.kernel.spawn(
            main, files=files, arguments=words, environment=environment, user=user, leads_session=True
        )

    def traces(self) -> str:
        """Everything that was ever to be seen of what ran: command lines, environments, logs, histories.

        Nothing secret may stand here, whatever was done.
        """
        seen = [
            f"{item.user} {item.pid} {' '.join(item.arguments)} {dict(item.environment)}"
            for item in list(self.kernel.history)
        ]
        seen += [f"{record.unit} {record.message}" for record in self.journal.records()]
        for path, entry in self.files.walk("/"):
            if entry.kind is Kind.FILE and (path.startswith("/var/log/") or path.endswith("_history")):
                seen.append(f"{path} {entry.content.decode(errors='replace')}")
        return "\n".join(seen)

    def stop(self) -> None:
        self.approved.set()
        self.kernel.stop()


def _run_program(name: str, run: Run) -> int:
    """Run a program of the table; what goes wrong in it is said as such programs say it."""
    import axiom_tui.simulator.hosts.programs  # noqa: F401  (fills the table)

    try:
        return PROGRAMS[name](run)
    except Failure as failure:
        if str(failure):
            run.complain(str(failure))
        return failure.status
    except OSError as error:
        run.complain(
            f"{error.filename}: {error.strerror}" if error.filename else f"write error: {error.strerror}"
        )
        return 1
