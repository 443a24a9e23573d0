"""`axiom-tui nodes` and `findings` against the embedded Axiom: the whole way, over real sockets."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from axiom_tui import cli
from axiom_tui.config import load
from axiom_tui.fleet.oneshot import look
from axiom_tui.model.problem import AxiomError, ProblemKind
from axiom_tui.simulator.axiom import EmbeddedAxiom
from axiom_tui.simulator.faults import parse_fault


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAxiom]:
    with EmbeddedAxiom(tmp_path_factory.mktemp("axiom"), alive=False) as axiom:
        yield axiom


@pytest.fixture
def axiom(world: EmbeddedAxiom) -> Iterator[EmbeddedAxiom]:
    """One world for all tests, healthy again after each."""
    yield world
    world.faults.clear()


def settings_with(axiom: EmbeddedAxiom, more: str) -> Path:
    """The world's settings file with short deadlines, and something more."""
    text = axiom.settings.read_text().replace("kubernetes:\n", "kubernetes:\n  read_timeout: 500ms\n")
    text = text.replace("tailscale:\n", "tailscale:\n  timeout: 500ms\n")
    path = Path(os.environ["HOME"]) / "config.yaml"
    path.write_text(text + more)
    return path


@pytest.fixture
def run(axiom: EmbeddedAxiom, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line on the world: exit code, stdout, stderr."""

    def run_it(*arguments: str, more: str = "") -> tuple[int, str, str]:
        code = cli.main(["--config", str(settings_with(axiom, more)), *arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run_it


Run = Callable[..., tuple[int, str, str]]


# --- what is there --------------------------------------------------------------------------------------


def test_nodes_as_a_table(run: Run) -> None:
    code, out, said = run("nodes")
    lines = out.splitlines()
    assert code == 1
    assert said == ""
    assert [line.split()[0] for line in lines] == [
        *("NODE", "M-O-1", "M-O-2", "M-O-3"),
        *(f"WALL-A-{number}" for number in (1, 2, 3, 4, 5, 7, 8, 9)),
    ]
    assert "public IP, should be external" in lines[6]
    assert "\x1b" not in out
    assert gc.isenabled()


def test_nodes_as_json(run: Run, axiom: EmbeddedAxiom) -> None:
    code, out, _ = run("nodes", "-o", "json", "--all")
    found = json.loads(out)
    assert code == 1
    assert found["cluster"]["version"] == "v1.33.4+k3s1"
    assert found["cluster"]["server"] == axiom.kubernetes.url
    assert {source["name"]: source["state"] for source in found["sources"]} == {
        "nodes": "live",
        "api": "live",
        "tailnet": "live",
        "tailnet-control": "live",
    }
    by_name = {item["name"]: item for item in found["items"]}
    assert by_name["WALL-A-3"]["tailnet"]["path"] == "relay"
    assert by_name["WALL-A-3"]["pool"] == {"found": "internal", "wanted": "external", "right": False}
    assert [item["name"] for item in found["items"] if item["kubernetes"] is None] == [
        "pi5-keller",  # only the control API knows it: it waits for approval
        "ubuntu-4gb-nbg1-2",
        "ubuntu-8gb-hel1-1",
    ]


def test_a_selector_narrows_what_is_shown_and_what_is_judged(run: Run) -> None:
    code, out, _ = run("nodes", "-l", "kubernetes.io/hostname=wall-a-1")
    assert (code, len(out.splitlines())) == (0, 2)
    code, out, said = run("nodes", "-l", "kubernetes.io/hostname=nobody")
    assert (code, said) == (0, "axiom-tui: No node matches the selector.\n")
    code, out, said = run("nodes", "-l", "a in (b")
    assert (code, out) == (2, "")
    assert "label selector" in said


def test_findings(run: Run) -> None:
    code, out, said = run("findings", "-o", "json")
    found = json.loads(out)
    assert (code, said) == (1, "")
    assert found["items"][0]["id"] == "not-ready:wall-a-7"
    assert {"pool-wrong:wall-a-3", "servers-apart:cluster"} <= {item["id"] for item in found["items"]}
    code, table, _ = run("check")
    assert code == 1
    assert len(table.splitlines()) == 1 + len(found["items"])


def test_settings_of_the_context_are_in_force(run: Run, axiom: EmbeddedAxiom) -> None:
    context = load(axiom.settings).settings.kubernetes.context
    more = f"contexts:\n  {context}:\n    pools: {{policy: all-internal}}\n"
    _, out, _ = run("nodes", "-o", "json", more=more)
    pools = {item["name"]: item["pool"]["wanted"] for item in json.loads(out)["items"]}
    assert (pools["WALL-A-1"], pools["M-O-1"]) == ("internal", "")


# --- what fails -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("ts-absent", "does not exist"),
        ("ts-stopped", "switched off"),
        ("ts-needs-login", "logged"),
        ("ts-hang", "did not answer"),
        ("ts-garbage", "read"),
    ],
)
def test_without_the_tailnet_the_nodes_are_shown_and_it_is_said(
    axiom: EmbeddedAxiom, run: Run, fault: str, expected: str
) -> None:
    axiom.faults.set(parse_fault(fault))
    code, out, said = run("nodes")
    assert code == 1
    assert len(out.splitlines()) == 12
    assert said.startswith("axiom-tui: tailnet: ")
    assert expected in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "fault", ["control-unauthorized", "control-throttle", "control-broken", "control-garbage"]
)
def test_without_the_control_api_the_rest_is_shown_and_it_is_said(
    axiom: EmbeddedAxiom, run: Run, fault: str
) -> None:
    axiom.faults.set(parse_fault(fault))
    code, out, said = run("nodes")
    assert code == 1
    assert "● direct" in out
    assert said.startswith("axiom-tui: tailnet-control: ")


@pytest.mark.parametrize(
    "fault",
    [
        "hang",
        "refuse",
        "cut",
        "unauthorized",
        "forbidden",
        "throttle",
        "broken",
        "broken:form=text",
        "garbage",
    ],
)
@pytest.mark.parametrize("output", ["table", "json"])
def test_when_the_nodes_cannot_be_read_it_is_said_and_nothing_is_printed(
    axiom: EmbeddedAxiom, run: Run, fault: str, output: str
) -> None:
    axiom.faults.set(parse_fault(fault))
    code, out, said = run("nodes", "-o", output)
    assert (code, out) == (2, "")
    assert said.startswith("axiom-tui: ")
    assert said.count("\n") == 1
    assert "Traceback" not in said


def test_findings_without_the_services_say_so(axiom: EmbeddedAxiom, run: Run) -> None:
    axiom.faults.set(parse_fault("forbidden:path=/api/v1/services"))
    code, out, said = run("findings")
    assert code == 1
    assert "WALL-A-7" in out
    assert said.startswith("axiom-tui: services: ")


def test_no_findings_while_something_could_not_be_asked_is_not_nothing_found(
    axiom: EmbeddedAxiom, run: Run
) -> None:
    """A cluster without nodes has no findings; unknown Services must not read as "all is well"."""
    nodes = axiom.store.list("nodes")
    for node in nodes:
        axiom.store.delete("nodes", node["metadata"]["name"])
    axiom.faults.set(parse_fault("ts-absent"))
    more = "tags: {node: [tag:nobody]}\n"
    try:
        assert run("findings", more=more)[0] == 0
        axiom.faults.set(parse_fault("forbidden:path=/api/v1/services"))
        assert run("findings", more=more)[0] == 2
    finally:
        for node in nodes:
            axiom.store.create("nodes", node)


def test_a_server_that_answers_without_end_is_left_after_the_whole_deadline(axiom: EmbeddedAxiom) -> None:
    axiom.faults.set(parse_fault("slow:delay=1"))
    with pytest.raises(AxiomError) as caught:
        look(load(axiom.settings).settings, longest=0.2)
    assert caught.value.problem.kind is ProblemKind.TIMED_OUT
    assert caught.value.problem.sentence.startswith("Reading nodes was not done after")


def test_no_kubeconfig_is_said(run: Run) -> None:
    code, out, said = run("nodes", "--kubeconfig", "/nowhere/config")
    assert (code, out) == (2, "")
    assert "/nowhere/config" in said


def test_no_such_context_is_said(run: Run) -> None:
    code, _, said = run("nodes", "--context", "axoim")
    assert code == 2
    assert "'axoim'" in said
    assert "axiom" in said.removeprefix("axiom-tui: ")


# --- watching -------------------------------------------------------------------------------------------


def test_watch_prints_changes_until_it_is_interrupted(axiom: EmbeddedAxiom) -> None:
    """In a process of its own, as a script runs it: its lines come at once though stdout is a pipe."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "axiom_tui",
            "--config",
            str(axiom.settings),
            "nodes",
            "--watch",
            "-o",
            "json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = _end_after(process, 60)
    try:
        assert process.stdout is not None
        lines: Iterator[dict[str, Any]] = map(json.loads, process.stdout)
        first = [next(lines) for _ in range(11)]
        assert {line["type"] for line in first} == {"ADDED"}
        assert first[0]["object"]["key"] == "m-o-1"
        _cordon(axiom, "wall-a-9", True)
        changed = next(line for line in lines if line["object"]["key"] == "wall-a-9")
        assert (changed["type"], changed["object"]["kubernetes"]["cordoned"]) == ("MODIFIED", True)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        _cordon(axiom, "wall-a-9", False)
    assert (process.returncode, said) == (130, "")


def test_watch_ends_when_its_reader_goes_away(axiom: EmbeddedAxiom) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "axiom_tui", "--config", str(axiom.settings), "nodes", "-w"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = _end_after(process, 60)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("NODE")
        process.stdout.close()
        deadline = time.monotonic() + 30
        cordoned = False
        while process.poll() is None and time.monotonic() < deadline:
            cordoned = not cordoned
            _cordon(axiom, "wall-a-9", cordoned)
            time.sleep(0.3)
        assert process.poll() == 141
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
        _cordon(axiom, "wall-a-9", False)


def _cordon(axiom: EmbeddedAxiom, name: str, cordoned: bool) -> None:
    axiom.store.mutate("nodes", name, lambda node: node["spec"].update(unschedulable=cordoned))


def _end_after(process: subprocess.Popen[str], seconds: float) -> threading.Timer:
    """A reader that waits for a line that never comes ends with the process."""
    timer = threading.Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()
    return timer
