"""The peer: as little of a Textual app as has a Header, a DataTable and a Footer.

``python -m bench.bare [--rows N] [--churn RATE]``; q leaves. With rows it has the ten columns of bench.table,
and RATE cells of them change every second, in batches of a quarter of a second.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Header

COLUMNS = ("NODE", "ROLE", "ARCH", "STATUS", "TAILNET", "POOL", "PLACE", "CPU", "MEM", "VERDICT")
BATCH = 0.25  # s


class Bare(App[None]):
    """Nothing but the three stock widgets."""

    BINDINGS: list[BindingType] = [Binding("q", "quit", "Quit")]  # type: ignore[misc]

    def __init__(self, rows: int, churn: int) -> None:
        super().__init__()
        self._rows, self._churn = rows, churn
        self._turn = 0

    def compose(self) -> ComposeResult:
        yield Header()
        yield DataTable(cursor_type="row")
        yield Footer()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        for title in COLUMNS:
            table.add_column(title, key=title, width=10)
        for number in range(self._rows):
            name = row_name(number)
            texts = ("agent", "arm64", "Ready", "direct 12 ms", "external", "Oslo", "12%", "34%", "")
            table.add_row(name, *texts, key=name)
        table.focus()
        if self._churn:
            self.set_interval(BATCH, self._change)

    def _change(self) -> None:
        table = self.query_one(DataTable)
        for _ in range(int(self._churn * BATCH)):
            self._turn += 1
            place = self._turn * 7919 % self._rows
            table.update_cell(row_name(place), "TAILNET", f"direct {self._turn % 90} ms")


def row_name(number: int) -> str:
    return f"node-{number:05}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--churn", type=int, default=0)
    options = parser.parse_args(arguments)
    Bare(options.rows, options.churn).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
