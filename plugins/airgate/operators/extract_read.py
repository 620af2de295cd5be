"""One run of an extract task: its arguments turned into a read of records."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airgate.data.checkpoint import Checkpoint
from airgate.data.extract import Collection, extract
from airgate.data.read.children import Children, extract_children
from airgate.data.read.highwater import HighWater
from airgate.data.read.page_fetch import PageFetch
from airgate.data.read.pages import Fetch
from airgate.data.read.watermark import Watermark
from airgate.data.shape.batch import Onlooker
from airgate.data.shape.schema import arrow_schema
from airgate.data.shape.schemafile import SchemaFile
from airgate.data.store.layout import Layout
from airgate.data.store.manifest import Manifest
from airgate.hooks.state import TaskStateCheckpoint
from airgate.hooks.storage import map_index_segment, open_folder, schema_folder_uri, task_folder_uri
from airgate.operators.incremental import Window
from airgate.operators.parents import given_parents
from airgate.policy.idempotency import digest, json_digest

if TYPE_CHECKING:
    from airgate.operators.extract import GatewayExtractOperator


class ExtractRead:
    """The read of a task; called again, it goes on from the checkpoint.

    Args:
        task: With its templates rendered.
        context: Airflow's.
        fetch: Asks for pages.
        window: Of an incremental read.
        onlooker: Is told of pages and parts.
    """

    def __init__(
        self,
        task: GatewayExtractOperator,
        context: Any,
        fetch: PageFetch,
        window: Window | None,
        onlooker: Onlooker,
    ) -> None:
        ti = context["ti"]
        self._task = task
        self._fetch = fetch
        uri = (
            "/".join([task.output_path.rstrip("/"), *map_index_segment(ti)])
            if task.output_path
            else task_folder_uri(ti)
        )
        self._folder = open_folder(uri)
        self._schema_file = self._where_the_schema_is(ti)
        self._checkpoint: Checkpoint = TaskStateCheckpoint(
            context["task_state_store"], max_tries=ti.max_tries, restart_on_clear=task.restart_on_clear
        )
        self._onlookers: list[Onlooker] = [onlooker]
        self._high: HighWater | None = None
        if window is not None:
            incremental = window.incremental
            self._checkpoint = self._high = HighWater(
                incremental.field, self._checkpoint, since=window.since, as_text=incremental.text_order
            )
            self._onlookers.append(self._high)
        self._collection = Collection(
            source=task.source,
            paginator=task.paginator,
            schema=None if task.schema is None else arrow_schema(task.schema),
            records=task.records,
            max_pages=task.max_pages,
            salt=digest(
                (task.gateway_conn_id, sorted(fetch.query.items()), fetch.method, json_digest(fetch.json), uri)
            ),
            evolution=task.evolution,
            layout=Layout(
                part_rows=task.part_rows,
                part_bytes=task.part_bytes,
                row_group_rows=task.row_group_rows,
                zstd_level=task.zstd_level,
                partition_by=tuple(task.partition_by),
            ),
            redact_fields=tuple(task.redact_fields),
            max_records=task.max_records,
            in_flight=task.in_flight,
            prefetch=task.prefetch,
        )
        self._children = self._whose_children()

    @property
    def watermark(self) -> Watermark | None:
        """The highest value of the incremental's field among the durable rows."""
        return self._high.value if self._high is not None else None

    def __call__(self) -> Manifest:
        """Read to the end."""
        rest = (self._folder, self._checkpoint, self._onlookers, self._schema_file)
        if self._children is None:
            return extract(self._collection, self._fetch, *rest)
        return extract_children(self._collection, self._children, self._below, *rest)

    def _below(self, path_params: Mapping[str, str]) -> Fetch:
        return dataclasses.replace(self._fetch, path_params=path_params)

    def _where_the_schema_is(self, ti: Any) -> SchemaFile | None:
        if self._task.schema is not None:
            return None
        uri = self._task.schema_path or schema_folder_uri(ti)
        return SchemaFile(open_folder(uri)) if uri else None

    def _whose_children(self) -> Children | None:
        task = self._task
        if task.parents is None:
            return None
        params, columns = dict(task.parent_params or {}), dict(task.parent_columns or {})
        return Children(
            given_parents(task.parents, params, columns), params, columns, task.parents_in_flight, task.missing_parent
        )
