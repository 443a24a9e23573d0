"""One command on a host: started, fed, read live, waited for with a deadline, and really ended.

Without a terminal an SSH server does not end a command when its channel closes. So each command runs below a
small supervisor, a few lines of plain sh on the host, which hands the command its input, keeps the channel's
input open, and ends the command's whole session (TERM, after 5 s KILL) when that input ends: when this
program closes the channel, is killed, or the connection drops.

On the wire: ``exec sh -c SUPERVISOR axiom-tui READY LENGTH COMMAND`` (with sudo before ``sh``). The host
prints the line READY on both streams before the command's own output, reads LENGTH bytes for the command's
input, and exits with the command's status.
"""

from __future__ import annotations

import secrets
import shlex
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from axiom_tui.clients.ssh_transport import LARGEST_READ, Cancelled, SshFailure, TooSlow, Transport
from axiom_tui.clients.ssh_values import OnOutput, Stream

if TYPE_CHECKING:
    import paramiko

_TICK = 0.1  # seconds between two looks at the cancel flag
_PATIENCE = 2.0  # seconds for a channel to close in good order
_LARGEST_PREAMBLE = 1 << 20  # bytes before READY: what login scripts and sudo say
_LONGEST_LINE = 65_536  # bytes; a longer one is shown in pieces

# In the session of its own that setsid makes, "kill 0" reaches the command and all it started, and nothing
# else. The first half of the pipe gives its process number, then the input; then it waits for the end of
# the channel. The second half runs the command, and then ends the first half. A pipe for the input instead of
# the channel itself, because only so the command sees its input's end while the channel's stays open. The
# shell around both may remark that the first half was killed: that goes nowhere, only the command has stderr.
_SESSION = """exec 4>&2 2>/dev/null
{
  trap "" TERM HUP
  sh -c "echo \\$PPID"
  head -c "$2"
  exec >/dev/null
  read -r _
  kill -TERM 0
  sleep 5
  kill -KILL 0
} 4>&- | {
  exec 2>&4 4>&-
  read -r watcher
  printf "%s\\n" "$1"
  printf "%s\\n" "$1" >&2
  sh -c "$3"
  status=$?
  kill -KILL "$watcher" 2>/dev/null
  exit "$status"
}"""
# Background commands of a shell read from /dev/null; the detour over 3 keeps the channel's input for it.
_SUPERVISOR = f"""exec 3<&0
setsid sh -c '{_SESSION}' axiom-tui "$@" <&3 3<&- &
wait $!"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What to run. ``line`` is what the host's login shell gets; nothing in it is secret.

    ``ready`` empty: the output begins at once. ``prompt`` not empty: when it appears on stderr before READY,
    ``password`` is sent, once; when it appears again, the password was wrong and nothing more is sent.
    """

    line: str
    ready: str = ""
    payload: bytes = b""
    prompt: str = ""
    password: bytes = b""


def supervised(command: str, payload: bytes, before: str = "") -> Call:
    """A call that runs ``command`` below the supervisor; ``before`` stands before ``sh`` (sudo)."""
    ready = f"axiom-tui-ready-{secrets.token_hex(8)}"
    words = ("sh", "-c", _SUPERVISOR, "axiom-tui", ready, str(len(payload)), command)
    return Call(line=f"exec {before}{shlex.join(words)}", ready=ready, payload=payload)


@dataclass(slots=True)
class Outcome:
    """How a call went. ``status`` is -1 when the host gave none; ``started``: READY was seen."""

    status: int = -1
    started: bool = False
    asked: bool = False
    wrong_password: bool = False
    dropped: bool = False
    refused: Exception | None = None
    stdout: bytes = b""
    stderr: bytes = b""


@dataclass(frozen=True, slots=True)
class _Ended:
    error: Exception | None = None


_News = tuple[Stream, bytes] | _Ended


@dataclass(slots=True)
class _Output:
    """One stream as it comes in: first the preamble, from READY on the command's own output."""

    ready: bytes
    preamble: bytearray = field(default_factory=bytearray)
    chunks: list[bytes] = field(default_factory=list)
    started: bool = False
    _line: bytearray = field(default_factory=bytearray)

    def take(self, data: bytes) -> bytes:
        """Add data; gives what of it belongs to the command."""
        if not self.started:
            self.preamble += data
            head, mark, own = bytes(self.preamble).partition(self.ready + b"\n")
            if not mark:
                del self.preamble[:-_LARGEST_PREAMBLE]
                return b""
            self.started, self.preamble, data = True, bytearray(head), own
        self.chunks.append(data)
        return data

    def lines(self, data: bytes) -> list[str]:
        """The lines that ``data`` completes; with no data the last, unfinished one."""
        self._line += data
        *complete, rest = bytes(self._line).split(b"\n")
        if rest and (not data or len(rest) > _LONGEST_LINE):
            complete.append(rest)
            rest = b""
        self._line = bytearray(rest)
        return [line.rstrip(b"\r").decode(errors="replace") for line in complete]


class Execution:
    """Runs one `Call`. Reading and writing happen in threads of their own; all else in the caller's."""

    def __init__(
        self, transport: Transport, call: Call, *, channel_timeout: float, on_output: OnOutput | None
    ) -> None:
        self._transport = transport
        self._call = call
        self._channel_timeout = channel_timeout
        self._on_output = on_output
        self._news: SimpleQueue[_News] = SimpleQueue()
        self._inbox: SimpleQueue[bytes | None] = SimpleQueue()
        self._channel: paramiko.Channel | None = None
        ready = call.ready.encode()
        self._outputs = {stream: _Output(ready, started=not ready) for stream in Stream}
        self._outcome = Outcome()

    def run(self, deadline: float, is_cancelled: Callable[[], bool], abort: Callable[[], None]) -> Outcome:
        """Run until the command ends. Raises TooSlow after ``deadline`` seconds, Cancelled; both end it.

        ``abort`` cuts the connection, where the channel cannot even be closed.
        """
        ends = time.monotonic() + deadline
        feeder = threading.Thread(target=self._feed, name="ssh-command", daemon=True)
        feeder.start()
        try:
            self._follow(ends, is_cancelled)
        except BaseException:
            self._hang_up()
            raise
        finally:
            self._inbox.put(None)
            feeder.join(_PATIENCE)
            if feeder.is_alive():
                abort()
        outcome = self._outcome
        if self._channel is not None:
            outcome.status = self._channel.exit_status if self._channel.status_event.is_set() else -1
        outcome.dropped = outcome.status == -1 and not self._transport.is_active()
        for stream, output in self._outputs.items():
            collected = b"".join(output.chunks if output.started else [bytes(output.preamble)])
            if stream is Stream.STDOUT:
                outcome.stdout = collected
            else:
                outcome.stderr = collected
        outcome.started = self._outputs[Stream.STDOUT].started
        return outcome

    def _follow(self, ends: float, is_cancelled: Callable[[], bool]) -> None:
        while True:
            try:
                news: _News | None = self._news.get(timeout=max(0.0, min(_TICK, ends - time.monotonic())))
            except Empty:
                news = None
            if isinstance(news, _Ended):
                self._outcome.refused = news.error
                for stream in Stream:
                    self._tell(stream, b"")
                return
            if news is not None:
                self._take(*news)
                if self._outcome.wrong_password:
                    return
            if is_cancelled():
                raise Cancelled
            if time.monotonic() >= ends:
                raise TooSlow

    def _take(self, stream: Stream, data: bytes) -> None:
        output = self._outputs[stream]
        before = output.started
        own = output.take(data)
        if stream is Stream.STDERR and self._call.prompt and (not output.started or not self._call.ready):
            self._answer(output)
        if stream is Stream.STDOUT and output.started and not before:
            self._inbox.put(self._call.payload)
        if own:
            self._tell(stream, own)

    def _answer(self, output: _Output) -> None:
        """Give the password to a sudo that asks for it, which it does with our own random prompt."""
        said = bytes(output.preamble) if not output.started else b"".join(output.chunks)
        asked = said.count(self._call.prompt.encode())
        if asked > 1 or (asked and not self._call.password):
            self._outcome.wrong_password = True
        elif asked and not self._outcome.asked:
            self._outcome.asked = True
            self._inbox.put(self._call.password + b"\n")

    def _tell(self, stream: Stream, data: bytes) -> None:
        if self._on_output is not None and self._outputs[stream].started:
            for line in self._outputs[stream].lines(data):
                self._on_output(stream, line)

    def _hang_up(self) -> None:
        """Close the channel under the feeder, which may wait for the command to take more input."""
        if self._channel is not None:
            threading.Thread(target=_close, args=(self._channel,), name="ssh-close", daemon=True).start()

    def _feed(self) -> None:
        """In its own thread: open the channel, start the command, then send what comes into the inbox."""
        try:
            channel = self._transport.open_session(timeout=self._channel_timeout)
        except SshFailure as error:
            self._news.put(_Ended(error))
            return
        self._channel = channel
        try:
            channel.settimeout(None)
            channel.exec_command(self._call.line)
            self._start_reading(channel)
            self._send(channel)
        except SshFailure as error:
            self._news.put(_Ended(error))
        finally:
            _close(channel)

    def _send(self, channel: paramiko.Channel) -> None:
        while (data := self._inbox.get()) is not None:
            try:
                channel.sendall(data)
            except SshFailure:
                # A command that ends without reading all its input is no failure, and a connection that
                # ends is told by the readers.
                return

    def _start_reading(self, channel: paramiko.Channel) -> None:
        def read_errors() -> None:
            while data := channel.recv_stderr(LARGEST_READ):
                self._news.put((Stream.STDERR, data))

        def read_output() -> None:
            while data := channel.recv(LARGEST_READ):
                self._news.put((Stream.STDOUT, data))
            errors.join()
            # The status may come after the end of both streams (tailscale#18256).
            channel.status_event.wait()
            self._news.put(_Ended())

        errors = threading.Thread(target=read_errors, name="ssh-stderr", daemon=True)
        errors.start()
        threading.Thread(target=read_output, name="ssh-stdout", daemon=True).start()


def _close(channel: paramiko.Channel) -> None:
    try:
        channel.close()
    except SshFailure:
        return  # the connection ended before it could be told
