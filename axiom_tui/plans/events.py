"""What a run tells while it runs, and its result: frozen values that any screen or command can show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from axiom_tui.model.problem import Problem
from axiom_tui.plans.step import Plan


class StepState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    ALREADY = "already so"  # nothing had to be done
    FAILED = "failed"
    UNAVAILABLE = "by hand"  # this program cannot do it; left to the admin
    NOT_REACHED = "not reached"  # the plan stopped before it


class Outcome(StrEnum):
    """How a run ended. REFUSED and CHANGED before the first step mean that nothing was touched."""

    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CHANGED = "changed"  # the world is not what was planned from: plan again
    REFUSED = "refused"  # read-only, a right is missing, or somebody else holds the lock


@dataclass(frozen=True, slots=True)
class StepResult:
    """``earlier_run``: it was done before this run, by the same plan. ``seconds`` is how long it took.
    ``left_behind``: it failed, and the plan went on without it. All texts are masked."""

    key: str
    title: str
    state: StepState
    commands: tuple[str, ...] = ()
    reason: str = ""  # why it is left to the admin
    seconds: float = 0.0
    problem: Problem | None = None
    earlier_run: bool = False
    left_behind: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a run. ``plan`` is the one that ran: the given one, computed again from fresh data.

    ``journalled`` is False when nothing was begun, so that the journal has no record of it.
    ``notes`` says what went wrong beside the plan, such as a lock that could not be given back.
    """

    plan_id: str
    plan: Plan
    subject: str
    outcome: Outcome
    steps: tuple[StepResult, ...]
    began: datetime
    ended: datetime
    problem: Problem | None = None
    journalled: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanStarted:
    """All checks are passed, the lock is ours; the first step is next. ``plan`` is what runs."""

    plan_id: str
    plan: Plan
    at: datetime


@dataclass(frozen=True, slots=True)
class PlanChanged:
    """What runs would not be what was planned: ``why`` in a sentence, ``difference`` line by line.

    ``plan`` is the plan as it would be now, None if there is none any more.
    """

    why: str
    difference: tuple[str, ...]
    plan: Plan | None
    at: datetime


@dataclass(frozen=True, slots=True)
class StepStarted:
    """``until`` is the step's deadline."""

    index: int
    key: str
    title: str
    at: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Output:
    """A line from the outside, masked. ``index`` is the step's, -1 before the first. Escape it on screen."""

    index: int
    line: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """The run waits; ``index`` is the step's, or -1 while the plan waits for its lock."""

    index: int
    what: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class StepOverdue:
    """The step's deadline is over and it was asked to end; its own end is still to come."""

    index: int
    key: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StepFinished:
    index: int
    result: StepResult
    at: datetime


@dataclass(frozen=True, slots=True)
class PlanFinished:
    """Always the last event of a run, and always sent."""

    result: Result


Event = PlanStarted | PlanChanged | StepStarted | Output | Waiting | StepOverdue | StepFinished | PlanFinished
