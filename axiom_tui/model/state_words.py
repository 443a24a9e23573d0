"""States as the admin reads them, a glyph and a word each: the same on screen and in headless tables.

The states of plans are named by their words (`plans.events` has them as enums of these): the model knows
no plans.
"""

from __future__ import annotations

from collections.abc import Mapping

from axiom_tui.model.cells import Cell, Style
from axiom_tui.model.checks import CheckState
from axiom_tui.model.finding import Severity

SEVERITIES: Mapping[Severity, Cell] = {
    Severity.CRITICAL: Cell("✗ critical", Style.ERROR),
    Severity.ERROR: Cell("✗ error", Style.ERROR),
    Severity.WARNING: Cell("▲ warning", Style.WARN),
    Severity.INFO: Cell("· info", Style.DIM),
}

CHECKS: Mapping[CheckState, Cell] = {
    CheckState.PASS: Cell("✓ pass", Style.OK),
    CheckState.WARN: Cell("▲ warn", Style.WARN),
    CheckState.FAIL: Cell("✗ fail", Style.ERROR),
}

#: A step of a plan, by `plans.events.StepState`.
STEPS: Mapping[str, Cell] = {
    "pending": Cell("· pending", Style.DIM),
    "running": Cell("▶ running", Style.ACCENT),
    "done": Cell("✓ done", Style.OK),
    "already so": Cell("✓ already so", Style.OK),
    "failed": Cell("✗ failed", Style.ERROR),
    "by hand": Cell("○ by hand", Style.WARN),
    "not reached": Cell("· not reached", Style.DIM),
}

#: A plan in the journal: how it ended (`plans.events.Outcome`), or why it has not.
PLANS: Mapping[str, Cell] = {
    "done": Cell("✓ done", Style.OK),
    "failed": Cell("✗ failed", Style.ERROR),
    "cancelled": Cell("○ cancelled", Style.WARN),
    "changed": Cell("▲ changed", Style.WARN),
    "refused": Cell("✗ refused", Style.ERROR),
    "running": Cell("▶ running", Style.ACCENT),
    "undone": Cell("○ undone", Style.DIM),
    "cut short": Cell("▲ cut short", Style.ERROR),
    "damaged": Cell("✗ damaged", Style.ERROR),
    "not begun": Cell("? not begun", Style.DIM),
}
