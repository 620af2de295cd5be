"""The weather service: offset pages with a total, by day and airport."""

from datetime import date
from functools import lru_cache
from typing import Any

import pyarrow as pa
from starlette.applications import Starlette
from starlette.requests import Request

from include.services import dataset, parameters
from include.services.faults import FaultSettings
from include.services.upstream import Page, Upstream


def build(settings: FaultSettings) -> Starlette:
    """Load the weather and return the service."""
    table = dataset.load("weather").combine_chunks()
    runs = dataset.runs(table, "origin", "year", "month", "day")
    upstream = Upstream("weather", settings)

    @lru_cache(maxsize=64)
    def reading(day: date | None, origin: str | None) -> pa.Table:
        if day is None and origin is None:
            return table
        wanted = [
            table.slice(where.start, where.stop - where.start)
            for (at, *key), where in runs.items()
            if origin in (None, at) and day in (None, date(*key))
        ]
        return pa.concat_tables([table.slice(0, 0), *wanted]).combine_chunks()

    def page(request: Request) -> Page:
        found = reading(parameters.day(request), request.query_params.get("origin"))
        offset = parameters.number(request, "offset", default=0, least=0)
        limit = parameters.page_size(request, "limit")
        records = dataset.rows(found, offset, min(offset + limit, found.num_rows))
        body = {"data": records, "total": found.num_rows, "offset": offset, "limit": limit}
        return Page(body, records=len(records))

    def truth(request: Request) -> dict[str, Any]:
        day, origin = parameters.day(request), request.query_params.get("origin")
        return {"date": day, "origin": origin, "records": reading(day, origin).num_rows, "malformed": 0}

    return upstream.app({"/weather": page}, truth)
