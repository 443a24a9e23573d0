"""The files of a join: what K3s will read in them, and that nothing secret stands there."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.model.naming import Role
from axiom_tui.plans.join_choice import By, JoinSpec, TokenFrom
from axiom_tui.plans.join_files import (
    TOKEN_PATH,
    config_of,
    config_text,
    flags_as_config,
    modules_text,
    sysctl_text,
)
from tests.plans.joins import AGENT, FIRST, SERVER


def test_the_configuration_of_an_agent() -> None:
    assert yaml.safe_load(config_text(AGENT)) == {
        "server": "https://api.axiom.technat.ch:6443",
        "token-file": TOKEN_PATH,
        "node-name": "wall-a-10",
        "node-ip": "100.64.0.20",
        "node-external-ip": "116.203.77.20",
        "node-label+": [
            "svccontroller.k3s.cattle.io/enablelb=true",
            "svccontroller.k3s.cattle.io/lbpool=external",
        ],
    }


def test_a_node_without_a_public_address_and_pool_has_neither() -> None:
    found = yaml.safe_load(config_text(replace(AGENT, public_ip="", pool="")))
    assert "node-external-ip" not in found
    assert "node-label+" not in found


def test_the_configuration_of_a_further_server() -> None:
    assert yaml.safe_load(config_text(SERVER)) == {
        "disable": ["traefik"],
        "disable-kube-proxy": True,
        "disable-network-policy": True,
        "flannel-backend": "none",
        "secrets-encryption": True,
        "server": "https://api.axiom.technat.ch:6443",
        "token-file": TOKEN_PATH,
        "node-name": "m-o-4",
        "node-ip": "100.64.0.20",
        "advertise-address": "100.64.0.20",
        "tls-san": ["api.axiom.technat.ch"],
        "servicelb-namespace": "servicelb",
    }


def test_the_first_server_founds_a_cluster_and_joins_none() -> None:
    found = yaml.safe_load(config_text(FIRST))
    assert found["cluster-init"] is True
    assert "server" not in found
    assert "token-file" not in found


def test_a_setting_does_not_win_over_what_is_computed() -> None:
    flags = ("--node-ip=10.0.0.1", "--server=https://elsewhere:6443", "--tls-san=other.example")
    found = config_of(replace(SERVER, flags=flags))
    assert found["node-ip"] == "100.64.0.20"
    assert found["server"] == "https://api.axiom.technat.ch:6443"
    assert found["tls-san"] == ("api.axiom.technat.ch", "other.example")


def test_flags_become_keys_as_k3s_reads_them() -> None:
    assert flags_as_config(
        (
            "--disable=traefik",
            "--disable=servicelb",
            "--secrets-encryption",
            "--embedded-registry=false",
            "--x=",
        )
    ) == {
        "disable": ("traefik", "servicelb"),
        "secrets-encryption": True,
        "embedded-registry": False,
        "x": "",
    }


values = st.text(st.characters(codec="utf-8"), max_size=20)


@given(values, values, values)
def test_any_text_comes_back_from_yaml(public: str, pool: str, host: str) -> None:
    spec = replace(AGENT, public_ip=public, api_host=host, flags=(f"--kubelet-arg={pool}",))
    found = yaml.safe_load(config_text(spec))
    assert found.get("node-external-ip", "") == public
    assert found["server"] == f"https://{host}:6443"
    assert found["kubelet-arg"] == [pool]


def test_kernel_files() -> None:
    modules = [line for line in modules_text(("overlay", "br_netfilter")).splitlines() if line[0] != "#"]
    assert modules == ["overlay", "br_netfilter"]
    settings = [line for line in sysctl_text(("net.ipv4.ip_forward",)).splitlines() if line[0] != "#"]
    assert settings == ["net.ipv4.ip_forward = 1"]


specs = st.builds(
    JoinSpec,
    **{
        item.name: {
            "str": values,
            "bool": st.booleans(),
            "int": st.integers(1, 65535),
            "float": st.floats(0, 1e6),
            "tuple[str, ...]": st.lists(values, max_size=3).map(tuple),
            "By": st.sampled_from(list(By)),
            "Role": st.sampled_from(list(Role)),
        }[str(item.type)]
        for item in fields(JoinSpec)
    },
)


@given(specs)
def test_what_was_decided_survives_the_journal(spec: JoinSpec) -> None:
    written = json.loads(json.dumps(spec.choices()))
    assert JoinSpec.of(written) == spec


@pytest.mark.parametrize("broken", [{}, {"role": "king"}, None])
def test_a_journal_that_tells_of_no_join_is_refused(broken: dict[str, str] | None) -> None:
    choices = AGENT.choices()
    if broken is None:
        del choices["token"]
    elif broken:
        choices.update(broken)
    else:
        choices.clear()
    with pytest.raises((KeyError, ValueError, TypeError)):
        JoinSpec.of(choices)


def test_the_kinds_of_tokens_are_told_apart_after_the_journal() -> None:
    for token in (*TokenFrom, "file:/run/token"):
        again = JoinSpec.of(json.loads(json.dumps(replace(AGENT, token=token).choices())))
        assert again.token == token
