"""``@task.dataframe``: a function from frames to frames, Parquet in and Parquet out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import BaseHook
from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, task_decorator_factory

from airgate.decorators.frame_signature import Columns, Frames, Wanted, parameter_of, wanted

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airgate.data.frames.checking import Checker, Schema
    from airgate.data.frames.library import Frame
    from airgate.data.frames.outputs import Outputs
    from airgate.data.progress import Say
    from airgate.data.store.manifest import Manifest
    from airgate.hooks.lineage import Lineage

__all__ = ["Columns", "Frames", "dataframe_task"]

Failing = Literal["fail", "dead_letter"]
RESULT = "return"
"""Stands for the result among the names of parameters, as in a function's annotations."""


class _DataFrameDecoratedOperator(DecoratedOperator, PythonOperator):
    """Runs the function with frames in place of manifests and writes the frames that it gives."""

    template_fields: Sequence[str] = PythonOperator.template_fields
    template_fields_renderers = {"op_args": "py", "op_kwargs": "py"}
    custom_operator_name = "@task.dataframe"
    ui_color = "#efe0f2"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Sequence[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        part_rows: int = 20_000,
        chunk_rows: int | None = None,
        columns: Mapping[str, Sequence[str]] | None = None,
        schema: Schema | str | Mapping[str, Any] | None = None,
        failing_rows: Failing = "fail",
        redact_fields: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kwargs_to_upstream={"python_callable": python_callable, "op_args": op_args, "op_kwargs": op_kwargs},
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            show_return_value_in_logs=False,
            **kwargs,
        )
        self.part_rows = part_rows
        self.chunk_rows = chunk_rows
        self.columns = columns or {}
        self.schemas = dict(schema) if isinstance(schema, Mapping) else {} if schema is None else {RESULT: schema}
        self.failing_rows = failing_rows
        self.redact_fields = redact_fields
        self._lineage: Lineage | None = None
        if problem := self._problem():
            raise ValueError(f"task {self.task_id!r}: {problem}")

    def _problem(self) -> str | None:
        for name in ("part_rows", "chunk_rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                return f"{name} must be 1 or more, not {value}"
        if self.failing_rows not in ("fail", "dead_letter"):
            return f"failing_rows must be fail or dead_letter, not {self.failing_rows!r}"
        if inspect.isasyncgenfunction(self.python_callable):
            return "an asynchronous generator cannot be a transform; leave async out"
        parameters = list(inspect.signature(self.python_callable).parameters)
        for option, names in (("columns", self.columns), ("schema", self.schemas)):
            unknown = set(names) - set(parameters) - ({RESULT} if option == "schema" else set())
            if unknown:
                return (
                    f"{option}: there is no parameter {', '.join(sorted(unknown))}; there are {', '.join(parameters)}"
                )
        for name, these in self.columns.items():
            if isinstance(these, str) or not these:
                return f"columns: {name} needs a list of column names, not {these!r}"
        return None

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the frames, run the function, write its frames and return the manifest, or one for each name."""
        from airgate.data.frames.checking import Checker
        from airgate.data.frames.outputs import Outputs
        from airgate.hooks.storage import open_folder, task_folder_uri

        base = task_folder_uri(context["ti"])
        expected = self.schemas.get(RESULT)
        outputs = Outputs(
            open_output=lambda name: open_folder(f"{base}/{name}" if name else base),
            part_rows=self.part_rows,
            schemas=expected if isinstance(expected, Mapping) else {} if expected is None else {"": expected},
            checker=Checker(self.failing_rows == "dead_letter", self.redact_fields),
        )
        reading = _Reading(
            wanted(self.python_callable), self.columns, self.schemas, self.chunk_rows, outputs, self.log.info
        )
        self.op_args = [
            reading.argument(parameter_of(self.python_callable, place), value)
            for place, value in enumerate(self.op_args)
        ]
        self.op_kwargs = {
            name: reading.argument(parameter_of(self.python_callable, name), value)
            for name, value in self.op_kwargs.items()
        }
        result = super().execute(context)
        try:
            outputs.take(reading.watched(result))
            made = outputs.commit()
        except TypeError as error:
            raise TypeError(f"@task.dataframe {self.task_id!r} {error}") from None
        manifests = made if isinstance(made, dict) else {RESULT: made}
        self._trace_back(reading.manifests, manifests.values())
        for manifest in manifests.values():
            self.log.info(
                "%d rows in %d parts%s at %s",
                manifest.written,
                len(manifest.parts),
                f", {manifest.dead_lettered} dead-lettered" if manifest.dead_lettered else "",
                manifest.path,
            )
        if isinstance(made, dict):
            return {name: manifest.to_json() for name, manifest in made.items()}
        return made.to_json()

    def execute_callable(self) -> Any:
        """Call the function; a generator's frames are for us, while Airflow would take them for asset metadata."""
        if inspect.isgeneratorfunction(self.python_callable):
            return self.python_callable(*self.op_args, **self.op_kwargs)
        return super().execute_callable()

    def get_openlineage_facets_on_complete(self, _task_instance: Any) -> object:
        """What was read and what was written, for the OpenLineage provider."""
        from airgate.hooks.lineage import Lineage, openlineage_of

        return openlineage_of(self._lineage or Lineage())

    def _trace_back(self, read: Iterable[Manifest], written: Iterable[Manifest]) -> None:
        from airgate.hooks.lineage import Lineage, folder_of, report_assets

        self._lineage = Lineage(tuple(map(folder_of, read)), tuple(map(folder_of, written)))
        report_assets(BaseHook(), inputs=self._lineage.inputs, outputs=self._lineage.outputs)


class _Reading:
    """Turns manifests among the arguments into frames."""

    def __init__(
        self,
        wishes: Mapping[str, Wanted],
        columns: Mapping[str, Sequence[str]],
        schemas: Mapping[str, Any],
        chunk_rows: int | None,
        outputs: Outputs,
        say: Say,
    ) -> None:
        self._wishes, self._columns, self._schemas = wishes, columns, schemas
        self._chunk_rows = chunk_rows
        self._outputs, self._say = outputs, say
        self._in_pieces = False
        self.manifests: list[Manifest] = []

    @property
    def _checker(self) -> Checker:
        return self._outputs.checker

    def argument(self, parameter: str, value: Any) -> Any:
        """The frame, or the frames, behind a manifest, a list of them, or a dict of either; another value as it is."""
        manifests = _manifests(value)
        if manifests is not None:
            return self._frame(parameter, manifests)
        if isinstance(value, Mapping) and value:
            several = {name: _manifests(inner) for name, inner in value.items()}
            if all(several.values()):
                return {name: self._frame(parameter, found) for name, found in several.items() if found}
        return value

    def watched(self, result: object) -> object:
        """The function's result; the log says how far its frames are, unless that of what is read does already."""
        from airgate.data.pace_line import PaceLine

        if self._in_pieces or not isinstance(result, Iterator):
            return result
        line = PaceLine("writing", say=self._say)

        def seen(piece: object) -> object:
            line.reach(self._outputs.rows)
            return piece

        return map(seen, result)

    def _frame(self, parameter: str, manifests: list[Manifest]) -> Frame | Iterator[Frame]:
        from airgate.data.frames.library import from_table
        from airgate.data.frames.reading import read_table, read_tables
        from airgate.data.pace_line import PaceLine, watched
        from airgate.hooks.storage import open_folder

        self.manifests += manifests
        wish = self._wishes.get(parameter, Wanted())
        if wish.unknown:
            raise TypeError(f"parameter {parameter} gets a frame, but {wish.unknown}; import it, or leave it out")
        columns = self._columns.get(parameter, wish.columns)
        schema = self._schemas.get(parameter)
        total, self._in_pieces = sum(manifest.written for manifest in manifests), self._in_pieces or wish.pieces
        if wish.pieces:
            line = PaceLine(f"reading {parameter}", total, figures=self._written, say=self._say)
            tables = watched(read_tables(manifests, open_folder, columns, self._chunk_rows), line)
        else:
            line = PaceLine(f"reading {parameter}", total, say=self._say)
            whole = read_table(manifests, open_folder, columns)
            line.add(whole.num_rows, whole.nbytes)  # says so if that took long
            tables = iter([whole])
            del whole

        def frames() -> Iterator[Frame]:
            row = 0
            for page, table in enumerate(tables):
                length, fitting = table.num_rows, table
                if schema is not None:
                    fitting = self._checked(parameter, table, schema, page, row)
                row += length
                yield from_table(fitting, wish.library)

        return frames() if wish.pieces else next(frames())

    def _written(self) -> Mapping[str, float]:
        return {"rows_written": self._outputs.rows}

    def _checked(self, parameter: str, table: Any, schema: Any, page: int, row: int) -> Any:
        from airgate.data.frames.outputs import RefusedInput

        table, misfits = self._checker.check(table, schema, f"input {parameter}")
        if misfits:
            self._outputs.refuse(RefusedInput(parameter, page, row, misfits))
        return table


def _manifests(value: Any) -> list[Manifest] | None:
    """The manifests that a value is, None when it is something else."""
    from airgate.data.store.manifest import Manifest

    # The results of mapped tasks come as a lazy sequence: a slice fetches them all at once, iteration one by one.
    several = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
    values = list(value[:]) if several else [value]
    if not values or not all(map(Manifest.is_manifest, values)):
        return None
    return [Manifest.from_json(each) for each in values]


def dataframe_task(
    python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
) -> TaskDecorator:
    """Make a task of a function that takes and returns frames.

    An argument that is the manifest of a data set, or a list of manifests such as the results of mapped tasks, arrives
    as one frame, a pandas one with Arrow-backed columns unless the parameter is annotated as ``polars.DataFrame`` or
    ``pyarrow.Table``; other arguments arrive as they are. A parameter annotated as ``Frames``, or an ``Iterator`` of
    frames, gets the frame in pieces.

    The frame that the function returns is written as Parquet, without its index, and its manifest is the task's
    result. A dict of frames makes a data set of each, and a generator's frames are written as they come.

    Args:
        python_callable: The function.
        multiple_outputs: Whether each frame of a dict is an XCom of its own; None for what the function's return type
            says.
        **kwargs: Arguments of the operator: ``part_rows``, ``chunk_rows``, ``columns``, ``schema``, ``failing_rows``,
            ``redact_fields``, and those of every operator.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=_DataFrameDecoratedOperator,
        **kwargs,
    )
