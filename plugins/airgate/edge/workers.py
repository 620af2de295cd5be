"""Several processes that serve one listener: a dead one is replaced, all get each change of the file, all end together.

The listener is shared, not one each (SO_REUSEPORT): what waits to be accepted then belongs to all of them, and is not
lost with a worker that dies or ends.
"""

import asyncio
import logging
import signal
import socket
import sys
from asyncio.subprocess import Process as Child
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from airgate.edge.certificate import Pair
from airgate.edge.control import Change, Order, Renewal, Served, Start, answer, encoded
from airgate.edge.last_call import SETTLE_SECONDS, turn_new_away
from airgate.edge.loading import Source

_log = logging.getLogger("airgate.edge")

_ANSWER_SECONDS = 30.0
_KILL_SECONDS = 5.0
"""How long a worker may take to end, beyond its drain."""
_PAUSE_SECONDS = 1.0
"""Before the next try, when a worker has died before it served."""


class _Worker:
    """One process and the socket to it."""

    def __init__(self, child: Child, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.child = child
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    @classmethod
    async def started(cls, listener: socket.socket, start: Start) -> "_Worker":
        """A worker that may begin; `serves` tells when it does."""
        here, there = socket.socketpair()
        with there:
            descriptors = (listener.fileno(), there.fileno())
            program = (sys.executable, "-m", "airgate.edge.worker", *map(str, descriptors))
            child = await asyncio.create_subprocess_exec(
                *program, pass_fds=descriptors, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
            )
        reader, writer = await asyncio.open_connection(sock=here)
        writer.write(encoded(start))
        return cls(child, reader, writer)

    async def obeys(self, order: Order) -> bool:
        """Tell it something; whether it serves that now."""
        async with self._turn:  # an answer belongs to one order
            self._writer.write(encoded(order))
            said = await self._answer()
        return said is not None and said.refused is None

    async def serves(self) -> bool:
        """Whether it serves what it began with."""
        async with self._turn:
            return await self._answer() is not None

    async def _answer(self) -> Served | None:
        """What it says; None when it is gone, or too slow."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await answer(self._reader)
        except TimeoutError:
            return None

    def signal(self, number: int) -> None:
        if self.child.returncode is None:
            self.child.send_signal(number)

    def close(self) -> None:
        self._writer.close()


class Workers:
    """Keeps workers.

    Args:
        count: How many.
        listener: What they serve.
        source: The file.
        start: What each begins with.
    """

    def __init__(self, count: int, listener: socket.socket, source: Source, start: Start) -> None:
        self._count = count
        self._listener = listener
        self._source = source
        self._start = start
        self._serving: set[_Worker] = set()
        self._all: set[_Worker] = set()
        self._ending = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether all of them serve."""
        return len(self._serving) == self._count and not self._ending.is_set()

    async def take(self, text: str) -> None:
        """Have all of them serve a new text. One that does not is replaced, as then it is the worker that fails.

        Raises:
            FileRefused: it is not served.
        """
        await asyncio.to_thread(self._source.next, text)
        self._start = replace(self._start, text=text, files=self._source.files.contents)
        await self._tell(Change(text, self._start.files))

    async def renew(self, pair: Pair) -> None:
        """Have all of them show another certificate."""
        self._start = replace(self._start, pair=pair)
        await self._tell(Renewal(pair))

    async def _tell(self, order: Order) -> None:
        told = list(self._serving)
        for worker, obeyed in zip(told, await asyncio.gather(*(worker.obeys(order) for worker in told)), strict=True):
            if not obeyed:
                _log.error("a worker did not take over the change and is replaced")
                worker.signal(signal.SIGKILL)

    async def run(self, beside: Callable[[], Awaitable[None]]) -> int:
        """Keep them until SIGTERM or SIGINT; the exit code. `beside` runs meanwhile."""
        loop = asyncio.get_running_loop()
        for ending in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(ending, self._ending.set)
        other = asyncio.ensure_future(beside())
        keepers = [asyncio.create_task(self._keep()) for _ in range(self._count)]
        await self._ending.wait()
        turn_new_away(self._listener)
        await asyncio.sleep(SETTLE_SECONDS)  # the workers take what has come
        self._listener.close()  # only the workers hold it now
        for worker in self._all:
            worker.signal(signal.SIGTERM)
        codes = await asyncio.gather(*keepers)
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
        return 0 if all(code == 0 for code in codes) else 1

    async def _keep(self) -> int:
        """Have one worker, whatever happens to it; the exit code of the last one."""
        while True:
            start = self._start
            worker = await _Worker.started(self._listener, start)
            self._all.add(worker)
            if self._ending.is_set():
                worker.signal(signal.SIGTERM)
            if await worker.serves():
                self._serving.add(worker)
                if start is not self._start:  # changed meanwhile
                    await self._bring_up_to_date(worker)
            served = worker in self._serving
            code = await self._end_of(worker)
            self._serving.discard(worker)
            self._all.discard(worker)
            worker.close()
            if self._ending.is_set():  # a worker that did not serve yet had nothing to lose
                return 0 if code == -signal.SIGTERM and not served else code
            _log.error("worker %d ended with %d and is replaced", worker.child.pid, code)
            if not served:
                await asyncio.sleep(_PAUSE_SECONDS)
                if self._ending.is_set():
                    return code

    async def _bring_up_to_date(self, worker: _Worker) -> None:
        now = self._start
        obeyed = await worker.obeys(Change(now.text, now.files))
        if obeyed and now.pair is not None:
            obeyed = await worker.obeys(Renewal(now.pair))
        if not obeyed:
            worker.signal(signal.SIGKILL)

    async def _end_of(self, worker: _Worker) -> int:
        """The exit code of a worker, which is killed when it takes too long to end."""
        waiting = asyncio.ensure_future(worker.child.wait())
        ending = asyncio.ensure_future(self._ending.wait())
        await asyncio.wait((waiting, ending), return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        try:
            async with asyncio.timeout(self._start.operation.drain_seconds + _KILL_SECONDS):
                return await asyncio.shield(waiting)
        except TimeoutError:
            worker.signal(signal.SIGKILL)
            return await waiting
