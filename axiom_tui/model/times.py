"""Moments and spans in the short words that fit into a cell."""

from __future__ import annotations

from datetime import datetime, timedelta

_DAY = 86400  # seconds


def clock(when: datetime, now: datetime) -> str:
    """``14:02`` for today, ``20 Nov 14:02`` for earlier, ``20 Nov 2025`` for long ago; in ``now``'s zone."""
    try:
        local = when.astimezone(now.tzinfo)
    except OverflowError:  # the first or last hours that Python knows: somebody's word for "never"
        local = when
    if local.date() == now.date():
        return f"{local:%H:%M}"
    if local.year == now.year:
        return f"{local.day} {local:%b %H:%M}"
    return f"{local.day} {local:%b %Y}"


def span(length: timedelta) -> str:
    """One unit, rounded down: ``12s``, ``4m``, ``3h``, ``212d``; a negative length counts as ``0s``."""
    seconds = max(0, int(length.total_seconds()))
    # "1d" would hide nearly a whole day: 47 h is "47h" until two full days are over.
    if seconds >= 2 * _DAY:
        return f"{seconds // _DAY}d"
    if seconds >= 3600:
        return f"{seconds // 3600}h"
    return f"{seconds // 60}m" if seconds >= 60 else f"{seconds}s"


def age(since: datetime | None, now: datetime) -> str:
    """How long ago, or "" if unknown."""
    return "" if since is None else span(now - since)


def days(length: timedelta) -> str:
    """``within a day``, ``tomorrow`` or ``in 5 days``."""
    count = length.days
    if count <= 0:
        return "within a day"
    return "tomorrow" if count == 1 else f"in {count} days"
