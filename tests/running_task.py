"""A task that runs in this process, as Airflow's task runner sets it up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk.definitions._internal import contextmanager as airflow_contexts


@contextmanager
def running(context: Any) -> Iterator[None]:
    """Make it what ``get_current_context`` gives."""
    airflow_contexts._CURRENT_CONTEXT.append(context)
    try:
        yield
    finally:
        airflow_contexts._CURRENT_CONTEXT.pop()
