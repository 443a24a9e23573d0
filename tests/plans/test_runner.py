"""The runner: order, skips, failures, cancel, waits, rights, read-only, changed worlds, resume, undo."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from axiom_tui.model.problem import AxiomError, Problem, ProblemKind, fail
from axiom_tui.model.secret import Masker
from axiom_tui.plans.events import (
    Event,
    Outcome,
    Output,
    PlanChanged,
    PlanFinished,
    PlanStarted,
    StepFinished,
    StepOverdue,
    StepStarted,
    StepState,
    Waiting,
)
from axiom_tui.plans.journal import Journal, Writer
from axiom_tui.plans.registry import rebuild, rebuild_undo
from axiom_tui.plans.runner import Runner
from axiom_tui.plans.step import CancelToken, Plan, Right, Run, UnavailableStep
from axiom_tui.plans.undo import undo_plan
from tests.plans.world import (
    ACCESS,
    ANNA,
    BERT,
    CLUSTER,
    KINDS,
    Act,
    FreeLock,
    WriteFile,
    file_plan,
    perform,
    texts,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "world"
    made.mkdir()
    return made


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def acts(*steps: Act) -> Plan:
    return Plan("act", "act", CLUSTER, steps)


def raising(error: Exception) -> Callable[[Run], None]:
    def act(run: Run) -> None:
        raise error

    return act


def test_a_plan_runs_from_first_to_last_and_says_so(folder: Path, state: Path) -> None:
    result, events = perform(file_plan(folder, 2), state)
    assert result.outcome is Outcome.DONE
    assert texts(folder) == {"0.txt": "text of 0", "1.txt": "text of 1"}
    kinds = [type(event) for event in events]
    per_step = [StepStarted, Output, StepFinished]
    assert kinds == [PlanStarted, *per_step, *per_step, PlanFinished]
    entry = Journal(state).load(result.plan_id)
    assert (entry.outcome, entry.who, entry.cluster) == (Outcome.DONE, "anna@desk (11)", "axiom-test")
    assert [step.state for step in entry.steps] == [StepState.DONE, StepState.DONE]
    assert entry.steps[0].earlier == {"text": None}


def test_what_is_already_so_is_skipped(folder: Path, state: Path) -> None:
    (folder / "0.txt").write_text("text of 0")
    result, _ = perform(file_plan(folder, 2), state)
    assert [step.state for step in result.steps] == [StepState.ALREADY, StepState.DONE]
    again, _ = perform(file_plan(folder, 2), state)
    assert {step.state for step in again.steps} == {StepState.ALREADY}


def test_the_first_failed_step_stops_the_plan(state: Path) -> None:
    last = Act("c")
    plan = acts(Act("a"), Act("b", raising(fail(ProblemKind.REFUSED, "No.", "Knock."))), last)
    lock = FreeLock()
    result, _ = perform(plan, state, lock)
    assert result.outcome is Outcome.FAILED
    assert result.problem == Problem(ProblemKind.REFUSED, "No.", "Knock.")
    assert [step.state for step in result.steps] == [
        StepState.DONE,
        StepState.FAILED,
        StepState.NOT_REACHED,
    ]
    assert last.acted == 0
    assert not lock.held
    entry = Journal(state).load(result.plan_id)
    assert entry.steps[1].problem == result.problem
    assert entry.can_be_resumed


def test_a_defect_of_ours_ends_the_plan_like_a_failure(state: Path) -> None:
    result, _ = perform(acts(Act("a", raising(ZeroDivisionError("oops")))), state)
    assert result.outcome is Outcome.FAILED
    assert result.problem is not None
    assert "ZeroDivisionError: oops" in result.problem.sentence


def test_a_step_that_does_not_take_hold_fails(state: Path) -> None:
    class Vain(Act):
        def is_done(self, run: Run) -> bool:
            return False

    result, _ = perform(acts(Vain("a")), state)
    assert result.steps[0].state is StepState.FAILED
    assert result.problem is not None
    assert "not as it should be" in result.problem.sentence


def test_read_only_refuses_in_the_runner_and_leaves_no_trace(folder: Path, state: Path) -> None:
    for read_only, cluster in ((True, CLUSTER), (False, replace(CLUSTER, read_only=True))):
        events: list[Event] = []
        plan = replace(file_plan(folder), cluster=cluster)
        lock = FreeLock()
        result = Runner(plan, Journal(state), lock, events.append, read_only).run()
        assert result.outcome is Outcome.REFUSED
        assert result.problem is not None
        assert result.problem.kind is ProblemKind.READ_ONLY
        assert not result.journalled
        assert not lock.held
        assert events == [PlanFinished(result)]
    assert texts(folder) == {}
    assert Journal(state).entries() == ()


def test_missing_rights_are_named_all_at_once_before_anything_runs(folder: Path, state: Path) -> None:
    asked: list[str] = []

    def can_i(
        verb: str,
        resource: str,
        *,
        group: str = "",
        namespace: str = "",
        name: str = "",
        subresource: str = "",
    ) -> tuple[bool, str]:
        asked.append(f"{verb} {resource}")
        return (verb == "get", "" if verb == "get" else "no rule")

    plan = file_plan(folder, rights=(Right("get", "nodes"), Right("patch", "nodes")))
    lock = FreeLock((Right("update", "leases", "coordination.k8s.io", "kube-system"),))
    result = Runner(plan, Journal(state), lock, lambda event: None, False, can_i=can_i).run()
    assert result.outcome is Outcome.REFUSED
    assert result.problem is not None
    assert result.problem.kind is ProblemKind.FORBIDDEN
    assert "patch nodes (no rule)" in result.problem.sentence
    assert "update leases.coordination.k8s.io in kube-system" in result.problem.sentence
    assert "get nodes" not in result.problem.sentence
    assert asked == ["get nodes", "patch nodes", "update leases"]
    assert texts(folder) == {}


def test_a_plan_with_rights_needs_somebody_to_ask(folder: Path, state: Path) -> None:
    plan = file_plan(folder, rights=(Right("patch", "nodes"),))
    with pytest.raises(ValueError, match="rights"):
        Runner(plan, Journal(state), FreeLock(), lambda event: None, False)


def test_a_dangerous_plan_wants_its_word(folder: Path, state: Path) -> None:
    plan = replace(file_plan(folder, 1), typed_word="axiom-test")
    for typed in ("", "axiom"):
        refused = Runner(plan, Journal(state), FreeLock(), lambda event: None, False, typed=typed).run()
        assert refused.outcome is Outcome.REFUSED
        assert texts(folder) == {}
    done = Runner(plan, Journal(state), FreeLock(), lambda event: None, False, typed="axiom-test").run()
    assert done.outcome is Outcome.DONE


def test_a_changed_world_is_shown_and_nothing_runs(folder: Path, state: Path) -> None:
    lock = FreeLock()
    result, events = perform(file_plan(folder, 2), state, lock, recompute=lambda: file_plan(folder, 3))
    assert result.outcome is Outcome.CHANGED
    assert not result.journalled
    assert texts(folder) == {}
    assert not lock.held
    changed = [event for event in events if isinstance(event, PlanChanged)]
    assert "new: Write 2.txt" in changed[0].difference
    assert changed[0].plan is not None
    assert len(changed[0].plan.steps) == 3


def test_the_plan_computed_again_is_the_one_that_runs(folder: Path, state: Path) -> None:
    fresh = file_plan(folder, 1)
    result, _ = perform(file_plan(folder, 1), state, recompute=lambda: fresh)
    assert result.plan is fresh
    assert result.outcome is Outcome.DONE


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [(ProblemKind.MISSING, Outcome.CHANGED), (ProblemKind.UNREACHABLE, Outcome.REFUSED)],
)
def test_a_plan_that_cannot_be_computed_again_does_not_run(
    folder: Path, state: Path, kind: ProblemKind, outcome: Outcome
) -> None:
    def gone() -> Plan:
        raise fail(kind, "There is no node WALL-A-9.")

    result, _ = perform(file_plan(folder), state, recompute=gone)
    assert result.outcome is outcome
    assert result.problem is not None
    assert "WALL-A-9" in result.problem.sentence
    assert texts(folder) == {}


def test_a_defect_while_computing_again_still_sends_the_last_event(folder: Path, state: Path) -> None:
    def broken() -> Plan:
        raise RuntimeError("bug")

    lock = FreeLock()
    result, _ = perform(file_plan(folder), state, lock, recompute=broken)
    assert result.outcome is Outcome.FAILED
    assert not lock.held
    assert texts(folder) == {}


def test_a_conflict_in_the_middle_leads_back_to_the_plan(folder: Path, state: Path) -> None:
    first = WriteFile(folder / "a.txt", "a")
    plan = acts(first, Act("b", raising(fail(ProblemKind.CONFLICT, "The node has changed."))))  # type: ignore[arg-type]
    answers = iter([plan, acts(Act("b"))])
    result, events = perform(plan, state, recompute=lambda: next(answers))
    assert result.outcome is Outcome.CHANGED
    assert texts(folder) == {"a.txt": "a"}
    changed = [event for event in events if isinstance(event, PlanChanged)]
    assert changed[0].why == "The node has changed."
    assert "no longer: Write a.txt" in changed[0].difference
    assert Journal(state).load(result.plan_id).outcome is Outcome.CHANGED


def test_cancel_stops_between_steps(state: Path) -> None:
    token = CancelToken()
    first, second = Act("a", lambda run: token.cancel()), Act("b")
    result, _ = perform(acts(first, second), state, cancel=token)
    assert result.outcome is Outcome.CANCELLED
    assert (first.acted, second.acted) == (1, 0)
    assert Journal(state).load(result.plan_id).can_be_resumed


def test_cancel_before_the_first_step_leaves_no_journal(folder: Path, state: Path) -> None:
    token = CancelToken()
    token.cancel()
    result, _ = perform(file_plan(folder), state, cancel=token)
    assert (result.outcome, result.journalled) == (Outcome.CANCELLED, False)
    assert texts(folder) == {}


def test_only_a_step_that_allows_it_is_interrupted(state: Path) -> None:
    token = CancelToken()
    probes: list[int] = []

    def wait(run: Run) -> None:
        def probe() -> bool:
            probes.append(1)
            if len(probes) == 2:
                token.cancel()
            return len(probes) > 5

        run.wait_for("the probe", probe, 30, 0.001)

    firm = Act("firm", wait)
    result, _ = perform(acts(firm, Act("next")), state, cancel=token)
    assert firm.acted == 1
    assert result.outcome is Outcome.CANCELLED

    token, probes = CancelToken(), []
    soft = Act("soft", wait)
    soft.interruptible = True
    result, _ = perform(acts(soft, Act("next")), state, cancel=token)
    assert soft.acted == 0
    assert result.outcome is Outcome.CANCELLED
    assert result.problem is not None
    assert "the probe" in result.problem.sentence


def test_cancel_calls_interrupt_of_a_blocked_step(state: Path) -> None:
    token, ended, blocked = CancelToken(), threading.Event(), threading.Event()

    def block(run: Run) -> None:
        blocked.set()
        assert ended.wait(30)
        raise fail(ProblemKind.UNREACHABLE, "The connection was closed.")

    class Blocked(Act):
        interruptible = True

        def interrupt(self) -> None:
            ended.set()

    def cancel_when_blocked() -> None:
        assert blocked.wait(30)
        token.cancel()

    canceller = threading.Thread(target=cancel_when_blocked)
    canceller.start()
    result, _ = perform(acts(Blocked("a", block)), state, cancel=token)
    canceller.join()
    assert result.outcome is Outcome.CANCELLED
    assert result.problem is not None
    assert "Cancelled by the admin in the middle" in result.problem.sentence


def test_a_wait_says_what_for_and_until_when(state: Path) -> None:
    step = Act("a", lambda run: run.wait_for("the pods of WALL-A-3", lambda: None, 0.02, 0.005))
    result, events = perform(acts(step), state)
    waits = [event for event in events if isinstance(event, Waiting)]
    assert [wait.what for wait in waits] == ["the pods of WALL-A-3"]
    assert 0 < (waits[0].until - waits[0].since).total_seconds() <= 0.02
    assert result.problem is not None
    assert result.problem.kind is ProblemKind.TIMED_OUT
    assert "the pods of WALL-A-3" in result.problem.sentence


def test_a_wait_gives_what_the_probe_found(state: Path) -> None:
    answers = iter([None, False, 0])  # 0 is an answer
    found: list[object] = []
    step = Act("a", lambda run: found.append(run.wait_for("it", lambda: next(answers), 30, 0.001)))
    result, _ = perform(acts(step), state)
    assert result.outcome is Outcome.DONE
    assert found == [0]


def test_the_deadline_of_a_step_ends_its_waits_and_its_calls(state: Path) -> None:
    waiting = Act("a", lambda run: run.wait_for("nothing", lambda: None, 3600, 0.005))
    waiting.deadline = 0.03
    result, _ = perform(acts(waiting), state)
    assert result.problem is not None
    assert result.problem.kind is ProblemKind.TIMED_OUT

    ended = threading.Event()

    class Hanging(Act):
        deadline = 0.03

        def interrupt(self) -> None:
            ended.set()

    def hang(run: Run) -> None:
        assert ended.wait(30)
        raise fail(ProblemKind.UNREACHABLE, "The connection was closed.")

    result, events = perform(acts(Hanging("b", hang)), state)
    assert any(isinstance(event, StepOverdue) for event in events)
    assert result.problem is not None
    assert result.problem.kind is ProblemKind.TIMED_OUT
    assert "not done within its 0.03 s. The connection was closed." in result.problem.sentence


def test_endless_output_does_not_outlive_the_deadline(state: Path) -> None:
    def chatter(run: Run) -> None:
        while True:
            run.output("still at it")

    step = Act("a", chatter)
    step.deadline = 0.02
    result, _ = perform(acts(step), state)
    assert result.problem is not None
    assert result.problem.kind is ProblemKind.TIMED_OUT


def test_a_lost_lock_stops_at_the_next_step(state: Path) -> None:
    lock = FreeLock()

    def lose(run: Run) -> None:
        lock.lost = Problem(ProblemKind.CONFLICT, "The lock was taken over by bert.")

    second = Act("b")
    result, _ = perform(acts(Act("a", lose), second), state, lock)
    assert result.outcome is Outcome.FAILED
    assert result.problem == lock.lost
    assert second.acted == 0


def test_a_lock_that_cannot_be_given_back_is_said(folder: Path, state: Path) -> None:
    class Sticky(FreeLock):
        def release(self) -> None:
            raise fail(ProblemKind.UNREACHABLE, "The API is gone.")

    result, _ = perform(file_plan(folder, 1), state, Sticky())
    assert result.outcome is Outcome.DONE
    assert "The API is gone." in result.notes[0]


def test_a_receiver_that_fails_does_not_stop_the_change(folder: Path, state: Path) -> None:
    def receive(event: Event) -> None:
        raise RuntimeError("screen is gone")

    result = Runner(file_plan(folder, 2), Journal(state), FreeLock(), receive, False).run()
    assert result.outcome is Outcome.DONE
    assert len(texts(folder)) == 2


def test_an_unavailable_step_is_left_to_the_admin(folder: Path, state: Path) -> None:
    by_hand = UnavailableStep("ssh", "Write the configuration", "no SSH yet", ("vi config.yaml",))
    plan = replace(file_plan(folder, 1), steps=(*file_plan(folder, 1).steps, by_hand))
    result, _ = perform(plan, state)
    assert result.outcome is Outcome.DONE
    assert result.steps[1].state is StepState.UNAVAILABLE
    assert Journal(state).load(result.plan_id).steps[1].unavailable == "no SSH yet"


def test_a_plan_without_work_needs_neither_lock_nor_journal(state: Path) -> None:
    lock = FreeLock()
    plan = Plan("act", "nothing", CLUSTER, (UnavailableStep("a", "By hand", "no SSH"),), already=("all",))
    result, _ = perform(plan, state, lock)
    assert (result.outcome, result.journalled) == (Outcome.DONE, False)
    assert Journal(state).entries() == ()


def test_a_journal_that_cannot_be_written_means_no_change(folder: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "state"
    blocked.write_text("a file where the folder should be")
    lock = FreeLock()
    result, _ = perform(file_plan(folder), blocked, lock)
    assert result.outcome is Outcome.REFUSED
    assert result.problem is not None
    assert str(blocked) in result.problem.sentence
    assert texts(folder) == {}
    assert not lock.held


def test_a_full_disk_stops_the_plan_before_the_next_change(
    folder: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Writer._write
    full = threading.Event()

    def fill(text: str) -> None:
        if text == "1.txt: asked":
            full.set()

    def write_some(writer: Writer, line: bytes) -> None:
        if full.is_set():
            full.clear()  # there is room again at once: what is written next must not follow half a line
            os.write(writer._descriptor, line[: len(line) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(writer, line)

    monkeypatch.setattr(Writer, "_write", write_some)
    result, _ = perform(file_plan(folder, 3, fill), state)
    assert result.outcome is Outcome.FAILED
    assert result.problem is not None
    assert "cannot be written: No space left on device" in result.problem.sentence
    assert texts(folder) == {"0.txt": "text of 0"}
    entry = Journal(state).load(result.plan_id)
    assert (entry.faults, entry.outcome) == ((), Outcome.FAILED)
    assert entry.steps[1].state is StepState.FAILED
    resumed, _ = perform(file_plan(folder, 3), state, resume=result.plan_id)
    assert resumed.outcome is Outcome.DONE


def test_an_end_that_cannot_be_written_stops_the_plan(
    folder: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Writer._write
    full = threading.Event()

    def fill(text: str) -> None:
        if text == "1.txt: written":
            full.set()

    def write_some(writer: Writer, line: bytes) -> None:
        if full.is_set():
            full.clear()
            raise OSError(errno.ENOSPC, "No space left on device")
        write(writer, line)

    monkeypatch.setattr(Writer, "_write", write_some)
    result, _ = perform(file_plan(folder, 3, fill), state)
    assert result.outcome is Outcome.FAILED
    assert result.problem is not None
    assert "No space left on device" in result.problem.sentence
    assert texts(folder) == {"0.txt": "text of 0", "1.txt": "text of 1"}
    states = [step.state for step in result.steps]
    assert states == [StepState.DONE, StepState.DONE, StepState.NOT_REACHED]
    assert Journal(state).load(result.plan_id).steps[1].state is StepState.RUNNING
    resumed, _ = perform(file_plan(folder, 3), state, resume=result.plan_id)
    assert resumed.outcome is Outcome.DONE


def test_resume_after_a_failure_finishes_under_the_same_id(folder: Path, state: Path) -> None:
    plan = file_plan(folder, 3)
    in_the_way = folder / "1.txt"
    in_the_way.mkdir()  # writing fails
    failed, _ = perform(plan, state)
    assert failed.outcome is Outcome.FAILED
    in_the_way.rmdir()
    journal = Journal(state)
    entry = journal.load(failed.plan_id)
    lock = FreeLock()
    result, _ = perform(
        rebuild(entry, journal, ACCESS, KINDS), state, lock, resume=entry.plan_id, identity=BERT
    )
    assert result.outcome is Outcome.DONE
    assert result.plan_id == failed.plan_id
    assert result.steps[0].earlier_run
    assert lock.is_dead is not None
    assert lock.is_dead(entry.plan_id, ANNA.session)
    assert not lock.is_dead(entry.plan_id, BERT.session)
    assert not lock.is_dead("a plan of another machine", BERT.session)
    assert not lock.is_dead("", "")
    after = journal.load(failed.plan_id)
    assert (after.runs, after.user, after.outcome) == (2, "bert", Outcome.DONE)
    assert len(journal.entries()) == 1


@pytest.mark.parametrize("case", ["done", "other cluster", "other steps", "missing"])
def test_what_cannot_be_resumed_is_refused(folder: Path, state: Path, case: str) -> None:
    plan = file_plan(folder, 2)
    if case != "done":
        (folder / "1.txt").mkdir()
    first, _ = perform(plan, state)
    other = {
        "other cluster": replace(plan, cluster=replace(CLUSTER, server="https://10.0.0.1:6443")),
        "other steps": file_plan(folder, 3),
    }.get(case, plan)
    result, _ = perform(other, state, resume="nobody" if case == "missing" else first.plan_id)
    assert result.outcome is Outcome.REFUSED
    assert result.problem is not None
    words = {
        "done": "cannot be resumed",
        "other cluster": "was made for axiom-test",
        "other steps": "other steps",
        "missing": "has no plan nobody",
    }
    assert words[case] in result.problem.sentence


def test_rebuild_refuses_another_cluster_and_unknown_kinds(folder: Path, state: Path) -> None:
    result, _ = perform(file_plan(folder, 1), state)
    journal = Journal(state)
    entry = journal.load(result.plan_id)
    elsewhere = replace(ACCESS, cluster=replace(CLUSTER, name="prod"))
    with pytest.raises(AxiomError, match="made for axiom-test"):
        rebuild(entry, journal, elsewhere, KINDS)
    with pytest.raises(AxiomError, match="does not know plans of the kind 'write-files'"):
        rebuild(entry, journal, ACCESS, {})
    with pytest.raises(AxiomError, match="cannot be made again"):
        rebuild(replace(entry, choices={}), journal, ACCESS, KINDS)


def test_undo_restores_in_reverse_what_the_plan_found(folder: Path, state: Path) -> None:
    (folder / "0.txt").write_text("before")
    (folder / "2.txt").write_text("text of 2")  # already so: not ours to undo
    plan = file_plan(folder, 3)
    done, _ = perform(plan, state)
    journal = Journal(state)
    undo = rebuild_undo(journal.load(done.plan_id), journal, ACCESS, KINDS)
    assert [step.key for step in undo.steps] == ["undo/write/1.txt", "undo/write/0.txt"]
    assert undo.steps[0].commands == ("restore 1.txt",)
    result, _ = perform(undo, state)
    assert result.outcome is Outcome.DONE
    assert texts(folder) == {"0.txt": "before", "2.txt": "text of 2"}
    newest, first = journal.entries()
    assert (newest.kind, newest.choices) == ("undo", {"of": done.plan_id})
    assert first.undone
    with pytest.raises(AxiomError, match="undone already"):
        rebuild_undo(journal.load(done.plan_id), journal, ACCESS, KINDS)
    with pytest.raises(AxiomError, match="itself an undo"):
        rebuild_undo(newest, journal, ACCESS, KINDS)


def test_undo_lets_the_outside_catch_up_last(folder: Path, state: Path) -> None:
    class Settle(WriteFile):
        settles = True

        def undo(self, run: Run) -> None:
            assert texts(folder) == {}, "the others are undone by now"
            self.path.write_text("settled")

        def is_undone(self, run: Run) -> bool:
            return self.path.exists()

    settle = Settle(folder / "z.txt", "settled")
    (folder / "z.txt").write_text("settled")  # so the plan itself never begins it
    plan = replace(file_plan(folder, 2), steps=(*file_plan(folder, 2).steps, settle))
    done, _ = perform(plan, state)
    assert done.steps[2].state is StepState.ALREADY
    (folder / "z.txt").unlink()
    undo = undo_plan(plan, Journal(state).load(done.plan_id))
    assert [step.key for step in undo.steps] == ["undo/write/1.txt", "undo/write/0.txt", "undo/write/z.txt"]
    result, _ = perform(undo, state)
    assert result.outcome is Outcome.DONE, result.problem
    assert texts(folder) == {"z.txt": "settled"}


def test_undo_of_a_failed_plan_takes_back_what_was_half_done(folder: Path, state: Path) -> None:
    def cut(text: str) -> None:
        if text == "1.txt: half done":
            raise fail(ProblemKind.UNREACHABLE, "The connection is lost.")

    failed, _ = perform(file_plan(folder, 3, cut), state)
    assert len(texts(folder)) == 2
    journal = Journal(state)
    undo = rebuild_undo(journal.load(failed.plan_id), journal, ACCESS, KINDS)
    result, _ = perform(undo, state)
    assert result.outcome is Outcome.DONE
    assert texts(folder) == {}
    assert not journal.load(failed.plan_id).can_be_resumed


def test_a_resumed_step_that_was_cut_before_its_proof_is_proved(state: Path) -> None:
    world: set[str] = set()
    proofs: list[str] = []

    class Proved(Act):
        def is_done(self, run: Run) -> bool:
            return self.key in world

        def verify(self, run: Run) -> None:
            proofs.append(self.key)
            if len(proofs) == 1:
                raise fail(ProblemKind.TIMED_OUT, "The proof did not come.")

    def plan() -> Plan:
        return acts(Proved("a", lambda run: world.add("a")))

    failed, _ = perform(plan(), state)
    assert failed.outcome is Outcome.FAILED
    resumed, _ = perform(plan(), state, resume=failed.plan_id)
    assert resumed.outcome is Outcome.DONE
    assert resumed.steps[0].earlier_run
    assert proofs == ["a", "a"]


# -- the ends of a run -------------------------------------------------------------------------------------


def test_what_is_left_to_the_admin_is_said_after_a_cancel_too(state: Path) -> None:
    cancel = CancelToken()
    by_hand = UnavailableStep("hand", "Do it by hand", "there is no way")
    plan = Plan("k", "s", CLUSTER, (Act("a", lambda run: cancel.cancel()), by_hand))
    result, _ = perform(plan, state, cancel=cancel)
    assert result.outcome is Outcome.DONE  # all that was to run has run
    assert [step.state for step in result.steps] == [StepState.DONE, StepState.UNAVAILABLE]


def test_a_lock_that_was_lost_in_the_last_step_is_said(state: Path) -> None:
    lock = FreeLock()

    def lose(run: Run) -> None:
        lock.lost = Problem(ProblemKind.CONFLICT, "The lock was taken over by bert.")

    result, _ = perform(Plan("k", "s", CLUSTER, (Act("a", lose),)), state, lock)
    assert result.outcome is Outcome.DONE
    assert result.notes == ("During the last step: The lock was taken over by bert.",)


def test_a_plan_whose_end_cannot_be_written_has_not_ended(
    folder: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Writer._write

    def write_some(writer: Writer, line: bytes) -> None:
        if b'"type":"ended"' in line:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(writer, line)

    monkeypatch.setattr(Writer, "_write", write_some)
    result, _ = perform(file_plan(folder, 2), state)
    assert result.outcome is Outcome.FAILED
    assert result.problem is not None
    assert "No space left on device" in result.problem.sentence
    assert {step.state for step in result.steps} == {StepState.DONE}
    monkeypatch.undo()
    assert Journal(state).load(result.plan_id).cut_short
    resumed, _ = perform(file_plan(folder, 2), state, resume=result.plan_id)
    assert resumed.outcome is Outcome.DONE


def test_who_left_a_lock_is_dead_once_its_file_is_free(folder: Path, state: Path) -> None:
    lock = FreeLock()
    perform(file_plan(folder, 1), state, lock)
    assert lock.is_dead is not None
    other = Journal(state).begin("20261122T140200.000Z-write-files-aaaaaa", file_plan(folder), BERT, Masker())
    plan_id = other.path.stem
    assert not lock.is_dead(plan_id, BERT.session)  # it holds its file
    other.close()
    assert lock.is_dead(plan_id, BERT.session)
    assert not lock.is_dead(plan_id, ANNA.session)  # another process, perhaps of another machine
    assert not lock.is_dead(plan_id, "")
    assert not lock.is_dead("", BERT.session)
    assert not lock.is_dead("unknown", BERT.session)
