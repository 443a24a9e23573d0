"""A server that says exactly the bytes that a test gives it: for what no well-behaved server ever sends."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Request (head and body) -> the bytes of the answer; None keeps silent until the test ends.
Script = Callable[[bytes], bytes | None]


def http(body: bytes | str, status: str = "200 OK", **headers: str) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", *lines])
    return head.encode() + b"\r\n\r\n" + data


def http_json(value: object, status: str = "200 OK", **headers: str) -> bytes:
    return http(json.dumps(value), status, Content_Type="application/json", **headers)


class WireServer:
    """Listens on a unix socket or on a port of 127.0.0.1 and keeps every request that it got."""

    def __init__(self, script: Script, path: Path | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self._tls = tls
        self.requests: list[bytes] = []
        self._ended = threading.Event()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self._listener.bind(str(path) if path else ("127.0.0.1", 0))
        self._listener.listen()
        self.port = 0 if path else int(self._listener.getsockname()[1])
        self._spawn(self._accept)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._tls is not None:
                try:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                except OSError:
                    connection.close()
                    continue
            self._open.append(connection)
            self._spawn(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            request = _read(connection)
            if not request:
                return
            self.requests.append(request)
            answer = self.script(request)
            if answer is None:
                self._ended.wait(30)
            else:
                connection.sendall(answer)


def _read(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def serving(
    script: Script, path: Path | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[WireServer]:
    server = WireServer(script, path, tls)
    try:
        yield server
    finally:
        server.close()
