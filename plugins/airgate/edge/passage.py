"""One request on its way through the policies of its route."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from airgate.edge.forwarding import Sender
from airgate.edge.reply import Receive, Reply, Send
from airgate.edge.strict_cors import with_cross_origin
from airgate.edge.visit import Visit
from airgate.spec.answer import Answer
from airgate.spec.config import Gateway
from airgate.spec.extension_paths import parameters
from airgate.spec.gateway import Chosen, Forward
from airgate.spec.message import Request
from airgate.spec.services import ServiceCall
from airgate.spec.sign_in import SignIn

Header = tuple[bytes, bytes]


class PolicyReply(Reply):
    """The reply of strict mode: knows whether it has begun, takes headers that policies add, and keeps `Vary` whole."""

    def __init__(self, gateway: Gateway, request: Request, send: Send) -> None:
        super().__init__(gateway, request, send)
        self.started = False
        self.added: list[Header] = []

    async def start(self, status: int, headers: Iterable[Header], *, with_cors: bool = True) -> None:
        """Send status and headers (lower-case names)."""
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": self.complete(headers)})

    def complete(self, headers: Iterable[Header]) -> list[Header]:
        """The headers of an answer as they are sent."""
        complete = [*headers, *self.added]
        return with_cross_origin(self._cors, complete, self._origin) if self._cors else complete


class PassedReply(Reply):
    """A reply in front of another one, for a stage that wants to see or hold back what comes."""

    def __init__(self, onward: Reply) -> None:
        self._onward = onward

    async def whole(self, answer: Answer) -> None:
        """Send an answer of the gateway's own."""
        await self._onward.whole(answer)

    async def failed(self, status: int, detail: str) -> None:
        """Send problem details."""
        await self._onward.failed(status, detail)

    async def start(self, status: int, headers: Iterable[Header], *, with_cors: bool = True) -> None:
        """Send status and headers."""
        await self._onward.start(status, headers, with_cors=with_cors)

    async def chunk(self, data: bytes) -> None:
        """Send a piece of the body."""
        await self._onward.chunk(data)

    async def end(self) -> None:
        """Say that the body is complete."""
        await self._onward.end()


@dataclass(slots=True)
class Passage:
    """A request, what is known about it so far, and where the answer goes."""

    request: Request
    chosen: Chosen
    sender: Sender
    receive: Receive
    reply: Reply
    begun: PolicyReply
    """The reply at the end of all that stages put before it."""
    visit: Visit | None = None
    claims: Mapping[str, object] | None = None
    forward: Forward | None = None
    """The upstream call, once it is known."""
    own: Answer | SignIn | ServiceCall | None = None
    """What the edge itself answers, once it is known."""
    body: bytes | None = None
    """The whole body, once a stage has read it."""
    refusal: Answer | None = None
    """Why the body could not be read to its end, for whoever streams it."""
    _parameters: Mapping[str, str] | None = None

    @property
    def parameters(self) -> Mapping[str, str]:
        """What the placeholders of the route's path stand for."""
        if self._parameters is None:
            self._parameters = parameters(self.chosen.route.path, self.chosen.path)
        return self._parameters


Handler = Callable[[Passage], Awaitable[None]]
Stage = Callable[[Handler], Handler]
