"""Preflight rule about the public address: the host's own view, its provider's, and what is published."""

from __future__ import annotations

from axiom_tui.model.checks import Check
from axiom_tui.model.host import HostFacts, ProviderView
from axiom_tui.model.naming import Role
from axiom_tui.model.node import is_public_ip, is_tailnet_ip
from axiom_tui.model.preflight_context import JoinContext, failed, passed, warned

RULE = "public-address"
#: Names an address only where it translates one to the host; others stand on the host and nowhere else.
NAMES_ONLY_FLOATING = "OpenStack"


def public_address(facts: HostFacts, context: JoinContext) -> Check:
    chosen, own, provider = context.public_address, facts.own_public_addresses, facts.provider
    if not chosen:
        return _without(facts, context)
    if is_tailnet_ip(chosen) or not is_public_ip(chosen):
        return failed(
            RULE, f"{chosen} is no public address.", "Choose one that the internet reaches, or none."
        )
    if chosen in own:
        return _on_the_host(chosen, provider)
    if chosen == provider.address:
        beside = f", which has {', '.join(own)} itself" if own else ""
        return warned(
            RULE,
            f"{chosen} is on no interface of the host{beside}, but {provider.name} names it and brings its "
            "packets there (a floating address): K3s will publish it.",
            "Choose none, or another one, if that is not meant.",
        )
    return warned(
        RULE,
        f"{chosen} is on no interface of the host, and its provider does not name it "
        f"({_views(own, provider)}).",
        "Make sure that it leads here (NAT); K3s will publish it.",
    )


def _without(facts: HostFacts, context: JoinContext) -> Check:
    if facts.public_addresses and context.role is Role.AGENT:
        return warned(
            RULE,
            f"The host has {', '.join(facts.public_addresses)}, but joins without a public address: it will "
            "be internal.",
            "Choose it as public address, if Services shall be reachable there.",
        )
    unknown = f" Whether {facts.provider.name} names one is not known: {facts.provider.error}."
    said = unknown if facts.provider.error else ""
    return passed(RULE, f"The node joins without a public address.{said}")


def _on_the_host(chosen: str, provider: ProviderView) -> Check:
    """The address is on an interface; what the provider says of it decides whether it is to be trusted."""
    if not provider.name or ":" in chosen:
        return passed(RULE, f"{chosen} is on the host; K3s will publish it.")
    if provider.address == chosen:
        return passed(RULE, f"{chosen} is on the host, and {provider.name} names it; K3s will publish it.")
    if provider.error:
        return warned(
            RULE,
            f"{chosen} is on the host; {provider.name} could not be asked for its view ({provider.error}).",
            "Compare it with the provider's console, or check again; K3s will publish it.",
        )
    if provider.address:
        return warned(
            RULE,
            f"{chosen} is on the host, but {provider.name} names {provider.address} for it: the other may be "
            "a floating address, which can be moved away.",
            f"Choose {provider.address}, unless {chosen} is meant.",
        )
    if provider.name == NAMES_ONLY_FLOATING:
        return passed(
            RULE,
            f"{chosen} is on the host, and {provider.name} names no floating address beside it; "
            "K3s will publish it.",
        )
    return warned(
        RULE,
        f"{chosen} is on the host, but {provider.name} names no public address for it: it may be a floating "
        "address, which can be moved away.",
        "Choose none, if it does not stay here.",
    )


def _views(own: tuple[str, ...], provider: ProviderView) -> str:
    said = [f"the host has {', '.join(own) or 'none'}"]
    if provider.name:
        named = provider.address or (f"gives no answer: {provider.error}" if provider.error else "none")
        said.append(f"{provider.name} {'' if provider.error else 'names '}{named}")
    else:
        said.append("it shows no provider that could be asked")
    return "; ".join(said)
