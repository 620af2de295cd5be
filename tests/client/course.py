"""One call, played without sockets and without waiting."""

from __future__ import annotations

from collections.abc import Iterable

from airgate.client.auth import BearerAuth
from airgate.client.effects import Ask, Event, Send, Wait
from airgate.client.flow import call_flow
from airgate.client.gateway import Gateway
from airgate.client.message import Request, Response, headers_of
from airgate.policy.errors import GatewayError
from airgate.policy.retry import RetrySettings

GATEWAY = Gateway(
    "http://gw.test",
    auth=BearerAuth("s3cr3t-token"),
    retry=RetrySettings(attempts=3, backoff=1, deadline=20, max_inline_wait=10),
)
GET = Request("GET", "http://gw.test/x?token=abc")
POST = Request("POST", "http://gw.test/x", body=b"{}")
KEYED = Request("POST", "http://gw.test/x", body=b"{}", keyed=True)


def answer(status: int = 200, body: bytes = b"{}", **headers: str) -> Response:
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Response(status, headers_of(pairs), body, "GET", "http://gw.test/x")


class Course:
    """Plays the events in turn, on a clock that moves only when the flow waits or an attempt takes time."""

    def __init__(
        self, request: Request, events: Iterable[Event], *, takes: float = 0.0, gateway: Gateway = GATEWAY, **kwargs
    ) -> None:
        self.now = 1_000_000.0
        self.sent: list[Send] = []
        self.waits: list[float] = []
        self.response: Response | None = None
        self.error: GatewayError | None = None
        flow = call_flow(request, gateway, clock=lambda: self.now, jitter=lambda: 1.0, **kwargs)
        remaining = iter(events)
        event: Event = None
        try:
            while True:
                effect = flow.send(event)
                if isinstance(effect, Ask):
                    event = effect.question()
                elif isinstance(effect, Wait):
                    self.waits.append(effect.seconds)
                    self.now += effect.seconds
                    event = None
                else:
                    self.sent.append(effect)
                    self.now += takes
                    event = next(remaining)
        except StopIteration as stop:
            self.response = stop.value
        except GatewayError as error:
            self.error = error
