"""What the Dagster of the tests runs. It is read by Dagster's Python, which has nothing of this project."""

import os
import time
from pathlib import Path

from dagster import (
    AssetMaterialization,
    Config,
    Definitions,
    OpExecutionContext,
    asset,
    in_process_executor,
    job,
    op,
)


class Load(Config):
    """How much to load."""

    rows: int = 3


class Mark(Config):
    """Where to say that work began and ended."""

    path: str


@op
def load(context: OpExecutionContext, config: Load) -> int:
    context.log_event(AssetMaterialization("orders", metadata={"rows": config.rows}))
    return config.rows


@op
def report(context: OpExecutionContext, rows: int) -> None:
    context.log.info(f"{rows} rows")


@job(executor_def=in_process_executor)
def counts():
    report(load())


@op
def fetch(context: OpExecutionContext) -> None:
    context.log.warning("the last line before the end")
    raise RuntimeError("the disk is full")


@job(executor_def=in_process_executor)
def breaks():
    fetch()


@op
def sleep(config: Mark) -> None:
    Path(config.path).write_text(str(os.getpid()))
    try:
        time.sleep(600)
    finally:
        Path(config.path).with_suffix(".ended").write_text("cleaned up")


@job(executor_def=in_process_executor)
def sleeps():
    sleep()


@asset
def table() -> int:
    return 1


defs = Definitions(jobs=[counts, breaks, sleeps], assets=[table], executor=in_process_executor)
