"""GatewayExtractOperator: reading what is new since the last time."""

from __future__ import annotations

import datetime as dt
import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from airgate.errors import Unavailable
from airgate.operators import GatewayExtractOperator, Incremental
from airgate.pagination import CursorPages
from tests.scripted_server import Answer, ScriptedServer
from tests.state_store import FileStore

ORDERS = Asset("orders", uri="x-test://orders")
SCHEMA = {
    "properties": {"id": {"type": "integer"}, "updated_at": {"type": ["string", "null"], "format": "date-time"}},
    "required": ["id"],
}
DAY = dt.datetime(2024, 1, 31, tzinfo=dt.UTC)


class Assets:
    """Airflow's asset state store: one store an asset, for the inlets and outlets of a task."""

    def __init__(self, path: Path, *assets: Asset) -> None:
        self._stores = {asset.name: FileStore(path / f"asset-{asset.name}.json") for asset in assets}

    def __getitem__(self, asset: Asset) -> FileStore:
        return self._stores[asset.name]


class Events(dict):
    """Airflow's outlet events: made when they are asked for."""

    def __missing__(self, asset: Asset) -> SimpleNamespace:
        keys: set[str] = set()
        self[asset] = SimpleNamespace(extra={}, keys=keys, add_partitions=keys.update)
        return self[asset]


@pytest.fixture
def run(context, tmp_path: Path):
    """The context of a run: task state of its own, asset state shared."""

    def start(run_id: str, **values: Any) -> dict[str, Any]:
        ti = SimpleNamespace(**{**vars(context["ti"]), "run_id": run_id, **values})
        return {
            "ti": ti,
            "task_state_store": FileStore(tmp_path / f"task-{run_id}-{ti.map_index}.json"),
            "asset_state_store": Assets(tmp_path, ORDERS),
            "outlet_events": Events(),
        }

    return start


def read(*, incremental: dict[str, Any] | None = None, rendered: dict[str, Any] | None = None, **arguments: Any):
    given = {"param": "since", "field": "updated_at", "asset": ORDERS, **(incremental or {})}
    values = {"task_id": "t", "path": "/orders", "paginator": CursorPages(limit=2), "schema": SCHEMA, **arguments}
    operator = GatewayExtractOperator(**values, incremental=Incremental(**given))
    operator.window = rendered or operator.window
    return operator


def page(*minutes: int | None, following: str | None = None) -> Answer:
    """Records that were changed so many minutes into the day."""
    records = [
        {"id": n, "updated_at": None if minute is None else (DAY + timedelta(minutes=minute)).isoformat()}
        for n, minute in enumerate(minutes)
    ]
    return Answer(body=json.dumps({"data": records, "next_cursor": following}).encode())


def sent(server: ScriptedServer, name: str = "since") -> list[str | None]:
    """The parameter of each request since the last look."""
    found = [seen.query.get(name, [None])[0] for seen in server.seen]
    server.seen.clear()
    return found


def test_each_run_reads_from_where_the_last_one_came_to(run, server: ScriptedServer) -> None:
    """The first one from initial; the watermark is the highest moment of all rows, not that of the last one."""
    server.answers = [page(5, 30, following="a"), page(None, 10), page(40), page(), page(50)]
    operator = read(incremental={"initial": DAY})
    manifest = operator.execute(run("r1"))
    assert manifest["watermark"]["value"] == "2024-01-31T00:30:00+00:00"
    assert sent(server) == ["2024-01-31T00:00:00Z"] * 2
    for number, since in ((2, "2024-01-31T00:30:00Z"), (3, "2024-01-31T00:40:00Z"), (4, "2024-01-31T00:40:00Z")):
        operator.execute(run(f"r{number}"))
        assert sent(server) == [since]


def test_without_initial_the_first_run_reads_everything(run, server: ScriptedServer) -> None:
    """No parameter, no bound."""
    server.answers = [page(5)]
    read().execute(run("r1"))
    assert sent(server) == [None]


def test_a_lookback_and_a_form_shape_the_parameter(run, server: ScriptedServer) -> None:
    """Late records are read again; a service that counts seconds gets seconds."""
    server.answers = [page(30), page()]
    operator = read(incremental={"lookback": timedelta(minutes=10), "format": "epoch", "initial": DAY})
    operator.execute(run("r1"))
    operator.execute(run("r2"))
    assert sent(server) == [str(int(DAY.timestamp())), str(int(DAY.timestamp()) + 20 * 60)]


def test_all_tries_of_a_run_read_the_same_window(run, server: ScriptedServer) -> None:
    """Another run moves the watermark meanwhile; the try after that goes on from its own checkpoint all the same."""
    server.answers = [page(10), page(20, following="a"), *[Answer(503)] * 3, page(90), page(25)]
    operator = read(incremental={"initial": DAY})
    operator.execute(run("r1"))
    with pytest.raises(Unavailable):
        operator.execute(run("r2"))
    operator.execute(run("r3"))
    sent(server)
    manifest = operator.execute(run("r2"))
    assert [seen.query.get("cursor") for seen in server.seen] == [["a"]]
    assert sent(server) == ["2024-01-31T00:10:00Z"]
    assert manifest["received"] == 2
    # And the watermark that the other run came to still stands.
    server.answers = [page()]
    operator.execute(run("r4"))
    assert sent(server) == ["2024-01-31T01:30:00Z"]


def test_a_cleared_run_reads_its_window_again(run, server: ScriptedServer) -> None:
    """To repeat a run is to read what it read, not what is new by now."""
    server.answers = [page(10), page(10, 12)]
    operator = read(incremental={"initial": DAY})
    operator.execute(run("r1"))
    manifest = operator.execute(run("r1", max_tries=5))
    assert sent(server) == ["2024-01-31T00:00:00Z"] * 2
    assert manifest["received"] == 2


def test_a_backfill_does_not_move_the_watermark_backwards(run, server: ScriptedServer) -> None:
    """Its window comes from templates, both ends; what it reads is older than the watermark, which stays."""
    server.answers = [page(60), page(5), page()]
    settings = {"since": "{{ x }}", "until": "{{ y }}", "until_param": "until"}
    read(incremental=settings, rendered={"since": "", "until": "None"}).execute(run("r1"))
    assert sent(server) == [None]
    window = {"since": "2024-01-31 00:00:00+00:00", "until": "2024-01-31 00:10:00+00:00"}
    read(incremental=settings, rendered=window).execute(run("backfill"))
    assert [(seen.query["since"], seen.query["until"]) for seen in server.seen] == [
        (["2024-01-31T00:00:00Z"], ["2024-01-31T00:10:00Z"])
    ]
    sent(server)
    read().execute(run("r3"))
    assert sent(server) == ["2024-01-31T01:00:00Z"]


def test_a_failed_run_moves_nothing(run, server: ScriptedServer) -> None:
    """The watermark moves when the manifest is durable, not before."""
    server.answers = [page(50, following="a"), *[Answer(503)] * 3, page()]
    operator = read(incremental={"initial": DAY})
    with pytest.raises(Unavailable):
        operator.execute(run("r1"))
    sent(server)
    operator.execute(run("r2"))
    assert sent(server) == ["2024-01-31T00:00:00Z"]


def test_a_watermark_that_airflow_lost_is_found_in_the_file(
    run, server: ScriptedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Airflow drops the row when no DAG references the asset; the read goes on where it was, with a warning."""
    server.answers = [page(30), page(5), page()]
    operator = read(incremental={"initial": DAY})
    operator.execute(run("r1"))
    # A backfill writes a lower one into neither place.
    read(rendered={"since": "2024-01-31", "until": None}).execute(run("backfill"))
    assert json.loads((tmp_path / "data/_watermarks/orders/watermark.json").read_text())["watermark"]["value"] == (
        "2024-01-31T00:30:00+00:00"
    )
    (tmp_path / "asset-orders.json").unlink()
    sent(server)
    operator.execute(run("r2"))
    assert sent(server) == ["2024-01-31T00:30:00Z"]
    assert "no watermark in Airflow's state store" in caplog.text


def test_without_store_and_file_the_last_manifest_knows(run, server: ScriptedServer, tmp_path: Path) -> None:
    """The XCom of an earlier run holds the watermark beside the manifest."""
    server.answers = [page(30), page()]
    operator = read(incremental={"initial": DAY})
    last = operator.execute(run("r1"))
    (tmp_path / "asset-orders.json").unlink()
    (tmp_path / "data/_watermarks/orders/watermark.json").unlink()
    sent(server)

    def pull(*, task_ids: str, map_indexes: int, include_prior_dates: bool) -> Any:
        return last if (task_ids, map_indexes, include_prior_dates) == ("t", -1, True) else None

    operator.execute(run("r2", xcom_pull=pull))
    assert sent(server) == ["2024-01-31T00:30:00Z"]


@pytest.mark.parametrize(("status", "known"), [(404, True), (500, False)])
def test_an_asset_that_airflow_does_not_know_is_no_outage(
    run, server: ScriptedServer, tmp_path: Path, status: int, known: bool
) -> None:
    """An unknown asset leaves the file; a store that cannot be reached fails the try rather than read all again."""

    class Refusing:
        def get(self, key: str, default: Any = None) -> Any:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": status}))

        def set(self, key: str, value: Any) -> None:
            self.get(key)

    server.answers = [page(30), page()]
    operator = read(incremental={"initial": DAY})
    contexts = [{**run(f"r{n}"), "asset_state_store": {ORDERS: Refusing()}} for n in range(2)]
    if not known:
        with pytest.raises(AirflowRuntimeError):
            operator.execute(contexts[0])
        assert server.seen == []
        return
    for one in contexts:
        operator.execute(one)
    assert sent(server) == ["2024-01-31T00:00:00Z", "2024-01-31T00:30:00Z"]


def test_an_expired_cursor_falls_back_to_the_watermark(run, server: ScriptedServer) -> None:
    """Not to the beginning of time: the read starts again from where its window begins, and nothing is doubled."""
    server.answers = [page(10), page(20, following="a"), *[Answer(503)] * 3, Answer(410), page(20, 25)]
    operator = read(incremental={"initial": DAY})
    operator.execute(run("r1"))
    with pytest.raises(Unavailable):
        operator.execute(run("r2"))
    sent(server)
    manifest = operator.execute(run("r2"))
    assert sent(server) == ["2024-01-31T00:10:00Z"] * 2
    assert manifest["received"] == manifest["written"] == 2


def test_mapped_tasks_have_a_watermark_for_each_share(run, server: ScriptedServer) -> None:
    """A share that is behind keeps its own, whatever its index is next time."""
    north, south = (read(query={"area": area}) for area in ("n", "s"))
    server.answers = [page(30), page(10), page(), page()]
    north.execute(run("r1", map_index=0))
    south.execute(run("r1", map_index=1))
    sent(server)
    south.execute(run("r2", map_index=0))
    north.execute(run("r2", map_index=1))
    assert sent(server) == ["2024-01-31T00:10:00Z", "2024-01-31T00:30:00Z"]


def test_the_asset_becomes_an_outlet_and_its_event_tells_what_came(run, server: ScriptedServer) -> None:
    """Rows, path and watermark; an asset that is an inlet already stays one."""
    server.answers = [page(30, None)]
    operator = read()
    assert operator.outlets == [ORDERS]
    assert read(inlets=[ORDERS]).outlets == []
    context = run("r1")
    manifest = operator.execute(context)
    assert context["outlet_events"][ORDERS].extra == {
        "path": manifest["path"],
        "rows": 2,
        "dead_lettered": 0,
        "watermark": "2024-01-31T00:30:00+00:00",
    }
    assert context["outlet_events"][ORDERS].keys == set()


def test_an_asset_out_of_reach_is_named_with_the_cure(run, server: ScriptedServer) -> None:
    """Airflow gives a task the state of its inlets and outlets only; a mapped task must name them itself."""
    context = {**run("r1"), "asset_state_store": {}}
    with pytest.raises(ValueError, match=r"asset orders is neither inlet nor outlet.*in partial\(\)"):
        read().execute(context)
    assert server.seen == []


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        ({"partition_key": "2024-01-31"}, {"2024-01-31"}),
        ({"partition_key": ["a", "b"]}, {"a", "b"}),
        ({"partition_outlets": True, "partition_by": ["id"]}, {"id=0", "id=1"}),
    ],
)
def test_partition_keys_are_added_on_request(
    run, server: ScriptedServer, arguments: dict[str, Any], keys: set[str]
) -> None:
    """From a template, or one for each folder that was written."""
    server.answers = [page(30, 20)]
    context = run("r1")
    read(**arguments).execute(context)
    assert context["outlet_events"][ORDERS].keys == keys


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        ({"param": ""}, {}, "param is missing"),
        ({"until": "{{ x }}"}, {}, "until and until_param go together"),
        ({"until": "{{ x }}", "until_param": "since"}, {}, "are both 'since'"),
        ({"lookback": timedelta(-1)}, {}, "lookback must not be negative"),
        ({"lookback": -1}, {}, "lookback must not be negative"),
        ({"lookback": 5, "initial": DAY}, {}, "does not go with the timestamp"),
        ({"format": "unix"}, {}, "format must be one of"),
        ({}, {"query": {"since": 1}}, "query: since is the incremental's to set"),
        ({"param": "limit"}, {}, "query: limit is the incremental's to set"),
    ],
)
def test_wrong_settings_are_refused_when_the_dag_is_parsed(
    settings: dict[str, Any], arguments: dict[str, Any], message: str
) -> None:
    """Each with what is wrong."""
    with pytest.raises(ValueError, match=message):
        read(incremental=settings, **arguments)
