"""Opens the warehouse that an Airflow connection names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from airgate.data.loads.load import Warehouse

LOCK_TIMEOUT = 120.0
"""Seconds to wait for other loads; the connection's extra ``lock_timeout`` says otherwise."""

_SIZE = re.compile(r"\d+(\.\d+)?\s*([KMGT]i?)?B", re.IGNORECASE)

_NOT_LIBPQ = {"lock_timeout", "cursor", "iam", "redshift", "aws_conn_id", "cluster-identifier"}
"""Extras that are airgate's, or those of Airflow's own PostgreSQL hook, and no parameters of the connection."""


class WarehouseHook(BaseHook):
    """The warehouse behind a connection.

    * type ``duckdb`` or ``sqlite``: the host is the path of the file;
    * type ``postgres``: host, port, schema (the database), login, password, and libpq's parameters in the extra;
    * any other type whose hook is a ``DbApiHook``: the slower dialect of ``airgate.data.dialects.dbapi``.

    The extra ``lock_timeout`` is how many seconds to wait for other loads, 120 without it; ``memory_limit`` is what
    DuckDB may hold in memory, such as ``512MB``, and most of the machine's without it.

    Args:
        warehouse_conn_id: The connection.
    """

    conn_name_attr = "warehouse_conn_id"
    default_conn_name = "warehouse_default"

    def __init__(self, warehouse_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.warehouse_conn_id = warehouse_conn_id

    def get_conn(self, *, read_only: bool = False) -> AbstractContextManager[Warehouse]:
        """Open the warehouse; leave the context to close it.

        Args:
            read_only: Open a DuckDB file beside other readers; it means nothing to the other warehouses.

        Raises:
            ValueError: When the connection names no warehouse that airgate knows, or lacks a field.
            RuntimeError: When the driver's package is not installed.
        """
        connection = self.get_connection(self.warehouse_conn_id)
        lock_timeout = self._lock_timeout(connection)
        if connection.conn_type == "duckdb":
            from airgate.data.dialects.duckdb import open_duckdb

            path, memory_limit = self._path(connection, "DuckDB"), self._memory_limit(connection)
            return open_duckdb(path, read_only=read_only, lock_timeout=lock_timeout, memory_limit=memory_limit)
        if connection.conn_type == "sqlite":
            from airgate.data.dialects.sqlite import open_sqlite

            return open_sqlite(self._path(connection, "SQLite"), lock_timeout=lock_timeout)
        if connection.conn_type in {"postgres", "postgresql"}:
            from airgate.data.dialects.postgres import open_postgres

            return open_postgres(postgres_uri(connection), lock_timeout=lock_timeout)
        return _open_dbapi(self._dbapi_hook(connection))

    def _lock_timeout(self, connection: Any) -> float:
        given = connection.extra_dejson.get("lock_timeout", LOCK_TIMEOUT)
        try:
            seconds = float(given)
        except (TypeError, ValueError):
            seconds = -1.0
        if not 0 <= seconds < float("inf"):
            raise ValueError(
                f"connection {self.warehouse_conn_id!r}: lock_timeout must be seconds, 0 or more, not {given!r}"
            )
        return seconds

    def _memory_limit(self, connection: Any) -> str | None:
        given = connection.extra_dejson.get("memory_limit")
        if given is not None and not _SIZE.fullmatch(str(given)):
            raise ValueError(
                f"connection {self.warehouse_conn_id!r}: memory_limit must be a size such as 512MB, not {given!r}"
            )
        return None if given is None else str(given)

    def _path(self, connection: Any, name: str) -> str:
        if not connection.host:
            raise ValueError(f"connection {self.warehouse_conn_id!r}: host is missing, it is the {name} file's path")
        return str(connection.host)

    def _dbapi_hook(self, connection: Any) -> Any:
        from airflow.providers.common.sql.hooks.sql import DbApiHook

        known = "airgate loads into: duckdb, postgres, sqlite, and any type whose hook is a DbApiHook"
        try:
            hook = connection.get_hook()
        except Exception as error:  # Airflow's own error for a type that no installed provider brings
            raise ValueError(
                f"connection {self.warehouse_conn_id!r} has the type {connection.conn_type!r}, of which Airflow has no "
                f"hook ({type(error).__name__}); {known}"
            ) from None
        if not isinstance(hook, DbApiHook):
            message = f"connection {self.warehouse_conn_id!r} has the type {connection.conn_type!r}; {known}"
            raise ValueError(message)  # noqa: TRY004 - what is wrong is the connection's value
        return hook


def postgres_uri(connection: Any) -> str:
    """A PostgreSQL connection as libpq's URI; fields that are empty are left to libpq."""
    user = quote(connection.login or "", safe="")
    if connection.password:
        user += f":{quote(connection.password, safe='')}"
    host = connection.host or ""
    host = quote(host, safe="") if host.startswith("/") else (f"[{host}]" if ":" in host else host)
    port = f":{connection.port}" if connection.port else ""
    extra = {
        name: value
        for name, value in connection.extra_dejson.items()
        if name not in _NOT_LIBPQ and isinstance(value, str | int)
    }
    parameters = f"?{urlencode(extra, quote_via=quote)}" if extra else ""
    return f"postgresql://{user}{'@' if user else ''}{host}{port}/{quote(connection.schema or '', safe='')}{parameters}"


@contextmanager
def _open_dbapi(hook: Any) -> Iterator[Warehouse]:
    from airgate.data.dialects.dbapi import DbApiWarehouse

    with closing(hook.get_conn()) as connection:
        if hook.supports_autocommit:
            hook.set_autocommit(connection, False)
        yield DbApiWarehouse(connection, hook.placeholder, hook.escape_word_format.format)
