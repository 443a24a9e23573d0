"""What K3s' ServiceLB does for each LoadBalancer Service: its DaemonSet, its published addresses, its Events.

Written from the facts alone (k3s-and-backups.md, section 2; peers.md, F2 and F3), and from no other model
of them, so that a preview of its effect can be compared with what it really does. The gaps, which K3s 1.33
has too:

- When the first node gets the label ``enablelb``, existing DaemonSets lose their pool.
- When the last such label goes, existing DaemonSets keep their selector.
- A Service's new pool label is not looked at until something else of the Service changes.
- A node's new address is not published until one of its pods changes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

from axiom_tui.simulator import svclb_objects
from axiom_tui.simulator.cluster_picture import DAEMON_SETS, PODS, SERVICES, ClusterPicture
from axiom_tui.simulator.cluster_views import PodView, key_of, read_pod
from axiom_tui.simulator.daemon_pods import DaemonPods
from axiom_tui.simulator.manifests import uid
from axiom_tui.simulator.statuses import Json
from axiom_tui.simulator.svclb_objects import ENABLE_LABEL, SELECTOR_LABEL

REPORTER = "service-lb-controller"
#: Kubernetes' service controller, in which servicelb works, holds each Service by it.
FINALIZER = "service.kubernetes.io/load-balancer-cleanup"

#: A Service is synced when one of these changes; labels are not among them (2.4).
SYNCED_FIELDS = (
    *("type", "loadBalancerClass", "loadBalancerIP", "loadBalancerSourceRanges", "ports", "externalIPs"),
    *("externalTrafficPolicy", "healthCheckNodePort", "sessionAffinity", "sessionAffinityConfig"),
    "ipFamilies",
)


class ServiceController:
    """servicelb at work on a `ClusterPicture`; ``published_later`` asks for a later `publish`."""

    def __init__(self, cluster: ClusterPicture, published_later: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._published_later = published_later
        self._synced: dict[str, Json] = {}  # what of each Service was last synced

    def needs_sync(self, key: str) -> bool:
        service = self._cluster.services.get(key)
        return self._synced.get(key) != (_synced_part(service) if service else None)

    def sync(self, key: str) -> None:
        """Make the DaemonSet what the Service asks for now, or remove it."""
        service = self._cluster.services.get(key)
        wanted = service is not None and wants_balancer(service)
        own_name = svclb_objects.daemon_set_name(service) if service is not None and wanted else ""
        removed = [item for item in self._cluster.daemons_of(key) if item["metadata"]["name"] != own_name]
        for daemon in removed:
            self._remove(daemon, service)
        if service is None:
            self._synced.pop(key, None)
            return
        self._synced[key] = _synced_part(service)
        if wanted:
            self._cluster.mutate(SERVICES, key, _hold)
            self._apply(service)
            self._published_later(key)
            return
        if removed:
            self._cluster.mutate(SERVICES, key, _publishing([]), subresource="status")
        self._cluster.mutate(SERVICES, key, _let_go)

    def heed(self, node_name: str) -> None:
        """A labelled node has changed: DaemonSets of the time before the allow-list are put under it.

        Nothing is known of the Services here: the pool that one asks for is left out.
        """
        node = self._cluster.nodes.get(node_name)
        if node is None or ENABLE_LABEL not in node.labels:
            return

        def change(daemon: Json) -> None:
            daemon["metadata"]["labels"][SELECTOR_LABEL] = "true"
            daemon["spec"]["template"]["spec"]["nodeSelector"] = {ENABLE_LABEL: "true"}

        for daemon in self._cluster.daemons_by_age():
            if daemon["metadata"]["labels"].get(SELECTOR_LABEL) == "false":
                self._cluster.mutate(DAEMON_SETS, key_of(daemon), change)

    def publish(self, key: str) -> None:
        """Write the addresses into the Service's status, if they are others than before."""
        service = self._cluster.services.get(key)
        if service is None or not wants_balancer(service):
            return
        addresses, before = self._addresses(key, service), published(service)
        if addresses == before:
            return
        self._cluster.mutate(SERVICES, key, _publishing(addresses), subresource="status")
        if addresses:
            text = f"Updated LoadBalancer with new IPs: [{' '.join(before)}] -> [{' '.join(addresses)}]"
            self._cluster.event(service, "Normal", "UpdatedLoadBalancer", text, REPORTER)
        else:
            text = "There are no available nodes for LoadBalancer"
            self._cluster.event(service, "Warning", "UnAvailableLoadBalancer", text, REPORTER)

    def endpoint_changed(self, pod: PodView) -> None:
        """A pod that Services send to is another: with the policy Local it decides what is published."""
        for key, service in self._cluster.services.items():
            selector = service["spec"].get("selector") or {}
            selected = bool(selector) and selector.items() <= pod.labels.items()
            same_namespace = pod.namespace == service["metadata"]["namespace"]
            if selected and same_namespace and wants_balancer(service) and is_local(service):
                self._published_later(key)

    def grow(self, daemon_pods: DaemonPods) -> None:
        """Make what servicelb has made of each Service long ago; in bulk, since it may be very much."""
        cluster = self._cluster
        for service in cluster.by_age(cluster.services.values()):
            key = key_of(service)
            if not wants_balancer(service) or cluster.daemons_of(key):
                continue
            self._synced[key] = _synced_part(service)
            daemon = self._daemon_set(service)
            metadata = daemon["metadata"]
            metadata.update(uid=uid("DaemonSet", metadata["namespace"], metadata["name"]), generation=1)
            metadata["creationTimestamp"] = service["metadata"]["creationTimestamp"]
            daemon_pods.grow(daemon)
            daemon["status"] = daemon_pods.status(daemon)
            cluster.adopt(DAEMON_SETS, daemon)
            _hold(service)
            _publishing(self._addresses(key, service))(service)
            cluster.adopt(SERVICES, service)

    def _daemon_set(self, service: Json) -> Json:
        """What a sync makes of the Service now. Raises `svclb_objects.BadAnnotation`."""
        allow_list = any(ENABLE_LABEL in node.labels for node in self._cluster.nodes.values())
        return svclb_objects.daemon_set(service, self._cluster.namespace, allow_list=allow_list)

    def _apply(self, service: Json) -> None:
        try:
            wanted = self._daemon_set(service)
        except svclb_objects.BadAnnotation as error:
            text = f"Error syncing load balancer: failed to ensure load balancer: {error}"
            self._cluster.event(service, "Warning", "SyncLoadBalancerFailed", text, "service-controller")
            return

        def change(daemon: Json) -> None:
            daemon["metadata"]["labels"] = wanted["metadata"]["labels"]
            daemon["spec"] = wanted["spec"]

        if wanted["metadata"]["name"] in self._cluster.daemons:
            self._cluster.mutate(DAEMON_SETS, key_of(wanted), change)
        else:
            self._cluster.create(DAEMON_SETS, wanted)
        text = f"Applied LoadBalancer DaemonSet {key_of(wanted)}"
        self._cluster.event(service, "Normal", "AppliedDaemonSet", text, REPORTER)

    def _remove(self, daemon: Json, service: Json | None) -> None:
        self._cluster.delete(DAEMON_SETS, key_of(daemon))
        if service is not None:
            text = f"Deleted LoadBalancer DaemonSet {key_of(daemon)}"
            self._cluster.event(service, "Normal", "DeletedDaemonSet", text, REPORTER)

    def _addresses(self, key: str, service: Json) -> list[str]:
        """What should be published now (2.3)."""
        names = {
            pod.node
            for daemon in self._cluster.daemons_of(key)
            for pod in self._cluster.pods.of_daemon(daemon["metadata"]["name"])
            if pod.ready and pod.node and pod.pod_ip
        }
        if is_local(service):
            names &= self._endpoint_nodes(service)
        nodes = [self._cluster.nodes[name] for name in names if name in self._cluster.nodes]
        external = {address for node in nodes for address in node.external}
        internal = {address for node in nodes for address in node.internal}
        return _of_families(external or internal, service["spec"].get("ipFamilies") or ["IPv4"])

    def _endpoint_nodes(self, service: Json) -> set[str]:
        """The nodes where a ready pod serves the Service."""
        selector, namespace = service["spec"].get("selector") or {}, service["metadata"]["namespace"]
        if not selector:
            return set()
        pods = (
            read_pod(stored.body)
            for stored in self._cluster.store.snapshot(PODS)[0]
            if stored.namespace == namespace and selector.items() <= stored.labels.items()
        )
        return {pod.node for pod in pods if pod.ready}


def wants_balancer(service: Json) -> bool:
    """Whether servicelb cares for the Service: one with a loadBalancerClass is somebody else's."""
    spec = service["spec"]
    is_going = bool(service["metadata"].get("deletionTimestamp"))
    return spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass") and not is_going


def is_local(service: Json) -> bool:
    return bool(service["spec"].get("externalTrafficPolicy") == "Local")


def published(service: Json) -> list[str]:
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return [item.get("ip", "") for item in ingress]


def _publishing(addresses: list[str]) -> Callable[[Json], None]:
    balancer = {"ingress": [{"ip": ip, "ipMode": "VIP"} for ip in addresses]} if addresses else {}
    return lambda service: service.update(status={**(service.get("status") or {}), "loadBalancer": balancer})


def _hold(service: Json) -> None:
    """A Service that is deleted stays until its DaemonSet is gone."""
    finalizers = service["metadata"].setdefault("finalizers", [])
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)


def _let_go(service: Json) -> None:
    finalizers = service["metadata"].get("finalizers") or []
    service["metadata"]["finalizers"] = [item for item in finalizers if item != FINALIZER]


def _synced_part(service: Json) -> Json:
    metadata, spec = service["metadata"], service["spec"]
    return {
        "uid": metadata["uid"],
        "annotations": metadata.get("annotations") or {},
        "going": bool(metadata.get("deletionTimestamp")),
        **{name: spec.get(name) for name in SYNCED_FIELDS},
    }


def _of_families(addresses: Iterable[str], families: Iterable[str]) -> list[str]:
    """Those of each family in turn, sorted as text."""
    kinds: dict[str, list[str]] = {"IPv4": [], "IPv6": []}
    for address in sorted(addresses):
        kinds[f"IPv{ipaddress.ip_address(address).version}"].append(address)
    return [address for family in families for address in kinds[family]]
