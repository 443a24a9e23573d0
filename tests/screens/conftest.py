"""Pictures of screens: the program as it is, with a fleet that is given instead of observed."""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.strip import Strip

import screens.frame
from axiom_tui.app import AxiomApp
from axiom_tui.config import Loaded, Settings, ThemeName
from axiom_tui.model.fleet import Fleet
from axiom_tui.start import StartOptions
from tests.screens.fleets import LIVE, NOW

SNAPSHOTS = Path(__file__).parent / "snapshots"
UPDATE = bool(os.environ.get("AXIOM_UPDATE_SNAPSHOTS"))
SIZES = ((80, 24), (120, 40))


class GivenFleet(AxiomApp):
    """The program without sources: it shows the fleet that it is given."""

    def __init__(self, fleet: Fleet, settings: Settings | None = None) -> None:
        super().__init__(StartOptions(loaded=Loaded(settings or Settings())))
        self._given = fleet

    def open_session(self, context: str) -> None:
        self.show(self._given)

    def show(self, fleet: Fleet) -> None:
        self._take(fleet)


@pytest.fixture(autouse=True)
def _still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screens.frame, "wall_clock", lambda: NOW)


@asynccontextmanager
async def showing(
    fleet: Fleet = LIVE, size: tuple[int, int] = (120, 40), theme: ThemeName = ThemeName.DEFAULT
) -> AsyncIterator[Pilot[int]]:
    """The program on a terminal of this size, with this fleet."""
    app = GivenFleet(fleet, replace(Settings(), theme=theme))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield pilot


async def settled(pilot: Pilot[int]) -> None:
    """Wait until nothing is computed or read beside the event loop for the screen that is shown."""
    ends = time.monotonic() + 30
    busy = True
    while busy and time.monotonic() < ends:
        await pilot.pause()
        screen = pilot.app.screen
        busy = any(getattr(screen, name, False) for name in ("_is_computing", "_reading"))
    await pilot.pause()


def text_of(pilot: Pilot[int]) -> str:
    """What stands on the screen, line by line, as a terminal would show it."""
    strips: list[Strip] = pilot.app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips) + "\n"


def svg_of(pilot: Pilot[int]) -> str:
    svg = pilot.app.export_screenshot(title="axiom-tui")
    return re.sub(r"terminal-\d+", "terminal", svg)


@pytest.fixture
def snapshot() -> Callable[[Pilot[int], str], None]:
    """Compare the screen with its picture: the text at every size, the colours (SVG) at the wide ones."""

    def compare(pilot: Pilot[int], name: str) -> None:
        width, height = pilot.app.size
        _compare(SNAPSHOTS / f"{name}-{width}x{height}.txt", text_of(pilot))
        if width >= 120:
            _compare(SNAPSHOTS / f"{name}-{width}x{height}.svg", svg_of(pilot))

    return compare


def _compare(path: Path, found: str) -> None:
    if UPDATE:
        path.parent.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
        return
    if not path.exists():
        pytest.fail(f"There is no picture {path.name}; look at the screen, then run `make snapshots`.")
    if path.read_text(encoding="utf-8") != found:
        actual = path.with_name(f"{path.stem}.actual{path.suffix}")
        actual.write_text(found, encoding="utf-8")
        if path.suffix == ".txt":
            assert found == path.read_text(encoding="utf-8")
        pytest.fail(f"The colours of {path.name} have changed; compare it with {actual.name}.")
