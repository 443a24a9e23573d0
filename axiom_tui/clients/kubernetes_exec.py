"""A credential plugin (``exec`` of a kubeconfig): run without a terminal, with a deadline, its words kept.

Protocol: ExecCredential of client.authentication.k8s.io, v1 and v1beta1 (Kubernetes reference, "client-go
credential plugins"). The plugin can neither read keys nor draw on the screen: stdin is closed, both outputs
are pipes, and it runs in a session of its own, without a controlling terminal.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from axiom_tui.clients.kubeconfig import ExecEntry
from axiom_tui.clients.kubernetes_errors import clean
from axiom_tui.model.problem import AxiomError, ProblemKind, fail

VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
LARGEST_OUTPUT = 1 << 20  # bytes; a credential is a few kB


class ExecStatus(msgspec.Struct, rename="camel", frozen=True):
    """What the plugin gives: a token, or a certificate with its key (PEM), or both."""

    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: datetime | None = None

    def __repr__(self) -> str:
        return "ExecStatus(...)"


class ExecCredential(msgspec.Struct, rename="camel", frozen=True):
    kind: str
    api_version: str
    status: ExecStatus | None = None


class ExecPlugin:
    """One plugin of one user. `cancel` ends a run from another thread."""

    def __init__(
        self,
        entry: ExecEntry,
        *,
        user: str,
        directory: Path,
        cluster: Callable[[], dict[str, object]],
        timeout: float,
    ) -> None:
        self._entry = entry
        self._user = user
        self._directory = directory
        self._cluster = cluster
        self._timeout = timeout
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._cancelled = False

    @property
    def _name(self) -> str:
        return f"The credential plugin {self._entry.command!r} of user {self._user!r}"

    def run(self) -> ExecStatus:
        """Run the plugin once. Raises AxiomError with its stderr when it fails."""
        entry = self._entry
        if entry.api_version not in VERSIONS:
            raise fail(
                ProblemKind.MISCONFIGURED,
                f"{self._name} speaks {entry.api_version or 'no version at all'}, which is not supported.",
                f"Set its apiVersion in the kubeconfig to {VERSIONS[0]} and update the plugin.",
            )
        if entry.interactive_mode == "Always":
            raise fail(
                ProblemKind.MISCONFIGURED,
                f"{self._name} wants to ask questions on a terminal (interactiveMode: Always).",
                "It cannot here: use a context with a token or a certificate.",
            )
        process = self._start()
        try:
            output, words, ended = self._collect(process)
        finally:
            self._end(process)
        if self._cancelled:
            raise fail(ProblemKind.CANCELLED, f"{self._name} was stopped.")
        said = f": {clean(words)}" if clean(words) else ""
        if not ended:
            raise fail(
                ProblemKind.TIMED_OUT,
                f"{self._name} did not finish within {self._timeout:g} s{said}.",
                "Run it by hand in a terminal; it may wait for a login.",
            )
        if process.returncode != 0:
            raise fail(
                ProblemKind.UNAUTHENTICATED,
                f"{self._name} failed with exit code {process.returncode}{said or ', without a word'}.",
                "Run it by hand in a terminal and log in there.",
            )
        return self._decode(output)

    def cancel(self) -> None:
        self._cancelled = True
        with self._lock:
            if self._process is not None:
                _kill(self._process)

    def _start(self) -> subprocess.Popen[bytes]:
        entry = self._entry
        command = entry.command
        if os.sep in command and not os.path.isabs(command):
            command = str(self._directory / command)
        spec: dict[str, object] = {"interactive": False}
        if entry.provide_cluster_info:
            spec["cluster"] = self._cluster()
        info = {"apiVersion": entry.api_version, "kind": "ExecCredential", "spec": spec}
        environment = {
            **os.environ,
            **{item.name: item.value for item in entry.env},
            "KUBERNETES_EXEC_INFO": json.dumps(info),
        }
        try:
            process = subprocess.Popen(
                [command, *entry.args],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            hint = clean(entry.install_hint)
            raise fail(
                ProblemKind.ABSENT,
                f"{self._name} is not installed on this machine.",
                f"Its kubeconfig says: {hint}." if hint else "Install it, or use another context.",
            ) from error
        except OSError as error:
            raise fail(
                ProblemKind.MISCONFIGURED,
                f"{self._name} cannot be started: {error.strerror}.",
                "Check that it is an executable file.",
            ) from error
        with self._lock:
            self._process = process
        if self._cancelled:
            _kill(process)
        return process

    def _collect(self, process: subprocess.Popen[bytes]) -> tuple[bytes, str, bool]:
        """Both outputs, and whether the plugin ended by itself within the deadline."""
        assert process.stdout is not None
        assert process.stderr is not None
        output, words = bytearray(), bytearray()
        until = time.monotonic() + self._timeout
        ended = False
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ, output)
            selector.register(process.stderr, selectors.EVENT_READ, words)
            while selector.get_map() and time.monotonic() < until:
                # A plugin may leave a child behind that holds the pipes: its own end is what counts.
                ended = process.poll() is not None
                ready = selector.select(0.0 if ended else min(0.05, max(0.0, until - time.monotonic())))
                if ended and not ready:
                    break
                for key, _ in ready:
                    data = os.read(key.fd, 65536)
                    if not data:
                        selector.unregister(key.fileobj)
                    key.data.extend(data)
                    if len(key.data) > LARGEST_OUTPUT:
                        raise self._garbled("more than a megabyte")
            else:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, until - time.monotonic()))
                ended = process.poll() is not None
        return bytes(output), words[-4096:].decode("utf-8", "replace"), ended

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._process = None
            if process.poll() is None:
                _kill(process)
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()

    def _decode(self, output: bytes) -> ExecStatus:
        try:
            answer = msgspec.json.decode(output, type=ExecCredential)
        except msgspec.DecodeError:
            # Its text is not quoted: it may hold half a credential.
            raise self._garbled("something that is no ExecCredential") from None
        if answer.kind != "ExecCredential" or answer.api_version != self._entry.api_version:
            raise self._garbled(
                f"a {clean(answer.kind)} of {clean(answer.api_version)},"
                f" not an ExecCredential of {self._entry.api_version}"
            )
        status = answer.status
        if status is None or not (
            status.token or (status.client_certificate_data and status.client_key_data)
        ):
            raise self._garbled("neither a token nor a certificate with its key")
        return status

    def _garbled(self, what: str) -> AxiomError:
        return fail(
            ProblemKind.GARBLED,
            f"{self._name} printed {what}.",
            "Run it by hand in a terminal and look at what it prints.",
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the plugin with all its children: it leads a process group of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
