"""One HTTP exchange with a deadline; every failure on the way is an `AxiomError` naming the other side.

The only file that imports httpx, and only when something is sent. It judges the way, not the answer: which
status means what is known by the client of each system.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
import ssl
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from axiom_tui.clients.dns import resolve
from axiom_tui.model.problem import AxiomError, ProblemKind, fail

#: No answer that we ask for comes near; more than this is not what we asked for.
LARGEST_ANSWER = 64 * 1024 * 1024  # bytes
LONGEST_EXCERPT = 200  # characters of a foreign text that go into a sentence


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after(self) -> float | None:
        """Seconds that the other side asks us to wait (RFC 9110: a number or a date), if it says so."""
        from email.utils import parsedate_to_datetime

        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return float(text)
        try:
            when = parsedate_to_datetime(text)
        except ValueError:
            return None
        moment = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())

    @property
    def is_json(self) -> bool:
        return "json" in self.headers.get("content-type", "").lower()


def send(
    method: str,
    url: str,
    *,
    what: str,
    deadline: float,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """Send one request and read its whole answer. ``what`` names the other side in sentences.

    ``deadline`` (seconds) holds for the name, for connecting, for each read, and for the whole body.
    Redirects are not followed, so that credentials go nowhere else; certificates are always verified. Raises
    `AxiomError` (REFUSED, UNRESOLVED, UNREACHABLE, TIMED_OUT, UNTRUSTED, GARBLED, MISCONFIGURED).
    """
    _forgo_the_program_of_httpx()
    import httpx

    for name, value in (headers or {}).items():
        if not (value.isascii() and value.isprintable()):
            # The value may be a secret, and httpx would quote it in its complaint.
            raise fail(
                ProblemKind.MISCONFIGURED,
                f"What is configured for the header {name} of {what} has line breaks or foreign characters.",
                "A token is one line of letters, digits and signs: correct the file that it comes from.",
            )
    # A proxy of the environment must not see what is meant for this machine.
    here = is_loopback(urlsplit(url).hostname or "")
    until = time.monotonic() + deadline
    chunks: list[bytes] = []
    size = 0
    try:
        _try_to_resolve(url, deadline)
        with (
            httpx.Client(
                timeout=httpx.Timeout(deadline), verify=_authorities(), trust_env=not here
            ) as client,
            client.stream(method, url, headers=dict(headers or {}), content=body) as response,
        ):
            for chunk in response.iter_bytes():
                chunks.append(chunk)
                size += len(chunk)
                if size > LARGEST_ANSWER:
                    raise fail(ProblemKind.GARBLED, f"{what} sends more than {LARGEST_ANSWER >> 20} MiB.")
                if time.monotonic() > until:
                    raise timed_out(what, deadline)
            received = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status_code, received, b"".join(chunks))
    except httpx.TimeoutException as error:
        raise timed_out(what, deadline) from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        raise _on_the_way(error, what, url) from error


def _forgo_the_program_of_httpx() -> None:
    """Its own command line program (click, rich, pygments) is most of its import, and nobody runs it here.

    A module that is None in `sys.modules` cannot be imported; httpx then does as it does without click.
    """
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]


def excerpt(text: str | bytes) -> str:
    """A foreign text as a part of a sentence: one line, short, no closing full stop; "" for HTML."""
    if isinstance(text, bytes):
        text = text[: LONGEST_EXCERPT * 8].decode("utf-8", "replace")
    text = " ".join(text.split())
    if text.startswith("<"):
        return ""
    text = "".join(character for character in text if character.isprintable())
    return (text[:LONGEST_EXCERPT] + "…" if len(text) > LONGEST_EXCERPT else text).rstrip(".")


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _try_to_resolve(url: str, deadline: float) -> None:
    """Raise `AxiomError` if the name does not resolve in time: httpx has no deadline for that."""
    from urllib.request import getproxies, proxy_bypass

    host = urlsplit(url).hostname or ""
    # Behind a proxy it is the proxy that resolves names.
    if host and not is_loopback(host) and (not getproxies() or proxy_bypass(host)):
        resolve(host, deadline)


@functools.lru_cache(maxsize=1)
def _authorities() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()


def timed_out(what: str, deadline: float) -> AxiomError:
    return fail(
        ProblemKind.TIMED_OUT,
        f"{what} did not answer within {deadline:g} s.",
        "Look whether it hangs, and at the network in between.",
    )


def refused(what: str) -> AxiomError:
    return fail(ProblemKind.REFUSED, f"Nothing listens at {what}.", "Check its address, and that it runs.")


def not_http(what: str, error: Exception) -> AxiomError:
    return fail(
        ProblemKind.GARBLED,
        f"{what} does not speak HTTP: {excerpt(str(error))}.",
        "Check its address: something else may listen there.",
    )


def unreachable(what: str, error: Exception) -> AxiomError:
    return fail(
        ProblemKind.UNREACHABLE,
        f"The connection to {what} failed: {excerpt(str(error)) or type(error).__name__}.",
        "Check the network in between.",
    )


def _on_the_way(error: Exception, what: str, url: str) -> AxiomError:
    """The failure behind httpx's exception; the cause at the end of its chain knows best."""
    import httpx

    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return fail(
                ProblemKind.UNTRUSTED,
                f"The certificate of {what} is not trusted: {excerpt(cause.verify_message or str(cause))}.",
                "Check the address, the clock of this machine, and whether a proxy breaks TLS open.",
            )
        if isinstance(cause, ssl.SSLError):
            return fail(
                ProblemKind.UNTRUSTED,
                f"No TLS connection to {what}: {excerpt(cause.reason or str(cause))}.",
                "Check the address and its port.",
            )
        if isinstance(cause, socket.gaierror):
            return fail(
                ProblemKind.UNRESOLVED,
                f"The name {urlsplit(url).hostname} of {what} does not resolve.",
                "Check its spelling in the settings, and the DNS of this machine.",
            )
        if isinstance(cause, ConnectionRefusedError):
            return refused(what)
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | UnicodeError):
        return fail(
            ProblemKind.MISCONFIGURED,
            f"The address of {what} is no URL that can be asked: {excerpt(str(error))}.",
            "Correct it in the settings.",
        )
    # A connection that is cut in the middle is the same class as one that speaks nonsense.
    text = str(error).lower()
    cut = "disconnected" in text or "peer closed" in text
    if isinstance(error, httpx.DecodingError) or (isinstance(error, httpx.RemoteProtocolError) and not cut):
        return not_http(what, error)
    return unreachable(what, error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and what it was raised from, the outermost first; httpcore keeps it as an argument."""
    seen: object = error
    while isinstance(seen, BaseException):
        yield seen
        seen = seen.__cause__ or next(iter(seen.args), None)
