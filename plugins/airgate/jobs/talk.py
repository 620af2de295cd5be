"""How a protocol speaks to its service: what it asks for, without sending it.

A verb is a generator. It yields an ``Ask``, is sent the response, and returns what it found out, so that one protocol
serves the worker, which waits for answers, and the triggerer, which must not. An error of the call is raised where the
generator waits for the answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from airgate.client.message import Params, Response
from airgate.policy.errors import GatewayError
from airgate.policy.idempotency import SAFE_METHODS

T = TypeVar("T")

Talk = Generator["Ask", Response, T]
"""A conversation that ends with a value."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of a protocol. The fields are those of ``GatewayHook.call``."""

    method: str
    path: str
    """Path below the gateway's address; ``{name}`` is filled from ``path_params``."""
    path_params: Mapping[str, Any] = field(default_factory=dict)
    params: Params | None = None
    json: Any = None
    data: Any = field(default=None, repr=False)
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    expect: Collection[int] | None = None
    """Statuses that count as success; None means 200 to 299."""
    reads: bool = False
    """Whether a POST has no effect, as a GraphQL query or an AWS ``Describe`` has none: it may be repeated at will."""

    @property
    def harmless(self) -> bool:
        """Whether it has no effect."""
        return self.reads or self.method.upper() in SAFE_METHODS


def carry(talk: Talk[T], send: Callable[[Ask], Response]) -> T:
    """Carry a conversation out.

    Args:
        talk: What a verb gave.
        send: Makes one request, and raises a ``GatewayError`` where no success came of it.
    """
    try:
        ask = next(_checked(talk))
        while True:
            try:
                answer = send(_asked(talk, ask))
            except GatewayError as error:
                ask = talk.throw(error)
            else:
                ask = talk.send(answer)
    except StopIteration as stop:
        value: T = stop.value
        return value


async def acarry(talk: Talk[T], send: Callable[[Ask], Awaitable[Response]]) -> T:
    """Do what ``carry`` does without holding up the event loop."""
    try:
        ask = next(_checked(talk))
        while True:
            try:
                answer = await send(_asked(talk, ask))
            except GatewayError as error:
                ask = talk.throw(error)
            else:
                ask = talk.send(answer)
    except StopIteration as stop:
        value: T = stop.value
        return value


def _checked(talk: Talk[T]) -> Talk[T]:
    """The conversation, if it is one.

    Raises:
        TypeError: The verb gave something else.
    """
    if not isinstance(talk, Generator):
        raise TypeError(
            f"a protocol's verb must be a generator that yields airgate.jobs.Ask and returns its result, and gave "
            f"{talk!r}: it has no yield"
        )
    return talk


def _asked(talk: Talk[T], ask: object) -> Ask:
    """What a conversation yielded, if it can be asked.

    Raises:
        TypeError: It cannot.
    """
    if not isinstance(ask, Ask):
        verb = getattr(talk, "__qualname__", "a protocol's verb")
        raise TypeError(f"{verb} must yield airgate.jobs.Ask, not {ask!r}")
    return ask
