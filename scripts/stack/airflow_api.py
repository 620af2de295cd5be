"""Airflow's REST API, as much of it as the demo and the tests need."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import requests

from stack.failure import Failed

TIMEOUT = 70.0
"""Seconds; on a busy machine a request may wait for others to write to the metadata database."""

PAUSES = (0.5, 1.0, 2.0)
"""Seconds between attempts at what failed on Airflow's side. Every request here may be sent twice."""


class ApiFailed(Failed):
    """Airflow refused a request or could not be reached; the message says which request and what it answered."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class AirflowApi:
    """One signed-in user's view of an Airflow."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy that is set for the internet has no business on loopback

    def sign_in(self, user: str, password: str) -> None:
        """Get a token for the calls that follow."""
        token = self._call("POST", "/auth/token", {"username": user, "password": password})["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    def set_pools(self, pools: Sequence[dict[str, Any]]) -> None:
        """Make these pools exist as described, whether or not they were there."""
        entities = [{"include_deferred": False, **pool} for pool in pools]
        action = {"action": "create", "entities": entities, "action_on_existence": "overwrite"}
        answer = self._call("PATCH", "/api/v2/pools", {"actions": [action]})
        if errors := answer["create"]["errors"]:
            raise ApiFailed(f"Airflow did not take the pools: {errors}")

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """Give what Airflow knows of a DAG; None before it was first parsed."""
        try:
            return dict(self._call("GET", f"/api/v2/dags/{dag_id}"))
        except ApiFailed as error:
            if error.status != 404:
                raise
            return None

    def import_errors(self) -> list[dict[str, Any]]:
        """List what went wrong when DAG files were parsed: dicts with `filename` and `stack_trace`."""
        return list(self._call("GET", "/api/v2/importErrors")["import_errors"])

    def pause(self, dag_id: str, *, paused: bool = True) -> None:
        """Keep the scheduler from running the DAG, or let it again."""
        self._call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": paused})

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> None:
        """Ask for a run now; it belongs to no point in time of the schedule."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        try:
            self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)
        except ApiFailed as error:
            if error.status != 409:  # the id is ours alone: it exists because the first attempt did succeed
                raise

    def runs(self, dag_id: str, prefix: str, states: Iterable[str] = ()) -> list[dict[str, Any]]:
        """List the newest 100 runs of a DAG whose ids begin with `prefix`, if asked for only in certain states."""
        query = [("run_id_prefix_pattern", prefix), ("order_by", "-run_after"), ("limit", "100")]
        query += [("state", state) for state in states]
        return list(self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns?{urlencode(query)}")["dag_runs"])

    def count_runs(self, dag_id: str, *states: str) -> int:
        """Count the runs of a DAG, if asked for only those in certain states."""
        query = urlencode([("limit", "1"), *(("state", state) for state in states)])
        return int(self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns?{query}")["total_entries"])

    def fail_run(self, dag_id: str, run_id: str) -> None:
        """Mark a run as failed; what still runs of it is ended."""
        self._call("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", {"state": "failed"})

    def question(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any] | None:
        """Give what a task asks a person, with `subject`, `body` and `options`; None as long as it asks nothing."""
        try:
            return dict(self._call("GET", self._question(dag_id, run_id, task_id)))
        except ApiFailed as error:
            if error.status != 404:
                raise
            return None

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str) -> None:
        """Answer what a task asks, as its page does."""
        body = {"chosen_options": [option], "params_input": {}}
        try:
            self._call("PATCH", self._question(dag_id, run_id, task_id), body)
        except ApiFailed as error:
            if error.status != 409:  # answered: the first attempt did succeed
                raise

    @staticmethod
    def _question(dag_id: str, run_id: str, task_id: str) -> str:
        return f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}/-1/hitlDetails"

    def clear(
        self, dag_id: str, run_id: str, task_ids: Sequence[str], *, map_index: int = -1, downstream: bool = False
    ) -> None:
        """Let tasks of a run begin anew; what still runs of them is ended.

        Args:
            dag_id: of the DAG.
            run_id: of the run.
            task_ids: which tasks.
            map_index: only the instances of this index; -1 for all of them.
            downstream: with all that follows them.
        """
        tasks = [task_id if map_index < 0 else [task_id, map_index] for task_id in task_ids]
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": tasks, "only_failed": False}
        self._call("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body | {"include_downstream": downstream})

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str, map_index: int = -1) -> None:
        """Mark a task instance as `success` or `failed`; what still runs of it is ended."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self._call("PATCH", path if map_index < 0 else f"{path}/{map_index}", {"new_state": state})

    def tasks(self, dag_id: str, run_ids: Sequence[str], ended_since: str = "") -> list[dict[str, Any]]:
        """List the task instances of some runs.

        Args:
            dag_id: of the DAG.
            run_ids: which runs.
            ended_since: ISO 8601; only those whose last try ended then or later. Empty: all of them.
        """
        body: dict[str, Any] = {"dag_ids": [dag_id], "dag_run_ids": list(run_ids), "page_limit": 1000}
        if ended_since:
            body["end_date_gte"] = ended_since
        return list(self._call("POST", "/api/v2/dags/~/dagRuns/~/taskInstances/list", body)["task_instances"])

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Give what a task returned, or pushed under a key."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        value = self._call("GET", f"{path}?stringify=false&map_index={map_index}")["value"]
        return json.loads(value) if isinstance(value, str) else value

    def log(self, task: dict[str, Any], lines: int = 30) -> str:
        """Give the last lines of the log of a task instance's last try."""
        path = f"/api/v2/dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}"
        content = self._call("GET", f"{path}/logs/{task['try_number']}?map_index={task['map_index']}")["content"]
        return "\n".join(rendered(entry) for entry in content[-lines:])

    def health(self) -> dict[str, str]:
        """Give component -> how it is, `healthy` for the good ones."""
        parts = self._call("GET", "/api/v2/monitor/health")
        return {name: part["status"] for name, part in parts.items() if part}

    def _call(self, method: str, path: str, body: object = None) -> Any:
        for patience in (*PAUSES, 0.0):
            try:
                response = self._session.request(method, self.address + path, json=body, timeout=TIMEOUT)
                response.raise_for_status()
                return response.json()
            except requests.HTTPError as error:
                said, status = error.response.text[:500], error.response.status_code
                if status < 500 or not patience:
                    raise ApiFailed(f"Airflow answered {method} {path} with {status}: {said}", status) from error
            except requests.RequestException as error:
                if not patience:
                    raise ApiFailed(f"Airflow could not be reached for {method} {path}: {error}") from error
            time.sleep(patience)
        raise AssertionError("the last attempt returns or raises")


def rendered(entry: dict[str, Any] | str) -> str:
    """Make a line of a structured log entry, with the place an exception came from."""
    if isinstance(entry, str):
        return entry
    known = {"timestamp", "event", "level", "logger", "error_detail", "filename", "lineno", "loc", "chan"}
    details = " ".join(f"{key}={value}" for key, value in entry.items() if key not in known)
    line = (
        f"{entry.get('timestamp') or '':.19} {entry.get('level', 'info'):7} {entry.get('event', '')} {details}".rstrip()
    )
    for error in entry.get("error_detail") or []:
        line += f"\n    {error.get('exc_type')}: {error.get('exc_value')}"
    return line
