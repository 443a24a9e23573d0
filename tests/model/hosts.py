"""A host that is in order, and the cluster that it is to join: what the preflight tests start from."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace as replaced

from axiom_tui.model.host import (
    Answer,
    HostFacts,
    Interface,
    K3sState,
    ProviderView,
    ServerPath,
    TailscaleState,
    Volume,
)
from axiom_tui.model.naming import Role
from axiom_tui.model.node import Condition, Node
from axiom_tui.model.preflight import JoinContext
from axiom_tui.model.preflight_context import TokenSource
from axiom_tui.model.tailnet import PathKind, TailnetDevice

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
VERSION = "v1.33.4+k3s1"
CA = "-----BEGIN CERTIFICATE-----\nMIIBaxiom\n-----END CERTIFICATE-----\n"
OTHER_CA = CA.replace("axiom", "other")
SHA256 = "a" * 64
SERVER_FLAGS = (
    "--disable=traefik",
    "--flannel-backend=none",
    "--secrets-encryption",
    "--tls-san=api.example",
)

GOOD = HostFacts(
    host_name="ubuntu-4gb-nbg1-2",
    user="root",
    is_root=True,
    machine_id="0123456789abcdef0123456789abcdef",
    vendor="Hetzner",
    machine="x86_64",
    kernel="5.15.0-164-generic",
    os_id="ubuntu",
    os_version="22.04",
    os_name="Ubuntu 22.04.5 LTS",
    cpus=4,
    memory=8 << 30,
    cgroup_version=2,
    cgroup_controllers=("cpuset", "cpu", "io", "memory", "pids"),
    volumes=(Volume("/", 80 << 30, 60 << 30, 5_000_000, 4_000_000),),
    interfaces=(
        Interface("eth0", 1500, ("116.203.77.20",)),
        Interface("tailscale0", 1280, ("100.64.0.20", "fd7a:115c:a1e0::14")),
    ),
    default_routes=("eth0",),
    provider=ProviderView("Hetzner", "116.203.77.20"),
    modules=("overlay", "br_netfilter"),
    sysctls=(("net.ipv4.ip_forward", "1"), ("net.ipv6.conf.all.forwarding", "1")),
    clock=NOON,
    clock_synchronized=True,
    sudo_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    commands=("curl", "systemctl", "journalctl", "sha256sum", "stat", "mktemp", "hostnamectl", "tailscale"),
    api_addresses=("100.64.0.1",),
    api_ping=Answer(200, "pong", date=NOON, here=NOON),
    api_ca=Answer(200, CA),
    install_script_sha256=SHA256,
    install_script=Answer(200),
    release=Answer(302),
    tailscale=TailscaleState(
        installed=True,
        backend="Running",
        version="1.102.3",
        id="nDevice",
        name="ubuntu-4gb-nbg1-2",
        addresses=("100.64.0.20", "fd7a:115c:a1e0::14"),
        tags=("tag:acl-axiom", "tag:info-compute-plane"),
        runs_ssh=True,
    ),
    server_paths=(ServerPath("100.64.0.1", PathKind.DIRECT, "195.15.1.1:41641", 12.0),),
    whole=True,
)

DEVICE = TailnetDevice(
    id="nDevice",
    name="ubuntu-4gb-nbg1-2",
    addresses=("100.64.0.20", "fd7a:115c:a1e0::14"),
    tags=("tag:acl-axiom", "tag:info-compute-plane", "tag:info-hetzner"),
    authorized=True,
    key_expiry_disabled=True,
    ssh_host_keys=("ssh-ed25519 AAAA",),
)


def server(number: int, *, ready: bool = True, voter: str = "True", **fields: Any) -> Node:
    return Node(
        name=f"m-o-{number}",
        labels={"node-role.kubernetes.io/control-plane": "true"},
        internal_ips=(f"100.64.0.{number}",),
        kubelet_version=fields.pop("kubelet_version", VERSION),
        conditions=(Condition("Ready", "True" if ready else "False"), Condition("EtcdIsVoter", voter)),
        **fields,
    )


def agent(number: int, ip: str = "100.64.0.77") -> Node:
    return Node(name=f"wall-a-{number}", internal_ips=(ip,), conditions=(Condition("Ready", "True"),))


#: As K3s writes them: a flag and its value may be one argument or two.
ARGS = ["server", "--disable", "traefik", *SERVER_FLAGS[1:3], "--tls-san", "api.example"]
NODE = {"k3s.io/node-args": json.dumps(ARGS)}
SERVERS = tuple(server(number, annotations=NODE) for number in (1, 2, 3))

CONTEXT = JoinContext(
    name="WALL-A-10",
    public_address="116.203.77.20",
    nodes=(*SERVERS, agent(9)),
    devices=(DEVICE,),
    device=DEVICE,
    version=VERSION,
    cluster_ca=CA,
    has_password=False,
    server_flags=SERVER_FLAGS,
    install_sha256=SHA256,
    token=TokenSource(server="100.64.0.1"),
)
#: The same host as fourth server; they all stand in one place.
SERVER_CONTEXT = replace(
    CONTEXT,
    name="M-O-4",
    role=Role.SERVER,
    public_address="",
    device=replaced(DEVICE, tags=("tag:acl-axiom", "tag:info-control-plane")),
)
#: Nothing runs, but an earlier K3s left its data.
STALE = K3sState(found=("/var/lib/rancher/k3s/agent", "/usr/local/bin/k3s-agent-uninstall.sh"))
