"""Threads for stand-ins that block: so many at once, and a turn is given back when the function ends, not before."""

import asyncio
import contextlib
import threading

import pytest

from airgate.edge.service_threads import ThreadFailed, Threads


async def test_a_turn_belongs_to_the_function_until_it_ends() -> None:
    """Whoever stops waiting for a function does not make room for another one while it still runs."""
    threads, begun, go_on = Threads(1), threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        go_on.wait(10)

    first = asyncio.create_task(threads.run(hold))
    await asyncio.to_thread(begun.wait, 10)
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    second = asyncio.create_task(threads.run(lambda: "second"))
    await asyncio.sleep(0.05)
    assert not second.done()
    go_on.set()
    assert await asyncio.wait_for(second, 10) == "second"


@pytest.mark.parametrize("error", [StopIteration("x"), SystemExit(3), KeyboardInterrupt(), ValueError("y")])
async def test_whatever_a_function_raises_is_told(error: BaseException) -> None:
    """Also what no future can hold, and what would end the process."""

    def fail() -> None:
        raise error

    with pytest.raises(ThreadFailed) as raised:
        await Threads().run(fail)
    assert raised.value.__cause__ is error
