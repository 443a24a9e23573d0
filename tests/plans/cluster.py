"""A simulated cluster of labelled nodes behind real sockets, and a real client for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axiom_tui.clients.kubernetes import NODES, KubernetesClient, KubernetesOptions, connect
from axiom_tui.model.node import Node
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL, labels_for
from axiom_tui.simulator.faults import Faults
from axiom_tui.simulator.kubernetes_api import KubernetesServer
from axiom_tui.simulator.store import ObjectStore

#: name -> (public address, pool found); m-o-1 is a server that should have no labels.
FLEET = {
    "m-o-1": ("195.15.252.166", "internal"),
    "wall-a-1": ("116.203.10.1", "external"),
    "wall-a-2": ("", "internal"),
    "wall-a-3": ("116.203.10.3", "internal"),
    "wall-a-4": ("", ""),
    "wall-a-5": ("116.203.10.5", "internal"),
    "wall-a-10": ("116.203.10.10", ""),
}


def node(name: str, public: str, pool: str) -> dict[str, Any]:
    labels = {key: value for key, value in labels_for(pool).items() if value is not None}
    labels["kubernetes.io/hostname"] = name
    if name.startswith("m-o-"):
        labels["node-role.kubernetes.io/control-plane"] = "true"
    addresses = [{"type": "InternalIP", "address": "100.64.0.7"}]
    if public:
        addresses.append({"type": "ExternalIP", "address": public})
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"addresses": addresses, "conditions": [{"type": "Ready", "status": "True"}]},
    }


@dataclass
class Simulated:
    """The store is the truth; clients are real ones over TLS."""

    directory: Path
    store: ObjectStore = field(default_factory=ObjectStore)
    faults: Faults = field(default_factory=Faults)
    stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        for name, (public, pool) in FLEET.items():
            self.store.create("nodes", node(name, public, pool))
        self.server = KubernetesServer(self.store, self.faults)
        self.server.start()
        self.stack.callback(self.server.stop)

    def kubeconfig(self, user: str = "admin") -> Path:
        return self.server.write_kubeconfig(self.directory / f"kubeconfig-{user}", user=user)

    def client(self, user: str = "admin", read_timeout: float = 10.0) -> KubernetesClient:
        client = connect(KubernetesOptions((self.kubeconfig(user),), read_timeout=read_timeout))
        self.stack.callback(client.disconnect)
        return client

    def pools(self) -> dict[str, tuple[str | None, str | None]]:
        """The two labels of every node, from the store itself."""
        found = {}
        for item in self.store.list("nodes"):
            labels = item["metadata"].get("labels", {})
            found[item["metadata"]["name"]] = (labels.get(ENABLE_LABEL), labels.get(POOL_LABEL))
        return found

    def label(self, name: str, **labels: str) -> None:
        """Somebody else sets labels: ``enable`` and ``pool`` are short for the long keys, None removes."""
        keys = {"enable": ENABLE_LABEL, "pool": POOL_LABEL}

        def change(item: dict[str, Any]) -> None:
            for key, value in labels.items():
                item["metadata"]["labels"][keys.get(key, key)] = value

        self.store.mutate("nodes", name, change)


@contextmanager
def simulated(directory: Path) -> Iterator[Simulated]:
    running = Simulated(directory)
    with running.stack:
        yield running


def nodes_of(client: KubernetesClient) -> tuple[Node, ...]:
    return tuple(client.list(NODES).items)
