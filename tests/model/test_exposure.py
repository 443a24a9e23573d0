"""Exposure in words: what a change of labels does to Services, and what is wrong with them as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from axiom_tui.model.exposure import (
    Effect,
    Exposure,
    ServiceEffect,
    describe,
    effect_of,
    exposures,
    hostnames,
)
from axiom_tui.model.fleet import Observation
from axiom_tui.model.node import Condition, DaemonSet, Node, Route, Service, ServicePort
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL, PoolPolicy, labels_for
from axiom_tui.model.servicelb import SERVICE_NAME_LABEL, SERVICE_NAMESPACE_LABEL, Served

POLICY = PoolPolicy()
PUBLIC = "116.203.10.3"


def node(name: str, pool: str = "", public: str = "", *, ready: bool = True, server: bool = False) -> Node:
    labels = {key: value for key, value in labels_for(pool).items() if value is not None}
    if server:
        labels["node-role.kubernetes.io/control-plane"] = "true"
    return Node(
        name=name,
        labels=labels,
        conditions=(Condition("Ready", "True" if ready else "Unknown"),),
        internal_ips=(f"100.64.0.{len(name)}{name[-1]}",),
        external_ips=(public,) if public else (),
    )


def service(name: str, pool: str = "", port: int = 80, published: Sequence[str] = ()) -> Service:
    return Service(
        namespace="ns",
        name=name,
        type="LoadBalancer",
        labels={POOL_LABEL: pool} if pool else {},
        ports=(ServicePort(port),),
        ingress_ips=tuple(published),
    )


def selecting(name: str, pool: str = "", enabled: bool = True) -> DaemonSet:
    """servicelb's DaemonSet of a Service, as it really selects."""
    selector = {ENABLE_LABEL: "true"} if enabled else {}
    if pool:
        selector[POOL_LABEL] = pool
    labels = {SERVICE_NAMESPACE_LABEL: "ns", SERVICE_NAME_LABEL: name}
    return DaemonSet(namespace="servicelb", name=f"svclb-{name}", labels=labels, node_selector=selector)


def seen(nodes: Sequence[Node], services: Sequence[Service], *daemon_sets: DaemonSet) -> Observation:
    return Observation(nodes=tuple(nodes), services=tuple(services), daemon_sets=daemon_sets)


def effect(observation: Observation, **pools: str) -> Effect:
    """``n1="internal"``: the node n1 goes into that pool."""
    return effect_of(observation, {name: labels_for(pool) for name, pool in pools.items()}, POLICY)


def warnings(found: Effect) -> list[str]:
    return [line for line in found.lines() if line.startswith(("error:", "warning:", "critical:"))]


def test_the_last_node_and_the_last_address() -> None:
    both = [node("n1", "internal"), node("n2", "internal"), node("n3", "external")]
    assert warnings(effect(seen(both, [service("a", "internal")]), n1="external")) == []
    alone = [node("n1", "internal"), node("n3", "external")]
    found = warnings(effect(seen(alone, [service("a", "internal")]), n1="external"))
    assert "error: ns/a loses its last node." in found
    # What nobody serves today loses nothing.
    assert not any(
        "loses" in line for line in warnings(effect(seen(alone, [service("a", "games")]), n1="external"))
    )
    silent = [node("n1", "internal"), node("n2", "internal", ready=False), node("n3", "external")]
    found = warnings(effect(seen(silent, [service("a", "internal")]), n1="external"))
    assert found == ["error: ns/a loses its last published address."]


def test_what_becomes_public() -> None:
    nodes = [node("n1", "internal"), node("n2", "", PUBLIC), node("n3", "external", "116.203.10.9")]
    found = warnings(effect(seen(nodes, [service("a", "internal")]), n2="internal"))
    reached = f"becomes reachable on a public address: {PUBLIC}."
    assert found == [f"error: ns/a, an internal Service, {reached}"]
    found = warnings(effect(seen(nodes, [service("a")]), n2="internal"))
    assert found == [f"warning: ns/a, a Service without a pool, {reached}"]
    assert warnings(effect(seen(nodes, [service("a", "external")]), n2="external")) == []
    # A host port listens whatever is published: of a node that is not Ready, nothing is.
    nodes[1] = node("n2", "", PUBLIC, ready=False)
    found = warnings(effect(seen(nodes, [service("a", "internal")]), n2="internal"))
    assert found == [
        "error: ns/a is internal, but its ports would listen on the public interface of n2.",
    ]


def test_the_first_and_the_last_label() -> None:
    bare = [node("n1"), node("n2"), node("m1", server=True)]
    found = warnings(effect(seen(bare, [service("a")]), n1="internal"))
    assert found[0] == (
        "error: This is the first load-balancer label in the cluster: every unlabelled node, servers "
        "included, drops out of servicelb."
    )
    one = [node("n1", "internal"), node("n2")]
    found = warnings(effect(seen(one, [service("a")]), n1=""))
    assert found[0].startswith("error: This removes the last load-balancer label: ")
    assert not any("label" in line for line in warnings(effect(seen(one, [service("a")]), n2="internal")))
    assert not any("label" in line for line in warnings(effect(seen(bare, [service("a")]), n1="")))


def test_pools_that_would_be_empty() -> None:
    public = [node("n1", "internal", PUBLIC), node("n2", "external", "116.203.10.9")]
    found = warnings(effect(seen(public, []), n1="external"))
    assert len(found) == 1
    assert found[0].startswith("error: The pool internal would be empty because every worker is public.")
    assert all(word in found[0] for word in ("pools.overrides", "all-internal", "firewall", "private worker"))
    # Where it was empty before, that is no danger of this change.
    public = [node("n1", "", PUBLIC), node("n2", "external", "116.203.10.9")]
    found = warnings(effect(seen(public, []), n1="external"))
    assert len(found) == 1
    assert found[0].startswith("warning: The pool internal stays empty because every worker is public.")
    private = [node("n1", "internal"), node("n2", "external", PUBLIC)]
    found = warnings(effect(seen(private, []), n1="external"))
    assert found == ["warning: The pool internal would have no node any more."]
    found = warnings(effect(seen(private, []), n2=""))
    assert found == ["warning: The pool external would have no node any more."]
    # One that had none is no news, and without any label pools mean nothing.
    assert warnings(effect(seen([node("n1", "internal"), node("n2")], []), n2="internal")) == []
    assert not any("pool " in line for line in warnings(effect(seen([node("n1", "internal")], []), n1="")))


def test_a_port_that_is_taken() -> None:
    nodes = [node("n1", "internal"), node("n2", "external", PUBLIC)]
    services = [service("a", "external"), service("b", "internal")]
    daemons = [selecting("a", "external"), selecting("b", "internal")]
    assert warnings(effect(seen(nodes, services, *daemons), n1="internal")) == []
    both = [service("a"), service("b", "internal")]
    daemons = [selecting("a"), selecting("b", "internal")]
    found = warnings(effect(seen([*nodes, node("n3")], both, *daemons), n3="internal"))
    # On n1 it has been so all the time.
    assert found == ["warning: ns/b gets no pod on n3: another Service holds its port (80)."]


def test_what_holds_until_k3s_has_synced() -> None:
    bare = [node("n1"), node("n2"), node("n3")]
    services = [service("a", "internal"), service("b", port=81)]
    daemons = [selecting("a", enabled=False), selecting("b", enabled=False)]
    found = effect(seen(bare, services, *daemons), n1="internal", n2="external")
    assert found.touched == ("ns/a",)
    between = [line for line in warnings(found) if "Until K3s syncs" in line]
    assert between == [
        "warning: Until K3s syncs ns/a, its pool is ignored and it runs on n1, n2; the plan touches the "
        "Service so that this takes seconds."
    ]
    last = [node("n1", "internal"), node("n2")]
    found = effect(seen(last, [service("b")], selecting("b")), n1="")
    assert any("Until K3s syncs ns/b, no node serves it;" in line for line in warnings(found))
    old = seen([node("n1", "internal"), node("n2")], [service("b")], selecting("b", "internal"))
    assert any(
        "Until K3s syncs ns/b, it keeps its old selector;" in line
        for line in warnings(effect(old, n2="internal"))
    )


def test_the_worst_comes_first() -> None:
    nodes = [node("n1", "internal"), node("n2", "external", PUBLIC)]
    found = effect(seen(nodes, [service("a", "internal")]), n1="external")
    lines = found.lines()
    assert [line.partition(":")[0] for line in lines] == ["error", "warning", "ns/a"]


def test_a_service_in_one_line() -> None:
    one = Served(service("a"), ("n1",), ("100.64.0.1",))
    assert describe(ServiceEffect(one, one)) == "ns/a: unchanged (1 nodes; 100.64.0.1)"
    other = replace(one, nodes=("n2",))
    line = "ns/a: gains n2, loses n1; publishes 100.64.0.1 as before"
    assert describe(ServiceEffect(one, other)) == line
    none = replace(one, nodes=(), addresses=())
    assert describe(ServiceEffect(one, none)) == "ns/a: loses n1; publishes nothing (was 100.64.0.1)"
    moved = replace(one, addresses=(PUBLIC,))
    line = f"ns/a: keeps its nodes; publishes {PUBLIC} (was 100.64.0.1)"
    assert describe(ServiceEffect(one, moved)) == line
    assert describe(ServiceEffect(none, none)) == "ns/a: unchanged (0 nodes; nothing published)"


def faults(observation: Observation) -> dict[str, tuple[str, ...]]:
    return {item.served.service.name: item.faults for item in exposures(observation, POLICY)}


def test_what_is_wrong_as_it_stands() -> None:
    nodes = [node("n1", "internal"), node("n2", "internal", PUBLIC), node("n3", "external", "116.203.10.9")]
    fine = service("fine", "external", 81, ["116.203.10.9"])
    found = faults(
        seen(
            nodes,
            [service("a", "internal"), service("b", "games"), service("c", "internal", 82), fine],
            selecting("a", "internal"),
            selecting("b", "games"),
            selecting("c"),
            selecting("fine", "external"),
        )
    )
    assert list(found)[-1] == "fine"  # those with faults first
    assert found == {
        "a": (f"internal, but published on {PUBLIC}",),
        "b": ("no node in the pool games",),
        "c": (
            f"internal, but published on {PUBLIC}, 116.203.10.9",
            "K3s has not taken over its pool yet: touch the Service",
        ),
        "fine": (),
    }
    # A public address is no fault of a Service that is to be public, nor of one without a pool.
    assert faults(seen(nodes, [service("d")], selecting("d"))) == {"d": ()}
    assert faults(seen([], [service("d")])) == {"d": ("no node serves it",)}


def test_ports_and_addresses_that_differ() -> None:
    nodes = [node("n1", "internal"), node("n2", "external", PUBLIC)]
    old, young = service("a", published=["1.2.3.4"]), service("b", "internal")
    found = faults(seen(nodes, [old, young], selecting("a"), selecting("b", "internal")))
    assert found == {
        "a": ("publishes 1.2.3.4 instead",),
        "b": ("no node in the pool internal", "port taken by another Service on n1"),
    }


def test_names_lead_where_it_is_published() -> None:
    asked = Service(
        namespace="ns",
        name="a",
        type="LoadBalancer",
        annotations={"external-dns.alpha.kubernetes.io/hostname": "a.example.org, b.example.org,"},
        ingress_ips=(PUBLIC,),
    )
    here = Route(
        kind="Ingress", namespace="ns", name="i", hosts=("c.example.org", "a.example.org"), ips=(PUBLIC,)
    )
    there = Route(kind="Ingress", namespace="ns", name="j", hosts=("d.example.org",), ips=("116.203.10.9",))
    names = hostnames(asked, (here, there))
    assert names == ("a.example.org", "b.example.org", "c.example.org")
    served = Served(asked, (), ())
    zone = "tail.example.org"
    inside = Exposure(served, (), ("x.tail.example.org", "tail.example.org", "notail.example.org"), zone)
    assert inside.outside == ("notail.example.org",)
    assert replace(inside, zone="").outside == inside.hostnames
