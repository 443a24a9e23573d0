"""Joining nodes and devices, and that an incremental join equals a whole one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replace_struct

from axiom_tui.model.fleet import Observation, TailnetSelf
from axiom_tui.model.join import fleet_order, join, match_devices
from axiom_tui.model.naming import Role
from axiom_tui.model.node import Node, NodeUsage
from axiom_tui.model.rules import Rules
from axiom_tui.model.tailnet import PathKind, TailnetDevice
from tests.model.strategies import NOW, devices, nodes, observations, services

RULES = Rules()
VERSION = "v1.33.4+k3s1"


@given(observations)
def test_every_node_has_a_row_and_no_device_two(seen: Observation) -> None:
    joined = join(seen, RULES, NOW, VERSION)
    keys = [row.key for row in joined.rows]
    assert len(keys) == len(set(keys))
    assert {row.key for row in joined.rows if row.node} == {node.name for node in seen.nodes}
    used = [row.device.id for row in joined.rows if row.device]
    by_ip = [row for row in joined.rows if row.node and row.device]
    names_only = [row for row in by_ip if not set(row.node.internal_ips) & set(row.device.addresses)]  # type: ignore[union-attr]
    assert len({row.device.id for row in names_only if row.device}) == len(names_only)
    lonely = {row.device.id for row in joined.rows if row.node is None and row.device}
    assert lonely.isdisjoint({row.device.id for row in by_ip if row.device})
    assert set(used) <= {device.id for device in seen.devices}
    assert list(joined.rows) == sorted(joined.rows, key=fleet_order)


@given(observations, st.lists(nodes, max_size=3), st.lists(devices, max_size=3), st.integers(0, 60))
def test_an_incremental_join_equals_a_whole_one(
    seen: Observation, new_nodes: list[Node], new_devices: list[TailnetDevice], days: int
) -> None:
    before = join(seen, RULES, NOW, VERSION)
    later = replace(
        seen,
        nodes=tuple({node.name: node for node in (*seen.nodes[1:], *new_nodes)}.values()),
        devices=tuple({device.id: device for device in (*seen.devices[1:], *new_devices)}.values()),
    )
    moment = NOW + timedelta(days=days)
    again, whole = join(later, RULES, moment, VERSION, before), join(later, RULES, moment, VERSION)
    assert again.rows == whole.rows
    assert again.findings == whole.findings


@given(observations)
def test_what_did_not_change_is_taken_over(seen: Observation) -> None:
    before = join(seen, RULES, NOW, VERSION)
    again = join(seen, RULES, NOW, VERSION, before)
    assert all(one is two for one, two in zip(before.rows, again.rows, strict=True))


@given(observations)
def test_a_recheck_is_announced_before_time_changes_anything(seen: Observation) -> None:
    before = join(seen, RULES, NOW, VERSION)
    until = before.recheck_at or NOW + timedelta(days=1000)
    assert until > NOW
    just_before = until - timedelta(seconds=1)
    if just_before > NOW:
        assert join(seen, RULES, just_before, VERSION).findings == before.findings


@given(observations)
def test_a_finding_has_a_subject_a_sentence_and_a_remedy(seen: Observation) -> None:
    joined = join(seen, RULES, NOW, VERSION)
    ids = [finding.id for finding in joined.findings]
    assert len(ids) == len(set(ids))
    for finding in joined.findings:
        assert finding.subject
        assert finding.sentence.endswith(".")
        assert finding.remedy.endswith(".")
    assert [finding.severity for finding in joined.findings] == sorted(
        (finding.severity for finding in joined.findings), reverse=True
    )


def test_the_address_beats_the_name() -> None:
    node = Node(name="wall-a-1", internal_ips=("100.64.0.7",))
    right = TailnetDevice(id="n1", name="renamed", addresses=("100.64.0.7",))
    wrong = TailnetDevice(id="n2", name="wall-a-1", addresses=("100.64.0.8",))
    assert match_devices([node], [wrong, right]) == {"wall-a-1": right}


def test_names_match_in_any_case() -> None:
    node = Node(name="wall-a-3", internal_ips=("10.0.0.1",))
    device = TailnetDevice(id="n1", name="wall-a-3-1", host_name="WALL-A-3")
    assert match_devices([node], [device]) == {"wall-a-3": device}


def test_servers_first_then_by_number_then_what_is_no_node() -> None:
    server = {"node-role.kubernetes.io/control-plane": "true"}
    seen = Observation(
        nodes=(
            Node(name="wall-a-10"),
            Node(name="wall-a-2"),
            Node(name="m-o-2", labels=server),
            Node(name="m-o-1", labels=server),
        ),
        devices=(TailnetDevice(id="n1", name="aaa", tags=("tag:acl-axiom",), path=PathKind.IDLE),),
        tailnet=TailnetSelf("Running"),
    )
    rows = join(seen, RULES, NOW, VERSION).rows
    assert [row.name for row in rows] == ["M-O-1", "M-O-2", "WALL-A-2", "WALL-A-10", "aaa"]
    assert [row.role for row in rows[:3]] == [Role.SERVER, Role.SERVER, Role.AGENT]


@given(observations)
def test_nothing_is_said_of_a_plane_that_was_not_seen(seen: Observation) -> None:
    rules = {
        finding.rule for finding in join(replace(seen, tailnet=None, devices=()), RULES, NOW, "").findings
    }
    assert "no-device" not in rules
    no_nodes = join(replace(seen, nodes=()), RULES, NOW, "")
    assert "not-in-cluster" not in {finding.rule for finding in no_nodes.findings}


def test_rows_know_another_server_version() -> None:
    node = Node(name="wall-a-1", kubelet_version="v1.31.0")
    seen = Observation(nodes=(node,))
    before = join(seen, RULES, NOW, "v1.31.0")
    after = join(seen, RULES, NOW, "v1.34.0", before)
    assert "kubelet-behind" in {finding.rule for finding in after.rows[0].findings}
    assert replace_struct(node) == node


@given(observations, st.lists(nodes, min_size=1), st.data())
def test_an_incremental_join_sees_every_change_in_place(
    seen: Observation, new_nodes: list[Node], data: st.DataObject
) -> None:
    """Nodes and devices stay where they are, and some change: what is reused then must still hold."""
    before = join(seen, RULES, NOW, VERSION)
    later = list(seen.nodes)
    for place in range(len(later)):
        if data.draw(st.booleans()):
            changed = data.draw(st.sampled_from(new_nodes))
            keeps = data.draw(st.sampled_from(("name", "name and addresses", "labels")))
            if keeps == "labels":
                later[place] = replace_struct(later[place], labels=changed.labels)
            elif keeps == "name":
                later[place] = replace_struct(changed, name=later[place].name)
            else:
                ips = later[place].internal_ips
                later[place] = replace_struct(changed, name=later[place].name, internal_ips=ips)
    seen_devices = list(seen.devices)
    for place, device in enumerate(seen_devices):
        kept = data.draw(st.sampled_from(("all", "who it is", "id")))
        other = data.draw(devices) if kept != "all" else device
        if kept == "who it is":
            other = replace_struct(
                other,
                name=device.name,
                host_name=device.host_name,
                addresses=device.addresses,
                tags=device.tags,
            )
        seen_devices[place] = replace_struct(other, id=device.id)
    after = replace(seen, nodes=tuple(later), devices=tuple(seen_devices))
    again, whole = join(after, RULES, NOW, VERSION, before), join(after, RULES, NOW, VERSION)
    assert again.rows == whole.rows
    assert again.findings == whole.findings


@st.composite
def successors(draw: st.DrawFn, seen: Observation) -> Observation:
    """What may be seen next: of nodes, devices, usage, Services and the tailnet some are other ones."""
    new_nodes = {node.name: node for node in seen.nodes}
    for name in draw(st.sets(st.sampled_from(sorted(new_nodes)))) if new_nodes else ():
        other = draw(nodes)
        keeps = draw(st.sampled_from(("all", "name", "who it is", "all but labels", "nothing")))
        if keeps == "nothing":
            del new_nodes[name]
            new_nodes.setdefault(other.name, other)
        elif keeps == "name":
            new_nodes[name] = replace_struct(other, name=name)
        elif keeps == "who it is":
            new_nodes[name] = replace_struct(other, name=name, internal_ips=new_nodes[name].internal_ips)
        else:
            labels = other.labels if keeps == "all but labels" else new_nodes[name].labels
            new_nodes[name] = replace_struct(new_nodes[name], labels=labels)
    new_devices = {device.id: device for device in seen.devices}
    for key in draw(st.sets(st.sampled_from(sorted(new_devices)))) if new_devices else ():
        old, new = new_devices[key], draw(devices)
        keeps = draw(st.sampled_from(("all", "id", "who it is", "nothing")))
        if keeps == "nothing":
            del new_devices[key]
            new_devices.setdefault(new.id, new)
        elif keeps == "id":
            new_devices[key] = replace_struct(new, id=key)
        elif keeps == "who it is":
            same = {name: getattr(old, name) for name in ("id", "name", "host_name", "addresses", "tags")}
            new_devices[key] = replace_struct(new, **same)
        else:
            new_devices[key] = replace_struct(old)
    usage = {name: NodeUsage(draw(st.sampled_from((0.1, 0.2))), 5, NOW) for name in new_nodes}
    return replace(
        seen,
        nodes=tuple(new_nodes.values()),
        devices=tuple(new_devices.values()),
        services=draw(st.just(seen.services) | st.lists(services, max_size=3).map(tuple)),
        usage=draw(st.just(seen.usage) | st.just(usage)),
        tailnet=draw(st.just(seen.tailnet) | st.none() | st.just(TailnetSelf("Running"))),
    )


@given(observations, st.lists(st.sampled_from((0, 1, 9, 30, 500)), min_size=1, max_size=4), st.data())
def test_joins_that_follow_each_other_equal_whole_ones(
    seen: Observation, hours: list[int], data: st.DataObject
) -> None:
    joined, moment = join(seen, RULES, NOW, VERSION), NOW
    for passed in hours:
        seen, moment = data.draw(successors(seen)), moment + timedelta(hours=passed)
        joined = join(seen, RULES, moment, VERSION, joined)
        whole = join(seen, RULES, moment, VERSION)
        assert joined.rows == whole.rows
        assert joined.findings == whole.findings
        assert joined.recheck_at == whole.recheck_at


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (0, {"addresses": ("100.64.0.2",)}),
        (1, {"name": "wall-a-3"}),
        (1, {"host_name": "WALL-A-3"}),
        (1, {"tags": ()}),
    ],
)
def test_a_device_that_is_known_otherwise_is_matched_anew(place: int, change: dict[str, object]) -> None:
    seen = Observation(
        nodes=tuple(Node(name=f"wall-a-{n}", internal_ips=(f"100.64.0.{n}",)) for n in (1, 2, 3)),
        devices=(
            TailnetDevice(id="n1", name="one", host_name="one", addresses=("100.64.0.1",)),
            TailnetDevice(id="n2", name="two", host_name="WALL-A-1", tags=("tag:acl-axiom",)),
        ),
        tailnet=TailnetSelf("Running"),
    )
    before = join(seen, RULES, NOW, VERSION)
    changed = list(seen.devices)
    changed[place] = replace_struct(changed[place], **change)
    after = replace(seen, devices=tuple(changed))
    again, whole = join(after, RULES, NOW, VERSION, before), join(after, RULES, NOW, VERSION)
    matched = [(row.key, row.device and row.device.id, row.findings) for row in whole.rows]
    assert matched != [(row.key, row.device and row.device.id, row.findings) for row in before.rows]
    assert again.rows == whole.rows
