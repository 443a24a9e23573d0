"""What is looked at before labels are changed: rights, lock, mode, and what it does to the Services."""

from __future__ import annotations

from collections.abc import Iterable

from axiom_tui.model.checks import Check, CheckState
from axiom_tui.model.exposure import severity_of
from axiom_tui.model.finding import Severity
from axiom_tui.model.problem import AxiomError
from axiom_tui.plans.proposal import FoundingMeans, Means, Proposal
from axiom_tui.plans.step import Right


def common_checks(means: Means | FoundingMeans, rights: Iterable[Right]) -> tuple[Check, ...]:
    """What every plan needs: it may write, it has the rights, nobody else is at work."""
    return (_read_only(means), *_rights(means, rights), _lock(means))


def label_checks(means: Means, proposal: Proposal) -> tuple[Check, ...]:
    """The checks of the label plan. What its effect says is as bad here as there: an error is a fail, which
    the admin decides on by typing the word that the plan wants."""
    plan = proposal.plan
    effects = [
        _consequence(line, severity, plan.typed_word)
        for line in plan.effect
        if (severity := severity_of(line)) is not None and severity > Severity.INFO
    ]
    if not effects:
        effects = [
            Check(
                "effect",
                CheckState.PASS,
                "No Service loses all its nodes, its address, or its place inside the tailnet.",
            )
        ]
    return (*common_checks(means, plan.rights), *effects)


def _consequence(line: str, severity: Severity, typed_word: str) -> Check:
    sentence = line.partition(": ")[2]
    # A plan without work wants no word, whatever is said of how it stands.
    if severity is Severity.WARNING or not typed_word:
        return Check("effect", CheckState.WARN, sentence, "See the effect on each Service in the plan.")
    return Check(
        "effect",
        CheckState.FAIL,
        sentence,
        f'See the effect on each Service in the plan, which wants "{typed_word}" typed for it.',
        typed_word=typed_word,
    )


def _read_only(means: Means | FoundingMeans) -> Check:
    if means.read_only:
        return Check(
            "read-only",
            CheckState.FAIL,
            "axiom-tui is in read-only mode here.",
            "Start it without --read-only, or allow changes for this context in the settings.",
            overridable=False,
        )
    return Check("read-only", CheckState.PASS, "Changes are allowed.")


def _rights(means: Means | FoundingMeans, rights: Iterable[Right]) -> tuple[Check, ...]:
    if means.can_i is None:
        return ()
    missing = []
    for right in dict.fromkeys((*rights, *means.lock().rights)):
        allowed, _ = means.can_i(
            right.verb,
            right.resource,
            group=right.group,
            namespace=right.namespace,
            name=right.name,
            subresource=right.subresource,
        )
        if not allowed:
            missing.append(str(right))
    if missing:
        check = Check(
            "rights",
            CheckState.FAIL,
            f"You may not: {', '.join(missing)}.",
            "Ask an admin of the cluster for a role with these rights, or use another context.",
            overridable=False,
        )
        return (check,)
    return (Check("rights", CheckState.PASS, "You have all rights that the plan needs."),)


def _lock(means: Means | FoundingMeans) -> Check:
    try:
        holder = means.lock().look()
    except AxiomError as error:
        return Check("lock", CheckState.WARN, error.problem.sentence, error.problem.remedy)
    if holder is None:
        return Check("lock", CheckState.PASS, "Nobody else is at work.")
    return Check(
        "lock",
        CheckState.WARN,
        f"{holder.who} is at work: {holder.what_for}.",
        "Wait until it is done; Apply takes the lock only when it is free or has expired.",
    )
