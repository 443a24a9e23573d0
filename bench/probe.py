"""The product with a stop-watch inside: ``AxiomApp`` on a terminal, with a heartbeat on its event loop.

Started by `bench.live` in a process of its own; orders and answers are lines on the socket ``--orders``:
``reset`` forgets the beats so far, ``beats`` gives them, ``cell RUNS`` measures one changed cell of the Nodes
screen, ``names`` gives the names in the order of the table.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from msgspec import structs
from textual.drivers.linux_driver import LinuxDriver

from axiom_tui.app import AxiomApp, FleetSeen
from axiom_tui.config import load
from axiom_tui.start import StartOptions

BEAT = 0.005  # s
QUIET = 0.04  # s without a byte: the screen is settled


class CountingDriver(LinuxDriver):
    """The ordinary driver, counting what it is given to write."""

    written = 0

    def write(self, data: str) -> None:
        CountingDriver.written += len(data.encode())
        super().write(data)


class ProbedApp(AxiomApp):
    def __init__(self, options: StartOptions, orders: socket.socket) -> None:
        super().__init__(options)
        self.driver_class = CountingDriver
        self._orders = orders
        self._late: list[float] = []  # s by which each beat came too late
        self._tasks: set[asyncio.Task[None]] = set()

    def on_ready(self) -> None:  # Textual calls AxiomApp's as well
        for work in (self._beat(), self._obey()):
            self._tasks.add(asyncio.create_task(work))

    async def _beat(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(BEAT)
            self._late.append(time.monotonic() - began - BEAT)

    async def _obey(self) -> None:
        reader, writer = await asyncio.open_connection(sock=self._orders)
        while line := (await reader.readline()).decode().split():
            writer.write(json.dumps(await self._answer(line[0], line[1:])).encode() + b"\n")

    async def _answer(self, order: str, arguments: Sequence[str]) -> Any:
        if order == "reset":
            self._late.clear()
        elif order == "beats":
            return self._late
        elif order == "names":
            return [row.name for row in self.fleet.rows]
        elif order == "cell":
            return await self._changed_cell(int(arguments[0]))
        return None

    async def _changed_cell(self, runs: int) -> tuple[float, float]:
        """CPU seconds and bytes of one changed verdict in view, from the message to the terminal."""
        idle = [await self._cost("") for _ in range(runs)]
        costs = [await self._cost(f"measured {run}") for run in range(runs)]
        cpu = median(cpu for cpu, _ in costs) - median(cpu for cpu, _ in idle)
        return cpu, median(sent for _, sent in costs)

    async def _cost(self, verdict: str) -> tuple[float, int]:
        """CPU seconds of the whole process and bytes written, until the screen is settled again."""
        await self._settle()
        written, used = CountingDriver.written, time.process_time()
        if verdict:
            rows = list(self.fleet.rows)
            rows[5] = structs.replace(rows[5], verdict=verdict)
            self.post_message(FleetSeen(self._session_number, replace(self.fleet, rows=tuple(rows))))
        await self._settle()
        return time.process_time() - used, CountingDriver.written - written

    async def _settle(self) -> None:
        written, quiet_since = CountingDriver.written, time.monotonic()
        while time.monotonic() - quiet_since < QUIET:
            await asyncio.sleep(QUIET / 4)
            if CountingDriver.written != written:
                written, quiet_since = CountingDriver.written, time.monotonic()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--orders", type=int, required=True)
    options = parser.parse_args(arguments)
    gc.disable()  # as the door does; the app turns it on
    app = ProbedApp(StartOptions(load(options.config)), socket.socket(fileno=options.orders))
    app.run()
    return app.return_code or 0


if __name__ == "__main__":
    sys.exit(main())
