"""What an undo does to every Service: the preview of a plan's way back, by the model of its way there."""

from __future__ import annotations

from dataclasses import replace

from axiom_tui.model.exposure import effect_of
from axiom_tui.model.fleet import Observation
from axiom_tui.model.problem import Problem
from axiom_tui.plans.access import Access
from axiom_tui.plans.entry import Entry
from axiom_tui.plans.join_choice import JoinSpec
from axiom_tui.plans.join_cluster_steps import LabelTheNode
from axiom_tui.plans.join_unit import StartK3s
from axiom_tui.plans.label_nodes import Labels, LabelStep, earlier_labels
from axiom_tui.plans.servicelb import SettleServiceLb, observe
from axiom_tui.plans.step import Plan, Step
from axiom_tui.plans.undo import UndoStep


def with_effect(plan: Plan, original: Entry, access: Access) -> Plan:
    """The undo ``plan`` of ``original`` with what it does to the Services: today, against after the undo.

    Looks at the cluster afresh; a plan without a cluster, or one that changes none of its nodes, stays as it
    is. Raises AxiomError.
    """
    client = access.kubernetes
    if client is None or not any(isinstance(step, UndoStep) and step.step.settles for step in plan.steps):
        return plan
    seen = observe(client)
    changes, objection = _labels(plan, original, seen)
    effect = effect_of(seen, changes, access.rules.pools, _gone(plan, original))
    said: tuple[str, ...] = ()
    if objection is not None:
        said = (
            f"error: The undo will stop: {objection.sentence} {objection.remedy} (then undo again). "
            "What follows is the effect up to there.",
        )
    settle = SettleServiceLb(client, access.cluster.context, effect.touched)
    steps = tuple(_settling(step, settle) for step in plan.steps)
    return replace(plan, steps=steps, effect=(*said, *effect.lines(), *plan.effect))


def _labels(plan: Plan, original: Entry, seen: Observation) -> tuple[dict[str, Labels], Problem | None]:
    """The labels that it brings back, node by node in its order, and why it will stop, if so."""
    nodes = {node.name: node for node in seen.nodes}
    changes: dict[str, Labels] = {}
    for item in plan.steps:
        if not isinstance(item, UndoStep) or not isinstance(item.step, LabelStep | LabelTheNode):
            continue
        earlier = earlier_labels(item.earlier)
        name = item.step.node if isinstance(item.step, LabelStep) else JoinSpec.of(original.choices).node
        if earlier is None or name not in nodes:
            continue
        if isinstance(item.step, LabelStep):
            objection = item.step.objection(nodes[name], item.earlier)
            if objection is not None:
                return changes, objection
        changes[name] = earlier
    return changes, None


def _gone(plan: Plan, original: Entry) -> tuple[str, ...]:
    """The node that the undo of a join deletes: the one that was not there before it."""
    starts = [item for item in plan.steps if isinstance(item, UndoStep) and isinstance(item.step, StartK3s)]
    made = any(item.earlier and not item.earlier.get("node") for item in starts)
    return (JoinSpec.of(original.choices).node,) if made else ()


def _settling(step: Step, settle: SettleServiceLb) -> Step:
    """The step that settles, with the lines for the Services that this undo will have to touch."""
    if isinstance(step, UndoStep) and isinstance(step.step, SettleServiceLb):
        return UndoStep(settle, step.earlier)
    return step
