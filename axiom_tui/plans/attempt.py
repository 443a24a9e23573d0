"""One attempt at one step: asked, run, proved, within its deadline, and whatever happens said as a result."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from traceback import format_exc

from axiom_tui.model.problem import AxiomError, Problem, ProblemKind
from axiom_tui.model.secret import Masker
from axiom_tui.plans.entry import StepEntry
from axiom_tui.plans.events import Event, Output, StepOverdue, StepResult, StepStarted, StepState, Waiting
from axiom_tui.plans.journal import LAST_LINES, Writer
from axiom_tui.plans.step import CancelToken, Json, LeftBehind, Run, Step

log = logging.getLogger(__name__)


class Attempt:
    """``before`` is what an earlier run of the same plan left of this step in the journal."""

    def __init__(
        self,
        index: int,
        step: Step,
        before: StepEntry | None,
        writer: Writer,
        masker: Masker,
        cancel: CancelToken,
        emit: Callable[[Event], None],
    ) -> None:
        self.index = index
        self.step = step
        self._begun_before = before is not None and before.begun
        self._memory: dict[str, Json] = dict(before.earlier) if before else {}
        self._writer = writer
        self._masker = masker
        self._cancel = cancel
        self._emit = emit
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._overdue = threading.Event()

    @property
    def last_lines(self) -> tuple[str, ...]:
        return tuple(self._lines)

    def make(self) -> StepResult:
        """Make the attempt. Raises nothing that the step raises: it is in the result."""
        step = self.step
        if step.unavailable:
            return result_of(step, StepState.UNAVAILABLE, self._masker)
        began, now = time.monotonic(), _now()
        until = now + timedelta(seconds=step.deadline)
        self._emit(StepStarted(self.index, step.key, self._masker(step.title), now, until))
        state, earlier_run, problem, left_behind = StepState.FAILED, False, None, False
        try:
            with self._watched():
                state, earlier_run = self._do(self._run())
        except AxiomError as error:
            problem = masked(self._why(error.problem), self._masker)
            left_behind = isinstance(error, LeftBehind) and problem.kind is error.problem.kind
        except Exception as error:  # noqa: BLE001
            # A defect of ours ends the plan like any failure: said, logged (masked), and journalled.
            log.error("defect in step %s:\n%s", step.key, self._masker(format_exc()))
            problem = masked(self._why(defect(error)), self._masker)
        return replace(
            result_of(step, state, self._masker),
            seconds=time.monotonic() - began,
            problem=problem,
            earlier_run=earlier_run,
            left_behind=left_behind,
        )

    def _do(self, run: Run) -> tuple[StepState, bool]:
        """Gives the state, and whether an earlier run of this plan had done it."""
        step = self.step
        if step.is_done(run):
            if not self._begun_before:
                return StepState.ALREADY, False
            step.verify(run)  # it may have been cut between its change and its proof
            return StepState.DONE, True
        self._writer.step_begun(step.key)
        step.run(run)
        step.verify(run)
        return StepState.DONE, False

    def _run(self) -> Run:
        return Run(
            masker=self._masker,
            cancel=self._cancel,
            interruptible=self.step.interruptible,
            ends=time.monotonic() + self.step.deadline,
            on_output=self._output,
            on_waiting=lambda what, since, until: self._emit(
                Waiting(self.index, self._masker(what), since, until)
            ),
            on_remember=self._remember,
            earlier=dict(self._memory),
        )

    def _output(self, line: str) -> None:
        text = self._masker(line)
        self._lines.append(text)
        self._emit(Output(self.index, text, _now()))

    def _remember(self, values: Mapping[str, Json]) -> Mapping[str, Json]:
        if not self._memory:
            self._writer.earlier(self.step.key, values)
            self._memory.update(values)
        return self._memory

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Ask the step to end at its deadline, and on a cancel if it may be interrupted.

        A thread that never comes back cannot be ended from outside; leaving it behind would let it change
        the world after the lock is given back. So the run waits for it, and says that it is overdue.
        """

        def end() -> None:
            self._overdue.set()
            self._emit(StepOverdue(self.index, self.step.key, _now()))
            self._interrupt()

        timer = threading.Timer(self.step.deadline, end)
        timer.daemon = True
        timer.start()
        on_cancel = self._cancel.interrupting(self._interrupt) if self.step.interruptible else nullcontext()
        try:
            with on_cancel:
                yield
        finally:
            timer.cancel()
            timer.join(self.step.deadline)

    def _interrupt(self) -> None:
        try:
            self.step.interrupt()
        except Exception:  # noqa: BLE001
            log.error("step %s could not be interrupted:\n%s", self.step.key, self._masker(format_exc()))

    def _why(self, problem: Problem) -> Problem:
        """What an interrupted call says is of no use alone: say why it was interrupted."""
        step = self.step
        if step.interruptible and self._cancel.cancelled and problem.kind is not ProblemKind.CANCELLED:
            sentence = f"Cancelled by the admin in the middle of: {step.title}. {problem.sentence}"
            return Problem(ProblemKind.CANCELLED, sentence, "Resume it from the journal when you like.")
        if self._overdue.is_set():
            sentence = f"{step.title}: not done within its {step.deadline:g} s. {problem.sentence}"
            return Problem(ProblemKind.TIMED_OUT, sentence, problem.remedy)
        return problem


def result_of(step: Step, state: StepState, masker: Masker) -> StepResult:
    """A result with all texts of the step masked."""
    return StepResult(
        key=step.key,
        title=masker(step.title),
        state=state,
        commands=tuple(masker(line) for line in step.commands),
        reason=masker(step.unavailable),
    )


def masked(problem: Problem, masker: Masker) -> Problem:
    """The problem without secrets in its texts."""
    return replace(problem, sentence=masker(problem.sentence), remedy=masker(problem.remedy))


def defect(error: Exception) -> Problem:
    """What to say of an exception that is our own fault."""
    sentence = f"axiom-tui itself failed: {type(error).__name__}: {error}."
    return Problem(ProblemKind.BROKEN, sentence, "The log file has the details; please report it.")


def _now() -> datetime:
    return datetime.now(UTC)
