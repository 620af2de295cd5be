"""``airflow gateway call``: one call as a task would make it, and how it went."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airgate.client.message import merged
from airgate.commands.connection import open_hook
from airgate.commands.output import Voice, failing, log_lines, masked
from airgate.commands.pairs import gathered, read_json, read_pairs
from airgate.policy.redaction import is_secret_header, is_secret_name, one_line, redact_headers, redact_url

if TYPE_CHECKING:
    from airgate.client.message import Response
    from airgate.hooks.gateway import GatewayHook

_HEADERS = ("content-type", "retry-after", "location", "etag", "ratelimit", "ratelimit-policy")


def call(args: Namespace) -> None:
    """Make the call; the answer's body goes to standard output, how it came to standard error."""
    from airflow.cli.utils import redirect_stdout_log_handlers_to_stderr

    redirect_stdout_log_handlers_to_stderr()
    voice = Voice()
    with failing(voice), log_lines(voice):
        hook = open_hook(args.conn_id, args.document)
        voice.secrets.update(hook.gateway.secrets)
        voice.secrets.update(_given_secrets(args))
        sent = _arguments(args, hook)
        started = time.monotonic()
        voice.remark(
            f"{sent['method'].upper()} {redact_url(sent['path'])} through {args.conn_id}, {hook.gateway.base_url}"
        )
        try:
            response: Response = hook.call(**sent)
        finally:
            voice.secrets.update(hook.gateway.secrets)
    _report(voice, response, time.monotonic() - started)
    _show_body(voice, response, args.max_body)


def _arguments(args: Namespace, hook: GatewayHook) -> dict[str, Any]:
    """What to give to the hook's ``call``."""
    headers = dict(read_pairs("--header", args.header))
    body = None if args.json is None else read_json("--json", args.json)
    common = {} if args.key is None else {"idempotency_key": args.key}
    if args.operation is None:
        if not args.method or not args.path:
            raise ValueError("give METHOD and PATH, or --operation ID")
        if args.arg:
            raise ValueError("--arg needs --operation; query parameters are --param")
        params = gathered(read_pairs("--param", args.param))
        return {
            "method": args.method,
            "path": args.path,
            "params": params,
            "json": body,
            "headers": _texts(headers),
            **common,
        }
    if args.method or args.path or args.param:
        raise ValueError("--operation names method and path itself, and takes its parameters as --arg")
    arguments = gathered(read_pairs("--arg", args.arg))
    if body is not None:
        arguments["body"] = body
    operation = hook.document.operation(args.operation)
    if args.key is not None:
        operation = operation.adding_key(hook.gateway.idempotency_header)
    prepared = operation.prepare(**arguments)
    return {
        "method": prepared.method,
        "path": prepared.path,
        "path_params": prepared.path_params,
        "params": prepared.params,
        "json": prepared.json,
        "data": prepared.data,
        "headers": merged(prepared.headers, _texts(headers)),
        **common,
    }


def _given_secrets(args: Namespace) -> set[str]:
    """What was typed under a name that says it is secret, or in a header of unknown meaning: a service may echo it."""
    pairs = [pair for name in ("param", "arg") for pair in read_pairs(f"--{name}", getattr(args, name))]
    found = {str(value) for name, value in pairs if is_secret_name(name)}
    return found | {
        str(value) for name, value in read_pairs("--header", args.header) if is_secret_header(name, str(value))
    }


def _texts(headers: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in headers.items()}


def _report(voice: Voice, response: Response, seconds: float) -> None:
    try:
        phrase = f" {HTTPStatus(response.status).phrase}"
    except ValueError:
        phrase = ""
    tries = f"{response.attempts} attempt{'s' if response.attempts != 1 else ''}"
    waited = f", waited {response.waited:.2f} s" if response.waited else ""
    voice.remark(f"{response.status}{phrase} after {tries}{waited}, {seconds:.2f} s altogether")
    if response.request_id:
        voice.remark(f"request id: {response.request_id}")
    shown = {name: value for name, value in response.headers.items() if name.lower() in _HEADERS}
    for name, value in redact_headers(shown).items():
        voice.remark(f"{name.lower()}: {one_line(value)}")


def _show_body(voice: Voice, response: Response, limit: int) -> None:
    if not response.bytes:
        return
    text = response.text
    if "json" in response.headers.get("content-type", "").lower():
        try:
            text = json.dumps(masked(json.loads(response.bytes)), indent=2, ensure_ascii=False)
        except ValueError:
            voice.remark("the body says it is JSON, and is not")
    if limit and len(text) > limit:
        # Masked before it is cut, as the cut may go through a secret, and so may an escape sequence.
        voice.say(voice.safe(text)[:limit])
        voice.remark(f"{len(text) - limit} more characters; --max-body 0 shows all")
    else:
        voice.say(text)
