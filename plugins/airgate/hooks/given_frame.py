"""A frame on its way into a task, of which nothing shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_LIBRARIES = {"pandas", "polars", "pyarrow"}


@dataclass(frozen=True, slots=True)
class GivenFrame:
    """A frame as a task's argument.

    Airflow keeps the text of a rendered argument in its metadata database and shows it on its pages; that of a frame
    would be records.
    """

    frame: Any = field(repr=False)

    def __str__(self) -> str:
        rows, columns = self.frame.shape
        return f"<{type(self.frame).__name__} of {rows} rows and {columns} columns>"


def hidden(value: Any) -> Any:
    """The value, with a frame, or the frames of a list, hidden; whatever else it is stays as it is."""
    if isinstance(value, (list, tuple)):
        return [hidden(each) for each in value]
    # By name: a DAG file that is parsed has no frame, and shall not import the libraries that make them.
    library = type(value).__module__.partition(".")[0]
    is_frame = library in _LIBRARIES and type(value).__name__ in {"DataFrame", "Table"}
    return GivenFrame(value) if is_frame else value
