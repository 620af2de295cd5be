"""DAGs of the other Airflow: they succeed, fail, go on for long, or are paused."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

from airflow.sdk import Param, dag, task


@dag(schedule=None, is_paused_upon_creation=False, params={"rows": Param(3, type="integer")})
def counts() -> None:
    @task
    def load(params: dict[str, Any] | None = None) -> dict[str, Any]:
        assert params is not None
        print(f"loading {params['rows']} rows")
        return {"rows": params["rows"], "tables": ["orders"]}

    @task
    def report(loaded: dict[str, Any]) -> str:
        return f"{loaded['rows']} rows"

    @task
    def nothing() -> None:
        """Return nothing."""

    report(load()) >> nothing()


@dag(schedule=None, is_paused_upon_creation=False)
def breaks() -> None:
    @task
    def fetch() -> None:
        logging.getLogger("shop").warning("the last line before the end")
        raise RuntimeError("the disk is full")

    @task
    def after() -> None:
        """Never begin."""

    fetch() >> after()


@dag(schedule=None, is_paused_upon_creation=False)
def sleeps() -> None:
    @task
    def sleep(params: dict[str, Any] | None = None) -> None:
        assert params is not None
        Path(params["mark"]).write_text(str(os.getpid()))
        time.sleep(600)

    sleep()


@dag(schedule=None, is_paused_upon_creation=True)
def rests() -> None:
    @task
    def never() -> None:
        """Wait for a person to resume the DAG."""

    never()


counts()
breaks()
sleeps()
rests()
