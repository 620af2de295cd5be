"""Whether the code of a step that is an operator or a task function may run again after a try that has sent it."""

from __future__ import annotations

from typing import Any

from airflow.sdk.exceptions import AirflowNotFoundException

from airgate.hooks.gateway import GatewayHook
from airgate.operators.gateway import GatewayOperator
from airgate.sagas.step import is_repeatable


def may_run_again(context: Any, honours: bool | None, conn_id: str) -> bool:
    """Whether running it twice does no harm; else the service is asked first.

    Args:
        context: The task's.
        honours: The word of the step or of the saga on idempotency keys; None for none.
        conn_id: The step's connection, whose word holds then.
    """
    from airgate.operators.job import GatewayJobOperator

    task = context["task"]
    if isinstance(task, GatewayJobOperator):
        return True  # it goes on with the job that an earlier try has submitted
    if isinstance(task, GatewayOperator):
        with GatewayHook(task.gateway_conn_id, openapi=task.openapi) as hook:
            return is_repeatable(hook, task._call(context))
    if honours is not None:
        return honours
    try:
        with GatewayHook(conn_id) as hook:
            return hook.gateway.idempotency == "honoured"
    except AirflowNotFoundException:
        return False  # its code need not call a gateway
