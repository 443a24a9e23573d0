"""The journal: private, durable, readable while written, tolerant of a torn end, honest about damage."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from axiom_tui.model.problem import AxiomError, Problem, ProblemKind
from axiom_tui.model.secret import Masker
from axiom_tui.plans.events import Outcome, StepResult, StepState
from axiom_tui.plans.journal import Journal, Writer, new_plan_id
from tests.plans.world import ANNA, BERT, file_plan, perform

KEY = "write/0.txt"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "state")


def begin(journal: Journal, plan_id: str = "20261122T140200.000Z-write-files-aaaaaa") -> Writer:
    return journal.begin(plan_id, file_plan(journal.directory), ANNA, Masker())


def test_only_we_may_read_it(journal: Journal) -> None:
    old = os.umask(0)
    try:
        writer = begin(journal)
    finally:
        os.umask(old)
    writer.close()
    assert stat.S_IMODE(writer.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(journal.directory.stat().st_mode) == 0o700
    journal.directory.chmod(0o755)
    begin(journal, "20261122T140300.000Z-write-files-bbbbbb").close()
    assert stat.S_IMODE(journal.directory.stat().st_mode) == 0o700


def test_every_record_and_the_new_name_are_synced(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    writer = begin(journal)
    assert synced == [str(journal.directory.parent), str(journal.directory), str(writer.path)]
    writer.step_begun(KEY)
    writer.earlier(KEY, {})
    writer.step_ended(StepResult(KEY, "", StepState.DONE))
    writer.ended(Outcome.DONE)
    assert synced[3:] == [str(writer.path)] * 4
    writer.close()
    # So is the end of a file that was torn, before anything follows it.
    writer.path.write_bytes(writer.path.read_bytes() + b'{"v":1,"ty')
    synced.clear()
    _, again = journal.reopen(writer.path.stem, Masker())
    assert synced == [str(writer.path)]
    again.close()


def test_it_reads_back_what_was_written(journal: Journal) -> None:
    writer = begin(journal)
    writer.step_begun(KEY)
    writer.earlier(KEY, {"labels": {"a": None, "b": "ü"}})
    writer.earlier(KEY, {"labels": "a later one does not count"})
    problem = Problem(ProblemKind.REFUSED, "No.", "Knock.")
    failed = StepResult(KEY, "", StepState.FAILED, seconds=1.5, problem=problem)
    writer.step_ended(failed, tuple(f"line {number}" for number in range(50)))
    writer.ended(Outcome.FAILED, problem)
    entry = journal.load(writer.path.stem)
    assert entry.running  # we still hold it
    writer.close()
    entry = journal.load(writer.path.stem)
    assert (entry.kind, entry.subject) == ("write-files", "write 5 files")
    assert (entry.outcome, entry.problem) == (Outcome.FAILED, problem)
    assert (entry.user, entry.machine, entry.pid, entry.session) == ("anna", "desk", 11, ANNA.session)
    step = entry.steps[0]
    assert (step.state, step.seconds, step.problem, step.begun) == (StepState.FAILED, 1.5, problem, True)
    assert step.earlier == {"labels": {"a": None, "b": "ü"}}
    assert (len(step.output), step.output[-1]) == (20, "line 49")
    assert step.commands == ("printf %s 'text of 0' > 0.txt",)
    assert entry.effect == ("files are there",)
    assert entry.began is not None
    assert entry.ended is not None
    assert entry.began <= entry.ended
    assert entry.can_be_resumed


def test_output_that_is_no_text_does_not_break_it(journal: Journal) -> None:
    writer = begin(journal)
    broken = b"caf\xe9 \x00 \xff".decode("utf-8", "surrogateescape")
    problem = Problem(ProblemKind.BROKEN, broken)
    writer.step_ended(StepResult(KEY, "", StepState.FAILED, problem=problem), (broken, "two\nlines"))
    writer.close()
    step = journal.load(writer.path.stem).steps[0]
    assert step.output == (broken, "two\nlines")


def test_others_read_while_one_writes(journal: Journal) -> None:
    plan_id = new_plan_id("write-files")
    writer = begin(journal, plan_id)
    stop = threading.Event()
    faults: list[str] = []
    seen: set[int] = set()

    def read() -> None:
        while not stop.is_set():
            (entry,) = Journal(journal.directory.parent).entries()
            faults.extend(entry.faults)
            if not entry.running:
                faults.append("not running")
            seen.add(len(entry.steps[0].output))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    problem = Problem(ProblemKind.BROKEN, "x" * 5000)
    for number in range(60):
        lines = tuple("y" * 1000 for _ in range(number % 20))
        writer.step_ended(StepResult(KEY, "", StepState.FAILED, problem=problem), lines)
    stop.set()
    for reader in readers:
        reader.join()
    writer.close()
    assert not faults
    assert not journal.load(plan_id).running


def test_one_plan_has_one_writer(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axiom_tui.plans.journal.GLANCE", 0.05)
    writer = begin(journal)
    with pytest.raises(AxiomError, match="running in another process") as caught:
        journal.reopen(writer.path.stem, Masker())
    assert caught.value.problem.kind is ProblemKind.CONFLICT
    writer.close()
    entry, again = journal.reopen(writer.path.stem, Masker())
    again.close()
    assert entry.can_be_resumed


def test_cut_short_plans_stand_on_top_then_the_newest(journal: Journal) -> None:
    ids = [f"20261122T14{minute:02}00.000Z-write-files-{minute:06}" for minute in range(5)]
    for number, plan_id in enumerate(ids):
        writer = begin(journal, plan_id)
        if number != 1:
            writer.ended(Outcome.DONE)
        writer.close()
    running = begin(journal, "20261122T150000.000Z-write-files-999999")
    order = [entry.plan_id for entry in journal.entries()]
    running.close()
    assert order == [ids[1], running.path.stem, ids[4], ids[3], ids[2], ids[0]]


def test_a_torn_last_line_is_tolerated_and_taken_away(journal: Journal) -> None:
    for torn in (b'{"v":1,"ty', b'{"v":1,"type":"ended","at":"2026', b"\x00" * 40, b"\x00" * 40 + b"\n"):
        plan_id = new_plan_id("write-files")
        writer = begin(journal, plan_id)
        writer.step_begun(KEY)
        writer.close()
        whole = writer.path.read_bytes()
        writer.path.write_bytes(whole + torn)
        entry = journal.load(plan_id)
        assert not entry.faults
        assert entry.steps[0].begun
        _, again = journal.reopen(plan_id, Masker())
        assert writer.path.read_bytes() == whole
        again.resumed(BERT)
        again.ended(Outcome.DONE)
        again.close()
        after = journal.load(plan_id)
        assert (after.faults, after.outcome, after.who) == ((), Outcome.DONE, "bert@laptop (22)")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (b"rubbish", "line 2 cannot be read"),
        (b"[1]", "line 2 cannot be read"),
        (b'{"v":2,"type":"step-begun","step":"x","at":"2026-11-22T14:02:00+00:00"}', "records v2"),
        (b'{"v":1,"type":"step-begun","at":"2026-11-22T14:02:00+00:00"}', "line 2 (step-begun)"),
        (b'{"v":1,"type":"step-begun","step":"unknown","at":"2026-11-22T14:02:00+00:00"}', "line 2"),
        (b'{"v":1,"type":"ended","outcome":"nonsense","at":"2026-11-22T14:02:00+00:00"}', "line 2 (ended)"),
        (b'{"v":1,"type":"ended","outcome":"done","at":"yesterday"}', "line 2 (ended)"),
    ],
)
def test_damage_in_the_middle_is_reported_and_stops_a_resume(
    journal: Journal, damage: bytes, words: str
) -> None:
    writer = begin(journal)
    writer.step_begun(KEY)
    writer.close()
    lines = writer.path.read_bytes().splitlines(keepends=True)
    writer.path.write_bytes(lines[0] + damage + b"\n" + lines[1])
    entry = journal.load(writer.path.stem)
    assert words in entry.faults[0]
    assert entry.steps[0].begun  # what can be read is shown
    assert not entry.can_be_resumed
    assert not entry.can_be_undone
    with pytest.raises(AxiomError, match="is damaged"):
        journal.reopen(writer.path.stem, Masker())


def test_a_record_of_a_later_kind_is_no_damage(journal: Journal) -> None:
    writer = begin(journal)
    writer.append("weather", sky="blue")
    writer.ended(Outcome.DONE)
    writer.close()
    entry = journal.load(writer.path.stem)
    assert (entry.faults, entry.outcome) == ((), Outcome.DONE)


def test_a_plan_cut_before_its_first_record_changed_nothing(journal: Journal) -> None:
    writer = begin(journal)
    writer.close()
    writer.path.write_bytes(writer.path.read_bytes()[:100])
    (entry,) = journal.entries()
    assert (entry.kind, entry.cut_short, entry.can_be_resumed) == ("", False, False)
    with pytest.raises(AxiomError, match="nothing was changed"):
        journal.reopen(writer.path.stem, Masker())


def test_an_empty_or_missing_journal_has_no_entries(journal: Journal) -> None:
    assert journal.entries() == ()
    with pytest.raises(AxiomError, match="has no plan nobody"):
        journal.load("nobody")


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    journal = Journal(tmp_path / "state")
    with pytest.raises(AxiomError, match="cannot be written") as caught:
        begin(journal)
    assert caught.value.problem.kind is ProblemKind.BROKEN
    with pytest.raises(AxiomError, match="cannot be read"):
        journal.entries()


def test_a_plan_resumed_after_its_undo_is_not_undone_any_more(journal: Journal, tmp_path: Path) -> None:
    folder = tmp_path / "world"
    folder.mkdir()
    done, _ = perform(file_plan(folder, 1), journal.directory.parent)
    writer = journal.begin(
        new_plan_id("undo"),
        replace(file_plan(folder, 1), kind="undo", choices={"of": done.plan_id}),
        ANNA,
        Masker(),
    )
    writer.ended(Outcome.DONE)
    writer.close()
    assert journal.load(done.plan_id).undone
    _, again = journal.reopen(done.plan_id, Masker())
    again.resumed(ANNA)
    again.close()
    assert not journal.load(done.plan_id).undone


def test_every_line_is_json_with_version_type_and_time(journal: Journal, tmp_path: Path) -> None:
    folder = tmp_path / "world"
    folder.mkdir()
    result, _ = perform(file_plan(folder, 2), journal.directory.parent)
    records = [json.loads(line) for line in journal.path(result.plan_id).read_text().splitlines()]
    types = [record["type"] for record in records]
    assert types == ["plan", *["step-begun", "earlier", "step-ended"] * 2, "ended"]
    assert all(record["v"] == 1 and record["at"].endswith("+00:00") for record in records)


def test_one_unreadable_file_does_not_hide_the_others(journal: Journal) -> None:
    begin(journal).close()
    journal.path("20261122T150000.000Z-write-files-999999").mkdir()
    readable, unreadable = journal.entries()
    assert readable.cut_short
    assert unreadable.faults == ("the file cannot be read: Is a directory",)


def test_nothing_follows_a_torn_record_that_could_not_be_taken_back(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = begin(journal)
    whole = writer.path.read_bytes()

    def write_some(descriptor: int, line: bytes) -> int:
        raise OSError(errno.EIO, "Input/output error")

    def refuse(descriptor: int, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "write", write_some)
        broken.setattr(os, "ftruncate", refuse)
        with pytest.raises(AxiomError, match="Input/output error"):
            writer.step_begun(KEY)
    # The disk is well again, but what it holds of that record is not known.
    with pytest.raises(AxiomError, match="an earlier record is torn"):
        writer.step_begun(KEY)
    assert writer.path.read_bytes() == whole
    writer.close()


def test_what_a_resume_begins_anew_is_not_what_failed_before(journal: Journal) -> None:
    writer = begin(journal)
    plan_id = writer.path.stem
    problem = Problem(ProblemKind.BROKEN, "The disk is full.")
    writer.step_begun(KEY)
    writer.step_ended(StepResult(KEY, "", StepState.FAILED, problem=problem), ("last words",))
    writer.ended(Outcome.FAILED, problem)
    failed = journal.load(plan_id)
    assert (failed.outcome, failed.problem) == (Outcome.FAILED, problem)
    assert (failed.steps[0].problem, failed.steps[0].output) == (problem, ("last words",))
    writer.resumed(BERT)
    resumed = journal.load(plan_id)
    assert (resumed.outcome, resumed.problem, resumed.ended, resumed.runs) == (None, None, None, 2)
    assert resumed.steps[0].output == ("last words",)  # until it is begun anew
    writer.step_begun(KEY)
    again = journal.load(plan_id).steps[0]
    assert (again.state, again.problem, again.output) == (StepState.RUNNING, None, ())
    writer.close()
    assert journal.load(plan_id).cut_short
