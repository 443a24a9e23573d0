"""6 Journal: what was done, when, by whom and on which cluster; a plan that was cut short is at the top."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from axiom_tui.config import state_directory
from axiom_tui.model.cells import NOTHING, Cell, Style
from axiom_tui.model.fleet import Fleet
from axiom_tui.model.problem import AxiomError
from axiom_tui.model.state_words import PLANS
from axiom_tui.model.times import age, span
from axiom_tui.plans.entry import Entry
from axiom_tui.plans.events import StepState
from axiom_tui.plans.journal import Journal
from axiom_tui.plans.transcript import transcript_of
from screens.dialogs import TextScreen
from screens.frame import column
from screens.table_screen import TableScreen
from screens.widgets.cells import visible_lines
from screens.widgets.columns import Column

if TYPE_CHECKING:
    from axiom_tui.fleet.session import Session
    from axiom_tui.plans.proposal import Proposal


def outcome(entry: Entry) -> Cell:
    """How the plan stands, in a glyph and a word."""
    if entry.faults:
        return PLANS["damaged"]
    if entry.running:
        return PLANS["running"]
    if entry.undone:
        return PLANS["undone"]
    if entry.cut_short:
        return PLANS["cut short"]
    return PLANS[entry.outcome or "not begun"]


def _when(entry: Entry, moment: datetime) -> Cell:
    return Cell(f"{age(entry.last_began, moment)} ago") if entry.last_began else NOTHING


def _took(entry: Entry) -> Cell:
    if entry.ended is None or entry.last_began is None:
        return NOTHING
    return Cell(span(entry.ended - entry.last_began))


def _by(entry: Entry) -> Cell:
    return Cell(f"{entry.user}@{entry.machine}") if entry.user else NOTHING


def _plan(entry: Entry) -> Cell:
    """What was done to what; of a record that cannot be read there is only its name."""
    return Cell(entry.subject) if entry.subject else Cell(entry.plan_id, Style.DIM)


#: On a narrow terminal what was done to what has room first; a lower priority goes first.
COLUMNS: tuple[Column[Entry], ...] = (
    column("state", "STATE", 12, lambda entry, _: outcome(entry), required=True,
           sort_key=lambda entry: outcome(entry).text, sort_letter="S"),
    column("when", "BEGUN", 8, _when, max_width=10, ages=True, priority=90,
           sort_key=lambda entry: entry.last_began.timestamp() if entry.last_began else None,
           sort_letter="B", descending_first=True),
    column("steps", "STEPS", 6, lambda entry, _: Cell(entry.progress), priority=50),
    column("took", "TOOK", 5, lambda entry, _: _took(entry), align="right", priority=30),
    column("who", "BY", 12, lambda entry, _: _by(entry), max_width=30, priority=40,
           sort_key=lambda entry: entry.user, sort_letter="U"),
    column("cluster", "CLUSTER", 10, lambda entry, _: Cell(entry.cluster), max_width=24, priority=55,
           sort_key=lambda entry: entry.cluster, sort_letter="C"),
    column("subject", "PLAN", 24, lambda entry, _: _plan(entry), grow=True, required=True,
           comfort=44,
           sort_key=lambda entry: entry.subject, sort_letter="P"),
)  # fmt: skip


def _through(entry: Entry) -> frozenset[str]:
    """The keys of the steps that need not be done any more."""
    through = (StepState.DONE, StepState.ALREADY)
    return frozenset(step.key for step in entry.steps if step.state in through)


def _why_not(entry: Entry, otherwise: str) -> str:
    """Why a plan can neither be resumed nor undone; ``otherwise`` when none of these is so."""
    if entry.faults:
        return "its record is damaged"
    if entry.running:
        return f"it still runs, by {entry.who}"
    return "it was undone already" if entry.undone else otherwise


class JournalScreen(TableScreen[Entry]):
    """The journal of this workstation, read again when one of its files has changed."""

    MODE = "journal"
    HELP = (
        "Every plan that was begun on this workstation, newest first; one that was cut short stands at the "
        "top. enter shows it step by step; r resumes it at the step where it stopped; u takes it back."
    )
    COLUMNS = COLUMNS

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "steps"),
        Binding("r", "resume", "resume"),
        Binding("u", "undo", "undo"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._entries: tuple[Entry, ...] = ()
        self._fault = ""
        self._signature: object = None  # of the files that the entries were read from
        self._reading = False

    @property
    def _journal(self) -> Journal:
        """Looked for each time: that of the demo is there once its world is."""
        return Journal(state_directory())

    def key_of(self, row: Entry) -> str:
        return row.plan_id

    def searched(self, row: Entry) -> tuple[str, Mapping[str, str]]:
        return f"{row.subject} {row.cluster} {row.who} {outcome(row).text}".lower(), {}

    def beneath(self, row: Entry) -> Content:
        what = str(row.problem) if row.problem else "; ".join(row.faults)
        hint = "r resumes it." if row.can_be_resumed else "u takes it back." if row.can_be_undone else ""
        return Content.assemble(
            (visible_lines(row.subject or row.plan_id), "bold"),
            visible_lines(f" ({row.plan_id}, {row.who})\n{f'{what} {hint}'.strip()}"),
        )

    def copied(self, row: Entry) -> tuple[str, str]:
        return "\n".join(transcript_of(row)) + "\n", "Copied the transcript."

    def show_fleet(self, fleet: Fleet) -> None:
        self._read()
        self._show()

    def _show(self) -> None:
        empty = self._fault or "Nothing was changed from here yet."
        self.show_rows(self._entries, empty, "No plan passes the filter; esc clears it.")

    def _read(self) -> None:
        """Read the journal anew if a file changed, or if a plan may have ended; never on the event loop."""
        if self._reading:
            return
        signature = self._journal.signature()
        if signature == self._signature and not any(entry.running for entry in self._entries):
            return
        self._reading = True
        self.program.off_loop(self._look, self._seen(signature))

    def _look(self) -> tuple[tuple[Entry, ...], str]:
        try:
            return self._journal.entries(), ""
        except AxiomError as error:
            return (), str(error.problem)

    def _seen(self, signature: object) -> Callable[[tuple[tuple[Entry, ...], str]], None]:
        def take(answer: tuple[tuple[Entry, ...], str]) -> None:
            self._reading = False
            self._signature = signature
            self._entries, self._fault = answer
            self.program.mark_journal(self._entries)
            if self.is_mounted:
                self._show()

        return take

    def tick(self) -> None:
        super().tick()
        self._read()

    def action_open(self) -> None:
        entry = self.selected
        if entry is not None:
            self.app.push_screen(TextScreen(entry.subject or entry.plan_id, "\n".join(transcript_of(entry))))

    def action_resume(self) -> None:
        entry = self.selected
        if entry is None:
            return
        if not entry.can_be_resumed:
            self.notify(f"This plan can't be resumed: {_why_not(entry, 'it has ended')}.", severity="warning")
            return
        plan_id, interaction = entry.plan_id, self.program.interaction

        def ask(session: Session) -> Proposal:
            from axiom_tui.plans.proposal import Means, resume

            return resume(Means.reaching(session.client, session.settings, interaction), plan_id)

        self.program.in_background(
            ask, lambda proposal: self._open(f"Resume: {entry.subject}", proposal, _through(entry))
        )

    def action_undo(self) -> None:
        entry = self.selected
        if entry is None:
            return
        if not entry.can_be_undone:
            why = _why_not(entry, "nothing in it can be taken back")
            self.notify(f"This plan can't be undone: {why}.", severity="warning")
            return
        plan_id, interaction = entry.plan_id, self.program.interaction

        def ask(session: Session) -> Proposal:
            from axiom_tui.plans.proposal import Means, undo

            return undo(Means.reaching(session.client, session.settings, interaction), plan_id)

        self.program.in_background(ask, lambda proposal: self._open(f"Undo: {entry.subject}", proposal))

    def _open(self, title: str, proposal: Proposal, done: Collection[str] = frozenset()) -> None:
        from screens.wizard import WizardScreen

        self.app.push_screen(WizardScreen(title, proposal=proposal, done=done))
