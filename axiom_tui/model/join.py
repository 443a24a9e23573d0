"""Joining the planes: Kubernetes node and tailnet device become one row, with its findings.

A node and a device belong together by a tailnet IP, else by their folded name (K3s and MagicDNS lower-case
names; facts: peers.md F1, F5). Rows whose parts did not change are taken over from the previous join, so
that a fleet of thousands costs little when one node changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from axiom_tui.model.finding import Finding, worst_first
from axiom_tui.model.findings import Context, Subject, recheck_at, row_findings, verdict
from axiom_tui.model.fleet import Observation, Row
from axiom_tui.model.fleet_findings import fleet_findings
from axiom_tui.model.naming import Role, fold, natural_key
from axiom_tui.model.node import Node
from axiom_tui.model.pools import found_pool
from axiom_tui.model.rules import Rules
from axiom_tui.model.tailnet import TailnetDevice
from axiom_tui.model.version import Version, minors_behind


@dataclass(frozen=True, slots=True)
class Matching:
    """The id of each node's device, and the other devices that claim its host name, by node name."""

    nodes: tuple[Node, ...] = ()
    devices: tuple[TailnetDevice, ...] = ()
    own: Mapping[str, str] = field(default_factory=dict)
    twins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, seen: Observation, rules: Rules) -> Matching:
        own = match_devices(seen.nodes, seen.devices)
        claims = defaultdict(list)
        for device in seen.devices:
            if device.host_name:
                claims[fold(device.host_name)].append(device)
        twins = {
            node.name: found
            for node in seen.nodes
            if (found := _twins(claims.get(fold(node.name), ()), own.get(node.name), rules))
        }
        ids = {name: device.id for name, device in own.items()}
        return cls(seen.nodes, seen.devices, ids, twins)

    def holds_for(self, seen: Observation) -> bool:
        """Whether nothing that it rests upon has changed: names, addresses, tags, and who is there."""
        return (
            len(seen.nodes) == len(self.nodes)
            and len(seen.devices) == len(self.devices)
            and all(map(_is_named_alike, seen.nodes, self.nodes))
            and (seen.devices is self.devices or all(map(_is_known_alike, seen.devices, self.devices)))
        )


def _is_named_alike(one: Node, two: Node) -> bool:
    return one is two or (one.name == two.name and one.internal_ips == two.internal_ips)


def _is_known_alike(one: TailnetDevice, two: TailnetDevice) -> bool:
    return one is two or (
        one.id == two.id
        and one.name == two.name
        and one.host_name == two.host_name
        and one.addresses == two.addresses
        and one.tags == two.tags
    )


@dataclass(frozen=True, slots=True)
class Joined:
    """Rows in fleet order, all findings worst first, and when time alone would change them."""

    rows: tuple[Row, ...] = ()
    findings: tuple[Finding, ...] = ()
    recheck_at: datetime | None = None
    version: str = ""
    subjects: Mapping[str, Subject] = field(default_factory=dict, repr=False)
    matching: Matching = field(default_factory=Matching, repr=False)


def join(
    seen: Observation, rules: Rules, now: datetime, version: str, previous: Joined | None = None
) -> Joined:
    """Join what was seen. ``now`` is aware and in the admin's zone; ``version`` the API server's, or "".

    ``previous`` must come from the same ``rules``.
    """
    context = Context(rules, now, Version.parse(version))
    old = previous if previous is not None and previous.version == version else Joined()
    old_rows = {row.key: row for row in old.rows}
    matching = old.matching if old.matching.holds_for(seen) else Matching.of(seen, rules)
    rows: list[Row] = []
    subjects = {}
    for subject in _subjects(seen, context, matching, old.subjects):
        subjects[subject.key] = subject
        row = old_rows.get(subject.key)
        before = old.subjects.get(subject.key)
        changed = subject is not before and subject != before
        if row is None or changed or _is_over(row.recheck_at, now):
            row = _row(subject, context)
        rows.append(row)
    rows = _in_order(rows, old_rows)
    found = [finding for row in rows for finding in row.findings]
    found.extend(fleet_findings(rows, seen, rules))
    return Joined(
        tuple(rows),
        tuple(sorted(found, key=worst_first)),
        min((row.recheck_at for row in rows if row.recheck_at), default=None),
        version,
        subjects,
        matching,
    )


def fleet_order(row: Row) -> tuple[int, int, tuple[tuple[int, int, str], ...]]:
    """Servers first, then agents, then devices that are no node; by number within each."""
    outside = row.node is None and row.cluster_known
    return (int(outside), 2 if outside else int(row.role is not Role.SERVER), natural_key(row.name))


def _in_order(rows: list[Row], before: Mapping[str, Row]) -> list[Row]:
    """The rows in fleet order: in that of the rows ``before`` where nothing that decides it has changed."""

    def keeps_its_place(row: Row) -> bool:
        old = before.get(row.key)
        return old is row or (old is not None and fleet_order(old) == fleet_order(row))

    if len(rows) == len(before) and all(map(keeps_its_place, rows)):
        by_key = {row.key: row for row in rows}
        return [by_key[key] for key in before]
    return sorted(rows, key=fleet_order)


def match_devices(nodes: Sequence[Node], devices: Sequence[TailnetDevice]) -> dict[str, TailnetDevice]:
    """Node name to its device: by tailnet IP first, else by folded name (then to one node only)."""
    by_address = {address: device for device in devices for address in device.addresses}
    matched: dict[str, TailnetDevice] = {}
    for node in nodes:
        device = next((by_address[ip] for ip in node.internal_ips if ip in by_address), None)
        if device is not None:
            matched[node.name] = device
    taken = {device.id for device in matched.values()}
    by_name: dict[str, TailnetDevice] = {}
    for device in devices:
        if device.id not in taken:
            by_name.setdefault(fold(device.host_name), device)
    # The MagicDNS name is unique and beats the host name, which several devices may share.
    by_name.update({device.folded_name: device for device in devices if device.id not in taken})
    for node in nodes:
        if node.name in matched:
            continue
        device = by_name.get(fold(node.name))
        if device is not None and device.id not in taken:
            matched[node.name] = device
            taken.add(device.id)
    return matched


def _subjects(
    seen: Observation, context: Context, matching: Matching, old: Mapping[str, Subject]
) -> Iterator[Subject]:
    """The subjects of all rows; one whose parts are the very same as in ``old`` is taken from there."""
    rules, server = context.rules, context.server_version
    tailnet_known, cluster_known = seen.tailnet is not None, bool(seen.nodes)
    devices = {device.id: device for device in seen.devices}
    for node in seen.nodes:
        own, usage = devices.get(matching.own.get(node.name, "")), seen.usage.get(node.name)
        twins = matching.twins.get(node.name, ())
        before = old.get(node.name)
        if (
            before is not None
            and (before.node is node and before.device is own and before.usage is usage)
            and (before.tailnet_known is tailnet_known and before.twins == twins)
        ):
            yield before
            continue
        role = rules.role_of(node, own) or Role.AGENT
        kubelet = Version.parse(node.kubelet_version)
        yield Subject(
            key=node.name,
            name=rules.naming.display(node.name),
            node=node,
            device=own,
            usage=usage,
            role=role,
            place=rules.place_of(node.name, own),
            pool_wanted=rules.pools.wanted(node, role),
            minors_behind=minors_behind(kubelet, server) if kubelet and server else None,
            twins=twins,
            tailnet_known=tailnet_known,
            cluster_known=cluster_known,
        )
    joined = set(matching.own.values())
    for device in seen.devices:
        if device.id in joined or not rules.is_meant_as_node(device):
            continue
        yield Subject(
            key=f"device:{device.id}",
            name=rules.naming.display(device.name or device.host_name),
            node=None,
            device=device,
            usage=None,
            role=rules.role_of(None, device),
            place=rules.place_of(device.folded_name, device),
            pool_wanted="",
            minors_behind=None,
            twins=(),
            tailnet_known=tailnet_known,
            cluster_known=cluster_known,
        )


def _twins(claims: Sequence[TailnetDevice], own: TailnetDevice | None, rules: Rules) -> tuple[str, ...]:
    """Names of other devices, meant as nodes, that claim the same host name."""
    if own is None or (len(claims) == 1 and claims[0] is own):
        return ()
    return tuple(
        sorted(
            device.name or device.host_name
            for device in claims
            if device.id != own.id and rules.is_meant_as_node(device)
        )
    )


def _row(subject: Subject, context: Context) -> Row:
    findings = row_findings(subject, context)
    return Row(
        key=subject.key,
        name=subject.name,
        node=subject.node,
        device=subject.device,
        usage=subject.usage,
        role=subject.role,
        place=subject.place,
        pool_found=found_pool(subject.node) if subject.node else "",
        pool_wanted=subject.pool_wanted,
        minors_behind=subject.minors_behind,
        findings=findings,
        verdict=verdict(findings),
        recheck_at=recheck_at(subject, context, findings),
        cluster_known=subject.cluster_known,
    )


def _is_over(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment <= now
