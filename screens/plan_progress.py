"""How checks and a running plan read on screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from textual.content import Content

from axiom_tui.model.checks import Check, CheckState, standing_fails
from axiom_tui.model.problem import Problem
from axiom_tui.model.state_words import CHECKS, STEPS
from axiom_tui.model.times import span
from axiom_tui.plans.events import StepState
from axiom_tui.plans.step import Plan
from screens.frame import now, styled
from screens.plan_pages import line

#: A plan of more steps says in one line which of them are through.
STEPS_IN_SIGHT = 6


@dataclass
class Progress:
    """How each step of the running plan stands."""

    states: dict[int, StepState] = field(default_factory=dict)
    began: dict[int, datetime] = field(default_factory=dict)
    until: dict[int, datetime] = field(default_factory=dict)
    took: dict[int, float] = field(default_factory=dict)
    waiting: str = ""


def checks_content(
    checks: Sequence[Check], overridden: Sequence[str], problem: Problem | None = None
) -> Content:
    """How it stands in one line; then what stands in the way, what is worth knowing, and the passes."""
    urgency = [CheckState.FAIL, CheckState.WARN, CheckState.PASS]
    parts = [line(str(problem), "$text-error")] if problem is not None else []
    if checks:
        parts += [_summary(checks, overridden), Content("")]
    for check in sorted(checks, key=lambda check: urgency.index(check.state)):
        said = Content.assemble(styled(CHECKS[check.state]), "  ", line(check.sentence))
        if check.state is CheckState.FAIL:
            word = "overridden" if check.rule in overridden else f"rule {check.rule}"
            word += "" if check.overridable else ", which can't be overridden"
            said = Content.assemble(said, (f"  ({word})", "$text-muted"))
        parts.append(said)
        if check.remedy and check.state is not CheckState.PASS:
            parts.append(line(f"        {check.remedy}", "$text-muted"))
    return Content("\n").join(parts)


def _summary(checks: Sequence[Check], overridden: Sequence[str]) -> Content:
    """How many rules passed, and how many did not."""
    states = [check.state for check in checks]
    fails, warns, passes = (
        states.count(state) for state in (CheckState.FAIL, CheckState.WARN, CheckState.PASS)
    )
    standing = len(standing_fails(checks, overridden))
    if not fails and not warns:
        return Content.styled(
            f"✓ {'The rule' if passes == 1 else f'All {passes} rules'} passed.", "$text-success"
        )
    parts = [
        f"{fails} failed" if fails else "",
        f"{warns} to know about" if warns else "",
        f"{passes} passed",
    ]
    words = f"{len(checks)} rules: {', '.join(part for part in parts if part)}."
    if standing:
        return line(
            f"✗ {words} {'It stands' if standing == 1 else f'{standing} stand'} in the way.", "$text-error"
        )
    wants_word = any(check.typed_word for check in checks)
    way = "The plan wants a name typed." if wants_word else "Nothing stands in the way."
    return line(f"▲ {words} {way}", "$text-warning")


def progress_content(plan: Plan, progress: Progress) -> Content:
    """One line a step: its state, how long it took or runs already, and its deadline."""
    lines = []
    through = _through(plan, progress)
    if through:
        lines.append(Content.assemble(styled(STEPS[StepState.DONE]), f"  the first {through} steps"))
    for index, step in enumerate(plan.steps):
        if index < through:
            continue
        state = progress.states.get(index, StepState.PENDING)
        shown = Content.assemble(styled(STEPS[state]), "  ", line(step.title))
        if state is StepState.RUNNING:
            elapsed = span(now() - progress.began[index])
            # While it waits for something, that has the deadline which comes first.
            until = "" if progress.waiting else f", until {progress.until[index].astimezone():%H:%M:%S}"
            shown = Content.assemble(shown, (f"  {elapsed}{until}", "$text-muted"))
        elif index in progress.took:
            shown = Content.assemble(shown, (f"  {progress.took[index]:.1f} s", "$text-muted"))
        lines.append(shown)
    return Content("\n").join(lines)


def _through(plan: Plan, progress: Progress) -> int:
    """How many steps at the beginning are said in one line, so that the running one stays in sight."""
    if len(plan.steps) <= STEPS_IN_SIGHT:
        return 0
    over = (StepState.DONE, StepState.ALREADY)
    states = [progress.states.get(index) for index in range(len(plan.steps))]
    first = next((index for index, state in enumerate(states) if state not in over), len(states))
    return first - 1 if first > 2 else 0
