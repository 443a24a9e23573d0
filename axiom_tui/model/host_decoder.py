"""Reads what the facts script printed: whatever the bytes are, facts come of it; what is missing is empty.

The output is sections: a line with `BEGIN` and a name, any text, a line with `END` and an exit status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from axiom_tui.model.host import (
    Answer,
    HostFacts,
    Interface,
    K3sState,
    Listener,
    ProviderView,
    ServerPath,
    TailscaleState,
    Volume,
)
from axiom_tui.model.node import is_public_ip
from axiom_tui.model.tailnet import PathKind

BEGIN = "@@axiom-tui-begin"
END = "@@axiom-tui-end"
#: Beginning of the name of the section with a provider's view; its own name follows.
PROVIDER = "provider:"

_UNITS = ("ufw", "firewalld", "tailscaled", "k3s", "k3s-agent")
_SYSCTLS = {
    "net.ipv4.ip_forward": "/proc/sys/net/ipv4/ip_forward",
    "net.ipv6.conf.all.forwarding": "/proc/sys/net/ipv6/conf/all/forwarding",
    "net.bridge.bridge-nf-call-iptables": "/proc/sys/net/bridge/bridge-nf-call-iptables",
}
_PONG = re.compile(r"pong from .* via (?P<via>.+) in (?P<number>[0-9.]+)(?P<unit>ms|µs|us|s)\b")
_MEASURED = re.compile(r"([0-9.]+) ([0-9]{3})")
_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")
_SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@dataclass(frozen=True, slots=True)
class Section:
    """One probe's output and exit status; -1 when it was not run, or its end is missing."""

    text: str = ""
    status: int = -1

    @property
    def ok(self) -> bool:
        return self.status == 0

    @property
    def lines(self) -> list[str]:
        return [line for line in self.text.splitlines() if line.strip()]

    @property
    def first(self) -> str:
        return self.lines[0].strip() if self.lines else ""


def decode_facts(output: bytes) -> HostFacts:
    """The facts in the script's output. Never raises."""
    found = sections(output.decode(errors="replace"))

    def section(name: str) -> Section:
        return found.get(name, Section())

    def content(path: str) -> Section:
        return section(f"file:{path}")

    os_release = _assignments(content("/etc/os-release").text)
    memory = _meminfo(content("/proc/meminfo").text)
    kernel, machine = _uname(section("uname"))
    units = _units(section("units"))
    is_root = section("root").first == "0"
    return HostFacts(
        host_name=content("/proc/sys/kernel/hostname").first,
        user=section("user").first,
        is_root=is_root,
        machine_id=content("/etc/machine-id").first,
        vendor=content("/sys/class/dmi/id/sys_vendor").first,
        machine=machine,
        kernel=kernel,
        os_id=os_release.get("ID", ""),
        os_version=os_release.get("VERSION_ID", ""),
        os_name=os_release.get("PRETTY_NAME", ""),
        cpus=_number(section("cpus").first),
        memory=memory.get("MemTotal", 0),
        swap=sum(_number(fields[2]) * 1024 for fields in _rows(section("swap"), 1) if len(fields) > 2),
        cgroup_version=2 if section("cgroup").first == "cgroup2fs" else 1 if section("cgroup").ok else 0,
        cgroup_controllers=_controllers(
            content("/sys/fs/cgroup/cgroup.controllers"), content("/proc/cgroups")
        ),
        volumes=_volumes(section("df"), section("df-inodes")),
        interfaces=_interfaces(section("addresses"), section("links")),
        default_routes=_route_devices(section("routes")) + _route_devices(section("routes6")),
        provider=_provider(found),
        listeners=_listeners(section("listeners")),
        ufw=_ufw(_assignments(content("/etc/ufw/ufw.conf").text)),
        firewalld=units.get("firewalld", "") if units.get("firewalld") == "active" else "",
        modules=(
            *(fields[0] for fields in _rows(content("/proc/modules"))),
            *(name.removeprefix("built-in:") for name, item in found.items() if _is_built_in(name, item)),
        ),
        missing_modules=tuple(
            name.removeprefix("module:")
            for name, item in found.items()
            if name.startswith("module:") and item.status not in (0, -1, 124, 127)
        ),
        sysctls=tuple((name, content(path).first) for name, path in _SYSCTLS.items() if content(path).first),
        clock=_epoch(section("clock").first),
        clock_synchronized=_yes_or_no(_assignments(section("clock-sync").text).get("NTPSynchronized")),
        sudo_path=section("path").first if is_root else "",
        commands=tuple(section("commands").lines),
        api_addresses=tuple(
            dict.fromkeys(fields[0] for fields in _rows(section("dns")) if section("dns").ok and fields)
        ),
        api_ping=_answer(section("api-ping"), _epoch(section("api-clock").first)),
        api_ca=_answer(section("api-ca")),
        install_script_sha256=_sum(section("install-script")),
        install_script=_downloaded(section("install-script")),
        release=_answer(section("release")),
        tailscale=_tailscale(section("tailscale"), section("tailscale-prefs"), section("commands")),
        server_paths=tuple(
            _path(name.removeprefix("path:"), item)
            for name, item in found.items()
            if name.startswith("path:")
        ),
        k3s=_k3s(section("k3s"), units, section("urls"), section("traces")),
        whole=section("whole").ok,
    )


def sections(text: str) -> dict[str, Section]:
    """The sections by name; of two with one name the first counts. What stands between them is skipped."""
    found: dict[str, Section] = {}
    name, lines = "", list[str]()
    for line in text.split("\n"):
        if line.startswith(f"{BEGIN} "):
            if name:
                found.setdefault(name, Section("\n".join(lines)))
            name, lines = line.removeprefix(BEGIN).strip(), []
        elif line.startswith(f"{END} ") and name:
            status = _number(line.removeprefix(END).strip(), -1)
            found.setdefault(name, Section("\n".join(lines).strip("\n"), status))
            name = ""
        elif name:
            lines.append(line)
    if name:
        found.setdefault(name, Section("\n".join(lines)))
    return found


def _is_built_in(name: str, section: Section) -> bool:
    """A module that is part of the kernel is in no list, but has its folder."""
    return name.startswith("built-in:") and section.ok


# -- parts ---------------------------------------------------------------------------------------------


def _number(text: str, otherwise: int = 0) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else otherwise


def _decimal(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", text) else None


def _epoch(text: str) -> datetime | None:
    seconds = _number(text, -1)
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < 1 << 36 else None


def _yes_or_no(text: str | None) -> bool | None:
    return {"yes": True, "no": False}.get(text or "")


def _rows(section: Section, skip: int = 0) -> list[list[str]]:
    return [line.split() for line in section.lines[skip:]]


def _assignments(text: str) -> dict[str, str]:
    """``KEY=value`` and ``KEY="value"``, as in os-release."""
    found = {}
    for line in text.splitlines():
        key, mark, value = line.strip().partition("=")
        if mark and not key.startswith("#"):
            found[key] = value.strip().strip("\"'")
    return found


def _meminfo(text: str) -> dict[str, int]:
    """Bytes by name."""
    return {
        match[1]: int(match[2]) * 1024
        for match in re.finditer(r"(?m)^(\w+): +([0-9]{1,15}) kB$", text, re.ASCII)
    }


def _uname(section: Section) -> tuple[str, str]:
    """Kernel release and machine of ``Linux 5.15.0-164-generic x86_64``."""
    fields = section.first.split()
    return (fields[1], fields[2]) if section.ok and len(fields) >= 3 else ("", "")


def _units(section: Section) -> dict[str, str]:
    """One line for each unit asked for, whatever the exit status (3: not all of them are active)."""
    states = [line.strip() for line in section.lines]
    return dict(zip(_UNITS, states, strict=True)) if len(states) == len(_UNITS) else {}


def _ufw(configuration: Mapping[str, str]) -> str:
    """Its unit says nothing: it is active even when ufw is off. Its configuration decides."""
    enabled = configuration.get("ENABLED", "").lower()
    return "active" if enabled == "yes" else "inactive" if enabled else ""


def _controllers(unified: Section, legacy: Section) -> tuple[str, ...]:
    """cgroup v2 lists its controllers in a line; v1 has a table with a column "enabled"."""
    if unified.first:
        return tuple(unified.first.split())
    return tuple(
        fields[0]
        for fields in _rows(legacy)
        if len(fields) >= 4 and fields[3] == "1" and not fields[0].startswith("#")
    )


def _volumes(blocks: Section, inodes: Section) -> tuple[Volume, ...]:
    """``df -P``: device, size, used, available, share, mount point; the same of inodes."""
    counts = {fields[5]: fields for fields in _rows(inodes, 1) if len(fields) >= 6}
    found = {}
    for fields in _rows(blocks, 1):
        if len(fields) >= 6:
            count = counts.get(fields[5], [])
            found[fields[5]] = Volume(
                fields[5],
                _number(fields[1]) * 1024,
                _number(fields[3]) * 1024,
                _number(count[1]) if count else 0,
                _number(count[3]) if count else 0,
            )
    return tuple(found.values())


def _interfaces(addresses: Section, links: Section) -> tuple[Interface, ...]:
    """``2: eth0    inet 10.0.0.2/24 ...`` and ``2: eth0: <...> mtu 1500 ...``, one line each."""
    mtus: dict[str, int] = {}
    for fields in _rows(links):
        if len(fields) > 1 and "mtu" in fields[:-1]:
            name = fields[1].rstrip(":").split("@")[0]
            mtus[name] = _number(fields[fields.index("mtu") + 1])
    by_name: dict[str, list[str]] = {name: [] for name in mtus}
    for fields in _rows(addresses):
        if len(fields) > 3 and fields[2] in ("inet", "inet6"):
            by_name.setdefault(fields[1].split("@")[0], []).append(fields[3].split("/")[0])
    return tuple(Interface(name, mtus.get(name, 0), tuple(ips)) for name, ips in by_name.items())


def _route_devices(section: Section) -> tuple[str, ...]:
    return tuple(
        fields[fields.index("dev") + 1] for fields in _rows(section) if "dev" in fields[:-1] and section.ok
    )


def _listeners(section: Section) -> tuple[Listener, ...]:
    """``tcp LISTEN 0 4096 *:6443 *:* users:(("k3s-server",pid=1,fd=2))``."""
    found = []
    for line in section.lines:
        fields = line.split()
        if len(fields) < 5 or fields[0] not in ("tcp", "udp"):
            continue
        address, _, port = fields[4].rpartition(":")
        if number := _number(port):
            process = re.search(r'users:\(\("([^"]{1,64})"', line)
            found.append(Listener(fields[0], address, number, process[1] if process else ""))
    return tuple(found)


def _provider(found: Mapping[str, Section]) -> ProviderView:
    """The section's name says who was asked; believed is only a public IPv4, or nothing at all."""
    for title, section in found.items():
        name = title.removeprefix(PROVIDER)
        if title == name or not name:
            continue
        answer = _answer(section)
        if section.status in (28, 124):  # curl's own limit, or that of the probe
            return ProviderView(name, error="no answer in time")
        if answer.error or section.status == -1:
            return ProviderView(name, error=answer.error or "the question was cut")
        if answer.status != 200:
            return ProviderView(name, error=f"HTTP status {answer.status}" if answer.status else "no answer")
        if answer.body and not ("." in answer.body and is_public_ip(answer.body)):
            return ProviderView(name, error="what it answers is no public IPv4 address")
        return ProviderView(name, answer.body)
    return ProviderView()


def _answer(section: Section, here: datetime | None = None) -> Answer:
    """What curl printed: headers (with -D -), body, and in the last line what it measured."""
    if section.status == -1:
        return Answer()
    head, _, last = section.text.rpartition("\n")
    measured = _MEASURED.fullmatch(last.strip())
    status = _number(measured[2]) if measured else 0
    seconds = _decimal(measured[1]) if measured else None
    text = (head if measured else section.text).strip("\n")
    error = "" if section.ok else _curl_error(text, section.status)
    date = re.search(r"(?im)^date:[ \t]*(.{1,60})$", text)
    body = re.split(r"\r?\n\r?\n", text, maxsplit=1)[-1] if text.startswith("HTTP/") else text
    return Answer(
        status, "" if error else body.strip(), error, _http_date(date[1] if date else ""), here, seconds
    )


def _curl_error(text: str, status: int) -> str:
    if status == 124:
        return "no answer in time"
    if status == 127:
        return "there is no curl"
    said = re.search(r"(?m)^curl: \([0-9]+\) (.{1,200})$", text)
    return said[1].strip() if said else f"the request ended with status {status}"


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text.strip())
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _sum(section: Section) -> str:
    """The SHA-256 of what was downloaded; "" if nothing was."""
    found = _SHA256.search(section.text)
    return found[0] if section.ok and found and found[0] != _SHA256_OF_NOTHING else ""


def _downloaded(section: Section) -> Answer:
    if section.status == -1:
        return Answer()
    if _sum(section):
        return Answer(200)
    return Answer(error=_curl_error(section.text, section.status or 1))


def _path(address: str, section: Section) -> ServerPath:
    """The best of ``pong from m-o-1 (100.64.0.1) via 1.2.3.4:41641 in 12ms``: the last one is the best."""
    pongs = list(_PONG.finditer(section.text))
    if not pongs:
        return ServerPath(address)
    pong = pongs[-1]
    via, number = pong["via"].strip(), _decimal(pong["number"]) or 0.0
    milliseconds = number * {"ms": 1.0, "s": 1000.0}.get(pong["unit"], 0.001)
    if via.startswith("DERP("):
        return ServerPath(address, PathKind.DERP, via.removeprefix("DERP(").rstrip(")"), milliseconds)
    if via.startswith("peer-relay("):
        return ServerPath(
            address, PathKind.PEER_RELAY, via.removeprefix("peer-relay(").rstrip(")"), milliseconds
        )
    return ServerPath(address, PathKind.DIRECT, via, milliseconds)


def _k3s(version: Section, units: Mapping[str, str], urls: Section, traces: Section) -> K3sState:
    named = re.match(r"k3s version (\S{1,64})", version.text)
    return K3sState(
        version=named[1] if version.ok and named else "",
        units=tuple((name, units[name]) for name in ("k3s", "k3s-agent") if name in units),
        # The unit's own documentation is a URL too; a server's has a port.
        urls=tuple(dict.fromkeys(url for url in urls.lines if re.search(r":[0-9]+$", url))),
        found=tuple(traces.lines),
    )


def _tailscale(status: Section, preferences: Section, commands: Section) -> TailscaleState:
    installed = "tailscale" in commands.lines
    answer, own = _json(status.text), _json(preferences.text)
    this = _object(answer.get("Self"))
    runs_ssh = own.get("RunSSH")
    return TailscaleState(
        installed=installed,
        backend=_text(answer.get("BackendState")),
        version=_text(answer.get("Version")).split("-")[0],
        id=_text(this.get("ID")),
        name=_text(this.get("DNSName")).split(".")[0],
        addresses=_texts(this.get("TailscaleIPs")),
        tags=_texts(this.get("Tags")),
        key_expiry=_moment(_text(this.get("KeyExpiry"))),
        expired=this.get("Expired") is True,
        runs_ssh=runs_ssh if isinstance(runs_ssh, bool) else None,
        routes=_texts(own.get("AdvertiseRoutes")),
        health=_texts(answer.get("Health")),
    )


def _json(text: str) -> dict[str, Any]:
    """The object in the text: the client may warn before it."""
    start = text.find("{")
    if start < 0:
        return {}
    try:
        return _object(msgspec.json.decode(text[start:].encode("utf-8", "replace")))
    except (msgspec.DecodeError, RecursionError):
        return {}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _moment(text: str) -> datetime | None:
    """An RFC 3339 time; Go's zero time is none."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    if moment.year < 1970:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
