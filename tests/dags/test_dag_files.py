"""Every DAG file: loads, parses lightly, explains itself, survives serialization."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG


def test_all_dag_files_load(dag_bag: DagBag) -> None:
    """No DAG file has an import error, and the examples are among the DAGs."""
    assert dag_bag.import_errors == {}
    assert {"flights_etl", "release_train", "provision_environment"} <= set(dag_bag.dags)


@pytest.mark.parametrize("heavy", ["pandas", "numpy", "pyarrow", "duckdb", "starlette.applications", "uvicorn"])
def test_parsing_imports_nothing_heavy(modules_after_parsing: set[str], heavy: str) -> None:
    """The DAG processor parses files over and over, so what only a running task needs is not imported for it."""
    assert "airgate.operators.extract" in modules_after_parsing
    assert heavy not in modules_after_parsing


def test_every_dag_explains_itself(dag_bag: DagBag) -> None:
    """Docs, tags and an owner are there for the person who meets the DAG in the UI first."""
    for dag in dag_bag.dags.values():
        assert dag.doc_md, dag.dag_id
        assert len(dag.doc_md.split()) > 50, dag.dag_id
        assert {"airgate", "example"} <= set(dag.tags), dag.dag_id
        assert dag.owner not in {"", "airflow"}, dag.dag_id


def test_every_pool_is_one_that_the_project_sets_up(dag_bag: DagBag, pools: dict[str, Any]) -> None:
    """A task in an unknown pool would wait for ever; and a gateway call outside its pool would not be limited."""
    from airgate.operators import GatewayExtractOperator, GatewayJobOperator, GatewayOperator, TableLoadOperator
    from airgate.sensors import GatewaySensor

    gateway = (GatewayExtractOperator, GatewayJobOperator, GatewayOperator, GatewaySensor)
    wanted = {**dict.fromkeys(gateway, "gateway"), TableLoadOperator: "warehouse"}
    for dag in dag_bag.dags.values():
        for task in dag.tasks:
            assert task.pool in {"default_pool", *pools}, task.task_id
            operator = getattr(task, "operator_class", type(task))
            assert task.pool == wanted.get(operator, task.pool), task.task_id
    assert pools["warehouse"]["slots"] == 1, "DuckDB takes one writing process"


def test_every_task_retries_by_policy_and_by_static_delay(dag_bag: DagBag) -> None:
    """The policy reads the gateway's errors; the static delay holds when a process died and Airflow asks no policy."""
    from airgate.hooks import GatewayRetryPolicy

    for dag in dag_bag.dags.values():
        for task in dag.tasks:
            assert task.retries >= 1, task.task_id
            assert task.retry_delay.total_seconds() > 0, task.task_id
            assert isinstance(task.retry_policy, GatewayRetryPolicy), task.task_id


def _edges(dag: DAG) -> dict[str, set[str]]:
    return {task.task_id: set(task.downstream_task_ids) for task in dag.tasks}


def test_serialization_keeps_what_the_scheduler_needs(dag_bag: DagBag) -> None:
    """A DAG that went through JSON, as into the metadata database, has the same tasks, order, pools and templates."""
    from airflow.serialization.serialized_objects import DagSerialization

    for dag in dag_bag.dags.values():
        stored = json.loads(json.dumps(DagSerialization.to_dict(dag)))
        DagSerialization.validate_schema(stored)
        back = DagSerialization.from_dict(stored)
        assert _edges(back) == _edges(dag)
        assert back.tags == dag.tags
        assert back.doc_md == dag.doc_md
        assert {name: back.params[name] for name in back.params} == {name: dag.params[name] for name in dag.params}
        for task in dag.tasks:
            copy = back.get_task(task.task_id)
            assert (copy.pool, copy.retries, copy.owner) == (task.pool, task.retries, task.owner)
            assert copy.retry_delay == task.retry_delay
            assert tuple(copy.template_fields) == tuple(task.template_fields)
            assert (copy.is_setup, copy.is_teardown) == (task.is_setup, task.is_teardown)
            assert copy.on_failure_fail_dagrun == task.on_failure_fail_dagrun
            assert getattr(copy, "query", None) == getattr(task, "query", None)
