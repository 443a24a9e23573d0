"""A plan as its journal tells it: the records of one file, folded into one value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from axiom_tui.model.problem import Problem, ProblemKind
from axiom_tui.plans.events import Outcome, StepState
from axiom_tui.plans.step import Json

#: The newest version of the records that this program understands.
VERSION = 1
#: The kind of plan that takes another one back.
UNDO = "undo"


@dataclass(frozen=True, slots=True)
class StepEntry:
    """One step. ``begun``: it may have changed something. ``earlier``: what it found before its change.
    ``output`` is only kept of a failed step: its last lines."""

    key: str
    title: str
    commands: tuple[str, ...] = ()
    reversible: bool = True
    unavailable: str = ""
    state: StepState = StepState.PENDING
    begun: bool = False
    seconds: float = 0.0
    problem: Problem | None = None
    earlier: Mapping[str, Json] = field(default_factory=dict)
    output: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One plan of the journal. ``kind`` "" means that it was cut before its first record was whole.

    ``outcome`` None: it has not ended (yet). ``running``: its process lives and holds the file. ``began`` is
    the first run's begin, ``last_began`` the last one's; user, machine and pid are of the last run.
    ``faults`` names damaged lines. ``undone``: a later plan took it back.
    """

    plan_id: str
    kind: str = ""
    subject: str = ""
    cluster: str = ""
    server: str = ""
    context: str = ""
    user: str = ""
    machine: str = ""
    pid: int = 0
    session: str = ""
    runs: int = 0
    began: datetime | None = None
    last_began: datetime | None = None
    ended: datetime | None = None
    outcome: Outcome | None = None
    problem: Problem | None = None
    choices: Mapping[str, Json] = field(default_factory=dict)
    effect: tuple[str, ...] = ()
    already: tuple[str, ...] = ()
    steps: tuple[StepEntry, ...] = ()
    running: bool = False
    undone: bool = False
    faults: tuple[str, ...] = ()

    @property
    def who(self) -> str:
        return f"{self.user}@{self.machine} ({self.pid})" if self.kind else ""

    @property
    def cut_short(self) -> bool:
        """It began, did not end, and its process is gone."""
        return bool(self.kind) and self.outcome is None and not self.running and not self.undone

    @property
    def can_be_resumed(self) -> bool:
        stopped = self.cut_short or self.outcome in (Outcome.FAILED, Outcome.CANCELLED)
        return stopped and not self.running and not self.undone and not self.faults

    @property
    def can_be_undone(self) -> bool:
        """Something was begun that can be taken back, and nobody did so yet."""
        undoable = any(step.begun and step.reversible for step in self.steps)
        settled = not (self.running or self.undone or self.faults)
        return undoable and settled  # the steps of an undo are not reversible

    @property
    def done(self) -> int:
        """How many steps are through, already so or done."""
        return sum(step.state in (StepState.DONE, StepState.ALREADY) for step in self.steps)

    @property
    def left_to_you(self) -> int:
        """How many steps this program cannot do and leaves to the admin."""
        return sum(bool(step.unavailable) for step in self.steps)

    @property
    def progress(self) -> str:
        """``15/15``: of the steps that are this program's own, so that what is left by hand is no failure."""
        return f"{self.done}/{len(self.steps) - self.left_to_you}"

    def step(self, key: str) -> StepEntry | None:
        return next((step for step in self.steps if step.key == key), None)


def whole_lines(text: bytes) -> int:
    """How many bytes at the beginning are whole lines: the rest was never acknowledged.

    A last line that has its end but cannot be read was torn too: a disk may write its blocks in any order.
    """
    end = text.rfind(b"\n") + 1
    last = text.rfind(b"\n", 0, max(0, end - 1)) + 1
    return end if end == 0 or _record(text[last : end - 1]) is not None else last


def read_entry(plan_id: str, text: bytes, *, running: bool) -> Entry:
    """Fold the records of one journal file; damage in its middle is named in ``faults``, never raised."""
    entry = Entry(plan_id, running=running)
    for number, line in enumerate(text[: whole_lines(text)].split(b"\n")[:-1], start=1):
        record = _record(line)
        if record is None:
            fault = f"line {number} cannot be read"
        elif record.get("v") != VERSION:
            fault = f"line {number} was written by another version of axiom-tui (records v{record.get('v')})"
        else:
            try:
                entry = _fold(entry, record)
                continue
            except (KeyError, ValueError, TypeError, AttributeError):
                fault = f"line {number} ({record.get('type')}) does not have what it should"
        entry = replace(entry, faults=(*entry.faults, fault))
    return entry


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _fold(entry: Entry, record: dict[str, Any]) -> Entry:
    at = datetime.fromisoformat(record["at"])
    match record["type"]:
        case "plan":
            return _plan(entry, record, at)
        case "resumed":
            again = _names(entry, record, at)
            return replace(again, outcome=None, problem=None, ended=None)
        case "step-begun":
            return _edit(entry, record["step"], state=StepState.RUNNING, begun=True, problem=None, output=())
        case "earlier":
            # The first one counts: see `Run.remember`.
            step = entry.step(record["step"])
            values = dict(record["values"])
            return entry if step and step.earlier else _edit(entry, record["step"], earlier=values)
        case "step-ended":
            return _edit(
                entry,
                record["step"],
                state=StepState(record["state"]),
                seconds=float(record["seconds"]),
                problem=_problem(record),
                output=tuple(record.get("output", ())),
            )
        case "ended":
            outcome = Outcome(record["outcome"])
            return replace(entry, outcome=outcome, problem=_problem(record), ended=at)
    return entry  # a kind of record that came later; it changes nothing that we know of


def _plan(entry: Entry, record: dict[str, Any], at: datetime) -> Entry:
    steps = tuple(
        StepEntry(
            item["key"], item["title"], tuple(item["commands"]), bool(item["reversible"]), item["unavailable"]
        )
        for item in record["steps"]
    )
    known = replace(
        entry,
        kind=str(record["kind"]),
        subject=str(record["subject"]),
        cluster=str(record["cluster"]["name"]),
        server=str(record["cluster"]["server"]),
        context=str(record["cluster"]["context"]),
        began=at,
        choices=dict(record["choices"]),
        effect=tuple(record["effect"]),
        already=tuple(record["already"]),
        steps=steps,
    )
    return _names(known, record, at)


def _names(entry: Entry, record: dict[str, Any], at: datetime) -> Entry:
    return replace(
        entry,
        user=str(record["user"]),
        machine=str(record["machine"]),
        pid=int(record["pid"]),
        session=str(record["session"]),
        runs=entry.runs + 1,
        last_began=at,
    )


def _edit(entry: Entry, key: str, **changes: Any) -> Entry:
    if entry.step(key) is None:
        raise KeyError(key)
    steps = tuple(replace(step, **changes) if step.key == key else step for step in entry.steps)
    return replace(entry, steps=steps)


def _problem(record: dict[str, Any]) -> Problem | None:
    found = record.get("problem")
    return Problem(ProblemKind(found["kind"]), found["sentence"], found["remedy"]) if found else None
