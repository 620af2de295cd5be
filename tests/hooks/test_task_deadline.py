"""The deadline of a call that task code makes: it spans Airflow's tries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from airgate.errors import DeadlineExceeded, RateLimited, Unavailable
from airgate.hooks import GatewayHook
from airgate.testing import InstantTime, instant_time
from tests.scripted_server import Answer, ScriptedServer

BUSY = Answer(429, headers={"Retry-After": "20"})


@pytest.fixture
def time_passed() -> Iterator[InstantTime]:
    """Time that passes when it is told to."""
    with instant_time() as passing:
        yield passing


def next_try(running: dict[str, Any]) -> None:
    """What Airflow does after a failure."""
    running["ti"].try_number += 1


def get(kind: str = "call") -> object:
    """A read by a hook of its own, as each try has one."""
    if kind == "call":
        return GatewayHook().call("GET", "/x").status

    async def acall() -> int:
        hook = GatewayHook()
        try:
            return (await hook.acall("GET", "/x")).status
        finally:
            await hook.aclose()

    return asyncio.run(acall())


@pytest.mark.parametrize("kind", ["call", "acall"])
def test_a_chosen_deadline_spans_the_tries_and_starts_again_on_a_clear(
    kind: str, define, running, server: ScriptedServer, time_passed: InstantTime
) -> None:
    """The next try has what this one left; a clear is a person's word to begin anew."""
    define(task_deadline=30, attempts=1)
    server.answers = [Answer(503), Answer(503), Answer(503), Answer()]
    for _ in range(2):
        with pytest.raises(Unavailable):
            get(kind)
        next_try(running)
        time_passed.skip(20)
    with pytest.raises(DeadlineExceeded):
        get(kind)
    assert len(server.seen) == 2
    next_try(running)
    running["ti"].max_tries += 2
    with pytest.raises(Unavailable):
        get(kind)
    assert get(kind) == 200


def test_a_wait_that_ends_behind_the_deadline_fails_at_once(
    define, running, server: ScriptedServer, time_passed: InstantTime
) -> None:
    """No try is spent on learning it."""
    define(task_deadline=30)
    server.answers = [BUSY]
    with pytest.raises(RateLimited):
        get()
    next_try(running)
    time_passed.skip(20)
    with pytest.raises(DeadlineExceeded, match="behind the deadline"):
        get()


def test_the_same_call_made_again_after_its_success_begins_afresh(
    define, running, server: ScriptedServer, time_passed: InstantTime
) -> None:
    """A loop that polls is not one call."""
    define(task_deadline=30, attempts=1)
    server.answers = [Answer(503), Answer()]
    with pytest.raises(Unavailable):
        get()
    next_try(running)
    for _ in range(3):
        time_passed.skip(20)
        assert get() == 200


def test_a_wait_in_the_worker_uses_the_deadline_up(
    define, running, server: ScriptedServer, time_passed: InstantTime
) -> None:
    """Also where long waits are spent inside."""
    define(task_deadline=30, long_wait="inline")
    server.answers = [BUSY]
    with pytest.raises(DeadlineExceeded):
        get()
    assert len(server.seen) == 2


def test_the_default_deadline_holds_for_a_try(
    define, running, server: ScriptedServer, time_passed: InstantTime
) -> None:
    """Airflow's own pause between tries, five minutes, would use it up; and nothing is stored."""
    define(attempts=1)
    server.answers = [Answer(503), Answer()]
    with pytest.raises(Unavailable):
        get()
    next_try(running)
    time_passed.skip(3600)
    assert get() == 200
    assert running["task_state_store"].keys() == []
