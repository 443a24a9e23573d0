"""`axiom-tui nodes` and `axiom-tui findings`: the fleet for pipes, scripts and quick looks. No TUI.

Exit codes: 0 nothing found, 1 findings, 2 could not look. What is printed goes to stdout, what could not be
asked is one line each on stderr.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum

from axiom_tui import headless_table as tables
from axiom_tui.config import Settings
from axiom_tui.model.filtering import Filter, parse_selector
from axiom_tui.model.fleet import Fleet, Row, SourceState, SourceStatus

NOTHING_FOUND, FINDINGS, COULD_NOT_LOOK = 0, 1, 2


class Kind(StrEnum):
    NODES = "nodes"
    FINDINGS = "findings"


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class HeadlessOptions:
    """What is asked for. ``all_devices`` adds devices of the tailnet that are no node; ``color`` allows
    colour, which is only used on a terminal."""

    kind: Kind
    output: Output = Output.TABLE
    watch: bool = False
    selector: str = ""
    all_devices: bool = False
    color: bool = True


def run(settings: Settings, options: HeadlessOptions) -> int:
    """Look and print; returns the exit code. Raises AxiomError when the nodes cannot be read, or when the
    selector is no selector."""
    chosen = Choice(options)
    if options.watch:
        from axiom_tui.headless_watch import watch

        return watch(settings, options, chosen)
    from axiom_tui.fleet.oneshot import look

    fleet = look(settings, services=options.kind is Kind.FINDINGS)
    complain(fleet)
    sys.stdout.flush()
    sys.stdout.buffer.write(rendered(fleet, options, chosen))
    sys.stdout.flush()
    if options.kind is Kind.NODES:
        rows = chosen.rows(fleet)
        if not rows:
            say("No node matches the selector." if options.selector else "The cluster has no nodes.")
        return FINDINGS if any(row.findings for row in rows) else NOTHING_FOUND
    if fleet.findings:
        return FINDINGS
    # Nothing was found, but not everything could be looked at: that is not "nothing found".
    failed = any(source.state is SourceState.FAILED for source in fleet.sources)
    return COULD_NOT_LOOK if failed else NOTHING_FOUND


class Choice:
    """Which rows of the fleet are asked for."""

    def __init__(self, options: HeadlessOptions) -> None:
        self._filter = Filter(selector=parse_selector(options.selector))
        self._all = options.all_devices

    def keeps(self, row: Row) -> bool:
        if row.node is None:
            # A device has no Kubernetes labels to be selected by.
            return self._all and not self._filter.selector
        return self._filter.keeps("", row.node.labels)

    def rows(self, fleet: Fleet) -> tuple[Row, ...]:
        return tuple(row for row in fleet.rows if self.keeps(row))


def rendered(fleet: Fleet, options: HeadlessOptions, chosen: Choice) -> bytes:
    """The fleet, or its findings, in the format asked for."""
    if options.output is Output.TABLE:
        return table_of(fleet, options, chosen).render().encode(errors="replace")
    # Their types take time to build, and a table needs none of them.
    from axiom_tui import headless_documents as documents

    document = (
        documents.node_list(fleet, chosen.rows(fleet))
        if options.kind is Kind.NODES
        else documents.finding_list(fleet)
    )
    if options.output is Output.JSON:
        return documents.to_json(document, indent=True) + b"\n"
    return documents.to_yaml(document)


def table_of(fleet: Fleet, options: HeadlessOptions, chosen: Choice) -> tables.Table:
    now, color = fleet.taken_at, options.color and sys.stdout.isatty()
    if options.kind is Kind.NODES:
        titles = [column.title for column in tables.NODE_COLUMNS]
        lines = [tables.node_cells(row, now) for row in chosen.rows(fleet)]
        return tables.Table(titles, lines, color=color)
    lines = [tables.finding_cells(finding, now) for finding in fleet.findings]
    return tables.Table(tables.FINDING_TITLES, lines, color=color)


def complain(fleet: Fleet) -> None:
    """Say what could not be asked, and why."""
    for source in fleet.sources:
        if source.problem is not None and is_worth_saying(source):
            say(f"{source.name}: {source.problem}")


def is_worth_saying(source: SourceStatus) -> bool:
    """All that failed, and a machine without Tailscale; an optional system that is not set up is not."""
    failing = source.state in (SourceState.FAILED, SourceState.STALE)
    return failing or (source.state is SourceState.OFF and source.name == "tailnet")


def say(sentence: str) -> None:
    print(f"axiom-tui: {tables.printable(sentence)}", file=sys.stderr)
