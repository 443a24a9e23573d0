"""Kill -9 at every moment: what is left resumes to the same end as an uncut run."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.plans.events import Outcome
from axiom_tui.plans.journal import Journal
from axiom_tui.plans.registry import rebuild, rebuild_undo
from tests.plans.world import ACCESS, BERT, KINDS, file_plan, perform, texts

STEPS = 5
WANTED = {f"{number}.txt": f"text of {number}" for number in range(STEPS)}
BEFORE = {"0.txt": "it was here before", "3.txt": "text of 3"}


def furnish(folder: Path) -> None:
    folder.mkdir()
    for name, text in BEFORE.items():
        (folder / name).write_text(text)


@pytest.fixture(scope="module")
def cuts(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Path]]:
    """One folder for each point at which a child was killed, with what the child left there."""
    root = tmp_path_factory.mktemp("cuts")
    done = subprocess.run(
        [sys.executable, "-m", "tests.plans.cut_child", str(root)],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return [(point, root / directory) for point, directory in json.loads(done.stdout)]


def test_the_cuts_cover_every_step_and_every_record(cuts: list[tuple[str, Path]]) -> None:
    points = [point for point, _ in cuts]
    for number in (0, 1, 2, 4):  # step 3 is already so
        for moment in ("asked", "begun", "remembered", "half done", "written"):
            assert f"{number}.txt: {moment}" in points
    for moment in ("before", "torn", "after"):
        for record in ("plan", "step-begun", "earlier", "step-ended", "ended"):
            assert any(point.startswith(f"{moment} {record}") for point in points)


def test_resuming_after_any_cut_ends_like_an_uncut_run(cuts: list[tuple[str, Path]]) -> None:
    for point, directory in cuts:
        world, state = directory / "world", directory / "state"
        journal = Journal(state)
        entries = journal.entries()
        if not entries or not entries[0].kind:
            assert texts(world) == BEFORE, point  # no record, no change
            continue
        (entry,) = entries
        assert not entry.faults, point
        if entry.outcome is not None:
            assert point in ("after ended", "end"), point
            assert texts(world) == WANTED, point
            continue
        assert entry.cut_short, point
        result, _ = perform(
            rebuild(entry, journal, ACCESS, KINDS), state, resume=entry.plan_id, identity=BERT
        )
        assert result.outcome is Outcome.DONE, (point, result.problem)
        assert texts(world) == WANTED, point
        after = journal.load(entry.plan_id)
        assert (after.outcome, after.faults) == (Outcome.DONE, ()), point
        records = map(json.loads, journal.path(entry.plan_id).read_text().splitlines())
        memories = [record["step"] for record in records if record["type"] == "earlier"]
        assert len(memories) == len(set(memories)), point
        undo = rebuild_undo(after, journal, ACCESS, KINDS)
        undone, _ = perform(undo, state)
        assert undone.outcome is Outcome.DONE, (point, undone.problem)
        # What was half written when the child was killed must not be taken for what was there before.
        assert texts(world) == BEFORE, point


@given(st.integers(0, 10_000_000))
def test_a_journal_truncated_at_any_byte_loads_and_resumes(where: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        world, state = Path(name) / "world", Path(name) / "state"
        furnish(world)
        done, _ = perform(file_plan(world, STEPS), state)
        journal = Journal(state)
        path = journal.path(done.plan_id)
        text = path.read_bytes()
        size = where % len(text)
        path.write_bytes(text[:size])
        entry = journal.load(done.plan_id)
        assert not entry.faults
        if not entry.kind:
            assert size < text.index(b"\n") + 1
            return
        assert entry.cut_short
        result, _ = perform(rebuild(entry, journal, ACCESS, KINDS), state, resume=entry.plan_id)
        assert result.outcome is Outcome.DONE
        assert texts(world) == WANTED
        after = journal.load(done.plan_id)
        assert (after.outcome, after.faults) == (Outcome.DONE, ())
