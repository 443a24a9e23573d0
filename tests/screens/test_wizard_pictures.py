"""Pictures of each page of the label wizard and of the journal, with given checks, events and records."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from textual.pilot import Pilot

from axiom_tui.app import AxiomApp
from axiom_tui.config import Settings, state_directory
from axiom_tui.model.checks import Check, CheckState
from axiom_tui.model.exposure import effect_of
from axiom_tui.model.pools import labels_for
from axiom_tui.model.problem import Problem, ProblemKind
from axiom_tui.model.rules import Rules
from axiom_tui.model.secret import Masker
from axiom_tui.plans.events import (
    Event,
    Outcome,
    Output,
    PlanChanged,
    PlanFinished,
    PlanStarted,
    Result,
    StepFinished,
    StepResult,
    StepStarted,
    StepState,
    Waiting,
)
from axiom_tui.plans.identity import Identity
from axiom_tui.plans.journal import Journal
from axiom_tui.plans.label_nodes import label_plan
from axiom_tui.plans.proposal import Proposal
from axiom_tui.plans.servicelb import SettleServiceLb
from axiom_tui.plans.step import Plan
from screens.labels import label_wizard
from screens.wizard import Prepared, Told, WizardScreen
from tests.screens.conftest import SIZES, settled, showing, text_of
from tests.screens.fleets import CLUSTER, LIVE, NOW, SEEN

Snapshot = Callable[[Pilot[int], str], None]

pytestmark = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")

PLAN_ID = "20261122T130200.000Z-label-nodes-abc123"
HANGS = Problem(
    ProblemKind.TIMED_OUT,
    "The API server api.axiom.technat.ch:6443 did not answer within 15 s (patch Node 'wall-a-4').",
    "It accepts connections but hangs: look at K3s on the servers and at etcd's health.",
)
CHECKS = (
    Check("read-only", CheckState.PASS, "Changes are allowed."),
    Check(
        "rights",
        CheckState.FAIL,
        "You may not: patch nodes, create leases.coordination.k8s.io in kube-system.",
        "Ask an admin of the cluster for a role with these rights, or use another context.",
        overridable=False,
    ),
    Check(
        "lock",
        CheckState.WARN,
        "berta@laptop (4711) is at work: label WALL-A-9.",
        "Wait until it is done; Apply takes the lock only when it is free or has expired.",
    ),
    Check("public", CheckState.FAIL, "An internal Service would become public.", "Choose another pool."),
)


class NoClient:
    """Stands where a client would: making a plan from a given fleet asks nobody."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a picture must not ask the cluster: {name}")


def plan() -> Plan:
    wanted = {"wall-a-3": "external", "wall-a-4": "internal", "wall-a-7": "internal"}
    effect = effect_of(SEEN, {name: labels_for(pool) for name, pool in wanted.items()}, Rules().pools)
    client = cast(Any, NoClient())
    return label_plan(
        client,
        CLUSTER,
        SEEN.nodes,
        wanted,
        effect=effect.lines(),
        final=(SettleServiceLb(client, CLUSTER.context, effect.touched),),
    )


def proposal(of: Plan) -> Proposal:
    return Proposal(of, cast(Any, NoClient()))


def results(of: Plan, states: Sequence[StepState], problem: Problem | None = None) -> tuple[StepResult, ...]:
    return tuple(
        StepResult(
            step.key,
            step.title,
            state,
            step.commands,
            step.unavailable,
            0.3 if state is StepState.DONE else 15.0 if state is StepState.FAILED else 0.0,
            problem if state is StepState.FAILED else None,
        )
        for step, state in zip(of.steps, states, strict=True)
    )


DONE = (StepState.DONE,) * 4
FAILED = (StepState.DONE, StepState.FAILED, *[StepState.NOT_REACHED] * 2)


def finished(of: Plan, outcome: Outcome, states: Sequence[StepState]) -> PlanFinished:
    problem = HANGS if outcome is Outcome.FAILED else None
    steps = results(of, states, problem)
    end = NOW + timedelta(seconds=9)
    return PlanFinished(Result(PLAN_ID, of, of.subject, outcome, steps, NOW, end, problem))


def beginnings(of: Plan) -> list[Event]:
    """One step is done, one runs and waits."""
    first, second = of.steps[:2]
    until = NOW + timedelta(seconds=60)
    return [
        PlanStarted(PLAN_ID, of, NOW),
        StepStarted(0, first.key, first.title, NOW, until),
        Output(0, "wall-a-3: enablelb=true, lbpool=external", NOW),
        StepFinished(0, results(of, DONE)[0], NOW),
        StepStarted(1, second.key, second.title, NOW - timedelta(seconds=4), until),
        Output(1, "[red]not markup[/red] \x1b[31mnot a colour", NOW),
        Waiting(1, "the API server to answer", NOW - timedelta(seconds=4), until),
    ]


async def opened(pilot: Pilot[int], screen: WizardScreen) -> None:
    app = pilot.app
    assert isinstance(app, AxiomApp)
    app.push_screen(screen)
    await pilot.pause()
    await pilot.pause()


async def told(pilot: Pilot[int], screen: WizardScreen, *events: Event) -> None:
    """The page of a run, with these events as if a run had told them."""
    screen._applying = True
    screen._enter("apply")
    for event in events:
        screen.post_message(Told(event))
    await pilot.pause()
    await pilot.pause()
    await pilot.pause()


@pytest.mark.parametrize("subjects", [(), ("wall-a-4",)], ids=["all", "one"])
async def test_choose(size: tuple[int, int], subjects: tuple[str, ...], snapshot: Snapshot) -> None:
    async with showing(LIVE, size) as pilot:
        await opened(pilot, label_wizard(LIVE, Rules(), subjects))
        snapshot(pilot, f"wizard-choose-{'one' if subjects else 'all'}")


async def test_choose_a_pool_of_ones_own(size: tuple[int, int], snapshot: Snapshot) -> None:
    async with showing(LIVE, size) as pilot:
        await opened(pilot, label_wizard(LIVE, Rules(), ()))
        await pilot.press("tab", "enter", "end", "enter", "x", "space", "y", "ctrl+n")
        await pilot.pause()
        snapshot(pilot, "wizard-choose-fault")


async def test_the_list_of_pools_lies_on_nothing_that_is_needed(
    size: tuple[int, int], snapshot: Snapshot
) -> None:
    async with showing(LIVE, size) as pilot:
        await opened(pilot, label_wizard(LIVE, Rules(), ()))
        await pilot.press("tab", "enter")
        last = text_of(pilot).splitlines()[-2:]
        assert last[0].split() == ["Cancel", "Check"]
        assert last[1].startswith("esc close the list  ^n check")
        snapshot(pilot, "wizard-choose-pools")


@pytest.mark.parametrize("name", ["pass", "mixed", "lost"])
async def test_check(size: tuple[int, int], name: str, snapshot: Snapshot) -> None:
    checks = tuple(replace(check, state=CheckState.PASS) for check in CHECKS) if name == "pass" else CHECKS
    answers = {
        "pass": Prepared(checks, proposal(plan())),
        "mixed": Prepared(checks, proposal(plan())),
        "lost": Prepared((), None, HANGS),
    }
    async with showing(LIVE, size) as pilot:
        screen = label_wizard(LIVE, Rules(), ())
        await opened(pilot, screen)
        screen._prepared(answers[name])
        await pilot.pause()
        await pilot.pause()
        snapshot(pilot, f"wizard-check-{name}")


async def test_plan(size: tuple[int, int], snapshot: Snapshot) -> None:
    async with showing(LIVE, size) as pilot:
        screen = label_wizard(LIVE, Rules(), ())
        await opened(pilot, screen)
        screen._prepared(Prepared((), proposal(plan())))
        await pilot.pause()
        await pilot.press("ctrl+n")
        await pilot.pause()
        snapshot(pilot, "wizard-plan")
        await pilot.press("G")
        await pilot.pause()
        snapshot(pilot, "wizard-plan-end")


async def test_plan_with_a_word_to_type(size: tuple[int, int], snapshot: Snapshot) -> None:
    async with showing(LIVE, size) as pilot:
        dangerous = replace(plan(), typed_word="axiom-prod")
        screen = WizardScreen("Something dangerous", proposal=proposal(dangerous))
        await opened(pilot, screen)
        snapshot(pilot, "wizard-plan-typed")


async def test_plan_that_changed(size: tuple[int, int], snapshot: Snapshot) -> None:
    async with showing(LIVE, size) as pilot:
        whole = plan()
        screen = WizardScreen("Load-balancer labels", proposal=proposal(whole))
        await opened(pilot, screen)
        why = "The world has changed since the plan was made: nothing was run."
        less = replace(whole, steps=whole.steps[1:])
        end = finished(whole, Outcome.CHANGED, [StepState.NOT_REACHED] * 4).result
        await told(
            pilot,
            screen,
            PlanChanged(why, ("no longer: Put WALL-A-3 into the pool external",), less, NOW),
            PlanFinished(replace(end, journalled=False)),
        )
        snapshot(pilot, "wizard-plan-changed")


async def test_a_refused_plan_says_why_once(size: tuple[int, int], snapshot: Snapshot) -> None:
    async with showing(LIVE, size) as pilot:
        whole = plan()
        screen = WizardScreen("Load-balancer labels", proposal=proposal(whole))
        await opened(pilot, screen)
        why = Problem(ProblemKind.CONFLICT, "berta@laptop (4711) is at work: label WALL-A-9.", "Ask Berta.")
        end = finished(whole, Outcome.REFUSED, [StepState.NOT_REACHED] * 4).result
        await told(pilot, screen, PlanFinished(replace(end, journalled=False, problem=why)))
        assert text_of(pilot).count("berta@laptop") == 1
        snapshot(pilot, "wizard-result-refused")


async def test_apply(size: tuple[int, int], snapshot: Snapshot) -> None:
    async with showing(LIVE, size) as pilot:
        of = plan()
        screen = WizardScreen("Load-balancer labels", proposal=proposal(of))
        await opened(pilot, screen)
        await told(pilot, screen, *beginnings(of))
        assert text_of(pilot).count("until ") == 1  # one deadline: that of what is waited for
        snapshot(pilot, "wizard-apply")
        await pilot.press("q")
        await pilot.pause()
        await pilot.pause()
        snapshot(pilot, "wizard-apply-quit")
        await pilot.press("escape", "escape")
        await pilot.pause()
        snapshot(pilot, "wizard-apply-cancelling")


async def test_apply_of_many_steps(size: tuple[int, int], snapshot: Snapshot) -> None:
    """The running step is in sight, however many came before it."""
    names = dict.fromkeys(("m-o-1", *(f"wall-a-{number}" for number in (1, 2, 3, 4, 7, 10))), "games")
    of = label_plan(cast(Any, NoClient()), CLUSTER, SEEN.nodes, names)
    until = NOW + timedelta(seconds=60)
    async with showing(LIVE, size) as pilot:
        screen = WizardScreen("Load-balancer labels", proposal=proposal(of))
        await opened(pilot, screen)
        events: list[Event] = []
        for index, step in enumerate(of.steps[:5]):
            events.append(StepStarted(index, step.key, step.title, NOW, until))
            result = StepResult(step.key, step.title, StepState.DONE, seconds=0.2)
            events.append(StepFinished(index, result, NOW))
        await told(pilot, screen, *events[:-1])
        snapshot(pilot, "wizard-apply-many")


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.FAILED])
async def test_result(size: tuple[int, int], outcome: Outcome, snapshot: Snapshot) -> None:
    async with showing(LIVE, size) as pilot:
        of = plan()
        screen = WizardScreen("Load-balancer labels", proposal=proposal(of))
        await opened(pilot, screen)
        states = DONE if outcome is Outcome.DONE else FAILED
        await told(pilot, screen, *beginnings(of), finished(of, outcome, states))
        snapshot(pilot, f"wizard-result-{outcome.value}")


# -- the journal -------------------------------------------------------------------------------------------


def recorded(plan_id: str, hours_ago: float, outcome: Outcome | None, states: Sequence[StepState]) -> None:
    """A journal file as a run writes it, on another day and by somebody known."""
    of = plan()
    journal = Journal(state_directory())
    writer = journal.begin(plan_id, of, Identity("anna", "thinkpad", 4711, "s1"), Masker())
    for result in results(of, states, HANGS):
        if result.state is not StepState.NOT_REACHED:
            writer.step_begun(result.key)
            writer.step_ended(result)
    if outcome is not None:
        writer.ended(outcome, HANGS if outcome is Outcome.FAILED else None)
    writer.close()
    path = journal.path(plan_id)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for number, record in enumerate(records):
        record["at"] = (NOW - timedelta(hours=hours_ago) + timedelta(seconds=number)).isoformat()
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))


async def test_journal(size: tuple[int, int], snapshot: Snapshot) -> None:
    recorded("20261120T080000.000Z-label-nodes-000001", 53, Outcome.DONE, DONE)
    recorded("20261122T090000.000Z-label-nodes-000002", 4, Outcome.FAILED, FAILED)
    recorded("20261122T110000.000Z-label-nodes-000003", 2, None, (StepState.DONE, *FAILED[2:], FAILED[2]))
    damaged = Journal(state_directory()).path("20261121T110000.000Z-label-nodes-000004")
    damaged.write_text('{"v": 1, "type": "plan"\n{"v": 1}\n')
    async with showing(LIVE, size) as pilot:
        await pilot.press("6")
        await settled(pilot)
        snapshot(pilot, "journal")
        await pilot.press("j", "enter")
        await settled(pilot)
        snapshot(pilot, "journal-steps")


async def test_read_only_stands_in_the_wizard_too(size: tuple[int, int], snapshot: Snapshot) -> None:
    fleet = replace(LIVE, cluster=replace(CLUSTER, read_only=True, simulation=True))
    async with showing(fleet, size) as pilot:
        await opened(pilot, label_wizard(fleet, Settings().rules, ()))
        snapshot(pilot, "wizard-marks")
