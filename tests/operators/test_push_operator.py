"""GatewayPushOperator, against a service that counts the effects of every record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airgate.data.frames.reading import write_frame
from airgate.data.push.plan import TooManyDeadLetters
from airgate.errors import InvalidResponse, Unprocessable
from airgate.hooks.storage import open_folder
from tests.faults.push_service import PushService
from tests.operators.pushes import ITEMS, connection_to_it, counts, letters, operator, records, run, service_of_a_test  # noqa: F401, fixtures
from tests.scripted_server import Answer, ScriptedServer


def test_every_record_arrives_once(context, connected, service: PushService, tmp_path: Path) -> None:
    """Of one data set or several, in batches of the size that is asked for, whatever the parts are."""
    report = run(context, data=[records(tmp_path / "a", 25), records(tmp_path / "b", 7)])
    assert counts(report) == (32, 32, 0)
    assert report["calls"] == service.requests == 8
    assert sorted(service.effects) == sorted(map(str, range(25)))
    assert sum(service.effects.values()) == 32
    assert len(service.answers) == 8  # a key for each batch


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("list", [{"id": 0, "bad": False}, {"id": 1, "bad": False}]),
        ("items", {"items": [{"id": 0, "bad": False}, {"id": 1, "bad": False}]}),
        ("data.items", {"data": {"items": [{"id": 0, "bad": False}, {"id": 1, "bad": False}]}}),
        (lambda some: {"count": len(some), "ids": [one["id"] for one in some]}, {"count": 2, "ids": [0, 1]}),
    ],
)
def test_a_batch_becomes_the_body_that_is_asked_for(
    context, connected, server: ScriptedServer, tmp_path: Path, body: Any, expected: Any
) -> None:
    """A bare list, a list within an object, or whatever a function makes of it."""
    connected(server.port)
    run(context, data=records(tmp_path, 2), body=body)
    assert [json.loads(seen.body) for seen in server.seen] == [expected]


def test_one_record_in_a_request_fills_the_path(context, connected, service: PushService, tmp_path: Path) -> None:
    """As updates by id need it; what path_params has is not taken from the record."""
    data = records(tmp_path, 3)
    run(context, data=data, method="PUT", path="/records/{id}", body="record", batch_size=None)
    assert dict(service.effects) == {"0": 1, "1": 1, "2": 1}
    assert service.sizes == [1, 1, 1]
    context["ti"].run_id = "another"
    context["task_state_store"].delete("airgate.push")
    with pytest.raises(ValueError, match=r"path '/records/\{name\}' needs name, and a record has no value for it"):
        run(context, data=data, method="PUT", path="/records/{name}", body="record", batch_size=None)


def test_values_travel_as_json_has_them(context, connected, server: ScriptedServer, tmp_path: Path) -> None:
    """Times as RFC 3339, dates, decimals as text; only the columns that are named."""
    connected(server.port)
    table = pa.table(
        {
            "at": pa.array([0], pa.timestamp("us", "UTC")),
            "day": pa.array([1], pa.date32()),
            "price": pa.array(["1.50"]).cast(pa.decimal128(5, 2)),
            "more": [{"a": [1, None]}],
            "secret": ["x"],
        }
    )
    data = write_frame(table, open_folder(f"file://{tmp_path}/typed")).to_json()
    run(context, data=data, columns=["at", "day", "price", "more"])
    expected = {"at": "1970-01-01T00:00:00Z", "day": "1970-01-02", "price": "1.50", "more": {"a": [1, None]}}
    assert json.loads(server.seen[0].body) == [expected]


def test_several_are_in_flight_unless_order_counts(context, connected, service: PushService, tmp_path: Path) -> None:
    """One after the other, records arrive in the order of the data set."""
    run(context, data=records(tmp_path, 40), path="/strict?pause=0.02", in_flight=3)
    assert service.at_once == 3
    service.order.clear()
    service.at_once = 0
    context["ti"].run_id = "another"
    context["task_state_store"].delete("airgate.push")
    run(context, data=records(tmp_path, 40), in_flight=3, ordered=True)
    assert service.at_once == 1
    assert service.order == list(map(str, range(40)))


def test_items_that_are_refused_become_dead_letters(context, connected, service: PushService, tmp_path: Path) -> None:
    """With batch, place and the service's own words; the other records of the batch are accepted."""
    report = run(context, data=records(tmp_path, 10, bad=(1, 2, 9)), **ITEMS)
    assert counts(report) == (10, 7, 3)
    assert sorted(service.effects) == ["0", "3", "4", "5", "6", "7", "8"]
    found = letters(report)
    assert [(letter.page, letter.index, letter.position["row"]) for letter in found] == [
        (0, 1, 0),
        (0, 2, 0),
        (2, 1, 8),
    ]
    assert (found[0].reason, found[0].record) == ("status 422: it is bad", '{"id":1,"bad":true}')


@pytest.mark.parametrize(
    ("refused", "expected", "requests"), [("bisect", (10, 9, 1), 3 + 4), ("dead_letter", (10, 6, 4), 3)]
)
def test_a_batch_that_is_refused_as_a_whole(
    context,
    connected,
    service: PushService,
    tmp_path: Path,
    refused: str,
    expected: tuple[int, int, int],
    requests: int,
) -> None:
    """Halved until what is wrong stands alone, each half with a key of its own, or dead-lettered."""
    report = run(context, data=records(tmp_path, 10, bad=(5,)), refused=refused)
    assert counts(report) == expected
    assert report["calls"] == service.requests == len(service.answers) == requests
    assert max(service.effects.values()) == 1
    assert all("the service refused it, answered 422" in letter.reason for letter in letters(report))
    assert "is bad" in letters(report)[0].reason


def test_a_refusal_fails_the_task_when_asked(context, connected, tmp_path: Path) -> None:
    """With the service's words."""
    with pytest.raises(Unprocessable, match="record 1 is bad"):
        run(context, data=records(tmp_path, 10, bad=(5,)), refused="fail")


def test_too_many_dead_letters_fail_the_task(context, connected, service: PushService, tmp_path: Path) -> None:
    """A service that refuses everything is not asked for everything; also not by the next try."""
    data = records(tmp_path, 100, bad=tuple(range(100)))
    for _ in range(2):
        with pytest.raises(TooManyDeadLetters, match="8 of 8 records were refused, more than max_dead_letters=5"):
            run(context, data=data, max_dead_letters=5, in_flight=1, batch_size=1, **ITEMS)
        assert service.requests == 8


def test_dead_letters_are_pushed_again(context, connected, service: PushService, tmp_path: Path) -> None:
    """From the report, its manifest or the folder; what is refused again is a dead letter again."""
    first = run(context, data=records(tmp_path, 10, bad=(1, 2)), **ITEMS)
    service.answers.clear()
    for number, source in enumerate([first, first["dead_letters"], first["dead_letters"]["path"]]):
        context["ti"].task_id = f"again{number}"
        context["task_state_store"].delete("airgate.push")
        # What mends a record stands in the function of the batch.
        mended = run(
            context,
            replay_dead_letters=source,
            **ITEMS | {"body": lambda some: {"items": [{**one, "bad": one["id"] == 2} for one in some]}},
        )
        assert counts(mended) == (2, 1, 1)
        assert [json.loads(letter.record)["id"] for letter in letters(mended)] == [2]
        assert service.effects["1"] == number + 1
    context["ti"].task_id = "t"
    with pytest.raises(ValueError, match="holds the dead letters to push and would take new ones"):
        run(context, replay_dead_letters=first, **ITEMS)


def test_what_is_no_record_is_not_lost(context, connected, service: PushService, tmp_path: Path) -> None:
    """A dead letter that was masked as a whole, or is no JSON, is a dead letter again."""
    folder = open_folder(f"file://{tmp_path}/letters")
    lines = [
        {"record": record, "reason": "", "page": 0, "position": {}, "index": 0} for record in ('{"id":7}', '"***"')
    ]
    folder.write("dead-letters-00000.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    report = run(context, replay_dead_letters=folder.uri)
    assert counts(report) == (2, 1, 1)
    assert "it is no JSON object" in letters(report)[0].reason
    assert dict(service.effects) == {"7": 1}


@pytest.mark.parametrize(
    ("body", "options", "message"),
    [
        (b'{"items": []}', {}, "tells of 0 items and 4 records were sent"),
        (b'{"item": []}', {}, "item_results 'items' gives NoneType, not a list"),
        (
            b'{"items": [{"status": 422, "at": 4}]}',
            {"item_index": "at"},
            "item_index 'at' gives 4, not a place among 4",
        ),
    ],
)
def test_an_answer_that_does_not_tell_is_an_error(
    context, connected, server: ScriptedServer, tmp_path: Path, body: bytes, options: dict[str, Any], message: str
) -> None:
    """Nobody knows which records were accepted, so none is counted."""
    connected(server.port)
    server.answers = [Answer(207, body)]
    with pytest.raises(InvalidResponse, match=message):
        run(context, data=records(tmp_path, 4), **ITEMS, **options)


def test_fields_are_masked_in_dead_letters(context, connected, tmp_path: Path) -> None:
    """A refused record is written without what must not be kept."""
    report = run(context, data=records(tmp_path, 2, bad=(1,)), redact_fields=["id"], **ITEMS)
    assert letters(report)[0].record == '{"id":"***","bad":true}'


def test_where_the_records_went_is_told(context, connected, service: PushService, tmp_path: Path) -> None:
    """The data sets as inputs and the route as output; what the calls cost is an XCom of its own."""
    told: dict[str, Any] = {}
    context["ti"].xcom_push = lambda key, value: told.update({key: value})
    task = operator(data=records(tmp_path, 8), path="/strict")
    task.execute(context)
    assert [one.rows for one in task._lineage.inputs] == [8]
    assert [one.uri for one in task._lineage.outputs] == [f"http://127.0.0.1:{service.port}/strict"]
    assert told["airgate_calls"]["attempts"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": None}, "there is nothing to push"),
        ({"batch_size": 0}, "batch_size must be 1 or more"),
        ({"in_flight": 0}, "in_flight must be 1 or more"),
        ({"max_dead_letters": -1}, "max_dead_letters must be 0 or more"),
        ({"refused": "skip"}, "refused must be bisect, dead_letter or fail"),
        ({"body": "record"}, "body='record' sends one record in a request; leave batch_size out"),
        ({"body": "a..b"}, "body must be list, record, a dotted path or a function"),
        ({"method": "GET"}, "a push is no GET"),
        ({"path": ""}, "path is missing"),
        ({"operation": "x"}, "operation stands for method and path"),
        ({"long_wait": "sleep"}, "long_wait must be one of"),
        ({"idempotency_key": "k"}, "idempotency_key must be True, False or None"),
        ({"item_status": "a["}, "item_status: 'a\\[' is not a JMESPath expression"),
    ],
)
def test_wrong_arguments_are_refused_when_the_dag_is_parsed(arguments: dict[str, Any], message: str) -> None:
    """The error names task and argument."""
    with pytest.raises(ValueError, match=f"task 't': {message}"):
        operator(**{"data": {}, **arguments})
