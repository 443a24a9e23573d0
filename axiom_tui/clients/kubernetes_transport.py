"""The official client's transport with our own credentials, for raw requests that can be interrupted.

The only file that imports the Kubernetes SDK, and only where the way leads through a proxy: else the SDK
would do no more than make the same urllib3 pool, and its import takes longer than to list 5,000 nodes. Bodies
are read as bytes (facts: services.md 7.3, speed.md).
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
)
from urllib3.util.connection import create_connection
from urllib3.util.ssl_ import create_urllib3_context

from axiom_tui.clients import kubernetes_errors as errors
from axiom_tui.clients.dns import resolve
from axiom_tui.clients.http import Answer, is_loopback
from axiom_tui.clients.kubeconfig import Access, KubernetesOptions
from axiom_tui.clients.kubernetes_certificates import login_problem
from axiom_tui.clients.kubernetes_credentials import Proof, credential_for
from axiom_tui.clients.kubernetes_errors import Asked, Peer
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind, fail

USER_AGENT = "axiom-tui"
_PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
MOST_CONNECTIONS = 16  # kept open; a source needs one, a plan another


class Call:
    """One request under way; `end` makes a blocked read return within milliseconds, from any thread."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.ended = False
        self.is_fresh = False  # over a connection that was opened for it
        self.is_connected = False
        self._socket: Any = None

    def end(self) -> None:
        self.ended = True
        self._shut_down()

    def on_socket(self, sock: Any) -> None:
        """The connection's socket is this one from now on. Whoever ended the call meanwhile is obeyed."""
        self._socket = sock
        if self.ended:
            self._shut_down()

    def set_read_timeout(self, seconds: float) -> None:
        if self._socket is not None:
            self._socket.settimeout(seconds)

    def _shut_down(self) -> None:
        # TLS within TLS (an https proxy) wraps the socket once more.
        sock = getattr(self._socket, "socket", self._socket)
        if isinstance(sock, socket.socket):
            with contextlib.suppress(OSError):
                # Not SSLSocket.shutdown: that would take the TLS state from under the blocked reader.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


_current = threading.local()


class _Observed:
    """A connection that tells the current thread's call which socket it uses, and that keeps its deadline
    whatever the name resolves to."""

    sock: Any
    host: str
    port: int
    timeout: Any
    socket_options: Any

    def _new_conn(self) -> socket.socket:
        """Resolve and connect within one deadline, which all addresses share: of the three servers behind
        one API name a dead one must neither use it up nor be the end. (urllib3 gives each address the whole
        deadline, and the resolver none.)"""
        host = self.host.strip("[]")
        addresses = _addresses(host, self.timeout, self)
        share = self.timeout / len(addresses)
        for address in addresses:
            try:
                sock = create_connection((address, self.port), share, socket_options=self.socket_options)
            except OSError as error:
                last = error
                continue
            sock.settimeout(self.timeout)  # for the TLS handshake
            return sock
        if isinstance(last, TimeoutError):
            raise ConnectTimeoutError(self, f"{self.timeout:g} s passed") from last
        raise NewConnectionError(self, str(last)) from last  # type: ignore[arg-type]

    def connect(self) -> None:
        call: Call | None = getattr(_current, "call", None)
        if call is not None:
            call.is_fresh, call.is_connected = True, False
        super().connect()  # type: ignore[misc]
        if call is not None:
            call.is_connected = True
            call.on_socket(self.sock)

    def request(self, *arguments: Any, **options: Any) -> None:
        call: Call | None = getattr(_current, "call", None)
        if call is not None and self.sock is not None:
            call.is_connected = True
            call.on_socket(self.sock)
        super().request(*arguments, **options)  # type: ignore[misc]


def _addresses(host: str, deadline: float, connection: Any) -> tuple[str, ...]:
    if _is_address(host):
        return (host,)
    try:
        found = resolve(host, deadline)
    except AxiomError as error:
        if error.problem.kind is not ProblemKind.UNRESOLVED:
            raise
        raise NameResolutionError(host, connection, socket.gaierror(error.problem.sentence)) from error
    return found.ipv4 + found.ipv6


class _PlainConnection(_Observed, HTTPConnection):
    pass


class _TlsConnection(_Observed, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class Response:
    """An answer whose body is still to be read; `close` it."""

    def __init__(self, raw: Any, call: Call, peer: Peer, proof: Proof) -> None:
        self._raw = raw
        self._call = call
        self._peer = peer
        self._proof = proof

    @property
    def ok(self) -> bool:
        return 200 <= int(self._raw.status) <= 299

    @property
    def date(self) -> str:
        """The Date header, or ""."""
        return str(self._raw.headers.get("Date", ""))

    def read(self) -> bytes:
        """The whole body. Raises AxiomError for a cut, a timeout or a call that was ended."""
        try:
            return bytes(self._raw.read(decode_content=True))
        except (HTTPError, OSError) as error:
            raise self._problem(error) from error

    def chunks(self) -> Iterator[bytes]:
        """The body in pieces, as they come in."""
        try:
            if self._raw.chunked:
                yield from self._raw.stream(amt=None, decode_content=True)
            else:
                while piece := self._raw.read1(65536, decode_content=True):
                    yield piece
        except (HTTPError, OSError) as error:
            raise self._problem(error) from error
        if self._call.ended:
            raise errors.cancelled(self._call.asked)

    def problem(self) -> Problem:
        """What is wrong, for an answer that is not `ok`; reads the body."""
        headers = {name.lower(): value for name, value in self._raw.headers.items()}
        answer = Answer(int(self._raw.status), headers, self.read())
        if answer.status == 401 and (problem := login_problem(self._proof.certificate, self._peer)):
            return problem
        return errors.of_answer(answer, self._call.asked, self._peer)

    def close(self) -> None:
        """Give the connection back if its body was read to the end, else close it."""
        if self._raw.closed:
            self._raw.release_conn()
        else:
            self._raw.close()

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _problem(self, error: Exception) -> AxiomError:
        if self._call.ended:
            return errors.cancelled(self._call.asked)
        return AxiomError(errors.of_exception(error, self._call.asked, self._peer, connected=True))


class Transport:
    """Authenticated HTTP to one API server; thread-safe, shared by all that read one cluster."""

    def __init__(self, access: Access, options: KubernetesOptions) -> None:
        self._access = access
        self._timeout = urllib3.Timeout(connect=options.connect_timeout, read=options.read_timeout)
        self._credential = credential_for(
            access, exec_timeout=options.exec_timeout, read_timeout=options.read_timeout
        )
        self._lock = threading.Lock()
        self._pools: urllib3.PoolManager | None = None
        self._certificate: tuple[bytes, bytes] | None = None
        url = urlsplit(access.cluster.server)
        # Over loopback compression only costs; over a tailnet it saves nine tenths.
        self._encoding = "identity" if is_loopback(url.hostname or "") else "gzip"
        proxy = _proxy(access)
        self.peer = Peer(
            server=access.cluster.server,
            user=access.user_name,
            where=access.where,
            context=access.cluster.context,
            connect_timeout=options.connect_timeout,
            read_timeout=options.read_timeout,
            proxy=(urlsplit(proxy).hostname or "") if proxy else "",
        )

    def open(
        self,
        call: Call,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> Response:
        """Send a request and wait for the answer's head. Raises AxiomError; any status is an answer."""
        target = f"{path}?{urlencode(query)}" if query else path
        proof = self._credential.proof()
        response = self._send(call, method, target, proof, body, content_type)
        if response.status == 401 and self._credential.renewable:
            response.close()
            proof = self._credential.renew(proof)
            response = self._send(call, method, target, proof, body, content_type)
        return Response(response, call, self.peer, proof)

    def close(self) -> None:
        """Close idle connections and end a login that is under way."""
        self._credential.cancel()
        with self._lock:
            if self._pools is not None:
                _close_idle(self._pools)

    def _send(
        self, call: Call, method: str, target: str, proof: Proof, body: bytes | None, content_type: str
    ) -> Any:
        pools = self._pools_for(proof)
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": self._encoding,
            "User-Agent": USER_AGENT,
        }
        if body is not None:
            headers["Content-Type"] = content_type
        if proof.authorization:
            headers["Authorization"] = proof.authorization
        url = f"{self._access.cluster.server}{target}"
        _current.call = call
        try:
            while True:
                call.is_fresh = call.is_connected = False
                try:
                    return pools.urlopen(
                        method,
                        url,
                        headers=headers,
                        body=body,
                        timeout=self._timeout,
                        preload_content=False,
                        redirect=False,
                    )
                except (HTTPError, OSError) as error:
                    if call.ended:
                        raise errors.cancelled(call.asked) from error
                    # The server may close an idle connection just as it is used again.
                    if isinstance(error, ProtocolError) and not call.is_fresh and method == "GET":
                        continue
                    raise AxiomError(
                        errors.of_exception(error, call.asked, self.peer, connected=call.is_connected)
                    ) from error
        finally:
            _current.call = None

    def _pools_for(self, proof: Proof) -> urllib3.PoolManager:
        """The connections for this proof; a new client certificate needs new ones."""
        with self._lock:
            if self._pools is None or proof.certificate != self._certificate:
                if self._pools is not None:
                    _close_idle(self._pools)
                self._pools = _connections(self._access, proof.certificate)
                self._certificate = proof.certificate
            return self._pools


def _connections(access: Access, certificate: tuple[bytes, bytes] | None) -> urllib3.PoolManager:
    proxy = _proxy(access)
    pools = _proxied(access, proxy) if proxy else urllib3.PoolManager()
    pools.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
    pools.connection_pool_kw.update(
        # False, not 0: the first exception as it is, at once, and no redirect followed.
        retries=False,
        maxsize=MOST_CONNECTIONS,
        socket_options=_socket_options(),
        cert_reqs=ssl.CERT_REQUIRED,
        # A context of our own, so that the admin's private key need not lie in a file while we run.
        ssl_context=_tls_context(access, certificate),
    )
    if access.entry.tls_server_name:
        pools.connection_pool_kw["server_hostname"] = access.entry.tls_server_name
    return pools


def _proxied(access: Access, proxy: str) -> urllib3.PoolManager:
    """As the SDK goes through a proxy, which knows the hosts that the environment exempts."""
    from kubernetes.client.configuration import Configuration
    from kubernetes.client.rest import RESTClientObject

    configuration = Configuration()  # type: ignore[no-untyped-call]
    configuration.host = access.cluster.server
    configuration.proxy = proxy
    parts = urlsplit(proxy)
    if parts.username:
        configuration.proxy_headers = urllib3.make_headers(
            proxy_basic_auth=f"{parts.username}:{parts.password or ''}"
        )
    if access.entry.proxy_url:
        configuration.no_proxy = None  # what the kubeconfig itself names holds for this server
    pools: urllib3.PoolManager = RESTClientObject(configuration).pool_manager  # type: ignore[no-untyped-call]
    return pools


def _close_idle(pools: urllib3.PoolManager) -> None:
    """Close what is not in use now. (urllib3's own `clear` leaves that to the garbage collector.)"""
    for key in set(pools.pools.keys()):
        if (pool := pools.pools.get(key)) is not None:
            pool.close()
    pools.clear()


def _tls_context(access: Access, certificate: tuple[bytes, bytes] | None) -> ssl.SSLContext:
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    # As kubectl verifies: chain and name, any given CA as anchor, but no pedantry about extensions.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    authority = access.authority
    try:
        if authority is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cadata=authority)
    except (ssl.SSLError, ValueError) as error:
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"The CA in {access.where} is no certificate.",
            "Copy the kubeconfig again.",
        ) from error
    if certificate is not None:
        _load_certificate(context, certificate, access)
    return context


def _load_certificate(context: ssl.SSLContext, pair: tuple[bytes, bytes], access: Access) -> None:
    with tempfile.TemporaryDirectory(prefix="axiom-tui-") as directory:  # mode 0700
        file = Path(directory) / "client.pem"
        file.touch(mode=0o600)
        file.write_bytes(pair[0].rstrip() + b"\n" + pair[1])
        try:
            # A password function keeps OpenSSL from asking on the terminal.
            context.load_cert_chain(file, password=lambda: "")
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or ""
            why = "do not belong together" if "MISMATCH" in reason else "cannot be read, or are encrypted"
            raise fail(
                ProblemKind.MISCONFIGURED,
                f"The client certificate and key of user {access.user_name!r} in {access.where} {why}.",
                "Copy the kubeconfig again.",
            ) from error


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])  # fe80::1%eth0
    except ValueError:
        return False
    return True


def _proxy(access: Access) -> str | None:
    """The kubeconfig's proxy, else the environment's as the SDK reads it; never for this very machine."""
    proxy = access.entry.proxy_url
    if not proxy:
        host = urlsplit(access.cluster.server).hostname or ""
        # The SDK takes the last of these that is set, whatever the scheme of the server.
        named = [value for name in _PROXY_VARIABLES if (value := os.environ.get(name))]
        return named[-1] if named and not is_loopback(host) else None
    if urlsplit(proxy).scheme not in ("http", "https"):
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"The proxy of context {access.cluster.context!r} in {access.where} is neither http nor https.",
            "SOCKS proxies are not supported.",
        )
    return proxy


def _socket_options() -> list[tuple[int, int, int]]:
    """A peer that vanished (a closed laptop, a tailnet gone) is noticed within half a minute."""
    options = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    # macOS calls the idle time otherwise.
    idle = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))
    for option, value in (
        (idle, 15),
        (getattr(socket, "TCP_KEEPINTVL", None), 5),
        (getattr(socket, "TCP_KEEPCNT", None), 3),
    ):
        if option is not None:
            options.append((socket.IPPROTO_TCP, option, value))
    return options
