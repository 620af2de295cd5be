"""An asset's event log, as Airflow lets a task read it: row by row, without holding more than a page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from airgate.policy.events.batch import batch_of
from airgate.policy.events.dispatch import Entry
from airgate.policy.events.log_position import Mark

FIRST_PAGE = 16
LARGEST_PAGE = 200
PAGE_BYTES = 4 * 1024 * 1024
"""What a page may have, by the rows of the page before it; Airflow's own limit for an answer is a time, of seconds."""


class AssetLog:
    """The rows of one asset.

    Args:
        rows: ``inlet_events`` of the asset.
        asset: Its URI, or its name: the source of what is told there by nobody else.
    """

    def __init__(self, rows: Any, asset: str) -> None:
        self._rows = rows
        self._asset = asset

    def since(self, at: datetime) -> Iterator[Entry]:
        """The rows written at that time and later, each once, the oldest first; those of one moment in any order."""
        size, met = FIRST_PAGE, set[int]()
        while True:
            page = list(self._rows.after(at).ascending().limit(size))
            new = [row for row in page if row.id not in met]
            read = 0
            for row in new:
                entry = self._entry(row)
                read += entry.size
                yield entry
            if len(page) < size:
                return
            last = page[-1].timestamp
            # The next page begins with the moment at which this one ends, as that may have more rows.
            met = {row.id for row in page if row.timestamp == last} | (met if last == at else set())
            if last == at and not new:
                size *= 2  # one moment has more rows than a page
            elif new:
                size = max(FIRST_PAGE, min(LARGEST_PAGE, PAGE_BYTES * len(new) // max(read, 1)))
            at = last

    def _entry(self, row: Any) -> Entry:
        told = row.timestamp.isoformat()
        batch = batch_of(row.extra, asset=self._asset, asset_event_id=row.id, time=told)
        return Entry(Mark(row.id, row.timestamp), batch, len(msgspec.json.encode(row.extra)))
