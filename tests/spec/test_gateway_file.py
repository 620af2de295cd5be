"""Variables, JavaScript values and mapping of the gateway's file (SPEC.md, sections 3, 9 and 10.1)."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgate.spec.answer import INTERNAL_ERROR, Answer
from airgate.spec.config import Mode, load
from airgate.spec.environment import substitute
from airgate.spec.gateway import Forward, decide
from airgate.spec.javascript import number_text, parse, stringify, to_text
from airgate.spec.message import Request


@pytest.mark.parametrize(
    ("value", "substituted"),
    [
        ("$env.A", "value"),
        ("$secret.A", "value"),
        ("$secrets.A", "value"),
        ("$env.NOPE", ""),
        ("$env.NUM", "5"),
        ("$env.AGAIN", "$env.A"),
        ("x $env.A", "x $env.A"),
        (" $env.A", " $env.A"),
        ("${env.A}", "${env.A}"),
        ("$ENV.A", "$ENV.A"),
        ("$env.A y", ""),
        ({"$env.A": ["$env.A", {"deep": "$env.A"}]}, {"$env.A": ["value", {"deep": "value"}]}),
        (7, 7),
    ],
)
def test_a_value_that_begins_with_a_prefix_is_replaced_whole(value: object, substituted: object) -> None:
    """Only whole values are replaced, once, as text; keys stay and missing variables become empty."""
    assert substitute(value, {"A": "value", "NUM": "5", "AGAIN": "$env.A"}) == substituted


@pytest.mark.parametrize(
    ("json_text", "printed"),
    [
        ("1.0", "1"),
        ("12345678901234567890", "12345678901234567000"),
        ("1e21", "1e+21"),
        ("1e20", "100000000000000000000"),
        ("1e-7", "1e-7"),
        ("0.000001", "0.000001"),
        ("1.5e300", "1.5e+300"),
        ("-0.0", "0"),
        ("-3", "-3"),
        ("123456789012345680", "123456789012345680"),
        ("0.1", "0.1"),
        ("true", "true"),
    ],
)
def test_numbers_are_printed_the_javascript_way(json_text: str, printed: str) -> None:
    """A number of the file appears in headers and bodies as a JavaScript program prints it."""
    assert to_text(parse(json_text)) == printed
    assert stringify(parse(json_text)) == printed


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_printed_number_reads_back_as_itself(number: float) -> None:
    """Printing loses nothing, and never writes an exponent between 1e-6 and 1e21."""
    printed = number_text(number)
    assert float(printed) == number
    assert ("e" in printed) == (number != 0 and not 1e-6 <= abs(number) < 1e21)
    assert not re.search(r"\.0*$|\.\d*0$", printed)


def test_json_is_written_compactly_with_integer_keys_first() -> None:
    """Key order, escapes and lone surrogates follow JSON.stringify."""
    text = '{"b": 1, "10": [1, null], "2": "\\u00e9\\u2028\\ud800\\u001f/", "01": {}}'
    assert stringify(parse(text)) == '{"2":"é\u2028\\ud800\\u001f/","10":[1,null],"b":1,"01":{}}'


@pytest.mark.parametrize("text", ["\ufeff{}", "NaN", "{'a':1}", "[" * 100_000, ""])
def test_what_is_not_json_fails_every_request(text: str) -> None:
    """A file that cannot be read answers 500 to everything, as the gateway does."""
    assert decide(load(text, {}, "compatible"), Request("GET", b"/", b"", []), 0) == INTERNAL_ERROR


def forwarded(
    mapping: dict[str, Any],
    *,
    query: bytes = b"",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    variables: dict[str, Any] | None = None,
    mode: Mode = "compatible",
) -> Forward | Answer:
    """What a route with this mapping sends upstream."""
    route = {
        "method": "GET",
        "path": "/x",
        "integration": {"type": "http_proxy", "server": "up"},
        "mapping": mapping,
        "variables": variables or {},
    }
    file = {
        "servers": [{"alias": "up", "url": "http://up.example"}],
        "variables": {"both": "global", "only": "global", "null": "global"},
        "paths": [route],
    }
    return decide(load(json.dumps(file), {}, mode), Request("GET", b"/x", query, headers), 0)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("$config.both", "local"),
        ("$config.only", "global"),
        ("$config.null", None),
        ("$config.list", "1,,a,2,3"),
        ("$config.object", "[object Object]"),
        ("$config.flag", "false"),
        ("$config.padded", "padded"),
        ("$config.missing", None),
        ("before $config.both after $config.only", "local"),
        ("$config.dotted.name", "dn"),
        ("$config.both.", None),
        ("${config.both}", None),
        ("$CONFIG.both", None),
        ("literal", None),
        (5, None),
        ("$request.path.id", None),
        ("$request.header.X-In", "one, two"),
        ("$request.header.x-empty", ""),
        ("$request.header.nope", None),
        ("$request.query.q", "a b"),
        ("$request.query.empty", None),
        ("$request.jwt.sub", None),
    ],
)
def test_a_template_is_the_value_of_its_first_reference(template: object, value: str | None) -> None:
    """Text around the reference is dropped; what does not resolve leaves what the client sent."""
    variables = {
        "both": "local",
        "null": None,
        "list": [1, None, "a", [2, 3]],
        "object": {"a": 1},
        "flag": False,
        "padded": "  padded ",
        "dotted.name": "dn",
    }
    headers = ((b"x-in", b"one"), (b"x-in", b"two"), (b"x-empty", b""), (b"x-out", b"client"))
    call = forwarded({"headers": {"X-Out": template}}, query=b"q=a+b&q=c&empty=", headers=headers, variables=variables)
    assert isinstance(call, Forward)
    assert [found for name, found in call.headers if name == "x-out"] == ["client" if value is None else value]


@pytest.mark.parametrize(
    ("mapping", "query", "sent"),
    [
        ({}, b"a=b%20c&&x", "a=b%20c&&x"),
        ({"query": {}}, b"a=b%20c&&x", "a=b+c&x="),
        ({"query": {}}, b"~*-._=%ff", "%7E*-._=%EF%BF%BD"),
        ({"query": {"n": "$config.only"}}, b"n=1&a=2&n=3", "n=global&a=2"),
        ({"query": {"n": "$config.only"}}, b"a=2", "a=2&n=global"),
        ({"query": {"n": "$request.query.nope"}}, b"n=1&n=2", "n=1&n=2"),
        ({"query": {"a": "$request.query.b", "b": "$request.query.a"}}, b"a=1&b=2", "a=2&b=1"),
    ],
)
def test_a_query_mapping_rewrites_the_whole_query(mapping: dict[str, Any], query: bytes, sent: str) -> None:
    """With `mapping.query` the query becomes a form and names are set in place; without, it passes untouched."""
    call = forwarded(mapping, query=query)
    assert isinstance(call, Forward)
    assert call.query == sent


@pytest.mark.parametrize(
    ("name", "query"), [("X-Out", b"q=a%0d%0aX-Evil:1"), ("X-Out", b"q=a%00b"), ("bad name", b"q=1")]
)
def test_a_header_that_cannot_be_sent_is_an_internal_error(name: str, query: bytes) -> None:
    """CR, LF or NUL in a value and a name that is no token stop the request before the upstream."""
    assert forwarded({"headers": {name: "$request.query.q"}}, query=query) == INTERNAL_ERROR


def test_host_and_framing_cannot_be_mapped_or_passed_on() -> None:
    """Hop-by-hop headers stay behind, and mapping Host or Content-Length changes nothing."""
    mapping = {"headers": {"Host": "$config.only", "Content-Length": "$config.only", "Connection": "$config.only"}}
    headers = ((b"host", b"gw"), (b"te", b"trailers"), (b"x-a", b"1"), (b"cookie", b"a=1"), (b"cookie", b"b=2"))
    call = forwarded(mapping, headers=headers)
    assert isinstance(call, Forward)
    assert call.headers == [("x-a", "1"), ("cookie", "a=1, b=2")]


def test_strict_mode_drops_client_copies_of_mapped_names() -> None:
    """An unresolved mapping leaves the client's own value in compatible mode and nothing in strict mode."""
    mapping = {"headers": {"X-User": "$request.jwt.sub"}, "query": {"user": "$request.jwt.sub"}}
    headers = ((b"x-user", b"spoof"),)
    lenient = forwarded(mapping, query=b"user=spoof&a=1", headers=headers)
    strict = forwarded(mapping, query=b"user=spoof&a=1", headers=headers, mode="strict")
    assert isinstance(lenient, Forward)
    assert isinstance(strict, Forward)
    assert (lenient.headers, lenient.query) == ([("x-user", "spoof")], "user=spoof&a=1")
    assert (strict.headers, strict.query) == ([], "a=1")
