"""One attempt at a step: who is interrupted and who is not, and what is said of a step that was cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from axiom_tui.model.problem import ProblemKind, fail
from axiom_tui.plans.events import Outcome, StepState
from axiom_tui.plans.step import CancelToken, Plan, Run
from tests.plans.world import CLUSTER, Act, perform


class Interrupted(Act):
    """Notes when it is interrupted."""

    def __init__(self, key: str, act: Callable[[Run], None], interruptible: bool) -> None:
        super().__init__(key, act)
        self.interruptible = interruptible
        self.interruptions = 0

    def interrupt(self) -> None:
        self.interruptions += 1


@pytest.mark.parametrize("interruptible", [False, True])
def test_a_cancel_interrupts_only_who_allows_it(tmp_path: Path, interruptible: bool) -> None:
    cancel = CancelToken()
    step = Interrupted("a", lambda run: cancel.cancel(), interruptible)
    result, _ = perform(Plan("k", "s", CLUSTER, (step, Act("b"))), tmp_path, cancel=cancel)
    assert step.interruptions == int(interruptible)
    assert step.acted == 1
    assert result.outcome is Outcome.CANCELLED
    assert [item.state for item in result.steps] == [StepState.DONE, StepState.NOT_REACHED]


@pytest.mark.parametrize("interruptible", [False, True])
def test_a_failure_is_no_cancel_of_a_step_that_cannot_be_cancelled(
    tmp_path: Path, interruptible: bool
) -> None:
    cancel = CancelToken()

    def fails(run: Run) -> None:
        cancel.cancel()
        raise fail(ProblemKind.BROKEN, "The disk is full.", "Make room.")

    step = Interrupted("a", fails, interruptible)
    result, _ = perform(Plan("k", "s", CLUSTER, (step,)), tmp_path, cancel=cancel)
    problem = result.problem
    assert problem is not None
    if interruptible:
        assert result.outcome is Outcome.CANCELLED
        assert problem.sentence == "Cancelled by the admin in the middle of: Act a. The disk is full."
    else:
        assert result.outcome is Outcome.FAILED
        assert (problem.sentence, problem.remedy) == ("The disk is full.", "Make room.")


def test_an_interruption_under_way_does_not_reach_the_next_step(tmp_path: Path) -> None:
    """The deadline passes while the step ends: what interrupts it must be over before another one begins."""
    entered, left = threading.Event(), threading.Event()

    class Slow(Act):
        deadline = 0.5

        def interrupt(self) -> None:
            entered.set()
            left.wait(0.2)  # nobody sets it: it is the time that an interruption takes
            left.set()

    over: list[bool] = []
    first = Slow("a", lambda run: over.append(not entered.wait(20)))
    second = Act("b", lambda run: over.append(left.is_set()))
    result, _ = perform(Plan("k", "s", CLUSTER, (first, second)), tmp_path)
    assert result.outcome is Outcome.DONE, result.problem
    assert over == [False, True]
