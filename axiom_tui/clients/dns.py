"""What a name resolves to, asked of this machine's own resolver, with a deadline.

The resolver (`getaddrinfo`) is the one that ssh and kubectl use too, MagicDNS and /etc/hosts included. It
cannot be interrupted, so it runs in a daemon thread that is left alone when the deadline passes.
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from axiom_tui.model.problem import ProblemKind, fail

#: As `socket.getaddrinfo`: host, port, family, type -> entries whose last item is the socket address.
Lookup = Callable[[str, None, int, int], list[Any]]

#: glibc and BSD tell a name without addresses apart from one that does not exist; not all systems do.
_NO_ADDRESS = getattr(socket, "EAI_NODATA", None)


@dataclass(frozen=True, slots=True)
class Resolution:
    """The addresses of a name, in the resolver's order: ``ipv4`` from its A records, ``ipv6`` from AAAA."""

    name: str
    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()


def resolve(name: str, deadline: float = 5.0, lookup: Lookup = socket.getaddrinfo) -> Resolution:
    """Resolve a name within ``deadline`` seconds.

    Raises UNRESOLVED (NXDOMAIN, or a name without addresses), UNREACHABLE (no name server answered), BROKEN
    (the name server failed), TIMED_OUT, or INVALID for what is no name.
    """
    answers: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(lookup(name, None, socket.AF_UNSPEC, socket.SOCK_STREAM))
        except (OSError, ValueError) as error:
            answers.put(error)

    if not name.strip(".") or not name.isprintable() or " " in name:
        # The resolver would cut the name at a NUL and answer for the rest.
        raise fail(ProblemKind.INVALID, f"{name!r} is no host name that DNS could know.", "Correct the name.")
    threading.Thread(target=ask, name=f"resolve-{name}", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline)
    except queue.Empty:
        raise fail(
            ProblemKind.TIMED_OUT,
            f"The name {name} was not resolved within {deadline:g} s.",
            "Check the DNS servers of this machine (`resolvectl status`, /etc/resolv.conf).",
        ) from None
    if isinstance(answer, Exception):
        raise _failure(name, answer) from answer
    # Scopes such as fe80::1%eth0 stay: without them the address leads nowhere.
    found = [(family, address[0]) for family, _, _, _, address in answer]
    return Resolution(
        name,
        tuple(dict.fromkeys(ip for family, ip in found if family == socket.AF_INET)),
        tuple(dict.fromkeys(ip for family, ip in found if family == socket.AF_INET6)),
    )


def _failure(name: str, error: Exception) -> Exception:
    if not isinstance(error, OSError):
        return fail(
            ProblemKind.INVALID, f"{name!r} is no host name that DNS could know.", "Correct the name."
        )
    code = error.errno if isinstance(error, socket.gaierror) else None
    if code is not None and code == _NO_ADDRESS:
        return fail(
            ProblemKind.UNRESOLVED,
            f"The name {name} exists in DNS, but has no address (no A and no AAAA record).",
            "Add an A record with the address to its zone.",
        )
    if code == socket.EAI_NONAME:
        return fail(
            ProblemKind.UNRESOLVED,
            f"The name {name} does not exist in DNS (NXDOMAIN).",
            "Check its spelling, and add the record to its zone; a new one may take some minutes to be seen.",
        )
    if code == socket.EAI_AGAIN:
        return fail(
            ProblemKind.UNREACHABLE,
            f"No name server gave an answer for {name}.",
            "Check the network and the DNS servers of this machine (`resolvectl status`, /etc/resolv.conf).",
        )
    return fail(
        ProblemKind.BROKEN,
        f"The resolver of this machine failed for {name}: {error.strerror or type(error).__name__}.",
        "Ask the name's own name servers: `dig +trace` shows where it breaks.",
    )
