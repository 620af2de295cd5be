"""Steps publish: what was done, or undone, is told as one event in each asset that the task has as an outlet."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from airflow.sdk import Asset
from airflow.sdk.definitions.asset import AssetRef

from airgate.policy.events.batch import EventBatch
from airgate.policy.events.event import Event
from airgate.policy.saga.effects import Program, Read
from airgate.policy.saga.entries import Epoch, current_epoch
from airgate.sagas.asking import wanted_inputs
from airgate.sagas.checking import check_first
from airgate.sagas.driving import carry_out
from airgate.sagas.wiring import Telling, Wiring

log = logging.getLogger(__name__)

FIELDS = ("type", "subject", "data")
"""What a step may say of its event itself."""
LARGEST_DATA = 64 * 1024
"""Bytes of JSON; larger data is left out, and who wants it asks the service."""

Happened = Literal["done", "undone"]


def publish(context: Any, wiring: Wiring, step: str, happened: Happened, result: Any) -> None:
    """Put the event of a step into the outlets of the running task, which Airflow stores if the task succeeds.

    Nothing raises: the effect is there by now, and a step that failed for its event's sake would have it undone.

    Args:
        context: The task's.
        wiring: The saga's.
        step: Whose.
        happened: Whether this is the step or its undo.
        result: What the task gives.
    """
    outlets = [each for each in context["task"].outlets if isinstance(each, Asset | AssetRef)]
    events = context.get("outlet_events")
    if not outlets or events is None:
        return
    try:
        told = EventBatch((_event(context, wiring, step, happened, result),)).to_json()
        for asset in outlets:
            extra = events[asset].extra
            extra.setdefault("payload", told)  # the task's own word comes first
            extra.update(from_saga=wiring.name, step=step, state=happened)
    except Exception:
        log.exception("step %s is %s, and its event could not be made: consumers are told nothing", step, happened)


def _event(context: Any, wiring: Wiring, step: str, happened: Happened, result: Any) -> Event:
    ti = context["ti"]
    epoch, at = carry_out(_standing(step, happened), wiring.journal(ti))
    key = wiring.key(ti, step, epoch.number)
    saying = {"type": f"{wiring.name}.{step}.{happened}", "subject": _subject(ti), "data": result}
    source = f"/dags/{quote(ti.dag_id, safe='')}/{quote(wiring.name, safe='')}"
    name = key if happened == "done" else f"{key}.undone"
    time = None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    try:
        saying |= _own_words(context, wiring, step, happened, result)
        return Event(source, name, saying["type"], time, saying["subject"], _small(step, saying["data"]))
    except Exception:
        # Better an event that says little than none: that it happened is what must not get lost.
        log.exception("step %s is %s, and what its event should say could not be found", step, happened)
        return Event(source, name, f"{wiring.name}.{step}.{happened}", time, _subject(ti))


def _standing(step: str, happened: Happened) -> Program[tuple[Epoch, float | None]]:
    """The epoch, and when it happened by the journal: the same whenever it is told again."""
    epoch = yield from current_epoch()
    entry = yield Read(epoch.of(step, happened))
    return epoch, None if entry is None else float(entry["at"])


def _subject(ti: Any) -> str:
    mapped = ti.map_index is not None and ti.map_index >= 0
    return f"{ti.run_id}[{ti.map_index}]" if mapped else str(ti.run_id)


def _own_words(context: Any, wiring: Wiring, step: str, happened: Happened, result: Any) -> dict[str, Any]:
    wired = wiring.steps[step]
    given = wired.event if happened == "done" else wired.undo_event
    if given is None:
        return {}
    if callable(given):
        given = given(result, **wanted_inputs(context["task"], given, wired.inputs, context))
    return dict(_checked(f"the event of step {step!r}", given))


def _small(step: str, data: Any) -> Any:
    encoded = msgspec.json.encode(data)
    if len(encoded) > LARGEST_DATA:
        log.warning(
            "the event of step %s has no data: %d bytes are more than %d; say what consumers need with event=",
            *(step, len(encoded), LARGEST_DATA),
        )
        return None
    return msgspec.json.decode(encoded)


def check_event(where: str, event: Telling | None, outlets: Sequence[Any], inputs: Mapping[str, Any]) -> None:
    """Refuse what cannot be said of a step's event.

    Args:
        where: Of what, for messages.
        event: What the step says.
        outlets: Those of its task.
        inputs: The step's.

    Raises:
        TypeError: It is neither an object nor a function.
        ValueError: It has another field, or there is nowhere to publish it.
    """
    if event is None:
        return
    if not any(isinstance(each, Asset | AssetRef) for each in outlets):
        raise ValueError(f"{where}: event is for the assets in outlets, and there are none; give outlets=[Asset(…)]")
    if callable(event):
        check_first(f"{where}: event", "the result", event, inputs)
    else:
        _checked(f"{where}: event", event)


def _checked(what: str, event: Any) -> Mapping[str, Any]:
    if not isinstance(event, Mapping):
        raise TypeError(f"{what} must be an object with {', '.join(FIELDS)}, or a function that gives one")
    if unknown := sorted(str(name) for name in event if name not in FIELDS):
        raise ValueError(f"{what} has {', '.join(FIELDS)}, and no {' or '.join(unknown)}: the saga says the rest")
    kind = event.get("type", "any")
    if not isinstance(kind, str) or not kind:
        raise ValueError(f"{what}: type must be a text that is not empty, not {kind!r:.40}")
    return event
