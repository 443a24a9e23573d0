"""The embedded Axiom: the whole simulated world, served on loopback for ordinary clients."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from axiom_tui.simulator.cast import CLUSTER, K3S_VERSION
from axiom_tui.simulator.faults import Faults
from axiom_tui.simulator.hosts.hosts import JOIN_SECONDS, Hosts
from axiom_tui.simulator.hosts.install_script import INSTALL_SCRIPT_SHA256
from axiom_tui.simulator.kubernetes_api import KubernetesServer
from axiom_tui.simulator.life import Life
from axiom_tui.simulator.resources import METRICS, STANDARD
from axiom_tui.simulator.servicelb import ServiceLb
from axiom_tui.simulator.store import ObjectStore
from axiom_tui.simulator.tailscale_control import ControlServer
from axiom_tui.simulator.tailscale_local import LocalServer
from axiom_tui.simulator.world import World

#: Unix socket paths end at 108 bytes on Linux and 104 on macOS.
LONGEST_SOCKET_PATH = 100
#: So long does servicelb take for each step in a living world, so that one sees it move. Seconds.
SERVICELB_DELAY = 0.2


class Controller(Protocol):
    """Something that acts in the cluster by itself, like servicelb: watches the store and changes it."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class EmbeddedAxiom:
    """One world and its services, from `start` to `stop`; files go into ``directory``.

    ``nodes`` makes a bigger fleet, ``alive`` False one in which nothing happens by itself. ``controllers``
    are started with it and stopped before the services: add to them before `start`. ``join_seconds`` is how
    long a host takes to become a Ready node (by default 3 s, and no time in a world that is not alive).
    """

    def __init__(
        self,
        directory: Path,
        *,
        nodes: int | None = None,
        seed: int = 1,
        alive: bool = True,
        faults: Faults | None = None,
        join_seconds: float | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self.faults = faults if faults is not None else Faults()
        self.store = ObjectStore((*STANDARD, *METRICS), clock=self.faults.now)
        self.world = World(self.store, nodes=nodes, seed=seed)
        self.life = Life(self.world)
        self.servicelb = ServiceLb(self.store, delay=SERVICELB_DELAY if alive else 0.0, grown=True)
        self.controllers: list[Controller] = [self.servicelb]
        self.kubernetes = KubernetesServer(self.store, self.faults, version=K3S_VERSION)
        self.local = LocalServer(self.world, self.faults)
        self.control = ControlServer(self.world, self.faults)
        if join_seconds is None:
            join_seconds = JOIN_SECONDS if alive else 0.0
        authority = self.kubernetes.authority.certificate.decode()
        self.hosts = Hosts(self.world, self.faults, authority, self.directory, join_seconds=join_seconds)
        self.kubeconfig = self.directory / "kubeconfig"
        self.settings = self.directory / "config.yaml"
        self.control_token_file = self.directory / "tailscale-token"
        self.tailscale_socket = self.directory / "tailscaled.sock"
        self.control_url = ""
        self._alive = alive
        self._short_directory: Path | None = None

    def start(self) -> None:
        """Serve everything and write the files; returns when clients can connect."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            if len(os.fsencode(self.tailscale_socket)) > LONGEST_SOCKET_PATH:
                self._short_directory = Path(tempfile.mkdtemp(prefix="axiom-"))
                self.tailscale_socket = self._short_directory / "tailscaled.sock"
            self.local.start(self.tailscale_socket)
            self.control_url = self.control.start()
            self.kubernetes.start()
            self.kubernetes.write_kubeconfig(self.kubeconfig, context=CLUSTER)
            self.hosts.start()
            _write_private(self.control_token_file, f"{self.world.tailnet.credentials.token}\n")
            _write_private(self.settings, self._settings_text())
            for controller in self.controllers:
                controller.start()
            if self._alive:
                self.life.start()
            undo.pop_all()

    def stop(self) -> None:
        """End everything at once; the files stay, but nothing answers any more."""
        self.life.stop()
        for controller in reversed(self.controllers):
            controller.stop()
        self.hosts.stop()
        self.kubernetes.stop()
        self.control.stop()
        self.local.stop()
        if self._short_directory is not None:
            shutil.rmtree(self._short_directory, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _settings_text(self) -> str:
        """An ordinary settings file. JSON strings are YAML strings, whatever the paths hold."""
        return f"""\
# Settings of the embedded Axiom: the same keys as for a real one.
kubernetes:
  kubeconfig: [{json.dumps(str(self.kubeconfig))}]
  context: {CLUSTER}
tailscale:
  socket: {json.dumps(str(self.tailscale_socket))}
  control:
    url: {json.dumps(self.control_url)}
    token_file: {json.dumps(str(self.control_token_file))}
ssh:
  config_file: {json.dumps(str(self.hosts.ssh_config))}
  known_hosts: {json.dumps(str(self.hosts.known_hosts))}
join:
  install_sha256: {INSTALL_SCRIPT_SHA256}
"""


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read (mode 0600), whatever was there before."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
