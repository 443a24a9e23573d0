"""K3s on the embedded hosts: a unit that starts really joins the world's cluster, or says why it does not."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from axiom_tui.model.naming import Role
from axiom_tui.model.node import CONTROL_PLANE_LABEL, NODE_ARGS_ANNOTATION
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL
from axiom_tui.simulator import cast
from axiom_tui.simulator.axiom import EmbeddedAxiom
from axiom_tui.simulator.hosts.host import PASSWORD, Host
from axiom_tui.simulator.hosts.install_script import INSTALL_SCRIPT, INSTALL_SCRIPT_SHA256
from axiom_tui.simulator.world import NODES, PODS
from tests.simulator.host_runs import run_on

NEWCOMER, ARM = "ubuntu-4gb-nbg1-2", "ubuntu-8gb-hel1-1"
SERVER_FLAGS = """
disable: traefik
disable-network-policy: true
disable-kube-proxy: true
flannel-backend: none
secrets-encryption: true
"""


@pytest.fixture
def axiom(tmp_path: Path) -> Iterator[EmbeddedAxiom]:
    """The world and its hosts; nothing listens, since nothing here goes over the network."""
    axiom = EmbeddedAxiom(tmp_path / "axiom", alive=False)
    yield axiom
    axiom.stop()


def eventually(probe: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 20
    while not probe():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def as_root(host: Host, command: str, stdin: str = "") -> str:
    status, output, said = run_on(host, command, stdin.encode(), user="root")
    assert status == 0, f"{command}: {output} {said}"
    return output


def new_token(axiom: EmbeddedAxiom, ttl: str = "15m") -> str:
    return as_root(axiom.hosts["m-o-1"], f"k3s token create --ttl {ttl} --description test").strip()


def install(host: Host, role: str = "agent", version: str = cast.K3S_VERSION) -> str:
    command = (
        f"INSTALL_K3S_VERSION={version} INSTALL_K3S_EXEC={role} INSTALL_K3S_SKIP_START=true sh /tmp/install"
    )
    as_root(host, "curl -fsSL -o /tmp/install https://get.k3s.io")
    return as_root(host, command)


def configure(
    host: Host, token: str, *, server: str = "https://api.axiom.technat.ch:6443", more: str = ""
) -> None:
    as_root(host, "umask 077; mkdir -p /etc/rancher/k3s; cat >/etc/rancher/k3s/token", f"{token}\n")
    text = f"server: {server}\ntoken-file: /etc/rancher/k3s/token\nnode-ip: {address(host)}\n{more}"
    as_root(
        host, "mkdir -p /etc/rancher/k3s/config.yaml.d; cat >/etc/rancher/k3s/config.yaml.d/10-x.yaml", text
    )


def address(host: Host) -> str:
    return host.device.ipv4 if host.device else ""


def join(axiom: EmbeddedAxiom, host: Host, name: str = "WALL-A-10", **settings: str) -> None:
    """All that makes an agent of a host, up to its start."""
    as_root(host, f"hostnamectl set-hostname {name}")
    install(host)
    configure(host, new_token(axiom), **settings)
    as_root(host, "systemctl start --no-block k3s-agent")


def state(host: Host, unit: str = "k3s-agent") -> str:
    return run_on(host, f"systemctl is-active {unit}")[1].strip()


def journal(host: Host, unit: str = "k3s-agent") -> str:
    return as_root(host, f"journalctl -u {unit} -o cat --no-pager")


def says(host: Host, text: str, unit: str = "k3s-agent") -> None:
    eventually(lambda: text in journal(host, unit), f"{text!r} in {journal(host, unit)}")


def is_ready(axiom: EmbeddedAxiom, name: str) -> None:
    eventually(lambda: axiom.world.is_ready(name), f"{name} to be Ready")


def node(axiom: EmbeddedAxiom, name: str) -> dict[str, Any]:
    found = axiom.store.get(NODES, name)
    assert found is not None
    return found


# --- the install script ---------------------------------------------------------------------------------


def test_the_install_script_leaves_what_the_real_one_leaves(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    assert hashlib.sha256(INSTALL_SCRIPT.encode()).hexdigest() == INSTALL_SCRIPT_SHA256
    assert as_root(host, "curl -fsSL https://get.k3s.io | sha256sum").split()[0] == INSTALL_SCRIPT_SHA256
    said = install(host)
    assert "[INFO]  Verifying binary download" in said
    assert as_root(host, "k3s --version").startswith(f"k3s version {cast.K3S_VERSION} ")
    assert as_root(host, "readlink /usr/local/bin/kubectl") == "k3s\n"
    for script in ("k3s-killall.sh", "k3s-agent-uninstall.sh"):
        as_root(host, f"test -x /usr/local/bin/{script}")
    unit = "/etc/systemd/system/k3s-agent.service"
    assert as_root(host, f"stat -c %a {unit}.env") == "600\n"
    assert "agent" in as_root(host, f"cat {unit}")
    assert as_root(host, "systemctl is-enabled k3s-agent") == "enabled\n"
    assert state(host) == "inactive"
    assert "installed k3s matches hash" in install(host)


def test_the_install_script_fails_as_the_real_one(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    as_root(host, "curl -fsSL -o /tmp/install https://get.k3s.io")
    status, _, said = run_on(host, "INSTALL_K3S_VERSION=v0.0.1 sh /tmp/install agent", user="root")
    assert (status, said) == (1, "[ERROR]  Download failed\n")
    assert "/tmp/k3s-install" not in as_root(host, "ls -d /tmp/*")
    status, _, said = run_on(host, "K3S_URL=https://x:6443 sh /tmp/install", user="root")
    assert status == 1
    assert "K3S_TOKEN or K3S_TOKEN_FILE is not defined" in said
    full = axiom.hosts["full-disk"]
    full.furnish()
    assert run_on(full, "curl -fsSL -o /tmp/install https://get.k3s.io")[0] == 23
    assert "No space left on device" in run_on(full, "echo x >/tmp/f")[2]


def test_without_a_version_the_stable_channel_is_taken(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[ARM]
    as_root(host, "curl -sfL https://get.k3s.io | INSTALL_K3S_SKIP_START=true sh -s - agent --node-label a=b")
    assert cast.K3S_VERSION in as_root(host, "k3s --version")
    assert "'--node-label' \\\n        'a=b'" in as_root(host, "cat /etc/systemd/system/k3s-agent.service")


# --- agents ---------------------------------------------------------------------------------------------


def test_an_agent_joins_with_what_its_configuration_says(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    labels = f'node-label:\n  - "{ENABLE_LABEL}=true"\n  - "{POOL_LABEL}=external"\n'
    join(axiom, host, more=f"node-external-ip: 116.203.77.20\n{labels}")
    eventually(lambda: axiom.world.is_ready("wall-a-10"), journal(host))
    found = node(axiom, "wall-a-10")
    assert found["metadata"]["labels"][POOL_LABEL] == "external"
    assert found["metadata"]["labels"]["kubernetes.io/arch"] == "amd64"
    addresses = {item["type"]: item["address"] for item in found["status"]["addresses"]}
    assert addresses == {"InternalIP": address(host), "ExternalIP": "116.203.77.20", "Hostname": "wall-a-10"}
    arguments = json.loads(found["metadata"]["annotations"][NODE_ARGS_ANNOTATION])
    assert arguments[0] == "agent"
    assert "--token-file" in arguments
    assert found["status"]["nodeInfo"]["kubeletVersion"] == cast.K3S_VERSION
    secret = axiom.store.get("secrets", "wall-a-10.node-password.k3s", "kube-system")
    assert secret is not None
    assert base64.b64decode(secret["data"]["hash"]).startswith(b"$1:")
    assert as_root(host, "stat -c '%a %U' /etc/rancher/node/password") == "600 root\n"
    pods = [pod for pod in axiom.store.list(PODS) if pod["spec"]["nodeName"] == "wall-a-10"]
    assert any(pod["metadata"]["name"].startswith("cilium") for pod in pods)
    assert state(host) == "active"
    assert "10250" in as_root(host, "ss -Hltn")
    assert "cilium_host" in as_root(host, "ip -o link")


def test_between_start_and_ready_the_node_can_be_seen_not_ready(tmp_path: Path) -> None:
    axiom = EmbeddedAxiom(tmp_path / "axiom", alive=False, join_seconds=0.6)
    axiom.hosts["m-o-1"].furnish()
    seen: list[tuple[str, str]] = []

    def look(kind: str, plural: str, item: dict[str, Any]) -> None:
        if plural == NODES and item["metadata"]["name"] == "wall-a-10":
            seen.extend(
                (c["status"], c["reason"]) for c in item["status"]["conditions"] if c["type"] == "Ready"
            )

    axiom.store.subscribe(look)
    try:
        join(axiom, axiom.hosts[ARM])
        assert state(axiom.hosts[ARM]) == "activating"
        eventually(lambda: axiom.world.is_ready("wall-a-10"), "the node to be Ready")
        assert seen[0] == ("False", "KubeletNotReady")
        assert seen[-1] == ("True", "KubeletReady")
    finally:
        axiom.stop()


def test_starting_blocks_until_the_unit_is_up_unless_told_not_to(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[ARM]
    install(host)
    configure(host, new_token(axiom))
    assert "active" in as_root(host, "systemctl start k3s-agent && systemctl is-active k3s-agent")
    is_ready(axiom, ARM)
    shown = as_root(host, "systemctl show -p ActiveState,SubState,NRestarts --property=Result k3s-agent")
    assert shown == "ActiveState=active\nSubState=running\nNRestarts=0\nResult=success\n"


def test_without_a_node_ip_k3s_takes_the_address_of_the_default_route(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    install(host)
    configure(host, new_token(axiom))
    as_root(host, "sed -i /node-ip/d /etc/rancher/k3s/config.yaml.d/10-x.yaml; systemctl start k3s-agent")
    assert node(axiom, NEWCOMER)["status"]["addresses"][0]["address"] == "116.203.77.20"


def test_stopping_silences_the_node_and_starting_brings_it_back(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts["wall-a-2"]
    assert state(host) == "active"
    as_root(host, "systemctl stop k3s-agent")
    assert state(host) == "inactive"
    eventually(lambda: not axiom.world.is_ready("wall-a-2"), "NotReady")
    as_root(host, "systemctl start k3s-agent")
    is_ready(axiom, "wall-a-2")
    as_root(host, "kill -9 $(systemctl show -p MainPID --value k3s-agent)")
    eventually(lambda: "restart counter is at 1" in journal(host), "the restart")
    eventually(lambda: axiom.world.is_ready("wall-a-2"), "Ready again")


def test_uninstalling_leaves_the_node_object_and_the_password(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[ARM]
    join(axiom, host, "WALL-A-6")
    eventually(lambda: axiom.world.is_ready("wall-a-6"), journal(host))
    as_root(host, "k3s-agent-uninstall.sh")
    eventually(lambda: not axiom.world.is_ready("wall-a-6"), "NotReady")
    assert axiom.store.get(NODES, "wall-a-6") is not None
    assert as_root(host, "ls /etc/rancher") == "node\n"
    for gone in (
        "/usr/local/bin/k3s",
        "/usr/local/bin/kubectl",
        "/var/lib/rancher/k3s",
        "/etc/systemd/system/k3s-agent.service",
    ):
        assert run_on(host, f"ls {gone}", user="root")[0] == 2
    assert as_root(host, "systemctl show -p LoadState --value k3s-agent") == "not-found\n"
    assert "10250" not in as_root(host, "ss -Hltn")
    axiom.world.remove_node("wall-a-6")
    assert axiom.store.get("secrets", "wall-a-6.node-password.k3s", "kube-system") is None
    join(axiom, host, "WALL-A-6")
    eventually(lambda: axiom.world.is_ready("wall-a-6"), journal(host))


# --- why it does not join -------------------------------------------------------------------------------


def test_a_wrong_token_is_tried_for_ever_until_it_is_right(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[ARM]
    join(axiom, host)
    as_root(host, "systemctl stop k3s-agent")
    good = as_root(host, "cat /etc/rancher/k3s/token")
    axiom.world.remove_node("wall-a-10")
    configure(host, good[:-2] + ("y" if good[-2] == "x" else "x"))  # wrong whatever chance has made
    as_root(host, "systemctl start --no-block k3s-agent")
    says(host, "/v1-k3s/serving-kubelet.crt: 401 Unauthorized")
    assert state(host) == "activating"
    assert axiom.store.get(NODES, "wall-a-10") is None
    configure(host, good)
    as_root(host, "systemctl restart k3s-agent")
    is_ready(axiom, "wall-a-10")


def test_a_token_of_another_cluster(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[ARM]
    install(host)
    other = hashlib.sha256(b"other").hexdigest()
    configure(host, f"K10{other}::abcdef.0123456789abcdef")
    as_root(host, "systemctl start --no-block k3s-agent")
    right = axiom.hosts.secrets.authority_hash
    says(host, f"token CA hash does not match the Cluster CA certificate hash: {other} != {right}")
    assert state(host) == "activating"


def test_an_expired_token(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[ARM]
    install(host)
    configure(host, new_token(axiom, "10s"))
    axiom.faults.set("skew", seconds=60)
    as_root(host, "systemctl start --no-block k3s-agent")
    says(host, "401 Unauthorized")


def test_a_name_that_another_host_had(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[ARM]
    join(axiom, host, "WALL-A-5")
    says(host, "Node password rejected, duplicate hostname")
    assert state(host) == "activating"
    axiom.world.remove_node("wall-a-5")
    eventually(lambda: axiom.world.is_ready("wall-a-5"), "the join once the old node is gone")


def test_an_api_that_does_not_answer(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[ARM]
    host.fault("host-api-unreachable")
    join(axiom, host)
    api = "https://api.axiom.technat.ch:6443"
    says(host, f"Failed to validate connection to cluster at {api}: failed to get CA certs")
    says(host, "context deadline exceeded")
    host.heal()
    eventually(lambda: axiom.world.is_ready("wall-a-10"), "the join once it answers")


def test_a_name_that_does_not_resolve(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[ARM]
    join(axiom, host, server="https://nowhere.example:6443")
    says(host, "failed to get CA certs")
    assert "connection reset by peer" in journal(host)


def test_a_port_that_is_taken(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[ARM]
    host.listens_on.add(10250)
    join(axiom, host)
    says(host, "listen tcp 0.0.0.0:10250: bind: address already in use")
    says(host, "restart counter is at 2")
    assert int(as_root(host, "systemctl show --value -p NRestarts k3s-agent")) >= 2
    host.listens_on.clear()
    eventually(lambda: axiom.world.is_ready("wall-a-10"), "the join once it is free")


def test_a_clock_that_is_far_off(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[ARM]
    join(axiom, host)
    as_root(host, "systemctl stop k3s-agent")
    host.fault("host-clock-skew", seconds=-500 * 86_400.0)
    as_root(host, "systemctl start --no-block k3s-agent")
    says(host, "x509: certificate has expired or is not yet valid")


def test_a_network_that_never_comes_up(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[ARM]
    host.fault("host-never-ready")
    join(axiom, host)
    says(host, "cni plugin not initialized")
    assert not axiom.world.is_ready("wall-a-10")
    assert state(host) == "active"
    host.heal()
    eventually(lambda: axiom.world.is_ready("wall-a-10"), "Ready once it is healed")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('node-label: ["node-role.kubernetes.io/worker=true"]', "unknown 'kubernetes.io' or 'k8s.io' labels"),
        ("node-name: under_score", "invalid node name under_score"),
        ("a: [b", "yaml:"),
    ],
)
def test_a_configuration_that_k3s_refuses(axiom: EmbeddedAxiom, more: str, message: str) -> None:
    host = axiom.hosts[ARM]
    join(axiom, host, more=more)
    says(host, message)
    says(host, "level=fatal")


def test_a_token_file_that_comes_late(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[ARM]
    install(host)
    configure(host, new_token(axiom))
    as_root(host, "mv /etc/rancher/k3s/token /root/; systemctl start --no-block k3s-agent")
    says(host, "Waiting for /etc/rancher/k3s/token to be available")
    as_root(host, "mv /root/token /etc/rancher/k3s/")
    eventually(lambda: axiom.world.is_ready(ARM), "the join")


# --- servers --------------------------------------------------------------------------------------------


def test_a_server_joins_as_a_voting_member(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    as_root(host, "hostnamectl set-hostname M-O-4")
    install(host, "server")
    token = as_root(axiom.hosts["m-o-1"], "cat /var/lib/rancher/k3s/server/token").strip()
    configure(host, token, more=SERVER_FLAGS)
    as_root(host, "systemctl start k3s")
    is_ready(axiom, "m-o-4")

    def voter() -> tuple[str, str]:
        conditions = node(axiom, "m-o-4")["status"]["conditions"]
        found = next(item for item in conditions if item["type"] == "EtcdIsVoter")
        return found["status"], found["reason"]

    eventually(lambda: voter() == ("True", "MemberNotLearner"), "the promotion")
    found = node(axiom, "m-o-4")
    assert found["metadata"]["labels"][CONTROL_PLANE_LABEL] == "true"
    assert axiom.world.machine("m-o-4").role is Role.SERVER
    assert as_root(host, "cat /var/lib/rancher/k3s/server/token").strip() == token
    assert as_root(host, "k3s token list").startswith("TOKEN")
    assert "m-o-4" in as_root(host, "k3s kubectl get nodes")


def test_agents_are_no_servers_by_a_bootstrap_token(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    install(host, "server")
    configure(host, new_token(axiom), more=SERVER_FLAGS)
    as_root(host, "systemctl start --no-block k3s")
    says(host, "/v1-k3s/server-bootstrap: 401 Unauthorized", "k3s")


def test_servers_must_agree(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    install(host, "server")
    configure(
        host, axiom.hosts.secrets.server_token, more=SERVER_FLAGS.replace("secrets-encryption: true", "")
    )
    as_root(host, "systemctl start --no-block k3s")
    says(host, "critical configuration mismatched: secrets-encryption", "k3s")
    says(host, "critical configuration value mismatch between servers", "k3s")


def test_a_server_of_a_name_that_etcd_has(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    as_root(host, "hostnamectl set-hostname M-O-3")
    install(host, "server")
    configure(host, axiom.hosts.secrets.server_token, more=SERVER_FLAGS)
    as_root(host, "systemctl start --no-block k3s")
    says(host, "duplicate node name found", "k3s")


def test_the_first_server_of_a_cluster_of_its_own(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    install(host, "server")
    as_root(host, "mkdir -p /etc/rancher/k3s; echo cluster-init: true >/etc/rancher/k3s/config.yaml")
    as_root(host, "systemctl start k3s")
    token = as_root(host, "cat /var/lib/rancher/k3s/server/token")
    assert token.startswith("K10")
    assert axiom.hosts.secrets.authority_hash not in token
    assert axiom.store.get(NODES, NEWCOMER) is None
    assert as_root(host, "k3s kubectl get nodes").splitlines()[1:] == [f"{NEWCOMER} NotReady"]
    as_root(host, "systemctl restart k3s")
    assert as_root(host, "cat /var/lib/rancher/k3s/server/token") == token
    as_root(host, "k3s-uninstall.sh")
    install(host)
    configure(host, new_token(axiom))
    as_root(host, "systemctl start k3s-agent")
    is_ready(axiom, NEWCOMER)


# --- tokens ---------------------------------------------------------------------------------------------


def test_tokens_are_made_listed_and_deleted_on_a_server(axiom: EmbeddedAxiom) -> None:
    server = axiom.hosts["m-o-2"]
    token = new_token(axiom)
    assert token.startswith(f"K10{axiom.hosts.secrets.authority_hash}::")
    bare = token.rpartition("::")[2]
    assert [len(part) for part in bare.split(".")] == [6, 16]
    listed = as_root(server, "k3s token list")
    assert bare[:6] in listed
    assert bare[7:] not in listed
    as_root(server, f"k3s token delete {bare[:6]}")
    assert bare[:6] not in as_root(server, "k3s token list")
    status, _, said = run_on(server, "k3s token create")
    assert status == 1
    assert "permission denied" in said
    assert run_on(axiom.hosts["wall-a-1"], "k3s token create", user="root")[0] == 1


def test_no_secret_is_ever_to_be_seen_on_the_host(axiom: EmbeddedAxiom) -> None:
    host, server = axiom.hosts[NEWCOMER], axiom.hosts["m-o-1"]
    right = f"{PASSWORD}\n".encode()
    made = run_on(server, "sudo -k -S -p '' -- k3s token create --ttl 5m", right)[1].strip()
    as_root(host, "hostnamectl set-hostname WALL-A-10")
    install(host)
    configure(host, made)
    as_root(host, "systemctl start k3s-agent")
    is_ready(axiom, "wall-a-10")
    for place in (host.traces(), server.traces()):
        assert made not in place
        assert made.rpartition(".")[2] not in place
        assert PASSWORD not in place
        assert axiom.hosts.secrets.server_password not in place


# --- what can be reached --------------------------------------------------------------------------------


def test_curl_trusts_k3s_only_by_its_authority(axiom: EmbeddedAxiom) -> None:
    host, api = axiom.hosts[NEWCOMER], "https://api.axiom.technat.ch:6443"
    assert run_on(host, f"curl -fsS {api}/ping")[0] == 60
    assert run_on(host, f"curl -k -fsS {api}/ping")[1] == "pong"
    run_on(host, f"curl -kfsS -o /tmp/ca {api}/cacerts")
    assert run_on(host, f"curl -fsS --cacert /tmp/ca {api}/ping")[1] == "pong"
    assert run_on(host, "cat /tmp/ca")[1] == axiom.kubernetes.authority.certificate.decode()
    assert run_on(host, f"curl -ks -o /dev/null -w '%{{http_code}}' {api}/healthz")[1] == "401"
    assert run_on(host, f"curl -kfsS {api}/healthz")[0] == 22
    assert "Date: " in run_on(host, f"curl -ksI {api}/ping")[1]


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("curl -sS https://nowhere.example/", 6),
        ("curl -sS https://api.axiom.technat.ch:9999/", 7),
        ("curl -sS -m 1 https://100.64.0.99:6443/", 28),
        ("curl -fsS https://get.k3s.io/nothing -o /nowhere/x", 23),
        ("curl -sS gopher://x", 1),
    ],
)
def test_curl_fails_with_its_own_statuses(axiom: EmbeddedAxiom, command: str, status: int) -> None:
    found, _, said = run_on(axiom.hosts[NEWCOMER], command)
    assert found == status
    assert f"curl: ({status}) " in said


def test_names_resolve_as_in_the_world(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    found = run_on(host, "getent ahostsv4 api.axiom.technat.ch")[1]
    assert [line.split()[0] for line in found.splitlines()] == list(axiom.hosts.api_addresses)
    assert run_on(host, "getent hosts nowhere.example")[0] == 2
    assert run_on(host, "getent hosts m-o-1")[1].split()[0] == axiom.world.tailnet.get("m-o-1").ipv4
    axiom.world.tailnet.set_online("m-o-1", False)
    assert run_on(axiom.hosts["no-tailscale"], "getent hosts m-o-1")[0] == 2


def test_the_host_and_the_tailnet_tell_the_same(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    status = json.loads(run_on(host, "tailscale status --json --peers=false")[1])
    assert status["BackendState"] == "Running"
    assert status["Self"]["ID"] == axiom.world.tailnet.get(NEWCOMER).id
    assert "Peer" in status
    assert status["Peer"] is None
    assert run_on(host, "tailscale ip -4")[1] == f"{address(host)}\n"
    assert "via 195.15.252.166:41641 in" in run_on(host, "tailscale ping -c 1 m-o-1")[1]
    axiom.world.tailnet.change(NEWCOMER, authorized=False)
    assert json.loads(run_on(host, "tailscale status --json")[1])["BackendState"] == "NeedsMachineAuth"
    assert run_on(axiom.hosts["no-tailscale"], "tailscale ip -4")[0] == 127
