"""``airflow gateway routes``: what the OpenAPI document offers."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from airgate.commands.connection import local_document, naming_the_file, open_hook
from airgate.commands.output import Voice, failing, log_lines

if TYPE_CHECKING:
    from airgate.openapi import Document


def routes(args: Namespace) -> None:
    """Print the operations, in the order of the document."""
    from airflow.cli.utils import redirect_stdout_log_handlers_to_stderr

    redirect_stdout_log_handlers_to_stderr()
    voice = Voice()
    with failing(voice), log_lines(voice):
        document = local_document(args.document)
        if document is None:
            with naming_the_file(args.document):
                hook = open_hook(args.conn_id, args.document)
                voice.secrets.update(hook.gateway.secrets)
                document = hook.document
        rows = _rows(document)
    from airflow.cli.simple_table import AirflowConsole

    AirflowConsole().print_as(rows, args.output)


def _rows(document: Document) -> list[dict[str, str]]:
    return [
        {
            "method": operation.method,
            "path": operation.path,
            "operation": operation.operation_id,
            "arguments": " ".join(
                [parameter.name + ("*" if parameter.required else "") for parameter in operation.parameters]
                + (["body" + ("*" if operation.body.required else "")] if operation.body else [])
            ),
            "summary": operation.summary + (" (deprecated)" if operation.deprecated else ""),
        }
        for operation in document.operations.values()
    ]
