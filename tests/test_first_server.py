"""The first server of a new cluster: planned and founded where there is no kubeconfig and no API yet."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import yaml

from axiom_tui import cli
from axiom_tui.simulator.axiom import EmbeddedAxiom

FOUND = (
    *("ubuntu-8gb-hel1-1", "--name", "M-O-1", "--role", "first-server"),
    *("--k3s-version", "v1.33.4+k3s1"),
)


def without_a_cluster(axiom: EmbeddedAxiom) -> Path:
    """The settings of the embedded world, less all that leads to its Kubernetes API."""
    settings = yaml.safe_load(axiom.settings.read_text())
    settings.pop("kubernetes")
    path = axiom.directory / "no-cluster.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_it_is_founded_without_any_kubeconfig(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with EmbeddedAxiom(tmp_path / "axiom", alive=False) as axiom, open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        config = ["--config", str(without_a_cluster(axiom))]

        # What needs a cluster says why there is none.
        assert cli.main([*config, "plan", "labels"]) == 2
        assert "There is no kubeconfig at" in capfd.readouterr().err

        assert cli.main([*config, "plan", "join", *FOUND]) == 0
        plan = capfd.readouterr().out
        assert "cluster-init: true" in plan
        assert 'To apply it, type "M-O-1".' in plan
        assert "helm install cilium" in plan

        # Without the typed word nothing is done.
        assert cli.main([*config, "apply", "join", *FOUND, "--yes"]) == 2
        assert "--confirm M-O-1" in capfd.readouterr().err

        assert cli.main([*config, "apply", "join", *FOUND, "--confirm", "M-O-1"]) == 0
        said = capfd.readouterr().out
        assert "Changed: Start k3s" in said
        assert "Left to do: Install Cilium" in said
        assert cli.main(["journal"]) == 0
        assert "done" in capfd.readouterr().out
