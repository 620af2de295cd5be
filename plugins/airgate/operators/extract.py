"""Reads a collection behind the gateway into Parquet parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow.sdk import BaseOperator

from airgate.client.pages import Paginator
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.retry_policy import with_retry_policy
from airgate.hooks.waits import LongWait
from airgate.operators.extract_check import MAX_PAGES, problem_of
from airgate.operators.incremental import Incremental, Window
from airgate.operators.openapi_schema import OpenApiSchema

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airgate.data.read.children import Missing
    from airgate.data.read.fileformats import FileFormat
    from airgate.data.read.watermark import Watermark
    from airgate.data.shape.evolution import Evolution
    from airgate.data.shape.schema import SchemaSource
    from airgate.data.store.manifest import Manifest
    from airgate.hooks.lineage import Lineage
    from airgate.hooks.watermarks import AssetWatermark

_TALLY = "airgate.tally"
"""Name in the task state store of what the calls before a long wait cost."""


class GatewayExtractOperator(BaseOperator):
    """Reads every page of a collection, or one long export; the result is the manifest of the data set.

    The records become Parquet parts under ``[airgate] data_root``. Those that do not fit the schema go to
    ``dead-letters-*.jsonl`` beside them, with the reason: received = written + dead-lettered, or the task fails. After
    each part the position is stored in the task state store, so that a task that dies, fails, waits in the triggerer
    or is cleared after a failure goes on there. A task that is cleared after a success reads again.

    Args:
        path: Path below the gateway's address; with ``parents`` it has placeholders, ``/orders/{order_id}/items``.
        paginator: How the collection is read page by page (``airgate.pagination``).
        export: Form of the file that the service answers with, instead of pages: ``NdjsonFile()`` or ``CsvFile()``,
            plain or as gzip. It is read while it comes in.
        schema: The records' JSON Schema: a mapping, or the path of a JSON file; an Arrow schema does as well, and an
            ``OpenApiSchema`` takes it from the service's document. None infers it from the first records of the first
            run and keeps it in ``schema_path``.
        query: Query parameters beside those of the paginator.
        method: ``POST`` for a search whose criteria are in the body.
        headers: Added to the connection's.
        json: Body of every request; a paginator may add to it.
        records: Dotted path of the list of records in a page, such as ``result.items``; empty for a bare list.
        output_path: URI of the folder to write, instead of one for each task instance below the data root. Each run
            needs one of its own, such as ``s3://bucket/flights/{{ run_id }}``; mapped tasks add their index.
        schema_path: URI of a folder for an inferred schema, which later runs are held to; by default one for each task
            below the data root.
        evolution: What becomes of a field that the schema does not know: ``evolve`` adds a column, ``freeze``
            dead-letters the record, ``discard`` leaves the field out. None evolves what was inferred, and discards
            otherwise.
        part_rows: Rows after which a part is written and the position stored.
        part_bytes: Bytes in memory after which it is, if that comes first.
        row_group_rows: Rows of a row group; None for one row group a part.
        zstd_level: Compression, 1 (fastest) to 22 (smallest).
        partition_by: Columns whose values become folders, ``carrier=UA/part-00000.parquet``.
        max_pages: A read that needs more pages fails.
        max_records: A read that has more records fails.
        in_flight: Pages fetched at the same time, where a page tells how many there are.
        prefetch: Fetch the next page while this one is decoded.
        redact_fields: Dotted names of fields whose values are masked in dead letters.
        incremental: Read only what is new since the last read of an asset.
        parents: Manifest, list of manifests or list of records; the collection below each of them is read.
        parent_params: Placeholder of the path -> column of the parents.
        parent_columns: Column that every row gets -> column of the parents.
        parents_in_flight: Parents whose pages are fetched at once; the order of the rows stays the parents'.
        missing_parent: ``skip`` a parent that the service answers with 404, or ``fail``.
        restart_on_clear: Let a task that had failed and is cleared start afresh instead of going on.
        long_wait: What to do when the service asks for a wait beyond the connection's ``max_inline_wait``: ``defer``
            gives the worker back, ``retry`` leaves it to Airflow's retries, ``inline`` waits in the worker. None takes
            the connection's. What has been read is durable before the wait.
        deferrable: False makes ``retry`` of ``defer``.
        deadline: Seconds, or a timedelta, for the whole read over all tries and waits; a clear starts it again. None
            for no limit.
        partition_key: Partition key, or several, for the asset events of the outlets.
        partition_outlets: Give the asset events one partition key for each folder of ``partition_by``.
        gateway_conn_id: Connection of type ``gateway``.
    """

    template_fields: Sequence[str] = (
        "path",
        "query",
        "headers",
        "json",
        "output_path",
        "schema_path",
        "parents",
        "window",
        "partition_key",
        "gateway_conn_id",
    )
    template_fields_renderers = {"query": "json", "headers": "json", "json": "json", "window": "json"}
    ui_color = "#d5efe3"

    def __init__(
        self,
        *,
        path: str,
        paginator: Paginator | None = None,
        export: FileFormat | None = None,
        schema: SchemaSource | OpenApiSchema | None = None,
        query: Mapping[str, Any] | None = None,
        method: Literal["GET", "POST"] = "GET",
        headers: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        records: str = "data",
        output_path: str | None = None,
        schema_path: str | None = None,
        evolution: Evolution | None = None,
        part_rows: int = 20_000,
        part_bytes: int = 64 << 20,
        row_group_rows: int | None = None,
        zstd_level: int = 1,
        partition_by: Sequence[str] = (),
        max_pages: int = MAX_PAGES,
        max_records: int | None = None,
        in_flight: int = 1,
        prefetch: bool = False,
        redact_fields: Sequence[str] = (),
        incremental: Incremental | None = None,
        parents: Any = None,
        parent_params: Mapping[str, str] | None = None,
        parent_columns: Mapping[str, str] | None = None,
        parents_in_flight: int = 4,
        missing_parent: Missing = "fail",
        restart_on_clear: bool = False,
        long_wait: LongWait | None = None,
        deferrable: bool = True,
        deadline: float | timedelta | None = None,
        partition_key: str | Sequence[str] | None = None,
        partition_outlets: bool = False,
        gateway_conn_id: str = GatewayHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.path = path
        self.paginator = paginator
        self.export = export
        self.schema = schema
        self.query = query
        self.method = method
        self.headers = headers
        self.json = json
        self.records = records
        self.output_path = output_path
        self.schema_path = schema_path
        self.evolution = evolution
        self.part_rows = part_rows
        self.part_bytes = part_bytes
        self.row_group_rows = row_group_rows
        self.zstd_level = zstd_level
        self.partition_by = partition_by
        self.max_pages = max_pages
        self.max_records = max_records
        self.in_flight = in_flight
        self.prefetch = prefetch
        self.redact_fields = redact_fields
        self.incremental = incremental
        self.parents = parents
        self.parent_params = parent_params
        self.parent_columns = parent_columns
        self.parents_in_flight = parents_in_flight
        self.missing_parent = missing_parent
        self.restart_on_clear = restart_on_clear
        self.long_wait = long_wait
        self.deferrable = deferrable
        self.deadline = deadline.total_seconds() if isinstance(deadline, timedelta) else deadline
        self.partition_key = partition_key
        self.partition_outlets = partition_outlets
        self.gateway_conn_id = gateway_conn_id
        self.window = incremental.templates if incremental is not None else None
        """The templates of the incremental, which is frozen."""
        self._lineage: Lineage | None = None
        if problem := problem_of(self):
            raise ValueError(f"task {self.task_id!r}: {problem}")
        if incremental is not None and incremental.asset not in [*self.inlets, *self.outlets]:
            # Without that, its state is out of the task's reach.
            self.outlets = [*self.outlets, incremental.asset]

    @property
    def source(self) -> str:
        """What is read, in messages."""
        return f"{self.method} {self.path}"

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the collection and return its manifest."""
        return self._read(context, resumed=False)

    def resume(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Go on after a long wait that was spent in the triggerer."""
        return self._read(context, resumed=True)

    def _read(self, context: Context, *, resumed: bool) -> dict[str, Any]:
        # pyarrow takes a quarter of a second to import, which every parse of a DAG file would pay.
        from airgate.data.progress import Progress
        from airgate.hooks.lineage import Lineage, folder_of, report_assets, route_of
        from airgate.operators.extract_read import ExtractRead
        from airgate.operators.long_read import read_patiently
        from airgate.operators.patience import Patience

        window = self._window(context)
        store = context["task_state_store"]
        with self._hook() as hook, Progress(self.source, say=self.log.info) as progress:
            if resumed and isinstance(earlier := store.get(_TALLY), dict):
                hook.tally.add(earlier)
            read = ExtractRead(self, context, hook, window, progress)
            patience = Patience(partial(self._defer, store, hook), self.long_wait, self.deferrable, self.deadline)
            manifest = read_patiently(hook, context, read.calls, patience, read, resumed=resumed)
            self._lineage = Lineage((route_of(hook.gateway.base_url, self.path),), (folder_of(manifest),))
            report_assets(hook, outputs=self._lineage.outputs)
        mark = self._advance(context, read.watermark, manifest)
        self._tell(context, manifest, mark, progress.summary(manifest))
        return manifest.to_json() | ({"watermark": read.watermark.to_json()} if read.watermark else {})

    def get_openlineage_facets_on_complete(self, task_instance: object) -> object:
        """What OpenLineage's provider asks for, where it is installed."""
        from airgate.hooks.lineage import Lineage, openlineage_of

        return openlineage_of(self._lineage or Lineage())

    def _hook(self) -> GatewayHook:
        openapi = self.schema.openapi if isinstance(self.schema, OpenApiSchema) else None
        return GatewayHook(self.gateway_conn_id, openapi=openapi)

    def _window(self, context: Context) -> Window | None:
        if self.incremental is None:
            return None
        window = self.incremental.window(context, self._kept(context), self.window or {})
        self.log.info("reading %s by %s", window, self.incremental.field)
        return window

    def _kept(self, context: Context) -> AssetWatermark:
        from airgate.hooks.watermarks import AssetWatermark, slot_of

        assert self.incremental is not None
        slot = slot_of(self.incremental.name, context["ti"], self.path, self.query)
        return AssetWatermark(context, self.incremental.asset, slot)

    def _advance(self, context: Context, mark: Watermark | None, manifest: Manifest) -> Watermark | None:
        return self._kept(context).advance(mark, manifest.path) if mark is not None else None

    def _defer(self, store: Any, hook: GatewayHook, until: float) -> NoReturn:
        from airgate.triggers.wait import WaitTrigger

        store.set(_TALLY, hook.tally.state())
        self.defer(trigger=WaitTrigger(until), method_name="resume")

    def _tell(
        self, context: Context, manifest: Manifest, watermark: Watermark | None, summary: Mapping[str, float]
    ) -> None:
        """Push the summary, describe the outlets' events, and say what came."""
        from airgate.operators.outlets import describe_outlets, partition_keys

        keys = {self.partition_key} if isinstance(self.partition_key, str) else set(self.partition_key or ())
        if self.partition_outlets:
            keys |= partition_keys(manifest)
        describe_outlets(context, self.outlets, manifest, watermark=watermark, keys=keys)
        push = getattr(context["ti"], "xcom_push", None)
        if self.do_xcom_push and push is not None:
            push(key="airgate_records", value=dict(summary))
        calls = manifest.calls
        self.log.info(
            "received %d records in %d %s: %d written in %d parts, %d dead-lettered; %d requests, %d of them again "
            "after %.1f s of waiting; %s",
            *(manifest.received, calls.pages, "pages" if self.export is None else "pieces"),
            *(manifest.written, len(manifest.parts), manifest.dead_lettered),
            *(calls.requests, calls.retries, calls.waited, manifest.path),
        )
        for file in manifest.dead_letters:
            self.log.warning("%d records do not fit the schema, see %s/%s", file.records, manifest.path, file.name)
