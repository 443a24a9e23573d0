"""The demo's world: what is told of it where it is needed, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from axiom_tui.config import STATE_VARIABLE, state_directory
from axiom_tui.demo import DemoWorld
from axiom_tui.model.problem import AxiomError
from axiom_tui.start import DemoOptions

DEADLINE = 30.0  # seconds

START = """
import sys, time
from axiom_tui.demo import DemoWorld
from axiom_tui.start import DemoOptions
world = DemoWorld.start(DemoOptions(nodes=3, still=True))
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary directories go; short, since sockets have short names."""
    with tempfile.TemporaryDirectory() as directory:
        monkeypatch.setenv("TMPDIR", directory)
        yield Path(directory)


@pytest.fixture
def parent(temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that runs the demo's world, in a process group of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", START], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    with process, process.stdout as said:
        try:
            assert said.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def directories(temporary: Path) -> list[Path]:
    return list(temporary.glob("axiom-*"))


def eventually(probe: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + DEADLINE
    while not probe():
        assert time.monotonic() < ends, f"waited in vain {what}"
        time.sleep(0.02)


def test_nothing_stays_when_the_program_is_killed(parent: subprocess.Popen[str], temporary: Path) -> None:
    assert len(directories(temporary)) == 1
    parent.kill()
    eventually(lambda: not directories(temporary), "for the directory to go")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_nothing_stays_when_the_terminal_goes(
    parent: subprocess.Popen[str], temporary: Path, number: signal.Signals
) -> None:
    """The terminal sends its signals to the whole group, so the child gets them too."""
    assert len(directories(temporary)) == 1
    os.killpg(parent.pid, number)
    eventually(lambda: not directories(temporary), "for the directory to go")


def test_a_world_that_does_not_come_up_says_why_and_leaves_nothing(temporary: Path) -> None:
    with pytest.raises(AxiomError, match=r"did not come up: .*nonsense"):
        DemoWorld.start(DemoOptions(faults=("nonsense",)))
    assert not directories(temporary)


@pytest.mark.parametrize("chosen", ["", "chosen"])
def test_the_journal_of_the_demo_goes_with_its_world_unless_another_place_is_named(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    monkeypatch.setenv(STATE_VARIABLE, chosen)  # so that it is as before when the test ends
    if not chosen:
        monkeypatch.delenv(STATE_VARIABLE)
    world = DemoWorld.start(DemoOptions(nodes=3, still=True))
    try:
        (directory,) = directories(temporary)
        assert state_directory() == (Path(chosen) if chosen else directory / "state")
    finally:
        world.stop()
