"""The world lives: heartbeats, latencies and use move, a node goes and comes back, a key runs out.

About one small change a second, so that it costs next to nothing and every client still sees it move.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from axiom_tui.simulator.cast import WANDERER
from axiom_tui.simulator.world import NODES, World

TICK = 1.0  # seconds
#: Every how many ticks one node's kubelet posts its whole status (12 KB for every watcher).
BEAT_EVERY = 10

#: The wanderer's round, in seconds from its start: it leaves the tailnet, the node controller notices, it
#: comes back to the tailnet, and its kubelet reports.
ROUND = 100.0
LEAVES, IS_MISSED, RETURNS, REPORTS = 25.0, 40.0, 70.0, 76.0

#: The key that is about to expire loses so much a tick, until so much is left: a demo shows it nearing.
KEY_HURRY = timedelta(minutes=5)
KEY_LEFT = timedelta(hours=12)
HURRIED_KEY = "wall-a-5"


class Life:
    """Lets a world live in a thread of its own, from `start` to `stop`. `tick` is one step, for tests."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._random = random.Random(world.seed)
        self._ticks = 0
        self._usual_latency: dict[str, float] = {}
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._churn = threading.Event()

    def start(self) -> None:
        self._begin("world-life", self._live)

    def stop(self) -> None:
        """End at once."""
        self._stopping.set()
        self._churn.set()
        for thread in self._threads:
            thread.join(5)

    def churn(self, rate: float) -> None:
        """From now on ``rate`` node changes a second on top of all else; 0 ends it. For benchmarks."""
        self._churn.set()  # ends the churn that runs, if any
        self._churn = threading.Event()
        if rate > 0:
            ending = self._churn
            self._begin("world-churn", lambda: self._change_nodes(1 / rate, ending))

    @property
    def is_quiet(self) -> bool:
        """Whether none of its threads runs."""
        return not any(thread.is_alive() for thread in self._threads)

    def tick(self, elapsed: float) -> None:
        """One step, ``elapsed`` seconds after the world began to live."""
        self._ticks += 1
        self._wander(elapsed)
        machines = self.world.machines()
        if not machines:
            return
        name = machines[self._ticks % len(machines)].node_name
        if self.world.is_ready(name):
            self.world.renew(name)
            self.world.measure(name)
            if self._ticks % BEAT_EVERY == 0:
                self.world.beat(name)
        self._move_latency(name)
        self._hurry_key()

    def _begin(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _live(self) -> None:
        began = time.monotonic()
        while not self._stopping.wait(TICK):
            self.tick(time.monotonic() - began)

    def _wander(self, elapsed: float) -> None:
        """Bring the wanderer to where it should be at this point of its round."""
        device = self.world.tailnet.find(WANDERER)
        if device is None or WANDERER not in {machine.node_name for machine in self.world.machines()}:
            return
        point = elapsed % ROUND
        online = not LEAVES <= point < RETURNS
        if device.online != online:
            self.world.tailnet.set_online(device.id, online, self.world.now())
        ready = not IS_MISSED <= point < REPORTS
        if self.world.is_ready(WANDERER) != ready:
            if ready:
                self.world.revive(WANDERER)
            else:
                self.world.silence(WANDERER)

    def _move_latency(self, name: str) -> None:
        device = self.world.tailnet.find(name)
        if device is not None and device.online:
            usual = self._usual_latency.setdefault(device.id, device.latency)
            self.world.tailnet.change(device.id, latency=usual * self._random.uniform(0.85, 1.4))

    def _hurry_key(self) -> None:
        device = self.world.tailnet.find(HURRIED_KEY)
        if device is not None and not device.key_expiry_disabled:
            left = device.key_expiry - self.world.now()
            if left > KEY_LEFT:
                self.world.tailnet.change(device.id, key_expiry=device.key_expiry - KEY_HURRY)

    def _change_nodes(self, interval: float, ending: threading.Event) -> None:
        """One node after the other runs short of memory, and in the next round no longer does."""
        machines = self.world.machines()
        due, count = time.monotonic(), 0
        while machines and not ending.wait(max(0.0, due - time.monotonic())):
            due += interval
            count += 1
            name = machines[count * 7 % len(machines)].node_name
            if self.world.store.get(NODES, name) is not None:
                self.world.flip_memory_pressure(name)
