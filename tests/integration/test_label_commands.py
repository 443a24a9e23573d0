"""What writes labels into K3s' configuration, run on a host by a real sh, sshd and sudo."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from axiom_tui.clients.ssh import Interaction, SshConnection, SshOptions, SshTarget, connect
from axiom_tui.model.fleet import Cluster
from axiom_tui.model.naming import NamingScheme
from axiom_tui.model.secret import Secret
from axiom_tui.plans.access import Access
from axiom_tui.plans.events import Event, Outcome, Output, Result, StepState
from axiom_tui.plans.hosts import Hosts, Listening
from axiom_tui.plans.identity import Identity
from axiom_tui.plans.join_files import config_text
from axiom_tui.plans.journal import Journal
from axiom_tui.plans.label_files import CONFIG_FILE, FOLDER, JOIN_PATH, OWN_PATH, items_for
from axiom_tui.plans.label_persist import Login, NodeHost, persist_steps
from axiom_tui.plans.registry import rebuild_undo
from axiom_tui.plans.runner import Runner
from axiom_tui.plans.step import Plan
from tests.integration import sshd
from tests.integration.sshd import PASSWORD
from tests.integration.stand_ins import TOKEN, Stage
from tests.plans.joins import AGENT
from tests.plans.world import FreeLock

# One worker for all that watches process lists: what another one runs there is none of its business.
pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("sshd")]

CLUSTER = Cluster("axiom-test", "", "https://api.axiom.technat.ch:6443")
KIND = "labels-on-hosts"
#: As the real one shows a unit with these arguments.
SYSTEMCTL = """#!/bin/sh
[ "$1 $2 $3" = "show --property=ExecStart k3s-agent" ] || exit 1
echo "ExecStart={ path=/usr/local/bin/k3s ; argv[]=/usr/local/bin/k3s agent --node-ip 100.64.0.20 %s; \
ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }"
"""


class Password(Interaction):
    def sudo_password(self, user: str, host: str, again: bool) -> Secret | None:
        return None if again else Secret(PASSWORD)


@dataclass
class Stand:
    """A host with K3s' configuration, and a plan's means on it."""

    host: Stage
    directory: Path
    user: str
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        listening = Listening(Password())

        def connected(host: str, user: str, cancelled: threading.Event) -> SshConnection:
            options = SshOptions(
                config_file=self.directory / "no-config",
                known_hosts=self.host.sshd.known_hosts(),
                system_known_hosts=None,
                key_files=(self.host.sshd.user_key,),
            )
            target = SshTarget(host="127.0.0.1", port=self.host.sshd.port, user=user)
            return connect(target, options, listening, cancelled=cancelled)

        self.hosts = Hosts(connected, lambda: listening.given)
        self.journal = Journal(self.directory / "state")
        self.start_with("")

    def start_with(self, arguments: str) -> None:
        self.host.put("/usr/local/bin/systemctl", SYSTEMCTL % (f"{arguments} " if arguments else ""), 0o755)

    def plan(self, pool: str) -> Plan:
        targets = {"wall-a-10": NodeHost("100.64.0.20", "k3s-agent", pool)}
        steps = persist_steps(self.hosts, NamingScheme(), targets, Login(self.user, 30.0, 30.0))
        return Plan(KIND, "write labels", CLUSTER, steps, choices={"pool": pool})

    def run(self, plan: Plan) -> Result:
        def tell(event: Event) -> None:
            if isinstance(event, Output):
                self.said.append(event.line)

        identity = Identity("anna", "desk", 11, "session")
        return Runner(plan, self.journal, FreeLock(), tell, False, identity=identity).run()

    def write(self, pool: str) -> Result:
        result = self.run(self.plan(pool))
        assert result.outcome is Outcome.DONE, result.problem
        return result

    def undo(self, result: Result) -> None:
        kinds = {KIND: lambda choices, access: self.plan(str(choices["pool"]))}
        access = Access(CLUSTER, hosts=self.hosts)
        undone = self.run(rebuild_undo(self.journal.load(result.plan_id), self.journal, access, kinds))
        assert undone.outcome is Outcome.DONE, undone.problem

    def texts(self) -> dict[str, str]:
        """All that K3s would read, by path."""
        found = [CONFIG_FILE, *(f"{FOLDER}/{path.name}" for path in self.host.path(FOLDER).glob("*"))]
        return {path: self.host.text(path) for path in found if self.host.path(path).exists()}


@pytest.fixture
def stand(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stand]:
    sshd.require()
    with sshd.running(tmp_path / "host") as host:
        stand = Stand(Stage(host), tmp_path, getattr(request, "param", "alice"))
        yield stand
        stand.hosts.close()


@pytest.mark.parametrize("stand", ["alice", "bob"], indirect=True)
def test_into_a_file_of_its_own_and_out_again(stand: Stand) -> None:
    assert stand.texts() == {}
    done = stand.write("external")
    assert {path: yaml.safe_load(text) for path, text in stand.texts().items()} == {
        OWN_PATH: {"node-label+": list(items_for("external"))}
    }
    found = stand.host.path(OWN_PATH).stat()
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o600, 0, 0)
    assert stand.write("external").steps[0].state is StepState.ALREADY
    stand.undo(done)
    assert stand.texts() == {}


def test_two_homes_become_one_and_two_again(stand: Stand) -> None:
    joined = f"{config_text(AGENT)}token: {TOKEN}\n"
    own = f"node-label+:\n- disk=ssd\n- '{items_for('internal')[1]}'\n"
    before = {
        CONFIG_FILE: f"token: {TOKEN}\nnode-label: [place=home]\n",
        JOIN_PATH: joined,
        OWN_PATH: own,
        f"{FOLDER}/with space.yml": "debug: false\n",
    }
    for path, text in before.items():
        stand.host.put(path, text, 0o640)
    done = stand.write("games")
    after = stand.texts()
    assert after[JOIN_PATH] == joined.replace("lbpool=external", "lbpool=games")
    assert after[OWN_PATH] == "node-label+:\n- disk=ssd\n"
    assert stand.host.path(JOIN_PATH).stat().st_mode & 0o7777 == 0o640
    stand.undo(done)
    assert {path: yaml.safe_load(text) for path, text in stand.texts().items()} == {
        path: yaml.safe_load(text) for path, text in before.items()
    }
    assert stand.texts()[JOIN_PATH] == joined
    texts = [path.read_text() for path in stand.journal.directory.iterdir()]
    assert not any(TOKEN in text or PASSWORD in text for text in (*texts, *stand.said, *stand.host.calls))


def test_labels_of_the_command_line_are_seen(stand: Stand) -> None:
    stand.start_with("--node-label svccontroller.k3s.cattle.io/lbpool=internal")
    result = stand.run(stand.plan("external"))
    assert result.problem is not None
    assert "takes lbpool=internal from the arguments of k3s-agent" in result.problem.sentence
    assert stand.texts() == {}


def test_another_configuration_file_is_seen(stand: Stand) -> None:
    stand.host.put("/etc/default/k3s-agent", f"K3S_TOKEN={TOKEN}\nK3S_CONFIG_FILE=/srv/k3s.yaml\n", 0o600)
    result = stand.run(stand.plan("external"))
    assert result.problem is not None
    assert "reads /srv/k3s.yaml" in result.problem.sentence


@pytest.mark.parametrize("stand", ["carol"], indirect=True)
def test_without_sudo_nothing_is_written(stand: Stand) -> None:
    result = stand.run(stand.plan("external"))
    assert result.problem is not None
    assert "carol may not use sudo" in result.problem.sentence
    assert stand.texts() == {}
