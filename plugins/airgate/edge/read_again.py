"""A request's body that was read whole, for whoever reads it after that."""

from airgate.edge.reply import Message, Receive


def replayed(body: bytes, receive: Receive) -> Receive:
    """A way to receive a body that was read before; what follows it comes from where it came before."""
    waiting = True

    async def again() -> Message:
        nonlocal waiting
        if waiting:
            waiting = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again
