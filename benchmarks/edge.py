"""Edge: 1 KB of JSON through the gateway in requests a second, against bare upstream and other Python proxies.

Upstream, proxy and clients are processes of their own on one machine; the variants run in turn. The edge runs as one
process in strict mode, the default, with all its limits on. A figure is the median of the runs, next to that of each
peer; beside it stand the milliseconds of the median and of the slowest hundredth, and the edge's CPU time a request.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SECRET = "a-secret-of-the-benchmark-that-is-long-enough"
FAR = 4102444800
FEW, MANY = 10, 1000
PEERS = ("starlette_aiohttp", "starlette_httpx", "mitmproxy")


@dataclass(frozen=True)
class Run:
    """What one run gave: answers a second, milliseconds, and microseconds of the server's CPU for each."""

    rps: float
    p50: float
    p99: float
    cpu: float


@dataclass(frozen=True)
class Variant:
    """Where to ask, with how many connections and which headers."""

    server: str
    path: str
    connections: int
    headers: tuple[str, ...] = ()


def configuration(upstream: str, routes: int) -> dict[str, Any]:
    """A gateway's file: a static, a plain and a guarded route, among so many others."""
    proxy = {"type": "http_proxy", "server": "up"}
    mapping = {
        "headers": {"X-User": "$request.jwt.sub", "X-Tenant": "$config.tenant"},
        "query": {"user": "$request.jwt.sub"},
    }
    others = [
        {"method": "GET", "path": f"/team{number % 40}/thing{number}/{{id}}/parts", "integration": proxy}
        for number in range(routes - 3)
    ]
    return {
        "servers": [{"alias": "up", "url": upstream}],
        "authorizer": {"type": "jwt", "secret": "$secret.EDGE_BENCHMARK_SECRET"},
        "variables": {"tenant": "benchmark"},
        "paths": [
            *others[: len(others) // 2],
            {"method": "GET", "path": "/static", "response": {"status": "ok"}},
            {"method": "GET", "path": "/things/{id}", "integration": proxy},
            {"method": "GET", "path": "/guarded/{id}", "auth": True, "integration": proxy, "mapping": mapping},
            *others[len(others) // 2 :],
        ],
    }


@contextmanager
def running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with the block."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, **options)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(OSError):
            process.communicate(timeout=20)


@contextmanager
def upstream() -> Iterator[tuple[str, int]]:
    """A process that answers; its address and process id."""
    with running([sys.executable, str(HERE / "_traffic.py"), "upstream"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}", process.pid


@contextmanager
def edge(address: str, routes: int) -> Iterator[tuple[str, int]]:
    """The edge in front of an upstream."""
    with tempfile.TemporaryDirectory(prefix="airgate-bench-") as folder:
        file = Path(folder) / "config.json"
        file.write_text(json.dumps(configuration(address, routes)))
        environment = {**os.environ, "EDGE_BENCHMARK_SECRET": SECRET}
        command = [sys.executable, "-m", "airgate.edge", str(file), "--port", "0"]
        with running(command, stderr=subprocess.PIPE, env=environment) as process:
            assert process.stderr is not None
            said = process.stderr.readline()
            found = re.search(r"http://[0-9.:]+", said)
            assert found, said
            yield found[0], process.pid


@contextmanager
def peer(name: str, address: str) -> Iterator[tuple[str, int]]:
    """Another proxy in front of an upstream."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, str(HERE / "_proxies.py"), name, str(port), address]
    if name == "mitmproxy":
        from _peers import peer_python

        python = peer_python(name)
        if python is None:
            raise FileNotFoundError(name)
        command = [str(Path(python).with_name("mitmdump")), "-q", "--mode", f"reverse:{address}", "-p", str(port)]
    with running(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", process.pid


def cpu_seconds(process: int) -> float:
    """CPU time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(address: str, process: int, variant: Variant, seconds: float) -> Run:
    """Ask for some time."""
    arguments = [f"{address}{variant.path}", str(variant.connections), str(seconds), *variant.headers]
    before = cpu_seconds(process)
    done = subprocess.run(
        [sys.executable, str(HERE / "_traffic.py"), "clients", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout)
    assert not result["failures"], f"{variant}: {result}"
    answers = result["rps"] * (seconds + 0.5)  # the warm-up costs, too
    return Run(result["rps"], result["p50"], result["p99"], (cpu_seconds(process) - before) / answers * 1e6)


def token() -> str:
    """A token that the guarded route accepts."""
    import jwt

    return jwt.encode({"sub": "benchmark", "exp": FAR}, SECRET, "HS256")


def variants(peers: list[str]) -> dict[str, Variant]:
    """Everything that is measured, by name."""
    bearer = f"Authorization: Bearer {token()}"
    found = {
        f"{server}.c{connections}": Variant(server, "/things/7", connections)
        for connections in (1, 16, 64)
        for server in ("upstream", "edge", *peers)
    }
    found["edge.jwt.c16"] = Variant("edge", "/guarded/7", 16, (bearer,))
    found["edge.static.c16"] = Variant("edge", "/static", 16)
    found["many.static.c16"] = Variant("many", "/static", 16)
    found["many.c16"] = Variant("many", "/things/7", 16)
    return found


def figures(median: dict[str, Run], peers: list[str], runs: int) -> list[dict[str, Any]]:
    """The figures, in the order of the documentation."""

    def figure(
        name: str, value: float, unit: str, goal: float, others: dict[str, float], better: str
    ) -> dict[str, Any]:
        return {
            "bench": "edge",
            "figure": name,
            "value": value,
            "unit": unit,
            "better": better,
            "goal": goal,
            "peers": others,
            "n": runs,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        }

    def rps(name: str, variant: str, goal: float, connections: int | None) -> dict[str, Any]:
        others = {}
        if connections:
            others = {each: median[f"{each}.c{connections}"].rps for each in ("upstream", *peers)}
        return figure(name, median[variant].rps, "requests a second", goal, others, "higher")

    # What a route costs is in the CPU: requests a second would hide it behind what a request costs without any.
    ratio = round(median["many.static.c16"].cpu / median["edge.static.c16"].cpu, 2)
    proxied = {"proxied": round(median["many.c16"].cpu / median["edge.c16"].cpu, 2)}
    return [
        rps("edge.proxy_rps.c1", "edge.c1", 2600, 1),
        rps("edge.proxy_rps.c16", "edge.c16", 4500, 16),
        rps("edge.proxy_rps.c64", "edge.c64", 5300, 64),
        rps("edge.proxy_jwt_rps.c16", "edge.jwt.c16", 4500, 16),
        rps("edge.static_rps.c16", "edge.static.c16", 20000, None),
        figure("edge.routes_1000_ratio", ratio, f"CPU with {MANY} routes / with {FEW}", 2.0, proxied, "lower"),
    ]


def main() -> None:
    """Measure all variants in turn and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line and figure")
    parser.add_argument("--runs", type=int, default=3, help="of each variant")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    options = parser.parse_args()
    with ExitStack() as stack:
        address, process = stack.enter_context(upstream())
        servers = {"upstream": (address, process)}
        servers["edge"] = stack.enter_context(edge(address, FEW))
        servers["many"] = stack.enter_context(edge(address, MANY))
        for name in PEERS:
            with contextlib.suppress(FileNotFoundError):
                servers[name] = stack.enter_context(peer(name, address))
        peers = [name for name in PEERS if name in servers]
        named = variants(peers)
        results: dict[str, list[Run]] = {name: [] for name in named}
        for _ in range(options.runs):
            for name, variant in named.items():
                results[name].append(measure(*servers[variant.server], variant, options.seconds))
    median = {
        name: Run(*(round(statistics.median(getattr(run, field) for run in runs), 3) for field in Run.__annotations__))
        for name, runs in results.items()
    }
    for each in figures(median, peers, options.runs):
        if options.json:
            print(json.dumps(each))
        else:
            print(f"{each['figure']:<26} {each['value']:>8g} {each['unit']} (goal {each['goal']:g})")
    if not options.json:
        print(f"\n{'':<26} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'CPU us':>8}")
        for name, run in median.items():
            print(f"{name:<26} {run.rps:>8.0f} {run.p50:>8.2f} {run.p99:>8.2f} {run.cpu:>8.0f}")


if __name__ == "__main__":
    main()
