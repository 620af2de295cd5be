"""Checks the fields of accepted work while the DAG is parsed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airgate.jobs.accepted_reading import own_words
from airgate.jobs.status_document import compiled, words_of

if TYPE_CHECKING:
    from airgate.jobs.accepted import Accepted

_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_KEY_IN = re.compile(r"(json|query|header):\S+")
_EXPRESSIONS = (
    *("found", "job_id", "link", "state", "percent", "phase", "message", "retryable", "result_link", "output"),
    "listed",
)
_PATHS = {"find_path": "{key}", "status_path": "{id}", "log_path": "{id}", "batch_path": "{ids}"}


def problem_of(fields: Accepted) -> str | None:
    """What keeps the fields from working, None when nothing does; templates pass."""
    return _request(fields) or _paths(fields) or _looking(fields) or _expressions(fields)


def _request(fields: Accepted) -> str | None:
    if not fields.path:
        return "path is missing: the path below the gateway that starts the work"
    if fields.method.upper() not in _METHODS:
        return f"method must be one that starts something, {', '.join(sorted(_METHODS))}, not {fields.method!r}"
    if fields.json is not None and fields.data is not None:
        return "json and data cannot both be the body"
    if fields.foreign_location not in {"refuse", "path"}:
        return f"foreign_location must be refuse or path, not {fields.foreign_location!r}"
    if fields.key_in and not _KEY_IN.fullmatch(fields.key_in):
        return f"key_in must be json:name, query:name or header:name, not {fields.key_in!r}"
    template = isinstance(fields.json, str) and "{{" in fields.json
    if fields.key_in.startswith("json:") and not (fields.json is None or isinstance(fields.json, dict) or template):
        return "key_in names a member of json, which must be a JSON object then"
    return None


def _paths(fields: Accepted) -> str | None:
    for name in ("path", "base", *_PATHS):
        if "://" in getattr(fields, name).partition("?")[0]:
            return f"{name} must be a path below the gateway, not an address: the connection has the host"
    for name, place in _PATHS.items():
        path = getattr(fields, name)
        if path and place not in path:
            return f"{name} must have {place} where it belongs, such as /jobs?of={place}, and is {path!r}"
    if fields.cancels is not None:
        method, space, path = fields.cancels.partition(" ")
        if method not in _METHODS or (space and not path.startswith("/")):
            return (
                f"cancels must be a method, method and path such as 'POST /jobs/{{id}}/cancel', or None, not "
                f"{fields.cancels!r}"
            )
    return None


def _looking(fields: Accepted) -> str | None:
    if fields.find_path and not fields.found:
        return "find_path needs found: JMESPath of the job in its answer, such as jobs[0], or @ for all of it"
    if fields.find_path and not (fields.link or fields.status_path):
        return "find_path needs status_path or link, which say where the job is that it found"
    if fields.find_path and not (fields.honours_keys or fields.key_in):
        return "find_path needs the key at the service: set key_in, or honours_keys if it goes by Idempotency-Key"
    if fields.batch_path and not fields.listed:
        return "batch_path needs listed: JMESPath of the list of jobs in its answer, such as jobs, or @ for all of it"
    if fields.batch_size < 1:
        return f"batch_size must be 1 or more, not {fields.batch_size}"
    return None


def _expressions(fields: Accepted) -> str | None:
    try:
        words_of(own_words(fields))
        for name in _EXPRESSIONS:
            if getattr(fields, name):
                compiled(name, getattr(fields, name))
    except ValueError as error:
        return str(error)
    return None
