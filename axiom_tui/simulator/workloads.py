"""Everything but nodes, as Kubernetes objects: workloads and their pods, Services, namespaces, classes."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from axiom_tui.model.naming import Role
from axiom_tui.model.pools import POOL_LABEL
from axiom_tui.simulator import manifests
from axiom_tui.simulator.cast import Machine
from axiom_tui.simulator.inventory import (
    CLUSTER_CRITICAL,
    CORE_NAMESPACES,
    DAEMONS,
    NODE_CRITICAL,
    PRIORITIES,
    SERVICES,
    WORKLOADS,
    Exposed,
    Workload,
)
from axiom_tui.simulator.manifests import Manifest, metadata, stamp, uid


def namespace(name: str, created: datetime) -> Manifest:
    core = {"axiom.technat.ch/core": "true"} if name in CORE_NAMESPACES else {}
    return manifests.namespace(name, created, core)


def priority_classes(created: datetime) -> list[Manifest]:
    """The built-in ones, ``core`` and ``infra``; fault: ``workload`` is missing."""
    texts = {
        NODE_CRITICAL: "Used for system critical pods that must not be moved from their current node.",
        CLUSTER_CRITICAL: "Used for system critical pods that must run in the cluster, but can be moved to "
        "another node if necessary.",
        "core": "Core add-ons: cert-manager, external secrets, Argo CD, Hubble.",
        "infra": "Infrastructure: CSI drivers, monitoring.",
    }
    return [manifests.priority_class(name, PRIORITIES[name], created, text) for name, text in texts.items()]


def place(machines: Sequence[Machine], now: datetime) -> dict[str, list[Manifest]]:
    """Everything but the DaemonSets' pods, by the store's plural; pods go to the machines in turn."""
    founded = now - max((machine.age for machine in machines), default=timedelta(days=1))
    placed: dict[str, list[Manifest]] = defaultdict(list)
    placed["services"] = [_service(item, founded, index) for index, item in enumerate(SERVICES)]
    for daemon in DAEMONS:
        placed["daemonsets.apps"].append(_controller(daemon, founded, len(machines)))
    agents = [machine for machine in machines if machine.role is Role.AGENT] or list(machines)
    turn = 0
    for workload in WORKLOADS:
        plural = "deployments.apps" if workload.kind == "Deployment" else "statefulsets.apps"
        placed[plural].append(_controller(workload, founded, workload.replicas))
        if workload.kind == "Deployment":
            placed["replicasets.apps"].append(_replica_set(workload, founded))
        fitting = [
            machine for machine in agents if workload.architecture in ("", machine.architecture)
        ] or agents
        for index in range(workload.replicas if agents else 0):
            turn += 1
            placed["pods"].append(_pod(workload, fitting[turn % len(fitting)], index, now))
    return placed


def daemon_pods(machines: Iterable[Machine], now: datetime) -> list[Manifest]:
    """The pods that run on each of these machines."""
    return [_pod(daemon, machine, 0, now) for machine in machines for daemon in DAEMONS]


def set_ready(pod: Manifest, ready: bool, moment: datetime) -> None:
    """What the node controller (or the kubelet) writes when the pod's node goes or comes back."""
    for item in pod["status"]["conditions"]:
        if item["type"] == "Ready":
            item["status"] = "True" if ready else "False"
            item["lastTransitionTime"] = stamp(moment)


def _controller(workload: Workload, founded: datetime, replicas: int) -> Manifest:
    spec: Manifest = {
        "selector": {"matchLabels": workload.labels},
        "template": {"metadata": {"labels": workload.labels}, "spec": _pod_spec(workload)},
    }
    if workload.kind == "DaemonSet":
        spec["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}
        counts = ("currentNumberScheduled", "desiredNumberScheduled", "numberAvailable", "numberReady")
        status = dict.fromkeys((*counts, "updatedNumberScheduled"), replicas) | {"numberMisscheduled": 0}
    else:
        spec["replicas"] = replicas
        names = ("availableReplicas", "readyReplicas", "replicas", "updatedReplicas")
        status = dict.fromkeys(names, replicas)
        if workload.kind == "StatefulSet":
            spec |= {"serviceName": workload.name, "updateStrategy": {"type": "RollingUpdate"}}
        else:
            spec["strategy"] = {"type": "RollingUpdate"}
    return {
        "apiVersion": "apps/v1",
        "kind": workload.kind,
        "metadata": metadata(
            workload.name,
            founded,
            workload.kind,
            namespace=workload.namespace,
            generation=1,
            labels=workload.labels,
        ),
        "spec": spec,
        "status": {"observedGeneration": 1, **status},
    }


def _replica_set(workload: Workload, founded: datetime) -> Manifest:
    name = f"{workload.name}-{workload.revision}"
    labels = {**workload.labels, "pod-template-hash": workload.revision}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": metadata(
            name,
            founded,
            "ReplicaSet",
            namespace=workload.namespace,
            generation=1,
            labels=labels,
            ownerReferences=[_owner("Deployment", workload.namespace, workload.name)],
        ),
        "spec": {
            "replicas": workload.replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": _pod_spec(workload)},
        },
        "status": {
            "availableReplicas": workload.replicas,
            "fullyLabeledReplicas": workload.replicas,
            "observedGeneration": 1,
            "readyReplicas": workload.replicas,
            "replicas": workload.replicas,
        },
    }


def _owner(kind: str, namespace: str, name: str) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "name": name,
        "uid": uid(kind, namespace, name),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _pod_spec(workload: Workload) -> Manifest:
    spec: Manifest = {
        "containers": [
            {
                "name": workload.name,
                "image": workload.image,
                "imagePullPolicy": "IfNotPresent",
                "ports": [{"containerPort": workload.port, "protocol": "TCP"}],
                "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "serviceAccountName": workload.name,
        "terminationGracePeriodSeconds": 30,
    }
    if workload.priority_class:
        spec["priorityClassName"] = workload.priority_class
    if workload.host_network:
        spec["hostNetwork"] = True
    if workload.architecture:
        term = {"key": "kubernetes.io/arch", "operator": "In", "values": [workload.architecture]}
        terms = {"nodeSelectorTerms": [{"matchExpressions": [term]}]}
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    return spec


def _pod(workload: Workload, machine: Machine, index: int, now: datetime) -> Manifest:
    seed = hashlib.sha256(f"{workload.namespace}/{workload.name}/{machine.name}/{index}".encode()).hexdigest()
    labels = dict(workload.labels)
    match workload.kind:
        case "Deployment":
            owner = _owner("ReplicaSet", workload.namespace, f"{workload.name}-{workload.revision}")
            name = f"{workload.name}-{workload.revision}-{seed[:5]}"
            labels["pod-template-hash"] = workload.revision
        case "StatefulSet":
            owner = _owner("StatefulSet", workload.namespace, workload.name)
            name = f"{workload.name}-{index}"
            labels["statefulset.kubernetes.io/pod-name"] = name
        case _:
            owner = _owner("DaemonSet", workload.namespace, workload.name)
            name = f"{workload.name}-{seed[:5]}"
            labels["pod-template-generation"] = "1"
    created = now - min(machine.age, timedelta(days=9, hours=int(seed[:2], 16) % 24))
    since = stamp(created + timedelta(seconds=25))
    pod_ip = (
        machine.tailnet_ip
        if workload.host_network
        else f"10.{42 + machine.number // 256 % 8}.{machine.number % 256}.{int(seed[2:4], 16) % 240 + 10}"
    )
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(
            name,
            created,
            "pod",
            namespace=workload.namespace,
            generateName=name[: -len(name.rsplit("-", 1)[1])],
            labels=labels,
            ownerReferences=[owner],
        ),
        "spec": {
            **_pod_spec(workload),
            "nodeName": machine.node_name,
            "preemptionPolicy": "PreemptLowerPriority",
            "priority": PRIORITIES[workload.priority_class],
        },
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": since}
                for kind in (
                    "PodReadyToStartContainers",
                    "Initialized",
                    "Ready",
                    "ContainersReady",
                    "PodScheduled",
                )
            ],
            "hostIP": machine.tailnet_ip,
            "hostIPs": [{"ip": machine.tailnet_ip}],
            "podIP": pod_ip,
            "podIPs": [{"ip": pod_ip}],
            "qosClass": "Burstable",
            "startTime": stamp(created),
            "containerStatuses": [
                {
                    "name": workload.name,
                    "image": workload.image,
                    "imageID": f"{workload.image.split(':')[0]}@sha256:{seed}",
                    "containerID": f"containerd://{seed[::-1]}",
                    "ready": True,
                    "started": True,
                    "restartCount": int(seed[4], 16) // 5,
                    "state": {"running": {"startedAt": since}},
                    "lastState": {},
                }
            ],
        },
    }


def _service(exposed: Exposed, founded: datetime, index: int) -> Manifest:
    labels = {"app.kubernetes.io/name": exposed.target or exposed.name}
    if exposed.pool:
        labels[POOL_LABEL] = exposed.pool
    annotations = {"external-dns.alpha.kubernetes.io/hostname": exposed.host} if exposed.host else {}
    address = (
        "10.43.0.1" if exposed.name == "kubernetes" else f"10.43.{index * 17 % 250}.{index * 29 % 240 + 10}"
    )
    balanced = exposed.pool is not None
    ports: list[Manifest] = []
    for offset, (name, port, protocol) in enumerate(exposed.ports):
        item: Manifest = {"name": name, "port": port, "protocol": protocol, "targetPort": port}
        if balanced:
            item["nodePort"] = 30000 + (index * 811 + offset * 97) % 2767
        ports.append(item)
    spec: Manifest = {
        "clusterIP": address,
        "clusterIPs": [address],
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "ports": ports,
        "sessionAffinity": "None",
        "type": "LoadBalancer" if balanced else "ClusterIP",
    }
    if balanced:
        spec |= {"allocateLoadBalancerNodePorts": True, "externalTrafficPolicy": "Cluster"}
    if exposed.target:
        spec["selector"] = {"app.kubernetes.io/name": exposed.target}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(
            exposed.name,
            founded,
            "service",
            namespace=exposed.namespace,
            labels=labels,
            annotations=annotations,
        ),
        "spec": spec,
        "status": {"loadBalancer": {}},
    }
