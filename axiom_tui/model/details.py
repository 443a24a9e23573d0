"""All that is known of one row, in sections of labelled lines: the details of the Nodes screen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from axiom_tui.model.cells import Cell, Style, key_expiry, latency_history, status, tailnet
from axiom_tui.model.fleet import Observation, Row
from axiom_tui.model.masking import mask
from axiom_tui.model.node import NODE_ARGS_ANNOTATION, Event, Node, Pod
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL, found_labels, labels_for
from axiom_tui.model.tailnet import TailnetDevice
from axiom_tui.model.times import age, clock


@dataclass(frozen=True, slots=True)
class Line:
    """One labelled line; ``label`` may be empty for a line that continues or stands alone."""

    label: str
    cell: Cell


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is only asked for when details are opened; None means that the answer is still awaited."""

    events: tuple[Event, ...] | None = None
    events_problem: str = ""
    dns_name: str = ""
    dns: tuple[str, ...] | None = None
    dns_problem: str = ""


def details(row: Row, seen: Observation, asked: Asked, now: datetime) -> tuple[Section, ...]:
    """The sections of one row, the most urgent first."""
    sections = [_findings(row)]
    if row.node is not None:
        sections += [_kubernetes(row, row.node, now), _pool(row, row.node), _flags(row.node)]
    if row.device is not None:
        sections.append(_tailnet(row, row.device, now))
    sections.append(_dns(asked))
    if row.node is not None:
        sections += [_pods([pod for pod in seen.pods if pod.node == row.key]), _events(asked, now)]
    return tuple(section for section in sections if section.lines)


def k3s_flags(node: Node) -> tuple[str, ...]:
    """The effective K3s arguments of the node (annotation ``k3s.io/node-args``, secrets masked by K3s)."""
    text = node.annotations.get(NODE_ARGS_ANNOTATION, "")
    try:
        words = json.loads(text) if text else []
    except ValueError:
        return (mask(text),)
    if not isinstance(words, list):
        return (mask(text),)
    flags: list[str] = []
    for word in map(str, words):
        if flags and not word.startswith("-") and flags[-1].startswith("-") and " " not in flags[-1]:
            flags[-1] = f"{flags[-1]} {word}"
        else:
            flags.append(word)
    # K3s masks what it knows to be secret; this is for what it does not know.
    return tuple(mask(flag) for flag in flags)


def _findings(row: Row) -> Section:
    lines = []
    for finding in row.findings:
        style = (Style.DIM, Style.WARN, Style.ERROR, Style.ERROR)[finding.severity]
        lines.append(Line(finding.severity.word, Cell(finding.sentence, style)))
        lines.append(Line("", Cell(finding.remedy)))
    return Section("What is wrong", tuple(lines) or (Line("", Cell("Nothing: all in order.", Style.OK)),))


def _kubernetes(row: Row, node: Node, now: datetime) -> Section:
    lines = [
        Line("node", Cell(node.name)),
        Line("status", status(row)),
        Line("role", Cell(f"{row.role}{', ' + row.place if row.place else ''}")),
        Line("system", Cell(f"{node.architecture}, {node.os_image}, kernel {node.kernel_version}")),
        Line("kubelet", Cell(f"{node.kubelet_version}, {node.container_runtime}")),
        Line(
            "created", Cell(f"{clock(node.created, now)} ({age(node.created, now)})" if node.created else "-")
        ),
        Line("internal IP", Cell(", ".join(node.internal_ips) or "-")),
        Line("external IP", Cell(", ".join(node.external_ips) or "-")),
        Line("taints", Cell(", ".join(map(str, node.taints)) or "none")),
    ]
    if row.usage is not None:
        lines.append(
            Line(
                "in use",
                Cell(
                    f"{row.usage.cpu:.2f} of {node.cpu:g} cores, "
                    f"{_gib(row.usage.memory)} of {_gib(node.memory)}"
                ),
            )
        )
    for condition in node.conditions:
        good = "True" if condition.type in ("Ready", "EtcdIsVoter") else "False"
        since = f" since {clock(condition.since, now)}" if condition.since else ""
        text = f"{condition.status}{since}"
        if condition.status != good:
            text += f": {condition.message or condition.reason}"
        lines.append(
            Line(condition.type, Cell(text, Style.PLAIN if condition.status == good else Style.ERROR))
        )
    return Section("Kubernetes", tuple(lines))


def _pool(row: Row, node: Node) -> Section:
    found, wanted = found_labels(node), labels_for(row.pool_wanted)
    lines = []
    for key in (ENABLE_LABEL, POOL_LABEL):
        is_right = found[key] == wanted[key]
        text = found[key] or "absent"
        if not is_right:
            text += f", should be {wanted[key] or 'absent'}"
        lines.append(Line(key.rpartition("/")[2], Cell(text, Style.PLAIN if is_right else Style.WARN)))
    return Section("Load-balancer labels", tuple(lines))


def _flags(node: Node) -> Section:
    return Section("K3s flags", tuple(Line("", Cell(flag)) for flag in k3s_flags(node)))


def _tailnet(row: Row, device: TailnetDevice, now: datetime) -> Section:
    history = latency_history(row, 20).text
    lines = [
        Line("device", Cell(device.dns_name or device.name)),
        Line("path", tailnet(row, now)),
        Line("endpoint", Cell(device.endpoint or "-")),
        Line("relay", Cell(device.relay or "-")),
        Line("latency", Cell(history or "not measured")),
        Line("addresses", Cell(", ".join(device.addresses) or "-")),
        Line("key expiry", _expiry(row, device, now)),
        Line("tags", Cell(", ".join(device.tags) or "none (owned by a user)")),
        Line("client", Cell(device.client_version or "-")),
        Line("Tailscale SSH", Cell("on" if device.has_ssh else "off, or not visible from here")),
    ]
    if device.authorized is False:
        lines.append(Line("approval", Cell("waiting", Style.WARN)))
    return Section("Tailnet", tuple(lines))


def _expiry(row: Row, device: TailnetDevice, now: datetime) -> Cell:
    short = key_expiry(row, now)
    if device.key_expiry is None or device.key_expiry_disabled:
        return short
    return Cell(f"{clock(device.key_expiry, now)} (in {short.text})", short.style)


def _dns(asked: Asked) -> Section:
    if not asked.dns_name:
        return Section("DNS", ())
    if asked.dns_problem:
        cell = Cell(asked.dns_problem, Style.WARN)
    elif asked.dns is None:
        cell = Cell("asking …", Style.DIM)
    else:
        cell = Cell(", ".join(asked.dns) or "no address")
    return Section("DNS", (Line("name", Cell(asked.dns_name)), Line("resolves to", cell)))


def _pods(pods: Sequence[Pod]) -> Section:
    """Counted by priority class: what would be evicted last comes first."""
    classes: dict[str, int] = {}
    counts: Counter[str] = Counter()
    unready: Counter[str] = Counter()
    for pod in pods:
        name = pod.priority_class or "no priority class"
        classes[name] = pod.priority or 0
        counts[name] += 1
        unready[name] += not pod.ready and pod.phase != "Succeeded"
    lines = []
    for name in sorted(classes, key=lambda name: (-classes[name], name)):
        bad = f", {unready[name]} not ready" if unready[name] else ""
        lines.append(
            Line(
                name,
                Cell(
                    f"{counts[name]} {'pod' if counts[name] == 1 else 'pods'}{bad}",
                    Style.WARN if bad else Style.PLAIN,
                ),
            )
        )
    return Section("Pods", tuple(lines) or (Line("", Cell("none")),))


def _events(asked: Asked, now: datetime) -> Section:
    if asked.events_problem:
        lines: Iterable[Line] = (Line("", Cell(asked.events_problem, Style.WARN)),)
    elif asked.events is None:
        lines = (Line("", Cell("asking …", Style.DIM)),)
    else:
        newest = sorted(
            asked.events, key=lambda event: event.at.timestamp() if event.at else 0.0, reverse=True
        )
        lines = [_event(event, now) for event in newest[:10]] or [Line("", Cell("none in the last hour"))]
    return Section("Events", tuple(lines))


def _event(event: Event, now: datetime) -> Line:
    times = f" ({event.count} times)" if event.count > 1 else ""
    style = Style.WARN if event.type == "Warning" else Style.PLAIN
    return Line(
        clock(event.at, now) if event.at else "", Cell(f"{event.reason}: {event.message}{times}", style)
    )


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
