"""What Airflow and OpenLineage learn of the records that a task moved."""

from __future__ import annotations

import subprocess
import sys

import pytest
from airflow.sdk import Asset, BaseHook, BaseOperator, Connection
from airflow.sdk.lineage import HookLineageCollector

from airgate.data.store.manifest import File, Manifest
from airgate.hooks import lineage
from airgate.hooks.lineage import DataSet, Lineage, folder_of, openlineage_of, report_assets, route_of, table_of


def manifest(path: str) -> Manifest:
    files = [File(name=f"part-0000{n}.parquet", records=2, bytes=100 + n, sha256="0") for n in range(2)]
    return Manifest(path=path, schema={"id": "int64!", "name": "string"}, parts=files, received=4, written=4)


@pytest.mark.parametrize(
    ("path", "namespace", "name", "uri"),
    [
        ("file:///data/d/r/t", "file", "/data/d/r/t", "file:///data/d/r/t"),
        ("s3://aws_default@bucket/d/r/t", "s3://bucket", "d/r/t", "s3://bucket/d/r/t"),
        ("gs://bucket/d", "gs://bucket", "d", "gs://bucket/d"),
        ("abfs://conn@container/d/", "abfs://container", "d", "abfs://container/d/"),
    ],
)
def test_a_folder_is_named_by_its_place(path: str, namespace: str, name: str, uri: str) -> None:
    """The name is OpenLineage's for the storage, and the connection in the URI is no part of it."""
    found = folder_of(manifest(path))
    assert (found.namespace, found.name, found.uri) == (namespace, name, uri)
    assert (found.rows, found.bytes, found.files) == (4, 201, 2)


@pytest.mark.parametrize(
    ("base_url", "path", "namespace", "name"),
    [
        ("https://gw.test", "/orders", "https://gw.test", "/orders"),
        ("https://u:p@gw.test:8443/v1/", "orders/{id}?key=s", "https://gw.test:8443", "/v1/orders/{id}"),
    ],
)
def test_a_route_is_named_by_its_template(base_url: str, path: str, namespace: str, name: str) -> None:
    """Neither credentials nor a query get into lineage."""
    assert route_of(base_url, path) == DataSet(namespace, name, namespace + name)


@pytest.mark.parametrize(
    ("connection", "table", "namespace", "name"),
    [
        (Connection(conn_id="w", conn_type="duckdb", host="/w.duckdb"), "t", "duckdb:///w.duckdb", "main.t"),
        (Connection(conn_id="w", conn_type="sqlite", host="/w.db"), "x.t", "sqlite:///w.db", "x.t"),
        (
            Connection(conn_id="w", conn_type="postgres", host="pg", port=5432, schema="dw", login="u", password="p"),
            "t",
            "postgres://pg:5432",
            "dw.public.t",
        ),
        (
            Connection(conn_id="w", conn_type="postgresql", host="pg", schema="dw"),
            "s.t",
            "postgres://pg:5432",
            "dw.s.t",
        ),
        (Connection(conn_id="w", conn_type="mysql", host="db", schema="dw"), "t", "mysql://db", "dw.t"),
    ],
)
def test_a_table_is_named_by_its_database(connection: Connection, table: str, namespace: str, name: str) -> None:
    """Default schema and port are written out, so that one table has one name; login and password are left out."""
    found = table_of(connection, table, rows=3)
    assert (found.namespace, found.name, found.rows) == (namespace, name, 3)
    assert found.uri == f"{namespace}/{name.replace('.', '/')}"


def test_hook_lineage_gets_assets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders and tables become assets with their counts, for whatever reader is installed."""
    collector = HookLineageCollector()
    monkeypatch.setattr(lineage, "get_hook_lineage_collector", lambda: collector)
    table = table_of(Connection(conn_id="w", conn_type="duckdb", host="/w.duckdb"), "t", rows=4)
    report_assets(BaseHook(), inputs=[folder_of(manifest("s3://aws@bucket/x"))], outputs=[table])
    collected = collector.collected_assets
    [source], [target] = collected.inputs, collected.outputs
    assert (source.asset.uri, source.asset.extra) == ("s3://bucket/x", {"rows": 4, "bytes": 201, "files": 2})
    assert (target.asset.uri, target.asset.extra) == (Asset("duckdb:///w.duckdb/main/t").uri, {"rows": 4})


def test_openlineage_gets_schema_source_and_statistics() -> None:
    """What the provider takes from an operator, as JSON: columns with types, the data's address, what was written."""
    serde = pytest.importorskip("openlineage.client.serde", reason="needs apache-airflow-providers-openlineage")
    from airflow.providers.openlineage.extractors.base import DefaultExtractor

    class Reader(BaseOperator):
        def execute(self, context: object) -> None:
            source, target = route_of("https://gw.test/v1", "/orders"), folder_of(manifest("file:///data/orders"))
            self.lineage = Lineage((source,), (target,))

        def get_openlineage_facets_on_complete(self, task_instance: object) -> object:
            return openlineage_of(self.lineage)

    operator = Reader(task_id="read")
    operator.execute({})
    told = DefaultExtractor(operator).extract_on_complete(None)
    assert told is not None
    [before], [after] = ([serde.Serde.to_dict(one) for one in sets] for sets in (told.inputs, told.outputs))
    assert (before["namespace"], before["name"]) == ("https://gw.test", "/v1/orders")
    assert before["facets"]["dataSource"]["uri"] == "https://gw.test/v1/orders"
    assert "schema" not in before["facets"]
    assert (after["namespace"], after["name"]) == ("file", "/data/orders")
    columns = [(column["name"], column["type"]) for column in after["facets"]["schema"]["fields"]]
    assert columns == [("id", "int64!"), ("name", "string")]
    written = after["outputFacets"]["outputStatistics"]
    assert (written["rowCount"], written["size"], written["fileCount"]) == (4, 201, 2)


def test_without_openlineage_nothing_of_it_is_imported() -> None:
    """A worker that has the provider or not pays for it only when the provider asks."""
    script = "import sys, airgate.hooks.lineage; print([name for name in sys.modules if 'openlineage.client' in name])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
