"""Exposure: what every LoadBalancer Service gains and loses by a change of node labels, in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from axiom_tui.model.finding import Severity
from axiom_tui.model.fleet import Observation
from axiom_tui.model.node import Node, Route, Service, is_public_ip
from axiom_tui.model.pools import POOL_LABEL, PoolPolicy, found_pool, public_ips
from axiom_tui.model.servicelb import (
    Balancer,
    Lines,
    Served,
    after_sync,
    balancers,
    is_allow_list_on,
    label,
    lines_of,
    serve,
    stale,
    stand,
)

#: What external-dns reads, and what people write even without it.
HOSTNAME_ANNOTATION = "external-dns.alpha.kubernetes.io/hostname"

Changes = Mapping[str, Mapping[str, str | None]]


@dataclass(frozen=True, slots=True)
class Consequence:
    """A consequence that the admin must see before it happens."""

    severity: Severity
    sentence: str


@dataclass(frozen=True, slots=True)
class ServiceEffect:
    """One Service today and after the plan."""

    before: Served
    after: Served

    @property
    def name(self) -> str:
        return self.before.service.full_name

    @property
    def is_changed(self) -> bool:
        return (self.before.nodes, self.before.addresses) != (self.after.nodes, self.after.addresses)

    @property
    def gained_nodes(self) -> tuple[str, ...]:
        return tuple(name for name in self.after.nodes if name not in self.before.nodes)

    @property
    def lost_nodes(self) -> tuple[str, ...]:
        return tuple(name for name in self.before.nodes if name not in self.after.nodes)

    @property
    def gained_addresses(self) -> tuple[str, ...]:
        return tuple(ip for ip in self.after.addresses if ip not in self.before.addresses)

    @property
    def lost_addresses(self) -> tuple[str, ...]:
        return tuple(ip for ip in self.before.addresses if ip not in self.after.addresses)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change of labels does.

    ``touched`` are the Services that must be synced for it to be whole, in the order in which the plan does.
    """

    services: tuple[ServiceEffect, ...]
    warnings: tuple[Consequence, ...]
    touched: tuple[str, ...]

    def lines(self) -> tuple[str, ...]:
        """The effect as plain text: for headless use, the journal and the difference of two plans."""
        lines = [f"{warning.severity.word}: {warning.sentence}" for warning in self.warnings]
        for effect in self.services:
            lines.append(describe(effect))
        return tuple(lines)

    def outcome(self) -> tuple[str, ...]:
        """What the change itself does, without what is published today: that comes and goes with every node
        that is Ready or not, and is nothing by which two plans differ."""
        warnings = (f"{warning.severity.word}: {warning.sentence}" for warning in self.warnings)
        return (*warnings, *(_outcome(effect) for effect in self.services))


def severity_of(line: str) -> Severity | None:
    """What a line of `Effect.lines` warns of; None for one that only tells."""
    word = line.partition(": ")[0]
    return next((severity for severity in Severity if severity.word == word), None)


def today(seen: Observation) -> tuple[Served, ...]:
    """What every LoadBalancer Service is served by now, by servicelb's own rule."""
    return serve(seen.nodes, balancers(seen.services, seen.daemon_sets, seen.nodes), seen.pods)


@dataclass(frozen=True, slots=True)
class Exposure:
    """One Service as it stands: who serves it, what is wrong, and the names that lead to it."""

    served: Served
    faults: tuple[str, ...] = ()
    hostnames: tuple[str, ...] = ()
    zone: str = ""

    @property
    def outside(self) -> tuple[str, ...]:
        """The names that are not of the tailnet's own zone."""
        return tuple(
            name for name in self.hostnames if not self.zone or not f".{name}".endswith(f".{self.zone}")
        )


def exposures(seen: Observation, policy: PoolPolicy, zone: str = "") -> tuple[Exposure, ...]:
    """Every LoadBalancer Service, those with faults first. ``zone`` is the tailnet's own DNS zone."""
    now = balancers(seen.services, seen.daemon_sets, seen.nodes)
    routes = (*seen.ingresses, *seen.gateways)
    items = [
        Exposure(
            served,
            faults_of(served, balancer, seen.nodes, policy),
            hostnames(served.service, routes),
            zone,
        )
        for served, balancer in zip(serve(seen.nodes, now, seen.pods), now, strict=True)
    ]
    return tuple(sorted(items, key=lambda item: (not item.faults, item.served.service.full_name)))


def hostnames(service: Service, routes: Sequence[Route] = ()) -> tuple[str, ...]:
    """The names that lead to the Service: its own annotation, and those of every Ingress and Gateway that
    is published where the Service is."""
    asked = service.annotations.get(HOSTNAME_ANNOTATION, "")
    names = [name.strip() for name in asked.split(",") if name.strip()]
    published = set(service.ingress_ips)
    for route in routes:
        if published & set(route.ips):
            names += route.hosts
    return tuple(dict.fromkeys(names))


def effect_of(seen: Observation, changes: Changes, policy: PoolPolicy, gone: Collection[str] = ()) -> Effect:
    """Today against the time after the labels, and after the Services that need it were touched.

    ``gone`` are nodes that leave the cluster, after the labels and before the touch.
    """
    now = balancers(seen.services, seen.daemon_sets, seen.nodes)
    before = serve(seen.nodes, now, seen.pods)
    nodes, labelled, lines = label(seen.nodes, now, stand(seen.nodes, now, lines_of(seen.pods)), changes)
    if gone:
        # servicelb takes no notice of a node that goes: no selector changes.
        nodes = tuple(node for node in nodes if node.name not in gone)
        lines = stand(nodes, labelled, lines)
    names = [item.service.full_name for item in stale(labelled, nodes)]
    synced = tuple(
        new if new.service.full_name in names else old
        for old, new in zip(labelled, after_sync(labelled, nodes), strict=True)
    )
    after = serve(nodes, synced, seen.pods, lines)
    effects = tuple(ServiceEffect(old, new) for old, new in zip(before, after, strict=True))
    warnings = (
        *_allow_list(seen.nodes, nodes),
        *_pools_emptied(seen.nodes, nodes, policy),
        *(warning for effect in effects for warning in _service(effect, nodes, policy)),
        *_between(labelled, lines, seen, nodes, names),
    )
    return Effect(
        effects,
        tuple(sorted(warnings, key=lambda warning: -warning.severity)),
        tuple(names),
    )


def faults_of(
    served: Served, balancer: Balancer, nodes: Sequence[Node], policy: PoolPolicy
) -> tuple[str, ...]:
    """What is wrong with one Service as it stands: for the Exposure screen and the headless check."""
    faults = []
    if not served.nodes:
        faults.append(f"no node in the pool {served.pool}" if served.pool else "no node serves it")
    if served.clashing:
        faults.append(f"port taken by another Service on {', '.join(served.clashing)}")
    public = [ip for ip in served.addresses if is_public_ip(ip)]
    if public and served.pool == policy.internal:
        faults.append(f"internal, but published on {', '.join(public)}")
    if any(item is balancer for item in stale((balancer,), nodes)):
        faults.append("K3s has not taken over its pool yet: touch the Service")
    if served.service.ingress_ips and tuple(sorted(served.service.ingress_ips)) != tuple(
        sorted(served.addresses)
    ):
        faults.append(f"publishes {', '.join(served.service.ingress_ips)} instead")
    return tuple(faults)


def describe(effect: ServiceEffect) -> str:
    """``minecraft/flasche: gains wall-a-3, loses wall-a-1; published 116.203.10.3 (was 116.203.10.1)``."""
    if not effect.is_changed:
        where = ", ".join(effect.after.addresses) or "nothing published"
        return f"{effect.name}: unchanged ({len(effect.after.nodes)} nodes; {where})"
    parts = []
    if effect.gained_nodes:
        parts.append(f"gains {', '.join(effect.gained_nodes)}")
    if effect.lost_nodes:
        parts.append(f"loses {', '.join(effect.lost_nodes)}")
    nodes = ", ".join(parts) or "keeps its nodes"
    addresses = ", ".join(effect.after.addresses) or "nothing"
    if effect.before.addresses != effect.after.addresses:
        was = ", ".join(effect.before.addresses) or "nothing"
        return f"{effect.name}: {nodes}; publishes {addresses} (was {was})"
    return f"{effect.name}: {nodes}; publishes {addresses} as before"


def _outcome(effect: ServiceEffect) -> str:
    """``minecraft/flasche: gains wall-a-3, publishes 116.203.10.3; then on wall-a-2, wall-a-3``."""
    parts = [
        f"{verb} {', '.join(names)}"
        for verb, names in (
            ("gains", effect.gained_nodes),
            ("loses", effect.lost_nodes),
            ("publishes", effect.gained_addresses),
        )
        if names
    ]
    if not parts:
        return f"{effect.name}: keeps its nodes"
    return f"{effect.name}: {', '.join(parts)}; then on {', '.join(effect.after.nodes) or 'no node'}"


def _allow_list(before: Sequence[Node], after: Sequence[Node]) -> list[Consequence]:
    was, will = is_allow_list_on(before), is_allow_list_on(after)
    if will and not was:
        return [
            Consequence(
                Severity.ERROR,
                "This is the first load-balancer label in the cluster: every unlabelled node, servers "
                "included, drops out of servicelb.",
            )
        ]
    if was and not will:
        return [
            Consequence(
                Severity.ERROR,
                "This removes the last load-balancer label: every node serves every Service again, and "
                "pools mean nothing.",
            )
        ]
    return []


def _pools_emptied(before: Sequence[Node], after: Sequence[Node], policy: PoolPolicy) -> list[Consequence]:
    warnings = []
    for pool in policy.pools:
        had = [node for node in before if found_pool(node) == pool]
        has = [node for node in after if found_pool(node) == pool]
        if has or not is_allow_list_on(after):
            continue
        workers = [node for node in after if not node.is_server]
        if pool == policy.internal and workers and all(public_ips(node) for node in workers):
            # One that was empty before is nothing that this change does.
            news = bool(had) or not is_allow_list_on(before)
            warnings.append(
                Consequence(
                    Severity.ERROR if news else Severity.WARNING,
                    f"The pool {pool} {'would be' if news else 'stays'} empty because every worker is public."
                    " Choose: keep one worker in it by an override (pools.overrides), set the policy to "
                    "all-internal and close the public interface by a firewall, or add a private worker.",
                )
            )
        elif had:
            warnings.append(Consequence(Severity.WARNING, f"The pool {pool} would have no node any more."))
    return warnings


def _service(effect: ServiceEffect, nodes: Sequence[Node], policy: PoolPolicy) -> list[Consequence]:
    warnings = []
    name, after = effect.name, effect.after
    if effect.before.nodes and not after.nodes:
        warnings.append(Consequence(Severity.ERROR, f"{name} loses its last node."))
    elif effect.before.addresses and not after.addresses:
        warnings.append(Consequence(Severity.ERROR, f"{name} loses its last published address."))
    public = [ip for ip in effect.gained_addresses if is_public_ip(ip)]
    if public and after.pool != policy.external:
        kind = "an internal Service" if after.pool == policy.internal else "a Service without a pool"
        warnings.append(
            Consequence(
                Severity.ERROR if after.pool == policy.internal else Severity.WARNING,
                f"{name}, {kind}, becomes reachable on a public address: {', '.join(public)}.",
            )
        )
    elif after.pool == policy.internal:
        # A hostPort listens on every interface, whatever is published.
        listening = [node.name for node in nodes if node.name in effect.gained_nodes and public_ips(node)]
        if listening:
            warnings.append(
                Consequence(
                    Severity.ERROR,
                    f"{name} is internal, but its ports would listen on the public interface of "
                    f"{', '.join(listening)}.",
                )
            )
    clashing = [node for node in after.clashing if node not in effect.before.clashing]
    if clashing:
        ports = ", ".join(str(port.port) for port in after.service.ports)
        warnings.append(
            Consequence(
                Severity.WARNING,
                f"{name} gets no pod on {', '.join(clashing)}: another Service holds its port ({ports}).",
            )
        )
    return warnings


def _between(
    labelled: Sequence[Balancer],
    lines: Lines,
    seen: Observation,
    nodes: Sequence[Node],
    touched: Sequence[str],
) -> list[Consequence]:
    """What K3s does until the touched Services are synced: said, since it is a matter of seconds."""
    if not touched:
        return []
    until = {item.service.full_name: item for item in serve(nodes, labelled, seen.pods, lines)}
    warnings = []
    for item in labelled:
        name = item.service.full_name
        if name not in touched:
            continue
        if not until[name].nodes:
            what = "no node serves it"
        elif item.service.labels.get(POOL_LABEL):
            what = f"its pool is ignored and it runs on {', '.join(until[name].nodes)}"
        else:
            what = "it keeps its old selector"
        warnings.append(
            Consequence(
                Severity.WARNING,
                f"Until K3s syncs {name}, {what}; the plan touches the Service so that this takes seconds.",
            )
        )
    return warnings
