"""Unknown keys and wrong values under `x-airgate`: found at their place by the checks, and by the schema."""

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from airgate.spec.check import problems
from airgate.spec.check_extension import shape_problems
from airgate.spec.extension import Aggregate, Branch, ClientLimits, FilePolicies, RoutePolicies
from airgate.spec.extension_schema import file_schema

SHIPPED = Path(__file__).parents[2] / "include" / "gateway" / "api-config.schema.json"
SCHEMA = Draft202012Validator(file_schema())

GOOD: dict[str, Any] = {
    "$schema": "api-config.schema.json",
    "servers": [{"alias": "up", "url": "http://up.example"}],
    "authorizer": {"type": "jwt", "secret": "s" * 32, "issuer": "https://issuer.example/"},
    "variables": {"region": "eu"},
    "x-airgate": {
        "limits": {
            "body": 1000,
            "headers": 50,
            "uri": 4000,
            "seconds": 2.5,
            "rate": ["100/min", "10/s"],
            "concurrency": None,
            "per_client": {"rate": "5/s", "concurrency": 2},
            "store": "/tmp/limits.db",
        },
        "upstream": {"connect": 1, "read": None, "breaker": {"failures": 3, "cooldown": 0.5}, "retry_budget": 0.1},
        "trusted_proxies": ["10.0.0.0/8", "::1"],
        "client": {"header": "X-Consumer"},
        "cache": {"bytes": 1000000, "entry": 1000},
        "identity": {"secret": "i" * 32},
    },
    "paths": [
        {
            "method": "POST",
            "path": "/orders/{id}",
            "auth": True,
            "integration": {"type": "http_proxy", "server": "up"},
            "x-airgate": {
                "limits": {"body": 10, "rate": None},
                "upstream": {"retries": 2, "total": 3},
                "rewrite": "/v2/orders/{id}",
                "validate": {"body": {"type": "object"}, "query": {"required": ["a"]}},
                "body": {"id": "$request.path.id", "by": "$request.jwt.sub", "where": "$config.region", "n": 1},
                "identity": {"dags": ["order_fulfillment"]},
            },
        },
        {
            "method": "GET",
            "path": "/trip/{id}",
            "integration": {
                "type": "aggregate",
                "branches": {
                    "flights": {"server": "up", "path": "/flights/{id}", "select": "data", "forward": ["X-Tenant"]},
                    "weather": {"server": "up", "path": "/weather", "required": False, "timeout": 0.5},
                },
            },
        },
    ],
}
FILE, ORDER, TRIP = ("x-airgate",), ("paths", 0, "x-airgate"), ("paths", 1, "integration")
FLIGHTS = (*TRIP, "branches", "flights")

SHAPES: list[tuple[tuple[str | int, ...], object]] = [
    (("x-airgat",), {}),
    (FILE, []),
    ((*FILE, "limit"), {}),
    ((*FILE, "limits", "bdy"), 1),
    ((*FILE, "limits", "body"), "1MB"),
    ((*FILE, "limits", "body"), 0),
    ((*FILE, "limits", "body"), 1.5),
    ((*FILE, "limits", "seconds"), 0),
    ((*FILE, "limits", "seconds"), True),
    ((*FILE, "limits", "rate"), 5),
    ((*FILE, "limits", "rate"), ""),
    ((*FILE, "limits", "rate", 0), 5),
    ((*FILE, "limits", "per_client"), None),
    ((*FILE, "limits", "per_client", "body"), 1),
    ((*FILE, "limits", "store"), None),
    ((*FILE, "upstream", "breaker", "share"), 2),
    ((*FILE, "upstream", "breaker", "failures"), 0),
    ((*FILE, "trusted_proxies"), "10.0.0.1"),
    ((*FILE, "client"), "ip"),
    ((*FILE, "client", "header"), "not a name"),
    ((*FILE, "cache"), True),
    ((*FILE, "identity"), "s" * 32),
    ((*FILE, "identity", "secret"), ""),
    ((*FILE, "identity", "secrets"), ["s" * 32]),
    ((*FILE, "identity", "dags"), ["a"]),
    ((*ORDER, "identity"), True),
    ((*ORDER, "identity", "dags"), "order_fulfillment"),
    ((*ORDER, "identity", "dags", 0), 1),
    ((*ORDER, "identity", "header"), "X-Identity"),
    ((*ORDER, "limits", "headers"), 5),
    ((*ORDER, "upstream", "breaker"), {}),
    ((*ORDER, "upstream", "retries"), 50),
    ((*ORDER, "rewrite"), "v2"),
    ((*ORDER, "validate", "body"), "schema"),
    ((*ORDER, "cache"), "yes"),
    ((*ORDER, "client"), "peer"),
    ((*TRIP, "branches"), {}),
    ((*TRIP, "branch"), {}),
    ((*TRIP, "branches", "_status"), {"server": "up", "path": "/x"}),
    ((*FLIGHTS, "method"), "DELETE"),
    ((*FLIGHTS, "timeout"), 0),
    ((*FLIGHTS, "required"), "no"),
    ((*FLIGHTS, "mapping"), []),
    ((*FLIGHTS, "path"), "flights"),
    ((*FLIGHTS, "forward"), "X-Tenant"),
]


def changed(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """The good file with one value set."""
    file = copy.deepcopy(GOOD)
    place: Any = file
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return file


def pointer(path: tuple[str | int, ...]) -> str:
    return "".join(f"/{key}" for key in path)


def test_a_file_with_every_policy_is_good() -> None:
    """The checks and the schema both take it."""
    assert problems(json.dumps(GOOD), {}, policies=True) == []
    assert list(SCHEMA.iter_errors(GOOD)) == []


def test_an_edge_without_policies_refuses_a_file_with_them() -> None:
    """Whoever serves a file and does not say that it carries policies out must not serve one that relies on them."""
    found = [problem.pointer for problem in problems(json.dumps(GOOD), {})]
    assert found == ["/x-airgate", "/paths/0/x-airgate", "/paths/1/integration/type"]


@pytest.mark.parametrize(("path", "value"), SHAPES, ids=lambda each: str(each)[:60])
def test_checks_and_schema_agree_on_each_wrong_shape(path: tuple[str | int, ...], value: object) -> None:
    """One wrong key or value is one problem with its JSON pointer, and the schema refuses the file too."""
    file = changed(path, value)
    found = [problem.pointer for problem in problems(json.dumps(file), {}, policies=True)]
    assert found == [pointer(path)]
    assert not SCHEMA.is_valid(file)


def test_the_shipped_schema_is_the_one_of_the_types() -> None:
    """`python -m airgate.spec.extension_schema > include/gateway/api-config.schema.json` has been run."""
    assert json.loads(SHIPPED.read_text()) == file_schema()


def test_a_misspelt_key_is_told_the_nearest_one() -> None:
    """Who writes `limts` reads `limits`."""
    (found,) = problems(json.dumps(changed((*FILE, "limts"), {})), {}, policies=True)
    assert found.cure == "Write 'limits' if that is meant, else remove it"


def json_values() -> st.SearchStrategy[Any]:
    """JSON values that often use the format's own keys."""
    names = st.sampled_from(
        [
            name
            for kind in (FilePolicies, RoutePolicies, Aggregate, Branch, ClientLimits)
            for name in kind.__struct_fields__
        ]
    )
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-3, 2**41)
        | st.floats(-2, 100_000).filter(lambda number: not number.is_integer())
        | st.sampled_from(["", "/", "aggregate", "GET", "peer", "x"])
    )
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=4), max_leaves=12
    )


@settings(max_examples=400, deadline=None)
@given(kind=st.sampled_from([FilePolicies, RoutePolicies, Aggregate]), value=json_values())
def test_the_walk_over_the_types_agrees_with_their_reader_and_their_schema(kind: Any, value: Any) -> None:
    """Any JSON value has a problem exactly when msgspec does not read it and when its schema refuses it."""
    (schema,), components = msgspec.json.schema_components((kind,), ref_template="#/$defs/{name}")
    by_schema = Draft202012Validator({**schema, "$defs": components}).is_valid(value)
    try:
        msgspec.convert(value, kind)
        by_reader = True
    except msgspec.ValidationError:
        by_reader = False
    by_walk = not list(shape_problems((), value, kind))
    assert by_walk == by_schema == by_reader
