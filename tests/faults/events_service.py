"""The counting service with feeds of events: it tells some of them again, and refuses some effects for good.

POST /-/tell            {"feed": name, "records": […]}; append to a feed
GET  /feeds/NAME        ?cursor=N&limit=M; a page of it, which may begin before its cursor
POST /orders/ORDER      the effect of one event; 422 for good where the order says that it is refused
"""

from __future__ import annotations

import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.faults.effects_service import Effects

REFUSED = "refused"
"""How an order begins that is refused."""
SHARE_REPEATED = 0.3
"""Of the pages that have something new."""
MOST_REPEATED = 25
"""Records that such a page has once more."""


class EventsService(Effects):
    """The service.

    Args:
        home: As for ``Effects``.
    """

    def __init__(self, home: Path | None = None) -> None:
        super().__init__(home)
        self._feeds: defaultdict[str, list[Any]] = defaultdict(list)
        self._draw = random.Random(1)
        self.app.router.routes[:0] = [
            Route("/-/tell", self.tell, methods=["POST"]),
            Route("/feeds/{name}", self.feed),
        ]

    async def tell(self, request: Request) -> Response:
        """Append to a feed."""
        said = await request.json()
        self._feeds[said["feed"]] += said["records"]
        return JSONResponse({})

    async def feed(self, request: Request) -> Response:
        """Give a page, sometimes with records that an earlier one had."""
        records = self._feeds[request.path_params["name"]]
        start, limit = int(request.query_params.get("cursor") or 0), int(request.query_params["limit"])
        if start < len(records) and self._draw.random() < SHARE_REPEATED:
            start = max(0, start - self._draw.randint(1, MOST_REPEATED))
        page = records[start : start + limit]
        return JSONResponse({"events": page, "next_cursor": str(start + len(page))})

    async def order(self, request: Request) -> Response:
        """Perform an order, with a key only once, or refuse it."""
        name = request.path_params["order"]
        if name.startswith(REFUSED):
            self.orders[name].arrivals += 1
            return JSONResponse({"why": "there is no such item"}, 422)
        return await super().order(request)


def main(arguments: Sequence[str]) -> None:
    """`PORT [HOME]`: serve on loopback until told to end."""
    home = Path(arguments[1]) if len(arguments) > 1 else None
    uvicorn.run(EventsService(home).app, host="127.0.0.1", port=int(arguments[0]), log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1:])
