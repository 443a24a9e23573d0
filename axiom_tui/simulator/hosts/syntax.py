"""The commands of the simulated sh as a tree, which `parser` makes and `shell` runs."""

from __future__ import annotations

from dataclasses import dataclass


class SyntaxProblem(Exception):
    """The text is no command; the message is worded as dash words it."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line, self.message = line, message


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    """``$name`` or ``${name<operator>operand}``; the operator ``#`` with no operand is ``${#name}``."""

    name: str
    quoted: bool
    operator: str = ""
    operand: Word | None = None


@dataclass(frozen=True, slots=True)
class Substitution:
    """``$(...)`` or backticks."""

    script: tuple[AndOr, ...]
    quoted: bool


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """``$((...))``"""

    expression: Word
    quoted: bool


Part = Text | Parameter | Substitution | Arithmetic
Word = tuple[Part, ...]


@dataclass(slots=True)
class Redirection:
    """``descriptor operator target``; for ``<<`` the target is the text itself, set once it has been read."""

    descriptor: int
    operator: str
    target: Word


@dataclass(frozen=True, slots=True)
class Simple:
    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirections: tuple[Redirection, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Group:
    """``{ ...; }``, or with ``apart`` a subshell ``( ... )``."""

    body: tuple[AndOr, ...]
    redirections: tuple[Redirection, ...]
    apart: bool


@dataclass(frozen=True, slots=True)
class If:
    """Pairs of condition and body; an ``else`` is a pair with the condition None."""

    branches: tuple[tuple[tuple[AndOr, ...] | None, tuple[AndOr, ...]], ...]
    redirections: tuple[Redirection, ...]


@dataclass(frozen=True, slots=True)
class While:
    condition: tuple[AndOr, ...]
    body: tuple[AndOr, ...]
    redirections: tuple[Redirection, ...]
    until: bool


@dataclass(frozen=True, slots=True)
class For:
    """``words`` None: over the arguments."""

    name: str
    words: tuple[Word, ...] | None
    body: tuple[AndOr, ...]
    redirections: tuple[Redirection, ...]


@dataclass(frozen=True, slots=True)
class Case:
    subject: Word
    branches: tuple[tuple[tuple[Word, ...], tuple[AndOr, ...]], ...]
    redirections: tuple[Redirection, ...]


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    body: Group


Command = Simple | Group | If | While | For | Case | Function


@dataclass(frozen=True, slots=True)
class Pipeline:
    commands: tuple[Command, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class AndOr:
    """Pipelines joined by ``&&`` and ``||``: the first has the operator ""."""

    pipelines: tuple[tuple[str, Pipeline], ...]
    background: bool
