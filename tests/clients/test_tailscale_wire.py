"""Decoding what Tailscale's daemon says, whatever it leaves out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.clients.tailscale_wire import decode_ping, decode_status, moment, state_problem
from axiom_tui.model.problem import AxiomError, ProblemKind
from axiom_tui.model.tailnet import PathKind, TailnetDevice

ZERO = "0001-01-01T00:00:00Z"


def peer(**fields: Any) -> dict[str, Any]:
    return {
        "ID": "n1CNTRL",
        "HostName": "WALL-A-3",
        "DNSName": "wall-a-3.crocodile-bee.ts.net.",
        "TailscaleIPs": ["100.64.0.3", "fd7a:115c:a1e0::3"],
        "Relay": "fra",
        "CurAddr": "",
        "PeerRelay": "",
        "LastSeen": ZERO,
        "Online": True,
        "Active": False,
        **fields,
    }


def status(*peers: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps(
        {
            "Version": "1.102.3-t1a2b3c4d5-g6e7f8",
            "BackendState": "Running",
            "Self": peer(ID="n0CNTRL", HostName="laptop", DNSName="laptop.crocodile-bee.ts.net."),
            "Peer": {f"nodekey:{number}": item for number, item in enumerate(peers)},
            "CurrentTailnet": {"Name": "technat.example", "MagicDNSSuffix": "crocodile-bee.ts.net"},
            **fields,
        }
    ).encode()


def only_peer(**fields: Any) -> TailnetDevice:
    return decode_status(status(peer(**fields)), "the test").devices[1]


def test_a_status_is_self_and_the_peers_by_name() -> None:
    peers = [peer(ID=f"n{number}", DNSName=f"wall-a-{number}.x.ts.net.") for number in (10, 2, 1)]
    seen = decode_status(status(*peers, Health=["dns is slow"]), "the test")

    assert [device.name for device in seen.devices] == ["laptop", "wall-a-1", "wall-a-2", "wall-a-10"]
    own = seen.devices[0]
    assert own.path is PathKind.SELF
    assert own.client_version == "1.102.3"
    assert seen.self_state.tailnet == "technat.example"
    assert seen.self_state.suffix == "crocodile-bee.ts.net"
    assert seen.self_state.health == ("dns is slow",)
    assert seen.problem is None


@pytest.mark.parametrize(
    ("fields", "path", "endpoint", "relay"),
    [
        ({"Expired": True, "CurAddr": "198.51.100.7:41641", "Active": True}, PathKind.EXPIRED, "", ""),
        ({"Online": False, "CurAddr": "198.51.100.7:41641"}, PathKind.OFFLINE, "", ""),
        ({"CurAddr": "198.51.100.7:41641", "Active": True}, PathKind.DIRECT, "198.51.100.7:41641", ""),
        ({"CurAddr": "198.51.100.7:41641"}, PathKind.DIRECT, "198.51.100.7:41641", ""),
        (
            {"PeerRelay": "192.0.2.1:7777:vni:5", "Active": True},
            PathKind.PEER_RELAY,
            "",
            "192.0.2.1:7777:vni:5",
        ),
        ({"Active": True}, PathKind.DERP, "", "fra"),
        ({"Active": True, "Relay": ""}, PathKind.UNKNOWN, "", ""),
        ({"Active": False}, PathKind.IDLE, "", ""),  # the home region alone says nothing of the path
    ],
)
def test_the_path_to_a_peer(fields: dict[str, Any], path: PathKind, endpoint: str, relay: str) -> None:
    device = only_peer(**fields)
    assert (device.path, device.endpoint, device.relay) == (path, endpoint, relay)


def test_unset_times_are_none_and_trailing_dots_are_cut() -> None:
    device = only_peer(KeyExpiry=ZERO)
    assert device.last_seen is None
    assert device.key_expiry is None
    assert device.dns_name == "wall-a-3.crocodile-bee.ts.net"
    assert device.name == "wall-a-3"


def test_a_key_without_an_expiry_has_its_expiry_disabled() -> None:
    assert only_peer().key_expiry_disabled is True
    device = only_peer(KeyExpiry="2027-01-02T03:04:05.123456789+01:00")
    assert device.key_expiry_disabled is False
    assert device.key_expiry == datetime(2027, 1, 2, 2, 4, 5, 123457, UTC)
    assert only_peer(Expired=True).key_expiry_disabled is None


def test_last_seen_is_told_of_an_offline_peer() -> None:
    device = only_peer(Online=False, LastSeen="2026-11-20T10:00:00Z")
    assert device.last_seen == datetime(2026, 11, 20, 10, tzinfo=UTC)


def test_sharees_and_rented_exit_nodes_are_hidden() -> None:
    seen = decode_status(
        status(
            peer(ID="a", ShareeNode=True),
            peer(ID="b", DNSName="ch-zrh-wg-001.mullvad.ts.net."),
            peer(ID="c", DNSName="notmullvad.ts.net."),
        ),
        "the test",
    )
    assert [device.id for device in seen.devices] == ["n0CNTRL", "c"]


def test_logged_out_the_daemon_is_no_device() -> None:
    raw = json.dumps({"BackendState": "NeedsLogin", "Self": {"HostName": "laptop"}, "Peer": None}).encode()
    seen = decode_status(raw, "the test")
    assert seen.devices == ()
    assert seen.problem is not None


STATES = ["NoState", "NeedsLogin", "NeedsMachineAuth", "Stopped", "Starting", "InUseOtherUser", "Dreaming"]


@pytest.mark.parametrize("state", STATES)
def test_every_state_but_running_is_said_in_one_sentence_with_a_remedy(state: str) -> None:
    problem = state_problem(state)
    assert problem is not None
    assert problem.kind is ProblemKind.STOPPED
    assert problem.sentence.endswith(".")
    assert problem.sentence.count(". ") == 0
    assert problem.remedy


def test_states_are_told_apart() -> None:
    sentences = {problem.sentence for state in STATES if (problem := state_problem(state))}
    assert len(sentences) == len(STATES) - 1  # starting and "no state yet" are the same to a person
    assert state_problem("Running") is None


def test_logged_out_names_the_login_page() -> None:
    problem = state_problem("NeedsLogin", "https://login.tailscale.com/a/1234")
    assert problem is not None
    assert "https://login.tailscale.com/a/1234" in problem.remedy


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"{}", b'{"BackendState": 7}', b"\xff\xfe", b"<html>"])
def test_what_is_no_status_is_said_to_be_none(raw: bytes) -> None:
    with pytest.raises(AxiomError) as caught:
        decode_status(raw, "the socket x")
    assert caught.value.problem.kind is ProblemKind.GARBLED
    assert "the socket x" in caught.value.problem.sentence


@pytest.mark.parametrize(
    ("fields", "path", "endpoint", "relay"),
    [
        ({"Endpoint": "198.51.100.7:41641"}, PathKind.DIRECT, "198.51.100.7:41641", ""),
        ({"DERPRegionID": 4, "DERPRegionCode": "fra"}, PathKind.DERP, "", "fra"),
        ({"DERPRegionID": 901}, PathKind.DERP, "", "901"),
        ({"PeerRelay": "192.0.2.1:7777:vni:5"}, PathKind.PEER_RELAY, "", "192.0.2.1:7777:vni:5"),
        ({}, PathKind.UNKNOWN, "", ""),
    ],
)
def test_a_ping_tells_the_path(fields: dict[str, Any], path: PathKind, endpoint: str, relay: str) -> None:
    answer = decode_ping(json.dumps({"LatencySeconds": 0.022, **fields}).encode(), "the test")
    assert answer.milliseconds == pytest.approx(22)
    assert (answer.path, answer.endpoint, answer.relay) == (path, endpoint, relay)


def test_an_error_in_a_ping_is_no_answer() -> None:
    answer = decode_ping(b'{"Err": "no matching peer", "LatencySeconds": 0}', "the test")
    assert answer.milliseconds is None
    assert answer.error == "no matching peer"
    assert decode_ping(b"{}", "the test").milliseconds is None
    assert decode_ping(b'{"IsLocalIP": true, "LatencySeconds": 0}', "the test").milliseconds is None


# Any mix of fields, each of them absent, null, or any value of its type.

texts = st.text(max_size=12)
times = st.sampled_from([ZERO, "", "2026-11-20T10:00:00Z", "9999-12-31T23:59:59-01:00", "yesterday"]) | texts


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: st.none() | value for name, value in fields.items()})


peers_ = maybe(
    ID=texts,
    PublicKey=texts,
    HostName=texts,
    DNSName=texts,
    OS=texts,
    TailscaleIPs=st.lists(texts, max_size=3),
    Tags=st.lists(texts, max_size=3),
    CurAddr=texts,
    Relay=texts,
    PeerRelay=texts,
    LastSeen=times,
    KeyExpiry=times,
    Online=st.booleans(),
    Active=st.booleans(),
    Expired=st.booleans(),
    ShareeNode=st.booleans(),
    sshHostKeys=st.lists(texts, max_size=2),
    SomethingNew=st.integers() | st.lists(st.integers(), max_size=2),
)
statuses = maybe(
    Version=texts,
    AuthURL=texts,
    Health=st.lists(texts, max_size=2),
    MagicDNSSuffix=texts,
    CurrentTailnet=maybe(Name=texts, MagicDNSSuffix=texts, MagicDNSEnabled=st.booleans()),
    Self=peers_,
    Peer=st.dictionaries(texts, st.none() | peers_, max_size=4),
    SomethingNew=texts,
)


@given(statuses, st.sampled_from(["Running", *STATES]))
def test_any_mix_of_fields_decodes(fields: dict[str, Any], state: str) -> None:
    seen = decode_status(json.dumps({**fields, "BackendState": state}).encode(), "the test")
    assert (seen.problem is None) == (state == "Running")
    for device in seen.devices:
        assert isinstance(device.path, PathKind)
        assert not device.dns_name.endswith(".")
        assert device.last_seen is None or device.last_seen.year > 1
        assert (device.path is PathKind.DIRECT) == bool(device.endpoint)


@given(
    maybe(
        Err=texts,
        LatencySeconds=st.floats(0, 60),
        Endpoint=texts,
        PeerRelay=texts,
        DERPRegionID=st.integers(0, 999),
        DERPRegionCode=texts,
        IsLocalIP=st.booleans(),
        PeerAPIPort=st.integers(),
    )
)
def test_any_ping_decodes(fields: dict[str, Any]) -> None:
    answer = decode_ping(json.dumps(fields).encode(), "the test")
    if fields.get("Err"):
        assert answer.milliseconds is None


@given(times)
def test_a_moment_is_in_utc_or_none(text: str) -> None:
    when = moment(text)
    assert when is None or (when.tzinfo is UTC and when.year > 1)
