"""A hook's connection to its gateway: settings, sessions, and what they share."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache, cached_property
from types import TracebackType
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from airgate.client.gateway import Gateway
from airgate.client.message import Request, Response
from airgate.client.tally import CallTally
from airgate.policy.budget import RetryBudget
from airgate.policy.pacing import Pace

if TYPE_CHECKING:
    from typing import Self

    from airgate.client.admission import Shared
    from airgate.client.async_session import AsyncGatewaySession
    from airgate.client.session import GatewaySession


class GatewayConnection(BaseHook):
    """What a hook has of an Airflow connection: its settings, and sessions to send requests through.

    One hook keeps one pool of connections and one token. Secrets come from the connection only and are masked in logs
    before they are first used.

    Args:
        gateway_conn_id: Connection of type ``gateway``.
    """

    conn_name_attr = "gateway_conn_id"
    default_conn_name = "gateway_default"
    conn_type = "gateway"
    hook_name = "Gateway"
    quiet = False
    """Whether calls are logged as debug only: polls are many, and what became of them is logged by itself."""

    def __init__(self, gateway_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.gateway_conn_id = gateway_conn_id
        self.tally = CallTally()

    @cached_property
    def gateway(self) -> Gateway:
        """The connection's settings.

        Raises:
            ValueError: Naming the connection and the field that is wrong.
        """
        from airgate.client.configure import gateway_from_fields

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
        if hasattr(gateway.auth, "on_secret"):  # tokens that are made later
            gateway.auth.on_secret = mask_secret
        return gateway

    def get_conn(self) -> GatewaySession:
        """The session that calls go through."""
        return self._session

    @cached_property
    def _session(self) -> GatewaySession:
        # Here as in other places: every parse of a DAG file would pay for the HTTP library otherwise.
        from airgate.client.session import GatewaySession

        return GatewaySession(self.gateway, shared=self._shared)

    @cached_property
    def _async_session(self) -> AsyncGatewaySession:
        from airgate.client.async_session import AsyncGatewaySession

        return AsyncGatewaySession(self.gateway, shared=self._shared)

    @cached_property
    def _shared(self) -> Shared:
        """What this hook's calls share with those of its process, and through the store with those of all processes."""
        from airgate.client.admission import Shared
        from airgate.hooks.telemetry import observe

        gateway = self.gateway
        store = None
        if gateway.limits or gateway.breaker:
            from airgate.hooks.limits import open_store

            store = open_store()
        pace, budget = _of_process(self.gateway_conn_id, gateway.base_url, gateway.retry.budget)
        observer = observe(self, self.gateway_conn_id, gateway.base_url, self.tally)
        return Shared(pace, budget, self.gateway_conn_id, store, store, observer)

    def send(
        self,
        request: Request,
        *,
        expect: Collection[int] | None = None,
        deadline: float | None = None,
        stream: bool = False,
    ) -> Response:
        """Send a request that is ready; for those who keep the rules of keys and waits themselves."""
        if stream:
            return self._session.call(request, expect=expect, deadline=deadline, stream=True)
        return self._session.call(request, expect=expect, deadline=deadline)

    async def asend(
        self,
        request: Request,
        *,
        expect: Collection[int] | None = None,
        deadline: float | None = None,
        stream: bool = False,
    ) -> Response:
        """Do what ``send`` does without holding up the event loop."""
        if stream:
            return await self._async_session.call(request, expect=expect, deadline=deadline, stream=True)
        return await self._async_session.call(request, expect=expect, deadline=deadline)

    def close(self) -> None:
        """Close the pooled connections."""
        if "_session" in vars(self):
            self._session.close()
            del self._session

    async def aclose(self) -> None:
        """Close the pooled connections, those of the event loop included."""
        if "_async_session" in vars(self):
            await self._async_session.close()
            del self._async_session
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def forget_process_state() -> None:
    """Begin anew with what the calls of this process know of each gateway: its pace and the retry budget."""
    _of_process.cache_clear()


@cache
def _of_process(conn_id: str, base_url: str, share: float) -> tuple[Pace, RetryBudget]:
    """What all hooks of one connection in this process go by: a storm of retries has many tasks."""
    return Pace(), RetryBudget(share)
