"""A call as a value: what a task function returns, what an operator is made of, what a request is built from."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from airgate.client.message import Params, Request, join_url
from airgate.client.message import merged as merged
from airgate.client.texts import form_of, not_finite
from airgate.client.uploads import Upload
from airgate.policy.idempotency import Fingerprint, json_digest


@dataclass(frozen=True, slots=True)
class Call:
    """One call through the gateway, not yet made. The fields are those of ``GatewayHook.call``."""

    method: str = ""
    path: str = ""
    """Path below the gateway's address; ``{name}`` is filled from ``path_params``."""
    path_params: Mapping[str, Any] | None = dataclasses.field(default=None, repr=False)
    params: Params | None = dataclasses.field(default=None, repr=False)
    json: Any = dataclasses.field(default=None, repr=False)
    data: Any = dataclasses.field(default=None, repr=False)
    headers: Mapping[str, str] | None = dataclasses.field(default=None, repr=False)
    idempotency_key: str | bool | None = None
    expect: Collection[int] | None = None
    operation: str | None = None
    """OpenAPI operationId, instead of method and path."""
    arguments: Mapping[str, Any] | None = dataclasses.field(default=None, repr=False)
    """What the operation is called with."""
    name: str = ""
    """Of the call within its task, part of the key; empty for the operation or the task."""
    epoch: str = ""
    """Part of the key: another text asks for a new effect."""

    def to_dict(self) -> dict[str, Any]:
        """The fields that are set, for ``as_call``."""
        return {
            field.name: value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != field.default
        }

    def problem(self) -> str | None:
        """What keeps this from being a call, None when nothing does."""
        if self.operation and (self.method or self.path):
            return "operation stands for method and path; give either"
        if not self.operation and not self.path:
            return "path is missing (or operation, the id of an OpenAPI operation)"
        if self.arguments is not None and not self.operation:
            return "arguments belong to an operation; without one use path_params, params and json"
        return both_bodies(self.json, self.data)


def both_bodies(json: Any, data: Any) -> str | None:
    """What is wrong with two bodies, None with one or none."""
    return "json and data cannot both be the body" if json is not None and data is not None else None


def as_call(value: Any) -> Call:
    """The call that a task function returned.

    Args:
        value: A ``Call``, or a mapping of its fields; ``query`` does for ``params``.

    Raises:
        TypeError: It is neither.
        ValueError: A field is unknown or missing.
    """
    if isinstance(value, Mapping):
        fields = {"params" if name == "query" else str(name): each for name, each in value.items()}
        known = [field.name for field in dataclasses.fields(Call)]
        if unknown := sorted(set(fields) - set(known)):
            raise ValueError(f"unknown in the call: {', '.join(unknown)}; known are {', '.join(known)}")
        value = Call(**{**fields, "expect": statuses(fields.get("expect"))})
    if not isinstance(value, Call):
        raise TypeError(f"a call must be an airgate.hooks.Call or a dict with its fields, not {type(value).__name__}")
    if problem := value.problem():
        raise ValueError(problem)
    if value.operation or value.method:
        return value
    return dataclasses.replace(value, method="GET")


def statuses(expect: int | Collection[int] | None) -> Collection[int] | None:
    """The statuses that count as success; one alone is what one likes to write."""
    return {expect} if isinstance(expect, int) else expect


def build_request(base_url: str, call: Call) -> Request:
    """The request of a call that has method and path, without an idempotency key.

    Args:
        base_url: The gateway's address.
        call: What is to be sent.

    Raises:
        ValueError: When the fields do not make a request.
    """
    if problem := both_bodies(call.json, call.data):
        raise ValueError(problem)
    headers = {str(name): str(value) for name, value in (call.headers or {}).items()}
    body = call.data.encode() if isinstance(call.data, str) else call.data
    if call.json is not None:
        body = _encoded(call.json)
        _set_default(headers, "Content-Type", "application/json")
    elif isinstance(body, Mapping):
        body = form_of("data", body)
        _set_default(headers, "Content-Type", "application/x-www-form-urlencoded")
    elif body is not None and not isinstance(body, bytes | Upload):
        raise ValueError(
            f"data must be text, bytes, a mapping for a form or a body of airgate.client.uploads, not a "
            f"{type(body).__name__}"
        )
    elif media_type := getattr(body, "content_type", None):
        _set_default(headers, "Content-Type", media_type)
    return Request(
        call.method.upper(),
        join_url(base_url, call.path, call.path_params, call.params),
        headers,
        body,
        # Only a template: a filled-in path is made one by the call itself.
        route="/" + call.path.partition("?")[0].lstrip("/") if "{" in call.path else "",
    )


def _encoded(value: Any) -> bytes:
    """The JSON of a value.

    Raises:
        ValueError: Naming the place of what JSON cannot hold.
    """
    try:
        body = msgspec.json.encode(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"json cannot be the body: {error}") from None
    # NaN is written as null, of which the service would make something else than was meant.
    if b"null" in body and (place := not_finite(value)) is not None:
        raise ValueError(f"json{place} must be a finite number: JSON has no NaN and no infinity")
    return body


def with_own_key(call: Call, header: str) -> Call:
    """The call with the key that its headers hold, if they do, as ``idempotency_key``.

    Raises:
        ValueError: It has two different keys.
    """
    found = [name for name in call.headers or () if str(name).lower() == header.lower()]
    if not found or call.idempotency_key is False or call.headers is None:
        return call
    own = str(call.headers[found[0]])
    if isinstance(call.idempotency_key, str) and call.idempotency_key != own:
        raise ValueError(f"the header {found[0]} and idempotency_key are two different keys; leave one out")
    headers = {name: value for name, value in call.headers.items() if name not in found}
    return dataclasses.replace(call, headers=headers, idempotency_key=own)


def with_key(request: Request, key: str, header: str, *, relied: bool, in_doubt: bool = False) -> Request:
    """The same request with an idempotency key.

    Args:
        request: Without one.
        key: What is sent.
        header: Where it is sent.
        relied: Whether the service is known to honour it, so that the request may be repeated.
        in_doubt: Whether an earlier try may have sent it.

    Raises:
        ValueError: The key is empty.
    """
    if not key.strip():
        raise ValueError("idempotency_key is empty: a service could not tell one request from another by it")
    return dataclasses.replace(request.with_headers({header: key}), keyed=relied, in_doubt=in_doubt)


def _set_default(headers: dict[str, str], name: str, value: str) -> None:
    if not any(known.lower() == name.lower() for known in headers):
        headers[name] = value


def is_streamed(request: Request) -> bool:
    """Whether the body is made while it is sent."""
    return request.body is not None and not isinstance(request.body, bytes)


def fingerprint(call: Call, request: Request) -> Fingerprint:
    """What tells this request from another one that might go under the same key."""
    if call.json is not None:
        body = json_digest(call.json)
    elif request.body is None or isinstance(request.body, bytes):
        body = hashlib.sha256(request.body or b"").hexdigest()
    else:
        from airgate.client.uploads import body_digest

        body = body_digest(request.body)
    return Fingerprint.of(request.method, request.url, body)
