"""The flights service: cursor pages, by day, for a named subject only."""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

import pyarrow as pa
from starlette.applications import Starlette
from starlette.requests import Request

from include.services import cursor, dataset, parameters
from include.services.damage import DAMAGES, damaged_rows
from include.services.faults import FaultSettings
from include.services.parameters import Refused
from include.services.upstream import Page, Upstream


@dataclass(frozen=True, slots=True)
class Slice:
    """Part of a reading: its records, how many are damaged copies, the slot that follows (None at the end)."""

    records: list[dict[str, Any]]
    malformed: int
    next_slot: int | None


def read_slots(table: pa.Table, slot: int, stop_row: int, limit: int, damage: dict[int, str]) -> Slice:
    """Return up to ``limit`` records from a slot on, damaged copies among them.

    Row ``r`` of the table has two slots: ``2r`` for its damaged copy, which most rows do not have, and ``2r + 1`` for
    itself. So a cursor stays right when the damage is switched on or off in the middle of a reading.

    Args:
        table: All flights.
        slot: Where to begin.
        stop_row: The row before which the reading ends.
        limit: Most records to return.
        damage: Which rows have a damaged copy (`damage.damaged_rows`).
    """
    records: list[dict[str, Any]] = []
    malformed = 0
    first = slot // 2
    for row, record in enumerate(dataset.rows(table, first, min(first + limit, stop_row)), start=first):
        if row in damage and slot <= 2 * row:
            if len(records) == limit:
                return Slice(records, malformed, 2 * row)
            records.append({**record, **DAMAGES[damage[row]]})
            malformed += 1
        if len(records) == limit:
            return Slice(records, malformed, 2 * row + 1)
        records.append(record)
    end = min(first + limit, stop_row)
    return Slice(records, malformed, 2 * end if end < stop_row else None)


def build(settings: FaultSettings) -> Starlette:
    """Load the flights and return the service."""
    table = dataset.load("flights").combine_chunks()
    days = {date(*key): where for key, where in dataset.runs(table, "year", "month", "day").items()}
    everything = slice(0, table.num_rows)
    upstream = Upstream("flights", settings)

    @lru_cache(maxsize=4)
    def damage_plan(seed: int, per_day: int) -> dict[int, str]:
        return damaged_rows(seed, per_day, days)

    def damage() -> dict[int, str]:
        return damage_plan(upstream.settings.seed, upstream.settings.malformed_per_day)

    def reading(day: date | None) -> slice:
        return everything if day is None else days.get(day, slice(0, 0))

    def page(request: Request) -> Page:
        if not request.headers.get("x-gateway-subject"):
            raise Refused(401, "X-Gateway-Subject is missing: call this service through the gateway, with a token")
        day = parameters.day(request)
        limit = parameters.page_size(request, "limit")
        where = reading(day)
        slot = 2 * where.start
        if text := request.query_params.get("cursor"):
            try:
                slot = cursor.decode(text, day)
            except ValueError as error:
                raise Refused(400, f"cursor: {error}", "cursor") from None
        found = read_slots(table, slot, where.stop, limit, damage())
        next_cursor = None if found.next_slot is None else cursor.encode(day, found.next_slot)
        body = {"data": found.records, "next_cursor": next_cursor}
        return Page(body, records=len(found.records) - found.malformed, malformed=found.malformed)

    def truth(request: Request) -> dict[str, Any]:
        day = parameters.day(request)
        where = reading(day)
        malformed = sum(where.start <= row < where.stop for row in damage())
        return {"date": day, "records": where.stop - where.start, "malformed": malformed}

    return upstream.app({"/flights": page}, truth)
