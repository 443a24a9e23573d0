"""Joining against the embedded Axiom: through to Ready, taken back, cut anywhere, and all that fails."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from axiom_tui.clients.kubernetes import NODES
from axiom_tui.clients.ssh import Interaction
from axiom_tui.config import SecretReference
from axiom_tui.model.checks import CheckState
from axiom_tui.model.naming import Role
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL
from axiom_tui.model.problem import AxiomError, ProblemKind
from axiom_tui.plans.description import describe
from axiom_tui.plans.events import Event, Outcome, Output, Result, StepStarted, StepState
from axiom_tui.plans.join_choice import JoinChoice
from axiom_tui.plans.join_files import CONFIG_PATH, TOKEN_PATH
from axiom_tui.plans.join_proposal import facts_of
from axiom_tui.plans.proposal import resume, undo
from axiom_tui.plans.step import CancelToken
from axiom_tui.plans.transcript import account, transcript_of
from axiom_tui.simulator.hosts.host import Access, Computer, Host, Sudo
from tests.clients.ssh_servers import listening
from tests.clients.test_infomaniak import TOKEN, Zone
from tests.clients.wire_server import serving
from tests.plans.embedded import NEWCOMER, NEWCOMER_ARM, PASSWORD, Answers, Embedded, embedded, fails


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Embedded]:
    monkeypatch.setenv("AXIOM_TUI_STATE", str(tmp_path / "state"))
    with embedded(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    ("host", "name", "architecture"), [(NEWCOMER, "WALL-A-10", "amd64"), (NEWCOMER_ARM, "WALL-A-11", "arm64")]
)
def test_a_waiting_device_becomes_a_ready_labelled_node(
    world: Embedded, host: str, name: str, architecture: str
) -> None:
    choice = world.choice(name, host)
    facts = world.facts(choice)
    found = world.judged(choice, facts)
    assert {rule: str(check) for rule, check in found.items() if check.state is not CheckState.PASS} == {}
    result = world.run(world.propose(choice))
    assert result.outcome is Outcome.DONE, result.problem
    node = world.node(name.lower())
    assert node is not None
    labels, addresses = node["metadata"]["labels"], node["status"]["addresses"]
    assert (labels[ENABLE_LABEL], labels[POOL_LABEL]) == ("true", "external")
    assert labels["kubernetes.io/arch"] == architecture
    assert {"type": "InternalIP", "address": facts.tailnet_ip} in addresses
    assert {"type": "ExternalIP", "address": facts.public_addresses[0]} in addresses
    device = world.host(host).device
    assert device is not None
    assert (device.name, device.key_expiry_disabled) == (name.lower(), True)
    assert f"{name}: all in order" in world.said
    by_hand = [step.key for step in result.steps if step.state is StepState.UNAVAILABLE]
    assert by_hand == ["dns/node"]


def test_the_public_address_is_confirmed_by_the_host_and_by_its_provider(world: Embedded) -> None:
    proposal = world.propose()
    said = "116.203.77.20 is on the host, and Hetzner names it; K3s will publish it."
    assert f"public-address: {said}" in proposal.plan.effect


@pytest.mark.parametrize(
    ("fault", "word"),
    [("host-metadata-silent", "no answer in time"), ("host-metadata-garbage", "is no public IPv4 address")],
)
def test_a_provider_that_gives_no_answer_leaves_the_hosts_own_view(
    world: Embedded, fault: str, word: str
) -> None:
    world.host().fault(fault)
    choice = world.choice()
    facts = world.facts(choice)
    assert word in facts.provider.error
    check = world.judged(choice, facts)["public-address"]
    assert (check.state, word in check.sentence) == (CheckState.WARN, True), check
    assert facts.proposed_public_address == "116.203.77.20"


def test_a_floating_address_is_only_known_to_the_provider(world: Embedded) -> None:
    added = world.axiom.hosts.add(
        Computer(
            name="floats",
            number=910,
            place="infomaniak",
            floating_ip="195.15.2.3",
            in_tailnet=False,
            access=Access.SSHD,
        )
    )
    added.password = PASSWORD
    choice = JoinChoice(host="floats", name="WALL-A-10")
    check = world.judged(choice)["public-address"]
    assert check.state is CheckState.WARN
    assert "195.15.2.3 is on no interface of the host, but OpenStack names it" in check.sentence


def test_nothing_of_the_plan_or_its_journal_is_secret(world: Embedded) -> None:
    proposal = world.propose()
    result = world.run(proposal)
    assert result.outcome is Outcome.DONE, result.problem
    token = world.host().files.read(TOKEN_PATH).decode().strip()
    assert token.startswith("K10")
    secrets = (token, token.split("::")[1], PASSWORD)
    texts = {path.name: path.read_text() for path in world.means.journal.directory.iterdir()}
    texts["plan"] = describe(proposal.plan)
    texts["output"] = "\n".join(world.said)
    for host in (world.host(), world.host("m-o-1")):
        for process in tuple(host.kernel.history):
            texts[f"{host.name} {process.pid}"] = f"{process.arguments} {process.environment}"
        for home in ("/root", "/home/technat"):
            for path in host.files.below(home):
                texts[f"{host.name} {path}"] = host.files.read(path).decode(errors="replace")
    assert [name for name, text in texts.items() if any(secret in text for secret in secrets)] == []
    assert len(texts) > 50


def test_a_second_plan_finds_all_done(world: Embedded) -> None:
    assert world.run(world.propose()).outcome is Outcome.DONE
    choice = world.choice(host="wall-a-10")
    assert fails(world.judged(choice)) == set()
    again = world.run(world.propose(choice))
    assert again.outcome is Outcome.DONE, again.problem
    states = {step.key: step.state for step in again.steps}
    assert {key for key, state in states.items() if state is not StepState.ALREADY} == {"dns/node", "proof"}


def test_a_join_is_taken_back(world: Embedded) -> None:
    proposal = world.propose()
    done = world.run(proposal)
    assert done.outcome is Outcome.DONE, done.problem
    taking_back = proposal.undo(done.plan_id)
    assert [step.key for step in taking_back.plan.steps] == [
        f"undo/{key}"
        for key in ("start", "token", "install", "config", "kernel", "hostname", "key-expiry", "servicelb")
    ]
    assert any("DNS record" in line for line in taking_back.plan.effect)
    undone = world.run(taking_back)
    assert undone.outcome is Outcome.DONE, undone.problem
    assert world.node("wall-a-10") is None
    host = world.host(NEWCOMER)
    left = [path for path in host.files.below("/etc/rancher") if host.files.find(path)]
    assert left == []
    for path in ("/usr/local/bin/k3s", "/var/lib/axiom-tui", CONFIG_PATH, TOKEN_PATH):
        assert host.files.find(path) is None, path
    assert host.name == NEWCOMER
    device = host.device
    assert device is not None
    assert (device.name, device.key_expiry_disabled) == (NEWCOMER, False)
    # It can join again: K3s does not remember it.
    again = world.run(world.propose())
    assert again.outcome is Outcome.DONE, again.problem


@pytest.fixture
def child_environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "AXIOM_TUI_STATE": str(tmp_path / "state")}


def test_killed_at_every_step_and_resumed_it_ends_joined(
    world: Embedded, child_environment: dict[str, str]
) -> None:
    """Each child is killed at another moment, in a process of its own; the next one goes on."""
    device = next(item for item in world.means.devices() if item.name == NEWCOMER)
    moments: list[str] = []
    for _ in range(60):
        arguments = (str(world.axiom.settings), device.ipv4, device.id, "WALL-A-10", ",".join(moments))
        done = subprocess.run(
            [sys.executable, "-m", "tests.plans.join_child", *arguments],
            env=child_environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode == 0:
            assert done.stdout.startswith("done"), (moments, done.stdout, done.stderr)
            break
        assert done.returncode == -9, (moments, done.stdout, done.stderr)
        moments.append(done.stdout)
    else:
        pytest.fail(f"it never ended: {moments}")
    assert world.axiom.world.is_ready("wall-a-10")
    (entry,) = world.means.journal.entries()
    assert entry.outcome is Outcome.DONE
    assert {f"step-ended:{step.key}" for step in entry.steps} <= set(moments)
    for key in ("hostname", "config", "install", "token", "start"):
        assert f"step-begun:{key}" in moments
    undone = world.run(undo(world.means, entry.plan_id))
    assert undone.outcome is Outcome.DONE, undone.problem
    assert world.node("wall-a-10") is None


@pytest.mark.parametrize(
    ("fault", "step", "kind", "word"),
    [
        ("host-token-rejected", "agent", ProblemKind.UNAUTHENTICATED, "does not accept the join token"),
        ("host-authority-changed", "agent", ProblemKind.UNTRUSTED, "CA differs"),
        ("host-name-taken", "agent", ProblemKind.INVALID, "another host had it before"),
        ("host-api-unreachable", "agent", ProblemKind.UNREACHABLE, "does not reach"),
        ("host-port-taken", "agent", ProblemKind.INVALID, "A port that K3s needs is taken"),
        ("host-never-ready", "ready", ProblemKind.TIMED_OUT, "The kubelet says"),
    ],
)
def test_what_goes_wrong_after_the_plan_is_said_healed_and_resumed(
    world: Embedded, fault: str, step: str, kind: ProblemKind, word: str
) -> None:
    join = replace(
        world.settings.join, install_timeout=timedelta(seconds=12), ready_timeout=timedelta(seconds=6)
    )
    world.means = world.new_means(replace(world.settings, join=join))
    proposal = world.propose()
    result = world.run(proposal, at_start=lambda: world.host().fault(fault))
    failed = next(item for item in result.steps if item.problem is not None)
    assert failed.problem is not None
    assert (failed.key, failed.problem.kind) == (step, kind), failed.problem
    assert word in failed.problem.sentence
    assert failed.problem.remedy
    assert world.means.journal.load(result.plan_id).can_be_resumed
    world.host().heal()
    again = world.run(resume(world.means, result.plan_id))
    assert again.outcome is Outcome.DONE, again.problem
    assert world.axiom.world.is_ready("wall-a-10")


def test_a_join_that_fails_can_be_taken_back(world: Embedded) -> None:
    join = replace(world.settings.join, ready_timeout=timedelta(seconds=4))
    world.means = world.new_means(replace(world.settings, join=join))
    proposal = world.propose()
    world.host().fault("host-never-ready")
    failed = world.run(proposal)
    assert failed.outcome is Outcome.FAILED
    undone = world.run(proposal.undo(failed.plan_id))
    assert undone.outcome is Outcome.DONE, undone.problem
    assert world.node("wall-a-10") is None
    assert world.host().files.find("/usr/local/bin/k3s") is None


def put_pod(world: Embedded) -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop", "uid": "shop", "controller": True}
    manifest: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "shop",
            "namespace": "web",
            "labels": {"app": "shop"},
            "ownerReferences": [owner],
        },
        "spec": {"nodeName": "wall-a-10", "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    world.axiom.store.create("pods", manifest, "web")


def put_budget(world: Embedded) -> None:
    budget: dict[str, Any] = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "shop", "namespace": "web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "shop"}}},
    }
    world.axiom.store.create("poddisruptionbudgets.policy", budget, "web")


ON_THE_HOST = ["undo/start", "undo/token", "undo/install", "undo/config", "undo/kernel", "undo/hostname"]


@pytest.mark.parametrize("fault", ["host-refuse", "host-key-changed"])
def test_a_join_whose_host_is_gone_is_taken_back_as_far_as_possible(world: Embedded, fault: str) -> None:
    proposal = world.propose()
    done = world.run(proposal)
    assert done.outcome is Outcome.DONE, done.problem
    put_pod(world)
    host = world.host()
    host.fault(fault)
    undone = world.run(proposal.undo(done.plan_id))
    assert "evicted web/shop" in world.said  # its kubelet may live: it was Ready
    # What needs no host is undone, whatever comes after it.
    assert world.node("wall-a-10") is None
    assert host.device is not None
    assert host.device.key_expiry_disabled is False
    assert [step.key for step in undone.steps if step.left_behind] == ON_THE_HOST
    assert [step.key for step in undone.steps if step.state is StepState.DONE] == ["undo/key-expiry"]
    # It says that it is not all, what stays, and what to run there.
    assert undone.outcome is Outcome.FAILED
    assert undone.problem is not None
    assert undone.problem.sentence.startswith(
        "6 steps are not done: Drain WALL-A-10, delete the node and stop k3s-agent; "
    )
    start = "Drain WALL-A-10, delete the node and stop k3s-agent"
    left = {line.split(": WALL-A-10 is not reached")[0]: line for line in account(undone).left}
    assert "k3s-agent is enabled there: it joins again when it runs" in left[start]
    assert "Or run there: sudo systemctl disable --now k3s-agent" in left[start]
    assert "sudo rm -f /etc/rancher/k3s/" in left[f"Remove {CONFIG_PATH}"]
    assert "k3s-agent-uninstall.sh" in left["Uninstall K3s from WALL-A-10"]
    assert f"hostnamectl set-hostname {NEWCOMER}" in "\n".join(left.values())
    journal = world.means.journal
    assert not journal.load(done.plan_id).undone
    assert "\n".join(transcript_of(journal.load(undone.plan_id))).count("is not reached") == 6
    # When the host is back, the rest follows.
    host.heal()
    rest = world.run(resume(world.means, undone.plan_id))
    assert rest.outcome is Outcome.DONE, rest.problem
    assert journal.load(done.plan_id).undone
    assert world.node("wall-a-10") is None
    assert host.name == NEWCOMER
    for path in ("/usr/local/bin/k3s", CONFIG_PATH, TOKEN_PATH):
        assert host.files.find(path) is None, path


def test_pods_that_do_not_leave_a_host_that_is_gone_hold_nothing_up(
    world: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("axiom_tui.plans.joining_node.DRAIN_WITHIN", 1.0)
    proposal = world.propose()
    done = world.run(proposal)
    assert done.outcome is Outcome.DONE, done.problem
    put_pod(world)
    put_budget(world)
    # While the host is reached, the budget holds it up.
    held = world.run(proposal.undo(done.plan_id))
    assert held.problem is not None
    assert held.problem.sentence.endswith("for the pods of wall-a-10 to move away, and it did not happen.")
    assert world.node("wall-a-10") is not None
    # If it is not, they are tried all the same, and left then.
    world.host().fault("host-refuse")
    undone = world.run(proposal.undo(done.plan_id))
    assert any("disruption budget" in line for line in world.said)
    left = "wall-a-10 is not reached, and after 1 s these pods have not moved away: web/shop. "
    assert f"{left}They are left to the cluster." in world.said
    assert world.node("wall-a-10") is None
    assert [step.key for step in undone.steps if step.left_behind] == ON_THE_HOST


def test_a_login_that_nobody_gives_stops_the_undo_before_the_node(world: Embedded) -> None:
    """The host is there, and its kubelet too: only a person is missing."""
    done = world.run(world.propose())
    assert done.outcome is Outcome.DONE, done.problem
    host = world.host()
    host.fault("host-check-mode")
    hurried = replace(world.settings, ssh=replace(world.settings.ssh, login_timeout=timedelta(seconds=1)))
    undone = world.run(undo(world.new_means(hurried), done.plan_id))
    stops_before_the_node(world, undone, "Nobody logged in at the URL that ")
    host.heal()
    rest = world.run(resume(world.means, undone.plan_id))
    assert rest.outcome is Outcome.DONE, rest.problem
    assert world.node("wall-a-10") is None


def test_a_host_key_that_nobody_confirms_stops_the_undo_before_the_node(
    world: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = world.run(world.propose())
    assert done.outcome is Outcome.DONE, done.problem
    device = world.host().device
    assert device is not None
    world.axiom.world.tailnet.change(device.id, has_ssh=False)  # it vouches for the key no more
    world.axiom.hosts.tailnet_known_hosts.write_text("")
    with monkeypatch.context() as refusing:
        refusing.setattr(world.answers, "confirm_host_key", lambda unknown: False)
        undone = world.run(undo(world.means, done.plan_id))
    stops_before_the_node(world, undone, "Nobody vouches for the host key of ")
    rest = world.run(resume(world.means, undone.plan_id))
    assert rest.outcome is Outcome.DONE, rest.problem
    assert world.node("wall-a-10") is None


def stops_before_the_node(world: Embedded, undone: Result, word: str) -> None:
    assert undone.outcome is Outcome.FAILED
    assert undone.problem is not None
    assert undone.problem.kind is ProblemKind.UNCONFIRMED
    assert undone.problem.sentence.startswith(word)
    assert not any(step.left_behind for step in undone.steps)
    node = world.node("wall-a-10")
    assert node is not None
    assert not node["spec"].get("unschedulable")
    assert world.means.journal.load(undone.plan_id).can_be_resumed


def registered_again(world: Embedded, address: str = "") -> dict[str, Any]:
    """The node's name is registered anew: by another host with this address, or ("") by one with the same."""
    store = world.axiom.store
    node = store.delete("nodes", "wall-a-10")
    for key in ("uid", "resourceVersion", "managedFields", "creationTimestamp"):
        node["metadata"].pop(key, None)
    if address:
        node["status"]["addresses"] = [{"type": "InternalIP", "address": address}]
    return store.create("nodes", node)


@pytest.mark.parametrize("fault", ["", "host-refuse"])
def test_another_host_that_has_the_name_by_now_keeps_its_node(world: Embedded, fault: str) -> None:
    proposal = world.propose()
    done = world.run(proposal)
    assert done.outcome is Outcome.DONE, done.problem
    address = str(done.plan.choices["tailnet_ip"])
    theirs = registered_again(world, "100.64.0.77")
    if fault:
        world.host().fault(fault)
    taking_back = proposal.undo(done.plan_id)
    left = (
        f"WALL-A-10 is the name of another node by now (100.64.0.77, and not {address}). "
        "It is left alone: this join did not make it."
    )
    assert f"warning: {left}" in taking_back.plan.effect
    assert not any("loses wall-a-10" in line for line in taking_back.plan.effect)
    assert not any("kubectl" in line for line in taking_back.plan.steps[0].commands)
    assert taking_back.plan.steps[0].title == "Stop k3s-agent on WALL-A-10"
    undone = world.run(taking_back)
    is_untouched(world, theirs)
    assert world.said.count(left) == 1
    # The host that joined is taken back all the same, as far as it is reached.
    assert [step.key for step in undone.steps if step.left_behind] == (ON_THE_HOST if fault else [])
    assert undone.outcome is (Outcome.FAILED if fault else Outcome.DONE), undone.problem
    if not fault:
        assert world.host().files.find("/usr/local/bin/k3s") is None


def is_untouched(world: Embedded, theirs: dict[str, Any]) -> None:
    node = world.node("wall-a-10")
    assert node is not None
    assert node["metadata"]["uid"] == theirs["metadata"]["uid"]
    assert not node["spec"].get("unschedulable")


AGAIN = "WALL-A-10 was registered again since it joined. It is left alone: this join did not make it."


def test_a_host_installed_anew_that_joined_again_at_its_address_keeps_its_node(world: Embedded) -> None:
    proposal = world.propose()
    done = world.run(proposal)
    assert done.outcome is Outcome.DONE, done.problem
    theirs = registered_again(world)
    world.host().fault("host-key-changed")
    undone = world.run(proposal.undo(done.plan_id))
    is_untouched(world, theirs)
    assert world.said.count(AGAIN) == 1
    assert [step.key for step in undone.steps if step.left_behind] == ON_THE_HOST


def test_a_host_that_joined_again_is_not_taken_out_by_the_undo_of_its_first_join(world: Embedded) -> None:
    proposal = world.propose()
    done = world.run(proposal)
    assert done.outcome is Outcome.DONE, done.problem
    theirs = registered_again(world)
    taking_back = proposal.undo(done.plan_id)
    assert f"warning: {AGAIN} If the host is reached, this stops before K3s there." in taking_back.plan.effect
    assert not any("loses wall-a-10" in line for line in taking_back.plan.effect)
    stopped = world.run(taking_back)
    is_untouched(world, theirs)
    assert stopped.outcome is Outcome.CHANGED
    assert stopped.problem is not None
    assert stopped.problem.sentence == f"{AGAIN} So is K3s on its host."
    assert "delete node wall-a-10. Then undo this plan again." in stopped.problem.remedy
    assert world.host().files.find("/usr/local/bin/k3s") is not None
    # As it says.
    world.axiom.store.delete("nodes", "wall-a-10")
    undone = world.run(undo(world.means, done.plan_id))
    assert undone.outcome is Outcome.DONE, undone.problem
    assert world.host().files.find("/usr/local/bin/k3s") is None


def test_a_join_of_a_journal_without_the_uid_of_its_node_is_taken_back(world: Embedded) -> None:
    done = world.run(world.propose())
    assert done.outcome is Outcome.DONE, done.problem
    path = world.means.journal.path(done.plan_id)
    lines = path.read_text().splitlines(keepends=True)
    older = [line for line in lines if json.loads(line).get("values", {}).keys() != {"uid"}]
    assert len(older) == len(lines) - 1
    path.write_text("".join(older))
    undone = world.run(undo(world.means, done.plan_id))
    assert undone.outcome is Outcome.DONE, undone.problem
    assert world.node("wall-a-10") is None


def test_a_device_that_is_gone_needs_no_settings_back(world: Embedded) -> None:
    # Whatever happens to the device, its address leads to this world and not out of it.
    config = world.directory / "ssh_config"
    config.write_text(world.axiom.hosts.ssh_config.read_text())
    ssh = replace(world.settings.ssh, config_file=config)
    world.means = world.new_means(replace(world.settings, ssh=ssh))
    proposal = world.propose()
    done = world.run(proposal)
    assert done.outcome is Outcome.DONE, done.problem
    device = world.host().device
    assert device is not None
    world.host().fault("host-refuse")
    world.axiom.world.tailnet.remove(device.id)
    undone = world.run(proposal.undo(done.plan_id))
    states = {step.key: step.state for step in undone.steps}
    assert states["undo/key-expiry"] is StepState.ALREADY, undone.problem
    assert world.node("wall-a-10") is None


def test_another_service_at_the_address_is_no_answer_of_the_host(world: Embedded) -> None:
    config = world.directory / "ssh_config"
    config.write_text(world.axiom.hosts.ssh_config.read_text())
    ssh = replace(world.settings.ssh, config_file=config)
    world.means = world.new_means(replace(world.settings, ssh=ssh))
    proposal = world.propose()
    done = world.run(proposal)
    assert done.outcome is Outcome.DONE, done.problem

    def serve(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        while client.recv(65_536):
            pass

    with listening(serve) as port:
        own = world.axiom.hosts.port(NEWCOMER)
        config.write_text(config.read_text().replace(f"Port {own}\n", f"Port {port}\n"))
        undone = world.run(proposal.undo(done.plan_id))
    assert undone.problem is not None
    assert "steps are not done" in undone.problem.sentence
    assert world.node("wall-a-10") is None


def test_what_somebody_changes_in_the_middle_leads_to_a_new_plan(world: Embedded) -> None:
    """It cannot be resumed, and says how to go on: on screen, without one, and in the journal."""
    proposal = world.propose()
    addresses: list[Any] = []

    def move(node: dict[str, Any], to: list[Any]) -> None:
        addresses.append(node["status"]["addresses"])
        node["status"]["addresses"] = to

    def tell(event: Event) -> None:
        if isinstance(event, StepStarted) and event.key == "ready":
            elsewhere = [{"type": "InternalIP", "address": "100.64.0.99"}]
            world.axiom.store.mutate("nodes", "wall-a-10", lambda node: move(node, elsewhere))

    result = proposal.run(tell)
    assert result.outcome is Outcome.CHANGED, result.problem
    assert result.problem is not None
    assert "make the plan anew, and it skips what is so already" in result.problem.remedy
    entry = world.means.journal.load(result.plan_id)
    assert entry.problem == result.problem
    assert (entry.can_be_resumed, entry.can_be_undone) == (False, True)
    refused = world.run(resume(world.means, result.plan_id))
    assert refused.outcome is Outcome.REFUSED
    assert refused.problem is not None
    assert "make the plan anew" in refused.problem.remedy
    # And so it is: the new plan does only what is left.
    world.axiom.store.mutate("nodes", "wall-a-10", lambda node: move(node, addresses[0]))
    choice = world.choice(host="wall-a-10")
    assert fails(world.judged(choice)) == set()
    again = world.run(world.propose(choice))
    assert again.outcome is Outcome.DONE, again.problem
    states = {step.key: step.state for step in again.steps}
    assert {states[key] for key in ("hostname", "config", "install", "token", "start")} == {StepState.ALREADY}


@pytest.mark.parametrize("step", ["config", "install", "start"])
def test_a_connection_that_drops_in_a_step_is_said_and_resumed(world: Embedded, step: str) -> None:
    proposal = world.propose()

    def tell(event: Event) -> None:
        if isinstance(event, StepStarted) and event.key == step:
            world.host().fault("host-slow", delay=30, times=1)  # so that the command still runs then
            world.host().fault("host-drop", delay=0.02, times=1)

    result = proposal.run(tell)
    failed = next(item for item in result.steps if item.problem is not None)
    assert failed.problem is not None
    assert (failed.key, failed.problem.kind) == (step, ProblemKind.UNREACHABLE), failed.problem
    again = world.run(resume(world.means, result.plan_id))
    assert again.outcome is Outcome.DONE, again.problem


def test_a_name_that_somebody_took_meanwhile_is_not_fought_over(world: Embedded) -> None:
    proposal = world.propose()
    other = world.propose(world.choice("WALL-A-10", NEWCOMER_ARM))
    assert world.run(other).outcome is Outcome.DONE
    result = world.run(proposal)
    assert result.outcome is Outcome.CHANGED
    assert result.problem is not None
    assert result.problem.kind is ProblemKind.CONFLICT
    assert "WALL-A-10 is already a node of this cluster" in result.problem.sentence
    assert not result.journalled
    assert world.host(NEWCOMER).name == NEWCOMER  # nothing was changed on it


def _loses_its_pool(world: Embedded) -> None:
    """A node whose pool is the only other one of it: the Services' preview becomes another one."""
    for name in ("wall-a-1", "wall-a-2", "wall-a-3"):
        world.axiom.store.mutate("nodes", name, lambda node: node["metadata"]["labels"].pop(POOL_LABEL, None))


CHANGES: list[tuple[Callable[[Embedded], object], str]] = [
    (_loses_its_pool, "effect, no longer: "),
    (
        lambda world: world.host().rename("somebody-was-here"),
        "Name the host WALL-A-10 (it is somebody-was-here)",
    ),
    (lambda world: world.host().fault("host-metadata-silent"), "effect, new: public-address: "),
]


@pytest.mark.parametrize(("change", "word"), CHANGES)
def test_what_has_changed_since_the_plan_is_shown_and_nothing_is_run(
    world: Embedded, change: Callable[[Embedded], object], word: str
) -> None:
    proposal = world.propose()
    asked = list(world.answers.asked)
    change(world)
    name = world.host().name
    result = world.run(proposal)
    assert (result.outcome, result.journalled) == (Outcome.CHANGED, False), world.said
    assert any(word in line for line in world.said), world.said
    assert world.answers.asked == asked  # the login still held: nobody had to give a password again
    assert world.host().name == name
    assert world.host().files.find("/etc/rancher") is None


def test_a_server_that_went_down_since_the_plan_is_seen(world: Embedded) -> None:
    proposal = world.propose()
    world.axiom.world.silence("m-o-1")
    result = world.run(proposal)
    assert (result.outcome, result.journalled) == (Outcome.CHANGED, False), world.said
    assert any("  no longer: ssh 100." in line for line in world.said), world.said


def test_another_node_that_comes_and_goes_does_not_change_the_plan(world: Embedded) -> None:
    proposal = world.propose()
    before = proposal.plan.effect
    world.axiom.world.silence("wall-a-8")
    assert world.propose().plan.effect != before  # what is published today is another thing now
    result = world.run(proposal)
    assert result.outcome is Outcome.DONE, (result.problem, world.said)


def test_a_host_that_is_no_longer_fit_is_not_joined(world: Embedded) -> None:
    proposal = world.propose()
    world.host().firewall_on = True
    result = world.run(proposal)
    assert (result.outcome, result.journalled) == (Outcome.CHANGED, False)
    assert result.problem is not None
    assert "firewall: ufw filters" in result.problem.sentence
    assert "ufw disable" in result.problem.remedy


def test_memory_and_clocks_that_move_on_do_not_change_the_plan(world: Embedded) -> None:
    host = world.host()
    host.furnish()
    host.files.free = 2 << 30
    host.fault("host-clock-skew", seconds=95)
    proposal = world.propose(world.choice(overridden=("disk", "clock")))
    host.files.free = 1 << 30
    host.fault("host-clock-skew", seconds=99)
    result = world.run(proposal)
    assert result.outcome is Outcome.DONE, (result.problem, world.said)


def test_a_cancel_while_it_looks_again_ends_what_blocks(world: Embedded) -> None:
    proposal = world.propose()
    cancel = CancelToken()
    world.host().fault("host-slow", delay=600)

    def tell(event: Event) -> None:
        if isinstance(event, Output):
            threading.Timer(0.2, cancel.cancel).start()

    began = time.monotonic()
    result = proposal.run(tell, cancel)
    assert (result.outcome, result.journalled) == (Outcome.CANCELLED, False), result.problem
    assert time.monotonic() - began < 60


def test_all_passwords_are_asked_for_before_the_plan(world: Embedded) -> None:
    choice = world.choice()
    check = world.judged(choice)["join-token"]
    assert (check.state, check.sentence.split(" ")[0]) == (CheckState.PASS, "M-O-1")
    assert len(world.axiom.hosts.secrets.tokens()) == 0  # nothing was made yet
    proposal = world.propose(choice)
    server = world.means.client.get(NODES, "m-o-1").internal_ips[0]
    assert world.answers.asked == [f"sudo {world.facts(choice).tailnet_ip}", f"sudo {server}"]
    result = world.run(proposal)
    assert result.outcome is Outcome.DONE, result.problem
    assert len(world.answers.asked) == 2


def test_a_server_that_is_down_leaves_the_token_to_the_next(world: Embedded) -> None:
    world.host("m-o-1").fault("host-refuse")
    choice = world.choice()
    check = world.judged(choice)["join-token"]
    assert check.state is CheckState.WARN
    assert check.sentence.startswith("M-O-2 gives the join token; M-O-1 can't (")
    proposal = world.propose(choice)
    second = world.means.client.get(NODES, "m-o-2").internal_ips[0]
    step = proposal.plan.step("token")
    assert step is not None
    assert step.commands[0].startswith(f"ssh {second} sudo ")
    result = world.run(proposal)
    assert result.outcome is Outcome.DONE, result.problem
    assert not [process for process in world.host("m-o-1").kernel.history if "token" in process.arguments]


@pytest.mark.parametrize(
    ("breaks", "word"),
    [
        (lambda host: setattr(host, "sudo", Sudo.ABSENT), "technat may not use sudo"),
        (lambda host: host.fault("host-sudo-password"), "refused the password"),
        (lambda host: host.files.remove("/usr/local/bin/k3s"), "k3s"),
    ],
)
def test_a_token_that_no_server_gives_is_a_fail_before_anything(
    world: Embedded, breaks: Callable[[Host], object], word: str
) -> None:
    for name in ("m-o-1", "m-o-2", "m-o-3"):
        world.host(name).furnish()
        breaks(world.host(name))
    found = world.judged(world.choice())
    assert fails(found) == {"join-token"}
    assert word in found["join-token"].sentence
    assert "join.token" in found["join-token"].remedy


def test_a_secret_that_is_not_there_is_a_fail(world: Embedded, tmp_path: Path) -> None:
    join = replace(world.settings.join, token=SecretReference("file", str(tmp_path / "none")))
    world.means = world.new_means(replace(world.settings, join=join))
    found = world.judged(world.choice())
    assert fails(found) == {"join-token"}
    assert str(tmp_path / "none") in found["join-token"].sentence


def _refused(world: Embedded) -> AxiomError:
    """Why no facts are collected; nobody logged in for it, and nobody was asked for anything."""
    with pytest.raises(AxiomError) as caught:
        world.facts(world.choice())
    assert world.answers.asked == []
    assert f"Nobody logged in to {NEWCOMER}" in caught.value.problem.sentence
    return caught.value


def test_a_viewer_is_told_before_anybody_logs_in(world: Embedded) -> None:
    facts = world.facts(world.choice())
    world.answers.asked.clear()
    world.means = world.new_means(user="viewer")
    problem = _refused(world).problem
    assert problem.kind is ProblemKind.FORBIDDEN
    assert "You may not: " in problem.sentence
    assert fails(world.judged(world.choice(), facts)) == {"rights"}


def test_read_only_mode_is_told_before_anybody_logs_in(world: Embedded) -> None:
    proposal = world.propose()
    world.answers.asked.clear()
    world.means = world.new_means(replace(world.settings, read_only=True))
    problem = _refused(world).problem
    assert problem.kind is ProblemKind.READ_ONLY
    assert "Start it without --read-only" in problem.remedy
    result = world.run(replace(proposal, means=world.means))
    assert result.outcome is Outcome.REFUSED
    assert world.host().name == NEWCOMER


def test_a_device_that_waits_for_approval_is_not_tried_over_the_tailnet(world: Embedded) -> None:
    waiting = next(item for item in world.means.devices() if item.name == "pi5-keller")
    with pytest.raises(AxiomError) as caught:
        world.facts(JoinChoice(host=waiting.dns_name, device_id=waiting.id, name="WALL-A-12"))
    assert caught.value.problem.kind is ProblemKind.STOPPED
    assert "approve" in caught.value.problem.remedy


def test_without_the_control_api_the_device_is_left_to_the_admin(world: Embedded) -> None:
    control = replace(world.settings.tailscale.control, token_file=None)
    tailscale = replace(world.settings.tailscale, control=control)
    world.means = world.new_means(replace(world.settings, tailscale=tailscale))
    choice = world.choice()
    assert world.judged(choice)["key-expiry"].state is CheckState.WARN
    proposal = world.propose(choice)
    step = proposal.plan.step("key-expiry")
    assert step is not None
    assert step.unavailable
    assert "login.tailscale.com/admin/machines" in step.commands[0]
    result = world.run(proposal)
    assert result.outcome is Outcome.DONE, result.problem


def test_a_secret_of_the_settings_is_the_token(world: Embedded, tmp_path: Path) -> None:
    token = world.axiom.hosts.secrets.server_token
    file = tmp_path / "token"
    file.write_text(f"{token}\n")
    join = replace(world.settings.join, token=SecretReference("file", str(file)))
    world.means = world.new_means(replace(world.settings, join=join))
    proposal = world.propose()
    assert token not in describe(proposal.plan)
    result = world.run(proposal)
    assert result.outcome is Outcome.DONE, result.problem
    assert world.host().files.read(TOKEN_PATH).decode() == f"{token}\n"


def test_the_dns_record_is_set_by_the_api_and_taken_back(world: Embedded, tmp_path: Path) -> None:
    zone = Zone([{"id": 1, "source": "api", "type": "A", "target": "100.64.0.1", "ttl": 300}])
    file = tmp_path / "dns-token"
    file.write_text(TOKEN)
    with serving(zone.answer) as server:
        dns = replace(world.settings.dns, url=server.url, token_file=file)
        world.means = world.new_means(replace(world.settings, dns=dns))
        proposal = world.propose()
        step = proposal.plan.step("dns/node")
        assert step is not None
        assert not step.unavailable
        result = world.run(proposal)
        assert result.outcome is Outcome.DONE, result.problem
        address = world.facts(world.choice(host="wall-a-10")).tailnet_ip
        assert zone.records[-1] == {
            "id": 101,
            "source": "wall-a-10",
            "type": "A",
            "target": address,
            "ttl": 300,
        }
        undone = world.run(proposal.undo(result.plan_id))
        assert undone.outcome is Outcome.DONE, undone.problem
        assert [record["source"] for record in zone.records] == ["api"]


def test_a_fourth_server_joins_with_the_typed_name(world: Embedded) -> None:
    choice = world.choice("M-O-4", role=Role.SERVER, public_address="")
    found = world.judged(choice)
    assert "4 members afterwards" in found["quorum"].sentence
    proposal = world.propose(choice)
    assert proposal.plan.typed_word == "M-O-4"
    refused = proposal.run(lambda event: None, typed="m-o-4")
    assert refused.outcome is Outcome.REFUSED
    result = world.run(proposal)
    assert result.outcome is Outcome.DONE, result.problem
    node = world.node("m-o-4")
    assert node is not None
    assert "node-role.kubernetes.io/control-plane" in node["metadata"]["labels"]
    assert POOL_LABEL not in node["metadata"]["labels"]


def test_a_server_does_not_join_while_a_member_is_down(world: Embedded) -> None:
    world.axiom.world.silence("m-o-2")
    found = world.judged(world.choice("M-O-4", role=Role.SERVER))
    assert found["members"].state is CheckState.FAIL
    assert "M-O-2" in found["members"].sentence


def test_the_first_server_of_a_new_cluster(world: Embedded) -> None:
    choice = world.choice("M-O-1", role=Role.SERVER, first_server=True, version="v1.33.4+k3s1")
    found = world.judged(choice)
    assert fails(found) == set()
    proposal = world.propose(choice)
    result = world.run(proposal)
    assert result.outcome is Outcome.DONE, result.problem
    assert result.steps[-1].state is StepState.UNAVAILABLE
    assert any("helm install cilium" in line for line in result.steps[-1].commands)
    # Its journal is of a cluster that no context leads to; it is taken back all the same.
    undone = world.run(undo(world.means, result.plan_id))
    assert undone.outcome is Outcome.DONE, undone.problem
    assert world.host().files.find("/usr/local/bin/k3s") is None


def test_an_override_is_kept_in_the_journal(world: Embedded) -> None:
    world.host().firewall_on = True
    choice = world.choice()
    assert fails(world.judged(choice)) == {"firewall"}
    proposal = world.propose(replace(choice, overridden=("firewall",)))
    assert any(line.startswith("overridden: firewall: ufw") for line in proposal.plan.effect)
    result = world.run(proposal)
    entry = world.means.journal.load(result.plan_id)
    assert entry.choices["overridden"] == ["firewall"]


OUTSIDERS = [
    ("old-os", {"tailscale", "tailnet-address"}),
    ("full-disk", {"disk"}),
    ("no-tailscale", {"tailscale", "tailnet-address"}),
    ("no-sudo", {"sudo"}),
]


@pytest.mark.parametrize(("host", "rules"), OUTSIDERS)
def test_hosts_that_cannot_join_are_told_why(world: Embedded, host: str, rules: set[str]) -> None:
    found = world.judged(JoinChoice(host=host, name="WALL-A-10"))
    assert rules <= fails(found)
    for check in found.values():
        if check.state is CheckState.FAIL:
            assert check.remedy, check
    if host == "old-os":
        assert {found[rule].state for rule in ("distribution", "kernel")} == {CheckState.WARN}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("host-refuse", ProblemKind.UNREACHABLE),
        ("host-policy", ProblemKind.FORBIDDEN),
        ("host-key-changed", ProblemKind.UNTRUSTED),
    ],
)
def test_a_host_that_lets_nobody_in_says_why(world: Embedded, fault: str, kind: ProblemKind) -> None:
    world.host().fault(fault)
    with pytest.raises(AxiomError) as caught:
        facts_of(world.means, world.choice())
    assert caught.value.problem.kind is kind, caught.value.problem


def test_a_wrong_sudo_password_is_a_failed_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXIOM_TUI_STATE", str(tmp_path / "state"))

    def wrong() -> Interaction:
        return Answers("guessed")

    with embedded(tmp_path, wrong) as world:
        found = world.judged(world.choice())
        assert fails(found) == {"sudo"}
        assert "refused the password" in found["sudo"].sentence
        assert not found["sudo"].overridable


def test_the_clock_of_the_host_is_compared_with_the_clusters(world: Embedded) -> None:
    world.host().fault("host-clock-skew", seconds=95)
    check = world.judged(world.choice())["clock"]
    assert check.state is CheckState.FAIL
    assert "95 s ahead" in check.sentence or "94 s ahead" in check.sentence or "96 s" in check.sentence
