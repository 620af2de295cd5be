"""Tells what is wrong with records, column by column: many records cost as many parses as there are columns.

A column's values are parsed together, without the rest of their records. Where they fail, a value of a wrong kind, such
as a text in a column of numbers, condemns all of that kind with one parse; only what has the right kind and cannot be
read all the same, such as a text that is no date, is parsed value by value in the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import msgspec
import pyarrow as pa

from airgate.data.shape.arrowtypes import is_json_text, is_text
from airgate.data.shape.halving import halve
from airgate.data.shape.parsing import NO_OBJECT, RecordParser
from airgate.policy.json_faults import NOT_JSON

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SHOWN = 80
"""Bytes of a value that a reason shows."""

_KINDS = {b'"': "text", b"{": "object", b"[": "list", b"t": "truth", b"f": "truth"}
_NO_INTEGER = re.compile(rb"[.eE]")
_DIGITS = re.compile(rb"[0-9]+")
_LETTERS = re.compile(rb"[A-Za-z]+")

Refused = Callable[[pa.ArrowInvalid], None]
"""Is told why texts were refused; may raise."""


class Faults:
    """Finds the columns at fault.

    Args:
        schema: Of the records.
        strict: Whether a field that the schema does not name is a fault.
        refused: Is told of each refusal of a column's values, and of records for nothing but an unknown field.
    """

    def __init__(self, schema: pa.Schema, *, strict: bool, refused: Refused) -> None:
        self._schema = schema
        self._strict, self._refused = strict, refused
        self._names = frozenset(schema.names)
        self._columns = [_Column(field, strict, refused) for field in schema]

    def of(self, texts: Sequence[bytes]) -> list[str | None]:
        """What is wrong with each record: reason, or None where the columns show nothing and it may fit."""
        objects = list(map(object_of, texts))
        at_fault: list[list[str]] = [[] for _ in texts]
        for column in self._columns:
            column.check(objects, at_fault)
        found: list[str | None] = []
        for text, values, reasons in zip(texts, objects, at_fault, strict=True):
            if self._strict and values and (unknown := sorted(values.keys() - self._names)):
                if not reasons:
                    self._refused(pa.ArrowInvalid(f"unexpected field {unknown[0]}"))
                reasons.append(f"the schema has no {', '.join(unknown)}")
            found.append(NO_OBJECT if text[:1] != b"{" else "; ".join(reasons) or None)
        return found


def object_of(text: bytes) -> dict[str, msgspec.Raw] | None:
    """The members of a record, each as its text; None when it is no object in strict JSON."""
    try:
        return _OBJECT.decode(text)
    except NOT_JSON:
        return None


class _Column:
    """One column and what has been learned of it."""

    def __init__(self, field: pa.Field, strict: bool, refused: Refused) -> None:
        self._field, self._strict, self._refused = field, strict, refused
        self._takes_all, self._is_text = is_json_text(field), is_text(field.type)
        self._is_integer = pa.types.is_integer(field.type)
        self._parser: RecordParser | None = None
        self._wrong: set[str] = set()
        """Kinds of values that it never takes."""

    def check(self, objects: Sequence[dict[str, msgspec.Raw] | None], at_fault: Sequence[list[str]]) -> None:
        """Add what is wrong with this column to what is wrong with each record."""
        name, required = self._field.name, not self._field.nullable
        texts: list[bytes | None] = []
        for values, reasons in zip(objects, at_fault, strict=True):
            raw = values.get(name) if values is not None else None
            text = None if raw is None else bytes(raw)
            texts.append(None if text == b"null" else text)
            if required and values is not None and texts[-1] is None:
                reasons.append(f"{name} is {'missing' if raw is None else 'null'} but required")
        unfit = self._unfit(text for text in texts if text is not None)
        for text, reasons in zip(texts, at_fault, strict=True):
            if text is not None and text in unfit:
                shown = text[:_SHOWN].decode("utf-8", "replace")
                reasons.append(f"{name} is {shown}, not {self._field.type}")

    def _unfit(self, texts: Iterable[bytes]) -> set[bytes]:
        if self._takes_all:
            return set()
        open_: list[bytes] = []
        unfit: set[bytes] = set()
        for text in dict.fromkeys(texts):
            if self._is_text and text.isascii() and b"\\" not in text:  # there is nothing in it that could be refused
                if text[:1] != b'"':
                    unfit.add(text)
            elif _kind(text) in self._wrong:
                unfit.add(text)
            else:
                open_.append(text)
        if open_ and not self._fits(open_):
            unfit.update(self._unfit_of(open_))
        return unfit

    def _unfit_of(self, texts: list[bytes]) -> list[bytes]:
        """Those that do not fit, of some that do not fit together."""
        one_of_kind = {_kind(text): text for text in texts}
        for kind, text in one_of_kind.items():
            self._fits([text], kind)
        right = [text for text in texts if _kind(text) not in self._wrong]
        unfit = [text for text in texts if _kind(text) in self._wrong]
        if not right or self._fits(right):
            return unfit
        alone, crowded = self._halved(right)
        # Where misfits are many they mostly look alike, and unlike what fits: 01/02/2013 among 2013-01-02.
        shapes: dict[bytes, list[bytes]] = {}
        for text in crowded:
            shapes.setdefault(_shape(text), []).append(text)
        for alike in shapes.values():
            if not self._fits(alike):
                more, rest = self._halved(alike)
                alone += more + [text for text in rest if not self._fits([text])]
        return unfit + alone

    def _halved(self, texts: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Of texts that do not fit together: those that do not fit alone, and some among which others are."""
        alone: list[bytes] = []
        crowded: list[bytes] = []
        for stretch in halve(len(texts), lambda first, behind: self._fits(texts[first:behind])):
            (alone if len(stretch) == 1 else crowded).extend(texts[stretch.start : stretch.stop])
        return alone, crowded

    def _fits(self, texts: list[bytes], kind: str | None = None) -> bool:
        """Whether the column takes all of them; learns whether it never takes that kind."""
        name = self._field.name
        if self._parser is None:
            self._parser = RecordParser(pa.schema([self._field]), strict=self._strict)
        try:
            self._parser.parse([msgspec.json.encode({name: msgspec.Raw(text)}) for text in texts])
        except pa.ArrowInvalid as error:
            self._refused(error)
            never = f"Column(/{name}) changed from" in str(error)
            if kind and (never or (kind == "fraction" and self._is_integer)):
                self._wrong.add(kind)
            return False
        return True


def _kind(text: bytes) -> str:
    """What pyarrow tells apart before it looks at a value: JSON's kinds, null aside; and what no integer looks like."""
    kind = _KINDS.get(text[:1])
    return kind or ("fraction" if _NO_INTEGER.search(text) else "integer")


def _shape(text: bytes) -> bytes:
    """What a value looks like, whatever its digits and letters are."""
    return _LETTERS.sub(b"a", _DIGITS.sub(b"0", text))
