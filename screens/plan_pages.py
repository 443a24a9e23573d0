"""How a plan and its result read on screen: the same for every wizard and for the journal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from textual.content import Content

from axiom_tui.model.cells import Cell, Style
from axiom_tui.plans.description import undo_words
from axiom_tui.plans.events import Outcome, Result
from axiom_tui.plans.step import Plan
from axiom_tui.plans.transcript import account, transcript
from screens.frame import styled
from screens.widgets.cells import visible_lines


def line(text: str, style: str = "") -> Content:
    """Text as content; nothing in it is markup or can steer the terminal."""
    return Content.styled(visible_lines(text), style)


def plan_content(plan: Plan, difference: Sequence[str] = (), done: Collection[str] = frozenset()) -> Content:
    """The plan page: effect first, since that is what the admin decides on, then every step.

    ``done`` are the keys of steps that an earlier run of this plan did: they are only looked at again.
    """
    parts = _difference(difference)
    parts.append(line(plan.subject[:1].upper() + plan.subject[1:], "bold"))
    if plan.effect:
        parts.append(line("\nEffect", "bold $text-accent"))
        for text in plan.effect:
            style = "$text-error" if text.startswith(("error:", "critical:")) else ""
            style = style or ("$text-warning" if text.startswith("warning:") else "")
            parts.append(line(f"  {text}", style))
    parts.append(line("\nSteps" if plan.steps else "\nThere is nothing to do.", "bold $text-accent"))
    if done:
        parts.append(line(f"  {_standing(plan, done)}"))
    for number, step in enumerate(plan.steps, start=1):
        if step.key in done:
            parts.append(line(f"{number:3}. ✓ {step.title}", "$text-muted"))
            continue
        style = "$text-muted" if step.unavailable else ""
        parts.append(line(f"{number:3}. {step.title}", style or "bold"))
        if step.unavailable:
            parts.append(line(f"     left to you: {step.unavailable}", "$text-warning"))
        for command in step.commands:
            parts += [line(f"     {text}", "$text-muted") for text in command.splitlines()]
    if plan.already:
        parts.append(line("\nAlready so", "bold $text-accent"))
        parts += [line(f"  {text}") for text in plan.already]
    if plan.has_work:
        parts.append(line("\nUndo", "bold $text-accent"))
        parts += [line(f"  {text}") for text in undo_words(plan)]
    return Content("\n").join(parts)


def _standing(plan: Plan, done: Collection[str]) -> str:
    """How far an earlier run came, and where this one goes on."""
    rest = [step.title for step in plan.steps if step.key not in done]
    count = len(plan.steps)
    said = f"{count - len(rest)} of {count} steps are done"
    return f"{said}; it goes on with: {rest[0]}." if rest else f"{said}; they are looked at again."


_OUTCOMES = {
    Outcome.DONE: Cell("✓ Done.", Style.OK),
    Outcome.FAILED: Cell("✗ Failed.", Style.ERROR),
    Outcome.CANCELLED: Cell("○ Cancelled.", Style.WARN),
    Outcome.CHANGED: Cell("▲ The world has changed since the plan was made.", Style.WARN),
    Outcome.REFUSED: Cell("✗ Refused: nothing was changed.", Style.ERROR),
}


def _difference(lines: Sequence[str]) -> list[Content]:
    """Why the plan is another one now, and what is different in it."""
    if not lines:
        return []
    why, *rest = lines
    return [line(why, "bold $text-warning"), *(line(f"  {text}") for text in rest), Content("")]


def result_content(result: Result, difference: Sequence[str] = ()) -> Content:
    """The account: what changed, what was already so, what is left, and the transcript."""
    said = account(result)
    parts = [styled(_OUTCOMES[result.outcome])]
    if result.problem is not None:
        parts.append(line(str(result.problem), "$text-warning"))
    parts += _difference(difference)[1:]
    left = _once(said.left, result)
    for title, lines in (("Changed", said.changed), ("Left to do", left), ("Already so", said.already)):
        if lines:
            parts.append(line(f"\n{title}", "bold $text-accent"))
            parts += [line(f"  {text}") for text in lines]
    if result.journalled:
        parts.append(line("\nTranscript (c copies it)", "bold $text-accent"))
        parts += [line(f"  {text}", "$text-muted") for text in transcript(result)]
    return Content("\n").join(parts)


def _once(left: Sequence[str], result: Result) -> list[str]:
    """What is left to do, without the reason that stands at the top of the account already."""
    if not result.journalled:
        return list(result.notes)  # nothing was begun: it is the whole plan that is left
    problem = str(result.problem)
    kept = [text for text in left if text != problem]
    return [
        f"{text.removesuffix(problem)}as said above" if text.endswith(f": {problem}") else text
        for text in kept
    ]
