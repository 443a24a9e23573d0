"""An HTTPS server on loopback with keep-alive and endless streams, which stops, hangs or breaks at once."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from axiom_tui.simulator.faults import Faults
from axiom_tui.simulator.loopback import hold, linger, listen, reset, server_context, subject, unlisten
from axiom_tui.simulator.pki import Authority, KeyPair

_HANDSHAKE_SECONDS = 10.0
_POLL = 0.2  # seconds between looks for faults that ended by themselves
_CHUNK = 256 * 1024
_SMALL = 2048  # bytes; Go's server sends longer bodies chunked


@dataclass(frozen=True)
class Request:
    """One request. ``target`` is the path with its query as it came; header names are lower-case.

    ``user`` and ``groups`` come from a verified client certificate. ``alive()`` is false once the client is
    gone or the server stops.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    user: str
    groups: tuple[str, ...]
    alive: Callable[[], bool]


@dataclass(frozen=True)
class Answer:
    """What goes back. ``chunks`` is the body in pieces; with ``endless`` each piece goes out at once."""

    code: int
    chunks: Iterable[bytes]
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    endless: bool = False


class Cut(Exception):
    """Raised while a body is sent: send these last bytes, then reset the connection."""

    def __init__(self, last: bytes = b"") -> None:
        super().__init__("cut on purpose")
        self.last = last


class Drop(Exception):
    """Raised instead of an answer: close the connection without a word."""


class HttpsServer:
    """Serves ``answer(request) -> Answer`` over TLS, each connection in a daemon thread of its own.

    The faults ``refuse`` and ``hang`` act here, on every connection; ``cut`` by way of `Cut`.
    """

    def __init__(
        self,
        answer: Callable[[Request], Answer],
        faults: Faults,
        authority: Authority,
        serving: KeyPair,
        *,
        port: int = 0,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._answer = answer
        self._faults = faults
        self._context = server_context(authority, serving)
        self._wake = wake
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._held: socket.socket | None = None  # keeps the port ours while nothing listens at it
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._accepting: threading.Thread | None = None
        self._bell: tuple[socket.socket, socket.socket] | None = None  # ends the wait for connections
        self._forget_faults: Callable[[], None] = lambda: None
        self.port = port

    def start(self) -> None:
        """Listen; returns when clients can connect."""
        self._stopping.clear()
        self._listener = listen(self.port)
        self._bell = socket.socketpair()
        self.port = self._listener.getsockname()[1]
        self._forget_faults = self._faults.on_change(self._follow_faults)
        self._follow_faults()
        self._accepting = threading.Thread(target=self._accept, name="simulator-accept", daemon=True)
        self._accepting.start()

    def stop(self) -> None:
        """Close everything, open streams among it; nothing answers when this returns."""
        self._stopping.set()
        self._forget_faults()
        with self._lock:
            sockets = (self._listener, self._held)
            self._listener = self._held = None
            threads = list(self._connections.values())
        for listener in sockets:
            if listener:
                unlisten(listener)
        self._ring()
        self._reset_connections(gently=True)
        self._notice()
        deadline = time.monotonic() + 5.0
        for thread in [*threads, *([self._accepting] if self._accepting else [])]:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        self._accepting = None
        for end in self._bell or ():
            end.close()
        self._bell = None

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    @property
    def faults(self) -> Faults:
        return self._faults

    @property
    def answer(self) -> Callable[[Request], Answer]:
        return self._answer

    @property
    def context(self) -> ssl.SSLContext:
        return self._context

    def pause(self, seconds: float, alive: Callable[[], bool], until: Callable[[], bool]) -> None:
        """Wait, but no longer than until the client is gone, the server stops, or ``until`` says so."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while time.monotonic() < deadline and alive() and not until():
                self._changed.wait(min(_POLL, max(0.0, deadline - time.monotonic())))

    def _follow_faults(self) -> None:
        """Listen or refuse, as the faults now say. Runs in the thread that changed them."""
        refuse = self._faults.find("refuse") is not None
        with self._lock:
            if self._stopping.is_set():
                return
            listener = self._listener
            if refuse and listener:
                unlisten(listener)
                self._listener, self._held = None, hold(self.port)
            elif not refuse and not listener:
                if self._held:
                    self._held.close()
                self._listener, self._held = listen(self.port), None
        self._ring()
        if refuse:
            self._reset_connections(gently=False)
        self._notice()

    def _notice(self) -> None:
        with self._changed:
            self._changed.notify_all()
        self._wake()

    def _ring(self) -> None:
        if self._bell:
            with contextlib.suppress(OSError):
                self._bell[0].send(b"!")

    def _accept(self) -> None:
        bell = self._bell[1] if self._bell else None
        while bell and not self._stopping.is_set():
            self._follow_expired_faults()
            with self._lock:
                listener = self._listener
            try:
                ready, _, _ = select.select([bell, *([listener] if listener else [])], [], [], _POLL)
                if bell in ready:
                    bell.recv(64)
                elif listener in ready and listener:
                    self._serve(listener.accept()[0])
            except (OSError, ValueError):
                continue  # the listener was closed meanwhile, by a fault

    def _follow_expired_faults(self) -> None:
        with self._lock:
            refusing = self._listener is None
        if refusing != (self._faults.find("refuse") is not None):
            self._follow_faults()

    def _serve(self, raw: socket.socket) -> None:
        thread = threading.Thread(target=self._connection, args=(raw,), name="simulator-api", daemon=True)
        with self._lock:
            welcome = self._listener is not None
            if welcome:
                self._connections[raw] = thread
                thread.start()  # inside the lock: stop joins every thread that it finds here
        if not welcome:
            reset(raw)

    def _connection(self, raw: socket.socket) -> None:
        """One connection from its handshake to its end. A client that goes away is nothing to speak of."""
        current = raw
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.settimeout(_HANDSHAKE_SECONDS)
            secure = self._context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
            with self._lock:
                thread = self._connections.pop(raw)
                self._connections[secure] = thread
            current = secure
            secure.do_handshake()
            secure.settimeout(None)
            _Handler(secure, self)
        except OSError:
            pass  # includes ssl.SSLError and timeouts: the other side is gone or does not trust us
        finally:
            with self._lock:
                self._connections.pop(current, None)
                current.close()

    def _reset_connections(self, *, gently: bool) -> None:
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    if not gently:
                        linger(connection)
                    # The plain shutdown: that of SSLSocket would pull the session from under its reader.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Reads requests and writes answers on one connection, until either side has enough."""

    protocol_version = "HTTP/1.1"
    server_version = "axiom"
    sys_version = ""

    def __init__(self, connection: ssl.SSLSocket, server: HttpsServer) -> None:
        self._server = server
        self._secure = connection
        user, groups = subject(connection)
        self._user, self._groups = user, groups
        # The base class takes the socket, serves it to the end and only then returns.
        super().__init__(connection, connection.getpeername(), server)  # type: ignore[arg-type]

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(self._server.faults.now(), usegmt=True)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal belongs to the program under test."""

    def _alive(self) -> bool:
        if self._server.stopping:
            return False
        # A client that waits for a stream sends nothing, so anything to read is its goodbye.
        try:
            return not select.select([self._secure], [], [], 0)[0]
        except (OSError, ValueError):
            return False

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        if "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
            body = b"".join(self._read_chunks())
        request = Request(
            self.command,
            self.path,
            {name.lower(): value for name, value in self.headers.items()},
            body,
            self._user,
            self._groups,
            self._alive,
        )
        try:
            if self._hangs(request):
                raise Drop
            self._send(self._server.answer(request))
        except Drop:
            self.close_connection = True
        except Cut as cut:
            self._cut(cut.last)
        except OSError:
            self.close_connection = True  # the client went away in the middle

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _handle

    def _hangs(self, request: Request) -> bool:
        """Wait out the fault ``hang``; afterwards the connection is of no use any more."""
        faults = self._server.faults
        fault = faults.take("hang", request.target)
        if fault is None:
            return False
        # A hang that was counted (times=1) is over for others, but this request hangs until it gives up.
        while request.alive() and (fault.times or faults.find("hang", request.target)):
            self._server.pause(_POLL, request.alive, lambda: False)
        return True

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.code, HTTPStatus(answer.code).phrase)
        self.send_header("Cache-Control", "no-cache, private")
        self.send_header("Content-Type", answer.content_type)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.endless or not isinstance(answer.chunks, list) or sum(map(len, answer.chunks)) > _SMALL:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if self.command != "HEAD":
                self._send_chunks(answer)
            return
        body = b"".join(answer.chunks)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_chunks(self, answer: Answer) -> None:
        pieces = answer.chunks if answer.endless else _gathered(answer.chunks)
        for piece in pieces:
            if piece:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def _cut(self, last: bytes) -> None:
        """Send the beginning of a piece, then reset instead of closing."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            if last:
                self.wfile.write(b"%x\r\n%b" % (len(last) * 2, last))
            linger(self._secure)
            socket.socket.shutdown(self._secure, socket.SHUT_RD)

    def _read_chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces of a good size for the wire, out of many small ones."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _CHUNK:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)
