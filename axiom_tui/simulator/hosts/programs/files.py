"""Programs for files and directories."""

from __future__ import annotations

import errno
import os
import posixpath
import string

from axiom_tui.simulator.hosts.files import Entry, Kind
from axiom_tui.simulator.hosts.program import Failure, Run, program

_PERMISSIONS = {"r": 4, "w": 2, "x": 1, "X": 1, "s": 0, "t": 0}


@program("cat")
def cat(run: Run) -> int:
    _, paths = run.options("nAbsuvET")
    status = 0
    for path in paths or ["-"]:
        try:
            if path == "-":
                for piece in run.input():
                    run.write(piece)
            else:
                run.write(run.read(path))
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            run.complain(f"{path}: {error.strerror}")
            status = 1
    return status


@program("mkdir")
def mkdir(run: Run) -> int:
    options, paths = run.options("pm:v", ["parents", "mode="])
    parents = "-p" in options or "--parents" in options
    wanted = options.get("-m", options.get("--mode", ""))
    status = 0
    for path in paths:
        absolute = run.process.path(path)
        mode = 0o777 & ~run.process.umask
        try:
            if parents:
                there = run.files.find(absolute, run.user)
                run.files.make_directories(absolute, run.user, mode)
                if there is None and wanted:
                    run.entry(path).mode = _mode(wanted, 0o777, is_directory=True)
                continue
            run.files.make_directory(
                absolute, run.user, _mode(wanted, mode, is_directory=True) if wanted else mode
            )
        except OSError as error:
            run.complain(f"cannot create directory ‘{path}’: {error.strerror}")
            status = 1
    return status


@program("rmdir")
def rmdir(run: Run) -> int:
    _, paths = run.options("p", ["ignore-fail-on-non-empty"])
    return _each(run, paths, "failed to remove", lambda path: run.files.remove_directory(path, run.user))


@program("rm", "unlink")
def rm(run: Run) -> int:
    options, paths = run.options("rRfdiv", ["recursive", "force", "one-file-system", "preserve-root"])
    recursive = bool({"-r", "-R", "--recursive"} & set(options))
    forced = "-f" in options or "--force" in options
    status = 0
    for path in paths:
        absolute = run.process.path(path)
        try:
            resolved = run.files.resolve(absolute, run.user, follow=False)
            entry = run.files.entry(absolute, run.user, follow=False)
            if entry.kind is Kind.DIRECTORY and not recursive:
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
            if entry.kind is Kind.DIRECTORY:
                for inner in reversed(run.files.below(resolved)):
                    remove_one(run, inner)
            remove_one(run, resolved)
        except OSError as error:
            if forced and error.errno in (errno.ENOENT, errno.ENOTDIR):
                continue
            run.complain(f"cannot remove '{path}': {error.strerror}")
            status = 1
    return status


def remove_one(run: Run, path: str) -> None:
    entry = run.files.entries[path]
    if entry.kind is Kind.DIRECTORY:
        run.files.remove_directory(path, run.user)
    else:
        run.files.remove(path, run.user)


@program("mv")
def mv(run: Run) -> int:
    _, paths = run.options("fnTvi", ["force", "no-target-directory"])
    *sources, destination = _with_destination(run, paths)
    status = 0
    for source in sources:
        target = _target(run, source, destination)
        try:
            run.files.rename(run.process.path(source), run.process.path(target), run.user)
        except OSError as error:
            if error.errno == errno.ENOENT:
                run.complain(f"cannot stat '{source}': {error.strerror}")
            else:
                run.complain(f"cannot move '{source}' to '{target}': {error.strerror}")
            status = 1
    return status


@program("cp")
def cp(run: Run) -> int:
    options, paths = run.options("afprRdPTvn", ["recursive", "preserve", "no-target-directory", "archive"])
    *sources, destination = _with_destination(run, paths)
    keeps = bool({"-a", "-p", "--preserve", "--archive"} & set(options))
    recursive = bool({"-a", "-r", "-R", "--recursive", "--archive"} & set(options))
    status = 0
    for source in sources:
        target = _target(run, source, destination)
        try:
            entry = run.entry(source)
            if entry.kind is Kind.DIRECTORY:
                if not recursive:
                    raise Failure(f"-r not specified; omitting directory '{source}'")
                _copy_tree(run, run.files.resolve(run.process.path(source)), run.process.path(target), keeps)
            else:
                _copy_file(run, source, target, keeps)
        except OSError as error:
            run.complain(f"cannot copy '{source}' to '{target}': {error.strerror}")
            status = 1
    return status


def _copy_file(run: Run, source: str, target: str, keeps: bool) -> None:
    entry = run.entry(source)
    run.put(target, run.read(source), entry.mode & ~run.process.umask)
    if keeps:
        copy = run.entry(target)
        copy.mode, copy.modified = entry.mode, entry.modified
        if run.user.is_root:
            copy.owner, copy.group = entry.owner, entry.group


def _copy_tree(run: Run, source: str, target: str, keeps: bool) -> None:
    run.files.make_directories(target, run.user, run.files.entries[source].mode)
    for path in run.files.below(source):
        entry, place = run.files.entries[path], target + path[len(source) :]
        if entry.kind is Kind.DIRECTORY:
            run.files.make_directories(place, run.user, entry.mode)
        elif entry.kind is Kind.LINK:
            run.files.link(place, entry.target, run.user)
        else:
            _copy_file(run, path, place, keeps)


@program("install")
def install(run: Run) -> int:
    options, paths = run.options("Ddm:o:g:Ccpv", ["mode=", "owner=", "group=", "directory"])
    mode = _mode(options.get("-m", options.get("--mode", "0755")), 0)
    owner, group = (
        options.get("-o", options.get("--owner", "")),
        options.get("-g", options.get("--group", "")),
    )
    if "-d" in options or "--directory" in options:
        places = paths
        for path in paths:
            run.files.make_directories(run.process.path(path), run.user)
    else:
        *sources, destination = _with_destination(run, paths)
        places = [_target(run, source, destination) for source in sources]
        for source, target in zip(sources, places, strict=True):
            if "-D" in options:
                run.files.make_directories(posixpath.dirname(run.process.path(target)), run.user)
            content = run.read(source)
            absolute = run.process.path(target)
            if run.files.find(absolute, run.user, follow=False) is not None:
                run.files.remove(absolute, run.user)
            run.put(target, content, mode)
    for path in places:
        entry = run.entry(path)
        entry.mode = mode
        _set_owner(run, entry, path, owner, group)
    return 0


@program("ln")
def ln(run: Run) -> int:
    options, paths = run.options("sfnTvr")
    if "-s" not in options:
        raise Failure("hard links are not supported here")
    target, place = (*paths, posixpath.basename(paths[0]))[:2]
    place = place if "-n" in options or "-T" in options else _target(run, target, place)
    absolute = run.process.path(place)
    if "-f" in options and run.files.find(absolute, run.user, follow=False) is not None:
        run.files.remove(absolute, run.user)
    try:
        run.files.link(absolute, target, run.user)
    except OSError as error:
        raise Failure(f"failed to create symbolic link '{place}': {error.strerror}") from error
    return 0


@program("touch")
def touch(run: Run) -> int:
    _, paths = run.options("acmd:r:t:")
    status = 0
    for path in paths:
        absolute = run.process.path(path)
        try:
            entry = run.files.writable(absolute, run.user, mode=0o666 & ~run.process.umask, truncate=False)
            entry.modified = run.host.clock().timestamp()
        except OSError as error:
            run.complain(f"cannot touch '{path}': {error.strerror}")
            status = 1
    return status


@program("tee")
def tee(run: Run) -> int:
    options, paths = run.options("ai", ["append"])
    appends = "-a" in options or "--append" in options
    opened = [run.process.open_path(path, "a" if appends else "w") for path in paths]
    for piece in run.input():
        for file in opened:
            file.write(run.process, piece)
        run.write(piece)
    return 0


@program("chmod")
def chmod(run: Run) -> int:
    recursive, mode, paths = _change_arguments(run)

    def change(path: str, entry: Entry) -> None:
        if not run.user.is_root and entry.owner != run.user.name:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        entry.mode = _mode(
            mode, entry.mode, is_directory=entry.kind is Kind.DIRECTORY, umask=run.process.umask
        )

    return _change(run, paths, recursive, "cannot access", "changing permissions of", change)


@program("chown", "chgrp")
def chown(run: Run) -> int:
    recursive, owner, paths = _change_arguments(run)
    name, _, group = owner.partition(":")
    if run.name == "chgrp":
        name, group = "", owner

    def change(path: str, entry: Entry) -> None:
        _set_owner(run, entry, path, name, group)

    return _change(run, paths, recursive, "cannot access", "changing ownership of", change)


def _change_arguments(run: Run) -> tuple[bool, str, list[str]]:
    words = [word for word in run.arguments if word not in ("-v", "-c", "-f", "-h", "--no-dereference")]
    recursive = False
    while words and words[0] in ("-R", "--recursive", "--"):
        recursive = recursive or words[0] != "--"
        words.pop(0)
    if len(words) < 2:
        raise Failure("missing operand" + (f" after ‘{words[0]}’" if words else ""))
    rest = words[1:]
    return recursive, words[0], [word for word in rest if word != "--"]


def _change(run: Run, paths: list[str], recursive: bool, missing: str, failing: str, change) -> int:  # type: ignore[no-untyped-def]
    status = 0
    for path in paths:
        absolute = run.process.path(path)
        try:
            entry = run.files.entry(absolute, run.user)
        except OSError as error:
            run.complain(f"{missing} '{path}': {error.strerror}")
            status = 1
            continue
        try:
            change(path, entry)
            if recursive:
                for inner, below in run.files.walk(run.files.resolve(absolute)):
                    change(inner, below)
        except OSError as error:
            run.complain(f"{failing} '{path}': {error.strerror}")
            status = 1
    return status


def _set_owner(run: Run, entry: Entry, path: str, name: str, group: str) -> None:
    by_number = {str(user.number): user.name for user in run.host.users.values()}
    owner, team = by_number.get(name, name), by_number.get(group, group)
    groups = {item for user in run.host.users.values() for item in user.groups} | {"root", "systemd-network"}
    if owner and owner not in run.host.users:
        raise Failure(f"invalid user: ‘{name}{':' + group if group else ''}’")
    if team and team not in groups:
        raise Failure(f"invalid group: ‘{group}’")
    changes = (owner and owner != entry.owner) or (
        team and team != entry.group and team not in run.user.groups
    )
    if changes and not run.user.is_root:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), path)
    entry.owner, entry.group = owner or entry.owner, team or entry.group


def _mode(text: str, mode: int, *, is_directory: bool = False, umask: int = 0) -> int:
    """A mode as chmod(1) takes it: octal, or ``u+x,g-w``."""
    if text and all(character in string.octdigits for character in text):
        return int(text, 8)
    for clause in text.split(","):
        place = next((index for index, character in enumerate(clause) if character in "+-="), -1)
        if place < 0:
            raise Failure(f"invalid mode: ‘{text}’")
        who, operator, letters = clause[:place], clause[place], clause[place + 1 :]
        bits = 0
        for letter in letters:
            if letter not in _PERMISSIONS:
                raise Failure(f"invalid mode: ‘{text}’")
            if letter == "X" and not is_directory and not mode & 0o111:
                continue
            bits |= _PERMISSIONS[letter]
        mask = 0
        for shift, letter in ((6, "u"), (3, "g"), (0, "o")):
            if letter in who or "a" in who or not who:
                mask |= bits << shift
        if not who:
            mask &= ~umask
        whole = sum(
            7 << shift
            for shift, letter in ((6, "u"), (3, "g"), (0, "o"))
            if letter in who or "a" in who or not who
        )
        if "t" in letters:
            mask |= 0o1000
        if "s" in letters:
            mask |= (0o4000 if "u" in who or not who else 0) | (0o2000 if "g" in who or not who else 0)
        mode = mode | mask if operator == "+" else mode & ~mask if operator == "-" else (mode & ~whole) | mask
    return mode


def _with_destination(run: Run, paths: list[str]) -> list[str]:
    if len(paths) < 2:
        raise Failure(
            f"missing destination file operand after '{paths[0]}'" if paths else "missing file operand"
        )
    return paths


def _target(run: Run, source: str, destination: str) -> str:
    entry = run.files.find(run.process.path(destination), run.user)
    if entry is not None and entry.kind is Kind.DIRECTORY:
        return posixpath.join(destination, posixpath.basename(source.rstrip("/")))
    return destination


def _each(run: Run, paths: list[str], failing: str, act) -> int:  # type: ignore[no-untyped-def]
    status = 0
    for path in paths:
        try:
            act(run.process.path(path))
        except OSError as error:
            run.complain(f"{failing} '{path}': {error.strerror}")
            status = 1
    return status
