"""The frame of all wizards: Choose, Check, Plan, Apply, Result; one plan from its choices to its proof.

Choose and Check belong to each wizard; Plan, Apply and Result are the same for every plan, so that a plan
resumed or undone from the journal enters at Plan. Leaving is safe at any point, and says what stays.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen, Screen
from textual.widgets import Button, ContentSwitcher, Input, RichLog, Static

from axiom_tui.model.checks import Check, standing_fails
from axiom_tui.model.problem import AxiomError, Problem
from axiom_tui.model.times import clock, span
from axiom_tui.plans.events import (
    Event,
    Outcome,
    Output,
    PlanChanged,
    PlanFinished,
    Result,
    StepFinished,
    StepOverdue,
    StepStarted,
    StepState,
    Waiting,
)
from axiom_tui.plans.step import CancelToken, Plan
from axiom_tui.plans.transcript import transcript
from screens.choose_page import ChoosePage
from screens.frame import KeyBar, now
from screens.plan_pages import line, plan_content, result_content
from screens.plan_progress import Progress, checks_content, progress_content
from screens.widgets.cells import visible_lines

if TYPE_CHECKING:
    from axiom_tui.app import AxiomApp
    from axiom_tui.fleet.session import Session
    from axiom_tui.plans.proposal import Proposal

log = logging.getLogger(__name__)

#: Another admin's plan is waited for in sight, until ctrl+c; an expired lock is taken over at once.
WAIT_FOR_LOCK = 600.0  # seconds

MORE_BELOW = "▼ more below: pgdn"

STAGES = ("choose", "check", "plan", "apply", "result")
#: What going on means on each page; "replanned" is the result of a plan that came out as another one.
#: From the result there is none: a key that comes twice must not close what is to be read.
FOLLOWING = (("choose", "check"), ("check", "plan"), ("plan", "apply"), ("replanned", "new plan"))
#: What esc means: leave before anything was done, ask the run to stop, close the account.
LEAVING = (("early", "leave"), ("apply", "stop after this step"), ("late", "close"))


class Told(Message):
    """The runner told something; it runs in a thread of its own."""

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event


class Prepared(Message):
    """What was asked for in the background is there: checks and a proposal, or why there is none."""

    def __init__(
        self, checks: tuple[Check, ...], proposal: Proposal | None, problem: Problem | None = None
    ) -> None:
        super().__init__()
        self.checks, self.proposal, self.problem = checks, proposal, problem


class WizardScreen(Screen[None]):
    """``choose`` None: enter at Plan with ``proposal`` (resume, undo). ``done`` are the keys of its steps
    that an earlier run did."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # One key, and on each page the word for what it does there: that of the page's button.
        *(Binding("ctrl+n", f"next('{where}')", what) for where, what in FOLLOWING),
        Binding("ctrl+b", "back", "back"),
        *(Binding("escape", f"leave('{where}')", what) for where, what in LEAVING),
        Binding("ctrl+l", "login", "login page"),
        Binding("c", "copy_transcript", "copy transcript"),
        Binding("down,j", "scroll_page('down')", "Down", show=False),
        Binding("up,k", "scroll_page('up')", "Up", show=False),
        Binding("pagedown", "scroll_page('page_down')", "Page down", show=False),
        Binding("pageup", "scroll_page('page_up')", "Page up", show=False),
        Binding("home,g", "scroll_page('home')", "Top", show=False),
        Binding("end,G", "scroll_page('end')", "End", show=False),
    ]
    HELP = (
        "A wizard goes from Choose over Check and Plan to Apply and Result. Nothing is changed before Apply. "
        "Plan shows each step with the exact commands, the effect on every Service, and what can be undone. "
        "ctrl+n goes on, ctrl+b goes back, esc or ctrl+c leaves the wizard. During Apply esc stops after the "
        "step that runs, and ctrl+c asks whether to: no step is cut in its middle."
    )

    def __init__(
        self,
        title: str,
        choose: ChoosePage | None = None,
        proposal: Proposal | None = None,
        done: Collection[str] = frozenset(),
    ) -> None:
        super().__init__()
        self.title_text = title
        self._choose = choose
        self._proposal = proposal
        self._done = done
        self._checks: tuple[Check, ...] = ()
        self._overridden: list[str] = []
        self._problem: Problem | None = None
        self._cancel = CancelToken()
        self._progress = Progress()
        self._result: Result | None = None
        self._cluster = ""
        self._difference: tuple[str, ...] = ()  # why the plan is another one now, and in what
        self._is_replanned = False
        self._applying = False
        self._busy_since: datetime | None = None
        self._asked_since: datetime | None = None  # a question lies on the page
        self._when_stopped: Callable[[], object] | None = None
        self._said = ""
        self.stage = "choose" if choose is not None else "plan"

    # -- what is shown ------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield Static(id="wizard-title")
        with Horizontal(id="wizard-body"):
            yield Static(id="rail")
            with ContentSwitcher(initial=self.stage, id="pages"):
                with Vertical(id="choose"):
                    if self._choose is not None:
                        yield self._choose
                with VerticalScroll(id="check", can_focus=True):
                    yield Static(id="check-text")
                with VerticalScroll(id="plan", can_focus=True):
                    yield Static(id="plan-text")
                with Vertical(id="apply"):
                    yield Static(id="apply-steps")
                    yield Static(id="apply-now")
                    yield RichLog(id="output", wrap=True, markup=False, max_lines=2000, min_width=1)
                with VerticalScroll(id="result", can_focus=True):
                    yield Static(id="result-text")
        # Outside of the page that scrolls: what is to be read stays in sight while one types.
        yield Input(placeholder="type a rule's name to override it", id="override", compact=True)
        yield Input(id="typed", compact=True)
        yield Static(id="wizard-says")
        with Horizontal(id="buttons"):
            yield Button("Cancel", id="leave", compact=True)
            yield Button("Back", id="back", compact=True)
            yield Button("Next", id="next", compact=True, variant="primary")
            yield Button("Undo", id="undo", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        self._app.wizards.append(self)
        # Whatever is looked at later: this wizard's plan is for the cluster that it was opened on.
        self._cluster = self._app.fleet.cluster.name
        self.set_interval(1.0, self._tick)
        for page in self.query("#pages > VerticalScroll"):
            self.watch(page, "scroll_y", self._say_more, init=False)
        self._enter(self.stage)

    def on_unmount(self) -> None:
        if self in self._app.wizards:
            self._app.wizards.remove(self)
        if self._busy_since is not None:
            self._app.end_questions()
        if self._choose is not None:
            self._choose.end()
        if self.app.is_running:
            self._app.look_at_journal()

    def on_screen_suspend(self) -> None:
        if self._asked_since is None and isinstance(self.app.screen, ModalScreen):
            self._asked_since = now()

    def on_screen_resume(self) -> None:
        """What the admin took for an answer is no time of looking."""
        if self._asked_since is not None and self._busy_since is not None:
            self._busy_since += now() - self._asked_since
        self._asked_since = None

    @property
    def is_running_plan(self) -> bool:
        """Whether a plan runs now: quitting must not cut it."""
        return self._applying

    @property
    def plan(self) -> Plan | None:
        return self._proposal.plan if self._proposal is not None else None

    @property
    def _app(self) -> AxiomApp:
        return self.app  # type: ignore[return-value]

    def _enter(self, stage: str) -> None:
        self.stage = stage
        self.query_one("#pages", ContentSwitcher).current = stage
        self._render_title()
        match stage:
            case "check":
                self._render_checks()
            case "plan":
                self._render_plan()
            case "apply":
                self._render_apply()
            case "result":
                self._render_result()
        self._render_buttons()
        self.refresh_bindings()
        self.call_after_refresh(self._focus_stage)

    def _focus_stage(self) -> None:
        match self.stage:
            case "choose" if self._choose is not None:
                self._choose.begin()
            case "check":
                following = self.query_one("#next", Button)
                # Where there is no way on, enter does nothing: Back would be a surprise.
                wanted = "#override" if self._overridable else "#check" if following.disabled else "#next"
                self.query_one(wanted).focus()
            case "plan":
                typed = self.plan is not None and bool(self.plan.typed_word)
                self.query_one("#typed" if typed else "#next").focus()
            case "apply":
                self.query_one("#output").focus()
            case _:
                self.query_one("#next").focus()

    @property
    def _overridable(self) -> tuple[str, ...]:
        """The names of the fails that still stand in the way and may be overridden."""
        fails = standing_fails(self._checks, self._overridden)
        return tuple(check.rule for check in fails if check.overridable)

    def _render_title(self) -> None:
        plan = self.plan
        cluster = plan.cluster.name if plan is not None else self._cluster
        marks = "  ".join(f"[{mark}]" for mark in self._app.marks())
        self.query_one("#wizard-title", Static).update(
            Content.assemble(
                (f" {self.title_text} ", "bold"),
                " on " if cluster else "",
                (visible_lines(cluster), "bold $text-accent"),
                (f"   {marks}", "bold $text-warning"),
            )
        )
        lines = []
        # A plan that is resumed or taken back has no Choose and no Check: its first page is the first.
        for number, name in enumerate(STAGES if self._choose is not None else STAGES[2:], start=1):
            sign = "▶" if name == self.stage else " "
            is_past = STAGES.index(name) < STAGES.index(self.stage)
            past = " ✓"
            if name == "apply" and self._result is not None and self._result.outcome is not Outcome.DONE:
                past = " ✗"  # it is over, and it did not do what it was to do
            text = f"{sign}{number} {name.capitalize()}{past if is_past else ''}"
            lines.append(Content.styled(text, "bold reverse" if name == self.stage else ""))
        self.query_one("#rail", Static).update(Content("\n").join(lines))

    def _render_buttons(self) -> None:
        following = self.query_one("#next", Button)
        following.label = dict((*FOLLOWING, LEAVING[1], ("result", "close")))[self._following].capitalize()
        following.refresh(layout=True)  # it is as wide as its new word
        self.query_one("#back").display = self.stage in ("check", "plan") and self._choose is not None
        self.query_one("#leave").display = self.stage in ("choose", "check", "plan")
        self.query_one("#undo").display = self.stage == "result" and self._can_undo()
        plan = self.plan
        self.query_one("#override").display = self.stage == "check" and bool(self._overridable)
        typed = self.query_one("#typed", Input)
        typed.display = self.stage == "plan" and plan is not None and bool(plan.typed_word)
        if plan is not None and plan.typed_word:
            typed.placeholder = f'to apply, type "{plan.typed_word}"'
        following.disabled = not self._can_go_on()
        self.refresh_bindings()
        self._say(self._looking())
        self.call_after_refresh(self._say_more)

    @property
    def _following(self) -> str:
        return "replanned" if self.stage == "result" and self._is_replanned else self.stage

    def _can_go_on(self) -> bool:
        if self._busy_since is not None:
            return False
        match self.stage:
            case "check":
                return self._proposal is not None and not standing_fails(self._checks, self._overridden)
            case "plan":
                return self.plan is not None and self.plan.has_work
            case "apply":
                return not self._cancel.cancelled
            case _:
                return True

    def _say_more(self) -> None:
        """A page that goes on below its end says so: nobody applies a plan that was half seen."""
        page = self.query_one(f"#{self.stage}")
        if self._said in ("", MORE_BELOW):
            goes_on = isinstance(page, VerticalScroll) and page.max_scroll_y > page.scroll_y
            self._say(MORE_BELOW if goes_on else "")

    def _looking(self) -> str:
        """What is waited for, and how long already; each request behind it has its own deadline."""
        if self._busy_since is None:
            return ""
        login = ", waits for your login (ctrl+l shows it)" if self._app.login is not None else ""
        asked_for = now() - self._asked_since if self._asked_since is not None else timedelta()
        return f"Looking … ({span(now() - self._busy_since - asked_for)}){login}"

    def _say(self, text: str, style: str = "$text-muted") -> None:
        self._said = text
        says = self.query_one("#wizard-says", Static)
        says.update(line(text, style))
        says.display = bool(text)

    def _render_checks(self) -> None:
        content = checks_content(self._checks, self._overridden, self._problem)
        self.query_one("#check-text", Static).update(content)

    def _render_plan(self) -> None:
        plan = self.plan
        if plan is None:
            return
        self.query_one("#plan-text", Static).update(plan_content(plan, self._difference, self._done))

    def _render_apply(self) -> None:
        plan = self.plan
        if plan is None:
            return
        self.query_one("#apply-steps", Static).update(progress_content(plan, self._progress))
        lines = []
        if self._progress.waiting:
            lines.append(line(self._progress.waiting, "$text-warning"))
        if self._cancel.cancelled and self._applying:
            lines.append(Content.styled("Cancelling: the run ends after this step.", "$text-warning"))
        saying = self.query_one("#apply-now", Static)
        saying.update(Content("\n").join(lines))
        saying.display = bool(lines)

    def _render_result(self) -> None:
        result = self._result
        if result is None:
            return
        self.query_one("#result-text", Static).update(result_content(result, self._difference))

    def _tick(self) -> None:
        if self._busy_since is not None:
            self._say(self._looking())
        if self.stage == "apply":
            self._render_apply()

    # -- going on and back --------------------------------------------------------------------------------

    def on_button_pressed(self, event: Button.Pressed) -> None:
        actions = {
            "next": self.action_next,
            "back": self.action_back,
            "leave": self.action_leave,
            "undo": self._undo,
        }
        actions[event.button.id or "leave"]()

    def action_next(self, where: str = "") -> None:
        """Go on from the page that is shown; ``where`` only tells the bindings apart."""
        if not self._can_go_on():
            return
        match self.stage:
            case "choose":
                self._check()
            case "check":
                self._enter("plan")
            case "plan":
                self._apply()
            case "apply":
                self.stop_plan()
            case "result" if self._is_replanned:
                self._enter("plan")
            case _:
                self.dismiss()

    def action_back(self) -> None:
        if self.stage in ("check", "plan") and self._choose is not None and self._busy_since is None:
            self._enter("choose" if self.stage == "check" else "check")

    def action_leave(self, where: str = "") -> None:
        if self._applying:
            self.stop_plan()
            return
        if self.stage in ("choose", "check", "plan"):
            something = self._result is not None and self._result.journalled
            stays = "what was done before stays done" if something else "nothing was changed"
            self.app.notify(f"Left “{self.title_text}”: {stays}.", timeout=3)
        self.dismiss()

    def stop_plan(self, then: Callable[[], object] | None = None) -> None:
        """Ask the run to stop between two steps; ``then`` is called when it has."""
        self._when_stopped = then or self._when_stopped  # whoever asks again takes nothing back
        self._cancel.cancel()
        self._render_apply()
        self._render_buttons()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.input.id == "override":
            rule = event.value.strip()
            if rule not in self._overridable:
                self._say(f"No failed rule is named {rule!r}.", "$text-warning")
                return
            self._overridden.append(rule)
            event.input.value = ""
            self._check()
        elif event.input.id == "typed":
            self.action_next()

    # -- check --------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._choose is None:
            return
        fault = self._choose.fault()
        if fault:
            self._say(fault, "$text-warning")
            return
        self._busy_since = now()
        self._render_buttons()
        prepare = self._choose.prepare(tuple(self._overridden))

        def ask(session: Session) -> Prepared:
            try:
                checks, proposal = prepare(session)
            except AxiomError as error:
                return Prepared((), None, error.problem)
            except Exception as error:
                # A defect of ours must not leave the page waiting.
                log.exception("preparing a plan")
                text = f"axiom-tui itself failed while it looked: {type(error).__name__}."
                return Prepared((), None, Problem.defect(text))
            return Prepared(checks, proposal)

        if not self._app.in_background(ask, self._prepared):
            self._busy_since = None
            self._render_buttons()

    def _prepared(self, answer: Prepared) -> None:
        self._app.end_login()
        if not self.is_attached:
            return
        self._busy_since = None
        self._checks, self._proposal, self._problem = answer.checks, answer.proposal, answer.problem
        self._enter("check")

    # -- apply --------------------------------------------------------------------------------------------

    def _apply(self) -> None:
        proposal, plan = self._proposal, self.plan
        if proposal is None or plan is None or self._applying:
            return
        typed = self.query_one("#typed", Input).value.strip()
        if plan.typed_word and typed != plan.typed_word:
            self._say(f'Type "{plan.typed_word}" to apply this plan.', "$text-warning")
            self.query_one("#typed").focus()
            return
        self._cancel, self._progress, self._applying = CancelToken(), Progress(), True
        self._difference, self._is_replanned = (), False
        self.query_one("#output", RichLog).clear()
        self._enter("apply")
        cancel, tell = self._cancel, self._tell
        threading.Thread(
            target=proposal.run, args=(tell, cancel, typed, WAIT_FOR_LOCK), name="plan", daemon=True
        ).start()

    def _tell(self, event: Event) -> None:
        """Called in the run's thread."""
        self.post_message(Told(event))

    def on_told(self, message: Told) -> None:
        event, progress = message.event, self._progress
        output = self.query_one("#output", RichLog)
        match event:
            case StepStarted():
                progress.states[event.index] = StepState.RUNNING
                progress.began[event.index], progress.until[event.index] = event.at, event.until
                progress.waiting = ""
                output.write(visible_lines(f"▶ {event.title}"))
            case Output():
                output.write(visible_lines(f"  {event.line}"))
            case Waiting():
                moment = now()
                progress.waiting = (
                    f"Waiting for {event.what} since {clock(event.since, moment)}, "
                    f"until {event.until.astimezone():%H:%M:%S}."
                )
            case StepOverdue():
                output.write("  The step's deadline is over; it was asked to end.")
                self._app.end_questions()
            case StepFinished():
                self._app.end_login()
                progress.states[event.index] = event.result.state
                progress.took[event.index] = event.result.seconds
                progress.waiting = ""
                if event.result.problem is not None:
                    output.write(visible_lines(f"✗ {event.result.problem}"))
            case PlanChanged():
                output.write(visible_lines(event.why))
                for text in event.difference:
                    output.write(visible_lines(f"  {text}"))
                self._changed(event)
            case PlanFinished():
                self._finished(event.result)
            case _:
                pass
        if self.stage == "apply":
            self._render_apply()

    def _changed(self, event: PlanChanged) -> None:
        self._difference = (event.why, *event.difference)
        if self._proposal is not None and event.plan is not None:
            self._proposal = self._proposal.with_plan(event.plan)
            self._is_replanned = True

    def _finished(self, result: Result) -> None:
        self._applying = False
        self._result = result
        self._app.end_questions()
        # Where nothing was done yet there is nothing to account for: the new plan comes next.
        self._enter("plan" if self._is_replanned and not result.journalled else "result")
        if self._when_stopped is not None:
            self._when_stopped()

    def _can_undo(self) -> bool:
        result = self._result
        return (
            result is not None
            and result.journalled
            and any(step.state is StepState.DONE for step in result.steps)
            and self._proposal is not None
            and not self._proposal.is_undo
        )

    def _undo(self) -> None:
        result, proposal = self._result, self._proposal
        if result is None or proposal is None:
            return
        plan_id = result.plan_id
        self._app.in_background(
            lambda session: proposal.undo(plan_id),
            lambda undo: self.app.push_screen(WizardScreen(f"Undo: {self.title_text}", proposal=undo)),
        )

    def action_login(self) -> None:
        self._app.show_login()

    def action_copy_transcript(self) -> None:
        if self._result is None:
            return
        self.app.copy_to_clipboard("\n".join(transcript(self._result)) + "\n")
        self.app.notify("Copied the transcript by the terminal (OSC 52).")

    def action_scroll_page(self, where: str) -> None:
        """Scroll the page while a button has the focus, so that enter still goes on."""
        page = self.query_one(f"#{self.stage}")
        if isinstance(page, VerticalScroll):
            scroll = getattr(page, f"scroll_{where}")
            scroll(animate=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "copy_transcript":
            return self.stage == "result"
        if action == "back":
            return self.stage in ("check", "plan") and self._choose is not None
        if action == "login":
            return self._app.login is not None
        if action == "next":
            # A button's own action has no parameter; the key is offered only where it goes on.
            return not parameters or (parameters == (self._following,) and self._can_go_on())
        if action == "leave":
            if self.stage == "apply" and self._cancel.cancelled:
                return False  # it was asked to stop already
            now_is = {"apply": "apply", "result": "late"}.get(self.stage, "early")
            return not parameters or parameters == (now_is,)
        return True
