"""Preflight rules for a server that joins others: same flags, quorum, healthy members, versions, latency.

Facts: k3s-and-backups.md, 1.7 (flags that must match), 1.8 and 1.10 (etcd, quorum).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from axiom_tui.model.checks import Check
from axiom_tui.model.host import HostFacts
from axiom_tui.model.node import NODE_ARGS_ANNOTATION, Node
from axiom_tui.model.preflight_context import JoinContext, failed, passed, warned
from axiom_tui.model.tailnet import PathKind
from axiom_tui.model.version import Version

#: K3s compares these when a server joins, and refuses to start if they differ.
COMPARED = (
    "cluster-cidr", "cluster-dns", "cluster-domain", "disable-cloud-controller", "disable-helm-controller",
    "disable-network-policy", "egress-selector-mode", "embedded-registry", "flannel-backend",
    "flannel-external-ip", "flannel-ipv6-masq", "secrets-encryption", "secrets-encryption-provider",
    "service-cidr", "supervisor-metrics",
)  # fmt: skip
#: K3s does not compare these, but servers that differ in them work against each other.
ALIKE = ("disable", "disable-kube-proxy", "etcd-arg", "servicelb-namespace", "tls-san")
#: K3s' etcd: heartbeat 500 ms, election 5 s; etcd wants a heartbeat of several round trips.
SLOW, TOO_SLOW = 10.0, 100.0  # milliseconds

Flags = Mapping[str, tuple[str, ...]]


def flags(facts: HostFacts, context: JoinContext) -> Check:
    ours = read_flags(context.server_flags)
    seen = {node.name: read_flags(node_args(node)) for node in context.servers if node_args(node)}
    if not seen:
        return warned(
            "server-flags",
            "The flags of the existing servers could not be read (annotation k3s.io/node-args).",
            "Compare them by hand: servers with other flags refuse to work together.",
        )
    fatal = _differences(ours, seen, COMPARED)
    if fatal:
        return failed(
            "server-flags",
            f"K3s will refuse to start, since flags differ: {'; '.join(fatal)}.",
            "Set join.server_flags in the settings to what the existing servers have.",
            overridable=False,
        )
    unlike = _differences(ours, seen, ALIKE)
    if unlike:
        return warned(
            "server-flags",
            f"Flags differ from those of other servers: {'; '.join(unlike)}.",
            "K3s does not compare them, but all servers should agree: set join.server_flags.",
        )
    return passed("server-flags", "The flags that must be the same on all servers are.")


def quorum(facts: HostFacts, context: JoinContext) -> Check:
    before = len(context.servers)
    after = before + 1
    words = (
        f"{_members(before)} now ({_survives(before)}); {_members(after)} afterwards, "
        f"{after // 2 + 1} of which must be up ({_survives(after)})"
    )
    if after % 2:
        return passed("quorum", f"{words}.")
    return warned(
        "quorum",
        f"{words}: an even number survives no more than one less.",
        "Plan the next server too, so that the number is odd.",
    )


def members(facts: HostFacts, context: JoinContext) -> Check:
    """Never change the members while one is down: the new one counts for the quorum at once."""
    down = [node.name for node in context.servers if not node.is_ready]
    learners = [
        node.name
        for node in context.servers
        if (voter := node.condition("EtcdIsVoter")) is not None and voter.status != "True"
    ]
    names = [context.rules.naming.display(name) for name in (*down, *learners)]
    if not names:
        return passed("members", "All servers are Ready and voting members.")
    return failed(
        "members",
        f"Not healthy: {', '.join(dict.fromkeys(names))}. A join changes etcd's members, and a member that "
        "is down counts against the quorum.",
        "Bring it up first, or remove it for good (delete its node), then check again.",
    )


def versions(facts: HostFacts, context: JoinContext) -> Check:
    wanted = Version.parse(context.version)
    others = [node for node in context.servers if Version.parse(node.kubelet_version) != wanted]
    if not others:
        return passed("server-versions", f"All servers run {context.version}.")
    said = ", ".join(f"{context.rules.naming.display(node.name)} {node.kubelet_version}" for node in others)
    return failed(
        "server-versions",
        f"The servers do not all run {context.version}: {said}.",
        "Finish the upgrade of all servers first.",
    )


def latency(facts: HostFacts, context: JoinContext) -> Check:
    """K3s' docs: embedded etcd is not supported across sites; all servers belong in one place."""
    place = context.rules.place_of(context.node_name, context.device)
    devices = {device.ipv4: device for device in context.devices}
    elsewhere = sorted(
        {
            other
            for node in context.servers
            for ip in node.internal_ips[:1]
            if (other := context.rules.place_of(node.name, devices.get(ip))) and place and other != place
        }
    )
    measured = [item for item in facts.server_paths if item.milliseconds is not None]
    worst = max((item.milliseconds or 0.0 for item in measured), default=None)
    if worst is not None and worst > TOO_SLOW:
        return failed(
            "etcd-latency",
            f"The round trip to another server takes {worst:.0f} ms: etcd's heartbeat is 500 ms, and every "
            "write waits for it.",
            "Join it as an agent, or put it where the other servers are.",
        )
    relayed = any(item.kind is not PathKind.DIRECT for item in measured)
    if elsewhere or relayed or worst is None or worst > SLOW:
        took = f"{worst:.0f} ms" if worst is not None else "not measured"
        where = f"; it stands in {place}, others in {', '.join(elsewhere)}" if elsewhere else ""
        relay = " through a relay" if relayed else ""
        return warned(
            "etcd-latency",
            f"Round trip to the other servers{relay}: {took}{where}. K3s does not support etcd across sites.",
            "Put all servers in one place, or accept slow writes and leader elections.",
        )
    return passed("etcd-latency", f"The round trip to the other servers takes at most {worst:.0f} ms.")


def node_args(node: Node) -> tuple[str, ...]:
    """The arguments that K3s wrote into its annotation: a JSON list; () if there are none."""
    try:
        found = json.loads(node.annotations.get(NODE_ARGS_ANNOTATION, ""))
    except (ValueError, RecursionError):
        return ()
    return tuple(item for item in found if isinstance(item, str)) if isinstance(found, list) else ()


def read_flags(arguments: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """``--a=1 --b 2 --c`` by name; a flag without a value is "true", repeated values are sorted.

    Commas separate values of repeatable flags, as K3s reads them.
    """
    found: dict[str, list[str]] = {}
    waiting = ""
    for argument in arguments:
        if argument.startswith("-"):
            name, mark, value = argument.lstrip("-").partition("=")
            found.setdefault(name, [])
            if mark:
                found[name] += [part.strip() for part in value.split(",") if part.strip()]
            waiting = "" if mark else name
        elif waiting:
            found[waiting] += [part.strip() for part in argument.split(",") if part.strip()]
            waiting = ""
    return {name: tuple(sorted(set(values))) or ("true",) for name, values in found.items()}


def _differences(ours: Flags, seen: Mapping[str, Flags], names: Iterable[str]) -> list[str]:
    said = []
    for name in names:
        for node, theirs in seen.items():
            if _value(ours, name) != _value(theirs, name):
                said.append(
                    f"--{name} is {_words(theirs, name)} on {node}, and would be {_words(ours, name)}"
                )
                break
    return said


def _value(flags: Flags, name: str) -> tuple[str, ...]:
    """Not given and "false" are the same."""
    value = flags.get(name, ())
    return () if value == ("false",) else value


def _words(flags: Flags, name: str) -> str:
    return ",".join(flags[name]) if flags.get(name) else "not set"


def _members(count: int) -> str:
    return "1 member" if count == 1 else f"{count} members"


def _survives(count: int) -> str:
    lost = count - (count // 2 + 1) if count else 0
    return f"{lost} may fail" if lost else "none may fail"
