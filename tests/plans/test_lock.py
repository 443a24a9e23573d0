"""The Lease lock: one holder, takeover only after real silence, skewed clocks, locks lost in the middle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.model.lease import Lease
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind
from axiom_tui.plans.identity import Identity, whoami
from axiom_tui.plans.lock import SESSION, LeaseLock, LockHeld, steady
from axiom_tui.plans.step import CancelToken
from tests.plans.world import ANNA, BERT, Clock, MemoryLeases

PLAN_A = "plan-of-anna"
PLAN_B = "plan-of-bert"


@pytest.fixture
def leases() -> MemoryLeases:
    return MemoryLeases()


@pytest.fixture
def lock_of(leases: MemoryLeases) -> Iterator[Callable[..., LeaseLock]]:
    made: list[LeaseLock] = []

    def make(identity: Identity, clock: Callable[[], float] | None = None, duration: int = 30) -> LeaseLock:
        made.append(LeaseLock(leases, identity, duration=duration, clock=clock or Clock()))
        return made[-1]

    yield make
    leases.broken, leases.lose_answers = None, False
    for lock in made:
        with suppress(AxiomError):  # some tests take the lock away
            lock.release()


def lost(lock: LeaseLock) -> str:
    """What it says of its loss, "" while it is held."""
    return lock.lost.sentence if lock.lost else ""


Make = Callable[..., LeaseLock]


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.005)


def test_taking_writes_who_since_when_and_what_for(leases: MemoryLeases, lock_of: Make) -> None:
    lock = lock_of(ANNA)
    lock.acquire("label WALL-A-3", PLAN_A)
    lease = leases.lease
    assert lease is not None
    assert (lease.namespace, lease.name) == ("kube-system", "axiom-tui")
    assert (lease.holder, lease.duration, lease.acquired) == ("anna@desk (11)", 30, leases.clock)
    holder = lock_of(BERT).look()
    assert holder is not None
    assert (holder.who, holder.what_for, holder.plan_id) == ("anna@desk (11)", "label WALL-A-3", PLAN_A)


def test_a_second_admin_is_told_who_since_when_and_what_for(leases: MemoryLeases, lock_of: Make) -> None:
    lock_of(ANNA).acquire("label WALL-A-3", PLAN_A)
    leases.advance(5)
    with pytest.raises(LockHeld) as caught:
        lock_of(BERT).acquire("join WALL-A-9", PLAN_B)
    problem = caught.value.problem
    local = datetime(2026, 11, 22, 14, 2, tzinfo=leases.clock.tzinfo).astimezone()
    assert problem.kind is ProblemKind.CONFLICT
    assert f"anna@desk (11) is changing this cluster since {local:%Y-%m-%d %H:%M:%S}" in problem.sentence
    assert "to label WALL-A-3. It was last renewed 5 s ago." in problem.sentence
    assert "30 s" in problem.remedy
    assert caught.value.holder.what_for == "label WALL-A-3"


def test_released_it_is_free_at_once_and_counts_the_change(leases: MemoryLeases, lock_of: Make) -> None:
    first = lock_of(ANNA)
    first.acquire("a", PLAN_A)
    first.release()
    second = lock_of(BERT)
    assert second.look() is None
    second.acquire("b", PLAN_B)
    assert leases.lease is not None
    assert (leases.lease.holder, leases.lease.transitions) == (str(BERT), 1)


def test_what_others_wrote_into_the_lease_stays(leases: MemoryLeases, lock_of: Make) -> None:
    leases.create_lease(Lease("kube-system", "axiom-tui", annotations={"theirs": "x"}))
    lock_of(ANNA).acquire("a", PLAN_A)
    assert leases.lease is not None
    assert leases.lease.annotations["theirs"] == "x"


def test_an_unrenewed_lease_can_be_taken_over_after_its_whole_duration(
    leases: MemoryLeases, lock_of: Make
) -> None:
    lock_of(ANNA, duration=1000).acquire("a", PLAN_A)
    clock = Clock()
    other = lock_of(BERT, clock)
    assert other.look() is not None
    clock.at += 999
    with pytest.raises(LockHeld) as caught:
        other.acquire("b", PLAN_B)
    assert caught.value.holder.expires_in == pytest.approx(1)
    clock.at += 1
    holder = other.look()
    assert holder is not None
    assert holder.expired
    other.acquire("b", PLAN_B)
    assert leases.lease is not None
    assert leases.lease.holder == str(BERT)


def test_a_renewal_before_our_eyes_starts_the_wait_anew(leases: MemoryLeases, lock_of: Make) -> None:
    lock_of(ANNA, duration=1000).acquire("a", PLAN_A)
    clock = Clock()
    other = lock_of(BERT, clock)
    other.look()
    clock.at += 999
    assert leases.lease is not None
    leases.replace_lease(replace(leases.lease, renewed=leases.clock + timedelta(seconds=1)))
    other.look()
    clock.at += 999
    holder = other.look()
    assert holder is not None
    assert holder.expires_in == pytest.approx(1)


@given(
    skew_of_holder=st.integers(-86400 * 400, 86400 * 400),
    watched=st.floats(0, 29.9),
)
def test_no_clock_of_a_holder_makes_its_lease_expire_sooner(skew_of_holder: int, watched: float) -> None:
    leases, clock = MemoryLeases(), Clock()
    stamp = leases.clock + timedelta(seconds=skew_of_holder)
    leases.create_lease(Lease("kube-system", "axiom-tui", "x@y (1)", 30, stamp, stamp))
    lock = LeaseLock(leases, BERT, clock=clock)
    for seconds in (0.0, watched):
        clock.at += seconds
        holder = lock.look()
        assert holder is not None
        assert not holder.expired
    clock.at += 30 - watched
    holder = lock.look()
    assert holder is not None
    assert holder.expired


@pytest.mark.parametrize("hours", [-30, -1, 1, 30])
def test_our_own_wall_clock_is_never_written(
    leases: MemoryLeases, lock_of: Make, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    leases.clock += timedelta(hours=hours)  # the server's clock, seen from us
    lock_of(ANNA).acquire("a", PLAN_A)
    assert leases.lease is not None
    assert leases.lease.renewed == leases.clock


def test_a_lease_that_looks_abandoned_is_watched_and_then_taken(leases: MemoryLeases, lock_of: Make) -> None:
    stamp = leases.clock - timedelta(hours=3)
    leases.create_lease(Lease("kube-system", "axiom-tui", "gone@desk (7)", 1, stamp, stamp))
    waits: list[str] = []
    lock = lock_of(BERT, steady)
    lock.acquire("b", PLAN_B, on_waiting=lambda what, since, until: waits.append(what))
    assert waits == ["the lock of gone@desk (7) to be given back or to expire"]
    assert leases.lease is not None
    assert leases.lease.holder == str(BERT)


def test_of_two_takers_exactly_one_wins(leases: MemoryLeases) -> None:
    for _ in range(30):
        leases.lease = Lease("kube-system", "axiom-tui", resource_version="7")
        gate = threading.Barrier(2)
        won: list[LeaseLock] = []
        beaten: list[AxiomError] = []
        locks = [LeaseLock(leases, identity, clock=Clock()) for identity in (ANNA, BERT)]

        def take(
            lock: LeaseLock,
            gate: threading.Barrier = gate,
            won: list[LeaseLock] = won,
            beaten: list[AxiomError] = beaten,
        ) -> None:
            gate.wait()
            try:
                lock.acquire("a", PLAN_A)
                won.append(lock)
            except LockHeld as error:
                beaten.append(error)

        threads = [threading.Thread(target=take, args=(lock,)) for lock in locks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for lock in locks:
            lock.release()
        assert (len(won), len(beaten)) == (1, 1)


def test_a_taker_who_looked_too_early_does_not_win(leases: MemoryLeases, lock_of: Make) -> None:
    first = lock_of(ANNA)

    class Overtaken(MemoryLeases):
        """Between our look and our write somebody else takes the lock."""

        def get_lease(self, namespace: str, name: str) -> Lease | None:
            found = leases.get_lease(namespace, name)
            if found is None or not found.holder:
                first.acquire("a", PLAN_A)
            return found

        def create_lease(self, lease: Lease) -> Lease:
            return leases.create_lease(lease)

        def replace_lease(self, lease: Lease) -> Lease:
            return leases.replace_lease(lease)

    for free in (None, Lease("kube-system", "axiom-tui", resource_version="7")):
        leases.lease = free
        with pytest.raises(LockHeld, match="anna@desk"):
            LeaseLock(Overtaken(), BERT, clock=Clock()).acquire("b", PLAN_B)
        first.release()


def test_waiting_ends_when_the_holder_gives_it_back(leases: MemoryLeases, lock_of: Make) -> None:
    first = lock_of(ANNA, steady)
    first.acquire("a", PLAN_A)
    told = threading.Event()
    second = lock_of(BERT, steady, duration=3)
    waiter = threading.Thread(
        target=lambda: second.acquire("b", PLAN_B, wait=60, on_waiting=lambda *_: told.set())
    )
    waiter.start()
    assert told.wait(20)
    first.release()
    waiter.join(20)
    assert leases.lease is not None
    assert leases.lease.holder == str(BERT)


def test_waiting_ends_at_its_deadline_or_by_cancel(leases: MemoryLeases, lock_of: Make) -> None:
    lock_of(ANNA, steady).acquire("a", PLAN_A)
    with pytest.raises(LockHeld):
        lock_of(BERT, steady).acquire("b", PLAN_B, wait=0.02)
    token = CancelToken()
    token.cancel()
    with pytest.raises(AxiomError) as caught:
        lock_of(BERT, steady).acquire("b", PLAN_B, wait=60, cancel=token)
    assert caught.value.problem.kind is ProblemKind.CANCELLED


def test_what_a_dead_process_left_is_taken_at_once(leases: MemoryLeases, lock_of: Make) -> None:
    lock_of(ANNA).acquire("a", PLAN_A)
    again = Identity("anna", "desk", 12)
    asked: list[tuple[str, str]] = []

    def is_alive(plan_id: str, session: str) -> bool:
        asked.append((plan_id, session))
        return False

    with pytest.raises(LockHeld):
        lock_of(again).acquire("b", PLAN_B, is_dead=is_alive)
    assert asked == [(PLAN_A, ANNA.session)]
    lock_of(again).acquire("b", PLAN_B, is_dead=lambda plan_id, session: True)
    assert leases.lease is not None
    assert leases.lease.annotations[SESSION] == again.session


def test_it_is_renewed_in_the_background(leases: MemoryLeases, lock_of: Make) -> None:
    lock = lock_of(ANNA, steady, duration=1)
    lock.acquire("a", PLAN_A)
    until(lambda: leases.writes >= 4, "it was renewed three times")
    assert lost(lock) == ""


def test_a_takeover_is_noticed(leases: MemoryLeases, lock_of: Make) -> None:
    lock = lock_of(ANNA, steady, duration=1)
    lock.acquire("a", PLAN_A)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:  # renewals race with us: try until we win
        try:
            assert leases.lease is not None
            changed = {"axiom-tui/what-for": "join WALL-A-9", SESSION: BERT.session}
            leases.replace_lease(replace(leases.lease, holder=str(BERT), annotations=changed))
            break
        except AxiomError:
            continue
    until(lambda: lost(lock) != "", "the loss was noticed")
    assert "taken over by bert@laptop (22) (join WALL-A-9)" in lost(lock)
    lock.release()
    assert leases.lease is not None
    assert leases.lease.holder == str(BERT)  # what is not ours is not given back


def test_a_deleted_lease_is_noticed(leases: MemoryLeases, lock_of: Make) -> None:
    lock = lock_of(ANNA, steady, duration=1)
    lock.acquire("a", PLAN_A)
    leases.lease = None
    until(lambda: lost(lock) != "", "the loss was noticed")


def test_an_api_that_is_away_longer_than_the_duration_loses_the_lock(
    leases: MemoryLeases, lock_of: Make
) -> None:
    clock = Clock()
    lock = lock_of(ANNA, clock)
    lock.acquire("a", PLAN_A)
    leases.broken = Problem(ProblemKind.REFUSED, "nothing listens there")
    clock.at += 29
    assert lost(lock) == ""
    clock.at += 1
    assert "could not be renewed for 30 s" in lost(lock)
    leases.broken = None
    clock.at -= 30
    assert lost(lock) != ""  # lost stays lost


def test_a_renewal_that_comes_too_late_does_not_revive_the_lock(leases: MemoryLeases, lock_of: Make) -> None:
    clock = Clock()
    lock = lock_of(ANNA, clock, duration=3000)
    lock.acquire("a", PLAN_A)
    clock.at += 3000  # a laptop that slept: nobody asked meanwhile, and nobody took it
    lock._renew()
    assert "could not be renewed for 3000 s" in lost(lock)


def test_a_short_outage_is_bridged(leases: MemoryLeases, lock_of: Make) -> None:
    lock = lock_of(ANNA, Clock(), duration=1)  # its clock stands still: it never runs out
    lock.acquire("a", PLAN_A)
    leases.broken = Problem(ProblemKind.REFUSED, "nothing listens there")
    until(lambda: leases.refused >= 2, "two renewals failed")
    leases.broken = None
    written = leases.writes
    until(lambda: leases.writes > written, "it was renewed again")
    assert lost(lock) == ""


def test_a_renewal_whose_answer_is_lost_is_no_takeover(leases: MemoryLeases, lock_of: Make) -> None:
    lock = lock_of(ANNA, Clock(), duration=1)
    lock.acquire("a", PLAN_A)
    leases.lose_answers = True
    until(lambda: leases.writes >= 2, "a renewal's answer was lost")
    leases.lose_answers = False
    written = leases.writes
    until(lambda: leases.writes > written, "it was renewed again")
    assert lost(lock) == ""


def test_giving_back_after_a_lost_answer(leases: MemoryLeases) -> None:
    lock = LeaseLock(leases, ANNA, duration=3000)
    lock.acquire("a", PLAN_A)
    assert leases.lease is not None
    leases.replace_lease(leases.lease)  # a renewal of ours that we know nothing of
    lock.release()
    assert leases.lease.holder == ""


def test_the_identity_of_this_process() -> None:
    first, second = whoami(), whoami()
    assert first.session != second.session
    assert str(first) == f"{first.user}@{first.machine} ({first.pid})"


def test_giving_back_what_was_taken_over_says_so(leases: MemoryLeases) -> None:
    lock = LeaseLock(leases, ANNA, duration=3000)
    lock.acquire("a", PLAN_A)
    assert leases.lease is not None
    leases.replace_lease(replace(leases.lease, holder=str(BERT), annotations={}))
    with pytest.raises(AxiomError, match="taken over by bert"):
        lock.release()
    assert leases.lease.holder == str(BERT)


def test_a_clock_that_is_ahead_is_named(leases: MemoryLeases, lock_of: Make) -> None:
    lock_of(ANNA).acquire("label WALL-A-3", "plan-a")
    assert leases.lease is not None
    leases.lease = replace(leases.lease, renewed=leases.clock + timedelta(hours=1))
    with pytest.raises(LockHeld) as caught:
        lock_of(BERT).acquire("join WALL-A-9", "plan-b")
    assert "By its own clock it was renewed 3600 s from now: that clock is wrong." in str(
        caught.value.problem
    )
    assert "last renewed" not in str(caught.value.problem)
    # A second is what rounding may make of it.
    leases.lease = replace(leases.lease, renewed=leases.clock + timedelta(seconds=1))
    with pytest.raises(LockHeld, match="It was last renewed 0 s ago"):
        lock_of(BERT).acquire("join WALL-A-9", "plan-b")


@pytest.mark.parametrize("off", [0, 3600, -3600])
def test_a_cluster_whose_clock_is_not_ours_says_so(leases: MemoryLeases, lock_of: Make, off: int) -> None:
    leases.clock = datetime.now(UTC) + timedelta(seconds=off)
    lock_of(ANNA).acquire("label WALL-A-3", PLAN_A)
    with pytest.raises(LockHeld) as caught:
        lock_of(BERT).acquire("join WALL-A-9", PLAN_B)
    assert ("by the clock of the cluster, to label" in caught.value.problem.sentence) == bool(off)
    assert "last renewed 0 s ago" in caught.value.problem.sentence


class SlowLeases(MemoryLeases):
    """Each write takes so many seconds of the holder's clock until its answer is here."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self._steady = clock
        self._seconds = seconds

    def _store(self, lease: Lease) -> Lease:
        self._steady.at += self._seconds
        return super()._store(lease)


@pytest.mark.parametrize("renewed", [False, True])
def test_a_lock_counts_from_when_it_was_asked_for(renewed: bool) -> None:
    """Others may have seen the lease long before its answer came to us."""
    clock = Clock()
    lock = LeaseLock(SlowLeases(clock, 10), ANNA, duration=30, clock=clock)
    lock.acquire("a", PLAN_A)
    if renewed:
        lock._renew()
    clock.at += 19
    assert lock.lost is None
    clock.at += 1
    assert "could not be renewed for 30 s" in lost(lock)
    lock.release()


def test_what_is_written_moves_on_with_our_clock(leases: MemoryLeases, lock_of: Make) -> None:
    clock = Clock()
    lock = lock_of(ANNA, clock)
    lock.acquire("a", PLAN_A)
    began = leases.clock
    clock.at += 10
    lock._renew()
    assert leases.lease is not None
    assert leases.lease.renewed == began + timedelta(seconds=10)
    lock.release()
    assert (leases.lease.holder, leases.lease.duration) == ("", 1)


def test_a_lease_without_a_duration_lasts_as_long_as_ours(leases: MemoryLeases, lock_of: Make) -> None:
    leases.create_lease(Lease("kube-system", "axiom-tui", "old@desk (7)", 0, leases.clock, leases.clock))
    clock = Clock()
    lock = lock_of(BERT, clock)
    found = lock.look()
    assert found is not None
    assert (found.expired, found.expires_in) == (False, 30.0)
    clock.at += 30
    found = lock.look()
    assert found is not None
    assert found.expired


def test_a_lost_lock_is_not_renewed_any_more(leases: MemoryLeases, lock_of: Make) -> None:
    lock = lock_of(ANNA, steady, duration=1)
    lock.acquire("a", PLAN_A)
    thread = lock._thread
    assert thread is not None
    leases.broken = Problem(ProblemKind.TIMED_OUT, "no answer")
    until(lambda: lock.lost is not None, "the lock is lost")
    until(lambda: not thread.is_alive(), "nobody renews it")
