"""Tailscale on this machine: its local API over the unix socket, or over the port of the macOS app.

Everything is read; nothing here changes the tailnet. Facts: Tailscale's ``paths``, ``safesocket`` and
``ipn/localapi`` packages.
"""

from __future__ import annotations

import base64
import socket
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from axiom_tui.clients.http import Answer, excerpt, send
from axiom_tui.clients.tailscale_command import HANGS, CommandLine, find_command
from axiom_tui.clients.tailscale_wire import (
    PingAnswer,
    TailnetStatus,
    decode_ping,
    decode_status,
)
from axiom_tui.clients.unix_http import send_to_socket
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind, fail
from axiom_tui.model.secret import Secret

__all__ = [
    "CommandLine",
    "LocalApi",
    "LocalTailscale",
    "LoopbackPort",
    "PingAnswer",
    "TailnetStatus",
    "find_local_api",
]

#: The daemon refuses every other Host on its socket (403).
HOST = "local-tailscaled.sock"
#: Where the daemon puts its socket, by platform (``sys.platform``), below the root directory.
SOCKETS = {
    "linux": (
        "var/run/tailscale/tailscaled.sock",
        "var/packages/Tailscale/var/tailscaled.sock",  # Synology DSM 7
        "var/packages/Tailscale/etc/tailscaled.sock",  # Synology DSM 6
        "tmp/tailscale/tailscaled.sock",  # QNAP
        "perm/tailscaled/tailscaled.sock",  # Gokrazy
    ),
    "darwin": ("var/run/tailscaled.socket",),  # the open-source daemon, for example Homebrew's
}
START = {
    "linux": "Start it: `sudo systemctl start tailscaled`.",
    "darwin": "Start the Tailscale app, or `sudo brew services start tailscale`.",
}


@dataclass(frozen=True, slots=True)
class LoopbackPort:
    """The local API of the macOS Standalone app: a port on 127.0.0.1, and the token that it asks for."""

    port: int
    token: Secret


class LocalTailscale(Protocol):
    """Tailscale on this machine, however it is reached. Both calls are thread-safe and have deadlines."""

    def status(self) -> TailnetStatus:
        """This workstation and the devices that it sees. `AxiomError` if Tailscale cannot be asked; a
        Tailscale that is stopped or logged out is an answer, with its ``problem`` set."""

    def ping(self, ip: str) -> PingAnswer:
        """One disco ping (never SSH, never ICMP). An answer that never came is no error: its
        ``milliseconds`` are None. `AxiomError` if Tailscale cannot be asked."""


class LocalApi:
    """The daemon's HTTP API. ``timeout`` in seconds holds for each call."""

    def __init__(self, place: Path | str | LoopbackPort, timeout: float = 5.0) -> None:
        self.place = place if isinstance(place, LoopbackPort) else Path(place)
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"LocalApi({self._what})"

    def status(self) -> TailnetStatus:
        answer = self._ask("GET", "status")
        self._check(answer)
        return decode_status(answer.body, self._what)

    def ping(self, ip: str) -> PingAnswer:
        # The daemon has no deadline of its own here: it waits for a lost answer as long as we do.
        try:
            answer = self._ask("POST", f"ping?ip={quote(ip)}&type=disco")
        except AxiomError as error:
            if error.problem.kind is ProblemKind.TIMED_OUT:
                return PingAnswer(None, error=f"no answer within {self.timeout:g} s")
            raise
        if answer.status == 500:
            return PingAnswer(None, error=excerpt(answer.body))
        self._check(answer)
        return decode_ping(answer.body, self._what)

    @property
    def _what(self) -> str:
        if isinstance(self.place, LoopbackPort):
            return f"Tailscale's local API at 127.0.0.1:{self.place.port}"
        return f"Tailscale's socket {self.place}"

    def _ask(self, method: str, path: str) -> Answer:
        place = self.place
        try:
            if isinstance(place, LoopbackPort):
                token = base64.b64encode(f":{place.token.reveal()}".encode()).decode()
                return send(
                    method,
                    f"http://127.0.0.1:{place.port}/localapi/v0/{path}",
                    what=self._what,
                    deadline=self.timeout,
                    headers={"Authorization": f"Basic {token}"},
                )
            target = f"/localapi/v0/{path}"
            return send_to_socket(place, method, HOST, target, what=self._what, deadline=self.timeout)
        except AxiomError as error:
            raise AxiomError(self._on_this_machine(error.problem)) from error

    def _on_this_machine(self, problem: Problem) -> Problem:
        """The same problem with the remedy that fits: the other side is a daemon of this very machine."""
        start = START.get(sys.platform, "Start Tailscale.")
        if problem.kind is ProblemKind.REFUSED:
            sentence = f"Nothing listens at {self._what}: tailscaled does not run."
            return Problem(problem.kind, sentence, start)
        remedy = {
            ProblemKind.ABSENT: start,
            ProblemKind.FORBIDDEN: "Every user may read it by default (mode 0666): look at `ls -l` of it.",
            ProblemKind.TIMED_OUT: HANGS,
            ProblemKind.UNREACHABLE: "tailscaled may just be restarting; look at `tailscale status`.",
        }
        return replace(problem, remedy=remedy.get(problem.kind, problem.remedy))

    def _check(self, answer: Answer) -> None:
        if answer.status == 200:
            return
        said = excerpt(answer.body)
        said = f": {said}" if said else ""
        if answer.status in (401, 403):
            raise fail(
                ProblemKind.FORBIDDEN,
                f"{self._what} refuses to be read{said}.",
                "Reading needs no special right in Tailscale: check that the socket really is Tailscale's.",
            )
        if answer.status == 404:
            raise fail(
                ProblemKind.MISSING,
                f"{self._what} does not know this call{said}.",
                "Check that the socket really is Tailscale's, and update Tailscale on this machine.",
            )
        raise fail(
            ProblemKind.BROKEN if answer.status >= 500 else ProblemKind.INVALID,
            f"{self._what} answered with HTTP {answer.status}{said}.",
            "Look at the log of tailscaled (`journalctl -u tailscaled`).",
        )


def find_local_api(
    configured: str = "", *, timeout: float = 5.0, root: Path = Path("/"), platform: str = sys.platform
) -> LocalTailscale:
    """Tailscale on this machine: the configured socket and nothing else, or the first that is found.

    Looks at all places where a daemon puts its socket, then at the port of the macOS Standalone app, then for
    the command line program (which knows the way to the App Store's and to Windows' daemon). ``root`` is
    where the file system begins. Raises ABSENT if Tailscale is not on this machine.
    """
    if configured:
        path = Path(configured).expanduser()
        if not path.exists():
            raise fail(
                ProblemKind.ABSENT,
                f"The Tailscale socket {path} of the settings does not exist.",
                "Start that tailscaled, or correct the path (`tailscale.socket`, `--tailscale-socket`).",
            )
        return LocalApi(path, timeout)
    for place in SOCKETS.get(platform, ()):
        if (root / place).exists():
            return LocalApi(root / place, timeout)
    if platform == "darwin" and (port := _standalone_app(root)) is not None:
        return LocalApi(port, timeout)
    command = find_command(platform)
    if command is not None:
        return CommandLine(command, timeout)
    raise fail(
        ProblemKind.ABSENT,
        "Tailscale is not on this machine: no socket of tailscaled and no `tailscale` program.",
        "Install Tailscale and log in, or name the socket (`--tailscale-socket`).",
    )


def _standalone_app(root: Path) -> LoopbackPort | None:
    """Port and token of the macOS Standalone app, None if it is not there or its files are left over.

    ``ipnport`` is a symbolic link whose target is the port; the token's file is readable for admins.
    """
    directory = root / "Library/Tailscale"
    try:
        port = int((directory / "ipnport").readlink().name)
    except (OSError, ValueError):
        return None
    try:
        with closing(socket.create_connection(("127.0.0.1", port), timeout=1.0)):
            pass
    except (OSError, OverflowError):
        return None  # the app has ended and left its files
    proof = directory / f"sameuserproof-{port}"
    try:
        return LoopbackPort(port, Secret(proof.read_text(encoding="ascii").strip()))
    except PermissionError as error:
        raise fail(
            ProblemKind.FORBIDDEN,
            f"You may not read {proof}, which the Tailscale app asks for.",
            "Only members of the group admin may: run axiom-tui as such a user.",
        ) from error
    except (OSError, UnicodeDecodeError):
        return None
