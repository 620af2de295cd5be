"""docs/gateways.md: the files are what they say, the edge serves two of them, and all lead to the same place."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from pages import PROJECT, blocks

from airgate.edge.checking import problems
from tests.edge.echo_upstream import EchoUpstream, Seen
from tests.edge.edge_process import Response, call, edge

PAGE = PROJECT / "docs" / "gateways.md"
RUNS = "/airgate/v1/dags/order_fulfillment/runs"
PATHS = {"/orders": RUNS, "/orders/in__1": f"{RUNS}/in__1"}
"""The client's path -> that of the way in."""
EDGE, SERVERLESS, AWS = (json.loads(block.code) for block in blocks("json") if block.page == PAGE)
KONG, ENVOY = (yaml.safe_load(block.code) for block in blocks("yaml") if block.page == PAGE)
ISSUER, ORIGIN = "https://issuer.example.com/", "https://shop.example.com"
SECRET, OTHER_SECRET = "a-secret-of-the-clients-0123456789abcdef", "a-secret-of-the-gateway-0123456789abcdef"


@pytest.fixture(scope="module")
def airflow() -> Iterator[EchoUpstream]:
    """Stands for the api-server, and tells what it was asked."""
    opened = EchoUpstream()
    opened.open("airflow")
    yield opened
    opened.close()


def claims() -> dict[str, Any]:
    return {"iss": ISSUER, "aud": "orders", "sub": "shop", "exp": time.time() + 600}


class Served:
    """A file at the edge."""

    def __init__(self, port: int, airflow: EchoUpstream, token: str) -> None:
        self.port, self.airflow, self.token = port, airflow, token

    def ask(
        self, method: str, target: str, *headers: tuple[str, str], body: bytes | None = None, signed: bool = True
    ) -> tuple[Response, list[Seen]]:
        self.airflow.take()
        mine = [("Authorization", f"Bearer {self.token}")] if signed else []
        answer = call(self.port, method, target, [*mine, *headers], body)
        return answer, self.airflow.take()

    def reached(self, method: str, target: str, *headers: tuple[str, str], **options: Any) -> Seen:
        answer, [seen] = self.ask(method, target, *headers, **options)
        assert answer.status == 200
        return seen


@pytest.fixture(scope="module")
def at_the_edge(airflow: EchoUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    file = tmp_path_factory.mktemp("gateways") / "edge.json"
    file.write_text(json.dumps(EDGE))
    variables = {
        "AIRFLOW_URL": f"http://127.0.0.1:{airflow.ports['airflow']}",
        "GATEWAY_JWT_SECRET": SECRET,
        "GATEWAY_IDENTITY_SECRET": OTHER_SECRET,
    }
    with edge(file, variables=variables) as port:
        yield Served(port, airflow, jwt.encode(claims(), SECRET, "HS256"))


@pytest.fixture(scope="module", params=["compatible", "strict"])
def serverless(
    request: pytest.FixtureRequest, airflow: EchoUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The file of Serverless API Gateway, its keys in it and not at an address."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    published = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) | {"kid": "k", "alg": "RS256"}
    authorizer = {name: value for name, value in SERVERLESS["authorizer"].items() if name != "jwks_uri"}
    authorizer["jwks"] = json.dumps({"keys": [published]})
    file = tmp_path_factory.mktemp("gateways") / "serverless.json"
    file.write_text(json.dumps({**SERVERLESS, "authorizer": authorizer}))
    address = f"http://127.0.0.1:{airflow.ports['airflow']}"
    with edge(file, "--mode", request.param, variables={"AIRFLOW_URL": address, "ORDERS_URL": address + RUNS}) as port:
        yield Served(port, airflow, jwt.encode(claims(), key, "RS256", {"kid": "k"}))


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_is_yaml(block: Any) -> None:
    """A YAML block of any page parses."""
    assert yaml.safe_load(block.code)


def test_strict_mode_has_nothing_against_the_files() -> None:
    """The edge's own and that of Serverless API Gateway."""
    address = "http://airflow.example.com:8080"
    variables = {"GATEWAY_JWT_SECRET": SECRET, "GATEWAY_IDENTITY_SECRET": OTHER_SECRET}
    for file in (EDGE, SERVERLESS):
        assert (
            problems(json.dumps(file), {**variables, "AIRFLOW_URL": address, "ORDERS_URL": address + RUNS}, None) == []
        )


@pytest.mark.parametrize(
    ("method", "target", "sent"),
    [
        ("POST", "/orders", RUNS),
        ("GET", "/orders?limit=2", f"{RUNS}?limit=2"),
        ("GET", "/orders/in__1", f"{RUNS}/in__1"),
        ("DELETE", "/orders/in__1", f"{RUNS}/in__1"),
    ],
)
def test_the_edge_leads_to_the_way_in(at_the_edge: Served, method: str, target: str, sent: str) -> None:
    """With what the client says, and the gateway's own word for who that is in place of the client's."""
    said = [("Idempotency-Key", "k-1"), ("Prefer", "wait=20"), ("Airgate-Identity", "forged")]
    seen = at_the_edge.reached(method, target, *said, body=b"{}" if method == "POST" else None)
    headers = {name.lower(): value for name, value in seen.headers}
    assert (seen.method, seen.target) == (method, sent)
    assert (headers["idempotency-key"], headers["prefer"]) == ("k-1", "wait=20")
    told = jwt.decode(headers["airgate-identity"], options={"verify_signature": False})
    assert told["sub"] == "shop"


def test_the_edge_keeps_out_what_the_page_keeps_out(at_the_edge: Served) -> None:
    """Clients without a token, large bodies, the rest of the api-server; a webhook has a signature of its own."""
    for target in PATHS:
        answer, seen = at_the_edge.ask("GET", target, signed=False)
        assert (answer.status, seen) == (401, [])
    answer, seen = at_the_edge.ask("POST", "/orders", body=b" " * 65537)
    assert (answer.status, seen) == (413, [])
    for target in ("/api/v2/dags", "/", "/airgate/v1/openapi.json", RUNS):
        answer, seen = at_the_edge.ask("GET", target)
        assert (answer.status, seen) == (404, [])
    for target in ("/airgate/v1/webhooks/shop", "/airgate/v1/callbacks/abc"):
        assert at_the_edge.reached("POST", target, body=b"{}", signed=False).target == target


def test_a_page_of_the_shop_may_ask(at_the_edge: Served) -> None:
    """And sees the headers that it needs; one of another origin may not."""
    asked = [("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "idempotency-key,prefer")]
    answer, _ = at_the_edge.ask("OPTIONS", "/orders", ("Origin", ORIGIN), *asked, signed=False)
    assert (answer.status, answer.header("access-control-allow-origin")) == (204, ORIGIN)
    assert "Idempotency-Key" in str(answer.header("access-control-allow-headers"))
    answer, _ = at_the_edge.ask("GET", "/orders", ("Origin", ORIGIN))
    assert "Location" in str(answer.header("access-control-expose-headers"))
    answer, _ = at_the_edge.ask("OPTIONS", "/orders", ("Origin", "https://elsewhere.example.com"), *asked, signed=False)
    assert answer.header("access-control-allow-origin") is None


def test_the_file_of_serverless_api_gateway_leads_there_too(serverless: Served) -> None:
    """As that gateway answers, and as strict mode does: single orders below /orders, the collection as it is."""
    assert serverless.reached("POST", RUNS, body=b"{}").target == RUNS
    for method in ("GET", "DELETE"):
        assert serverless.reached(method, "/orders/in__1?a=b").target == f"{RUNS}/in__1?a=b"
    for method, target in (("POST", RUNS), ("GET", "/orders/in__1")):
        answer, seen = serverless.ask(method, target, signed=False)
        assert (answer.status, seen) == (401, [])
    assert serverless.reached("POST", "/airgate/v1/webhooks/shop", body=b"{}", signed=False).target.endswith("/shop")


def by_kong(path: str) -> str | None:
    for route in KONG["services"][0]["routes"]:
        rules = [
            plugin["config"]["replace"]["uri"] for plugin in route.get("plugins", ()) if "replace" in plugin["config"]
        ]
        for pattern in route["paths"]:
            found = re.match(pattern.removeprefix("~").replace("(?<", "(?P<"), path)
            if found and pattern.startswith("~"):
                return re.sub(r'\$\(uri_captures\["(\w+)"\]\)', lambda name, found=found: found[name[1]], rules[0])
    return None


def by_aws(path: str) -> str | None:
    for template, operations in AWS["paths"].items():
        if found := re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template), path):
            uris = {
                each["x-amazon-apigateway-integration"]["uri"]
                for name, each in operations.items()
                if name != "parameters"
            }
            [uri] = {uri.format(**found.groupdict()) for uri in uris}
            return str(uri).removeprefix("https://airflow.example.com")
    return None


def by_envoy(path: str) -> str | None:
    manager = ENVOY["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    for each in manager["route_config"]["virtual_hosts"][0]["routes"]:
        match, route = each["match"], each["route"]
        if match.get("path") == path:
            return str(route["prefix_rewrite"])
        if "safe_regex" in match and re.fullmatch(match["safe_regex"]["regex"], path):
            return re.sub(route["regex_rewrite"]["pattern"]["regex"], route["regex_rewrite"]["substitution"], path)
    return None


@pytest.mark.parametrize("lead", [by_kong, by_aws, by_envoy], ids=["Kong", "AWS", "Envoy"])
def test_the_others_name_the_same_place(lead: Callable[[str], str | None]) -> None:
    """Read from their files by what the vendors say of them, as none of them runs here; and nothing else is open."""
    assert {path: lead(path) for path in PATHS} == PATHS
    for path in ("/", "/orders/in__1/more", "/ordersx", "/api/v2/dags", "/execution/"):
        assert lead(path) is None


def test_every_file_lets_the_same_headers_through() -> None:
    """To the pages of the shop: what they may send, and what they may see."""
    manager = ENVOY["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    envoy = manager["route_config"]["virtual_hosts"][0]["typed_per_filter_config"]["envoy.filters.http.cors"]
    [kong] = [plugin["config"] for plugin in KONG["services"][0]["plugins"] if plugin["name"] == "cors"]
    aws = AWS["x-amazon-apigateway-cors"]
    sent = [EDGE["cors"]["allow_headers"], kong["headers"], aws["allowHeaders"], envoy["allow_headers"].split(", ")]
    seen = [EDGE["cors"]["expose_headers"], kong["exposed_headers"], aws["exposeHeaders"]]
    seen.append(envoy["expose_headers"].split(", "))
    for several in (sent, seen):
        assert len({tuple(name.lower() for name in names) for names in several}) == 1


def test_every_gateway_waits_longer_than_the_way_in() -> None:
    """The longest wait that the page sets ends before any of them gives up."""
    text = Path(PAGE).read_text()
    [longest] = re.findall(r"INGRESS_LONGEST_WAIT=(\d+)", text)
    manager = ENVOY["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    limits = [float(each["route"]["timeout"].removesuffix("s")) for each in routes if "timeout" in each["route"]]
    limits.append(KONG["services"][0]["read_timeout"] / 1000)
    for path in ("/orders", "/orders/{id}"):
        operations = [each for name, each in AWS["paths"][path].items() if name != "parameters"]
        limits += [each["x-amazon-apigateway-integration"]["timeoutInMillis"] / 1000 for each in operations]
    assert len(limits) == 7
    assert min(limits) >= int(longest) + 5
