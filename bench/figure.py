"""A figure: what was measured, beside its peer of the same run, and whether the target is reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """``ours`` and ``peer`` have the ``unit``; without a ``limit`` it is printed for information only.

    ``limit`` is for the ratio to the peer when ``limits_ratio``, else for ``ours``.
    """

    what: str
    unit: str
    ours: float
    peer_name: str = ""
    peer: float | None = None
    limit: float | None = None
    limits_ratio: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.ours / self.peer if self.peer else None

    @property
    def reached(self) -> bool | None:
        """None without a target."""
        if self.limit is None:
            return None
        value = self.ratio if self.limits_ratio else self.ours
        return value is not None and value <= self.limit

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio, "reached": self.reached}


@dataclass(frozen=True, slots=True)
class Chapter:
    """Figures that belong together; ``method`` says in a few words what is measured, and how."""

    title: str
    method: str
    figures: Sequence[Figure]


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def text(chapter: Chapter) -> str:
    """The chapter as a person reads it."""
    lines = [chapter.title, f"  {chapter.method}"]
    for figure in chapter.figures:
        line = f"  {figure.what:50}{number(figure.ours):>9} {figure.unit:<4}"
        if figure.peer is not None:
            line += f"{figure.peer_name:>28} {number(figure.peer):>9}  ratio {figure.ratio or 0:6.3f}"
        else:
            line += " " * 53
        if figure.limit is not None:
            unit = "" if figure.limits_ratio else f" {figure.unit}"
            line += f"  at most {figure.limit:g}{unit}: {'reached' if figure.reached else 'NOT REACHED'}"
        lines.append(line.rstrip())
        if figure.note:
            lines.append(f"      {figure.note}")
    return "\n".join(lines)


def middle(values: Sequence[float]) -> float:
    return median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that ``percent`` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
