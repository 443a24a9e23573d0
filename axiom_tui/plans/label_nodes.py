"""The label plan: puts nodes into their load-balancer pools, touching two labels and nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from axiom_tui.clients.kubernetes_wire import NODES
from axiom_tui.model.fleet import Cluster
from axiom_tui.model.labels import label_arguments, label_value_fault
from axiom_tui.model.naming import NamingScheme, Role, natural_key
from axiom_tui.model.node import Node
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL, found_labels, labels_for, public_ips
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind, fail
from axiom_tui.model.rules import Rules
from axiom_tui.plans import label_persist
from axiom_tui.plans.access import Access, NodeClient
from axiom_tui.plans.danger import word_for
from axiom_tui.plans.label_files import CONFIG_FILE, KEYS
from axiom_tui.plans.label_persist import NodeHost, Persistence, PersistLabels, persist_steps
from axiom_tui.plans.step import Json, Plan, Right, Run, Step

KIND = "label-nodes"
FIELD_MANAGER = "axiom-tui"
RIGHTS = (Right("get", "nodes"), Right("patch", "nodes"))
#: What is said of a plan that also writes on the nodes.
PERSISTED = "K3s is not restarted: the labels hold at once, what is written on the nodes from its next start"
#: So often a node may move on (heartbeats do) between our look and our patch before we give up.
ATTEMPTS = 5

#: After these nobody knows whether a request was carried out.
UNANSWERED = (ProblemKind.TIMED_OUT, ProblemKind.UNREACHABLE, ProblemKind.BROKEN, ProblemKind.GARBLED)

Labels = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Premise:
    """What the plan was made from: if one of these is otherwise, it is another plan. Heartbeats are not."""

    uid: str
    enable: str | None
    pool: str | None
    is_server: bool
    public_ips: tuple[str, ...]

    @classmethod
    def of(cls, node: Node) -> Premise:
        found = found_labels(node)
        return cls(node.uid, found[ENABLE_LABEL], found[POOL_LABEL], node.is_server, public_ips(node))

    @property
    def labels(self) -> dict[str, str | None]:
        return {ENABLE_LABEL: self.enable, POOL_LABEL: self.pool}


class LabelStep(Step):
    """Puts one node into ``pool``, or into none ("").

    ``resource_version`` "" is for a plan rebuilt from the journal: it then looks itself before it patches.
    """

    deadline = 60.0

    def __init__(
        self,
        client: NodeClient,
        cluster: Cluster,
        naming: NamingScheme,
        node: str,
        premise: Premise,
        pool: str,
        resource_version: str = "",
    ) -> None:
        self.node = node
        self.premise = premise
        self.pool = pool
        self.resource_version = resource_version
        self._client = client
        self._context = cluster.context
        self._shown = naming.display(node)
        self._wanted = labels_for(pool)
        self.key = f"label/{node}"
        before = _words(premise.labels)
        self.title = f"Put {self._shown} into the pool {pool} (before: {before})"
        if not pool:
            self.title = f"Take {self._shown} out of the load balancer (before: {before})"
        self.commands = self._commands(self._wanted)

    def is_done(self, run: Run) -> bool:
        return found_labels(self._get()) == self._wanted

    def run(self, run: Run) -> None:
        # Look before anything is remembered: what somebody else changed is nothing for us to take back.
        node = self._checked()
        run.remember({"uid": node.uid, "labels": found_labels(node)})
        version = self.resource_version or node.resource_version
        for _ in range(ATTEMPTS):
            run.check()
            try:
                self._patch(self._wanted, version)
                run.output(f"{self.node}: {_words(self._wanted)}")
                return
            except AxiomError as error:
                if error.problem.kind is not ProblemKind.CONFLICT:
                    raise
            version = self._checked().resource_version
        raise self._restless()

    def verify(self, run: Run) -> None:
        found = found_labels(self._get())
        if found != self._wanted:
            raise fail(
                ProblemKind.BROKEN,
                f"{self._shown} was patched, but its labels are now {_words(found)} and not "
                f"{_words(self._wanted)}: something else sets them.",
                f"Look for node-label in {CONFIG_FILE} of the node, and for controllers that label nodes.",
            )

    def is_undone(self, run: Run) -> bool:
        earlier = earlier_labels(run.earlier)
        if earlier is None:
            return True  # it was cut before it changed anything
        try:
            return found_labels(self._client.get(NODES, self.node)) == earlier
        except AxiomError as error:
            if error.problem.kind is not ProblemKind.MISSING:
                raise
        run.output(f"{self._shown} is not in the cluster any more: there is nothing to take back.")
        return True

    def undo(self, run: Run) -> None:
        earlier = earlier_labels(run.earlier)
        assert earlier is not None  # else it is undone already
        for _ in range(ATTEMPTS):
            run.check()
            node = self._get()
            if (objection := self.objection_to_undo(node, run.earlier)) is not None:
                raise AxiomError(objection)
            try:
                self._patch(earlier, node.resource_version)
                return
            except AxiomError as error:
                if error.problem.kind is not ProblemKind.CONFLICT:
                    raise
        raise self._restless()

    def objection(self, node: Node | None) -> Problem | None:
        """Why this step does not touch the node as it is now, if so: it is not what was planned from."""
        if node is None:
            return Problem(
                ProblemKind.MISSING,
                f"{self._shown} is not in the cluster any more.",
                "Make a new plan without it: what is done already is skipped.",
            )
        found = Premise.of(node)
        if found == self.premise:
            return None
        return Problem(
            ProblemKind.CONFLICT,
            f"{self._shown} has changed since the plan was made: {_changes(self.premise, found)}.",
            "Make the plan again from what is there now.",
        )

    def objection_to_undo(self, node: Node, before: Mapping[str, Json]) -> Problem | None:
        """Why the undo does not touch the node as it is now, if so: it is not as this step left it.
        ``before`` is what the step remembered."""
        found = found_labels(node)
        is_same = node.uid == before.get("uid")
        if is_same and found == self._wanted:
            return None
        how = f"was changed since by somebody else: it has {_words(found)}"
        if not is_same:
            how = f"was registered again since: it has {_words(found)}"
        return Problem(
            ProblemKind.CONFLICT,
            f"{self._shown} {how}. Undo would overwrite that.",
            f"To have the earlier labels back, type: {self.undo_commands(before)[0]}",
        )

    def undo_commands(self, earlier: Mapping[str, Json]) -> tuple[str, ...]:
        labels = earlier_labels(earlier)
        return self._commands(labels) if labels is not None else ()

    def undo_title(self, earlier: Mapping[str, Json]) -> str:
        labels = earlier_labels(earlier) or self.premise.labels
        if labels == labels_for(""):
            return f"Take {self._shown} out of the load balancer again"
        if labels[ENABLE_LABEL] == "true" and labels[POOL_LABEL]:
            return f"Put {self._shown} back into the pool {labels[POOL_LABEL]}"
        return f"Give {self._shown} its earlier labels back ({_words(labels)})"

    def _patch(self, labels: Labels, resource_version: str) -> Node:
        try:
            return self._client.patch_node_labels(
                self.node, labels, resource_version=resource_version, field_manager=FIELD_MANAGER
            )
        except AxiomError as error:
            problem = error.problem
            if problem.kind not in UNANSWERED:
                raise
            raise fail(
                problem.kind,
                f"{problem.sentence} Whether {self._shown} has {_words(labels)} now is not known.",
                f"{problem.remedy} Then resume this plan from the journal: it looks first.".strip(),
            ) from error

    def _checked(self) -> Node:
        """The node as it is now; raises CONFLICT if it is not what the plan was made from."""
        node = self._get()
        if (objection := self.objection(node)) is not None:
            raise AxiomError(objection)
        return node

    def _get(self) -> Node:
        """The node as it is now. Raises MISSING, with what to do then."""
        try:
            return self._client.get(NODES, self.node)
        except AxiomError as error:
            gone = self.objection(None) if error.problem.kind is ProblemKind.MISSING else None
            raise (AxiomError(gone) if gone is not None else error) from error

    def _restless(self) -> AxiomError:
        return fail(
            ProblemKind.CONFLICT,
            f"{self._shown} changes faster than it can be patched ({ATTEMPTS} tries).",
            "See what writes to this node all the time, then make the plan again.",
        )

    def _commands(self, labels: Labels) -> tuple[str, ...]:
        return (kubectl_label(self._context, self.node, labels),)


def label_plan(
    client: NodeClient,
    cluster: Cluster,
    nodes: Iterable[Node],
    pools: Mapping[str, str],
    *,
    naming: NamingScheme | None = None,
    effect: tuple[str, ...] = (),
    doubts: Sequence[str] = (),
    final: Sequence[Step] = (),
    is_behind: bool = False,
    persist: Persistence | None = None,
) -> Plan:
    """One step for each node of ``pools`` (name -> pool, "" for none) that is not so already.

    ``effect`` is the preview for the Services, ``doubts`` what speaks against the choice itself; ``final``
    are steps after the last label, such as the proof that servicelb followed; with ``is_behind`` they are due
    even if all labels are as wanted. ``persist`` has the labels written into K3s' configuration on the nodes
    besides, last of all: a host that cannot be reached holds nothing else up. An error in the effect wants a
    word typed. Raises INVALID for a pool that cannot be a label's value, MISSING for a node that is not among
    ``nodes``.
    """
    naming = naming or NamingScheme()
    by_name = {node.name: node for node in nodes}
    steps: list[LabelStep] = []
    already: list[str] = []
    notes = list(doubts)
    targets: dict[str, NodeHost] = {}
    for name in sorted(pools, key=natural_key):
        pool = pools[name]
        _check_pool(naming.display(name), pool)
        node = by_name.get(name)
        if node is None:
            raise fail(
                ProblemKind.MISSING,
                f"There is no node {naming.display(name)} in {cluster.name} (any more).",
                "Make the plan again without it.",
            )
        changes = found_labels(node) != labels_for(pool)
        if persist is not None and label_persist.needs_host(node, pool, changes):
            targets[name] = NodeHost.of(node, pool, persist.devices)
        elif warning := label_persist.said_by_k3s(naming.display(name), node, pool):
            notes.append(warning)
        if not changes:
            already.append(f"{naming.display(name)} is {_where(pool)}")
            continue
        premise = Premise.of(node)
        steps.append(LabelStep(client, cluster, naming, name, premise, pool, node.resource_version))
    last: tuple[PersistLabels, ...] = ()
    chosen: dict[str, Json] | None = None
    if persist is not None and targets:
        # Those that are not Ready come last: if their hosts cannot be reached, all else is done by then.
        silent = [name for name in targets if not by_name[name].is_ready]
        targets |= {name: targets.pop(name) for name in silent}
        notes += [label_persist.may_not_be_reached(naming.display(name)) for name in silent]
        last = persist_steps(persist.hosts, naming, targets, persist.login)
        chosen = label_persist.recorded(targets, persist.login)
        notes.insert(0, PERSISTED)
    settling = tuple(final) if steps or is_behind else ()
    plan = _plan(cluster, naming, steps, tuple(already), tuple(notes), settling, last, chosen)
    shown = [naming.display(step.node) for step in steps]
    typed_word = word_for(effect, cluster, shown) if plan.has_work else ""
    return replace(plan, effect=(*effect, *notes), typed_word=typed_word)


def pools_by_policy(nodes: Iterable[Node], rules: Rules) -> dict[str, str]:
    """The pool that each node should be in by the rules, as `label_plan` takes it."""
    return {node.name: rules.pools.wanted(node, rules.role_of(node, None) or Role.AGENT) for node in nodes}


def rebuild(choices: Mapping[str, Json], access: Access, final: Sequence[Step] = ()) -> Plan:
    """The same plan from its journal: the same pools and premises, whatever the rules say by now.

    Its effect on the Services is not remembered: what it was by then is not what it is now.
    """
    client, naming = access.kubernetes, access.rules.naming
    if client is None:
        raise fail(
            ProblemKind.MISCONFIGURED,
            "The label plan needs the Kubernetes API, and there is no connection to it.",
            "Connect to the cluster, then resume.",
        )
    chosen = cast(Mapping[str, Mapping[str, Json]], choices["steps"])
    steps = [
        LabelStep(client, access.cluster, naming, name, _premise(choice), str(choice["pool"]))
        for name, choice in chosen.items()
    ]
    already = cast(Sequence[str], choices["already"])
    # These two are not in older journals, whose plans always settled.
    notes = cast(Sequence[str], choices.get("notes", ()))
    last: tuple[PersistLabels, ...] = ()
    persist = cast(Mapping[str, Json] | None, choices.get("persist"))
    if persist is not None:
        if access.hosts is None:
            raise fail(
                ProblemKind.MISCONFIGURED,
                "The plan writes on the nodes over SSH, and there is none.",
                "Check `ssh` in the settings, then resume.",
            )
        last = persist_steps(access.hosts, naming, *label_persist.recalled(persist))
    settling = tuple(final) if choices.get("settles", True) else ()
    return _plan(access.cluster, naming, steps, tuple(already), tuple(notes), settling, last, persist)


def kubectl_label(context: str, node: str, labels: Labels) -> str:
    """The line that a person would type; keys with None are removed."""
    where = f"kubectl --context {shlex.quote(context)}" if context else "kubectl"
    return f"{where} label node {node} {label_arguments(labels)} --overwrite --field-manager={FIELD_MANAGER}"


def _plan(
    cluster: Cluster,
    naming: NamingScheme,
    steps: Sequence[LabelStep],
    already: tuple[str, ...],
    notes: tuple[str, ...],
    settling: Sequence[Step],
    last: Sequence[PersistLabels],
    persist: Mapping[str, Json] | None,
) -> Plan:
    subject = "label no node: all are as wanted"
    if steps:
        names = _names(naming, [step.node for step in steps])
        subject = f"label {names}" if any(step.pool for step in steps) else f"take the labels off {names}"
    elif settling:
        subject = "have K3s' load balancer follow the labels"
    elif last:
        subject = (
            f"write the labels of {_names(naming, [step.node for step in last])} into K3s' configuration"
        )
    return Plan(
        kind=KIND,
        subject=subject,
        cluster=cluster,
        steps=(*steps, *settling, *last),
        effect=notes,
        rights=(*RIGHTS, *(right for step in settling for right in step.rights)),
        choices={
            "steps": {step.node: {"pool": step.pool, **_recorded(step.premise)} for step in steps},
            "already": list(already),
            "notes": list(notes),
            "settles": bool(settling),
            **({"persist": persist} if persist is not None else {}),
        },
        already=already,
    )


def _names(naming: NamingScheme, nodes: Sequence[str]) -> str:
    return ", ".join(map(naming.display, nodes)) if len(nodes) <= 3 else f"{len(nodes)} nodes"


def _check_pool(shown: str, pool: str) -> None:
    if (fault := label_value_fault(pool)) is not None:
        raise fail(
            ProblemKind.INVALID,
            f"Kubernetes would refuse {pool!r} as the pool of {shown}: {fault}.",
            "Choose another name for the pool.",
        )


def _recorded(premise: Premise) -> dict[str, Json]:
    return {
        "uid": premise.uid,
        "labels": premise.labels,
        "is_server": premise.is_server,
        "public_ips": list(premise.public_ips),
    }


def _premise(choice: Mapping[str, Json]) -> Premise:
    labels = cast(Mapping[str, str | None], choice["labels"])
    public = cast(Sequence[str], choice["public_ips"])
    return Premise(
        str(choice["uid"]), labels[ENABLE_LABEL], labels[POOL_LABEL], bool(choice["is_server"]), tuple(public)
    )


def earlier_labels(earlier: Mapping[str, Json]) -> dict[str, str | None] | None:
    """The labels as they were, or None if nothing was remembered: then nothing was changed."""
    labels = cast(Mapping[str, str | None] | None, earlier.get("labels"))
    return None if labels is None else {key: labels[key] for key in KEYS}


def _where(pool: str) -> str:
    return f"in the pool {pool}" if pool else "in no pool"


def _words(labels: Labels) -> str:
    """``enablelb=true, lbpool=internal``, ``no load-balancer labels``."""
    words = [f"{key.rpartition('/')[2]}={value}" for key, value in labels.items() if value is not None]
    return ", ".join(words) or "no load-balancer labels"


def _changes(old: Premise, new: Premise) -> str:
    changes = []
    if old.uid != new.uid:
        changes.append("it was registered again")
    if old.labels != new.labels:
        changes.append(f"it has {_words(new.labels)}, and had {_words(old.labels)}")
    if old.is_server != new.is_server:
        changes.append("it is a server now" if new.is_server else "it is no server any more")
    if old.public_ips != new.public_ips:
        changes.append(
            f"its public addresses are {', '.join(new.public_ips) or 'none'}, "
            f"and were {', '.join(old.public_ips) or 'none'}"
        )
    return "; ".join(changes)
