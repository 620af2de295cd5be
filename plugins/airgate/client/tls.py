"""How both drivers speak TLS: whom they trust, what they show, and nothing below version 1.2."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from pathlib import Path

import certifi

from airgate.client.gateway import Gateway


def ssl_context(gateway: Gateway) -> ssl.SSLContext:
    """The TLS settings of a gateway, the same object for the same settings as long as the files stay as they are.

    With ``verify`` True the CAs of ``REQUESTS_CA_BUNDLE`` or ``CURL_CA_BUNDLE`` are trusted where one of them is set,
    as in requests; else those of the system (``SSL_CERT_FILE`` counts) and of certifi.

    Raises:
        ValueError: Naming the field whose file is missing or wrong.
    """
    verify: bool | str = gateway.verify
    if verify is True:
        verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    files = (verify if isinstance(verify, str) else None, gateway.client_cert, gateway.client_key)
    # A certificate is replaced before it ends, and a triggerer lives longer than one.
    return _context(verify, gateway.client_cert, gateway.client_key, tuple(map(_changed, files)))


def _changed(path: str | None) -> int | None:
    try:
        return Path(path).stat().st_mtime_ns if path else None
    except OSError:
        return None


@lru_cache(maxsize=64)
def _context(verify: bool | str, cert: str | None, key: str | None, changed: object) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif verify is True:
        context.load_default_certs()
        context.load_verify_locations(certifi.where())
    else:
        _trust(context, str(verify))
    if cert:
        _show(context, cert, key)
    return context


def _trust(context: ssl.SSLContext, path: str) -> None:
    if not Path(path).exists():
        raise ValueError(f"verify: there is no CA bundle at {path}")
    try:
        if Path(path).is_dir():
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise ValueError(f"verify: {path} cannot be read as a CA bundle ({_why(error)})") from None


def _show(context: ssl.SSLContext, cert: str, key: str | None) -> None:
    for name, path in (("client_cert", cert), ("client_key", key)):
        if path and not Path(path).is_file():
            raise ValueError(f"{name}: there is no file at {path}")

    def no_passphrase() -> str:
        raise ValueError("client_key must not be encrypted: there is no field for its passphrase")

    try:
        # Without the last argument OpenSSL would ask the terminal, and a worker would hang.
        context.load_cert_chain(cert, key, no_passphrase)
    except ssl.SSLError as error:
        if "KEY_VALUES_MISMATCH" in str(error):
            raise ValueError(
                f"client_key: the key in {key or cert} does not belong to the certificate in {cert}"
            ) from None
        raise ValueError(f"client_cert or client_key cannot be read as PEM ({_why(error)})") from None
    except OSError as error:
        raise ValueError(f"client_cert or client_key cannot be read ({_why(error)})") from None


def _why(error: OSError) -> str:
    reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return str(reason)
