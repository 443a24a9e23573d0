"""The steps at the control API, against the simulated one: done once, proved, and taken back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from axiom_tui.clients.tailscale_control import ApiToken, ControlApi
from axiom_tui.model.problem import AxiomError, ProblemKind
from axiom_tui.model.secret import Secret
from axiom_tui.plans.join_choice import JoinSpec
from axiom_tui.plans.join_tailnet_steps import ApproveDevice, DeviceStep, DisableKeyExpiry, TagDevice, by_hand
from axiom_tui.simulator.faults import Faults
from axiom_tui.simulator.resources import METRICS, STANDARD
from axiom_tui.simulator.store import ObjectStore
from axiom_tui.simulator.tailnet import Device
from axiom_tui.simulator.tailscale_control import ControlServer
from axiom_tui.simulator.world import World
from tests.plans.joins import AGENT
from tests.plans.test_join_parts import a_run

TAGS = ("tag:acl-axiom", "tag:info-compute-plane", "tag:info-home", "tag:info-hetzner")


@pytest.fixture
def world() -> World:
    return World(ObjectStore((*STANDARD, *METRICS)))


@pytest.fixture
def control(world: World) -> Iterator[ControlApi]:
    server = ControlServer(world, Faults())
    token = Secret(world.tailnet.credentials.token)
    try:
        yield ControlApi(server.start(), ApiToken(lambda: token))
    finally:
        server.stop()


def waiting(world: World) -> Device:
    return world.tailnet.get("pi5-keller")


@pytest.fixture
def spec(world: World) -> JoinSpec:
    device = waiting(world)
    return replace(AGENT, device_id=device.id, tailnet_ip=device.ipv4, tags=TAGS, earlier_tags=device.tags)


def perform(step: DeviceStep) -> dict[str, object]:
    """Run the step as the runner does; gives what it remembered."""
    memory: dict[str, object] = {}
    run = replace(a_run(), on_remember=lambda values: memory.update(values) or values)
    assert not step.is_done(run)
    step.run(run)
    step.verify(run)
    return memory


def test_a_device_is_approved(world: World, control: ControlApi, spec: JoinSpec) -> None:
    perform(ApproveDevice(control, spec))
    assert waiting(world).authorized


def test_tags_are_added_and_taken_back(world: World, control: ControlApi, spec: JoinSpec) -> None:
    before = waiting(world).tags
    step = TagDevice(control, spec)
    memory = perform(step)
    assert set(waiting(world).tags) == {*TAGS, *before}
    run = replace(a_run(), earlier=memory)  # type: ignore[arg-type]
    assert not step.is_undone(run)
    step.undo(run)
    assert step.is_undone(run)
    assert set(waiting(world).tags) == set(before)
    assert before[0] in step.undo_commands(memory)[0]  # type: ignore[arg-type]


def test_a_device_of_a_user_stays_tagged(control: ControlApi, spec: JoinSpec) -> None:
    step = TagDevice(control, replace(spec, earlier_tags=()))
    assert not step.reversible
    assert "stays tagged" in step.undo_note


def test_key_expiry_is_disabled_and_taken_back(world: World, control: ControlApi, spec: JoinSpec) -> None:
    step = DisableKeyExpiry(control, spec)
    memory = perform(step)
    assert waiting(world).key_expiry_disabled
    run = replace(a_run(), earlier=memory)  # type: ignore[arg-type]
    assert not step.is_undone(run)
    step.undo(run)
    assert not waiting(world).key_expiry_disabled


def test_a_device_that_is_gone_is_said(control: ControlApi, spec: JoinSpec) -> None:
    with pytest.raises(AxiomError) as caught:
        ApproveDevice(control, replace(spec, device_id="nGone")).is_done(a_run())
    assert caught.value.problem.kind is ProblemKind.MISSING


@pytest.mark.parametrize("key", [ApproveDevice.key, TagDevice.key, DisableKeyExpiry.key])
def test_by_hand_the_place_to_click_is_named(spec: JoinSpec, key: str) -> None:
    step = by_hand(key, spec)
    assert step.key == key
    assert step.unavailable
    assert f"/{spec.tailnet_ip}: " in step.commands[0]
