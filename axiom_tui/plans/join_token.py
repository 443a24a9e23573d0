"""The step that brings the join token to the host: made or read when it is needed, and never kept by us.

The token travels by standard input only, from a server to this program's memory to a file of mode 0600. It is
in no plan, no journal, no argument and no environment.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence

from axiom_tui.clients.ssh_values import Completed, OnOutput, Stream
from axiom_tui.model.preflight_context import TokenSource
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind, fail
from axiom_tui.model.secret import Secret
from axiom_tui.plans import join_files as files
from axiom_tui.plans.hosts import Hosts
from axiom_tui.plans.join_choice import JoinSpec, TokenFrom
from axiom_tui.plans.join_steps import HostStep, failed, goes_on_without_host
from axiom_tui.plans.step import Json, Run

SERVER_TOKEN = "/var/lib/rancher/k3s/server/token"
#: A server that does not answer must not hold up the others for long.
SERVER_DEADLINE = 60.0
#: Ways in which one server can fail us and the next one may not.
OTHER_MAY_DO = (
    ProblemKind.REFUSED,
    ProblemKind.UNREACHABLE,
    ProblemKind.UNRESOLVED,
    ProblemKind.TIMED_OUT,
    ProblemKind.BROKEN,
    ProblemKind.GARBLED,
)


class BringToken(HostStep):
    """Gets a join token and puts it into a file on the host that only root can read."""

    key = "token"

    def __init__(
        self,
        hosts: Hosts,
        spec: JoinSpec,
        read_secret: Callable[[str], Secret],
        description: str,
    ) -> None:
        # Two logins: to the host, and to a server.
        super().__init__(hosts, spec, 120.0 + spec.login_timeout)
        self._read_secret = read_secret
        self._sum = ""
        ttl = f"{spec.token_ttl:.0f}s"
        self._create = f"{files.K3S} token create --ttl {ttl} --description {shlex.quote(description)}"
        install = f"sudo install -m 0600 /dev/stdin {files.TOKEN_PATH}"
        server = spec.servers[0] if spec.servers else "<server>"
        match spec.token:
            case TokenFrom.CREATED:
                minutes = spec.token_ttl / 60
                self.title = f"Make a join token on a server, valid for {minutes:.0f} minutes, and bring it"
                self.commands = (f"ssh {server} sudo {self._create} | {install}",)
            case TokenFrom.SERVER:
                self.title = "Read the server token on a server, and bring it"
                self.commands = (f"ssh {server} sudo cat {SERVER_TOKEN} | {install}",)
            case reference:
                self.title = f"Bring the join token from {reference}"
                self.commands = (f"{install} < the secret at {reference}",)

    def is_done(self, run: Run) -> bool:
        """Done is what has served, not what lies there: a token may be wrong, or have expired since."""
        return self._has_joined(run)

    def run(self, run: Run) -> None:
        token = self._token(run)
        self._sum = hashlib.sha256(token.reveal().encode() + b"\n").hexdigest()
        run.remember({"existed": False})
        self._shell(run).write_file(
            files.TOKEN_PATH, Secret(f"{token.reveal()}\n"), mode=0o600, directory_mode=0o755
        )
        self._hosts.mask(run)

    def verify(self, run: Run) -> None:
        found = self._shell(run).stat_file(files.TOKEN_PATH)
        if found is None or (found.mode, found.owner) != (0o600, "root:root"):
            raise fail(
                ProblemKind.BROKEN,
                f"{files.TOKEN_PATH} is not there with mode 0600.",
                "Look at the host's disk, then resume this plan from the journal.",
            )
        if self._sum and found.sha256 != self._sum:
            raise fail(
                ProblemKind.BROKEN,
                f"{files.TOKEN_PATH} was changed by somebody else meanwhile.",
                "See who else joins this host, then resume this plan from the journal.",
            )

    @goes_on_without_host
    def is_undone(self, run: Run) -> bool:
        return self._shell(run).stat_file(files.TOKEN_PATH) is None

    @goes_on_without_host
    def undo(self, run: Run) -> None:
        self._do(run, f"rm -f {files.TOKEN_PATH}", f"rm -f {files.TOKEN_PATH}")

    def undo_commands(self, earlier: Mapping[str, Json]) -> tuple[str, ...]:
        return (f"sudo rm -f {files.TOKEN_PATH}",)

    def _has_joined(self, run: Run) -> bool:
        done = self._ask(run, f"systemctl is-active {self._spec.unit}")
        return done.text.strip() == "active"

    def _token(self, run: Run) -> Secret:
        match self._spec.token:
            case TokenFrom.CREATED:
                return self._from_a_server(run, self._create, "k3s token create")
            case TokenFrom.SERVER:
                return self._from_a_server(run, f"cat {SERVER_TOKEN}", "read the server token")
            case reference:
                token = self._read_secret(reference)
                run.mask(token)
                return token

    def _from_a_server(self, run: Run, command: str, title: str) -> Secret:
        problems: list[AxiomError] = []
        for server in self._spec.servers:
            try:
                shell = self._hosts.shell(server, "", run)
                done = shell.sudo(
                    command,
                    deadline=min(SERVER_DEADLINE, max(1.0, run.remaining)),
                    on_output=_errors_of(run),
                    title=title,
                )
                if not done.ok:
                    # Standard output may hold a secret.
                    raise failed(Completed(done.status, b"", done.stderr), title, server)
                token = _secret_of(done.text, server)
            except AxiomError as error:
                if error.problem.kind not in OTHER_MAY_DO:
                    raise
                run.output(str(error.problem))
                problems.append(error)
                continue
            run.mask(token)
            run.output(f"{server}: {title}")
            return token
        if problems:
            raise problems[0]
        raise fail(
            ProblemKind.MISSING,
            "There is no server from which a join token could be had.",
            "Name one in the settings (join.token), then make the plan again.",
        )


def token_source(
    hosts: Hosts, token: str, servers: Sequence[str], read_secret: Callable[[str], Secret], deadline: float
) -> TokenSource:
    """Try who can give the token (`TokenFrom`, or a reference to a secret): all that a person must give for
    it is asked now. Nothing is made. Takes up to ``deadline`` s for each server; raises only CANCELLED."""
    if token not in (TokenFrom.CREATED, TokenFrom.SERVER):
        try:
            read_secret(token)
        except AxiomError as error:
            return TokenSource(reference=token, problem=error.problem)
        return TokenSource(reference=token)
    # Who may list tokens may make one. What they print is of no use here, and stays there.
    trial = f"{files.K3S} token list >/dev/null" if token == TokenFrom.CREATED else f"test -s {SERVER_TOKEN}"
    title = "k3s token list" if token == TokenFrom.CREATED else f"look for {SERVER_TOKEN}"
    refused: list[tuple[str, Problem]] = []
    for server in servers:
        try:
            done = hosts.shell(server, "").sudo(trial, deadline=min(SERVER_DEADLINE, deadline), title=title)
            if not done.ok:
                raise failed(Completed(done.status, b"", done.stderr), title, server)
        except AxiomError as error:
            if error.problem.kind is ProblemKind.CANCELLED:
                raise
            refused.append((server, error.problem))
            if error.problem.kind in OTHER_MAY_DO:
                continue
            break
        return TokenSource(server=server, refused=tuple(refused))
    return TokenSource(refused=tuple(refused))


def _secret_of(text: str, host: str) -> Secret:
    """A join token in a command's output: its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or not re.fullmatch(r"[A-Za-z0-9:._+/=-]{8,512}", lines[-1]):
        raise fail(
            ProblemKind.GARBLED,
            f"What {host} gave as join token is none.",
            f"Try `sudo {files.K3S} token create` there by hand.",
        )
    return Secret(lines[-1])


def _errors_of(run: Run) -> OnOutput:
    """Shows standard error alone: standard output holds the secret."""

    def tell(stream: Stream, line: str) -> None:
        if stream is Stream.STDERR:
            run.on_output(line)

    return tell
