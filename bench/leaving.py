"""From q until the process is gone, while the Kubernetes API hangs."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.figure import Chapter, Figure, middle
from bench.first_frame import BARE, FLEET, bare_command
from bench.terminal import Program
from bench.world import world

RUNS = 7
HANGING = 1.0  # s: long enough for requests to be under way in which nothing is answered


def measure(*, quick: bool = False) -> Chapter:
    runs = 3 if quick else RUNS
    axiom = str(Path(sys.executable).with_name("axiom-tui"))
    silent: list[float] = []
    cut: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory(prefix="axiom-bench-") as state:
        for _ in range(runs):
            # It hangs from the start, so that not even the first list is answered ...
            with world(faults=["hang"]) as served:
                silent.append(_leave([axiom, "--config", served.settings], "reading", state=state))
            # ... and only after everything was read and is watched; a refresh then asks in vain.
            with world() as served:
                cut.append(
                    _leave([axiom, "--config", served.settings], FLEET, state=state, hang=served.order)
                )
            bare.append(_leave(bare_command(), BARE, state=state))
    return Chapter(
        "Leaving while the Kubernetes API hangs",
        "From pressing q until the process is gone; an API that takes requests and never answers; medians of"
        f" {runs} alternating runs. The peer has nothing to wait for.",
        (
            Figure("it never answered", "ms", middle(silent), "Textual app", middle(bare), limit=200),
            Figure("it stopped answering", "ms", middle(cut), "Textual app", middle(bare), limit=200),
        ),
    )


def _leave(command: list[str], shown: str, *, state: str, hang: Callable[[str], None] | None = None) -> float:
    """ms from q until the end of the program, once ``shown`` is on the screen."""
    with Program(command, environment={"AXIOM_TUI_STATE": state}) as program:
        program.wait_for(shown)
        if hang is not None:
            hang("fault hang")
            program.type("\x12")
        time.sleep(HANGING)
        _, typed = program.type("q")
        return (program.ended() - typed) * 1000
