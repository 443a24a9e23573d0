"""Kubeconfigs for tests: one cluster, one user, one context, written as a person would."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Any

import yaml

from axiom_tui.clients.kubernetes import KubernetesOptions
from axiom_tui.simulator.pki import Authority, KeyPair


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def kubeconfig(
    server: str, authority: Authority | None, user: dict[str, Any], **cluster: str | bool
) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "server": server,
        **{key.replace("_", "-"): value for key, value in cluster.items()},
    }
    if authority is not None:
        entry["certificate-authority-data"] = encoded(authority.certificate)
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "axiom", "cluster": entry}],
        "users": [{"name": "ada", "user": user}],
        "contexts": [{"name": "axiom", "context": {"cluster": "axiom", "user": "ada"}}],
        "current-context": "axiom",
    }


def by_certificate(pair: KeyPair) -> dict[str, Any]:
    return {
        "client-certificate-data": encoded(pair.certificate),
        "client-key-data": encoded(pair.key),
    }


def options(path: Path, config: dict[str, Any], **changes: Any) -> KubernetesOptions:
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return KubernetesOptions(
        **{"kubeconfig": (path,), "connect_timeout": 2.0, "read_timeout": 2.0, **changes}
    )


def tls_server(directory: Path, pair: KeyPair) -> ssl.SSLContext:
    """A server's TLS context for this certificate."""
    file = directory / "serving.pem"
    file.write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
