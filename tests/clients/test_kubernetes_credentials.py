"""Credentials: plugins that work, fail, hang and babble; OIDC; token files. None may touch the terminal."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from axiom_tui.clients.kubeconfig import access
from axiom_tui.clients.kubernetes_credentials import Credential, credential_for, jwt_expiry
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind
from axiom_tui.simulator.pki import Authority
from tests.clients.kubernetes_access import by_certificate, encoded, kubeconfig, options, tls_server
from tests.clients.wire_server import http, http_json, serving

V1 = "client.authentication.k8s.io/v1"


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def answer(**status: Any) -> str:
    return json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status})


def plugin(directory: Path, body: str, *, timeout: float = 20.0, **entry: Any) -> Credential:
    command = script(directory / "plugin", body)
    user = {"exec": {"apiVersion": V1, "command": str(command), "interactiveMode": "Never", **entry}}
    return credential_of(directory, user, timeout=timeout)


def credential_of(
    directory: Path, user: dict[str, Any], *, timeout: float = 20.0, server: str = "https://m-o-1:6443"
) -> Credential:
    found = access(options(directory / "config", kubeconfig(server, None, user)))
    return credential_for(found, exec_timeout=timeout, read_timeout=5.0)


def problem(credential: Credential) -> Problem:
    with pytest.raises(AxiomError) as caught:
        credential.proof()
    return caught.value.problem


# -- plugins -------------------------------------------------------------------------------------------


def test_a_plugin_gives_a_token_and_is_run_once(tmp_path: Path) -> None:
    count = tmp_path / "count"
    credential = plugin(tmp_path, f"echo x >> {count}; echo '{answer(token='t-1')}'")
    assert credential.proof().authorization == "Bearer t-1"
    assert credential.proof().authorization == "Bearer t-1"
    assert count.read_text() == "x\n"


def test_a_token_that_expires_is_asked_for_again(tmp_path: Path) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
    count = tmp_path / "count"
    body = f"echo x >> {count}; echo '{answer(token='t', expirationTimestamp=soon)}'"
    credential = plugin(tmp_path, body)
    credential.proof()
    credential.proof()
    assert count.read_text() == "x\nx\n"


def test_a_refused_token_is_renewed_once_for_all_threads(tmp_path: Path) -> None:
    count = tmp_path / "count"
    credential = plugin(tmp_path, f"echo x >> {count}; sleep 0.2; echo '{answer(token='t')}'")
    refused = credential.proof()
    threads = [threading.Thread(target=credential.renew, args=(refused,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert count.read_text() == "x\nx\n"


def test_a_plugin_gives_a_certificate(tmp_path: Path) -> None:
    pair = Authority().client("ada")
    status = {"clientCertificateData": pair.certificate.decode(), "clientKeyData": pair.key.decode()}
    file = tmp_path / "answer.json"
    file.write_text(answer(**status))
    proof = plugin(tmp_path, f"cat {file}").proof()
    assert proof.certificate == (pair.certificate, pair.key)
    assert proof.authorization == ""


def test_a_plugin_is_told_what_it_runs_for(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    credential = plugin(
        tmp_path,
        f'printf "%s" "$KUBERNETES_EXEC_INFO" > {seen}; printf "%s %s" "$1" "$PLACE" >> {seen}.more;'
        f"echo '{answer(token='t')}'",
        args=["login"],
        env=[{"name": "PLACE", "value": "home"}],
        provideClusterInfo=True,
    )
    credential.proof()
    info = json.loads(seen.read_text())
    assert info["apiVersion"] == V1
    assert info["spec"]["interactive"] is False
    assert info["spec"]["cluster"]["server"] == "https://m-o-1:6443"
    assert Path(f"{seen}.more").read_text() == "login home"


def test_a_relative_command_stands_beside_the_kubeconfig(tmp_path: Path) -> None:
    script(tmp_path / "login", f"echo '{answer(token='t')}'")
    user = {"exec": {"apiVersion": V1, "command": "./login"}}
    assert credential_of(tmp_path, user).proof().authorization == "Bearer t"


def test_a_plugin_has_no_input_and_no_terminal(tmp_path: Path) -> None:
    """What the admin types is not for it: it reads end of file at once, and has no terminal to open."""
    body = f"cat > {tmp_path}/input; (: < /dev/tty) 2> {tmp_path}/tty && exit 9; echo '{answer(token='t')}'"
    reading, writing = os.pipe()
    os.write(writing, b"keys")
    os.close(writing)
    own = os.dup(0)
    os.dup2(reading, 0)
    try:
        assert plugin(tmp_path, body).proof().authorization == "Bearer t"
    finally:
        os.dup2(own, 0)
        os.close(own)
        os.close(reading)
    assert (tmp_path / "input").read_text() == ""


def test_a_failing_plugin_shows_its_words_and_not_on_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = problem(plugin(tmp_path, "echo 'session expired, run: axiom login' >&2; exit 3"))
    assert found.kind is ProblemKind.UNAUTHENTICATED
    assert "of user 'ada' failed with exit code 3: session expired, run: axiom login." in found.sentence
    assert capfd.readouterr() == ("", "")


def test_secrets_and_escapes_in_a_plugins_words_are_taken_out(tmp_path: Path) -> None:
    body = r"printf '\033[2Jtoken=abcdefgh https://id.example/cb?code=123 refused' >&2; exit 1"
    found = problem(plugin(tmp_path, body)).sentence
    assert "abcdefgh" not in found
    assert "code=123" not in found
    assert "\033" not in found
    assert "id.example" in found


def test_a_hanging_plugin_costs_its_deadline_and_is_ended_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    body = f"echo 'waiting for the browser' >&2; sleep 600 & echo $! >> {pids}; echo $$ >> {pids}; wait"
    found = problem(plugin(tmp_path, body, timeout=0.5))
    assert found.kind is ProblemKind.TIMED_OUT
    assert "did not finish within 0.5 s: waiting for the browser" in found.sentence
    for pid in map(int, pids.read_text().split()):
        wait_until_gone(pid)


def wait_until_gone(pid: int) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return  # ended; whoever adopted it has not collected it yet
        time.sleep(0.01)
    raise AssertionError(f"process {pid} still runs")


def test_a_plugin_that_leaves_a_child_with_its_pipes_is_not_waited_for(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    body = f"sleep 60 & echo $! > {pids}; echo '{answer(token='t')}'"
    try:
        assert plugin(tmp_path, body, timeout=20).proof().authorization == "Bearer t"
    finally:
        os.kill(int(pids.read_text()), 9)


def test_a_plugin_can_be_cancelled_from_another_thread(tmp_path: Path) -> None:
    started = tmp_path / "started"
    credential = plugin(tmp_path, f"touch {started}; sleep 600", timeout=60)
    raised: list[ProblemKind] = []

    def run() -> None:
        try:
            credential.proof()
        except AxiomError as error:
            raised.append(error.problem.kind)

    thread = threading.Thread(target=run)
    thread.start()
    until = time.monotonic() + 20
    while not started.exists() and time.monotonic() < until:
        time.sleep(0.01)
    credential.cancel()
    thread.join(20)
    assert raised == [ProblemKind.CANCELLED]


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("hello", "something that is no ExecCredential"),
        ("", "something that is no ExecCredential"),
        ('{"kind": "Pod", "apiVersion": "v1"}', "a Pod of v1, not an ExecCredential"),
        (answer(), "neither a token nor a certificate"),
        (answer(clientCertificateData="x"), "neither a token nor a certificate"),
        (answer().replace("/v1", "/v1beta1"), "not an ExecCredential of client.authentication.k8s.io/v1"),
        (answer(token="t", expirationTimestamp="soon"), "something that is no ExecCredential"),
    ],
)
def test_a_plugin_that_prints_something_else(tmp_path: Path, printed: str, words: str) -> None:
    found = problem(plugin(tmp_path, f"echo '{printed}'"))
    assert found.kind is ProblemKind.GARBLED
    assert words in found.sentence


def test_a_plugin_that_prints_without_end(tmp_path: Path) -> None:
    assert "more than a megabyte" in problem(plugin(tmp_path, "yes")).sentence


def test_a_plugin_that_is_not_installed(tmp_path: Path) -> None:
    user = {"exec": {"apiVersion": V1, "command": "no-such-login", "installHint": "apt install login"}}
    found = problem(credential_of(tmp_path, user))
    assert found.kind is ProblemKind.ABSENT
    assert "'no-such-login' of user 'ada' is not installed" in found.sentence
    assert "apt install login" in found.remedy


def test_a_plugin_that_cannot_be_started(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no program")
    (tmp_path / "data").chmod(0o755)
    found = problem(credential_of(tmp_path, {"exec": {"apiVersion": V1, "command": str(tmp_path / "data")}}))
    assert "cannot be started: Exec format error" in found.sentence


def test_an_old_protocol_and_a_wish_for_a_terminal_are_refused(tmp_path: Path) -> None:
    old = plugin(tmp_path, "true", apiVersion="client.authentication.k8s.io/v1alpha1")
    assert "v1alpha1, which is not supported" in problem(old).sentence
    asking = plugin(tmp_path, "true", interactiveMode="Always")
    assert "wants to ask questions on a terminal" in problem(asking).sentence


def test_threads_that_wait_for_a_failing_plugin_share_its_failure(tmp_path: Path) -> None:
    count = tmp_path / "count"
    credential = plugin(tmp_path, f"echo x >> {count}; sleep 0.3; exit 1")
    kinds: list[ProblemKind] = []
    gate = threading.Barrier(4)

    def run() -> None:
        gate.wait(20)
        kinds.append(problem(credential).kind)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert kinds == [ProblemKind.UNAUTHENTICATED] * 4
    assert count.read_text() == "x\n"


# -- what stands in the kubeconfig ---------------------------------------------------------------------


def test_a_token_a_password_and_a_certificate(tmp_path: Path) -> None:
    assert credential_of(tmp_path, {"token": "t"}).proof().authorization == "Bearer t"
    basic = credential_of(tmp_path, {"username": "ada", "password": "hunter2"}).proof()
    assert basic.authorization == "Basic " + base64.b64encode(b"ada:hunter2").decode()
    pair = Authority().client("ada")
    both = credential_of(tmp_path, {**by_certificate(pair), "token": "t"}).proof()
    assert both.certificate == (pair.certificate, pair.key)
    assert both.authorization == "Bearer t"


def test_a_token_with_a_line_break_cannot_become_a_header(tmp_path: Path) -> None:
    with pytest.raises(AxiomError, match="holds characters that no token has"):
        credential_of(tmp_path, {"token": "a\r\nX-Evil: 1"})


def test_a_token_file_is_read_again_when_the_server_refuses(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    credential = credential_of(tmp_path, {"tokenFile": "token"})
    first = credential.proof()
    file.write_text("two\n")
    assert credential.proof() is first
    assert credential.renew(first).authorization == "Bearer two"
    file.unlink()
    with pytest.raises(AxiomError, match=r"token file .* cannot be read"):
        credential.renew(credential.proof())


def test_a_removed_auth_provider_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AxiomError, match="auth-provider 'gcp', which Kubernetes has removed"):
        credential_of(tmp_path, {"auth-provider": {"name": "gcp", "config": {}}})


def test_proofs_do_not_show_themselves(tmp_path: Path) -> None:
    assert "hunter2" not in repr(credential_of(tmp_path, {"token": "hunter2"}).proof())


# -- OIDC ----------------------------------------------------------------------------------------------


def jwt(expires: datetime) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": int(expires.timestamp())}).encode()).decode()
    return f"e30.{claims.rstrip('=')}.c2ln"


class Provider:
    """An identity provider: what it answers to the two requests, and what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.token = jwt(datetime.now(UTC) + timedelta(hours=1))
        self.answer: bytes | None = None
        self.forms: list[bytes] = []

    def __call__(self, request: bytes) -> bytes | None:
        if request.startswith(b"GET /.well-known/openid-configuration"):
            return http_json({"token_endpoint": f"{self.url}/token"}, Connection="close")
        self.forms.append(request)
        if self.answer is not None:
            return self.answer
        return http_json({"id_token": self.token, "refresh_token": "r-2"}, Connection="close")


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[tuple[Provider, Authority]]:
    authority, script_ = Authority("idp-ca"), Provider()
    with serving(script_, tls=tls_server(tmp_path, authority.serving())) as server:
        script_.url = f"https://127.0.0.1:{server.port}"
        yield script_, authority


def oidc(directory: Path, provider: Provider, authority: Authority | None, id_token: str) -> Credential:
    config = {
        "idp-issuer-url": provider.url,
        "client-id": "axiom",
        "client-secret": "s3cret",
        "id-token": id_token,
        "refresh-token": "r-1",
    }
    if authority is not None:
        config["idp-certificate-authority-data"] = encoded(authority.certificate)
    return credential_of(directory, {"auth-provider": {"name": "oidc", "config": config}})


def test_a_valid_id_token_is_used_as_it_is(tmp_path: Path, provider: tuple[Provider, Authority]) -> None:
    token = jwt(datetime.now(UTC) + timedelta(hours=1))
    assert oidc(tmp_path, *provider, token).proof().authorization == f"Bearer {token}"
    assert provider[0].forms == []


def test_an_expired_id_token_is_refreshed_in_memory(
    tmp_path: Path, provider: tuple[Provider, Authority]
) -> None:
    server, authority = provider
    credential = oidc(tmp_path, server, authority, jwt(datetime.now(UTC) - timedelta(hours=1)))
    before = (tmp_path / "config").read_text()
    proof = credential.proof()
    assert proof.authorization == f"Bearer {server.token}"
    assert b"refresh_token=r-1" in server.forms[0]
    assert (tmp_path / "config").read_text() == before
    server.token = jwt(datetime.now(UTC) + timedelta(hours=2))
    assert credential.renew(proof).authorization == f"Bearer {server.token}"
    assert b"refresh_token=r-2" in server.forms[1]


def test_the_identity_provider_is_always_verified(
    tmp_path: Path, provider: tuple[Provider, Authority]
) -> None:
    """The official client would switch verification off here, and send the secrets to whoever answers."""
    server, _ = provider
    found = problem(oidc(tmp_path, server, None, jwt(datetime.now(UTC) - timedelta(hours=1))))
    assert found.kind is ProblemKind.UNREACHABLE
    assert "CERTIFICATE_VERIFY_FAILED" in found.sentence
    assert server.forms == []


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        ("400 Bad Request", '{"error":"invalid_grant"}', ProblemKind.UNAUTHENTICATED, "answered 400"),
        ("500 Oops", "", ProblemKind.BROKEN, "answered 500"),
        ("200 OK", "<html>", ProblemKind.GARBLED, "answered no JSON"),
        ("200 OK", "[]", ProblemKind.GARBLED, "answered no JSON"),
        ("200 OK", "{}", ProblemKind.GARBLED, "gave no id token"),
        ("302 Found", "", ProblemKind.BROKEN, "answered 302"),
    ],
)
def test_a_refresh_that_fails(
    tmp_path: Path,
    provider: tuple[Provider, Authority],
    status: str,
    body: str,
    kind: ProblemKind,
    words: str,
) -> None:
    server, authority = provider
    server.answer = http(body, status, Connection="close", Location="https://127.0.0.1:1/")
    found = problem(oidc(tmp_path, server, authority, jwt(datetime.now(UTC) - timedelta(hours=1))))
    assert found.kind is kind
    assert words in found.sentence
    assert "s3cret" not in str(found)


def test_when_a_token_expires() -> None:
    moment = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    assert jwt_expiry(jwt(moment)) == moment
    for text in ("", "a.b", "a.b.c", "a.e30.c", "a.bnVsbA.c"):
        assert jwt_expiry(text) is None
