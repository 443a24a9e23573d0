"""Undo: taking back what a plan did, in reverse order, as a plan of its own with its own journal entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from axiom_tui.model.problem import ProblemKind, fail
from axiom_tui.plans.entry import UNDO, Entry
from axiom_tui.plans.step import Json, Plan, Run, Step

#: Key in the choices of an undo: the plan that it takes back.
OF = "of"


class UndoStep(Step):
    """Brings back what one step of the original found, by the journal's memory of it."""

    reversible = False
    undo_note = "apply the original plan again to have its changes back"

    def __init__(self, step: Step, earlier: Mapping[str, Json]) -> None:
        self.step = step
        self.earlier = earlier
        self.key = f"undo/{step.key}"
        self.title = step.undo_title(earlier)
        self.commands = step.undo_commands(earlier)
        self.deadline = step.deadline
        self.interruptible = step.interruptible

    def is_done(self, run: Run) -> bool:
        return self.step.is_undone(run.seen_from(self.earlier))

    def run(self, run: Run) -> None:
        self.step.undo(run.seen_from(self.earlier))

    def interrupt(self) -> None:
        self.step.interrupt()


def undo_plan(original: Plan, entry: Entry) -> Plan:
    """The plan that takes back what ``entry`` says was begun of ``original``.

    Steps that were found already so are left alone: this plan did not make them so. A step that began and
    failed is taken back too, since it may have been half done. Raises INVALID if there is nothing to undo.
    """
    if not entry.can_be_undone:
        reason = "it is still running" if entry.running else "it is undone already" if entry.undone else ""
        reason = reason or "; ".join(entry.faults) or "it changed nothing that can be taken back"
        raise fail(
            ProblemKind.INVALID,
            f"The plan {entry.plan_id} ({entry.subject}) cannot be undone: {reason}.",
            "Look at it in the journal.",
        )
    steps: list[Step] = []
    final: list[str] = []
    for step in _backwards(original.steps):
        found = entry.step(step.key)
        # What lets the outside catch up belongs to every undo, even if the plan was cut before it.
        if step.unavailable:
            final.append(f"if you did it by hand, take it back by hand: {step.title}")
            continue
        if found is None or step.only_looks or not (found.begun or step.settles):
            continue
        if step.reversible:
            steps.append(UndoStep(step, found.earlier))
        else:
            final.append(f"cannot be undone and stays: {step.title}. {step.undo_note}".rstrip())
    return Plan(
        kind=UNDO,
        subject=f"undo: {original.subject}",
        cluster=original.cluster,
        steps=tuple(steps),
        effect=tuple(final),
        rights=(*original.rights, *(right for step in original.steps for right in step.undo_rights)),
        typed_word=original.undo_word,
        choices={OF: entry.plan_id},
    )


def _backwards(steps: Sequence[Step]) -> list[Step]:
    """In reverse, and what lets the outside catch up last, as it was before."""
    return sorted(reversed(steps), key=lambda step: step.settles)  # noqa: C414 - sorting is stable
