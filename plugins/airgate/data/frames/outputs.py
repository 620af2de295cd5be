"""What a transform gives, written as it comes: one data set, or one for each of its names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from airgate.data.frames.checking import Checker, Schema
from airgate.data.frames.library import NAMES, library_of, to_table
from airgate.data.frames.writing import FrameWriter
from airgate.data.shape.misfit import Misfit
from airgate.data.store.manifest import Manifest
from airgate.data.store.parts import PART_ROWS
from airgate.data.store.storage import Folder

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_RESERVED = "return_value"
"""Airflow keeps the whole result of a task under this name."""

Schemas = Mapping[str, Schema | str]


@dataclass(slots=True)
class RefusedInput:
    """Rows of an input that do not fit its schema; they become dead letters of the result."""

    name: str
    """Of the parameter."""
    page: int
    """Number of the frame, from 0."""
    row: int
    """Of the frame's first row within the input, from 0."""
    misfits: Sequence[Misfit]


@dataclass(slots=True)
class Outputs:
    """Takes the frames of a transform and makes data sets of them."""

    open_output: Callable[[str], Folder]
    """Opens the folder of an output; its name is empty when there is but one."""
    part_rows: int = PART_ROWS
    schemas: Schemas = field(default_factory=dict)
    """Output -> what its frames are held against."""
    checker: Checker = field(default_factory=Checker)
    _writers: dict[str, FrameWriter] = field(default_factory=dict)
    _checked: dict[str, int] = field(default_factory=dict)
    _refused: list[RefusedInput] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Of all frames that were taken in."""
        return sum(writer.rows for writer in self._writers.values())

    def refuse(self, refused: RefusedInput) -> None:
        """Take rows of an input in; they go beside the first output."""
        self._refused.append(refused)

    def take(self, result: object) -> None:
        """Take a result in: a frame, a mapping of frames, or an iterator of either, which is read to its end.

        Raises:
            TypeError: When it is something else, or a column has no Arrow type.
            ValueError: When a frame does not fit its schema or the frames before it, or an output cannot have its name.
        """
        if isinstance(result, Iterator):
            for piece in result:
                self._take_piece(piece)
                piece = None  # or this name keeps it in memory while the next one is made
        else:
            self._take_piece(result)

    def commit(self) -> Manifest | dict[str, Manifest]:
        """Complete the data sets: one manifest, or one for each name.

        Raises:
            ValueError: When there is no output, or a balance does not hold.
        """
        if not self._writers:
            raise ValueError("the function gave no frame; give an empty one where there is nothing, as it has columns")
        self._hand_over(next(iter(self._writers.values())))
        unused = [name for name in self.schemas if name not in self._writers]
        if unused:
            raise ValueError(f"schema: there is no output {', '.join(unused)}; there are {', '.join(self._writers)}")
        manifests = {name: writer.commit() for name, writer in self._writers.items()}
        return manifests.get("", manifests)

    def _take_piece(self, piece: object) -> None:
        if library_of(piece) is not None:
            self._add("", to_table(piece))
            return
        if not isinstance(piece, Mapping) or not piece or any(library_of(frame) is None for frame in piece.values()):
            raise TypeError(
                f"must return a {NAMES['pandas']}, not {type(piece).__name__} (a {NAMES['polars']}, a "
                f"{NAMES['arrow']}, a dict of frames by name or a generator of them will do as well); use @task for "
                "other results"
            )
        for name, frame in piece.items():
            if not isinstance(name, str) or not _NAME.fullmatch(name) or name == _RESERVED:
                raise ValueError(
                    f"an output cannot have the name {name!r}: it becomes a folder and the key of an XCom, so letters, "
                    f"digits, _ and - will do, a letter first, and not {_RESERVED}"
                )
            self._add(name, to_table(frame))

    def _add(self, name: str, table: pa.Table) -> None:
        if self._writers and (name == "") != ("" in self._writers):
            raise TypeError("the function gives frames with a name and frames without one; give all of them a name")
        writer = self._writers.get(name)
        if writer is None:
            writer = self._writers[name] = FrameWriter(
                self.open_output(name), part_rows=self.part_rows, redact_fields=self.checker.redact_fields
            )
        self._hand_over(writer)
        writer.add(self._fitting(writer, name, table))

    def _fitting(self, writer: FrameWriter, name: str, table: pa.Table) -> pa.Table:
        number = self._checked.get(name, 0)
        self._checked[name] = number + 1
        if name not in self.schemas:
            return table
        where = f"output {name}" if name else "the result"
        table, misfits = self.checker.check(table, self.schemas[name], where)
        writer.refuse(misfits, page=number, position={"output": name, "frame": number})
        return table

    def _hand_over(self, writer: FrameWriter) -> None:
        for refused in self._refused:
            position: dict[str, object] = {"input": refused.name, "row": refused.row}
            writer.refuse(refused.misfits, page=refused.page, position=position)
        self._refused.clear()
