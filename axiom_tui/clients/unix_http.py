"""One HTTP exchange over a unix socket, with a deadline for the whole.

httpx could do it too, but its httpcore leaves the socket open when it cannot connect to a path, which is
daily bread here; and it has no deadline for a whole exchange.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path

from axiom_tui.clients.http import Answer, not_http, refused, timed_out, unreachable
from axiom_tui.model.problem import ProblemKind, fail


def send_to_socket(path: Path, method: str, host: str, target: str, *, what: str, deadline: float) -> Answer:
    """Send one request without a body and read the whole answer, in at most ``deadline`` seconds.

    ``target`` is path and query, ``what`` names the other side in sentences. Raises `AxiomError` (ABSENT for
    a path that does not exist, FORBIDDEN, REFUSED, UNREACHABLE, TIMED_OUT, GARBLED).
    """
    from http.client import HTTPException, IncompleteRead, RemoteDisconnected

    late = threading.Event()
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(deadline)
            channel.connect(str(path))

            def give_up() -> None:
                late.set()
                with suppress(OSError):
                    channel.shutdown(socket.SHUT_RDWR)

            alarm = threading.Timer(deadline, give_up)
            alarm.daemon = True
            alarm.start()
            try:
                answer = _exchange(channel, method, host, target)
            finally:
                alarm.cancel()
    except TimeoutError as error:
        raise timed_out(what, deadline) from error
    except (OSError, HTTPException) as error:
        if late.is_set():
            raise timed_out(what, deadline) from error
        if isinstance(error, FileNotFoundError):
            raise fail(ProblemKind.ABSENT, f"{what} does not exist.", "Check the path.") from error
        if isinstance(error, PermissionError):
            raise fail(
                ProblemKind.FORBIDDEN, f"You may not open {what}.", "Check its permissions."
            ) from error
        if isinstance(error, ConnectionRefusedError):
            raise refused(what) from error
        if isinstance(error, HTTPException) and not isinstance(error, RemoteDisconnected | IncompleteRead):
            raise not_http(what, error) from error
        raise unreachable(what, error) from error
    if late.is_set():
        # Without a length, an answer that was cut looks like a whole one.
        raise timed_out(what, deadline)
    return answer


def _exchange(channel: socket.socket, method: str, host: str, target: str) -> Answer:
    from http.client import HTTPConnection

    connection = HTTPConnection(host)
    connection.sock = channel
    connection.request(method, target)
    with connection.getresponse() as response:
        received = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, received, response.read())
