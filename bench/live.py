"""The terminal UI on 5,000 nodes of which 20 change every second, beside a DataTable of as many rows."""

from __future__ import annotations

import json
import random
import re
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench import bare
from bench.figure import Chapter, Figure, middle, percentile
from bench.first_frame import bare_command
from bench.terminal import Program
from bench.world import world

NODES = 5_000
CHURN = 20  # changed nodes a second
KEYS = 300
RESTING = 30.0  # s: twice the time between two measurements of metrics-server


@dataclass(frozen=True, slots=True)
class Moves:
    """ms from each key to the frame with the moved cursor; CPU of the process meanwhile, in % of a core."""

    delays: list[float]
    cpu: float


class Probe:
    """The other end of `bench.probe`."""

    def __init__(self, program: Program, orders: socket.socket) -> None:
        self.program = program
        self._orders = orders
        self._answers = orders.makefile("r")

    def ask(self, order: str) -> Any:
        self._orders.sendall(order.encode() + b"\n")
        return json.loads(self._answers.readline())


def measure(*, quick: bool = False) -> Chapter:
    keys = 60 if quick else KEYS
    with world(nodes=NODES) as served, _probe(served.settings) as probe:
        probe.program.wait_for("M-O-1")
        _wait_for_calm(probe)
        loading = [late * 1000 for late in probe.ask("beats")]
        rest = _cpu(probe.program, 5.0 if quick else RESTING)
        cell_cpu, cell_bytes = probe.ask("cell 20")
        names = probe.ask("names")
        served.order(f"churn {CHURN}")
        probe.program.wait_for_bytes(probe.program.written + 1000)
        probe.ask("reset")
        ours = _move(probe.program, names, keys)
        beats = [late * 1000 for late in probe.ask("beats")]
        memory = probe.program.peak_memory()
    with Program(bare_command("--rows", str(NODES), "--churn", str(CHURN))) as stock:
        stock.wait_for("node-00010")
        time.sleep(2.0)  # until it is drawn, palette and all; nothing is measured meanwhile
        peer = _move(stock, [bare.row_name(number) for number in range(NODES)], keys)
    return Chapter(
        f"The Nodes screen with {NODES:,} nodes, {CHURN} changes a second",
        "Real pty of 120x40, real sockets to the embedded Axiom with both Tailscale APIs; cursor keys at"
        f" random moments, {keys} of them, most of which scroll. The peer is a DataTable of {NODES:,} rows,"
        f" {CHURN} changed cells a second, and nothing else to do.",
        (
            Figure(
                "key to frame, p99",
                "ms",
                percentile(ours.delays, 99),
                "DataTable",
                percentile(peer.delays, 99),
                limit=50,
            ),
            Figure("key to frame, median", "ms", middle(ours.delays), "DataTable", middle(peer.delays)),
            Figure("longest stall of the event loop", "ms", max(beats), limit=100),
            Figure("  the same while all is first read", "ms", max(loading), limit=100),
            Figure("one changed cell, CPU", "ms", cell_cpu * 1000, limit=5),
            Figure("one changed cell, bytes to the terminal", "B", cell_bytes, limit=500),
            Figure("CPU at this rate, of a core", "%", ours.cpu, "DataTable", peer.cpu),
            Figure(
                "CPU while nothing changes, of a core",
                "%",
                rest,
                limit=3,
                note="Ten pings a second, the status every 5 s, and metrics every 15 s go on.",
            ),
            Figure("peak memory (VmHWM)", "MB", memory, limit=200),
        ),
    )


@contextmanager
def _probe(settings: str) -> Iterator[Probe]:
    here, there = socket.socketpair()
    with here, there, tempfile.TemporaryDirectory(prefix="axiom-bench-") as state:
        command = [sys.executable, "-m", "bench.probe", "--config", settings, "--orders", str(there.fileno())]
        with Program(command, environment={"AXIOM_TUI_STATE": state}, pass_fds=[there.fileno()]) as program:
            there.close()
            yield Probe(program, here)


def _wait_for_calm(probe: Probe) -> None:
    """Until all sources were read: the process uses under a quarter of a core for two seconds."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        used = probe.program.cpu()
        time.sleep(2.0)
        if probe.program.cpu() - used < 0.5:
            return
    raise RuntimeError("it never came to rest")


def _cpu(program: Program, seconds: float) -> float:
    """CPU of the process over so many seconds, in % of a core."""
    used, began = program.cpu(), time.monotonic()
    time.sleep(seconds)
    return (program.cpu() - used) / (time.monotonic() - began) * 100


def _move(program: Program, names: list[str], keys: int) -> Moves:
    """Move the cursor down, key by key; a name drawn anew is the sign of the moved cursor: of all cells
    of a row only the cursor changes that one."""
    chance = random.Random(1)
    delays = []
    used, began = program.cpu(), time.monotonic()
    for place in range(1, keys + 1):
        time.sleep(chance.uniform(0.03, 0.13))
        start, typed = program.type("\x1b[B")
        seen = program.wait_for(re.escape(names[place]) + r"\b", start=start, deadline=10.0)
        delays.append((seen - typed) * 1000)
    cpu = (program.cpu() - used) / (time.monotonic() - began) * 100
    return Moves(delays, cpu)
