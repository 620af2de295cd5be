"""The hook of a command's connection, and the OpenAPI document that goes with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airgate.policy.errors import GatewayError

if TYPE_CHECKING:
    from airgate.hooks.gateway import GatewayHook
    from airgate.openapi import Document


def open_hook(conn_id: str, document: str | None = None) -> GatewayHook:
    """The hook of a connection, read from the environment, a secrets backend or Airflow's database.

    Args:
        conn_id: The connection.
        document: Location of an OpenAPI document, instead of the connection's.

    Raises:
        ValueError: There is no such connection, or a field of it is wrong.
    """
    # As Airflow's own commands do: outside of a task the database is looked at only by a process that is a server.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    from airflow.sdk.exceptions import AirflowNotFoundException

    from airgate.hooks.gateway import GatewayHook

    hook = GatewayHook(conn_id, openapi=document)
    try:
        hook.gateway  # noqa: B018, as asking for it is what reads the connection
    except AirflowNotFoundException:
        raise ValueError(
            f"connection {conn_id!r} is not defined. Set AIRFLOW_CONN_{conn_id.upper()}, or run: "
            f"airflow connections add {conn_id} --conn-type gateway --conn-host ADDRESS"
        ) from None
    return hook


def local_document(location: str | None) -> Document | None:
    """The document at a location that needs no connection, None if it needs one.

    Raises:
        ValueError: It cannot be read.
    """
    from airgate.hooks.documents import on_the_gateway
    from airgate.openapi import open_document

    return None if not location or on_the_gateway(location) else open_document(location)


@contextmanager
def naming_the_file(location: str | None) -> Iterator[None]:
    """Say of a document that could not be had from the gateway that it is no file here either.

    Raises:
        ValueError: What went wrong, and that there is no such file.
    """
    from airgate.hooks.documents import on_the_gateway

    try:
        yield
    except (GatewayError, ValueError) as error:
        if not location or not on_the_gateway(location):
            raise
        raise ValueError(f"there is no file {location}, and as a path below the gateway: {error}") from None
