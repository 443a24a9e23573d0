"""Parts of a join by themselves: removing the node, records set by hand, logins, secrets by reference."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from axiom_tui.clients.secret_sources import read_secret
from axiom_tui.clients.ssh_values import Interaction
from axiom_tui.model.node import Node
from axiom_tui.model.problem import AxiomError, ProblemKind, fail
from axiom_tui.model.secret import Masker, Secret
from axiom_tui.plans.hosts import Hosts, Listening
from axiom_tui.plans.join_dns_steps import AwaitRecord
from axiom_tui.plans.joining_node import JoiningNode
from axiom_tui.plans.step import CancelToken, Run
from tests.plans.cluster import Simulated, simulated
from tests.plans.joins import AGENT

#: A name that the simulated cluster does not have.
SPEC = replace(AGENT, name="WALL-A-30")
said: list[str] = []


def a_run(seconds: float = 20.0, cancel: CancelToken | None = None) -> Run:
    said.clear()
    return Run(
        masker=Masker(),
        cancel=cancel or CancelToken(),
        interruptible=True,
        ends=time.monotonic() + seconds,
        on_output=said.append,
        on_waiting=lambda what, since, until: said.append(f"waiting for {what}"),
        on_remember=lambda values: values,
    )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Simulated]:
    with simulated(tmp_path) as running:
        item = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "wall-a-30", "labels": {}},
            "status": {
                "addresses": [{"type": "InternalIP", "address": SPEC.tailnet_ip}],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }
        running.store.create("nodes", item)
        yield running


def put_pod(cluster: Simulated, name: str, kind: str = "ReplicaSet", **labels: str) -> None:
    owner = {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": name, "controller": True}
    manifest: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "web", "labels": labels, "ownerReferences": [owner]},
        "spec": {"nodeName": "wall-a-30", "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    cluster.store.create("pods", manifest, "web")


def found(joining: JoiningNode) -> Node:
    node = joining.found()
    assert node is not None
    return node


def test_a_node_is_emptied_before_it_is_deleted(cluster: Simulated) -> None:
    put_pod(cluster, "shop")
    put_pod(cluster, "agent", "DaemonSet")
    node = JoiningNode(cluster.client(), SPEC, "")
    assert {pod.name for pod in node.pods()} == {"shop", "agent"}
    node.remove(a_run(), found(node))
    assert "evicted web/shop" in said
    assert "evicted web/agent" not in said
    assert cluster.store.get("nodes", "wall-a-30") is None


def test_a_disruption_budget_holds_the_removal_up_and_is_named(
    cluster: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("axiom_tui.plans.joining_node.DRAIN_WITHIN", 1.2)
    put_pod(cluster, "shop")

    client = cluster.client()

    def refuse(namespace: str, name: str) -> None:
        raise fail(ProblemKind.THROTTLED, "Cannot evict pod as it would violate the pod's disruption budget.")

    monkeypatch.setattr(client, "evict_pod", refuse)
    joining = JoiningNode(client, SPEC, "")
    with pytest.raises(AxiomError) as caught:
        joining.remove(a_run(), found(joining))
    assert caught.value.problem.kind is ProblemKind.TIMED_OUT
    assert "disruption budget" in caught.value.problem.remedy
    node = cluster.store.get("nodes", "wall-a-30")
    assert node is not None
    assert node["spec"]["unschedulable"] is True


def test_a_node_that_is_not_ready_is_not_waited_for(cluster: Simulated) -> None:
    put_pod(cluster, "shop")

    def silence(item: dict[str, Any]) -> None:
        item["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]

    cluster.store.mutate("nodes", "wall-a-30", silence)
    joining = JoiningNode(cluster.client(), SPEC, "")
    joining.remove(a_run(), found(joining))
    assert cluster.store.get("nodes", "wall-a-30") is None


def test_another_host_of_the_same_name_is_never_taken_for_this_one(cluster: Simulated) -> None:
    def move(item: dict[str, Any]) -> None:
        item["status"]["addresses"] = [{"type": "InternalIP", "address": "100.64.0.99"}]

    cluster.store.mutate("nodes", "wall-a-30", move)
    with pytest.raises(AxiomError) as caught:
        JoiningNode(cluster.client(), SPEC, "").own()
    assert caught.value.problem.kind is ProblemKind.CONFLICT
    assert "100.64.0.99" in caught.value.problem.sentence


# -- records that the admin sets ---------------------------------------------------------------------------


class Dns:
    """What the name resolves to, one answer after the other; the last one stays."""

    def __init__(self, *answers: tuple[str, ...] | ProblemKind) -> None:
        self.answers = list(answers)

    def __call__(self, name: str) -> tuple[str, ...]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, ProblemKind):
            raise fail(answer, f"{name} does not resolve.")
        return answer


def record_step(dns: Dns) -> AwaitRecord:
    return AwaitRecord("dns/node", dns, AGENT.dns_name, AGENT.tailnet_ip, 300)


def test_a_record_that_is_set_by_hand_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    dns = Dns(ProblemKind.UNRESOLVED, ("10.0.0.1",), ("10.0.0.1", AGENT.tailnet_ip))
    step = record_step(dns)
    run = a_run()
    monkeypatch.setattr("axiom_tui.plans.join_dns_steps.LOOK_EVERY", 0.01)
    assert not step.is_done(run)
    step.run(run)
    step.verify(run)
    assert f"{AGENT.dns_name}. 300 IN A {AGENT.tailnet_ip}" in said[0]


def test_the_admin_may_stop_waiting_for_a_record() -> None:
    cancel = CancelToken()
    step = record_step(Dns(ProblemKind.UNRESOLVED))
    threading.Timer(0.1, cancel.cancel).start()
    with pytest.raises(AxiomError) as caught:
        step.run(a_run(cancel=cancel))
    assert caught.value.problem.kind is ProblemKind.CANCELLED
    assert "resume" in caught.value.problem.remedy


def test_a_resolver_that_is_broken_is_no_missing_record() -> None:
    with pytest.raises(AxiomError):
        record_step(Dns(ProblemKind.BROKEN)).is_done(a_run())


# -- logins ------------------------------------------------------------------------------------------------


class Shell:
    """A login that knows whether it still stands."""

    def __init__(self) -> None:
        self.is_open = True
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        self.is_open = False

    def close(self) -> None:
        self.is_open = False


def test_a_login_is_kept_and_made_again_when_it_was_lost() -> None:
    made: list[Shell] = []

    def connect(host: str, user: str, cancelled: threading.Event) -> Any:
        made.append(Shell())
        return made[-1]

    hosts = Hosts(connect)
    first: Any = hosts.shell("a")
    assert hosts.shell("a") is first
    assert hosts.shell("a", "root") is not first
    hosts.interrupt()
    assert made[0].cancelled
    assert hosts.shell("a") is not first
    hosts.close()
    assert not any(shell.is_open for shell in made)
    again: Any = hosts.shell("a")
    assert again is made[-1]


def test_a_login_that_waits_for_a_person_can_be_ended() -> None:
    waiting = threading.Event()

    def connect(host: str, user: str, cancelled: threading.Event) -> Any:
        waiting.set()
        assert cancelled.wait(20)
        raise fail(ProblemKind.CANCELLED, "The login was cancelled.")

    hosts = Hosts(connect)
    problems: list[AxiomError] = []

    def log_in() -> None:
        try:
            hosts.shell("a")
        except AxiomError as error:
            problems.append(error)

    thread = threading.Thread(target=log_in, daemon=True)
    thread.start()
    assert waiting.wait(20)
    hosts.interrupt()
    thread.join(20)
    assert [item.problem.kind for item in problems] == [ProblemKind.CANCELLED]


def test_what_is_typed_at_a_prompt_is_masked_in_the_run() -> None:
    class Typing(Interaction):
        def sudo_password(self, user: str, host: str, again: bool) -> Secret | None:
            return Secret("seven otters knit")

    listening = Listening(Typing())

    def connect(host: str, user: str, cancelled: threading.Event) -> Any:
        assert listening.sudo_password("a", "b", False) == Secret("seven otters knit")
        return Shell()

    run = a_run()
    Hosts(connect, lambda: listening.given).shell("a", run=run)
    assert "otters" not in run.masker("it is seven otters knit")


# -- secrets -----------------------------------------------------------------------------------------------


def test_secrets_are_read_where_the_reference_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text("K10abc\n")
    monkeypatch.setenv("AXIOM_TEST_TOKEN", "from the environment")
    assert read_secret(f"file:{file}") == Secret("K10abc")
    assert read_secret("env:AXIOM_TEST_TOKEN") == Secret("from the environment")


@pytest.mark.parametrize("reference", ["file:/nowhere/at/all", "env:AXIOM_TEST_NOTHING", "vault:x", ""])
def test_a_secret_that_is_not_there_is_said(reference: str) -> None:
    with pytest.raises(AxiomError) as caught:
        read_secret(reference)
    assert caught.value.problem.remedy
