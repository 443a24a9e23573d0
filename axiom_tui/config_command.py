"""`axiom-tui config`: shows the settings in force, checks them, and writes the documented example."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Any

from axiom_tui.config import (
    CONFIG_VARIABLE,
    STATE_VARIABLE,
    Loaded,
    SecretReference,
    Settings,
    default_path,
    misconfigured,
    state_directory,
)
from axiom_tui.config_reader import all_keys
from axiom_tui.config_values import format_duration, tilde
from axiom_tui.model.masking import mask

EXAMPLE = "config.example.yaml"


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One effective setting: ``value`` as it would stand in the file."""

    key: str
    value: Any
    origin: str


def lines(loaded: Loaded) -> Iterator[Line]:
    """Every setting in force and where it comes from; of each context only what differs."""
    keys = [key for key in all_keys(Settings) if key != "contexts"]
    for key in keys:
        value = _plain(_at(loaded.settings, key))
        origin = str(loaded.origin(key))
        if key == "kubernetes.kubeconfig" and not value and os.environ.get("KUBECONFIG"):
            value, origin = os.environ["KUBECONFIG"].split(os.pathsep), "environment KUBECONFIG"
        yield Line(key, value, origin)
    for name, own in loaded.settings.contexts.items():
        for key in keys:
            full = f"contexts.{name}.{key}"
            if full in loaded.origins:
                yield Line(full, _plain(_at(own, key)), str(loaded.origin(full)))


def show(loaded: Loaded, output: str) -> str:
    """The settings in force as ``table``, ``json`` (with origins) or ``yaml`` (a settings file again)."""
    if output == "json":
        document = {
            "apiVersion": "axiom-tui/v1",
            "kind": "Settings",
            "file": str(loaded.path) if loaded.path else None,
            "stateDirectory": str(state_directory()),
            "items": [dataclasses.asdict(line) for line in lines(loaded)],
        }
        return json.dumps(_masked(document), ensure_ascii=False, indent=2)
    if output == "yaml":
        import yaml

        text: str = yaml.safe_dump(
            _masked(as_mapping(loaded)), sort_keys=False, allow_unicode=True, width=100
        )
        return text.rstrip("\n")
    rows = [(line.key, _inline(line.value), line.origin) for line in lines(loaded)]
    key_width = max(len(row[0]) for row in rows)
    value_width = min(44, max(len(row[1]) for row in rows))
    head = [
        f"settings file    {_file_line(loaded)}",
        f"state directory  {tilde(state_directory())}{_from_variable(STATE_VARIABLE)}",
        "",
    ]
    body = [f"{key:<{key_width}}  {mask(value):<{value_width}}  {origin}" for key, value, origin in rows]
    return "\n".join(head + body)


def as_mapping(loaded: Loaded) -> dict[str, Any]:
    """The settings in force as nested plain values: what a settings file would say."""
    mapping: dict[str, Any] = {}
    for key in all_keys(Settings):
        if key != "contexts":
            _put(mapping, key.split("."), _plain(_at(loaded.settings, key)))
    contexts: dict[str, Any] = {}
    for name, own in loaded.settings.contexts.items():
        contexts[name] = {}
        for key in all_keys(Settings):
            if f"contexts.{name}.{key}" in loaded.origins:
                _put(contexts[name], key.split("."), _plain(_at(own, key)))
    mapping["contexts"] = contexts
    return mapping


def check(loaded: Loaded) -> tuple[str, ...]:
    """What is wrong around a settings file that can be read: files and variables that it names."""
    complaints = []
    named = [(key, _at(loaded.settings, key)) for key in all_keys(Settings) if key in loaded.origins]
    for name, own in loaded.settings.contexts.items():
        full = [(f"contexts.{name}.{key}", key) for key in all_keys(Settings)]
        named += [(key, _at(own, plain)) for key, plain in full if key in loaded.origins]
    usual = Settings()
    for key, value in named:
        if key.startswith("ssh.") and value == _at(usual, key):
            continue  # the usual places: OpenSSH does without these files as well
        secret = isinstance(value, SecretReference) or key.endswith(("token_file", "secret_file"))
        for item in value if isinstance(value, tuple) else (value,):
            if complaint := _complaint(item, secret=secret):
                complaints.append(f"{_place(loaded, key)}: {key}: {complaint}")
    return tuple(complaints)


def _place(loaded: Loaded, key: str) -> str:
    """Where a value comes from, as mistakes in the file are said."""
    origin = loaded.origin(key)
    return f"{tilde(loaded.path)}, line {origin.line}" if loaded.path and origin.line else str(origin)


def init(path: Path | None) -> Path:
    """Write the documented example; raises AxiomError when a file is there already or cannot be made."""
    stated = os.environ.get(CONFIG_VARIABLE)
    target = (path or (Path(stated) if stated else default_path())).expanduser()
    text = files("axiom_tui").joinpath(EXAMPLE).read_text(encoding="utf-8")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise misconfigured(
            f"{tilde(target)} is there already and was left as it is.",
            "Name another file with --config, or move it away.",
        ) from error
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or type(error).__name__).lower()
        raise misconfigured(f"{tilde(target)} cannot be written: {reason}.") from error
    return target


def _complaint(value: Any, *, secret: bool) -> str:
    if isinstance(value, SecretReference) and value.scheme == "env":
        return "" if os.environ.get(value.place) else f"the environment variable {value.place} is not set"
    path = Path(value.place) if isinstance(value, SecretReference) else value
    if not isinstance(path, Path):
        return ""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"{tilde(path)}: {(error.strerror or type(error).__name__).lower()}"
    if not stat.S_ISREG(mode):
        return f"{tilde(path)} is not a file"
    if not os.access(path, os.R_OK):
        return f"{tilde(path)} cannot be read by you"
    if secret and mode & 0o077:
        return f"{tilde(path)} can be read by others; run: chmod 600 {tilde(path)}"
    return ""


def _at(settings: Settings, key: str) -> Any:
    value: Any = settings
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _put(mapping: dict[str, Any], names: list[str], value: Any) -> None:
    for name in names[:-1]:
        mapping = mapping.setdefault(name, {})
    mapping[names[-1]] = value


def _plain(value: Any) -> Any:
    """As it would stand in a settings file."""
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, Path):
        return tilde(value)
    if isinstance(value, SecretReference):
        return str(value)
    if dataclasses.is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _inline(value: Any) -> str:
    if isinstance(value, str):
        return value if value else '""'
    return json.dumps(value, ensure_ascii=False)


def _masked(value: Any) -> Any:
    """Masked value by value, before it is written, so that a mask can never break the format."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {mask(str(key)): _masked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return value


def _file_line(loaded: Loaded) -> str:
    if loaded.path is None:
        return f"{tilde(default_path())} (not there: all defaults)"
    return f"{tilde(loaded.path)}{_from_variable(CONFIG_VARIABLE, str(loaded.path))}"


def _from_variable(variable: str, value: str | None = None) -> str:
    stated = os.environ.get(variable)
    return f" (environment {variable})" if stated and value in (None, stated) else ""
