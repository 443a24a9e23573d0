"""The certificates: trusted for the right name, refused for all that is wrong with one."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from axiom_tui.simulator.access import VIEWER
from axiom_tui.simulator.kubernetes_api import KubernetesServer
from axiom_tui.simulator.pki import Authority, KeyPair
from axiom_tui.simulator.store import ObjectStore
from tests.simulator.api_wire import wire

AUTHORITY = Authority()
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@pytest.mark.parametrize(
    ("serving", "why"),
    [
        (AUTHORITY.serving(until=YESTERDAY), "certificate has expired"),
        (AUTHORITY.serving(("api.axiom.technat.ch",)), "not valid for '127.0.0.1'|IP address mismatch"),
        (Authority("somebody else").serving(), "unable to get local issuer certificate"),
    ],
    ids=["expired", "other name", "other authority"],
)
def test_a_wrong_serving_certificate_is_refused_by_clients(serving: KeyPair, why: str) -> None:
    server = KubernetesServer(ObjectStore(), authority=AUTHORITY, serving=serving)
    server.start()
    try:
        with wire(server) as client, pytest.raises(ssl.SSLCertVerificationError, match=why):
            client("GET", "/version")
    finally:
        server.stop()


def test_client_certificates_carry_user_and_groups(tmp_path: Path) -> None:
    server = KubernetesServer(ObjectStore(), authority=AUTHORITY)
    server.start()
    try:
        with wire(server, "") as client:
            pair = AUTHORITY.client(VIEWER.user, VIEWER.groups)
            path = tmp_path / "client.pem"
            path.write_bytes(pair.certificate + pair.key)
            context = ssl.create_default_context(cadata=AUTHORITY.certificate.decode())
            context.load_cert_chain(path)
            client.connection._context = context  # type: ignore[attr-defined]
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
            answer = client("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
        assert answer.body["status"]["userInfo"] == {
            "username": VIEWER.user,
            "groups": [*VIEWER.groups, "system:authenticated"],
        }
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("user", "credential", "keys"),
    [
        ("admin", "", {"client-certificate-data", "client-key-data"}),
        ("admin", "token", {"token"}),
        ("viewer", "", {"token"}),
        ("viewer", "certificate", {"client-certificate-data", "client-key-data"}),
        ("badtoken", "", {"token"}),
    ],
)
def test_kubeconfigs_are_private(tmp_path: Path, user: str, credential: str, keys: set[str]) -> None:
    server = KubernetesServer(ObjectStore(), authority=AUTHORITY)
    server.start()
    try:
        path = server.write_kubeconfig(tmp_path / "config", context="axiom", user=user, credential=credential)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        config = yaml.safe_load(path.read_text())
        assert config["clusters"][0]["cluster"]["server"] == server.url
        assert config["current-context"] == "axiom"
        assert set(config["users"][0]["user"]) == keys
    finally:
        server.stop()
