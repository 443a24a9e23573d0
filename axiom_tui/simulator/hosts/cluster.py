"""What the simulated cluster knows of those who join: its authority, its tokens, its nodes' passwords.

Tokens and passwords are ordinary Secrets in kube-system, as with K3s (facts: k3s-and-backups.md 1.5, 1.8).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from axiom_tui.simulator.manifests import Manifest
from axiom_tui.simulator.world import NODES, World

SECRETS = "secrets"
NAMESPACE = "kube-system"
TOKEN_TYPE = "bootstrap.kubernetes.io/token"
_LETTERS = string.ascii_lowercase + string.digits


@dataclass(frozen=True, slots=True)
class BootstrapToken:
    """A short-lived token; ``expires`` None: never."""

    id: str
    secret: str
    description: str
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class Credential:
    """A token taken apart: ``authority`` is the hash of the CA, "" for a short one."""

    authority: str
    user: str
    password: str


def parse_token(text: str) -> Credential:
    """``K10<hash>::<user>:<password>``, ``K10<hash>::<id>.<secret>``, ``<id>.<secret>`` or a password."""
    authority, credential = "", text.strip()
    if credential.startswith("K10"):
        authority, _, credential = credential[3:].partition("::")
    user, colon, password = credential.partition(":")
    if colon:
        return Credential(authority, user, password)
    return Credential(authority, "", credential)


class ClusterSecrets:
    """The secrets of the world's cluster. ``authority`` is its CA certificate (PEM)."""

    def __init__(self, world: World, authority: str) -> None:
        self._world = world
        self.authority = authority
        self.authority_hash = hashlib.sha256(authority.encode()).hexdigest()
        self.server_password = hashlib.sha256(f"server token {world.seed}".encode()).hexdigest()[:32]

    @property
    def server_token(self) -> str:
        return f"K10{self.authority_hash}::server:{self.server_password}"

    def create_token(self, now: datetime, ttl: timedelta, description: str) -> str:
        """A bootstrap token in its full form; a ``ttl`` of zero never ends."""
        token_id = "".join(secrets.choice(_LETTERS) for _ in range(6))
        secret = "".join(secrets.choice(_LETTERS) for _ in range(16))
        data = {
            "token-id": token_id,
            "token-secret": secret,
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "true",
            "auth-extra-groups": "system:bootstrappers:k3s:default-node-token",
        }
        if description:
            data["description"] = description
        if ttl:
            data["expiration"] = (now + ttl).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._world.store.create(
            SECRETS, _secret(f"bootstrap-token-{token_id}", TOKEN_TYPE, data), NAMESPACE, manager="k3s"
        )
        return f"K10{self.authority_hash}::{token_id}.{secret}"

    def tokens(self) -> list[BootstrapToken]:
        found = []
        for item in self._world.store.list(SECRETS, NAMESPACE):
            if item.get("type") == TOKEN_TYPE:
                data = {name: _decoded(value) for name, value in item["data"].items()}
                until = data.get("expiration", "")
                expires = (
                    datetime.strptime(until, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) if until else None
                )
                found.append(
                    BootstrapToken(
                        data["token-id"], data["token-secret"], data.get("description", ""), expires
                    )
                )
        return found

    def delete_token(self, text: str) -> bool:
        """Delete a token by its id or by itself; False if there is none."""
        token_id = parse_token(text).password.partition(".")[0]
        if self._world.store.get(SECRETS, f"bootstrap-token-{token_id}", NAMESPACE) is None:
            return False
        self._world.store.delete(SECRETS, f"bootstrap-token-{token_id}", NAMESPACE)
        return True

    def admits(self, credential: Credential, now: datetime, *, server: bool) -> bool:
        """Whether a token lets a machine join; bootstrap tokens admit agents only."""
        if credential.password == self.server_password and credential.user in ("", "server", "node"):
            return True
        if server:
            return False
        return any(
            credential.password == f"{token.id}.{token.secret}"
            and (token.expires is None or now < token.expires)
            for token in self.tokens()
        )

    def knows_node(self, node_name: str, password: str) -> bool | None:
        """Whether this is the node's password; None if the cluster knows no such node."""
        found = self._world.store.get(SECRETS, f"{node_name}.node-password.k3s", NAMESPACE)
        if found is None:
            return None if self._world.store.get(NODES, node_name) is None else False
        return _decoded(found["data"]["hash"]) == _hashed(node_name, password)

    def remember_node(self, node_name: str, password: str) -> None:
        """Keep the hash of a node's password. It goes with the Node (`forget_node`)."""
        name = f"{node_name}.node-password.k3s"
        if self._world.store.get(SECRETS, name, NAMESPACE) is None:
            secret = _secret(name, "k3s.cattle.io/node-password", {"hash": _hashed(node_name, password)})
            self._world.store.create(SECRETS, secret | {"immutable": True}, NAMESPACE, manager="k3s")

    def forget_node(self, node_name: str) -> None:
        name = f"{node_name}.node-password.k3s"
        if self._world.store.get(SECRETS, name, NAMESPACE) is not None:
            self._world.store.delete(SECRETS, name, NAMESPACE)


def node_password(number: int) -> str:
    """The content of /etc/rancher/node/password on a machine of the world."""
    return hashlib.sha256(b"node password %d" % number).hexdigest()[:32]


def _hashed(node_name: str, password: str) -> str:
    """In the form of K3s' ``$1:salt:n:r:p:hash``; only the hash function is a simpler one."""
    salt = hashlib.sha256(node_name.encode()).hexdigest()[:16]
    digest = hashlib.sha512(f"{salt}{password}".encode()).digest()
    return f"$1:{salt}:15:8:1:{base64.b64encode(digest).decode().rstrip('=')}"


def _secret(name: str, kind: str, data: Mapping[str, str]) -> Manifest:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "type": kind,
        "data": encoded,
    }


def _decoded(value: str) -> str:
    return base64.b64decode(value).decode()
