"""Programs for text: filters that read lines and write lines."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from axiom_tui.simulator.hosts.expansion import CLASSES
from axiom_tui.simulator.hosts.program import Failure, Run, program


def regular(text: str, *, extended: bool, ignore_case: bool = False) -> re.Pattern[str]:
    """A POSIX regular expression, basic or extended, as one of Python's."""
    result, index = "", 0
    while index < len(text):
        character = text[index]
        if character == "[":
            expression, index = _bracket(text, index)
            result += expression
            continue
        index += 1
        if character == "\\" and index < len(text):
            following = text[index]
            index += 1
            if following in "(){}|+?" and not extended:
                result += following
            elif following in "<>":
                result += r"\b"
            elif following.isalnum():
                result += "\\" + following
            else:
                result += re.escape(following)
        elif character in "(){}|+?" and not extended:
            result += re.escape(character)
        elif character == "*" and result in ("", "^", "(") and not extended:
            result += r"\*"
        elif character == "$" and not extended and index < len(text):
            result += r"\$"
        else:
            result += character if character in "^$.*()|+?{}" else re.escape(character)
    try:
        return re.compile(result, re.IGNORECASE if ignore_case else 0)
    except re.error as error:
        raise Failure(f"Invalid regular expression: {error}", 2) from error


def _bracket(text: str, start: int) -> tuple[str, int]:
    index = start + 1
    result = "["
    if text[index : index + 1] == "^":
        result += "^"
        index += 1
    first = True
    while index < len(text) and (text[index] != "]" or first):
        first = False
        if found := re.compile(r"\[:(\w+):\]").match(text, index):
            result += CLASSES.get(found[1], "")
            index = found.end()
            continue
        result += "-" if text[index] == "-" else re.escape(text[index])
        index += 1
    return result + "]", index + 1


def lines_of(run: Run, paths: Sequence[str]) -> Iterable[str]:
    """The lines of the files, or of standard input as they come, without their ends."""
    for path in paths or ["-"]:
        if path == "-":
            rest = ""
            for piece in run.input():
                *lines, rest = (rest + piece.decode(errors="surrogateescape")).split("\n")
                yield from lines
            if rest:
                yield rest
        else:
            yield from run.text(path).removesuffix("\n").split("\n") if run.read(path) else ()


@program("grep", "egrep", "fgrep")
def grep(run: Run) -> int:
    options, words = run.options(
        "EFGivnqclowxshHre:m:A:B:", ["color=", "line-buffered", "quiet", "only-matching"]
    )
    pattern = options.get("-e") if "-e" in options else words.pop(0) if words else None
    if pattern is None:
        raise Failure("Usage: grep [OPTION]... PATTERNS [FILE]...", 2)
    fixed = "-F" in options or run.name == "fgrep"
    expressions = [
        re.compile(re.escape(part), re.IGNORECASE if "-i" in options else 0)
        if fixed
        else regular(part, extended="-E" in options or run.name == "egrep", ignore_case="-i" in options)
        for part in pattern.split("\n")
    ]
    quiet = "-q" in options or "--quiet" in options
    status, failed = 1, False
    names = "-H" in options or (len(words) > 1 and "-h" not in options)
    for path in words or ["-"]:
        count = 0
        try:
            for number, line in enumerate(lines_of(run, [path]), 1):
                found = _first_match(expressions, line, whole="-x" in options, word="-w" in options)
                if (found is not None) == ("-v" in options):
                    continue
                status, count = 0, count + 1
                if quiet:
                    return 0
                if "-l" in options:
                    break
                if "-c" not in options:
                    text = found[0] if found and "-o" in options else line
                    run.line((f"{path}:" if names else "") + (f"{number}:" if "-n" in options else "") + text)
                if count == int(options.get("-m", "0")):
                    break
        except OSError as error:
            failed = True
            if "-s" not in options:
                run.complain(f"{path}: {error.strerror}")
            continue
        if "-c" in options:
            run.line((f"{path}:" if names else "") + str(count))
        if "-l" in options and count:
            run.line(path)
    return 2 if failed and status else status


def _first_match(
    expressions: Sequence[re.Pattern[str]], line: str, *, whole: bool, word: bool
) -> re.Match[str] | None:
    for expression in expressions:
        for found in [expression.fullmatch(line)] if whole else expression.finditer(line):
            if found is None:
                continue
            before, after = line[: found.start()][-1:], line[found.end() :][:1]
            if word and (re.match(r"\w", before) or re.match(r"\w", after)):
                continue
            return found
    return None


@program("cut")
def cut(run: Run) -> int:
    options, paths = run.options("d:f:c:b:s", ["output-delimiter=", "complement", "delimiter=", "fields="])
    delimiter = options.get("-d", options.get("--delimiter", "\t"))
    joined = options.get("--output-delimiter", delimiter)
    fields = options.get("-f", options.get("--fields"))
    characters = options.get("-c", options.get("-b"))
    for line in lines_of(run, paths):
        if fields is None:
            run.line("".join(_chosen(list(line), characters or "1-")))
        elif delimiter not in line:
            if "-s" not in options:
                run.line(line)
        else:
            run.line(joined.join(_chosen(line.split(delimiter), fields)))
    return 0


def _chosen(items: list[str], ranges: str) -> list[str]:
    wanted: set[int] = set()
    for part in ranges.split(","):
        first, dash, last = part.partition("-")
        wanted |= (
            set(range(int(first or 1), (int(last) if last else len(items)) + 1)) if dash else {int(first)}
        )
    return [item for number, item in enumerate(items, 1) if number in wanted]


def _with_count(run: Run) -> Run:
    """``-5`` means ``-n5``."""
    words = [f"-n{word[1:]}" if re.fullmatch(r"-\d+", word) else word for word in run.arguments]
    return replace(run, arguments=words)


@program("head")
def head(run: Run) -> int:
    run = _with_count(run)
    options, paths = run.options("n:c:q", ["lines=", "bytes="])
    if (size := options.get("-c", options.get("--bytes"))) is not None:
        return _head_bytes(run, paths, int(size))
    count = int(options.get("-n", options.get("--lines", "10")))
    lines = lines_of(run, paths)
    if count < 0:
        for line in list(lines)[:count]:
            run.line(line)
        return 0
    for number, line in enumerate(lines, 1):
        if number > count:
            break
        run.line(line)
        if number == count:
            break
    return 0


def _head_bytes(run: Run, paths: Sequence[str], left: int) -> int:
    """Exactly so many bytes, and not one more is taken from standard input."""
    for path in paths or ["-"]:
        if path != "-":
            run.write(run.read(path)[:left])
            continue
        source = run.process.file(0)
        while left and (piece := source.read(run.process, min(left, 65_536))):
            left -= len(piece)
            run.write(piece)
    return 0


@program("tail")
def tail(run: Run) -> int:
    run = _with_count(run)
    options, paths = run.options("n:c:fq", ["lines=", "bytes="])
    count = options.get("-n", options.get("--lines", "10"))
    if (size := options.get("-c", options.get("--bytes"))) is not None:
        data = b"".join(run.read(path) for path in paths or ["-"])
        run.write(data[int(size) - 1 :] if size.startswith("+") else data[-int(size) :])
        return 0
    lines = list(lines_of(run, paths))
    size_of_tail = int(count.lstrip("-+"))
    if not count.startswith("+"):
        lines = lines[len(lines) - size_of_tail :] if size_of_tail < len(lines) else lines
    for line in lines[max(size_of_tail - 1, 0) :] if count.startswith("+") else lines:
        run.line(line)
    return 0


@program("tr")
def tr(run: Run) -> int:
    options, words = run.leading_options("dscC")
    source = _character_set(words[0])
    target = _character_set(words[1]) if len(words) > 1 else ""
    complement = "-c" in options or "-C" in options
    text = run.all_input().decode(errors="surrogateescape")
    if "-d" in options:
        text = "".join(character for character in text if (character in source) == complement)
    elif target:
        last = target[-1]
        table = {
            character: target[index] if index < len(target) else last
            for index, character in enumerate(source)
        }
        if complement:
            text = "".join(character if character in source else last for character in text)
        else:
            text = "".join(table.get(character, character) for character in text)
    if "-s" in options:
        squeezed = target or source
        text = "".join(
            character
            for index, character in enumerate(text)
            if not (
                index
                and character == text[index - 1]
                and ((character in squeezed) != (complement and not target))
            )
        )
    run.write(text)
    return 0


def _character_set(text: str) -> str:
    classes = {
        "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "lower": "abcdefghijklmnopqrstuvwxyz",
        "digit": "0123456789",
        "space": " \t\n\r\v\f",
        "blank": " \t",
    }
    classes["alpha"] = classes["upper"] + classes["lower"]
    classes["alnum"] = classes["digit"] + classes["alpha"]
    classes["punct"] = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
    classes["cntrl"] = "".join(map(chr, [*range(32), 127]))
    classes["print"] = "".join(map(chr, range(32, 127)))
    result, index = "", 0
    while index < len(text):
        if found := re.compile(r"\[:(\w+):\]").match(text, index):
            result += classes[found[1]]
            index = found.end()
        elif text[index] == "\\" and index + 1 < len(text):
            octal = re.compile(r"\\([0-7]{1,3})").match(text, index)
            result += (
                chr(int(octal[1], 8))
                if octal
                else {"n": "\n", "t": "\t", "r": "\r"}.get(text[index + 1], text[index + 1])
            )
            index = octal.end() if octal else index + 2
        elif text[index + 1 : index + 2] == "-" and index + 2 < len(text):
            result += "".join(map(chr, range(ord(text[index]), ord(text[index + 2]) + 1)))
            index += 3
        else:
            result += text[index]
            index += 1
    return result


@program("wc")
def wc(run: Run) -> int:
    options, paths = run.options("lwcm")
    for path in paths or ["-"]:
        data = run.read(path)
        counts = {"-l": data.count(b"\n"), "-w": len(data.split()), "-c": len(data)}
        counts["-m"] = len(data.decode(errors="replace"))
        wanted = [counts[name] for name in ("-l", "-w", "-c", "-m") if name in options] or list(
            counts.values()
        )[:3]
        run.line(" ".join(map(str, wanted)) + (f" {path}" if path != "-" else ""))
    return 0


@program("sort")
def sort(run: Run) -> int:
    options, paths = run.options("nruk:t:Vfb")
    key = options.get("-k", "")
    separator = options.get("-t")

    def field(line: str) -> str:
        if not key:
            return line
        number = int(re.match(r"\d+", key)[0])  # type: ignore[index]
        fields = line.split(separator)
        return fields[number - 1] if number <= len(fields) else ""

    def order(line: str) -> tuple[object, ...]:
        text = field(line)
        if "-n" in options or key.endswith("n"):
            found = re.match(r"\s*-?\d+(\.\d+)?", text)
            return (float(found[0]) if found else 0.0, line)
        if "-V" in options:
            return tuple(
                (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)
            )
        return (text, line)

    lines = sorted(lines_of(run, paths), key=order, reverse="-r" in options)
    for line in dict.fromkeys(lines) if "-u" in options else lines:
        run.line(line)
    return 0


@program("uniq")
def uniq(run: Run) -> int:
    options, paths = run.options("cdu")
    groups: list[list[str]] = []
    for line in lines_of(run, paths):
        if groups and groups[-1][0] == line:
            groups[-1].append(line)
        else:
            groups.append([line])
    for group in groups:
        if ("-d" in options and len(group) == 1) or ("-u" in options and len(group) > 1):
            continue
        run.line((f"{len(group):>7} " if "-c" in options else "") + group[0])
    return 0


@program("base64")
def base64_(run: Run) -> int:
    options, paths = run.options("dw:i", ["decode", "wrap="])
    data = run.read(paths[0] if paths else "-")
    if "-d" in options or "--decode" in options:
        try:
            run.write(base64.b64decode(data, validate=False))
        except ValueError as error:
            raise Failure("invalid input") from error
        return 0
    text = base64.b64encode(data).decode()
    width = int(options.get("-w", options.get("--wrap", "76")))
    for start in range(0, len(text), width or len(text) or 1):
        run.write(text[start : start + (width or len(text))] + ("\n" if width else ""))
    return 0


@program("seq")
def seq(run: Run) -> int:
    numbers = [int(word) for word in run.arguments if re.fullmatch(r"-?\d+", word)]
    first, step, last = (
        (1, 1, *numbers)
        if len(numbers) == 1
        else (numbers[0], 1, numbers[1])
        if len(numbers) == 2
        else numbers
    )
    for number in range(first, last + (1 if step > 0 else -1), step):
        run.line(str(number))
    return 0


@program("od")
def od(run: Run) -> int:
    """Only what makes random words: ``od -An -tx1``."""
    options, paths = run.options("A:t:N:vw:")
    data = run.read(paths[0] if paths else "-")[: int(options.get("-N", "1000000"))]
    for start in range(0, len(data), 16):
        run.line(" " + " ".join(f"{byte:02x}" for byte in data[start : start + 16]))
    return 0
