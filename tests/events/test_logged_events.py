"""Folding: what a task reads of an asset's log when it computes anew what follows from all events of a while."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk import DAG, get_current_context, task

from airgate.events import logged_events
from airgate.policy.events.batch import Unreadable
from tests.events.conftest import dispatched, event
from tests.sagas.saga_run import SagaRun

NOW = datetime.now(UTC)


@pytest.mark.usefixtures("installation")
def test_each_event_of_a_while_comes_once_in_the_order_in_which_it_was_stored() -> None:
    """However often it was told, and in how many entries; what is no event is left out, and what is older as well."""
    orders = dispatched()
    orders.tell(event("old"), at=NOW - timedelta(days=2))
    orders.tell(event("late"), event("b"), at=NOW - timedelta(hours=1))
    orders.tell(event("a"), event("b"), unreadable=[Unreadable.of("here", "no id", "{}")], at=NOW)

    with DAG(f"folds_{os.getpid()}", schedule=[orders.asset]) as dag:

        @task(inlets=[orders.asset])
        def fold() -> list[str]:
            found = logged_events(get_current_context(), orders.asset, NOW - timedelta(days=1))
            return [each.id for each in found]

        fold()
    run = SagaRun.asked_for(dag).go()
    assert run.state == "success"
    assert run.xcom("fold") == ["late", "b", "a"]
