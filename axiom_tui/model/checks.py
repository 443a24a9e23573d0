"""A check: one named rule that was looked at before a plan, with what it found and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class CheckState(StrEnum):
    """PASS: fine. WARN: worth knowing. FAIL: the plan must not go on, unless overridden by name."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """``rule`` is the name by which a fail is overridden, on screen and on the command line."""

    rule: str
    state: CheckState
    sentence: str
    remedy: str = ""
    overridable: bool = True


def standing_fails(checks: Sequence[Check], overridden: Sequence[str]) -> tuple[Check, ...]:
    """The fails that still stand in the way."""
    return tuple(
        check
        for check in checks
        if check.state is CheckState.FAIL and not (check.overridable and check.rule in overridden)
    )
