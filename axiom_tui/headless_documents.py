"""What headless commands write as JSON and YAML: documents with a documented, versioned shape.

docs/headless-json.md describes them. Fields may be added; a field that goes or changes its meaning makes a
new ``apiVersion``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from axiom_tui.model.finding import Finding
from axiom_tui.model.fleet import Fleet, Row, SourceStatus
from axiom_tui.model.node import Node
from axiom_tui.model.tailnet import TailnetDevice

API_VERSION = "axiom-tui/v1"


class Document(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The common ground: field names are in camelCase, unknown values are null."""


class ProblemDocument(Document, frozen=True):
    kind: str
    sentence: str
    remedy: str


class SourceDocument(Document, frozen=True):
    """``state`` is live, stale, failed, loading or off; ``age_seconds`` is the age of the data."""

    name: str
    state: str
    since: datetime
    last_good: datetime | None
    age_seconds: float | None
    problem: ProblemDocument | None


class ClusterDocument(Document, frozen=True):
    name: str
    context: str
    server: str
    version: str


class FindingDocument(Document, frozen=True):
    id: str
    rule: str
    severity: str
    subject: str
    sentence: str
    remedy: str
    since: datetime | None


class PoolDocument(Document, frozen=True):
    """``found`` and ``wanted`` are "" for no pool."""

    found: str
    wanted: str
    right: bool


class TailnetDocument(Document, frozen=True):
    """``path`` is direct, relay, peer relay, idle, offline, expired, self or unknown."""

    id: str
    name: str
    addresses: tuple[str, ...]
    tags: tuple[str, ...]
    online: bool | None
    path: str
    endpoint: str
    relay: str
    last_seen: datetime | None
    key_expiry: datetime | None
    key_expiry_disabled: bool | None
    expired: bool
    authorized: bool | None
    client_version: str


class KubernetesDocument(Document, frozen=True):
    """``name`` is the node's name in the API, lower-case. ``memory`` is in bytes, ``cpu`` in cores."""

    name: str
    created_at: datetime | None
    ready: bool
    cordoned: bool
    deleting: bool
    kubelet_version: str
    os_image: str
    kernel_version: str
    container_runtime: str
    internal_ips: tuple[str, ...]
    external_ips: tuple[str, ...]
    taints: tuple[str, ...]
    labels: dict[str, str]
    cpu: float
    memory: int


class NodeDocument(Document, frozen=True):
    """One row of the fleet; ``kubernetes`` is null for a device that is no node."""

    key: str
    name: str
    role: str | None
    place: str
    architecture: str
    kubernetes: KubernetesDocument | None
    tailnet: TailnetDocument | None
    pool: PoolDocument | None
    verdict: str
    findings: tuple[FindingDocument, ...]


class NodeList(Document, frozen=True):
    api_version: str
    kind: str
    cluster: ClusterDocument
    taken_at: datetime
    sources: tuple[SourceDocument, ...]
    items: tuple[NodeDocument, ...]


class FindingList(Document, frozen=True):
    api_version: str
    kind: str
    cluster: ClusterDocument
    taken_at: datetime
    sources: tuple[SourceDocument, ...]
    items: tuple[FindingDocument, ...]


class NodeEvent(Document, frozen=True):
    """One line of ``nodes --watch``; ``type`` is ADDED, MODIFIED or DELETED."""

    api_version: str
    kind: str
    type: str
    at: datetime
    object: NodeDocument


class FindingEvent(Document, frozen=True):
    """One line of ``findings --watch``."""

    api_version: str
    kind: str
    type: str
    at: datetime
    object: FindingDocument


def node_list(fleet: Fleet, rows: tuple[Row, ...]) -> NodeList:
    return NodeList(
        api_version=API_VERSION,
        kind="NodeList",
        cluster=_cluster(fleet),
        taken_at=fleet.taken_at,
        sources=tuple(_source(status, fleet.taken_at) for status in fleet.sources),
        items=tuple(map(node, rows)),
    )


def finding_list(fleet: Fleet) -> FindingList:
    return FindingList(
        api_version=API_VERSION,
        kind="FindingList",
        cluster=_cluster(fleet),
        taken_at=fleet.taken_at,
        sources=tuple(_source(status, fleet.taken_at) for status in fleet.sources),
        items=tuple(map(finding, fleet.findings)),
    )


def node_event(kind: str, at: datetime, row: Row) -> NodeEvent:
    return NodeEvent(api_version=API_VERSION, kind="NodeEvent", type=kind, at=at, object=node(row))


def finding_event(kind: str, at: datetime, item: Finding) -> FindingEvent:
    return FindingEvent(api_version=API_VERSION, kind="FindingEvent", type=kind, at=at, object=finding(item))


def node(row: Row) -> NodeDocument:
    return NodeDocument(
        key=row.key,
        name=row.name,
        role=row.role.value if row.role else None,
        place=row.place,
        architecture=row.architecture,
        kubernetes=_kubernetes(row.node) if row.node else None,
        tailnet=_tailnet(row.device) if row.device else None,
        pool=PoolDocument(found=row.pool_found, wanted=row.pool_wanted, right=row.pool_is_right)
        if row.node
        else None,
        verdict=row.verdict,
        findings=tuple(map(finding, row.findings)),
    )


def finding(item: Finding) -> FindingDocument:
    return FindingDocument(
        id=item.id,
        rule=item.rule,
        severity=item.severity.word,
        subject=item.subject,
        sentence=item.sentence,
        remedy=item.remedy,
        since=item.since,
    )


def to_json(document: Document, *, indent: bool) -> bytes:
    text = msgspec.json.encode(document)
    return msgspec.json.format(text, indent=2) if indent else text


def to_yaml(document: Document) -> bytes:
    import yaml

    # The C writer is ten times faster, which is felt with thousands of nodes; not every PyYAML has it.
    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    plain = msgspec.to_builtins(document)
    text: str = yaml.dump(plain, Dumper=dumper, sort_keys=False, allow_unicode=True, width=100)
    return text.encode()


def _cluster(fleet: Fleet) -> ClusterDocument:
    cluster = fleet.cluster
    return ClusterDocument(
        name=cluster.name, context=cluster.context, server=cluster.server, version=cluster.version
    )


def _source(status: SourceStatus, now: datetime) -> SourceDocument:
    problem = status.problem
    return SourceDocument(
        name=status.name,
        state=status.state.value,
        since=status.since,
        last_good=status.last_good,
        age_seconds=round(max(0.0, (now - status.last_good).total_seconds()), 3)
        if status.last_good
        else None,
        problem=ProblemDocument(kind=problem.kind.value, sentence=problem.sentence, remedy=problem.remedy)
        if problem
        else None,
    )


def _kubernetes(node: Node) -> KubernetesDocument:
    return KubernetesDocument(
        name=node.name,
        created_at=node.created,
        ready=node.is_ready,
        cordoned=node.unschedulable,
        deleting=node.deleting,
        kubelet_version=node.kubelet_version,
        os_image=node.os_image,
        kernel_version=node.kernel_version,
        container_runtime=node.container_runtime,
        internal_ips=node.internal_ips,
        external_ips=node.external_ips,
        taints=tuple(map(str, node.taints)),
        labels=node.labels,
        cpu=node.cpu,
        memory=node.memory,
    )


def _tailnet(device: TailnetDevice) -> TailnetDocument:
    return TailnetDocument(
        id=device.id,
        name=device.dns_name or device.name,
        addresses=device.addresses,
        tags=device.tags,
        online=device.online,
        path=device.path.value,
        endpoint=device.endpoint,
        relay=device.relay,
        last_seen=device.last_seen,
        key_expiry=device.key_expiry,
        key_expiry_disabled=device.key_expiry_disabled,
        expired=device.expired,
        authorized=device.authorized,
        client_version=device.client_version,
    )
