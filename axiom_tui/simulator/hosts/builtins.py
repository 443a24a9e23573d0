"""The builtin commands of the simulated sh: one function each, all in the table `BUILTINS`."""

from __future__ import annotations

import posixpath
from collections.abc import Callable

from axiom_tui.simulator.hosts import basics
from axiom_tui.simulator.hosts.expansion import ExpansionProblem
from axiom_tui.simulator.hosts.files import Kind
from axiom_tui.simulator.hosts.lexer import NAME
from axiom_tui.simulator.hosts.shell import Exit, Leave, Shell

Builtin = Callable[[Shell, list[str]], int]


def _nothing(shell: Shell, arguments: list[str]) -> int:
    return 0


def _false(shell: Shell, arguments: list[str]) -> int:
    return 1


def _number(shell: Shell, arguments: list[str], default: int) -> int:
    if not arguments:
        return default
    if not arguments[0].lstrip("-").isdigit():
        raise ExpansionProblem(f"Illegal number: {arguments[0]}")
    return int(arguments[0])


def _exit(shell: Shell, arguments: list[str]) -> int:
    raise Exit(_number(shell, arguments, shell.status) & 0xFF)


def _return(shell: Shell, arguments: list[str]) -> int:
    raise Leave("return", status=_number(shell, arguments, shell.status) & 0xFF)


def _break(shell: Shell, arguments: list[str]) -> int:
    raise Leave("break", _number(shell, arguments, 1))


def _continue(shell: Shell, arguments: list[str]) -> int:
    raise Leave("continue", _number(shell, arguments, 1))


def _echo(shell: Shell, arguments: list[str]) -> int:
    shell.write(basics.echo(arguments))
    return 0


def _printf(shell: Shell, arguments: list[str]) -> int:
    output, problem = basics.printf(arguments)
    shell.write(output)
    if problem:
        shell.complain(f"printf: {problem}")
    return int(bool(problem))


def _test(shell: Shell, arguments: list[str]) -> int:
    return _tested(shell, "test", arguments)


def _bracket(shell: Shell, arguments: list[str]) -> int:
    if not arguments or arguments[-1] != "]":
        shell.complain("[: missing ]")
        return 2
    return _tested(shell, "[", arguments[:-1])


def _tested(shell: Shell, name: str, arguments: list[str]) -> int:
    try:
        return int(not basics.test(shell.process, arguments))
    except ValueError as error:
        shell.complain(f"{name}: {error}")
        return 2


def _cd(shell: Shell, arguments: list[str]) -> int:
    arguments = [argument for argument in arguments if argument not in ("--", "-P", "-L")]
    target = arguments[0] if arguments else shell.variables.get("HOME", "/")
    if target == "-":
        target = shell.variables.get("OLDPWD", shell.process.directory)
        shell.write(target + "\n")
    files, process = shell.process.kernel.files, shell.process
    entry = files.find(process.path(target), process.user)
    if entry is None or entry.kind is not Kind.DIRECTORY or not entry.allows(process.user, 1):
        shell.complain(f"cd: can't cd to {target}")
        return 2
    shell.variables["OLDPWD"] = process.directory
    process.directory = posixpath.normpath(process.path(target))
    shell.variables["PWD"] = process.directory
    return 0


def _pwd(shell: Shell, arguments: list[str]) -> int:
    shell.write(shell.process.directory + "\n")
    return 0


def _export(shell: Shell, arguments: list[str]) -> int:
    names = [argument for argument in arguments if argument not in ("-p", "--")]
    if not names:
        for name in sorted(shell.exported):
            shell.write(f"export {name}={basics.quote(shell.variables.get(name, ''))}\n")
    for argument in names:
        name = _assign(shell, "export", argument)
        shell.exported.add(name)
    return 0


def _readonly(shell: Shell, arguments: list[str]) -> int:
    for argument in arguments:
        shell.read_only.add(_assign(shell, "readonly", argument))
    return 0


def _local(shell: Shell, arguments: list[str]) -> int:
    if not shell.locals:
        raise ExpansionProblem("local: not in a function")
    for argument in arguments:
        name = argument.partition("=")[0]
        shell.locals[-1].setdefault(name, shell.variables.get(name))
        _assign(shell, "local", argument)
    return 0


def _assign(shell: Shell, builtin: str, argument: str) -> str:
    name, equals, value = argument.partition("=")
    if not NAME.fullmatch(name):
        raise ExpansionProblem(f"{builtin}: {argument}: bad variable name")
    if equals:
        shell.assign(name, value)
    return name


def _unset(shell: Shell, arguments: list[str]) -> int:
    functions = arguments[:1] == ["-f"]
    for name in arguments[1:] if arguments[:1] in (["-f"], ["-v"]) else arguments:
        if functions:
            shell.functions.pop(name, None)
        elif name in shell.read_only:
            raise ExpansionProblem(f"unset: {name}: is read only")
        else:
            shell.variables.pop(name, None)
            shell.exported.discard(name)
    return 0


_OPTION_NAMES = {
    "errexit": "e",
    "nounset": "u",
    "noglob": "f",
    "xtrace": "x",
    "allexport": "a",
    "noclobber": "C",
    "noexec": "n",
    "verbose": "v",
    "monitor": "m",
    "notify": "b",
}


def _set(shell: Shell, arguments: list[str]) -> int:
    rest = list(arguments)
    if not rest:
        for name, value in sorted(shell.variables.items()):
            shell.write(f"{name}={basics.quote(value)}\n")
        return 0
    while rest and len(rest[0]) > 1 and rest[0][0] in "-+":
        word = rest.pop(0)
        if word == "--":
            shell.arguments = rest
            return 0
        letters = word[1:]
        if letters.endswith("o") and rest:
            name = rest.pop(0)
            if name not in _OPTION_NAMES:
                raise ExpansionProblem(f"set: Illegal option -o {name}")
            letters = letters[:-1] + _OPTION_NAMES[name]
        for letter in letters:
            if letter not in _OPTION_NAMES.values():
                raise ExpansionProblem(f"set: Illegal option -{letter}")
            if word[0] == "-":
                shell.options.add(letter)
            else:
                shell.options.discard(letter)
    if rest:
        shell.arguments = rest
    return 0


def _shift(shell: Shell, arguments: list[str]) -> int:
    count = _number(shell, arguments, 1)
    if count > len(shell.arguments):
        raise ExpansionProblem("shift: can't shift that many")
    del shell.arguments[:count]
    return 0


def _eval(shell: Shell, arguments: list[str]) -> int:
    return shell.evaluate(" ".join(arguments))


def _dot(shell: Shell, arguments: list[str]) -> int:
    process = shell.process
    name = arguments[0] if arguments else ""
    path = (
        name
        if "/" in name
        else shell.host.find_program(name, process, shell.variables.get("PATH", "")) or name
    )
    try:
        text = process.kernel.files.read(process.path(path), process.user)
    except OSError as error:
        raise ExpansionProblem(f".: cannot open {name}: {error.strerror}") from error
    try:
        return shell.evaluate(text.decode(errors="surrogateescape"))
    except Leave as leaving:
        if leaving.word != "return":
            raise
        return leaving.status


def _read(shell: Shell, arguments: list[str]) -> int:
    raw, names = False, list(arguments)
    while names and names[0].startswith("-"):
        option = names.pop(0)
        if option == "-r":
            raw = True
        elif option == "-p" and names:
            shell.write_error(names.pop(0))
        elif option != "--":
            raise ExpansionProblem(f"read: Illegal option {option}")
    if not names:
        raise ExpansionProblem("read: arg count")
    source, line = shell.process.file(0), ""
    while True:
        piece = source.read_line(shell.process).decode(errors="surrogateescape")
        ended = not piece.endswith("\n")
        line += piece.removesuffix("\n")
        if raw or ended or (len(line) - len(line.rstrip("\\"))) % 2 == 0:
            break
        line = line[:-1]
    if not raw:
        line = basics.without_backslashes(line)
    separators = shell.variables.get("IFS", " \t\n")
    for name, value in zip(names, basics.split_line(line, separators, len(names)), strict=True):
        shell.assign(name, value)
    return int(ended)


def _trap(shell: Shell, arguments: list[str]) -> int:
    arguments = [argument for argument in arguments if argument != "--"]
    if not arguments:
        for number, action in sorted(shell.traps.items()):
            name = "EXIT" if number == 0 else basics.signal_name(number)
            shell.write(f"trap -- {basics.quote(action)} {name}\n")
        return 0
    action, names = arguments[0], arguments[1:]
    if not names:  # ``trap TERM`` resets
        action, names = "-", arguments
    for name in names:
        signal = basics.signal_number(name)
        if signal is None:
            shell.complain(f"trap: {name}: bad trap")
            return 1
        number = signal
        shell.process.ignored.discard(number)
        shell.process.trapped.discard(number)
        shell.traps.pop(number, None)
        if action == "-":
            continue
        shell.traps[number] = action
        if number and not action:
            shell.process.ignored.add(number)
        elif number:
            shell.process.trapped.add(number)
    return 0


def _wait(shell: Shell, arguments: list[str]) -> int:
    process = shell.process
    waited = [shell.children.get(int(text)) if text.isdigit() else None for text in arguments]
    status = 0
    for child in waited if arguments else list(shell.children.values()):
        if child is None:
            status = 127
            continue
        process.wait_for(lambda child=child: child.status is not None or bool(process.caught))  # type: ignore[misc]
        if child.status is None:
            return 128 + process.caught[0]
        shell.children.pop(child.pid, None)
        status = child.status
    return status if arguments else 0


def _kill(shell: Shell, arguments: list[str]) -> int:
    status, problems, output = basics.kill(shell.process, arguments)
    shell.write(output)
    for problem in problems:
        shell.complain(f"kill: {problem}")
    return status


def _umask(shell: Shell, arguments: list[str]) -> int:
    if not arguments:
        shell.write(f"{shell.process.umask:04o}\n")
        return 0
    try:
        shell.process.umask = int(arguments[0], 8)
    except ValueError:
        shell.complain(f"umask: Illegal mode: {arguments[0]}")
        return 2
    return 0


def _command(shell: Shell, arguments: list[str]) -> int:
    if arguments[:1] in (["-v"], ["-V"]):
        return max((_describe(shell, name) for name in arguments[1:]), default=0)
    words = arguments[1:] if arguments[:1] in (["-p"], ["--"]) else arguments
    if not words:
        return 0
    if words[0] in BUILTINS:
        return BUILTINS[words[0]](shell, words[1:])
    return shell.run_program(words, {})


def _describe(shell: Shell, name: str) -> int:
    if name in shell.functions or name in BUILTINS:
        shell.write(f"{name}\n")
        return 0
    found = shell.host.find_program(name, shell.process, shell.variables.get("PATH", ""))
    if found is None or not shell.host.is_executable(found, shell.process):
        return 127
    shell.write(f"{found}\n")
    return 0


def _type(shell: Shell, arguments: list[str]) -> int:
    status = 0
    for name in arguments:
        found = shell.host.find_program(name, shell.process, shell.variables.get("PATH", ""))
        if name in BUILTINS:
            shell.write(f"{name} is a shell builtin\n")
        elif name in shell.functions:
            shell.write(f"{name} is a shell function\n")
        elif found:
            shell.write(f"{name} is {found}\n")
        else:
            shell.write(f"{name}: not found\n")
            status = 127
    return status


def _ulimit(shell: Shell, arguments: list[str]) -> int:
    shell.write("1024\n" if "-n" in arguments else "unlimited\n")
    return 0


#: Builtins whose failure ends the shell, and that no function can hide.
SPECIAL = frozenset(
    (":", ".", "break", "continue", "eval", "exec", "exit", "export", "readonly", "return", "set", "shift")
) | {"trap", "unset"}

BUILTINS: dict[str, Builtin] = {
    ":": _nothing,
    ".": _dot,
    "[": _bracket,
    "break": _break,
    "cd": _cd,
    "command": _command,
    "continue": _continue,
    "echo": _echo,
    "eval": _eval,
    "exec": _nothing,  # the shell does it itself
    "exit": _exit,
    "export": _export,
    "false": _false,
    "hash": _nothing,
    "kill": _kill,
    "local": _local,
    "printf": _printf,
    "pwd": _pwd,
    "read": _read,
    "readonly": _readonly,
    "return": _return,
    "set": _set,
    "shift": _shift,
    "test": _test,
    "trap": _trap,
    "true": _nothing,
    "type": _type,
    "ulimit": _ulimit,
    "umask": _umask,
    "unset": _unset,
    "wait": _wait,
}
