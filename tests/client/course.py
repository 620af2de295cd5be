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


class Time:
    """A clock that moves only when it is told to; what shares it is in step."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Course:
    """Plays the events in turn, on a clock that moves only when the flow waits or an attempt takes time."""

    def __init__(
        self,
        request: Request,
        events: Iterable[Event],
        *,
        takes: float = 0.0,
        gateway: Gateway = GATEWAY,
        time: Time | None = None,
        **kwargs,
    ) -> None:
        self.time = time = time or Time()
        self.sent: list[Send] = []
        self.waits: list[float] = []
        self.response: Response | None = None
        self.error: GatewayError | None = None
        flow = call_flow(request, gateway, clock=time, jitter=lambda: 1.0, **kwargs)
        remaining = iter(events)
        event: Event = None
        try:
            while True:
                effect = flow.send(event)
                if isinstance(effect, Ask):
                    event = effect.question()
                elif isinstance(effect, Wait):
                    self.waits.append(effect.seconds)
                    time.now += effect.seconds
                    event = None
                else:
                    self.sent.append(effect)
                    time.now += takes
                    event = next(remaining)
        except StopIteration as stop:
            self.response = stop.value
        except GatewayError as error:
            self.error = error

    @property
    def now(self) -> float:
        """The time at its end."""
        return self.time.now
