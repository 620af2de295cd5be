"""The reference service: airports, planes and airlines by page number."""

from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
from starlette.applications import Starlette
from starlette.requests import Request

from include.services import dataset, parameters
from include.services.faults import FaultSettings
from include.services.upstream import Page, Upstream

COLLECTIONS: Final = ("airports", "planes", "airlines")


def build(settings: FaultSettings) -> Starlette:
    """Load the collections and return the service."""
    tables = {name: dataset.load(name).combine_chunks() for name in COLLECTIONS}
    upstream = Upstream("reference", settings)

    def truth(request: Request) -> dict[str, Any]:
        collections = {name: table.num_rows for name, table in tables.items()}
        return {"collections": collections, "records": sum(collections.values()), "malformed": 0}

    return upstream.app({f"/{name}": _pages_of(table) for name, table in tables.items()}, truth)


def _pages_of(table: pa.Table) -> Callable[[Request], Page]:
    total = table.num_rows

    def page(request: Request) -> Page:
        number = parameters.number(request, "page", default=1, least=1)
        per_page = parameters.page_size(request, "per_page")
        start = (number - 1) * per_page
        items = dataset.rows(table, start, min(start + per_page, total))
        body = {"items": items, "page": number, "pages": -(-total // per_page), "total": total}
        return Page(body, records=len(items))

    return page
