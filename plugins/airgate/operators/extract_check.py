"""What is wrong with the arguments of an extract task, found while its DAG is parsed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING

from airgate.data.read.fileformats import CsvFile, NdjsonFile
from airgate.hooks.waits import LONG_WAITS
from airgate.operators.openapi_schema import OpenApiSchema

if TYPE_CHECKING:
    from airgate.data.read.fileformats import FileFormat
    from airgate.operators.extract import GatewayExtractOperator


MAX_PAGES = 100_000
_OF_PAGES = {"records": "data", "max_pages": MAX_PAGES, "in_flight": 1, "prefetch": False}
"""Arguments that mean nothing to an export, and what they are unless they are given."""


def problem_of(task: GatewayExtractOperator) -> str | None:
    """What keeps the task from working, naming the argument; None when nothing does."""
    return (
        _wrong_number(task)
        or (_wrong_paginator(task) if task.export is None else _wrong_export(task, task.export))
        or _wrong_query(task)
        or _wrong_choice(task)
        or _wrong_schema(task)
        or _wrong_parents(task)
    )


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
    if task.paginator is None:
        return "say how it is read: paginator=… for pages, or export=NdjsonFile() or CsvFile() for a file"
    if isinstance(task.paginator, type) or not hasattr(task.paginator, "after"):
        return f"paginator must be a paginator such as CursorPages(), not {task.paginator!r}"
    if type(task.paginator).__repr__ is object.__repr__:
        # Its text decides whether a checkpoint belongs to this read, and must be the same in every process.
        name = type(task.paginator).__name__
        return f"the paginator {name} needs a repr that tells its settings; make it a dataclass"
    return None


def _wrong_export(task: GatewayExtractOperator, export: FileFormat) -> str | None:
    if isinstance(export, type) or not isinstance(export, (NdjsonFile, CsvFile)):
        return f"export must be NdjsonFile() or CsvFile(), not {export!r}"
    if task.paginator is not None:
        return "paginator, export: a collection is read page by page or as a file, not both"
    if task.parents is not None:
        return "parents, export: an export is read whole; to read one for each parent, expand the task over them"
    for name, default in _OF_PAGES.items():
        if getattr(task, name) != default:
            return f"{name} is for pages, and an export has none" + (
                ": each of its lines is a record" if name == "records" else ""
            )
    if isinstance(task.headers, Mapping) and (
        taken := [name for name in task.headers if str(name).lower() in ("range", "if-range")]
    ):
        return f"headers: {', '.join(taken)} is the task's to set, when it goes on in the middle"
    return _no_column(task.schema) if isinstance(export, CsvFile) else None


def _no_column(schema: object) -> str | None:
    """What of a JSON Schema no field of a CSV file can fill."""
    columns = schema.get("properties") if isinstance(schema, Mapping) else None
    for name, column in columns.items() if isinstance(columns, Mapping) else ():
        kinds = column.get("type") if isinstance(column, Mapping) else None
        if nested := {"array", "object"} & set(kinds if isinstance(kinds, list) else [kinds]):
            return f"schema: column {name} is an {min(nested)}, and a field of a CSV file can be none"
    return None


def _wrong_query(task: GatewayExtractOperator) -> str | None:
    query = task.query if isinstance(task.query, Mapping) else {}
    paging = set() if task.paginator is None else set(task.paginator.params(task.paginator.first()))
    if taken := set(query) & paging:
        return f"query: {', '.join(sorted(taken))} is the paginator's to set"
    if task.incremental is not None and (taken := (set(query) | paging) & task.incremental.params):
        return f"query: {', '.join(sorted(taken))} is the incremental's to set"
    return None


def _wrong_schema(task: GatewayExtractOperator) -> str | None:
    schema = task.schema
    if isinstance(schema, (str, Path)) and not Path(schema).is_file():
        return f"schema: there is no file {schema}"
    if schema is OpenApiSchema:
        return "schema must be OpenApiSchema('operationId'), not the class"
    if isinstance(schema, OpenApiSchema):
        problem = schema.problem(task.records if task.export is None else None)
        return f"schema: {problem}" if problem else None
    return None


def _wrong_choice(task: GatewayExtractOperator) -> str | None:
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
