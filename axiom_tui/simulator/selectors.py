"""Label and field selectors, with the grammar and the complaints of k8s.io/apimachinery."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from axiom_tui.simulator import statuses
from axiom_tui.simulator.names import label_key_problems, label_value_problems
from axiom_tui.simulator.resources import Resource
from axiom_tui.simulator.statuses import Json

_SPECIAL = "=!(),><"
_OPERATORS = ("(", ")", ",", "!", "==", "=", ">", "<", "!=")
_BINARY = ("in", "notin", "=", "==", "!=", ">", "<")
_BINARY_SAID = "in, notin, =, ==, !=, gt, lt"
Matcher = Callable[[Mapping[str, str]], bool]


def everything(_: Mapping[str, str]) -> bool:
    return True


@dataclass(frozen=True)
class Requirement:
    """``key operator values``; operator is one of exists, !, in, notin, =, ==, !=, >, <."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "in" | "=" | "==":
                return value in self.values
            case "notin" | "!=":
                return value is None or value not in self.values
            case ">":
                return _number(value) > _number(self.values[0]) if _is_number(value) else False
            case _:
                return _number(value) < _number(self.values[0]) if _is_number(value) else False


def parse_labels(text: str) -> Matcher:
    """Read a label selector; raises the API's 400 with its word-for-word complaint."""
    try:
        requirements = _Parser(text).parse()
    except _SyntaxError as error:
        raise statuses.bad_request(str(error)) from error
    if not requirements:
        return everything
    return lambda labels: all(one.matches(labels) for one in requirements)


def parse_fields(text: str, resource: Resource) -> Matcher:
    """Read a field selector (``a=b,c!=d``); raises 400 for a field that the resource cannot select by."""
    wanted: list[tuple[str, bool, str]] = []
    for part in filter(None, text.split(",")):
        for operator in ("!=", "==", "="):
            name, found, value = part.partition(operator)
            if found:
                break
        else:
            raise statuses.bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        if name not in ("metadata.name", "metadata.namespace") and name not in resource.selectable:
            raise statuses.bad_request(_unknown_field(name, resource))
        if resource.converted_from:
            name = resource.selectable.get(name, name)
        wanted.append((name, operator != "!=", value))
    if not wanted:
        return everything
    return lambda fields: all((fields.get(name, "") == value) == equal for name, equal, value in wanted)


def matches_label_selector(selector: Json | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector object (matchLabels, matchExpressions) selects; none selects nothing."""
    if selector is None:
        return False
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    names = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
    return all(
        Requirement(one["key"], names[one["operator"]], tuple(one.get("values") or ())).matches(labels)
        for one in selector.get("matchExpressions") or []
    )


def _unknown_field(name: str, resource: Resource) -> str:
    if resource.selectable:
        return f"field label not supported: {name}"
    return f'"{name}" is not a known field selector: only "metadata.name", "metadata.namespace"'


class _SyntaxError(Exception):
    pass


class _Parser:
    """The hand-written parser of apimachinery's labels package, so that its errors come out the same."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0

    def parse(self) -> list[Requirement]:
        requirements: list[Requirement] = []
        while True:
            kind, literal = self._look()
            if kind == "end":
                return requirements
            if kind not in ("word", "!"):
                raise _SyntaxError(f"found '{literal}', expected: !, identifier, or 'end of string'")
            try:
                requirements.append(self._requirement())
            except _SyntaxError as error:
                raise _SyntaxError(f"unable to parse requirement: {error}") from error
            kind, literal = self._take()
            if kind == "end":
                return requirements
            if kind != ",":
                raise _SyntaxError(f"found '{literal}', expected: ',' or 'end of string'")
            kind, literal = self._look()
            if kind not in ("word", "!"):
                raise _SyntaxError(f"found '{literal}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        kind, key = self._take()
        absent = kind == "!"
        if absent:
            kind, key = self._take()
        if kind != "word":
            raise _SyntaxError(f"found '{key}', expected: identifier")
        problems = label_key_problems(key)
        if problems:
            raise _SyntaxError(f'key: Invalid value: "{key}": {"; ".join(problems)}')
        if absent:
            return Requirement(key, "!")
        if self._look()[0] in ("end", ","):
            return Requirement(key, "exists")
        operator = self._take()[1]
        if operator not in _BINARY:
            raise _SyntaxError(f"found '{operator}', expected: {_BINARY_SAID}")
        values = self._values() if operator in ("in", "notin") else self._exact_value()
        if operator in (">", "<") and not _is_number(values[0]):
            raise _SyntaxError(
                f'values[0]: Invalid value: "{values[0]}": '
                "for 'Gt', 'Lt' operators, the value must be an integer"
            )
        for position, value in enumerate(values):
            problems = label_value_problems(value)
            if problems:
                said = "; ".join(problems)
                raise _SyntaxError(f'values[{position}][{key}]: Invalid value: "{value}": {said}')
        return Requirement(key, operator, values)

    def _exact_value(self) -> tuple[str, ...]:
        if self._look()[0] in ("end", ","):
            return ("",)
        kind, literal = self._take()
        if kind != "word":
            raise _SyntaxError(f"found '{literal}', expected: identifier")
        return (literal,)

    def _values(self) -> tuple[str, ...]:
        kind, literal = self._take()
        if kind != "(":
            raise _SyntaxError(f"found '{literal}' expected: '('")
        values: list[str] = []
        while True:
            kind, literal = self._take()
            if kind == "word":
                values.append(literal)
                kind, literal = self._look()
                if kind not in (",", ")"):
                    raise _SyntaxError(f"found '{literal}', expected: ',' or ')'")
            elif kind == ",":
                following = self._look()[0]
                if not values or following in (",", ")"):
                    values.append("")  # "(,", ",," and ",)" name the empty value
            elif kind == ")":
                break
            else:
                raise _SyntaxError(f"found '{literal}', expected: ',', or identifier")
        if not values:
            raise _SyntaxError(
                "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
            )
        return tuple(sorted(set(values)))

    def _look(self) -> tuple[str, str]:
        return self._tokens[min(self._at, len(self._tokens) - 1)]

    def _take(self) -> tuple[str, str]:
        token = self._look()
        self._at += 1
        return token


def _tokens(text: str) -> list[tuple[str, str]]:
    """Pairs of kind and literal; the kind of an operator is itself, of a name ``word``, at last ``end``."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        start = at
        if text[at] in _SPECIAL:
            at += 2 if text[at : at + 2] in _OPERATORS else 1
            tokens.append((text[start:at], text[start:at]))
            continue
        while at < len(text) and text[at] not in _SPECIAL and not text[at].isspace():
            at += 1
        tokens.append(("word", text[start:at]))
    tokens.append(("end", ""))
    return tokens


def _is_number(value: str | None) -> bool:
    return value is not None and value.lstrip("-").isdigit()


def _number(value: str | None) -> int:
    return int(value or 0)
