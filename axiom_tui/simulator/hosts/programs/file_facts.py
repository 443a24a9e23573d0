"""Programs that tell of files and directories, and change none (but for mktemp)."""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import os
import posixpath
import secrets
import string
import time

from axiom_tui.simulator.hosts.files import Entry, Kind
from axiom_tui.simulator.hosts.program import Failure, Run, program
from axiom_tui.simulator.hosts.programs.files import remove_one


@program("stat")
def stat(run: Run) -> int:
    options, paths = run.options("Lc:tf", ["format=", "printf=", "dereference", "file-system"])
    form = options.get("-c", options.get("--format"))
    raw = options.get("--printf")
    status = 0
    for path in paths:
        try:
            if "-f" in options or "--file-system" in options:
                _stat_file_system(run, path, form or "%T")
                continue
            entry = run.entry(path, follow="-L" in options or "--dereference" in options)
        except OSError as error:
            run.complain(f"cannot statx '{path}': {error.strerror}")
            status = 1
            continue
        text = _format_stat(
            run,
            path,
            entry,
            raw or form or "  File: %n\n  Size: %s\t%F\nAccess: (%04a/%A)  Uid: (%u/%U)   Gid: (%g/%G)",
        )
        if raw is not None:
            run.write(text.replace("\\n", "\n").replace("\\t", "\t"))
        else:
            run.line(text)
    return status


def _stat_file_system(run: Run, path: str, form: str) -> None:
    absolute = run.files.resolve(run.process.path(path))
    run.entry(path)
    kind = "ext2/ext3"
    if absolute.startswith("/sys/fs/cgroup"):
        kind = "cgroup2fs" if run.host.computer.system.version != "10" else "tmpfs"
    elif absolute.startswith("/proc"):
        kind = "proc"
    run.line(form.replace("%T", kind).replace("%n", path))


_KINDS = {Kind.FILE: "regular file", Kind.DIRECTORY: "directory", Kind.LINK: "symbolic link"}


def _format_stat(run: Run, path: str, entry: Entry, form: str) -> str:
    numbers = {user.name: str(user.number) for user in run.host.users.values()}
    size = len(entry.read()) if entry.kind is Kind.FILE else 4096
    kind = _KINDS.get(entry.kind, "character special file")
    if entry.kind is Kind.FILE and not size:
        kind = "regular empty file"
    values = {
        "a": f"{entry.mode:o}",
        "A": _permissions(entry),
        "U": entry.owner,
        "G": entry.group,
        "n": path,
        "s": str(size),
        "F": kind,
        "Y": str(int(entry.modified)),
        "X": str(int(entry.modified)),
        "h": "1",
        "u": numbers.get(entry.owner, "0"),
        "g": numbers.get(entry.group, "0"),
        "N": f"'{path}'",
        "%": "%",
        "y": time.strftime("%Y-%m-%d %H:%M:%S.000000000 +0000", time.gmtime(entry.modified)),
        "i": "1311",
        "d": "2049",
    }
    result, index = "", 0
    while index < len(form):
        if form[index] != "%" or index + 1 == len(form):
            result += form[index]
            index += 1
            continue
        end = index + 1
        while end < len(form) - 1 and form[end] in string.digits:
            end += 1
        width = form[index + 1 : end]
        result += values.get(form[end], "?").rjust(int(width or 0), "0" if width.startswith("0") else " ")
        index = end + 1
    return result


def _permissions(entry: Entry) -> str:
    letters = "".join(
        letter if entry.mode >> shift & bit else "-"
        for shift in (6, 3, 0)
        for letter, bit in (("r", 4), ("w", 2), ("x", 1))
    )
    return entry.kind.value + letters


@program("ls")
def ls(run: Run) -> int:
    options, paths = run.options("1aAldhnRtrF", ["color", "all", "almost-all"])
    everything = bool({"-a", "-A", "--all", "--almost-all"} & set(options))
    status = 0
    for path in paths or ["."]:
        absolute = run.process.path(path)
        try:
            entry = run.files.entry(absolute, run.user)
        except OSError as error:
            run.complain(f"cannot access '{path}': {error.strerror}")
            status = 2
            continue
        if entry.kind is Kind.DIRECTORY and "-d" not in options:
            if not entry.allows(run.user, 4):
                run.complain(f"cannot open directory '{path}': Permission denied")
                status = 2
                continue
            if len(paths) > 1:
                run.line(f"{path}:")
            directory = run.files.resolve(absolute)
            found = [
                (name, posixpath.join(directory, name))
                for name in run.files.names(directory)
                if everything or name[0] != "."
            ]
        else:
            found = [(path, run.files.resolve(absolute, follow=False))]
        for name, place in found:
            run.line(_listed(run, name, run.files.entries[place]) if "-l" in options else name)
    return status


def _listed(run: Run, name: str, entry: Entry) -> str:
    moment = time.strftime("%b %d %H:%M", time.gmtime(entry.modified))
    arrow = f" -> {entry.target}" if entry.kind is Kind.LINK else ""
    size = len(entry.content) if entry.kind is Kind.FILE else 4096
    return f"{_permissions(entry)} 1 {entry.owner} {entry.group} {size:>6} {moment} {name}{arrow}"


@program("find")
def find(run: Run) -> int:
    words = list(run.arguments)
    roots = []
    while words and not words[0].startswith(("-", "!", "(")):
        roots.append(words.pop(0))
    tests: list[tuple[str, str]] = []
    actions = []
    deepest, highest = 1000, 0
    while words:
        word = words.pop(0)
        if word == "-maxdepth":
            deepest = int(words.pop(0))
        elif word == "-mindepth":
            highest = int(words.pop(0))
        elif word in ("-name", "-type", "-user", "-path"):
            tests.append((word, words.pop(0)))
        elif word in ("-print", "-delete", "-print0"):
            actions.append(word)
        elif word == "-xdev":
            continue
        else:
            raise Failure(f"unknown predicate `{word}'")
    status = 0
    for root in roots or ["."]:
        absolute = run.process.path(root)
        if run.files.find(absolute, run.user, follow=False) is None:
            run.complain(f"‘{root}’: No such file or directory")
            status = 1
            continue
        resolved = run.files.resolve(absolute, run.user)
        found = [resolved, *run.files.below(resolved)]
        for path in reversed(found) if "-delete" in actions else found:
            depth = path[len(resolved) :].count("/")
            entry = run.files.entries.get(path)
            if entry is None or not highest <= depth <= deepest or not _matches(path, entry, tests):
                continue
            if "-delete" in actions:
                remove_one(run, path)
            if "-print" in actions or not actions:
                run.line(root.rstrip("/") + path[len(resolved) :] if path != resolved else root)
    return status


def _matches(path: str, entry: Entry, tests: list[tuple[str, str]]) -> bool:
    kinds = {"f": Kind.FILE, "d": Kind.DIRECTORY, "l": Kind.LINK}
    for test, value in tests:
        if test == "-type" and entry.kind is not kinds.get(value):
            return False
        if test == "-name" and not fnmatch.fnmatchcase(posixpath.basename(path), value):
            return False
        if test == "-path" and not fnmatch.fnmatchcase(path, value):
            return False
        if test == "-user" and entry.owner != value:
            return False
    return True


@program("readlink", "realpath")
def readlink(run: Run) -> int:
    options, paths = run.options("femnqs")
    status = 0
    for path in paths:
        absolute = run.process.path(path)
        try:
            if run.name == "realpath" or {"-f", "-e", "-m"} & set(options):
                resolved = run.files.resolve(absolute, run.user)
                if "-e" in options and run.files.find(resolved) is None:
                    raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
                run.line(resolved)
            else:
                entry = run.files.entry(absolute, run.user, follow=False)
                if entry.kind is not Kind.LINK:
                    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
                run.line(entry.target)
        except OSError as error:
            status = 1
            if run.name == "realpath":
                run.complain(f"{path}: {error.strerror}")
    return status


@program("mktemp")
def mktemp(run: Run) -> int:
    options, words = run.options("dp:tqu", ["directory", "tmpdir=", "suffix="])
    template = words[0] if words else "tmp.XXXXXXXXXX"
    directory = options.get("-p", options.get("--tmpdir", "/tmp"))
    if not words or "-t" in options or "-p" in options or "--tmpdir" in options:
        template = f"{directory}/{template}"
    stem = template.rstrip("X")
    missing = len(template) - len(stem)
    if missing < 3:
        raise Failure(f"too few X's in template ‘{template}’")
    letters = string.ascii_letters + string.digits
    path = stem + "".join(secrets.choice(letters) for _ in range(missing)) + options.get("--suffix", "")
    try:
        if "-d" in options or "--directory" in options:
            run.files.make_directory(run.process.path(path), run.user, 0o700)
        else:
            run.put(path, b"", 0o600)
    except OSError as error:
        kind = "directory" if "-d" in options else "file"
        raise Failure(f"failed to create {kind} via template ‘{template}’: {error.strerror}") from error
    run.line(path)
    return 0


@program("sync")
def sync(run: Run) -> int:
    _, paths = run.options("df", ["data", "file-system"])
    for path in paths:
        run.entry(path)
    return 0


@program("dirname")
def dirname(run: Run) -> int:
    _, paths = run.options("z")
    for path in paths:
        stripped = path.rstrip("/") or "/"
        run.line(posixpath.dirname(stripped) or ("." if "/" not in stripped else "/"))
    return 0


@program("basename")
def basename(run: Run) -> int:
    options, words = run.options("as:z")
    suffix = options.get(
        "-s", words[1] if len(words) > 1 and "-a" not in options and "-s" not in options else ""
    )
    for path in words if "-a" in options or "-s" in options else words[:1]:
        name = posixpath.basename(path.rstrip("/")) or "/"
        run.line(name.removesuffix(suffix) if name != suffix else name)
    return 0


@program("sha256sum", "sha1sum", "md5sum", "sha512sum")
def checksum(run: Run) -> int:
    options, paths = run.options("cbtw", ["check", "status", "quiet", "strict", "ignore-missing", "warn"])
    make = getattr(hashlib, run.name.removesuffix("sum"))
    if "-c" not in options and "--check" not in options:
        status = 0
        for path in paths or ["-"]:
            try:
                run.line(f"{make(run.read(path)).hexdigest()}  {path}")
            except OSError as error:
                run.complain(f"{path}: {error.strerror}")
                status = 1
        return status
    failed = 0
    silent = "--status" in options
    for listing in paths or ["-"]:
        for line in run.text(listing).splitlines():
            wanted, _, path = line.partition(" ")
            path = path.lstrip(" *")
            if not path:
                continue
            try:
                right = make(run.read(path)).hexdigest() == wanted
            except OSError as error:
                if "--ignore-missing" in options and error.errno == errno.ENOENT:
                    continue
                run.complain(f"{path}: {error.strerror}")
                right = False
            failed += not right
            if not silent and not (right and "--quiet" in options):
                run.line(f"{path}: {'OK' if right else 'FAILED'}")
    if failed and not silent:
        plural = "checksum did NOT match" if failed == 1 else "checksums did NOT match"
        run.complain(f"WARNING: {failed} computed {plural}")
    return int(bool(failed))


@program("df")
def df(run: Run) -> int:
    options, paths = run.options("PikhTBHm", ["output=", "block-size="])
    total = run.host.computer.disk_gib * 1_048_576
    free = run.files.free // 1024
    rows = []
    for path in paths or ["/"]:
        run.entry(path)
        if "-i" in options:
            inodes = run.host.computer.disk_gib * 65_536
            left = run.host.free_inodes
            rows.append(("/dev/sda1", inodes, inodes - left, left, "/"))
        else:
            rows.append(("/dev/sda1", total, total - free, free, "/"))
    if "--output" in options:
        names = {"avail": 3, "size": 1, "used": 2, "target": 4, "iavail": 3, "itotal": 1, "pcent": 0}
        wanted = options["--output"].split(",")
        run.line(
            " ".join(
                {"avail": "Avail", "size": "1K-blocks", "target": "Mounted on"}.get(name, name)
                for name in wanted
            )
        )
        for row in rows:
            run.line(" ".join(str(row[names[name]]) for name in wanted))
        return 0
    if "-i" in options:
        run.line("Filesystem      Inodes  IUsed   IFree IUse% Mounted on")
    elif "-P" in options:
        run.line("Filesystem     1024-blocks     Used Available Capacity Mounted on")
    else:
        run.line("Filesystem     1K-blocks     Used Available Use% Mounted on")
    for device, whole, used, left, place in rows:
        share = -(-100 * used // whole) if whole else 0
        run.line(f"{device:<14} {whole:>9} {used:>8} {left:>9} {share:>3}% {place}")
    return 0
