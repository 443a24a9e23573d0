"""The k3s program (facts: k3s-and-backups.md 1.5, 3.2). What ``server`` and ``agent`` do is in `k3s_node`."""

from __future__ import annotations

import re
from datetime import timedelta

from axiom_tui.simulator.hosts.k3s_node import DATA, run_k3s
from axiom_tui.simulator.hosts.program import Failure, Run, program
from axiom_tui.simulator.world import NODES


@program("k3s")
def k3s(run: Run) -> int:
    if run.name in ("kubectl", "crictl", "ctr"):
        return _kubectl(run, list(run.arguments)) if run.name == "kubectl" else 0
    command, *rest = run.arguments or ("--help",)
    version, architecture = (*run.binary, "v0", "amd64")[:2]
    if architecture != run.host.computer.architecture:
        run.say(f"sh: 1: {run.name}: Exec format error")
        return 126
    match command:
        case "agent" | "server":
            if not run.user.is_root:
                run.say('level=fatal msg="Error: must run as root unless --disable-agent is specified"')
                return 1
            return run_k3s(run, command)
        case "--version" | "-v" | "version":
            run.line(f"k3s version {version} (5aef3f87)\ngo version go1.24.5")
            return 0
        case "token":
            return _token(run, rest)
        case "kubectl":
            return _kubectl(run, rest)
        case "check-config":
            run.line("STATUS: pass")
            return 0
        case "etcd-snapshot":
            return _snapshots(run, rest)
    run.say(f"No help topic for '{command}'")
    return 3


def _is_serving(run: Run) -> bool:
    unit = run.host.systemd.find("k3s")
    return unit is not None and unit.active == "active"


def _fatal(run: Run, message: str) -> int:
    moment = run.host.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
    run.say(f'time="{moment}" level=fatal msg="Error: {message}"')
    return 1


def _token(run: Run, words: list[str]) -> int:
    command = words[0] if words else ""
    secrets, hosts = run.host.hosts.secrets, run.host.hosts
    if command == "generate":
        run.line("abcdef.0123456789abcdef")
        return 0
    if not run.user.is_root:
        return _fatal(run, "open /etc/rancher/k3s/k3s.yaml: permission denied")
    if not _is_serving(run):
        if run.files.find("/etc/rancher/k3s/k3s.yaml") is None:
            return _fatal(run, "stat /etc/rancher/k3s/k3s.yaml: no such file or directory")
        return _fatal(
            run, "Get https://127.0.0.1:6443/api: dial tcp 127.0.0.1:6443: connect: connection refused"
        )
    if run.host.founded:
        return _fatal(run, "tokens of a cluster that a simulated host founded are not simulated")
    options = _flags(words[1:])
    match command:
        case "create":
            ttl = _duration(options.get("ttl", "24h"))
            if ttl is None:
                return _fatal(run, f"invalid value {options['ttl']} for flag -ttl: parse error")
            run.line(secrets.create_token(hosts.cluster_clock(), ttl, options.get("description", "")))
            return 0
        case "list":
            run.line("TOKEN     TTL         EXPIRES                USAGES           DESCRIPTION")
            for token in secrets.tokens():
                left = token.expires - hosts.cluster_clock() if token.expires else None
                ttl_text = f"{int(left.total_seconds() // 60)}m" if left else "<forever>"
                until = token.expires.strftime("%Y-%m-%dT%H:%M:%SZ") if token.expires else "<never>"
                described = f"authentication,signing   {token.description or '<none>'}"
                run.line(f"{token.id}    {ttl_text:<11} {until:<22} {described}")
            return 0
        case "delete":
            failed = 0
            for text in [word for word in words[1:] if not word.startswith("-")]:
                if secrets.delete_token(text):
                    run.line(f'bootstrap token "{text[:6]}" deleted')
                else:
                    failed = _fatal(run, f'failed to delete bootstrap token "{text}": not found')
            return failed
    run.say(f"No help topic for '{command}'")
    return 3


def _flags(words: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for index, word in enumerate(words):
        if word.startswith("-"):
            name, equals, value = word.lstrip("-").partition("=")
            found[name] = value if equals else next(iter(words[index + 1 : index + 2]), "")
    return found


def _duration(text: str) -> timedelta | None:
    """A duration of Go: ``15m``, ``1h30m``, ``0``."""
    if text == "0":
        return timedelta()
    parts = re.findall(r"(\d+)(h|m|s)", text)
    if "".join(number + unit for number, unit in parts) != text or not parts:
        return None
    return timedelta(seconds=sum(int(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in parts))


def _kubectl(run: Run, words: list[str]) -> int:
    """Nodes alone: ``get nodes``, ``get node NAME``, ``delete node NAME``."""
    if not _is_serving(run):
        why = "did you specify the right host or port?"
        run.say(f"The connection to the server localhost:8080 was refused - {why}")
        return 1
    if not run.user.is_root:
        raise Failure("open /etc/rancher/k3s/k3s.yaml: permission denied")
    world = run.host.world
    match [word for word in words if not word.startswith("-")]:
        case ["get", "nodes" | "node" | "no", *names]:
            known = {run.host.founded} if run.host.founded else _node_names(run)
            missing = [name for name in names if name not in known and name not in ("wide", "name")]
            for name in missing:
                run.say(f'Error from server (NotFound): nodes "{name}" not found')
            if not missing:
                run.line("NAME         STATUS")
                for name in sorted(known):
                    if not names or name in names:
                        ready = not run.host.founded and world.is_ready(name)
                        run.line(f"{name:<12} {'Ready' if ready else 'NotReady'}")
            return int(bool(missing))
        case ["delete", "node", name] if not run.host.founded:
            if world.store.get(NODES, name) is None:
                run.say(f'Error from server (NotFound): nodes "{name}" not found')
                return 1
            world.remove_node(name)
            run.line(f'node "{name}" deleted')
            return 0
    run.say(f"error: unknown command {' '.join(words)!r} on a simulated host")
    return 1


def _node_names(run: Run) -> set[str]:
    return {item["metadata"]["name"] for item in run.host.world.store.list(NODES)}


def _snapshots(run: Run, words: list[str]) -> int:
    command = words[0] if words else ""
    if command not in ("ls", "list", "l"):
        run.say(f"No help topic for '{command}'")
        return 3
    if not _is_serving(run):
        return _fatal(
            run, "see server log for details: https://127.0.0.1:6443/db/snapshot: connection refused"
        )
    run.line("Name Location Size Created")
    directory = f"{DATA}/server/db/snapshots"
    for name in run.files.names(directory):
        entry = run.files.entries[f"{directory}/{name}"]
        run.line(f"{name} file://{directory}/{name} {len(entry.content)} {int(entry.modified)}")
    return 0
