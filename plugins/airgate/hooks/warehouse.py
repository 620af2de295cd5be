"""Opens the warehouse that an Airflow connection names."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from airgate.data.load import Warehouse


class WarehouseHook(BaseHook):
    """The warehouse behind a connection of type ``duckdb``, whose host is the path of the file.

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

        Raises:
            ValueError: When the connection names no warehouse that airgate knows.
        """
        connection = self.get_connection(self.warehouse_conn_id)
        if connection.conn_type != "duckdb":
            raise ValueError(
                f"connection {self.warehouse_conn_id!r} has the type {connection.conn_type!r}; airgate loads "
                "into: duckdb"
            )
        if not connection.host:
            raise ValueError(f"connection {self.warehouse_conn_id!r}: host is missing, it is the DuckDB file's path")
        from airgate.data.duckdb import open_duckdb

        return open_duckdb(connection.host, read_only=read_only)
