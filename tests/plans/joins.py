"""A join, decided: what the tests of its steps start from."""

from __future__ import annotations

from dataclasses import replace

from axiom_tui.model.naming import Role
from axiom_tui.plans.join_choice import By, JoinSpec, TokenFrom

SHA256 = "a" * 64
VERSION = "v1.33.4+k3s1"
SERVER_FLAGS = (
    "--disable=traefik",
    "--disable-kube-proxy",
    "--disable-network-policy",
    "--flannel-backend=none",
    "--secrets-encryption",
)

AGENT = JoinSpec(
    host="100.64.0.20",
    user="",
    device_id="nDevice",
    name="WALL-A-10",
    role=Role.AGENT,
    first_server=False,
    tailnet_ip="100.64.0.20",
    public_ip="116.203.77.20",
    pool="external",
    version=VERSION,
    api_host="api.axiom.technat.ch",
    api_port=6443,
    flags=(),
    servicelb_namespace="servicelb",
    install_url="https://get.k3s.io",
    install_sha256=SHA256,
    token=TokenFrom.CREATED,
    token_ttl=900.0,
    servers=("100.64.0.1", "100.64.0.2"),
    install_timeout=60.0,
    ready_timeout=30.0,
    login_timeout=30.0,
    command_timeout=30.0,
    earlier_host_name="ubuntu-4gb-nbg1-2",
    tags=("tag:acl-axiom", "tag:info-compute-plane"),
    earlier_tags=("tag:acl-axiom",),
    key_expiry=By.API,
    dns=By.HAND,
    dns_zone="axiom.technat.ch",
)
SERVER = replace(
    AGENT,
    name="M-O-4",
    role=Role.SERVER,
    public_ip="",
    pool="",
    flags=SERVER_FLAGS,
    token=TokenFrom.SERVER,
    api_record=True,
)
FIRST = replace(SERVER, name="M-O-1", first_server=True, token=TokenFrom.NEW, servers=())
