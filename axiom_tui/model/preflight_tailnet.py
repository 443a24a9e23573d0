"""Preflight rules about the tailnet: Tailscale on the host, its device, and the way to the servers."""

from __future__ import annotations

from axiom_tui.model.checks import Check
from axiom_tui.model.host import HostFacts
from axiom_tui.model.naming import Role
from axiom_tui.model.preflight_context import (
    JoinContext,
    after_approval,
    awaits_approval,
    failed,
    has_device,
    passed,
    warned,
)
from axiom_tui.model.rules import Rules
from axiom_tui.model.tailnet import PathKind, TailnetDevice
from axiom_tui.model.version import Version

#: Kubelet and API talk all the time: above this an agent works, but is felt to be slow.
SLOW = 150.0  # milliseconds
#: Tailscale SSH and sshHostKeys work as this program expects from here on.
OLDEST = Version(1, 60)
MACHINES_PAGE = "https://login.tailscale.com/admin/machines"

_STATES = {
    "NeedsLogin": ("Tailscale is logged out", "Run `sudo tailscale up --ssh` on the host and log in."),
    "NeedsMachineAuth": (
        "Tailscale waits for the approval of this device",
        f"Approve it: {MACHINES_PAGE} (the plan does it where the control API is configured).",
    ),
    "Stopped": ("Tailscale is stopped", "Run `sudo tailscale up` on the host."),
    "Starting": ("Tailscale is starting", "Wait a little, then check again."),
}


def tailscale(facts: HostFacts, context: JoinContext) -> Check:
    found = facts.tailscale
    if found.backend == "Running":
        return passed("tailscale", f"Tailscale is up{f' as {found.name}' if found.name else ''}.")
    if awaits_approval(facts, context):
        return warned("tailscale", "Tailscale waits for the approval of this device; the plan approves it.")
    if not found.installed:
        return failed(
            "tailscale",
            "Tailscale is not installed; the nodes of this fleet talk over nothing else.",
            "`curl -fsSL https://tailscale.com/install.sh | sh`, then `sudo tailscale up --ssh`.",
        )
    sentence, remedy = _STATES.get(
        found.backend, ("tailscaled does not answer", "`sudo systemctl enable --now tailscaled` on the host.")
    )
    return failed("tailscale", f"{sentence}.", remedy)


def version(facts: HostFacts, context: JoinContext) -> Check | None:
    found = Version.parse(facts.tailscale.version)
    if found is None:
        return None
    if found >= OLDEST:
        return passed("tailscale-version", f"Tailscale is {facts.tailscale.version}.")
    return warned(
        "tailscale-version",
        f"Tailscale is {facts.tailscale.version}, which is old.",
        "`sudo tailscale update`, or upgrade its package.",
    )


def address(facts: HostFacts, context: JoinContext) -> Check:
    own = facts.tailnet_ip
    if not own:
        return failed(
            "tailnet-address",
            "The host has no IPv4 address in the tailnet, and K3s needs one as node-ip.",
            "Look at `tailscale ip -4` on the host; IPv4 may be switched off in the policy of the tailnet.",
            overridable=False,
        )
    device = context.device
    if device is not None and device.ipv4 and device.ipv4 != own:
        return failed(
            "tailnet-address",
            f"The host says that it is {own}, but the chosen device is {device.ipv4}: it is another one.",
            "Choose the device that belongs to this host.",
            overridable=False,
        )
    return passed("tailnet-address", f"Its address in the tailnet is {own}: the node-ip.")


def approved(facts: HostFacts, context: JoinContext) -> Check | None:
    device = context.device
    waits = facts.tailscale.backend == "NeedsMachineAuth" or (
        device is not None and device.authorized is False
    )
    if waits:
        if context.can_control:
            return passed("approved", "The device waits for approval; the plan approves it.")
        return warned(
            "approved",
            "The device waits for approval, and the control API is not configured.",
            f"Approve it by hand: {MACHINES_PAGE}.",
        )
    if facts.tailscale.backend == "Running":
        return passed("approved", "The device is approved.")
    return None


def tags(facts: HostFacts, context: JoinContext) -> Check | None:
    if not has_device(facts, context):
        return None
    found = context.device.tags if context.device else facts.tailscale.tags
    missing = [tag for tag in wanted_tags(context.rules, context.role, found) if tag not in found]
    if not missing:
        return passed("tags", f"The device is tagged: {', '.join(found)}.")
    names = ", ".join(missing)
    if context.can_control:
        return passed("tags", f"The device lacks {names}; the plan adds it.")
    return warned(
        "tags",
        f"The device lacks {names}, and the control API is not configured.",
        f"Add it by hand: {MACHINES_PAGE} (Edit ACL tags). Without it other nodes may not reach this one.",
    )


def wanted_tags(rules: Rules, role: Role, found: tuple[str, ...]) -> tuple[str, ...]:
    """All tags that the device should have: those it has, the fleet's, and its role's."""
    role_tag, other = rules.tags.agent, rules.tags.server
    if role is Role.SERVER:
        role_tag, other = other, role_tag
    kept = [tag for tag in found if tag != other]
    return tuple(dict.fromkeys((*kept, *rules.tags.node, *((role_tag,) if role_tag else ()))))


def ssh(facts: HostFacts, context: JoinContext) -> Check | None:
    if not has_device(facts, context):
        return None
    seen = context.device.has_ssh if context.device else None
    if facts.tailscale.runs_ssh or seen:
        return passed("tailscale-ssh", "Tailscale SSH is on.")
    if facts.tailscale.runs_ssh is None and seen is None:
        return warned("tailscale-ssh", "Whether Tailscale SSH is on could not be found out.")
    return warned(
        "tailscale-ssh",
        "Tailscale SSH is off: once sshd is masked, nobody gets in.",
        "`sudo tailscale set --ssh` on the host.",
    )


def key_expiry(facts: HostFacts, context: JoinContext) -> Check | None:
    if not has_device(facts, context):
        return None
    device = context.device
    if facts.tailscale.expired or (device is not None and device.expired):
        return failed(
            "key-expiry",
            "The device's key has expired: it is cut off from the tailnet.",
            "Log it in again: `sudo tailscale up --force-reauth` on the host.",
        )
    if _never_expires(device) or (device is None and facts.tailscale.key_expiry is None):
        return passed("key-expiry", "The device's key does not expire.")
    if context.can_control:
        return passed("key-expiry", "The device's key expires; the plan disables that.")
    return warned(
        "key-expiry",
        "The device's key expires, and the control API is not configured.",
        f"Disable key expiry by hand: {MACHINES_PAGE}. Else the node falls off the tailnet one day.",
    )


def path(facts: HostFacts, context: JoinContext) -> Check | None:
    """The way from the host to the servers, as the host itself sees it."""
    if awaits_approval(facts, context):
        return after_approval("path", "The way to the servers")
    if not has_device(facts, context):
        return None  # without Tailscale there is none; the rules before say so
    if not facts.server_paths:
        return warned("path", "The way to the servers was not tried.") if context.servers else None
    names = {
        ip: context.rules.naming.display(node.name) for node in context.servers for ip in node.internal_ips
    }

    def said(address: str) -> str:
        return names.get(address, address)

    silent = [said(item.address) for item in facts.server_paths if item.milliseconds is None]
    if len(silent) == len(facts.server_paths):
        return failed(
            "path",
            f"No server answers over the tailnet: {', '.join(silent)}.",
            "See whether the tailnet's policy lets this device reach them (its tags), and that they run.",
        )
    words = [
        f"{said(item.address)} {_way(item.kind)} in {item.milliseconds:.0f} ms"
        for item in facts.server_paths
        if item.milliseconds is not None
    ]
    sentence = ", ".join(words)
    if silent:
        return warned("path", f"{sentence}; no answer from {', '.join(silent)}.", "See whether it is up.")
    relayed = any(item.kind is not PathKind.DIRECT for item in facts.server_paths)
    slow = any((item.milliseconds or 0.0) > SLOW for item in facts.server_paths)
    if relayed or slow:
        return warned(
            "path",
            f"{sentence}.",
            "Open UDP 41641 at the host's firewall, so that Tailscale finds a direct way."
            if relayed
            else "Put the node nearer to the servers, if it shall carry what talks to the API a lot.",
        )
    return passed("path", f"{sentence}.")


def _way(kind: PathKind) -> str:
    return "directly" if kind is PathKind.DIRECT else "through a relay"


def _never_expires(device: TailnetDevice | None) -> bool:
    return device is not None and device.key_expiry_disabled is True
