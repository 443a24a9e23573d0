"""What is loaded when: the first frame must not wait for an SDK, nor a headless command for the screen."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from axiom_tui import __version__

ROOT = Path(__file__).parents[1]
SDKS = {"kubernetes", "paramiko", "boto3", "botocore", "httpx", "cryptography", "aiohttp"}


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after the code."""
    program = f"import sys\n{code}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_the_app_loads_no_sdk() -> None:
    modules = loaded_by("import axiom_tui.app")
    assert "textual" in modules
    assert modules & SDKS == set()


def test_the_headless_path_loads_no_textual() -> None:
    assert "textual" not in loaded_by("import axiom_tui.cli, axiom_tui.headless, axiom_tui.fleet.oneshot")


def test_the_door_alone_loads_next_to_nothing() -> None:
    modules = loaded_by("import axiom_tui.cli\naxiom_tui.cli.parser()")
    assert modules & (SDKS | {"textual", "yaml", "msgspec", "platformdirs", "logging"}) == set()


def test_the_settings_load_yaml_only_when_there_is_a_file() -> None:
    assert "yaml" not in loaded_by("from axiom_tui.config import load\nload()")


def test_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == __version__


@pytest.mark.parametrize(
    "command", [["-m", "axiom_tui"], ["-c", "import sys; from axiom_tui.cli import main; sys.exit(main())"]]
)
def test_the_program_starts(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *command, "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"axiom-tui {__version__}\n")


def test_the_documented_example_is_part_of_the_package() -> None:
    """`axiom-tui config init` must work from a wheel, which holds the package alone."""
    assert (ROOT / "axiom_tui/config.example.yaml").is_file()
