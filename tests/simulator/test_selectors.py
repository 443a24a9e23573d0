"""Label selectors: the grammar, and the complaints of the real parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.simulator.resources import LEASES, NODES
from axiom_tui.simulator.selectors import matches_label_selector, parse_fields, parse_labels
from axiom_tui.simulator.statuses import ApiError

LABELS = {"a": "1", "b": "2", "axiom.technat.ch/core": "true", "empty": ""}


@pytest.mark.parametrize(
    ("text", "selects"),
    [
        ("", True),
        ("a=1", True),
        ("a==1,b!=1", True),
        ("a=2", False),
        ("nope!=x", True),
        ("a", True),
        ("!a", False),
        ("!nope", True),
        ("a in (1, 2)", True),
        ("a notin (1,2)", False),
        ("nope notin (1)", True),
        ("nope in (1)", False),
        ("empty=", True),
        ("empty in (,x)", True),
        ("b>1", True),
        ("b<2", False),
        ("axiom.technat.ch/core=true", True),
        (" a = 1 , b = 2 ", True),
    ],
)
def test_selectors(text: str, selects: bool) -> None:
    assert parse_labels(text)(LABELS) == selects


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        ("=b", "found '=', expected: !, identifier, or 'end of string'"),
        ("a=1 b=2", "found 'b', expected: ',' or 'end of string'"),
        ("a=1,", "found '', expected: identifier after ','"),
        ("a in 1", "unable to parse requirement: found '1' expected: '('"),
        ("a in (1", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a ~ b", "unable to parse requirement: found '~', expected: in, notin, =, ==, !=, gt, lt"),
    ],
)
def test_complaints(text: str, complaint: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_labels(text)
    assert str(caught.value) == complaint
    assert caught.value.code == 400


def test_a_bad_value_in_a_selector_names_the_rule() -> None:
    with pytest.raises(ApiError, match=r'values\[0\]\[a\]: Invalid value: "-x": a valid label must be'):
        parse_labels("a=-x")


_WORDS = st.text("abc", min_size=1, max_size=3)


@given(st.dictionaries(_WORDS, _WORDS), _WORDS, st.lists(_WORDS, min_size=1, max_size=3))
def test_in_is_notin_turned_round_for_labels_that_are_there(
    labels: dict[str, str], key: str, values: list[str]
) -> None:
    chosen = ",".join(values)
    inside = parse_labels(f"{key} in ({chosen})")(labels)
    outside = parse_labels(f"{key} notin ({chosen})")(labels)
    assert inside != outside
    expression = {"key": key, "operator": "In", "values": values}
    assert matches_label_selector({"matchExpressions": [expression]}, labels) == inside
    assert parse_labels(key)(labels) == (key in labels) != parse_labels(f"!{key}")(labels)


def test_field_selectors() -> None:
    fields = {"metadata.name": "n1", "spec.unschedulable": "true"}
    assert parse_fields("metadata.name=n1,spec.unschedulable!=false", NODES)(fields)
    assert not parse_fields("metadata.name!=n1", NODES)(fields)
    for text, resource, complaint in (
        ("x", NODES, "invalid selector: 'x'; can't understand 'x'"),
        ("spec.color=red", NODES, "field label not supported: spec.color"),
        (
            "spec.holder=x",
            LEASES,
            '"spec.holder" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
    ):
        with pytest.raises(ApiError) as caught:
            parse_fields(text, resource)
        assert str(caught.value) == complaint
