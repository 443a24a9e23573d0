"""The filter line: words, inverse words, label selectors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.model.filtering import parse_filter, parse_selector
from axiom_tui.model.problem import AxiomError

LABELS = {"kubernetes.io/arch": "arm64", "pool": "internal", "empty": ""}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", True),
        ("wall", True),
        ("WALL ready", True),
        ("wall offline", False),
        ("!offline", True),
        ("!wall", False),
        ("!wall offline", True),
        ("!wall ready", False),
        ("!wal", True),
        ("!WALL-A-1", False),
        ("!●", False),
        ("!", True),
        ("-l", True),
        ("-l kubernetes.io/arch=arm64", True),
        ("-l kubernetes.io/arch==arm64,pool=internal", True),
        ("-l kubernetes.io/arch!=arm64", False),
        ("-l nope!=x", True),
        ("-l pool", True),
        ("-l !pool", False),
        ("-l !nope , pool in (internal, external)", True),
        ("-l pool notin (internal)", False),
        ("-l empty=", True),
    ],
)
def test_what_stays(text: str, kept: bool) -> None:
    assert parse_filter(text).keeps("wall-a-1 ● ready", LABELS) is kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("ready", ["wall-a-1 ● ready", "wall-a-10 ✗ notready"]),
        ("!ready", ["wall-a-10 ✗ notready"]),
        ("!notready", ["wall-a-1 ● ready"]),
        ("!wall-a-1", ["wall-a-10 ✗ notready"]),
    ],
)
def test_to_drop_takes_whole_words(text: str, kept: list[str]) -> None:
    """Who hides what is Ready looks for what is NotReady."""
    rows = ["wall-a-1 ● ready", "wall-a-10 ✗ notready"]
    assert [row for row in rows if parse_filter(text).keeps(row, {})] == kept


@given(st.text(min_size=1), st.text())
def test_nothing_is_dropped_that_would_not_be_kept(word: str, row: str) -> None:
    """What ``/!word`` hides is among what ``/word`` shows."""
    drop, keep = parse_filter(f"!{word}"), parse_filter(word)
    if drop.words and keep.words == drop.words and not keep.inverse and not keep.selector:
        assert drop.keeps(row.lower(), {}) or keep.keeps(row.lower(), {})


@pytest.mark.parametrize("text", ["a=b=c", "a,,b", "=x", "a in b", "a in (b", ",", "a b"])
def test_a_broken_selector_says_where(text: str) -> None:
    with pytest.raises(AxiomError, match="cannot be read at"):
        parse_selector(text)


@given(st.text())
def test_any_text_is_a_filter_or_a_sentence(text: str) -> None:
    try:
        wanted = parse_filter(text)
    except AxiomError as error:
        assert error.problem.remedy  # noqa: PT017
    else:
        wanted.keeps("some row", LABELS)
