"""Redirections of the simulated sh: which files the descriptors of a command stand for."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from axiom_tui.simulator.hosts.expansion import ExpansionProblem, expand_text
from axiom_tui.simulator.hosts.kernel import OpenFile, Pipe
from axiom_tui.simulator.hosts.syntax import Redirection

if TYPE_CHECKING:
    from axiom_tui.simulator.hosts.shell import Shell


@contextmanager
def redirected(shell: Shell, redirections: Sequence[Redirection]) -> Iterator[None]:
    saved: list[tuple[int, OpenFile | None]] = []
    try:
        for redirection in redirections:
            saved.append((redirection.descriptor, shell.process.hold(redirection.descriptor)))
            redirect(shell, redirection)
        yield
    finally:
        for descriptor, held in reversed(saved):
            shell.process.restore(descriptor, held)


def redirect(shell: Shell, redirection: Redirection) -> None:
    operator, descriptor = redirection.operator, redirection.descriptor
    target = expand_text(shell, redirection.target)
    if operator == "<<":
        pipe = Pipe(shell.process.kernel)
        pipe.data += target.encode(errors="surrogateescape")
        pipe.is_written = False
        shell.process.open(descriptor, pipe.reader)
    elif operator in ("<&", ">&"):
        if target == "-":
            shell.process.close(descriptor)
        elif target.isdigit():
            shell.process.open(descriptor, shell.process.file(int(target)))
        else:
            raise ExpansionProblem("Bad fd number")
    else:
        how = {"<": "r", ">>": "a", "<>": "r"}.get(operator, "w")
        shell.process.open(descriptor, shell.process.open_path(target, how))


def redirection_problem(error: OSError) -> str:
    """As dash words it; it knows three reasons by name."""
    if error.errno == errno.EBADF:
        return f"{error.filename}: Bad file descriptor"
    if error.errno == errno.EPIPE:
        return "write error: Broken pipe"
    return f"cannot open {error.filename}: {error.strerror}"
