"""The embedded Axiom as a whole: one world behind all services, reached like a real one."""

from __future__ import annotations

import base64
import json
import shlex
import signal
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import yaml

from axiom_tui import config
from axiom_tui.simulator.axiom import LONGEST_SOCKET_PATH, EmbeddedAxiom
from axiom_tui.simulator.command import child_command
from axiom_tui.simulator.world import NODES


@pytest.fixture
def axiom(tmp_path: Path) -> Iterator[EmbeddedAxiom]:
    with EmbeddedAxiom(tmp_path / "axiom", alive=False) as running:
        yield running


def eventually(probe: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not probe():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def kubernetes(kubeconfig: Path, directory: Path) -> httpx.Client:
    """A plain HTTPS client that knows of Kubernetes no more than the kubeconfig says."""
    found = yaml.safe_load(kubeconfig.read_text())
    (cluster,), (user,) = found["clusters"], found["users"]
    pair = directory / "pair.pem"
    pair.write_bytes(
        base64.b64decode(user["user"]["client-certificate-data"])
        + base64.b64decode(user["user"]["client-key-data"])
    )
    authority = base64.b64decode(cluster["cluster"]["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    context.load_cert_chain(pair)
    return httpx.Client(base_url=cluster["cluster"]["server"], verify=context, timeout=10)


def peers(axiom: EmbeddedAxiom) -> dict[str, dict[str, Any]]:
    transport = httpx.HTTPTransport(uds=str(axiom.tailscale_socket))
    with httpx.Client(transport=transport, base_url="http://local-tailscaled.sock") as client:
        found = client.get("/localapi/v0/status").json()["Peer"].values()
    return {peer["DNSName"].split(".")[0]: peer for peer in found}


def test_all_three_services_tell_of_one_world(axiom: EmbeddedAxiom, tmp_path: Path) -> None:
    with kubernetes(axiom.kubeconfig, tmp_path) as client:
        nodes = client.get("/api/v1/nodes").json()["items"]
        metrics = client.get("/apis/metrics.k8s.io/v1beta1/nodes").json()["items"]
    headers = {"Authorization": f"Bearer {axiom.control_token_file.read_text().strip()}"}
    answer = httpx.get(f"{axiom.control_url}/api/v2/tailnet/-/devices", headers=headers)
    known = {device["nodeId"]: device for device in answer.json()["devices"]}
    seen = peers(axiom)
    assert len(nodes) == 11
    for node in nodes:
        peer = seen[node["metadata"]["name"]]
        assert node["status"]["addresses"][0]["address"] in peer["TailscaleIPs"]
        assert known[peer["ID"]]["addresses"] == peer["TailscaleIPs"]
    assert {item["metadata"]["name"] for item in metrics} == {
        node["metadata"]["name"] for node in nodes if node["metadata"]["name"] != "wall-a-7"
    }


def test_the_settings_file_is_an_ordinary_one(axiom: EmbeddedAxiom) -> None:
    settings = config.load(axiom.settings).settings
    assert settings.kubernetes.kubeconfig == (axiom.kubeconfig,)
    assert settings.tailscale.socket == str(axiom.tailscale_socket)
    assert settings.tailscale.control.url == axiom.control_url
    assert settings.tailscale.control.token_file == axiom.control_token_file
    assert settings.tailscale.control.configured
    current = yaml.safe_load(axiom.kubeconfig.read_text())["current-context"]
    assert settings.kubernetes.context == current == "axiom-demo"


def test_secrets_are_for_the_owner_alone(axiom: EmbeddedAxiom) -> None:
    for path in (axiom.kubeconfig, axiom.control_token_file, axiom.settings):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_deep_directory_still_gets_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * LONGEST_SOCKET_PATH)
    with EmbeddedAxiom(deep, alive=False) as axiom:
        assert len(str(axiom.tailscale_socket)) <= LONGEST_SOCKET_PATH
        assert "m-o-1" in peers(axiom)
        assert config.load(axiom.settings).settings.tailscale.socket == str(axiom.tailscale_socket)
    assert not axiom.tailscale_socket.parent.exists()


def test_what_happens_in_the_world_shows_everywhere(axiom: EmbeddedAxiom, tmp_path: Path) -> None:
    axiom.world.tailnet.set_online("wall-a-1", False)
    axiom.world.silence("wall-a-1")
    assert peers(axiom)["wall-a-1"]["Online"] is False
    with kubernetes(axiom.kubeconfig, tmp_path) as client:
        node = client.get("/api/v1/nodes/wall-a-1").json()
    ready = [item["status"] for item in node["status"]["conditions"] if item["type"] == "Ready"]
    assert ready == ["Unknown"]


def test_a_node_deleted_through_the_api_is_let_go_by_k3s(axiom: EmbeddedAxiom, tmp_path: Path) -> None:
    node = axiom.store.get(NODES, "wall-a-8")
    assert node is not None
    assert node["metadata"]["finalizers"]
    with kubernetes(axiom.kubeconfig, tmp_path) as client:
        assert client.delete("/api/v1/nodes/wall-a-8").status_code == 200
        eventually(
            lambda: client.get("/api/v1/nodes/wall-a-8").status_code == 404, "the node should go altogether"
        )
    assert axiom.world.pods_on("wall-a-8") == []
    assert "wall-a-8" in peers(axiom)


def test_controllers_live_as_long_as_the_services(tmp_path: Path) -> None:
    calls: list[str] = []

    class Controller:
        def start(self) -> None:
            calls.append("start")

        def stop(self) -> None:
            calls.append("stop")

    axiom = EmbeddedAxiom(tmp_path, alive=False)
    axiom.controllers.append(Controller())
    with axiom:
        assert calls == ["start"]
    assert calls == ["start", "stop"]


def test_stopping_twice_or_before_starting_is_no_harm(tmp_path: Path) -> None:
    axiom = EmbeddedAxiom(tmp_path)
    axiom.stop()
    axiom = EmbeddedAxiom(tmp_path)
    axiom.start()
    axiom.stop()
    axiom.stop()


def test_a_living_world_changes_by_itself(tmp_path: Path) -> None:
    with EmbeddedAxiom(tmp_path) as axiom:
        before = axiom.store.version
        eventually(lambda: axiom.store.version > before, "something should happen by itself")


def test_churn_changes_nodes_until_it_is_ended(tmp_path: Path) -> None:
    changed: list[str] = []
    with EmbeddedAxiom(tmp_path, alive=False) as axiom:
        axiom.store.subscribe(lambda kind, plural, item: changed.append(plural))
        axiom.life.churn(200)
        eventually(lambda: len(changed) > 20, "nodes should change")
        axiom.life.churn(0)
        eventually(lambda: axiom.life.is_quiet, "the churn should end")
        count = len(changed)
        axiom.world.beat("m-o-1")
    assert set(changed) == {NODES}
    assert len(changed) <= count + 1


class Child:
    """The simulator as a child process, spoken to as the demo does."""

    def __init__(self, *arguments: str, command: list[str] | None = None) -> None:
        self.process = subprocess.Popen(
            command or [sys.executable, "-m", "axiom_tui.simulator.command", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def say(self, order: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return self.reply()

    def reply(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def end(self) -> int:
        """Close its stdin and wait; what it complained of is the test's failure."""
        _, complaints = self.process.communicate(timeout=20)
        assert complaints == ""
        return self.process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_the_child_says_where_it_is_obeys_and_ends_with_its_input(tmp_path: Path) -> None:
    command = child_command(tmp_path, nodes=5, faults=["control-throttle:retry-after=3"], still=True)
    with Child(command=command) as child:
        places = child.reply()
        assert config.load(Path(places["settings"])).settings.tailscale.control.url == places["control_url"]
        with kubernetes(Path(places["kubeconfig"]), tmp_path) as client:
            assert len(client.get("/api/v1/nodes").json()["items"]) == 5
        url = f"{places['control_url']}/api/v2/tailnet/-/devices"
        assert httpx.get(url).headers["Retry-After"] == "3"
        assert child.say("clear control-throttle") == {"ok": True}
        assert httpx.get(url).status_code == 401
        assert child.say("fault control-broken:times=1") == {"ok": True}
        assert httpx.get(url).status_code == 500
        assert child.say("churn 5") == {"ok": True}
        assert "known are" in child.say("fault nonsense")["error"]
        assert "churn" in child.say("dance")["error"]
        assert "fast" in child.say("churn fast")["error"]
        assert child.end() == 0


def test_the_child_does_not_mind_ctrl_c(tmp_path: Path) -> None:
    with Child("--child", "--directory", str(tmp_path), "--still") as child:
        child.reply()
        child.process.send_signal(signal.SIGINT)
        assert child.say("clear") == {"ok": True}
        assert child.end() == 0


def test_simulate_prints_a_kubeconfig_and_ends_by_ctrl_c(tmp_path: Path) -> None:
    directory = tmp_path / "world"
    with Child("--print-kubeconfig", "--directory", str(directory), "--still") as child:
        assert child.process.stderr is not None
        assert child.process.stdout is not None
        shown = child.process.stderr.readline()
        assert "11 nodes, 10 Ready" in shown
        child.process.send_signal(signal.SIGINT)
        rest, out = child.process.stderr.read(), child.process.stdout.read()
        assert child.process.wait(20) == 0
    assert yaml.safe_load(out)["current-context"] == "axiom-demo"
    assert f"kubectl --kubeconfig {shlex.quote(str(directory / 'kubeconfig'))}" in rest


def test_simulate_names_the_program_as_it_was_called(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("axiom-tui")
    for called in ([sys.executable, "-m", "axiom_tui"], [str(program)]):
        command = [*called, "simulate", "--directory", str(tmp_path / "world"), "--nodes", "1", "--still"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                hint = next(line for line in process.stdout if " --config " in line)
            finally:
                process.send_signal(signal.SIGINT)
            process.stdout.read()
        assert hint.split(" --config ")[0].strip() == shlex.join(called)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--nodes", "0"], "not a number of nodes"),
        (["--nodes", "many"], "not a number of nodes"),
        (["--fault", "nonsense"], "There is no fault 'nonsense'"),
        (["--directory", "/dev/null/x"], "cannot be served"),
    ],
)
def test_bad_arguments_are_said_in_a_sentence(arguments: list[str], sentence: str) -> None:
    with Child(*arguments) as child:
        out, error = child.process.communicate(timeout=20)
        assert (child.process.returncode, out) == (2, "")
    assert sentence in error
    assert "Traceback" not in error
