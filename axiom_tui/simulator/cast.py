"""Who is in the simulated world: the machines of the fleet, the other devices, and what is wrong with them.

Everything that is out of order on purpose stands in this file, marked ``fault:``.
"""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from axiom_tui.model.naming import Role, fold
from axiom_tui.model.node import TAILNET_V4
from axiom_tui.simulator.tailnet import Device, Origin, Route

CLUSTER = "axiom-demo"
TAILNET = "technat.github"
SUFFIX = "crocodile-bee.ts.net"
ADMIN = "technat@github"
K3S_VERSION = "v1.33.4+k3s1"
OLD_K3S_VERSION = "v1.31.9+k3s1"

NODE_TAG = "tag:acl-axiom"
ROLE_TAGS = {Role.SERVER: "tag:info-control-plane", Role.AGENT: "tag:info-compute-plane"}
PLACES = ("infomaniak", "hetzner", "home")

SELF_NUMBER = 1
#: The devices that are no nodes yet: one of each architecture, and one that waits for approval.
NEWCOMER, NEWCOMER_ARM, WAITING = 3, 9, 4
#: Numbers of devices that are no machines of the fleet; machines count from 100.
FIRST_MACHINE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine that is, or may become, a node of the cluster; ``name`` in the admin's spelling.

    ``pool`` is the load-balancer pool that its labels name, "" for no labels. ``not_ready_for`` is set for
    a node that has been silent for so long.
    """

    number: int
    name: str
    role: Role
    architecture: str
    place: str
    lan_ip: str
    public_ip: str = ""
    pool: str = ""
    k3s_version: str = K3S_VERSION
    age: timedelta = timedelta(days=100)
    cores: int = 4
    memory_mib: int = 7940
    disk_gib: int = 75
    first: bool = False  # the server that founded the cluster
    not_ready_for: timedelta | None = None

    @property
    def node_name(self) -> str:
        """The name in Kubernetes and MagicDNS: K3s folds it."""
        return fold(self.name)

    @property
    def tailnet_ip(self) -> str:
        return tailnet_v4(self.number)


@functools.lru_cache(maxsize=16384)
def tailnet_v4(number: int) -> str:
    """An address of 100.64.0.0/10 that only this number has (an odd factor permutes the range)."""
    return str(TAILNET_V4[number * 2654435761 % TAILNET_V4.num_addresses])


def tailnet_v6(number: int) -> str:
    mixed = number * 2654435761 % 2**32
    return str(ipaddress.ip_address(f"fd7a:115c:a1e0::{mixed >> 16:x}:{mixed & 0xFFFF:x}"))


def default_machines() -> list[Machine]:
    """Three servers and eight agents, WALL-A-6 having been given back to its provider."""

    def server(n: int, **rest: Any) -> Machine:
        return _machine(n, f"M-O-{n}", Role.SERVER, **rest)

    def agent(n: int, **rest: Any) -> Machine:
        return _machine(10 + n, f"WALL-A-{n}", Role.AGENT, **rest)

    return [
        server(1, arch="amd64", place="infomaniak", public="195.15.252.166", days=212, first=True),
        server(2, arch="amd64", place="infomaniak", public="195.15.252.181", days=211),
        # fault: a server away from the others
        server(3, arch="arm64", place="hetzner", public="65.109.14.33", days=64),
        agent(1, arch="arm64", place="hetzner", public="116.203.10.1", pool="external", days=180, cores=8),
        agent(2, arch="amd64", place="infomaniak", pool="internal", days=180),
        # fault: public address, but labelled internal
        agent(3, arch="amd64", place="hetzner", public="116.203.10.3", pool="internal", days=20),
        # fault: no load-balancer labels; kubelet two minors behind
        agent(4, arch="amd64", place="home", version=OLD_K3S_VERSION, days=2, cores=2),
        agent(5, arch="arm64", place="home", pool="internal", days=95),
        # fault: off the tailnet and therefore NotReady; external without a public address
        agent(7, arch="arm64", place="home", pool="external", days=90, silent=timedelta(hours=3, minutes=10)),
        agent(8, arch="amd64", place="hetzner", public="116.203.10.8", pool="external", days=41, cores=8),
        agent(9, arch="amd64", place="home", pool="internal", days=41),  # goes and comes back while alive
    ]


#: The node that goes NotReady and comes back while the world is alive.
WANDERER = "wall-a-9"


def many_machines(count: int) -> list[Machine]:
    """The default fleet, followed by agents until there are ``count`` nodes (at least 1)."""
    machines = default_machines()[:count]
    for n in range(10, 10 + count - len(machines)):
        public = n % 3 == 0
        machines.append(
            _machine(
                10 + n,
                f"WALL-A-{n}",
                Role.AGENT,
                arch="arm64" if n % 2 else "amd64",
                place="hetzner" if public else PLACES[n % 3],
                public=f"116.203.{n // 250 % 256}.{n % 250 + 1}" if public else "",
                pool="external" if public else "internal",
                days=n % 300 + 1,
            )
        )
    return machines


def _machine(
    index: int,
    name: str,
    role: Role,
    *,
    arch: str,
    place: str,
    public: str = "",
    pool: str = "",
    days: int = 100,
    cores: int = 4,
    version: str = K3S_VERSION,
    first: bool = False,
    silent: timedelta | None = None,
) -> Machine:
    return Machine(
        number=FIRST_MACHINE + index,
        name=name,
        role=role,
        architecture=arch,
        place=place,
        lan_ip=f"192.168.{1 + index // 200}.{20 + index % 200}",
        public_ip=public,
        pool=pool,
        k3s_version=version,
        age=timedelta(days=days, hours=index % 24, minutes=index * 7 % 60),
        cores=cores,
        memory_mib=cores * 1985,
        first=first,
        not_ready_for=silent,
    )


def machine_device(machine: Machine, now: datetime) -> Device:
    """The tailnet device of a machine that is in order."""
    home = machine.place == "home"
    created = now - machine.age - timedelta(minutes=25)
    endpoint_ip = machine.public_ip or ("178.197.200.14" if home else "195.15.240.7")
    silent = machine.not_ready_for
    return Device(
        number=machine.number,
        name=machine.node_name,
        host_name=machine.name,
        tags=(NODE_TAG, ROLE_TAGS[machine.role], f"tag:info-{machine.place}"),
        ipv4=machine.tailnet_ip,
        ipv6=tailnet_v6(machine.number),
        created=created,
        key_expiry=created + timedelta(days=180),
        has_ssh=True,
        relay="nue" if machine.place == "hetzner" else "fra",
        endpoint=f"{endpoint_ip}:41641" if not home else f"{endpoint_ip}:{41642 + machine.number % 1000}",
        latency={"infomaniak": 12.0, "hetzner": 18.0, "home": 6.0}[machine.place] + machine.number % 7,
        online=silent is None,
        last_seen=now - silent if silent else None,
        rx_bytes=1_048_576 * (machine.number % 97 + 3),
        tx_bytes=524_288 * (machine.number % 89 + 5),
        # The admin works with the servers: their paths are warm. The others are idle until something asks.
        sent_at=now if machine.role is Role.SERVER else None,
        pings=5 if machine.role is Role.SERVER else 0,
    )


def faulty_fields(machine: Machine, now: datetime) -> dict[str, Any]:
    """What is out of order with this machine's device; the cluster's faults stand in `default_machines`."""
    match machine.name:
        case "M-O-2":  # fault: key expiry not disabled on a server
            return {"key_expiry_disabled": False, "key_expiry": now + timedelta(days=97)}
        case "WALL-A-3":  # fault: relayed, no direct path to be found
            return {"route": Route.DERP, "relay": "fra", "latency": 31.0, "sent_at": now, "pings": 9}
        case "WALL-A-5":  # fault: the key expires in a few days
            return {"key_expiry_disabled": False, "key_expiry": now + timedelta(days=4, hours=9)}
        case "WALL-A-8":  # no fault: reached through a peer relay of the tailnet
            return {"route": Route.PEER_RELAY, "peer_relay": "195.15.252.166:40000:vni:7"}
    return {}


def other_devices(now: datetime) -> list[Device]:
    """Everything in the tailnet that is no node."""
    months = timedelta(days=30)
    later = now + timedelta(days=140)
    return [
        Device(
            number=SELF_NUMBER,
            name="x1",
            host_name="x1",
            user=ADMIN,
            distro=("arch", "", ""),
            created=now - 14 * months,
            key_expiry=later,
            key_expiry_disabled=False,
            endpoint="178.197.200.14:41641",
            latency=0.1,
        ),
        Device(
            number=2,
            name="pixel",
            host_name="Pixel 9",
            os="android",
            user=ADMIN,
            distro=("", "", ""),
            created=now - 9 * months,
            key_expiry=later,
            key_expiry_disabled=False,
            online=False,
            last_seen=now - timedelta(minutes=47),
            client_version="1.100.1",
            update_available=True,
        ),
        # fault: tagged as a node, but not in the cluster: it waits to be joined
        Device(
            number=NEWCOMER,
            name="ubuntu-4gb-nbg1-2",
            host_name="ubuntu-4gb-nbg1-2",
            tags=(NODE_TAG, ROLE_TAGS[Role.AGENT], "tag:info-hetzner"),
            created=now - timedelta(minutes=38),
            key_expiry=now + timedelta(days=180),
            key_expiry_disabled=False,
            has_ssh=True,
            relay="nue",
            endpoint="116.203.77.20:41641",
            latency=22.0,
        ),
        # fault: the same
        Device(
            number=NEWCOMER_ARM,
            name="ubuntu-8gb-hel1-1",
            host_name="ubuntu-8gb-hel1-1",
            tags=(NODE_TAG, ROLE_TAGS[Role.AGENT], "tag:info-hetzner"),
            created=now - timedelta(minutes=21),
            key_expiry=now + timedelta(days=180),
            has_ssh=True,
            relay="nue",
            endpoint="65.21.110.8:41641",
            latency=31.0,
        ),
        # fault: waits for approval, so only the control plane knows it
        Device(
            number=WAITING,
            name="pi5-keller",
            host_name="pi5-keller",
            tags=(NODE_TAG, ROLE_TAGS[Role.AGENT], "tag:info-home"),
            created=now - timedelta(hours=26),
            key_expiry=now + timedelta(days=179),
            key_expiry_disabled=False,
            authorized=False,
            endpoint="178.197.200.14:43317",
            distro=("debian", "12", "bookworm"),
        ),
        # The policy hides it from the laptop: only the control API knows it.
        Device(
            number=5,
            name="backup-vault",
            host_name="backup-vault",
            tags=("tag:acl-backup",),
            created=now - 5 * months,
            key_expiry=now - months,
            visible=False,
            endpoint="185.125.27.9:41641",
        ),
        Device(
            number=6,
            name="friends-nas",
            host_name="DiskStation",
            user="friend@example.com",
            origin=Origin.SHARED_IN,
            suffix="tail4d2e.ts.net",
            created=now - 3 * months,
            key_expiry=later,
            key_expiry_disabled=False,
            distro=("synology", "7.2", ""),
            endpoint="89.217.4.4:41641",
            latency=29.0,
        ),
        Device(
            number=7,
            name="device-of-shared-to-user",
            host_name="hello",
            user="guest@example.com",
            origin=Origin.SHAREE,
            suffix="tail9a1b.ts.net",
            os="windows",
            created=now - 2 * months,
            key_expiry=later,
            key_expiry_disabled=False,
            distro=("", "", ""),
        ),
        Device(
            number=8,
            name="ch-zrh-wg-001",
            host_name="ch-zrh-wg-001.mullvad.ts.net",
            origin=Origin.MULLVAD,
            suffix="mullvad.ts.net",
            tags=("tag:mullvad-exit-node",),
            os="",
            created=now - 20 * months,
            key_expiry=now + 200 * months,
            client_version="",
            endpoint="193.32.127.66:51820",
            latency=9.0,
        ),
    ]


def fleet_devices(machines: list[Machine], now: datetime) -> list[Device]:
    """All devices of the tailnet: the machines with their faults, and everything else."""
    devices = [
        replace(device, ipv4=tailnet_v4(device.number), ipv6=tailnet_v6(device.number))
        for device in other_devices(now)
    ]
    for machine in machines:
        devices.append(replace(machine_device(machine, now), **faulty_fields(machine, now)))
    return devices
