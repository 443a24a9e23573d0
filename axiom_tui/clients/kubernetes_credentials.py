"""Who the admin is to the API server: a token, a token file, a password, OIDC, or what a plugin prints.

Read and renewed here, since the official client runs plugins on the terminal, only logs their failure and
then sends requests without credentials, and refreshes OIDC without verifying TLS (facts: services.md 7.1).
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from axiom_tui.clients.kubeconfig import Access
from axiom_tui.clients.kubernetes_exec import ExecPlugin
from axiom_tui.clients.kubernetes_oidc import OidcLogin
from axiom_tui.model.problem import AxiomError, ProblemKind, fail

#: A credential that ends this soon is renewed already; clocks differ, and requests take time.
SKEW = timedelta(seconds=10)
TOKEN_FILE_AGE = 60.0  # seconds; Kubernetes rotates service account tokens in place


@dataclass(frozen=True, repr=False)
class Proof:
    """What proves who we are: ``authorization`` is the header's value, or ""; ``certificate`` is PEM of
    certificate and key. ``expires`` is None for what does not expire by itself."""

    authorization: str = ""
    certificate: tuple[bytes, bytes] | None = None
    expires: datetime | None = None


class Credential(ABC):
    """Gives the current proof, and a new one on demand. Thread-safe; several sources share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._proof: Proof | None = None
        self._failure: tuple[float, AxiomError] | None = None

    @abstractmethod
    def obtain(self, *, renew: bool) -> Proof:
        """Get a proof; with ``renew`` the last one was refused."""

    @property
    def renewable(self) -> bool:
        return False

    def proof(self) -> Proof:
        """The current proof, obtained anew if it has expired. Raises AxiomError."""
        proof = self._proof
        if proof is not None and not _is_over(proof):
            return proof
        return self._obtain(proof, renew=False)

    def renew(self, refused: Proof) -> Proof:
        """A proof other than the one that the server refused; one thread renews for all."""
        return self._obtain(refused, renew=True)

    def cancel(self) -> None:
        """End an `obtain` that is under way in another thread."""
        return

    def _obtain(self, old: Proof | None, *, renew: bool) -> Proof:
        asked_at = time.monotonic()
        with self._lock:
            if self._proof is not None and self._proof is not old and not _is_over(self._proof):
                return self._proof
            # Who waited while another thread failed shares its failure, instead of waiting once more.
            if self._failure is not None and self._failure[0] > asked_at:
                raise AxiomError(self._failure[1].problem)
            try:
                self._proof = self.obtain(renew=renew)
            except AxiomError as error:
                self._failure = (time.monotonic(), error)
                raise
            return self._proof


class Fixed(Credential):
    """A proof that stands in the kubeconfig, or none at all."""

    def __init__(self, proof: Proof) -> None:
        super().__init__()
        self._fixed = proof

    def obtain(self, *, renew: bool) -> Proof:
        return self._fixed


class TokenFile(Credential):
    """A token in a file that somebody else keeps fresh."""

    def __init__(self, path: Path, certificate: tuple[bytes, bytes] | None) -> None:
        super().__init__()
        self._path = path
        self._certificate = certificate

    @property
    def renewable(self) -> bool:
        return True

    def obtain(self, *, renew: bool) -> Proof:
        try:
            token = self._path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise fail(
                ProblemKind.MISCONFIGURED,
                f"The token file {self._path} cannot be read: {why}.",
                "Check that the file is there and yours.",
            ) from error
        if not token:
            raise fail(ProblemKind.MISCONFIGURED, f"The token file {self._path} is empty.", "Log in again.")
        until = datetime.now(UTC) + timedelta(seconds=TOKEN_FILE_AGE) + SKEW
        return Proof(f"Bearer {token}", self._certificate, until)


class Plugin(Credential):
    """What a credential plugin prints."""

    def __init__(self, plugin: ExecPlugin, certificate: tuple[bytes, bytes] | None) -> None:
        super().__init__()
        self._plugin = plugin
        self._certificate = certificate

    @property
    def renewable(self) -> bool:
        return True

    def cancel(self) -> None:
        self._plugin.cancel()

    def obtain(self, *, renew: bool) -> Proof:
        given = self._plugin.run()
        pair = self._certificate
        if given.client_certificate_data and given.client_key_data:
            pair = (given.client_certificate_data.encode(), given.client_key_data.encode())
        return Proof(f"Bearer {given.token}" if given.token else "", pair, given.expiration_timestamp)


class Oidc(Credential):
    """An id token, refreshed in memory only; the kubeconfig is never rewritten."""

    def __init__(
        self, login: OidcLogin, id_token: str, certificate: tuple[bytes, bytes] | None, timeout: float
    ) -> None:
        super().__init__()
        self._login = login
        self._certificate = certificate
        self._timeout = timeout
        self._token = id_token

    @property
    def renewable(self) -> bool:
        return True

    def obtain(self, *, renew: bool) -> Proof:
        if renew or not self._token or _is_over(self._as_proof()):
            self._token = self._login.refresh(self._timeout)
        return self._as_proof()

    def _as_proof(self) -> Proof:
        return Proof(f"Bearer {self._token}", self._certificate, jwt_expiry(self._token))


def credential_for(access: Access, *, exec_timeout: float, read_timeout: float) -> Credential:
    """The credential of a kubeconfig's user. Raises AxiomError for what cannot work."""
    user, certificate = access.user, access.client_certificate
    if user.exec is not None:
        return Plugin(
            ExecPlugin(
                user.exec,
                user=access.user_name,
                directory=access.directory,
                cluster=_cluster_info(access),
                timeout=exec_timeout,
            ),
            certificate,
        )
    if user.auth_provider is not None:
        if user.auth_provider.name != "oidc":
            raise fail(
                ProblemKind.MISCONFIGURED,
                f"User {access.user_name!r} in {access.where} logs in by the auth-provider"
                f" {user.auth_provider.name!r}, which Kubernetes has removed.",
                "Use that provider's credential plugin (exec) instead.",
            )
        settings = user.auth_provider.config
        login = OidcLogin.from_settings(settings, access.user_name, access.where)
        return Oidc(login, settings.get("id-token", ""), certificate, read_timeout)
    if user.token_file:
        return TokenFile(Path(user.token_file), certificate)
    if user.token:
        return Fixed(Proof(f"Bearer {_header_text(user.token, access)}", certificate))
    if user.username:
        pair = f"{user.username}:{user.password}".encode()
        return Fixed(Proof(f"Basic {base64.b64encode(pair).decode()}", certificate))
    return Fixed(Proof("", certificate))


def jwt_expiry(token: str) -> datetime | None:
    """The ``exp`` of a JSON web token; None if it names none or is no such token."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (binascii.Error, ValueError, KeyError, TypeError, OverflowError, OSError):
        return None


def _is_over(proof: Proof) -> bool:
    return proof.expires is not None and proof.expires - SKEW <= datetime.now(UTC)


def _header_text(token: str, access: Access) -> str:
    token = token.strip()
    if not token.isascii() or not token.isprintable():
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"The token of user {access.user_name!r} in {access.where} holds characters that no token has.",
            "Copy the kubeconfig again.",
        )
    return token


def _cluster_info(access: Access) -> Callable[[], dict[str, object]]:
    """``spec.cluster`` of KUBERNETES_EXEC_INFO, for plugins that want it."""

    def cluster() -> dict[str, object]:
        authority = access.authority
        info: dict[str, object] = {
            "server": access.cluster.server,
            "tls-server-name": access.entry.tls_server_name,
            "certificate-authority-data": base64.b64encode(authority.encode()).decode() if authority else "",
            "proxy-url": access.entry.proxy_url,
        }
        return {key: value for key, value in info.items() if value}

    return cluster
