"""The simulated API server where the recording has no exchange: pages, watches, locks, rules, size."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator

import pytest

from axiom_tui.simulator.access import NOPERM, VIEWER
from axiom_tui.simulator.kubernetes_api import KubernetesServer
from axiom_tui.simulator.resources import METRICS, STANDARD
from axiom_tui.simulator.store import ObjectStore
from tests.simulator.api_wire import APPLY, JSON_PATCH, MERGE, STRATEGIC, Json, Wire, lines, wire

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore()


@pytest.fixture
def server(store: ObjectStore) -> Iterator[KubernetesServer]:
    server = KubernetesServer(store, bookmark_interval=0.05)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def api(server: KubernetesServer) -> Iterator[Wire]:
    with wire(server) as client:
        yield client


def _node(name: str, **labels: str) -> Json:
    return {"metadata": {"name": name, "labels": labels}, "spec": {}}


def _pod(name: str, **spec: object) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "nginx:1"}], **spec},
    }


# Lists and pages


def test_pages_show_one_moment_even_when_objects_change_between_them(store: ObjectStore, api: Wire) -> None:
    for number in range(5):
        store.create("nodes", _node(f"n{number}", old="label"))
    first = api("GET", "/api/v1/nodes?limit=2").body
    assert [one["metadata"]["name"] for one in first["items"]] == ["n0", "n1"]
    assert first["metadata"]["remainingItemCount"] == 3
    store.delete("nodes", "n2")
    store.create("nodes", _node("n2a"))
    store.mutate("nodes", "n4", lambda node: node["metadata"]["labels"].update(new="label"))
    second = api("GET", f"/api/v1/nodes?limit=5&continue={first['metadata']['continue']}").body
    assert [one["metadata"]["name"] for one in second["items"]] == ["n2", "n3", "n4"]
    assert second["items"][2]["metadata"]["labels"] == {"old": "label"}
    assert second["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}


def test_an_expired_page_is_410_and_offers_the_rest_inconsistently(store: ObjectStore, api: Wire) -> None:
    for number in range(4):
        store.create("nodes", _node(f"n{number}"))
    token = api("GET", "/api/v1/nodes?limit=2").body["metadata"]["continue"]
    store.create("nodes", _node("n9"))
    store.compact()
    expired = api("GET", f"/api/v1/nodes?limit=2&continue={token}")
    assert (expired.status, expired.body["reason"]) == (410, "Expired")
    assert expired.body["message"].startswith("The provided continue parameter is too old to display")
    rest = api("GET", f"/api/v1/nodes?continue={expired.body['metadata']['continue']}").body
    assert [one["metadata"]["name"] for one in rest["items"]] == ["n2", "n3", "n9"]


def test_pages_of_a_selection_carry_no_count(store: ObjectStore, api: Wire) -> None:
    for number in range(6):
        store.create("nodes", _node(f"n{number}", odd=str(number % 2)))
    first = api("GET", "/api/v1/nodes?limit=2&labelSelector=odd%3D1").body
    assert [one["metadata"]["name"] for one in first["items"]] == ["n1", "n3"]
    assert "remainingItemCount" not in first["metadata"]
    token = first["metadata"]["continue"]
    second = api("GET", f"/api/v1/nodes?limit=2&labelSelector=odd%3D1&continue={token}").body
    assert [one["metadata"]["name"] for one in second["items"]] == ["n5"]
    assert "continue" not in second["metadata"]


def test_lists_at_a_version(store: ObjectStore, api: Wire) -> None:
    before = store.create("nodes", _node("n1"))["metadata"]["resourceVersion"]
    store.create("nodes", _node("n2"))
    exact = api("GET", f"/api/v1/nodes?resourceVersion={before}&resourceVersionMatch=Exact").body
    assert [one["metadata"]["name"] for one in exact["items"]] == ["n1"]
    assert exact["metadata"]["resourceVersion"] == before
    newer = api("GET", f"/api/v1/nodes?resourceVersion={before}").body
    assert len(newer["items"]) == 2
    ahead = api("GET", "/api/v1/nodes?resourceVersion=9999")
    assert (ahead.status, ahead.body["reason"]) == (504, "Timeout")
    assert "limit" not in api("GET", "/api/v1/nodes?limit=1&resourceVersion=0").body["metadata"]
    assert len(api("GET", "/api/v1/nodes?limit=1&resourceVersion=0").body["items"]) == 2


def test_namespaces_bound_lists_and_objects(store: ObjectStore, api: Wire) -> None:
    store.create("configmaps", {"metadata": {"name": "a"}}, "default")
    store.create("configmaps", {"metadata": {"name": "a"}}, "kube-system")
    assert len(api("GET", "/api/v1/configmaps").body["items"]) == 2
    one = api("GET", "/api/v1/namespaces/default/configmaps").body["items"]
    assert [item["metadata"]["namespace"] for item in one] == ["default"]
    selected = api("GET", "/api/v1/configmaps?fieldSelector=metadata.namespace%3Dkube-system").body["items"]
    assert [item["metadata"]["namespace"] for item in selected] == ["kube-system"]
    missing = api(
        "POST",
        "/api/v1/namespaces/nowhere/configmaps",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}},
    )
    assert (missing.status, missing.body["message"]) == (404, 'namespaces "nowhere" not found')


def test_custom_resources_carry_their_kind_in_lists(store: ObjectStore, api: Wire) -> None:
    store.create(
        "etcdsnapshotfiles.k3s.cattle.io", {"metadata": {"name": "s"}, "spec": {"nodeName": "m-o-1"}}
    )
    listed = api("GET", "/apis/k3s.cattle.io/v1/etcdsnapshotfiles").body
    assert listed["items"][0]["kind"] == "ETCDSnapshotFile"
    assert listed["metadata"]["continue"] == ""
    path = "/apis/k3s.cattle.io/v1/etcdsnapshotfiles/s"
    assert api("PATCH", path, {"spec": {}}, kind=STRATEGIC).status == 415
    assert api("PATCH", path, {"spec": {"location": "file:///x"}}, kind=MERGE).status == 200


def test_metrics_are_there_only_when_registered(store: ObjectStore, api: Wire) -> None:
    path = "/apis/metrics.k8s.io/v1beta1/nodes"
    absent = api("GET", path)
    assert (absent.status, absent.raw) == (404, b"404 page not found\n")
    store.register(*METRICS)
    usage = {"cpu": "1", "memory": "1Gi"}
    store.create("nodes.metrics.k8s.io", {"metadata": {"name": "n"}, "usage": usage})
    listed = api("GET", path).body
    assert listed["metadata"] == {}
    assert listed["items"][0]["usage"] == usage
    assert "uid" not in listed["items"][0]["metadata"]
    assert api("GET", f"{path}?watch=true").status == 405


def test_events_of_both_groups_are_the_same_objects(store: ObjectStore, api: Wire) -> None:
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Node", "name": "n1"},
        "reason": "NodeNotReady",
        "message": "gone",
        "type": "Warning",
    }
    store.create("events", event, "default")
    core = api("GET", "/api/v1/events?fieldSelector=involvedObject.name%3Dn1,type%3DWarning").body["items"]
    new = api("GET", "/apis/events.k8s.io/v1/events?fieldSelector=regarding.name%3Dn1").body["items"]
    assert (core[0]["message"], new[0]["note"]) == ("gone", "gone")
    assert new[0]["regarding"] == core[0]["involvedObject"]
    assert core[0]["metadata"]["uid"] == new[0]["metadata"]["uid"]
    assert api("GET", "/apis/events.k8s.io/v1/events?fieldSelector=regarding.name%3Dn2").body["items"] == []


# Watches


def _events(client: Wire, path: str, count: int) -> list[Json]:
    response = client.send("GET", path)
    found: list[Json] = []
    for event in lines(response):
        found.append(event)
        if len(found) == count:
            break
    return found


def test_a_watch_follows_a_selection_in_and_out(
    server: KubernetesServer, store: ObjectStore, api: Wire
) -> None:
    store.create("nodes", _node("n1", pool="internal"))
    store.create("nodes", _node("n2", pool="external"))
    version = store.version
    store.mutate("nodes", "n1", lambda node: node["metadata"]["labels"].update(pool="external"))
    store.mutate("nodes", "n2", lambda node: node["metadata"]["labels"].update(pool="internal"))
    store.delete("nodes", "n2")
    path = f"/api/v1/nodes?watch=1&resourceVersion={version}&labelSelector=pool%3Dinternal"
    found = _events(api, path, 3)
    said = [(one["type"], one["object"]["metadata"]["name"]) for one in found]
    assert said == [("DELETED", "n1"), ("ADDED", "n2"), ("DELETED", "n2")]
    versions = [int(one["object"]["metadata"]["resourceVersion"]) for one in found]
    assert versions == [version + 1, version + 2, version + 3]
    assert found[0]["object"]["metadata"]["labels"] == {"pool": "internal"}


def test_a_watch_without_version_begins_with_what_is_there(store: ObjectStore, api: Wire) -> None:
    store.create("nodes", _node("n1"))
    store.create("nodes", _node("n2"))
    found = _events(api, "/api/v1/nodes?watch=true", 2)
    assert [one["type"] for one in found] == ["ADDED", "ADDED"]


def test_bookmarks_come_by_themselves(store: ObjectStore, api: Wire) -> None:
    store.create("nodes", _node("n1"))
    path = f"/api/v1/nodes?watch=true&allowWatchBookmarks=true&resourceVersion={store.version}"
    bookmark = _events(api, path, 1)[0]
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"] == {"resourceVersion": str(store.version)}


def test_an_open_watch_ends_with_410_when_its_position_is_forgotten(store: ObjectStore, api: Wire) -> None:
    store.create("nodes", _node("n1"))
    version = store.version
    store.create("nodes", _node("n2"))
    store.compact()
    found = list(lines(api.send("GET", f"/api/v1/nodes?watch=true&resourceVersion={version}")))
    assert [one["object"]["code"] for one in found] == [410]
    assert found[0]["object"]["message"] == f"too old resource version: {version} ({version + 1})"


def test_a_watch_ends_at_its_timeout_and_the_connection_lives_on(store: ObjectStore, api: Wire) -> None:
    response = api.send("GET", f"/api/v1/nodes?watch=true&timeoutSeconds=1&resourceVersion={store.version}")
    assert list(lines(response)) == []
    assert api("GET", "/version").status == 200


def test_watches_of_tables_name_the_columns_once(store: ObjectStore, api: Wire) -> None:
    store.create("nodes", _node("n1"))
    store.create("nodes", _node("n2"))
    found: list[Json] = []
    for event in lines(api.send("GET", "/api/v1/nodes?watch=true", accept=TABLE)):
        found.append(event["object"])
        if len(found) == 2:
            break
    assert found[0]["columnDefinitions"][0]["name"] == "Name"
    assert found[1]["columnDefinitions"] is None
    assert [one["rows"][0]["cells"][0] for one in found] == ["n1", "n2"]


def test_stopping_ends_every_open_watch(store: ObjectStore) -> None:
    server = KubernetesServer(store)
    server.start()
    clients = [Wire(server) for _ in range(5)]
    responses = [client.send("GET", "/api/v1/nodes?watch=true&resourceVersion=1") for client in clients]
    ended: list[bytes] = []

    def read(number: int) -> None:
        try:
            ended.append(responses[number].read())
        except (OSError, http.client.HTTPException):
            ended.append(b"cut")

    readers = [threading.Thread(target=read, args=(number,)) for number in range(5)]
    for reader in readers:
        reader.start()
    server.stop()
    for reader in readers:
        reader.join(10)
        assert not reader.is_alive()
    for client in clients:
        client.close()
    assert len(ended) == 5
    assert not [one for one in threading.enumerate() if one.name.startswith("simulator-")]


def test_a_server_stops_without_having_started_and_starts_again(store: ObjectStore) -> None:
    server = KubernetesServer(store)
    server.stop()
    for _ in range(2):
        server.start()
        with wire(server) as client:
            assert client("GET", "/readyz").raw == b"ok"
        server.stop()
        server.stop()


# Writes


def test_locks_and_preconditions(store: ObjectStore, api: Wire) -> None:
    node = store.create("nodes", _node("n1"))
    version = node["metadata"]["resourceVersion"]
    good = {"metadata": {"resourceVersion": version, "labels": {"a": "b"}}}
    assert api("PATCH", "/api/v1/nodes/n1", good, kind=MERGE).status == 200
    stale = api("PATCH", "/api/v1/nodes/n1", good, kind=MERGE)
    assert (stale.status, stale.body["reason"]) == (409, "Conflict")
    other = {"metadata": {"uid": "another"}}
    assert api("PATCH", "/api/v1/nodes/n1", other, kind=MERGE).status == 409
    wrong = {"preconditions": {"uid": "another"}}
    refused = api("DELETE", "/api/v1/nodes/n1", wrong)
    assert refused.status == 409
    assert "Precondition failed: UID in precondition: another" in refused.body["message"]
    assert api("DELETE", "/api/v1/nodes/n1", {"dryRun": ["All"]}).status == 200
    assert store.get("nodes", "n1") is not None


def test_a_patch_without_a_difference_makes_no_version(store: ObjectStore, api: Wire) -> None:
    store.create("nodes", _node("n1", a="b"))
    before = store.version
    same = {"metadata": {"labels": {"a": "b"}}}
    assert api("PATCH", "/api/v1/nodes/n1?fieldManager=x", same, kind=MERGE).status == 200
    config = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"c": "d"}}}
    for _ in range(2):
        assert api("PATCH", "/api/v1/nodes/n1?fieldManager=y", config, kind=APPLY).status == 200
    assert store.version == before + 1


def test_dry_runs_of_every_write_store_nothing(store: ObjectStore, api: Wire) -> None:
    store.create("nodes", _node("n1"))
    before = store.version
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {}}
    created = api("POST", f"{LEASES}?dryRun=All", lease)
    assert created.status == 201
    assert "resourceVersion" not in created.body["metadata"]
    label = {"metadata": {"labels": {"a": "b"}}}
    patched = api("PATCH", "/api/v1/nodes/n1?dryRun=All", label, kind=MERGE)
    assert patched.body["metadata"]["labels"] == {"a": "b"}
    assert api("DELETE", "/api/v1/nodes/n1?dryRun=All").status == 200
    assert store.version == before
    assert api("DELETE", "/api/v1/nodes/n1?dryRun=Some").status == 422


def test_a_lease_is_created_by_put_and_needs_a_version_after(api: Wire) -> None:
    lease: Json = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "lock"},
        "spec": {"holderIdentity": "a@b", "renewTime": "2026-11-22T09:00:00.000001Z"},
    }
    assert api("PUT", f"{LEASES}/lock", lease).status == 201
    blind = api("PUT", f"{LEASES}/lock", lease)
    assert (blind.status, blind.body["reason"]) == (422, "Invalid")
    assert "must be specified for an update" in blind.body["message"]
    lease["spec"]["renewTime"] = "2026-11-22T09:00:00Z"
    short = api("POST", LEASES, lease)
    assert short.status == 400
    assert 'parsing time "2026-11-22T09:00:00Z"' in short.body["message"]


def test_names_and_types_are_checked(api: Wire) -> None:
    nameless = api("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {}})
    assert nameless.body["message"] == (
        'Node "" is invalid: metadata.name: Required value: name or generateName is required'
    )
    upper = api("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "M-O-1"}})
    assert "a lowercase RFC 1123 subdomain must consist of" in upper.body["message"]
    typed = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": {"a": 1}}}
    wrong = api("POST", "/api/v1/nodes", typed)
    assert wrong.status == 400
    assert "cannot unmarshal number into Go struct field ObjectMeta.metadata.labels" in wrong.body["message"]
    garbage = api("POST", "/api/v1/nodes", b"garbage")
    assert garbage.body["message"] == (
        "couldn't get version/kind; json parse error: invalid character 'g' looking for beginning of value"
    )
    other = api("POST", "/api/v1/nodes", {"apiVersion": "v2", "kind": "Node"})
    assert "does not match the expected API version (v1)" in other.body["message"]


@pytest.mark.parametrize(
    ("patch", "status"),
    [
        ([{"op": "remove", "path": "/metadata/labels/none"}], 422),
        ([{"op": "add", "path": "/metadata/labels/a~1b", "value": "c"}], 200),
        ([{"op": "test", "path": "/metadata/name", "value": "n1"}], 200),
        ([{"op": "replace", "path": "/metadata/name", "value": "n2"}], 400),
        ({"op": "add"}, 400),
    ],
)
def test_json_patches(store: ObjectStore, api: Wire, patch: object, status: int) -> None:
    store.create("nodes", _node("n1", x="y"))
    assert api("PATCH", "/api/v1/nodes/n1", patch, kind=JSON_PATCH).status == status


def test_strategic_patches_merge_conditions_by_type_and_replace_taints(store: ObjectStore, api: Wire) -> None:
    node = _node("n1")
    node["spec"]["taints"] = [{"key": "a", "effect": "NoSchedule"}]
    node["status"] = {
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "Disk", "status": "False"}]
    }
    store.create("nodes", node)
    down = {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
    patched = api("PATCH", "/api/v1/nodes/n1/status", down, kind=STRATEGIC).body
    assert [(one["type"], one["status"]) for one in patched["status"]["conditions"]] == [
        ("Ready", "Unknown"),
        ("Disk", "False"),
    ]
    entry = patched["metadata"]["managedFields"][-1]
    assert entry["subresource"] == "status"
    assert entry["fieldsV1"] == {"f:status": {"f:conditions": {'k:{"type":"Ready"}': {"f:status": {}}}}}
    taints = {"spec": {"taints": [{"key": "b", "effect": "NoExecute"}]}}
    patched = api("PATCH", "/api/v1/nodes/n1", taints, kind=STRATEGIC).body
    assert [one["key"] for one in patched["spec"]["taints"]] == ["b"]
    deleted = {"status": {"conditions": [{"$patch": "delete", "type": "Disk"}]}}
    patched = api("PATCH", "/api/v1/nodes/n1/status", deleted, kind=STRATEGIC).body
    assert [one["type"] for one in patched["status"]["conditions"]] == ["Ready"]


def test_an_object_and_its_status_are_written_apart(store: ObjectStore, api: Wire) -> None:
    store.create("nodes", {**_node("n1"), "status": {"phase": "old"}})
    both = {"metadata": {"labels": {"a": "b"}}, "spec": {"unschedulable": True}, "status": {"phase": "new"}}
    main = api("PATCH", "/api/v1/nodes/n1", both, kind=MERGE).body
    assert (main["spec"], main["status"]) == ({"unschedulable": True}, {"phase": "old"})
    other = {"spec": {"unschedulable": None}, "status": {"phase": "new"}}
    status = api("PATCH", "/api/v1/nodes/n1/status", other, kind=MERGE).body
    assert (status["spec"], status["status"]) == ({"unschedulable": True}, {"phase": "new"})


def test_apply_names_every_conflict_and_keeps_what_two_own(store: ObjectStore, api: Wire) -> None:
    store.create("nodes", _node("n1"))

    def apply(manager: str, force: str = "", **labels: str) -> Json:
        config = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": labels}}
        path = f"/api/v1/nodes/n1?fieldManager={manager}{force}"
        body: Json = api("PATCH", path, config, kind=APPLY).body
        return body

    apply("one", a="1", b="1")
    apply("two", a="1")
    refused = apply("three", a="2", b="2")
    assert refused["message"] == (
        'Apply failed with 3 conflicts: conflicts with "one":\n'
        "- .metadata.labels.a\n- .metadata.labels.b\n"
        'conflicts with "two":\n- .metadata.labels.a'
    )
    assert [one["field"] for one in refused["details"]["causes"]] == [
        ".metadata.labels.a",
        ".metadata.labels.b",
        ".metadata.labels.a",
    ]
    assert apply("one")["metadata"]["labels"] == {"a": "1"}  # b goes, a is still owned by two
    missing = api("PATCH", "/api/v1/nodes/n1", {"kind": "Node"}, kind=APPLY).body
    assert "fieldManager: Required value: is required for apply patch" in missing["message"]


def test_apply_creates_what_is_not_there(api: Wire) -> None:
    config = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "core"},
        "value": 1000000000,
    }
    created = api("PATCH", f"{CLASSES}/core?fieldManager=axiom-tui", config, kind=APPLY)
    assert created.status == 201
    assert created.body["metadata"]["managedFields"][0]["operation"] == "Apply"
    assert created.body["preemptionPolicy"] == "PreemptLowerPriority"


def test_pods_get_the_priority_of_their_class(store: ObjectStore, api: Wire) -> None:
    pods = "/api/v1/namespaces/default/pods"
    plain = api("POST", pods, _pod("plain")).body
    assert plain["spec"]["priority"] == 0
    workload = {"metadata": {"name": "workload"}, "value": 1000000, "globalDefault": True}
    store.create("priorityclasses.scheduling.k8s.io", workload)
    default = api("POST", pods, _pod("default")).body
    assert (default["spec"]["priorityClassName"], default["spec"]["priority"]) == ("workload", 1000000)
    wrong = api("POST", pods, _pod("wrong", priorityClassName="workload", priority=5))
    assert wrong.status == 403
    fixed = api("PATCH", f"{pods}/plain", {"spec": {"priorityClassName": "workload"}}, kind=MERGE)
    assert fixed.status == 422
    assert "pod updates may not change fields other than" in fixed.body["message"]
    image = {"spec": {"containers": [{"name": "main", "image": "nginx:2"}]}}
    assert api("PATCH", f"{pods}/plain", image, kind=STRATEGIC).status == 200


def test_evictions_follow_the_budget(store: ObjectStore, api: Wire) -> None:
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    for name in ("a", "b"):
        pod = {**_pod(name), "status": ready}
        pod["metadata"]["labels"] = {"app": "web"}
        store.create("pods", pod, "default")
    selector = {"matchLabels": {"app": "web"}}
    budget = {"metadata": {"name": "web"}, "spec": {"minAvailable": "50%", "selector": selector}}
    store.create("poddisruptionbudgets.policy", budget, "default")

    def evict(name: str) -> int:
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        return api("POST", f"/api/v1/namespaces/default/pods/{name}/eviction", eviction).status

    assert evict("a") == 201
    assert evict("b") == 429
    assert [pod["metadata"]["name"] for pod in store.list("pods")] == ["b"]


def test_deletion_waits_for_finalizers(store: ObjectStore, api: Wire) -> None:
    store.create("configmaps", {"metadata": {"name": "c", "finalizers": ["axiom/hold"]}}, "default")
    path = "/api/v1/namespaces/default/configmaps/c"
    assert api("DELETE", path).status == 200
    assert "deletionTimestamp" in api("GET", path).body["metadata"]
    assert api("PATCH", path, {"metadata": {"finalizers": None}}, kind=MERGE).status == 200
    assert api("GET", path).status == 404


def test_a_namespace_takes_its_objects_along(store: ObjectStore, api: Wire) -> None:
    store.create("namespaces", {"metadata": {"name": "web"}})
    store.create("configmaps", {"metadata": {"name": "c"}}, "web")
    assert api("DELETE", "/api/v1/namespaces/web").body["status"]["phase"] == "Terminating"
    assert store.get("configmaps", "c", "web") is None
    assert api("GET", "/api/v1/namespaces/web").status == 404


def test_collections_are_deleted_by_selector(store: ObjectStore, api: Wire) -> None:
    for number in range(4):
        store.create("nodes", _node(f"n{number}", odd=str(number % 2)))
    assert len(api("DELETE", "/api/v1/nodes?labelSelector=odd%3D1").body["items"]) == 2
    assert [one["metadata"]["name"] for one in store.list("nodes")] == ["n0", "n2"]


# Rights


def test_rights_of_the_identities(server: KubernetesServer, store: ObjectStore) -> None:
    store.create("nodes", _node("n1"))
    with wire(server, VIEWER.token) as viewer, wire(server, NOPERM.token) as noperm, wire(server, "") as none:
        assert viewer("GET", "/api/v1/nodes").status == 200
        assert viewer("DELETE", "/api/v1/nodes/n1").status == 403
        assert noperm("GET", "/version").status == 200
        refused = noperm("GET", "/api/v1/namespaces/web/pods")
        assert refused.body["message"] == (
            'pods is forbidden: User "axiom-noperm" cannot list resource "pods" in API group "" '
            'in the namespace "web"'
        )
        rules = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": "default"},
        }
        answer = viewer("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", rules)
        assert answer.body["status"]["resourceRules"][0]["verbs"] == ["get", "list", "watch"]
        assert none("GET", "/version").status == 401


def test_methods_and_media_types(store: ObjectStore, api: Wire) -> None:
    store.create("nodes", _node("n1"))
    assert api("POST", "/api/v1/nodes/n1", {}).status == 405
    assert api("POST", "/api/v1/pods", _pod("p")).status == 405
    assert api("GET", "/api/v1/nodes", accept="application/vnd.kubernetes.protobuf").status == 406
    assert api("GET", "/nowhere").raw == b"404 page not found\n"
    assert api("POST", "/api/v1/nodes", b"x", kind="text/plain").status == 415


def test_aggregated_discovery(api: Wire) -> None:
    kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    reply = api("GET", "/apis", accept=f"{kind},application/json")
    assert reply.headers["Content-Type"] == kind
    names = [item["metadata"]["name"] for item in reply.body["items"]]
    assert "coordination.k8s.io" in names
    assert api("GET", "/api", accept=kind).body["items"][0]["versions"][0]["version"] == "v1"


# Size


def test_five_thousand_nodes_as_one_list_and_in_chunks() -> None:
    """A fleet of 5,000 nodes of 12 KB each: every node comes, in order, once."""
    store = ObjectStore(STANDARD)
    images = [{"names": [f"registry.example/{n:04}@sha256:{'0' * 64}"], "sizeBytes": n} for n in range(90)]
    nodes: list[Json] = [
        {
            "metadata": {"name": f"wall-a-{number:05}", "uid": f"{number}", "resourceVersion": str(number)},
            "spec": {},
            "status": {"images": images, "conditions": [{"type": "Ready", "status": "True"}]},
        }
        for number in range(1, 5001)
    ]
    store.load("nodes", nodes)
    server = KubernetesServer(store)
    server.start()
    try:
        with wire(server) as api:
            whole = api("GET", "/api/v1/nodes")
            assert len(whole.raw) > 5000 * 11_000
            names = [one["metadata"]["name"] for one in whole.body["items"]]
            assert names == [node["metadata"]["name"] for node in nodes]
            paged: list[str] = []
            token = ""
            while True:
                page = json.loads(api("GET", f"/api/v1/nodes?limit=500&continue={token}").raw)
                paged += [one["metadata"]["name"] for one in page["items"]]
                token = page["metadata"].get("continue", "")
                if not token:
                    break
                assert page["metadata"]["remainingItemCount"] == 5000 - len(paged)
            assert paged == names
            rows = api("GET", "/api/v1/nodes?includeObject=None", accept=TABLE).body["rows"]
            assert [row["cells"][1] for row in rows] == ["Ready"] * 5000
    finally:
        server.stop()
