"""A small threaded HTTP server on loopback or a unix socket, which can be stopped at once.

The simulated Tailscale services stand on it. It knows nothing of what it serves.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import socketserver
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

#: How often, in seconds, a held request looks whether somebody still waits for it.
POLL = 0.1
#: How often the accept loop looks around by itself.
LOOK_AROUND = 0.5


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in. Header names are lower-case; ``query`` keeps repeated names."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    alive: Liveness

    def parameter(self, name: str, default: str = "") -> str:
        return self.query.get(name, [default])[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: a whole body, or ``stream``, which is written piece by piece until it ends."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: Iterator[bytes] | None = None


def json_answer(value: Any, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(status, msgspec.json.encode(value), headers=named)


def text_answer(text: str, status: int) -> Answer:
    return Answer(status, text.encode() + b"\n", "text/plain; charset=utf-8")


class Gone(Exception):
    """The client hung up, or the server stops: nobody waits for an answer any more."""


class Liveness:
    """Whether somebody still waits for the answer to a request."""

    def __init__(self, connection: socket.socket, stopping: threading.Event) -> None:
        self._connection = connection
        self._stopping = stopping

    def hold(self, seconds: float) -> None:
        """Wait up to ``seconds``; raises `Gone` as soon as nobody waits any more."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            # A client that has asked sends nothing more: readable means that it closed.
            try:
                readable = select.select([self._connection], [], [], min(left, POLL))[0]
            except (OSError, ValueError) as error:
                raise Gone from error
            if readable or self._stopping.is_set():
                raise Gone
            if left <= POLL:
                return

    def hold_forever(self) -> None:
        """What a service does that never answers: ends only with `Gone`."""
        while True:
            self.hold(POLL)


class WireServer(ABC):
    """Serves `answer` from `start` to `stop`; one thread a connection."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stopping = threading.Event()
        self._server: _TcpServer | _UnixServer | None = None
        self._thread: threading.Thread | None = None
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    @abstractmethod
    def answer(self, request: Request) -> Answer:
        """Answer one request; may raise `Gone` to hang up without a word."""

    def look_around(self) -> None:
        """Called in the accept loop: every half second, after each connection and after `wake`."""
        return

    def start_tcp(self) -> str:
        """Listen on a free port of 127.0.0.1; the base URL."""
        server = _TcpServer(self, ("127.0.0.1", 0))
        self._run(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    def start_unix(self, path: Path) -> None:
        """Listen on a unix socket that every local user may talk to, as tailscaled's."""
        path.unlink(missing_ok=True)
        server = _UnixServer(self, str(path))
        os.chmod(path, 0o666)
        self._run(server)

    def wake(self) -> None:
        """Let the accept loop look around now."""
        server = self._server
        if server is not None:
            server.wake()

    def stop(self) -> None:
        """End at once: connections are cut, requests that hang are let go."""
        self.stopping.set()
        if self._server is None:
            return
        self._server.wake()
        if self._thread is not None:
            self._thread.join(5)
        self.hang_up()
        self._server.server_close()
        self._server = None

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.discard(connection)

    def hang_up(self) -> None:
        """Cut all connections that are open now."""
        with self._lock:
            open_connections = list(self._connections)
        for connection in open_connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _run(self, server: _TcpServer | _UnixServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, name=self.name, daemon=True)
        self._thread.start()


class _Serving(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """The accept loop of socketserver, but one that can be woken and therefore ended at once."""

    daemon_threads = True
    block_on_close = True  # so that no socket outlives `stop`
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, wire: WireServer, address: Any) -> None:
        self.wire = wire
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_in.setblocking(False)
        try:
            super().__init__(address, _Handler)
        except OSError:
            self._close_wake()
            raise

    def serve_forever(self, poll_interval: float = LOOK_AROUND) -> None:
        while not self.wire.stopping.is_set():
            ready = select.select([self.socket, self._wake_out], [], [], poll_interval)[0]
            if self._wake_out in ready:
                self._wake_out.recv(4096)
            if self.wire.stopping.is_set():
                return
            if self.socket in ready:
                self.handle_request()
            self.wire.look_around()

    def wake(self) -> None:
        # A full pipe wakes as well, a closed one has nobody left to wake.
        with contextlib.suppress(OSError):
            self._wake_in.send(b"x")

    def server_close(self) -> None:
        super().server_close()
        self._close_wake()

    def _close_wake(self) -> None:
        self._wake_out.close()
        self._wake_in.close()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.wire.opened(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.wire.closed(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is the client's affair; defects of ours still show."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _TcpServer(_Serving):
    pass


class _UnixServer(_Serving):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)

    def get_request(self) -> tuple[socket.socket, Any]:
        request, _ = self.socket.accept()
        return request, ("local", 0)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet, else TCP holds the body back for 40 ms
    server: _TcpServer | _UnixServer

    def handle_any(self) -> None:
        wire = self.server.wire
        length = int(self.headers.get("Content-Length") or 0)
        parts = urlsplit(self.path)
        request = Request(
            self.command,
            parts.path,
            parse_qs(parts.query, keep_blank_values=True),
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(length) if length else b"",
            Liveness(self.connection, wire.stopping),
        )
        try:
            self._send(wire.answer(request))
        except (Gone, ConnectionError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_any

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.stream is None:
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in answer.stream:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def address_string(self) -> str:
        return "local"

    def log_message(self, format: str, *arguments: Any) -> None:
        return  # a simulated service keeps no access log
