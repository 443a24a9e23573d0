"""The hosts that a plan works on: one login each, kept from step to step, made again when it was lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from axiom_tui.clients.ssh_values import (
    Completed,
    Interaction,
    LoginBanner,
    OnOutput,
    RemoteFile,
    UnknownHostKey,
)
from axiom_tui.model.secret import Secret
from axiom_tui.plans.step import Run


class Shell(Protocol):
    """What plans do on a host; `clients.ssh.SshConnection` has it, and says what each raises."""

    @property
    def is_open(self) -> bool: ...

    def run(
        self,
        command: str,
        *,
        stdin: bytes | Secret | None = None,
        deadline: float,
        on_output: OnOutput | None = None,
        title: str = "",
    ) -> Completed: ...

    def sudo(
        self,
        command: str,
        *,
        stdin: bytes | Secret | None = None,
        deadline: float,
        on_output: OnOutput | None = None,
        title: str = "",
    ) -> Completed: ...

    def run_script(
        self, script: str, *, deadline: float, sudo: bool = False, title: str = "the script"
    ) -> Completed: ...

    def check_sudo(self) -> None: ...

    def write_file(
        self,
        path: str,
        content: bytes | Secret,
        *,
        mode: int,
        owner: str = "root:root",
        directory_mode: int = 0o755,
    ) -> None: ...

    def read_file(self, path: str) -> bytes: ...

    def stat_file(self, path: str) -> RemoteFile | None: ...

    def cancel(self) -> None: ...

    def close(self) -> None: ...


#: Logs in to a host (name or address) as a user ("" as the settings say); the event ends the attempt.
Connect = Callable[[str, str, threading.Event], Shell]


class Hosts:
    """Logins by host and user. Thread-safe; `interrupt` ends what blocks, from another thread."""

    def __init__(self, connect: Connect, secrets: Callable[[], tuple[Secret, ...]] = lambda: ()) -> None:
        self._connect = connect
        self._secrets = secrets
        self._lock = threading.Lock()
        self._shells: dict[tuple[str, str], Shell] = {}
        self._attempts: set[threading.Event] = set()

    def shell(self, host: str, user: str = "", run: Run | None = None) -> Shell:
        """The login to this host, made if there is none. Raises AxiomError as `clients.ssh.connect`.

        With ``run`` its secrets (a sudo password) are masked in that run.
        """
        with self._lock:
            shell = self._shells.get((host, user))
            if shell is not None and not shell.is_open:
                shell.close()
                del self._shells[host, user]
                shell = None
            cancelled = threading.Event()
            if shell is None:
                self._attempts.add(cancelled)
        if shell is None:
            try:
                shell = self._connect(host, user, cancelled)
            finally:
                with self._lock:
                    self._attempts.discard(cancelled)
            with self._lock:
                self._shells[host, user] = shell
        if run is not None:
            for secret in self._secrets():
                run.mask(secret)
        return shell

    def mask(self, run: Run) -> None:
        """Mask in this run what was given at prompts meanwhile."""
        for secret in self._secrets():
            run.mask(secret)

    def interrupt(self) -> None:
        """End commands and logins that are under way, on the hosts too; returns at once."""
        with self._lock:
            attempts, shells = tuple(self._attempts), tuple(self._shells.values())
        for attempt in attempts:
            attempt.set()
        for shell in shells:
            shell.cancel()

    def close(self) -> None:
        """Log out everywhere; a later `shell` logs in again."""
        with self._lock:
            shells, self._shells = tuple(self._shells.values()), {}
        for shell in shells:
            shell.close()


class Listening(Interaction):
    """Passes all questions on, and keeps the secrets that were given, so that runs can mask them."""

    def __init__(self, inner: Interaction) -> None:
        self._inner = inner
        self._given: list[Secret] = []

    @property
    def given(self) -> tuple[Secret, ...]:
        return tuple(self._given)

    def login_banner(self, banner: LoginBanner) -> None:
        self._inner.login_banner(banner)

    def confirm_host_key(self, unknown: UnknownHostKey) -> bool:
        return self._inner.confirm_host_key(unknown)

    def passphrase(self, key_file: Path, again: bool) -> Secret | None:
        return self._keep(self._inner.passphrase(key_file, again))

    def password(self, user: str, host: str, again: bool) -> Secret | None:
        return self._keep(self._inner.password(user, host, again))

    def sudo_password(self, user: str, host: str, again: bool) -> Secret | None:
        return self._keep(self._inner.sudo_password(user, host, again))

    def secret_used(self, secret: Secret) -> None:
        self._keep(secret)
        self._inner.secret_used(secret)

    def _keep(self, secret: Secret | None) -> Secret | None:
        if secret is not None and secret not in self._given:
            self._given.append(secret)
        return secret
