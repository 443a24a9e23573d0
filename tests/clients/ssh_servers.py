"""Small SSH servers for the tests: odd ones by raw sockets, and one whose login can be scripted."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.common import AUTH_FAILED, OPEN_SUCCEEDED, cMSG_USERAUTH_BANNER
from paramiko.message import Message
from paramiko.server import InteractiveQuery

HOST = "127.0.0.1"


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that hands each connection to ``serve`` in a thread; gives its port."""
    listener = socket.create_server((HOST, 0))
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            thread = threading.Thread(target=serve, args=(connection,), daemon=True)
            threads.append(thread)
            thread.start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(10)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)
        for connection in connections:
            connection.close()


class Relay:
    """Passes bytes on to a port until it is frozen: then it takes them, as TCP goes, and drops them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._flowing = threading.Event()
        self._flowing.set()

    def freeze(self) -> None:
        self._flowing.clear()

    def serve(self, client: socket.socket) -> None:
        server = socket.create_connection((HOST, self._port))
        back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
        back.start()
        self._pump(client, server)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        back.join(10)
        server.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self._flowing.is_set():
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)


@dataclass
class Script:
    """What the scripted host does at a login; each hook may block. What it saw is kept beside."""

    identification: str = "SSH-2.0-OpenSSH_9.6"
    methods: str = "publickey,password"
    none: Callable[[Scripted], int] = lambda host: AUTH_FAILED
    password: Callable[[str], int] = lambda secret: AUTH_FAILED
    key: Callable[[str], int] = lambda fingerprint: AUTH_FAILED
    questions: tuple[tuple[str, bool], ...] = ()
    one_service_request: bool = True
    open_channel: int = OPEN_SUCCEEDED
    execute: bool = False
    hang_up_after_login: bool = False
    attempts: list[str] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    connections: int = 0


class Scripted(paramiko.ServerInterface):
    """One connection of the scripted host."""

    def __init__(self, script: Script, transport: paramiko.Transport) -> None:
        self.script = script
        self.transport = transport

    def banner(self, text: str) -> None:
        message = Message()
        message.add_byte(cMSG_USERAUTH_BANNER)
        message.add_string(text)
        message.add_string("en")
        self.transport._send_message(message)  # type: ignore[attr-defined]

    def get_allowed_auths(self, username: str) -> str:
        return self.script.methods

    def check_auth_none(self, username: str) -> int:
        self.script.attempts.append("none")
        return self.script.none(self)

    def check_auth_password(self, username: str, password: str) -> int:
        self.script.attempts.append("password")
        self.script.passwords.append(password)
        return self.script.password(password)

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.script.attempts.append("publickey")
        return self.script.key(str(key.fingerprint))

    def check_auth_interactive(self, username: str, submethods: str) -> int | InteractiveQuery:
        self.script.attempts.append("keyboard-interactive")
        query = InteractiveQuery("", "")
        for text, echo in self.script.questions:
            query.add_prompt(text, echo)
        return query

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        self.script.answers += responses
        return self.script.password(responses[0])

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if self.script.hang_up_after_login:
            self.transport.close()
        return self.script.open_channel

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        return self.script.execute


class _Strict(AuthHandler):
    """Go's SSH server, and so Tailscale's, ends a connection with a second service request."""

    seen = False

    def _parse_service_request(self, message: Message) -> None:
        if self.seen:
            self._disconnect_service_not_available()  # type: ignore[attr-defined]
            return
        self.seen = True
        super()._parse_service_request(message)  # type: ignore[misc]


class _StrictTransport(paramiko.Transport):
    def _parse_newkeys(self, message: Message) -> None:
        if self.auth_handler is None:
            self.auth_handler = _Strict(self)
        super()._parse_newkeys(message)  # type: ignore[misc]


@contextlib.contextmanager
def scripted(script: Script, host_key: paramiko.PKey) -> Iterator[int]:
    """A host that logs in as the script says; gives its port."""
    transports: list[paramiko.Transport] = []

    def serve(connection: socket.socket) -> None:
        script.connections += 1
        transport: Any = _StrictTransport(connection)
        transports.append(transport)
        transport.local_version = script.identification
        transport.add_server_key(host_key)
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            transport.start_server(server=Scripted(script, transport))

    try:
        with listening(serve) as port:
            yield port
    finally:
        for transport in transports:
            transport.packetizer.complete_handshake()
            transport.close()
            transport.join(10)
