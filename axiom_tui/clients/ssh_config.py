"""~/.ssh/config: what it says of one host, as far as this program honours it (ssh_config(5)).

Honoured: HostName, User, Port, IdentityFile, IdentitiesOnly, IdentityAgent, ProxyJump, ProxyCommand,
UserKnownHostsFile, HostKeyAlias, HashKnownHosts, Include, Host blocks, and Match blocks with all, host,
originalhost, user, localuser and final. A Match with any other criterion never applies: above all, no
``Match exec`` runs a command.
"""

from __future__ import annotations

import getpass
import glob
import os
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from axiom_tui.clients.ssh_hostkeys import lookup_name
from axiom_tui.clients.ssh_values import SSH_PORT, SshOptions, SshTarget
from axiom_tui.model.problem import AxiomError, ProblemKind, fail

_DEEPEST_INCLUDE = 16  # as OpenSSH
_USUAL_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_LINE = re.compile(r"\s*(?P<keyword>\w+)(?:\s*=\s*|\s+|$)(?P<rest>.*?)\s*")
_JUMP = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:]+))(?::(?P<port>\d+))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """How to reach one host: ``name`` is what was asked for, ``host`` and ``port`` where to connect.

    ``agent`` is the path of the agent's socket, "" for none; ``known_as`` the host's name in known_hosts
    (HostKeyAlias, else ``host`` or ``[host]:port``).
    """

    name: str
    host: str
    port: int
    user: str
    key_files: tuple[Path, ...]
    identities_only: bool
    agent: str
    proxy_jump: tuple[SshTarget, ...]
    proxy_command: str
    known_hosts: tuple[Path, ...]
    known_as: str
    hash_known_hosts: bool
    host_keys: tuple[str, ...]
    called: str = ""

    @property
    def address(self) -> str:
        """For sentences: as `title`, with the port where it is not the usual one."""
        return self._named(self.host if self.port == SSH_PORT else f"{self.host}:{self.port}")

    @property
    def title(self) -> str:
        """The name that the admin knows or asked for, and behind it what that leads to if it is another."""
        return self._named(self.host)

    def _named(self, where: str) -> str:
        name = self.called or self.name
        return where if name.lower() == self.host.lower() else f"{name} ({where})"


def settings_for(target: SshTarget, options: SshOptions) -> HostSettings:
    """Look a host up. What the target says comes before what the file says.

    Raises AxiomError (MISCONFIGURED) when the file cannot be read or understood.
    """
    found = _Found(target.host, target.user)
    found.read(options.config_file)
    local = getpass.getuser()
    user = found.value("user") or local
    port = target.port or _number(found.value("port") or str(SSH_PORT), options.config_file)
    host = _expand(found.value("hostname"), {"h": target.host}) or target.host
    tokens = {
        "h": host,
        "n": target.host,
        "p": str(port),
        "r": user,
        "u": local,
        "d": str(Path("~").expanduser()),
    }

    def path(text: str) -> Path:
        return Path(os.path.expandvars(_expand(text, tokens))).expanduser()

    agent = found.value("identityagent") or "SSH_AUTH_SOCK"
    named_files = _words(found.value("userknownhostsfile"), options.config_file)
    known = [path(name) for name in named_files if name.lower() != "none"] or [options.known_hosts]
    if options.system_known_hosts is not None:
        known.append(options.system_known_hosts)
    named_keys = tuple(path(name) for name in found.identity_files if name.lower() != "none")
    usual_keys = tuple(options.config_file.parent / name for name in _USUAL_KEYS)
    return HostSettings(
        name=target.host,
        host=host,
        port=port,
        user=user,
        key_files=options.key_files or named_keys or (() if found.identity_files else usual_keys),
        identities_only=found.value("identitiesonly").lower() == "yes",
        agent=_agent_socket(agent, path),
        proxy_jump=_jumps(_expand(found.value("proxyjump"), tokens), options.config_file),
        proxy_command=_expand(found.value("proxycommand"), tokens, nothing="none"),
        known_hosts=tuple(known),
        known_as=found.value("hostkeyalias").lower() or lookup_name(host, port),
        hash_known_hosts=found.value("hashknownhosts").lower() == "yes",
        host_keys=target.host_keys,
        called=target.called,
    )


@dataclass(slots=True)
class _Found:
    """The values found so far for one host: for each keyword the first one counts, identity files add up."""

    name: str
    user: str
    values: dict[str, str] = field(default_factory=dict)
    identity_files: list[str] = field(default_factory=list)

    def value(self, keyword: str) -> str:
        if keyword == "user" and self.user:
            return self.user
        return self.values.get(keyword, "")

    def read(self, file: Path, *, enclosing: bool = True, depth: int = 0) -> None:
        """Read a file; ``enclosing``: whether the block that includes it applies."""
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            reason = (error.strerror or "unknown error").lower()
            raise _wrong(file, f"cannot be read: {reason}") from error
        if depth > _DEEPEST_INCLUDE:
            raise _wrong(file, "is included by itself")
        applies = enclosing
        for line in lines:
            parsed = _LINE.fullmatch(line)
            if parsed is None or line.lstrip().startswith("#"):
                continue
            keyword, rest = parsed["keyword"].lower(), parsed["rest"]
            if keyword == "host":
                applies = enclosing and _matches(_words(rest, file), self.name)
            elif keyword == "match":
                applies = enclosing and self._match(_words(rest, file))
            elif not applies:
                continue
            elif keyword == "include":
                self._include(_words(rest, file), file, depth)
            else:
                self._set(keyword, rest, file)

    def _set(self, keyword: str, rest: str, file: Path) -> None:
        # The rest of the line is a command or a list for these; for all others it is one word.
        whole = keyword in ("proxycommand", "userknownhostsfile")
        value = rest if whole else next(iter(_words(rest, file)), "")
        if keyword == "identityfile":
            if value not in self.identity_files:
                self.identity_files.append(value)
            return
        # ssh_config(5): whichever of the two comes first keeps the other one from counting. As `ssh -G`
        # shows, a "ProxyCommand none" does so too, a "ProxyJump none" does not.
        if keyword == "proxyjump" and "proxycommand" in self.values:
            return
        if keyword == "proxycommand" and self.values.get("proxyjump", "none").lower() != "none":
            return
        self.values.setdefault(keyword, value)

    def _include(self, patterns: Sequence[str], file: Path, depth: int) -> None:
        for pattern in patterns:
            # Relative names are below ~/.ssh, where the file itself stands.
            for name in sorted(glob.glob(str(file.parent / Path(pattern).expanduser()))):
                self.read(Path(name), depth=depth + 1)

    def _match(self, words: Sequence[str]) -> bool:
        local = getpass.getuser()
        against = {
            "host": _expand(self.value("hostname"), {"h": self.name}) or self.name,
            "originalhost": self.name,
            "user": self.value("user") or local,
            "localuser": local,
        }
        criteria = iter(words)
        for word in criteria:
            criterion = word.lower().removeprefix("!")
            if criterion in ("all", "final"):
                matched = True
            elif criterion in against:
                matched = _matches(next(criteria, "").split(","), against[criterion])
            else:
                return False
            if matched == word.startswith("!"):
                return False
        return bool(words)


def _matches(patterns: Sequence[str], name: str) -> bool:
    found = False
    for pattern in patterns:
        if fnmatchcase(name.lower(), pattern.lower().removeprefix("!").replace("[", "[[]")):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _expand(text: str, tokens: dict[str, str], *, nothing: str = "") -> str:
    if nothing and text.lower() == nothing:
        return ""
    return re.sub("%(.)", lambda match: "%" if match[1] == "%" else tokens.get(match[1], match[0]), text)


def _words(text: str, file: Path) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise _wrong(file, f"has quotes that do not end in `{text}`") from error


def _number(text: str, file: Path) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise _wrong(file, f"has the port `{text}`, which is none")
    return int(text)


def _agent_socket(text: str, path: Callable[[str], Path]) -> str:
    if text == "none":
        return ""
    if text == "SSH_AUTH_SOCK" or text.startswith("$"):
        name = text.removeprefix("$").removeprefix("{").removesuffix("}")
        return os.environ.get(name, "")
    return str(path(text))


def _jumps(text: str, file: Path) -> tuple[SshTarget, ...]:
    if not text or text.lower() == "none":
        return ()
    jumps = []
    for part in text.split(","):
        parsed = _JUMP.fullmatch(part.strip())
        if parsed is None:
            raise _wrong(file, f"has the jump host `{part.strip()}`, which is none")
        port = _number(parsed["port"], file) if parsed["port"] else 0
        jumps.append(SshTarget(host=parsed["v6"] or parsed["host"], user=parsed["user"] or "", port=port))
    return tuple(jumps)


def _wrong(file: Path, what: str) -> AxiomError:
    return fail(ProblemKind.MISCONFIGURED, f"The SSH settings file {file} {what}.", "Mend the file.")
