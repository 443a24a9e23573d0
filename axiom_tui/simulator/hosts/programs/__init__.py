"""The programs of the simulated hosts. Importing this package fills the table `program.PROGRAMS`."""

from axiom_tui.simulator.hosts.programs import (
    curl,
    files,
    k3s,
    network,
    processes,
    services,
    sudo,
    system,
    tailscale,
    text,
)

__all__ = [
    "curl",
    "files",
    "k3s",
    "network",
    "processes",
    "services",
    "sudo",
    "system",
    "tailscale",
    "text",
]
