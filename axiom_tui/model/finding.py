"""A finding: one thing that is wrong, in one sentence, with its remedy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum


class Severity(IntEnum):
    """How bad it is; higher is worse, so that sorting puts the worst first."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    CRITICAL = 3

    @property
    def word(self) -> str:
        return self.name.lower()


class Wizard(StrEnum):
    """The wizard that mends a finding."""

    NONE = ""
    JOIN = "join"
    LABELS = "labels"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with one subject.

    ``rule`` is the stable id of the rule (``not-ready``), ``subject`` the folded node name, the device's
    key, ``cluster``, ``pool/<name>`` or ``<namespace>/<service>``. ``since`` is when it began, if known.
    ``short`` is what the VERDICT column shows, the ``sentence`` stands alone.
    """

    rule: str
    severity: Severity
    subject: str
    sentence: str
    remedy: str
    short: str = ""
    since: datetime | None = None
    wizard: Wizard = Wizard.NONE
    name: str = ""  # the subject as the admin writes it

    @property
    def shown(self) -> str:
        return self.name or self.subject

    @property
    def id(self) -> str:
        """Unique in the fleet, and the same for as long as the fault stands."""
        return f"{self.rule}:{self.subject}"


def worst_first(finding: Finding) -> tuple[int, str, str]:
    """Sort key of the Findings screen."""
    return (-finding.severity, finding.subject, finding.rule)
