"""Runs the same plan again and again in forked children, and kills each at another point with SIGKILL.

Its argument is a folder; it prints a JSON list of [point, subfolder].
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from pathlib import Path

from axiom_tui.plans.journal import Journal, Writer
from axiom_tui.plans.runner import Runner
from tests.plans.test_cut import STEPS, furnish
from tests.plans.world import ANNA, FreeLock, file_plan


class Killer:
    """Kills this process at the point whose number is ``last``, and says first which it is."""

    def __init__(self, last: int, said: int) -> None:
        self._last = last
        self._said = said
        self._count = 0

    def __call__(self, point: str) -> None:
        if self.next_is_last():
            os.write(self._said, point.encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def next_is_last(self) -> bool:
        self._count += 1
        return self._count == self._last


def watch_writes(killer: Killer) -> None:
    """Make a point before, in the middle of and after every write of the journal."""
    write = Writer._write

    def watched(writer: Writer, line: bytes) -> None:
        kind = json.loads(line)["type"]
        killer(f"before {kind}")
        if killer.next_is_last():
            os.write(writer._descriptor, line[: len(line) // 2])
            os.write(killer._said, f"torn {kind}".encode())
            os.kill(os.getpid(), signal.SIGKILL)
        write(writer, line)
        killer(f"after {kind}")

    Writer._write = watched  # type: ignore[method-assign, assignment]


def child(directory: Path, last: int, said: int) -> None:
    killer = Killer(last, said)
    watch_writes(killer)
    plan = file_plan(directory / "world", STEPS, killer)
    Runner(plan, Journal(directory / "state"), FreeLock(), lambda event: None, False, identity=ANNA).run()
    os.write(said, b"end")


def main(root: Path) -> None:
    cuts = []
    for last in itertools.count(1):
        directory = root / str(last)
        directory.mkdir()
        furnish(directory / "world")
        told, said = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(told)
            child(directory, last, said)
            os._exit(0)
        os.close(said)
        with os.fdopen(told, "rb") as stream:
            point = stream.read().decode()
        _, status = os.waitpid(pid, 0)
        cuts.append((point, directory.name))
        if point == "end":
            break
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (point, status)  # noqa: PT018
    sys.stdout.write(json.dumps(cuts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
