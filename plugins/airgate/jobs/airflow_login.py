"""Signs in at another Airflow: the token of ``/auth/token`` for a user and a password.

Checked against Airflow 3.3.2 with the simple auth manager. FAB's takes the same request; Keycloak's differs.
Named in a connection as ``{"auth": "custom", "auth_class": "airgate.jobs.airflow_login:AirflowLogin", ...}``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from airgate.client.auth.protocol import Signing
from airgate.client.message import Request, Response
from airgate.policy.errors import Unauthorized
from airgate.policy.redaction import redact_url

_KEPT_FOR = 600.0
"""Seconds that a token is used. It holds for a day unless configured otherwise, and a refused one is replaced."""


class AirflowLogin:
    """A bearer token for the user and the password of the connection.

    Args:
        login: The user.
        password: Theirs.
        options: ``url`` is the address of the token endpoint, such as ``https://airflow.example.com/auth/token``.

    Raises:
        ValueError: One of them is missing, or the address is none.
    """

    def __init__(self, *, login: str | None, password: str | None, options: Mapping[str, Any]) -> None:
        if not login or not password:
            raise ValueError("login and password must be a user of the other Airflow and the user's password")
        url = options.get("url")
        split = urlsplit(url) if isinstance(url, str) else None
        if split is None or split.scheme not in {"http", "https"} or not split.hostname or split.username:
            raise ValueError("auth_options.url must be the http(s) address of the other Airflow's /auth/token")
        body = msgspec.json.encode({"username": login, "password": password})
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        self._ask = Request("POST", str(url), headers, body, secrets=(password,))
        self._password = password
        self._token, self._until = "", 0.0
        self._earlier = ""
        self.on_secret: Callable[[str], None] | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """The password and the latest tokens."""
        return tuple(secret for secret in (self._password, self._token, self._earlier) if secret)

    def sign(self, request: Request, now: float) -> Signing:
        """Add the token, once there is one."""
        token = self._token
        if not token or now >= self._until:
            answer = yield self._ask
            token = self._read(answer)
            if self.on_secret:
                self.on_secret(token)
            self._earlier, self._token, self._until = self._token, token, now + _KEPT_FOR
        return request.with_headers({"Authorization": f"Bearer {token}"})

    def renew(self, request: Request) -> bool:
        """Sign in anew, as the token of the refused request no longer holds."""
        if request.headers.get("Authorization") == f"Bearer {self._token}":
            self._until = 0.0
        return True

    def _read(self, answer: Response) -> str:
        if answer.status in {200, 201}:
            said = answer.json()
            token = said.get("access_token") if isinstance(said, dict) else None
            if isinstance(token, str) and token.isascii() and token.isprintable() and " " not in token:
                return token
            raise answer.invalid("the token endpoint's answer has no access_token")
        raise Unauthorized(
            f"the other Airflow answered {answer.status} to user and password",
            method="POST",
            url=redact_url(self._ask.url),
            status=answer.status,
            request_id=answer.request_id,
        )
