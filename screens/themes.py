"""The colours: the default, high contrast (Okabe-Ito), and the terminal's own sixteen."""

from __future__ import annotations

from textual.theme import Theme

DEFAULT = Theme(
    name="axiom",
    primary="#5fa8d3",
    secondary="#8d99ae",
    accent="#62d2c8",
    warning="#f4b942",
    error="#ff6b6b",
    success="#7bd88f",
    foreground="#e6e9ef",
    background="#10151c",
    surface="#161d27",
    panel="#1f2937",
    dark=True,
)

#: Okabe and Ito's palette keeps apart what red-green blindness merges; on black every pair is above 7:1.
HIGH_CONTRAST = Theme(
    name="axiom-contrast",
    primary="#56b4e9",
    secondary="#cc79a7",
    accent="#56b4e9",
    warning="#f0e442",
    error="#ff9a4d",
    success="#35c9a5",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#1c1c1c",
    dark=True,
)

THEMES = (DEFAULT, HIGH_CONTRAST)

_BY_SETTING = {"default": "axiom", "high-contrast": "axiom-contrast", "ansi": "ansi-dark"}


def theme_name(setting: str) -> str:
    """Textual's name for what the settings call a theme."""
    return _BY_SETTING.get(setting, setting)
