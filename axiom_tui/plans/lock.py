"""The lock: one plan at a time in a cluster, held by a Lease, or by a file when the API is down by intent."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from axiom_tui.model.lease import Lease
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind, fail
from axiom_tui.plans.identity import Identity
from axiom_tui.plans.step import CancelToken, Right

log = logging.getLogger(__name__)

NAMESPACE = "kube-system"
NAME = "axiom-tui"
DURATION = 30  # seconds that a lock lasts unrenewed
SKEW = 2.0  # seconds by which a time in a Lease may be ahead without a clock being wrong
APART = 60.0  # seconds between our clock and the cluster's that make a time of it look wrong
WHAT_FOR = "axiom-tui/what-for"
PLAN = "axiom-tui/plan"
SESSION = "axiom-tui/session"
LEASE_RIGHTS = tuple(
    Right(verb, "leases", "coordination.k8s.io", NAMESPACE) for verb in ("get", "create", "update")
)


class LeaseClient(Protocol):
    """What the lock needs of the cluster. ``get_lease`` gives None if there is none; the other two raise
    CONFLICT when somebody was faster (it exists; its ``resource_version`` is not the newest)."""

    def get_lease(self, namespace: str, name: str) -> Lease | None: ...

    def create_lease(self, lease: Lease) -> Lease: ...

    def replace_lease(self, lease: Lease) -> Lease: ...

    def server_time(self) -> datetime:
        """The API server's clock, by the Date header of an answer."""
        ...


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the lock. ``since`` and ``renewed`` are by the clock of the cluster, if the holder kept to it.

    ``expires_in``: seconds until it may be taken over, if it is not renewed before; 0 means now.
    """

    who: str
    what_for: str
    plan_id: str
    since: datetime | None
    renewed: datetime | None
    expires_in: float

    @property
    def expired(self) -> bool:
        return self.expires_in <= 0

    def at_work(self, clock: str = "") -> str:
        """``anna@desk (11) is changing this cluster since 2026-11-22 14:02:00, to label WALL-A-3.``"""
        since = f" since {self.since.astimezone():%Y-%m-%d %H:%M:%S}{clock}" if self.since else ""
        purpose = f", to {self.what_for}" if self.what_for else ""
        return f"{self.who} is changing this cluster{since}{purpose}."

    @property
    def lock_in_words(self) -> str:
        """``the lock of anna@desk (11), taken to label WALL-A-3,``"""
        return (
            f"the lock of {self.who}, taken to {self.what_for},"
            if self.what_for
            else f"the lock of {self.who}"
        )


class LockHeld(AxiomError):
    """Somebody else has the lock."""

    def __init__(self, problem: Problem, holder: Holder) -> None:
        super().__init__(problem)
        self.holder = holder


OnWaiting = Callable[[str, datetime, datetime], None]
#: Whether the process that ran a plan (plan id, session) is known to have ended, without doubt.
IsDead = Callable[[str, str], bool]


class Lock(Protocol):
    """What the runner needs of a lock."""

    @property
    def rights(self) -> tuple[Right, ...]:
        """What one must be allowed to do in order to take it."""
        ...

    @property
    def lost(self) -> Problem | None:
        """Why it is not ours any more, if so; to be asked before every step."""
        ...

    def look(self) -> Holder | None:
        """Who has it, None if it is free. Asking again and again shows whether the holder still renews it."""
        ...

    def acquire(
        self,
        what_for: str,
        plan_id: str,
        *,
        wait: float = 0.0,
        is_dead: IsDead | None = None,
        cancel: CancelToken | None = None,
        on_waiting: OnWaiting | None = None,
    ) -> None:
        """Take it, waiting up to ``wait`` seconds for it. Raises `LockHeld`, or CANCELLED.

        An expired lock is taken over; one whose holder is known to be dead, at once (``is_dead``).
        """
        ...

    def release(self) -> None:
        """Give it back. Raises AxiomError if that fails; it then expires by itself."""
        ...


def steady() -> float:
    """Seconds of a clock that nobody sets and that goes on while the machine sleeps.

    Linux's CLOCK_MONOTONIC stops in suspend, and a laptop that slept would believe in its lock; there
    CLOCK_BOOTTIME goes on. On macOS CLOCK_MONOTONIC does.
    """
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A lease as we saw it, and when we first saw it like that, by our own steady clock."""

    resource_version: str
    renewed: datetime | None
    holder: str
    at: float


class LeaseLock:
    """A Lease in the cluster, renewed by a daemon thread every third of its duration.

    Two hosts' clocks are never compared. Our own steady clock measures how long a lease stayed unrenewed
    before our eyes, as Kubernetes' own leader election does (client-go's leaderelection.go); only after its
    whole duration it counts as expired. Times in the lease are written by the API server's clock (its Date
    header), so that "since 14:02" is right whatever our clock says.
    """

    rights = LEASE_RIGHTS

    def __init__(
        self,
        client: LeaseClient,
        identity: Identity,
        *,
        duration: int = DURATION,
        clock: Callable[[], float] = steady,
    ) -> None:
        self._client = client
        self._identity = identity
        self._duration = duration
        self._clock = clock
        self._guard = threading.Lock()  # of the fields below: the renewing thread shares them
        self._ours: Lease | None = None
        self._renewed_at = 0.0  # our clock, before the renewing request was sent: never later than it counted
        self._lost: Problem | None = None
        self._seen: _Sighting | None = None
        self._server_time: tuple[datetime, float] | None = None
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def lost(self) -> Problem | None:
        with self._guard:
            if self._lost is None and self._ours is not None:
                silent = self._clock() - self._renewed_at
                if silent >= self._duration:
                    self._lost = _expired(silent)
            return self._lost

    def look(self) -> Holder | None:
        lease = self._get()
        return None if lease is None or not lease.holder else self._holder(lease)

    def acquire(
        self,
        what_for: str,
        plan_id: str,
        *,
        wait: float = 0.0,
        is_dead: IsDead | None = None,
        cancel: CancelToken | None = None,
        on_waiting: OnWaiting | None = None,
    ) -> None:
        if self._ours is not None:
            raise RuntimeError("this lock is held already")
        token = cancel or CancelToken()
        self._read_server_time()
        began, said = self._clock(), ""
        while True:
            sent = self._clock()
            lease = self._get()
            holder = None if lease is None or not lease.holder else self._holder(lease)
            dead = lease is not None and is_dead is not None and is_dead(*_taken_by(lease))
            if holder is None or holder.expired or dead:
                try:
                    return self._take(lease, what_for, plan_id, sent)
                except AxiomError as error:
                    if error.problem.kind is not ProblemKind.CONFLICT:
                        raise
                    continue  # somebody was faster: look who
            patience = max(wait, self._patience_for_stale(lease))
            left = began + patience - self._clock()
            if left <= 0:
                raise LockHeld(_held(holder, self._server_now()), holder)
            if on_waiting is not None and holder.who != said:
                said, since = holder.who, datetime.now(UTC)
                what = f"{holder.lock_in_words} to be given back or to expire"
                on_waiting(what, since, since + timedelta(seconds=left))
            if token.wait(min(1.0, self._duration / 3, left)):
                raise fail(ProblemKind.CANCELLED, f"Cancelled while waiting for the lock of {holder.who}.")

    def release(self) -> None:
        """Stop renewing and clear the holder; the Lease stays, which needs no right to delete."""
        self._ending.set()
        if self._thread is not None:
            # A renewal under way ends with its own timeout; giving back beneath it would only meet a 409.
            self._thread.join(self._duration)
            self._thread = None
        with self._guard:
            ours, self._ours = self._ours, None
            lost = self._lost
        if ours is None or lost is not None:
            return
        try:
            self._client.replace_lease(self._cleared(ours))
        except AxiomError as error:
            if error.problem.kind is not ProblemKind.CONFLICT:
                raise
            found = self._get()
            if found is None or not self._is_ours(found, ours):
                raise AxiomError(_taken(found)) from error
            # A renewal whose answer was lost had moved it on.
            self._client.replace_lease(self._cleared(found))

    def _cleared(self, lease: Lease) -> Lease:
        """Nobody's, as client-go does on release: one second is the shortest duration that the API takes."""
        return replace(lease, holder="", duration=1, renewed=self._server_now())

    def _is_ours(self, found: Lease, ours: Lease) -> bool:
        return bool(found.holder) and _taken_by(found) == (ours.annotations[PLAN], self._identity.session)

    def _take(self, lease: Lease | None, what_for: str, plan_id: str, sent: float) -> None:
        now = self._server_now()
        wanted = Lease(
            namespace=NAMESPACE,
            name=NAME,
            holder=str(self._identity),
            duration=self._duration,
            acquired=now,
            renewed=now,
            transitions=lease.transitions + 1 if lease else 0,
            annotations={
                **(lease.annotations if lease else {}),
                WHAT_FOR: what_for,
                PLAN: plan_id,
                SESSION: self._identity.session,
            },
            resource_version=lease.resource_version if lease else "",
        )
        taken = self._client.replace_lease(wanted) if lease else self._client.create_lease(wanted)
        with self._guard:
            self._ours, self._renewed_at, self._lost = taken, sent, None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep, args=(self._ending,), name="lock", daemon=True)
        self._thread.start()

    def _keep(self, ending: threading.Event) -> None:
        """Renew until the end; a renewal that fails is tried again sooner, until the lease has run out."""
        pause = self._duration / 3
        while not ending.wait(pause):
            try:
                self._renew()
                pause = self._duration / 3
            except AxiomError as error:
                log.warning("the lock could not be renewed: %s", error.problem.sentence)
                pause = self._duration / 10
            except Exception:
                log.exception("defect while renewing the lock")
                pause = self._duration / 10
            if self.lost is not None:
                return

    def _renew(self) -> None:
        with self._guard:
            ours = self._ours
        if ours is None:
            return
        sent = self._clock()
        try:
            renewed = self._client.replace_lease(replace(ours, renewed=self._server_now()))
        except AxiomError as error:
            if error.problem.kind is not ProblemKind.CONFLICT:
                raise
            # Perhaps an earlier renewal of ours whose answer was lost; perhaps somebody took over.
            found = self._get()
            with self._guard:
                if found is not None and self._is_ours(found, ours):
                    self._ours = found
                    raise
                self._lost = self._lost or _taken(found)
            return
        with self._guard:
            silent = self._clock() - self._renewed_at
            if silent >= self._duration and self._lost is None:
                # It ran out before this renewal got through; that nobody took it meanwhile is luck.
                self._lost = _expired(silent)
            self._ours, self._renewed_at = renewed, sent

    def _get(self) -> Lease | None:
        return self._client.get_lease(NAMESPACE, NAME)

    def _holder(self, lease: Lease) -> Holder:
        now, seen = self._clock(), self._seen
        same = seen is not None and (seen.resource_version, seen.renewed, seen.holder) == (
            lease.resource_version,
            lease.renewed,
            lease.holder,
        )
        if seen is None or not same:
            seen = self._seen = _Sighting(lease.resource_version, lease.renewed, lease.holder, now)
        return Holder(
            who=lease.holder,
            what_for=lease.annotations.get(WHAT_FOR, ""),
            plan_id=lease.annotations.get(PLAN, ""),
            since=lease.acquired,
            renewed=lease.renewed,
            expires_in=max(0.0, seen.at + _duration(lease) - now),
        )

    def _patience_for_stale(self, lease: Lease | None) -> float:
        """A lease that looks expired by the server's clock is worth watching for its whole duration."""
        if lease is None or lease.renewed is None:
            return 0.0
        age = (self._server_now() - lease.renewed).total_seconds()
        return _duration(lease) + 1.0 if age > _duration(lease) else 0.0

    def _read_server_time(self) -> None:
        sent = self._clock()
        self._server_time = (self._client.server_time(), sent)

    def _server_now(self) -> datetime:
        if self._server_time is None:
            return datetime.now(UTC)
        told, at = self._server_time
        return told + timedelta(seconds=self._clock() - at)


def _duration(lease: Lease) -> int:
    """The holder's own duration; one that names none gets ours."""
    return lease.duration or DURATION


def _taken_by(lease: Lease) -> tuple[str, str]:
    """For which plan, and by which session."""
    return lease.annotations.get(PLAN, ""), lease.annotations.get(SESSION, "")


def _held(holder: Holder, now: datetime) -> Problem:
    """``now`` is by the clock of the cluster."""
    apart = abs((now - datetime.now(UTC)).total_seconds()) > APART
    renewed = ""
    if holder.renewed:
        ago = (now - holder.renewed).total_seconds()
        renewed = f" It was last renewed {max(0.0, ago):.0f} s ago."
        if ago < -SKEW:
            renewed = f" By its own clock it was renewed {-ago:.0f} s from now: that clock is wrong."
    return Problem(
        ProblemKind.CONFLICT,
        f"{holder.at_work(clock=' by the clock of the cluster' if apart else '')}{renewed}",
        "Look on, or wait for it (headless: --wait SECONDS); it is taken over once it was not renewed for "
        f"{holder.expires_in:.0f} s more.",
    )


def _taken(lease: Lease | None) -> Problem:
    if lease is None or not lease.holder:
        sentence = "The lock was taken away: somebody deleted or cleared the Lease kube-system/axiom-tui."
    else:
        sentence = (
            f"The lock was taken over by {lease.holder} ({lease.annotations.get(WHAT_FOR, 'unknown')})."
        )
    return Problem(
        ProblemKind.CONFLICT, sentence, "See what they do, then resume this plan from the journal."
    )


def _expired(silent: float) -> Problem:
    return Problem(
        ProblemKind.TIMED_OUT,
        f"The lock expired: it could not be renewed for {silent:.0f} s, so that others may take it.",
        "See to the connection to the API, then resume this plan from the journal.",
    )
