"""Preflight: every named rule that a host is judged by before it joins, in the order in which they are read.

Each rule is a pure function of the facts and of what is known around them. What the plan itself will put
right is a pass or a warning, never a fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from axiom_tui.model import (
    preflight_address,
    preflight_cluster,
    preflight_host,
    preflight_servers,
    preflight_tailnet,
    preflight_token,
)
from axiom_tui.model.checks import Check
from axiom_tui.model.host import HostFacts
from axiom_tui.model.naming import Role
from axiom_tui.model.preflight_context import JoinContext

__all__ = ["RULES", "JoinContext", "Rule", "preflight"]

Judge = Callable[[HostFacts, JoinContext], Check | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``name`` is what a fail is overridden by; None of it means that it does not apply here."""

    name: str
    judge: Judge = field(repr=False)
    servers_only: bool = False
    needs_cluster: bool = False  # not asked of the first server

    def applies(self, context: JoinContext) -> bool:
        if context.first_server and self.needs_cluster:
            return False
        return context.role is Role.SERVER or not self.servers_only


RULES: tuple[Rule, ...] = (
    Rule("facts", preflight_host.facts),
    Rule("sudo", preflight_host.sudo),
    Rule("secure-path", preflight_host.secure_path),
    Rule("programs", preflight_host.programs),
    Rule("architecture", preflight_host.architecture),
    Rule("distribution", preflight_host.distribution),
    Rule("kernel", preflight_host.kernel),
    Rule("modules", preflight_host.modules),
    Rule("cgroups", preflight_host.cgroups),
    Rule("cpu", preflight_host.cpu),
    Rule("memory", preflight_host.memory),
    Rule("swap", preflight_host.swap),
    Rule("disk", preflight_host.disk),
    Rule("inodes", preflight_host.inodes),
    Rule("clock", preflight_host.clock),
    Rule("firewall", preflight_host.firewall),
    Rule("ports", preflight_host.ports),
    Rule("mtu", preflight_host.mtu),
    Rule("public-address", preflight_address.public_address),
    Rule("name", preflight_cluster.name),
    Rule("name-free", preflight_cluster.name_free, needs_cluster=True),
    Rule("tailscale", preflight_tailnet.tailscale),
    Rule("tailscale-version", preflight_tailnet.version),
    Rule("tailnet-address", preflight_tailnet.address),
    Rule("approved", preflight_tailnet.approved),
    Rule("tags", preflight_tailnet.tags),
    Rule("tailscale-ssh", preflight_tailnet.ssh),
    Rule("key-expiry", preflight_tailnet.key_expiry),
    Rule("path", preflight_tailnet.path, needs_cluster=True),
    Rule("api-name", preflight_cluster.api_name),
    Rule("api", preflight_cluster.api, needs_cluster=True),
    Rule("api-ca", preflight_cluster.api_ca, needs_cluster=True),
    Rule("join-token", preflight_token.join_token, needs_cluster=True),
    Rule("k3s", preflight_cluster.k3s),
    Rule("leftovers", preflight_cluster.leftovers),
    Rule("version", preflight_cluster.version),
    Rule("install-script", preflight_cluster.install_script),
    Rule("release", preflight_cluster.release),
    Rule("server-flags", preflight_servers.flags, servers_only=True, needs_cluster=True),
    Rule("quorum", preflight_servers.quorum, servers_only=True, needs_cluster=True),
    Rule("members", preflight_servers.members, servers_only=True, needs_cluster=True),
    Rule("server-versions", preflight_servers.versions, servers_only=True, needs_cluster=True),
    Rule("etcd-latency", preflight_servers.latency, servers_only=True, needs_cluster=True),
)


def preflight(facts: HostFacts, context: JoinContext) -> tuple[Check, ...]:
    """What all rules that apply say, in order."""
    checks = []
    for rule in RULES:
        if rule.applies(context) and (check := rule.judge(facts, context)) is not None:
            assert check.rule == rule.name
            checks.append(check)
    return tuple(checks)
