"""sed: s, p, d, q, a, i and c, on lines chosen by number, ``$``, pattern, or a range of these."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from axiom_tui.simulator.hosts.program import Failure, Run, program
from axiom_tui.simulator.hosts.programs.text import lines_of, regular


@dataclass(frozen=True, slots=True)
class _Command:
    """One command of sed: from and until say on which lines; ``text`` is for a, i and c."""

    first: Callable[[int, str, bool], bool] | None
    last: Callable[[int, str, bool], bool] | None
    negated: bool
    name: str
    pattern: re.Pattern[str] | None = None
    replacement: str = ""
    flags: str = ""


_Address = Callable[[int, str, bool], bool]


@program("sed")
def sed(run: Run) -> int:
    options, words = run.options("nEre:i", ["in-place", "quiet", "regexp-extended"])
    extended = bool({"-E", "-r", "--regexp-extended"} & set(options))
    scripts = [value for name, value in _repeated(run) if name == "-e"] or [words.pop(0)]
    commands = [command for script in scripts for command in _sed_script(script, extended)]
    quiet = "-n" in options or "--quiet" in options
    if "-i" in options or "--in-place" in options:
        for path in words:
            run.put(
                path,
                "".join(_sed(commands, list(lines_of(run, [path])), quiet)).encode(errors="surrogateescape"),
            )
        return 0
    for text in _sed(commands, lines_of(run, words), quiet):
        run.write(text)
    return 0


def _repeated(run: Run) -> list[tuple[str, str]]:
    words = list(run.arguments)
    return [("-e", words[index + 1]) for index, word in enumerate(words[:-1]) if word == "-e"]


def _sed(commands: Sequence[_Command], lines: Iterable[str], quiet: bool) -> Iterable[str]:
    inside: set[int] = set()
    source = iter(lines)
    following = next(source, None)
    number = 0
    while following is not None:
        line, number = following, number + 1
        following = next(source, None)
        is_last = following is None
        deleted = ends = False
        output, after = [], []
        for index, command in enumerate(commands):
            if _applies(command, index, inside, number, line, is_last) == command.negated:
                continue
            match command.name:
                case "s" if command.pattern is not None:
                    line, changed = _substituted(command, line)
                    if changed and "p" in command.flags:
                        output.append(line + "\n")
                case "p":
                    output.append(line + "\n")
                case "d":
                    deleted = True
                    break
                case "q":
                    ends = True
                    break
                case "a":
                    after.append(command.replacement + "\n")
                case "i":
                    output.append(command.replacement + "\n")
                case "c":
                    output.append(command.replacement + "\n")
                    deleted = True
                    break
        yield from output
        if not deleted and not quiet:
            yield line + "\n"
        yield from after
        if ends:
            return


def _applies(command: _Command, index: int, inside: set[int], number: int, line: str, is_last: bool) -> bool:
    if command.first is None:
        return True
    if command.last is None:
        return command.first(number, line, is_last)
    if index in inside:
        if command.last(number, line, is_last):
            inside.discard(index)
        return True
    if command.first(number, line, is_last):
        inside.add(index)
        return True
    return False


def _substituted(command: _Command, line: str) -> tuple[str, bool]:
    assert command.pattern is not None
    which = int("".join(character for character in command.flags if character.isdigit()) or 1)
    count = 0

    def replace(found: re.Match[str]) -> str:
        nonlocal count
        count += 1
        if count < which or (count > which and "g" not in command.flags):
            return found[0]
        return re.sub(
            r"\\(\d|n|t|.)|&",
            lambda part: (
                found[0]
                if part[0] == "&"
                else (found[int(part[1])] or "")
                if part[1].isdigit()
                else {"n": "\n", "t": "\t"}.get(part[1], part[1])
            ),
            command.replacement,
        )

    result = command.pattern.sub(replace, line)
    return result, count >= which


def _sed_script(script: str, extended: bool) -> list[_Command]:
    commands: list[_Command] = []
    rest = script.strip()
    while rest:
        first, rest = _address(rest, extended)
        last: _Address | None = None
        if first is not None and rest.startswith(","):
            last, rest = _address(rest[1:], extended)
        rest = rest.lstrip()
        negated = rest.startswith("!")
        rest = rest.lstrip("! ")
        name, rest = rest[:1], rest[1:]
        if name == "s":
            parts, rest = _delimited(rest, 2)
            flags = re.match(r"[gpIi0-9]*", rest)
            assert flags is not None
            rest = rest[flags.end() :]
            pattern = regular(parts[0], extended=extended, ignore_case="i" in flags[0].lower())
            commands.append(_Command(first, last, negated, "s", pattern, parts[1], flags[0]))
        elif name in ("a", "i", "c"):
            text = rest.lstrip().removeprefix("\\").lstrip("\n")
            commands.append(_Command(first, last, negated, name, None, text))
            rest = ""
        elif name in ("p", "d", "q"):
            commands.append(_Command(first, last, negated, name))
        elif name not in (";", "\n", "#"):
            raise Failure(f"-e expression #1, char 1: unknown command: `{name}'")
        rest = rest.lstrip("; \n\t")
    return commands


def _address(text: str, extended: bool) -> tuple[_Address | None, str]:
    text = text.lstrip()
    if found := re.match(r"\d+", text):
        wanted = int(found[0])
        return (lambda number, line, is_last: number == wanted), text[found.end() :]
    if text.startswith("$"):
        return (lambda number, line, is_last: is_last), text[1:]
    if text.startswith("/"):
        (expression,), rest = _delimited(text, 1)
        pattern = regular(expression, extended=extended)
        return (lambda number, line, is_last: bool(pattern.search(line))), rest
    return None, text


def _delimited(text: str, count: int) -> tuple[list[str], str]:
    """So many parts between delimiters, of which the first character is the first."""
    delimiter, rest = text[:1], text[1:]
    parts = []
    for _ in range(count):
        part, index = "", 0
        while index < len(rest) and rest[index] != delimiter:
            if rest[index] == "\\" and index + 1 < len(rest):
                part += rest[index + 1] if rest[index + 1] == delimiter else rest[index : index + 2]
                index += 2
                continue
            part += rest[index]
            index += 1
        if index == len(rest):
            raise Failure("-e expression #1: unterminated `s' command")
        parts.append(part)
        rest = rest[index + 1 :]
    return parts, rest
