"""Reading kubeconfigs: merging, choosing, and every way in which one cannot work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from axiom_tui.clients import kubeconfig as module
from axiom_tui.clients.kubeconfig import KubernetesOptions, access, cluster_of, contexts
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind


def config(name: str, server: str = "https://m-o-1:6443", **user: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": f"{name}-admin", "user": user}],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": f"{name}-admin", "namespace": "web"}}
        ],
        "current-context": name,
    }


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return path


def problem(options: KubernetesOptions) -> Problem:
    with pytest.raises(AxiomError) as caught:
        access(options)
    return caught.value.problem


def test_contexts_are_listed_with_their_cluster_and_the_current_one(tmp_path: Path) -> None:
    path = write(tmp_path / "config", config("axiom"))
    (only,) = contexts(KubernetesOptions((path,)))
    assert (only.name, only.cluster, only.server) == ("axiom", "axiom", "https://m-o-1:6443")
    assert (only.user, only.namespace, only.current) == ("axiom-admin", "web", True)


def test_several_files_are_merged_and_the_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write(tmp_path / "first", config("axiom", "https://one:6443"))
    second = write(tmp_path / "second", {**config("axiom", "https://two:6443"), "current-context": "lab"})
    third = write(tmp_path / "third", config("lab", "https://lab:6443"))
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, (first, tmp_path / "none", second, third))))
    found = {context.name: context for context in contexts(KubernetesOptions())}
    assert found["axiom"].server == "https://one:6443"
    assert found["axiom"].current
    assert found["lab"].server == "https://lab:6443"
    assert cluster_of(KubernetesOptions(context="lab")).server == "https://lab:6443"


def test_the_usual_place_is_read_without_any_name(tmp_path: Path) -> None:
    write(Path.home() / ".kube" / "config", config("axiom"))
    assert cluster_of(KubernetesOptions()).name == "axiom"


def test_kubeconfig_is_read_when_asked_and_not_at_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path / "one", config("one"))))
    assert cluster_of(KubernetesOptions()).name == "one"
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path / "two", config("two"))))
    assert cluster_of(KubernetesOptions()).name == "two"


def test_relative_paths_are_relative_to_their_file(tmp_path: Path) -> None:
    content = config("axiom", **{"client-certificate": "pki/me.crt", "client-key": "pki/me.key"})
    content["clusters"][0]["cluster"]["certificate-authority"] = "pki/ca.crt"
    path = write(tmp_path / "sub" / "config", content)
    for name in ("ca.crt", "me.crt", "me.key"):
        write(tmp_path / "sub" / "pki" / name, name)
    found = access(KubernetesOptions((path,)))
    assert found.authority == "ca.crt"
    assert found.client_certificate == (b"me.crt", b"me.key")


def test_a_token_of_digits_stays_text(tmp_path: Path) -> None:
    path = write(
        tmp_path / "config", yaml.safe_dump(config("axiom")).replace("user: {}", "user: {token: 0123}")
    )
    assert access(KubernetesOptions((path,))).user.token == "0123"


def test_what_kubectl_writes_into_an_empty_config_is_read(tmp_path: Path) -> None:
    text = 'apiVersion: v1\nclusters: null\ncontexts: null\ncurrent-context: ""\nkind: Config\nusers: null\n'
    path = write(tmp_path / "config", text)
    assert contexts(KubernetesOptions((path,))) == ()
    assert "no current context" in problem(KubernetesOptions((path,))).sentence


def test_no_kubeconfig_at_all() -> None:
    found = problem(KubernetesOptions())
    assert found.kind is ProblemKind.ABSENT
    assert "There is no kubeconfig" in found.sentence
    assert "/etc/rancher/k3s/k3s.yaml" in found.remedy


def test_a_named_file_that_is_not_there(tmp_path: Path) -> None:
    found = problem(KubernetesOptions((tmp_path / "none",)))
    assert found.kind is ProblemKind.ABSENT
    assert str(tmp_path / "none") in found.sentence


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "config", config("axiom"))

    def refuse(*_: object, **__: object) -> str:
        # Root may read everything, so a real mode 0 would prove nothing where tests run as root.
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    found = problem(KubernetesOptions((path,)))
    assert found.kind is ProblemKind.FORBIDDEN
    assert "may not read" in found.sentence


def test_a_directory_instead_of_a_file(tmp_path: Path) -> None:
    assert "cannot be read: Is a directory" in problem(KubernetesOptions((tmp_path,))).sentence


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"\xff\xfe\x00")
    assert "no UTF-8 text" in problem(KubernetesOptions((path,))).sentence


def test_broken_yaml_is_named_by_its_line_and_not_quoted(tmp_path: Path) -> None:
    path = write(tmp_path / "config", "users:\n- name: ada\n  user: {token: hunter2\ncontexts: []\n")
    found = problem(KubernetesOptions((path,)))
    assert "line 4 is no valid YAML" in found.sentence
    assert "hunter2" not in str(found)


def test_yaml_of_another_shape(tmp_path: Path) -> None:
    path = write(tmp_path / "config", {**config("axiom"), "users": {"ada": {"token": "hunter2"}}})
    found = problem(KubernetesOptions((path,)))
    assert "not shaped like one" in found.sentence
    assert "$.users" in found.sentence
    assert "hunter2" not in str(found)


def test_no_current_context_names_those_that_there_are(tmp_path: Path) -> None:
    path = write(tmp_path / "config", {**config("axiom"), "current-context": ""})
    found = problem(KubernetesOptions((path,)))
    assert "no current context" in found.sentence
    assert "--context: axiom" in found.remedy


def test_an_unknown_context_names_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path / "config", config("axiom-prod"))
    found = problem(KubernetesOptions((path,), context="axiom-prd"))
    assert "no context 'axiom-prd'" in found.sentence
    assert found.remedy == "Did you mean 'axiom-prod'?"


@pytest.mark.parametrize("part", ["cluster", "user"])
def test_a_context_that_names_what_is_not_there(tmp_path: Path, part: str) -> None:
    content = config("axiom")
    content["contexts"][0]["context"][part] = "ghost"
    found = problem(KubernetesOptions((write(tmp_path / "config", content),)))
    assert f"the {part} 'ghost', which is not there" in found.sentence


def test_unverified_tls_is_refused(tmp_path: Path) -> None:
    content = config("axiom")
    content["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True
    found = problem(KubernetesOptions((write(tmp_path / "config", content),)))
    assert found.kind is ProblemKind.MISCONFIGURED
    assert "insecure-skip-tls-verify, which this program refuses" in found.sentence
    assert "certificate-authority-data" in found.remedy


def test_http_is_refused_but_for_a_proxy_on_this_machine(tmp_path: Path) -> None:
    path = write(tmp_path / "config", config("axiom", "http://m-o-1:8080"))
    assert "without TLS" in problem(KubernetesOptions((path,))).sentence
    write(path, config("axiom", "http://127.0.0.1:8001"))
    assert access(KubernetesOptions((path,))).cluster.server == "http://127.0.0.1:8001"


@pytest.mark.parametrize("server", ["", "m-o-1:6443", "https://", "https://m-o-1:port", "ftp://m-o-1"])
def test_a_server_that_is_no_address(tmp_path: Path, server: str) -> None:
    path = write(tmp_path / "config", config("axiom", server))
    assert "is no https address" in problem(KubernetesOptions((path,))).sentence


def test_a_password_in_the_server_address_is_refused_and_not_shown(tmp_path: Path) -> None:
    path = write(tmp_path / "config", config("axiom", "https://ada:hunter2@m-o-1:6443"))
    found = problem(KubernetesOptions((path,)))
    assert "holds a user name or password" in found.sentence
    assert "hunter2" not in str(found)


def test_material_that_is_no_base64(tmp_path: Path) -> None:
    content = config("axiom", **{"client-certificate-data": "%%%", "client-key-data": "%%%"})
    found = access(KubernetesOptions((write(tmp_path / "config", content),)))
    with pytest.raises(AxiomError, match=r"client certificate .* is no valid base64"):
        _ = found.client_certificate


def test_a_certificate_file_that_is_not_there(tmp_path: Path) -> None:
    content = config("axiom", **{"client-certificate": "me.crt", "client-key": "me.key"})
    found = access(KubernetesOptions((write(tmp_path / "config", content),)))
    with pytest.raises(AxiomError, match="cannot be read: No such file"):
        _ = found.client_certificate


def test_secrets_are_not_in_the_representation(tmp_path: Path) -> None:
    path = write(tmp_path / "config", config("axiom", token="hunter2"))
    assert "hunter2" not in repr(access(KubernetesOptions((path,))))


def test_in_a_pod_the_service_account_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "token", "t")
    write(tmp_path / "ca.crt", "PEM")
    monkeypatch.setattr(module, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    found = access(KubernetesOptions())
    assert found.cluster.server == "https://[fd00::1]:443"
    assert found.authority == "PEM"
    assert found.user.token_file == str(tmp_path / "token")
    # The same by the name that this context has, as a reconnect asks for it.
    assert access(KubernetesOptions(context=found.cluster.context)).cluster == found.cluster
