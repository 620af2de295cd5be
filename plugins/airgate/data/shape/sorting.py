"""Sorts records that do not fit together into those that fit and those that do not.

Few misfits among many are found by halving, in as many parses as halving takes; many are looked at by column, in a
number of parses that does not depend on how many they are, and only what the columns do not explain is parsed alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from airgate.data.shape.arrowtypes import no_rows
from airgate.data.shape.faults import Faults, Refused, object_of
from airgate.data.shape.halving import halve
from airgate.data.shape.misfit import Misfit
from airgate.data.shape.parsing import RecordParser


class Sorting:
    """The work on one batch of records.

    Args:
        texts: JSON text of each record.
        parser: Parses records together, or refuses them.
        faults: Tells what is wrong with them.
        refused: Is told of each refusal.
    """

    def __init__(self, texts: Sequence[bytes], parser: RecordParser, faults: Faults, refused: Refused) -> None:
        self._texts = texts
        self._parser, self._faults, self._refused = parser, faults, refused
        self._tables: list[tuple[Sequence[int], pa.Table]] = []
        """Places of records that fit together, in order, and their rows."""
        self._alone: dict[int, pa.ArrowInvalid] = {}
        """Place of a record that was refused alone -> how."""

    def sort(self, error: pa.ArrowInvalid) -> tuple[pa.Table, list[Misfit]]:
        """Give the records that fit, in order, and the others with what is wrong with them.

        Args:
            error: How all of them together were refused.
        """
        if len(self._texts) == 1:
            self._alone[0] = error
        suspects = [place for stretch in halve(len(self._texts), self._run_fits) for place in stretch]
        faults = dict(zip(suspects, self._faults.of([self._texts[place] for place in suspects]), strict=True))
        self._try([place for place in suspects if faults[place] is None and place not in self._alone])
        misfits = [
            Misfit(place, self._texts[place], fault or _reason(self._texts[place], self._alone[place]))
            for place, fault in faults.items()
            if fault or place in self._alone
        ]
        return self._table(), misfits

    def _try(self, places: list[int]) -> None:
        """Parse records that nothing is known against."""
        if not places or self._fits(places):
            return
        for stretch in halve(len(places), lambda first, behind: self._fits(places[first:behind])):
            few = places[stretch.start : stretch.stop]
            if len(few) > 1:
                for place in few:
                    self._fits([place])

    def _run_fits(self, first: int, behind: int) -> bool:
        return self._fits(range(first, behind))

    def _fits(self, places: Sequence[int]) -> bool:
        try:
            table = self._parser.parse([self._texts[place] for place in places])
        except pa.ArrowInvalid as error:
            self._refused(error)
            if len(places) == 1:
                self._alone[places[0]] = error
            return False
        self._tables.append((places, table))
        return True

    def _table(self) -> pa.Table:
        runs = sorted((run for tables in self._tables for run in _runs(*tables)), key=lambda run: run[0])
        if not runs:
            return no_rows(self._parser.schema)
        # In one piece: each small one would cost whatever comes after a call a column.
        return pa.concat_tables([rows for _, rows in runs]).combine_chunks()


def _runs(places: Sequence[int], table: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    """The rows of places that follow one another."""
    start = 0
    for end in range(1, len(places) + 1):
        if end == len(places) or places[end] != places[end - 1] + 1:
            yield places[start], table.slice(start, end - start)
            start = end


def _reason(text: bytes, error: pa.ArrowInvalid) -> str:
    """Pyarrow's own words, for what no column shows."""
    message = str(error).removeprefix("JSON parse error: ").removesuffix(" in row 0").strip()
    return message if object_of(text) is not None else f"the record is not JSON: {message}"
