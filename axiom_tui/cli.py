"""The door: arguments become the app, or one headless command. All rooms are entered lazily.

Exit codes: 0 all is well, 1 there are findings, 2 it could not be done (one sentence on stderr says why),
130 interrupted.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from axiom_tui import __version__

if TYPE_CHECKING:
    from axiom_tui.config import Loaded, Overrides, Settings
    from axiom_tui.plan_command import Consent, Join
    from axiom_tui.start import DemoOptions, StartOptions

COULD_NOT = 2
INTERRUPTED = 130
PIPE_CLOSED = 141  # what a shell reports for SIGPIPE


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its words (``config show``), what it is for, its own arguments, and what it does."""

    words: str
    about: str
    run: Callable[[argparse.Namespace], int]
    arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    aliases: tuple[str, ...] = ()


class _CommandParser(argparse.ArgumentParser):
    """Asks the command for its arguments when it is chosen, so that the door need not know every room."""

    fill: Callable[[argparse.ArgumentParser], None] | None = None

    def parse_known_args(self, *arguments: Any, **keywords: Any) -> Any:
        if self.fill is not None:
            fill, self.fill = self.fill, None
            fill(self)
        return super().parse_known_args(*arguments, **keywords)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code (argparse's own errors exit with 2)."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a sign gets another one, not a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    options = parser().parse_args(arguments)
    try:
        code = _guarded(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has gone; Python's own flush at exit must not complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    if arguments is None:
        gc.freeze()  # the process ends: there is no need to look through all that it has once more
    return code


def parser() -> argparse.ArgumentParser:
    """The whole command line; built without importing any room."""
    top = argparse.ArgumentParser(
        prog="axiom-tui",
        description="A terminal UI for the admin of Axiom, a K3s fleet that talks over Tailscale.",
        epilog="Without a command the terminal UI starts.",
    )
    top.add_argument("--version", action="version", version=f"axiom-tui {__version__}")
    _global_options(top)
    top.set_defaults(run=run_app, command="")
    # The same options are understood behind the command; only what is written there counts.
    shared = _CommandParser(add_help=False, argument_default=argparse.SUPPRESS)
    _global_options(shared, suppress=True)
    commands = top.add_subparsers(title="commands", metavar="COMMAND", parser_class=_CommandParser)
    groups: dict[str, argparse._SubParsersAction[_CommandParser]] = {}
    for command in COMMANDS:
        first, _, second = command.words.partition(" ")
        parent = commands
        if second:
            if first not in groups:
                group = commands.add_parser(first, help=GROUPS[first], description=GROUPS[first])
                groups[first] = group.add_subparsers(title="commands", metavar="COMMAND", required=True)
            parent = groups[first]
        own = parent.add_parser(
            second or first,
            help=command.about,
            description=command.about,
            parents=[shared],
            aliases=list(command.aliases),
        )
        own.set_defaults(run=command.run, command=command.words)
        own.fill = command.arguments
    return top


def _global_options(to: argparse.ArgumentParser, *, suppress: bool = False) -> None:
    group = to.add_argument_group("options for all commands")

    def add(*names: str, default: object, **keywords: object) -> None:
        group.add_argument(*names, default=argparse.SUPPRESS if suppress else default, **keywords)  # type: ignore[arg-type]

    add("--kubeconfig", metavar="FILE", default="", help="kubeconfig (default: KUBECONFIG, ~/.kube/config)")
    add("--context", metavar="NAME", default="", help="context of the kubeconfig")
    add(
        "--config",
        metavar="FILE",
        default="",
        help="settings file (default: AXIOM_TUI_CONFIG, or the usual place)",
    )
    add("--tailscale-socket", metavar="PATH", default="", help="socket of tailscaled's local API")
    add("--read-only", action="store_true", default=False, help="change nothing, whatever is asked")
    add("--theme", choices=("default", "high-contrast", "ansi"), default="", help="colours")
    add("--no-color", action="store_true", default=False, help="no colours (as NO_COLOR does)")
    add("--debug", action="store_true", default=False, help="write more into the log file")


# --- what the commands do -------------------------------------------------------------------------------


def run_app(options: argparse.Namespace) -> int:
    """The terminal UI on the cluster of the kubeconfig."""
    return _start_app(options, _loaded(options), None)


def run_demo(options: argparse.Namespace) -> int:
    """The terminal UI on an embedded Axiom. The admin's own settings file is not read: nothing of the demo
    may reach the real cluster."""
    from axiom_tui.config import Loaded, with_overrides
    from axiom_tui.start import DemoOptions

    demo = DemoOptions(tuple(options.fault), options.nodes, options.still)
    return _start_app(options, with_overrides(Loaded(), _demo_overrides(options)), demo)


def run_simulate(options: argparse.Namespace) -> int:
    """The embedded Axiom alone, until ctrl-c."""
    from axiom_tui.simulator.command import run_simulate as serve

    return serve(options)


def run_nodes(options: argparse.Namespace) -> int:
    return _headless(options, "nodes")


def run_findings(options: argparse.Namespace) -> int:
    return _headless(options, "findings")


def run_config_show(options: argparse.Namespace) -> int:
    from axiom_tui.config_command import show

    print(show(_loaded(options), options.output))
    return 0


def run_config_check(options: argparse.Namespace) -> int:
    from axiom_tui.config_command import check
    from axiom_tui.config_reader import Mistakes
    from axiom_tui.config_values import tilde

    try:
        loaded = _loaded(options)
    except Mistakes as error:
        for problem in error.problems:
            print(problem)
        return 1
    if loaded.path is None:
        print("There is no settings file; all defaults are in force.")
        return 0
    complaints = check(loaded)
    for complaint in complaints:
        print(complaint)
    if not complaints:
        print(f"{tilde(loaded.path)} is in order.")
    return 1 if complaints else 0


def run_config_init(options: argparse.Namespace) -> int:
    from axiom_tui.config_command import init
    from axiom_tui.config_values import tilde

    print(f"Wrote {tilde(init(Path(options.config) if options.config else None))}.")
    return 0


def run_plan_labels(options: argparse.Namespace) -> int:
    from axiom_tui.plan_command import Labels, show_plan

    asked = Labels(tuple(options.node), options.pool, options.persist)
    return show_plan(_planning(options), asked, options.output)


def run_apply_labels(options: argparse.Namespace) -> int:
    from axiom_tui.plan_command import Labels, apply

    asked = Labels(tuple(options.node), options.pool, options.persist)
    return apply(_planning(options), asked, _consent(options))


def run_plan_join(options: argparse.Namespace) -> int:
    from axiom_tui.plan_command import show_plan

    return show_plan(_planning(options), _join(options), options.output)


def run_apply_join(options: argparse.Namespace) -> int:
    from axiom_tui.plan_command import apply

    return apply(_planning(options), _join(options), _consent(options))


def _join(options: argparse.Namespace) -> Join:
    from axiom_tui.model.naming import Role
    from axiom_tui.plan_command import Join
    from axiom_tui.plans.join_choice import JoinChoice

    choice = JoinChoice(
        host=options.host,
        name=options.name,
        role=Role.AGENT if options.role == "agent" else Role.SERVER,
        user=options.user,
        public_address=options.public_address,
        pool=options.pool,
        first_server=options.role == "first-server",
        version=options.k3s_version,
        wait_for_dns=options.wait_for_dns,
        overridden=tuple(options.override),
    )
    return Join(choice)


def run_journal(options: argparse.Namespace) -> int:
    from axiom_tui.plan_command import show_journal

    _loaded(options)
    return show_journal(options.plan, options.output)


def run_resume(options: argparse.Namespace) -> int:
    from axiom_tui.plan_command import resume

    return resume(_planning(options), options.plan, _consent(options))


def run_undo(options: argparse.Namespace) -> int:
    from axiom_tui.plan_command import undo

    return undo(_planning(options), options.plan, _consent(options))


def _planning(options: argparse.Namespace) -> Settings:
    """The settings of a command that makes or runs plans; the log is open from here on."""
    loaded = _loaded(options)
    _, trouble = _start_log(options, _say)
    if trouble:
        _say(trouble)
    return loaded.settings


def _consent(options: argparse.Namespace) -> Consent:
    from axiom_tui.plan_command import Consent

    return Consent(options.yes, options.confirm, options.wait)


# --- arguments of the commands --------------------------------------------------------------------------


def _demo_arguments(to: argparse.ArgumentParser) -> None:
    from axiom_tui.simulator.faults import kinds_told

    to.formatter_class = argparse.RawDescriptionHelpFormatter
    to.epilog = kinds_told()
    to.add_argument("--nodes", type=_node_count, default=None, metavar="N", help="a fleet of N nodes")
    to.add_argument("--still", action="store_true", help="nothing happens by itself")
    to.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="FAULT",
        help="make it fail: one of those below, such as hang or throttle:retry-after=2; may be given again",
    )


def _simulate_arguments(to: argparse.ArgumentParser) -> None:
    from axiom_tui.simulator.command import add_arguments

    add_arguments(to)


def _headless_arguments(to: argparse.ArgumentParser) -> None:
    to.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table", help="format")
    to.add_argument("-w", "--watch", action="store_true", help="go on and print each change")


def _nodes_arguments(to: argparse.ArgumentParser) -> None:
    _headless_arguments(to)
    to.add_argument("-l", "--selector", default="", metavar="LABELS", help="label selector, as for kubectl")
    to.add_argument("-a", "--all", action="store_true", help="also devices of the tailnet that are no node")


def _label_arguments(to: argparse.ArgumentParser) -> None:
    to.add_argument("node", nargs="*", metavar="NODE", help="nodes (default: all)")
    pool = to.add_mutually_exclusive_group()
    pool.add_argument(
        "--pool",
        type=_pool,
        default=None,
        metavar="POOL",
        help="into this pool (default: as the policy says)",
    )
    pool.add_argument("--no-pool", dest="pool", action="store_const", const="", help="remove the labels")
    to.add_argument(
        "--persist",
        action="store_true",
        help="also write them into K3s' configuration on the nodes (over SSH), so that they survive a new "
        "registration",
    )


def _plan_labels_arguments(to: argparse.ArgumentParser) -> None:
    _label_arguments(to)
    to.add_argument("-o", "--output", choices=("text", "json"), default="text", help="format")


def _consent_arguments(to: argparse.ArgumentParser) -> None:
    to.add_argument("-y", "--yes", action="store_true", help="do not ask, unless it is dangerous")
    to.add_argument(
        "--confirm", default="", metavar="WORD", help="the name that a dangerous plan wants typed"
    )
    to.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="wait so long for another admin's plan"
    )


def _apply_labels_arguments(to: argparse.ArgumentParser) -> None:
    _label_arguments(to)
    _consent_arguments(to)


def _join_arguments(to: argparse.ArgumentParser) -> None:
    to.add_argument("host", metavar="HOST", help="the tailnet device, or any name or address")
    to.add_argument("--name", required=True, metavar="NAME", help="name of the node, such as WALL-A-9")
    to.add_argument(
        "--role", choices=("agent", "server", "first-server"), default="agent", help="what it becomes"
    )
    to.add_argument(
        "--user", default="", metavar="USER", help="user to log in as (default: as the settings say)"
    )
    public = to.add_mutually_exclusive_group()
    public.add_argument(
        "--public-address",
        default=None,
        metavar="IP",
        help="its public address (default: the one found on it)",
    )
    public.add_argument(
        "--no-public-address", dest="public_address", action="store_const", const="", help="publish none"
    )
    pool = to.add_mutually_exclusive_group()
    pool.add_argument(
        "--pool",
        type=_pool,
        default=None,
        metavar="POOL",
        help="into this pool (default: as the policy says)",
    )
    pool.add_argument(
        "--no-pool", dest="pool", action="store_const", const="", help="no load-balancer labels"
    )
    to.add_argument(
        "--k3s-version", default="", metavar="VERSION", help="for the first server of a new cluster"
    )
    to.add_argument("--wait-for-dns", action="store_true", help="wait for a DNS record that is set by hand")
    to.add_argument(
        "--override", action="append", default=[], metavar="RULE", help="let this failed rule not count"
    )


def _plan_join_arguments(to: argparse.ArgumentParser) -> None:
    _join_arguments(to)
    to.add_argument("-o", "--output", choices=("text", "json"), default="text", help="format")


def _apply_join_arguments(to: argparse.ArgumentParser) -> None:
    _join_arguments(to)
    _consent_arguments(to)


def _journal_arguments(to: argparse.ArgumentParser) -> None:
    to.add_argument("plan", nargs="?", default="", metavar="PLAN", help="show this one step by step")
    to.add_argument("-o", "--output", choices=("table", "json"), default="table", help="format")


def _resume_arguments(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "plan", nargs="?", default="", metavar="PLAN", help="plan (default: the last one cut short)"
    )
    _consent_arguments(to)


def _undo_arguments(to: argparse.ArgumentParser) -> None:
    to.add_argument("plan", metavar="PLAN", help="plan, as `axiom-tui journal` names it")
    _consent_arguments(to)


def _show_arguments(to: argparse.ArgumentParser) -> None:
    to.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table", help="format")


def _pool(text: str) -> str:
    """ "" is mostly a variable of a script that was not set: it must not take nodes out of their pools."""
    if not text:
        raise argparse.ArgumentTypeError("no pool is named; --no-pool removes the labels")
    return text


def _node_count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 20_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 20000")
    return int(text)


def _fault(text: str) -> str:
    """A fault as it was written, once the simulator has understood it."""
    from axiom_tui.simulator.faults import parse_fault

    try:
        parse_fault(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


GROUPS = {
    "config": "show, check or write the settings",
    "plan": "show what would be done, and do nothing",
    "apply": "make a plan and run it",
}

COMMANDS = (
    Command("demo", "start the terminal UI on an embedded Axiom", run_demo, _demo_arguments),
    Command("nodes", "list the fleet", run_nodes, _nodes_arguments),
    Command("findings", "list what is wrong", run_findings, _headless_arguments, ("check",)),
    Command(
        "config show",
        "show the settings in force and where each comes from",
        run_config_show,
        _show_arguments,
    ),
    Command("config check", "check the settings file and the files that it names", run_config_check),
    Command("config init", "write the documented example of all settings", run_config_init),
    Command("plan labels", "nodes into their load-balancer pools", run_plan_labels, _plan_labels_arguments),
    Command(
        "apply labels", "nodes into their load-balancer pools", run_apply_labels, _apply_labels_arguments
    ),
    Command("plan join", "a host becomes a node", run_plan_join, _plan_join_arguments),
    Command("apply join", "a host becomes a node", run_apply_join, _apply_join_arguments),
    Command("journal", "list what was done, or show one plan", run_journal, _journal_arguments),
    Command("resume", "go on with a plan that was cut short", run_resume, _resume_arguments),
    Command("undo", "take a plan back", run_undo, _undo_arguments),
    Command("simulate", "run the embedded Axiom alone, for any client", run_simulate, _simulate_arguments),
)


# --- what they share ------------------------------------------------------------------------------------


def _overrides(options: argparse.Namespace) -> Overrides:
    from axiom_tui.config import Overrides, ThemeName

    return Overrides(
        kubeconfig=(Path(options.kubeconfig).expanduser(),) if options.kubeconfig else (),
        context=options.context,
        tailscale_socket=options.tailscale_socket,
        theme=ThemeName(options.theme) if options.theme else None,
        read_only=options.read_only,
    )


def _demo_overrides(options: argparse.Namespace) -> Overrides:
    """Of the world to look at, only the demo's own counts."""
    from dataclasses import replace

    return replace(_overrides(options), kubeconfig=(), context="", tailscale_socket="")


def _loaded(options: argparse.Namespace) -> Loaded:
    from axiom_tui.config import load, with_overrides

    return with_overrides(load(Path(options.config) if options.config else None), _overrides(options))


def _start_app(options: argparse.Namespace, loaded: Loaded, demo: DemoOptions | None) -> int:
    from axiom_tui.start import StartOptions

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _say(
            "The terminal UI needs a terminal; for scripts there are: axiom-tui nodes, axiom-tui findings."
        )
    if options.no_color:
        os.environ["NO_COLOR"] = "1"
    overrides = _demo_overrides(options) if demo else _overrides(options)
    # On a screen a line on stderr would be noise: the app says it, once it is there.
    log_file, trouble = _start_log(options, lambda sentence: None)
    start = StartOptions(loaded, overrides, options.debug, demo, log_file, trouble)
    return _run(start)


def _run(start: StartOptions) -> int:
    # The collector would only slow the start: the app turns it on when its first frame is painted.
    gc.disable()
    try:
        from axiom_tui.app import run

        return run(start)
    finally:
        gc.enable()


def _headless(options: argparse.Namespace, kind: str) -> int:
    if options.watch:
        return _run_headless(options, kind)
    # A short life: the collector would only walk again and again over modules and nodes that all stay.
    gc.disable()
    try:
        return _run_headless(options, kind)
    finally:
        gc.enable()


def _run_headless(options: argparse.Namespace, kind: str) -> int:
    from axiom_tui.headless import HeadlessOptions, Kind, Output, run

    loaded = _loaded(options)
    _, trouble = _start_log(options, _say)
    if trouble:
        _say(trouble)
    asked = HeadlessOptions(
        kind=Kind(kind),
        output=Output(options.output),
        watch=options.watch,
        selector=getattr(options, "selector", ""),
        all_devices=getattr(options, "all", False),
        color=not (options.no_color or os.environ.get("NO_COLOR")),
    )
    return run(loaded.settings, asked)


def _start_log(options: argparse.Namespace, say: Callable[[str], object]) -> tuple[Path | None, str]:
    """Open the log; without one the work goes on, and it is said. ``say`` gets the defects of threads."""
    from axiom_tui import logs
    from axiom_tui.config import state_directory
    from axiom_tui.model.problem import AxiomError

    logs.quiet()
    logs.watch_threads(say)
    try:
        return logs.start(state_directory(), debug=options.debug), ""
    except AxiomError as error:
        return None, str(error.problem)


def _guarded(options: argparse.Namespace) -> int:
    """Run the command; whatever happens ends in one sentence, never in a traceback."""
    from axiom_tui.model.problem import AxiomError

    try:
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except AxiomError as error:
        return _say(str(error.problem))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one must not disturb the way out
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        import logging

        from axiom_tui import logs

        if logs.current() is None:
            _start_log(options, _say)
        logging.getLogger(__name__).exception("defect in %s", options.command or "the app")
        file = logs.current()
        where = f"{file} has the details" if file else f"{error}, and no log could be written"
        return _say(f"axiom-tui itself failed: {type(error).__name__}; {where}.")


def _say(sentence: str) -> int:
    """One line on stderr; the exit code for "could not"."""
    text = "".join(char if char.isprintable() else " " for char in sentence)
    print(f"axiom-tui: {text}", file=sys.stderr)
    return COULD_NOT
