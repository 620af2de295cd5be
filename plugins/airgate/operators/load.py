"""Loads a data set into a warehouse table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airgate.hooks.warehouse import WarehouseHook

if TYPE_CHECKING:
    from airflow.sdk import Connection, Context

    from airgate.data.loads.load import Load, LoadResult, Mode, NewColumns
    from airgate.data.pace_line import PaceLine
    from airgate.data.store.manifest import Manifest
    from airgate.hooks.lineage import Lineage


class TableLoadOperator(BaseOperator):
    """Puts a data set into a table in one transaction, once.

    The table is made when missing. The transaction also enters the load's id, made from the task instance and the
    data, so that a load repeated by a retry does nothing; clearing the task loads again.

    Args:
        data: Manifest of the data set, or a list of them: the result of an extract or ``@task.dataframe`` task.
        table: Name, optionally ``schema.name``.
        mode: ``append`` adds the rows; ``merge`` replaces rows whose key is in the table and adds the others;
            ``replace`` makes them the table's whole content. ``merge`` without one if there is a key, else ``append``.
        key: Columns that identify a row; no two rows of the data may have the same, and none may be null. A merge
            needs it.
        new_columns: What to do with columns that the table lacks: ``add`` them, ``ignore`` them with a warning, or
            ``fail``.
        max_dead_letters: Rows that the table may refuse; they go to ``<table>_dead_letters``. With one more the task
            fails and nothing is loaded.
        max_dead_letter_share: The same as a share of the rows, 0 to 1; the larger of the two holds.
        cursor: Where the read stands, as any text; it is committed with the rows, and ``WarehouseHook`` gives it back.
        warehouse_conn_id: Connection of type ``duckdb``, ``postgres`` or ``sqlite``, or one whose hook is a
            ``DbApiHook``.
    """

    template_fields: Sequence[str] = ("data", "table", "cursor", "warehouse_conn_id")
    ui_color = "#f3e6d3"

    def __init__(
        self,
        *,
        data: Mapping[str, Any] | Sequence[Mapping[str, Any]] | Any,
        table: str,
        mode: Mode | None = None,
        key: Sequence[str] = (),
        new_columns: NewColumns = "add",
        max_dead_letters: int = 0,
        max_dead_letter_share: float = 0.0,
        cursor: str | None = None,
        warehouse_conn_id: str = WarehouseHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data = data
        self.table = table
        self.mode = mode
        self.key = key
        self.new_columns = new_columns
        self.max_dead_letters = max_dead_letters
        self.max_dead_letter_share = max_dead_letter_share
        self.cursor = cursor
        self.warehouse_conn_id = warehouse_conn_id
        self._lineage: Lineage | None = None
        if isinstance(key, str) or (not key and mode in {None, "merge"} and key != ()):
            raise ValueError(f"task {self.task_id!r}: key must be a list of column names, not {key!r}")
        self._check()

    def _check(self) -> None:
        """Refuse when the DAG is parsed what ``Load`` would refuse when it runs; it is not imported for that."""
        for name, value, known in (
            ("mode", self.mode or "merge", ("append", "merge", "replace")),
            ("new_columns", self.new_columns, ("add", "ignore", "fail")),
        ):
            if value not in known:
                raise ValueError(f"task {self.task_id!r}: {name} must be one of {', '.join(known)}, not {value!r}")
        if self.mode == "merge" and not self.key:
            raise ValueError(f"task {self.task_id!r}: key is missing, a merge needs the columns that identify a row")
        if not 0 <= self.max_dead_letter_share <= 1:
            raise ValueError(
                f"task {self.task_id!r}: max_dead_letter_share must be 0 to 1, not {self.max_dead_letter_share}"
            )
        if self.max_dead_letters < 0:
            raise ValueError(f"task {self.task_id!r}: max_dead_letters must be 0 or more, not {self.max_dead_letters}")

    def execute(self, context: Context) -> dict[str, Any]:
        """Load the data and return table, load id, mode and counts of rows, inserted, updated and dead-lettered."""
        from airgate.data.frames.reading import read_tables
        from airgate.data.pace_line import PaceLine, ticking, watched
        from airgate.hooks.storage import open_folder
        from airgate.operators.merge import given_manifests

        manifests = given_manifests(self.data)
        line = PaceLine(self.table, sum(manifest.written for manifest in manifests), say=self.log.info)
        load = self._load(context, [part.sha256 for manifest in manifests for part in manifest.parts], line)
        hook = WarehouseHook(self.warehouse_conn_id)
        # Asked for now, as nothing may fail once the rows are in.
        connection = hook.get_connection(self.warehouse_conn_id)
        with hook.get_conn() as warehouse, ticking(line):
            result = warehouse.load(load, watched(read_tables(manifests, open_folder), line))
        self._trace_back(hook, connection, manifests, result)
        self.log.info(
            "%s: %d rows, %d inserted, %d updated, %d dead-lettered%s",
            *(result.table, result.rows, result.inserted, result.updated, result.dead_lettered),
            " by an earlier try; nothing to do" if result.repeated else "",
        )
        report = result.to_json()
        if self.outlets:
            from airgate.operators.outlets import describe_load

            describe_load(context, self.outlets, report)
        return report

    def get_openlineage_facets_on_complete(self, task_instance: object) -> object:
        """What OpenLineage's provider asks for, where it is installed."""
        from airgate.hooks.lineage import Lineage, openlineage_of

        return openlineage_of(self._lineage or Lineage())

    def _trace_back(
        self, hook: WarehouseHook, connection: Connection, manifests: Sequence[Manifest], result: LoadResult
    ) -> None:
        """Tell what came from where.

        A load that an earlier try has done has no count: that try was counted if it was heard, and 0 would say that
        the rows are not in.
        """
        from airgate.hooks.lineage import Lineage, folder_of, report_assets, table_of

        columns = {name: kind.rstrip("!") for manifest in manifests for name, kind in manifest.schema.items()}
        if self.new_columns == "ignore":
            columns = {}  # nobody says which of them the table lacks
        table = table_of(
            connection,
            self.table,
            rows=None if result.repeated else result.inserted + result.updated,
            columns={name: kind for name, kind in columns.items() if kind != "null"},
        )
        self._lineage = Lineage(tuple(map(folder_of, manifests)), (table,))
        report_assets(hook, inputs=self._lineage.inputs, outputs=self._lineage.outputs)

    def _load(self, context: Context, content: Sequence[str], line: PaceLine) -> Load:
        from airgate.data.loads.load import Load
        from airgate.policy.idempotency import digest

        ti: Any = context["ti"]
        return Load(
            self.table,
            tuple(self.key),
            # max_tries grows when a task is cleared, and only then: a clear means that the load is wanted again.
            load_id=digest((ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.max_tries, self.table, *content)),
            mode=self.mode or ("merge" if self.key else "append"),
            new_columns=self.new_columns,
            max_dead_letters=self.max_dead_letters,
            max_dead_letter_share=self.max_dead_letter_share,
            cursor=self.cursor,
            onlooker=line,
        )
