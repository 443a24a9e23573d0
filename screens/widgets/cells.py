"""Cells of a table: text with named styles, made safe to show and fitted to a width in terminal cells."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from rich.cells import cell_len, set_cell_size

#: Names of the component classes ``fleet-table--cell-<name>``; "" is the table's own style.
StyleName: TypeAlias = Literal["", "ok", "warn", "error", "dim", "accent"]
Align: TypeAlias = Literal["left", "right"]


class Span(NamedTuple):
    """A piece of text in one style."""

    text: str
    style: StyleName = ""


#: What a column's ``cell`` gives: plain text, styled text, or several pieces one after the other.
CellValue: TypeAlias = str | Span | tuple[Span, ...]
#: A cell ready to be drawn: clean text, together exactly as wide as its column.
FittedCell: TypeAlias = tuple[Span, ...]

ELLIPSIS = "…"
_SPACES = frozenset("\t\n\v\f\r\u2028\u2029\x85")
#: Presentation selectors: terminals disagree on the width that they give to the character before.
_SELECTORS = ("\ufe0e", "\ufe0f")


def visible_text(text: str) -> str:
    """Text from outside with nothing in it that could steer the terminal or shift the line.

    Control characters become their Unicode pictures (ESC is ``␛``), line breaks and tabs become spaces.
    Invisible format characters are removed: bidi overrides can make a name look like another, and on
    joiners and presentation selectors terminals disagree by whole cells. What remains has an additive
    width: the width of a text is the sum of its characters' widths.
    """
    if text.isprintable() and not any(selector in text for selector in _SELECTORS):
        return text
    return "".join(map(_visible_character, text))


def visible_lines(text: str) -> str:
    """The same for text of several lines, which it keeps."""
    return "\n".join(visible_text(line) for line in text.split("\n"))


@lru_cache(maxsize=1024)
def _visible_character(character: str) -> str:
    if character in _SPACES:
        return " "
    if character in _SELECTORS:
        return ""
    category = unicodedata.category(character)
    if category == "Cc":
        code = ord(character)
        return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else "�"
    if category == "Cf":
        return ""
    if category in ("Cs", "Co", "Cn"):
        return "�"
    if category in ("Zs", "Zl", "Zp"):
        return " "
    return character


def spans_of(value: CellValue) -> tuple[Span, ...]:
    """The pieces of a cell, each made safe to show."""
    if isinstance(value, str):
        return (Span(visible_text(value)),)
    if isinstance(value, Span):
        return (Span(visible_text(value.text), value.style),)
    return tuple(Span(visible_text(text), style) for text, style in value)


@lru_cache(maxsize=8192)
def natural_width(value: CellValue) -> int:
    """Width in terminal cells that the whole cell would need."""
    return sum(cell_len(span.text) for span in spans_of(value))


@lru_cache(maxsize=16384)
def fit(value: CellValue, width: int, align: Align = "left") -> FittedCell:
    """The cell padded or cut (with an ellipsis) to exactly ``width`` terminal cells.

    Padding takes the style of the text beside it: blanks look the same in any colour, and fewer changes
    of style are fewer bytes to the terminal.
    """
    spans = [span for span in spans_of(value) if span.text]
    if width <= 0:
        return ()
    if not spans:
        return (Span(" " * width),)
    spare = width - sum(cell_len(span.text) for span in spans)
    if spare < 0:
        spans = _cut(spans, width - 1)
        spare = width - sum(cell_len(span.text) for span in spans)
    if spare:
        if align == "right":
            first = spans[0]
            spans[0] = Span(" " * spare + first.text, first.style)
        else:
            last = spans[-1]
            spans[-1] = Span(last.text + " " * spare, last.style)
    return tuple(spans)


def _cut(spans: list[Span], width: int) -> list[Span]:
    """As much of the spans as ``width`` cells hold, with an ellipsis after it."""
    kept: list[Span] = []
    for text, style in spans:
        length = cell_len(text)
        if length <= width:
            kept.append(Span(text, style))
            width -= length
            continue
        part = set_cell_size(text, width) if width else ""
        if not text.startswith(part):
            part = part[:-1]  # half of a wide character was filled up with a blank
        kept.append(Span(part + ELLIPSIS, style))
        return kept
    return kept


def plain(value: CellValue) -> str:
    """The text of a cell without its styles, for searching."""
    return "".join(span.text for span in spans_of(value))
