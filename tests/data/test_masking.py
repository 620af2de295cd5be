"""Single values of a record's text disappear, every other byte stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgate.data.store.masking import mask_reason, mask_record, named, secret


@pytest.mark.parametrize(
    ("text", "fields", "masked"),
    [
        ('{"email": "a@b.c" ,\n "id":1}', ["email"], '{"email": "***" ,\n "id":1}'),
        ('{"id":1.50,"e":-2e3}', ["e"], '{"id":1.50,"e":"***"}'),
        ('{"a":{"email":"x","b":[1]}}', ["a.email"], '{"a":{"email":"***","b":[1]}}'),
        ('{"a":{"email":"x"},"email":"y"}', ["email"], '{"a":{"email":"x"},"email":"***"}'),
        ('{"a":[{"c":"4111"},[{"c":4222}],{"c":null}]}', ["a.c"], '{"a":[{"c":"***"},[{"c":"***"}],{"c":null}]}'),
        ('{"a":{"b":[{"c":1}]},"d":2}', ["a"], '{"a":"***","d":2}'),
        ('{"a":{"b":1},"a":[1,{"b":2}],"a":{}}', ["a"], '{"a":"***","a":"***","a":"***"}'),
        ('{"a":["x","y"]}', ["a"], '{"a":"***"}'),
        ('{"a":"{\\"b\\": \\"hidden\\"}"}', ["a.b"], '{"a":"***"}'),
        ('{"\\u0065mail":"x"}', ["email"], '{"\\u0065mail":"***"}'),
        ('{"a":"quote \\" } ,","email":"x"}', ["email"], '{"a":"quote \\" } ,","email":"***"}'),
        ('{"n":12345678901234567890,"s":"\\ud800","e":NaN,"email":1}', ["email"], None),
        ("{}", ["a"], "{}"),
        ("[]", ["a"], "[]"),
        ("null", ["a"], "null"),
        ('"a@b.c"', ["email"], '"***"'),
        ("[1,2]", ["email"], '["***","***"]'),
    ],
)
def test_named_fields(text: str, fields: list[str], masked: str | None) -> None:
    """Through objects and lists, under repeated and escaped names, and where a scalar stands for their parent."""
    found, values = mask_record(text, named(fields))
    assert found == (text.replace('"email":1', '"email":"***"') if masked is None else masked)
    assert bool(values) == (found != text)


@pytest.mark.parametrize(
    "text", ["", "{", '{"a":1', '{"a":1}}', '{"a" 1}', '{"a":1,}', "{,}", '{"a":1}{"a":2}', '{"a":"x']
)
def test_what_is_not_json_is_masked_as_a_whole(text: str) -> None:
    """Nobody can say where the field stands in it."""
    assert mask_record(text, named(["b"])) == ('"***"', [text])


@pytest.mark.parametrize("fields", [[""], ["a."], [".a"], ["a..b"]])
def test_a_field_without_a_name_is_refused(fields: list[str]) -> None:
    """It would mask nothing, unnoticed."""
    with pytest.raises(ValueError, match="dotted names"):
        named(fields)


def test_secret_names() -> None:
    """Whatever lies under a name that says secret, in any depth."""
    text = '{"user":{"password":"p","apiKey":{"k":[1]},"name":"n"},"access_token":null,"tokens_used":3}'
    masked = '{"user":{"password":"***","apiKey":"***","name":"n"},"access_token":null,"tokens_used":3}'
    assert mask_record(text, secret)[0] == masked


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc") | st.text(), inner, max_size=3),
    max_leaves=20,
)


def by_value(value: Any, path: tuple[str, ...]) -> Any:
    """The same masking done on parsed values."""
    if isinstance(value, list) and path:
        return [by_value(inner, path) for inner in value]
    if isinstance(value, dict):
        return {
            name: ("***" if len(path) == 1 and inner is not None else by_value(inner, path[1:]))
            if name == path[0]
            else inner
            for name, inner in value.items()
        }
    return value if value is None else "***"


@given(json_values, st.lists(st.sampled_from("abc"), min_size=1, max_size=3), st.booleans(), st.sampled_from([None, 1]))
def test_masking_the_text_is_masking_the_values(value: Any, path: list[str], ascii_: bool, indent: int | None) -> None:
    """Whatever JSON it is and however it is written."""
    text = json.dumps(value, ensure_ascii=ascii_, indent=indent)
    assert json.loads(mask_record(text, named([".".join(path)]))[0]) == by_value(value, tuple(path))
    assert mask_record(text, lambda path, scalar: False) == (text, [])


@pytest.mark.parametrize(
    ("reason", "values", "masked"),
    [
        ('email is "a@b.example", not int64', ['"a@b.example"'], 'email is "***", not int64'),
        ("amount is 6, not int64", ["6"], "amount is ***, not int64"),
        (
            'a is {"b":1,"email":"very-long-mai, not int64',
            ['"very-long-mail@x"'],
            'a is {"b":1,"email":"***, not int64',
        ),
        (
            'customer.email is "a@b.example", not int64',
            ['{"email":"a@b.example"}'],
            'customer.email is "***", not int64',
        ),
        ("id is missing but required", ['"a@b.example"', "7", '"***"', '""'], "id is missing but required"),
    ],
)
def test_a_reason_does_not_quote_what_was_masked(reason: str, values: list[str], masked: str) -> None:
    """Whole, cut at the end, or a part of a masked object; the rest of the reason stays readable."""
    assert mask_reason(reason, values) == masked
