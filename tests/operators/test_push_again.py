"""GatewayPushOperator in a later try, after a clear, and after a long wait."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airgate.errors import KeyReused, OutcomeUnknown, RateLimited, Unavailable
from airgate.operators.push import GatewayPushOperator
from airgate.testing import instant_time
from tests.faults.push_service import PushService
from tests.operators.pushes import ITEMS, connection_to_it, counts, operator, records, run, service_of_a_test  # noqa: F401, fixtures
from tests.scripted_server import Answer, ScriptedServer
from tests.state_store import FileStore


def test_a_later_try_goes_on_with_what_is_left(context, connected, server: ScriptedServer, tmp_path: Path) -> None:
    """What was settled beside the batch that failed is not sent again; the failed one goes with its old key."""
    connected(server.port)
    server.answers = [Answer(), Answer(), *[Answer(503)] * 2, Answer()]
    data = records(tmp_path, 20)
    with pytest.raises(Unavailable):
        run(context, data=data, ordered=True)
    failed = server.seen[-1]
    server.seen.clear()
    assert counts(run(context, data=data, ordered=True)) == (20, 20, 0)
    assert [json.loads(seen.body)[0]["id"] for seen in server.seen] == [8, 12, 16]
    assert server.seen[0].headers["idempotency-key"] == failed.headers["idempotency-key"]
    assert len({seen.headers["idempotency-key"] for seen in server.seen}) == 3


def test_a_try_behind_the_last_one_sends_nothing(context, connected, service: PushService, tmp_path: Path) -> None:
    """A process that dies between the end of its work and the moment at which Airflow knows; a clear begins anew."""
    data = records(tmp_path, 10, bad=(3,))
    first = run(context, data=data, **ITEMS)
    sent = service.requests
    assert run(context, data=data, **ITEMS) == first
    assert service.requests == sent
    context["ti"].max_tries += 3
    assert counts(run(context, data=data, **ITEMS)) == (10, 9, 1)
    assert service.requests == 2 * sent
    assert max(service.effects.values()) == 1  # with the same keys: a new effect takes a new epoch
    context["ti"].max_tries += 3
    run(context, data=data, epoch="again", **ITEMS)
    assert max(service.effects.values()) == 2


def test_answers_that_are_lost_do_no_harm_with_keys(context, connected, service: PushService, tmp_path: Path) -> None:
    """Every third answer is: the batch is sent again with its key."""
    connected(attempts=6)
    run(context, data=records(tmp_path, 60), path="/strict?drop=3")
    assert service.requests > 15
    assert set(service.effects.values()) == {1}


def test_a_batch_in_doubt_is_not_sent_twice_without_keys(
    context, connected, service: PushService, tmp_path: Path
) -> None:
    """Neither by this try nor by the next; what was not sent, or answered, is not in doubt; a clear sends it again."""
    connected(idempotency="off")
    data = records(tmp_path, 16)
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            run(context, data=data, path="/strict?drop=3", ordered=True)
        assert service.requests == 3
    with pytest.raises(OutcomeUnknown, match=r"may have sent 1 batches \(rows 8 to 11\).* clear the task to send them"):
        run(context, data=data, path="/strict?drop=3", ordered=True)
    assert service.requests == 3
    context["ti"].max_tries += 3
    service.requests = 0
    assert counts(run(context, data=data, path="/strict?drop=3", ordered=True)) == (16, 16, 0)
    assert service.requests == 2
    assert {identity for identity, times in service.effects.items() if times > 1} == {"8", "9", "10", "11"}


def test_other_records_do_not_take_over_progress(context, connected, server: ScriptedServer, tmp_path: Path) -> None:
    """A try that would push other batches than the one before is stopped; a clear lets it begin anew."""
    connected(server.port)
    server.answers = [Answer(), *[Answer(503)] * 2, Answer()]
    with pytest.raises(Unavailable):
        run(context, data=records(tmp_path, 20), ordered=True)
    with pytest.raises(KeyReused, match="pushed other records, or in another way, and had 4 of them settled"):
        run(context, data=records(tmp_path, 20), ordered=True, batch_size=5)
    context["ti"].max_tries += 3
    assert counts(run(context, data=records(tmp_path, 20), ordered=True, batch_size=5)) == (20, 20, 0)


def test_a_long_wait_gives_the_worker_back(context, connected, server: ScriptedServer, tmp_path: Path) -> None:
    """What was settled before is not sent again afterwards; without deferring, Airflow's retry takes over."""
    connected(server.port, attempts=3)
    server.answers = [Answer(), Answer(429, headers={"Retry-After": "60"}), Answer()]
    task = operator(data=records(tmp_path, 12), ordered=True)
    with pytest.raises(TaskDeferred) as caught:
        task.execute(context)
    assert "id" not in str(caught.value.trigger.serialize())
    report = task.resume(context, {})
    assert counts(report) == (12, 12, 0)
    assert [json.loads(seen.body)[0]["id"] for seen in server.seen] == [0, 4, 4, 8]
    context["task_state_store"].delete("airgate.push")
    server.answers = [Answer(429, headers={"Retry-After": "60"})]
    with pytest.raises(RateLimited):
        operator(data=records(tmp_path, 12), deferrable=False).execute(context)


def test_records_that_are_put_off_give_the_worker_back(
    context, connected, server: ScriptedServer, tmp_path: Path
) -> None:
    """Only they are sent again, under a key of their own; a service that never takes them is not asked without end."""
    connected(server.port, attempts=3)
    busy = Answer(207, b'[{"s": 201}, {"s": 429, "in": 60}]')
    server.answers = [busy, Answer(207, b'[{"s": 201}]')]
    options: dict[str, Any] = {"batch_size": 2, "item_status": "s", "item_retry_after": '"in"'}
    task = operator(data=records(tmp_path, 2), **options)
    with pytest.raises(TaskDeferred):
        task.execute(context)
    assert counts(task.resume(context, {})) == (2, 2, 0)
    assert [[one["id"] for one in json.loads(seen.body)] for seen in server.seen] == [[0, 1], [1]]
    assert len({seen.headers["idempotency-key"] for seen in server.seen}) == 2

    context["task_state_store"].delete("airgate.push")
    server.seen.clear()
    server.answers = [busy, Answer(207, b'[{"s": 429, "in": 60}]')]
    with pytest.raises(TaskDeferred):
        task.execute(context)
    with pytest.raises(TaskDeferred):
        task.resume(context, {})
    with pytest.raises(RateLimited, match="1 records were put off"):
        task.resume(context, {})
    keys = [seen.headers["idempotency-key"] for seen in server.seen]
    assert len(set(keys)) == len(keys) == 3


@pytest.mark.parametrize("in_flight", [1, 3])
def test_a_place_in_line_outlives_a_long_wait(
    context, connected, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_flight: int
) -> None:
    """Pushes that wait for their own limit come through in the order in which they came, batch by batch."""
    monkeypatch.setenv("AIRFLOW__AIRGATE__LIMITS_STORE", str(tmp_path / "limits.sqlite"))
    connected(server.port, limits={"rate": "1/20s"}, attempts=2)

    def task(name: str) -> tuple[GatewayPushOperator, dict[str, Any]]:
        ti = SimpleNamespace(**{**vars(context["ti"]), "task_id": name})
        data, headers = records(tmp_path / name, 2), {"X-Task": name}
        pushing = operator(data=data, batch_size=1, in_flight=in_flight, headers=headers)
        return pushing, {"ti": ti, "task_state_store": FileStore(tmp_path / f"{name}.json")}

    with instant_time() as time_passed:
        # A turn is kept for a quarter of a second: it is not for this machine's speed to say who misses it.
        began = time_passed.now()
        monkeypatch.setattr(time_passed, "now", lambda: began + time_passed.skipped)
        waiting = {name: task(name) for name in ("a", "b", "c")}
        for pushing, own in waiting.values():
            with pytest.raises(TaskDeferred):
                pushing.execute(own)
        for _ in range(6):
            time_passed.skip(20)
            # The last one looks first, and still nobody is overtaken.
            for name, (pushing, own) in reversed(list(waiting.items())):
                try:
                    assert counts(pushing.resume(own, {})) == (2, 2, 0)
                    del waiting[name]
                except TaskDeferred:
                    continue
    assert not waiting
    came = [seen.headers["x-task"] for seen in server.seen]
    if in_flight == 1:
        # The first one comes through at once and is in line again before the others are.
        assert came == ["a", "a", "b", "c", "b", "c"]
    assert [*dict.fromkeys(came)] == ["a", "b", "c"]
