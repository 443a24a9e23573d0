"""What is known around a host that is to join: the choice, the cluster, the tailnet, the settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from axiom_tui.model.checks import Check, CheckState
from axiom_tui.model.host import HostFacts
from axiom_tui.model.naming import Role, fold
from axiom_tui.model.node import Node
from axiom_tui.model.problem import Problem
from axiom_tui.model.rules import Rules
from axiom_tui.model.tailnet import TailnetDevice


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSource:
    """Where the join token will come from, as it was tried. ``needed`` False: the host has joined already.

    ``reference`` is that of a secret, "" for a server. ``server`` is the address of the one that will give
    the token, "" if none can. ``refused`` were tried before it; ``problem`` is the secret's.
    """

    needed: bool = True
    reference: str = ""
    server: str = ""
    refused: tuple[tuple[str, Problem], ...] = ()
    problem: Problem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinContext:
    """``name`` is as the admin writes it. ``device`` is the host's own in the tailnet, as others see it.

    ``version`` is the API server's. ``cluster_ca`` is the PEM that this workstation trusts, "" for the
    system's CAs. ``has_password``: K3s keeps a node password for this name, None: it could not be read.
    ``can_control``: the plan may change the device by the control API. ``token`` None: it was not tried.
    """

    name: str
    role: Role = Role.AGENT
    first_server: bool = False
    public_address: str = ""
    rules: Rules = field(default_factory=Rules)
    nodes: tuple[Node, ...] = ()
    devices: tuple[TailnetDevice, ...] = ()
    device: TailnetDevice | None = None
    version: str = ""
    cluster_ca: str = ""
    has_password: bool | None = None
    can_control: bool = False
    api_host: str = "api.axiom.technat.ch"
    api_port: int = 6443
    distribution: str = "ubuntu"
    release: str = "22.04"
    server_flags: tuple[str, ...] = ()
    install_sha256: str = ""
    token: TokenSource | None = None

    @property
    def node_name(self) -> str:
        """As K3s will call the node."""
        return fold(self.name)

    @property
    def servers(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.is_server)

    @property
    def api(self) -> str:
        return f"{self.api_host}:{self.api_port}"


def has_device(facts: HostFacts, context: JoinContext) -> bool:
    """Whether the host is a device of the tailnet at all; else nothing can be said of its settings there."""
    known = context.device is not None or bool(facts.tailscale.id)
    return known or facts.tailscale.backend == "Running"


def awaits_approval(facts: HostFacts, context: JoinContext) -> bool:
    """Whether the plan lets the device into the tailnet first: until then the host reaches nothing there."""
    return context.can_control and facts.tailscale.backend == "NeedsMachineAuth"


def after_approval(rule: str, what: str) -> Check:
    return warned(rule, f"{what} can only be tried once the device is approved; the plan does that first.")


def passed(rule: str, sentence: str) -> Check:
    return Check(rule, CheckState.PASS, sentence)


def warned(rule: str, sentence: str, remedy: str = "") -> Check:
    return Check(rule, CheckState.WARN, sentence, remedy)


def failed(rule: str, sentence: str, remedy: str, *, overridable: bool = True) -> Check:
    return Check(rule, CheckState.FAIL, sentence, remedy, overridable)
