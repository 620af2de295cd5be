"""How a data set is cut into files."""

from __future__ import annotations

from dataclasses import dataclass

PART_ROWS = 20_000
"""Default size of a part, in rows."""
PART_BYTES = 64 << 20
"""Default size of a part, in bytes of its Arrow columns: what bounds it when records are large."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes and form of the parts.

    Raises:
        ValueError: When a size is out of its range.
    """

    part_rows: int = PART_ROWS
    """A part is written when it has this many rows; a page is never split, so it may have up to a page more."""
    part_bytes: int = PART_BYTES
    """A part is written when its columns have taken this many bytes of memory, if that comes first; the file is
    smaller."""
    row_group_rows: int | None = None
    """Rows of a row group, the unit that readers skip and what is held in memory of a part; None for one row group a
    part, or several if it takes more than 64 MB."""
    zstd_level: int = 1
    """1 (fastest) to 22 (smallest)."""
    partition_by: tuple[str, ...] = ()
    """Columns whose values become folders, ``column=value/part-00000.parquet``; they stay in the files as well. A part
    is held in memory as a whole then."""

    def __post_init__(self) -> None:
        for name in ("part_rows", "part_bytes", "row_group_rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, not {value}")
        if not 1 <= self.zstd_level <= 22:
            raise ValueError(f"zstd_level must be 1 to 22, not {self.zstd_level}")
        if len(set(self.partition_by)) < len(self.partition_by):
            raise ValueError(f"partition_by names a column twice: {', '.join(self.partition_by)}")


DEFAULT_LAYOUT = Layout()
