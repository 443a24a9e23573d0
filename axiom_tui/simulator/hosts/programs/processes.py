"""Programs about programs: they start others, look at them, wait, or end them."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from axiom_tui.simulator.hosts import basics
from axiom_tui.simulator.hosts.files import ROOT, User
from axiom_tui.simulator.hosts.kernel import Process, Signals
from axiom_tui.simulator.hosts.program import Failure, Run, program
from axiom_tui.simulator.hosts.shell import Shell


def run_other(run: Run, words: Sequence[str], *, search_path: str | None = None) -> int:
    """Become another program, as exec(3) does; 127 if there is none."""
    path = run.environment.get("PATH", "") if search_path is None else search_path
    found = run.host.find_program(words[0], run.process, path)
    if found is None:
        run.complain(f"‘{words[0]}’: No such file or directory")
        return 127
    if not run.host.is_executable(found, run.process):
        run.complain(f"‘{words[0]}’: Permission denied")
        return 126
    return run.host.execute(run.process, words, found)


@program("sh", "dash", "bash")
def sh(run: Run) -> int:
    """``sh [-eux] -c text [name [argument ...]]``, ``sh [-eux] -s [argument ...]``, ``sh [-eux] file``."""
    words = list(run.arguments)
    options: set[str] = set()
    command = from_input = False
    while words and words[0][:1] in ("-", "+"):
        word = words.pop(0)
        if word in ("--", "-"):
            break
        if word in ("--login", "--noprofile", "--norc"):
            continue
        for letter in word[1:]:
            command, from_input = command or letter == "c", from_input or letter == "s"
            if letter == "o" and words:
                words.pop(0)
            elif letter in "eufxa":
                options.add(letter)
            elif letter not in "cslibo":
                run.say(f"{run.name}: 0: Illegal option -{letter}")
                return 2
    shell = Shell(run.host, run.process, run.name, words)
    shell.options = options
    if command:
        if not words:
            run.say(f"{run.name}: 0: -c requires an argument")
            return 2
        shell.name, shell.arguments = (words[1], words[2:]) if len(words) > 1 else (run.name, [])
        return shell.run_text(words[0])
    if from_input or not words:
        return shell.run_input()
    shell.name, shell.arguments = words[0], words[1:]
    try:
        text = run.text(words[0])
    except OSError as error:
        run.say(f"{run.name}: 0: cannot open {words[0]}: {error.strerror}")
        return 2
    return shell.run_text(text)


@program("env")
def env(run: Run) -> int:
    words = list(run.arguments)
    environment = dict(run.environment)
    while words:
        if words[0] in ("-i", "-"):
            environment = {}
        elif words[0] == "-u" and len(words) > 1:
            environment.pop(words.pop(1), None)
        elif "=" in words[0] and not words[0].startswith("-"):
            name, _, value = words[0].partition("=")
            environment[name] = value
        elif words[0] == "--":
            words.pop(0)
            break
        else:
            break
        words.pop(0)
    run.process.environment = environment
    if words:
        return run_other(run, words)
    for name, value in environment.items():
        run.line(f"{name}={value}")
    return 0


@program("printenv")
def printenv(run: Run) -> int:
    found = [run.environment[name] for name in run.arguments if name in run.environment]
    for value in found if run.arguments else [f"{name}={value}" for name, value in run.environment.items()]:
        run.line(value)
    return int(bool(run.arguments) and not found)


@program("setsid")
def setsid(run: Run) -> int:
    _, words = run.leading_options("wfc", ["wait", "fork", "ctty"])
    if not words:
        raise Failure("no command specified")
    run.process.session = run.process.pid
    return run_other(run, words)


@program("nohup")
def nohup(run: Run) -> int:
    run.process.ignored.add(Signals.SIGHUP)
    return run_other(run, run.arguments)


@program("nice", "ionice", "stdbuf", "chrt")
def nice(run: Run) -> int:
    words = list(run.arguments)
    while words and words[0].startswith("-"):
        if words.pop(0) in ("-n", "-c", "-p") and words:
            words.pop(0)
    return run_other(run, words) if words else 0


@program("timeout")
def timeout(run: Run) -> int:
    options, words = run.leading_options("k:s:v", ["kill-after=", "signal=", "foreground", "preserve-status"])
    if len(words) < 2:
        raise Failure("missing operand", 125)
    number = basics.signal_number(options.get("-s", options.get("--signal", "TERM"))) or int(Signals.SIGTERM)
    kill_after = options.get("-k", options.get("--kill-after"))
    child = start(run, words[1:])
    if run.process.wait_for(lambda: child.status is not None, duration(words[0])):
        return child.status or 0
    child.signal(number)
    if kill_after and not run.process.wait_for(lambda: child.status is not None, duration(kill_after)):
        child.signal(Signals.SIGKILL)
    run.process.wait_for(lambda: child.status is not None)
    return (child.status or 0) if "--preserve-status" in options else 124


def start(
    run: Run, words: Sequence[str], *, user: User | None = None, environment: dict[str, str] | None = None
) -> Process:
    """Start another program in a process of its own."""

    def main(process: Process) -> int:
        return run_other(Run(run.host, process, run.name, run.arguments), words)

    return run.process.kernel.spawn(
        main, parent=run.process, arguments=tuple(words), user=user, environment=environment
    )


def duration(text: str) -> float:
    """Seconds of ``5``, ``0.5``, ``2m``."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)([smhd]?)", text)
    if found is None:
        raise Failure(f"invalid time interval ‘{text}’", 125)
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2]]


@program("sleep")
def sleep(run: Run) -> int:
    seconds = sum(duration(word) for word in run.arguments)
    run.process.wait_for(lambda: False, seconds)
    return 0


@program("true")
def true(run: Run) -> int:
    return 0


@program("false")
def false(run: Run) -> int:
    return 1


@program("echo")
def echo(run: Run) -> int:
    words, end = list(run.arguments), "\n"
    if words[:1] == ["-n"]:
        words, end = words[1:], ""
    run.write(" ".join(words) + end)
    return 0


@program("printf")
def printf(run: Run) -> int:
    output, problem = basics.printf(run.arguments)
    run.write(output)
    if problem:
        raise Failure(problem)
    return 0


@program("test", "[")
def test(run: Run) -> int:
    words = list(run.arguments)
    if run.name == "[" and (not words or words.pop() != "]"):
        raise Failure("missing ‘]’", 2)
    try:
        return int(not basics.test(run.process, words))
    except ValueError as error:
        raise Failure(str(error), 2) from error


@program("pwd")
def pwd(run: Run) -> int:
    run.line(run.process.directory)
    return 0


@program("kill")
def kill(run: Run) -> int:
    status, problems, output = basics.kill(run.process, run.arguments)
    run.write(output)
    for problem in problems:
        run.complain(problem)
    return status


@program("xargs")
def xargs(run: Run) -> int:
    _, words = run.leading_options("0rn:I:")
    arguments = run.all_input().decode(errors="surrogateescape").split()
    if not arguments:
        return 0
    child = start(run, [*(words or ["echo"]), *arguments])
    run.process.wait_for(lambda: child.status is not None)
    return 123 if child.status else 0


@program("ps")
def ps(run: Run) -> int:
    """All processes with their arguments; of the output formats, ``-o`` with names, ``-f`` and ``aux``."""
    words = [word for word in run.arguments if not word.startswith("--")]
    names = ["pid", "user", "args"]
    titled = True
    for index, word in enumerate(words):
        if word in ("-o", "-eo") and index + 1 < len(words):
            columns = words[index + 1].replace("=", " ").split(",")
            titled = not words[index + 1].endswith("=")
            names = [column.strip() for column in columns]
    wanted = {
        int(words[index + 1])
        for index, word in enumerate(words[:-1])
        if word == "-p" and words[index + 1].isdigit()
    }
    if titled:
        run.line(" ".join(f"{name.upper():<8}" for name in names))
    with run.process.kernel.changed:
        processes = sorted(run.process.kernel.processes.values(), key=lambda process: process.pid)
    shown = 0
    for process in processes:
        if wanted and process.pid not in wanted:
            continue
        shown += 1
        command = " ".join(process.arguments) or "[kworker]"
        values = {
            "pid": str(process.pid),
            "ppid": str(process.parent.pid if process.parent else 1),
            "user": process.user.name,
            "args": command,
            "cmd": command,
            "command": command,
            "comm": command.partition(" ")[0].rpartition("/")[2][:15],
            "etimes": str(int(time.monotonic() - process.started)),
            "sid": str(process.session),
            "pgid": str(process.session),
        }
        run.line(" ".join(f"{values.get(name, '-'):<8}" for name in names).rstrip())
    return int(not shown)


@program("pgrep", "pkill")
def pgrep(run: Run) -> int:
    options, words = run.options("fxlau:", ["signal="])
    expression = re.compile(words[0])
    found = 0
    with run.process.kernel.changed:
        for process in sorted(run.process.kernel.processes.values(), key=lambda item: item.pid):
            text = " ".join(process.arguments)
            if "-f" not in options:
                text = text.partition(" ")[0].rpartition("/")[2]
            if process is run.process or not expression.search(text):
                continue
            found += 1
            if run.name == "pkill":
                process.signal(Signals.SIGTERM)
            else:
                run.line(str(process.pid))
    return int(not found)


@program("id")
def id_(run: Run) -> int:
    options, words = run.options("ugnGr")
    user = run.host.users.get(words[0]) if words else run.user
    if user is None:
        raise Failure(f"‘{words[0]}’: no such user")
    if "-u" in options:
        run.line(user.name if "-n" in options else str(user.number))
    elif "-G" in options or "-g" in options:
        groups = user.groups if "-G" in options else user.groups[:1]
        run.line(" ".join(groups if "-n" in options else [str(_group_number(user, name)) for name in groups]))
    else:
        listed = ",".join(f"{_group_number(user, name)}({name})" for name in user.groups)
        own = f"{_group_number(user, user.groups[0])}({user.groups[0]})"
        run.line(f"uid={user.number}({user.name}) gid={own} groups={listed}")
    return 0


def _group_number(user: User, name: str) -> int:
    return user.number if name == user.name else {"sudo": 27, "adm": 4}.get(name, 0)


@program("whoami")
def whoami(run: Run) -> int:
    run.line(run.user.name)
    return 0


@program("groups")
def groups(run: Run) -> int:
    run.line(" ".join(run.user.groups))
    return 0


@program("which")
def which(run: Run) -> int:
    status = 0
    for name in run.arguments:
        found = run.host.find_program(name, run.process, run.environment.get("PATH", ""))
        if found and run.host.is_executable(found, run.process):
            run.line(found)
        else:
            status = 1
    return status


@program("runuser", "su")
def su(run: Run) -> int:
    """``su user -c command``, for root alone."""
    options, words = run.options("c:lu:s:")
    user = run.host.users.get(options.get("-u", words[0] if words else ROOT.name))
    if user is None:
        raise Failure(
            f"user {words[0]} does not exist or the user entry does not contain all the required fields"
        )
    if not run.user.is_root:
        raise Failure("Authentication failure")
    child = start(run, ["sh", "-c", options["-c"]] if "-c" in options else words[1:], user=user)
    run.process.wait_for(lambda: child.status is not None)
    return child.status or 0
