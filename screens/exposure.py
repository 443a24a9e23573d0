"""2 Exposure: every Service of type LoadBalancer, who serves it, where it is published, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from axiom_tui.model.cells import NOTHING, Cell, Style
from axiom_tui.model.exposure import Exposure as ExposureRow
from axiom_tui.model.exposure import exposures
from axiom_tui.model.finding import Wizard
from axiom_tui.model.fleet import Fleet, Observation, SourceState
from axiom_tui.model.node import is_public_ip
from screens.dialogs import TextScreen
from screens.frame import column
from screens.table_screen import TableScreen
from screens.widgets.cells import visible_lines
from screens.widgets.columns import Column


def _pool(item: ExposureRow) -> Cell:
    return Cell(item.served.pool) if item.served.pool else Cell("any", Style.DIM)


def _ports(item: ExposureRow) -> Cell:
    ports = item.served.service.ports
    return Cell(", ".join(f"{port.port}/{port.protocol.lower()}" for port in ports))


def _published(item: ExposureRow) -> tuple[str, ...]:
    return item.served.service.ingress_ips or item.served.addresses


def _reach(item: ExposureRow) -> Cell:
    """From where it can be reached, in a glyph and a word."""
    if not _published(item):
        return Cell("✗ nobody", Style.ERROR)
    if any(is_public_ip(ip) for ip in _published(item)):
        return Cell("▲ public", Style.WARN)
    return Cell("● tailnet", Style.OK)


def _addresses(item: ExposureRow) -> Cell:
    return Cell(", ".join(_published(item))) if _published(item) else NOTHING


def _nodes(item: ExposureRow) -> Cell:
    nodes = item.served.nodes
    return Cell(str(len(nodes))) if nodes else Cell("none", Style.ERROR)


def _hosts(item: ExposureRow) -> Cell:
    if not item.hostnames:
        return NOTHING
    where = "outside " if item.outside else "inside "
    return Cell(where + ", ".join(item.hostnames))


def _faults(item: ExposureRow) -> Cell:
    return Cell(f"✗ {'; '.join(item.faults)}", Style.ERROR) if item.faults else Cell("● ok", Style.OK)


#: On a narrow terminal what is wrong has room first; a lower priority goes first.
COLUMNS: tuple[Column[ExposureRow], ...] = (
    column("service", "SERVICE", 26, lambda item, _: Cell(item.served.service.full_name), max_width=36,
           required=True, sort_key=lambda item: item.served.service.full_name, sort_letter="N"),
    column("pool", "POOL", 8, lambda item, _: _pool(item), max_width=12, priority=55,
           sort_key=lambda item: item.served.pool, sort_letter="P"),
    column("reach", "REACHED", 8, lambda item, _: _reach(item), max_width=9, required=True,
           sort_key=lambda item: _reach(item).text, sort_letter="R"),
    column("ports", "PORTS", 8, lambda item, _: _ports(item), max_width=20, priority=30),
    column("published", "PUBLISHED", 15, lambda item, _: _addresses(item), max_width=32, priority=50,
           sort_key=lambda item: _addresses(item).text, sort_letter="A"),
    column("nodes", "NODES", 5, lambda item, _: _nodes(item), align="right", priority=45,
           sort_key=lambda item: len(item.served.nodes), sort_letter="S"),
    column("hosts", "HOSTNAMES", 12, lambda item, _: _hosts(item), max_width=40, priority=20),
    column("state", "STATE", 16, lambda item, _: _faults(item), grow=True, required=True, comfort=41,
           sort_key=lambda item: (not item.faults, "; ".join(item.faults)), sort_letter="F"),
)  # fmt: skip


def _inputs(seen: Observation) -> tuple[object, ...]:
    """All that exposures are made from; each part is another object as soon as it changed."""
    return (seen.nodes, seen.services, seen.daemon_sets, seen.pods, seen.ingresses, seen.gateways)


def _details(item: ExposureRow) -> list[str]:
    """Everything that the table has columns for, uncut."""
    served = item.served
    named = [f"{name} ({'outside' if name in item.outside else 'inside'})" for name in item.hostnames]
    parts = (
        ("What is wrong", item.faults or ("nothing",)),
        ("Reached from", (_reach(item).text,)),
        ("Pool", (served.pool or "any node",)),
        ("Ports", tuple(f"{port.port}/{port.protocol.lower()}" for port in served.service.ports)),
        ("Published", served.service.ingress_ips or ("nothing yet",)),
        ("Addresses of its nodes", served.addresses or ("none",)),
        ("Nodes that serve it", served.nodes or ("none",)),
        ("Nodes where its port is taken", served.clashing),
        ("Host names", tuple(named) or ("none known",)),
    )
    lines = []
    for title, values in parts:
        if values:
            lines += ["", title, *(f"  {value}" for value in values)]
    return lines[1:]


class ExposureScreen(TableScreen[ExposureRow]):
    """The table of Services; beneath it all that is known of the selected one."""

    MODE = "exposure"
    HELP = (
        "Each Service of type LoadBalancer as K3s' servicelb serves it: the pool that its label asks for, "
        "the nodes that host it by servicelb's own rule, and the addresses that it publishes. ▲ public can "
        "be reached from the internet, ● tailnet only from inside. enter shows all of one Service, l opens "
        "the label wizard for its nodes, :labels for all nodes that are wrong."
    )
    COLUMNS = COLUMNS

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "details"),
        Binding("l", "labels", "label its nodes"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._inputs: tuple[object, ...] = ()
        self._items: Sequence[ExposureRow] = ()
        self._is_computing = False

    def key_of(self, row: ExposureRow) -> str:
        return row.served.service.full_name

    def searched(self, row: ExposureRow) -> tuple[str, Mapping[str, str]]:
        served = row.served
        words = (served.service.full_name, served.pool, *served.nodes, *served.addresses, *row.faults)
        return " ".join((*words, *row.hostnames)).lower(), served.service.labels

    def beneath(self, row: ExposureRow) -> Content:
        faults = "; ".join(row.faults) or "in order"
        nodes = ", ".join(row.served.nodes) or "no node"
        published = ", ".join(row.served.service.ingress_ips) or "nothing"
        names = ", ".join(
            f"{name} ({'outside' if name in row.outside else 'inside'})" for name in row.hostnames
        )
        return Content.assemble(
            (visible_lines(row.served.service.full_name), "bold"),
            visible_lines(
                f": {faults}.\nServed by {nodes}; publishes {published}. Names: {names or 'none known'}."
            ),
        )

    def copied(self, row: ExposureRow) -> tuple[str, str]:
        addresses = row.served.service.ingress_ips or row.served.addresses
        return "\n".join(addresses), "Copied the published addresses."

    def show_fleet(self, fleet: Fleet) -> None:
        self._compute(fleet)
        self.show_rows(self._items, self._empty_text(fleet), "No Service passes the filter; esc clears it.")

    def action_open(self) -> None:
        """All of the selected Service, to read and copy."""
        row = self.selected
        if row is not None:
            self.app.push_screen(TextScreen(row.served.service.full_name, "\n".join(_details(row))))

    def action_labels(self) -> None:
        """The label wizard, with the nodes of the selected Service."""
        row = self.selected
        self.program.open_wizard(Wizard.LABELS, row.served.nodes if row is not None else ())

    def _compute(self, fleet: Fleet) -> None:
        """Off the event loop: with thousands of nodes it takes longer than a key press may."""
        inputs, seen = _inputs(fleet.seen), fleet.seen
        if self._is_computing or all(
            one is two for one, two in zip(inputs, self._inputs or (None,) * len(inputs), strict=True)
        ):
            return
        self._is_computing = True
        settings = self.program.settings
        rules, zone = settings.rules, settings.dns.zone

        def take(items: Sequence[ExposureRow]) -> None:
            self._is_computing, self._inputs, self._items = False, inputs, items
            if self.is_mounted:
                self.show_fleet(self.fleet)

        self.program.off_loop(lambda: exposures(seen, rules.pools, zone), take)

    def _empty_text(self, fleet: Fleet) -> str:
        source = fleet.source("services")
        if source is not None and source.problem is not None and source.state is SourceState.FAILED:
            return "They are not known, for the reason above. ctrl+r looks again."
        if source is None or source.state is SourceState.LOADING:
            return "Reading the Services …"
        return "The cluster has no Service of type LoadBalancer."
