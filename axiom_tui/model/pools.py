"""Load-balancer pools: which pool a node is in, and which it should be in.

The one home of the pool rule (facts: operator.md, "the rule and its contradiction"; K3s ``servicelb.go``).
A node serves a pool only if ``enablelb`` is ``true`` **and** ``lbpool`` names it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from axiom_tui.model.naming import Role
from axiom_tui.model.node import Node, is_public_ip

LABEL_PREFIX = "svccontroller.k3s.cattle.io"
ENABLE_LABEL = f"{LABEL_PREFIX}/enablelb"
POOL_LABEL = f"{LABEL_PREFIX}/lbpool"


class PoolPolicyName(StrEnum):
    """How workers are shared out; the letters are those of k3s-and-backups.md, 2.5."""

    PUBLIC_IS_EXTERNAL = "public-is-external"  # A: the default
    ALL_INTERNAL = "all-internal"  # B: no external pool


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """The rule in force. ``overrides`` maps a folded node name to a pool, or to "" for no labels."""

    policy: PoolPolicyName = PoolPolicyName.PUBLIC_IS_EXTERNAL
    internal: str = "internal"
    external: str = "external"
    overrides: Mapping[str, str] = field(default_factory=dict)

    def wanted(self, node: Node, role: Role) -> str:
        """The pool that the node should be in; "" for none."""
        if node.name in self.overrides:
            return self.overrides[node.name]
        if role is Role.SERVER:
            return ""
        if self.policy is PoolPolicyName.PUBLIC_IS_EXTERNAL and public_ips(node):
            return self.external
        return self.internal

    @property
    def pools(self) -> tuple[str, ...]:
        if self.policy is PoolPolicyName.ALL_INTERNAL:
            return (self.internal,)
        return (self.internal, self.external)

    def wanted_labels(self, node: Node, role: Role) -> dict[str, str | None]:
        """What the two labels should be; None for "should not be there"."""
        return labels_for(self.wanted(node, role))


def doubts(
    chosen: Mapping[str, str], by_policy: Mapping[str, str], asked_for: Collection[str], policy: PoolPolicy
) -> tuple[str, ...]:
    """What speaks against pools that somebody chose by hand, in lines as those of an effect.

    ``chosen`` and ``by_policy`` are pools by the nodes' names as shown, "" for none; ``asked_for`` are the
    pools that Services ask for.
    """
    lines = []
    others = [
        f"{name} ({by_policy[name] or 'none'})"
        for name, pool in chosen.items()
        if by_policy.get(name, pool) != pool
    ]
    if others:
        lines.append(
            f"warning: The policy wants another pool for {', '.join(others)}, so it stays a finding; if it "
            "is meant to last, say so in pools.overrides."
        )
    unknown = {pool for pool in chosen.values() if pool} - {*asked_for, *policy.pools}
    lines += [
        f"warning: No Service asks for the pool {pool}: nodes in it serve only Services that ask for no pool."
        for pool in sorted(unknown)
    ]
    return tuple(lines)


def labels_for(pool: str) -> dict[str, str | None]:
    """The two labels that put a node into a pool; None (absent) for both when ``pool`` is empty."""
    if not pool:
        return {ENABLE_LABEL: None, POOL_LABEL: None}
    return {ENABLE_LABEL: "true", POOL_LABEL: pool}


def found_labels(node: Node) -> dict[str, str | None]:
    """What the two labels are."""
    return {ENABLE_LABEL: node.labels.get(ENABLE_LABEL), POOL_LABEL: node.labels.get(POOL_LABEL)}


def found_pool(node: Node) -> str:
    """The pool that the node really serves; "" for none (``lbpool`` without ``enablelb`` serves none)."""
    return node.labels.get(POOL_LABEL, "") if node.labels.get(ENABLE_LABEL) == "true" else ""


def public_ips(node: Node) -> tuple[str, ...]:
    """The node's ExternalIPs that the internet can reach."""
    return tuple(ip for ip in node.external_ips if is_public_ip(ip))
