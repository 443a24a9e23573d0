"""A terminal's driver in its usual mode (termios(3): ICANON, ECHO, ISIG, ONLCR), for who logs in by hand.

A line is echoed and edited here, and the program gets it when it is whole.
"""

from __future__ import annotations

from collections.abc import Callable

#: What a login shell is on a terminal: it asks for a line, runs it, and outlives ctrl+c.
INTERACTIVE = (
    b"trap : INT; "
    b'while printf \'%s@%s:~$ \' "$(id -un)" "$(hostname)" && IFS= read -r line; do eval "$line"; done'
)
INTERRUPT, END, KILL_LINE = 0x03, 0x04, 0x15
ERASE = (0x08, 0x7F)
ESCAPE = 0x1B


class LineDiscipline:
    """Takes what is typed; gives whole lines. ``echo`` shows, ``interrupt`` is ctrl+c."""

    def __init__(self, echo: Callable[[bytes], None], interrupt: Callable[[], None]) -> None:
        self._echo, self._interrupt = echo, interrupt
        self._line = bytearray()
        self._escape = 0  # bytes of a key like an arrow that are still to come
        self.ended = False  # ctrl+d on an empty line

    def take(self, typed: bytes) -> bytes:
        """What the program gets of this."""
        given = bytearray()
        for byte in typed:
            if self._escape:
                self._escape -= 1
            elif byte == ESCAPE:
                self._escape = 2
            elif byte in b"\r\n":
                self._echo(b"\r\n")
                given += self._line + b"\n"
                self._line.clear()
            elif byte in ERASE:
                self._erase(1)
            elif byte == KILL_LINE:
                self._erase(len(self._line))
            elif byte == INTERRUPT:
                self._line.clear()
                self._echo(b"^C\r\n")
                self._interrupt()
            elif byte == END:
                if not self._line:
                    self.ended = True
                    break
                given += self._line
                self._line.clear()
            elif byte >= 0x20:
                self._line.append(byte)
                self._echo(bytes([byte]))
        return bytes(given)

    def _erase(self, count: int) -> None:
        for _ in range(min(count, len(self._line))):
            self._line.pop()
            self._echo(b"\b \b")


def shown(output: bytes) -> bytes:
    """Output as the terminal gets it: each line begins at its left end."""
    return output.replace(b"\n", b"\r\n")
