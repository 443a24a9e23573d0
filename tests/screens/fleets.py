"""Fleets to be looked at: the one of the drawings, and others in each state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from axiom_tui.model.fleet import Cluster, Fleet, Observation, SourceState, SourceStatus, TailnetSelf
from axiom_tui.model.join import join
from axiom_tui.model.node import Condition, DaemonSet, Node, NodeUsage, Pod, Service, ServicePort
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL
from axiom_tui.model.problem import Problem, ProblemKind
from axiom_tui.model.rules import Rules
from axiom_tui.model.tailnet import Latency, PathKind, TailnetDevice

NOW = datetime(2026, 11, 22, 13, 2, tzinfo=UTC).astimezone()
VERSION = "v1.33.4+k3s1"
CLUSTER = Cluster("axiom-prod", "axiom", "https://api.axiom.technat.ch:6443", VERSION)
SERVER_LABELS = {
    "node-role.kubernetes.io/control-plane": "true",
    "node-role.kubernetes.io/etcd": "true",
    "kubernetes.io/arch": "amd64",
}
GIB = 2**30


def node(
    name: str,
    last: int,
    *,
    pool: str = "",
    arch: str = "amd64",
    days: int = 90,
    external: str = "",
    version: str = VERSION,
    server: bool = False,
    ready: Condition | None = None,
) -> Node:
    labels = dict(SERVER_LABELS) if server else {"kubernetes.io/arch": arch}
    if pool:
        labels |= {ENABLE_LABEL: "true", POOL_LABEL: pool}
    return Node(
        name=name,
        uid=f"uid-{name}",
        created=NOW - timedelta(days=days),
        labels=labels,
        annotations={"k3s.io/node-args": f'["server","--node-ip","100.64.0.{last}","--token","********"]'},
        conditions=(ready or Condition("Ready", "True", "KubeletReady", "", NOW - timedelta(days=days)),),
        internal_ips=(f"100.64.0.{last}",),
        external_ips=(external,) if external else (),
        architecture=arch,
        kubelet_version=version,
        os_image="Ubuntu 22.04.5 LTS",
        kernel_version="5.15.0-161-generic",
        container_runtime="containerd://2.0.5-k3s2",
        cpu=4.0,
        memory=8 * GIB,
    )


def device(
    name: str,
    last: int,
    path: PathKind = PathKind.DIRECT,
    *,
    place: str = "infomaniak",
    pings: tuple[float | None, ...] = (),
    relay: str = "",
    last_seen: datetime | None = None,
) -> TailnetDevice:
    return TailnetDevice(
        id=f"id-{name}",
        name=name,
        dns_name=f"{name}.crocodile-bee.ts.net",
        host_name=name.upper(),
        os="linux",
        addresses=(f"100.64.0.{last}", f"fd7a:115c:a1e0::{last}"),
        tags=("tag:acl-axiom", f"tag:info-{place}"),
        online=path is not PathKind.OFFLINE,
        path=path,
        endpoint=f"198.51.100.{last}:41641" if path is PathKind.DIRECT else "",
        relay=relay,
        last_seen=last_seen,
        key_expiry_disabled=True,
        authorized=True,
        client_version="1.102.3",
        ssh_host_keys=("ssh-ed25519 AAAA",),
        latency=Latency(pings, NOW),
    )


DOWN = Condition(
    "Ready", "Unknown", "NodeStatusUnknown", "Kubelet stopped posting.", NOW - timedelta(minutes=30)
)

SEEN = Observation(
    nodes=(
        node("m-o-1", 1, server=True, days=212, external="195.15.252.166"),
        node("m-o-2", 2, server=True, days=211, external="195.15.252.181"),
        node("m-o-3", 3, server=True, days=64),
        node("wall-a-1", 11, pool="external", arch="arm64", days=180, external="116.203.10.1"),
        node("wall-a-2", 12, pool="internal", days=20),
        node("wall-a-3", 13, pool="internal", days=20, external="116.203.10.3"),
        node("wall-a-4", 14, days=2, version="v1.31.9+k3s1"),
        node("wall-a-7", 17, pool="external", arch="arm64", ready=DOWN),
        node("wall-a-10", 20, pool="internal", days=1),
    ),
    devices=(
        device("m-o-1", 1, pings=(11.0, 12.0, 12.5)),
        device("m-o-2", 2, pings=(14.0,)),
        device("m-o-3", 3, pings=(18.2,)),
        device("wall-a-1", 11, place="hetzner", pings=(17.0, 18.0)),
        device("wall-a-2", 12, PathKind.IDLE),
        device("wall-a-3", 13, PathKind.DERP, place="hetzner", relay="fra", pings=(48.0, None, 51.0)),
        device("wall-a-4", 14, PathKind.IDLE, place="home"),
        device("wall-a-7", 17, PathKind.OFFLINE, place="home", last_seen=NOW - timedelta(hours=3)),
        device("wall-a-10", 20, PathKind.DIRECT, place="home", pings=(0.6,)),
        device("ubuntu-4gb", 30, PathKind.DIRECT, place="hetzner", pings=(22.0,)),
    ),
    services=(
        Service(
            namespace="minecraft", name="flasche", uid="s1", type="LoadBalancer",
            created=NOW - timedelta(days=80), labels={POOL_LABEL: "external"},
            ports=(ServicePort(25565),), ingress_ips=("116.203.10.1",),
        ),
        Service(
            namespace="kube-system", name="cilium-ingress", uid="s2", type="LoadBalancer",
            created=NOW - timedelta(days=200), labels={POOL_LABEL: "internal"},
            ports=(ServicePort(80), ServicePort(443)), ingress_ips=("116.203.10.3",),
        ),
    ),
    daemon_sets=(
        DaemonSet(
            namespace="servicelb", name="svclb-flasche-1",
            labels={
                "svccontroller.k3s.cattle.io/svcname": "flasche",
                "svccontroller.k3s.cattle.io/svcnamespace": "minecraft",
            },
            node_selector={ENABLE_LABEL: "true", POOL_LABEL: "external"},
        ),
    ),
    pods=(
        Pod(namespace="kube-system", name="cilium-x", node="wall-a-2", phase="Running", ready=True,
            priority_class="system-node-critical", priority=2000001000),
        Pod(namespace="web", name="site-1", node="wall-a-2", phase="Running", ready=False),
    ),
    usage={
        "m-o-1": NodeUsage(0.48, int(3.3 * GIB)),
        "m-o-2": NodeUsage(1.2, 4 * GIB),
        "wall-a-1": NodeUsage(3.9, 7 * GIB),
    },
    tailnet=TailnetSelf("Running", "technat", "crocodile-bee.ts.net"),
)  # fmt: skip

SOURCES = ("nodes", "pods", "services", "daemonsets", "priorityclasses", "metrics", "tailnet")


def status(name: str, state: SourceState = SourceState.LIVE, problem: Problem | None = None) -> SourceStatus:
    good = None if state in (SourceState.LOADING, SourceState.FAILED) else NOW - timedelta(minutes=3)
    retry = NOW + timedelta(seconds=20) if problem else None
    return SourceStatus(name, state, NOW - timedelta(minutes=3), good, problem, retry)


def fleet(
    seen: Observation = SEEN, cluster: Cluster = CLUSTER, statuses: tuple[SourceStatus, ...] | None = None
) -> Fleet:
    joined = join(seen, Rules(), NOW, cluster.version)
    sources = statuses or tuple(status(name) for name in SOURCES)
    return Fleet(cluster, NOW, seen, sources, joined.rows, joined.findings)


LIVE = fleet()
LOADING = fleet(Observation(), statuses=tuple(status(name, SourceState.LOADING) for name in SOURCES))
REFUSED = Problem(
    ProblemKind.REFUSED,
    "Nothing listens at api.axiom.technat.ch:6443.",
    "Check that k3s runs on a server, and that the API's DNS name leads to one that is up.",
)
STALE = fleet(
    statuses=(
        *(status(name, SourceState.STALE, REFUSED) for name in SOURCES[:-1]),
        status("tailnet"),
    )
)
FORBIDDEN = fleet(
    Observation(devices=SEEN.devices, tailnet=SEEN.tailnet),
    statuses=(
        status(
            "nodes",
            SourceState.FAILED,
            Problem(
                ProblemKind.FORBIDDEN,
                'User "viewer" may not list nodes in axiom-prod.',
                "Ask an admin of the cluster for a role with list and watch on nodes.",
            ),
        ),
        *(status(name) for name in SOURCES[1:]),
    ),
)
EMPTY = fleet(Observation(tailnet=SEEN.tailnet))
SIMULATION = replace(LIVE, cluster=replace(CLUSTER, simulation=True, read_only=True))
MANY = fleet(
    replace(
        SEEN,
        nodes=tuple(
            node(f"wall-a-{number}", number % 250 + 1, pool="internal", days=number % 400)
            for number in range(1, 5001)
        ),
        devices=(),
        tailnet=None,
    )
)
