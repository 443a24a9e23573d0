"""What stands on a host's disk and runs there when the world begins."""

from __future__ import annotations

import hashlib
import shlex

from axiom_tui.model.naming import Role
from axiom_tui.simulator.hosts.cluster import node_password
from axiom_tui.simulator.hosts.files import ROOT, Entry, Kind
from axiom_tui.simulator.hosts.host import SEARCH_PATH, USER, Access, Host, Sudo
from axiom_tui.simulator.hosts.install_script import INSTALL_SCRIPT
from axiom_tui.simulator.hosts.k3s_node import DATA, PASSWORD_FILE, stay, write_server_data
from axiom_tui.simulator.hosts.kernel import Nothing, Process
from axiom_tui.simulator.hosts.network import k3s_binary
from axiom_tui.simulator.hosts.program import MARK, PROGRAMS
from axiom_tui.simulator.hosts.shell import Shell
from axiom_tui.simulator.nodes import node_arguments

_DIRECTORIES = (
    *(
        "/etc/systemd/system",
        "/etc/sysctl.d",
        "/etc/modules-load.d",
        "/etc/ssh",
        "/etc/sudoers.d",
        "/dev",
        "/run",
    ),
    *(
        "/usr/bin",
        "/usr/sbin",
        "/usr/local/bin",
        "/usr/local/sbin",
        "/usr/lib",
        "/var/lib",
        "/var/log",
        "/opt",
    ),
    *(
        "/run/systemd/system",
        "/lib/systemd/system",
        "/home",
        "/mnt",
        "/proc/sys/net",
        "/sys/fs/cgroup",
        "/etc/default",
    ),
)
#: Programs that are there for root alone, by custom.
_SYSTEM_PROGRAMS = frozenset(
    ("modprobe", "sysctl", "swapon", "swapoff", "ufw", "reboot", "shutdown", "poweroff")
)
_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "vm/swappiness": "60",
    "net/ipv4/conf/all/rp_filter": "2",
    "net/ipv4/conf/default/rp_filter": "2",
    "vm/overcommit_memory": "0",
    "fs/inotify/max_user_instances": "128",
    "fs/inotify/max_user_watches": "29000",
    "kernel/panic": "0",
    "net/bridge/bridge-nf-call-iptables": "1",
    "net/netfilter/nf_conntrack_max": "65536",
    "kernel/random/boot_id": "0d9b1f6e-6d1e-4c0d-9a86-7a8b9d3b5f10",
}
_SERVICES = {
    "systemd-networkd": "Network Configuration",
    "systemd-resolved": "Network Name Resolution",
    "systemd-timesyncd": "Network Time Synchronization",
    "systemd-journald": "Journal Service",
    "cron": "Regular background program processing daemon",
}


def furnish(host: Host) -> None:
    """Fill the disk and start what runs, as on a machine that has been set up by hand (operator.md)."""
    import axiom_tui.simulator.hosts.programs  # noqa: F401  (fills the table)

    files, computer = host.files, host.computer
    for directory in _DIRECTORIES:
        files.make_directories(directory)
    for link, target in {"/bin": "usr/bin", "/sbin": "usr/sbin"}.items():
        files.link(link, target)
    files.make_directory("/tmp", mode=0o1777)
    files.make_directory("/var/tmp", mode=0o1777)
    files.make_directory("/root", mode=0o700)
    for user in host.users.values():
        if user is not ROOT:
            files.make_directory(user.home, mode=0o750)
            entry = files.entry(user.home)
            entry.owner, entry.group = user.name, user.groups[0]
    for name in ("null", "zero", "tty", "urandom", "random"):
        files.entries[f"/dev/{name}"] = Entry(Kind.DEVICE, 0o666)
    for name in PROGRAMS:
        if name not in ("k3s", "tailscale") or (name == "tailscale" and computer.in_tailnet):
            directory = "/usr/sbin" if name in _SYSTEM_PROGRAMS else "/usr/bin"
            files.write(f"{directory}/{name}", MARK + name.encode(), 0o755)
    _furnish_etc(host)
    _furnish_proc(host)
    for name, description in _SERVICES.items():
        host.systemd.add_builtin(name, description)
    has_sshd = computer.access is Access.SSHD
    host.systemd.add_builtin("ssh", "OpenBSD Secure Shell server", active=has_sshd, masked=not has_sshd)
    host.systemd.add_builtin("ufw", "Uncomplicated firewall", active=False)
    if computer.in_tailnet:
        host.systemd.add_builtin("tailscaled", "Tailscale node agent")
    if computer.machine is not None:
        _furnish_k3s(host)


def _furnish_etc(host: Host) -> None:
    files, system = host.files, host.computer.system
    files.write(
        "/etc/os-release",
        f'PRETTY_NAME="{system.pretty}"\nNAME="{system.id.title()}"\nVERSION_ID="{system.version}"\n'
        f'VERSION="{system.version} ({system.codename})"\nVERSION_CODENAME={system.codename}\n'
        f"ID={system.id}\n" + ("ID_LIKE=debian\n" if system.id == "ubuntu" else ""),
    )
    files.write("/etc/hostname", f"{host.name}\n")
    files.write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
    files.write("/etc/resolv.conf", "nameserver 127.0.0.53\noptions edns0 trust-ad\n")
    files.write("/etc/machine-id", hashlib.sha256(host.computer.name.encode()).hexdigest()[:32] + "\n")
    files.make("/etc/ufw/ufw.conf", lambda: f"ENABLED={'yes' if host.firewall_on else 'no'}\nLOGLEVEL=low\n")
    files.write("/etc/fstab", "UUID=5a9d2a52 / ext4 defaults 0 1\n")
    files.write(
        "/etc/passwd",
        "".join(f"{u.name}:x:{u.number}:{u.number}::{u.home}:/bin/sh\n" for u in host.users.values()),
    )
    files.write("/var/log/auth.log", "", 0o640)
    grant = {Sudo.PASSWORD: "%sudo ALL=(ALL:ALL) ALL", Sudo.NOPASSWD: f"{USER} ALL=(ALL) NOPASSWD:ALL"}
    files.write(
        "/etc/sudoers",
        f'Defaults env_reset\nDefaults secure_path="{SEARCH_PATH}"\n'
        f"root ALL=(ALL:ALL) ALL\n{grant.get(host.sudo, '')}\n",
        0o440,
    )


def _furnish_proc(host: Host) -> None:
    files, computer = host.files, host.computer
    total = computer.memory_mib * 1024

    def memory() -> str:
        return (
            f"MemTotal:       {total} kB\nMemFree:        {total // 3} kB\n"
            f"MemAvailable:   {total * 4 // 5} kB\n"
            f"Buffers:        {total // 40} kB\nCached:         {total // 4} kB\n"
            f"SwapTotal:      {host.swap_kib} kB\nSwapFree:       {host.swap_kib} kB\n"
        )

    def swaps() -> str:
        head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
        return head + (
            f"/swap.img                               file\t\t{host.swap_kib}\t\t0\t\t-2\n"
            if host.swap_kib
            else ""
        )

    processor = "processor\t: {}\nmodel name\t: Simulated\n\n"
    files.make("/proc/meminfo", memory)
    files.make("/proc/swaps", swaps)
    files.make("/proc/uptime", lambda: f"{272_000 + host.clock().timestamp() % 1000:.2f} 540000.00\n")
    files.make("/proc/loadavg", lambda: "0.08 0.03 0.01 1/210 4711\n")
    files.make("/proc/cpuinfo", lambda: "".join(processor.format(number) for number in range(computer.cores)))
    files.make(
        "/proc/modules", lambda: "".join(f"{name} 32768 0 - Live 0x0\n" for name in sorted(host.modules))
    )
    files.make("/proc/version", lambda: f"Linux version {computer.system.kernel} (simulated)\n")
    files.make(
        "/proc/mounts", lambda: "/dev/sda1 / ext4 rw,relatime 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"
    )
    files.make("/proc/filesystems", lambda: "nodev\tproc\nnodev\toverlay\n\text4\n")
    files.make("/proc/cmdline", lambda: "BOOT_IMAGE=/boot/vmlinuz root=UUID=5a9d2a52 ro\n")
    for name, value in _SYSCTLS.items():
        _sysctl(host, name, value)
    files.make("/proc/sys/kernel/hostname", lambda: f"{host.name}\n")
    vendors = {"hetzner": "Hetzner", "infomaniak": "OpenStack Foundation"}
    files.write("/sys/class/dmi/id/sys_vendor", vendors.get(computer.place, "Raspberry Pi Ltd") + "\n")
    products = {"hetzner": "vServer", "infomaniak": "OpenStack Nova"}
    files.write("/sys/class/dmi/id/product_name", products.get(computer.place, "Raspberry Pi 5") + "\n")
    if computer.system.version == "10":  # cgroup v1
        for controller in ("cpu", "memory", "pids", "cpuset"):
            files.make_directories(f"/sys/fs/cgroup/{controller}")
        rows = "cpuset\t2\t1\t1\ncpu\t3\t60\t1\nmemory\t4\t90\t1\npids\t5\t66\t1\n"
    else:
        files.make(
            "/sys/fs/cgroup/cgroup.controllers", lambda: "cpuset cpu io memory hugetlb pids rdma misc\n"
        )
        files.make("/sys/fs/cgroup/cgroup.subtree_control", lambda: "cpuset cpu io memory pids\n")
        rows = "cpuset\t0\t90\t1\ncpu\t0\t90\t1\nmemory\t0\t90\t1\npids\t0\t90\t1\n"
    files.make("/proc/cgroups", lambda: f"#subsys_name\thierarchy\tnum_cgroups\tenabled\n{rows}")
    for link, mtu in (
        ("lo", 65_536),
        ("eth0", 1500),
        *((("tailscale0", 1280),) if computer.in_tailnet else ()),
    ):
        files.write(f"/sys/class/net/{link}/mtu", f"{mtu}\n")


def _sysctl(host: Host, name: str, value: str) -> None:
    current = [value]

    def take(content: bytes) -> None:
        current[0] = content.decode(errors="replace").strip()

    host.files.make(f"/proc/sys/{name}", lambda: f"{current[0]}\n", take)


def _furnish_k3s(host: Host) -> None:
    """K3s as the operator's runbook leaves it, by the install script: flags in the unit, token beside it."""
    machine, files = host.computer.machine, host.files
    assert machine is not None
    is_server = machine.role is Role.SERVER
    name = "k3s" if is_server else "k3s-agent"
    arguments = node_arguments(machine)
    if "--token" in arguments:
        del arguments[arguments.index("--token") : arguments.index("--token") + 2]
    files.write("/usr/local/bin/k3s", k3s_binary(machine.k3s_version, machine.architecture), 0o755)
    environment = {
        "PATH": SEARCH_PATH,
        "INSTALL_K3S_SKIP_DOWNLOAD": "true",
        "INSTALL_K3S_SKIP_START": "true",
        "INSTALL_K3S_EXEC": shlex.join(arguments),
        "K3S_TOKEN": host.hosts.secrets.server_token,
    }

    def install(process: Process) -> int:
        return Shell(host, process).run_text(INSTALL_SCRIPT)

    installing = host.kernel.spawn(install, files={1: Nothing(), 2: Nothing()}, environment=environment)
    with host.kernel.changed:
        host.kernel.changed.wait_for(lambda: installing.status is not None)
    host.kernel.history.clear()  # that was long ago
    files.write(PASSWORD_FILE, f"{node_password(host.computer.number)}\n", 0o600)
    files.make_directories(f"{DATA}/agent")
    files.make_directories("/var/lib/kubelet")
    if is_server:
        write_server_data(host, machine.node_name, host.hosts.secrets.server_token)
    unit = host.systemd.find(name)
    assert unit is not None, installing.status

    def main(process: Process) -> int:
        stay(host, machine.node_name, lambda: process.wait_for(lambda: False))
        return 0

    words = ("/usr/local/bin/k3s", *arguments)
    process = host.kernel.spawn(main, files={0: Nothing()}, arguments=words, environment={})
    host.systemd.adopt(unit, process)
