"""The stage that answers from memory, and keeps what comes while it is streamed to the client."""

from collections.abc import Iterable
from dataclasses import replace

from airgate.edge.cache_memory import Key
from airgate.edge.caching import CACHED_METHODS, SIGNING, AnswerCache, Ask, Hit, Keep
from airgate.edge.passage import Handler, Passage, PassedReply, Stage
from airgate.edge.reply import Reply
from airgate.edge.request_head import has_body
from airgate.spec.gateway import Forward

Header = tuple[bytes, bytes]


def cached(cache: AnswerCache, ttl: float | None, mapped: frozenset[str]) -> Stage:
    """Answer GET and HEAD from the cache where that may be.

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
            found = cache.look(_key(passage.request.method, forward, mapped), forward.headers)
            onward = passage.reply
            while isinstance(found, Ask):
                passage.forward = replace(forward, headers=found.headers)
                passage.reply = recording = _Recording(onward, cache, found, ttl)
                await handler(passage)
                if recording.instead is None:
                    return
                found = recording.instead
            await _send(onward, found, passage.request.method)

        return handle

    return stage


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


def _key(method: str, forward: Forward, mapped: frozenset[str]) -> Key:
    own = tuple(sorted(header for header in forward.headers if header[0] in mapped))
    signed = any(name in SIGNING for name, _ in forward.headers)
    return Key(method, forward.server, _target(forward), signed, own)


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

    def __init__(self, onward: Reply, cache: AnswerCache, ask: Ask, ttl: float | None) -> None:
        super().__init__(onward)
        self._cache = cache
        self._ask = ask
        self._ttl = ttl
        self._keep: Keep | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self.instead: Hit | Ask | None = None
        """What the client gets in place of the upstream's 304, which was an answer to the cache's question."""

    async def start(self, status: int, headers: Iterable[Header], *, with_cors: bool = True) -> None:
        """Look at status and headers, and pass them on."""
        came = list(headers)
        verdict = self._cache.came(self._ask, status, came, self._ttl)
        if isinstance(verdict, Hit | Ask):
            self.instead = verdict
            return
        self._keep = verdict if isinstance(verdict, Keep) else None
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
            else:
                self._pieces.append(data)
        await super().chunk(data)

    async def end(self) -> None:
        """Keep what is complete; an answer that broke off never gets here."""
        if self.instead is not None:
            return
        if self._keep is not None:
            self._cache.keep(self._keep, b"".join(self._pieces))
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
        self._cache.changed(self._method, self._forward.server, _target(self._forward), status)
        await super().start(status, headers, with_cors=with_cors)
