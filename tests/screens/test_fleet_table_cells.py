"""Cells: what is shown of a text, and that it is exactly as wide as its column."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from screens.widgets.cells import Align, CellValue, Span, StyleName, fit, natural_width, visible_text

texts = st.text(
    st.one_of(st.characters(), st.sampled_from("aZ9 -日本語🦀👩\u200d\u0301\ufe0f\x1b\n\t\u202e[/]")),
    max_size=30,
)
styles: st.SearchStrategy[StyleName] = st.sampled_from(["", "ok", "warn", "error"])
spans = st.builds(Span, texts, styles)
values: st.SearchStrategy[CellValue] = st.one_of(texts, spans, st.lists(spans, max_size=4).map(tuple))
aligns: st.SearchStrategy[Align] = st.sampled_from(["left", "right"])


def text_of(cell: tuple[Span, ...]) -> str:
    return "".join(span.text for span in cell)


@given(values, st.integers(1, 40), aligns)
@example("日本語", 4, "left")
@example("日本語", 2, "right")
@example("e\u0301" * 9, 5, "left")
def test_a_fitted_cell_is_exactly_as_wide_as_its_column(value: CellValue, width: int, align: Align) -> None:
    cell = fit(value, width, align)
    assert sum(cell_len(span.text) for span in cell) == width
    assert cell_len(text_of(cell)) == width


@given(values, st.integers(1, 40))
def test_what_does_not_fit_is_cut_with_an_ellipsis_and_nothing_is_invented(
    value: CellValue, width: int
) -> None:
    whole = text_of(fit(value, natural_width(value) or 1))
    shown = text_of(fit(value, width))
    if natural_width(value) <= width:
        assert shown.rstrip(" ") == whole.rstrip(" ")
    else:
        kept, dots, blanks = shown.rpartition("…")
        assert dots == "…"
        assert blanks.strip(" ") == ""
        assert whole.startswith(kept)
        assert cell_len(kept) >= width - 2, "a wide character may leave one cell unused, no more"


@given(texts)
def test_nothing_in_a_visible_text_can_steer_the_terminal(text: str) -> None:
    visible = visible_text(text)
    categories = {unicodedata.category(character) for character in visible}
    assert not categories & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert cell_len(visible) == sum(cell_len(character) for character in visible)
    visible.encode()  # a lone surrogate would end the app when it is written


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[31mred\x07", "␛[31mred␇"),
        ("two\nlines\tand tab\r", "two lines and tab "),
        ("\x7f\x9b31m", "␡�31m"),
        ("wall\u202ea-llaw", "walla-llaw"),  # bidi override
        ("\U0001f469\u200d\U0001f467", "\U0001f469\U0001f467"),  # joiner
        ("❤\ufe0f", "❤"),
        ("\ud800", "�"),
        ("[bold]no[/bold] [@click=app.quit]x[/]", "[bold]no[/bold] [@click=app.quit]x[/]"),
        ("näïve 日本", "näïve 日本"),
    ],
)
def test_visible_text(text: str, seen: str) -> None:
    assert visible_text(text) == seen


def test_each_span_keeps_its_style_and_padding_takes_the_one_beside_it() -> None:
    value = (Span("● direct", "ok"), Span(" 12 ms", "dim"))
    assert fit(value, 16) == (Span("● direct", "ok"), Span(" 12 ms  ", "dim"))
    assert fit(value, 16, "right") == (Span("  ● direct", "ok"), Span(" 12 ms", "dim"))
    assert fit(value, 11) == (Span("● direct", "ok"), Span(" 1…", "dim"))
    assert fit(value, 8) == (Span("● direc…", "ok"),)
    assert fit(value, 9) == (Span("● direct", "ok"), Span("…", "dim"))
    assert fit("", 3) == (Span("   "),)
