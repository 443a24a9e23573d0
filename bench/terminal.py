"""A program on a pseudo-terminal of 120x40: what it writes and when, keys typed to it, and what it costs."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

WIDTH, HEIGHT = 120, 40
TICKS = os.sysconf("SC_CLK_TCK")


class Program:
    """Running from the moment it is made; use it as a context manager, whose end kills what still runs."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        self._master = master
        self._news = threading.Condition()
        self._written = bytearray()
        self._times: list[tuple[int, float]] = []  # bytes written up to this moment
        self._closed = False
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=terminal_environment(environment or {}),
            pass_fds=pass_fds,
            start_new_session=True,
        )
        os.close(slave)
        self._gone_at = 0.0
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._waiter = threading.Thread(target=self._wait, name="end", daemon=True)
        self._reader.start()
        self._waiter.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def written(self) -> int:
        """Bytes so far."""
        return len(self._written)

    def type(self, keys: str) -> tuple[int, float]:
        """Type keys; gives the bytes written before them, and the moment."""
        place, moment = len(self._written), time.monotonic()
        os.write(self._master, keys.encode())
        return place, moment

    def wait_for(self, pattern: str, *, start: int = 0, deadline: float = 60.0) -> float:
        """The moment at which the first match of ``pattern`` behind byte ``start`` had been read.

        Raises RuntimeError when the program ends or the deadline passes before.
        """
        wanted = re.compile(pattern.encode(), re.DOTALL)
        until = time.monotonic() + deadline
        with self._news:
            while True:
                found = wanted.search(self._written, start)
                if found is not None:
                    return next(moment for size, moment in self._times if size >= found.end())
                left = until - time.monotonic()
                if self._closed or left <= 0:
                    said = self._written[-600:].decode(errors="replace")
                    raise RuntimeError(f"no {pattern!r} after {deadline - left:.1f} s; last: {said!r}")
                self._news.wait(left)

    def wait_for_bytes(self, size: int, deadline: float = 60.0) -> None:
        """Wait until so many bytes were written since the start."""
        with self._news:
            if not self._news.wait_for(lambda: len(self._written) >= size or self._closed, deadline):
                raise RuntimeError(f"only {len(self._written)} bytes after {deadline:g} s")

    def ended(self, deadline: float = 10.0) -> float:
        """Wait for its end; the moment. Raises RuntimeError when it does not come."""
        self._waiter.join(deadline)
        if self._waiter.is_alive():
            raise RuntimeError(f"it did not end within {deadline:g} s")
        return self._gone_at

    def cpu(self) -> float:
        """CPU seconds of the process so far, all its threads, without its children."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def peak_memory(self) -> float:
        """The most memory that the process had resident (VmHWM), in MB of 10^6 bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        if self._waiter.is_alive():
            self._process.send_signal(signal.SIGKILL)
        self._waiter.join()
        self._reader.join()
        os.close(self._master)

    def _wait(self) -> None:
        self._process.wait()  # without a time limit, since with one it would look only now and then
        self._gone_at = time.monotonic()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # EIO: the last process with this terminal is gone
                data = b""
            with self._news:
                if data:
                    self._written += data
                    self._times.append((len(self._written), time.monotonic()))
                else:
                    self._closed = True
                self._news.notify_all()
            if not data:
                return


def terminal_environment(more: Mapping[str, str]) -> dict[str, str]:
    """As in a terminal with all colours, whatever the environment of the bench is."""
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **more}
    for name in ("NO_COLOR", "COLUMNS", "LINES", "TEXTUAL_THEME"):
        environment.pop(name, None)
    return environment
