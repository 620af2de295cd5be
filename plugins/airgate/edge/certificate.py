"""The certificate that clients see: read from two files, tried out, and exchanged while connections go on."""

import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from airgate.edge.loading import FileRefused
from airgate.edge.named_files import NamedFiles


class Tls(NamedTuple):
    """Files with the certificate chain and its key, in PEM."""

    certificate: Path
    key: Path


class Pair(msgspec.Struct, frozen=True):
    """A certificate chain and its key (PEM)."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Pair(...)"


class CertificateFiles:
    """Where a pair comes from.

    Args:
        tls: The files.
    """

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._files = NamedFiles()

    @property
    def name(self) -> str:
        """How the log calls it."""
        return f"certificate {self._tls.certificate}"

    def changed(self) -> bool:
        """Whether one of the files is another one than it was."""
        return self._files.changed()

    def read(self) -> Pair:
        """The pair, which can be served.

        Raises:
            FileRefused: a file cannot be read, they do not belong together, or the key is encrypted.
        """
        self._files.begin()
        try:
            pair = Pair(*map(self._files.read, self._tls))
            _context(pair)
        except ssl.SSLError as error:
            why = f"{error.reason}; both must be PEM, belong together, and the key must not be encrypted"
            raise FileRefused(f"cannot serve HTTPS with {self._tls.certificate}: {why}") from None
        except OSError as error:
            raise FileRefused(f"cannot serve HTTPS with {self._tls.certificate}: {error.strerror}") from None
        return pair


class Certificate:
    """What a listener shows to new connections.

    Args:
        pair: A pair that was tried out.
    """

    def __init__(self, pair: Pair) -> None:
        self._current = _context(pair)
        self.listening = _context(pair)
        """Of the listener. Each handshake goes on in the current one: a context that is in use would keep a pair whose
        key is of another type beside the new one."""
        self.listening.sni_callback = self._choose

    def replace(self, pair: Pair) -> None:
        """Show another pair from now on. Connections that stand are not touched."""
        self._current = _context(pair)

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current


def _context(pair: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with _as_file(pair.certificate) as certificate, _as_file(pair.key) as key:
        context.load_cert_chain(certificate, key, password="")  # else an encrypted key is asked for at the terminal
    return context


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """A path to some bytes, as TLS reads nothing else; in memory where the system can, so that no disk sees a key."""
    if sys.platform == "linux":
        with os.fdopen(os.memfd_create("airgate"), "wb") as file:
            file.write(data)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            yield file.name
