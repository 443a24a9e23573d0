"""Processes of a simulated host: each is a thread; pipes, open files, sessions and signals join them.

All waiting goes through one condition of the host, so that a signal, the end of a process or data in a pipe
wakes whoever waits for it, and a process that is killed wakes wherever it is.
"""

from __future__ import annotations

import errno
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from axiom_tui.simulator.hosts.files import ROOT, Entry, FileSystem, Kind, User, failure

PIPE_SIZE = 65_536
FIRST_PID = 1_204
#: How many started processes are remembered for those who look for secrets on command lines.
REMEMBERED = 20_000

Signals = signal.Signals
HARMLESS = frozenset({Signals.SIGCHLD, Signals.SIGCONT, Signals.SIGWINCH, Signals.SIGURG})


class Killed(Exception):
    """The process is being ended by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


class OpenFile:
    """What a file descriptor stands for; descriptors that were duplicated share it."""

    def __init__(self) -> None:
        self.references = 0

    def read(self, process: Process, size: int) -> bytes:
        """At most ``size`` bytes; waits for the first of them. b"" is the end."""
        raise failure(errno.EBADF, "")

    def read_line(self, process: Process) -> bytes:
        """Up to and with the next newline, and not one byte more."""
        line = b""
        while not line.endswith(b"\n") and (byte := self.read(process, 1)):
            line += byte
        return line

    def write(self, process: Process, data: bytes) -> None:
        raise failure(errno.EBADF, "")

    def closed(self) -> None:
        """The last descriptor is gone."""


class Nothing(OpenFile):
    """/dev/null"""

    def read(self, process: Process, size: int) -> bytes:
        return b""

    def write(self, process: Process, data: bytes) -> None:
        return


class Reading(OpenFile):
    """A file opened to be read."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._content = content
        self._position = 0

    def read(self, process: Process, size: int) -> bytes:
        data = self._content[self._position : self._position + size]
        self._position += len(data)
        return data

    def read_line(self, process: Process) -> bytes:
        end = self._content.find(b"\n", self._position)
        return self.read(process, len(self._content) if end < 0 else end + 1 - self._position)


class Writing(OpenFile):
    """A file opened to be written, or appended to."""

    def __init__(self, files: FileSystem, entry: Entry, path: str) -> None:
        super().__init__()
        self._files, self._entry, self._path = files, entry, path

    def write(self, process: Process, data: bytes) -> None:
        before = b"" if self._entry.taken is not None else self._entry.content
        self._files.store(self._entry, before + data, self._path)


class Pipe:
    """A pipe of 64 KiB; `reader` and `writer` are its two ends."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.data = bytearray()
        self.is_read = self.is_written = True  # by anyone who is still there
        self.reader = PipeReader(self)
        self.writer = PipeWriter(self)


class PipeReader(OpenFile):
    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self._pipe = pipe

    def read(self, process: Process, size: int) -> bytes:
        pipe = self._pipe
        with pipe.kernel.changed:
            process.wait_for(lambda: bool(pipe.data) or not pipe.is_written)
            return self._take(min(size, len(pipe.data)))

    def read_line(self, process: Process) -> bytes:
        pipe, line = self._pipe, b""
        while not line.endswith(b"\n"):
            with pipe.kernel.changed:
                process.wait_for(lambda: bool(pipe.data) or not pipe.is_written)
                if not pipe.data:
                    return line
                end = pipe.data.find(b"\n")
                line += self._take(len(pipe.data) if end < 0 else end + 1)
        return line

    def _take(self, size: int) -> bytes:
        data = bytes(self._pipe.data[:size])
        del self._pipe.data[:size]
        self._pipe.kernel.changed.notify_all()
        return data

    def closed(self) -> None:
        with self._pipe.kernel.changed:
            self._pipe.is_read = False
            self._pipe.kernel.changed.notify_all()


class PipeWriter(OpenFile):
    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self._pipe = pipe

    def write(self, process: Process, data: bytes) -> None:
        pipe = self._pipe
        with pipe.kernel.changed:
            while data:
                process.wait_for(lambda: len(pipe.data) < PIPE_SIZE or not pipe.is_read)
                if not pipe.is_read:
                    process.signal(Signals.SIGPIPE)
                    process.check()
                    raise failure(errno.EPIPE, "")
                room = PIPE_SIZE - len(pipe.data)
                pipe.data += data[:room]
                data = data[room:]
                pipe.kernel.changed.notify_all()

    def closed(self) -> None:
        with self._pipe.kernel.changed:
            self._pipe.is_written = False
            self._pipe.kernel.changed.notify_all()


@dataclass(frozen=True, slots=True)
class Started:
    """A program that was started at some time: what everyone on the host could see of it."""

    pid: int
    user: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(eq=False)
class Process:
    """One process. ``session`` is the number of the process that leads its session and group.

    Signals in ``ignored`` are dropped, those in ``trapped`` are put into ``caught`` for the shell; all others
    end the process with `Killed`, raised where it waits or at the next `check`.
    """

    kernel: Kernel
    pid: int
    parent: Process | None
    session: int
    user: User
    arguments: tuple[str, ...]
    environment: dict[str, str]
    directory: str
    files: dict[int, OpenFile] = field(default_factory=dict)
    umask: int = 0o022
    ignored: set[int] = field(default_factory=set)
    trapped: set[int] = field(default_factory=set)
    caught: deque[int] = field(default_factory=deque)
    deadly: int = 0
    status: int | None = None
    started: float = 0.0

    def check(self) -> None:
        if self.deadly:
            raise Killed(self.deadly)

    def wait_for(self, condition: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait until the condition holds (True) or the time is over (False); raises Killed."""
        with self.kernel.changed:
            self.kernel.changed.wait_for(lambda: self.deadly != 0 or condition(), seconds)
            self.check()
            return condition()

    def signal(self, number: int) -> None:
        with self.kernel.changed:
            if self.status is not None or number in HARMLESS or number in self.ignored:
                return
            if number in self.trapped:
                self.caught.append(number)
            elif not self.deadly:
                self.deadly = number
            self.kernel.changed.notify_all()

    def path(self, path: str) -> str:
        """A path as the process means it: seen from its working directory."""
        return path if path.startswith("/") or not path else f"{self.directory}/{path}"

    def open(self, descriptor: int, file: OpenFile) -> None:
        """Let a descriptor stand for a file; what it stood for before is closed."""
        with self.kernel.changed:
            file.references += 1
            self.close(descriptor)
            self.files[descriptor] = file

    def close(self, descriptor: int) -> None:
        with self.kernel.changed:
            file = self.files.pop(descriptor, None)
            if file is not None:
                file.references -= 1
                if file.references == 0:
                    file.closed()

    def hold(self, descriptor: int) -> OpenFile | None:
        """Keep the file of a descriptor open whatever happens to it, until `restore`."""
        with self.kernel.changed:
            file = self.files.get(descriptor)
            if file is not None:
                file.references += 1
            return file

    def restore(self, descriptor: int, held: OpenFile | None) -> None:
        """Let a descriptor stand again for what `hold` has kept."""
        with self.kernel.changed:
            if held is None:
                self.close(descriptor)
            else:
                self.open(descriptor, held)
                held.references -= 1

    def file(self, descriptor: int) -> OpenFile:
        found = self.files.get(descriptor)
        if found is None:
            raise failure(errno.EBADF, str(descriptor))
        return found

    def write(self, descriptor: int, data: bytes) -> None:
        self.check()
        self.file(descriptor).write(self, data)

    def open_path(self, path: str, how: str) -> OpenFile:
        """Open a file: ``r`` to read, ``w`` to write it anew, ``a`` to append."""
        files, absolute = self.kernel.files, self.path(path)
        if absolute in ("/dev/stdin", "/dev/stdout", "/dev/stderr"):
            return self.file(("/dev/stdin", "/dev/stdout", "/dev/stderr").index(absolute))
        try:
            if how == "r":
                entry = files.readable(absolute, self.user)
            else:
                mode = 0o666 & ~self.umask
                entry = files.writable(absolute, self.user, mode=mode, truncate=how == "w")
        except OSError as error:
            error.filename = path
            raise
        if entry.kind is Kind.DEVICE:
            return Nothing()
        return Reading(entry.read()) if how == "r" else Writing(files, entry, path)


class Kernel:
    """The process table of one host."""

    def __init__(self, files: FileSystem) -> None:
        self.files = files
        self.changed = threading.Condition(threading.RLock())
        self.processes: dict[int, Process] = {}
        self.history: deque[Started] = deque(maxlen=REMEMBERED)
        self._next_pid = FIRST_PID
        self._threads: set[threading.Thread] = set()
        self._stopped = False

    def spawn(
        self,
        main: Callable[[Process], int],
        *,
        parent: Process | None = None,
        files: Mapping[int, OpenFile] | None = None,
        arguments: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        user: User | None = None,
        directory: str = "/",
        leads_session: bool = False,
    ) -> Process:
        """Start a process. What is not given, files among it, it takes from its parent."""
        with self.changed:
            pid = self._next_pid
            self._next_pid += 1
            process = Process(
                kernel=self,
                pid=pid,
                parent=parent,
                session=pid if leads_session or parent is None else parent.session,
                user=user or (parent.user if parent else ROOT),
                arguments=arguments or (parent.arguments if parent else ()),
                environment=dict(
                    environment if environment is not None else parent.environment if parent else {}
                ),
                directory=parent.directory if parent else directory,
                umask=parent.umask if parent else 0o022,
                ignored=set(parent.ignored) if parent else set(),
                started=time.monotonic(),
            )
            for descriptor, file in (files if files is not None else parent.files if parent else {}).items():
                process.open(descriptor, file)
            self.processes[pid] = process
            if self._stopped:
                process.deadly = Signals.SIGKILL
            thread = threading.Thread(
                target=self._live, args=(process, main), name=f"host-{pid}", daemon=True
            )
            self._threads.add(thread)
            thread.start()
        return process

    def remember(self, process: Process) -> None:
        """Note a command line and an environment that could be seen from now on."""
        self.history.append(
            Started(process.pid, process.user.name, process.arguments, dict(process.environment))
        )

    def kill(self, target: int, number: int, sender: Process | None = None) -> bool:
        """Send a signal to a process, or with ``target`` below 1 to a session. False: there is none."""
        with self.changed:
            session = sender.session if target == 0 and sender else -target
            found = [
                process
                for process in self.processes.values()
                if (process.pid == target if target > 0 else process.session == session)
            ]
            if sender is not None and not sender.user.is_root:
                for process in found:
                    if process.user != sender.user:
                        raise failure(errno.EPERM, str(target))
            if number:
                for process in found:
                    process.signal(number)
            return bool(found)

    def stop(self) -> None:
        """End all processes, and wait until their threads have gone."""
        with self.changed:
            self._stopped = True
            for process in self.processes.values():
                process.deadly = Signals.SIGKILL
            self.changed.notify_all()
            threads = list(self._threads)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(10)

    def _live(self, process: Process, main: Callable[[Process], int]) -> None:
        status = 70  # what is left when this program itself is wrong; the thread then tells why
        try:
            process.check()
            status = main(process)
        except Killed as killed:
            status = 128 + killed.number
        finally:
            with self.changed:
                for descriptor in list(process.files):
                    process.close(descriptor)
                process.status = status
                self.processes.pop(process.pid, None)
                self._threads.discard(threading.current_thread())
                self.changed.notify_all()
