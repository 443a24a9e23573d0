"""Programs about names, addresses, links and sockets."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass

from axiom_tui.simulator.hosts.network import Unreachable, Unresolved
from axiom_tui.simulator.hosts.program import Failure, Run, program

_SERVICES = {22: "sshd", 6443: "k3s-server"}
_LIFETIME = "valid_lft forever preferred_lft forever"
_LOCAL = frozenset((2381, 2382, 6444, 10248, 10249, 10256, 10257, 10259))


@program("getent")
def getent(run: Run) -> int:
    database, *keys = run.arguments or ("",)
    if database == "passwd":
        for user in run.host.users.values():
            if not keys or user.name in keys or str(user.number) in keys:
                run.line(f"{user.name}:x:{user.number}:{user.number}:{user.name}:{user.home}:/bin/sh")
        return 0 if not keys or set(keys) & {user.name for user in run.host.users.values()} else 2
    if database == "group":
        for user in run.host.users.values():
            for name in user.groups:
                if not keys or name in keys:
                    run.line(f"{name}:x:27:{user.name}")
        return 0
    if database not in ("hosts", "ahosts", "ahostsv4", "ahostsv6"):
        run.say(f"Unknown database: {database}")
        return 1
    status = 0
    for key in keys:
        try:
            found = run.host.network.addresses(key)
        except Unresolved:
            status = 2
            continue
        if database == "ahostsv4":
            found = tuple(address for address in found if ":" not in address)
        elif database == "ahostsv6":
            found = tuple(address for address in found if ":" in address)
        for address in found:
            if database == "hosts":
                run.line(f"{address:<15} {key}")
            else:
                run.line(f"{address:<15} STREAM {key}")
        if not found:
            status = 2
    return status


@dataclass(frozen=True, slots=True)
class _Link:
    index: int
    name: str
    mtu: int
    addresses: tuple[tuple[str, int], ...]
    flags: str = "BROADCAST,MULTICAST,UP,LOWER_UP"


def _links(run: Run) -> list[_Link]:
    computer, device = run.host.computer, run.host.device
    ethernet: list[tuple[str, int]] = []
    if computer.place == "hetzner" and computer.public_ip:
        ethernet.append((computer.public_ip, 32))  # Hetzner gives the address to the machine itself
    else:
        ethernet.append((computer.lan_ip, 24))
    if computer.public_ip and computer.place != "hetzner":
        ethernet.append((computer.public_ip, 24))
    links = [
        _Link(1, "lo", 65_536, (("127.0.0.1", 8), ("::1", 128)), "LOOPBACK,UP,LOWER_UP"),
        _Link(2, "eth0", 1500, tuple(ethernet)),
    ]
    if device is not None and device.authorized:
        addresses = tuple((address, 128 if ":" in address else 32) for address in device.addresses)
        links.append(_Link(3, "tailscale0", 1280, addresses, "POINTOPOINT,MULTICAST,NOARP,UP,LOWER_UP"))
    if 10250 in run.host.listening():
        links.append(_Link(5, "cilium_host", 1280, (("10.42.7.1", 32),)))
        links.append(_Link(6, "cilium_vxlan", 1280, ()))
    return links


@program("ip")
def ip(run: Run) -> int:
    words = list(run.arguments)
    flags = {word for word in words if word.startswith("-")}
    words = [word for word in words if not word.startswith("-")]
    family = 4 if "-4" in flags else 6 if "-6" in flags else 0
    what = words[0] if words else ""
    rest = words[1:]
    if "addr".startswith(what) or what == "address":
        return _addresses(run, flags, family, rest)
    if what in ("link", "l"):
        return _link(run, flags, rest)
    if what in ("route", "r", "ro"):
        return _route(run, flags, family, rest)
    if what in ("rule", "neigh", "netns"):
        return 0
    run.say(f'Object "{what}" is unknown, try "ip help".')
    return 1


def _chosen(run: Run, words: list[str]) -> list[_Link]:
    names = [word for word in words if word not in ("show", "list", "dev", "scope", "global", "up", "to")]
    links = _links(run)
    if not names:
        return links
    found = [link for link in links if link.name == names[0]]
    if not found:
        raise Failure(f'Device "{names[0]}" does not exist.')
    return found


def _addresses(run: Run, flags: set[str], family: int, words: list[str]) -> int:
    try:
        links = _chosen(run, words)
    except Failure as failure:
        run.say(str(failure))
        return 1
    shown = []
    for link in links:
        addresses = [
            (address, bits, "global" if link.name != "lo" else "host")
            for address, bits in link.addresses
            if not family or ipaddress.ip_address(address).version == family
        ]
        if "global" in words:
            addresses = [item for item in addresses if item[2] == "global"]
        if addresses or not family:
            shown.append((link, addresses))
    if flags & {"-j", "-json", "--json"}:
        run.line(
            json.dumps(
                [
                    {
                        "ifindex": link.index,
                        "ifname": link.name,
                        "flags": link.flags.split(","),
                        "mtu": link.mtu,
                        "operstate": "UP" if link.name != "lo" else "UNKNOWN",
                        "addr_info": [
                            {"family": "inet6" if ":" in address else "inet", "local": address}
                            | {"prefixlen": bits, "scope": scope}
                            for address, bits, scope in addresses
                        ],
                    }
                    for link, addresses in shown
                ]
            )
        )
        return 0
    for link, addresses in shown:
        if "-br" in flags or "-brief" in flags:
            text = " ".join(f"{address}/{bits}" for address, bits, _ in addresses)
            run.line(f"{link.name:<16} {'UNKNOWN' if link.name != 'eth0' else 'UP':<14} {text} ")
        elif flags & {"-o", "-oneline"}:
            for address, bits, scope in addresses:
                where = f"{_family(address)} {address}/{bits} scope {scope} {link.name}"
                run.line(f"{link.index}: {link.name}    {where}\\       {_LIFETIME}")
        else:
            run.line(f"{_head(link)} group default qlen 1000")
            for address, bits, scope in addresses:
                run.line(f"    {_family(address)} {address}/{bits} scope {scope} {link.name}")
                run.line(f"       {_LIFETIME}")
    return 0


def _link(run: Run, flags: set[str], words: list[str]) -> int:
    if words[:1] in (["delete"], ["del"], ["set"]):
        if not run.user.is_root:
            run.say("RTNETLINK answers: Operation not permitted")
            return 2
        names = [link.name for link in _links(run)]
        if words[-1] not in names:
            run.say(f'Cannot find device "{words[-1]}"')
            return 1
        return 0
    try:
        links = _chosen(run, words)
    except Failure as failure:
        run.say(str(failure))
        return 1
    if flags & {"-j", "-json", "--json"}:
        found = [{"ifindex": link.index, "ifname": link.name, "mtu": link.mtu} for link in links]
        run.line(json.dumps(found))
        return 0
    for link in links:
        end = "\\    " if flags & {"-o", "-oneline"} else "\n    "
        ether = f"link/ether 96:00:02:aa:bb:{link.index:02x} brd ff:ff:ff:ff:ff:ff"
        run.line(f"{_head(link)} mode DEFAULT group default qlen 1000{end}{ether}")
    return 0


def _head(link: _Link) -> str:
    return f"{link.index}: {link.name}: <{link.flags}> mtu {link.mtu} qdisc fq_codel state UP"


def _family(address: str) -> str:
    return "inet6" if ":" in address else "inet"


def _route(run: Run, flags: set[str], family: int, words: list[str]) -> int:
    if words[:1] == ["get"]:
        address = words[1] if len(words) > 1 else ""
        device = run.host.device
        tailnet = device is not None and address.startswith(("100.", "fd7a:"))
        source = (
            device.ipv4
            if device is not None and tailnet
            else run.host.computer.public_ip or run.host.computer.lan_ip
        )
        link = "tailscale0" if tailnet else "eth0"
        run.line(f"{address} dev {link} {'table 52 ' if tailnet else ''}src {source} uid {run.user.number} ")
        return 0
    if family == 6:
        return 0
    if flags & {"-j", "-json"}:
        run.line(json.dumps([{"dst": "default", "gateway": "172.31.1.1", "dev": "eth0"}]))
    else:
        run.line("default via 172.31.1.1 dev eth0 proto dhcp metric 100 ")
    return 0


@program("ss", "netstat")
def ss(run: Run) -> int:
    options, _ = run.options("ltunpHaO46", ["listening", "tcp", "udp", "numeric", "processes", "no-header"])
    # As ss itself: the column Netid is there where more than one kind of socket is asked for.
    both = bool({"-t", "--tcp"} & set(options)) == bool({"-u", "--udp"} & set(options))
    tcp, udp = (f"{name:<5} " if both else "" for name in ("tcp", "udp"))
    if "-H" not in options and "--no-header" not in options:
        head = "Netid " if both else ""
        run.line(f"{head}State  Recv-Q Send-Q Local Address:Port  Peer Address:PortProcess")
    shows = run.user.is_root and ("-p" in options or "--processes" in options)
    if both or {"-u", "--udp"} & set(options):
        run.line(f"{udp}UNCONN 0      0      127.0.0.53%lo:53  0.0.0.0:*")
        if run.host.computer.in_tailnet:
            process = ' users:(("tailscaled",pid=801,fd=17))' if shows else ""
            run.line(f"{udp}UNCONN 0      0      0.0.0.0:41641  0.0.0.0:*{process}")
    if not both and {"-u", "--udp"} & set(options):
        return 0
    for port in sorted(run.host.listening()):
        name = _SERVICES.get(port, "k3s") if _is_of_k3s(run) else "sshd" if port == 22 else "nginx"
        process = f' users:(("{name}",pid=812,fd=3))' if shows else ""
        where = "127.0.0.1" if port in _LOCAL else "0.0.0.0"
        run.line(f"{tcp}LISTEN 0      4096   {where}:{port}  0.0.0.0:*{process}")
    return 0


def _is_of_k3s(run: Run) -> bool:
    return any(
        unit.main is not None for unit in run.host.systemd.units.values() if unit.name.startswith("k3s")
    )


@program("ping")
def ping(run: Run) -> int:
    options, words = run.options("c:W:w:qn46i:")
    name = words[0] if words else ""
    try:
        address = run.host.network.addresses(name)[0]
    except Unresolved:
        run.say(f"ping: {name}: Name or service not known")
        return 2
    count = int(options.get("-c", "3"))
    device = run.host.world.tailnet.find(address)
    reached = device is not None and device.online and run.host.is_in_tailnet
    if device is None:
        try:
            run.host.network.connect(address, 443)
            reached = True
        except Unreachable as error:
            reached = not error.slow
    latency = device.latency if device is not None else 9.0
    run.line(f"PING {name} ({address}) 56(84) bytes of data.")
    for number in range(1, count + 1 if reached else 1):
        run.line(f"64 bytes from {address}: icmp_seq={number} ttl=64 time={latency:.1f} ms")
    run.line(f"\n--- {name} ping statistics ---")
    lost = 0 if reached else 100
    came = f"{count if reached else 0} received, {lost}% packet loss"
    run.line(f"{count} packets transmitted, {came}, time {count - 1}000ms")
    if reached:
        run.line(f"rtt min/avg/max/mdev = {latency:.3f}/{latency:.3f}/{latency:.3f}/0.000 ms")
    return int(not reached)


@program("nc")
def nc(run: Run) -> int:
    options, words = run.options("zw:vn46")
    try:
        for address in run.host.network.addresses(words[0]):
            run.host.network.connect(address, int(words[1]))
            if "-v" in options:
                run.say(f"Connection to {words[0]} {words[1]} port [tcp/*] succeeded!")
            return 0
    except (Unresolved, Unreachable, ValueError, IndexError) as error:
        if "-v" in options:
            run.say(f"nc: connect to {' port '.join(words[:2])} (tcp) failed: {error}")
    return 1
