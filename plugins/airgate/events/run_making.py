"""Making runs of other DAGs from within a task, as Airflow's TriggerDagRunOperator has it done."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from airflow.sdk.exceptions import AirflowRuntimeError

from airgate.policy.events.dispatching import Made, NotMade, Outcome, Refused


def make_run(dag_id: str, run_id: str, conf: dict[str, Any], note: str) -> Outcome:
    """Make a run, if it is not there; nothing raises.

    Args:
        dag_id: Of which DAG. If that is paused, the run waits until it no longer is.
        run_id: Its id.
        conf: Its conf.
        note: Shown with it.
    """
    from airflow.sdk.api.client import ServerResponseError
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun

    message = TriggerDagRun(dag_id=dag_id, run_id=run_id, conf=conf, note=note)
    try:
        answer = task_runner.SUPERVISOR_COMMS.send(message)
    except AirflowRuntimeError as error:
        answer = error.error
    except ServerResponseError as error:  # in dag.test(), where no supervisor stands between
        return _refusal(dag_id, error.response.status_code, error.response.json(), str(error))
    if not isinstance(answer, ErrorResponse):
        return Made(now=True)
    if answer.error == ErrorType.DAGRUN_ALREADY_EXISTS:
        return Made(now=False)
    detail = answer.detail if isinstance(answer.detail, dict) else {}
    said = str(detail.get("message") or answer.error.value)
    return _refusal(dag_id, detail.get("status_code"), detail.get("detail"), said)


def _refusal(dag_id: str, status: int | None, body: object, message: str) -> Outcome:
    """What an answer of the API server means that is no run."""
    told = body.get("detail") if isinstance(body, dict) else None
    reason, said = "", str(told or message)
    if isinstance(told, dict):
        reason, said = str(told.get("reason", "")), str(told.get("message", ""))
    # What follows is the Param's schema, and the event's own data once more.
    said = said.partition("\n")[0][:500]
    if status == HTTPStatus.UNPROCESSABLE_ENTITY or (status == HTTPStatus.BAD_REQUEST and reason == "value_error"):
        return Refused(f"DAG {dag_id} does not take it: {said}")
    if status == HTTPStatus.NOT_FOUND:
        return NotMade(
            f"there is no DAG {dag_id}: the events for it stay in the log; name another one in `to`, or add it, and "
            "clear this task"
        )
    return NotMade(f"Airflow made no run of DAG {dag_id}: {said}")
