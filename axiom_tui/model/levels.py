"""Levels of service: which PriorityClass and sync wave belong together (facts: operator.md)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Level:
    """One level. ``wave`` is Argo CD's sync wave and the level's number; ``name`` is the PriorityClass.

    ``name`` is "" for a level that is reserved and has no class. ``built_in`` classes come with Kubernetes
    and are never made or changed.
    """

    wave: int
    name: str
    value: int
    built_in: bool = False


DEFAULT_LEVELS = (
    Level(-5, "system-node-critical", 2_000_001_000, built_in=True),
    Level(-4, "system-cluster-critical", 2_000_000_000, built_in=True),
    Level(-3, "core", 1_000_000_000),
    Level(-2, "infra", 100_000_000),
    Level(-1, "", 10_000_000),
    Level(0, "workload", 1_000_000),
)
