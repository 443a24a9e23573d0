"""Who owns which field of a Node: the managedFields that K3s, Cilium and the admin leave behind.

Half of a Node's bytes are these. They are equal on all nodes of one kind, and shared between them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from axiom_tui.model.naming import Role
from axiom_tui.model.node import CONTROL_PLANE_LABEL, ETCD_LABEL, NODE_ARGS_ANNOTATION
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL
from axiom_tui.simulator.manifests import Manifest


def _fields(*names: str) -> Manifest:
    return {f"f:{name}": {} for name in names}


@functools.lru_cache(maxsize=64)
def _field_sets(role: Role, public: bool, pooled: bool) -> Sequence[tuple[str, str, Manifest]]:
    """Manager, subresource and fields of what K3s, the cloud controller, the admin and Cilium own."""
    server = role is Role.SERVER
    roles = [CONTROL_PLANE_LABEL, ETCD_LABEL] if server else []
    own_annotations = ["k3s.io/hostname", "k3s.io/internal-ip", NODE_ARGS_ANNOTATION]
    own_annotations += ["k3s.io/node-config-hash", "k3s.io/node-env"] + (
        ["k3s.io/external-ip"] if public else []
    )
    if server:
        own_annotations += ["etcd.k3s.cattle.io/node-address", "etcd.k3s.cattle.io/node-name"]
    labels = ["beta.kubernetes.io/arch", "beta.kubernetes.io/os", "kubernetes.io/arch"]
    labels += ["kubernetes.io/hostname", "kubernetes.io/os"]
    kinds = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"] + (["EtcdIsVoter"] if server else [])
    parts = ("lastHeartbeatTime", "lastTransitionTime", "message", "reason", "status", "type")
    conditions = {f'k:{{"type":"{kind}"}}': {".": {}, **_fields(*parts)} for kind in kinds}
    network = {'k:{"type":"NetworkUnavailable"}': {".": {}, **_fields(*parts)}}
    address_kinds = ["InternalIP", "Hostname"] + (["ExternalIP"] if public else [])
    addresses = {f'k:{{"type":"{kind}"}}': {".": {}, **_fields("address", "type")} for kind in address_kinds}
    amounts = _fields("cpu", "ephemeral-storage", "hugepages-1Gi", "hugepages-2Mi", "memory", "pods")
    info = _fields(
        *("architecture", "bootID", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion"),
        *("kubeletVersion", "machineID", "operatingSystem", "osImage", "systemUUID"),
    )
    registered = {
        "f:metadata": {
            "f:annotations": {".": {}, **_fields("volumes.kubernetes.io/controller-managed-attach-detach")},
            "f:labels": {".": {}, **_fields(*labels)},
        },
        "f:spec": {"f:providerID": {}},
    }
    annotated = {
        "f:metadata": {
            "f:annotations": _fields(*own_annotations),
            "f:finalizers": {".": {}, 'v:"wrangler.cattle.io/node"': {}},
            "f:labels": _fields("node.kubernetes.io/instance-type", *roles),
        }
    }
    controller = {
        "f:metadata": {"f:annotations": _fields("node.alpha.kubernetes.io/ttl")},
        "f:spec": {"f:podCIDR": {}, "f:podCIDRs": {".": {}, 'v:"10.42.0.0/24"': {}}},
    }
    status = {
        "f:metadata": {"f:annotations": _fields("csi.volume.kubernetes.io/nodeid")},
        "f:status": {
            "f:addresses": {".": {}, **addresses},
            "f:allocatable": {".": {}, **amounts},
            "f:capacity": {".": {}, **amounts},
            "f:conditions": conditions,
            "f:images": {},
            "f:nodeInfo": info,
            "f:runtimeHandlers": {},
        },
    }
    sets: list[tuple[str, str, Manifest]] = [
        ("k3s", "", registered),
        ("k3s", "", annotated),
        ("k3s", "", controller),
        ("cilium-operator-generic", "status", {"f:status": {"f:conditions": network}}),
        ("k3s", "status", status),
    ]
    if pooled:
        own = {"f:metadata": {"f:labels": _fields(ENABLE_LABEL, POOL_LABEL)}}
        sets.append(("kubectl-label", "", own))
    return sets


@functools.lru_cache(maxsize=1024)
def managed_fields(role: Role, public: bool, pooled: bool, created: str, now: str) -> list[Manifest]:
    entries = []
    for manager, subresource, fields in _field_sets(role, public, pooled):
        entry: Manifest = {
            "manager": manager,
            "operation": "Update",
            "apiVersion": "v1",
            "time": now if subresource else created,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }
        if subresource:
            entry["subresource"] = subresource
        entries.append(entry)
    return entries
