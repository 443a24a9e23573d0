"""The grammar of the simulated sh: text becomes a tree of commands (POSIX.1, Shell Command Language).

Not supported: aliases, functions with a body that is no ``{ }``, ``case`` fall-through, process substitution,
and everything that bash and others added.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_OPERATORS = ("<<-", "&&", "||", ";;", "<<", ">>", "<&", ">&", "<>", ">|", "&", "|", ";", "<", ">", "(", ")")
_REDIRECTIONS = frozenset({"<", ">", ">>", "<<", "<<-", "<&", ">&", "<>", ">|"})
_ENDS_WORD = frozenset(" \t\n|&;<>()")
RESERVED = frozenset(
    ("if", "then", "elif", "else", "fi", "for", "while", "until", "do", "done", "case", "esac", "{", "}", "!")
)


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


@dataclass(slots=True)
class _Token:
    """``kind``: word, operator, number (of a descriptor, before a redirection), newline, end."""

    kind: str
    text: str = ""
    word: Word = ()

    @property
    def reserved(self) -> str:
        """The word's text if nothing of it is quoted."""
        if self.kind != "word" or len(self.word) != 1:
            return ""
        part = self.word[0]
        return part.text if isinstance(part, Text) and not part.quoted else ""


@dataclass(frozen=True, slots=True)
class _Document:
    """A here-document whose lines are still to come."""

    redirection: Redirection
    marker: str
    strips_tabs: bool
    quoted: bool


def _no_more() -> str:
    return ""


@dataclass
class Parser:
    """Reads commands from a text that may grow: ``more`` gives the next piece, "" at the end."""

    text: str
    more: Callable[[], str] = _no_more
    _position: int = 0
    _token: _Token | None = None
    _documents: list[_Document] = field(default_factory=list)

    def next_line(self) -> tuple[AndOr, ...] | None:
        """The commands up to the next newline that ends one; None at the end of the text."""
        while self._peek().kind == "newline":
            self._take()
        if self._peek().kind == "end":
            return None
        commands: list[AndOr] = []
        while self._peek().kind not in ("newline", "end"):
            commands.append(self._and_or())
            token = self._peek()
            if token.kind == "operator" and token.text in (";", "&"):
                self._take()
            elif token.kind not in ("newline", "end"):
                raise self._unexpected(token)
        # The newline is taken and nothing after it is looked at: a shell that is fed line by line acts now.
        self._take()
        return tuple(commands)

    def all(self) -> tuple[AndOr, ...]:
        found: list[AndOr] = []
        while (line := self.next_line()) is not None:
            found += line
        return tuple(found)

    # commands

    def _list(self, *ends: str) -> tuple[AndOr, ...]:
        """Commands up to one of the reserved words or operators, which stays."""
        commands: list[AndOr] = []
        while True:
            while self._peek().kind == "newline":
                self._take()
            token = self._peek()
            if token.reserved in ends or (token.kind == "operator" and token.text in ends):
                if not commands and token.text != ";;" and ends != ("esac", ";;"):
                    raise self._unexpected(token)
                return tuple(commands)
            if token.kind == "end":
                raise self._unexpected(token, ends[0])
            commands.append(self._and_or())
            token = self._peek()
            if token.kind == "operator" and token.text in (";", "&"):
                self._take()
            elif token.kind not in ("newline", "end") and not (
                token.reserved in ends or (token.kind == "operator" and token.text in ends)
            ):
                raise self._unexpected(token, ends[0])

    def _and_or(self) -> AndOr:
        pipelines = [("", self._pipeline())]
        while self._peek().kind == "operator" and self._peek().text in ("&&", "||"):
            operator = self._take().text
            self._skip_newlines()
            pipelines.append((operator, self._pipeline()))
        token = self._peek()
        return AndOr(tuple(pipelines), token.kind == "operator" and token.text == "&")

    def _pipeline(self) -> Pipeline:
        negated = False
        while self._peek().reserved == "!":
            self._take()
            negated = not negated
        commands = [self._command()]
        while self._peek().kind == "operator" and self._peek().text == "|":
            self._take()
            self._skip_newlines()
            commands.append(self._command())
        return Pipeline(tuple(commands), negated)

    def _command(self) -> Command:
        token = self._peek()
        if token.kind == "operator" and token.text == "(":
            self._take()
            body = self._list(")")
            self._take()
            return Group(body, self._redirections(), True)
        match token.reserved:
            case "{":
                return self._braces()
            case "if":
                return self._if()
            case "while" | "until" as word:
                self._take()
                condition = self._list("do")
                return While(condition, self._do(), self._redirections(), word == "until")
            case "for":
                return self._for()
            case "case":
                return self._case()
            case word if word in RESERVED:
                raise self._unexpected(token)
        if token.kind not in ("word", "number") and not (
            token.kind == "operator" and token.text in _REDIRECTIONS
        ):
            raise self._unexpected(token)
        return self._simple()

    def _braces(self) -> Group:
        self._expect("{")
        body = self._list("}")
        self._take()
        return Group(body, self._redirections(), False)

    def _if(self) -> If:
        self._take()
        branches: list[tuple[tuple[AndOr, ...] | None, tuple[AndOr, ...]]] = []
        condition: tuple[AndOr, ...] | None = self._list("then")
        while True:
            self._take()
            branches.append(
                (condition, self._list("fi", *(("elif", "else") if condition is not None else ())))
            )
            word = self._peek().reserved
            if word == "fi":
                self._take()
                return If(tuple(branches), self._redirections())
            if word == "elif":
                self._take()
                condition = self._list("then")
            else:
                condition = None

    def _do(self) -> tuple[AndOr, ...]:
        self._expect("do")
        body = self._list("done")
        self._take()
        return body

    def _for(self) -> For:
        self._take()
        name = self._take()
        if not NAME.fullmatch(name.reserved):
            raise self._problem("Bad for loop variable")
        self._skip_newlines()
        words: list[Word] | None = None
        if self._peek().reserved == "in":
            self._take()
            words = []
            while self._peek().kind in ("word", "number"):
                token = self._take()
                words.append(token.word or (Text(token.text),))
        if self._peek().text == ";":
            self._take()
        self._skip_newlines()
        body = self._do()
        return For(name.reserved, None if words is None else tuple(words), body, self._redirections())

    def _case(self) -> Case:
        self._take()
        subject = self._word()
        self._skip_newlines()
        self._expect("in")
        branches: list[tuple[tuple[Word, ...], tuple[AndOr, ...]]] = []
        while True:
            self._skip_newlines()
            if self._peek().reserved == "esac":
                break
            if self._peek().text == "(":
                self._take()
            patterns = [self._word()]
            while self._peek().text == "|":
                self._take()
                patterns.append(self._word())
            self._expect(")")
            branches.append((tuple(patterns), self._list("esac", ";;")))
            if self._peek().text == ";;":
                self._take()
        self._take()
        return Case(subject, tuple(branches), self._redirections())

    def _word(self) -> Word:
        token = self._take()
        if token.kind != "word":
            raise self._unexpected(token)
        return token.word

    def _redirections(self) -> tuple[Redirection, ...]:
        found: list[Redirection] = []
        while self._peek().kind == "number" or self._peek().text in _REDIRECTIONS:
            found.append(self._redirection())
        return tuple(found)

    def _redirection(self) -> Redirection:
        descriptor = int(self._take().text) if self._peek().kind == "number" else -1
        operator = self._take().text
        target = self._word()
        if operator.startswith("<<"):
            quoted = any(isinstance(part, Text) and part.quoted for part in target)
            marker = "".join(part.text for part in target if isinstance(part, Text))
            redirection = Redirection(max(descriptor, 0), "<<", ())
            self._documents.append(_Document(redirection, marker, operator == "<<-", quoted))
            return redirection
        if descriptor < 0:
            descriptor = 0 if operator.startswith("<") else 1
        return Redirection(descriptor, operator, target)

    def _simple(self) -> Command:
        line = self._line()
        assignments: list[tuple[str, Word]] = []
        words: list[Word] = []
        redirections: list[Redirection] = []
        while True:
            token = self._peek()
            if token.kind == "number" or (token.kind == "operator" and token.text in _REDIRECTIONS):
                redirections.append(self._redirection())
            elif token.kind != "word":
                if token.kind == "operator" and token.text == "(" and len(words) == 1 and not assignments:
                    return self._function(words[0])
                return Simple(tuple(assignments), tuple(words), tuple(redirections), line)
            elif not words and (assignment := _assignment(token.word)):
                self._take()
                assignments.append(assignment)
            else:
                words.append(self._take().word)

    def _function(self, word: Word) -> Function:
        name = _Token("word", word=word).reserved
        self._take()
        self._expect(")")
        self._skip_newlines()
        if not NAME.fullmatch(name):
            raise self._problem("Bad function name")
        return Function(name, self._braces())

    # tokens

    def _peek(self) -> _Token:
        if self._token is None:
            self._token = self._read_token()
        return self._token

    def _take(self) -> _Token:
        token = self._peek()
        self._token = None
        if token.kind in ("newline", "end"):
            self._read_documents()
        return token

    def _expect(self, word: str) -> None:
        token = self._peek()
        if word not in (token.reserved, token.text):
            raise self._unexpected(token, word)
        self._take()

    def _skip_newlines(self) -> None:
        while self._peek().kind == "newline":
            self._take()

    def _unexpected(self, token: _Token, expected: str = "") -> SyntaxProblem:
        names = {"end": "end of file", "newline": "newline", "word": "word"}
        name = names.get(token.kind, f'"{token.text}"')
        if token.reserved in RESERVED:
            name = f'"{token.reserved}"'
        wanted = f' (expecting "{expected}")' if expected else ""
        return self._problem(f"{name} unexpected{wanted}")

    def _problem(self, message: str) -> SyntaxProblem:
        return SyntaxProblem(self._line(), f"Syntax error: {message}")

    def _line(self) -> int:
        return self.text.count("\n", 0, self._position) + 1

    def _character(self, ahead: int = 0) -> str:
        """The character at the position; "" at the end."""
        while self._position + ahead >= len(self.text):
            piece = self.more()
            if not piece:
                return ""
            self.text += piece
        return self.text[self._position + ahead]

    def _starts_with(self, text: str) -> bool:
        return all(self._character(index) == character for index, character in enumerate(text))

    def _read_token(self) -> _Token:
        while True:
            character = self._character()
            if character and character in " \t":
                self._position += 1
            elif character == "\\" and self._character(1) == "\n":
                self._position += 2
            elif character == "#":
                while self._character() not in ("", "\n"):
                    self._position += 1
            else:
                break
        if not character:
            return _Token("end")
        if character == "\n":
            self._position += 1
            return _Token("newline", "\n")
        for operator in _OPERATORS:
            if character == operator[0] and self._starts_with(operator):
                self._position += len(operator)
                return _Token("operator", operator)
        word = self._read_word(lambda found: found in _ENDS_WORD)
        only = _Token("word", word=word).reserved
        if only.isdigit() and self._character() in ("<", ">") and self._character():
            return _Token("number", only)
        return _Token("word", word=word)

    def _read_documents(self) -> None:
        """Read the here-documents whose lines follow."""
        waiting, self._documents = self._documents, []
        for document in waiting:
            lines: list[str] = []
            while True:
                if not self._character():
                    break  # as dash: the end of the text ends the document too
                line = self._read_line()
                if document.strips_tabs:
                    line = line.lstrip("\t")
                if line.removesuffix("\n") == document.marker:
                    break
                lines.append(line)
            body = "".join(lines)
            document.redirection.target = (Text(body, True),) if document.quoted else Parser(body).document()

    def _read_line(self) -> str:
        start = self._position
        while self._character() not in ("", "\n"):
            self._position += 1
        if self._character():
            self._position += 1
        return self.text[start : self._position]

    def document(self) -> Word:
        """The whole text as the body of a here-document: as between double quotes, but quotes are text."""
        return tuple(self._quoted_parts(lambda found: False, escapes="$`\\"))

    # words

    def _read_word(self, ends: Callable[[str], bool]) -> Word:
        parts: list[Part] = []
        plain = ""

        def flush() -> None:
            nonlocal plain
            if plain:
                parts.append(Text(plain))
            plain = ""

        while (character := self._character()) and not ends(character):
            if character == "'":
                flush()
                self._position += 1
                parts.append(Text(self._until("'"), True))
            elif character == '"':
                flush()
                self._position += 1
                inside = self._quoted_parts(lambda found: found == '"', escapes='$`"\\')
                if not self._character():
                    raise self._problem("Unterminated quoted string")
                self._position += 1
                parts += inside or [Text("", True)]
            elif character == "\\":
                following = self._character(1)
                self._position += 2 if following else 1
                if following != "\n":
                    flush()
                    parts.append(Text(following or "\\", True))
            elif character in "$`":
                part = self._dollar(quoted=False)
                if isinstance(part, Text):
                    plain += part.text
                else:
                    flush()
                    parts.append(part)
            else:
                plain += character
                self._position += 1
        flush()
        return tuple(parts)

    def _until(self, end: str) -> str:
        start = self._position
        while (character := self._character()) != end:
            if not character:
                raise self._problem("Unterminated quoted string")
            self._position += 1
        self._position += 1
        return self.text[start : self._position - 1]

    def _quoted_parts(self, ends: Callable[[str], bool], *, escapes: str) -> list[Part]:
        parts: list[Part] = []
        plain = ""
        while (character := self._character()) and not ends(character):
            if character == "\\":
                following = self._character(1)
                if following == "\n":
                    self._position += 2
                elif following and following in escapes:
                    plain += following
                    self._position += 2
                else:
                    plain += character
                    self._position += 1
            elif character in "$`":
                part = self._dollar(quoted=True)
                if isinstance(part, Text):
                    plain += part.text
                    continue
                if plain:
                    parts.append(Text(plain, True))
                plain = ""
                parts.append(part)
            else:
                plain += character
                self._position += 1
        if plain:
            parts.append(Text(plain, True))
        return parts

    def _dollar(self, *, quoted: bool) -> Part:
        """What begins with ``$`` or a backtick; a lone ``$`` is itself."""
        if self._character() == "`":
            return self._backticks(quoted)
        following = self._character(1)
        if following == "(" and self._character(2) == "(":
            return self._arithmetic(quoted)
        if following == "(":
            self._position += 2
            outer, self._token = self._token, None
            self._skip_newlines()
            script = () if self._peek().text == ")" else self._list(")")
            self._token = outer  # the position stands right after the ")"
            return Substitution(script, quoted)
        if following == "{":
            self._position += 2
            return self._braced(quoted)
        self._position += 1
        if following and following in "@*#?-$!0123456789":
            self._position += 1
            return Parameter(following, quoted)
        name = ""
        while (character := self._character()) and (
            character == "_" or (character.isascii() and character.isalnum())
        ):
            name += character
            self._position += 1
        return Parameter(name, quoted) if name else Text("$", quoted)

    def _backticks(self, quoted: bool) -> Part:
        self._position += 1
        inner = ""
        while (character := self._character()) != "`":
            if not character:
                raise self._problem("EOF in backquote substitution")
            if character == "\\" and self._character(1) in ("`", "\\", "$"):
                self._position += 1
                character = self._character()
            inner += character
            self._position += 1
        self._position += 1
        return Substitution(Parser(inner).all(), quoted)

    def _arithmetic(self, quoted: bool) -> Part:
        self._position += 3
        start, depth = self._position, 0
        while True:
            character = self._character()
            if not character:
                raise self._problem("Missing '))'")
            if character == "(":
                depth += 1
            elif character == ")" and depth:
                depth -= 1
            elif character == ")" and self._character(1) == ")":
                break
            self._position += 1
        expression = Parser(self.text[start : self._position]).document()
        self._position += 2
        return Arithmetic(expression, quoted)

    def _braced(self, quoted: bool) -> Part:
        if self._character() == "#" and self._character(1) not in ("}", "-", "=", "?", "+", ":", "%", "#"):
            self._position += 1
            name = self._parameter_name()
            if self._character() != "}":
                raise self._problem("Bad substitution")
            self._position += 1
            return Parameter(name, quoted, "#")
        name = self._parameter_name()
        operator = ""
        for candidate in (":-", ":=", ":?", ":+", "%%", "##", "-", "=", "?", "+", "%", "#"):
            if self._starts_with(candidate):
                operator = candidate
                break
        if not operator:
            if self._character() != "}":
                raise self._problem("Bad substitution")
            self._position += 1
            return Parameter(name, quoted)
        self._position += len(operator)
        if quoted and operator[0] not in "%#":
            operand = self._braced_quoted()
        else:
            operand = self._read_word(lambda found: found == "}")
        if self._character() != "}":
            raise self._problem("Missing '}'")
        self._position += 1
        return Parameter(name, quoted, operator, operand)

    def _braced_quoted(self) -> Word:
        """The operand of a ``${...}`` between double quotes: double quotes within it change nothing."""
        parts: list[Part] = []
        while self._character() not in ("", "}"):
            if self._character() == '"':
                self._position += 1
                continue
            parts += self._quoted_parts(lambda found: found in '"}', escapes='$`"\\}')
        return tuple(parts)

    def _parameter_name(self) -> str:
        character = self._character()
        if character and character in "@*#?-$!":
            self._position += 1
            return character
        name = ""
        while (character := self._character()) and (
            character == "_" or (character.isascii() and character.isalnum())
        ):
            name += character
            self._position += 1
        if not name:
            raise self._problem("Bad substitution")
        return name


def _assignment(word: Word) -> tuple[str, Word] | None:
    first = word[0] if word else None
    if not isinstance(first, Text) or first.quoted:
        return None
    found = _ASSIGNMENT.match(first.text)
    if not found:
        return None
    name, rest = first.text[: found.end() - 1], first.text[found.end() :]
    return name, ((Text(rest), *word[1:]) if rest else word[1:])
