"""The stage that holds a request against what its route asks for."""

import asyncio

from airgate.edge.json_body import BadBody
from airgate.edge.passage import Handler, Passage, Stage
from airgate.edge.stage_body import whole_body
from airgate.edge.validation import Rules, refused

_LARGE = 64 * 1024
"""Bytes from which a body is checked in a thread, as that takes the loop longer than others should wait."""


def validated(rules: Rules) -> Stage:
    """Let through what keeps to the rules; answer 400, 415 or 422 otherwise."""

    def stage(handler: Handler) -> Handler:
        async def handle(passage: Passage) -> None:
            body = await whole_body(passage) if rules.reads_body else b""
            try:
                if len(body) > _LARGE:
                    faults = await asyncio.to_thread(rules.faults, passage.request, passage.parameters, body)
                else:
                    faults = rules.faults(passage.request, passage.parameters, body)
            except BadBody as bad:
                await passage.reply.whole(bad.answer)
                return
            if faults:
                await passage.reply.whole(refused(faults))
            else:
                await handler(passage)

        return handle

    return stage
