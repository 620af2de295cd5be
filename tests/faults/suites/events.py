"""Events of two feeds through kills of triggerer, scheduler and api-server: a real Airflow, and a service that counts.

A feed tells ten thousand events, some of them again and some behind younger ones, and its pages repeat records; they
are handed on in batches. Another one tells a few hundred, each of which becomes a run of its own. Each event has to
have exactly one effect, and what nobody can take has to be parked. One JSON line a kill and a feed, and a summary last.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from interrupts import INTERRUPTS, Interrupted
from stack.airflow_api import ApiFailed
from tests.faults.airflow_under_fire import AirflowUnderFire, airflow_under_fire
from tests.faults.event_cases import Telling, kills, telling

DAGS = Path(__file__).resolve().parents[1] / "event_dags"
DISPATCHERS, TAKERS = ("dispatch_batched", "dispatch_single"), ("take_batched", "take_single")
CHUNKS = 40
"""In which a feed tells what it has, while servers die."""
BACK = 90.0
"""Seconds in which a killed server has to be back."""
SETTLING = 3.0
"""Seconds without anything under way, after which all is over."""
_SETTINGS = {"AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "True"}

Say = Callable[[dict[str, Any]], None]


@dataclass
class Fire:
    """One Airflow, and what its feeds have told so far."""

    stack: AirflowUnderFire
    tellings: Sequence[Telling]
    say: Say
    began: float = field(default_factory=time.monotonic)
    told: int = 0
    """Chunks."""
    lines: list[dict[str, Any]] = field(default_factory=list)

    def tell(self, most: int = CHUNKS) -> bool:
        """Tell the next chunk of each feed; False when so many of them are told."""
        if self.told >= most:
            return False
        for each in self.tellings:
            start, end = (len(each.records) * chunk // CHUNKS for chunk in (self.told, self.told + 1))
            ask(self.stack, "POST", "/-/tell", {"feed": each.feed, "records": list(each.records[start:end])})
        self.told += 1
        return True

    def kill(self, server: str, pause: float, every: float, most: int) -> None:
        """Kill a server in the midst of work, and wait until another one stands in its place.

        Args:
            server: Its name.
            pause: Seconds before.
            every: Seconds between chunks that are told meanwhile.
            most: Chunks that may be told until then, so that the next kill has work to disturb as well.
        """
        self._go_on(every, pause, most, lambda: False)
        before = self.done()
        killed = self.stack.kill(server)
        self._go_on(every, BACK, most, lambda: self._is_back(server, killed))
        self._say(
            {
                "suite": "events",
                "killed": server,
                "processes": len(killed),
                "at": round(time.monotonic() - self.began, 1),
                "told": self.told / CHUNKS,
                "effects_before": before,
                "hit": bool(killed) and self.told < CHUNKS,
            }
        )

    def _go_on(self, every: float, seconds: float, most: int, over: Callable[[], bool]) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and not over():
            self.tell(most)
            time.sleep(min(every, max(0.0, ends - time.monotonic())))

    def _is_back(self, server: str, killed: Sequence[int]) -> bool:
        with contextlib.suppress(ApiFailed):
            health = self.stack.airflow.health()
            standing = any(
                each.name == server and each.pid and each.pid not in killed
                for each in self.stack.supervisor.standings()
            )
            return standing and all(
                health.get(part) == "healthy" for part in ("metadatabase", "scheduler", "triggerer")
            )
        return False

    def done(self) -> int:
        """Effects so far."""
        return sum(order["effects"] for order in self.stack.orders().values())

    def settle(self, patience: float) -> None:
        """Wait until each event had its effect and nothing is under way any more."""
        deadline, quiet = time.monotonic() + patience, None
        names = {name for each in self.tellings for name in each.good}
        while time.monotonic() < deadline:
            time.sleep(0.5)
            orders = self.stack.orders()
            with contextlib.suppress(ApiFailed):
                if not all(name in orders and orders[name]["effects"] for name in names) or self._is_busy():
                    quiet = None
                    continue
                quiet = quiet or time.monotonic()
                if time.monotonic() - quiet > SETTLING:
                    return

    def _is_busy(self) -> bool:
        return any(self.stack.airflow.count_runs(dag_id, "queued", "running") for dag_id in (*DISPATCHERS, *TAKERS))

    def judge(self) -> Iterator[dict[str, Any]]:
        """A line for each feed."""
        orders = self.stack.orders()
        for each in self.tellings:
            effects = {name: orders[name]["effects"] if name in orders else 0 for name in each.good}
            runs = self.stack.airflow.count_runs(f"take_{each.feed}")
            failed = self.stack.airflow.count_runs(f"take_{each.feed}", "failed")
            parked = sorted(_parked(self.stack.home, each.feed))
            line = {
                "suite": "events",
                "feed": each.feed,
                "events": len(each.good),
                "records": len(each.records),
                "requests": sum(orders[name]["arrivals"] for name in each.good if name in orders),
                "effects": sum(effects.values()),
                "lost": sum(not count for count in effects.values()),
                "twice": sum(count > 1 for count in effects.values()),
                "keys": max((orders[name]["keys"] for name in each.good if name in orders), default=0),
                "parked": len(parked),
                "to_park": each.parked,
                "runs": runs,
                "runs_failed": failed,
            }
            once = not line["lost"] and not line["twice"] and line["keys"] == 1
            # A run of its own for each event; the parked ones that are refused by the service had a run as well.
            single = each.feed != "single" or runs == len(each.good) + _refused(each)
            line["held"] = once and single and line["parked"] == each.parked and not failed
            yield line

    def _say(self, line: dict[str, Any]) -> None:
        self.lines.append(line)
        self.say(line)


def ask(stack: AirflowUnderFire, method: str, path: str, body: object = None) -> Any:
    """Ask the counting service."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(method, stack.effects + path, json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()


def _refused(each: Telling) -> int:
    return len({record["id"] for record in each.records if str(record.get("id", "")).startswith("refused")})


def _parked(home: Path, feed: str) -> list[str]:
    folders = (f"dispatch_{feed}", f"take_{feed}")
    found = [file for folder in folders for file in (home / "data" / "_events" / "parked" / folder).rglob("*.json")]
    return [file.stem for file in found]


def run_suite(
    home: Path,
    counts: tuple[int, int],
    rounds: int,
    seed: int,
    say: Say,
    *,
    batch: int = 100,
    every: float = 1.0,
    longest: float = 8.0,
    patience: float = 1800.0,
) -> dict[str, Any]:
    """Tell, kill, and count in a fresh Airflow; give the summary.

    Args:
        home: Folder for all that is written.
        counts: Events that are handed on in batches, and as runs of their own.
        rounds: How often each server is killed.
        seed: Of events and kills.
        say: Told each line.
        batch: Events of a batch.
        every: Seconds between the chunks in which events are told.
        longest: Seconds from one server's return to the next kill, at most.
        patience: Seconds from the last kill to the last effect.
    """
    began = time.monotonic()
    tellings = (
        telling("batched", counts[0], seed, poison=3, params=True),
        telling("single", counts[1], seed, poison=2, params=False),
    )
    settings = {**_SETTINGS, "EVENTS_BATCH": str(batch)}
    with airflow_under_fire(home, (*DISPATCHERS, *TAKERS), "tests.faults.events_service", DAGS, settings) as stack:
        fire = Fire(stack, tellings, say)
        fire.tell()
        plan = kills(rounds, seed, longest)
        for number, (server, pause) in enumerate(plan, 1):
            fire.kill(server, pause, every, CHUNKS * number // (len(plan) + 1))
        while fire.tell():
            time.sleep(every)
        fire.settle(patience)
        feeds = list(fire.judge())
        hits = [line for line in fire.lines if line["hit"]]
    for line in feeds:
        say(line)
    total = {
        "suite": "events",
        "summary": True,
        "seed": seed,
        "events": sum(line["events"] for line in feeds),
        "effects": sum(line["effects"] for line in feeds),
        "lost": sum(line["lost"] for line in feeds),
        "twice": sum(line["twice"] for line in feeds),
        "kills": len(plan),
        "hit": len(hits),
        "hit_at": Counter(line["killed"] for line in hits),
        "held": all(line["held"] for line in feeds),
        "seconds": round(time.monotonic() - began),
    }
    say(total)
    return total


def main(arguments: Sequence[str]) -> int:
    """Run the suite; 0 when every event had its one effect, and every kill hit."""
    parser = argparse.ArgumentParser(prog="scripts/test --faults events", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="makes events and kills reproducible")
    parser.add_argument("--runs", type=int, default=10_000, help="events that are handed on in batches (10000)")
    parser.add_argument("--single", type=int, default=300, help="events that become runs of their own (300)")
    parser.add_argument("--kills", type=int, default=5, help="how often each server is killed (5)")
    parser.add_argument("--home", type=Path, help="keep what Airflow writes in this folder")
    options = parser.parse_args(arguments)

    def say(line: dict[str, Any]) -> None:
        print(json.dumps(line), flush=True)

    INTERRUPTS.install()
    try:
        with tempfile.TemporaryDirectory(prefix="airgate-faults-") as folder:
            home = options.home or Path(folder) / "home"
            total = run_suite(
                home, (options.runs, options.single), options.kills, options.seed, say, every=2.0, longest=30.0
            )
    except Interrupted as interrupted:
        return interrupted.exit_code
    return 0 if total["held"] and total["hit"] == total["kills"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
