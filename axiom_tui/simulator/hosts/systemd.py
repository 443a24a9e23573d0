"""systemd of a simulated host: units, and the processes of the services that it starts and restarts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from axiom_tui.simulator.hosts.journal import JournalStream
from axiom_tui.simulator.hosts.kernel import Nothing, Process, Signals

if TYPE_CHECKING:
    from axiom_tui.simulator.hosts.host import Host

UNIT_DIRECTORY = "/etc/systemd/system"
WANTS = f"{UNIT_DIRECTORY}/multi-user.target.wants"
_SYSTEMD = ("/lib/systemd/systemd",)
RESTART_AFTER = 5.0  # seconds, where the unit does not say


@dataclass(slots=True)
class Unit:
    """A service. One without a ``path`` is part of the system and has no process here."""

    name: str
    description: str
    path: str = ""
    active: str = "inactive"
    sub: str = "dead"
    result: str = "success"
    enabled: bool = False
    masked: bool = False
    restarts: int = 0
    exit_status: int = 0
    since: datetime | None = None
    main: Process | None = None
    stopping: bool = False
    settings: dict[str, list[str]] = field(default_factory=dict)

    def setting(self, name: str, default: str = "") -> str:
        return self.settings.get(name, [default])[-1]


def full_name(name: str) -> str:
    return name if "." in name else f"{name}.service"


class Systemd:
    """The units of one host. Thread-safe by the host's one condition."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._changed = host.kernel.changed
        self.units: dict[str, Unit] = {}

    def add_builtin(self, name: str, description: str, *, active: bool = True, masked: bool = False) -> None:
        unit = Unit(full_name(name), description, enabled=active, masked=masked, since=self._host.clock())
        if active:
            unit.active, unit.sub = "active", "running"
        self.units[unit.name] = unit

    def find(self, name: str) -> Unit | None:
        """A unit by its name, read from its file if that is new."""
        with self._changed:
            known = self.units.get(full_name(name))
            return known if known is not None else self._load(full_name(name))

    def reload(self) -> None:
        """``daemon-reload``: units whose files are gone are forgotten, changed ones read anew."""
        with self._changed:
            for unit in list(self.units.values()):
                if unit.path and self._host.files.find(unit.path) is None:
                    if unit.active == "inactive":
                        del self.units[unit.name]
                elif unit.path:
                    self._read(unit)

    def _load(self, name: str) -> Unit | None:
        path = f"{UNIT_DIRECTORY}/{name}"
        if self._host.files.find(path) is None:
            return None
        unit = Unit(name, "", path)
        self._read(unit)
        self.units[name] = unit
        return unit

    def _read(self, unit: Unit) -> None:
        text = self._host.files.read(unit.path).decode(errors="replace").replace("\\\n", " ")
        unit.settings = {}
        for line in text.splitlines():
            name, equals, value = line.partition("=")
            if equals and not line.lstrip().startswith(("#", ";")):
                unit.settings.setdefault(name.strip(), []).append(value.strip())
        unit.description = unit.setting("Description")
        unit.enabled = self._host.files.find(f"{WANTS}/{unit.name}", follow=False) is not None

    def enable(self, unit: Unit) -> bool:
        """Whether there was anything to do."""
        if unit.enabled:
            return False
        unit.enabled = True
        if unit.path:
            self._host.files.make_directories(WANTS)
            self._host.files.link(f"{WANTS}/{unit.name}", unit.path)
        return True

    def disable(self, unit: Unit) -> bool:
        if not unit.enabled:
            return False
        unit.enabled = False
        if unit.path and self._host.files.find(f"{WANTS}/{unit.name}", follow=False) is not None:
            self._host.files.remove(f"{WANTS}/{unit.name}")
        return True

    def start(self, unit: Unit) -> None:
        """Begin to start a unit; the caller waits for it if it wants to."""
        with self._changed:
            if unit.active in ("active", "activating"):
                return
            unit.stopping, unit.result, unit.restarts = False, "success", 0
            self._host.journal.write("init.scope", f"Starting {unit.description}...", identifier="systemd")
            if not unit.path:
                self._become(unit, "active", "running")
                return
            self._launch(unit)

    def stop(self, unit: Unit) -> Process | None:
        """Begin to stop a unit; gives the process that is ending."""
        with self._changed:
            unit.stopping = True
            if unit.main is None:
                self._become(unit, "inactive", "dead")
                return None
            self._become(unit, "deactivating", "stop-sigterm")
            unit.main.signal(Signals.SIGTERM)
            return unit.main

    def is_ready(self, process: Process) -> None:
        """A service says that it is ready (sd_notify)."""
        with self._changed:
            for unit in self.units.values():
                if unit.main is process and unit.active == "activating":
                    self._become(unit, "active", "running")
                    text = f"Started {unit.description}."
                    self._host.journal.write("init.scope", text, identifier="systemd")

    def adopt(self, unit: Unit, process: Process) -> None:
        """A process that has run as this unit since before the world began."""
        unit.main = process
        self._become(unit, "active", "running")
        self._supervise(unit, process)

    def _become(self, unit: Unit, active: str, sub: str) -> None:
        with self._changed:
            unit.active, unit.sub, unit.since = active, sub, self._host.clock()
            self._changed.notify_all()

    def _launch(self, unit: Unit) -> None:
        words = shlex.split(unit.setting("ExecStart"))
        self._become(unit, "activating", "start")
        output = JournalStream(self._host.journal, unit.name)

        def main(process: Process) -> int:
            found = self._host.find_program(words[0], process, "") if words else None
            if found is None or not self._host.is_executable(found, process):
                what = f"executable {words[0] if words else ''}: No such file or directory"
                text = f"{unit.name}: Failed to locate {what}"
                self._host.journal.write(unit.name, text, identifier="systemd", priority=3)
                return 203
            return self._host.execute(process, words, found)

        started = self._host.kernel.spawn(
            main,
            files={0: Nothing(), 1: output, 2: output},
            arguments=tuple(words),
            environment={**_environment(self._host, unit)},
        )
        unit.main = started
        if unit.setting("Type", "simple") != "notify":
            self._become(unit, "active", "running")
        self._supervise(unit, started)

    def _supervise(self, unit: Unit, process: Process) -> None:
        """Notice the end of a unit's main process."""

        def watch(watcher: Process) -> int:
            watcher.wait_for(lambda: process.status is not None)
            self._ended(unit, process.status or 0)
            return 0

        self._host.kernel.spawn(watch, files={}, arguments=_SYSTEMD)

    def _ended(self, unit: Unit, status: int) -> None:
        """The main process is gone: stopped as asked, or to be started again."""
        with self._changed:
            unit.main, unit.exit_status = None, status
            journal = self._host.journal
            if unit.stopping or unit.setting("Restart", "no") == "no":
                failed = status not in (0, 128 + Signals.SIGTERM) and not unit.stopping
                unit.result = "exit-code" if failed else "success"
                self._become(unit, "failed" if failed else "inactive", "failed" if failed else "dead")
                journal.write("init.scope", f"Stopped {unit.description}.", identifier="systemd")
                return
            unit.result = "exit-code"
            text = f"{unit.name}: Main process exited, code=exited, status={status}/FAILURE"
            journal.write(unit.name, text, identifier="systemd", priority=5)
            journal.write(
                unit.name, f"{unit.name}: Failed with result 'exit-code'.", identifier="systemd", priority=4
            )
            self._become(unit, "activating", "auto-restart")
        seconds = float(unit.setting("RestartSec", str(RESTART_AFTER)).removesuffix("s"))

        def restart(process: Process) -> int:
            process.wait_for(lambda: unit.stopping, self._host.paced(seconds))
            with self._changed:
                if unit.stopping or unit.sub != "auto-restart":
                    self._become(unit, "inactive", "dead")
                    return 0
                unit.restarts += 1
                text = f"{unit.name}: Scheduled restart job, restart counter is at {unit.restarts}."
                journal.write(unit.name, text, identifier="systemd", priority=6)
                self._launch(unit)
            return 0

        self._host.kernel.spawn(restart, files={}, arguments=_SYSTEMD)


def _environment(host: Host, unit: Unit) -> Mapping[str, str]:
    """What the unit's EnvironmentFile lines and Environment lines say."""
    found = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    for line in unit.settings.get("Environment", []):
        for word in shlex.split(line):
            name, _, value = word.partition("=")
            found[name] = value
    for path in unit.settings.get("EnvironmentFile", []):
        place = path.removeprefix("-").replace("%N", unit.name.removesuffix(".service"))
        entry = host.files.find(place)
        for line in entry.read().decode(errors="replace").splitlines() if entry else ():
            name, equals, value = line.strip().partition("=")
            if equals and not name.startswith("#"):
                found[name] = " ".join(shlex.split(value))
    return found
