"""Preflight rules about the cluster: the name, the way to its API, and what of K3s is there already."""

from __future__ import annotations

import re

from axiom_tui.model.checks import Check
from axiom_tui.model.host import HostFacts
from axiom_tui.model.naming import host_name_fault
from axiom_tui.model.node import Node, is_public_ip
from axiom_tui.model.preflight_context import (
    JoinContext,
    after_approval,
    awaits_approval,
    failed,
    passed,
    warned,
)
from axiom_tui.model.version import Version

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
#: Data that ties a host to one cluster; the rest of the traces is only litter.
_BINDING = ("/var/lib/rancher/k3s/agent", "/var/lib/rancher/k3s/server/db")
#: What a host proves by that the name of an earlier node is its own (K3s' node password).
PASSWORD_FILE = "/etc/rancher/node/password"
_LITTER = (
    "/var/lib/kubelet/pki",
    "/sys/class/net/cilium_host",
    "/sys/class/net/flannel.1",
    "/sys/class/net/cni0",
)


def name(facts: HostFacts, context: JoinContext) -> Check:
    if (fault := host_name_fault(context.name)) is not None:
        return failed(
            "name",
            f"{context.name!r} cannot be a node's name: {fault}.",
            "Choose another.",
            overridable=False,
        )
    naming = context.rules.naming
    role = naming.role(context.name)
    if role is None:
        return warned(
            "name",
            f"{context.name} is outside of the scheme {naming.prefix(context.role)}<n>.",
            f"{_next(context)} would be the next name.",
        )
    if role is not context.role:
        return warned(
            "name",
            f"{context.name} is a name for {role.with_article}, and it joins as {context.role}.",
            f"{_next(context)} would be the next name.",
        )
    return passed(
        "name", f"{naming.display(context.name)} fits the scheme; the node will be {context.node_name}."
    )


def name_free(facts: HostFacts, context: JoinContext) -> Check:
    """Free in the cluster, among K3s' node passwords, and in the tailnet."""
    shown, key = context.rules.naming.display(context.name), context.node_name
    node = next((node for node in context.nodes if node.name == key), None)
    if node is not None and not _is_this_host(node, facts):
        ready = "and is Ready" if node.is_ready else "and is not Ready"
        return failed(
            "name-free",
            f"{shown} is already a node of this cluster ({', '.join(node.internal_ips)}) {ready}.",
            f"Choose another name. To replace that node: drain it, then `kubectl delete node {key}`, "
            "which removes its node password too.",
            overridable=False,
        )
    other = next(
        (item for item in context.devices if item.folded_name == key and not _own(item.id, context)), None
    )
    if other is not None:
        return failed(
            "name-free",
            f"{shown} is another device of the tailnet ({other.ipv4 or other.id}): MagicDNS would call this "
            f"one {key}-1.",
            "Choose another name, or rename or remove that device.",
        )
    if node is not None:
        return warned("name-free", f"{shown} is this host already; what is done of the plan is skipped.")
    if context.has_password:
        return failed(
            "name-free",
            f"K3s still has the node password of an earlier {shown}, and would reject this host.",
            f"`kubectl -n kube-system delete secret {key}.node-password.k3s`, then check again.",
            overridable=PASSWORD_FILE in facts.k3s.found,  # it may be this very host that has it
        )
    naming = context.rules.naming
    number = naming.number(context.name)
    taken = [
        found
        for item in context.nodes
        if naming.role(item.name) is context.role and (found := naming.number(item.name)) is not None
    ]
    if number is not None and taken and number < max(taken):
        return warned(
            "name-free",
            f"{shown} is free, but below the highest in use: it may be the name of an earlier node.",
            "Its DNS record, and dashboards that know the earlier one, will now mean this host.",
        )
    unread = " Its node password could not be looked for." if context.has_password is None else ""
    return passed("name-free", f"{shown} is free in the cluster and in the tailnet.{unread}")


def api_name(facts: HostFacts, context: JoinContext) -> Check:
    """K3s on the host must resolve the API's name by the host's own resolver."""
    found = facts.api_addresses
    if context.first_server:
        own = facts.tailnet_ip
        if own and own in found:
            return passed("api-name", f"{context.api_host} leads to this host.")
        return warned(
            "api-name",
            f"{context.api_host} does not lead to this host yet ({', '.join(found) or 'no address'}).",
            f"Set its A record to {own or 'the tailnet address'} after the first start.",
        )
    if not found and awaits_approval(facts, context):
        return after_approval("api-name", f"Whether the host resolves {context.api_host}")
    if not found:
        return failed(
            "api-name",
            f"The host cannot resolve {context.api_host}.",
            "Check its DNS (`resolvectl status`), and the A records of that name.",
        )
    known = {ip for node in context.servers for ip in node.internal_ips}
    strangers = [ip for ip in found if ip not in known]
    if known and strangers:
        public = any(is_public_ip(ip) for ip in strangers)
        return warned(
            "api-name",
            f"{context.api_host} leads to {', '.join(strangers)}, which is no server of this cluster"
            f"{' and a public address' if public else ''}.",
            "Correct the A records: they should be the servers' tailnet addresses.",
        )
    return passed("api-name", f"{context.api_host} resolves to {', '.join(found)}.")


def api(facts: HostFacts, context: JoinContext) -> Check:
    ping = facts.api_ping
    if not ping.status and awaits_approval(facts, context):
        return after_approval("api", f"The way to https://{context.api}")
    if ping.status == 200 and ping.body == "pong":
        return passed("api", f"https://{context.api}/ping answers.")
    if ping.status:
        return failed(
            "api",
            f"https://{context.api}/ping answers {ping.status} and not pong: it is no K3s.",
            "See where that name and port lead; a proxy must pass the supervisor's paths on.",
        )
    addresses = f" ({', '.join(facts.api_addresses)})" if facts.api_addresses else ""
    return failed(
        "api",
        f"The host does not reach https://{context.api}{addresses}: {ping.error or 'no answer'}.",
        "Check the tailnet's policy for this device's tags, the API's A records, and that a server is up.",
    )


def api_ca(facts: HostFacts, context: JoinContext) -> Check | None:
    if facts.api_ca.status != 200:
        return None  # the rule before says why
    seen, trusted = _certificates(facts.api_ca.body), _certificates(context.cluster_ca)
    if not seen:
        return failed(
            "api-ca",
            f"https://{context.api}/cacerts gives no certificate: it is no K3s.",
            "See where that name leads from the host.",
        )
    if not trusted:
        return warned(
            "api-ca",
            "The kubeconfig names no CA, so that the one that the host sees could not be compared.",
            "The join token holds its sum: K3s itself compares it.",
        )
    if seen & trusted:
        return passed("api-ca", "The CA that the host sees is the cluster's.")
    return failed(
        "api-ca",
        f"The CA that the host sees at {context.api} is not the cluster's: it reaches another cluster, or "
        "somebody stands between.",
        "Compare `curl -k` of /cacerts on the host with the kubeconfig; do not join before this is clear.",
        overridable=False,
    )


def k3s(facts: HostFacts, context: JoinContext) -> Check:
    found = facts.k3s
    joined = [url for url in found.urls if url]
    where = f", joined to {', '.join(joined)}" if joined else ""
    if found.running:
        here = f"https://{context.api}" in joined or _own_node(facts, context) is not None
        if here and not context.first_server:
            return warned(
                "k3s",
                f"{' and '.join(found.running)} runs here already{where}; what is done is skipped.",
                "To begin anew, run the uninstall script of K3s on the host first.",
            )
        return failed(
            "k3s",
            f"{' and '.join(found.running)} runs here{where}: the host belongs to another cluster.",
            "Take it out there first: drain and delete its node, then run K3s' uninstall script.",
        )
    if found.version:
        if _same(found.version, context.version):
            return passed("k3s", f"K3s {found.version} is installed, and does not run{where}.")
        return warned(
            "k3s",
            f"K3s {found.version} is installed and does not run{where}; the plan replaces it"
            f"{f' by {context.version}' if context.version else ''}.",
            "Run K3s' uninstall script first, if you want none of its settings kept.",
        )
    return passed("k3s", "K3s is not installed.")


def leftovers(facts: HostFacts, context: JoinContext) -> Check:
    found = facts.k3s.found
    if facts.k3s.running:
        return passed("leftovers", "K3s runs: its files are in use.")
    binding = [path for path in found if path in _BINDING]
    if binding:
        uninstall = next((path for path in found if path.endswith("uninstall.sh")), "")
        return failed(
            "leftovers",
            f"An earlier K3s left its data: {', '.join(binding)}. K3s would go on with the old cluster's "
            "certificates or database.",
            f"As root: `{uninstall}`."
            if uninstall
            else "As root: `rm -rf /var/lib/rancher/k3s /etc/rancher/k3s`.",
        )
    if "/etc/rancher/k3s/config.yaml" in found:
        return warned(
            "leftovers",
            "There is an /etc/rancher/k3s/config.yaml: its settings count beside those of the plan.",
            "Read it; move it away if it is of an earlier install.",
        )
    litter = [path for path in found if path in _LITTER]
    if litter:
        return warned(
            "leftovers",
            f"An earlier Kubernetes left traces: {', '.join(litter)}.",
            "A reboot removes interfaces; folders can be deleted.",
        )
    if "/etc/rancher/node/password" in found:
        return warned(
            "leftovers",
            "The host was a node before: it still has its node password.",
            "It does no harm with a new name; with an old one that was deleted, neither.",
        )
    return passed("leftovers", "Nothing is left of an earlier install.")


def version(facts: HostFacts, context: JoinContext) -> Check:
    if (found := Version.parse(context.version)) is None or "k3s" not in context.version:
        return failed(
            "version",
            f"The cluster's version {context.version or 'is not known'} is no release of K3s.",
            "Check that the context leads to a K3s cluster.",
            overridable=False,
        )
    del found
    return passed("version", f"K3s {context.version} will be installed, as the cluster runs it.")


def install_script(facts: HostFacts, context: JoinContext) -> Check:
    found, pinned = facts.install_script_sha256, context.install_sha256
    if not found:
        return failed(
            "install-script",
            f"The host cannot download K3s' install script: {facts.install_script.error or 'not tried'}.",
            "Check the host's way to the internet and join.install_url in the settings.",
        )
    if pinned and found != pinned:
        return failed(
            "install-script",
            f"The install script has the SHA-256 {found}, and {pinned} is expected: it was changed.",
            "Read what has changed; if it is right, put the new sum into join.install_sha256.",
            overridable=False,
        )
    if not pinned:
        return warned(
            "install-script",
            f"The install script has the SHA-256 {found}; exactly that one will be run.",
            "Read it once, then put the sum into join.install_sha256 in the settings.",
        )
    return passed("install-script", "The install script can be had, and has the expected sum.")


def release(facts: HostFacts, context: JoinContext) -> Check | None:
    if not context.version or _same(facts.k3s.version, context.version):
        return None
    answer = facts.release
    if 200 <= answer.status < 400:
        return passed("release", f"The release {context.version} can be downloaded.")
    if answer.status == 404:
        return failed(
            "release",
            f"There is no release {context.version} of K3s to download.",
            "Name another one."
            if context.first_server
            else "It is the cluster's own version: see that the context leads to the cluster that you mean.",
            overridable=False,
        )
    only_v6 = facts.public_addresses and all(":" in ip for ip in facts.public_addresses)
    return failed(
        "release",
        f"The host does not reach the release on github.com: {answer.error or answer.status or 'not tried'}.",
        "github.com has no IPv6: give the host a way by IPv4 (NAT64, an exit node)."
        if only_v6
        else "Check the host's way to the internet.",
    )


def _is_this_host(node: Node, facts: HostFacts) -> bool:
    return bool(facts.tailnet_ip) and facts.tailnet_ip in node.internal_ips


def _own_node(facts: HostFacts, context: JoinContext) -> Node | None:
    return next((node for node in context.nodes if _is_this_host(node, facts)), None)


def _own(device_id: str, context: JoinContext) -> bool:
    return context.device is not None and device_id == context.device.id


def _next(context: JoinContext) -> str:
    taken = [*(node.name for node in context.nodes), *(item.name for item in context.devices)]
    return context.rules.naming.next_free(context.role, taken)


def _certificates(pem: str) -> set[str]:
    """The certificates' bodies: line breaks between and around them mean nothing."""
    return {"".join(body.split()) for body in _CERTIFICATE.findall(pem)}


def _same(one: str, two: str) -> bool:
    found = Version.parse(one)
    return found is not None and found == Version.parse(two)
