"""Resolving names with a deadline, whatever the resolver does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from axiom_tui.clients.dns import resolve
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind


def problem_of(call: Callable[[], object]) -> Problem:
    with pytest.raises(AxiomError) as caught:
        call()
    assert caught.value.problem.remedy
    return caught.value.problem


def entry(family: int, address: str) -> tuple[Any, ...]:
    rest = (0,) if family == socket.AF_INET else (0, 0, 0)
    return (family, socket.SOCK_STREAM, 6, "", (address, *rest))


def test_the_systems_own_resolver_is_asked() -> None:
    """/etc/hosts is part of it, so this needs no network."""
    found = resolve("localhost")
    assert found.name == "localhost"
    assert "127.0.0.1" in found.ipv4 or "::1" in found.ipv6


def test_an_address_resolves_to_itself() -> None:
    assert resolve("100.64.0.3").ipv4 == ("100.64.0.3",)
    assert resolve("fd7a:115c:a1e0::3").ipv6 == ("fd7a:115c:a1e0::3",)


def test_both_families_in_the_resolvers_order_without_doubles() -> None:
    answer = [
        entry(socket.AF_INET6, "2001:db8::7"),
        entry(socket.AF_INET, "198.51.100.7"),
        entry(socket.AF_INET, "198.51.100.1"),
        entry(socket.AF_INET, "198.51.100.7"),
    ]
    found = resolve("m-o-1.axiom.technat.ch", lookup=lambda *_: answer)
    assert found.ipv4 == ("198.51.100.7", "198.51.100.1")
    assert found.ipv6 == ("2001:db8::7",)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), ProblemKind.UNRESOLVED, "NXDOMAIN"),
        (socket.gaierror(socket.EAI_NODATA, "No address"), ProblemKind.UNRESOLVED, "has no address"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), ProblemKind.UNREACHABLE, "No name server"),
        (socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure"), ProblemKind.BROKEN, "Non-recoverable"),
        (OSError(24, "Too many open files"), ProblemKind.BROKEN, "Too many open files"),
    ],
)
def test_what_the_resolver_says_instead(error: OSError, kind: ProblemKind, words: str) -> None:
    def refuse(*_: object) -> list[Any]:
        raise error

    problem = problem_of(lambda: resolve("m-o-9.axiom.technat.ch", lookup=refuse))
    assert problem.kind is kind
    assert words in problem.sentence
    assert "m-o-9.axiom.technat.ch" in problem.sentence


def test_a_resolver_that_hangs_costs_the_deadline_and_no_more() -> None:
    ended = threading.Event()

    def hang(*_: object) -> list[Any]:
        ended.wait(30)
        return []

    try:
        problem = problem_of(lambda: resolve("m-o-1.axiom.technat.ch", deadline=0.05, lookup=hang))
    finally:
        ended.set()
    assert problem.kind is ProblemKind.TIMED_OUT
    assert "0.05 s" in problem.sentence


@pytest.mark.parametrize("name", ["", ".", "x" * 70 + ".ch", "a..b", "nul\0nul"])
def test_what_is_no_name(name: str) -> None:
    assert problem_of(lambda: resolve(name)).kind is ProblemKind.INVALID
