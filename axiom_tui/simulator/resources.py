"""Which resources the embedded API server knows: names, verbs, subresources, and how each behaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
READ_VERBS = ("get", "list")
WRITE_PART = ("get", "patch", "update")


@dataclass(frozen=True)
class Subresource:
    """A part of an object with an own path, as discovery names it.

    A ``status`` subresource is written apart from the rest of the object; other names need an own handler.
    """

    name: str
    verbs: tuple[str, ...] = WRITE_PART
    kind: str = ""
    group: str = ""
    version: str = ""


@dataclass(frozen=True)
class Resource:
    """One kind of object of the API. Register it with `ObjectStore.register` and it is served.

    ``zero`` is the rest of an empty object as Go writes it: bookmarks carry it, and the managed fields of a
    new object are compared with it. ``selectable`` maps a field selector's name to the path in the object
    (``metadata.name`` and ``metadata.namespace`` always work). ``custom`` marks custom resources: their list
    items carry kind and apiVersion, and they know no strategic merge. ``bare`` marks computed objects
    (metrics): no uid, no version, no watch.
    """

    plural: str
    kind: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    storage_hash: str = ""
    zero: Mapping[str, Any] = field(default_factory=dict)
    selectable: Mapping[str, str] = field(default_factory=dict)
    custom: bool = False
    bare: bool = False
    has_generation: bool = False
    returns_deleted: bool = False
    repeated_label_causes: int = 1  # how often the server names one bad label when an object is updated
    singular: str = ""
    stored: bool = True
    converted_from: str = ""  # the same objects under another group: they are kept as this resource
    creates_on_update: bool = False  # a PUT of an object that is not there creates it
    needs_version: bool = False  # a PUT without a resourceVersion is refused

    @property
    def key(self) -> str:
        """The name in the store: ``nodes``, ``leases.coordination.k8s.io``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular_name(self) -> str:
        return self.singular or self.kind.lower()

    @property
    def has_status(self) -> bool:
        return any(part.name == "status" for part in self.subresources)


_STATUS = (Subresource("status"),)
_NODE_INFO = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
)
_POD_TEMPLATE = {"metadata": {}, "spec": {"containers": None}}
_EVENT_FIELDS = {
    "involvedObject.kind": "involvedObject.kind",
    "involvedObject.namespace": "involvedObject.namespace",
    "involvedObject.name": "involvedObject.name",
    "involvedObject.uid": "involvedObject.uid",
    "involvedObject.apiVersion": "involvedObject.apiVersion",
    "involvedObject.resourceVersion": "involvedObject.resourceVersion",
    "involvedObject.fieldPath": "involvedObject.fieldPath",
    "reason": "reason",
    "reportingComponent": "reportingComponent",
    "source": "source.component",
    "type": "type",
}
# The same objects under events.k8s.io: its name of a field -> the name by which core events select.
_NEW_EVENT_FIELDS = {
    "regarding.kind": "involvedObject.kind",
    "regarding.namespace": "involvedObject.namespace",
    "regarding.name": "involvedObject.name",
    "regarding.uid": "involvedObject.uid",
    "reason": "reason",
    "reportingController": "reportingComponent",
    "type": "type",
}

NODES = Resource(
    "nodes",
    "Node",
    namespaced=False,
    short_names=("no",),
    subresources=_STATUS,
    storage_hash="XwShjMxG9Fs=",
    zero={
        "spec": {},
        "status": {
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": dict.fromkeys(_NODE_INFO, ""),
        },
    },
    selectable={"spec.unschedulable": "spec.unschedulable"},
    repeated_label_causes=4,
)

PODS = Resource(
    "pods",
    "Pod",
    short_names=("po",),
    categories=("all",),
    subresources=(
        Subresource("eviction", ("create",), kind="Eviction", group="policy", version="v1"),
        Subresource("status"),
    ),
    storage_hash="xPOwRZ+Yhw8=",
    zero={"spec": {"containers": None}, "status": {}},
    selectable={
        "spec.nodeName": "spec.nodeName",
        "spec.restartPolicy": "spec.restartPolicy",
        "spec.schedulerName": "spec.schedulerName",
        "spec.serviceAccountName": "spec.serviceAccountName",
        "spec.hostNetwork": "spec.hostNetwork",
        "status.phase": "status.phase",
        "status.podIP": "status.podIP",
        "status.nominatedNodeName": "status.nominatedNodeName",
    },
    has_generation=True,
    returns_deleted=True,
)

SERVICES = Resource(
    "services",
    "Service",
    short_names=("svc",),
    categories=("all",),
    subresources=_STATUS,
    storage_hash="0/CO1lhkEBI=",
    zero={"spec": {}, "status": {"loadBalancer": {}}},
    selectable={"spec.clusterIP": "spec.clusterIP", "spec.type": "spec.type"},
    returns_deleted=True,
)

PRIORITY_CLASSES = Resource(
    "priorityclasses",
    "PriorityClass",
    group="scheduling.k8s.io",
    namespaced=False,
    short_names=("pc",),
    storage_hash="1QwjyaZjj3Y=",
    zero={"value": 0},
    has_generation=True,
)

LEASES = Resource(
    "leases",
    "Lease",
    group="coordination.k8s.io",
    storage_hash="gqkMMb/YqFM=",
    zero={"spec": {}},
    creates_on_update=True,
    needs_version=True,
)

STANDARD: tuple[Resource, ...] = (
    Resource("configmaps", "ConfigMap", short_names=("cm",), storage_hash="qFsyl6wFWjQ="),
    Resource(
        "endpoints", "Endpoints", short_names=("ep",), storage_hash="fWeeMqaN/OA=", singular="endpoints"
    ),
    Resource(
        "events",
        "Event",
        short_names=("ev",),
        storage_hash="r2yiGXH7wu8=",
        zero={
            "involvedObject": {},
            "source": {},
            "firstTimestamp": None,
            "lastTimestamp": None,
            "eventTime": None,
            "reportingComponent": "",
            "reportingInstance": "",
        },
        selectable=_EVENT_FIELDS,
    ),
    Resource(
        "namespaces",
        "Namespace",
        namespaced=False,
        short_names=("ns",),
        verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
        subresources=_STATUS,
        storage_hash="Q3oi5N2YM8M=",
        zero={"spec": {}, "status": {}},
        selectable={"status.phase": "status.phase"},
        returns_deleted=True,
    ),
    NODES,
    Resource(
        "persistentvolumeclaims",
        "PersistentVolumeClaim",
        short_names=("pvc",),
        subresources=_STATUS,
        storage_hash="QWTyNDq0dC4=",
        zero={"spec": {"resources": {}}, "status": {}},
        returns_deleted=True,
    ),
    Resource(
        "persistentvolumes",
        "PersistentVolume",
        namespaced=False,
        short_names=("pv",),
        subresources=_STATUS,
        storage_hash="HN/zwEC+JgM=",
        zero={"spec": {}, "status": {}},
        returns_deleted=True,
    ),
    PODS,
    Resource("secrets", "Secret", storage_hash="S6u1pOWzb84=", selectable={"type": "type"}),
    Resource("serviceaccounts", "ServiceAccount", short_names=("sa",), storage_hash="pbx9ZvyFpBE="),
    SERVICES,
    Resource(
        "daemonsets",
        "DaemonSet",
        group="apps",
        short_names=("ds",),
        categories=("all",),
        subresources=_STATUS,
        storage_hash="dd7pWHUlMKQ=",
        zero={
            "spec": {"selector": None, "template": _POD_TEMPLATE, "updateStrategy": {}},
            "status": {
                "currentNumberScheduled": 0,
                "numberMisscheduled": 0,
                "desiredNumberScheduled": 0,
                "numberReady": 0,
            },
        },
        has_generation=True,
    ),
    Resource(
        "deployments",
        "Deployment",
        group="apps",
        short_names=("deploy",),
        categories=("all",),
        subresources=_STATUS,
        storage_hash="8aSe+NMegvE=",
        zero={"spec": {"selector": None, "template": _POD_TEMPLATE, "strategy": {}}, "status": {}},
        has_generation=True,
    ),
    Resource(
        "replicasets",
        "ReplicaSet",
        group="apps",
        short_names=("rs",),
        categories=("all",),
        subresources=_STATUS,
        storage_hash="P1RzHs8/mWQ=",
        zero={"spec": {"selector": None, "template": _POD_TEMPLATE}, "status": {"replicas": 0}},
        has_generation=True,
    ),
    Resource(
        "statefulsets",
        "StatefulSet",
        group="apps",
        short_names=("sts",),
        categories=("all",),
        subresources=_STATUS,
        storage_hash="H+vl74LkKdo=",
        zero={
            "spec": {
                "selector": None,
                "template": _POD_TEMPLATE,
                "serviceName": "",
                "updateStrategy": {},
            },
            "status": {"replicas": 0, "availableReplicas": 0},
        },
        has_generation=True,
    ),
    Resource(
        "events",
        "Event",
        group="events.k8s.io",
        short_names=("ev",),
        verbs=("get", "list", "watch"),
        storage_hash="r2yiGXH7wu8=",
        zero={
            "eventTime": None,
            "regarding": {},
            "deprecatedSource": {},
            "deprecatedFirstTimestamp": None,
            "deprecatedLastTimestamp": None,
        },
        selectable=_NEW_EVENT_FIELDS,
        converted_from="events",
    ),
    Resource(
        "ingresses",
        "Ingress",
        group="networking.k8s.io",
        short_names=("ing",),
        subresources=_STATUS,
        zero={"spec": {}, "status": {"loadBalancer": {}}},
        has_generation=True,
    ),
    Resource(
        "poddisruptionbudgets",
        "PodDisruptionBudget",
        group="policy",
        short_names=("pdb",),
        subresources=_STATUS,
        storage_hash="EVWiDmWqyJw=",
        zero={
            "spec": {},
            "status": {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
        },
        has_generation=True,
    ),
    PRIORITY_CLASSES,
    LEASES,
    Resource(
        "etcdsnapshotfiles",
        "ETCDSnapshotFile",
        group="k3s.cattle.io",
        namespaced=False,
        verbs=("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"),
        subresources=_STATUS,
        custom=True,
        has_generation=True,
        needs_version=True,
    ),
)

METRICS: tuple[Resource, ...] = (
    Resource(
        "nodes",
        "NodeMetrics",
        group="metrics.k8s.io",
        version="v1beta1",
        namespaced=False,
        verbs=READ_VERBS,
        bare=True,
    ),
    Resource("pods", "PodMetrics", group="metrics.k8s.io", version="v1beta1", verbs=READ_VERBS, bare=True),
)

# Reviews are created and answered, never stored.
REVIEWS: tuple[Resource, ...] = (
    Resource(
        "selfsubjectreviews",
        "SelfSubjectReview",
        group="authentication.k8s.io",
        namespaced=False,
        verbs=("create",),
        stored=False,
    ),
    Resource(
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        group="authorization.k8s.io",
        namespaced=False,
        verbs=("create",),
        zero={"spec": {}, "status": {"allowed": False}},
        stored=False,
    ),
    Resource(
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
        group="authorization.k8s.io",
        namespaced=False,
        verbs=("create",),
        zero={"spec": {}},
        stored=False,
    ),
)
