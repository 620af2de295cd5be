"""What strict mode refuses about policies although their shape is right, by a table of changes to a good file."""

import copy
import json
from typing import Any

import pytest
from test_extension_shape import FILE, FLIGHTS, GOOD, ORDER, changed, pointer

from airgate.spec.check import problems

CASES: list[tuple[tuple[str | int, ...], object, str]] = [
    ((*FILE, "limits", "rate"), "100 per minute", "the rate cannot be read"),
    ((*FILE, "limits", "per_client", "rate"), ["5/fortnight"], "the rate cannot be read"),
    ((*ORDER, "limits", "rate"), "0/s", "the rate cannot be read"),
    ((*FILE, "trusted_proxies", 0), "10.0.0.1/8", "is no address and no network"),
    ((*FILE, "trusted_proxies", 0), "proxy.example", "is no address and no network"),
    ((*ORDER, "rewrite"), "/v2/{name}", "the route's path has no {name}"),
    ((*ORDER, "rewrite"), "/v2/{id}.json", "not one that can be sent"),
    ((*ORDER, "rewrite"), "/v2/../{id}", "not one that can be sent"),
    ((*ORDER, "rewrite"), "/v2?x=1", "not one that can be sent"),
    ((*ORDER, "rewrite"), "/v2//x", "not one that can be sent"),
    ((*ORDER, "cache"), True, "answers to POST cannot be kept"),
    ((*ORDER, "body", "id"), "$request.path.name", "no parameter 'name'"),
    ((*ORDER, "body", "id"), "$request.paht.id", "is no reference"),
    ((*ORDER, "body", "id"), "$request.path.id!", "is no reference"),
    ((*ORDER, "body", "where"), "$config.regoin", "there is no variable 'regoin'"),
    ((*ORDER, "validate", "body"), {"type": "objekt"}, "not valid in a JSON Schema"),
    ((*ORDER, "validate", "query"), {"properties": {"a": {"minimum": "1"}}}, "not valid in a JSON Schema"),
    ((*ORDER, "validate"), {"operation": "createOrder"}, "no OpenAPI document"),
    ((*ORDER, "validate"), {"document": "openapi.json"}, "checks nothing"),
    ((*ORDER, "validate"), {"operation": "a", "document": "b", "query": {}}, "side by side"),
    ((*FLIGHTS, "server"), "nope", "no server has the alias"),
    ((*FLIGHTS, "path"), "/flights/{nr}", "has no {nr}"),
    ((*FLIGHTS, "mapping"), {"headers": {"X-User": "$request.jwt.sub"}}, "has no auth"),
    ((*FLIGHTS, "mapping"), {"headers": {"Host": "x"}}, "set by the edge"),
    ((*FLIGHTS, "mapping"), {"query": {"day": "$request.qurey.day"}}, "is no reference"),
    ((*FLIGHTS, "forward"), ["Connection"], "belongs to one connection"),
    ((*FLIGHTS, "body"), {}, "has no body"),
    ((*FLIGHTS, "select"), "data[", "no JMESPath"),
]


@pytest.mark.parametrize(("path", "value", "what"), CASES, ids=lambda each: str(each)[:60])
def test_a_policy_that_cannot_hold_is_refused(path: tuple[str | int, ...], value: object, what: str) -> None:
    """One problem, at the changed place or below it, that says what is wrong."""
    (found,) = problems(json.dumps(changed(path, value)), {}, policies=True)
    assert found.pointer.startswith(pointer(path))
    assert what in found.what


def test_a_unix_socket_can_be_a_trusted_proxy() -> None:
    """Its peers have no address to list."""
    file = changed((*FILE, "trusted_proxies"), ["unix", "10.0.0.0/8"])
    assert problems(json.dumps(file), {}, policies=True) == []


@pytest.mark.parametrize("name", ["upstream", "rewrite", "cache", "body"])
def test_a_policy_for_servers_on_a_route_without_one_is_refused(name: str) -> None:
    """On a static route such a key would silently do nothing."""
    file = copy.deepcopy(GOOD)
    values: dict[str, Any] = {"upstream": {}, "rewrite": "/x", "cache": True, "body": {}}
    file["paths"].append({"method": "GET", "path": "/s", "response": 1, "x-airgate": {name: values[name]}})
    assert [found.pointer for found in problems(json.dumps(file), {}, policies=True)] == [f"/paths/2/x-airgate/{name}"]


@pytest.mark.parametrize(
    ("client", "without", "place"),
    [({"header": "X-Consumer"}, "trusted_proxies", "client"), ("token", "authorizer", "client")],
)
def test_a_client_that_nobody_can_name_is_refused(client: object, without: str, place: str) -> None:
    """A header counts only from trusted proxies, a token only where an authorizer checks it."""
    file = changed((*FILE, "client"), client)
    file.pop(without, None)
    file["x-airgate"].pop(without, None)
    assert f"/x-airgate/{place}" in [found.pointer for found in problems(json.dumps(file), {}, policies=True)]


ORIGINS = [
    ("https://app.example.com", True),
    ("https://*.example.com", True),
    ("http://localhost:*", True),
    ("http://127.0.0.1:*", True),
    ("https://app.example.com:8443", True),
    ("null", True),
    ("chrome-extension://abcdefgh", True),
    ("https://app.example.com*", False),
    ("https://*example.com", False),
    ("*.example.com", False),
    ("https://*", False),
    ("https://*.com", False),
    ("https://*.example.com/*", False),
    ("https://app.*.example.com", False),
    ("http*://app.example.com", False),
    ("https://app.example.com/", False),
    ("https://App.example.com", False),
    ("app.example.com", False),
]


@pytest.mark.parametrize(("origin", "fine"), ORIGINS)
def test_origins_that_admit_strangers_or_nobody_are_refused(origin: str, fine: bool) -> None:
    """A star stands for any text, so it may only stand for labels before a name, or for a port of this machine."""
    file = {"cors": {"allow_origins": ["https://first.example", origin]}, "paths": []}
    expected = [] if fine else ["/cors/allow_origins/1"]
    assert [found.pointer for found in problems(json.dumps(file), {}, policies=True)] == expected


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        ("$secret.KEY", True),
        ("$secrets.KEY", True),
        ("$env.SIGNING", True),
        ("$env.API_TOKEN", True),
        ("$env.REGION", False),
        ("text $secret.KEY", False),
    ],
)
def test_a_secret_in_a_static_answer_is_refused(value: str, refused: bool) -> None:
    """However it is spelt: by prefix, by a name that says so, or because the authorizer reads the same variable."""
    environment = dict.fromkeys(["KEY", "SIGNING", "API_TOKEN", "REGION"], "v" * 32)
    file = {
        "authorizer": {"type": "jwt", "secret": "$env.SIGNING"},
        "paths": [{"method": "GET", "path": "/a", "response": {"deep": [value]}}],
    }
    found = problems(json.dumps(file), environment)
    assert [problem.pointer for problem in found] == (["/paths/0/response/deep/0"] if refused else [])
    assert "v" * 32 not in str(found)
