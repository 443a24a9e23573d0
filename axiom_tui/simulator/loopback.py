"""Sockets and TLS of the simulated API server: listening on loopback, certificates, resets."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import tempfile
from pathlib import Path
from typing import cast

from axiom_tui.simulator.pki import Authority, KeyPair

_Subject = tuple[tuple[tuple[str, str], ...], ...]  # as ssl writes a certificate's name


def subject(connection: ssl.SSLSocket) -> tuple[str, tuple[str, ...]]:
    """User and groups of the client certificate (CN, O), empty without one."""
    certificate = connection.getpeercert() or {}
    user, groups = "", []
    for part in cast(_Subject, certificate.get("subject", ())):
        for name, value in part:
            if name == "commonName":
                user = str(value)
            elif name == "organizationName":
                groups.append(str(value))
    return user, tuple(groups)


def server_context(authority: Authority, serving: KeyPair) -> ssl.SSLContext:
    """TLS with this certificate; clients may show one of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The ssl module reads keys from files only; this one lives for a moment, for its owner alone.
    with tempfile.TemporaryDirectory(prefix="axiom-") as directory:
        path = Path(directory) / "serving.pem"
        path.touch(mode=0o600)
        path.write_bytes(serving.certificate + serving.key)
        context.load_cert_chain(path)
    context.load_verify_locations(cadata=authority.certificate.decode())
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def listen(port: int) -> socket.socket:
    """A listening socket on 127.0.0.1; port 0 takes a free one."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        listener.setblocking(False)  # a client may be gone again between select and accept
    except OSError:
        listener.close()
        raise
    return listener


def unlisten(listener: socket.socket) -> None:
    """Close a listening socket. Closed alone, it goes on to listen while another thread waits on it."""
    with contextlib.suppress(OSError):  # not on every system has it another side to be shut down
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def hold(port: int) -> socket.socket | None:
    """A socket that keeps a port of 127.0.0.1 and refuses every connection; None if somebody was faster."""
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind(("127.0.0.1", port))
    except OSError:
        holder.close()
        return None
    return holder


def linger(connection: socket.socket) -> None:
    """Make the close of a connection a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset(connection: socket.socket) -> None:
    """Close a connection by a reset."""
    with contextlib.suppress(OSError):
        linger(connection)
    connection.close()
