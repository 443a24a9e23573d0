"""What the door hands to the app: the settings in force and how it was started."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from axiom_tui.config import Loaded, Overrides


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How the embedded Axiom is to be: faults as ``--fault`` takes them, how many nodes, whether it lives."""

    faults: tuple[str, ...] = ()
    nodes: int | None = None
    still: bool = False


@dataclass(frozen=True, slots=True)
class StartOptions:
    """``loaded`` has ``overrides`` laid over it already; the demo lays them over the settings of its own
    world. ``log_file`` None: no log could be opened, and ``log_trouble`` says why."""

    loaded: Loaded = field(default_factory=Loaded)
    overrides: Overrides = field(default_factory=Overrides)
    debug: bool = False
    demo: DemoOptions | None = None
    log_file: Path | None = None
    log_trouble: str = ""
