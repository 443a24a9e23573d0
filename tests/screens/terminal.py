"""A terminal for tests: it shows what an app has written to it, so that forgotten repaints are seen."""

from __future__ import annotations

import re

from rich.cells import cell_len
from textual.drivers.headless_driver import HeadlessDriver

_TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b\][^\x1b]*\x1b\\|([^\x1b])", re.DOTALL)


class Terminal:
    """Cells of a character and its colours, driven by the few sequences that Textual writes."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.cells: list[list[tuple[str, str]]] = [[(" ", "")] * width for _ in range(height)]
        self._x = self._y = 0
        self._style = ""

    def feed(self, data: str) -> None:
        for parameters, final, character in _TOKEN.findall(data):
            if final == "H":
                y, x = (int(number) for number in parameters.split(";"))
                self._x, self._y = x - 1, y - 1
            elif final == "m":
                self._style = "" if parameters in ("", "0") else parameters
            elif character == "\n":
                self._y += 1
            elif character:
                self._put(character)

    def _put(self, character: str) -> None:
        cells = cell_len(character)
        if self._y >= len(self.cells) or self._x + cells > self.width:
            return
        line = self.cells[self._y]
        if not cells:
            before, style = line[self._x - 1]
            line[self._x - 1] = (before + character, style)
            return
        line[self._x] = (character, self._style)
        for x in range(self._x + 1, self._x + cells):
            line[x] = ("", self._style)
        self._x += cells

    @property
    def text(self) -> list[str]:
        return ["".join(character for character, _ in line).rstrip() for line in self.cells]

    @property
    def looks(self) -> list[list[tuple[str, str]]]:
        """Characters with their styles; of a blank only what is seen of it (its paper)."""
        return [
            [(character, _paper(style) if character == " " else style) for character, style in line]
            for line in self.cells
        ]


def _paper(style: str) -> str:
    reverse = "7" in style.split(";")[:1]
    return style if reverse else ";".join(re.findall(r"48;2;\d+;\d+;\d+|48;5;\d+|\b4[0-79]\b", style))


class RecordingDriver(HeadlessDriver):
    """A driver without a terminal that keeps what is written. Each app under test makes one."""

    written: list[str]

    @property
    def is_headless(self) -> bool:
        return False  # else Textual would not render at all

    def write(self, data: str) -> None:
        self.__dict__.setdefault("written", []).append(data)
