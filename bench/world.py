"""An embedded Axiom in a process of its own, for the length of a measurement."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from axiom_tui.simulator.command import child_command


class World:
    """``kubeconfig`` and ``settings`` lead any client to it."""

    def __init__(self, process: subprocess.Popen[str], places: dict[str, str]) -> None:
        self._process = process
        self.kubeconfig = places["kubeconfig"]
        self.settings = places["settings"]

    def order(self, line: str) -> None:
        """Give an order such as ``churn 20`` or ``fault hang``, and wait until it is obeyed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if answer != {"ok": True}:
            raise RuntimeError(f"{line}: {answer}")


@contextmanager
def world(*, nodes: int | None = None, still: bool = True, faults: Sequence[str] = ()) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="axiom-bench-", ignore_cleanup_errors=True) as directory:
        command = child_command(Path(directory), nodes=nodes, still=still, faults=faults)
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                yield World(process, json.loads(process.stdout.readline()))
            finally:
                process.kill()
