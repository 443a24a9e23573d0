"""Bodies in protobuf: what kubectl sends is read, everything else is refused in good order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.simulator.protobuf import decode
from axiom_tui.simulator.statuses import ApiError


def _text(number: int, text: str | bytes) -> bytes:
    content = text if isinstance(text, bytes) else text.encode()
    assert len(content) < 128
    return bytes((number << 3 | 2, len(content))) + content


def _body(kind: str, version: str, content: bytes) -> bytes:
    return b"k8s\0" + _text(1, _text(1, version) + _text(2, kind)) + _text(2, content)


def test_an_access_review_as_kubectl_sends_it() -> None:
    attributes = _text(1, "web") + _text(2, "patch") + _text(3, "") + _text(5, "nodes")
    body = _body("SelfSubjectAccessReview", "authorization.k8s.io/v1", _text(2, _text(1, attributes)))
    assert decode(body) == {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "spec": {
            "resourceAttributes": {"namespace": "web", "verb": "patch", "group": "", "resource": "nodes"}
        },
    }


def test_numbers_maps_and_negative_values() -> None:
    labels = _text(11, _text(1, "a") + _text(2, "b")) + _text(11, _text(1, "c") + _text(2, "d"))
    negative = b"\x10" + b"\xff" * 9 + b"\x01"
    content = _text(1, _text(1, "core") + labels) + negative + b"\x18\x01"
    decoded = decode(_body("PriorityClass", "scheduling.k8s.io/v1", content))
    assert decoded["metadata"] == {"name": "core", "labels": {"a": "b", "c": "d"}}
    assert (decoded["value"], decoded["globalDefault"]) == (-1, True)


def test_kinds_that_are_not_read_are_415() -> None:
    with pytest.raises(ApiError) as caught:
        decode(_body("Deployment", "apps/v1", b""))
    assert caught.value.code == 415


def _code(body: bytes) -> int:
    """The status that a body leads to; 0 when it can be read."""
    try:
        decode(body)
    except ApiError as error:
        return error.code
    return 0


@given(st.binary(max_size=60), st.integers(1, 5))
def test_garbage_is_a_refusal_and_never_a_crash(garbage: bytes, number: int) -> None:
    nested = _text(2, _text(number, garbage))
    for body in (
        garbage,
        b"k8s\0" + garbage,
        _body("PriorityClass", "scheduling.k8s.io/v1", garbage),
        _body("Lease", "coordination.k8s.io/v1", nested),
    ):
        assert _code(body) in (0, 400, 415)
