"""What records look like: a JSON Schema, read as the Arrow schema that a read is locked to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from airgate.data.shape.arrowtypes import as_json_text, is_json_text, named_type

SchemaSource: TypeAlias = pa.Schema | Mapping[str, Any] | str | Path
"""An Arrow schema, a JSON Schema of one record, or the path of a file that holds one."""

DECIMAL = pa.decimal128(38, 9)
"""What ``format: decimal`` means."""

_SCALARS: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "string": pa.string(),
}
_FORMATS: dict[tuple[str, str], pa.DataType] = {
    ("integer", "int32"): pa.int32(),
    ("number", "float"): pa.float32(),
    ("number", "decimal"): DECIMAL,
    ("string", "decimal"): DECIMAL,
    ("string", "date"): pa.date32(),
    ("string", "date-time"): pa.timestamp("us", tz="UTC"),
    ("string", "time"): pa.time64("us"),
    ("string", "binary"): pa.binary(),
}
_KINDS = ("array", "boolean", "integer", "number", "object", "string")


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a schema says of a value; without a type, it is kept as its JSON text."""

    type: pa.DataType | None
    nullable: bool = False


def arrow_schema(source: SchemaSource, *, loose: bool = False) -> pa.Schema:
    """The Arrow schema of a record.

    ``integer`` becomes int64 (format ``int32``: int32), ``number`` float64 (``float``: float32, ``decimal``:
    decimal128(38, 9)), ``boolean`` bool, ``string`` string. A string of format ``date`` becomes date32, ``date-time``
    timestamp[us, UTC] (a time without an offset is taken as UTC), ``time`` time64[us] (text within a list or struct),
    ``binary`` binary; other formats stay text. ``array`` becomes a list, ``object`` with ``properties`` a struct, and
    one with nothing but ``additionalProperties`` a column of JSON text; so does every column that has such an object
    anywhere within it.

    ``$ref`` within the document, ``allOf`` (members united), ``oneOf`` and ``anyOf`` of one type and null, ``enum``,
    ``const`` and OpenAPI's ``nullable`` are understood; what is ``writeOnly`` is in no answer and gets no column. A
    column is nullable unless it is ``required`` and can not be null; what lies within a list or struct is always
    nullable.

    Args:
        source: The schema.
        loose: Whether a value that has no single type becomes JSON text instead of being refused.

    Raises:
        ValueError: When the schema uses what Arrow columns cannot hold, naming the place as a JSON pointer.
        OSError: When the file cannot be read.
    """
    if isinstance(source, pa.Schema):
        return source
    if isinstance(source, (str, Path)):
        try:
            source = json.loads(Path(source).read_text("utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"schema file {source} is not JSON: {error}") from None
    if not isinstance(source, Mapping):
        raise ValueError(f"a schema must be a JSON object, not {type(source).__name__}")  # noqa: TRY004
    reader = _Reader(source, loose)
    record, pointer, seen = reader.resolved(source, "", frozenset())
    shapes = reader.members(record, pointer, seen)
    required = set(record.get("required", ()))
    if unknown := required.difference(record["properties"]):
        raise ValueError(f"{pointer}/required: {', '.join(sorted(unknown))} is not among the properties")
    return pa.schema([_column(name, shape, required=name in required) for name, shape in shapes.items()])


def _column(name: str, shape: _Shape, *, required: bool) -> pa.Field:
    nullable = shape.nullable or not required
    return as_json_text(name, nullable) if shape.type is None else pa.field(name, shape.type, nullable)


def describe_schema(schema: pa.Schema) -> dict[str, str]:
    """The schema as column name -> Arrow type in text: ``json`` for JSON text, ``!`` behind what is never null."""
    return {
        field.name: f"{'json' if is_json_text(field) else field.type}{'' if field.nullable else '!'}"
        for field in schema
    }


class _Reader:
    """Reads the parts of one document."""

    def __init__(self, root: Mapping[str, Any], loose: bool) -> None:
        self._root = root
        self._loose = loose

    def members(self, schema: Mapping[str, Any], pointer: str, seen: frozenset[str]) -> dict[str, _Shape]:
        """The shapes of an object's properties."""
        properties = schema.get("properties")
        if not isinstance(properties, Mapping) or not properties:
            raise ValueError(f"{pointer or '/'}: an object needs 'properties' to become columns")
        return {
            name: self.shape(inner, f"{pointer}/properties/{_escaped(name)}", seen)
            for name, inner in properties.items()
            if not (isinstance(inner, Mapping) and inner.get("writeOnly") is True)
        }

    def shape(self, schema: Any, pointer: str, seen: frozenset[str]) -> _Shape:
        """What a schema says of a value."""
        if schema is True and self._loose:
            return _Shape(None, nullable=True)
        if not isinstance(schema, Mapping):
            raise ValueError(f"{pointer}: must be an object with a 'type'")  # noqa: TRY004
        if schema.get("$ref") in seen:  # holds itself, at any depth: only text can hold that
            return _Shape(None, nullable=True)
        schema, pointer, seen = self.resolved(schema, pointer, seen)
        for word in ("oneOf", "anyOf"):
            if word in schema:
                return self._one_of(schema, word, pointer, seen)
        nullable = schema.get("nullable") is True
        if "x-arrow-type" in schema:
            return _Shape(_named(schema["x-arrow-type"], pointer), nullable or "null" in _types(schema))
        types = _types(schema)
        nullable = nullable or "null" in types
        kinds = [kind for kind in types if kind != "null"]
        if len(kinds) != 1:
            if self._loose:
                return _Shape(None, nullable or not kinds)
            raise ValueError(
                f"{pointer}/type: a column needs exactly one type besides null, not {schema.get('type')!r}; declare "
                'it as {"type": "object", "additionalProperties": true} to keep its JSON text'
            )
        return replace(self._typed(kinds[0], schema, pointer, seen), nullable=nullable)

    def _typed(self, kind: str, schema: Mapping[str, Any], pointer: str, seen: frozenset[str]) -> _Shape:
        if kind in _SCALARS:
            return _Shape(_FORMATS.get((kind, str(schema.get("format"))), _SCALARS[kind]))
        if kind == "array":
            if "items" not in schema and self._loose:
                return _Shape(None)
            item = self.shape(schema.get("items"), f"{pointer}/items", seen).type
            return _Shape(None if item is None else pa.list_(_within(item)))
        if kind == "object":
            if not schema.get("properties") and (self._loose or schema.get("additionalProperties")):
                return _Shape(None)
            members = {name: shape.type for name, shape in self.members(schema, pointer, seen).items()}
            if None in members.values():
                return _Shape(None)
            # pyarrow takes an absent struct for one whose members are all null, and refuses it where one must not be.
            return _Shape(pa.struct([pa.field(name, _within(of)) for name, of in members.items()]))
        raise ValueError(f"{pointer}/type: {kind!r} is none of {', '.join(_KINDS)}")

    def _one_of(self, schema: Mapping[str, Any], word: str, pointer: str, seen: frozenset[str]) -> _Shape:
        beside = {name: value for name, value in schema.items() if name in {"type", "properties", "required"}}
        choices = [
            ({**beside, **choice} if isinstance(choice, Mapping) else choice, f"{pointer}/{word}/{place}")
            for place, choice in enumerate(schema[word])
        ]
        values = [(choice, at) for choice, at in choices if not _only_null(choice)]
        nullable = len(values) < len(choices) or schema.get("nullable") is True
        shapes = [self.shape(choice, at, seen) for choice, at in values]
        nullable = nullable or any(shape.nullable for shape in shapes)
        types = {shape.type for shape in shapes}
        if types == {pa.int64(), pa.float64()}:
            return _Shape(pa.float64(), nullable)
        if len(types) == 1:
            return _Shape(types.pop(), nullable)
        if self._loose:
            return _Shape(None, nullable)
        raise ValueError(
            f"{pointer}/{word}: a column needs one type besides null, not {len(types)}; declare it as "
            '{"type": "object", "additionalProperties": true} to keep its JSON text'
        )

    def resolved(
        self, schema: Mapping[str, Any], pointer: str, seen: frozenset[str]
    ) -> tuple[Mapping[str, Any], str, frozenset[str]]:
        """The schema with ``$ref`` followed and ``allOf`` united, where it stands, and the references on the way."""
        while "$ref" in schema:
            reference = schema["$ref"]
            if reference in seen:
                raise ValueError(f"{pointer}/$ref: {reference} leads back to itself")
            seen = seen | {reference}
            beside = {name: value for name, value in schema.items() if name != "$ref"}
            schema, pointer = {**self._target(reference, pointer), **beside}, str(reference).removeprefix("#")
        if "allOf" in schema:
            united: dict[str, Any] = {}
            for place, inner in enumerate([*schema["allOf"], {n: v for n, v in schema.items() if n != "allOf"}]):
                if not isinstance(inner, Mapping):
                    raise ValueError(f"{pointer}/allOf/{place}: must be an object")  # noqa: TRY004
                part, _, seen = self.resolved(inner, f"{pointer}/allOf/{place}", seen)
                properties = {**united.get("properties", {}), **part.get("properties", {})}
                required = [*united.get("required", ()), *part.get("required", ())]
                united |= part
                united |= {"properties": properties} if properties else {}
                united |= {"required": required} if required else {}
            schema = united
        return schema, pointer, seen

    def _target(self, reference: Any, pointer: str) -> Mapping[str, Any]:
        value: Any = self._root
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise ValueError(f"{pointer}/$ref: {reference!r} is not within the document; put what it names in there")
        for name in filter(None, reference[1:].split("/")):
            value = value.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(value, Mapping) else None
        if not isinstance(value, Mapping):
            raise ValueError(f"{pointer}/$ref: the document has no {reference}")  # noqa: TRY004
        return value


def _within(of: pa.DataType) -> pa.DataType:
    """The type of a value within a list or struct: a time of day is read only where it is a column."""
    return pa.string() if pa.types.is_time(of) else of


def _types(schema: Mapping[str, Any]) -> list[str]:
    named = schema.get("type")
    if named is not None:
        return [named] if isinstance(named, str) else [str(name) for name in named]
    if "enum" in schema or "const" in schema:
        return _kinds_of(schema.get("enum", [schema.get("const")]))
    return ["object"] if "properties" in schema else []


def _kinds_of(values: Iterable[Any]) -> list[str]:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return sorted({names.get(type(value), "object" if isinstance(value, Mapping) else "array") for value in values})


def _only_null(schema: Any) -> bool:
    return isinstance(schema, Mapping) and _types(schema) == ["null"]


def _named(name: Any, pointer: str) -> pa.DataType | None:
    if name == "json":
        return None
    try:
        return named_type(str(name))
    except ValueError as error:
        raise ValueError(f"{pointer}/x-arrow-type: {error}") from None


def _escaped(name: str) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")
