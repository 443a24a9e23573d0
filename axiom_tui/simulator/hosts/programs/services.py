"""systemctl and journalctl."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from axiom_tui.simulator.hosts.journal import Record, number_of
from axiom_tui.simulator.hosts.kernel import Signals
from axiom_tui.simulator.hosts.program import Failure, Run, program
from axiom_tui.simulator.hosts.systemd import Unit, full_name

_INACTIVE, _UNKNOWN = 3, 4
_SYSTEMCTL = (
    *("no-block", "now", "property=", "quiet", "value", "no-pager", "full", "all", "type=", "state="),
    *("system", "no-legend", "plain", "lines=", "output=", "no-ask-password", "wait", "failed"),
)
_JOURNALCTL = (
    *("unit=", "lines=", "follow", "output=", "since=", "until=", "after-cursor=", "cursor=", "show-cursor"),
    *("no-pager", "no-hostname", "quiet", "reverse", "utc", "boot", "priority=", "all", "grep=", "no-tail"),
    *("output-fields=", "identifier=", "system"),
)
_CHANGES = (
    "start",
    "stop",
    "restart",
    "enable",
    "disable",
    "daemon-reload",
    "mask",
    "unmask",
    "kill",
    "reset-failed",
    "try-restart",
    "reload-or-restart",
)


@program("systemctl")
def systemctl(run: Run) -> int:
    options, words = run.options("p:qaln:o:", _SYSTEMCTL)
    command, names = (words[0], words[1:]) if words else ("list-units", [])
    quiet = "-q" in options or "--quiet" in options
    if command in _CHANGES and not run.user.is_root:
        what = full_name(names[0]) if names else "units"
        run.say(f"Failed to {command} {what}: Interactive authentication required.")
        return 1
    match command:
        case "is-active":
            states = [unit.active if unit else "inactive" for unit in map(run.host.systemd.find, names)]
            return _say_states(run, states, "active", quiet)
        case "is-enabled":
            return _is_enabled(run, names, quiet)
        case "is-failed":
            states = [unit.active if unit else "inactive" for unit in map(run.host.systemd.find, names)]
            return _say_states(run, states, "failed", quiet, otherwise=1)
        case "is-system-running":
            run.line("running")
            return 0
        case "daemon-reload" | "reset-failed" | "daemon-reexec":
            run.host.systemd.reload()
            return 0
        case "show":
            return _show(run, names)
        case "cat":
            return _cat(run, names)
        case "status":
            return _status(run, names)
        case "list-units" | "list-unit-files":
            return _list(run, names)
        case "start" | "stop" | "restart" | "try-restart" | "reload-or-restart":
            return max((_change(run, command, name, "--no-block" in options) for name in names), default=0)
        case "enable" | "disable":
            return max((_enable(run, command, name, "--now" in options) for name in names), default=0)
        case "mask" | "unmask":
            for unit in map(run.host.systemd.find, names):
                if unit is not None:
                    unit.masked = command == "mask"
            return 0
        case "kill":
            for unit in map(run.host.systemd.find, names):
                if unit is not None and unit.main is not None:
                    unit.main.signal(Signals.SIGTERM)
            return 0
    run.say(f"Unknown command verb {command}.")
    return 1


def _say_states(run: Run, states: Sequence[str], wanted: str, quiet: bool, otherwise: int = _INACTIVE) -> int:
    if not quiet:
        for state in states:
            run.line(state)
    return 0 if wanted in states else otherwise


def _enabled(unit: Unit) -> str:
    return "masked" if unit.masked else "enabled" if unit.enabled else "disabled"


def _is_enabled(run: Run, names: Sequence[str], quiet: bool) -> int:
    status = 1
    for name in names:
        unit = run.host.systemd.find(name)
        if unit is None:
            run.say(f"Failed to get unit file state for {full_name(name)}: No such file or directory")
            continue
        if _enabled(unit) == "enabled":
            status = 0
        if not quiet:
            run.line(_enabled(unit))
    return status


def _show(run: Run, names: Sequence[str]) -> int:
    asked: list[str] = []
    words = list(run.arguments)
    for index, word in enumerate(words):
        if word in ("-p", "--property") and index + 1 < len(words):
            asked += words[index + 1].split(",")
        elif word.startswith("--property="):
            asked += word.partition("=")[2].split(",")
        elif word.startswith("-p") and len(word) > 2:
            asked += word[2:].split(",")
    for number, name in enumerate(names):
        unit = run.host.systemd.find(name)
        values = _properties(run, name, unit)
        if number:
            run.line()
        for key in asked or values:
            if key in values:
                run.line(values[key] if "--value" in words else f"{key}={values[key]}")
    return 0


def _properties(run: Run, name: str, unit: Unit | None) -> dict[str, str]:
    if unit is None:
        return {
            "Id": full_name(name),
            "LoadState": "not-found",
            "ActiveState": "inactive",
            "SubState": "dead",
            "UnitFileState": "",
            "NRestarts": "0",
            "Result": "success",
            "MainPID": "0",
            "FragmentPath": "",
            "ExecMainStatus": "0",
            "Description": full_name(name),
            "ActiveEnterTimestamp": "",
        }
    since = unit.since.strftime("%a %Y-%m-%d %H:%M:%S UTC") if unit.since else ""
    return {
        "Id": unit.name,
        "Description": unit.description,
        "LoadState": "masked" if unit.masked else "loaded",
        "ActiveState": unit.active,
        "SubState": unit.sub,
        "UnitFileState": _enabled(unit),
        "FragmentPath": unit.path or f"/lib/systemd/system/{unit.name}",
        "Type": unit.setting("Type", "simple"),
        "NRestarts": str(unit.restarts),
        "Result": unit.result,
        "MainPID": str(unit.main.pid if unit.main else 0),
        "ExecMainStatus": str(unit.exit_status),
        "ExecStart": unit.setting("ExecStart"),
        "ActiveEnterTimestamp": since if unit.active == "active" else "",
        "StateChangeTimestamp": since,
        "NeedDaemonReload": "no",
    }


def _cat(run: Run, names: Sequence[str]) -> int:
    for name in names:
        unit = run.host.systemd.find(name)
        if unit is None:
            run.say(f"No files found for {full_name(name)}.")
            return 1
        run.line(f"# {unit.path or f'/lib/systemd/system/{unit.name}'}")
        if unit.path:
            run.write(run.files.read(unit.path, run.user))
    return 0


def _status(run: Run, names: Sequence[str]) -> int:
    status = 0
    for name in names:
        unit = run.host.systemd.find(name)
        if unit is None:
            run.say(f"Unit {full_name(name)} could not be found.")
            status = _UNKNOWN
            continue
        since = unit.since.strftime("%a %Y-%m-%d %H:%M:%S UTC") if unit.since else "n/a"
        run.line(f"● {unit.name} - {unit.description}")
        run.line(f"     Loaded: loaded ({unit.path or '/lib/systemd/system/' + unit.name}; {_enabled(unit)})")
        run.line(f"     Active: {unit.active} ({unit.sub}) since {since}")
        if unit.main:
            run.line(f"   Main PID: {unit.main.pid} ({unit.main.arguments[0].rpartition('/')[2]})")
        for record in run.host.journal.records([unit.name])[-10:]:
            run.line(_short(run, record))
        if unit.active != "active":
            status = _INACTIVE
    return status


def _list(run: Run, patterns: Sequence[str]) -> int:
    import fnmatch

    for unit in sorted(run.host.systemd.units.values(), key=lambda item: item.name):
        if not patterns or any(fnmatch.fnmatch(unit.name, full_name(pattern)) for pattern in patterns):
            run.line(f"{unit.name} loaded {unit.active} {unit.sub} {unit.description}")
    return 0


def _change(run: Run, command: str, name: str, no_block: bool) -> int:
    systemd = run.host.systemd
    unit = systemd.find(name)
    if unit is None:
        verb = command if command in ("start", "stop") else "restart"
        state = "loaded" if command == "stop" else "found"
        run.say(f"Failed to {verb} {full_name(name)}: Unit {full_name(name)} not {state}.")
        return 5
    if unit.masked and command != "stop":
        run.say(f"Failed to {command} {unit.name}: Unit {unit.name} is masked.")
        return 1
    if command == "try-restart" and unit.active not in ("active", "activating"):
        return 0
    if command != "start":
        ending = systemd.stop(unit)
        if ending is not None and not (command == "stop" and no_block):
            run.process.wait_for(lambda: unit.main is None and unit.active in ("inactive", "failed"))
    if command == "stop":
        return 0
    systemd.start(unit)
    if no_block:
        return 0
    run.process.wait_for(lambda: unit.active not in ("activating", "deactivating"))
    if unit.active == "active":
        return 0
    run.say(f"Job for {unit.name} failed because the control process exited with error code.")
    run.say(f'See "systemctl status {unit.name}" and "journalctl -xeu {unit.name}" for details.')
    return 1


def _enable(run: Run, command: str, name: str, now: bool) -> int:
    systemd = run.host.systemd
    unit = systemd.find(name.rpartition("/")[2])
    if unit is None:
        run.say(f"Failed to {command} unit: Unit file {full_name(name)} does not exist.")
        return 1
    if command == "enable" and systemd.enable(unit) and unit.path:
        run.say(f"Created symlink /etc/systemd/system/multi-user.target.wants/{unit.name} → {unit.path}.")
    elif command == "disable" and systemd.disable(unit) and unit.path:
        run.say(f"Removed /etc/systemd/system/multi-user.target.wants/{unit.name}.")
    return _change(run, "start" if command == "enable" else "stop", unit.name, False) if now else 0


@program("journalctl")
def journalctl(run: Run) -> int:
    options, _ = run.options("u:n:fo:p:qrb:t:exS:U:kc:", _JOURNALCTL)

    def option(short: str, long: str, default: str = "") -> str:
        return options.get(short, options.get(long, default))

    units = [full_name(name) for name in _repeated(run, "-u", "--unit")]
    after, wanted = 0, option("-n", "--lines")
    for name in ("--after-cursor", "--cursor", "-c"):
        if name in options:
            try:
                after = number_of(options[name]) - (name != "--after-cursor")
            except ValueError as error:
                raise Failure("Failed to seek to cursor: Invalid argument") from error
    records = run.host.journal.records(units, after=after)
    if since := option("-S", "--since"):
        moment = _moment(run, since)
        records = [record for record in records if record.at >= moment]
    if until := option("-U", "--until"):
        moment = _moment(run, until)
        records = [record for record in records if record.at <= moment]
    if highest := option("-p", "--priority"):
        level = {"err": 3, "error": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}.get(highest, 6)
        records = [
            record for record in records if record.priority <= (int(highest) if highest.isdigit() else level)
        ]
    if expression := options.get("--grep"):
        records = [record for record in records if re.search(expression, record.message)]
    follows = "-f" in options or "--follow" in options
    if wanted != "all" and (wanted or (follows and "--no-tail" not in options and not after and not since)):
        count = int(wanted or 10)
        records = records[len(records) - count :] if count < len(records) else records
    if "-r" in options or "--reverse" in options:
        records.reverse()
    form = option("-o", "--output", "short")
    # What is there was looked at up to here; what comes later is for -f.
    seen = run.host.journal.last_number
    for record in records:
        run.line(_shown(run, record, form))
    if (
        not records
        and not follows
        and not ("-q" in options or "--quiet" in options)
        and form.startswith("short")
    ):
        run.line("-- No entries --")
    if "--show-cursor" in options:
        last = records[-1] if records else next(iter(run.host.journal.records()[-1:]), None)
        if last is not None:
            run.line(f"-- cursor: {last.cursor}")
    while follows:
        seen = _follow(run, units, seen, form)
    return 0


def _follow(run: Run, units: Sequence[str], seen: int, form: str) -> int:
    """Wait for what comes after a record, and show it; the number of the last one."""
    journal = run.host.journal
    run.process.wait_for(lambda: journal.last_number > seen)
    fresh = journal.records(after=seen)
    for record in fresh:
        if not units or record.unit in units:
            run.line(_shown(run, record, form))
    return fresh[-1].number if fresh else seen


def _repeated(run: Run, short: str, long: str) -> list[str]:
    words, found = list(run.arguments), []
    for index, word in enumerate(words):
        if word in (short, long) and index + 1 < len(words):
            found.append(words[index + 1])
        elif word.startswith(f"{long}="):
            found.append(word.partition("=")[2])
        elif word.startswith(short) and len(word) > 2 and not word.startswith("--"):
            found.append(word[2:])
    return found


def _moment(run: Run, text: str) -> datetime:
    """A time as journalctl takes it: ``-5min``, ``5 minutes ago``, ``@1700000000``, or a date."""
    now = run.host.clock()
    if text in ("now", "today"):
        return now if text == "now" else now.replace(hour=0, minute=0, second=0, microsecond=0)
    if text.startswith("@"):
        return datetime.fromtimestamp(float(text[1:]), UTC)
    if found := re.fullmatch(r"-?(\d+)\s*(s|sec|seconds?|m|min|minutes?|h|hours?)(\s+ago)?", text):
        seconds = {"s": 1, "m": 60, "h": 3600}[found[2][0]]
        return now - timedelta(seconds=int(found[1]) * seconds)
    try:
        moment = datetime.fromisoformat(text.removesuffix(" UTC").replace("Z", "+00:00"))
    except ValueError as error:
        raise Failure(f"Failed to parse timestamp: {text}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _short(run: Run, record: Record) -> str:
    return f"{record.at:%b %d %H:%M:%S} {_said(run, record)}"


def _said(run: Run, record: Record) -> str:
    return f"{run.host.name} {record.identifier}[{record.pid}]: {record.message}"


def _shown(run: Run, record: Record, form: str) -> str:
    match form:
        case "cat":
            return record.message
        case "json":
            return json.dumps(
                {
                    "__CURSOR": record.cursor,
                    "__REALTIME_TIMESTAMP": str(int(record.at.timestamp() * 1_000_000)),
                    "MESSAGE": record.message,
                    "PRIORITY": str(record.priority),
                    "SYSLOG_IDENTIFIER": record.identifier,
                    "_PID": str(record.pid),
                    "_SYSTEMD_UNIT": record.unit,
                    "_HOSTNAME": run.host.name,
                }
            )
        case "short-iso":
            return f"{record.at:%Y-%m-%dT%H:%M:%S}+0000 {_said(run, record)}"
        case "short-unix":
            return f"{record.at.timestamp():.6f} {_said(run, record)}"
    return _short(run, record)
