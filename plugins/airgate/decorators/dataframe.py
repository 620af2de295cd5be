"""``@task.dataframe``: a function from pandas frames to a pandas frame, Parquet in and Parquet out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, task_decorator_factory

if TYPE_CHECKING:
    from airflow.sdk import Context


class _DataFrameDecoratedOperator(DecoratedOperator, PythonOperator):
    """Runs the function with frames in place of manifests and writes the frame that it returns."""

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
        if part_rows < 1:
            raise ValueError(f"task {self.task_id!r}: part_rows must be 1 or more, not {part_rows}")

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the frames, run the function, write its frame and return the manifest."""
        import pandas as pd

        from airgate.data.frames import write_frame
        from airgate.hooks.storage import open_folder, task_folder_uri

        self.op_args = [_frame(value) for value in self.op_args]
        self.op_kwargs = {name: _frame(value) for name, value in self.op_kwargs.items()}
        result = super().execute(context)
        if not isinstance(result, pd.DataFrame):
            raise TypeError(
                f"@task.dataframe {self.task_id!r} must return a pandas DataFrame, not {type(result).__name__}; "
                "use @task for other results"
            )
        manifest = write_frame(result, open_folder(task_folder_uri(context["ti"])), part_rows=self.part_rows)
        self.log.info("%d rows in %d parts at %s", manifest.written, len(manifest.parts), manifest.path)
        return manifest.to_json()


def _frame(value: Any) -> Any:
    """The frame behind a manifest, or behind a list of them; any other value as it is."""
    from airgate.data.frames import read_frame
    from airgate.data.manifest import Manifest
    from airgate.hooks.storage import open_folder

    # The results of mapped tasks come as a lazy sequence: a slice fetches them all at once, iteration one by one.
    several = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
    values = list(value[:]) if several else [value]
    if not values or not all(map(Manifest.is_manifest, values)):
        return value
    return read_frame([Manifest.from_json(each) for each in values], open_folder)


def dataframe_task(
    python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
) -> TaskDecorator:
    """Make a task of a function that takes and returns pandas frames.

    An argument that is the manifest of a data set, or a list of manifests such as the results of mapped tasks, arrives
    as one frame with Arrow-backed columns; other arguments arrive as they are. The frame that the function returns is
    written as Parquet, without its index, and its manifest is the task's result.

    Args:
        python_callable: The function.
        multiple_outputs: Not supported: the result is one manifest.
        **kwargs: Arguments of the operator; ``part_rows`` sets the size of the parts.
    """
    if multiple_outputs:
        raise ValueError("@task.dataframe has one result, a manifest; leave multiple_outputs out")
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=False,
        decorated_operator_class=_DataFrameDecoratedOperator,
        **kwargs,
    )
