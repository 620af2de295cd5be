"""Errors as JSON, for the way from the triggerer to the worker: an exception would arrive there without its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airgate.policy import errors
from airgate.policy.errors import GatewayError

_FIELDS = ("method", "url", "status", "attempts", "request_id", "retry_after", "retryable", "excerpt")


def error_to_json(error: Exception) -> dict[str, Any]:
    """The error's class and what it knows; secrets are masked in it already."""
    kind = type(error).__name__
    if isinstance(error, GatewayError):
        return {"kind": kind, "reason": error.reason} | {name: getattr(error, name) for name in _FIELDS}
    return {"kind": kind, "reason": str(error)}


def error_from_json(value: Mapping[str, Any]) -> Exception:
    """The error that ``error_to_json`` gave: a gateway's own, or a ValueError that names the other kind."""
    kind = getattr(errors, value["kind"], None)
    if isinstance(kind, type) and issubclass(kind, GatewayError):
        return kind(value["reason"], **{name: value[name] for name in _FIELDS})
    return ValueError(value["reason"] if value["kind"] == "ValueError" else f"{value['kind']}: {value['reason']}")
