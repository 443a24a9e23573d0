"""The step that has servicelb follow: it waits for a slow one, touches what is stale, gives up in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from axiom_tui.model.pools import labels_for
from axiom_tui.model.problem import ProblemKind
from axiom_tui.model.servicelb import SERVICE_NAME_LABEL
from axiom_tui.plans import servicelb
from axiom_tui.plans.events import Outcome, Output, StepStarted, StepState, Waiting
from axiom_tui.plans.proposal import propose_labels, resume
from axiom_tui.plans.servicelb import TOUCHED_ANNOTATION, Look, SettleServiceLb
from axiom_tui.plans.step import CancelToken, Plan
from axiom_tui.plans.transcript import WAITS, account
from axiom_tui.simulator.servicelb import ServiceLb
from tests.plans.embedded import Embedded, embedded
from tests.plans.world import CLUSTER, perform

#: Between cause and effect in the slow servicelb, at each step of a chain. Seconds.
DELAY = 0.2


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Embedded]:
    with embedded(tmp_path) as running:
        yield running


def put(world: Embedded, name: str, pool: str) -> None:
    """Somebody else puts a node into a pool; "" for none."""

    def change(item: dict[str, Any]) -> None:
        for key, value in labels_for(pool).items():
            item["metadata"]["labels"].pop(key, None)
            if value is not None:
                item["metadata"]["labels"][key] = value

    world.axiom.store.mutate("nodes", name, change)


def unlabel_all(world: Embedded) -> None:
    for item in world.axiom.store.list("nodes"):
        put(world, item["metadata"]["name"], "")
    world.axiom.servicelb.settle()
    # As if K3s had started again since: the selectors are empty, as the rule says.
    world.axiom.servicelb.stop()
    world.axiom.servicelb = ServiceLb(world.axiom.store)
    world.axiom.controllers[:1] = [world.axiom.servicelb]
    world.axiom.servicelb.start()


def touches(world: Embedded) -> dict[str, str]:
    """When each Service was touched, by name."""
    found = {}
    for item in world.axiom.store.list("services"):
        meta = item["metadata"]
        if TOUCHED_ANNOTATION in meta.get("annotations", {}):
            found[f"{meta['namespace']}/{meta['name']}"] = meta["annotations"][TOUCHED_ANNOTATION]
    return found


def settling(world: Embedded, within: float = 30.0) -> Plan:
    return Plan("settle", "let it settle", CLUSTER, (SettleServiceLb(world.means.client, within=within),))


def test_it_waits_for_a_slow_servicelb(world: Embedded) -> None:
    world.axiom.servicelb.delay = DELAY
    result = world.run(propose_labels(world.means))
    assert result.outcome is Outcome.DONE, result.problem
    # Nobody waits here: it is as it should be the moment that the plan is done.
    assert Look.at(world.means.client).unsettled() == ()
    assert "minecraft/flasche: no pod on wall-a-3 yet" in world.said
    assert "kube-system/cilium-ingress: still a pod on wall-a-3" in world.said


def test_what_the_first_label_leaves_stale_is_touched_once(world: Embedded) -> None:
    unlabel_all(world)
    seen: list[tuple[str, str]] = []

    def note(kind: str, plural: str, item: dict[str, Any]) -> None:
        stamp = item["metadata"].get("annotations", {}).get(TOUCHED_ANNOTATION, "")
        if plural == "services" and stamp:
            seen.append((item["metadata"]["name"], stamp))

    stop = world.axiom.store.subscribe(note)
    world.axiom.servicelb.delay = DELAY / 4
    try:
        proposal = propose_labels(world.means, ["wall-a-4", "wall-a-1"])
        result = world.run(proposal)
    finally:
        stop()
    assert result.outcome is Outcome.DONE, result.problem
    assert Look.at(world.means.client).unsettled() == ()
    touched = touches(world)
    assert sorted(touched) == ["kube-system/cilium-ingress", "minecraft/flasche"]
    assert all(f"touching {name}: its selector is enablelb=true" in world.said for name in touched)
    # What was foreseen is what was typed, and a slow K3s is no reason to touch again.
    foreseen = proposal.plan.steps[-1].commands
    assert len(foreseen) == len(touched)
    assert len(set(seen)) == len(touched)


def test_a_selector_that_never_follows_is_said_with_the_remedy(
    world: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servicelb, "TOUCHED_AGAIN_AFTER", 1.0)
    unlabel_all(world)
    world.axiom.servicelb.stop()
    put(world, "wall-a-4", "internal")
    result, events = perform(settling(world, within=3.2), tmp_path / "state")
    assert result.outcome is Outcome.FAILED
    problem = result.problem
    assert problem is not None
    assert problem.kind is ProblemKind.TIMED_OUT
    assert problem.sentence.startswith(
        "Waited 3 s for servicelb to follow the labels, and it did not happen."
    )
    assert "Still so: " in problem.sentence
    assert "kube-system/cilium-ingress: K3s has not synced its selector" in problem.sentence
    assert "restarting k3s on a server syncs all of them" in problem.remedy
    assert "resume" in problem.remedy
    (waiting,) = [event for event in events if isinstance(event, Waiting)]
    assert waiting.what == "servicelb to follow the labels"
    assert (waiting.until - waiting.since).total_seconds() == pytest.approx(3.2)
    assert "kube-system/cilium-ingress" in touches(world)
    # A touch may be lost: it is tried again, but not at each look.
    said = [event.line for event in events if isinstance(event, Output)]
    assert said.count("touching kube-system/cilium-ingress: its selector is empty") in (2, 3)
    # The remedy is one: K3s starts again, and the plan is resumed.
    world.axiom.servicelb = ServiceLb(world.axiom.store)
    world.axiom.controllers[:1] = [world.axiom.servicelb]
    world.axiom.servicelb.start()
    again, _ = perform(settling(world), tmp_path / "state", resume=result.plan_id)
    assert again.outcome is Outcome.DONE, again.problem


def test_pods_that_never_come_are_said(world: Embedded, tmp_path: Path) -> None:
    """The selectors are right, but nothing else follows."""
    world.axiom.servicelb.stop()
    put(world, "wall-a-4", "internal")
    result, events = perform(settling(world, within=1.2), tmp_path / "state")
    assert result.outcome is Outcome.FAILED
    assert result.problem is not None
    assert "kube-system/cilium-ingress: no pod on wall-a-4 yet" in result.problem.sentence
    assert touches(world) == {}  # nothing was stale
    said = [event.line for event in events if isinstance(event, Output)]
    assert len(said) == len(set(said))  # each look says only what is new


def test_what_has_settled_needs_no_step(world: Embedded, tmp_path: Path) -> None:
    result, _ = perform(settling(world), tmp_path / "state")
    assert [step.state for step in result.steps] == [StepState.ALREADY]
    assert touches(world) == {}


def test_a_plan_settles_what_another_one_left_behind(world: Embedded) -> None:
    """Its labels are all set, but it was cut before servicelb was touched: a new plan has that left to do."""
    unlabel_all(world)
    put(world, "wall-a-4", "internal")
    world.axiom.servicelb.settle()
    proposal = propose_labels(world.means, ["wall-a-4"])
    assert proposal.plan.subject == "have K3s' load balancer follow the labels"
    assert [step.key for step in proposal.plan.steps] == ["servicelb"]
    assert "patch services" in map(str, proposal.plan.rights)
    cancel = CancelToken()
    world.axiom.servicelb.stop()
    result = proposal.run(
        lambda event: cancel.cancel() if isinstance(event, StepStarted) else None,
        cancel,
        typed=proposal.plan.typed_word,
    )
    assert result.outcome is Outcome.CANCELLED
    assert account(result).left[-1] == WAITS
    world.axiom.servicelb = ServiceLb(world.axiom.store)
    world.axiom.controllers[:1] = [world.axiom.servicelb]
    world.axiom.servicelb.start()
    again = resume(world.means, result.plan_id)
    assert [step.key for step in again.plan.steps] == ["servicelb"]
    done = world.run(again)
    assert done.outcome is Outcome.DONE
    assert account(done).left == ()
    assert Look.at(world.means.client).unsettled() == ()
    # Once it has settled there is nothing to do.
    assert propose_labels(world.means, ["wall-a-4"]).plan.steps == ()


def pod_of(world: Embedded, service: str, node: str) -> dict[str, Any]:
    (found,) = (
        item
        for item in world.axiom.store.list("pods")
        if item["metadata"].get("labels", {}).get(SERVICE_NAME_LABEL) == service
        and item["spec"].get("nodeName") == node
    )
    return found


def begin_to_start(item: dict[str, Any]) -> None:
    item["status"]["phase"] = "Pending"


def begin_to_end(item: dict[str, Any]) -> None:
    item["metadata"] |= {"deletionTimestamp": "2026-11-22T14:02:00Z", "finalizers": ["example.org/slow"]}


@pytest.mark.parametrize("change", [begin_to_start, begin_to_end])
def test_a_pod_that_starts_or_ends_is_not_there(
    world: Embedded, change: Callable[[dict[str, Any]], None]
) -> None:
    world.axiom.servicelb.stop()
    assert Look.at(world.means.client).unsettled() == ()
    meta = pod_of(world, "cilium-ingress", "wall-a-2")["metadata"]
    world.axiom.store.mutate("pods", meta["name"], change, meta["namespace"])
    assert world.axiom.store.get("pods", meta["name"], meta["namespace"]) is not None
    assert "kube-system/cilium-ingress: no pod on wall-a-2 yet" in Look.at(world.means.client).unsettled()


def test_what_is_published_is_looked_at_too(world: Embedded) -> None:
    world.axiom.servicelb.stop()

    def publish(item: dict[str, Any]) -> None:
        item["status"]["loadBalancer"]["ingress"] = [{"ip": "203.0.113.9"}]

    world.axiom.store.mutate("services", "flasche", publish, "minecraft")
    assert Look.at(world.means.client).unsettled() == (
        "minecraft/flasche: publishes 203.0.113.9, not yet 116.203.10.1, 116.203.10.8",
    )
