"""Pictures of every screen and state, at 80x24 and 120x40."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from textual.pilot import Pilot

from axiom_tui.config import ThemeName
from axiom_tui.model.fleet import Fleet
from tests.screens import fleets
from tests.screens.conftest import SIZES, settled, showing

Snapshot = Callable[[Pilot[int], str], None]

pytestmark = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")

STATES = {
    "loading": fleets.LOADING,
    "live": fleets.LIVE,
    "stale": fleets.STALE,
    "forbidden": fleets.FORBIDDEN,
    "empty": fleets.EMPTY,
    "5000": fleets.MANY,
    "simulation": fleets.SIMULATION,
}

#: Keys that lead from the start to a screen.
ROADS: dict[str, tuple[str, ...]] = {
    "nodes-details": ("j", "j", "j", "j", "j", "enter"),
    "nodes-wide": ("w",),
    "nodes-faults": ("z",),
    "nodes-filter": ("slash", *"hetzner", "enter"),
    "nodes-filter-typing": ("slash", *"-l pool"),
    "nodes-marks": ("j", "space", "space", "space"),
    "nodes-sorted": ("V",),
    "nodes-columns": ("t",),
    "nodes-help": ("question_mark",),
    "nodes-command": ("colon", *"fin"),
    "nodes-messages": ("c", "m"),
    "exposure": ("2",),
    "exposure-details": ("2", "enter"),
    "findings": ("5",),
    "findings-filter": ("5", "slash", *"pool", "enter"),
    "findings-help": ("5", "question_mark"),
    "journal-empty": ("6",),
    "theme-choice": ("colon", *"theme", "enter"),
}


@pytest.mark.parametrize("state", STATES)
async def test_nodes(size: tuple[int, int], state: str, snapshot: Snapshot) -> None:
    async with showing(STATES[state], size) as pilot:
        snapshot(pilot, f"nodes-{state}")


@pytest.mark.parametrize(("mode", "key"), [("findings", "5"), ("exposure", "2")])
@pytest.mark.parametrize("state", ["loading", "stale", "empty", "forbidden"])
async def test_other_screens(
    size: tuple[int, int], state: str, mode: str, key: str, snapshot: Snapshot
) -> None:
    async with showing(STATES[state], size) as pilot:
        await pilot.press(key)
        await settled(pilot)
        snapshot(pilot, f"{mode}-{state}")


@pytest.mark.parametrize("name", ROADS)
async def test_roads(size: tuple[int, int], name: str, snapshot: Snapshot) -> None:
    async with showing(fleets.LIVE, size) as pilot:
        await pilot.press(*ROADS[name])
        await settled(pilot)
        pilot.app.clear_notifications()
        await pilot.pause()
        snapshot(pilot, name)


@pytest.mark.parametrize("theme", [ThemeName.HIGH_CONTRAST, ThemeName.ANSI])
async def test_themes(size: tuple[int, int], theme: ThemeName, snapshot: Snapshot) -> None:
    async with showing(fleets.LIVE, size, theme) as pilot:
        snapshot(pilot, f"nodes-theme-{theme.value}")


async def test_nothing_foreign_is_markup(size: tuple[int, int], snapshot: Snapshot) -> None:
    """Names and sentences from outside hold brackets and escape sequences; they are shown, not obeyed."""
    seen = replace(
        fleets.SEEN, nodes=(fleets.node("wall-a-1", 11), fleets.node("[red]x[/red]\x1b[31mboo", 50))
    )
    odd: Fleet = fleets.fleet(seen)
    async with showing(odd, size) as pilot:
        await pilot.press("5")
        await pilot.pause()
        snapshot(pilot, "foreign-findings")
        await pilot.press("1", "j", "enter")
        await pilot.pause()
        snapshot(pilot, "foreign-details")
