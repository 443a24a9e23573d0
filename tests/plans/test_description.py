"""Plans and results in words: descriptions, differences, accounts and transcripts."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from axiom_tui.model.problem import ProblemKind, fail
from axiom_tui.plans.description import describe, difference, undo_words
from axiom_tui.plans.events import Outcome
from axiom_tui.plans.journal import Journal
from axiom_tui.plans.step import Plan, Run, UnavailableStep
from axiom_tui.plans.transcript import account, transcript, transcript_of
from tests.plans.world import CLUSTER, Act, file_plan, perform


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "world"
    made.mkdir()
    return made


BY_HAND = UnavailableStep("ssh", "Write the configuration", "no SSH yet", ("vi config.yaml",))


def test_a_plan_in_plain_text(folder: Path) -> None:
    final = Act("final")
    final.undo_note = "what is acted is acted"
    plan = file_plan(folder, 1)
    plan = replace(
        plan, steps=(*plan.steps, final, BY_HAND), already=("2.txt is there",), typed_word="axiom-test"
    )
    assert describe(plan) == (
        "Plan:    write 1 files\n"
        "Cluster: axiom-test (https://127.0.0.1:6443)\n"
        "\n"
        "Steps\n"
        "  1. Write 0.txt\n"
        "       printf %s 'text of 0' > 0.txt\n"
        "  2. Act final\n"
        "  3. Write the configuration\n"
        "       vi config.yaml\n"
        "       left to you: no SSH yet\n"
        "\n"
        "Already so\n"
        "  - 2.txt is there\n"
        "\n"
        "Effect\n"
        "  - files are there\n"
        "\n"
        "Undo\n"
        "  - step 2 cannot be undone: what is acted is acted\n"
        "  - the other steps can be undone\n"
        "\n"
        'To apply it, type "axiom-test".\n'
    )


def test_nothing_to_do_and_simulation_are_said() -> None:
    text = describe(Plan("act", "nothing", replace(CLUSTER, simulation=True), ()))
    assert "there is nothing to do" in text
    assert "SIMULATION" in text
    assert "Undo" not in text


def test_the_same_plan_has_no_difference(folder: Path) -> None:
    assert difference(file_plan(folder), file_plan(folder)) == ()


def test_every_difference_is_said(folder: Path) -> None:
    old = file_plan(folder, 3)
    order = replace(old, steps=old.steps[::-1])
    assert difference(old, order) == ("the steps come in another order",)
    other = file_plan(folder, 3)
    other.steps[0].commands = ("other",)
    assert difference(old, other) == (
        "otherwise: Write 0.txt",
        "  no longer: printf %s 'text of 0' > 0.txt",
        "  new: other",
    )
    other.steps[0].commands = old.steps[0].commands
    other.steps[0].reversible = False
    assert difference(old, other) == ("otherwise: Write 0.txt", "  cannot be undone any more")
    assert difference(old, file_plan(folder, 2))[0:2] == (
        "subject: write 3 files is now write 2 files",
        "no longer: Write 2.txt",
    )
    for changed, words in (
        (replace(old, cluster=replace(CLUSTER, server="https://10.0.0.1")), "another cluster"),
        (replace(old, effect=("boom",)), "effect, new: boom"),
        (replace(old, typed_word="yes"), 'the word to be typed: "" is now "yes"'),
        (replace(old, already=("x",)), "already so, new: x"),
        (replace(old, choices={}), "what the plan was made from has changed"),
    ):
        assert any(words in line for line in difference(old, changed))
        assert difference(changed, old)


def failing(run: Run) -> None:
    raise fail(ProblemKind.REFUSED, "No\nrm -rf /\r\u2028reboot\x1b[31m", "Knock.\npoweroff")


def test_the_account_says_what_changed_was_so_and_is_left(folder: Path, tmp_path: Path) -> None:
    (folder / "0.txt").write_text("text of 0")
    plan = file_plan(folder, 2)
    plan = replace(plan, steps=(*plan.steps, BY_HAND, Act("a", failing), Act("b")), already=("all else",))
    result, _ = perform(plan, tmp_path)
    told = account(result)
    assert told.changed == ("Write 1.txt",)
    assert told.already == ("all else", "Write 0.txt")
    assert told.left[0] == "Write the configuration: by hand, no SSH yet"
    assert told.left[1].startswith("Act a: No")
    assert told.left[2] == "Act b: not reached"


def test_the_account_of_a_refused_plan_says_why(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    result, _ = perform(file_plan(folder, 1), tmp_path / "state")
    assert result.outcome is Outcome.REFUSED
    assert "cannot be written" in account(result).left[0]


def test_only_what_ran_is_a_command_in_the_transcript(folder: Path, tmp_path: Path) -> None:
    (folder / "0.txt").write_text("text of 0")
    plan = file_plan(folder, 2)
    last = Act("b")
    last.commands = ("rm not-reached",)
    plan = replace(plan, steps=(*plan.steps, BY_HAND, Act("a", failing), last))
    result, _ = perform(plan, tmp_path)
    entry = Journal(tmp_path).load(result.plan_id)
    for lines in (transcript(result), transcript_of(entry)):
        commands = [line for line in lines if line and not line.startswith("#")]
        assert commands == ["printf %s 'text of 1' > 1.txt"]
        assert all(ord(sign) >= 32 and sign != "\u2028" for line in lines for sign in line)
        assert "# rm not-reached" in lines
        assert any(line.startswith("# 2. Write 1.txt: done in") for line in lines)
        assert "# cluster axiom-test (https://127.0.0.1:6443), begun" in lines[1]


def test_the_transcript_is_a_script_that_does_the_same(folder: Path, tmp_path: Path) -> None:
    result, _ = perform(file_plan(folder, 3), tmp_path / "state")
    again = tmp_path / "again"
    again.mkdir()
    script = "\n".join(transcript(result))
    subprocess.run(["sh", "-eu"], input=script, text=True, cwd=again, check=True, timeout=30)
    for number in range(3):
        assert (again / f"{number}.txt").read_text() == f"text of {number}"


def test_what_cannot_be_taken_back_at_all_is_said_once() -> None:
    first, second = Act("a"), Act("b")
    for step in (first, second):
        step.undo_note = "what is acted is acted"
    plan = Plan("k", "s", CLUSTER, (first, second))
    assert undo_words(plan) == ("none of it can be undone: what is acted is acted",)
