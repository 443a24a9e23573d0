"""The steps of a join on the host itself: its name, its kernel, K3s' configuration and install script."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import TypeVar

from axiom_tui.clients.ssh_values import Completed, OnOutput, Stream, readable
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind, fail
from axiom_tui.plans import join_files as files
from axiom_tui.plans.hosts import Hosts, Shell
from axiom_tui.plans.join_choice import JoinSpec
from axiom_tui.plans.step import Json, LeftBehind, Run, Step

#: Ways in which a host gives no answer: it is down, gone, or another one by now, or only its SSH server is.
#: A login that a person did not give (UNCONFIRMED) is none of them: it can be given.
GONE = (
    ProblemKind.REFUSED,
    ProblemKind.UNREACHABLE,
    ProblemKind.UNRESOLVED,
    ProblemKind.TIMED_OUT,
    ProblemKind.UNTRUSTED,
    ProblemKind.GARBLED,
)
T = TypeVar("T")
S = TypeVar("S", bound="HostStep")


class NotReached(AxiomError):
    """The host gives no answer over SSH. Its kubelet may live all the same."""


@dataclass
class Absence:
    """That the host was not reached: not every step waits for it anew. The steps of a plan share it."""

    problem: Problem | None = None


def goes_on_without_host(undo: Callable[[S, Run], T]) -> Callable[[S, Run], T]:
    """For what takes a step on a host back: a host that is not reached leaves it behind, and holds up nothing
    that can be taken back without it."""

    @wraps(undo)
    def as_far_as_possible(step: S, run: Run) -> T:
        if step.absence.problem is None:
            try:
                return undo(step, run)
            except NotReached as error:
                step.absence.problem = error.problem
        raise LeftBehind(step.stays(step.absence.problem, run.earlier))

    return as_far_as_possible


class HostStep(Step):
    """A step on the host that joins. Any of them may be the first of its process, and so may have to log in,
    for which a person may be needed."""

    interruptible = True

    def __init__(self, hosts: Hosts, spec: JoinSpec, seconds: float = 60.0) -> None:
        """``seconds`` is what it takes without a login."""
        self._hosts = hosts
        self._spec = spec
        self.deadline = seconds + spec.login_timeout
        self.absence = Absence()

    def interrupt(self) -> None:
        self._hosts.interrupt()

    def stays(self, problem: Problem, earlier: Mapping[str, Json]) -> Problem:
        """What is left on a host that is not reached, and how it goes by hand."""
        lines = self.undo_commands(earlier)
        by_hand = f" Or run there: {'; '.join(lines)}" if lines else ""
        return Problem(
            problem.kind,
            f"{self._spec.name} is not reached, so this stays as it is there. {problem.sentence}",
            f"Resume this plan from the journal when the host is back.{by_hand}",
        )

    def _shell(self, run: Run) -> Shell:
        try:
            return self._hosts.shell(self._spec.host, self._spec.user, run)
        except AxiomError as error:
            if error.problem.kind in GONE and not run.cancelled:
                raise NotReached(error.problem) from error
            raise

    def _ask(self, run: Run, command: str, title: str = "") -> Completed:
        """As root, whatever its exit status."""
        done = self._shell(run).sudo(command, deadline=self._at_most(run), title=title)
        self._hosts.mask(run)
        return done

    def _do(self, run: Run, command: str, title: str, *, loud: bool = False) -> Completed:
        """As root; raises BROKEN if it fails. ``loud`` shows its output, and lets it take its time."""
        deadline = max(1.0, run.remaining) if loud else self._at_most(run)
        done = self._shell(run).sudo(
            command, deadline=deadline, on_output=_show(run) if loud else None, title=title
        )
        self._hosts.mask(run)
        if not done.ok:
            raise failed(done, title, self._spec.name)
        run.check()
        return done

    def _at_most(self, run: Run) -> float:
        return max(1.0, min(self._spec.command_timeout, run.remaining))

    def _write(self, run: Run, path: str, content: str, mode: int) -> None:
        self._shell(run).write_file(path, content.encode(), mode=mode)
        self._hosts.mask(run)

    def _is_written(self, run: Run, path: str, content: str, mode: int) -> bool:
        found = self._shell(run).stat_file(path)
        wanted = hashlib.sha256(content.encode()).hexdigest()
        return found is not None and (found.sha256, found.mode, found.owner) == (wanted, mode, "root:root")

    def _text_at(self, run: Run, path: str) -> str | None:
        """What stands in a file, None if there is none."""
        shell = self._shell(run)
        found = shell.stat_file(path)
        if found is None or found.is_directory:
            return None
        return shell.read_file(path).decode(errors="replace")


def _show(run: Run) -> OnOutput:
    def tell(stream: Stream, line: str) -> None:
        run.on_output(line)

    return tell


def failed(done: Completed, title: str, host: str) -> AxiomError:
    """The failure of a command, with the last that it said."""
    lines = [line for line in readable(done.stderr + b"\n" + done.stdout).splitlines() if line.strip()]
    last = lines[-1].strip().rstrip(".") if lines else "without a word"
    return fail(
        ProblemKind.BROKEN,
        f"On {host} `{title}` ended with status {done.status}: {last}.",
        "See to it on the host, then resume this plan from the journal.",
    )


class SetHostName(HostStep):
    """Gives the host its name; K3s and MagicDNS derive theirs from it."""

    key = "hostname"

    def __init__(self, hosts: Hosts, spec: JoinSpec) -> None:
        super().__init__(hosts, spec)
        was = f" (it is {spec.earlier_host_name})" if spec.earlier_host_name else ""
        self.title = f"Name the host {spec.name}{was}"
        self.commands = (self._line(spec.name),)

    def is_done(self, run: Run) -> bool:
        return self._found(run) == self._spec.name

    def run(self, run: Run) -> None:
        run.remember({"name": self._found(run)})
        self._do(run, f"hostnamectl set-hostname {shlex.quote(self._spec.name)}", "hostnamectl set-hostname")

    @goes_on_without_host
    def is_undone(self, run: Run) -> bool:
        return not run.earlier.get("name") or self._found(run) == run.earlier["name"]

    @goes_on_without_host
    def undo(self, run: Run) -> None:
        name = str(run.earlier["name"])
        self._do(run, f"hostnamectl set-hostname {shlex.quote(name)}", "hostnamectl set-hostname")

    def undo_commands(self, earlier: Mapping[str, Json]) -> tuple[str, ...]:
        return (self._line(str(earlier["name"])),) if earlier.get("name") else ()

    def _found(self, run: Run) -> str:
        return self._ask(run, "cat /proc/sys/kernel/hostname", "cat /proc/sys/kernel/hostname").text.strip()

    @staticmethod
    def _line(name: str) -> str:
        return f"sudo hostnamectl set-hostname {shlex.quote(name)}"


class PrepareKernel(HostStep):
    """Loads modules and turns on forwarding, now and at each boot; only what the host lacks."""

    key = "kernel"
    title = "Load kernel modules and turn on forwarding, now and at each boot"

    def __init__(self, hosts: Hosts, spec: JoinSpec) -> None:
        super().__init__(hosts, spec)
        self._files: dict[str, str] = {}
        if spec.modules:
            self._files[files.MODULES_PATH] = files.modules_text(spec.modules)
        if spec.sysctls:
            self._files[files.SYSCTL_PATH] = files.sysctl_text(spec.sysctls)
        self._loads = [f"modprobe {name}" for name in spec.modules]
        if spec.sysctls:
            self._loads.append(f"sysctl -q -p {files.SYSCTL_PATH}")
        written = (line for path, text in self._files.items() for line in files.written(path, text, 0o644))
        self.commands = (*written, *(f"sudo {line}" for line in self._loads))

    def is_done(self, run: Run) -> bool:
        # What is built into the kernel may have no folder there; asking for it again does no harm.
        loaded = all(self._ask(run, f"test -d /sys/module/{name}").ok for name in self._spec.modules)
        return loaded and self._is_in_force(run)

    def run(self, run: Run) -> None:
        run.remember({path: self._text_at(run, path) for path in self._files})
        for path, content in self._files.items():
            self._write(run, path, content, 0o644)
        for line in self._loads:
            self._do(run, line, line)

    def verify(self, run: Run) -> None:
        if not self._is_in_force(run):
            raise fail(
                ProblemKind.BROKEN,
                f"Forwarding is still off on {self._spec.name}: something else sets it.",
                "Look for other files in /etc/sysctl.d on the host, then resume this plan from the journal.",
            )

    @goes_on_without_host
    def is_undone(self, run: Run) -> bool:
        return not run.earlier or all(
            self._text_at(run, path) == run.earlier.get(path) for path in self._files
        )

    @goes_on_without_host
    def undo(self, run: Run) -> None:
        """The files go; what is loaded does no harm and goes with the next boot."""
        for path in self._files:
            put_back(self, run, path, run.earlier.get(path), 0o644)

    def undo_commands(self, earlier: Mapping[str, Json]) -> tuple[str, ...]:
        return tuple(f"sudo rm -f {path}" for path in self._files)

    def _is_in_force(self, run: Run) -> bool:
        written = all(self._is_written(run, path, text, 0o644) for path, text in self._files.items())
        return written and all(
            self._ask(run, f"cat /proc/sys/{name.replace('.', '/')}").text.strip() == "1"
            for name in self._spec.sysctls
        )


class WriteConfig(HostStep):
    """Writes the K3s configuration of this node."""

    key = "config"

    def __init__(self, hosts: Hosts, spec: JoinSpec) -> None:
        super().__init__(hosts, spec)
        self._text = files.config_text(spec)
        self.title = f"Write {files.CONFIG_PATH}"
        self.commands = files.written(files.CONFIG_PATH, self._text)

    def is_done(self, run: Run) -> bool:
        return self._is_written(run, files.CONFIG_PATH, self._text, 0o600)

    def run(self, run: Run) -> None:
        run.remember({"text": self._text_at(run, files.CONFIG_PATH)})
        self._write(run, files.CONFIG_PATH, self._text, 0o600)

    @goes_on_without_host
    def is_undone(self, run: Run) -> bool:
        return "text" not in run.earlier or self._text_at(run, files.CONFIG_PATH) == run.earlier["text"]

    @goes_on_without_host
    def undo(self, run: Run) -> None:
        put_back(self, run, files.CONFIG_PATH, run.earlier["text"], 0o600)

    def undo_title(self, earlier: Mapping[str, Json]) -> str:
        return (
            f"Put {files.CONFIG_PATH} back as it was"
            if earlier.get("text")
            else f"Remove {files.CONFIG_PATH}"
        )

    def undo_commands(self, earlier: Mapping[str, Json]) -> tuple[str, ...]:
        if earlier.get("text"):
            return files.written(files.CONFIG_PATH, str(earlier["text"]))
        return (f"sudo rm -f {files.CONFIG_PATH}",)


def put_back(step: HostStep, run: Run, path: str, text: Json, mode: int) -> None:
    """The file as it was before; None for none at all."""
    if text is None:
        step._do(run, f"rm -f {path}", f"rm -f {path}")
    else:
        step._write(run, path, str(text), mode)


class InstallK3s(HostStep):
    """Downloads the install script, proves its sum, and runs it; nothing is started."""

    key = "install"
    interruptible = False

    def __init__(self, hosts: Hosts, spec: JoinSpec) -> None:
        super().__init__(hosts, spec, spec.install_timeout)
        self.title = f"Install K3s {spec.version} ({spec.role})"
        script = files.INSTALL_SCRIPT
        self._download = f"curl -fsSL -m 120 -o {script} {shlex.quote(spec.install_url)}"
        self._install = (
            f"INSTALL_K3S_VERSION={shlex.quote(spec.version)} INSTALL_K3S_EXEC={spec.role} "
            f"INSTALL_K3S_SKIP_START=true sh {script}"
        )
        self.commands = (
            f"sudo install -d -m 0700 {files.STATE_FOLDER}",
            f"sudo {self._download}",
            f"echo '{spec.install_sha256}  {script}' | sudo sha256sum -c -",
            f"sudo {self._install}",
        )

    def is_done(self, run: Run) -> bool:
        return self._version(run) == self._spec.version and self._has_unit(run)

    def run(self, run: Run) -> None:
        run.remember({"version": self._version(run)})
        self._do(run, f"install -d -m 0700 {files.STATE_FOLDER}", "make a folder")
        self._do(run, self._download, "download the install script")
        found = self._ask(run, f"sha256sum {files.INSTALL_SCRIPT}").text.split(" ")[0]
        if found != self._spec.install_sha256:
            self._ask(run, f"rm -f {files.INSTALL_SCRIPT}")
            raise fail(
                ProblemKind.UNTRUSTED,
                f"The install script from {self._spec.install_url} has the SHA-256 {found}, and "
                f"{self._spec.install_sha256} is expected: it was changed. It was not run.",
                "Read what has changed; if it is right, put the sum into join.install_sha256 and plan again.",
            )
        self._do(run, self._install, "the install script of K3s", loud=True)

    def verify(self, run: Run) -> None:
        found = self._version(run)
        if found != self._spec.version or not self._has_unit(run):
            what = f"K3s {found}" if found else "no K3s"
            raise fail(
                ProblemKind.BROKEN,
                f"The install script ended well, but there is {what} on {self._spec.name} instead of "
                f"{self._spec.version} with the unit {self._spec.unit}.",
                "Look at the script's output, then resume this plan from the journal.",
            )

    @goes_on_without_host
    def is_undone(self, run: Run) -> bool:
        if run.earlier.get("version"):
            return True  # it was there before: it is not ours to take away
        return not self._version(run) and not self._ask(run, f"test -e {self._uninstall}").ok

    @goes_on_without_host
    def undo(self, run: Run) -> None:
        for line in self._cleaning():
            self._do(run, line, line, loud=True)

    def undo_title(self, earlier: Mapping[str, Json]) -> str:
        if earlier.get("version"):
            return f"Leave K3s on {self._spec.name}: it was there before"
        return f"Uninstall K3s from {self._spec.name}"

    def undo_commands(self, earlier: Mapping[str, Json]) -> tuple[str, ...]:
        return () if earlier.get("version") else tuple(f"sudo {line}" for line in self._cleaning())

    def _cleaning(self) -> tuple[str, ...]:
        """Cilium's interfaces first: with them the uninstall script can cut the host off (1.3)."""
        links = (
            "for one in cilium_host cilium_net cilium_vxlan; do ip link delete $one 2>/dev/null; done; true"
        )
        return (
            f"sh -c {shlex.quote(links)}",
            f"sh -c {shlex.quote(f'if [ -e {self._uninstall} ]; then sh {self._uninstall}; fi')}",
            f"rm -rf {files.NODE_FOLDER} {files.STATE_FOLDER}",
        )

    @property
    def _uninstall(self) -> str:
        return f"/usr/local/bin/{self._spec.unit}-uninstall.sh"

    def _version(self, run: Run) -> str:
        """What ``k3s version v1.33.4+k3s1 (abc)`` says; "" for none."""
        done = self._ask(run, f"{files.K3S} --version", "k3s --version")
        match = re.match(r"k3s version (\S+)", done.text) if done.ok else None
        return match[1] if match else ""

    def _has_unit(self, run: Run) -> bool:
        return self._ask(run, f"test -e /etc/systemd/system/{self._spec.unit}.service").ok
