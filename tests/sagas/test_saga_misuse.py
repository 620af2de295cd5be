"""What is wrong with a saga is said while its DAG is parsed, with the step's name and the cure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, task

from airgate.hooks import Call
from airgate.operators import GatewayOperator
from airgate.sagas import Effect, Saga, saga

DO = Call("POST", "/things", json={"n": 1})
FIND = Call("GET", "/things/by-key/{{ effect.key }}")


def undo(effect: Effect) -> Call:
    return Call("DELETE", "/things/by-key/{key}", path_params={"key": effect.key})


def message_of(define: Callable[[Any], None], dag: dict[str, Any] | None = None, **options: Any) -> str:
    """What is said when these steps are defined, all whitespace as single blanks."""
    wrong = pytest.raises((ValueError, TypeError))
    with DAG("orders", schedule=None, **(dag or {})), wrong as raised, Saga("order", **options) as order:
        define(order)
    assert raised.type in (ValueError, TypeError)
    return " ".join(str(raised.value).split())


@task
def plain() -> None:
    """Do something."""


class FromTrigger(EmptyOperator):
    """Is begun by the triggerer, before its task runs."""

    start_from_trigger = True


@task
def per_item(item: int) -> None:
    """Do something for each."""


def mapped_step(order: Any) -> None:
    order.step("pack", per_item.override(task_id="pack").expand(item=[1, 2]), undo=False)


def circle(order: Any) -> None:
    first = order.step("first", DO, undo=undo)
    second = order.step("second", DO, undo=undo)
    second.operator >> first.operator


def beside_the_pivot(order: Any) -> None:
    order.step("first", DO, undo=undo)
    with order.parallel():
        order.step("ship", DO, pivot=True)
        order.step("charge", DO, undo=undo)


def of_another_saga(order: Any) -> None:
    with Saga("other") as other:
        theirs = other.step("theirs", DO, undo=undo)
    order.step("ours", DO, undo=undo, after=[theirs])


def nested_parallel(order: Any) -> None:
    with order.parallel(), order.parallel():
        order.step("a", DO, undo=undo)


def steps(*names_and_arguments: tuple[str, dict[str, Any]]) -> Callable[[Any], None]:
    def define(order: Any) -> None:
        for name, arguments in names_and_arguments:
            order.step(name, **{"do": DO, **arguments})

    return define


def step(name: str = "a", **arguments: Any) -> Callable[[Any], None]:
    """One step, with an undo where none of these says otherwise."""
    forward = arguments.get("pivot") or arguments.get("retriable")
    return steps((name, arguments if forward else {"undo": undo, **arguments}))


UNDONE = {"undo": undo}
PIVOT = {"pivot": True}

SHAPES: list[Any] = [
    ("no step", steps(), ["saga 'order': a saga needs a step", "saga.step("]),
    ("no undo", steps(("a", {})), ["step 'a' has no undo", "undo=False where it has no effect worth undoing"]),
    ("no undo before the pivot", steps(("a", {}), ("b", PIVOT)), ["step 'a' has no undo"]),
    ("two pivots", steps(("a", PIVOT), ("b", PIVOT)), ["one pivot at most, not a, b"]),
    ("beside the pivot", beside_the_pivot, ["'charge' stands beside the pivot 'ship'", "let one follow the other"]),
    ("behind the pivot", steps(("a", PIVOT), ("b", UNDONE)), ["'b' stands behind the pivot", "retriable=True"]),
    ("retriable without a pivot", steps(("a", UNDONE), ("b", {"retriable": True})), ["'b' is retriable", "an undo"]),
    ("retriable before it", steps(("a", {"retriable": True}), ("b", PIVOT)), ["'a' is retriable", "an undo"]),
    ("retriable with undo", step(retriable=True, undo=undo), ["'a' is retriable", "leave undo out"]),
    ("pivot with undo", step(pivot=True, undo=undo), ["'a' is the pivot", "leave undo out"]),
    ("pivot and retriable", step(pivot=True, retriable=True), ["'a' is the pivot", "leave retriable out"]),
    ("two of a name", steps(("a", UNDONE), ("a", UNDONE)), ["two steps have the name a"]),
    *((f"named {name}", step(name), [f"step {name!r}", "choose another"]) for name in ("journal", "begin", "decide")),
    ("named verdict", step("verdict"), ["step 'verdict'", "choose another"]),
    ("named like an undo", step("undo_a"), ["step 'undo_a'", "choose another"]),
    ("no name", step("no name"), ["step 'no name'", "letters, digits, _ and -"]),
    ("in a circle", circle, ["the steps go round in a circle: first -> second -> first"]),
    ("after nothing", step(after=["b"]), ["step 'a' comes after 'b', which is no step of this saga so far"]),
    ("after a text", step(after="b"), ["step 'a'", "after must be a list", "after=['b']"]),
    ("after another saga", of_another_saga, ["step 'ours' comes after", "no step of this saga so far"]),
    ("parallel in parallel", nested_parallel, ["parallel() within parallel()", "after="]),
]

ARGUMENTS: list[Any] = [
    ("what it does", step(do=7), ["step 'a': do must be a Call, a function, an operator"]),
    ("no call", step(do=Call("POST")), ["step 'a'", "path is missing"]),
    ("a call's own epoch", step(do=Call("POST", "/a", epoch="2")), ["step 'a'", "gives its calls epoch itself"]),
    ("an own key", step(do=Call("POST", "/a", idempotency_key="k")), ["step 'a'", "idempotency_key", "honours_keys"]),
    ("a key as option", step(idempotency_key="k"), ["step 'a'", "idempotency_key", "honours_keys"]),
    ("part of the call", step(json={"n": 2}), ["step 'a': json is part of the call", "Call("]),
    ("an epoch", step(epoch="2"), ["step 'a': epoch", "leave it out"]),
    ("reconcile", step(reconcile=FIND), ["step 'a': reconcile", "lookup="]),
    ("task id", step(task_id="b"), ["step 'a': task_id", "leave it out"]),
    ("unknown option", step(retrys=3), ["step 'a'", "retrys"]),
    ("wrong option", step(response_filter="a ["), ["step 'a'", "response_filter"]),
    ("missing input", step(do=lambda order: DO), ["step 'a': do wants 'order'", "inputs"]),
    ("needless input", step(do=lambda: DO, inputs={"order": 1}), ["step 'a': do has no argument 'order'", "inputs"]),
    ("inputs of a call", step(inputs={"order": 1}), ["step 'a': inputs are for functions"]),
    ("what undoes it", step(undo=7), ["the undo of step 'a' must be a Call, a function, an operator, or False"]),
    ("no call to undo it", step(undo=Call("DELETE")), ["the undo of step 'a'", "path is missing"]),
    ("an undo of nothing", step(undo=lambda: None), ["the undo of step 'a' must take the effect"]),
    ("an undo's inputs", step(undo=lambda effect, order: None), ["the undo of step 'a' wants 'order'", "inputs"]),
    ("options without undo", step(undo=False, undo_options={"pool": "p"}), ["step 'a': undo_options", "there is none"]),
    ("unknown undo option", step(undo_options={"retrys": 3}), ["the undo of step 'a'", "retrys"]),
    ("an undo's call as option", step(undo_options={"path": "/b"}), ["the undo of step 'a': path is part of the call"]),
    ("a tombstone of nothing", step(undo=False, tombstone=True), ["step 'a': tombstone describes an undo"]),
    ("what looks it up", step(lookup=7), ["step 'a': lookup must be a Call or a function"]),
    ("a look-up that writes", step(lookup=DO), ["step 'a': lookup must ask with GET or HEAD, not POST"]),
    ("no call to look it up", step(lookup=Call("GET")), ["step 'a': lookup", "path is missing"]),
    ("a look-up of nothing", step(lookup=lambda: None), ["the lookup of step 'a' must take the effect"]),
    ("nothing to filter", step(lookup_filter="a"), ["step 'a': lookup_filter is for the answer of a lookup"]),
    ("a wrong filter", step(lookup=FIND, lookup_filter="a ["), ["step 'a'", "lookup_filter"]),
    ("a mapped task", mapped_step, ["step 'pack': a mapped task cannot be a step", "map the saga"]),
    ("another task's id", lambda order: order.step("a", plain(), undo=undo), ["step 'a'", "give it task_id='a'"]),
    (
        "an undo of another id",
        lambda order: order.step("a", DO, undo=EmptyOperator(task_id="back")),
        ["the undo of step 'a'", "give it task_id='undo_a'"],
    ),
    (
        "options of a task of its own",
        lambda order: order.step("a", plain.override(task_id="a")(), undo=undo, retries=2),
        ["step 'a' is a task of its own: give retries to the task"],
    ),
    (
        "a teardown",
        lambda order: order.step("a", plain.override(task_id="a")().as_teardown(), undo=undo),
        ["step 'a'", "teardown"],
    ),
    ("a rule of its own", step(pivot=True, trigger_rule="all_done"), ["step 'a': trigger_rule='all_done'", "after="]),
    (
        "an undo's rule",
        step(undo_options={"trigger_rule": "one_failed"}),
        ["the undo of step 'a': trigger_rule='one_failed'", "leave it out"],
    ),
    (
        "an own task's rule",
        lambda order: order.step("a", plain.override(task_id="a", trigger_rule="none_failed")(), undo=undo),
        ["step 'a': trigger_rule='none_failed'", "leave it out"],
    ),
    (
        "an own undo's rule",
        lambda order: order.step("a", DO, undo=EmptyOperator(task_id="undo_a", trigger_rule="all_done")),
        ["the undo of step 'a': trigger_rule='all_done'", "leave it out"],
    ),
    (
        "an undo that waits",
        step(undo_options={"depends_on_past": True}),
        ["the undo of step 'a': depends_on_past", "maybe for ever"],
    ),
    (
        "an own undo that waits",
        lambda order: order.step("a", DO, undo=EmptyOperator(task_id="undo_a", wait_for_downstream=True)),
        ["the undo of step 'a': depends_on_past", "give its task depends_on_past=False"],
    ),
    (
        "a task that a triggerer begins",
        lambda order: order.step("a", FromTrigger(task_id="a"), undo=undo),
        ["step 'a': start_from_trigger", "start_from_trigger=False"],
    ),
    (
        "a key's own operator",
        lambda order: order.step("a", GatewayOperator(task_id="a", path="/a", epoch="2"), undo=undo),
        ["step 'a'", "epoch", "leave it out"],
    ),
]


def table(rows: list[Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("define", "said"), [pytest.param(*row[1:], id=row[0]) for row in rows])


@table(SHAPES)
def test_steps_that_make_no_saga_are_refused(define: Callable[[Any], None], said: list[str]) -> None:
    """Whatever nobody could undo or carry to its end is an error before it runs."""
    message = message_of(define)
    assert not [text for text in said if text not in message], message


@table(ARGUMENTS)
def test_arguments_that_cannot_work_are_refused(define: Callable[[Any], None], said: list[str]) -> None:
    """The step stands in the message, and what to write instead."""
    message = message_of(define)
    assert not [text for text in said if text not in message], message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retries": -1}, "retries must be 0 or more, not -1"),
        ({"retries": "3"}, "retries must be a whole number, not '3'"),
        ({"undo_retries": True}, "undo_retries must be a whole number, not True"),
        ({"forward_retries": -1}, "forward_retries must be 0 or more"),
        ({"deadline": 3600}, "deadline must be a timedelta, not 3600"),
        ({"deadline": timedelta(0)}, "deadline must be longer than nothing"),
        ({"answer_within": timedelta(-1)}, "answer_within must be longer than nothing"),
        ({"settles_in": timedelta(seconds=-1)}, "settles_in must not be negative"),
        ({"settles_in": 15.0}, "settles_in must be a timedelta, not 15.0"),
        ({"retry_delay": None}, "retry_delay must be a timedelta, not None"),
        ({"max_retry_delay": timedelta(-1)}, "max_retry_delay must not be negative"),
        ({"notifiers": print}, "notifiers must be a list"),
        ({"honours_keys": "yes"}, "honours_keys must be True, False or None, not 'yes'"),
        ({"honour_keys": True}, "unknown: honour_keys; a saga has"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], said: str) -> None:
    """By name, the same for a group and for a decorated function."""
    assert said in message_of(step(), **options)
    with pytest.raises((ValueError, TypeError)) as raised:
        saga(**options)(lambda order: None)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("dag", "said"),
    [
        ({"dagrun_timeout": timedelta(hours=1)}, "dagrun_timeout"),
        ({"fail_fast": True}, "fail_fast"),
    ],
)
def test_a_dag_that_would_skip_the_undos_is_refused(dag: dict[str, Any], said: str) -> None:
    """Airflow ends such a run without its teardowns."""
    message = message_of(step(), dag)
    assert "saga 'order'" in message
    assert f"the DAG has {'a ' if said == 'dagrun_timeout' else ''}{said}" in message
    assert "take it away" in message


def test_a_rule_of_all_tasks_of_a_dag_is_refused() -> None:
    """It would hold for the steps as well."""
    message = message_of(step(), {"default_args": {"trigger_rule": "all_done"}})
    assert "step 'a': trigger_rule='all_done'" in message
    assert "default_args" in message


def test_a_step_follows_those_before_it_across_tasks_with_rules_of_their_own() -> None:
    """The task between runs whatever became of the first step; the second one still does not."""
    with DAG("orders", schedule=None) as dag, Saga("order") as order:
        first = order.step("first", DO, undo=undo)
        between = EmptyOperator(task_id="between", trigger_rule="all_done")
        second = order.step("second", DO, undo=undo, after=[])
        first.operator >> between >> second.operator
    assert "order.first" in dag.task_dict["order.second"].upstream_task_ids


def test_steps_are_defined_within_the_saga() -> None:
    """Not before, where there is no group, and not after, when its undos are drawn."""
    with DAG("orders", schedule=None):
        order = Saga("order")
        with pytest.raises(ValueError, match=r"saga 'order': define its steps in `with Saga"):
            order.step("a", DO, undo=undo)
        with order:
            order.step("a", DO, undo=undo)
        with pytest.raises(ValueError, match=r"saga 'order'.*step 'b'.*closed"):
            order.step("b", DO, undo=undo)


def test_a_decorated_function_takes_the_saga() -> None:
    """Without an argument it could not define a step."""
    with pytest.raises(ValueError, match="'nothing' takes the saga as its first argument"):

        @saga
        def nothing() -> None: ...


def test_what_goes_wrong_in_the_definition_is_what_is_raised() -> None:
    """An error within the group is not hidden behind one about the unfinished saga."""
    with DAG("orders", schedule=None), pytest.raises(ZeroDivisionError), Saga("order"):
        raise ZeroDivisionError
