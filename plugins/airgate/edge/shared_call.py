"""One upstream call for all requests that ask the same at the same time, when its answer is one that can be kept."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from functools import partial

from airgate.edge.passage import PassedReply
from airgate.edge.reply import Reply
from airgate.spec.answer import Answer

_MOST_IN_VAIN = 4096

Make = Callable[["SharedCall"], Coroutine[None, None, None]]
"""Makes a call, replies into it, and settles it."""


class Outcome(Enum):
    """What became of an answer."""

    KEPT = auto()
    FOR_ONE = auto()
    """It came, and is for nobody else."""
    FAILED = auto()


class SharedCalls:
    """The calls of one process that others may wait for."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, SharedCall] = {}
        self._in_vain: OrderedDict[Hashable, None] = OrderedDict()

    def of(self, question: Hashable) -> "SharedCall | None":
        """The call that asks the same, if one is under way."""
        return self._under_way.get(question)

    def may_share(self, question: Hashable) -> bool:
        """Whether it makes sense to wait: not when the last answer was none for others."""
        return question not in self._in_vain

    def begin(self, question: Hashable, onward: Reply, make: Make) -> "SharedCall":
        """Make a call. Whoever does passes its answer on with `lead`."""

        def settled(outcome: Outcome) -> None:
            self._under_way.pop(question, None)
            self.note(question, outcome)

        call = self._under_way[question] = SharedCall(onward, settled, make)
        return call

    def note(self, question: Hashable, outcome: Outcome) -> None:
        """Remember what became of an answer; a failure says nothing about the next one."""
        if outcome is not Outcome.FAILED:
            self._in_vain.pop(question, None)
        if outcome is Outcome.FOR_ONE:
            self._in_vain[question] = None
            if len(self._in_vain) > _MOST_IN_VAIN:
                self._in_vain.popitem(last=False)


class SharedCall(PassedReply):
    """A call that lives as long as anybody waits for it, and the reply of the request that began it.

    Until it is settled, the answer comes at the pace of the server, as a client that reads slowly must not hold up the
    others; no more waits for it than the cache would keep of an answer. Settled, the call waits for the client.
    """

    def __init__(self, onward: Reply, settled: Callable[[Outcome], None], make: Make) -> None:
        super().__init__(onward)
        self._settled = settled
        self._outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting = 0
        self._led = True
        self._steps: deque[Callable[[], Awaitable[None]]] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._call = asyncio.create_task(make(self))
        self._call.add_done_callback(self._over)

    # For requests

    async def kept(self) -> bool:
        """Wait until the answer is kept, or until it is known that it will not be."""
        with self._waited_for():
            return await asyncio.shield(self._outcome) is Outcome.KEPT

    async def lead(self) -> None:
        """Pass the answer on to the request that began the call; raises what the call raises."""
        with self._waited_for():
            try:
                while self._steps or not self._call.done():
                    if self._steps:
                        await self._steps[0]()
                        self._steps.popleft()
                        self._room.set()
                    else:
                        self._news.clear()
                        await self._news.wait()
                await self._call
            finally:
                self._led = False
                self._steps.clear()
                self._room.set()

    # For the call

    def settle(self, outcome: Outcome) -> None:
        """Let those who wait look at what was kept, or go their own ways."""
        if not self._outcome.done():
            self._outcome.set_result(outcome)
            self._settled(outcome)

    async def whole(self, answer: Answer) -> None:
        """Send an answer of the gateway's own."""
        await self._pass_on(partial(self._onward.whole, answer))

    async def failed(self, status: int, detail: str) -> None:
        """Send problem details."""
        await self._pass_on(partial(self._onward.failed, status, detail))

    async def start(self, status: int, headers: Iterable[tuple[bytes, bytes]], *, with_cors: bool = True) -> None:
        """Send status and headers."""
        await self._pass_on(partial(self._onward.start, status, list(headers), with_cors=with_cors))

    async def chunk(self, data: bytes) -> None:
        """Send a piece of the body."""
        await self._pass_on(partial(self._onward.chunk, data))

    async def end(self) -> None:
        """Say that the body is complete."""
        await self._pass_on(self._onward.end)

    async def _pass_on(self, step: Callable[[], Awaitable[None]]) -> None:
        if not self._led:
            return
        self._steps.append(step)
        self._news.set()
        while self._outcome.done() and self._steps:
            self._room.clear()
            await self._room.wait()

    @contextmanager
    def _waited_for(self) -> Iterator[None]:
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._call.cancel()

    def _over(self, call: asyncio.Task[None]) -> None:
        self.settle(Outcome.FAILED)
        self._news.set()
        if not call.cancelled():
            call.exception()  # told by `lead`, unless the client left
