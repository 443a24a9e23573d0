"""The lock as a file on this machine: for plans during which the API is down by intent."""

from __future__ import annotations

import fcntl
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from axiom_tui.model.problem import AxiomError, Problem, ProblemKind, fail
from axiom_tui.plans.identity import Identity
from axiom_tui.plans.lock import Holder, IsDead, LockHeld, OnWaiting
from axiom_tui.plans.step import CancelToken, Right

POLL = 0.5  # seconds between two tries while waiting
GLANCE = 2.0  # seconds in which a look of somebody else has surely ended

_UNKNOWN = Holder("another process", "", "", None, None, math.inf)


class FileLock:
    """An flock on ``path``: the kernel drops it when the process ends, so that it needs no renewal.

    What the file says only names the holder; whether it is held is a matter of the flock alone. It keeps out
    the plans of this machine, not those of others: a plan that stops the API says so.
    """

    rights: tuple[Right, ...] = ()

    def __init__(self, path: Path, identity: Identity) -> None:
        self.path = path
        self._identity = identity
        self._descriptor: int | None = None

    @property
    def lost(self) -> Problem | None:
        if self._descriptor is None or _is_at(self._descriptor, self.path):
            return None
        return Problem(
            ProblemKind.CONFLICT,
            f"The lock file {self.path} was removed or replaced while it was held.",
            "See whether somebody else works on this cluster, then resume this plan from the journal.",
        )

    def look(self) -> Holder | None:
        with _said(self.path):
            try:
                descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except BlockingIOError:
                return _read_holder(descriptor)
            finally:
                os.close(descriptor)

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
        if self._descriptor is not None:
            raise RuntimeError("this lock is held already")
        token, began, said = cancel or CancelToken(), time.monotonic(), False
        while not self._try():
            holder = self.look()
            if holder is None and time.monotonic() - began < GLANCE:
                time.sleep(0.02)  # let go between the two looks, or held by a look of somebody else
                continue
            holder = holder or _UNKNOWN
            left = began + wait - time.monotonic()
            if left <= 0:
                raise LockHeld(_held(holder), holder)
            if on_waiting is not None and not said:
                said, since = True, datetime.now(UTC)
                on_waiting(f"{holder.lock_in_words} to be given back", since, since + timedelta(seconds=left))
            if token.wait(min(POLL, left)):
                raise fail(ProblemKind.CANCELLED, f"Cancelled while waiting for the lock of {holder.who}.")
        record = {"holder": str(self._identity), "what_for": what_for, "plan": plan_id}
        try:
            self._write({**record, "since": datetime.now(UTC).isoformat()})
        except AxiomError:
            self.release()
            raise

    def release(self) -> None:
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        with _said(self.path):
            # The file stays: removing it would let two processes hold two files of one name.
            try:
                os.ftruncate(descriptor, 0)
            finally:
                os.close(descriptor)

    def _try(self) -> bool:
        with _said(self.path):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            if not _is_at(descriptor, self.path):  # removed between opening and locking: this is no lock
                os.close(descriptor)
                return False
        self._descriptor = descriptor
        return True

    def _write(self, record: dict[str, str]) -> None:
        assert self._descriptor is not None
        with _said(self.path):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(record).encode(), 0)
            os.fsync(self._descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _read_holder(descriptor: int) -> Holder:
    """Who wrote the file; a file that is just being written names nobody yet."""
    try:
        record = json.loads(os.pread(descriptor, 65536, 0))
        since = datetime.fromisoformat(record["since"])
        return Holder(record["holder"], record["what_for"], record["plan"], since, None, math.inf)
    except (ValueError, KeyError, TypeError):
        return _UNKNOWN


def _held(holder: Holder) -> Problem:
    return Problem(
        ProblemKind.CONFLICT,
        holder.at_work(),
        "Wait for it or look on; it is free as soon as that process ends.",
    )


@contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise fail(
            ProblemKind.BROKEN, f"The lock file {path} cannot be used: {reason}.", "See to its folder."
        ) from error
