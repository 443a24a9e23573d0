"""The message log: everything that was said in passing, to be read and copied later."""

from __future__ import annotations

from collections.abc import Sequence

from screens.dialogs import TextScreen


def messages_screen(lines: Sequence[str]) -> TextScreen:
    """The newest message first."""
    return TextScreen("Messages, newest first", "\n".join(reversed(lines)) or "Nothing was said yet.")
