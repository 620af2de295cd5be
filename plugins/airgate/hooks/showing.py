"""An answer as a log may show it: secrets masked, and no more than a screenful."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from airgate.client.message import Response
from airgate.policy.json_faults import NOT_JSON
from airgate.policy.redaction import MASK, is_secret_name, one_line, redact_headers, redact_text

SHOWN_CHARS = 4096


def shown(response: Response, secrets: Iterable[str] = ()) -> str:
    """Status, headers and the beginning of the body, each header and the body in one line.

    Args:
        response: The answer.
        secrets: Values that must not be shown, whatever they are called.
    """
    secrets = tuple(secrets)
    headers = "\n".join(f"{name}: {one_line(value)}" for name, value in redact_headers(dict(response.headers)).items())
    body = _masked_body(response)
    text = redact_text(f"{response.status}\n{headers}\n\n{body}", secrets)
    rest = len(text) - SHOWN_CHARS
    return text if rest <= 0 else f"{text[:SHOWN_CHARS]}\n... and {rest} characters more"


def _masked_body(response: Response) -> str:
    if "json" in response.headers.get("content-type", ""):
        try:
            return msgspec.json.encode(_masked(msgspec.json.decode(response.bytes))).decode()
        except NOT_JSON:
            pass
    return one_line(response.text)


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: MASK if is_secret_name(str(name)) else _masked(each) for name, each in value.items()}
    return [_masked(each) for each in value] if isinstance(value, list) else value
