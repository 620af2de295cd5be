"""Whom a gateway's connections trust, and what they show."""

from __future__ import annotations

import datetime
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airgate.client.gateway import Gateway
from airgate.client.tls import ssl_context

DAY = datetime.timedelta(days=1)


class Authority:
    """A CA that writes certificates and keys as PEM files into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._key_id = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        self.bundle = self._write("ca.pem", self._certificate("ca", self._key, is_ca=True))

    def issue(self, name: str, *, password: bytes | None = None) -> tuple[str, str]:
        """Paths of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
        return self._write(f"{name}.pem", self._certificate(name, key)), self._write(f"{name}.key", pem)

    def _write(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def _certificate(self, name: str, key: ec.EllipticCurvePrivateKey, *, is_ca: bool = False) -> bytes:
        subject = self._name if is_ca else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if not is_ca:
            authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._key_id)
            names = x509.SubjectAlternativeName([x509.DNSName(name)])
            builder = builder.add_extension(authority, critical=False).add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def tls_server(context: ssl.SSLContext) -> Iterator[tuple[int, list[Any]]]:
    """One connection is answered with the version that was agreed upon; gives port and what the client showed."""
    shown: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)

        def serve() -> None:
            try:
                connection, _ = listener.accept()
                with context.wrap_socket(connection, server_side=True) as tls:
                    shown.append(tls.getpeercert())
                    tls.sendall((tls.version() or "").encode())
            except OSError as error:
                shown.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], shown
        thread.join(20)


def shake_hands(port: int, context: ssl.SSLContext, name: str = "localhost") -> str:
    with (
        socket.create_connection(("127.0.0.1", port), 20) as plain,
        context.wrap_socket(plain, server_hostname=name) as tls,
    ):
        return tls.recv(100).decode()


def server_context(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("localhost"))
    return context


def test_a_private_ca_is_trusted_where_it_is_named(authority: Authority) -> None:
    """With its bundle the handshake succeeds, without it fails, and the host's name is checked."""
    server = server_context(authority)
    with tls_server(server) as (port, _):
        context = ssl_context(Gateway("https://localhost", verify=authority.bundle))
        assert shake_hands(port, context) == "TLSv1.3"
    with tls_server(server) as (port, _), pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(port, ssl_context(Gateway("https://localhost")))
    with tls_server(server) as (port, _), pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname"):
        shake_hands(port, context, "other.test")
    with tls_server(server) as (port, _):
        assert shake_hands(port, ssl_context(Gateway("https://localhost", verify=False))) == "TLSv1.3"


def test_a_server_that_wants_a_certificate_gets_it(authority: Authority) -> None:
    """mTLS: the server knows the client by name; a client that has none is turned away."""
    server = server_context(authority)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(authority.bundle)
    cert, key = authority.issue("airflow.worker.test")
    with tls_server(server) as (port, shown):
        shake_hands(
            port, ssl_context(Gateway("https://localhost", verify=authority.bundle, client_cert=cert, client_key=key))
        )
    assert ("commonName", "airflow.worker.test") in shown[0]["subject"][0]
    with tls_server(server) as (port, _), pytest.raises(OSError):
        shake_hands(port, ssl_context(Gateway("https://localhost", verify=authority.bundle)))


def test_nothing_below_tls_1_2(authority: Authority) -> None:
    """A server that knows only 1.1 is not spoken to, not even with verification off."""
    server = server_context(authority)
    server.set_ciphers("DEFAULT:@SECLEVEL=0")
    server.minimum_version = server.maximum_version = ssl.TLSVersion.TLSv1_1
    context = ssl_context(Gateway("https://localhost", verify=False))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    with tls_server(server) as (port, _), pytest.raises(ssl.SSLError):
        shake_hands(port, context)


def test_the_context_is_built_once_until_a_file_changes(authority: Authority) -> None:
    """A renewed certificate is taken up without a restart."""
    cert, key = authority.issue("client.test")
    gateway = Gateway("https://localhost", verify=authority.bundle, client_cert=cert, client_key=key)
    first = ssl_context(gateway)
    assert ssl_context(gateway) is first
    authority.issue("client.test")
    os.utime(cert, ns=(1, 1))
    assert ssl_context(gateway) is not first


def test_the_environment_s_bundle_counts_for_the_default(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in requests; a bundle that the connection names comes before it."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority.bundle)
    with tls_server(server_context(authority)) as (port, _):
        assert shake_hands(port, ssl_context(Gateway("https://localhost"))) == "TLSv1.3"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with tls_server(server_context(authority)) as (port, _):
        assert shake_hands(port, ssl_context(Gateway("https://localhost", verify=authority.bundle))) == "TLSv1.3"


def test_a_mistake_names_its_field(authority: Authority, tmp_path: Path) -> None:
    """Early, with the path; an encrypted key does not ask the terminal for its passphrase."""
    cert, key = authority.issue("client.test")
    _, other = authority.issue("other.test")
    _, encrypted = authority.issue("hidden.test", password=b"passphrase")
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("no certificate")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"verify": "/nowhere/ca.pem"}, "verify: there is no CA bundle at /nowhere/ca.pem"),
        ({"verify": str(rubbish)}, "verify: .* cannot be read as a CA bundle"),
        ({"client_cert": "/nowhere/c.pem"}, "client_cert: there is no file at /nowhere/c.pem"),
        ({"client_cert": cert, "client_key": "/nowhere/k.pem"}, "client_key: there is no file at /nowhere/k.pem"),
        ({"client_cert": cert, "client_key": other}, "client_key: .* does not belong to the certificate"),
        ({"client_cert": cert, "client_key": encrypted}, "client_key must not be encrypted"),
        ({"client_cert": str(rubbish), "client_key": key}, "cannot be read as PEM"),
        ({"client_cert": cert}, "cannot be read as PEM"),
        ({"client_key": key}, "client_key needs client_cert"),
    ]
    for fields, said in wrong:
        with pytest.raises(ValueError, match=said):
            ssl_context(Gateway("https://localhost", **fields))
