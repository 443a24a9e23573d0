"""The naming scheme and the case folding between the systems."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.model.naming import NamingScheme, Role, fold, host_name_fault, natural_key

SCHEME = NamingScheme()


@given(st.sampled_from(Role), st.integers(0, 10**6))
def test_every_name_of_the_scheme_is_read_back_in_any_case(role: Role, number: int) -> None:
    name = f"{SCHEME.prefix(role)}{number}"
    for spelling in (name, name.lower(), f"{name.lower()}.crocodile-bee.ts.net."):
        assert SCHEME.role(spelling) is role
        assert SCHEME.number(spelling) == number
        assert SCHEME.display(fold(spelling)) == name


@pytest.mark.parametrize("name", ["wall-a-", "wall-a-x", "m-o-01", "wall-a-1x", "wall-a-١", "server", ""])
def test_other_names_are_outside(name: str) -> None:
    assert SCHEME.role(name) is None
    assert SCHEME.display(name) == name


@given(st.sampled_from(Role), st.lists(st.integers(1, 99), unique=True))
def test_the_next_name_is_free_and_above_all_others(role: Role, numbers: list[int]) -> None:
    taken = [f"{SCHEME.prefix(role)}{number}".lower() for number in numbers]
    proposed = SCHEME.next_free(role, [*taken, "m-o-500x", "strange"])
    assert fold(proposed) not in taken
    assert SCHEME.number(proposed) == max(numbers, default=0) + 1


@given(st.lists(st.integers(0, 10**4)))
def test_natural_order_is_the_order_of_the_numbers(numbers: list[int]) -> None:
    names = [f"wall-a-{number}" for number in numbers]
    assert sorted(names, key=natural_key) == [f"wall-a-{number}" for number in sorted(numbers)]


@given(st.text())
def test_natural_keys_of_any_texts_compare(text: str) -> None:
    assert natural_key(text) <= natural_key(text + "a")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("WALL-A-3", None),
        ("wall-a-3.example", None),
        ("", "needs a name"),
        ("a" * 64, "64 characters"),
        ("under_score", "only letters"),
        ("-wall", "only letters"),
        ("wall-", "only letters"),
    ],
)
def test_host_names_that_kubernetes_refuses_are_refused_in_words(name: str, fault: str | None) -> None:
    found = host_name_fault(name)
    assert found is None if fault is None else fault in (found or "")
