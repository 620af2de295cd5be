"""The sample services behind a real edge, asked for what their document allows and for what it does not."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.request import urlopen

import jwt
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.edge.edge_process import ROOT, SECRET, edge

CONFIG = ROOT / "include" / "gateway" / "api-config.json"
LOCATION = ROOT / "include" / "openapi" / "sample-services.json"
DOCUMENT = json.loads(LOCATION.read_text())
METHODS = {"get", "put", "post", "delete", "patch", "head", "options"}
EVERY = [(method, path) for path, item in DOCUMENT["paths"].items() for method in item if method in METHODS]
GUARDED = [
    (method, path) for method, path in EVERY if DOCUMENT["paths"][path][method].get("security", DOCUMENT["security"])
]


def ends(method: str, path: str) -> bool:
    """Whether an answer has an end; what a stream says stands in tests/services/test_notices.py."""
    answers = DOCUMENT["paths"][path][method]["responses"].values()
    return not any("text/event-stream" in answer.get("content", {}) for answer in answers)


OPERATIONS = [(method, path) for method, path in EVERY if ends(method, path)]
EXAMPLES = 20
CALL = {"timeout": 20}


@dataclass(frozen=True)
class Sample:
    """A running edge with the services behind it, by alias, and a good token for it."""

    address: str
    services: dict[str, str]
    token: str

    @property
    def signed(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def asked(self) -> int:
        """Requests that the services got so far."""
        total = 0
        for address in self.services.values():
            with urlopen(f"{address}/-/truth") as response:
                total += json.load(response)["served_counts"]["requests"]
        return total


@pytest.fixture(scope="module")
def sample() -> Iterator[Sample]:
    aliases = [server["alias"] for server in json.loads(CONFIG.read_text())["servers"]]
    aliases.remove("airflow")  # which describes what it takes itself
    command = [sys.executable, "-m", "include.services"]
    started = [
        subprocess.Popen([*command, alias, "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for alias in aliases
    ]
    claims = {"sub": "tests", "iss": "https://airgate.example/", "aud": "sample-services", "exp": time.time() + 900}
    try:
        services = {}
        for alias, process in zip(aliases, started, strict=True):
            assert process.stdout is not None
            services[alias] = process.stdout.readline().split(" ")[1].strip()
        variables = {f"{alias.upper()}_URL": address for alias, address in services.items()}
        variables |= {"AIRFLOW_URL": "http://127.0.0.1:9", "GATEWAY_JWT_SECRET": SECRET}
        with edge(CONFIG, variables={**variables, "GATEWAY_IDENTITY_SECRET": SECRET[::-1]}) as port:
            yield Sample(f"http://127.0.0.1:{port}", services, jwt.encode(claims, SECRET, "HS256"))
    finally:
        for process in started:
            process.kill()
            process.wait()


@cache
def schema() -> Any:
    import schemathesis

    return schemathesis.openapi.from_path(LOCATION)


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
        openapi.ignored_auth,
    ]


def asked_with_examples(method: str, path: str, mode: Any, ask: Callable[[Any], Any]) -> int:
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
    @given(schema()[path][method.upper()].as_strategy(generation_mode=mode))
    def examples(case: Any) -> None:
        nonlocal count
        count += 1
        ask(case)

    examples()
    return count


def takes_something(operation: tuple[str, str]) -> bool:
    described = DOCUMENT["paths"][operation[1]][operation[0]]
    return bool(described.get("parameters")) or "requestBody" in described


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_requests_that_the_document_allows_are_answered_as_it_says(sample: Sample, method: str, path: str) -> None:
    """Status, media type, headers and body are among those that the operation lists; without its token it is closed."""
    from schemathesis import GenerationMode

    def ask(case: Any) -> None:
        case.call_and_validate(base_url=sample.address, headers=sample.signed, checks=checks(), **CALL)

    assert asked_with_examples(method, path, GenerationMode.POSITIVE, ask) > 0


@pytest.mark.parametrize(("method", "path"), list(filter(takes_something, OPERATIONS)))
def test_requests_that_the_document_does_not_allow_break_nothing(sample: Sample, method: str, path: str) -> None:
    """Wrong types, missing and made-up parameters, odd headers: still an answer that the document lists."""
    from schemathesis import GenerationMode

    def ask(case: Any) -> None:
        case.call_and_validate(base_url=sample.address, headers=sample.signed, checks=checks(), **CALL)

    assert asked_with_examples(method, path, GenerationMode.NEGATIVE, ask) > 0


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize("sent", [{}, {"Authorization": "Bearer a.b.c"}, {"Authorization": "Basic eDp5"}], ids=str)
def test_no_request_without_a_good_token_reaches_a_service(
    sample: Sample, method: str, path: str, sent: dict[str, str]
) -> None:
    """401 as the document describes it, for every request that it would allow with one."""
    from schemathesis import GenerationMode

    before = sample.asked()

    def ask(case: Any) -> None:
        case.headers = {}
        response = case.call(base_url=sample.address, headers=sent, **CALL)
        assert response.status_code == 401
        case.validate_response(response, checks=checks()[1:5])

    assert asked_with_examples(method, path, GenerationMode.POSITIVE, ask) > 0
    assert sample.asked() == before


def test_a_reading_by_cursor_is_as_the_document_says_on_every_page(sample: Sample) -> None:
    """Made-up cursors are refused; those that the service gives lead through all pages, each of which conforms."""
    operation = schema()["/flights"]["GET"]
    query: dict[str, Any] = {"date": "2013-02-03", "limit": 200}
    records = 0
    for _ in range(20):
        case = operation.Case(query=dict(query))
        answer = case.call_and_validate(base_url=sample.address, headers=sample.signed, checks=checks(), **CALL)
        assert answer.status_code == 200
        page = json.loads(answer.content)
        records += len(page["data"])
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert records > 600
    assert records == _counted(sample, "2013-02-03")


def _counted(sample: Sample, day: str) -> int:
    with urlopen(f"{sample.services['flights']}/-/truth?date={day}") as response:
        return int(json.load(response)["records"])


def test_every_operation_of_the_document_is_asked(sample: Sample) -> None:
    """The table above is made from the document, and the gateway serves each of its paths."""
    routes = [route["path"] for route in json.loads(CONFIG.read_text())["paths"]]
    patterns = [re.sub(r"\{[^}]*\}", "[^/]+", route.replace("{.+}", ".+")) for route in routes]
    assert len(OPERATIONS) >= 6
    for _, path in OPERATIONS:
        assert any(re.fullmatch(pattern, re.sub(r"\{[^}]*\}", "x", path)) for pattern in patterns), path
