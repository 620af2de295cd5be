"""Parameters of a request, checked; a wrong one is refused by name."""

import re
from datetime import date

from starlette.requests import Request

MAX_PAGE = 1000
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Refused(Exception):
    """The service will not answer this request: its status and, for a wrong parameter, the parameter's name."""

    def __init__(self, status: int, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.parameter = parameter

    def body(self) -> dict[str, object]:
        """Return the JSON answer: ``{"error": text, "parameter": name or null}``."""
        return {"error": str(self), "parameter": self.parameter}


def day(request: Request) -> date | None:
    """Return the parameter ``date`` (YYYY-MM-DD), None without it.

    Raises:
        Refused: 400, the value is no such date.
    """
    text = request.query_params.get("date")
    if text is None:
        return None
    try:
        value = date.fromisoformat(text)
    except ValueError:
        value = None
    # fromisoformat also takes 20130101 and 2013-W01-1.
    if value is None or value.isoformat() != text:
        raise Refused(400, f"date must be a day as YYYY-MM-DD, not {text!r}", "date")
    return value


def number(request: Request, name: str, *, default: int, least: int, most: int | None = None) -> int:
    """Return a whole number from the query.

    Raises:
        Refused: 400, not a whole number or outside ``least`` to ``most``.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    # Eighteen digits: more than any table holds, less than what Arrow's row numbers can hold.
    value = int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
    if value is None or value < least or (most is not None and value > most):
        bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise Refused(400, f"{name} must be a whole number {bounds}, not {text!r}", name)
    return value


def page_size(request: Request, name: str) -> int:
    """Return the number of records wanted on a page: 1 to `MAX_PAGE`, 100 by default.

    Raises:
        Refused: 400, anything else.
    """
    return number(request, name, default=100, least=1, most=MAX_PAGE)


def idempotency_key(request: Request) -> str | None:
    """Return the request's Idempotency-Key, None without it.

    Raises:
        Refused: 400, it cannot be a key.
    """
    key = request.headers.get("idempotency-key")
    return None if key is None else checked_key(key, "Idempotency-Key")


def checked_key(key: str, name: str) -> str:
    """Return a key.

    Raises:
        Refused: 400, it is empty, too long, or has other characters than a key may have.
    """
    if not _KEY.fullmatch(key):
        raise Refused(400, f"{name} must be 1 to 255 visible ASCII characters", name)
    return key
