"""Writes around which processes are killed: a real Airflow, kill -9 of task, supervisor and triggerer, effects counted.

Every case runs through GatewayOperator with a key, which has to end in exactly one effect, and beside it through
HttpOperator, whose doubled and lost writes are counted for the record. One JSON line a run, and a summary last.
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
from pathlib import Path
from typing import Any

from interrupts import INTERRUPTS, Interrupted
from stack.airflow_api import ApiFailed
from tests.faults.airflow_under_fire import AirflowUnderFire, airflow_under_fire
from tests.faults.cases import Case, as_met_by_a_trigger, cases

GATEWAY, PEERS = "gateway", ("http", "http_deferrable")
DAG_IDS = (GATEWAY, *PEERS)

BATCH = 10
"""Cases that run at once."""

PATIENCE = 420.0
"""Seconds for a batch."""


@dataclass
class Run:
    """One DAG run of one case."""

    dag_id: str
    run_id: str
    case: Case
    state: str = ""
    tries: int = 0
    deferred_since: float | None = None
    """When it was first seen waiting in the triggerer, on the monotonic clock."""
    triggerer_killed: bool = False

    @property
    def order(self) -> str:
        """Its name with the counting service."""
        return f"{self.dag_id}.{self.run_id}"

    def line(self, order: dict[str, Any]) -> dict[str, Any]:
        """What is reported of it, given what happened to its order."""
        killed = order["killed"] + (["triggerer"] if self.triggerer_killed else [])
        return {
            "suite": "calls",
            "case": self.case.number,
            "dag": self.dag_id,
            "moment": self.case.moment,
            "pause": round(self.case.pause, 3),
            "killed": killed,
            "killed_at": order["killed_at"] or ("waiting" if self.triggerer_killed else None),
            "state": self.state,
            "tries": self.tries,
            "arrivals": order["arrivals"],
            "keys": order["keys"],
            "effects": order["effects"],
            "exactly_one": self.state == "success" and order["effects"] == 1,
        }


def runs_of(some: Sequence[Case], stamp: str, peers: bool) -> list[Run]:
    """The DAG runs of some cases: one through the gateway each, and one of the peer that the case concerns."""
    made = []
    for case in some:
        run_id = f"{stamp}-{case.number:04d}"
        made.append(Run(GATEWAY, run_id, case))
        if not peers:
            continue
        if case.victim == "triggerer":
            made.append(Run("http_deferrable", run_id, as_met_by_a_trigger(case)))
        else:
            made.append(Run("http", run_id, case))
    return made


def fire(stack: AirflowUnderFire, runs: list[Run], stamp: str, patience: float = PATIENCE) -> Iterator[dict[str, Any]]:
    """Start runs, kill the triggerer under those that wait in it, and give a line for each once all have ended."""
    stack.plan({run.order: run.case.as_json() for run in runs})
    for run in runs:
        stack.airflow.trigger(run.dag_id, run.run_id, {})
    deadline = time.monotonic() + patience
    while any(run.state not in {"success", "failed"} for run in runs) and time.monotonic() < deadline:
        time.sleep(0.5)
        with contextlib.suppress(ApiFailed):
            _look(stack, runs, stamp)
        _shoot_triggerer(stack, runs)
    orders = stack.orders()
    for run in runs:
        yield run.line(orders[run.order])


def _look(stack: AirflowUnderFire, runs: list[Run], stamp: str) -> None:
    states = {
        (run["dag_id"], run["dag_run_id"]): run["state"]
        for dag_id in {run.dag_id for run in runs}
        for run in stack.airflow.runs(dag_id, stamp)
    }
    tasks = {
        (task["dag_id"], task["dag_run_id"]): task
        for dag_id in {run.dag_id for run in runs}
        for task in stack.airflow.tasks(dag_id, [run.run_id for run in runs if run.dag_id == dag_id])
    }
    for run in runs:
        run.state = states.get((run.dag_id, run.run_id), "")
        if task := tasks.get((run.dag_id, run.run_id)):
            run.tries = max(run.tries, task["try_number"])
            if task["state"] == "deferred" and run.deferred_since is None:
                run.deferred_since = time.monotonic()
            elif task["state"] != "deferred":
                run.deferred_since = None


def _shoot_triggerer(stack: AirflowUnderFire, runs: list[Run]) -> None:
    """Kill the triggerer if a run waits in it whose moment has come; all that wait are then hit by it."""
    waiting = [run for run in runs if run.case.moment == "while waiting" and run.deferred_since is not None]
    due = [run for run in waiting if time.monotonic() - (run.deferred_since or 0) >= run.case.pause]
    if any(not run.triggerer_killed for run in due) and stack.kill("triggerer"):
        for run in waiting:
            run.triggerer_killed = True


def summary(lines: Sequence[dict[str, Any]], seed: int, seconds: float) -> dict[str, Any]:
    """The last line."""
    ours = [line for line in lines if line["dag"] == GATEWAY]
    return {
        "suite": "calls",
        "summary": True,
        "seed": seed,
        "runs": len(ours),
        "exactly_one": sum(line["exactly_one"] for line in ours),
        "killed": sum(bool(line["killed"]) for line in ours),
        "killed_at": Counter(line["killed_at"] for line in ours if line["killed_at"]),
        "requests": sum(line["arrivals"] for line in ours),
        "peers": {
            peer: {
                "runs": len(theirs),
                "exactly_one": sum(line["exactly_one"] for line in theirs),
                "more_than_one": sum(line["effects"] > 1 for line in theirs),
                "none": sum(line["effects"] == 0 for line in theirs),
                "most": max(line["effects"] for line in theirs),
            }
            for peer in PEERS
            if (theirs := [line for line in lines if line["dag"] == peer])
        },
        "seconds": round(seconds),
    }


def run_suite(
    home: Path, some: Sequence[Case], seed: int, say: Callable[[dict[str, Any]], None], *, peers: bool = True
) -> dict[str, Any]:
    """Run all the cases in a fresh Airflow; give the summary.

    Args:
        home: folder for all that is written.
        some: the cases.
        seed: what they were drawn with, for the report.
        say: told each line.
        peers: whether HttpOperator runs beside.
    """
    began, lines = time.monotonic(), []
    with airflow_under_fire(home, DAG_IDS) as stack:
        for start in range(0, len(some), BATCH):
            stamp = f"batch{start // BATCH:03d}"
            for line in fire(stack, runs_of(some[start : start + BATCH], stamp, peers), stamp):
                lines.append(line)
                say(line)
    total = summary(lines, seed, time.monotonic() - began)
    say(total)
    return total


def main(arguments: Sequence[str]) -> int:
    """Run the suite; 0 when every write through the gateway met its kill and had exactly one effect."""
    parser = argparse.ArgumentParser(prog="scripts/test --faults calls", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="makes the moments reproducible")
    parser.add_argument("--runs", type=int, default=50, help="cases (default: 50)")
    parser.add_argument("--no-peers", action="store_true", help="leave HttpOperator out")
    parser.add_argument("--home", type=Path, help="keep what Airflow writes in this folder")
    options = parser.parse_args(arguments)

    def say(line: dict[str, Any]) -> None:
        print(json.dumps(line), flush=True)

    INTERRUPTS.install()
    try:
        with tempfile.TemporaryDirectory(prefix="airgate-faults-") as folder:
            home = options.home or Path(folder) / "home"
            drawn = cases(options.runs, options.seed)
            total = run_suite(home, drawn, options.seed, say, peers=not options.no_peers)
    except Interrupted as interrupted:
        return interrupted.exit_code
    # A kill that missed its process proves nothing.
    return 0 if total["exactly_one"] == total["killed"] == total["runs"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
