"""Changing colours while the program runs: every screen has them, whether it was open before or not."""

from __future__ import annotations

import pytest
from textual.color import Color

from screens.themes import DEFAULT, HIGH_CONTRAST
from tests.screens.conftest import settled, showing, svg_of

MODES = ("nodes", "exposure", "findings")


@pytest.mark.parametrize("opened", [(), ("findings",), MODES])
async def test_a_new_theme_is_everywhere(opened: tuple[str, ...]) -> None:
    async with showing() as pilot:
        for mode in (*opened, "nodes"):
            pilot.app.action_show_screen(mode)  # type: ignore[attr-defined]
            await settled(pilot)
        for theme in (HIGH_CONTRAST, DEFAULT):
            pilot.app.theme = theme.name
            await settled(pilot)
            assert theme.background is not None
            for mode in MODES:
                pilot.app.action_show_screen(mode)  # type: ignore[attr-defined]
                await settled(pilot)
                assert pilot.app.screen.styles.background == Color.parse(theme.background), mode


async def test_the_colours_are_the_same_whether_chosen_at_the_start_or_later() -> None:
    async with showing() as pilot:
        pilot.app.theme = HIGH_CONTRAST.name
        await settled(pilot)
        pilot.app.action_show_screen("findings")  # type: ignore[attr-defined]
        await settled(pilot)
        pilot.app.theme = DEFAULT.name
        await settled(pilot)
        pilot.app.action_show_screen("nodes")  # type: ignore[attr-defined]
        await settled(pilot)
        later = svg_of(pilot)
    async with showing() as pilot:
        await settled(pilot)
        assert svg_of(pilot) == later
