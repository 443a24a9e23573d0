"""Expansions of the simulated sh: parameters, commands, arithmetic, fields, and patterns of file names."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from axiom_tui.simulator.hosts.lexer import NAME
from axiom_tui.simulator.hosts.syntax import Arithmetic, Parameter, Part, Substitution, Text, Word

if TYPE_CHECKING:
    from axiom_tui.simulator.hosts.shell import Shell

#: A piece of a field: its text, whether it is quoted, and whether it came out of an expansion.
Piece = tuple[str, bool, bool]


class ExpansionProblem(Exception):
    """An expansion that cannot be made; it ends the shell."""


def expand_words(shell: Shell, words: Iterable[Word]) -> list[str]:
    """Words as a command gets them: split into fields, file names filled in."""
    fields: list[str] = []
    for word in words:
        for pieces in split_fields(_expand(shell, word), shell.variables.get("IFS", " \t\n")):
            found = _file_names(shell, pieces) if "f" not in shell.options else []
            fields += found or ["".join(text for text, _, _ in pieces)]
    return fields


def expand_text(shell: Shell, word: Word) -> str:
    """A word as one text: for assignments, redirections and ``case``."""
    return " ".join("".join(text for text, _, _ in field) for field in _expand(shell, word))


def expand_pattern(shell: Shell, word: Word) -> re.Pattern[str]:
    """A word as a pattern, in which what is quoted stands for itself."""
    return pattern(piece for field in _expand(shell, word) for piece in field)


def pattern(pieces: Iterable[Piece]) -> re.Pattern[str]:
    """``*``, ``?`` and ``[...]`` as a regular expression."""
    marked = [(character, quoted) for text, quoted, _ in pieces for character in text]
    result, index = "", 0
    while index < len(marked):
        character, quoted = marked[index]
        index += 1
        if not quoted and character == "*":
            result += ".*"
        elif not quoted and character == "?":
            result += "."
        elif not quoted and character == "[" and (found := _bracket(marked, index)):
            expression, index = found
            result += expression
        elif not quoted and character == "\\" and index < len(marked):
            result += re.escape(marked[index][0])
            index += 1
        else:
            result += re.escape(character)
    return re.compile(result, re.DOTALL)


def _bracket(marked: Sequence[tuple[str, bool]], start: int) -> tuple[str, int] | None:
    """A bracket expression whose ``[`` stands before ``start``, and where it ends."""
    index = start
    negated = index < len(marked) and marked[index][0] in "!^"
    index += negated
    members, first = "", True
    while index < len(marked):
        character, quoted = marked[index]
        if character == "]" and not quoted and not first:
            nothing, everything = r"(?!)", r"[\s\S]"
            if not members:  # only ranges that run backwards
                return (everything if negated else nothing), index + 1
            return f"[{'^' if negated else ''}{members}]", index + 1
        first = False
        rest = "".join(item for item, _ in marked[index:])
        if character == "[" and (named := re.match(r"\[:(\w+):\]", rest)):
            members += CLASSES.get(named[1], "")
            index += named.end()
            continue
        if re.match(r".-[^]]", rest, re.DOTALL) and not marked[index + 1][1]:
            if character <= rest[2]:
                members += f"{re.escape(character)}-{re.escape(rest[2])}"
            index += 3
            continue
        members += re.escape(character)
        index += 1
    return None


CLASSES = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "a-zA-Z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "space": r"\s",
    "blank": r" \t",
    "punct": r"!-/:-@\[-`{-~",
    "xdigit": "0-9a-fA-F",
    "print": " -~",
    "cntrl": r"\x00-\x1f\x7f",
    "graph": "!-~",
}


def split_fields(fields: list[list[Piece]], separators: str) -> list[list[Piece]]:
    """Split what came out of unquoted expansions at the separators (POSIX.1, 2.6.5)."""
    result: list[list[Piece]] = []
    for pieces in fields:
        current: list[Piece] = []
        began = False  # whether there is a field, which may be empty if something of it is quoted
        after_blank = False  # whether a blank ended the last field: another separator may still belong to it
        for text, quoted, expanded in pieces:
            if quoted or not expanded:
                current.append((text, quoted, expanded))
                began = began or quoted or bool(text)
                continue
            for character in text:
                if character not in separators:
                    current.append((character, False, True))
                    began, after_blank = True, False
                    continue
                is_blank = character in " \t\n"
                if began or (not is_blank and not after_blank):
                    result.append(current)
                    current, began, after_blank = [], False, is_blank
                elif not is_blank:
                    after_blank = False
        if began:
            result.append(current)
    return result


def _file_names(shell: Shell, pieces: list[Piece]) -> list[str]:
    """The files that the field matches, if it is a pattern."""
    if not any(character in text for text, quoted, _ in pieces if not quoted for character in "*?["):
        return []
    marked = [(character, quoted, False) for text, quoted, _ in pieces for character in text]
    files = shell.process.kernel.files
    found = [""]
    for part in _split_path(marked):
        if [character for character, _, _ in part] == ["/"]:
            found = [path + "/" for path in found]
            continue
        following: list[str] = []
        expression = pattern(part)
        is_pattern = any(character in "*?[" and not quoted for character, quoted, _ in part)
        for path in found:
            directory = shell.process.path(path or ".")
            if not is_pattern:
                literal = "".join(character for character, _, _ in part)
                if (
                    files.find(posixpath.join(directory, literal), shell.process.user, follow=False)
                    is not None
                ):
                    following.append(path + literal)
                continue
            entry = files.find(directory, shell.process.user)
            if entry is None or not entry.allows(shell.process.user, 4):
                continue
            following += [
                path + name
                for name in files.names(files.resolve(directory))
                if expression.fullmatch(name) and (not name.startswith(".") or part[0][0] == ".")
            ]
        found = following
    return sorted(found)


def _split_path(marked: list[Piece]) -> list[list[Piece]]:
    parts: list[list[Piece]] = []
    for piece in marked:
        if piece[0] == "/":
            if not parts or parts[-1][0][0] != "/":
                parts.append([piece])
        elif parts and parts[-1][0][0] != "/":
            parts[-1].append(piece)
        else:
            parts.append([piece])
    return parts


def _expand(shell: Shell, word: Word) -> list[list[Piece]]:
    """The fields of a word before splitting: more than one only through ``"$@"``."""
    fields: list[list[Piece]] = [[]]
    for index, part in enumerate(word):
        if isinstance(part, Text):
            text = _tilde(shell, part.text, word) if index == 0 and not part.quoted else part.text
            fields[-1].append((text, part.quoted, False))
        elif isinstance(part, Parameter) and part.name in "@*" and part.operator == "":
            arguments = shell.arguments
            if part.quoted and part.name == "*":
                separator = shell.variables.get("IFS", " ")[:1]
                fields[-1].append((separator.join(arguments), True, True))
                continue
            for number, argument in enumerate(arguments):
                if number:
                    fields.append([])
                fields[-1].append((argument, part.quoted, True))
        elif isinstance(part, Parameter) and part.operator in ("-", "+", ":-", ":+") and part.operand:
            fields[-1] += _alternative(shell, part)
        else:
            fields[-1].append((_value(shell, part), part.quoted, True))
    return fields


def _tilde(shell: Shell, text: str, word: Word) -> str:
    if not text.startswith("~"):
        return text
    name, slash, rest = text[1:].partition("/")
    if not slash and len(word) > 1:
        return text
    home = shell.variables.get("HOME", "") if not name else shell.host.home_of(name)
    return home + slash + rest if home else text


def _alternative(shell: Shell, part: Parameter) -> list[Piece]:
    """``${name-word}`` and its kin: the word keeps its own quotes."""
    value = shell.parameter(part.name)
    present = bool(value) if part.operator.startswith(":") else value is not None
    if part.operator.endswith("-") and present:
        return [(value or "", part.quoted, True)]
    if part.operator.endswith("+") and not present:
        return [("", part.quoted, True)]
    assert part.operand is not None
    return [
        (text, quoted or part.quoted, True)
        for field in _expand(shell, part.operand)
        for text, quoted, _ in field
    ]


def _value(shell: Shell, part: Part) -> str:
    match part:
        case Text():
            return part.text
        case Substitution():
            return shell.substitute(part.script)
        case Arithmetic():
            return str(calculate(shell, expand_text(shell, part.expression)))
    value = shell.parameter(part.name)
    operator, operand = part.operator, part.operand or ()
    if operator.lstrip(":") in ("-", "+"):  # with an empty operand
        absent = not value if operator.startswith(":") else value is None
        return "" if absent or operator.endswith("+") else value or ""
    if operator.endswith("="):
        if value is None or (operator == ":=" and not value):
            value = expand_text(shell, operand)
            shell.assign(part.name, value)
        return value
    if operator.endswith("?"):
        if value is None or (operator == ":?" and not value):
            message = expand_text(shell, operand) or "parameter not set" + (
                " or null" if operator == ":?" else ""
            )
            raise ExpansionProblem(f"{part.name}: {message}")
        return value
    if value is None and "u" in shell.options and part.name not in "@*":
        raise ExpansionProblem(f"{part.name}: parameter not set")
    value = value or ""
    if operator == "#" and part.operand is None:
        return str(len(value))
    if operator in ("#", "##", "%", "%%"):
        return _trim(value, operator, [piece for field in _expand(shell, operand) for piece in field])
    return value


def _trim(value: str, operator: str, pieces: list[Piece]) -> str:
    expression = pattern(pieces)
    lengths = range(len(value) + 1)
    if len(operator) == 2:
        lengths = range(len(value), -1, -1)
    for length in lengths:
        cut = value[:length] if operator[0] == "#" else value[len(value) - length :]
        if expression.fullmatch(cut):
            return value[length:] if operator[0] == "#" else value[: len(value) - length]
    return value


# arithmetic

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|\d+")
_OPERATOR = re.compile(r"<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%<>&|^]")
_ASSIGN = re.compile(r"([A-Za-z_]\w*)\s*(<<|>>|[-+*/%&|^])?=(?!=)")
_LEVELS = {
    "||": 1,
    "&&": 2,
    "|": 3,
    "^": 4,
    "&": 5,
    "==": 6,
    "!=": 6,
    "<": 7,
    ">": 7,
    "<=": 7,
    ">=": 7,
    "<<": 8,
    ">>": 8,
    "+": 9,
    "-": 9,
    "*": 10,
    "/": 10,
    "%": 10,
}


def calculate(shell: Shell, expression: str) -> int:
    """``$((...))``: integers of 64 bits, as C has them."""
    return _Calculator(shell, expression).result()


class _Calculator:
    def __init__(self, shell: Shell, text: str) -> None:
        self._shell, self._text, self._at = shell, text, 0

    def result(self) -> int:
        if not self._text.strip():
            return 0
        value = self._whole()
        self._skip()
        if self._at < len(self._text):
            raise self._problem()
        return value

    def _problem(self) -> ExpansionProblem:
        return ExpansionProblem(f'arithmetic expression: expecting EOF: "{self._text}"')

    def _skip(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1

    def _take(self, expression: re.Pattern[str]) -> re.Match[str] | None:
        self._skip()
        found = expression.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _whole(self) -> int:
        if found := self._take(_ASSIGN):
            value = self._whole()
            if found[2]:
                value = _operate(found[2], self._variable(found[1]), value)
            self._shell.assign(found[1], str(value))
            return value
        condition = self._binary(1)
        if not self._take(re.compile(r"\?")):
            return condition
        first = self._whole()
        if not self._take(re.compile(":")):
            raise self._problem()
        second = self._whole()
        return first if condition else second

    def _binary(self, lowest: int) -> int:
        left = self._unary()
        while True:
            self._skip()
            found = _OPERATOR.match(self._text, self._at)
            level = _LEVELS[found[0]] if found else 0
            if found is None or level < lowest:
                return left
            self._at = found.end()
            right = self._binary(level + 1)
            if found[0] in ("/", "%") and right == 0:
                raise ExpansionProblem(f'arithmetic expression: division by zero: "{self._text}"')
            left = _operate(found[0], left, right)

    def _unary(self) -> int:
        sign = self._take(re.compile(r"[-+~!]"))
        if sign:
            value = self._unary()
            return {"-": -value, "+": value, "~": ~value, "!": int(not value)}[sign[0]]
        if self._take(re.compile(r"\(")):
            value = self._whole()
            if not self._take(re.compile(r"\)")):
                raise self._problem()
            return value
        if number := self._take(_NUMBER):
            return _number(number[0])
        if name := self._take(NAME):
            return self._variable(name[0])
        raise self._problem()

    def _variable(self, name: str) -> int:
        text = (self._shell.parameter(name) or "0").strip()
        try:
            return -_number(text[1:]) if text.startswith("-") else _number(text)
        except ValueError as error:
            raise ExpansionProblem(f"Illegal number: {text}") from error


def _number(text: str) -> int:
    if text.startswith("0") and text[1:].isdigit():
        return int(text, 8)
    return int(text, 0)


def _operate(operator: str, left: int, right: int) -> int:
    operations: dict[str, Callable[[], int]] = {
        "||": lambda: int(bool(left or right)),
        "&&": lambda: int(bool(left and right)),
        "|": lambda: left | right,
        "^": lambda: left ^ right,
        "&": lambda: left & right,
        "==": lambda: int(left == right),
        "!=": lambda: int(left != right),
        "<": lambda: int(left < right),
        ">": lambda: int(left > right),
        "<=": lambda: int(left <= right),
        ">=": lambda: int(left >= right),
        "<<": lambda: left << right,
        ">>": lambda: left >> right,
        "+": lambda: left + right,
        "-": lambda: left - right,
        "*": lambda: left * right,
        "/": lambda: abs(left) // abs(right) * (1 if left * right >= 0 else -1),
        "%": lambda: left - abs(left) // abs(right) * (1 if left * right >= 0 else -1) * right,
    }
    value = operations[operator]() & 0xFFFF_FFFF_FFFF_FFFF
    return value - (1 << 64) if value >> 63 else value
