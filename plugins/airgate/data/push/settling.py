"""What becomes of one batch: each of its records accepted, dead-lettered or put off, or the batch not settled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from airgate.client import clock
from airgate.client.message import Response
from airgate.data.push.batches import PushBatch
from airgate.data.push.items import RefusedItem
from airgate.data.push.plan import Calls, Push
from airgate.data.shape.misfit import Misfit
from airgate.policy.errors import GatewayError, RateLimited, Rejected
from airgate.policy.redaction import one_line
from airgate.policy.retry import retry_after

REFUSALS = frozenset({400, 413, 422})
"""Statuses that say that something in the batch is wrong, and that none of it was accepted."""

_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Busy:
    """A service's word that it will take some records later."""

    status: int
    """429 where none is named that says so."""
    reason: str
    wait: float | None
    """Seconds that it asks for."""
    response: Response


@dataclass(slots=True)
class Outcome:
    """What became of a batch."""

    accepted: int = 0
    dead: list[Misfit] = field(default_factory=list)
    put_off: list[int] = field(default_factory=list)
    """Places of the records that are to be sent again."""
    busy: list[Busy] = field(default_factory=list)
    """Why."""
    calls: int = 0
    retries: int = 0
    """Calls beyond the first one of each request."""
    error: Exception | None = None
    """Why it is not settled."""
    in_doubt: bool = False
    """Whether any of its records may have been accepted although it is not settled."""
    sent: list[str] = field(default_factory=list)
    """Names of the batch and its halves, as far as they came to be sent."""
    in_line: dict[str, str] = field(default_factory=dict)
    """Those of them that the gateway's own limits held back -> their places in line."""

    def count(self, attempts: int) -> None:
        """A request was sent so many times."""
        self.calls += attempts
        self.retries += max(0, attempts - 1)


def settle(batch: PushBatch, plan: Push, calls: Calls, in_line: Mapping[str, str]) -> Outcome:
    """Send a batch, in halves where the whole is refused.

    Args:
        batch: What to send.
        plan: How.
        calls: Makes the calls.
        in_line: Names of batches -> places in the line of the gateway's own limits, to come back with.
    """
    outcome = Outcome()
    try:
        _send(batch, plan, calls, in_line, outcome)
    except Exception as error:
        outcome.error = error
        if isinstance(error, GatewayError):
            outcome.count(error.attempts)
        unsent = isinstance(error, ValueError) or (isinstance(error, GatewayError) and not error.in_doubt)
        outcome.in_doubt = outcome.accepted > 0 or not unsent
    return outcome


def _send(batch: PushBatch, plan: Push, calls: Calls, in_line: Mapping[str, str], outcome: Outcome) -> None:
    if not batch.records:
        return
    outcome.sent.append(batch.name)
    try:
        response = calls.send(replace(batch, in_line=in_line.get(batch.name, "")))
    except RateLimited as error:
        if error.place:
            outcome.in_line[batch.name] = error.place
        raise
    except Rejected as error:
        if error.status not in REFUSALS or plan.refused == "fail":
            raise
        outcome.count(error.attempts)
        if plan.refused == "bisect" and len(batch.records) > 1:
            for half in batch.halves():
                _send(half, plan, calls, in_line, outcome)
            return
        outcome.dead += [batch.letter(place, _reason(error)) for place in range(len(batch.records))]
        return
    try:
        refused = plan.items.refused(response, len(batch.records), clock.now())
    except GatewayError as error:
        error.in_doubt = True  # the service has had the batch
        raise
    outcome.count(response.attempts)
    outcome.accepted += len(batch.records) - len(refused)
    for place, item in sorted(refused.items()):
        if item.busy:
            outcome.put_off.append(batch.places[place])
        else:
            outcome.dead.append(batch.letter(place, item.reason))
    if busy := [item for item in refused.values() if item.busy]:
        outcome.busy.append(_busy(busy, response))


def _busy(items: list[RefusedItem], response: Response) -> Busy:
    """The item that asks for the longest wait stands for all."""
    asked = retry_after(response.headers, clock.now())
    item = max(items, key=lambda each: each.wait or 0.0)
    waits = [wait for wait in (asked, item.wait) if wait is not None]
    return Busy(item.status or 429, item.reason, max(waits, default=None), response)


def _reason(error: Rejected) -> str:
    excerpt = f": {one_line(error.excerpt)}" if error.excerpt else ""
    return f"the service refused it, {error.reason}{excerpt}"[:_LONGEST]
