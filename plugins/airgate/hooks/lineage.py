"""Where records came from and where they went, as Airflow and OpenLineage want to be told."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from airflow.sdk.lineage import get_hook_lineage_collector

if TYPE_CHECKING:
    from airflow.sdk import BaseHook, Connection
    from pydantic.types import JsonValue

    from airgate.data.store.dead_letters import DeadLetters
    from airgate.data.store.manifest import File, Manifest

log = logging.getLogger(__name__)

_DEFAULT_SCHEMAS = {"duckdb": "main", "postgres": "public", "sqlite": "main"}
_DEFAULT_PORTS = {"postgres": 5432}
_FILE_DATABASES = frozenset({"duckdb", "sqlite"})
_ALIASES = {"postgresql": "postgres"}


@dataclass(frozen=True, slots=True)
class DataSet:
    """What a task reads or writes: a route of a gateway, a folder of parts, a table."""

    namespace: str
    """As OpenLineage names the system: ``s3://bucket``, ``postgres://host:5432``, ``file``."""
    name: str
    """Within the system."""
    uri: str
    """Its address, without user, password and query."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Name -> type in text."""
    rows: int | None = None
    """That the task read or wrote."""
    bytes: int | None = None
    files: int | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """What came of what in one task; a few references, kept whether or not anybody asks."""

    inputs: tuple[DataSet, ...] = ()
    outputs: tuple[DataSet, ...] = ()


def route_of(base_url: str, path: str) -> DataSet:
    """A route behind a gateway.

    Args:
        base_url: The gateway's address.
        path: The route's template below it; a filled-in path would be a data set of its own for every order.
    """
    split = urlsplit(base_url)
    netloc = split.netloc.rpartition("@")[2]
    name = f"{split.path.rstrip('/')}/{path.partition('?')[0].lstrip('/')}"
    return DataSet(f"{split.scheme}://{netloc}", name, f"{split.scheme}://{netloc}{name}")


def folder_of(manifest: Manifest) -> DataSet:
    """A data set of Parquet parts, by the naming that OpenLineage has for files and object stores.

    The connection that a URI such as ``s3://aws_default@bucket/x`` names is left out: the same data stays the same
    data, whoever reads it.
    """
    return _files_of(manifest.path, manifest.parts, manifest.schema)


def letters_of(letters: DeadLetters) -> DataSet:
    """The dead letters of a data set, as a part of it: by the folder's name, without the columns."""
    return _files_of(letters.folder.uri, letters.files, {})


def _files_of(uri: str, files: Iterable[File], columns: Mapping[str, str]) -> DataSet:
    split, files = urlsplit(uri), list(files)
    netloc = split.netloc.rpartition("@")[2]
    local = split.scheme in {"", "file"}
    return DataSet(
        "file" if local else f"{split.scheme}://{netloc}",
        split.path if local else split.path.strip("/"),
        urlunsplit((split.scheme, netloc, split.path, "", "")),
        columns=columns,
        rows=sum(file.records for file in files),
        bytes=sum(file.bytes for file in files),
        files=len(files),
    )


def table_of(
    connection: Connection, table: str, *, rows: int | None = None, columns: Mapping[str, str] | None = None
) -> DataSet:
    """A table behind an Airflow connection.

    Args:
        connection: Of the warehouse.
        table: Name, optionally ``schema.name``.
        rows: That were loaded.
        columns: That were loaded.
    """
    kind, host = connection.conn_type or "", connection.host or ""
    kind = _ALIASES.get(kind, kind)
    *given, name = table.split(".")
    schema = given or [default for default in [_DEFAULT_SCHEMAS.get(kind)] if default]
    if kind in _FILE_DATABASES:
        namespace, database = f"{kind}://{host}", []
    else:
        port = connection.port or _DEFAULT_PORTS.get(kind)
        namespace = f"{kind}://{host}" + (f":{port}" if port else "")
        database = [connection.schema] if connection.schema else []
    parts = [*database, *schema, name]
    return DataSet(namespace, ".".join(parts), "/".join([namespace, *parts]), columns=columns or {}, rows=rows)


def report_assets(hook: BaseHook, *, inputs: Iterable[DataSet] = (), outputs: Iterable[DataSet] = ()) -> None:
    """Tell Airflow's hook lineage; a hook's calls report their routes themselves.

    Without a lineage reader Airflow's collector does nothing. What Airflow takes for no address of an asset is left out
    with a warning: the records are where they belong by now, and no task may fail for it.
    """
    collector = get_hook_lineage_collector()
    for add, data_sets in ((collector.add_input_asset, inputs), (collector.add_output_asset, outputs)):
        for one in data_sets:
            try:
                add(hook, uri=one.uri, asset_extra=_counts(one))
            except ValueError as error:
                log.warning("lineage lacks %s: %s", one.uri, error)


def _counts(one: DataSet) -> dict[str, JsonValue]:
    counts: dict[str, int | None] = {"rows": one.rows, "bytes": one.bytes, "files": one.files}
    return {name: value for name, value in counts.items() if value is not None}


def openlineage_of(lineage: Lineage) -> object:
    """The ``OperatorLineage`` for an operator's ``get_openlineage_facets_on_complete``.

    Only the OpenLineage provider calls that method, so its packages are there, and without it nothing is imported.
    Inputs and outputs carry a schema and a data source, outputs the statistics of what was written too.
    """
    # By name: the packages are installed where they are wanted, and no type checker may ask for them elsewhere.
    extractors = import_module("airflow.providers.openlineage.extractors")
    events, facet = import_module("openlineage.client.event_v2"), import_module("openlineage.client.facet_v2")

    def facets(one: DataSet) -> dict[str, object]:
        source = facet.datasource_dataset.DatasourceDatasetFacet(name=one.namespace, uri=one.uri)
        if not one.columns:
            return {"dataSource": source}
        column = facet.schema_dataset.SchemaDatasetFacetFields
        columns = [column(name=name, type=kind) for name, kind in one.columns.items()]
        return {"dataSource": source, "schema": facet.schema_dataset.SchemaDatasetFacet(fields=columns)}

    def statistics(one: DataSet) -> dict[str, object]:
        if one.rows is None:
            return {}
        kind = facet.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet
        return {"outputStatistics": kind(rowCount=one.rows, size=one.bytes, fileCount=one.files)}

    told: object = extractors.OperatorLineage(
        inputs=[events.InputDataset(one.namespace, one.name, facets=facets(one)) for one in lineage.inputs],
        outputs=[
            events.OutputDataset(one.namespace, one.name, facets=facets(one), outputFacets=statistics(one))
            for one in lineage.outputs
        ],
    )
    return told
