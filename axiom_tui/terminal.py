"""Textual's driver for Unix terminals, but that no key is waited for any more once the program ends.

Textual 8's own looks every tenth of a second whether it shall end, and then waits for another tenth: up to
0.2 s between q and the shell's prompt.
"""

from __future__ import annotations

import contextlib
import os
import select
from codecs import getincrementaldecoder

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

TICK = 0.1  # seconds; within them an escape alone is told from the beginning of a longer sequence
CHUNK = 4096  # bytes


class Terminal(LinuxDriver):
    """Reads keys until `disable_input`; may be started again, as after a suspension."""

    _bell: int | None = None  # write end of the pipe whose read end is waited for beside the keys

    def run_input_thread(self) -> None:
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")(errors="replace").decode
        ring, self._bell = os.pipe()
        try:
            while not self.exit_event.is_set():
                ready, _, _ = select.select([self.fileno, ring], [], [], TICK)
                if self.fileno in ready:
                    data = os.read(self.fileno, CHUNK)
                    if not data:
                        return  # nobody will ever type again
                    if text := decode(data):
                        for event in parser.feed(text):
                            self.process_message(event)
                for event in parser.tick():
                    self.process_message(event)
        finally:
            bell, self._bell = self._bell, None
            os.close(ring)
            os.close(bell)

    def disable_input(self) -> None:
        bell = self._bell
        if bell is not None:
            with contextlib.suppress(OSError):  # the thread has just ended by itself
                os.write(bell, b"\0")
        super().disable_input()
