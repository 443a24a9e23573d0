"""What an undo or a resume says that it does to the Services, and does, on an embedded Axiom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from axiom_tui.model.exposure import ServiceEffect, describe, today
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL
from axiom_tui.model.problem import AxiomError
from axiom_tui.model.servicelb import Served
from axiom_tui.plans.events import Event, Outcome, Output, StepFinished, StepStarted, StepState
from axiom_tui.plans.proposal import propose_labels, resume, undo
from axiom_tui.plans.servicelb import observe
from axiom_tui.plans.step import CancelToken, Plan
from tests.plans.embedded import Embedded, embedded

INGRESS = "kube-system/cilium-ingress"

Picture = dict[str, tuple[frozenset[str], tuple[str, ...]]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Embedded]:
    with embedded(tmp_path) as running:
        yield running


def served(world: Embedded) -> dict[str, Served]:
    return {item.service.full_name: item for item in today(observe(world.means.client))}


def picture(found: dict[str, Served]) -> Picture:
    return {name: (frozenset(item.nodes), item.addresses) for name, item in found.items()}


def applied(world: Embedded, *names: str, pool: str | None = None) -> str:
    """Apply labels; gives the plan's id."""
    result = world.run(propose_labels(world.means, names or None, pool))
    assert result.outcome is Outcome.DONE, result.problem
    return result.plan_id


def label(world: Embedded, name: str, enable: str | None, pool: str | None) -> None:
    """Somebody else sets both labels; None removes one."""

    def change(item: dict[str, Any]) -> None:
        for key, value in ((ENABLE_LABEL, enable), (POOL_LABEL, pool)):
            item["metadata"]["labels"].pop(key, None)
            if value is not None:
                item["metadata"]["labels"][key] = value

    world.axiom.store.mutate("nodes", name, change)


def register_again(world: Embedded, name: str) -> None:
    found = world.axiom.store.delete("nodes", name)
    for key in ("uid", "resourceVersion", "managedFields"):
        found["metadata"].pop(key, None)
    world.axiom.store.create("nodes", found)


def unlabel_all(world: Embedded) -> None:
    for item in world.axiom.store.list("nodes"):
        label(world, item["metadata"]["name"], None, None)
    world.axiom.servicelb.settle()


def said(plan: Plan) -> list[str]:
    """The lines about Services, without the words of warning."""
    return [line for line in plan.effect if not line.startswith(("error:", "warning:"))]


def foreseen(before: dict[str, Served], after: dict[str, Served]) -> list[str]:
    return [describe(ServiceEffect(old, after[name])) for name, old in before.items()]


def test_an_undo_says_its_effect_and_has_it(world: Embedded) -> None:
    before = served(world)
    plan_id = applied(world)
    between = served(world)
    assert picture(before) != picture(between)
    proposal = undo(world.means, plan_id)
    assert proposal.plan.effect[0] == (
        f"error: {INGRESS}, an internal Service, becomes reachable on a public address: 116.203.10.3."
    )
    result = world.run(proposal)
    assert result.outcome is Outcome.DONE, result.problem
    after = served(world)
    assert sorted(said(proposal.plan)) == sorted(foreseen(between, after))
    # Silent WALL-A-7 gets its label again, but no new pod.
    assert sorted(said(proposal.plan)) != sorted(foreseen(between, before))
    assert {name: item.addresses for name, item in after.items()} == {
        name: item.addresses for name, item in before.items()
    }


def test_the_undo_of_the_first_label_says_what_it_touches(world: Embedded) -> None:
    unlabel_all(world)
    plan_id = applied(world, "wall-a-4", pool="internal")
    proposal = undo(world.means, plan_id)
    assert any("This removes the last load-balancer label" in line for line in proposal.plan.effect)
    settle = proposal.plan.steps[-1]
    assert settle.key == "undo/servicelb"
    assert any(
        f"annotate service -n kube-system {INGRESS.partition('/')[2]}" in line for line in settle.commands
    )
    result = world.run(proposal)
    assert result.outcome is Outcome.DONE, result.problem
    touched = {line.split()[1].rstrip(":") for line in world.said if line.startswith("touching ")}
    assert len(settle.commands) == len(touched)


def test_what_became_dangerous_since_is_another_plan(world: Embedded) -> None:
    """The word to be typed is decided from the fresh effect, before the run and when it is resumed."""
    proposal = propose_labels(world.means, ["wall-a-2"], "")
    assert proposal.plan.typed_word == ""
    for name in ("wall-a-3", "wall-a-5", "wall-a-9"):
        label(world, name, None, None)
    world.axiom.servicelb.settle()
    result = world.run(proposal)
    assert result.outcome is Outcome.CHANGED
    assert any(line.startswith('the word to be typed: "" is now "WALL-A-2"') for line in world.said)


def test_a_resume_wants_the_word_that_fits_its_effect(world: Embedded) -> None:
    assert propose_labels(world.means).plan.typed_word == ""
    plan_id = cut_after(world, 1)
    assert resume(world.means, plan_id).plan.typed_word == ""
    undone = undo(world.means, plan_id).plan
    # WALL-A-3 alone was changed by then, and goes back to the internal pool with its public address.
    assert undone.typed_word == "WALL-A-3"


def test_the_undo_of_a_join_wants_the_name_of_the_node(world: Embedded) -> None:
    proposal = world.propose()
    assert proposal.plan.typed_word == ""
    joined = world.run(proposal)
    plan = undo(world.means, joined.plan_id).plan
    assert plan.typed_word == "WALL-A-10"
    # What is taken away is said as such.
    titles = {step.key: step.title for step in plan.steps}
    assert titles["undo/start"] == "Drain WALL-A-10, delete the node and stop k3s-agent"
    assert titles["undo/install"] == "Uninstall K3s from WALL-A-10"
    assert titles["undo/config"] == "Remove /etc/rancher/k3s/config.yaml.d/10-axiom.yaml"


def test_a_join_that_is_dangerous_by_its_labels_wants_a_name_typed(world: Embedded) -> None:
    assert world.propose().plan.typed_word == ""
    unlabel_all(world)
    plan = world.propose().plan
    assert any(line.startswith("error: This is the first load-balancer label") for line in plan.effect)
    assert plan.typed_word == "WALL-A-10"


def test_an_undo_says_where_each_node_goes_back_to(world: Embedded) -> None:
    label(world, "wall-a-9", None, "internal")
    plan_id = applied(world, "wall-a-3", "wall-a-4", "wall-a-9")
    titles = {step.key: step.title for step in undo(world.means, plan_id).plan.steps}
    assert titles["undo/label/wall-a-3"] == "Put WALL-A-3 back into the pool internal"
    assert titles["undo/label/wall-a-4"] == "Take WALL-A-4 out of the load balancer again"
    assert titles["undo/label/wall-a-9"] == "Give WALL-A-9 its earlier labels back (lbpool=internal)"


def test_a_world_that_changed_since_is_shown_and_nothing_runs(world: Embedded) -> None:
    plan_id = applied(world, "wall-a-3")
    proposal = undo(world.means, plan_id)
    label(world, "wall-a-2", None, None)
    world.axiom.servicelb.settle()
    result = world.run(proposal)
    assert result.outcome is Outcome.CHANGED
    assert not result.journalled


def test_a_node_that_somebody_changed_since_stops_it_and_is_said_before(world: Embedded) -> None:
    before = served(world)
    plan_id = applied(world, "wall-a-3", "wall-a-4")
    label(world, "wall-a-3", "true", "theirs")
    world.axiom.servicelb.settle()
    between = served(world)
    proposal = undo(world.means, plan_id)
    error = proposal.plan.effect[0]
    assert error.startswith(
        "error: This will stop on its way: WALL-A-3 was changed since by somebody else: it has "
        "enablelb=true, lbpool=theirs."
    )
    assert "kubectl --context axiom-demo label node wall-a-3" in error
    # What is foreseen is WALL-A-4 alone, and so it is.
    result = world.run(proposal)
    assert result.outcome is Outcome.CHANGED
    world.axiom.servicelb.settle()
    after = served(world)
    assert sorted(said(proposal.plan)) == sorted(foreseen(between, after))
    # As it was said: labelled by hand, the same undo goes through.
    label(world, "wall-a-3", "true", "internal")
    world.axiom.servicelb.settle()
    rest = undo(world.means, plan_id)
    assert not any("will stop" in line for line in rest.plan.effect)
    assert world.run(rest).outcome is Outcome.DONE
    assert picture(served(world)) == picture(before)


def test_a_node_that_is_gone_is_nothing_to_take_back(world: Embedded) -> None:
    plan_id = applied(world)
    world.axiom.store.delete("nodes", "wall-a-4")
    world.axiom.servicelb.settle()
    between = served(world)
    proposal = undo(world.means, plan_id)
    results: list[StepFinished] = []

    def tell(event: Event) -> None:
        if isinstance(event, StepFinished):
            results.append(event)
        if isinstance(event, Output):
            world.said.append(event.line)

    result = proposal.run(tell, typed="axiom-demo")
    assert result.outcome is Outcome.DONE, result.problem
    assert sorted(said(proposal.plan)) == sorted(foreseen(between, served(world)))
    states = {step.key: step.state for step in result.steps}
    assert states["undo/label/wall-a-4"] is StepState.ALREADY
    assert states["undo/label/wall-a-3"] is StepState.DONE
    assert "WALL-A-4 is not in the cluster any more: there is nothing to take back." in world.said


def test_an_undo_that_was_cut_says_what_is_left(world: Embedded) -> None:
    before = served(world)
    plan_id = applied(world, "wall-a-3", "wall-a-4")
    proposal = undo(world.means, plan_id)
    cancel = CancelToken()

    def tell(event: Event) -> None:
        if isinstance(event, StepFinished):
            cancel.cancel()

    result = proposal.run(tell, cancel, typed=proposal.plan.typed_word)
    assert result.outcome is Outcome.CANCELLED
    world.axiom.servicelb.settle()
    between = served(world)
    rest = resume(world.means, result.plan_id)
    assert sorted(said(rest.plan)) == sorted(foreseen(between, before))
    assert world.run(rest).outcome is Outcome.DONE
    assert picture(served(world)) == picture(before)
    with pytest.raises(AxiomError, match="it is undone already"):
        undo(world.means, plan_id)


def test_the_undo_of_a_join_says_what_the_services_lose(world: Embedded) -> None:
    before = served(world)
    joined = world.run(world.propose())
    assert joined.outcome is Outcome.DONE, joined.problem
    between = served(world)
    assert picture(between) != picture(before)
    proposal = undo(world.means, joined.plan_id)
    lines = [line for line in said(proposal.plan) if line.partition(":")[0] in between]
    assert sorted(lines) == sorted(foreseen(between, before))
    assert any("loses wall-a-10" in line for line in lines)
    result = world.run(proposal)
    assert result.outcome is Outcome.DONE, result.problem
    assert picture(served(world)) == picture(before)


def joined_and_labelled(world: Embedded) -> str:
    """A join whose labels somebody took away before its own step for them; gives the plan's id."""

    def tell(event: Event) -> None:
        if isinstance(event, StepStarted) and event.key == "labels":
            label(world, "wall-a-10", None, None)

    result = world.propose().run(tell)
    assert result.outcome is Outcome.DONE, result.problem
    world.axiom.servicelb.settle()
    return result.plan_id


@pytest.mark.parametrize("how", ["labelled", "registered"])
def test_what_will_stop_the_undo_of_a_join_is_said_before(world: Embedded, how: str) -> None:
    plan_id = joined_and_labelled(world)
    assert not any("will stop" in line for line in undo(world.means, plan_id).plan.effect)
    if how == "labelled":
        label(world, "wall-a-10", "true", "internal")
    else:
        register_again(world, "wall-a-10")
    world.axiom.servicelb.settle()
    between = served(world)
    words = {
        "labelled": "WALL-A-10 was changed since by somebody else: it has enablelb=true, lbpool=internal",
        "registered": "WALL-A-10 was registered again since: it has enablelb=true, lbpool=external",
    }
    proposal = undo(world.means, plan_id)
    assert proposal.plan.effect[0].startswith(f"error: This will stop on its way: {words[how]}")
    assert not any("loses wall-a-10" in line for line in proposal.plan.effect)  # it does not come so far
    result = world.run(proposal)
    assert result.outcome is Outcome.CHANGED
    assert result.problem is not None
    assert words[how] in result.problem.sentence
    assert picture(served(world)) == picture(between)


def test_a_join_that_was_cut_before_it_remembered_anything_deletes_no_node(world: Embedded) -> None:
    def tell(event: Event) -> None:
        if isinstance(event, StepStarted) and event.key == "start":
            world.axiom.faults.set("broken")

    result = world.propose().run(tell)
    world.axiom.faults.clear("broken")
    start = world.means.journal.load(result.plan_id).step("start")
    assert start is not None
    assert (start.begun, dict(start.earlier)) == (True, {}), result.problem
    # Somebody else has the host join.
    node = world.axiom.store.get("nodes", "wall-a-4")
    assert node is not None
    node["metadata"] = {"name": "wall-a-10", "labels": {**node["metadata"]["labels"]}}
    node["status"]["addresses"][0]["address"] = result.plan.choices["tailnet_ip"]
    world.axiom.store.create("nodes", node)
    label(world, "wall-a-10", "true", "external")
    world.axiom.servicelb.settle()
    assert any("wall-a-10" in found.nodes for found in served(world).values())
    proposal = undo(world.means, result.plan_id)
    assert not any("loses wall-a-10" in line for line in proposal.plan.effect)
    assert world.run(proposal).outcome is Outcome.DONE
    assert world.node("wall-a-10") is not None


def test_a_node_registered_again_is_not_overwritten(world: Embedded) -> None:
    """Even if it has the very labels of the plan: they are its own now."""
    plan_id = applied(world, "wall-a-4")
    register_again(world, "wall-a-4")
    world.axiom.servicelb.settle()
    proposal = undo(world.means, plan_id)
    assert "WALL-A-4 was registered again since: it has enablelb=true" in proposal.plan.effect[0]
    result = world.run(proposal)
    assert result.outcome is Outcome.CHANGED
    assert result.problem is not None
    assert "WALL-A-4 was registered again since" in result.problem.sentence


def cut_after(world: Embedded, count: int, *names: str) -> str:
    """Apply labels, cancelled after so many steps; gives the plan's id."""
    cancel = CancelToken()

    def tell(event: Event) -> None:
        if isinstance(event, StepFinished) and event.index + 1 == count:
            cancel.cancel()

    result = propose_labels(world.means, names or None).run(tell, cancel)
    assert result.outcome is Outcome.CANCELLED
    world.axiom.servicelb.settle()
    return result.plan_id


def test_a_resume_says_what_is_left_and_not_what_was_planned(world: Embedded) -> None:
    plan_id = cut_after(world, 1)
    between = served(world)
    proposal = resume(world.means, plan_id)
    result = world.run(proposal)
    assert result.outcome is Outcome.DONE, result.problem
    assert sorted(said(proposal.plan)) == sorted(foreseen(between, served(world)))
    assert not any("gains wall-a-3" in line for line in proposal.plan.effect)  # that was done by then


@pytest.mark.parametrize("how", ["gone", "labelled"])
def test_what_will_stop_a_resume_is_said_before(world: Embedded, how: str) -> None:
    plan_id = cut_after(world, 1)
    if how == "gone":
        world.axiom.store.delete("nodes", "wall-a-4")
    else:
        label(world, "wall-a-4", "true", "theirs")
    world.axiom.servicelb.settle()
    between = served(world)
    proposal = resume(world.means, plan_id)
    words = {
        "gone": "WALL-A-4 is not in the cluster any more. Make a new plan without it",
        "labelled": "WALL-A-4 has changed since the plan was made: it has enablelb=true, lbpool=theirs, and "
        "had no load-balancer labels. Make the plan again",
    }
    assert proposal.plan.effect[0].startswith(f"error: This will stop on its way: {words[how]}")
    result = world.run(proposal)
    assert result.outcome is (Outcome.FAILED if how == "gone" else Outcome.CHANGED)
    assert result.problem is not None
    assert words[how].partition(". ")[0] in result.problem.sentence
    world.axiom.servicelb.settle()
    assert sorted(said(proposal.plan)) == sorted(foreseen(between, served(world)))


def test_notes_of_a_plan_outlive_its_cut(world: Embedded) -> None:
    """What does not depend on the moment is still said when it is resumed."""

    def configured(item: dict[str, Any]) -> None:
        item["metadata"]["annotations"]["k3s.io/node-args"] = (
            f'["agent", "--node-label", "{POOL_LABEL}=internal"]'
        )

    world.axiom.store.mutate("nodes", "wall-a-3", configured)
    plan_id = cut_after(world, 1, "wall-a-3", "wall-a-4")
    proposal = resume(world.means, plan_id)
    assert any("K3s sets lbpool=internal again at its next start" in line for line in proposal.plan.effect)
