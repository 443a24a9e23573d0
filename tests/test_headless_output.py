"""What headless commands print: tables, documents of a fixed shape, and changes only."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given

from axiom_tui import headless_documents as documents
from axiom_tui.headless import Choice, HeadlessOptions, Kind, Output, rendered
from axiom_tui.headless_table import NODE_COLUMNS, Table, node_cells
from axiom_tui.headless_watch import Printer
from axiom_tui.model.cells import Cell, Style
from axiom_tui.model.fleet import Cluster, Fleet, Observation, SourceState, SourceStatus
from axiom_tui.model.join import join
from axiom_tui.model.node import Condition, Node, Taint
from axiom_tui.model.problem import Problem, ProblemKind
from axiom_tui.model.rules import Rules
from axiom_tui.model.tailnet import Latency, PathKind, TailnetDevice
from tests.model.strategies import NOW, observations

ROOT = Path(__file__).parents[1]
VERSION = "v1.33.4+k3s1"
READY = (Condition("Ready", "True", "KubeletReady", "", NOW - timedelta(days=3)),)
SERVER = Node(
    name="m-o-1",
    created=NOW - timedelta(days=212),
    labels={"node-role.kubernetes.io/control-plane": "true"},
    conditions=(*READY, Condition("DiskPressure", "True", "Full", "", NOW - timedelta(hours=1))),
    taints=(Taint("maintenance", "NoSchedule", "soon"),),
    internal_ips=("100.64.0.1",),
    external_ips=("195.15.252.166",),
    architecture="amd64",
    kubelet_version=VERSION,
    os_image="Ubuntu 22.04.5 LTS",
    kernel_version="5.15.0",
    container_runtime="containerd://2",
    cpu=2.0,
    memory=4 * 2**30,
)
WORKER = Node(
    name="wall-a-3",
    created=NOW - timedelta(days=20),
    labels={"zone": "a"},
    conditions=READY,
    internal_ips=("100.64.0.13",),
    architecture="arm64",
    kubelet_version=VERSION,
)
DEVICE = TailnetDevice(
    id="n1",
    name="m-o-1",
    dns_name="m-o-1.crocodile-bee.ts.net",
    addresses=("100.64.0.1",),
    tags=("tag:acl-axiom", "tag:info-infomaniak"),
    online=True,
    path=PathKind.DIRECT,
    endpoint="195.15.252.166:41641",
    last_seen=NOW,
    key_expiry=NOW + timedelta(days=400),
    key_expiry_disabled=True,
    authorized=True,
    latency=Latency((12.3,), NOW),
)
LONELY = TailnetDevice(
    id="n9", name="new-host", addresses=("100.64.0.9",), tags=("tag:acl-axiom",), online=True
)


def fleet_of(seen: Observation, *, at: datetime = NOW, problem: Problem | None = None) -> Fleet:
    joined = join(seen, Rules(), at, VERSION)
    cluster = Cluster("axiom", "axiom", "https://api.axiom.technat.ch:6443", VERSION)
    state = SourceState.FAILED if problem else SourceState.LIVE
    statuses = (
        SourceStatus("nodes", SourceState.LIVE, at, at - timedelta(seconds=1.5)),
        SourceStatus("tailnet", state, at, None if problem else at, problem),
    )
    return Fleet(cluster, at, seen, statuses, joined.rows, joined.findings)


SEEN = Observation(nodes=(SERVER, WORKER), devices=(DEVICE, LONELY))


def output(fleet: Fleet, options: HeadlessOptions) -> str:
    return rendered(fleet, options, Choice(options)).decode()


# --- tables ---------------------------------------------------------------------------------------------


def test_the_table_of_nodes() -> None:
    text = output(fleet_of(SEEN), HeadlessOptions(Kind.NODES, all_devices=True))
    header, server, worker, device = text.splitlines()
    assert header.split() == [column.title for column in NODE_COLUMNS]
    for title, word in {
        "STATUS": "● Ready",
        "TAILNET": "● direct 12 ms",
        "PLACE": "infomaniak",
        "AGE": "212d",
    }.items():
        assert server[header.index(title) :].startswith(word)
    assert worker.startswith("WALL-A-3   agent    arm64")
    assert device.startswith("new-host")
    assert "not in the cluster" in device
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_a_selector_chooses_nodes_and_no_devices() -> None:
    for selector, expected in {"zone=a": ["WALL-A-3"], "!zone": ["M-O-1"], "zone,!zone": []}.items():
        text = output(fleet_of(SEEN), HeadlessOptions(Kind.NODES, selector=selector, all_devices=True))
        assert [line.split()[0] for line in text.splitlines()[1:]] == expected


def test_the_table_of_findings() -> None:
    fleet = fleet_of(SEEN)
    lines = output(fleet, HeadlessOptions(Kind.FINDINGS)).splitlines()
    assert lines[0].split() == ["SEVERITY", "SUBJECT", "SINCE", "FINDING", "REMEDY"]
    assert len(lines) == 1 + len(fleet.findings) > 1
    assert fleet.findings[0].sentence in lines[1]


def test_text_from_outside_cannot_steer_the_terminal() -> None:
    evil = msgspec.structs.replace(WORKER, architecture="arm\x1b[2J\n64")
    text = output(fleet_of(Observation(nodes=(evil,))), HeadlessOptions(Kind.NODES))
    assert "\x1b" not in text
    assert len(text.splitlines()) == 2


def test_colour_changes_nothing_but_colour() -> None:
    fleet = fleet_of(SEEN)
    lines = [node_cells(row, NOW) for row in fleet.rows]
    titles = ["x"] * len(lines[0])
    plain, painted = (Table(titles, lines, color=color).render() for color in (False, True))
    assert "\x1b[32m● Ready\x1b[0m" in painted
    for code in ("\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m", "\x1b[36m", "\x1b[0m"):
        painted = painted.replace(code, "")
    assert painted == plain


def test_a_line_may_outgrow_the_table() -> None:
    table = Table(["A", "B"], [[Cell("1"), Cell("2", Style.OK)]], color=False)
    assert table.line([Cell("longer"), Cell("x")]) == "longer   x\n"


# --- documents ------------------------------------------------------------------------------------------


def shape(value: Any) -> Any:
    """The field names of a document, with the types of what stands there."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [functools.reduce(either, map(shape, value))] if value else []
    return type(value).__name__


def either(one: Any, two: Any) -> Any:
    """Of two shapes of the same thing, what is known by either."""
    if isinstance(one, dict) and isinstance(two, dict):
        return {key: either(one.get(key, "NoneType"), two.get(key, "NoneType")) for key in {**one, **two}}
    return two if one in ("NoneType", []) else one


def test_the_shape_of_the_documents_is_the_promised_one() -> None:
    """Fields may be added (to this file too); none may go or change its type within v1."""
    problem = Problem(ProblemKind.STOPPED, "Tailscale is stopped.", "Start it.")
    found = {
        kind.value: shape(
            json.loads(
                output(fleet_of(SEEN, problem=problem), HeadlessOptions(kind, Output.JSON, all_devices=True))
            )
        )
        for kind in Kind
    }
    assert found == json.loads((ROOT / "tests/data/headless-shape.json").read_text())


def test_every_field_is_documented() -> None:
    text = (ROOT / "docs/headless-json.md").read_text()
    names = {
        field.encode_name
        for item in vars(documents).values()
        if isinstance(item, type) and issubclass(item, documents.Document)
        for field in msgspec.structs.fields(item)
    }
    assert len(names) > 50
    assert {name for name in names if f'"{name}"' not in text and f"`{name}`" not in text} == set()


@given(observations)
def test_any_fleet_is_the_same_in_json_and_yaml(seen: Observation) -> None:
    fleet = fleet_of(seen)
    for kind in Kind:
        as_json = json.loads(output(fleet, HeadlessOptions(kind, Output.JSON, all_devices=True)))
        as_yaml = yaml.safe_load(output(fleet, HeadlessOptions(kind, Output.YAML, all_devices=True)))
        assert as_json == as_yaml
        assert as_json["apiVersion"] == "axiom-tui/v1"
        count = len(fleet.rows) if kind is Kind.NODES else len(fleet.findings)
        assert len(as_json["items"]) == count


def test_a_time_keeps_its_zone() -> None:
    found = json.loads(output(fleet_of(SEEN), HeadlessOptions(Kind.NODES, Output.JSON)))
    assert datetime.fromisoformat(found["takenAt"]) == NOW
    assert found["sources"][0]["ageSeconds"] == 1.5
    assert found["items"][0]["kubernetes"]["taints"] == ["maintenance=soon:NoSchedule"]


# --- changes --------------------------------------------------------------------------------------------


@pytest.fixture
def printed(capsysbinary: pytest.CaptureFixture[bytes]) -> Any:
    """What a printer writes for a fleet: lines of stdout, and stderr."""

    def take(printer: Printer, fleet: Fleet) -> tuple[list[str], str]:
        printer.take(fleet)
        captured = capsysbinary.readouterr()
        return captured.out.decode().splitlines(), captured.err.decode()

    return take


def printer_of(options: HeadlessOptions) -> Printer:
    return Printer(options, Choice(options))


def test_watching_prints_everything_once_and_then_what_changes(printed: Any) -> None:
    printer = printer_of(HeadlessOptions(Kind.NODES))
    out, _ = printed(printer, fleet_of(SEEN))
    assert [line.split()[0] for line in out] == ["NODE", "M-O-1", "WALL-A-3"]
    later = NOW + timedelta(days=1)
    slower = msgspec.structs.replace(DEVICE, latency=Latency((99.0,), NOW))
    assert printed(printer, fleet_of(replace(SEEN, devices=(slower, LONELY)), at=later)) == ([], "")
    cordoned = msgspec.structs.replace(WORKER, unschedulable=True)
    out, _ = printed(printer, fleet_of(replace(SEEN, nodes=(SERVER, cordoned))))
    (line,) = out
    assert line.startswith("WALL-A-3")
    assert "Cordoned" in line
    out, _ = printed(printer, fleet_of(replace(SEEN, nodes=(SERVER,))))
    assert len(out) == 1
    assert out[0].endswith("gone")
    relayed = msgspec.structs.replace(DEVICE, path=PathKind.DERP, relay="fra")
    out, _ = printed(printer, fleet_of(Observation(nodes=(SERVER,), devices=(relayed,))))
    assert "relay fra" in out[0]


def test_watching_json_is_one_document_a_line(printed: Any) -> None:
    printer = printer_of(HeadlessOptions(Kind.NODES, Output.JSON))
    out, _ = printed(printer, fleet_of(SEEN))
    first = [json.loads(line) for line in out]
    assert [(item["kind"], item["type"], item["object"]["key"]) for item in first] == [
        ("NodeEvent", "ADDED", "m-o-1"),
        ("NodeEvent", "ADDED", "wall-a-3"),
    ]
    out, _ = printed(printer, fleet_of(replace(SEEN, nodes=(WORKER,))))
    (gone,) = (json.loads(line) for line in out)
    assert (gone["type"], gone["object"]["kubernetes"]["name"]) == ("DELETED", "m-o-1")


def test_watching_findings_says_when_one_is_over(printed: Any) -> None:
    printer = printer_of(HeadlessOptions(Kind.FINDINGS))
    cordoned = msgspec.structs.replace(WORKER, unschedulable=True)
    out, _ = printed(printer, fleet_of(replace(SEEN, nodes=(SERVER, cordoned))))
    assert any("is cordoned" in line for line in out)
    out, _ = printed(printer, fleet_of(SEEN))
    over = [line for line in out if line.startswith("✓ over")]
    assert len(over) == 1
    assert "is cordoned" in over[0]


def test_watching_yaml_separates_documents(printed: Any) -> None:
    printer = printer_of(HeadlessOptions(Kind.NODES, Output.YAML))
    out, _ = printed(printer, fleet_of(SEEN))
    assert [item["type"] for item in yaml.safe_load_all("\n".join(out))] == ["ADDED", "ADDED"]


def test_nothing_is_printed_before_the_nodes_were_read(printed: Any) -> None:
    printer = printer_of(HeadlessOptions(Kind.NODES))
    problem = Problem(ProblemKind.REFUSED, "Nothing listens there.", "Start it.")
    failing = SourceStatus("nodes", SourceState.FAILED, NOW, problem=problem)
    empty = replace(fleet_of(Observation()), sources=(failing,))
    assert printed(printer, empty) == ([], "axiom-tui: nodes: Nothing listens there. Start it.\n")
    assert printed(printer, empty) == ([], "")
    out, said = printed(printer, fleet_of(SEEN))
    assert len(out) == 3
    assert said == "axiom-tui: nodes: live again.\n"
