"""The header in words: which cluster, how many nodes, and how live each plane is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from axiom_tui.model.cells import Cell, Style
from axiom_tui.model.fleet import Fleet, SourceState, SourceStatus
from axiom_tui.model.naming import Role
from axiom_tui.model.times import age, clock

#: The planes of the header and the sources that each is made of; the first is the one that must be live.
PLANES = (
    ("K8s", ("nodes", "pods", "services", "daemonsets", "priorityclasses")),
    ("Tailnet", ("tailnet",)),
)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows of each kind there are."""

    servers: int = 0
    agents: int = 0
    devices: int = 0


def counts(fleet: Fleet) -> Counts:
    roles = [row.role for row in fleet.rows if row.node is not None]
    servers = roles.count(Role.SERVER)
    return Counts(servers, len(roles) - servers, len(fleet.rows) - len(roles))


def size(fleet: Fleet) -> str:
    """``3 servers · 7 agents``; "" before the nodes are known."""
    found = counts(fleet)
    if not found.servers and not found.agents:
        return ""
    return f"{_count(found.servers, 'server')} · {_count(found.agents, 'agent')}"


def planes(fleet: Fleet, now: datetime) -> tuple[Cell, ...]:
    """One cell a plane: ``K8s ● live``, ``K8s ▲ stale 3m``, ``Tailnet ✗ failed``."""
    return tuple(
        _plane(title, [status for name in names if (status := fleet.source(name))], now)
        for title, names in PLANES
    )


def findings(fleet: Fleet) -> Cell:
    if not fleet.findings:
        return Cell("✓ no findings" if fleet.rows else "", Style.OK)
    worst = fleet.findings[0].severity
    style = (Style.PLAIN, Style.WARN, Style.ERROR, Style.ERROR)[worst]
    return Cell(f"! {_count(len(fleet.findings), 'finding')}", style)


def troubles(fleet: Fleet, now: datetime) -> tuple[str, ...]:
    """One line for each source that is not live, with its reason, its age and when it tries again.

    Sources that fail for the same reason share a line. What is off is no trouble, but without Tailscale on
    this machine the nodes cannot be judged: that is said too.
    """
    lines: dict[str, list[SourceStatus]] = {}
    for status in fleet.sources:
        off = status.state is SourceState.OFF and status.name == "tailnet"
        if status.problem is not None and (off or status.state in (SourceState.STALE, SourceState.FAILED)):
            lines.setdefault(str(status.problem), []).append(status)
    return tuple(_trouble(text, statuses, now) for text, statuses in lines.items())


def _trouble(text: str, statuses: list[SourceStatus], now: datetime) -> str:
    names = ", ".join(status.name for status in statuses)
    good = [status.last_good for status in statuses if status.last_good]
    parts = [f"{names}: {text}"]
    if good:
        parts.append(f"Shown is what was true at {clock(min(good), now)} ({age(min(good), now)} ago).")
    retries = [status.retry_at for status in statuses if status.retry_at and status.retry_at > now]
    if retries:
        parts.append(f"Next try at {min(retries).astimezone(now.tzinfo):%H:%M:%S}.")
    return " ".join(parts)


def turns(before: Fleet, after: Fleet) -> tuple[str, ...]:
    """What changed in how the sources are, for the message log: one line each, with the reason.

    What was off from the beginning (an API that is not installed) is no news.
    """
    old = {status.name: (status.state, status.problem) for status in before.sources}
    lines = []
    for status in after.sources:
        if old.get(status.name) in (None, (status.state, status.problem)) and status.problem is None:
            continue
        if old.get(status.name) == (status.state, status.problem):
            continue
        was = old.get(status.name, (SourceState.LOADING, None))[0]
        if status.state is SourceState.OFF and status.name != "tailnet" and was in _UNKNOWN:
            continue
        if status.state is SourceState.LIVE and old.get(status.name, (None, None))[1] is None:
            continue  # it came up as it should
        reason = f": {status.problem}" if status.problem is not None else ""
        lines.append(f"{'source':<11}  {status.name} is {status.state}{reason}")
    return tuple(lines)


def _plane(title: str, statuses: Iterable[SourceStatus], now: datetime) -> Cell:
    """The first source says how the plane is; what stands beside it can only make it ``partly``."""
    known = list(statuses)
    if not known:
        return Cell(f"{title} …", Style.DIM)
    first = known[0]
    match first.state:
        case SourceState.LIVE if any(_BADNESS[status.state] > 2 for status in known[1:]):
            return Cell(f"{title} ▲ partly", Style.WARN)
        case SourceState.LIVE:
            return Cell(f"{title} ● live", Style.OK)
        case SourceState.LOADING:
            return Cell(f"{title} … reading", Style.DIM)
        case SourceState.STALE:
            return Cell(f"{title} ▲ stale {age(first.last_good, now)}".rstrip(), Style.WARN)
        case SourceState.FAILED:
            return Cell(f"{title} ✗ failed", Style.ERROR)
        case SourceState.OFF:
            return Cell(f"{title} ○ off", Style.DIM)


#: Nothing was known of a source yet.
_UNKNOWN = (SourceState.LOADING, SourceState.OFF)
_BADNESS = {
    SourceState.LIVE: 0,
    SourceState.OFF: 1,
    SourceState.LOADING: 2,
    SourceState.STALE: 3,
    SourceState.FAILED: 4,
}


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
