"""The facts script in a real sh, and its decoder on whatever a host may say."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import stat
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.model.host import HostFacts, ProviderView, ServerPath
from axiom_tui.model.host_decoder import BEGIN, END, decode_facts, sections
from axiom_tui.model.tailnet import PathKind
from axiom_tui.plans.host_facts import Asked, facts_script

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
ASKED = Asked(
    api_host="api.axiom.invalid",
    install_url="https://get.k3s.invalid",
    version="v1.33.4+k3s1",
    servers=("100.64.0.1", "100.64.0.2"),
)
EMPTY = HostFacts()

TAILSCALE = r"""
case $1 in
  status) cat <<'END'
# Health check:
#     - some peers are advertising routes
{"Version": "1.102.3-t6f1c", "BackendState": "Running", "Health": ["routes"], "Self": {"ID": "nX",
 "DNSName": "wall-a-9.crocodile-bee.ts.net.", "TailscaleIPs": ["100.64.0.9", "fd7a:115c:a1e0::9"],
 "Tags": ["tag:acl-axiom"], "KeyExpiry": "2027-05-01T10:00:00Z"}}
END
  ;;
  debug) echo '{"RunSSH": true, "AdvertiseRoutes": ["10.1.0.0/24"]}' ;;
  ping)
    for last; do :; done
    case $last in
      100.64.0.1)
        echo "pong from m-o-1 (100.64.0.1) via DERP(fra) in 41ms"
        echo "pong from m-o-1 (100.64.0.1) via 195.15.252.166:41641 in 12ms" ;;
      *)
        echo "pong from m-o-2 (100.64.0.2) via DERP(nue) in 35ms"
        echo "direct connection not established"
        exit 1 ;;
    esac ;;
esac
"""
CURL = r"""
for last; do :; done
case $last in
  */ping) printf 'HTTP/2 200 \r\ndate: Sun, 22 Nov 2026 12:00:05 GMT\r\n\r\npong\n0.012345 200\n' ;;
  */cacerts) printf -- '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n\n0.01 200\n' ;;
  *invalid) printf 'the script' ;;
  *sha256sum-a*) printf '\n0.020 302\n' ;;
  *) echo "curl: (6) Could not resolve host" >&2; exit 6 ;;
esac
"""


def run(shell: str, script: str, path: str) -> bytes:
    command = ["busybox", "sh", "-s"] if shell == "busybox" else [shell, "-s"]
    done = subprocess.run(
        command, input=script.encode(), env={"PATH": path}, capture_output=True, timeout=60, check=False
    )
    assert done.stderr == b""
    return done.stdout


@pytest.fixture
def stand_ins(tmp_path: Path) -> str:
    """A PATH on which tailscale, curl, date and k3s are ours, and the rest is the system's."""
    for name, body in {
        "tailscale": TAILSCALE,
        "curl": CURL,
        "date": "echo 1795348800",
        "getent": "echo '100.64.0.1     STREAM api'; echo '100.64.0.1     DGRAM'",
        "k3s": "echo 'k3s version v1.30.1+k3s1 (abc)'; echo go version go1.26",
        "timedatectl": "echo NTPSynchronized=no",
        "modprobe": '[ "$2" = overlay ]',
    }.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_tells_of_this_very_machine(shell: str) -> None:
    facts = decode_facts(run(shell, facts_script(ASKED), os.environ["PATH"]))
    assert facts.whole
    assert facts.machine == platform.machine()
    assert facts.kernel == platform.release()
    assert facts.host_name == platform.node()
    assert facts.cpus == os.cpu_count()
    assert facts.is_root == (os.geteuid() == 0)
    assert facts.memory == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    root = facts.volume("/")
    assert root is not None
    assert root.size > root.free > 0
    assert "127.0.0.1" in next(item for item in facts.interfaces if item.name == "lo").addresses
    assert facts.cgroup_controllers
    assert facts.os_id
    assert facts.api_addresses == ()
    assert facts.api_ping.error or not shutil.which("curl")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_asks_tailscale_the_api_and_the_install_source(shell: str, stand_ins: str) -> None:
    facts = decode_facts(run(shell, facts_script(ASKED), stand_ins))
    assert facts.whole
    tailscale = facts.tailscale
    assert (tailscale.backend, tailscale.version, tailscale.id) == ("Running", "1.102.3", "nX")
    assert (tailscale.name, tailscale.ipv4) == ("wall-a-9", "100.64.0.9")
    assert tailscale.key_expiry is not None
    assert (tailscale.runs_ssh, tailscale.routes) == (True, ("10.1.0.0/24",))
    assert facts.tailnet_ip == "100.64.0.9"
    assert facts.server_paths == (
        ServerPath("100.64.0.1", PathKind.DIRECT, "195.15.252.166:41641", 12.0),
        ServerPath("100.64.0.2", PathKind.DERP, "nue", 35.0),
    )
    assert facts.api_addresses == ("100.64.0.1",)
    assert (facts.api_ping.status, facts.api_ping.body) == (200, "pong")
    assert facts.api_ping.date is not None
    assert facts.api_ping.here is not None
    assert (facts.api_ping.here - facts.api_ping.date).total_seconds() == -5
    assert facts.api_ca.body.startswith("-----BEGIN CERTIFICATE-----")
    assert facts.install_script_sha256 == hashlib.sha256(b"the script").hexdigest()
    assert facts.release.status == 302
    assert facts.k3s.version == "v1.30.1+k3s1"
    assert facts.clock_synchronized is False
    assert facts.missing_modules == ("br_netfilter",)
    assert {"curl", "tailscale", "k3s", "sha256sum"} <= set(facts.commands)


HETZNER, NOVA, HOME = (
    ("Hetzner", "vServer"),
    ("RDO", "OpenStack Compute"),
    ("Raspberry Pi Ltd", "Raspberry Pi 5"),
)
HTML = "<html><body>Sign in</body></html>"
PROVIDERS = [
    # DMI, what the service prints, its exit status, what is made of it
    (HETZNER, r"116.203.77.20\n0.01 200\n", 0, ProviderView("Hetzner", "116.203.77.20")),
    (NOVA, r"195.15.2.3\n0.01 200\n", 0, ProviderView("OpenStack", "195.15.2.3")),
    (NOVA, r"\n0.01 200\n", 0, ProviderView("OpenStack")),
    (NOVA, r"\n0.01 404\n", 0, ProviderView("OpenStack", error="HTTP status 404")),
    (
        NOVA,
        HTML + r"\n0.01 200\n",
        0,
        ProviderView("OpenStack", error="what it answers is no public IPv4 address"),
    ),
    (
        NOVA,
        r"10.0.0.4\n0.01 200\n",
        0,
        ProviderView("OpenStack", error="what it answers is no public IPv4 address"),
    ),
    (HETZNER, r"curl: (28) Timed out\n\n0.0 000\n", 28, ProviderView("Hetzner", error="no answer in time")),
    (HETZNER, "", 124, ProviderView("Hetzner", error="no answer in time")),
    (HOME, r"116.203.77.20\n0.01 200\n", 0, ProviderView()),
]


#: wget, where there is no curl, says no status: only what is an answer can be told apart.
QUESTIONS = [
    *(("curl", *row) for row in PROVIDERS),
    *(
        ("wget", dmi, answer.rpartition(r"\n0.01")[0], 0, view)
        for dmi, answer, _, view in PROVIDERS
        if not view.error
    ),
]


@pytest.mark.parametrize(("program", "dmi", "answer", "status", "view"), QUESTIONS)
def test_only_a_provider_that_shows_itself_is_asked_for_its_view(
    tmp_path: Path,
    stand_ins: str,
    program: str,
    dmi: tuple[str, str],
    answer: str,
    status: int,
    view: ProviderView,
) -> None:
    for name, text in zip(("sys_vendor", "product_name"), dmi, strict=True):
        (tmp_path / name).write_text(f"{text}\n")
    script = facts_script(ASKED).replace("/sys/class/dmi/id", str(tmp_path))
    if program == "wget":
        script = script.replace("command -v curl", "command -v no-curl")
    asked = tmp_path / "asked"
    tool = tmp_path / program
    tool.write_text(
        f"#!/bin/sh\nprintf '%s ' $http_proxy \"$@\" >>{asked}\necho >>{asked}\n"
        f"case \"$*\" in *169.254.*) printf '{answer}'; exit {status} ;; esac\n"
    )
    tool.chmod(0o755)
    assert decode_facts(run(SHELLS[0], script, stand_ins)).provider == view
    questions = (
        [line for line in asked.read_text().splitlines() if "169.254." in line] if asked.exists() else []
    )
    if dmi is HOME:
        assert questions == []
    else:
        (question,) = questions
        page = "hetzner/v1/metadata" if dmi is HETZNER else "latest/meta-data"
        assert question.strip().endswith(f"http://169.254.169.254/{page}/public-ipv4")
        assert ("--noproxy * -m 2" if program == "curl" else "-T 2") in question


def test_a_probe_that_hangs_is_ended_and_the_others_are_not_touched(stand_ins: str) -> None:
    folder = Path(stand_ins.split(":")[0])
    (folder / "k3s").write_text("#!/bin/sh\nexec sleep 600\n")
    script = facts_script(ASKED).replace("probe k3s 10 ", "probe k3s 1 ")
    facts = decode_facts(run("dash" if "dash" in SHELLS else SHELLS[0], script, stand_ins))
    assert facts.k3s.version == ""
    assert facts.whole


def test_no_token_leaves_the_host(tmp_path: Path) -> None:
    unit = tmp_path / "k3s-agent.service"
    unit.write_text(
        "[Unit]\nDocumentation=https://k3s.io\n[Service]\nExecStart=/usr/local/bin/k3s agent "
        "'--server' 'https://10.0.0.1:6443' '--token' 'K10abc::node:secretsecret'\n"
    )
    environment = tmp_path / "k3s-agent.service.env"
    environment.write_text("K3S_TOKEN='secretsecret'\nK3S_URL='https://10.0.0.1:6443'\n")
    script = facts_script(ASKED).replace("/etc/systemd/system/k3s", f"{tmp_path}/k3s")
    output = run(SHELLS[0], script, os.environ["PATH"])
    assert b"secret" not in output
    assert decode_facts(output).k3s.urls == ("https://10.0.0.1:6443",)


def test_names_from_outside_are_quoted_in_the_script(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    asked = Asked(
        api_host=f"$(touch {trap})", install_url=f"'; touch {trap}; '", servers=(f"`touch {trap}`",)
    )
    assert decode_facts(run(SHELLS[0], facts_script(asked), os.environ["PATH"])).whole
    assert not trap.exists()


@given(st.binary())
def test_any_bytes_give_facts(output: bytes) -> None:
    assert isinstance(decode_facts(output), HostFacts)


NAMES = [
    *(f"file:{name}" for name in ("/etc/os-release", "/proc/meminfo", "/proc/modules", "/proc/cgroups")),
    *("root", "uname", "cpus", "swap", "df", "df-inodes", "addresses", "links", "routes", "listeners"),
    *("units", "clock-sync", "dns", "clock", "api-ping", "api-clock", "api-ca", "install-script", "release"),
    *("provider:Hetzner", "provider:"),
    *("tailscale", "tailscale-prefs", "path:100.64.0.1", "k3s", "urls", "traces", "commands", "module:x"),
]
LINES = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            '{"Self": {"TailscaleIPs": [1, null], "KeyExpiry": "x"}, "Health": {}}',
            "[[[[",
            "{" * 500,
            "tcp LISTEN 0 4096 *:99999999999999999999 *:*",
            "2: eth0: <UP> mtu",
            "1: lo inet",
            "dev",
            "pong from x via  in 1e5ms",
            "pong from x via DERP() in 5s",
            "HTTP/1.1 200\r\ndate: Sun, 99 Nov 2026 12:00:05 GMT\r\n\r\n",
            "date: Mon, 01 Jan 9999999 00:00:00 +9999",
            "0.1 200",
            "99999999999999",
            "MemTotal: 1 kB",
            "/ 1 2 3 4 /",
            "ENABLED=",
        ]
    ),
)


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.lists(LINES, max_size=6), st.text(max_size=6))))
def test_any_sections_give_facts(parts: list[tuple[str, list[str], str]]) -> None:
    text = "".join(
        f"\n{BEGIN} {name}\n" + "\n".join(lines) + f"\n{END} {status}\n" for name, lines, status in parts
    )
    facts = decode_facts(text.encode("utf-8", "surrogatepass"))
    assert {item.name for item in fields(facts)} == {item.name for item in fields(EMPTY)}
    assert facts.public_addresses is not None
    assert isinstance(facts.tailnet_ip, str)


def test_sections_that_were_cut_are_kept_as_far_as_they_came() -> None:
    found = sections(f"x\n{BEGIN} a\none\n{END} 0\n{BEGIN} b\ntwo\n{BEGIN} c\nthree")
    assert (found["a"].text, found["a"].status) == ("one", 0)
    assert (found["b"].text, found["b"].status) == ("two", -1)
    assert (found["c"].text, found["c"].status) == ("three", -1)
    assert not decode_facts(f"{BEGIN} whole".encode()).whole
