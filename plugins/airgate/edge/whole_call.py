"""Calls whose answer is wanted whole, as a key set or a branch of an aggregation: bounded in time and in bytes."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airgate.edge.connection import CallFailed
from airgate.spec.url import HTTP_SCHEMES, Origin, escape_query, parse_origin

if TYPE_CHECKING:
    import aiohttp

_IDLE_SECONDS = 4.0  # before uvicorn and Node close theirs
_MOST_BYTES = 1024 * 1024

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call: method, where to, headers with lower-case names, body or None, seconds for all of it, bytes back."""

    method: str
    origin: Origin
    path: str
    query: str
    headers: Headers
    body: bytes | None
    timeout: float
    limit: int = _MOST_BYTES

    @classmethod
    def to(cls, method: str, url: str, headers: Headers, body: bytes | None, timeout: float) -> "Call":
        """A call of a URL.

        Raises:
            CallFailed: it cannot be called.
        """
        try:
            origin = parse_origin(url)
        except ValueError as error:
            raise CallFailed(502, f"cannot be asked: {error}") from None
        if origin.scheme not in HTTP_SCHEMES:
            raise CallFailed(502, "cannot be asked: it is not an http or https URL")
        query = escape_query(url.partition("#")[0].partition("?")[2].encode("utf-8", "replace"))
        return cls(method, origin, origin.path, query, headers, body, timeout)


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """What came back: header names in small letters, the body decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def succeeded(self) -> bool:
        """Whether the status says so."""
        return 200 <= self.status < 300


class HttpCalls:
    """Makes calls over connections of its own, which stay open for a moment. The HTTP client is loaded by the first."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def call(self, call: Call) -> WholeAnswer:
        """Make a call; redirects are not followed. Cancelled, it closes the connection.

        Raises:
            CallFailed: no usable answer came.
        """
        import aiohttp

        try:
            async with asyncio.timeout(call.timeout):
                return await self._call(call)
        except TimeoutError:
            raise CallFailed(504, f"did not answer within {call.timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise CallFailed(502, f"could not be reached or broke off ({type(error).__name__})") from None

    async def _call(self, call: Call) -> WholeAnswer:
        from multidict import CIMultiDict
        from yarl import URL

        origin = call.origin
        url = URL.build(
            scheme=origin.scheme,
            host=origin.host,
            port=origin.port,
            path=call.path,
            query_string=call.query,
            encoded=True,
        )
        headers = CIMultiDict(call.headers)
        async with self._open().request(
            call.method, url, headers=headers, data=call.body, allow_redirects=False
        ) as response:
            pieces: list[bytes] = []
            size = 0
            async for piece in response.content.iter_any():
                size += len(piece)
                if size > call.limit:
                    response.close()
                    raise CallFailed(502, f"answered with more than {call.limit} bytes")
                pieces.append(piece)
            received = {name.lower(): value for name, value in response.headers.items()}
            return WholeAnswer(response.status, received, b"".join(pieces))

    def _open(self) -> "aiohttp.ClientSession":
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                skip_auto_headers=("Content-Type", "User-Agent"),
            )
            self._session._retry_connection = False  # sending again is the caller's decision
        return self._session
