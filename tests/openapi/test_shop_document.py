"""What the document says of the services with effects, they do: each operation's answers, good and refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from airgate.client.message import join_url
from airgate.openapi import Document, OperationError, open_document
from tests.docs.conftest import listening
from tests.services.effect_cases import (
    ADDRESS,
    ALERTS,
    CASES,
    CHARGES,
    GRANTS,
    ITEMS,
    NOTICES,
    RESERVATIONS,
    SHIPMENTS,
    Case,
)

ROOT = Path(__file__).resolve().parents[2]
SERVICES = tuple(dict.fromkeys(case.service for case in CASES))


@pytest.fixture(scope="module")
def document() -> Document:
    return open_document(ROOT / "include" / "openapi" / "sample-services.json")


@pytest.fixture(scope="module")
def services() -> Iterator[dict[str, str]]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    with ExitStack() as running:
        yield {name: running.enter_context(listening(["include.services", name], bare)) for name in SERVICES}


class Caller:
    """Calls operations as the gateway would, and holds each answer against the document."""

    def __init__(self, document: Document, services: dict[str, str]) -> None:
        self.document = document
        self.services = services
        self.seen: set[tuple[str, int]] = set()

    def __call__(self, operation_id: str, status: int, raw: bytes | None = None, **arguments: Any) -> Any:
        operation = self.document.operation(operation_id)
        call = operation.prepare(**arguments)
        service = call.path.split("/")[1]
        url = join_url(self.services[service], call.path.removeprefix(f"/{service}"), call.path_params, call.params)
        sent = {"json": call.json} if raw is None else {"data": raw}
        answer = requests.request(call.method, url, headers=dict(call.headers), timeout=10, **sent)
        assert answer.status_code == status, answer.text
        operation.check_response(status, answer.headers, answer.json())
        self.seen.add((operation_id, status))
        return answer.json()


class Names:
    """The operations of a collection."""

    def __init__(self, document: Document, case: Case) -> None:
        base = f"/{case.service}{case.path}"
        ids = {(each.method, each.path): each.operation_id for each in document.operations.values()}
        self.post, self.list, self.show = ids["POST", base], ids["GET", base], ids["GET", f"{base}/{{id}}"]
        self.under, self.cancel = ids["GET", f"{base}/by-key/{{key}}"], ids["DELETE", f"{base}/by-key/{{key}}"]
        self.undo = None if case.undo is None else ids[case.undo[0], f"{base}/{{id}}{case.undo[1]}"]


def test_every_answer_that_the_document_promises_comes_as_it_says(document: Document, services: dict[str, str]) -> None:
    """All of them but the gateway's own and those of the faults switch."""
    call = Caller(document, services)
    for case in CASES:
        go_through(call, case, Names(document, case))
    call("chargeCard", 402, body={"order": "o-1", **CHARGES.body, "card": "tok_declined"})
    assert call("listStock", 200)["stock"][0] == call("getStock", 200, sku="boarding-pass")
    call("getStock", 404, sku="anvil")
    promised = {
        (operation.operation_id, int(status))
        for operation in document.operations.values()
        if operation.path.split("/")[1] in SERVICES
        for status in operation.responses
        if status not in {"401", "429", "500", "502", "503", "504"}
    }
    ours = {Names(document, case).list for case in CASES}
    keyed = {name for case in CASES for name in (Names(document, case).under, Names(document, case).cancel)}
    # Only what the document itself forbids is left: no order, and a key that cannot be one.
    assert promised - call.seen == {(name, 400) for name in ours | keyed}


def go_through(call: Caller, case: Case, names: Names) -> None:
    """A collection's answers."""
    body = {"order": "o-1", **case.body}
    first: dict[str, Any] = {"Idempotency-Key": "k-1"}
    done = call(names.post, 201, body=body, **first)
    assert call(names.post, 201, body=body, **first) == done
    call(names.post, 201, body=body)
    call(names.post, 422, body={**body, **case.other}, **first)
    call(names.post, 400, raw=b"{", body=body)
    call(names.post, 422, raw=b"{}", body=body)
    assert call(names.show, 200, id=done["id"]) == call(names.under, 200, key="k-1") == done
    call(names.show, 404, id="nothing")
    call(names.under, 404, key="k-2")
    assert len(call(names.list, 200, order="o-1")[case.name]) == 2
    assert call(names.cancel, 200, key="k-2")["state"] == "cancelled"
    cancelled: dict[str, Any] = {"Idempotency-Key": "k-2"}
    call(names.post, 409, body=body, **cancelled)
    if names.undo is None:
        call(names.cancel, 409, key="k-1")
    else:
        assert call(names.undo, 200, id=done["id"])["state"] == case.undone
        call(names.undo, 404, id="nothing")
        assert call(names.cancel, 200, key="k-1")["state"] == case.undone
        call(names.post, 409, body=body, **first)
    address = call.services[case.service]
    requests.post(f"{address}/-/faults", json={"honours_keys": False}, timeout=10).raise_for_status()
    call(names.cancel, 404, key="k-1")
    call(names.under, 404, key="k-1")
    requests.post(f"{address}/-/faults", json={"honours_keys": True}, timeout=10).raise_for_status()


@pytest.mark.parametrize(("fault", "status"), [("rate_limited", 429), ("failed_after", 500), ("unavailable", 503)])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fault_is_answered_as_the_document_says(
    document: Document, services: dict[str, str], case: Case, fault: str, status: int
) -> None:
    """Instead of the effect or after it."""
    faults = f"{services[case.service]}/-/faults"
    requests.post(faults, json={"preset": "none", fault: 1.0}, timeout=10).raise_for_status()
    try:
        order = f"o-{fault}"
        Caller(document, services)(Names(document, case).post, status, body={"order": order, **case.body})
        Caller(document, services)(Names(document, case).list, status, order=order)
    finally:
        requests.post(faults, json={"preset": "none"}, timeout=10).raise_for_status()


@pytest.mark.parametrize(
    ("case", "changes"),
    [
        (RESERVATIONS, {"order": "a b"}),
        (RESERVATIONS, {"items": []}),
        (RESERVATIONS, {"items": [{"sku": "ear-plugs", "quantity": 0}]}),
        (RESERVATIONS, {"items": [{"sku": "ear-plugs", "quantity": 1001}]}),
        (RESERVATIONS, {"items": [{"sku": "ear-plugs", "quantity": 1, "size": "L"}]}),
        (RESERVATIONS, {"colour": "red"}),
        (CHARGES, {"amount": 0}),
        (CHARGES, {"amount": 100_000_001}),
        (CHARGES, {"amount": 1.5}),
        (CHARGES, {"currency": "eur"}),
        (CHARGES, {"card": ""}),
        (SHIPMENTS, {"items": ITEMS[:1] * 101}),
        (SHIPMENTS, {"address": {**ADDRESS, "country": "nl"}}),
        (SHIPMENTS, {"address": {**ADDRESS, "planet": "Mars"}}),
        (NOTICES, {"email": "a@b@c"}),
        (NOTICES, {"text": ""}),
        (NOTICES, {"text": "x" * 2001}),
        (ALERTS, {"topic": "ewr"}),
        (ALERTS, {"severity": "loud"}),
        (ALERTS, {"text": ""}),
        (GRANTS, {"member": "nobody"}),
        (GRANTS, {"points": 0}),
        (GRANTS, {"points": 1.5}),
    ],
    ids=str,
)
def test_what_the_document_forbids_the_service_refuses(
    document: Document, services: dict[str, str], case: Case, changes: dict[str, Any]
) -> None:
    """By both, before and behind the wire."""
    body = {"order": "o-1", **case.body, **changes}
    operation = document.operation(Names(document, case).post)
    with pytest.raises(OperationError):
        operation.prepare(body=body)
    refused = requests.post(services[case.service] + case.path, json=body, timeout=10)
    assert refused.status_code == 422
    operation.check_response(422, refused.headers, refused.json())
