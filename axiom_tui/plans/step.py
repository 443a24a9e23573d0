"""Step and Plan: one change and all of them, written out before anything runs, and what a step is given."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from axiom_tui.model.fleet import Cluster
from axiom_tui.model.problem import AxiomError, ProblemKind, fail
from axiom_tui.model.secret import Masker, Secret

#: What JSON can hold; plans keep their choices and the earlier values in it.
Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Right:
    """One thing that the plan must be allowed to do, as a SelfSubjectAccessReview asks for it."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    def __str__(self) -> str:
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        named = f"{self.verb} {resource}{'.' + self.group if self.group else ''}"
        named += f' "{self.name}"' if self.name else ""
        return f"{named} in {self.namespace}" if self.namespace else named


class LeftBehind(AxiomError):
    """A step could not be done, and what comes after it does not need it: the plan goes on without it, says
    so, and does not end as done."""


class CancelToken:
    """Says "stop as soon as it is safe" from another thread to a run."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._interrupts: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def cancel(self) -> None:
        """Ask for the stop; returns at once. What may be interrupted is interrupted."""
        self._event.set()
        with self._lock:
            interrupts = tuple(self._interrupts)
        for interrupt in interrupts:
            interrupt()

    def wait(self, seconds: float) -> bool:
        """Wait, but not longer than until the cancel; True if it was cancelled."""
        return self._event.wait(seconds)

    @contextmanager
    def interrupting(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Within this block a cancel calls ``interrupt``, from the cancelling thread."""
        with self._lock:
            self._interrupts.append(interrupt)
        try:
            if self.cancelled:
                interrupt()
            yield
        finally:
            with self._lock:
                self._interrupts.remove(interrupt)


@dataclass(frozen=True, slots=True)
class Run:
    """What a step has while it runs: its way to speak, to wait, to be stopped, and to remember.

    ``ends`` is when the step's deadline is over, by `time.monotonic`. ``earlier`` is what the step
    remembered when it first began, in whichever process that was.
    """

    masker: Masker
    cancel: CancelToken
    interruptible: bool
    ends: float
    on_output: Callable[[str], None]
    on_waiting: Callable[[str, datetime, datetime], None]
    on_remember: Callable[[Mapping[str, Json]], Mapping[str, Json]]
    earlier: Mapping[str, Json] = field(default_factory=dict)

    @property
    def cancelled(self) -> bool:
        """Whether the admin asked for a stop and this step may be interrupted."""
        return self.interruptible and self.cancel.cancelled

    @property
    def remaining(self) -> float:
        """Seconds until the step's deadline, never negative: the timeout for calls to the outside."""
        return max(0.0, self.ends - time.monotonic())

    def mask(self, secret: Secret) -> None:
        """From now on this secret is masked in output, problems, journal and transcript."""
        self.masker.add(secret)

    def output(self, line: str) -> None:
        """Show a line of what the outside says. Ends the step when it was cancelled or is overdue."""
        self.on_output(line)
        self.check()

    def remember(self, earlier: Mapping[str, Json]) -> Mapping[str, Json]:
        """Put values that `undo` needs into the journal, before changing them.

        The first call of a step wins over all later ones, also of later processes: what a step finds when
        it is resumed is no longer what was there before it. Returns what is remembered.
        """
        return self.on_remember(earlier)

    def seen_from(self, earlier: Mapping[str, Json]) -> Run:
        """The same run with the memory of another step: for undoing it."""
        return replace(self, earlier=earlier)

    def check(self) -> None:
        """Raise CANCELLED or TIMED_OUT if the step must not go on."""
        if self.cancelled:
            raise fail(
                ProblemKind.CANCELLED, "Cancelled by the admin.", "Resume it from the journal when you like."
            )
        if self.remaining <= 0:
            raise fail(
                ProblemKind.TIMED_OUT, "The step's deadline is over.", "See what it says, then resume."
            )

    def wait_for(
        self,
        what: str,
        probe: Callable[[], T | None],
        deadline: float,
        interval: float = 1.0,
        *,
        remedy: str = "Look into it, then resume this plan from the journal.",
    ) -> T:
        """Ask ``probe`` every ``interval`` seconds until it answers (not None, not False); give the answer.

        Raises TIMED_OUT, saying what it waited for, after ``deadline`` seconds or at the step's own
        deadline, whichever is first; CANCELLED if the step may be interrupted and the admin asks for it.
        """
        began, since = time.monotonic(), datetime.now(UTC)
        ends = min(began + deadline, self.ends)
        self.on_waiting(what, since, since + timedelta(seconds=max(0.0, ends - began)))
        while True:
            answer = probe()
            if answer is not None and answer is not False:
                return answer
            left = ends - time.monotonic()
            if left <= 0:
                waited = f"Waited {time.monotonic() - began:.0f} s for {what}, and it did not happen."
                raise fail(ProblemKind.TIMED_OUT, waited, remedy)
            if self.interruptible:
                self.cancel.wait(min(interval, left))
                if self.cancelled:
                    raise fail(ProblemKind.CANCELLED, f"Cancelled while waiting for {what}.", remedy)
            else:
                time.sleep(min(interval, left))


class Step(ABC):
    """One change to one thing.

    ``key`` names it within the plan and stays the same when the plan is rebuilt from the journal.
    ``commands`` is what it does, as a person would type it, secrets masked. ``deadline`` is in seconds.
    ``interruptible`` says that it may be stopped in the middle without harm. ``unavailable`` is why it
    cannot be done here, so that it is left to the admin; such a step never runs. ``undo_note`` says why a
    step that is not ``reversible`` is not.
    """

    key: str
    title: str
    commands: tuple[str, ...] = ()
    reversible: bool = True
    undo_note: str = ""
    deadline: float = 60.0
    interruptible: bool = False
    unavailable: str = ""
    #: What it needs to be allowed; plans add it to their own rights.
    rights: tuple[Right, ...] = ()
    #: What its undo needs to be allowed besides.
    undo_rights: tuple[Right, ...] = ()
    #: It changes nothing (a wait, a proof): there is nothing to undo, and nothing to say about it.
    only_looks: bool = False
    #: Undone after all other steps, not before them: it lets the outside catch up with what they did.
    settles: bool = False

    @abstractmethod
    def is_done(self, run: Run) -> bool:
        """Whether the world is already as this step would make it; changes nothing."""

    @abstractmethod
    def run(self, run: Run) -> None:
        """Make the change. Must end in the same state when it is run again after being cut anywhere."""

    def verify(self, run: Run) -> None:
        """Prove that the change took hold, by a fresh look; raises if not."""
        if not self.is_done(run):
            text = f"The step went through, but the world is not as it should be: {self.title}."
            raise fail(
                ProblemKind.BROKEN, text, "Look at the output, then resume this plan from the journal."
            )

    def undo(self, run: Run) -> None:
        """Bring back ``run.earlier``. Only called if ``reversible`` and if the step had begun."""
        raise NotImplementedError(f"{type(self).__name__} says that it is reversible, but has no undo")

    def is_undone(self, run: Run) -> bool:
        """Whether the world is already as ``run.earlier`` says; changes nothing."""
        raise NotImplementedError(f"{type(self).__name__} says that it is reversible, but has no is_undone")

    def undo_commands(self, earlier: Mapping[str, Json]) -> tuple[str, ...]:
        """What `undo` does, as a person would type it."""
        return ()

    def undo_title(self, earlier: Mapping[str, Json]) -> str:
        """What will be when it is undone: nobody sees a deletion behind "Undo: Start ..."."""
        return f"Undo: {self.title}"

    def interrupt(self) -> None:
        """End a call that blocks in `run`, from another thread: at the deadline, and on cancel if allowed."""
        return


class UnavailableStep(Step):
    """A step that this program cannot do (yet), shown with the reason and left to the admin."""

    reversible = False

    def __init__(self, key: str, title: str, reason: str, commands: tuple[str, ...] = ()) -> None:
        self.key = key
        self.title = title
        self.unavailable = reason
        self.commands = commands

    def is_done(self, run: Run) -> bool:
        return False

    def run(self, run: Run) -> None:
        raise fail(ProblemKind.ABSENT, f"{self.title}: {self.unavailable}.", "Do it by hand.")


@dataclass(frozen=True)
class Plan:
    """All that will be done, and to which cluster.

    ``choices`` is JSON-able and all that `registry.rebuild` needs to make the same plan again in a new
    process. ``already`` names what was found to be so at planning time and needs no step. ``typed_word`` is
    what the admin must type to begin a dangerous plan, ``undo_word`` what to begin its undo. ``outcome`` is
    the effect without what goes on in the cluster besides: by it two plans are compared; None: by ``effect``.
    """

    kind: str
    subject: str
    cluster: Cluster
    steps: tuple[Step, ...]
    effect: tuple[str, ...] = ()
    rights: tuple[Right, ...] = ()
    typed_word: str = ""
    choices: Mapping[str, Json] = field(default_factory=dict)
    already: tuple[str, ...] = ()
    outcome: tuple[str, ...] | None = None
    undo_word: str = ""

    def __post_init__(self) -> None:
        keys = [step.key for step in self.steps]
        if len(set(keys)) != len(keys):
            raise ValueError(f"a plan's steps need different keys: {keys}")

    def step(self, key: str) -> Step | None:
        return next((step for step in self.steps if step.key == key), None)

    @property
    def has_work(self) -> bool:
        return any(not step.unavailable for step in self.steps)
