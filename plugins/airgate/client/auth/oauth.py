"""A token from an OAuth2 server, by the client credentials grant (RFC 6749, 4.4)."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, quote_plus, urlencode, urlsplit

from airgate.client.auth.grant import Grant, read_grant
from airgate.client.auth.protocol import NotSigned, Signing
from airgate.client.auth.token_store import Turn, store_for
from airgate.client.effects import Wait
from airgate.client.message import Request, join_url
from airgate.policy.idempotency import digest
from airgate.policy.redaction import redact_url

_POLL = 0.05
"""Seconds between two looks at whether another caller's token is there."""
_KEPT = 4
"""Earlier tokens that are still known as secrets: a late answer may repeat them."""


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """Where tokens come from and what is asked for."""

    url: str
    """Absolute."""
    scopes: str = ""
    """With spaces between them."""
    audience: str = ""
    client_auth: Literal["basic", "post"] = "basic"
    """Where client id and secret stand: in the Authorization header or in the form (RFC 6749, 2.3.1)."""


def token_endpoint_url(token_url: str, base_url: str) -> str:
    """The address of a token endpoint.

    Args:
        token_url: An address, or a path below the gateway.
        base_url: The gateway's address.

    Raises:
        ValueError: When it is neither, holds credentials, or would send the secret in clear although the gateway
            itself is called over TLS.
    """
    split = urlsplit(token_url)
    if not split.scheme and not split.netloc:
        return join_url(base_url, token_url)
    if split.username or split.password:
        raise ValueError("extra.oauth_url must not hold credentials; login and password are client id and secret")
    if split.scheme not in {"http", "https"} or not split.hostname or split.fragment:
        raise ValueError(f"extra.oauth_url must be an http(s) address or a path, not {redact_url(token_url)!r}")
    clear = split.scheme == "http" and split.hostname not in {"localhost", "127.0.0.1", "::1"}
    if clear and urlsplit(base_url).scheme == "https":
        raise ValueError("extra.oauth_url must be an https address: the client secret would travel in clear")
    return token_url


class OAuth2Auth:
    """A bearer token for client id and secret, fetched before the old one expires.

    All auths of a process with the same credentials share one token, and one of their callers at a time fetches the
    next. Meanwhile the others use the old one as long as it holds; where it does not, they wait without blocking a
    thread or a loop. The token request carries the client's credentials and nothing of the gateway's, such as its
    headers: it may go to another origin.

    Args:
        client_id: The client.
        client_secret: Its secret.
        endpoint: Where to ask, and for what.
    """

    def __init__(self, client_id: str, client_secret: str, endpoint: TokenEndpoint) -> None:
        pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
        basic = base64.b64encode(pair.encode()).decode()
        form = {"grant_type": "client_credentials", "scope": endpoint.scopes, "audience": endpoint.audience}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if endpoint.client_auth == "basic":
            headers["Authorization"] = f"Basic {basic}"
        else:
            form |= {"client_id": client_id, "client_secret": client_secret}
        body = urlencode({name: value for name, value in form.items() if value}).encode()
        self._token_request = Request("POST", endpoint.url, headers, body)
        self._own_secrets = tuple(dict.fromkeys((client_secret, quote(client_secret, safe=""), basic)))
        self._store = store_for(digest((endpoint, client_id, client_secret)))
        self._tokens: deque[str] = deque(maxlen=_KEPT)
        self.on_secret: Callable[[str], None] | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """The client secret in its spellings, and the latest tokens."""
        return (*self._own_secrets, *self._tokens)

    def sign(self, request: Request, now: float) -> Signing:
        """Add the token, once there is one."""
        token = yield from self._token(now)
        if token not in self._tokens:
            self._announce(token)
        return request.with_headers({"Authorization": f"Bearer {token}"})

    def renew(self, request: Request) -> bool:
        """Have the refused request's token fetched anew."""
        carried = request.headers.get("Authorization", "")
        return self._store.drop(carried.removeprefix("Bearer "))

    def _token(self, now: float) -> Generator[Request | Wait, Any, str]:
        store = self._store
        refusals = store.refusals
        while True:
            # First, or those who waited for a failed fetch would repeat it one after the other.
            if refusal := store.refusal_since(refusals):
                raise refusal.error()
            found = store.look(now)
            if isinstance(found, str):
                return found
            if isinstance(found, Turn):
                break
            yield Wait(_POLL)
            now += _POLL
        try:
            reply: object
            try:
                reply = yield self._token_request
            except NotSigned as failed:
                reply = failed
            came = read_grant(reply, self._token_request.safe_url, self.secrets, now)
            if isinstance(came, Grant):
                self._announce(came.token)
                return store.put(found, came, now)
            if old := store.fail(found, came, now):
                return old
            raise came.error()
        finally:
            store.give_back(found)  # also when the call was given up while the token was on its way

    def _announce(self, token: str) -> None:
        if self.on_secret:
            self.on_secret(token)
        self._tokens.append(token)
