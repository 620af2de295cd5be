"""Requests that the edge makes on its own account: for keys, tokens and one-time passwords."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from airgate.spec.url import HTTP_SCHEMES, escape_query, parse_origin

if TYPE_CHECKING:
    from airgate.edge.whole_call import HttpCalls

_MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came back: header names in small letters, the body decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def succeeded(self) -> bool:
        """Whether the status says so."""
        return 200 <= self.status < 300


class FetchFailed(Exception):
    """Nothing usable came back.

    Args:
        status: What a gateway says of it: 502, or 504 when time ran out.
        what: What happened, in words that follow the server's name.
    """

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status
        self.what = what


class Fetching(Protocol):
    """Makes requests."""

    async def fetch(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes | None, seconds: float
    ) -> Fetched:
        """Make a request; redirects are not followed. `seconds` is for all of it.

        Raises:
            FetchFailed: nothing usable came back.
        """


class HttpFetching:
    """Makes requests over connections of its own, which stay open for a moment."""

    def __init__(self) -> None:
        self._calls: HttpCalls | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._calls is not None:
            await self._calls.close()

    async def fetch(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes | None, seconds: float
    ) -> Fetched:
        """See `Fetching`; more than 1 MB of an answer counts as unusable."""
        from airgate.edge.whole_call import Call, CallFailed, HttpCalls  # the HTTP client, for files that need it

        try:
            origin = parse_origin(url)
        except ValueError as error:
            raise FetchFailed(502, f"cannot be asked: {error}") from None
        if origin.scheme not in HTTP_SCHEMES:
            raise FetchFailed(502, "cannot be asked: it is not an http or https URL")
        if self._calls is None:
            self._calls = HttpCalls()
        query = escape_query(url.partition("#")[0].partition("?")[2].encode("utf-8", "replace"))
        call = Call(method, origin, origin.path, query, headers, body, seconds, _MOST_BYTES)
        try:
            answer = await self._calls.call(call)
        except CallFailed as failed:
            raise FetchFailed(failed.status, failed.what) from None
        return Fetched(answer.status, answer.headers, answer.body)
