"""The address of a Redis, of an Airflow connection of type ``redis``."""

from __future__ import annotations

from urllib.parse import quote

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret


def redis_url(conn_id: str, wanted_by: str) -> str:
    """The address, with user and password in it: for a client, not for a log.

    Args:
        conn_id: The connection. Its extra ``db`` is the number of the database, ``ssl`` whether TLS is spoken.
        wanted_by: What named the connection, for the error.

    Raises:
        ValueError: The connection is of another type.
    """
    connection = BaseHook.get_connection(conn_id)
    if connection.conn_type != "redis":
        raise ValueError(f"{wanted_by}: connection {conn_id!r} has the type {connection.conn_type!r}, not 'redis'")
    if connection.password:
        mask_secret(connection.password)
    extra = connection.extra_dejson
    scheme = "rediss" if str(extra.get("ssl", "")).lower() == "true" else "redis"
    user, password = (quote(part or "", safe="") for part in (connection.login, connection.password))
    credentials = f"{user}:{password}@" if user or password else ""
    return f"{scheme}://{credentials}{connection.host or 'localhost'}:{connection.port or 6379}/{extra.get('db') or 0}"
