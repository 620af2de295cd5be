"""Threads for stand-ins that block: one a call, and none that keeps the process from ending."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from contextvars import copy_context

MOST = 64
"""Calls of one edge in threads at once; more wait for their turn."""


class ThreadFailed(Exception):
    """The function raised; what it raised is the cause."""


class Threads:
    """Runs blocking functions beside the loop. A pool of the standard library would wait at the end for one that hangs.

    Args:
        most: Threads at once.
    """

    def __init__(self, most: int = MOST) -> None:
        self._free = asyncio.Semaphore(most)

    async def run(self, function: Callable[[], object]) -> object:
        """What a function returns. When the caller is cancelled, the function still runs to its end.

        Raises:
            ThreadFailed: the function raised.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[tuple[object, BaseException | None]] = loop.create_future()

        def end(result: object, error: BaseException | None) -> None:
            self._free.release()
            if not done.done():
                done.set_result((result, error))

        def work() -> None:
            result, failure = None, None
            try:
                result = function()
            except BaseException as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(end, result, failure)

        thread = threading.Thread(target=copy_context().run, args=(work,), name="stand-in", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._free.release()
            raise
        result, error = await done
        if error is not None:
            raise ThreadFailed from error
        return result
