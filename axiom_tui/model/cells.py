"""What stands in the cells of a fleet row, on screen and in headless tables alike.

A state is a glyph and a word; the style name only helps (colour is never the only signal).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from axiom_tui.model.fleet import Row
from axiom_tui.model.naming import Role
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL
from axiom_tui.model.tailnet import PathKind
from axiom_tui.model.times import age, span

_SPARKS = "▁▂▃▄▅▆▇█"


class Style(StrEnum):
    """How a cell looks; themes give the colours."""

    PLAIN = ""
    OK = "ok"
    WARN = "warn"
    ERROR = "error"
    DIM = "dim"
    ACCENT = "accent"


class Cell(NamedTuple):
    """A text and how it looks."""

    text: str
    style: Style = Style.PLAIN


NOTHING = Cell("-", Style.DIM)


def name(row: Row) -> Cell:
    return Cell(row.name, Style.PLAIN if row.node else Style.DIM)


def role(row: Row) -> Cell:
    return (
        Cell(row.role.value, Style.ACCENT if row.role is Role.SERVER else Style.PLAIN)
        if row.role
        else NOTHING
    )


def architecture(row: Row) -> Cell:
    return Cell(row.architecture) if row.architecture else NOTHING


def status(row: Row) -> Cell:
    """Ready, NotReady, cordoned, deleting, or that it is no node at all."""
    node = row.node
    if node is None and not row.cluster_known:
        return Cell("? unknown", Style.DIM)
    if node is None:
        return Cell("○ no node", Style.DIM)
    if node.deleting:
        return Cell("▲ Deleting", Style.WARN)
    if not node.is_ready:
        return Cell("✗ NotReady", Style.ERROR)
    if node.unschedulable:
        return Cell("▲ Cordoned", Style.WARN)
    return Cell("● Ready", Style.OK)


def tailnet(row: Row, now: datetime) -> Cell:
    """The path from here: kind, latency, or since when it is gone."""
    device = row.device
    if device is None:
        return NOTHING
    if not device.visible_here:
        return Cell("? not visible", Style.DIM)
    last = device.latency.last
    milliseconds = f" {_milliseconds(last)}" if last is not None else ""
    match device.path:
        case PathKind.SELF:
            return Cell("● this machine", Style.OK)
        case PathKind.DIRECT:
            return Cell(f"● direct{milliseconds}", Style.OK)
        case PathKind.DERP:
            return Cell(f"▲ relay {device.relay}{milliseconds}", Style.WARN)
        case PathKind.PEER_RELAY:
            return Cell(f"▲ peer relay{milliseconds}", Style.WARN)
        case PathKind.IDLE:
            return Cell("○ idle", Style.PLAIN)
        case PathKind.OFFLINE:
            return Cell(f"✗ offline {age(device.last_seen, now)}".rstrip(), Style.ERROR)
        case PathKind.EXPIRED:
            return Cell("✗ key expired", Style.ERROR)
        case PathKind.UNKNOWN:
            return Cell("? unknown", Style.DIM)


def latency_history(row: Row, width: int = 8) -> Cell:
    """A sparkline of the last pings; ``·`` is a ping without an answer."""
    samples = row.device.latency.samples[-width:] if row.device else ()
    known = [sample for sample in samples if sample is not None]
    if not known:
        return Cell("", Style.DIM)
    low, high = min(known), max(known)
    scale = (len(_SPARKS) - 1) / (high - low) if high > low else 0.0
    text = "".join("·" if sample is None else _SPARKS[int((sample - low) * scale)] for sample in samples)
    return Cell(text, Style.DIM)


def pool(row: Row) -> Cell:
    """The pool found; a ``!`` says that it is not the one wanted."""
    if row.node is None:
        return Cell("")
    found = row.pool_found
    if not found and row.node.labels.get(POOL_LABEL) and row.node.labels.get(ENABLE_LABEL) != "true":
        found = f"({row.node.labels[POOL_LABEL]})"
    if row.pool_is_right:
        return Cell(found) if found else NOTHING
    return Cell(f"{found or 'none'} !", Style.WARN)


def external_ip(row: Row) -> Cell:
    ips = row.node.external_ips if row.node else ()
    return Cell(", ".join(ips)) if ips else NOTHING


def tailnet_ip(row: Row) -> Cell:
    if row.device and row.device.ipv4:
        return Cell(row.device.ipv4)
    ips = row.node.internal_ips if row.node else ()
    return Cell(ips[0]) if ips else NOTHING


def place(row: Row) -> Cell:
    return Cell(row.place) if row.place else NOTHING


def k3s(row: Row) -> Cell:
    if row.node is None:
        return Cell("")
    wrong = any(finding.rule.startswith("kubelet-") for finding in row.findings)
    return Cell(row.node.kubelet_version or "-", Style.WARN if wrong else Style.PLAIN)


def cpu(row: Row) -> Cell:
    return _share(row.usage.cpu if row.usage else None, row.node.cpu if row.node else 0)


def memory(row: Row) -> Cell:
    return _share(row.usage.memory if row.usage else None, row.node.memory if row.node else 0)


def cpu_share(row: Row) -> float:
    """Between 0 and 1; -1 if unknown (for sorting)."""
    return row.usage.cpu / row.node.cpu if row.usage and row.node and row.node.cpu else -1.0


def memory_share(row: Row) -> float:
    """Between 0 and 1; -1 if unknown (for sorting)."""
    return row.usage.memory / row.node.memory if row.usage and row.node and row.node.memory else -1.0


def node_age(row: Row, now: datetime) -> Cell:
    return Cell(age(row.node.created, now) if row.node else "")


def key_expiry(row: Row, now: datetime) -> Cell:
    """When the Tailscale key ends."""
    device = row.device
    if device is None:
        return NOTHING
    if device.expired:
        return Cell("expired", Style.ERROR)
    if device.key_expiry is None or device.key_expiry_disabled:
        return Cell("never", Style.DIM)
    left = device.key_expiry - now
    return Cell(
        span(left), Style.WARN if any(f.rule == "key-expiring" for f in row.findings) else Style.PLAIN
    )


def taints(row: Row) -> Cell:
    items = row.node.taints if row.node else ()
    return Cell(", ".join(str(taint) for taint in items)) if items else NOTHING


def os_image(row: Row) -> Cell:
    return Cell(row.node.os_image) if row.node else Cell(row.device.os if row.device else "")


def verdict(row: Row) -> Cell:
    if not row.findings:
        return Cell("")
    worst = max(finding.severity for finding in row.findings)
    return Cell(row.verdict, (Style.DIM, Style.WARN, Style.ERROR, Style.ERROR)[worst])


def _share(used: float | None, whole: float) -> Cell:
    if used is None or not whole:
        return NOTHING
    percent = round(100 * used / whole)
    return Cell(f"{percent}%", Style.ERROR if percent >= 95 else Style.WARN if percent >= 85 else Style.PLAIN)


def _milliseconds(value: float) -> str:
    return f"{value:.0f} ms" if value >= 1 else "<1 ms"
