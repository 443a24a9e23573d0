"""The script that collects all facts of a host in one round trip, and how it is sent.

Plain sh; every probe that could hang has a time limit; it changes nothing, and no probe that fails stops the
next one. Nothing secret is read: of files that may hold a token only the URLs are printed.
`model.host_decoder` reads its output.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from axiom_tui.model.host import HostFacts
from axiom_tui.model.host_decoder import BEGIN, END, PROVIDER, decode_facts
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind
from axiom_tui.plans.hosts import Shell

#: Where K3s' releases lie; the install script downloads from there.
RELEASES = "https://github.com/k3s-io/k3s/releases/download"
#: All limits together, and some for the host to start it.
DEADLINE = 120.0

#: How it is said that somebody is not root there and cannot be.
NO_ROOT = (ProblemKind.UNAUTHENTICATED, ProblemKind.FORBIDDEN, ProblemKind.ABSENT)

DMI = "/sys/class/dmi/id"
FILES = (
    "/etc/os-release",
    "/etc/machine-id",
    "/proc/meminfo",
    "/proc/modules",
    "/proc/sys/kernel/hostname",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/net/ipv6/conf/all/forwarding",
    "/proc/sys/net/bridge/bridge-nf-call-iptables",
    "/sys/fs/cgroup/cgroup.controllers",
    "/proc/cgroups",
    f"{DMI}/sys_vendor",
    "/etc/ufw/ufw.conf",
)
COMMANDS = (
    "curl", "systemctl", "journalctl", "sha256sum", "stat", "mktemp", "setsid", "hostnamectl", "sysctl",
    "modprobe", "tailscale", "sudo", "k3s",
)  # fmt: skip
#: Signs of K3s, or of what is left of it.
TRACES = (
    "/usr/local/bin/k3s",
    "/usr/local/bin/k3s-uninstall.sh",
    "/usr/local/bin/k3s-agent-uninstall.sh",
    "/etc/rancher/k3s/config.yaml",
    "/etc/rancher/node/password",
    "/var/lib/rancher/k3s/agent",
    "/var/lib/rancher/k3s/server/db",
    "/var/lib/kubelet/pki",
    "/etc/cni/net.d",
    "/sys/class/net/cilium_host",
    "/sys/class/net/flannel.1",
    "/sys/class/net/cni0",
)
MODULES = ("overlay", "br_netfilter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the facts are asked about. ``servers`` are tailnet addresses; ``version`` "" skips the release."""

    api_host: str
    api_port: int = 6443
    install_url: str = "https://get.k3s.io"
    version: str = ""
    servers: tuple[str, ...] = ()


def collect(shell: Shell, asked: Asked) -> HostFacts:
    """Collect the facts of a host, as root where that is to be had: root sees more.

    Without root the facts say why. Raises AxiomError of the connection, and CANCELLED.
    """
    refusal: Problem | None = None
    try:
        shell.check_sudo()
    except AxiomError as error:
        if error.problem.kind not in NO_ROOT:
            raise
        refusal = error.problem
    script = facts_script(asked)
    title = "the collection of facts"
    done = shell.run_script(script, deadline=DEADLINE, sudo=refusal is None, title=title)
    return replace(decode_facts(done.stdout), no_root=refusal)


def facts_script(asked: Asked) -> str:
    """The whole script, as it goes to ``sh -s``."""
    api = f"https://{asked.api_host}:{asked.api_port}"
    lines = [
        _PROLOGUE,
        *(f"file {path}" for path in FILES),
        _glance("root", "id -u"),
        _glance("user", "id -un"),
        _glance("uname", "uname -srm"),
        _glance("cpus", "getconf _NPROCESSORS_ONLN"),
        _glance("cgroup", "stat -f -c %T /sys/fs/cgroup"),
        _glance("swap", "cat /proc/swaps"),
        _probe("df", "df -P -k / /var/lib", 5),
        _probe("df-inodes", "df -P -i / /var/lib", 5),
        _glance("addresses", "ip -o addr show"),
        _glance("links", "ip -o link show"),
        _glance("routes", "ip route show default"),
        _glance("routes6", "ip -6 route show default"),
        _probe("listeners", "ss -H -l -n -t -u -p", 10),
        _probe("units", "systemctl is-active ufw firewalld tailscaled k3s k3s-agent", 5),
        _probe("clock-sync", "timedatectl show -p NTPSynchronized", 5),
        *(_glance(f"module:{name}", f"modprobe -n {name}") for name in MODULES),
        *(_glance(f"built-in:{name}", f"test -d /sys/module/{name}") for name in MODULES),
        _METADATA,
        _probe("dns", f"getent ahosts {shlex.quote(asked.api_host)}", 8),
        _clock("clock"),
        _curl("api-ping", f"{api}/ping", "-k -D - ", 8),
        _clock("api-clock"),
        _curl("api-ca", f"{api}/cacerts", "-k ", 8),
        _probe("install-script", f"sh -c {_SUM} sum {shlex.quote(asked.install_url)}", 20),
        *_release(asked.version),
        _probe("tailscale", "tailscale status --json --peers=false", 5),
        _probe("tailscale-prefs", "tailscale debug prefs", 5),
        *(
            _probe(f"path:{ip}", f"tailscale ping -c 3 --timeout 2s {shlex.quote(ip)}", 8)
            for ip in asked.servers
        ),
        _probe("k3s", "k3s --version", 10),
        _URLS,
        _existing(TRACES),
        _commands(COMMANDS),
        f"printf '\\n{BEGIN} whole\\n\\n{END} 0\\n'",
    ]
    return "\n".join(lines) + "\n"


_PROLOGUE = f"""\
given_path=$PATH
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
LC_ALL=C
export LC_ALL
limited() {{
  if command -v timeout >/dev/null 2>&1; then timeout "$@"; else shift; "$@"; fi
}}
probe() {{
  printf '\\n{BEGIN} %s\\n' "$1"
  limit=$2
  shift 2
  limited "$limit" "$@" </dev/null 2>&1
  printf '\\n{END} %s\\n' "$?"
}}
glance() {{
  printf '\\n{BEGIN} %s\\n' "$1"
  shift
  "$@" </dev/null 2>&1
  printf '\\n{END} %s\\n' "$?"
}}
file() {{
  printf '\\n{BEGIN} file:%s\\n' "$1"
  if [ -r "$1" ]; then head -c 65536 "$1"; fi
  printf '\\n{END} 0\\n'
}}
printf '\\n{BEGIN} path\\n%s\\n{END} 0\\n' "$given_path\""""

# Only a host whose DMI shows a provider with a metadata service asks it: elsewhere nobody would answer, and
# it would cost the whole limit. No token is needed; the address is link-local, so no proxy may stand between.
# Hetzner has a path of its own; OpenStack answers as EC2 does, with nothing where no address floats. (Who is
# who: cloud-init's ds-identify; what is asked: Hetzner Cloud docs "Server metadata", Nova docs "Metadata".)
_METADATA = f"""\
provider=
case $(cat {DMI}/sys_vendor {DMI}/product_name 2>/dev/null) in
  *Hetzner*) provider=Hetzner page=hetzner/v1/metadata/public-ipv4 ;;
  *OpenStack*) provider=OpenStack page=latest/meta-data/public-ipv4 ;;
esac
if [ -n "$provider" ]; then
  page=http://169.254.169.254/$page
  if command -v curl >/dev/null 2>&1; then
    form='\\n%{{time_connect}} %{{http_code}}\\n'
    probe "{PROVIDER}$provider" 3 curl -sS --noproxy '*' -m 2 -w "$form" "$page"
  else
    probe "{PROVIDER}$provider" 3 sh -c 'http_proxy= wget -q -O - -T 2 "$1" && echo && echo 0 200' ask "$page"
  fi
fi"""

_SUM = "'curl -fsSL -m 18 \"$1\" | sha256sum'"

# The files may hold tokens: nothing but URLs leaves the host.
_URLS = f"""\
printf '\\n{BEGIN} urls\\n'
for one in /etc/systemd/system/k3s*.service /etc/systemd/system/k3s*.service.env \\
  /etc/rancher/k3s/config.yaml /etc/rancher/k3s/config.yaml.d/*.yaml; do
  if [ -r "$one" ]; then grep -h -o "https://[A-Za-z0-9._:-]*" "$one"; fi
done
printf '\\n{END} 0\\n'"""


def _glance(name: str, command: str) -> str:
    """A probe of what only the kernel answers: it cannot hang, and is spared the program that limits time."""
    return f"glance {shlex.quote(name)} {command}"


def _probe(name: str, command: str, limit: int) -> str:
    return f"probe {shlex.quote(name)} {limit} {command}"


def _clock(name: str) -> str:
    return _glance(name, "date -u +%s")


def _curl(name: str, url: str, options: str, limit: int) -> str:
    """What curl measured stands in the last line: connected after, status."""
    measured = "'\\n%{time_connect} %{http_code}\\n'"
    return _probe(name, f"curl -sS {options}-m {limit - 1} -w {measured} {shlex.quote(url)}", limit)


def _release(version: str) -> Sequence[str]:
    """Whether the release of this version can be had, by the small file with its sums."""
    if not version:
        return ()
    url = f"{RELEASES}/{version.replace('+', '%2B')}/sha256sum-"
    return (
        "case $(uname -m) in aarch64|arm64) suffix=arm64 ;; *) suffix=amd64 ;; esac",
        "probe release 12 curl -sS -m 10 -o /dev/null -w '\\n%{time_connect} %{http_code}\\n' "
        f'-I {shlex.quote(url)}"$suffix.txt"',
    )


def _existing(paths: Iterable[str]) -> str:
    return (
        f"printf '\\n{BEGIN} traces\\n'\n"
        f'for one in {" ".join(paths)}; do if [ -e "$one" ]; then printf \'%s\\n\' "$one"; fi; done\n'
        f"printf '\\n{END} 0\\n'"
    )


def _commands(names: Iterable[str]) -> str:
    return (
        f"printf '\\n{BEGIN} commands\\n'\n"
        f'for one in {" ".join(names)}; do if command -v "$one" >/dev/null 2>&1; then '
        f"printf '%s\\n' \"$one\"; fi; done\n"
        f"printf '\\n{END} 0\\n'"
    )
