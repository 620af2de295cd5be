"""One exchange over the worker's pooled connections."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException

import urllib3
from multidict import CIMultiDictProxy
from urllib3.connectionpool import HTTPConnectionPool

from airgate.client.codings import DamagedCoding, Decoder, UnknownCoding, codings
from airgate.client.connections import NoConnection, Pools, current
from airgate.client.effects import Reply, Send
from airgate.client.gateway import Gateway
from airgate.client.gathered import Gathered
from airgate.client.message import Response, headers_of
from airgate.client.outgoing import SourceFailed, headers_for, origin_of, pieces_of
from airgate.client.proxies import proxy_for
from airgate.client.streamed import BrokenOff, Reading, StreamedResponse
from airgate.client.watchdog import Watch, watchdog
from airgate.policy.outcome import NotSent, Unanswered, Unusable

_CHUNK = 1 << 16
_SLICE = 1 << 20
_NO_RETRY = urllib3.Retry(False)
_FAULTS = (urllib3.exceptions.HTTPError, HTTPException, OSError)
LATE = "the deadline passed while the answer came in"


class Wire:
    """What a gateway's requests travel on."""

    def __init__(self, gateway: Gateway, pool_size: int) -> None:
        self._gateway = gateway
        self._connections = Pools(gateway, pool_size)
        self._timeout = urllib3.Timeout(connect=gateway.connect_timeout, read=gateway.read_timeout)
        self._pools: dict[tuple[str, str], tuple[HTTPConnectionPool, bool]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all connections; new ones are opened when a call comes."""
        with self._lock:
            self._pools.clear()
            self._connections.close()

    def exchange(self, effect: Send, *, stream: Callable[[int], bool] | None = None) -> Reply:
        """Send once.

        Args:
            effect: What is sent, and the seconds that it may take.
            stream: Of which statuses the body is left to be read later.

        Raises:
            ValueError: The request cannot be sent.
        """
        ends = None if effect.timeout is None else time.monotonic() + effect.timeout
        watch = None if ends is None else Watch(ends)
        if watch is not None:
            watchdog.begin(watch)
        kept = False
        try:
            begun = self._begin(effect, watch)
            if isinstance(begun, (NotSent, Unanswered)):
                return begun
            request, gateway = effect.request, self._gateway
            headers = headers_of(begun.headers.items())
            try:
                decoder = Decoder(codings(headers))
            except UnknownCoding as error:
                _leave(begun)
                return Unusable(begun.status, f"the answer has {error}")
            source = Incoming(begun, decoder, watch, gateway.read_timeout)
            limit = gateway.max_response_bytes
            if stream is not None and stream(begun.status):
                kept = True
                return StreamedResponse(
                    *(begun.status, headers, b"", request.method, request.safe_url),
                    reading=Reading(limit),
                    source=source,
                )
            if exceeds(headers, limit, request.method):
                source.leave()
                return Unusable(begun.status, beyond_limit(limit))
            body = Gathered(limit)
            try:
                for piece in source.raw_pieces(waiting=False):
                    if not body.add(piece):
                        return Unusable(begun.status, beyond_limit(limit))
            except BrokenOff as broken:
                return broken.outcome
            finally:
                source.leave()
            return Response(begun.status, headers, body.whole(), request.method, request.safe_url)
        finally:
            if watch is not None and not kept:
                watchdog.end(watch)
                watch.finish()

    def _begin(self, effect: Send, watch: Watch | None) -> urllib3.BaseHTTPResponse | NotSent | Unanswered:
        """Send the request and take in the answer's headers."""
        request, timeout = effect.request, self._timeout
        headers = headers_for(request)
        try:
            pool, absolute, target = self._pool(request.url)
        except ValueError as error:
            raise ValueError(f"{request.method} {request.safe_url} {error}") from None
        read = self._gateway.read_timeout
        if effect.timeout is not None and effect.timeout < max(read, self._gateway.connect_timeout):
            read = min(read, effect.timeout)
            timeout = urllib3.Timeout(connect=min(self._gateway.connect_timeout, effect.timeout), read=read)
        body = request.body
        data: bytes | Iterator[bytes] | None
        if isinstance(body, bytes) and len(body) > _SLICE:
            # The time for sending holds for each piece.
            data = (body[start : start + _SLICE] for start in range(0, len(body), _SLICE))
        elif body is None or isinstance(body, bytes):
            data = body
        else:
            size = headers.get("Content-Length")
            data = pieces_of(body, None if size is None else int(size))
        current.watch, current.sending = watch, True
        try:
            return pool.urlopen(
                request.method,
                request.url.partition("#")[0] if absolute else target,
                data,
                headers,
                _NO_RETRY,
                redirect=False,
                assert_same_host=False,
                timeout=timeout,
                chunked=False,
                preload_content=False,
                decode_content=False,
            )
        except NoConnection as error:
            return NotSent(str(error), lasting=error.lasting)
        except SourceFailed as error:
            raise (error.__cause__ or error) from None
        except (urllib3.exceptions.ReadTimeoutError, TimeoutError):
            return Unanswered(f"no answer within {read:.3g} s")
        except urllib3.exceptions.SSLError:
            return Unanswered("the TLS connection failed")
        except _FAULTS:
            if watch is not None and watch.expired:
                return Unanswered(f"no answer within {effect.timeout:.3g} s")
            return Unanswered("the connection was closed without an answer")
        finally:
            current.watch, current.sending = None, False

    def _pool(self, url: str) -> tuple[HTTPConnectionPool, bool, str]:
        """The pool for an address, whether it wants it whole (a proxy of plain HTTP), and the request's target."""
        scheme, host, target = origin_of(url)
        known = self._pools.get((scheme, host))
        if known is None:
            with self._lock:
                proxy = proxy_for(self._gateway, url)
                known = self._connections.pool(url, proxy), proxy is not None and scheme == "http"
                self._pools[scheme, host] = known
        return *known, target


class Incoming:
    """A body on its way in: a source of streamed answers, and what whole ones are read from."""

    def __init__(
        self, answer: urllib3.BaseHTTPResponse, decoder: Decoder, watch: Watch | None, patience: float
    ) -> None:
        self._answer = answer
        self._decoder = decoder
        self._watch = watch
        self._patience = patience

    def raw_pieces(self, *, waiting: bool = True) -> Iterator[bytes]:
        """The body without content codings.

        Args:
            waiting: Whether somebody waits for each piece; otherwise those of an announced length come in large ones.

        Raises:
            BrokenOff: It does not come in whole.
        """
        watch, feed = self._watch, self._decoder.feed
        try:
            while chunk := self._next(waiting=waiting):
                yield from feed(chunk)
                if watch is not None and (watch.expired or time.monotonic() > watch.ends):
                    raise BrokenOff(Unanswered(LATE), late=True)
            # A body that ends with its connection ends when the watchdog shuts it, too.
            if watch is not None and watch.expired:
                raise BrokenOff(Unanswered(LATE), late=True)
            self._decoder.finish()
        except DamagedCoding:
            raise BrokenOff(Unanswered("the answer broke off")) from None
        except _FAULTS as error:
            if watch is not None and (watch.expired or time.monotonic() >= watch.ends):
                raise BrokenOff(Unanswered(LATE), late=True) from None
            silent = isinstance(error, urllib3.exceptions.ReadTimeoutError)
            said = f"silence for {self._patience:g} s within the answer" if silent else "the answer broke off"
            raise BrokenOff(Unanswered(said)) from None

    def _next(self, *, waiting: bool) -> bytes:
        left = self._answer.length_remaining
        return self._answer.read1(_CHUNK) if waiting or not left else self._answer.read(min(left, _SLICE))

    def pieces(self) -> Iterator[bytes]:
        """The same; gives the connection up at the end."""
        try:
            yield from self.raw_pieces()
        finally:
            self.close()

    def lift_deadline(self) -> None:
        """Let the rest take as long as it does."""
        if self._watch is not None:
            self._watch.ends = math.inf

    def leave(self) -> None:
        """Give the connection back when the body is read, else close it."""
        _leave(self._answer)

    def close(self) -> None:
        """Leave the rest, and let the watchdog know."""
        self.leave()
        if self._watch is not None:
            watchdog.end(self._watch)
            self._watch.finish()


def _leave(answer: urllib3.BaseHTTPResponse) -> None:
    """Close the connection unless the body was read to its end: urllib3 has it back in the pool then."""
    with contextlib.suppress(*_FAULTS):
        answer.close()
    answer.release_conn()


def exceeds(headers: CIMultiDictProxy[str], limit: int, method: str) -> bool:
    """Whether an answer says of itself that it is too large; a compressed one does not say how large it will be."""
    length = headers.get("content-length", "")
    return bool(limit) and method != "HEAD" and length.isdigit() and int(length) > limit and not codings(headers)


def beyond_limit(limit: int) -> str:
    """What is said of an answer that is too large."""
    return f"the answer has more than {limit} bytes, the connection's max_response_bytes"
