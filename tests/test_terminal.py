"""The terminal driver on a real pseudo-terminal: keys as Textual's own reads them, and an end at once."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

DEADLINE = 30.0

CHILD = """
import sys
from textual.app import App
from axiom_tui.terminal import Terminal

class Keys(App):
    def say(self, text):
        print(text, file=pipe, flush=True)
    def on_ready(self):
        self.say("ready")
    def on_paste(self, event):
        self.say("paste " + event.text)
    def on_key(self, event):
        self.say(event.character if event.is_printable else event.key)
        if event.key == "s":
            with self.suspend():
                self.say("suspended")
            self.say("resumed")
        if event.key == "q":
            self.exit()

pipe = open(int(sys.argv[1]), "w")
app = Keys(driver_class=Terminal)
app.run()
print("left", app._driver._bell, file=pipe, flush=True)
"""


class Child:
    """The program with its terminal, and what it says."""

    def __init__(self, master: int, said: int, process: subprocess.Popen[bytes]) -> None:
        self._master, self._said, self.process = master, said, process
        self._text = ""

    def type(self, data: bytes) -> None:
        os.write(self._master, data)

    def says(self, *lines: str) -> None:
        """Wait until it has said exactly these lines since the last time."""
        wanted = "".join(f"{line}\n" for line in lines)
        ends = time.monotonic() + DEADLINE
        while len(self._text) < len(wanted) and time.monotonic() < ends:
            ready, _, _ = select.select([self._master, self._said], [], [], 0.1)
            if self._master in ready:
                os.read(self._master, 65536)  # what it draws
            if self._said in ready:
                self._text += os.read(self._said, 65536).decode()
        assert self._text == wanted
        self._text = ""


@contextmanager
def running() -> Iterator[Child]:
    master, slave = pty.openpty()
    said, saying = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(saying)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        pass_fds=[saying],
        env={**os.environ, "TERM": "xterm-256color"},
        start_new_session=True,
    )
    os.close(slave)
    os.close(saying)
    try:
        yield Child(master, said, process)
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(said)


def test_keys_are_read_as_they_are_typed() -> None:
    with running() as child:
        child.says("ready")
        child.type(b"a\x1b[B")
        child.says("a", "down")
        child.type(b"\x1b")  # alone, it is told from a sequence by the time that passes
        child.says("escape")
        child.type(b"\x1b[200~one two\x1b[201~z")
        child.says("paste one two", "z")


def test_letters_of_more_than_one_byte() -> None:
    with running() as child:
        child.says("ready")
        child.type("é€𝄞".encode())
        child.says("é", "€", "𝄞")


def test_keys_are_read_again_after_a_suspension() -> None:
    with running() as child:
        child.says("ready")
        child.type(b"s")
        child.says("s", "suspended", "resumed")
        child.type(b"b")
        child.says("b")


def test_leaving_ends_the_reading() -> None:
    with running() as child:
        child.says("ready")
        child.type(b"q")
        child.says("q", "left None")
        assert child.process.wait(DEADLINE) == 0
