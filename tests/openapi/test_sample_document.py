"""The document of the sample services says what they really do behind the gateway's file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from airgate.client.message import join_url
from airgate.openapi import Document, Operation, OperationError, open_document, problems
from tests.docs.conftest import listening

ROOT = Path(__file__).resolve().parents[2]
LOCATION = ROOT / "include" / "openapi" / "sample-services.json"
PAGES = ("/flights", "/weather", "/reference/")
OPERATIONS = [each for each in open_document(LOCATION).operations.values() if each.path.startswith(PAGES)]
"""Those that read pages; the others stand in test_work_document.py."""


@pytest.fixture(scope="module")
def document() -> Document:
    """The document."""
    return open_document(LOCATION)


@pytest.fixture(scope="module")
def services() -> Iterator[dict[str, str]]:
    """The services' addresses, each in a process of its own."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    with ExitStack() as running:
        names = ("flights", "weather", "reference")
        yield {name: running.enter_context(listening(["include.services", name], bare)) for name in names}


def ask(services: dict[str, str], operation: Operation, **arguments: object) -> requests.Response:
    """Call an operation as the gateway would: it takes the route's prefix away and names the subject."""
    call = operation.prepare(**arguments)
    service = call.path.split("/")[1]
    url = join_url(services[service], call.path.removeprefix("/reference"), call.path_params, call.params)
    return requests.request(call.method, url, headers={"X-Gateway-Subject": "tests"}, timeout=10)


def test_the_document_has_no_problems(document: Document) -> None:
    """What airgate checks of other people's documents, its own passes."""
    assert problems(document) == []


def test_the_gateway_has_a_route_for_every_operation(document: Document) -> None:
    """And the document has an operation for every route of the gateway's file, but for those to Airflow.

    What these take is in the document of the way in, which comes from the DAGs.
    """
    every = json.loads((ROOT / "include" / "gateway" / "api-config.json").read_text())["paths"]
    routes = [route for route in every if route.get("integration", {}).get("server") != "airflow"]
    used = set()
    for operation in document.operations.values():
        for route in routes:
            pattern = re.escape(route["path"]).replace(re.escape("{.+}"), ".+")
            if route["method"] == operation.method and re.fullmatch(pattern, operation.path):
                assert bool(route.get("auth")) == bool(operation.security)
                used.add(route["path"])
                break
        else:
            pytest.fail(f"no route for {operation.method} {operation.path}")
    assert used == {route["path"] for route in routes}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.operation_id)
def test_real_answers_fit_the_document(services: dict[str, str], operation: Operation) -> None:
    """With and without arguments, and when a parameter is refused."""
    size = "per_page" if any(each.name == "per_page" for each in operation.parameters) else "limit"
    days = {"date": "2013-01-02"} if any(each.name == "date" for each in operation.parameters) else {}
    for arguments in ({}, {size: 3, **days}, {size: 1000}):
        answer = ask(services, operation, **arguments)
        assert answer.status_code == 200
        operation.check_response(answer.status_code, answer.headers, answer.json())
    call = operation.prepare()
    url = services[call.path.split("/")[1]] + call.path.removeprefix("/reference")
    refused = requests.get(url, {size: 0}, headers={"X-Gateway-Subject": "tests"}, timeout=10)
    assert refused.status_code == 400
    operation.check_response(refused.status_code, refused.headers, refused.json())
    with pytest.raises(OperationError, match=rf"query/{size}: must be >= 1, not 0"):
        operation.prepare(**{size: 0})


def test_a_damaged_record_breaks_the_document(services: dict[str, str], document: Document) -> None:
    """The check of an answer finds what the sample services damage on purpose."""
    requests.post(f"{services['flights']}/-/faults", json={"malformed_per_day": 3}, timeout=10).raise_for_status()
    operation = document.operation("listFlights")
    answer = ask(services, operation, date="2013-01-01", limit=1000)
    with pytest.raises(OperationError, match=r"response/body/data/\d+/"):
        operation.check_response(answer.status_code, answer.headers, answer.json())
