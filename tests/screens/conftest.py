"""Pictures of screens: the program as it is, with a fleet that is given instead of observed."""

from __future__ import annotations

import asyncio
import os
import re
import time
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.events import Key
from textual.keys import REPLACED_KEYS, _character_to_key, _get_unicode_name_from_key
from textual.pilot import Pilot
from textual.screen import Screen
from textual.strip import Strip

import screens.frame
from axiom_tui.app import AxiomApp
from axiom_tui.config import Loaded, Settings, ThemeName
from axiom_tui.model.fleet import Fleet
from axiom_tui.start import StartOptions
from tests.screens.fleets import LIVE, NOW

#: Turns of the event loop in which no widget has a message: then what was set off has come to its end.
CALM = 8
#: One drawing may lead to the next (a layout gives sizes, sizes give contents); something may move for ever.
MOST_DRAWINGS = 10


async def settle(pilot: Pilot[int]) -> None:
    """Let the program take all messages that there are and those that they set off, and draw what changed."""
    app = pilot.app
    for _ in range(MOST_DRAWINGS):
        calm = 0
        while calm < CALM and app.is_running:
            # Textual collects sizes, and holds all drawing while screens change, for some milliseconds.
            is_held = app._batch_count or app._resize_timer is not None
            await asyncio.sleep(0.002 if is_held else 0)
            calm = 0 if is_held or _has_messages(app) else calm + 1
        if not (app.is_running and _is_to_be_drawn(app.screen)):
            return
        app.screen._on_timer_update()


def _has_messages(app: App[Any]) -> bool:
    return any(pump.is_running and pump.message_queue_size for pump in (app, *app._registry))


def _is_to_be_drawn(screen: Screen[Any]) -> bool:
    is_stale = screen._layout_required or screen._scroll_required or screen._repaint_required
    return is_stale or bool(screen._dirty_widgets or screen._callbacks)


async def _press(pilot: Pilot[int], *keys: str) -> None:
    driver = pilot.app._driver
    assert driver is not None
    for key in keys:
        name = _character_to_key(key) if len(key) == 1 and not key.isalnum() else key
        driver.send_message(Key(name, _character(name)))
        await settle(pilot)


def _character(key: str) -> str | None:
    try:
        return unicodedata.lookup(_get_unicode_name_from_key(REPLACED_KEYS.get(key, key)))
    except KeyError:
        return key if len(key) == 1 else None


async def _pause(pilot: Pilot[int], delay: float | None = None) -> None:
    assert delay is None, "a test waits for what it wants to see"
    await pilot._wait_for_screen()
    await settle(pilot)


@pytest.fixture(autouse=True)
def _prompt_pilot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Textual's pilot waits after each key until the whole process is idle, for 40 ms and at most 2 s; with a
    world that lives in the same process it is never idle."""
    monkeypatch.setattr(Pilot, "press", _press)
    monkeypatch.setattr(Pilot, "pause", _pause)


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
