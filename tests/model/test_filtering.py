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
