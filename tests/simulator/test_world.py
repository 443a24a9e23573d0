"""The world tells one story on all its planes, and it is the story of the operator's fleet."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.model.naming import NamingScheme, Role
from axiom_tui.model.node import TAILNET_V4, Node, is_public_ip, is_tailnet_ip
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL, PoolPolicy
from axiom_tui.simulator import cast
from axiom_tui.simulator.cast import WANDERER, Machine, tailnet_v4
from axiom_tui.simulator.life import HURRIED_KEY, IS_MISSED, KEY_LEFT, LEAVES, REPORTS, RETURNS, ROUND, Life
from axiom_tui.simulator.resources import METRICS, STANDARD
from axiom_tui.simulator.store import ObjectStore
from axiom_tui.simulator.world import LEASES, NODE_METRICS, NODES, PODS, World

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Clock:
    """The world's clock, moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def make_world(nodes: int | None = None, clock: Clock | None = None) -> World:
    return World(ObjectStore((*STANDARD, *METRICS)), nodes=nodes, now=clock or Clock())


@pytest.fixture
def world() -> World:
    return make_world()


def condition(world: World, name: str, kind: str) -> dict[str, Any]:
    node = world.store.get(NODES, name)
    assert node is not None
    found: dict[str, Any] = next(item for item in node["status"]["conditions"] if item["type"] == kind)
    return found


def addresses(node: dict[str, Any], kind: str) -> tuple[str, ...]:
    return tuple(item["address"] for item in node["status"]["addresses"] if item["type"] == kind)


def test_the_fleet_is_the_operators(world: World) -> None:
    nodes = world.store.list(NODES)
    naming = NamingScheme()
    roles = [naming.role(node["metadata"]["name"]) for node in nodes]
    assert (roles.count(Role.SERVER), roles.count(Role.AGENT)) == (3, 8)
    numbers = {naming.number(machine.name) for machine in world.machines() if machine.role is Role.AGENT}
    assert max(number or 0 for number in numbers) == 9
    assert {node["status"]["nodeInfo"]["architecture"] for node in nodes} == {"amd64", "arm64"}
    assert {machine.place for machine in world.machines()} == {"infomaniak", "hetzner", "home"}
    assert all("taints" not in node["spec"] for node in nodes if world.is_ready(node["metadata"]["name"]))


def test_each_node_is_the_size_of_a_real_one(world: World) -> None:
    for stored in world.store.snapshot(NODES)[0]:
        assert 10_000 < len(stored.body) < 14_000


def test_a_node_and_its_device_agree(world: World) -> None:
    for node in world.store.list(NODES):
        name = node["metadata"]["name"]
        device = world.tailnet.get(name)
        assert addresses(node, "InternalIP") == (device.ipv4,)
        assert node["metadata"]["annotations"]["k3s.io/internal-ip"] == device.ipv4
        assert device.name == name
        assert device.host_name == NamingScheme().display(name)
        assert "tag:acl-axiom" in device.tags
        assert all(is_tailnet_ip(ip) for ip in device.addresses)
        assert all(is_public_ip(ip) for ip in addresses(node, "ExternalIP"))


def test_servers_carry_what_k3s_gives_a_server(world: World) -> None:
    for node in world.store.list(NODES):
        labels, annotations = node["metadata"]["labels"], node["metadata"]["annotations"]
        arguments = json.loads(annotations["k3s.io/node-args"])
        is_server = "node-role.kubernetes.io/control-plane" in labels
        kinds = {item["type"] for item in node["status"]["conditions"]}
        assert ("EtcdIsVoter" in kinds) == is_server
        assert ("etcd.k3s.cattle.io/node-name" in annotations) == is_server
        assert arguments[0] == ("server" if is_server else "agent")
        assert node["spec"]["providerID"] == f"k3s://{node['metadata']['name']}"
        assert ("--cluster-init" in arguments) == (node["metadata"]["name"] == "m-o-1")


def test_exactly_three_agents_have_wrong_labels(world: World) -> None:
    policy, wrong = PoolPolicy(), {}
    for node in world.store.list(NODES):
        labels = node["metadata"]["labels"]
        value = Node(name=node["metadata"]["name"], labels=labels, external_ips=addresses(node, "ExternalIP"))
        role = Role.SERVER if value.is_server else Role.AGENT
        found = {key: labels.get(key) for key in (ENABLE_LABEL, POOL_LABEL)}
        if found != policy.wanted_labels(value, role):
            wrong[value.name] = found[POOL_LABEL]
    assert wrong == {"wall-a-3": "internal", "wall-a-4": None, "wall-a-7": "external"}


def test_the_other_faults_are_there_once_each(world: World) -> None:
    tailnet = world.tailnet
    not_ready = [item.node_name for item in world.machines() if not world.is_ready(item.node_name)]
    assert not_ready == ["wall-a-7"]
    offline = tailnet.get("wall-a-7")
    assert not offline.online
    assert offline.last_seen == NOW - timedelta(hours=3, minutes=10)
    assert condition(world, "wall-a-7", "Ready")["status"] == "Unknown"
    versions = {item.node_name: item.k3s_version for item in world.machines()}
    assert [name for name, version in versions.items() if version != cast.K3S_VERSION] == ["wall-a-4"]
    fleet = [tailnet.get(item.node_name) for item in world.machines()]
    assert [item.name for item in fleet if not item.key_expiry_disabled] == ["m-o-2", "wall-a-5"]
    assert tailnet.get("wall-a-5").key_expiry - NOW < timedelta(days=7)
    assert [item.name for item in fleet if item.route == "derp"] == ["wall-a-3"]
    assert {item.place for item in world.machines() if item.role is Role.SERVER} == {"infomaniak", "hetzner"}
    names = {item.node_name for item in world.machines()}
    tagged = [item for item in tailnet.devices() if "tag:acl-axiom" in item.tags and item.name not in names]
    assert {item.name: item.authorized for item in tagged} == {
        "ubuntu-4gb-nbg1-2": True,
        "ubuntu-8gb-hel1-1": True,
        "pi5-keller": False,
    }
    classes = {item["metadata"]["name"] for item in world.store.list("priorityclasses.scheduling.k8s.io")}
    assert classes == {"core", "infra", "system-node-critical", "system-cluster-critical"}


def test_every_owner_exists(world: World) -> None:
    kinds = {
        "DaemonSet": "daemonsets.apps",
        "ReplicaSet": "replicasets.apps",
        "StatefulSet": "statefulsets.apps",
        "Deployment": "deployments.apps",
    }
    owned = world.store.list(PODS) + world.store.list("replicasets.apps")
    assert len(world.store.list(PODS)) > 40
    for item in owned:
        (owner,) = item["metadata"]["ownerReferences"]
        found = world.store.get(kinds[owner["kind"]], owner["name"], item["metadata"]["namespace"])
        assert found is not None, owner
        assert found["metadata"]["uid"] == owner["uid"]


def test_pods_carry_the_priority_of_their_class(world: World) -> None:
    values = {
        item["metadata"]["name"]: item["value"]
        for item in world.store.list("priorityclasses.scheduling.k8s.io")
    }
    for pod in world.store.list(PODS):
        assert pod["spec"]["priority"] == values.get(pod["spec"].get("priorityClassName"), 0)


def test_services_ask_for_each_pool_and_one_for_none(world: World) -> None:
    pools = {
        item["metadata"]["name"]: item["metadata"]["labels"].get(POOL_LABEL, "")
        for item in world.store.list("services")
        if item["spec"]["type"] == "LoadBalancer"
    }
    assert pools == {"cilium-ingress": "internal", "flasche": "external", "gitea-ssh": ""}


def test_silence_and_revival_change_node_pods_metrics_and_events() -> None:
    clock = Clock()
    world = make_world(clock=clock)
    before = world.store.get(NODES, "wall-a-1")
    clock.now += timedelta(minutes=1)
    world.silence("wall-a-1")
    assert not world.is_ready("wall-a-1")
    silent = world.store.get(NODES, "wall-a-1")
    assert silent is not None
    assert [taint["effect"] for taint in silent["spec"]["taints"]] == ["NoSchedule", "NoExecute"]
    assert condition(world, "wall-a-1", "Ready")["lastTransitionTime"] == "2026-11-22T12:01:00Z"
    assert world.store.get(NODE_METRICS, "wall-a-1") is None
    assert _ready_pods(world, "wall-a-1") == {"False"}
    clock.now += timedelta(minutes=1)
    world.revive("wall-a-1")
    assert world.is_ready("wall-a-1")
    assert world.store.get(NODE_METRICS, "wall-a-1") is not None
    assert _ready_pods(world, "wall-a-1") == {"True"}
    after = world.store.get(NODES, "wall-a-1")
    assert before is not None
    assert after is not None
    assert after["spec"] == before["spec"]
    reasons = [
        item["reason"] for item in world.store.list("events") if item["involvedObject"]["name"] == "wall-a-1"
    ]
    assert sorted(reasons) == ["NodeNotReady", "NodeReady"]


def _ready_pods(world: World, node_name: str) -> set[str]:
    return {
        item["status"]
        for pod in world.store.list(PODS)
        if pod["spec"]["nodeName"] == node_name
        for item in pod["status"]["conditions"]
        if item["type"] == "Ready"
    }


def test_an_event_that_happens_again_is_counted(world: World) -> None:
    for _ in range(3):
        world.silence("wall-a-1")
        world.revive("wall-a-1")
    events = [item for item in world.store.list("events") if item["involvedObject"]["name"] == "wall-a-1"]
    assert {item["reason"]: item["count"] for item in events} == {"NodeNotReady": 3, "NodeReady": 3}


def test_a_machine_joins_and_leaves(world: World) -> None:
    machine = Machine(
        number=3, name="WALL-A-10", role=Role.AGENT, architecture="arm64", place="hetzner", lan_ip="10.0.0.9"
    )
    world.add_node(machine, ready=False)
    node = world.store.get(NODES, "wall-a-10")
    assert node is not None
    assert addresses(node, "InternalIP") == (world.tailnet.get("ubuntu-4gb-nbg1-2").ipv4,)
    assert not world.is_ready("wall-a-10")
    assert condition(world, "wall-a-10", "Ready")["reason"] == "KubeletNotReady"
    world.revive("wall-a-10")
    assert world.is_ready("wall-a-10")
    ready = world.store.get(NODES, "wall-a-10")
    assert ready is not None
    assert "taints" not in ready["spec"]
    assert len(world.pods_on("wall-a-10")) == 3
    lease = world.store.get(LEASES, "wall-a-10", "kube-node-lease")
    assert lease is not None
    assert lease["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]
    events = [item for item in world.store.list("events") if item["involvedObject"]["name"] == "wall-a-10"]
    assert {item["involvedObject"]["uid"] for item in events} == {node["metadata"]["uid"]}
    world.remove_node("wall-a-10")
    assert world.store.get(NODES, "wall-a-10") is None
    assert world.store.get(LEASES, "wall-a-10", "kube-node-lease") is None
    assert world.pods_on("wall-a-10") == []
    with pytest.raises(KeyError):
        world.machine("wall-a-10")


def test_a_big_world_has_as_many_nodes_as_asked_for() -> None:
    world = make_world(nodes=60)
    assert len(world.store.list(NODES)) == len(world.machines()) == 60
    names = [machine.name for machine in world.machines()]
    assert len(set(names)) == 60
    versions = [int(node["metadata"]["resourceVersion"]) for node in world.store.list(NODES)]
    assert len(set(versions)) == 60


@pytest.mark.parametrize("count", [1, 2, 11, 12])
def test_a_world_of_any_size_can_be_made(count: int) -> None:
    world = make_world(nodes=count)
    assert len(world.store.list(NODES)) == count


@given(st.sets(st.integers(0, 2**22 - 1), max_size=50))
def test_every_number_has_an_address_of_its_own(numbers: set[int]) -> None:
    given_out = {tailnet_v4(number) for number in numbers}
    assert len(given_out) == len(numbers)
    assert all(is_tailnet_ip(ip) for ip in given_out)
    assert TAILNET_V4.num_addresses == 2**22


def test_the_same_seed_makes_the_same_world() -> None:
    one, two = make_world(), make_world()
    assert one.store.list(NODES) == two.store.list(NODES)
    assert one.store.list(NODE_METRICS) == two.store.list(NODE_METRICS)
    assert one.tailnet.devices() == two.tailnet.devices()


def test_life_takes_the_wanderer_around_tailnet_first() -> None:
    world = make_world()
    life = Life(world)

    def state(point: float) -> tuple[bool, bool]:
        life.tick(point)
        return world.tailnet.get(WANDERER).online, world.is_ready(WANDERER)

    assert state(LEAVES - 1) == (True, True)
    assert state(LEAVES) == (False, True)
    assert state(IS_MISSED) == (False, False)
    assert state(RETURNS) == (True, False)
    assert state(REPORTS) == (True, True)
    assert state(ROUND + LEAVES) == (False, True)


def test_life_moves_heartbeats_use_and_latency() -> None:
    clock = Clock()
    world = make_world(clock=clock)
    life = Life(world)
    before = _moving(world)
    for _ in range(120):
        clock.now += timedelta(seconds=1)
        life.tick(0.0)
    after = _moving(world)
    quiet = {name for name in after if after[name] == before[name]}
    assert quiet == {"wall-a-7"}  # nobody hears it


def _moving(world: World) -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for machine in world.machines():
        name = machine.node_name
        lease, metrics = world.store.get(LEASES, name, "kube-node-lease"), world.store.get(NODE_METRICS, name)
        assert lease is not None
        usage = metrics["usage"]["cpu"] if metrics else ""
        found[name] = (lease["spec"]["renewTime"], usage, world.tailnet.get(name).latency)
    return found


def test_life_is_about_one_small_change_a_second() -> None:
    world = make_world()
    life = Life(world)
    changes: list[str] = []
    world.store.subscribe(lambda kind, plural, item: changes.append(plural))
    for _ in range(100):
        life.tick(0.0)
    assert len(changes) <= 220  # a Lease and its node's metrics each time
    assert 5 <= changes.count(NODES) <= 15


def test_a_key_nears_its_end_but_does_not_reach_it() -> None:
    world = make_world()
    life = Life(world)
    first = world.tailnet.get(HURRIED_KEY).key_expiry
    life.tick(0.0)
    assert world.tailnet.get(HURRIED_KEY).key_expiry < first
    world.tailnet.change(HURRIED_KEY, key_expiry=NOW + KEY_LEFT)
    life.tick(0.0)
    assert world.tailnet.get(HURRIED_KEY).key_expiry == NOW + KEY_LEFT


def test_life_goes_on_when_the_wanderer_is_gone() -> None:
    world = make_world()
    world.remove_node(WANDERER)
    world.tailnet.remove(WANDERER)
    Life(world).tick(LEAVES)
    assert world.store.get(NODES, WANDERER) is None


def test_a_node_that_a_client_deletes_takes_everything_with_it(world: World) -> None:
    world.store.delete(NODES, "wall-a-1")
    assert world.pods_on("wall-a-1") == []
    assert world.store.get(NODE_METRICS, "wall-a-1") is None
    assert world.store.get(LEASES, "wall-a-1", "kube-node-lease") is None
    assert "wall-a-1" not in {machine.node_name for machine in world.machines()}
    assert world.tailnet.find("wall-a-1") is not None
    for change in (world.beat, world.renew, world.measure, world.silence, world.revive):
        change("wall-a-1")  # life may be in the middle of it
    assert world.store.get(NODES, "wall-a-1") is None
