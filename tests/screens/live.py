"""The program as a person has it: under Pilot, with its ordinary settings, on an embedded Axiom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from textual.pilot import Pilot

from axiom_tui.app import AxiomApp, SessionOpened
from axiom_tui.config import Overrides, load, with_overrides
from axiom_tui.fleet.session import Session
from axiom_tui.model.fleet import Fleet
from axiom_tui.simulator.axiom import EmbeddedAxiom
from axiom_tui.start import StartOptions
from tests.screens.conftest import text_of

DEADLINE = 30.0  # seconds; how long a test waits for what must come, on the slowest machine


class Watched(AxiomApp):
    """The program, which also remembers every fleet that it showed and every session that it opened."""

    def __init__(self, options: StartOptions) -> None:
        super().__init__(options)
        self.shown: list[Fleet] = []
        self.sessions: list[Session] = []

    def _take(self, fleet: Fleet) -> None:
        self.shown.append(fleet)
        super()._take(fleet)

    def on_session_opened(self, message: SessionOpened) -> None:
        self.sessions.append(message.session)


class Screen:
    """A pilot that waits for what is seen instead of for time to pass."""

    def __init__(self, pilot: Pilot[int], app: Watched) -> None:
        self.pilot, self.app = pilot, app

    @property
    def lines(self) -> str:
        return text_of(self.pilot)

    @property
    def text(self) -> str:
        """All that is seen, with the line breaks and frames of the layout taken out."""
        text = "".join(" " if character in "│▌▐╭╮╰╯─▁▂▃▄▅▆▇█" else character for character in self.lines)
        return " ".join(text.split())

    def page(self, name: str) -> str:
        """What is seen of the widget with this id, and nothing beside it."""
        region = self.app.screen.query_one(f"#{name}").region
        lines = self.lines.splitlines()[region.y : region.bottom]
        return " ".join(" ".join(line[region.x : region.right] for line in lines).split())

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        names = {
            " ": "space",
            "-": "minus",
            "=": "equals_sign",
            "!": "exclamation_mark",
            "/": "slash",
            ":": "colon",
        }
        await self.press(*(names.get(character, character) for character in text))

    async def command(self, text: str) -> None:
        """One line of the command line."""
        await self.press("colon")
        await self.type(text)
        await self.press("enter")

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        await until(self.pilot, condition, what)

    async def sees(self, *words: str) -> None:
        """Wait until all of this stands on the screen at once."""
        await self.until(lambda: all(item in self.text for item in words), f"to see {words}")

    async def sees_no(self, *words: str) -> None:
        await self.until(lambda: not any(item in self.text for item in words), f"to see none of {words}")

    async def sees_after(self, key: str, *words: str) -> None:
        """Press the key again and again (a text may still grow) until this is seen."""

        async def pressed() -> bool:
            await self.press(key)
            return all(item in self.text for item in words)

        ends = time.monotonic() + DEADLINE
        while not await pressed():
            assert time.monotonic() < ends, f"waited in vain to see {words}; on the screen:\n{self.lines}"

    async def said(self, words: str) -> None:
        """Wait until this was said in passing."""
        await self.until(lambda: any(words in line for line in self.app.messages), f"to be told {words!r}")


async def until(pilot: Pilot[int], condition: Callable[[], bool], what: str) -> None:
    """Let the program go on until the condition holds; fails with what is on the screen."""
    ends = time.monotonic() + DEADLINE
    while True:
        await pilot.pause()
        if condition():
            return
        if time.monotonic() > ends:
            said = "\n".join(getattr(pilot.app, "messages", ()))
            raise AssertionError(f"waited in vain {what}; on the screen:\n{text_of(pilot)}\nsaid:\n{said}")
        await asyncio.sleep(0.01)


def impatient(axiom: EmbeddedAxiom, more: str = "", deadline: str = "2s") -> Path:
    """The world's settings with short deadlines, so that a test of a hang need not wait for long."""
    text = axiom.settings.read_text().replace("kubernetes:\n", f"kubernetes:\n  read_timeout: {deadline}\n")
    text = text.replace("tailscale:\n", f"tailscale:\n  timeout: {deadline}\n")
    path = axiom.directory / "impatient.yaml"
    path.write_text(f"{text}refresh: {{tailnet: 1s, ping: 5s, tailnet_control: 10s}}\n{more}")
    return path


@asynccontextmanager
async def running(
    settings: Path, size: tuple[int, int] = (120, 40), overrides: Overrides | None = None
) -> AsyncIterator[Screen]:
    """The program on these settings; afterwards all its sources have ended."""
    chosen = overrides or Overrides()
    app = Watched(StartOptions(loaded=with_overrides(load(settings), chosen), overrides=chosen))
    try:
        async with app.run_test(size=size) as pilot:
            yield Screen(pilot, app)
    finally:
        for session in app.sessions:
            session.stop()
            observer = session._observer
            assert observer is None or observer.join(DEADLINE), "a source did not end"
