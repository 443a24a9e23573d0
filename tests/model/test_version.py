"""Versions and their skew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.model.version import Version, is_newer, minors_behind

parts = st.integers(0, 99)


@given(parts, parts, parts, parts)
def test_what_k3s_prints_is_read(major: int, minor: int, patch: int, build: int) -> None:
    assert Version.parse(f"v{major}.{minor}.{patch}+k3s{build}") == Version(major, minor, patch, build)


@given(st.text())
def test_any_text_is_a_version_or_none(text: str) -> None:
    version = Version.parse(text)
    assert version is None or version >= Version(0, 0)


@pytest.mark.parametrize(
    ("kubelet", "behind", "newer"),
    [("v1.33.4+k3s1", 0, False), ("v1.31.9", 2, False), ("v1.34.0", -1, True), ("v1.33.9", 0, False)],
)
def test_skew_counts_minors(kubelet: str, behind: int, newer: bool) -> None:
    server, node = Version.parse("v1.33.4+k3s1"), Version.parse(kubelet)
    assert server
    assert node
    assert minors_behind(node, server) == behind
    assert is_newer(node, server) is newer
