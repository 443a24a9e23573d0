"""The control API, as a client with a token or an OAuth client meets it: over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from axiom_tui.simulator.faults import Faults
from axiom_tui.simulator.resources import METRICS, STANDARD
from axiom_tui.simulator.store import ObjectStore
from axiom_tui.simulator.tailscale_control import ControlServer
from axiom_tui.simulator.world import World

LIST = "/api/v2/tailnet/-/devices"


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def world() -> World:
    return World(ObjectStore((*STANDARD, *METRICS)))


@pytest.fixture
def url(world: World, faults: Faults) -> Iterator[str]:
    server = ControlServer(world, faults)
    yield server.start()
    server.stop()


@pytest.fixture
def client(url: str, world: World) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {world.tailnet.credentials.token}"}
    with httpx.Client(base_url=url, headers=headers) as opened:
        yield opened


def devices(client: httpx.Client, **parameters: str | list[str]) -> dict[str, dict[str, Any]]:
    answer = client.get(LIST, params=parameters)
    assert answer.status_code == 200
    return {device["name"].split(".")[0]: device for device in answer.json()["devices"]}


def key_of(world: World, name: str) -> str:
    return f"/api/v2/device/{world.tailnet.get(name).id}"


def test_the_list_knows_more_than_the_laptop(client: httpx.Client) -> None:
    found = devices(client)
    assert {"m-o-1", "wall-a-9", "x1", "pixel", "backup-vault", "pi5-keller", "friends-nas"} <= set(found)
    assert not {"device-of-shared-to-user", "ch-zrh-wg-001"} & set(found)
    assert found["pi5-keller"]["authorized"] is False
    assert found["pi5-keller"]["connectedToControl"] is True  # it polls for its approval
    assert found["friends-nas"]["isExternal"] is True
    assert found["friends-nas"]["created"] == ""


def test_ids_are_those_of_the_local_api(client: httpx.Client, world: World) -> None:
    for name, device in devices(client).items():
        assert device["nodeId"] == world.tailnet.get(name).id
        assert device["addresses"] == list(world.tailnet.get(name).addresses)
        assert not device["name"].endswith(".")


def test_last_seen_is_only_there_while_away(client: httpx.Client) -> None:
    found = devices(client)
    assert "lastSeen" not in found["wall-a-1"]
    gone = datetime.fromisoformat(found["wall-a-7"]["lastSeen"])
    assert (datetime.now(UTC) - gone).total_seconds() > 3600
    assert found["wall-a-7"]["connectedToControl"] is False


def test_tags_are_missing_on_a_persons_device(client: httpx.Client) -> None:
    found = devices(client)
    assert "tags" not in found["x1"]
    assert found["x1"]["user"] == "technat@github"
    assert "tag:acl-axiom" in found["m-o-1"]["tags"]


def test_all_fields_come_only_when_asked_for(client: httpx.Client) -> None:
    assert "clientConnectivity" not in devices(client)["m-o-1"]
    full = devices(client, fields="all")["m-o-1"]
    assert full["sshEnabled"] is True
    assert full["distro"] == {"name": "ubuntu", "version": "22.04", "codeName": "jammy"}
    assert full["clientConnectivity"]["endpoints"] == ["195.15.252.166:41641"]


def test_the_server_filters_by_tags_and_host_name(client: httpx.Client) -> None:
    servers = devices(client, tags=["tag:acl-axiom", "tag:info-control-plane"])
    assert set(servers) == {"m-o-1", "m-o-2", "m-o-3"}
    assert set(devices(client, hostname="WALL-A-1")) == {"wall-a-1"}


def test_one_device_by_either_id(client: httpx.Client, world: World) -> None:
    device = world.tailnet.get("wall-a-1")
    for key in (device.id, str(device.node_id)):
        assert client.get(f"/api/v2/device/{key}").json()["hostname"] == "WALL-A-1"
    for key in ("nope", "wall-a-1", device.ipv4):
        answer = client.get(f"/api/v2/device/{key}")
        assert answer.status_code == 404
        assert answer.json()["message"]


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Basic d3Jvbmc6", "Basic !", "Nonsense"])
def test_strangers_are_refused(url: str, authorization: str) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    answer = httpx.get(url + LIST, headers=headers)
    assert answer.status_code == 401
    assert answer.json() == {"message": "API token invalid"}


def test_the_token_also_works_as_a_user_name(url: str, world: World) -> None:
    assert httpx.get(url + LIST, auth=(world.tailnet.credentials.token, "")).status_code == 200


@pytest.mark.parametrize("how", ["form", "basic"])
def test_an_oauth_client_gets_a_token(url: str, world: World, how: str) -> None:
    known = world.tailnet.credentials
    form = {"grant_type": "client_credentials"}
    if how == "form":
        form |= {"client_id": known.oauth_client, "client_secret": known.oauth_secret}
        answer = httpx.post(f"{url}/api/v2/oauth/token", data=form)
    else:
        answer = httpx.post(
            f"{url}/api/v2/oauth/token", data=form, auth=(known.oauth_client, known.oauth_secret)
        )
    given = answer.json()
    assert (given["token_type"], given["expires_in"]) == ("Bearer", 3600)
    headers = {"Authorization": f"Bearer {given['access_token']}"}
    assert httpx.get(url + LIST, headers=headers).status_code == 200


def test_a_wrong_oauth_secret_is_refused(url: str, world: World) -> None:
    form = {"client_id": world.tailnet.credentials.oauth_client, "client_secret": "wrong"}
    assert httpx.post(f"{url}/api/v2/oauth/token", data=form).status_code == 401
    assert httpx.get(f"{url}/api/v2/oauth/token").status_code == 405


def test_another_tailnet_is_not_found(client: httpx.Client) -> None:
    assert client.get("/api/v2/tailnet/other.example/devices").status_code == 404
    assert client.get("/api/v2/tailnet/technat.github/devices").status_code == 200
    assert client.get("/api/v1/tailnet/-/devices").status_code == 404
    assert client.post(LIST).status_code == 405


def test_approval_brings_the_device_into_the_tailnet(client: httpx.Client, world: World) -> None:
    assert (
        client.post(f"{key_of(world, 'pi5-keller')}/authorized", json={"authorized": True}).status_code == 200
    )
    assert devices(client)["pi5-keller"]["authorized"] is True
    assert world.tailnet.get("pi5-keller").authorized


def test_key_expiry_comes_back_as_it_was(client: httpx.Client, world: World) -> None:
    before = devices(client)["wall-a-5"]["expires"]
    path = f"{key_of(world, 'wall-a-5')}/key"
    client.post(path, json={"keyExpiryDisabled": True})
    assert devices(client)["wall-a-5"]["keyExpiryDisabled"] is True
    client.post(path, json={"keyExpiryDisabled": False})
    assert devices(client)["wall-a-5"]["expires"] == before


def test_tags_are_replaced(client: httpx.Client, world: World) -> None:
    path = f"{key_of(world, 'wall-a-1')}/tags"
    assert client.post(path, json={"tags": ["tag:a", "tag:b"]}).status_code == 200
    assert devices(client)["wall-a-1"]["tags"] == ["tag:a", "tag:b"]
    answer = client.post(path, json={"tags": ["no-tag"]})
    assert answer.status_code == 400
    assert "no-tag" in answer.json()["message"]


def test_a_device_is_renamed_unless_the_name_is_taken(client: httpx.Client, world: World) -> None:
    path = f"{key_of(world, 'ubuntu-4gb-nbg1-2')}/name"
    assert client.post(path, json={"name": "wall-a-10"}).status_code == 200
    assert devices(client)["wall-a-10"]["hostname"] == "ubuntu-4gb-nbg1-2"
    path = f"{key_of(world, 'wall-a-10')}/name"
    assert client.post(path, json={"name": "wall-a-1"}).status_code == 400
    assert client.post(path, json={"name": "under_score"}).status_code == 400


def test_an_expired_device_has_to_log_in_again(client: httpx.Client, world: World) -> None:
    assert client.post(f"{key_of(world, 'wall-a-1')}/expire").status_code == 200
    assert world.tailnet.get("wall-a-1").is_expired(datetime.now(UTC))


def test_a_device_is_deleted_unless_it_is_somebody_elses(client: httpx.Client, world: World) -> None:
    path = key_of(world, "pixel")
    assert client.delete(path).status_code == 200
    assert client.delete(path).status_code == 404
    assert "pixel" not in devices(client)
    assert client.delete(key_of(world, "friends-nas")).status_code == 501


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("authorized", {}),
        ("key", {"keyExpiryDisabled": "yes"}),
        ("tags", {"tags": "tag:a"}),
        ("name", {"name": 1}),
    ],
)
def test_bodies_that_make_no_sense_change_nothing(
    client: httpx.Client, world: World, action: str, body: dict[str, Any]
) -> None:
    before = world.tailnet.get("wall-a-1")
    assert client.post(f"{key_of(world, 'wall-a-1')}/{action}", json=body).status_code == 400
    assert client.post(f"{key_of(world, 'wall-a-1')}/{action}", content=b"{").status_code == 400
    assert world.tailnet.get("wall-a-1") == before


def test_a_shared_device_cannot_be_changed(client: httpx.Client, world: World) -> None:
    answer = client.post(f"{key_of(world, 'friends-nas')}/tags", json={"tags": ["tag:a"]})
    assert answer.status_code == 403


def test_each_fault_shows_and_ends(client: httpx.Client, faults: Faults) -> None:
    faults.set("control-unauthorized")
    assert client.get(LIST).status_code == 401
    faults.clear()
    faults.set("control-throttle", retry_after=7)
    answer = client.get(LIST)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json()["message"]
    faults.clear()
    faults.set("control-broken", form="text")
    answer = client.get(LIST)
    assert answer.status_code == 502
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    faults.set("control-broken")
    assert client.get(LIST).json() == {"message": "internal server error"}
    faults.clear()
    faults.set("control-garbage", times=1)
    with pytest.raises(json.JSONDecodeError):
        client.get(LIST).json()
    assert client.get(LIST).status_code == 200


def test_a_name_is_escaped_in_the_path(client: httpx.Client) -> None:
    assert client.get("/api/v2/tailnet/technat%2Egithub/devices").status_code == 200
