"""The `tailscale` program: the way to a daemon whose local API cannot be reached directly."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from axiom_tui.clients.http import excerpt
from axiom_tui.clients.tailscale_wire import PingAnswer, TailnetStatus, decode_status
from axiom_tui.model.problem import AxiomError, ProblemKind, fail
from axiom_tui.model.tailnet import PathKind

#: Inside the macOS app, for those who did not put it on the PATH.
MACOS_APP = Path("/Applications/Tailscale.app/Contents/MacOS/Tailscale")
#: What to do about a daemon that does not answer.
HANGS = "tailscaled hangs: look at `tailscale status`, and restart tailscaled if that hangs too."
#: ``pong from m-o-1 (100.64.0.1) via 203.0.113.7:41641 in 22ms`` (Go durations: ``1.2s``, ``950µs``).
_PONG = re.compile(r"^pong from .* via (?P<via>.+) in (?P<time>[0-9.a-zµ]+)\s*$", re.MULTILINE)
_VIA = re.compile(r"(?P<kind>DERP|peer-relay)\((?P<relay>.*)\)")
_DURATION = re.compile(r"([0-9.]+)(h|ms|m|s|µs|us|ns)")
_MILLISECONDS = {"h": 3.6e6, "m": 60e3, "s": 1e3, "ms": 1.0, "µs": 1e-3, "us": 1e-3, "ns": 1e-6}


def find_command(platform: str = sys.platform) -> Path | None:
    """The `tailscale` program on the PATH, or inside the macOS app."""
    found = shutil.which("tailscale")
    if found is not None:
        return Path(found)
    return MACOS_APP if platform == "darwin" and MACOS_APP.exists() else None


class CommandLine:
    """The same two calls as the local API's. ``timeout`` in seconds; the program is killed when it passes."""

    def __init__(self, program: Path | str = "tailscale", timeout: float = 5.0) -> None:
        self.program = str(program)
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"CommandLine({self.program})"

    def status(self) -> TailnetStatus:
        code, output, complaint = self._run("status", "--json")
        if code != 0 and not output.strip():
            raise self._failure(code, complaint)
        return decode_status(output, f"`{self.program} status --json`")

    def ping(self, ip: str) -> PingAnswer:
        # Without a direct path it exits with 1 after a good pong, so the output decides. Its own deadline is
        # shorter than ours, so that a lost answer is told as such.
        own = max(1, int(self.timeout) - 1)
        code, output, complaint = self._run("ping", "--c=1", f"--timeout={own}s", ip)
        said = output.decode("utf-8", "replace")
        pong = _PONG.search(said)
        if pong is not None:
            return _pong(pong["via"], pong["time"])
        if _is_not_running(complaint):
            raise self._failure(code, complaint)
        return PingAnswer(None, error=excerpt(said) or excerpt(complaint))

    def _run(self, *arguments: str) -> tuple[int, bytes, bytes]:
        """Exit code, stdout and stderr. The program gets no stdin, so it cannot wait for a person."""
        try:
            process = subprocess.Popen(
                [self.program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "TAILSCALE_BE_CLI": "1"},  # else the macOS app may open its window
                start_new_session=True,
            )
        except OSError as error:
            raise fail(
                ProblemKind.ABSENT if isinstance(error, FileNotFoundError) else ProblemKind.FORBIDDEN,
                f"The program {self.program} cannot be started: {error.strerror}.",
                "Install Tailscale again, or name the daemon's socket (`--tailscale-socket`).",
            ) from error
        with process:
            try:
                output, complaint = process.communicate(timeout=self.timeout)
            except subprocess.TimeoutExpired as error:
                _kill(process)
                raise fail(
                    ProblemKind.TIMED_OUT,
                    f"`{self.program} {arguments[0]}` did not end within {self.timeout:g} s.",
                    HANGS,
                ) from error
        return process.returncode, output, complaint

    def _failure(self, code: int, complaint: bytes) -> AxiomError:
        said = excerpt(complaint)
        if _is_not_running(complaint):
            return fail(
                ProblemKind.REFUSED,
                "tailscaled does not run on this machine.",
                "Start it: `sudo systemctl start tailscaled` (Linux), or the Tailscale app (macOS, Windows).",
            )
        if b"ccess denied" in complaint or b"ermission denied" in complaint:
            return fail(
                ProblemKind.FORBIDDEN,
                f"`{self.program} status` may not read the state of Tailscale: {said}.",
                "Make yourself its operator: `sudo tailscale set --operator=$USER`.",
            )
        return fail(
            ProblemKind.BROKEN,
            f"`{self.program} status` failed with exit code {code}{f': {said}' if said else ''}.",
            "Run it yourself to see more.",
        )


def _is_not_running(complaint: bytes) -> bool:
    return b"failed to connect to local" in complaint or b"appear to be running" in complaint


def _pong(via: str, time: str) -> PingAnswer:
    milliseconds = sum(float(number) * _MILLISECONDS[unit] for number, unit in _DURATION.findall(time))
    relayed = _VIA.fullmatch(via)
    if relayed is None:
        # "disco" stands there when the path is not told.
        direct = ":" in via
        return PingAnswer(
            milliseconds, PathKind.DIRECT if direct else PathKind.UNKNOWN, endpoint=via if direct else ""
        )
    kind = PathKind.DERP if relayed["kind"] == "DERP" else PathKind.PEER_RELAY
    return PingAnswer(milliseconds, kind, relay=relayed["relay"])


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the program with its children, which would keep its pipes open."""
    if sys.platform == "win32":
        process.kill()
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
