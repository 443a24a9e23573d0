"""The first page of a wizard: what it asks for, and what it looks at from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual.containers import Vertical

from axiom_tui.model.checks import Check

if TYPE_CHECKING:
    from axiom_tui.fleet.session import Session
    from axiom_tui.plans.proposal import Proposal


class ChoosePage(Vertical):
    """What a wizard asks for. ``fault`` says why the wizard cannot go on yet, "" when it can."""

    def fault(self) -> str:
        return ""

    def prepare(
        self, overridden: Sequence[str]
    ) -> Callable[[Session], tuple[tuple[Check, ...], Proposal | None]]:
        """What is looked at and planned from the choices, to be run off the event loop.

        The choices are read now, the call is made in a thread. No proposal: the checks say why.
        """
        raise NotImplementedError

    def begin(self) -> None:
        """The page is shown: put the focus on the first field."""

    def end(self) -> None:
        """The wizard is left: whatever `prepare` still looks at is wanted no more."""
