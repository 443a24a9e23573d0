"""The Kubernetes API of the embedded Axiom: HTTPS on loopback, in front of an `ObjectStore`."""

from __future__ import annotations

from pathlib import Path

from axiom_tui.simulator.faults import Faults
from axiom_tui.simulator.pki import Authority
from axiom_tui.simulator.store import ObjectStore


class KubernetesServer:
    """An API server on 127.0.0.1. ``port`` 0 takes a free one; `url` names it after `start`."""

    def __init__(
        self,
        store: ObjectStore,
        faults: Faults | None = None,
        *,
        authority: Authority | None = None,
        port: int = 0,
        version: str = "v1.33.4+k3s1",
        bookmark_interval: float = 60.0,
        bootstrap: bool = True,
    ) -> None:
        self.store = store
        self.faults = faults or Faults()
        self.authority = authority or Authority()
        self._wanted_port = port
        self._version = version
        self._bookmark_interval = bookmark_interval
        self._bootstrap = bootstrap

    @property
    def url(self) -> str:
        raise NotImplementedError

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def write_kubeconfig(self, path: Path, *, context: str = "axiom", user: str = "admin") -> Path:
        """Write a kubeconfig (mode 0600) for one of the identities: admin, viewer, noperm, badtoken."""
        raise NotImplementedError
