"""A small real world for the engine's tests: files in a folder, changed by steps, and a Lease in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from axiom_tui.model.fleet import Cluster
from axiom_tui.model.lease import Lease
from axiom_tui.model.problem import Problem, ProblemKind, fail
from axiom_tui.plans.access import Access
from axiom_tui.plans.events import Event, PlanFinished, Result
from axiom_tui.plans.identity import Identity
from axiom_tui.plans.journal import Journal
from axiom_tui.plans.lock import Holder, IsDead, OnWaiting
from axiom_tui.plans.runner import Runner
from axiom_tui.plans.step import CancelToken, Json, Plan, Right, Run, Step

CLUSTER = Cluster("axiom-test", "axiom", "https://127.0.0.1:6443")
ANNA = Identity("anna", "desk", 11, "session-of-anna")
BERT = Identity("bert", "laptop", 22, "session-of-bert")
KIND = "write-files"

Hook = Callable[[str], None]


def nothing(_: str) -> None:
    return


class WriteFile(Step):
    """Writes a text into a file, in two halves, so that it can be cut in the middle."""

    deadline = 30.0

    def __init__(self, path: Path, text: str, hook: Hook = nothing) -> None:
        self.path = path
        self.text = text
        self.hook = hook
        self.key = f"write/{path.name}"
        self.title = f"Write {path.name}"
        self.commands = (f"printf %s '{text}' > {path.name}",)

    def is_done(self, run: Run) -> bool:
        self.hook(f"{self.path.name}: asked")
        return _read(self.path) == self.text

    def run(self, run: Run) -> None:
        self.hook(f"{self.path.name}: begun")
        run.remember({"text": _read(self.path)})
        self.hook(f"{self.path.name}: remembered")
        half = len(self.text) // 2
        self.path.write_text(self.text[:half])
        self.hook(f"{self.path.name}: half done")
        run.output(f"{half} bytes of {self.path.name}")
        self.path.write_text(self.text)
        self.hook(f"{self.path.name}: written")

    def is_undone(self, run: Run) -> bool:
        return "text" not in run.earlier or _read(self.path) == run.earlier["text"]

    def undo(self, run: Run) -> None:
        earlier = run.earlier["text"]
        if earlier is None:
            self.path.unlink()
        else:
            self.path.write_text(str(earlier))

    def undo_commands(self, earlier: Mapping[str, Json]) -> tuple[str, ...]:
        return (f"restore {self.path.name}",)


class Act(Step):
    """Does what the test says, and is done when it has done so."""

    def __init__(self, key: str, act: Callable[[Run], None] = lambda run: None) -> None:
        self.key = key
        self.title = f"Act {key}"
        self.reversible = False
        self.acted = 0
        self._act = act

    def is_done(self, run: Run) -> bool:
        return self.acted > 0

    def run(self, run: Run) -> None:
        self._act(run)
        self.acted += 1


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def file_plan(folder: Path, count: int = 5, hook: Hook = nothing, rights: tuple[Right, ...] = ()) -> Plan:
    steps = tuple(WriteFile(folder / f"{number}.txt", f"text of {number}", hook) for number in range(count))
    choices: dict[str, Json] = {"folder": str(folder), "count": count}
    return Plan(KIND, f"write {count} files", CLUSTER, steps, ("files are there",), rights, choices=choices)


def rebuild_files(choices: Mapping[str, Json], access: Access) -> Plan:
    count = choices["count"]
    assert isinstance(count, int)
    return file_plan(Path(str(choices["folder"])), count)


KINDS = {KIND: rebuild_files}
ACCESS = Access(CLUSTER)


class FreeLock:
    """A lock that nobody else wants, and that the test can lose."""

    def __init__(self, rights: tuple[Right, ...] = ()) -> None:
        self.rights = rights
        self.lost: Problem | None = None
        self.held = False
        self.is_dead: IsDead | None = None

    def look(self) -> Holder | None:
        return None

    def acquire(
        self,
        what_for: str,
        plan_id: str,
        *,
        wait: float = 0.0,
        is_dead: IsDead | None = None,
        cancel: CancelToken | None = None,
        on_waiting: OnWaiting | None = None,
    ) -> None:
        self.held = True
        self.is_dead = is_dead

    def release(self) -> None:
        self.held = False


def perform(
    plan: Plan,
    state: Path,
    lock: FreeLock | None = None,
    *,
    resume: str = "",
    identity: Identity = ANNA,
    recompute: Callable[[], Plan] | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Result, list[Event]]:
    """Run (or resume) a plan headless; gives its result and all its events."""
    events: list[Event] = []
    runner = Runner(
        plan,
        Journal(state),
        lock or FreeLock(),
        events.append,
        False,
        identity=identity,
        recompute=recompute,
        cancel=cancel,
    )
    result = runner.resume(resume) if resume else runner.run()
    assert isinstance(events[-1], PlanFinished)
    assert sum(isinstance(event, PlanFinished) for event in events) == 1
    return result, events


class MemoryLeases:
    """A Lease store with the API's rules for resourceVersion, and a clock of its own."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.clock = datetime(2026, 11, 22, 14, 2, tzinfo=UTC)
        self.broken: Problem | None = None
        self.lose_answers = False  # the write happens, its answer does not arrive
        self.writes = 0
        self.refused = 0
        self._guard = threading.Lock()
        self._version = 100

    def server_time(self) -> datetime:
        self._check()
        return self.clock

    def get_lease(self, namespace: str, name: str) -> Lease | None:
        self._check()
        with self._guard:
            return self.lease

    def create_lease(self, lease: Lease) -> Lease:
        self._check()
        with self._guard:
            if self.lease is not None:
                raise fail(ProblemKind.CONFLICT, "leases axiom-tui already exists")
            return self._store(lease)

    def replace_lease(self, lease: Lease) -> Lease:
        self._check()
        with self._guard:
            if self.lease is None:
                raise fail(ProblemKind.MISSING, "leases axiom-tui not found")
            if lease.resource_version != self.lease.resource_version:
                raise fail(ProblemKind.CONFLICT, "the object has been modified")
            return self._store(lease)

    def advance(self, seconds: float) -> None:
        self.clock += timedelta(seconds=seconds)

    def _store(self, lease: Lease) -> Lease:
        self._version += 1
        self.writes += 1
        self.lease = replace(lease, resource_version=str(self._version))
        if self.lose_answers:
            raise fail(ProblemKind.TIMED_OUT, "the API did not answer within 15 s")
        return self.lease

    def _check(self) -> None:
        if self.broken is not None:
            self.refused += 1
            raise fail(self.broken.kind, self.broken.sentence)


class Clock:
    """A steady clock that the test moves."""

    def __init__(self, at: float = 1000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at
