"""What the admin sees: one file per screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from screens.frame import FleetScreen


def _nodes() -> FleetScreen:
    from screens.nodes import NodesScreen

    return NodesScreen()


def _findings() -> FleetScreen:
    from screens.findings import FindingsScreen

    return FindingsScreen()


def _exposure() -> FleetScreen:
    from screens.exposure import ExposureScreen

    return ExposureScreen()


def _journal() -> FleetScreen:
    from screens.journal import JournalScreen

    return JournalScreen()


#: Each main screen is imported when it is first opened: the first frame needs only one of them.
MAIN_SCREENS: Mapping[str, Callable[[], FleetScreen]] = {
    "nodes": _nodes,
    "exposure": _exposure,
    "findings": _findings,
    "journal": _journal,
}
