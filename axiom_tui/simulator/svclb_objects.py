"""The Kubernetes objects that servicelb, the DaemonSet controller and the kubelets write for a Service.

Facts: k3s-and-backups.md, 2.1. K3s keeps them in a namespace of their own (``--servicelb-namespace``).
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import yaml

from axiom_tui.simulator.cluster_views import (
    NODE_FIELD,
    REVISION_LABEL,
    SERVICE_NAME_LABEL,
    SERVICE_NAMESPACE_LABEL,
    NodeView,
)
from axiom_tui.simulator.manifests import Manifest, uid
from axiom_tui.simulator.statuses import Json

ENABLE_LABEL = "svccontroller.k3s.cattle.io/enablelb"
POOL_LABEL = "svccontroller.k3s.cattle.io/lbpool"
SELECTOR_LABEL = "svccontroller.k3s.cattle.io/nodeselector"
PRIORITY_ANNOTATION = "svccontroller.k3s.cattle.io/priorityclassname"
TOLERATIONS_ANNOTATION = "svccontroller.k3s.cattle.io/tolerations"

DEFAULT_PRIORITY = "system-node-critical"
ACCOUNT = "svclb"
IMAGE = "rancher/klipper-lb:v0.4.13"
LONGEST_SERVICE_NAME = 48

_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"

#: Every svclb DaemonSet tolerates these; `daemon_tolerations` come on top in its pods.
BUILT_IN_TOLERATIONS = (
    {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "CriticalAddonsOnly", "operator": "Exists"},
)
#: What the DaemonSet controller gives to every pod of every DaemonSet.
_DAEMON_TOLERATIONS = tuple(
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect}
    for key, effect in (
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    )
)


class BadAnnotation(ValueError):
    """An annotation of the Service that cannot be read; servicelb then leaves everything as it is."""


def daemon_set_name(service: Json) -> str:
    metadata = service["metadata"]
    return f"svclb-{metadata['name'][:LONGEST_SERVICE_NAME]}-{metadata['uid'][:8]}"


def service_of(daemon: Json) -> str:
    """namespace/name of the Service that a DaemonSet belongs to."""
    labels = daemon["metadata"].get("labels") or {}
    return f"{labels.get(SERVICE_NAMESPACE_LABEL, '')}/{labels.get(SERVICE_NAME_LABEL, '')}"


def node_selector(service: Json, allow_list: bool) -> dict[str, str]:
    """The selector that a sync of the Service gives (2.2). ``allow_list``: some node has `ENABLE_LABEL`."""
    if not allow_list:
        return {}
    pool = (service["metadata"].get("labels") or {}).get(POOL_LABEL)
    return {ENABLE_LABEL: "true", **({POOL_LABEL: pool} if pool else {})}


def tolerations(service: Json) -> list[Json]:
    """The built-in ones and those of the annotation, a YAML or JSON list. Raises `BadAnnotation`."""
    text = (service["metadata"].get("annotations") or {}).get(TOLERATIONS_ANNOTATION)
    return [*(dict(item) for item in BUILT_IN_TOLERATIONS), *(_parsed(text) if text else [])]


def _parsed(text: str) -> list[Json]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadAnnotation(f"failed to parse tolerations: {error}") from error
    fields = {"key", "operator", "value", "effect", "tolerationSeconds"}
    for item in found if isinstance(found, list) else [found]:
        if not isinstance(found, list) or not isinstance(item, dict) or not set(item) <= fields:
            raise BadAnnotation(f"failed to parse tolerations: {text!r} is no list of tolerations")
        if not all(isinstance(value, str) for key, value in item.items() if key != "tolerationSeconds"):
            raise BadAnnotation(f"failed to parse tolerations: {item!r} has values that are no text")
    return found or []


def daemon_set(service: Json, namespace: str, *, allow_list: bool) -> Manifest:
    """The DaemonSet of a Service. Raises `BadAnnotation`."""
    metadata, spec = service["metadata"], service["spec"]
    name = daemon_set_name(service)
    link = {SERVICE_NAME_LABEL: metadata["name"], SERVICE_NAMESPACE_LABEL: metadata["namespace"]}
    template: Manifest = {
        "automountServiceAccountToken": False,
        "containers": [_container(service, port) for port in spec.get("ports") or []],
        "dnsPolicy": "ClusterFirst",
        "priorityClassName": (metadata.get("annotations") or {}).get(PRIORITY_ANNOTATION) or DEFAULT_PRIORITY,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {"sysctls": [{"name": "net.ipv4.ip_forward", "value": "1"}]},
        "serviceAccount": ACCOUNT,
        "serviceAccountName": ACCOUNT,
        "terminationGracePeriodSeconds": 30,
        "tolerations": tolerations(service),
    }
    selector = node_selector(service, allow_list)
    if selector:
        template["nodeSelector"] = selector
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {SELECTOR_LABEL: "true" if allow_list else "false", **link},
        },
        "spec": {
            "revisionHistoryLimit": 10,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name, **link}}, "spec": template},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
        },
        "status": {
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        },
    }


def _container(service: Json, port: Json) -> Manifest:
    protocol, number, spec = port.get("protocol", "TCP"), port["port"], service["spec"]
    is_local = spec.get("externalTrafficPolicy") == "Local"
    ranges = spec.get("loadBalancerSourceRanges") or ["0.0.0.0/0"]
    environment = {
        "SRC_PORT": str(number),
        "SRC_RANGES": ",".join(ranges),
        "DEST_PROTO": protocol,
        "DEST_PORT": str(port.get("nodePort", number) if is_local else number),
    }
    variables: list[Json] = [{"name": name, "value": value} for name, value in environment.items()]
    if is_local:
        source = {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.hostIPs"}}
        variables.append({"name": "DEST_IPS", "valueFrom": source})
    else:
        addresses = spec.get("clusterIPs") or [spec.get("clusterIP", "")]
        variables.append({"name": "DEST_IPS", "value": ",".join(addresses)})
    return {
        "name": f"lb-{protocol.lower()}-{number}",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "env": variables,
        "ports": [
            {
                "name": f"lb-{protocol.lower()}-{number}",
                "containerPort": number,
                "hostPort": number,
                "protocol": protocol,
            }
        ],
        "resources": {},
        "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }


def daemon_pod(
    daemon: Json, node: NodeView, revision: str, serial: int, priority: int, created: str
) -> Manifest:
    """The DaemonSet controller's Pod for one node: tied to it by affinity, for the scheduler to bind.

    ``serial`` makes its name; another one is needed if a pod has that name already.
    """
    metadata, template = daemon["metadata"], daemon["spec"]["template"]
    name = f"{metadata['name']}-{_suffix(f'{node.key} {serial}')}"
    term = {"matchFields": [{"key": NODE_FIELD, "operator": "In", "values": [node.key]}]}
    spec = template["spec"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "generateName": f"{metadata['name']}-",
            "namespace": metadata["namespace"],
            "uid": uid("pod", metadata["namespace"], name),
            "creationTimestamp": created,
            "labels": {
                **template["metadata"]["labels"],
                REVISION_LABEL: revision,
                "pod-template-generation": str(metadata["generation"]),
            },
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "DaemonSet",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            **spec,
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}
                }
            },
            "enableServiceLinks": True,
            "preemptionPolicy": "PreemptLowerPriority",
            "priority": priority,
            "tolerations": pod_tolerations(daemon),
        },
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }


def pod_tolerations(daemon: Json) -> list[Json]:
    """The DaemonSet's own, and those that its controller adds."""
    own = daemon["spec"]["template"]["spec"].get("tolerations") or []
    return [*own, *(dict(item) for item in _DAEMON_TOLERATIONS)]


def _suffix(text: str) -> str:
    """Five letters as the API server appends them to a generateName."""
    number, letters = int(hashlib.sha256(text.encode()).hexdigest()[:12], 16), ""
    while len(letters) < 5:
        number, index = divmod(number, len(_SUFFIX_LETTERS))
        letters += _SUFFIX_LETTERS[index]
    return letters


def revision_of(daemon: Json) -> str:
    """The same for the same pod template, so that a template that comes back needs no new pods."""
    encoded = msgspec.json.encode(daemon["spec"]["template"], order="sorted")
    return hashlib.sha256(encoded).hexdigest()[:10]


def _condition(kind: str, since: str, **why: str) -> Json:
    return {
        "type": kind,
        "status": "False" if why else "True",
        "lastProbeTime": None,
        "lastTransitionTime": since,
        **why,
    }


def refuse(pod: Json, message: str, since: str) -> None:
    """The scheduler finds no place for the pod."""
    pod["status"]["conditions"] = [_condition("PodScheduled", since, reason="Unschedulable", message=message)]


def bind(pod: Json, node_name: str, since: str) -> None:
    """The scheduler gives the pod to a node."""
    pod["spec"]["nodeName"] = node_name
    pod["status"]["conditions"] = [_condition("PodScheduled", since)]


def run(pod: Json, node: NodeView, since: str) -> None:
    """The kubelet has started the pod: it is Ready, with an address of the node's range."""
    digest = hashlib.sha256(pod["metadata"]["uid"].encode()).hexdigest()
    network = (node.pod_range or "10.42.0.0/24").rpartition(".")[0]
    address = f"{network}.{int(digest[:6], 16) % 240 + 10}"
    host = node.internal[0] if node.internal else ""
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    pod["status"].update(
        phase="Running",
        conditions=[_condition(kind, since) for kind in kinds],
        hostIP=host,
        hostIPs=[{"ip": host}],
        podIP=address,
        podIPs=[{"ip": address}],
        startTime=since,
        containerStatuses=[
            {
                "name": container["name"],
                "image": f"docker.io/{container['image']}",
                "imageID": f"docker.io/{IMAGE.split(':')[0]}@sha256:{'4f' * 32}",
                "containerID": f"containerd://{digest}",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": since}},
                "lastState": {},
            }
            for container in pod["spec"]["containers"]
        ],
    )


def event(about: Json, kind: str, reason: str, message: str, at: str, reporter: str) -> Manifest:
    """A core/v1 Event about an object; its name is the same for the same words."""
    metadata = about["metadata"]
    series = hashlib.sha256(f"{metadata['uid']} {reason} {message}".encode()).hexdigest()[:16]
    namespace = metadata.get("namespace", "default")
    subject: dict[str, Any] = {
        "kind": about["kind"],
        "apiVersion": about["apiVersion"],
        "namespace": namespace,
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{series}", "namespace": namespace},
        "involvedObject": subject,
        "reason": reason,
        "message": message,
        "source": {"component": reporter},
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
        "type": kind,
        "eventTime": None,
        "reportingComponent": reporter,
        "reportingInstance": "",
    }
