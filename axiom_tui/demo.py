"""The demo's world: the embedded Axiom in a process of its own, which ends with this one.

A process, so that its work never takes the screen's time; it is reached through ordinary clients and
ordinary settings. It ends when its standard input closes, so also when this program is killed, and takes
its directory with it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

from axiom_tui.config import STATE_VARIABLE, Overrides, Settings, load, with_overrides
from axiom_tui.model.problem import ProblemKind, fail
from axiom_tui.simulator.command import child_command
from axiom_tui.start import DemoOptions

READY_WITHIN = 30.0  # seconds; it takes well under one on a quiet machine
END_WITHIN = 5.0  # seconds


class DemoWorld:
    """The child process and where it put its settings."""

    def __init__(
        self, process: subprocess.Popen[str], directory: Path, settings: Path, password: str
    ) -> None:
        self.password = password  # of its simulated hosts: the admin has to be told, and nobody else minds
        self._process, self._directory, self._settings = process, directory, settings

    @classmethod
    def start(cls, options: DemoOptions) -> DemoWorld:
        """Start it and wait until it serves. Raises AxiomError if it does not come up."""
        command = child_command(nodes=options.nodes, faults=options.faults, still=options.still)
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
            line = _first_line(process, READY_WITHIN)
            try:
                ready = json.loads(line)
                directory = Path(ready["directory"])
                world = cls(process, directory, Path(ready["settings"]), ready["password"])
            except (ValueError, KeyError, TypeError) as error:
                process.terminate()  # so that it takes its directory with it
                try:
                    process.communicate(timeout=END_WITHIN)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()
                errors.seek(0)
                said = errors.read().strip().splitlines()
                raise fail(
                    ProblemKind.BROKEN,
                    f"The embedded Axiom did not come up: {said[-1] if said else 'it said nothing'}.",
                    "Run `axiom-tui simulate` to see it start by itself.",
                ) from error
        # What is done to this world is remembered with it: nowhere else could it be resumed or undone.
        os.environ.setdefault(STATE_VARIABLE, str(directory / "state"))
        return world

    def settings(self, overrides: Overrides) -> Settings:
        """The settings file of this world, with the command line laid over it."""
        return with_overrides(load(self._settings), overrides).settings

    def stop(self) -> None:
        """End it; does not wait for more than a moment."""
        self._process.kill()  # it has nothing to lose: its world lives in memory
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        shutil.rmtree(self._directory, ignore_errors=True)


def _first_line(process: subprocess.Popen[str], deadline: float) -> str:
    """The first line that the process prints; "" when it ends, or says nothing for ``deadline`` seconds."""
    lines: list[str] = []

    def read() -> None:
        if process.stdout is not None:
            lines.append(process.stdout.readline())

    reader = threading.Thread(target=read, name="demo-ready", daemon=True)
    reader.start()
    reader.join(deadline)
    return lines[0] if lines else ""
