"""The filter of a table: plain words, inverse words, and label selectors as kubectl writes them.

``/text`` keeps rows in which every word occurs, also inside of another word; ``/!text`` drops rows that
have them all as whole words: ``/!ready`` must not hide what is NotReady, which would be hidden by mistake
just when somebody looks for it. ``/-l key=value,key2!=x,key3,!key4,key5 in (a,b)`` selects by label.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from axiom_tui.model.problem import ProblemKind, fail

_REQUIREMENT = re.compile(
    r"""\s*(?:
        !\s*(?P<absent>[\w./-]+)
      | (?P<key>[\w./-]+)\s*(?:
            (?P<operator>==|=|!=)\s*(?P<value>[\w.-]*)
          | (?<=\s)(?P<set>in|notin)\s*\(\s*(?P<values>[^()]*)\)
        )?
    )\s*""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a selector; ``operator`` is ``exists``, ``absent``, ``in`` or ``notin``."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "exists":
                return self.key in labels
            case "absent":
                return self.key not in labels
            case "in":
                return labels.get(self.key) in self.values
            case _:
                return labels.get(self.key) not in self.values


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter; the empty one keeps everything."""

    text: str = ""
    words: tuple[str, ...] = ()
    inverse: bool = False
    selector: tuple[Requirement, ...] = ()

    def keeps(self, haystack: str, labels: Mapping[str, str]) -> bool:
        """Whether a row stays; ``haystack`` is all of its visible text, in lower case."""
        if self.selector:
            return all(requirement.matches(labels) for requirement in self.selector)
        if not self.words:
            return True
        if self.inverse:
            return not all(_whole(word).search(haystack) for word in self.words)
        return all(word in haystack for word in self.words)


@lru_cache(maxsize=64)
def _whole(word: str) -> re.Pattern[str]:
    """The word with no letter or digit of another one at its ends; ``wall`` is one in ``wall-a-1``."""
    before = r"(?<!\w)" if word[0].isalnum() else ""
    after = r"(?!\w)" if word[-1].isalnum() else ""
    return re.compile(before + re.escape(word) + after)


def parse_filter(text: str) -> Filter:
    """Read what the admin typed behind ``/``; raises AxiomError (INVALID) for a broken selector."""
    stripped = text.strip()
    if stripped.startswith("-l"):
        return Filter(stripped, selector=parse_selector(stripped[2:]))
    inverse = stripped.startswith("!")
    words = tuple(stripped.removeprefix("!").lower().split())
    return Filter(stripped if words else "", words, inverse and bool(words))


def parse_selector(text: str) -> tuple[Requirement, ...]:
    """Read a label selector; an empty one selects everything."""
    requirements, position = [], 0
    if not text.strip():
        return ()
    while True:
        match = _REQUIREMENT.match(text, position)
        if match is None:
            raise _broken(text, text[position:])
        requirements.append(_requirement(match))
        position = match.end()
        if position == len(text):
            return tuple(requirements)
        if text[position] != ",":
            raise _broken(text, text[position:])
        position += 1


def _requirement(match: re.Match[str]) -> Requirement:
    if match["absent"]:
        return Requirement(match["absent"], "absent")
    if match["set"]:
        return Requirement(
            match["key"], match["set"], frozenset(value.strip() for value in match["values"].split(","))
        )
    if match["operator"]:
        kind = "notin" if match["operator"] == "!=" else "in"
        return Requirement(match["key"], kind, frozenset({match["value"]}))
    return Requirement(match["key"], "exists")


def _broken(text: str, rest: str) -> Exception:
    return fail(
        ProblemKind.INVALID,
        f"The label selector {text.strip()!r} cannot be read at {rest.strip()!r}.",
        "Write it as kubectl does: key=value, key!=value, key, !key, key in (a,b); commas mean and.",
    )
