"""Becoming root: what sudo wants on this host, and how it gets the password and nothing else does.

sudo is always told to forget earlier logins (-k) and to ask with a random prompt (-p), and the password is
sent only after that prompt appeared. So it never reaches a command that did not ask: not with NOPASSWD, not
with cached credentials. The command's input is sent only after the command itself said READY, so sudo, which
takes further lines of its input as further passwords, never eats it. (sudo(8), -S; facts: services.md, 3.5.)
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from enum import Enum, auto

from axiom_tui.clients.ssh_command import Call, Outcome, supervised
from axiom_tui.clients.ssh_values import readable
from axiom_tui.model.problem import AxiomError, ProblemKind, fail
from axiom_tui.model.secret import Secret

#: Exit status 0: is root. 3: no sudo. 4: sudo said no, its reason on stderr. 5: sudo without a password.
PROBE = """[ "$(id -u)" = 0 ] && exit 0
command -v sudo >/dev/null 2>&1 || exit 3
LC_ALL=C sudo -k -n true >/dev/null || exit 4
exit 5"""

# sudo's own words are recognised, so they must not be translated.
_SUDO = "env LC_ALL=C sudo -k"


class Elevation(Enum):
    """How the user who is logged in becomes root."""

    IS_ROOT = auto()
    PASSWORDLESS = auto()
    PASSWORD = auto()


def elevation_from(outcome: Outcome, user: str, host: str) -> Elevation:
    """What the probe's outcome means. Raises AxiomError when there is no way to become root."""
    match outcome.status:
        case 0:
            return Elevation.IS_ROOT
        case 5:
            return Elevation.PASSWORDLESS
        case 3:
            raise fail(
                ProblemKind.ABSENT,
                f"{host} has no sudo, and {user} is not root.",
                "Install sudo there, or log in as root.",
            )
        case 4:
            refusal = refused(outcome, user, host)
            if refusal is not None:
                raise refusal
            return Elevation.PASSWORD
    raise fail(
        ProblemKind.BROKEN,
        f"Whether {user} may use sudo on {host} cannot be found out: the check ended with status"
        f" {outcome.status} ({_last_line(outcome)}).",
        f"Log in to {host} by hand and try `sudo -v`.",
    )


def checking(password: Secret) -> Call:
    """Has sudo check a password, and run nothing."""
    prompt = _prompt()
    return Call(line=f"exec {_SUDO} -S -p {prompt} -v", prompt=prompt, password=password.reveal().encode())


def as_root(command: str, payload: bytes, elevation: Elevation, password: Secret | None) -> Call:
    """Runs a command as root."""
    if elevation is Elevation.IS_ROOT:
        return supervised(command, payload)
    if elevation is Elevation.PASSWORDLESS or password is None:
        return supervised(command, payload, f"{_SUDO} -n -- ")
    prompt = _prompt()
    call = supervised(command, payload, f"{_SUDO} -S -p {prompt} -- ")
    return replace(call, prompt=prompt, password=password.reveal().encode())


def refused(outcome: Outcome, user: str, host: str) -> AxiomError | None:
    """What sudo's refusal means; None when it only wants a password."""
    said = outcome.stderr.decode(errors="replace").lower()
    if "must have a tty" in said or "requiretty" in said:
        return fail(
            ProblemKind.FORBIDDEN,
            f"sudo on {host} wants a terminal (requiretty), and commands run without one.",
            f"Put `Defaults:{user} !requiretty` into a file below /etc/sudoers.d there (with visudo).",
        )
    if "sudoers" in said or "may not run sudo" in said or "not allowed to" in said:
        return fail(
            ProblemKind.FORBIDDEN,
            f"{user} may not use sudo on {host}: not in sudoers.",
            f"As root on {host}: `usermod -aG sudo {user}`, then connect again.",
        )
    if "command not found" in said or "sudo: not found" in said:
        return fail(ProblemKind.ABSENT, f"{host} has no sudo.", "Install sudo there, or log in as root.")
    return None


def wrong_password(user: str, host: str) -> AxiomError:
    """The password was sent, and sudo asked again."""
    return fail(
        ProblemKind.UNAUTHENTICATED,
        f"sudo on {host} refused the password of {user}: it is wrong.",
        "Give the right one, or correct it where the settings say that it is (ssh.sudo_password).",
    )


def no_password(user: str, host: str) -> AxiomError:
    return fail(
        ProblemKind.UNAUTHENTICATED,
        f"sudo on {host} asks for the password of {user}, and none was given.",
        "Run this at a terminal and give it there, or name its source in the settings (ssh.sudo_password).",
    )


def not_verified(outcome: Outcome, user: str, host: str) -> AxiomError:
    """The password was accepted, or not asked for, and sudo still said no."""
    return refused(outcome, user, host) or fail(
        ProblemKind.FORBIDDEN,
        f"sudo on {host} refuses {user}: {_last_line(outcome)}.",
        f"Log in to {host} by hand and try `sudo -v`.",
    )


def _last_line(outcome: Outcome) -> str:
    lines = [line for line in readable(outcome.stderr).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "without a reason"


def _prompt() -> str:
    return f"axiom-tui-sudo-{secrets.token_hex(8)}:"
