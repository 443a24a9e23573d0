"""The store: versions, copies, order, subscriptions, and snapshots of the past."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.simulator.resources import METRICS, STANDARD, Resource
from axiom_tui.simulator.statuses import ApiError
from axiom_tui.simulator.store import ObjectStore

Json = dict[str, Any]


def _node(name: str) -> Json:
    return {"metadata": {"name": name}, "spec": {}}


def test_created_objects_are_complete_and_private() -> None:
    store = ObjectStore()
    given_object = _node("n1")
    created = store.create("nodes", given_object)
    assert given_object == _node("n1")
    metadata = created["metadata"]
    assert (created["kind"], created["apiVersion"], metadata["resourceVersion"]) == ("Node", "v1", "1")
    assert metadata["uid"]
    assert metadata["creationTimestamp"].endswith("Z")
    created["metadata"]["labels"] = {"mine": "alone"}
    found = store.get("nodes", "n1")
    assert found is not None
    assert "labels" not in found["metadata"]


def test_names_are_generated_and_doubles_refused() -> None:
    store = ObjectStore()
    made = store.create("pods", {"metadata": {"generateName": "svclb-"}, "spec": {}}, "kube-system")
    assert made["metadata"]["name"].startswith("svclb-")
    assert made["metadata"]["namespace"] == "kube-system"
    with pytest.raises(ApiError, match=r'pods ".*" already exists'):
        store.create("pods", made, "kube-system")
    with pytest.raises(ApiError, match='nodes "none" not found'):
        store.mutate("nodes", "none", lambda _: None)
    with pytest.raises(KeyError):
        store.create("starships", _node("enterprise"))


def test_a_change_that_changes_nothing_has_no_version_and_no_event() -> None:
    store = ObjectStore()
    store.create("nodes", _node("n1"))
    heard: list[str] = []
    store.subscribe(lambda kind, _plural, _object: heard.append(kind))
    store.mutate("nodes", "n1", lambda _: None)
    assert (store.version, heard) == (1, [])


def test_a_change_that_fails_leaves_everything_as_it_was() -> None:
    store = ObjectStore()
    store.create("nodes", _node("n1"))

    def spoil(node: Json) -> None:
        node["spec"]["spoiled"] = True
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        store.mutate("nodes", "n1", spoil)
    found = store.get("nodes", "n1")
    assert found is not None
    assert found["spec"] == {}
    assert store.version == 1


def test_subscribers_hear_everything_in_order_and_may_write_themselves() -> None:
    store = ObjectStore()
    heard: list[tuple[str, str, str]] = []

    def controller(kind: str, plural: str, obj: Json) -> None:
        heard.append((kind, plural, obj["metadata"]["name"]))
        if (kind, plural) == ("ADDED", "nodes"):
            store.create("leases.coordination.k8s.io", {"metadata": {"name": "n1"}}, "kube-node-lease")

    unsubscribe = store.subscribe(controller)
    store.create("nodes", _node("n1"))
    store.delete("nodes", "n1")
    unsubscribe()
    store.create("nodes", _node("n2"))
    assert heard == [
        ("ADDED", "nodes", "n1"),
        ("ADDED", "leases.coordination.k8s.io", "n1"),
        ("DELETED", "nodes", "n1"),
    ]


def test_a_subscriber_is_called_outside_the_lock() -> None:
    store = ObjectStore()
    seen: list[bool] = []

    def read_elsewhere(_kind: str, _plural: str, _object: Json) -> None:
        reading = threading.Thread(target=lambda: store.list("nodes"))
        reading.start()
        reading.join(10)
        seen.append(reading.is_alive())

    store.subscribe(read_elsewhere)
    store.create("nodes", _node("n1"))
    store.mutate("nodes", "n1", lambda node: node["spec"].update(unschedulable=True))
    store.delete("nodes", "n1")
    assert seen == [False, False, False]


def test_metrics_have_no_version_and_no_history() -> None:
    store = ObjectStore((*STANDARD, *METRICS))
    made = store.create("nodes.metrics.k8s.io", {"metadata": {"name": "n"}, "usage": {"cpu": "1"}})
    assert made["metadata"] == {"name": "n"}
    store.mutate("nodes.metrics.k8s.io", "n", lambda one: one["usage"].update(cpu="2"))
    assert store.version == 0
    assert store.changes_after(0) == ([], 0)


def test_history_is_bounded_by_number_and_by_size() -> None:
    few = ObjectStore(history=3)
    small = ObjectStore(history_bytes=1_000)
    for store in (few, small):
        for number in range(10):
            store.create("configmaps", {"metadata": {"name": f"c{number}"}, "data": {"x": "y" * 100}})
        assert store.compacted > 0
        with pytest.raises(ApiError) as caught:
            store.changes_after(0)
        assert caught.value.code == 410
        changes, version = store.changes_after(store.compacted)
        assert [change.version for change in changes] == list(range(store.compacted + 1, version + 1))


def test_resources_of_ones_own() -> None:
    store = ObjectStore()
    store.register(Resource("backups", "Backup", group="velero.io", custom=True))
    store.create("backups.velero.io", {"metadata": {"name": "b"}}, "velero")
    assert store.list("backups.velero.io", "velero")[0]["apiVersion"] == "velero.io/v1"
    assert store.list("backups.velero.io", "elsewhere") == []


_STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "delete"]), st.sampled_from("abcd"), st.integers(0, 3)), max_size=30
)


@given(_STEPS)
def test_every_version_can_be_seen_again(steps: list[tuple[str, str, int]]) -> None:
    """A snapshot at a version equals the objects as they were when the store had that version."""
    store = ObjectStore()
    past: dict[int, dict[str, int]] = {0: {}}
    for action, name, value in steps:
        exists = store.get("configmaps", name, "default") is not None
        if action == "put" and not exists:
            store.create("configmaps", {"metadata": {"name": name}, "value": value}, "default")
        elif action == "put":

            def set_value(one: Json, value: int = value) -> None:
                one["value"] = value

            store.mutate("configmaps", name, set_value, "default")
        elif exists:
            store.delete("configmaps", name, "default")
        now = {one["metadata"]["name"]: one["value"] for one in store.list("configmaps")}
        past[store.version] = now
    for version, wanted in past.items():
        if version == 0:
            continue  # zero means now
        found, at = store.snapshot("configmaps", version)
        assert at == version
        seen = [(one.name, msgspec.json.decode(one.body)["value"]) for one in found]
        assert seen == sorted(wanted.items())
        assert all(one.version <= version for one in found)
    replayed: dict[str, str] = {}
    for change in store.changes_after(0)[0]:
        if change.type == "DELETED":
            del replayed[change.stored.name]
        else:
            assert (change.type == "ADDED") == (change.stored.name not in replayed)
            replayed[change.stored.name] = str(change.version)
    final = {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in store.list("configmaps")}
    assert replayed == final
