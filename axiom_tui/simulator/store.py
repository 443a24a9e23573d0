"""The objects of the embedded cluster, versioned by one counter, with a history for watches."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from random import SystemRandom

import msgspec

from axiom_tui.simulator import managed_fields, statuses
from axiom_tui.simulator.resources import STANDARD, Resource
from axiom_tui.simulator.statuses import Json
from axiom_tui.simulator.stored import Change, Stored, Table, decode, encode, ordered, with_generation

_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


class ObjectStore:
    """A thread-safe store of API objects.

    ``plural`` names a resource: ``nodes``, or with its group ``daemonsets.apps``. Objects that come out are
    fresh copies; nothing that a caller does to them changes the store. Errors are `statuses.ApiError`
    (not found, already exists, ...), just as the API answers them; an unregistered plural is a `KeyError`.
    The history keeps at most ``history`` changes and ``history_bytes`` of encoded objects; older positions
    answer 410, as after `compact`.
    """

    def __init__(
        self,
        resources: Iterable[Resource] = STANDARD,
        *,
        history: int = 10_000,
        history_bytes: int = 64_000_000,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._tables: dict[str, Table] = {}
        self._version = 0
        self._compacted = 0
        self._history: deque[Change] = deque()
        self._history_limit = history
        self._history_bytes = 0
        self._history_bytes_limit = history_bytes
        self._callbacks: list[Callable[[str, str, Json], None]] = []
        self._undelivered: deque[Change] = deque()
        self._delivering = False
        self._random = SystemRandom()
        self.clock = clock
        self.register(*resources)

    # Resources

    def register(self, *resources: Resource) -> None:
        """Serve these resources from now on; their groups appear in discovery."""
        with self._changed:
            for resource in resources:
                self._tables.setdefault(resource.key, Table(resource))

    @property
    def resources(self) -> tuple[Resource, ...]:
        with self._changed:
            return tuple(table.resource for table in self._tables.values())

    def resource(self, plural: str) -> Resource:
        with self._changed:
            return self._tables[plural].resource

    # Whole objects, for the simulated world and its controllers

    def create(self, plural: str, obj: Json, namespace: str = "", *, manager: str = "k3s") -> Json:
        """Store a new object and return it with uid, creationTimestamp, resourceVersion, managedFields.

        The namespace is the argument, or else the one in the object. ``generateName`` works.
        """
        with self._changed:
            created = self.prepare(plural, obj, namespace, manager=manager)
            created = self._put(self._tables[plural], created, None)
        self._deliver()
        return created

    def mutate(
        self,
        plural: str,
        name: str,
        change: Callable[[Json], None],
        namespace: str = "",
        *,
        manager: str = "k3s",
        subresource: str = "",
    ) -> Json:
        """Let ``change`` edit the object in place, store it, return it. No difference: no new version."""

        def edit(live: Json) -> Json:
            edited: Json = msgspec.json.decode(msgspec.json.encode(live))
            change(edited)
            return self.owned(plural, live, edited, manager=manager, subresource=subresource)

        return self.edit(plural, name, namespace, edit)

    def delete(self, plural: str, name: str, namespace: str = "") -> Json:
        """Remove an object at once, finalizers or not; returns its last state."""
        with self._changed:
            table = self._tables[plural]
            stored = self._find(table, name, namespace)
            last = self._drop(table, stored)
        self._deliver()
        return last

    def get(self, plural: str, name: str, namespace: str = "") -> Json | None:
        """A copy of one object, or None."""
        with self._changed:
            table = self._tables[plural]
            stored = table.objects.get(f"{namespace}/{name}" if table.resource.namespaced else name)
        return decode(table.resource, stored) if stored else None

    def list(self, plural: str, namespace: str | None = None) -> list[Json]:
        """Copies of all objects, in the order of their keys; of one namespace, or of all."""
        with self._changed:
            table = self._tables[plural]
            found = [table.objects[key] for key in table.keys]
        return [decode(table.resource, one) for one in found if namespace in (None, one.namespace)]

    def compact(self) -> None:
        """Forget the history: watches and pages from before now answer 410."""
        with self._changed:
            self._compacted = self._version
            self._history.clear()
            self._history_bytes = 0
            self._changed.notify_all()

    def subscribe(self, callback: Callable[[str, str, Json], None]) -> Callable[[], None]:
        """Call ``callback(type, plural, object)`` after each change, in order, outside the lock, in a
        writer's thread (the callback may write itself). Returns how to unsubscribe."""
        with self._changed:
            self._callbacks.append(callback)

        def unsubscribe() -> None:
            with self._changed:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)

        return unsubscribe

    def load(self, plural: str, objects: Sequence[Json], version: int = 0) -> None:
        """Put objects in exactly as they are (uid, resourceVersion, managedFields), without any event.

        The counter moves on to the highest version seen, or to ``version`` if that is higher.
        """
        with self._changed:
            table = self._tables[plural]
            for obj in objects:
                own = int(obj["metadata"].get("resourceVersion", 0))
                table.put(encode(table.resource, obj, own))
                self._version = max(self._version, own)
            self._version = max(self._version, version)
            self._compacted = max(self._compacted, self._version)
            self._changed.notify_all()

    # What the API server needs

    def edit(
        self,
        plural: str,
        name: str,
        namespace: str,
        change: Callable[[Json], Json],
        *,
        dry_run: bool = False,
    ) -> Json:
        """Replace an object by what ``change`` makes of a copy of it, in one step. ``change`` may raise.

        If nothing but the times in managedFields differs, nothing is stored and the version stays. An object
        that is being deleted goes when its last finalizer goes.
        """
        with self._changed:
            table = self._tables[plural]
            stored = self._find(table, name, namespace)
            live = decode(table.resource, stored)
            edited = ordered(table.resource, change(decode(table.resource, stored)))
            if dry_run or managed_fields.same_but_times(live, edited):
                return edited if dry_run else live
            result = self._put(table, edited, stored)
            metadata = result["metadata"]
            if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
                result = self._drop(table, self._find(table, name, namespace))
        self._deliver()
        return result

    def prepare(
        self,
        plural: str,
        obj: Json,
        namespace: str = "",
        *,
        manager: str = "k3s",
        operation: str = "Update",
    ) -> Json:
        """What `create` would store, without storing it and without a resourceVersion (a dry run)."""
        with self._changed:
            table = self._tables[plural]
            resource = table.resource
            new: Json = msgspec.json.decode(msgspec.json.encode(obj))
            metadata = new.setdefault("metadata", {})
            if resource.namespaced:
                metadata["namespace"] = namespace or metadata.get("namespace") or "default"
            else:
                metadata.pop("namespace", None)
            if not metadata.get("name") and metadata.get("generateName"):
                suffix = "".join(self._random.choices(_SUFFIX_LETTERS, k=5))
                metadata["name"] = metadata["generateName"] + suffix
            name = metadata["name"]
            key = f"{metadata['namespace']}/{name}" if resource.namespaced else name
            if key in table.objects:
                raise statuses.already_exists(resource.plural, resource.group, name)
            if resource.bare:
                return ordered(resource, new)
            metadata["uid"] = str(uuid.uuid4())
            metadata.pop("resourceVersion", None)
            metadata.setdefault("creationTimestamp", timestamp(self.clock()))
            if resource.has_generation:
                metadata.setdefault("generation", 1)
            if "managedFields" not in metadata:
                own = managed_fields.created(resource, new, manager, operation, timestamp(self.clock()))
                metadata["managedFields"] = own
            return ordered(resource, new)

    def owned(self, plural: str, live: Json, edited: Json, *, manager: str, subresource: str = "") -> Json:
        """``edited`` with the generation and the managed fields that an update of ``live`` leads to."""
        resource = self.resource(plural)
        if resource.bare:
            return edited
        edited = managed_fields.updated(
            resource, live, edited, manager, timestamp(self.clock()), subresource=subresource
        )
        return with_generation(resource, live, edited, subresource=subresource)

    @property
    def version(self) -> int:
        """The resourceVersion of the whole store now."""
        with self._changed:
            return self._version

    @property
    def compacted(self) -> int:
        """Positions before this version are gone."""
        with self._changed:
            return self._compacted

    def snapshot(self, plural: str, at: int = 0) -> tuple[Sequence[Stored], int]:
        """All objects of a resource in key order as they were at a version (0: now), and that version.

        Raises 410 when the history does not reach back so far.
        """
        with self._changed:
            table = self._tables[plural]
            if not at or at >= self._version:
                return [table.objects[key] for key in table.keys], self._version
            if at < self._compacted:
                raise statuses.expired("The resourceVersion for the provided list is too old.")
            past = dict(table.objects)
            for change in reversed(self._history):
                if change.version <= at:
                    break
                if change.plural == plural:
                    past.pop(change.stored.key, None)
                    if change.previous:
                        past[change.stored.key] = change.previous
            return [past[key] for key in sorted(past)], at

    def stored(self, plural: str, name: str, namespace: str = "") -> Stored:
        """One object as it is kept; raises 404."""
        with self._changed:
            return self._find(self._tables[plural], name, namespace)

    def changes_after(self, version: int) -> tuple[Sequence[Change], int]:
        """All changes after a version, and the version of the store now. Raises 410 if they are forgotten."""
        with self._changed:
            if version < self._compacted:
                raise statuses.expired(f"too old resource version: {version} ({self._compacted})")
            fresh: list[Change] = []
            for change in reversed(self._history):
                if change.version <= version:
                    break
                fresh.append(change)
            fresh.reverse()
            return fresh, self._version

    def wait(self, version: int, deadline: float) -> None:
        """Sleep until the store is past ``version``, `wake` is called, or the monotonic deadline passes."""
        with self._changed:
            if self._version <= version:
                self._changed.wait(max(0.0, deadline - time.monotonic()))

    def wake(self) -> None:
        """End every `wait` now."""
        with self._changed:
            self._changed.notify_all()

    # Inside

    def _next_version(self) -> int:
        self._version += 1
        return self._version

    def _find(self, table: Table, name: str, namespace: str) -> Stored:
        resource = table.resource
        stored = table.objects.get(f"{namespace}/{name}" if resource.namespaced else name)
        if stored is None:
            raise statuses.not_found(resource.plural, resource.group, name)
        return stored

    def _put(self, table: Table, obj: Json, previous: Stored | None) -> Json:
        version = 0
        if not table.resource.bare:
            version = self._next_version()
            obj["metadata"]["resourceVersion"] = str(version)
        obj = ordered(table.resource, obj)
        stored = encode(table.resource, obj, version)
        table.put(stored)
        kind = "MODIFIED" if previous else "ADDED"
        self._record(Change(version, kind, table.resource.key, stored, previous))
        return obj

    def _drop(self, table: Table, stored: Stored) -> Json:
        version = 0 if table.resource.bare else self._next_version()
        last = decode(table.resource, stored)
        if version:
            last["metadata"]["resourceVersion"] = str(version)
        gone = encode(table.resource, last, version)
        table.drop(stored.key)
        self._record(Change(version, "DELETED", table.resource.key, gone, stored))
        return last

    def _record(self, change: Change) -> None:
        self._undelivered.append(change)
        if not change.version:
            return
        self._history.append(change)
        self._history_bytes += len(change.stored.body)
        while len(self._history) > self._history_limit or self._history_bytes > self._history_bytes_limit:
            oldest = self._history.popleft()
            self._history_bytes -= len(oldest.stored.body)
            self._compacted = max(self._compacted, oldest.version)
        self._changed.notify_all()

    def _deliver(self) -> None:
        """Tell the subscribers. One thread at a time does it; the others leave their changes to it, so that
        no writer ever waits for a callback of another thread."""
        while True:
            with self._changed:
                if self._delivering or not self._undelivered:
                    return
                change = self._undelivered.popleft()
                callbacks = tuple(self._callbacks)
                table = self._tables[change.plural]
                self._delivering = True
            try:
                for callback in callbacks:
                    callback(change.type, change.plural, decode(table.resource, change.stored))
            finally:
                with self._changed:
                    self._delivering = False


def timestamp(moment: datetime) -> str:
    """A time as the API writes it: ``2026-11-22T08:53:57Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
