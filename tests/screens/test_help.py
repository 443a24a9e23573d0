"""How help sets its keys: none is lost, and no line is longer than there is room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from screens.help import grouped, key_lines

WORDS = st.text(st.sampled_from("abcdef "), min_size=1, max_size=60).map(str.split).filter(bool).map(" ".join)
KEYS = st.lists(
    st.tuples(st.sampled_from(["j", "^space", "shift+letter", "home end pgup"]), WORDS), max_size=30
)


@given(KEYS, st.integers(min_value=40, max_value=200))
def test_every_key_is_there_and_fits(keys: list[tuple[str, str]], width: int) -> None:
    lines = [line.plain for line in key_lines(keys, width)]
    text = " ".join(" ".join(lines).split())
    assert all(key in text for key, _ in keys)
    assert sorted(text.split()) == sorted(" ".join(f"{key} {what}" for key, what in keys).split())
    assert all(cell_len(line) <= width for line in lines)


def test_what_belongs_together_has_one_line() -> None:
    keys = [
        ("filter", "/", "filter"),
        ("sort_next('N')", "N", "Sort by NODE"),
        ("cursor_down", "j", "Down"),
        ("app.show_screen('nodes')", "1", "Nodes"),
        ("sort_next('R')", "R", "Sort by ROLE"),
        ("app.show_screen('findings')", "5", "Findings"),
        ("cursor_up", "k", "Up"),
    ]
    assert grouped(keys) == [
        ("/", "filter"),
        ("shift+letter", "sort by N NODE, R ROLE"),
        ("j k", "move by lines and pages"),
        ("1 5", "Nodes, Findings"),
    ]
