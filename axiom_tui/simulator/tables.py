"""Server-side printing: the columns of ``as=Table``, as the real API server describes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from axiom_tui.simulator import cells
from axiom_tui.simulator.resources import Resource
from axiom_tui.simulator.statuses import Json

_NAME = (
    "Name must be unique within a namespace. Is required when creating resources, although some "
    "resources may allow a client to request the generation of an appropriate name automatically. Name "
    "is primarily intended for creation idempotence and configuration definition. Cannot be updated. "
    "More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
_AGE = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is "
    "not guaranteed to be set in happens-before order across separate operations. Clients may not set "
    "this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. "
    "Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
_ADDRESSES = (
    "List of addresses reachable to the node. Queried from cloud provider, if available. More info: "
    "https://kubernetes.io/docs/reference/node/node-status/#addresses Note: This field is declared as "
    "mergeable, but the merge key is not sufficiently unique, which can cause data corruption when it "
    "is merged. Callers should instead use a full-replacement patch. See https://pr.k8s.io/79391 for "
    "an example. Consumers should assume that addresses can change during the lifetime of a Node. "
    "However, there are some exceptions where this may not be possible, such as Pods that inherit a "
    "Node's address in its own status or consumers of the downward API (status.hostIP)."
)


@dataclass(frozen=True)
class Column:
    """One column; ``wide`` ones are shown by ``-o wide`` only. Without a title the description is short."""

    name: str
    description: str = ""
    type: str = "string"
    format: str = ""
    wide: bool = False

    @property
    def definition(self) -> Json:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description or self.name,
            "priority": 1 if self.wide else 0,
        }


Cells = Callable[[Json, datetime], list[Any]]


@dataclass(frozen=True)
class Printer:
    columns: tuple[Column, ...]
    cells: Cells

    @property
    def definitions(self) -> list[Json]:
        return [column.definition for column in self.columns]


def printer(resource: Resource) -> Printer:
    """How to print objects of this resource; kinds without an own printer show name and creation."""
    return _PRINTERS.get(resource.converted_from or resource.key, _DEFAULT)


def _columns(*described: str | Column) -> tuple[Column, ...]:
    """Columns from names; ``Name`` and ``Age`` are the well-known ones, ``+X`` is wide, ``#X`` a number."""
    columns: list[Column] = []
    for one in described:
        if isinstance(one, Column):
            columns.append(one)
        elif one == "Name":
            columns.append(Column("Name", _NAME, format="name"))
        elif one == "Age":
            columns.append(Column("Age", _AGE))
        else:
            kind = "integer" if "#" in one else "string"
            columns.append(Column(one.lstrip("+#"), type=kind, wide="+" in one))
    return tuple(columns)


def _wide(names: Iterable[str]) -> list[str]:
    return [f"+{name}" for name in names]


_DEFAULT = Printer(
    _columns("Name", Column("Created At", _AGE, type="date")),
    cells.named,
)

_PRINTERS: dict[str, Printer] = {
    "nodes": Printer(
        _columns(
            "Name",
            Column("Status", "The status of the node"),
            Column("Roles", "The roles of the node"),
            "Age",
            Column("Version", "Kubelet Version reported by the node."),
            Column("Internal-IP", _ADDRESSES, wide=True),
            Column("External-IP", _ADDRESSES, wide=True),
            Column(
                "OS-Image",
                "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy)).",
                wide=True,
            ),
            Column(
                "Kernel-Version",
                "Kernel Version reported by the node from 'uname -r' (e.g. 3.16.0-0.bpo.4-amd64).",
                wide=True,
            ),
            Column(
                "Container-Runtime",
                "ContainerRuntime Version reported by the node through runtime remote API "
                "(e.g. containerd://1.4.2).",
                wide=True,
            ),
        ),
        cells.node,
    ),
    "pods": Printer(
        _columns(
            "Name",
            "Ready",
            "Status",
            "Restarts",
            "Age",
            *_wide(("IP", "Node", "Nominated Node", "Readiness Gates")),
        ),
        cells.pod,
    ),
    "services": Printer(
        _columns("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "+Selector"), cells.service
    ),
    "priorityclasses.scheduling.k8s.io": Printer(
        _columns("Name", "#Value", Column("Global-Default", type="boolean"), "Age", "PreemptionPolicy"),
        cells.priority_class,
    ),
    "leases.coordination.k8s.io": Printer(_columns("Name", "Holder", "Age"), cells.lease),
    "daemonsets.apps": Printer(
        _columns(
            "Name",
            "#Desired",
            "#Current",
            "#Ready",
            "#Up-to-date",
            "#Available",
            "Node Selector",
            "Age",
            *_wide(("Containers", "Images", "Selector")),
        ),
        cells.daemon_set,
    ),
    "deployments.apps": Printer(
        _columns(
            "Name",
            "Ready",
            "Up-to-date",
            "Available",
            "Age",
            *_wide(("Containers", "Images", "Selector")),
        ),
        cells.deployment,
    ),
    "statefulsets.apps": Printer(
        _columns("Name", "Ready", "Age", *_wide(("Containers", "Images"))), cells.stateful_set
    ),
    "namespaces": Printer(_columns("Name", "Status", "Age"), cells.namespace),
    "events": Printer(
        _columns(
            "Last Seen",
            "Type",
            "Reason",
            "Object",
            *_wide(("Subobject", "Source")),
            "Message",
            *_wide(("First Seen", "#Count")),
            Column("Name", _NAME, format="name", wide=True),
        ),
        cells.event,
    ),
    "poddisruptionbudgets.policy": Printer(
        _columns("Name", "Min Available", "Max Unavailable", "#Allowed Disruptions", "Age"), cells.budget
    ),
    "etcdsnapshotfiles.k3s.cattle.io": Printer(
        _columns(
            "Name",
            "SnapshotName",
            "Node",
            "Location",
            "Size",
            Column("CreationTime", type="date"),
        ),
        cells.snapshot,
    ),
}
