"""Carries out what a job protocol asks for, through a gateway."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TypeVar

from airgate.client.message import Request, Response
from airgate.hooks.call import Call, with_key
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.sealing import opened
from airgate.jobs.talk import Ask, Talk, acarry, carry

T = TypeVar("T")


def call_of(ask: Ask) -> Call:
    """The call of one request of a protocol, without a key."""
    return Call(
        ask.method.upper(),
        ask.path,
        ask.path_params,
        ask.params,
        ask.json,
        ask.data,
        ask.headers,
        idempotency_key=False,
        expect=ask.expect,
    )


def look(hook: GatewayHook, talk: Talk[T], *, deadline: float | None = None) -> T:
    """Carry out a conversation without an effect: status, result, find.

    Args:
        hook: Whose gateway.
        talk: What a verb gave.
        deadline: Unix time by which each of its calls must be over; None for the connection's setting.

    Raises:
        GatewayError: The typed error of what came instead.
        ValueError: It asks for something with an effect.
    """
    return carry(talk, lambda ask: _send(hook, _reading(ask), deadline))


async def alook(hook: GatewayHook, talk: Talk[T], *, deadline: float | None = None) -> T:
    """Do what ``look`` does without holding up the event loop."""

    async def send(ask: Ask) -> Response:
        return await _asend(hook, _reading(ask), deadline)

    return await acarry(talk, send)


def end(hook: GatewayHook, talk: Talk[None], *, deadline: float | None = None) -> None:
    """Carry out a cancellation, which does no harm when it happens twice; see ``look``."""
    carry(talk, lambda ask: _send(hook, ask, deadline))


async def aend(hook: GatewayHook, talk: Talk[None], *, deadline: float | None = None) -> None:
    """Do what ``end`` does without holding up the event loop."""

    async def send(ask: Ask) -> Response:
        return await _asend(hook, ask, deadline)

    await acarry(talk, send)


def repeat_submission(hook: GatewayHook, talk: Talk[T], key: str) -> T:
    """Submit once more to a service that makes one job of a key, to learn which one it made.

    Args:
        hook: Whose gateway.
        talk: What ``submit`` gave for the key.
        key: Of the submission.

    Raises:
        GatewayError: The typed error of what came instead.
    """
    return carry(talk, lambda ask: hook.send(_repeated(hook, ask, key), expect=ask.expect))


async def arepeat_submission(hook: GatewayHook, talk: Talk[T], key: str) -> T:
    """Do what ``repeat_submission`` does without holding up the event loop."""

    async def send(ask: Ask) -> Response:
        return await hook.asend(_repeated(hook, ask, key), expect=ask.expect)

    return await acarry(talk, send)


def _repeated(hook: GatewayHook, ask: Ask, key: str) -> Request:
    request = hook.request(call_of(ask))
    if not ask.harmless:
        request = with_key(request, key, hook.gateway.idempotency_header, relied=True, in_doubt=True)
    return dataclasses.replace(request, keyed=True)


def _reading(ask: Ask) -> Ask:
    if not ask.harmless:
        raise ValueError(f"a protocol must not change anything to look at a job: {ask.method} {ask.path}")
    return ask


def _send(hook: GatewayHook, ask: Ask, deadline: float | None) -> Response:
    return hook.send(_request(hook, ask), expect=ask.expect, deadline=deadline)


async def _asend(hook: GatewayHook, ask: Ask, deadline: float | None) -> Response:
    if "gateway" not in vars(hook):
        await asyncio.to_thread(lambda: hook.gateway)  # the connection is looked up in a way that blocks
    return await hook.asend(_request(hook, ask), expect=ask.expect, deadline=deadline)


def _request(hook: GatewayHook, ask: Ask) -> Request:
    # As one with a key it may be repeated, which its method alone would not say of a query that is a POST.
    return dataclasses.replace(hook.request(call_of(opened(hook.gateway, ask))), keyed=True)
