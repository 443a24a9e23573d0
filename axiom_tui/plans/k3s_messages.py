"""What K3s says in its journal when a node cannot join, said so that one knows what to do.

K3s does not stop at these: it tries again every few seconds, for ever (facts: k3s-and-backups.md, 1.2). The
texts are those of K3s' ``pkg/clientaccess``, ``pkg/agent/config``, ``pkg/nodepassword`` and ``pkg/cluster``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from axiom_tui.model.problem import Problem, ProblemKind
from axiom_tui.plans.join_choice import JoinSpec


@dataclass(frozen=True, slots=True)
class Known:
    """A known message. ``lasting``: trying again will not help; others may pass by themselves."""

    name: str
    pattern: re.Pattern[str]
    kind: ProblemKind
    sentence: Callable[[JoinSpec], str]
    remedy: Callable[[JoinSpec], str]
    lasting: bool = True


@dataclass(frozen=True, slots=True)
class Translation:
    """What a line of the journal means."""

    name: str
    problem: Problem
    lasting: bool


def _known(
    name: str,
    pattern: str,
    kind: ProblemKind,
    sentence: Callable[[JoinSpec], str],
    remedy: Callable[[JoinSpec], str],
    *,
    lasting: bool = True,
) -> Known:
    return Known(name, re.compile(pattern, re.IGNORECASE), kind, sentence, remedy, lasting)


#: The first that fits counts: the more exact ones stand first.
KNOWN: tuple[Known, ...] = (
    _known(
        "duplicate-name",
        r"node password rejected|duplicate hostname|node-passwd entry",
        ProblemKind.INVALID,
        lambda spec: f"K3s rejects the name {spec.name}: another host had it before (node password).",
        lambda spec: (
            f"`kubectl delete node {spec.node}` and `kubectl -n kube-system delete secret "
            f"{spec.node}.node-password.k3s` if that host is gone, then resume; else undo and choose another."
        ),
    ),
    _known(
        "duplicate-member",
        r"duplicate node name found",
        ProblemKind.INVALID,
        lambda spec: f"etcd has a member of the name {spec.name} already.",
        lambda spec: (
            f"If that server is gone, `kubectl delete node {spec.node}` removes its member; "
            "else undo and take another name."
        ),
    ),
    _known(
        "ca-mismatch",
        r"token CA hash does not match|CA hash .*does not match",
        ProblemKind.UNTRUSTED,
        lambda spec: f"The token belongs to another cluster than the one at {spec.api_url}: the CA differs.",
        lambda spec: f"See where {spec.api_host} leads from the host, and that the token is of this cluster.",
    ),
    _known(
        "time-skew",
        r"certificate (has expired or )?is not yet valid|x509: certificate has expired",
        ProblemKind.UNTRUSTED,
        lambda spec: "A certificate is not valid at the time that the host's clock shows: the clocks differ.",
        lambda spec: "`timedatectl` on the host and on the servers; set the clock, then resume.",
    ),
    _known(
        "ca-untrusted",
        r"CA cert validation failed|x509: certificate signed by unknown authority",
        ProblemKind.UNTRUSTED,
        lambda spec: f"What answers at {spec.api_url} does not have a certificate of the cluster's CA.",
        lambda spec: (
            "See where that name leads from the host: a proxy or another cluster may answer. "
            "Data of an earlier K3s on the host has the same effect."
        ),
    ),
    _known(
        "wrong-token",
        r"\b401 Unauthorized\b|not authorized|invalid token|token must not be empty|unable to authenticate",
        ProblemKind.UNAUTHENTICATED,
        lambda spec: "The cluster does not accept the join token: it is wrong, or it has expired.",
        lambda spec: "Resume: a new token is made. If one from the settings is used (join.token), renew it.",
    ),
    _known(
        "token-file",
        r"timed out waiting for .*token|failed to (read|open) .*token",
        ProblemKind.MISSING,
        lambda spec: "K3s cannot read its join token on the host.",
        lambda spec: "Resume: the token is written anew.",
    ),
    _known(
        "flags-differ",
        r"critical configuration (value )?mismatch(ed)?",
        ProblemKind.INVALID,
        lambda spec: "Flags of this server differ from those of the others, and K3s refuses that.",
        lambda spec: "Undo, set join.server_flags to what the other servers have, and join again.",
    ),
    _known(
        "bootstrap-data",
        r"bootstrap data already found and encrypted with different token",
        ProblemKind.UNAUTHENTICATED,
        lambda spec: "The token does not open the cluster's own keys in etcd: it is not its server token.",
        lambda spec: "Use the server token of this cluster (/var/lib/rancher/k3s/server/token on a server).",
    ),
    _known(
        "port-taken",
        r"address already in use",
        ProblemKind.INVALID,
        lambda spec: "A port that K3s needs is taken on the host.",
        lambda spec: "`sudo ss -lntup` on the host shows by whom; stop it, then resume.",
    ),
    _known(
        "no-cgroups",
        r"failed to find (cpu|memory|pids) cgroup",
        ProblemKind.INVALID,
        lambda spec: "The kernel of the host lacks a cgroup controller that K3s needs.",
        lambda spec: "On a Raspberry Pi add `cgroup_memory=1 cgroup_enable=memory` to cmdline.txt; reboot.",
    ),
    _known(
        "newer-than-server",
        r"(agent|kubelet|server) version .*(newer|skew|not supported)",
        ProblemKind.INVALID,
        lambda spec: f"K3s {spec.version} does not fit to the version of the servers.",
        lambda spec: "Undo, and join with the version that the servers run.",
    ),
    _known(
        "name-unresolved",
        r"no such host|server misbehaving|temporary failure in name resolution",
        ProblemKind.UNRESOLVED,
        lambda spec: f"The host cannot resolve {spec.api_host}.",
        lambda spec: "Check the DNS of the host (`resolvectl status`) and the A records of that name.",
        lasting=False,
    ),
    _known(
        "api-unreachable",
        r"failed to get CA certs|connection refused|i/o timeout|no route to host|"
        r"context deadline exceeded|TLS handshake timeout|network is unreachable",
        ProblemKind.UNREACHABLE,
        lambda spec: f"The host does not reach {spec.api_url}.",
        lambda spec: (
            "Check that a server is up, where the name leads, and whether the tailnet's policy lets "
            "this device (by its tags) reach the servers."
        ),
        lasting=False,
    ),
)

#: A line of K3s that is worth showing as it is: an error or a fatal one.
_GRAVE = re.compile(r"level=(error|fatal)|^[EF][0-9]{4} ")


def translate(line: str, spec: JoinSpec) -> Translation | None:
    """What the line means; None for one that is not known. The line itself goes into the sentence's end."""
    for known in KNOWN:
        if known.pattern.search(line):
            problem = Problem(known.kind, known.sentence(spec), known.remedy(spec))
            return Translation(known.name, problem, known.lasting)
    return None


def is_grave(line: str) -> bool:
    """Whether K3s itself calls the line an error."""
    return _GRAVE.search(line) is not None


def said(line: str) -> str:
    """The message in a line of logrus (``time=... level=error msg="..."``), or the line itself."""
    match = re.search(r'msg="((?:[^"\\]|\\.)*)"', line)
    return match[1].replace('\\"', '"') if match else line.strip()
