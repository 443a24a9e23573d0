"""Every state has its glyph and its word, and no two read the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from axiom_tui.model.cells import Cell
from axiom_tui.model.checks import CheckState
from axiom_tui.model.finding import Severity
from axiom_tui.model.state_words import CHECKS, PLANS, SEVERITIES, STEPS
from axiom_tui.plans.events import Outcome, StepState


@pytest.mark.parametrize(
    ("states", "words"),
    [(Severity, SEVERITIES), (CheckState, CHECKS), (StepState, STEPS), (Outcome, PLANS)],
    ids=["severity", "check", "step", "plan"],
)
def test_every_state_is_a_glyph_and_a_word(states: Iterable[object], words: Mapping[object, Cell]) -> None:
    assert set(states) <= set(words)
    texts = [cell.text for cell in words.values()]
    assert len(set(texts)) == len(texts)
    for cell in words.values():
        glyph, _, word = cell.text.partition(" ")
        assert len(glyph) == 1
        assert not glyph.isalnum()
        assert word
