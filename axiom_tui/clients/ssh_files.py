"""Files on a host: what the host runs to write one whole or not at all, to read one, and to look at one.

Contents travel by standard input only. What to expect of them, their SHA-256, goes the same way: on a command
line it would let anyone on the host guess at a short secret.
"""

from __future__ import annotations

import hashlib
import shlex

from axiom_tui.clients.ssh_values import Completed, RemoteFile, readable
from axiom_tui.model.problem import AxiomError, ProblemKind, fail

_NOTHING, _DIRECTORY, _DAMAGED = 44, 45, 46

# Arguments: path, mode, owner ("" keeps it), umask of missing parents. Input: SHA-256, newline, content.
# The file is complete, checked, owned and on the disk before it takes its name, and its half-written form is
# readable to its writer alone. PIPE is among the signals, because a shell that remarks on a child's end after
# the connection is gone gets it, and must still remove that form.
_WRITE = f"""set -eu
path=$1 mode=$2 owner=$3 parents=$4
umask 077
IFS= read -r wanted
if [ -d "$path" ]; then exit {_DIRECTORY}; fi
directory=$(dirname -- "$path")
[ -d "$directory" ] || (umask "$parents"; mkdir -p -- "$directory")
temporary=$(mktemp -- "$directory/.axiom-tui.XXXXXXXX")
trap 'rm -f -- "$temporary"' EXIT
trap 'exit 1' HUP INT TERM PIPE
cat >"$temporary"
found=$(sha256sum <"$temporary")
[ "${{found%% *}}" = "$wanted" ] || exit {_DAMAGED}
[ -z "$owner" ] || chown -- "$owner" "$temporary"
chmod -- "$mode" "$temporary"
sync -- "$temporary" 2>/dev/null || sync
mv -f -- "$temporary" "$path"
trap - EXIT
sync -- "$directory" 2>/dev/null || :
found=$(sha256sum <"$path")
[ "${{found%% *}}" = "$wanted" ] || exit {_DAMAGED}
stat -c '%a %U:%G' -- "$path"
"""

_READ = f"""[ -e "$1" ] || exit {_NOTHING}
[ -d "$1" ] && exit {_DIRECTORY}
exec cat -- "$1"
"""

_LOOK = f"""[ -e "$1" ] || exit {_NOTHING}
stat -L -c '%a %U:%G %s' -- "$1" || exit 1
[ -d "$1" ] || sha256sum <"$1"
"""


def write_command(path: str, *, mode: int, owner: str, directory_mode: int) -> str:
    """The command that writes a file. Raises AxiomError (MISCONFIGURED) on what cannot be meant."""
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise fail(ProblemKind.MISCONFIGURED, f"`{path}` is no absolute path of a file.", "Mend the plan.")
    if not 0 <= mode <= 0o7777 or directory_mode not in (0o755, 0o700):
        raise fail(
            ProblemKind.MISCONFIGURED, f"The mode {mode:o} of {path} cannot be meant.", "Mend the plan."
        )
    parents = f"{0o777 & ~directory_mode:03o}"
    return shlex.join(("sh", "-c", _WRITE, "write-file", path, f"{mode:04o}", owner, parents))


def write_input(content: bytes) -> bytes:
    """What goes to the command's standard input."""
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def check_written(done: Completed, path: str, mode: int, owner: str, host: str) -> None:
    """Raise AxiomError if the file is not in place as wanted."""
    if done.status == _DAMAGED:
        raise fail(
            ProblemKind.BROKEN,
            f"{path} on {host} arrived damaged and was not put in place.",
            "Try again; look at the host's disk if it happens again.",
        )
    if done.status == _DIRECTORY:
        raise fail(ProblemKind.CONFLICT, f"{path} on {host} is a directory.", "Move it away, then try again.")
    if not done.ok:
        raise _failed("written", done, path, host)
    found_mode, _, found_owner = done.text.partition(" ")
    if int(found_mode, 8) != mode or (
        owner and not owner.replace(":", "").isdigit() and found_owner != owner
    ):
        raise fail(
            ProblemKind.BROKEN,
            f"{path} on {host} is {found_mode} {found_owner} instead of {mode:o} {owner}.",
            "Look at the file system it is on: it does not keep modes and owners.",
        )


def read_command(path: str) -> str:
    return shlex.join(("sh", "-c", _READ, "read-file", path))


def check_read(done: Completed, path: str, host: str) -> None:
    """Raise AxiomError (MISSING where there is no file) if it could not be read."""
    if done.status == _NOTHING:
        raise fail(ProblemKind.MISSING, f"{host} has no file {path}.", "Check the path.")
    if done.status == _DIRECTORY:
        raise fail(ProblemKind.CONFLICT, f"{path} on {host} is a directory.", "Check the path.")
    if not done.ok:
        raise _failed("read", done, path, host)


def look_command(path: str) -> str:
    return shlex.join(("sh", "-c", _LOOK, "look-at-file", path))


def looked(done: Completed, path: str, host: str) -> RemoteFile | None:
    """What `look_command` found; None if nothing is there. Raises AxiomError if it could not look."""
    if done.status == _NOTHING:
        return None
    if not done.ok:
        raise _failed("looked at", done, path, host)
    first, _, second = done.text.partition("\n")
    mode, owner, size = first.split(" ")
    return RemoteFile(path, not second, int(mode, 8), owner, int(size), second.split(" ")[0])


def _failed(what: str, done: Completed, path: str, host: str) -> AxiomError:
    lines = readable(done.stderr).splitlines()
    said = lines[-1] if lines else f"status {done.status}"
    denied = "permission denied" in said.lower() or "not permitted" in said.lower()
    return fail(
        ProblemKind.FORBIDDEN if denied else ProblemKind.BROKEN,
        f"{path} on {host} could not be {what}: {said}.",
        "Log in as a user who may, or use sudo." if denied else "Look at the host's disk and file system.",
    )
