"""The commands that the package adds to ``airflow``.

Airflow imports this file on every start, so it does next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand, GroupCommand


def get_gateway_cli_commands() -> list[CLICommand]:
    """``airflow gateway routes|check|call|token|dead-letters|saga|events``, as the provider's ``cli`` names it."""
    from airflow.cli import cli_config
    from airflow.cli.cli_config import ActionCommand, GroupCommand, lazy_load_command

    Arg: Any = cli_config.Arg  # noqa: N806, as it is a class, one without types

    conn_id = Arg(("--conn-id",), default="gateway_default", help="Connection of type gateway (default: %(default)s)")
    document = Arg(
        ("--document",),
        metavar="LOCATION",
        help="OpenAPI document: a file, package://package.name/path, or a path below the gateway; "
        "left out, the connection's field openapi",
    )
    output = Arg(
        ("-o", "--output"),
        choices=("table", "json", "yaml", "plain"),
        default="table",
        metavar="(table, json, yaml, plain)",
        help="Output format (default: %(default)s)",
    )
    name_value = "NAME=VALUE"
    call = (
        Arg(("method",), nargs="?", metavar="METHOD", help="HTTP method; not with --operation"),
        Arg(("path",), nargs="?", metavar="PATH", help="Path below the gateway's address; not with --operation"),
        conn_id,
        Arg(("--param",), action="append", metavar=name_value, help="Query parameter; repeat it for more"),
        Arg(("--header",), action="append", metavar=name_value, help="Header; repeat it for more"),
        Arg(("--json",), metavar="JSON", help="Body as JSON, @FILE to read it from a file, @- from standard input"),
        Arg(("--key",), metavar="KEY", help="Idempotency key, for a service that honours it: the call may be repeated"),
        Arg(("--operation",), metavar="ID", help="Make the call from an operation of the OpenAPI document"),
        Arg(
            ("--arg",),
            action="append",
            metavar=name_value,
            help="Argument of the operation as text, or NAME:=JSON for another type; repeat it for more",
        ),
        document,
        Arg(
            ("--max-body",),
            type=int,
            default=20000,
            metavar="N",
            help="Characters of the answer to print, 0 for all (default: %(default)s)",
        ),
    )
    folder = Arg(("where",), metavar="FOLDER", help="Folder of the data set: a URI, or a local path")
    show = (
        Arg(("where",), metavar="MANIFEST_OR_FOLDER", help="The data set: URI or local path of its folder or manifest"),
        Arg(
            ("--limit",),
            type=int,
            default=20,
            metavar="N",
            help="Dead letters to print, 0 for all (default: %(default)s)",
        ),
        Arg(("--reason",), metavar="TEXT", help="Only those whose reason contains this text"),
        Arg(("--count-by",), choices=("reason",), metavar="reason", help="Count them by reason instead"),
        Arg(("--reveal",), action="store_true", help="Show the values of fields that look secret, too"),
        Arg(
            ("-o", "--output"),
            choices=("table", "json"),
            default="table",
            metavar="(table, json)",
            help="Output format (default: %(default)s); a table cuts long records",
        ),
    )
    replay = (
        folder,
        Arg(("--schema",), required=True, metavar="FILE", help="JSON Schema that the records should fit now"),
        Arg(("--into",), metavar="FOLDER2", help="Folder of the additional data set; by default one below FOLDER"),
    )
    purge = (
        Arg(("where",), metavar="FOLDER", help="Look in this folder and in all below it: a URI, or a local path"),
        Arg(("--older-than",), required=True, metavar="AGE", help="Such as 30d, 12h or 2w"),
        Arg(("-y", "--yes"), action="store_true", help="Delete without asking"),
    )
    commands = "airgate.commands.dead_letters"
    dead_letters = GroupCommand(
        name="dead-letters",
        help="Look at the records that did not fit their schema, replay or delete them",
        subcommands=(
            ActionCommand(
                name="show",
                help="Print dead letters with page, place, reason and record",
                func=lazy_load_command(f"{commands}.show"),
                args=show,
            ),
            ActionCommand(
                name="replay",
                help="Read dead letters again against a mended schema",
                func=lazy_load_command(f"{commands}.replay"),
                args=replay,
            ),
            ActionCommand(
                name="purge",
                help="Delete old dead letters",
                func=lazy_load_command(f"{commands}.purge"),
                args=purge,
            ),
        ),
    )
    return [
        GroupCommand(
            name="gateway",
            help="Look at an API gateway, and call it, with the settings of a connection",
            subcommands=(
                ActionCommand(
                    name="routes",
                    help="List the operations of the OpenAPI document",
                    func=lazy_load_command("airgate.commands.routes.routes"),
                    args=(conn_id, document, output),
                ),
                ActionCommand(
                    name="check",
                    help="Check connection, document, authentication and the gateway's answer",
                    func=lazy_load_command("airgate.commands.check.check"),
                    args=(conn_id, document),
                ),
                ActionCommand(
                    name="call",
                    help="Make one call, with retries, and show what happened",
                    func=lazy_load_command("airgate.commands.call.call"),
                    args=call,
                ),
                ActionCommand(
                    name="token",
                    help="Show what the connection's token says, without its signature",
                    func=lazy_load_command("airgate.commands.token.token"),
                    args=(conn_id,),
                ),
                dead_letters,
                _saga(Arg, output),
                _events(Arg),
            ),
        )
    ]


def _saga(Arg: Any, output: Any) -> GroupCommand:  # noqa: N803, as it is a class
    """``airflow gateway saga list|show``."""
    from airflow.cli.cli_config import ActionCommand, GroupCommand, lazy_load_command

    chosen = (
        Arg(("--dag-id",), metavar="DAG", help="Only sagas of this DAG"),
        Arg(
            ("--state",),
            choices=("completed", "compensated", "needs-attention", "under-way"),
            help="Only sagas in this state",
        ),
        Arg(
            ("--since",),
            metavar="TIME",
            help="Leave out what ended before: an age such as 2d or 12h, or a time such as 2026-03-01T08:00",
        ),
        Arg(("--limit",), type=int, default=20, metavar="N", help="Sagas to print, 0 for all (default: %(default)s)"),
        output,
    )
    one = (
        Arg(("dag_id",), metavar="DAG", help="The DAG's id"),
        Arg(("run_id",), metavar="RUN", help="The run's id"),
        Arg(("--saga",), metavar="NAME", help="Id of the saga's task group, where the run has several"),
        Arg(("--map-index",), type=int, metavar="N", help="Which one of a mapped saga"),
        output,
    )
    return GroupCommand(
        name="saga",
        help="Show how sagas ended, and how those stand that have not",
        subcommands=(
            ActionCommand(
                name="list",
                help="List sagas, one a line, the newest first",
                func=lazy_load_command("airgate.commands.saga.list_"),
                args=chosen,
            ),
            ActionCommand(
                name="show",
                help="Show one saga, step by step, with keys and times",
                func=lazy_load_command("airgate.commands.saga.show"),
                args=one,
            ),
        ),
    )


def _events(Arg: Any) -> GroupCommand:  # noqa: N803, as it is a class
    """``airflow gateway events parked list|show|retry|drop``."""
    from airflow.cli.cli_config import ActionCommand, GroupCommand, lazy_load_command

    output = Arg(
        ("-o", "--output"),
        choices=("table", "json"),
        default="table",
        metavar="(table, json)",
        help="Output format (default: %(default)s); a table cuts long texts",
    )
    dag = Arg(("--dag-id",), metavar="DAG", help="Only events that a task of this DAG parked, or that this DAG takes")
    names = Arg(("names",), nargs="*", metavar="NAME", help="As `list` shows it; the beginning will do")
    chosen = (names, Arg(("--all",), action="store_true", help="All of them, or with --dag-id all of a DAG"), dag)
    target = Arg(("--to",), metavar="DAG", help="The DAG that takes them, where it is not known, or is another one now")
    limit = Arg(
        ("--limit",), type=int, default=20, metavar="N", help="Events to print, 0 for all (default: %(default)s)"
    )
    reveal = Arg(("--reveal",), action="store_true", help="Show the values of fields that look secret, too")
    commands = "airgate.commands.events"
    parked = GroupCommand(
        name="parked",
        help="Look at the events that nobody could take, let them run again or drop them",
        subcommands=(
            ActionCommand(
                name="list",
                help="List them, the newest first",
                func=lazy_load_command(f"{commands}.list_"),
                args=(dag, limit, output),
            ),
            ActionCommand(
                name="show",
                help="Show one, with the event",
                func=lazy_load_command(f"{commands}.show"),
                args=(Arg(("name",), metavar="NAME", help="As `list` shows it; the beginning will do"), reveal),
            ),
            ActionCommand(
                name="retry",
                help="Make a run for each, and take it out of the list",
                func=lazy_load_command(f"{commands}.retry"),
                args=(*chosen, target),
            ),
            ActionCommand(
                name="drop",
                help="Take them out of the list for good",
                func=lazy_load_command(f"{commands}.drop"),
                args=(*chosen, Arg(("-y", "--yes"), action="store_true", help="Drop without asking")),
            ),
        ),
    )
    return GroupCommand(name="events", help="Look after the events of dispatchers", subcommands=(parked,))
