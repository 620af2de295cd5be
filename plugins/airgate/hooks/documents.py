"""Finds the OpenAPI document that a connection names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from airgate.openapi import load, open_document

if TYPE_CHECKING:
    from airgate.openapi import Document


def find_document(location: str | None, conn_id: str, fetch: Callable[[str], bytes]) -> Document:
    """The document at a location.

    Args:
        location: A file, ``package://package.name/path``, or a path below the gateway: one that begins with ``/`` and
            is no file here.
        conn_id: The connection, for the error.
        fetch: Asks the gateway for a path.

    Raises:
        ValueError: There is no location, or no document there.
    """
    if not location:
        raise ValueError(
            f"connection {conn_id!r}: openapi is not set, so there are no operations; give it the location of the "
            "OpenAPI document: a file, package://package.name/path, or a path below the gateway"
        )
    if on_the_gateway(location):
        return load(fetch(location), location.partition("?")[0].rpartition("/")[2] or "openapi")
    return open_document(location)


def on_the_gateway(location: str) -> bool:
    """Whether the document must be asked of the gateway."""
    return location.startswith("/") and not Path(location).is_file()
