"""What is around a join at one moment (cluster, tailnet, settings), and the plan that comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from axiom_tui.clients.configured import dns_records
from axiom_tui.clients.kubernetes import DAEMON_SETS, NODES, PODS, SECRETS, SERVICES, KubernetesClient
from axiom_tui.clients.secret_sources import read_secret
from axiom_tui.config import Settings
from axiom_tui.model.checks import Check, CheckState
from axiom_tui.model.exposure import Effect, effect_of
from axiom_tui.model.fleet import Cluster, Observation
from axiom_tui.model.host import HostFacts
from axiom_tui.model.naming import Role, natural_key
from axiom_tui.model.node import Condition, Node
from axiom_tui.model.pools import labels_for
from axiom_tui.model.preflight import JoinContext, preflight
from axiom_tui.model.preflight_context import TokenSource
from axiom_tui.model.preflight_tailnet import MACHINES_PAGE, wanted_tags
from axiom_tui.model.problem import AxiomError, ProblemKind, fail
from axiom_tui.model.servicelb import HAS_SELECTOR_LABEL
from axiom_tui.model.tailnet import TailnetDevice
from axiom_tui.plans.host_facts import MODULES
from axiom_tui.plans.join_choice import By, JoinChoice, JoinSpec, TokenFrom
from axiom_tui.plans.join_cluster_steps import is_cilium_agent
from axiom_tui.plans.join_node import first_server_plan, join_plan
from axiom_tui.plans.join_token import token_source
from axiom_tui.plans.proposal import FoundingMeans, Means, addresses_of
from axiom_tui.plans.step import Plan

#: To so many servers the host's way is tried.
MOST_SERVERS = 3
#: Forwarding, which K3s and Cilium need.
SYSCTLS = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
#: Rules whose words the admin confirms with the plan.
SAID_IN_THE_PLAN = ("public-address", "quorum")
UNINSTALL_CLEARS = "undo uninstalls K3s, whose script clears the routes that the host advertises: "


@dataclass(frozen=True)
class Look:
    """The cluster, the tailnet and the settings around a choice, at one moment.

    ``confirmed`` is the effect that the admin has seen, if there was a look before.
    """

    means: Means
    choice: JoinChoice
    devices: tuple[TailnetDevice, ...]
    seen: Observation
    version: str
    authority: str
    has_password: bool | None
    token: TokenSource | None
    confirmed: tuple[str, ...] = ()

    @classmethod
    def at(cls, means: Means, choice: JoinChoice, facts: HostFacts, confirmed: tuple[str, ...] = ()) -> Look:
        devices = devices_of(means)
        if choice.first_server:
            seen = Observation(devices=devices)
            return cls(means, choice, devices, seen, choice.version, "", None, None, confirmed)
        client = means.client
        seen = Observation(
            nodes=client.list(NODES).items,
            services=client.list(SERVICES).items,
            daemon_sets=client.list(DAEMON_SETS, label_selector=HAS_SELECTOR_LABEL).items,
            pods=client.list(PODS).items,
            devices=devices,
        )
        password = _has_password(client, choice.node)
        token = _token_source(means, choice, facts, server_addresses(seen.nodes))
        version, authority = client.version(), client.authority
        return cls(means, choice, devices, seen, version, authority, password, token, confirmed)

    def plan(self, facts: HostFacts) -> Plan:
        """Raises AxiomError for a choice that cannot be planned."""
        spec = self.spec(facts)
        if self.choice.first_server:
            return first_server_plan(spec, founding(self.means).access)
        effect = self._effect(spec.tailnet_ip, spec.public_ip, spec.pool)
        outcome = (*self._said(facts), *(effect.outcome() if effect else ()))
        return replace(join_plan(spec, self.means.access), outcome=outcome)

    @property
    def settings(self) -> Settings:
        return self.means.settings

    @property
    def flags(self) -> tuple[str, ...]:
        join = self.settings.join
        return join.server_flags if self.choice.role is Role.SERVER else join.agent_flags

    @property
    def can_control(self) -> bool:
        return self.means.control is not None

    def device(self, facts: HostFacts) -> TailnetDevice | None:
        """The host's own device: the chosen one, else the one that has its address."""
        own = facts.tailnet_ip
        chosen = next((item for item in self.devices if item.id == self.choice.device_id), None)
        return chosen or next((item for item in self.devices if own and own in item.addresses), None)

    def public_address_of(self, facts: HostFacts) -> str:
        if self.choice.public_address is not None:
            return self.choice.public_address
        return facts.proposed_public_address

    def context(self, facts: HostFacts) -> JoinContext:
        join = self.settings.join
        return JoinContext(
            name=self.choice.name,
            role=self.choice.role,
            first_server=self.choice.first_server,
            public_address=self.public_address_of(facts),
            rules=self.settings.rules,
            nodes=self.seen.nodes,
            devices=self.devices,
            device=self.device(facts),
            version=self.version,
            cluster_ca=self.authority,
            has_password=self.has_password,
            can_control=self.can_control,
            api_host=self.settings.api.host,
            api_port=self.settings.api.port,
            distribution=join.distribution,
            release=join.release,
            server_flags=(
                *self.flags,
                f"--tls-san={self.settings.api.host}",
                f"--servicelb-namespace={self.settings.servicelb.namespace}",
            ),
            install_sha256=self.choice.install_sha256 or join.install_sha256,
            token=self.token,
        )

    def spec(self, facts: HostFacts) -> JoinSpec:
        choice, settings, join = self.choice, self.settings, self.settings.join
        own = facts.tailnet_ip
        if not own:
            raise fail(
                ProblemKind.INVALID,
                f"{choice.host} has no IPv4 address in the tailnet, and K3s needs one as node-ip.",
                "Bring Tailscale up there (`sudo tailscale up --ssh`), then check again.",
            )
        sha256 = choice.install_sha256 or join.install_sha256 or facts.install_script_sha256
        if not sha256:
            raise fail(
                ProblemKind.INVALID,
                f"The install script of K3s could not be downloaded, and its sum is not known: "
                f"{facts.install_script.error or 'not tried'}.",
                "See to the host's way to the internet, or set join.install_sha256.",
            )
        if not self.version:
            raise fail(
                ProblemKind.INVALID, "The version of K3s to install is not known.", "Name it (v1.33.4+k3s1)."
            )
        device = self.device(facts)
        public = self.public_address_of(facts)
        pool = self._pool(own, public)
        effect = self._effect(own, public, pool)
        tags = wanted_tags(settings.rules, choice.role, device.tags if device else facts.tailscale.tags)
        approve, tag, key_expiry = self._device_work(facts, device, tags)
        spec = JoinSpec(
            host=address_of(choice, self.devices),
            user=choice.user,
            device_id=device.id if device else facts.tailscale.id,
            name=choice.name,
            role=choice.role,
            first_server=choice.first_server,
            tailnet_ip=own,
            public_ip=public,
            pool=pool,
            version=self.version,
            api_host=settings.api.host,
            api_port=settings.api.port,
            flags=self.flags,
            servicelb_namespace=settings.servicelb.namespace,
            install_url=join.install_url,
            install_sha256=sha256,
            token=_token_from(self.means, choice),
            token_ttl=join.token_ttl.total_seconds(),
            servers=self._servers(),
            install_timeout=join.install_timeout.total_seconds(),
            ready_timeout=join.ready_timeout.total_seconds(),
            login_timeout=settings.ssh.login_timeout.total_seconds(),
            command_timeout=settings.ssh.command_timeout.total_seconds(),
            earlier_host_name=facts.host_name,
            modules=tuple(name for name in MODULES if name not in facts.modules),
            sysctls=tuple(name for name in SYSCTLS if facts.sysctl(name) == "0"),
            approve=approve,
            tag=tag,
            tags=tags,
            earlier_tags=device.tags if device else facts.tailscale.tags,
            key_expiry=key_expiry,
            cilium=any(is_cilium_agent(pod) for pod in self.seen.pods),
            dns=self._dns(own),
            dns_zone=settings.dns.zone,
            dns_ttl=settings.dns.ttl,
            api_record=choice.role is Role.SERVER,
            touched=effect.touched if effect else (),
            overridden=choice.overridden,
        )
        lines = (*self._said(facts), *(effect.lines() if effect else ()))
        return replace(spec, effect=lines, already=_already(spec, facts, device))

    def _pool(self, own: str, public: str) -> str:
        if self.choice.pool is not None:
            return self.choice.pool
        return self.settings.pools.wanted(self._node(own, public), self.choice.role)

    def _node(self, own: str, public: str) -> Node:
        """The node as it will be, before its labels."""
        existing = next((node for node in self.seen.nodes if node.name == self.choice.node), None)
        return existing or Node(
            name=self.choice.node,
            internal_ips=(own,),
            external_ips=(public,) if public else (),
            conditions=(Condition("Ready", "True"),),
        )

    def _effect(self, own: str, public: str, pool: str) -> Effect | None:
        """What the new node does to every LoadBalancer Service; None where there is no cluster yet."""
        if self.choice.first_server:
            return None
        node = self._node(own, public)
        others = tuple(item for item in self.seen.nodes if item.name != node.name)
        seen = replace(self.seen, nodes=(*others, node))
        return effect_of(seen, {node.name: labels_for(pool)}, self.settings.pools)

    def _said(self, facts: HostFacts) -> tuple[str, ...]:
        """What the admin confirms with the plan, besides what happens to the Services."""
        judged = preflight(facts, self.context(facts))
        overridden = [check for check in judged if check.rule in self.choice.overridden]
        said = [check for check in judged if check.rule in SAID_IN_THE_PLAN]
        routes = facts.tailscale.routes
        return (
            *(f"{check.rule}: {check.sentence}" for check in said),
            *(self._overridden_line(check) for check in overridden if check.state is CheckState.FAIL),
            *((f"{UNINSTALL_CLEARS}{', '.join(routes)}",) if routes else ()),
        )

    def _overridden_line(self, check: Check) -> str:
        """As the admin has seen it: free memory and clocks move on, and what was accepted stays the same."""
        begin = f"overridden: {check.rule}: "
        seen = next((line for line in self.confirmed if line.startswith(begin)), "")
        return seen or f"{begin}{check.sentence}"

    def _servers(self) -> tuple[str, ...]:
        """Who is asked for the token, the one first that was found able to give it."""
        able = self.token.server if self.token is not None else ""
        # The others in an order that stays, however Ready they are: nothing of the plan changes with it.
        return tuple(
            sorted(server_addresses(self.seen.nodes), key=lambda address: (address != able, address))
        )

    def _device_work(
        self, facts: HostFacts, device: TailnetDevice | None, tags: tuple[str, ...]
    ) -> tuple[By, By, By]:
        """Who approves the device, tags it, and disables its key's expiry; nobody where it is so."""
        who = By.API if self.can_control and (device or facts.tailscale.id) else By.HAND
        waits = facts.tailscale.backend == "NeedsMachineAuth"
        waits = waits or (device is not None and device.authorized is False)
        found = device.tags if device else facts.tailscale.tags
        never = device.key_expiry_disabled if device else None
        expires = facts.tailscale.key_expiry is not None if never is None else not never
        return (
            who if waits else By.NOBODY,
            who if set(tags) - set(found) else By.NOBODY,
            who if expires else By.NOBODY,
        )

    def _dns(self, own: str) -> By:
        dns = self.settings.dns
        if not dns.zone:
            return By.NOBODY
        names = [f"{self.choice.node}.{dns.zone}"]
        names += [self.settings.api.host] if self.choice.role is Role.SERVER else []
        if all(own in _addresses(name) for name in names):
            return By.NOBODY
        if dns_records(self.settings) is not None:
            return By.API
        return By.WAIT if self.choice.wait_for_dns else By.HAND


def _already(spec: JoinSpec, facts: HostFacts, device: TailnetDevice | None) -> tuple[str, ...]:
    """What was found to be so, and needs no step."""
    said = []
    if spec.approve is By.NOBODY and facts.tailscale.backend == "Running":
        said.append("the device is approved")
    if spec.tag is By.NOBODY:
        said.append(f"the device is tagged: {', '.join(spec.earlier_tags)}")
    if spec.key_expiry is By.NOBODY:
        said.append("the device's key does not expire")
    if not (spec.modules or spec.sysctls):
        said.append("kernel modules and forwarding are as K3s needs them")
    if spec.dns is By.NOBODY and spec.dns_zone:
        said.append(f"{spec.dns_name} leads to {spec.tailnet_ip}")
    return tuple(said)


def founding(means: Means) -> FoundingMeans:
    api = means.settings.api
    server = f"https://{api.host}:{api.port}"
    return FoundingMeans(means.settings, Cluster(api.host, "", server), means.interaction, means.hosts)


def devices_of(means: Means) -> tuple[TailnetDevice, ...]:
    """The tailnet's devices; none where Tailscale cannot be asked: the host's own word must do then."""
    try:
        return means.devices()
    except AxiomError:
        return ()


def address_of(choice: JoinChoice, devices: Sequence[TailnetDevice]) -> str:
    """Where SSH goes: to a device by its address, since its name changes with the host's."""
    for device in devices:
        if device.id != choice.device_id and choice.host not in (device.dns_name, device.name):
            continue
        if choice.host not in (device.dns_name, device.name, *device.addresses):
            return choice.host  # the admin names another way to this device
        if device.authorized is False:
            raise fail(
                ProblemKind.STOPPED,
                f"{device.name} waits for approval: nobody reaches it over the tailnet yet.",
                "Give its public or local address as host, and the plan approves it; or approve it first: "
                f"{MACHINES_PAGE}.",
            )
        return device.ipv4 or choice.host
    return choice.host


def server_addresses(nodes: Sequence[Node]) -> tuple[str, ...]:
    """The servers' addresses, those that are Ready first."""
    servers = sorted(
        (node for node in nodes if node.is_server),
        key=lambda node: (not node.is_ready, natural_key(node.name)),
    )
    return tuple(node.internal_ips[0] for node in servers if node.internal_ips)


def _token_from(means: Means, choice: JoinChoice) -> str:
    if choice.first_server:
        return TokenFrom.NEW
    if means.settings.join.token is not None:
        return str(means.settings.join.token)
    return TokenFrom.SERVER if choice.role is Role.SERVER else TokenFrom.CREATED


def _token_source(
    means: Means, choice: JoinChoice, facts: HostFacts, servers: Sequence[str]
) -> TokenSource | None:
    """Not tried where the host can't join anyway: nobody gives a server's password for nothing."""
    if facts.no_root is not None or not facts.tailnet_ip:
        return None
    if facts.k3s.state("k3s" if choice.role is Role.SERVER else "k3s-agent") == "active":
        return TokenSource(needed=False)
    deadline = means.settings.ssh.command_timeout.total_seconds()
    token = _token_from(means, choice)
    return token_source(means.hosts, token, servers[:MOST_SERVERS], read_secret, deadline)


def _has_password(client: KubernetesClient, node: str) -> bool | None:
    """Whether K3s keeps a node password of this name; None if that may not be read."""
    try:
        client.get(SECRETS, f"{node}.node-password.k3s", "kube-system")
    except AxiomError as error:
        if error.problem.kind is ProblemKind.MISSING:
            return False
        if error.problem.kind is ProblemKind.FORBIDDEN:
            return None
        raise
    return True


def _addresses(name: str) -> tuple[str, ...]:
    try:
        return addresses_of(name)
    except AxiomError:
        return ()
