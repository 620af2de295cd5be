"""From a call to the request that goes out, with the key that keeps a write from happening twice."""

from __future__ import annotations

from dataclasses import dataclass

from airgate.client.gateway import Gateway
from airgate.client.message import Request
from airgate.hooks.call import Call, build_request, fingerprint, with_key
from airgate.hooks.writes import NAMES, Write, running_context
from airgate.policy.idempotency import use_of_key
from airgate.policy.retry import IDEMPOTENT_METHODS


@dataclass(frozen=True, slots=True)
class Guarded:
    """A request on its way, and what the running task remembers of it."""

    request: Request
    write: Write | None = None
    name: str | None = None

    def failed(self, error: Exception) -> None:
        """Take note that the call did not end well."""
        if self.write is not None:
            self.write.failed(error)
        if self.name is not None:
            NAMES.give_back(self.name)


def guard(gateway: Gateway, call: Call) -> Guarded:
    """Build the request of a call that task code makes, and remember it when it is a write.

    Within a task a write gets a key of its own by default; elsewhere only one that is given is sent.

    Raises:
        KeyReused: An earlier try of the task sent another request under this key.
        OutcomeUnknown: An earlier try may have sent this write, and no service would recognize it.
        ValueError: The fields do not make a request, or a second write of the task has no name.
    """
    request = build_request(gateway.base_url, call)
    if isinstance(call.idempotency_key, str):
        return Guarded(with_key(request, call.idempotency_key, gateway.idempotency_header, relied=True))
    use = use_of_key(request.method, call.idempotency_key, gateway.idempotency)
    if use == "off":
        return Guarded(request)
    context = running_context()
    if context is None:
        if call.idempotency_key is True:
            raise ValueError("idempotency_key=True is made from the running task, and none is running; give a text")
        return Guarded(request)
    named = use == "honoured" or request.method not in IDEMPOTENT_METHODS
    name = NAMES.take(context, call.name) if named else call.name
    guarded = Guarded(request, None, name if named else None)
    try:
        write = Write(
            context,
            name=name,
            fingerprint=fingerprint(call, request),
            use=use,
            epoch=call.epoch,
        )
        write.begin()
    except Exception as error:
        guarded.failed(error)
        raise
    assert write.key is not None
    request = with_key(request, write.key, gateway.idempotency_header, relied=write.relied)
    return Guarded(request, write, guarded.name)
