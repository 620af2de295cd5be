"""GatewayExtractOperator: positions that the service refuses, over waits, tries and clears."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airgate.errors import InvalidResponse, NotFound
from airgate.operators import GatewayExtractOperator
from airgate.pagination import CursorPages
from tests.scripted_server import Answer, ScriptedServer

BUSY = Answer(429, headers={"Retry-After": "60"})
SCHEMA = {"properties": {"id": {"type": "integer"}}, "required": ["id"]}


def page(first: int, following: str | None) -> Answer:
    return Answer(body=json.dumps({"data": [{"id": first}, {"id": first + 1}], "next_cursor": following}).encode())


def read(**arguments: Any) -> GatewayExtractOperator:
    values = {"task_id": "t", "path": "/n", "paginator": CursorPages(limit=2), "schema": SCHEMA, **arguments}
    return GatewayExtractOperator(**values)


def test_cursors_that_expire_while_a_task_waits_end_it(context, server: ScriptedServer) -> None:
    """A service whose waits are longer than its cursors live would let a task read the same pages for ever."""
    server.answers = [page(0, "a"), BUSY, Answer(410), page(0, "b"), BUSY, Answer(410)]
    operator = read()
    for _ in range(2):
        with pytest.raises(TaskDeferred):
            operator.resume(context)
    with pytest.raises(NotFound, match=r"^GET /n, page 1 \(the first is 0\): GET http.*cursor=b.* answered 410"):
        operator.resume(context)
    assert [seen.query.get("cursor", [None])[0] for seen in server.seen] == [None, "a", "a", None, "b", "b"]
    stored = context["task_state_store"].get("airgate.checkpoint")
    assert (stored["position"], stored["manifest"]["received"], stored["refused"]) == ({"cursor": "b"}, 2, [1])


def test_a_task_that_is_to_start_afresh_when_cleared_does_so(context, server: ScriptedServer) -> None:
    """Nothing is remembered of the refusals before."""
    test_cursors_that_expire_while_a_task_waits_end_it(context, server)
    context["ti"].max_tries += 1
    server.answers = [page(0, "c"), page(2, None)]
    assert read(restart_on_clear=True).execute(context)["received"] == 4
    assert "refused" not in context["task_state_store"].get("airgate.checkpoint")


def test_a_clear_lets_the_read_start_once_more(context, server: ScriptedServer) -> None:
    test_cursors_that_expire_while_a_task_waits_end_it(context, server)
    context["ti"].max_tries += 1
    server.answers = [Answer(410), page(0, "d"), page(2, None)]
    assert read().execute(context)["received"] == 4


def test_a_maintenance_page_behind_a_position_costs_nothing(context, server: ScriptedServer) -> None:
    """The try fails without asking for anything else, and the next one goes on there."""
    server.answers = [page(0, "a"), BUSY, Answer(body=b"<html>Down for maintenance</html>"), page(2, None)]
    operator = read()
    with pytest.raises(TaskDeferred):
        operator.execute(context)
    with pytest.raises(InvalidResponse, match=r"^GET /n, page 1 \(the first is 0\): "):
        operator.resume(context)
    assert operator.execute(context)["received"] == 4
    assert [seen.query.get("cursor", [None])[0] for seen in server.seen] == [None, "a", "a", "a"]
