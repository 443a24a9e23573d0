"""Nodes of the simulated cluster as K3s, the kubelets and metrics-server write them.

Parts that are equal on all nodes (images, managedFields) are shared between the objects of one process and
must never be changed in place: the store copies what it changes. Shapes: Kubernetes 1.33, K3s 1.33
(facts: k3s-and-backups.md 1.6 to 1.8, services.md 7.4).
"""

from __future__ import annotations

import functools
import hashlib
import json
from datetime import datetime, timedelta

from axiom_tui.model.naming import Role
from axiom_tui.model.node import CONTROL_PLANE_LABEL, ETCD_LABEL, NODE_ARGS_ANNOTATION
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL
from axiom_tui.simulator import node_fields
from axiom_tui.simulator.cast import K3S_VERSION, Machine
from axiom_tui.simulator.manifests import Manifest, condition, metadata, micro_stamp, stamp, uid

API_HOST = "api.axiom.technat.ch"

_IMAGES = (
    ("quay.io/cilium/cilium", "v1.18.2", 723_468_812),
    ("docker.io/library/nextcloud", "31.0.8-apache", 512_806_411),
    ("docker.io/itzg/minecraft-server", "2026.10.1", 478_223_051),
    ("docker.io/grafana/grafana", "12.2.0", 206_177_904),
    ("quay.io/argoproj/argocd", "v3.2.1", 186_402_611),
    ("quay.io/prometheus/prometheus", "v3.7.1", 141_903_224),
    ("docker.io/gitea/gitea", "1.25.1-rootless", 79_340_115),
    ("registry.k8s.io/sig-storage/smbplugin", "v1.19.0", 71_223_900),
    ("docker.io/rancher/klipper-helm", "v0.9.10-build20251111", 66_090_212),
    ("oci.external-secrets.io/external-secrets/external-secrets", "v1.1.0", 55_310_707),
    ("quay.io/cilium/operator-generic", "v1.18.2", 49_881_210),
    ("quay.io/cilium/hubble-relay", "v1.18.2", 41_223_008),
    ("docker.io/library/redis", "8.2.2-alpine", 30_116_200),
    ("docker.io/rancher/mirrored-coredns-coredns", "1.13.1", 29_604_431),
    ("docker.io/rancher/mirrored-metrics-server", "v0.8.0", 22_463_117),
    ("quay.io/jetstack/cert-manager-controller", "v1.19.2", 21_804_222),
    ("docker.io/rancher/local-path-provisioner", "v0.0.32", 20_412_040),
    ("quay.io/jetstack/cert-manager-webhook", "v1.19.2", 17_904_020),
    ("quay.io/jetstack/cert-manager-cainjector", "v1.19.2", 15_990_471),
    ("quay.io/prometheus/node-exporter", "v1.10.2", 12_803_900),
    ("docker.io/library/nginx", "1.29.3-alpine", 22_009_377),
    ("registry.k8s.io/sig-storage/csi-node-driver-registrar", "v2.15.0", 14_080_330),
    ("registry.k8s.io/sig-storage/livenessprobe", "v2.17.0", 14_220_013),
    ("docker.io/rancher/klipper-lb", "v0.4.13", 5_020_426),
    ("docker.io/vaultwarden/server", "1.34.3-alpine", 61_204_992),
    ("quay.io/prometheus/alertmanager", "v0.28.1", 35_120_774),
    ("quay.io/prometheus-operator/prometheus-operator", "v0.86.1", 32_118_430),
    ("registry.k8s.io/kube-state-metrics/kube-state-metrics", "v2.17.0", 18_440_112),
    ("quay.io/cilium/hubble-ui-backend", "v0.13.3", 19_804_201),
    ("quay.io/cilium/hubble-ui", "v0.13.3", 11_140_022),
    ("ghcr.io/dexidp/dex", "v2.44.0", 46_330_199),
    ("docker.io/rancher/mirrored-pause", "3.6", 301_463),
)


def node(machine: Machine, now: datetime) -> Manifest:
    """A Node of about 12 KB."""
    name, created = machine.node_name, now - machine.age
    pod_range = f"10.{42 + machine.number // 256 % 8}.{machine.number % 256}.0/24"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata(
            name,
            created,
            "node",
            labels=node_labels(machine),
            annotations=_node_annotations(machine, now),
            finalizers=["wrangler.cattle.io/node"],
            managedFields=node_fields.managed_fields(
                machine.role, bool(machine.public_ip), bool(machine.pool), stamp(created), stamp(now)
            ),
        ),
        "spec": {"podCIDR": pod_range, "podCIDRs": [pod_range], "providerID": f"k3s://{name}"},
        "status": {
            "addresses": node_addresses(machine),
            "allocatable": _resources(machine, reserved=True),
            "capacity": _resources(machine, reserved=False),
            "conditions": node_conditions(machine, now),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "features": {"supplementalGroupsPolicy": True},
            "images": _images(machine.number % 5),
            "nodeInfo": _node_info(machine),
            "runtimeHandlers": [
                {"features": {"recursiveReadOnlyMounts": True, "userNamespaces": True}, "name": ""},
                {"features": {"recursiveReadOnlyMounts": True, "userNamespaces": True}, "name": "runc"},
            ],
        },
    }


def node_labels(machine: Machine) -> dict[str, str]:
    labels = {
        "beta.kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/instance-type": "k3s",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "kubernetes.io/hostname": machine.node_name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "k3s",
    }
    if machine.role is Role.SERVER:
        labels |= {CONTROL_PLANE_LABEL: "true", ETCD_LABEL: "true"}
    if machine.pool:
        labels |= {ENABLE_LABEL: "true", POOL_LABEL: machine.pool}
    return labels


def node_addresses(machine: Machine) -> list[dict[str, str]]:
    addresses = [{"type": "InternalIP", "address": machine.tailnet_ip}]
    if machine.public_ip:
        addresses.append({"type": "ExternalIP", "address": machine.public_ip})
    return [*addresses, {"type": "Hostname", "address": machine.node_name}]


def node_arguments(machine: Machine) -> list[str]:
    """The flags with which K3s runs there, secrets masked as K3s masks them (operator.md)."""
    addresses = ["--node-ip", machine.tailnet_ip]
    if machine.public_ip:
        addresses += ["--node-external-ip", machine.public_ip]
    join = ["--server", f"https://{API_HOST}:6443", "--token", "********"]
    if machine.role is Role.AGENT:
        return ["agent", *join, *addresses]
    return [
        "server",
        *(["--cluster-init"] if machine.first else join),
        *addresses,
        *("--advertise-address", machine.tailnet_ip, "--tls-san", API_HOST, "--disable", "traefik"),
        *("--disable-kube-proxy", "--disable-network-policy", "--flannel-backend", "none"),
        *("--secrets-encryption", "--servicelb-namespace", "servicelb"),
        *("--etcd-arg", "quota-backend-bytes=6442450944"),
    ]


def _node_annotations(machine: Machine, now: datetime) -> dict[str, str]:
    name = machine.node_name
    digest = hashlib.sha256(" ".join(node_arguments(machine)).encode()).hexdigest().upper()
    annotations = {
        "csi.volume.kubernetes.io/nodeid": json.dumps({"smb.csi.k8s.io": name}),
        "k3s.io/hostname": machine.name,
        "k3s.io/internal-ip": machine.tailnet_ip,
        NODE_ARGS_ANNOTATION: json.dumps(node_arguments(machine)),
        "k3s.io/node-config-hash": f"{digest[:52]}====",
        "k3s.io/node-env": "{}",
        "node.alpha.kubernetes.io/ttl": "0",
        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
    }
    if machine.public_ip:
        annotations["k3s.io/external-ip"] = machine.public_ip
    if machine.role is Role.SERVER:
        last_snapshot = now.replace(hour=now.hour // 12 * 12, minute=0, second=7)  # twice a day
        annotations |= {
            "etcd.k3s.cattle.io/local-snapshots-timestamp": stamp(last_snapshot),
            "etcd.k3s.cattle.io/node-address": machine.tailnet_ip,
            "etcd.k3s.cattle.io/node-name": f"{name}-{hashlib.sha256(name.encode()).hexdigest()[:8]}",
        }
        if not machine.first:
            annotations["alpha.kubernetes.io/provided-node-ip"] = machine.tailnet_ip
    return annotations


def node_conditions(machine: Machine, now: datetime) -> list[Manifest]:
    since = stamp(now - machine.age + timedelta(seconds=40))
    beat = stamp(now)
    conditions = []
    if machine.role is Role.SERVER:
        text = "Node is a voting member of the etcd cluster"
        conditions.append(condition("EtcdIsVoter", "True", "MemberNotLearner", text, since, beat))
    conditions.append(
        condition("NetworkUnavailable", "False", "CiliumIsUp", "Cilium is running on this node", since, since)
    )
    for kind, reason, text in (
        ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ):
        conditions.append(condition(kind, "False", reason, text, since, beat))
    conditions.append(
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status", since, beat)
    )
    return conditions


#: Conditions that the node controller sets to Unknown when a kubelet falls silent.
SILENCED = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")


def silence(node: Manifest, since: datetime) -> None:
    """What the node controller does to a node whose kubelet has stopped posting."""
    for item in node["status"]["conditions"]:
        if item["type"] in SILENCED:
            item["status"] = "Unknown"
            item["reason"] = "NodeStatusUnknown"
            item["message"] = "Kubelet stopped posting node status."
            item["lastTransitionTime"] = stamp(since)
    key = "node.kubernetes.io/unreachable"
    effects = ("NoSchedule", "NoExecute")
    _set_taints(node, [{"key": key, "effect": effect, "timeAdded": stamp(since)} for effect in effects])


def _set_taints(node: Manifest, taints: list[Manifest]) -> None:
    """Replace the taints that tell of the node's condition; others stay."""
    own = ("node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready")
    kept = [taint for taint in node["spec"].get("taints", []) if taint["key"] not in own]
    node["spec"].pop("taints", None)
    if kept or taints:
        node["spec"]["taints"] = kept + taints


def revive(node: Manifest, now: datetime, machine: Machine) -> None:
    """What the kubelet and the node controller write when the node is (back and) ready."""
    fresh = {item["type"]: item for item in node_conditions(machine, now)}
    for item in node["status"]["conditions"]:
        if item["type"] in SILENCED and item["status"] != fresh[item["type"]]["status"]:
            item.update(fresh[item["type"]], lastTransitionTime=stamp(now))
    _set_taints(node, [])


def not_ready_yet(node: Manifest, now: datetime) -> None:
    """A node that has just registered: no CNI on it yet."""
    for item in node["status"]["conditions"]:
        if item["type"] == "Ready":
            text = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
            text += "message:Network plugin returns error: cni plugin not initialized"
            item.update(status="False", reason="KubeletNotReady", message=text, lastTransitionTime=stamp(now))
    _set_taints(node, [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}])


def let_go(node: Manifest) -> None:
    """What K3s does when it has tidied up after a deleted node."""
    node["metadata"].pop("finalizers", None)


def beat(node: Manifest, now: datetime) -> None:
    """A heartbeat: the kubelet posts its status."""
    for item in node["status"]["conditions"]:
        if item["type"] in SILENCED and item["status"] != "Unknown":
            item["lastHeartbeatTime"] = stamp(now)


def flip_memory_pressure(node: Manifest, now: datetime) -> None:
    """The kubelet runs short of memory, or no longer does."""
    for item in node["status"]["conditions"]:
        if item["type"] != "MemoryPressure":
            continue
        short = item["status"] != "True"
        item["status"] = "True" if short else "False"
        item["reason"] = "KubeletHasInsufficientMemory" if short else "KubeletHasSufficientMemory"
        amount = "insufficient" if short else "sufficient"
        item["message"] = f"kubelet has {amount} memory available"
        item["lastHeartbeatTime"] = item["lastTransitionTime"] = stamp(now)


def lease(name: str, renewed: datetime, created: datetime) -> Manifest:
    """The heartbeat Lease of a node, in kube-node-lease."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid("node", "", name)}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata(name, created, "lease", namespace="kube-node-lease", ownerReferences=[owner]),
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": micro_stamp(renewed)},
    }


def node_metrics(machine: Machine, cpu: float, memory: float, now: datetime) -> Manifest:
    """NodeMetrics; ``cpu`` and ``memory`` are shares of the machine, 0 to 1."""
    return {
        "apiVersion": "metrics.k8s.io/v1beta1",
        "kind": "NodeMetrics",
        "metadata": {
            "name": machine.node_name,
            "creationTimestamp": stamp(now),
            "labels": node_labels(machine),
        },
        "timestamp": stamp(now),
        "window": "15.019s",
        "usage": node_usage(machine, cpu, memory),
    }


def node_usage(machine: Machine, cpu: float, memory: float) -> dict[str, str]:
    return {
        "cpu": f"{int(cpu * machine.cores * 1_000_000_000)}n",
        "memory": f"{int(memory * machine.memory_mib * 1024)}Ki",
    }


def node_event(
    name: str, reason: str, message: str, reporter: str, at: datetime, kind: str = "Normal"
) -> Manifest:
    """A core/v1 Event about a node (in namespace default, as for all cluster-scoped objects)."""
    series = hashlib.sha256(f"{name} {reason}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": metadata(f"{name}.{series}", at, "event", namespace="default"),
        "involvedObject": {"kind": "Node", "name": name, "uid": uid("node", "", name), "apiVersion": "v1"},
        "reason": reason,
        "message": message,
        "source": {"component": reporter},
        "firstTimestamp": stamp(at),
        "lastTimestamp": stamp(at),
        "count": 1,
        "type": kind,
        "eventTime": None,
        "reportingComponent": reporter,
        "reportingInstance": "",
    }


def _resources(machine: Machine, *, reserved: bool) -> dict[str, str]:
    disk = machine.disk_gib * 1024 * 1024
    return {
        "cpu": str(machine.cores),
        "ephemeral-storage": f"{disk * 1024 * 95 // 100}" if reserved else f"{disk}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": f"{machine.memory_mib * 1024}Ki",
        "pods": "110",
    }


def _node_info(machine: Machine) -> Manifest:
    seed = hashlib.sha256(machine.name.encode()).hexdigest()
    return {
        "architecture": machine.architecture,
        "bootID": uid("boot", machine.name),
        "containerRuntimeVersion": "containerd://2.0.5-k3s2"
        if machine.k3s_version == K3S_VERSION
        else "containerd://1.7.27-k3s1",
        "kernelVersion": "5.15.0-161-generic",
        "kubeProxyVersion": "",
        "kubeletVersion": machine.k3s_version,
        "machineID": seed[:32],
        "operatingSystem": "linux",
        "osImage": "Ubuntu 22.04.5 LTS",
        "systemUUID": uid("system", machine.name),
    }


@functools.cache
def _images(variant: int) -> list[Manifest]:
    """Five slightly different sets, since no two nodes pull quite the same."""
    images = []
    for index, (name, tag, size) in enumerate(_IMAGES):
        if index % 5 == variant and index > 4:
            continue
        digest = hashlib.sha256(f"{name}:{tag}".encode()).hexdigest()
        images.append({"names": [f"{name}@sha256:{digest}", f"{name}:{tag}"], "sizeBytes": size})
    images.sort(key=lambda image: -int(str(image["sizeBytes"])))
    return images
