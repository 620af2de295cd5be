"""Reads a collection behind the gateway into Parquet parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airgate.client.pages import Paginator
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.retry_policy import with_retry_policy

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airgate.data.manifest import Manifest
    from airgate.data.schema import SchemaSource


class GatewayExtractOperator(BaseOperator):
    """Reads every page of a collection; the result is the manifest of the data set.

    The records become Parquet parts under ``[airgate] data_root``. Those that do not fit the schema go to
    ``dead-letters-*.jsonl`` beside them, with the reason: received = written + dead-lettered, or the task fails. After
    each part the position is stored in the task state store, so that a task that dies goes on there.

    Args:
        path: Path below the gateway's address.
        paginator: How the collection is read page by page (``airgate.pagination``).
        schema: The records' JSON Schema: a mapping, or the path of a JSON file; an Arrow schema does as well.
        query: Query parameters beside those of the paginator.
        records: Dotted path of the list of records in an answer, such as ``result.items``; empty for a bare list.
        output_path: URI of the folder to write, instead of one for each task instance below the data root. Each run
            needs one of its own, such as ``s3://bucket/flights/{{ run_id }}``; mapped tasks add their index.
        part_rows: Rows after which a part is written and the position stored.
        max_pages: A read that needs more pages fails.
        gateway_conn_id: Connection of type ``gateway``.
    """

    template_fields: Sequence[str] = ("path", "query", "output_path", "gateway_conn_id")
    template_fields_renderers = {"query": "json"}
    ui_color = "#d5efe3"

    def __init__(
        self,
        *,
        path: str,
        paginator: Paginator,
        schema: SchemaSource,
        query: Mapping[str, Any] | None = None,
        records: str = "data",
        output_path: str | None = None,
        part_rows: int = 20_000,
        max_pages: int = 100_000,
        gateway_conn_id: str = GatewayHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.path = path
        self.paginator = paginator
        self.schema = schema
        self.query = query
        self.records = records
        self.output_path = output_path
        self.part_rows = part_rows
        self.max_pages = max_pages
        self.gateway_conn_id = gateway_conn_id
        if problem := self._problem():
            raise ValueError(f"task {self.task_id!r}: {problem}")

    def _problem(self) -> str | None:
        for name in ("part_rows", "max_pages"):
            if getattr(self, name) < 1:
                return f"{name} must be 1 or more, not {getattr(self, name)}"
        if isinstance(self.paginator, type) or not hasattr(self.paginator, "after"):
            return f"paginator must be a paginator such as CursorPages(), not {self.paginator!r}"
        if type(self.paginator).__repr__ is object.__repr__:
            # Its text decides whether a checkpoint belongs to this read, and must be the same in every process.
            name = type(self.paginator).__name__
            return f"the paginator {name} needs a repr that tells its settings; make it a dataclass"
        if isinstance(self.schema, (str, Path)) and not Path(self.schema).is_file():
            return f"schema: there is no file {self.schema}"
        query = self.query if isinstance(self.query, Mapping) else {}
        taken = set(query) & set(self.paginator.params(self.paginator.first()))
        return f"query: {', '.join(sorted(taken))} is the paginator's to set" if taken else None

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the collection and return its manifest."""
        # pyarrow takes a quarter of a second to import, which every parse of a DAG file would pay.
        from airgate.data.extract import Collection, extract
        from airgate.data.schema import arrow_schema
        from airgate.hooks.state import TaskStateCheckpoint
        from airgate.hooks.storage import open_folder
        from airgate.policy.idempotency import digest

        hook = GatewayHook(self.gateway_conn_id)
        query = dict(self.query or {})
        folder = open_folder(self._folder_uri(context["ti"]))
        collection = Collection(
            source=f"GET {self.path}",
            paginator=self.paginator,
            schema=arrow_schema(self.schema),
            records=self.records,
            part_rows=self.part_rows,
            max_pages=self.max_pages,
            salt=digest((self.gateway_conn_id, sorted(query.items()), folder.uri)),
        )
        manifest = extract(
            collection,
            lambda page: hook.call("GET", self.path, params={**query, **page.params}),
            folder,
            TaskStateCheckpoint(context["task_state_store"]),
        )
        self._report(manifest)
        return manifest.to_json()

    def _folder_uri(self, ti: Any) -> str:
        from airgate.hooks.storage import map_index_segment, task_folder_uri

        if not self.output_path:
            return task_folder_uri(ti)
        return "/".join([self.output_path.rstrip("/"), *map_index_segment(ti)])

    def _report(self, manifest: Manifest) -> None:
        calls = manifest.calls
        self.log.info(
            "received %d records in %d pages: %d written in %d parts, %d dead-lettered; %d requests, %d of them again "
            "after %.1f s of waiting; %s",
            *(manifest.received, calls.pages, manifest.written, len(manifest.parts), manifest.dead_lettered),
            *(calls.requests, calls.retries, calls.waited, manifest.path),
        )
        for file in manifest.dead_letters:
            self.log.warning("%d records do not fit the schema, see %s/%s", file.records, manifest.path, file.name)
