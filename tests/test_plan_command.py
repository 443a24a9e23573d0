"""`axiom-tui plan`, `apply`, `journal`, `resume` and `undo` on an embedded Axiom: the whole way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from axiom_tui import cli
from axiom_tui.clients.kubernetes import KubernetesOptions, connect
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL
from axiom_tui.plans.identity import Identity
from axiom_tui.plans.label_files import OWN_PATH
from axiom_tui.plans.lock import LeaseLock
from axiom_tui.simulator.axiom import EmbeddedAxiom
from axiom_tui.simulator.hosts.host import Sudo

DEADLINE = 60.0
MENDED = {
    "wall-a-3": ("true", "external"),
    "wall-a-4": ("true", "internal"),
    "wall-a-7": ("true", "internal"),
}
ROOT = Path(__file__).parents[1]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def axiom(tmp_path: Path) -> Iterator[EmbeddedAxiom]:
    with EmbeddedAxiom(tmp_path / "axiom", alive=False) as world:
        yield world


@pytest.fixture
def run(
    axiom: EmbeddedAxiom, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """Run a command line on the world as from a pipe: exit code, stdout, stderr."""

    def run_it(*arguments: str, settings: Path | None = None) -> tuple[int, str, str]:
        code = cli.main(["--config", str(settings or axiom.settings), *arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        yield run_it


def pools(axiom: EmbeddedAxiom) -> dict[str, tuple[str | None, str | None]]:
    return {
        item["metadata"]["name"]: (
            item["metadata"]["labels"].get(ENABLE_LABEL),
            item["metadata"]["labels"].get(POOL_LABEL),
        )
        for item in axiom.store.list("nodes")
    }


def only_entry(run: Run) -> dict[str, Any]:
    code, out, _ = run("journal", "-o", "json")
    assert code == 0
    (entry,) = json.loads(out)["items"]
    assert isinstance(entry, dict)
    return entry


def as_user(axiom: EmbeddedAxiom, user: str) -> Path:
    config = axiom.kubernetes.write_kubeconfig(axiom.directory / user, context="axiom-demo", user=user)
    path = axiom.directory / f"{user}.yaml"
    path.write_text(axiom.settings.read_text().replace(str(axiom.kubeconfig), str(config)))
    return path


def impatient(axiom: EmbeddedAxiom) -> Path:
    path = axiom.directory / "impatient.yaml"
    text = axiom.settings.read_text()
    path.write_text(text.replace("kubernetes:\n", "kubernetes:\n  read_timeout: 700ms\n"))
    return path


# -- plan --------------------------------------------------------------------------------------------------


def test_a_plan_is_shown_and_nothing_is_done(run: Run, axiom: EmbeddedAxiom) -> None:
    before = {item["metadata"]["name"]: item for item in axiom.store.list("nodes")}
    code, out, said = run("plan", "labels")
    assert (code, said) == (0, "")
    assert "label node wall-a-4 svccontroller.k3s.cattle.io/enablelb=true" in out
    assert "kube-system/cilium-ingress" in out
    assert "all of it can be undone" in out
    assert {item["metadata"]["name"]: item for item in axiom.store.list("nodes")} == before
    assert axiom.store.get("leases.coordination.k8s.io", "axiom-tui", "kube-system") is None
    assert run("journal")[1:] == ("", "Nothing was changed from this machine yet.\n")


def test_a_plan_as_json(run: Run) -> None:
    code, out, _ = run("plan", "labels", "WALL-A-4", "wall-a-9", "--pool", "games", "-o", "json")
    plan = json.loads(out)
    assert code == 0
    assert (plan["apiVersion"], plan["kind"], plan["plan"]) == ("axiom-tui/v1", "Plan", "label-nodes")
    assert plan["cluster"]["name"] == "axiom-demo"
    assert [step["key"] for step in plan["steps"]][:2] == ["label/wall-a-4", "label/wall-a-9"]
    assert all("lbpool=games" in step["commands"][0] for step in plan["steps"][:2])
    assert [step["key"] for step in plan["steps"]][2:] == ["servicelb"]
    assert not any(step["leftToYou"] for step in plan["steps"])
    assert "patch nodes" in plan["rights"]


def test_no_pool_removes_both_labels(run: Run) -> None:
    _, out, _ = run("plan", "labels", "wall-a-1", "--no-pool", "-o", "json")
    (command,) = json.loads(out)["steps"][0]["commands"]
    assert f"{ENABLE_LABEL}- {POOL_LABEL}-" in command


@pytest.mark.parametrize("command", [("plan", "labels", "wall-a-1"), ("apply", "join", "somewhere")])
def test_a_pool_without_a_name_is_no_way_to_remove_labels(
    axiom: EmbeddedAxiom, capfd: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    """As from a script whose variable is not set."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["--config", str(axiom.settings), *command, "--pool", ""])
    assert caught.value.code == 2
    assert "no pool is named; --no-pool removes the labels" in capfd.readouterr().err


def test_labels_on_the_nodes_are_steps_of_their_own(run: Run, axiom: EmbeddedAxiom) -> None:
    _, out, _ = run("plan", "labels", "wall-a-3", "--persist", "-o", "json")
    keys = [step["key"] for step in json.loads(out)["steps"]]
    assert keys == ["label/wall-a-3", "servicelb", "k3s-config/wall-a-3"]
    # There is no terminal to ask for sudo's password on: the labels stay, and it can be resumed.
    code, out, said = run("apply", "labels", "wall-a-3", "--persist", "--yes")
    assert code == 1
    assert "sudo on" in said
    assert "none was given" in said
    assert pools(axiom)["wall-a-3"] == MENDED["wall-a-3"]
    host = axiom.hosts["wall-a-3"]
    assert not host.files.find(OWN_PATH)
    host.sudo = Sudo.NOPASSWD
    code, out, said = run("resume", "--yes")
    assert (code, said) == (0, "")
    assert "K3s on WALL-A-3 is not restarted" in out
    assert "lbpool=external" in host.files.read(OWN_PATH).decode()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("wall-a-99",), "wall-a-99"),
        (("wall-a-4", "--pool", "in ternal"), "in ternal"),
    ],
)
def test_what_cannot_be_planned_is_said(run: Run, arguments: tuple[str, ...], words: str) -> None:
    for command in ("plan", "apply"):
        code, out, said = run(command, "labels", *arguments)
        assert (code, out) == (2, "")
        assert words.lower() in said.lower()
        assert said.count("\n") == 1


# -- apply -------------------------------------------------------------------------------------------------


def test_apply_then_undo(run: Run, axiom: EmbeddedAxiom) -> None:
    before = pools(axiom)
    code, out, said = run("apply", "labels", "--yes")
    assert (code, said) == (0, "")
    assert pools(axiom) == {**before, **MENDED}
    assert out.count("Changed: ") == len(MENDED)
    assert "Left to do" not in out
    code, out, _ = run("findings", "-o", "json")
    assert not [item for item in json.loads(out)["items"] if item["rule"].startswith("pool")]
    # A second time there is nothing to do.
    code, out, _ = run("apply", "labels", "--yes")
    assert code == 0
    assert "There is nothing to do." in out
    entry = only_entry(run)
    assert entry["state"] == "done"
    # Step by step, as lines that a person could have typed.
    code, out, _ = run("journal", entry["id"])
    assert code == 0
    assert all(line.startswith(("#", "kubectl ")) for line in out.splitlines() if line)
    # It opens an internal Service to the internet again: that wants the cluster's name typed.
    code, _, said = run("undo", entry["id"], "--yes")
    assert code == 2
    assert "Give it: --confirm axiom-demo" in said
    assert pools(axiom) != before
    code, out, said = run("undo", entry["id"], "--confirm", "axiom-demo")
    assert (code, said) == (0, "")
    assert pools(axiom) == before
    # What it does to the Services is said before its first step.
    effect = out.partition("plan 2026")[0].partition("Effect")[2]
    assert "minecraft/flasche: loses wall-a-3; publishes 116.203.10.1, 116.203.10.8 (was " in effect
    assert "error: kube-system/cilium-ingress, an internal Service, becomes reachable" in effect
    _, out, _ = run("journal", "-o", "json")
    assert [item["state"] for item in json.loads(out)["items"]] == ["done", "undone"]
    code, _, said = run("undo", entry["id"], "--yes")
    assert code == 2
    assert entry["id"] in said


def test_an_undo_that_stops_says_what_to_do(run: Run, axiom: EmbeddedAxiom) -> None:
    run("apply", "labels", "wall-a-3", "wall-a-4", "--yes")
    entry = only_entry(run)

    def theirs(live: dict[str, Any]) -> None:
        live["metadata"]["labels"][POOL_LABEL] = "theirs"

    axiom.store.mutate("nodes", "wall-a-3", theirs)
    code, out, said = run("undo", entry["id"], "--confirm", "WALL-A-4")
    assert code == 1
    assert "Changed: Take WALL-A-4 out of the load balancer again" in out
    assert "To have the earlier labels back, type: kubectl " in said
    assert out.endswith(f"\nTo take back the rest: axiom-tui undo {entry['id']}\n")


@pytest.mark.parametrize(
    ("names", "word"), [(("wall-a-1",), "WALL-A-1"), (("wall-a-1", "wall-a-3", "wall-a-8"), "axiom-demo")]
)
def test_a_dangerous_plan_wants_a_name_typed(
    run: Run, axiom: EmbeddedAxiom, names: tuple[str, ...], word: str
) -> None:
    """An internal Service becomes public: --yes alone is not enough, nor is another word."""
    before = pools(axiom)
    command = ("apply", "labels", *names, "--pool", "internal")
    code, out, said = run(*command, "--yes")
    assert code == 2
    assert "error: kube-system/cilium-ingress, an internal Service, becomes reachable" in out
    assert f'To apply it, type "{word}".' in out
    assert f"Give it: --confirm {word}" in said
    code, _, said = run(*command, "--yes", "--confirm", "yes")
    assert code == 2
    assert f'"{word}" was not typed' in said
    assert pools(axiom) == before
    code, _, said = run(*command, "--confirm", word)
    assert (code, said) == (0, "")
    assert {pools(axiom)[name] for name in names} == {("true", "internal")}


def test_without_a_terminal_yes_is_wanted(run: Run, axiom: EmbeddedAxiom) -> None:
    before = pools(axiom)
    code, out, said = run("apply", "labels")
    assert code == 2
    assert "There is no terminal to ask on." in said
    assert "--yes" in said
    assert "label node wall-a-4" in out  # what it would have done
    assert pools(axiom) == before


def test_read_only_refuses(run: Run, axiom: EmbeddedAxiom) -> None:
    before = pools(axiom)
    code, _, said = run("--read-only", "apply", "labels", "--yes")
    assert code == 2
    assert "read-only mode" in said
    assert pools(axiom) == before
    assert run("--read-only", "plan", "labels")[0] == 0
    settings = axiom.directory / "read-only.yaml"
    settings.write_text(axiom.settings.read_text() + "contexts: {axiom-demo: {read_only: true}}\n")
    code, _, said = run("apply", "labels", "--yes", settings=settings)
    assert code == 2
    assert "read-only mode" in said
    assert pools(axiom) == before


def test_missing_rights_are_named(run: Run, axiom: EmbeddedAxiom) -> None:
    before = pools(axiom)
    code, out, said = run("apply", "labels", "--yes", settings=as_user(axiom, "viewer"))
    assert code == 2
    assert "you may not: patch nodes" in said
    assert out.endswith("\nNothing was changed by this run.\n")
    code, out, said = run("apply", "labels", "--yes", settings=as_user(axiom, "noperm"))
    assert (code, out) == (2, "")
    assert "may not list nodes" in said
    assert pools(axiom) == before


def test_somebody_else_is_at_work(run: Run, axiom: EmbeddedAxiom) -> None:
    before = pools(axiom)
    client = connect(KubernetesOptions((axiom.kubeconfig,)))
    try:
        lock = LeaseLock(client, Identity("berta", "laptop", 4711))
        lock.acquire("label WALL-A-9", "plan-of-berta")
        code, _, said = run("apply", "labels", "--yes")
        assert code == 2
        assert "berta@laptop (4711) is changing this cluster" in said
        assert pools(axiom) == before
        lock.release()
    finally:
        client.disconnect()
    assert run("apply", "labels", "--yes")[0] == 0


def test_the_api_is_lost_between_two_nodes_and_resume_finishes(run: Run, axiom: EmbeddedAxiom) -> None:
    before = pools(axiom)
    axiom.faults.set("hang", path="/api/v1/nodes/wall-a-4")
    code, out, said = run("apply", "labels", "--yes", settings=impatient(axiom))
    assert code == 1
    assert "Changed: Put WALL-A-3 into the pool external" in out
    assert "did not answer within 0.7 s" in said
    assert pools(axiom) == {**before, "wall-a-3": MENDED["wall-a-3"]}
    entry = only_entry(run)
    assert entry["state"] == "failed"
    ways_on = "\n".join(
        (
            f"To go on: axiom-tui resume {entry['id']}",
            f"To take back what was done: axiom-tui undo {entry['id']}",
            "",
        )
    )
    assert out.endswith(ways_on)
    _, shown, _ = run("journal", entry["id"])
    assert shown.endswith("".join(f"# {line}\n" for line in ways_on.splitlines()))
    assert "did not answer" in entry["problem"]
    assert [step["state"] for step in entry["steps"]][:3] == ["done", "failed", "pending"]
    code, _, _ = run("resume", "--yes", entry["id"], settings=impatient(axiom))
    assert code == 1  # it still hangs
    axiom.faults.clear()
    # Nobody is told that what was done is still to be done.
    code, out, said = run("--read-only", "resume", "--yes", entry["id"])
    assert code == 2
    assert "not reached" not in out
    assert "Nothing was changed by this run. What an earlier run did stays as it is." in out
    code, out, said = run("resume", "--yes")
    assert (code, said) == (0, "")
    assert "(in an earlier run of this plan)" in out
    assert "To go on" not in out
    assert pools(axiom) == {**before, **MENDED}
    assert only_entry(run)["state"] == "done"
    code, _, said = run("resume", "--yes")
    assert code == 2
    assert "No plan waits to be resumed." in said


@pytest.mark.parametrize("command", ["journal", "resume", "undo"])
def test_an_unknown_plan_is_said(run: Run, command: str) -> None:
    code, out, said = run(command, "20260101T000000.000Z-label-nodes-000000")
    assert (code, out) == (2, "")
    assert "20260101T000000.000Z-label-nodes-000000" in said


# -- as a process ------------------------------------------------------------------------------------------


def command(axiom: EmbeddedAxiom, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "axiom_tui", "--config", str(axiom.settings), *arguments]


def test_a_process_that_is_killed_is_resumed_by_the_next(run: Run, axiom: EmbeddedAxiom) -> None:
    before = pools(axiom)
    axiom.faults.set("hang", path="/api/v1/nodes/wall-a-4")
    with subprocess.Popen(
        command(axiom, "apply", "labels", "--yes"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_for(lambda: pools(axiom)["wall-a-3"] == MENDED["wall-a-3"], process)
        finally:
            process.send_signal(signal.SIGKILL)
    axiom.faults.clear()
    assert only_entry(run)["state"] == "cut short"
    done = subprocess.run(
        command(axiom, "resume", "--yes"), capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert pools(axiom) == {**before, **MENDED}


def test_ctrl_c_ends_between_two_steps(run: Run, axiom: EmbeddedAxiom) -> None:
    before = pools(axiom)
    axiom.faults.set("hang", path="/api/v1/nodes/wall-a-4")
    with subprocess.Popen(
        command(axiom, "apply", "labels", "--yes"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            # The second time that its title comes: first in the plan, then when the step begins.
            titles = (line for line in process.stdout if "2. Put WALL-A-4" in line)
            assert next(titles)
            assert next(titles)
            process.send_signal(signal.SIGINT)
            assert "Cancelling" in process.stderr.readline()
            axiom.faults.clear()
            out, said = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
    assert process.returncode == 1
    assert "Changed: Put WALL-A-4 into the pool internal" in out
    assert "Cancelled by the admin" in said
    assert "Traceback" not in said
    assert pools(axiom) == {**before, **{name: MENDED[name] for name in ("wall-a-3", "wall-a-4")}}
    assert only_entry(run)["state"] == "cancelled"


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    ends = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < ends, "waited in vain for the first node"
        assert process.poll() is None, "the process has ended too early"
        time.sleep(0.01)


@pytest.mark.integration
def test_kubectl_sees_exactly_the_planned_labels(run: Run, axiom: EmbeddedAxiom, tmp_path: Path) -> None:
    program = shutil.which("kubectl")
    assert program is not None, (
        "kubectl is not on the PATH; on Debian and Ubuntu: apt install kubernetes-client"
    )

    def labels() -> dict[str, dict[str, str]]:
        done = subprocess.run(
            [
                program,
                f"--kubeconfig={axiom.kubeconfig}",
                f"--cache-dir={tmp_path}",
                "get",
                "nodes",
                "-o",
                "json",
            ],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=True,
        )
        items = json.loads(done.stdout)["items"]
        return {item["metadata"]["name"]: item["metadata"]["labels"] for item in items}

    before = labels()
    assert run("apply", "labels", "--yes")[0] == 0
    wanted = {name: dict(found) for name, found in before.items()}
    for name, (enable, pool) in MENDED.items():
        wanted[name] |= {ENABLE_LABEL: enable, POOL_LABEL: pool}
    assert labels() == wanted
    run("undo", only_entry(run)["id"], "--confirm", "axiom-demo")
    assert labels() == before


# -- documents ---------------------------------------------------------------------------------------------


def keys(value: Any) -> set[str]:
    """All field names of a document."""
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


def test_every_field_is_documented(run: Run) -> None:
    text = (ROOT / "docs/headless-json.md").read_text()
    _, plan, _ = run("plan", "labels", "-o", "json")
    run("apply", "labels", "--yes")
    _, journal, _ = run("journal", "-o", "json")
    _, entry, _ = run("journal", only_entry(run)["id"], "-o", "json")
    names = keys(json.loads(plan)) | keys(json.loads(journal)) | keys(json.loads(entry))
    assert {name for name in names if f'"{name}"' not in text and f"`{name}`" not in text} == set()
    for kind in ("Plan", "JournalList", "JournalEntry"):
        assert f'"kind": "{kind}"' in text


def test_no_secret_in_any_output(run: Run, axiom: EmbeddedAxiom) -> None:
    secret = "K10" + "0123456789abcdef" * 2 + "::server:hunter2hunter2"

    def leak(live: dict[str, Any]) -> None:
        live["metadata"]["annotations"]["k3s.io/node-args"] = json.dumps(["agent", "--token", secret])

    axiom.store.mutate("nodes", "wall-a-4", leak)
    said: list[str] = []
    for arguments in (
        ("plan", "labels", "-o", "json"),
        ("--debug", "apply", "labels", "--yes"),
        ("journal", "-o", "json"),
        ("nodes", "-o", "json"),
        ("findings", "-o", "json"),
    ):
        said += run(*arguments)[1:]
    state = Path(os.environ["AXIOM_TUI_STATE"])
    said += [path.read_text() for path in state.rglob("*") if path.is_file()]
    assert not [text for text in said if "hunter2" in text]
