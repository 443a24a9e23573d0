"""Which kinds of plans there are, and how each is made again from what its journal says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from axiom_tui.model.problem import ProblemKind, fail
from axiom_tui.plans import join_node, label_nodes, undo
from axiom_tui.plans.access import Access
from axiom_tui.plans.entry import UNDO, Entry
from axiom_tui.plans.journal import Journal
from axiom_tui.plans.servicelb import SettleServiceLb
from axiom_tui.plans.step import Json, Plan

#: Makes the plan of one kind again from its choices. It may look at the world, but decides nothing anew.
Rebuild = Callable[[Mapping[str, Json], Access], Plan]


def _label_nodes(choices: Mapping[str, Json], access: Access) -> Plan:
    client = access.kubernetes
    final = () if client is None else (SettleServiceLb(client, access.cluster.context),)
    return label_nodes.rebuild(choices, access, final)


KINDS: Mapping[str, Rebuild] = MappingProxyType(
    {
        label_nodes.KIND: _label_nodes,
        join_node.KIND: join_node.rebuild,
        join_node.FIRST_SERVER_KIND: join_node.rebuild_first_server,
    }
)


def rebuild(entry: Entry, journal: Journal, access: Access, kinds: Mapping[str, Rebuild] = KINDS) -> Plan:
    """The plan of a journal entry, for resuming it. Raises AxiomError if it cannot be made here.

    The cluster must be the one that the plan was made for; nobody resumes on another one by mistake.
    """
    _same_cluster(entry, access)
    if entry.kind == UNDO:
        original = journal.load(str(entry.choices.get(undo.OF, "")))
        return rebuild_undo(original, journal, access, kinds)
    make = kinds.get(entry.kind)
    if make is None:
        raise fail(
            ProblemKind.INVALID,
            f"This version of axiom-tui does not know plans of the kind {entry.kind or 'nothing'!r}.",
            "Use the version that began it, or make a new plan.",
        )
    try:
        return make(entry.choices, access)
    except (KeyError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
        raise fail(
            ProblemKind.GARBLED,
            f"The plan {entry.plan_id} cannot be made again from its journal ({why}).",
            "Make a new plan: the steps that are already done are skipped.",
        ) from error


def rebuild_undo(
    original: Entry, journal: Journal, access: Access, kinds: Mapping[str, Rebuild] = KINDS
) -> Plan:
    """The plan that undoes a plan of the journal."""
    if original.kind == UNDO:
        raise fail(
            ProblemKind.INVALID,
            f"{original.plan_id} is itself an undo and cannot be undone.",
            "Apply the original plan again.",
        )
    return undo.undo_plan(rebuild(original, journal, access, kinds), original)


def _same_cluster(entry: Entry, access: Access) -> None:
    here = access.cluster
    if (entry.cluster, entry.server) != (here.name, here.server):
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"This plan was made for {entry.cluster} ({entry.server}), and you are connected to "
            f"{here.name} ({here.server}).",
            f"Change to the context {entry.context}, then try again.",
        )
