"""Draws docs/nodes.svg, the picture in the README, from the running program on its embedded Axiom."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from pathlib import Path

from axiom_tui.app import AxiomApp
from axiom_tui.model.headline import counts
from axiom_tui.model.tailnet import PathKind
from axiom_tui.start import DemoOptions, StartOptions

PICTURE = Path(__file__).parent / "nodes.svg"
DEADLINE = 60.0  # seconds until the first pings must have settled


async def draw() -> int:
    """Start the demo, wait until every plane has answered, and export the screen."""
    app = AxiomApp(StartOptions(demo=DemoOptions(still=True)))
    async with app.run_test(size=(132, 24)) as pilot:
        ends = time.monotonic() + DEADLINE
        while not _is_settled(app):
            if time.monotonic() > ends:
                sys.stderr.write("The demo did not settle.\n")
                return 1
            await pilot.pause(0.2)
        svg = re.sub(r"terminal-\d+", "terminal", app.export_screenshot(title="axiom-tui demo"))
        PICTURE.write_text(svg + "\n", encoding="utf-8")
        await app.action_quit()
    return 0


def _is_settled(app: AxiomApp) -> bool:
    rows = [row for row in app.fleet.rows if row.device is not None]
    reachable = [row for row in rows if row.device and row.device.path is not PathKind.OFFLINE]
    pinged = [row for row in reachable if row.device and row.device.latency.samples]
    return counts(app.fleet).servers > 0 and len(pinged) >= len(reachable) - 1


if __name__ == "__main__":
    import os

    with tempfile.TemporaryDirectory() as state:
        os.environ["AXIOM_TUI_STATE"] = state
        raise SystemExit(asyncio.run(draw()))
