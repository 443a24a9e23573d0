"""What there is in the simulated cluster: namespaces, priorities, workloads, Services, and recent events.

What is out of order on purpose is marked ``fault:``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from axiom_tui.simulator.manifests import uid

NAMESPACES = (
    *("default", "kube-system", "kube-public", "kube-node-lease", "servicelb"),
    *("argocd", "cert-manager", "eso", "monitoring", "minecraft", "nextcloud", "gitea", "web"),
)
CORE_NAMESPACES = ("argocd", "cert-manager", "eso", "kube-system")

NODE_CRITICAL = "system-node-critical"
CLUSTER_CRITICAL = "system-cluster-critical"
PRIORITIES = {
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
