"""The worker's connections: opened only where it is allowed, known to the watchdog, patient with interim answers.

requests keeps the pools and speaks to proxies. What travels on the connections is the wire's: a requests session would
write an address anew after it was signed, and look for proxies in the whole environment before each request.
"""

from __future__ import annotations

import http.client
import logging
import select
import socket
import ssl
import threading
import time
from typing import Any, ClassVar

import urllib3
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.connection import create_connection

from airgate.client.gateway import Gateway
from airgate.client.tls import ssl_context
from airgate.client.watchdog import Watch

MOST_INTERIM = 100
_LARGE = 1 << 16
"""Bytes from which on a piece is not sent in one go."""


class NoConnection(Exception):
    """No connection came about, so the request provably never left. Not an OSError: urllib3 hands it on as it is.

    Args:
        reason: Why.
        lasting: Whether it will not be otherwise in a moment.
    """

    def __init__(self, reason: str, *, lasting: bool = False) -> None:
        super().__init__(reason)
        self.lasting = lasting


class _Current(threading.local):
    watch: Watch | None = None
    sending = False


current = _Current()
"""What this thread's attempt is watched by, and whether there is one."""


def _not_ours(record: logging.LogRecord) -> bool:
    """Keep urllib3 from logging our requests: its line has the whole query, with a key that may stand in it."""
    return not current.sending


for _name in ("urllib3.connectionpool", "urllib3.connection"):
    logging.getLogger(_name).addFilter(_not_ours)


class _Lines:
    """A stream that knows the line that was read last."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.last = b""

    def readline(self, limit: int = -1) -> bytes:
        self.last = self.stream.readline(limit)
        return self.last

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _Answer(http.client.HTTPResponse):
    """Passes over every interim answer (RFC 9110, 15.2), not only 100, and takes no head that is not whole."""

    fp: Any

    def begin(self) -> None:
        """Read the head.

        Raises:
            HTTPException: It breaks off, or has a line or a length that means nothing: http.client would go on as if
                the headers behind it did not exist.
        """
        if getattr(self, "headers", None) is not None:
            return
        lines = _Lines(self.fp)
        self.fp = lines
        super().begin()
        if self.fp is lines:
            self.fp = lines.stream
        if lines.last.strip() or not lines.last:
            raise http.client.HTTPException("the head of the answer broke off")
        lengths = {length.strip() for each in self.headers.get_all("Content-Length", ()) for length in each.split(",")}
        unclear = len(lengths) > 1 or not all(length.isascii() and length.isdigit() for length in lengths)
        if unclear or (lengths and self.headers.get("Transfer-Encoding")) or self.headers.defects:
            raise http.client.HTTPException("the head of the answer cannot be read")

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(MOST_INTERIM):
            status: tuple[str, int, str] = super()._read_status()  # type: ignore[misc] # typeshed knows no private name
            if status[1] == 101 or not 100 <= status[1] < 200:
                return status
            while self.fp.readline(65537).strip():
                pass
        raise http.client.HTTPException("interim answers without end")


class _Guarded(HTTPConnection):
    """A connection of one gateway."""

    gateway: ClassVar[Gateway]
    response_class = _Answer
    _handle: socket.socket | None = None
    _watch: Watch | None = None

    def connect(self) -> None:
        """Open the connection, through proxy and TLS.

        Raises:
            NoConnection: Whatever it is that fails here, nothing of the request has left.
        """
        try:
            super().connect()
            self._be_patient()
        except NoConnection:
            raise
        except TimeoutError:
            raise NoConnection(f"no connection within {self.timeout:g} s") from None
        except Exception as error:
            raise _why(error) from None

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request, watched from here on."""
        self._watch = current.watch
        if self._watch is not None and self._handle is not None:
            self._watch.hold(self._handle)
        self._be_patient()
        super().request(*args, **kwargs)

    def send(self, data: Any) -> None:
        """Send a piece, unless the answer comes first: a refusal need not wait for the end of an upload."""
        if (
            not isinstance(data, bytes)
            or len(data) < _LARGE
            or self.sock is None
            or isinstance(self.sock, ssl.SSLSocket)
        ):
            super().send(data)  # over TLS what comes in may be a session ticket
            return
        ready = select.poll()
        ready.register(self.sock, select.POLLIN | select.POLLOUT)
        left = memoryview(data)
        while left:
            events = ready.poll(self.gateway.read_timeout * 1000)
            if not events:
                raise TimeoutError
            if not events[0][1] & select.POLLOUT:
                raise BrokenPipeError("the answer comes before the request is sent")  # urllib3 goes on to read it
            left = left[self.sock.send(left) :]

    def _be_patient(self) -> None:
        """What holds for the connection does not hold for an upload over it."""
        if self.sock is not None:
            self.sock.settimeout(self.gateway.read_timeout)

    def close(self) -> None:
        """Close the connection; an answer that it has begun to give may still come in."""
        super().close()
        handle, self._handle = self._handle, None
        if handle is None:
            return
        if self._watch is not None and self._watch.active:
            self._watch.own(handle)
        else:
            handle.close()

    def _new_conn(self) -> socket.socket:
        connected = self._reach()
        if current.watch is not None:
            self._watch = current.watch
        # TLS takes the socket over; a second handle on it can be shut in whatever state the first one is.
        self._handle = connected.dup()
        if self._watch is not None:
            self._watch.hold(self._handle)
        return connected

    def _reach(self) -> socket.socket:
        """A socket that is connected to the first address that answers, all of them within one timeout."""
        timeout = self.timeout if isinstance(self.timeout, (int, float)) else 60.0
        ends = time.monotonic() + timeout
        try:
            found = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        except OSError:
            raise NoConnection("connection refused or host not found") from None
        allowed = [str(address[0]) for *_, address in found if self.gateway.may_connect(str(address[0]))]
        if found and not allowed:
            denied = f"address_guard does not let {self._dns_host} be {found[0][4][0]}"
            raise NoConnection(denied, lasting=True)
        for address in allowed:
            left = ends - time.monotonic()
            if left <= 0:
                raise TimeoutError
            try:
                return create_connection((address, self.port), left, self.source_address, self.socket_options)
            except TimeoutError:
                raise
            except OSError:
                continue
        raise NoConnection("connection refused or host not found")


def _why(error: Exception) -> NoConnection:
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, ssl.SSLCertVerificationError):
            return NoConnection(f"the server's certificate is not trusted ({link.verify_message})", lasting=True)
        if isinstance(link, (ssl.SSLError, urllib3.exceptions.SSLError)):
            return NoConnection("the TLS connection failed")
        link = link.__cause__ or link.__context__
    if "Tunnel connection failed" in str(error):
        return NoConnection("the proxy refused to connect")
    return NoConnection("connection refused or host not found")


class Pools(HTTPAdapter):
    """Pools of connections to a gateway, and to what its auth asks for tokens.

    Args:
        gateway: Whose TLS settings and address guard hold for them.
        size: Idle connections kept for each origin.

    Raises:
        ValueError: When a file that TLS needs does not exist or cannot be read.
    """

    def __init__(self, gateway: Gateway, size: int) -> None:
        self._context = ssl_context(gateway)
        self._classes = _classes_for(gateway)
        super().__init__(pool_maxsize=size)

    def pool(self, url: str, proxy: str | None) -> HTTPConnectionPool:
        """The pool for an address, behind the proxy if there is one."""
        request = PreparedRequest()
        request.url = url
        pool = self.get_connection_with_tls_context(request, True, {"all": proxy} if proxy else None)
        assert isinstance(pool, HTTPConnectionPool)
        return pool

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Let the pools have our connections and our TLS."""
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = self._classes

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Let the pools behind a proxy have them, too."""
        context = self._context
        manager = super().proxy_manager_for(proxy, **kwargs, ssl_context=context, proxy_ssl_context=context)
        manager.pool_classes_by_scheme = self._classes
        return manager

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        """Leave out requests' own TLS settings, which would stand beside the context's."""
        host, _ = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, {}


def _classes_for(gateway: Gateway) -> dict[str, type[HTTPConnectionPool]]:
    """Classes of connection pools by scheme."""
    plain = type("Plain", (_Guarded,), {"gateway": gateway})
    secure = type("Secure", (_Guarded, HTTPSConnection), {"gateway": gateway})
    return {
        "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }
