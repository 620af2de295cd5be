"""The last events of a Dagster run, and what they say about its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airgate.jobs import dagster_graphql as graphql
from airgate.jobs.job import LONGEST_TEXT
from airgate.jobs.talk import Talk
from airgate.policy.redaction import one_line, printable, redact_text

_MOST_PAGES = 100
"""Of a thousand events each. Dagster pages from the beginning of a run, and its end is what counts."""
_LAST = 50
_QUIET = frozenset({"DEBUG"})


def last_events(base: str, run_id: str) -> Talk[tuple[str, str]]:
    """Why the run ended, in Dagster's words, and its last events.

    Args:
        base: Path of Dagster behind the gateway.
        run_id: The run.

    Raises:
        GatewayError: They cannot be read.
    """
    lines: deque[str] = deque(maxlen=_LAST)
    steps: list[str] = []
    why, cursor = "", None
    for _ in range(_MOST_PAGES):
        said, answer = yield from graphql.ask(base, graphql.EVENTS, {"runId": run_id, "cursor": cursor}, reads=True)
        if said["__typename"] != "EventConnection":
            raise graphql.refusal(said, answer)
        for event in said["events"]:
            kind = event.get("eventType")
            if kind == "STEP_FAILURE":
                steps.append(f"step {event.get('stepKey')}: {_root(event)}")
            elif kind == "RUN_FAILURE":
                why = str(event.get("message") or "") or _root(event)
                continue  # it repeats what the steps said
            if event.get("level") not in _QUIET and event.get("message"):
                lines.append(_line(event))
        cursor = said["cursor"]
        if not said["hasMore"]:
            break
    reason = steps[0] + (f", and {len(steps) - 1} steps more" if len(steps) > 1 else "") if steps else why
    return one_line(reason)[:LONGEST_TEXT], redact_text(printable("\n".join(lines)))[-LONGEST_TEXT:]


def _root(event: Mapping[str, Any]) -> str:
    """What the error of an event came of."""
    error = event.get("error") or {}
    causes = error.get("causes") or []
    return str((causes[-1] if causes else error).get("message") or "").strip()


def _line(event: Mapping[str, Any]) -> str:
    """One event, with its error and the place that it came from."""
    time = datetime.fromtimestamp(int(event["timestamp"]) / 1000, UTC).isoformat(" ", "seconds")[:19]
    step = f"{event['stepKey']}: " if event.get("stepKey") else ""
    line = f"{time} {event.get('level')} {step}{event.get('message')}"
    error = event.get("error")
    if not error:
        return line
    frames = ((error.get("causes") or [error])[-1].get("stack") or [""])[-1].rstrip()
    return "\n".join(part for part in (line, frames, f"    {_root(event)}") if part.strip())
