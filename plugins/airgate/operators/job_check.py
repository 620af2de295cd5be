"""What is wrong with the arguments of a job's task, found while its DAG is parsed."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from airflow.sdk import XComArg

from airgate.jobs.job import JobHandle
from airgate.jobs.pace import PollPace
from airgate.jobs.protocol import JobProtocol, reference

Seconds = float | timedelta
ON_KILL = ("cancel", "leave")


def seconds_of(name: str, value: Any) -> float:
    """A time as seconds.

    Args:
        name: Of the argument.
        value: A number, or a timedelta.

    Raises:
        ValueError: It is neither, or not more than 0.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} must be seconds or a timedelta, not {value!r}")  # noqa: TRY004 - as all of them
    if not value > 0:
        raise ValueError(f"{name} must be more than 0 seconds, not {value:g}")
    return float(value)


def pace_of(given: Any) -> PollPace:
    """The bounds of the interval of polls.

    Args:
        given: Seconds or a timedelta, or a pair of them, the shorter first.

    Raises:
        ValueError: It is something else.
    """
    bounds = given if isinstance(given, (tuple, list)) else (given, given)
    if len(bounds) != 2:
        raise ValueError(f"poll_interval must be seconds, or a pair (shortest, longest), not {given!r}")
    shortest, longest = (seconds_of("poll_interval", bound) for bound in bounds)
    return PollPace(shortest, longest)


def problem_of_protocol(protocol: Any) -> str | None:
    """What keeps an object from being a protocol, None when nothing does."""
    if inspect.isclass(protocol):
        return f"protocol must be an instance: {protocol.__name__}(…), with what is to be submitted"
    if not isinstance(protocol, JobProtocol):
        return f"protocol must be one of airgate.jobs, not a {type(protocol).__name__}"
    kind: Any = type(protocol)
    if not hasattr(kind, "__dataclass_fields__"):
        return f"protocol: {kind.__name__} must be a dataclass, as fields of it are replaced and stored"
    names = {field.name for field in dataclasses.fields(kind)}
    for what in ("watched", "sought", "template_fields"):
        if unknown := sorted(set(getattr(kind, what)) - names):
            return f"protocol: {what} of {kind.__name__} names {unknown[0]!r}, which is no field of it"
    return None


def problem_of_fields(protocol: JobProtocol, fields: Any) -> str | None:
    """What keeps fields from replacing those of the protocol, None when nothing does, or it cannot be told yet."""
    if fields is None or isinstance(fields, XComArg) or (isinstance(fields, str) and "{{" in fields):
        return None
    if not isinstance(fields, Mapping):
        return f"fields must be a dict of fields of {type(protocol).__name__}, not {fields!r}"
    names = [field.name for field in dataclasses.fields(protocol) if field.init]  # type: ignore[arg-type]
    for name in fields:
        if name not in names:
            near = get_close_matches(str(name), names, 1)
            cure = f"did you mean {near[0]}?" if near else f"it has {', '.join(names)}"
            return f"fields: {type(protocol).__name__} has no field {name!r}; {cure}"
    return None


def problem_of_handle(job: Any) -> str | None:
    """What keeps a value from being a job's handle, None when nothing does, or it cannot be told yet."""
    if job is None or isinstance(job, XComArg) or (isinstance(job, str) and "{{" in job):
        return None
    try:
        JobHandle.from_json(job)
    except ValueError as error:
        return f"job: {error}"
    return None


def replaced(protocol: JobProtocol, fields: Mapping[str, Any] | None) -> JobProtocol:
    """The protocol with the fields of a task.

    Raises:
        ValueError: Naming the field.
    """
    if problem := problem_of_fields(protocol, fields):
        raise ValueError(problem)
    return dataclasses.replace(protocol, **fields) if fields else protocol  # type: ignore[type-var]


def problem_of(
    protocol: JobProtocol, fields: Any, job: Any, *, on_kill: str, epoch: Any, deferrable: bool
) -> str | None:
    """What keeps a task from working, naming the argument; None when nothing does."""
    problem = problem_of_fields(protocol, fields) or problem_of_handle(job)
    if problem is not None:
        return problem
    known = fields is None or isinstance(fields, Mapping)
    if known and job is None and (problem := replaced(protocol, fields).problem()):
        return f"protocol: {problem}"
    if on_kill not in ON_KILL:
        return f"on_kill must be cancel or leave, not {on_kill!r}"
    if not isinstance(epoch, str):
        return f"epoch must be a text, not {epoch!r}"
    if deferrable:
        try:
            reference(protocol)
        except ValueError as error:
            return f"protocol: {error}"
    return None
