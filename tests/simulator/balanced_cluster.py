"""A cluster made by hand in an ObjectStore, with servicelb at work in it, for tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from axiom_tui.simulator.servicelb import NAMESPACE, ServiceLb
from axiom_tui.simulator.store import ObjectStore

PREFIX = "svccontroller.k3s.cattle.io/"
ENABLE, POOL, HAS_SELECTOR = f"{PREFIX}enablelb", f"{PREFIX}lbpool", f"{PREFIX}nodeselector"
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
SELECTED = {ENABLE: "true"}

Json = dict[str, Any]
FOUNDED = datetime(2026, 5, 1, tzinfo=UTC)


def labels(enable: str | None = None, pool: str | None = None) -> dict[str, str]:
    found = {ENABLE: enable, POOL: pool}
    return {key: value for key, value in found.items() if value is not None}


def taint(key: str, effect: str = "NoSchedule", value: str = "") -> dict[str, str]:
    return {"key": key, "effect": effect, **({"value": value} if value else {})}


class Ticking:
    """A clock that moves on by a second whenever it is read, so that no two things have the same age."""

    def __init__(self) -> None:
        self._now = FOUNDED + timedelta(days=100)

    def __call__(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now


class BalancedCluster:
    """Nodes, Services and pods by short names; ``lb`` is the controller, running."""

    def __init__(self, store: ObjectStore | None = None) -> None:
        self.store = store or ObjectStore(clock=Ticking())
        self.lb = ServiceLb(self.store)
        self._services = 0

    @contextmanager
    def running(self) -> Iterator[BalancedCluster]:
        self.lb.start()
        try:
            yield self
        finally:
            self.lb.stop()

    def restart(self) -> None:
        """K3s starts again on the same cluster."""
        self.lb.stop()
        self.lb = ServiceLb(self.store)
        self.lb.start()

    # What there is

    def node(
        self,
        name: str,
        *,
        enable: str | None = None,
        pool: str | None = None,
        internal: Sequence[str] = (),
        external: Sequence[str] = (),
        ready: bool = True,
        taints: Sequence[Mapping[str, str]] = (),
        server: bool = False,
    ) -> None:
        role = {CONTROL_PLANE: "true"} if server else {}
        if not internal:
            internal = (f"100.64.0.{len(self.store.list('nodes')) + 1}",)
        addresses = [
            *({"type": "InternalIP", "address": ip} for ip in internal),
            *({"type": "ExternalIP", "address": ip} for ip in external),
            {"type": "Hostname", "address": name},
        ]
        condition = {"type": "Ready", "status": "True" if ready else "Unknown"}
        self.store.create(
            "nodes",
            {
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **role}}
                | {"creationTimestamp": FOUNDED.strftime("%Y-%m-%dT%H:%M:%SZ")},
                "spec": {"taints": [dict(item) for item in taints]} if taints else {},
                "status": {"addresses": addresses, "conditions": [condition]},
            },
        )
        self.label(name, enable=enable, pool=pool)

    def service(
        self,
        name: str,
        *ports: int,
        pool: str | None = None,
        age: int | None = None,
        annotations: Mapping[str, str] | None = None,
        **spec: Any,
    ) -> None:
        """A LoadBalancer Service; ``age`` in days, by default younger than all before it."""
        self._services += 1
        created = FOUNDED + (timedelta(minutes=self._services) if age is None else -timedelta(days=age))
        self.store.create(
            "services",
            {
                "metadata": {
                    "name": name,
                    "labels": labels(pool=pool),
                    "annotations": dict(annotations or {}),
                    "creationTimestamp": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
                },
                "spec": {
                    "type": "LoadBalancer",
                    "ports": [_port(number) for number in ports or (80,)],
                    "selector": {"app": name},
                    "clusterIP": "10.43.7.7",
                    "clusterIPs": ["10.43.7.7"],
                    "ipFamilies": ["IPv4"],
                    "externalTrafficPolicy": "Cluster",
                    **spec,
                },
                "status": {"loadBalancer": {}},
            },
            "default",
        )

    def pod(self, name: str, node: str, *, app: str, ready: bool = True, host_port: int = 0) -> None:
        """An ordinary pod, such as one that a Service selects."""
        ports = [{"containerPort": 80, "hostPort": host_port, "protocol": "TCP"}] if host_port else []
        self.store.create(
            "pods",
            {
                "metadata": {"name": name, "labels": {"app": app}},
                "spec": {"nodeName": node, "containers": [{"name": "it", "ports": ports}]},
                "status": {
                    "phase": "Running",
                    "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
                },
            },
            "default",
        )

    # What happens

    def label(self, node: str, **wanted: str | None) -> None:
        """``enable`` and ``pool`` of a node; None removes."""
        keys = {"enable": ENABLE, "pool": POOL}

        def change(item: Json) -> None:
            found = item["metadata"].setdefault("labels", {})
            for name, value in wanted.items():
                if value is None:
                    found.pop(keys[name], None)
                else:
                    found[keys[name]] = value

        self.store.mutate("nodes", node, change)

    def set_pool(self, service: str, pool: str) -> None:
        def change(item: Json) -> None:
            item["metadata"].setdefault("labels", {})[POOL] = pool

        self.store.mutate("services", service, change, "default")

    def touch(self, service: str, value: str = "1") -> None:
        def change(item: Json) -> None:
            item["metadata"].setdefault("annotations", {})["touched"] = value

        self.store.mutate("services", service, change, "default")

    def spec(self, service: str, **fields: Any) -> None:
        self.store.mutate("services", service, lambda item: item["spec"].update(fields), "default")

    def set_ready(self, node: str, ready: bool, *, taints: bool = True) -> None:
        """The kubelet falls silent or is heard again; with the taints of the node controller."""

        def change(item: Json) -> None:
            item["status"]["conditions"][0]["status"] = "True" if ready else "Unknown"
            key = "node.kubernetes.io/unreachable"
            kept = [one for one in item["spec"].get("taints", []) if one["key"] != key]
            gone = [] if ready or not taints else [taint(key), taint(key, "NoExecute")]
            item["spec"]["taints"] = kept + gone

        self.store.mutate("nodes", node, change)

    def set_taints(self, node: str, *taints: Mapping[str, str]) -> None:
        self.store.mutate("nodes", node, lambda item: item["spec"].update(taints=[dict(t) for t in taints]))

    def settle(self) -> None:
        self.lb.settle()

    # What is seen

    def daemon_set(self, service: str) -> Json:
        (found,) = (
            item
            for item in self.store.list("daemonsets.apps", NAMESPACE)
            if item["metadata"]["labels"][f"{PREFIX}svcname"] == service
        )
        return found

    def selector(self, service: str) -> dict[str, str]:
        found: dict[str, str] = self.daemon_set(service)["spec"]["template"]["spec"].get("nodeSelector", {})
        return found

    def pods(self, service: str) -> list[Json]:
        return [
            item
            for item in self.store.list("pods", NAMESPACE)
            if item["metadata"]["labels"][f"{PREFIX}svcname"] == service
        ]

    def hosts(self, service: str) -> set[str]:
        """Nodes to which a svclb pod is bound."""
        return {item["spec"]["nodeName"] for item in self.pods(service) if item["spec"].get("nodeName")}

    def waiting(self, service: str) -> set[str]:
        """Nodes for which a svclb pod waits."""
        required = "requiredDuringSchedulingIgnoredDuringExecution"
        return {
            item["spec"]["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"][0]["matchFields"][0][
                "values"
            ][0]
            for item in self.pods(service)
            if not item["spec"].get("nodeName")
        }

    def crowded_out(self, service: str) -> set[str]:
        """Nodes for which a svclb pod waits because another pod there has one of its ports."""
        taken = {
            (item["spec"]["nodeName"], *port)
            for item in self.store.list("pods", NAMESPACE)
            if item["spec"].get("nodeName")
            for port in _host_ports(item)
        }
        own = {port for item in self.pods(service) for port in _host_ports(item)}
        return {node for node in self.waiting(service) if any((node, *port) in taken for port in own)}

    def addresses(self, service: str) -> list[str]:
        item = self.store.get("services", service, "default")
        assert item is not None
        return [one["ip"] for one in item["status"]["loadBalancer"].get("ingress", [])]

    def events(self, service: str) -> list[tuple[str, str]]:
        return [
            (item["type"], item["reason"])
            for item in self.store.list("events")
            if item["involvedObject"]["name"] == service
        ]


def _host_ports(pod: Json) -> list[tuple[str, int]]:
    ports = [port for container in pod["spec"]["containers"] for port in container["ports"]]
    return [(port["protocol"], port["hostPort"]) for port in ports]


def _port(number: int) -> Json:
    """A TCP port, or a UDP one if the number is negative."""
    protocol = "TCP" if number > 0 else "UDP"
    return {
        "name": f"p{abs(number)}",
        "port": abs(number),
        "protocol": protocol,
        "nodePort": 30000 + abs(number) % 2000,
    }
