"""Where documents come from, how references lead through them, what is wrong with them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgate.openapi import Document, DocumentError, OperationError, load, open_document, problems
from tests.openapi.shop import SHOP, shop, with_body, with_parameter

ROOT = Path(__file__).resolve().parents[2]


def test_operations_by_id() -> None:
    """With and without an id of their own, in the document's order."""
    document = shop()
    assert (document.version, document.title) == ("3.1", "shop")
    assert list(document.operations) == ["reserveStock", "DELETE /orders/{id}"]
    put, delete = document.operations.values()
    assert (put.method, put.path, put.summary, put.deprecated, put.security) == (
        *("PUT", "/orders/{id}", "Reserve", False),
        (("token",),),
    )
    assert (delete.deprecated, delete.security, [each.name for each in delete.parameters]) == (True, (), ["id"])
    assert list(put.responses) == ["200", "4XX", "204"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("reservestok", "did you mean 'reserveStock'?"),
        ("RESERVESTOCK", "did you mean 'reserveStock'?"),
        ("x", "it has reserveStock, DELETE /orders/{id}"),
    ],
)
def test_an_unknown_operation_is_answered_with_near_ones(asked: str, message: str) -> None:
    """Whoever mistyped sees what there is."""
    with pytest.raises(ValueError) as caught:
        shop().operation(asked)
    assert str(caught.value) == f"operation {asked!r} is not in shop.yaml; {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "x: it must be an object, not list"),
        ('{"openapi": "3.1.0",}', "x: it has no field openapi"),
        ("a: [", "x: it is neither JSON nor YAML"),
        ("{'openapi': ", "x: it is neither JSON nor YAML"),
        ("swagger: '2.0'", "x: it is Swagger 2.0; convert it to OpenAPI 3.0 or 3.1"),
        ("openapi: 4.0.0", "x: it is OpenAPI 4.0.0; airgate reads 3.0 and 3.1"),
        ("info: {}", "x: it has no field openapi; airgate reads 3.0 and 3.1"),
        ("\x00", "x: it is neither JSON nor YAML"),
        ("!!python/object/apply:os.system ['true']", "x: it is neither JSON nor YAML"),
    ],
)
def test_what_is_no_document_is_refused(text: str, message: str) -> None:
    """With what is wrong; YAML builds no Python objects."""
    if text.startswith('{"openapi"'):
        assert load(text, "x").version == "3.1"  # a trailing comma is fine in YAML
        return
    with pytest.raises(DocumentError) as caught:
        load(text, "x")
    assert str(caught.value).startswith(message)


def test_yaml_has_only_the_scalars_of_json() -> None:
    """A day stays a text, `no` is no boolean, and a status is a text like every key."""
    document = with_parameter("{name: p, in: query, schema: {enum: [no, 2013-01-01, true]}}")
    operation = document.operation("get")
    [parameter] = operation.parameters
    assert parameter.schema is not None
    assert parameter.schema.value == {"enum": ["no", "2013-01-01", True]}
    assert list(operation.responses) == ["200"]


def test_json_and_yaml_read_the_same() -> None:
    """A document is what it says, however it is written."""
    as_json = load(json.dumps(shop().library.root.value))
    assert as_json.library.root.value == shop().library.root.value


def test_references_with_escapes_and_circles() -> None:
    """`~1`, `~0` and percent signs are read; a schema may hold itself; a chain that is a circle is named."""
    odd = "{schemas: {'a/b~c d': {type: integer}, Loop: {$ref: '#/components/schemas/Loop'}}}"
    operation = with_body(
        "{application/json: {schema: {properties: {a: {$ref: '#/components/schemas/a~1b~0c%20d'}}}}}", components=odd
    ).operation("post")
    with pytest.raises(OperationError, match="body/a: must be an integer, not 'x'"):
        operation.prepare(a="x")
    document = with_parameter("{$ref: '#/components/parameters/A'}")
    document.library.root.value["components"] = {
        "parameters": {"A": {"$ref": "#/components/parameters/B"}, "B": {"$ref": "#/components/parameters/A"}}
    }
    with pytest.raises(DocumentError, match=r"/components/parameters/B: the reference .* leads in a circle"):
        document.operation("get").prepare()


@pytest.mark.parametrize("reference", ["http://127.0.0.1:9/x.yaml#/A", "other.yaml#/A", "/etc/passwd", "../x.yaml"])
def test_a_document_without_a_folder_stays_within_itself(reference: str) -> None:
    """No file is read and nothing is fetched on the word of a document that came from the network."""
    in_parameter = with_parameter(f"{{$ref: '{reference}'}}")
    with pytest.raises(DocumentError, match="leaves the document"):
        in_parameter.operation("get").prepare()
    in_schema = with_parameter(f"{{name: p, in: query, schema: {{items: {{$ref: '{reference}'}}}}}}")
    with pytest.raises(DocumentError, match="leaves the document"):
        in_schema.operation("get").prepare(p=[1])
    assert any("leaves the document" in each for each in problems(in_parameter))


def test_files_next_to_a_file_are_read_and_no_others(tmp_path: Path) -> None:
    """Parameters and schemas may stand in a neighbour, and refer on from there; outside the folder nothing is read."""
    (tmp_path / "secret.yaml").write_text("A: {type: integer}")
    home = tmp_path / "api"
    (home / "parts").mkdir(parents=True)
    (home / "parts" / "p.yaml").write_text("P: {name: p, in: query, schema: {$ref: '#/S'}}\nS: {$ref: '../s.json#/S'}")
    (home / "s.json").write_text('{"S": {"type": "integer"}}')
    (home / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    text = (
        SHOP + "    Out: {$ref: '../secret.yaml#/A'}\n    Link: {$ref: 'link.yaml#/A'}\n    Gone: {$ref: 'gone.yaml'}\n"
    )
    text = text.replace("{name: limit, in: query, schema: {type: integer, minimum: 1}}", "{$ref: 'parts/p.yaml#/P'}")
    (home / "api.yaml").write_text(text)
    document = open_document(home / "api.yaml")
    with pytest.raises(OperationError, match="query/p: must be an integer, not 'x'"):
        document.operation("reserveStock").prepare(id="1", p="x", items=[{"sku": "a"}])
    found = problems(document)
    assert len(found) == 3
    assert all("cannot be followed" in each for each in found)


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    """And only then: every operator of a DAG file asks for it."""
    path = tmp_path / "api.yaml"
    path.write_text(SHOP)
    first = open_document(path)
    assert open_document(str(path)) is first
    path.write_text(SHOP.replace("title: shop", "title: shop two"))
    assert open_document(path).title == "shop two"


def test_a_document_in_a_package() -> None:
    """By the package's name and the path in it."""
    document = open_document("package://include.openapi/sample-services.json")
    assert "listFlights" in document.operations


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("/nowhere/api.yaml", "the OpenAPI document /nowhere/api.yaml cannot be read: No such file or directory"),
        ("package://nowhere/api.yaml", "there is no package 'nowhere' that can be imported"),
        ("package://include.openapi/nowhere.json", "cannot be read: No such file or directory"),
        ("package://include", "must be package://package.name/path/in/it"),
    ],
)
def test_a_location_without_a_document_is_named(location: str, message: str) -> None:
    """With what is missing there."""
    with pytest.raises(DocumentError) as caught:
        open_document(location)
    assert message in str(caught.value)


def test_the_same_id_twice_means_neither() -> None:
    """A guess would call the wrong one."""
    document = load(SHOP.replace("      deprecated: true", "      operationId: reserveStock"), "shop.yaml")
    with pytest.raises(ValueError, match=r"stands twice in shop.yaml: /paths/~1orders~1\{id\}/put and .*/delete"):
        document.operation("reserveStock")
    assert problems(document) == [
        "/paths/~1orders~1{id}/delete: operationId 'reserveStock' is used before, at /paths/~1orders~1{id}/put"
    ]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            with_parameter("{name: q, in: query, schema: {}}", "/x/{id}"),
            "/paths/~1x~1{id}/get/parameters: the path parameter 'id' is not described",
        ),
        (
            with_parameter("{name: id, in: path, required: true, schema: {}}"),
            "/paths/~1x/get/parameters: the path parameter 'id' is not in the path /x",
        ),
        (
            with_parameter("{name: q, in: query}"),
            "/paths/~1x/get/parameters: query/q: it has neither schema nor content",
        ),
        (
            with_parameter("{name: q, in: body}"),
            "/paths/~1x/get/parameters/0: a parameter needs a name, and in: path, query, header, cookie",
        ),
        (with_parameter("{$ref: '#/nowhere'}"), "/paths/~1x/get/parameters/0: nothing stands at '#/nowhere'"),
        (
            with_parameter("{name: q, in: query, style: pipeDelimited, schema: {}}"),
            "/paths/~1x/get/parameters: query/q: style 'pipe",
        ),
        (
            with_parameter("{name: q, in: query, schema: {type: intger}}"),
            "/paths/~1x/get/parameters/0/schema/type: the schema is not valid",
        ),
        (
            with_body("{application/json: {}}", components="{schemas: {A: {properties: {b: {minimum: x}}}}}"),
            "/components/schemas/A/properties/b/minimum: the schema is not valid",
        ),
        (with_body("{}"), "/paths/~1x/post/requestBody: a requestBody needs content with a media type"),
        (load("openapi: 3.1.0"), "/paths: it is missing"),
        (load("{openapi: 3.0.1, paths: {x: {}}}"), "/paths/x: a path begins with /"),
        (
            load("{openapi: 3.0.1, paths: {'/a/{x}': {}, '/a/{y}': {}}}"),
            "/paths/~1a~1{y}: a gateway cannot tell it from /a/{x}",
        ),
    ],
)
def test_problems_name_their_place(document: Document, expected: str) -> None:
    """One for each mistake, with its JSON pointer."""
    [found] = problems(document)
    assert found.startswith(expected)


def test_what_looks_like_a_reference_in_an_example_is_none() -> None:
    """Data is not read as OpenAPI; a property that is called `example` is."""
    document = with_body(
        "{application/json: {example: {$ref: '#/gone'}, schema: {properties: {example: {$ref: '#/lost'}}}}}"
    )
    assert len(problems(document)) == 1
    assert "#/lost" in problems(document)[0]


def test_a_broken_schema_does_not_end_in_a_stack_trace_of_a_library() -> None:
    """A call that meets it says where it is."""
    document = with_parameter("{name: q, in: query, schema: {type: 5}}")
    with pytest.raises((DocumentError, OperationError)):
        document.operation("get").prepare(q=1)


def test_a_discriminator_chooses_the_schema() -> None:
    """In 3.0 the named schema alone counts, so the finding is about that one."""
    components = (
        "{schemas: {Cat: {type: object, required: [lives], properties: {kind: {type: string}}}, "
        "Dog: {type: object, required: [bark], properties: {kind: {type: string}}}}}"
    )
    schema = (
        "{oneOf: [{$ref: '#/components/schemas/Cat'}, {$ref: '#/components/schemas/Dog'}], "
        "discriminator: {propertyName: kind}}"
    )
    operation = with_body(f"{{application/json: {{schema: {schema}}}}}", "3.0.3", components).operation("post")
    assert operation.prepare(body={"kind": "Dog", "bark": "wau"}).json
    with pytest.raises(OperationError, match="body/lives: is required"):
        operation.prepare(body={"kind": "Cat", "bark": "wau"})


def test_importing_the_room_is_cheap() -> None:
    """DAG files import it; YAML, JSON Schema and HTTP libraries come in with the first document, or never."""
    heavy = ("yaml", "jsonschema", "openapi_schema_validator", "referencing", "requests", "airflow")
    script = f"import sys, airgate.openapi; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("junk", [None, 1, "x", [], {}, [1], {"a": 1}, True, {"$ref": "#"}, {"$ref": 1}])
def test_no_value_at_any_place_ends_in_a_surprise(junk: object) -> None:
    """Any one place of the document may hold anything: it is used, or an error says that it cannot be."""
    text = json.dumps(shop().library.root.value)
    for path in list(places(json.loads(text))):
        content = json.loads(text)
        holder = content
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = junk
        try:
            document = load(json.dumps(content))
            operations = list(document.operations.values())
        except ValueError:
            continue
        assert isinstance(problems(document), list)
        for operation in operations:
            for use in (
                lambda one=operation: one.prepare(id="1", items=[{"sku": "a"}], limit=3),
                lambda one=operation: one.check_response(200, {"x-left": "3"}, {"child": {"size": 1}}),
            ):
                with contextlib.suppress(ValueError):
                    use()


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every value within a value."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*path, key)
        yield from places(value[key], (*path, key))  # type: ignore[index]
