"""Which names are one column: the one place where names of data and table are compared."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence

import pyarrow as pa

from airgate.data.loads.load import LoadRefused

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def folded(name: str, *, ignores_case: bool) -> str:
    """A name as it is compared: where case is ignored, by DuckDB and SQLite, it is that of A to Z only (measured)."""
    return name.translate(_LOWER) if ignores_case else name


def same_twice(names: Iterable[str], *, ignores_case: bool) -> list[str]:
    """Two names that are one in the database; empty when there are none."""
    seen: dict[str, str] = {}
    for name in names:
        if (of := folded(name, ignores_case=ignores_case)) in seen:
            return [seen[of], name]
        seen[of] = name
    return []


def spelled(table: pa.Table, given: Sequence[str], taken: Sequence[str], *, ignores_case: bool) -> pa.Table:
    """Columns of a part as the first part spells them; nothing is copied.

    Args:
        table: The part.
        given: Columns of the first part.
        taken: Those of them that are wanted.
        ignores_case: Whether ``id`` and ``ID`` are one column.

    Raises:
        LoadRefused: The part has other columns than the first one.
    """
    if table.column_names == given:
        return table.select(taken)
    there = {folded(name, ignores_case=ignores_case): name for name in table.column_names}
    due = {folded(name, ignores_case=ignores_case): name for name in given}
    if len(there) < table.num_columns or there.keys() != due.keys():
        raise LoadRefused(
            f"the parts differ: the first one has the columns {', '.join(given)}, a later one "
            f"{', '.join(table.column_names)}; give all of them the same"
        )
    return table.select([there[folded(name, ignores_case=ignores_case)] for name in taken]).rename_columns(list(taken))
