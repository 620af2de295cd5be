"""What strict mode refuses about `identity`: only the gateway can speak for a client, and only for a known one."""

import copy
import json
from typing import Any

import pytest
from test_extension_shape import FILE, FLIGHTS, GOOD, ORDER, changed, pointer

from airgate.spec.check import problems

SECRET = GOOD["x-airgate"]["identity"]["secret"]
CASES: list[tuple[tuple[str | int, ...], object, tuple[str | int, ...], str]] = [
    ((*FILE, "identity", "secret"), "short", (*FILE, "identity", "secret"), "secret 1 has 5 bytes"),
    ((*FILE, "identity", "secret"), f"{SECRET}, {'x' * 31}", (*FILE, "identity", "secret"), "secret 2 has 31 bytes"),
    ((*FILE, "identity", "secret"), " , ", (*FILE, "identity", "secret"), "there is no secret"),
    ((*FILE, "identity", "secret"), "s" * 32, (*FILE, "identity", "secret"), "the authorizer's secret as well"),
    (
        (*FILE, "identity", "secret"),
        f"{SECRET} {'s' * 32}",
        (*FILE, "identity", "secret"),
        "authorizer's secret as well",
    ),
    ((*ORDER, "identity", "dags"), [], (*ORDER, "identity", "dags"), "may start nothing"),
    (("authorizer", "issuer"), "airflow", (*ORDER, "identity"), "its own principals are kept"),
    (("authorizer", "issuer"), "webhook", (*ORDER, "identity"), "the runs of webhooks are kept"),
    (("paths", 0, "auth"), False, (*ORDER, "identity"), "nobody is known to speak for"),
    (
        ("paths", 0, "mapping"),
        {"headers": {"Airgate-Identity": "$request.header.X-Identity"}},
        ("paths", 0, "mapping", "headers", "Airgate-Identity"),
        "only the edge itself can sign it",
    ),
    (
        ("paths", 0, "mapping"),
        {"headers": {"airgate_identity": "$request.jwt.word"}},
        ("paths", 0, "mapping", "headers", "airgate_identity"),
        "only the edge itself can sign it",
    ),
    ((*FLIGHTS, "forward"), ["Airgate-Identity"], (*FLIGHTS, "forward", 0), "which no client has"),
    (
        (*FLIGHTS, "mapping"),
        {"headers": {"Airgate-Identity": "x"}},
        (*FLIGHTS, "mapping", "headers", "Airgate-Identity"),
        "set by the edge itself",
    ),
]


@pytest.mark.parametrize(("path", "value", "place", "what"), CASES, ids=lambda each: str(each)[:60])
def test_a_word_that_could_not_be_trusted_is_refused(
    path: tuple[str | int, ...], value: object, place: tuple[str | int, ...], what: str
) -> None:
    """The problem stands at its place and says what is wrong; no secret is repeated."""
    found = {each.pointer: each for each in problems(json.dumps(changed(path, value)), {}, policies=True)}
    assert what in found[pointer(place)].what
    assert SECRET not in str(list(found.values()))


def without(*path: str | int) -> list[tuple[str, str]]:
    """The problems of the good file without one key."""
    file = copy.deepcopy(GOOD)
    place: Any = file
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return [(each.pointer, each.what) for each in problems(json.dumps(file), {}, policies=True)]


def test_a_secret_is_needed() -> None:
    """A route that speaks for its clients, in a file that says not by which secret."""
    assert without(*FILE, "identity") == [(pointer((*ORDER, "identity")), "there is no secret to sign it with")]


def test_an_issuer_is_needed() -> None:
    """A client is kept by issuer and subject: an authorizer that takes any issuer lets its clients choose."""
    [(place, what)] = without("authorizer", "issuer")
    assert place == pointer((*ORDER, "identity"))
    assert "tokens of any issuer" in what


def test_a_variable_that_is_not_set_is_named_once() -> None:
    """At the secret's place, by its own name."""
    file = changed((*FILE, "identity", "secret"), "$secret.IDENTITY")
    [found] = problems(json.dumps(file), {}, policies=True)
    assert (found.pointer, found.what) == ("/x-airgate/identity/secret", "the variable 'IDENTITY' is not set")


@pytest.mark.parametrize("cache", [True, {}, {"ttl": 5}])
def test_answers_to_one_client_are_not_kept(cache: object) -> None:
    """The cache would have to know that the signed header of each request is another one."""
    file = copy.deepcopy(GOOD)
    own = {"identity": {"dags": ["a"]}, "cache": cache}
    integration = {"type": "http_proxy", "server": "up"}
    file["paths"].append({"method": "GET", "path": "/o", "auth": True, "integration": integration, "x-airgate": own})
    [found] = problems(json.dumps(file), {}, policies=True)
    assert (found.pointer, found.cure) == ("/paths/2/x-airgate/identity", "Remove cache")


def test_a_route_that_calls_no_server_has_nobody_to_tell() -> None:
    file = copy.deepcopy(GOOD)
    own = {"identity": {"dags": ["a"]}}
    file["paths"].append({"method": "GET", "path": "/s", "auth": True, "response": 1, "x-airgate": own})
    [found] = problems(json.dumps(file), {}, policies=True)
    assert (found.pointer, found.what) == (
        "/paths/2/x-airgate/identity",
        "it has no effect on a route that calls no server",
    )
