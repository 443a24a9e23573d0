"""Host keys, strictly: who vouches for a key, and the known_hosts file. No key is ever accepted by itself.

The file's format is that of OpenSSH (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"): names may be patterns,
``[host]:port``, or hashed as ``|1|salt|HMAC-SHA1``; ``@revoked`` and ``@cert-authority`` mark a line.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from axiom_tui.clients.ssh_values import SSH_PORT, Interaction, UnknownHostKey
from axiom_tui.model.problem import AxiomError, ProblemKind, fail

_REVOKED, _AUTHORITY = "@revoked", "@cert-authority"
#: How a key type is called in the name of its file below /etc/ssh.
_FILE_NAMES = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}


@dataclass(frozen=True, slots=True)
class HostKey:
    """A public key: its type ("ssh-ed25519") and its bytes as they go over the wire."""

    type: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` prints it: ``SHA256:...``."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    @property
    def console_command(self) -> str:
        """What prints this key's fingerprint on the host itself."""
        name = _FILE_NAMES.get(self.type, "ecdsa" if self.type.startswith("ecdsa-") else "*")
        return f"ssh-keygen -lf /etc/ssh/ssh_host_{name}_key.pub"

    def __str__(self) -> str:
        return f"{self.type} {base64.b64encode(self.blob).decode()}"


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key that a file knows for a host; ``line`` counts from 1."""

    key: HostKey
    file: Path
    line: int
    revoked: bool


def parse_key(text: str) -> HostKey | None:
    """``ssh-ed25519 AAAA... comment`` as a key; None if it is none."""
    fields = text.split()
    if len(fields) < 2:
        return None
    try:
        blob = base64.b64decode(fields[1], validate=True)
    except (binascii.Error, ValueError):
        return None
    # The blob begins with its own type: a line that contradicts itself vouches for nothing.
    name = fields[0].encode()
    if blob[: 4 + len(name)] != len(name).to_bytes(4, "big") + name:
        return None
    return HostKey(fields[0], blob)


def lookup_name(host: str, port: int) -> str:
    """The name under which known_hosts has a host: ``host``, or ``[host]:port`` off the usual port."""
    return host.lower() if port == SSH_PORT else f"[{host.lower()}]:{port}"


def known_keys(files: Sequence[Path], name: str) -> tuple[KnownKey, ...]:
    """The keys that the files know for a `lookup_name`, in their order. A missing file knows nothing.

    Raises AxiomError (MISCONFIGURED) when a file is there and cannot be read: not knowing is not "new".
    """
    return tuple(known for file in files for known in _read(file, name))


def _read(file: Path, name: str) -> Iterator[KnownKey]:
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"The known hosts in {file} cannot be read: {(error.strerror or 'unknown error').lower()}.",
            "Mend the file's rights, so that host keys can be checked.",
        ) from error
    for number, raw in enumerate(lines, 1):
        fields = raw.decode(errors="replace").split(None, 3)
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if len(fields) < 2 or fields[0].startswith("#") or marker == _AUTHORITY:
            continue
        if marker not in ("", _REVOKED) or not _names_host(fields[0], name):
            continue
        key = parse_key(" ".join(fields[1:]))
        if key is not None:
            yield KnownKey(key, file, number, marker == _REVOKED)


def _names_host(names: str, wanted: str) -> bool:
    if names.startswith("|1|"):
        return _hash_matches(names, wanted)
    found = False
    for pattern in names.lower().split(","):
        # Only * and ? are wildcards in known_hosts; brackets stand for themselves.
        if fnmatchcase(wanted, pattern.removeprefix("!").replace("[", "[[]")):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _hash_matches(hashed: str, wanted: str) -> bool:
    parts = hashed.split("|")
    if len(parts) != 4:
        return False
    try:
        salt, digest = base64.b64decode(parts[2]), base64.b64decode(parts[3])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, wanted.encode(), hashlib.sha1).digest(), digest)


def hash_name(name: str) -> str:
    """The name as ``ssh-keygen -H`` hides it."""
    salt = os.urandom(20)
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def store(file: Path, name: str, key: HostKey, *, hashed: bool = False) -> None:
    """Append a key to known_hosts; what is there stays byte for byte. A new file is 0600 in a 0700 folder.

    Raises AxiomError (MISCONFIGURED) when that is not possible.
    """
    line = f"{hash_name(name) if hashed else name} {key}\n".encode()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(opened).st_size
            unfinished = size > 0 and os.pread(opened, 1, size - 1) != b"\n"
            # One write, so that another program that appends now cannot come between.
            os.write(opened, b"\n" + line if unfinished else line)
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"The host key of {name} cannot be stored in {file}: {(error.strerror or 'unknown').lower()}.",
            "Mend the file's or its folder's rights, then connect again.",
        ) from error


@dataclass(frozen=True, slots=True)
class HostKeyCheck:
    """All that decides whether a host's key is right.

    ``name`` is the host's name in known_hosts; ``vouched`` is what the tailnet knows, and comes first.
    """

    host: str
    port: int
    name: str
    known: tuple[KnownKey, ...]
    vouched: tuple[HostKey, ...]
    store_in: Path
    hash_names: bool

    @property
    def known_types(self) -> tuple[str, ...]:
        """Types of the keys that would be accepted: what to ask the host for first."""
        keys = self.vouched or tuple(known.key for known in self.known if not known.revoked)
        return tuple(dict.fromkeys(key.type for key in keys))

    def verify(self, key: HostKey, interaction: Interaction) -> None:
        """Return if the key is right. Raises UNTRUSTED for a changed or revoked key, UNCONFIRMED for a new
        one that nobody vouches for."""
        if any(known.revoked and known.key == key for known in self.known):
            raise fail(
                ProblemKind.UNTRUSTED,
                f"The host key of {self.host} is marked as revoked in known_hosts ({key.fingerprint}).",
                "Do not log in. Find out who shows this key.",
            )
        if self.vouched:
            if key not in self.vouched:
                raise self._not_vouched(key)
            return
        valid = [known for known in self.known if not known.revoked]
        if any(known.key == key for known in valid):
            return
        if valid:
            raise self._changed(key, valid)
        unknown = UnknownHostKey(
            self.host, self.port, key.type, key.fingerprint, key.console_command, self.store_in
        )
        if not interaction.confirm_host_key(unknown):
            raise self._unconfirmed(key)
        store(self.store_in, self.name, key, hashed=self.hash_names)

    def _not_vouched(self, key: HostKey) -> AxiomError:
        wanted = ", ".join(f"{known.fingerprint} ({known.type})" for known in self.vouched)
        return fail(
            ProblemKind.UNTRUSTED,
            f"{self.host} shows the host key {key.fingerprint} ({key.type}), but the tailnet vouches for"
            f" {wanted}.",
            "Do not log in: something else answers at this address. If the host was installed anew, wait"
            " until the tailnet shows its new keys, then try again.",
        )

    def _changed(self, key: HostKey, valid: Sequence[KnownKey]) -> AxiomError:
        same = [known for known in valid if known.key.type == key.type] or list(valid)
        wanted = ", ".join(f"{known.key.fingerprint} ({known.key.type})" for known in same)
        places = ", ".join(f"{known.file} line {known.line}" for known in same)
        return fail(
            ProblemKind.UNTRUSTED,
            f"The host key of {self.host} changed: it shows {key.fingerprint} ({key.type}), known is {wanted}"
            f" ({places}).",
            "Do not log in unless you know why. If the host was installed anew, compare with"
            f" `{key.console_command}` on its console, then remove the old key with"
            f' `ssh-keygen -R "{self.name}" -f {same[0].file}` and connect again.',
        )

    def _unconfirmed(self, key: HostKey) -> AxiomError:
        return fail(
            ProblemKind.UNCONFIRMED,
            f"Nobody vouches for the host key of {self.host}: {key.fingerprint} ({key.type}) is new here.",
            f"Compare it with what `{key.console_command}` prints on the host's console, then connect and"
            " confirm it.",
        )
