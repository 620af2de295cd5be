"""What an incremental read asks for: records that are new since the last one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from airgate.data.read.watermark import Value, Watermark, check_format, formatted, watermark_of

if TYPE_CHECKING:
    from airflow.sdk import Asset

    from airgate.hooks.watermarks import AssetWatermark

_SINCE = "airgate.since"
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Incremental:
    """Reads what a service calls new: records whose ``field`` is at or behind the watermark of the last read.

    The watermark is the highest value of ``field`` among the rows that have become durable. It belongs to the asset,
    and it never moves backwards.

    Args:
        param: Query parameter that asks for records from a moment on.
        field: Dotted name of the field by which the service compares.
        asset: Whose watermark it is; becomes an outlet of the task unless it is an inlet or outlet already.
        initial: Where the first read begins: a datetime, date, number or text; None reads everything.
        lookback: How far before the watermark a read begins, for records that come late: a timedelta, or a number for a
            field of numbers. Its records are read again, so load them by key.
        since: Template of where the read begins, instead of the watermark, such as ``{{ data_interval_start }}`` for
            backfills; nothing is taken off it. Text that renders empty, or as None, means the watermark.
        until: Template of where it ends, such as ``{{ data_interval_end }}``; empty or None for no end.
        until_param: Query parameter for ``until``.
        format: Of both parameters: ``iso``, ``date``, ``epoch`` (seconds), ``epoch_ms``, or a pattern of ``strftime``.
        text_order: Compare text as text; without, it must be ISO 8601.
        name: Tells several watermarks of one asset apart. Mapped tasks have one for each path and query anyway.
    """

    param: str
    field: str
    asset: Asset
    initial: Value | None = None
    lookback: timedelta | int | None = None
    since: str | None = None
    until: str | None = None
    until_param: str | None = None
    format: str = "iso"
    text_order: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        for name in ("param", "field"):
            if not getattr(self, name):
                raise ValueError(f"incremental: {name} is missing")
        if bool(self.until) != bool(self.until_param):
            raise ValueError("incremental: until and until_param go together")
        if self.until_param == self.param:
            raise ValueError(f"incremental: param and until_param are both {self.param!r}")
        if self.lookback is not None and self.lookback < type(self.lookback)():  # type: ignore[operator]
            raise ValueError(f"incremental: lookback must not be negative, it is {self.lookback}")
        check_format(self.format)
        if self.lookback and self.initial is not None:
            watermark_of(self.initial).minus(self.lookback)

    @property
    def params(self) -> set[str]:
        """The query parameters that it sets."""
        return {self.param, self.until_param} if self.until_param else {self.param}

    @property
    def templates(self) -> dict[str, str | None]:
        """What Airflow renders."""
        return {"since": self.since, "until": self.until}

    def window(self, context: Any, kept: AssetWatermark, rendered: Mapping[str, Any]) -> Window:
        """What this task instance reads, the same in all its tries and after a clear.

        Args:
            context: The task's.
            kept: The watermark.
            rendered: ``templates``, rendered.
        """
        since, until = _given(rendered.get("since")), _given(rendered.get("until"))
        return Window(self, since if since is not None else self._begin(context, kept), until)

    def _begin(self, context: Any, kept: AssetWatermark) -> Watermark | None:
        # Another run may move the watermark between two tries of this one; a read that then began elsewhere could not
        # go on from its checkpoint. And a task that is cleared is to repeat what it did.
        store = context["task_state_store"]
        stored = store.get(_SINCE)
        if stored is not None and stored.get("version") == _VERSION and stored.get("name") == self._identity:
            return None if stored["since"] is None else Watermark.from_json(stored["since"])
        mark = kept.load()
        if mark is not None:
            begin: Watermark | None = mark.minus(self.lookback)
        else:
            begin = None if self.initial is None else watermark_of(self.initial)
        since = None if begin is None else begin.to_json()
        store.set(_SINCE, {"version": _VERSION, "name": self._identity, "since": since})
        return begin

    @property
    def _identity(self) -> list[str]:
        return [self.asset.name, self.name, self.field, self.param]


@dataclass(frozen=True, slots=True)
class Window:
    """From where to where a read goes."""

    incremental: Incremental
    since: Watermark | None
    until: Watermark | None

    @property
    def params(self) -> dict[str, str | int]:
        """The query parameters that ask for it."""
        asked = {}
        if self.since is not None:
            asked[self.incremental.param] = formatted(self.since, self.incremental.format)
        if self.until is not None and self.incremental.until_param:
            asked[self.incremental.until_param] = formatted(self.until, self.incremental.format)
        return asked

    def __str__(self) -> str:
        """For the log."""
        since = "the beginning" if self.since is None else str(self.since.value)
        return f"from {since}" + (f" until {self.until.value}" if self.until is not None else "")


def _given(value: Value | None) -> Watermark | None:
    """What a template has become; runs without a data interval have none to give."""
    if value is None or (isinstance(value, str) and value.strip() in {"", "None"}):
        return None
    assert isinstance(value, (str, int, date))
    return watermark_of(value)
