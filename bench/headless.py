"""`axiom-tui nodes` on 5,000 nodes beside `kubectl get nodes` on the same server."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figure import Chapter, Figure, middle
from bench.world import world

NODES = 5_000
RUNS = 7
LIMIT = 0.5


@dataclass(frozen=True, slots=True)
class Run:
    wall: float  # ms
    cpu: float  # ms


def measure(*, quick: bool = False) -> Chapter:
    runs = 3 if quick else RUNS
    with world(nodes=NODES) as served, tempfile.TemporaryDirectory(prefix="axiom-bench-") as state:
        kubectl = _kubectl(served.kubeconfig)
        axiom = str(Path(sys.executable).with_name("axiom-tui"))
        commands = {
            "kubeconfig": [axiom, "--kubeconfig", served.kubeconfig, "nodes"],
            "full": [axiom, "--config", served.settings, "nodes"],
        }
        if kubectl:
            commands["kubectl"] = [kubectl, "--kubeconfig", served.kubeconfig, "get", "nodes"]
        measured: dict[str, list[Run]] = {name: [] for name in commands}
        for run in range(-1, runs):
            for name, command in commands.items():
                one = _run(command, state)
                if run >= 0:
                    measured[name].append(one)
    figures = [
        _figure(f"{name}, {unit}", unit, key, measured)
        for key, name in (("kubeconfig", "kubeconfig only"), ("full", "with both Tailscale APIs"))
        for unit in ("wall", "CPU")
    ]
    note = "" if kubectl else " kubectl is not installed here, so there is no peer and no target is judged."
    return Chapter(
        f"axiom-tui nodes on {NODES:,} nodes",
        f"The whole process, its table into a pipe, {_size()}; medians of {runs} alternating runs against one"
        f" server on loopback. kubectl get nodes never asks the Tailscale APIs.{note}",
        figures,
    )


def _figure(what: str, unit: str, key: str, measured: dict[str, list[Run]]) -> Figure:
    def value(name: str) -> float:
        return middle([run.wall if unit == "wall" else run.cpu for run in measured[name]])

    peer = value("kubectl") if "kubectl" in measured else None
    limit = LIMIT if unit == "wall" and peer is not None else None
    return Figure(what, "ms", value(key), "kubectl get nodes", peer, limit=limit, limits_ratio=True)


def _size() -> str:
    return "which asks for chunks of 500 (as kubectl does) that are 60 MB together"


def _run(command: Sequence[str], state: str) -> Run:
    """One run to its end. Raises RuntimeError if it printed another number of nodes."""
    environment = {**os.environ, "AXIOM_TUI_STATE": state, "NO_COLOR": "1"}
    for name in ("AXIOM_TUI_CONFIG", "KUBECONFIG", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        environment.pop(name, None)
    environment["AXIOM_TUI_CONFIG"] = os.devnull
    used, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    wall, now = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = done.stdout.count("\n")
    if lines != NODES + 1:
        raise RuntimeError(f"{command}: {lines} lines, exit {done.returncode}: {done.stderr[-500:]}")
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return Run(wall * 1000, cpu * 1000)


def _kubectl(kubeconfig: str) -> str:
    """The kubectl to measure; "" if there is none. Some are a launcher of another one: that one is taken,
    so that the launcher's time is not held against it."""
    found = shutil.which("kubectl")
    if not found:
        return ""
    version = subprocess.run(
        [found, "--kubeconfig", kubeconfig, "version"], capture_output=True, text=True, check=False
    ).stdout
    if "dispatcher" not in version:
        return found
    beside = sorted(Path(found).resolve().parent.glob("kubectl.1.*"), key=_numbers)
    return str(beside[-1]) if beside else found


def _numbers(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", path.name))
