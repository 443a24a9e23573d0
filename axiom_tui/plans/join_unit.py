"""The steps of a join that start K3s and wait for it, with its journal shown and explained."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from axiom_tui.model.node import Node
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind, fail
from axiom_tui.plans.hosts import Hosts
from axiom_tui.plans.join_choice import JoinSpec
from axiom_tui.plans.join_steps import HostStep, NotReached, goes_on_without_host
from axiom_tui.plans.joining_node import DRAIN_WITHIN, REMOVAL_RIGHTS, JoiningNode, is_of, left_alone
from axiom_tui.plans.k3s_messages import Translation, said, translate
from axiom_tui.plans.step import Json, Run

#: How often the unit is looked at while it starts, in seconds.
LOOK_EVERY = 2.0
#: So many lines of the journal are shown of one look: a unit in trouble says thousands.
MOST_LINES = 40
#: Seconds that a message must stand before it is believed that trying again does not help.
BELIEVED_AFTER = 4.0


@dataclass
class Mark:
    """Where in the unit's journal the start began; the steps that start and that wait share it."""

    cursor: str = ""


@dataclass(frozen=True, slots=True)
class UnitState:
    """A systemd unit: ``active`` is its ActiveState."""

    active: str
    sub: str = ""
    restarts: int = 0

    @property
    def is_up(self) -> bool:
        return self.active == "active"


class UnitStep(HostStep):
    """A step that looks at the unit of K3s."""

    def __init__(self, hosts: Hosts, spec: JoinSpec, mark: Mark, seconds: float = 60.0) -> None:
        super().__init__(hosts, spec, seconds)
        self._mark = mark

    def _state(self, run: Run) -> UnitState:
        return self._look(run, with_journal=False)[0]

    def _look(self, run: Run, *, with_journal: bool) -> tuple[UnitState, list[str]]:
        """The unit's state, and what its journal says since the last look: one round trip."""
        unit = self._spec.unit
        command = f"systemctl show --property=ActiveState,SubState,NRestarts {unit}"
        if with_journal:
            after = f" --after-cursor={shlex.quote(self._mark.cursor)}" if self._mark.cursor else ""
            command += f"; echo; journalctl -u {unit} -o cat --no-pager --show-cursor{after}"
        done = self._ask(run, command, f"systemctl show {unit}")
        head, _, rest = done.text.partition("\n\n")
        values = dict(line.split("=", 1) for line in head.splitlines() if "=" in line)
        restarts = values.get("NRestarts", "")
        state = UnitState(
            values.get("ActiveState", "unknown"),
            values.get("SubState", ""),
            int(restarts) if restarts.isascii() and restarts.isdigit() else 0,
        )
        return state, self._lines(rest)

    def _lines(self, text: str) -> list[str]:
        """The lines of the journal, with the mark moved to their end."""
        lines = []
        for line in text.splitlines():
            if line.startswith("-- cursor: "):
                self._mark.cursor = line.removeprefix("-- cursor: ").strip()
            elif line.strip() and not line.startswith("-- "):
                lines.append(line)
        return lines


class StartK3s(UnitStep):
    """Starts the unit without waiting: systemd would wait for as long as the node cannot join."""

    key = "start"
    interruptible = False

    def __init__(self, hosts: Hosts, spec: JoinSpec, mark: Mark, node: JoiningNode | None = None) -> None:
        """``node`` is what this start makes in the cluster, and its undo takes away; None: there is none."""
        super().__init__(hosts, spec, mark, 120.0 + (DRAIN_WITHIN if node else 0.0))
        self._node = node
        self._left = ""
        self.undo_rights = REMOVAL_RIGHTS if node else ()
        self.title = f"Start {spec.unit}"
        self.commands = (
            f"sudo systemctl enable {spec.unit}",
            f"sudo systemctl restart --no-block {spec.unit}",
        )

    def is_done(self, run: Run) -> bool:
        return self._state(run).is_up

    def run(self, run: Run) -> None:
        existing = self._node.own() if self._node is not None else None
        run.remember({"active": self._state(run).active, "node": existing.uid if existing else ""})
        self._mark.cursor = ""
        done = self._ask(run, f"journalctl -u {self._spec.unit} -o cat --no-pager -n 0 --show-cursor")
        self._lines(done.text)
        # A unit that tries in vain is started again, so that it reads its files anew.
        unit = self._spec.unit
        self._do(run, f"systemctl enable {unit}", f"systemctl enable {unit}")
        self._do(run, f"systemctl restart --no-block {unit}", f"systemctl restart {unit}")

    def verify(self, run: Run) -> None:
        state = self._state(run)
        if state.active in ("inactive", "deactivating", "unknown"):
            # Not for long: systemd takes a moment to begin.
            def is_begun() -> bool:
                return self._state(run).active not in ("inactive", "deactivating", "unknown")

            run.wait_for(f"{self._spec.unit} to begin to start", is_begun, 20.0)

    @goes_on_without_host
    def is_undone(self, run: Run) -> bool:
        if not run.earlier:
            return True  # it was cut before it started anything
        # The node first: it can be taken away though the host is not reached.
        return self._made(run) is None and self._state(run).active in ("inactive", "unknown", "failed")

    @goes_on_without_host
    def undo(self, run: Run) -> None:
        """The node goes first, while its kubelet can still end the pods; then the unit.

        ``run.earlier`` may have the ``uid`` of the node that appeared.
        """
        absent = self._absent(run)
        if self._node is not None and (made := self._made(run)) is not None:
            self._node.remove(run, made, reached=absent is None)
        elif absent is None:
            self._refuse_another_join(run)
        if absent is not None:
            raise absent
        unit = self._spec.unit
        self._do(run, f"systemctl disable --now {unit}", f"systemctl disable --now {unit}")

    def stays(self, problem: Problem, earlier: Mapping[str, Json]) -> Problem:
        left = super().stays(problem, {**earlier, "node": "is gone"})
        unit = self._spec.unit
        return replace(
            left, sentence=f"{left.sentence} {unit} is enabled there: it joins again when it runs."
        )

    def _absent(self, run: Run) -> NotReached | None:
        """Why the host is not reached, None if it is."""
        try:
            self._shell(run)
        except NotReached as error:
            return error
        return None

    def undo_commands(self, earlier: Mapping[str, Json]) -> tuple[str, ...]:
        made = self._node is not None and not earlier.get("node")
        removal = self._node.removal() if self._node is not None and made else ()
        return (*removal, f"sudo systemctl disable --now {self._spec.unit}")

    def undo_title(self, earlier: Mapping[str, Json]) -> str:
        unit, name = self._spec.unit, self._spec.name
        if self._node is None or not earlier or earlier.get("node"):
            return f"Stop {unit} on {name}"
        return f"Drain {name}, delete the node and stop {unit}"

    def interrupt(self) -> None:
        super().interrupt()
        if self._node is not None:
            self._node.client.interrupt()

    def _made(self, run: Run) -> Node | None:
        """The node that this start made: none was there before, and this host's is now.

        One that only has its name by now is left alone, and that is said.
        """
        node = self._new(run)
        if node is None or is_of(self._spec, node, str(run.earlier.get("uid", ""))):
            return node
        left = left_alone(self._spec, node)
        if left != self._left:
            self._left = left
            run.output(left)
        return None

    def _refuse_another_join(self, run: Run) -> None:
        """Raise CONFLICT if the host that is reached is in the cluster by a node that came after this join's:
        without K3s that node would be lost, with all that runs on it."""
        node = self._new(run)
        if self._node is None or node is None or not is_of(self._spec, node):
            return
        by_hand = "; ".join(self._node.removal())
        raise fail(
            ProblemKind.CONFLICT,
            f"{left_alone(self._spec, node)} So is K3s on its host.",
            f"To take it out all the same, type: {by_hand}. Then undo this plan again.",
        )

    def _new(self, run: Run) -> Node | None:
        """The node of this name, if there was none when this started."""
        return self._node.found() if self._node is not None and not run.earlier.get("node") else None


class AwaitK3s(UnitStep):
    """Waits until K3s says that it is up; shows its journal meanwhile, with its known messages explained."""

    key = "agent"
    reversible = False
    only_looks = True

    def __init__(self, hosts: Hosts, spec: JoinSpec, mark: Mark) -> None:
        super().__init__(hosts, spec, mark, spec.install_timeout + 30.0)
        self.title = f"Wait until {spec.unit} is up"
        self.commands = (f"sudo journalctl -fu {spec.unit}",)

    def is_done(self, run: Run) -> bool:
        return self._state(run).is_up

    def run(self, run: Run) -> None:
        run.remember({})
        known: dict[str, Translation] = {}
        since = 0.0

        def is_up() -> bool:
            nonlocal since
            state, lines = self._look(run, with_journal=True)
            for line in lines[-MOST_LINES:]:
                run.output(said(line))
            for line in lines:
                meaning = translate(line, self._spec)
                if meaning is not None and meaning.name not in known:
                    known[meaning.name] = meaning
                    run.output(f"=> {meaning.problem.sentence}")
                    if meaning.lasting and not since:
                        since = time.monotonic()
            if state.is_up:
                return True
            if since and time.monotonic() - since >= BELIEVED_AFTER:
                raise AxiomError(next(item.problem for item in known.values() if item.lasting))
            if state.active == "failed":
                raise AxiomError(self._gave_up(known))
            return False

        unit = self._spec.unit
        remedy = f"`sudo journalctl -u {unit}` on the host says more; then resume this plan from the journal."
        try:
            run.wait_for(
                f"{unit} to reach the cluster", is_up, self._spec.install_timeout, LOOK_EVERY, remedy=remedy
            )
        except AxiomError as error:
            if error.problem.kind is ProblemKind.TIMED_OUT and known:
                last = list(known.values())[-1].problem
                raise fail(last.kind, f"{error.problem.sentence} {last.sentence}", last.remedy) from error
            raise

    def _gave_up(self, known: Mapping[str, Translation]) -> Problem:
        if known:
            return list(known.values())[-1].problem
        unit = self._spec.unit
        return Problem(
            ProblemKind.BROKEN,
            f"systemd gave {unit} up.",
            f"`sudo journalctl -u {unit}` on the host says why; then resume this plan from the journal.",
        )
