"""Calls: GETs of 1 KB of JSON over loopback, against a bare requests session and Airflow's own HttpHook.

The server and each variant are processes of their own; the variants run in turn, and only their own CPU seconds count.
Airgate signs each call with a JSON Web Token, is ready to repeat it, and reports to Airflow's metrics, which are on and
go to an OpenTelemetry collector (the server plays it).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import ssl
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CALLS, WARM_UP = 2000, 100

BODY = json.dumps({"id": 1, "text": "x" * 980}).encode()
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: 0123456789abcdef\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)

INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")

SECRET = "benchmark-secret-of-more-than-thirty-two-bytes"


class Answering(asyncio.Protocol):
    """The least of a server: the same answer to whatever ends in an empty line."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self.received += data
        while b"\r\n\r\n" in self.received:
            self.received = self.received.partition(b"\r\n\r\n")[2]
            assert isinstance(self.transport, asyncio.Transport)
            self.transport.write(ANSWER)


async def serve(folder: Path) -> None:
    """Serve with and without TLS until the parent closes stdin; the first line on stdout names the ports."""
    loop = asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    plain = await loop.create_server(Answering, "127.0.0.1", 0)
    secure = await loop.create_server(Answering, "127.0.0.1", 0, ssl=context)
    ports = {"http": plain.sockets[0].getsockname()[1], "https": secure.sockets[0].getsockname()[1]}
    print(json.dumps(ports), flush=True)
    await asyncio.to_thread(sys.stdin.read)


def certify(folder: Path) -> None:
    """Write a key and a certificate for 127.0.0.1 that vouches for itself."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmark")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@dataclass(frozen=True)
class Server:
    """Where the server listens, and the certificate it shows."""

    http: int
    https: int
    bundle: str

    @property
    def settings(self) -> dict[str, str]:
        """Environment of the variants: Airflow's connections and its metrics, on."""
        extra = {"auth": "jwt", "jwt_issuer": "benchmark", "jwt_audience": "benchmark", "verify": self.bundle}

        def gateway(scheme: str, port: int, **more: Any) -> str:
            fields = {"host": f"{scheme}://127.0.0.1", "port": port, "login": "benchmark", "password": SECRET}
            return json.dumps({"conn_type": "gateway", **fields, "extra": extra | more})

        # Generous: what is measured is the price of asking, not of waiting.
        limits = {"rate": "1000000/s"}
        return {
            "AIRFLOW_CONN_PLAIN_GATEWAY": gateway("http", self.http),
            "AIRFLOW_CONN_SECURE_GATEWAY": gateway("https", self.https),
            "AIRFLOW_CONN_LIMITED_GATEWAY": gateway("http", self.http, limits=limits),
            "AIRFLOW_CONN_PLAIN_HTTP": json.dumps({"conn_type": "http", "host": f"http://127.0.0.1:{self.http}"}),
            "AIRFLOW_CONN_SECURE_HTTP": json.dumps(
                {"conn_type": "http", "host": f"https://127.0.0.1:{self.https}", "extra": {"verify": self.bundle}}
            ),
            "AIRFLOW__METRICS__OTEL_ON": "True",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"http://127.0.0.1:{self.http}/v1/metrics",
            "BENCHMARK_BUNDLE": self.bundle,
            "BENCHMARK_HTTP": f"http://127.0.0.1:{self.http}",
            "BENCHMARK_HTTPS": f"https://127.0.0.1:{self.https}",
        }


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """A process that answers."""
    certify(folder)
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield Server(**json.loads(process.stdout.readline()), bundle=str(folder / "certificate.pem"))
    finally:
        process.communicate()


Call = Callable[[], Any]
"""Makes one call and gives the decoded answer."""


def session(address: str) -> Call:
    """The floor: a bare requests session."""
    import requests

    bare = requests.Session()
    bare.verify = os.environ["BENCHMARK_BUNDLE"]
    return lambda: bare.get(f"{address}/items/1", timeout=60).json()


def gateway(conn_id: str) -> Call:
    """What a task uses: GatewayHook."""
    from airgate.hooks import GatewayHook

    hook = GatewayHook(conn_id)
    return lambda: hook.call("GET", "/items/{item}", path_params={"item": 1}).json()


def httphook(conn_id: str) -> Call:
    """What Airflow's http provider offers, one hook for all calls."""
    from airflow.providers.http.hooks.http import HttpHook

    hook = HttpHook("GET", conn_id)
    return lambda: hook.run("/items/1").json()


VARIANTS: dict[str, Callable[[], Call]] = {
    "session": lambda: session(os.environ["BENCHMARK_HTTP"]),
    "airgate": lambda: gateway("plain_gateway"),
    "httphook": lambda: httphook("plain_http"),
    "session_tls": lambda: session(os.environ["BENCHMARK_HTTPS"]),
    "airgate_tls": lambda: gateway("secure_gateway"),
    "httphook_tls": lambda: httphook("secure_http"),
    "airgate_limits": lambda: gateway("limited_gateway"),
}


def measure(name: str, calls: int) -> float:
    """Run a variant in this process; microseconds of CPU a call, imports and the first calls left out."""
    call = VARIANTS[name]()
    for _ in range(WARM_UP):
        assert call()["id"] == 1
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(calls):
        call()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / calls * 1e6


def profile(name: str, calls: int) -> None:
    """Show where a variant's time goes."""
    import cProfile
    import pstats

    call = VARIANTS[name]()
    for _ in range(WARM_UP):
        call()
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(calls):
        call()
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


def spawn(home: str, where: Server, *arguments: str) -> str:
    """Run this script in a fresh process with an Airflow of its own; gives its stdout."""
    # A small environment, the same on every machine: requests reads all of it for each request, in search of proxies.
    settings = {name: os.environ[name] for name in INHERITED if name in os.environ}
    settings |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"} | where.settings
    done = subprocess.run(
        [sys.executable, __file__, *arguments], env=settings, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def main() -> None:
    """Measure all variants in turn and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line and figure")
    parser.add_argument("--runs", type=int, default=5, help="of each variant")
    parser.add_argument("--calls", type=int, default=CALLS, help="a run")
    parser.add_argument("--profile", choices=VARIANTS, help="show where a variant's time goes instead")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--profiled", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve))
    elif options.variant:
        print(measure(options.variant, options.calls))
    elif options.profiled:
        profile(options.profiled, options.calls)
    else:
        with tempfile.TemporaryDirectory(prefix="airgate-bench-") as folder, server(Path(folder)) as where:
            if options.profile:
                print(spawn(folder, where, "--profiled", options.profile, "--calls", str(options.calls)))
            else:
                report(compare(folder, where, options.runs, options.calls), options)


def compare(home: str, where: Server, runs: int, calls: int) -> dict[str, float]:
    """Microseconds a call of each variant: the medians of interleaved runs."""
    results: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(runs):
        for name, measured in results.items():
            said = spawn(home, where, "--variant", name, "--calls", str(calls))
            measured.append(float(said.splitlines()[-1]))
    return {name: statistics.median(measured) for name, measured in results.items()}


def report(cost: dict[str, float], options: argparse.Namespace) -> None:
    """Print the figures."""

    def ratio(name: str, peer: str) -> float:
        return round(cost[name] / cost[peer], 2)

    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    shared = {"bench": "calls", "better": "lower", "n": options.runs, "machine": machine}
    figures = [
        {
            "figure": "calls.cpu_ratio_session",
            "value": ratio("airgate", "session"),
            "unit": "CPU seconds / CPU seconds of requests.Session",
            "goal": 1.5,
            "peers": {
                "session": 1.0,
                "httphook": ratio("httphook", "session"),
                "airgate_tls": ratio("airgate_tls", "session_tls"),
                "airgate_limits": ratio("airgate_limits", "session"),
            },
        },
        {
            "figure": "calls.cpu_ratio_httphook",
            "value": ratio("airgate", "httphook"),
            "unit": "CPU seconds / CPU seconds of HttpHook.run",
            "goal": 1.0,
            "peers": {"httphook": 1.0, "airgate_tls": ratio("airgate_tls", "httphook_tls")},
        },
    ]
    if options.json:
        for figure in figures:
            print(json.dumps(shared | figure))
        return
    for figure in figures:
        print(f"{figure['figure']:<28} {figure['value']} {figure['unit']} (goal {figure['goal']})")
    for name, microseconds in cost.items():
        print(f"{name:<28} {microseconds:.0f} us of CPU a call")


if __name__ == "__main__":
    main()
