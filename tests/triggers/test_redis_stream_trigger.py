"""A Redis stream that is watched: an entry is acknowledged once Airflow has stored it, and not before."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from airgate.events import EventFields, RedisStreamTrigger
from airgate.triggers.acknowledged import AcknowledgedProducer
from tests.feed_service import event
from tests.redis_server import redis_server
from tests.triggers.watching import watching


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AcknowledgedProducer, "settles_after", 0.05)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_server(tmp_path_factory.mktemp("redis"), "--requirepass", "secret-of-redis") as port:
        yield port


@pytest.fixture
def redis(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """A real server that the connection leads to, empty."""
    value = {"conn_type": "redis", "host": "127.0.0.1", "port": port, "password": "secret-of-redis"}
    monkeypatch.setenv("AIRFLOW_CONN_REDIS_DEFAULT", json.dumps(value))
    client = Redis(port=port, password="secret-of-redis", decode_responses=True)
    client.flushall()
    yield client
    client.close()


def trigger(**options: Any) -> RedisStreamTrigger:
    return RedisStreamTrigger("shop", "airflow", **options)


def add(redis: Redis, *numbers: int) -> list[str]:
    return [str(redis.xadd("shop", {"event": json.dumps(event(number))})) for number in numbers]


def pending(redis: Redis) -> int:
    return int(redis.xpending("shop", "airflow")["pending"])


def numbered(*numbers: int) -> list[str]:
    return [f"e{number}" for number in numbers]


async def test_what_a_stream_has_is_told_and_then_what_comes(redis: Redis) -> None:
    add(redis, 0, 1)
    async with watching(trigger(), None) as seen:
        await seen.until(lambda: len(seen.ids) == 2)
        add(redis, 2)
        await seen.until(lambda: len(seen.ids) == 3)
        await seen.until(lambda: pending(redis) == 0)
    assert seen.ids == numbered(0, 1, 2)


async def test_an_entry_stays_pending_until_airflow_has_stored_it(redis: Redis) -> None:
    add(redis, 0)
    async with watching(trigger(), None, keeps=False) as seen:
        await seen.until(lambda: seen.ids)
        await seen.rounds(10)
        assert pending(redis) == 1
        seen.confirm()
        await seen.until(lambda: pending(redis) == 0)


async def test_what_was_not_stored_when_a_triggerer_died_is_told_first_after_the_restart(redis: Redis) -> None:
    add(redis, 0, 1)
    async with watching(trigger(limit=1), None, keeps=False) as first:
        await first.until(lambda: len(first.ids) == 2)
        first.confirm(1)
        await first.until(lambda: pending(redis) == 1)
    add(redis, 2)
    async with watching(trigger(), None) as second:
        await second.until(lambda: len(second.ids) == 2)
        await second.until(lambda: pending(redis) == 0)
    assert second.ids == numbered(1, 2)


async def test_entries_of_a_consumer_that_is_gone_are_taken_over(redis: Redis) -> None:
    redis.xgroup_create("shop", "airflow", id="0", mkstream=True)
    add(redis, 0, 1)
    redis.xreadgroup("airflow", "somebody-else", {"shop": ">"}, count=1)
    async with watching(trigger(claim_after=1), None) as seen:
        await seen.until(lambda: len(seen.ids) == 2, seconds=20)
        await seen.until(lambda: pending(redis) == 0)
    assert seen.ids == numbered(1, 0)


async def test_poison_is_told_as_unreadable_and_acknowledged(redis: Redis) -> None:
    for text in ("{not json", '{"specversion": "1.0"}'):
        redis.xadd("shop", {"event": text})
    add(redis, 2)
    async with watching(trigger(), None) as seen:
        await seen.until(lambda: seen.ids)
        await seen.until(lambda: pending(redis) == 0)
    unreadable = [entry for batch in seen.told for entry in batch.unreadable]
    assert [entry.raw for entry in unreadable] == ["{not json", '{"specversion": "1.0"}']
    assert unreadable[0].where.startswith("entry ")
    assert seen.ids == numbered(2)


async def test_an_entry_that_was_handed_out_too_often_is_poison(redis: Redis) -> None:
    add(redis, 0)
    for round_ in range(3):
        async with watching(trigger(most_deliveries=3), None, keeps=False) as dying:
            await dying.until(lambda: dying.ids)
        assert dying.ids == numbered(0), round_
    add(redis, 1)
    async with watching(trigger(most_deliveries=3), None) as seen:
        await seen.until(lambda: seen.ids)
        await seen.until(lambda: pending(redis) == 0)
    assert seen.ids == numbered(1)
    (entry,) = [entry for batch in seen.told for entry in batch.unreadable]
    assert "handed out 4 times" in entry.why
    assert event(0)["id"] in entry.raw


async def test_an_entry_that_was_deleted_before_it_was_read_is_told_of(redis: Redis) -> None:
    (name,) = add(redis, 0)
    async with watching(trigger(), None, keeps=False) as first:
        await first.until(lambda: first.ids)
    redis.xdel("shop", name)
    async with watching(trigger(), None) as second:
        await second.until(lambda: second.told)
        await second.until(lambda: pending(redis) == 0)
    assert "deleted from the stream" in second.told[0].unreadable[0].why


async def test_plain_entries_are_events_by_their_fields_or_by_their_ids(redis: Redis) -> None:
    name = str(redis.xadd("shop", {"order": "7", "kind": "placed"}))
    async with watching(trigger(), None) as seen:
        await seen.until(lambda: seen.ids)
    (told,) = seen.told[0].events
    assert (told.id, told.type, told.source) == (name, "redis.stream.entry", "/redis_default/shop")
    assert told.data == {"order": "7", "kind": "placed"}
    fields = EventFields(id="order", type="kind")
    async with watching(RedisStreamTrigger("shop", "other", fields=fields), None) as mapped:
        await mapped.until(lambda: mapped.ids)
    assert (mapped.ids, mapped.told[0].events[0].type) == (["7"], "placed")


async def test_a_new_group_may_begin_with_the_latest(redis: Redis) -> None:
    add(redis, 0)
    async with watching(trigger(start="latest"), None) as seen:
        await seen.until(lambda: redis.exists("shop") and redis.xinfo_groups("shop"))
        add(redis, 1)
        await seen.until(lambda: seen.ids)
    assert seen.ids == numbered(1)


async def test_a_group_that_was_lost_is_made_anew(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    add(redis, 0)
    with caplog.at_level(logging.WARNING):
        async with watching(trigger(), None) as seen:
            await seen.until(lambda: seen.ids and pending(redis) == 0)
            redis.delete("shop")
            add(redis, 1)
            await seen.until(lambda: len(seen.ids) == 2, seconds=20)
    assert caplog.text.count("had no group airflow: it begins with start=earliest") == 2


async def test_a_connection_that_is_lost_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_server(tmp_path) as port:
        value = {"conn_type": "redis", "host": "127.0.0.1", "port": port}
        monkeypatch.setenv("AIRFLOW_CONN_REDIS_DEFAULT", json.dumps(value))
        client = Redis(port=port, decode_responses=True)
        with caplog.at_level(logging.WARNING):
            async with watching(trigger(), None) as seen:
                add(client, 0)
                await seen.until(lambda: seen.ids)
                client.client_kill_filter(_type="normal", skipme=True)
                add(client, 1)
                await seen.until(lambda: len(seen.ids) == 2, seconds=20)
        client.close()
    assert seen.ids == numbered(0, 1)


async def test_a_wrong_password_is_said_without_it(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, port: int
) -> None:
    value = {"conn_type": "redis", "host": "127.0.0.1", "port": port, "password": "wrong-secret"}
    monkeypatch.setenv("AIRFLOW_CONN_REDIS_DEFAULT", json.dumps(value))
    with caplog.at_level(logging.WARNING):
        async with watching(trigger(), None) as seen:
            await seen.until(lambda: "cannot be read" in caplog.text)
            assert "AuthenticationError" in caplog.text
            good = {"conn_type": "redis", "host": "127.0.0.1", "port": port, "password": "secret-of-redis"}
            monkeypatch.setenv("AIRFLOW_CONN_REDIS_DEFAULT", json.dumps(good))
            add(redis, 0)
            await seen.until(lambda: seen.ids, seconds=20)
    assert "wrong-secret" not in caplog.text


def test_airflows_message_queue_trigger_reads_a_redis_stream_by_its_scheme() -> None:
    from airflow.providers.common.messaging.triggers.msg_queue import MessageQueueTrigger

    queue = MessageQueueTrigger(scheme="redis+stream", stream="shop", group="airflow")
    # What a watcher stores, and Airflow runs, is the inner trigger.
    assert queue.serialize() == trigger().serialize()


def test_without_the_provider_of_queues_airflow_starts_without_a_word(tmp_path: Path) -> None:
    program = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("airflow.providers.common.messaging.providers"):
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
sys.meta_path.insert(0, Without())
from airflow.providers_manager import ProvidersManager
print([name for name in ProvidersManager().queue_class_names if "airgate" in name])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path)},
        check=True,
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"
    said = done.stdout + done.stderr
    assert "warning" not in said.lower()
    assert "Traceback" not in said


def test_a_redis_trigger_survives_airflows_serialization() -> None:
    made = trigger(fields={"id": "a", "type": "b"}, start="5-0", limit=3)
    classpath, kwargs = made.serialize()
    assert classpath == f"{RedisStreamTrigger.__module__}.RedisStreamTrigger"
    assert RedisStreamTrigger(**json.loads(json.dumps(kwargs))).serialize() == made.serialize()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"stream": ""}, "stream"),
        ({"group": None}, "group"),
        ({"limit": 0}, "limit"),
        ({"claim_after": 0}, "claim_after"),
        ({"fields": {"id": "", "type": "a"}}, "id is empty"),
    ],
)
def test_what_is_wrong_with_a_redis_trigger_is_said_when_the_dag_is_parsed(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        RedisStreamTrigger(**{"stream": "s", "group": "g"} | wrong)
