"""Runs that clients start: what is refused before a run is made, and that a key stands for one run."""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest

from tests.ingress.conftest import Ingress

pytestmark = pytest.mark.integration
BOOK = {"item": "book"}


def faults(answer: Any) -> dict[str, str]:
    """Pointer and detail of each fault."""
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    return {fault["pointer"]: fault["detail"] for fault in answer.json()["errors"]}


def test_a_run_is_made_and_told_where_it_stands(ingress: Ingress) -> None:
    answer = ingress.start("orders", BOOK, "first")
    assert answer.status_code == 202
    told = answer.json()
    assert re.fullmatch("in__[0-9a-f]{32}", told["id"])
    assert answer.headers["location"] == f"/airgate/v1/dags/orders/runs/{told['id']}" == told["links"]["self"]
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["cache-control"] == "no-store"
    assert (told["state"], told["progress"], told["percent"]) == ("queued", {"done": 0, "total": 2}, 0)
    kept = ingress.do("run", "orders", told["id"])
    assert kept["conf"] == {"item": "book", "airgate": kept["conf"]["airgate"]}
    assert {name: kept["conf"]["airgate"][name] for name in ("issuer", "subject")} == {
        "issuer": "airflow",
        "subject": "ada",
    }
    assert (kept["run_type"], kept["triggered_by"], kept["logical_date"]) == ("manual", "rest_api", "None")
    assert kept["triggering_user_name"] == "ada (airflow)"


@pytest.mark.parametrize(
    ("params", "pointers"),
    [
        ({}, {"#/item"}),
        ({"item": "cup"}, {"#/item"}),
        ({"item": "book", "count": 0, "note": "x" * 21}, {"#/count", "#/note"}),
        ({"item": "book", "count": True}, {"#/count"}),
        ({"item": "book", "address": {"city": ""}}, {"#/address/city", "#/address/zip"}),
        ({"item": "book", "address": {"city": "a", "zip": "1", "a/b": 1}}, {"#/address/zip", "#/address/a~1b"}),
        ({"item": "book", "itme": "pen"}, {"#/itme"}),
        ({"item": "book", "airgate": {"subject": "root"}}, {"#/airgate"}),
        ({"item": "book", "note": "a\x00"}, {"#/note"}),
        ({"item": "book", "note": "\ud800"}, {"#/note"}),
    ],
)
def test_params_that_do_not_fit_are_named_and_start_nothing(
    ingress: Ingress, params: dict[str, Any], pointers: set[str]
) -> None:
    before = ingress.do("count", "orders")
    assert set(faults(ingress.start("orders", params))) == pointers
    assert ingress.do("count", "orders") == before


def test_an_unknown_name_is_asked_after(ingress: Ingress) -> None:
    assert faults(ingress.start("orders", {**BOOK, "itme": 1}))["#/itme"] == "is unknown; did you mean 'item'?"


def test_a_dag_may_take_names_it_does_not_know_but_for_the_reserved_one(ingress: Ingress) -> None:
    answer = ingress.start("anything", {"more": [1]})
    assert ingress.do("run", "anything", answer.json()["id"])["conf"]["more"] == [1]
    assert set(faults(ingress.start("anything", {"airgate": 1, "airflow/x": 2}))) == {"#/airgate", "#/airflow~1x"}


def test_the_same_request_again_gives_the_same_run(ingress: Ingress) -> None:
    first = ingress.start("orders", {"item": "book", "count": 2}, "again")
    assert "idempotent-replayed" not in first.headers
    again = ingress.start("orders", {"count": 2, "item": "book"}, '"again"')
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    assert again.json()["id"] == first.json()["id"]


def test_another_body_under_a_key_is_refused(ingress: Ingress) -> None:
    ingress.start("orders", BOOK, "other-body")
    answer = ingress.start("orders", {"item": "pen"}, "other-body")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["header"] == "Idempotency-Key"


def test_a_key_stands_for_another_run_of_another_caller_or_dag(ingress: Ingress) -> None:
    runs = {
        ingress.start("orders", BOOK, "shared").json()["id"],
        ingress.start("orders", BOOK, "shared", who="bob:admin").json()["id"],
        ingress.start("anything", {}, "shared").json()["id"],
    }
    assert len(runs) == 3


def test_a_run_that_somebody_else_made_under_the_id_is_not_given_out(ingress: Ingress) -> None:
    run_id = ingress.start("orders", BOOK, "squatted").json()["id"]
    ingress.do("set_conf", "orders", run_id, {"item": "book"})
    assert ingress.start("orders", BOOK, "squatted").status_code == 409
    assert ingress.ask("GET", f"/dags/orders/runs/{run_id}").status_code == 404


@pytest.mark.parametrize("dag_id", ["closed", "nowhere", "..", "%00", "a%2Fb"])
def test_only_dags_that_say_so_are_there(ingress: Ingress, dag_id: str) -> None:
    answer = ingress.start(dag_id, {})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_dag_with_a_param_by_the_reserved_name_is_not_run(ingress: Ingress) -> None:
    answer = ingress.start("reserved", {})
    assert (answer.status_code, answer.json()["detail"]) == (409, "The DAG has a param by a reserved name.")


@pytest.mark.parametrize(
    ("headers", "data", "status"),
    [
        ({}, b"{}", 400),
        ({"Idempotency-Key": ""}, b"{}", 400),
        ({"Idempotency-Key": "a" * 256}, b"{}", 400),
        ({"Idempotency-Key": "\xe9"}, b"{}", 400),
        ({"Idempotency-Key": "k"}, b"[1]", 400),
        ({"Idempotency-Key": "k"}, b"{", 400),
        ({"Idempotency-Key": "k"}, b'{"item": "book", "item": "pen"}', 400),
        ({"Idempotency-Key": "k"}, b'{"count": NaN}', 400),
        ({"Idempotency-Key": "k"}, b'{"count": 1e999}', 400),
        ({"Idempotency-Key": "k"}, b"[" * 60_000, 400),
        ({"Idempotency-Key": "k"}, b'{"note": "\xff"}', 400),
        ({"Idempotency-Key": "k", "Content-Type": "text/plain"}, b"{}", 415),
        ({"Idempotency-Key": "k", "Content-Encoding": "gzip"}, b"{}", 415),
        ({"Idempotency-Key": "k"}, b" " * (64 * 1024 + 1), 413),
    ],
)
def test_what_cannot_be_read_is_refused(ingress: Ingress, headers: dict[str, str], data: bytes, status: int) -> None:
    before = ingress.do("count", "orders")
    answer = ingress.ask(
        "POST", "/dags/orders/runs", data=data, headers={"Content-Type": "application/json", **headers}
    )
    assert answer.status_code == status, answer.text
    assert answer.json()["status"] == status
    assert ingress.do("count", "orders") == before


def test_the_key_is_needed_only_where_it_is_set_so_that_it_is(ingress: Ingress) -> None:
    answer = ingress.ask("POST", "/dags/orders/runs", json=BOOK)
    assert answer.json()["detail"].startswith("Send an Idempotency-Key")


def test_a_connection_that_says_it_will_send_more_is_not_waited_for(ingress: Ingress) -> None:
    host, port = ingress.address.removeprefix("http://").split(":")
    head = (
        "POST /airgate/v1/dags/orders/runs HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\n"
        f"Authorization: Bearer {ingress.token('ada:admin')}\r\nContent-Length: 999999\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=20) as slow:
        slow.sendall(head.encode())
        assert slow.recv(1000).startswith(b"HTTP/1.1 413 ")
