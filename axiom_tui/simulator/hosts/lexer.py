"""Words and tokens of the simulated sh: quotes, expansions and here-documents (POSIX.1, 2.2 to 2.3)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from axiom_tui.simulator.hosts.syntax import (
    AndOr,
    Arithmetic,
    Parameter,
    Part,
    Redirection,
    Substitution,
    SyntaxProblem,
    Text,
    Word,
)

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = ("<<-", "&&", "||", ";;", "<<", ">>", "<&", ">&", "<>", ">|", "&", "|", ";", "<", ">", "(", ")")
REDIRECTIONS = frozenset({"<", ">", ">>", "<<", "<<-", "<&", ">&", "<>", ">|"})
_ENDS_WORD = frozenset(" \t\n|&;<>()")
RESERVED = frozenset(
    ("if", "then", "elif", "else", "fi", "for", "while", "until", "do", "done", "case", "esac", "{", "}", "!")
)


@dataclass(slots=True)
class Token:
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
class Document:
    """A here-document whose lines are still to come."""

    redirection: Redirection
    marker: str
    strips_tabs: bool
    quoted: bool


def _no_more() -> str:
    return ""


@dataclass
class Lexer:
    """Reads tokens from a text that may grow: ``more`` gives the next piece, "" at the end."""

    text: str
    more: Callable[[], str] = _no_more
    _position: int = 0
    _token: Token | None = None
    _documents: list[Document] = field(default_factory=list)

    def all(self) -> tuple[AndOr, ...]:
        """All commands of the text. The parser knows how."""
        raise NotImplementedError

    def _list(self, *ends: str) -> tuple[AndOr, ...]:
        """Commands up to one of the words or operators. The parser knows how."""
        raise NotImplementedError

    def _peek(self) -> Token:
        if self._token is None:
            self._token = self._read_token()
        return self._token

    def _take(self) -> Token:
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

    def _unexpected(self, token: Token, expected: str = "") -> SyntaxProblem:
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

    def _read_token(self) -> Token:
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
            return Token("end")
        if character == "\n":
            self._position += 1
            return Token("newline", "\n")
        for operator in _OPERATORS:
            if character == operator[0] and self._starts_with(operator):
                self._position += len(operator)
                return Token("operator", operator)
        word = self._read_word(lambda found: found in _ENDS_WORD)
        only = Token("word", word=word).reserved
        if only.isdigit() and self._character() in ("<", ">") and self._character():
            return Token("number", only)
        return Token("word", word=word)

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
            document.redirection.target = (
                (Text(body, True),) if document.quoted else type(self)(body).document()
            )

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
        return Substitution(type(self)(inner).all(), quoted)

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
        expression = type(self)(self.text[start : self._position]).document()
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
