"""The message log: what is worth a line when a source changes, and what is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from axiom_tui.model.fleet import Cluster, Fleet, Observation, SourceState, SourceStatus
from axiom_tui.model.headline import turns
from axiom_tui.model.problem import Problem, ProblemKind

NOW = datetime(2026, 11, 22, 13, 2, tzinfo=UTC)
ABSENT = Problem(ProblemKind.ABSENT, "The API server has no such group.", "Nothing to do.")
BEFORE = Fleet(Cluster("axiom-prod", "axiom", ""), NOW, Observation(), (), (), ())


def fleet(name: str, state: SourceState, problem: Problem | None = None) -> Fleet:
    return replace(BEFORE, sources=(SourceStatus(name, state, NOW, problem=problem),))


@pytest.mark.parametrize("before", [BEFORE, fleet("gateways", SourceState.LOADING)])
def test_what_is_not_installed_is_no_news(before: Fleet) -> None:
    assert turns(before, fleet("gateways", SourceState.OFF, ABSENT)) == ()


def test_what_goes_away_while_it_is_observed_is_news() -> None:
    live = fleet("gateways", SourceState.LIVE)
    (line,) = turns(live, fleet("gateways", SourceState.OFF, ABSENT))
    assert "gateways is off: The API server has no such group." in line


def test_without_tailscale_it_is_said_at_once() -> None:
    (line,) = turns(BEFORE, fleet("tailnet", SourceState.OFF, ABSENT))
    assert "tailnet is off" in line


def test_a_failure_and_its_end_are_news() -> None:
    failed = fleet("nodes", SourceState.FAILED, ABSENT)
    assert len(turns(BEFORE, failed)) == 1
    assert len(turns(failed, fleet("nodes", SourceState.LIVE))) == 1
    assert turns(BEFORE, fleet("nodes", SourceState.LIVE)) == ()
