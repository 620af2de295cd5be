"""Answers whose body is read while it comes in."""

from __future__ import annotations

import builtins
import dataclasses
from collections.abc import AsyncIterator, Collection, Iterator
from types import TracebackType
from typing import Any, Protocol

from airgate.client.gathered import Gathered
from airgate.client.message import Response
from airgate.policy.errors import DeadlineExceeded, GatewayError, InvalidResponse, OutcomeUnknown, Unavailable
from airgate.policy.idempotency import SAFE_METHODS
from airgate.policy.outcome import Unanswered, Unusable

Bytes = builtins.bytes


def is_success(status: int, expect: Collection[int] | None) -> bool:
    """Whether a call that expects these statuses, None for 200 to 299, is content with this one."""
    return 200 <= status < 300 if expect is None else status in expect


class BrokenOff(Exception):
    """A body did not come in whole."""

    def __init__(self, outcome: Unanswered | Unusable, *, late: bool = False) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome
        self.late = late


class Source(Protocol):
    """Where a driver reads a body from; raises ``BrokenOff``."""

    def pieces(self) -> Iterator[Bytes]:
        """The body without content codings, in order."""
        ...

    def lift_deadline(self) -> None:
        """Let the rest take as long as it does."""
        ...

    def close(self) -> None:
        """Leave the rest; may be said twice."""
        ...


class AsyncSource(Protocol):
    """Where a driver on an event loop reads a body from; raises ``BrokenOff``."""

    def pieces(self) -> AsyncIterator[Bytes]:
        """The body without content codings, in order."""
        ...

    async def close(self) -> None:
        """Leave the rest; may be said twice."""
        ...


class Held:
    """A body that is in memory already, as a source of either kind."""

    def __init__(self, content: Bytes) -> None:
        self.content = content

    def pieces(self) -> Iterator[Bytes]:
        """The body in one piece."""
        if self.content:
            yield self.content

    def lift_deadline(self) -> None:
        """It is here already."""

    def close(self) -> None:
        """Nothing to leave."""


class Reading:
    """What was read of a body; the one part of a streamed response that changes."""

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit
        self.began = False
        self.content: Bytes | None = None


def _members(response: Response) -> dict[str, Any]:
    return {member.name: getattr(response, member.name) for member in dataclasses.fields(Response)}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class _Streamed(Response):
    """What the two kinds have in common."""

    reading: Reading = dataclasses.field(default_factory=Reading, repr=False)

    @property
    def received(self) -> int:
        """Bytes of the body that are in memory."""
        return len(self.reading.content or b"")

    @property
    def head(self) -> Response:
        """The answer without its body, as far as the course of the call goes."""
        return Response(self.status, self.headers, b"", self.method, self.url)

    def _begin(self) -> None:
        if self.reading.began:
            raise RuntimeError("the body of this answer was read already; keep what iter_bytes gives, or use .bytes")
        self.reading.began = True

    def _too_large(self) -> InvalidResponse:
        return self.invalid(f"the answer has more than {self.reading.limit} bytes, the connection's max_response_bytes")

    def _error(self, broken: BrokenOff) -> GatewayError:
        kind: type[GatewayError] = Unavailable if self.method in SAFE_METHODS else OutcomeUnknown
        if broken.late:
            kind = DeadlineExceeded
        elif isinstance(broken.outcome, Unusable):
            kind = InvalidResponse
        return kind(
            broken.outcome.reason,
            method=self.method,
            url=self.url,
            status=self.status,
            attempts=self.attempts,
            request_id=self.request_id,
        )


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class StreamedResponse(_Streamed):
    """An answer whose headers are here and whose body is still to come.

    Use it as a context manager, or read it to its end: it holds a connection until then. ``iter_bytes`` knows no limit
    of size, ``bytes`` holds to the connection's ``max_response_bytes``. The call's deadline covers the body, too, until
    ``lift_deadline``.
    """

    source: Source = dataclasses.field(default_factory=lambda: Held(b""), repr=False)

    @property  # type: ignore[misc]
    def bytes(self) -> Bytes:
        """The whole body, read now unless it was before.

        Raises:
            GatewayError: It does not come in whole, or is larger than allowed.
        """
        if self.reading.content is None:
            body = Gathered(self.reading.limit)
            pieces = self.iter_bytes()
            try:
                for piece in pieces:
                    if not body.add(piece):
                        raise self._too_large()
            finally:
                self.close()
            self.reading.content = body.whole()
        return self.reading.content

    @bytes.setter  # noqa: A003
    def bytes(self, value: Bytes) -> None:
        """Passed over: the generated initializer sets every field."""

    @classmethod
    def of(cls, response: Response, opened: StreamedResponse | None = None) -> StreamedResponse:
        """A streamed answer with the story of its call; without ``opened``, a whole one in a streamed one's form."""
        if opened is None:
            return cls(**_members(response), source=Held(response.bytes))
        return cls(**_members(response), source=opened.source, reading=opened.reading)

    def iter_bytes(self) -> Iterator[Bytes]:
        """The body in pieces, once.

        Raises:
            GatewayError: It does not come in whole.
        """
        self._begin()
        try:
            yield from self.source.pieces()
        except BrokenOff as broken:
            raise self._error(broken) from None
        finally:
            self.close()

    def lift_deadline(self) -> None:
        """Let the body take as long as it does: from now on only silence ends it, the connection's ``read_timeout``."""
        self.source.lift_deadline()

    def close(self) -> None:
        """Leave the rest of the body and give the connection up."""
        self.source.close()

    def __enter__(self) -> StreamedResponse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class AsyncStreamedResponse(_Streamed):
    """The same on an event loop: ``async with``, ``aiter_bytes``, and ``await aread()`` before ``bytes``."""

    source: AsyncSource | Held = dataclasses.field(default_factory=lambda: Held(b""), repr=False)

    @property  # type: ignore[misc]
    def bytes(self) -> Bytes:
        """The whole body, once ``aread`` has read it."""
        if self.reading.content is None:
            raise RuntimeError("the body is still to come: await response.aread() first")
        return self.reading.content

    @bytes.setter  # noqa: A003
    def bytes(self, value: Bytes) -> None:
        """Passed over: the generated initializer sets every field."""

    @classmethod
    def of(cls, response: Response, opened: AsyncStreamedResponse | None = None) -> AsyncStreamedResponse:
        """A streamed answer with the story of its call; without ``opened``, a whole one in a streamed one's form."""
        if opened is None:
            return cls(**_members(response), source=Held(response.bytes))
        return cls(**_members(response), source=opened.source, reading=opened.reading)

    async def aread(self) -> Bytes:
        """Read the whole body, up to the connection's ``max_response_bytes``.

        Raises:
            GatewayError: It does not come in whole, or is larger than allowed.
        """
        if self.reading.content is None:
            body = Gathered(self.reading.limit)
            try:
                async for piece in self.aiter_bytes():
                    if not body.add(piece):
                        raise self._too_large()
            finally:
                await self.aclose()
            self.reading.content = body.whole()
        return self.reading.content

    async def aiter_bytes(self) -> AsyncIterator[Bytes]:
        """The body in pieces, once.

        Raises:
            GatewayError: It does not come in whole.
        """
        self._begin()
        try:
            if isinstance(self.source, Held):
                for piece in self.source.pieces():
                    yield piece
            else:
                async for piece in self.source.pieces():
                    yield piece
        except BrokenOff as broken:
            raise self._error(broken) from None
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Leave the rest of the body and give the connection up."""
        if not isinstance(self.source, Held):
            await self.source.close()

    async def __aenter__(self) -> AsyncStreamedResponse:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
