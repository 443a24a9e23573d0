"""SSH to one host: connect, run commands as the user or as root, and read and write files."""

from __future__ import annotations

import threading
from types import TracebackType

from axiom_tui.clients.ssh_values import (
    Completed,
    Interaction,
    LoginBanner,
    OnOutput,
    RemoteFile,
    SshOptions,
    SshTarget,
    Stream,
    UnknownHostKey,
)
from axiom_tui.model.secret import Secret

__all__ = [
    "Completed",
    "Interaction",
    "LoginBanner",
    "OnOutput",
    "RemoteFile",
    "SshConnection",
    "SshOptions",
    "SshTarget",
    "Stream",
    "UnknownHostKey",
    "connect",
]


def connect(
    target: SshTarget,
    options: SshOptions | None = None,
    interaction: Interaction | None = None,
    *,
    cancelled: threading.Event | None = None,
) -> SshConnection:
    """Log in to a host; blocks, also for a person's login. Set ``cancelled`` from another thread to end it.

    Raises AxiomError: UNRESOLVED, REFUSED, TIMED_OUT, UNREACHABLE, GARBLED (not SSH), UNTRUSTED (host key),
    UNAUTHENTICATED, FORBIDDEN (policy of the tailnet or of a jump host), MISCONFIGURED, CANCELLED.
    """
    raise NotImplementedError


class SshConnection:
    """A login to one host. Commands may run at the same time from several threads."""

    host: str
    user: str

    def run(
        self,
        command: str,
        *,
        stdin: bytes | Secret | None = None,
        deadline: float,
        on_output: OnOutput | None = None,
        title: str = "",
        cancelled: threading.Event | None = None,
    ) -> Completed:
        """Run a command (sh) as the user who is logged in."""
        raise NotImplementedError

    def sudo(
        self,
        command: str,
        *,
        stdin: bytes | Secret | None = None,
        deadline: float,
        on_output: OnOutput | None = None,
        title: str = "",
        cancelled: threading.Event | None = None,
    ) -> Completed:
        """Run a command (sh) as root."""
        raise NotImplementedError

    def run_script(
        self, script: str, *, deadline: float, sudo: bool = False, on_output: OnOutput | None = None
    ) -> Completed:
        """Send a plain-sh script by stdin to ``sh -s``, in one round trip."""
        raise NotImplementedError

    def check_sudo(self) -> None:
        """Find out how to become root, asking for the password if sudo wants one."""
        raise NotImplementedError

    def write_file(
        self,
        path: str,
        content: bytes | Secret,
        *,
        mode: int,
        owner: str = "root:root",
        sudo: bool = True,
        directory_mode: int = 0o755,
        deadline: float = 60.0,
    ) -> None:
        """Put a file in place, whole or not at all."""
        raise NotImplementedError

    def read_file(self, path: str, *, sudo: bool = True, deadline: float = 60.0) -> bytes:
        """The content of a file; MISSING if there is none."""
        raise NotImplementedError

    def stat_file(self, path: str, *, sudo: bool = True, deadline: float = 30.0) -> RemoteFile | None:
        """What stands at a path; None if nothing does."""
        raise NotImplementedError

    def cancel(self) -> None:
        """End the running commands, on the host too, and close; from any thread, returns at once."""
        raise NotImplementedError

    def close(self) -> None:
        """Log out; twice does no harm."""
        raise NotImplementedError

    def __enter__(self) -> SshConnection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
