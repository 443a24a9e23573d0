"""SSH to one host: connect, run commands as the user or as root, and read and write files."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

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
    readable,
)
from axiom_tui.model.problem import AxiomError, ProblemKind, fail
from axiom_tui.model.secret import Secret

if TYPE_CHECKING:
    from axiom_tui.clients.ssh_command import Call, Outcome
    from axiom_tui.clients.ssh_connect import Opened
    from axiom_tui.clients.ssh_sudo import Elevation

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

_SUDO_DEADLINE = 60.0  # seconds for sudo to check a password; PAM waits 2 s or so after a wrong one
_SUDO_TRIES = 3
_LONGEST_TITLE = 72  # characters of a command in a sentence


def connect(
    target: SshTarget,
    options: SshOptions | None = None,
    interaction: Interaction | None = None,
    *,
    cancelled: threading.Event | None = None,
) -> SshConnection:
    """Log in to a host; blocks, also for a person's login. Set ``cancelled`` from another thread to end it.

    Raises AxiomError: UNRESOLVED, REFUSED, TIMED_OUT, UNREACHABLE, GARBLED (not SSH), UNTRUSTED (host key),
    UNCONFIRMED (nobody vouches for the key, or logged in), UNAUTHENTICATED, FORBIDDEN (policy of the tailnet
    or of a jump host), INVALID (no common algorithm), MISCONFIGURED, CANCELLED.
    """
    # paramiko costs a quarter of a second: it is loaded only here, in the thread that needs it.
    from axiom_tui.clients.ssh_connect import open_connection

    options, interaction = options or SshOptions(), interaction or Interaction()
    opened = open_connection(target, options, interaction, cancelled or threading.Event())
    return SshConnection(opened, options, interaction)


class SshConnection:
    """A login to one host. Commands may run at the same time from several threads.

    Every method raises AxiomError: TIMED_OUT (a deadline), UNREACHABLE (the connection was lost, and during
    what), CANCELLED, FORBIDDEN (the host opens no session), BROKEN (it started or ended nothing properly).
    What a command does with its exit status is left to the caller.
    """

    def __init__(self, opened: Opened, options: SshOptions, interaction: Interaction) -> None:
        self.host = opened.host.address
        self.user = opened.host.user
        self._name = opened.host.name
        self._opened = opened
        self._options = options
        self._interaction = interaction
        self._cancelled = threading.Event()
        self._closed = False
        self._sudo_lock = threading.Lock()
        self._elevation: Elevation | None = None
        self._sudo_password: Secret | None = None

    @property
    def is_open(self) -> bool:
        """Whether the connection still stands, as far as is known here."""
        return self._opened.transport.is_active()

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
        """Run a command (sh) as the user who is logged in, and wait for its end.

        The command line can be seen and is logged on the host: a secret goes by ``stdin``. ``deadline`` is in
        seconds; then, and when cancelled, the command is ended on the host too. ``title`` is what sentences
        call it, else its own beginning.
        """
        from axiom_tui.clients.ssh_command import supervised

        title = title or _shortened(command)
        outcome = self._execute(supervised(command, _bytes(stdin)), title, deadline, on_output, cancelled)
        return self._completed(outcome, title)

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
        """Run a command (sh) as root; else as `run`. Raises as `check_sudo` besides."""
        from axiom_tui.clients.ssh_sudo import as_root, not_verified, wrong_password

        title = title or _shortened(f"sudo {command}")
        elevation, password = self._become_root()
        call = as_root(command, _bytes(stdin), elevation, password)
        outcome = self._execute(call, title, deadline, on_output, cancelled)
        if outcome.wrong_password:
            with self._sudo_lock:
                self._elevation = self._sudo_password = None
            raise wrong_password(self.user, self.host)
        if call.prompt and not outcome.started and outcome.status > 0:
            raise not_verified(outcome, self.user, self.host)
        return self._completed(outcome, title)

    def run_script(
        self,
        script: str,
        *,
        deadline: float,
        sudo: bool = False,
        on_output: OnOutput | None = None,
        title: str = "the script",
        cancelled: threading.Event | None = None,
    ) -> Completed:
        """Send a plain-sh script by stdin to ``sh -s``: one round trip, and nothing on a command line."""
        run = self.sudo if sudo else self.run
        return run(
            "exec sh -s",
            stdin=script.encode(),
            deadline=deadline,
            on_output=on_output,
            title=title,
            cancelled=cancelled,
        )

    def check_sudo(self) -> None:
        """Find out how to become root, and have the password checked if sudo wants one.

        Takes ``SshOptions.sudo_password``, then asks ``Interaction.sudo_password``: three tries in all; the
        right one is kept for this connection.
        Raises AxiomError: UNAUTHENTICATED (wrong, or none given), FORBIDDEN (not in sudoers, requiretty),
        ABSENT (no sudo).
        """
        self._become_root()

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
        """Put a file in place, whole or not at all, and check it by its SHA-256.

        Missing parents are made with ``directory_mode`` (0755 or 0700). An empty ``owner`` keeps the
        writer's. A symbolic link at ``path`` is replaced, not followed. Raises as `sudo`, and FORBIDDEN,
        CONFLICT (a directory stands there), BROKEN.
        """
        from axiom_tui.clients import ssh_files

        command = ssh_files.write_command(path, mode=mode, owner=owner, directory_mode=directory_mode)
        run = self.sudo if sudo else self.run
        payload = ssh_files.write_input(_bytes(content))
        done = run(command, stdin=payload, deadline=deadline, title=f"write {path}")
        ssh_files.check_written(done, path, mode, owner, self.host)

    def read_file(self, path: str, *, sudo: bool = True, deadline: float = 60.0) -> bytes:
        """The content of a file. Raises MISSING if there is none, else as `write_file`."""
        from axiom_tui.clients import ssh_files

        run = self.sudo if sudo else self.run
        done = run(ssh_files.read_command(path), deadline=deadline, title=f"read {path}")
        ssh_files.check_read(done, path, self.host)
        return done.stdout

    def stat_file(self, path: str, *, sudo: bool = True, deadline: float = 60.0) -> RemoteFile | None:
        """What stands at a path (links followed); None if nothing does."""
        from axiom_tui.clients import ssh_files

        run = self.sudo if sudo else self.run
        done = run(ssh_files.look_command(path), deadline=deadline, title=f"look at {path}")
        return ssh_files.looked(done, path, self.host)

    def cancel(self) -> None:
        """End all that runs, on the host too, and the connection; from any thread, returns at once."""
        self._cancelled.set()
        self._opened.abort()

    def close(self) -> None:
        """Log out; twice does no harm. Commands that still run are ended."""
        self._closed = True
        self._opened.close()

    def __enter__(self) -> SshConnection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _become_root(self) -> tuple[Elevation, Secret | None]:
        from axiom_tui.clients.ssh_command import supervised
        from axiom_tui.clients.ssh_sudo import PROBE, Elevation, elevation_from

        with self._sudo_lock:
            if self._elevation is None:
                title = "the check of sudo"
                outcome = self._execute(supervised(PROBE, b""), title, _SUDO_DEADLINE)
                self._completed(outcome, title)
                elevation = elevation_from(outcome, self.user, self.host)
                if elevation is Elevation.PASSWORD:
                    self._sudo_password = self._checked_password()
                self._elevation = elevation
            return self._elevation, self._sudo_password

    def _checked_password(self) -> Secret:
        from axiom_tui.clients.ssh_sudo import checking, no_password, not_verified, wrong_password

        given: Secret | None = None
        stored = self._options.sudo_password
        for number in range(_SUDO_TRIES):
            secret: Secret | None
            if stored is not None and number == 0:
                self._interaction.secret_used(secret := stored())
            else:
                secret = self._interaction.sudo_password(self.user, self._name, number > 0)
            if secret is None or secret == given:
                break
            given = secret
            outcome = self._execute(checking(secret), "the check of sudo", _SUDO_DEADLINE)
            if outcome.status == 0:
                return secret
            if not outcome.wrong_password:
                raise not_verified(outcome, self.user, self.host)
        raise wrong_password(self.user, self.host) if given else no_password(self.user, self.host)

    def _execute(
        self,
        call: Call,
        title: str,
        deadline: float,
        on_output: OnOutput | None = None,
        cancelled: threading.Event | None = None,
    ) -> Outcome:
        """Run a call; turns all ways in which it does not end by itself into AxiomError."""
        from axiom_tui.clients.ssh_command import Execution
        from axiom_tui.clients.ssh_transport import Cancelled, TooSlow

        def is_cancelled() -> bool:
            return self._cancelled.is_set() or (cancelled is not None and cancelled.is_set())

        if is_cancelled():
            raise self._was_cancelled(title)
        transport = self._opened.transport
        execution = Execution(
            transport, call, channel_timeout=self._options.channel_timeout, on_output=on_output
        )
        began = time.monotonic()
        try:
            outcome = execution.run(deadline, is_cancelled, self._opened.abort)
        except Cancelled as error:
            raise self._was_cancelled(title) from error
        except TooSlow as error:
            raise fail(
                ProblemKind.TIMED_OUT,
                f"`{title}` on {self.host} did not end within {deadline:g} s, and was ended.",
                "Look at what it waits for on the host, then try again.",
            ) from error
        if is_cancelled() and outcome.status == -1:
            raise self._was_cancelled(title)
        if outcome.dropped or (outcome.refused is not None and not transport.is_active()):
            raise self._was_lost(title, time.monotonic() - began)
        if outcome.refused is not None:
            raise self._refused_session(title, outcome.refused) from outcome.refused
        return outcome

    def _completed(self, outcome: Outcome, title: str) -> Completed:
        if not outcome.started:
            said = readable(outcome.stderr + b"\n" + outcome.stdout).splitlines()
            reason = said[-1] if said else f"it ended with status {outcome.status} and said nothing"
            raise fail(
                ProblemKind.BROKEN,
                f"{self.host} did not start `{title}`: {reason}.",
                f"Check the login shell of {self.user} there, and that a plain `sh` and `setsid` exist.",
            )
        if outcome.status == -1:
            raise fail(
                ProblemKind.BROKEN,
                f"`{title}` on {self.host} ended without an exit status: the SSH server ended it.",
                "Look into the host's log (out of memory, access revoked), then try again.",
            )
        return Completed(outcome.status, outcome.stdout, outcome.stderr)

    def _was_cancelled(self, title: str) -> AxiomError:
        return fail(
            ProblemKind.CANCELLED,
            f"`{title}` on {self.host} was cancelled.",
            "What it had done by then stays done; look before you repeat it.",
        )

    def _was_lost(self, title: str, seconds: float) -> AxiomError:
        transport = self._opened.transport
        closed = "it was closed here" if self._closed else "the host closed it"
        why = transport.lost or readable(transport.farewell) or closed
        return fail(
            ProblemKind.UNREACHABLE,
            f"The connection to {self.host} was lost during `{title}`, after {seconds:.0f} s: {why}.",
            "Check that the host is up, then connect again; what ran there was ended as soon as the host"
            " noticed.",
        )

    def _refused_session(self, title: str, error: Exception) -> AxiomError:
        return fail(
            ProblemKind.FORBIDDEN,
            f"{self.host} opened no session for `{title}`: {readable(str(error)) or type(error).__name__}.",
            "Look into the log of its SSH server (MaxSessions, a forced command, the tailnet's policy).",
        )


def _bytes(content: bytes | Secret | None) -> bytes:
    if isinstance(content, Secret):
        return content.reveal().encode()
    return content or b""


def _shortened(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= _LONGEST_TITLE else line[: _LONGEST_TITLE - 1] + "…"
