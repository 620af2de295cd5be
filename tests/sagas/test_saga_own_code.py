"""Steps of code of one's own: what a second try may do, and that a try which goes on after a wait is still the same."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any

import pytest
import requests
from airflow.sdk import BaseOperator, BaseSensorOperator, task

from airgate.hooks import Call, GatewayHook
from airgate.operators import GatewayJobOperator, GatewayOperator
from airgate.sagas import current_effect
from airgate.triggers.wait import WaitTrigger
from tests.job_farm import FarmJob, farm
from tests.sagas.charges import DECLINED, FOUND, NOTHING, REFUND, charge, order_dag
from tests.sagas.conftest import Payments, connect
from tests.sagas.saga_run import SagaRun
from tests.scripted_server import Answer, ScriptedServer

RUN = "{{ run_id }}"
BY_ORDER: dict[str, Any] = {
    "lookup": Call("GET", "/charges", params={"order": RUN}),
    "lookup_filter": "charges[0]",
}
TRIED: dict[str, Any] = {"retries": 2, "retry_delay": NOTHING, "execution_timeout": timedelta(seconds=1)}


def posting(payments: Payments, tries: list[str], *, sends: bool = True) -> Any:
    """A task function that no gateway watches: its first try fails, after the effect where it sends."""

    @task(task_id="code", **TRIED)
    def code(order: str) -> dict[str, Any]:
        tries.append(order)
        if len(tries) == 1 and not sends:
            raise ValueError("before the effect")
        body = {"order": order, "amount": 4, "currency": "EUR", "card": "tok_visa"}
        with requests.Session() as session:
            session.trust_env = False
            made = session.post(f"{payments.service.url}/charges", json=body, timeout=10).json()
        if len(tries) == 1:
            raise ValueError("after the effect")
        return dict(made)

    return code(RUN)


@pytest.mark.parametrize("saga_says", [True, False])
def test_code_without_keys_is_looked_up_before_it_runs_again(payments: Payments, saga_says: bool) -> None:
    """The effect is there, so the step is done with what was found, and its code does not run a second time."""
    payments.misbehave(honours_keys=False)
    tries: list[str] = []

    def define(order: Any) -> None:
        own = {} if not saga_says else {"honours_keys": False}
        made = order.step("code", posting(payments, tries), undo=REFUND, **BY_ORDER, **own)
        order.step("last", charge(amount=made["amount"]), undo=False, honours_keys=True)

    run = SagaRun.asked_for(order_dag(define, honours_keys=saga_says)).go()
    assert run.view()["state"] == "completed"
    assert len(tries) == 1
    assert payments.effects == 2
    assert run.xcom("order.code")["order"] == run.run_id


def test_code_without_keys_runs_again_where_nothing_is_found(payments: Payments) -> None:
    """The service was asked once nothing could arrive any more."""
    tries: list[str] = []

    def define(order: Any) -> None:
        order.step("code", posting(payments, tries, sends=False), undo=REFUND, **BY_ORDER)

    run = SagaRun.asked_for(order_dag(define, honours_keys=False)).go()
    assert run.view()["state"] == "completed"
    assert (len(tries), payments.effects) == (2, 1)


def test_a_try_that_could_not_be_started_at_first_is_not_the_one_before(payments: Payments) -> None:
    """Airflow sends a try back whose DAG is missing on its worker, as it does a sensor between two looks."""
    payments.misbehave(honours_keys=False)
    tries: list[str] = []
    run = SagaRun.asked_for(
        order_dag(
            lambda order: order.step("code", posting(payments, tries), undo=REFUND, **BY_ORDER), honours_keys=False
        )
    )
    run.go(lambda run: sent_back(run, "order.code") if len(tries) == 1 else None)
    assert run.view()["state"] == "completed"
    assert (len(tries), payments.effects) == (1, 1)


def sent_back(run: SagaRun, task_id: str) -> None:
    """Note that the try which comes next was started before, and sent back."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskreschedule import TaskReschedule
    from airflow.sdk import timezone
    from airflow.utils.session import create_session
    from sqlalchemy import select

    now = timezone.utcnow()
    with create_session() as session:
        ti = session.scalar(
            select(TaskInstance).where(TaskInstance.run_id == run.run_id, TaskInstance.task_id == task_id)
        )
        if ti.state == "up_for_retry":
            session.add(TaskReschedule(ti.id, now, now, now))


def test_a_write_with_a_name_goes_again_where_nothing_is_found(
    payments: Payments, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first try remembers of it is over, as the service was asked."""
    server.answers = [Answer(hang_up=True)]
    silent = {"conn_type": "gateway", "host": f"http://127.0.0.1:{server.port}", "extra": {"attempts": 1}}
    monkeypatch.setenv("AIRFLOW_CONN_SILENT", json.dumps(silent))
    tries: list[str] = []

    @task(task_id="code", **TRIED)
    def code(order: str) -> Any:
        tries.append(order)
        # The first one's request leaves, and nothing comes of it.
        conn_id = "gateway_default" if len(tries) > 1 else "silent"
        with GatewayHook(conn_id) as hook:
            return hook.call("POST", "/charges", json={**CHARGED, "order": order}, name="fee").json()

    def define(order: Any) -> None:
        order.step("code", code(RUN), undo=REFUND, **BY_ORDER)

    run = SagaRun.asked_for(order_dag(define, honours_keys=False)).go()
    assert run.view()["state"] == "completed"
    assert (len(tries), payments.effects) == (2, 1)


@pytest.mark.parametrize("own", ["function", "operator"])
def test_an_undo_of_own_code_whose_answer_is_lost_is_sent_again(
    payments: Payments, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    """Although nobody honours its key: undoing twice does no harm."""
    connect(monkeypatch, payments.service.url, idempotency="sent")
    patient: dict[str, Any] = {"retries": 2, "retry_delay": NOTHING}

    @task(task_id="undo_charge", **patient)
    def refund() -> None:
        with GatewayHook() as hook:
            hook.call("POST", "/charges/{id}/refund", path_params={"id": current_effect().result["id"]})

    def define(order: Any) -> None:
        path = "/charges/{{ task_instance.xcom_pull(task_ids='order.charge')['id'] }}/refund"
        if own == "function":
            undo = refund()
        else:
            undo = GatewayOperator(task_id="undo_charge", method="POST", path=path, **patient)
        order.step("charge", charge(), undo=undo, lookup=FOUND["lookup"])
        order.step("decline", DECLINED, undo=False)

    run = SagaRun.asked_for(order_dag(define))
    lost: list[str] = []

    def lose_the_answer(run: SagaRun) -> None:
        if run.states()["undo_charge"] in {"up_for_retry", "success"}:
            payments.behave()
        elif run.states()["decide"] == "success" and not lost:
            lost.append("it")
            payments.misbehave(failed_after=1)

    run.go(lose_the_answer)
    assert lost
    assert run.tries("undo_charge") > 1
    assert run.view()["state"] == "compensated", run.view()
    assert payments.net == 0


@pytest.mark.parametrize("connection", ["sent", "honoured"])
def test_without_a_word_the_connection_says_whether_code_runs_again(
    payments: Payments, monkeypatch: pytest.MonkeyPatch, connection: str
) -> None:
    """As for calls. Where keys are not relied on and nobody can be asked, it fails at once and a person is needed."""
    connect(monkeypatch, payments.service.url, idempotency=connection)
    tries: list[str] = []

    @task(task_id="code", **TRIED)
    def code() -> None:
        tries.append("x")
        if len(tries) == 1:
            raise ValueError("whether anything has happened nobody knows")

    run = SagaRun.asked_for(order_dag(lambda order: order.step("code", code(), undo=REFUND), honours_keys=None)).go()
    if connection == "honoured":
        assert (run.view()["state"], len(tries)) == ("completed", 2)
    else:
        assert (run.view()["state"], len(tries), run.tries("code")) == ("needs-attention", 1, 2)
        assert run.steps() == {"code": "in doubt"}


def test_code_that_never_calls_a_gateway_needs_no_connection(
    payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No connection says anything of keys then."""
    monkeypatch.delenv("AIRFLOW_CONN_GATEWAY_DEFAULT")
    plain = task(task_id="code")(lambda: 7)

    run = SagaRun.asked_for(order_dag(lambda order: order.step("code", plain(), undo=False), honours_keys=None)).go()
    assert (run.view()["state"], run.xcom("order.code")) == ("completed", 7)


@pytest.mark.parametrize("honours_keys", [True, False])
def test_an_operator_of_the_gateway_takes_the_word_on_keys(payments: Payments, honours_keys: bool) -> None:
    """It fails once after the effect: its request goes again under its key, or is looked up and left."""
    payments.misbehave(honours_keys=honours_keys)
    seen: list[Any] = []

    def pick(response: Any) -> Any:
        seen.append(response)
        if len(seen) == 1:
            raise KeyError("after the effect")
        return response.json()

    def define(order: Any) -> None:
        body = charge().json
        do = GatewayOperator(task_id="code", method="POST", path="/charges", json=body, response_filter=pick, **TRIED)
        order.step("code", do, undo=REFUND, **BY_ORDER)

    run = SagaRun.asked_for(order_dag(define, honours_keys=honours_keys)).go()
    assert run.view()["state"] == "completed"
    assert payments.told() == (["effect", "replay"] if honours_keys else ["effect"])
    assert run.xcom("order.code")["order"] == run.run_id


class Job(BaseOperator):
    """Charges, and waits for the end of it in the triggerer."""

    fails = False

    def execute(self, context: Any) -> None:
        with GatewayHook() as hook:
            hook.call("POST", "/charges", json={**CHARGED, "order": context["run_id"]}, idempotency_key=True)
        self.defer(trigger=WaitTrigger(time.time() + 4), method_name="go_on")

    def go_on(self, context: Any, event: Any = None) -> dict[str, bool]:
        if self.fails:
            raise ValueError("at the end")
        return {"shipped": True}


CHARGED = {"amount": 4, "currency": "EUR", "card": "tok_visa"}


@pytest.mark.parametrize("honours_keys", [True, False])
def test_a_try_that_goes_on_after_a_wait_is_not_begun_again(payments: Payments, honours_keys: bool) -> None:
    """The deadline passes while it waits, which is for what has not begun; and it counts as sent once."""

    def define(order: Any) -> None:
        order.step("first", charge(), **FOUND, honours_keys=True)
        order.step("ship", Job(task_id="ship", retries=1, retry_delay=NOTHING), pivot=True, lookup=FOUND["lookup"])
        order.step("notify", charge(), retriable=True)

    run = SagaRun.asked_for(order_dag(define, honours_keys=honours_keys, deadline=timedelta(seconds=30)))
    late: list[float] = []

    def deadline_passes(run: SagaRun) -> None:
        """The journal's own entry is moved, as no test can know how long the first step takes."""
        if run.states()["first"] == "success" and not late:
            late.append(time.time() + 3)
            move_deadline(run, late[0])

    run.go(deadline_passes)
    assert run.view()["state"] == "completed", run.view()
    assert run.xcom("order.journal", "1.ship.again") is None
    assert run.step("ship")["done_at"] > late[0]
    assert payments.effects == 3


def move_deadline(run: SagaRun, until: float) -> None:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    begun = {**run.xcom("order.journal", "begun"), "deadline": until}
    with create_session() as session:
        row = session.scalar(
            select(XComModel).where(
                XComModel.key == "begun", XComModel.run_id == run.run_id, XComModel.task_id == "order.journal"
            )
        )
        row.value = json.dumps(begun) if isinstance(row.value, str) else begun


def test_a_try_that_fails_after_a_wait_is_settled_once(payments: Payments) -> None:
    """Nothing says that it was sent twice, so it is looked up as soon as nothing of it can arrive."""

    def define(order: Any) -> None:
        job = Job(task_id="ship", retries=0, execution_timeout=timedelta(seconds=1))
        job.fails = True
        order.step("ship", job, **FOUND)

    run = SagaRun.asked_for(order_dag(define)).go()
    assert run.view()["state"] == "compensated"
    assert run.steps() == {"ship": "undone"}
    assert run.xcom("order.journal", "1.ship.lost")["of"] == run.xcom("order.journal", "1.ship.sent")["at"]
    assert payments.told() == ["effect", "undo"]


class Arrived(BaseSensorOperator):
    """Looks three times, and gives its worker back between."""

    looks = 0

    def poke(self, context: Any) -> bool:
        type(self).looks += 1
        return self.looks >= 3


def test_a_sensor_between_two_looks_is_the_same_try(payments: Payments) -> None:
    """Without keys and without a look-up, it goes on with what it has begun."""
    Arrived.looks = 0

    def define(order: Any) -> None:
        sensor = Arrived(task_id="arrived", mode="reschedule", poke_interval=0.1, retries=0)
        order.step("arrived", sensor, undo=False)
        order.step("decline", DECLINED, undo=False)

    run = SagaRun.asked_for(order_dag(define, honours_keys=False)).go()
    assert run.view()["state"] == "compensated"
    assert run.step("arrived")["done_at"] is not None
    assert Arrived.looks == 3


def test_a_job_is_a_step(airflow_database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is submitted once, waited for in the triggerer, and its result is the step's."""
    with farm() as known:
        connect(monkeypatch, known.address)

        def define(order: Any) -> None:
            job = GatewayJobOperator(task_id="render", protocol=FarmJob({"name": "render"}), poll_interval=0.2)
            order.step("render", job, undo=False)

        run = SagaRun.asked_for(order_dag(define, honours_keys=False)).go()
        assert run.view()["state"] == "completed", run.view()
        assert len(known.jobs) == 1
    assert run.xcom("order.journal", "1.render.again") is None
