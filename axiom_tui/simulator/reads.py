"""GET: single objects, lists with pages and selectors, and watches."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from axiom_tui.simulator import selectors, statuses
from axiom_tui.simulator.faults import Faults
from axiom_tui.simulator.https_server import Answer, Cut, Request
from axiom_tui.simulator.patches import syntax_error
from axiom_tui.simulator.representations import Representation, negotiate
from axiom_tui.simulator.requests import Query, Target
from axiom_tui.simulator.resources import Resource
from axiom_tui.simulator.statuses import Json
from axiom_tui.simulator.store import ObjectStore
from axiom_tui.simulator.stored import Change, Stored, with_version

_LOOK_AROUND = 1.0  # seconds between looks of an idle watch: is the client still there
_TOKEN_VERSION = "meta.k8s.io/v1"
_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a "
    "new list without the continue parameter, or use the continue token in this response to retrieve "
    "the remainder of the results. Continuing with the provided token results in an inconsistent list "
    "- objects that were created, modified, or deleted between the time the first chunk was returned "
    "and now may show up in the list."
)
# A watch without timeoutSeconds ends after this many seconds; the server picks 30 to 60 minutes.
_LONGEST_WATCH = 1800
# Before the known end of a watch, by this many seconds, there is a bookmark.
_BOOKMARK_BEFORE_END = 2.0


@dataclass(frozen=True)
class Reader:
    """Answers reads from a store. ``bookmark_interval`` is in seconds (the real server: 60)."""

    store: ObjectStore
    faults: Faults
    bookmark_interval: float

    def get(self, request: Request, resource: Resource, target: Target, query: Query) -> Answer:
        shape = self._representation(request, resource, query)
        key = resource.converted_from or resource.key
        stored = self.store.stored(key, target.name, target.namespace if resource.namespaced else "")
        return Answer(200, [shape.one(stored)])

    def list(self, request: Request, resource: Resource, target: Target, query: Query) -> Answer:
        selection = _Selection.of(resource, target, query)
        shape = self._representation(request, resource, query)
        key = resource.converted_from or resource.key
        at, start = self._position(query, request.target)
        found, version = self.store.snapshot(key, at)
        found = selection.in_namespace(found)
        if start:
            found = [one for one in found if selection.place(one) >= start]
        # A list from the server's cache (resourceVersion=0) is never cut into pages.
        limit = 0 if query.text("resourceVersion") == "0" else query.number("limit")
        page, last = selection.page(found, limit)
        metadata: Json = {} if resource.bare else {"resourceVersion": str(version)}
        if last is not None and last + 1 < len(found):
            metadata["continue"] = _token(version, selection.place(found[last]))
            if selection.selects_all:
                metadata["remainingItemCount"] = len(found) - last - 1
        return Answer(200, shape.listing(page, metadata))

    def watch(self, request: Request, resource: Resource, target: Target, query: Query) -> Answer:
        selection = _Selection.of(resource, target, query)
        shape = self._representation(request, resource, query)
        _check_initial_events(query)
        _version(query.text("resourceVersion"))
        expiring = self.faults.find("expire", request.target)
        if expiring and expiring.form == "http" and self.faults.take("expire", request.target):
            raise statuses.expired(f"too old resource version: {self.store.version}")
        lines = self._watch(request, resource, selection, shape, query)
        return Answer(200, lines, endless=True)

    def _representation(self, request: Request, resource: Resource, query: Query) -> Representation:
        return Representation(
            resource,
            negotiate(request.headers.get("accept", "")),
            self.faults.now(),
            include=query.text("includeObject") or "Metadata",
            shift=self.faults.skew,
        )

    def _position(self, query: Query, path: str) -> tuple[int, str]:
        """At which version to list, and from which key on; raises 400, 410 and 504."""
        text, match = query.text("resourceVersion"), query.text("resourceVersionMatch")
        token = query.text("continue")
        if token:
            version, start = _read_token(token)
            too_old = version > 0 and version < self.store.compacted
            if too_old or self.faults.take("expire", path):
                raise statuses.expired(_TOO_OLD, {"continue": _token(-1, start[:-1])})
            return max(version, 0), start
        wanted = _version(text)
        current = self.store.version
        if wanted > current:
            raise statuses.too_large_version(wanted, current)
        if match == "Exact" or (wanted and not match and query.number("limit")):
            return wanted, ""
        return 0, ""

    def _watch(
        self,
        request: Request,
        resource: Resource,
        selection: _Selection,
        shape: Representation,
        query: Query,
    ) -> Iterator[bytes]:
        """The lines of a watch until it ends: in time, by an error, or with its client or server."""
        seconds = query.number("timeoutSeconds") or _LONGEST_WATCH
        begin = time.monotonic()
        end = begin + seconds
        bookmarks = query.flag("allowWatchBookmarks")
        next_bookmark = self._next_bookmark(begin, begin, end)
        first = True
        try:
            position = self._beginning(request, query)
            if position == 0:
                found, position = self.store.snapshot(resource.converted_from or resource.key)
                for stored in selection.in_namespace(found):
                    if selection.selects(stored):
                        yield shape.event("ADDED", stored, first=first)
                        first = False
                if query.flag("sendInitialEvents") and bookmarks:
                    yield shape.bookmark(position, initial_end=True)
            while time.monotonic() < end and request.alive():
                if self._silenced(request):
                    continue
                changes, now_at = self.store.changes_after(position)
                for change in changes:
                    line = self._line(change, resource, selection, shape, first=first)
                    if line:
                        yield line
                        first = False
                position = now_at
                if bookmarks and time.monotonic() >= next_bookmark:
                    yield shape.bookmark(position)
                    next_bookmark = self._next_bookmark(time.monotonic(), begin, end)
                wake = min(end, time.monotonic() + _LOOK_AROUND)
                self.store.wait(position, min(wake, next_bookmark) if bookmarks else wake)
        except statuses.ApiError as error:
            yield b'{"type":"ERROR","object":%b}\n' % msgspec.json.encode(error.body)

    def _beginning(self, request: Request, query: Query) -> int:
        """The version after which the watch begins; 0: with all objects that there are now."""
        text = query.text("resourceVersion")
        wanted = _version(text)
        if query.flag("sendInitialEvents") or wanted == 0:
            return 0
        if self.faults.take("expire", request.target):
            raise statuses.expired(f"too old resource version: {wanted} ({self.store.version})")
        if wanted > self.store.version:
            raise statuses.too_large_version(wanted, self.store.version)
        self.store.changes_after(wanted)
        return wanted

    def _silenced(self, request: Request) -> bool:
        """Let the faults act on an open stream: cut it, expire it, or keep it silent for a while."""
        if self.faults.take("cut", request.target):
            raise Cut(b'{"type":"MODIFIED","object":{"kind":')
        if self.faults.take("expire", request.target):
            version = self.store.version
            raise statuses.expired(f"too old resource version: {version - 1} ({version})")
        if self.faults.find("hang", request.target):
            self.store.wait(self.store.version, time.monotonic() + _LOOK_AROUND / 4)
            return True
        return False

    def _line(
        self,
        change: Change,
        resource: Resource,
        selection: _Selection,
        shape: Representation,
        *,
        first: bool,
    ) -> bytes:
        """The event that a watcher with this selection sees of a change; empty for none."""
        if change.plural != (resource.converted_from or resource.key):
            return b""
        before = change.previous is not None and selection.matches(change.previous)
        after = change.type != "DELETED" and selection.matches(change.stored)
        if after:
            return shape.event("MODIFIED" if before else "ADDED", change.stored, first=first)
        if not before or change.previous is None:
            return b""
        gone = change.stored if change.type == "DELETED" else with_version(change.previous, change.version)
        return shape.event("DELETED", gone, first=first)

    def _next_bookmark(self, now: float, begin: float, end: float) -> float:
        """When the next bookmark is due, as the server's watch cache plans it."""
        regular = now + self.bookmark_interval
        last = end - _BOOKMARK_BEFORE_END
        if last <= begin or now >= last:
            return regular
        return min(regular, last)


@dataclass(frozen=True)
class _Selection:
    """What a list or a watch is about: a namespace or all, a name, labels, fields."""

    namespace: str
    namespaced: bool
    labels: selectors.Matcher
    fields: selectors.Matcher

    @classmethod
    def of(cls, resource: Resource, target: Target, query: Query) -> _Selection:
        labels = selectors.parse_labels(query.text("labelSelector"))
        fields = selectors.parse_fields(query.text("fieldSelector"), resource)
        namespace = target.namespace if resource.namespaced else ""
        return cls(namespace, resource.namespaced, labels, fields)

    @property
    def selects_all(self) -> bool:
        return self.labels is selectors.everything and self.fields is selectors.everything

    def selects(self, stored: Stored) -> bool:
        return self.labels(stored.labels) and self.fields(stored.fields)

    def matches(self, stored: Stored) -> bool:
        return (not self.namespace or stored.namespace == self.namespace) and self.selects(stored)

    def in_namespace(self, found: Sequence[Stored]) -> Sequence[Stored]:
        return [one for one in found if one.namespace == self.namespace] if self.namespace else found

    def place(self, stored: Stored) -> str:
        """The key in continue tokens: relative to the namespace, or to the whole resource."""
        if self.namespace:
            return stored.name
        return stored.key if self.namespaced else f"/{stored.name}"

    def page(self, found: Sequence[Stored], limit: int) -> tuple[Sequence[Stored], int | None]:
        """The selected objects, at most ``limit`` (0: all), and where the page ended if the limit did it."""
        if self.selects_all:
            return (found[:limit], limit - 1) if 0 < limit < len(found) else (found, None)
        page: list[Stored] = []
        for at, stored in enumerate(found):
            if self.selects(stored):
                page.append(stored)
                if limit and len(page) == limit:
                    return page, at
        return page, None


def _check_initial_events(query: Query) -> None:
    """sendInitialEvents needs resourceVersionMatch=NotOlderThan, and the other way round; raises 422."""
    wanted = "sendInitialEvents" in query.values
    match = query.text("resourceVersionMatch")
    causes: list[Json] = []
    if wanted and match != "NotOlderThan":
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        causes.append(statuses.cause("FieldValueForbidden", f"Forbidden: {why}", "resourceVersionMatch"))
    elif match and not wanted:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        causes.append(statuses.cause("FieldValueForbidden", f"Forbidden: {why}", "resourceVersionMatch"))
    if causes:
        raise statuses.invalid("ListOptions", "meta.k8s.io", "", causes)


def _version(text: str) -> int:
    if not text:
        return 0
    if not text.isdigit():
        why = f'strconv.ParseUint: parsing "{text}": invalid syntax'
        raise statuses.bad_request(f'resourceVersion: Invalid value: "{text}": {why}')
    return int(text)


def _token(version: int, place: str) -> str:
    body = msgspec.json.encode({"v": _TOKEN_VERSION, "rv": version, "start": f"{place}\0"})
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def _read_token(token: str) -> tuple[int, str]:
    """Version and first key of a continue token; raises 400 with the words of apiserver's DecodeContinue."""
    bad = "invalid continue token: continue key is not valid: "
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    wrong = next((at for at, letter in enumerate(token) if letter not in alphabet), None)
    if wrong is None and len(token) % 4 == 1:
        wrong = len(token)
    if wrong is not None:
        raise statuses.bad_request(f"{bad}illegal base64 data at input byte {wrong}")
    body = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    try:
        content = msgspec.json.decode(body, type=dict)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise statuses.bad_request(bad + syntax_error(body)) from error
    version, start = content.get("rv", 0), content.get("start", "")
    if content.get("v") != _TOKEN_VERSION:
        said = content.get("v", "")
        raise statuses.bad_request(f'{bad}server does not recognize this encoded version "{said}"')
    if not version:
        raise statuses.bad_request(f"{bad}incorrect encoded start resourceVersion (version {_TOKEN_VERSION})")
    if not start:
        raise statuses.bad_request(f"{bad}encoded start key empty (version {_TOKEN_VERSION})")
    return int(version), str(start)
