"""The grammar of the simulated sh (POSIX.1, Shell Command Language).

Not supported: aliases, functions with a body that is no ``{ }``, ``case`` fall-through, process substitution,
and everything that bash and others added.
"""

from __future__ import annotations

import re

from axiom_tui.simulator.hosts.lexer import NAME, REDIRECTIONS, RESERVED, Document, Lexer, Token
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
    Text,
    While,
    Word,
)

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


class Parser(Lexer):
    """Reads commands, line by line or all at once."""

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
            token.kind == "operator" and token.text in REDIRECTIONS
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
        while self._peek().kind == "number" or self._peek().text in REDIRECTIONS:
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
            self._documents.append(Document(redirection, marker, operator == "<<-", quoted))
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
            if token.kind == "number" or (token.kind == "operator" and token.text in REDIRECTIONS):
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
        name = Token("word", word=word).reserved
        self._take()
        self._expect(")")
        self._skip_newlines()
        if not NAME.fullmatch(name):
            raise self._problem("Bad function name")
        return Function(name, self._braces())


def _assignment(word: Word) -> tuple[str, Word] | None:
    first = word[0] if word else None
    if not isinstance(first, Text) or first.quoted:
        return None
    found = _ASSIGNMENT.match(first.text)
    if not found:
        return None
    name, rest = first.text[: found.end() - 1], first.text[found.end() :]
    return name, ((Text(rest), *word[1:]) if rest else word[1:])
