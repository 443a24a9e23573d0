"""SSH for the embedded hosts: one socket each on 127.0.0.1, Tailscale's way in or that of an ordinary sshd.

Facts: services.md 3.1 (tailscale, ssh/tailssh). This is the only file of the simulator that imports paramiko,
and it does so when the first client comes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from axiom_tui.simulator.hosts.host import Access, Host
from axiom_tui.simulator.hosts.kernel import Killed, OpenFile, Pipe, Process, Signals
from axiom_tui.simulator.hosts.terminal import INTERACTIVE, LineDiscipline, shown

if TYPE_CHECKING:
    from axiom_tui.simulator.hosts.hosts import Hosts

OPENSSH = "SSH-2.0-OpenSSH_8.9p1 Ubuntu-3ubuntu0.13"
TAILSCALE = "SSH-2.0-Tailscale"
CHECK_BANNER = "# Tailscale SSH requires an additional check.\n# To authenticate, visit: {url}\n"
CHECKED_BANNER = "# Authentication checked with Tailscale SSH.\n# Time since last authentication: 1s\n"
LONGEST_CHECK = 1800.0  # seconds that Tailscale holds a login
_TICK = 0.1
_NO_TAILNET = ("ts-absent", "ts-stopped", "ts-needs-login", "ts-needs-approval")


def host_key_seed(host: Host) -> bytes:
    """The 32 bytes of a host's Ed25519 key, as its tailnet device publishes it."""
    return hashlib.sha256(b"ssh host key %d" % host.computer.number).digest()


class SshServer:
    """Listens for all hosts in one thread; each connection has its own."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._selector = selectors.DefaultSelector()
        self._listeners: dict[Host, socket.socket] = {}
        self._connections: set[_Connection] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._bell = socket.socketpair()  # ends the wait for connections

    def listen(self, host: Host) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self._listeners[host] = listener
        self._selector.register(listener, selectors.EVENT_READ, host)

    def port(self, host: Host) -> int:
        port: int = self._listeners[host].getsockname()[1]
        return port

    def start(self, look_around: Callable[[], None], seconds: float) -> None:
        """Accept connections; ``look_around`` is called at least every so many seconds."""

        def accept() -> None:
            while not self._stopping.is_set():
                for key, _ in self._selector.select(seconds):
                    if key.data is not None:
                        with contextlib.suppress(OSError):
                            self._take(key.data, self._listeners[key.data].accept()[0])
                look_around()

        self._selector.register(self._bell[0], selectors.EVENT_READ)
        self._thread = threading.Thread(target=accept, name="host-accept", daemon=True)
        self._thread.start()

    def _take(self, host: Host, connected: socket.socket) -> None:
        connected.setblocking(True)
        # As sshd does it: without, each small answer waits 40 ms for the client to confirm the one before.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if host.take_fault("host-refuse"):
            _reset(connected)
            return
        connection = _Connection(host, connected, self._stopping, self._forget)
        with self._lock:
            self._connections.add(connection)
        connection.start()

    def _forget(self, connection: _Connection) -> None:
        with self._lock:
            self._connections.discard(connection)

    def stop(self) -> None:
        """End everything; twice does no harm."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._bell[1].send(b"!")
        if self._thread is not None:
            self._thread.join(10)
        for open_socket in (*self._listeners.values(), *self._bell):
            open_socket.close()
        self._selector.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.stop()


class _Connection(threading.Thread):
    """One client of one host."""

    def __init__(
        self,
        host: Host,
        connected: socket.socket,
        stopping: threading.Event,
        forget: Callable[[_Connection], None],
    ) -> None:
        super().__init__(name=f"ssh-{host.computer.name}", daemon=True)
        self.host = host
        self.socket = connected
        self.stopping = stopping
        self.origin = "100.101.102.103 41022 22"
        self._forget = forget
        self._transport: Any = None
        self.processes: list[Process] = []

    def run(self) -> None:
        try:
            while not self._is_reachable():
                # Nobody is there: what is sent is never answered.
                if self.stopping.wait(_TICK) or self.is_gone():
                    return
            self._serve()
        finally:
            self.socket.close()
            self._forget(self)

    def _is_reachable(self) -> bool:
        host = self.host
        if host.find_fault("host-absent"):
            return False
        if not host.computer.in_tailnet:
            return True
        # Without the laptop's own Tailscale there is no way to the tailnet either.
        return host.is_in_tailnet and not any(host.world_faults.find(kind) for kind in _NO_TAILNET)

    def is_gone(self) -> bool:
        """Whether the client has closed its end."""
        try:
            return self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except (BlockingIOError, TimeoutError):
            return False
        except OSError:
            return True

    def _serve(self) -> None:
        self.host.furnish()
        transport = self._transport = _transport_class()(self.socket)
        transport.one_service_request = self.host.computer.access is Access.TAILSCALE
        transport.set_log_channel("axiom-simulator.ssh")
        transport.local_version = TAILSCALE if self.host.computer.access is Access.TAILSCALE else OPENSSH
        transport.add_server_key(_host_key(self.host))
        try:
            transport.start_server(server=_door_class()(self, transport))
            while transport.is_active() and not self.stopping.is_set():
                transport.join(_TICK)
        except _client_gone():
            return  # the client went away, or spoke something else
        finally:
            transport.packetizer.complete_handshake()  # ends paramiko's timer
            transport.close()
            transport.join(5)
            self._hang_up()

    def _hang_up(self) -> None:
        """tailscaled ends what a connection has started; sshd without a terminal does not."""
        if self.host.computer.access is Access.TAILSCALE:
            for process in self.processes:
                self.host.kernel.kill(-process.session, Signals.SIGHUP)

    def cut(self) -> None:
        """The connection breaks off without a word."""
        _reset(self.socket, close=False)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.join(10)


def _client_gone() -> tuple[type[Exception], ...]:
    """What paramiko raises when the client closed the channel (OSError), its connection broke (EOFError), or
    it left in the middle of new keys (SSHException)."""
    import paramiko

    return (OSError, EOFError, paramiko.SSHException)


def _reset(connected: socket.socket, *, close: bool = True) -> None:
    with contextlib.suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if close:
            connected.close()
        else:
            connected.shutdown(socket.SHUT_RDWR)


def _host_key(host: Host) -> Any:
    import paramiko
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    seed = host_key_seed(host)
    if host.find_fault("host-key-changed"):
        seed = hashlib.sha256(seed).digest()
    key = Ed25519PrivateKey.from_private_bytes(seed)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return paramiko.Ed25519Key(file_obj=io.StringIO(text))


def _transport_class() -> Any:
    """paramiko's server, which like Go's ends a connection at its second service request."""
    import paramiko
    from paramiko.auth_handler import AuthHandler

    logger = logging.getLogger("axiom-simulator.ssh")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())

    class Once(AuthHandler):
        requested = False

        def _parse_service_request(self, message: Any) -> None:
            if self.requested:
                self._disconnect_service_not_available()  # type: ignore[attr-defined]
                return
            self.requested = True
            super()._parse_service_request(message)  # type: ignore[misc]

    class Transport(paramiko.Transport):
        one_service_request = False

        def _parse_newkeys(self, message: Any) -> None:
            if self.auth_handler is None and self.one_service_request:
                self.auth_handler = Once(self)
            super()._parse_newkeys(message)  # type: ignore[misc]

    return Transport


def _door_class() -> Any:
    """The rules of who may come in and what he may do, as paramiko asks for them."""
    import paramiko
    from paramiko.common import (
        AUTH_FAILED,
        AUTH_SUCCESSFUL,
        OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
        OPEN_SUCCEEDED,
        cMSG_USERAUTH_BANNER,
    )
    from paramiko.message import Message

    class Door(paramiko.ServerInterface):
        def __init__(self, connection: _Connection, transport: Any) -> None:
            self._connection, self._transport = connection, transport
            self._host = connection.host
            self._terminals: set[int] = set()

        def get_allowed_auths(self, username: str) -> str:
            return "publickey,password"

        def check_auth_none(self, username: str) -> int:
            return self._policy(username) if self._is_tailscale else AUTH_FAILED

        def check_auth_password(self, username: str, password: str) -> int:
            if self._is_tailscale:  # accepted too, whatever it is
                return self._policy(username)
            known = username in self._host.users and username != "root"
            return AUTH_SUCCESSFUL if known and password == self._host.password else AUTH_FAILED

        def check_auth_publickey(self, username: str, key: Any) -> int:
            if self._is_tailscale:
                return self._policy(username)
            user = self._host.users.get(username)
            entry = self._host.files.find(f"{user.home}/.ssh/authorized_keys") if user else None
            lines = entry.read().decode(errors="replace").splitlines() if entry else []
            return AUTH_SUCCESSFUL if any(key.get_base64() in line.split() for line in lines) else AUTH_FAILED

        @property
        def _is_tailscale(self) -> bool:
            return self._host.computer.access is Access.TAILSCALE

        def _policy(self, username: str) -> int:
            """What the tailnet's policy says; a refusal's reason comes by banner, then the line is closed."""
            if username == "root" or self._host.find_fault("host-policy"):
                return self._refuse(
                    f'tailscale: tailnet policy does not permit you to SSH as user "{username}"\n'
                )
            if username not in self._host.users:
                return self._refuse(f'tailscale: failed to look up local user "{username}"\n')
            own, everywhere = (
                self._host.faults.find("host-check-mode"),
                self._host.find_fault("host-check-mode"),
            )
            if everywhere is None or self._host.approved.is_set():
                return AUTH_SUCCESSFUL
            after = self._host.approve_after
            if after is None and own is None:
                after = everywhere.delay  # of the whole world: nobody is there to say who
            return self._check(after)

        def _check(self, after: float | None) -> int:
            code = hashlib.sha256(f"{self._host.name} {time.monotonic()}".encode()).hexdigest()[:14]
            self._banner(CHECK_BANNER.format(url=f"https://login.tailscale.com/a/{code}"))
            began = time.monotonic()
            while not self._host.approved.wait(_TICK):
                waited = time.monotonic() - began
                if self._connection.stopping.is_set() or self._connection.is_gone() or waited > LONGEST_CHECK:
                    return self._refuse("")
                if after is not None and waited >= after:
                    self._host.approve()
            if self._connection.stopping.is_set():
                return self._refuse("")
            self._banner(CHECKED_BANNER)
            return AUTH_SUCCESSFUL

        def _refuse(self, text: str) -> int:
            if text:
                self._banner(text)
            # The reason has to be out before the line is closed, by the thread that serves it.
            threading.Timer(0.0, self._transport.close).start()
            raise EOFError

        def _banner(self, text: str) -> None:
            message = Message()
            message.add_byte(cMSG_USERAUTH_BANNER)
            message.add_string(text)
            message.add_string("en")
            self._transport._send_message(message)

        def check_channel_request(self, kind: str, chanid: int) -> int:
            if kind == "session":
                return OPEN_SUCCEEDED
            return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

        def check_channel_pty_request(self, channel: Any, *terminal: Any) -> bool:
            self._terminals.add(channel.chanid)
            return True

        def check_channel_window_change_request(self, channel: Any, *size: Any) -> bool:
            return True

        def check_channel_env_request(self, channel: Any, name: Any, value: Any) -> bool:
            return name in (b"LANG", b"TERM") or bytes(name).startswith(b"LC_")

        def check_channel_shell_request(self, channel: Any) -> bool:
            is_seen = channel.chanid in self._terminals
            return self.check_channel_exec_request(channel, INTERACTIVE if is_seen else b"exec sh -s")

        def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
            user = self._host.users[self._transport.get_username()]
            text = command.decode(errors="surrogateescape")
            _start_session(self._connection, channel, user, text, channel.chanid in self._terminals)
            return True

    return Door


def _start_session(connection: _Connection, channel: Any, user: Any, command: str, terminal: bool) -> None:
    """Run a command with the channel as its input and outputs. The pumps between them are processes of the
    host too, as sshd's are."""
    host, kernel = connection.host, connection.host.kernel
    stdin, stdout, stderr = Pipe(kernel), Pipe(kernel), Pipe(kernel)
    files: dict[int, OpenFile] = {
        0: stdin.reader,
        1: stdout.writer,
        2: stdout.writer if terminal else stderr.writer,
    }
    slow, drop = host.take_fault("host-slow"), host.take_fault("host-drop")
    client_gone = _client_gone()
    title = (f"sshd: {user.name}@notty",)
    if drop is not None:
        _later(connection, drop.delay)

    def interrupt() -> None:
        for process in connection.processes:
            kernel.kill(-process.session, Signals.SIGINT)

    def show(data: bytes) -> None:
        with contextlib.suppress(*client_gone):
            channel.sendall(data)

    def feed(pump: Process) -> int:
        typing = LineDiscipline(show, interrupt) if terminal else None
        while data := channel.recv(65_536):
            pump.write(1, typing.take(data) if typing else data)
            if typing and typing.ended:
                break
        return 0

    def drain(pipe: Pipe, send: Callable[[bytes], None]) -> Callable[[Process], int]:
        def pump_out(pump: Process) -> int:
            while data := pipe.reader.read(pump, 32_768):
                try:
                    send(shown(data) if terminal else data)
                except client_gone:
                    return 1  # the command finds its pipe broken
            return 0

        return pump_out

    def serve(session: Process) -> int:
        if slow is not None:
            session.wait_for(lambda: channel.closed, slow.delay)
        process = host.login(user, command, files, connection.origin)
        connection.processes.append(process)
        pumps = [
            kernel.spawn(drain(stdout, channel.sendall), files={0: stdout.reader}, arguments=title),
            kernel.spawn(drain(stderr, channel.sendall_stderr), files={0: stderr.reader}, arguments=title),
        ]
        if terminal:
            stderr.is_written = False
        kernel.spawn(feed, files={1: stdin.writer}, arguments=title)
        try:
            for one in [process, *pumps]:
                session.wait_for(lambda one=one: one.status is not None)  # type: ignore[misc]
            with contextlib.suppress(*client_gone):
                channel.send_exit_status(process.status)
        except Killed:
            pass
        with contextlib.suppress(*client_gone):
            channel.close()
        return 0

    kernel.spawn(serve, files={}, arguments=title)


def _later(connection: _Connection, seconds: float) -> None:
    def cut(process: Process) -> int:
        process.wait_for(lambda: False, seconds)
        connection.cut()
        return 0

    connection.host.kernel.spawn(cut, files={}, arguments=("kworker",))
