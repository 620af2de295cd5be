"""What ``airflow gateway saga`` says of real runs, of their database and a real service."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, task

from airgate.policy.redaction import MASK
from airgate.sagas import Saga, saga
from tests.cli.conftest import Said
from tests.sagas.charges import CANCELLED, DECLINED, FOUND, PROMPT, REFUND, charge, order_dag
from tests.sagas.conftest import (  # noqa: F401, as fixtures
    Payments,
    airflow_database,
    connect,
    payments,
    payments_process,
)
from tests.sagas.saga_run import SagaRun
from tests.services.conftest import Service

Gateway = Callable[..., Said]

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


pytestmark = pytest.mark.usefixtures("payments")


def fulfilled(order: Any) -> None:
    order.step("charge", charge(), **FOUND)
    order.step("ship", charge(), lookup=FOUND["lookup"], pivot=True)
    order.step("notify", charge(), retriable=True)


def declined(order: Any) -> None:
    order.step("first", charge(), **FOUND)
    order.step("second", charge(), **CANCELLED)
    order.step("third", DECLINED, undo=False)


def doubted(order: Any) -> None:
    order.step("charge", charge(), retries=0, undo=REFUND)


def ran(define: Callable[[Any], None], run_id: str, **options: Any) -> SagaRun:
    return SagaRun.asked_for(order_dag(define, **options), run_id).go()


def shown(said: Said) -> Any:
    assert (said.code, said.err) == (0, "")
    return json.loads(said.out)


def listed(gateway: Gateway, *arguments: str) -> list[tuple[str, str]]:
    """Runs and states."""
    said = gateway("saga", "list", "-o", "json", *arguments)
    assert said.code == 0, said.err
    return [(row["run"], row["state"]) for row in json.loads(said.out)]


def lines(said: Said) -> list[list[str]]:
    """A table's rows of cells, the head among them; no line about the saga is among them."""
    return [[cell.strip() for cell in line.split("|")] for line in said.out.splitlines() if line.count("|") > 3]


@dataclass(frozen=True)
class Three:
    """One saga of each end, of which the last one ended last; the only runs there are when they are made."""

    good: SagaRun
    refused: SagaRun
    doubtful: SagaRun
    keys: list[str]
    """Of the effects that the refused one had at the service, in order."""


@pytest.fixture(scope="module")
def three(payments_process: Service, airflow_database: None) -> Three:  # noqa: F811, as fixtures are asked for by name
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(DagRun))
    with behind_the_connection(payments_process):
        good = ran(fulfilled, "good")
        payments_process.reset()
        refused = ran(declined, "refused")
        keys = Payments(payments_process).keys()
        payments_process.switch(failed_after=1)
        doubtful = ran(doubted, "doubtful")
        payments_process.switch(preset="none")
    return Three(good, refused, doubtful, keys)


@contextmanager
def behind_the_connection(service: Service) -> Iterator[None]:
    """For runs that several tests look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__CORE__DAGS_FOLDER", os.environ["AIRFLOW_HOME"])
        connect(patch, service.url)
        service.switch(preset="none")
        yield


# -- list: these come first, as they know of all runs that there are ---------------------------------------------------


def test_sagas_are_listed_the_newest_first(gateway: Gateway, three: Three) -> None:
    """One line an order, with how it ended, why, and when in this machine's zone."""
    said = gateway("saga", "list")
    assert (said.code, said.err) == (0, "")
    head, *rows = lines(said)
    assert head == ["dag", "run", "saga", "map_index", "state", "why", "ended"]
    assert [row[:5] for row in rows] == [
        ["orders_doubted", "doubtful", "order", "", "needs-attention"],
        ["orders_declined", "refused", "order", "", "compensated"],
        ["orders_fulfilled", "good", "order", "", "completed"],
    ]
    assert rows[0][5] == "not undone: charge (in doubt)"
    assert rows[1][5].startswith("third is not done: it was refused: POST ")
    assert rows[1][5].endswith("…")
    assert "402" in json.loads(gateway("saga", "list", "-o", "json").out)[1]["why"]
    assert rows[2][5] == ""
    ended = [datetime.fromisoformat(row[6]) for row in rows]
    assert ended == sorted(ended, reverse=True)
    assert ended[0].utcoffset() == datetime.now().astimezone().utcoffset()
    assert datetime.now(UTC) - ended[0] < timedelta(minutes=2)


def test_a_list_can_be_narrowed(gateway: Gateway, three: Three) -> None:
    """By DAG, state, time and number; what is left out is told."""
    assert listed(gateway, "--dag-id", "orders_declined") == [("refused", "compensated")]
    assert listed(gateway, "--state", "completed") == [("good", "completed")]
    assert listed(gateway, "--state", "under-way") == []
    assert len(listed(gateway, "--since", "1h")) == 3
    in_an_hour = datetime.now().astimezone() + timedelta(hours=1)
    for since in (in_an_hour.isoformat(), in_an_hour.replace(tzinfo=None).isoformat()):
        assert listed(gateway, "--since", since) == []
    said = gateway("saga", "list", "--limit", "2", "-o", "json")
    assert (len(json.loads(said.out)), said.err) == (2, "the newest 2; --limit 0 shows all\n")
    assert len(listed(gateway, "--limit", "3")) == len(listed(gateway, "--limit", "0")) == 3


def test_json_tells_the_time_in_utc(gateway: Gateway, three: Three) -> None:
    """And numbers are numbers."""
    [row] = shown(gateway("saga", "list", "--state", "completed", "-o", "json"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row.pop("ended_at"))
    assert row == {
        "dag": "orders_fulfilled",
        "run": "good",
        "saga": "order",
        "map_index": -1,
        "state": "completed",
        "why": "",
    }


def test_every_output_says_the_same(gateway: Gateway, three: Three) -> None:
    """YAML as JSON; plain without lines between, for other tools."""
    from airflow.utils import yaml

    outputs = {name: gateway("saga", "list", "-o", name).out for name in ("json", "yaml", "plain")}
    assert yaml.safe_load(outputs["yaml"]) == json.loads(outputs["json"])
    head, *rows = outputs["plain"].splitlines()
    assert head.split() == ["dag", "run", "saga", "map_index", "state", "why", "ended"]
    assert [row.split()[1] for row in rows] == ["doubtful", "refused", "good"]


def test_nothing_is_listed_where_there_is_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty list is still JSON, and no failure."""
    from airflow.models.base import Base

    Base.metadata.create_all(database(monkeypatch))
    said = gateway("saga", "list", "-o", "json")
    assert (said.code, json.loads(said.out), said.err) == (0, [], "there are no sagas yet\n")
    said = gateway("saga", "list", "--state", "compensated")
    assert (said.code, said.out, said.err) == (0, "", "no saga is like that\n")


def database(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a database that has not even tables in the place of Airflow's; gives its engine."""
    from airflow import settings
    from sqlalchemy import create_engine
    from sqlalchemy.orm import scoped_session, sessionmaker
    from sqlalchemy.pool import StaticPool

    empty = create_engine("sqlite://", poolclass=StaticPool)
    monkeypatch.setattr(settings, "Session", scoped_session(sessionmaker(bind=empty)))
    return empty


# -- show ------------------------------------------------------------------------------------------------------------


def test_a_saga_is_shown_step_by_step(gateway: Gateway, three: Three) -> None:
    """States, keys and times as its verdict has them."""
    said = gateway("saga", "show", "orders_declined", "refused")
    assert (said.code, said.err) == (0, "")
    assert "orders_declined  refused  order: compensated\nwhy: third is not done: it was refused:" in said.out
    assert re.search(r"^epoch 1, began \S+ [\d:]+[+-]\d\d:\d\d, ended \S+ [\d:]+[+-]\d\d:\d\d$", said.out, re.MULTILINE)
    head, *rows = lines(said)
    assert head == ["step", "state", "sent", "done", "undone", "key", "why"]
    assert [row[:2] for row in rows] == [["first", "undone"], ["second", "undone"], ["third", "refused"]]
    assert [row[5] for row in rows[:2]] == three.keys
    assert [bool(re.fullmatch(r"\d\d:\d\d:\d\d", cell)) for cell in rows[0][2:5]] == [True, True, True]
    assert [bool(cell) for cell in rows[2][2:5]] == [True, False, False]
    assert rows[2][5] == three.refused.step("third")["key"]
    assert "402" in rows[2][6]


def test_json_has_all_that_the_verdict_has(gateway: Gateway, three: Three) -> None:
    """With times in UTC instead of numbers."""
    found = shown(gateway("saga", "show", "orders_fulfilled", "good", "-o", "json"))
    assert (found["dag"], found["run"], found["saga"], found["map_index"]) == ("orders_fulfilled", "good", "order", -1)
    view = three.good.view()
    for name in ("state", "why", "epoch"):
        assert found[name] == view[name]
    assert [step["name"] for step in found["steps"]] == ["charge", "ship", "notify"]
    for mine, theirs in zip(found["steps"], view["steps"], strict=True):
        assert mine["key"] == theirs["key"]
        assert mine["pivot"] is theirs["pivot"]
        assert mine["undone_at"] is None
        assert datetime.fromisoformat(mine["sent_at"]).timestamp() == pytest.approx(theirs["sent_at"], abs=0.001)
        assert mine["sent_at"].endswith("Z")


def test_the_pivot_is_marked(gateway: Gateway, three: Three) -> None:
    """Behind it nothing is undone."""
    _, *rows = lines(gateway("saga", "show", "orders_fulfilled", "good"))
    assert [row[0] for row in rows] == ["charge", "ship (pivot)", "notify"]


def test_plain_output_is_the_steps_alone(gateway: Gateway, three: Three) -> None:
    """For other tools, with whole times; what is said of the saga goes to standard error."""
    said = gateway("saga", "show", "orders_fulfilled", "good", "-o", "plain")
    head, *rows = said.out.splitlines()
    assert head.split() == ["step", "state", "sent", "done", "undone", "key", "why"]
    assert len(rows) == 3
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d", rows[0])
    assert "order: completed" in said.err


# -- under way -------------------------------------------------------------------------------------------------------


def test_a_saga_that_waits_for_a_person_is_under_way(gateway: Gateway, payments: Payments) -> None:  # noqa: F811
    """Its journal tells what was sent; the key is the one that the service got."""
    payments.misbehave(failed_after=1)

    def asking(order: Any) -> None:
        doubted(order)

    asked(asking, "waiting")
    assert listed(gateway, "--dag-id", "orders_asking") == [("waiting", "under-way")]
    [_, row] = lines(gateway("saga", "list", "--dag-id", "orders_asking"))
    assert row[4:] == ["under-way", "undo_charge waits for a person", ""]
    found = shown(gateway("saga", "show", "orders_asking", "waiting", "-o", "json"))
    assert (found["state"], found["epoch"], found["ended_at"]) == ("under-way", 1, None)
    assert found["why"].startswith("charge is not done: ")
    assert found["why"].endswith("; undo_charge waits for a person")
    [step] = found["steps"]
    assert (step["name"], step["state"], step["key"]) == ("charge", "in doubt", payments.keys()[0])
    assert step["sent_at"]
    assert step["done_at"] is step["undone_at"] is None


class Stopped(Exception):
    """A run that nobody goes on with."""


def asked(define: Callable[[Any], None], run_id: str) -> None:
    """A run until it asks a person."""

    def stop(run: SagaRun) -> None:
        if "awaiting_input" in run.states().values():
            raise Stopped

    with pytest.raises(Stopped):
        SagaRun.asked_for(order_dag(define, answer_within=timedelta(minutes=10)), run_id).go(stop)


@pytest.mark.parametrize(
    ("before", "states"),
    [
        ("begin", {"first": "not sent", "second": "not sent", "third": "not sent"}),
        ("second", {"first": "done", "second": "not sent", "third": "not sent"}),
        ("undo_second", {"first": "done", "second": "done", "third": "refused"}),
        ("undo_first", {"first": "done", "second": "undone", "third": "refused"}),
        ("verdict", {"first": "undone", "second": "undone", "third": "refused"}),
    ],
)
def test_a_saga_under_way_shows_how_far_it_is(gateway: Gateway, before: str, states: dict[str, str]) -> None:
    """In the order of the steps, also of those not begun; where no step is at fault, no reason is made up."""

    def define(order: Any) -> None:
        order.step("first", charge(), **FOUND)
        order.step("second", charge(), **CANCELLED)
        order.step("third", DECLINED, **FOUND)

    def stop(run: SagaRun) -> None:
        done = {name for name, state in run.states().items() if state in {"success", "failed", "skipped"}}
        ready = {
            "begin": set(),
            "second": {"first"},
            "undo_second": {"undo_third"},
            "undo_first": {"undo_second"},
            "verdict": {"undo_first"},
        }
        if ready[before] <= done:
            raise Stopped

    run = SagaRun.asked_for(order_dag(define), f"before_{before}")
    with pytest.raises(Stopped):
        run.go(stop)
    found = shown(gateway("saga", "show", "orders_define", run.run_id, "-o", "json"))
    assert found["state"] == "under-way"
    assert {step["name"]: step["state"] for step in found["steps"]} == states
    assert list(states) == [step["name"] for step in found["steps"]]
    assert (found["began_at"] is None) is (before == "begin")
    assert ("third is not done" in found["why"]) is ("undo" in before or before == "verdict")


def test_a_saga_that_is_driven_again_is_under_way_again(gateway: Gateway) -> None:
    """The verdict of before is not taken for the one to come; a new epoch shows as such."""

    def repeated(order: Any) -> None:
        order.step("decline", DECLINED, undo=False)

    run = ran(repeated, "again")
    run.clear("begin")
    assert listed(gateway, "--dag-id", "orders_repeated") == [("again", "under-way")]
    run.go()
    found = shown(gateway("saga", "show", "orders_repeated", "again", "-o", "json"))
    assert (found["state"], found["epoch"]) == ("compensated", 2)


def test_a_verdict_that_failed_before_it_said_anything_needs_attention(gateway: Gateway) -> None:
    """No word is no good word."""

    def muted(order: Any) -> None:
        declined(order)

    dag = order_dag(muted, undo_retries=0)
    run = SagaRun.asked_for(dag, "mute")

    def crash(*arguments: object) -> None:
        raise MemoryError("no memory")

    verdict: Any = dag.get_task("order.verdict")
    verdict.execute = crash
    run.go()
    [row] = shown(gateway("saga", "list", "--dag-id", "orders_muted", "-o", "json"))
    assert (row["state"], row["run"]) == ("needs-attention", "mute")
    assert row["why"] == "the run is over without a verdict: see the log of its task order.verdict"
    assert (
        listed(gateway, "--dag-id", "orders_muted", "--since", (datetime.now(UTC) + timedelta(hours=1)).isoformat())
        == []
    )
    found = shown(gateway("saga", "show", "orders_muted", "mute", "-o", "json"))
    assert (found["state"], [step["state"] for step in found["steps"]]) == (
        "needs-attention",
        ["undone", "undone", "refused"],
    )


def test_steps_that_are_tasks_of_another_kind_are_shown(gateway: Gateway) -> None:
    """By their undo, or once they were sent; other tasks of the group are no steps."""

    @task
    def pack() -> str:
        return "packed"

    @task
    def undo_pack() -> None: ...

    @task
    def look() -> None: ...

    with DAG("orders_packed", schedule=None) as dag, Saga("order", **PROMPT) as order:
        packed = order.step("pack", pack(), undo=undo_pack())
        looked = look()
        packed >> looked
        order.step("decline", DECLINED, undo=False)
        looked >> order.children["order.decline"]
    run = SagaRun.asked_for(dag, "packed")

    def stop(run: SagaRun) -> None:
        if run.states()["look"] == "success":
            raise Stopped

    with pytest.raises(Stopped):
        run.go(stop)
    found = shown(gateway("saga", "show", "orders_packed", "packed", "-o", "json"))
    assert [(step["name"], step["state"]) for step in found["steps"]] == [("pack", "done"), ("decline", "not sent")]


# -- several in a run ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def batch(payments_process: Service, airflow_database: None) -> SagaRun:  # noqa: F811
    """A mapped saga of three orders beside a single one, all of which run."""

    @task
    def cards() -> list[str]:
        return ["tok_visa", "tok_declined", "tok_visa"]

    @saga(**PROMPT)
    def pay(order: Any, card: str) -> None:
        order.step("charge", charge, inputs={"card": card, "order": "{{ run_id }}"}, **FOUND)

    with DAG("orders_batch", schedule=None) as dag:
        pay.expand(card=cards())
        with Saga("alone", **PROMPT) as alone:
            alone.step("charge", charge(), **FOUND)
    with behind_the_connection(payments_process):
        return SagaRun.asked_for(dag, "batch").go()


def test_each_order_of_a_mapped_saga_has_its_line(gateway: Gateway, batch: SagaRun) -> None:
    """And is shown by its map index, with a key of its own."""
    rows = shown(gateway("saga", "list", "--dag-id", "orders_batch", "-o", "json"))
    assert {(row["saga"], row["map_index"]): row["state"] for row in rows} == {
        ("pay", 0): "completed",
        ("pay", 1): "compensated",
        ("pay", 2): "completed",
        ("alone", -1): "completed",
    }
    keys = set()
    for index, state in enumerate(("completed", "compensated", "completed")):
        found = shown(gateway("saga", "show", "orders_batch", batch.run_id, *choice("pay", index), "-o", "json"))
        assert (found["state"], found["map_index"]) == (state, index)
        keys.add(found["steps"][0]["key"])
    assert len(keys) == 3
    said = gateway("saga", "show", "orders_batch", batch.run_id, *choice("pay", 1))
    assert f"orders_batch  {batch.run_id}  pay[1]: compensated" in said.out


def choice(name: str, index: int | None = None) -> list[str]:
    return ["--saga", name, *([] if index is None else ["--map-index", str(index)])]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "no_such", "x"), "there is no DAG 'no_such': see `airflow dags list`"),
        (("show", "orders_batch", "x"), "DAG 'orders_batch' has no run 'x': see `airflow dags list-runs orders_batch`"),
        (("show", "orders_batch", "{run}"), "the run has the sagas alone, pay: choose one with --saga"),
        (("show", "orders_batch", "{run}", *choice("ship")), "the run has no saga 'ship'; it has alone, pay"),
        (
            ("show", "orders_batch", "{run}", *choice("pay")),
            "saga 'pay' is mapped, and this run has 3 of it: choose one with --map-index, "
            "`airflow gateway saga list --dag-id orders_batch` shows them",
        ),
        (
            ("show", "orders_batch", "{run}", *choice("pay", 3)),
            "saga 'pay' of this run has no map index 3: its map indexes are 0 to 2",
        ),
        (
            ("show", "orders_batch", "{run}", *choice("alone", 0)),
            "saga 'alone' of this run has no map index 0: it is not mapped",
        ),
        (("list", "--dag-id", "no_such"), "there is no DAG 'no_such': see `airflow dags list`"),
        (("list", "--limit", "-1"), "--limit must be 0 or more, not -1"),
        (
            ("list", "--since", "soon"),
            "--since must be an age such as 2d or 12h, or a time such as 2026-03-01T08:00, not 'soon'",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_not_there_is_told_in_a_line(
    gateway: Gateway, batch: SagaRun, arguments: tuple[str, ...], message: str
) -> None:
    """With exit code 1 and nothing on standard output."""
    said = gateway("saga", *(argument.format(run=batch.run_id) for argument in arguments))
    assert (said.code, said.out, said.err) == (1, "", f"failed: {message}\n")


def test_a_dag_without_a_saga_is_told(gateway: Gateway) -> None:
    """Of a run, and of the DAG."""
    with DAG("no_orders", schedule=None) as dag:

        @task
        def nothing() -> None: ...

        nothing()
    SagaRun.asked_for(dag, "bare").go()
    said = gateway("saga", "show", "no_orders", "bare")
    assert (said.code, said.out, said.err) == (1, "", "failed: run 'bare' of DAG 'no_orders' has no saga\n")
    said = gateway("saga", "list", "--dag-id", "no_orders")
    assert (said.code, said.out, said.err) == (1, "", "failed: DAG 'no_orders' has no saga\n")


# -- what must not be seen -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["table", "json", "yaml", "plain"])
def test_no_secret_and_no_escape_is_shown(gateway: Gateway, output: str) -> None:
    """What a service answered may stand in a reason: credentials are masked, and a terminal is not steered."""

    def leaking(order: Any) -> None:
        order.step("decline", DECLINED, undo=False)

    run = ran(leaking, f"leaky_{output}")
    change_view(run, f"said Bearer abcdefghijkl {JWT} \x1b[2J[red]loud[/red]")
    for arguments in (("list", "--dag-id", "orders_leaking"), ("show", "orders_leaking", run.run_id)):
        said = gateway("saga", *arguments, "-o", output)
        everything = said.out + said.err
        assert said.code == 0
        assert MASK in everything
        assert "[red]loud[/red]" in everything
        assert not any(hidden in everything for hidden in ("abcdefghijkl", JWT, "\x1b"))


def change_view(run: SagaRun, why: str) -> None:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    view = run.view()
    changed = {**view, "why": why, "steps": [{**step, "why": why} for step in view["steps"]]}
    with create_session() as session:
        session.execute(
            update(XComModel).where(XComModel.run_id == run.run_id, XComModel.key == "saga").values(value=changed)
        )


def test_other_xcoms_by_that_name_are_no_sagas(gateway: Gateway) -> None:
    """``saga`` is a name that anybody may give; and a batch's count is none either."""
    with DAG("other", schedule=None) as dag:

        @task
        def verdict(ti: Any = None) -> None:
            ti.xcom_push(key="saga", value={"state": "completed", "why": ""})

        verdict()
    run = SagaRun.asked_for(dag).go()
    assert run.run_id not in {name for name, _ in listed(gateway, "--limit", "0")}


def test_a_database_that_cannot_be_read_is_told_in_a_line(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its address, which may hold a password."""
    database(monkeypatch)
    said = gateway("saga", "list")
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        "failed: Airflow's metadata database cannot be read (OperationalError): see `airflow db check`, and "
        "`airflow db migrate`\n"
    )
