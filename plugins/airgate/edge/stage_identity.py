"""The stage that tells a server who the client is."""

import time

from airgate.edge.passage import Handler, Passage, Stage
from airgate.edge.speaking import Speaker
from airgate.edge.stage_body import whole_body
from airgate.spec.answer import Answer


def told(speaker: Speaker, mapped: frozenset[str]) -> Stage:
    """Sign who the client is, for this request alone; 403 when its token names nobody.

    The body is read whole for that, and the word is signed once it is in: a slow client cannot use up its time.
    """

    def stage(handler: Handler) -> Handler:
        async def handle(passage: Passage) -> None:
            caller = speaker.caller(passage.claims)
            if isinstance(caller, Answer):
                await passage.reply.whole(caller)
                return
            body = await whole_body(passage)
            assert passage.forward is not None
            method = passage.request.method
            passage.forward = speaker.told(passage.forward, method, body, caller, time.time(), mapped)
            await handler(passage)

        return handle

    return stage
