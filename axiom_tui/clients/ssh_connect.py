"""Opening a connection: the stream, the handshake, the host key, the login; jump hosts come first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from axiom_tui.clients import ssh_transport
from axiom_tui.clients.ssh_auth import Login
from axiom_tui.clients.ssh_config import HostSettings, settings_for
from axiom_tui.clients.ssh_hostkeys import HostKeyCheck, known_keys, parse_key
from axiom_tui.clients.ssh_link import Link, open_command, open_tcp
from axiom_tui.clients.ssh_transport import Cancelled, TooSlow, Transport
from axiom_tui.clients.ssh_values import Interaction, SshOptions, SshTarget, readable
from axiom_tui.model.problem import AxiomError, ProblemKind, fail

_LONGEST_CHAIN = 8  # jump hosts one after the other


@dataclass(frozen=True, slots=True)
class Opened:
    """A login that stands. ``abort`` cuts it at once from any thread; ``close`` ends it and all below it."""

    host: HostSettings
    transport: Transport
    abort: Callable[[], None]
    close: Callable[[], None]


def open_connection(
    target: SshTarget, options: SshOptions, interaction: Interaction, cancelled: threading.Event
) -> Opened:
    """Connect and log in. Raises AxiomError."""
    ssh_transport.quiet_logs()
    host = settings_for(target, options)
    try:
        return _open(host, options, interaction, cancelled, depth=0)
    except Cancelled as error:
        raise fail(
            ProblemKind.CANCELLED,
            f"The login to {host.address} was cancelled.",
            "Connect again when you like.",
        ) from error


def _open(
    host: HostSettings, options: SshOptions, interaction: Interaction, cancelled: threading.Event, depth: int
) -> Opened:
    login = Login(host, options, interaction, cancelled)
    try:
        while True:
            if cancelled.is_set():
                raise Cancelled
            link = _open_link(host, options, interaction, cancelled, depth)
            try:
                transport = Transport(link.sock, silence_limit=options.silence_limit)
            except BaseException:
                link.close()
                raise
            try:
                _shake_hands(transport, host, link, options, interaction, cancelled)
                done = login.log_in(transport)
            except BaseException:
                _close(transport, link)
                raise
            if done:
                return Opened(host, transport, link.abort, partial(_close, transport, link))
            _close(transport, link)
    finally:
        login.close()


def _close(transport: Transport, link: Link) -> None:
    # Cut first: paramiko's reader looks only every 0.1 s whether it should end.
    link.abort()
    transport.end()
    link.close()


def _open_link(
    host: HostSettings, options: SshOptions, interaction: Interaction, cancelled: threading.Event, depth: int
) -> Link:
    if host.proxy_command:
        return open_command(host)
    jump = _jump_host(host, options)
    if jump is None:
        return open_tcp(host, options.connect_timeout, options.silence_limit, cancelled)
    if depth >= _LONGEST_CHAIN:
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"{host.name} is reached over more than {_LONGEST_CHAIN} jump hosts, which look like a circle.",
            f"Mend ProxyJump in {options.config_file}.",
        )
    return _through(_open(jump, options, interaction, cancelled, depth + 1), host, options)


def _jump_host(host: HostSettings, options: SshOptions) -> HostSettings | None:
    if not host.proxy_jump:
        return None
    *before, last = host.proxy_jump
    # "Host *" with a ProxyJump also matches the jump host itself: OpenSSH takes that as none.
    if last.host == host.name and not last.user and not last.port:
        return None
    jump = settings_for(last, options)
    return replace(jump, proxy_jump=tuple(before), proxy_command="") if before else jump


def _through(jump: Opened, host: HostSettings, options: SshOptions) -> Link:
    try:
        channel = jump.transport.open_channel(
            "direct-tcpip", (host.host, host.port), ("127.0.0.1", 0), timeout=options.channel_timeout
        )
    except ssh_transport.SshFailure as error:
        jump.close()
        refused = isinstance(error, ssh_transport.ChannelRefused)
        raise fail(
            ProblemKind.FORBIDDEN if refused and error.args[:1] == (1,) else ProblemKind.UNREACHABLE,
            f"The jump host {jump.host.address} did not connect to {host.address}:"
            f" {readable(str(error)) or 'the connection was lost'}.",
            "Check that it reaches the host and may forward (AllowTcpForwarding in its SSH server, or"
            " allowLocalPortForwarding in the tailnet's policy).",
        ) from error

    return Link(channel, jump.abort, jump.close, str)  # type: ignore[arg-type]


def _shake_hands(
    transport: Transport,
    host: HostSettings,
    link: Link,
    options: SshOptions,
    interaction: Interaction,
    cancelled: threading.Event,
) -> None:
    """Agree on keys and check the host's. No secret was sent before."""
    vouched = tuple(key for key in map(parse_key, host.host_keys) if key is not None)
    if host.host_keys and not vouched:
        raise fail(
            ProblemKind.UNTRUSTED,
            f"The tailnet's host keys of {host.address} cannot be read.",
            "Update Tailscale on this machine, or log in without them.",
        )
    check = HostKeyCheck(
        host=host.address,
        port=host.port,
        name=host.known_as,
        known=known_keys(host.known_hosts, host.known_as),
        vouched=vouched,
        store_in=host.known_hosts[0],
        hash_names=host.hash_known_hosts,
    )
    try:
        key = transport.shake_hands(
            check.known_types,
            banner_timeout=options.banner_timeout,
            handshake_timeout=options.auth_timeout,
            cancelled=cancelled,
        )
    except TooSlow as error:
        raise _silent(host, options) from error
    except ssh_transport.SshFailure as error:
        raise _no_ssh(transport, host, link, options, error) from error
    check.verify(key, interaction)


def _silent(host: HostSettings, options: SshOptions) -> AxiomError:
    return fail(
        ProblemKind.TIMED_OUT,
        f"{host.address} takes connections but gave no SSH answer within {options.banner_timeout:.0f} s.",
        "Look whether the host is overloaded, and whether an SSH server listens on this port.",
    )


def _no_ssh(
    transport: Transport, host: HostSettings, link: Link, options: SshOptions, error: Exception
) -> AxiomError:
    """Say why the handshake failed. paramiko wraps the cause into its own exception."""
    cause = error.__context__ if isinstance(error.__context__, (OSError, EOFError)) else error
    greeting = transport.greeting
    first_line = readable(greeting.splitlines()[0])[:60] if greeting.strip() else ""
    complaint = readable(link.reason())
    said = f": {complaint}" if complaint else ""
    if isinstance(error, ssh_transport.NoCommonAlgorithm):
        return fail(
            ProblemKind.INVALID,
            f"{host.address} speaks SSH ({first_line}), but no common algorithm: {readable(str(error))}.",
            "Update its SSH server: SHA-1 and DSA are no longer spoken here.",
        )
    if greeting and b"SSH-" not in greeting:
        return fail(
            ProblemKind.GARBLED,
            f'{host.address} does not speak SSH; it says "{first_line}".',
            "Check the port: another service answers there.",
        )
    if isinstance(cause, TimeoutError):
        return _silent(host, options)
    if isinstance(cause, (EOFError, ConnectionError, OSError)):
        return fail(
            ProblemKind.UNREACHABLE,
            f"{host.address} closed the connection before the login{said}.",
            "Look into the log of its SSH server: it may be starting, full (MaxStartups), or refuse this"
            " address.",
        )
    return fail(
        ProblemKind.GARBLED,
        f"{host.address} sends what is no SSH: {readable(str(error))[:120] or type(error).__name__}.",
        "Check the port, and that nothing on the way changes the traffic.",
    )
