"""kubectl, the real client, against the simulated API server, with the kubeconfig that it writes."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from axiom_tui.simulator import openapi
from axiom_tui.simulator.faults import Faults
from axiom_tui.simulator.kubernetes_api import KubernetesServer
from axiom_tui.simulator.resources import METRICS, STANDARD
from axiom_tui.simulator.store import ObjectStore
from tests.simulator.api_wire import Json

pytestmark = pytest.mark.integration

DEADLINE = 60.0
ENABLE = "svccontroller.k3s.cattle.io/enablelb"
POOL = "svccontroller.k3s.cattle.io/lbpool"
HOW_TO_GET_IT = (
    "kubectl is not on the PATH; on Debian and Ubuntu: apt-get install kubernetes-client, "
    "elsewhere see https://kubernetes.io/docs/tasks/tools/"
)


@dataclass
class Kubectl:
    program: str
    directory: Path
    server: KubernetesServer
    store: ObjectStore

    def command(self, *arguments: str, user: str = "admin") -> list[str]:
        config = self.directory / f"kubeconfig-{user}"
        if not config.exists():
            self.server.write_kubeconfig(config, user=user)
        return [
            self.program,
            f"--kubeconfig={config}",
            f"--cache-dir={self.directory / 'cache'}",
            *arguments,
        ]

    def run(
        self, *arguments: str, user: str = "admin", fails: bool = False, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments, user=user),
            input=text,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            env=self.environment,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done

    def __call__(self, *arguments: str, user: str = "admin", text: str = "") -> str:
        return self.run(*arguments, user=user, text=text).stdout

    @property
    def environment(self) -> dict[str, str]:
        home = str(self.directory)
        return {"HOME": home, "PATH": os.environ["PATH"], "KUBERC": "off"}

    def node(self, name: str) -> Json:
        found = self.store.get("nodes", name)
        assert found is not None
        return found


def _node(number: int) -> Json:
    arch = "arm64" if number % 2 else "amd64"
    return {
        "metadata": {
            "name": f"wall-a-{number}",
            "labels": {"kubernetes.io/arch": arch, "kubernetes.io/hostname": f"wall-a-{number}"},
        },
        "spec": {"podCIDR": f"10.42.{number}.0/24", "providerID": f"k3s://wall-a-{number}"},
        "status": {
            "capacity": {"cpu": "4", "memory": "8131384Ki", "pods": "110"},
            "allocatable": {"cpu": "4", "memory": "8131384Ki", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "addresses": [
                {"type": "InternalIP", "address": f"100.64.0.{number}"},
                {"type": "Hostname", "address": f"wall-a-{number}"},
            ],
            "nodeInfo": {
                "kubeletVersion": "v1.33.4+k3s1",
                "osImage": "Ubuntu 22.04.5 LTS",
                "kernelVersion": "5.15.0-122-generic",
                "containerRuntimeVersion": "containerd://2.0.5-k3s2",
                "architecture": arch,
                "operatingSystem": "linux",
            },
        },
    }


@pytest.fixture
def kubectl(tmp_path: Path) -> Iterator[Kubectl]:
    program = shutil.which("kubectl")
    if program is None:
        if os.environ.get("AXIOM_REQUIRE_INTEGRATION"):
            pytest.fail(HOW_TO_GET_IT)
        pytest.skip(HOW_TO_GET_IT)
    store = ObjectStore((*STANDARD, *METRICS))
    server = KubernetesServer(store, Faults())
    server.start()
    for number in (1, 2, 3):
        store.create("nodes", _node(number))
    try:
        yield Kubectl(program, tmp_path, server, store)
    finally:
        server.stop()


def _table(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_get_nodes_prints_the_servers_table(kubectl: Kubectl) -> None:
    rows = _table(kubectl("get", "nodes"))
    assert rows[0] == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert [row[:3] for row in rows[1:]] == [[f"wall-a-{n}", "Ready", "<none>"] for n in (1, 2, 3)]
    assert {row[4] for row in rows[1:]} == {"v1.33.4+k3s1"}


def test_get_nodes_wide(kubectl: Kubectl) -> None:
    text = kubectl("get", "nodes", "-o", "wide")
    assert "INTERNAL-IP" in text
    assert "5.15.0-122-generic (arm64)" in text
    assert "100.64.0.3" in text


def test_selectors(kubectl: Kubectl) -> None:
    assert kubectl("get", "nodes", "-o", "name", "-l", "kubernetes.io/arch=arm64").split() == [
        "node/wall-a-1",
        "node/wall-a-3",
    ]
    assert kubectl("get", "nodes", "-o", "name", "-l", "kubernetes.io/arch notin (arm64)").split() == [
        "node/wall-a-2"
    ]
    chosen = kubectl("get", "nodes", "-o", "name", "--field-selector", "metadata.name!=wall-a-2")
    assert chosen.split() == ["node/wall-a-1", "node/wall-a-3"]
    failed = kubectl.run("get", "nodes", "-l", "a===b", fails=True)
    assert "found '=', expected: identifier" in failed.stderr
    failed = kubectl.run("get", "nodes", "--field-selector", "spec.color=red", fails=True)
    assert "field label not supported: spec.color" in failed.stderr


def test_paging(kubectl: Kubectl) -> None:
    assert kubectl("get", "nodes", "--chunk-size=2", "-o", "name") == kubectl("get", "nodes", "-o", "name")


class _Output:
    """The lines of a running program, as they come. It reads the pipe itself: a buffered reader would hide
    lines from the wait for more."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._descriptor = process.stdout.fileno()
        self._rest = b""

    def lines(self, count: int) -> list[str]:
        """The next lines; fails when they take too long."""
        deadline = time.monotonic() + DEADLINE
        while self._rest.count(b"\n") < count:
            waiting = max(0.0, deadline - time.monotonic())
            assert select.select([self._descriptor], [], [], waiting)[0], f"only {self._rest!r} came"
            piece = os.read(self._descriptor, 65536)
            assert piece, f"kubectl ended after {self._rest!r}"
            self._rest += piece
        *found, self._rest = self._rest.split(b"\n", count)
        return [line.decode() for line in found]


def test_watch_prints_changes_and_ends_with_its_client(kubectl: Kubectl) -> None:
    command = kubectl.command("get", "nodes", "-w", "--no-headers")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=kubectl.environment
    ) as process:
        try:
            output = _Output(process)
            assert [line.split()[0] for line in output.lines(3)] == ["wall-a-1", "wall-a-2", "wall-a-3"]
            kubectl.store.mutate("nodes", "wall-a-2", lambda node: node["spec"].update(unschedulable=True))
            assert "SchedulingDisabled" in output.lines(1)[0]
            kubectl.store.create("nodes", _node(4))
            assert "wall-a-4" in output.lines(1)[0]
        finally:
            process.terminate()


def test_label(kubectl: Kubectl) -> None:
    assert "labeled" in kubectl("label", "node", "wall-a-1", f"{ENABLE}=true", f"{POOL}=internal")
    assert kubectl.node("wall-a-1")["metadata"]["labels"][POOL] == "internal"
    entries = kubectl.node("wall-a-1")["metadata"]["managedFields"]
    assert [entry["manager"] for entry in entries] == ["k3s", "kubectl-label"]
    taken = kubectl.run("label", "node", "wall-a-1", f"{POOL}=external", fails=True)
    assert "--overwrite is false" in taken.stderr
    assert "labeled" in kubectl("label", "node", "wall-a-1", f"{POOL}=external", "--overwrite")
    assert "unlabeled" in kubectl("label", "node", "wall-a-1", f"{POOL}-")
    assert POOL not in kubectl.node("wall-a-1")["metadata"]["labels"]


def test_patch_of_each_kind(kubectl: Kubectl) -> None:
    for kind, patch in (
        ("merge", '{"metadata":{"labels":{"a":"merge"}}}'),
        ("strategic", '{"metadata":{"labels":{"a":"strategic"}}}'),
        ("json", '[{"op":"replace","path":"/metadata/labels/a","value":"json"}]'),
    ):
        assert "patched" in kubectl("patch", "node", "wall-a-1", f"--type={kind}", "-p", patch)
        assert kubectl.node("wall-a-1")["metadata"]["labels"]["a"] == kind
    refused = kubectl.run(
        "patch", "node", "wall-a-1", "-p", '{"metadata":{"labels":{"a":"in ternal!"}}}', fails=True
    )
    assert 'Invalid value: "in ternal!"' in refused.stderr


def test_dry_run_changes_nothing(kubectl: Kubectl) -> None:
    before = kubectl.store.version
    assert "dry run" in kubectl("label", "node", "wall-a-1", "a=b", "--dry-run=server")
    assert kubectl.store.version == before


def test_cordon_and_uncordon(kubectl: Kubectl) -> None:
    assert "cordoned" in kubectl("cordon", "wall-a-2")
    assert kubectl.node("wall-a-2")["spec"]["unschedulable"] is True
    assert "Ready,SchedulingDisabled" in kubectl("get", "node", "wall-a-2")
    assert "uncordoned" in kubectl("uncordon", "wall-a-2")
    assert "unschedulable" not in kubectl.node("wall-a-2")["spec"]


def test_taint(kubectl: Kubectl) -> None:
    assert "tainted" in kubectl("taint", "node", "wall-a-1", "dedicated=web:NoSchedule")
    assert kubectl.node("wall-a-1")["spec"]["taints"] == [
        {"key": "dedicated", "value": "web", "effect": "NoSchedule"}
    ]
    kubectl("taint", "node", "wall-a-1", "dedicated-")
    assert "taints" not in kubectl.node("wall-a-1")["spec"]


def _labels_manifest(pool: str) -> str:
    labels = {POOL: pool}
    return json.dumps(
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "wall-a-1", "labels": labels}}
    )


def test_server_side_apply_with_its_conflict(kubectl: Kubectl) -> None:
    applied = ("apply", "--server-side", "-f", "-")
    assert "serverside-applied" in kubectl(
        *applied, "--field-manager=axiom-tui", text=_labels_manifest("internal")
    )
    conflict = kubectl.run(*applied, "--field-manager=other", text=_labels_manifest("external"), fails=True)
    assert 'conflict with "axiom-tui": .metadata.labels.svccontroller.k3s.cattle.io/lbpool' in conflict.stderr
    kubectl(*applied, "--field-manager=other", "--force-conflicts", text=_labels_manifest("external"))
    assert kubectl.node("wall-a-1")["metadata"]["labels"][POOL] == "external"


def test_client_side_apply_creates_and_changes(kubectl: Kubectl) -> None:
    def manifest(value: str) -> str:
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "settings", "namespace": "default"},
                "data": {"key": value},
            }
        )

    assert "created" in kubectl("apply", "-f", "-", text=manifest("one"))
    assert "configured" in kubectl("apply", "-f", "-", text=manifest("two"))
    assert "unchanged" in kubectl("apply", "-f", "-", text=manifest("two"))
    stored = kubectl.store.get("configmaps", "settings", "default")
    assert stored is not None
    assert stored["data"] == {"key": "two"}


def test_priority_classes(kubectl: Kubectl) -> None:
    kubectl("create", "priorityclass", "core", "--value=1000000000", "--description=core applications")
    rows = _table(kubectl("get", "priorityclasses"))
    assert rows[0][:3] == ["NAME", "VALUE", "GLOBAL-DEFAULT"]
    assert [row[:3] for row in rows[1:]] == [
        ["core", "1000000000", "false"],
        ["system-cluster-critical", "2000000000", "false"],
        ["system-node-critical", "2000001000", "false"],
    ]
    refused = kubectl.run("create", "priorityclass", "big", "--value=1000000001", fails=True)
    assert "maximum allowed value of a user defined priority is 1000000000" in refused.stderr


def test_rights_by_certificate_and_by_token(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "patch", "nodes").strip() == "yes"
    assert kubectl("auth", "can-i", "list", "nodes", user="viewer").strip() == "yes"
    for user, verb in (("viewer", "patch"), ("noperm", "list")):
        assert kubectl.run("auth", "can-i", verb, "nodes", user=user, fails=True).stdout.strip() == "no"
    denied = kubectl.run("get", "nodes", user="noperm", fails=True)
    assert 'cannot list resource "nodes" in API group "" at the cluster scope' in denied.stderr
    unknown = kubectl.run("get", "nodes", user="badtoken", fails=True)
    assert "Unauthorized" in unknown.stderr or "must be logged in" in unknown.stderr


def test_delete(kubectl: Kubectl) -> None:
    assert "deleted" in kubectl("delete", "node", "wall-a-3")
    assert kubectl.store.get("nodes", "wall-a-3") is None
    assert "NotFound" in kubectl.run("delete", "node", "wall-a-3", fails=True).stderr


def test_describe_and_get_by_name(kubectl: Kubectl) -> None:
    assert "wall-a-1" in kubectl("describe", "node", "wall-a-1")
    assert json.loads(kubectl("get", "node", "wall-a-1", "-o", "json"))["kind"] == "Node"


def test_drain_evicts_pods(kubectl: Kubectl) -> None:
    pod = {
        "metadata": {"name": "web-1", "labels": {"app": "web"}},
        "spec": {"nodeName": "wall-a-1", "containers": [{"name": "main", "image": "nginx:1"}]},
        "status": {"phase": "Running"},
    }
    kubectl.store.create("pods", pod, "default")
    assert "drained" in kubectl("drain", "wall-a-1", "--force")
    assert kubectl.store.list("pods") == []


def test_top_nodes(kubectl: Kubectl) -> None:
    usage = {"cpu": "1500m", "memory": "4065692Ki"}
    metrics = {"metadata": {"name": "wall-a-1"}, "timestamp": "2026-01-01T00:00:00Z", "window": "20s"}
    kubectl.store.create("nodes.metrics.k8s.io", {**metrics, "usage": usage})
    rows = _table(kubectl("top", "nodes"))
    assert rows[1] == ["wall-a-1", "1500m", "37%", "3970Mi", "50%"]


def test_api_resources(kubectl: Kubectl) -> None:
    names = kubectl("api-resources", "-o", "name").split()
    assert {"nodes", "leases.coordination.k8s.io", "etcdsnapshotfiles.k3s.cattle.io"} <= set(names)


def test_a_kubectl_that_knows_only_the_second_openapi(
    kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without /openapi/v3 kubectl reads /openapi/v2 in protobuf, as all its older versions do."""
    monkeypatch.setattr(openapi, "version_3_index", lambda _: None)
    assert "dry run" in kubectl("label", "node", "wall-a-1", "a=b", "--dry-run=server")
    assert "serverside-applied" in kubectl(
        "apply", "--server-side", "-f", "-", text=_labels_manifest("internal")
    )
