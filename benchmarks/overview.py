"""Overview: one order at four services, by the edge's aggregation and by a DAG, from the question to the answer.

Everything is the stack of `scripts/demo`, on this machine: Airflow with the LocalExecutor on SQLite, the edge, the
sample services. The edge is asked over keep-alive, one question after the other; the DAG is triggered by Airflow's API
and looked at every 50 ms until its run is over. Three times: all services well; one of them answers 503 now and then,
as `scripts/demo` has them do; one of them does not answer. There is no goal: the two are for different things.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import requests

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts")]

from stack import environment, runs  # noqa: E402
from stack.layout import Layout  # noqa: E402
from stack.running import Stack, running  # noqa: E402

DAG = "status_overview"
ORDER = "bench-1"
ADDRESS = {"name": "Ada", "street": "1 Quay", "city": "Delft", "postcode": "2611", "country": "NL"}
ITEMS = [{"sku": "eye-mask", "quantity": 1}]
DONE: dict[str, tuple[str, dict[str, Any]]] = {
    "inventory": ("/reservations", {"items": ITEMS}),
    "payments": ("/charges", {"amount": 790, "currency": "EUR", "card": "tok_visa"}),
    "shipping": ("/shipments", {"items": ITEMS, "address": ADDRESS}),
    "loyalty": ("/grants", {"member": "ada@example.com", "points": 10}),
}
"""Service -> what is done there for the order."""
FLAKY = {"unavailable": 0.1, "rate_limited": 0.0, "dropped": 0.0, "slow": 0.0, "opening": False}
"""One answer in ten is 503."""


@dataclass
class Figures:
    """Of one way to ask, in one state of the services."""

    seconds: list[float] = field(default_factory=list)
    complete: int = 0

    def add(self, seconds: float, answer: dict[str, Any]) -> None:
        """Count an answer."""
        self.seconds.append(seconds)
        self.complete += all(standing["status"] == 200 for standing in answer["_status"].values())

    def text(self) -> str:
        """As a line."""
        p95 = statistics.quantiles(self.seconds, n=20)[18] if len(self.seconds) > 1 else self.seconds[0]
        share = f"{self.complete} of {len(self.seconds)} complete"
        return f"p50 {statistics.median(self.seconds):8.4f} s  p95 {p95:8.4f} s  {share}"


class Asked:
    """The stack, and the two ways to ask.

    Args:
        stack: A running one.
        session: For everything that is asked.
    """

    def __init__(self, stack: Stack, session: requests.Session) -> None:
        self.stack, self.session = stack, session
        claims = {"sub": "bench", "iss": environment.GATEWAY_ISSUER, "aud": environment.GATEWAY_AUDIENCE}
        self.token = jwt.encode({**claims, "exp": time.time() + 36_000}, stack.credentials.gateway_jwt_secret, "HS256")

    def edge(self) -> dict[str, Any]:
        """Ask the gateway's route."""
        headers = {"Authorization": f"Bearer {self.token}"}
        address = f"{self.stack.address('edge')}/overview"
        answer = self.session.get(address, params={"order": ORDER}, headers=headers, timeout=60)
        answer.raise_for_status()
        return dict(answer.json())

    def dag(self) -> dict[str, Any]:
        """Ask for a run, and wait for its result."""
        run_id = f"bench-{time.time_ns()}"
        self.stack.airflow.trigger(DAG, run_id, {"order": ORDER})
        while True:
            [run] = self.stack.airflow.runs(DAG, run_id)
            if run["state"] not in runs.UNFINISHED:
                assert run["state"] == "success", run
                return dict(self.stack.airflow.xcom(DAG, run_id, "overview"))
            time.sleep(0.05)

    def switch(self, service: str, **settings: Any) -> None:
        """Have a service misbehave from now on, or no longer."""
        address = f"{self.stack.address(service)}/-/faults"
        self.session.post(address, json=settings, timeout=60).raise_for_status()

    def prepare(self) -> None:
        """Let all services be well, and have done something for the order."""
        for service, (path, body) in DONE.items():
            self.switch(service, preset="none", seed=0)
            address = f"{self.stack.address(service)}{path}"
            headers = {"Idempotency-Key": "bench"}
            self.session.post(address, json={"order": ORDER, **body}, headers=headers, timeout=60).raise_for_status()


def measured(ask: Callable[[], dict[str, Any]], times: int) -> Figures:
    """Ask so often."""
    figures = Figures()
    for _ in range(times):
        began = time.monotonic()
        answer = ask()
        figures.add(time.monotonic() - began, answer)
    return figures


def main() -> int:
    """Start the stack, ask, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=300, help="questions to the edge")
    parser.add_argument("--runs", type=int, default=20, help="runs of the DAG")
    parser.add_argument("--json", action="store_true", help="says nothing: there are no figures with a goal")
    options = parser.parse_args()
    if options.json:
        return 0
    with tempfile.TemporaryDirectory(prefix="airgate-overview-") as folder, requests.Session() as session:
        session.trust_env = False
        home = Path(folder).resolve()
        (home / "dags").mkdir()
        (home / "dags" / f"{DAG}.py").symlink_to(ROOT / "dags" / f"{DAG}.py")
        layout = Layout(ROOT, home / "stack", home / "dags")
        with running(layout, lambda line: print(line, file=sys.stderr)) as stack:
            runs.wait_parsed(stack.airflow, DAG, stack.since)
            stack.airflow.pause(DAG, paused=False)
            asked = Asked(stack, session)
            asked.prepare()
            assert asked.edge() == asked.dag(), "both tell the same"
            told("all well", asked, options.calls, options.runs)
            asked.switch("loyalty", **FLAKY)
            told("one answers 503 one time in ten", asked, options.calls, options.runs)
            asked.switch("loyalty", preset="none", latency=60)
            told("one does not answer", asked, 3, 3)
    return 0


def told(what: str, asked: Asked, calls: int, count: int) -> None:
    """Ask both ways, and print."""
    for name, ask, times in (("edge", asked.edge, calls), ("dag", asked.dag, count)):
        print(f"{what:<34} {name:<5} {measured(ask, times).text()}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
