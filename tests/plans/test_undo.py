"""What an undo is made of: which steps are taken back, what stays, and the rights that it needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from axiom_tui.model.problem import AxiomError, ProblemKind
from axiom_tui.plans.entry import Entry
from axiom_tui.plans.events import Outcome
from axiom_tui.plans.journal import Journal
from axiom_tui.plans.step import Plan, Right, Run, UnavailableStep
from axiom_tui.plans.undo import UndoStep, undo_plan
from tests.plans.world import CLUSTER, Act, WriteFile, perform


class Look(Act):
    """A step that changes nothing."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.only_looks = True


class Long(WriteFile):
    """A step with all that an undo takes over from it."""

    deadline = 77.0
    interruptible = True
    undo_rights = (Right("delete", "nodes"),)

    def __init__(self, path: Path) -> None:
        super().__init__(path, "text")
        self.interrupted = 0

    def interrupt(self) -> None:
        self.interrupted += 1


def test_what_only_looked_is_not_spoken_of_and_what_stays_is(tmp_path: Path) -> None:
    acted = Act("acted")
    acted.undo_note = "It was said aloud."
    by_hand = UnavailableStep("hand", "Do it by hand", "there is no way")
    steps = (WriteFile(tmp_path / "a", "text"), Look("look"), acted, by_hand)
    plan = Plan("k", "s", CLUSTER, steps, rights=(Right("get", "nodes"),))
    entry = finished(plan, tmp_path)
    undo = undo_plan(plan, entry)
    assert [step.key for step in undo.steps] == ["undo/write/a"]
    assert undo.effect == (
        "if you did it by hand, take it back by hand: Do it by hand",
        "cannot be undone and stays: Act acted. It was said aloud.",
    )


def test_an_undo_takes_over_deadline_rights_and_interruption(tmp_path: Path) -> None:
    step = Long(tmp_path / "a")
    plan = Plan("k", "s", CLUSTER, (step,), rights=(Right("get", "nodes"),))
    undo = undo_plan(plan, finished(plan, tmp_path))
    (back,) = undo.steps
    assert isinstance(back, UndoStep)
    assert undo.rights == (Right("get", "nodes"), Right("delete", "nodes"))
    assert (back.deadline, back.interruptible, back.reversible) == (77.0, True, False)
    back.interrupt()
    assert step.interrupted == 1


def test_what_is_undone_by_somebody_else_is_skipped(tmp_path: Path) -> None:
    taken_back: list[str] = []

    class Once(WriteFile):
        def undo(self, run: Run) -> None:
            taken_back.append(self.key)
            super().undo(run)

    plan = Plan("k", "s", CLUSTER, (Once(tmp_path / "a", "text"),))
    entry = finished(plan, tmp_path)
    (tmp_path / "a").unlink()
    result, _ = perform(undo_plan(plan, entry), tmp_path / "state")
    assert result.outcome is Outcome.DONE
    assert taken_back == []


@pytest.mark.parametrize("why", ["running", "undone", "nothing", "damaged"])
def test_what_cannot_be_undone_says_why(tmp_path: Path, why: str) -> None:
    step = Act("acted") if why == "nothing" else WriteFile(tmp_path / "a", "text")
    plan = Plan("k", "s", CLUSTER, (step,))
    journal = Journal(tmp_path / "state")
    result, _ = perform(plan, tmp_path / "state")
    words = {
        "running": "it is still running",
        "undone": "it is undone already",
        "nothing": "it changed nothing that can be taken back",
        "damaged": "line 2 cannot be read",
    }
    if why == "undone":
        perform(undo_plan(plan, journal.load(result.plan_id)), tmp_path / "state")
    if why == "damaged":
        path = journal.path(result.plan_id)
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join((lines[0], "{\n", *lines[2:])))
    entry = journal.load(result.plan_id)
    if why == "running":
        entry = replace(entry, running=True)
    with pytest.raises(AxiomError) as caught:
        undo_plan(plan, entry)
    assert caught.value.problem.kind is ProblemKind.INVALID
    assert caught.value.problem.sentence.endswith(f"cannot be undone: {words[why]}.")


def finished(plan: Plan, directory: Path) -> Entry:
    """Run the plan, and give what the journal says of it."""
    result, _ = perform(replace(plan, rights=()), directory / "state")  # nobody asks for them here
    assert result.outcome is Outcome.DONE, result.problem
    return Journal(directory / "state").load(result.plan_id)
