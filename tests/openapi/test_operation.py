"""An operation's arguments, its answers, and what is said about either."""

from __future__ import annotations

import datetime
import pickle
from decimal import Decimal
from enum import Enum
from urllib.parse import unquote, urlsplit
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgate.client.message import join_url
from airgate.openapi import OperationError, is_templated
from tests.openapi.shop import shop, with_body, with_parameter

ITEM = {"sku": "a", "quantity": 2}


class Color(Enum):
    RED = "red"


class TaskOutput:
    """Looks like the output of a task."""

    def iter_references(self) -> list[object]:
        return []


def wrong(**arguments: object) -> list[str]:
    """What is found wrong with arguments of reserveStock."""
    with pytest.raises(OperationError) as caught:
        shop().operation("reserveStock").prepare(**arguments)
    return [str(finding) for finding in caught.value.findings]


def test_a_call_has_every_part_in_its_place() -> None:
    """Path, query, header and body come apart, each as it goes on the wire."""
    day = datetime.date(2013, 1, 1)
    call = shop().operation("reserveStock").prepare(id="a/b", limit=10, if_match='"e"', day=day, items=[ITEM])
    assert (call.method, call.path, call.path_params) == ("PUT", "/orders/{id}", {"id": "a/b"})
    assert call.params == {"limit": "10", "day": "2013-01-01"}
    assert (call.headers, call.json, call.data) == ({"If-Match": '"e"'}, {"items": [ITEM]}, None)


def test_a_body_may_be_given_as_a_whole() -> None:
    """`body=` and keywords make the same call."""
    operation = shop().operation("reserveStock")
    assert operation.prepare(id="1", body={"items": [ITEM]}) == operation.prepare(id="1", items=[ITEM])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"id": "1", "items": [{"sku": "a", "quantity": 0}]}, "body/items/0/quantity: must be >= 1, not 0"),
        ({"id": "1", "items": [{"sku": 5}]}, "body/items/0/sku: must be a string, not 5"),
        ({"id": "1", "items": [{}]}, "body/items/0/sku: is required"),
        ({"id": "1", "items": []}, "body/items: must have at least 1 item, not 0"),
        ({"id": "1", "items": "x"}, "body/items: must be a list, not 'x'"),
        ({"id": "1", "items": [ITEM], "note": 3}, "body/note: must be a string or null, not 3"),
        ({"id": "1", "items": [ITEM], "gift": "x"}, "body/gift: must be an integer or null, not 'x'"),
        ({"id": "1", "items": [ITEM], "number": "n"}, "body/number: must not be in a request: it is readOnly"),
        ({"id": "1", "body": {"items": [ITEM], "itemz": 1}}, "body/itemz: is unknown; did you mean 'items'?"),
        ({"id": "1", "body": {"a/b~c": 1, "items": [ITEM]}}, "body/a~1b~0c: is unknown"),
        ({"id": "1", "items": [ITEM], "limit": 0}, "query/limit: must be >= 1, not 0"),
        ({"id": "1", "items": [ITEM], "limit": "ten"}, "query/limit: must be an integer, not 'ten'"),
        ({"id": "1", "items": [ITEM], "limit": True}, "query/limit: must be an integer, not true"),
        ({"id": "1", "items": [ITEM], "day": "2013-13-01"}, "query/day: must be a date, not '2013-13-01'"),
        ({"id": "1", "items": [ITEM], "limitt": 1}, "limitt: is an unknown argument; did you mean 'limit'?"),
        ({"id": "1", "items": [ITEM], "body": {}}, "body: is given as a whole and in parts: items"),
        ({"id": "1"}, "body: is required"),
        ({"id": None, "items": [ITEM]}, "path/id: is required"),
        ({"id": "..", "items": [ITEM]}, "path/id: must be a path segment, not '..'"),
        ({"id": "", "items": [ITEM]}, "path/id: must be a path segment, not ''"),
        (
            {"id": "1", "items": [ITEM], "If-Match": "a\r\nX: 1"},
            "header/If-Match: must be one line of printable characters without spaces around it",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_was_expected(arguments: dict[str, object], expected: str) -> None:
    """One mistake gives one finding: where, what was expected, what stood there."""
    assert wrong(**arguments) == [expected]


def test_all_mistakes_come_at_once_and_the_text_stays_short() -> None:
    """A person mends five things in one round; the error itself has them all, also in another process."""
    with pytest.raises(OperationError) as caught:
        shop().operation("reserveStock").prepare(id="..", limit=0, day=1, items=[{}, {}, {}, {}])
    again = pickle.loads(pickle.dumps(caught.value))
    assert len(again.findings) == 7
    assert str(again) == str(caught.value)
    assert str(again).startswith("operation 'reserveStock': ")
    assert str(again).endswith("; and 2 more")


@pytest.mark.parametrize(
    "arguments",
    [{"password": "hunter2"}, {"pin": "hu2"}, {"api_token": "hunter2"}, {"note": "x", "body": {"password": "hunter2"}}],
)
def test_a_value_that_may_be_secret_is_not_shown(arguments: dict[str, object]) -> None:
    """By its name or by the schema's format."""
    found = wrong(**{"id": "1", **({} if "body" in arguments else {"items": [ITEM]}), **arguments})
    assert found
    assert "hu" not in "".join(found)


def test_what_airflow_and_python_have_in_place_of_json() -> None:
    """Days, moments, UUIDs, decimals, enums and tuples go out as JSON has them."""
    operation = with_body("{application/json: {schema: {type: object, properties: {a: {type: array}}}}}").operation(
        "post"
    )
    moment = datetime.datetime(2013, 1, 1, tzinfo=datetime.UTC)
    call = operation.prepare(a=(moment, UUID(int=1), Decimal("1.5"), Decimal(2), Color.RED))
    assert call.json == {"a": ["2013-01-01T00:00:00+00:00", str(UUID(int=1)), 1.5, 2, "red"]}
    for number in (float("nan"), Decimal("inf")):
        with pytest.raises(OperationError, match="a: must be a finite number"):
            operation.prepare(a=[number])
    with pytest.raises(OperationError, match="a: must have a time zone"):
        operation.prepare(a=[datetime.datetime(2013, 1, 1)])  # noqa: DTZ001


def test_a_rendered_template_counts_as_the_number_it_reads_as() -> None:
    """Jinja makes texts; a parameter travels as text anyway, a body does not."""
    assert shop().operation("reserveStock").prepare(id="1", limit="7", items=[ITEM]).params == {"limit": "7"}
    assert shop().operation("reserveStock").prepare(id=7, items=[ITEM]).path_params == {"id": "7"}
    assert wrong(id="1", items=[{"sku": "a", "quantity": "2"}]) == [
        "body/items/0/quantity: must be an integer, not '2'"
    ]


def test_a_name_in_two_places_must_say_which() -> None:
    """`id` alone would be a guess, `query.id` is none."""
    both = "{name: id, in: path, required: true, schema: {}}, {name: id, in: query, schema: {}}"
    operation = with_parameter(both, "/x/{id}").operation("get")
    with pytest.raises(OperationError, match=r"id: could be any of path\.id, query\.id; name it so"):
        operation.prepare(id=1)
    call = operation.prepare(**{"path.id": 1, "query.id": 2})
    assert (call.path_params, call.params) == ({"id": "1"}, {"id": "2"})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"id": "{{ ds }}", "items": "{{ a }}", "limit": "{{ x }}"}, None),
        ({"id": TaskOutput(), "body": TaskOutput()}, None),
        ({"id": TaskOutput(), "body": {"{{ key }}": 1}}, None),
        ({"id": "1", "items": [{"sku": "{{ a }}", "quantity": "{% if x %}1{% endif %}"}]}, None),
        ({"id": "1", "items": ["{{ a }}", {"sku": "b", "quantity": 0}]}, "body/items/1/quantity: must be >= 1, not 0"),
        ({"id": "1", "items": [{"quantity": "{{ a }}"}]}, "body/items/0/sku: is required"),
        ({"id": "1", "items": "{{ a }}", "limit": 0}, "query/limit: must be >= 1, not 0"),
        ({"items": "{{ a }}"}, "path/id: is required"),
        ({"id": "1", "items": "{{ a }}", "limitt": "{{ b }}"}, "limitt: is an unknown argument; did you mean 'limit'?"),
    ],
)
def test_what_is_known_at_parse_time_is_checked_then(arguments: dict[str, object], expected: str | None) -> None:
    """Templates and task outputs are passed over, whatever stands beside them is not."""
    operation = shop().operation("reserveStock")
    if expected is None:
        operation.check_literals(arguments)
    else:
        with pytest.raises(OperationError) as caught:
            operation.check_literals(arguments)
        assert [str(finding) for finding in caught.value.findings] == [expected]


def test_a_branch_that_hangs_on_a_template_is_left_open() -> None:
    """Neither `then` nor an alternative may be judged by a value that is not known yet."""
    schema = (
        "{type: object, properties: {kind: {type: string}}, if: {properties: {kind: {const: a}}}, "
        "then: {required: [x]}, else: {required: [y]}}"
    )
    operation = with_body(f"{{application/json: {{schema: {schema}}}}}").operation("post")
    operation.check_literals({"body": {"kind": "{{ kind }}", "x": 1}})
    with pytest.raises(OperationError, match="body/y: is required"):
        operation.check_literals({"body": {"kind": "b"}})


def test_what_counts_as_not_known_yet() -> None:
    """Jinja's three brackets, and objects that Airflow resolves."""
    assert [is_templated(each) for each in ("{{ a }}", "{% a %}", "{# a #}", TaskOutput(), "a", 1, None, {})] == [
        *(True, True, True, True),
        *(False, False, False, False),
    ]


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (200, {"content-type": "application/json", "x-left": "3"}, {"child": {"size": 1}}, []),
        (404, {}, None, []),
        (204, {}, None, []),
        (
            200,
            {"X-Left": "3"},
            {"child": {"child": {"size": "x"}}},
            ["response/body/child/child/size: must be an integer, not 'x'"],
        ),
        (200, {"X-Left": "3"}, {"hint": "x"}, ["response/body/hint: must not be in a response: it is writeOnly"]),
        (200, {}, {}, ["response/headers/X-Left: is required"]),
        (200, {"x-left": "many"}, {}, ["response/headers/X-Left: must be an integer, not 'many'"]),
        (500, {}, {}, ["response/status: 500 is not described; described are 200, 4XX, 204"]),
        (
            200,
            {"content-type": "text/html; charset=utf-8", "x-left": "3"},
            None,
            ["response/headers/content-type: must be application/json, not 'text/html'"],
        ),
    ],
)
def test_an_answer_is_held_against_the_document(
    status: int, headers: dict[str, str], body: object, expected: list[str]
) -> None:
    """Status, content type, headers and body, each by its place."""
    operation = shop().operation("reserveStock")
    if not expected:
        operation.check_response(status, headers, body)
        return
    with pytest.raises(OperationError) as caught:
        operation.check_response(status, headers, body)
    assert [str(finding) for finding in caught.value.findings] == expected


def test_null_is_said_differently_in_both_versions() -> None:
    """3.0 has nullable, 3.1 has a type."""
    old, new = "type: string, nullable: true", "type: [string, 'null']"
    for version, null, other in (("3.0.3", old, "type: string"), ("3.1.0", new, old)):
        body = f"{{application/json: {{schema: {{properties: {{a: {{{null}}}, b: {{{other}}}}}}}}}}}"
        operation = with_body(body, version).operation("post")
        assert operation.prepare(a=None).json == {"a": None}
        with pytest.raises(OperationError, match=r"body/b: must be a string.*, not null"):
            operation.prepare(b=None)


def test_exclusive_bounds_are_said_differently_in_both_versions() -> None:
    """3.0 has a flag beside the bound, 3.1 a bound of its own; the finding reads the same."""
    for version, schema in (("3.0.3", "minimum: 1, exclusiveMinimum: true"), ("3.1.0", "exclusiveMinimum: 1")):
        operation = with_parameter(f"{{name: n, in: query, schema: {{type: number, {schema}}}}}", version=version)
        with pytest.raises(OperationError, match="query/n: must be > 1, not 1"):
            operation.operation("get").prepare(n=1)


@given(value=st.text() | st.integers() | st.lists(st.text(), min_size=1))
def test_no_value_leaves_its_path_segment(value: object) -> None:
    """Whatever is given is refused, or stands apart from the path until it is escaped as one segment of it."""
    document = with_parameter("{name: id, in: path, required: true, schema: {}}", "/a/{id}/b")
    try:
        call = document.operation("get").prepare(id=value)
    except OperationError:
        return
    assert (call.path, set(call.path_params)) == ("/a/{id}/b", {"id"})
    try:
        url = join_url("http://h/base", call.path, call.path_params, call.params)
    except ValueError:
        return
    split = urlsplit(url)
    assert (split.netloc, split.query, split.fragment) == ("h", "", "")
    assert [unquote(part) for part in split.path.split("/")] == ["", "base", "a", call.path_params["id"], "b"]


def test_a_parameter_may_be_called_self() -> None:
    """Any name that a document gives can be given."""
    assert with_parameter("{name: self, in: query, schema: {}}").operation("get").prepare(self=1).params == {
        "self": "1"
    }
