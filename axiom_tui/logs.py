"""The log: a rotated file in the state directory, never the terminal, never a secret.

Other people's libraries are heard from WARNING on: below that they log request bodies and URLs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any, cast

from axiom_tui.model.masking import mask
from axiom_tui.model.problem import ProblemKind, fail

FILE_NAME = "axiom-tui.log"
LARGEST_FILE = 2_000_000  # bytes, then it is rotated
OLD_FILES = 3
OWN_LOGGERS = ("axiom_tui", "screens")

log = logging.getLogger(__name__)


class _Masked(logging.Formatter):
    """The last net: masks the whole line, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


class _PrivateFile(RotatingFileHandler):
    """A rotated file that only its owner can read, also right after each rotation."""

    def _open(self) -> Any:
        opened = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.fchmod(opened, 0o600)
        return cast("IO[str]", os.fdopen(opened, "a", encoding="utf-8", errors="backslashreplace"))


def start(directory: Path, *, debug: bool = False) -> Path:
    """Log to a file in ``directory`` (made if missing, 0700); returns the file.

    Raises AxiomError (MISCONFIGURED) when the file cannot be written; nothing else is touched then.
    """
    file = directory / FILE_NAME
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handler = _PrivateFile(file, maxBytes=LARGEST_FILE, backupCount=OLD_FILES)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"The log {file} cannot be written: {reason}.",
            "Mend it, or name another folder in AXIOM_TUI_STATE.",
        ) from error
    handler.setFormatter(
        _Masked("%(asctime)s %(levelname)s %(process)d %(threadName)s %(name)s: %(message)s")
    )
    quiet()
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.INFO)
    logging.captureWarnings(True)
    return file


def quiet() -> None:
    """Nothing of logging ever reaches the terminal, not even its own failures."""
    logging.raiseExceptions = False
    logging.lastResort = None


def current() -> Path | None:
    """The file that is logged to, if any."""
    return next((Path(handler.baseFilename) for handler in _handlers()), None)


def stop() -> None:
    """Close the log; for the end of the process, and for tests."""
    root = logging.getLogger()
    for handler in _handlers():
        root.removeHandler(handler)
        handler.close()
    logging.captureWarnings(False)


def _handlers() -> list[_PrivateFile]:
    return [item for item in logging.getLogger().handlers if isinstance(item, _PrivateFile)]


def watch_threads(say: Callable[[str], object]) -> None:
    """Log what a thread did not catch, and say it in one sentence instead of printing a traceback.

    ``say`` is called in the failing thread.
    """

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_type is SystemExit:
            return
        name = arguments.thread.name if arguments.thread else "?"
        error = arguments.exc_value or arguments.exc_type()
        log.error("thread %s ended by a defect", name, exc_info=error)
        with contextlib.suppress(Exception):  # the screen may be gone already; the log has it
            say(f"axiom-tui itself failed in {name}: {arguments.exc_type.__name__}. The log has the details.")

    def unraisable(arguments: Any) -> None:
        log.error("%s: %r", arguments.err_msg or "ignored", arguments.object, exc_info=arguments.exc_value)

    threading.excepthook = hook
    sys.unraisablehook = unraisable
