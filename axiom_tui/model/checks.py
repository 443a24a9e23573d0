"""A check: one named rule that was looked at before a plan, with what it found and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class CheckState(StrEnum):
    """PASS: fine. WARN: worth knowing. FAIL: the plan must not go on, unless it is overridden by name or
    agreed to by a typed word."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """``rule`` is the name by which a fail is overridden, on screen and on the command line. ``typed_word``
    is what its plan wants typed for it: the fail then needs no override, since nobody can miss it."""

    rule: str
    state: CheckState
    sentence: str
    remedy: str = ""
    overridable: bool = True
    typed_word: str = ""


def standing_fails(checks: Sequence[Check], overridden: Sequence[str]) -> tuple[Check, ...]:
    """The fails that still stand in the way."""
    return tuple(
        check
        for check in checks
        if check.state is CheckState.FAIL
        and not check.typed_word
        and not (check.overridable and check.rule in overridden)
    )
