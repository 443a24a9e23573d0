"""What is looked at before labels are changed: rights, lock, mode, and the effect, on an embedded Axiom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from axiom_tui.model.checks import Check, CheckState, standing_fails
from axiom_tui.plans.label_checks import common_checks, label_checks
from axiom_tui.plans.proposal import Means, propose_labels
from axiom_tui.plans.step import Right
from tests.plans.embedded import Embedded, embedded
from tests.plans.world import BERT


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Embedded]:
    with embedded(tmp_path) as running:
        yield running


def checked(means: Means, *names: str, pool: str | None = None) -> dict[str, list[Check]]:
    found: dict[str, list[Check]] = {}
    for check in label_checks(means, propose_labels(means, names or None, pool)):
        found.setdefault(check.rule, []).append(check)
    return found


def test_all_is_well(world: Embedded) -> None:
    found = checked(world.means, "wall-a-4")
    assert list(found) == ["read-only", "rights", "lock", "effect"]
    assert {check.state for checks in found.values() for check in checks} == {CheckState.PASS}


def test_consequences_are_said_each_by_itself_and_as_bad_as_in_the_plan(world: Embedded) -> None:
    names = ("wall-a-1", "wall-a-3", "wall-a-8")
    found = checked(world.means, *names, pool="internal")["effect"]
    words = {CheckState.FAIL: "error", CheckState.WARN: "warning"}
    effect = propose_labels(world.means, names, "internal").plan.effect
    assert {f"{words[check.state]}: {check.sentence}" for check in found} == {
        line for line in effect if line.startswith(("error:", "warning:"))
    }
    # What is an error wants the word of the plan, and nothing besides.
    worst = found[0]
    assert (worst.state, worst.typed_word) == (CheckState.FAIL, "axiom-demo")
    assert 'wants "axiom-demo" typed' in worst.remedy
    assert standing_fails(found, ()) == ()
    sentences = [check.sentence for check in found]
    assert sentences[0].startswith("kube-system/cilium-ingress, an internal Service, becomes reachable on a ")
    assert "minecraft/flasche loses its last published address." in sentences
    # What is only a warning is said too.
    assert "The pool external would have no node any more." not in sentences  # silent WALL-A-7 is in it
    found = checked(world.means, "wall-a-1", "wall-a-3", "wall-a-7", "wall-a-8", pool="internal")["effect"]
    assert "The pool external would have no node any more." in [check.sentence for check in found]
    assert not any(check.sentence.startswith(("error", "warning")) for check in found)


@pytest.mark.parametrize(
    ("pool", "words"),
    [
        ("external", ["The policy wants another pool for WALL-A-4 (internal)"]),
        (
            "foo",
            ["The policy wants another pool for WALL-A-4 (internal)", "No Service asks for the pool foo: "],
        ),
        ("internal", []),
        (None, []),
    ],
)
def test_a_pool_that_nobody_wants_is_worth_a_warning(
    world: Embedded, pool: str | None, words: list[str]
) -> None:
    proposal = propose_labels(world.means, ["wall-a-4"], pool)
    doubts = [line for line in proposal.plan.effect if line.startswith("warning: ")]
    assert len(doubts) == len(words)
    for line, begin in zip(doubts, words, strict=True):
        assert line.startswith(f"warning: {begin}")
    checks = [check for check in label_checks(world.means, proposal) if check.state is not CheckState.PASS]
    assert [f"warning: {check.sentence}" for check in checks] == doubts
    assert {check.state for check in checks} <= {CheckState.WARN}
    assert proposal.plan.typed_word == ""


def test_missing_rights_are_named_and_nobody_can_override_them(world: Embedded) -> None:
    viewer = world.new_means(user="viewer")
    (check,) = checked(viewer, "wall-a-4")["rights"]
    assert (check.state, check.overridable) == (CheckState.FAIL, False)
    assert check.sentence == (
        "You may not: patch nodes, patch services, create leases.coordination.k8s.io in kube-system, "
        "update leases.coordination.k8s.io in kube-system."
    )
    # Each right once, those of the lock too.
    rights = (Right("patch", "nodes"), Right("patch", "nodes"), Right("get", "nodes"))
    named = {check.rule: check for check in common_checks(viewer, rights)}["rights"].sentence
    assert named.count("patch nodes") == 1
    assert "get nodes" not in named
    assert "update leases" in named


def test_read_only(world: Embedded) -> None:
    means = replace(world.means, settings=replace(world.settings, read_only=True))
    (check,) = checked(means, "wall-a-4")["read-only"]
    assert (check.state, check.overridable) == (CheckState.FAIL, False)
    assert "--read-only" in check.remedy


def test_who_is_at_work(world: Embedded) -> None:
    other = world.means.lock(BERT)
    other.acquire("join WALL-A-9", "plan-of-bert")
    try:
        (check,) = checked(world.means, "wall-a-4")["lock"]
        assert check.state is CheckState.WARN
        assert check.sentence == "bert@laptop (22) is at work: join WALL-A-9."
    finally:
        other.release()
    (check,) = checked(world.means, "wall-a-4")["lock"]
    assert check.state is CheckState.PASS


def test_a_lock_that_cannot_be_looked_at_is_said(world: Embedded) -> None:
    proposal = propose_labels(world.means, ["wall-a-4"])
    world.axiom.faults.set(
        "broken", path="/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/axiom-tui"
    )
    found = {check.rule: check for check in label_checks(world.means, proposal)}
    assert found["lock"].state is CheckState.WARN
    assert "500" in found["lock"].sentence
    assert found["rights"].state is CheckState.PASS
