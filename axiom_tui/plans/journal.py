"""The journal: what was done, by whom, step by step, so that a plan cut at any moment can be resumed.

One append-only file of JSON lines for each plan, ``journal/<plan id>.jsonl`` in the state directory: every
file has one writer, so that plans never interleave, a torn last line belongs to the plan that was cut, and
an flock on the file, which the kernel drops even after kill -9, tells whether that plan's process lives.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import axiom_tui
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind, fail
from axiom_tui.model.secret import Masker
from axiom_tui.plans.entry import UNDO, VERSION, Entry, read_entry, whole_lines
from axiom_tui.plans.events import Outcome, StepResult
from axiom_tui.plans.identity import Identity
from axiom_tui.plans.step import Json, Plan

FOLDER = "journal"
SUFFIX = ".jsonl"
#: A reader that looks whether a plan runs holds its file for an instant; a writer gives it this long (s).
GLANCE = 2.0
#: So many of the last lines of output go into the record of a failed step.
LAST_LINES = 20


class Journal:
    """The journal of this workstation, in the state ``directory``; made 0700 when first needed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / FOLDER

    def path(self, plan_id: str) -> Path:
        return self.directory / f"{plan_id}{SUFFIX}"

    def begin(self, plan_id: str, plan: Plan, identity: Identity, masker: Masker) -> Writer:
        """Open a new file with the plan in its first line, safe on disk."""
        with _said(self.directory, "be written"):
            _make_private(self.directory)
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(self.path(plan_id), flags, 0o600)
        writer = Writer(self.path(plan_id), descriptor, masker)
        try:
            writer.take()
            with _said(self.directory, "be written"):
                _sync_directory(self.directory)
            writer.plan(plan_id, plan, identity)
        except BaseException:
            writer.close()
            raise
        return writer

    def reopen(self, plan_id: str, masker: Masker) -> tuple[Entry, Writer]:
        """Open the file of an earlier run to go on with it, and give what it says; writes nothing yet.

        Raises CONFLICT while the plan's process lives, GARBLED for a damaged file, MISSING for none.
        """
        path = self.path(plan_id)
        with _said(path, "be written"):
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            except FileNotFoundError as error:
                raise _missing(plan_id) from error
        writer = Writer(path, descriptor, masker)
        try:
            writer.take()
            entry = replace(self.load(plan_id), running=False)  # it is we who hold it
            if not entry.kind:
                raise fail(
                    ProblemKind.MISSING,
                    f"The plan {plan_id} was cut before its first record was whole: nothing was changed.",
                    "Make the plan again.",
                )
            if entry.faults:
                raise fail(
                    ProblemKind.GARBLED,
                    f"The journal of {plan_id} is damaged: {'; '.join(entry.faults)}.",
                    "Make the plan again: the steps that are already done are skipped.",
                )
            writer.cut_torn_line()
        except BaseException:
            writer.close()
            raise
        return entry, writer

    def load(self, plan_id: str) -> Entry:
        """What the journal says of one plan, also while it runs. Raises MISSING; damage is in ``faults``."""
        entry = self._load(plan_id)
        if entry is None:
            raise _missing(plan_id)
        # An undo is younger than what it undoes; its name says its kind.
        younger = [name for name in self._plan_ids() if name > plan_id and f"-{UNDO}-" in name]
        undos = [undo for name in younger if (undo := self._load(name)) is not None]
        return replace(entry, undone=_is_undone(entry, undos))

    def entries(self) -> tuple[Entry, ...]:
        """All plans: those that were cut short first, then the newest first."""
        found = [self._load(plan_id) for plan_id in self._plan_ids()]
        return in_order([entry for entry in found if entry is not None])

    def signature(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and time of change of each file: as long as it is the same, so are the entries (but for
        plans whose process ended)."""
        try:
            with os.scandir(self.directory) as files:
                found = [(item.name, item.stat().st_size, item.stat().st_mtime_ns) for item in files]
        except OSError:
            return ()  # not there yet, or unreadable: `entries` says which
        return tuple(sorted(found))

    def _plan_ids(self) -> list[str]:
        with _said(self.directory, "be read"):
            try:
                names = [path.name for path in self.directory.iterdir()]
            except FileNotFoundError:
                return []
        return [name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)]

    def _load(self, plan_id: str) -> Entry | None:
        """None if there is no such file, perhaps because somebody tidied up while we looked."""
        path = self.path(plan_id)
        try:
            text = path.read_bytes()
            return read_entry(plan_id, text, running=_is_held(path))
        except FileNotFoundError:
            return None
        except OSError as error:  # one bad file must not hide all the others
            return Entry(plan_id, faults=(f"the file cannot be read: {error.strerror or error}",))


def in_order(entries: list[Entry]) -> tuple[Entry, ...]:
    """Cut short and not undone since first, then newest first; what an undo undid is marked."""
    marked = [replace(entry, undone=_is_undone(entry, entries)) for entry in entries]
    newest = sorted(marked, key=lambda entry: entry.plan_id, reverse=True)
    return tuple(sorted(newest, key=lambda entry: not entry.cut_short))


def _is_undone(entry: Entry, entries: list[Entry]) -> bool:
    """Whether a later undo of this plan went through, and the plan was not resumed after it."""
    return any(
        undo.kind == UNDO
        and undo.choices.get("of") == entry.plan_id
        and undo.outcome is Outcome.DONE
        and undo.began is not None
        and entry.last_began is not None
        and undo.began > entry.last_began
        for undo in entries
    )


def new_plan_id(kind: str) -> str:
    """``20261122T141503.042Z-label-nodes-3f9a1c``: sorts by time, and is never given twice."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z-{kind}-{uuid.uuid4().hex[:6]}"


class Writer:
    """The one writer of one plan's file. Every record is on disk when its call returns.

    A record that cannot be written whole is taken back, so that the file never has a torn line in its middle.
    """

    def __init__(self, path: Path, descriptor: int, masker: Masker) -> None:
        self.path = path
        self._descriptor = descriptor
        self._masker = masker
        self._torn = False

    def take(self) -> None:
        """Hold the file against other processes; raises CONFLICT if another one has it."""
        deadline = time.monotonic() + GLANCE
        while True:
            try:
                return fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise fail(
                        ProblemKind.CONFLICT,
                        f"The plan {self.path.stem} is running in another process.",
                        "Look on in the journal, or wait until it has ended.",
                    ) from error
                time.sleep(0.02)

    def plan(self, plan_id: str, plan: Plan, identity: Identity) -> None:
        mask = self._masker
        steps = [
            {
                "key": step.key,
                "title": mask(step.title),
                "commands": [mask(line) for line in step.commands],
                "reversible": step.reversible,
                "unavailable": mask(step.unavailable),
            }
            for step in plan.steps
        ]
        cluster = {"name": plan.cluster.name, "server": plan.cluster.server, "context": plan.cluster.context}
        self.append(
            "plan",
            id=plan_id,
            kind=plan.kind,
            subject=mask(plan.subject),
            cluster=cluster,
            choices=mask.json(plan.choices),
            effect=[mask(line) for line in plan.effect],
            already=[mask(line) for line in plan.already],
            steps=steps,
            **_names(identity),
        )

    def resumed(self, identity: Identity) -> None:
        self.append("resumed", **_names(identity))

    def step_begun(self, key: str) -> None:
        self.append("step-begun", step=key)

    def earlier(self, key: str, values: Mapping[str, Json]) -> None:
        self.append("earlier", step=key, values=self._masker.json(values))

    def step_ended(self, result: StepResult, last_lines: tuple[str, ...] = ()) -> None:
        record: dict[str, object] = {
            "step": result.key,
            "state": result.state.value,
            "seconds": round(result.seconds, 3),
        }
        if result.problem is not None:
            record["problem"] = self._problem(
                result.problem.kind, result.problem.sentence, result.problem.remedy
            )
            record["output"] = [self._masker(line) for line in last_lines[-LAST_LINES:]]
        self.append("step-ended", **record)

    def ended(self, outcome: Outcome, problem: Problem | None = None) -> None:
        record: dict[str, object] = {"outcome": outcome.value}
        if problem is not None:
            record["problem"] = self._problem(problem.kind, problem.sentence, problem.remedy)
        self.append("ended", **record)

    def append(self, kind: str, /, **record: object) -> None:
        """Write one record and bring it to the disk."""
        whole = {"v": VERSION, "type": kind, "at": datetime.now(UTC).isoformat(), **record}
        text = json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
        # Output that is no UTF-8 arrives as lone surrogates; JSON can say them only escaped.
        line = text.encode("utf-8", "backslashreplace") + b"\n"
        with _said(self.path, "be written"):
            if self._torn:
                raise OSError("an earlier record is torn")
            size = os.fstat(self._descriptor).st_size
            try:
                self._write(line)
            except OSError:
                self._torn = True
                os.ftruncate(self._descriptor, size)
                self._torn = False
                raise

    def _write(self, line: bytes) -> None:
        while line:
            line = line[os.write(self._descriptor, line) :]
        os.fsync(self._descriptor)

    def cut_torn_line(self) -> None:
        """Take away what the last write left when it was cut: it was never acknowledged."""
        with _said(self.path, "be written"):
            text = self.path.read_bytes()
            whole = whole_lines(text)
            if whole != len(text):
                os.ftruncate(self._descriptor, whole)
                os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file; its record stays."""
        os.close(self._descriptor)

    def _problem(self, kind: ProblemKind, sentence: str, remedy: str) -> dict[str, str]:
        return {"kind": kind.value, "sentence": self._masker(sentence), "remedy": self._masker(remedy)}


def _names(identity: Identity) -> dict[str, object]:
    return {
        "user": identity.user,
        "machine": identity.machine,
        "pid": identity.pid,
        "session": identity.session,
        "program": axiom_tui.__version__,
    }


def _missing(plan_id: str) -> AxiomError:
    return fail(
        ProblemKind.MISSING,
        f"The journal of this workstation has no plan {plan_id}.",
        "List the plans with: axiom-tui journal",
    )


def _is_held(path: Path) -> bool:
    """Whether a living process writes this file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _make_private(directory: Path) -> None:
    """Make the folder for our eyes only, and take rights of others away if it was there before."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_mode & 0o077:
        directory.chmod(0o700)
    _sync_directory(directory.parent)


def _sync_directory(directory: Path) -> None:
    """Bring a new name in a folder to the disk: fsync of the file alone does not."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _said(path: Path, what: str) -> Iterator[None]:
    """Turn a failure of the file system into a Problem with file, reason and remedy."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise fail(
            ProblemKind.BROKEN,
            f"The journal {path} cannot {what}: {reason}.",
            "Nothing is changed without a journal: make room, or see to the rights of that folder.",
        ) from error
