"""Auths whose proof is always the same."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote

from airgate.client.auth.protocol import Signing, one_line
from airgate.client.message import Request


class HeaderAuth:
    """Base of the auths that only add headers."""

    def sign(self, request: Request, now: float) -> Signing:
        """Add the headers."""
        yield from ()  # a generator like the auths that must ask for a token first
        return request.with_headers(self._headers(now))

    def _headers(self, now: float) -> Mapping[str, str]:
        raise NotImplementedError


class NoAuth(HeaderAuth):
    """Sends requests as they are."""

    secrets: tuple[str, ...] = ()

    def _headers(self, now: float) -> Mapping[str, str]:
        return {}


class BasicAuth(HeaderAuth):
    """User name and password (RFC 7617), UTF-8."""

    def __init__(self, username: str, password: str) -> None:
        if ":" in username:
            raise ValueError("a user name for basic auth must not contain ':'")
        self._credentials = base64.b64encode(f"{username}:{password}".encode()).decode()
        self.secrets = (password, self._credentials)

    def _headers(self, now: float) -> Mapping[str, str]:
        return {"Authorization": f"Basic {self._credentials}"}


class BearerAuth(HeaderAuth):
    """A fixed bearer token (RFC 6750)."""

    def __init__(self, token: str) -> None:
        self.secrets = (one_line(token),)

    def _headers(self, now: float) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.secrets[0]}"}


class ApiKeyAuth:
    """A key in a header or a query parameter."""

    def __init__(self, key: str, *, name: str = "X-API-Key", place: Literal["header", "query"] = "header") -> None:
        # In a URL it stands escaped, and must be found there too.
        self.secrets = (one_line(key), quote(key, safe=""))
        self._name = name
        self._place = place

    def sign(self, request: Request, now: float) -> Signing:
        """Add the key."""
        yield from ()
        if self._place == "query":
            return request.with_secret_param(self._name, self.secrets[0])
        return request.with_headers({self._name: self.secrets[0]})
