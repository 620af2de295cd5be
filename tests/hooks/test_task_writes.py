"""Writes that task code makes with the hook: keys of their own, one effect each."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from airgate.client.uploads import StreamBody
from airgate.errors import DeadlineExceeded, KeyReused, OutcomeUnknown, RateLimited, Rejected
from airgate.hooks import GatewayHook
from airgate.testing import instant_time
from tests.scripted_server import Answer, ScriptedServer


def keys(server: ScriptedServer) -> list[str | None]:
    """The keys that arrived."""
    return [seen.headers.get("idempotency-key") for seen in server.seen]


def test_a_write_of_a_task_has_a_key_and_a_read_has_none(running, server: ScriptedServer) -> None:
    """Nobody has to think of it."""
    hook = GatewayHook()
    hook.call("GET", "/x")
    hook.call("POST", "/x", json={})
    read, write = keys(server)
    assert read is None
    assert write


def test_outside_of_a_task_there_is_no_key(define, server: ScriptedServer) -> None:
    """There is nothing that it could be made of; asking for one says so."""
    GatewayHook().call("POST", "/x", json={})
    assert keys(server) == [None]
    with pytest.raises(ValueError, match="made from the running task, and none is running"):
        GatewayHook().call("POST", "/x", idempotency_key=True)


def test_a_second_write_needs_a_name(running, server: ScriptedServer) -> None:
    """Without one it would have the first one's key, and a service would take it for a repetition."""
    GatewayHook().call("POST", "/orders", json={})
    with pytest.raises(ValueError, match="name='charge'"):
        GatewayHook().call("POST", "/charges", json={})
    GatewayHook().call("POST", "/charges", json={}, name="charge")
    GatewayHook().call("POST", "/search", json={}, idempotency_key=False)
    GatewayHook().call("PUT", "/orders/1", json={})
    sent = keys(server)
    assert sent[2] is None
    assert len(set(sent)) == 4


def test_the_next_try_has_the_same_keys(running, server: ScriptedServer) -> None:
    """The names of the try before are free again."""
    for _ in range(2):
        running["ti"].id = uuid4()
        GatewayHook().call("POST", "/orders", json={}, idempotency_key=True)
        GatewayHook().call("POST", "/charges", json={}, idempotency_key=True, name="charge")
    first, second, again, once_more = keys(server)
    assert (first, second) == (again, once_more)
    assert first != second


def test_a_write_that_is_not_recognized_leaves_once(running, server: ScriptedServer) -> None:
    """The first try died behind it; the second one stops before it."""
    GatewayHook().call("POST", "/orders", json={})
    running["ti"].id = uuid4()
    with pytest.raises(OutcomeUnknown):
        GatewayHook().call("POST", "/orders", json={})
    assert len(server.seen) == 1


def test_another_body_in_the_next_try_is_stopped(running, define, server: ScriptedServer) -> None:
    """A message says what differs."""
    define(idempotency="honoured")
    GatewayHook().call("POST", "/orders", json={"at": 1})
    running["ti"].id = uuid4()
    with pytest.raises(KeyReused, match="the body is another one"):
        GatewayHook().call("POST", "/orders", json={"at": 2})
    assert len(server.seen) == 1


def test_code_may_try_again_what_failed(running, server: ScriptedServer) -> None:
    """A refused write gives its name back."""
    server.answers = [Answer(422), Answer()]
    hook = GatewayHook()
    with pytest.raises(Exception, match="422"):
        hook.call("POST", "/orders", json={"a": 0}, idempotency_key=True)
    assert hook.call("POST", "/orders", json={"a": 1}, idempotency_key=True).status == 200


def test_a_key_of_the_callers_own_is_sent_as_it_is(running, server: ScriptedServer) -> None:
    """The caller may send it twice, but not with another request."""
    for _ in range(2):
        GatewayHook().call("POST", "/orders", json={}, idempotency_key="order-7")
    assert keys(server) == ["order-7", "order-7"]
    with pytest.raises(KeyReused):
        GatewayHook().call("POST", "/orders", json={"other": 1}, idempotency_key="order-7")


@pytest.mark.parametrize("name", ["Idempotency-Key", "idempotency-key"])
def test_a_key_in_the_headers_is_the_callers_own(running, server: ScriptedServer, name: str) -> None:
    """Nothing is put in its place, and it is relied on as ``idempotency_key`` is."""
    server.answers = [Answer(500), Answer()]
    GatewayHook().call("POST", "/orders", json={}, headers={name: "order-7"})
    assert keys(server) == ["order-7", "order-7"]
    with pytest.raises(ValueError, match="two different keys"):
        GatewayHook().call("POST", "/orders", json={}, headers={name: "order-7"}, idempotency_key="order-8")


def test_a_refused_write_may_be_made_again(running, server: ScriptedServer) -> None:
    """Also where keys are not relied on: 4xx is the service's word that nothing happened."""
    server.answers = [Answer(404), Answer(422), Answer()]
    for json in ({}, {"a": 1}):
        with pytest.raises(Rejected):
            GatewayHook().call("POST", "/orders", json=json)
    assert GatewayHook().call("POST", "/orders", json={"a": 2}).status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_idempotent_methods_need_no_names(define, running, server: ScriptedServer, method: str) -> None:
    """Two of them in one task are as good as one."""
    define(idempotency="honoured")
    for _ in range(2):
        GatewayHook().call(method, "/orders/7")
    assert len(server.seen) == 2


def test_a_body_that_breaks_while_it_is_sent_leaves_doubt(running, server: ScriptedServer) -> None:
    """A part of it has left, so the next try does not send it again."""
    opened: list[int] = []

    def pieces() -> Iterator[bytes]:
        opened.append(1)
        yield b"a"
        if len(opened) == 2:  # read for its digest before
            raise ValueError("the source broke")
        yield b"b"

    for expected in (ValueError, OutcomeUnknown):
        with pytest.raises(expected):
            GatewayHook().call("POST", "/orders", data=StreamBody(pieces, size=2))
        running["ti"].id = uuid4()


def test_waits_in_the_worker_end_with_the_deadline(define, server: ScriptedServer) -> None:
    """Outside of a task as well."""
    define(deadline=30, long_wait="inline")
    server.answers = [Answer(429, headers={"Retry-After": "3600"})]
    with instant_time() as time_passed, pytest.raises(DeadlineExceeded):
        GatewayHook().call("GET", "/x")
    assert time_passed.skipped < 1


def test_a_task_without_retries_hears_of_long_waits_at_the_first_call(running, server: ScriptedServer, capsys) -> None:
    """Not first at three in the morning, when the service is busy."""
    running["task"].retries = 0
    hook = GatewayHook()
    hook.call("GET", "/x")
    hook.call("GET", "/x")
    assert capsys.readouterr().out.count("has no retries") == 1
    server.answers = [Answer(429, headers={"Retry-After": "60"})]
    with pytest.raises(RateLimited):
        hook.call("GET", "/x")


def test_a_long_wait_can_be_spent_inline(running, define, server: ScriptedServer) -> None:
    """By the connection's long_wait; the write keeps its key."""
    define(long_wait="inline")
    server.answers = [Answer(429, headers={"Retry-After": "60"}), Answer()]
    with instant_time() as passed:
        assert GatewayHook().call("POST", "/x", json={}).status == 200
    assert passed.skipped == pytest.approx(60, abs=2)
    assert len(set(keys(server))) == 1


async def test_the_async_side_does_the_same(running, server: ScriptedServer) -> None:
    """Key, names and typed errors."""
    hook = GatewayHook()
    assert (await hook.acall("POST", "/orders", json={})).status == 200
    with pytest.raises(ValueError, match="name='charge'"):
        await hook.acall("POST", "/charges", json={})
    await hook.acall("POST", "/charges", json={}, name="charge")
    GatewayHook().call("PUT", "/x")
    await hook.aclose()
    assert len(set(keys(server))) == 3
