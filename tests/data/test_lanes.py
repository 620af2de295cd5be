"""Several readers at once, in order."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgate.data.read.lanes import AHEAD, in_order

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")


def reader(number: int, items: int, fails_at: int | None = None) -> Callable[[], Iterator[tuple[int, int]]]:
    def read() -> Iterator[tuple[int, int]]:
        for item in range(items):
            if item == fails_at:
                raise KeyError(f"{number}/{item}")
            yield number, item

    return read


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(0, 5), max_size=8),
    in_flight=st.integers(1, 5),
    ahead=st.integers(1, 3),
    data=st.data(),
)
def test_items_come_in_order_and_errors_in_their_place(
    lengths: list[int], in_flight: int, ahead: int, data: st.DataObject
) -> None:
    """For any readers, any concurrency and any failing item: exactly what came before it, then its error."""
    expected = [(number, item) for number, length in enumerate(lengths) for item in range(length)]
    failing = data.draw(st.sampled_from(expected)) if expected and data.draw(st.booleans()) else None
    readers = (
        reader(number, length, failing[1] if failing and failing[0] == number else None)
        for number, length in enumerate(lengths)
    )
    before = threading.active_count()
    got: list[tuple[int, int]] = []
    error: list[str] = []
    try:
        for item in in_order(readers, in_flight, ahead):
            got.append(item)  # noqa: PERF402 - what came before an error counts as well
    except KeyError as raised:
        error = list(raised.args)
    assert error == ([f"{failing[0]}/{failing[1]}"] if failing else [])
    expected = expected[: expected.index(failing)] if failing else expected
    assert got == expected
    assert threading.active_count() == before


def test_readers_work_at_once_and_no_further_ahead_than_allowed() -> None:
    """While the first one stands still the others read, but neither all of theirs nor more readers than allowed."""
    go, read = threading.Event(), [0] * 5

    def one(number: int) -> Iterator[int]:
        for _ in range(100):
            if number == 0:
                go.wait(10)
            read[number] += 1
            yield number

    pages = in_order((lambda number=number: one(number) for number in range(5)), 3)
    first = threading.Thread(target=lambda: next(pages))
    first.start()
    ends = time.monotonic() + 10
    while read[1] + read[2] < 2 * (AHEAD + 1) and time.monotonic() < ends:
        time.sleep(0.005)
    assert read == [0, AHEAD + 1, AHEAD + 1, 0, 0]  # one more is in the reader's hand
    go.set()
    first.join()
    pages.close()


def test_leaving_early_stops_the_readers() -> None:
    """Nobody reads on for a read that has failed; no thread stays behind."""
    before, read = threading.active_count(), [0] * 4

    def endless(number: int) -> Iterator[int]:
        while True:
            read[number] += 1
            yield number

    pages = in_order((lambda number=number: endless(number) for number in range(4)), 4)
    assert next(pages) == 0
    pages.close()
    assert threading.active_count() == before
    assert max(read) <= AHEAD + 2


def test_a_reader_sees_the_context_of_its_caller() -> None:
    """Airflow's task context and the span of a trace live in context variables."""
    NAME.set("task")
    names = in_order((lambda: iter([NAME.get()]) for _ in range(3)), 2)
    assert list(names) == ["task"] * 3


@pytest.mark.parametrize("in_flight", [1, 3])
def test_no_reader_no_item(in_flight: int) -> None:
    """A read of no parents ends."""
    assert list(in_order(iter(()), in_flight)) == []
