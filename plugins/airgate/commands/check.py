"""``airflow gateway check``: whether a connection is fit for use, step by step."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

from airgate.commands.connection import naming_the_file, open_hook
from airgate.commands.output import Voice, log_lines
from airgate.commands.signing import sign
from airgate.openapi import problems
from airgate.policy.errors import GatewayError, NotFound

if TYPE_CHECKING:
    from airgate.hooks.gateway import GatewayHook

_SHOWN = 20


def check(args: Namespace) -> None:
    """Print one line a step, and leave with exit code 1 if one failed."""
    from airflow.cli.utils import redirect_stdout_log_handlers_to_stderr

    redirect_stdout_log_handlers_to_stderr()
    voice = Voice()
    hooks: list[GatewayHook] = []

    def connection() -> str:
        hook = open_hook(args.conn_id, args.document)
        voice.secrets.update(hook.gateway.secrets)
        hooks.append(hook)
        return f"{args.conn_id} is {hook.gateway.base_url}"

    if not _step(voice, "connection", connection):
        raise SystemExit(1)
    [hook] = hooks
    steps: list[tuple[str, Callable[[], str]]] = []
    location = args.document or hook.gateway.openapi
    if location:
        steps.append(("document", lambda: _document(location, hook)))
    else:
        voice.say("--      document    the connection names none (extra.openapi)")
    steps += [("auth", lambda: _auth(hook, voice)), ("gateway", lambda: _health(hook))]
    good = [_step(voice, name, run) for name, run in steps]  # all of them, also behind one that failed
    if not all(good):
        raise SystemExit(1)


def _step(voice: Voice, name: str, run: Callable[[], str]) -> bool:
    from airflow.sdk.exceptions import AirflowException

    try:
        with log_lines(voice):
            outcome = run()
    except (GatewayError, ValueError, OSError, AirflowException) as error:
        voice.say(f"failed  {name:<11} {error}")
        return False
    voice.say(f"ok      {name:<11} {outcome}")
    return True


def _document(location: str, hook: GatewayHook) -> str:
    with naming_the_file(location):
        document = hook.document
    if found := problems(document):
        lines = [f"\n          {one}" for one in found[:_SHOWN]]
        more = f"\n          and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ValueError(f"{location} has {len(found)} problem{'s' if len(found) > 1 else ''}:{''.join(lines)}{more}")
    return f"{location}: OpenAPI {document.version}, {len(document.operations)} operations"


def _auth(hook: GatewayHook, voice: Voice) -> str:
    sign(hook.gateway)
    voice.secrets.update(hook.gateway.secrets)  # a token that was fetched is one now
    kind = type(hook.gateway.auth).__name__
    return f"{kind} signs requests" if kind != "NoAuth" else "requests go unsigned (extra.auth is none)"


def _health(hook: GatewayHook) -> str:
    try:
        response = hook.call("GET", hook.gateway.health_path)
    except NotFound as error:
        raise ValueError(f"{error} Set extra.health_path to a path that answers.") from None
    again = f" after {response.attempts} attempts" if response.attempts > 1 else ""
    return f"{response.url} answered {response.status}{again}"
