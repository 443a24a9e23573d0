"""The byte stream below an SSH connection: TCP, or what a ProxyCommand or a jump host carries."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import IO

from axiom_tui.clients.ssh_config import HostSettings
from axiom_tui.clients.ssh_transport import Cancelled
from axiom_tui.clients.ssh_values import readable
from axiom_tui.model.problem import AxiomError, ProblemKind, fail

_TICK = 0.1  # seconds between two looks at the cancel flag
_PROXY_END = 2.0  # seconds a ProxyCommand has to end by itself


@dataclass(frozen=True, slots=True)
class Link:
    """A connected stream. ``abort`` cuts it at its root, returns at once, and may be called from any thread;
    ``close`` frees what belongs to it; ``reason`` is what a ProxyCommand says about its failure."""

    sock: socket.socket
    abort: Callable[[], None]
    close: Callable[[], None]
    reason: Callable[[], str]


def open_tcp(host: HostSettings, timeout: float, silence_limit: float, cancelled: threading.Event) -> Link:
    """Connect to the host's first address that answers. Raises AxiomError, or Cancelled."""
    ends = time.monotonic() + timeout
    error: OSError | None = None
    addresses = _resolve(host, ends, cancelled)
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        # An address that drops everything must leave time for the next one.
        share = (ends - time.monotonic()) / (len(addresses) - index)
        sock = socket.socket(family, kind, protocol)
        try:
            _connect(sock, address, time.monotonic() + share, cancelled)
        except OSError as failure:
            sock.close()
            error = failure
        except BaseException:
            sock.close()
            raise
        else:
            _tune(sock, silence_limit)
            return Link(sock, partial(_cut, sock), sock.close, str)
    raise _no_connection(host, error, timeout)


def open_command(host: HostSettings) -> Link:
    """Start the ProxyCommand, with a socket as its standard input and output. Raises AxiomError."""
    ours, theirs = socket.socketpair()
    complaints = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the link)
    try:
        with theirs:
            process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {host.proxy_command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=complaints,
                start_new_session=True,  # ctrl-c in the terminal is ours to handle
            )
    except OSError as error:
        ours.close()
        complaints.close()
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"The ProxyCommand for {host.name} cannot be started: {(error.strerror or 'unknown').lower()}.",
            "Mend ProxyCommand in the SSH settings.",
        ) from error
    return Link(
        ours, partial(_cut, ours), partial(_end, ours, process, complaints), partial(_last, complaints)
    )


def _resolve(
    host: HostSettings, ends: float, cancelled: threading.Event
) -> list[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[object, ...]]]:
    """The host's addresses. getaddrinfo knows no timeout, so it runs in a thread of its own."""
    found: list[object] = []
    done = threading.Event()

    def ask() -> None:
        try:
            found.append(socket.getaddrinfo(host.host, host.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)
        done.set()

    threading.Thread(target=ask, name="ssh-resolve", daemon=True).start()
    while not done.wait(_TICK):
        if cancelled.is_set():
            raise Cancelled
        if time.monotonic() >= ends:
            raise fail(
                ProblemKind.TIMED_OUT,
                f"The name {host.host} was not resolved in time: the name server does not answer.",
                "Check this machine's name server (in a tailnet: MagicDNS), or use the address.",
            )
    answer = found[0]
    if isinstance(answer, Exception):
        raise fail(
            ProblemKind.UNRESOLVED,
            f"The name {host.host} does not resolve.",
            "Check its spelling and that the tailnet is up, or use the address.",
        ) from answer
    assert isinstance(answer, list)
    return answer


def _connect(
    sock: socket.socket, address: tuple[object, ...], ends: float, cancelled: threading.Event
) -> None:
    sock.setblocking(False)
    status = sock.connect_ex(address)
    if status not in (0, errno.EINPROGRESS):
        raise OSError(status, "connect")
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_WRITE)
        while not selector.select(_TICK):
            if cancelled.is_set():
                raise Cancelled
            if time.monotonic() >= ends:
                raise TimeoutError(errno.ETIMEDOUT, "connect")
    status = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if status:
        raise OSError(status, "connect")


def _tune(sock: socket.socket, silence_limit: float) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Data that nobody confirms ends the connection, also while all threads wait to send (tcp(7)).
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1000, int(silence_limit * 1000)))


def _cut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it was cut already


def _end(sock: socket.socket, process: subprocess.Popen[bytes], complaints: IO[bytes]) -> None:
    sock.close()
    try:
        process.wait(_PROXY_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_PROXY_END)
    complaints.close()


def _last(complaints: IO[bytes]) -> str:
    if complaints.closed:
        return ""
    lines = readable(os.pread(complaints.fileno(), 4096, 0)).splitlines()
    return lines[-1] if lines else ""


def _no_connection(host: HostSettings, error: OSError | None, timeout: float) -> AxiomError:
    if isinstance(error, ConnectionRefusedError) or (error and error.errno == errno.ECONNREFUSED):
        kind, what = ProblemKind.REFUSED, f"refuses connections to port {host.port}: no SSH server listens"
        remedy = "Start the SSH server, or switch Tailscale SSH on (`tailscale set --ssh`) on the host."
    elif error is None or isinstance(error, TimeoutError):
        kind, what = ProblemKind.TIMED_OUT, f"did not answer on port {host.port} within {timeout:.0f} s"
        remedy = "Check that it is up, that the tailnet reaches it, and that no firewall drops the port."
    else:
        kind, what = ProblemKind.UNREACHABLE, f"cannot be reached: {(error.strerror or str(error)).lower()}"
        remedy = "Check this machine's network and that the tailnet is up."
    return fail(kind, f"{host.title} {what}.", remedy)
