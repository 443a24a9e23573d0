"""Reads the settings file: YAML with positions into typed values, and each mistake into one sentence.

The types of the dataclasses in `config` are the schema, `config_checks` holds what a type cannot say.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

import yaml

from axiom_tui.config import (
    NOT_PER_CONTEXT,
    Loaded,
    Origin,
    SecretReference,
    Settings,
    contradictions,
    misconfigured,
)
from axiom_tui.config_checks import check
from axiom_tui.config_values import convert, expected, listed, tilde
from axiom_tui.model.masking import looks_secret, looks_secret_for_a_path, mask
from axiom_tui.model.naming import fold
from axiom_tui.model.problem import AxiomError, Problem

LARGEST_FILE = 1_000_000  # bytes; a settings file has some thousand

#: Mappings whose keys are node names, so that ``WALL-A-3`` and ``wall-a-3`` are one.
_KEYED_BY_NODE = frozenset({"places", "pools.overrides"})


class Mistakes(AxiomError):
    """All that is wrong in a settings file, in the order in which it is read; it says the first."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        first, *more = problems
        if more:
            first = dataclasses.replace(first, remedy=f"`axiom-tui config check` tells {len(more)} more.")
        super().__init__(first)
        self.problems = problems


def read_file(path: Path) -> Loaded:
    """Read and check one settings file. Raises AxiomError (MISCONFIGURED), never anything else; for what
    stands in the file it is `Mistakes`."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise misconfigured(f"The settings file {tilde(path)} cannot be read: {reason}.") from error
    except ValueError as error:  # a NUL in the name
        raise misconfigured("The settings file's name is not a file name.") from error
    if len(content) > LARGEST_FILE:
        raise misconfigured(f"The settings file {tilde(path)} is larger than 1 MB, so it cannot be one.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise misconfigured(f"{tilde(path)}, line {line}: this is not UTF-8 text.") from error
    return read_text(text, path)


def read_text(text: str, path: Path) -> Loaded:
    """Read and check settings; ``path`` names the file in sentences and anchors relative paths."""
    return _Reader(path).read(text)


@dataclasses.dataclass(frozen=True, slots=True)
class _Key:
    """A place in the file: as it is said to a person, and as the schema knows it.

    ``contexts.prod.pools.overrides.wall-a-3`` is ``pools.overrides.*`` to the schema.
    """

    said: str = ""
    schema: str = ""

    def child(self, name: str) -> _Key:
        return _Key(_dotted(self.said, name), _dotted(self.schema, name))

    def item(self, name: str) -> _Key:
        """One of many in a list or map."""
        return _Key(_dotted(self.said, name), _dotted(self.schema, "*"))

    @property
    def in_context(self) -> bool:
        return self.said != self.schema and self.said.startswith("contexts.")


_TOP = _Key()


def _dotted(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


class _Reader:
    """One reading of one file; ``origins`` collects where each value came from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.origins: dict[str, Origin] = {}
        self.mistakes: dict[str, Problem] = {}  # by their sentences: each is said once

    def read(self, text: str) -> Loaded:
        try:
            loaded = self._loaded(text)
        except AxiomError as error:
            self._note(error)
        if self.mistakes:
            raise Mistakes(tuple(self.mistakes.values()))
        return loaded

    def _note(self, error: AxiomError) -> None:
        """A mistake after which the rest of the file can still be read."""
        self.mistakes.setdefault(error.problem.sentence, error.problem)

    def _loaded(self, text: str) -> Loaded:
        root = self._compose(text)
        if root is None or _is_null(root):
            return Loaded(path=self.path)
        if not isinstance(root, yaml.MappingNode):
            self._refuse(root, f"expected settings as 'key: value' lines, found {_describe(root)}")
        # The contexts are read last: each is the whole settings with a few keys laid over.
        contexts = [item for item in root.value if _key(item[0]) == "contexts"]
        self._keys(root, _TOP, _names(Settings))
        root.value = [item for item in root.value if _key(item[0]) != "contexts"]
        settings = typing.cast(Settings, self._dataclass(root, Settings, _TOP, Settings()))
        self._check_together(settings, _TOP, root)
        if contexts:
            key_node, node = contexts[0]
            settings = dataclasses.replace(settings, contexts=self._contexts(node, settings))
            self._found(key_node, _Key("contexts", "contexts"))
        return Loaded(settings, self.origins, self.path)

    def _compose(self, text: str) -> yaml.Node | None:
        try:
            return yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            problem, context = error.problem or "the text cannot be read", error.context or ""
            # "expected a single document" + "but found another"
            what = " ".join((f"{context}, {problem}" if problem.startswith("but") else problem).split())
            if "'\\t'" in what or "tab" in what or _has_tab_indent(text, line):
                what = "there is a tab; YAML is indented by spaces"
            raise self._error(line, _TOP, f"this is not YAML: {mask(what)}") from error
        except yaml.YAMLError as error:
            what = "the text holds a character that YAML does not allow"
            line = 1
            if isinstance(error, yaml.reader.ReaderError):
                line = text[: error.position].count("\n") + 1
            raise self._error(line, _TOP, f"this is not YAML: {what}") from error
        except RecursionError as error:
            raise self._error(1, _TOP, "the settings are nested too deeply") from error

    def _contexts(self, node: yaml.Node, base: Settings) -> Mapping[str, Settings]:
        contexts: dict[str, Settings] = {}
        for key_node, value in self._items(node, _Key("contexts", "contexts")):
            name = _key(key_node)
            key = _Key(f"contexts.{name}", "")
            own = typing.cast(Settings, self._dataclass(value, Settings, key, base))
            self._check_together(own, key, value)
            contexts[name] = own
        return contexts

    def _check_together(self, settings: Settings, place: _Key, node: yaml.Node) -> None:
        if self.mistakes:
            return  # some values are not those of the file
        for name, what in contradictions(settings):
            key = place.child(name)
            lines = [origin.line for found, origin in self.origins.items() if _related(found, key.said)]
            raise self._error(max(lines, default=_line(node)), key, what)

    def _dataclass(self, node: yaml.Node, kind: type[Any], key: _Key, base: Any) -> Any:
        """A section; what it leaves out stays as in ``base`` (or as the class has it)."""
        hints = typing.get_type_hints(kind)
        values: dict[str, Any] = {}
        self._keys(node, key, _names(kind))
        for key_node, value in self._items(node, key):
            name = _key(key_node)
            if name not in hints:
                continue  # said by then
            full = key.child(name)
            default = getattr(base, name) if base is not None else None
            values[name] = default
            try:
                if full.in_context and full.schema in NOT_PER_CONTEXT:
                    where = f"set {full.schema} at the top"
                    self._refuse(key_node, f"this cannot differ by context; {where}", full)
                values[name] = self._value(value, hints[name], full, default)
            except AxiomError as error:
                self._note(error)
            if not _is_section(hints[name]) and "*" not in full.schema:
                self._found(key_node, full)
        if base is not None:
            return dataclasses.replace(base, **values)
        missing = [
            item.name for item in dataclasses.fields(kind) if _is_required(item) and item.name not in values
        ]
        if missing:
            self._refuse(node, f"{listed(missing)} {'is' if len(missing) == 1 else 'are'} missing here", key)
        return kind(**values)

    def _value(self, node: yaml.Node, kind: Any, key: _Key, default: Any) -> Any:
        origin = typing.get_origin(kind)
        arguments = typing.get_args(kind)
        if _is_section(kind):
            return self._dataclass(node, kind, key, default)
        if origin is types.UnionType:
            if _is_null(node):
                return None
            (kind,) = (item for item in arguments if item is not types.NoneType)
            return self._value(node, kind, key, default)
        if origin is tuple:
            return self._list(node, arguments[0], key)
        if origin is Mapping:
            return self._mapping(node, arguments[1], key)
        value = self._scalar(node, kind, key)
        if wanted := check(key.schema, value):
            self._refuse(node, f"expected {wanted}, found {_describe(node)}", key)
        return value

    def _list(self, node: yaml.Node, kind: Any, key: _Key) -> tuple[Any, ...]:
        if _is_null(node):
            return ()
        if not isinstance(node, yaml.SequenceNode):
            # A single file or tag where a list may stand is clear enough.
            if isinstance(node, yaml.ScalarNode) and kind in (str, Path):
                return (self._value(node, kind, key.item("1"), None),)
            self._refuse(node, f"expected a list, found {_describe(node)}", key)
        return tuple(
            self._value(item, kind, key.item(str(number)), None) for number, item in enumerate(node.value, 1)
        )

    def _mapping(self, node: yaml.Node, kind: Any, key: _Key) -> Mapping[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value in self._items(node, key):
            name = _key(key_node)
            self._no_secret(key_node, name, key)
            if key.schema in _KEYED_BY_NODE:
                name = fold(name)
                if name in values:
                    self._refuse(key_node, f"the node {name} stands there twice (case does not count)", key)
            values[name] = self._value(value, kind, key.item(name), None)
        return values

    def _items(self, node: yaml.Node, key: _Key) -> list[tuple[yaml.Node, yaml.Node]]:
        """The pairs of a mapping, no key twice; a section with nothing under it has none."""
        if _is_null(node):
            return []
        if not isinstance(node, yaml.MappingNode):
            self._refuse(node, f"expected 'key: value' lines, found {_describe(node)}", key)
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(key_node, f"a key is a word, found {_describe(key_node)}", key)
            name = _key(key_node)
            if name in seen:
                self._refuse(
                    key_node, f"the key stands there twice, first in line {seen[name]}", key.child(name)
                )
            seen[name] = _line(key_node)
        return list(node.value)

    def _keys(self, node: yaml.Node, key: _Key, known: list[str]) -> None:
        for key_node, value in self._items(node, key):
            name = _key(key_node)
            if name not in known:
                self._note(self._unknown(key_node, value, name, key, known))

    def _unknown(
        self, node: yaml.Node, value: yaml.Node, name: str, key: _Key, known: list[str]
    ) -> AxiomError:
        full = key.child(mask(name))
        hint = _nearest(name, key.schema, known)
        if _names_a_secret(name) and isinstance(value, yaml.ScalarNode) and not _is_null(value):
            hint = f"and a secret does not belong into this file; {hint}"
            return self._error(_line(node), full, f"unknown key, {hint}")
        return self._error(_line(node), full, f"unknown key; {hint}")

    def _scalar(self, node: yaml.Node, kind: Any, key: _Key) -> Any:
        wanted = expected(kind)
        if not isinstance(node, yaml.ScalarNode):
            self._refuse(node, f"expected {wanted}, found {_describe(node)}", key)
        text = str(node.value)
        if isinstance(kind, type) and (issubclass(kind, (StrEnum, str, Path)) or kind is SecretReference):
            self._no_secret(node, text, key, path=kind in (Path, SecretReference))
        value = convert(node, text, kind, self.path)
        if value is None:
            nearest = ""
            if isinstance(kind, type) and issubclass(kind, StrEnum):
                close = difflib.get_close_matches(text, list(kind), 1)
                nearest = f" (did you mean {close[0]}?)" if close else ""
            self._refuse(node, f"expected {wanted}, found {_describe(node)}{nearest}", key)
        return value

    def _no_secret(self, node: yaml.Node, text: str, key: _Key, *, path: bool = False) -> None:
        if looks_secret_for_a_path(text) if path else looks_secret(text):
            where = "the path of a file that holds it" if path else "no secret in this file"
            self._refuse(node, f"this looks like a secret itself; expected {where} (mode 0600)", key)

    def _found(self, node: yaml.Node, key: _Key) -> None:
        line = _line(node)
        self.origins[key.said] = Origin(f"{tilde(self.path)}:{line}", line)

    def _refuse(self, node: yaml.Node, what: str, key: _Key = _TOP) -> NoReturn:
        raise self._error(_line(node), key, what)

    def _error(self, line: int, key: _Key, what: str) -> AxiomError:
        named = f"{_clean(key.said)}: " if key.said else ""
        return misconfigured(f"{tilde(self.path)}, line {line}: {named}{what}.")


def _describe(node: yaml.Node) -> str:
    """What was found, short, and masked if it looks like a secret."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if _is_null(node):
        return "nothing"
    text = _clean(mask(str(node.value)))
    return f'"{text}"'


def _clean(text: str) -> str:
    """One printable line of at most 60 characters."""
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _nearest(name: str, key: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name.lower().replace("-", "_"), list(known), 1)
    if close:
        return f"the nearest known key is {_dotted(key, close[0])}"
    elsewhere = [full for full in all_keys(Settings) if full.rsplit(".", 1)[-1] == name]
    if elsewhere:
        return f"the nearest known key is {elsewhere[0]}"
    return f"known here are {listed(known)}"


def all_keys(kind: type[Any], prefix: str = "") -> Iterable[str]:
    """Every key of the settings file, dotted; maps and lists are one key."""
    hints = typing.get_type_hints(kind)
    for item in dataclasses.fields(kind):
        full = f"{prefix}{item.name}"
        hint = hints[item.name]
        if _is_section(hint):
            yield from all_keys(hint, f"{full}.")
        else:
            yield full


def _names_a_secret(name: str) -> bool:
    return bool(
        re.search(r"token|secret|password|passwd|auth_?key|access_?key|credential", name, re.IGNORECASE)
    )


def _is_section(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind) and kind is not SecretReference


def _names(kind: type[Any]) -> list[str]:
    return [item.name for item in dataclasses.fields(kind)]


def _related(name: str, key: str) -> bool:
    return name == key or name.startswith(f"{key}.")


def _is_required(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _key(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _has_tab_indent(text: str, line: int) -> bool:
    lines = text.split("\n")
    return any(re.match(r" *\t", item) for item in lines[max(0, line - 2) : line])
