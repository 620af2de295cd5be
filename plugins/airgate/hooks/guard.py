"""From a call to the request that goes out, with the key that keeps a write from happening twice."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from airgate.client.gateway import Gateway
from airgate.client.message import Request
from airgate.hooks.call import Call, build_request, fingerprint, is_streamed, with_key, with_own_key
from airgate.hooks.waits import CallDeadline
from airgate.hooks.writes import NAMES, Write, running_context
from airgate.policy.idempotency import use_of_key
from airgate.policy.retry import IDEMPOTENT_METHODS


@dataclass(frozen=True, slots=True)
class Guarded:
    """A request on its way, and what the running task remembers of it."""

    request: Request
    write: Write | None = None
    name: str | None = None
    deadline: CallDeadline | None = None

    @property
    def ends(self) -> float | None:
        """Unix time by which the call must be over, None for the connection's setting."""
        return self.deadline.at if self.deadline is not None else None

    def failed(self, error: Exception) -> None:
        """Take note that the call did not end well.

        Raises:
            DeadlineExceeded: It asks for a wait that ends behind the deadline.
        """
        if self.write is not None:
            self.write.failed(error)
        if self.name is not None:
            NAMES.give_back(self.name)
        if self.deadline is not None:
            self.deadline.missed(error)

    def succeeded(self) -> None:
        """Take note that it did."""
        if self.deadline is not None:
            self.deadline.met()


def guard(gateway: Gateway, call: Call, *, again: bool = False) -> Guarded:
    """Build the request of a call that task code makes, and remember it when it is a write.

    Within a task a write gets a key of its own by default; elsewhere only one that is given is sent.

    Args:
        gateway: Where it goes, and what is said there of keys and deadlines.
        call: What is called.
        again: Whether this try has made the call before and waited since.

    Raises:
        KeyReused: An earlier try of the task sent another request under this key.
        OutcomeUnknown: An earlier try may have sent this write, and no service would recognize it.
        ValueError: The fields do not make a request, or a second write of the task has no name.
    """
    guarded = _remembered(gateway, call)
    return dataclasses.replace(guarded, deadline=CallDeadline(gateway, guarded.request, again=again))


def _remembered(gateway: Gateway, call: Call) -> Guarded:
    call = with_own_key(call, gateway.idempotency_header)
    request = build_request(gateway.base_url, call)
    own = call.idempotency_key if isinstance(call.idempotency_key, str) else None
    use = use_of_key(request.method, call.idempotency_key, gateway.idempotency)
    context = running_context() if use != "off" else None
    if context is None:
        if own is not None:
            return Guarded(with_key(request, own, gateway.idempotency_header, relied=True))
        if call.idempotency_key is True:
            raise ValueError("idempotency_key=True is made from the running task, and none is running; give a text")
        return Guarded(request)
    # Whoever gives a key tells the writes of a task apart by it.
    named = own is None and request.method not in IDEMPOTENT_METHODS
    name = NAMES.take(context, call.name) if named else call.name or own or ""
    guarded = Guarded(request, None, name if named else None)
    try:
        write = Write(
            context,
            name=name,
            fingerprint=fingerprint(call, request),
            use=use,
            key=own,
            epoch=call.epoch,
            streamed=is_streamed(request),
        )
        write.begin()
    except Exception as error:
        guarded.failed(error)
        raise
    assert write.key is not None
    header, relied = gateway.idempotency_header, write.relied
    request = with_key(request, write.key, header, relied=relied, in_doubt=write.in_doubt)
    return Guarded(request, write, guarded.name)
