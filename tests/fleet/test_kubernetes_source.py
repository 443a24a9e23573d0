"""The sources of a cluster against the simulated API: every fault is said, data stays, recovery comes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from axiom_tui.clients.kubernetes import NODES, KubernetesClient, KubernetesOptions, cluster_of, connect
from axiom_tui.fleet import kubernetes as kubernetes_module
from axiom_tui.fleet import source as source_module
from axiom_tui.fleet.kubernetes import Connection, WatchedSource, kubernetes_sources
from axiom_tui.fleet.source import Source
from axiom_tui.model.fleet import Observation, SourceState, SourceStatus
from axiom_tui.model.node import Node
from axiom_tui.model.problem import ProblemKind
from tests.clients.simulated_cluster import NAMES, SimulatedCluster, node, simulated_cluster
from tests.clients.wire_server import http, http_json, serving

#: Sources of what every K3s has; others may be off.
ALWAYS_THERE = ("api", "nodes", "pods", "services", "daemonsets", "priorityclasses", "metrics")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back off as always, but in hundredths of a second."""
    monkeypatch.setattr(source_module, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(source_module, "LONGEST_DELAY", 0.05)
    monkeypatch.setattr(kubernetes_module, "RELIST_JITTER", 0.01)
    monkeypatch.setattr(kubernetes_module, "METRICS_INTERVAL", 0.02)
    monkeypatch.setattr(kubernetes_module, "ABSENT_INTERVAL", 0.02)
    monkeypatch.setattr(kubernetes_module, "API_INTERVAL", 0.02)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SimulatedCluster]:
    with simulated_cluster(tmp_path) as cluster:
        yield cluster


class Sink:
    """Keeps what the sources publish, and lets a test wait for it."""

    def __init__(self) -> None:
        self.seen = Observation()
        self.statuses: dict[str, SourceStatus] = {}
        self.history: list[SourceStatus] = []
        self.changes = 0
        self._changed = threading.Condition()

    def change(self, edit: Callable[[Observation], Observation]) -> None:
        with self._changed:
            self.seen = edit(self.seen)
            self.changes += 1
            self._changed.notify_all()

    def report(self, status: SourceStatus) -> None:
        with self._changed:
            self.statuses[status.name] = status
            self.history.append(status)
            self._changed.notify_all()

    def wait(self, what: str, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, 20), f"waited in vain: {what}; {self.statuses}"

    def is_in(self, name: str, state: SourceState, words: str = "") -> bool:
        status = self.statuses.get(name)
        said = status.problem.sentence if status and status.problem else ""
        return status is not None and status.state is state and words in said

    def wait_for(self, name: str, state: SourceState, words: str = "") -> SourceStatus:
        self.wait(f"{name} {state} {words}", lambda: self.is_in(name, state, words))
        return self.statuses[name]

    def said(self, name: str, words: str) -> bool:
        return any(
            item.name == name and item.problem is not None and words in item.problem.sentence
            for item in self.history
        )

    @property
    def names(self) -> set[str]:
        return {item.name for item in self.seen.nodes}


@contextmanager
def running(sources: tuple[Source, ...]) -> Iterator[None]:
    for source in sources:
        source.start()
    try:
        yield
    finally:
        for source in sources:
            source.stop()
        lingering = [source.name for source in sources if not source.join(20)]
        assert lingering == []


def all_sources(sink: Sink, options: KubernetesOptions) -> tuple[Source, ...]:
    return kubernetes_sources(sink, options, cluster_of(options))


def put(seen: Observation, items: tuple[Node, ...]) -> Observation:
    return replace(seen, nodes=items)


def nodes_only(sink: Sink, options: KubernetesOptions) -> WatchedSource[Node]:
    return WatchedSource("nodes", sink, Connection(options, cluster_of(options)), NODES, put)


def test_everything_becomes_live_over_one_connection_setup(
    cluster: SimulatedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    connects = []

    def counted(options: KubernetesOptions) -> KubernetesClient:
        connects.append(options.context)
        return connect(options)

    monkeypatch.setattr(kubernetes_module, "connect", counted)
    service = {"metadata": {"name": "web"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}
    cluster.store.create("services", service, "default")
    for name, labels in (
        ("svclb-web", {"svccontroller.k3s.cattle.io/nodeselector": "false"}),
        ("cilium", {}),
    ):
        template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": []}}
        spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
        daemon_set = {"metadata": {"name": name, "labels": labels}, "spec": spec}
        cluster.store.create("daemonsets.apps", daemon_set, "kube-system")
    sink = Sink()
    sources = all_sources(sink, cluster.options())
    with running(sources):
        for name in ALWAYS_THERE:
            sink.wait_for(name, SourceState.LIVE)
        sink.wait("version", lambda: sink.seen.version == "v1.33.4+k3s1")
    assert sink.names == set(NAMES)
    assert "web" in {item.name for item in sink.seen.services}
    assert [item.name for item in sink.seen.daemon_sets] == ["svclb-web"]
    assert "system-node-critical" in {item.name for item in sink.seen.priority_classes}
    assert "metrics.k8s.io" in sink.seen.installed_groups
    assert connects == ["axiom"]


def test_changes_are_followed(cluster: SimulatedCluster) -> None:
    sink = Sink()
    with running((nodes_only(sink, cluster.options()),)):
        sink.wait_for("nodes", SourceState.LIVE)
        cluster.store.create("nodes", node("wall-a-3"))
        sink.wait("new node", lambda: "wall-a-3" in sink.names)
        cluster.label("wall-a-3", "pool", "x")
        sink.wait("label", lambda: any(item.labels.get("pool") == "x" for item in sink.seen.nodes))
        cluster.store.delete("nodes", "wall-a-3")
        sink.wait("node gone", lambda: "wall-a-3" not in sink.names)
    assert {item.state for item in sink.history} == {SourceState.LOADING, SourceState.LIVE}


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("unauthorized", {}, "does not accept the credentials"),
    ("forbidden", {}, "may not watch nodes in the whole cluster (403)"),
    ("throttle", {"retry_after": 1}, "refuses to watch nodes for 1 s"),
    ("broken", {}, "failed to watch nodes"),
    ("garbage", {}, "cannot be read"),
    ("hang", {}, "did not answer within 0.5 s (watch nodes)"),
    ("cut", {}, "was cut while it answered (watch nodes)"),
    ("refuse", {}, "Nothing listens at"),
    ("expire", {}, "no longer knows the position from which to watch nodes (410)"),
]


@pytest.mark.parametrize(("kind", "how", "words"), FAULTS)
def test_every_fault_keeps_the_data_says_why_and_recovers(
    cluster: SimulatedCluster, kind: str, how: dict[str, Any], words: str
) -> None:
    sink = Sink()
    options = cluster.options(read_timeout=0.5, watch_silence=0.2)
    with running((nodes_only(sink, options),)):
        sink.wait_for("nodes", SourceState.LIVE)
        cluster.faults.set(kind, **how)
        # Whatever the fault does first to the open stream, its own sentence comes.
        sink.wait(words, lambda: sink.said("nodes", words))
        status = next(item for item in reversed(sink.history) if item.state is not SourceState.LIVE)
        assert status.state is SourceState.STALE
        assert status.last_good is not None
        assert status.problem is not None
        assert status.problem.remedy
        assert sink.names == set(NAMES)
        cluster.faults.clear()
        cluster.store.create("nodes", node("wall-a-9"))
        sink.wait("the node that came meanwhile", lambda: "wall-a-9" in sink.names)
        sink.wait_for("nodes", SourceState.LIVE)


@pytest.mark.parametrize(("kind", "how", "words"), [fault for fault in FAULTS if fault[0] != "expire"])
def test_every_fault_from_the_start_is_failed_and_recovers(
    cluster: SimulatedCluster, kind: str, how: dict[str, Any], words: str
) -> None:
    sink = Sink()
    cluster.faults.set(kind, **how)
    with running((nodes_only(sink, cluster.options(read_timeout=0.5)),)):
        status = sink.wait_for("nodes", SourceState.FAILED, words.replace("watch nodes", "list nodes"))
        assert status.last_good is None
        assert status.retry_at is not None
        cluster.faults.clear()
        sink.wait_for("nodes", SourceState.LIVE)
    assert sink.names == set(NAMES)


def test_a_short_cut_goes_on_from_the_last_position_without_a_new_list(cluster: SimulatedCluster) -> None:
    sink = Sink()
    with running((nodes_only(sink, cluster.options()),)):
        sink.wait_for("nodes", SourceState.LIVE)
        cluster.faults.set("cut", path="/api/v1/nodes?", times=1)
        sink.wait("cut", lambda: sink.said("nodes", "was cut"))
        # A list would answer 500; only the watch goes on.
        cluster.faults.set("broken", path="/api/v1/nodes?limit")
        cluster.label("wall-a-1", "x", "1")
        sink.wait("label", lambda: any(item.labels.get("x") == "1" for item in sink.seen.nodes))
        sink.wait_for("nodes", SourceState.LIVE)
    assert not sink.said("nodes", "failed to list")


def test_one_expiry_is_healed_in_silence(cluster: SimulatedCluster) -> None:
    sink = Sink()
    with running((nodes_only(sink, cluster.options()),)):
        sink.wait_for("nodes", SourceState.LIVE)
        before = sink.changes
        cluster.faults.set("expire", times=1)
        sink.wait("a new list", lambda: sink.changes > before)
        cluster.label("wall-a-1", "x", "1")
        sink.wait("label", lambda: any(item.labels.get("x") == "1" for item in sink.seen.nodes))
    assert {item.state for item in sink.history} == {SourceState.LOADING, SourceState.LIVE}


def test_one_source_that_fails_does_not_touch_the_others(cluster: SimulatedCluster) -> None:
    sink = Sink()
    cluster.faults.set("forbidden", path="/api/v1/pods")
    sources = all_sources(sink, cluster.options())
    with running(sources):
        sink.wait_for("pods", SourceState.FAILED, "may not list pods in the whole cluster")
        for name in ALWAYS_THERE:
            if name != "pods":
                sink.wait_for(name, SourceState.LIVE)
        cluster.faults.clear()
        sink.wait_for("pods", SourceState.LIVE)


def test_who_may_list_but_not_watch_still_sees_changes(cluster: SimulatedCluster) -> None:
    sink = Sink()
    cluster.faults.set("forbidden", path="/api/v1/nodes?watch")
    with running((nodes_only(sink, cluster.options()),)):
        sink.wait_for("nodes", SourceState.STALE, "may not watch nodes")
        cluster.store.create("nodes", node("wall-a-3"))
        sink.wait("new node", lambda: "wall-a-3" in sink.names)


def test_metrics_that_are_not_installed_are_off_and_come_by_themselves(tmp_path: Path) -> None:
    from axiom_tui.simulator.resources import METRICS

    with simulated_cluster(tmp_path, metrics=False) as cluster:
        sink = Sink()
        with running(all_sources(sink, cluster.options())):
            status = sink.wait_for("metrics", SourceState.OFF, "has no metrics.k8s.io (it is not installed)")
            assert status.problem is not None
            assert status.problem.kind is ProblemKind.MISSING
            cluster.store.register(*METRICS)
            usage = {"cpu": "500m", "memory": "1Gi"}
            cluster.store.create("nodes.metrics.k8s.io", {"metadata": {"name": "m-o-1"}, "usage": usage})
            sink.wait_for("metrics", SourceState.LIVE)
            sink.wait("usage", lambda: "m-o-1" in sink.seen.usage)
            assert sink.seen.usage["m-o-1"].cpu == 0.5


def test_refresh_lists_again(cluster: SimulatedCluster) -> None:
    sink = Sink()
    source = nodes_only(sink, cluster.options())
    with running((source,)):
        sink.wait_for("nodes", SourceState.LIVE)
        before = sink.changes
        source.refresh()
        sink.wait("a new list", lambda: sink.changes > before)
        cluster.label("wall-a-1", "x", "1")
        sink.wait("label", lambda: any(item.labels.get("x") == "1" for item in sink.seen.nodes))
    assert {item.state for item in sink.history} == {SourceState.LOADING, SourceState.LIVE}


def test_stopping_while_the_api_hangs_ends_the_threads(cluster: SimulatedCluster) -> None:
    cluster.faults.set("hang")
    sink = Sink()
    sources = all_sources(sink, cluster.options(read_timeout=600.0))
    with running(sources):
        sink.wait("started", lambda: len(sink.statuses) == len(sources))
    # `running` has waited for their end, in much less than the 600 s that a read may last.


def test_mended_credentials_are_read_without_a_restart(cluster: SimulatedCluster) -> None:
    """The usual morning: the certificate expired, and a fresh kubeconfig is copied over the old one."""
    options = cluster.options("badtoken")
    sink = Sink()
    with running((nodes_only(sink, options),)):
        sink.wait_for("nodes", SourceState.FAILED, "does not accept the credentials")
        cluster.server.write_kubeconfig(options.kubeconfig[0], user="admin")
        sink.wait_for("nodes", SourceState.LIVE)


def test_the_nodes_come_first_so_that_their_trouble_does(cluster: SimulatedCluster) -> None:
    assert all_sources(Sink(), cluster.options())[0].name == "nodes"


def test_a_kubeconfig_that_becomes_another_cluster_is_refused(cluster: SimulatedCluster) -> None:
    options = cluster.options("badtoken")
    source_cluster = cluster_of(options)
    sink = Sink()
    with running(kubernetes_sources(sink, options, source_cluster)[:1]):
        sink.wait_for("nodes", SourceState.FAILED, "does not accept the credentials")
        config = yaml.safe_load(options.kubeconfig[0].read_text())
        config["clusters"][0]["cluster"]["server"] = "https://other.example:6443"
        options.kubeconfig[0].write_text(yaml.safe_dump(config))
        sink.wait_for("nodes", SourceState.FAILED, "now leads to axiom at https://other.example:6443")
    assert sink.names == set()


def test_a_kubeconfig_that_goes_and_comes_back(cluster: SimulatedCluster) -> None:
    options = cluster.options()
    text = options.kubeconfig[0].read_text()
    sink = Sink()
    sources = all_sources(sink, options)
    options.kubeconfig[0].unlink()
    with running(sources):
        for source in sources:
            sink.wait_for(source.name, SourceState.FAILED, "There is no kubeconfig at")
        options.kubeconfig[0].write_text(text)
        for name in ALWAYS_THERE:
            sink.wait_for(name, SourceState.LIVE)


def test_a_failing_plugin_is_said_and_recovers(cluster: SimulatedCluster, tmp_path: Path) -> None:
    options = cluster.options("viewer")
    config = yaml.safe_load(options.kubeconfig[0].read_text())
    token = config["users"][0]["user"].pop("token")
    plugin = tmp_path / "login"
    plugin.write_text("#!/bin/sh\necho 'run: axiom login' >&2\nexit 1\n")
    plugin.chmod(0o755)
    api = "client.authentication.k8s.io/v1"
    config["users"][0]["user"]["exec"] = {"apiVersion": api, "command": str(plugin)}
    options.kubeconfig[0].write_text(yaml.safe_dump(config))
    sink = Sink()
    with running(all_sources(sink, options)):
        sink.wait_for("nodes", SourceState.FAILED, "failed with exit code 1: run: axiom login")
        good = f'{{"apiVersion":"{api}","kind":"ExecCredential","status":{{"token":"{token}"}}}}'
        fresh = tmp_path / "fresh"
        fresh.write_text(f"#!/bin/sh\necho '{good}'\n")
        fresh.chmod(0o755)
        fresh.replace(plugin)
        sink.wait_for("nodes", SourceState.LIVE)
        sink.wait_for("pods", SourceState.LIVE)


def test_stopping_while_a_plugin_hangs_ends_it(cluster: SimulatedCluster, tmp_path: Path) -> None:
    options = cluster.options("viewer", exec_timeout=600.0)
    config = yaml.safe_load(options.kubeconfig[0].read_text())
    started = tmp_path / "started"
    plugin = tmp_path / "login"
    plugin.write_text(f"#!/bin/sh\ntouch {started}\nsleep 600\n")
    plugin.chmod(0o755)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
    config["users"][0]["user"] = user
    options.kubeconfig[0].write_text(yaml.safe_dump(config))
    with running(all_sources(Sink(), options)):
        gate = threading.Event()
        while not started.exists():
            gate.wait(0.01)


def test_a_burst_of_events_is_handed_over_once(cluster: SimulatedCluster) -> None:
    """A sink that takes its time gets one edit for all that came meanwhile, and the newest state."""

    class SlowSink(Sink):
        def __init__(self) -> None:
            super().__init__()
            self.edits: list[Callable[[Observation], Observation]] = []

        def change(self, edit: Callable[[Observation], Observation]) -> None:
            self.edits.append(edit)

    sink = SlowSink()
    source = nodes_only(sink, cluster.options())
    with running((source,)):
        sink.wait_for("nodes", SourceState.LIVE)
        for number in range(50):
            cluster.label("wall-a-1", "n", str(number))
        gate = threading.Event()
        while source._version != str(cluster.store.version):
            gate.wait(0.01)
        assert len(sink.edits) == 1
        seen = sink.edits[0](Observation())
        assert {item.labels["n"] for item in seen.nodes if item.name == "wall-a-1"} == {"49"}


class Pausing(WatchedSource[Node]):
    """Remembers its pauses."""

    pauses: tuple[float, ...] = ()

    def pause(self, seconds: float) -> None:
        self.pauses += (seconds,)
        super().pause(seconds)


def test_a_server_that_ends_each_watch_at_once_is_not_asked_without_a_pause(tmp_path: Path) -> None:
    """Without an error there is nothing to back off from: it was asked thousands of times a second."""
    enough = threading.Event()
    watches: list[bytes] = []

    def answer(request: bytes) -> bytes:
        if b"watch=true" not in request:
            return http_json({"kind": "NodeList", "metadata": {"resourceVersion": "5"}, "items": []})
        watches.append(request)
        if len(watches) >= 5:
            enough.set()
        return http("")

    with serving(answer) as server:
        names = {"cluster": "axiom", "user": "anna"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "axiom", "cluster": {"server": server.url}}],
            "users": [{"name": "anna", "user": {}}],
            "contexts": [{"name": "axiom", "context": names}],
            "current-context": "axiom",
        }
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(config))
        options, sink = KubernetesOptions((kubeconfig,)), Sink()
        source = Pausing("nodes", sink, Connection(options, cluster_of(options)), NODES, put)
        with running((source,)):
            assert enough.wait(20)
        assert len(source.pauses) >= len(watches) - 1
        assert min(source.pauses) > 0
