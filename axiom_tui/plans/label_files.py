"""The load-balancer labels in K3s' configuration files: what K3s takes from them, how they get in and out.

K3s reads ``config.yaml``, then ``config.yaml.d/*.yaml`` and ``*.yml`` by name. A later ``node-label``
replaces all that came before, ``node-label+`` appends, and a ``--node-label`` of the command line replaces
the lists of all files. Of two labels with the same key the last one counts (facts: k3s-and-backups.md, 1.4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from axiom_tui.model.details import k3s_flags
from axiom_tui.model.node import Node
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL, labels_for
from axiom_tui.model.problem import AxiomError, ProblemKind, fail
from axiom_tui.plans.join_files import CONFIG_PATH, K3S_FOLDER

KEYS = (ENABLE_LABEL, POOL_LABEL)
CONFIG_FILE = f"{K3S_FOLDER}/config.yaml"
FOLDER = f"{CONFIG_FILE}.d"
#: What a join writes, with the labels among all else.
JOIN_PATH = CONFIG_PATH
#: For nodes that were not joined by this program. By its name it comes after most files, so that it wins.
OWN_PATH = f"{FOLDER}/90-axiom-labels.yaml"
#: Which of our files hold the labels: that of the join if it has them already, else the other.
PATHS = (JOIN_PATH, OWN_PATH)
MODE = 0o600

_HEAD = "# Written by axiom-tui: the load-balancer labels of this node. K3s reads this file at each start.\n"
_LISTS = ("node-label", "node-label+")
_KEY = "|".join(re.escape(key) for key in KEYS)
_ITEM = re.compile(rf"""\s*-\s+(["']?)({_KEY})(=[-\w.]*)?\1\s*(#.*)?""", re.ASCII)
_ANY_ITEM = re.compile(r"(\s*)-(\s.*)?")
_LIST_BEGINS = re.compile(r"""(["']?)node-label(\+?)\1:\s*(#.*)?""")

#: ``key=value`` of our keys, in their order.
Items = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Label:
    """One label that K3s is given, and by what."""

    key: str
    value: str
    where: str


@dataclass(frozen=True, slots=True)
class Given:
    """The labels with our keys that K3s takes at its next start, in their order, and what replaced others."""

    labels: tuple[Label, ...]
    replaced_by: str = ""

    @property
    def effective(self) -> dict[str, str]:
        """What comes out of it on the node."""
        return {label.key: label.value for label in self.labels}

    def is_as(self, pool: str) -> bool:
        return self.effective == {key: value for key, value in labels_for(pool).items() if value is not None}

    def against(self, pool: str) -> tuple[Label, ...]:
        """The labels that stand in the way of this pool: they win, and say something else."""
        wanted = labels_for(pool)
        last = {label.key: label for label in self.labels}
        return tuple(label for label in last.values() if label.value != wanted[label.key])

    def beside(self) -> tuple[Label, ...]:
        """The labels that do not come from our files."""
        return tuple(label for label in self.labels if label.where not in PATHS)


def given(texts: Mapping[str, str], arguments: Sequence[str], unit: str) -> Given:
    """What K3s takes from its files (in whatever order they are given here) and from its command line.

    Raises BROKEN for a file that is no YAML.
    """
    labels: list[Label] = []
    replaced_by = ""
    for path in sorted(texts, key=str.encode):  # which puts the main file before those of its folder
        for name, items in _lists(path, texts[path]):
            if name == "node-label":
                labels, replaced_by = [], path
            labels += [Label(*_parted(item), path) for item in items if _parted(item)[0] in KEYS]
    own = node_labels_of(arguments)
    if own:
        labels = [Label(*_parted(item), f"the arguments of {unit}") for item in own]
        labels, replaced_by = [item for item in labels if item.key in KEYS], f"the arguments of {unit}"
    return Given(tuple(labels), replaced_by)


def node_labels_of(arguments: Sequence[str]) -> list[str]:
    """The values of ``--node-label`` of a command line."""
    found: list[str] = []
    words = list(arguments)
    for index, word in enumerate(words):
        name, mark, value = word.partition("=")
        if name not in ("--node-label", "-node-label"):
            continue
        text = value if mark else "".join(words[index + 1 : index + 2])
        found += [part for part in text.split(",") if part]
    return found


def configured(node: Node) -> dict[str, str]:
    """The labels that K3s was given when it last started there, as it told the cluster itself."""
    words = [word for flag in k3s_flags(node) for word in flag.split(" ")]
    found = dict(_parted(item) for item in node_labels_of(words))
    return {key: found[key] for key in KEYS if key in found}


def items_for(pool: str) -> Items:
    return tuple(f"{key}={value}" for key, value in labels_for(pool).items() if value is not None)


def items_of(path: str, text: str | None) -> Items:
    """What a file says about our labels. Raises BROKEN if it is no YAML."""
    if text is None:
        return ()
    return tuple(item for _, items in _lists(path, text) for item in items if _parted(item)[0] in KEYS)


def aimed(earlier: Mapping[str, Items | None], pool: str) -> dict[str, Items]:
    """What each of our files should say, from what they said before: one home for the labels."""
    home = JOIN_PATH if earlier.get(JOIN_PATH) else OWN_PATH
    return {path: items_for(pool) if path == home else () for path in PATHS}


def with_items(path: str, text: str | None, items: Items) -> str | None:
    """The file with these labels instead of those that it has; None if there should be none.

    Lines of others stay as they are, to the byte. Raises BROKEN where that cannot be done.
    """
    if items_of(path, text) == items:
        return text
    lines = (text or _HEAD).splitlines()
    at = next((index for index, line in enumerate(lines) if _ITEM.fullmatch(line)), None)
    indent = "  "
    if at is not None:
        indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        # Those before the first are none of ours, so it stays where it is when ours are taken out.
        lines = [line for line in lines if not _ITEM.fullmatch(line)]
    elif items:
        at = _end_of_list(lines)
        if at is None and "node-label+" in _loaded(path, text or ""):
            raise _unfit(path, items)  # it is there, but in braces or on one line
        if at is None:
            lines.append("node-label+:")
            at = len(lines)
        elif (before := _ANY_ITEM.fullmatch(lines[at - 1])) is not None:
            indent = before[1]
    if at is not None:
        lines[at:at] = [f'{indent}- "{item}"' for item in items]
    lines = _without_empty_lists(lines)
    if path == OWN_PATH and all(not line.strip() or line.lstrip().startswith("#") for line in lines):
        return None
    changed = "".join(f"{line}\n" for line in lines)
    _check(path, text or "", changed, items)
    return changed


def _end_of_list(lines: Sequence[str]) -> int | None:
    """Behind the last item of the list that appends, None if there is no such list in block form."""
    for index, line in enumerate(lines):
        begins = _LIST_BEGINS.fullmatch(line)
        if begins is None or not begins[2]:
            continue
        end = index + 1
        while end < len(lines) and _ANY_ITEM.fullmatch(lines[end]):
            end += 1
        return end
    return None


def _without_empty_lists(lines: Sequence[str]) -> list[str]:
    """K3s would take a list without items as one empty label."""
    kept = []
    for index, line in enumerate(lines):
        if _LIST_BEGINS.fullmatch(line):
            rest = (item for item in lines[index + 1 :] if item.strip() and not item.lstrip().startswith("#"))
            if _ANY_ITEM.fullmatch(next(rest, "")) is None:
                continue
        kept.append(line)
    return kept


def _check(path: str, before: str, after: str, items: Items) -> None:
    """The edit did what it should, and nothing else."""
    others = _others(path, before)
    try:
        if items_of(path, after) == items and _others(path, after) == others:
            return
    except AxiomError:
        pass  # it came out as no YAML at all, such as lines behind a mapping in braces
    raise _unfit(path, items)


def _unfit(path: str, items: Items) -> AxiomError:
    return fail(
        ProblemKind.BROKEN,
        f"{path} is written in a way that this program cannot change without harm.",
        f"Put the node's labels there by hand: {', '.join(items) or 'none of the load balancer'}.",
    )


def _others(path: str, text: str) -> dict[str, object]:
    """All of a file but our labels."""
    found = _loaded(path, text)
    for name in _LISTS:
        items = _texts(found.pop(name, None))
        kept = [item for item in items if _parted(item)[0] not in KEYS]
        # A list that does not append also throws away what came before it: it must not go unnoticed.
        if kept or (items and name == "node-label"):
            found[name] = kept
    return found


def _lists(path: str, text: str) -> list[tuple[str, list[str]]]:
    """The lists of labels of one file, in their order."""
    found = _loaded(path, text)
    return [(name, _texts(value)) for name, value in found.items() if name in _LISTS]


def _loaded(path: str, text: str) -> dict[str, object]:
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        # Not a word of the file itself: there may be a token in it.
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise _no_yaml(path, where) from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _no_yaml(path, "")
    return {str(key): value for key, value in found.items()}


def _no_yaml(path: str, where: str) -> AxiomError:
    return fail(
        ProblemKind.BROKEN,
        f"{path} is no configuration in YAML{where}: K3s would not start with it.",
        "Mend the file, then resume this plan from the journal.",
    )


def _texts(value: object) -> list[str]:
    """A list of labels as K3s reads it: a single one may hold several, with commas between them."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [part for item in values for part in str(item).split(",")]


def _parted(item: str) -> tuple[str, str]:
    key, _, value = item.partition("=")
    return key, value
