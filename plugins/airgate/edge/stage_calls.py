"""The end of a proxied route: the call itself, kept away from a server that fails, sent again when that is harmless."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace

from airgate.edge.circuits import Circuits
from airgate.edge.json_body import BadBody, read_json, write_json
from airgate.edge.passage import Handler, Passage, PassedReply, Stage
from airgate.edge.read_again import replayed
from airgate.edge.refusal import refusal, retry_after
from airgate.edge.reply import Receive, Reply
from airgate.edge.request_head import has_body
from airgate.edge.stage_body import whole_body
from airgate.policy.breaker import Open
from airgate.policy.budget import RetryBudget
from airgate.spec.answer import Answer
from airgate.spec.extension_references import Sources, compiled, filled, uses_body
from airgate.spec.gateway import Forward
from airgate.spec.javascript import MISSING
from airgate.spec.message import Request

Send = Callable[[Forward, Request, Receive, Reply], Awaitable[None]]
"""Makes one call and streams what comes into the reply, as `airgate.edge.proxy.Upstreams.forward`."""

_SENT_AGAIN = frozenset({"GET", "HEAD", "OPTIONS"})
_FRAMING = frozenset({"content-length", "content-type", "content-encoding"})


class _Attempt(PassedReply):
    """One attempt: notes the status that came, and holds back a failure, which may be followed by another attempt."""

    def __init__(self, onward: Reply) -> None:
        super().__init__(onward)
        self.status: int | None = None
        self.failure: tuple[int, str] | None = None

    async def failed(self, status: int, detail: str) -> None:
        self.failure = (status, detail)

    async def start(self, status: int, headers: Iterable[tuple[bytes, bytes]], *, with_cors: bool = True) -> None:
        self.status = status
        await super().start(status, headers, with_cors=with_cors)


def called(send: Send, circuits: Circuits | None, budget: RetryBudget, retries: int) -> Handler:
    """Call the upstream of a passage and stream its answer.

    Args:
        send: Makes one call.
        circuits: Of all servers; None for no circuit breaker.
        budget: Retries that all calls share.
        retries: Times that a call is made again. Only a safe one without a body, of which nothing was answered.
    """

    async def handle(passage: Passage) -> None:
        forward, request = passage.forward, passage.request
        assert forward is not None
        again = retries if request.method in _SENT_AGAIN and not has_body(request) else 0
        budget.pay_in()
        while True:
            admission = circuits.admit(forward.server) if circuits is not None else None
            if isinstance(admission, Open):
                await passage.reply.whole(_left_alone(forward.server, admission.retry_after))
                return
            attempt = _Attempt(passage.reply)
            try:
                await send(forward, request, passage.receive, attempt)
            finally:
                if circuits is not None and admission is not None:
                    gone = attempt.status is None and attempt.failure is None
                    if gone or passage.refusal is not None:
                        circuits.withdraw(forward.server, admission)
                    else:
                        circuits.report(forward.server, admission, attempt.status)
            if attempt.failure is None:
                return
            if passage.refusal is not None:
                await passage.reply.whole(passage.refusal)
                return
            status, detail = attempt.failure
            if status == 502 and again > 0 and budget.spend():
                again -= 1
                continue
            await passage.reply.whole(refusal(status, detail))
            return

    return handle


def _left_alone(server: str, seconds: float) -> Answer:
    detail = f"The server {server!r} failed too often just now and is left alone for a moment."
    return refusal(503, detail, headers=(retry_after(seconds),))


def with_body(template: object, variables: Mapping[str, object]) -> Stage:
    """Send a JSON body made from a template in place of the client's."""
    ready = compiled(template)
    reads_body = uses_body(ready)

    def stage(handler: Handler) -> Handler:
        async def handle(passage: Passage) -> None:
            body = await whole_body(passage)
            try:
                value = read_json(passage.request, body) if reads_body else MISSING
            except BadBody as bad:
                await passage.reply.whole(bad.answer)
                return
            sources = Sources(passage.request, passage.claims, passage.parameters, variables, value)
            made = write_json(filled(ready, sources))
            assert passage.forward is not None
            framing = [("content-type", "application/json"), ("content-length", str(len(made)))]
            kept = [header for header in passage.forward.headers if header[0] not in _FRAMING]
            passage.forward = replace(passage.forward, headers=kept + framing)
            passage.request = _framed(passage.request, len(made))
            passage.body, passage.receive = made, replayed(made, passage.receive)
            await handler(passage)

        return handle

    return stage


def _framed(request: Request, length: int) -> Request:
    """The request, its framing being that of a body of so many bytes."""
    kept = [header for header in request.headers if header[0] not in (b"content-length", b"transfer-encoding")]
    return replace(request, headers=[*kept, (b"content-length", str(length).encode())])
