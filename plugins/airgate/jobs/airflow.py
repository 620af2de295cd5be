"""DAG runs of another Airflow, through its stable REST API.

Checked against the OpenAPI document and the server of Airflow 3.3.2, API version 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from airgate.client.message import Response
from airgate.jobs.airflow_logs import failed_tasks
from airgate.jobs.job import JobHandle, JobState, JobStatus
from airgate.jobs.protocol import JobProtocol
from airgate.jobs.talk import Ask, Talk
from airgate.policy.errors import Conflict, JobFailed, NotFound, Rejected
from airgate.policy.redaction import one_line

_STATES = {
    "queued": JobState.QUEUED,
    "running": JobState.RUNNING,
    "success": JobState.SUCCEEDED,
    "failed": JobState.FAILED,
}
_LONGEST_NOTE = 1000
_CANCELLED = "cancelled by airgate"
"""Last line of the note of a run that was cancelled: Airflow has no state of its own for it."""


@dataclass
class AirflowRun(JobProtocol):
    """One run of a DAG of another Airflow.

    The run's id is made of the task's key, and Airflow takes an id once a DAG: a submission that is repeated finds the
    run of the first one.
    """

    dag_id: str = ""
    conf: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The run's configuration, as JSON."""
    logical_date: str | datetime | None = None
    """With a UTC offset; None for a run that belongs to no point in time."""
    note: str | None = None
    """For people, at most 1000 characters."""
    result_task: str | None = None
    """Id of a task whose return value is part of the result; no mapped one."""
    paused_ok: bool = False
    """Whether a run of a paused DAG is asked for, which waits until a person resumes the DAG."""
    retry_failed: bool = True
    """Whether a task with retries left submits another run after one that failed."""
    base: str = ""
    """Path of the other Airflow behind the gateway."""

    template_fields: ClassVar[Sequence[str]] = ("dag_id", "conf", "logical_date", "note", "result_task", "base")
    watched: ClassVar[Sequence[str]] = ("dag_id", "result_task", "retry_failed", "base")
    batch: ClassVar[int] = 50  # ids stand in the query, 41 characters each

    @property
    def unique(self) -> bool:
        """The id of a run is unique within its DAG."""
        return True

    @property
    def finds(self) -> bool:
        """The id of a run follows from the key."""
        return True

    def problem(self) -> str | None:
        """What keeps this from working."""
        if not isinstance(self.dag_id, str) or not self.dag_id:
            return "dag_id must be the id of a DAG of the other Airflow"
        conf: object = self.conf
        if not isinstance(conf, Mapping):
            return f"conf must be a dict, not a {type(conf).__name__}"
        try:
            json.dumps(self.conf, allow_nan=False)
        except (TypeError, ValueError) as error:
            return f"conf must be JSON: {error}"
        if self.note is not None and len(self.note) > _LONGEST_NOTE:
            return f"note must be at most {_LONGEST_NOTE} characters, not {len(self.note)}"
        return self._date_problem()

    def submit(self, key: str) -> Talk[JobHandle]:
        """Trigger the DAG, or find that the same submission triggered it before."""
        handle = self._handle(key)
        if not self.paused_ok and (paused := (yield from self._paused())):
            if (found := (yield from self.find(key))) is None:
                raise paused
            return found
        body = {
            "dag_run_id": handle.id,
            "logical_date": self._date(),
            "conf": dict(self.conf),
            **({} if self.note is None else {"note": self.note}),
        }
        answer = yield Ask("POST", self._runs, {"dag_id": self.dag_id}, json=body, expect=(200, 409))
        if answer.status == 409:
            yield from self._check_ours(handle, answer)
        return handle

    def status(self, handle: JobHandle) -> Talk[JobStatus]:
        """The run's state."""
        return _status((yield from self._run(handle)))

    def result(self, handle: JobHandle) -> Talk[Any]:
        """The run's dates and, where a task is named for it, that task's return value as ``result``.

        Raises:
            JobFailed: With the tasks that failed and the ends of their logs.
            NotFound: The run has no task ``result_task``, or it is a mapped one.
        """
        run = yield from self._run(handle)
        status = _status(run)
        if status.state is JobState.SUCCEEDED:
            kept = ("dag_id", "dag_run_id", "state", "logical_date", "start_date", "end_date", "duration")
            result = {name: run.get(name) for name in kept}
            if self.result_task:
                result["result"] = yield from self._returned(handle, self.result_task)
            return result
        what = f"run {handle.id} of DAG {run.get('dag_id')} of the other Airflow"
        if status.state is JobState.CANCELLED:
            raise JobFailed(f"{what} was cancelled")
        why, logs = yield from failed_tasks(self._tasks, self._names(handle))
        raise JobFailed(f"{what} failed: {why}", excerpt=logs, retryable=self.retry_failed)

    def cancel(self, handle: JobHandle) -> Talk[None]:
        """Mark the run as failed: Airflow ends its running tasks, skips those to come, and lets teardowns run."""
        try:
            run = yield from self._run(handle)
            if _status(run).over:  # a run that succeeded would become a failed one
                return
            note = f"{run['note']}\n" if run.get("note") else ""
            body = {"state": "failed", "note": note[: _LONGEST_NOTE - len(_CANCELLED)] + _CANCELLED}
            yield Ask("PATCH", f"{self._runs}/{{dag_run_id}}", self._names(handle), json=body)
        except NotFound:
            return

    def find(self, key: str) -> Talk[JobHandle | None]:
        """The run of the key's id."""
        handle = self._handle(key)
        try:
            yield from self._run(handle)
        except NotFound:
            return None
        return handle

    def statuses(self, handles: Sequence[JobHandle]) -> Talk[Mapping[str, JobStatus]]:
        """The states of many runs by one request, in one DAG or in all that the user may see."""
        names = {(self._names(handle)["dag_id"], handle.id) for handle in handles}
        dags = {dag_id for dag_id, _ in names}
        # Prefixes rather than patterns, which no index of Airflow's database serves.
        params = {"run_id_prefix_pattern": "|".join(sorted(run_id for _, run_id in names)), "limit": 100}
        try:
            dag_id = dags.pop() if len(dags) == 1 else "~"
            answer = yield Ask("GET", self._runs, {"dag_id": dag_id}, params=params)
        except Rejected:  # not in one request, then; the jobs that are missing are asked for one by one
            return {}
        runs = _object(answer).get("dag_runs") or []
        return {run["dag_run_id"]: _status(run) for run in runs if (run["dag_id"], run["dag_run_id"]) in names}

    @property
    def _dags(self) -> str:
        return f"{self.base.rstrip('/')}/api/v2/dags"

    @property
    def _runs(self) -> str:
        return f"{self._dags}/{{dag_id}}/dagRuns"

    @property
    def _tasks(self) -> str:
        return f"{self._runs}/{{dag_run_id}}/taskInstances"

    def _handle(self, key: str) -> JobHandle:
        return JobHandle(f"airgate__{key}", {"dag_id": self.dag_id})

    def _names(self, handle: JobHandle) -> dict[str, str]:
        return {"dag_id": handle.data.get("dag_id") or self.dag_id, "dag_run_id": handle.id}

    def _run(self, handle: JobHandle) -> Talk[dict[str, Any]]:
        return _object((yield Ask("GET", f"{self._runs}/{{dag_run_id}}", self._names(handle))))

    def _paused(self) -> Talk[Conflict | None]:
        """Why no run is asked for, None when the DAG is not paused."""
        answer = yield Ask("GET", f"{self._dags}/{{dag_id}}", {"dag_id": self.dag_id})
        if not _object(answer).get("is_paused"):
            return None
        return Conflict(
            f"DAG {self.dag_id} of the other Airflow is paused, and a run of it would wait for ever; resume it there, "
            "or set paused_ok=True",
            method=answer.method,
            url=answer.url,
        )

    def _check_ours(self, handle: JobHandle, answer: Response) -> Talk[None]:
        """See that the run which is there already is the one that is asked for.

        Raises:
            Conflict: It is another one.
        """
        try:
            run = yield from self._run(handle)
        except NotFound:
            what = f"DAG {self.dag_id} has another run of the logical date {self._date()}"
        else:
            if (run.get("conf") or {}) == json.loads(json.dumps(dict(self.conf))):
                return
            what = (
                f"run {handle.id} was submitted with another conf; let every try build the same one, or give the task "
                "another epoch"
            )
        raise Conflict(what, method=answer.method, url=answer.url, status=409, request_id=answer.request_id)

    def _returned(self, handle: JobHandle, task_id: str) -> Talk[Any]:
        names = {**self._names(handle), "task_id": task_id}
        entry = f"{self._tasks}/{{task_id}}/xcomEntries/return_value"
        answer = yield Ask("GET", entry, names, expect=(200, 404))
        if answer.status == 404:
            try:
                yield Ask("GET", f"{self._tasks}/{{task_id}}", names)
            except NotFound as error:
                reason = f"result_task: run {handle.id} has no task {task_id}, or it is a mapped one"
                raise NotFound(reason, method=error.method, url=error.url, status=404) from None
            return None  # it returned nothing
        return _object(answer).get("value")

    def _date(self) -> str | None:
        date = self.logical_date
        return date.isoformat() if isinstance(date, datetime) else (date or None)

    def _date_problem(self) -> str | None:
        date = self._date()
        if date is None or "{{" in date:
            return None
        try:
            if datetime.fromisoformat(date).tzinfo is not None:
                return None
        except ValueError:
            pass
        return (
            f"logical_date must be a date and time with a UTC offset, such as 2026-01-31T00:00:00+00:00, not {date!r}"
        )


def _status(run: Mapping[str, Any]) -> JobStatus:
    word = str(run.get("state", ""))
    state = _STATES.get(word, JobState.RUNNING)
    if state is JobState.FAILED and str(run.get("note") or "").endswith(_CANCELLED):
        state = JobState.CANCELLED
    return JobStatus(state, phase="" if word in _STATES else one_line(word))


def _object(answer: Response) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises:
        InvalidResponse: It is none.
    """
    said = answer.json()
    if not isinstance(said, dict):
        raise answer.invalid("the answer is no JSON object, as Airflow's API would give")
    return said
