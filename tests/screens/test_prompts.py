"""Dialogs that ask for a connection: named as the admin knows it, and gone when nobody waits any more."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from axiom_tui.app import AxiomApp
from axiom_tui.clients.ssh_values import UnknownHostKey
from axiom_tui.start import DemoOptions, StartOptions
from screens import prompts
from screens.prompts import HostKeyDialog, Prompt, SecretDialog
from tests.screens.conftest import showing, text_of
from tests.screens.live import DEADLINE, until

LONG = "ubuntu-4gb-nbg1-2.tail1234.ts.net (127.0.0.1:38123)"


class Asker:
    """Asks in a thread of its own, as a connection does."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self.answers: list[Any] = []
        self.thread = threading.Thread(target=lambda: self.answers.append(ask()), daemon=True)
        self.thread.start()

    @property
    def is_answered(self) -> bool:
        return bool(self.answers)


def asked(pilot: Pilot[int], ask: Callable[[prompts.ScreenInteraction], Any]) -> Asker:
    app = pilot.app
    assert isinstance(app, AxiomApp)
    interaction = app.interaction
    return Asker(lambda: ask(interaction))


async def dialog(pilot: Pilot[int], kind: type[Prompt[Any]]) -> None:
    await until(
        pilot, lambda: isinstance(pilot.app.screen, kind) and pilot.app.screen.is_mounted, f"for {kind}"
    )
    await pilot.pause()


def words(pilot: Pilot[int]) -> str:
    """What stands in the dialog."""
    region = pilot.app.screen.query_one(".dialog").region.shrink((1, 1, 1, 1))
    lines = text_of(pilot).splitlines()[region.y : region.bottom]
    return " ".join(" ".join(line[region.x : region.right] for line in lines).split())


def said(pilot: Pilot[int]) -> list[str]:
    return list(getattr(pilot.app, "messages", ()))


async def test_a_long_question_is_wrapped_not_cut() -> None:
    async with showing(size=(80, 24)) as pilot:
        asker = asked(pilot, lambda interaction: interaction.sudo_password("technat", LONG, False))
        await dialog(pilot, SecretDialog)
        assert f"Password that sudo asks technat for on {LONG}" in words(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: asker.is_answered, "for the answer")
        assert asker.answers == [None]


async def test_the_host_of_a_key_is_named() -> None:
    unknown = UnknownHostKey(
        "100.64.0.11", 22, "ssh-ed25519", "SHA256:abc", "ssh-keygen -lf key.pub", Path("known_hosts")
    )
    async with showing(size=(80, 24)) as pilot:
        asker = asked(pilot, lambda interaction: interaction.confirm_host_key(unknown))
        await dialog(pilot, HostKeyDialog)
        assert "the host key of WALL-A-1 (100.64.0.11)" in words(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: asker.is_answered, "for the answer")
        assert asker.answers == [False]


async def test_a_question_that_nobody_answers_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "ANSWER_WITHIN", 0.2)
    async with showing(size=(80, 24)) as pilot:
        asker = asked(pilot, lambda interaction: interaction.password("technat", "new.example", False))
        await until(pilot, lambda: asker.is_answered, "for the question to be given up")
        await until(pilot, lambda: not isinstance(pilot.app.screen, SecretDialog), "for it to go")
        assert asker.answers == [None]
        await until(
            pilot, lambda: any("was not answered in time" in line for line in said(pilot)), "to be told"
        )


@pytest.mark.parametrize("below", [False, True], ids=["alone", "below-another"])
async def test_the_dialogs_of_a_plan_go_with_it(below: bool) -> None:
    async with showing(size=(80, 24)) as pilot:
        app = pilot.app
        assert isinstance(app, AxiomApp)
        asker = asked(pilot, lambda interaction: interaction.password("technat", "new.example", False))
        await dialog(pilot, SecretDialog)
        if below:
            app.push_screen(SecretDialog("Another one"))
            await pilot.pause()
        app.end_questions()
        await until(pilot, lambda: asker.is_answered, "for the question to be given up")
        await until(pilot, lambda: len(app.screen_stack) == 1, "for the dialogs to go")
        assert asker.answers == [None]


@asynccontextmanager
async def demo() -> AsyncIterator[Pilot[int]]:
    app = AxiomApp(StartOptions(demo=DemoOptions(nodes=3, still=True)))
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: not app.fleet.is_loading, "for the fleet")
            yield pilot
            app.leave()
    finally:
        observer = app.session._observer if app.session is not None else None
        assert observer is None or observer.join(DEADLINE), "a source did not end"


async def test_the_simulation_says_its_password_where_it_is_asked_for() -> None:
    async with demo() as pilot:
        asker = asked(pilot, lambda interaction: interaction.sudo_password("technat", "wall-a-1", False))
        await dialog(pilot, SecretDialog)
        assert "This is a simulation: every password in it is “crocodile”." in words(pilot)
        await pilot.press(*"crocodile", "enter")
        await until(pilot, lambda: asker.is_answered, "for the answer")
        assert asker.answers[0].reveal() == "crocodile"
