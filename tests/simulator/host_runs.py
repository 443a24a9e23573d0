"""Run commands on a simulated host without SSH in between."""

from __future__ import annotations

from axiom_tui.simulator.hosts.host import USER, Host
from axiom_tui.simulator.hosts.kernel import OpenFile, Process, Reading


class Collecting(OpenFile):
    """Keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def write(self, process: Process, data: bytes) -> None:
        self.data += data


def run_on(host: Host, command: str, stdin: bytes = b"", user: str = USER) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command line."""
    output, said = Collecting(), Collecting()
    process = host.login(host.users[user], command, {0: Reading(stdin), 1: output, 2: said})
    with host.kernel.changed:
        ended = host.kernel.changed.wait_for(lambda: process.status is not None, 30)
    assert ended, f"{command!r} does not end; so far: {output.data!r} {said.data!r}"
    return process.status or 0, output.data.decode(errors="surrogateescape"), said.data.decode()
