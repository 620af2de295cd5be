"""The way in, asked for what its own document allows a caller, and for what it does not.

Only bodies and parameters are made up; who may do what is asked in ``test_runs_who``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator, FormatChecker

from tests.ingress.conftest import Ingress

pytestmark = pytest.mark.integration

WHO = "ada:admin"
EXAMPLES = 20
OPERATIONS = [
    (method, path)
    for dag_id in ("orders", "anything", "shipping")
    for method, path in (
        ("post", f"/dags/{dag_id}/runs"),
        ("get", f"/dags/{dag_id}/runs"),
        ("get", f"/dags/{dag_id}/runs/{{run_id}}"),
        ("delete", f"/dags/{dag_id}/runs/{{run_id}}"),
    )
]
COLLECTIONS = [operation for operation in OPERATIONS if "{" not in operation[1]]
"""A run's id is any text: nothing that is sent for it is against the document."""
STARTS = [operation for operation in OPERATIONS if operation[0] == "post"]


@dataclass
class Described:
    """A running way in, and what it says of itself."""

    ingress: Ingress
    document: dict[str, Any]
    schema: Any

    @property
    def call(self) -> dict[str, Any]:
        """How it is called."""
        headers = {"Authorization": f"Bearer {self.ingress.token(WHO)}"}
        return {"base_url": f"{self.ingress.address}/airgate/v1", "headers": headers, "timeout": 30}


@pytest.fixture(scope="module")
def described(ingress: Ingress) -> Described:
    """The document as the caller gets it, but for its security: else tokens would be left out at random."""
    import schemathesis

    document = ingress.ask("GET", "/openapi.json", who=WHO).json()
    assert document.pop("security") == [{"bearer": []}]
    return Described(ingress, document, schemathesis.openapi.from_dict(document))


def checks() -> list[Callable[..., Any]]:
    """What must hold of an answer to any request."""
    from schemathesis import checks as every
    from schemathesis.specs.openapi import checks as openapi

    return [
        every.not_a_server_error,
        openapi.status_code_conformance,
        openapi.content_type_conformance,
        openapi.response_headers_conformance,
        openapi.response_schema_conformance,
    ]


def asked_with_examples(described: Described, method: str, path: str, mode: Any, ask: Callable[[Any], Any]) -> int:
    """Ask with requests that are the same in every run; how many there were."""
    count = 0

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(described.schema[path][method.upper()].as_strategy(generation_mode=mode))
    def examples(case: Any) -> None:
        nonlocal count
        count += 1
        # A wait would be one of seconds for nothing: no scheduler runs here.
        case.headers = {name: value for name, value in (case.headers or {}).items() if name.lower() != "prefer"}
        ask(case)

    examples()
    return count


def test_the_table_has_every_operation_of_the_document(described: Described) -> None:
    methods = {"get", "post", "put", "patch", "delete", "head", "options"}
    found = {(method, path) for path, item in described.document["paths"].items() for method in set(item) & methods}
    assert found == set(OPERATIONS)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_requests_that_the_document_allows_are_answered_as_it_says(
    described: Described, method: str, path: str
) -> None:
    """Status, media type, headers and body are among those that the operation lists, and none is a server's error."""
    from schemathesis import GenerationMode

    dag_id, answers = path.split("/")[2], Counter[int]()
    run_id = described.ingress.start(dag_id, {"item": "book"} if dag_id == "orders" else {}).json()["id"]

    def ask(case: Any) -> None:
        if "{run_id}" in path and answers.total() % 2:  # made-up ids are ids of nothing
            case.path_parameters = {"run_id": run_id}
        answers[case.call_and_validate(checks=checks(), **described.call).status_code] += 1

    asked_with_examples(described, method, path, GenerationMode.POSITIVE, ask)
    assert any(status < 300 for status in answers), answers
    assert 401 not in answers


@pytest.mark.parametrize(("method", "path"), COLLECTIONS)
def test_requests_that_the_document_does_not_allow_break_nothing(described: Described, method: str, path: str) -> None:
    """Wrong types, missing and made-up parameters: still an answer that the document lists."""
    from schemathesis import GenerationMode

    def ask(case: Any) -> None:
        case.call_and_validate(checks=checks(), **described.call)

    assert asked_with_examples(described, method, path, GenerationMode.NEGATIVE, ask) == EXAMPLES


@pytest.mark.parametrize(("method", "path"), STARTS)
def test_only_a_body_that_fits_starts_a_run(described: Described, method: str, path: str) -> None:
    """By a validator of its own, over the schema that the document shows: what does not fit starts nothing."""
    from schemathesis import GenerationMode

    dag_id = path.split("/")[2]
    content = described.document["paths"][path][method]["requestBody"]["content"]
    fits = Draft202012Validator(content["application/json"]["schema"], format_checker=FormatChecker()).is_valid
    refused = 0

    def ask(case: Any) -> None:
        nonlocal refused
        before = described.ingress.do("count", dag_id)
        case.headers = {**case.headers, "Idempotency-Key": f"case-{before}-{refused}-{id(case)}"}
        answer = case.call(**described.call)
        body = body_of(answer.request.body)
        started = described.ingress.do("count", dag_id) - before
        if body is not None and fits(body):
            assert (answer.status_code, started) in {(202, 1), (415, 0), (422, 0)}
        else:
            assert (started, answer.status_code < 500) == (0, True)
            assert answer.status_code >= 400
            refused += 1

    asked_with_examples(described, method, path, GenerationMode.NEGATIVE, ask)
    assert refused > 5


def body_of(sent: Any) -> Any:
    """The value that was sent; None where it was no JSON."""
    try:
        return json.loads(sent or b"{}")
    except ValueError:
        return None
