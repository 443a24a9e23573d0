"""From the start of the process to the first full frame of `axiom-tui demo`, beside a bare Textual app."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.figure import Chapter, Figure, middle
from bench.terminal import Program

OURS = "SIMULATION"  # in the last line of the frame, the key bar
BARE = "palette"  # in the last line, the Footer
FLEET = "WALL-A"
RUNS = 11


def measure(*, quick: bool = False) -> Chapter:
    ours: list[float] = []
    fleet: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory(prefix="axiom-bench-") as state:
        for run in range(-1, 4 if quick else RUNS):
            # Both once before, so that both find their files in memory and their byte code compiled.
            peer = _seconds(bare_command(), BARE)[0]
            seen = _seconds(demo_command(), OURS, FLEET, state=Path(state))
            if run >= 0:
                bare.append(peer * 1000)
                ours.append(seen[0] * 1000)
                fleet.append(seen[1] * 1000)
    return Chapter(
        "First full frame of axiom-tui demo",
        "From starting the process until the last line of the first frame has been read from a pty of 120x40;"
        f" medians of {len(ours)} alternating runs, all files cached.",
        (
            Figure(
                "first full frame",
                "ms",
                middle(ours),
                "Header, DataTable, Footer",
                middle(bare),
                limit=1.3,
                limits_ratio=True,
                note="The frame without the fleet, which is not read before it is painted.",
            ),
            Figure(
                "first row of the fleet",
                "ms",
                middle(fleet),
                note="With the start of the embedded Axiom in between, certificates and all.",
            ),
        ),
    )


def demo_command(*more: str) -> list[str]:
    return [str(Path(sys.executable).with_name("axiom-tui")), "demo", *more]


def bare_command(*more: str) -> list[str]:
    return [sys.executable, "-m", "bench.bare", *more]


def _seconds(command: Sequence[str], *patterns: str, state: Path | None = None) -> list[float]:
    with Program(command, environment={"AXIOM_TUI_STATE": str(state)} if state else None) as program:
        seen = [program.wait_for(pattern) - program.started for pattern in patterns]
        program.type("q")
        program.ended()
        return seen
