"""The preflight rules: a table of what is wrong with a host and which rule says so."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replaced

from axiom_tui.model.checks import Check, CheckState, standing_fails
from axiom_tui.model.host import (
    Answer,
    HostFacts,
    Interface,
    K3sState,
    Listener,
    ProviderView,
    ServerPath,
    TailscaleState,
    Volume,
)
from axiom_tui.model.host_decoder import decode_facts
from axiom_tui.model.naming import Role
from axiom_tui.model.preflight import RULES, JoinContext, preflight
from axiom_tui.model.preflight_context import TokenSource
from axiom_tui.model.preflight_servers import read_flags
from axiom_tui.model.problem import Problem, ProblemKind
from axiom_tui.model.tailnet import PathKind
from tests.model.hosts import (
    CONTEXT,
    DEVICE,
    GOOD,
    NOON,
    OTHER_CA,
    SERVER_CONTEXT,
    SERVERS,
    STALE,
    agent,
    server,
)

NO_FILE = Problem(ProblemKind.MISSING, "no such file.", "Make it.")
PASS, WARN, FAIL = CheckState.PASS, CheckState.WARN, CheckState.FAIL


def judged(facts: HostFacts = GOOD, context: JoinContext = CONTEXT) -> dict[str, Check]:
    found = preflight(facts, context)
    by_rule = {check.rule: check for check in found}
    assert len(by_rule) == len(found)
    return by_rule


def test_a_host_in_order_passes_every_rule() -> None:
    found = judged()
    assert {rule: check.sentence for rule, check in found.items() if check.state is not PASS} == {}
    assert set(found) == {rule.name for rule in RULES if not rule.servers_only}


def test_a_server_in_order_passes_every_rule_but_that_of_the_even_number() -> None:
    found = judged(GOOD, SERVER_CONTEXT)
    assert {rule for rule, check in found.items() if check.state is not PASS} == {
        "etcd-latency",  # 12 ms
        "quorum",
    }
    assert set(found) == {rule.name for rule in RULES}
    assert "3 members now (1 may fail); 4 members afterwards, 3 of which must be up (1 may fail)" in (
        found["quorum"].sentence
    )


FACTS: list[tuple[str, CheckState, str, dict[str, object]]] = [
    # rule, state, a word of the sentence, what is otherwise than in GOOD
    ("facts", FAIL, "cut", {"whole": False}),
    ("sudo", FAIL, "not root", {"is_root": False, "sudo_path": ""}),
    (
        "sudo",
        FAIL,
        "is wrong",
        {"is_root": False, "no_root": Problem(ProblemKind.UNAUTHENTICATED, "The password is wrong.")},
    ),
    ("secure-path", WARN, "/usr/local/bin", {"sudo_path": "/usr/sbin:/usr/bin"}),
    ("programs", FAIL, "curl", {"commands": tuple(item for item in GOOD.commands if item != "curl")}),
    ("architecture", FAIL, "riscv64", {"machine": "riscv64"}),
    ("architecture", PASS, "arm64", {"machine": "aarch64"}),
    ("distribution", WARN, "Debian", {"os_id": "debian", "os_version": "12", "os_name": "Debian 12"}),
    ("distribution", WARN, "24.04", {"os_version": "24.04", "os_name": "Ubuntu 24.04"}),
    ("distribution", FAIL, "older", {"os_version": "18.04", "os_name": "Ubuntu 18.04"}),
    ("distribution", WARN, "unknown", {"os_id": "", "os_version": "", "os_name": ""}),
    ("kernel", WARN, "Cilium", {"kernel": "5.4.0-42-generic"}),
    ("kernel", FAIL, "4.19", {"kernel": "3.10.0-1160.el7"}),
    ("kernel", FAIL, "unknown", {"kernel": ""}),
    ("modules", FAIL, "overlay", {"modules": (), "missing_modules": ("overlay",)}),
    ("modules", PASS, "overlay", {"modules": ("overlay",), "missing_modules": ("overlay",)}),
    ("cgroups", FAIL, "memory", {"cgroup_controllers": ("cpu", "pids")}),
    ("cgroups", FAIL, "pids", {"cgroup_controllers": ()}),
    ("cpu", FAIL, "could not", {"cpus": 0}),
    ("memory", WARN, "little", {"memory": 512 << 20}),
    ("memory", FAIL, "needs", {"memory": 256 << 20}),
    ("swap", WARN, "1.0 GiB", {"swap": 1 << 30}),
    ("disk", WARN, "soon", {"volumes": (Volume("/", 20 << 30, 5 << 30),)}),
    ("disk", FAIL, "do not fit", {"volumes": (Volume("/", 20 << 30, 1 << 30),)}),
    ("disk", WARN, "could not", {"volumes": ()}),
    (
        "disk",
        FAIL,
        "on /var",
        {"volumes": (Volume("/", 80 << 30, 60 << 30), Volume("/var", 5 << 30, 1 << 30))},
    ),
    ("public-address", PASS, "on the host; K3s", {"provider": ProviderView()}),
    (
        "public-address",
        WARN,
        "no answer in time",
        {"provider": ProviderView("Hetzner", "", "no answer in time")},
    ),
    ("public-address", WARN, "Hetzner names no public", {"provider": ProviderView("Hetzner")}),
    ("public-address", PASS, "names no floating", {"provider": ProviderView("OpenStack")}),
    ("public-address", WARN, "names 116.203.1.1", {"provider": ProviderView("Hetzner", "116.203.1.1")}),
    (
        "public-address",
        WARN,
        "on no interface of the host, but OpenStack names it",
        {
            "provider": ProviderView("OpenStack", "116.203.77.20"),
            "interfaces": (Interface("eth0", 1500, ("10.1.0.4",)),),
        },
    ),
    (
        "public-address",
        WARN,
        "the host has none; OpenStack gives no answer: HTTP status 500",
        {
            "provider": ProviderView("OpenStack", "", "HTTP status 500"),
            "interfaces": (Interface("eth0", 1500, ("10.1.0.4",)),),
        },
    ),
    ("inodes", FAIL, "Only 100 inodes", {"volumes": (Volume("/", 80 << 30, 60 << 30, 1000, 100),)}),
    ("inodes", WARN, "need many", {"volumes": (Volume("/", 80 << 30, 60 << 30, 10**6, 100_000),)}),
    (
        "clock",
        FAIL,
        "31 s ahead",
        {"api_ping": Answer(200, "pong", date=NOON, here=NOON + timedelta(seconds=31))},
    ),
    ("clock", FAIL, "behind", {"api_ping": Answer(200, "pong", date=NOON, here=NOON - timedelta(hours=2))}),
    ("clock", PASS, "29 s", {"api_ping": Answer(200, "pong", date=NOON, here=NOON - timedelta(seconds=29))}),
    ("clock", WARN, "drift", {"clock_synchronized": False}),
    ("clock", WARN, "could not be compared", {"api_ping": Answer(error="timed out")}),
    ("firewall", FAIL, "ufw", {"ufw": "active"}),
    ("firewall", FAIL, "firewalld", {"firewalld": "active"}),
    ("firewall", PASS, "Neither", {"ufw": "inactive"}),
    ("ports", FAIL, "10250/tcp by kubelet", {"listeners": (Listener("tcp", "*", 10250, "kubelet"),)}),
    ("ports", FAIL, "8472/udp", {"listeners": (Listener("udp", "0.0.0.0", 8472),)}),
    ("ports", WARN, "80/tcp by nginx", {"listeners": (Listener("tcp", "0.0.0.0", 80, "nginx"),)}),
    ("ports", PASS, "free", {"listeners": (Listener("tcp", "0.0.0.0", 6443, "haproxy"),)}),
    ("mtu", WARN, "1300", {"interfaces": (Interface("eth0", 1300),)}),
    ("mtu", WARN, "could not", {"default_routes": ()}),
    ("tailscale", FAIL, "not installed", {"tailscale": TailscaleState()}),
    ("tailscale", FAIL, "logged out", {"tailscale": replace(GOOD.tailscale, backend="NeedsLogin")}),
    ("tailscale", FAIL, "does not answer", {"tailscale": TailscaleState(installed=True)}),
    ("tailscale-version", WARN, "old", {"tailscale": replace(GOOD.tailscale, version="1.50.1")}),
    (
        "tailnet-address",
        FAIL,
        "no IPv4",
        {"tailscale": replace(GOOD.tailscale, addresses=()), "interfaces": GOOD.interfaces[:1]},
    ),
    (
        "tailnet-address",
        FAIL,
        "another one",
        {"tailscale": replace(GOOD.tailscale, addresses=("100.64.0.99",))},
    ),
    ("path", FAIL, "No server answers", {"server_paths": (ServerPath("100.64.0.1"),)}),
    (
        "path",
        WARN,
        "through a relay",
        {"server_paths": (ServerPath("100.64.0.1", PathKind.DERP, "fra", 31.0),)},
    ),
    (
        "path",
        WARN,
        "no answer from M-O-2",
        {"server_paths": (*GOOD.server_paths, ServerPath("100.64.0.2"))},
    ),
    ("path", WARN, "not tried", {"server_paths": ()}),
    ("api-name", FAIL, "cannot resolve", {"api_addresses": ()}),
    ("api-name", WARN, "public address", {"api_addresses": ("195.15.1.1",)}),
    ("api", FAIL, "refused", {"api_ping": Answer(error="Connection refused")}),
    ("api", FAIL, "no K3s", {"api_ping": Answer(404, "not found")}),
    ("api-ca", FAIL, "not the cluster's", {"api_ca": Answer(200, OTHER_CA)}),
    ("api-ca", FAIL, "no certificate", {"api_ca": Answer(200, "hello")}),
    ("k3s", PASS, "does not run", {"k3s": K3sState(version=CONTEXT.version)}),
    ("k3s", WARN, "replaces", {"k3s": K3sState(version="v1.30.1+k3s1")}),
    (
        "k3s",
        FAIL,
        "another cluster",
        {"k3s": K3sState(units=(("k3s-agent", "active"),), urls=("https://10.0.0.1:6443",))},
    ),
    (
        "k3s",
        WARN,
        "already",
        {"k3s": K3sState(units=(("k3s-agent", "active"),), urls=(f"https://{CONTEXT.api}",))},
    ),
    ("leftovers", FAIL, "/var/lib/rancher/k3s/agent", {"k3s": STALE}),
    ("leftovers", WARN, "config.yaml", {"k3s": K3sState(found=("/etc/rancher/k3s/config.yaml",))}),
    ("leftovers", WARN, "cilium_host", {"k3s": K3sState(found=("/sys/class/net/cilium_host",))}),
    ("leftovers", WARN, "node password", {"k3s": K3sState(found=("/etc/rancher/node/password",))}),
    ("install-script", FAIL, "was changed", {"install_script_sha256": "b" * 64}),
    (
        "install-script",
        FAIL,
        "Could not resolve",
        {"install_script_sha256": "", "install_script": Answer(error="Could not resolve host: get.k3s.io")},
    ),
    ("release", FAIL, "no release", {"release": Answer(404)}),
    ("release", FAIL, "timed out", {"release": Answer(error="timed out")}),
    (
        "release",
        FAIL,
        "does not reach",
        {"release": Answer(error="no route"), "interfaces": (Interface("eth0", 1500, ("2a01:4f8::1",)),)},
    ),
]


@pytest.mark.parametrize(("rule", "state", "word", "otherwise"), FACTS)
def test_facts_are_judged(rule: str, state: CheckState, word: str, otherwise: dict[str, object]) -> None:
    check = judged(replace(GOOD, **otherwise))[rule]  # type: ignore[arg-type]
    assert (check.state, word in check.sentence) == (state, True), check.sentence


AROUND: list[tuple[str, CheckState, str, dict[str, object]]] = [
    ("name", FAIL, "cannot be", {"name": "WALL_A_10"}),
    ("name", FAIL, "too many", {"name": "W" * 64}),
    ("name", WARN, "outside", {"name": "worker-1"}),
    ("name", WARN, "a name for a server", {"name": "M-O-4"}),
    ("name-free", FAIL, "already a node", {"name": "WALL-A-9"}),
    ("name-free", FAIL, "already a node", {"name": "wall-a-9"}),
    ("name-free", WARN, "below the highest", {"name": "WALL-A-6"}),
    ("name-free", FAIL, "node password", {"has_password": True}),
    ("name-free", PASS, "could not be looked for", {"has_password": None}),
    (
        "name-free",
        FAIL,
        "another device",
        {"devices": (DEVICE, replaced(DEVICE, id="nOther", name="wall-a-10", addresses=("100.64.0.21",)))},
    ),
    (
        "name-free",
        WARN,
        "this host already",
        {"nodes": (*SERVERS, agent(10, "100.64.0.20"))},
    ),
    ("join-token", PASS, "M-O-1 gives", {}),
    ("join-token", PASS, "no token is needed", {"token": TokenSource(needed=False)}),
    ("join-token", PASS, "file:/t", {"token": TokenSource(reference="file:/t")}),
    ("join-token", FAIL, "no such file", {"token": TokenSource(reference="file:/t", problem=NO_FILE)}),
    ("join-token", FAIL, "There is no server", {"token": TokenSource()}),
    (
        "join-token",
        WARN,
        "M-O-2 gives the join token; M-O-1 can't (no such file)",
        {"token": TokenSource(server="100.64.0.2", refused=(("100.64.0.1", NO_FILE),))},
    ),
    (
        "join-token",
        FAIL,
        "No server gives a join token: M-O-1 can't (no such file); 10.0.0.9 can't",
        {"token": TokenSource(refused=(("100.64.0.1", NO_FILE), ("10.0.0.9", NO_FILE)))},
    ),
    ("public-address", FAIL, "no public address", {"public_address": "100.64.0.20"}),
    ("public-address", FAIL, "no public address", {"public_address": "10.0.0.1"}),
    ("public-address", FAIL, "no public address", {"public_address": "nonsense"}),
    ("public-address", WARN, "no interface", {"public_address": "116.203.77.99"}),
    ("public-address", WARN, "it will be internal", {"public_address": ""}),
    ("approved", WARN, "control API", {"device": replaced(DEVICE, authorized=False)}),
    ("approved", PASS, "plan approves", {"device": replaced(DEVICE, authorized=False), "can_control": True}),
    ("tags", WARN, "tag:info-compute-plane", {"device": replaced(DEVICE, tags=("tag:acl-axiom",))}),
    ("tags", PASS, "plan adds", {"device": replaced(DEVICE, tags=()), "can_control": True}),
    ("key-expiry", WARN, "control API", {"device": replaced(DEVICE, key_expiry_disabled=False)}),
    (
        "key-expiry",
        PASS,
        "plan disables",
        {"device": replaced(DEVICE, key_expiry_disabled=False), "can_control": True},
    ),
    ("key-expiry", FAIL, "expired", {"device": replaced(DEVICE, expired=True)}),
    ("api-ca", WARN, "could not be compared", {"cluster_ca": ""}),
    ("version", FAIL, "no release of K3s", {"version": "v1.33.4"}),
    ("version", FAIL, "not known", {"version": ""}),
    ("install-script", WARN, "exactly that one", {"install_sha256": ""}),
]


@pytest.mark.parametrize(("rule", "state", "word", "otherwise"), AROUND)
def test_what_is_around_is_judged(
    rule: str, state: CheckState, word: str, otherwise: dict[str, object]
) -> None:
    check = judged(GOOD, replace(CONTEXT, **otherwise))[rule]  # type: ignore[arg-type]
    assert (check.state, word in check.sentence) == (state, True), check.sentence


def args(*flags: str) -> dict[str, str]:
    return {"k3s.io/node-args": json.dumps(["server", *flags])}


SERVERS_TABLE: list[tuple[str, CheckState, str, dict[str, object], dict[str, object]]] = [
    ("quorum", WARN, "2 members afterwards, 2 of which", {"nodes": SERVERS[:1]}, {}),
    ("quorum", PASS, "3 members afterwards", {"nodes": SERVERS[:2]}, {}),
    ("members", FAIL, "M-O-2", {"nodes": (SERVERS[0], server(2, ready=False), SERVERS[2])}, {}),
    ("members", FAIL, "M-O-3", {"nodes": (*SERVERS[:2], server(3, voter="False"))}, {}),
    (
        "server-versions",
        FAIL,
        "M-O-2 v1.32",
        {"nodes": (SERVERS[0], server(2, kubelet_version="v1.32.1+k3s1"))},
        {},
    ),
    ("server-flags", WARN, "could not be read", {"nodes": (server(1),)}, {}),
    (
        "server-flags",
        FAIL,
        "--secrets-encryption is not set on m-o-1, and would be true",
        {"nodes": (server(1, annotations=args("--disable=traefik", "--flannel-backend=none")),)},
        {},
    ),
    (
        "server-flags",
        WARN,
        "--disable is servicelb,traefik",
        {
            "nodes": (
                server(
                    1,
                    annotations=args(
                        "--disable=traefik,servicelb",
                        "--flannel-backend=none",
                        "--secrets-encryption",
                        "--tls-san=api.example",
                    ),
                ),
            )
        },
        {},
    ),
    (
        "etcd-latency",
        PASS,
        "at most 3 ms",
        {},
        {"server_paths": (ServerPath("100.64.0.1", PathKind.DIRECT, "", 3.0),)},
    ),
    (
        "etcd-latency",
        FAIL,
        "heartbeat",
        {},
        {"server_paths": (ServerPath("100.64.0.1", PathKind.DIRECT, "", 180.0),)},
    ),
    ("etcd-latency", WARN, "not measured", {}, {"server_paths": ()}),
    (
        "etcd-latency",
        WARN,
        "it stands in home, others in hetzner",
        {
            "device": replaced(DEVICE, tags=("tag:info-home",)),
            "devices": (replaced(DEVICE, id="n1", addresses=("100.64.0.1",)),),
        },
        {"server_paths": (ServerPath("100.64.0.1", PathKind.DIRECT, "", 3.0),)},
    ),
    ("memory", FAIL, "server", {}, {"memory": 1 << 30}),
    ("ports", FAIL, "6443", {}, {"listeners": (Listener("tcp", "*", 6443, "haproxy"),)}),
    ("leftovers", FAIL, "server/db", {}, {"k3s": K3sState(found=("/var/lib/rancher/k3s/server/db",))}),
]


@pytest.mark.parametrize(("rule", "state", "word", "around", "otherwise"), SERVERS_TABLE)
def test_servers_are_judged(
    rule: str, state: CheckState, word: str, around: dict[str, object], otherwise: dict[str, object]
) -> None:
    facts = replace(GOOD, **otherwise)  # type: ignore[arg-type]
    check = judged(facts, replace(SERVER_CONTEXT, **around))[rule]  # type: ignore[arg-type]
    assert (check.state, word in check.sentence) == (state, True), check.sentence


def test_every_rule_can_say_no() -> None:
    """A rule that never fails nor warns would be no rule."""
    tables = {row[0] for table in (FACTS, AROUND) for row in table if row[1] is not PASS}
    tables |= {row[0] for row in SERVERS_TABLE if row[1] is not PASS}
    assert tables | {"tailscale-ssh"} == {rule.name for rule in RULES}


def test_a_device_that_the_plan_approves_first_need_not_reach_anything_yet() -> None:
    waiting = replace(
        GOOD,
        tailscale=replace(GOOD.tailscale, backend="NeedsMachineAuth"),
        api_ping=Answer(error="timed out"),
        api_ca=Answer(error="timed out"),
        api_addresses=(),
        server_paths=(ServerPath("100.64.0.1"),),
    )
    by_api = judged(waiting, replace(CONTEXT, can_control=True))
    assert not [check for check in by_api.values() if check.state is FAIL]
    by_hand = judged(waiting)
    assert {rule for rule, check in by_hand.items() if check.state is FAIL} == {
        "tailscale",
        "path",
        "api-name",
        "api",
    }


def test_without_tailscale_ssh_nobody_gets_in_once_sshd_is_masked() -> None:
    off = replace(GOOD, tailscale=replace(GOOD.tailscale, runs_ssh=False))
    check = judged(off, replace(CONTEXT, device=replaced(DEVICE, ssh_host_keys=())))["tailscale-ssh"]
    assert check.state is WARN


def test_what_cannot_work_cannot_be_overridden() -> None:
    for broken in (
        judged(replace(GOOD, is_root=False))["sudo"],
        judged(replace(GOOD, install_script_sha256="b" * 64))["install-script"],
        judged(GOOD, replace(CONTEXT, version=""))["version"],
        judged(GOOD, replace(CONTEXT, name="-"))["name"],
        judged(GOOD, replace(CONTEXT, name="WALL-A-9"))["name-free"],
        judged(GOOD, replace(CONTEXT, has_password=True))["name-free"],
        judged(replace(GOOD, api_ca=Answer(200, OTHER_CA)))["api-ca"],
        judged(replace(GOOD, machine="riscv64"))["architecture"],
        judged(replace(GOOD, release=Answer(status=404)))["release"],
    ):
        assert standing_fails((broken,), (broken.rule,)) == (broken,)


def test_the_first_server_is_not_asked_for_a_cluster() -> None:
    context = replace(SERVER_CONTEXT, first_server=True, nodes=(), name="M-O-1", version="v1.33.4+k3s1")
    found = judged(replace(GOOD, api_addresses=(), api_ping=Answer(error="refused")), context)
    assert "quorum" not in found
    assert "api" not in found
    assert found["api-name"].state is WARN
    assert not [check for check in found.values() if check.state is FAIL]


@given(st.binary(max_size=2000), st.sampled_from(list(Role)), st.booleans())
def test_whatever_a_host_says_every_rule_has_a_sentence(output: bytes, role: Role, first: bool) -> None:
    context = replace(CONTEXT, role=role, first_server=first)
    for check in preflight(decode_facts(output), context):
        assert check.sentence.endswith("."), check
        if check.state is FAIL:
            assert check.remedy, check


@given(st.data())
def test_any_part_of_the_facts_may_be_missing(data: st.DataObject) -> None:
    empty = HostFacts()
    chosen = data.draw(st.sets(st.sampled_from([item.name for item in fields(HostFacts)])))
    facts = replace(GOOD, **{name: getattr(empty, name) for name in chosen})
    for check in preflight(facts, SERVER_CONTEXT):
        assert check.sentence


@given(st.lists(st.text(max_size=30), max_size=10))
def test_any_arguments_are_read_as_flags(arguments: list[str]) -> None:
    for name, values in read_flags(arguments).items():
        assert isinstance(name, str)
        assert values == tuple(sorted(set(values)))


def test_flags_are_read_in_both_ways_of_writing() -> None:
    assert read_flags(["server", "--a", "1", "--b=2,3", "--c", "--d", "x", "--b", "4"]) == {
        "a": ("1",),
        "b": ("2", "3", "4"),
        "c": ("true",),
        "d": ("x",),
    }


@pytest.mark.parametrize(
    ("own", "named", "proposed"),
    [
        (("116.203.77.20",), "116.203.77.20", "116.203.77.20"),
        (("116.203.77.20",), "", "116.203.77.20"),
        # The provider brings the packets of what it names here; any other may be moved away.
        (("116.203.77.20",), "116.203.1.1", "116.203.1.1"),
        (("116.203.1.1", "116.203.77.20"), "116.203.77.20", "116.203.77.20"),
        (("10.1.0.4",), "195.15.2.3", "195.15.2.3"),
        (("10.1.0.4", "2a01:4f8::1"), "", ""),
        ((), "", ""),
    ],
)
def test_the_public_address_that_is_proposed(own: tuple[str, ...], named: str, proposed: str) -> None:
    facts = replace(
        GOOD, interfaces=(Interface("eth0", 1500, own),), provider=ProviderView("OpenStack", named)
    )
    assert facts.proposed_public_address == proposed


@pytest.mark.parametrize("can_control", [False, True])
@pytest.mark.parametrize("backend", ["", "NeedsLogin"])
def test_nothing_is_said_of_a_device_that_is_not_there(backend: str, can_control: bool) -> None:
    facts = replace(
        GOOD,
        tailscale=TailscaleState(installed=bool(backend), backend=backend),
        interfaces=GOOD.interfaces[:1],
        server_paths=(ServerPath("100.64.0.1"),),
    )
    found = judged(facts, replace(CONTEXT, device=None, devices=(), can_control=can_control))
    assert {rule for rule, check in found.items() if check.state is FAIL} == {"tailscale", "tailnet-address"}
    assert not {"approved", "tags", "key-expiry", "tailscale-ssh", "path"} & set(found)


@pytest.mark.parametrize("role", list(Role))
def test_roles_have_their_article(role: Role) -> None:
    # Named as the other role.
    context = replace(CONTEXT, role=role, name="M-O-4" if role is Role.AGENT else "WALL-A-10")
    found = judged(replace(GOOD, memory=600 << 20, cpus=0 if role is Role.AGENT else 1), context)
    said = " ".join(check.sentence for check in found.values())
    assert ("for a server" if role is Role.SERVER else "for an agent") in said
    assert "a agent" not in said
