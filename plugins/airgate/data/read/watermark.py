"""How far an incremental read has come: a value of the field by which a service says what is new."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import pendulum

Value: TypeAlias = dt.datetime | dt.date | int | str
Kind = Literal["timestamp", "date", "integer", "text"]

VERSION = 1
_KINDS: tuple[Kind, ...] = get_args(Kind)
_NAMED_FORMATS = ("iso", "date", "epoch", "epoch_ms")
_UNITS = {"epoch": dt.timedelta(seconds=1), "epoch_ms": dt.timedelta(milliseconds=1)}


@dataclass(frozen=True, slots=True)
class Watermark:
    """A value that orders records in time or by number.

    Timestamps are in UTC. Text is ordered as text, so it must be of a form in which that makes sense.
    """

    value: Value

    @property
    def kind(self) -> Kind:
        """Of the value."""
        if isinstance(self.value, dt.datetime):
            return "timestamp"
        if isinstance(self.value, dt.date):
            return "date"
        return "integer" if isinstance(self.value, int) else "text"

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        value = self.value.isoformat() if isinstance(self.value, dt.date) else self.value
        return {"version": VERSION, "kind": self.kind, "value": value}

    @staticmethod
    def from_json(stored: object) -> Watermark:
        """Read what ``to_json`` gave.

        Raises:
            ValueError: It is something else, or of a version that this release does not know.
        """
        if not isinstance(stored, Mapping) or stored.get("version") != VERSION or stored.get("kind") not in _KINDS:
            raise ValueError(f"not a watermark of version {VERSION}: {str(stored)[:80]}")
        value, kind = stored.get("value"), stored["kind"]
        if isinstance(value, str) and kind == "timestamp":
            return Watermark(dt.datetime.fromisoformat(value))
        if isinstance(value, str) and kind == "date":
            return Watermark(dt.date.fromisoformat(value))
        if isinstance(value, int if kind == "integer" else str) and kind in {"integer", "text"}:
            return Watermark(value)
        raise ValueError(f"not a watermark: the {kind} is {value!r}")

    def minus(self, lookback: dt.timedelta | int | None) -> Watermark:
        """The watermark so far back: what came late is read again.

        Args:
            lookback: A duration for timestamps and dates (a date goes back by whole days, begun ones included), a
                number for integers; None for nothing.

        Raises:
            ValueError: The lookback is of another kind than the value.
        """
        if not lookback:
            return self
        if isinstance(self.value, dt.datetime) and isinstance(lookback, dt.timedelta):
            return Watermark(self.value - lookback)
        if isinstance(self.value, dt.date) and isinstance(lookback, dt.timedelta):
            return Watermark(self.value - dt.timedelta(days=-(-lookback // dt.timedelta(days=1))))
        if isinstance(self.value, int) and isinstance(lookback, int):
            return Watermark(self.value - lookback)
        raise ValueError(
            f"lookback {lookback!r} does not go with the {self.kind} {self.value}: timestamps and dates need a "
            "timedelta, integers a number, and text has none"
        )


def watermark_of(value: Value) -> Watermark:
    """The watermark that a person, or a rendered template, means.

    Args:
        value: A datetime (without a zone: UTC), a date, a number, or text: ISO 8601, digits for a number, else as it
            is.
    """
    if isinstance(value, dt.datetime):
        return Watermark(_utc(value))
    if isinstance(value, (dt.date, int)):
        return Watermark(value)
    text = value.strip()
    if text.removeprefix("-").isdigit():
        return Watermark(int(text))
    try:
        parsed: Any = pendulum.parse(text, exact=True)
    except ValueError:
        return Watermark(text)
    if isinstance(parsed, dt.datetime):
        return Watermark(_utc(parsed))
    return Watermark(dt.date(parsed.year, parsed.month, parsed.day)) if isinstance(parsed, dt.date) else Watermark(text)


def _utc(moment: dt.datetime) -> dt.datetime:
    # A plain datetime: pendulum's own writes itself in another form.
    aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    plain = aware.astimezone(dt.UTC)
    return dt.datetime.combine(plain.date(), plain.time(), dt.UTC)


def higher(one: Watermark | None, two: Watermark | None) -> Watermark | None:
    """The higher of two; a date counts as its beginning where the other is a timestamp.

    Raises:
        ValueError: They cannot be compared: the field has become another one.
    """
    if one is None or two is None:
        return one or two
    left, right = one.value, two.value
    if one.kind != two.kind:
        if {one.kind, two.kind} != {"timestamp", "date"}:
            raise ValueError(
                f"the watermark is the {one.kind} {left}, and the field now holds the {two.kind} {right}: give the "
                "incremental another name to start afresh"
            )
        left, right = _moment(left), _moment(right)
    return two if right > left else one  # type: ignore[operator]


def _moment(value: Value) -> dt.datetime:
    if isinstance(value, dt.datetime):
        return value
    assert isinstance(value, dt.date)
    return dt.datetime.combine(value, dt.time(), dt.UTC)


def check_format(name: str) -> None:
    """Refuse a form of a query parameter that does not exist.

    Raises:
        ValueError: Naming those that do.
    """
    if name not in _NAMED_FORMATS and "%" not in name:
        raise ValueError(
            f"format must be one of {', '.join(_NAMED_FORMATS)} or a pattern such as %Y-%m-%d %H:%M:%S, not {name!r}"
        )


def formatted(mark: Watermark, form: str) -> str | int:
    """The watermark as a query parameter.

    Args:
        mark: What is to be sent.
        form: ``iso`` (``2024-01-31T12:00:00Z``; a date stays a date), ``date``, ``epoch`` (whole seconds),
            ``epoch_ms``, or a pattern of ``strftime``. Numbers and text are sent as they are.
    """
    value = mark.value
    if not isinstance(value, dt.date):
        return value
    moment = _moment(value)
    if form in _UNITS:
        # In whole numbers, rounded down also before 1970: rounded up, what lies between would never be read.
        return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // _UNITS[form]
    if form == "date":
        return moment.date().isoformat()
    if form == "iso":
        if not isinstance(value, dt.datetime):
            return value.isoformat()
        return value.isoformat().replace("+00:00", "Z")
    return moment.strftime(form)
