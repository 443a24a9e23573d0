"""The pool rule: who should be in which pool, and who is."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.model.naming import Role
from axiom_tui.model.node import TAILNET_V4, Node, is_public_ip, is_tailnet_ip
from axiom_tui.model.pools import (
    ENABLE_LABEL,
    POOL_LABEL,
    PoolPolicy,
    PoolPolicyName,
    doubts,
    found_labels,
    found_pool,
    labels_for,
)
from tests.model.strategies import nodes


@given(nodes)
def test_default_policy(node: Node) -> None:
    policy = PoolPolicy()
    assert policy.wanted(node, Role.SERVER) == ""
    is_public = any(is_public_ip(ip) for ip in node.external_ips)
    assert policy.wanted(node, Role.AGENT) == ("external" if is_public else "internal")


@given(nodes)
def test_all_internal_has_no_external_pool(node: Node) -> None:
    policy = PoolPolicy(PoolPolicyName.ALL_INTERNAL)
    assert policy.wanted(node, Role.AGENT) == "internal"
    assert policy.pools == ("internal",)


@given(nodes)
def test_an_override_wins(node: Node) -> None:
    policy = PoolPolicy(overrides={node.name: "special"})
    assert policy.wanted(node, Role.SERVER) == "special"
    assert PoolPolicy(overrides={node.name: ""}).wanted(node, Role.AGENT) == ""


@given(nodes)
def test_a_node_serves_a_pool_only_when_enabled(node: Node) -> None:
    pool = found_pool(node)
    enabled = node.labels.get(ENABLE_LABEL) == "true"
    assert pool == (node.labels.get(POOL_LABEL, "") if enabled else "")
    if pool:
        assert found_labels(node) == labels_for(pool)


_octets = st.sampled_from([*map(str, range(258)), "064", "00", "", " 1", "1 ", "+1", "1_0", "٣", "0x1"])


@given(
    st.one_of(st.just("100"), _octets),
    st.one_of(st.integers(60, 130).map(str), _octets),
    _octets,
    _octets,
    st.sampled_from(["", ".", "\n", "/32"]),
)
def test_a_tailnet_address_is_what_ipaddress_takes_for_one(
    one: str, two: str, three: str, four: str, rest: str
) -> None:
    text = f"{one}.{two}.{three}.{four}{rest}"
    try:
        wanted = IPv4Address(text) in TAILNET_V4
    except ValueError:
        wanted = False
    assert is_tailnet_ip(text) is wanted


@given(st.integers(0, 2**22 - 1))
def test_every_address_of_the_range_is_one_of_the_tailnet(number: int) -> None:
    address = str(TAILNET_V4[number])
    assert is_tailnet_ip(address)
    assert not is_public_ip(address)


def test_what_speaks_against_a_choice() -> None:
    chosen = {"WALL-A-1": "games", "WALL-A-2": "games", "WALL-A-3": ""}
    by_policy = {"WALL-A-1": "games", "WALL-A-2": "internal", "WALL-A-3": "external"}
    policy, unknown = doubts(chosen, by_policy, ("internal",), PoolPolicy())
    assert "another pool for WALL-A-2 (internal), WALL-A-3 (external), so" in policy
    assert unknown.startswith("warning: No Service asks for the pool games: ")
    assert doubts({"WALL-A-1": "games"}, by_policy, ("games",), PoolPolicy()) == ()
    # Whose pool the policy knows is not called unknown, and labels taken off are no pool.
    assert doubts({"A": "external", "B": ""}, {"A": "external", "B": ""}, (), PoolPolicy()) == ()


def test_addresses() -> None:
    assert is_tailnet_ip("100.64.0.1")
    assert is_tailnet_ip("fd7a:115c:a1e0::1")
    assert not is_tailnet_ip("100.128.0.1")
    assert not is_tailnet_ip("nonsense")
    assert is_public_ip("116.203.10.1")
    for private in ("10.0.0.1", "192.168.0.1", "100.100.0.1", "fd00::1", "127.0.0.1", ""):
        assert not is_public_ip(private)
