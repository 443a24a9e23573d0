"""Server-side printing of the kinds that the recording does not print."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from axiom_tui.simulator.cells import human_duration
from axiom_tui.simulator.resources import STANDARD
from axiom_tui.simulator.tables import printer

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
CREATED = "2026-11-22T10:30:00Z"
RESOURCES = {one.key: one for one in STANDARD}


def _cells(key: str, **parts: Any) -> list[Any]:
    metadata = {"name": "x", "creationTimestamp": CREATED, **parts.pop("metadata", {})}
    kind = printer(RESOURCES[key])
    cells = kind.cells({"metadata": metadata, **parts}, NOW)
    assert len(cells) == len(kind.columns)
    return cells


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "<invalid>"),
        (-0.5, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (330, "5m30s"),
        (3599, "59m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (12_000, "3h20m"),
        (30_000, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (180_000, "2d2h"),
        (86_400 * 8, "8d"),
        (86_400 * 800, "2y70d"),
        (86_400 * 365 * 8, "8y"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert human_duration(seconds) == said


def test_pods() -> None:
    spec = {"nodeName": "n1", "containers": [{"name": "a"}, {"name": "b"}]}
    running = {
        "phase": "Running",
        "podIP": "10.42.0.5",
        "containerStatuses": [
            {"ready": True, "restartCount": 2, "lastState": {"terminated": {"finishedAt": CREATED}}},
            {"ready": False, "restartCount": 0, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
        ],
    }
    assert _cells("pods", spec=spec, status=running) == [
        *("x", "1/2", "CrashLoopBackOff", "2 (90m ago)", "90m"),
        *("10.42.0.5", "n1", "<none>", "<none>"),
    ]
    going = _cells("pods", metadata={"deletionTimestamp": CREATED}, spec=spec, status={"phase": "Running"})
    assert going[2] == "Terminating"


def test_services() -> None:
    spec = {
        "type": "LoadBalancer",
        "clusterIP": "10.43.0.9",
        "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
        "selector": {"app": "web"},
    }
    waiting = _cells("services", spec=spec, status={"loadBalancer": {}})
    assert waiting == [
        *("x", "LoadBalancer", "10.43.0.9", "<pending>", "80:30080/TCP,53/UDP", "90m", "app=web")
    ]
    ingress = [{"ip": "100.64.0.11"}, {"ip": "203.0.113.21"}]
    served = _cells("services", spec=spec, status={"loadBalancer": {"ingress": ingress}})
    assert served[3] == "100.64.0.11,203.0.113.21"


def test_nodes_that_are_not_well() -> None:
    conditions = [{"type": "Ready", "status": "Unknown"}]
    cells = _cells("nodes", spec={"unschedulable": True}, status={"conditions": conditions})
    assert cells[1] == "NotReady,SchedulingDisabled"
    assert _cells("nodes")[1] == "Unknown"


def test_daemon_sets_and_budgets_and_leases() -> None:
    template = {"spec": {"nodeSelector": {"a": "b"}, "containers": [{"name": "lb", "image": "klipper-lb"}]}}
    status = {"desiredNumberScheduled": 3, "currentNumberScheduled": 3, "numberReady": 2}
    assert _cells("daemonsets.apps", spec={"template": template}, status=status) == [
        *("x", 3, 3, 2, 0, 0, "a=b", "90m", "lb", "klipper-lb", "<none>")
    ]
    budget = _cells("poddisruptionbudgets.policy", spec={"minAvailable": "50%"}, status={})
    assert budget == ["x", "50%", "N/A", 0, "90m"]
    assert _cells("leases.coordination.k8s.io", spec={"holderIdentity": "me"}) == ["x", "me", "90m"]
    assert _cells("priorityclasses.scheduling.k8s.io", value=5) == [
        *("x", 5, False, "90m", "PreemptLowerPriority")
    ]


def test_events_say_when_and_about_what() -> None:
    event = {
        "involvedObject": {"kind": "Node", "name": "n1"},
        "reason": "NodeNotReady",
        "message": "gone \n",
        "lastTimestamp": "2026-11-22T11:59:30Z",
        "count": 4,
    }
    cells = _cells("events", **event)
    assert cells[:4] == ["30s", "", "NodeNotReady", "node/n1"]
    assert cells[6] == "gone"


@pytest.mark.parametrize("key", sorted(RESOURCES))
def test_every_kind_prints_an_empty_object(key: str) -> None:
    """A bookmark of a Table is an object without anything; it must not fail."""
    assert _cells(key, metadata={"creationTimestamp": None})
