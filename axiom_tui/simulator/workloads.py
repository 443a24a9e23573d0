"""What runs in the simulated cluster: namespaces, priority classes, Services, workloads and their pods."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from axiom_tui.model.naming import Role
from axiom_tui.model.pools import POOL_LABEL
from axiom_tui.simulator import manifests
from axiom_tui.simulator.cast import Machine
from axiom_tui.simulator.manifests import Manifest, metadata, stamp, uid

NAMESPACES = (
    *("default", "kube-system", "kube-public", "kube-node-lease", "servicelb"),
    *("argocd", "cert-manager", "eso", "monitoring", "minecraft", "nextcloud", "gitea", "web"),
)
_CORE_NAMESPACES = ("argocd", "cert-manager", "eso", "kube-system")

NODE_CRITICAL = "system-node-critical"
CLUSTER_CRITICAL = "system-cluster-critical"
_PRIORITIES = {
    NODE_CRITICAL: 2_000_001_000,
    CLUSTER_CRITICAL: 2_000_000_000,
    "core": 1_000_000_000,
    "infra": 100_000_000,
    "": 0,
}


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment, StatefulSet or DaemonSet and what its pods run; ``wave`` is Argo CD's sync wave."""

    namespace: str
    name: str
    kind: str
    image: str
    priority_class: str = ""
    replicas: int = 1
    host_network: bool = False
    port: int = 8080
    architecture: str = ""  # "" = runs on both

    @property
    def labels(self) -> dict[str, str]:
        return {"app.kubernetes.io/name": self.name, "app.kubernetes.io/instance": self.namespace}

    @property
    def revision(self) -> str:
        """The hash that a Deployment gives its ReplicaSet."""
        return hashlib.sha256(f"{self.namespace}/{self.name}".encode()).hexdigest()[:9]


DAEMONS = (
    Workload("kube-system", "cilium", "DaemonSet", "quay.io/cilium/cilium:v1.18.2", NODE_CRITICAL, 0, True),
    Workload(
        "kube-system",
        "csi-smb-node",
        "DaemonSet",
        "registry.k8s.io/sig-storage/smbplugin:v1.19.0",
        "infra",
        0,
        True,
    ),
    # fault: monitoring without its priority class
    Workload(
        "monitoring", "node-exporter", "DaemonSet", "quay.io/prometheus/node-exporter:v1.10.2", "", 0, True
    ),
)

WORKLOADS = (
    Workload(
        "kube-system",
        "cilium-operator",
        "Deployment",
        "quay.io/cilium/operator-generic:v1.18.2",
        CLUSTER_CRITICAL,
        2,
        True,
    ),
    Workload(
        "kube-system", "hubble-relay", "Deployment", "quay.io/cilium/hubble-relay:v1.18.2", "core", port=4245
    ),
    # fault: hubble belongs to level -3, its UI has no class
    Workload("kube-system", "hubble-ui", "Deployment", "quay.io/cilium/hubble-ui:v0.13.3"),
    Workload(
        "kube-system",
        "coredns",
        "Deployment",
        "rancher/mirrored-coredns-coredns:1.13.1",
        CLUSTER_CRITICAL,
        port=53,
    ),
    Workload(
        "kube-system", "metrics-server", "Deployment", "rancher/mirrored-metrics-server:v0.8.0", NODE_CRITICAL
    ),
    Workload(
        "kube-system",
        "local-path-provisioner",
        "Deployment",
        "rancher/local-path-provisioner:v0.0.32",
        NODE_CRITICAL,
    ),
    Workload(
        "kube-system",
        "csi-smb-controller",
        "Deployment",
        "registry.k8s.io/sig-storage/smbplugin:v1.19.0",
        "infra",
    ),
    Workload("argocd", "argocd-server", "Deployment", "quay.io/argoproj/argocd:v3.2.1", "core"),
    Workload("argocd", "argocd-repo-server", "Deployment", "quay.io/argoproj/argocd:v3.2.1", "core", 2),
    Workload(
        "argocd", "argocd-application-controller", "StatefulSet", "quay.io/argoproj/argocd:v3.2.1", "core"
    ),
    Workload("argocd", "argocd-redis", "Deployment", "library/redis:8.2.2-alpine", "core", port=6379),
    Workload(
        "cert-manager",
        "cert-manager",
        "Deployment",
        "quay.io/jetstack/cert-manager-controller:v1.19.2",
        "core",
    ),
    Workload(
        "cert-manager",
        "cert-manager-webhook",
        "Deployment",
        "quay.io/jetstack/cert-manager-webhook:v1.19.2",
        "core",
    ),
    Workload(
        "cert-manager",
        "cert-manager-cainjector",
        "Deployment",
        "quay.io/jetstack/cert-manager-cainjector:v1.19.2",
        "core",
    ),
    Workload("eso", "external-secrets", "Deployment", "external-secrets/external-secrets:v1.1.0", "core"),
    Workload(
        "eso", "external-secrets-webhook", "Deployment", "external-secrets/external-secrets:v1.1.0", "core"
    ),
    Workload("monitoring", "prometheus", "StatefulSet", "quay.io/prometheus/prometheus:v3.7.1", "infra"),
    # fault: monitoring without its priority class
    Workload("monitoring", "grafana", "Deployment", "grafana/grafana:12.2.0", port=3000),
    Workload("minecraft", "flasche", "StatefulSet", "itzg/minecraft-server:2026.10.1", port=25565),
    Workload("nextcloud", "nextcloud", "Deployment", "library/nextcloud:31.0.8-apache", port=80),
    Workload("gitea", "gitea", "Deployment", "gitea/gitea:1.25.1-rootless", architecture="amd64", port=3000),
    Workload("web", "site", "Deployment", "library/nginx:1.29.3-alpine", replicas=3, port=80),
)


@dataclass(frozen=True, slots=True)
class Exposed:
    """A Service; ``pool`` None is a ClusterIP, "" a LoadBalancer without a pool label."""

    namespace: str
    name: str
    ports: tuple[tuple[str, int, str], ...]  # name, port, protocol
    target: str  # the workload that it selects
    pool: str | None = None
    host: str = ""  # the name under which people know it


SERVICES = (
    Exposed("default", "kubernetes", (("https", 443, "TCP"),), ""),
    Exposed("kube-system", "kube-dns", (("dns", 53, "UDP"), ("dns-tcp", 53, "TCP")), "coredns"),
    Exposed("kube-system", "metrics-server", (("https", 443, "TCP"),), "metrics-server"),
    Exposed("kube-system", "hubble-relay", (("grpc", 80, "TCP"),), "hubble-relay"),
    Exposed("kube-system", "hubble-ui", (("http", 80, "TCP"),), "hubble-ui"),
    Exposed(
        *("kube-system", "cilium-ingress", (("http", 80, "TCP"), ("https", 443, "TCP")), ""),
        pool="internal",
        host="*.axiom.technat.ch",
    ),
    Exposed("argocd", "argocd-server", (("https", 443, "TCP"),), "argocd-server"),
    Exposed("cert-manager", "cert-manager-webhook", (("https", 443, "TCP"),), "cert-manager-webhook"),
    Exposed("eso", "external-secrets-webhook", (("https", 443, "TCP"),), "external-secrets-webhook"),
    Exposed("monitoring", "prometheus", (("http", 9090, "TCP"),), "prometheus"),
    Exposed(
        *("minecraft", "flasche", (("minecraft", 25565, "TCP"),), "flasche"),
        pool="external",
        host="flasche.technat.ch",
    ),
    Exposed("nextcloud", "nextcloud", (("http", 80, "TCP"),), "nextcloud"),
    # fault: asks for no pool, so every labelled node serves it, public ones too
    Exposed("gitea", "gitea-ssh", (("ssh", 2222, "TCP"),), "gitea", pool="", host="git.technat.ch"),
    Exposed("web", "site", (("http", 80, "TCP"),), "site"),
)


#: What happened on nodes in the last hour: node, how long ago, and reason, message, reporter.
PAST_EVENTS = (
    (
        "wall-a-5",
        timedelta(minutes=44),
        ("Rebooted", f"Node wall-a-5 has been rebooted, boot id: {uid('boot', 'WALL-A-5')}", "kubelet"),
    ),
    (
        "wall-a-4",
        timedelta(minutes=12),
        ("InvalidDiskCapacity", "invalid capacity 0 on image filesystem", "kubelet"),
    ),
)


def namespace(name: str, created: datetime) -> Manifest:
    core = {"axiom.technat.ch/core": "true"} if name in _CORE_NAMESPACES else {}
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
    return [manifests.priority_class(name, _PRIORITIES[name], created, text) for name, text in texts.items()]


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
            "priority": _PRIORITIES[workload.priority_class],
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
