"""The rules that find what is wrong with one row. All pure.

Each rule looks at one thing and gives its sentence and its remedy; the table at the end is all there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from axiom_tui.model.finding import Finding, Severity, Wizard
from axiom_tui.model.naming import Role
from axiom_tui.model.node import Node, is_tailnet_ip
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL, found_labels, found_pool, labels_for, public_ips
from axiom_tui.model.rules import Rules
from axiom_tui.model.tailnet import PathKind, TailnetDevice
from axiom_tui.model.times import clock, days
from axiom_tui.model.version import Version, is_newer

#: Node conditions that are bad when they are True (Kubernetes: node status).
PRESSURES = {
    "MemoryPressure": "memory is short",
    "DiskPressure": "disk space is short",
    "PIDPressure": "process ids are short",
    "NetworkUnavailable": "its network is not set up",
}


class Subject(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row before its findings: what the row rules look at. There is one for each row of each join.

    What a node uses is not among it, since that changes for all nodes at each measurement.
    """

    key: str
    name: str
    node: Node | None
    device: TailnetDevice | None
    role: Role | None
    place: str
    pool_wanted: str
    minors_behind: int | None
    twins: tuple[str, ...]  # other devices that claim the same host name
    tailnet_known: bool
    cluster_known: bool


@dataclass(frozen=True, slots=True)
class Context:
    """What all rules need to know besides their subject."""

    rules: Rules
    now: datetime
    server_version: Version | None


RowRule = Callable[[Subject, Context], Iterable[Finding]]


def row_findings(subject: Subject, context: Context) -> tuple[Finding, ...]:
    """All findings of one row, worst first."""
    found = [finding for rule in ROW_RULES for finding in rule(subject, context)]
    if not found:
        return ()
    found.sort(key=lambda finding: -finding.severity)
    return tuple(replace(finding, name=subject.name) for finding in found)


def verdict(findings: Sequence[Finding]) -> str:
    """One sentence for the VERDICT column: the shorts of all findings, worst first."""
    return "; ".join(dict.fromkeys(finding.short for finding in findings if finding.short))


def recheck_at(subject: Subject, context: Context, found: Sequence[Finding]) -> datetime | None:
    """When time alone would change what the rules said; None for never."""
    moments = []
    device = subject.device
    if device is not None and device.key_expiry is not None and device.key_expiry > context.now:
        left = device.key_expiry - context.now
        warning = context.rules.limits.key_expiry_warning
        if left > warning:
            moments.append(device.key_expiry - warning)
        else:
            # "in 5 days" becomes "in 4 days" as soon as less than 5 whole days are left.
            next_day = device.key_expiry - timedelta(days=left.days) + timedelta(seconds=1)
            moments.append(next_day if left.days else device.key_expiry)
    if found:
        # At midnight "since 14:02" becomes "since 20 Nov 14:02".
        midnight = context.now.replace(hour=0, minute=0, second=0, microsecond=0)
        moments.append(midnight + timedelta(days=1))
    return min(moments, default=None)


def _not_ready(subject: Subject, context: Context) -> Iterator[Finding]:
    node = subject.node
    if node is None or node.is_ready:
        return
    ready = node.condition("Ready")
    since = ready.since if ready else node.created
    reason, remedy = _why_not_ready(subject, context)
    when = f" since {clock(since, context.now)}" if since else ""
    severity = Severity.CRITICAL if subject.role is Role.SERVER else Severity.ERROR
    yield Finding(
        "not-ready",
        severity,
        subject.key,
        f"{subject.name} is NotReady{when}: {reason}.",
        remedy,
        f"NotReady{when}: {reason}",
        since,
    )


def _why_not_ready(subject: Subject, context: Context) -> tuple[str, str]:
    device = subject.device
    if device is not None:
        if device.path is PathKind.EXPIRED or device.expired:
            return (
                "its Tailscale key has expired",
                f"Renew the key: run `tailscale up --force-reauth` on {subject.name} through the provider's "
                "console, then disable key expiry in the Tailscale admin console.",
            )
        if device.path is PathKind.OFFLINE:
            return (
                "tailscaled is offline",
                f"Open {subject.name} on its provider's console; look at `systemctl status tailscaled`.",
            )
        if device.authorized is False:
            return "its tailnet device waits for approval", "Approve it in the Tailscale admin console."
    ready = subject.node.condition("Ready") if subject.node else None
    if ready is None:
        return "it never reported", f"Look at `journalctl -u k3s-agent` (or k3s) on {subject.name}."
    if ready.status == "Unknown":
        if device is not None and device.online:
            return (
                "the kubelet stopped reporting, though the tailnet reaches it",
                f"Look at `journalctl -u k3s-agent` (or k3s) on {subject.name}.",
            )
        return (
            "the kubelet stopped reporting",
            f"Check whether {subject.name} is up, on its provider's console.",
        )
    text = (ready.message or ready.reason or "no reason given").strip().rstrip(".")
    return text, f"Look at `kubectl describe node {subject.key}` and the k3s journal on {subject.name}."


def _offline(subject: Subject, context: Context) -> Iterator[Finding]:
    device = subject.device
    if device is None or device.path is not PathKind.OFFLINE:
        return
    if subject.node is not None and not subject.node.is_ready:
        return  # said by not-ready already
    when = f" since {clock(device.last_seen, context.now)}" if device.last_seen else ""
    is_server = subject.role is Role.SERVER
    yield Finding(
        "tailnet-offline",
        Severity.ERROR if is_server else Severity.WARNING,
        subject.key,
        f"{subject.name} is offline in the tailnet{when}.",
        f"Look at tailscaled on {subject.name} through the provider's console.",
        f"offline in the tailnet{when}",
        device.last_seen,
    )


def _relayed_server(subject: Subject, context: Context) -> Iterator[Finding]:
    device = subject.device
    if device is None or subject.role is not Role.SERVER or subject.node is None:
        return
    if device.path in (PathKind.DERP, PathKind.PEER_RELAY):
        by = f"DERP {device.relay}" if device.path is PathKind.DERP else f"the peer relay {device.relay}"
        yield Finding(
            "server-relayed",
            Severity.WARNING,
            subject.key,
            f"The server {subject.name} is reached through {by}, not directly.",
            "Relays are slow for etcd: open UDP 41641 towards it, or look at `tailscale netcheck` on it.",
            f"relayed through {device.relay}".rstrip(),
        )


def _key_expiry(subject: Subject, context: Context) -> Iterator[Finding]:
    device = subject.device
    if device is None:
        return
    is_server = subject.role is Role.SERVER
    expiry = device.key_expiry
    if device.expired or (
        expiry is not None and expiry <= context.now and device.key_expiry_disabled is not True
    ):
        when = f" since {clock(expiry, context.now)}" if expiry else ""
        yield Finding(
            "key-expired",
            Severity.CRITICAL if is_server else Severity.ERROR,
            subject.key,
            f"The Tailscale key of {subject.name} has expired{when}.",
            f"Run `tailscale up --force-reauth` on {subject.name} through the provider's console; disabling "
            "key expiry after the fact does not bring it back.",
            "Tailscale key expired",
            expiry,
        )
    elif expiry is not None and device.key_expiry_disabled is not True:
        left = expiry - context.now
        if left <= context.rules.limits.key_expiry_warning:
            yield Finding(
                "key-expiring",
                Severity.ERROR if is_server else Severity.WARNING,
                subject.key,
                f"The Tailscale key of {subject.name} expires {days(left)} ({clock(expiry, context.now)}).",
                "Disable its key expiry in the Tailscale admin console (Machines, ..., Disable key expiry).",
                f"key expires {days(left)}",
            )
        elif is_server:
            yield Finding(
                "key-expiry-enabled",
                Severity.WARNING,
                subject.key,
                f"Key expiry is not disabled on the server {subject.name} "
                f"(its key ends {clock(expiry, context.now)}).",
                "Disable its key expiry in the Tailscale admin console (Machines, ..., Disable key expiry).",
                "key expiry not disabled",
            )


def _unapproved(subject: Subject, context: Context) -> Iterator[Finding]:
    if subject.device is not None and subject.device.authorized is False:
        yield Finding(
            "unapproved",
            Severity.WARNING,
            subject.key,
            f"The tailnet device {subject.name} waits for approval.",
            "Approve it in the Tailscale admin console (Machines).",
            "waits for approval",
        )


def _node_ip(subject: Subject, context: Context) -> Iterator[Finding]:
    node = subject.node
    if node is None or any(map(is_tailnet_ip, node.internal_ips)):
        return
    has = f"is {', '.join(node.internal_ips)}" if node.internal_ips else "is not published"
    yield Finding(
        "node-ip-outside",
        Severity.ERROR,
        subject.key,
        f"The node IP of {subject.name} {has}, which is not an address of the tailnet.",
        "Set `node-ip` in /etc/rancher/k3s/config.yaml to the output of `tailscale ip -4` and restart k3s.",
        "node IP outside the tailnet",
    )


def _no_device(subject: Subject, context: Context) -> Iterator[Finding]:
    if subject.node is not None and subject.device is None and subject.tailnet_known:
        yield Finding(
            "no-device",
            Severity.WARNING,
            subject.key,
            f"No tailnet device that is visible from here belongs to {subject.name}.",
            "Check that tailscaled is logged in on it, and that the tailnet's policy lets you see it.",
            "no tailnet device",
        )


def _pool(subject: Subject, context: Context) -> Iterator[Finding]:
    node = subject.node
    if node is None:
        return
    wanted, found = labels_for(subject.pool_wanted), found_labels(node)
    if found == wanted:
        return
    pool, public = found_pool(node), public_ips(node)
    external = context.rules.pools.external
    if not subject.pool_wanted:
        rule, short = "pool-unwanted", "load-balancer labels that it should not have"
    elif pool == external and not public:
        rule = "pool-external-private"
        short = f"{external} without a public address, should be {subject.pool_wanted}"
    elif found[ENABLE_LABEL] is None and found[POOL_LABEL] is None:
        rule, short = "pool-missing", "no load-balancer labels"
    elif found[ENABLE_LABEL] != "true":
        rule = "pool-not-enabled"
        short = "pool set but not enabled" if found[POOL_LABEL] else "load balancer switched off"
    else:
        rule = "pool-wrong"
        short = f"public IP, should be {external}" if public and subject.pool_wanted == external else ""
        short = short or f"pool {pool or 'missing'}, should be {subject.pool_wanted}"
    yield Finding(
        rule,
        Severity.WARNING,
        subject.key,
        f"{subject.name}: {short}.",
        f"Apply the labels: l, or `axiom-tui apply labels {subject.name}`.",
        short,
        wizard=Wizard.LABELS,
    )


def _skew(subject: Subject, context: Context) -> Iterator[Finding]:
    node, server = subject.node, context.server_version
    kubelet = Version.parse(node.kubelet_version) if node else None
    if node is None or kubelet is None:
        return
    expected = Version.parse(context.rules.limits.expected_version)
    behind = subject.minors_behind
    if server is not None and is_newer(kubelet, server):
        yield Finding(
            "kubelet-newer",
            Severity.ERROR,
            subject.key,
            f"{subject.name} runs {node.kubelet_version}, newer than the API server.",
            "Kubernetes does not support a kubelet newer than its API server: upgrade the servers first.",
            "kubelet newer than the API server",
        )
    elif behind is not None and behind >= context.rules.limits.kubelet_minors_behind:
        yield Finding(
            "kubelet-behind",
            Severity.ERROR if behind > 3 else Severity.WARNING,
            subject.key,
            f"{subject.name} runs {node.kubelet_version}, {behind} minors behind the API server.",
            "Upgrade K3s on it; at most 3 minors are supported.",
            f"kubelet {behind} minors behind",
        )
    elif expected is not None and kubelet != expected:
        yield Finding(
            "version-unexpected",
            Severity.INFO,
            subject.key,
            f"{subject.name} runs {node.kubelet_version}, expected is "
            f"{context.rules.limits.expected_version}.",
            "Upgrade K3s on it, or change `expected_version` in the settings.",
            "unexpected version",
        )


def _pressure(subject: Subject, context: Context) -> Iterator[Finding]:
    for condition in subject.node.conditions if subject.node else ():
        if condition.type in PRESSURES and condition.status == "True":
            yield Finding(
                f"pressure-{condition.type.lower()}",
                Severity.WARNING,
                subject.key,
                f"{subject.name} reports {condition.type}: {PRESSURES[condition.type]}.",
                f"Look at what uses it: `kubectl describe node {subject.key}`.",
                condition.type,
                condition.since,
            )
        elif condition.type == "EtcdIsVoter" and condition.status == "False":
            yield Finding(
                "etcd-not-voter",
                Severity.ERROR,
                subject.key,
                f"The etcd member on {subject.name} does not vote: {condition.reason or condition.message}.",
                f"A learner votes once it caught up; else look at `journalctl -u k3s` on {subject.name}.",
                "etcd member does not vote",
                condition.since,
            )


def _cordoned(subject: Subject, context: Context) -> Iterator[Finding]:
    if subject.node is not None and subject.node.unschedulable:
        yield Finding(
            "cordoned",
            Severity.INFO,
            subject.key,
            f"{subject.name} is cordoned: no new pods are placed on it.",
            f"When its maintenance is over: `kubectl uncordon {subject.key}`.",
            "cordoned",
        )


def _name(subject: Subject, context: Context) -> Iterator[Finding]:
    if subject.node is None:
        return
    naming = context.rules.naming
    claimed = naming.role(subject.node.name)
    if claimed is None:
        yield Finding(
            "name-outside",
            Severity.INFO,
            subject.key,
            f"{subject.name} is not named like {naming.server_prefix}<n> or {naming.agent_prefix}<n>.",
            "A node is renamed by joining it anew under another name.",
            "name outside the scheme",
        )
    elif subject.role is not None and subject.role is not claimed:
        yield Finding(
            "name-role",
            Severity.WARNING,
            subject.key,
            f"{subject.name} is named like {claimed.with_article}, but it is {subject.role.with_article}.",
            "A node is renamed by joining it anew under another name.",
            f"named like {claimed.with_article}",
        )


def _duplicate_name(subject: Subject, context: Context) -> Iterator[Finding]:
    if subject.twins:
        others = ", ".join(subject.twins)
        yield Finding(
            "duplicate-name",
            Severity.WARNING,
            subject.key,
            f"The host name of {subject.name} is also claimed by the tailnet device {others}.",
            "Delete the dead device in the Tailscale admin console, or rename the other host.",
            f"name also used by {others}",
        )


def _not_in_cluster(subject: Subject, context: Context) -> Iterator[Finding]:
    if subject.node is None and subject.device is not None and subject.cluster_known:
        yield Finding(
            "not-in-cluster",
            Severity.INFO,
            subject.key,
            f"The device {subject.name} is tagged as a node, but it is not in the cluster.",
            "Join it with the join wizard (n), or remove its tag.",
            "not in the cluster: join it? (n)",
            wizard=Wizard.JOIN,
        )


ROW_RULES: tuple[RowRule, ...] = (
    _not_ready,
    _offline,
    _relayed_server,
    _key_expiry,
    _unapproved,
    _node_ip,
    _no_device,
    _pool,
    _skew,
    _pressure,
    _duplicate_name,
    _name,
    _cordoned,
    _not_in_cluster,
)
