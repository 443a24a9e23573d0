"""The recording of a real API server, replayed against the simulator: where they differ, we are wrong.

All exchanges run in their order against one simulated server that is seeded from the recording's own lists.
Uids, times, ages and this server's address differ by nature and are set aside; everything else is equal,
resource versions among it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from axiom_tui.simulator.access import READ_ALL, Access, Identity
from axiom_tui.simulator.kubernetes_api import KubernetesServer
from axiom_tui.simulator.store import ObjectStore
from tests.simulator.api_wire import MERGE, Json, Reply, Wire, lines, wire

RECORDING = Path(__file__).parents[1] / "data" / "kubernetes-api.jsonl"
EXCHANGES: list[Json] = [json.loads(line) for line in RECORDING.read_text().splitlines()]

# An exchange that cannot be replayed stands here with the reason. There is none.
NOT_REPLAYED: dict[str, str] = {}

# What the real server serves and the simulator does not: nothing of ours reads these.
NOT_SERVED_GROUPS = {
    "apiregistration.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
}
NOT_SERVED_CORE = {
    "bindings",
    "componentstatuses",
    "limitranges",
    "namespaces/finalize",
    "nodes/proxy",
    "pods/attach",
    "pods/binding",
    "pods/ephemeralcontainers",
    "pods/exec",
    "pods/log",
    "pods/portforward",
    "pods/proxy",
    "pods/resize",
    "podtemplates",
    "replicationcontrollers",
    "replicationcontrollers/scale",
    "replicationcontrollers/status",
    "resourcequotas",
    "resourcequotas/status",
    "serviceaccounts/token",
    "services/proxy",
}

IDENTITIES = (
    Identity("admin", "rk-admin", groups=("system:masters",), token="admin-token"),
    Identity("viewer", "rk-viewer", "u2", ("rk-viewers",), (READ_ALL,), "viewer-token"),
    Identity("noperm", "rk-noperm", token="noperm-token"),
)
TOKENS = {one.name: one.token for one in IDENTITIES} | {"badtoken": "no-such-token"}


def _recorded(name: str) -> Any:
    return next(one for one in EXCHANGES if one["name"] == name)["response"]["body"]


def _seed(store: ObjectStore) -> None:
    """The cluster as it was when the recording began, at version 307."""
    for name in ("default", "kube-system", "web"):
        store.load("namespaces", [{"metadata": {"name": name}, "status": {"phase": "Active"}}])
    store.load("nodes", _recorded("list nodes")["items"])
    store.load("services", _recorded("list services")["items"])
    store.load("pods", _recorded("list pods of web")["items"])
    store.load("priorityclasses.scheduling.k8s.io", _recorded("list priority classes")["items"])
    budget = {
        "metadata": {"name": "site", "namespace": "web", "generation": 1},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "site"}}},
        "status": {"observedGeneration": 1, "currentHealthy": 2, "desiredHealthy": 2, "expectedPods": 2},
    }
    store.load("poddisruptionbudgets.policy", [budget], version=307)


def _run_pods(store: ObjectStore) -> None:
    """The recorder made the Pods of the budget run before it asked for their eviction."""
    for pod in store.list("pods", "web"):
        store.mutate(
            "pods", pod["metadata"]["name"], lambda one: one["status"].update(phase="Running"), "web"
        )


def _load_events(store: ObjectStore) -> None:
    """The two Events of the page, and eleven more, of which the recording only tells the number."""
    known = _recorded("events of core/v1")["items"]
    more = [
        {**known[1], "metadata": {**known[1]["metadata"], "name": f"unnamed.{number:02}"}}
        for number in range(11)
    ]
    store.load("events", [*known, *more], version=341)


def _write_thrice(store: ObjectStore) -> None:
    """Three writes to something else, which the bookmark's version counts."""
    for number in range(3):

        def change(one: Json, number: int = number) -> None:
            one["metadata"]["annotations"] = {"written": str(number)}

        store.mutate("namespaces", "default", change)


# What happened in the cluster besides the recorded requests, before the exchange of this name.
MEANWHILE: dict[str, Callable[[ObjectStore], None]] = {
    "evict refused by a disruption budget": _run_pods,
    "watch nodes: modified, deleted": lambda store: store.load("nodes", [], version=329),
    "watch from an expired resourceVersion": lambda store: store.load("nodes", [], version=338),
    "watch with sendInitialEvents": _write_thrice,
    "events of core/v1": _load_events,
}


def _act_during_watch(client: Wire) -> None:
    """What the recorder did while its watch was open."""
    labels = {
        "svccontroller.k3s.cattle.io/enablelb": "true",
        "svccontroller.k3s.cattle.io/lbpool": "external",
    }
    path = "/api/v1/nodes/wall-a-1?fieldManager=axiom-tui"
    assert client("PATCH", path, {"metadata": {"labels": labels}}, kind=MERGE).status == 200
    assert client("DELETE", "/api/v1/nodes/wall-a-3").status == 200


def _replay(server: KubernetesServer, exchange: Json) -> Reply:
    request = exchange["request"]
    headers = request["headers"]
    with wire(server, TOKENS[exchange["identity"]]) as client:
        response = client.send(
            request["method"],
            request["path"],
            request.get("body"),
            kind=headers.get("Content-Type", ""),
            accept=headers["Accept"],
        )
        reply = Reply(response.status, dict(response.getheaders()), b"")
        if "events" not in exchange["response"]:
            reply.raw = response.read()
            return reply
        if exchange["name"] == "watch nodes: modified, deleted":
            with wire(server, TOKENS["admin"]) as other:
                _act_during_watch(other)
        for event in lines(response):
            reply.events.append(event)
            if len(reply.events) == len(exchange["response"]["events"]):
                break
        return reply


@pytest.fixture(scope="module")
def replies() -> Iterator[dict[str, Reply]]:
    store = ObjectStore()
    _seed(store)
    server = KubernetesServer(
        store, access=Access(IDENTITIES), version="v1.36.2", bootstrap=False, bookmark_interval=60.0
    )
    server.start()
    try:
        answers = {}
        for exchange in EXCHANGES:
            if exchange["name"] in MEANWHILE:
                MEANWHILE[exchange["name"]](store)
            answers[exchange["name"]] = _replay(server, exchange)
        yield answers
    finally:
        server.stop()


TIME_KEYS = {"time", "creationTimestamp"}


def _aside(value: Any, key: str = "") -> Any:
    """The value with what differs by nature set to a mark."""
    if isinstance(value, dict):
        return {name: _aside(below, name) for name, below in value.items()}
    if isinstance(value, list):
        return [_aside(item, key) for item in value]
    if key in TIME_KEYS and isinstance(value, str):
        return "<time>"
    if key == "uid" and isinstance(value, str):
        return "<uid>"
    if key == "serverAddress":
        return re.sub(r":\d+$", ":<port>", value)
    if key == "cells" and isinstance(value, str) and re.fullmatch(r"\d+[smhdy](\d+[smhdy])?", value):
        return "<age>"
    if key == "continue" and value:
        token = json.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
        return {**token, "rv": "<version>"}
    return value


def test_every_exchange_is_replayed_or_has_a_reason() -> None:
    assert len(EXCHANGES) == 66
    assert len({one["name"] for one in EXCHANGES}) == 66
    assert set(NOT_REPLAYED) <= {one["name"] for one in EXCHANGES}


DISCOVERY = {"discovery /version", "discovery /apis", "discovery /api/v1", "discovery trailing slash"}
EQUAL = [one for one in EXCHANGES if one["name"] not in DISCOVERY]


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda one: one["name"])
def test_status_and_headers(exchange: Json, replies: dict[str, Reply]) -> None:
    wanted, reply = exchange["response"], replies[exchange["name"]]
    assert reply.status == wanted["status"]
    for name in ("Content-Type", "Cache-Control"):
        assert reply.headers[name] == wanted["headers"][name]
    assert "Date" in reply.headers
    if exchange["name"] not in DISCOVERY:
        assert reply.headers.get("Transfer-Encoding") == wanted["headers"].get("Transfer-Encoding")


@pytest.mark.parametrize("exchange", EQUAL, ids=lambda one: one["name"])
def test_body(exchange: Json, replies: dict[str, Reply]) -> None:
    wanted, reply = exchange["response"], replies[exchange["name"]]
    found: Any
    if "events" in wanted:
        found, expected = reply.events, wanted["events"]
    elif wanted["headers"]["Content-Type"].startswith("text/plain"):
        found, expected = reply.raw.decode(), wanted["body"]
    else:
        found, expected = reply.body, wanted["body"]
    assert _aside(found) == _aside(expected)
    assert _order(found) == _order(expected)


def _order(value: Any) -> list[str]:
    """The order of the outer keys: some clients read streams and want the kind first."""
    return list(value) if isinstance(value, dict) else []


@pytest.mark.parametrize("name", ["discovery /version", "discovery trailing slash"])
def test_version(name: str, replies: dict[str, Reply]) -> None:
    found, wanted = replies[name].body, _recorded(name)
    assert list(found) == list(wanted)
    for key in ("major", "minor", "emulationMinor", "minCompatibilityMinor", "gitVersion"):
        assert found[key] == wanted[key]


def test_groups(replies: dict[str, Reply]) -> None:
    found, wanted = replies["discovery /apis"].body, _recorded("discovery /apis")
    served = [one for one in wanted["groups"] if one["name"] not in NOT_SERVED_GROUPS]
    # K3s' own group, and one that the recorded server was started without.
    beside = ("k3s.cattle.io", "networking.k8s.io")
    ours = [one for one in found["groups"] if one["name"] not in beside]
    assert ours == served
    assert {**found, "groups": []} == {**wanted, "groups": []}


def test_core_resources(replies: dict[str, Reply]) -> None:
    found, wanted = replies["discovery /api/v1"].body, _recorded("discovery /api/v1")
    served = [one for one in wanted["resources"] if one["name"] not in NOT_SERVED_CORE]
    assert found["resources"] == served
    assert {**found, "resources": []} == {**wanted, "resources": []}
