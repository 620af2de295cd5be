"""What strict mode refuses, by a table: each change to a good file brings exactly one problem at its place."""

import copy
import json
from typing import Any

import pytest

from airgate.spec.check import problems

SECRET = "s" * 32
GOOD: dict[str, Any] = {
    "$schema": "x",
    "servers": [{"alias": "up", "url": "http://up.example"}, {"alias": "two", "url": "https://two.example/b"}],
    "authorizer": {"type": "jwt", "algorithm": "HS256", "secret": "$secret.KEY", "issuer": "i", "audience": "a"},
    "cors": {"allow_origins": ["*"], "allow_methods": ["GET"], "allow_credentials": False, "max_age": 60},
    "variables": {"v": 1},
    "paths": [
        {"method": "GET", "path": "/a/{id}", "response": {"x": "$env.TEXT"}},
        {
            "method": "ANY",
            "path": "/b/{.+}",
            "auth": True,
            "integration": {"type": "http_proxy", "server": "up"},
            "mapping": {"headers": {"X-User": "$request.jwt.sub"}, "query": {"q": "$config.v"}},
        },
    ],
}
ENVIRONMENT = {"KEY": SECRET, "TEXT": "t"}
REMOVE = object()


def changed(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """The good file with one value set, or removed."""
    file = copy.deepcopy(GOOD)
    place: Any = file
    for key in path[:-1]:
        place = place[key]
    if value is REMOVE:
        del place[path[-1]]
    elif isinstance(place, list) and path[-1] == len(place):
        place.append(value)
    else:
        place[path[-1]] = value
    return file


def pointers(file: object, environment: dict[str, str] = ENVIRONMENT) -> list[str]:
    return [found.pointer for found in problems(json.dumps(file), environment)]


def test_a_good_file_has_no_problems() -> None:
    """Strict mode serves a file that keeps to the format."""
    assert problems(json.dumps(GOOD), ENVIRONMENT) == []


@pytest.mark.parametrize(
    ("path", "value", "pointer"),
    [
        (("servrs",), [], "/servrs"),
        (("a/b~c",), 1, "/a~1b~0c"),
        (("paths", 0, "respons"), 1, "/paths/0/respons"),
        (("paths",), REMOVE, "/paths"),
        (("paths",), {}, "/paths"),
        (("paths", 0), "text", "/paths/0"),
        (("paths", 0, "path"), REMOVE, "/paths/0/path"),
        (("paths", 0, "path"), "a", "/paths/0/path"),
        (("paths", 0, "path"), "/q?x=1", "/paths/0/path"),
        (("paths", 0, "path"), "/{id}.json", "/paths/0/path"),
        (("paths", 0, "path"), "/é", "/paths/0/path"),
        (("paths", 0, "method"), "get", "/paths/0/method"),
        (("paths", 0, "method"), REMOVE, "/paths/0/method"),
        (("paths", 0, "auth"), "yes", "/paths/0/auth"),
        (("paths", 0, "pre_process"), {"binding": "x"}, "/paths/0/pre_process"),
        (("paths", 0, "variables"), [], "/paths/0/variables"),
        (("paths", 2), {"method": "GET", "path": "/a/{other}", "response": 1}, "/paths/2"),
        (("paths", 1, "integration", "server"), "nope", "/paths/1/integration/server"),
        (("paths", 1, "integration", "server"), REMOVE, "/paths/1/integration/server"),
        (("paths", 1, "integration", "type"), "weird", "/paths/1/integration/type"),
        (("paths", 1, "integration"), None, "/paths/1/integration"),
        (("paths", 1, "mapping", "headrs"), {}, "/paths/1/mapping/headrs"),
        (("paths", 1, "mapping", "headers", "bad name"), "$config.v", "/paths/1/mapping/headers/bad name"),
        (("paths", 1, "mapping", "query", "n"), 5, "/paths/1/mapping/query/n"),
        (("servers", 0, "url"), "", "/servers/0/url"),
        (("servers", 0, "url"), "/relative", "/servers/0/url"),
        (("servers", 0, "url"), "ftp://h/", "/servers/0/url"),
        (("servers", 1, "alias"), "up", "/servers/1/alias"),
        (("servers", 0, "port"), 1, "/servers/0/port"),
        (("servers", 0, "url"), "$env.NOT_SET", "/servers/0/url"),
        (("authorizer",), REMOVE, "/paths/1/auth"),
        (("authorizer", "algorithm"), "HS512", "/authorizer/algorithm"),
        (("authorizer", "secret"), "s" * 31, "/authorizer/secret"),
        (("authorizer", "secret"), REMOVE, "/authorizer/secret"),
        (("authorizer", "issuer"), "", "/authorizer/issuer"),
        (("authorizer", "audiance"), "x", "/authorizer/audiance"),
        (("cors", "allow_methods"), "GET", "/cors/allow_methods"),
        (("cors", "allow_credentials"), "false", "/cors/allow_credentials"),
        (("cors", "max_age"), "99", "/cors/max_age"),
        (("variables",), [], "/variables"),
    ],
)
def test_each_fault_is_found_at_its_place(path: tuple[str | int, ...], value: object, pointer: str) -> None:
    """One fault in a good file is one problem, with the JSON pointer of where to look."""
    assert pointers(changed(path, value)) == [pointer]


def test_an_unknown_authorizer_type_also_leaves_its_routes_unguarded() -> None:
    """A misspelt type is reported itself and at each route that would be open because of it."""
    assert pointers(changed(("authorizer", "type"), "JWT")) == ["/authorizer/type", "/paths/1/auth"]


def test_all_problems_are_listed_at_once_with_what_and_cure() -> None:
    """Missing variables are named, and one line says where, what and what to do."""
    found = [str(problem) for problem in problems(json.dumps(GOOD), {})]
    assert found == [
        "/authorizer/secret: the variable 'KEY' is not set. Set KEY in the environment of the edge.",
        "/paths/0/response/x: the variable 'TEXT' is not set. Set TEXT in the environment of the edge.",
    ]


def test_no_problem_tells_a_secret() -> None:
    """A value that comes from a variable is never repeated."""
    environment = {"KEY": "too-short-secret", "TEXT": "t"}
    told = " ".join(map(str, problems(json.dumps(changed(("servers", 0, "url"), "$env.KEY")), environment)))
    assert "/servers/0/url" in told
    assert "/authorizer/secret" in told
    assert "too-short-secret" not in told


@pytest.mark.parametrize("text", ["", "\ufeff{}", "[]", '"x"', "{"])
def test_a_text_that_is_no_object_is_one_problem(text: str) -> None:
    """What is not a JSON object is refused as a whole."""
    assert [found.pointer for found in problems(text, {})] == [""]
