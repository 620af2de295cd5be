"""What Airflow's hook lineage and OpenLineage learn of tasks that load, merge and push."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from airflow.sdk import Asset
from airflow.sdk.lineage import HookLineageCollector

from airgate.data.frames.reading import write_frame
from airgate.data.loads.load import LoadRefused
from airgate.hooks import lineage, telemetry
from airgate.hooks.storage import open_folder
from airgate.operators import GatewayPushOperator, MergeManifestsOperator, TableLoadOperator
from tests.scripted_server import Answer, ScriptedServer


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> HookLineageCollector:
    """As Airflow has one where a lineage reader is installed."""
    collector = HookLineageCollector()
    for module in (lineage, telemetry):
        monkeypatch.setattr(module, "get_hook_lineage_collector", lambda: collector)
    return collector


def told_to_hooks(collector: HookLineageCollector) -> tuple[list[tuple], list[tuple]]:
    """Inputs and outputs, each with what stands beside it."""
    found = collector.collected_assets
    inputs, outputs = ([(one.asset.uri, one.asset.extra) for one in assets] for assets in (found.inputs, found.outputs))
    return inputs, outputs


def told_to_openlineage(operator: Any) -> tuple[list[dict], list[dict]]:
    """Inputs and outputs of the event that the provider sends when the task is done."""
    serde = pytest.importorskip("openlineage.client.serde", reason="needs apache-airflow-providers-openlineage")
    from airflow.providers.openlineage.extractors.base import DefaultExtractor

    told = DefaultExtractor(operator).extract_on_complete(None)
    assert told is not None
    inputs, outputs = ([serde.Serde.to_dict(one) for one in sets] for sets in (told.inputs, told.outputs))
    return inputs, outputs


def data_set(path: Path, *ids: int, **columns: list) -> dict[str, Any]:
    table = pa.table({"id": pa.array(ids, pa.int64()), **columns})
    return write_frame(table, open_folder(f"file://{path}")).to_json()


def size(*manifests: dict[str, Any]) -> int:
    return sum(part["bytes"] for manifest in manifests for part in manifest["parts"])


def columns(one: dict) -> dict[str, str]:
    return {column["name"]: column["type"] for column in one["facets"]["schema"]["fields"]}


def test_a_load_tells_folders_and_table(context, collector: HookLineageCollector, tmp_path: Path) -> None:
    """The table has the columns that came with a type, and the rows that were written, new ones and known ones."""
    one, two = data_set(tmp_path / "one", 1, 2, v=["a", "b"]), data_set(tmp_path / "two", 3, none=[None])
    TableLoadOperator(task_id="first", data=one, table="t", key=["id"]).execute(context)
    collector._inputs.clear()
    operator = TableLoadOperator(task_id="load", data=[one, two], table="t", key=["id"])
    context["ti"].task_id = "load"
    assert operator.execute(context)["updated"] == 2

    table = f"duckdb://{tmp_path}/w.duckdb/main/t"
    folders = [
        (f"file://{tmp_path}/{name}", {"rows": rows, "bytes": size(manifest), "files": 1})
        for name, manifest, rows in (("one", one, 2), ("two", two, 1))
    ]
    address = Asset(table).uri  # as Airflow writes it
    assert told_to_hooks(collector) == (folders, [(address, {"rows": 2}), (address, {"rows": 3})])

    inputs, [output] = told_to_openlineage(operator)
    assert [(told["namespace"], told["name"]) for told in inputs] == [
        ("file", f"{tmp_path}/one"),
        ("file", f"{tmp_path}/two"),
    ]
    assert columns(inputs[0]) == {"id": "int64", "v": "string"}
    assert (output["namespace"], output["name"]) == (f"duckdb://{tmp_path}/w.duckdb", "main.t")
    assert columns(output) == {"id": "int64", "v": "string"}
    assert output["facets"]["dataSource"]["uri"] == table
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 3


def test_a_repeated_load_tells_no_count(context, collector: HookLineageCollector, tmp_path: Path) -> None:
    """The rows are in by an earlier try: 0 would say that they are not, and their number that they are in twice."""
    data = data_set(tmp_path / "one", 1, 2)
    for _ in range(2):
        operator = TableLoadOperator(task_id="load", data=data, table="t")
        repeated = operator.execute(context)["repeated"]
    assert repeated
    _, outputs = told_to_hooks(collector)
    assert [extra for _, extra in outputs] == [{"rows": 2}, {}]
    _, [output] = told_to_openlineage(operator)
    assert columns(output) == {"id": "int64"}
    assert "outputStatistics" not in output.get("outputFacets", {})


def test_columns_that_may_be_left_out_are_not_told(context, tmp_path: Path) -> None:
    """A catalogue would believe that the table has them."""
    TableLoadOperator(task_id="first", data=data_set(tmp_path / "one", 1), table="t").execute(context)
    wide = data_set(tmp_path / "two", 2, more=["x"])
    operator = TableLoadOperator(task_id="load", data=wide, table="t", new_columns="ignore")
    context["ti"].task_id = "load"
    operator.execute(context)
    _, [output] = told_to_openlineage(operator)
    assert "schema" not in output["facets"]
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 1


def test_a_load_that_fails_tells_nothing(context, collector: HookLineageCollector, tmp_path: Path) -> None:
    """Nothing has come of it."""
    operator = TableLoadOperator(task_id="load", data=data_set(tmp_path / "one", 1, 1), table="t", key=["id"])
    with pytest.raises(LoadRefused):
        operator.execute(context)
    assert told_to_hooks(collector) == ([], [])
    assert told_to_openlineage(operator) == ([], [])


def test_no_address_that_airflow_refuses_fails_a_task(
    context, collector: HookLineageCollector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are in, and the other assets are told all the same."""

    def refuse(hook: object, *, uri: str, asset_extra: dict) -> None:
        raise ValueError("URI format must contain a database")

    monkeypatch.setattr(collector, "add_output_asset", refuse)
    TableLoadOperator(task_id="load", data=data_set(tmp_path / "one", 1), table="t").execute(context)
    inputs, outputs = told_to_hooks(collector)
    assert (len(inputs), outputs) == (1, [])


def test_a_merge_tells_parts_and_whole(context, collector: HookLineageCollector, tmp_path: Path) -> None:
    """Folders of the data sets as they came, and the one that they have in common."""
    one, two = data_set(tmp_path / "all/one", 1, 2), data_set(tmp_path / "all/two", 3)
    operator = MergeManifestsOperator(task_id="m", data=[one, None, two])
    operator.execute(context)
    inputs, outputs = told_to_hooks(collector)
    assert [(uri, extra["rows"]) for uri, extra in inputs] == [
        (f"file://{tmp_path}/all/one", 2),
        (f"file://{tmp_path}/all/two", 1),
    ]
    assert outputs == [(f"file://{tmp_path}/all", {"rows": 3, "bytes": size(one, two), "files": 2})]

    sources, [target] = told_to_openlineage(operator)
    assert [told["name"] for told in sources] == [f"{tmp_path}/all/one", f"{tmp_path}/all/two"]
    assert (target["namespace"], target["name"]) == ("file", f"{tmp_path}/all")
    assert columns(target) == {"id": "int64"}
    assert target["outputFacets"]["outputStatistics"]["rowCount"] == 3


def test_a_push_tells_folders_and_route(
    context, collector: HookLineageCollector, server: ScriptedServer, tmp_path: Path
) -> None:
    """Dead letters that are pushed again are an input as well; the route is named by its template, once."""
    server.answers = [Answer(body=b'[{"error": "bad"}, {}]'), Answer(body=b"[{}, {}]")]
    first = GatewayPushOperator(
        task_id="t", data=data_set(tmp_path / "one", 1, 2), path="/v1/items", item_error="error", batch_size=2
    )
    report = first.execute(context)
    assert report["dead_lettered"] == 1
    collector.__init__()
    context["ti"].task_id = "again"
    context["task_state_store"].delete("airgate.push")
    data = data_set(tmp_path / "two", 3)
    again = GatewayPushOperator(
        task_id="again", data=data, replay_dead_letters=report, path="/v1/{kind}", path_params={"kind": "items"}
    )
    assert again.execute(context)["pushed"] == 2

    route = f"http://127.0.0.1:{server.port}/v1/{{kind}}"
    letters = report["dead_letters"]
    inputs, outputs = told_to_hooks(collector)
    assert inputs == [
        (f"file://{tmp_path}/two", {"rows": 1, "bytes": size(data), "files": 1}),
        (letters["path"], {"rows": 1, "bytes": letters["dead_letters"][0]["bytes"], "files": 1}),
    ]
    assert [uri for uri, _ in outputs] == [route]
    sources, [target] = told_to_openlineage(again)
    assert [told["name"] for told in sources] == [f"{tmp_path}/two", letters["path"].removeprefix("file://")]
    assert target["namespace"] + target["name"] == route
    assert target["outputFacets"]["outputStatistics"]["rowCount"] == 2


def test_a_push_by_operation_tells_the_path(
    context, collector: HookLineageCollector, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operation's name is no address."""
    answers = {"200": {"description": "done"}}
    document = {
        "openapi": "3.1.0",
        "info": {"title": "contacts", "version": "1"},
        "paths": {
            "/contacts": {
                "post": {
                    "operationId": "addContacts",
                    "responses": answers,
                    "requestBody": {"content": {"application/json": {"schema": {"type": "array"}}}},
                }
            }
        },
    }
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    gateway = {"conn_type": "gateway", "schema": "http", "host": "127.0.0.1", "port": server.port}
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(gateway | {"extra": {"openapi": str(file)}}))
    server.answers = [Answer(body=b"{}")]
    operator = GatewayPushOperator(task_id="t", data=data_set(tmp_path / "one", 1), operation="addContacts")
    operator.execute(context)
    _, outputs = told_to_hooks(collector)
    assert [uri for uri, _ in outputs] == [f"http://127.0.0.1:{server.port}/contacts"]
    _, [target] = told_to_openlineage(operator)
    assert target["name"] == "/contacts"
