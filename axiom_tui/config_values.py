"""How one setting is written: text of the file into a value of the type that the schema names, and back."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from axiom_tui.config import SecretReference

if TYPE_CHECKING:
    import yaml

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) *(ms|s|m|h|d) *")
_WHOLE_NUMBER = re.compile(r"[-+]?[0-9]{1,18}")


def tilde(path: Path) -> str:
    """The path as a person writes it, with ``~`` for the own home."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)


def parse_duration(text: str) -> timedelta | None:
    """``30s``, ``1h 30m``, ``14d``, ``250ms``; None for anything else."""
    position, seconds = 0, 0.0
    text = text.strip()
    while match := _DURATION_PART.match(text, position):
        seconds += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if not text or position != len(text):
        return None
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        return None


def format_duration(value: timedelta) -> str:
    """The shortest spelling that `parse_duration` reads back to the same value."""
    milliseconds = round(value / timedelta(milliseconds=1))
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"


def convert(node: yaml.ScalarNode, text: str, kind: Any, path: Path) -> Any:
    """The scalar as ``kind``; None if it is none."""
    tag = node.tag.rsplit(":", 1)[-1]
    if kind is bool:
        return text.lower() in ("true", "yes", "on") if tag == "bool" else None
    if kind is int:
        return int(text) if tag == "int" and _WHOLE_NUMBER.fullmatch(text) else None
    if tag != "str":
        return None
    if kind is timedelta:
        return parse_duration(text)
    if kind is Path:
        return _path(text, path)
    if kind is SecretReference:
        return _reference(text, path)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return next((item for item in kind if item.value == text), None)
    return text if text.isprintable() else None


def _path(text: str, settings_file: Path) -> Path | None:
    if not text.strip() or not text.isprintable():
        return None
    try:
        return settings_file.parent / Path(text).expanduser()
    except RuntimeError:  # ~somebody, who is not there
        return None


def _reference(text: str, settings_file: Path) -> SecretReference | None:
    scheme, _, place = text.partition(":")
    if scheme == "env" and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", place):
        return SecretReference(scheme, place)
    if scheme == "file" and (path := _path(place, settings_file)):
        return SecretReference(scheme, str(path))
    return None


def expected(kind: Any) -> str:
    if kind is bool:
        return "true or false"
    if kind is int:
        return "a whole number"
    if kind is timedelta:
        return "a duration such as 30s, 5m, 12h or 14d"
    if kind is Path:
        return "the path of a file"
    if kind is SecretReference:
        return "where the secret is: file:/path or env:NAME"
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return " or ".join(item.value for item in kind) if len(kind) < 3 else f"one of {listed(kind)}"
    return "text (numbers, dates, true and false in quotes)"


def listed(names: Iterable[str]) -> str:
    """``a, b and c``."""
    *most, last = [str(name) for name in names]
    return f"{', '.join(most)} and {last}" if most else last
