"""Pictures of the join wizard's pages and of the questions that a login asks, with given facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from textual.pilot import Pilot
from textual.screen import ModalScreen

from axiom_tui.app import AxiomApp
from axiom_tui.clients.ssh_values import LoginBanner, UnknownHostKey
from axiom_tui.config import Settings
from axiom_tui.model.checks import Check, CheckState
from axiom_tui.plans.access import Access
from axiom_tui.plans.join_node import join_plan
from axiom_tui.plans.proposal import Proposal
from screens.join import join_wizard
from screens.prompts import HostKeyDialog, LoginDialog, SecretDialog
from screens.wizard import Prepared, WizardScreen
from tests.plans.joins import AGENT
from tests.screens.conftest import SIZES, showing, text_of
from tests.screens.fleets import CLUSTER, LIVE, NOW

Snapshot = Callable[[Pilot[int], str], None]

pytestmark = pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])

CHECKS = (
    Check("facts", CheckState.PASS, "All facts of full-disk are collected."),
    Check(
        "sudo",
        CheckState.FAIL,
        "technat may not use sudo on full-disk: not in sudoers.",
        "As root on full-disk: `usermod -aG sudo technat`, then connect again.",
        overridable=False,
    ),
    Check(
        "distribution",
        CheckState.WARN,
        "The system is Debian GNU/Linux 10 (buster), and the fleet runs on ubuntu 22.04.",
        "It may work; if it is on purpose, say so in the settings (join.distribution, join.release).",
    ),
    Check("memory", CheckState.PASS, "3.7 GiB of memory."),
    Check(
        "disk",
        CheckState.FAIL,
        "Only 0.0 GiB are free on / (of 38 GiB): K3s and its images do not fit.",
        "Make room, or use a bigger disk.",
    ),
    *(Check(f"rule-{number}", CheckState.PASS, f"What else is fine, {number}.") for number in range(20)),
)


class Nobody:
    """Stands where a client would: making a plan from what is given asks nobody."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a picture must not ask: {name}")


def proposal() -> Proposal:
    nobody = cast(Any, Nobody())
    spec = replace(
        AGENT,
        effect=("minecraft/flasche: gains wall-a-10; publishes 116.203.10.1, 116.203.77.20",),
        already=("the device is approved",),
    )
    access = Access(CLUSTER, kubernetes=nobody, hosts=nobody, control=nobody, secret=nobody)
    return Proposal(join_plan(spec, access), nobody)


async def opened(pilot: Pilot[int]) -> WizardScreen:
    app = pilot.app
    assert isinstance(app, AxiomApp)
    screen = join_wizard(LIVE, Settings().naming, ())
    app.push_screen(screen)
    await pilot.pause()
    await pilot.pause()
    return screen


async def asked(pilot: Pilot[int], dialog: ModalScreen[Any]) -> None:
    """The dialog as it comes while the wizard looks at the host."""
    await opened(pilot)
    pilot.app.push_screen(dialog)
    await pilot.pause()
    await pilot.pause()


async def test_choose(size: tuple[int, int], snapshot: Snapshot) -> None:
    async with showing(LIVE, size) as pilot:
        await opened(pilot)
        snapshot(pilot, "join-choose")


async def test_choose_another_host_and_a_taken_name(size: tuple[int, int], snapshot: Snapshot) -> None:
    async with showing(LIVE, size) as pilot:
        await opened(pilot)
        await pilot.press("end", "enter", *"new.example", "tab", "enter", "end", "enter", "tab", "tab")
        await pilot.press("home", "shift+end", "delete", *"wall-a-3", "ctrl+n")
        await pilot.pause()
        snapshot(pilot, "join-choose-other")


@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
async def test_password(size: tuple[int, int], again: bool, snapshot: Snapshot) -> None:
    async with showing(LIVE, size) as pilot:
        note = "The one before was refused." if again else ""
        title = "Password that sudo asks technat for on ubuntu-4gb (100.64.0.30)"
        await asked(pilot, SecretDialog(title, note))
        await pilot.press(*"secret")
        await pilot.pause()
        assert "esc leave" not in text_of(pilot)  # here esc is the dialog's
        snapshot(pilot, f"join-password{'-again' if again else ''}")


async def test_host_key(size: tuple[int, int], snapshot: Snapshot) -> None:
    unknown = UnknownHostKey(
        "new.example",
        22,
        "ssh-ed25519",
        "SHA256:7uUDk8wDdSv+F9u15zq+/reEvqgStDOT/Ztl3JZGp/U",
        "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        Path("/home/anna/.ssh/known_hosts"),
    )
    async with showing(LIVE, size) as pilot:
        await asked(pilot, HostKeyDialog(unknown))
        snapshot(pilot, "join-host-key")


async def test_login(size: tuple[int, int], snapshot: Snapshot) -> None:
    url = "https://login.tailscale.com/a/8db00a00fb2e61"
    banner = LoginBanner(f"# To authenticate, visit: {url}", url, NOW + timedelta(seconds=594))
    async with showing(LIVE, size) as pilot:
        await asked(pilot, LoginDialog(banner))
        snapshot(pilot, "join-login")


async def test_check_with_fails(size: tuple[int, int], snapshot: Snapshot) -> None:
    async with showing(LIVE, size) as pilot:
        screen = await opened(pilot)
        screen._prepared(Prepared(CHECKS, None))
        await pilot.pause()
        await pilot.pause()
        snapshot(pilot, "join-check-fails")


async def test_plan(size: tuple[int, int], snapshot: Snapshot) -> None:
    async with showing(LIVE, size) as pilot:
        screen = await opened(pilot)
        screen._prepared(Prepared((), proposal()))
        await pilot.pause()
        await pilot.press("ctrl+n")
        await pilot.pause()
        await pilot.pause()
        snapshot(pilot, "join-plan")
        await pilot.press("G")
        await pilot.pause()
        snapshot(pilot, "join-plan-end")
