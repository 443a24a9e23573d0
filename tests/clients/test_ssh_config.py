"""~/.ssh/config: what counts, in which order, compared with the system's own client where it is there."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.clients.ssh_config import HostSettings, settings_for
from axiom_tui.clients.ssh_values import SshOptions, SshTarget
from axiom_tui.model.problem import AxiomError, ProblemKind


def settings(
    directory: Path, text: str, host: str = "wall-a-1", user: str = "", port: int = 0
) -> HostSettings:
    file = directory / "config"
    file.write_text(text)
    options = SshOptions(config_file=file, known_hosts=directory / "known_hosts", system_known_hosts=None)
    return settings_for(SshTarget(host="wall-a-1", user=user, port=port), options)


def test_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    options = SshOptions(
        config_file=tmp_path / "none", known_hosts=tmp_path / "known", system_known_hosts=None
    )
    found = settings_for(SshTarget(host="wall-a-1"), options)
    assert (found.host, found.port, found.user) == ("wall-a-1", 22, getpass.getuser())
    assert found.known_hosts == (tmp_path / "known",)
    assert found.known_as == "wall-a-1"
    assert found.agent == "/run/agent"
    assert found.key_files[0] == tmp_path / "id_ed25519"


@pytest.mark.parametrize(
    ("text", "title", "address"),
    [
        ("", "wall-a-1", "wall-a-1"),
        ("Port 2222", "wall-a-1", "wall-a-1:2222"),
        ("HostName Wall-A-1", "Wall-A-1", "Wall-A-1"),
        ("HostName 127.0.0.1\nPort 2222", "wall-a-1 (127.0.0.1)", "wall-a-1 (127.0.0.1:2222)"),
    ],
)
def test_the_name_that_was_asked_for_comes_first(tmp_path: Path, text: str, title: str, address: str) -> None:
    found = settings(tmp_path, text)
    assert (found.title, found.address) == (title, address)


def test_the_name_that_the_admin_knows_comes_before_an_address(tmp_path: Path) -> None:
    options = SshOptions(config_file=tmp_path / "none")
    found = settings_for(SshTarget(host="100.64.0.1", called="M-O-1", port=2222), options)
    assert (found.title, found.address) == ("M-O-1 (100.64.0.1)", "M-O-1 (100.64.0.1:2222)")
    assert found.host == found.known_as.strip("[]").partition("]")[0] == "100.64.0.1"


def test_all_that_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KEYS", "/keys")
    found = settings(
        tmp_path,
        """
        # mine
        Host wall-* !wall-b-*
            HostName = %h.example.net
            User technat
            Port 2222
            IdentityFile "~/my keys/%r_%h"
            IdentityFile ${KEYS}/second
            IdentitiesOnly yes
            IdentityAgent ~/agent.sock
            ProxyJump admin@m-o-1:2200,[fd7a::1]:22,m-o-2
            UserKnownHostsFile ~/.ssh/one ~/.ssh/two
            HashKnownHosts yes
        Host *
            User nobody
            IdentityFile /third
        """,
    )
    assert (found.name, found.host) == ("wall-a-1", "wall-a-1.example.net")
    assert (found.user, found.port) == ("technat", 2222)
    assert found.key_files == (
        tmp_path / "my keys" / "technat_wall-a-1.example.net",
        Path("/keys/second"),
        Path("/third"),
    )
    assert found.identities_only
    assert found.agent == str(tmp_path / "agent.sock")
    assert found.proxy_jump == (
        SshTarget(host="m-o-1", user="admin", port=2200),
        SshTarget(host="fd7a::1", port=22),
        SshTarget(host="m-o-2"),
    )
    assert found.known_hosts == (tmp_path / ".ssh/one", tmp_path / ".ssh/two")
    assert found.known_as == "[wall-a-1.example.net]:2222"
    assert found.hash_known_hosts


def test_the_target_comes_before_the_file(tmp_path: Path) -> None:
    found = settings(tmp_path, "User file\nPort 1\n", user="target", port=2)
    assert (found.user, found.port) == ("target", 2)


def test_the_proxy_that_comes_first_counts(tmp_path: Path) -> None:
    jump = settings(tmp_path, "ProxyJump m-o-1\nProxyCommand nc %h %p\n")
    assert (jump.proxy_jump, jump.proxy_command) == ((SshTarget(host="m-o-1"),), "")
    command = settings(tmp_path, "ProxyCommand tailscale nc %h %p # 100%%\nProxyJump m-o-1\n")
    assert (command.proxy_jump, command.proxy_command) == ((), "tailscale nc wall-a-1 22 # 100%")
    none = settings(tmp_path, "Host wall-*\n ProxyJump none\nHost *\n ProxyJump m-o-1\n")
    assert none.proxy_jump == ()
    assert settings(tmp_path, "ProxyCommand none\n").proxy_command == ""


def test_includes_stay_within_their_block(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.conf").write_text("Host wall-a-1\n Port 1\nHost *\n User included\n")
    found = settings(tmp_path, "Host m-o-*\n Include more/*.conf\nHost *\n User after\n")
    assert (found.user, found.port) == ("after", 22)
    found = settings(tmp_path, "Include more/*.conf\nUser after\nPort 2\n")
    assert (found.user, found.port) == ("included", 1)


@pytest.mark.parametrize(
    ("criteria", "applies"),
    [
        ("all", True),
        ("host wall-*", True),
        ("host wall-* user root", False),
        ("host m-o-*,wall-a-1", True),
        ("!host wall-*", False),
        ("originalhost wall-a-1", True),
        ("user technat", True),
        (f"localuser {getpass.getuser()}", True),
        ("final all", True),
        ("exec true", False),
        ("host wall-* exec true", False),
        ("canonical", False),
        ("tagged x", False),
        ("", False),
    ],
)
def test_match(tmp_path: Path, criteria: str, applies: bool) -> None:
    found = settings(tmp_path, f"User technat\nMatch {criteria}\n Port 77\n")
    assert (found.port == 77) is applies


def test_match_exec_runs_nothing(tmp_path: Path) -> None:
    settings(tmp_path, f'Match exec "touch {tmp_path}/ran"\n Port 77\n')
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "text",
    [
        "Port many\n",
        "Port 0\n",
        "Port 70000\n",
        'IdentityFile "open\n',
        "ProxyJump a:b:c\n",
        "Include config\n",
    ],
)
def test_what_cannot_be_understood_names_the_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(AxiomError) as caught:
        settings(tmp_path, text + "\n")
    assert caught.value.problem.kind is ProblemKind.MISCONFIGURED
    assert str(tmp_path / "config") in caught.value.problem.sentence


def test_an_unreadable_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(AxiomError) as caught:
        settings_for(SshTarget(host="x"), SshOptions(config_file=tmp_path))
    assert caught.value.problem.kind is ProblemKind.MISCONFIGURED


KEYWORDS = st.sampled_from(
    [
        "User technat", "User=root", 'User "eve"', "Port 2222", "Port = 2200", "HostName 100.64.0.7",
        "HostName %h.example.net", "IdentityFile /a", "IdentityFile /b", "IdentitiesOnly yes",
        "ProxyJump m-o-1", "ProxyCommand nc %h %p", "ProxyJump none", "ProxyCommand none",
        "HostKeyAlias alias", "# comment", "",
        "HashKnownHosts yes", "UserKnownHostsFile /k1 /k2",
    ]
)  # fmt: skip
HEADS = st.sampled_from(
    ["Host *", "Host wall-a-1", "Host wall-*", "Host m-o-1", "Host * !wall-a-1", "Host wall-? wall-a-?",
     "Match all", "Match host wall-a-1", "Match originalhost m-*", "Match user technat", "Match host *.net"]
)  # fmt: skip


@pytest.mark.skipif(shutil.which("ssh") is None, reason="the system's ssh is not installed")
@given(blocks=st.lists(st.tuples(HEADS, st.lists(KEYWORDS, max_size=5)), max_size=5))
def test_the_same_as_the_systems_client(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[tuple[str, list[str]]]
) -> None:
    directory = tmp_path_factory.mktemp("ssh")
    lines = [line for head, body in blocks for line in (head, *(f"  {keyword}" for keyword in body))]
    found = settings(directory, "\n".join(lines) + "\n")
    done = subprocess.run(
        ["ssh", "-G", "-F", str(directory / "config"), "wall-a-1"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    theirs: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        keyword, _, value = line.partition(" ")
        theirs.setdefault(keyword, []).append(value)
    assert found.host == theirs["hostname"][0]
    assert found.user == theirs["user"][0]
    assert found.port == int(theirs["port"][0])
    assert found.identities_only == (theirs["identitiesonly"][0] == "yes")
    assert [jump.host for jump in found.proxy_jump] == theirs.get("proxyjump", [])
    assert [found.proxy_command] == [
        command.replace("%h", found.host).replace("%p", str(found.port))
        for command in theirs.get("proxycommand", [""])
    ]
    named = [str(file) for file in found.key_files if file.parent != directory]
    assert named == [file for file in theirs["identityfile"] if not file.startswith("~")]
    assert found.hash_known_hosts == (theirs["hashknownhosts"][0] == "yes")
