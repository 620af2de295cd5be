"""One measured run: so many deferred tasks in one triggerer."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from _waits_airflow import HERE, Home, Runner, Service, Telling, Wanted, share, until
from _waits_probe import lags

from stack import marks
from stack.processes import triggerer

SETTLED = 1.0
"""Seconds that the waits are left alone before the first job ends."""


@dataclass(frozen=True)
class Measured:
    """What a run came to."""

    rss_kb_per_wait: float | None
    loop_lag_p99_ms: float | None
    """From the first look at the last of the waits on."""
    ramp_lag_p99_ms: float | None
    """Until then, while the triggerer takes them up."""
    polls_per_job: float
    resume_p50_s: float
    resume_p95_s: float
    cpu_ms_per_job: float
    """CPU of the process that polls, from the deferral to the last job's end, shared among the jobs."""


def measure(home: Home, service: Service, dag_id: str, wanted: Wanted) -> Measured:
    """Wait for jobs as a DAG of the benchmark does, in a triggerer that does nothing else."""
    samples = home.layout.home / "lags"
    tell = Telling(dag_id)
    service.plan(0)  # else what the variant before asked for would pass for the first wait's polls
    with _rows(home, dag_id, wanted.jobs, samples) as rows, _triggerer(home) as process:
        runner = Runner(process.pid)
        tell("the triggerer starts")
        # Imports and the first connection are paid for once, however many waits there are.
        until("the first wait has polled", lambda: samples.exists() and service.facts()["others"] >= 2)
        runner.forget_peak()
        before, cpu = runner.rss, runner.cpu
        service.plan(wanted.jobs)
        began = time.time()
        _say(rows, "all")
        tell("all are deferred")
        until("every wait has polled", lambda: service.facts()["asked"] >= wanted.jobs)
        tell("all have polled")
        polled = time.time()
        first_end = polled + SETTLED
        last_end = first_end + wanted.spread
        service.end(first_end, last_end)
        time.sleep(last_end - time.time())
        spent = runner.cpu - cpu
        tell("all jobs are over")
        until("every task goes on", lambda: len(home.resumed(dag_id)) >= wanted.jobs)
        over, peak = time.time(), runner.peak
        tell("all tasks go on")
    facts, resumed = service.facts(), home.resumed(dag_id)
    late = sorted(moment - facts["ends"][number] for number, moment in resumed.items())
    lag, ramp = lags(samples, polled, over), lags(samples, began, polled)
    return Measured(
        rss_kb_per_wait=(peak - before) / 1024 / wanted.jobs,
        loop_lag_p99_ms=share(lag, 0.99) * 1000,
        ramp_lag_p99_ms=share(ramp, 0.99) * 1000,
        polls_per_job=facts["requests"] / wanted.jobs,
        resume_p50_s=statistics.median(late),
        resume_p95_s=share(late, 0.95),
        cpu_ms_per_job=spent / wanted.jobs * 1000,
    )


@contextmanager
def _rows(home: Home, dag_id: str, jobs: int, samples: Path) -> Iterator[subprocess.Popen[str]]:
    process = home.start(str(HERE / "_waits_rows.py"), dag_id, str(jobs), str(samples), log="rows.log")
    try:
        _hear(home, process, "first")
        yield process
    finally:
        process.kill()
        process.communicate()


def _say(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline().strip() == word


def _hear(home: Home, process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == word:
            return
    raise SystemExit(f"the rows could not be made:\n{(home.layout.home / 'rows.log').read_text()[-4000:]}")


@contextmanager
def _triggerer(home: Home) -> Iterator[subprocess.Popen[str]]:
    process = home.start(*triggerer().command[1:], log="triggerer.log")
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # nothing of it is kept, and to end in order takes it ten seconds
        process.wait()
        marks.sweep(home.layout.home)
