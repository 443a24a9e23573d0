"""A join from its choice to its plan: facts of the host, the rules that judge it, and the proposal."""

from __future__ import annotations

from dataclasses import replace

from axiom_tui.clients.kubernetes import NODES
from axiom_tui.model.checks import Check, CheckState, standing_fails
from axiom_tui.model.host import HostFacts
from axiom_tui.model.preflight import preflight
from axiom_tui.model.problem import ProblemKind, fail
from axiom_tui.plans.host_facts import Asked, collect
from axiom_tui.plans.join_choice import JoinChoice
from axiom_tui.plans.join_look import MOST_SERVERS, Look, address_of, devices_of, founding, server_addresses
from axiom_tui.plans.join_node import RIGHTS
from axiom_tui.plans.label_checks import common_checks
from axiom_tui.plans.proposal import Means, Proposal
from axiom_tui.plans.servicelb import SettleServiceLb
from axiom_tui.plans.step import Plan


def facts_of(means: Means, choice: JoinChoice) -> HostFacts:
    """Log in to the host and collect its facts. Blocks; raises AxiomError when there is no login.

    Where nothing may be changed nobody has to log in or give a password to be told so: READ_ONLY, FORBIDDEN.
    """
    for check in _own_checks(means, choice):
        if check.state is CheckState.FAIL:
            kind = ProblemKind.READ_ONLY if check.rule == "read-only" else ProblemKind.FORBIDDEN
            raise fail(kind, f"{check.sentence} Nobody logged in to {choice.host}.", check.remedy)
    settings = means.settings
    client = None if choice.first_server else means.client
    nodes = client.list(NODES).items if client is not None else ()
    asked = Asked(
        api_host=settings.api.host,
        api_port=settings.api.port,
        install_url=settings.join.install_url,
        version=client.version() if client is not None else choice.version,
        servers=server_addresses(nodes)[:MOST_SERVERS],
    )
    shell = means.hosts.shell(address_of(choice, devices_of(means)), choice.user)
    return collect(shell, asked)


def checks(means: Means, choice: JoinChoice, facts: HostFacts) -> tuple[Check, ...]:
    """What every plan needs (mode, rights, lock), then every preflight rule that applies."""
    look = Look.at(means, choice, facts)
    return (*_own_checks(means, choice), *preflight(facts, look.context(facts)))


def _own_checks(means: Means, choice: JoinChoice) -> tuple[Check, ...]:
    if choice.first_server:
        return common_checks(founding(means), ())
    return common_checks(means, (*RIGHTS, *SettleServiceLb.rights))


def propose_join(means: Means, choice: JoinChoice, facts: HostFacts) -> Proposal:
    """The plan of the join. Raises AxiomError for a choice that cannot be planned.

    Before it runs it is made again: from the host's facts and the cluster as they are by then.
    """
    look = Look.at(means, choice, facts)
    plan = look.plan(facts)
    # By its address: names of hosts change, and the login that there is was made by it.
    same = replace(choice, host=address_of(choice, look.devices))

    def again() -> Plan:
        fresh = facts_of(means, same)
        now = Look.at(means, same, fresh, confirmed=plan.effect)
        fails = standing_fails(preflight(fresh, now.context(fresh)), choice.overridden)
        if fails:
            said = " ".join(f"{check.rule}: {check.sentence}" for check in fails)
            remedy = fails[0].remedy
            raise fail(ProblemKind.CONFLICT, f"{choice.name} can't join any more. {said}", remedy)
        return now.plan(fresh)

    return Proposal(plan, founding(means) if choice.first_server else means, again)
