"""Labels written into K3s' configuration on the nodes of the embedded Axiom, over real SSH and sudo."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from axiom_tui.clients.ssh_values import Completed
from axiom_tui.model.naming import NamingScheme
from axiom_tui.model.node import NODE_ARGS_ANNOTATION, Node
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL
from axiom_tui.model.problem import ProblemKind
from axiom_tui.model.secret import Secret
from axiom_tui.model.tailnet import TailnetDevice
from axiom_tui.plans.description import describe
from axiom_tui.plans.events import Event, Outcome, Output, Result, StepState
from axiom_tui.plans.hosts import Hosts
from axiom_tui.plans.label_files import CONFIG_FILE, FOLDER, JOIN_PATH, OWN_PATH, items_for
from axiom_tui.plans.label_nodes import PERSISTED
from axiom_tui.plans.label_persist import Login, NodeHost, PersistLabels, address_of, arguments_of
from axiom_tui.plans.proposal import propose_labels, resume, undo
from axiom_tui.plans.step import CancelToken, Json, Plan
from axiom_tui.simulator.hosts.host import Host, Sudo
from tests.plans.embedded import PASSWORD, Answers, Embedded, embedded
from tests.plans.world import CLUSTER, perform
from tests.simulator.host_runs import run_on

TOKEN = "K10" + "ab" * 32 + "::node:cdefcdefcdefcdef"
EXTERNAL, INTERNAL = items_for("external"), items_for("internal")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Embedded]:
    monkeypatch.setenv("AXIOM_TUI_STATE", str(tmp_path / "state"))
    with embedded(tmp_path) as running:
        for host in running.axiom.hosts:
            host.furnish()
        yield running


def persisted(world: Embedded, *names: str, pool: str | None = None) -> Result:
    return world.run(propose_labels(world.means, names, pool, persist=True))


def text_at(host: Host, path: str) -> str | None:
    return host.files.read(path).decode() if host.files.find(path) else None


def put(host: Host, path: str, text: str) -> None:
    host.files.make_directories(path.rpartition("/")[0])
    host.files.write(path, text, 0o600)


def node_labels(host: Host, path: str) -> list[str]:
    values = yaml.safe_load(text_at(host, path) or "") or {}
    return list(values.get("node-label+", []))


def register_again(world: Embedded, name: str) -> None:
    """Delete the node and start K3s there anew."""
    world.axiom.store.delete("nodes", name)
    run_on(world.host(name), "systemctl restart k3s-agent", user="root")
    assert world.axiom.world.is_ready(name)


def labels(world: Embedded, name: str) -> tuple[str | None, str | None]:
    node = world.node(name)
    assert node is not None
    found = node["metadata"]["labels"]
    return found.get(ENABLE_LABEL), found.get(POOL_LABEL)


def failed(result: Result) -> str:
    """The sentence of the step that failed, which must be one on a host."""
    assert result.outcome is Outcome.FAILED, result.problem
    (step,) = (step for step in result.steps if step.state is StepState.FAILED)
    assert step.key.startswith("k3s-config/")
    assert step.problem is not None
    assert step.problem.remedy
    return step.problem.sentence


def test_they_survive_a_new_registration(world: Embedded) -> None:
    proposal = propose_labels(world.means, ["wall-a-1", "wall-a-3", "m-o-1"], persist=True)
    assert PERSISTED in proposal.plan.effect
    result = world.run(proposal)
    assert result.outcome is Outcome.DONE, result.problem
    keys = [step.key for step in result.steps]
    assert keys == ["label/wall-a-3", "servicelb", "k3s-config/wall-a-1", "k3s-config/wall-a-3"]
    host = world.host("wall-a-3")
    assert node_labels(host, OWN_PATH) == list(EXTERNAL)
    entry = host.files.entry(OWN_PATH)
    assert (entry.mode & 0o777, entry.owner) == (0o600, "root")
    assert text_at(world.host("m-o-1"), OWN_PATH) is None  # servers have no labels, and nobody logs in there
    assert "K3s on WALL-A-3 is not restarted: it reads this at its next start." in world.said
    register_again(world, "wall-a-3")
    assert labels(world, "wall-a-3") == ("true", "external")
    # A second time all is so already; without the file the node would come back bare.
    again = persisted(world, "wall-a-1", "wall-a-3")
    assert {step.state for step in again.steps} == {StepState.ALREADY}
    host.files.remove(OWN_PATH)
    register_again(world, "wall-a-3")
    assert labels(world, "wall-a-3") == (None, None)


def test_hosts_of_nodes_that_are_not_ready_come_last(world: Embedded) -> None:
    proposal = propose_labels(world.means, persist=True)
    keys = [step.key for step in proposal.plan.steps if step.key.startswith("k3s-config/")]
    assert keys[-2:] == ["k3s-config/wall-a-9", "k3s-config/wall-a-7"]
    assert any(line.startswith("warning: WALL-A-7 is not Ready: if SSH") for line in proposal.plan.effect)
    world.host("wall-a-7").fault("host-refuse")
    result = world.run(proposal)
    failed(result)
    assert [step.state for step in result.steps[-2:]] == [StepState.DONE, StepState.FAILED]
    assert labels(world, "wall-a-7") == ("true", "internal")


def test_without_the_choice_no_host_is_touched(world: Embedded) -> None:
    result = world.run(propose_labels(world.means))
    assert result.outcome is Outcome.DONE, result.problem
    assert not any(step.key.startswith("k3s-config") for step in result.steps)
    assert text_at(world.host("wall-a-3"), OWN_PATH) is None
    assert world.interaction.asked == []  # type: ignore[attr-defined]


def test_the_plan_in_words(world: Embedded) -> None:
    plan = propose_labels(world.means, ["wall-a-3", "wall-a-1"], persist=True).plan
    step = plan.step("k3s-config/wall-a-3")
    assert step is not None
    assert step.title == "Write the labels of WALL-A-3 into its K3s configuration, for its next start"
    device = world.host("wall-a-3").device
    assert device is not None
    address = next(item for item in device.addresses if "." in item)
    (command,) = step.commands
    assert command.startswith(f"ssh -t technat@{address} \"printf 'node-label+:")
    assert command.endswith(f'| sudo install -D -m 0600 /dev/stdin {OWN_PATH}"')
    assert plan.subject == "label WALL-A-3"
    assert "all of it can be undone" in describe(plan)
    # Labelled already, but not written there yet.
    only = propose_labels(world.means, ["wall-a-1"], persist=True).plan
    assert only.subject == "write the labels of WALL-A-1 into K3s' configuration"
    assert [step.key for step in only.steps] == ["k3s-config/wall-a-1"]


def test_what_a_person_would_type_does_the_same(world: Embedded, tmp_path: Path) -> None:
    """The line of the plan, in a real sh, with a stand-in for ssh and sudo."""
    step = propose_labels(world.means, ["wall-a-3"], persist=True).plan.step("k3s-config/wall-a-3")
    assert step is not None
    root = tmp_path / "root"
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "ssh").write_text(f'#!/bin/sh\nshift 2\ncd {root} && exec sh -c "$*"\n')
    (tools / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    root.mkdir()
    line = step.commands[0].replace(f" {OWN_PATH}", f" {root}{OWN_PATH}")
    environment = {"PATH": f"{tools}:/usr/bin:/bin"}
    subprocess.run(["sh", "-euc", line], env=environment, check=True, timeout=60)
    written = root / OWN_PATH[1:]
    assert yaml.safe_load(written.read_text()) == {"node-label+": list(EXTERNAL)}
    assert written.stat().st_mode & 0o777 == 0o600


def test_a_node_that_joined_keeps_one_home_for_its_labels(world: Embedded) -> None:
    joined = world.run(world.propose())
    assert joined.outcome is Outcome.DONE, joined.problem
    host = world.host("wall-a-10")
    before = text_at(host, JOIN_PATH)
    assert before is not None
    result = persisted(world, "wall-a-10", pool="games")
    assert result.outcome is Outcome.DONE, result.problem
    after = text_at(host, JOIN_PATH)
    assert after == before.replace("lbpool=external", "lbpool=games")
    assert text_at(host, OWN_PATH) is None
    register_again(world, "wall-a-10")
    assert labels(world, "wall-a-10") == ("true", "games")
    # Out of all pools: not a list without items, which K3s would take as an empty label.
    gone = persisted(world, "wall-a-10", pool="")
    assert gone.outcome is Outcome.DONE, gone.problem
    left = text_at(host, JOIN_PATH)
    assert left == before[: before.index('"node-label+"' if '"node-label+"' in before else "node-label+")]
    register_again(world, "wall-a-10")
    assert labels(world, "wall-a-10") == (None, None)
    undone = world.run(undo(world.means, gone.plan_id))
    assert undone.outcome is Outcome.CHANGED  # it registered anew: the step of its label says so
    assert text_at(host, JOIN_PATH) == after


def test_labels_that_k3s_would_set_back_are_foretold(world: Embedded) -> None:
    def tell(item: dict[str, object]) -> None:
        arguments = ["agent", "--node-label", EXTERNAL[0], "--node-label", EXTERNAL[1]]
        item["metadata"]["annotations"][NODE_ARGS_ANNOTATION] = json.dumps(arguments)  # type: ignore[index]

    world.axiom.store.mutate("nodes", "wall-a-1", tell)
    plan = propose_labels(world.means, ["wall-a-1"], "internal").plan
    (said,) = [line for line in plan.effect if "next start" in line]
    assert said.startswith("warning: WALL-A-1: K3s sets lbpool=external again at its next start")
    assert not any("K3s sets" in line for line in propose_labels(world.means, ["wall-a-1"]).plan.effect)
    # Labels to be taken away are, too.
    gone = propose_labels(world.means, ["wall-a-1"], "").plan
    assert any("enablelb=true, lbpool=external again" in line for line in gone.effect)
    kept = propose_labels(world.means, ["wall-a-1"], "internal", persist=True).plan
    assert not any("K3s sets" in line for line in kept.effect)


# -- undo --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [None, "# mine\nnode-label+:\n  - disk=ssd\n"])
def test_undo_brings_back_what_was_there(world: Embedded, before: str | None) -> None:
    host = world.host("wall-a-3")
    if before is not None:
        put(host, OWN_PATH, before)
    proposal = propose_labels(world.means, ["wall-a-3"], persist=True)
    done = world.run(proposal)
    assert done.outcome is Outcome.DONE, done.problem
    assert node_labels(host, OWN_PATH)[-2:] == list(EXTERNAL)
    taking_back = proposal.undo(done.plan_id)
    first = taking_back.plan.steps[0]
    assert first.key == "undo/k3s-config/wall-a-3"
    assert f"sudo rm -f {OWN_PATH}" in first.commands[0]
    undone = world.run(taking_back)
    assert undone.outcome is Outcome.DONE, undone.problem
    assert text_at(host, OWN_PATH) == before
    assert labels(world, "wall-a-3") == ("true", "internal")


def test_undo_does_not_overwrite_what_others_wrote_since(world: Embedded) -> None:
    done = persisted(world, "wall-a-3")
    host = world.host("wall-a-3")
    theirs = (text_at(host, OWN_PATH) or "").replace("lbpool=external", "lbpool=theirs")
    put(host, OWN_PATH, theirs)
    undone = world.run(undo(world.means, done.plan_id))
    assert undone.outcome is Outcome.CHANGED
    assert undone.problem is not None
    assert "lbpool=theirs" in undone.problem.sentence
    assert text_at(host, OWN_PATH) == theirs


# -- others that have a say --------------------------------------------------------------------------------


def test_a_token_in_the_same_file_stays_there_and_goes_nowhere_else(world: Embedded) -> None:
    host = world.host("wall-a-3")
    put(host, CONFIG_FILE, f"token: {TOKEN}\nnode-label:\n  - {INTERNAL[1]}\n")
    put(host, JOIN_PATH, f"token: {TOKEN}\nnode-label+:\n  - {INTERNAL[0]}\n  - {INTERNAL[1]}\n")
    proposal = propose_labels(world.means, ["wall-a-3"], persist=True)
    done = world.run(proposal)
    assert done.outcome is Outcome.DONE, done.problem
    joined = yaml.safe_load(text_at(host, JOIN_PATH) or "")
    assert joined == {"token": TOKEN, "node-label+": list(EXTERNAL)}
    assert f"warning: lbpool=internal also comes from {CONFIG_FILE}." in world.said
    undone = world.run(proposal.undo(done.plan_id))
    assert undone.outcome is Outcome.DONE, undone.problem
    texts = {path.name: path.read_text() for path in world.means.journal.directory.iterdir()}
    texts |= {"output": "\n".join(world.said), "plan": describe(proposal.plan), "host": host.traces()}
    secrets = (TOKEN, TOKEN.split("::")[1], PASSWORD)
    assert [name for name, text in texts.items() if any(secret in text for secret in secrets)] == []


def test_what_says_so_already_needs_no_second_home(world: Embedded) -> None:
    host = world.host("wall-a-3")
    put(host, CONFIG_FILE, f"node-label:\n  - {EXTERNAL[0]}\n  - {EXTERNAL[1]}\n")
    result = persisted(world, "wall-a-3")
    assert result.outcome is Outcome.DONE, result.problem
    assert result.steps[-1].state is StepState.ALREADY
    assert text_at(host, OWN_PATH) is None


def test_a_later_file_that_replaces_ours_is_named_before_anything_is_written(world: Embedded) -> None:
    host = world.host("wall-a-3")
    late = f"{FOLDER}/99-late.yaml"
    put(host, late, "node-label:\n  - disk=ssd\n")
    result = persisted(world, "wall-a-3")
    sentence = failed(result)
    assert f"takes its labels from {late}" in sentence
    assert text_at(host, OWN_PATH) is None
    assert labels(world, "wall-a-3") == ("true", "external")  # what holds in the cluster stays
    put(host, late, "node-label+:\n  - disk=ssd\n")
    again = world.run(resume(world.means, result.plan_id))
    assert again.outcome is Outcome.DONE, again.problem
    assert node_labels(host, OWN_PATH) == list(EXTERNAL)


def test_labels_of_the_command_line_win_and_are_named(world: Embedded) -> None:
    host = world.host("wall-a-3")
    path = "/etc/systemd/system/k3s-agent.service"
    unit = text_at(host, path)
    assert unit is not None
    host.files.write(path, unit.replace("agent \\\n", f"agent '--node-label' '{INTERNAL[1]}' \\\n", 1))
    run_on(host, "systemctl daemon-reload", user="root")
    sentence = failed(persisted(world, "wall-a-3"))
    assert "takes lbpool=internal from the arguments of k3s-agent at its next start" in sentence
    assert text_at(host, OWN_PATH) is None


@pytest.mark.parametrize(
    "shown",
    [
        "{ path=/usr/local/bin/k3s ; argv[]=/usr/local/bin/k3s agent --node-label a=b --token T ; "
        "ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }",
        "/usr/local/bin/k3s     agent   '--node-label' 'a=b' '--token' \"T\"",
    ],
)
def test_the_arguments_as_systemd_shows_them(shown: str) -> None:
    assert arguments_of([shown]) == ("/usr/local/bin/k3s", "agent", "--node-label", "a=b", "--token", "T")
    assert arguments_of([]) == arguments_of([""]) == ()


def test_another_configuration_file_is_named(world: Embedded) -> None:
    host = world.host("wall-a-3")
    path = "/etc/systemd/system/k3s-agent.service.env"
    host.files.write(path, f"K3S_TOKEN='{TOKEN}'\nK3S_CONFIG_FILE='/srv/k3s.yaml'\n", 0o600)
    assert "reads /srv/k3s.yaml and not" in failed(persisted(world, "wall-a-3"))


def test_a_host_without_the_unit_is_not_written_on(world: Embedded) -> None:
    host = world.host("wall-a-3")
    host.files.remove("/etc/systemd/system/k3s-agent.service")
    run_on(host, "systemctl stop k3s-agent; systemctl daemon-reload", user="root")
    assert "There is no unit k3s-agent on WALL-A-3" in failed(persisted(world, "wall-a-3"))
    assert text_at(host, OWN_PATH) is None


# -- hosts that cannot be reached, or not become root on ---------------------------------------------------


def test_an_unreachable_host_holds_up_its_own_step_alone(world: Embedded) -> None:
    world.host("wall-a-4").fault("host-refuse")
    result = persisted(world, "wall-a-3", "wall-a-4", "wall-a-9", pool="games")
    failed(result)
    states = {step.key: step.state for step in result.steps}
    assert states["servicelb"] in (StepState.DONE, StepState.ALREADY)
    assert states["k3s-config/wall-a-3"] is StepState.DONE
    assert states["k3s-config/wall-a-4"] is StepState.FAILED
    assert states["k3s-config/wall-a-9"] is StepState.NOT_REACHED
    assert labels(world, "wall-a-4") == labels(world, "wall-a-9") == ("true", "games")
    world.host("wall-a-4").heal()
    again = world.run(resume(world.means, result.plan_id))
    assert again.outcome is Outcome.DONE, again.problem
    assert node_labels(world.host("wall-a-9"), OWN_PATH) == list(items_for("games"))


def test_a_wrong_password_and_then_the_right_one(world: Embedded) -> None:
    answers = world.interaction
    assert isinstance(answers, Answers)
    answers.password_given = "not this one"
    result = persisted(world, "wall-a-3")
    assert "refused the password of technat" in failed(result)
    assert labels(world, "wall-a-3") == ("true", "external")
    answers.password_given = PASSWORD
    again = world.run(resume(world.means, result.plan_id))
    assert again.outcome is Outcome.DONE, again.problem
    journal = "\n".join(path.read_text() for path in world.means.journal.directory.iterdir())
    assert "not this one" not in journal


def test_nobody_to_ask_for_the_password(world: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(self: Answers, user: str, host: str, again: bool) -> Secret | None:
        return None

    monkeypatch.setattr(Answers, "sudo_password", nothing)
    assert "none was given" in failed(persisted(world, "wall-a-3"))


def test_no_sudo(world: Embedded) -> None:
    world.host("wall-a-3").sudo = Sudo.ABSENT
    result = persisted(world, "wall-a-3")
    sentence = failed(result)
    assert "technat" in sentence
    problem = next(step.problem for step in result.steps if step.problem)
    assert problem is not None
    assert problem.kind is ProblemKind.FORBIDDEN


def test_a_login_that_hangs_is_cancelled(world: Embedded) -> None:
    world.host("wall-a-3").fault("host-absent")
    cancel, hosts = CancelToken(), world.means.hosts
    ends = time.monotonic() + 30

    def when_it_logs_in() -> None:
        while not hosts._attempts and time.monotonic() < ends:
            cancel.wait(0.01)
        cancel.cancel()

    admin = threading.Thread(target=when_it_logs_in)
    admin.start()
    result = propose_labels(world.means, ["wall-a-3"], persist=True).run(lambda event: None, cancel)
    admin.join()
    assert result.outcome is Outcome.CANCELLED, result.problem
    assert result.steps[-1].state is StepState.FAILED
    assert result.problem is not None
    assert "was cancelled" in result.problem.sentence  # and did not end by itself
    assert labels(world, "wall-a-3") == ("true", "external")
    world.host("wall-a-3").heal()
    again = world.run(resume(world.means, result.plan_id))
    assert again.outcome is Outcome.DONE, again.problem
    assert node_labels(world.host("wall-a-3"), OWN_PATH) == list(EXTERNAL)


# -- written for good --------------------------------------------------------------------------------------


def watched(world: Embedded, name: str, when_written: Callable[[Host], None]) -> Result:
    """Persist the labels of one node; ``when_written`` is called when its file has just been written."""

    def tell(event: Event) -> None:
        if isinstance(event, Output):
            world.said.append(event.line)
            if event.line.startswith(OWN_PATH):
                when_written(world.host(name))

    return propose_labels(world.means, [name], persist=True).run(tell)


def test_only_what_changes_is_written(world: Embedded) -> None:
    host = world.host("wall-a-3")
    put(host, JOIN_PATH, "node-name: wall-a-3\n")
    before = host.files.entry(JOIN_PATH)
    assert persisted(world, "wall-a-3").outcome is Outcome.DONE
    assert [line for line in world.said if line.startswith(FOLDER)] == [
        f"{OWN_PATH}: enablelb=true, lbpool=external"
    ]
    assert host.files.entry(JOIN_PATH) is before
    # And a file that was never there is not taken away.
    world.said.clear()
    assert persisted(world, "wall-a-4").outcome is Outcome.DONE
    assert not any("removed" in line for line in world.said)


def test_a_file_of_ours_keeps_the_rights_that_it_was_given(world: Embedded) -> None:
    host = world.host("wall-a-3")
    put(host, OWN_PATH, "node-label+:\n  - disk=ssd\n")
    run_on(host, f"chmod 640 {OWN_PATH}", user="root")
    assert persisted(world, "wall-a-3").outcome is Outcome.DONE
    assert host.files.entry(OWN_PATH).mode & 0o777 == 0o640
    new = world.host("wall-a-4")
    assert persisted(world, "wall-a-4").outcome is Outcome.DONE
    assert new.files.entry(OWN_PATH).mode & 0o777 == 0o600


def test_what_does_not_stay_written_is_said(world: Embedded) -> None:
    """Something else on the host puts its own file there again."""
    theirs = f"node-label+:\n  - {INTERNAL[0]}\n  - {INTERNAL[1]}\n"
    result = watched(world, "wall-a-3", lambda host: put(host, OWN_PATH, theirs))
    assert "K3s on WALL-A-3 takes lbpool=internal from" in failed(result)


def test_what_was_there_is_in_the_journal_before_it_is_overwritten(world: Embedded) -> None:
    put(world.host("wall-a-3"), OWN_PATH, f"node-label+:\n  - {INTERNAL[1]}\n")
    remembered: list[Mapping[str, Json]] = []

    def look(host: Host) -> None:
        (entry,) = world.means.journal.entries()
        step = entry.step("k3s-config/wall-a-3")
        assert step is not None
        remembered.append(step.earlier)

    assert watched(world, "wall-a-3", look).outcome is Outcome.DONE
    assert remembered == [{"files": {JOIN_PATH: None, OWN_PATH: [INTERNAL[1]]}}]


def test_ssh_goes_to_the_address_in_the_tailnet() -> None:
    node = Node(name="wall-a-3", internal_ips=("fd7a:115c:a1e0::3", "10.0.0.3"))
    other = TailnetDevice(id="1", name="wall-a-3", addresses=("100.64.0.9",))
    same = TailnetDevice(id="2", name="renamed", addresses=("100.64.0.3", "fd7a:115c:a1e0::3"))
    only_v6 = TailnetDevice(id="3", name="renamed", addresses=("fd7a:115c:a1e0::3",))
    assert address_of(node, (other, same)) == "100.64.0.3"  # by its address, whatever its name
    assert address_of(node, (other, only_v6)) == "fd7a:115c:a1e0::3"
    assert address_of(node, (other,)) == "100.64.0.9"
    assert address_of(node, ()) == "fd7a:115c:a1e0::3"
    assert address_of(Node(name="wall-a-3"), ()) == "wall-a-3"


def test_labels_that_are_only_configured_are_taken_out(world: Embedded) -> None:
    """The node has none and is to have none, but K3s would give it some at its next start."""
    host = world.host("wall-a-4")
    put(host, OWN_PATH, f"node-label+:\n  - {INTERNAL[0]}\n  - {INTERNAL[1]}\n")

    def told(item: dict[str, Any]) -> None:
        item["metadata"]["annotations"][NODE_ARGS_ANNOTATION] = json.dumps(
            ["agent", "--node-label", INTERNAL[1]]
        )

    world.axiom.store.mutate("nodes", "wall-a-4", told)
    proposal = propose_labels(world.means, ["wall-a-4"], "", persist=True)
    assert [step.key for step in proposal.plan.steps] == ["k3s-config/wall-a-4"]
    assert world.run(proposal).outcome is Outcome.DONE
    assert text_at(host, OWN_PATH) is None


class Talkative:
    """A login whose first command asks for a password, and then says it aloud and fails."""

    is_open = True

    def __init__(self, given: list[Secret], secret: str) -> None:
        self._given = given
        self._secret = secret

    def run_script(self, script: str, **_: Any) -> Completed:
        self._given.append(Secret(self._secret))
        return Completed(1, b"", f"sudo: no such password: {self._secret}\n".encode())

    def close(self) -> None:
        return


def test_a_password_that_was_just_given_is_masked_in_what_the_host_says(world: Embedded) -> None:
    given: list[Secret] = []
    shell: Any = Talkative(given, "eight otters knit")
    hosts = Hosts(lambda host, user, cancelled: shell, lambda: tuple(given))
    login = Login("", 10.0, 10.0)
    step = PersistLabels(
        hosts, NamingScheme(), "wall-a-3", NodeHost("100.64.0.3", "k3s-agent", "internal"), login
    )
    result, _ = perform(Plan("k", "s", CLUSTER, (step,)), world.directory / "state-of-otters")
    assert result.problem is not None
    assert result.problem.sentence.startswith(
        "The configuration of K3s on WALL-A-3 could not be looked at: sudo:"
    )
    assert "otters" not in str(result.problem)
    written = [path.read_text() for path in (world.directory / "state-of-otters").rglob("*.jsonl")]
    assert written
    assert not [text for text in written if "otters" in text]
