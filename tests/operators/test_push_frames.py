"""Pushes of frames: given to the operator by a task, or to the hook within one."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import fields
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from airflow.sdk.exceptions import TaskDeferred

from airgate.errors import RateLimited, Unavailable
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.given_frame import hidden
from airgate.hooks.push_task import PushOptions, PushTask
from airgate.operators.push import GatewayPushOperator
from tests.faults.push_service import PushService
from tests.operators.pushes import ITEMS, connection_to_it, counts, letters, operator, records, run, service_of_a_test  # noqa: F401, fixtures
from tests.running_task import running
from tests.scripted_server import Answer, ScriptedServer


def frame(count: int, first: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"id": range(first, first + count), "bad": [False] * count})


def sent(server: ScriptedServer) -> list[list[int]]:
    return [[record["id"] for record in json.loads(seen.body)] for seen in server.seen]


@pytest.mark.parametrize(
    "of", [frame, lambda count: pl.from_pandas(frame(count)), lambda count: pa.table(frame(count))]
)
def test_a_frame_is_pushed(context, connected, service: PushService, of: Callable[[int], Any]) -> None:
    """Of any of the three libraries, in the order of its rows, without the index of a pandas one."""
    assert counts(run(context, data=of(10), ordered=True)) == (10, 10, 0)
    assert service.order == list(map(str, range(10)))


def test_frames_and_manifests_are_pushed_together(context, connected, service: PushService, tmp_path: Path) -> None:
    """In the order of the list, as the results of several tasks come."""
    data = [frame(2, 100), records(tmp_path, 3), frame(2, 200)]
    assert counts(run(context, data=data, ordered=True)) == (7, 7, 0)
    assert service.order == ["100", "101", "0", "1", "2", "200", "201"]


def test_a_later_try_pushes_what_the_first_one_was_given(context, connected, server: ScriptedServer) -> None:
    """A frame that another try makes anew may be another one; a clear has it taken."""
    connected(server.port)
    server.answers = [Answer(), *[Answer(503)] * 2, Answer()]
    with pytest.raises(Unavailable):
        run(context, data=frame(12), ordered=True)
    server.seen.clear()
    assert counts(run(context, data=frame(9, 500), ordered=True)) == (12, 12, 0)
    assert sent(server) == [[4, 5, 6, 7], [8, 9, 10, 11]]
    context["ti"].max_tries += 3
    server.seen.clear()
    assert counts(run(context, data=frame(2, 500), ordered=True)) == (2, 2, 0)
    assert sent(server) == [[500, 501]]


def test_a_clear_with_the_same_frame_goes_on(context, connected, server: ScriptedServer) -> None:
    """Its content is what counts: what was settled before the clear is not sent again."""
    connected(server.port)
    server.answers = [Answer(), *[Answer(503)] * 2, Answer()]
    with pytest.raises(Unavailable):
        run(context, data=frame(8), ordered=True)
    context["ti"].max_tries += 3
    server.seen.clear()
    assert counts(run(context, data=frame(8), ordered=True)) == (8, 8, 0)
    assert sent(server) == [[4, 5, 6, 7]]


def test_nothing_of_a_frame_shows(context, connected, server: ScriptedServer) -> None:
    """Airflow keeps the text of a rendered argument; neither it nor state, trigger or result hold a record."""
    connected(server.port)
    server.answers = [Answer(429, headers={"Retry-After": "60"}), Answer()]
    task = operator(data=frame(3).assign(name="hunter2"))
    assert str(task.data) == "<DataFrame of 3 rows and 3 columns>"
    assert "hunter2" not in repr(task.data)
    with pytest.raises(TaskDeferred) as caught:
        task.execute(context)
    report = task.resume(context)
    stored = context["task_state_store"]
    kept = list(map(stored.get, stored.keys()))
    assert "hunter2" not in str([caught.value.trigger.serialize(), caught.value.kwargs, report, kept])


def test_other_arguments_stay_what_they_are() -> None:
    """A manifest, a template, a result that is still to come: only frames are hidden."""
    for value in ("{{ x }}", {"kind": "x"}, None, 7):
        assert hidden(value) is value
    assert [str(each) for each in hidden([frame(1), {"a": 1}])] == ["<DataFrame of 1 rows and 2 columns>", "{'a': 1}"]


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ({"id": [1]}, ValueError, "data must be a pandas, polars or Arrow frame or a manifest"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), ValueError, "two columns have the same name: a"),
        (pd.DataFrame({"a": [1, "x"]}, dtype=object), TypeError, "a column has no Arrow type"),
    ],
)
def test_what_is_no_frame_is_refused(context, connected, data: Any, error: type[Exception], message: str) -> None:
    """Before anything is sent."""
    with pytest.raises(error, match=message):
        run(context, data=data)


@pytest.fixture
def task(context, connected) -> Iterator[dict[str, Any]]:
    """A running ``@task``."""
    context["ti"].try_number = 1
    context["task"] = SimpleNamespace(task_id="t", retries=3)
    with running(context):
        yield context


def next_try(task: dict[str, Any]) -> None:
    task["ti"] = SimpleNamespace(**vars(task["ti"]) | {"try_number": task["ti"].try_number + 1})


def test_task_code_pushes_a_frame(task, service: PushService) -> None:
    """With the operator's arguments and its report, which names the dead letters."""
    table = frame(6).assign(bad=[False, True, False, False, False, False])
    with GatewayHook() as hook:
        report = hook.push(table, batch_size=4, **ITEMS)
    assert counts(report) == (6, 5, 1)
    assert json.loads(json.dumps(report)) == report
    assert [json.loads(letter.record)["id"] for letter in letters(report)] == [1]
    assert set(service.effects.values()) == {1}


def test_task_code_goes_on_in_its_next_try(task, connected, server: ScriptedServer) -> None:
    """With the frame of the first one, and with nothing when the first one was through."""
    connected(server.port)
    server.answers = [Answer(), *[Answer(503)] * 2, Answer()]
    with GatewayHook() as hook:
        with pytest.raises(Unavailable):
            hook.push(frame(8), "/items", batch_size=4, ordered=True)
        next_try(task)
        server.seen.clear()
        first = hook.push(frame(1, 700), "/items", batch_size=4, ordered=True)
        assert (counts(first), sent(server)) == ((8, 8, 0), [[4, 5, 6, 7]])
        next_try(task)
        assert hook.push(frame(1, 700), "/items", batch_size=4, ordered=True) == first
        assert len(server.seen) == 1


def test_pushes_of_a_task_have_names(task, service: PushService) -> None:
    """Each has its own progress, keys and dead letters; the same name twice is a mistake."""
    with GatewayHook() as hook:
        one = hook.push(frame(2), "/strict", name="one")
        two = hook.push(frame(2), "/strict", name="two")
        with pytest.raises(ValueError, match="a second write under the name 'one'"):
            hook.push(frame(2), "/strict", name="one")
    assert one["dead_letters"]["path"] != two["dead_letters"]["path"]
    assert set(service.effects.values()) == {2}


@pytest.mark.parametrize("long_wait", ["defer", "inline"])
def test_task_code_waits_as_the_connection_says(task, connected, server: ScriptedServer, long_wait: str) -> None:
    """Task code cannot defer: the error that names the wait goes to Airflow's retry, unless it is to wait here."""
    connected(server.port, long_wait=long_wait, max_inline_wait=0.01)
    server.answers = [Answer(), Answer(429, headers={"Retry-After": "1"}), Answer()]
    with GatewayHook() as hook:
        if long_wait == "inline":
            assert counts(hook.push(frame(4), "/items", batch_size=2, ordered=True)) == (4, 4, 0)
            return
        with pytest.raises(RateLimited) as caught:
            hook.push(frame(4), "/items", batch_size=2, ordered=True)
    assert caught.value.retry_after == pytest.approx(1, abs=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "push: batch_size must be 1 or more"),
        ({"method": "GET"}, "push: a push is no GET"),
        ({"name": "../x"}, "push: name must be of letters"),
    ],
)
def test_wrong_arguments_of_task_code_are_refused(task, arguments: dict[str, Any], message: str) -> None:
    """As the operator's are."""
    with GatewayHook() as hook, pytest.raises(ValueError, match=message):
        hook.push(frame(1), "/items", **arguments)


def test_a_push_needs_a_task(connected) -> None:
    """Progress that nobody keeps would be a promise that nobody holds."""
    with GatewayHook() as hook, pytest.raises(ValueError, match="none is running"):
        hook.push(frame(1), "/items")


def test_operator_and_hook_have_the_same_options() -> None:
    """An option that one of them lacks, or calls otherwise, shows here."""
    names = {field.name for field in fields(PushTask)}
    assert set(PushOptions.__annotations__) == names - {"data", "path"}
    assert names <= set(signature(GatewayPushOperator.__init__).parameters)


class _Dying(PushService):
    """Has whoever asks killed, behind the effects of the n-th request."""

    def __init__(self, victim: Callable[[], int], at: int) -> None:
        self._victim, self._at = victim, at
        super().__init__()

    def _perform(self, path: str, body: Any, busy: int) -> tuple[int, Any]:
        answer = super()._perform(path, body, busy)
        if len(self.sizes) == self._at:
            os.kill(self._victim(), signal.SIGKILL)
        return answer


@pytest.mark.faults
@pytest.mark.parametrize("how", ["operator", "hook"])
@pytest.mark.parametrize("at", [1, 3])
def test_a_killed_push_of_a_frame_has_one_effect_a_row(context, connected, how: str, at: int) -> None:
    """SIGKILL behind an effect; the next try, given another frame, ends the push of the first one."""
    victim: list[int] = []
    service = _Dying(lambda: victim[0], at)
    connected(service.port)
    context["ti"].try_number = 1

    def attempt(first: int) -> dict[str, Any]:
        data = frame(12, first)
        if how == "operator":
            return operator(data=data, ordered=True).execute(context)
        with running(context), GatewayHook() as hook:
            return hook.push(data, "/strict", batch_size=4, ordered=True)

    try:
        child = os.fork()
        if not child:
            victim.append(os.getpid())
            try:
                attempt(0)
            finally:
                os._exit(1)
        victim.append(child)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        context["ti"].try_number = 2
        assert counts(attempt(900)) == (12, 12, 0)
        assert service.effects == dict.fromkeys(map(str, range(12)), 1)
        assert service.reused == 0
    finally:
        service.stop()
