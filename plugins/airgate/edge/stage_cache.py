"""The stage that answers from memory, and keeps what comes while it is streamed to the client."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from functools import partial

from airgate.edge.cache_memory import Key
from airgate.edge.caching import CACHED_METHODS, SIGNING, AnswerCache, Ask, Hit, Keep
from airgate.edge.passage import Handler, Passage, PassedReply, Stage
from airgate.edge.reply import Reply
from airgate.edge.request_head import has_body
from airgate.edge.shared_call import Outcome, SharedCall
from airgate.spec.answer import Answer
from airgate.spec.gateway import Forward

Header = tuple[bytes, bytes]
Settle = Callable[[Outcome], None]

_ROUNDS = 2
"""Calls of others that a request waits for at most: one tells by what answers vary, the other one is of its variant."""
_OF_ITS_OWN = frozenset(
    {
        "cache-control",
        "pragma",
        "range",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "if-range",
    }
)
"""Headers with which a request wants something that others may not get."""


def cached(cache: AnswerCache, ttl: float | None, mapped: frozenset[str]) -> Stage:
    """Answer GET and HEAD from the cache where that may be. Requests that miss it at the same time share one call.

    Args:
        cache: The cache of this process.
        ttl: Seconds of freshness of an answer that does not say; None for none.
        mapped: Headers, in small letters, that mapping sets.
    """

    def stage(handler: Handler) -> Handler:
        async def handle(passage: Passage) -> None:
            forward = passage.forward
            assert forward is not None
            if passage.request.method not in CACHED_METHODS or has_body(passage.request):
                await handler(passage)
                return
            key = _key(passage.request.method, forward, mapped, ttl)
            patient = _OF_ITS_OWN.isdisjoint(name for name, _ in forward.headers)
            found = cache.look(key, forward.headers)
            question: Hashable = None
            for _ in range(_ROUNDS):
                question = (key, cache.variant(key, forward.headers))
                if isinstance(found, Hit) or not (patient and cache.calls.may_share(question)):
                    break
                call = cache.calls.of(question)
                if call is None:
                    make = partial(_shared, handler, passage, cache, found, ttl)
                    await cache.calls.begin(question, passage.reply, make).lead()
                    return
                if not await call.kept():
                    break
                found = cache.look(key, forward.headers)
            if isinstance(found, Hit):
                await _send(passage.reply, found, passage.request.method)
            else:
                note = partial(cache.calls.note, question) if patient else _unheard
                await _asked(handler, passage, cache, found, ttl, passage.reply, note)

        return handle

    return stage


async def _shared(
    handler: Handler, passage: Passage, cache: AnswerCache, ask: Ask, ttl: float | None, call: SharedCall
) -> None:
    await _asked(handler, passage, cache, ask, ttl, call, call.settle)


async def _asked(
    handler: Handler,
    passage: Passage,
    cache: AnswerCache,
    ask: Ask,
    ttl: float | None,
    onward: Reply,
    settle: Settle,
) -> None:
    """Ask the upstream, and send what it says or what is thereby known to be good still.

    Args:
        handler: Makes the call.
        passage: The request.
        cache: What is asked for.
        ask: What to ask.
        ttl: As for `cached`.
        onward: Where the answer goes.
        settle: Told what becomes of the answer, before more of it is sent.
    """
    forward = passage.forward
    assert forward is not None
    found: Hit | Ask = ask
    while isinstance(found, Ask):
        passage.forward = replace(forward, headers=found.headers)
        passage.reply = recording = _Recording(onward, cache, found, ttl, settle)
        await handler(passage)
        if recording.instead is None:
            return
        found = recording.instead
    settle(Outcome.KEPT)
    await _send(onward, found, passage.request.method)


def _unheard(_outcome: Outcome) -> None:
    """What becomes of a request with conditions of its own tells nothing about others."""


def noticed(cache: AnswerCache) -> Stage:
    """Forget what is kept about a target once an unsafe request to it has succeeded."""

    def stage(handler: Handler) -> Handler:
        async def handle(passage: Passage) -> None:
            forward = passage.forward
            assert forward is not None
            if passage.request.method not in CACHED_METHODS:
                passage.reply = _Noticing(passage.reply, cache, passage.request.method, forward)
            await handler(passage)

        return handle

    return stage


def _key(method: str, forward: Forward, mapped: frozenset[str], ttl: float | None) -> Key:
    own = tuple(sorted(header for header in forward.headers if header[0] in mapped))
    signed = any(name in SIGNING for name, _ in forward.headers)
    return Key(method, _server(forward), _target(forward), signed, own, ttl)


def _server(forward: Forward) -> str:
    origin = forward.origin  # not its alias, which another file may give to another server
    return f"{origin.scheme}://{origin.host}:{origin.port}"


def _target(forward: Forward) -> str:
    return f"{forward.path}?{forward.query}"


async def _send(reply: Reply, hit: Hit, method: str) -> None:
    headers = [header for header in hit.headers if header[0] not in (b"content-length", b"transfer-encoding")]
    length = [] if hit.status == 304 or method == "HEAD" else [(b"content-length", str(len(hit.body)).encode())]
    if method == "HEAD":
        length = [header for header in hit.headers if header[0] == b"content-length"]
    await reply.start(hit.status, headers + length)
    if hit.body:
        await reply.chunk(hit.body)
    await reply.end()


class _Recording(PassedReply):
    """Passes an answer on and keeps a copy, unless something else is to be sent in its place."""

    def __init__(self, onward: Reply, cache: AnswerCache, ask: Ask, ttl: float | None, settle: Settle) -> None:
        super().__init__(onward)
        self._settle = settle
        self._cache = cache
        self._ask = ask
        self._ttl = ttl
        self._keep: Keep | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self.instead: Hit | Ask | None = None
        """What the client gets in place of the upstream's 304, which was an answer to the cache's question."""

    async def whole(self, answer: Answer) -> None:
        """Send an answer of the gateway's own, which is for nobody else."""
        self._settle(Outcome.FAILED)
        await super().whole(answer)

    async def start(self, status: int, headers: Iterable[Header], *, with_cors: bool = True) -> None:
        """Look at status and headers, and pass them on."""
        came = list(headers)
        verdict = self._cache.came(self._ask, status, came, self._ttl)
        if isinstance(verdict, Hit | Ask):
            self.instead = verdict
            return
        self._keep = verdict if isinstance(verdict, Keep) else None
        if self._keep is None:
            self._settle(Outcome.FAILED if status >= 500 else Outcome.FOR_ONE)
        await super().start(status, came, with_cors=with_cors)

    async def chunk(self, data: bytes) -> None:
        """Pass a piece on and keep it while the whole is not too large."""
        if self.instead is not None:
            return
        if self._keep is not None:
            self._size += len(data)
            if self._size > self._cache.largest:
                self._keep = None
                self._pieces.clear()
                self._settle(Outcome.FOR_ONE)
            else:
                self._pieces.append(data)
        await super().chunk(data)

    async def end(self) -> None:
        """Keep what is complete; an answer that broke off never gets here."""
        if self.instead is not None:
            return
        if self._keep is not None:
            self._cache.keep(self._keep, b"".join(self._pieces))
            self._settle(Outcome.KEPT)
        await super().end()


class _Noticing(PassedReply):
    """Tells the cache of changes."""

    def __init__(self, onward: Reply, cache: AnswerCache, method: str, forward: Forward) -> None:
        super().__init__(onward)
        self._cache = cache
        self._method = method
        self._forward = forward

    async def start(self, status: int, headers: Iterable[Header], *, with_cors: bool = True) -> None:
        """Tell of the change, and pass on."""
        self._cache.changed(self._method, _server(self._forward), _target(self._forward), status)
        await super().start(status, headers, with_cors=with_cors)
