"""A join from its choice to its plan: facts of the host, the rules that judge it, and the proposal."""

from __future__ import annotations

from axiom_tui.model.checks import Check
from axiom_tui.model.host import HostFacts
from axiom_tui.plans.join_choice import JoinChoice
from axiom_tui.plans.proposal import Means, Proposal


def facts_of(means: Means, choice: JoinChoice) -> HostFacts:
    """Log in to the host and collect its facts. Blocks; raises AxiomError when there is no login."""
    raise NotImplementedError


def checks(means: Means, choice: JoinChoice, facts: HostFacts) -> tuple[Check, ...]:
    """Every preflight rule that applies, and what every plan needs (mode, rights, lock)."""
    raise NotImplementedError


def propose_join(means: Means, choice: JoinChoice, facts: HostFacts) -> Proposal:
    """The plan of the join. Raises AxiomError for a choice that cannot be planned."""
    raise NotImplementedError
