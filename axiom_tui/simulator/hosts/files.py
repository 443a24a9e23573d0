"""The file system of a simulated host, in memory: paths, modes, owners, links, a disk that can be full."""

from __future__ import annotations

import errno
import os
import posixpath
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

MOST_LINKS = 20  # symbolic links followed on one path before it counts as a loop


class Kind(Enum):
    FILE = "-"
    DIRECTORY = "d"
    LINK = "l"
    DEVICE = "c"


@dataclass(frozen=True, slots=True)
class User:
    """An account of the host; ``groups`` begins with the user's own group."""

    name: str
    number: int
    groups: tuple[str, ...]
    home: str

    @property
    def is_root(self) -> bool:
        return self.number == 0


ROOT = User("root", 0, ("root",), "/root")


@dataclass(slots=True)
class Entry:
    """What stands at a path. ``made`` gives a content that is only known when it is read (/proc);
    ``taken`` is told what is written into it (/proc/sys)."""

    kind: Kind
    mode: int
    owner: str = "root"
    group: str = "root"
    content: bytes = b""
    target: str = ""
    modified: float = 0.0
    made: Callable[[], bytes] | None = None
    taken: Callable[[bytes], None] | None = None

    def read(self) -> bytes:
        return self.content if self.made is None else self.made()

    def allows(self, user: User, wanted: int) -> bool:
        """Whether the user may do it: 4 read, 2 write, 1 execute or enter."""
        if user.is_root:
            return wanted != 1 or self.kind is Kind.DIRECTORY or bool(self.mode & 0o111)
        if user.name == self.owner:
            bits = self.mode >> 6
        elif self.group in user.groups:
            bits = self.mode >> 3
        else:
            bits = self.mode
        return bits & wanted == wanted


def failure(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)


@dataclass
class FileSystem:
    """All files of a host, by absolute path. Thread-safe. Raises OSError with the errno of a real system.

    ``free`` is what is left on the disk, in bytes; ``clock`` gives the modification times (seconds).
    """

    free: int
    clock: Callable[[], float]
    entries: dict[str, Entry] = field(default_factory=lambda: {"/": Entry(Kind.DIRECTORY, 0o755)})
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def resolve(self, path: str, user: User = ROOT, *, follow: bool = True) -> str:
        """The path without links, dots and double slashes; its last part need not be there."""
        with self._lock:
            return self._walk(path, path, user, follow, MOST_LINKS)

    def _walk(self, path: str, asked: str, user: User, follow: bool, links: int) -> str:
        if not path:
            raise failure(errno.ENOENT, asked)
        parts = [part for part in path.split("/") if part not in ("", ".")]
        current = "/"
        for index, part in enumerate(parts):
            holder = self.entries.get(current)
            if holder is None:
                raise failure(errno.ENOENT, asked)
            if holder.kind is not Kind.DIRECTORY:
                raise failure(errno.ENOTDIR, asked)
            if not holder.allows(user, 1):
                raise failure(errno.EACCES, asked)
            if part == "..":
                current = posixpath.dirname(current)
                continue
            following = posixpath.join(current, part)
            entry = self.entries.get(following)
            is_last = index == len(parts) - 1
            if entry is not None and entry.kind is Kind.LINK and (follow or not is_last):
                if links == 0:
                    raise failure(errno.ELOOP, asked)
                rest = "/".join(parts[index + 1 :])
                target = posixpath.join(current, entry.target, rest)
                return self._walk(target, asked, user, follow, links - 1)
            current = following
        return current

    def find(self, path: str, user: User = ROOT, *, follow: bool = True) -> Entry | None:
        """What stands there; None if nothing does, or it cannot be reached."""
        try:
            return self.entry(path, user, follow=follow)
        except OSError:
            return None

    def entry(self, path: str, user: User = ROOT, *, follow: bool = True) -> Entry:
        found = self.entries.get(self.resolve(path, user, follow=follow))
        if found is None:
            raise failure(errno.ENOENT, path)
        return found

    def read(self, path: str, user: User = ROOT) -> bytes:
        return self.readable(path, user).read()

    def readable(self, path: str, user: User) -> Entry:
        entry = self.entry(path, user)
        if entry.kind is Kind.DIRECTORY:
            raise failure(errno.EISDIR, path)
        if not entry.allows(user, 4):
            raise failure(errno.EACCES, path)
        return entry

    def writable(self, path: str, user: User, *, mode: int = 0o644, truncate: bool = True) -> Entry:
        """The file, made if it is not there."""
        with self._lock:
            resolved = self.resolve(path, user)
            entry = self.entries.get(resolved)
            if entry is None:
                self._check_parent(resolved, path, user)
                entry = self._own(Entry(Kind.FILE, mode), user)
                self.entries[resolved] = entry
                return entry
            if entry.kind is Kind.DIRECTORY:
                raise failure(errno.EISDIR, path)
            if not entry.allows(user, 2):
                raise failure(errno.EACCES, path)
            if truncate and entry.kind is Kind.FILE:
                self.store(entry, b"", path)
            return entry

    def store(self, entry: Entry, content: bytes, path: str = "") -> None:
        """Give a file its content, if the disk has room for it."""
        if entry.taken is not None:
            entry.taken(content)
            return
        with self._lock:
            growth = len(content) - len(entry.content)
            if growth > self.free:
                raise failure(errno.ENOSPC, path)
            self.free -= growth
            entry.content = content
            entry.modified = self.clock()

    def write(self, path: str, content: bytes | str, mode: int = 0o644, owner: User = ROOT) -> None:
        """Put a file there, parents included, whatever was there before: how hosts are furnished."""
        self.make_directories(posixpath.dirname(path))
        entry = self.writable(path, ROOT)
        self.store(entry, content.encode() if isinstance(content, str) else content, path)
        entry.mode = mode
        self._own(entry, owner)

    def make(
        self, path: str, content: Callable[[], str], taken: Callable[[bytes], None] | None = None
    ) -> None:
        """Put a file there whose content is made when it is read."""
        self.write(path, "", 0o444 if taken is None else 0o644)
        entry = self.entry(path)
        entry.made, entry.taken = lambda: content().encode(), taken

    def make_directory(self, path: str, user: User = ROOT, mode: int = 0o755) -> None:
        with self._lock:
            resolved = self.resolve(path, user)
            if resolved in self.entries:
                raise failure(errno.EEXIST, path)
            self._check_parent(resolved, path, user)
            self.entries[resolved] = self._own(Entry(Kind.DIRECTORY, mode), user)

    def make_directories(self, path: str, user: User = ROOT, mode: int = 0o755) -> None:
        """As ``mkdir -p``."""
        made = "/" if path.startswith("/") else ""
        for part in path.split("/"):
            made = posixpath.join(made, part)
            if made and self.find(made, user) is None:
                self.make_directory(made, user, mode)

    def link(self, path: str, target: str, user: User = ROOT) -> None:
        with self._lock:
            resolved = self.resolve(path, user, follow=False)
            if resolved in self.entries:
                raise failure(errno.EEXIST, path)
            self._check_parent(resolved, path, user)
            self.entries[resolved] = self._own(Entry(Kind.LINK, 0o777, target=target), user)

    def remove(self, path: str, user: User = ROOT) -> None:
        """Remove a file or a link."""
        with self._lock:
            resolved = self.resolve(path, user, follow=False)
            entry = self.entries.get(resolved)
            if entry is None:
                raise failure(errno.ENOENT, path)
            if entry.kind is Kind.DIRECTORY:
                raise failure(errno.EISDIR, path)
            self._check_parent(resolved, path, user)
            del self.entries[resolved]
            self.free += len(entry.content)

    def remove_directory(self, path: str, user: User = ROOT) -> None:
        """Remove an empty directory."""
        with self._lock:
            resolved = self.resolve(path, user, follow=False)
            entry = self.entries.get(resolved)
            if entry is None:
                raise failure(errno.ENOENT, path)
            if entry.kind is not Kind.DIRECTORY:
                raise failure(errno.ENOTDIR, path)
            if self.names(resolved):
                raise failure(errno.ENOTEMPTY, path)
            self._check_parent(resolved, path, user)
            del self.entries[resolved]

    def rename(self, old: str, new: str, user: User = ROOT) -> None:
        """As rename(2): what is at ``new`` is replaced at once."""
        with self._lock:
            source = self.resolve(old, user, follow=False)
            destination = self.resolve(new, user, follow=False)
            if source not in self.entries:
                raise failure(errno.ENOENT, old)
            if source == destination:
                return
            self._check_parent(source, old, user)
            self._check_parent(destination, new, user)
            there = self.entries.get(destination)
            if there is not None and there.kind is Kind.DIRECTORY:
                raise failure(errno.EISDIR, new)
            if there is not None:
                self.remove(destination)
            for path in [source, *self.below(source)]:
                self.entries[destination + path[len(source) :]] = self.entries.pop(path)

    def names(self, directory: str) -> list[str]:
        """What a directory holds, sorted."""
        with self._lock:
            prefix = directory.rstrip("/") + "/"
            found = {
                path[len(prefix) :].partition("/")[0] for path in self.entries if path.startswith(prefix)
            }
        return sorted(found - {""})

    def below(self, directory: str) -> list[str]:
        """All paths below a directory, parents first."""
        with self._lock:
            prefix = directory.rstrip("/") + "/"
            return sorted(path for path in self.entries if path.startswith(prefix) and path != "/")

    def walk(self, directory: str) -> Iterator[tuple[str, Entry]]:
        for path in self.below(directory):
            if (entry := self.entries.get(path)) is not None:
                yield path, entry

    def _check_parent(self, resolved: str, path: str, user: User) -> None:
        parent = self.entries.get(posixpath.dirname(resolved))
        if parent is None:
            raise failure(errno.ENOENT, path)
        if parent.kind is not Kind.DIRECTORY:
            raise failure(errno.ENOTDIR, path)
        if not parent.allows(user, 3):
            raise failure(errno.EACCES, path)
        there = self.entries.get(resolved)
        sticky = parent.mode & 0o1000 and not user.is_root and there is not None
        if sticky and there is not None and user.name not in (there.owner, parent.owner):
            raise failure(errno.EPERM, path)

    def _own(self, entry: Entry, user: User) -> Entry:
        entry.owner, entry.group, entry.modified = user.name, user.groups[0], self.clock()
        return entry
