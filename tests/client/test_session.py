"""The requests driver against a real server that misbehaves."""

from __future__ import annotations

import datetime
import gzip
import ipaddress
import socket
import ssl
import threading
import time
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
from airgate.policy.errors import DeadlineExceeded, GatewayError, InvalidResponse, OutcomeUnknown, Unavailable
from airgate.policy.retry import RetrySettings
from tests.scripted_server import Answer, ScriptedServer

FAST = RetrySettings(attempts=4, backoff=0.01, deadline=5)


def session(url: str, **kwargs) -> GatewaySession:
    return GatewaySession(Gateway(url, **{"retry": FAST, **kwargs}))


def get(http: GatewaySession, path: str = "/x", method: str = "GET", **kwargs):
    return http.call(Request(method, http.gateway.base_url + path, **kwargs))


def test_every_fault_of_the_wire_is_survived(server: ScriptedServer) -> None:
    """A hang-up, half an answer and a 503 in a row end in the right answer."""
    server.answers = [
        Answer(hang_up=True),
        Answer(body=b"x" * 100, cut=True),
        Answer(body=b"x" * 100, cut=True, chunked=True),
        Answer(503),
        Answer(body=b'{"a":1}'),
    ]
    with session(server.url, retry=RetrySettings(attempts=5, backoff=0.01)) as http:
        response = get(http)
    assert response.json() == {"a": 1}
    assert response.attempts == len(server.seen) == 5
    assert response.faults == (
        "the connection was closed without an answer",
        "the answer broke off",
        "the answer broke off",
        "503 Service Unavailable",
    )


@pytest.mark.parametrize("fault", [Answer(hang_up=True), Answer(body=b"x" * 100, cut=True)])
def test_a_post_that_may_have_arrived_is_sent_once(server: ScriptedServer, fault: Answer) -> None:
    """Without a key the call fails with OutcomeUnknown; with one it goes again."""
    server.answers = [fault, Answer()]
    with session(server.url) as http:
        with pytest.raises(OutcomeUnknown):
            get(http, method="POST", body=b"{}")
        assert len(server.seen) == 1
        server.answers = [fault, Answer()]
        assert get(http, method="POST", body=b"{}", keyed=True).attempts == 2


def test_a_refused_connection_provably_never_left(closed_port: int) -> None:
    """Even an unkeyed write tries again, and the error says what was wrong."""
    with session(f"http://127.0.0.1:{closed_port}") as http, pytest.raises(Unavailable) as caught:
        get(http, method="POST", body=b"{}")
    assert caught.value.attempts == 4
    assert "connection refused" in str(caught.value)


def test_a_silent_server_is_left_after_the_read_timeout(server: ScriptedServer) -> None:
    """The wait for an answer is bounded per attempt."""
    server.answers = [Answer(delay=5), Answer()]
    started = time.monotonic()
    with session(server.url, read_timeout=0.2) as http:
        response = get(http)
    assert response.faults == ("no answer within 0.2 s",)
    assert time.monotonic() - started < 3


def test_the_deadline_cuts_a_silent_attempt_short(server: ScriptedServer) -> None:
    """The total deadline bounds an attempt whose own timeout is longer."""
    server.answers = [Answer(delay=30)]
    with session(server.url, retry=RetrySettings(deadline=0.3)) as http, pytest.raises(DeadlineExceeded):
        get(http)


@pytest.mark.parametrize("chunked", [False, True])
def test_connections_are_pooled(server: ScriptedServer, chunked: bool) -> None:
    """Twenty calls use one connection, whatever way the length of the answer is told."""
    server.answers = [Answer(body=b'{"a": [1, 2, 3]}', chunked=chunked)]
    with session(server.url) as http:
        assert all(get(http).json() == {"a": [1, 2, 3]} for _ in range(20))
    assert (len(server.seen), server.connections) == (20, 1)


def test_a_trickling_answer_does_not_outlast_the_deadline(server: ScriptedServer) -> None:
    """Each single byte arrives in time, but the whole would take 10 s."""
    server.answers = [Answer(body=b"x" * 100, trickle=0.1)]
    started = time.monotonic()
    with session(server.url, retry=RetrySettings(deadline=0.5)) as http, pytest.raises(DeadlineExceeded):
        get(http)
    assert time.monotonic() - started < 3


def test_a_server_that_falls_silent_within_its_answer_is_left(server: ScriptedServer) -> None:
    """The read timeout bounds silence, not only before the first byte."""
    server.answers = [Answer(body=b"xx", trickle=3), Answer()]
    with session(server.url, read_timeout=0.2) as http:
        assert get(http).faults == ("silence for 0.2 s within the answer",)


def test_cookies_are_not_kept(server: ScriptedServer) -> None:
    """One call's cookie does not travel with the next."""
    server.answers = [Answer(headers={"Set-Cookie": "session=1"}), Answer()]
    with session(server.url) as http:
        get(http)
        get(http)
    assert "cookie" not in server.seen[1].headers


def test_a_compressed_answer_is_read(server: ScriptedServer) -> None:
    """Gzip is undone on the way in."""
    server.answers = [Answer(body=gzip.compress(b'{"a": 1}'), headers={"Content-Encoding": "gzip"})]
    with session(server.url) as http:
        assert get(http).json() == {"a": 1}


def test_a_header_that_cannot_be_sent_is_refused_without_showing_it(server: ScriptedServer) -> None:
    """The library's own message would repeat the value, which may be a secret."""
    with session(server.url) as http, pytest.raises(ValueError, match="cannot be sent: InvalidHeader") as caught:
        get(http, headers={"X-Token": "s3cr3t\n"})
    assert "s3cr3t" not in str(caught.value)


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


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_an_answer_beyond_the_limit_is_left(server: ScriptedServer, coding: str) -> None:
    """A body of 64 MB, also one that comes as 64 KB of gzip, is not taken in, and not asked for again."""
    body = bytes(2**26)
    if coding == "gzip":
        server.answers = [Answer(body=gzip.compress(body), headers={"Content-Encoding": "gzip"})]
    else:
        server.answers = [Answer(body=body)]
    with session(server.url, max_response_bytes=2**20) as http, pytest.raises(InvalidResponse, match="1048576 bytes"):
        get(http)
    assert len(server.seen) == 1


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


def test_error_messages_hold_no_object_dump(closed_port: int) -> None:
    """The person on call reads a sentence, not a stack of library objects."""
    with session(f"http://127.0.0.1:{closed_port}") as http, pytest.raises(GatewayError) as caught:
        get(http)
    assert "object at 0x" not in str(caught.value)
    assert caught.value.__cause__ is None


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


def test_a_tls_fault_after_the_handshake_leaves_the_outcome_open(tls_server: tuple[str, Path]) -> None:
    """The server may have taken the write up before its connection broke: an unkeyed one is not repeated."""
    _, bundle = tls_server
    with socket.create_server(("127.0.0.1", 0)) as listener:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(bundle)
        taken = []

        def break_after_the_request() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                plain = connection.dup()
                secured = context.wrap_socket(connection, server_side=True)
                taken.append(secured.recv(65536))
                plain.sendall(b"this is no TLS record at all")
                plain.close()
                secured.close()

        thread = threading.Thread(target=break_after_the_request, daemon=True)
        thread.start()
        address = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with session(address, verify=str(bundle)) as http, pytest.raises(OutcomeUnknown) as caught:
            get(http, method="POST", body=b"{}")
    assert len(taken) == 1
    assert not caught.value.retryable


def test_a_certificate_nobody_vouches_for_is_refused(tls_server: tuple[str, Path]) -> None:
    """Nothing was sent then, so even an unkeyed write counts as unsent; the error speaks of TLS."""
    url, _ = tls_server
    with session(url, retry=RetrySettings(attempts=1)) as http, pytest.raises(Unavailable, match="not trusted"):
        get(http, method="POST", body=b"{}")


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
