"""One exchange over the event loop's pooled connections."""

from __future__ import annotations

import asyncio
import socket
import ssl
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import is_ip_address
from yarl import URL

from airgate.client.codings import DamagedCoding, Decoder, UnknownCoding, codings
from airgate.client.effects import Reply, Send
from airgate.client.gateway import Gateway
from airgate.client.gathered import Gathered
from airgate.client.message import Response, headers_of
from airgate.client.outgoing import SourceFailed, headers_for, origin_of, pieces_of
from airgate.client.proxies import credentials, proxy_for, without_credentials
from airgate.client.streamed import AsyncStreamedResponse, BrokenOff, Reading
from airgate.client.tls import ssl_context
from airgate.client.wire import LATE, beyond_limit, exceeds
from airgate.policy.outcome import NotSent, Unanswered, Unusable

_LONGEST_HEADER = 65536
_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_BROKEN = (aiohttp.ClientError, OSError, asyncio.IncompleteReadError)


class _Denied(OSError):
    """The address guard lets no address of a host through."""


class AsyncWire:
    """Pools of connections to a gateway, one for each event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._context = ssl_context(gateway)
        self._sessions: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = (
            weakref.WeakKeyDictionary()
        )

    async def close(self) -> None:
        """Close the connections of this loop."""
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()

    def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None or session.closed:
            tracing = aiohttp.TraceConfig()
            tracing.on_request_headers_sent.append(_mark_sent)
            session = self._sessions[loop] = aiohttp.ClientSession(
                connector=_Connector(_Resolver(self._gateway), limit=0, ssl=self._context),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=_AUTOMATIC,
                max_line_size=_LONGEST_HEADER,
                max_field_size=_LONGEST_HEADER,
                trace_configs=[tracing],
            )
            # Whether to send again is the flow's decision. aiohttp has no public switch.
            session._retry_connection = False
        return session

    async def exchange(self, effect: Send, *, stream: Callable[[int], bool] | None = None) -> Reply:
        """Send once.

        Args:
            effect: What is sent, and the seconds that it may take.
            stream: Of which statuses the body is left to be read later.

        Raises:
            ValueError: The request cannot be sent.
        """
        request, gateway = effect.request, self._gateway
        loop = asyncio.get_running_loop()
        ends = None if effect.timeout is None else loop.time() + effect.timeout
        begun = await self._begin(effect)
        if isinstance(begun, (NotSent, Unanswered)):
            return begun
        headers = headers_of((name.decode("latin-1"), value.decode("latin-1")) for name, value in begun.raw_headers)
        try:
            decoder = Decoder(codings(headers))
        except UnknownCoding as error:
            begun.close()
            return Unusable(begun.status, f"the answer has {error}")
        source = AsyncIncoming(begun, decoder, ends, gateway.read_timeout)
        limit = gateway.max_response_bytes
        if stream is not None and stream(begun.status):
            return AsyncStreamedResponse(
                *(begun.status, headers, b"", request.method, request.safe_url), reading=Reading(limit), source=source
            )
        if exceeds(headers, limit, request.method):
            begun.close()
            return Unusable(begun.status, beyond_limit(limit))
        body = Gathered(limit)
        try:
            async for piece in source.pieces():
                if not body.add(piece):
                    return Unusable(begun.status, beyond_limit(limit))
        except BrokenOff as broken:
            return broken.outcome
        finally:
            await source.close()
        return Response(begun.status, headers, body.whole(), request.method, request.safe_url)

    async def _begin(self, effect: Send) -> aiohttp.ClientResponse | NotSent | Unanswered:
        """Send the request and take in the answer's headers."""
        request, gateway = effect.request, self._gateway
        headers = headers_for(request)
        try:
            scheme, host, target = origin_of(request.url)
            proxy = proxy_for(gateway, request.url)
        except ValueError as error:
            raise ValueError(f"{request.method} {request.safe_url} {error}") from None
        connect, read = gateway.connect_timeout, gateway.read_timeout
        if effect.timeout is not None:
            connect, read = min(connect, effect.timeout), min(read, effect.timeout)
        login = credentials(proxy) if proxy else None
        progress = SimpleNamespace(sent=False)
        size = headers.get("Content-Length")
        chunked = headers.pop("Transfer-Encoding", None) is not None  # aiohttp wants to write it itself
        upload = None
        if request.body is not None and not isinstance(request.body, bytes):
            upload = _Upload(pieces_of(request.body, None if size is None else int(size)))
        # Twice round the loop: if a connection of the pool has ended since the loop last looked, it is known now.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        try:
            return await self._session().request(
                request.method,
                # The target is final; yarl would quote it its own way.
                URL(f"{scheme}://{host}{target}", encoded=True),
                headers=headers,
                data=upload.stream() if upload else request.body,
                chunked=True if chunked else None,
                allow_redirects=False,
                proxy=without_credentials(proxy) if proxy else None,
                proxy_auth=aiohttp.BasicAuth(*login) if login else None,
                timeout=aiohttp.ClientTimeout(total=effect.timeout, connect=connect, sock_read=read),
                trace_request_ctx=progress,
            )
        except (TimeoutError, *_BROKEN) as error:
            if upload is not None and upload.error is not None:
                raise (upload.error.__cause__ or upload.error) from None
            if not progress.sent:
                return _why(error, connect)
            if isinstance(error, TimeoutError):
                return Unanswered(f"no answer within {read:.3g} s")
            if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
                return Unanswered("the TLS connection failed")
            return Unanswered("the connection was closed without an answer")


class AsyncIncoming:
    """A body on its way in."""

    def __init__(self, answer: aiohttp.ClientResponse, decoder: Decoder, ends: float | None, patience: float) -> None:
        self._answer = answer
        self._decoder = decoder
        self._ends = ends
        self._patience = patience

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body without content codings; gives the connection up at the end.

        Raises:
            BrokenOff: It does not come in whole.
        """
        try:
            async for chunk in self._answer.content.iter_any():
                for piece in self._decoder.feed(chunk):
                    yield piece
                if self._late():
                    raise BrokenOff(Unanswered(LATE), late=True)
            self._decoder.finish()
        except DamagedCoding:
            raise BrokenOff(Unanswered("the answer broke off")) from None
        except (TimeoutError, *_BROKEN) as error:
            if self._late():
                raise BrokenOff(Unanswered(LATE), late=True) from None
            silent = isinstance(error, TimeoutError)
            said = f"silence for {self._patience:g} s within the answer" if silent else "the answer broke off"
            raise BrokenOff(Unanswered(said)) from None
        finally:
            await self.close()

    def _late(self) -> bool:
        return self._ends is not None and asyncio.get_running_loop().time() >= self._ends

    async def close(self) -> None:
        """Close the connection unless the body was read to its end: aiohttp has it back in the pool then."""
        self._answer.close()


class _Upload:
    """A body that is read in a thread, piece by piece, and remembers why it could not be."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.error: SourceFailed | None = None

    async def stream(self) -> AsyncIterator[bytes]:
        try:
            while (piece := await asyncio.to_thread(next, self._pieces, None)) is not None:
                yield piece
        except SourceFailed as error:
            self.error = error
            raise


class _Protocol(ResponseHandler):
    """A connection that ends at once: what is left of an upload that was given up must not go out afterwards."""

    def close(self) -> None:
        self.abort()


class _Connector(aiohttp.TCPConnector):
    """Keeps no connection on which something came that nobody asked for: the next call would take it for its answer.

    It asks the resolver for IP addresses, too, in whatever form; aiohttp itself would pass them by the guard.
    """

    def __init__(self, resolver: _Resolver, **kwargs: Any) -> None:
        super().__init__(resolver=resolver, **kwargs)
        self._factory = partial(_Protocol, loop=self._loop)  # type: ignore[assignment]
        self._guard = resolver

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> list[ResolveResult]:
        if self._guard.on and is_ip_address(host):
            return await self._guard.resolve(host, port, self._family)
        return await super()._resolve_host(host, port, traces)

    async def _get(self, key: Any, traces: Any) -> Any:
        for protocol, _ in self._conns.get(key, ()):
            if protocol.should_close:
                protocol.abort()
        return await super()._get(key, traces)


class _Resolver(AbstractResolver):
    """Looks names up as the system does, and gives only addresses that the gateway may be reached at."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._inner = aiohttp.ThreadedResolver()
        self.on = gateway.address_guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        try:
            ip_address(host)
        except ValueError:
            found = await self._inner.resolve(host, port, family)
        else:
            # As it stands: the system would not look up an address of a family that it has no other address of.
            found = [ResolveResult(hostname=host, host=host, port=port, family=family, proto=0, flags=0)]
        allowed = [result for result in found if self._gateway.may_connect(result["host"])]
        if found and not allowed:
            raise _Denied(f"address_guard does not let {host} be {found[0]['host']}")
        return allowed

    async def close(self) -> None:
        await self._inner.close()


async def _mark_sent(session: aiohttp.ClientSession, context: Any, params: Any) -> None:
    """Said before the first byte is written, so that a failure before it is provably one of the connection."""
    context.trace_request_ctx.sent = True


def _why(error: BaseException, connect: float) -> NotSent:
    if isinstance(error, TimeoutError):
        return NotSent(f"no connection within {connect:.3g} s")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return NotSent("the proxy refused to connect")
    link: BaseException | None = error
    seen = 0
    while link is not None and seen < 10:
        if isinstance(link, _Denied):
            return NotSent(str(link), lasting=True)
        if isinstance(link, aiohttp.ClientConnectorCertificateError):
            link = link.certificate_error
            continue
        if isinstance(link, ssl.SSLCertVerificationError):
            return NotSent(f"the server's certificate is not trusted ({link.verify_message})", lasting=True)
        if isinstance(link, (ssl.SSLError, aiohttp.ClientSSLError)):
            return NotSent("the TLS connection failed")
        link, seen = link.__cause__ or link.__context__, seen + 1
    return NotSent("connection refused or host not found")
