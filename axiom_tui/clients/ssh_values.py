"""What an SSH connection is given and gives back: target, options, questions to the admin, results."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from axiom_tui.model.secret import Secret

SSH_PORT = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class SshTarget:
    """The host to log in to.

    ``host`` is a name, an address or an alias of ~/.ssh/config. An empty ``user`` and a ``port`` of 0 mean:
    as ~/.ssh/config says, else the local user and 22. ``host_keys`` are lines such as
    ``ssh-ed25519 AAAA...`` that the tailnet vouches for (``sshHostKeys`` of Tailscale's local API); where
    they are given, the host speaks Tailscale SSH, and only auth "none" is tried. ``called`` is the name by
    which the admin knows it, where ``host`` is an address: sentences begin with it.
    """

    host: str
    user: str = ""
    port: int = 0
    host_keys: tuple[str, ...] = ()
    called: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshOptions:
    """Files and time limits (seconds) of a connection.

    ``key_files`` empty: what ~/.ssh/config names, else the usual files beside it. ``known_hosts`` counts
    where ~/.ssh/config names no UserKnownHostsFile; ``system_known_hosts`` is only read. ``login_timeout``
    is how long a person has to log in when Tailscale SSH asks (the server holds the login for 30 minutes).
    A host that says nothing for ``keepalive`` x 3 seconds is taken as lost. ``sudo_password`` is tried where
    sudo wants one, before a person is asked.
    """

    config_file: Path = field(default_factory=lambda: Path("~/.ssh/config").expanduser())
    known_hosts: Path = field(default_factory=lambda: Path("~/.ssh/known_hosts").expanduser())
    system_known_hosts: Path | None = Path("/etc/ssh/ssh_known_hosts")
    key_files: tuple[Path, ...] = ()
    connect_timeout: float = 10.0
    banner_timeout: float = 15.0
    auth_timeout: float = 30.0
    login_timeout: float = 1800.0
    channel_timeout: float = 15.0
    keepalive: float = 5.0
    sudo_password: Callable[[], Secret] | None = None

    @property
    def silence_limit(self) -> float:
        """Seconds without any answer after which the connection is given up."""
        return 3 * self.keepalive


@dataclass(frozen=True, slots=True)
class LoginBanner:
    """A text that the host sent while the login is still going on; in Tailscale's check mode it has the URL.

    Control characters are taken out; still text from outside. ``until`` is when this program gives up.
    """

    text: str
    url: str
    until: datetime

    def time_left(self, now: datetime | None = None) -> timedelta:
        """How long a person still has, never negative."""
        return max(timedelta(), self.until - (now or datetime.now(UTC)))


@dataclass(frozen=True, slots=True)
class UnknownHostKey:
    """A host key that nobody vouches for. ``command`` prints its fingerprint on the host's own console."""

    host: str
    port: int
    key_type: str
    fingerprint: str
    command: str
    stored_in: Path


class Interaction:
    """What a connection asks and tells the admin. Called in the connecting thread, one call at a time.

    This base answers no question: nothing is accepted and no secret is given. Override what can be answered.
    """

    def login_banner(self, banner: LoginBanner) -> None:
        """The host said something during the login; with ``banner.url`` set it waits for a person there."""

    def confirm_host_key(self, unknown: UnknownHostKey) -> bool:
        """Whether the admin compared the fingerprint and says it is right."""
        return False

    def passphrase(self, key_file: Path, again: bool) -> Secret | None:
        """The passphrase of a key file; ``again``: the one before was wrong. None skips the key."""
        return None

    def password(self, user: str, host: str, again: bool) -> Secret | None:
        """The password of a login; ``again``: the one before was refused. None gives up."""
        return None

    def sudo_password(self, user: str, host: str, again: bool) -> Secret | None:
        """The password that sudo asks for; ``again``: the one before was wrong. None gives up."""
        return None

    def secret_used(self, secret: Secret) -> None:
        """A secret is sent that nobody was asked for: the settings say where it is."""


class Stream(StrEnum):
    STDOUT = "stdout"
    STDERR = "stderr"


#: Called with each line of output, without its end, as soon as it is there; both streams, one call at a time.
OnOutput = Callable[[Stream, str], None]


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended by itself. ``status`` is its exit status; 128 + n when signal n killed it."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def ok(self) -> bool:
        return self.status == 0

    @property
    def text(self) -> str:
        """Standard output as text, without the last line's end."""
        return self.stdout.decode(errors="replace").removesuffix("\n")

    @property
    def error_text(self) -> str:
        """Standard error as text, without the last line's end."""
        return self.stderr.decode(errors="replace").removesuffix("\n")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What stands at a path. ``mode`` is the permission bits; ``sha256`` is empty for a directory."""

    path: str
    is_directory: bool
    mode: int
    owner: str  # "root:root"
    size: int  # bytes
    sha256: str


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_LONGEST_TEXT = 4096


def readable(text: bytes | str) -> str:
    """Text from the other side without control characters, of bounded length, for a sentence or a screen."""
    decoded = text.decode(errors="replace") if isinstance(text, bytes) else text
    return _CONTROL.sub("", decoded).strip()[:_LONGEST_TEXT]
