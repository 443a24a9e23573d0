"""What went wrong with a Kubernetes request, from status or exception to a `Problem`: sentence and remedy.

Statuses and reasons are those of the API conventions (``kind: Status``); which exception stands for what is
urllib3's. No text from outside goes into a sentence before URLs and all that looks secret are taken out.
"""

from __future__ import annotations

import errno
import re
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from urllib.parse import urlsplit

import msgspec

from axiom_tui.clients.http import Answer, excerpt
from axiom_tui.clients.kubernetes_wire import Status
from axiom_tui.model.masking import mask
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind

_STATUS = msgspec.json.Decoder(Status)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>]+", re.IGNORECASE)
#: What would move the cursor or colour the screen, and all other control characters.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x1f\x7f-\x9f]")
#: RBAC's sentence, e.g.: User "x" cannot list resource "nodes" in API group "" at the cluster scope
_DENIED = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) (?:resource|path) "(?P<resource>[^"]*)"'
    r'(?: in API group "(?P<group>[^"]*)")?'
    r'(?: in the namespace "(?P<namespace>[^"]*)")?'
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request was for, for its sentence: ``verb`` "list", ``what`` "nodes" or 'node "m-o-1"'."""

    verb: str
    what: str
    group: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.what}"


@dataclass(frozen=True, slots=True)
class Peer:
    """Who was asked, and as whom, for the sentences."""

    server: str  # URL
    user: str
    where: str  # the kubeconfig
    context: str
    connect_timeout: float
    read_timeout: float
    proxy: str = ""  # host of the proxy, if there is one

    @property
    def address(self) -> str:
        """``host:port``."""
        return urlsplit(self.server).netloc


def clean(text: str) -> str:
    """A text from outside as part of a sentence: one short line, hosts instead of URLs, no secrets."""
    text = _CONTROL.sub(" ", text)
    return excerpt(mask(_URL.sub(lambda match: _host(match[0]), text)))


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def of_answer(answer: Answer, asked: Asked, peer: Peer) -> Problem:
    """The problem behind an answer whose status is not 2xx."""
    try:
        status = _STATUS.decode(answer.body)
    except msgspec.DecodeError:
        status = Status()
    return _of_status(answer.status, status, answer, asked, peer)


def of_watch_error(status: Status, asked: Asked, peer: Peer) -> Problem:
    """The problem behind an ERROR event of a watch."""
    answer = Answer(status.code, {}, b"")
    return _of_status(status.code or 500, status, answer, asked, peer)


def _of_status(code: int, status: Status, answer: Answer, asked: Asked, peer: Peer) -> Problem:
    said = clean(status.message)
    details = status.details
    retry_after = answer.retry_after
    if retry_after is None and details and details.retry_after_seconds:
        retry_after = details.retry_after_seconds
    match code:
        case 401:
            return Problem(
                ProblemKind.UNAUTHENTICATED,
                f"The API server {peer.address} does not accept the credentials of user {peer.user!r} (401).",
                f"They may have expired or been revoked: renew them in {peer.where}.",
            )
        case 403:
            return _forbidden(status, said, asked, peer)
        case 404 if not status.kind:
            group = asked.group or asked.what
            return Problem(
                ProblemKind.MISSING,
                f"The API server has no {group} (it is not installed).",
                "Nothing to do, unless you expected it to be there.",
            )
        case 404:
            return Problem(
                ProblemKind.MISSING,
                f"Could not {asked}: {said or 'it does not exist'}.",
                "It may have been deleted meanwhile; look again.",
            )
        case 409:
            exists = status.reason == "AlreadyExists"
            return Problem(
                ProblemKind.CONFLICT,
                f"Could not {asked}: {said or 'somebody else changed it meanwhile'}.",
                "Choose another name or look at what is there." if exists else "Look again and repeat it.",
            )
        case 410:
            return Problem(
                ProblemKind.EXPIRED,
                f"The API server no longer knows the position from which to {asked} (410).",
                "The list is read anew by itself.",
            )
        case 429:
            when = f"for {retry_after:g} s" if retry_after else "for a while"
            causes = "; ".join(clean(cause.message) for cause in (details and details.causes) or ())
            return Problem(
                ProblemKind.THROTTLED,
                f"The API server refuses to {asked} {when}: {causes or said or 'too many requests'} (429).",
                "It is asked again by itself after that time.",
                retry_after,
            )
        case 400 | 405 | 406 | 413 | 415 | 422:
            return Problem(
                ProblemKind.INVALID,
                f"The API server refuses to {asked}: {said or _phrase(code)} ({code}).",
                "Correct what was sent.",
            )
        case _ if code >= 500:
            return Problem(
                ProblemKind.BROKEN,
                f"The API server failed to {asked}: {said or _body(answer) or _phrase(code)} ({code}).",
                "Look at K3s on the servers (journalctl -u k3s) and at etcd's health.",
                retry_after,
            )
    return Problem(
        ProblemKind.GARBLED,
        f"{peer.address} answered {code} {_phrase(code)} when asked to {asked}: no Kubernetes API does that.",
        f"Something else may answer there (a proxy, a login page): check the server in {peer.where}.",
    )


def _forbidden(status: Status, said: str, asked: Asked, peer: Peer) -> Problem:
    denied = _DENIED.search(status.message)
    if denied is None:
        # Admission said no: the right is there, but the thing itself is refused.
        return Problem(
            ProblemKind.FORBIDDEN,
            f"The API server forbids to {asked}: {said or 'it gives no reason'} (403).",
            "Ask whoever administers the cluster's rights and admission rules.",
        )
    verb, resource, group = denied["verb"], denied["resource"], denied["group"]
    full = f"{resource}.{group}" if group else resource
    place = f"in namespace {denied['namespace']}" if denied["namespace"] else "in the whole cluster"
    kind = "Role" if denied["namespace"] else "ClusterRole"
    return Problem(
        ProblemKind.FORBIDDEN,
        f"User {clean(denied['user'])!r} may not {clean(verb)} {clean(full)} {place} (403).",
        f"Give the user a {kind} with {clean(verb)!r} on {clean(full)!r}, or choose another context.",
    )


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return "no known status"


def _body(answer: Answer) -> str:
    return clean(answer.body[:2000].decode("utf-8", "replace"))


def garbled(asked: Asked, peer: Peer, why: str) -> Problem:
    """An answer that is no Kubernetes JSON."""
    return Problem(
        ProblemKind.GARBLED,
        f"The answer of {peer.address} when asked to {asked} cannot be read: {clean(why)}.",
        "It is read anew by itself; if it stays, something between here and the API changes answers.",
    )


def cut(asked: Asked, peer: Peer) -> Problem:
    """A body or stream that ended too early."""
    return Problem(
        ProblemKind.UNREACHABLE,
        f"The connection to {peer.address} was cut while it answered ({asked}).",
        "It is opened again by itself; if it stays, look at the path (tailscale ping) and at K3s.",
    )


def cancelled(asked: Asked) -> AxiomError:
    return AxiomError(Problem(ProblemKind.CANCELLED, f"Stopped while asked to {asked}.", ""))


def of_exception(error: BaseException, asked: Asked, peer: Peer, *, connected: bool) -> Problem:
    """The problem behind an exception of the transport; ``connected`` tells whether the request was sent."""
    from urllib3 import exceptions as u

    if isinstance(error, u.ProxyError):
        return Problem(
            ProblemKind.UNREACHABLE,
            f"The proxy {peer.proxy or 'in between'} does not lead to {peer.address}:"
            f" {clean(_innermost(error))}.",
            "Check proxy-url in the kubeconfig and HTTPS_PROXY; NO_PROXY exempts a host.",
        )
    if isinstance(error, u.NameResolutionError):
        host = urlsplit(peer.server).hostname
        return Problem(
            ProblemKind.UNRESOLVED,
            f"The name {host} of the API server does not resolve.",
            f"Check that MagicDNS is on (tailscale status), and the spelling of the server in {peer.where}.",
        )
    # Of urllib3's timeouts, NewConnectionError is none, whatever it inherits from.
    timed_out = isinstance(error, u.TimeoutError) and not isinstance(error, u.NewConnectionError)
    if timed_out and (not connected or isinstance(error, u.ConnectTimeoutError)):
        return Problem(
            ProblemKind.TIMED_OUT,
            f"{peer.address} did not accept a connection within {peer.connect_timeout:g} s.",
            "Check that this workstation and the servers are online in the tailnet (tailscale ping).",
        )
    if timed_out:
        return Problem(
            ProblemKind.TIMED_OUT,
            f"The API server {peer.address} did not answer within {peer.read_timeout:g} s ({asked}).",
            "It accepts connections but hangs: look at K3s on the servers and at etcd's health.",
        )
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return _untrusted(cause, peer)
        if isinstance(cause, HTTPException) and not isinstance(cause, RemoteDisconnected | IncompleteRead):
            return Problem(
                ProblemKind.GARBLED,
                f"{peer.address} does not speak HTTP: {clean(str(cause)) or type(cause).__name__}.",
                f"Something else listens there: check the server in {peer.where}.",
            )
        if isinstance(cause, ConnectionRefusedError):
            return Problem(
                ProblemKind.REFUSED,
                f"Nothing listens at {peer.address}.",
                "Is K3s running there (systemctl status k3s), and is it the right port?",
            )
        if isinstance(cause, OSError) and cause.errno in (
            errno.ENETUNREACH,
            errno.EHOSTUNREACH,
            errno.ENETDOWN,
        ):
            return Problem(
                ProblemKind.UNREACHABLE,
                f"There is no way to {peer.address}: {clean(cause.strerror or '')}.",
                "Is this workstation online in the tailnet (tailscale status)?",
            )
    if isinstance(error, u.ProtocolError | u.NewConnectionError | OSError):
        return cut(asked, peer)
    if isinstance(error, u.DecodeError):
        return garbled(asked, peer, "its compression is broken")
    return Problem(
        ProblemKind.UNREACHABLE,
        f"The connection to {peer.address} failed ({asked}): {clean(_innermost(error))}.",
        f"Check the server in {peer.where}.",
    )


def _causes(error: BaseException) -> list[BaseException]:
    """The exception and what it wraps, by cause or (urllib3's habit) as an argument."""
    chain: list[BaseException] = []
    queue: list[BaseException] = [error]
    while queue:
        item = queue.pop(0)
        if item in chain:
            continue
        chain.append(item)
        queue.extend(part for part in (item.__cause__, item.__context__) if part is not None)
        queue.extend(part for part in item.args if isinstance(part, BaseException))
    return chain


def _innermost(error: BaseException) -> str:
    cause = _causes(error)[-1]
    return (cause.strerror if isinstance(cause, OSError) else None) or str(cause) or type(cause).__name__


def _untrusted(error: ssl.SSLError, peer: Peer) -> Problem:
    reason = (error.reason or "").upper()
    if isinstance(error, ssl.SSLCertVerificationError):
        from axiom_tui.clients.kubernetes_certificates import why_untrusted

        return why_untrusted(error, peer.server, peer.where, peer.connect_timeout if not peer.proxy else 0.0)
    if "WRONG_VERSION_NUMBER" in reason or "HTTP_REQUEST" in reason or "RECORD_LAYER" in reason:
        return Problem(
            ProblemKind.UNTRUSTED,
            f"{peer.address} does not speak TLS.",
            f"Check the port of the server in {peer.where}: K3s' API is at 6443.",
        )
    if "ALERT" in reason:
        return Problem(
            ProblemKind.UNTRUSTED,
            f"{peer.address} refused the TLS connection: {clean(reason.replace('_', ' ').lower())}.",
            f"It may not accept the client certificate of user {peer.user!r} in {peer.where}.",
        )
    return Problem(
        ProblemKind.UNTRUSTED,
        f"No TLS connection to {peer.address}: {clean(reason.replace('_', ' ').lower() or str(error))}.",
        f"Check the server and the certificates in {peer.where}.",
    )
