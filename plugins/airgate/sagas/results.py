"""Fields of a step's result that other tasks ask for by name: ``reserved["total"]`` is an XCom of that key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow.sdk import XComArg
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.definitions.taskgroup import MappedTaskGroup


def push_fields(task: Any, context: Any, result: Any) -> None:
    """Push the fields of a result that the DAG asks for, and no others.

    Airflow's own ``multiple_outputs`` pushes all of them, and fails where a result is no object.

    Args:
        task: The step's operator.
        context: Its context.
        result: What it gives.
    """
    if not isinstance(result, Mapping) or not task.do_xcom_push or task.multiple_outputs:
        return
    for name in sorted(_asked_for(task) & result.keys()):
        context["ti"].xcom_push(key=name, value=result[name])


def _asked_for(task: Any) -> set[str]:
    return {
        key
        for place in _places(task.dag)
        for operator, key in XComArg.iter_xcom_references(place)
        if operator.task_id == task.task_id and key != "return_value"
    }


def _places(dag: Any) -> Iterator[Any]:
    """Where tasks and task groups say what they are made of."""
    for each in dag.tasks:
        if isinstance(each, MappedOperator):
            yield from (each.partial_kwargs, each.expand_input.value)
        else:
            yield each
    for group in dag.task_group.get_task_group_dict().values():
        if isinstance(group, MappedTaskGroup):
            yield group._expand_input.value
