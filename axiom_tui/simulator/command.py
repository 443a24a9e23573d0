"""``axiom-tui simulate``: the embedded Axiom alone, for any client; and the child process of the demo.

Nothing heavy is imported until the world is really started.
"""

from __future__ import annotations

import argparse
import gc
import json
import shlex
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from axiom_tui.simulator.faults import Fault, Faults, kinds_told, parse_fault

if TYPE_CHECKING:
    from axiom_tui.simulator.axiom import EmbeddedAxiom
    from axiom_tui.simulator.hosts.host import Host

PROGRAM = "axiom-tui"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``axiom-tui simulate``; ``axiom-tui demo`` takes the same, less the kubeconfig."""
    parser.add_argument(
        "--print-kubeconfig", action="store_true", help="print the kubeconfig on stdout, all else on stderr"
    )
    add_world_arguments(parser)


def add_world_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say which world it is."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = kinds_told()
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="D",
        help="where kubeconfig, settings and socket go (default: temporary)",
    )
    parser.add_argument("--nodes", type=_node_count, metavar="N", help="number of nodes (default: 11)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="seed of all chance (default: 1)")
    parser.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="F",
        help="break something: one of those below, such as hang or throttle:retry-after=2; may be repeated",
    )
    parser.add_argument("--still", action="store_true", help="nothing happens by itself")


def child_command(
    directory: Path | None = None,
    *,
    nodes: int | None = None,
    seed: int = 1,
    faults: Sequence[str] = (),
    still: bool = False,
) -> list[str]:
    """The command line of the child process that serves the demo's world (see `serve_child`).

    Without a directory it makes one of its own, and removes it when it ends.
    """
    command = [sys.executable, "-m", __name__, "--child", "--seed", str(seed)]
    if directory is not None:
        command += ["--directory", str(directory)]
    if nodes is not None:
        command += ["--nodes", str(nodes)]
    for fault in faults:
        command += ["--fault", fault]
    return [*command, "--still"] if still else command


def run_simulate(arguments: argparse.Namespace) -> int:
    """Serve the world until ctrl-c; exit status 0, or 2 if it could not start.

    ``arguments`` is what a parser with `add_arguments` made.
    """
    told = sys.stderr if arguments.print_kubeconfig else sys.stdout
    ended = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: ended.set())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        with _axiom(arguments) as axiom:
            if arguments.print_kubeconfig:
                sys.stdout.write(axiom.kubeconfig.read_text())
                sys.stdout.flush()
            told.write(_description(axiom))
            told.flush()
            while not ended.wait(3600):
                pass
    except OSError as error:
        sys.stderr.write(f"The simulated Axiom cannot be served: {error}. Choose another --directory.\n")
        return 2
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def serve_child(arguments: argparse.Namespace, orders: TextIO, replies: TextIO) -> int:
    """Serve the world for a parent process until ``orders`` ends.

    The first line of ``replies`` is JSON and says where everything is, once clients can connect. Each line
    of ``orders`` is then answered by one JSON line, ``{"ok": true}`` or ``{"error": "..."}``:
    ``fault KIND[:option=value,...]``, ``clear [KIND]``, ``churn RATE``, ``approve HOST`` (its check mode).
    """
    # ctrl-c and a hang-up are for the parent, whose end ends this one too; then it still has to tidy up.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _axiom(arguments) as axiom:
        # The collector would look through thousands of nodes at each big answer, and find nothing: a real
        # daemon needs no tenth of a second to tell its status.
        gc.freeze()
        _say(replies, places(axiom))
        for line in orders:
            if line.strip():
                _say(replies, _obey(axiom, line.strip()))
    return 0


def places(axiom: EmbeddedAxiom) -> dict[str, str]:
    """Where a client finds everything, and the password that its hosts' sudo takes."""
    from axiom_tui.simulator.hosts.host import PASSWORD

    return {
        "cluster": axiom.world.cluster,
        "directory": str(axiom.directory),
        "kubeconfig": str(axiom.kubeconfig),
        "settings": str(axiom.settings),
        "server": axiom.kubernetes.url,
        "tailscale_socket": str(axiom.tailscale_socket),
        "control_url": axiom.control_url,
        "control_token_file": str(axiom.control_token_file),
        "ssh_config": str(axiom.hosts.ssh_config),
        "password": PASSWORD,
    }


@contextmanager
def _axiom(arguments: argparse.Namespace) -> Iterator[EmbeddedAxiom]:
    from axiom_tui.simulator.axiom import EmbeddedAxiom

    faults = Faults()
    with ExitStack() as ending:
        directory = arguments.directory
        if directory is None:
            temporary = tempfile.TemporaryDirectory(prefix="axiom-", ignore_cleanup_errors=True)
            directory = Path(ending.enter_context(temporary))
        axiom = EmbeddedAxiom(
            directory, nodes=arguments.nodes, seed=arguments.seed, alive=not arguments.still, faults=faults
        )
        ending.enter_context(axiom)
        for fault in arguments.fault:
            faults.set(fault)
        yield axiom


def _obey(axiom: EmbeddedAxiom, line: str) -> dict[str, object]:
    word, _, rest = line.partition(" ")
    orders: dict[str, Callable[[str], None]] = {
        "fault": lambda text: axiom.faults.set(parse_fault(text)),
        "clear": lambda text: axiom.faults.clear(text or None),
        "churn": lambda text: axiom.life.churn(float(text)),
        "approve": lambda text: _host(axiom, text).approve(),
    }
    if word not in orders:
        return {"error": f"There is no order {word!r}; known are {', '.join(orders)}."}
    try:
        orders[word](rest.strip())
    except ValueError as error:
        return {"error": str(error)}
    return {"ok": True}


def _host(axiom: EmbeddedAxiom, name: str) -> Host:
    try:
        return axiom.hosts[name]
    except KeyError as error:
        raise ValueError(f"There is no host {name!r}.") from error


def _say(replies: TextIO, message: dict[str, object] | dict[str, str]) -> None:
    replies.write(json.dumps(message) + "\n")
    replies.flush()


def _description(axiom: EmbeddedAxiom) -> str:
    names = [machine.node_name for machine in axiom.world.machines()]
    ready = sum(axiom.world.is_ready(name) for name in names)
    kubeconfig, settings, tailscaled, ssh_config = (
        shlex.quote(str(path))
        for path in (axiom.kubeconfig, axiom.settings, axiom.tailscale_socket, axiom.hosts.ssh_config)
    )
    return f"""\
A simulated Axiom is there until ctrl-c: {axiom.world.cluster}, {len(names)} nodes, {ready} Ready.

  Kubernetes API      {axiom.kubernetes.url}
  Tailscale, local    {axiom.tailscale_socket}
  Tailscale, control  {axiom.control_url}
  kubeconfig          {axiom.kubeconfig}
  settings            {axiom.settings}
  sudo on the hosts   {places(axiom)["password"]}

Look at it with any client:

  kubectl --kubeconfig {kubeconfig} get nodes -o wide
  {_called_as()} --config {settings}
  curl --unix-socket {tailscaled} http://local-tailscaled.sock/localapi/v0/status
  ssh -F {ssh_config} ubuntu-4gb-nbg1-2
"""


def _called_as() -> str:
    """How to call this program again, as it was called: it need not be on the PATH."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m axiom_tui"
    if called.name != PROGRAM:
        return PROGRAM  # the simulator was started without the rest
    return PROGRAM if shutil.which(PROGRAM) == str(called) else shlex.quote(str(called))


def _node_count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if not 1 <= count <= 50_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of nodes from 1 to 50000")
    return count


def _fault(text: str) -> Fault:
    try:
        return parse_fault(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main(argv: Sequence[str] | None = None) -> int:
    """The door of the child process, and of the simulator without the rest of the product."""
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} simulate", description="Serve a simulated Axiom.")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    if arguments.child:
        return serve_child(arguments, sys.stdin, sys.stdout)
    return run_simulate(arguments)


if __name__ == "__main__":
    sys.exit(main())
