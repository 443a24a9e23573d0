"""The first server of a new cluster, on screen: there is no cluster to be seen, and no kubeconfig."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Input, Select

from axiom_tui.config import state_directory
from axiom_tui.plans.journal import Journal
from axiom_tui.simulator.axiom import EmbeddedAxiom
from screens.wizard import WizardScreen
from tests.screens.live import Screen, running
from tests.test_first_server import without_a_cluster

HOST = "ubuntu-8gb-hel1-1"  # where sudo asks for no password
SMALL = (80, 24)


@pytest.fixture
def axiom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedAxiom]:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with EmbeddedAxiom(tmp_path / "axiom", alive=False) as world:
        yield world


async def stage(screen: Screen, wanted: str) -> WizardScreen:
    def is_there() -> bool:
        page = screen.app.screen
        return isinstance(page, WizardScreen) and page.stage == wanted and page._busy_since is None

    await screen.until(is_there, f"for {wanted}")
    await screen.pilot.pause()
    page = screen.app.screen
    assert isinstance(page, WizardScreen)
    return page


def said_on(page: WizardScreen, name: str) -> str:
    return " ".join(str(page.query_one(f"#{name}").render()).split())


async def test_it_is_founded_where_there_is_no_cluster(axiom: EmbeddedAxiom) -> None:
    async with running(without_a_cluster(axiom), SMALL) as screen:
        await screen.sees("There is no kubeconfig at", "for the reason above")
        assert screen.text.count("There is no kubeconfig at") == 1
        assert not any(" error " in line for line in screen.app.messages)  # nor in passing
        await screen.press("l")  # labels need a cluster
        await screen.said("The nodes of the cluster are not known. There is no kubeconfig at")
        await screen.press("n")
        page = await stage(screen, "choose")
        title = " ".join(screen.lines.splitlines()[0].split())
        assert title == "Found a cluster"
        assert page.query_one("#join-role", Select).value == "first"
        assert page.query_one("#join-name", Input).value == "M-O-1"
        for name, text in (("join-other", HOST), ("join-version", "v1.33.4+k3s1")):
            page.query_one(f"#{name}").focus()
            await screen.type(text)
        await screen.press("ctrl+n")
        page = await stage(screen, "check")
        assert "✗" not in said_on(page, "check-text")
        await screen.press("ctrl+n")
        page = await stage(screen, "plan")
        plan = said_on(page, "plan-text")
        assert "Found the cluster api.axiom.technat.ch on M-O-1" in plan
        await screen.type("M-O-1")
        await screen.press("enter")
        page = await stage(screen, "result")
        result = said_on(page, "result-text")
        assert "✓ Done." in result
        assert "helm install cilium" in result
        # Its journal is of a cluster that no kubeconfig leads to; it is taken back all the same.
        await screen.press("enter", "6")
        await screen.sees("u takes it back.")
        await screen.press("u")
        page = await stage(screen, "plan")
        assert "k3s-uninstall.sh" in said_on(page, "plan-text")
        await screen.press("escape")
    assert [entry.kind for entry in Journal(state_directory()).entries()] == ["first-server"]
    assert axiom.hosts[HOST].name == "M-O-1"
