"""Why a run of another Airflow failed: its failed tasks and the ends of their logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airgate.jobs.job import LONGEST_TEXT
from airgate.jobs.talk import Ask, Talk
from airgate.policy.errors import GatewayError
from airgate.policy.redaction import one_line, printable, redact_text

_FOLDS = ("::endgroup::", "::group::Pre Execute", "::group::Post Execute")
"""Lines that only fold others in Airflow's pages."""
_SHOWN = 3
"""Failed tasks whose logs are read, the earliest first: later ones may have failed because of them."""


def failed_tasks(path: str, names: Mapping[str, str]) -> Talk[tuple[str, str]]:
    """What failed, in a sentence, and what the logs said last.

    Args:
        path: Of the run's task instances.
        names: Values of its placeholders.
    """
    params = {"state": "failed", "order_by": "end_date", "limit": _SHOWN}
    try:
        said = (yield Ask("GET", path, names, params=params)).json()
    except GatewayError as error:  # that it failed is known without it
        return f"(its tasks could not be read: {error.reason})", ""
    tasks = said.get("task_instances") or []
    if not tasks:
        return "no task of it failed; it may have run out of time, or a person may have marked it", ""
    count = said.get("total_entries") or len(tasks)
    titles = [one_line(_title(task)) for task in tasks]
    more = f" and {count - len(tasks)} more" if count > len(tasks) else ""
    logs = []
    for task, title in zip(tasks, titles, strict=True):
        log = yield from _log(path, names, task)
        head = f"[{title}]\n"
        logs.append(head + log[-(LONGEST_TEXT // len(tasks) - len(head) - 1) :])
    return f"{'task' if count == 1 else 'tasks'} {', '.join(titles)}{more} failed", "\n".join(logs)


def _log(path: str, names: Mapping[str, str], task: Mapping[str, Any]) -> Talk[str]:
    """The log of a task's last try."""
    ask = Ask(
        "GET",
        f"{path}/{{task_id}}/logs/{{try_number}}",
        {**names, "task_id": task["task_id"], "try_number": task["try_number"]},
        params={"map_index": task.get("map_index", -1), "full_content": True},
        headers={"Accept": "application/json"},
    )
    try:
        said = (yield ask).json()
    except GatewayError as error:
        return f"(no log: {error.reason})"
    lines = [line for entry in said.get("content") or [] if not (line := _line(entry)).endswith(_FOLDS)]
    return redact_text(printable("\n".join(lines)))


def _title(task: Mapping[str, Any]) -> str:
    index = task.get("map_index", -1)
    return str(task["task_id"]) if index < 0 else f"{task['task_id']}[{index}]"


def _line(entry: Mapping[str, Any] | str) -> str:
    """One entry, structured or not, with the exceptions that it tells of."""
    if isinstance(entry, str):
        return entry
    time, level = str(entry.get("timestamp") or "")[:19], str(entry.get("level") or "")
    parts = [time, level.upper(), str(entry.get("event") or "")]
    errors = [f"    {error.get('exc_type')}: {error.get('exc_value')}" for error in entry.get("error_detail") or []]
    return "\n".join([" ".join(part for part in parts if part), *errors])
