"""A simulated API server for tests of the client and of its sources, with a handful of nodes in it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axiom_tui.clients.kubernetes import KubernetesClient, KubernetesOptions, connect
from axiom_tui.simulator.faults import Faults
from axiom_tui.simulator.kubernetes_api import KubernetesServer
from axiom_tui.simulator.resources import METRICS, STANDARD
from axiom_tui.simulator.store import ObjectStore

NAMES = ("m-o-1", "m-o-2", "m-o-3", "wall-a-1", "wall-a-2")


def node(name: str, **labels: str) -> dict[str, Any]:
    server = name.startswith("m-o-")
    own = {"kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64", **labels}
    if server:
        own["node-role.kubernetes.io/control-plane"] = "true"
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ok"}
    return {
        "metadata": {"name": name, "labels": own},
        "spec": {},
        "status": {
            "conditions": [{**ready, "lastTransitionTime": "2026-11-22T09:00:00Z"}],
            "addresses": [{"type": "InternalIP", "address": f"100.64.0.{len(name) + int(name[-1])}"}],
            "allocatable": {"cpu": "4", "memory": "8131384Ki"},
            "nodeInfo": {"architecture": "amd64", "kubeletVersion": "v1.33.4+k3s1"},
        },
    }


@dataclass
class SimulatedCluster:
    store: ObjectStore
    server: KubernetesServer
    faults: Faults
    directory: Path

    def options(self, user: str = "admin", **changes: Any) -> KubernetesOptions:
        path = self.server.write_kubeconfig(self.directory / f"kubeconfig-{user}", user=user)
        values = {"connect_timeout": 5.0, "read_timeout": 5.0, "watch_silence": 5.0, **changes}
        return KubernetesOptions((path,), **values)

    @contextmanager
    def client(self, user: str = "admin", **changes: Any) -> Iterator[KubernetesClient]:
        client = connect(self.options(user, **changes))
        try:
            yield client
        finally:
            client.disconnect()

    def wait_until_refused(self) -> None:
        """The server closes its door in a thread of its own, after the fault was set."""
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(
                    ("127.0.0.1", urlsplit(self.server.url).port or 0), timeout=5
                ).close()
            except ConnectionRefusedError:
                return
            assert time.monotonic() < until, "the simulated server still accepts connections"
            time.sleep(0.005)

    def label(self, name: str, key: str, value: str) -> str:
        """Label a node as somebody else would; returns its new resourceVersion."""
        changed = self.store.mutate(
            "nodes", name, lambda live: live["metadata"]["labels"].update({key: value})
        )
        return str(changed["metadata"]["resourceVersion"])


@contextmanager
def simulated_cluster(
    directory: Path, *, metrics: bool = True, bookmark_interval: float = 60.0
) -> Iterator[SimulatedCluster]:
    faults = Faults()
    store = ObjectStore((*STANDARD, *METRICS) if metrics else STANDARD, clock=faults.now)
    server = KubernetesServer(store, faults, bookmark_interval=bookmark_interval)
    server.start()
    try:
        for name in NAMES:
            store.create("nodes", node(name))
        yield SimulatedCluster(store, server, faults, directory)
    finally:
        server.stop()
