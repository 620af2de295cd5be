"""The synchronous driver: carries calls out over pooled connections, for tasks on a worker."""

from __future__ import annotations

from collections.abc import Collection
from types import TracebackType
from typing import Literal, overload

from airgate.client import clock
from airgate.client.effects import Ask, Event, Reply, Send, Wait
from airgate.client.flow import Flow, Shared, call_flow
from airgate.client.gateway import Gateway
from airgate.client.message import Request, Response
from airgate.client.outgoing import for_gateway, refuse_spent, without_secrets
from airgate.client.stand_in import stand_in_for
from airgate.client.streamed import StreamedResponse, is_success
from airgate.client.wire import Wire


class GatewaySession:
    """One gateway, one pool of connections.

    A session may be shared by threads. Cookies are not kept, and no credentials are taken
    from a ``.netrc`` file.

    Args:
        gateway: Where and how to call.
        pool_size: Idle connections kept for each origin.
        shared: What this session's calls know together with others; None for a start of its own.

    Raises:
        ValueError: When a file that TLS needs does not exist or cannot be read.
    """

    def __init__(self, gateway: Gateway, *, pool_size: int = 10, shared: Shared | None = None) -> None:
        self.gateway = gateway
        self._shared = shared or Shared.of(gateway)
        self._wire = Wire(gateway, pool_size)

    def __enter__(self) -> GatewaySession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the pooled connections."""
        self._wire.close()

    @overload
    def call(
        self,
        request: Request,
        *,
        expect: Collection[int] | None = ...,
        deadline: float | None = ...,
        stream: Literal[True],
    ) -> StreamedResponse: ...

    @overload
    def call(
        self,
        request: Request,
        *,
        expect: Collection[int] | None = ...,
        deadline: float | None = ...,
        stream: bool = ...,
    ) -> Response: ...

    def call(
        self,
        request: Request,
        *,
        expect: Collection[int] | None = None,
        deadline: float | None = None,
        stream: bool = False,
    ) -> Response:
        """Send the request until its answer is final.

        Args:
            request: What to send, unsigned.
            expect: Statuses that count as success; None means 200 to 299.
            deadline: Unix time by which the call must be over; None takes the gateway's setting.
            stream: Give a ``StreamedResponse`` as soon as the headers of the final answer are here. From then on
                nothing is repeated: a body that breaks off is an error where it is read.

        Raises:
            GatewayError: The typed error of what came instead.
        """
        request = for_gateway(request, self.gateway)
        flow = call_flow(request, self.gateway, expect=expect, deadline=deadline, shared=self._shared)
        return self._drive(flow, request, expect, stream)

    def _drive(self, flow: Flow, request: Request, expect: Collection[int] | None, stream: bool) -> Response:
        event: Event = None
        opened: StreamedResponse | None = None
        try:
            effect = next(flow)
            while True:
                if isinstance(effect, Send):
                    if opened is not None:
                        opened.close()
                    event = self._send(effect, request, expect, stream)
                    opened = event if isinstance(event, StreamedResponse) else None
                    if opened is not None:
                        event = opened.head
                elif isinstance(effect, Wait):
                    clock.sleep(effect.seconds)
                    event = None
                else:
                    assert isinstance(effect, Ask)
                    event = effect.question()
                effect = flow.send(event)
        except StopIteration as stop:
            response: Response = without_secrets(stop.value, self.gateway)
            streamed, opened = opened, None
            return StreamedResponse.of(response, streamed) if stream else response
        finally:
            if opened is not None:
                opened.close()
            # Whatever the call holds at this moment, a slot for one, is given back.
            flow.close()

    def _send(self, effect: Send, request: Request, expect: Collection[int] | None, stream: bool) -> Reply:
        refuse_spent(effect.request)
        stand_in = stand_in_for(self.gateway)
        if stand_in is not None:
            return stand_in.answer(effect, self.gateway)
        # What auth sends for a token is read whole.
        streams = stream and effect.request.method == request.method and effect.request.body is request.body
        return self._wire.exchange(effect, stream=(lambda status: is_success(status, expect)) if streams else None)
