"""Ending what takes too long, with one timer for all requests of a route: most end long before, and need none."""

import asyncio


class Deadlines:
    """Cancels tasks that run longer than so many seconds.

    All have the same time, so they are late in the order in which they began, and the oldest is the only one to watch.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: dict[asyncio.Task[object], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, task: asyncio.Task[object]) -> None:
        """Watch a task until its `end`."""
        loop = task.get_loop()
        due = self._running[task] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(due, self._look, loop)

    def end(self, task: asyncio.Task[object]) -> bool:
        """Watch a task no longer; whether it was cancelled as it is late."""
        return self._running.pop(task, None) is None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        late = []
        for task, due in self._running.items():
            if due > now:
                self._timer = loop.call_at(due, self._look, loop)
                break
            late.append(task)
        for task in late:
            del self._running[task]
            task.cancel()
