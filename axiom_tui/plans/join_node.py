"""The join plan: its steps from what was decided, whether it is new or made again from its journal."""

from __future__ import annotations

from collections.abc import Mapping

from axiom_tui.model.naming import Role
from axiom_tui.model.problem import ProblemKind, fail
from axiom_tui.plans import join_tailnet_steps as tailnet
from axiom_tui.plans.access import Access
from axiom_tui.plans.danger import is_dangerous
from axiom_tui.plans.hosts import Hosts
from axiom_tui.plans.join_choice import By, JoinSpec, TokenFrom
from axiom_tui.plans.join_cluster_steps import (
    AddressesAreRight,
    AllInOrder,
    CiliumIsReady,
    LabelTheNode,
    NameIsFree,
    NodeAppears,
    NodeIsReady,
)
from axiom_tui.plans.join_dns_steps import record_steps
from axiom_tui.plans.join_files import K3S
from axiom_tui.plans.join_steps import Absence, HostStep, InstallK3s, PrepareKernel, SetHostName, WriteConfig
from axiom_tui.plans.join_token import BringToken
from axiom_tui.plans.join_unit import AwaitK3s, Mark, StartK3s
from axiom_tui.plans.joining_node import JoiningNode
from axiom_tui.plans.label_nodes import RIGHTS as LABEL_RIGHTS
from axiom_tui.plans.servicelb import SettleServiceLb
from axiom_tui.plans.step import Json, Plan, Right, Run, Step, UnavailableStep

KIND = "join-node"
#: The first server is no plan of a cluster that is there: it is resumed without one.
FIRST_SERVER_KIND = "first-server"
RIGHTS = (
    Right("list", "nodes"),
    Right("list", "pods"),
    *LABEL_RIGHTS,
)


def join_plan(spec: JoinSpec, access: Access) -> Plan:
    """The plan of a join. Raises MISCONFIGURED without what it needs: SSH, and the API of the cluster."""
    hosts = _hosts(access)
    client = access.kubernetes
    if client is None:
        raise fail(
            ProblemKind.MISCONFIGURED,
            "The join plan needs the Kubernetes API, and there is no connection to it.",
            "Connect to the cluster, then resume.",
        )
    node = JoiningNode(client, spec, access.cluster.context)
    settle = SettleServiceLb(client, access.cluster.context, spec.touched)
    steps: tuple[Step, ...] = (
        NameIsFree(node, spec),
        *_device_steps(spec, access),
        *host_steps(spec, access, hosts, node),
        NodeAppears(node, spec),
        NodeIsReady(node, spec),
        AddressesAreRight(node, spec),
        *((CiliumIsReady(node, spec),) if spec.cilium else ()),
        LabelTheNode(node, spec, access.cluster, access.rules.naming),
        settle,
        *record_steps(spec, access.records, access.resolve),
        AllInOrder(node, spec, access.rules, access.cluster.version or spec.version, access.devices),
    )
    return Plan(
        kind=KIND,
        subject=f"join {spec.name} as {spec.role}",
        cluster=access.cluster,
        steps=steps,
        effect=spec.effect,
        rights=(*RIGHTS, *settle.rights),
        # A server changes who decides about the cluster's data.
        typed_word=spec.name if spec.role is Role.SERVER or is_dangerous(spec.effect) else "",
        choices=spec.choices(),
        already=spec.already,
        undo_word=spec.name,
    )


def first_server_plan(spec: JoinSpec, access: Access) -> Plan:
    """The plan of the first server of a new cluster, up to "now install Cilium"."""
    hosts = _hosts(access)
    steps: tuple[Step, ...] = (
        *_device_steps(spec, access),
        *host_steps(spec, access, hosts, None),
        ReadKubeconfig(hosts, spec),
        *record_steps(spec, access.records, access.resolve),
        UnavailableStep(
            "cilium",
            "Install Cilium: until then the node is not Ready",
            "a cluster's network is installed by its own means (Helm, Terraform)",
            cilium_commands(spec),
        ),
    )
    return Plan(
        kind=FIRST_SERVER_KIND,
        subject=f"found the cluster {access.cluster.name} on {spec.name}",
        cluster=access.cluster,
        steps=steps,
        effect=spec.effect,
        typed_word=spec.name,
        choices=spec.choices(),
        already=spec.already,
        undo_word=spec.name,
    )


def rebuild(choices: Mapping[str, Json], access: Access) -> Plan:
    """The same plan from its journal."""
    return join_plan(JoinSpec.of(choices), access)


def rebuild_first_server(choices: Mapping[str, Json], access: Access) -> Plan:
    return first_server_plan(JoinSpec.of(choices), access)


def cilium_commands(spec: JoinSpec) -> tuple[str, ...]:
    """How Cilium is installed for what this K3s leaves out (facts: operator.md; k3s-and-backups.md, 1.10)."""
    values = {
        "kubeProxyReplacement": "true",
        "k8sServiceHost": spec.api_host,
        "k8sServicePort": str(spec.api_port),
        "ipam.mode": "kubernetes",
        "hostFirewall.enabled": "true",
        "policyEnforcementMode": "always",
        "policyAuditMode": "true",
        "hubble.relay.enabled": "true",
    }
    options = " ".join(f"--set {key}={value}" for key, value in values.items())
    return (
        "helm repo add cilium https://helm.cilium.io",
        f"helm install cilium cilium/cilium --namespace kube-system {options}",
    )


class ReadKubeconfig(HostStep):
    """Proves that the new API answers, and says where its kubeconfig lies."""

    key = "kubeconfig"
    reversible = False
    only_looks = True

    def __init__(self, hosts: Hosts, spec: JoinSpec) -> None:
        super().__init__(hosts, spec, spec.ready_timeout)
        self.title = "Wait until the API of the new cluster answers"
        self.commands = (f"sudo k3s kubectl get node {spec.node}",)

    def is_done(self, run: Run) -> bool:
        return self._ask(run, f"{K3S} kubectl get node {self._spec.node}", "k3s kubectl get node").ok

    def run(self, run: Run) -> None:
        run.remember({})
        run.wait_for("the API to be ready", lambda: self.is_done(run), self._spec.ready_timeout, 3.0)
        run.output(
            "The kubeconfig is /etc/rancher/k3s/k3s.yaml on the host: copy it, and put "
            f"{self._spec.api_url} in place of its server."
        )


def _device_steps(spec: JoinSpec, access: Access) -> tuple[Step, ...]:
    steps: list[Step] = []
    for by, make in (
        (spec.approve, tailnet.ApproveDevice),
        (spec.tag, tailnet.TagDevice),
        (spec.key_expiry, tailnet.DisableKeyExpiry),
    ):
        if by is By.API and access.control is not None:
            steps.append(make(access.control, spec))
        elif by is not By.NOBODY:
            steps.append(tailnet.by_hand(make.key, spec))
    return tuple(steps)


def host_steps(spec: JoinSpec, access: Access, hosts: Hosts, node: JoiningNode | None) -> tuple[Step, ...]:
    mark = Mark()
    token: tuple[HostStep, ...] = ()
    if spec.token != TokenFrom.NEW:
        if access.secret is None:
            raise fail(ProblemKind.MISCONFIGURED, "There is no way to read secrets.", "Check the settings.")
        token = (BringToken(hosts, spec, access.secret, f"axiom-tui joins {spec.node}"),)
    steps: tuple[HostStep, ...] = (
        SetHostName(hosts, spec),
        *((PrepareKernel(hosts, spec),) if spec.modules or spec.sysctls else ()),
        WriteConfig(hosts, spec),
        InstallK3s(hosts, spec),
        *token,
        StartK3s(hosts, spec, mark, node),
        AwaitK3s(hosts, spec, mark),
    )
    absence = Absence()
    for step in steps:
        step.absence = absence
    return steps


def _hosts(access: Access) -> Hosts:
    if access.hosts is None:
        raise fail(
            ProblemKind.MISCONFIGURED, "A join needs SSH to the host, and there is none.", "Check `ssh`."
        )
    return access.hosts
