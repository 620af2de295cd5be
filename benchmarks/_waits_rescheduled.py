"""One measured run of sensors in reschedule mode: scheduler, API server and workers, as each poke is a task process."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import requests
from _waits_airflow import HERE, Home, Service, Telling, Wanted, share, until
from _waits_deferred import Measured

from stack import marks
from stack.processes import Program, orchestrator, scheduler


def measure(home: Home, service: Service, dag_id: str, wanted: Wanted) -> Measured:
    """Run a DAG of the benchmark with as many workers as the sample Airflow has."""
    tell = Telling(dag_id)
    service.plan(wanted.jobs)
    made = home.start(str(HERE / "_waits_rows.py"), dag_id, log="rows.log")
    if made.communicate()[0].split()[-1:] != ["made"]:
        raise SystemExit(f"the run could not be made:\n{(home.layout.home / 'rows.log').read_text()[-4000:]}")
    with _running(home) as process:
        tell("the scheduler starts")
        workers = _Workers(process.pid)
        until("every sensor has poked", lambda: service.facts()["asked"] >= wanted.jobs)
        tell("all have polled")
        cpu, requests_before = workers.cpu, service.facts()["requests"]
        first_end = time.time() + wanted.poll
        service.end(first_end, first_end + wanted.spread)
        until("every sensor is done", lambda: len(home.ended(dag_id)) >= wanted.jobs)
        tell("all tasks are done")
        spent, facts, ended = workers.cpu - cpu, service.facts(), home.ended(dag_id)
    late = sorted(moment - facts["ends"][number] for number, moment in ended.items())
    each = spent / (facts["requests"] - requests_before)
    return Measured(
        rss_kb_per_wait=None,
        loop_lag_p99_ms=None,
        ramp_lag_p99_ms=None,
        polls_per_job=facts["requests"] / wanted.jobs,
        resume_p50_s=statistics.median(late),
        resume_p95_s=share(late, 0.95),
        cpu_ms_per_job=each * facts["requests"] / wanted.jobs * 1000,
    )


class _Workers:
    """The scheduler's children: one process for each worker, which has one for each task."""

    def __init__(self, scheduler: int) -> None:
        self._scheduler = psutil.Process(scheduler)

    @property
    def cpu(self) -> float:
        """CPU seconds of the workers and of the tasks that they saw end."""
        spent = 0.0
        for worker in self._scheduler.children():
            with contextlib.suppress(psutil.Error):
                times = worker.cpu_times()
                spent += times.user + times.system + times.children_user + times.children_system
        return spent


@contextmanager
def _running(home: Home) -> Iterator[subprocess.Popen[str]]:
    server = next(each for each in orchestrator(home.layout, home.ports) if each.name == "api-server")
    processes: list[subprocess.Popen[str]] = []
    try:
        processes.append(_start(home, server))
        until("the API server answers", lambda: _answers(str(server.health)))
        processes.append(_start(home, scheduler()))
        yield processes[-1]
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        marks.sweep(home.layout.home)


def _start(home: Home, program: Program) -> subprocess.Popen[str]:
    return home.start(*program.command[1:], log=f"{program.name}.log", settings=program.environment)


def _answers(address: str) -> bool:
    with requests.Session() as session, contextlib.suppress(requests.RequestException):
        session.trust_env = False
        return session.get(address, timeout=10).ok
    return False
