"""Where in a submission the address goes that the service may call when the job is over."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from airgate.jobs.protocol import JobProtocol

CALLBACK_URL: Final = "airgate:callback-url"
"""Stands for the address, in any text of a protocol's fields; it is replaced when the job is submitted."""


def marked(fields: Mapping[str, Any]) -> list[str]:
    """Names of the fields that hold the marker, however deep."""
    return [name for name, value in fields.items() if _holds(value)]


def fields_of(protocol: JobProtocol) -> dict[str, Any]:
    """What a protocol is made of."""
    return {field.name: getattr(protocol, field.name) for field in dataclasses.fields(protocol)}  # type: ignore[arg-type]


def with_address(protocol: JobProtocol, address: str) -> JobProtocol:
    """The protocol that submits the address in place of the marker; the given one stays as it is."""
    fields = fields_of(protocol)
    placed = {name: _placed(fields[name], address) for name in marked(fields)}
    return dataclasses.replace(protocol, **placed)  # type: ignore[type-var]


def callback_problem(protocol: JobProtocol, fields: object, *, wanted: bool) -> str | None:
    """What keeps a callback from working; None when nothing does.

    Args:
        protocol: What submits.
        fields: Fields that replace its own, as the operator has them; what is not known yet is let pass.
        wanted: Whether the operator is told to use a callback.
    """
    given = {**fields_of(protocol), **(fields if isinstance(fields, Mapping) else {})}
    places = marked(given)
    if places and not wanted:
        return f"{_and(places)} of the protocol holds airgate.jobs.CALLBACK_URL: set callback=True"
    if stored := [name for name in places if name in {*protocol.watched, *protocol.sought}]:
        return (
            f"{_and(stored)} of the protocol is stored with the trigger, where no callback URL may stand: put "
            "airgate.jobs.CALLBACK_URL into what is only submitted, such as the body"
        )
    if wanted and not places and (fields is None or isinstance(fields, Mapping)):
        return (
            "callback=True needs airgate.jobs.CALLBACK_URL in the protocol's fields, where the service expects the "
            "address that it is to call, such as json={'callback_url': CALLBACK_URL}"
        )
    return None


def _holds(value: Any) -> bool:
    if isinstance(value, str):
        return CALLBACK_URL in value
    if isinstance(value, bytes):
        return CALLBACK_URL.encode() in value
    if isinstance(value, Mapping):
        return any(map(_holds, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_holds, value))


def _placed(value: Any, address: str) -> Any:
    if isinstance(value, str):
        return value.replace(CALLBACK_URL, address)
    if isinstance(value, bytes):
        return value.replace(CALLBACK_URL.encode(), address.encode())
    if isinstance(value, Mapping):
        return {name: _placed(each, address) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_placed(each, address) for each in value)
    return value


def _and(names: list[str]) -> str:
    return " and ".join(names)
