"""The client against the simulated API server: reads, watches, writes, and every fault on purpose."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
import yaml

from axiom_tui.clients.kubernetes import (
    NODE_METRICS,
    NODES,
    PODS,
    PRIORITY_CLASSES,
    SERVICES,
    EventType,
    KubernetesClient,
    connect,
)
from axiom_tui.model.lease import Lease
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind
from tests.clients.simulated_cluster import NAMES, SimulatedCluster, node, simulated_cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SimulatedCluster]:
    with simulated_cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: SimulatedCluster) -> Iterator[KubernetesClient]:
    with cluster.client() as client:
        yield client


def problem(call: Callable[[], object]) -> Problem:
    with pytest.raises(AxiomError) as caught:
        call()
    return caught.value.problem


# -- reading -------------------------------------------------------------------------------------------


def test_the_cluster_comes_from_the_kubeconfig(cluster: SimulatedCluster, client: KubernetesClient) -> None:
    assert client.cluster.context == "axiom"
    assert client.cluster.server == cluster.server.url


@pytest.mark.parametrize("credential", ["certificate", "token"])
def test_both_ways_to_log_in(cluster: SimulatedCluster, credential: str, tmp_path: Path) -> None:
    from axiom_tui.clients.kubernetes import KubernetesOptions

    path = cluster.server.write_kubeconfig(tmp_path / "own", credential=credential)
    client = connect(KubernetesOptions((path,)))
    assert client.version() == "v1.33.4+k3s1"
    client.disconnect()


def test_a_list_in_chunks_is_complete(cluster: SimulatedCluster, client: KubernetesClient) -> None:
    for number in range(1200):
        cluster.store.create("nodes", node(f"wall-b-{number}"))
    listing = client.list(NODES)
    assert len({item.name for item in listing.items}) == 1200 + len(NAMES)
    assert listing.resource_version == str(cluster.store.version)


def test_selectors(cluster: SimulatedCluster, client: KubernetesClient) -> None:
    cluster.label("wall-a-2", "pool", "internal")
    assert [item.name for item in client.list(NODES, label_selector="pool=internal").items] == ["wall-a-2"]
    found = client.list(NODES, field_selector="metadata.name=m-o-2").items
    assert [item.name for item in found] == ["m-o-2"]


def test_one_object_its_yaml_and_one_that_is_not_there(client: KubernetesClient) -> None:
    assert client.get(NODES, "m-o-1").name == "m-o-1"
    text = client.node_yaml("m-o-1")
    assert yaml.safe_load(text)["metadata"]["name"] == "m-o-1"
    assert "managedFields" not in text
    assert problem(lambda: client.get(NODES, "wall-a-99")).kind is ProblemKind.MISSING


def test_version_groups_and_clock(cluster: SimulatedCluster, client: KubernetesClient) -> None:
    assert client.version() == "v1.33.4+k3s1"
    assert {"apps", "metrics.k8s.io"} <= client.groups()
    cluster.faults.set("skew", seconds=3600)
    ahead = client.server_time() - datetime.now(UTC)
    assert timedelta(minutes=59) < ahead < timedelta(minutes=61)


def test_events_of_a_node_newest_first(cluster: SimulatedCluster, client: KubernetesClient) -> None:
    for number, (name, minute) in enumerate((("m-o-1", 1), ("m-o-1", 3), ("m-o-1", 2), ("m-o-2", 4))):
        event = {
            "metadata": {"name": f"e{number}", "namespace": "default"},
            "involvedObject": {"kind": "Node", "name": name},
            "reason": f"R{minute}",
            "type": "Normal",
            "lastTimestamp": f"2026-11-22T09:0{minute}:00Z",
        }
        cluster.store.create("events", event)
    assert [event.reason for event in client.events_of("Node", "m-o-1")] == ["R3", "R2", "R1"]


def test_rights(cluster: SimulatedCluster, client: KubernetesClient) -> None:
    assert client.can_i("patch", "nodes")[0]
    with cluster.client("viewer") as viewer:
        assert viewer.can_i("list", "nodes")[0]
        assert not viewer.can_i("patch", "nodes", name="m-o-1")[0]
        assert not viewer.can_i("create", "leases", group="coordination.k8s.io", namespace="kube-system")[0]


# -- watching ------------------------------------------------------------------------------------------


def test_a_watch_goes_on_where_the_list_ended(cluster: SimulatedCluster, client: KubernetesClient) -> None:
    listing = client.list(NODES)
    cluster.label("wall-a-1", "x", "1")
    with client.watch(NODES, listing.resource_version) as watch:
        cluster.store.create("nodes", node("wall-a-3"))
        cluster.store.delete("nodes", "wall-a-2")
        events = list(islice(watch, 3))
    assert [(event.type, event.object and event.object.name) for event in events] == [
        (EventType.MODIFIED, "wall-a-1"),
        (EventType.ADDED, "wall-a-3"),
        (EventType.DELETED, "wall-a-2"),
    ]
    assert events[-1].resource_version == str(cluster.store.version)


def test_bookmarks_move_the_position_on(tmp_path: Path) -> None:
    with simulated_cluster(tmp_path, bookmark_interval=0.05) as cluster, cluster.client() as client:
        listing = client.list(PODS)
        version = cluster.label("wall-a-1", "x", "1")
        with client.watch(PODS, listing.resource_version) as watch:
            marks = (event for event in watch if event.resource_version == version)
            event = next(marks)
    assert event.type is EventType.BOOKMARK
    assert event.object is None


def test_a_position_that_was_compacted_is_expired(
    cluster: SimulatedCluster, client: KubernetesClient
) -> None:
    listing = client.list(NODES)
    cluster.label("wall-a-1", "x", "1")
    cluster.store.compact()
    with client.watch(NODES, listing.resource_version) as watch:
        found = problem(lambda: list(watch))
    assert found.kind is ProblemKind.EXPIRED
    assert "no longer knows the position from which to watch nodes (410)" in found.sentence


def test_a_stream_cut_in_the_middle_of_a_line(cluster: SimulatedCluster, client: KubernetesClient) -> None:
    listing = client.list(NODES)
    with client.watch(NODES, listing.resource_version) as watch:
        cluster.faults.set("cut", path="/api/v1/nodes", times=1)
        found = problem(lambda: list(watch))
    assert found.kind is ProblemKind.UNREACHABLE
    assert "was cut while it answered (watch nodes)" in found.sentence
    version = cluster.label("wall-a-1", "x", "1")
    with client.watch(NODES, listing.resource_version) as watch:
        assert next(iter(watch)).resource_version == version


def test_silence_ends_a_watch_without_a_fault(cluster: SimulatedCluster) -> None:
    """And sooner than an answer may take to come."""
    with cluster.client(watch_silence=0.2, read_timeout=60.0) as client:
        watch = client.watch(NODES, client.list(NODES).resource_version)
        seen: list[list[object]] = []
        thread = threading.Thread(target=lambda: seen.append(list(watch)))
        thread.start()
        thread.join(20)
        assert seen == [[]]
        watch.close()


def test_a_blocked_watch_ends_within_a_moment(cluster: SimulatedCluster, client: KubernetesClient) -> None:
    watch = client.watch(NODES, client.list(NODES).resource_version)
    is_reading = threading.Event()
    raised: list[tuple[ProblemKind, float]] = []

    def read_on() -> None:
        for _ in watch:
            is_reading.set()

    def follow() -> None:
        with watch:
            found = problem(read_on)
        raised.append((found.kind, time.monotonic()))

    thread = threading.Thread(target=follow)
    thread.start()
    cluster.label("wall-a-1", "x", "1")
    assert is_reading.wait(20)
    asked = time.monotonic()
    client.interrupt()
    thread.join(20)
    ((kind, ended),) = raised
    assert kind is ProblemKind.CANCELLED
    assert ended - asked < 4.0  # well before the 5 s of silence that end a watch anyway
    assert client.version()  # the client itself stays usable


# -- writing -------------------------------------------------------------------------------------------


def test_labels_are_patched_and_nothing_else(cluster: SimulatedCluster, client: KubernetesClient) -> None:
    before = client.get(NODES, "wall-a-1")
    changed = client.patch_node_labels(
        "wall-a-1", {"a": "1", "kubernetes.io/arch": None}, resource_version=before.resource_version
    )
    expected = {**before.labels, "a": "1"}
    del expected["kubernetes.io/arch"]
    assert changed.labels == expected
    stored = cluster.store.get("nodes", "wall-a-1")
    assert stored is not None
    assert {item["manager"] for item in stored["metadata"]["managedFields"]} >= {"axiom-tui"}


def test_a_dry_run_changes_nothing(cluster: SimulatedCluster, client: KubernetesClient) -> None:
    at = cluster.store.version
    changed = client.patch_node_labels("wall-a-1", {"a": "1"}, resource_version="", dry_run=True)
    assert changed.labels["a"] == "1"
    assert cluster.store.version == at


def test_a_patch_from_an_old_version_is_a_conflict(
    cluster: SimulatedCluster, client: KubernetesClient
) -> None:
    before = client.get(NODES, "wall-a-1")
    cluster.label("wall-a-1", "x", "1")
    found = problem(
        lambda: client.patch_node_labels("wall-a-1", {"a": "1"}, resource_version=before.resource_version)
    )
    assert found.kind is ProblemKind.CONFLICT
    assert "Could not patch Node 'wall-a-1'" in found.sentence


def test_a_value_that_kubernetes_refuses(client: KubernetesClient) -> None:
    found = problem(lambda: client.patch_node_labels("wall-a-1", {"a": "in ternal!"}, resource_version=""))
    assert found.kind is ProblemKind.INVALID
    assert "in ternal!" in found.sentence


def test_who_may_only_look_may_not_patch(cluster: SimulatedCluster) -> None:
    with cluster.client("viewer") as viewer:
        found = problem(lambda: viewer.patch_node_labels("wall-a-1", {"a": "1"}, resource_version=""))
    assert found.kind is ProblemKind.FORBIDDEN
    assert found.sentence == "User 'axiom-viewer' may not patch nodes in the whole cluster (403)."


def test_labels_and_an_annotation_of_a_service(cluster: SimulatedCluster, client: KubernetesClient) -> None:
    spec = {"type": "LoadBalancer", "ports": [{"port": 80}]}
    cluster.store.create("services", {"metadata": {"name": "web"}, "spec": spec}, "default")
    before = client.get(SERVICES, "web", "default")
    after = client.patch_service_labels(
        "default", "web", {"p": "x"}, annotations={"n": "1"}, resource_version=before.resource_version
    )
    assert (after.labels, after.annotations) == ({"p": "x"}, {"n": "1"})


def test_a_node_is_deleted(client: KubernetesClient) -> None:
    client.delete_node("wall-a-2")
    assert problem(lambda: client.delete_node("wall-a-2")).kind is ProblemKind.MISSING


def test_the_life_of_a_lease(client: KubernetesClient) -> None:
    moment = datetime(2026, 11, 22, 9, 0, 0, 1, tzinfo=UTC)
    assert client.get_lease("kube-system", "axiom-tui") is None
    lease = Lease("kube-system", "axiom-tui", "ada@ws (1)", 30, moment, moment, annotations={"for": "labels"})
    created = client.create_lease(lease)
    assert created.holder == "ada@ws (1)"
    assert created.annotations == {"for": "labels"}
    assert problem(lambda: client.create_lease(lease)).kind is ProblemKind.CONFLICT
    later = moment + timedelta(seconds=10)
    renewed = client.replace_lease(
        Lease(
            **{name: getattr(created, name) for name in created.__slots__ if name != "renewed"}, renewed=later
        )
    )
    assert renewed.renewed == later
    assert problem(lambda: client.replace_lease(created)).kind is ProblemKind.CONFLICT
    assert client.get_lease("kube-system", "axiom-tui") == renewed
    client.delete_lease("kube-system", "axiom-tui", resource_version=renewed.resource_version)
    assert client.get_lease("kube-system", "axiom-tui") is None


# -- faults on purpose ---------------------------------------------------------------------------------

FAULTS = [
    (
        "unauthorized",
        {},
        ProblemKind.UNAUTHENTICATED,
        "does not accept the credentials of user 'axiom-admin'",
    ),
    ("forbidden", {}, ProblemKind.FORBIDDEN, "may not list nodes in the whole cluster (403)"),
    ("throttle", {"retry_after": 2}, ProblemKind.THROTTLED, "refuses to list nodes for 2 s"),
    ("throttle", {"form": "text"}, ProblemKind.THROTTLED, "refuses to list nodes for 1 s"),
    ("broken", {}, ProblemKind.BROKEN, "failed to list nodes"),
    ("broken", {"form": "text"}, ProblemKind.BROKEN, "no healthy upstream (503)"),
    ("garbage", {}, ProblemKind.GARBLED, "when asked to list nodes cannot be read"),
    ("cut", {}, ProblemKind.UNREACHABLE, "was cut while it answered (list nodes)"),
    ("hang", {}, ProblemKind.TIMED_OUT, "did not answer within 0.5 s (list nodes)"),
    ("slow", {"delay": 5.0}, ProblemKind.TIMED_OUT, "did not answer within 0.5 s (list nodes)"),
    ("refuse", {}, ProblemKind.REFUSED, "Nothing listens at 127.0.0.1:"),
]


@pytest.mark.parametrize(("kind", "how", "expected", "words"), FAULTS)
def test_every_fault_ends_in_its_sentence_and_in_recovery(
    cluster: SimulatedCluster, kind: str, how: dict[str, str | int | float], expected: ProblemKind, words: str
) -> None:
    with cluster.client(read_timeout=0.5) as client:
        assert len(client.list(NODES).items) == len(NAMES)
        cluster.faults.set(kind, **how)
        if kind == "refuse":
            cluster.wait_until_refused()
        found = problem(lambda: client.list(NODES))
        cluster.faults.clear()
        assert found.kind is expected, found
        assert words in found.sentence
        assert found.remedy
        assert len(client.list(NODES).items) == len(NAMES)


def test_throttling_names_its_seconds(cluster: SimulatedCluster, client: KubernetesClient) -> None:
    cluster.faults.set("throttle", retry_after=7)
    assert problem(lambda: client.list(NODES)).retry_after == 7


def test_chunks_that_expire(cluster: SimulatedCluster, client: KubernetesClient) -> None:
    for number in range(600):
        cluster.store.create("nodes", node(f"wall-b-{number}"))
    cluster.faults.set("expire")
    assert len(client.list(NODES).items) == 600 + len(NAMES)


def test_a_token_that_nobody_knows_and_a_user_without_rights(cluster: SimulatedCluster) -> None:
    with cluster.client("badtoken") as client:
        assert problem(lambda: client.list(NODES)).kind is ProblemKind.UNAUTHENTICATED
    with cluster.client("noperm") as client:
        found = problem(lambda: client.list(NODES))
    assert found.sentence == "User 'axiom-noperm' may not list nodes in the whole cluster (403)."
    assert "a ClusterRole with 'list' on 'nodes'" in found.remedy


def test_metrics_that_are_not_installed(tmp_path: Path) -> None:
    with simulated_cluster(tmp_path, metrics=False) as cluster, cluster.client() as client:
        assert problem(lambda: client.list(NODE_METRICS)).kind is ProblemKind.MISSING
        assert "metrics.k8s.io" not in client.groups()


def test_priority_classes_of_the_system(client: KubernetesClient) -> None:
    found = {item.name: item.value for item in client.list(PRIORITY_CLASSES).items}
    assert found["system-cluster-critical"] == 2_000_000_000
