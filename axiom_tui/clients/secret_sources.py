"""Secrets by reference: where the settings say that one is, it is read at the moment when it is needed."""

from __future__ import annotations

import os
from pathlib import Path

from axiom_tui.model.problem import ProblemKind, fail
from axiom_tui.model.secret import Secret


def read_secret(reference: str) -> Secret:
    """The secret behind ``file:/path`` or ``env:NAME``. Raises AxiomError (MISCONFIGURED, MISSING)."""
    scheme, _, place = reference.partition(":")
    match scheme:
        case "file":
            text = _file(Path(place).expanduser())
        case "env":
            text = os.environ.get(place, "")
        case _:
            raise fail(
                ProblemKind.MISCONFIGURED,
                f"A secret cannot be read from {scheme or 'nowhere'}:…: that is no known source.",
                "Use file:/path or env:NAME in the settings.",
            )
    if not text.strip():
        raise fail(
            ProblemKind.MISSING, f"There is no secret at {reference}: it is empty.", "Put the secret there."
        )
    return Secret(text.strip())


def _file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise fail(
            ProblemKind.MISSING,
            f"The secret cannot be read from {path}: {reason}.",
            "Correct the reference in the settings, or the permissions of the file.",
        ) from error
