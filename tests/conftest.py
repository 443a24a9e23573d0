"""A clean room for every test: no real home, no real cluster, fixed time zone, no animation."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

# Before anything of Textual is imported: it reads these once.
os.environ["TEXTUAL_ANIMATIONS"] = "none"
os.environ["COLORTERM"] = "truecolor"
os.environ["TERM"] = "xterm-256color"
for name in ("NO_COLOR", "FORCE_COLOR", "TEXTUAL", "TEXTUAL_THEME", "TEXTUAL_LOG", "COLUMNS", "LINES"):
    os.environ.pop(name, None)
# A place of its own even for what is read while test modules are imported.
_HOME = tempfile.TemporaryDirectory(prefix="axiom-tui-home-", ignore_cleanup_errors=True)
atexit.register(_HOME.cleanup)

#: What would lead a test to the real world of whoever runs it.
_REAL_WORLD = ("KUBECONFIG", "AXIOM_TUI_CONFIG", "SSH_AUTH_SOCK", "SSH_ASKPASS", "KUBERNETES_SERVICE_HOST")
_REAL_PREFIXES = ("AWS_", "AKEYLESS_", "TS_", "TAILSCALE_", "XDG_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

for name in [*_REAL_WORLD, *_PROXIES, *(item for item in os.environ if item.startswith(_REAL_PREFIXES))]:
    os.environ.pop(name, None)
os.environ["HOME"] = _HOME.name
os.environ["AXIOM_TUI_STATE"] = os.path.join(_HOME.name, "state")
os.environ["TZ"] = "Europe/Zurich"
os.environ["LC_ALL"] = "C.UTF-8"
time.tzset()

# A shell that runs the tests in the background has them, and all they start, ignore ctrl+c; some test it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A deadline per example would measure the machine; in CI the same examples are taken every time.
hypothesis_settings.register_profile("here", deadline=None)
hypothesis_settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis_settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two workers a core: a good half of the tests' time goes by in waiting for what they started."""
    return min(2 * (os.cpu_count() or 1), 16)


@pytest.fixture(autouse=True)
def _clean_room(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has an empty home of its own, and leaves no log open."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AXIOM_TUI_STATE", str(home / "state"))
    # What the door changes for the whole process is as before when the next test begins.
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)
    monkeypatch.setattr(logging, "lastResort", logging.lastResort)
    interrupt = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, interrupt)
    from axiom_tui import logs

    logs.stop()


@pytest.fixture(autouse=True)
def _no_cursor_blink(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blinking cursor would make two pictures of one screen."""
    if "screens" not in Path(str(request.node.path)).parts:
        return
    from textual.widgets import Input, TextArea

    monkeypatch.setattr(Input, "_toggle_cursor", lambda self: None)
    monkeypatch.setattr(TextArea, "_toggle_cursor_blink_visible", lambda self: None)
