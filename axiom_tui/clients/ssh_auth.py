"""Logging in: which ways fit a host, in which order, and what is said when none works.

Tailscale SSH: auth "none" alone, once; in check mode the host holds it until a person logged in at the URL of
its banner (facts: tailscale, ssh/tailssh/tailssh.go). All others: keys of the agent, key files, password.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from axiom_tui.clients.ssh_config import HostSettings
from axiom_tui.clients.ssh_hostkeys import HostKey, parse_key
from axiom_tui.clients.ssh_transport import (
    TAILSCALE,
    Agent,
    Dropped,
    KeyUnusable,
    PassphraseNeeded,
    Reply,
    SshError,
    TooSlow,
    Transport,
    load_key,
    open_agent,
)
from axiom_tui.clients.ssh_values import Interaction, LoginBanner, SshOptions, readable
from axiom_tui.model.problem import AxiomError, ProblemKind, fail
from axiom_tui.model.secret import Secret

if TYPE_CHECKING:
    import paramiko

_URL = re.compile(r"https?://[^\s<>\"'`]+")
_TRIES = 3  # for a passphrase or a password
_MOST_CONNECTIONS = 12  # hosts close the connection after a few refusals (MaxAuthTries of sshd_config)
_SPOKEN = ("publickey", "password", "keyboard-interactive")


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One thing to try: ``make`` gives the host's reply, or None when there is nothing to send."""

    label: str
    make: Callable[[], Reply | None]


class Login:
    """The dialogue that logs in to one host; it may need several connections, one after the other."""

    def __init__(
        self, host: HostSettings, options: SshOptions, interaction: Interaction, cancelled: threading.Event
    ) -> None:
        self._host = host
        self._options = options
        self._interaction = interaction
        self._cancelled = cancelled
        self._transport: Transport | None = None
        self._agent: Agent | None = None
        self._attempts = self._all_attempts()
        self._again: _Attempt | None = None
        self._connections = 0
        self._offered: tuple[str, ...] = ()
        self._passed: set[str] = set()  # right, but not enough alone; offered no second time
        self._tried: list[str] = []
        self._unusable: list[str] = []
        self._said = ""
        self._until = datetime.now(UTC)  # when the attempt that goes on is given up

    def log_in(self, transport: Transport) -> bool:
        """Log in over a fresh connection. False: the host closed it, and there is more to try on a new one.

        Raises AxiomError, or Cancelled.
        """
        self._transport = transport
        self._connections += 1
        tailscale = bool(self._host.host_keys) or transport.identification.startswith(TAILSCALE)
        seconds = self._options.login_timeout if tailscale else self._options.auth_timeout
        try:
            reply = self._ask(lambda handler, event: handler.auth_none(self._host.user, event), seconds)
        except Dropped as dropped:
            raise self._refused_by_tailnet() if tailscale else self._closed(dropped) from dropped
        except TooSlow as slow:
            raise self._too_slow(seconds) from slow
        if reply.accepted:
            return True
        self._offered = reply.offered
        if tailscale:
            raise self._refused_by_tailnet()
        return self._try_all()

    def close(self) -> None:
        """Let go of the agent."""
        if self._agent is not None:
            self._agent.close()

    def _try_all(self) -> bool:
        """True: logged in. False: dropped, go on with a new connection. Raises when nothing is left."""
        while True:
            attempt, self._again = self._again or next(self._attempts, None), None
            if attempt is None:
                raise self._refused()
            if attempt.label in self._passed:
                continue
            try:
                reply = attempt.make()
            except Dropped as dropped:
                if self._connections >= _MOST_CONNECTIONS:
                    raise self._refused() from dropped
                # A host that hangs up for another reason than too many tries did not judge this one.
                retried = self._tried[-1:] == [attempt.label]
                if "too many" not in str(dropped).lower() and not retried:
                    self._again = attempt
                self._tried.append(attempt.label)
                return False
            except TooSlow as slow:
                raise self._too_slow(self._options.auth_timeout) from slow
            if reply is None:
                continue
            if attempt.label not in self._tried:
                self._tried.append(attempt.label)
            if reply.accepted:
                return True
            if reply.partial:
                # Right, and one more is wanted: go through all others again, with what is now on offer.
                self._passed.add(attempt.label)
                self._attempts = self._all_attempts()
            self._offered = reply.offered

    def _all_attempts(self) -> Iterator[_Attempt]:
        """In order, each made only when the one before was refused, so that nobody is asked for nothing."""
        if "publickey" in self._offered:
            yield from self._key_attempts()
        given: Secret | None = None
        for number in range(_TRIES):
            if not self._wants_password():
                return
            secret = self._interaction.password(self._host.user, self._host.name, number > 0)
            # The same answer again is no new answer; it would only bring the host's lock-out nearer.
            if secret is None or secret == given:
                return
            given = secret
            yield self._password_attempt(secret)

    def _wants_password(self) -> bool:
        offered = "password" in self._offered or "keyboard-interactive" in self._offered
        return offered and "password" not in self._passed

    def _key_attempts(self) -> Iterator[_Attempt]:
        files = [file for file in self._host.key_files if file.exists()]
        public = {file: _public_part(file) for file in files}
        named = [key.blob for key in public.values() if key is not None]
        if self._agent is None and self._host.agent:
            self._agent = open_agent(self._host.agent)
        agent_keys = self._agent.keys if self._agent is not None else ()
        if self._host.identities_only:
            agent_keys = tuple(key for key in agent_keys if key.asbytes() in named)
        in_agent = {key.asbytes() for key in agent_keys}
        for key in sorted(agent_keys, key=lambda key: key.asbytes() not in named):
            yield self._signature_attempt(f"key {_fingerprint(key)} of the agent", key)
        for file in files:
            known = public[file]
            if known is None or known.blob not in in_agent:
                yield _Attempt(f"key file {file}", self._key_file(file, known))

    def _signature_attempt(self, label: str, key: paramiko.PKey) -> _Attempt:
        return _Attempt(label, lambda: self._sign(label, key))

    def _sign(self, label: str, key: paramiko.PKey) -> Reply | None:
        try:
            return self._ask(
                lambda handler, event: handler.auth_publickey(self._host.user, key, event),
                self._options.auth_timeout,
            )
        except (SshError, OSError):
            # An agent may refuse (its owner said no), and a host may not know the key's algorithm.
            self._unusable.append(f"{label}: it does not sign")
            return None

    def _key_file(self, file: Path, public: HostKey | None) -> Callable[[], Reply | None]:
        loaded: list[paramiko.PKey] = []

        def make() -> Reply | None:
            if not loaded:
                key = self._load(file, public)
                if key is None:
                    return None
                loaded.append(key)
            return self._sign(f"key file {file}", loaded[0])

        return make

    def _load(self, file: Path, public: HostKey | None) -> paramiko.PKey | None:
        passphrase: Secret | None = None
        for number in range(_TRIES + 1):
            try:
                return load_key(file, passphrase.reveal() if passphrase is not None else None)
            except PassphraseNeeded:
                if number == 0 and public is not None and not self._would_do(public):
                    self._tried.append(f"key file {file}")
                    return None
                if number < _TRIES:
                    passphrase = self._interaction.passphrase(file, number > 0)
                    if passphrase is None:
                        self._unusable.append(f"{file}: no passphrase was given")
                        return None
            except (KeyUnusable, OSError) as error:
                self._unusable.append(f"{file}: {error}")
                return None
        self._unusable.append(f"{file}: the passphrase is wrong")
        return None

    def _would_do(self, key: HostKey) -> bool:
        assert self._transport is not None
        return self._transport.would_accept(
            self._host.user, key, self._options.auth_timeout, self._on_banner, self._cancelled
        )

    def _password_attempt(self, secret: Secret) -> _Attempt:
        def make() -> Reply | None:
            if "password" in self._offered:
                return self._ask(
                    lambda handler, event: handler.auth_password(self._host.user, secret.reveal(), event),
                    self._options.auth_timeout,
                )
            answers = _OneAnswer(secret)
            return self._ask(
                lambda handler, event: handler.auth_interactive(self._host.user, answers, event),
                self._options.auth_timeout,
            )

        return _Attempt("password", make)

    def _ask(self, begin: Callable[..., None], seconds: float) -> Reply:
        assert self._transport is not None
        self._until = datetime.now(UTC) + timedelta(seconds=seconds)
        return self._transport.attempt(begin, seconds, self._on_banner, self._cancelled)

    def _on_banner(self, raw: bytes) -> None:
        text = readable(raw)
        self._said = text or self._said
        found = _URL.search(text)
        url = found[0].rstrip(".,;:!?)]}") if found else ""
        self._interaction.login_banner(LoginBanner(text, url, self._until))

    def _quoted(self) -> str:
        """What the host said last, without login URLs: they are for the screen alone."""
        return " ".join(_URL.sub("(URL)", self._said).split())

    def _refused_by_tailnet(self) -> AxiomError:
        reason = f': "{self._quoted()}"' if self._said else ", without a reason"
        if self._offered:
            reason += f" (the host offers {_list(self._offered)})"
        return fail(
            ProblemKind.FORBIDDEN,
            f"Tailscale SSH to {self._host.address} as {self._host.user} is refused{reason}.",
            "Look at the SSH rules of the tailnet's policy: who may log in to this node, and as which user.",
        )

    def _closed(self, dropped: Dropped) -> AxiomError:
        reason = f': "{readable(str(dropped))}"' if str(dropped) else ""
        return fail(
            ProblemKind.UNREACHABLE,
            f"{self._host.address} closed the connection during the login{reason}.",
            "Look into the log of its SSH server; it may limit logins after failed ones. Then try again.",
        )

    def _too_slow(self, seconds: float) -> AxiomError:
        if _URL.search(self._said):
            return fail(
                ProblemKind.UNCONFIRMED,
                f"Nobody logged in at the URL that {self._host.address} gave within {seconds / 60:.0f} min.",
                "Connect again; a new URL comes.",
            )
        return fail(
            ProblemKind.TIMED_OUT,
            f"{self._host.address} did not answer to the login within {seconds:.0f} s.",
            "Look whether the host is overloaded, then try again.",
        )

    def _refused(self) -> AxiomError:
        where, user = self._host.address, self._host.user
        if self._offered and not any(method in _SPOKEN for method in self._offered):
            return fail(
                ProblemKind.UNAUTHENTICATED,
                f"{where} only offers the login methods {_list(self._offered)}; none of them is known here.",
                "Allow publickey or password in its SSH server, or use Tailscale SSH.",
            )
        tried = f"Tried: {_list(dict.fromkeys(self._tried))}" if self._tried else "There was nothing to try"
        unusable = f"; not usable: {_list(self._unusable)}" if self._unusable else ""
        said = f'; it said "{self._quoted()}"' if self._said else ""
        return fail(
            ProblemKind.UNAUTHENTICATED,
            f"The login to {where} as {user} failed. {tried}{unusable};"
            f" the host offers {_list(self._offered)}{said}.",
            f"Check the user name, and that one of your keys stands in {user}'s authorized_keys there.",
        )


class _OneAnswer:
    """Answers the one question of keyboard-interactive that a password is; any further question ends it."""

    def __init__(self, secret: Secret) -> None:
        self._secret: Secret | None = secret

    def __call__(self, title: str, instructions: str, questions: Sequence[tuple[str, bool]]) -> list[str]:
        if not questions:
            return []
        secret, self._secret = self._secret, None
        # Several questions, or a visible one, are about something else than the password (a code, a new
        # password): an empty answer is refused by the host, and nothing secret goes to the wrong question.
        if secret is None or len(questions) != 1 or questions[0][1]:
            return [""] * len(questions)
        return [secret.reveal()]


def _public_part(file: Path) -> HostKey | None:
    try:
        return parse_key(file.with_name(file.name + ".pub").read_text(errors="replace"))
    except OSError:
        return None  # only needed to spare a question


def _fingerprint(key: paramiko.PKey) -> str:
    return HostKey(key.get_name(), key.asbytes()).fingerprint


def _list(names: Sequence[str] | dict[str, None]) -> str:
    return ", ".join(names) or "nothing"
