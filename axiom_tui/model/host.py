"""What is known of a host before it joins: the facts that the preflight rules judge."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from axiom_tui.model.node import is_public_ip, is_tailnet_ip
from axiom_tui.model.problem import Problem
from axiom_tui.model.tailnet import PathKind

#: What ``uname -m`` says, as Kubernetes names it; K3s has releases for exactly these two (and old arm).
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface; ``addresses`` are without the length of their prefix."""

    name: str
    mtu: int = 0
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Volume:
    """The file system that a path lies on, in bytes and inodes; 0 inodes: it does not count them (btrfs)."""

    path: str
    size: int = 0
    free: int = 0
    inodes: int = 0
    free_inodes: int = 0


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that listens; ``process`` is only known to root."""

    protocol: str  # "tcp" or "udp"
    address: str
    port: int
    process: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request of the host got. ``status`` 0: no HTTP answer, ``error`` says why.

    ``date`` is the server's clock, ``here`` the host's own at that moment, ``seconds`` the time to connect.
    """

    status: int = 0
    body: str = ""
    error: str = ""
    date: datetime | None = None
    here: datetime | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ProviderView:
    """The public IPv4 of the host as its provider's metadata service names it.

    ``name`` is how the provider shows itself in the host's DMI, "" for none that could be asked.
    ``error`` says why there is no answer; without it an empty ``address`` means that the provider names none.
    """

    name: str = ""
    address: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class ServerPath:
    """How the host reaches a server over the tailnet; ``milliseconds`` None: no answer."""

    address: str
    kind: PathKind = PathKind.UNKNOWN
    via: str = ""  # "ip:port" when direct, else the relay
    milliseconds: float | None = None


@dataclass(frozen=True, slots=True)
class TailscaleState:
    """Tailscale on the host itself. ``backend`` "" : not installed or not running."""

    installed: bool = False
    backend: str = ""
    version: str = ""
    id: str = ""
    name: str = ""  # MagicDNS name, first label
    addresses: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    key_expiry: datetime | None = None
    expired: bool = False
    runs_ssh: bool | None = None
    routes: tuple[str, ...] = ()  # advertised
    health: tuple[str, ...] = ()

    @property
    def ipv4(self) -> str:
        return next((ip for ip in self.addresses if "." in ip), "")


@dataclass(frozen=True, slots=True)
class K3sState:
    """What of K3s is there. ``units`` are its systemd units with their state, ``urls`` the servers that its
    files name, ``found`` the paths that exist."""

    version: str = ""
    units: tuple[tuple[str, str], ...] = ()
    urls: tuple[str, ...] = ()
    found: tuple[str, ...] = ()

    def state(self, unit: str) -> str:
        """ "" for a unit that is not there."""
        return dict(self.units).get(unit, "")

    @property
    def running(self) -> tuple[str, ...]:
        return tuple(name for name, state in self.units if state in ("active", "activating", "reloading"))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """All facts of one host. What could not be found out is empty, 0 or None, never guessed.

    ``memory`` and ``swap`` are in bytes. ``sudo_path`` is the PATH that sudo gives ("" without root), and
    ``no_root`` why there is no root. ``modules`` are loaded or part of the kernel.
    """

    host_name: str = ""
    user: str = ""
    is_root: bool = False
    no_root: Problem | None = None
    machine_id: str = ""
    vendor: str = ""
    machine: str = ""  # as uname says it
    kernel: str = ""
    os_id: str = ""
    os_version: str = ""
    os_name: str = ""
    cpus: int = 0
    memory: int = 0
    swap: int = 0
    cgroup_version: int = 0
    cgroup_controllers: tuple[str, ...] = ()
    volumes: tuple[Volume, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    default_routes: tuple[str, ...] = ()  # devices
    provider: ProviderView = field(default_factory=ProviderView)
    listeners: tuple[Listener, ...] = ()
    ufw: str = ""  # active, inactive, "" = not there
    firewalld: str = ""
    modules: tuple[str, ...] = ()
    missing_modules: tuple[str, ...] = ()  # asked for, neither loaded nor to be had
    sysctls: tuple[tuple[str, str], ...] = ()
    clock: datetime | None = None
    clock_synchronized: bool | None = None
    sudo_path: str = ""
    commands: tuple[str, ...] = ()  # those that are there, of the ones that a join needs
    api_addresses: tuple[str, ...] = ()
    api_ping: Answer = field(default_factory=Answer)
    api_ca: Answer = field(default_factory=Answer)
    install_script_sha256: str = ""
    install_script: Answer = field(default_factory=Answer)
    release: Answer = field(default_factory=Answer)
    tailscale: TailscaleState = field(default_factory=TailscaleState)
    server_paths: tuple[ServerPath, ...] = ()
    k3s: K3sState = field(default_factory=K3sState)
    whole: bool = False  # the script ran to its end

    @property
    def architecture(self) -> str:
        """``amd64``, ``arm64``, or what uname said."""
        return ARCHITECTURES.get(self.machine, self.machine)

    @property
    def own_public_addresses(self) -> tuple[str, ...]:
        """Global addresses on the host's own interfaces, IPv4 first."""
        own = [ip for interface in self.interfaces for ip in interface.addresses if is_public_ip(ip)]
        return tuple(sorted(dict.fromkeys(own), key=lambda ip: ":" in ip))

    @property
    def public_addresses(self) -> tuple[str, ...]:
        """Global addresses of the host, by its own view and by its provider's, IPv4 first."""
        named = (self.provider.address,) if self.provider.address else ()
        return tuple(sorted(dict.fromkeys((*self.own_public_addresses, *named)), key=lambda ip: ":" in ip))

    @property
    def proposed_public_address(self) -> str:
        """The public IPv4 to publish, "" for none: what the provider names, since it brings the packets
        here; else the host's own. The cluster is IPv4 alone (node-ip is the tailnet's IPv4)."""
        own = next((ip for ip in self.own_public_addresses if ":" not in ip), "")
        return self.provider.address or own

    @property
    def tailnet_ip(self) -> str:
        """The tailnet's IPv4, as tailscaled says or else as an interface has it; "" for none."""
        own = self.tailscale.ipv4 or next(
            (ip for interface in self.interfaces for ip in interface.addresses if _is_tailnet_v4(ip)), ""
        )
        return own if _is_tailnet_v4(own) else ""

    def sysctl(self, name: str) -> str:
        return dict(self.sysctls).get(name, "")

    def volume(self, path: str) -> Volume | None:
        """The file system on which the path would lie: that of its longest parent that was looked at."""
        fitting = [item for item in self.volumes if _holds(item.path, path)]
        return max(fitting, key=lambda item: len(item.path), default=None)

    def listening(self, ports: Iterable[int]) -> tuple[Listener, ...]:
        """Who holds one of these ports."""
        wanted = set(ports)
        return tuple(item for item in self.listeners if item.port in wanted)

    def interface_of(self, address: str) -> Interface | None:
        return next((item for item in self.interfaces if address in item.addresses), None)


def _is_tailnet_v4(text: str) -> bool:
    return is_tailnet_ip(text) and ipaddress.ip_address(text).version == 4


def _holds(parent: str, path: str) -> bool:
    return path == parent or path.startswith(parent.rstrip("/") + "/")
