"""The edge under load: reloads, killed workers, killed upstreams, its end; then its memory over a million requests.

One JSON line a disturbance, with what the clients lost by it, and a summary last. A reload and the edge's end must lose
nothing; a killed upstream may cut short the answers that it had begun, and a killed worker loses what it has in its
hands: one request a client at most.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from tests.edge.edge_process import ROOT
from tests.edge.operated import Load, Operated, eventually, operated, write

CLIENTS = 6
DISTURBANCES = ("reload", "bad reload", "worker", "upstream", "end")
GROWTH = 1.1
"""Memory after a million requests, as a share of that after the warm-up, at the most."""
WARM_UP = 50_000

Line = dict[str, Any]


class Upstream:
    """A server that can be killed and started again on its port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "page").write_text("here")
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        program = [sys.executable, "-u", "-m", "http.server", str(self.port), "--bind", "127.0.0.1"]
        self.process = subprocess.Popen(
            [*program, "--directory", str(self._folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().split(" port ")[1].split()[0])

    def kill(self) -> None:
        """SIGKILL it."""
        self.process.kill()
        self.process.communicate()


def file_before(port: int, version: int) -> dict[str, Any]:
    """A gateway's file whose static answer tells its version."""
    proxy = {"type": "http_proxy", "server": "up"}
    return {
        "servers": [{"alias": "up", "url": f"http://127.0.0.1:{port}"}],
        "x-airgate": {"upstream": {"breaker": {"cooldown": 0.3}}},
        "paths": [
            {"method": "GET", "path": "/version", "response": version},
            {"method": "GET", "path": "/page", "integration": proxy},
        ],
    }


def disturb(what: str, edge: Operated, upstream: Upstream, config: Path, load: Load, version: int) -> None:
    """Do one thing to the edge or its upstream, and wait until all is well again."""
    if what == "reload":
        write(config, file_before(upstream.port, version))
        taken = sum("serving the changed" in line for line in edge.said)
        edge.signal(signal.SIGHUP)
        eventually(lambda: sum("serving the changed" in line for line in edge.said) > taken, "reloaded")
    elif what == "bad reload":
        refused = sum("the earlier one still is" in line for line in edge.said)
        good = config.read_text()
        config.write_text(good[: len(good) // 2])
        edge.signal(signal.SIGHUP)
        eventually(lambda: sum("the earlier one still is" in line for line in edge.said) > refused, "refused")
        config.write_text(good)
    elif what == "worker":
        os.kill(max(edge.workers()), signal.SIGKILL)
        eventually(lambda: not edge.is_ready(), "noticed")
        eventually(edge.is_ready, "replaced")
    elif what == "upstream":
        upstream.kill()
        time.sleep(0.3)
        upstream.start()
        before = sum(count for (status, _), count in load.seen.items() if status == 200)
        eventually(lambda: sum(n for (status, _), n in load.seen.items() if status == 200) > before + 50, "back")
    else:
        edge.signal(signal.SIGTERM)
        assert edge.process.wait(20) == 0


def disturbances(folder: Path, rounds: int, seed: int) -> Iterator[Line]:
    """Lines of all disturbances, each under a load of its own."""
    draw = random.Random(seed)
    upstream = Upstream(folder)
    config = folder / "config.json"
    try:
        for number in range(rounds):
            what = DISTURBANCES[number % len(DISTURBANCES)]
            write(config, file_before(upstream.port, number))
            with operated(config, "--workers", "2") as edge:
                load = Load(edge.port, draw.choice(("/version", "/page")), keep_alive=draw.random() < 0.5)
                if what == "upstream":
                    load.target = "/page"
                with load.running(CLIENTS):
                    eventually(lambda load=load: load.seen.total() > 50, "load")  # type: ignore[misc]
                    time.sleep(draw.uniform(0, 0.3))
                    disturb(what, edge, upstream, config, load, number)
            statuses = sorted({status for status, _ in load.seen})
            # What is killed in the middle of an answer leaves a part of it with the client, who can tell.
            allowed = CLIENTS if what in ("worker", "upstream") else 0
            whole = all(lost.startswith("IncompleteRead") for lost in load.lost) or what == "worker"
            clean = whole and set(statuses) <= ({200, 502, 503, 504} if what == "upstream" else {200})
            yield {
                "suite": "edge",
                "case": number,
                "what": what,
                "target": load.target,
                "keep_alive": load.keep_alive,
                "answers": load.seen.total(),
                "statuses": statuses,
                "lost": load.lost,
                "good": clean and len(load.lost) <= allowed,
            }
    finally:
        upstream.kill()


@contextmanager
def light_upstream() -> Iterator[str]:
    """An upstream that costs next to nothing; its address."""
    command = [sys.executable, str(ROOT / "benchmarks" / "_traffic.py"), "upstream"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()


def memory(folder: Path, requests: int) -> Iterator[Line]:
    """Resident memory of the edge, every tenth of so many proxied requests, with the access log and figures on."""
    config = folder / "config.json"
    with light_upstream() as port:
        write(config, file_before(int(port), 0))
        with operated(config, "--access-log", os.devnull) as edge:
            answers = failures = 0
            first: int | None = None
            due = WARM_UP
            while True:
                if answers >= due:
                    rss = int(Path(f"/proc/{edge.process.pid}/statm").read_text().split()[1]) * 4
                    first = first or rss
                    good = not failures and rss < first * GROWTH
                    yield {"suite": "edge", "what": "memory", "answers": answers, "rss_kb": rss, "good": good}
                    if answers >= requests:
                        return
                    due = min(requests, answers + requests // 10)
                url = f"http://127.0.0.1:{edge.port}/page"
                command = [sys.executable, str(ROOT / "benchmarks" / "_traffic.py"), "clients", url, "16", "5"]
                done = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
                answers, failures = answers + done["answers"], failures + done["failures"]


def run_suite(folder: Path, seed: int, tell: Callable[[Line], None], rounds: int, requests: int) -> Line:
    """Run it all; the summary."""
    total = {"suite": "edge", "summary": True, "seed": seed, "lines": 0, "bad": 0}
    for line in chain(disturbances(folder, rounds, seed), memory(folder, requests)):
        total["lines"] += 1
        total["bad"] += not line["good"]
        tell(line)
    tell(total)
    return total


def main() -> int:
    """Print the lines; 1 when one is bad."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=50, help="disturbances")
    parser.add_argument("--requests", type=int, default=1_000_000, help="for the memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="airgate-faults-") as folder:

        def tell(line: Line) -> None:
            print(json.dumps(line), flush=True)

        return 1 if run_suite(Path(folder), options.seed, tell, options.rounds, options.requests)["bad"] else 0


if __name__ == "__main__":
    sys.exit(main())
