"""All embedded hosts of a world: who they are, where their SSH listens, and how clients find them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from axiom_tui.model.naming import Role
from axiom_tui.simulator.faults import Faults
from axiom_tui.simulator.hosts.cluster import ClusterSecrets, node_password
from axiom_tui.simulator.hosts.computers import computers
from axiom_tui.simulator.hosts.host import USER, Access, Computer, Host
from axiom_tui.simulator.hosts.ssh_server import SshServer, host_key_seed
from axiom_tui.simulator.manifests import Manifest
from axiom_tui.simulator.nodes import API_HOST
from axiom_tui.simulator.tailnet import Device, ssh_host_key
from axiom_tui.simulator.world import NODES, World

JOIN_SECONDS = 3.0
RENAMED_WITHIN = 0.25  # seconds until a new name of the tailnet stands in ssh_config


class Hosts:
    """The hosts of a world, from `start` to `stop`.

    ``join_seconds`` is how long K3s takes from its start to Ready; with 0 nothing else takes its time
    either. ``authority`` is the certificate of the cluster's CA (PEM). Files go into ``directory``:
    `ssh_config` leads any client to the hosts, `known_hosts` is the admin's, empty at first, and
    `tailnet_known_hosts` has what Tailscale vouches for.
    """

    def __init__(
        self,
        world: World,
        faults: Faults,
        authority: str,
        directory: Path,
        *,
        join_seconds: float = JOIN_SECONDS,
    ) -> None:
        self.world = world
        self.faults = faults
        self.secrets = ClusterSecrets(world, authority)
        self.join_seconds = join_seconds
        self.api_name = API_HOST
        servers = [item for item in world.machines() if item.role is Role.SERVER]
        #: What the API's name resolves to: the records that the admin has set by hand.
        self.api_addresses = tuple(machine.tailnet_ip for machine in servers)
        self.ssh_config = directory / "ssh_config"
        self.known_hosts = directory / "known_hosts"
        self.tailnet_known_hosts = directory / "tailnet_known_hosts"
        self.is_stopping = False
        self._hosts = {computer.name: Host(computer, self) for computer in computers(world.machines())}
        for host in self:
            if host.computer.machine is not None:
                self.secrets.remember_node(host.node_name, node_password(host.computer.number))
        self._server = SshServer(self)
        self._seen = -1  # the tailnet's revision that the files tell of
        self._written = ""
        self._lock = threading.Lock()
        self._unsubscribe = world.store.subscribe(self._heard)

    @property
    def pace(self) -> float:
        """How fast time goes for what only waits: 1 as in reality, 0 at once."""
        return 1.0 if self.join_seconds > 0 else 0.0

    def __iter__(self) -> Iterator[Host]:
        return iter(tuple(self._hosts.values()))

    def __getitem__(self, name: str) -> Host:
        """A host by its first name, the name of its node or of its device now. KeyError if there is none."""
        for host in self:
            device = host.device
            if name in (host.computer.name, host.node_name, host.name, device.name if device else ""):
                return host
        raise KeyError(name)

    def add(self, computer: Computer) -> Host:
        """One more host, also while the others run. For tests."""
        host = Host(computer, self)
        with self._lock:
            self._hosts[computer.name] = host
        self._server.listen(host)
        self._seen = -1
        self.write_files()
        return host

    def start(self) -> None:
        """Listen, and write the files; SSH itself is only loaded when the first client comes."""
        for host in self:
            self._server.listen(host)
        self.known_hosts.touch(mode=0o600)
        self.write_files()
        self._server.start(self.write_files, RENAMED_WITHIN)

    def stop(self) -> None:
        """End all connections and all that runs on the hosts."""
        self.is_stopping = True
        self._unsubscribe()
        self._server.stop()
        for host in self:
            host.stop()

    def port(self, name: str) -> int:
        """Where the SSH of a host listens on 127.0.0.1."""
        return self._server.port(self[name])

    def cluster_clock(self) -> datetime:
        """The time that the cluster's servers believe it is."""
        return self.faults.now()

    def free_name(self, wanted: str, device: Device) -> str:
        """The MagicDNS name that the control plane gives: ``name``, else ``name-1`` and so on."""
        taken = {item.name for item in self.world.tailnet.devices() if item.id != device.id}
        name, number = wanted, 0
        while name in taken:
            number += 1
            name = f"{wanted}-{number}"
        return name

    def write_files(self) -> None:
        """Write ssh_config and tailnet_known_hosts anew, if names have changed."""
        revision = self.world.tailnet.revision
        if revision == self._seen:
            return
        blocks, known = [], []
        suffix = self.world.tailnet.suffix
        for host in self:
            names = dict.fromkeys((host.computer.name, host.name, host.name.lower()))
            device = host.device
            alias = host.computer.name
            if device is not None and device.authorized:
                names |= dict.fromkeys((device.name, f"{device.name}.{suffix}", *device.addresses))
                alias = f"{device.name}.{suffix}"
            elif host.computer.in_tailnet:
                names = dict.fromkeys((host.computer.lan_ip, host.computer.name))
            if host.computer.public_ip and not host.computer.in_tailnet:
                names[host.computer.public_ip] = None
            blocks.append(
                f"Host {' '.join(names)}\n"
                f"    HostName 127.0.0.1\n    Port {self._server.port(host)}\n    User {USER}\n"
                f"    HostKeyAlias {alias}\n"
                f'    UserKnownHostsFile "{self.known_hosts}" "{self.tailnet_known_hosts}"\n'
            )
            if host.computer.access is Access.TAILSCALE:
                known.append(f"{alias} {ssh_host_key(host_key_seed(host))}\n")
        text = "# The hosts of the embedded Axiom.\n" + "\n".join(blocks)
        with self._lock:
            self._seen = revision
            if text == self._written:
                return
            _replace(self.tailnet_known_hosts, "".join(known))
            _replace(self.ssh_config, text)
            self._written = text

    def _heard(self, kind: str, plural: str, item: Manifest) -> None:
        """A node's password goes with its Node, whose it is."""
        if plural == NODES and kind == "DELETED":
            self.secrets.forget_node(item["metadata"]["name"])


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
