"""Joining the planes: Kubernetes node and tailnet device become one row, with its findings.

A node and a device belong together by a tailnet IP, else by their folded name (K3s and MagicDNS lower-case
names; facts: peers.md F1, F5). Rows whose parts did not change are taken over from the previous join, so
that a fleet of thousands costs little when one node changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import compress, starmap
from operator import is_not

from msgspec import structs

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

DEVICE_PREFIX = "device:"


@dataclass(frozen=True, slots=True)
class Matching:
    """Which node and which device belong together, and where each stands in the `Observation`.

    ``own`` is the id of each node's device and ``twins`` the other devices that claim its host name, both by
    node name; ``rows`` are the keys of the rows that show a device, by its id.
    """

    own: Mapping[str, str] = field(default_factory=dict)
    twins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rows: Mapping[str, Sequence[str]] = field(default_factory=dict)
    node_at: Mapping[str, int] = field(default_factory=dict)
    device_at: Mapping[str, int] = field(default_factory=dict)

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
        rows: dict[str, list[str]] = {}
        for name, device in own.items():
            rows.setdefault(device.id, []).append(name)
        for device in seen.devices:
            if device.id not in rows and rules.is_meant_as_node(device):
                rows[device.id] = [device_key(device)]
        return cls(
            {name: device.id for name, device in own.items()},
            twins,
            rows,
            {node.name: place for place, node in enumerate(seen.nodes)},
            {device.id: place for place, device in enumerate(seen.devices)},
        )


@dataclass(frozen=True, slots=True)
class Joined:
    """Rows in fleet order, all findings worst first, and when time alone would change them.

    The rest is for the next join: what was ``seen``, the subject of each row and its place by key, and the
    findings ``of_fleet`` that belong to no row.
    """

    rows: tuple[Row, ...] = ()
    findings: tuple[Finding, ...] = ()
    recheck_at: datetime | None = None
    version: str = ""
    seen: Observation = field(default_factory=Observation, repr=False)
    matching: Matching = field(default_factory=Matching, repr=False)
    subjects: Mapping[str, Subject] = field(default_factory=dict, repr=False)
    places: Mapping[str, int] = field(default_factory=dict, repr=False)
    of_fleet: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class _Changes:
    """Pairs (new, old) of what is another object than before; each stands for the same node or device."""

    nodes: Sequence[tuple[Node, Node]]
    devices: Sequence[tuple[TailnetDevice, TailnetDevice]]

    @classmethod
    def between(cls, seen: Observation, before: Observation) -> _Changes | None:
        """None when the old `Matching` does not hold: others are there, or somebody is known otherwise."""
        if len(seen.nodes) != len(before.nodes) or len(seen.devices) != len(before.devices):
            return None
        nodes = [*compress(zip(seen.nodes, before.nodes, strict=True), map(is_not, seen.nodes, before.nodes))]
        devices = [
            *compress(
                zip(seen.devices, before.devices, strict=True), map(is_not, seen.devices, before.devices)
            )
        ]
        if all(starmap(_is_named_alike, nodes)) and all(starmap(_is_known_alike, devices)):
            return cls(nodes, devices)
        return None


def _is_named_alike(one: Node, two: Node) -> bool:
    return one.name == two.name and one.internal_ips == two.internal_ips


def _is_known_alike(one: TailnetDevice, two: TailnetDevice) -> bool:
    return (
        one.id == two.id
        and one.name == two.name
        and one.host_name == two.host_name
        and one.addresses == two.addresses
        and one.tags == two.tags
    )


def join(
    seen: Observation, rules: Rules, now: datetime, version: str, previous: Joined | None = None
) -> Joined:
    """Join what was seen. ``now`` is aware and in the admin's zone; ``version`` the API server's, or "".

    ``previous`` must come from the same ``rules``. What is made anew are the rows of nodes and devices that
    are other objects than those of ``previous``, and rows that are due; when who is there has changed, or
    something that concerns all, all are.
    """
    context = Context(rules, now, Version.parse(version))
    if previous is None or previous.version != version:
        return _whole(seen, context, version, Matching.of(seen, rules), Joined())
    changes = _Changes.between(seen, previous.seen)
    if changes is None:
        return _whole(seen, context, version, Matching.of(seen, rules), previous)
    before = previous.seen
    if (seen.tailnet is None) is not (before.tailnet is None):
        return _whole(seen, context, version, previous.matching, previous)
    return _changed(seen, context, previous, _keys(changes, previous, now))


def _whole(seen: Observation, context: Context, version: str, matching: Matching, old: Joined) -> Joined:
    """All rows; one whose subject is as in ``old``, and which is not due, is taken from there."""
    rows: list[Row] = []
    subjects = {}
    for subject in _subjects(seen, context, matching):
        key = subject.key
        before, place = old.subjects.get(key), old.places.get(key)
        row = None if place is None else old.rows[place]
        if row is None or subject != before or _is_over(row.recheck_at, context.now):
            row = _row(subject, context)
        subjects[key] = subject
        rows.append(row)
    _put_usage(rows, seen)
    rows.sort(key=fleet_order)
    of_fleet = fleet_findings(rows, seen, context.rules)
    return Joined(
        tuple(rows),
        _worst_first(rows, of_fleet),
        _earliest(rows),
        version,
        seen,
        matching,
        subjects,
        {row.key: place for place, row in enumerate(rows)},
        of_fleet,
    )


def _changed(seen: Observation, context: Context, old: Joined, keys: Iterable[str]) -> Joined:
    """As ``old``, with the rows of these keys looked at anew."""
    rows, subjects, places = list(old.rows), dict(old.subjects), old.places
    changed: list[tuple[Row, Row]] = []
    for key in keys:
        place = places[key]
        subject, before = _subject(key, seen, context, old.matching), rows[place]
        if subject != subjects[key] or _is_over(before.recheck_at, context.now):
            rows[place] = structs.replace(_row(subject, context), usage=seen.usage.get(key))
            changed.append((rows[place], before))
        subjects[key] = subject
    if seen.usage is not old.seen.usage:
        _put_usage(rows, seen)
    if any(fleet_order(row) != fleet_order(before) for row, before in changed):
        rows = sorted([rows[places[key]] for key in subjects], key=fleet_order)
        places = {row.key: place for place, row in enumerate(rows)}
    of_fleet, findings = old.of_fleet, old.findings
    if seen.services is not old.seen.services or any(starmap(_differ_for_fleet, changed)):
        of_fleet = fleet_findings(rows, seen, context.rules)
    if of_fleet != old.of_fleet or any(row.findings != before.findings for row, before in changed):
        findings = _worst_first(rows, of_fleet)
    recheck_at = _earliest(rows) if changed else old.recheck_at
    return Joined(
        tuple(rows), findings, recheck_at, old.version, seen, old.matching, subjects, places, of_fleet
    )


def _put_usage(rows: list[Row], seen: Observation) -> None:
    """Give each row what its node uses; nothing else of a row depends on that."""
    for place, row in enumerate(rows):
        usage = seen.usage.get(row.key)
        if usage is not row.usage and usage != row.usage:
            rows[place] = structs.replace(row, usage=usage)


def _keys(changes: _Changes, old: Joined, now: datetime) -> set[str]:
    """Keys of the rows that may have changed."""
    keys = {node.name for node, _ in changes.nodes}
    for device, _ in changes.devices:
        keys.update(old.matching.rows.get(device.id, ()))
    if _is_over(old.recheck_at, now):
        keys.update(row.key for row in old.rows if _is_over(row.recheck_at, now))
    return keys


def _differ_for_fleet(one: Row, two: Row) -> bool:
    """Whether the findings of the whole fleet may see a difference between the two."""
    return _seen_by_fleet(one) != _seen_by_fleet(two)


def _seen_by_fleet(row: Row) -> tuple[object, ...]:
    node = row.node
    return row.role, row.place, row.pool_found, node and (node.is_ready, node.labels)


def _worst_first(rows: Iterable[Row], of_fleet: Sequence[Finding]) -> tuple[Finding, ...]:
    found = [finding for row in rows for finding in row.findings]
    return tuple(sorted([*found, *of_fleet], key=worst_first))


def _earliest(rows: Iterable[Row]) -> datetime | None:
    return min([row.recheck_at for row in rows if row.recheck_at is not None], default=None)


def fleet_order(row: Row) -> tuple[int, int, tuple[tuple[int, int, str], ...]]:
    """Servers first, then agents, then devices that are no node; by number within each."""
    outside = row.node is None and row.cluster_known
    return (int(outside), 2 if outside else int(row.role is not Role.SERVER), natural_key(row.name))


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


def _subjects(seen: Observation, context: Context, matching: Matching) -> Iterator[Subject]:
    """The subjects of all rows."""
    for node in seen.nodes:
        yield _node_subject(node, seen, context, matching)
    for device in seen.devices:
        if device_key(device) in matching.rows.get(device.id, ()):
            yield _device_subject(device, seen, context)


def _subject(key: str, seen: Observation, context: Context, matching: Matching) -> Subject:
    """The subject of one row."""
    place = matching.node_at.get(key)
    if place is not None:
        return _node_subject(seen.nodes[place], seen, context, matching)
    return _device_subject(seen.devices[matching.device_at[key.removeprefix(DEVICE_PREFIX)]], seen, context)


def _node_subject(node: Node, seen: Observation, context: Context, matching: Matching) -> Subject:
    rules, server = context.rules, context.server_version
    place = matching.device_at.get(matching.own.get(node.name, ""))
    own = None if place is None else seen.devices[place]
    role = rules.role_of(node, own) or Role.AGENT
    kubelet = Version.parse(node.kubelet_version)
    return Subject(
        key=node.name,
        name=rules.naming.display(node.name),
        node=node,
        device=own,
        role=role,
        place=rules.place_of(node.name, own),
        pool_wanted=rules.pools.wanted(node, role),
        minors_behind=minors_behind(kubelet, server) if kubelet and server else None,
        twins=matching.twins.get(node.name, ()),
        tailnet_known=seen.tailnet is not None,
        cluster_known=bool(seen.nodes),
    )


def _device_subject(device: TailnetDevice, seen: Observation, context: Context) -> Subject:
    rules = context.rules
    return Subject(
        key=device_key(device),
        name=rules.naming.display(device.name or device.host_name),
        node=None,
        device=device,
        role=rules.role_of(None, device),
        place=rules.place_of(device.folded_name, device),
        pool_wanted="",
        minors_behind=None,
        twins=(),
        tailnet_known=seen.tailnet is not None,
        cluster_known=bool(seen.nodes),
    )


def device_key(device: TailnetDevice) -> str:
    """Key of the row of a device that is no node; no node has such a name."""
    return f"{DEVICE_PREFIX}{device.id}"


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
        usage=None,  # by `_put_usage`
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
