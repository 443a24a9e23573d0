"""The simulated sh against the real one: the same scripts, the same output and status."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


# --- properties -----------------------------------------------------------------------------------------

WORDS = st.text(st.sampled_from(" \t\nab:,*?[]\\'\"$`~#&|;<>(){}=-é"), max_size=12)
NAMES = st.text(st.sampled_from("ab[]*?!-."), max_size=6)
PATTERNS = st.lists(
    st.sampled_from(
        ["a", "b", "*", "?", "[ab]", "[!a]", "[a-b]", "[b-a]", "[]a]", "[a-]", "[[:alpha:]]", "-", "."]
    ),
    max_size=4,
).map("".join)
FEW = settings(max_examples=60)


@FEW
@given(WORDS)
def test_what_is_quoted_stays_as_it_is(host: Host, text: str) -> None:
    assert run_on(host, f"printf %s {shlex.quote(text)}")[:2] == (0, text)


@FEW
@given(WORDS, st.sampled_from([" \t\n", ":", ", ", "", "a:"]))
def test_fields_are_split_as_in_the_real_shell(host: Host, text: str, separators: str) -> None:
    script = f'set -f; x={shlex.quote(text)}; IFS={shlex.quote(separators)}; printf \'<%s>\' $x "$x" a$x"b"$x'
    assert run_on(host, script)[:2] == real(script)


@FEW
@given(PATTERNS, NAMES)
def test_patterns_match_as_in_the_real_shell(host: Host, pattern: str, text: str) -> None:
    script = (
        f"p={shlex.quote(pattern)}; x={shlex.quote(text)}\n"
        "case $x in $p) echo yes;; *) echo no;; esac\n"
        """printf '%s|' "${x#$p}" "${x##$p}" "${x%$p}" "${x%%$p}"\n"""
        'case $x in "$p") echo same;; esac'
    )
    assert run_on(host, script)[:2] == real(script)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.booleans()):
        return str(draw(st.integers(0, 40)))
    operator = draw(
        st.sampled_from(["+", "-", "*", "<", "<=", "==", "!=", "&&", "||", "&", "|", "^", "/", "%"])
    )
    left, right = draw(expressions(depth - 1)), draw(expressions(depth - 1))
    if operator in "/%":
        right = str(draw(st.integers(1, 9)))
    return draw(st.sampled_from(["{} {} {}", "({} {} {})", "-({} {} {})"])).format(left, operator, right)


@FEW
@given(expressions())
def test_sums_are_as_in_the_real_shell(host: Host, expression: str) -> None:
    script = f"echo $(( {expression} ))"
    assert run_on(host, script)[:2] == real(script)


@FEW
@given(st.binary(max_size=400), st.integers(1, 300))
def test_bytes_pass_through_unchanged(host: Host, data: bytes, size: int) -> None:
    text = data.decode("latin-1")
    status, output, _ = run_on(host, f"head -c {size} | tee /tmp/bytes | cat; cat /tmp/bytes", text.encode())
    assert status == 0
    assert output.encode(errors="surrogateescape") == text.encode()[:size] * 2
