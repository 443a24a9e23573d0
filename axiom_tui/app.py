"""AxiomApp, the composition root: settings and session become screens, messages and global keys."""

from __future__ import annotations

import gc
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual import work
from textual.actions import SkipAction
from textual.app import App, SystemCommand
from textual.binding import ActiveBinding, Binding, BindingType
from textual.driver import Driver
from textual.message import Message
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.widgets import Input

from axiom_tui.config import Settings, state_directory
from axiom_tui.model import headline
from axiom_tui.model.finding import Wizard
from axiom_tui.model.fleet import Cluster, Fleet, Observation, Row, SourceState, SourceStatus
from axiom_tui.model.problem import AxiomError, Problem
from axiom_tui.start import StartOptions
from screens import MAIN_SCREENS
from screens.frame import TABS, FleetScreen, KeyBar, TabLine, keys_of, now
from screens.themes import THEMES, theme_name
from screens.widgets.cells import visible_lines

if TYPE_CHECKING:
    from axiom_tui.clients.ssh_values import LoginBanner
    from axiom_tui.demo import DemoWorld
    from axiom_tui.fleet.session import Session
    from axiom_tui.plans.entry import Entry
    from screens.prompts import Login, Question, ScreenInteraction, Withdrawn
    from screens.wizard import WizardScreen

log = logging.getLogger(__name__)

T = TypeVar("T")

MESSAGES_KEPT = 500
#: Seconds after which a thread that works (joining 5,000 nodes) lets the screen go on with a key; Python's
#: own 5 ms pass several times between a key and its frame.
SWITCH_EVERY = 0.001
#: What ctrl+c does: in a wizard it is esc, so that one press too many does not end the program.
INTERRUPTS = (("wizard", "leave the wizard"), ("run", "stop the plan"), ("program", "quit"))
#: What Textual binds by itself, and nobody looks for in a help text.
NOT_IN_HELP = ("app.focus_next", "app.focus_previous", "screen.copy_text", "page_left", "page_right")


class FleetSeen(Message):
    """A new picture of the fleet, from the session with this number."""

    def __init__(self, session: int, fleet: Fleet) -> None:
        super().__init__()
        self.session, self.fleet = session, fleet

    def can_replace(self, message: Message) -> bool:
        """Only the newest picture of a session is worth showing."""
        return isinstance(message, FleetSeen) and message.session == self.session


class SessionOpened(Message):
    """A session began: from now on its fleet is shown."""

    def __init__(self, number: int, session: Session, settings: Settings) -> None:
        super().__init__()
        self.number, self.session, self.settings = number, session, settings


class Failed(Message):
    """Something asked for in the background could not be had; ``session`` 0: it belongs to none. Where it is
    a cluster that could not be opened, ``without`` is what is left to do without it."""

    def __init__(self, problem: Problem, session: int = 0, without: Session | None = None) -> None:
        super().__init__()
        self.problem, self.session, self.without = problem, session, without


class Answered(Message):
    """The answer to a question that was asked in the background, of the session with this number."""

    def __init__(self, session: int, then: Callable[[Any], object], value: Any) -> None:
        super().__init__()
        self.session, self.then, self.value = session, then, value


@dataclass(frozen=True, slots=True)
class Command:
    """A word of the command line; ``run`` gets what stands behind it."""

    word: str
    help: str
    run: Callable[[str], object]


def nothing_yet(cluster: Cluster, problem: Problem | None = None) -> Fleet:
    """The picture before the first one."""
    moment = datetime.now(UTC)
    state = SourceState.FAILED if problem else SourceState.LOADING
    status = SourceStatus("nodes", state, moment, problem=problem)
    return Fleet(cluster, moment, Observation(), (status,), (), ())


class AxiomApp(App[int]):
    """The program on screen. It holds the one current `Fleet`; screens render it."""

    CSS_PATH = Path(__file__).resolve().parents[1] / "axiom.tcss"
    TITLE = "axiom-tui"
    ENABLE_COMMAND_PALETTE = True

    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {**MAIN_SCREENS}
    DEFAULT_MODE = "nodes"

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key, f"show_screen('{mode}')", title, show=False) for key, mode, title in TABS),
        Binding("question_mark", "help", "help", key_display="?"),
        # At once, by the program itself: what is typed right behind it, or comes over a slow line together
        # with it, belongs to the command line and not to the screen beneath.
        Binding("colon", "command_line", "command", key_display=":", priority=True),
        Binding("ctrl+r", "refresh_fleet", "refresh", show=False),
        Binding("m", "messages", "messages", show=False),
        Binding("q", "quit", "quit", show=False),
        Binding("ctrl+q", "quit", "quit", show=False, priority=True),
        *(
            Binding("ctrl+c", f"interrupt('{what}')", said, show=False, priority=True)
            for what, said in INTERRUPTS
        ),
    ]

    def __init__(self, options: StartOptions) -> None:
        super().__init__()
        self.options = options
        self.settings: Settings = options.loaded.settings
        self.session: Session | None = None
        self._without_cluster: Session | None = None  # where there is no way to one
        self._marked: tuple[str, ...] = ()  # as the key bars show it
        self.fleet = nothing_yet(Cluster("", "", ""))
        self.messages: deque[str] = deque(maxlen=MESSAGES_KEPT)
        self.history: list[str] = []
        self._session_number = 0
        self._demo: DemoWorld | None = None
        self._quitting = False
        self._owns_process = False
        self.cut_short = 0  # plans of the journal that can be resumed
        self._journal_looked_at = False
        self._styles_made_for: tuple[str, bool | None, str] | None = None
        self.login: LoginBanner | None = None  # what Tailscale SSH waits for
        self.wizards: list[WizardScreen] = []  # open ones, on whichever main screen they stand
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = theme_name(self.settings.theme)  # before the first frame, which is then drawn once

    # -- from start to end --------------------------------------------------------------------------------

    def on_ready(self) -> None:
        """The first frame is painted: only now is anything read."""
        self._owns_process = not gc.isenabled()  # the door turned it off: nothing else is in this process
        if self._owns_process:
            gc.freeze()
            gc.enable()
            sys.setswitchinterval(SWITCH_EVERY)
        if self.options.log_trouble:
            self.notify(self.options.log_trouble, severity="warning")
        self.set_interval(1.0, self._tick)
        self.open_session("")

    def open_session(self, context: str) -> None:
        """Observe a cluster: the one of ``context``, or of the settings' own when it is ""."""
        if self.wizards:
            # Its plan is for this cluster, and uses this session's connections.
            title = self.wizards[-1].title_text
            self.notify(
                f"“{title}” is open, and its plan is for this cluster: leave it first.", severity="warning"
            )
            return
        self._session_number += 1
        number = self._session_number
        if self.session is not None:
            self.session.stop()
            self.session = None
        self._without_cluster = None
        self._take(nothing_yet(Cluster("", context, "")))
        thread = threading.Thread(
            target=self._open, args=(number, context), name=f"session-{number}", daemon=True
        )
        thread.start()

    def _open(self, number: int, context: str) -> None:
        """Runs in a thread of its own: reading files and starting the demo's world may take a while."""
        from axiom_tui.fleet.session import Session

        without = None
        try:
            settings = self._settings_in_force()
            wanted = context or settings.kubernetes.context
            try:
                session = Session.of(settings, wanted, simulation=self._demo is not None)
            except AxiomError as error:
                without = Session.without_cluster(settings, wanted, error.problem)
                raise
        except AxiomError as error:
            self.post_message(Failed(error.problem, number, without))
            return
        except Exception as error:
            log.exception("opening a session")
            text = f"axiom-tui itself failed while it opened the cluster: {type(error).__name__}."
            self.post_message(Failed(Problem.defect(text), number))
            return
        self.post_message(SessionOpened(number, session, session.settings))

    def _settings_in_force(self) -> Settings:
        """The settings; in the demo those of its own world, which is started with the first session."""
        if self.options.demo is None:
            return self.options.loaded.settings
        if self._demo is None:
            from axiom_tui.demo import DemoWorld

            self._demo = DemoWorld.start(self.options.demo)
        return self._demo.settings(self.options.overrides)

    def on_session_opened(self, message: SessionOpened) -> None:
        if message.number != self._session_number or self._quitting:
            return  # the admin has gone on to another cluster meanwhile
        self.session, self.settings = message.session, message.settings
        self._take(nothing_yet(message.session.cluster))
        number = message.number

        def publish(fleet: Fleet) -> None:
            self.post_message(FleetSeen(number, fleet))

        message.session.start(publish)
        self.look_at_journal()

    def on_fleet_seen(self, message: FleetSeen) -> None:
        if message.session != self._session_number:
            return
        was_loading = self.fleet.is_loading
        self._take(message.fleet)
        if was_loading and not message.fleet.is_loading and self._owns_process:
            # The collector stops everything while it looks through a big fleet, in which it finds nothing.
            gc.freeze()

    def on_failed(self, message: Failed) -> None:
        if message.session and message.session == self._session_number:
            if message.without is not None:
                self._without_cluster, self.settings = message.without, message.without.settings
            self._take(nothing_yet(self.fleet.cluster, message.problem))
            self.look_at_journal()
        elif not message.session:
            self.notify(str(message.problem), severity="error")

    def on_answered(self, message: Answered) -> None:
        if self.is_running and message.session == self._session_number:
            message.then(message.value)

    def refresh_css(self, animate: bool = True) -> None:
        """As Textual's, but not when the colours are those it was last made for: a screen that is opened for
        the first time asks for it before it has any widget, and to parse all styles takes long."""
        made_for = (self.theme, self.ansi_color, self.current_mode)
        if self._styles_made_for != made_for:
            self._styles_made_for = made_for
            super().refresh_css(animate)

    def get_driver_class(self) -> type[Driver]:
        chosen = super().get_driver_class()
        if chosen.__name__ != "LinuxDriver":
            return chosen
        from axiom_tui.terminal import Terminal

        return Terminal

    async def action_quit(self) -> None:
        """Leave at once; but while a plan runs, ask first."""
        running = next((wizard for wizard in self.wizards if wizard.is_running_plan), None)
        if running is None:
            self.leave()
        else:
            self._ask_to_stop(running)

    async def action_interrupt(self, what: str) -> None:
        """ctrl+c; ``what`` only tells the bindings apart."""
        from screens.dialogs import ChoiceScreen

        if what == "wizard":
            self.simulate_key("escape")  # also for the dialog that lies on it
        elif what == "program" or not isinstance(self.screen, ChoiceScreen):  # else it is asked already
            await self.action_quit()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action != "interrupt":
            return super().check_action(action, parameters)
        if any(wizard.is_running_plan for wizard in self.wizards):
            return parameters == ("run",)
        is_in_wizard = any(wizard in self.screen_stack for wizard in self.wizards)
        return parameters == ("wizard" if is_in_wizard else "program",)

    @work(exclusive=True, group="quit")
    async def _ask_to_stop(self, running: WizardScreen) -> None:
        """A plan is never cut in the middle of a step: it stops between two, and then the program ends."""
        from screens.dialogs import ChoiceScreen

        choices = [
            ("stay", "Stay"),
            ("stop", "Stop the plan after this step"),
            ("leave", "Stop the plan after this step, then leave"),
        ]
        title = f"“{running.title_text}” is running"
        answer = await self.push_screen_wait(ChoiceScreen(title, choices, "stay"))
        if answer in ("stop", "leave"):
            running.stop_plan(then=self.leave if answer == "leave" else None)

    def leave(self) -> None:
        """End the program; waits for nothing."""
        self._quitting = True
        if self.session is not None:
            self.session.stop()
        if self._demo is not None:
            self._demo.stop()
        self.exit(0)

    # -- the fleet ----------------------------------------------------------------------------------------

    def _take(self, fleet: Fleet) -> None:
        self.messages.extend(f"{now():%H:%M:%S}  {line}" for line in headline.turns(self.fleet, fleet))
        self.fleet = fleet
        marked, self._marked = self._marked, self.marks()
        for screen in self._fleet_screens():
            screen.refresh_fleet()
            if marked != self._marked:
                screen.query_one(KeyBar).refresh()

    def _tick(self) -> None:
        for screen in self._fleet_screens():
            screen.tick()

    def _fleet_screens(self) -> list[FleetScreen]:
        """The main screens on the stack that are whole; the others read the fleet when they are mounted."""
        return [screen for screen in self.screen_stack if isinstance(screen, FleetScreen) and screen.is_whole]

    def marks(self) -> tuple[str, ...]:
        """What must not be overlooked."""
        cluster = self.fleet.cluster
        is_simulation = cluster.simulation or self.options.demo is not None
        is_read_only = cluster.read_only or self.settings.read_only
        return (*(("SIMULATION",) if is_simulation else ()), *(("READ-ONLY",) if is_read_only else ()))

    def in_background(self, ask: Callable[[Session], T], then: Callable[[T], object]) -> bool:
        """Ask the session something that may take its deadline, off the event loop; ``then`` gets the answer.

        A failure is said and logged; the answer of a session that was left is dropped. False: there is no
        session yet.
        """
        session = self.session or self._without_cluster
        if session is None:
            self.notify("There is no connection to a cluster yet.", severity="warning")
            return False
        self.off_loop(lambda: ask(session), then)
        return True

    def off_loop(self, ask: Callable[[], T], then: Callable[[T], object]) -> None:
        """Do something slow in a thread; ``then`` gets its answer on the event loop.

        A daemon thread, not a Textual worker: quitting waits for those (textual.md, 3.3).
        """
        number = self._session_number

        def run() -> None:
            try:
                answer = ask()
            except AxiomError as error:
                if number == self._session_number:
                    self.post_message(Failed(error.problem))
            except Exception as error:
                log.exception("in the background")
                text = f"axiom-tui itself failed: {type(error).__name__}."
                self.post_message(Failed(Problem.defect(text)))
            else:
                if number == self._session_number:
                    self.post_message(Answered(number, then, answer))

        threading.Thread(target=run, name="question", daemon=True).start()

    @cached_property
    def interaction(self) -> ScreenInteraction:
        """Who answers what logins to hosts ask; it keeps the sudo password until the program ends."""
        from screens.prompts import ScreenInteraction

        return ScreenInteraction(self)

    def on_question(self, message: Question) -> None:
        """A connection asks the admin something (`screens.prompts`)."""
        from screens.prompts import SecretDialog

        if self._demo is not None and isinstance(message.dialog, SecretDialog):
            message.dialog.hint = f"This is a simulation: every password in it is “{self._demo.password}”."
        self.push_screen(message.dialog, message.reply.put)

    def on_withdrawn(self, message: Withdrawn) -> None:
        """It was not answered in time, and what asked has gone on without."""
        message.dialog.end()
        self.notify("A question was not answered in time, and counts as “no”.", severity="warning")

    def end_questions(self) -> None:
        """What asked has ended or was given up: no dialog of it stays, and no answer is waited for."""
        from screens.prompts import Prompt

        self.end_login()
        for screen in self.screen_stack:
            if isinstance(screen, Prompt):
                screen.end()

    def on_login(self, message: Login) -> None:
        """Tailscale SSH waits for a login, or has got it."""
        self.end_login()
        if message.banner.url:
            self.login = message.banner
            self.show_login()

    def show_login(self) -> None:
        """Show the login page that is waited for, also again after it was hidden."""
        from screens.prompts import LoginDialog

        if self.login is not None:
            self.push_screen(LoginDialog(self.login))
            self.screen.refresh_bindings()

    def end_login(self) -> None:
        """No login is waited for any more: it has come, or what wanted it has ended."""
        from screens.prompts import LoginDialog

        if self.login is None:
            return
        self.login = None
        for screen in self.screen_stack:
            screen.refresh_bindings()
            if isinstance(screen, LoginDialog):
                screen.end()

    # -- the journal --------------------------------------------------------------------------------------

    def look_at_journal(self) -> None:
        """Look for plans that were cut short; the demo's journal is there once its world is."""

        def look() -> tuple[Entry, ...]:
            from axiom_tui.plans.journal import Journal

            return Journal(state_directory()).entries()

        self.off_loop(look, self._journal_seen)

    def _journal_seen(self, entries: tuple[Entry, ...]) -> None:
        is_first, self._journal_looked_at = not self._journal_looked_at, True
        self.mark_journal(entries)
        if is_first and self.cut_short:
            what = "1 plan was" if self.cut_short == 1 else f"{self.cut_short} plans were"
            which = "it, r resumes it" if self.cut_short == 1 else "them, r resumes one"
            self.notify(f"{what} cut short: 6 shows {which}.", severity="warning")

    def mark_journal(self, entries: tuple[Entry, ...]) -> None:
        """The tab of the journal says how many plans wait for somebody who resumes them."""
        count = sum(entry.cut_short and entry.can_be_resumed for entry in entries)
        if count != self.cut_short:
            self.cut_short = count
            for screen in self._fleet_screens():
                screen.query_one(TabLine).refresh()

    # -- what is said -------------------------------------------------------------------------------------

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """Say something in passing; it stays in the message log. Never read as markup: it may be foreign."""
        message = visible_lines(message)
        self.messages.append(f"{now():%H:%M:%S}  {severity:<11}  {message}")
        log.info("said (%s): %s", severity, message)
        super().notify(message, title=title, severity=severity, timeout=timeout, markup=False)

    def action_messages(self) -> None:
        from screens.messages import messages_screen

        self.push_screen(messages_screen(self.messages))

    # -- global keys and the command line -----------------------------------------------------------------

    def action_show_screen(self, mode: str) -> None:
        """Go to a main screen. Each keeps its filter and cursor, and what stands on top of it."""
        if mode != self.current_mode:
            self.switch_mode(mode)

    def _go(self, mode: str, _: str) -> None:
        self.action_show_screen(mode)

    def show_node(self, key: str) -> None:
        """Go to the Nodes screen with this row selected, if it is one."""
        self.action_show_screen("nodes")

        def select() -> None:
            from screens.nodes import NodesScreen

            if isinstance(self.screen, NodesScreen):
                self.screen.select(key)

        self.call_after_refresh(select)

    def action_refresh_fleet(self) -> None:
        if self.session is None:
            self.open_session(self.fleet.cluster.context)
        else:
            self.session.refresh()
        self.notify("Looking again.", timeout=1.5)

    def action_help(self) -> None:
        from screens.help import FILTER_HELP, HelpScreen, grouped

        screen = self.screen

        def rank(active: ActiveBinding) -> int:
            """What is special about this screen first, what works everywhere last."""
            if active.node is self:
                return 2
            return 0 if active.binding.show or active.node is screen else 1

        found = []
        for active in sorted(keys_of(screen), key=rank):
            binding = active.binding
            is_typing = isinstance(active.node, Input)  # keys that move within a line, as everywhere
            if binding.description and binding.action not in NOT_IN_HELP and not is_typing:
                is_ours = active.node is not self  # of the program's own keys the word says all
                what = binding.tooltip if is_ours and binding.tooltip else binding.description
                found.append((binding.action, self.get_key_display(binding), what))
        keys = grouped(found)
        text = getattr(screen, "HELP", None) or ""
        title = getattr(screen, "MODE", "") or getattr(screen, "title_text", "this screen")
        commands = "Commands: " + ", ".join(f":{command.word}" for command in self.commands())
        parts = (text, FILTER_HELP if hasattr(screen, "action_filter") else "", commands)
        self.push_screen(HelpScreen(title, keys, "\n\n".join(part for part in parts if part) + "\n"))

    async def action_command_line(self) -> None:
        from screens.command_line import CommandLine

        if self.screen.is_modal or isinstance(self.focused, Input):
            raise SkipAction  # then the key is for the dialog, or a letter of what is typed

        def take(typed: str | None) -> None:
            if typed:
                self.history.append(typed)
                self.run_command(typed)

        line = CommandLine([command.word for command in self.commands()], self.history)
        await self.push_screen(line, take)
        line.take_keys()

    def run_command(self, text: str) -> None:
        """Run one line of the command line; an unknown word is answered with the nearest known one."""
        word, _, rest = text.strip().partition(" ")
        known = {command.word: command for command in self.commands()}
        if word in known:
            known[word].run(rest.strip())
            return
        from difflib import get_close_matches

        near = get_close_matches(word, known, 1)
        hint = f" Did you mean :{near[0]}?" if near else " ? lists them."
        self.notify(f"There is no command :{word}.{hint}", severity="warning")

    def commands(self) -> tuple[Command, ...]:
        """All words of the command line; the palette offers the same."""
        return (
            *(Command(mode, f"go to {title}", partial(self._go, mode)) for _, mode, title in TABS),
            Command("labels", "put nodes into load-balancer pools", lambda _: self._labels_of_marked()),
            Command("join", "join a node", lambda _: self.action_wizard("join")),
            Command("ctx", "switch to another cluster", self._choose_context),
            Command("messages", "what was said", lambda _: self.action_messages()),
            Command("refresh", "look again now", lambda _: self.action_refresh_fleet()),
            Command("theme", "change the colours", self._choose_theme),
            Command("help", "help for this screen", lambda _: self.action_help()),
            Command("quit", "leave", lambda _: self.call_later(self.action_quit)),
        )

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette: the words of the command line, and the keys of this screen as they work now."""
        for command in self.commands():
            yield SystemCommand(f":{command.word}", command.help, lambda command=command: command.run(""))
        for active in screen.active_bindings.values():
            binding = active.binding
            if active.enabled and binding.show and binding.description:
                yield SystemCommand(
                    f"{screen.__class__.__name__.removesuffix('Screen')}: {binding.description}",
                    f"key {self.get_key_display(binding)}",
                    lambda action=binding.action: screen.run_action(action),
                )

    @work
    async def _choose_context(self, name: str) -> None:
        from axiom_tui.fleet.session import contexts
        from screens.dialogs import ChoiceScreen

        try:
            known = contexts(self.settings)
        except AxiomError as error:
            self.notify(str(error.problem), severity="error")
            return
        if not name:
            choices = [(item.name, f"{item.name}  {item.server}") for item in known]
            current = self.fleet.cluster.context
            name = await self.push_screen_wait(ChoiceScreen("Which cluster?", choices, current)) or ""
            if not name:
                return
        if name not in {item.name for item in known}:
            names = ", ".join(item.name for item in known)
            self.notify(f"The kubeconfig has no context {name}; it has {names}.", severity="error")
            return
        self.open_session(name)

    @work
    async def _choose_theme(self, name: str) -> None:
        from screens.dialogs import ChoiceScreen

        names = sorted(self.available_themes)
        chosen = name or await self.push_screen_wait(
            ChoiceScreen("Which colours?", [(item, item) for item in names], self.theme)
        )
        if chosen in names:
            self.theme = chosen
        elif chosen:
            self.notify(f"There is no theme {chosen}; there are {', '.join(names)}.", severity="warning")

    # -- wizards ------------------------------------------------------------------------------------------

    def action_wizard(self, name: str) -> None:
        """Open a wizard for what is chosen on the screen."""
        rows: tuple[Row, ...] = getattr(self.screen, "chosen_rows", tuple)()
        self.open_wizard(Wizard(name), tuple(row.key for row in rows))

    def _labels_of_marked(self) -> None:
        """For the marked nodes; without marks for all that are not as wanted."""
        marked: frozenset[str] = getattr(self.screen, "marked", frozenset())
        self.open_wizard(Wizard.LABELS, tuple(marked))

    def open_wizard(self, wizard: Wizard, subjects: tuple[str, ...]) -> None:
        """Open a wizard, filled in with these rows or subjects. While a plan runs, no other is begun."""
        running = next((item for item in self.wizards if item.is_running_plan), None)
        if running is not None:
            self.notify(f"“{running.title_text}” is running: one plan at a time.", severity="warning")
            return
        nodes = self.fleet.source("nodes")
        # Where there is no cluster to be seen, and it is known why, one can be founded.
        founds = wizard is Wizard.JOIN and nodes is not None and nodes.problem is not None
        if not founds and (self.session is None or not self.fleet.seen.nodes):
            why = (
                f" {nodes.problem}" if nodes is not None and nodes.problem is not None else " Wait a moment."
            )
            self.notify(f"The nodes of the cluster are not known.{why}", severity="warning")
            return
        if wizard is Wizard.LABELS:
            from screens.labels import label_wizard

            self.push_screen(label_wizard(self.fleet, self.settings.rules, subjects))
        elif wizard is Wizard.JOIN:
            from screens.join import join_wizard

            self.push_screen(join_wizard(self.fleet, self.settings.naming, subjects))


def run(options: StartOptions) -> int:
    """Run the program on the terminal; returns the exit status."""
    app = AxiomApp(options)
    app.run()
    return app.return_code or 0
