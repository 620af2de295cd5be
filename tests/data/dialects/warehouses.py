"""The warehouse of a test, and which dialect it speaks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from airgate.data.loads.load import Load, LoadResult, Warehouse


@dataclass(frozen=True)
class Opened:
    """Call it to open the warehouse, as often as wanted."""

    dialect: str
    open: Callable[[], AbstractContextManager[Warehouse]]

    def __call__(self) -> AbstractContextManager[Warehouse]:
        return self.open()

    def query(self, sql: str) -> list[tuple]:
        """Open it for one statement."""
        with self() as warehouse:
            return warehouse.query(sql)

    def load(self, rows: object, load_id: str = "load-1", **fields: object) -> LoadResult:
        """Open it for one load, a merge into ``t`` by ``id`` unless the fields say otherwise."""
        with self() as warehouse:
            return warehouse.load(Load(load_id=load_id, **{"table": "t", "key": ("id",), **fields}), rows)
