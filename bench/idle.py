"""What the default demo costs while nobody touches it: CPU and memory of the product's own process."""

from __future__ import annotations

import tempfile
import time

from bench.figure import Chapter, Figure
from bench.first_frame import FLEET, bare_command, demo_command
from bench.terminal import Program

SECONDS = 30.0
START_UP = 5.0  # s, in which the demo reads everything for the first time


def measure(*, quick: bool = False) -> Chapter:
    seconds = 5.0 if quick else SECONDS
    with (
        tempfile.TemporaryDirectory(prefix="axiom-bench-") as state,
        Program(demo_command(), environment={"AXIOM_TUI_STATE": state}) as demo,
        Program(bare_command("--rows", "11")) as bare,
    ):
        demo.wait_for(FLEET)
        time.sleep(START_UP)  # not to be lucky: what comes before is no idling
        before, other, began = demo.cpu(), bare.cpu(), time.monotonic()
        time.sleep(seconds)
        elapsed = time.monotonic() - began
        ours, peer = (demo.cpu() - before) / elapsed, (bare.cpu() - other) / elapsed
        figures = (
            Figure("CPU, of a core", "%", ours * 100, "Textual app, 11 rows", peer * 100, limit=3),
            Figure(
                "peak memory (VmHWM)",
                "MB",
                demo.peak_memory(),
                "Textual app, 11 rows",
                bare.peak_memory(),
                limit=200,
            ),
        )
    return Chapter(
        "axiom-tui demo left alone",
        f"11 nodes and the tailnet, alive, over {seconds:.0f} s; the process of the product without that of"
        " the embedded Axiom. The peer has 11 rows in which nothing ever happens.",
        figures,
    )
