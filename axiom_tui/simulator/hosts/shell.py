"""The simulated sh: runs the commands that `syntax` reads, as dash would, on an in-memory host."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from axiom_tui.simulator.hosts.expansion import (
    ExpansionProblem,
    expand_pattern,
    expand_text,
    expand_words,
)
from axiom_tui.simulator.hosts.kernel import Nothing, OpenFile, Pipe, Process
from axiom_tui.simulator.hosts.parser import Parser
from axiom_tui.simulator.hosts.redirections import redirect, redirected, redirection_problem
from axiom_tui.simulator.hosts.syntax import (
    AndOr,
    Case,
    Command,
    For,
    Function,
    Group,
    If,
    Pipeline,
    Redirection,
    Simple,
    SyntaxProblem,
    While,
)

if TYPE_CHECKING:
    from axiom_tui.simulator.hosts.host import Host

_READ_AT_ONCE = 8192  # dash reads its commands in blocks of this size
DEEPEST = 200  # calls of functions within functions


class Exit(Exception):
    """The shell ends; ``replaced``: by the program that took its place."""

    def __init__(self, status: int, *, replaced: bool = False) -> None:
        super().__init__(status)
        self.status, self.replaced = status, replaced


class Leave(Exception):
    """``break``, ``continue`` or ``return``; ``levels`` loops are left."""

    def __init__(self, word: str, levels: int = 1, status: int = 0) -> None:
        super().__init__(word)
        self.word, self.levels, self.status = word, levels, status


class Shell:
    """One shell, in the process it runs in; a subshell is a copy in a process of its own."""

    def __init__(self, host: Host, process: Process, name: str = "sh", arguments: Sequence[str] = ()) -> None:
        self.host = host
        self.process = process
        self.name = name
        self.arguments = list(arguments)
        self.variables = {"IFS": " \t\n", **process.environment, "PWD": process.directory}
        self.variables["PPID"] = str(process.parent.pid if process.parent else 1)
        self.exported = set(process.environment)
        self.read_only: set[str] = set()
        self.functions: dict[str, Group] = {}
        self.options: set[str] = set()
        self.traps: dict[int, str] = {}
        self.children: dict[int, Process] = {}
        self.status = 0
        self.substituted: int | None = None  # the status of the last command substitution
        self.last_background = 0
        self.number = process.pid  # $$ stays the number of the first shell in its subshells
        self.line = 1
        self.locals: list[dict[str, str | None]] = []
        self._untested = True  # whether a failure ends the shell under ``set -e``

    # running a whole shell

    def run_text(self, text: str) -> int:
        return self.run(Parser(text))

    def run_input(self) -> int:
        """Run what comes on standard input, command by command."""

        def more() -> str:
            piece = self.process.file(0).read(self.process, _READ_AT_ONCE)
            return piece.decode(errors="surrogateescape")

        return self.run(Parser("", more))

    def run(self, parser: Parser) -> int:
        def read_and_run() -> int:
            while (commands := parser.next_line()) is not None:
                self.run_list(commands)
            return self.status

        return self.finish(read_and_run)

    def finish(self, body: Callable[[], int]) -> int:
        """Run a body to the shell's end, with what an end brings: messages and the EXIT trap."""
        try:
            status = self._guarded(body)
        except Exit as leaving:
            if leaving.replaced:
                return leaving.status
            status = leaving.status
        action = self.traps.pop(0, "")
        if action:
            self.status = status
            try:
                self._guarded(lambda: self.evaluate(action))
            except Exit as leaving:
                status = leaving.status
        return status

    def _guarded(self, body: Callable[[], int]) -> int:
        try:
            return body()
        except SyntaxProblem as problem:
            self.complain(problem.message, line=problem.line)
        except ExpansionProblem as problem:
            self.complain(str(problem))
        except Leave as leaving:
            return leaving.status
        return 2

    def evaluate(self, text: str) -> int:
        """Run a text in this shell: ``eval``, traps and ``.``."""
        parser, line, ran = Parser(text), self.line, False
        while (commands := parser.next_line()) is not None:
            ran = True
            self.run_list(commands)
        self.line = line
        self.status = self.status if ran else 0
        return self.status

    def complain(self, message: str, *, line: int = 0) -> None:
        self.write_error(f"{self.name}: {line or self.line}: {message}\n")

    def write(self, text: str | bytes) -> None:
        data = text.encode(errors="surrogateescape") if isinstance(text, str) else text
        if data:
            self.process.write(1, data)

    def write_error(self, text: str) -> None:
        if 2 in self.process.files:
            self.process.write(2, text.encode(errors="surrogateescape"))

    # variables

    def parameter(self, name: str) -> str | None:
        """The value of a variable, an argument or a special parameter; None if it is not set."""
        if name.isdigit():
            if name == "0":
                return self.name
            return self.arguments[int(name) - 1] if int(name) <= len(self.arguments) else None
        special: dict[str, Callable[[], str | None]] = {
            "?": lambda: str(self.status),
            "#": lambda: str(len(self.arguments)),
            "$": lambda: str(self.number),
            "!": lambda: str(self.last_background) if self.last_background else None,
            "-": lambda: "".join(sorted(self.options)),
            "@": lambda: " ".join(self.arguments) if self.arguments else None,
            "*": lambda: " ".join(self.arguments) if self.arguments else None,
            "LINENO": lambda: str(self.line),
        }
        return special[name]() if name in special else self.variables.get(name)

    def assign(self, name: str, value: str) -> None:
        if name in self.read_only:
            raise ExpansionProblem(f"{name}: is read only")
        self.variables[name] = value
        if "a" in self.options:
            self.exported.add(name)

    def environment(self) -> dict[str, str]:
        return {name: self.variables[name] for name in sorted(self.exported) if name in self.variables}

    # commands

    def run_list(self, commands: Sequence[AndOr]) -> int:
        for command in commands:
            self._attend()
            if command.background:
                self._run_in_background(command)
            else:
                self._run_and_or(command)
        self._attend()
        return self.status

    def _run_and_or(self, command: AndOr) -> None:
        last = len(command.pipelines) - 1
        for index, (operator, pipeline) in enumerate(command.pipelines):
            if (operator == "&&" and self.status) or (operator == "||" and not self.status):
                continue
            with self._tested(index < last or pipeline.negated):
                self._run_pipeline(pipeline)

    @contextmanager
    def _tested(self, tested: bool) -> Iterator[None]:
        before = self._untested
        self._untested = before and not tested
        try:
            yield
        finally:
            self._untested = before

    def _run_pipeline(self, pipeline: Pipeline) -> None:
        if len(pipeline.commands) == 1:
            command = pipeline.commands[0]
            self.status = self.run_command(command)
            fails = isinstance(command, Simple) or (isinstance(command, Group) and command.apart)
        else:
            self.status = self._run_piped(pipeline.commands)
            fails = True
        if pipeline.negated:
            self.status = int(not self.status)
        elif fails and self.status and self._untested and "e" in self.options:
            raise Exit(self.status)

    def _run_piped(self, commands: Sequence[Command]) -> int:
        processes: list[Process] = []
        files = dict(self.process.files)
        source: OpenFile | None = None
        for index, command in enumerate(commands):
            own = dict(files)
            if source is not None:
                own[0] = source
            if index < len(commands) - 1:
                pipe = Pipe(self.process.kernel)
                own[1], source = pipe.writer, pipe.reader
            processes.append(self._start(command, own))
        for process in processes:
            self._wait(process)
        return processes[-1].status or 0

    def _start(self, command: Command | AndOr, files: dict[int, OpenFile]) -> Process:
        """Run a command in a process of its own, which a single program takes over."""

        def body(shell: Shell) -> int:
            return shell._run_all((command,)) if isinstance(command, AndOr) else shell._in_place(command)

        return self.fork(body, files)

    def _run_all(self, commands: Sequence[AndOr]) -> int:
        """All that this shell is there for: a single program takes its place, as in dash."""
        if len(commands) == 1 and len(commands[0].pipelines) == 1 and not commands[0].background:
            pipeline = commands[0].pipelines[0][1]
            if len(pipeline.commands) == 1 and not pipeline.negated:
                return self._in_place(pipeline.commands[0])
        return self.run_list(commands)

    def _in_place(self, command: Command) -> int:
        if isinstance(command, Simple):
            return self._run_simple(command, in_place=True)
        return self.run_command(command)

    def fork(self, body: Callable[[Shell], int], files: dict[int, OpenFile]) -> Process:
        """Run a body in a copy of this shell, in a process of its own."""
        copy = object.__new__(Shell)
        copy.__dict__.update(self.__dict__)
        copy.variables, copy.exported = dict(self.variables), set(self.exported)
        copy.functions, copy.options = dict(self.functions), set(self.options)
        copy.read_only, copy.arguments = set(self.read_only), list(self.arguments)
        copy.locals, copy.children = [], {}
        # Traps are for this shell alone, except that what is ignored stays so.
        copy.traps = {number: action for number, action in self.traps.items() if number and not action}

        def main(process: Process) -> int:
            copy.process = process
            return copy.finish(lambda: body(copy))

        return self.process.kernel.spawn(main, parent=self.process, files=files)

    def _run_in_background(self, command: AndOr) -> None:
        files = {**self.process.files, 0: Nothing()}
        process = self._start(AndOr(command.pipelines, False), files)
        self.children[process.pid] = process
        self.last_background = process.pid
        self.status = 0

    def _wait(self, process: Process) -> int:
        self.process.wait_for(lambda: process.status is not None)
        return process.status or 0

    def _attend(self) -> None:
        """Run the traps of signals that came."""
        self.process.check()
        while self.process.caught:
            number = self.process.caught.popleft()
            status = self.status
            self.evaluate(self.traps.get(number, ""))
            self.status = status

    def substitute(self, script: Sequence[AndOr]) -> str:
        """The output of a command substitution, without the newlines at its end."""
        pipe = Pipe(self.process.kernel)

        process = self.fork(lambda shell: shell._run_all(script), {**self.process.files, 1: pipe.writer})
        output = b""
        while piece := pipe.reader.read(self.process, 65_536):
            output += piece
        self.status = self.substituted = self._wait(process)
        return output.replace(b"\0", b"").decode(errors="surrogateescape").rstrip("\n")

    def run_command(self, command: Command) -> int:
        if isinstance(command, Simple):
            return self._run_simple(command)
        if isinstance(command, Function):
            self.functions[command.name] = command.body
            return 0
        try:
            with redirected(self, command.redirections):
                return self._run_compound(command)
        except OSError as error:
            self.complain(redirection_problem(error))
            return 2

    def _run_compound(self, command: Group | If | While | For | Case) -> int:
        match command:
            case Group():
                if not command.apart:
                    return self._run_body(command.body)
                return self._wait(self.fork(lambda shell: shell._run_all(command.body), self.process.files))
            case If():
                for condition, body in command.branches:
                    if condition is None or self._holds(condition):
                        return self._run_body(body)
                return 0
            case While():
                return self._loop(
                    iter(lambda: self._holds(command.condition) != command.until, False), command.body
                )
            case For():
                words = self.arguments if command.words is None else expand_words(self, command.words)
                return self._loop(self._assigning(command.name, list(words)), command.body)
            case Case():
                subject = expand_text(self, command.subject)
                for patterns, body in command.branches:
                    if any(expand_pattern(self, pattern).fullmatch(subject) for pattern in patterns):
                        return self._run_body(body)
                return 0

    def _run_body(self, body: Sequence[AndOr]) -> int:
        self.status = 0 if not body else self.status
        return self.run_list(body)

    def _holds(self, condition: Sequence[AndOr]) -> bool:
        with self._tested(True):
            return self.run_list(condition) == 0

    def _assigning(self, name: str, words: list[str]) -> Iterator[str]:
        for word in words:
            self.assign(name, word)
            yield word

    def _loop(self, rounds: Iterator[object], body: Sequence[AndOr]) -> int:
        status = 0
        try:
            for _ in rounds:
                try:
                    status = self.run_list(body)
                except Leave as leaving:
                    if leaving.word == "return":
                        raise
                    status = 0
                    if leaving.levels > 1:
                        raise Leave(leaving.word, leaving.levels - 1) from leaving
                    if leaving.word == "break":
                        break
        except Leave as leaving:  # out of the condition
            if leaving.word == "return" or leaving.levels > 1:
                raise
        return status

    # simple commands

    def _run_simple(self, command: Simple, *, in_place: bool = False) -> int:
        self.line = command.line
        before = self.status
        self.substituted = None
        words = expand_words(self, command.words)
        if not words:
            for name, word in command.assignments:
                self.assign(name, expand_text(self, word))
            status = self.substituted or 0  # of the last command substitution
            try:
                with redirected(self, command.redirections):
                    return status
            except OSError as error:
                self.complain(redirection_problem(error))
                return 2
        self.status = before
        assignments = {name: expand_text(self, word) for name, word in command.assignments}
        if "x" in self.options:
            self.write_error("+ " + " ".join([*(f"{k}={v}" for k, v in assignments.items()), *words]) + "\n")
        return self._call(words, assignments, command.redirections, in_place=in_place)

    def _call(
        self,
        words: list[str],
        assignments: dict[str, str],
        redirections: Sequence[Redirection],
        *,
        in_place: bool,
    ) -> int:
        from axiom_tui.simulator.hosts.builtins import BUILTINS, SPECIAL

        name = words[0]
        try:
            if name == "exec":
                return self._exec(words[1:], assignments, redirections)
            with redirected(self, redirections):
                if name in self.functions and name not in SPECIAL:
                    with self._assigned(assignments):
                        return self._call_function(name, words[1:])
                if name in BUILTINS:
                    with self._assigned(assignments):
                        return BUILTINS[name](self, words[1:])
                return self.run_program(words, assignments, in_place=in_place)
        except OSError as error:
            self.complain(redirection_problem(error))
            if name in SPECIAL:
                raise Exit(2) from error
            return 2

    @contextmanager
    def _assigned(self, assignments: dict[str, str]) -> Iterator[None]:
        """Assignments before a function or a builtin hold while it runs."""
        before = {name: self.variables.get(name) for name in assignments}
        for name, value in assignments.items():
            self.assign(name, value)
        try:
            yield
        finally:
            for name, old in before.items():
                if old is None:
                    self.variables.pop(name, None)
                else:
                    self.variables[name] = old

    def _call_function(self, name: str, arguments: list[str]) -> int:
        if len(self.locals) > DEEPEST:
            raise ExpansionProblem("Maximum function recursion depth (1000) reached")
        outer, self.arguments = self.arguments, arguments
        self.locals.append({})
        try:
            return self.run_command(self.functions[name])
        except Leave as leaving:
            if leaving.word != "return":
                raise
            return leaving.status
        finally:
            for variable, old in self.locals.pop().items():
                if old is None:
                    self.variables.pop(variable, None)
                else:
                    self.variables[variable] = old
            self.arguments = outer

    def _exec(
        self, words: list[str], assignments: dict[str, str], redirections: Sequence[Redirection]
    ) -> int:
        for redirection in redirections:
            redirect(self, redirection)
        if not words:
            return 0
        status = self.run_program(words, assignments, in_place=True)
        raise Exit(status, replaced=True)

    def run_program(self, words: list[str], assignments: dict[str, str], *, in_place: bool = False) -> int:
        """Run a program, in a process of its own or in the place of this shell."""
        environment = {**self.environment(), **assignments}
        found = self.host.find_program(
            words[0], self.process, assignments.get("PATH", self.variables.get("PATH", ""))
        )
        if found is None:
            self.complain(f"{words[0]}: not found")
            return 127
        if not self.host.is_executable(found, self.process):
            self.complain(f"{words[0]}: Permission denied")
            return 126

        def main(process: Process) -> int:
            process.environment = environment
            return self.host.execute(process, words, found)

        if in_place:
            return main(self.process)
        return self._wait(self.process.kernel.spawn(main, parent=self.process))
