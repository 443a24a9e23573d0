"""Plans as screens and headless commands run them: journal, lock and identity are put together right."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from axiom_tui.config import Settings
from axiom_tui.plans import proposal as proposals
from axiom_tui.plans.events import Event, Outcome, Waiting
from axiom_tui.plans.proposal import Means
from tests.plans.cluster import Simulated, simulated
from tests.plans.test_label_nodes import WANTED

#: Argument: kubeconfig. It kills itself when the second step has begun.
KILLED = """
import os, signal, sys
from pathlib import Path
from axiom_tui.clients.kubernetes import KubernetesOptions, connect
from axiom_tui.config import Settings
from axiom_tui.plans.events import StepStarted
from axiom_tui.plans.proposal import Means, propose_labels

def watch(event):
    if isinstance(event, StepStarted) and event.index == 1:
        os.kill(os.getpid(), signal.SIGKILL)

means = Means(connect(KubernetesOptions((Path(sys.argv[1]),))), Settings())
propose_labels(means).run(watch)
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulated]:
    monkeypatch.setenv("AXIOM_TUI_STATE", str(tmp_path / "state"))
    with simulated(tmp_path) as running:
        yield running


def test_a_killed_plan_resumes_at_once_since_its_own_lock_is_known_to_be_dead(cluster: Simulated) -> None:
    command = [sys.executable, "-c", KILLED, str(cluster.kubeconfig())]
    assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL
    means = Means(cluster.client(), Settings())
    (entry,) = means.journal.entries()
    assert entry.cut_short
    holder = means.lock().look()
    assert holder is not None
    assert holder.plan_id == entry.plan_id  # the lock of the dead process is still there
    events: list[Event] = []
    result = proposals.resume(means, entry.plan_id).run(events.append)
    assert result.outcome is Outcome.DONE, result.problem
    assert not any(isinstance(event, Waiting) and event.index == -1 for event in events)
    assert cluster.pools() == WANTED


def test_a_plan_undone_is_as_before(cluster: Simulated) -> None:
    before, means = cluster.pools(), Means(cluster.client(), Settings())
    result = proposals.propose_labels(means).run(lambda event: None)
    assert result.outcome is Outcome.DONE, result.problem
    assert cluster.pools() == WANTED
    undone = proposals.undo(means, result.plan_id).run(lambda event: None)
    assert undone.outcome is Outcome.DONE, undone.problem
    assert cluster.pools() == before
