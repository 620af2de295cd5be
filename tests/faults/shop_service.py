"""One of the sample services, which says where each of its requests is, and waits for the word to go on.

Whoever listens may kill in the meantime: the task, the gateway, or this process itself. How the service misbehaves
stands in a file, so that the one which takes its place misbehaves alike.

    python -m tests.faults.shop_service NAME PORT STORE SETTINGS LISTENER
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from include.services.faults import FaultSettings
from include.services.severed import SeverableProtocol
from tests.faults.telling import tell

TASKS = {
    ("POST", "reservations"): "reserve",
    ("POST", "charges"): "charge",
    ("POST", "shipments"): "ship",
    ("POST", "notices"): "notify",
    ("DELETE", "reservations"): "undo_reserve",
    ("DELETE", "charges"): "undo_charge",
    ("POST", "charges", "refund"): "undo_charge",
}
"""Method and collection, and what stands behind the effect's own path -> the task that sends it."""


class Watched:
    """A service under a watch.

    Args:
        app: The service.
        store: Its file.
        listener: Address that is told ``{"order", "task", "stage"}``; the request goes on once it has answered.
    """

    def __init__(self, app: ASGIApp, store: Path, listener: str) -> None:
        self._app = app
        self._store = store
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        task = _task(scope)
        if task is None:
            await self._app(scope, receive, send)
            return
        body = await _body(receive)
        order = _order_in(body) or await asyncio.to_thread(self._order_of, scope["path"])
        await self._tell(order, task, "arrived")
        sent_body = False

        async def receive_again() -> Message:
            nonlocal sent_body
            if sent_body:
                return await receive()
            sent_body = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send_watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 300:
                await self._tell(order, task, "done")
            await send(message)

        await self._app(scope, receive_again, send_watched)
        await self._tell(order, task, "answered")

    async def _tell(self, order: str | None, task: str, stage: str) -> None:
        if order is not None:
            await asyncio.to_thread(tell, self._listener, {"order": order, "task": task, "stage": stage})

    def _order_of(self, path: str) -> str | None:
        """The order of the effect that a path names, by its key or its id."""
        _, collection, *rest = path.split("/")
        column, value = ("key", rest[1]) if rest[0] == "by-key" else ("number", rest[0].rpartition("-")[2])
        with contextlib.closing(sqlite3.connect(self._store, timeout=10)) as db:
            found = db.execute(
                f"select order_name from effects where collection = ? and {column} = ?",
                (collection, value),
            ).fetchone()
        return None if found is None else str(found[0])


def _task(scope: Scope) -> str | None:
    if scope["type"] != "http" or scope["path"].startswith("/-/"):
        return None
    _, collection, *rest = scope["path"].split("/")
    behind = rest[-1:] if len(rest) > 1 and scope["method"] == "POST" else []
    return TASKS.get((scope["method"], collection, *behind))


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        body += part
        if not message.get("more_body"):
            return body


def _order_in(body: bytes) -> str | None:
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return str(json.loads(body)["order"])
    return None


def main(arguments: Sequence[str]) -> None:
    """Serve until told to end."""
    name, port, store, settings, listener = arguments
    faults = FaultSettings(**json.loads(Path(settings).read_text()))
    app = importlib.import_module(f"include.services.{name}").build(faults, store)
    # As `python -m include.services` has it: connections can be reset, and a slow answer does not hold up the stop.
    uvicorn.run(
        Watched(app, Path(store), listener),
        host="127.0.0.1",
        port=int(port),
        http=SeverableProtocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
