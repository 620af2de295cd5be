"""Whether an answer may be kept and used again: RFC 9111 for a shared cache, decided by hishel's state machine.

The edge is stricter in four places. An answer to a request with `Authorization` or `Cookie` is kept only when the
upstream calls it `public`; one that sets a cookie never is; freshness is never guessed from `Last-Modified`; and
whatever mapping sets is part of the key, since an upstream cannot say `Vary` about headers that are the gateway's.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from uuid import uuid4

from hishel import (
    AnyState,
    CacheMiss,
    CacheOptions,
    Entry,
    FromCache,
    Headers,
    IdleClient,
    InvalidateEntries,
    NeedRevalidation,
    NeedToBeUpdated,
    Request,
    Response,
    StoreAndUse,
)

from airgate.edge.cache_memory import CacheMemory, Kept, Key
from airgate.edge.shared_call import SharedCalls

Header = tuple[bytes, bytes]

_OPTIONS = CacheOptions(shared=True, supported_methods=["GET", "HEAD"], allow_stale=False)
CACHED_METHODS = frozenset({"GET", "HEAD"})
SIGNING = ("authorization", "cookie")
"""Headers by which a caller shows who it is."""
_SAFE = CACHED_METHODS | {"OPTIONS", "TRACE"}
_FRESHNESS = frozenset({"max-age", "s-maxage", "no-cache", "no-store", "private"})
_LONGEST = 2**30
_VALIDATORS = ("if-none-match", "if-modified-since")
_NOT_IN_304 = frozenset({b"content-length", b"content-type", b"content-encoding", b"content-range"})


@dataclass(frozen=True, slots=True)
class Hit:
    """An answer that can be sent as it is."""

    status: int
    headers: list[Header]
    body: bytes


@dataclass(frozen=True, slots=True)
class Ask:
    """The upstream must be asked, with these headers; `state` goes back into `AnswerCache.came`."""

    headers: list[tuple[str, str]]
    key: Key
    request: Request
    state: CacheMiss | NeedRevalidation


@dataclass(frozen=True, slots=True)
class Keep:
    """The answer goes to the client, and its whole body to `AnswerCache.keep`."""

    key: Key
    request: Request
    response: Response


@dataclass(frozen=True, slots=True)
class Pass:
    """The answer goes to the client and is forgotten."""


class AnswerCache:
    """The cache of one process.

    Args:
        memory: Where answers are kept.
        largest: Bytes of the largest body that is kept.
        clock: Unix time in seconds.
    """

    def __init__(self, memory: CacheMemory, largest: int, *, clock: Callable[[], float] = time.time) -> None:
        self._memory = memory
        self.largest = largest
        self.calls = SharedCalls()
        """Those under way that others may wait for."""
        self._clock = clock

    def look(self, key: Key, headers: Sequence[tuple[str, str]]) -> Hit | Ask:
        """What a request gets: a kept answer, or what to ask the upstream.

        Args:
            key: The request's key.
            headers: What the upstream would be sent, lower-case names.
        """
        request = Request(key.method, key.target, _joined(headers))
        kept = self._memory.of(key)
        state = IdleClient(options=_OPTIONS).next(request, [each.entry for each in kept])
        if isinstance(state, FromCache):
            return self._hit(key, state.entry, request)
        sent = list(headers) if isinstance(state, CacheMiss) else _conditional(headers, state.request)
        return Ask(sent, key, request, state)

    def variant(self, key: Key, headers: Sequence[tuple[str, str]]) -> tuple[str | None, ...]:
        """What a request says in the headers by which the answers that are kept under its key vary."""
        sent = _joined(headers)
        return tuple(sent.get(name) for kept in self._memory.of(key) for name in _varies(kept.entry.response))

    def came(self, ask: Ask, status: int, headers: Iterable[Header], ttl: float | None) -> Hit | Keep | Pass | Ask:
        """What to do with an upstream's answer, once its headers are there; `Ask` when it answers something else.

        Args:
            ask: What the upstream was asked.
            status: Its status.
            headers: Its headers, lower-case names.
            ttl: Seconds that it is fresh when it does not say so itself; None for no time.
        """
        response = self._response(status, headers, ttl)
        state: AnyState = ask.state.next(response)
        while isinstance(state, InvalidateEntries):
            for identity in state.entry_ids:
                self._memory.drop(ask.key, identity)
            state = state.next()
        if isinstance(state, NeedToBeUpdated):
            return self._updated(ask, state)
        if isinstance(state, CacheMiss):  # a 304 about none of the kept answers
            plain = [header for header in ask.headers if header[0] not in _VALIDATORS]
            return Ask(plain, ask.key, ask.request, state)
        if isinstance(state, StoreAndUse) and _may_keep(ask.request, response):
            return Keep(ask.key, ask.request, state.response)
        return Pass()

    def keep(self, keep: Keep, body: bytes) -> None:
        """Keep a whole answer, in place of those that it replaces."""
        if len(body) > self.largest:
            return
        for old in self._memory.of(keep.key):
            if _same_variant(old.entry.request, keep.request, keep.response):
                self._memory.drop(keep.key, old.entry.id)
        self._memory.put(keep.key, Kept(Entry(uuid4(), keep.request, keep.response), body))

    def changed(self, method: str, server: str, target: str, status: int) -> None:
        """Forget what is known about a target after an unsafe request to it succeeded (RFC 9111, 4.4)."""
        if method not in _SAFE and 200 <= status < 400:
            self._memory.invalidate(server, target)

    def _updated(self, ask: Ask, state: NeedToBeUpdated) -> Hit:
        bodies = {kept.entry.id: kept.body for kept in self._memory.of(ask.key)}
        for entry in state.updating_entries:
            if entry.id in bodies:
                self._memory.put(ask.key, Kept(entry, bodies[entry.id]))
        entry = state.next().entry
        return self._answer(entry, bodies.get(entry.id, b""), ask.request)

    def _hit(self, key: Key, entry: Entry, request: Request) -> Hit:
        body = next(kept.body for kept in self._memory.of(key) if kept.entry.id == entry.id)
        return self._answer(entry, body, request)

    def _answer(self, entry: Entry, body: bytes, request: Request) -> Hit:
        headers = [
            (name.encode("latin-1"), value.encode("utf-8"))
            for name in entry.response.headers
            for value in entry.response.headers.get_list(name) or ()
        ]
        if _matches(request, entry.response):
            return Hit(304, [header for header in headers if header[0] not in _NOT_IN_304], b"")
        return Hit(entry.response.status_code, headers, body)

    def _response(self, status: int, headers: Iterable[Header], ttl: float | None) -> Response:
        joined = _joined((name.decode("latin-1"), value.decode("utf-8", "replace")) for name, value in headers)
        now = self._clock()
        # The state machine reckons age from Date alone; what earlier caches say of it is put in there.
        age = joined.get("age", "")
        joined["date"] = formatdate(_date(joined.get("date"), now) - _seconds(age), usegmt=True)
        if age:
            del joined["age"]
        directives = joined.get("cache-control", "")
        if status != 304 and not _says_freshness(joined):
            joined["cache-control"] = ", ".join(filter(None, [directives, f"s-maxage={int(ttl or 0)}"]))
        return Response(status, joined)


def _may_keep(request: Request, response: Response) -> bool:
    """What the edge asks of an answer beyond RFC 9111."""
    directives = _directives(response)
    if "no-store" in _directives(request) or "set-cookie" in response.headers:
        return False
    if "*" in response.headers.get("vary", "") or (_signed(request) and "public" not in directives):
        return False
    fresh = directives.get("s-maxage", directives.get("max-age", "0")) != "0" or "expires" in response.headers
    return fresh or "etag" in response.headers or "last-modified" in response.headers


def _signed(request: Request) -> bool:
    return any(name in request.headers for name in SIGNING)


def _says_freshness(headers: Headers) -> bool:
    return "expires" in headers or bool(_FRESHNESS & _parsed(headers.get("cache-control", "")).keys())


def _directives(message: Request | Response) -> dict[str, str]:
    return _parsed(message.headers.get("cache-control", ""))


def _parsed(text: str) -> dict[str, str]:
    parts = (part.strip().partition("=") for part in text.split(","))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in parts if name}


def _conditional(headers: Sequence[tuple[str, str]], conditional: Request) -> list[tuple[str, str]]:
    kept = [header for header in headers if header[0] not in _VALIDATORS]
    return kept + [(name, conditional.headers[name]) for name in _VALIDATORS if name in conditional.headers]


def _matches(request: Request, response: Response) -> bool:
    """Whether the client has the answer already, by its own `If-None-Match` (RFC 9110, 13.1.2)."""
    tags = request.headers.get("if-none-match")
    own = response.headers.get("etag")
    if tags is None or own is None:
        return False
    return tags.strip() == "*" or own.removeprefix("W/") in {tag.strip().removeprefix("W/") for tag in tags.split(",")}


def _same_variant(old: Request, new: Request, response: Response) -> bool:
    return all(old.headers.get(name) == new.headers.get(name) for name in _varies(response))


def _varies(response: Response) -> list[str]:
    return [name.strip().lower() for name in response.headers.get("vary", "").split(",") if name.strip()]


def _joined(headers: Iterable[tuple[str, str]]) -> Headers:
    found: dict[str, str | list[str]] = {}
    for name, value in headers:
        before = found.setdefault(name, [])
        assert isinstance(before, list)
        before.append(value)
    return Headers(found)


def _seconds(text: str) -> int:
    """A number of seconds (RFC 9111, 1.2.2: beyond what fits, the largest that does), 0 when it is none."""
    if not (text.isascii() and text.isdecimal()):
        return 0
    return int(text) if len(text) < len(str(_LONGEST)) else _LONGEST


def _date(text: str | None, now: float) -> float:
    """The moment of a `Date` header; now when there is none, or when it lies in the future."""
    try:
        return min(now, parsedate_to_datetime(text).timestamp()) if text else now
    except (TypeError, ValueError):
        return now
