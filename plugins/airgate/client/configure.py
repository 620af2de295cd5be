"""From a connection's fields to a gateway's settings, every mistake named with its field."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from airgate.client.auth.chosen import auth_from_fields
from airgate.client.fields import FIELDS
from airgate.client.gateway import Gateway
from airgate.policy.limits import parse_limits
from airgate.policy.redaction import is_secret_header
from airgate.policy.retry import RetrySettings

if TYPE_CHECKING:
    from airgate.policy.breaker import BreakerSettings


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TEXT = re.compile(r"[\t\x20-\x7e]*")


def gateway_from_fields(
    *,
    host: str | None,
    port: int | None = None,
    scheme: str | None = None,
    login: str | None = None,
    password: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Gateway:
    """A gateway's settings from the fields of a connection.

    Args:
        host: Host name, or a whole address with scheme and path prefix.
        port: Left out for the scheme's own.
        scheme: ``http`` or ``https``, the default.
        login: User, subject, client id or access key, by ``extra.auth``.
        password: Password, token, key, signing key or client secret, by ``extra.auth``.
        extra: The fields of ``airgate.client.fields.FIELDS``.

    Raises:
        ValueError: Naming the field that is missing, unknown or wrong.
    """
    fields = _read(extra or {})
    base_url = _base_url(host, port, scheme)
    headers = _headers(fields["headers"] or {})
    return Gateway(
        base_url=base_url,
        auth=auth_from_fields(fields, base_url, login, password),
        retry=RetrySettings(
            **{name: fields[name] for name in ("attempts", "backoff", "backoff_cap", "deadline", "max_inline_wait")},
            budget=fields["retry_budget"],
        ),
        max_response_bytes=fields["max_response_bytes"],
        connect_timeout=fields["connect_timeout"],
        read_timeout=fields["read_timeout"],
        headers=headers,
        verify={"true": True, "false": False}.get(str(fields["verify"]).lower(), fields["verify"]),
        health_path=fields["health_path"],
        proxy=fields["proxy"],
        client_cert=fields["client_cert"],
        client_key=fields["client_key"],
        address_guard=fields["address_guard"] == "on",
        idempotency=fields["idempotency"],
        idempotency_header=fields["idempotency_header"],
        long_wait=fields["long_wait"],
        task_deadline=fields["task_deadline"],
        limits=parse_limits(fields["limits"] or {}),
        breaker=_breaker(fields["breaker"]),
        openapi=fields["openapi"],
        own_secrets=(
            *([password] if password else []),
            *(headers[name] for name in sorted(headers) if is_secret_header(name, headers[name])),
        ),
    )


def _headers(value: Mapping[str, Any]) -> dict[str, str]:
    headers = {str(name): str(text) for name, text in value.items()}
    for name, text in headers.items():
        # A value may be a secret: only names are shown.
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"extra.headers: {name!r} is not the name of a header (RFC 9110, 5.6.2)")
        if not _TEXT.fullmatch(text):
            raise ValueError(
                f"extra.headers: the value of {name!r} has a sign that cannot stand in a header: it must be ASCII "
                "characters without line breaks"
            )
    if len({name.lower() for name in headers}) != len(headers):
        raise ValueError("extra.headers has a name twice, in different cases")
    return headers


def _breaker(value: Mapping[str, Any] | None) -> BreakerSettings | None:
    if value is None:
        return None
    from airgate.policy.breaker import parse_breaker

    return parse_breaker(value)


def _base_url(host: str | None, port: int | None, scheme: str | None) -> str:
    if not host:
        raise ValueError("host is missing: it is the gateway's name or address")
    address = host if "://" in host else f"{scheme or 'https'}://{host}"
    if not port:
        return address
    start = address.index("://") + 3
    netloc, slash, prefix = address[start:].partition("/")
    return f"{address[:start]}{netloc}:{port}{slash}{prefix}"


def _read(extra: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := sorted(set(extra) - set(FIELDS)):
        raise ValueError(f"unknown in extra: {', '.join(unknown)}; known are {', '.join(FIELDS)}")
    fields = {}
    for name, field in FIELDS.items():
        value = extra.get(name)
        value = field.default if value is None or value == "" else _CONVERT[field.kind](name, value)
        if field.choices and value not in field.choices:
            raise ValueError(f"extra.{name} must be one of {', '.join(field.choices)}, not {value!r}")
        fields[name] = value
    return fields


def _number(name: str, value: Any) -> float:
    try:
        if not isinstance(value, bool) and math.isfinite(number := float(value)):
            return number
    except (TypeError, ValueError):
        pass
    raise ValueError(f"extra.{name} must be a number, not {value!r}")


def _integer(name: str, value: Any) -> int:
    number = _number(name, value)
    if number != int(number):
        raise ValueError(f"extra.{name} must be a whole number, not {value!r}")
    return int(number)


def _object(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise ValueError(f"extra.{name} must be a JSON object: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"extra.{name} must be a JSON object, not {type(value).__name__}")  # noqa: TRY004
    return value


_CONVERT: dict[str, Callable[[str, Any], Any]] = {
    "string": lambda name, value: str(value).lower() if isinstance(value, bool) else str(value),
    "number": _number,
    "integer": _integer,
    "object": _object,
}
