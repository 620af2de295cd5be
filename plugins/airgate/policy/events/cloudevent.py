"""An event as an HTTP message, by CloudEvents' HTTP binding.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md

*Structured*: the body is the whole event as JSON. *Binary*: the body is the data, and everything else stands in
headers ``ce-NAME``, which hold ASCII only: what else there is, is percent-encoded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import quote, unquote_to_bytes

import msgspec

from airgate.policy.events.event import Event, NotAnEvent
from airgate.policy.json_faults import NOT_JSON

Mode = Literal["structured", "binary"]
MODES: Final[tuple[Mode, ...]] = ("structured", "binary")
STRUCTURED: Final = "application/cloudevents+json"
"""The media type of one event in JSON."""

_PREFIX: Final = "ce-"
_AS_IT_IS: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
"""What a header's value holds unchanged (binding, 3.1.3.2)."""
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')


def to_message(event: Event, mode: Mode = "structured") -> tuple[dict[str, str], bytes]:
    """The headers and the body of the request that tells an event.

    Raises:
        NotAnEvent: Its data is nothing that JSON can hold.
    """
    if mode == "structured":
        return {"Content-Type": f"{STRUCTURED}; charset=utf-8"}, _encoded(event.to_json())
    told = event.to_json()
    told.pop("data", None)
    kind = told.pop("datacontenttype", None)
    headers = {f"{_PREFIX}{name}": quote(_text(value), safe=_AS_IT_IS) for name, value in told.items()}
    if kind is None:
        return headers, b""
    return {**headers, "Content-Type": kind}, _encoded(event.data)


def of_message(headers: Mapping[str, str], body: bytes) -> Event:
    """The event that a message tells, in whichever mode.

    A binary message does not say of what kind an extension is, so there each of them is a text.

    Args:
        headers: In any spelling.
        body: As it came, content codings removed.

    Raises:
        NotAnEvent: It tells none.
    """
    named = {name.lower(): value for name, value in headers.items()}
    media_type = named.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == STRUCTURED:
        return Event.read(_decoded(body, "the body"))
    if media_type.startswith("application/cloudevents"):
        raise NotAnEvent(f"{media_type} is not read; send each event as {STRUCTURED}")
    told = {
        name.removeprefix(_PREFIX): _unescaped(name, value) for name, value in named.items() if name.startswith(_PREFIX)
    }
    if "specversion" not in told:
        raise NotAnEvent(f"neither Content-Type is {STRUCTURED} nor is there a header {_PREFIX}specversion")
    if "data" in told:
        raise NotAnEvent(f"{_PREFIX}data is no header: the data is the body")
    return Event.read({**told, "data": _data(media_type, body)})


def _data(media_type: str, body: bytes) -> Any:
    if not body:
        return None
    if not media_type or media_type.endswith(("/json", "+json")):
        return _decoded(body, "the data")
    if not media_type.startswith("text/"):
        raise NotAnEvent(f"data of the type {media_type} is not read: send it as JSON or as text")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise NotAnEvent("the data is no text in UTF-8") from None


def _text(value: str | int | bool) -> str:
    """An attribute by its canonical form."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _unescaped(name: str, value: str) -> str:
    """A header's value; quoted ones are of older versions of the binding."""
    if quoted := _QUOTED.fullmatch(value.strip()):
        value = re.sub(r"\\(.)", r"\1", quoted[1])
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise NotAnEvent(f"the header {name} is not percent-encoded UTF-8") from None


def _encoded(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError) as error:
        raise NotAnEvent(f"the data cannot be told as JSON: {error}") from None


def _decoded(body: bytes, what: str) -> Any:
    try:
        return msgspec.json.decode(body)
    except NOT_JSON as error:
        raise NotAnEvent(f"{what} is no JSON: {error}") from None
