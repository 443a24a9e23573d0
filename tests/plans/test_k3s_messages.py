"""Known messages of K3s, as its journal says them, and what is made of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.plans.k3s_messages import KNOWN, said, translate
from tests.plans.joins import AGENT

WAITING = "Waiting to retrieve agent configuration; server is not ready: "
#: Lines as K3s writes them, from its sources and from reports of its users.
LINES = [
    (
        "duplicate-name",
        f"{WAITING}Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' "
        "may not match server node-passwd entry, try enabling a unique node name with the --with-node-id "
        "flag",
    ),
    (
        "duplicate-member",
        "etcd join failed: duplicate node name found, please use a unique name for this node",
    ),
    (
        "ca-mismatch",
        f"{WAITING}token CA hash does not match the Cluster CA certificate hash: 1234 != 5678",
    ),
    (
        "time-skew",
        f'{WAITING}CA cert validation failed: Get "https://127.0.0.1:6444/cacerts": tls: failed to verify '
        "certificate: x509: certificate has expired or is not yet valid: current time 2024-01-01T00:00:00Z "
        "is before 2026-05-01T00:00:00Z",
    ),
    (
        "ca-untrusted",
        f'{WAITING}CA cert validation failed: Get "https://127.0.0.1:6444/cacerts": tls: failed to verify '
        "certificate: x509: certificate signed by unknown authority",
    ),
    (
        "wrong-token",
        f"{WAITING}failed to retrieve configuration from server: https://127.0.0.1:6444/v1-k3s/config: 401 "
        "Unauthorized",
    ),
    (
        "wrong-token",
        "preparing server: https://api:6443/v1-k3s/server-bootstrap: 401 Unauthorized",
    ),
    (
        "flags-differ",
        "preparing server: failed to validate server configuration: critical configuration "
        "value mismatch between servers",
    ),
    ("bootstrap-data", "preparing server: bootstrap data already found and encrypted with different token"),
    ("port-taken", "Failed to start: listen tcp 127.0.0.1:6444: bind: address already in use"),
    ("no-cgroups", "failed to find memory cgroup (v2)"),
    (
        "name-unresolved",
        f'{WAITING}failed to get CA certs: Get "https://api.axiom.technat.ch:6443/cacerts": dial tcp: lookup '
        "api.axiom.technat.ch on 127.0.0.53:53: no such host",
    ),
    (
        "api-unreachable",
        f'{WAITING}failed to get CA certs: Get "https://127.0.0.1:6444/cacerts": dial tcp 127.0.0.1:6444: '
        "connect: connection refused",
    ),
    (
        "api-unreachable",
        f'{WAITING}failed to get CA certs: Get "https://127.0.0.1:6444/cacerts": context deadline exceeded '
        "(Client.Timeout exceeded while awaiting headers)",
    ),
]
HARMLESS = [
    "Starting k3s agent v1.33.4+k3s1 (1e9b0a3c)",
    "Adding server to load balancer k3s-agent-load-balancer: api.axiom.technat.ch:6443",
    "Running load balancer k3s-agent-load-balancer 127.0.0.1:6444 -> [100.64.0.1:6443]",
    "Running kubelet --address=0.0.0.0 --authorization-mode=Webhook",
    "Got a certificate for the kubelet",
    "Annotations and labels have been set successfully on node: wall-a-10",
    "Tunnel authorizer set Kubelet Port 0.0.0.0:10250",
]


@pytest.mark.parametrize(("name", "line"), LINES)
def test_known_messages_are_told_by_name(name: str, line: str) -> None:
    for text in (line, f'time="2026-11-22T12:00:00Z" level=error msg="{line}"'):
        found = translate(text, AGENT)
        assert found is not None
        assert found.name == name
        assert found.problem.sentence.endswith(".")
        assert found.problem.remedy


@pytest.mark.parametrize("line", HARMLESS)
def test_what_k3s_says_when_all_is_well_is_no_message(line: str) -> None:
    assert translate(line, AGENT) is None


def test_what_may_pass_by_itself_is_told_apart() -> None:
    lasting = {known.name for known in KNOWN if known.lasting}
    assert {known.name for known in KNOWN} - lasting == {"api-unreachable", "name-unresolved"}


def test_the_tests_know_every_message() -> None:
    untold = {known.name for known in KNOWN} - {name for name, _ in LINES}
    assert untold == {"token-file", "newer-than-server"}


def test_the_message_is_taken_out_of_a_line_of_the_log() -> None:
    line = 'time="2026-11-22T12:00:00Z" level=info msg="Waiting for \\"it\\": now"'
    assert said(line) == 'Waiting for "it": now'
    assert said("plain text") == "plain text"


@given(st.text())
def test_any_line_can_be_read(line: str) -> None:
    translate(line, AGENT)
    said(line)
