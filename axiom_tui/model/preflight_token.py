"""Preflight rule about the join token: who gives it, and that nothing has to be asked for it in mid-plan."""

from __future__ import annotations

from axiom_tui.model.checks import Check
from axiom_tui.model.host import HostFacts
from axiom_tui.model.preflight_context import JoinContext, failed, passed, warned

RULE = "join-token"


def join_token(facts: HostFacts, context: JoinContext) -> Check | None:
    source = context.token
    if source is None:
        return None
    if not source.needed:
        return passed(RULE, "K3s has joined here already: no token is needed.")
    if source.reference:
        if source.problem is not None:
            return failed(RULE, source.problem.sentence, source.problem.remedy)
        return passed(RULE, f"The join token is read from {source.reference}.")
    names = {
        ip: context.rules.naming.display(node.name) for node in context.servers for ip in node.internal_ips
    }
    refused = [
        f"{names.get(ip, ip)} can't ({problem.sentence.rstrip('.')})" for ip, problem in source.refused
    ]
    if source.server:
        gives = f"{names.get(source.server, source.server)} gives the join token"
        if refused:
            return warned(RULE, f"{gives}; {'; '.join(refused)}.", source.refused[0][1].remedy)
        return passed(RULE, f"{gives}: it is reached, and sudo and K3s work there.")
    if not refused:
        return failed(
            RULE,
            "There is no server from which a join token could be had.",
            "Name a secret that holds one in the settings (join.token).",
        )
    return failed(
        RULE,
        f"No server gives a join token: {'; '.join(refused)}.",
        f"{source.refused[-1][1].remedy} Or name a secret that holds one in the settings (join.token).",
    )
