"""The runner: the one place where plans change the world, step by step, under the lock, with the journal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from traceback import format_exc
from typing import Protocol

from axiom_tui.model.problem import AxiomError, Problem, ProblemKind, fail
from axiom_tui.model.secret import Masker, Secret
from axiom_tui.plans.attempt import Attempt, defect, masked, result_of
from axiom_tui.plans.description import difference
from axiom_tui.plans.entry import UNDO, Entry
from axiom_tui.plans.events import (
    Event,
    Outcome,
    Output,
    PlanChanged,
    PlanFinished,
    PlanStarted,
    Result,
    StepFinished,
    StepResult,
    StepState,
    Waiting,
)
from axiom_tui.plans.identity import Identity, whoami
from axiom_tui.plans.journal import Journal, Writer, new_plan_id
from axiom_tui.plans.lock import Lock
from axiom_tui.plans.step import CancelToken, Plan, Step

log = logging.getLogger(__name__)

#: What the world says when it is not (any more) what a plan was made from.
CHANGES = (ProblemKind.CONFLICT, ProblemKind.MISSING)
#: After a change that somebody else made in the middle of a plan, and in that of an undo.
WAY_ON = (
    "This plan can't be resumed, since it was made for what was there before. What it did stays done: make "
    "the plan anew, and it skips what is so already; or undo it."
)
WAY_ON_OF_UNDO = (
    "This undo can't be resumed, since it was made for what was there before. What it took back stays so: "
    "undo the first plan once more, and that is skipped."
)
LOOKING_AGAIN = "Looking again whether the world is still as the plan was made from ..."


class CanI(Protocol):
    """SelfSubjectAccessReview: whether we may, and the authorizer's reason."""

    def __call__(
        self,
        verb: str,
        resource: str,
        *,
        group: str = "",
        namespace: str = "",
        name: str = "",
        subresource: str = "",
    ) -> tuple[bool, str]: ...


@dataclass
class _Progress:
    """How far a run is: what the result will be made of."""

    plan_id: str
    plan: Plan
    began: datetime
    results: list[StepResult] = field(default_factory=list)
    writer: Writer | None = None
    entry: Entry | None = None
    notes: list[str] = field(default_factory=list)


class Runner:
    """Runs one plan in the caller's thread; headless.

    ``on_event`` gets every `Event`, `PlanFinished` always last; most come from the running thread, but
    `StepOverdue` does not; never two at once. ``can_i`` None is for plans that need no rights.
    ``recompute`` makes the plan again from fresh data; None for a plan whose steps look by themselves.
    ``typed`` is the word that the admin typed. ``wait_for_lock`` is in seconds.
    """

    def __init__(
        self,
        plan: Plan,
        journal: Journal,
        lock: Lock,
        on_event: Callable[[Event], None],
        read_only: bool,
        *,
        can_i: CanI | None = None,
        recompute: Callable[[], Plan] | None = None,
        cancel: CancelToken | None = None,
        identity: Identity | None = None,
        secrets: Iterable[Secret] = (),
        typed: str = "",
        wait_for_lock: float = 0.0,
    ) -> None:
        if can_i is None and (plan.rights or lock.rights):
            raise ValueError("this plan needs rights: say how to ask for them")
        self.cancel = cancel or CancelToken()
        self._plan = plan
        self._journal = journal
        self._lock = lock
        self._on_event = on_event
        self._read_only = read_only or plan.cluster.read_only
        self._can_i = can_i
        self._recompute = recompute
        self._identity = identity or whoami()
        self._typed = typed
        self._wait_for_lock = wait_for_lock
        self._masker = Masker()
        for secret in secrets:
            self._masker.add(secret)
        self._emitting = threading.RLock()

    def run(self) -> Result:
        """Run the plan from its beginning. Never raises for what the world does: it is in the result."""
        return self._whole_run(_Progress(new_plan_id(self._plan.kind), self._plan, _now()))

    def resume(self, plan_id: str) -> Result:
        """Go on with a plan of the journal; the given plan is the one that `registry.rebuild` made of it."""
        return self._whole_run(_Progress(plan_id, self._plan, _now()), resuming=True)

    def _whole_run(self, progress: _Progress, *, resuming: bool = False) -> Result:
        try:
            outcome, problem = self._checked_run(progress, resuming)
        except Exception as error:  # noqa: BLE001
            # A defect of ours outside of a step; whoever waits for the last event must still get it.
            log.error("defect in the run of %s:\n%s", progress.plan_id, self._masker(format_exc()))
            outcome, problem = Outcome.FAILED, masked(defect(error), self._masker)
        finally:
            if progress.writer is not None:
                progress.writer.close()
        reached = {result.key for result in progress.results}
        rest = [
            result_of(step, StepState.NOT_REACHED, self._masker)
            for step in progress.plan.steps
            if step.key not in reached
        ]
        result = Result(
            plan_id=progress.plan_id,
            plan=progress.plan,
            subject=self._masker(progress.plan.subject),
            outcome=outcome,
            steps=(*progress.results, *rest),
            began=progress.began,
            ended=_now(),
            problem=problem,
            journalled=progress.writer is not None,
            notes=tuple(progress.notes),
        )
        self._emit(PlanFinished(result))
        return result

    def _checked_run(self, progress: _Progress, resuming: bool) -> tuple[Outcome, Problem | None]:
        """All that must be right before the first step, then the steps; always gives the lock back."""
        try:
            self._refuse_read_only()
            self._refuse_untyped()
            if not progress.plan.has_work and not resuming:
                progress.results = [
                    result_of(step, StepState.UNAVAILABLE, self._masker) for step in progress.plan.steps
                ]
                return Outcome.DONE, None
            self._check_rights()
            if resuming:
                progress.entry, progress.writer = self._journal.reopen(progress.plan_id, self._masker)
                _same_plan(progress.entry, progress.plan)
            self._lock.acquire(
                self._masker(progress.plan.subject),
                progress.plan_id,
                wait=self._wait_for_lock,
                is_dead=lambda plan_id, session: self._is_dead(progress, plan_id, session),
                cancel=self.cancel,
                on_waiting=lambda what, since, until: self._emit(
                    Waiting(-1, self._masker(what), since, until)
                ),
            )
        except AxiomError as error:
            problem = masked(error.problem, self._masker)
            return (Outcome.CANCELLED if problem.kind is ProblemKind.CANCELLED else Outcome.REFUSED), problem
        try:
            return self._locked_run(progress, resuming)
        finally:
            self._release(progress)

    def _locked_run(self, progress: _Progress, resuming: bool) -> tuple[Outcome, Problem | None]:
        if not resuming:
            try:
                if (changed := self._changed(progress)) is not None:
                    return Outcome.CHANGED, changed
            except AxiomError as error:
                if not self.cancel.cancelled:
                    return Outcome.REFUSED, masked(error.problem, self._masker)
        if self.cancel.cancelled:
            return Outcome.CANCELLED, Problem(ProblemKind.CANCELLED, "Cancelled before the first step.")
        try:
            if progress.writer is None:
                progress.writer = self._journal.begin(
                    progress.plan_id, progress.plan, self._identity, self._masker
                )
            else:
                progress.writer.resumed(self._identity)
        except AxiomError as error:
            return Outcome.REFUSED, masked(error.problem, self._masker)
        self._emit(PlanStarted(progress.plan_id, progress.plan, _now()))
        outcome, problem = self._steps(progress, progress.writer)
        if outcome is Outcome.DONE and (lost := self._lock.lost) is not None:
            progress.notes.append(f"During the last step: {masked(lost, self._masker).sentence}")
        try:
            progress.writer.ended(outcome, problem)
        except AxiomError as error:
            problem = problem or masked(error.problem, self._masker)
            outcome = Outcome.FAILED if outcome is Outcome.DONE else outcome
        if outcome is Outcome.CHANGED and problem is not None:
            self._lead_back(progress.plan, problem)
        return outcome, problem

    # -- before the first step ------------------------------------------------------------------------------

    def _refuse_read_only(self) -> None:
        if self._read_only:
            raise fail(
                ProblemKind.READ_ONLY,
                f"axiom-tui is in read-only mode for {self._plan.cluster.name}: nothing was changed.",
                "Start it without --read-only, or allow changes for this context in the settings.",
            )

    def _refuse_untyped(self) -> None:
        if self._plan.typed_word and self._typed != self._plan.typed_word:
            raise fail(
                ProblemKind.INVALID,
                f'This plan is dangerous, and "{self._plan.typed_word}" was not typed: nothing was changed.',
                "Type it exactly as shown.",
            )

    def _check_rights(self) -> None:
        if self._can_i is None:
            return
        missing = []
        for right in dict.fromkeys((*self._plan.rights, *self._lock.rights)):
            allowed, reason = self._can_i(
                right.verb,
                right.resource,
                group=right.group,
                namespace=right.namespace,
                name=right.name,
                subresource=right.subresource,
            )
            if not allowed:
                missing.append(f"{right} ({reason})" if reason else str(right))
        if missing:
            raise fail(
                ProblemKind.FORBIDDEN,
                f"On {self._plan.cluster.name} you may not: {'; '.join(missing)}. Nothing was changed.",
                "Ask an admin of the cluster for a role with these rights, or use another context.",
            )

    def _changed(self, progress: _Progress) -> Problem | None:
        """Compute the plan again; if it is another one now, show the difference and say so."""
        if self._recompute is None:
            return None
        self._emit(Output(-1, LOOKING_AGAIN, _now()))
        try:
            fresh = self._recompute()
        except AxiomError as error:
            if error.problem.kind not in CHANGES or self.cancel.cancelled:
                raise
            problem = masked(error.problem, self._masker)
            self._emit(PlanChanged(problem.sentence, (), None, _now()))
            return problem
        lines = tuple(self._masker(line) for line in difference(progress.plan, fresh))
        if lines:
            why = "The world has changed since the plan was made: nothing was run."
            self._emit(PlanChanged(why, lines, fresh, _now()))
            return Problem(ProblemKind.CONFLICT, why, "Read what is different, then apply the new plan.")
        progress.plan = fresh
        return None

    # -- the steps ------------------------------------------------------------------------------------------

    def _steps(self, progress: _Progress, writer: Writer) -> tuple[Outcome, Problem | None]:
        for index, step in enumerate(progress.plan.steps):
            if (lost := self._lock.lost) is not None:
                return Outcome.FAILED, masked(lost, self._masker)
            if self.cancel.cancelled and not step.unavailable:
                where = f"before step {index + 1}, {step.title}"
                problem = Problem(
                    ProblemKind.CANCELLED,
                    f"Cancelled by the admin {where}: what was done before stays done.",
                    "Resume it from the journal."
                    if progress.plan.kind == UNDO
                    else "Resume it from the journal, or undo what was done.",
                )
                return Outcome.CANCELLED, masked(problem, self._masker)
            result, not_written = self._step(index, step, progress, writer)
            progress.results.append(result)
            if result.problem is not None and not result.left_behind:
                return _ended_by(result.problem, progress.plan.kind)
            if not_written is not None:
                return Outcome.FAILED, not_written
        left = _left_behind(progress.results)
        return (Outcome.DONE, None) if left is None else (Outcome.FAILED, left)

    def _step(
        self, index: int, step: Step, progress: _Progress, writer: Writer
    ) -> tuple[StepResult, Problem | None]:
        """One step, with its record after it; the second value says that its end could not be written."""
        before = progress.entry.step(step.key) if progress.entry else None
        attempt = Attempt(index, step, before, writer, self._masker, self.cancel, self._emit)
        result = attempt.make()
        not_written = None
        try:
            writer.step_ended(result, attempt.last_lines)
        except AxiomError as error:
            not_written = masked(error.problem, self._masker)
        self._emit(StepFinished(index, result, _now()))
        return result, not_written

    # -- around it ------------------------------------------------------------------------------------------

    def _lead_back(self, plan: Plan, problem: Problem) -> None:
        """After a conflict in the middle: show how the plan would look now."""
        fresh: Plan | None = None
        lines: tuple[str, ...] = ()
        if self._recompute is not None:
            try:
                fresh = self._recompute()
                lines = tuple(self._masker(line) for line in difference(plan, fresh))
            except AxiomError as error:
                lines = (masked(error.problem, self._masker).sentence,)
        self._emit(PlanChanged(problem.sentence, lines, fresh, _now()))

    def _is_dead(self, progress: _Progress, plan_id: str, session: str) -> bool:
        """Whether a process of this workstation left the lock behind: then it need not run out first.

        The journal proves it: a process holds its plan's file for longer than the lock, until it ends.
        """
        if progress.entry is not None and plan_id == progress.plan_id:
            return session == progress.entry.session  # the file is ours now, so nobody else runs this plan
        try:
            entry = self._journal.load(plan_id) if plan_id else None
        except AxiomError:
            return False  # not a plan of this workstation
        return entry is not None and not entry.running and bool(session) and entry.session == session

    def _release(self, progress: _Progress) -> None:
        try:
            self._lock.release()
        except AxiomError as error:
            sentence = masked(error.problem, self._masker).sentence
            progress.notes.append(f"The lock was not given back; it expires by itself. {sentence}")

    def _emit(self, event: Event) -> None:
        with self._emitting:
            try:
                self._on_event(event)
            except Exception:  # noqa: BLE001
                # Who looks on must not be able to stop a change in its middle.
                log.error("defect in the receiver of a plan's events:\n%s", self._masker(format_exc()))


def _way_on(kind: str) -> str:
    return WAY_ON_OF_UNDO if kind == UNDO else WAY_ON


def _ended_by(problem: Problem, kind: str) -> tuple[Outcome, Problem]:
    """How a run of this kind of plan ends in whose middle a step failed."""
    if problem.kind is ProblemKind.CONFLICT:
        return Outcome.CHANGED, replace(problem, remedy=f"{problem.remedy} {_way_on(kind)}".strip())
    outcome = Outcome.CANCELLED if problem.kind is ProblemKind.CANCELLED else Outcome.FAILED
    return outcome, problem


def _left_behind(results: Sequence[StepResult]) -> Problem | None:
    """What is to be said at the end of a plan that went on without some of its steps."""
    left = [result for result in results if result.left_behind and result.problem is not None]
    if not left or left[0].problem is None:
        return None
    which = "1 step is" if len(left) == 1 else f"{len(left)} steps are"
    return Problem(
        left[0].problem.kind,
        f"{which} not done: {'; '.join(result.title for result in left)}. All else is through.",
        "Each says what stays and what to run there by hand; or resume this plan from the journal later.",
    )


def _same_plan(entry: Entry, plan: Plan) -> None:
    """Resume only what was begun: the same kind of plan, on the same cluster, with the same steps."""
    if not entry.can_be_resumed:
        how = f"ended: {entry.outcome.value}" if entry.outcome else "is undone"
        remedy = _way_on(entry.kind) if entry.outcome is Outcome.CHANGED else "Make a new plan."
        raise fail(ProblemKind.INVALID, f"The plan {entry.plan_id} cannot be resumed: it {how}.", remedy)
    cluster = plan.cluster
    if (entry.cluster, entry.server) != (cluster.name, cluster.server):
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"This plan was made for {entry.cluster} ({entry.server}), and you are connected to "
            f"{cluster.name} ({cluster.server}).",
            f"Change to the context {entry.context}, then resume.",
        )
    if entry.kind != plan.kind or [step.key for step in entry.steps] != [step.key for step in plan.steps]:
        raise fail(
            ProblemKind.INVALID,
            f"The plan {entry.plan_id} has other steps in its journal than this version of axiom-tui makes.",
            "Make a new plan: the steps that are already done are skipped.",
        )


def _now() -> datetime:
    return datetime.now(UTC)
