"""The SSH protocol of one connection: paramiko with the few things it lacks for us.

This is the only file that imports paramiko, and it is itself imported only where a connection is opened.
What it adds: each login banner at once (paramiko keeps the last one, and logs login URLs), one service
request per connection (Go's server, and so Tailscale's, drops a second one), what a host offers after a
refusal, asking whether a key would do before its passphrase is needed, and keepalives that want an answer.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import paramiko
import paramiko.pkey
import paramiko.ssh_exception
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.agent import AgentSSH
from paramiko.auth_handler import AuthHandler
from paramiko.common import cMSG_GLOBAL_REQUEST, cMSG_USERAUTH_REQUEST
from paramiko.message import Message
from paramiko.packet import Packetizer

from axiom_tui.clients.ssh_hostkeys import HostKey

TAILSCALE = "SSH-2.0-Tailscale"  # tailscale: ssh/tailssh/tailssh.go
AGENT_TIMEOUT = 60.0  # seconds; an agent may ask its owner to confirm, or to touch a key
LARGEST_READ = 262_144  # bytes taken out of a channel at once
LONGEST_GREETING = 65_536  # bytes before the line that begins with "SSH-"
_TICK = 0.1  # seconds between two looks at the cancel flag

#: All that paramiko and the sockets below it raise when a connection fails.
SshFailure = (paramiko.SSHException, OSError, EOFError)
ChannelRefused = paramiko.ChannelException
SshError = paramiko.SSHException
NoCommonAlgorithm = paramiko.ssh_exception.IncompatiblePeer


def quiet_logs() -> None:
    """paramiko logs login URLs at INFO, and failures with their traceback, which we report ourselves."""
    for name in ("paramiko", "paramiko.transport"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
        if not logger.handlers:
            # Else Python's last resort writes to the terminal, over the screen.
            logger.addHandler(logging.NullHandler())


class Cancelled(Exception):
    """The admin ended the wait."""


class TooSlow(Exception):
    """The deadline of a wait passed."""


class Dropped(Exception):
    """The connection ended. The text is the host's own reason, if it gave one."""


class PassphraseNeeded(Exception):
    """The key file is encrypted, and the passphrase is missing or wrong."""


class KeyUnusable(Exception):
    """The key file is no key that can be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The host's answer to one login attempt. ``partial``: right, but it wants one more of ``offered``."""

    accepted: bool
    partial: bool = False
    offered: tuple[str, ...] = ()


class _Heard(Packetizer):
    """Remembers what the host said first, and when it was last heard; closes without complaint."""

    heard = 0.0
    greeting = b""

    def _read_timeout(self, timeout: float) -> bytes:
        # Called only for the lines before the handshake, which paramiko would collect without limit.
        if len(self.greeting) > LONGEST_GREETING:
            raise paramiko.SSHException("endless greeting")
        data: bytes = super()._read_timeout(timeout)  # type: ignore[misc]
        self.greeting += data
        return data

    def close(self) -> None:
        try:
            super().close()
        except SshFailure:
            return  # over a jump host closing means to send, and what was sent over may be gone first

    def read_message(self) -> Any:
        message = super().read_message()
        self.heard = time.monotonic()
        return message


class _News(threading.Event):
    """paramiko's event, which also wakes the one who waits for banners."""

    def __init__(self, queue: SimpleQueue[bytes | None]) -> None:
        super().__init__()
        self._queue = queue

    def set(self) -> None:
        super().set()
        self._queue.put(None)


class _Handler(AuthHandler):
    """One login's dialogue; the methods overridden run in paramiko's reader thread."""

    def __init__(self, transport: Transport, banners: SimpleQueue[bytes | None]) -> None:
        super().__init__(transport)
        self._banners = banners
        self._service_accepted = False
        self._probing = False
        self.partial = False
        self.would_do = False
        self.offered: tuple[str, ...] = ()

    def _request_auth(self) -> None:
        if not self._service_accepted:
            super()._request_auth()  # type: ignore[misc]
            return
        accepted = Message()
        accepted.add_string("ssh-userauth")
        accepted.rewind()
        super()._parse_service_accept(accepted)  # type: ignore[misc]

    def _parse_service_accept(self, message: Message) -> None:
        self._service_accepted = True
        super()._parse_service_accept(message)  # type: ignore[misc]

    def _parse_userauth_failure(self, message: Message) -> None:
        self.offered = tuple(message.get_list())
        self.partial = message.get_boolean()
        message.rewind()
        super()._parse_userauth_failure(message)  # type: ignore[misc]

    def _parse_userauth_banner(self, message: Message) -> None:
        # Not passed on: paramiko would log the login URL.
        self._banners.put(message.get_binary())

    def _parse_userauth_info_request(self, message: Message) -> None:
        # Number 60 is both "tell me more" and "this key would do" (RFC 4252, 7; RFC 4256, 5).
        if self._probing:
            self.would_do = True
            assert self.auth_event is not None
            self.auth_event.set()
        else:
            super()._parse_userauth_info_request(message)  # type: ignore[misc]

    def auth_probe(self, user: str, key: HostKey, event: threading.Event) -> None:
        """Ask whether a signature by this key would be accepted."""
        message = Message()
        message.add_byte(cMSG_USERAUTH_REQUEST)
        for text in (user, "ssh-connection", "publickey"):
            message.add_string(text)
        message.add_boolean(False)
        message.add_string("rsa-sha2-512" if key.type == "ssh-rsa" else key.type)
        message.add_string(key.blob)
        self.auth_event, self.auth_method, self._probing, self.would_do = event, "publickey", True, False
        self.transport._send_message(message)  # type: ignore[attr-defined]

    def probed(self) -> None:
        self._probing = False


class Transport(paramiko.Transport):
    """One SSH connection over a socket (or a channel of a jump host)."""

    def __init__(self, sock: socket.socket | paramiko.Channel, *, silence_limit: float) -> None:
        super().__init__(sock, packetizer_class=_Heard)
        self._silence_limit = silence_limit
        self._over = threading.Event()
        self._banners: SimpleQueue[bytes | None] = SimpleQueue()
        self._login: _Handler | None = None
        self.clear_to_send_timeout = silence_limit
        self.lost = ""  # why the connection was given up, in words
        self.farewell = ""  # the host's own reason for ending it

    @property
    def identification(self) -> str:
        """What the host calls itself: ``SSH-2.0-OpenSSH_9.6``."""
        return str(self.remote_version)

    @property
    def greeting(self) -> bytes:
        """What the host sent before the handshake; an SSH server's ends with its identification."""
        sent: bytes = self.packetizer.greeting  # type: ignore[attr-defined]
        return sent

    def shake_hands(
        self,
        key_types: Iterable[str],
        *,
        banner_timeout: float,
        handshake_timeout: float,
        cancelled: threading.Event,
    ) -> HostKey:
        """Agree on keys; gives the host's key, which nobody checked yet. ``key_types`` are asked for first.

        Raises TooSlow, Cancelled, or one of `SshFailure`.
        """
        options = self.get_security_options()
        wanted = [name for known in key_types for name in _signatures(known) if name in options.key_types]
        options.key_types = (*wanted, *(name for name in options.key_types if name not in wanted))
        self.banner_timeout, self.handshake_timeout = banner_timeout, handshake_timeout
        done = threading.Event()
        self.start_client(event=done)
        ends = time.monotonic() + banner_timeout + handshake_timeout
        while not done.wait(_TICK):
            if cancelled.is_set():
                raise Cancelled
            if time.monotonic() > ends:
                raise TooSlow
        if not self.is_active():
            # paramiko tells an overdue handshake as the end of the stream.
            error = self.get_exception() or EOFError()
            if isinstance(error, EOFError) and self.packetizer.handshake_timed_out():
                raise TooSlow from error
            raise error
        key = self.get_remote_server_key()
        return HostKey(key.get_name(), key.asbytes())

    def attempt(
        self,
        begin: Callable[[_Handler, threading.Event], None],
        seconds: float,
        on_banner: Callable[[bytes], None],
        cancelled: threading.Event,
    ) -> Reply:
        """Make one login attempt and wait for its answer, handing out each banner when it comes.

        Raises TooSlow, Cancelled, Dropped, or `SshError` when the key cannot sign.
        """
        if self._login is None:
            self._login = _Handler(self, self._banners)
            self.auth_handler = self._login
        login = self._login
        login.partial = False
        event = _News(self._banners)
        begin(login, event)
        ends = time.monotonic() + seconds
        while True:
            try:
                banner = self._banners.get(timeout=_TICK)
            except Empty:
                banner = None
            if banner is not None:
                on_banner(banner)
            elif event.is_set() or not self.is_active():
                break
            if cancelled.is_set():
                raise Cancelled
            if time.monotonic() > ends:
                raise TooSlow
        while not self._banners.empty():
            if (banner := self._banners.get()) is not None:
                on_banner(banner)
        if login.is_authenticated():
            self._start_watch()
            return Reply(accepted=True)
        if not self.is_active():
            raise Dropped(self.farewell)
        self.get_exception()  # forget the refusal, or the next failure would tell of it
        return Reply(accepted=False, partial=login.partial, offered=login.offered)

    def would_accept(
        self,
        user: str,
        key: HostKey,
        seconds: float,
        on_banner: Callable[[bytes], None],
        cancelled: threading.Event,
    ) -> bool:
        """Whether the host would take a signature by this key. Raises as `attempt`."""

        def begin(handler: _Handler, event: threading.Event) -> None:
            handler.auth_probe(user, key, event)

        try:
            self.attempt(begin, seconds, on_banner, cancelled)
        finally:
            if self._login is not None:
                self._login.probed()
        return self._login is not None and self._login.would_do

    def end(self) -> None:
        """Close, and leave no timer behind; also after a handshake that failed."""
        self._over.set()
        # paramiko's handshake timer is no daemon: it would hold the process up to its timeout.
        self.packetizer.complete_handshake()
        self._shut()
        if self.is_alive() and threading.current_thread() is not self:
            self.join(2.0)

    def _shut(self) -> None:
        for close in (self.close, self.sock.close):
            try:
                close()
            except SshFailure:
                continue  # as in _Heard.close

    def _start_watch(self) -> None:
        self.packetizer.heard = time.monotonic()  # type: ignore[attr-defined]
        threading.Thread(target=self._watch, name="ssh-keepalive", daemon=True).start()

    def _watch(self) -> None:
        """Ask for an answer again and again; give the connection up when nothing was heard for too long.

        `paramiko.Transport.set_keepalive` wants no answer, so a dead host would never be noticed.
        """
        limit = self._silence_limit
        asked = sent = 0.0
        while not self._over.wait(limit / 6) and self.is_active():
            heard: float = self.packetizer.heard  # type: ignore[attr-defined]
            now = time.monotonic()
            if asked <= heard:
                # Noted before it is sent, or a quick answer would look like one from before.
                asked = now
                self._ask_for_life()
                sent = time.monotonic()
            elif now - heard > limit and now - sent > limit / 2:
                self.lost = f"it did not answer for {now - heard:.0f} s"
                self._shut()

    def _ask_for_life(self) -> None:
        request = Message()
        request.add_byte(cMSG_GLOBAL_REQUEST)
        request.add_string("keepalive@openssh.com")
        request.add_boolean(True)
        try:
            self._send_user_message(request)  # type: ignore[attr-defined]
        except SshFailure:
            self.lost = self.lost or "it took no more data"
            self._shut()

    def _parse_disconnect(self, message: Message) -> None:
        message.get_int()
        self.farewell = message.get_text()


def _signatures(key_type: str) -> tuple[str, ...]:
    """The algorithms by which a key of this type proves itself."""
    return ("rsa-sha2-512", "rsa-sha2-256") if key_type == "ssh-rsa" else (key_type,)


@dataclass(slots=True)
class Agent:
    """A connection to an ssh-agent; its keys sign without leaving it."""

    keys: tuple[paramiko.AgentKey, ...]
    _agent: AgentSSH

    def close(self) -> None:
        self._agent._close()  # type: ignore[attr-defined]


def open_agent(path: str) -> Agent | None:
    """Connect to an agent's socket; None if nothing is there or it does not answer as an agent."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(AGENT_TIMEOUT)
    agent = AgentSSH()
    try:
        connection.connect(path)
        agent._connect(connection)  # type: ignore[attr-defined]
    except (OSError, paramiko.SSHException):
        connection.close()
        return None
    return Agent(agent.get_keys(), agent)


def load_key(file: Path, passphrase: str | None) -> paramiko.PKey:
    """Read a private key. Raises PassphraseNeeded, KeyUnusable, or FileNotFoundError."""
    secret = None if passphrase is None else passphrase.encode()
    try:
        return paramiko.PKey.from_path(file, password=secret)  # type: ignore[arg-type]
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KeyUnusable((error.strerror or "it cannot be read").lower()) from error
    except (paramiko.PasswordRequiredException, TypeError) as error:
        raise PassphraseNeeded from error
    except (paramiko.SSHException, ValueError) as error:
        # cryptography says "Corrupt data: broken checksum" or "Incorrect password" for a wrong passphrase.
        if passphrase is not None:
            raise PassphraseNeeded from error
        raise KeyUnusable("it is no private key") from error
    except (paramiko.pkey.UnknownKeyType, UnsupportedAlgorithm) as error:
        raise KeyUnusable("its type cannot be used from a file; put it into the agent") from error
