"""The simulated sh against the real one: the same scripts, the same output and status."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from axiom_tui.simulator.axiom import EmbeddedAxiom
from axiom_tui.simulator.hosts.host import Host
from tests.simulator.host_runs import run_on


def _scripts() -> dict[str, str]:
    text = Path(__file__).with_name("shell_scripts.sh").read_text()
    parts = (part.partition("\n") for part in text.split("\n#### ")[1:])
    return {name: script for name, _, script in parts}


SCRIPTS = _scripts()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    axiom = EmbeddedAxiom(tmp_path_factory.mktemp("axiom"), alive=False)
    host = axiom.hosts["ubuntu-4gb-nbg1-2"]
    yield host
    axiom.stop()


def real(script: str) -> tuple[int, str]:
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/tmp"}
    done = subprocess.run(
        ["sh", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
        env=environment,
        cwd="/tmp",
        start_new_session=True,
    )
    status = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return status, done.stdout.decode()


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_run_as_in_the_real_shell(host: Host, name: str) -> None:
    status, output, said = run_on(host, SCRIPTS[name])
    assert (status, output) == real(SCRIPTS[name]), said
