"""Waits: 1,000 deferred jobs in one triggerer, against Airflow's HttpSensor, deferrable and in reschedule mode.

The triggerer is Airflow's own, on an SQLite metadata database; its tasks are deferred by Airflow's own models, and no
worker runs. The service is a process of its own whose jobs end by the clock, so that it knows when each of them ended.
All variants look at a job every five seconds, one after the other, each with a triggerer and a database of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import _waits_deferred  # noqa: E402
import _waits_rescheduled  # noqa: E402
from _waits_airflow import Home, Service, Wanted, service  # noqa: E402
from _waits_deferred import Measured  # noqa: E402

DEFERRED = ("airgate", "airgate_batch", "http_sensor")
VARIANTS = (*DEFERRED, "http_sensor_reschedule")
RESCHEDULED = 20
"""Sensors in reschedule mode: each poke is a process, and two cores start hardly one a second."""
FEW_SPREAD = 10.0
"""Seconds in which their jobs end."""
GOALS: dict[str, tuple[str, float | None]] = {
    "rss_kb_per_wait": ("KiB of peak resident memory of the event loop's process for each wait", 40),
    "loop_lag_p99_ms": ("ms that a timer of the event loop is late, slowest hundredth", 250),
    "ramp_lag_p99_ms": ("the same, in ms, while the triggerer takes the waits up", None),
    "polls_per_job": ("requests for each job", None),
    "resume_p50_s": ("s from a job's end to its task being scheduled, median", None),
    "resume_p95_s": ("s from a job's end to its task being scheduled, slowest twentieth", None),
    "cpu_ms_per_job": ("ms of CPU of the process that polls for each job, until the last one is over", None),
}
"""Measure -> unit and goal; lower is better."""


def run(folder: Path, jobs: Service, wanted: Wanted, variants: list[str], template: Path) -> dict[str, Measured]:
    """Measure each variant once."""
    found = {}
    for variant in variants:
        fewer = variant not in DEFERRED
        those = dataclasses.replace(wanted, jobs=min(RESCHEDULED, wanted.jobs), spread=FEW_SPREAD) if fewer else wanted
        measure = _waits_rescheduled.measure if fewer else _waits_deferred.measure
        found[variant] = measure(Home(folder / variant, jobs, those, template), jobs, variant, those)
    return found


def medians(runs: list[dict[str, Measured]]) -> dict[str, dict[str, float]]:
    """Variant -> measure -> median over the runs, rounded; measures that a variant has not are left out."""
    found: dict[str, dict[str, float]] = {}
    for variant in runs[0]:
        values = {name: [getattr(each[variant], name) for each in runs] for name in GOALS}
        found[variant] = {name: round(statistics.median(each), 2) for name, each in values.items() if None not in each}
    return found


def figures(median: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """What is claimed."""
    ours = median[DEFERRED[0]]
    others = {name: each for name, each in median.items() if name != DEFERRED[0]}
    return [
        {
            "bench": "waits",
            "figure": f"waits.{name}",
            "value": ours[name],
            "unit": unit,
            "better": "lower",
            "goal": goal,
            "peers": {other: each[name] for other, each in others.items() if name in each},
        }
        for name, (unit, goal) in GOALS.items()
    ]


def table(median: dict[str, dict[str, float]]) -> Iterator[str]:
    """A line for each measure, a column for each variant."""
    yield " ".join([f"{'':<16}", *(f"{name:>22}" for name in median)])
    for name, (unit, goal) in GOALS.items():
        values = (f"{each[name]:>22g}" if name in each else f"{'-':>22}" for each in median.values())
        yield " ".join([f"{name:<16}", *values, f" {unit}" + ("" if goal is None else f" (goal {goal:g})")])


def main() -> None:
    """Measure all variants in turn and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line and figure")
    parser.add_argument("--runs", type=int, default=1, help="of each variant")
    parser.add_argument("--jobs", type=int, default=1000, help="that are waited for at the same time")
    parser.add_argument("--poll", type=float, default=5.0, help="seconds between two looks at a job")
    parser.add_argument("--spread", type=float, default=30.0, help="seconds in which the jobs end, evenly")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="these variants (default: all)")
    parser.add_argument("--keep", type=Path, help="an empty folder for databases and logs, which stay there")
    options = parser.parse_args()
    if options.json and options.only and DEFERRED[0] not in options.only:
        parser.error(f"--json needs {DEFERRED[0]} in --only: the others are its peers")
    wanted = Wanted(options.jobs, options.poll, options.spread)
    variants = list(options.only or VARIANTS)
    with tempfile.TemporaryDirectory() as name, service() as jobs:
        folder = (options.keep or Path(name)).resolve()
        template = Home(folder / "empty", jobs, wanted).layout.metadata
        runs = [run(folder / str(number), jobs, wanted, variants, template) for number in range(options.runs)]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    median = medians(runs)
    if not options.json:
        print("\n".join(table(median)))
    else:
        for figure in figures(median):
            print(json.dumps({**figure, "n": options.runs, "machine": machine}))


if __name__ == "__main__":
    main()
