"""``airflow gateway events parked``: events that nobody could take: look at them, let them run again, drop them."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airgate.commands.output import Voice, failing, masked

if TYPE_CHECKING:
    from airgate.data.store.storage import Folder
    from airgate.events.parking import Parked

_WIDTH = 60
"""Characters of a text in a table; JSON output has all."""
_SHORT = 12
"""Digits of a name in a table: enough to choose by."""


def list_(args: Namespace) -> None:
    """Print what is parked, the newest first."""
    voice = _voice()
    with failing(voice):
        if args.limit < 0:
            raise ValueError(f"--limit must be 0 or more, not {args.limit}")
        found = [parked for _, parked in _all(voice, args.dag_id)]
    found.sort(key=lambda parked: parked.at, reverse=True)
    shown = found[: args.limit] if args.limit else found
    rows = [_row(parked) for parked in shown]
    if args.output == "json":
        sys.stdout.write(voice.safe(json.dumps(rows, indent=2)) + "\n")
    elif rows:
        from airflow.cli.simple_table import AirflowConsole

        cells = [{name: _cell(voice, value) for name, value in row.items()} for row in rows]
        AirflowConsole().print_as([{**cell, "name": cell["name"][:_SHORT]} for cell in cells], "table")
    if len(found) > len(shown):
        voice.remark(f"{len(shown)} of {len(found)} parked events; --limit 0 shows all")
    elif not found:
        voice.remark("no events are parked")


def show(args: Namespace) -> None:
    """Print one of them, with the event."""
    voice = _voice()
    with failing(voice):
        [(_, parked)] = _chosen(voice, [args.name], None)
        told = {"name": parked.name, **parked.to_json()}
    text = json.dumps(told if args.reveal else masked(told), indent=2)
    sys.stdout.write((text if args.reveal else voice.safe(text)) + "\n")


def retry(args: Namespace) -> None:
    """Make a run for each, and take it out of the list once there is one."""
    from airgate.events.parking import everything, remove, sent_to

    voice, failed = _voice(), 0
    with failing(voice):
        chosen = _several(voice, args)
        folder = everything()
    for file, parked in chosen:
        sent = sent_to(parked, args.to) if args.to else parked
        try:
            run_id = _run_again(sent)
        except ValueError as wrong:
            voice.remark(f"{parked.name[:_SHORT]} stays parked: {wrong}")
            failed += 1
            continue
        # In this order: whoever dies in between finds the run made the next time.
        remove(folder, file)
        voice.say(f"{parked.name[:_SHORT]}  {sent.target}  {run_id}")
    if failed:
        voice.fail(f"{failed} of {len(chosen)} stay parked")


def drop(args: Namespace) -> None:
    """Take them out of the list for good."""
    from airgate.events.parking import everything, remove

    voice = _voice()
    with failing(voice):
        chosen = _several(voice, args)
        folder = everything()
    for _, parked in chosen:
        row = _row(parked)
        voice.say(f"{parked.name[:_SHORT]}  {row['source']}  {row['event']}")
    if not args.yes:
        voice.remark(f"Drop {len(chosen)} parked event{'s' if len(chosen) > 1 else ''}? [y/N] ")
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            voice.fail("nothing was dropped")
    for file, _ in chosen:
        remove(folder, file)
    voice.remark(f"dropped {len(chosen)}")


def _voice() -> Voice:
    from airflow.cli.utils import redirect_stdout_log_handlers_to_stderr

    redirect_stdout_log_handlers_to_stderr()
    return Voice()


def _all(voice: Voice, dag_id: str | None) -> Iterator[tuple[str, Parked]]:
    from airgate.events.parking import all_parked, everything

    folder: Folder = everything()
    for file, parked in all_parked(folder):
        if isinstance(parked, ValueError):
            voice.remark(f"passed over: {parked}")
        elif dag_id is None or dag_id in (parked.dag_id, parked.target):
            yield file, parked


def _several(voice: Voice, args: Namespace) -> list[tuple[str, Parked]]:
    """What a command line chooses.

    Raises:
        ValueError: Nothing, or not clearly.
    """
    if args.all == bool(args.names):
        raise ValueError("name the parked events, or give --all")
    if args.names:
        return _chosen(voice, args.names, args.dag_id)
    found = list(_all(voice, args.dag_id))
    if not found:
        raise ValueError("no events are parked")
    return found


def _chosen(voice: Voice, names: list[str], dag_id: str | None) -> list[tuple[str, Parked]]:
    found = list(_all(voice, dag_id))
    chosen: dict[str, Parked] = {}
    for name in names:
        same = [(file, parked) for file, parked in found if name and parked.name.startswith(name)]
        if not same:
            raise ValueError(f"no parked event has the name {name!r}: see `airflow gateway events parked list`")
        if len(same) > 1:
            raise ValueError(f"{len(same)} parked events have names that begin with {name!r}: give more of it")
        chosen.update(same)
    return list(chosen.items())


def _run_again(parked: Parked) -> str:
    """Make the run that has a parked event once more; gives its id, also if it was there.

    Raises:
        ValueError: It cannot be made; the event stays parked.
    """
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.exceptions import DagRunAlreadyExists
    from airflow.sdk.exceptions import AirflowException
    from airflow.utils.types import DagRunTriggeredByType

    from airgate.policy.events.dispatch import Delivery
    from airgate.policy.events.event import Event

    if not isinstance(parked.what, Event):
        raise ValueError("it is no event, so no DAG can take it: mend what tells it, and drop this one")  # noqa: TRY004
    if not parked.target:
        raise ValueError("nobody knows which DAG takes it: say so with --to DAG, or add its type to the dispatcher")
    delivery = Delivery(parked.target, (parked.what,), batched=parked.form == "events")
    run_id = parked.again if parked.in_run else delivery.run_id
    try:
        trigger_dag(
            parked.target,
            run_id=run_id,
            conf=delivery.conf(),
            note=f"parked on {parked.at:%Y-%m-%d}: {delivery.note()}"[:900],
            triggered_by=DagRunTriggeredByType.CLI,
        )
    except DagRunAlreadyExists:
        return run_id
    except AirflowException as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    return run_id


def _row(parked: Parked) -> dict[str, Any]:
    from airgate.policy.events.event import Event

    what = parked.what
    told: dict[str, str | None]
    if isinstance(what, Event):
        told = {"type": what.type, "source": what.source, "event": what.id}
    else:
        told = {"type": None, "source": what.where, "event": None}
    return {
        "name": parked.name,
        "at": parked.at.isoformat(timespec="seconds"),
        "by": f"{parked.dag_id}.{parked.task_id}",
        "target": parked.target,
        **told,
        "why": parked.why,
    }


def _cell(voice: Voice, value: Any) -> str:
    """A value for a terminal: cut, masked, and no markup of rich."""
    from rich.markup import escape

    text = voice.safe("" if value is None else str(value))
    return escape(text if len(text) <= _WIDTH else f"{text[:_WIDTH]}…")
