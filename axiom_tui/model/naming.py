"""Names of nodes: the scheme ``M-O-<n>`` and ``WALL-A-<n>``, and the case folding between the systems.

K3s and MagicDNS lower-case node names, so the host ``WALL-A-3`` is the node ``wall-a-3``
(facts: K3s ``GetHostnameAndIPs``). Names are compared folded and shown as the admin writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

#: RFC 1123 label, as Kubernetes demands of a node name part; the whole name may hold dots.
_RFC1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
MAX_HOST_NAME = 63
_PARTS = re.compile(r"[0-9]+|[^0-9]+")


class Role(StrEnum):
    """What a node does: a server carries the API and etcd, an agent the workloads."""

    SERVER = "server"
    AGENT = "agent"

    @property
    def with_article(self) -> str:
        return f"an {self}" if self is Role.AGENT else f"a {self}"


def fold(name: str) -> str:
    """The form in which names are compared: first label, lower-case, without a trailing dot."""
    return name.strip().rstrip(".").split(".", 1)[0].lower()


@dataclass(frozen=True, slots=True)
class NamingScheme:
    """Prefixes of server and agent names, as the admin writes them."""

    server_prefix: str = "M-O-"
    agent_prefix: str = "WALL-A-"

    def number(self, name: str) -> int | None:
        """The number in the name, or None for a name outside the scheme."""
        match = self._match(name)
        return match[1] if match else None

    def role(self, name: str) -> Role | None:
        """The role that the name claims, or None for a name outside the scheme."""
        match = self._match(name)
        return match[0] if match else None

    def display(self, name: str) -> str:
        """The admin's spelling: ``wall-a-3`` becomes ``WALL-A-3``; other names stay as they are."""
        match = self._match(name)
        return f"{self.prefix(match[0])}{match[1]}" if match else name

    def prefix(self, role: Role) -> str:
        return self.server_prefix if role is Role.SERVER else self.agent_prefix

    def next_free(self, role: Role, taken: Iterable[str]) -> str:
        """One above the highest number in use, so that a name is not used twice; gaps are normal."""
        numbers = [match[1] for name in taken if (match := self._match(name)) and match[0] is role]
        return f"{self.prefix(role)}{max(numbers, default=0) + 1}"

    def _match(self, name: str) -> tuple[Role, int] | None:
        return _match(self.server_prefix, self.agent_prefix, name)


@lru_cache(maxsize=32768)  # asked for every node at every join
def _match(server_prefix: str, agent_prefix: str, name: str) -> tuple[Role, int] | None:
    folded = fold(name)
    for role, prefix in ((Role.SERVER, server_prefix.lower()), (Role.AGENT, agent_prefix.lower())):
        digits = folded[len(prefix) :]
        if folded.startswith(prefix) and digits.isascii() and digits.isdigit():
            # Leading zeros would make two spellings of one number.
            return (role, int(digits)) if str(int(digits)) == digits else None
    return None


def host_name_fault(name: str) -> str | None:
    """Why Kubernetes would refuse the (folded) name, in words; None if it is fine."""
    folded = name.strip().lower()
    if not folded:
        return "a node needs a name"
    if len(folded) > MAX_HOST_NAME:
        return f"{len(folded)} characters are too many for a host name ({MAX_HOST_NAME} at most)"
    if not _RFC1123.fullmatch(folded):
        return "only letters, digits and '-' are allowed, with a letter or digit at both ends"
    return None


@lru_cache(maxsize=32768)  # asked for every node by each system that lists it, and for its row
def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts ``wall-a-2`` before ``wall-a-10``."""
    return tuple(
        [
            (0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part)
            for part in _PARTS.findall(name.lower())
        ]
    )
