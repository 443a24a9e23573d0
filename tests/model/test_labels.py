"""Label values: Kubernetes' own rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.model.labels import label_arguments, label_value_fault


@pytest.mark.parametrize("value", ["", "a", "internal", "A.b_c-9", "x" * 63])
def test_what_kubernetes_takes(value: str) -> None:
    assert label_value_fault(value) is None


@pytest.mark.parametrize("value", ["-a", "a-", ".a", "a_", "a b", "a/b", "ä", "a\n", "x" * 64, "a=b", "٣"])
def test_what_kubernetes_refuses(value: str) -> None:
    assert label_value_fault(value)


@given(st.text(max_size=80))
def test_the_rule_has_no_gap(value: str) -> None:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    fine = not value or (
        len(value) <= 63
        and all(sign in letters + "-_." for sign in value)
        and value[0] in letters
        and value[-1] in letters
    )
    assert (label_value_fault(value) is None) == fine


def test_arguments_as_kubectl_takes_them() -> None:
    assert label_arguments({"a/b": "c", "d": None}) == "a/b=c d-"
