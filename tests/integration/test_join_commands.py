"""Every command that a join runs on a host, run there by a real sh behind a real sshd and a real sudo."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from axiom_tui.clients.ssh import Interaction, SshConnection, SshOptions, SshTarget, connect
from axiom_tui.model.fleet import Cluster
from axiom_tui.model.problem import ProblemKind
from axiom_tui.model.secret import Secret
from axiom_tui.plans import join_files as files
from axiom_tui.plans.access import Access
from axiom_tui.plans.events import Event, Outcome, Output, Result, StepState
from axiom_tui.plans.hosts import Hosts, Listening
from axiom_tui.plans.identity import Identity
from axiom_tui.plans.join_choice import JoinSpec
from axiom_tui.plans.join_node import FIRST_SERVER_KIND, first_server_plan, host_steps, rebuild_first_server
from axiom_tui.plans.journal import Journal
from axiom_tui.plans.registry import rebuild_undo
from axiom_tui.plans.runner import Runner
from axiom_tui.plans.step import CancelToken, Plan
from tests.integration import sshd
from tests.integration.sshd import PASSWORD
from tests.integration.stand_ins import INSTALL_SCRIPT, SERVER_TOKEN, TOKEN, VERSION, Stage
from tests.plans.joins import AGENT, FIRST, SERVER
from tests.plans.world import FreeLock

# One worker for all that watches process lists: what another one runs there is none of its business.
pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("sshd")]

CLUSTER = Cluster("axiom-test", "", "https://api.axiom.technat.ch:6443")
SHA256 = hashlib.sha256(INSTALL_SCRIPT.encode()).hexdigest()
KIND = "host-steps"


class Password(Interaction):
    def __init__(self) -> None:
        self.asked = 0

    def sudo_password(self, user: str, host: str, again: bool) -> Secret | None:
        self.asked += 1
        return None if again else Secret(PASSWORD)


@dataclass
class Stand:
    """A host that is to join, a server that makes tokens, and a plan's means on both."""

    host: Stage
    server: Stage
    directory: Path
    user: str
    interaction: Password

    def __post_init__(self) -> None:
        listening = Listening(self.interaction)

        def connected(host: str, user: str, cancelled: threading.Event) -> SshConnection:
            stage = self.host if host == AGENT.host else self.server
            options = SshOptions(
                config_file=self.directory / "no-config",
                known_hosts=stage.sshd.known_hosts(),
                system_known_hosts=None,
                key_files=(stage.sshd.user_key,),
            )
            target = SshTarget(host="127.0.0.1", port=stage.sshd.port, user=self.user)
            return connect(target, options, listening, cancelled=cancelled)

        self.hosts = Hosts(connected, lambda: listening.given)
        self.access = Access(CLUSTER, hosts=self.hosts, secret=lambda reference: Secret(TOKEN))
        self.journal = Journal(self.directory / "state")
        self.said: list[str] = []

    def plan(self, spec: JoinSpec) -> Plan:
        if spec.first_server:
            return first_server_plan(spec, self.access)
        steps = host_steps(spec, self.access, self.hosts, None)
        return Plan(KIND, f"join {spec.name}", CLUSTER, steps, choices=spec.choices())

    def run(self, plan: Plan) -> Result:
        def tell(event: Event) -> None:
            if isinstance(event, Output):
                self.said.append(event.line)

        identity = Identity("anna", "desk", 11, "session")
        runner = Runner(plan, self.journal, FreeLock(), tell, False, identity=identity, typed=plan.typed_word)
        return runner.run()

    def undo(self, result: Result) -> Result:
        kinds = {KIND: lambda choices, access: self.plan(JoinSpec.of(choices))}
        kinds[FIRST_SERVER_KIND] = rebuild_first_server
        return self.run(rebuild_undo(self.journal.load(result.plan_id), self.journal, self.access, kinds))

    def secrets_seen(self) -> list[str]:
        """Where a secret stands that should not: journals, calls, environments, the log of sshd."""
        secrets = (TOKEN, TOKEN.split("::")[1], SERVER_TOKEN.split("::")[1], PASSWORD)
        places = {
            **{str(path.name): path.read_text() for path in self.journal.directory.iterdir()},
            **{f"{name}'s calls": "\n".join(stage.calls) for name, stage in self.stages.items()},
            **{f"{name}'s environment": stage.environment for name, stage in self.stages.items()},
            **{f"{name}'s sshd": stage.sshd.log() for name, stage in self.stages.items()},
            "output": "\n".join(self.said),
        }
        return [name for name, text in places.items() if any(secret in text for secret in secrets)]

    @property
    def stages(self) -> dict[str, Stage]:
        return {"host": self.host, "server": self.server}


@pytest.fixture
def stand(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stand]:
    """Fresh machines: what a join leaves on one must not help the next."""
    sshd.require()
    user = getattr(request, "param", "alice")
    with sshd.running(tmp_path / "host") as host, sshd.running(tmp_path / "server") as server:
        stand = Stand(Stage(host), Stage(server), tmp_path, user, Password())
        stand.server.make_server()
        yield stand
        stand.hosts.close()


def wanted(spec: JoinSpec) -> JoinSpec:
    return replace(spec, version=VERSION, install_sha256=SHA256, servers=("server",), dns=spec.dns)


AGENT_JOINS = replace(wanted(AGENT), modules=("overlay", "br_netfilter"), sysctls=("net.ipv4.ip_forward",))


@pytest.mark.parametrize("stand", ["alice", "bob"], indirect=True)
def test_an_agent_is_joined_by_exactly_these_commands(stand: Stand) -> None:
    result = stand.run(stand.plan(AGENT_JOINS))
    assert result.outcome is Outcome.DONE, result.problem
    assert [step.state for step in result.steps] == [StepState.DONE] * 7
    assert stand.interaction.asked == (2 if stand.user == "alice" else 0)  # once for each machine
    changes = [call for call in stand.host.calls if not call.startswith(("systemctl show", "journalctl"))]
    assert changes == [
        "hostnamectl set-hostname WALL-A-10",
        "modprobe overlay",
        "modprobe br_netfilter",
        f"sysctl -q -p {files.SYSCTL_PATH}",
        f"curl -fsSL -m 120 -o {files.INSTALL_SCRIPT} https://get.k3s.io",
        f"install {VERSION} agent true",
        "k3s --version",
        "systemctl is-active k3s-agent",
        "systemctl enable k3s-agent",
        "systemctl restart --no-block k3s-agent",
    ]
    assert stand.server.calls == [
        "k3s token create --ttl 900s --description axiom-tui joins wall-a-10",
    ]
    assert "Starting k3s" in stand.said
    assert stand.secrets_seen() == []


def test_the_files_of_an_agent(stand: Stand) -> None:
    assert stand.run(stand.plan(AGENT_JOINS)).outcome is Outcome.DONE
    token = stand.host.path(files.TOKEN_PATH)
    assert token.read_text() == f"{TOKEN}\n"
    found = token.stat()
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o600, 0, 0)
    config = stand.host.path(files.CONFIG_PATH)
    assert config.stat().st_mode & 0o7777 == 0o600
    assert yaml.safe_load(config.read_text())["token-file"] == files.TOKEN_PATH
    assert stand.host.path(files.STATE_FOLDER).stat().st_mode & 0o7777 == 0o700
    assert stand.host.text(files.MODULES_PATH).endswith("overlay\nbr_netfilter\n")
    assert stand.host.text("/run/stand/hostname") == "WALL-A-10\n"


def test_a_second_run_finds_all_done_and_changes_nothing(stand: Stand) -> None:
    assert stand.run(stand.plan(AGENT_JOINS)).outcome is Outcome.DONE
    before = stand.host.calls
    again = stand.run(stand.plan(AGENT_JOINS))
    assert [step.state for step in again.steps] == [StepState.ALREADY] * 7
    looks = ("systemctl show", "systemctl is-active", "k3s --version")
    assert [call for call in stand.host.calls[len(before) :] if not call.startswith(looks)] == []


def test_a_join_is_taken_back_in_the_right_order(stand: Stand) -> None:
    stand.host.put("/etc/rancher/node/password", "of an earlier join\n", 0o600)
    done = stand.run(stand.plan(AGENT_JOINS))
    before = stand.host.calls
    undone = stand.undo(done)
    assert undone.outcome is Outcome.DONE, undone.problem
    changes = [call for call in stand.host.calls[len(before) :] if not call.startswith("systemctl show")]
    assert changes == [
        "systemctl disable --now k3s-agent",
        "k3s --version",
        "uninstall k3s-agent",
        "hostnamectl set-hostname fresh-host",
    ]
    for path in (
        files.TOKEN_PATH,
        files.CONFIG_PATH,
        files.MODULES_PATH,
        files.SYSCTL_PATH,
        files.STATE_FOLDER,
        files.K3S,
        files.NODE_FOLDER,
    ):
        assert not stand.host.path(path).exists(), path
    assert stand.host.text("/run/stand/hostname") == "fresh-host\n"
    assert stand.secrets_seen() == []


def test_undo_brings_back_what_stood_there_before(stand: Stand) -> None:
    stand.host.put(files.CONFIG_PATH, 'node-name: "mine"\n', 0o600)
    undone = stand.undo(stand.run(stand.plan(AGENT_JOINS)))
    assert undone.outcome is Outcome.DONE, undone.problem
    assert stand.host.text(files.CONFIG_PATH) == 'node-name: "mine"\n'


def test_a_server_gets_the_server_token_and_its_flags(stand: Stand) -> None:
    result = stand.run(stand.plan(wanted(SERVER)))
    assert result.outcome is Outcome.DONE, result.problem
    assert stand.host.text(files.TOKEN_PATH) == f"{SERVER_TOKEN}\n"
    assert f"install {VERSION} server true" in stand.host.calls
    assert "systemctl restart --no-block k3s" in stand.host.calls
    assert yaml.safe_load(stand.host.text(files.CONFIG_PATH))["secrets-encryption"] is True
    assert stand.secrets_seen() == []


def test_the_first_server_needs_no_token_and_says_what_comes_next(stand: Stand) -> None:
    plan = stand.plan(wanted(FIRST))
    result = stand.run(plan)
    assert result.outcome is Outcome.DONE, result.problem
    assert not stand.host.path(files.TOKEN_PATH).exists()
    assert yaml.safe_load(stand.host.text(files.CONFIG_PATH))["cluster-init"] is True
    assert "k3s kubectl get node m-o-1" in stand.host.calls
    last = result.steps[-1]
    assert last.state is StepState.UNAVAILABLE
    assert any("kubeProxyReplacement=true" in line for line in last.commands)
    assert stand.undo(result).outcome is Outcome.DONE
    assert not stand.host.path(files.K3S).exists()


def test_a_changed_install_script_is_not_run(stand: Stand) -> None:
    stand.host.put("/run/stand/install-script", f"{INSTALL_SCRIPT}\n# and more\n", 0o644)
    result = stand.run(stand.plan(AGENT_JOINS))
    assert result.problem is not None
    assert result.problem.kind is ProblemKind.UNTRUSTED
    assert not [call for call in stand.host.calls if call.startswith("install")]
    assert not stand.host.path(files.INSTALL_SCRIPT).exists()


def test_a_message_of_k3s_ends_the_wait_with_its_meaning(stand: Stand) -> None:
    said = "https://127.0.0.1:6444/v1-k3s/config: 401 Unauthorized"
    stand.host.put("/run/stand/trouble", f'level=info msg="Waiting: {said}"\n', 0o644)
    result = stand.run(stand.plan(AGENT_JOINS))
    assert result.problem is not None
    assert result.problem.kind is ProblemKind.UNAUTHENTICATED
    assert "does not accept the join token" in result.problem.sentence
    assert f"Waiting: {said}" in stand.said


def test_a_token_that_was_refused_is_made_anew_when_the_plan_goes_on(stand: Stand) -> None:
    stand.host.put("/run/stand/trouble", 'level=info msg="x: 401 Unauthorized"\n', 0o644)
    assert stand.run(stand.plan(AGENT_JOINS)).outcome is Outcome.FAILED
    stand.host.path("/run/stand/trouble").unlink()
    fresh = TOKEN.replace("abcdef.", "fedcba.")
    stand.server.put("/run/stand/token", f"{fresh}\n", 0o600)
    # The old message stands in the journal still: for as long as it takes to be believed, it is not.
    stand.host.put("/run/stand/needed", "6\n", 0o644)
    stand.said.clear()
    again = stand.run(stand.plan(AGENT_JOINS))
    assert again.outcome is Outcome.DONE, again.problem
    assert not [line for line in stand.said if "401" in line]
    assert stand.host.text(files.TOKEN_PATH) == f"{fresh}\n"
    assert stand.host.calls.count("systemctl restart --no-block k3s-agent") == 2


def test_another_server_makes_the_token_when_the_first_cannot(stand: Stand) -> None:
    spec = replace(AGENT_JOINS, servers=(AGENT.host, "server"))  # on the host itself there is no K3s yet
    result = stand.run(stand.plan(replace(spec, modules=(), sysctls=())))
    assert result.outcome is Outcome.DONE, result.problem
    assert stand.host.text(files.TOKEN_PATH) == f"{TOKEN}\n"
    assert any("token create" in line and "ended with status" in line for line in stand.said)


def test_no_secret_is_on_a_process_list_at_any_time(stand: Stand) -> None:
    """A watcher reads the command lines and environments of everything, as fast as it can."""
    secrets = [item.encode() for item in (TOKEN.split("::")[1], PASSWORD)]
    seen: list[bytes] = []
    looks = 0
    stop = threading.Event()

    def watch() -> None:
        nonlocal looks
        own = {str(os.getpid())}
        while not stop.is_set():
            looks += 1
            for process in Path("/proc").iterdir():
                if not process.name.isdigit() or process.name in own:
                    continue
                for part in ("cmdline", "environ"):
                    try:
                        text = (process / part).read_bytes()
                    except OSError:
                        continue
                    if any(secret in text for secret in secrets):
                        seen.append(text[:200])

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        assert stand.run(stand.plan(AGENT_JOINS)).outcome is Outcome.DONE
    finally:
        stop.set()
        watcher.join(20)
    assert seen == []
    assert looks > 20
    assert stand.secrets_seen() == []


def test_a_cancel_during_the_wait_leaves_a_plan_that_can_go_on(stand: Stand) -> None:
    stand.host.put("/run/stand/trouble", 'level=info msg="connection refused"\n', 0o644)
    cancel = CancelToken()

    def tell(event: Event) -> None:
        if isinstance(event, Output) and "does not reach" in event.line:
            cancel.cancel()

    plan = stand.plan(AGENT_JOINS)
    identity = Identity("anna", "desk", 11, "session")
    runner = Runner(plan, stand.journal, FreeLock(), tell, False, identity=identity, cancel=cancel)
    result = runner.run()
    assert result.outcome is Outcome.CANCELLED
    stand.host.path("/run/stand/trouble").unlink()
    again = stand.run(stand.plan(AGENT_JOINS))
    assert again.outcome is Outcome.DONE, again.problem
