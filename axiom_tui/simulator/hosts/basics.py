"""What builtins of the shell and programs of the same name share: echo, printf, test, kill, splitting."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from axiom_tui.simulator.hosts.files import Entry, Kind
from axiom_tui.simulator.hosts.kernel import Process, Signals

_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


def quote(text: str) -> str:
    """A text as one word of sh, the way dash prints it."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


def shortly_quoted(text: str) -> str:
    return text if _SAFE.fullmatch(text) else quote(text)


def escaped(text: str, *, octal_zero: bool) -> tuple[str, bool]:
    """Backslash escapes replaced; True if ``\\c`` ended the output. ``octal_zero``: ``\\0nnn`` as in echo."""
    result, index = "", 0
    while index < len(text):
        character = text[index]
        index += 1
        if character != "\\" or index == len(text):
            result += character
            continue
        following = text[index]
        if following == "c":
            return result, True
        octal = re.compile(r"0[0-7]{0,3}" if octal_zero else r"[0-7]{1,3}").match(text, index)
        if octal:
            result += chr(int(octal[0], 8) & 0xFF)
            index = octal.end()
        elif following in _ESCAPES:
            result += _ESCAPES[following]
            index += 1
        else:
            result += "\\"
    return result, False


def echo(arguments: Sequence[str]) -> str:
    """As dash: escapes are always read, ``-n`` leaves the newline out."""
    words, end = list(arguments), "\n"
    if words[:1] == ["-n"]:
        words, end = words[1:], ""
    text, ended = escaped(" ".join(words), octal_zero=True)
    return text if ended else text + end


_FORMAT = re.compile(r"%(?P<flags>[-+ 0#]*)(?P<width>\*|\d*)(?:\.(?P<precision>\*|\d*))?(?P<kind>[%a-zA-Z])")


def printf(arguments: Sequence[str]) -> tuple[str, str]:
    """The output, and what was wrong with the arguments."""
    words = list(arguments[1:] if arguments[:1] == ["--"] else arguments)
    if not words:
        return "", "usage: printf format [arg ...]"
    form, values = words[0], words[1:]
    output, problem = "", ""
    while True:
        before = len(values)
        index = 0
        while index < len(form):
            if form[index] == "\\":
                end = index + 2
                while (
                    end < len(form)
                    and end < index + 4
                    and form[index + 1] in "01234567"
                    and form[end] in "01234567"
                ):
                    end += 1
                text, ended = escaped(form[index:end], octal_zero=False)
                output += text
                if ended:
                    return output, problem
                index = end
                continue
            found = _FORMAT.match(form, index)
            if form[index] != "%" or found is None:
                output += form[index]
                index += 1
                continue
            index = found.end()
            if found["kind"] == "%":
                output += "%"
                continue
            text, wrong, ended = _converted(found, values)
            output += text
            problem = problem or wrong
            if ended:
                return output, problem
        if not values or len(values) == before:
            return output, problem


def _converted(found: re.Match[str], values: list[str]) -> tuple[str, str, bool]:
    """One conversion: its text, what was wrong, and whether ``%b`` ended the output."""
    width = _star(found["width"], values)
    precision = None if found["precision"] is None else int(_star(found["precision"], values) or 0)
    given = bool(values)
    value = values.pop(0) if values else ""
    kind, ended, wrong = found["kind"], False, ""
    if kind in "sb":
        if kind == "b":
            value, ended = escaped(value, octal_zero=True)
        text = value if precision is None else value[:precision]
    elif kind == "c":
        text = value[:1]
    elif kind in "diouxX":
        number, wrong = _integer(value) if given else (0, "")
        precise = "" if precision is None else f".{precision}"
        text = f"%{found['flags'].replace('-', '')}{precise}{'d' if kind in 'iu' else kind}" % number
        if "0" in found["flags"] and "-" not in found["flags"] and width and precision is None:
            text = text.zfill(int(width))
    elif kind in "eEfgG":
        try:
            text = (
                f"%{found['flags'].replace('-', '')}.{6 if precision is None else precision}{kind}"
                % float(value or 0)
            )
        except ValueError:
            text, wrong = "0", f"{value}: expected numeric value"
    else:
        return "", f"%{kind}: invalid directive", True
    size = int(width or 0)
    left = "-" in found["flags"] or size < 0
    return (text.ljust(abs(size)) if left else text.rjust(size)), wrong, ended


def _star(text: str, values: list[str]) -> str:
    return (values.pop(0) if values else "0") if text == "*" else text


def _integer(value: str) -> tuple[int, str]:
    if value[:1] in ("'", '"'):
        return ord(value[1]) if len(value) > 1 else 0, ""
    try:
        negative = value.startswith("-")
        digits = value.lstrip("+-")
        number = int(digits, 8) if re.fullmatch("0[0-7]+", digits) else int(digits, 0)
        return (-number if negative else number), ""
    except ValueError:
        leading = re.match(r"-?\d+", value)
        return (int(leading[0]) if leading else 0), f"{value}: expected numeric value"


def without_backslashes(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def split_line(line: str, separators: str, count: int) -> list[str]:
    """A line as ``read`` gives it to ``count`` variables: the last one takes the rest."""
    white = "".join(character for character in separators if character in " \t\n")
    hard = "".join(character for character in separators if character not in " \t\n")
    fields: list[str] = []
    rest = line.lstrip(white)
    while len(fields) < count - 1 and rest:
        end = next((index for index, character in enumerate(rest) if character in separators), len(rest))
        fields.append(rest[:end])
        rest = rest[end:].lstrip(white)
        if rest[:1] and rest[0] in hard:
            rest = rest[1:].lstrip(white)
    rest = rest.rstrip(white)
    # One separator at the end of the last field only ends it.
    if rest[-1:] and rest[-1] in hard and not any(character in separators for character in rest[:-1]):
        rest = rest[:-1]
    fields.append(rest)
    return fields + [""] * (count - len(fields))


# test


def test(process: Process, arguments: Sequence[str]) -> bool:
    """The value of ``test``; ValueError on what is no expression."""
    expression = _Test(process, list(arguments))
    return expression.result()


class _Test:
    def __init__(self, process: Process, words: list[str]) -> None:
        self._process, self._words = process, words

    def result(self) -> bool:
        words = self._words
        # With up to four words POSIX says what is meant by their number alone.
        match len(words):
            case 0:
                return False
            case 1:
                return bool(words[0])
            case 2 if words[0] == "!":
                return not words[1]
            case 3 if words[1] in _BINARY:
                return _binary(self._process, words[1], words[0], words[2])
            case 3 if words[0] == "!":
                return not _Test(self._process, words[1:]).result()
            case 4 if words[0] == "!":
                return not _Test(self._process, words[1:]).result()
        value = self._or()
        if self._words:
            raise ValueError(f"{self._words[0]}: unexpected operator")
        return value

    def _or(self) -> bool:
        value = self._and()
        while self._words[:1] == ["-o"]:
            self._words.pop(0)
            other = self._and()
            value = value or other
        return value

    def _and(self) -> bool:
        value = self._not()
        while self._words[:1] == ["-a"]:
            self._words.pop(0)
            other = self._not()
            value = value and other
        return value

    def _not(self) -> bool:
        if self._words[:1] == ["!"]:
            self._words.pop(0)
            return not self._not()
        return self._primary()

    def _primary(self) -> bool:
        words = self._words
        if not words:
            raise ValueError("argument expected")
        if words[0] == "(" and len(words) > 2:
            words.pop(0)
            value = self._or()
            if words[:1] != [")"]:
                raise ValueError("closing paren expected")
            words.pop(0)
            return value
        if len(words) > 2 and words[1] in _BINARY:
            left, operator, right = words[:3]
            del words[:3]
            return _binary(self._process, operator, left, right)
        if len(words) > 1 and words[0] in _UNARY:
            operator, operand = words[:2]
            del words[:2]
            return _unary(self._process, operator, operand)
        return bool(words.pop(0))


_UNARY = frozenset(
    [
        "-b",
        "-c",
        "-d",
        "-e",
        "-f",
        "-g",
        "-h",
        "-k",
        "-L",
        "-n",
        "-p",
        "-r",
        "-s",
        "-S",
        "-t",
        "-u",
        "-w",
        "-x",
        "-z",
        "-O",
        "-G",
    ]
)
_NUMERIC: dict[str, Callable[[int, int], bool]] = {
    "-eq": lambda left, right: left == right,
    "-ne": lambda left, right: left != right,
    "-lt": lambda left, right: left < right,
    "-le": lambda left, right: left <= right,
    "-gt": lambda left, right: left > right,
    "-ge": lambda left, right: left >= right,
}
_BINARY = frozenset({"=", "!=", "<", ">", "-nt", "-ot", "-ef", *_NUMERIC})


def _binary(process: Process, operator: str, left: str, right: str) -> bool:
    if operator in _NUMERIC:
        return _NUMERIC[operator](_number(left), _number(right))
    if operator in ("=", "!="):
        return (left == right) == (operator == "=")
    if operator in ("<", ">"):
        return left < right if operator == "<" else left > right
    first, second = _entry(process, left), _entry(process, right)
    if operator == "-ef":
        return first is not None and first is second
    moments = [entry.modified if entry else float("-inf") for entry in (first, second)]
    return moments[0] > moments[1] if operator == "-nt" else moments[0] < moments[1]


def _number(text: str) -> int:
    if not re.fullmatch(r"\s*[-+]?\d+\s*", text):
        raise ValueError(f"Illegal number: {text}")
    return int(text)


def _entry(process: Process, path: str, *, follow: bool = True) -> Entry | None:
    return process.kernel.files.find(process.path(path), process.user, follow=follow) if path else None


def _unary(process: Process, operator: str, operand: str) -> bool:
    match operator:
        case "-n":
            return bool(operand)
        case "-z":
            return not operand
        case "-t":
            return False  # there are no terminals here
        case "-h" | "-L":
            entry = _entry(process, operand, follow=False)
            return entry is not None and entry.kind is Kind.LINK
    entry = _entry(process, operand)
    if entry is None:
        return False
    match operator:
        case "-f":
            return entry.kind is Kind.FILE
        case "-d":
            return entry.kind is Kind.DIRECTORY
        case "-c":
            return entry.kind is Kind.DEVICE
        case "-s":
            return entry.kind is Kind.DIRECTORY or bool(entry.read())
        case "-r":
            return entry.allows(process.user, 4)
        case "-w":
            return entry.allows(process.user, 2)
        case "-x":
            return entry.allows(process.user, 1)
        case "-O":
            return entry.owner == process.user.name
        case "-g" | "-u" | "-k":
            return bool(entry.mode & {"-g": 0o2000, "-u": 0o4000, "-k": 0o1000}[operator])
    return operator == "-e"


# kill


def signal_name(number: int) -> str:
    return Signals(number).name.removeprefix("SIG") if number in Signals.__members__.values() else str(number)


def signal_number(text: str) -> int | None:
    """``TERM``, ``SIGTERM``, ``15``, ``EXIT`` or ``0`` as a number; None if there is no such signal."""
    if text.isdigit():
        return int(text) if int(text) <= 64 else None
    name = text.upper().removeprefix("SIG")
    if name == "EXIT":
        return 0
    found = Signals.__members__.get(f"SIG{name}")
    return None if found is None else int(found)


def kill(process: Process, arguments: Sequence[str]) -> tuple[int, list[str], str]:
    """Exit status, problems and output of ``kill``."""
    words, number = list(arguments), int(Signals.SIGTERM)
    if words[:1] == ["-l"]:
        names = " ".join(signal_name(item) for item in Signals)
        return 0, [], (signal_name(int(words[1]) & 0x7F) if len(words) > 1 else names) + "\n"
    if words and words[0].startswith("-") and words[0] not in ("--", "-"):
        option = words.pop(0)
        text = words.pop(0) if option in ("-s", "-n") and words else option[1:]
        found = signal_number(text)
        if found is None:
            return 2, [f"Illegal option -{text}"], ""
        number = found
    problems: list[str] = []
    for word in words[1:] if words[:1] == ["--"] else words:
        if not re.fullmatch(r"-?\d+", word):
            problems.append(f"Illegal number: {word}")
            continue
        try:
            if not process.kernel.kill(int(word), number, process):
                problems.append("No such process")
        except OSError as error:
            problems.append(error.strerror or "")
    process.check()
    return int(bool(problems)), problems, ""
