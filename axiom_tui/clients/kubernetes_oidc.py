"""OIDC of a kubeconfig (``auth-provider: oidc``): a new id token for the refresh token, kept in memory.

Protocol: OpenID Connect Discovery and OAuth 2.0 (RFC 6749, section 6), as kubectl's own plugin speaks it.
TLS to the identity provider is always verified.
"""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from axiom_tui.clients.kubernetes_errors import clean
from axiom_tui.model.problem import AxiomError, ProblemKind, fail


@dataclass
class OidcLogin:
    """One user's login at one identity provider; `refresh` may be called again and again."""

    issuer: str
    client_id: str
    client_secret: str
    refresh_token: str
    authority: str | None  # PEM, None for the system's own
    user: str
    where: str

    def __repr__(self) -> str:
        return f"OidcLogin({self.issuer!r}, {self.user!r})"

    @classmethod
    def from_settings(cls, settings: Mapping[str, str], user: str, where: str) -> OidcLogin:
        """From the ``config`` of the auth-provider."""
        authority = None
        try:
            if data := settings.get("idp-certificate-authority-data"):
                authority = base64.b64decode(data, validate=True).decode("ascii")
            elif path := settings.get("idp-certificate-authority"):
                authority = Path(path).expanduser().read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            raise fail(
                ProblemKind.MISCONFIGURED,
                f"The CA of the identity provider of user {user!r} in {where} cannot be read.",
                "Check idp-certificate-authority there.",
            ) from error
        return cls(
            settings.get("idp-issuer-url", "").rstrip("/"),
            settings.get("client-id", ""),
            settings.get("client-secret", ""),
            settings.get("refresh-token", ""),
            authority,
            user,
            where,
        )

    @property
    def _host(self) -> str:
        return urllib.parse.urlsplit(self.issuer).netloc or "(none)"

    def refresh(self, timeout: float) -> str:
        """A new id token. Raises AxiomError; ``timeout`` in seconds holds for each of the two requests."""
        if not self.refresh_token or not self.client_id or not self.issuer.startswith("https://"):
            raise self._fault(
                ProblemKind.UNAUTHENTICATED, "has expired and cannot be refreshed: no refresh token"
            )
        found = self._ask(f"{self.issuer}/.well-known/openid-configuration", None, timeout)
        endpoint = found.get("token_endpoint")
        if not isinstance(endpoint, str) or not endpoint.startswith("https://"):
            raise self._fault(
                ProblemKind.GARBLED, f"cannot be refreshed: {self._host} names no token endpoint"
            )
        form = {"grant_type": "refresh_token", "refresh_token": self.refresh_token}
        given = self._ask(endpoint, form, timeout)
        token = given.get("id_token")
        if not isinstance(token, str):
            raise self._fault(ProblemKind.GARBLED, f"cannot be refreshed: {self._host} gave no id token")
        # Providers may rotate the refresh token; the old one is void then.
        self.refresh_token = str(given.get("refresh_token") or self.refresh_token)
        return token

    def _ask(self, url: str, form: dict[str, str] | None, timeout: float) -> dict[str, Any]:
        request = urllib.request.Request(url, headers={"Accept": "application/json"})
        if form is not None:
            quoted = (urllib.parse.quote(part, safe="") for part in (self.client_id, self.client_secret))
            pair = base64.b64encode(":".join(quoted).encode()).decode()
            request.add_header("Authorization", f"Basic {pair}")
            request.data = urllib.parse.urlencode(form).encode()
        context = ssl.create_default_context(cadata=self.authority)
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirect())
        try:
            with opener.open(request, timeout=timeout) as response:
                answer = json.loads(response.read(1 << 20))
        except urllib.error.HTTPError as error:
            with error:
                kind = ProblemKind.UNAUTHENTICATED if error.code in (400, 401, 403) else ProblemKind.BROKEN
                raise self._fault(kind, f"cannot be refreshed: {self._host} answered {error.code}") from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise self._fault(
                ProblemKind.UNREACHABLE, f"cannot be refreshed: {self._host}: {clean(str(reason))}"
            ) from error
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._fault(ProblemKind.GARBLED, f"cannot be refreshed: {self._host} answered no JSON")
        return answer

    def _fault(self, kind: ProblemKind, what: str) -> AxiomError:
        return fail(
            kind,
            f"The OIDC login of user {self.user!r} {what}.",
            f"Log in again with the tool that wrote {self.where}.",
        )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Credentials go to the provider alone."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None
