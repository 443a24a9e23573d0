"""Programs of the simulated hosts: how one is written, and the table in which all of them stand.

To add a program: write ``def name(run: Run) -> int`` (the exit status), decorate it with ``@program("name")``
in one of the modules of `axiom_tui.simulator.hosts.programs`, and every host has it in /usr/bin.
"""

from __future__ import annotations

import getopt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from axiom_tui.simulator.hosts.files import Entry, FileSystem, User
from axiom_tui.simulator.hosts.kernel import Process

if TYPE_CHECKING:
    from axiom_tui.simulator.hosts.host import Host

Program = Callable[["Run"], int]
PROGRAMS: dict[str, Program] = {}
#: What a file in memory begins with when it stands for a program of the table: the mark and its name.
MARK = b"\x7fELF simulated "


def program(*names: str) -> Callable[[Program], Program]:
    def add(function: Program) -> Program:
        for name in names:
            PROGRAMS[name] = function
        return function

    return add


class Failure(Exception):
    """The program ends with a message on stderr."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a program: ``name`` as it was called, ``arguments`` without it.

    ``binary`` is what the program's file says of itself (version and architecture of K3s).
    """

    host: Host
    process: Process
    name: str
    arguments: Sequence[str]
    binary: tuple[str, ...] = ()

    @property
    def files(self) -> FileSystem:
        return self.process.kernel.files

    @property
    def user(self) -> User:
        return self.process.user

    @property
    def environment(self) -> dict[str, str]:
        return self.process.environment

    def write(self, text: str | bytes) -> None:
        self._write(1, text)

    def line(self, text: str = "") -> None:
        self._write(1, text + "\n")

    def say(self, text: str) -> None:
        """Write a line to standard error."""
        self._write(2, text + "\n")

    def complain(self, message: str) -> None:
        """Write ``name: message`` to standard error."""
        self.say(f"{self.name}: {message}")

    def _write(self, descriptor: int, text: str | bytes) -> None:
        data = text if isinstance(text, bytes) else text.encode(errors="surrogateescape")
        if data and descriptor in self.process.files:
            self.process.write(descriptor, data)

    def input(self) -> Iterator[bytes]:
        """Standard input in pieces, as they come."""
        source = self.process.file(0)
        while piece := source.read(self.process, 65_536):
            yield piece

    def all_input(self) -> bytes:
        return b"".join(self.input())

    def read(self, path: str) -> bytes:
        """A whole file; ``-`` is standard input."""
        if path in ("-", "/dev/stdin"):
            return self.all_input()
        entry = self.entry(path)
        if not entry.allows(self.user, 4):
            self.files.readable(self.process.path(path), self.user)  # says why not
        try:
            return self.files.read(self.process.path(path), self.user)
        except OSError as error:
            error.filename = path
            raise

    def text(self, path: str) -> str:
        return self.read(path).decode(errors="surrogateescape")

    def entry(self, path: str, *, follow: bool = True) -> Entry:
        try:
            return self.files.entry(self.process.path(path), self.user, follow=follow)
        except OSError as error:
            error.filename = path
            raise

    def put(self, path: str, content: bytes, mode: int | None = None) -> None:
        """Write a whole file as this process may."""
        absolute = self.process.path(path)
        new_mode = 0o666 & ~self.process.umask if mode is None else mode
        try:
            entry = self.files.writable(absolute, self.user, mode=new_mode)
            self.files.store(entry, content, path)
        except OSError as error:
            error.filename = path
            raise

    def options(self, short: str, long: Sequence[str] = ()) -> tuple[dict[str, str], list[str]]:
        """Options (the last of each counts) and the other words; options may stand anywhere."""
        return self._options(getopt.gnu_getopt, short, long)

    def leading_options(self, short: str, long: Sequence[str] = ()) -> tuple[dict[str, str], list[str]]:
        """As `options`, for programs whose options end at the first other word."""
        return self._options(getopt.getopt, short, long)

    def _options(
        self, parse: Callable[..., tuple[list[tuple[str, str]], list[str]]], short: str, long: Sequence[str]
    ) -> tuple[dict[str, str], list[str]]:
        try:
            found, rest = parse(list(self.arguments), short, list(long))
        except getopt.GetoptError as error:
            option = error.opt
            kind = (
                f"invalid option -- '{option}'" if len(option) == 1 else f"unrecognized option '--{option}'"
            )
            raise Failure(kind, 2 if self.name == "grep" else 1) from error
        return dict(found), rest
