"""The steps of a join in DNS: the record of the node, and a server's own among those of the API."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from axiom_tui.model.problem import AxiomError, ProblemKind
from axiom_tui.plans.access import Records
from axiom_tui.plans.join_choice import By, JoinSpec
from axiom_tui.plans.step import Json, Run, Step, UnavailableStep

#: How long a record that is set by hand is waited for, in seconds.
PATIENCE = 1800.0
LOOK_EVERY = 5.0  # seconds
NO_RECORDS = "no API of the DNS provider is configured (dns.token_file)"

Resolve = Callable[[str], tuple[str, ...]]


class SetRecord(Step):
    """Adds an A record at the provider, beside those that the name has."""

    interruptible = True
    deadline = 120.0

    def __init__(self, key: str, records: Records, name: str, address: str, ttl: int) -> None:
        self.key = key
        self._records = records
        self._name, self._address, self._ttl = name, address, ttl
        self.title = f"Add the DNS record {name} A {address}"
        self.commands = (f"{name}. {ttl} IN A {address}",)

    def is_done(self, run: Run) -> bool:
        return self._address in self._records.addresses(self._name)

    def run(self, run: Run) -> None:
        before = self._records.addresses(self._name)
        run.remember({"addresses": list(before)})
        self._records.add(self._name, self._address, self._ttl)

    def is_undone(self, run: Run) -> bool:
        earlier = run.earlier.get("addresses")
        was_there = not isinstance(earlier, list) or self._address in earlier
        return was_there or self._address not in self._records.addresses(self._name)

    def undo(self, run: Run) -> None:
        self._records.remove(self._name, self._address)

    def undo_commands(self, earlier: Mapping[str, Json]) -> tuple[str, ...]:
        return (f"remove: {self._name}. IN A {self._address}",)


class AwaitRecord(Step):
    """Waits for a record that the admin sets by hand."""

    interruptible = True
    reversible = False
    only_looks = True
    deadline = PATIENCE + 30.0

    def __init__(self, key: str, resolve: Resolve, name: str, address: str, ttl: int) -> None:
        self.key = key
        self._resolve = resolve
        self._name, self._address = name, address
        self.title = f"Set the DNS record {name} A {address} by hand; it is waited for"
        self.commands = (f"{name}. {ttl} IN A {address}", f"dig +short {name}")

    def is_done(self, run: Run) -> bool:
        try:
            return self._address in self._resolve(self._name)
        except AxiomError as error:
            if error.problem.kind in (ProblemKind.UNRESOLVED, ProblemKind.TIMED_OUT, ProblemKind.UNREACHABLE):
                return False
            raise

    def run(self, run: Run) -> None:
        run.remember({})
        run.output(f"Set it at your DNS provider: {self.commands[0]}")
        run.wait_for(
            f"{self._name} to resolve to {self._address}",
            lambda: self.is_done(run),
            PATIENCE,
            LOOK_EVERY,
            remedy="Set the record, then resume this plan from the journal.",
        )


def record_steps(spec: JoinSpec, records: Records | None, resolve: Resolve | None) -> tuple[Step, ...]:
    """The records of this join: the node's own, and for a server that of the API."""
    wanted = []
    if spec.dns is not By.NOBODY:
        wanted.append(("dns/node", spec.dns_name))
        if spec.api_record:
            wanted.append(("dns/api", spec.api_host))
    return tuple(_step(key, name, spec, records, resolve) for key, name in wanted)


def _step(key: str, name: str, spec: JoinSpec, records: Records | None, resolve: Resolve | None) -> Step:
    address, ttl = spec.tailnet_ip, spec.dns_ttl
    if spec.dns is By.API and records is not None:
        return SetRecord(key, records, name, address, ttl)
    if spec.dns is By.WAIT and resolve is not None:
        return AwaitRecord(key, resolve, name, address, ttl)
    title = f"Set the DNS record {name} A {address}"
    return UnavailableStep(key, title, NO_RECORDS, (f"{name}. {ttl} IN A {address}", f"dig +short {name}"))
