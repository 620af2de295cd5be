"""Refusals as problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, members: Mapping[str, Any] | None = None
) -> JSONResponse:
    """The answer.

    Args:
        status: HTTP status; its phrase is the title.
        detail: What is wrong, for a person.
        headers: Added.
        members: Extension members, such as ``errors``.
    """
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    kept = {"Cache-Control": "no-store", **(headers or {})}
    return JSONResponse({**content, **(members or {})}, status, kept, media_type="application/problem+json")
