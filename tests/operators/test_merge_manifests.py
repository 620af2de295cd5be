"""MergeManifestsOperator, over mapped extracts."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset

from airgate.operators import GatewayExtractOperator, MergeManifestsOperator
from airgate.pagination import SinglePage
from tests.scripted_server import Answer, ScriptedServer
from tests.state_store import FileStore

SCHEMA = {"properties": {"id": {"type": "integer"}}, "required": ["id"]}


def shares(context: dict[str, Any], server: ScriptedServer, tmp_path: Any, *shares: list[int]) -> list[dict[str, Any]]:
    """What mapped tasks return, a share each."""
    server.answers = [Answer(body=json.dumps({"data": [{"id": n} for n in share]}).encode()) for share in shares]
    manifests = []
    for index in range(len(shares)):
        ti = SimpleNamespace(**{**vars(context["ti"]), "map_index": index})
        operator = GatewayExtractOperator(task_id="t", path="/n", paginator=SinglePage(), schema=SCHEMA)
        store = FileStore(tmp_path / f"{index}.json")
        manifests.append(operator.execute({"ti": ti, "task_state_store": store}))
    return manifests


def test_mapped_extracts_become_one_data_set(context, server: ScriptedServer, tmp_path) -> None:
    """The manifest is JSON, its parts those of the mapped tasks, and the outlet's event tells of all of it."""
    asset = Asset("all")
    manifests = shares(context, server, tmp_path, [1, 2], [], [3])
    event = SimpleNamespace(extra={})
    operator = MergeManifestsOperator(task_id="m", data=[*manifests, None], key=["id"], outlets=[asset])
    merged = operator.execute({**context, "outlet_events": {asset: event}})
    assert json.loads(json.dumps(merged)) == merged
    assert [part["name"] for part in merged["parts"]] == ["0/part-00000.parquet", "2/part-00000.parquet"]
    assert (merged["written"], event.extra["rows"]) == (3, 3)
    assert merged["path"] == f"file://{tmp_path}/data/d/r/t"


def test_what_is_no_manifest_is_refused(context) -> None:
    """Such as the result of another operator."""
    with pytest.raises(ValueError, match="expected the manifest"):
        MergeManifestsOperator(task_id="m", data=[{"rows": 1}]).execute(context)


@pytest.mark.parametrize("key", ["id", []])
def test_a_wrong_key_is_refused_when_the_dag_is_parsed(key: Any) -> None:
    """A text would be read as a list of letters."""
    with pytest.raises(ValueError, match="task 'm': key must be a list of column names"):
        MergeManifestsOperator(task_id="m", data=[], key=key)
