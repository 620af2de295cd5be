"""What the document says of the work service, the service does: each operation's answers, good and refused."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from airgate.client.message import join_url
from airgate.openapi import Document, OperationError, open_document
from tests.docs.conftest import listening

ROOT = Path(__file__).resolve().parents[2]
ORDERS: dict[str, dict[str, Any]] = {
    "orderBuild": {"revision": "v1"},
    "orderCheck": {"target": "web-v1", "passes": False},
    "orderDeployment": {"environment": "e", "version": "v1", "digest": None, "healthy": False},
    "orderPlan": {"environment": "e", "resources": ["db"]},
    "orderDestroy": {"environment": "e"},
    "orderExport": {"rows": 2.0},
}


@pytest.fixture(scope="module")
def document() -> Document:
    return open_document(ROOT / "include" / "openapi" / "sample-services.json")


@pytest.fixture(scope="module")
def work() -> Iterator[str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    with listening(["include.services", "work"], bare) as address:
        yield address


class Caller:
    """Calls operations at the service as the gateway would, and holds each answer against the document."""

    def __init__(self, document: Document, address: str) -> None:
        self.document = document
        self.address = address
        self.seen: set[tuple[str, int]] = set()

    def __call__(self, operation_id: str, status: int, raw: bytes | None = None, **arguments: Any) -> Any:
        operation = self.document.operation(operation_id)
        call = operation.prepare(**arguments)
        url = join_url(self.address, call.path.removeprefix("/work"), call.path_params, call.params)
        answer = requests.request(
            call.method,
            url,
            json=call.json if raw is None else None,
            data=raw,
            headers=dict(call.headers),
            timeout=10,
            allow_redirects=False,
        )
        assert answer.status_code == status, answer.text
        text = answer.headers["content-type"].startswith("text/plain")
        operation.check_response(status, answer.headers, answer.text if text else answer.json())
        self.seen.add((operation_id, status))
        return answer.text if text else answer.json()


def test_every_answer_that_the_document_promises_comes_as_it_says(document: Document, work: str) -> None:
    """All of them but the gateway's own and those of the faults switch."""
    call = Caller(document, work)
    ids = {}
    for operation_id, order in ORDERS.items():
        headers = {"Idempotency-Key": operation_id}
        ids[operation_id] = call(operation_id, 202, body={"name": "n", "seconds": 0, **order}, **headers)["id"]
        call(operation_id, 400, raw=b"{", body={"name": "n", **order})
        call(operation_id, 422, raw=b'{"name": 1}', body={"name": "n", **order})
    apply = {"name": "n", "seconds": 0, "environment": "e", "plan": ids["orderPlan"]}
    call("orderApply", 202, body=apply)
    call("orderApply", 400, raw=b"", body=apply)
    call("orderApply", 422, body={**apply, "plan": "plan-0"})
    long = call("orderBuild", 202, body={"name": "n", "seconds": 600, "fail": "x", "reference": "r"})["id"]
    signed = call("orderBuild", 202, body={"name": "n", "location": "signed"})["id"]
    failed = call("orderBuild", 202, body={"name": "n", "seconds": 0, "fail": "x", "transient": True})["id"]
    for operation_id in ("getJob", "getJobLog"):
        for job in (long, failed, ids["orderCheck"]):
            call(operation_id, 200, id=job)
        call(operation_id, 403, id=signed)
        call(operation_id, 404, id="build-0")
    assert call("getJob", 200, id=failed)["error"] == {"message": "x", "retryable": True}
    call("cancelJob", 403, id=signed, sig="x")
    call("cancelJob", 200, id=long)
    call("cancelJob", 409, id=long)
    call("cancelJob", 404, id="build-0")
    call("listJobs", 200)
    assert call("listJobs", 200, reference="r")["jobs"][0]["status"] == "cancelled"
    call("listJobs", 400, ids=",".join(f"b-{number}" for number in range(201)))
    call("getDeployed", 200, environment="e")
    call("getDeployed", 404, environment="nowhere")
    call("getEnvironment", 200, name="e")
    call("getEnvironment", 200, name="nowhere")
    exports(call, ids["orderExport"])
    promised = {
        (operation.operation_id, int(status))
        for operation in document.operations.values()
        if operation.path.startswith("/work/")
        for status in operation.responses
        if status not in {"401", "429", "503"}
    }
    # Only what the document itself forbids is left: no environment, and a name that is empty.
    assert promised - call.seen == {("getDeployed", 400), ("getEnvironment", 404)}
    assert requests.get(f"{work}/deployments/current", timeout=10).status_code == 400
    assert requests.get(f"{work}/environments/", timeout=10).status_code == 404


def exports(call: Caller, done: str) -> None:
    """Go through an export's states."""
    order = {"name": "n", "seconds": 600}
    running = call("orderExport", 202, body=order)["id"]
    failed = call("orderExport", 202, body={**order, "seconds": 0, "fail": "x"})["id"]
    signed = call("orderExport", 202, body={**order, "location": "signed"})["id"]
    call("getExport", 202, id=running)
    call("getExport", 303, id=done)
    call("getExport", 422, id=failed)
    assert len(call("getExportResult", 200, id=done)["rows"]) == 2
    call("getExportResult", 409, id=running)
    call("cancelExport", 200, id=running)
    call("getExport", 410, id=running)
    call("cancelExport", 409, id=running)
    for operation_id in ("getExport", "getExportResult", "cancelExport"):
        call(operation_id, 404, id="export-0")
        call(operation_id, 403, id=signed)


@pytest.mark.parametrize("status", [429, 503])
def test_a_fault_is_answered_as_the_document_says(document: Document, work: str, status: int) -> None:
    """Instead of the effect."""
    fault = {"preset": "none", "unavailable" if status == 503 else "rate_limited": 1.0}
    requests.post(f"{work}/-/faults", json=fault, timeout=10).raise_for_status()
    try:
        Caller(document, work)("orderBuild", status, body={"name": f"n{status}"}, **{"Idempotency-Key": f"k{status}"})
    finally:
        requests.post(f"{work}/-/faults", json={"preset": "none"}, timeout=10).raise_for_status()
        requests.post(f"{work}/-/reset", timeout=10).raise_for_status()


@pytest.mark.parametrize(
    ("operation_id", "body"),
    [
        ("orderBuild", {"name": "a b"}),
        ("orderBuild", {"name": "n", "seconds": 86_401}),
        ("orderBuild", {"name": "n", "colour": "red"}),
        ("orderBuild", {"name": "n", "location": "moon"}),
        ("orderExport", {"name": "n", "rows": 1.5}),
        ("orderPlan", {"name": "n", "environment": "e", "resources": []}),
        ("orderDeployment", {"name": "n", "environment": "e"}),
        ("orderCheck", {"name": "n", "target": "", "passes": True}),
    ],
)
def test_what_the_document_forbids_the_service_refuses(
    document: Document, work: str, operation_id: str, body: dict[str, Any]
) -> None:
    """By both, before and behind the wire."""
    operation = document.operation(operation_id)
    with pytest.raises(OperationError):
        operation.prepare(body=body)
    refused = requests.post(work + operation.path.removeprefix("/work"), json=body, timeout=10)
    assert refused.status_code == 422
    operation.check_response(422, refused.headers, refused.json())


def test_a_job_is_over_in_its_time(work: str) -> None:
    """And not before."""
    began = time.time()
    place = requests.post(f"{work}/builds", json={"name": "n", "seconds": 1}, timeout=10).headers["Location"]
    while (shown := requests.get(work + place, timeout=10).json())["status"] != "succeeded":
        assert time.time() < began + 20
        time.sleep(0.05)
    assert time.time() >= began + 1
    assert shown["ended_at"] == pytest.approx(shown["submitted_at"] + 1)
