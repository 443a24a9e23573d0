"""Preflight rules about the host itself: system, resources, clock, firewall, ports.

Limits are K3s' and Cilium's own (K3s docs "Requirements", Cilium docs "System Requirements"; facts:
k3s-and-backups.md, 1.10).
"""

from __future__ import annotations

import re
from datetime import timedelta

from axiom_tui.model.checks import Check
from axiom_tui.model.host import HostFacts
from axiom_tui.model.naming import Role
from axiom_tui.model.preflight_context import JoinContext, failed, passed, warned

GIB, MIB = 1 << 30, 1 << 20
#: role -> cores and bytes of memory below which it fails, and below which it warns.
CORES = {Role.SERVER: (1, 2), Role.AGENT: (1, 1)}
MEMORY = {Role.SERVER: (1500 * MIB, 3500 * MIB), Role.AGENT: (450 * MIB, 900 * MIB)}
DISK = (3 * GIB, 10 * GIB)
INODES = (50_000, 200_000)
#: Kernels: below the first K3s' own parts fail, below the second Cilium (1.18).
KERNEL = ((4, 19), (5, 10))
MAX_SKEW = timedelta(seconds=30)
#: WireGuard adds 80 bytes over IPv6; Tailscale's own interface has 1280.
LEAST_MTU = 1280 + 80
NEEDED_PROGRAMS = ("curl", "systemctl", "journalctl", "sha256sum", "stat", "mktemp", "hostnamectl")
#: (protocol, port) that K3s and Cilium want on every node, and those of a server besides.
NODE_PORTS = (
    *(("tcp", port) for port in (4240, 4244, 6444, 10010, 10248, 10249, 10250, 10256)),
    ("udp", 8472),
)
SERVER_PORTS = tuple(("tcp", port) for port in (2379, 2380, 2381, 2382, 6443, 10257, 10258, 10259))
#: The load balancer takes these on every node that serves (hostPort).
WEB_PORTS = (("tcp", 80), ("tcp", 443))
_LIB = "/var/lib/rancher"


def facts(facts: HostFacts, context: JoinContext) -> Check:
    if facts.whole:
        return passed("facts", f"All facts of {facts.host_name or 'the host'} are collected.")
    return failed(
        "facts",
        "The collection of facts was cut before its end: what follows may be missing.",
        "Check again; if it stays, see whether the host ends long commands (`ulimit`, an antivirus).",
    )


def sudo(facts: HostFacts, context: JoinContext) -> Check:
    if facts.is_root:
        return passed("sudo", "Commands can be run as root.")
    problem = facts.no_root
    sentence = problem.sentence if problem else f"{facts.user or 'The user'} is not root, and has no sudo."
    remedy = problem.remedy if problem else "Log in as a user who may use sudo."
    return failed("sudo", sentence, remedy, overridable=False)


def secure_path(facts: HostFacts, context: JoinContext) -> Check | None:
    """K3s lies in /usr/local/bin; scripts that call it through sudo need it there."""
    if not facts.sudo_path:
        return None
    if "/usr/local/bin" in facts.sudo_path.split(":"):
        return passed("secure-path", "sudo finds programs in /usr/local/bin, where K3s will be.")
    return warned(
        "secure-path",
        "sudo does not look into /usr/local/bin, where K3s will be (secure_path). The plan names full paths.",
        "Add /usr/local/bin to `Defaults secure_path` (with visudo), so that `sudo k3s` works by hand.",
    )


def programs(facts: HostFacts, context: JoinContext) -> Check:
    missing = [name for name in NEEDED_PROGRAMS if name not in facts.commands]
    if not missing:
        return passed("programs", "All programs that the plan needs are there.")
    return failed(
        "programs",
        f"The host lacks {', '.join(missing)}.",
        f"Install them: `apt install {' '.join(missing)}`.",
    )


def architecture(facts: HostFacts, context: JoinContext) -> Check:
    if facts.architecture in ("amd64", "arm64"):
        return passed("architecture", f"The CPU is {facts.architecture}.")
    return failed(
        "architecture",
        f"The CPU is {facts.machine or 'unknown'}; the fleet runs on amd64 and arm64.",
        "Use another host.",
        overridable=False,
    )


def distribution(facts: HostFacts, context: JoinContext) -> Check:
    found = facts.os_name or f"{facts.os_id} {facts.os_version}".strip() or "an unknown system"
    if facts.os_id == context.distribution and facts.os_version == context.release:
        return passed("distribution", f"The system is {found}.")
    wanted = f"{context.distribution} {context.release}"
    if facts.os_id == context.distribution and _version(facts.os_version) < _version(context.release):
        return failed(
            "distribution",
            f"The system is {found}, older than {wanted}, which the fleet runs on.",
            "Install the host anew, or upgrade it first (`do-release-upgrade`).",
        )
    return warned(
        "distribution",
        f"The system is {found}, and the fleet runs on {wanted}.",
        "It may work; if it is on purpose, say so in the settings (join.distribution, join.release).",
    )


def kernel(facts: HostFacts, context: JoinContext) -> Check:
    least, wanted = KERNEL
    found = _version(facts.kernel)
    if found >= wanted:
        return passed("kernel", f"The kernel is {facts.kernel}.")
    if found >= least:
        return warned(
            "kernel",
            f"The kernel {facts.kernel} is older than {_words(wanted)}, which Cilium asks for.",
            "Install the HWE kernel (`apt install linux-generic-hwe-22.04`) and reboot.",
        )
    return failed(
        "kernel",
        f"The kernel {facts.kernel or 'is unknown, and'} must be at least {_words(least)}.",
        "Upgrade the host, then check again.",
    )


def modules(facts: HostFacts, context: JoinContext) -> Check:
    missing = [name for name in facts.missing_modules if name not in facts.modules]
    if not missing:
        return passed("modules", "The kernel modules overlay and br_netfilter are there or can be loaded.")
    return failed(
        "modules",
        f"The kernel has no module {', '.join(missing)}; K3s cannot start without.",
        "Install the matching linux-modules-extra package, or reboot into the installed kernel.",
    )


def cgroups(facts: HostFacts, context: JoinContext) -> Check:
    missing = [name for name in ("cpu", "memory", "pids") if name not in facts.cgroup_controllers]
    if facts.cgroup_controllers and not missing:
        return passed("cgroups", f"cgroups v{facts.cgroup_version or 2} with cpu, memory and pids.")
    return failed(
        "cgroups",
        f"The kernel offers no cgroup controller {', '.join(missing)}.",
        "On a Raspberry Pi add `cgroup_memory=1 cgroup_enable=memory` to /boot/firmware/cmdline.txt; reboot.",
    )


def cpu(facts: HostFacts, context: JoinContext) -> Check:
    least, wanted = CORES[context.role]
    sentence = f"{facts.cpus} {'core' if facts.cpus == 1 else 'cores'}"
    if facts.cpus >= wanted:
        return passed("cpu", f"{sentence}.")
    if facts.cpus >= least:
        role = context.role.with_article
        return warned("cpu", f"{sentence}; {role} should have {wanted}.", "Use a bigger host.")
    return failed("cpu", "How many cores it has could not be found out.", "Look at `nproc` on the host.")


def memory(facts: HostFacts, context: JoinContext) -> Check:
    least, wanted = MEMORY[context.role]
    sentence = f"{facts.memory / GIB:.1f} GiB of memory"
    if facts.memory >= wanted:
        return passed("memory", f"{sentence}.")
    if facts.memory >= least:
        return warned(
            "memory",
            f"{sentence}: little for {context.role.with_article} beside its pods.",
            "Use a bigger host, or expect evictions.",
        )
    return failed(
        "memory",
        f"{sentence}: K3s needs {least / GIB:.1f} GiB for {context.role.with_article}.",
        "Use a bigger host.",
    )


def swap(facts: HostFacts, context: JoinContext) -> Check:
    if not facts.swap:
        return passed("swap", "No swap.")
    return warned(
        "swap",
        f"{facts.swap / GIB:.1f} GiB of swap are on; K3s starts, but memory limits of pods mean less.",
        "Turn it off: `swapoff -a`, and take it out of /etc/fstab.",
    )


def disk(facts: HostFacts, context: JoinContext) -> Check:
    volume = facts.volume(_LIB)
    if volume is None:
        return warned("disk", "How much room the disk has could not be found out.", "Look at `df -h`.")
    sentence = f"{volume.free / GIB:.1f} GiB are free on {volume.path} (of {volume.size / GIB:.0f} GiB)"
    least, wanted = DISK
    if volume.free >= wanted:
        return passed("disk", f"{sentence}.")
    if volume.free >= least:
        return warned("disk", f"{sentence}; images and logs will soon fill it.", "Make room, or grow it.")
    return failed(
        "disk",
        f"Only {sentence}: K3s and its images do not fit.",
        "Make room (`apt clean`), or grow the disk.",
    )


def inodes(facts: HostFacts, context: JoinContext) -> Check | None:
    volume = facts.volume(_LIB)
    if volume is None or not volume.inodes:
        return None
    sentence = f"{volume.free_inodes} inodes are free on {volume.path}"
    least, wanted = INODES
    if volume.free_inodes >= wanted:
        return passed("inodes", f"{sentence}.")
    if volume.free_inodes >= least:
        return warned("inodes", f"{sentence}; images need many.", "Look for folders with many small files.")
    return failed("inodes", f"Only {sentence}.", "Delete what fills it: `du --inodes -x / | sort -n | tail`.")


def clock(facts: HostFacts, context: JoinContext) -> Check:
    ping = facts.api_ping
    if ping.date is None or ping.here is None:
        if facts.clock_synchronized is False:
            return warned("clock", "The host's clock is not synchronized.", "`timedatectl set-ntp true`.")
        return warned("clock", "The host's clock could not be compared with the cluster's.")
    skew = ping.here - ping.date
    seconds = abs(skew.total_seconds())
    if abs(skew) >= MAX_SKEW:
        way = "ahead of" if skew > timedelta() else "behind"
        return failed(
            "clock",
            f"The host's clock is {seconds:.0f} s {way} the cluster's; certificates and leases need < 30 s.",
            "Let it be set: `timedatectl set-ntp true`, then look at `timedatectl`.",
        )
    if facts.clock_synchronized is False:
        return warned(
            "clock",
            f"The clock differs by {seconds:.0f} s, but is not synchronized and will drift.",
            "`timedatectl set-ntp true`.",
        )
    return passed("clock", f"The clock differs by {seconds:.0f} s from the cluster's.")


def firewall(facts: HostFacts, context: JoinContext) -> Check:
    active = [
        name for name, state in (("ufw", facts.ufw), ("firewalld", facts.firewalld)) if state == "active"
    ]
    if not active:
        return passed("firewall", "Neither ufw nor firewalld is on.")
    off = "ufw disable" if active[0] == "ufw" else "systemctl disable --now firewalld"
    return failed(
        "firewall",
        f"{' and '.join(active)} filters: it drops traffic of pods and between nodes.",
        f"Turn it off (`{off}`); Cilium's host firewall does this work in the fleet.",
    )


def ports(facts: HostFacts, context: JoinContext) -> Check:
    wanted = (*NODE_PORTS, *(SERVER_PORTS if context.role is Role.SERVER else ()))
    if facts.k3s.running:
        return warned("ports", "K3s runs here and holds its ports.")
    taken = _taken(facts, wanted)
    if taken:
        return failed("ports", f"Ports are taken: {taken}.", "Stop what listens there, then check again.")
    web = _taken(facts, WEB_PORTS)
    if web:
        return warned(
            "ports",
            f"Ports of the load balancer are taken: {web}; pods of servicelb stay Pending on this node.",
            "Stop what listens there, or keep this node out of the pools.",
        )
    return passed("ports", "All ports that K3s and Cilium need are free.")


def mtu(facts: HostFacts, context: JoinContext) -> Check:
    outer = [item for item in facts.interfaces if item.name in facts.default_routes]
    smallest = min((item.mtu for item in outer if item.mtu), default=0)
    if not smallest:
        return warned("mtu", "The MTU of the way to the internet could not be found out.")
    if smallest < LEAST_MTU:
        return warned(
            "mtu",
            f"The MTU to the internet is {smallest}: Tailscale's packets (1280 and its own head) get cut up.",
            "Raise it if the provider allows, else expect a slow tailnet on this node.",
        )
    return passed("mtu", f"The MTU to the internet is {smallest}, enough for Tailscale's 1280.")


def _taken(facts: HostFacts, wanted: tuple[tuple[str, int], ...]) -> str:
    found = [
        f"{item.port}/{item.protocol}{f' by {item.process}' if item.process else ''}"
        for item in facts.listeners
        if (item.protocol, item.port) in wanted
    ]
    return ", ".join(dict.fromkeys(found))


def _version(text: str) -> tuple[int, ...]:
    """``5.15.0-164-generic`` as (5, 15): its first two numbers, which is what requirements name."""
    match = re.match(r"([0-9]{1,6})(?:\.([0-9]{1,6}))?", text)
    return (int(match[1]), int(match[2] or 0)) if match else ()


def _words(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
