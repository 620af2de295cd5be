"""``airflow gateway saga``: how sagas ended, and how those stand that have not."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from airgate.commands.output import Voice, failing

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airgate.commands.saga_records import Order, Task

_WIDTHS = {"list": 64, "show": 100}
"""Characters of a reason in a table, so that most lines stay lines; the other outputs have all."""
_TIMES = ("sent_at", "done_at", "undone_at")
_OWN_TASKS = frozenset({"journal", "begin", "decide", "verdict"})
_STEP = "SagaStepOperator"


def list_(args: Namespace) -> None:
    """Print sagas, one a line, those under way first, then those that ended, the newest first."""
    from airgate.commands.saga_records import database, has_saga, newest

    voice = _voice()
    with failing(voice), database() as session:
        if args.limit < 0:
            raise ValueError(f"--limit must be 0 or more, not {args.limit}")
        since = None if args.since is None else _since(args.since, datetime.now(UTC))
        if args.dag_id is not None:
            has_saga(session, args.dag_id)
        orders = newest(session, args.dag_id, since)
        wanted = (order for order in orders if args.state is None or order.state == args.state)
        rows = [_safe(_line(session, order)) for order in islice(wanted, args.limit or None)]
        more = bool(args.limit) and next(wanted, None) is not None
    _print(rows, args.output, _WIDTHS["list"])
    if more:
        voice.remark(f"the newest {args.limit}; --limit 0 shows all")
    elif not rows:
        voice.remark("no saga is like that" if args.dag_id or args.state or args.since else "there are no sagas yet")


def show(args: Namespace) -> None:
    """Print one saga, step by step."""
    from airgate.commands.saga_records import database, of_run

    voice = _voice()
    with failing(voice), database() as session:
        order = _chosen(of_run(session, args.dag_id, args.run_id), args)
        shown = _safe(_shown(session, order))
    if args.output in {"json", "yaml"}:
        _print(shown, args.output)
        return
    say = voice.say if args.output == "table" else voice.remark
    say(f"{shown['dag']}  {shown['run']}  {_named(order)}: {shown['state']}")
    if shown["why"]:
        say(f"why: {shown['why']}")
    if shown["began_at"] is not None:
        ended = "" if shown["ended_at"] is None else f", ended {_local(shown['ended_at'])}"
        say(f"epoch {shown['epoch']}, began {_local(shown['began_at'])}{ended}")
    day = None if args.output == "plain" or shown["began_at"] is None else _local(shown["began_at"])[:10]
    _print([_row(step, day) for step in shown["steps"]], args.output, _WIDTHS["show"])


def _voice() -> Voice:
    from airflow.cli.utils import redirect_stdout_log_handlers_to_stderr

    redirect_stdout_log_handlers_to_stderr()
    return Voice()


def _since(text: str, now: datetime) -> datetime:
    """A time, or how long ago it was; without a zone, in this machine's."""
    from airgate.data.store.retention import parse_age

    try:
        return now - parse_age(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise ValueError(
            f"--since must be an age such as 2d or 12h, or a time such as 2026-03-01T08:00, not {text!r}"
        ) from None


def _chosen(orders: list[Order], args: Namespace) -> Order:
    """The one that is meant.

    Raises:
        ValueError: It is not there, or not the only one; the message says which there are.
    """
    names = list(dict.fromkeys(order.name for order in orders))
    if args.saga is None and len(names) > 1:
        raise ValueError(f"the run has the sagas {', '.join(names)}: choose one with --saga")
    name = args.saga or names[0]
    if name not in names:
        raise ValueError(f"the run has no saga {name!r}; it has {', '.join(names)}")
    same = {order.map_index: order for order in orders if order.name == name}
    if args.map_index is None and len(same) > 1:
        raise ValueError(
            f"saga {name!r} is mapped, and this run has {len(same)} of it: choose one with --map-index, "
            f"`airflow gateway saga list --dag-id {args.dag_id}` shows them"
        )
    index = next(iter(same)) if args.map_index is None else args.map_index
    if index not in same:
        there = "it is not mapped" if list(same) == [-1] else f"its map indexes are {min(same)} to {max(same)}"
        raise ValueError(f"saga {name!r} of this run has no map index {index}: {there}")
    return same[index]


def _line(session: Session, order: Order) -> dict[str, Any]:
    """One line of a list."""
    from airgate.commands.saga_records import UNDER_WAY, active, tasks

    return {
        "dag": order.dag_id,
        "run": order.run_id,
        "saga": order.name,
        "map_index": order.map_index,
        "state": order.state,
        "why": _why(order, active(tasks(session, order)) if order.state == UNDER_WAY else []),
        "ended_at": order.at.timestamp() if order.over else None,
    }


def _why(order: Order, doing: list[str]) -> str:
    if order.view is not None:
        return str(order.view["why"])
    if order.over:
        return f"the run is over without a verdict: see the log of its task {order.prefix}verdict"
    return ", ".join(doing)


def _shown(session: Session, order: Order) -> dict[str, Any]:
    """One saga as JSON shows it, with times as Unix seconds."""
    from airgate.commands.saga_records import active, journal, tasks

    head = {"dag": order.dag_id, "run": order.run_id, "saga": order.name, "map_index": order.map_index}
    if order.view is not None:
        names = ("state", "why", "epoch", "began_at", "ended_at", "steps")
        return {**head, **{name: order.view[name] for name in names}}
    from airgate.commands.saga_standing import standing

    found = tasks(session, order)
    facts = journal(session, order)
    steps = _steps(order, found, facts)

    def key_of(step: str, epoch: int) -> str:
        from airgate.policy.idempotency import idempotency_key

        return idempotency_key(
            dag_id=order.dag_id,
            run_id=order.run_id,
            task_id=steps[step],
            map_index=order.map_index,
            call=steps[step],
            epoch=str(epoch),
        )

    known = standing(facts, list(steps), key_of)
    why, decided = _why(order, active(found)), known.pop("decided")
    if decided is not None and decided["why"]:
        why = f"{decided['why']}; {why}" if why else decided["why"]
    return {**head, "state": order.state, "why": why, "ended_at": None, **known}


def _steps(order: Order, found: list[Task], facts: dict[str, Any]) -> dict[str, str]:
    """The steps' names, and their tasks' ids.

    A step that is an operator of another kind is known by its undo, or once it has written to the journal.
    """
    written = {parts[1] for name in facts if len(parts := name.split(".")) == 3}
    ids = {task.task_id.rpartition(".")[2]: task for task in found}
    return {
        name: task.task_id
        for name, task in ids.items()
        if name not in _OWN_TASKS and (task.operator == _STEP or f"undo_{name}" in ids or name in written)
    }


def _safe(value: Any) -> Any:
    """A value without credentials in its texts, and without what could steer a terminal."""
    from airgate.policy.redaction import one_line, redact_text

    if isinstance(value, str):
        return redact_text(one_line(value))
    if isinstance(value, dict):
        return {name: _safe(inner) for name, inner in value.items()}
    return [_safe(each) for each in value] if isinstance(value, list) else value


def _named(order: Order) -> str:
    return order.name if order.map_index < 0 else f"{order.name}[{order.map_index}]"


def _row(step: dict[str, Any], day: str | None) -> dict[str, Any]:
    """One step as a line of text."""
    return {
        "step": f"{step['name']} (pivot)" if step.get("pivot") else step["name"],
        "state": step["state"],
        **{name.removesuffix("_at"): _at(step[name], day) for name in _TIMES},
        "key": step["key"] or "",
        "why": step["why"],
    }


def _at(time: float | None, day: str | None) -> str:
    """A time; without its date if that is the day."""
    if time is None:
        return ""
    text = _local(time)
    return text[11:19] if text[:10] == day else text


def _local(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).astimezone().isoformat(" ", "seconds")


def _utc(value: Any) -> Any:
    """An object with its times as texts, in UTC."""
    if isinstance(value, list):
        return [_utc(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _stamp(inner) if name.endswith("_at") and inner is not None else _utc(inner)
        for name, inner in value.items()
    }


def _stamp(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _print(rows: Any, output: str, width: int = 0) -> None:
    """Print as the option says: in a table, cells of a width; JSON and YAML keep numbers what they are."""
    import sys

    if output == "json":
        sys.stdout.write(json.dumps(_utc(rows), indent=2, ensure_ascii=False) + "\n")
    elif output == "yaml":
        from airflow.utils import yaml

        sys.stdout.write(yaml.dump(_utc(rows), sort_keys=False, allow_unicode=True))
    elif rows:
        from airflow.cli.simple_table import AirflowConsole

        AirflowConsole().print_as([dict(_cells(row, output, width)) for row in rows], output)


def _cells(row: dict[str, Any], output: str, width: int) -> Iterator[tuple[str, str]]:
    from rich.markup import escape

    for name, value in row.items():
        text = "" if value is None or (name == "map_index" and value < 0) else str(value)
        if name.endswith("_at") and text:
            text = _local(value)
        if output == "table":
            text = escape(text if name != "why" or len(text) <= width else f"{text[:width]}…")
        yield name.removesuffix("_at"), text
