"""The simulated tailnet alone: its daemon's socket and its control API, without a cluster's API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from axiom_tui.simulator.faults import Faults
from axiom_tui.simulator.resources import METRICS, STANDARD
from axiom_tui.simulator.store import ObjectStore
from axiom_tui.simulator.tailnet import Tailnet
from axiom_tui.simulator.tailscale_control import ControlServer
from axiom_tui.simulator.tailscale_local import LocalServer
from axiom_tui.simulator.world import World


@dataclass(frozen=True)
class SimulatedTailnet:
    socket: Path
    control_url: str
    faults: Faults
    tailnet: Tailnet

    @property
    def token(self) -> str:
        return self.tailnet.credentials.token


@contextmanager
def simulated_tailnet(directory: Path) -> Iterator[SimulatedTailnet]:
    faults = Faults()
    world = World(ObjectStore((*STANDARD, *METRICS), clock=faults.now))
    local, control = LocalServer(world, faults), ControlServer(world, faults)
    socket = directory / "tailscaled.sock"
    local.start(socket)
    url = control.start()
    try:
        yield SimulatedTailnet(socket, url, faults, world.tailnet)
    finally:
        control.stop()
        local.stop()
