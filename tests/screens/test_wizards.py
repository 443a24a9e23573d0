"""Wizards and the journal on an embedded Axiom: from the choice to the proof, and every way in between."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Button, Input

from axiom_tui.clients.kubernetes import KubernetesOptions, connect
from axiom_tui.config import Overrides, state_directory
from axiom_tui.fleet import source as source_module
from axiom_tui.model.naming import Role
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL
from axiom_tui.plans.identity import Identity
from axiom_tui.plans.journal import Journal
from axiom_tui.plans.label_files import OWN_PATH
from axiom_tui.plans.lock import LeaseLock
from axiom_tui.simulator.axiom import EmbeddedAxiom
from axiom_tui.simulator.hosts.host import Sudo
from screens.labels import NodeList
from screens.wizard import WizardScreen
from tests.screens.live import DEADLINE, Screen, impatient, running

SIZE = (120, 60)
WRONG = ("WALL-A-3", "WALL-A-4", "WALL-A-7")
ALL = "label WALL-A-3, WALL-A-4, WALL-A-7"
MENDED = {
    "wall-a-3": ("true", "external"),
    "wall-a-4": ("true", "internal"),
    "wall-a-7": ("true", "internal"),
}


@pytest.fixture(autouse=True)
def _still_clock() -> None:
    """Here the clock goes on."""


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries of the sources come soon, so that the fleet is live again when the cluster is."""
    monkeypatch.setattr(source_module, "FIRST_DELAY", 0.1)
    monkeypatch.setattr(source_module, "LONGEST_DELAY", 0.5)


@pytest.fixture
def axiom(tmp_path: Path) -> Iterator[EmbeddedAxiom]:
    with EmbeddedAxiom(tmp_path / "axiom", alive=False) as running_world:
        yield running_world


def pools(axiom: EmbeddedAxiom) -> dict[str, tuple[str | None, str | None]]:
    """The two labels of every node, from the cluster itself."""
    return {
        item["metadata"]["name"]: (
            item["metadata"]["labels"].get(ENABLE_LABEL),
            item["metadata"]["labels"].get(POOL_LABEL),
        )
        for item in axiom.store.list("nodes")
    }


def published(axiom: EmbeddedAxiom, namespace: str, name: str) -> set[str]:
    """The addresses in the status of a Service."""
    service = axiom.store.get("services", name, namespace)
    assert service is not None
    return {item["ip"] for item in service["status"]["loadBalancer"]["ingress"]}


def set_labels(axiom: EmbeddedAxiom, name: str, **labels: str) -> None:
    """Somebody else sets labels."""
    axiom.store.mutate("nodes", name, lambda live: live["metadata"]["labels"].update(labels))


async def at_home(screen: Screen) -> None:
    await screen.sees("M-O-1", "K8s ● live", "Tailnet ● live", "none !")


async def mark(screen: Screen, *names: str) -> None:
    """Mark nodes on the Nodes screen by keyboard: j until it is there, then space."""
    await screen.press("g")
    rows = [row.name for row in screen.app.fleet.rows]
    for name in rows[: max(rows.index(name) for name in names) + 1]:
        await screen.press("space" if name in names else "j")


async def stage(screen: Screen, name: str) -> None:
    def is_there() -> bool:
        page = screen.app.screen
        return isinstance(page, WizardScreen) and page.stage == name and page._busy_since is None

    await screen.until(is_there, f"for the page {name}")


async def to_plan(screen: Screen) -> None:
    """From Choose over Check to Plan."""
    await stage(screen, "choose")
    await screen.press("ctrl+n")
    await stage(screen, "check")
    await screen.press("ctrl+n")
    await stage(screen, "plan")


async def apply(screen: Screen) -> None:
    """From Plan to Result; a dangerous plan gets the word that it wants."""
    await stage(screen, "plan")
    page = screen.app.screen
    assert isinstance(page, WizardScreen)
    if page.plan is not None and page.plan.typed_word:
        await screen.until(lambda: isinstance(screen.app.focused, Input), "for the field of the word")
        await screen.type(page.plan.typed_word)
    await screen.press("ctrl+n")
    await stage(screen, "result")


async def press_button(screen: Screen, name: str) -> None:
    """Tab to the button, then enter: as one does without a mouse."""
    for _ in range(10):
        focused = screen.app.focused
        if isinstance(focused, Button) and focused.id == name:
            await screen.press("enter")
            return
        await screen.press("tab")
    raise AssertionError(f"tab does not lead to the button {name}:\n{screen.lines}")


def entries() -> list[tuple[str, str]]:
    """The journal: subject and outcome of each plan, newest first."""
    return [
        (entry.subject, entry.outcome.value if entry.outcome else "cut short" if entry.cut_short else "?")
        for entry in Journal(state_directory()).entries()
    ]


# -- all the way -------------------------------------------------------------------------------------------


async def test_from_all_findings_to_their_end_and_back(axiom: EmbeddedAxiom) -> None:
    before = pools(axiom)
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await screen.press("5")
        await screen.sees("WALL-A-3 - labels public IP, should be external", "no load-balancer labels.")
        await screen.command("labels")
        await stage(screen, "choose")
        await screen.sees(*(f"[x] {name}" for name in WRONG), "[ ] WALL-A-1", "Policy in force")
        await screen.press("ctrl+n")
        await stage(screen, "check")
        await screen.sees("✓ pass Changes are allowed.", "✓ pass You have all rights", "✓ pass Nobody else")
        await screen.press("ctrl+n")
        await stage(screen, "plan")
        page = screen.page("plan")
        assert "kube-system/cilium-ingress: gains wall-a-4, loses wall-a-3" in page
        assert "minecraft/flasche: gains wall-a-3" in page
        assert "label node wall-a-4 svccontroller.k3s.cattle.io/enablelb=true" in page
        assert "Undo" in page
        assert "all of it can be undone" in page
        assert pools(axiom) == before  # nothing yet
        await screen.press("enter")  # Apply has the focus
        await stage(screen, "result")
        page = screen.page("result")
        assert "✓ Done." in page
        assert "Put WALL-A-3 into the pool external (before: enablelb=true, lbpool=internal)" in page
        assert "Left to do" not in page
        assert pools(axiom) == {**before, **MENDED}
        # What the plan foresaw is what the load balancer publishes now.
        assert published(axiom, "minecraft", "flasche") == {"116.203.10.1", "116.203.10.3", "116.203.10.8"}
        assert not {ip for ip in published(axiom, "kube-system", "cilium-ingress") if ip.startswith("116.")}
        await screen.press("c")
        await screen.said("Copied the transcript")
        lines = screen.app.clipboard.splitlines()
        assert any(line.startswith("kubectl --context axiom-demo label node wall-a-7 ") for line in lines)
        assert all(line.startswith(("#", "kubectl ")) for line in lines if line)
        # The findings are gone without anybody looking again.
        await screen.press("enter")
        await screen.sees("SEVERITY")
        await screen.sees_no("no load-balancer labels", "should be external", "external without a public")
        # The journal has it, and takes it back.
        await screen.press("6")
        await screen.sees("✓ done", "label WALL-A-3", "u takes it back.")
        await screen.press("u")
        await stage(screen, "plan")
        await screen.sees(f"Undo: {ALL}")
        assert "minecraft/flasche: loses wall-a-3; publishes 116.203.10.1" in screen.page("plan")
        await apply(screen)
        await screen.sees("✓ Done.")
        assert pools(axiom) == before
        await screen.press("enter")
        await screen.sees("○ undone")
        await screen.press("5")
        await screen.sees("no load-balancer labels.", "WALL-A-3 - labels public IP, should be external")


async def test_from_one_node_and_undo_from_its_result(axiom: EmbeddedAxiom) -> None:
    before = pools(axiom)
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await screen.type("/wall-a-4")
        await screen.press("enter", "l")
        await stage(screen, "choose")
        await screen.sees("[x] WALL-A-4", "[ ] WALL-A-3", "[ ] WALL-A-7")
        await to_plan(screen)
        await apply(screen)
        assert pools(axiom) == {**before, "wall-a-4": MENDED["wall-a-4"]}
        await press_button(screen, "undo")
        await stage(screen, "plan")
        await screen.sees("Undo: Load-balancer labels")
        await apply(screen)
        assert pools(axiom) == before
        assert [how for _, how in entries()] == ["done", "done"]


async def test_from_marked_nodes_into_a_pool_of_ones_own(axiom: EmbeddedAxiom) -> None:
    before = pools(axiom)
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await mark(screen, "WALL-A-2", "WALL-A-9")
        await screen.sees("2 marked")
        await screen.press("l")
        await stage(screen, "choose")
        await screen.sees("[x] WALL-A-2", "[x] WALL-A-9", "[ ] WALL-A-4")
        await screen.press("tab", "enter", "end", "enter")
        await screen.until(lambda: isinstance(screen.app.focused, Input), "for the name of the pool")
        await screen.press("ctrl+n")
        await screen.sees("Type the name of the pool.")
        await screen.type("in ternal")
        await screen.press("ctrl+n")
        await screen.sees("Kubernetes would refuse the pool 'in ternal'")
        await screen.press(*["backspace"] * len("in ternal"))
        await screen.type("games")
        await to_plan(screen)
        assert "Put WALL-A-2 into the pool games" in screen.page("plan")
        await apply(screen)
        mine = ("true", "games")
        assert pools(axiom) == {**before, "wall-a-2": mine, "wall-a-9": mine}


async def test_labels_written_on_the_node_too(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts["wall-a-4"]
    host.sudo = Sudo.NOPASSWD
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await screen.type("/wall-a-4")
        await screen.press("enter", "l")
        await stage(screen, "choose")
        await screen.sees("[ ] also write them into K3s' configuration on the nodes (SSH)")
        await screen.press("tab", "tab", "space")
        await screen.sees("[x] also write them", "[x] WALL-A-4")
        await to_plan(screen)
        assert "Write the labels of WALL-A-4 into its K3s configuration" in screen.page("plan")
        assert "K3s is not restarted" in screen.page("plan")
        await apply(screen)
        await screen.sees("✓ Done.")
        assert "lbpool=internal" in host.files.read(OWN_PATH).decode()
        await press_button(screen, "undo")
        await apply(screen)
        await screen.sees("✓ Done.")
        assert not host.files.find(OWN_PATH)


async def test_from_one_finding(axiom: EmbeddedAxiom) -> None:
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await screen.press("5")
        await screen.type("/no load-balancer")
        await screen.press("enter", "enter")
        await stage(screen, "choose")
        await screen.sees("[x] WALL-A-4", "[ ] WALL-A-3")
        # enter goes on with what was filled in; space marks.
        await screen.sees("⏎ go on", "space mark", "a workers", "^n check")
        await screen.press("enter")
        await stage(screen, "check")
        await screen.press("ctrl+b")
        await stage(screen, "choose")
        await screen.sees("[x] WALL-A-4", "[ ] WALL-A-3")
        await screen.press("space")
        await screen.sees("[ ] WALL-A-4", "[ ] WALL-A-3")


@pytest.mark.parametrize(
    ("words", "key", "mends", "other"),
    [("tagged as a node", "n", "n join", "l labels"), ("no load-balancer", "l", "l labels", "n join")],
)
async def test_the_key_that_a_remedy_names_works_beside_it(
    axiom: EmbeddedAxiom, words: str, key: str, mends: str, other: str
) -> None:
    async with running(axiom.settings, (80, 24)) as screen:
        await at_home(screen)
        await screen.press("5")
        await screen.type(f"/{words}")
        await screen.press("enter")
        await screen.sees("⏎ mend", mends)
        await screen.sees_no(other)
        await screen.press("n" if key == "l" else "l")  # that of the other wizard does nothing
        await screen.sees("SEVERITY")
        await screen.press(key)
        await stage(screen, "choose")
        await screen.press("escape")
        await screen.sees("SEVERITY")


async def test_a_device_is_joined_from_its_details(axiom: EmbeddedAxiom) -> None:
    async with running(axiom.settings, (80, 24)) as screen:
        await at_home(screen)
        await screen.type("/ubuntu-4gb")
        await screen.press("enter", "enter")
        await screen.sees("n join")
        await screen.press("n")
        await stage(screen, "choose")
        await screen.sees("Join a node", "ubuntu-4gb")


async def test_a_finding_without_a_wizard_leads_to_its_node(axiom: EmbeddedAxiom) -> None:
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await screen.press("5")
        await screen.type("/no load-balancer")
        await screen.press("enter")
        await screen.sees("⏎ mend")
        await screen.press("escape")
        await screen.type("/NotReady")
        await screen.press("enter")
        await screen.sees("⏎ go to node", "is NotReady since")
        await screen.press("escape")
        await screen.type("/different places")
        await screen.press("enter")
        await screen.sees_no("⏎")  # it is about no node, and no wizard mends it
        await screen.press("enter", "escape")
        await screen.sees("SEVERITY")
        await screen.type("/NotReady")
        await screen.press("enter", "enter")
        await screen.sees("VERDICT")
        selected = getattr(screen.app.screen, "selected", None)
        assert selected is not None
        assert selected.key == "wall-a-7"


async def test_the_keys_say_what_they_do_on_each_page(axiom: EmbeddedAxiom) -> None:
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await screen.command("labels")
        await stage(screen, "choose")
        await screen.sees("^n check", "esc leave")
        await screen.press("ctrl+n")
        await stage(screen, "check")
        await screen.sees("^n plan", "^b back", "esc leave")
        await screen.press("ctrl+n")
        await stage(screen, "plan")
        await screen.sees("^n apply", "^b back", "esc leave")
        await screen.press("ctrl+n")
        await stage(screen, "result")
        await screen.sees("esc close", "c copy transcript")
        await screen.sees_no("^n", "^b")
        await press_button(screen, "undo")
        await stage(screen, "plan")
        await screen.sees("▶1 Plan", "2 Apply", "3 Result", "^n apply")
        await screen.sees_no("^b", "Choose")


async def test_from_a_service_on_exposure(axiom: EmbeddedAxiom) -> None:
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await screen.press("2")
        await screen.sees("minecraft/flasche")
        await screen.type("/flasche")
        await screen.press("enter", "enter")
        await screen.sees("Nodes that serve it", "wall-a-8", "Host names", "c copy all")
        await screen.press("escape", "l")
        await stage(screen, "choose")
        await screen.sees("[x] WALL-A-1", "[x] WALL-A-8", "[ ] WALL-A-4")
        await screen.press("escape")
        await screen.command("labels")
        await stage(screen, "choose")
        await screen.sees(*(f"[x] {name}" for name in WRONG))


async def test_what_is_as_wanted_needs_no_plan(axiom: EmbeddedAxiom) -> None:
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await screen.press("l")  # M-O-1, which needs no labels
        await to_plan(screen)
        await screen.sees("There is nothing to do.", "Already so", "M-O-1")
        await screen.press("ctrl+n")  # there is nothing to apply
        await stage(screen, "plan")
        assert entries() == []


async def test_no_node_at_all_is_asked_for_one(axiom: EmbeddedAxiom) -> None:
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await screen.press("l")
        await stage(screen, "choose")
        await screen.press("f", "a", "a", "ctrl+n")
        await screen.sees("Mark at least one node: space marks one, a all workers, f all that are wrong.")
        await stage(screen, "choose")


async def test_keys_mark_all_workers_or_all_that_are_wrong(axiom: EmbeddedAxiom) -> None:
    async with running(axiom.settings, (80, 24)) as screen:
        await at_home(screen)
        await screen.command("labels")
        await stage(screen, "choose")
        nodes = screen.app.screen.query_one(NodeList)
        wrong = {name.lower() for name in WRONG}
        workers = {row.key for row in screen.app.fleet.rows if row.node and row.role is not Role.SERVER}
        assert set(nodes.marked) == wrong
        await screen.sees("⏎ go on", "a workers", "f wrong", "^n check", "esc leave", "? help")
        # The cursor stops at both ends.
        await screen.press("k", "up")
        assert nodes.highlighted == 0
        await screen.press("G", "j", "down")
        assert nodes.highlighted == nodes.option_count - 1
        await screen.press("space")  # the last one is a worker that was right, or a server
        last = nodes.get_option_at_index(nodes.option_count - 1).id
        assert set(nodes.marked) == wrong | {last}
        await screen.press("g")
        assert nodes.highlighted == 0
        await screen.press("a")
        assert set(nodes.marked) == workers | {last}
        await screen.press("a")
        assert set(nodes.marked) == {last} - workers
        await screen.press("f")
        assert set(nodes.marked) == wrong


# -- what must not be possible -----------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["choose", "check", "plan"])
async def test_leaving_before_apply_changes_nothing_and_says_so(axiom: EmbeddedAxiom, page: str) -> None:
    before = {item["metadata"]["name"]: item for item in axiom.store.list("nodes")}
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await screen.command("labels")
        await stage(screen, "choose")
        for name in ("check", "plan")[: ("choose", "check", "plan").index(page)]:
            await screen.press("ctrl+n")
            await stage(screen, name)
        await screen.press("escape")
        await screen.said("Left “Load-balancer labels”: nothing was changed.")
        await screen.sees("VERDICT")
    assert {item["metadata"]["name"]: item for item in axiom.store.list("nodes")} == before
    assert axiom.store.get("leases.coordination.k8s.io", "axiom-tui", "kube-system") is None
    assert entries() == []


@pytest.mark.parametrize("page", ["choose", "check", "plan", "result"])
async def test_ctrl_c_leaves_the_wizard_and_not_the_program(axiom: EmbeddedAxiom, page: str) -> None:
    pages = ("choose", "check", "plan", "result")
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await screen.command("labels")
        await stage(screen, "choose")
        for name in pages[1 : pages.index(page) + 1]:
            await screen.press("ctrl+n")
            await stage(screen, name)
        await screen.command("help")
        await screen.sees("^c leave the wizard")
        await screen.press("ctrl+c")  # the dialog first, as esc does
        await stage(screen, page)
        await screen.press("ctrl+c")
        await screen.sees("VERDICT")
        assert screen.app.return_code is None
        await screen.press("ctrl+c")
        assert screen.app.return_code == 0


async def test_back_from_plan_and_check_keeps_the_choices(axiom: EmbeddedAxiom) -> None:
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await screen.press("5")
        await screen.command("labels")
        await to_plan(screen)
        await screen.press("ctrl+b")
        await stage(screen, "check")
        await screen.press("ctrl+b")
        await stage(screen, "choose")
        await screen.sees(*(f"[x] {name}" for name in WRONG))


async def test_read_only_refuses(axiom: EmbeddedAxiom) -> None:
    before = pools(axiom)
    async with running(axiom.settings, SIZE, Overrides(read_only=True)) as screen:
        await at_home(screen)
        await screen.sees("READ-ONLY")
        await screen.press("5")
        await screen.command("labels")
        await stage(screen, "choose")
        await screen.sees("[READ-ONLY]")
        await screen.press("ctrl+n")
        await stage(screen, "check")
        await screen.sees("✗ fail axiom-tui is in read-only mode here.", "Start it without --read-only")
        await screen.press("ctrl+n", "enter")
        await stage(screen, "check")  # there is no way on, and enter is not the way back
        await screen.press("tab", "enter")
        assert pools(axiom) == before
        assert entries() == []


async def test_a_viewer_is_told_which_rights_are_missing(axiom: EmbeddedAxiom) -> None:
    config = axiom.kubernetes.write_kubeconfig(
        axiom.directory / "viewer", context="axiom-demo", user="viewer"
    )
    settings = axiom.directory / "viewer.yaml"
    settings.write_text(axiom.settings.read_text().replace(str(axiom.kubeconfig), str(config)))
    before = pools(axiom)
    async with running(settings, SIZE) as screen:
        await at_home(screen)
        await screen.press("5")
        await screen.command("labels")
        await stage(screen, "choose")
        await screen.press("ctrl+n")
        await stage(screen, "check")
        await screen.sees("✗ fail You may not: patch nodes", "create leases.coordination.k8s.io")
        await screen.press("ctrl+n", "ctrl+n")
        await stage(screen, "check")
        assert pools(axiom) == before


async def test_what_is_looked_at_hangs(axiom: EmbeddedAxiom) -> None:
    """Check says why it could not look; going back and on again works once the API is there."""
    async with running(impatient(axiom), SIZE) as screen:
        await at_home(screen)
        await screen.press("5")
        await screen.command("labels")
        await stage(screen, "choose")
        axiom.faults.set("hang", path="/api/v1/nodes")
        await screen.press("ctrl+n")
        await screen.sees("Looking … (")
        await stage(screen, "check")
        await screen.sees("did not answer within 2 s")
        await screen.press("ctrl+n")
        await stage(screen, "check")
        axiom.faults.clear()
        await screen.press("ctrl+b")
        await to_plan(screen)


# -- while it runs -----------------------------------------------------------------------------------------


async def begun(screen: Screen, axiom: EmbeddedAxiom) -> None:
    """Apply all; the API hangs at the second node, after the first has its labels."""
    await at_home(screen)
    await screen.press("5")
    await screen.command("labels")
    await to_plan(screen)
    axiom.faults.set("hang", path="/api/v1/nodes/wall-a-4")
    await screen.press("ctrl+n")
    await screen.until(lambda: pools(axiom)["wall-a-3"] == MENDED["wall-a-3"], "for the first node")
    await screen.sees("✓ done Put WALL-A-3", "▶ running Put WALL-A-4", "· pending", "until")


RUNNING = "“Load-balancer labels” is running"


@pytest.mark.parametrize("key", ["q", "ctrl+c", "escape"])
async def test_a_run_is_stopped_only_between_two_steps(axiom: EmbeddedAxiom, key: str) -> None:
    before = pools(axiom)
    async with running(impatient(axiom, deadline="60s"), SIZE) as screen:
        await begun(screen, axiom)
        await screen.press(key)
        if key != "escape":
            await screen.sees(RUNNING, "Stay", "Stop the plan after this step, then leave")
            await screen.press(key)  # once more: it is asked already
            await screen.press("escape")
            await screen.sees_no(RUNNING, "Cancelling")
            await screen.press(key)
            await screen.sees(RUNNING)
            await screen.press("j", "enter")
        await screen.sees("Cancelling: the run ends after this step.")
        assert screen.app.return_code is None
        axiom.faults.clear()
        await stage(screen, "result")
        await screen.sees("○ Cancelled.", "what was done before stays done")
        half = {**before, "wall-a-3": MENDED["wall-a-3"], "wall-a-4": MENDED["wall-a-4"]}
        assert pools(axiom) == half
        assert entries() == [(ALL, "cancelled")]
        await screen.press("enter")
        await screen.press("6")
        await screen.sees("○ cancelled", "r resumes it.")
        await screen.press("r")
        await stage(screen, "plan")
        await screen.sees(f"Resume: {ALL}")
        await apply(screen)
        await screen.sees("✓ Done.")
        assert pools(axiom) == {**before, **MENDED}
        assert entries() == [(ALL, "done")]


async def test_the_program_is_not_left_from_another_screen_while_a_plan_runs(axiom: EmbeddedAxiom) -> None:
    async with running(impatient(axiom, deadline="60s"), SIZE) as screen:
        await begun(screen, axiom)
        await screen.press("1")
        await screen.press("q")
        await screen.sees(RUNNING, "VERDICT")
        await screen.press("enter")  # stay
        assert screen.app.return_code is None
        axiom.faults.clear()
        await screen.until(lambda: entries() == [(ALL, "done")], "for its end")
        # The journal knows it first.
        await screen.until(
            lambda: not any(wizard.is_running_plan for wizard in screen.app.wizards),
            "for the wizard to hear of it",
        )
        await screen.press("q")
        await screen.until(lambda: screen.app.return_code == 0, "for the end of the program")


async def test_the_program_ends_when_the_plan_has_stopped(axiom: EmbeddedAxiom) -> None:
    async with running(impatient(axiom, deadline="60s"), SIZE) as screen:
        await begun(screen, axiom)
        await screen.press("q")
        await screen.sees(RUNNING)
        await screen.press("j", "j", "enter")
        await screen.sees("Cancelling: the run ends after this step.")
        assert screen.app.return_code is None
        axiom.faults.clear()
        await screen.until(lambda: screen.app.return_code == 0, "for the end of the program")
        assert entries() == [(ALL, "cancelled")]
        assert pools(axiom)["wall-a-4"] == MENDED["wall-a-4"]


async def test_no_other_cluster_while_a_wizard_is_open(axiom: EmbeddedAxiom) -> None:
    """The wizard's plan belongs to the cluster that it was opened on."""
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await screen.press("5")
        await screen.command("labels")
        await to_plan(screen)
        sessions = len(screen.app.sessions)
        await screen.command("ctx axiom-demo")
        await screen.said("its plan is for this cluster: leave it first")
        assert len(screen.app.sessions) == sessions
        await apply(screen)
        await screen.sees("✓ Done.")


async def test_the_api_lost_between_two_nodes(axiom: EmbeddedAxiom) -> None:
    before = pools(axiom)
    async with running(impatient(axiom), SIZE) as screen:
        await begun(screen, axiom)
        await stage(screen, "result")
        await screen.sees("✗ Failed.", "did not answer within 2 s", "Changed", "Left to do")
        await screen.sees("Put WALL-A-7 into the pool internal")
        assert pools(axiom) == {**before, "wall-a-3": MENDED["wall-a-3"]}
        await screen.press("enter")
        await screen.press("6")
        await screen.sees("✗ failed", "1/4", "r resumes it.")
        await screen.press("enter")
        await screen.sees("did not answer within")
        await screen.press("escape")
        axiom.faults.clear()
        await screen.press("r")
        await stage(screen, "plan")
        await apply(screen)
        await screen.sees("✓ Done.", "(in an earlier run of this plan)")
        assert pools(axiom) == {**before, **MENDED}


async def test_the_world_has_changed_between_plan_and_apply(axiom: EmbeddedAxiom) -> None:
    before = pools(axiom)
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await screen.press("5")
        await screen.command("labels")
        await to_plan(screen)
        set_labels(axiom, "wall-a-4", **{ENABLE_LABEL: "true", POOL_LABEL: "internal"})
        theirs = {**before, "wall-a-4": ("true", "internal")}
        await screen.press("ctrl+n")
        # Back at the plan: what is different, and the plan as it would be now.
        await screen.sees("The world has changed since the plan was made: nothing was run.")
        await stage(screen, "plan")
        await screen.sees("no longer: Put WALL-A-4 into the pool internal")
        assert pools(axiom) == theirs
        assert entries() == []
        assert "Put WALL-A-3" in screen.page("plan")
        await apply(screen)
        await screen.sees("✓ Done.")
        assert pools(axiom) == {**theirs, **MENDED}
        assert entries() == [("label WALL-A-3, WALL-A-7", "done")]


async def test_a_node_that_vanished_is_named(axiom: EmbeddedAxiom) -> None:
    before = pools(axiom)
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await screen.press("5")
        await screen.command("labels")
        await to_plan(screen)
        axiom.store.delete("nodes", "wall-a-4")
        await screen.press("ctrl+n")
        await screen.sees("There is no node WALL-A-4")
        before.pop("wall-a-4")
        assert pools(axiom) == before
        assert entries() == []


async def test_two_admins_at_once(axiom: EmbeddedAxiom) -> None:
    before = pools(axiom)
    client = connect(KubernetesOptions((axiom.kubeconfig,)))
    try:
        theirs = LeaseLock(client, Identity("berta", "laptop", 4711))
        theirs.acquire("label WALL-A-9", "plan-of-berta")
        async with running(axiom.settings, SIZE) as screen:
            await at_home(screen)
            await screen.press("5")
            await screen.command("labels")
            await stage(screen, "choose")
            await screen.press("ctrl+n")
            await stage(screen, "check")
            await screen.sees(
                "▲ warn berta@laptop (4711) is at work: label WALL-A-9.", "Wait until it is done"
            )
            await screen.press("ctrl+n")
            await stage(screen, "plan")
            await screen.press("ctrl+n")
            await screen.sees("Waiting for the lock of berta@laptop (4711), taken to label WALL-A-9,")
            assert pools(axiom) == before
            await screen.press("escape")
            await stage(screen, "result")
            await screen.sees("○ Cancelled.")
            assert pools(axiom) == before
            assert entries() == []
            await screen.press("enter")
            await screen.command("labels")
            await to_plan(screen)
            await screen.press("ctrl+n")
            await screen.sees("Waiting for the lock of berta@laptop (4711), taken to label WALL-A-9,")
            theirs.release()
            await stage(screen, "result")
            await screen.sees("✓ Done.")
            assert pools(axiom) == {**before, **MENDED}
    finally:
        client.disconnect()


async def test_a_plan_that_was_killed_is_resumed_from_the_journal(axiom: EmbeddedAxiom) -> None:
    before = pools(axiom)
    axiom.faults.set("hang", path="/api/v1/nodes/wall-a-4")
    command = [sys.executable, "-m", "axiom_tui", "--config", str(axiom.settings), "apply", "labels", "--yes"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            ends = time.monotonic() + DEADLINE
            while not any(entry.done for entry in Journal(state_directory()).entries()):
                assert time.monotonic() < ends, "the first node never got its labels"
                assert process.poll() is None
                time.sleep(0.01)
        finally:
            os.kill(process.pid, signal.SIGKILL)
    axiom.faults.clear()
    assert pools(axiom) == {**before, "wall-a-3": MENDED["wall-a-3"]}
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await screen.said("1 plan was cut short: 6 shows it, r resumes it.")
        await screen.sees("6 Journal ▲ 1 cut short")
        await screen.press("6")
        await screen.sees("▲ cut short", "r resumes it.")
        await screen.press("r")
        await stage(screen, "plan")
        page = screen.page("plan")
        assert "1 of 4 steps are done; it goes on with: Put WALL-A-4 into the pool internal" in page
        assert "1. ✓ Put WALL-A-3 into" in page
        assert "✓ Put WALL-A-4" not in page
        await apply(screen)
        await screen.sees("✓ Done.")
        assert pools(axiom) == {**before, **MENDED}
        await screen.press("enter")
        await screen.sees("✓ done")
        await screen.sees_no("cut short")


async def test_the_journal_says_no_where_there_is_nothing_to_do(axiom: EmbeddedAxiom) -> None:
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await screen.press("l")
        await stage(screen, "choose")
        await screen.press("escape", "6")
        await screen.sees("Nothing was changed from here yet.")
        await screen.press("r", "u", "enter", "c")  # none of them has anything to work on
        await screen.press("5")
        await screen.command("labels")
        await to_plan(screen)
        await apply(screen)
        await screen.press("enter", "6")
        await screen.sees("✓ done")
        await screen.press("r")
        await screen.said("This plan can't be resumed: it has ended.")
        await screen.press("u")
        await stage(screen, "plan")
        await apply(screen)
        await screen.press("enter")
        await screen.sees("○ undone")
        await screen.press("u")  # the cursor stays on its plan
        await screen.said("This plan can't be undone: it was undone already.")
        await screen.press("r")
        await screen.said("This plan can't be resumed: it was undone already.")
        await screen.press("g", "u")  # the undo itself
        await screen.said("This plan can't be undone: nothing in it can be taken back.")


# -- secrets -----------------------------------------------------------------------------------------------


async def test_a_secret_is_on_no_page_of_the_wizard(axiom: EmbeddedAxiom) -> None:
    """A token that somebody put into an annotation and a Service's name space never comes to the screen."""
    secret = "K10" + "0123456789abcdef" * 2 + "::server:hunter2hunter2"

    def leak(live: dict[str, Any]) -> None:
        live["metadata"]["annotations"]["k3s.io/node-args"] = json.dumps(["agent", "--token", secret])

    axiom.store.mutate("nodes", "wall-a-4", leak)
    seen = []
    async with running(axiom.settings, SIZE) as screen:
        await at_home(screen)
        await screen.press("5")
        await screen.command("labels")
        for name in ("choose", "check", "plan"):
            await stage(screen, name)
            seen.append(screen.lines)
            await screen.press("ctrl+n")
        await stage(screen, "result")
        seen.append(screen.lines)
        await screen.press("c", "enter", "6", "enter")
        seen += [screen.lines, screen.app.clipboard, *screen.app.messages]
    for path in state_directory().rglob("*"):
        with contextlib.suppress(IsADirectoryError):
            seen.append(path.read_text())
    assert not [text for text in seen if "hunter2" in text]


async def test_from_the_details_of_a_node_on_a_narrow_terminal(axiom: EmbeddedAxiom) -> None:
    """The remedy in the details names the key l; it works there too."""
    async with running(axiom.settings, (80, 24)) as screen:
        await at_home(screen)
        await screen.type("/wall-a-4")
        await screen.press("enter", "enter")
        await screen.sees(
            "no load-balancer labels", "Apply the labels: l, or `axiom-tui apply labels WALL-A-"
        )
        await screen.press("l")
        await stage(screen, "choose")
        await screen.sees("[x] WALL-A-4", "[ ] WALL-A-3")
        await screen.press("escape")
        await screen.sees("VERDICT")
