"""The label plan against the simulated API: two keys and nothing else, conflicts, losses, resume and undo."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from axiom_tui.clients.kubernetes import NODES, KubernetesClient
from axiom_tui.model.node import Node
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL
from axiom_tui.model.problem import AxiomError, ProblemKind
from axiom_tui.model.rules import Rules
from axiom_tui.plans.access import Access
from axiom_tui.plans.description import describe, difference
from axiom_tui.plans.events import Event, Outcome, PlanChanged, Result, StepState, Waiting
from axiom_tui.plans.identity import Identity, whoami
from axiom_tui.plans.journal import Journal
from axiom_tui.plans.label_nodes import KIND, label_plan, pools_by_policy, rebuild
from axiom_tui.plans.lock import LeaseLock, LockHeld
from axiom_tui.plans.registry import rebuild as rebuild_entry
from axiom_tui.plans.registry import rebuild_undo
from axiom_tui.plans.runner import Runner
from axiom_tui.plans.step import Plan
from axiom_tui.plans.transcript import account, transcript
from tests.plans.cluster import FLEET, Simulated, node, nodes_of, simulated
from tests.plans.world import ANNA, BERT

KINDS = {KIND: rebuild}
WANTED = {
    "m-o-1": (None, None),
    "wall-a-1": ("true", "external"),
    "wall-a-2": ("true", "internal"),
    "wall-a-3": ("true", "external"),
    "wall-a-4": ("true", "internal"),
    "wall-a-5": ("true", "external"),
    "wall-a-10": ("true", "external"),
}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Simulated]:
    with simulated(tmp_path) as running:
        yield running


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def planned(client: KubernetesClient, pools: Mapping[str, str] | None = None) -> Plan:
    nodes = nodes_of(client)
    return label_plan(client, client.cluster, nodes, pools or pools_by_policy(nodes, Rules()))


def apply(
    client: KubernetesClient,
    plan: Plan,
    state: Path,
    *,
    resume: str = "",
    identity: Identity = ANNA,
    recompute: Callable[[], Plan] | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> tuple[Result, list[Event]]:
    events: list[Event] = []

    def receive(event: Event) -> None:
        events.append(event)
        if on_event is not None:
            on_event(event)

    lock = LeaseLock(client.share(), identity)
    runner = Runner(
        plan,
        Journal(state),
        lock,
        receive,
        False,
        can_i=client.can_i,
        recompute=recompute,
        identity=identity,
    )
    return (runner.resume(resume) if resume else runner.run()), events


def access(client: KubernetesClient) -> Access:
    return Access(client.cluster, Rules(), client)


def test_every_node_gets_what_the_policy_says_and_nothing_else(cluster: Simulated, state: Path) -> None:
    client = cluster.client()
    cluster.label("wall-a-3", theirs="kept")
    before = {item["metadata"]["name"]: item for item in cluster.store.list("nodes")}
    plan = planned(client)
    result, _ = apply(client, plan, state, recompute=lambda: planned(client))
    assert result.outcome is Outcome.DONE, result.problem
    assert cluster.pools() == WANTED
    for item in cluster.store.list("nodes"):
        name = item["metadata"]["name"]
        labels = dict(item["metadata"]["labels"])
        was = dict(before[name]["metadata"]["labels"])
        for key in (ENABLE_LABEL, POOL_LABEL):
            labels.pop(key, None)
            was.pop(key, None)
        assert labels == was
        assert item.get("spec") == before[name].get("spec")
        assert item["status"] == before[name]["status"]
    fields = cluster.store.get("nodes", "wall-a-4")
    assert fields is not None
    managers = {entry["manager"]: entry["fieldsV1"] for entry in fields["metadata"]["managedFields"]}
    assert set(managers["axiom-tui"]["f:metadata"]["f:labels"]) >= {f"f:{ENABLE_LABEL}", f"f:{POOL_LABEL}"}
    lease = client.get_lease("kube-system", "axiom-tui")
    assert lease is not None
    assert lease.holder == ""


def test_a_plan_that_takes_labels_off_is_titled_so(cluster: Simulated) -> None:
    client = cluster.client()
    assert planned(client, {"wall-a-1": ""}).subject == "take the labels off WALL-A-1"
    many = dict.fromkeys(("wall-a-1", "wall-a-2", "wall-a-3", "wall-a-5"), "")
    assert planned(client, many).subject == "take the labels off 4 nodes"
    assert planned(client, {**many, "wall-a-4": "internal"}).subject == "label 5 nodes"
    plan = planned(client, many)
    assert rebuild(plan.choices, access(client)).subject == plan.subject


def test_the_plan_in_words(cluster: Simulated) -> None:
    client = cluster.client()
    plan = planned(client)
    assert plan.subject == "label 5 nodes"
    assert [step.key for step in plan.steps] == [
        "label/m-o-1",
        "label/wall-a-3",
        "label/wall-a-4",
        "label/wall-a-5",
        "label/wall-a-10",
    ]
    assert plan.already == ("WALL-A-1 is in the pool external", "WALL-A-2 is in the pool internal")
    prefix = "kubectl --context axiom label node"
    end = "--overwrite --field-manager=axiom-tui"
    assert plan.steps[0].commands == (f"{prefix} m-o-1 {ENABLE_LABEL}- {POOL_LABEL}- {end}",)
    assert plan.steps[1].commands == (f"{prefix} wall-a-3 {ENABLE_LABEL}=true {POOL_LABEL}=external {end}",)
    assert plan.steps[0].title == (
        "Take M-O-1 out of the load balancer (before: enablelb=true, lbpool=internal)"
    )
    assert (
        plan.steps[1].title == "Put WALL-A-3 into the pool external (before: enablelb=true, lbpool=internal)"
    )
    assert plan.steps[2].title == "Put WALL-A-4 into the pool internal (before: no load-balancer labels)"
    assert "all of it can be undone" in describe(plan)


def test_kubectl_typed_from_the_transcript_does_the_same(
    cluster: Simulated, tmp_path: Path, state: Path
) -> None:
    client = cluster.client()
    result, _ = apply(client, planned(client), state)
    script = "\n".join(transcript(result))
    other_world = tmp_path / "other"
    other_world.mkdir()
    with simulated(other_world) as other:
        environment = {"PATH": os.environ["PATH"], "KUBECONFIG": str(other.kubeconfig())}
        environment["HOME"] = str(other_world)
        subprocess.run(
            ["sh", "-eu"],
            input=script,
            text=True,
            env=environment,
            check=True,
            capture_output=True,
            timeout=60,
        )
        assert other.pools() == cluster.pools() == WANTED


def test_a_second_run_finds_all_already_so(cluster: Simulated, state: Path) -> None:
    client = cluster.client()
    plan = planned(client)
    apply(client, plan, state)
    again, _ = apply(client, plan, state)
    assert {step.state for step in again.steps} == {StepState.ALREADY}
    fresh = planned(client)
    assert not fresh.has_work
    assert fresh.steps == ()
    done, _ = apply(client, fresh, state)
    assert (done.outcome, done.journalled) == (Outcome.DONE, False)
    assert len(account(done).already) == len(FLEET)


def test_undo_restores_exactly_the_earlier_values(cluster: Simulated, state: Path) -> None:
    client = cluster.client()
    cluster.label("wall-a-3", enable="false")  # an odd value must come back as it was
    before = cluster.pools()
    done, _ = apply(client, planned(client), state)
    assert cluster.pools() == WANTED
    journal = Journal(state)
    undo = rebuild_undo(journal.load(done.plan_id), journal, access(client), KINDS)
    assert (
        undo.steps[-1]
        .commands[0]
        .endswith(f"m-o-1 {ENABLE_LABEL}=true {POOL_LABEL}=internal --overwrite --field-manager=axiom-tui")
    )
    result, _ = apply(client, undo, state)
    assert result.outcome is Outcome.DONE, result.problem
    assert cluster.pools() == before
    assert journal.load(done.plan_id).undone


def test_a_plan_of_an_older_journal_can_be_resumed_and_undone(cluster: Simulated, state: Path) -> None:
    """Notes, and whether servicelb is to settle, were not written once."""
    client = cluster.client()
    done, _ = apply(client, planned(client, {"wall-a-4": "internal"}), state)
    entry = Journal(state).load(done.plan_id)
    old = {key: value for key, value in entry.choices.items() if key not in ("notes", "settles")}
    plan = rebuild_entry(replace(entry, choices=old), Journal(state), access(client), KINDS)
    assert [step.key for step in plan.steps] == [step.key for step in entry.steps]


def test_undo_does_not_overwrite_what_others_changed_since(cluster: Simulated, state: Path) -> None:
    client = cluster.client()
    done, _ = apply(client, planned(client, {"wall-a-4": "internal"}), state)
    cluster.label("wall-a-4", pool="theirs")
    journal = Journal(state)
    undo = rebuild_undo(journal.load(done.plan_id), journal, access(client), KINDS)
    result, _ = apply(client, undo, state)
    assert result.outcome is Outcome.CHANGED
    assert result.problem is not None
    assert "changed since by somebody else: it has enablelb=true, lbpool=theirs" in result.problem.sentence
    assert "undo the first plan once more" in result.problem.remedy
    assert "or undo it" not in result.problem.remedy  # an undo is not undone
    assert cluster.pools()["wall-a-4"] == ("true", "theirs")


@pytest.mark.parametrize("pool", ["in ternal", "-x", "x" * 64, "ä"])
def test_a_value_that_kubernetes_refuses_is_refused_before(cluster: Simulated, pool: str) -> None:
    with pytest.raises(AxiomError) as caught:
        planned(cluster.client(), {"wall-a-4": pool})
    assert caught.value.problem.kind is ProblemKind.INVALID
    assert repr(pool) in caught.value.problem.sentence
    assert "WALL-A-4" in caught.value.problem.sentence


def test_a_heartbeat_is_no_reason_to_stop(cluster: Simulated, state: Path) -> None:
    client = cluster.client()
    plan = planned(client)

    def beat(item: dict[str, Any]) -> None:
        item["status"]["conditions"][0]["lastHeartbeatTime"] = "2026-11-22T14:02:00Z"

    for name in FLEET:
        cluster.store.mutate("nodes", name, beat)
    result, _ = apply(client, plan, state)
    assert result.outcome is Outcome.DONE, result.problem
    assert cluster.pools() == WANTED


def test_a_node_changed_between_plan_and_apply_shows_the_difference(cluster: Simulated, state: Path) -> None:
    client = cluster.client()
    plan = planned(client)
    cluster.label("wall-a-4", enable="true", pool="internal")
    before = cluster.pools()
    result, events = apply(client, plan, state, recompute=lambda: planned(client))
    assert result.outcome is Outcome.CHANGED
    (changed,) = [event for event in events if isinstance(event, PlanChanged)]
    assert (
        "no longer: Put WALL-A-4 into the pool internal (before: no load-balancer labels)"
        in changed.difference
    )
    assert cluster.pools() == before
    assert not result.journalled


@pytest.mark.parametrize("how", ["labels", "address", "registered again"])
def test_a_node_changed_under_the_plan_leads_back_to_it(cluster: Simulated, state: Path, how: str) -> None:
    client = cluster.client()
    plan = planned(client)
    public, pool = FLEET["wall-a-4"]
    if how == "labels":
        cluster.label("wall-a-4", pool="theirs")
    elif how == "address":
        addresses = [{"type": "ExternalIP", "address": "116.203.10.4"}]
        cluster.store.mutate("nodes", "wall-a-4", lambda item: item["status"].update(addresses=addresses))
    else:
        cluster.store.delete("nodes", "wall-a-4")
        again = dict(FLEET)["wall-a-4"]
        cluster.store.create("nodes", node("wall-a-4", *again))
    assert (public, pool) == ("", "")
    answers = iter([plan])  # the look before the first step saw nothing yet

    def recompute() -> Plan:
        return next(answers, None) or planned(client)

    result, events = apply(client, plan, state, recompute=recompute)
    assert result.outcome is Outcome.CHANGED
    (changed,) = [event for event in events if isinstance(event, PlanChanged)]
    words = {
        "labels": "it has lbpool=theirs, and had no load-balancer labels",
        "address": "its public addresses are 116.203.10.4, and were none",
        "registered again": "it was registered again",
    }
    assert words[how] in changed.why
    assert changed.plan is not None
    # What was done before stays done and is said; the node in question is untouched.
    assert cluster.pools()["wall-a-3"] == ("true", "external")
    assert cluster.pools()["wall-a-4"] == (None, "theirs" if how == "labels" else None)
    assert [step.state for step in result.steps][:3] == [StepState.DONE, StepState.DONE, StepState.FAILED]
    # Nothing of ours is on that node: undo takes back the others and leaves it alone.
    journal = Journal(state)
    undo = rebuild_undo(journal.load(result.plan_id), journal, access(client), KINDS)
    undone, _ = apply(client, undo, state)
    assert undone.outcome is Outcome.DONE, undone.problem
    assert cluster.pools()["wall-a-3"] == ("true", "internal")
    assert cluster.pools()["wall-a-4"] == (None, "theirs" if how == "labels" else None)


@pytest.mark.parametrize("rebuilt", [False, True])
def test_a_race_at_the_patch_itself_is_a_conflict(cluster: Simulated, state: Path, rebuilt: bool) -> None:
    """Somebody changes the node between our last look and our patch: the API's 409 must stop us."""
    client = cluster.client()

    class Slow:
        """The client, with another admin at work just before each patch."""

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def patch_node_labels(self, name: str, *arguments: Any, **named: Any) -> Node:
            if name == "wall-a-4":
                cluster.label("wall-a-4", enable="true", pool="theirs")
            return client.patch_node_labels(name, *arguments, **named)

    slow = Slow()
    plan = label_plan(slow, client.cluster, nodes_of(client), {"wall-a-4": "internal"})
    if rebuilt:
        plan = rebuild(plan.choices, Access(client.cluster, Rules(), slow))
    result, _ = apply(client, plan, state)
    assert result.outcome is Outcome.CHANGED
    assert cluster.pools()["wall-a-4"] == ("true", "theirs")


def test_a_node_that_vanished_is_named(cluster: Simulated, state: Path) -> None:
    client = cluster.client()
    pools = {"wall-a-3": "external", "wall-a-4": "internal"}
    plan = planned(client, pools)
    cluster.store.delete("nodes", "wall-a-4")
    before = cluster.pools()

    def again() -> Plan:
        return label_plan(client, client.cluster, nodes_of(client), pools)

    result, _ = apply(client, plan, state, recompute=again)
    assert result.outcome is Outcome.CHANGED
    assert result.problem is not None
    assert "There is no node WALL-A-4 in axiom (any more)." in result.problem.sentence
    assert cluster.pools() == before
    # And if it vanishes in the middle, what was done is said.
    result, _ = apply(client, plan, state)
    assert result.outcome is Outcome.FAILED
    assert result.problem is not None
    assert result.problem.kind is ProblemKind.MISSING
    assert result.problem.sentence == "WALL-A-4 is not in the cluster any more."
    assert "what is done already is skipped" in result.problem.remedy
    assert account(result).changed == (
        "Put WALL-A-3 into the pool external (before: enablelb=true, lbpool=internal)",
    )


def test_no_right_to_patch_nodes_is_said_before_anything(cluster: Simulated, state: Path) -> None:
    admin, viewer = cluster.client(), cluster.client("viewer")
    before = cluster.pools()
    result, _ = apply(viewer, planned(viewer), state)
    assert result.outcome is Outcome.REFUSED
    assert result.problem is not None
    assert "patch nodes" in result.problem.sentence
    assert "update leases.coordination.k8s.io in kube-system" in result.problem.sentence
    assert "get nodes" not in result.problem.sentence
    assert cluster.pools() == before
    assert admin.get_lease("kube-system", "axiom-tui") is None


def test_an_api_lost_between_two_nodes_keeps_the_first_and_resumes(cluster: Simulated, state: Path) -> None:
    client = cluster.client(read_timeout=2.0)
    plan = planned(client)

    def cut(event: Event) -> None:
        if getattr(event, "index", None) == 1 and type(event).__name__ == "StepStarted":
            cluster.faults.set("broken")

    result, _ = apply(client, plan, state, on_event=cut)
    assert result.outcome is Outcome.FAILED
    assert cluster.pools()["m-o-1"] == (None, None)
    assert cluster.pools()["wall-a-3"] == ("true", "internal")
    assert "expires by itself" in result.notes[0]
    journal = Journal(state)
    entry = journal.load(result.plan_id)
    assert entry.steps[0].state is StepState.DONE
    assert entry.steps[1].state is StepState.FAILED
    assert entry.can_be_resumed
    cluster.faults.clear()
    resumed, _ = apply(
        client,
        rebuild_entry(entry, journal, access(client), KINDS),
        state,
        resume=entry.plan_id,
        identity=whoami(),
    )
    assert resumed.outcome is Outcome.DONE, resumed.problem
    assert cluster.pools() == WANTED


def test_two_admins_at_once(cluster: Simulated, state: Path, tmp_path: Path) -> None:
    anna, bert = cluster.client(), cluster.client()
    outcomes: list[Result] = []

    def second(event: Event) -> None:
        if type(event).__name__ == "StepStarted" and not outcomes:
            other = planned(bert, {"wall-a-2": "external"})
            outcomes.append(apply(bert, other, tmp_path / "state-of-bert", identity=BERT)[0])

    result, _ = apply(anna, planned(anna), state, on_event=second)
    assert result.outcome is Outcome.DONE
    (other,) = outcomes
    assert other.outcome is Outcome.REFUSED
    assert other.problem is not None
    assert "anna@desk (11) is changing this cluster since" in other.problem.sentence
    assert "to label 5 nodes" in other.problem.sentence
    assert cluster.pools() == WANTED


def test_the_lease_itself_against_the_api(cluster: Simulated) -> None:
    anna, bert = cluster.client(), cluster.client()
    first, second = LeaseLock(anna, ANNA), LeaseLock(bert, BERT)
    first.acquire("label 5 nodes", "plan-a")
    with pytest.raises(LockHeld, match="label 5 nodes"):
        second.acquire("join WALL-A-9", "plan-b")
    first._renew()
    assert first.lost is None
    found = anna.get_lease("kube-system", "axiom-tui")
    assert found is not None
    assert found.renewed is not None
    assert found.acquired is not None
    assert found.renewed >= found.acquired
    assert found.annotations["axiom-tui/what-for"] == "label 5 nodes"
    first.release()
    second.acquire("join WALL-A-9", "plan-b")
    with pytest.raises(LockHeld, match="bert@laptop"):
        first.acquire("again", "plan-c")
    second.release()
    assert second.look() is None


#: Imports once, then runs a plan in a fork for each line of its input, and kills that at one record.
KILLED = """
import os, signal, sys
from pathlib import Path
import axiom_tui.clients.kubernetes_transport
from axiom_tui.clients.kubernetes import KubernetesOptions, connect
from axiom_tui.plans.journal import Writer
from tests.plans.test_label_nodes import apply, planned

write = Writer._write

def child(kubeconfig, state, last):
    count = 0

    def watched(self, line):
        nonlocal count
        for half in (0, 1):
            count += 1
            if count == int(last):
                os.kill(os.getpid(), signal.SIGKILL)
            if half == 0:
                write(self, line)

    Writer._write = watched
    client = connect(KubernetesOptions((Path(kubeconfig),)))
    apply(client, planned(client), Path(state))

for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        child(*line.split())
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def test_kill_9_around_every_record_then_resume_ends_as_planned(tmp_path: Path) -> None:
    """A node's patch lies between the records ``earlier`` and ``step-ended``: every gap is hit."""
    command = [sys.executable, "-c", KILLED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killer:
        assert killer.stdin is not None
        assert killer.stdout is not None
        for last in itertools.count(1):
            directory = tmp_path / str(last)
            directory.mkdir()
            with simulated(directory) as cluster:
                before, state = cluster.pools(), directory / "state"
                killer.stdin.write(f"{cluster.kubeconfig()} {state} {last}\n")
                killer.stdin.flush()
                killed = int(killer.stdout.readline()) == -signal.SIGKILL
                _resume_and_undo(cluster, state, before)
            if not killed:
                break
        killer.stdin.close()
    assert last > 5 * 3 * 2  # five nodes, three records each, before and after


def _resume_and_undo(
    cluster: Simulated, state: Path, before: Mapping[str, tuple[str | None, str | None]]
) -> None:
    client, journal = cluster.client(), Journal(state)
    (entry,) = journal.entries()
    if not entry.kind:
        assert cluster.pools() == before  # killed before its first record: it changed nothing
        return
    if entry.outcome is None:
        assert entry.cut_short
        plan = rebuild_entry(entry, journal, access(client), KINDS)
        result, events = apply(client, plan, state, resume=entry.plan_id, identity=whoami())
        assert result.outcome is Outcome.DONE, result.problem
        # The lock of the dead process would last for 30 s more; its journal proves that it is dead.
        assert not any(isinstance(event, Waiting) for event in events)
    assert cluster.pools() == WANTED
    undo = rebuild_undo(journal.load(entry.plan_id), journal, access(client), KINDS)
    undone, _ = apply(client, undo, state, identity=whoami())
    assert undone.outcome is Outcome.DONE, undone.problem
    assert cluster.pools() == before


def test_the_rebuilt_plan_is_the_same_plan(cluster: Simulated) -> None:
    client = cluster.client()
    plan = planned(client)
    assert difference(plan, rebuild(plan.choices, access(client))) == ()
    with pytest.raises(AxiomError, match="no connection"):
        rebuild(plan.choices, Access(client.cluster))


def test_a_controller_that_fights_back_is_named(cluster: Simulated, state: Path) -> None:
    client = cluster.client()

    class Fought:
        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def patch_node_labels(self, name: str, *arguments: Any, **named: Any) -> Node:
            client.patch_node_labels(name, *arguments, **named)
            cluster.label(name, pool="mine")
            return client.get(NODES, name)

    fought = Fought()
    plan = label_plan(fought, client.cluster, nodes_of(client), {"wall-a-4": "internal"})
    result, _ = apply(client, plan, state)
    assert result.outcome is Outcome.FAILED
    assert result.problem is not None
    assert "something else sets them" in result.problem.sentence


class Watched:
    """The client, with something that happens just before each patch."""

    def __init__(self, client: KubernetesClient, before: Callable[[str], None]) -> None:
        self._client = client
        self._before = before
        self.sent: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def patch_node_labels(self, name: str, *arguments: Any, **named: Any) -> Node:
        self.sent.append(named["resource_version"])
        self._before(name)
        return self._client.patch_node_labels(name, *arguments, **named)


def beats(cluster: Simulated, count: int) -> Callable[[str], None]:
    """So many heartbeats, each just before a patch."""
    times = itertools.count()

    def beat(name: str) -> None:
        at = next(times)
        if at < count:
            cluster.store.mutate(
                "nodes", name, lambda item: item["status"]["conditions"][0].update(lastHeartbeatTime=str(at))
            )

    return beat


def test_a_patch_carries_the_version_that_it_was_planned_from(cluster: Simulated, state: Path) -> None:
    watched: Any = Watched(cluster.client(), beats(cluster, 0))
    plan = planned(watched, {"wall-a-4": "internal"})
    found = cluster.store.get("nodes", "wall-a-4")
    assert found is not None
    beats(cluster, 1)("wall-a-4")
    result, _ = apply(watched, plan, state)
    assert result.outcome is Outcome.DONE, result.problem
    assert watched.sent[0] == found["metadata"]["resourceVersion"]
    assert len(watched.sent) == 2


@pytest.mark.parametrize("count", [4, 5])
def test_heartbeats_at_each_patch(cluster: Simulated, state: Path, count: int) -> None:
    client = cluster.client()
    before = cluster.pools()
    watched: Any = Watched(client, beats(cluster, count))
    result, _ = apply(watched, planned(watched, {"wall-a-4": "internal"}), state)
    if count == 5:
        assert result.outcome is Outcome.CHANGED
        assert result.problem is not None
        assert "WALL-A-4 changes faster than it can be patched (5 tries)." in result.problem.sentence
        assert cluster.pools() == before
        return
    assert result.outcome is Outcome.DONE, result.problem
    journal = Journal(state)
    watched = Watched(client, beats(cluster, count))
    undo = rebuild_undo(journal.load(result.plan_id), journal, access(watched), KINDS)
    undone, _ = apply(watched, undo, state)
    assert undone.outcome is Outcome.DONE, undone.problem
    assert cluster.pools() == before


def test_an_api_that_is_lost_is_not_a_node_that_is_gone(cluster: Simulated, state: Path) -> None:
    client = cluster.client()
    done, _ = apply(client, planned(client, {"wall-a-4": "internal"}), state)
    journal = Journal(state)
    undo = rebuild_undo(journal.load(done.plan_id), journal, access(client), KINDS)
    cluster.faults.set("broken", path="/api/v1/nodes/wall-a-4")
    result, _ = apply(client, undo, state)
    assert result.outcome is Outcome.FAILED
    assert not journal.load(done.plan_id).undone
    assert cluster.pools()["wall-a-4"] == ("true", "internal")


def test_a_lost_answer_leaves_nothing_unsaid(cluster: Simulated, state: Path) -> None:
    client = cluster.client(read_timeout=1.0)
    watched: Any = Watched(client, lambda name: cluster.faults.set("hang", path="/api/v1/nodes/wall-a-4"))
    result, _ = apply(watched, planned(watched, {"wall-a-4": "internal"}), state)
    assert result.outcome is Outcome.FAILED
    problem = result.problem
    assert problem is not None
    assert problem.kind is ProblemKind.TIMED_OUT
    assert "Whether WALL-A-4 has enablelb=true, lbpool=internal now is not known." in problem.sentence
    assert problem.remedy.endswith("Then resume this plan from the journal: it looks first.")
    cluster.faults.clear()
    entry = Journal(state).load(result.plan_id)
    plan = rebuild_entry(entry, Journal(state), access(client), KINDS)
    resumed, _ = apply(client, plan, state, resume=entry.plan_id)
    assert resumed.outcome is Outcome.DONE, resumed.problem
    assert cluster.pools()["wall-a-4"] == ("true", "internal")


def test_a_refusal_is_no_lost_answer(cluster: Simulated, state: Path) -> None:
    client = cluster.client()
    path = "/api/v1/nodes/wall-a-4"
    watched: Any = Watched(client, lambda name: cluster.faults.set("forbidden", path=path))
    result, _ = apply(watched, planned(watched, {"wall-a-4": "internal"}), state)
    assert result.problem is not None
    assert result.problem.kind is ProblemKind.FORBIDDEN
    assert "not known" not in result.problem.sentence
