"""What is wrong with the arguments of an extract task, found while its DAG is parsed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING

from airgate.hooks.waits import LONG_WAITS

if TYPE_CHECKING:
    from airgate.operators.extract import GatewayExtractOperator


def problem_of(task: GatewayExtractOperator) -> str | None:
    """What keeps the task from working, naming the argument; None when nothing does."""
    return _wrong_number(task) or _wrong_paginator(task) or _wrong_choice(task) or _wrong_parents(task)


def _wrong_number(task: GatewayExtractOperator) -> str | None:
    for name in (
        "part_rows",
        "part_bytes",
        "row_group_rows",
        "max_pages",
        "max_records",
        "in_flight",
        "parents_in_flight",
    ):
        value = getattr(task, name)
        if value is not None and value < 1:
            return f"{name} must be 1 or more, not {value}"
    if not 1 <= task.zstd_level <= 22:
        return f"zstd_level must be 1 to 22, not {task.zstd_level}"
    if (task.deadline or 0) < 0:
        return f"deadline must be 0 or more, not {task.deadline}"
    return None


def _wrong_paginator(task: GatewayExtractOperator) -> str | None:
    if isinstance(task.paginator, type) or not hasattr(task.paginator, "after"):
        return f"paginator must be a paginator such as CursorPages(), not {task.paginator!r}"
    if type(task.paginator).__repr__ is object.__repr__:
        # Its text decides whether a checkpoint belongs to this read, and must be the same in every process.
        name = type(task.paginator).__name__
        return f"the paginator {name} needs a repr that tells its settings; make it a dataclass"
    query = task.query if isinstance(task.query, Mapping) else {}
    paging = set(task.paginator.params(task.paginator.first()))
    if taken := set(query) & paging:
        return f"query: {', '.join(sorted(taken))} is the paginator's to set"
    if task.incremental is not None and (taken := (set(query) | paging) & task.incremental.params):
        return f"query: {', '.join(sorted(taken))} is the incremental's to set"
    return None


def _wrong_choice(task: GatewayExtractOperator) -> str | None:
    if isinstance(task.schema, (str, Path)) and not Path(task.schema).is_file():
        return f"schema: there is no file {task.schema}"
    if task.method not in ("GET", "POST"):
        return f"method must be GET or POST, not {task.method!r}: a read has no other effect"
    if task.json is not None and task.method == "GET":
        return "json: a GET has no body; say method='POST' for a search"
    if task.evolution not in (None, "evolve", "freeze", "discard"):
        return f"evolution must be one of evolve, freeze, discard, not {task.evolution!r}"
    if task.long_wait is not None and task.long_wait not in LONG_WAITS:
        return f"long_wait must be one of {', '.join(LONG_WAITS)}, not {task.long_wait!r}"
    for name in ("partition_by", "redact_fields"):
        if isinstance(getattr(task, name), str):
            return f"{name} must be a list of names, not {getattr(task, name)!r}"
    if task.partition_outlets and not task.partition_by:
        return "partition_outlets needs partition_by: the keys are the names of its folders"
    return None


def _wrong_parents(task: GatewayExtractOperator) -> str | None:
    if task.missing_parent not in ("fail", "skip"):
        return f"missing_parent must be fail or skip, not {task.missing_parent!r}"
    if task.parents is None:
        given = [name for name in ("parent_params", "parent_columns") if getattr(task, name)]
        return f"{', '.join(given)}: there are no parents" if given else None
    params = set(task.parent_params or ())
    if not params:
        return "parents need parent_params, such as {'order_id': 'id'}: placeholder of the path -> their column"
    if "{{" in task.path or "{%" in task.path:
        return None  # known only once it is rendered
    named = {name for _, name, _, _ in Formatter().parse(task.path) if name}
    if named != params:
        return f"path {task.path!r} has the placeholders {sorted(named)}, parent_params fills {sorted(params)}"
    return None
