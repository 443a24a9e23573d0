"""What went wrong, said to a person: what happened, to what, and what to do now."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ProblemKind(StrEnum):
    """The few ways in which an outside system can fail us; recovery depends on the kind alone."""

    REFUSED = "refused"  # nothing listens there
    UNRESOLVED = "unresolved"  # the name does not resolve
    UNREACHABLE = "unreachable"  # no route, connection reset, cut stream
    TIMED_OUT = "timed out"  # a deadline passed
    UNTRUSTED = "untrusted"  # TLS or host key verification failed
    UNAUTHENTICATED = "unauthenticated"  # 401, wrong or expired credentials
    FORBIDDEN = "forbidden"  # 403, a right is missing
    MISSING = "missing"  # 404, or a group that is not installed
    CONFLICT = "conflict"  # 409, somebody was faster
    INVALID = "invalid"  # 400, 422: the other side refuses what we sent
    EXPIRED = "expired"  # 410, our position is too old
    THROTTLED = "throttled"  # 429, come back later
    BROKEN = "broken"  # 5xx
    GARBLED = "garbled"  # an answer that cannot be read
    ABSENT = "absent"  # the program or service is not on this machine
    STOPPED = "stopped"  # it is there, but switched off, logged out or waiting
    MISCONFIGURED = "misconfigured"  # our own settings or kubeconfig cannot work
    UNCONFIRMED = "unconfirmed"  # a person was to confirm or to log in, and did not
    CANCELLED = "cancelled"  # the admin said so
    READ_ONLY = "read-only"  # this program may not change anything here


@dataclass(frozen=True, slots=True)
class Problem:
    """One failure. ``sentence`` says what happened and to what; ``remedy`` what to do now.

    ``retry_after`` is in seconds and only set where the other side named it.
    Neither text ever holds a secret; both may hold text from outside, so escape them on screen.
    """

    kind: ProblemKind
    sentence: str
    remedy: str = ""
    retry_after: float | None = None

    @classmethod
    def defect(cls, sentence: str) -> Problem:
        """A mistake of our own program, said like any other failure; the log holds the traceback."""
        return cls(ProblemKind.GARBLED, sentence, "The log file has the details (`axiom-tui config show`).")

    def __str__(self) -> str:
        return f"{self.sentence} {self.remedy}".strip()


class AxiomError(Exception):
    """The one exception that crosses rooms; it carries a `Problem`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def fail(
    kind: ProblemKind, sentence: str, remedy: str = "", *, retry_after: float | None = None
) -> AxiomError:
    """Build the exception for a problem: ``raise fail(ProblemKind.REFUSED, "...", "...") from error``."""
    return AxiomError(Problem(kind, sentence, remedy, retry_after))
