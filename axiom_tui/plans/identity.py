"""Who we are: the user, the machine and the process that journal and lock name."""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Identity:
    """``session`` is new for every process and never used twice, unlike ``pid`` and even ``machine``."""

    user: str
    machine: str
    pid: int
    session: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __str__(self) -> str:
        return f"{self.user}@{self.machine} ({self.pid})"


def whoami() -> Identity:
    """The identity of this process."""
    return Identity(_user(), socket.gethostname() or "unknown", os.getpid())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid need not have a name
        return f"uid {os.getuid()}"
