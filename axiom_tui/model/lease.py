"""A Lease: who holds the cluster's lock, since when, and how long it lasts unrenewed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Lease:
    """A ``coordination.k8s.io/v1`` Lease. ``duration`` is in seconds; ``holder`` "" means nobody.

    ``resource_version`` goes with every replacement, so that of two writers exactly one wins (409 else).
    """

    namespace: str
    name: str
    holder: str = ""
    duration: int = 0
    acquired: datetime | None = None
    renewed: datetime | None = None
    transitions: int = 0
    annotations: Mapping[str, str] = field(default_factory=dict)
    resource_version: str = ""
