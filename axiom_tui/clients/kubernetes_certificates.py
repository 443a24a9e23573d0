"""What a certificate says, for the sentence when TLS or a login by certificate fails."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from axiom_tui.clients.kubeconfig import K3S_KUBECONFIG
from axiom_tui.model.problem import Problem, ProblemKind

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, Name

    from axiom_tui.clients.kubernetes_errors import Peer

# X509_V_ERR_*: the numbers are OpenSSL's.
_EXPIRED, _NOT_YET_VALID = 10, 9
_WRONG_HOST, _WRONG_ADDRESS = 62, 64


def why_untrusted(error: ssl.SSLCertVerificationError, server: str, where: str, timeout: float) -> Problem:
    """Whose certificate was refused, and why. ``timeout`` 0 forgoes looking at the certificate itself."""
    url = urlsplit(server)
    address = url.netloc
    shown = _shown(url.hostname or "", url.port or 443, timeout) if timeout else None
    issuer = _common_name(shown.issuer) if shown else ""
    if error.verify_code == _EXPIRED:
        when = f" on {shown.not_valid_after_utc:%Y-%m-%d %H:%M} UTC" if shown else ""
        return Problem(
            ProblemKind.UNTRUSTED,
            f"The certificate of {address} expired{when}.",
            "K3s renews it when it is restarted on that server; also check the clock of this machine.",
        )
    if error.verify_code == _NOT_YET_VALID:
        when = f" until {shown.not_valid_before_utc:%Y-%m-%d %H:%M} UTC" if shown else " yet"
        return Problem(
            ProblemKind.UNTRUSTED,
            f"The certificate of {address} is not valid{when}.",
            "Check the clock of this machine and of the server.",
        )
    if error.verify_code in (_WRONG_HOST, _WRONG_ADDRESS):
        names = _names(shown) if shown else ()
        stands = f"; it is for {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}" if names else ""
        return Problem(
            ProblemKind.UNTRUSTED,
            f"The certificate of {address} is not for the name {url.hostname}{stands}.",
            f"Add --tls-san={url.hostname} to K3s on the servers, or set tls-server-name in {where}.",
        )
    by = f" (issued by {issuer!r})" if issuer else ""
    return Problem(
        ProblemKind.UNTRUSTED,
        f"The certificate of {address}{by} was not signed by the CA that {where} trusts:"
        f" {error.verify_message}.",
        "If the cluster was rebuilt, copy its kubeconfig anew; if not, somebody else may be answering.",
    )


def expiry(pem: bytes) -> datetime | None:
    """When the first certificate of the PEM text expires; None if it cannot be read."""
    certificate = _load(pem)
    return certificate.not_valid_after_utc if certificate else None


def expired_since(pem: bytes) -> datetime | None:
    """Since when the certificate is no longer valid; None if it is, or cannot be read."""
    end = expiry(pem)
    return end if end is not None and end < datetime.now(UTC) else None


def _shown(host: str, port: int, timeout: float) -> Certificate | None:
    """The certificate that the other side shows. Nothing is sent to it and nothing it says is trusted."""
    try:
        return _load(ssl.get_server_certificate((host, port), timeout=timeout).encode())
    except (OSError, ValueError):
        return None


def _load(pem: bytes) -> Certificate | None:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        return None


def _names(certificate: Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return (
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    )


def _common_name(name: Name) -> str:
    from cryptography.x509.oid import NameOID

    values = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(values[0].value) if values else name.rfc4514_string()


def login_problem(pair: tuple[bytes, bytes] | None, peer: Peer) -> Problem | None:
    """Why a 401 came, if the client certificate's own dates tell it."""
    since = expired_since(pair[0]) if pair else None
    if since is None:
        return None
    return Problem(
        ProblemKind.UNAUTHENTICATED,
        f"The client certificate of user {peer.user!r} in {peer.where} expired on {since:%Y-%m-%d %H:%M} UTC"
        f" (401 from {peer.address}).",
        f"K3s renews it when a server restarts: copy {K3S_KUBECONFIG} of a server anew.",
    )
