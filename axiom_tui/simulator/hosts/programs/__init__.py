"""The programs of the simulated hosts. Importing this package fills the table `program.PROGRAMS`."""

from axiom_tui.simulator.hosts.programs import (
    curl,
    file_facts,
    files,
    k3s,
    network,
    processes,
    sed,
    services,
    sudo,
    system,
    tailscale,
    text,
)

__all__ = [
    "curl",
    "file_facts",
    "files",
    "k3s",
    "network",
    "processes",
    "sed",
    "services",
    "sudo",
    "system",
    "tailscale",
    "text",
]
