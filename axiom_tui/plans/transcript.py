"""What a run leaves for the admin: a transcript that a person could have typed, and the account."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from axiom_tui.model.problem import Problem
from axiom_tui.plans.entry import Entry
from axiom_tui.plans.events import Outcome, Result, StepState

#: Line ends of every kind and control characters, which must not end a comment early.
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
#: Said of a plan that stopped on its way: it is not lost, and need not be made again.
WAITS = "The rest waits in the journal: resume this plan there once what stopped it is mended."
RAN = (StepState.DONE, StepState.FAILED, StepState.RUNNING)


@dataclass(frozen=True, slots=True)
class Account:
    """What changed, what was already so, and what is left to do by hand or by resuming; whole sentences."""

    changed: tuple[str, ...]
    already: tuple[str, ...]
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    title: str
    state: StepState
    seconds: float
    commands: tuple[str, ...]
    problem: Problem | None
    reason: str


def account(result: Result) -> Account:
    """The account of a run."""
    changed = [
        f"{step.title} (in an earlier run of this plan)" if step.earlier_run else step.title
        for step in result.steps
        if step.state is StepState.DONE
    ]
    already = [step.title for step in result.steps if step.state is StepState.ALREADY]
    left = []
    for step in result.steps:
        if step.state is StepState.FAILED:
            left.append(f"{step.title}: {step.problem or 'failed'}")
        elif step.state is StepState.NOT_REACHED:
            left.append(f"{step.title}: not reached")
        elif step.state is StepState.UNAVAILABLE:
            left.append(f"{step.title}: by hand, {step.reason}")
    if result.journalled and result.outcome in (Outcome.FAILED, Outcome.CANCELLED):
        left.append(WAITS)
    in_step = any(step.problem is not None for step in result.steps)
    if result.problem is not None and not in_step:
        left.insert(0, str(result.problem))
    return Account(tuple(changed), (*result.plan.already, *already), (*left, *result.notes))


def transcript(result: Result) -> tuple[str, ...]:
    """The run as lines of a shell: what ran as commands, all else as comments."""
    lines = [
        _Line(step.title, step.state, step.seconds, step.commands, step.problem, step.reason)
        for step in result.steps
    ]
    cluster = result.plan.cluster
    head = _head(result.subject, cluster.name, cluster.server, result.plan_id, result.began, result.outcome)
    return (*head, *_lines(lines), *_end(result.problem), *map(_comment, result.notes))


def transcript_of(entry: Entry) -> tuple[str, ...]:
    """The same from the journal, for a plan of any day, whoever ran it."""
    lines = [
        _Line(step.title, step.state, step.seconds, step.commands, step.problem, step.unavailable)
        for step in entry.steps
    ]
    head = _head(entry.subject, entry.cluster, entry.server, entry.plan_id, entry.began, entry.outcome)
    return (*head, _comment(f"by {entry.who}"), *_lines(lines), *_end(entry.problem))


def _head(
    subject: str, cluster: str, server: str, plan_id: str, began: datetime | None, outcome: Outcome | None
) -> tuple[str, ...]:
    when = f"{began.astimezone():%Y-%m-%d %H:%M:%S %z}" if began else "unknown"
    return (
        _comment(f"axiom-tui: {subject}"),
        _comment(f"cluster {cluster} ({server}), begun {when}: {outcome or 'not ended'}"),
        _comment(f"plan {plan_id}"),
    )


def _lines(steps: list[_Line]) -> list[str]:
    lines = []
    for number, step in enumerate(steps, start=1):
        took = f" in {step.seconds:.1f} s" if step.state is StepState.DONE else ""
        lines += ["", _comment(f"{number}. {step.title}: {step.state}{took}")]
        if step.reason:
            lines.append(_comment(f"   {step.reason}"))
        for command in step.commands:
            # What did not run is shown, but nobody runs it by pasting the whole.
            lines += command.splitlines() if step.state in RAN else map(_comment, command.splitlines())
        if step.problem is not None:
            lines.append(_comment(f"   {step.problem}"))
    return lines


def _end(problem: Problem | None) -> tuple[str, ...]:
    return ("", _comment(str(problem))) if problem is not None else ()


def _comment(text: str) -> str:
    return f"# {_BREAKS.sub(' ', text)}".rstrip()
