"""What the worker's sessions do and do not, against a real server."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from airgate.client.auth import JwtAuth, JwtClaims
from airgate.client.gateway import Gateway
from airgate.client.message import Request
from airgate.client.session import GatewaySession
from airgate.policy.errors import InvalidResponse
from airgate.policy.retry import RetrySettings
from tests.scripted_server import Answer, ScriptedServer

FAST = RetrySettings(attempts=4, backoff=0.01, deadline=5)


def session(url: str, **kwargs) -> GatewaySession:
    return GatewaySession(Gateway(url, **{"retry": FAST, **kwargs}))


def get(http: GatewaySession, path: str = "/x", method: str = "GET", **kwargs):
    return http.call(Request(method, http.gateway.base_url + path, **kwargs))


@pytest.mark.parametrize("chunked", [False, True])
def test_connections_are_pooled(server: ScriptedServer, chunked: bool) -> None:
    """Twenty calls use one connection, whatever way the length of the answer is told."""
    server.answers = [Answer(body=b'{"a": [1, 2, 3]}', chunked=chunked)]
    with session(server.url) as http:
        assert all(get(http).json() == {"a": [1, 2, 3]} for _ in range(20))
    assert (len(server.seen), server.connections) == (20, 1)


def test_cookies_are_not_kept(server: ScriptedServer) -> None:
    """One call's cookie does not travel with the next."""
    server.answers = [Answer(headers={"Set-Cookie": "session=1"}), Answer()]
    with session(server.url) as http:
        get(http)
        get(http)
    assert "cookie" not in server.seen[1].headers


def test_a_missing_bundle_is_named(server: ScriptedServer) -> None:
    """Before any call, not as an OSError in the middle of one."""
    with pytest.raises(ValueError, match="no CA bundle at /nowhere"):
        session(server.url, verify="/nowhere")


def test_a_redirect_within_the_origin_is_followed_for_reads(server: ScriptedServer) -> None:
    """The same server may name another path of its own; the signature goes along."""
    server.answers = [Answer(302, headers={"Location": "/other?a=1"}), Answer(body=b"[1]")]
    with session(server.url, headers={"X-Team": "data"}) as http:
        assert get(http).json() == [1]
    assert [(seen.path, seen.query, seen.headers["x-team"]) for seen in server.seen] == [
        ("/x", {}, "data"),
        ("/other", {"a": ["1"]}, "data"),
    ]


@pytest.mark.parametrize("location", ["http://127.0.0.1:9/", "//elsewhere.test/x", "https://127.0.0.1/"])
def test_a_redirect_to_another_origin_is_not_followed(server: ScriptedServer, location: str) -> None:
    """Credentials never travel to another place that an answer names."""
    server.answers = [Answer(302, headers={"Location": location})]
    with session(server.url) as http, pytest.raises(InvalidResponse, match="not followed"):
        get(http)
    assert [seen.path for seen in server.seen] == ["/x"]


@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_write_is_not_redirected(server: ScriptedServer, status: int) -> None:
    """A POST goes to the place that the DAG named, or nowhere."""
    server.answers = [Answer(status, headers={"Location": "/other"})]
    with session(server.url) as http, pytest.raises(InvalidResponse, match="not followed"):
        get(http, method="POST", body=b"{}")
    assert len(server.seen) == 1


def test_redirects_come_to_an_end(server: ScriptedServer) -> None:
    """A server that sends in circles is left after five."""
    server.answers = [Answer(302, headers={"Location": "/x"})]
    with session(server.url) as http, pytest.raises(InvalidResponse):
        get(http)
    assert len(server.seen) == 6


def test_a_netrc_file_does_not_replace_the_signature(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests would send the password of ~/.netrc in place of the token."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    auth = JwtAuth("k" * 32, JwtClaims(subject="me"))
    with session(server.url, auth=auth) as http:
        get(http)
    assert server.seen[0].headers["authorization"].startswith("Bearer ")


def test_the_connections_headers_give_way_to_the_calls(server: ScriptedServer) -> None:
    """Headers of the connection are sent, ones of the call win."""
    with session(server.url, headers={"X-Team": "data", "X-Env": "test"}) as http:
        get(http, headers={"x-env": "prod"})
    assert server.seen[0].headers["x-team"] == "data"
    assert server.seen[0].headers["x-env"] == "prod"


@pytest.fixture
def tls_server(server: ScriptedServer, tmp_path: Path) -> tuple[str, Path]:
    """The scripted server behind TLS: its address and the certificate that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    bundle = tmp_path / "server.pem"
    bundle.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server.speak_tls(bundle)
    return f"https://127.0.0.1:{server.port}", bundle


@pytest.mark.parametrize("verify", ["bundle", False])
def test_the_connection_decides_whom_to_trust(
    tls_server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verify: str | bool
) -> None:
    """A bundle of the connection, or none at all, holds against REQUESTS_CA_BUNDLE in the environment."""
    url, bundle = tls_server
    other = tmp_path / "other.pem"
    other.write_text(Path(certifi.where()).read_text())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    with session(url, verify=str(bundle) if verify else False) as http:
        assert get(http).status == 200
