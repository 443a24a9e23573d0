"""The steps that write a node's labels into its K3s configuration, so that they survive a new registration.

K3s is not restarted: the labels hold in the cluster already, and K3s reads its files at its next start.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from axiom_tui.clients.ssh_values import readable
from axiom_tui.model.naming import NamingScheme
from axiom_tui.model.node import Node
from axiom_tui.model.pools import labels_for
from axiom_tui.model.problem import AxiomError, ProblemKind, fail
from axiom_tui.model.tailnet import TailnetDevice
from axiom_tui.plans import label_files as files
from axiom_tui.plans.hosts import Hosts, Shell
from axiom_tui.plans.label_files import Given, Items
from axiom_tui.plans.step import Json, Run, Step

#: What the whole of it takes without a login, in seconds.
SECONDS = 120.0
_ARGUMENTS = re.compile(r"argv\[\]=(.*?) ; ignore_errors=")


@dataclass(frozen=True, slots=True)
class NodeHost:
    """Where a node's labels are written: ``host`` is what SSH goes to, ``unit`` runs K3s there."""

    host: str
    unit: str
    pool: str

    @classmethod
    def of(cls, node: Node, pool: str, devices: Sequence[TailnetDevice]) -> NodeHost:
        unit = "k3s" if node.is_server else "k3s-agent"
        return cls(address_of(node, devices), unit, pool)


@dataclass(frozen=True, slots=True)
class Login:
    """As whom SSH logs in ("": as ~/.ssh/config says), and the seconds for a login and for one command."""

    user: str
    login_timeout: float
    command_timeout: float


@dataclass(frozen=True, slots=True)
class Persistence:
    """That the labels are to be written on the nodes too, and with what."""

    hosts: Hosts
    devices: tuple[TailnetDevice, ...]
    login: Login


@dataclass(frozen=True, slots=True)
class _Found:
    """What a host has: its configuration files by path, and the arguments of its unit."""

    texts: Mapping[str, str]
    arguments: tuple[str, ...]

    def ours(self) -> dict[str, Items | None]:
        """What our two files say; None for one that is not there."""
        return {
            path: files.items_of(path, self.texts[path]) if path in self.texts else None
            for path in files.PATHS
        }


class PersistLabels(Step):
    """Writes the labels of one node into its K3s configuration, or takes them out of it."""

    interruptible = True

    def __init__(self, hosts: Hosts, naming: NamingScheme, node: str, target: NodeHost, login: Login) -> None:
        self._hosts = hosts
        self._target = target
        self._login = login
        self._shown = naming.display(node)
        self.node = node
        self.key = f"k3s-config/{node}"
        self.deadline = SECONDS + login.login_timeout
        if target.pool:
            self.title = f"Write the labels of {self._shown} into its K3s configuration, for its next start"
        else:
            self.title = f"Take the labels of {self._shown} out of its K3s configuration, for its next start"
        self.commands = self._commands(files.items_for(target.pool))

    def is_done(self, run: Run) -> bool:
        return self._given(self._look(run)).is_as(self._target.pool)

    def run(self, run: Run) -> None:
        found = self._look(run)
        # As it will be: what cannot succeed is said before anything is written.
        texts = self._changed(found.texts, files.aimed(found.ours(), self._target.pool))
        will_be = files.given(texts, found.arguments, self._target.unit)
        if not will_be.is_as(self._target.pool):
            raise self._overruled(will_be)
        before = _recalled(run.remember({"files": _recorded(found.ours())}))
        self._put(run, found.texts, files.aimed(before, self._target.pool))
        for label in will_be.beside():
            run.output(f"warning: {_short(label.key)}={label.value} also comes from {label.where}.")
        run.output(f"K3s on {self._shown} is not restarted: it reads this at its next start.")

    def verify(self, run: Run) -> None:
        given = self._given(self._look(run))
        if not given.is_as(self._target.pool):
            raise self._overruled(given)

    def is_undone(self, run: Run) -> bool:
        if "files" not in run.earlier:
            return True  # it was cut before it changed anything
        earlier = _recalled(run.earlier)
        now = self._look(run).ours()
        return all((now[path] or ()) == (earlier[path] or ()) for path in files.PATHS)

    def undo(self, run: Run) -> None:
        earlier = _recalled(run.earlier)
        written = files.aimed(earlier, self._target.pool)
        found = self._look(run)
        for path, items in found.ours().items():
            if (items or ()) not in (earlier[path] or (), written[path]):
                raise fail(
                    ProblemKind.CONFLICT,
                    f"{path} on {self._shown} was changed since by somebody else: it has "
                    f"{_words(items or ())}. Undo would overwrite that.",
                    f"Put there by hand what was there before: {_words(earlier[path] or ())}.",
                )
        self._put(run, found.texts, {path: items or () for path, items in earlier.items()})

    def undo_commands(self, earlier: Mapping[str, Json]) -> tuple[str, ...]:
        if "files" not in earlier:
            return ()
        before = _recalled(earlier)
        written = files.aimed(before, self._target.pool)
        lines: list[str] = []
        for path in files.PATHS:
            items = before[path] or ()
            if items == written[path]:
                continue
            if path == files.OWN_PATH:
                lines += self._commands(items)[:1]
            else:
                lines.append(f"{self._ssh()} sudoedit {path}  # node-label+: {_words(items)}")
        return tuple(lines)

    def interrupt(self) -> None:
        self._hosts.interrupt()

    def _shell(self, run: Run) -> Shell:
        run.check()  # a login may take long: not for somebody who has cancelled meanwhile
        return self._hosts.shell(self._target.host, self._login.user, run)

    def _look(self, run: Run) -> _Found:
        """What K3s would read on the host at its next start."""
        unit = self._target.unit
        environment = f"/etc/default/{unit} /etc/sysconfig/{unit} /etc/systemd/system/{unit}.service.env"
        script = (
            f"systemctl show --property=ExecStart {unit}\n"
            # Only this line: there may be a token beside it.
            f"grep -hs '^K3S_CONFIG_FILE=' {environment}\n"
            f"for one in {files.CONFIG_FILE} {files.FOLDER}/*.yaml {files.FOLDER}/*.yml; do\n"
            '  if [ -f "$one" ]; then echo "file=$one"; fi\n'
            "done\n"
        )
        shell = self._shell(run)
        title = "look at the configuration of K3s"
        done = shell.run_script(script, deadline=self._at_most(run), sudo=True, title=title)
        self._hosts.mask(run)
        if not done.ok:
            said = readable(done.stderr).splitlines()
            raise fail(
                ProblemKind.BROKEN,
                f"The configuration of K3s on {self._shown} could not be looked at: "
                f"{said[-1].rstrip('.') if said else f'status {done.status}'}.",
                "See to it on the host, then resume this plan from the journal.",
            )
        said = done.text.splitlines()
        arguments = arguments_of(_after("ExecStart=", said))
        self._check_place(arguments, _after("K3S_CONFIG_FILE=", said))
        texts = {}
        for path in _after("file=", said):
            run.check()
            texts[path] = shell.read_file(path).decode(errors="replace")
        return _Found(texts, arguments)

    def _check_place(self, arguments: Sequence[str], named: Sequence[str]) -> None:
        """K3s runs there by this unit, and reads the files that we look at."""
        if not arguments:
            raise fail(
                ProblemKind.ABSENT,
                f"There is no unit {self._target.unit} on {self._shown} ({self._target.host}): nothing there "
                "would read the file.",
                "See how K3s is started there; put the labels into its node-label by hand.",
            )
        for index, word in enumerate(arguments):
            name, mark, value = word.partition("=")
            if name in ("--config", "-config", "-c"):
                named = (value if mark else "".join(arguments[index + 1 : index + 2]), *named)
        for place in (path.strip("\"'") for path in named):
            if place and place != files.CONFIG_FILE:
                raise fail(
                    ProblemKind.MISCONFIGURED,
                    f"K3s on {self._shown} reads {place} and not {files.CONFIG_FILE}: the labels would not "
                    "be found.",
                    f"Put them into the node-label of {place} by hand.",
                )

    def _given(self, found: _Found) -> Given:
        return files.given(found.texts, found.arguments, self._target.unit)

    def _changed(self, texts: Mapping[str, str], wanted: Mapping[str, Items]) -> dict[str, str]:
        """The files of the host as they will be."""
        changed = dict(texts)
        for path, items in wanted.items():
            text = files.with_items(path, texts.get(path), items)
            if text is None:
                changed.pop(path, None)
            else:
                changed[path] = text
        return changed

    def _put(self, run: Run, texts: Mapping[str, str], wanted: Mapping[str, Items]) -> None:
        """Bring our files to what is wanted; each is replaced as a whole or not at all."""
        shell = self._shell(run)
        changed = self._changed(texts, wanted)
        for path, items in wanted.items():
            if changed.get(path) == texts.get(path):
                continue
            run.check()
            if path not in changed:
                done = shell.sudo(f"rm -f {path}", deadline=self._at_most(run), title=f"rm {path}")
                if not done.ok:
                    said = readable(done.stderr) or f"status {done.status}"
                    raise fail(
                        ProblemKind.BROKEN,
                        f"{path} on {self._shown} could not be removed: {said}.",
                        "See to it on the host, then resume this plan from the journal.",
                    )
                run.output(f"{path}: removed")
                continue
            before = shell.stat_file(path)
            mode, owner = (before.mode, before.owner) if before else (files.MODE, "root:root")
            shell.write_file(path, changed[path].encode(), mode=mode, owner=owner)
            run.output(f"{path}: {_words(items)}")

    def _overruled(self, given: Given) -> AxiomError:
        """Something else on the host decides."""
        against = given.against(self._target.pool)
        remedy = "then resume this plan from the journal. The labels hold in the cluster until K3s starts."
        if against:
            where = against[0].where
            said = ", ".join(f"{_short(item.key)}={item.value}" for item in against if item.where == where)
            return fail(
                ProblemKind.BROKEN,
                f"K3s on {self._shown} takes {said} from {where} at its next start, whatever our file says.",
                f"Take it out there on the host, {remedy}",
            )
        return fail(
            ProblemKind.BROKEN,
            f"K3s on {self._shown} takes its labels from {given.replaced_by or 'another file'}, which "
            "replaces those of our file.",
            f"Write {_words(files.items_for(self._target.pool))} there, {remedy}",
        )

    def _at_most(self, run: Run) -> float:
        return max(1.0, min(self._login.command_timeout, run.remaining))

    def _ssh(self) -> str:
        user = f"{self._login.user}@" if self._login.user else ""
        return f"ssh -t {user}{self._target.host}"

    def _commands(self, items: Items) -> tuple[str, ...]:
        """How a person would do it, where no other file of ours has the labels."""
        ssh = self._ssh()
        if not items:
            return (f"{ssh} sudo rm -f {files.OWN_PATH}", f"{ssh} sudoedit {files.JOIN_PATH}  # node-label+")
        lines = "".join(f"  - {item}\\n" for item in items)
        put = f"sudo install -D -m {files.MODE:04o} /dev/stdin {files.OWN_PATH}"
        return (f"{ssh} \"printf 'node-label+:\\n{lines}' | {put}\"",)


def address_of(node: Node, devices: Sequence[TailnetDevice]) -> str:
    """Where SSH goes: the node's address in the tailnet, by which its host key is vouched for."""
    for device in devices:
        if set(device.addresses) & set(node.internal_ips):
            return device.ipv4 or device.addresses[0]
    for device in devices:
        if device.folded_name == node.name and device.ipv4:
            return device.ipv4
    return next(iter(node.internal_ips), node.name)


def needs_host(node: Node, pool: str, changes: bool) -> bool:
    """Whether there is anything to write for it: nodes that are to have no labels mostly have none there."""
    return bool(pool) or changes or bool(files.configured(node))


def may_not_be_reached(shown: str) -> str:
    return (
        f"warning: {shown} is not Ready: if SSH does not reach it, the plan stops at its configuration, "
        "with all else done"
    )


def said_by_k3s(shown: str, node: Node, pool: str) -> str:
    """What K3s will do to these labels at its next start, if nobody tells it otherwise; "" for nothing."""
    wanted = labels_for(pool)
    found = {key: value for key, value in files.configured(node).items() if wanted[key] != value}
    if not found:
        return ""
    again = _words(tuple(f"{key}={value}" for key, value in found.items()))
    return (
        f"warning: {shown}: K3s sets {again} again at its next start, by its own configuration there: "
        "have the labels written into that too (--persist)"
    )


def persist_steps(
    hosts: Hosts, naming: NamingScheme, targets: Mapping[str, NodeHost], login: Login
) -> tuple[PersistLabels, ...]:
    return tuple(PersistLabels(hosts, naming, node, target, login) for node, target in targets.items())


def recorded(targets: Mapping[str, NodeHost], login: Login) -> dict[str, Json]:
    """For the journal."""
    return {
        "user": login.user,
        "login_timeout": login.login_timeout,
        "command_timeout": login.command_timeout,
        "nodes": {
            node: {"host": target.host, "unit": target.unit, "pool": target.pool}
            for node, target in targets.items()
        },
    }


def recalled(choice: Mapping[str, Json]) -> tuple[dict[str, NodeHost], Login]:
    """From the journal."""
    nodes = cast(Mapping[str, Mapping[str, str]], choice["nodes"])
    targets = {name: NodeHost(found["host"], found["unit"], found["pool"]) for name, found in nodes.items()}
    seconds = [float(cast(float, choice[name])) for name in ("login_timeout", "command_timeout")]
    return targets, Login(str(choice["user"]), *seconds)


def _recorded(items: Mapping[str, Items | None]) -> dict[str, Json]:
    return {path: None if found is None else list(found) for path, found in items.items()}


def _recalled(earlier: Mapping[str, Json]) -> dict[str, Items | None]:
    """What our files said before, by the journal."""
    found = cast(Mapping[str, Sequence[str] | None], earlier["files"])
    return {path: None if (items := found[path]) is None else tuple(items) for path in files.PATHS}


def _after(beginning: str, lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(line.removeprefix(beginning) for line in lines if line.startswith(beginning))


def arguments_of(shown: Sequence[str]) -> tuple[str, ...]:
    """The words of ExecStart as ``systemctl show`` writes it:
    ``{ path=… ; argv[]=… ; ignore_errors=no ; … }``.

    Quotes are gone there on most versions of systemd, so words are taken apart at spaces alone.
    """
    words: list[str] = []
    for text in shown:
        match = _ARGUMENTS.search(text)
        words += [word.strip("\"'") for word in (match[1] if match else text).split()]
    return tuple(words)


def _short(key: str) -> str:
    return key.rpartition("/")[2]


def _words(items: Items) -> str:
    return ", ".join(map(_short, items)) or "no load-balancer labels"
