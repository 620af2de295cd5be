"""The end of a route that asks several upstreams: calls them, ends the calls when the client leaves, answers once."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from airgate.edge.aggregation import Branch, gathered, merged
from airgate.edge.json_body import BadBody, read_json
from airgate.edge.passage import Handler, Passage
from airgate.edge.reply import Receive
from airgate.edge.stage_body import whole_body
from airgate.edge.whole_call import HttpCalls
from airgate.spec.answer import NO_MATCH
from airgate.spec.extension_paths import is_filled
from airgate.spec.extension_references import Sources, uses_body
from airgate.spec.javascript import MISSING


def aggregated(branches: Sequence[Branch], variables: Mapping[str, object], calls: HttpCalls) -> Handler:
    """Make the calls of an aggregation and answer with what came.

    404 where a placeholder of a branch's path stands for nothing.
    """
    reads_body = any(
        uses_body(dict(each.headers)) or uses_body(dict(each.query)) or uses_body(each.body) for each in branches
    )

    async def handle(passage: Passage) -> None:
        if not all(is_filled(each.path, passage.parameters) for each in branches):
            await passage.reply.whole(NO_MATCH)
            return
        body = await whole_body(passage)
        try:
            value = read_json(passage.request, body) if reads_body else MISSING
            sources = Sources(passage.request, passage.claims, passage.parameters, variables, value)
            async with while_client_waits(passage.receive) as waits:
                came = await gathered(branches, sources, calls)
        except BadBody as bad:
            await passage.reply.whole(bad.answer)
            return
        if waits.here:
            await passage.reply.whole(merged(came))

    return handle


class Waiting:
    """Whether the client is still there."""

    here = True


@asynccontextmanager
async def while_client_waits(receive: Receive) -> AsyncIterator[Waiting]:
    """Cancel what is done inside when the client closes its connection; nothing is raised then."""
    task = asyncio.current_task()
    assert task is not None
    waits = Waiting()
    inside = True

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        waits.here = False
        if inside:
            task.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield waits
    except asyncio.CancelledError:
        if waits.here or task.uncancel() > 0:
            raise
    finally:
        inside = False
        watching.cancel()
