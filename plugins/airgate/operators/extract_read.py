"""One run of an extract task: its arguments turned into a read of records."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airgate.client.paging.links import LinkScope
from airgate.data.checkpoint import Checkpoint
from airgate.data.extract import Collection, extract
from airgate.data.read.children import Children, extract_children
from airgate.data.read.exports import Export, extract_export
from airgate.data.read.highwater import HighWater
from airgate.data.read.page_fetch import PageFetch
from airgate.data.read.pages import Fetch
from airgate.data.read.watermark import Watermark
from airgate.data.shape.batch import Onlooker
from airgate.data.shape.schema import arrow_schema
from airgate.data.shape.schemafile import SchemaFile
from airgate.data.store.layout import Layout
from airgate.data.store.manifest import Manifest
from airgate.hooks.call import Call
from airgate.hooks.state import TaskStateCheckpoint
from airgate.hooks.storage import map_index_segment, open_folder, schema_folder_uri, task_folder_uri
from airgate.operators.export_calls import ExportCalls
from airgate.operators.incremental import Window
from airgate.operators.long_read import PageCalls
from airgate.operators.openapi_schema import OpenApiSchema
from airgate.operators.parents import given_parents
from airgate.policy.idempotency import digest, json_digest

if TYPE_CHECKING:
    from airgate.hooks.gateway import GatewayHook
    from airgate.operators.extract import GatewayExtractOperator


class ExtractRead:
    """The read of a task; called again, it goes on from the checkpoint.

    Args:
        task: With its templates rendered.
        context: Airflow's.
        hook: Whose gateway.
        window: Of an incremental read.
        onlooker: Is told of pages and parts.
    """

    def __init__(
        self,
        task: GatewayExtractOperator,
        context: Any,
        hook: GatewayHook,
        window: Window | None,
        onlooker: Onlooker,
    ) -> None:
        ti = context["ti"]
        self._task = task
        self._hook = hook
        self._query = {**(task.query or {}), **(window.params if window else {})}
        self.calls: PageCalls | ExportCalls = PageCalls(hook) if task.export is None else self._export_calls()
        """What the service is asked with."""
        self._uri = (
            "/".join([task.output_path.rstrip("/"), *map_index_segment(ti)])
            if task.output_path
            else task_folder_uri(ti)
        )
        self._folder = open_folder(self._uri)
        self._schema_file = self._where_the_schema_is(ti)
        self._checkpoint: Checkpoint = TaskStateCheckpoint(
            context["task_state_store"], max_tries=ti.max_tries, restart_on_clear=task.restart_on_clear
        )
        self._onlookers: list[Onlooker] = [onlooker]
        if isinstance(self.calls, ExportCalls):
            self._onlookers.append(self.calls)
        self._high: HighWater | None = None
        if window is not None:
            incremental = window.incremental
            self._checkpoint = self._high = HighWater(
                incremental.field, self._checkpoint, since=window.since, as_text=incremental.text_order
            )
            self._onlookers.append(self._high)

    @property
    def watermark(self) -> Watermark | None:
        """The highest value of the incremental's field among the durable rows."""
        return self._high.value if self._high is not None else None

    def __call__(self) -> Manifest:
        """Read to the end."""
        rest = (self._folder, self._checkpoint, self._onlookers, self._schema_file)
        if isinstance(self.calls, ExportCalls):
            return extract_export(self._export, self.calls, *rest)
        if self._children is None:
            return extract(self._collection, self._fetch, *rest)
        return extract_children(self._collection, self._children, self._below, *rest)

    @cached_property
    def _schema(self) -> pa.Schema | None:
        task = self._task
        if isinstance(task.schema, OpenApiSchema):
            return task.schema.arrow(self._hook.document, task.records if task.export is None else None)
        return None if task.schema is None else arrow_schema(task.schema)

    @property
    def _salt(self) -> str:
        task = self._task
        asked = (sorted(self._query.items()), task.method, json_digest(task.json))
        return digest((task.gateway_conn_id, *asked, self._uri))

    @property
    def _layout(self) -> Layout:
        task = self._task
        return Layout(
            part_rows=task.part_rows,
            part_bytes=task.part_bytes,
            row_group_rows=task.row_group_rows,
            zstd_level=task.zstd_level,
            partition_by=tuple(task.partition_by),
        )

    @cached_property
    def _collection(self) -> Collection:
        task = self._task
        assert task.paginator is not None
        return Collection(
            source=task.source,
            paginator=task.paginator,
            schema=self._schema,
            records=task.records,
            max_pages=task.max_pages,
            salt=self._salt,
            evolution=task.evolution,
            layout=self._layout,
            redact_fields=tuple(task.redact_fields),
            max_records=task.max_records,
            in_flight=task.in_flight,
            prefetch=task.prefetch,
        )

    @cached_property
    def _export(self) -> Export:
        task = self._task
        assert task.export is not None
        return Export(
            source=task.source,
            schema=self._schema,
            file=task.export,
            max_records=task.max_records,
            salt=self._salt,
            evolution=task.evolution,
            layout=self._layout,
            redact_fields=tuple(task.redact_fields),
            backoff=self._hook.gateway.retry.backoff,
        )

    @cached_property
    def _fetch(self) -> PageFetch:
        task, gateway = self._task, self._hook.gateway
        assert isinstance(self.calls, PageCalls)
        links = LinkScope(gateway.base_url, gateway.auth.secrets)
        return PageFetch(
            *(self.calls, task.path, self._query, task.method), headers=task.headers or {}, json=task.json, links=links
        )

    def _below(self, path_params: Mapping[str, str]) -> Fetch:
        return dataclasses.replace(self._fetch, path_params=path_params)

    def _export_calls(self) -> ExportCalls:
        task = self._task
        # A read is no effect that a key would have to keep from happening twice.
        key = None if task.method == "GET" else False
        call = Call(
            *(task.method, task.path), params=self._query, json=task.json, headers=task.headers, idempotency_key=key
        )
        return ExportCalls(self._hook, call)

    def _where_the_schema_is(self, ti: Any) -> SchemaFile | None:
        if self._task.schema is not None:
            return None
        uri = self._task.schema_path or schema_folder_uri(ti)
        return SchemaFile(open_folder(uri)) if uri else None

    @cached_property
    def _children(self) -> Children | None:
        task = self._task
        if task.parents is None:
            return None
        params, columns = dict(task.parent_params or {}), dict(task.parent_columns or {})
        return Children(
            given_parents(task.parents, params, columns), params, columns, task.parents_in_flight, task.missing_parent
        )
