"""Pushes whose process is killed, kill -9 at drawn moments, against a service that counts the effects of each record.

Each case pushes some records, is killed several times and tried again until it ends, as Airflow would. With keys every
good record must have had exactly one effect, and every bad one must be a dead letter once. Without keys no record may
have had two: a push that cannot know ends as that, with `OutcomeUnknown`. One JSON line a case, and a summary last.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from interrupts import INTERRUPTS, Interrupted

PROJECT = Path(__file__).resolve().parents[3]
KINDS = ("items", "busy", "strict", "record", "keyless")
"""Answers item by item, items that are put off at first, whole batches that are refused and halved, a record a request,
a service without keys."""
PAUSE = 0.006
"""Seconds that the service takes before its effects, and again behind them: where most kills are to come."""
PATIENCE = 60.0
"""Seconds for a try that nobody kills."""

ENDED, FAILED, UNKNOWN, KILLED = "ended", "failed", "unknown", "killed"
_CODES = {0: ENDED, 1: FAILED, 2: UNKNOWN}


@dataclass(frozen=True)
class Case:
    """One push."""

    number: int
    kind: str
    records: int
    bad: tuple[int, ...]
    batch_size: int
    in_flight: int
    kills: tuple[float, ...]
    """When each of the first tries is killed, as a share of the time that an undisturbed push takes."""


def cases(count: int, seed: int) -> list[Case]:
    """Draw cases, every kind as often as the others; the same seed gives the same ones."""
    draw = random.Random(seed)
    return [_case(number, KINDS[number % len(KINDS)], draw) for number in range(count)]


def _case(number: int, kind: str, draw: random.Random) -> Case:
    records = draw.randint(40, 120)
    bad = tuple(sorted(draw.sample(range(records), draw.randint(0, 4))))
    kills = tuple(draw.uniform(0.05, 0.95) / (1 + place) for place in range(draw.randint(1, 3)))
    size = 1 if kind == "record" else draw.randint(2, 6)
    return Case(number, kind, records, () if kind == "record" else bad, size, draw.randint(1, 4), kills)


@dataclass(frozen=True)
class Service:
    """The counting service, in a process of its own."""

    port: int

    def told(self) -> dict[str, Any]:
        """What it counted."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/told", timeout=30) as answer:
            return dict(json.loads(answer.read()))


@contextmanager
def service() -> Iterator[Service]:
    """Run one until the end of the context."""
    command = [sys.executable, "-m", "tests.faults.push_service", "0"]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield Service(int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()


def operator(case: Case, data: dict[str, Any]) -> Any:
    """The task of a case."""
    from airgate.operators.push import GatewayPushOperator

    path = {"items": "/items", "busy": "/items", "record": "/records/{id}"}.get(case.kind, "/strict")
    arguments: dict[str, Any] = {"batch_size": case.batch_size, "body": "items"}
    if case.kind in ("items", "busy"):
        arguments |= {"item_results": "items", "item_status": "status", "item_error": "error"}
    if case.kind == "record":
        arguments = {"body": "record", "method": "PUT"}
    return GatewayPushOperator(
        task_id="push",
        data=data,
        path=f"{path}?pause={PAUSE}{'&busy=3' if case.kind == 'busy' else ''}",
        in_flight=case.in_flight,
        idempotency_key=case.kind != "keyless",
        **arguments,
    )


def attempt(case: Case, home: Path, data: dict[str, Any], kill_after: float | None) -> tuple[str, float]:
    """Run one try in a process of its own and kill it if it is to be; gives how it ended and how long it ran."""
    began = time.monotonic()
    child = os.fork()
    if not child:
        _run_and_exit(case, home, data)
    patience = PATIENCE if kill_after is None else kill_after
    while time.monotonic() - began < patience:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return _CODES[os.waitstatus_to_exitcode(status)], time.monotonic() - began
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return KILLED, time.monotonic() - began


def _run_and_exit(case: Case, home: Path, data: dict[str, Any]) -> None:
    """Be a try: push, leave the report where it is looked for, and end without anything of the parent's."""
    from airgate.errors import OutcomeUnknown
    from tests.state_store import FileStore

    code = 1
    try:
        with (home / "log").open("a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        ti = SimpleNamespace(dag_id="push", run_id=home.name, task_id="push", map_index=-1, try_number=1, max_tries=9)
        report = operator(case, data).execute({"ti": ti, "task_state_store": FileStore(home / "state.json")})
        (home / "report.json").write_text(json.dumps(report))
        code = 0
    except OutcomeUnknown:
        code = 2
    except BaseException as error:
        (home / "error").write_text(repr(error))
    finally:
        os._exit(code)


def run_case(case: Case, home: Path, pace: float) -> dict[str, Any]:
    """Run a case to its end; gives its line.

    Args:
        case: what is pushed and when it is killed.
        home: folder of this case alone.
        pace: seconds that a request takes when nothing disturbs it.
    """
    import pyarrow as pa

    from airgate.data.frames.reading import write_frame
    from airgate.hooks.storage import open_folder

    home.mkdir(parents=True)
    table = pa.table({"id": range(case.records), "bad": [number in case.bad for number in range(case.records)]})
    data = write_frame(table, open_folder(f"file://{home}/records"), part_rows=25).to_json()
    with service() as counting:
        _connect(counting.port)
        expected = pace * case.records / (case.batch_size * case.in_flight)
        tries, state, kills = 0, KILLED, list(case.kills)
        killed, seconds = 0, 0.0
        while state == KILLED or (state == FAILED and tries < 10):
            kill_after = expected * kills.pop(0) if kills else None
            state, seconds = attempt(case, home, data, kill_after)
            tries += 1
            killed += state == KILLED
        told = counting.told()
    return _line(case, home, told) | {"state": state, "tries": tries, "killed": killed, "seconds": round(seconds, 3)}


def _connect(port: int) -> None:
    gateway = {"conn_type": "gateway", "schema": "http", "host": "127.0.0.1", "port": port}
    os.environ["AIRFLOW_CONN_GATEWAY_DEFAULT"] = json.dumps({**gateway, "extra": {"backoff": 0.01}})


def _line(case: Case, home: Path, told: dict[str, Any]) -> dict[str, Any]:
    effects = {int(record): times for record, times in told["effects"].items()}
    good = set(range(case.records)) - set(case.bad)
    report = json.loads((home / "report.json").read_text()) if (home / "report.json").exists() else None
    error = (home / "error").read_text() if (home / "error").exists() else None
    return {
        "suite": "push",
        "case": case.number,
        "kind": case.kind,
        "records": case.records,
        "batch_size": case.batch_size,
        "in_flight": case.in_flight,
        "requests": told["requests"],
        "once": sum(times == 1 for times in effects.values()),
        "twice": sum(times > 1 for times in effects.values()),
        "reused": told["reused"],
        "exactly_one": report is not None and effects == dict.fromkeys(good, 1) and _dead(report) == list(case.bad),
        "balanced": report is not None and report["offered"] == report["pushed"] + report["dead_lettered"],
        **({"error": error} if error else {}),
    }


def _dead(report: dict[str, Any]) -> list[int]:
    from airgate.data.store.dead_letters import open_dead_letters
    from airgate.hooks.storage import open_folder

    letters = open_dead_letters(open_folder(report["dead_letters"]["path"]))
    return sorted(json.loads(letter.record)["id"] for letter in letters)


def held(line: dict[str, Any]) -> bool:
    """Whether a case kept the promise: one effect each, or, without keys, no second one and no silence about it."""
    if line["kind"] == "keyless" and line["state"] == UNKNOWN:
        return bool(line["twice"] == 0)
    return bool(line["reused"] == 0 and line["state"] == ENDED and line["exactly_one"] and line["balanced"])


def measure(home: Path) -> float:
    """Seconds that a request takes here, undisturbed."""
    # What a try needs is imported here, once: each is a fork of this process, and most of its time is spent pushing.
    import airgate.hooks.push
    import airgate.operators.long_read  # noqa: F401

    case = Case(-1, "strict", 100, (), 5, 1, ())
    lines = [run_case(case, home / name, 1.0) for name in ("first", "second")]
    assert all(line["exactly_one"] for line in lines), lines
    return float(lines[-1]["seconds"]) / (case.records / case.batch_size)


def run_suite(home: Path, some: Sequence[Case], seed: int, say: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run all the cases; give the summary.

    Args:
        home: folder for all that is written.
        some: the cases.
        seed: what they were drawn with, for the report.
        say: told each line.
    """
    began, lines = time.monotonic(), []
    os.environ["AIRFLOW__AIRGATE__DATA_ROOT"] = f"file://{home}/data"
    pace = measure(home / "pace")
    for case in some:
        line = run_case(case, home / f"case{case.number:04d}", pace)
        lines.append(line)
        say(line)
    total = {
        "suite": "push",
        "summary": True,
        "seed": seed,
        "cases": len(lines),
        "held": sum(map(held, lines)),
        "exactly_one": sum(line["exactly_one"] for line in lines),
        "unknown": sum(line["state"] == UNKNOWN for line in lines),
        "kills": sum(line["killed"] for line in lines),
        "records": sum(line["records"] for line in lines),
        "records_twice": sum(line["twice"] for line in lines),
        "keys_reused": sum(line["reused"] for line in lines),
        "seconds": round(time.monotonic() - began),
    }
    say(total)
    return total


def main(arguments: Sequence[str]) -> int:
    """Run the suite; 0 when every case kept its promise, and kills there were."""
    parser = argparse.ArgumentParser(prog="scripts/test --faults push", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="makes the moments reproducible")
    parser.add_argument("--runs", type=int, default=200, help="cases (default: 200)")
    options = parser.parse_args(arguments)

    def say(line: dict[str, Any]) -> None:
        print(json.dumps(line), flush=True)

    INTERRUPTS.install()
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airgate-faults-")))
        os.environ["AIRFLOW_HOME"] = str(home / "airflow")
        os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
        try:
            total = run_suite(home, cases(options.runs, options.seed), options.seed, say)
        except Interrupted as interrupted:
            return interrupted.exit_code
    # Without kills nothing is proven.
    return 0 if total["held"] == total["cases"] and total["kills"] >= total["cases"] / 2 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
