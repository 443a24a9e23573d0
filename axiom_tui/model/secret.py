"""A secret that cannot be printed by accident, and the net that takes known secrets out of texts."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterator, Mapping
from typing import NoReturn
from urllib.parse import quote, quote_plus

from axiom_tui.model.masking import MASK, mask

#: A line of a secret with several lines is masked by itself from this length on: below it, a line is more
#: likely a word such as "{" than a secret.
SHORTEST_LINE = 6


class Secret:
    """A text that shows itself only to `reveal`. Formatting, ``repr`` and JSON give the mask or refuse."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself: for the one call that sends it, never for a sentence."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written down")


class Masker:
    """Takes the secrets in play out of texts, also in the forms in which tools repeat them.

    Any thread may call it while another one adds a secret.
    """

    def __init__(self) -> None:
        self._forms: tuple[str, ...] = ()

    def add(self, secret: Secret) -> None:
        """From now on this secret is masked; an empty one is none."""
        forms = {*self._forms, *_forms(secret.reveal())}
        # Longest first: a form that holds another one goes as a whole.
        self._forms = tuple(sorted(forms, key=lambda form: (-len(form), form)))

    def known(self, text: str) -> str:
        """The text without the known secrets."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return text

    def __call__(self, text: str) -> str:
        """The text without the known secrets, and without all that has the shape of one."""
        return mask(self.known(text))

    def json(self, value: object) -> object:
        """A JSON value with the known secrets, and all `Secret`s, masked in its strings and keys.

        Shapes are left alone here: a choice that only looks like a secret must survive the journal.
        """
        if isinstance(value, Secret):
            return MASK
        if isinstance(value, str):
            return self.known(value)
        if isinstance(value, Mapping):
            return {self.known(str(key)): self.json(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.json(item) for item in value]
        return value


def _forms(text: str) -> Iterator[str]:
    lines = [line.strip() for line in text.splitlines()]
    whole = text.strip()
    for plain in {text, whole, *(line for line in lines if len(line) >= SHORTEST_LINE)}:
        if not plain.strip():
            continue
        yield plain
        yield json.dumps(plain)[1:-1]
        yield json.dumps(plain, ensure_ascii=False)[1:-1]
        yield repr(plain)[1:-1]
        yield shlex.quote(plain)
        yield quote(plain, safe="")
        yield quote(plain)
        yield quote_plus(plain)
        yield base64.b64encode(plain.encode()).decode()
        yield base64.urlsafe_b64encode(plain.encode()).decode()
