"""A process that goes on with a run and is killed right before or behind some function."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from tests.sagas.charges import order_dag
from tests.sagas.saga_run import SagaRun

ROOT = Path(__file__).parents[2]


def killed(define: Callable[[Any], None], when: Literal["before", "behind"], function: str, **options: Any) -> SagaRun:
    """A run whose process was killed, as the scheduler leaves it once it has noticed.

    Args:
        define: The steps; a function of a module.
        when: Whether the kill comes right before or right behind the function.
        function: ``module:Class.method``.
        **options: Of the saga.
    """
    dag = order_dag(define, **options)
    run = SagaRun.asked_for(dag)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "scripts")])
    where = f"{define.__module__}:{define.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "tests.sagas.dying", where, run.run_id, when, function],
        env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stdout[-3000:] + done.stderr[-3000:]
    run.notice_dead()
    return run


def main(where: str, run_id: str, when: str, function: str) -> None:
    """Go on with the run until the kill."""
    module, _, name = where.partition(":")
    dag = order_dag(getattr(importlib.import_module(module), name))
    module, _, path = function.partition(":")
    owner_name, _, method = path.rpartition(".")
    owner: Any = importlib.import_module(module)
    owner = getattr(owner, owner_name) if owner_name else owner
    setattr(owner, method, _dying(getattr(owner, method), when))
    SagaRun(dag, run_id).go()


def _dying(original: Callable[..., Any], when: str) -> Callable[..., None]:
    def dying(*arguments: Any, **options: Any) -> None:
        if when == "behind":
            original(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    return dying


if __name__ == "__main__":
    main(*sys.argv[1:])
