"""What a plan from the journal, resumed or taken back, does to every Service: today, against after it.

The same preview as before a plan's first run, by the same model, from a fresh look at the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from axiom_tui.model.exposure import effect_of
from axiom_tui.model.node import Node
from axiom_tui.model.pools import found_labels, labels_for
from axiom_tui.model.problem import Problem
from axiom_tui.plans.access import Access
from axiom_tui.plans.danger import word_for
from axiom_tui.plans.entry import Entry
from axiom_tui.plans.join_choice import JoinSpec
from axiom_tui.plans.join_cluster_steps import LabelTheNode, NodeAppears
from axiom_tui.plans.join_unit import StartK3s
from axiom_tui.plans.joining_node import is_of, left_alone
from axiom_tui.plans.label_nodes import Labels, LabelStep, earlier_labels
from axiom_tui.plans.servicelb import SettleServiceLb, observe
from axiom_tui.plans.step import Plan, Step
from axiom_tui.plans.undo import UndoStep


def with_effect(plan: Plan, original: Entry, access: Access) -> Plan:
    """The label plan or the undo ``plan`` with its effect. ``original`` is the plan that was first run.

    A plan without a cluster, or one after which servicelb has nothing to follow, stays as it is. What will
    stop it is said before; the effect is then that of the steps up to there. Raises AxiomError.
    """
    client = access.kubernetes
    if client is None or not any(_acts(step).settles for step in plan.steps):
        return plan
    seen = observe(client)
    nodes = {node.name: node for node in seen.nodes}
    changes, objection = _labels(plan, original, nodes)
    # The undo of a join begins with its labels: if it stops there, the node stays.
    gone, left = _gone(plan, original, nodes) if objection is None else ((), ())
    effect = effect_of(seen, changes, access.rules.pools, gone)
    said = left
    if objection is not None:
        said = (
            *said,
            f"error: This will stop on its way: {objection} What follows is the effect up to there.",
        )
    settle = SettleServiceLb(client, access.cluster.context, effect.touched)
    known = (_removing(step, _uid(original), is_left=bool(left)) for step in plan.steps)
    steps = tuple(_settling(step, settle) for step in known)
    whole = (*said, *effect.lines(), *plan.effect)
    # What is dangerous by itself has its word already.
    shown = [access.rules.naming.display(name) for name in changes]
    typed_word = plan.typed_word or word_for(whole, access.cluster, shown)
    return replace(plan, steps=steps, effect=whole, typed_word=typed_word)


def _acts(step: Step) -> Step:
    """What really acts: an undo has the original's steps inside."""
    return step.step if isinstance(step, UndoStep) else step


def _labels(
    plan: Plan, original: Entry, nodes: Mapping[str, Node]
) -> tuple[dict[str, Labels], Problem | None]:
    """The labels that it sets, node by node in its order, and why it will stop, if so."""
    changes: dict[str, Labels] = {}
    for step in plan.steps:
        name, labels, objection = _change(step, original, nodes)
        node = nodes.get(name)
        if labels is None or (node is not None and found_labels(node) == labels):
            continue  # there is nothing to do
        if objection is not None:
            return changes, objection
        changes[name] = labels
    return changes, None


def _change(
    step: Step, original: Entry, nodes: Mapping[str, Node]
) -> tuple[str, Labels | None, Problem | None]:
    """The node that a step labels, with what (None: with nothing), and what it has against that."""
    acts = _acts(step)
    if isinstance(step, LabelStep):
        return step.node, labels_for(step.pool), step.objection(nodes.get(step.node))
    if not isinstance(step, UndoStep) or not isinstance(acts, LabelStep | LabelTheNode):
        return "", None, None
    name = acts.node if isinstance(acts, LabelStep) else JoinSpec.of(original.choices).node
    node, earlier = nodes.get(name), earlier_labels(step.earlier)
    if node is None or earlier is None:
        return name, None, None
    if isinstance(acts, LabelTheNode) and not is_of(JoinSpec.of(original.choices), node):
        return name, None, None  # another host has the name by now
    return name, earlier, acts.objection_to_undo(node, step.earlier)


def _made_a_node(step: Step) -> bool:
    """Whether it takes a start of K3s back that made a node: one that found none before it."""
    if not isinstance(step, UndoStep) or not isinstance(step.step, StartK3s):
        return False
    return bool(step.earlier) and not step.earlier.get("node")


def _gone(plan: Plan, original: Entry, nodes: Mapping[str, Node]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The node that the undo of a join deletes: the one that was not there before it. And what is said if
    another one has its name by now: that node is left alone."""
    if not any(map(_made_a_node, plan.steps)):
        return (), ()
    spec = JoinSpec.of(original.choices)
    node = nodes.get(spec.node)
    if node is None:
        return (), ()
    if is_of(spec, node, _uid(original)):
        return (node.name,), ()
    stops = " If the host is reached, this stops before K3s there." if is_of(spec, node) else ""
    return (), (f"warning: {left_alone(spec, node)}{stops}",)


def _uid(original: Entry) -> str:
    """That of the node which appeared in a join, "" if its journal does not say."""
    appeared = original.step(NodeAppears.key)
    return str(appeared.earlier.get("uid", "")) if appeared is not None else ""


def _removing(step: Step, uid: str, *, is_left: bool) -> Step:
    """The undo of a start, which is told what another step of the join remembered: which node it was."""
    if not isinstance(step, UndoStep) or not _made_a_node(step):
        return step
    undo = UndoStep(step.step, {**step.earlier, "uid": uid})
    if is_left:
        as_it_is = {**step.earlier, "node": "another"}
        undo.title, undo.commands = step.step.undo_title(as_it_is), step.step.undo_commands(as_it_is)
    return undo


def _settling(step: Step, settle: SettleServiceLb) -> Step:
    """The step that settles, with the lines for the Services that will have to be touched now."""
    if not isinstance(_acts(step), SettleServiceLb):
        return step
    return UndoStep(settle, step.earlier) if isinstance(step, UndoStep) else settle
