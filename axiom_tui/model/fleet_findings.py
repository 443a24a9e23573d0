"""The rules that find what is wrong with the fleet as a whole. All pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from axiom_tui.model.finding import Finding, Severity, Wizard
from axiom_tui.model.fleet import Observation, Row
from axiom_tui.model.naming import Role
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL
from axiom_tui.model.rules import Rules


def fleet_findings(rows: Sequence[Row], seen: Observation, rules: Rules) -> tuple[Finding, ...]:
    """The findings that belong to no single row."""
    return (*_pools_empty(rows, seen, rules), *_even_servers(rows), *_servers_apart(rows))


def _pools_empty(rows: Sequence[Row], seen: Observation, rules: Rules) -> Iterator[Finding]:
    if not any(row.node is not None and ENABLE_LABEL in row.node.labels for row in rows):
        return  # without any enablelb label servicelb ignores pools: every node serves
    asked: dict[str, list[str]] = {}
    for service in seen.services:
        if (
            service.type == "LoadBalancer"
            and not service.load_balancer_class
            and service.labels.get(POOL_LABEL)
        ):
            asked.setdefault(service.labels[POOL_LABEL], []).append(service.full_name)
    for pool in sorted({*rules.pools.pools, *asked}):
        members = [row.node for row in rows if row.node is not None and row.pool_found == pool]
        if any(node.is_ready for node in members) or not (members or pool in asked):
            continue  # a pool without nodes that nobody asks for is no fault
        why = "none of its nodes is Ready" if members else "no node is in it"
        waiting = ", ".join(sorted(asked.get(pool, ())))
        yield Finding(
            "pool-empty",
            Severity.ERROR if waiting else Severity.WARNING,
            f"pool/{pool}",
            f"The load-balancer pool {pool} is empty: {why}"
            + (f"; nothing serves {waiting}." if waiting else "; no Service asks for it yet."),
            f"Put a node into it: l, or `axiom-tui apply labels NODE --pool {pool}`.",
            f"pool {pool} is empty",
            wizard=Wizard.LABELS,
        )


def _servers(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.node is not None and row.role is Role.SERVER]


def _even_servers(rows: Sequence[Row]) -> Iterator[Finding]:
    count = len(_servers(rows))
    if count and count % 2 == 0:
        tolerated = count - (count // 2 + 1)
        yield Finding(
            "servers-even",
            Severity.WARNING,
            "cluster",
            f"{count} servers survive the loss of {tolerated} of them, as {count - 1} would: one more is one "
            "more to fail.",
            "Add or remove a server: etcd wants an odd number.",
            f"{count} servers",
        )


def _servers_apart(rows: Sequence[Row]) -> Iterator[Finding]:
    places = sorted({row.place for row in _servers(rows) if row.place})
    if len(places) > 1:
        yield Finding(
            "servers-apart",
            Severity.WARNING,
            "cluster",
            f"The servers stand in different places ({', '.join(places)}); "
            "K3s does not support etcd across sites.",
            "Keep all servers in one place, and watch the round-trip times between them until then.",
            "servers in different places",
        )
