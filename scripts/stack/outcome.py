"""What came of the demo: its numbers, checked against what the services served, as text and as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import requests

from stack.failure import Failed

MART_ROWS = 5
"""How many rows of the mart are shown."""


class NotTrue(Failed):
    """The numbers disagree with what the services served or the warehouse holds."""


@dataclass
class Outcome:
    """The demo's result; grows while it works, so that a failure can tell how far it came."""

    dag_id: str
    warehouse: Path
    state: str = "failed"
    run_ids: list[str] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    """A day each, as the DAG's last task returned it."""
    task_retries: int = 0

    def total(self, figure: str) -> int:
        """Sum a figure of the reports over the days."""
        return sum(report[figure] for report in self.reports)

    @property
    def retries(self) -> int:
        """Of calls, made inside a task, plus of whole tasks."""
        return self.total("call_retries") + self.task_retries

    def line(self, seconds: float) -> str:
        """Give the JSON object that is the demo's last line."""
        return json.dumps(
            {
                "state": self.state,
                "dag_id": self.dag_id,
                "runs": self.run_ids,
                "extracted": self.total("extracted"),
                "dead_lettered": self.total("dead_lettered"),
                "loaded": self.total("loaded"),
                "retries": self.retries,
                "warehouse": str(self.warehouse),
                "seconds": round(seconds, 1),
            }
        )

    def text(self, misbehaviour: dict[str, dict[str, int]]) -> str:
        """Give the result for people: days, faults, first rows of the mart.

        Args:
            misbehaviour: service -> what it did wrong on purpose -> how often.
        """
        lines = ["", "day         extracted  dead-lettered  loaded  retried calls  waited"]
        lines += [
            f"{report['day']}  {report['extracted']:9,}  {report['dead_lettered']:13,}  {report['loaded']:6,}"
            f"  {report['call_retries']:13,}  {report['waited_seconds']:4.1f} s"
            for report in self.reports
        ]
        lines += ["", f"survived: {self.retries} retries ({self.task_retries} of whole tasks), caused by"]
        for service, deeds in misbehaviour.items():
            said = ", ".join(f"{count} x {deed}" for deed, count in deeds.items() if count)
            lines.append(f"  {service:<10} {said or 'nothing'}")
        lines += ["", f"carrier_daily, the first {MART_ROWS} rows of {rows_in(self.warehouse, 'carrier_daily'):,}"]
        return "\n".join([*lines, first_rows(self.warehouse, "carrier_daily")])


def served(address: str, day: str | None = None) -> dict[str, Any]:
    """Ask a sample service for the truth: what a complete reading holds, and what it did wrong so far."""
    with requests.Session() as session:
        session.trust_env = False
        response = session.get(f"{address}/-/truth", params={"date": day} if day else None, timeout=10)
        response.raise_for_status()
        return dict(response.json())


DEEDS = {
    "status_503": "503",
    "status_429": "429",
    "dropped": "dropped connection",
    "slow": "slow answer",
    "malformed": "damaged record",
}
"""A service's count -> what we call it."""


def misbehaviour(addresses: dict[str, str]) -> dict[str, dict[str, int]]:
    """Ask each service what it did wrong on purpose; service -> deed -> how often."""
    counts = {name: served(address)["served_counts"] for name, address in addresses.items()}
    return {name: {text: told[key] for key, text in DEEDS.items()} for name, told in counts.items()}


def verify(reports: Sequence[dict[str, Any]], flights: str) -> None:
    """Hold the reports against the truth of the flights service at address `flights`.

    Raises:
        NotTrue: they differ.
    """
    for report in reports:
        truth = served(flights, report["day"])
        expected = (truth["records"] + truth["malformed"], truth["malformed"], truth["records"])
        found = (report["extracted"], report["dead_lettered"], report["loaded"])
        if found != expected:
            raise NotTrue(
                f"{report['day']}: extracted, dead-lettered and loaded are {found}, but the service served {expected}"
            )


def rows_in(warehouse: Path, table: str) -> int:
    """Count a table's rows."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        found = connection.execute(f'select count(*) from "{table}"').fetchone()  # noqa: S608 - the table's name is ours
    return int(found[0]) if found else 0


def first_rows(warehouse: Path, table: str, limit: int = MART_ROWS) -> str:
    """Draw the first rows of a table, ordered by its first columns."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        cursor = connection.execute(f'select * from "{table}" order by 1, 2 limit {limit}')  # noqa: S608
        names, values = [column[0] for column in cursor.description or []], cursor.fetchall()
    cells = [names, *([shown(value) for value in row] for row in values)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(names))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def shown(value: object) -> str:
    """Write a value of the mart."""
    return f"{value:.2f}" if isinstance(value, float) else str(value)
