"""Orders whose sagas are hit at drawn moments: a real Airflow, the gateway and the shop, kill -9, and people.

Killed are the tasks, their supervisors, Airflow's servers, the gateway and the services; people mark runs as failed and
steps as succeeded, and clear; the services refuse and misbehave besides. Every order has to end completed, compensated
or as needing a person, and the services' books have to say the same: nothing done twice, nothing left behind; and a run
is green only when all its orders are completed. Whatever the seed, runs are marked as failed while they are queued,
before `begin`, in it, before a mapped group expands, and during an undo. Then all that again with services that know no
keys, where every doubt is settled by a look-up; and last, requests that arrive when the look-up has been made: there
the promise cannot be kept, and the summary tells how often it was not. One JSON line an order, and a summary last.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interrupts import INTERRUPTS, Interrupted
from tests.faults.saga_books import Account, Books, accounts, broken, miscoloured
from tests.faults.saga_cases import HELD, KEYED, KEYLESS, SagaCase, cancelled, saga_cases
from tests.faults.saga_driver import Driver, Run, runs_of
from tests.faults.saga_hits import Hits, Order, listening
from tests.faults.shop_under_fire import ShopUnderFire, shop_under_fire

FAULTS = {
    "unavailable": 0.1, "rate_limited": 0.05, "dropped": 0.1, "failed_after": 0.1, "slow": 0.1,
    "latency": 0.3, "slow_seconds": 0.5, "retry_after": 1, "late": 2.0,
}  # fmt: skip
"""How the services misbehave; all of it within the time in which a lost request settles."""
TOO_LATE = FAULTS | {"dropped": 0.4, "late": 15.0}
"""Lost requests arrive long after it."""
PATIENCE = 120.0
PATIENCE_EACH = 20.0
"""Seconds for all orders of a part, and for each."""
BY_HAND = ("queued", "marked failed", "marked success")
"""After one of these a person has to look, where the pivot was done and what follows was not."""
BEFORE_ORDERS = "ended before the group expanded, and red"
"""In the place of a verdict, where a run never came to its orders and nothing was sent."""

Line = dict[str, Any]
Say = Callable[[Line], None]


@dataclass(frozen=True)
class Part:
    """Cases that run under the same conditions."""

    name: str
    cases: Sequence[SagaCase]
    faults: dict[str, Any]
    promised: bool = True
    """Whether the sagas can keep their promise under them."""


def parts(keyed: int, keyless: int, late: int, seed: int) -> list[Part]:
    """The parts of the suite.

    Args:
        keyed: Orders at services that honour keys.
        keyless: Orders at services that know none.
        late: Orders at services that know none, some of whose requests arrive too late.
        seed: Draws all of it.
    """
    plain = [SagaCase(number, number, KEYLESS, "nothing") for number in range(late)]
    return [
        Part("keys", saga_cases(keyed, seed, KEYED), FAULTS | {"seed": seed}),
        Part("no-keys", saga_cases(keyless, seed + 1, (KEYLESS,)), FAULTS | {"seed": seed, "honours_keys": False}),
        Part("too-late", plain, TOO_LATE | {"seed": seed, "honours_keys": False}, promised=False),
    ]


def line(part: Part, run: Run, order: Order, found: dict[str, Account]) -> Line:
    """What is reported of an order."""
    case, view, end = order.case, run.views.get(order.index), run.end()
    marked = [case.task] if "marked success" in order.hit else []
    if run.ended_at:
        faults = [*broken(view, found, marked, before_orders=end.before_orders), *miscoloured(end)]
    else:
        faults = [f"the run has not ended, it is {run.state or 'unknown'}"]
    return {
        "suite": "sagas",
        "part": part.name,
        "promised": part.promised,
        "case": case.number,
        "dag": run.dag,
        "order": order.name,
        "business": case.business,
        "what": case.what,
        "at": f"{case.task} {case.stage}".strip(),
        "hit": order.hit,
        "run": run.state,
        "cancelled": cancelled(case) if case.what in order.hit else None,
        "state": None if view is None else view["state"],
        "why": (BEFORE_ORDERS if end.before_orders else None) if view is None else view["why"],
        "steps": {} if view is None else {step["name"]: step["state"] for step in view["steps"]},
        "epoch": None if view is None else view["epoch"],
        "keys": {} if view is None else {step["name"]: step["key"] for step in view["steps"] if step["key"]},
        "effects": {step: each.as_json() for step, each in found.items() if each.effects},
        "broken": faults,
        "held": not faults,
    }


def fire(stack: ShopUnderFire, hits: Hits, part: Part, stamp: str, say: Say) -> list[Line]:
    """Run the orders of a part; gives their lines, by the books at its end."""
    stack.misbehave(**part.faults)
    runs, said = runs_of(part.cases, stamp), {}
    for run in Driver(stack, hits, stamp).drive(runs, PATIENCE + PATIENCE_EACH * len(part.cases)):
        books = stack.books()
        for order in run.orders:
            said[order.name] = _told(part, run, order, books)
            say(said[order.name])
    books = stack.books()
    lines = [_told(part, run, order, books) for run in runs for order in run.orders]
    for each in lines:
        if each["effects"] != said[each["order"]]["effects"]:
            say({**each, "arrived_after_the_end": True})
    return lines


def _told(part: Part, run: Run, order: Order, books: Books) -> Line:
    return line(part, run, order, accounts(books, order.name))


def totals(books: Books) -> Line:
    """What the services did altogether; a tombstone is a cancellation of what had not arrived."""
    counts = ("effects", "undone", "net", "tombstones", "replays", "refusals")
    return {name: {count: book["truth"][count] for count in counts} for name, book in books.items()}


def summary(lines: Sequence[Line], services: Line, seed: int, seconds: float) -> Line:
    """The last line."""
    promised = [line for line in lines if line["promised"]]
    attention = [line for line in promised if line["state"] == "needs-attention"]
    return {
        "suite": "sagas",
        "summary": True,
        "seed": seed,
        "orders": len(promised),
        "held": sum(line["held"] for line in promised),
        "hit": sum(bool(line["hit"]) for line in promised),
        "hits": Counter(hit for line in promised for hit in line["hit"] if ", by " not in hit),
        "cancelled": {
            part: Counter(line["cancelled"] for line in promised if line["part"] == part and line["cancelled"])
            for part in sorted({line["part"] for line in promised})
        },
        "runs": Counter(line["run"] for line in promised),
        "states": {
            part: Counter(str(line["state"] or line["why"]) for line in promised if line["part"] == part)
            for part in sorted({line["part"] for line in promised})
        },
        "services": services,
        "doubled": _doubled(promised),
        "left": _left(promised),
        "needs_attention": {
            "after a person's doing": sum(_by_hand(line) for line in attention),
            "otherwise": [f"{line['order']}: {line['why']}" for line in attention if not _by_hand(line)],
        },
        "not_completed_though_nothing_was_against_it": [
            f"{line['order']}: {line['why']}"
            for line in promised
            if line["state"] != "completed" and line["business"] == "good" and not _by_hand(line)
        ],
        "impossible": _impossible([line for line in lines if not line["promised"]]),
        "seconds": round(seconds),
    }


def _doubled(lines: Sequence[Line]) -> int:
    return sum(any(each["at_once"] > 1 for each in line["effects"].values()) for line in lines)


def _left(lines: Sequence[Line]) -> int:
    """Orders of which something is left that nobody is told of."""
    return sum(any(" left" in fault for fault in line["broken"]) for line in lines)


def _by_hand(line: Line) -> bool:
    return any(hit.startswith(BY_HAND) for hit in line["hit"])


def _impossible(lines: Sequence[Line]) -> Line:
    """Without keys, of requests that arrive when the look-up has said that they did not."""
    return {"orders": len(lines), "doubled": _doubled(lines), "left": _left(lines)} if lines else {}


def run_suite(home: Path, some: Sequence[Part], seed: int, say: Say) -> Line:
    """Run all parts in a fresh Airflow; gives the summary.

    Args:
        home: Folder for all that is written.
        some: The parts.
        seed: What they were drawn with, for the report.
        say: Told each line.
    """
    began, hits = time.monotonic(), Hits()
    lines: list[Line] = []
    services: Line = {}
    dags = (*KEYED, KEYLESS, *HELD.values())
    with listening(hits.heard) as listener, shop_under_fire(home, dags, listener, **FAULTS) as stack:
        hits.stack, hits.airflow = stack, stack.airflow()
        for number, part in enumerate(some):
            if part.cases:
                lines += fire(stack, hits, part, f"seed{seed}-{number}", say)
                services = totals(stack.books()) if part.promised else services
    total = summary(lines, services, seed, time.monotonic() - began)
    say(total)
    return total


def main(arguments: Sequence[str]) -> int:
    """Run the suite; 0 when every saga kept its promise."""
    parser = argparse.ArgumentParser(prog="scripts/test --faults sagas", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="makes the moments reproducible")
    parser.add_argument("--runs", type=int, default=100, help="orders at services that honour keys (default: 100)")
    parser.add_argument("--keyless", type=int, default=100, help="orders at services that know none (default: 100)")
    parser.add_argument("--late", type=int, default=10, help="orders whose requests may arrive too late (default: 10)")
    parser.add_argument("--home", type=Path, help="keep what Airflow writes in this folder")
    options = parser.parse_args(arguments)

    def say(line: Line) -> None:
        print(json.dumps(line), flush=True)

    INTERRUPTS.install()
    try:
        with tempfile.TemporaryDirectory(prefix="airgate-faults-") as folder:
            home = options.home or Path(folder) / "home"
            drawn = parts(options.runs, options.keyless, options.late, options.seed)
            total = run_suite(home, drawn, options.seed, say)
    except Interrupted as interrupted:
        return interrupted.exit_code
    return 0 if total["held"] == total["orders"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
