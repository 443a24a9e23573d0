"""The lock file: held by a living process only, whatever the file says."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from axiom_tui.model.problem import AxiomError, ProblemKind
from axiom_tui.plans.file_lock import FileLock
from axiom_tui.plans.lock import LockHeld
from axiom_tui.plans.step import CancelToken
from tests.plans.world import ANNA, BERT

HOLD = """
import sys
from pathlib import Path
from axiom_tui.plans.file_lock import FileLock
from axiom_tui.plans.identity import Identity
FileLock(Path(sys.argv[1]), Identity("carl", "desk", 33)).acquire("restore the cluster", "plan-of-carl")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "lock"


def test_one_holds_it_the_other_is_told(path: Path) -> None:
    first, second = FileLock(path, ANNA), FileLock(path, BERT)
    assert second.look() is None
    first.acquire("restore the cluster", "plan")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(LockHeld) as caught:
        second.acquire("label WALL-A-3", "plan-b")
    assert "anna@desk (11) is changing this cluster since" in caught.value.problem.sentence
    assert "restore the cluster" in caught.value.problem.sentence
    holder = second.look()
    assert holder is not None
    assert not holder.expired
    first.release()
    assert second.look() is None
    second.acquire("label WALL-A-3", "plan-b")
    second.release()


def test_a_killed_holder_holds_nothing(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        lock = FileLock(path, BERT)
        with pytest.raises(LockHeld, match=r"carl@desk \(33\)"):
            lock.acquire("b", "plan-b")
        child.kill()
    assert "carl" in path.read_text()  # what it wrote is still there
    lock.acquire("b", "plan-b")
    lock.release()


def test_waiting_ends_when_it_is_given_back_or_cancelled(path: Path) -> None:
    first, second = FileLock(path, ANNA), FileLock(path, BERT)
    first.acquire("a", "plan")
    token = CancelToken()
    token.cancel()
    with pytest.raises(AxiomError) as caught:
        second.acquire("b", "plan-b", wait=60, cancel=token)
    assert caught.value.problem.kind is ProblemKind.CANCELLED
    told = threading.Event()
    waiter = threading.Thread(
        target=lambda: second.acquire("b", "plan-b", wait=60, on_waiting=lambda *_: told.set())
    )
    waiter.start()
    assert told.wait(20)
    first.release()
    waiter.join(20)
    with pytest.raises(LockHeld, match="bert"):
        first.acquire("a", "plan")
    second.release()


def test_a_removed_file_is_a_lost_lock(path: Path) -> None:
    lock = FileLock(path, ANNA)
    assert str(lock.lost) == "None"
    lock.acquire("a", "plan")
    assert str(lock.lost) == "None"
    path.unlink()
    assert "removed or replaced" in str(lock.lost)
    path.touch()
    assert "removed or replaced" in str(lock.lost)
    lock.release()


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AxiomError, match="cannot be used"):
        FileLock(tmp_path / "file" / "lock", ANNA).acquire("a", "plan")


def test_what_a_killed_holder_wrote_is_gone_when_another_one_writes(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"holder": "carla@desk (33)"}' + " " * 500 + "}")
    lock, other = FileLock(path, ANNA), FileLock(path, BERT)
    lock.acquire("found a cluster", "plan-a")
    holder = other.look()
    assert holder is not None
    assert (holder.who, holder.what_for) == (str(ANNA), "found a cluster")
    lock.release()
    assert path.read_bytes() == b""
