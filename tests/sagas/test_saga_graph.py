"""The graph of a saga: what is a teardown of what, in which order it goes back, and that Airflow keeps all of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param, TaskGroup, task

from airgate.hooks import Call, GatewayRetryPolicy
from airgate.operators import GatewayOperator
from airgate.sagas import Effect, Saga, saga

DO = Call("POST", "/things", json={"n": 1})
FIND = Call("GET", "/things/by-key/{key}", path_params={"key": "{{ effect.key }}"})


def undo(effect: Effect) -> Call:
    return Call("DELETE", "/things/by-key/{key}", path_params={"key": effect.key})


def sequence(order: Any) -> None:
    for name in ("reserve", "charge"):
        order.step(name, DO, undo=undo)
    order.step("ship", DO, lookup=FIND, pivot=True)
    order.step("notify", DO, retriable=True)


def side_by_side(order: Any) -> None:
    order.step("first", DO, undo=undo)
    with order.parallel():
        order.step("left", DO, undo=undo)
        order.step("right", DO, undo=undo)
    order.step("last", DO, undo=undo)


def diamond(order: Any) -> None:
    first = order.step("first", DO, undo=undo)
    order.step("left", DO, undo=undo, after=[first])
    order.step("right", DO, undo=undo, after=["first"])
    order.step("beside", DO, undo=undo, after=[])
    order.step("last", DO, undo=undo, after=["left", "right"])


def nothing_in_the_middle(order: Any) -> None:
    order.step("first", DO, undo=undo)
    order.step("look", DO, undo=False)
    order.step("last", DO, undo=undo)


def by_results(order: Any) -> None:
    """A result that a step uses makes an arrow of its own, also across a task that is no step."""

    @task
    def priced(reservation: Any) -> int:
        return int(reservation["total"])

    reserved = order.step("reserve", DO, undo=undo)
    total = priced(reserved)
    order.step("charge", Call("POST", "/charges", json={"amount": total}), undo=undo, after=[])


def task_of(dag: DAG, task_id: str) -> Any:
    return dag.get_task(task_id)


def defined(define: Callable[[Any], None]) -> DAG:
    with DAG("orders", schedule=None) as dag, Saga("order") as order:
        define(order)
    return dag


def below(dag: DAG, task_id: str, *, up: bool = False) -> set[str]:
    """The neighbours of a task, without the group's name."""
    found = task_of(dag, f"order.{task_id}")
    ids = found.upstream_task_ids if up else found.downstream_task_ids
    return {each.removeprefix("order.") for each in ids}


def test_begin_is_the_setup_and_all_that_goes_back_its_teardowns() -> None:
    """So they run however the run ends, in order, once `begin` has run; the journal itself never runs."""
    tasks = defined(sequence).task_dict
    assert {name for name, each in tasks.items() if each.is_setup} == {"order.begin"}
    teardowns = {"order.decide", "order.undo_reserve", "order.undo_charge", "order.verdict"}
    assert {name for name, each in tasks.items() if each.is_teardown} == teardowns
    for name in teardowns - {"order.verdict"}:
        assert "order.begin" in tasks[name].upstream_task_ids, name
        assert not tasks[name].on_failure_fail_dagrun, name
    assert {each.trigger_rule.value for name, each in tasks.items() if name in teardowns} == {"all_done_setup_success"}
    assert isinstance(tasks["order.journal"], EmptyOperator)
    assert tasks["order.journal"].downstream_task_ids == {"order.begin"}


def test_the_verdict_has_no_setup_and_fails_the_run() -> None:
    """With one it would be skipped in a run that is ended while it is queued, which came out green."""
    dag = defined(sequence)
    verdict = task_of(dag, "order.verdict")
    assert verdict.on_failure_fail_dagrun
    assert [each for each in verdict.upstream_list if each.is_setup] == []
    assert below(dag, "verdict", up=True) == {"undo_reserve"}
    assert below(dag, "verdict") == set()


UNDO_ORDERS: list[Any] = [
    (sequence, {"decide": {"undo_charge"}, "undo_charge": {"undo_reserve"}, "undo_reserve": {"verdict"}}),
    (
        side_by_side,
        {
            "decide": {"undo_last"},
            "undo_last": {"undo_left", "undo_right"},
            "undo_left": {"undo_first"},
            "undo_right": {"undo_first"},
            "undo_first": {"verdict"},
        },
    ),
    (
        diamond,
        {
            "decide": {"undo_last", "undo_beside"},
            "undo_last": {"undo_left", "undo_right"},
            "undo_left": {"undo_first"},
            "undo_right": {"undo_first"},
            "undo_first": {"verdict"},
            "undo_beside": {"verdict"},
        },
    ),
    (nothing_in_the_middle, {"decide": {"undo_last"}, "undo_last": {"undo_first"}, "undo_first": {"verdict"}}),
    (by_results, {"decide": {"undo_charge"}, "undo_charge": {"undo_reserve"}, "undo_reserve": {"verdict"}}),
]


@pytest.mark.parametrize(("define", "arrows"), [pytest.param(*row, id=row[0].__name__) for row in UNDO_ORDERS])
def test_undos_follow_the_reversed_graph(define: Callable[[Any], None], arrows: dict[str, set[str]]) -> None:
    """What was done last is undone first, also side by side and across steps that have nothing to undo."""
    dag = defined(define)
    assert {name: below(dag, name) for name in arrows} == arrows


def test_the_decision_waits_for_every_last_step() -> None:
    """Nothing goes back while a step of another branch is still on its way."""
    assert below(defined(diamond), "decide", up=True) == {"begin", "last", "beside"}
    assert below(defined(sequence), "decide", up=True) == {"begin", "notify"}


def test_every_first_step_waits_for_begin() -> None:
    """Without an epoch no key can be made."""
    assert below(defined(diamond), "begin") == {"first", "beside", "decide"} | {
        f"undo_{name}" for name in ("first", "left", "right", "beside", "last")
    }


def test_steps_are_tried_by_policy_and_by_static_delay() -> None:
    """A killed worker asks no policy; what only goes forward or back is tried longer, and pauses longer each time."""
    options = {
        "retries": 2,
        "retry_delay": timedelta(seconds=3),
        "undo_retries": 11,
        "undo_retry_delay": timedelta(seconds=4),
        "forward_retries": 12,
        "max_retry_delay": timedelta(minutes=3),
    }
    with DAG("orders", schedule=None, default_args={"retries": 0}) as dag, Saga("order", **options) as order:
        sequence(order)
    tries = {name.removeprefix("order."): each for name, each in dag.task_dict.items() if name != "order.journal"}
    assert {name: (each.retries, each.retry_delay.total_seconds()) for name, each in tries.items()} == {
        **dict.fromkeys(("reserve", "charge", "ship"), (2, 3.0)),
        "notify": (12, 3.0),
        **dict.fromkeys(("begin", "decide", "undo_charge", "undo_reserve", "verdict"), (11, 4.0)),
    }
    for name, each in tries.items():
        assert isinstance(each.retry_policy, GatewayRetryPolicy), name
        assert each.max_retry_delay == timedelta(minutes=3), name
        patient = name not in {"reserve", "charge", "ship"}
        assert bool(each.retry_exponential_backoff) is patient, name


def test_an_undo_does_not_wait_for_a_run_before() -> None:
    """The DAG may say so of its tasks; an undo that waited for another order's would wait for ever."""
    past = {"depends_on_past": True, "wait_for_downstream": True}
    with DAG("orders", schedule=None, default_args=past) as dag, Saga("order") as order:
        sequence(order)
    waiting = {name.removeprefix("order.") for name, each in dag.task_dict.items() if each.depends_on_past}
    assert waiting & {"begin", "decide", "undo_charge", "undo_reserve", "verdict"} == set()


def test_a_step_takes_the_options_of_its_task() -> None:
    """Pool, retries and what the result is made of are the step's own; its undo has its own."""
    with DAG("orders", schedule=None) as dag, Saga("order", gateway_conn_id="shop") as order:
        order.step(
            "reserve", DO, undo=undo, pool="gateway", retries=7, response_filter="id",
            undo_options={"pool": "undos", "expect": 404}, gateway_conn_id="stock",
        )  # fmt: skip
        order.step("charge", DO, undo=undo)
    step, back = task_of(dag, "order.reserve"), task_of(dag, "order.undo_reserve")
    assert (step.pool, step.retries, step.response_filter, step.gateway_conn_id) == ("gateway", 7, "id", "stock")
    assert (back.pool, back.expect, back.gateway_conn_id) == ("undos", {404}, "stock")
    assert task_of(dag, "order.undo_charge").gateway_conn_id == "shop"


@pytest.mark.parametrize(
    ("saga_says", "step_says", "holds"), [(True, None, True), (True, False, False), (None, None, None)]
)
def test_whether_keys_are_honoured_is_said_for_all_or_for_one(
    saga_says: bool | None, step_says: bool | None, holds: bool | None
) -> None:
    """A step's own word goes before the saga's, and holds for its undo as well."""
    with DAG("orders", schedule=None) as dag, Saga("order", honours_keys=saga_says) as order:
        order.step("reserve", DO, undo=undo, honours_keys=step_says)
    assert task_of(dag, "order.reserve").idempotency_key is holds
    assert task_of(dag, "order.undo_reserve").idempotency_key is holds


@saga(honours_keys=True)
def fulfil(order: Any, wanted: Any, *, note: str = "") -> None:
    reserved = order.step("reserve", lambda wanted: DO, undo=undo, inputs={"wanted": wanted})
    order.step("charge", lambda reserved, note: DO, undo=undo, inputs={"reserved": reserved, "note": note})


@task
def list_orders() -> list[dict[str, Any]]:
    return []


@task
def publish(result: Any) -> None: ...


def everything() -> DAG:
    """Several sagas of a DAG: as a group, by a function, mapped, within a group and between other tasks."""
    with DAG("orders", schedule=None, params={"wanted": Param("one", type="string")}) as dag:
        orders = list_orders()
        single = fulfil(orders)
        mapped = fulfil.override(group_id="each").partial(note="n").expand(wanted=orders)
        single >> mapped
        with TaskGroup("outer"), Saga("inner") as inner:
            sequence(inner)
        publish(inner.verdict)
    return dag


def test_several_sagas_stand_in_one_dag() -> None:
    """Each with a journal and a verdict of its own, wherever it stands."""
    dag = everything()
    assert {name for name in dag.task_dict if name.endswith("verdict")} == {
        "fulfil.verdict", "each.verdict", "outer.inner.verdict",
    }  # fmt: skip
    assert {task_of(dag, f"{group}.begin").wiring.name for group in ("fulfil", "each", "outer.inner")} == {
        "fulfil", "each", "outer.inner",
    }  # fmt: skip
    assert {task_of(dag, f"{group}.begin").wiring.journal_id for group in ("fulfil", "each")} == {
        "fulfil.journal", "each.journal",
    }  # fmt: skip
    assert task_of(dag, "publish").upstream_task_ids == {"outer.inner.verdict"}
    assert "list_orders" in task_of(dag, "fulfil.reserve").upstream_task_ids


def test_a_mapped_saga_has_a_task_that_counts() -> None:
    """Beside the group, behind all verdicts, and the run is as good as it says; without a setup, as a verdict is."""
    dag = everything()
    verdicts = task_of(dag, "each_verdicts")
    assert verdicts.upstream_task_ids == {"each.verdict"}
    assert verdicts.is_teardown
    assert verdicts.on_failure_fail_dagrun
    assert verdicts.sources == ["list_orders"]
    assert task_of(dag, "each.verdict").get_closest_mapped_task_group() is not None


def test_a_mapped_saga_needs_no_prefix() -> None:
    """A task group may leave its name out of its tasks' ids."""
    with DAG("orders", schedule=None) as dag:
        fulfil.override(group_id="each", prefix_group_id=False).expand(wanted=list_orders())
    assert task_of(dag, "each_verdicts").verdict_id == "verdict"
    assert task_of(dag, "each_verdicts").upstream_task_ids == {"verdict"}


def test_a_saga_survives_serialization() -> None:
    """The scheduler sees the DAG as JSON: the same tasks, arrows, teardowns, groups, retries and fields."""
    from airflow.serialization.serialized_objects import DagSerialization

    dag = everything()
    stored = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    DagSerialization.validate_schema(stored)
    back = DagSerialization.from_dict(stored)
    assert set(back.task_dict) == set(dag.task_dict)
    for each in dag.tasks:
        copy = back.get_task(each.task_id)
        assert set(copy.downstream_task_ids) == set(each.downstream_task_ids), each.task_id
        for name in ("is_setup", "is_teardown", "on_failure_fail_dagrun", "retries", "retry_delay", "trigger_rule"):
            assert getattr(copy, name) == getattr(each, name), (each.task_id, name)
        assert tuple(copy.template_fields) == tuple(each.template_fields), each.task_id
        mapped = copy.get_closest_mapped_task_group()
        assert (mapped is not None) == each.task_id.startswith("each."), each.task_id
    # The code behind it is the DAG file's, which a worker reads again.
    assert DagSerialization.to_dict(everything()) == DagSerialization.to_dict(dag)


def test_a_step_may_be_an_operator() -> None:
    """Or the result of a task function; the undo as well. Their own hooks stay."""
    calls: list[str] = []
    with DAG("orders", schedule=None) as dag, Saga("order") as order:
        own = GatewayOperator(
            task_id="reserve", method="POST", path="/a", pre_execute=lambda context: calls.append("x")
        )
        order.step("reserve", own, undo=EmptyOperator(task_id="undo_reserve"))
        order.step("charge", task(task_id="charge")(lambda: 1)(), undo=False)
    assert task_of(dag, "order.undo_reserve").is_teardown
    assert below(dag, "reserve") == {"charge"}
    verdict: Any = order.verdict
    assert verdict.operator is task_of(dag, "order.verdict")
