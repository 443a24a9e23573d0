"""sudo: with a password, without one, or not at all (sudo 1.9; facts: services.md 3.5)."""

from __future__ import annotations

import contextlib

from axiom_tui.simulator.hosts.files import ROOT
from axiom_tui.simulator.hosts.host import PASSWORD, Sudo
from axiom_tui.simulator.hosts.kernel import Signals
from axiom_tui.simulator.hosts.program import Failure, Run, program
from axiom_tui.simulator.hosts.programs.processes import start

SECURE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TRIES = 3
KEPT = ("LANG", "LC_ALL", "LC_CTYPE", "TERM", "TZ", "NO_PROXY", "HTTP_PROXY", "HTTPS_PROXY")

__all__ = ["PASSWORD", "SECURE_PATH", "sudo"]


@program("sudo")
def sudo(run: Run) -> int:
    options, words = run.leading_options(
        "AbEeHhiKklnPSsVvp:u:g:C:D:",
        [
            "preserve-env",
            "non-interactive",
            "stdin",
            "reset-timestamp",
            "validate",
            "prompt=",
            "user=",
            "list",
        ],
    )
    long = {"--non-interactive": "-n", "--stdin": "-S", "--reset-timestamp": "-k", "--validate": "-v"}
    long |= {"--prompt": "-p", "--user": "-u", "--list": "-l"}
    options = {long.get(name, name): value for name, value in options.items()}
    assignments: dict[str, str] = {}
    while words and "=" in words[0] and not words[0].startswith("="):
        name, _, value = words.pop(0).partition("=")
        assignments[name] = value
    if "-V" in options:
        run.line("Sudo version 1.9.9")
        return 0
    ticket = (run.user.name, run.process.parent.pid if run.process.parent else 0)
    if "-K" in options or "-k" in options:
        run.host.sudo_tickets.discard(ticket)
    if not words and not {"-v", "-l", "-i", "-s"} & set(options):
        if "-K" in options or "-k" in options:
            return 0
        raise Failure("a command, or one of -v, -l, -i, -s is needed")
    _authenticate(run, options, ticket, remembers="-k" not in options)
    user = run.host.users.get(options.get("-u", "root"))
    if user is None:
        raise Failure(f"unknown user {options['-u']}")
    if "-v" in options:
        return 0
    if "-l" in options:
        run.line(f"User {run.user.name} may run the following commands on {run.host.name}:")
        run.line(f"    (ALL : ALL) {'NOPASSWD: ' if run.host.sudo is Sudo.NOPASSWD else ''}ALL")
        return 0
    if "-i" in options or "-s" in options:
        words = ["sh", *(["-c", " ".join(words)] if words else [])]
    environment = {name: value for name, value in run.environment.items() if name in KEPT}
    if "-E" in options or "--preserve-env" in options:
        environment = dict(run.environment)
    environment |= {"PATH": SECURE_PATH, "HOME": user.home, "USER": user.name, "LOGNAME": user.name}
    environment |= {"SHELL": "/bin/sh", "SUDO_USER": run.user.name, "SUDO_UID": str(run.user.number)}
    environment |= {"SUDO_GID": str(run.user.number), "SUDO_COMMAND": " ".join(words), **assignments}
    found = run.host.find_program(words[0], run.process, SECURE_PATH)
    command = " ".join([found or words[0], *words[1:]])
    _log(run, f"{run.user.name} : PWD={run.process.directory} ; USER={user.name} ; COMMAND={command}")
    if found is None:
        raise Failure(f"{words[0]}: command not found")
    child = start(run, words, user=user, environment=environment)
    # What this process is told is passed on to the command, as sudo does.
    run.process.trapped |= {Signals.SIGTERM, Signals.SIGINT, Signals.SIGHUP}
    while child.status is None:
        run.process.wait_for(lambda: child.status is not None or bool(run.process.caught))
        while run.process.caught:
            child.signal(run.process.caught.popleft())
    return child.status


def _authenticate(run: Run, options: dict[str, str], ticket: tuple[str, int], *, remembers: bool) -> None:
    """Ends with a Failure unless the user may."""
    host = run.host
    if run.user == ROOT or host.sudo is Sudo.NOPASSWD:
        return
    if remembers and ticket in host.sudo_tickets and host.sudo is Sudo.PASSWORD:
        return
    if "-n" in options:
        raise Failure("a password is required")
    if "-S" not in options:
        run.complain(
            "a terminal is required to read the password; either use the -S option to read from standard "
            "input or configure an askpass helper"
        )
        raise Failure("a password is required")
    _check_password(run, options.get("-p", f"[sudo] password for {run.user.name}: "))
    if host.sudo is Sudo.ABSENT:
        _log(run, f"{run.user.name} : user NOT in sudoers ; PWD={run.process.directory} ; USER=root")
        run.say(f"{run.user.name} is not in the sudoers file.  This incident will be reported.")
        raise Failure("", 1)
    if remembers:
        host.sudo_tickets.add(ticket)


def _check_password(run: Run, prompt: str) -> None:
    source = run.process.file(0)
    for number in range(1, TRIES + 1):
        run.process.write(2, prompt.replace("%u", run.user.name).replace("%h", run.host.name).encode())
        line = source.read_line(run.process)
        given = line.decode(errors="surrogateescape").removesuffix("\n")
        if line and given == run.host.password and not run.host.find_fault("host-sudo-password"):
            return
        if not line:
            run.say("")
            tries = f"{number - 1} incorrect password attempt{'s' if number > 2 else ''}"
            raise Failure("no password was provided" if number == 1 else tries)
        _log(
            run,
            f"pam_unix(sudo:auth): authentication failure; logname= uid=1000 euid=0 ruser={run.user.name}",
        )
        if number < TRIES:
            run.say("Sorry, try again.")
    raise Failure(f"{TRIES} incorrect password attempts")


def _log(run: Run, text: str) -> None:
    """/var/log/auth.log, where everyone with the group adm reads what was run."""
    stamp = run.host.clock().strftime("%b %d %H:%M:%S")
    line = f"{stamp} {run.host.name} sudo[{run.process.pid}]: {text}\n".encode()
    with contextlib.suppress(OSError):  # a full disk does not keep anybody from being root
        entry = run.files.writable("/var/log/auth.log", ROOT, mode=0o640, truncate=False)
        run.files.store(entry, entry.content + line)
