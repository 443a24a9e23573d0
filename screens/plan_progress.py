"""How checks and a running plan read on screen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from textual.content import Content

from axiom_tui.model.cells import Cell, Style
from axiom_tui.model.checks import Check, CheckState
from axiom_tui.model.problem import Problem
from axiom_tui.model.times import span
from axiom_tui.plans.events import StepState
from axiom_tui.plans.step import Plan
from screens.frame import now, styled
from screens.plan_pages import line

#: A plan of more steps says in one line which of them are through.
STEPS_IN_SIGHT = 6

_CHECKS = {
    CheckState.PASS: Cell("✓ pass", Style.OK),
    CheckState.WARN: Cell("▲ warn", Style.WARN),
    CheckState.FAIL: Cell("✗ fail", Style.ERROR),
}
_STEPS = {
    StepState.PENDING: Cell("· pending", Style.DIM),
    StepState.RUNNING: Cell("▶ running", Style.ACCENT),
    StepState.DONE: Cell("✓ done", Style.OK),
    StepState.ALREADY: Cell("✓ already so", Style.OK),
    StepState.FAILED: Cell("✗ failed", Style.ERROR),
    StepState.UNAVAILABLE: Cell("○ by hand", Style.WARN),
    StepState.NOT_REACHED: Cell("· not reached", Style.DIM),
}


@dataclass
class Progress:
    """How each step of the running plan stands."""

    states: dict[int, StepState] = field(default_factory=dict)
    began: dict[int, datetime] = field(default_factory=dict)
    until: dict[int, datetime] = field(default_factory=dict)
    took: dict[int, float] = field(default_factory=dict)
    waiting: str = ""


def checks_content(
    checks: Sequence[Check], overridden: Collection[str], problem: Problem | None = None
) -> Content:
    """What stands in the way first, then what is worth knowing; passes last."""
    urgency = [CheckState.FAIL, CheckState.WARN, CheckState.PASS]
    parts = [line(str(problem), "$text-error")] if problem is not None else []
    for check in sorted(checks, key=lambda check: urgency.index(check.state)):
        said = Content.assemble(styled(_CHECKS[check.state]), "  ", line(check.sentence))
        if check.state is CheckState.FAIL:
            word = "overridden" if check.rule in overridden else f"rule {check.rule}"
            word += "" if check.overridable else ", which can't be overridden"
            said = Content.assemble(said, (f"  ({word})", "$text-muted"))
        parts.append(said)
        if check.remedy and check.state is not CheckState.PASS:
            parts.append(line(f"        {check.remedy}", "$text-muted"))
    return Content("\n").join(parts)


def progress_content(plan: Plan, progress: Progress) -> Content:
    """One line a step: its state, how long it took or runs already, and its deadline."""
    lines = []
    through = _through(plan, progress)
    if through:
        lines.append(Content.assemble(styled(_STEPS[StepState.DONE]), f"  the first {through} steps"))
    for index, step in enumerate(plan.steps):
        if index < through:
            continue
        state = progress.states.get(index, StepState.PENDING)
        shown = Content.assemble(styled(_STEPS[state]), "  ", line(step.title))
        if state is StepState.RUNNING:
            elapsed, until = span(now() - progress.began[index]), progress.until[index]
            shown = Content.assemble(
                shown, (f"  {elapsed}, until {until.astimezone():%H:%M:%S}", "$text-muted")
            )
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
