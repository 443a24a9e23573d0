"""The program on an embedded Axiom, through its ordinary clients and settings, by keyboard alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from textual.events import Key
from textual.widget import Widget
from textual.widgets import Input

from axiom_tui.app import NOT_IN_HELP, Answered, AxiomApp, Failed, FleetSeen
from axiom_tui.config import load
from axiom_tui.fleet import kubernetes as kubernetes_source
from axiom_tui.fleet import source as source_module
from axiom_tui.model.fleet import SourceState
from axiom_tui.model.masking import MASK
from axiom_tui.model.problem import Problem, ProblemKind
from axiom_tui.simulator.axiom import EmbeddedAxiom
from screens.dialogs import TextScreen
from screens.frame import TABS, _is_offered
from screens.help import HelpScreen
from screens.nodes import NodesScreen
from tests.screens.live import DEADLINE, Screen, impatient, running

NODES = ("M-O-1", "M-O-2", "M-O-3", *(f"WALL-A-{number}" for number in (1, 2, 3, 4, 5, 7, 8, 9)))
SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])


@pytest.fixture(autouse=True)
def _still_clock() -> None:
    """Here the clock goes on: ages and next tries belong to what is tested."""


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come soon; how long they wait in earnest is tested with the sources."""
    monkeypatch.setattr(source_module, "FIRST_DELAY", 0.1)
    monkeypatch.setattr(source_module, "LONGEST_DELAY", 0.5)
    monkeypatch.setattr(kubernetes_source, "RELIST_JITTER", 0.05)
    monkeypatch.setattr(kubernetes_source, "METRICS_INTERVAL", 0.5)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAxiom]:
    with EmbeddedAxiom(tmp_path_factory.mktemp("axiom"), alive=False) as axiom:
        yield axiom


@pytest.fixture
def axiom(world: EmbeddedAxiom) -> Iterator[EmbeddedAxiom]:
    """One world for all tests, healthy again after each."""
    yield world
    world.faults.clear()


async def at_home(screen: Screen) -> None:
    """The fleet is there and every plane is live."""
    await screen.sees(*NODES[:4], "K8s ● live", "Tailnet ● live")


# -- what is there -----------------------------------------------------------------------------------------


@SIZES
async def test_the_fleet_appears_with_its_faults(axiom: EmbeddedAxiom, size: tuple[int, int]) -> None:
    async with running(axiom.settings, size) as screen:
        await at_home(screen)
        await screen.sees(*NODES, "ubuntu-4gb")
        await screen.until(
            lambda: f"! {len(screen.app.fleet.findings)} findings" in screen.text, "for their number"
        )
        await screen.sees("● direct", "▲ relay fra", "internal !", "none !")
        assert "SIMULATION" not in screen.text  # these are ordinary settings, as of a real cluster
        await screen.press("5")
        await screen.sees("WALL-A-7 is NotReady since", "labels")
        await screen.press("2")
        await screen.sees("minecraft/flasche", "gitea/gitea-ssh")
        await screen.press("6")
        await screen.sees("Nothing was changed from here yet.")
        await screen.press("1")
        await screen.sees("WALL-A-1")


async def test_the_first_rows_come_before_anything_is_asked_twice(axiom: EmbeddedAxiom) -> None:
    """A change in the cluster is seen by the watch, without a key being pressed."""
    async with running(axiom.settings) as screen:
        await at_home(screen)

        def cordon(on: bool) -> None:
            axiom.store.mutate("nodes", "wall-a-9", lambda live: live["spec"].update(unschedulable=on))

        cordon(True)
        try:
            await screen.sees("cordoned")
        finally:
            cordon(False)
        await screen.sees_no("cordoned")


@SIZES
async def test_details_with_events_and_dns(axiom: EmbeddedAxiom, size: tuple[int, int]) -> None:
    axiom.world.event("wall-a-4", "Rebooted", "Node wall-a-4 was rebooted", "kubelet", axiom.faults.now())
    async with running(axiom.settings, size) as screen:
        await at_home(screen)
        await screen.type("/wall-a-4")
        await screen.press("enter", "enter")
        await screen.sees("What is wrong", "no load-balancer labels", "Apply the labels")
        if size[0] >= 120:
            await screen.press("tab")
        await screen.sees_after("G", "Rebooted: Node wall-a-4 was rebooted", "wall-a-4.axiom.technat.ch")
        await screen.sees_no("asking …")
        await screen.press("escape")
        await screen.sees_no("What is wrong")


async def test_events_that_may_not_be_read_are_said_in_the_details(axiom: EmbeddedAxiom) -> None:
    async with running(axiom.settings, (80, 24)) as screen:
        await at_home(screen)
        axiom.faults.set("forbidden", path="/api/v1/events")
        await screen.press("enter")
        await screen.sees("Kubernetes")
        await screen.sees_after("G", "may not list events in the whole cluster (403)")


@SIZES
async def test_yaml(axiom: EmbeddedAxiom, size: tuple[int, int]) -> None:
    async with running(axiom.settings, size) as screen:
        await at_home(screen)
        await screen.press("y")
        await screen.sees("m-o-1 as YAML", "apiVersion: v1", "kind: Node")
        await screen.press("c")
        await screen.said("Copied by the terminal")
        document = yaml.safe_load(screen.app.clipboard)
        assert document["metadata"]["name"] == "m-o-1"
        await screen.press("escape")
        await screen.sees_no("apiVersion")


async def test_filter_and_labels_and_faults(axiom: EmbeddedAxiom) -> None:
    async with running(axiom.settings) as screen:
        await at_home(screen)
        await screen.type("/arm64")
        await screen.press("enter")
        await screen.sees("WALL-A-1", "WALL-A-5", "filter /arm64", "hidden, esc shows all")
        await screen.sees_no("WALL-A-2")
        await screen.press("escape")
        await screen.type("/!wall")
        await screen.press("enter")
        await screen.sees("M-O-3", "filter /!wall")
        await screen.sees_no("WALL-A-2")
        await screen.press("escape")
        await screen.sees(*NODES)
        await screen.type("/-l kubernetes.io/hostname=wall-a-2")
        await screen.press("enter")
        await screen.sees("WALL-A-2", f"{len(screen.app.fleet.rows) - 1} hidden")
        await screen.sees_no("WALL-A-3")
        await screen.press("escape")
        await screen.press("z")
        await screen.sees("faults only", "WALL-A-7")
        await screen.sees_no("WALL-A-9", "M-O-1 ")
        await screen.press("escape")
        await screen.sees(*NODES)
        await screen.type("/nobody")
        await screen.press("enter")
        await screen.sees("No row passes the filter; esc clears it.")


async def test_a_bad_selector_is_said_when_it_is_entered(axiom: EmbeddedAxiom) -> None:
    async with running(axiom.settings) as screen:
        await at_home(screen)
        await screen.type("/-l a=b=c")
        await screen.press("enter")
        await screen.said("a=b=c")


def order(screen: Screen) -> list[str]:
    """The names in the first column, from top to bottom."""
    words = [line.lstrip("›✓* ").split(" ")[0] for line in screen.lines.splitlines()]
    return [word for word in words if word in NODES]


async def test_sort_keeps_cursor_and_marks_on_their_nodes(axiom: EmbeddedAxiom) -> None:
    async with running(axiom.settings) as screen:
        await at_home(screen)
        await screen.until(lambda: order(screen) == list(NODES), "for servers first, then by number")
        await screen.press("j", "space")
        await screen.sees("1 marked")
        marked = screen.app.screen.chosen_rows()  # type: ignore[attr-defined]
        assert [row.name for row in marked] == ["M-O-2"]
        await screen.press("N", "N")
        await screen.until(lambda: order(screen) == list(reversed(NODES)), "for names turned around")
        # The same node; pings and ages of it may be others by now.
        assert [row.name for row in screen.app.screen.chosen_rows()] == ["M-O-2"]  # type: ignore[attr-defined]
        await screen.press("c")
        await screen.said("Copied m-o-2.")
        assert screen.app.clipboard == "m-o-2"
        await screen.press("escape")
        await screen.sees_no("1 marked")


@SIZES
@pytest.mark.parametrize("mode", [mode for _, mode, _ in TABS])
async def test_help_lists_exactly_the_keys_of_this_screen(
    axiom: EmbeddedAxiom, mode: str, size: tuple[int, int]
) -> None:
    async with running(axiom.settings, size) as screen:
        await at_home(screen)
        keys = {name: key for key, name, _ in TABS}
        own: dict[str, dict[str, str]] = {}
        for name, key in keys.items():
            await screen.press(key)
            own[name] = {
                screen.app.get_key_display(binding): binding.description
                for bindings in screen.app.screen._bindings.key_to_bindings.values()
                for binding in bindings
                if binding.description
                and binding.action not in NOT_IN_HELP
                and _is_offered(screen.app.screen, binding.action)
            }
        await screen.press(keys[mode], "question_mark")
        await screen.sees(f"Help: {mode}")
        help_screen = screen.app.screen
        assert isinstance(help_screen, HelpScreen)
        listed = [(key, what) for keys, what in help_screen._keys for key in keys.split(" ")]
        assert own[mode]
        assert set(own[mode].items()) <= set(listed)
        strange = {item for name in own for item in own[name].items() if item[0] not in own[mode]}
        assert not strange & set(listed)
        # The keys of the table and of the whole program are there too, and none that means nothing here.
        assert {"j", "k", "g", "G", "space", "⏎", "1", "2", "5", "6", "?", ":", "q"} <= {
            key for key, _ in listed
        }
        assert not {"super+c", "tab"} & {key for key, _ in listed}
        await screen.press("escape")
        await screen.sees_no("Help: ")


@SIZES
@pytest.mark.parametrize("mode", [mode for _, mode, _ in TABS])
async def test_the_key_bar_always_leads_to_all_other_keys(
    axiom: EmbeddedAxiom, mode: str, size: tuple[int, int]
) -> None:
    async with running(axiom.settings, size) as screen:
        await at_home(screen)
        await screen.press(next(key for key, name, _ in TABS if name == mode))
        await screen.until(
            lambda: "? help  : command" in screen.lines.splitlines()[-1], "for help in the bar"
        )


async def test_command_line_completes_remembers_and_answers_an_unknown_word(axiom: EmbeddedAxiom) -> None:
    async with running(axiom.settings) as screen:
        await at_home(screen)
        await screen.press("colon")
        await screen.type("fin")
        await screen.press("tab")
        await screen.until(lambda: screen.app.screen.query_one(Input).value == "findings", "for completion")
        await screen.press("enter")
        await screen.sees("SEVERITY")
        await screen.command("nodse")
        await screen.said("There is no command :nodse. Did you mean :nodes?")
        await screen.command("xyzzy")
        await screen.said("There is no command :xyzzy. ? lists them.")
        await screen.press("colon", "up")
        assert screen.app.screen.query_one(Input).value == "xyzzy"
        await screen.press("up", "up")
        assert screen.app.screen.query_one(Input).value == "findings"
        await screen.press("escape")
        await screen.command("messages")
        await screen.sees("Messages, newest first", "Did you mean :nodes?")
        await screen.press("c", "escape")
        assert "There is no command :nodse." in screen.app.clipboard


async def test_refresh_looks_again(axiom: EmbeddedAxiom) -> None:
    async with running(axiom.settings) as screen:
        await at_home(screen)
        before = screen.app.fleet.source("nodes")
        assert before is not None
        await screen.press("ctrl+r")
        await screen.said("Looking again.")
        await screen.until(lambda: screen.app.fleet.source("nodes") is not None, "for the nodes")
        await at_home(screen)


async def test_masked_flags_stay_masked(axiom: EmbeddedAxiom) -> None:
    """K3s masks the token in its annotation; what looks like one is masked in YAML and details as well."""
    secret = "K10deadbeefdeadbeef00::server:hunter2hunter2"

    def leak(live: dict[str, Any]) -> None:
        live["metadata"]["annotations"]["k3s.io/node-args"] = f'["server","--token","{secret}"]'

    before = axiom.store.get("nodes", "m-o-1")
    assert before is not None
    axiom.store.mutate("nodes", "m-o-1", leak)
    try:
        async with running(axiom.settings) as screen:
            await at_home(screen)
            await screen.press("enter", "tab")
            await screen.sees("K3s flags", "--token")
            for key in ("g", "pagedown", "pagedown", "pagedown"):
                await screen.press(key)
                assert "hunter2" not in screen.lines
            await screen.press("escape", "y")
            await screen.until(lambda: isinstance(screen.app.screen, TextScreen), "for the YAML")
            await screen.press("c")
            assert "hunter2" not in screen.app.clipboard
            assert MASK in screen.app.clipboard
    finally:
        axiom.store.mutate(
            "nodes",
            "m-o-1",
            lambda live: live["metadata"].update(annotations=before["metadata"]["annotations"]),
        )


# -- what goes wrong while it runs -------------------------------------------------------------------------

KUBERNETES_FAULTS: list[tuple[str, dict[str, Any], str, str]] = [
    ("hang", {}, "did not answer within 2 s (list nodes)", "It accepts connections but hangs"),
    ("refuse", {}, "Nothing listens at 127.0.0.1", "Is K3s running there"),
    ("cut", {}, "was cut while it answered", "It is opened again by itself"),
    ("unauthorized", {}, "does not accept the credentials of user 'axiom-demo-admin' (401)", "renew them in"),
    ("forbidden", {}, "may not list nodes in the whole cluster (403)", "Give the user a ClusterRole"),
    ("throttle", {}, "refuses to list nodes for 1 s", "asked again by itself"),
    ("broken", {}, "failed to list nodes: ", "Look at K3s on the servers"),
    ("broken", {"form": "text"}, "no healthy upstream (503)", "Look at K3s on the servers"),
    ("garbage", {}, "cannot be read", "It is read anew by itself"),
    ("slow", {"delay": 5.0}, "did not answer within 2 s", "It accepts connections but hangs"),
]


@pytest.mark.parametrize(
    ("kind", "options", "sentence", "remedy"),
    KUBERNETES_FAULTS,
    ids=[f"{kind}{'-text' if 'form' in options else ''}" for kind, options, _, _ in KUBERNETES_FAULTS],
)
async def test_kubernetes_fails_and_comes_back(
    axiom: EmbeddedAxiom, kind: str, options: dict[str, Any], sentence: str, remedy: str
) -> None:
    """The sentence stands in the trouble line, the rows stay with their age, and all comes back by itself."""
    async with running(impatient(axiom), (160, 40)) as screen:
        await at_home(screen)
        await screen.until(lambda: len(screen.app.fleet.rows) == len(NODES) + 3, "for all devices")
        good = screen.app.fleet.rows
        axiom.faults.set(kind, **options)
        await screen.press("ctrl+r")
        await screen.sees(sentence, remedy)
        await screen.sees("K8s ▲ stale", "Shown is what was true at", "Tailnet ● live", *NODES)
        status = screen.app.fleet.source("nodes")
        assert status is not None
        assert status.state is SourceState.STALE
        assert status.last_good is not None
        assert [row.key for row in screen.app.fleet.rows] == [row.key for row in good]
        axiom.faults.clear()
        await screen.sees("K8s ● live", *NODES)
        await screen.sees_no(sentence)


async def test_an_expired_position_is_read_anew_without_a_word(axiom: EmbeddedAxiom) -> None:
    """410 is normal after a compaction or a long sleep; only one that stays is trouble."""
    async with running(impatient(axiom), (160, 40)) as screen:
        await at_home(screen)
        axiom.store.compact()
        axiom.faults.set("expire")
        await screen.sees("no longer knows the position from which to watch nodes (410)")
        await screen.sees(*NODES)
        axiom.faults.clear()
        await screen.sees("K8s ● live")
        await screen.sees_no("(410)")


TAILNET_FAULTS = [
    ("ts-stopped", "Tailscale is switched off on this machine.", "sudo tailscale up"),
    ("ts-needs-login", "This machine is logged out of the tailnet, or its key has expired.", ""),
    ("ts-needs-approval", "This machine waits for approval in the tailnet.", "admin console"),
    ("ts-hang", "did not answer within 2 s", ""),
    ("ts-garbage", "tailnet: ", ""),
]


@pytest.mark.parametrize(
    ("kind", "sentence", "remedy"), TAILNET_FAULTS, ids=[row[0] for row in TAILNET_FAULTS]
)
async def test_the_tailnet_fails_and_comes_back(
    axiom: EmbeddedAxiom, kind: str, sentence: str, remedy: str
) -> None:
    async with running(impatient(axiom), (160, 40)) as screen:
        await at_home(screen)
        await screen.sees("● direct")
        axiom.faults.set(kind)
        await screen.sees(sentence, remedy, "Tailnet ▲ stale", "K8s ● live", "Shown is what was true at")
        await screen.sees(*NODES, "● direct")
        axiom.faults.clear()
        await screen.sees("Tailnet ● live")
        await screen.sees_no(sentence)


async def test_without_tailscale_all_else_works_and_it_is_said(axiom: EmbeddedAxiom) -> None:
    axiom.faults.set("ts-absent")
    async with running(impatient(axiom), (160, 40)) as screen:
        await screen.sees(*NODES, "K8s ● live", "Tailnet ○ off")
        await screen.sees("Tailscale", "tailnet: ")
        axiom.faults.clear()
        await screen.sees("Tailnet ● live", "● direct")
        await screen.sees_no("tailnet: ")


CONTROL_FAULTS = [
    ("control-unauthorized", "does not accept the token"),
    ("control-throttle", "asks to be asked less often"),
    ("control-broken", "is out of order (HTTP 500)"),
    ("control-garbage", "cannot be read"),
]


@pytest.mark.parametrize(("kind", "sentence"), CONTROL_FAULTS, ids=[row[0] for row in CONTROL_FAULTS])
async def test_the_control_api_fails_and_comes_back(axiom: EmbeddedAxiom, kind: str, sentence: str) -> None:
    async with running(impatient(axiom), (160, 40)) as screen:
        await at_home(screen)
        await screen.sees("pi5-keller")  # only the control API knows it
        axiom.faults.set(kind)
        await screen.press("ctrl+r")
        await screen.sees("tailnet-control: ", sentence, "pi5-keller", "K8s ● live")
        axiom.faults.clear()
        await screen.sees_no("tailnet-control: ")


async def test_pings_that_time_out_leave_no_path_that_nobody_sees(axiom: EmbeddedAxiom) -> None:
    async with running(impatient(axiom), (160, 40)) as screen:
        await at_home(screen)
        await screen.sees("▲ relay fra")
        axiom.faults.set("ts-ping-timeout")
        await screen.press("ctrl+r")
        await screen.until(
            lambda: any(
                row.device and row.device.latency.samples and row.device.latency.samples[-1] is None
                for row in screen.app.fleet.rows
            ),
            "for a lost ping in the latencies",
        )
        await screen.sees("K8s ● live", *NODES)


# -- starting where things are broken ----------------------------------------------------------------------


def kubeconfig_with(axiom: EmbeddedAxiom, **cluster: str) -> Path:
    """The world's kubeconfig with something else in its cluster."""
    config = yaml.safe_load(axiom.kubeconfig.read_text())
    config["clusters"][0]["cluster"].update(cluster)
    path = axiom.directory / "kubeconfig-lies"
    path.write_text(yaml.safe_dump(config))
    return path


def settings_for(axiom: EmbeddedAxiom, kubeconfig: Path) -> Path:
    path = axiom.directory / "other.yaml"
    text = impatient(axiom).read_text().replace(str(axiom.kubeconfig), str(kubeconfig))
    path.write_text(text)
    return path


@SIZES
async def test_start_with_the_network_gone(axiom: EmbeddedAxiom, size: tuple[int, int]) -> None:
    axiom.faults.set("refuse")
    axiom.faults.set("ts-hang")
    async with running(impatient(axiom), size) as screen:
        await screen.sees("Nothing listens at 127.0.0.1", "K8s ✗ failed", "Next try at")
        await screen.sees("Is K3s running there")
        axiom.faults.clear()
        await at_home(screen)
        await screen.sees_no("Nothing listens")


async def test_start_without_a_kubeconfig_and_mend_it(axiom: EmbeddedAxiom) -> None:
    missing = axiom.directory / "kubeconfig-later"
    missing.unlink(missing_ok=True)
    async with running(settings_for(axiom, missing)) as screen:
        await screen.sees("K8s ✗ failed", "kubeconfig-later")
        assert screen.app.session is None
        await screen.press("l")
        await screen.said("The nodes of the cluster are not known.")
        await screen.press("y")
        missing.write_text(axiom.kubeconfig.read_text())
        await screen.press("ctrl+r")
        await at_home(screen)


async def test_start_with_a_kubeconfig_that_trusts_another_authority(
    axiom: EmbeddedAxiom, tmp_path: Path
) -> None:
    with EmbeddedAxiom(tmp_path / "other", alive=False) as other:
        stranger = yaml.safe_load(other.kubeconfig.read_text())["clusters"][0]["cluster"]
    lies = kubeconfig_with(axiom, **{"certificate-authority-data": stranger["certificate-authority-data"]})
    async with running(settings_for(axiom, lies), (160, 40)) as screen:
        await screen.sees("K8s ✗ failed", "was not signed by the CA that", "kubeconfig-lies")
        await screen.sees("Tailnet ● live", "WALL-A-1")
        assert "● Ready" not in screen.text


async def test_start_with_a_kubeconfig_that_names_nobody(axiom: EmbeddedAxiom) -> None:
    lies = kubeconfig_with(axiom, server="https://m-o-1.nowhere.invalid:6443")
    async with running(settings_for(axiom, lies), (160, 40)) as screen:
        await screen.sees("K8s ✗ failed", "m-o-1.nowhere.invalid")


async def test_start_with_a_broken_kubeconfig(axiom: EmbeddedAxiom) -> None:
    path = axiom.directory / "kubeconfig-broken"
    path.write_text("clusters: [\n")
    async with running(settings_for(axiom, path)) as screen:
        await screen.sees("K8s ✗ failed", "kubeconfig-broken")


async def test_start_without_any_right(axiom: EmbeddedAxiom) -> None:
    path = axiom.kubernetes.write_kubeconfig(
        axiom.directory / "kubeconfig-noperm", context="axiom-demo", user="noperm"
    )
    async with running(settings_for(axiom, path), (160, 40)) as screen:
        await screen.sees("User 'axiom-noperm' may not list nodes in the whole cluster (403).", "ClusterRole")
        await screen.sees("K8s ✗ failed", "Tailnet ● live")
        await screen.press("2")
        await screen.sees("may not list services")


async def test_a_token_that_nobody_knows(axiom: EmbeddedAxiom) -> None:
    path = axiom.kubernetes.write_kubeconfig(
        axiom.directory / "kubeconfig-bad", context="axiom-demo", user="badtoken"
    )
    async with running(settings_for(axiom, path), (160, 40)) as screen:
        await screen.sees("does not accept the credentials of user", "(401)", "K8s ✗ failed")


async def test_a_viewer_sees_everything(axiom: EmbeddedAxiom) -> None:
    path = axiom.kubernetes.write_kubeconfig(
        axiom.directory / "kubeconfig-viewer", context="axiom-demo", user="viewer"
    )
    async with running(settings_for(axiom, path)) as screen:
        await at_home(screen)
        await screen.sees(*NODES)


# -- two clusters ------------------------------------------------------------------------------------------


@pytest.fixture
def two_worlds(axiom: EmbeddedAxiom, tmp_path: Path) -> Iterator[tuple[EmbeddedAxiom, Path]]:
    """A second world whose nodes have names of their own, and settings whose kubeconfig leads to both."""
    with EmbeddedAxiom(tmp_path / "second", nodes=14, seed=2, alive=False) as second:
        for node in second.store.list("nodes"):
            name = node["metadata"]["name"]
            second.store.mutate("nodes", name, lambda live: live["metadata"]["labels"].update(world="second"))
        first_config = yaml.safe_load(axiom.kubeconfig.read_text())
        other = second.kubernetes.write_kubeconfig(tmp_path / "kubeconfig-second", context="second")
        second_config = yaml.safe_load(other.read_text())
        for part in ("clusters", "users", "contexts"):
            first_config[part] += second_config[part]
        both = tmp_path / "kubeconfig-both"
        both.write_text(yaml.safe_dump(first_config))
        yield second, settings_for(axiom, both)
        second.faults.clear()


def nothing_mixed(screen: Screen) -> None:
    """No row of one cluster was ever shown under the name of the other."""
    for fleet in screen.app.shown:
        for row in fleet.rows:
            if row.node is not None:
                is_second = row.node.labels.get("world") == "second"
                assert is_second == (fleet.cluster.name == "second"), (fleet.cluster, row.name)


async def test_switching_clusters_mixes_nothing(
    axiom: EmbeddedAxiom, two_worlds: tuple[EmbeddedAxiom, Path]
) -> None:
    _, settings = two_worlds
    async with running(settings) as screen:
        await at_home(screen)
        for _ in range(3):
            await screen.command("ctx second")
            await screen.sees("second", "WALL-A-11", "K8s ● live")
            await screen.command("ctx axiom-demo")
            await screen.until(
                lambda: screen.app.fleet.cluster.name == "axiom-demo" and len(screen.app.fleet.rows) > 10,
                "for the first cluster",
            )
            await screen.sees("axiom-demo", *NODES)
            await screen.sees_no("WALL-A-11")
        # Without waiting: only the last one counts.
        for name in ("second", "axiom-demo", "second", "axiom-demo", "second"):
            screen.app.open_session(name)
        await screen.sees("second", "WALL-A-11", "K8s ● live")
        shown = {fleet.cluster.name for fleet in screen.app.shown}
        assert {"axiom-demo", "second"} <= shown
        nothing_mixed(screen)


async def test_where_a_cluster_cannot_be_opened_nothing_of_the_last_one_is_left(
    two_worlds: tuple[EmbeddedAxiom, Path], tmp_path: Path
) -> None:
    """What is asked then goes to no cluster, and in force is what the settings say of that context."""
    _, settings = two_worlds
    both = tmp_path / "kubeconfig-both"
    config = yaml.safe_load(both.read_text())
    config["contexts"].append({"name": "broken", "context": {"cluster": "gone", "user": "nobody"}})
    both.write_text(yaml.safe_dump(config))
    settings.write_text(f"{settings.read_text()}contexts: {{broken: {{read_only: true}}}}\n")
    async with running(settings) as screen:
        await at_home(screen)
        await screen.command("ctx broken")
        await screen.sees("broken", "READ-ONLY")
        answers: list[str] = []
        assert screen.app.in_background(lambda session: session.client().version(), answers.append)
        await screen.said("names the cluster 'gone', which is not there")
        assert answers == []
        assert screen.app.settings.kubernetes.context == "broken"
        await screen.command("ctx axiom-demo")
        await screen.sees("axiom-demo", *NODES)
        assert "READ-ONLY" not in screen.text


async def test_choosing_a_cluster_from_the_list(two_worlds: tuple[EmbeddedAxiom, Path]) -> None:
    _, settings = two_worlds
    async with running(settings, (80, 24)) as screen:
        await at_home(screen)
        await screen.command("ctx")
        await screen.sees("Which cluster?", "axiom-demo https://127.0.0.1", "second https://127.0.0.1")
        await screen.press("escape")
        await screen.sees_no("Which cluster?")
        assert screen.app.fleet.cluster.name == "axiom-demo"
        await screen.command("ctx")
        await screen.sees("Which cluster?")
        await screen.press("j", "enter")
        await screen.until(lambda: screen.app.fleet.cluster.name == "second", "for the second cluster")
        await screen.command("ctx nowhere")
        await screen.said("The kubeconfig has no context nowhere; it has axiom-demo, second.")
        assert screen.app.fleet.cluster.name == "second"
        nothing_mixed(screen)


async def test_what_a_left_cluster_answers_is_dropped(
    axiom: EmbeddedAxiom, two_worlds: tuple[EmbeddedAxiom, Path]
) -> None:
    """YAML was asked of the first cluster; its answer comes when the second is already shown."""
    _, settings = two_worlds
    async with running(settings) as screen:
        await at_home(screen)
        axiom.faults.set("hang", path="/api/v1/nodes/m-o-1")
        await screen.press("y")
        await screen.command("ctx second")
        axiom.faults.clear()
        await screen.sees("second", "WALL-A-11", "K8s ● live")
        await screen.sees_no("as YAML")
        assert not isinstance(screen.app.screen, TextScreen)
        nothing_mixed(screen)


async def test_news_of_a_left_cluster_that_are_still_under_way_are_dropped(
    two_worlds: tuple[EmbeddedAxiom, Path],
) -> None:
    """Fleets, answers and failures that were posted just before the switch arrive after it."""
    _, settings = two_worlds
    async with running(settings) as screen:
        await at_home(screen)
        app = screen.app
        left, number = app.fleet, app._session_number
        answers: list[str] = []
        app.open_session("second")
        app.post_message(FleetSeen(number, left))
        app.post_message(Answered(number, answers.append, "of the first cluster"))
        app.post_message(Failed(Problem(ProblemKind.BROKEN, "The first cluster failed."), number))
        await screen.sees("second", "WALL-A-11", "K8s ● live")
        nothing_mixed(screen)
        assert not any(fleet is left for fleet in app.shown[app.shown.index(left) + 1 :])
        assert answers == []
        assert not any("The first cluster failed." in line for line in app.messages)


async def test_a_cluster_that_hangs_is_left_at_once(
    axiom: EmbeddedAxiom, two_worlds: tuple[EmbeddedAxiom, Path]
) -> None:
    second, settings = two_worlds
    second.faults.set("hang")
    async with running(settings) as screen:
        await at_home(screen)
        await screen.command("ctx second")
        await screen.until(lambda: screen.app.fleet.cluster.name == "second", "for the second cluster")
        await screen.sees_no(*NODES)
        await screen.command("ctx axiom-demo")
        await at_home(screen)
        nothing_mixed(screen)


# -- leaving -----------------------------------------------------------------------------------------------


async def test_quitting_does_not_wait_for_what_hangs(axiom: EmbeddedAxiom) -> None:
    async with running(axiom.settings) as screen:
        await at_home(screen)
        axiom.faults.set("hang")
        axiom.faults.set("ts-hang")
        await screen.press("ctrl+r", "y", "enter")  # lists, watches, short questions and pings: all hang
        began = time.monotonic()
        await screen.press("q")
        await screen.until(lambda: screen.app.return_code == 0, "for the end")
        deadline = load(axiom.settings).settings.kubernetes.read_timeout.total_seconds()
        assert time.monotonic() - began < deadline


async def test_a_timer_that_fires_while_the_screens_are_taken_apart_disturbs_nothing(
    axiom: EmbeddedAxiom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Textual ends a screen widget by widget, and the program's clock goes on meanwhile."""
    fired: list[str] = []
    taken_apart = AxiomApp._prune

    async def taken_apart_in_between(app: AxiomApp, *nodes: Widget, **options: Any) -> None:
        await taken_apart(app, *nodes, **options)
        if isinstance(app.screen, NodesScreen) and not app.screen.children:
            app._tick()
            app._take(replace(app.fleet, rows=()))
            fired.append("tick")

    async with running(axiom.settings) as screen:
        await at_home(screen)
        monkeypatch.setattr(AxiomApp, "_prune", taken_apart_in_between)
    assert fired == ["tick"]


@pytest.mark.parametrize("screen_key", ["1", "5"])
async def test_what_comes_in_one_piece_with_its_first_key_is_typed_there(
    axiom: EmbeddedAxiom, screen_key: str
) -> None:
    """Over a slow line ":journal⏎" is one read; its letters are no keys of the screen beneath."""

    async def burst(*keys: str) -> None:
        driver = screen.app._driver
        assert driver is not None
        for key in keys:
            driver.send_message(Key(key, {"colon": ":", "slash": "/", "enter": "\r"}.get(key, key)))
        await screen.pilot.pause()

    async with running(axiom.settings) as screen:
        await at_home(screen)
        await screen.press(screen_key)
        await burst("slash", *"sw", "enter")
        await screen.sees("filter /sw")
        await burst("colon", *"journal", "enter")
        await screen.sees("[6 Journal]")
        # Where a text is typed, both are letters like any other.
        await screen.press(screen_key)
        await burst("slash", "a", "colon", "b", "slash", "enter")
        await screen.sees("filter /swa:b/")


class Terminal:
    """The program as a process of its own on a terminal of 80x24; what it writes is read all the time."""

    def __init__(self, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        command = [sys.executable, "-m", "axiom_tui", *arguments]
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, close_fds=True)
        os.close(slave)
        self.written = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # Linux says EIO when the other side has closed
            while data := os.read(self.master, 65536):
                self.written += data

    def press(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def wait_for(self, words: bytes) -> None:
        ends = time.monotonic() + DEADLINE
        while words not in self.written:
            assert time.monotonic() < ends, f"waited in vain for {words!r}: {self.written[-2000:]!r}"
            assert self.process.poll() is None, self.written[-2000:]
            time.sleep(0.01)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(DEADLINE)
        os.close(self.master)


def test_the_process_ends_though_the_api_hangs(axiom: EmbeddedAxiom) -> None:
    """Not only the screen is left: no thread and no import keeps the process alive."""
    terminal = Terminal("--config", str(axiom.settings))
    try:
        terminal.wait_for(b"WALL-A-9")
        terminal.wait_for(b"live")
        axiom.faults.set("hang")
        axiom.faults.set("ts-hang")
        terminal.press(b"\x12")  # ctrl+r
        terminal.wait_for(b"Looking again")
        terminal.press(b"q")
        deadline = load(axiom.settings).settings.kubernetes.read_timeout.total_seconds()
        assert terminal.process.wait(deadline) == 0
        terminal._reader.join(DEADLINE)
        assert b"\x1b[?1049l" in terminal.written  # the terminal is as it was
        assert b"Traceback" not in terminal.written
    finally:
        terminal.close()
