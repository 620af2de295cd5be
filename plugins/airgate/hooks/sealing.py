"""Seals what a job's handle must not show, and opens it for a request."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from airgate.client.gateway import Gateway
from airgate.client.sealing import Unsealed, seal, unseal
from airgate.jobs.job import JobHandle
from airgate.jobs.sealed_ask import SealedAsk
from airgate.jobs.talk import Ask


def sealed(gateway: Gateway, handle: JobHandle) -> JobHandle:
    """The handle as it may be stored.

    Raises:
        NotSealed: The connection has no secret of its own.
    """
    return dataclasses.replace(handle, data=_sealed(gateway, handle.data))


def opened(gateway: Gateway, ask: Ask) -> Ask:
    """The request with the query that it keeps sealed.

    Raises:
        NotSealed: The connection's secrets have been changed since.
    """
    if not isinstance(ask, SealedAsk) or not ask.sealed:
        return ask
    query = unseal(gateway.own_secrets, ask.sealed, ask.path)
    return dataclasses.replace(ask, path=f"{ask.path}?{query}", sealed="")


def _sealed(gateway: Gateway, value: Any) -> Any:
    if isinstance(value, Unsealed):
        return {"sealed": seal(gateway.own_secrets, value)}
    if isinstance(value, Mapping):
        return {name: _sealed(gateway, each) for name, each in value.items()}
    return value
