"""What a run does with the events that it was made for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from itertools import islice
from typing import Any

from airgate.events.parking import Parking
from airgate.hooks.writes import running_context
from airgate.policy.errors import GatewayError, Rejected, Unauthorized
from airgate.policy.events.event import Event, NotAnEvent

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Handled:
    """How it went with the events of a task, once all of them are done or parked."""

    done: int
    """Events for which the function returned."""
    parked: int
    """Events that were refused for good."""
    results: tuple[Any, ...]
    """What the function gave for each event, in their order; None for one that is parked."""

    def to_json(self) -> dict[str, int]:
        """The numbers, to be returned from a task."""
        return {"done": self.done, "parked": self.parked}


def events_of(given: Any) -> tuple[Event, ...]:
    """The events that a run was made for: those of ``conf["event"]`` or ``conf["events"]``.

    Args:
        given: The task's context, or the run's conf. Of a context also the params ``event`` and ``events`` count, so
            that a DAG can have an example as the default of its Param.

    Raises:
        NotAnEvent: One of them is none.
        ValueError: There are neither.
    """
    if not isinstance(given, Mapping):
        raise ValueError(  # noqa: TRY004, as of whatever else has no events
            f"events are read from a task's context or a run's conf, not from {type(given).__name__}"
        )
    sources = [given]
    if "dag_run" in given:
        sources = [getattr(given["dag_run"], "conf", None) or {}, given.get("params") or {}]
    for source in sources:
        if (several := source.get("events")) is not None:
            if isinstance(several, str | Mapping) or not isinstance(several, Iterable):
                raise NotAnEvent(f"events must be a list, not {type(several).__name__}")
            return tuple(_read(f"events[{number}]", told) for number, told in enumerate(several))
        if (one := source.get("event")) is not None:
            return (_read("event", one),)
    raise ValueError(
        'the run has no events: its conf needs {"event": …} or {"events": […]} in CloudEvents\' JSON format, as a '
        "DispatchEventsOperator makes it"
    )


def _read(where: str, told: object) -> Event:
    try:
        return Event.read(told)
    except NotAnEvent as wrong:
        raise NotAnEvent(f"{where} of the run's conf: {wrong}") from None


def each_event(
    function: Callable[[Event], Any],
    events: Iterable[Event],
    *,
    workers: int = 8,
    permanent: Sequence[type[Exception]] = (Rejected,),
    park: bool = True,
) -> Handled:
    """Call a function for each event, several at a time, each event's fate apart from that of the others.

    An event that is refused for good is parked, and the task goes on. Any other failure fails the task, once all other
    events have been tried, so that the task's retry repeats it. That retry calls the function for *all* events once
    more, as does a dispatcher that repeats itself, so each effect has to carry ``event.key("its purpose")`` as its
    idempotency key: then a repeat does nothing.

    Args:
        function: Gets an event, in a thread of its own. It may call ``GatewayHook.call`` of one hook for all.
        events: Events; those of one task.
        workers: Calls at the same time. In ``dag.test()`` it is one, as no more can talk to Airflow there.
        permanent: Errors after which an event is parked. Refused credentials (``Unauthorized``) are never the event's
            fault; nor is an error that says itself that another try may succeed, or leaves open whether it had its
            effect.
        park: False fails the task for these as well.

    Returns:
        How many are done, how many parked, and what the function gave.

    Raises:
        Exception: That of an event that may succeed another time; a note on it says how many there are.
        ValueError: Events are to be parked and ``[airgate] data_root`` is not set, or no task is running.
    """
    if workers < 1:
        raise ValueError(f"workers must be 1 or more, not {workers}")
    workers = 1 if _in_dag_test() else workers
    given = tuple(events)
    place = _Place(given) if park else None
    results: list[Any] = [None] * len(given)
    failed: dict[int, Exception] = {}
    parked = 0
    numbered = iter(enumerate(given))
    flying: dict[Future[Any], int] = {}
    pool = ThreadPoolExecutor(workers, thread_name_prefix="airgate-events")
    try:
        while True:
            for number, event in islice(numbered, workers - len(flying)):
                # A thread of its own would lose the trace that the task belongs to.
                flying[pool.submit(copy_context().run, function, event)] = number
            if not flying:
                break
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                number = flying.pop(future)
                error = future.exception()
                if error is None:
                    results[number] = future.result()
                    if place is not None:
                        place.done(given[number])
                elif not isinstance(error, Exception):
                    raise error
                elif place is not None and _is_permanent(error, permanent):
                    place.park(given[number], error)
                    parked += 1
                else:
                    failed[number] = error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if failed:
        raise _worst(failed, given, parked)
    return Handled(len(given) - parked, parked, tuple(results))


class _Place:
    """Where the running task parks, looked up once."""

    def __init__(self, events: Sequence[Event]) -> None:
        context = running_context()
        if context is None:
            raise ValueError("each_event parks for a task, and none is running; outside of one give it park=False")
        ti = context["ti"]
        self._parking = Parking(ti)
        self._target = ti.dag_id
        conf = getattr(context.get("dag_run"), "conf", None) or {}
        self._batched = "events" in conf or (len(events) > 1 and "event" not in conf)
        self._parked = self._parking.names()

    def park(self, event: Event, error: Exception) -> None:
        parked = self._parking.park(
            f"{type(error).__name__}: {error}", event, self._target, "events" if self._batched else "event", in_run=True
        )
        log.warning("event %s of %s is parked as %s: %s", event.id, event.source, parked.name, error)

    def done(self, event: Event) -> None:
        """An event that an earlier try, or an earlier state of the service, had parked is not parked any more."""
        if self._parked and (name := self._parking.name_of(event, self._target)) in self._parked:
            self._parking.remove(name)
            log.info("event %s of %s was parked, and is done now", event.id, event.source)


def _in_dag_test() -> bool:
    """Whether the task runs within ``dag.test()``, whose stand-in for the supervisor serves one thread at a time."""
    from airflow.sdk.execution_time import task_runner

    return type(getattr(task_runner, "SUPERVISOR_COMMS", None)).__name__ == "InProcessSupervisorComms"


def _is_permanent(error: Exception, permanent: Sequence[type[Exception]]) -> bool:
    if not isinstance(error, tuple(permanent)) or isinstance(error, Unauthorized):
        return False
    return not (isinstance(error, GatewayError) and (error.retryable or error.in_doubt))


def _worst(failed: Mapping[int, Exception], events: Sequence[Event], parked: int) -> Exception:
    """The error to raise for several: the one that asks for the longest wait, as a retry before that would fail."""
    number = max(failed, key=lambda each: (getattr(failed[each], "retry_after", None) or 0.0, -each))
    for each, error in list(failed.items())[:20]:
        log.error("event %s of %s failed: %s: %s", events[each].id, events[each].source, type(error).__name__, error)
    error = failed[number]
    error.add_note(
        f"{len(failed)} of {len(events)} events failed, {parked} are parked, and the others are done; this one is "
        f"event {events[number].id} of {events[number].source}. The task's retry goes through all of them again."
    )
    return error
