"""Signed webhooks over HTTP, in a real api-server: what a delivery makes, and what makes nothing."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.ingress.conftest import Ingress, serving
from tests.ingress.webhook_sender import FOREIGN, NEW, OLD, github, plain, standard

pytestmark = pytest.mark.integration
BOOK = {"item": "book"}
ASSET = "orders_told"
PLAIN = {"scheme": "plain", "signature_header": "X-Sig", "timestamp_header": "X-Time", "encoding": "base64"}
WEBHOOKS: dict[str, dict[str, Any]] = {
    "shop": {"scheme": "standard", "dag": "orders"},
    "pub": {"scheme": "standard", "dag": "orders"},
    "told": {"scheme": "standard", "asset": ASSET, "largest": 1048576},
    "owned": {"scheme": "standard", "asset": ASSET, "source": "/owned"},
    "code": {"scheme": "github", "asset": ASSET},
    "release": {"scheme": "github", "dag": "anything", "params": "event", "id": "#/release/id"},
    "bank": {**PLAIN, "asset": ASSET, "type": "booked"},
    "slow": {"scheme": "standard", "dag": "anything", "rate": "2/h"},
    "quick": {"scheme": "standard", "asset": ASSET, "tolerance": 2},
    "closed": {"scheme": "standard", "dag": "closed"},
    "nowhere": {"scheme": "standard", "asset": "nobody has it"},
}


@pytest.fixture(scope="module")
def ingress(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingress]:
    """One that takes them in."""
    settings = {
        "AIRFLOW__AIRGATE__INGRESS_WEBHOOKS": json.dumps(WEBHOOKS),
        "AIRFLOW__AIRGATE__INGRESS_WEBHOOK_SECRETS": json.dumps({name: [NEW, OLD] for name in WEBHOOKS}),
    }
    with serving(tmp_path_factory.mktemp("webhooks"), **settings) as running:
        yield running


def send(ingress: Ingress, name: str, sent: dict[str, Any]) -> requests.Response:
    """Deliver."""
    return ingress.ask("POST", f"/webhooks/{name}", who=None, **sent)


def told(ingress: Ingress) -> list[Any]:
    """The asset's events."""
    return list(ingress.do("asset_events", ASSET))


def made(ingress: Ingress) -> tuple[int, ...]:
    """How much there is of everything that a delivery may make."""
    return (*(ingress.do("count", dag_id) for dag_id in ("orders", "anything", "closed")), len(told(ingress)))


def test_a_delivery_makes_a_run_once(ingress: Ingress) -> None:
    before = ingress.do("count", "orders")
    first = send(ingress, "shop", standard(BOOK, "msg_1"))
    assert first.status_code == 202
    assert first.json()["delivery"] == "msg_1"
    assert "idempotent-replayed" not in first.headers
    again = send(ingress, "shop", standard(BOOK, "msg_1", secret=OLD, age=30))
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    assert again.json() == first.json()
    assert ingress.do("count", "orders") == before + 1
    kept = ingress.do("run", "orders", first.json()["run_id"])
    assert kept["triggering_user_name"] == "shop (webhook)"
    assert kept["conf"] == {"item": "book", "airgate": kept["conf"]["airgate"]}
    assert (kept["conf"]["airgate"]["issuer"], kept["conf"]["airgate"]["subject"]) == ("webhook", "shop")


def test_an_id_stands_for_one_body_of_one_sender(ingress: Ingress) -> None:
    run_id = send(ingress, "shop", standard(BOOK, "msg_2")).json()["run_id"]
    assert send(ingress, "pub", standard(BOOK, "msg_2")).json()["run_id"] != run_id
    before = made(ingress)
    other = send(ingress, "shop", standard({"item": "pen"}, "msg_2"))
    assert other.status_code == 422
    assert other.json()["errors"] == [
        {"detail": "Another delivery came under this id: send the same one, or another id."}
    ]
    assert made(ingress) == before


def test_params_of_a_delivery_are_checked(ingress: Ingress) -> None:
    before = made(ingress)
    answer = send(ingress, "shop", standard({"item": "cup", "itme": 1}))
    assert {fault["pointer"] for fault in answer.json()["errors"]} == {"#/item", "#/itme"}
    assert answer.status_code == 422
    assert made(ingress) == before


def test_a_run_may_be_given_the_event(ingress: Ingress) -> None:
    """The id comes from the signed body, so that the same delivery under another header makes no second run."""
    body = {"release": {"id": 77}}
    run_id = send(ingress, "release", github(body, "guid-1", "release")).json()["run_id"]
    assert send(ingress, "release", github(body, "guid-2", "release")).json()["run_id"] == run_id
    event = ingress.do("run", "anything", run_id)["conf"]["event"]
    assert {name: event[name] for name in ("specversion", "source", "id", "type", "data")} == {
        "specversion": "1.0",
        "source": "/webhooks/release",
        "id": "77",
        "type": "release",
        "data": body,
    }


def test_a_delivery_is_an_event_of_an_asset_and_wakes_its_dags(ingress: Ingress) -> None:
    ingress.do("pause", "reacting", False)
    before = told(ingress)
    body = {"type": "order.placed", "data": {"id": 7, "name": "Zoë"}}
    sent = standard(body, "msg_3")
    answer = send(ingress, "told", sent)
    assert (answer.status_code, answer.json()) == (
        202,
        {"delivery": "msg_3", "event": {"source": "/webhooks/told", "id": "msg_3"}},
    )
    assert "idempotent-replayed" not in answer.headers
    [kept] = told(ingress)[len(before) :]
    event = {"specversion": "1.0", "id": "msg_3", "source": "/webhooks/told", "type": "order.placed"}
    whole = {**event, "datacontenttype": "application/json", "data": body}
    assert kept == {"from_webhook": "told", "payload": {"airgate": 1, "events": [whole]}}
    assert ingress.do("queued", "reacting") == 1
    again = send(ingress, "told", sent)
    assert (again.status_code, again.json(), again.headers["idempotent-replayed"]) == (202, answer.json(), "true")
    assert len(told(ingress)) == len(before) + 1
    assert send(ingress, "told", standard({"type": "other"}, "msg_3")).status_code == 422


def test_an_event_is_kept_while_its_dag_is_paused(ingress: Ingress) -> None:
    ingress.do("pause", "reacting", True)
    before = len(told(ingress))
    assert send(ingress, "told", standard({"n": 1})).status_code == 202
    assert len(told(ingress)) == before + 1


def test_other_senders_sign_otherwise(ingress: Ingress) -> None:
    before = len(told(ingress))
    assert send(ingress, "code", github({"ref": "main"}, "guid-3")).status_code == 202
    assert send(ingress, "bank", plain({"amount": 1})).status_code == 202
    code, bank = (entry["payload"]["events"][0] for entry in told(ingress)[before:])
    assert (code["source"], code["id"], code["type"]) == ("/webhooks/code", "guid-3", "push")
    assert (bank["type"], len(bank["id"]), bank["data"]) == ("booked", 64, {"amount": 1})


def test_a_cloud_event_is_taken_as_it_is(ingress: Ingress) -> None:
    event = {"specversion": "1.0", "id": "e1", "source": "/owned", "type": "placed", "tenant": "a", "data": {"n": 1}}
    before = len(told(ingress))
    sent = standard(event)
    sent["headers"]["Content-Type"] = "application/cloudevents+json"
    assert send(ingress, "owned", sent).json()["event"] == {"source": "/owned", "id": "e1"}
    [kept] = told(ingress)[before:]
    assert kept["payload"]["events"] == [{**event, "datacontenttype": "application/json"}]


@pytest.mark.parametrize(
    "event",
    [
        {"specversion": "1.0", "id": "e1", "source": "/payments", "type": "placed"},
        {"specversion": "1.0", "id": "e1", "source": "/owned"},
        {"specversion": "0.3", "id": "e1", "source": "/owned", "type": "placed"},
        {"n": "\x00"},
        {"n": "\ud800"},
        {"n": 2**80},
    ],
    ids=["speaks for another", "no type", "another version", "NUL", "half a character", "too large a number"],
)
def test_what_is_no_event_of_the_sender_is_not_registered(ingress: Ingress, event: dict[str, Any]) -> None:
    before = made(ingress)
    answer = send(ingress, "owned", standard(event))
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["errors"][0]["detail"]
    assert made(ingress) == before


def without(name: str) -> dict[str, Any]:
    """A delivery that lacks a header."""
    sent = standard(BOOK)
    del sent["headers"][name]
    return sent


FORGED = {
    "foreign secret": standard(BOOK, secret=FOREIGN),
    "other body": {**standard(BOOK), "data": b'{"item":"pen"}'},
    "no signature": without("webhook-signature"),
    "no id": without("webhook-id"),
    "no time": without("webhook-timestamp"),
    "another scheme": github(BOOK, "guid"),
    "nothing at all": {"data": b"", "headers": {}},
    "encoded": {**standard(BOOK, secret=FOREIGN), "data": b"\x1f\x8b"},
}


@pytest.mark.parametrize("name", ["shop", "told", "nobody", "%2e%2e", "a%00b"])
@pytest.mark.parametrize("forged", list(FORGED))
def test_what_is_not_signed_starts_nothing_and_is_told_no_name(ingress: Ingress, forged: str, name: str) -> None:
    before = made(ingress)
    answer = send(ingress, name, FORGED[forged])
    assert answer.status_code == 401
    assert answer.json()["detail"] == "The delivery is not signed as it must be."
    assert made(ingress) == before


def test_the_signature_of_one_webhook_does_not_open_a_name_that_is_none(ingress: Ingress) -> None:
    answer = send(ingress, "nobody", standard(BOOK))
    assert (answer.status_code, answer.json()["detail"]) == (401, "The delivery is not signed as it must be.")


def test_a_token_of_a_principal_is_no_signature(ingress: Ingress) -> None:
    before = made(ingress)
    headers = {"X-Forwarded-User": "ada", "Airgate-Identity": "ada", "X-Webhook": "shop"}
    answer = ingress.ask("POST", "/webhooks/shop", who="ada:admin", json=BOOK, headers=headers)
    assert answer.status_code == 401
    assert made(ingress) == before


@pytest.mark.parametrize(("age", "said"), [(400, "seconds old"), (-400, "seconds early")])
@pytest.mark.parametrize("name", ["shop", "told", "bank"])
def test_a_replay_outside_the_window_starts_nothing(ingress: Ingress, name: str, age: int, said: str) -> None:
    before = made(ingress)
    answer = send(ingress, name, plain(BOOK, age=age) if name == "bank" else standard(BOOK, age=age))
    assert answer.status_code == 401
    assert said in answer.json()["detail"]
    assert "300 are allowed" in answer.json()["detail"]
    assert made(ingress) == before


def test_a_delivery_that_was_taken_is_refused_when_its_time_is_over(ingress: Ingress) -> None:
    before, sent, ends = len(told(ingress)), standard({"n": 1}), time.monotonic() + 30
    statuses = [send(ingress, "quick", sent).status_code]
    while statuses[-1] != 401:
        assert time.monotonic() < ends
        time.sleep(0.2)
        statuses.append(send(ingress, "quick", sent).status_code)
    assert statuses[:-1] == [202] * (len(statuses) - 1)
    assert len(told(ingress)) == before + 1


def test_two_signatures_of_one_name_are_none(ingress: Ingress) -> None:
    """Of two headers with ids nobody can say which one the sender meant."""
    before, sent = made(ingress), standard(BOOK)
    connection = http.client.HTTPConnection(ingress.address.removeprefix("http://"), timeout=30)
    connection.putrequest("POST", "/airgate/v1/webhooks/shop")
    for name, value in [*sent["headers"].items(), ("webhook-id", "msg_other"), ("Content-Length", len(sent["data"]))]:
        connection.putheader(name, str(value))
    connection.endheaders(sent["data"])
    assert connection.getresponse().status == 401
    connection.close()
    assert made(ingress) == before


@pytest.mark.parametrize(
    ("name", "size", "status"),
    [("shop", 64 * 1024 + 1, 413), ("shop", 1048577, 413), ("nobody", 64 * 1024 + 1, 401), ("nobody", 1048577, 413)],
)
def test_a_delivery_may_not_be_too_large(ingress: Ingress, name: str, size: int, status: int) -> None:
    """Of a name that is none no more is told: as much is read as of the one that may send the most."""
    before = made(ingress)
    assert send(ingress, name, standard(b'{"item":"book"}' + b" " * (size - 15))).status_code == status
    assert made(ingress) == before


def test_a_webhook_may_be_allowed_more(ingress: Ingress) -> None:
    body = {"text": "x" * 1_000_000}
    before = len(told(ingress))
    assert send(ingress, "told", standard(body)).status_code == 202
    assert told(ingress)[before]["payload"]["events"][0]["data"] == body


def test_an_event_that_is_too_large_for_airflow_is_refused(ingress: Ingress) -> None:
    """A body below the limit whose event is above it: what it says is stored with escapes."""
    before = made(ingress)
    answer = send(ingress, "told", standard(json.dumps({"text": "é" * 300_000}, ensure_ascii=False).encode()))
    assert answer.status_code == 422
    assert "an event may have 1048576" in answer.json()["errors"][0]["detail"]
    assert made(ingress) == before


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"[]", {}, 400),
        (b"", {}, 400),
        (b"{", {}, 400),
        (b'{"a": 1, "a": 2}', {}, 400),
        (b'{"a": NaN}', {}, 400),
        (b"payload=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b"{}", {"Content-Encoding": "gzip"}, 415),
    ],
)
def test_a_signed_body_that_is_no_object_starts_nothing(
    ingress: Ingress, body: bytes, headers: dict[str, str], status: int
) -> None:
    before = made(ingress)
    sent = standard(body)
    sent["headers"].update(headers)
    assert send(ingress, "told", sent).status_code == status
    assert made(ingress) == before


def test_only_who_has_the_secret_uses_up_the_rate(ingress: Ingress) -> None:
    for _ in range(5):
        assert send(ingress, "slow", standard({}, secret=FOREIGN)).status_code == 401
    assert [send(ingress, "slow", standard({})).status_code for _ in range(3)] == [202, 202, 429]
    assert int(send(ingress, "slow", standard({})).headers["retry-after"]) > 60


@pytest.mark.parametrize(
    ("name", "logged"),
    [
        ("closed", "webhook closed: DAG closed is not there, or has no tag airgate:ingress"),
        ("nowhere", "webhook nowhere: no DAG that Airflow knows has an asset named nobody has it"),
    ],
)
def test_a_target_that_is_not_there_is_named_in_the_log(ingress: Ingress, name: str, logged: str) -> None:
    before = made(ingress)
    answer = send(ingress, name, standard({"n": 1}))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert "closed" not in answer.text
    assert made(ingress) == before
    assert logged in (ingress.home / "log").read_text()


def test_an_asset_that_no_dag_has_any_more_takes_nothing(ingress: Ingress) -> None:
    before = made(ingress)
    ingress.do("activate", ASSET, False)
    sent = standard({"n": 2})
    assert send(ingress, "told", sent).status_code == 503
    assert made(ingress) == before
    ingress.do("activate", ASSET, True)
    assert send(ingress, "told", sent).status_code == 202


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_deliveries_are_answered(ingress: Ingress, method: str) -> None:
    answer = ingress.ask(method, "/webhooks/shop", who=None)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_deliveries_that_meet_lose_nothing(ingress: Ingress) -> None:
    """Many at once, each sent three times: a run for each id, and each event in the asset's log."""
    before, events = ingress.do("count", "orders"), len(told(ingress))
    runs = [standard(BOOK, f"meet-{number % 5}") for number in range(15)]
    news = [standard({"n": number % 5}, f"news-{number % 5}") for number in range(15)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda sent: send(ingress, "shop", sent), runs))
        answers += pool.map(lambda sent: send(ingress, "told", sent), news)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["run_id"] for answer in answers[:15]}) == 5
    assert ingress.do("count", "orders") == before + 5
    kept = [entry["payload"]["events"][0]["id"] for entry in told(ingress)[events:]]
    assert set(kept) == {f"news-{number}" for number in range(5)}
