"""Which computers there are: behind nodes, behind devices that are none yet, and outside the tailnet.

What is out of order on purpose is marked ``fault:``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from axiom_tui.model.naming import Role
from axiom_tui.simulator.cast import NEWCOMER, NEWCOMER_ARM, WAITING, Machine
from axiom_tui.simulator.hosts.host import DEBIAN_10, DEBIAN_12, Access, Computer, Sudo

#: With more nodes than this only servers, and what is no node yet, have a host: each has a socket.
MOST_NODES = 60

NEWCOMERS = (
    Computer(name="ubuntu-4gb-nbg1-2", number=NEWCOMER, public_ip="116.203.77.20"),
    Computer(
        name="ubuntu-8gb-hel1-1",
        number=NEWCOMER_ARM,
        architecture="arm64",
        public_ip="65.21.110.8",
        cores=4,
        memory_mib=7747,
        disk_gib=75,
        free_mib=70_120,
        sudo=Sudo.NOPASSWD,
    ),
    # fault: another distribution, and not approved
    Computer(
        name="pi5-keller",
        number=WAITING,
        architecture="arm64",
        system=DEBIAN_12,
        place="home",
        lan_ip="192.168.1.77",
        cores=4,
        memory_mib=8064,
        disk_gib=119,
        free_mib=98_000,
        access=Access.SSHD,
    ),
)

OUTSIDERS = (
    # fault: an old distribution (kernel 4.19, cgroup v1)
    Computer(
        name="old-os",
        number=900,
        system=DEBIAN_10,
        place="infomaniak",
        public_ip="195.15.252.200",
        in_tailnet=False,
        access=Access.SSHD,
    ),
    # fault: no room on its disk
    Computer(
        name="full-disk",
        number=901,
        public_ip="116.203.77.21",
        free_mib=0,
        in_tailnet=False,
        access=Access.SSHD,
    ),
    # fault: never heard of Tailscale
    Computer(
        name="no-tailscale", number=902, public_ip="116.203.77.22", in_tailnet=False, access=Access.SSHD
    ),
    # fault: its user is not in sudoers, and the machine is too small
    Computer(
        name="no-sudo",
        number=903,
        public_ip="116.203.77.23",
        cores=1,
        memory_mib=450,
        in_tailnet=False,
        access=Access.SSHD,
        sudo=Sudo.ABSENT,
    ),
)


def computers(machines: Sequence[Machine]) -> Iterable[Computer]:
    """All computers of a world with these nodes."""
    for machine in machines:
        if machine.role is Role.SERVER or len(machines) <= MOST_NODES:
            yield of_machine(machine)
    yield from NEWCOMERS
    yield from OUTSIDERS


def of_machine(machine: Machine) -> Computer:
    return Computer(
        name=machine.node_name,
        number=machine.number,
        architecture=machine.architecture,
        place=machine.place,
        public_ip=machine.public_ip,
        lan_ip=machine.lan_ip,
        cores=machine.cores,
        memory_mib=machine.memory_mib,
        disk_gib=machine.disk_gib,
        free_mib=machine.disk_gib * 640,
        machine=machine,
    )
