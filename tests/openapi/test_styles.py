"""How values are written: styles of parameters, media types of bodies."""

from __future__ import annotations

import pytest

from airgate.openapi import OperationError
from tests.openapi.shop import with_body, with_parameter

LIST = "schema: {type: array}"
OBJECT = "schema: {type: object}"


@pytest.mark.parametrize(
    ("parameter", "value", "written"),
    [
        ("in: query, schema: {}", 1, {"p": "1"}),
        ("in: query, schema: {}", True, {"p": "true"}),
        ("in: query, schema: {}", 1.0, {"p": "1"}),
        ("in: query, schema: {}", 0.5, {"p": "0.5"}),
        ("in: query, schema: {}", "a&b=c", {"p": "a&b=c"}),
        (f"in: query, {LIST}", ["a", 1], {"p": ["a", "1"]}),
        (f"in: query, {LIST}", "a", {"p": ["a"]}),
        (f"in: query, explode: false, {LIST}", ["a", 1], {"p": "a,1"}),
        (f"in: query, {OBJECT}", {"a": 1, "b": "x"}, {"a": "1", "b": "x"}),
        (f"in: query, explode: false, {OBJECT}", {"a": 1, "b": "x"}, {"p": "a,1,b,x"}),
        (
            f"in: query, style: deepObject, explode: true, {OBJECT}",
            {"a": 1, "b": [1, 2]},
            {"p[a]": "1", "p[b]": ["1", "2"]},
        ),
        ("in: query, content: {application/json: {schema: {type: object}}}", {"a": [1]}, {"p": '{"a":[1]}'}),
    ],
)
def test_queries(parameter: str, value: object, written: dict[str, object]) -> None:
    """OpenAPI's defaults, and deepObject."""
    assert with_parameter(f"{{name: p, {parameter}}}").operation("get").prepare(p=value).params == written


@pytest.mark.parametrize(
    ("parameter", "value", "written"),
    [
        ("schema: {}", "a b", "a b"),
        (LIST, ["a", 1], "a,1"),
        (OBJECT, {"a": 1, "b": 2}, "a,1,b,2"),
        (f"explode: true, {OBJECT}", {"a": 1, "b": 2}, "a=1,b=2"),
    ],
)
def test_paths_and_headers_are_simple(parameter: str, value: object, written: str) -> None:
    """Both have the same one style."""
    path = with_parameter(f"{{name: p, in: path, required: true, {parameter}}}", "/x/{p}").operation("get")
    assert path.prepare(p=value).path_params == {"p": written}
    header = with_parameter(f"{{name: p, in: header, {parameter}}}").operation("get")
    assert header.prepare(p=value).headers == {"p": written}


def test_cookies_go_into_one_header_and_cannot_break_out_of_it() -> None:
    """A semicolon in a value does not begin another cookie."""
    document = with_parameter("{name: a, in: cookie, schema: {}}, {name: b, in: cookie, schema: {}}")
    assert document.operation("get").prepare(a="1; c=2", b=2).headers == {"Cookie": "a=1%3B%20c%3D2; b=2"}


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        (
            "in: query, style: pipeDelimited, schema: {}",
            ["a"],
            "style 'pipeDelimited' cannot be sent; query parameters have form or deepObject",
        ),
        ("in: query, content: {text/xml: {}}", "a", "content of type 'text/xml' cannot be sent"),
        (f"in: query, explode: false, {LIST}", ["a,b"], "a comma cannot stand within a part of it"),
        (f"in: query, {LIST}", [["a"]], "nested objects and lists cannot be written"),
        (f"in: query, style: deepObject, {OBJECT}", {"a": {"b": 1}}, "nested objects and lists cannot be written"),
    ],
)
def test_what_cannot_be_written_is_refused(parameter: str, value: object, message: str) -> None:
    """Rather than sent as something that the service reads otherwise."""
    with pytest.raises(OperationError) as caught:
        with_parameter(f"{{name: p, {parameter}}}").operation("get").prepare(p=value)
    [finding] = caught.value.findings
    assert finding.pointer == "query/p"
    assert finding.expectation.startswith(message)


def test_the_properties_of_an_object_do_not_replace_another_parameter() -> None:
    """An exploded object brings names of its own into the query."""
    document = with_parameter(f"{{name: a, in: query, schema: {{}}}}, {{name: p, in: query, {OBJECT}}}")
    with pytest.raises(OperationError, match="query/p: gives 'a' a second time"):
        document.operation("get").prepare(a=1, p={"a": 2})


def test_headers_that_openapi_leaves_to_others_are_no_parameters() -> None:
    """Accept, Content-Type and Authorization come from the call, the body and the connection's auth."""
    document = with_parameter("{name: Authorization, in: header, required: true, schema: {}}")
    assert document.operation("get").parameters == ()


@pytest.mark.parametrize(
    ("content", "body", "json", "data", "headers"),
    [
        ("{application/json: {}}", [1], [1], None, {}),
        ("{application/json: {}}", None, None, b"null", {"Content-Type": "application/json"}),
        ("{text/plain: {}, application/json: {}}", [1], [1], None, {}),
        ("{application/vnd.x+json: {}}", [1], [1], None, {"Content-Type": "application/vnd.x+json"}),
        (
            "{application/x-www-form-urlencoded: {}}",
            {"a": "x y", "b": [1, True]},
            None,
            b"a=x%20y&b=1&b=true",
            {"Content-Type": "application/x-www-form-urlencoded"},
        ),
        ("{text/csv: {}}", "a,b", None, b"a,b", {"Content-Type": "text/csv"}),
        ("{application/octet-stream: {}}", b"\x00", None, b"\x00", {"Content-Type": "application/octet-stream"}),
    ],
)
def test_bodies(content: str, body: object, json: object, data: bytes | None, headers: dict[str, str]) -> None:
    """JSON is preferred, then a form; anything else is sent as it is given."""
    call = with_body(content).operation("post").prepare(body=body)
    assert (call.json, call.data, call.headers) == (json, data, headers)


@pytest.mark.parametrize(
    ("content", "body", "message"),
    [
        ("{multipart/form-data: {}}", {}, "a body of type 'multipart/form-data' is not made from a document"),
        ("{text/csv: {}}", [1], "must be text or bytes, as text/csv is sent as it is"),
        ("{application/x-www-form-urlencoded: {}}", {"a": {"b": 1}}, "'a' must be a text, number, boolean"),
    ],
)
def test_bodies_that_cannot_be_written_are_refused(content: str, body: object, message: str) -> None:
    """With the reason, and what to use instead where there is something."""
    with pytest.raises(OperationError) as caught:
        with_body(content).operation("post").prepare(body=body)
    assert str(caught.value).startswith(f"operation 'post': body: {message}")


def test_a_property_named_like_a_parameter_is_the_parameter() -> None:
    """The keyword has one meaning; the property is then part of `body=` only."""
    document = with_body("{application/json: {schema: {properties: {a: {type: integer}}}}}")
    assert document.operation("post").prepare(a=1).json == {"a": 1}
    assert document.operation("post").body is not None
