"""servicelb's rule by examples that random clusters seldom meet: who waits for a port, and why."""

from __future__ import annotations

from datetime import UTC, datetime

from axiom_tui.model.node import Node, Pod, Service, ServicePort, Taint
from axiom_tui.model.servicelb import (
    SERVICE_NAME_LABEL,
    SERVICE_NAMESPACE_LABEL,
    Balancer,
    Line,
    lines_of,
    serve,
)


def pod(service: str, minute: int, node: str = "", wanted: str = "") -> Pod:
    return Pod(
        namespace="servicelb",
        name=f"svclb-{service}",
        labels={SERVICE_NAMESPACE_LABEL: "ns", SERVICE_NAME_LABEL: service},
        created=datetime(2026, 11, 22, 14, minute, tzinfo=UTC),
        node=node,
        wanted_node=wanted,
    )


def balancer(name: str, port: int = 80) -> Balancer:
    return Balancer(Service(namespace="ns", name=name, type="LoadBalancer", ports=(ServicePort(port),)))


def test_those_that_wait_stand_in_the_order_in_which_they_began() -> None:
    pods = [pod("late", 9, wanted="n1"), pod("early", 3, wanted="n1"), pod("there", 5, node="n1")]
    assert lines_of(pods) == {"n1": Line(("ns/there",), ("ns/early", "ns/late"))}


def test_who_waits_because_of_a_taint_has_no_port_taken_from_it() -> None:
    tainted = Node(name="n1", taints=(Taint("example.org/gpu", "NoSchedule"),))
    waits = {"n1": Line((), ("ns/a",))}
    (served,) = serve([tainted], [balancer("a")], lines=waits)
    assert (served.nodes, served.clashing) == ((), ())
    taken = {"n1": Line(("ns/b",), ("ns/a",))}
    _, served = serve([tainted], [balancer("b"), balancer("a")], lines=taken)
    assert served.clashing == ("n1",)
