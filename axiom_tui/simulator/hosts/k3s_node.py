"""K3s as it runs on a simulated host: it joins the world's cluster, or says why not as the real one does.

Messages and their order: k3s-io/k3s, pkg/agent/run.go, pkg/agent/config, pkg/clientaccess, pkg/cluster
(facts: k3s-and-backups.md 1.8, peers.md F6).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from axiom_tui.model.naming import Role, fold
from axiom_tui.model.node import NODE_ARGS_ANNOTATION
from axiom_tui.simulator.cast import Machine
from axiom_tui.simulator.hosts.cluster import ClusterSecrets, Credential, node_password, parse_token
from axiom_tui.simulator.hosts.files import FileSystem
from axiom_tui.simulator.hosts.host import Host
from axiom_tui.simulator.hosts.k3s_config import Configuration, ConfigurationProblem, read_configuration
from axiom_tui.simulator.hosts.network import Unreachable, Unresolved
from axiom_tui.simulator.hosts.program import Run
from axiom_tui.simulator.manifests import Manifest, condition, stamp
from axiom_tui.simulator.names import label_key_problems, subdomain_problems
from axiom_tui.simulator.world import NODES

DATA = "/var/lib/rancher/k3s"
PASSWORD_FILE = "/etc/rancher/node/password"
#: Servers have to agree on these; the names are K3s' own (pkg/daemons/config, CriticalControlArgs).
CRITICAL = (
    *("cluster-cidr", "cluster-dns", "cluster-domain", "service-cidr", "disable-cloud-controller"),
    *("disable-helm-controller", "disable-network-policy", "secrets-encryption", "embedded-registry"),
    *("flannel-backend", "flannel-ipv6-masq", "flannel-external-ip", "egress-selector-mode"),
)
_REJECTED = (
    "Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match "
    "server node-passwd entry, try enabling a unique node name with the --with-node-id flag"
)
#: Kubelets may not give themselves labels of these domains, but for a few (NodeRestriction).
_KUBELET_LABELS = (
    "kubelet.kubernetes.io/",
    "node.kubernetes.io/",
    "topology.kubernetes.io/",
    "kubernetes.io/hostname",
)
#: How the time from the start of the unit to Ready is spent, as shares of `Hosts.join_seconds`.
BEFORE_NODE, BEFORE_UP, BEFORE_READY = 0.3, 0.3, 0.4
FOUNDED_BEFORE = timedelta(days=400)  # when the cluster's certificates began to be valid


_NO_FILES = FileSystem(0, lambda: 0.0)


class Fatal(Exception):
    """K3s ends; systemd starts it again."""


class NotYet(Exception):
    """K3s logs the message and tries again after ``seconds``."""

    def __init__(self, level: str, message: str, seconds: float) -> None:
        super().__init__(message)
        self.level, self.message, self.seconds = level, message, seconds


def run_k3s(run: Run, role: str) -> int:
    """``k3s agent`` or ``k3s server``, until it is ended."""
    return _K3s(run, Role.SERVER if role == "server" else Role.AGENT).run_until_killed()


def stay(host: Host, node_name: str, wait: Callable[[], object]) -> None:
    """Run on until somebody ends the process: then the kubelet falls silent."""
    try:
        wait()
    finally:
        if not host.hosts.is_stopping and any(item.node_name == node_name for item in host.world.machines()):
            host.world.silence(node_name)


class _K3s:
    def __init__(self, run: Run, role: Role) -> None:
        self._run, self._role = run, role
        self._host = run.host
        self._version = run.binary[0] if run.binary else "v0"
        self._secrets: ClusterSecrets = run.host.hosts.secrets

    def run_until_killed(self) -> int:
        try:
            self._log(
                "info", f"Starting k3s {self._role.value} {self._version} ({_digest(self._version)[:8]})"
            )
            config = read_configuration(
                self._role.value, self._run.arguments[1:], self._run.environment, self._run.files
            )
            self._check_host(config)
            founds = self._founds(config)
            node_name = "" if founds else self._join(config)
        except (Fatal, ConfigurationProblem) as error:
            self._log("fatal", f"Error: {error}" if isinstance(error, ConfigurationProblem) else str(error))
            return 1
        if founds:
            return self._found(config)
        self._host.node_name = node_name
        stay(self._host, node_name, self._forever)
        return 0

    def _forever(self) -> None:
        self._run.process.wait_for(lambda: False)

    def _log(self, level: str, message: str) -> None:
        stamp_ = self._host.clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        quoted = message.replace("\\", "\\\\").replace('"', '\\"')
        self._run.say(f'time="{stamp_}" level={level} msg="{quoted}"')

    def _pause(self, seconds: float) -> None:
        self._run.process.wait_for(lambda: False, self._host.paced(seconds))

    def _founds(self, config: Configuration) -> bool:
        """Whether this is, or becomes, the first server of a cluster of its own."""
        if self._role is Role.AGENT:
            return False
        if self._has_joined_before():
            return bool(self._host.founded)
        self._host.founded = ""
        return not config.one("server")

    def _has_joined_before(self) -> bool:
        return self._run.files.find(f"{DATA}/server/db/etcd/name") is not None

    def _check_host(self, config: Configuration) -> None:
        needs = [6444, 10250] + ([6443, 2379, 2380] if self._role is Role.SERVER else [])
        taken = sorted(self._host.listening() & set(needs))
        if taken:
            where = "127.0.0.1" if taken[0] == 6444 else "0.0.0.0"
            raise Fatal(f"Error: listen tcp {where}:{taken[0]}: bind: address already in use")
        for label in config.many("node-label"):
            key = label.partition("=")[0]
            if label_key_problems(key):
                raise Fatal(f"Error: invalid label key {key}: {label_key_problems(key)[0]}")
            domain = key.partition("/")[0]
            own = domain.endswith(("kubernetes.io", "k8s.io")) and not domain.endswith("cattle.io")
            if own and not key.startswith(_KUBELET_LABELS):
                raise Fatal(
                    "kubelet exited: failed to validate kubelet flags: unknown 'kubernetes.io' or 'k8s.io' "
                    f"labels specified with --node-labels: [{key}]"
                )

    def _join(self, config: Configuration) -> str:
        """Join or rejoin; gives the node's name once it is Ready."""
        name = self._node_name(config)
        server = config.one("server") or f"https://{self._host.hosts.api_name}:6443"
        if self._role is Role.AGENT and not config.one("server"):
            raise Fatal("Error: --server is required")
        token = parse_token(self._token(config))
        if self._role is Role.AGENT:
            where = f"127.0.0.1:6444 -> [{urlsplit(server).netloc}]"
            self._log("info", f"Running load balancer k3s-agent-load-balancer {where}")
        self._until_admitted(server, token, name)
        if self._role is Role.SERVER:
            self._check_servers(config, name)
        return self._register(config, name)

    def _node_name(self, config: Configuration) -> str:
        name = fold(config.one("node-name") or self._host.name)
        if config.is_on("with-node-id"):
            name += f"-{_digest(str(self._host.computer.number))[:8]}"
        if subdomain_problems(name):
            raise Fatal(f"Error: invalid node name {name}: {subdomain_problems(name)[0]}")
        return name

    def _token(self, config: Configuration) -> str:
        path = config.one("token-file")
        if path:
            waited = 0
            while self._run.files.find(path) is None:
                if waited >= 240:
                    raise Fatal(f"Error: stat {path}: no such file or directory")
                self._log("info", f"Waiting for {path} to be available")
                self._pause(2)
                waited += 2
            return self._run.files.read(path).decode(errors="replace").strip()
        if config.one("token"):
            return config.one("token")
        if self._role is Role.SERVER and self._has_joined_before():
            return self._secrets.server_token
        raise Fatal("Error: --token is required")

    def _until_admitted(self, server: str, token: Credential, name: str) -> None:
        while True:
            try:
                self._reach(server, token)
                self._authenticate(server, token, name)
            except NotYet as wait:
                self._log(wait.level, wait.message)
                self._pause(wait.seconds)
            else:
                return

    def _refuse(self, message: str, *, server: str) -> Exception:
        """An agent tries for ever; a server ends, and systemd starts it again."""
        if self._role is Role.SERVER:
            return Fatal(f"starting kubernetes: preparing server: {message}")
        return NotYet("error", f"Failed to validate connection to cluster at {server}: {message}", 2)

    def _reach(self, server: str, token: Credential) -> None:
        is_server, parts = self._role is Role.SERVER, urlsplit(server)
        if parts.scheme != "https":
            raise Fatal("Error: only https:// URLs are supported, invalid scheme: " + server)
        own = f"{server}/cacerts" if is_server else "https://127.0.0.1:6444/cacerts"
        why = ""
        try:
            self._host.network.get(f"{server}/cacerts")
        except Unresolved:
            why = f"dial tcp: lookup {parts.hostname} on 127.0.0.53:53: no such host"
        except Unreachable as error:
            why = "dial tcp: connect: connection refused"
            if error.slow:
                why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        if why and not is_server and "deadline" not in why:
            why = "read tcp 127.0.0.1:41872->127.0.0.1:6444: read: connection reset by peer"
        if why:
            raise self._refuse(f'failed to get CA certs: Get "{own}": {why}', server=server)
        now, founded = self._host.clock(), self._host.hosts.cluster_clock() - FOUNDED_BEFORE
        if now < founded:
            times = f"current time {_iso(now)} is before {_iso(founded)}"
            text = "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: "
            text += times
            raise self._refuse(f'failed to get CA certs: Get "{own}": {text}', server=server)
        expected = self._secrets.authority_hash
        if self._host.find_fault("host-authority-changed"):
            expected = _digest("another authority")
        if token.authority and token.authority != expected:
            hashes = f"{token.authority} != {expected}"
            text = f"token CA hash does not match the Cluster CA certificate hash: {hashes}"
            raise self._refuse(text, server=server)
        if not token.authority:
            self._log(
                "warning",
                "Cluster CA certificate is not trusted by the host CA bundle, but the token does not include "
                "a CA hash. Use the full token from the server's node-token file to enable Cluster CA "
                "validation.",
            )

    def _authenticate(self, server: str, token: Credential, name: str) -> None:
        is_server = self._role is Role.SERVER
        now = self._host.hosts.cluster_clock()
        admitted = self._secrets.admits(token, now, server=is_server)
        if not admitted or self._host.find_fault("host-token-rejected"):
            if is_server:
                where = f"{server}/v1-k3s/server-bootstrap"
                raise Fatal(f"starting kubernetes: preparing server: {where}: 401 Unauthorized")
            raise self._waiting("https://127.0.0.1:6444/v1-k3s/serving-kubelet.crt: 401 Unauthorized")
        known = self._secrets.knows_node(name, self._password())
        if self._host.find_fault("host-name-taken"):
            known = False
        if known is False and is_server:
            raise Fatal(
                "starting kubernetes: preparing server: failed to start cluster: etcd cluster join failed: "
                "duplicate node name found, please use a unique name for this node"
            )
        if known is False:
            raise self._waiting(_REJECTED)

    def _waiting(self, why: str) -> NotYet:
        text = "Waiting to retrieve agent configuration; server is not ready: "
        return NotYet("info", f"{text}{DATA}/agent/serving-kubelet.crt: {why}", 5)

    def _password(self) -> str:
        entry = self._run.files.find(PASSWORD_FILE)
        if entry is None:
            self._run.files.write(PASSWORD_FILE, f"{node_password(self._host.computer.number)}\n", 0o600)
        return self._run.files.read(PASSWORD_FILE).decode().strip()

    def _check_servers(self, config: Configuration, name: str) -> None:
        """Servers must agree on some flags; they are read where K3s itself shows them."""
        others = [
            item
            for item in self._host.world.machines()
            if item.role is Role.SERVER and item.node_name != name
        ]
        for machine in others[:1]:
            node = self._host.world.store.get(NODES, machine.node_name)
            shown = json.loads(node["metadata"]["annotations"][NODE_ARGS_ANNOTATION]) if node else []
            theirs = read_configuration("server", shown[1:], {}, _NO_FILES)
            wrong = [flag for flag in CRITICAL if config.one(flag) != theirs.one(flag)]
            if ("servicelb" in config.many("disable")) != ("servicelb" in theirs.many("disable")):
                wrong.append("disable")
            for flag in wrong:
                self._log("warning", f"critical configuration mismatched: {flag}")
            if wrong:
                raise Fatal(
                    "starting kubernetes: preparing server: failed to validate server configuration: "
                    "critical configuration value mismatch between servers"
                )

    def _register(self, config: Configuration, name: str) -> str:
        host, world = self._host, self._host.world
        seconds = host.hosts.join_seconds
        is_server = self._role is Role.SERVER
        if is_server:
            self._log("info", "Adding member to etcd cluster as learner")
        self._run.process.wait_for(lambda: False, seconds * BEFORE_NODE)
        self._write_data(name)
        self._secrets.remember_node(name, self._password())
        machine = self._machine(config, name)
        if world.store.get(NODES, name) is None:
            world.add_node(machine, ready=False, change=lambda node: self._shape(node, config, machine))
        else:
            world.store.mutate(NODES, name, lambda node: self._shape(node, config, machine), manager="k3s")
        self._log("info", f"Running kubelet --hostname-override={name} --node-ip={self._node_ip(config)}")
        self._log("info", f"Annotations and labels have been set successfully on node: {name}")
        self._run.process.wait_for(lambda: False, seconds * BEFORE_UP)
        self._log("info", f"k3s {self._role.value} is up and running")
        host.systemd.is_ready(self._run.process)
        # The unit is up; the node is Ready only when Cilium has set up its network.
        self._run.process.wait_for(lambda: False, seconds * BEFORE_READY)
        while host.find_fault("host-never-ready"):
            self._log("error", "Container runtime network not ready: cni plugin not initialized")
            self._pause(5)
        world.revive(name)
        if is_server:
            self._promote(name)
        return name

    def _promote(self, name: str) -> None:
        def change(node: Manifest) -> None:
            now = stamp(self._host.world.now())
            text = "Node is a voting member of the etcd cluster"
            fresh = condition("EtcdIsVoter", "True", "MemberNotLearner", text, now, now)
            others = [item for item in node["status"]["conditions"] if item["type"] != "EtcdIsVoter"]
            node["status"]["conditions"] = [fresh, *others]

        self._host.world.store.mutate(NODES, name, change, manager="k3s", subresource="status")

    def _machine(self, config: Configuration, name: str) -> Machine:
        host, computer = self._host, self._host.computer
        shown = config.one("node-name") or host.name
        return Machine(
            number=computer.number,
            name=shown if fold(shown) == name else name,
            role=self._role,
            architecture=computer.architecture,
            place=computer.place,
            lan_ip=computer.lan_ip,
            public_ip=config.one("node-external-ip"),
            k3s_version=self._version,
            age=timedelta(),
            cores=computer.cores,
            memory_mib=computer.memory_mib,
            disk_gib=computer.disk_gib,
        )

    def _node_ip(self, config: Configuration) -> str:
        """Without ``--node-ip``, K3s takes the address of the default route (peers.md, F5)."""
        return config.one("node-ip") or self._host.computer.public_ip or self._host.computer.lan_ip

    def _shape(self, node: Manifest, config: Configuration, machine: Machine) -> None:
        """Make the Node of a machine what this configuration asks for."""
        metadata, now = node["metadata"], self._host.world.now()
        internal, external = self._node_ip(config), config.one("node-external-ip")
        for label in config.many("node-label"):
            key, _, value = label.partition("=")
            metadata["labels"][key] = value
        annotations = metadata["annotations"]
        annotations["k3s.io/hostname"] = machine.name
        annotations["k3s.io/internal-ip"] = internal
        if external:  # dropping the flag later leaves the annotation
            annotations["k3s.io/external-ip"] = external
        arguments = json.dumps(config.arguments())
        annotations[NODE_ARGS_ANNOTATION] = arguments
        annotations["k3s.io/node-config-hash"] = f"{_digest(arguments).upper()[:52]}===="
        if machine.role is Role.SERVER:
            annotations["etcd.k3s.cattle.io/node-address"] = internal
        addresses = [{"type": "InternalIP", "address": internal}]
        if annotations.get("k3s.io/external-ip"):
            addresses.append({"type": "ExternalIP", "address": annotations["k3s.io/external-ip"]})
        node["status"]["addresses"] = [*addresses, {"type": "Hostname", "address": machine.node_name}]
        node["status"]["nodeInfo"]["kubeletVersion"] = self._version
        node["status"]["nodeInfo"]["osImage"] = self._host.computer.system.pretty
        node["status"]["nodeInfo"]["kernelVersion"] = self._host.computer.system.kernel
        for taint in config.many("node-taint"):
            key, _, effect = taint.rpartition(":")
            name, _, value = key.partition("=")
            node["spec"].setdefault("taints", []).append({"key": name, "value": value, "effect": effect})
        for item in node["status"]["conditions"]:
            if item["lastTransitionTime"] > stamp(now):
                item["lastTransitionTime"] = stamp(now)
            if item["type"] == "EtcdIsVoter" and item["lastTransitionTime"] == stamp(now):
                text = "Node has not been promoted from learner status"
                item.update(status="False", reason="MemberIsLearner", message=text)

    def _write_data(self, name: str) -> None:
        files = self._run.files
        files.make_directories(f"{DATA}/agent")
        files.make_directories("/etc/rancher/node")
        for part in ("client-kubelet.crt", "serving-kubelet.crt", "kubelet.kubeconfig", "server-ca.crt"):
            files.write(f"{DATA}/agent/{part}", self._secrets.authority, 0o600)
        files.make_directories("/var/lib/kubelet")
        if self._role is Role.SERVER:
            write_server_data(self._host, name, self._secrets.server_token)

    def _found(self, config: Configuration) -> int:
        """The first server of a new cluster, which is none of the world's: it runs, and that is all."""
        name = self._host.founded = self._node_name(config)
        password = config.one("token") or _digest(f"token of {name}")[:32]
        if config.one("token-file"):
            password = self._token(config)
        authority = f"authority of {name}"
        write_server_data(self._host, name, f"K10{_digest(authority)}::server:{password}")
        self._run.process.wait_for(lambda: False, self._host.hosts.join_seconds)
        self._host.systemd.is_ready(self._run.process)
        self._log("info", "k3s is up and running")
        self._forever()
        return 0


def write_server_data(host: Host, node_name: str, token: str) -> None:
    """The files below /var/lib/rancher/k3s/server that others ask for."""
    files, place = host.files, f"{DATA}/server"
    files.make_directories(f"{place}/db/snapshots")
    files.write(f"{place}/token", f"{token}\n", 0o600)
    for link in ("node-token", "agent-token"):
        if files.find(f"{place}/{link}", follow=False) is None:
            files.link(f"{place}/{link}", "token")
    files.write(f"{place}/tls/server-ca.crt", host.hosts.secrets.authority, 0o644)
    files.write(f"{place}/db/etcd/name", f"{node_name}-{_digest(node_name)[:8]}", 0o600)
    files.write("/etc/rancher/k3s/k3s.yaml", "apiVersion: v1\nkind: Config\n", 0o600)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
