"""The local API, as a client on the admin's laptop meets it: over a real unix socket."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from axiom_tui.simulator.faults import Faults
from axiom_tui.simulator.resources import METRICS, STANDARD
from axiom_tui.simulator.store import ObjectStore
from axiom_tui.simulator.tailscale_local import ZERO_TIME, LocalServer
from axiom_tui.simulator.world import World

PATH = "/localapi/v0"


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def world() -> World:
    return World(ObjectStore((*STANDARD, *METRICS)))


@pytest.fixture
def socket_path(world: World, faults: Faults) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="axiom-"))
    server = LocalServer(world, faults)
    server.start(directory / "tailscaled.sock")
    yield directory / "tailscaled.sock"
    server.stop()
    assert not any(directory.iterdir())
    shutil.rmtree(directory)


@pytest.fixture
def client(socket_path: Path) -> Iterator[httpx.Client]:
    with connect(socket_path) as opened:
        yield opened


def connect(path: Path, timeout: float = 5.0) -> httpx.Client:
    transport = httpx.HTTPTransport(uds=str(path))
    return httpx.Client(transport=transport, base_url="http://local-tailscaled.sock", timeout=timeout)


def status(client: httpx.Client, **parameters: str) -> dict[str, Any]:
    answer = client.get(f"{PATH}/status", params=parameters)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def peers(client: httpx.Client) -> dict[str, dict[str, Any]]:
    return {peer["DNSName"].split(".")[0]: peer for peer in status(client)["Peer"].values()}


def ping(client: httpx.Client, address: str, kind: str = "disco") -> dict[str, Any]:
    answer = client.post(f"{PATH}/ping", params={"ip": address, "type": kind})
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def eventually(probe: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10
    while not probe():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_status_is_that_of_a_running_daemon(client: httpx.Client) -> None:
    found = status(client)
    assert found["BackendState"] == "Running"
    assert found["CurrentTailnet"] == {
        "Name": "technat.github",
        "MagicDNSSuffix": "crocodile-bee.ts.net",
        "MagicDNSEnabled": True,
    }
    assert found["Self"]["DNSName"] == "x1.crocodile-bee.ts.net."
    assert found["Self"]["TailscaleIPs"] == found["TailscaleIPs"]
    assert found["Health"] == []
    assert all(key == peer["PublicKey"] for key, peer in found["Peer"].items())
    assert all(str(peer["UserID"]) in found["User"] for peer in found["Peer"].values())
    assert all(peer["DNSName"].endswith(".") for peer in found["Peer"].values())


def test_peers_can_be_left_out(client: httpx.Client) -> None:
    assert status(client, peers="false")["Peer"] is None
    assert len(status(client, peers="true")["Peer"]) > 11


def test_responses_name_the_daemon(client: httpx.Client) -> None:
    answer = client.get(f"{PATH}/status")
    assert answer.headers["Tailscale-Version"].startswith("1.102")
    assert int(answer.headers["Tailscale-Cap"]) > 100


def test_what_only_the_control_plane_knows_is_not_there(client: httpx.Client) -> None:
    assert not {"backup-vault", "pi5-keller"} & set(peers(client))


def test_strangers_are_marked_so_that_clients_can_hide_them(client: httpx.Client) -> None:
    found = peers(client)
    assert [name for name, peer in found.items() if peer.get("ShareeNode")] == ["device-of-shared-to-user"]
    mullvad = found["ch-zrh-wg-001"]
    assert mullvad["DNSName"] == "ch-zrh-wg-001.mullvad.ts.net."
    assert mullvad["ExitNodeOption"] is True
    assert mullvad["Location"]["CountryCode"] == "CH"


def test_fields_are_left_out_as_go_leaves_them_out(client: httpx.Client) -> None:
    found = peers(client)
    assert "KeyExpiry" not in found["m-o-1"]
    assert "KeyExpiry" in found["m-o-2"]
    assert "Tags" not in found["pixel"]
    assert "tag:info-hetzner" in found["wall-a-1"]["Tags"]
    assert "sshHostKeys" not in found["pixel"]
    assert "Expired" not in found["wall-a-5"]


def test_host_keys_are_real_keys(client: httpx.Client) -> None:
    keys = [key for peer in peers(client).values() for key in peer.get("sshHostKeys", [])]
    assert len(set(keys)) == 13
    for key in keys:
        load_ssh_public_key(key.encode())


def test_an_offline_peer_says_since_when_and_an_online_one_does_not(client: httpx.Client) -> None:
    found = peers(client)
    gone = datetime.fromisoformat(found["wall-a-7"]["LastSeen"])
    assert timedelta(hours=2) < datetime.now(UTC) - gone < timedelta(hours=4)
    assert found["wall-a-7"]["Online"] is False
    assert found["wall-a-1"]["LastSeen"] == ZERO_TIME
    assert found["wall-a-1"]["Online"] is True


def test_an_expired_key_is_said(client: httpx.Client, world: World) -> None:
    world.tailnet.change("wall-a-5", key_expiry=datetime.now(UTC) - timedelta(hours=1))
    peer = peers(client)["wall-a-5"]
    assert peer["Expired"] is True
    assert peer["Online"] is False


def test_first_pings_go_by_derp_then_direct(client: httpx.Client, world: World) -> None:
    address = world.tailnet.get("wall-a-1").ipv4
    assert peers(client)["wall-a-1"]["CurAddr"] == ""
    first = ping(client, address)
    assert (first["Endpoint"], first["DERPRegionCode"], first["DERPRegionID"]) == ("", "nue", 21)
    second = ping(client, address)
    assert second["Endpoint"] == "116.203.10.1:41641"
    assert second["DERPRegionCode"] == ""
    assert 0 < second["LatencySeconds"] < first["LatencySeconds"]
    assert second["Err"] == ""
    peer = peers(client)["wall-a-1"]
    assert peer["CurAddr"] == "116.203.10.1:41641"
    assert peer["Active"] is True


def test_a_relayed_peer_never_gets_a_direct_path(client: httpx.Client, world: World) -> None:
    address = world.tailnet.get("wall-a-3").ipv4
    for _ in range(3):
        assert ping(client, address)["DERPRegionCode"] == "fra"
    peer = peers(client)["wall-a-3"]
    assert (peer["Active"], peer["CurAddr"], peer["PeerRelay"], peer["Relay"]) == (True, "", "", "fra")


def test_a_peer_relay_is_said_as_such(client: httpx.Client, world: World) -> None:
    address = world.tailnet.get("wall-a-8").ipv4
    ping(client, address)
    answer = ping(client, address)
    assert (answer["PeerRelay"], answer["Endpoint"], answer["DERPRegionID"]) == (
        "195.15.252.166:40000:vni:7",
        "",
        0,
    )
    assert peers(client)["wall-a-8"]["PeerRelay"] == "195.15.252.166:40000:vni:7"


def test_only_disco_pings_know_the_path(client: httpx.Client, world: World) -> None:
    answer = ping(client, world.tailnet.get("m-o-1").ipv4, "TSMP")
    assert (answer["Endpoint"], answer["DERPRegionID"]) == ("", 0)
    assert answer["LatencySeconds"] > 0


def test_pings_that_fail_are_answered_with_200(client: httpx.Client, world: World) -> None:
    assert ping(client, "100.64.0.9")["Err"] == "no matching peer"
    own = world.tailnet.this_device
    assert own is not None
    assert ping(client, own.ipv4)["IsLocalIP"] is True


@pytest.mark.parametrize(
    ("query", "code"),
    [("", 400), ("ip=100.64.0.1", 400), ("ip=m-o-1&type=disco", 400), ("ip=100.64.0.1&type=DISCO", 500)],
)
def test_pings_that_make_no_sense_are_refused(client: httpx.Client, query: str, code: int) -> None:
    assert client.post(f"{PATH}/ping?{query}").status_code == code


def test_a_ping_wants_post(client: httpx.Client) -> None:
    assert client.get(f"{PATH}/ping?ip=100.64.0.1&type=disco").status_code == 405


def test_a_ping_to_an_offline_peer_is_never_answered(socket_path: Path, world: World) -> None:
    address = world.tailnet.get("wall-a-7").ipv4
    with connect(socket_path, timeout=0.3) as client, pytest.raises(httpx.ReadTimeout):
        ping(client, address)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost"},
        {"Host": "evil.example"},
        {"Origin": "http://local-tailscaled.sock"},
        {"Referer": "http://local-tailscaled.sock/"},
    ],
)
def test_requests_that_a_browser_could_send_are_refused(
    client: httpx.Client, headers: dict[str, str]
) -> None:
    answer = client.get(f"{PATH}/status", headers=headers)
    assert answer.status_code == 403
    assert answer.text == "invalid localapi request\n"


def test_a_request_without_host_is_taken(socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(socket_path))
        raw.sendall(b"GET /localapi/v0/status?peers=false HTTP/1.0\r\n\r\n")
        assert raw.makefile("rb").readline().split()[1] == b"200"


def test_unknown_calls_are_404(client: httpx.Client) -> None:
    assert client.get(f"{PATH}/nonsense").status_code == 404
    assert client.get("/").status_code == 404


def test_whois_by_address_port_and_key(client: httpx.Client, world: World) -> None:
    device = world.tailnet.get("wall-a-1")
    for asked in (device.ipv4, f"{device.ipv4}:22", device.ipv6, f"[{device.ipv6}]:22", device.node_key):
        found = client.get(f"{PATH}/whois", params={"addr": asked}).json()
        assert found["Node"]["StableID"] == device.id
    assert found["UserProfile"]["LoginName"] == "tagged-devices"
    assert client.get(f"{PATH}/whois", params={"addr": "100.64.0.9"}).status_code == 404


def test_preferences_may_be_read_but_not_written(client: httpx.Client) -> None:
    assert client.get(f"{PATH}/prefs").json()["WantRunning"] is True
    assert client.patch(f"{PATH}/prefs", json={}).status_code == 403


def test_the_derp_map_knows_every_region_in_use(client: httpx.Client) -> None:
    codes = {region["RegionCode"] for region in client.get(f"{PATH}/derpmap").json()["Regions"].values()}
    assert {peer["Relay"] for peer in peers(client).values()} <= codes


def test_the_bus_tells_the_state_and_every_change(client: httpx.Client, world: World, faults: Faults) -> None:
    with client.stream("GET", f"{PATH}/watch-ipn-bus", params={"mask": "10"}) as stream:
        lines = stream.iter_lines()
        assert json.loads(next(lines))["State"] == 6
        assert json.loads(next(lines))["NetMap"]["PeerCount"] > 11
        world.tailnet.set_online("wall-a-1", False)
        assert "NetMap" in json.loads(next(lines))
        faults.set("ts-stopped")
        assert json.loads(next(lines))["State"] == 4


@pytest.mark.parametrize(
    ("kind", "state"),
    [("ts-stopped", "Stopped"), ("ts-needs-login", "NeedsLogin"), ("ts-needs-approval", "NeedsMachineAuth")],
)
def test_a_daemon_that_does_not_run_has_no_peers(
    client: httpx.Client, faults: Faults, kind: str, state: str
) -> None:
    faults.set(kind)
    found = status(client)
    assert found["BackendState"] == state
    assert found["Peer"] is None
    assert found["Health"]
    assert bool(found["AuthURL"]) == (state == "NeedsLogin")
    faults.clear()
    assert status(client)["BackendState"] == "Running"


def test_absent_means_that_there_is_no_socket(socket_path: Path, faults: Faults) -> None:
    with connect(socket_path) as client:
        status(client)
    faults.set("ts-absent")
    eventually(lambda: not socket_path.exists(), "the socket should vanish")
    with socket.socket(socket.AF_UNIX) as raw, pytest.raises(FileNotFoundError):
        raw.connect(str(socket_path))
    faults.clear("ts-absent")
    eventually(socket_path.exists, "the socket should come back")
    with connect(socket_path) as client:
        assert status(client)["BackendState"] == "Running"


def test_a_hanging_daemon_answers_nothing_and_recovers(socket_path: Path, faults: Faults) -> None:
    faults.set("ts-hang")
    with connect(socket_path, timeout=0.3) as client, pytest.raises(httpx.ReadTimeout):
        status(client)
    faults.clear()
    with connect(socket_path) as client:
        assert status(client)["BackendState"] == "Running"


def test_garbage_is_no_json(client: httpx.Client, faults: Faults) -> None:
    faults.set("ts-garbage", times=1)
    answer = client.get(f"{PATH}/status")
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert status(client)["BackendState"] == "Running"


def test_pings_time_out_while_the_status_is_fine(socket_path: Path, faults: Faults, world: World) -> None:
    faults.set("ts-ping-timeout")
    with connect(socket_path, timeout=0.3) as client:
        with pytest.raises(httpx.ReadTimeout):
            ping(client, world.tailnet.get("m-o-1").ipv4)
        assert status(client)["BackendState"] == "Running"


def test_a_deleted_laptop_is_logged_out(client: httpx.Client, world: World) -> None:
    own = world.tailnet.this_device
    assert own is not None
    world.tailnet.remove(own.id)
    assert status(client)["BackendState"] == "NeedsLogin"


def test_stopping_lets_go_of_those_who_wait(world: World) -> None:
    directory = Path(tempfile.mkdtemp(prefix="axiom-"))
    server = LocalServer(world, Faults())
    server.start(directory / "s")
    ended = threading.Event()

    def wait_forever() -> None:
        with connect(directory / "s", timeout=60) as client, pytest.raises(httpx.RemoteProtocolError):
            ping(client, world.tailnet.get("wall-a-7").ipv4)
        ended.set()

    waiting = threading.Thread(target=wait_forever)
    waiting.start()
    eventually(lambda: world.tailnet.get("wall-a-7").sent_at is not None, "the ping should arrive")
    server.stop()
    assert ended.wait(10)
    waiting.join()
    shutil.rmtree(directory)
