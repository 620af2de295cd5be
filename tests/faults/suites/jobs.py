"""Jobs whose task is killed or ended by hand at drawn moments: a real Airflow, kill -9, and a service that counts jobs.

Killed are the worker before, while and after it submits and fetches, whoever looks at the job, the scheduler and the
api-server, the last one also until Airflow gives its workers up: every run has to succeed with exactly one job. Workers
are killed in their last try, runs are marked failed, with and without a triggerer, both also before anybody has heard
of the job, and runs are cleared: no job may be left running, and no two may have run at the same time. One JSON line a
run, and a summary last.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from interrupts import INTERRUPTS, Interrupted
from stack.airflow_api import ApiFailed
from tests.faults.airflow_under_fire import AirflowUnderFire, airflow_under_fire
from tests.faults.job_cases import (
    AWAY,
    AWAY_SECONDS,
    BY_HAND,
    CLEARED,
    CLEARED_UNHEARD,
    LAST,
    LAST_UNHEARD,
    MARKED_ON_RETURN,
    MARKED_UNHEARD,
    ONCE,
    SERVERS,
    SUBMITTING,
    UNFOUND,
    WATCHING,
    WAYS,
    JobCase,
    job_cases,
)

BATCH = 11
"""Cases that run at once."""
SERVERS_AT_ONCE = 4
"""Of those whose server is killed: while the api-server is away no other case can be hit."""
PATIENCE = 300.0
"""Seconds for a batch."""
SETTLING = 150.0
"""Seconds in which a cancellation has to reach the service after the task has ended."""
_ENDED = frozenset({"success", "failed"})


@dataclass
class Run:
    """One DAG run of one case."""

    run_id: str
    case: JobCase
    state: str = ""
    tries: int = 0
    task_state: str = ""
    running_since: float | None = None
    """When its job was first seen running, on the monotonic clock."""
    returning_since: float | None = None
    """When its task was first seen coming back from a killed try."""
    killed: bool = False
    """Whether the service has killed who submitted it."""
    hit: str = ""
    """What was done to it from here."""
    result: Any = None
    """What the task of a run that succeeded gave."""

    @property
    def order(self) -> str:
        """Its name with the counting service."""
        return f"{self.case.way}.{self.run_id}"

    def line(self, order: dict[str, Any]) -> dict[str, Any]:
        """What is reported of it, given what happened to its order."""
        jobs = order["jobs"]
        hit = order["killed"] or ([self.hit] if self.hit else [])
        if self.case.moment in BY_HAND and not self.hit:
            hit = []
        return {
            "suite": "jobs",
            "case": self.case.number,
            "dag": self.case.way,
            "moment": self.case.moment,
            "victim": self.case.victim,
            "hit": hit,
            "hit_at": order["killed_at"] or ("running" if self.hit else None),
            "state": self.state,
            "tries": self.tries,
            "submissions": order["arrivals"],
            "keys": order["keys"],
            "jobs": [job["state"] for job in jobs],
            "held": held(self.case, self.state, jobs, self.result),
        }


def held(case: JobCase, state: str, jobs: Sequence[dict[str, Any]], result: Any) -> bool:
    """Whether a run kept its promise; a run that succeeded has the result of its last job."""
    spans = sorted((job["from"], job["to"]) for job in jobs)
    if any(job["state"] == "running" for job in jobs) or any(first[1] > then[0] for first, then in pairwise(spans)):
        return False
    states = [job["state"] for job in sorted(jobs, key=lambda job: job["from"])]
    if case.moment not in (*BY_HAND, LAST, LAST_UNHEARD):
        return state == "success" and states == ["succeeded"] and _is_of(result, jobs)
    if case.moment == MARKED_ON_RETURN:  # Airflow's word on the run may be overwritten by what its scheduler had read
        return state in _ENDED and states == ["cancelled"] * max(len(states), 1)
    if case.moment in CLEARED:
        before = {"cancelled"} if case.moment != CLEARED_UNHEARD else set(states[:-1])
        right = states[-1:] == ["succeeded"] and set(states[:-1]) == before <= {"cancelled"}
        return state == "success" and right and _is_of(result, jobs)
    return state == "failed" and states == ["cancelled"]


def _is_of(result: Any, jobs: Sequence[dict[str, Any]]) -> bool:
    last = max(jobs, key=lambda job: job["from"])
    return isinstance(result, dict) and result.get("by") == last["id"]


def fire(stack: AirflowUnderFire, runs: list[Run], stamp: str, patience: float = PATIENCE) -> Iterator[dict[str, Any]]:
    """Start runs, do to them what their cases say, and give a line for each once all have ended."""
    stack.plan({run.order: run.case.as_json() for run in runs})
    for run in runs:
        stack.airflow.trigger(run.case.way, run.run_id, {})
    deadline = time.monotonic() + patience
    while any(run.state not in _ENDED for run in runs) and time.monotonic() < deadline:
        time.sleep(0.4)
        with contextlib.suppress(ApiFailed):
            _look(stack, runs, stamp)
            _hit(stack, runs)
    for run in runs:
        if run.state == "success":
            with contextlib.suppress(ApiFailed):
                run.result = stack.airflow.xcom(run.case.way, run.run_id, "work")
    settled = time.monotonic() + SETTLING
    while time.monotonic() < settled and not all(run.line(stack.orders()[run.order])["held"] for run in runs):
        time.sleep(1)
    orders = stack.orders()
    for run in runs:
        yield run.line(orders[run.order])


def _look(stack: AirflowUnderFire, runs: list[Run], stamp: str) -> None:
    orders = stack.orders()
    for way in {run.case.way for run in runs}:
        some = [run for run in runs if run.case.way == way]
        states = {run["dag_run_id"]: run["state"] for run in stack.airflow.runs(way, stamp)}
        tasks = {task["dag_run_id"]: task for task in stack.airflow.tasks(way, [run.run_id for run in some])}
        for run in some:
            run.state, run.killed = states.get(run.run_id, ""), bool(orders[run.order]["killed"])
            if task := tasks.get(run.run_id):
                run.tries = max(run.tries, task["try_number"])
                run.task_state = task["state"] or ""
                if run.killed and run.returning_since is None and (run.tries > 1 or run.task_state != "running"):
                    run.returning_since = time.monotonic()
            if run.running_since is None and any(job["state"] == "running" for job in orders[run.order]["jobs"]):
                run.running_since = time.monotonic()


def _hit(stack: AirflowUnderFire, runs: list[Run]) -> None:
    """Do what has to be done from outside: to servers, for all that run in them at the moment, and to runs."""
    for run in runs:
        if run.hit in CLEARED and run.state == "failed" and not run.task_state:
            # Where no rows are locked, as in SQLite, the scheduler may write over a clear what it had read before.
            stack.airflow.clear(run.case.way, run.run_id, ["work"])
            run.state = ""
        if run.hit or not _is_due(run):
            continue
        case = run.case
        if case.moment in SERVERS:
            if stack.kill(case.moment):
                for other in runs:  # all whose job has begun are hit by it
                    begun = other.running_since is not None and other.state not in _ENDED
                    other.hit = case.moment if other.case.moment == case.moment and begun else other.hit
            return  # the api-server answers nothing for a while
        if case.moment == AWAY:
            if all(_waits(other) for other in runs):
                _keep_away(stack, runs)
            return
        if case.moment == "marked failed without triggerer":
            stack.kill("triggerer")
        if case.moment != "cleared":
            stack.airflow.fail_run(case.way, run.run_id)
        if case.moment in CLEARED:
            stack.airflow.clear(case.way, run.run_id, ["work"])
        run.hit = case.moment


def _keep_away(stack: AirflowUnderFire, runs: list[Run]) -> None:
    """Kill the api-server whenever it is there, until the scheduler has not heard of a worker for too long."""
    for run in runs:
        run.hit = AWAY
    ends = time.monotonic() + AWAY_SECONDS
    while time.monotonic() < ends:
        stack.kill("api-server")
        time.sleep(2)  # less than it takes to answer, and enough for the process supervisor not to give it up


def _is_due(run: Run) -> bool:
    """Whether the moment has come for something that is done from outside."""
    if run.case.moment in (MARKED_UNHEARD, CLEARED_UNHEARD):
        return run.killed
    if run.case.moment == MARKED_ON_RETURN:
        return run.returning_since is not None and time.monotonic() - run.returning_since >= 2 * run.case.pause
    if run.case.moment not in (*SERVERS, AWAY, *BY_HAND) or not _waits(run) or run.running_since is None:
        return False
    return time.monotonic() - run.running_since >= 0.5 + run.case.pause


def _waits(run: Run) -> bool:
    """Whether its task waits for its job; before that, a task that is ended by hand has nobody to end its job."""
    return run.task_state == ("running" if run.case.way == "jobs_here" else "deferred")


def summary(lines: Sequence[dict[str, Any]], seed: int, seconds: float) -> dict[str, Any]:
    """The last line."""
    return {
        "suite": "jobs",
        "summary": True,
        "seed": seed,
        "runs": len(lines),
        "held": sum(line["held"] for line in lines),
        "hit": sum(bool(line["hit"]) for line in lines),
        "hit_at": Counter(line["moment"] for line in lines if line["hit"]),
        "submissions": sum(line["submissions"] for line in lines),
        "jobs": sum(len(line["jobs"]) for line in lines),
        "left_running": sum("running" in line["jobs"] for line in lines),
        "seconds": round(seconds),
    }


def run_suite(home: Path, some: Sequence[JobCase], seed: int, say: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run all the cases in a fresh Airflow; give the summary.

    Args:
        home: folder for all that is written.
        some: the cases.
        seed: what they were drawn with, for the report.
        say: told each line.
    """
    began, lines = time.monotonic(), []
    with airflow_under_fire(home, (*WAYS, ONCE, UNFOUND), "tests.faults.jobs_service") as stack:
        for number, batch in enumerate(_batches(some)):
            stamp = f"batch{number:03d}"
            for line in fire(stack, [Run(f"{stamp}-{case.number:04d}", case) for case in batch], stamp):
                lines.append(line)
                say(line)
    total = summary(lines, seed, time.monotonic() - began)
    say(total)
    return total


def _batches(some: Sequence[JobCase]) -> Iterator[Sequence[JobCase]]:
    """Cases that may run at once: a server's death hits all that runs, so those cases are apart from the others."""
    kinds = ((*SUBMITTING, *WATCHING, LAST, LAST_UNHEARD), SERVERS, (AWAY,), BY_HAND)
    for kind in kinds:
        cases, size = [case for case in some if case.moment in kind], SERVERS_AT_ONCE if kind is SERVERS else BATCH
        yield from (cases[start : start + size] for start in range(0, len(cases), size))


def main(arguments: Sequence[str]) -> int:
    """Run the suite; 0 when every run was hit and kept its promise."""
    parser = argparse.ArgumentParser(prog="scripts/test --faults jobs", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="makes the moments reproducible")
    parser.add_argument("--runs", type=int, default=80, help="cases (default: 80)")
    parser.add_argument("--home", type=Path, help="keep what Airflow writes in this folder")
    options = parser.parse_args(arguments)

    def say(line: dict[str, Any]) -> None:
        print(json.dumps(line), flush=True)

    INTERRUPTS.install()
    try:
        with tempfile.TemporaryDirectory(prefix="airgate-faults-") as folder:
            home = options.home or Path(folder) / "home"
            total = run_suite(home, job_cases(options.runs, options.seed), options.seed, say)
    except Interrupted as interrupted:
        return interrupted.exit_code
    # A disturbance that missed its run proves nothing.
    return 0 if total["held"] == total["hit"] == total["runs"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
