"""How a finding reads beside its subject."""

from __future__ import annotations

import pytest

from axiom_tui.model.finding import Finding, Severity
from screens.findings import beside_subject


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("WALL-A-1 is NotReady since 11:02.", "is NotReady since 11:02."),
        ("WALL-A-1: no load-balancer labels.", "no load-balancer labels."),
        ("The Tailscale key of WALL-A-1 expires in 4 days.", "The Tailscale key expires in 4 days."),
        (
            "Key expiry is not disabled on the server WALL-A-1 (its key ends 27 Feb).",
            "Key expiry is not disabled on the server (its key ends 27 Feb).",
        ),
        ("The tailnet device WALL-A-1 waits for approval.", "The tailnet device waits for approval."),
        ("The etcd member on WALL-A-1 does not vote.", "The etcd member does not vote."),
        ("No tailnet device belongs to WALL-A-1.", "No tailnet device belongs to it."),
        ("The servers stand in different places.", "The servers stand in different places."),
        ("WALL-A-10 and WALL-A-1-b are others.", "WALL-A-10 and WALL-A-1-b are others."),
    ],
)
def test_the_subject_is_not_said_twice(sentence: str, shown: str) -> None:
    finding = Finding("rule", Severity.WARNING, "wall-a-1", sentence, "", name="WALL-A-1")
    assert beside_subject(finding) == shown
