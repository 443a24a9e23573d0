"""What the API server adds to an object before it is stored: defaults of its kind, priorities, addresses."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from random import Random
from typing import TypeVar

from axiom_tui.simulator import statuses
from axiom_tui.simulator.resources import Resource
from axiom_tui.simulator.statuses import Json
from axiom_tui.simulator.store import ObjectStore

_T = TypeVar("_T")

_EVICTED_AFTER = (
    {
        "key": "node.kubernetes.io/not-ready",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 300,
    },
    {
        "key": "node.kubernetes.io/unreachable",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 300,
    },
)


def admit_new(store: ObjectStore, resource: Resource, obj: Json) -> None:
    """Complete a new object in place; raises the 403 or 404 of an admission plugin."""
    namespace = obj["metadata"].get("namespace", "")
    if resource.namespaced and store.get("namespaces", namespace) is None:
        raise statuses.not_found("namespaces", "", namespace)
    match resource.key:
        case "priorityclasses.scheduling.k8s.io":
            _priority_class(obj)
            _only_one_default(store, obj)
        case "pods":
            _priority(store, obj)
            _pod(obj)
        case "services":
            _service(store, obj)
        case "namespaces":
            obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
            obj["status"] = {"phase": "Active"}
            labels = obj["metadata"].setdefault("labels", {})
            labels["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")


def admit_update(store: ObjectStore, resource: Resource, obj: Json) -> None:
    """Complete a changed object in place; raises the 403 of an admission plugin."""
    if resource.key == "priorityclasses.scheduling.k8s.io":
        _priority_class(obj)
        _only_one_default(store, obj)
    elif resource.key == "nodes":
        spec = obj.get("spec") or {}
        for name in ("unschedulable", "taints"):
            if not spec.get(name):
                spec.pop(name, None)  # the typed object leaves false and empty lists out
    elif resource.key == "services":
        for port in obj.get("spec", {}).get("ports") or []:
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port.get("port"))


def _priority_class(obj: Json) -> None:
    obj.setdefault("value", 0)
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")
    for name in ("globalDefault", "description"):
        if not obj.get(name):
            obj.pop(name, None)
    for name in ("globalDefault", "description", "preemptionPolicy"):  # the order of the Go type
        if name in obj:
            obj[name] = obj.pop(name)


def _only_one_default(store: ObjectStore, obj: Json) -> None:
    if not obj.get("globalDefault"):
        return
    name = obj["metadata"].get("name", "")
    for other in store.list("priorityclasses.scheduling.k8s.io"):
        taken = other["metadata"]["name"]
        if other.get("globalDefault") and taken != name:
            why = f"PriorityClass {taken} is already marked as default. Only one default can exist"
            raise statuses.forbidden("priorityclasses", "scheduling.k8s.io", name, why)


def _priority(store: ObjectStore, pod: Json) -> None:
    spec = pod.setdefault("spec", {})
    name = spec.get("priorityClassName", "")
    classes = {one["metadata"]["name"]: one for one in store.list("priorityclasses.scheduling.k8s.io")}
    if name and name not in classes:
        raise _forbidden_pod(pod, f"no PriorityClass with name {name} was found")
    if not name:
        name = next((key for key, one in classes.items() if one.get("globalDefault")), "")
    found = classes.get(name, {})
    value = found.get("value", 0)
    if spec.get("priority") not in (None, value):
        raise _forbidden_pod(
            pod,
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
            f"priority admission controller computed {value} from the given PriorityClass name",
        )
    if name:
        spec["priorityClassName"] = name
    spec["priority"] = value
    spec.setdefault("preemptionPolicy", found.get("preemptionPolicy", "PreemptLowerPriority"))


def _forbidden_pod(pod: Json, why: str) -> statuses.ApiError:
    return statuses.forbidden("pods", "", pod["metadata"].get("name", ""), why)


def _pod(pod: Json) -> None:
    spec = pod["spec"]
    for container in spec.get("containers") or []:
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        image = str(container.get("image", ""))
        newest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
        container.setdefault("imagePullPolicy", "Always" if newest else "IfNotPresent")
        for port in container.get("ports") or []:
            port.setdefault("protocol", "TCP")
    defaults: Json = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default",
        "serviceAccount": "default",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
    }
    for name, value in defaults.items():
        spec.setdefault(name, value)
    tolerations = spec.setdefault("tolerations", [])
    known = {toleration.get("key") for toleration in tolerations}
    tolerations += [dict(one) for one in _EVICTED_AFTER if one["key"] not in known]
    pod.setdefault("status", {"phase": "Pending", "qosClass": "BestEffort"})


def _service(store: ObjectStore, service: Json) -> None:
    spec = service.setdefault("spec", {})
    kind = spec.setdefault("type", "ClusterIP")
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    if kind in ("NodePort", "LoadBalancer"):
        _node_ports(store, spec)
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if kind != "ExternalName":
        spec.setdefault("clusterIP", _cluster_ip(store))
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
        spec.setdefault("internalTrafficPolicy", "Cluster")
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
    spec.setdefault("sessionAffinity", "None")
    service["status"] = {"loadBalancer": {}}


def _cluster_ip(store: ObjectStore) -> str:
    taken = {one["spec"].get("clusterIP") for one in store.list("services")}
    return _first_free((f"10.43.{high}.{low}" for high in range(256) for low in range(10, 256)), taken)


def _node_ports(store: ObjectStore, spec: Json) -> None:
    taken = {
        port.get("nodePort") for one in store.list("services") for port in one["spec"].get("ports") or []
    }
    for port in spec.get("ports") or []:
        if "nodePort" not in port:
            candidates = Random(len(taken)).sample(range(30000, 32768), 2768)
            port["nodePort"] = _first_free(candidates, taken)
        taken.add(port["nodePort"])


def _first_free(candidates: Iterable[_T], taken: Collection[object]) -> _T:
    return next(one for one in candidates if one not in taken)
