"""Loads a data set into a warehouse table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airgate.hooks.warehouse import WarehouseHook

if TYPE_CHECKING:
    from airflow.sdk import Context


class TableLoadOperator(BaseOperator):
    """Merges a data set into a table by key, in one transaction.

    A row whose key is in the table replaces that row, others are added; the table is made when missing. The
    transaction also enters the load's id, made from the task instance and the data, so that a load repeated by a retry
    does nothing; clearing the task loads again.

    Args:
        data: Manifest of the data set, or a list of them: the result of an extract or ``@task.dataframe`` task.
        table: Name, optionally ``schema.name``.
        key: Columns that identify a row.
        warehouse_conn_id: Connection of type ``duckdb``.
    """

    template_fields: Sequence[str] = ("data", "table", "warehouse_conn_id")
    ui_color = "#f3e6d3"

    def __init__(
        self,
        *,
        data: Mapping[str, Any] | Sequence[Mapping[str, Any]] | Any,
        table: str,
        key: Sequence[str],
        warehouse_conn_id: str = WarehouseHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data = data
        self.table = table
        self.key = key
        self.warehouse_conn_id = warehouse_conn_id
        if isinstance(key, str) or not key:
            raise ValueError(f"task {self.task_id!r}: key must be a list of column names, not {key!r}")

    def execute(self, context: Context) -> dict[str, Any]:
        """Load the data and return table, load id and counts of rows, inserted and updated."""
        from airgate.data.frames import read_table
        from airgate.data.load import Load
        from airgate.data.manifest import Manifest
        from airgate.hooks.storage import open_folder
        from airgate.policy.idempotency import digest

        data: Any = self.data
        given = list(data[:]) if isinstance(data, Sequence) and not isinstance(data, str) else [data]
        manifests = [Manifest.from_json(value) for value in given]
        ti = context["ti"]
        content = [part.sha256 for manifest in manifests for part in manifest.parts]
        load = Load(
            self.table,
            tuple(self.key),
            # max_tries grows when a task is cleared, and only then: a clear means that the load is wanted again.
            load_id=digest((ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.max_tries, self.table, *content)),
        )
        rows = read_table(manifests, open_folder)
        with WarehouseHook(self.warehouse_conn_id).get_conn() as warehouse:
            result = warehouse.load(load, rows)
        self.log.info(
            "%s: %d rows, %d inserted, %d updated%s",
            *(result.table, result.rows, result.inserted, result.updated),
            " by an earlier try; nothing to do" if result.repeated else "",
        )
        return result.to_json()
