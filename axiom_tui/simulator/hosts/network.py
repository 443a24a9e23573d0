"""What a simulated host can reach: names, addresses, and the few pages that a join needs."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from axiom_tui.model.naming import Role
from axiom_tui.simulator.cast import K3S_VERSION, Machine
from axiom_tui.simulator.hosts.install_script import INSTALL_SCRIPT
from axiom_tui.simulator.hosts.program import MARK
from axiom_tui.simulator.nodes import API_HOST

if TYPE_CHECKING:
    from axiom_tui.simulator.hosts.host import Host

API_PORT = 6443
METADATA = "169.254.169.254"
#: Places on the internet that the simulated world has, with an address of the documentation ranges.
PUBLIC_NAMES = {
    "get.k3s.io": "203.0.113.10",
    "github.com": "203.0.113.11",
    "update.k3s.io": "203.0.113.12",
    "api.ipify.org": "203.0.113.13",
    "ifconfig.me": "203.0.113.14",
    "icanhazip.com": "203.0.113.15",
    "ipv4.icanhazip.com": "203.0.113.16",
    "pkgs.tailscale.com": "203.0.113.17",
    "login.tailscale.com": "203.0.113.18",
    "controlplane.tailscale.com": "203.0.113.19",
}
_SAY_WHO_ASKS = ("api.ipify.org", "ifconfig.me", "icanhazip.com", "ipv4.icanhazip.com")
_RELEASE = re.compile(r"/k3s-io/k3s/releases/download/(v1\.\d+\.\d+\+k3s\d+)/([\w.-]+)")


class Unresolved(Exception):
    """The name has no address."""


class Unreachable(Exception):
    """Nothing came of a connection; ``slow``: nobody answered at all."""

    def __init__(self, text: str, *, slow: bool) -> None:
        super().__init__(text)
        self.slow = slow


@dataclass(frozen=True, slots=True)
class Page:
    """An answer. ``authority`` is the PEM of who signed the certificate, "" for one that all trust."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    authority: str = ""


def k3s_binary(version: str, architecture: str) -> bytes:
    """What stands for the K3s program of a release."""
    return MARK + f"k3s {version} {architecture}\n".encode()


class Network:
    """The network as one host sees it."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def addresses(self, name: str) -> tuple[str, ...]:
        """What a name resolves to on this host. Raises Unresolved."""
        host, folded = self._host, name.rstrip(".").lower()
        if re.fullmatch(r"[\d.]+|[0-9a-f:]*:[0-9a-f:]*", folded):
            return (folded,)
        for line in host.files.read("/etc/hosts").decode().splitlines():
            address, *names = line.partition("#")[0].split() or [""]
            if folded in [item.lower() for item in names]:
                return (address,)
        if folded == API_HOST:
            return host.hosts.api_addresses
        if folded in PUBLIC_NAMES:
            return (PUBLIC_NAMES[folded],)
        tailnet = host.world.tailnet
        first, _, suffix = folded.partition(".")
        if host.is_in_tailnet and suffix in ("", tailnet.suffix):
            device = tailnet.find(first)
            if device is not None and device.name == first and device.authorized:
                return device.addresses
        raise Unresolved(name)

    def server_at(self, address: str) -> Machine | None:
        """The cluster's server with this address."""
        for machine in self._host.world.machines():
            if machine.role is Role.SERVER and address in (machine.tailnet_ip, machine.public_ip):
                return machine
        return None

    def connect(self, address: str, port: int) -> None:
        """Raises Unreachable unless something answers there."""
        host = self._host
        where = f"{address} port {port}"
        if address in PUBLIC_NAMES.values():
            return
        if address == METADATA and host.computer.place in ("hetzner", "infomaniak"):
            if host.find_fault("host-metadata-silent"):
                raise Unreachable(f"{where}: Connection timed out", slow=True)
            return
        if address in ("127.0.0.1", *host.addresses()):
            if port in host.listening():
                return
            raise Unreachable(f"{where}: Connection refused", slow=False)
        device = host.world.tailnet.find(address) if address.startswith("100.") else None
        if device is not None and (not host.is_in_tailnet or not device.online):
            raise Unreachable(f"{where}: Connection timed out", slow=True)
        machine = self.server_at(address)
        if machine is None:
            raise Unreachable(f"{where}: Connection timed out", slow=True)
        faults = host.world_faults
        if host.find_fault("host-api-unreachable") or faults.find("hang"):
            raise Unreachable(f"{where}: Connection timed out", slow=True)
        if port != API_PORT or faults.find("refuse") or not host.world.is_ready(machine.node_name):
            raise Unreachable(f"{where}: Connection refused", slow=False)

    def get(self, url: str) -> Page:
        """Ask for a page; raises Unresolved and Unreachable."""
        parts = urlsplit(url)
        name = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        failed: Unreachable | None = None
        for address in self.addresses(name):
            try:
                self.connect(address, port)
            except Unreachable as error:
                failed = error
                continue
            return self._page(name, address, port, unquote(parts.path) or "/")
        raise failed or Unresolved(name)

    def _page(self, name: str, address: str, port: int, path: str) -> Page:
        host = self._host
        if port == API_PORT and self.server_at(address) is not None:
            return self._api_page(path)
        if address == METADATA:
            return self._metadata(path)
        if name == "get.k3s.io":
            return Page(200, INSTALL_SCRIPT.encode(), {"Content-Type": "text/plain"})
        if name in _SAY_WHO_ASKS:
            return Page(200, f"{host.outside_address()}\n".encode(), {"Content-Type": "text/plain"})
        if name == "update.k3s.io" and path.startswith("/v1-release/channels/"):
            release = f"https://github.com/k3s-io/k3s/releases/tag/{K3S_VERSION}"
            return Page(302, headers={"Location": release})
        if name == "github.com":
            return _release(path)
        return Page(200 if path == "/" else 404, b"")

    def _api_page(self, path: str) -> Page:
        """K3s' supervisor: the API server itself answers nobody without credentials."""
        hosts = self._host.hosts
        headers = {"Date": format_datetime(hosts.cluster_clock(), usegmt=True)}
        authority = hosts.secrets.authority
        if hosts.faults.find("broken"):
            return Page(500, b"Internal Server Error\n", headers, authority)
        if path == "/ping":
            return Page(200, b"pong", headers, authority)
        if path == "/cacerts":
            return Page(200, authority.encode(), headers, authority)
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        status |= {"message": "Unauthorized", "reason": "Unauthorized", "code": "401"}
        return Page(401, json.dumps(status | {"code": 401}).encode(), headers, authority)

    def _metadata(self, path: str) -> Page:
        computer = self._host.computer
        if self._host.find_fault("host-metadata-garbage"):
            return Page(200, b"<html><body>Sign in to the hotel's network</body></html>")
        # OpenStack names only what it translates; an address on the host's own port is none of that.
        fixed = computer.public_ip if computer.place == "hetzner" else ""
        facts = {
            "public-ipv4": computer.floating_ip or fixed,
            "hostname": computer.name,
            "local-ipv4": computer.lan_ip,
            "instance-id": str(10_000_000 + computer.number),
            "region": "eu-central",
        }
        # Hetzner has both its own paths and those of Amazon; OpenStack has the latter.
        prefix = "/latest/meta-data/"
        if computer.place == "hetzner" and path.startswith("/hetzner/v1/metadata/"):
            prefix = "/hetzner/v1/metadata/"
        found = facts.get(path.removeprefix(prefix)) if path.startswith(prefix) else None
        return Page(404, b"not found") if found is None else Page(200, found.encode())


def _release(path: str) -> Page:
    found = _RELEASE.fullmatch(path)
    if found is None:
        return Page(200 if path.startswith("/k3s-io/k3s/releases/tag/") else 404)
    version, name = found[1], found[2]
    binaries = {"k3s": k3s_binary(version, "amd64"), "k3s-arm64": k3s_binary(version, "arm64")}
    if name in binaries:
        return Page(200, binaries[name], {"Content-Type": "application/octet-stream"})
    sums = {"sha256sum-amd64.txt": "k3s", "sha256sum-arm64.txt": "k3s-arm64"}
    if name in sums:
        binary = sums[name]
        images = f"k3s-airgap-images-{name.partition('-')[2].removesuffix('.txt')}.tar.gz"
        lines = [
            f"{hashlib.sha256(images.encode()).hexdigest()}  {images}",
            f"{hashlib.sha256(binaries[binary]).hexdigest()}  {binary}",
        ]
        return Page(200, ("\n".join(lines) + "\n").encode(), {"Content-Type": "text/plain"})
    return Page(404)
