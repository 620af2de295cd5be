"""Calls a gateway with the settings of an Airflow connection."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

import msgspec
from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from airgate.client.configure import gateway_from_fields
from airgate.client.gateway import Gateway
from airgate.client.message import Params, Request, Response, join_url
from airgate.client.session import GatewaySession
from airgate.policy.errors import GatewayError
from airgate.policy.idempotency import HEADER


class GatewayHook(BaseHook):
    """Calls services behind an API gateway: signed, retried, with typed errors.

    One hook keeps one pool of connections and one token. Secrets come from the connection only and are masked in logs
    before they are first used.

    Args:
        gateway_conn_id: Connection of type ``gateway``.
    """

    conn_name_attr = "gateway_conn_id"
    default_conn_name = "gateway_default"
    conn_type = "gateway"
    hook_name = "Gateway"

    def __init__(self, gateway_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.gateway_conn_id = gateway_conn_id

    @cached_property
    def gateway(self) -> Gateway:
        """The connection's settings.

        Raises:
            ValueError: Naming the connection and the field that is wrong.
        """
        connection = self.get_connection(self.gateway_conn_id)
        if connection.conn_type != self.conn_type:
            raise ValueError(
                f"connection {self.gateway_conn_id!r} has the type {connection.conn_type!r}, not {self.conn_type!r}"
            )
        if connection.password:
            mask_secret(connection.password)
        try:
            gateway = gateway_from_fields(
                host=connection.host,
                port=connection.port,
                scheme=connection.schema,
                login=connection.login,
                password=connection.password,
                extra=connection.extra_dejson,
            )
        except ValueError as error:
            raise ValueError(f"connection {self.gateway_conn_id!r}: {error}") from None
        for secret in gateway.secrets:
            mask_secret(secret)
        return gateway

    def get_conn(self) -> GatewaySession:
        """The session that calls go through."""
        return self._session

    @cached_property
    def _session(self) -> GatewaySession:
        return GatewaySession(self.gateway)

    def call(
        self,
        method: str,
        path: str,
        *,
        path_params: Mapping[str, Any] | None = None,
        params: Params | None = None,
        json: Any = None,
        data: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        expect: Collection[int] | None = None,
    ) -> Response:
        """Call the gateway until the answer is final.

        Args:
            method: HTTP method.
            path: Path below the gateway's address; ``{name}`` is filled from ``path_params``.
            path_params: Values for the path, escaped as one segment each.
            params: Query parameters; a list repeats its name, None leaves it out.
            json: Body, sent as JSON.
            data: Body, sent as it is; not together with ``json``.
            headers: Added to the connection's.
            idempotency_key: Sent as ``Idempotency-Key``. Give one only to a service that honours it: the call then
                counts as safe to repeat. A POST or PATCH without a key is never repeated once it may have arrived.
            expect: Statuses that count as success; None means 200 to 299.

        Raises:
            GatewayError: The typed error of what came instead (``airgate.errors``).
            ValueError: When the arguments do not make a request.
        """
        if json is not None and data is not None:
            raise ValueError("json and data cannot both be the body")
        sent = dict(headers or {})
        body = data.encode() if isinstance(data, str) else data
        if json is not None:
            body = msgspec.json.encode(json)
            if not any(name.lower() == "content-type" for name in sent):
                sent["Content-Type"] = "application/json"
        if idempotency_key is not None:
            if not idempotency_key.strip():
                raise ValueError("idempotency_key is empty: a service could not tell one request from another by it")
            sent[HEADER] = idempotency_key
        request = Request(
            method.upper(),
            join_url(self.gateway.base_url, path, path_params, params),
            sent,
            body,
            keyed=idempotency_key is not None,
        )
        return self._session.call(request, expect=expect)

    def test_connection(self) -> tuple[bool, str]:
        """Ask for the connection's ``health_path`` and say what came."""
        try:
            response = self.call("GET", self.gateway.health_path)
        except (GatewayError, ValueError) as error:
            return False, str(error)
        return True, f"{response.url} answered {response.status}"
