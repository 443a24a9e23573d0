"""What is broken on purpose: the faults that the simulated servers show, for tests and for training."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta

KUBERNETES_KINDS = {
    "hang": "requests are never answered, streams fall silent",
    "refuse": "nothing listens any more, open connections are reset",
    "cut": "connections are reset in the middle of a line",
    "unauthorized": "401",
    "forbidden": "403",
    "throttle": "429 with Retry-After",
    "broken": "500 with a Status; form=text: a proxy's plain 503",
    "slow": "each answer comes delay seconds late",
    "expire": "410 Gone: watches and lists must begin anew",
    "garbage": "200 with JSON that does not parse",
    "skew": "the clock by which plans time their lock is ahead",
}
TAILNET_KINDS = {
    "ts-absent": "tailscaled is not there",
    "ts-stopped": "Tailscale is down on this machine",
    "ts-needs-login": "this machine is logged out of the tailnet",
    "ts-needs-approval": "this machine waits for approval",
    "ts-hang": "tailscaled accepts and never answers",
    "ts-garbage": "tailscaled answers with JSON that does not parse",
    "ts-ping-timeout": "no device answers a ping",
    "control-unauthorized": "the control API does not accept the token (401)",
    "control-throttle": "the control API refuses for a while (429)",
    "control-broken": "the control API fails (500)",
    "control-garbage": "the control API's JSON does not parse",
}
#: Of the embedded hosts; ``path`` is the beginning of the host's name.
HOST_KINDS = {
    "host-absent": "the host is off: connections are never answered",
    "host-refuse": "connections are closed at once",
    "host-slow": "each command begins delay seconds late",
    "host-drop": "the connection is cut delay seconds into a command",
    "host-key-changed": "another host key than the one that is known",
    "host-check-mode": "the login waits for a person at a URL",
    "host-policy": "the tailnet's policy refuses the login",
    "host-sudo-password": "sudo takes no password",
    "host-token-rejected": "the cluster knows no token that this host shows",
    "host-authority-changed": "the cluster shows another certificate authority",
    "host-name-taken": "the cluster knows another machine by this name",
    "host-never-ready": "the node registers, and its network never comes up",
    "host-api-unreachable": "the cluster's servers do not answer to this host",
    "host-port-taken": "something else listens on K3s' ports",
    "host-metadata-silent": "its provider's metadata service does not answer",
    "host-metadata-garbage": "something else answers in its place",
    "host-clock-skew": "the host's clock is ahead",
}
#: Faults whose ``seconds`` say how far a clock is off; for all others it is their duration.
SHIFTS = frozenset({"skew", "host-clock-skew"})
KINDS = KUBERNETES_KINDS | TAILNET_KINDS | HOST_KINDS
FORMS = ("status", "text", "http")


def kinds_told() -> str:
    """All kinds, what each breaks, and the options: the end of a command's help."""
    width = max(map(len, KINDS))
    groups = (
        ("of the Kubernetes API", KUBERNETES_KINDS),
        ("of the tailnet", TAILNET_KINDS),
        ("of the hosts (path: the beginning of a host's name)", HOST_KINDS),
    )
    lines = []
    for title, kinds in groups:
        lines += [f"faults {title}:", *(f"  {kind:<{width}}  {what}" for kind, what in kinds.items()), ""]
    options = ", ".join(field.name.replace("_", "-") for field in fields(Fault)[1:])
    lines += [
        "options of a fault, as in throttle:path=/api/v1/pods,times=3:",
        f"  {options}",
        "  (seconds: how long it lasts; for clocks how far ahead, negative: behind)",
    ]
    return "\n".join(lines)


@dataclass(frozen=True)
class Fault:
    """One fault and where, how often and how long it shows.

    ``path``: only requests whose path (with query) begins so; "" is every request.
    ``times``: how many requests it hits before it clears itself; 0 is no limit.
    ``seconds``: after how many seconds it clears itself; 0 is never. For the clocks it is the shift itself.
    ``delay``: seconds of ``slow``. ``retry_after``: seconds named by ``throttle``.
    ``form``: ``status`` (a Status object), ``text`` (plain text, as from a proxy in front), or ``http`` (an
    expired watch is refused as a whole instead of in its stream).
    """

    kind: str
    path: str = ""
    times: int = 0
    seconds: float = 0.0
    delay: float = 2.0
    retry_after: int = 1
    form: str = "status"


def parse_fault(text: str) -> Fault:
    """Read ``kind`` or ``kind:option=value,option=value``; a ``ValueError`` says what is wrong."""
    kind, _, rest = text.partition(":")
    options: dict[str, str | int | float] = {}
    for part in filter(None, rest.split(",")):
        name, equals, value = part.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise ValueError(f"Fault option {part!r} of {kind!r} has no value; write option=value.")
        options[name] = value.strip()
    return _fault(kind.strip(), options)


def _fault(kind: str, options: dict[str, str | int | float]) -> Fault:
    if kind not in KINDS:
        raise ValueError(f"There is no fault {kind!r}; known are {', '.join(sorted(KINDS))}.")
    read = {"path": str, "times": int, "seconds": float, "delay": float, "retry_after": int, "form": str}
    unknown = set(options) - set(read)
    if unknown:
        names = ", ".join(field.name.replace("_", "-") for field in fields(Fault)[1:])
        raise ValueError(f"Fault {kind!r} has no option {', '.join(sorted(unknown))}; known are {names}.")
    values = {}
    for name, value in options.items():
        try:
            values[name] = read[name](value)
        except ValueError as error:
            wanted = "a whole number" if read[name] is int else "a number"
            raise ValueError(f"Option {name} of fault {kind!r} must be {wanted}, not {value!r}.") from error
    if values.get("form", "status") not in FORMS:
        raise ValueError(f"Option form of fault {kind!r} must be one of {FORMS}, not {values['form']!r}.")
    return Fault(kind, **values)


class Faults:
    """The faults in force, shared by all simulated servers. Every call is safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[str, Fault] = {}
        self._ends: dict[str, float] = {}
        self._listeners: list[Callable[[], None]] = []

    def set(self, kind: str | Fault, **options: str | int | float) -> None:
        """Put a fault in force (options: see `Fault`); the same kind replaces the earlier one."""
        fault = kind if isinstance(kind, Fault) else _fault(kind, options)
        with self._lock:
            self._faults[fault.kind] = fault
            self._ends.pop(fault.kind, None)
            if fault.seconds > 0 and fault.kind not in SHIFTS:
                self._ends[fault.kind] = time.monotonic() + fault.seconds
        self._tell()

    def clear(self, kind: str | None = None) -> None:
        """End one fault, or all of them. One that is not in force is no error."""
        with self._lock:
            for name in [kind] if kind else list(self._faults):
                self._faults.pop(name, None)
                self._ends.pop(name, None)
        self._tell()

    @property
    def active(self) -> tuple[Fault, ...]:
        """All faults in force now, in the order of their kinds."""
        with self._lock:
            self._drop_ended()
            return tuple(self._faults[kind] for kind in sorted(self._faults))

    def find(self, kind: str, path: str = "") -> Fault | None:
        """The fault of this kind that applies to the request path, without counting it as shown."""
        with self._lock:
            self._drop_ended()
            fault = self._faults.get(kind)
            return fault if fault and path.startswith(fault.path) else None

    def take(self, kind: str, path: str = "") -> Fault | None:
        """As `find`, and count it: a fault with ``times`` ends after that many."""
        with self._lock:
            self._drop_ended()
            fault = self._faults.get(kind)
            if fault is None or not path.startswith(fault.path):
                return None
            if fault.times == 1:
                del self._faults[kind]
                self._ends.pop(kind, None)
            elif fault.times > 1:
                self._faults[kind] = replace(fault, times=fault.times - 1)
            return fault

    @property
    def skew(self) -> timedelta:
        """How far the simulated clocks are ahead of ours."""
        fault = self.find("skew")
        return timedelta(seconds=fault.seconds) if fault else timedelta()

    def now(self) -> datetime:
        """The time (UTC) that the simulated clocks show."""
        return datetime.now(UTC) + self.skew

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` after every `set` and `clear`, in the caller's thread; returns how to stop it."""
        with self._lock:
            self._listeners.append(listener)
        return lambda: self._forget(listener)

    def _forget(self, listener: Callable[[], None]) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def _tell(self) -> None:
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()

    def _drop_ended(self) -> None:
        now = time.monotonic()
        for kind in [kind for kind, end in self._ends.items() if end <= now]:
            del self._faults[kind], self._ends[kind]
